"""The range of an integer: of a loop's counter, of a size, of what a condition has told.

Ranges are intervals of i64 values.  A sum that may leave i64 has no range, so nothing here relies on wrap-around not
happening;
but a counter that starts at a known bound and takes small steps is taken never to come round to the other end.
"""

from __future__ import annotations

from ..ir import Apply, Constant, Graph, Never, Node, Parameter, Scalar, Tuple, current, element_types

LEAST, MOST = -(2**63), 2**63 - 1
ANY = LEAST, MOST
LARGEST_SIZE = 2**47  # of an array: more than memory can address
LARGEST_STEP = 1024  # a counter would take a hundred days to overflow
DEPTH = 6
I64 = Scalar("i64")


def range_of(n: Node, walk=None, depth: int = DEPTH) -> tuple[int, int]:
    """(least, most) of an i64 scalar."""
    if n.__class__ is Constant:
        return (int(n.value), int(n.value)) if n.type == I64 else ANY
    if n.type != I64:
        return ANY
    walk = walk or current()
    known = getattr(walk, "bounds", {}).get(n, ANY)
    if n.__class__ is Apply and depth:
        a, b = _of_apply(n, walk, depth - 1)
        known = max(a, known[0]), min(b, known[1])
    return known


def _of_apply(n: Apply, walk, depth):
    name = n.op.name
    if name == "get" or name == "loop":
        loop, k = (n.args[0], n.attrs["index"]) if name == "get" else (n, 0)
        return getattr(walk, "ends", {}).get(loop, {}).get(k, ANY)
    if name in ("dim", "stack_len"):
        return 0, LARGEST_SIZE
    if name in ("argmax", "argmin"):
        return 0, LARGEST_SIZE
    rule = RULES.get(name)
    if rule is None:
        return ANY
    a, b = rule(*[range_of(x, walk, depth) for x in n.args])
    return ANY if a < LEAST or b > MOST else (a, b)


def _product(x, y):
    corners = [a * b for a in x for b in y]
    return min(corners), max(corners)


RULES = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "neg": lambda x: (-x[1], -x[0]),
    "mul": _product,
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "select": lambda c, x, y: (min(x[0], y[0]), max(x[1], y[1])),
    "mod": lambda x, y: (0, min(y[1] - 1, x[1]) if x[0] >= 0 else y[1] - 1) if y[0] > 0 else ANY,
    "floordiv": lambda x, y: (x[0] // y[0], x[1] // y[0]) if y[0] == y[1] and y[0] > 0 else ANY,
    "abs": lambda x: (0 if x[0] <= 0 <= x[1] else min(map(abs, x)), max(map(abs, x))),
    "cast": lambda x: ANY,
}


def decided(op: str, x: Node, y: Node) -> bool | None:
    """The truth of a comparison of integers, where their ranges tell."""
    (a, b), (c, d) = range_of(x), range_of(y)
    if op in ("gt", "ge"):
        a, b, c, d, op = c, d, a, b, {"gt": "lt", "ge": "le"}[op]
    if op == "lt":
        return True if b < c else False if a >= d else None
    if op == "le":
        return True if b <= c else False if a > d else None
    apart = b < c or d < a
    one = a == b == c == d
    if not apart and not one:
        return None
    return one if op == "eq" else apart


def no_overflow(op: str, x: Node, y: Node) -> bool:
    """Does the result of an i64 operation stay in i64?"""
    a, b = RULES[op](range_of(x), range_of(y))
    return a >= LEAST and b <= MOST


def narrowed(c: Apply, truth: bool, walk):
    """What a comparison of that truth tells of the ranges of its operands."""
    if len(c.args) != 2 or c.args[0].type != I64 or c.args[1].type != I64:
        return
    x, y = c.args
    name = c.op.name
    if not truth:
        name = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "ne": "eq"}.get(name)
    if name in ("gt", "ge"):
        x, y, name = y, x, {"gt": "lt", "ge": "le"}[name]
    (a, b), (p, q) = range_of(x, walk), range_of(y, walk)
    if name in ("lt", "le"):
        off = 1 if name == "lt" else 0
        new_x, new_y = (a, min(b, q - off)), (max(p, a + off), q)
    elif name == "eq":
        new_x = new_y = max(a, p), min(b, q)
    else:
        return
    for n, old, new in ((x, (a, b), new_x), (y, (p, q), new_y)):
        if n.__class__ is not Constant and new != old and new[0] <= new[1]:
            yield n, new


def induction(header: Graph, args, walk):
    """The parameters of a loop (as the walk has copied them) that only grow, or only shrink, by small known steps."""
    rounds = [m for h in header.nested() for m in h.nodes if m.op.name == "recur" and m.graphs[0] is header]
    inside: dict[Node, tuple[int, int]] = {}  # ranges in a trip that goes on
    rest = []
    for k, p in enumerate(header.params):
        if p.type != I64:
            continue
        steps = [step_of(m.args[k], p) for m in rounds]
        a, b = range_of(args[k], walk)
        if None not in steps and all(0 <= s <= LARGEST_STEP for s in steps) and a > LEAST:
            inside[p] = a, min(MOST, limit_of(header, p, walk))
            yield walk.node(p), (a, MOST)
        elif None not in steps and all(-LARGEST_STEP <= s <= 0 for s in steps) and b < MOST:
            inside[p] = LEAST, b
            yield walk.node(p), (LEAST, b)
        else:
            rest.append((k, p, (a, b)))
    own = {m for h in header.nested() for m in (*h.params, *h.nodes)}
    for k, p, (a, b) in rest:
        # what else it becomes: never anything outside of the ranges of what is put into it
        for leaf in {x for m in rounds for x in sources(m.args[k])}:
            if leaf is not p:
                c, d = in_trip(leaf, inside, own, walk, DEPTH)
                a, b = min(a, c), max(b, d)
        if (a, b) != ANY:
            inside[p] = a, b
            yield walk.node(p), (a, b)


def limit_of(header: Graph, p: Parameter, walk) -> int:
    """The most that counter `p` is in a trip, where `p < limit` lets the loop go round."""
    r = header.result
    if isinstance(r, Apply) and r.op.name == "switch" and isinstance(c := r.args[0], Apply) and c.op.name == "lt":
        goes_on = [m.op.name == "recur" for h in r.graphs[1].nested() for m in h.nodes]
        if c.args[0] is p and c.args[1] not in (*header.params, *header.nodes) and not any(goes_on):
            return range_of(walk.node(c.args[1]), walk)[1] - 1
    return MOST


def ranges_of(result: Node, walk) -> dict[int, tuple[int, int]]:
    """The ranges of the integers in the result of a loop, by their place in the tuple (0 for a single one)."""
    out = {}
    for k, t in enumerate(element_types(result.type)):
        if t == I64:
            found = [
                range_of(x, walk)
                for x in sources(result, k if isinstance(result.type, Tuple) else None)
                if not (isinstance(x, Apply) and x.op.name == "recur") and x.type is not Never
            ]
            if found and (r := (min(a for a, _ in found), max(b for _, b in found))) != ANY:
                out[k] = r
    return out


def sources(n: Node, index: int | None = None) -> list[Node]:
    """The values that `n` may be: those at the ends of branches."""
    if not isinstance(n, Apply):
        return [n]
    if n.op.name == "get":
        return sources(n.args[0], n.attrs["index"]) if n.args[0].__class__ is Apply else [n]
    if n.op.name in ("switch", "case"):
        return [x for h in n.graphs for x in sources(h.result, index)]
    if n.op.name == "tuple" and index is not None:
        return sources(n.args[index])
    if n.op.name == "select" and index is None:
        return [x for a in n.args[1:] for x in sources(a)]
    return [n]


def in_trip(n: Node, inside, own, walk, depth) -> tuple[int, int]:
    """The range of a node of a loop's body before it is copied."""
    if n in inside:
        return inside[n]
    if n not in own:
        return range_of(walk.node(n), walk) if n.type == I64 else ANY
    if not isinstance(n, Apply) or not depth or n.type != I64:
        return ANY
    if n.op.name in ("dim", "stack_len", "argmax", "argmin"):
        return 0, LARGEST_SIZE
    rule = RULES.get(n.op.name)
    if rule is None:
        return ANY
    a, b = rule(*[in_trip(x, inside, own, walk, depth - 1) for x in n.args])
    return ANY if a < LEAST or b > MOST else (a, b)


def step_of(n: Node, p: Parameter) -> int | None:
    """c where n is p + c or p - c."""
    if n is p:
        return 0
    if isinstance(n, Apply) and n.op.name in ("add", "sub") and n.args[0] is p and n.args[1].__class__ is Constant:
        return n.args[1].value if n.op.name == "add" else -n.args[1].value
    if isinstance(n, Apply) and n.op.name == "add" and n.args[1] is p and n.args[0].__class__ is Constant:
        return n.args[0].value
    return None
