"""How much work a program is at most, as far as that is known when it is compiled."""

from __future__ import annotations

import math

from ...ir import Apply, Array, Constant, Graph, shape_of
from .libm import INTRINSIC, SYMBOL
from .unique import trips

LONG = 1 << 12  # operations from which on a program runs without the GIL
WEIGHT = {**dict.fromkeys(("div", "sqrt", "mod", "floordiv", "fmod"), 4), **dict.fromkeys((*INTRINSIC, *SYMBOL), 16)}
PARTS = {"elem", "slice", "gather", "dim"}  # look at no more of an array than they return
MOVES = {"recur", "tuple", "get", "make", "stack_push", "stack_pop", "stack_len"}  # move references to arrays


def may_run_long(graph: Graph) -> bool:
    """Even on small arguments?  What an array of unknown size adds is not counted, if there is one among them."""
    return Work(any(isinstance(p.type, Array) for p in graph.params)).of(graph) > LONG


class Work:
    """Operations of nodes and graphs.  `sized`: what an array of unknown size adds is not counted."""

    def __init__(self, sized: bool):
        self.unknown = 0 if sized else math.inf
        self.closed: dict[Graph, float] = {}
        self.loops = 0  # around the node being counted

    def of(self, g: Graph) -> float:
        """Operations of a local graph, or of a closed one in the process of being counted."""
        return sum(map(self.node, g.nodes))

    def trip(self, loop: Apply) -> float:
        """Operations of one trip.  A loop that writes into an array has made that its own in front of it."""
        self.loops += 1
        found = self.of(loop.graphs[0])
        self.loops -= 1
        return found

    def node(self, n: Apply) -> float:
        name = n.op.name
        if name == "loop":
            start, stop = trips(n) or (None, None)
            if not (isinstance(start, Constant) and isinstance(stop, Constant)):
                return math.inf
            times = max(stop.value - start.value, 0)
            return times and times * self.trip(n)
        if name == "foreign":  # takes any time, and may want Python's lock on another thread
            return math.inf
        if name == "call":
            (g,) = n.graphs
            if g not in self.closed:
                self.closed[g] = math.inf  # what a recursion finds
                self.closed[g] = self.of(g)
            return self.closed[g]
        if n.op.nests:
            return max((self.of(g) for g in n.graphs), default=0)
        return self.elements(n) * WEIGHT.get(name, 1)

    def elements(self, n: Apply) -> float:
        touched = (n, *n.args)
        if n.op.name in MOVES:
            return 1
        if n.op.name in PARTS:
            touched = (n,)
        elif n.op.in_place and self.loops:
            touched = n.args[1:]
        shapes = [shape_of(x.type) for x in touched if isinstance(x.type, Array)]
        if n.op.name == "matmul":
            shapes = [(*shape_of(n.type), shape_of(n.args[0].type)[-1])]
        return max((self.unknown if None in s else math.prod(s) for s in shapes), default=1)
