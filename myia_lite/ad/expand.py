"""Replaces the `grad`, `jvp`, `vjp`, `pullback` and `vmap` nodes of a program, innermost first; then `custom` nodes
and `stop_gradient`."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Apply, Graph, Residual, callees, reachable, sums_in, sums_of
from ..ops.control import call, loop, pullback, stop_gradient, vjp
from .custom import settle
from .edits import substitute
from .forward import Forward
from .reverse import Reverse
from .vmap import vmap


def expand(entry: Graph, simplify: Callable[[Graph], Graph]) -> Graph:
    """`entry` without `grad`, `jvp`, `vjp`, `pullback` and `vmap` nodes.

    `simplify` (of a closed graph) runs before and after each differentiation: what an order leaves unsimplified, the
    next one triples.  Records that the program returns take along the backward pass that goes with them.
    """
    _Expansion(entry, simplify).run()
    for g in reachable(entry):
        for h in g.nested():
            for n in h.nodes:
                settle(n)
    for g in reachable(entry):
        go_on(g)
    return entry


class _Expansion:
    def __init__(self, entry: Graph, simplify: Callable[[Graph], Graph]):
        self.entry, self.simplify, self.reverse = entry, simplify, Reverse()
        self.transforms = {"grad": self.reverse.gradient, "jvp": Forward().jvp, "vmap": vmap}
        self.done: dict[tuple, Graph] = {}
        self.finished: set[Graph] = set()
        self.makers: dict[Residual, Apply] = {  # a node that makes such a record
            n.attrs["record"]: n for g in reachable(entry) for h in g.nested() for n in h.nodes if n.op is vjp
        }
        self.pairs: dict[Residual, tuple[Graph | None, Graph]] = {}

    def run(self) -> None:
        self.visit(self.entry)
        returned: dict = {}
        sums_in(self.entry.result_type, returned)
        for r in returned:
            if isinstance(r, Residual):
                r.backward = self.simplify(self.pair(r)[1])  # a copy, which may be differentiated in turn

    def visit(self, g: Graph) -> None:
        if g in self.finished:
            return
        self.finished.add(g)
        for h in list(dict.fromkeys(callees(g))):
            self.visit(h)
        for h in g.nested():
            for n in h.nodes:
                if n.op.name in self.transforms:
                    key = n.op, n.graphs[0], tuple(n.attrs.items())
                    if key not in self.done:
                        self.done[key] = self.simplified(self.transforms[n.op.name](self.ready(key[1]), **n.attrs))
                    self.calls(n, self.done[key])
                elif n.op is vjp:
                    self.calls(n, self.pair(n.attrs["record"])[0])
                elif n.op is pullback:
                    self.calls(n, self.pair(n.attrs["record"])[1])

    def calls(self, n: Apply, g: Graph) -> None:
        n.op, n.attrs, n.graphs = call, {}, (g,)

    def ready(self, g: Graph) -> Graph:
        """`g`, to be differentiated: what the records in it hold has to be known."""
        self.visit(g)
        for s in sums_of(reachable(g)):
            if isinstance(s, Residual):
                self.pair(s)
        return self.simplify(g)

    def simplified(self, g: Graph) -> Graph:
        g = self.simplify(g)
        self.visit(g)  # a rule of the user may have been transposed
        return g

    def pair(self, record: Residual) -> tuple[Graph | None, Graph]:
        """The forward pass that makes such a record (None if another program made it) and the backward pass."""
        if record not in self.pairs:
            n = self.makers.get(record)
            if n is None:
                self.pairs[record] = None, self.simplified(record.pullback())
            else:
                passes = self.reverse.pair(self.ready(n.graphs[0]), **n.attrs)
                self.pairs[record] = tuple(map(self.simplified, passes))
        return self.pairs[record]


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
