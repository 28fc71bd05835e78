"""What a frame saves and what the backward pass computes again: a minimum cut."""

from __future__ import annotations

import math
from collections import defaultdict, deque

from ..ir import INTS, Apply, Array, Constant, Node, Scalar

# arithmetic that costs less than a store and a load; transcendental functions and divisions are saved
CHEAP = frozenset(
    "add sub mul neg abs sign maximum minimum eq ne lt le gt ge logical_not bit_and bit_or bit_xor select cast get "
    "add_overflows sub_overflows mul_overflows".split()
)
# parts and arrangements of arrays: to read them again through loops' own indexes costs less than an array for each trip
VIEWS = frozenset({"slice", "reshape", "transpose", "broadcast"})
WHOLE = 10**12  # capacities are ints, so that flows are exact


def weight(n) -> int:
    if not isinstance(n, Node):
        return 5
    if isinstance(n.type, Scalar):
        return 2 if n.type.dtype == "bool" else 5
    if isinstance(n.type, Array):
        return 500 + 5 * min(math.prod(1000 if d is None else d for d in n.type.shape), 10**6)
    return 20


def recomputable(n, written) -> bool:
    """Cheap arithmetic; elements and parts of arrays, and arithmetic on them, where nothing writes to these arrays."""
    if not isinstance(n, Apply) or n.op.nests:
        return False
    if n.op.name == "get":
        return isinstance(n.args[0], Apply) and n.args[0].op.name == "tuple"
    if n.op.name in ("floordiv", "mod") and n.type.dtype in INTS:  # by a constant it is a shift, or a multiplication
        return isinstance(n.args[1], Constant) and int(n.args[1].value) > 0
    if n.op.name not in CHEAP and n.op.name not in VIEWS and n.op.name != "elem":
        return False
    return all(isinstance(a.type, Scalar) or isinstance(a.type, Array) and a not in written for a in n.args)


def written_to(own: set) -> set:
    """The arrays of `own` that are written to, or handed to what may write to them: to keep one would copy it."""
    out, todo = set(), [n for n in own if isinstance(n, Apply)]
    while todo:
        n = todo.pop()
        if n.op.in_place:
            out.add(n.args[0])
        elif n.op.name in ("loop", "recur", "call"):
            out.update(n.args)
        if n.op.nests:
            todo += [m for g in n.graphs for m in g.nodes]
    return out


def min_cut(needed: list, own: set, free: set, written: set) -> list:
    """The lightest set of keys in `own` from which, with what is free, all of `needed` can be computed.

    Keys are nodes, or opaque tuples that can only be saved.  What is computed again reads none of the arrays `written`.
    The cut nearest to the needs recomputes least.
    """
    capacity: dict = defaultdict(lambda: defaultdict(int))
    order, todo = {}, [k for k in needed if k not in free]
    for k in todo:
        capacity[k, "out"]["sink"] = WHOLE
    while todo:
        k = todo.pop()
        if k in order:
            continue
        order[k] = None
        capacity[k, "in"][k, "out"] = weight(k)
        if not recomputable(k, written):
            capacity["source"][k, "in"] = WHOLE
            continue
        for a in k.args:
            if a in own and a not in free and not isinstance(a, Constant):
                capacity[a, "out"][k, "in"] = WHOLE
                todo.append(a)
    while (path := _augment(capacity)) is not None:
        flow = min(capacity[u][v] for u, v in path)
        for u, v in path:
            capacity[u][v] -= flow
            capacity[v][u] += flow
    near, todo = {"sink"}, ["sink"]
    into = defaultdict(list)
    for u, edges in capacity.items():
        for v, c in edges.items():
            if c > 0:
                into[v].append(u)
    while todo:
        for u in into[todo.pop()]:
            if u not in near:
                near.add(u)
                todo.append(u)
    return [k for k in order if (k, "out") in near and (k, "in") not in near]


def _augment(capacity):
    came, todo = {"source": None}, deque(["source"])
    while todo:
        u = todo.popleft()
        for v, c in capacity[u].items():
            if c > 0 and v not in came:
                came[v] = u
                if v == "sink":
                    path = []
                    while came[v] is not None:
                        path.append((came[v], v))
                        v = came[v]
                    return path
                todo.append(v)
    return None


def recomputation(needed: list, saved: set, own: set, free: set) -> list[Apply]:
    """The nodes to compute again, in order, once `saved` is at hand."""
    out, seen = [], set()
    todo = [(k, False) for k in reversed(needed)]
    while todo:
        k, done = todo.pop()
        if done:
            out.append(k)
        elif k not in seen and k not in saved and k in own and k not in free:
            seen.add(k)
            todo.append((k, True))
            todo += [(a, False) for a in k.args if not isinstance(a, Constant)]
    return out
