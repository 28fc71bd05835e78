"""Loops that are marked with `checkpoint`, as loops over chunks: of these, reverse mode saves only the state in front.

    loop[checkpoint=k](init) {L}  =  loop(init) { r = call[checkpoint] chunk(m, state, free);
                                                  case(r) { going: recur with the state, left: the result } }

`chunk` is a closed graph: L for at most m trips, and its result an *outcome*: still going, with the state, or left,
with the result of the exit.  A checkpointed call saves its arguments alone, so what is alive at once in the backward
pass are the states in front of the chunks, and what the trips of one chunk save.  With n trips and k levels m is
n^(1 - 1/k), and the loop in the chunk is itself marked with k - 1 levels: k * n^(1/k) states.  Where n is not known at
the loop's entry, chunk number i has i^(k-1) trips, which comes to the same.  "log": a chunk of 2^d trips is two of
2^(d-1), recursively, and the chunks double: about 2 * log2(n) states, and log2(n) / 2 times the work.
"""

from __future__ import annotations

from ..ir import (
    F64,
    I64,
    Apply,
    Builder,
    Clone,
    Constant,
    Graph,
    Never,
    Node,
    Sum,
    Tuple,
    current,
    element_types,
    free_variables,
)
from ..ops.control import call, case, loop, make, recur, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, cast, ceil, eq, lt, maximum, mul, pow, sub
from .sites import Site, sites
from .tangent import elements

TRIPS = 16  # of the smallest chunk, where chunks are halved: a state costs more than a few trips


def is_marked(n: Apply) -> bool:
    return n.op is loop and "checkpoint" in n.attrs


def in_chunks(g: Graph) -> Graph:
    """The closed graph `g`, rewritten in place, without marked loops."""
    todo = [g]
    while todo:
        h = todo.pop()
        for n in [n for n in h.nodes if is_marked(n)]:
            levels = n.attrs["checkpoint"]
            n.attrs = {k: v for k, v in n.attrs.items() if k != "checkpoint"}
            if n.type is not Never:
                _Chunks(h, n, levels).rewrite()
        todo += h.subgraphs()
    return g


def made_by(n: Node, op) -> bool:
    return isinstance(n, Apply) and n.op is op


def has_marks(g: Graph) -> bool:
    return any(is_marked(n) for h in g.nested() for n in h.nodes)


class _Chunks:
    """One loop `n` of the graph `outer`."""

    def __init__(self, outer: Graph, n: Apply, levels):
        self.outer, self.n, self.levels = outer, n, levels
        (self.header,) = n.graphs
        self.free = free_variables(self.header)
        self.exits = element_types(n.type)
        state = tuple(p.type for p in self.header.params)
        self.outcome = Sum(f"after_{self.header.name}", {"going": state, "left": self.exits})
        self.halves: Graph | None = None

    def rewrite(self) -> None:
        n, h, header = self.n, self.outer, self.header
        at = h.nodes.index(n)
        after, h.nodes = h.nodes[at:], h.nodes[:at]
        with Builder(h, n.span):
            count = None if self.levels == "log" else self.count()
            trips = None if count is None else self.share(count)
        h.nodes += after
        new = Graph(header.name, h, header.span)
        number = None if trips is not None else new.parameter(I64, "chunk")
        state = [new.parameter(p.type, p.name, p.span) for p in header.params]
        chunk = self.halved() if self.levels == "log" else self.chunk()
        new.result_type = n.type
        with Builder(new, n.span):
            size = trips if trips is not None else number if self.levels == "log" else self.power_of(number)
            r = self.run(chunk, size, state)
            going, left = self.after(new, r)
            with Builder(going, n.span):
                fields = [] if number is None else [add(number, 1)]
                going.result = current().emit(recur, *fields, *going.params, graphs=(new,), type=n.type)
            with Builder(left, n.span):
                left.result = tuple_of(*left.params) if isinstance(n.type, Tuple) else left.params[0]
            going.result_type = left.result_type = n.type
            new.result = current().emit(case, r, graphs=(going, left), type=n.type)
        n.graphs = (new,)
        if number is not None:
            n.args = (Constant(0 if self.levels == "log" else 1, I64), *n.args)

    # ---- how many trips
    def count(self) -> Node | None:
        """How many trips the loop has at most, where its head says so: `switch(k < n)`, k one more on each trip."""
        test = self.header.result
        if not (made_by(test, switch) and made_by(test.args[0], lt)):
            return None
        k, n = test.args[0].args
        if k not in self.header.params or n.type != I64 or not (isinstance(n, Constant) or n in self.free):
            return None
        at = self.header.params.index(k)
        rounds, _ = sites(self.header)
        for site in rounds:
            a = site.leaf.args[at]
            if not (made_by(a, add) and a.args[0] is k and isinstance(a.args[1], Constant) and a.args[1].value == 1):
                return None
        return sub(n, self.n.args[at])

    def share(self, count: Node) -> Node:
        """n^(1 - 1/levels), of which there are n^(1/levels): at least one, and rounded up."""
        size = cast(maximum(count, 1), dtype="f64")
        return cast(ceil(pow(size, Constant(1.0 - 1.0 / self.levels, F64))), dtype="i64")

    def power_of(self, number: Node) -> Node:
        size = number
        for _ in range(self.levels - 2):
            size = mul(size, number)
        return size

    # ---- the chunk
    def run(self, chunk: Graph, size: Node, state) -> Node:
        return current().emit(call, size, *state, *self.free, graphs=(chunk,), checkpoint=True)

    def after(self, parent: Graph, r: Node) -> tuple[Graph, Graph]:
        """Two empty graphs for a `case` on the outcome `r`."""
        going, left = Graph("going", parent), Graph("left", parent)
        for p in self.header.params:
            going.parameter(p.type, p.name, p.span)
        for t in self.exits:
            left.parameter(t)
        return going, left

    def interface(self, name: str):
        """An empty closed graph (number, state, free) -> outcome; and its parameters."""
        g = Graph(name, None, self.header.span)
        size = g.parameter(I64, "size")
        state = [g.parameter(p.type, p.name, p.span) for p in self.header.params]
        free = [g.parameter(a.type, a.name, a.span) for a in self.free]
        g.result_type = self.outcome
        return g, size, state, free

    def chunk(self) -> Graph:
        """The closed graph (most trips, state, free) -> outcome."""
        out, most, state, free = self.interface(f"chunk_{self.header.name}")
        with Builder(out, self.n.span):
            attrs = {"checkpoint": self.levels - 1} if self.levels > 2 else {}
            out.result = self.trips(out, most, state, free, attrs)
        return out

    def halved(self) -> Graph:
        """The closed graph (d, state, free) -> outcome of TRIPS * 2^d trips: a half, and if that goes on another."""
        out, depth, state, free = self.interface(f"halves_{self.header.name}")
        small, large = Graph("small", out), Graph("large", out)
        small.result_type = large.result_type = self.outcome
        with Builder(out, self.n.span):
            with Builder(small, self.n.span):
                small.result = self.trips(small, Constant(TRIPS, I64), state, free, {})
            with Builder(large, self.n.span):
                less = sub(depth, 1)
                r = current().emit(call, less, *state, *free, graphs=(out,), checkpoint=True)
                going, left = self.after(large, r)
                with Builder(going, self.n.span):
                    going.result = current().emit(call, less, *going.params, *free, graphs=(out,), checkpoint=True)
                with Builder(left, self.n.span):
                    left.result = make(*left.params, sum=self.outcome, tag="left")
                going.result_type = left.result_type = self.outcome
                large.result = current().emit(case, r, graphs=(going, left))
            out.result = current().emit(switch, eq(depth, 0), graphs=(small, large))
        return out

    def trips(self, out: Graph, most: Node, state, free, attrs) -> Node:
        """The loop itself, in the graph `out`, for at most `most` trips."""
        header, rounds = self.header, sites(self.header)[0]
        leaves = {s.graph: s for group in sites(header) for s in group}
        again = {s.graph for s in rounds}
        new = Graph(header.name, out, header.span)
        trip = new.parameter(I64, "trip")
        params = [new.parameter(p.type, p.name, p.span) for p in header.params]
        new.result_type = self.outcome
        env = Clone({**dict(zip(header.params, params, strict=True)), **dict(zip(self.free, free, strict=True))})

        def region(h: Graph, g: Graph) -> None:
            """Copy `h`, which is in tail position, into `g`."""
            site: Site | None = leaves.get(h)
            tail = h.result if site is None else site.leaf if h in again else None
            for m in h.nodes:
                if m is not tail:
                    env.apply(m, g)
            with Builder(g, h.result.span or self.n.span):
                if h in again:
                    args = [add(trip, 1), *map(env.node, site.leaf.args)]
                    g.result = current().emit(recur, *args, graphs=(new,), type=self.outcome)
                elif site is not None:
                    g.result = make(*elements(env.node(site.leaf)), sum=self.outcome, tag="left")
                elif (made_by(tail, switch) or made_by(tail, case)) and tail in h.nodes:
                    graphs = []
                    for b in tail.graphs:
                        c = Graph(b.name, g, b.span)
                        for p in b.params:
                            env.nodes[p] = c.parameter(p.type, p.name, p.span)
                        region(b, c)
                        graphs.append(c)
                    g.result = current().emit(tail.op, *map(env.node, tail.args), graphs=graphs, type=self.outcome)
                else:  # it never returns
                    g.result = env.apply(tail, g)
            g.result_type = self.outcome

        go, pause = Graph("go", new), Graph("pause", new)
        region(header, go)
        with Builder(pause, self.n.span):
            pause.returns(make(*params, sum=self.outcome, tag="going"))
        with Builder(new, self.n.span):
            new.result = current().emit(switch, lt(trip, most), graphs=(go, pause), type=self.outcome)
        return current().emit(loop, Constant(0, I64), *state, graphs=(new,), type=self.outcome, **attrs)
