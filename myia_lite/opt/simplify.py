"""One walk over a program: constant folding, local equations, common subexpressions, inlining, known branches, invariants.

The walk copies: what it emits goes through `Simplifier.emit`, so that an equation's right side is simplified in turn.
"""

from __future__ import annotations

import warnings

from ..ir import Apply, Builder, Constant, Graph, Never, Node, Scalar, Tuple, lift
from .rules import LATE, RULES

# not worth sharing: a fill is fused into what reads it, and a shared one could not be written in place
UNSHARED = frozenset({"broadcast", "iota", "stack_new", "stack_push", "loop", "recur", "switch", "case", "call", "grad", "guard", "raise"})


class Simplifier(Builder):
    """Copies graphs into simplified ones.  `inline(callee)` says whether a call becomes the callee's body."""

    def __init__(self, inline, late=False):
        super().__init__(None)
        self.inline = inline
        self.rules = {op: [*RULES.get(op, ()), *LATE.get(op, ())] for op in (*RULES, *LATE)} if late else RULES
        self.nodes: dict[Node, Node] = {}
        self.graphs: dict[Graph, Graph] = {}
        self.dropped: dict[Graph, list[bool]] = {}  # loop -> which parameters are kept
        self.tables: list[dict] = []

    # ---- emission
    def emit(self, op, *args, graphs=(), type=None, span=None, name=None, **attrs):
        args = lift(args)
        if op.elementwise and args and all(isinstance(a, Constant) and isinstance(a.type, Scalar) for a in args):
            if (folded := fold(op, args, attrs)) is not None:
                return folded
        for rule in self.rules.get(op.name, ()):
            if (better := rule(*args, **attrs)) is not None:
                return better
        if op.name in UNSHARED or graphs:
            return super().emit(op, *args, graphs=graphs, type=type, span=span, name=name, **attrs)
        key = op, tuple(map(identity, args)), tuple(attrs.items())
        if "commutative" in op.facts:
            key = op, frozenset(key[1]) if len(args) == 2 and key[1][0] != key[1][1] else key[1], key[2]
        for table in reversed(self.tables):
            if key in table:
                return table[key]
        n = super().emit(op, *args, graphs=graphs, type=type, span=span, name=name, **attrs)
        self.tables[-1][key] = n
        return n

    # ---- the walk
    def node(self, n: Node) -> Node:
        return self.nodes.get(n, n)

    def run(self, g: Graph, parent: Graph | None = None) -> Graph:
        """A simplified copy of a graph."""
        new = Graph(g.name, parent, g.span)
        new.result_type, new.info = g.result_type, g.info
        if parent is not None:
            self.graphs[g] = new
        for p in g.params:
            self.nodes[p] = new.parameter(p.type, p.name, p.span)
        outer, self.graph = self.graph, new
        self.tables.append({})
        with self:
            new.result = self.body(g)
        self.tables.pop()
        self.graph = outer
        return new

    def body(self, g: Graph) -> Node:
        """Emit the nodes of `g`; its result.  Where a node turns out never to return, the rest is dropped."""
        for n in g.nodes:
            new = self.nodes[n] = self.visit(n)
            if new.type is Never:
                return new
        return self.node(g.result)

    def visit(self, n: Apply) -> Node:
        args = [self.node(a) for a in n.args]
        self.span = n.span
        special = getattr(self, f"visit_{n.op.name}", None)
        if special is not None:
            return special(n, args)
        return self.emit(n.op, *args, graphs=n.graphs, type=n.type, span=n.span, name=n.name, **n.attrs)

    def again(self, n: Apply, args, graphs) -> Node:
        return super().emit(n.op, *args, graphs=graphs, type=n.type, span=n.span, name=n.name, **n.attrs)

    def splice(self, g: Graph, args) -> Node:
        for p, a in zip(g.params, args, strict=True):
            self.nodes[p] = a
        return self.body(g)

    def visit_guard(self, n, args):
        if isinstance(args[0], Constant) and args[0].value:
            return Constant((), Tuple(()))
        return self.again(n, args, ())

    def visit_switch(self, n, args):
        (c,) = args
        if isinstance(c, Constant):
            return self.splice(n.graphs[0 if c.value else 1], ())
        then, other = (self.run(h, self.graph) for h in n.graphs)
        if then.result is other.result and not then.nodes and not other.nodes:
            return then.result
        return self.again(n, args, (then, other))

    def visit_case(self, n, args):
        (v,) = args
        if isinstance(v, Apply) and v.op.name == "make":
            return self.splice(n.graphs[v.type.index(v.attrs["tag"])], v.args)
        return self.again(n, args, [self.run(h, self.graph) for h in n.graphs])

    def visit_loop(self, n, args):
        (header,) = n.graphs
        rounds = [m for h in header.nested() for m in h.nodes if m.op.name == "recur" and m.graphs[0] is header]
        if not rounds:
            return self.splice(header, args)
        kept = [any(m.args[k] is not p for m in rounds) for k, p in enumerate(header.params)]
        new = Graph(header.name, self.graph, header.span)
        new.result_type, new.info = header.result_type, header.info
        self.graphs[header], self.dropped[header] = new, kept
        for p, a, keep in zip(header.params, args, kept, strict=True):
            self.nodes[p] = new.parameter(p.type, p.name, p.span) if keep else a
        outer, self.graph = self.graph, new
        self.tables.append({})
        with self:
            new.result = self.body(header)
        self.tables.pop()
        self.graph = outer
        return self.again(n, [a for a, keep in zip(args, kept, strict=True) if keep], (new,))

    def visit_recur(self, n, args):
        (header,) = n.graphs
        args = [a for a, keep in zip(args, self.dropped[header], strict=True) if keep]
        return self.again(n, args, (self.graphs[header],))

    def visit_call(self, n, args):
        (g,) = n.graphs
        if self.inline(g):
            return self.splice(g, args)
        return self.again(n, args, n.graphs)


def identity(a: Node):
    """Equal for arguments that are the same value."""
    if isinstance(a, Constant) and not hasattr(a.value, "shape"):
        return type(a.value), repr(a.value), a.type, a.name
    return a


def fold(op, args, attrs) -> Constant | None:
    """The value of a scalar application on constants, where it is an ordinary number."""
    import numpy as np

    from ..ops.define import expect

    dtypes = {"bool": np.bool_, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
    t = op.type_rule([a.type for a in args], attrs, ())
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        v = op.value(*[dtypes[a.type.dtype](a.value) for a in args], **attrs)
    expect(np.ndim(v) == 0, f"{op.name} of scalars is no scalar")
    return Constant(dtypes[t.dtype](v).item(), t)


