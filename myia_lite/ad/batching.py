"""A program for many rows at once: what varies from row to row has its rows, the rest is computed once.

    y = a * b, a varies                  y = a * b, with one more axis in front, or a node for each row (`rows.py`)
    y = switch(c) {t} {e}                the same switch: c does not vary (`varying.py`)
    y = loop(init) {L}                   the same loop, carrying the rows of that part of its state that varies
    y = call f(x)                        a call of f for rows, made once for each set of arguments that vary

Derivatives are linear in tangents and cotangents, which therefore decide nothing: so a derivative along one direction
becomes one along many, with the primal computed once.  Where a program's course does depend on the row, as a rule of
the user's may, `Dependent` is raised, and it is run row by row.
"""

from __future__ import annotations

from ..ir import I64, Apply, Builder, Constant, Graph, Never, Node, Parameter, Tuple, Type, current
from ..ops.arrays import dim
from ..ops.control import call, get, loop, make, recur, stack_len, stack_pop, stack_push
from ..ops.control import tuple_ as tuple_of
from .rows import Rows
from .tangent import Path, differentiable, part, type_at
from .varying import Calls, Mask, all_leaves

TAILS = frozenset({"switch", "case", "loop", "recur", "call"})


class Batching:
    """Makes graphs for many rows, all in the same way."""

    def __init__(self, rows: Rows, calls: Calls):
        self.rows, self.calls = rows, calls
        self.made: dict[tuple[Graph, Mask], Graph] = {}
        self.todo: list[tuple[Graph, Mask]] = []

    def graph(self, f: Graph, mask: Mask) -> Graph:
        """f for rows of the leaves `mask` of its parameters: (number of rows if counted, parameters…) -> leaves of the
        result.  Raises Dependent."""
        out = self.declare(f, mask)
        while self.todo:
            key = self.todo.pop()
            Batched(self, *key).function(self.made[key])
        return out

    def declare(self, f: Graph, mask: Mask) -> Graph:
        if (f, mask) not in self.made:
            new = self.made[f, mask] = Graph(f"{f.name}s", None, f.span)
            if self.rows.counted:
                new.parameter(I64, "rows")
            new.result_type = self.flat(f.result_type, self.calls(f, mask).result)
            self.todo.append((f, mask))
        return self.made[f, mask]

    def flat(self, t: Type, paths) -> Type:
        """The type of the leaves of a result, those in `paths` as rows."""
        if t is Never:
            return Never
        return Tuple(tuple(x for p, leaf in all_leaves(t) for x in (self.rows.leaf(leaf) if p in paths else (leaf,))))


class Batched:
    """One graph made for many rows.  `at` holds the nodes of each leaf: the rows of one that varies, else one node."""

    def __init__(self, maker: Batching, f: Graph, mask: Mask):
        self.maker, self.rows, self.primal, self.mask = maker, maker.rows, f, mask
        self.varies = maker.calls(f, mask)
        self.at: dict[tuple[Node, Path], tuple[Node, ...]] = {}
        self.loops: dict[Graph, Graph] = {}
        self.count: Node | None = None

    def function(self, new: Graph) -> None:
        if self.rows.counted:
            self.count = new.params[0]
        for p in self.primal.params:
            self.parameter(p, new)
        self.region(self.primal, new, self.varies.result, new.result_type)

    def parameter(self, p: Parameter, new: Graph) -> None:
        """The parameters that stand for one."""
        if not self.varies.any(p):
            self.bind(p, new.parameter(p.type, p.name, p.span))
            return
        for path, t in all_leaves(p.type):
            types = self.rows.leaf(t) if self.varies(p, path) else (t,)
            self.at[p, path] = tuple(new.parameter(x, p.name, p.span) for x in types)

    # ---- values at hand
    def bind(self, n: Node, new: Node) -> None:
        """`new` stands for all of n, which does not vary."""
        if not isinstance(n.type, Tuple):
            self.at[n, ()] = (new,)
            return
        for path, _ in all_leaves(n.type):
            self.at[n, path] = (part(new, path),)

    def plain(self, n: Node, path: Path = ()) -> Node:
        """A part of n that does not vary, as one node."""
        t = type_at(n.type, path)
        if isinstance(n, Constant):
            return n
        if isinstance(t, Tuple):
            return tuple_of(*[self.plain(n, (*path, k)) for k in range(len(t.elems))])
        return self.at[n, path][0]

    def spread(self, n: Node, path: Path = ()) -> tuple[Node, ...]:
        """The rows of a leaf, also of one that does not vary."""
        if not isinstance(n, Constant) and self.varies(n, path):
            return self.at[n, path]
        return self.rows.spread(self.plain(n, path), self.count)

    def leaves(self, n: Node, paths) -> list[Node]:
        """All leaves of n, those in `paths` as rows."""
        out = []
        for p, _ in all_leaves(n.type):
            out += self.spread(n, p) if p in paths else [self.plain(n, p)]
        return out

    def given(self, n: Node, target: Node) -> list[Node]:
        """An argument, as `parameter` wants it."""
        paths = self.varies.paths(target)
        return self.leaves(n, paths) if paths else [self.plain(n)]

    def receive(self, n: Node, paths, both: Node) -> None:
        """`both` has the leaves of n, those in `paths` as rows."""
        if n.type is Never:
            self.at[n, ()] = (both,)
            return
        j = 0
        for p, t in all_leaves(n.type):
            width = len(self.rows.leaf(t)) if p in paths else 1
            self.at[n, p] = tuple(get(both, index=j + k) for k in range(width))
            j += width

    def packed(self, n: Node, path: Path = ()) -> Node:
        """The rows of a value as they stand inside data."""
        t = type_at(n.type, path)
        if not differentiable(t):
            return self.plain(n, path)
        if isinstance(t, Tuple):
            return tuple_of(*[self.packed(n, (*path, k)) for k in range(len(t.elems))])
        return self.rows.bundle(self.spread(n, path))

    def unpack(self, n: Node, new: Node, path: Path = ()) -> None:
        """`new`, from inside data, stands for a part of n."""
        t = type_at(n.type, path)
        if isinstance(t, Tuple):
            for k in range(len(t.elems)):
                self.unpack(n, get(new, index=k), (*path, k))
        else:
            self.at[n, path] = self.rows.unbundle(new, t) if differentiable(t) else (new,)

    # ---- regions
    def region(self, h: Graph, g: Graph, paths, out: Type) -> None:
        """Emit `h` into `g`, whose result are the leaves of that of `h`, those in `paths` as rows."""
        r = h.result
        tail = r if isinstance(r, Apply) and r.op.name in TAILS and h.nodes and h.nodes[-1] is r else None
        g.result_type = out
        with Builder(g):
            for n in h.nodes:
                if n is not tail:
                    self.node(n, g)
            if tail is not None:
                g.result = self.tail(tail, g, paths)
            elif r.type is Never:
                g.result = self.plain(r)
            else:
                g.result = tuple_of(*self.leaves(r, paths))

    def tail(self, n: Apply, into: Graph, paths) -> Node:
        current().span = n.span
        if n.op is recur:
            (h,) = n.graphs
            args = [x for a, p in zip(n.args, h.params, strict=True) for x in self.given(a, p)]
            new = self.loops[h]
            return current().emit(recur, *args, graphs=(new,), type=new.result_type)
        if n.op is not call:
            return getattr(self, f"many_{n.op.name}")(n, into, paths)
        both, found = self.called(n)
        if n.type is Never or found == paths:
            return both
        if found is None:
            self.bind(n, both)
        else:
            self.receive(n, found, both)
        return tuple_of(*self.leaves(n, paths))

    def node(self, n: Apply, into: Graph) -> None:
        current().span = n.span
        handler = getattr(self, f"many_{n.op.name}", None)
        if n.op.nests:
            paths = frozenset(self.varies.paths(n))
            self.receive(n, paths, handler(n, into, paths))
            return
        if handler is not None:
            handler(n)
            return
        varies = [self.varies.any(a) for a in n.args]
        if self.varies.any(n):
            args = [self.at[a, ()] if v else (self.plain(a),) for a, v in zip(n.args, varies, strict=True)]
            rows = self.rows.apply(n, args, varies)
            self.at.update({(n, p): tuple(part(r, p) for r in rows) for p, _ in all_leaves(n.type)})
        else:
            args = map(self.plain, n.args)
            new = current().emit(n.op, *args, graphs=n.graphs, type=n.type, span=n.span, name=n.name, **n.attrs)
            self.bind(n, new)

    # ---- data
    def many_get(self, n):
        for p, _ in all_leaves(n.type):
            self.at[n, p] = self.at[n.args[0], (n.attrs["index"], *p)]

    def many_tuple(self, n):
        for k, a in enumerate(n.args):
            for p, _ in all_leaves(a.type):
                self.at[n, (k, *p)] = (a,) if isinstance(a, Constant) else self.at[a, p]

    def many_dim(self, n):
        (a,) = n.args
        size = self.rows.dim(n, self.at[a, ()][0]) if self.varies.any(a) else dim(self.plain(a), **n.attrs)
        self.at[n, ()] = (size,)

    def many_make(self, n):
        if self.varies(n):
            self.at[n, ()] = (make(*map(self.packed, n.args), sum=self.rows.wide(n.type), tag=n.attrs["tag"]),)
        else:
            self.at[n, ()] = (make(*map(self.plain, n.args), **n.attrs),)

    def many_stack_push(self, n):
        s, v = n.args
        if self.varies(n):
            (stack,) = self.spread(s)
            self.at[n, ()] = (stack_push(stack, self.packed(v)),)
        else:
            self.at[n, ()] = (stack_push(self.plain(s), self.plain(v), **n.attrs),)

    def many_stack_pop(self, n):
        (s,) = n.args
        popped = stack_pop(self.at[s, ()][0])
        if not self.varies(s):
            self.bind(n, popped)
            return
        self.at[n, (0,)] = (get(popped, index=0),)
        self.unpack(n, get(popped, index=1), (1,))

    def many_stack_len(self, n):
        self.at[n, ()] = (stack_len(self.at[n.args[0], ()][0]),)

    # ---- control
    def many_switch(self, n, into, paths):
        return self.branches(n, into, paths, [None, None])

    def many_case(self, n, into, paths):
        (v,) = n.args
        tags = list(v.type.variants) if self.varies(v) else [None] * len(n.graphs)
        return self.branches(n, into, paths, tags)

    def branches(self, n, into, paths, tags):
        out, graphs = self.maker.flat(n.type, paths), []
        for h, tag in zip(n.graphs, tags, strict=True):
            g = Graph(h.name, into, h.span)
            if tag is None:
                with Builder(g):
                    for p in h.params:
                        self.bind(p, g.parameter(p.type, p.name, p.span))
            else:
                wide = self.rows.wide(n.args[0].type).variants[tag]
                params = [g.parameter(t, p.name, p.span) for p, t in zip(h.params, wide, strict=True)]
                with Builder(g):
                    for p, new in zip(h.params, params, strict=True):
                        self.unpack(p, new)
            self.region(h, g, paths, out)
            graphs.append(g)
        args = [self.at[a, ()][0] if not isinstance(a, Constant) else a for a in n.args]
        return current().emit(n.op, *args, graphs=graphs, type=out, span=n.span)

    def many_loop(self, n, into, paths):
        (h,) = n.graphs
        new = self.loops[h] = Graph(h.name, into, h.span)
        new.info = dict(h.info)
        start = [x for a, p in zip(n.args, h.params, strict=True) for x in self.given(a, p)]
        with Builder(new):
            for p in h.params:
                self.parameter(p, new)
        out = self.maker.flat(n.type, paths)
        self.region(h, new, paths, out)
        return current().emit(loop, *start, graphs=(new,), type=out, span=n.span, **n.attrs)

    def called(self, n) -> tuple[Node, frozenset[Path] | None]:
        """The call, and which leaves of its result are rows; None where it is the call as it was."""
        (f,) = n.graphs
        mask = frozenset((k, p) for k, a in enumerate(n.args) for p in self.varies.paths(a))
        if not mask:
            args = map(self.plain, n.args)
            return current().emit(call, *args, graphs=(f,), type=n.type, span=n.span, **n.attrs), None
        new = self.maker.declare(f, mask)
        args = [x for k, a in enumerate(n.args) for x in self.leaves(a, {p for j, p in mask if j == k})]
        args = [self.count, *args] if self.rows.counted else args
        both = current().emit(call, *args, graphs=(new,), type=new.result_type, span=n.span, **n.attrs)
        return both, self.maker.calls(f, mask).result

    def many_call(self, n):
        both, paths = self.called(n)
        if paths is None:
            self.bind(n, both)
        else:
            self.receive(n, paths, both)
