"""Which values of a program depend on which of its parameters, leaf by leaf, across calls and in loops.

`Activity` asks for derivatives, and takes what a call gives as one; this asks for dependence, integers included, and
for each result of a call apart: so a batched program is exact about what is computed once.
"""

from __future__ import annotations

from ..ir import Apply, Constant, Graph, Node, Tuple, Type
from .tangent import Path, differentiable, leaves

Leaf = tuple[Node, Path]
Mask = frozenset[tuple[int, Path]]  # leaves of the parameters of a graph


class Dependent(Exception):
    """Where a program goes depends on the row: it has no batched form."""


def all_leaves(t: Type, path: Path = ()) -> list[tuple[Path, Type]]:
    """The parts of a value, tuples taken apart."""
    if isinstance(t, Tuple):
        return [leaf for k, e in enumerate(t.elems) for leaf in all_leaves(e, (*path, k))]
    return [(path, t)]


class Calls:
    """What varies in each closed graph of a program, for each set of parameters that do."""

    def __init__(self):
        self.results: dict[tuple[Graph, Mask], frozenset[Path]] = {}
        self.found: dict[tuple[Graph, Mask], Varying] = {}

    def __call__(self, f: Graph, mask: Mask) -> Varying:
        """Raises Dependent."""
        while (f, mask) not in self.found:
            self.results.setdefault((f, mask), frozenset())
            before, found = dict(self.results), {}
            for key in list(self.results):
                found[key] = Varying(self, *key)
                self.results[key] = found[key].result
            if self.results == before:
                self.found = found
        return self.found[f, mask]


class Varying:
    """`self(node, path)`: does this leaf vary?  Of a sum or a stack the floats inside do; tags and heights never."""

    def __init__(self, calls: Calls, f: Graph, mask: Mask):
        self.calls, size = calls, -1
        self.marked: set[Leaf] = {(f.params[k], p) for k, p in mask}
        while size != len(self.marked):
            size = len(self.marked)
            self.graph(f)
        self.result = frozenset(self.paths(f.result))

    def __call__(self, n: Node, path: Path = ()) -> bool:
        return (n, path) in self.marked

    def paths(self, n: Node) -> list[Path]:
        return [] if isinstance(n, Constant) else [p for p, _ in all_leaves(n.type) if (n, p) in self.marked]

    def any(self, n: Node) -> bool:
        return bool(self.paths(n))

    def flow(self, source: Node, target: Node) -> None:
        self.marked.update((target, p) for p in self.paths(source))

    def floats(self, n: Node) -> None:
        self.marked.update((n, p) for p, _ in leaves(n.type))

    def fixed(self, n: Apply, a: Node) -> None:
        if self.any(a):
            raise Dependent(n)

    def into_data(self, n: Apply, values) -> None:
        for v in values:
            if any(not differentiable(t) for p, t in all_leaves(v.type) if (v, p) in self.marked):
                raise Dependent(n)
            if self.any(v):
                self.marked.add((n, ()))

    def graph(self, g: Graph) -> None:
        for n in g.nodes:
            handler = getattr(self, f"_{n.op.name}", None)
            if handler is not None:
                handler(n)
            elif n.op.effect:
                for a in n.args:
                    self.fixed(n, a)
            else:
                self._foreign(n)

    def _foreign(self, n):
        """A call of a foreign function is a primitive like others: it may raise for a row, and then it does for all."""
        if any(map(self.any, n.args)):
            self.marked.update((n, p) for p, _ in all_leaves(n.type))

    # ---- data
    def _get(self, n):
        k = n.attrs["index"]
        self.marked.update((n, p) for p, _ in all_leaves(n.type) if (n.args[0], (k, *p)) in self.marked)

    def _tuple(self, n):
        for k, a in enumerate(n.args):
            self.marked.update((n, (k, *p)) for p in self.paths(a))

    def _make(self, n):
        self.into_data(n, n.args)

    def _stack_push(self, n):
        self.into_data(n, n.args)

    def _stack_pop(self, n):
        if self.any(n.args[0]):
            self.floats(n)

    def _stack_len(self, n):
        """Rows agree on it."""

    def _dim(self, n):
        """And on sizes."""

    # ---- control
    def _switch(self, n):
        self.fixed(n, n.args[0])
        for h in n.graphs:
            self.graph(h)
            self.flow(h.result, n)

    def _case(self, n):
        for h in n.graphs:
            if self.any(n.args[0]):
                for p in h.params:
                    self.floats(p)
            self.graph(h)
            self.flow(h.result, n)

    def _loop(self, n):
        (h,) = n.graphs
        for a, p in zip(n.args, h.params, strict=True):
            self.flow(a, p)
        self.graph(h)
        self.flow(h.result, n)

    def _recur(self, n):
        for a, p in zip(n.args, n.graphs[0].params, strict=True):
            self.flow(a, p)

    def _call(self, n):
        mask = frozenset((k, p) for k, a in enumerate(n.args) for p in self.paths(a))
        if mask:
            found = self.calls.results.setdefault((n.graphs[0], mask), frozenset())
            self.marked.update((n, p) for p in found)
