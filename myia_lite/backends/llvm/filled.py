"""Arrays made of one constant that the loop they enter then writes over: `out = np.zeros(n)`, `out[i] = …` in a loop.

The constant is not written first.  `Fillings` says which arrays these are; the loop, as it is entered, writes
the constant where no trip writes (`rest`).  A write that adds to an element of such an array is one that sets it.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

from ...ir import Apply, Constant, Graph, Node, Stack, shape_of
from .layout import I64, ArrayValue, element, i64
from .loopnest import counted
from .scalars import to_memory
from .unique import counter, emptied, tail

MOST = 8  # elements before the first that the loop writes
MANY = 4096  # elements that a trip writes


class Counter(NamedTuple):
    """`number` takes each value from `start` to the one before `stop`, once and in either direction; `stop` may be a
    stack, for its length."""

    number: Node
    start: int
    stop: Node
    upward: bool


class Filling(NamedTuple):
    """What a loop does to an array that enters it: in one dimension it writes the elements from `first` to before
    `stop` + `shift`, in more dimensions all of them (`stop` is None)."""

    made: Apply
    preset: frozenset[int] = frozenset()
    first: int = 0
    stop: Node | None = None
    shift: int = 0


class Fillings:
    """Of one closed graph: `arrays` that are not written when they are made; `entering`: by loop and parameter;
    `still`: nodes that read an element, perhaps to add to it, in front of the only write to it, with the constant."""

    def __init__(self, graph: Graph):
        self.arrays: set[Apply] = set()
        self.entering: dict[tuple[Apply, int], Filling] = {}
        self.still: dict[Apply, Constant] = {}
        self.users: dict[Node, list[Node]] = {}
        self.home: dict[Node, Graph] = {}
        for g in graph.nested():
            for n in g.nodes:
                self.home[n] = g
                for a in n.args:
                    self.users.setdefault(a, []).append(n)
            self.users.setdefault(g.result, []).append(g)
        for n in self.home:
            if n.op.name == "broadcast" and isinstance(n.args[0], Constant):
                self._of(n)

    def _uses(self, n: Node) -> list:
        """Sizes are at hand without an array's elements."""
        return [u for u in self.users.get(n, ()) if not (isinstance(u, Apply) and u.op.name == "dim")]

    def _of(self, made: Apply) -> None:
        array, preset = made, set()
        while True:
            uses = self._uses(array)
            if len(uses) != 1 or self.home.get(uses[0]) is not self.home[made]:
                return
            (user,) = uses
            if user.op.name != "set_elem" or user.args[0] is not array or len(user.args) != 3:
                break
            if not isinstance(user.args[2], Constant):
                return
            preset.add(user.args[2].value)
            array = user
        if user.op.name != "loop":
            return
        k = user.args.index(array)
        written = self._written(user, k, ())
        if written is None:
            return
        writes, counters = written
        filling = _filling(made, frozenset(preset), writes, counters)
        if filling is None or not self._reads_what_is_there(user, k, counters, filling):
            return
        self.arrays.add(made)
        self.entering[user, k] = filling
        if writes[0].op.name == "add_elem":
            self.still[writes[0]] = made.args[0]

    def _written(self, loop: Apply, k: int, outside: tuple[Counter, ...]):
        """The writes into parameter `k` that each trip makes, and the counters of the loops around them."""
        found = _counter(loop)
        if found is None:
            return None
        number, body = found
        version, counters, writes = loop.graphs[0].params[k], (*outside, number), []
        while version is not tail(body).args[k]:
            writers = [
                n for n in self._uses(version) if isinstance(n, Apply) and (n.op.in_place or n.op.name == "loop")
            ]
            if len(writers) != 1 or self.home[writers[0]] is not body or writers[0].args.count(version) != 1:
                return None
            (write,) = writers
            if write.op.name == "loop":
                index = _place(write.graphs[0], write.args.index(version))
                after = write if index is None else _taken(body, write, index)
                inner = self._written(write, write.args.index(version), counters)
                return inner if inner and not writes and tail(body).args[k] is after else None
            if write.args[0] is not version:
                return None
            writes.append(write)
            version = write
        return (writes, counters) if writes else None

    def _reads_what_is_there(self, loop: Apply, k: int, counters, filling: Filling, inside: bool = False) -> bool:
        """Is nothing read before all trips are over, but elements that are written by then?"""
        number, body = _counter(loop)
        p, again = loop.graphs[0].params[k], tail(body)
        ends = {h for end in tail(loop.graphs[0]).graphs if end is not body for h in _local(end)}
        versions = [p]
        for version in versions:
            for user in self._uses(version):
                if isinstance(user, Graph):
                    if user not in ends:
                        return False
                elif self.home[user] in ends:
                    if inside and user.op.name != "tuple":
                        return False
                elif user.op.name == "elem" and len(counters) == 1 and filling.stop is not None:
                    shift = _shift(user.args[1], number.number)
                    if version is p and shift == filling.shift:
                        self.still[user] = filling.made.args[0]
                    elif shift is None or not number.upward or not -number.start <= shift <= filling.shift:
                        return False
                elif user is again:
                    if version is not again.args[k] or again.args.count(version) != 1:
                        return False
                elif self.home[user] is not body:
                    return False
                elif user.op.in_place and user.args[0] is version:
                    versions.append(user)
                else:
                    if user.op.name != "loop" or version is not p:
                        return False
                    if not self._reads_what_is_there(user, user.args.index(p), counters, filling, True):
                        return False
                    versions.append(again.args[k])
        return True


def _counter(loop: Apply) -> tuple[Counter, Graph] | None:
    """How a loop counts, and the graph of a trip."""
    found, g = counter(loop), loop.graphs[0]
    if found is not None:
        index, body, stop = found
        start = loop.args[index]
        if not isinstance(start, Constant) or start.value < 0:
            return None
        return Counter(g.params[index], start.value, stop, True), body
    k = emptied(loop)
    if k is None:
        return None
    body = tail(g).graphs[1]
    rest = tail(body).args[k]
    lengths = [n for n in body.nodes if n.op.name == "stack_len" and n.args[0] is rest]
    return (Counter(lengths[0], 0, loop.args[k], False), body) if len(lengths) == 1 else None


def _filling(made: Apply, preset: frozenset[int], writes: list[Apply], counters: tuple[Counter, ...]):
    shape, found = shape_of(made.type), [_indexes(w) for w in writes]
    if None in found:
        return None
    if len(counters) == len(shape) == 1:
        (only,) = counters
        shifts = {_shift(at[0], only.number) if sizes == (1,) else None for at, sizes in found}
        shift = shifts.pop()
        if shifts or shift is None or not max(preset, default=-1) < only.start + shift <= MOST:
            return None
        return Filling(made, preset, only.start + shift, only.stop, shift)
    if preset or not _all_written(made, found, counters):
        return None
    return Filling(made)


def _all_written(made: Apply, found: list[tuple], counters: tuple[Counter, ...]) -> bool:
    """Do the counters of the loops run along some axes, from end to end, and the writes of a trip cover the others?"""
    shape, (first, _) = shape_of(made.type), found[0]
    counted = {axis: c for axis, index in enumerate(first) for c in counters if c.number is index}
    fixed = [axis for axis in range(len(shape)) if axis not in counted]
    if len(counted) != len(counters) or any(shape[axis] is None for axis in fixed):
        return False
    if any(c.start != 0 or not _is_size(c.stop, made, axis) for axis, c in counted.items()):
        return False
    if any(at[axis] is not first[axis] or sizes[axis] != 1 for at, sizes in found for axis in counted):
        return False
    places = prod(shape[axis] for axis in fixed)
    if places > MANY:  # then one write has to cover them
        return any(all(sizes[axis] == shape[axis] for axis in fixed) for _, sizes in found)
    covered = set()
    for at, sizes in found:
        if not all(isinstance(at[axis], Constant) and sizes[axis] is not None for axis in fixed):
            return False
        covered.update(product(*(range(at[axis].value, at[axis].value + sizes[axis]) for axis in fixed)))
    return len(covered) == places


def _indexes(write: Apply):
    """(where, how many) along each axis; None where that is not known."""
    if write.op.name in ("set_elem", "add_elem"):
        return write.args[2:], (1,) * (len(write.args) - 2)
    if write.op.name == "slice_set" and all(s == 1 for s in write.attrs["steps"]):
        return write.args[2:], shape_of(write.args[1].type)
    return None


def _shift(index: Node, number: Node) -> int | None:
    """c, where an index is number + c."""
    if index is number:
        return 0
    if isinstance(index, Apply) and index.op.name == "add" and number in index.args:
        other = index.args[1 - index.args.index(number)]
        return other.value if isinstance(other, Constant) else None
    return None


def _is_size(stop: Node, made: Apply, axis: int) -> bool:
    size = made.attrs["shape"][axis]
    if size is not None:
        return isinstance(stop, Constant) and stop.value == size
    unknown = [k for k, d in enumerate(made.attrs["shape"]) if d is None]
    return stop is made.args[1 + unknown.index(axis)]


def _place(g: Graph, k: int) -> int | None:
    """Where in a loop's result parameter `k` is; None where it is all of it."""
    p = g.params[k]
    for h in _local(g):
        if h.result is p:
            return None
        if isinstance(h.result, Apply) and h.result.op.name == "tuple" and p in h.result.args:
            return h.result.args.index(p)
    return -1


def _taken(g: Graph, of: Node, index: int) -> Node | None:
    found = [n for n in g.nodes if n.op.name == "get" and n.args[0] is of and n.attrs["index"] == index]
    return found[0] if len(found) == 1 else None


def _local(g: Graph):
    """Graphs that a trip goes through, those of loops inside it left out."""
    yield g
    end = tail(g)
    for h in end.graphs if end is not None and end.op.name == "switch" else ():
        yield from _local(h)


def rest(ctx, filling: Filling, array: ArrayValue) -> None:
    """Write the constant where the loop, which is entered now, does not."""
    if filling.stop is None:
        return
    b, (size,) = ctx.b, array.dims
    constant = to_memory(b, ctx.scalar(filling.made.args[0]), array.type.dtype)

    def put(at):
        b.store(constant, b.gep(array.data, [at], inbounds=True, source_etype=element(array.type)))

    for j in range(filling.first):
        if j not in filling.preset:
            with b.if_then(b.icmp_signed("<", i64(j), size)):
                put(i64(j))
    stop = ctx.value(filling.stop)
    if isinstance(filling.stop.type, Stack):
        stop = stop.length
    end = b.call(ctx.intrinsic("llvm.smax.i64", I64, [I64, I64]), [i64(filling.first), b.add(stop, i64(filling.shift))])
    with counted(b, size, first=end) as i:
        put(i)
