"""Stacks that grow and shrink together become one, with frames of the fields of both.

Forward mode puts a stack of tangents beside each stack that a backward pass takes apart, and as a tangent stack may end
early, each trip asks whether it has.  Where one loop pushes onto both in each trip, and another one pops both, neither
ends before the other: there is no question, there is one stack, and what is said of a loop that pops one
(`remake_frames`, say) holds of a derivative of it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Apply, Builder, Constant, Graph, Node, Parameter, Stack, Tuple
from ..ops.control import get, stack_new, stack_push
from ..ops.control import tuple_ as tuple_of
from .fission import Trip, one_way
from .frames import Popped, popping, users
from .terms import made_by


def zip_stacks(g: Graph) -> int:
    """Stacks that one loop pushes and another pops, both of them in each trip, become one.  Returns how many went.

    Left alone: stacks that something else uses, and loops with more than one way round or out.
    """
    done = 0
    for h in list(g.nested()):
        for n in list(h.nodes):
            while n.op.name == "loop" and (pair := together(g, h, n)) is not None:
                zipped(g, h, *pair)
                done += 1
    return done


@dataclass
class Grown:
    """A parameter of a loop that is a stack, from empty, with one more frame after each trip; who reads the result."""

    loop: Apply
    trip: Trip
    stack: Parameter
    push: Apply
    taken: Apply
    reader: Apply

    @property
    def fields(self) -> tuple:
        return self.stack.type.elem.elems

    @property
    def index(self) -> int:
        """Which of the loop's results it is."""
        return self.taken.attrs["index"]

    @property
    def at(self) -> int:
        """Which of the reader's arguments it is."""
        return self.reader.args.index(self.taken)


@dataclass
class Follower:
    """A stack that is popped when the lead is: by `pop` in the same graph, or in the first branch of `asks`, a switch
    on whether there is a frame left.  `rests`: what is left of it; `tops`: the frame."""

    stack: Parameter
    pop: Apply
    asks: Apply | None
    rests: list[Apply]
    tops: list[Apply]


def together(g: Graph, h: Graph, n: Apply) -> tuple[Grown, Popped, Grown, Follower] | None:
    """Two stacks of loop `n` that are always of one length."""
    if not isinstance(n.type, Tuple) or sum(isinstance(p.type, Stack) for p in n.graphs[0].params) < 2:
        return None
    trip = one_way(n.graphs[0])
    gets = users(g, n)
    if trip is None or any(x.op is not get for x in gets):
        return None
    found = [s for p in n.graphs[0].params if (s := grown(g, h, n, trip, p, gets)) is not None]
    for a in found:
        rest = [b for b in found if b is not a and b.reader is a.reader]
        lead = popping(a.reader, a.at) if rest else None
        if lead is None or any(x.op is not get for t in tops_of(a.reader, lead.pop) for x in users(lead.trip, t)):
            continue
        for b in rest:
            if (follower := following(b.reader, b.at, lead)) is not None:
                return a, lead, b, follower
    return None


def grown(g: Graph, h: Graph, n: Apply, trip: Trip, p: Parameter, gets: list[Apply]) -> Grown | None:
    push, header = trip.next[p], n.graphs[0]
    if not isinstance(p.type, Stack) or not isinstance(p.type.elem, Tuple) or not made_by(push, "stack_push"):
        return None
    if push.args[0] is not p or users(header, push) != [trip.body.result] or trip.elements.count(p) != 1:
        return None
    if set(users(header, p)) != {push, trip.end.result} or trip.body.result.args.count(push) != 1:
        return None
    if not made_by(n.args[header.params.index(p)], "stack_new"):
        return None
    if isinstance(push.args[1], Constant) and p.type.elem.elems:
        return None
    taken = [x for x in gets if x.attrs["index"] == trip.elements.index(p)]
    readers = users(g, taken[0]) if len(taken) == 1 and taken[0] in h.nodes else []
    if len(readers) != 1 or readers[0] not in h.nodes or readers[0].op.name != "loop":
        return None
    return Grown(n, trip, p, push, taken[0], readers[0]) if readers[0].args.count(taken[0]) == 1 else None


def tops_of(m: Apply, pop: Apply) -> list[Apply]:
    return [x for x in users(m.graphs[0], pop) if x.op is get and x.attrs["index"] == 1]


def following(m: Apply, at: int, lead: Popped) -> Follower | None:
    """How the loop `m` pops its argument `at`, if it does so whenever it pops the lead."""
    (header,) = m.graphs
    q = header.params[at]
    around = users(header, q)
    pops = [x for x in around if x.op.name == "stack_pop"]
    if len(pops) != 1 or any(x.op is not get for x in users(header, pops[0])):
        return None
    (pop,) = pops
    asks = None if pop in lead.trip.nodes else next((s for s in lead.trip.nodes if asking(s, q, pop)), None)
    if asks is None and pop not in lead.trip.nodes or asks is not None and asks is lead.trip.result:
        return None
    dropped = set() if asks is None else {x for k in asks.graphs[1].nested() for x in k.nodes}
    if any(x is not pop and x.op.name != "stack_len" and x not in dropped for x in around):
        return None
    tops = tops_of(m, pop)
    rests = [x for x in users(header, pop) if x not in tops]
    if any(x.op is not get for t in tops for x in users(header, t)):
        return None
    if asks is not None:
        gets, full = users(header, asks), asks.graphs[0]
        if any(x.op is not get for x in gets) or any(users(header, r) != [full.result] for r in rests):
            return None
        rests = [x for x in gets if full.result.args[x.attrs["index"]] in rests]
    rounds = [x for k in header.nested() for x in k.nodes if x.op.name == "recur" and x.graphs[0] is header]
    if any(x.args[at] not in rests for x in rounds) or any(x not in rounds for r in rests for x in users(header, r)):
        return None
    if any(x.args.count(r) > 1 for x in rounds for r in rests):
        return None
    return Follower(q, pop, asks, rests, tops)


def asking(s: Apply, q: Parameter, pop: Apply) -> bool:
    """Is it `switch(stack_len(q) > 0)` with `pop` in the first branch?"""
    if s.op.name != "switch" or pop not in s.graphs[0].nodes or not made_by(s.graphs[0].result, "tuple"):
        return False
    c = s.args[0]
    if not made_by(c, "gt") and not made_by(c, "lt"):
        return False
    length, zero = c.args if c.op.name == "gt" else c.args[::-1]
    return made_by(length, "stack_len") and length.args[0] is q and isinstance(zero, Constant) and zero.value == 0


def zipped(g: Graph, h: Graph, a: Grown, lead: Popped, b: Grown, follower: Follower) -> None:
    """The frames of `b` become fields of those of `a`."""
    count = len(a.fields)
    frame = Tuple((*a.fields, *b.fields))
    at, m = b.at, b.reader
    push_both(g, h, a, b, frame)
    pop_both(a, lead, follower, frame, count)
    m.args = (*m.args[:at], *m.args[at + 1 :])
    (header,) = m.graphs
    header.params.remove(follower.stack)
    for k in header.nested():
        for x in k.nodes:
            if x.op.name == "recur" and x.graphs[0] is header:
                x.args = (*x.args[:at], *x.args[at + 1 :])


def push_both(g: Graph, h: Graph, a: Grown, b: Grown, frame: Tuple) -> None:
    n, trip, stack = a.loop, a.trip, Stack(frame)
    (header,) = n.graphs
    old, again = header.params.index(b.stack), trip.body.result
    parts = Graph("", trip.body)
    a.stack.type = stack
    with Builder(parts):
        push = stack_push(a.stack, tuple_of(*fields_of(a.push), *fields_of(b.push)))
    frames = [x.push.args[1] for x in (a, b) if made_by(x.push.args[1], "tuple")]
    gone = {a.push, b.push, *(x for x in frames if len(users(header, x)) == 1)}
    for k in (header, trip.body):
        k.nodes = [x for x in k.nodes if x not in gone]
    end = trip.body.nodes.index(again)
    trip.body.nodes[end:end] = parts.nodes
    next_ = [push if x is a.push else x for x in again.args]
    again.args = (*next_[:old], *next_[old + 1 :])
    header.params.remove(b.stack)
    first, last = a.index, b.index
    types = [stack if k == first else t for k, t in enumerate(n.type.elems) if k != last]
    out = trip.end.result
    out.args = tuple(x for k, x in enumerate(out.args) if k != last)
    for x in (n, again, out, header.result):
        x.type = Tuple(tuple(types))
    for k in (header, trip.body, trip.end):
        k.result_type = n.type
    empty = Apply(stack_new, (), {"elem": frame}, (), stack, n.span)
    h.nodes.insert(h.nodes.index(n), empty)
    before = [*header.params[:old], b.stack, *header.params[old:]]
    start = [empty if p is a.stack else x for p, x in zip(before, n.args, strict=True)]
    n.args = (*start[:old], *start[old + 1 :])
    h.nodes.remove(b.taken)
    for x in users(g, n):
        k = x.attrs["index"]
        x.attrs = {"index": k - (k > last)}
    a.taken.type = stack


def fields_of(push: Apply) -> list[Node]:
    frame = push.args[1]
    if made_by(frame, "tuple"):
        return list(frame.args)
    return [] if isinstance(frame, Constant) else [get(frame, index=k) for k in range(len(frame.type.elems))]


def pop_both(a: Grown, lead: Popped, follower: Follower, frame: Tuple, count: int) -> None:
    (header,) = a.reader.graphs
    trip, p, pop = lead.trip, lead.stack, lead.pop
    p.type, pop.type = Stack(frame), Tuple((Stack(frame), frame))
    for x in users(header, pop):
        x.type = pop.type.elems[x.attrs["index"]]
    front = Graph("", trip)
    front.nodes.append(pop)
    with Builder(front):
        top = get(pop, index=1)
        instead: dict[Node, Node] = {
            x: get(top, index=count + x.attrs["index"]) for t in follower.tops for x in users(header, t)
        }
    gone = {follower.pop, *follower.tops, *follower.rests, *instead, *users(header, follower.pop)}
    if follower.asks is not None:
        full = follower.asks.graphs[0]
        result = full.result
        gone |= {follower.asks, result, *users(header, follower.asks)}
        for x in users(header, follower.asks):
            if x not in follower.rests:
                y = result.args[x.attrs["index"]]
                instead[x] = instead.get(y, y)
        inner = [x for x in full.nodes if x not in gone]
        for x in inner:
            for k in x.graphs if x.op.nests else ():
                k.parent = trip
        k = trip.nodes.index(follower.asks)
        trip.nodes[k:k] = inner
    trip.nodes = [*front.nodes, *(x for x in trip.nodes if x is not pop)]
    for k in header.nested():
        k.nodes = [x for x in k.nodes if x not in gone]
        for x in k.nodes:
            x.args = tuple(p if y is follower.stack and x.op.name == "stack_len" else instead.get(y, y) for y in x.args)
        k.result = instead.get(k.result, k.result)
