"""The whole optimiser on one page."""

from __future__ import annotations

from ..ir import Graph, reachable
from .dead import eliminate
from .inline import policy
from .simplify import Simplifier

ROUNDS = 4


def optimise(entry: Graph) -> Graph:
    """What a back end gets: simplified, with small powers multiplied out."""
    return simplify(simplify(entry), late=True)


def simplify(entry: Graph, late: bool = False) -> Graph:
    """Fold, apply equations, share, inline and drop what is dead, until the size settles.

    Runs on the user's program, between the orders of differentiation, and on what a back end gets.
    """
    before = None
    for _ in range(ROUNDS):
        copies: dict[Graph, Graph] = {}
        inline = policy(entry)
        todo = [entry]
        while todo:
            g = todo.pop()
            if g not in copies:
                copies[g] = eliminate(Simplifier(inline, late).run(g))
                todo += [h for h in callees_of(copies[g]) if h not in copies]
        for g in copies.values():
            for h in g.nested():
                for n in h.nodes:
                    if n.op.name in ("call", "grad"):
                        n.graphs = (copies.get(n.graphs[0], n.graphs[0]),)
        entry = copies[entry]
        now = sum(len(h.nodes) for g in reachable(entry) for h in g.nested())
        if now == before:
            break
        before = now
    return entry


def callees_of(g: Graph) -> list[Graph]:
    return [n.graphs[0] for h in g.nested() for n in h.nodes if n.op.name in ("call", "grad")]
