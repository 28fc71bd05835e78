"""Is a program linear in some of its parameters?  Only then is its transpose, which reverse mode makes, of use.

A `Linearity` reads it off a graph, by a fixpoint over the kinds of values.  What it calls linear is so for all values
(up to rounding); what it does not may be so in ways that only mathematics tells, as x**2 / x.
"""

from __future__ import annotations

from ..ir import Apply, Constant, Graph, Never, Node, Tuple, Type, element_types, is_float

ZERO, FIXED, LINEAR, OTHER = range(4)  # of a value: zero; no function of the inputs; linear in them; anything else
ADDITIVE = frozenset({"add", "sub", "neg"})
CONTROL = frozenset({"switch", "case", "loop", "recur", "call"})
CARRIERS = frozenset({"tuple", "get", *CONTROL})


class Linearity:
    """What each value of a graph is as a function of some of its parameters; a tuple by its parts.

    A stack or a sum is what the floats in it are together; its other leaves, its length and its tag do not depend on
    the inputs, unless it is `OTHER`.
    """

    def __init__(self, top: Linearity | None = None):
        self.of: dict[Node, object] = {}
        self.culprit: dict[Node, Node] = {}  # a value that is not linear -> where it ceased to be
        self.top = top or self
        if top is None:
            self.changed = False
            self.callees: dict[tuple, Linearity] = {}  # by graph and kinds of the arguments
            self.visited: set[tuple] = set()  # of these, in this round

    def result(self, g: Graph, inputs: set[Node], first: int) -> Node | None:
        """None if all results of `g` from number `first` on are linear in `inputs` together, else the node that is
        not.
        """
        self.of.update((p, LINEAR if p in inputs else FIXED) for p in g.params)
        while True:  # a round goes over everything once, callees included, so recursion may be mutual
            self.changed = False
            self.visited.clear()
            self.graph(g)
            if not self.changed:
                break
        parts = self.value(g.result)
        parts = parts[first:] if isinstance(parts, tuple) else (parts,)
        if all(one(p) in (ZERO, LINEAR) for p in parts):
            return None
        found = [self, *self.callees.values()]
        return next((n for one_graph in found for n in one_graph.culprit), g.result)

    def value(self, n: Node):
        if isinstance(n, Constant):
            number = n.value if not hasattr(n.value, "any") else n.value.any()
            return ZERO if is_float(n.type) and number == 0 else FIXED
        return self.of.get(n, ZERO)

    def note(self, n: Node, kind) -> None:
        kind = joined(self.of[n], kind) if n in self.of else kind
        if self.of.get(n) != kind:
            self.of[n] = kind
            self.top.changed = True

    def graph(self, g: Graph) -> None:
        for n in g.nodes:
            kind = self.node(n)
            if n.op.name not in CARRIERS and one(kind) == OTHER and all(one(self.value(a)) != OTHER for a in n.args):
                self.culprit.setdefault(n, n)
            self.note(n, kind)

    def node(self, n: Apply):
        kinds = [self.value(a) for a in n.args]
        op = n.op.name
        if op == "tuple":
            return tuple(kinds)
        if op == "get":
            return kinds[0][n.attrs["index"]] if isinstance(kinds[0], tuple) else kinds[0]
        if op in CONTROL:
            return self.control(n, kinds)
        if op == "stack_new":
            return ZERO
        if op == "stack_pop":
            return kinds[0], inside(kinds[0], n.args[0].type.elem)
        if op in ("make", "stack_push"):
            return together([whole(k, a.type) for k, a in zip(kinds, n.args, strict=True)])
        flat = [one(k) for k in kinds]
        if OTHER in flat:
            return OTHER
        if op in ("dim", "stack_len"):
            return FIXED
        return self.primitive(n, flat)

    def primitive(self, n: Apply, kinds: list[int]) -> int:
        """By what the primitive declares: linear in some arguments together, or in each of some alone."""
        op = n.op
        terms: tuple | None = None
        if op.name in ADDITIVE:
            terms = tuple(range(len(kinds)))
        elif op.linear is not None:
            terms = tuple(k for k in range(len(kinds)) if op.is_linear_in(k))
        elif op.name == "select":
            terms = (1, 2)
        elif op.name == "recurrence":
            terms = (1,)
        elif op.name == "cast" and is_float(n.type) and is_float(n.args[0].type):
            terms = (0,)
        others = [k for j, k in enumerate(kinds) if j not in (terms or op.multilinear)]
        if LINEAR in others:
            return OTHER
        if terms is not None:
            return together([kinds[k] for k in terms])
        factors = [kinds[k] for k in op.multilinear]
        if ZERO in factors:
            return ZERO
        return (FIXED, LINEAR, OTHER)[min(factors.count(LINEAR), 2)]

    def control(self, n: Apply, kinds):
        op = n.op.name
        if op == "call":
            return self.call(n.graphs[0], tuple(kinds))
        if op in ("loop", "recur"):
            for p, k in zip(n.graphs[0].params, kinds, strict=True):
                self.note(p, k)
            if op == "recur":
                return ZERO
        elif one(kinds[0]) == OTHER or op == "switch" and one(kinds[0]) == LINEAR:
            return OTHER
        elif op == "case":
            for h in n.graphs:
                for p in h.params:
                    self.note(p, inside(kinds[0], p.type))
        out = None
        for h in n.graphs:
            self.graph(h)
            if h.result.type is Never or isinstance(h.result, Apply) and h.result.op.name == "recur":
                continue
            kind = self.value(h.result)
            out = kind if out is None else joined(out, kind)
        return ZERO if out is None else out

    def call(self, g: Graph, kinds: tuple):
        """Of a recursive call, what is known so far."""
        top, key = self.top, (g, kinds)
        if key not in top.callees:
            callee = top.callees[key] = Linearity(top)
            callee.of.update(zip(g.params, kinds, strict=True))
        callee = top.callees[key]
        if key not in top.visited:
            top.visited.add(key)
            callee.graph(g)
        return callee.value(g.result)


def one(kind) -> int:
    """The kind of a whole value: of a tuple with parts of several kinds, `OTHER`."""
    if not isinstance(kind, tuple):
        return kind
    out = ZERO
    for k in kind:
        out = joined(out, one(k))
    return out


def joined(a, b):
    """The kind of a value that is one of two."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(map(joined, a, b))
    if isinstance(a, tuple) or isinstance(b, tuple):
        whole, parts = (b, a) if isinstance(a, tuple) else (a, b)
        return tuple(joined(whole, p) for p in parts)
    if a == b or b == ZERO:
        return a
    return b if a == ZERO else OTHER


def together(kinds) -> int:
    """The kind of a sum, or of what holds several."""
    out = ZERO
    for k in kinds:
        out = joined(out, k)
    return out


def whole(kind, t: Type) -> int:
    """What the floats in a value are together; `OTHER` where anything else in it depends on the inputs."""
    if isinstance(t, Tuple):
        kinds = kind if isinstance(kind, tuple) else [kind] * len(t.elems)
        return together([whole(k, e) for k, e in zip(kinds, element_types(t), strict=True)])
    if hasattr(t, "dtype") and not is_float(t):
        return OTHER if kind in (LINEAR, OTHER) else ZERO
    return kind


def inside(kind: int, t: Type):
    """The kind of a part of type `t`, taken out of what holds such parts and others."""
    if isinstance(t, Tuple):
        return tuple(inside(kind, e) for e in t.elems)
    if hasattr(t, "dtype") and not is_float(t) and kind != OTHER:
        return FIXED
    return kind
