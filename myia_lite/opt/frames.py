"""What a loop saves for the way back, where that depends on nothing but the number of the trip.

Such a loop (of points that a sum goes over, say) need not run before the one that reads its frames: each trip backward
computes its frame when it wants it.  No work is added, since nothing else wanted the loop; its frames, and the arrays
in them, are gone from memory.  What the loop checks, it checks as before, in trips that do nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import I64, Apply, Array, Builder, Clone, Constant, Graph, Node, Parameter, Scalar, Stack, Tuple, current
from ..ops.control import get, guard, loop, recur, stack_len, stack_new, stack_push, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, lt
from .fission import Trip, one_way
from .ranges import step_of
from .terms import made_by

UNIT = Tuple(())
COUNT = Stack(UNIT)
CHECKS = 8  # nodes, for the sake of checks, that may be computed both in the loop and on the way back
CHEAP = frozenset(
    "add sub mul neg abs maximum minimum eq ne lt le gt ge logical_not bit_and bit_or select cast elem isnan isinf "
    "isfinite add_overflows sub_overflows mul_overflows".split()
)


def remake_frames(g: Graph) -> int:
    """Loops that only push what the number of the trip says leave that to the loop that pops it.  Returns how many.

    Left alone: stacks with more than one reader, and loops whose checks are work (an error must come before those of
    later trips, and before whatever follows the loop, so checks stay where they are).
    """
    done = 0
    for h in list(g.nested()):
        for n in list(h.nodes):
            if n.op.name == "loop" and (saver := saving(n)) is not None:
                reader = reading(g, h, n)
                if reader is not None:
                    remake(h, saver, reader)
                    done += 1
    return done


@dataclass
class Saver:
    """A loop that counts from `first` and pushes the frame that `trip` makes, after `checks`."""

    loop: Apply
    trip: Trip
    first: Node
    limit: Node
    counter: Parameter
    push: Apply
    checks: list[Apply]


def saving(n: Apply) -> Saver | None:
    header = n.graphs[0]
    if len(header.params) != 2 or not isinstance(n.type, Tuple) or (trip := one_way(header)) is None:
        return None
    stacks = [p for p in header.params if isinstance(p.type, Stack)]
    counters = [p for p in header.params if p.type == I64]
    if len(stacks) != 1 or len(counters) != 1 or tuple(trip.elements) != (stacks[0],):
        return None
    (k,), (i,) = stacks, counters
    push, test, inside = trip.next[k], trip.test, {*header.params, *header.nodes}
    if (
        (checks := checked(trip)) is None
        or k.type == COUNT
        or step_of(trip.next[i], i) != 1
        or not made_by(push, "stack_push")
    ):
        return None
    if push.args[0] is not k or not made_by(test, "lt") or test.args[0] is not i or test.args[1] in inside:
        return None
    if sum(x is k for m in trip.uses for x in trip.uses[m]) != 1 or not made_by(
        n.args[header.params.index(k)], "stack_new"
    ):
        return None
    if checks and not holds_memory(k.type.elem):
        return None  # numbers alone are computed faster by the loop that counts upward, in vectors
    return Saver(n, trip, n.args[header.params.index(i)], test.args[1], i, push, checks)


def checked(trip: Trip) -> list[Apply] | None:
    """The guards of a trip with all that they take, where that is next to nothing and the trip raises nothing else."""
    guards = [x for x in trip.body.nodes if x.op is guard]
    if any(raises(x) for x in trip.uses if x not in guards) or any("range" in x.attrs for x in guards):
        return None
    needed = trip.needs(*guards, round=False)
    nodes = [x for x in (*trip.header.nodes, *trip.body.nodes) if x in needed]
    if len(nodes) - len(guards) > CHECKS or any(x.op.name not in CHEAP for x in nodes if x.op is not guard):
        return None
    return nodes if all(isinstance(x.type, Scalar) for x in nodes if x.op is not guard) else None


def holds_memory(t) -> bool:
    return isinstance(t, (Array, Stack)) or isinstance(t, Tuple) and any(map(holds_memory, t.elems))


def raises(n: Apply) -> bool:
    """May it, or a function that it calls?"""
    if n.op.nests:
        return any(raises(m) for h in n.graphs for m in h.nodes)
    return n.op.effect or bool(n.graphs) and n.op is not recur


@dataclass
class Reader:
    """A loop that pops the frames of the stack `taken` one by one, by `pop`, until there are none."""

    taken: Apply
    loop: Apply
    stack: Parameter
    trip: Graph
    pop: Apply


def reading(g: Graph, h: Graph, n: Apply) -> Reader | None:
    taken = users(g, n)
    if len(taken) != 1 or taken[0].op is not get or taken[0] not in h.nodes:
        return None
    (s,) = taken
    readers = users(g, s)
    if len(readers) != 1 or readers[0] not in h.nodes or readers[0].op.name != "loop":
        return None
    m = readers[0]
    if m.args.count(s) != 1 or (found := popping(m, m.args.index(s))) is None:
        return None
    return Reader(s, m, found.stack, found.trip, found.pop)


@dataclass
class Popped:
    """A stack that a loop pops in `trip`, as long as there are frames."""

    stack: Parameter
    trip: Graph
    pop: Apply


def popping(m: Apply, at: int) -> Popped | None:
    """How the loop `m` pops its argument `at`: one frame in each trip, until there is none."""
    (header,) = m.graphs
    p, r = header.params[at], header.result
    if not made_by(r, "switch") or r not in header.nodes:
        return None
    around = users(header, p)
    pops = [x for x in around if x.op.name == "stack_pop"]
    if len(pops) != 1 or any(x.op.name not in ("stack_pop", "stack_len") for x in around):
        return None
    (pop,) = pops
    homes = [k for k in r.graphs if pop in k.nodes]
    rests = [x for x in users(header, pop) if x.op is get and x.attrs["index"] == 0]
    if len(homes) != 1 or any(x.op is not get for x in users(header, pop)):
        return None
    rounds = [x for k in header.nested() for x in k.nodes if x.op is recur and x.graphs[0] is header]
    if any(x.args[at] not in rests for x in rounds):
        return None
    allowed = {*rounds, *(x for k in header.nested() for x in k.nodes if x.op is stack_len)}
    if any(x not in allowed for rest in rests for x in users(header, rest)):
        return None
    return Popped(p, homes[0], pop)


def users(g: Graph, x: Node) -> list[Apply]:
    """The nodes in `g`, and in what is nested in it, that take `x`; one that is a graph's result has itself as a user
    more, which no pattern allows."""
    found = []
    for h in g.nested():
        found += [n for n in h.nodes if x in n.args]
        if h.result is x:
            found += [x, x]
    return found


def remake(h: Graph, saver: Saver, reader: Reader) -> None:
    count = Graph("", h)
    with Builder(count):
        counted = get(_count(h, saver), index=0)
    k = h.nodes.index(saver.loop)
    h.nodes[k : k + 1] = count.nodes
    h.nodes.remove(reader.taken)
    m, pop, header = reader.loop, reader.pop, reader.loop.graphs[0]
    m.args = tuple(counted if a is reader.taken else a for a in m.args)
    reader.stack.type, pop.type = COUNT, Tuple((COUNT, UNIT))
    tops = [x for x in users(header, pop) if x.attrs["index"] == 1]
    for x in users(header, pop):
        x.type = COUNT if x.attrs["index"] == 0 else UNIT
    made = Graph("", reader.trip)
    with Builder(made):
        left = stack_len(get(pop, index=0))
        zero = isinstance(saver.first, Constant) and saver.first.value == 0
        copy = Clone({saver.counter: left if zero else add(saver.first, left)})
    for x in (*saver.trip.header.nodes[:-1], *saver.trip.body.nodes[:-1]):
        if x is not saver.push and x.op is not guard:
            copy.apply(x, made)
    frame = copy.node(saver.push.args[1])
    k = reader.trip.nodes.index(pop) + 1
    reader.trip.nodes[k:k] = made.nodes
    instead = dict.fromkeys(tops, frame)
    if made_by(frame, "tuple"):
        instead |= {x: frame.args[x.attrs["index"]] for t in tops for x in users(header, t) if x.op is get}
    for inner in header.nested():
        inner.nodes = [x for x in inner.nodes if x not in instead]
        for x in inner.nodes:
            x.args = tuple(instead.get(a, a) for a in x.args)
        inner.result = instead.get(inner.result, inner.result)
    if frame in reader.trip.nodes and not users(header, frame):
        reader.trip.nodes.remove(frame)  # its fields have gone where they are used


def _count(h: Graph, saver: Saver) -> Apply:
    """The loop with its checks and empty frames: its trip count."""
    t = Tuple((COUNT,))
    header = Graph(saver.trip.header.name, h, saver.trip.header.span)
    i, k = header.parameter(I64, "trip"), header.parameter(COUNT, "k")
    body, end = Graph(saver.trip.body.name, header), Graph(saver.trip.end.name, header)
    header.result_type = body.result_type = end.result_type = t
    checks = Clone({saver.counter: i})
    for x in saver.checks:
        checks.apply(x, body)
    b = Builder(body)
    with b:
        again = add(i, 1), stack_push(k, Constant((), UNIT))
        body.returns(b.emit(recur, *again, graphs=(header,), type=t))
    with Builder(end):
        end.returns(tuple_of(k))
    b = Builder(header)
    with b:
        header.returns(b.emit(switch, lt(i, saver.limit), graphs=(body, end), type=t))
    out = Apply(loop, (saver.first, stack_new(elem=UNIT)), {}, (header,), t, saver.loop.span)
    current().graph.nodes.append(out)
    return out
