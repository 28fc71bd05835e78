"""Writes at computed positions, which may repeat.

Position by position, in order, on the CPU.  On a device all at once: sums by atomic additions, in any order, or, where
the result must be the same on each run, row by row of what sorting has brought together; of several values for one
place the last wins, which an atomic maximum of the positions finds.
"""

from __future__ import annotations

from tvm import tirx
from tvm.backend.cuda.op import cuda_func_call

from ...ir import Array
from .code import Cell, const, expr, linear, product
from .nests import sum_of
from .sorting import order

FEW = 8  # positions that one thread writes as soon
C_TYPES = {"i32": "int", "i64": "unsigned long long", "f32": "float", "f64": "double"}


class Scatter:
    """A scatter whose operands are known: positions in the first axes, whole elements of the others."""

    def __init__(self, kernel, node):
        _, self.v, *self.idx = node.args
        self.kernel, self.code, self.dtype, rank = kernel, kernel.code, node.type.dtype, node.args[2].type.rank
        sizes = kernel.dims(self.v)
        outer = kernel.merged(self.idx)
        self.outer = [m if isinstance(m, int) else n for m, n in zip(outer, sizes[:rank], strict=True)]
        self.inner = sizes[rank:]
        kernel.open(self.v, *self.idx)
        self.array = kernel.ctx.take(node)
        self.target = kernel.access(self.array)
        count = product(self.outer)
        self.count = count if isinstance(count, int) else self.code.let(count)

    def row(self, position) -> object:
        """The number of the row that a position writes to."""
        place = [self.kernel.at(i, position) for i in self.idx]
        return self.code.let(expr(linear(place, self.array.dims[: len(self.idx)])))

    def at(self, row, inner):
        """Where an element of a row is."""
        return self.code.let(expr(linear([row, *inner], [1, *self.inner])))

    def value(self, position, inner):
        return self.kernel.at(self.v, [*position, *inner])

    def add(self, at, value) -> None:
        self.target.store(sum_of(self.kernel, self.dtype, self.target.load(at), value), at)

    def indexes(self):
        """The space of positions and of the elements of a row."""
        return self.kernel.space([self.count, *self.inner])

    def position(self, number):
        return self.kernel.unravel(number, self.outer)

    def atomic(self, operation: str, dtype: str, memory, at, value) -> None:
        """In memory that all threads share; loops have nobody to share it with."""
        if not self.kernel.ctx.in_threads:
            so_far = memory.load(at)
            new = tirx.Max(so_far, value) if operation == "Max" else sum_of(self.kernel, dtype, so_far, value)
            memory.store(new, at)
            return
        name, c = f"myia_atomic_{operation.lower()}_{dtype}", C_TYPES[dtype]
        source = (
            f"__forceinline__ __device__ void {name}(void* p, {c} x) "  # an int64_t* is not always a long long*
            f"{{ atomic{operation}(({c}*)p, x); }}\n"
        )
        self.code.do(cuda_func_call(name, tirx.address_of(memory.buffer[expr(at)]), value, source_code=source))


def rule(add: bool):
    def lower(kernel, node):
        s = Scatter(kernel, node)
        if not kernel.ctx.device or (isinstance(s.count, int) and s.count <= FEW) or not _has_atomics(kernel.ctx):
            _one_by_one(s, add)
        elif not add:
            _last_wins(s)
        elif s.dtype == "bool":
            _any_order(s)
        elif s.dtype[0] == "f" and kernel.ctx.shared.options.deterministic:
            _sorted(s)
        else:
            _any_order(s)
        return s.array

    return lower


def _has_atomics(ctx) -> bool:
    return ctx.shared.target.kind.name == "cuda" or not ctx.in_threads


def _one_by_one(s: Scatter, add: bool) -> None:
    with s.kernel.space(s.inner) as inner, s.kernel._loops(s.outer) as position:
        at, value = s.at(s.row(position), inner), s.value(position, inner)
        if add:
            s.add(at, value)
        else:
            s.target.store(value, at)


def _any_order(s: Scatter) -> None:
    with s.indexes() as (number, *inner):
        position = s.position(number)
        at, value = s.at(s.row(position), inner), s.value(position, inner)
        if s.dtype == "bool":  # all that write, write the same
            with s.code.when(value):
                s.target.store(const(True, "bool"), at)
        else:
            s.atomic("Add", s.dtype, s.target, at, value)


def _last_wins(s: Scatter) -> None:
    """The last position that writes to a row is found first."""
    kernel, code, ctx = s.kernel, s.code, s.kernel.ctx
    rows = product(s.array.dims[: len(s.idx)])
    rows = rows if isinstance(rows, int) else code.let(rows)
    owner = ctx.new_array(Array("i64", (rows if isinstance(rows, int) else None,)), [rows])
    owners = kernel.access(owner)
    with kernel.space([rows]) as (row,):
        owners.store(const(0), row)
    with kernel.space([s.count]) as (number,):
        row = s.row(s.position(number))
        s.atomic("Max", "i64", owners, row, code.let(tirx.Add(expr(number), const(1))))
    with s.indexes() as (number, *inner):
        position = s.position(number)
        row = s.row(position)
        with code.when(tirx.EQ(owners.load(row), tirx.Add(expr(number), const(1)))):
            s.target.store(s.value(position, inner), s.at(row, inner))
    ctx.heap.reset(owner.register)


def _sorted(s: Scatter) -> None:
    """The positions of a row come to stand together, in their order; the thread of the first adds them all."""
    kernel, code, ctx = s.kernel, s.code, s.kernel.ctx
    t = Array("i64", (s.count if isinstance(s.count, int) else None,))
    rows = ctx.new_array(t, [s.count])
    row_of = kernel.access(rows)
    with kernel.space([s.count]) as (number,):
        row_of.store(s.row(s.position(number)), number)
    ranked = order(kernel, "i64", [s.count], lambda _, k: row_of.load(k), t)
    places = kernel.access(ranked)

    def sorted_row(k):
        return row_of.load(places.load(k))

    with s.indexes() as (k, *inner):
        k = code.let(expr(k))
        row = sorted_row(k)
        before = Cell(code, "i64", const(-1))
        with code.when(tirx.GT(k, const(0))):
            before.set(sorted_row(code.let(tirx.Sub(k, const(1)))))
        with code.when(tirx.NE(before.get(), row)):
            at = s.at(row, inner)
            total, here = Cell(code, s.dtype, s.target.load(at)), Cell(code, "i64", k)
            again = Cell(code, "bool", const(True, "bool"))
            with code.loop(again.peek()):
                value = s.value(s.position(places.load(here.get())), inner)
                total.set(sum_of(kernel, s.dtype, total.get(), value))
                following = code.let(tirx.Add(here.peek(), const(1)))
                here.set(following)
                again.set(const(False, "bool"))
                with code.when(tirx.LT(following, expr(s.count))):
                    again.set(tirx.EQ(sorted_row(following), row))
            s.target.store(total.get(), at)
    for a in (rows, ranked):
        ctx.heap.reset(a.register)
