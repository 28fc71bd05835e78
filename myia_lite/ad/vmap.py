"""A closed graph for each row of some of its arguments: many rows at once, a few side by side, or one after another.

Which of them is decided by where the work is.  Operations of many elements stay what they are with one more axis:
`Stacked`.  Where most of what varies is numbers, an array for each of them would cost more than its arithmetic: these
go in `Lanes`, so many that what is computed once for them pays, and the program keeps a bounded size.  Rows that are
too many for one group go in a loop over groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..ir import (
    I64,
    Array,
    Builder,
    Clone,
    Constant,
    Graph,
    Node,
    Scalar,
    Tuple,
    constant,
    current,
    element_types,
    shape_of,
)
from ..ops.arrays import broadcast, dim, dims, repeated, row, set_row, slice, slice_set
from ..ops.control import loop, recur, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import floordiv, lt, minimum
from .batching import Batching
from .rows import Lanes, Stacked
from .tangent import elements
from .varying import Calls, Dependent, Mask, all_leaves

LANES = 8
NODES = 2000  # of what varies, times lanes: the size of the program
STACKED = 64  # rows
# elements of the largest array that varies, times rows: beyond the caches more rows at once gain nothing and take
# memory; maps and views mostly vanish into what reads them
ELEMENTS, OF_MAPS = 2**16, 2**20
VIEWS = frozenset({"broadcast", "reshape", "transpose", "slice", "gather"})
TRIPS, UNKNOWN = 16, 64  # taken for a loop, and for a dim that only the running program knows


def vmap(g: Graph, over: tuple[int, ...], lead: int | None) -> Graph:
    """The closed graph (arguments of g, those in `over` with an axis of length `lead` in front, then for each result
    with an unknown dim an array of its shape) -> (results of g with that axis…)."""
    calls, mask = Calls(), frozenset((k, ()) for k in over)
    try:
        calls(g, mask)
    except Dependent:
        return OneByOne(g, over, lead, calls, mask, 1).graph()
    work = Work(calls)
    arrays = work.elements > work.numbers
    if arrays and work.rows() > 1 and lead not in (1, 2):
        try:
            return Together(g, over, lead, calls, mask, work.rows()).graph()
        except Dependent:
            pass  # a primitive without such a form
    # arrays too large for more than one row go one after the other, behind what they have in common
    width = 1 if arrays and work.rows() == 1 else work.lanes()
    return SideBySide(g, over, lead, calls, mask, width).graph()


class Work:
    """What varies, in all functions called: operations on numbers, elements of operations on arrays, the largest array,
    that of maps and views, and nodes."""

    def __init__(self, calls: Calls):
        self.numbers = self.elements = self.nodes = self.largest = self.of_maps = 0
        for (g, _), varies in calls.found.items():
            self.graph(varies, g, 1)

    def graph(self, varies, g: Graph, times: int) -> None:
        for n in g.nodes:
            if n.op.nests:
                for h in n.graphs:
                    self.graph(varies, h, times * TRIPS if n.op.name == "loop" else times)
            elif varies.any(n) and n.op.name not in ("tuple", "get", "call", "stack_push", "stack_pop"):
                self.nodes += 1
                size = max(map(_size, _gone_through(n)), default=0)
                self.numbers += 0 if size else times
                self.elements += size * times
                if n.op.elementwise or n.op.name in VIEWS:
                    self.of_maps = max(self.of_maps, _size(n.type))
                else:
                    self.largest = max(self.largest, _size(n.type))

    def lanes(self) -> int:
        return max(1, min(LANES, NODES // max(self.nodes, 1)))

    def rows(self) -> int:
        return max(1, min(STACKED, ELEMENTS // max(self.largest, 1), OF_MAPS // max(self.of_maps, 1)))


def _gone_through(n) -> list:
    """The types whose elements an operation goes through."""
    if n.op.in_place:
        return [n.args[1].type]
    if n.op.name in ("elem", "slice", "gather"):
        return [n.type]
    return [n.type, *(a.type for a in n.args)]


def _size(t) -> int:
    return math.prod(UNKNOWN if d is None else d for d in t.shape) if isinstance(t, Array) else 0


@dataclass
class Groups:
    """A program over groups of `width` rows."""

    g: Graph
    over: tuple[int, ...]
    lead: int | None
    calls: Calls
    mask: Mask
    width: int

    def graph(self) -> Graph:
        """Raises Dependent."""
        g, lead = self.g, self.lead
        out = Graph(f"{g.name}s", None, g.span)
        for k, p in enumerate(g.params):
            t = Array(p.type.dtype, (lead, *shape_of(p.type))) if k in self.over else p.type
            out.parameter(t, p.name, p.span)
        self.args = list(out.params)
        types = element_types(g.result_type)
        likes = [out.parameter(t, "like") if None in shape_of(t) else None for t in types]
        if lead:  # groups of one size, the last of which may overlap the one before
            self.width = math.ceil(lead / math.ceil(lead / self.width))
        with Builder(out):
            self.count = constant(lead) if lead is not None else dim(self.args[self.over[0]], axis=0)
            self.length = self.group_length()
            starts = [self.empty(t, like) for t, like in zip(types, likes, strict=True)]
            if lead == 0:
                return out.returns(tuple_of(*starts))
            self.prepare()
            if lead is not None and lead <= self.width:
                return out.returns(tuple_of(*self.write(starts, constant(0))))
            return out.returns(self.loop(out, starts))

    def empty(self, t, like) -> Node:
        """Rows yet to be written."""
        shape, dyn = dims(like) if like is not None else (shape_of(t), [])
        counted = [self.count] if self.lead is None else []
        return broadcast(Constant(0.0, Scalar(t.dtype)), *counted, *dyn, shape=(self.lead, *shape), axes=())

    def loop(self, out: Graph, starts: list[Node]) -> Node:
        header = Graph("groups", out)
        i = header.parameter(I64, "i")
        rows = [header.parameter(s.type, "rows") for s in starts]
        header.result_type = Tuple(tuple(s.type for s in starts))
        body, done = Graph("group", header), Graph("done", header)
        with Builder(done):
            done.returns(tuple_of(*rows))
        with Builder(body):
            new = self.write(rows, self.first(i))
            body.result = current().emit(recur, i + self.length, *new, graphs=(header,), type=header.result_type)
        body.result_type = header.result_type
        with Builder(header):
            header.result = current().emit(switch, lt(i, self.count), graphs=(body, done))
        return current().emit(loop, constant(0), *starts, graphs=(header,))

    def group_length(self) -> Node:
        return constant(self.width)

    def first(self, i: Node) -> Node:
        """The first row of the group that begins at i, or in front of it, so as to fit."""
        return i if self.lead is not None and self.lead % self.width == 0 else minimum(i, self.count - self.length)

    def run(self, g: Graph, args: list[Node]) -> list[Node]:
        """The results of g: of a copy, so that what decides on unrolling the loop sees how large it is."""
        return elements(Clone(dict(zip(g.params, args, strict=True))).body(g, current().graph))


class OneByOne(Groups):
    """By g itself, which may go another way for each row."""

    def prepare(self):
        """There is nothing to be made."""

    def write(self, rows, first):
        values = self.run(self.g, [row(p, first) if k in self.over else p for k, p in enumerate(self.args)])
        return [set_row(r, v, first) for r, v in zip(rows, values, strict=True)]


class SideBySide(Groups):
    """In lanes."""

    def prepare(self):
        self.batch = Batching(Lanes(self.width), self.calls).graph(self.g, self.mask)

    def first(self, i):
        return super().first(i) if self.lead is not None else i

    def write(self, rows, first):
        at = [first + k if k else first for k in range(self.width)]
        if self.lead is None:  # the last row may come several times
            at = [minimum(i, self.count - 1) for i in at]
        args = [[row(p, i) for i in at] if k in self.over else [p] for k, p in enumerate(self.args)]
        values = iter(self.run(self.batch, [x for lanes in args for x in lanes]))
        varies, out = self.calls(self.g, self.mask).result, []
        for r, (path, _) in zip(rows, all_leaves(self.g.result_type), strict=True):
            lanes = [next(values) for _ in at] if path in varies else [next(values)] * len(at)
            for v, i in zip(lanes, at, strict=True):
                r = set_row(r, v, i)
            out.append(r)
        return out


class Together(Groups):
    """Stacked."""

    def prepare(self):
        self.batch = Batching(Stacked(self.rows), self.calls).graph(self.g, self.mask)

    @property
    def rows(self) -> int | None:
        return None if self.lead is None else self.width

    def group_length(self):
        if self.lead is not None:
            return constant(self.width)
        groups = floordiv(self.count + (self.width - 1), constant(self.width))
        return floordiv(self.count + groups - 1, groups)

    def write(self, rows, first):
        lead, dyn = (self.rows,), [self.length] if self.lead is None else []

        def group(x):
            shape, own = dims(x, range(1, x.type.rank))
            starts = [first, *[constant(0)] * len(shape)]
            return slice(x, *starts, *dyn, *own, steps=(1,) * x.type.rank, shape=lead + shape)

        args = [group(p) if k in self.over else p for k, p in enumerate(self.args)]
        values = self.run(self.batch, dyn + args)
        varies, out = self.calls(self.g, self.mask).result, []
        for r, v, (path, _) in zip(rows, values, all_leaves(self.g.result_type), strict=True):
            v = v if path in varies else repeated(v, lead, dyn)
            out.append(slice_set(r, v, first, *[constant(0)] * (r.type.rank - 1), steps=(1,) * r.type.rank))
        return out
