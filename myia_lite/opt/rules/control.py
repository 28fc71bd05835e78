"""Control: branches and cases that are known, loops, calls, guards."""

from __future__ import annotations

from ...ir import Apply, Constant, Graph, Never, Tuple
from ..program import size
from ..ranges import step_of
from ..rule import RuleSet, control
from ..terms import same_value

TRIPS, UNROLLED, UNROLLED_IN_ALL = (
    8,
    96,
    1000,
)  # trips of a loop that is unrolled; nodes that come of it, and of all such loops


@control("guard", "guard(True) == ()")
def guard_true(walk, n, args):
    if args[0].__class__ is Constant and args[0].value:
        return Constant((), Tuple(()))


@control("switch", "switch(True) { a } { b } == a(), switch(False) { a } { b } == b()")
def switch_known(walk, n, args):
    if args[0].__class__ is Constant:
        return walk.splice(n.graphs[0 if args[0].value else 1], ())


@control("switch", "switch(c) { a } { a } == a()")
def switch_same(walk, n, args):
    then, other = n.graphs
    if not then.nodes and not other.nodes:
        a, b = walk.node(then.result), walk.node(other.result)
        if (
            a is b
            or a.__class__ is Constant
            and b.__class__ is Constant
            and a.type == b.type
            and repr(a.value) == repr(b.value)
        ):
            return a


@control("get", "get[k](switch(c) { …, x } { …, x }) == x")
def same_in_all_branches(walk, n, args):
    (t,) = args
    if not isinstance(t, Apply) or t.op.name not in ("switch", "case"):
        return None
    found = None
    for h in t.graphs:
        r = h.result
        if r.type is Never:
            continue
        if not isinstance(r, Apply) or r.op.name != "tuple" or r not in h.nodes:
            return None
        x = r.args[n.attrs["index"]]
        inside = not isinstance(x, Constant) and walk.level.get(x, 0) > walk.level.get(t, 0)
        if inside or found is not None and not same_value(found, x):
            return None
        found = x
    return found


@control("case", "case(make[k](xs)) { f }… == f[k](xs)")
def case_known(walk, n, args):
    (v,) = args
    if isinstance(v, Apply) and v.op.name == "make":
        return walk.splice(n.graphs[v.type.index(v.attrs["tag"])], v.args)


@control("case", "case(switch(c) { a } { b }) {…} == switch(c) { case(a) {…} } { case(b) {…} }")
def case_of_case(walk, n, args):
    return walk.goes_on(n.args[0], n) if n.args[0] in walk.deferred else None


def rounds_of(header: Graph) -> list[Apply]:
    return [m for h in header.nested() for m in h.nodes if m.op.name == "recur" and m.graphs[0] is header]


@control("loop", "loop(xs) { f without recur } == f(xs)")
def loop_once(walk, n, args):
    (header,) = n.graphs
    return None if rounds_of(header) else walk.splice(header, args)


@control("loop", "loop { f } of few known trips == f, so many times")
def loop_unrolled(walk, n, args):
    (header,) = n.graphs
    trips = known_trips(walk, header, args)
    if trips is None or trips > TRIPS or walk.raw:
        return None
    nodes = size(header) * (trips + 1)
    if nodes > UNROLLED or walk.unrolled + nodes > UNROLLED_IN_ALL:
        return None
    walk.unrolled += nodes
    walk.unrolling[header], walk.turns[header.result] = trips, header
    result = walk.splice(header, args)
    del walk.unrolling[header], walk.turns[header.result]
    return result


def known_trips(walk, header: Graph, args) -> int | None:
    """How often a loop goes round whose counter, its limit and its step are known, if nothing else ends it."""
    r = header.result
    if (
        not isinstance(r, Apply)
        or r.op.name != "switch"
        or not isinstance(c := r.args[0], Apply)
        or c not in header.nodes
    ):
        return None
    rounds = rounds_of(header)
    if len(rounds) != 1 or c.op.name != "lt" or c.args[0] not in header.params or rounds[0] not in r.graphs[0].nodes:
        return None
    k = header.params.index(c.args[0])
    limit, step = walk.node(c.args[1]), step_of(rounds[0].args[k], c.args[0])
    if (
        limit.__class__ is not Constant
        or args[k].__class__ is not Constant
        or not step
        or step < 0
        or limit.type != args[k].type
    ):
        return None
    return max(0, -((args[k].value - limit.value) // step))


@control("loop", "loop(x, y) { f(x', y), y unchanged } == loop(x) { f(x') }")
def loop_unchanged(walk, n, args):
    (header,) = n.graphs
    if header in walk.dropped:
        return None
    rounds = rounds_of(header)
    kept = [any(m.args[k] is not p for m in rounds) for k, p in enumerate(header.params)]
    walk.dropped[header] = kept
    if all(kept):
        return None
    return walk.visit_loop(n, args)


@control("call", "call @f(xs) == the body of f, where f is small, or called once")
def call_inlined(walk, n, args):
    (g,) = n.graphs
    if "checkpoint" in n.attrs:  # inlined, it would share its nodes with what runs it again
        return None
    return walk.splice(g, args) if walk.inline is not None and walk.inline(g) else None


BRANCHES = RuleSet("branches", guard_true, same_in_all_branches, switch_known, switch_same, case_known, case_of_case)
LOOPS = RuleSet("loops", loop_once, loop_unchanged)
UNROLLING = RuleSet("unrolling", loop_unrolled)
CALLS = RuleSet("calls", call_inlined)
