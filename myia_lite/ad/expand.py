"""Replaces the `grad` and `jvp` nodes of a program, innermost first; then `custom` nodes and `stop_gradient`."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph, callees, reachable
from ..ops.control import call, loop, stop_gradient
from .custom import settle
from .edits import substitute
from .forward import Forward
from .reverse import Reverse


def expand(entry: Graph, simplify: Callable[[Graph], Graph]) -> Graph:
    """`entry` without `grad` and `jvp` nodes.

    `simplify` (of a closed graph) runs before and after each differentiation: what an order leaves unsimplified, the
    next one triples.
    """
    transforms = {"grad": Reverse().gradient, "jvp": Forward().jvp}
    done: dict[tuple, Graph] = {}
    finished: set[Graph] = set()

    def visit(g: Graph) -> None:
        if g in finished:
            return
        finished.add(g)
        for h in list(dict.fromkeys(callees(g))):
            visit(h)
        for h in g.nested():
            for n in h.nodes:
                if n.op.name in transforms:
                    key = n.op, n.graphs[0], tuple(n.attrs.items())
                    if key not in done:
                        done[key] = simplify(transforms[n.op.name](simplify(key[1]), **n.attrs))
                        visit(done[key])  # a rule of the user may have been transposed
                    n.op, n.attrs, n.graphs = call, {}, (done[key],)

    visit(entry)
    for g in reachable(entry):
        for h in g.nested():
            for n in h.nodes:
                settle(n)
    for g in reachable(entry):
        go_on(g)
    return entry


def go_on(g: Graph) -> None:
    """Now that everything is differentiated: what `stop_gradient` stopped goes on, and of checkpoints only what runs a
    function again stays apart."""
    for h in g.nested():
        for n in h.nodes:
            if n.op in (call, loop) and n.attrs.get("checkpoint", "again") != "again":
                n.attrs = {k: v for k, v in n.attrs.items() if k != "checkpoint"}
    stops = {n: n.args[0] for h in g.nested() for n in h.nodes if n.op is stop_gradient}
    if not stops:
        return
    for n, a in stops.items():  # in order: the argument of one may be another
        stops[n] = stops.get(a, a)
    for h in g.nested():
        h.nodes = [n for n in h.nodes if n not in stops]
    substitute(g, stops)


def has_derivatives(entry: Graph) -> bool:
    return any(n.op.name in ("grad", "jvp") for g in reachable(entry) for h in g.nested() for n in h.nodes)
