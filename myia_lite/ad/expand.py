"""Replaces the `grad` nodes of a program, innermost first."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph, callees, reachable
from ..ops.control import call
from .reverse import Reverse


def expand(entry: Graph, simplify: Callable[[Graph], Graph]) -> Graph:
    """`entry` without `grad` nodes.  `simplify` (of a closed graph) runs before and after each differentiation: what an
    order leaves unsimplified, the next one triples."""
    reverse, done = Reverse(), {}
    finished: set[Graph] = set()

    def visit(g: Graph) -> None:
        if g in finished:
            return
        finished.add(g)
        for h in list(dict.fromkeys(callees(g))):
            visit(h)
        for h in g.nested():
            for n in h.nodes:
                if n.op.name == "grad":
                    key = n.graphs[0], n.attrs["wrt"]
                    if key not in done:
                        done[key] = simplify(reverse.gradient(simplify(key[0]), key[1]))
                    n.op, n.attrs, n.graphs = call, {}, (done[key],)

    visit(entry)
    return entry


def has_grad(entry: Graph) -> bool:
    return any(n.op.name == "grad" for g in reachable(entry) for h in g.nested() for n in h.nodes)
