"""Which values of a graph depend differentiably on the parameters that are differentiated."""

from __future__ import annotations

from ..ir import Constant, Graph, Node, Tuple
from .tangent import Path, leaves


class Activity:
    """`self(node, path)`: does this leaf of the node vary with the active parameters?  A fixpoint over loops."""

    def __init__(self, g: Graph, active: set[tuple[Node, Path]]):
        self.active, size = set(active), -1
        while size != len(self.active):
            size = len(self.active)
            self.graph(g)

    def __call__(self, n: Node, path: Path = ()) -> bool:
        return (n, path) in self.active

    def any(self, n: Node) -> bool:
        return any((n, p) in self.active for p, _ in leaves(n.type))

    def mark(self, n: Node) -> None:
        self.active.update((n, p) for p, _ in leaves(n.type))

    def flow(self, source: Node, target: Node) -> None:
        """What is active in `source` is so in `target`, of the same structure."""
        if not isinstance(source, Constant):
            self.active.update((target, p) for p, _ in leaves(target.type) if (source, p) in self.active)

    def graph(self, g: Graph) -> None:
        for n in g.nodes:
            op = n.op.name
            if op == "get":
                k = n.attrs["index"]
                self.active.update((n, p) for p, _ in leaves(n.type) if (n.args[0], (k, *p)) in self.active)
            elif op == "tuple":
                for k, a in enumerate(n.args):
                    self.active.update((n, (k, *p)) for p, _ in leaves(a.type) if (a, p) in self.active)
            elif op in ("switch", "case"):
                for h in n.graphs:
                    if op == "case" and self.any(n.args[0]):
                        for p in h.params:
                            self.mark(p)
                    self.graph(h)
                    self.flow(h.result, n)
            elif op == "loop":
                (h,) = n.graphs
                for a, p in zip(n.args, h.params, strict=True):
                    self.flow(a, p)
                self.graph(h)
                self.flow(h.result, n)
            elif op == "recur":
                for a, p in zip(n.args, n.graphs[0].params, strict=True):
                    self.flow(a, p)
            elif op == "stack_pop":
                if self.any(n.args[0]):
                    self.mark(n)
            elif n.op.zero_derivative is None and any(self.any(a) for a in n.args):
                if isinstance(n.type, Tuple):
                    self.mark(n)
                else:
                    self.active.update((n, p) for p, _ in leaves(n.type))
