"""Running sums and recurrences: one element after the other, or, on a device, in chunks that go side by side.

In chunks there are three kernels: each thread adds up a chunk; these sums are scanned in the same way; each thread
scans its chunk from the sum of those before.
"""

from __future__ import annotations

from tvm import tirx

from ...ir import Array
from .code import Cell, const, expr, linear, plus, quotient, times
from .elements import element_of
from .nests import sum_of

CHUNK = 64
LEVELS = 3  # of chunks of chunks, where the number of elements is not known
ROWS = 1 << 16  # scans side by side that keep a device busy without chunks


def serial(kernel, node, axis, reverse, sizes, step):
    """Along an axis one element after the other; `step(index, carried, index_before, is_first)` is the next one."""
    code, dtype = kernel.code, node.type.dtype
    out = kernel.ctx.new_array(node.type, sizes)
    target, n = kernel.access(out), sizes[axis]
    others = [d for k, d in enumerate(sizes) if k != axis]
    with kernel.space(others) as outer:
        carried = Cell(code, dtype)

        def index(k):
            at = list(outer)
            at.insert(axis, k)
            return at

        with code.counted(n) as k:
            row = _row(code, n, k, reverse)
            before = plus(row, 1 if reverse else -1)
            value = step(index(row), carried, lambda before=before: index(before), tirx.EQ(expr(k), const(0)))
            carried.set(value)
            target.store(value, linear(index(row), sizes))
    return out


def _row(code, n, k, reverse):
    """Where the k-th element of a scan is."""
    row = plus(n, plus(-1, times(k, -1))) if reverse else k
    return row if isinstance(row, int) else code.let(row)


def cumsum(kernel, node):
    (x,), axis, reverse = node.args, node.attrs["axis"], node.attrs["reverse"]
    dtype, code = node.type.dtype, kernel.code
    kernel.open(x)
    sizes = kernel.dims(x)
    n, others = sizes[axis], [d for k, d in enumerate(sizes) if k != axis]
    if kernel.ctx.device and in_chunks(n, others):
        out = kernel.ctx.new_array(node.type, sizes)
        target = kernel.access(out)

        def place(outer, k):
            index = list(outer)
            index.insert(axis, _row(code, n, k, reverse))
            return index

        def store(outer, k, value):
            target.store(value, linear(place(outer, k), sizes))

        running_sums(kernel, dtype, others, n, lambda outer, k: kernel.at(x, place(outer, k)), store)
        return out
    zero = const(0.0, dtype) if dtype[0] == "f" else const(0, dtype)

    def step(index, carried, before, first):
        so_far = code.let(tirx.Select(first, zero, carried.peek()))
        value = kernel.at(x, index)
        return code.let(tirx.Select(first, value, sum_of(kernel, dtype, so_far, value)))

    return serial(kernel, node, axis, reverse, sizes, step)


def in_chunks(n, others) -> bool:
    rows = 1
    for d in others:
        rows = rows * d if isinstance(d, int) else rows
    return rows < ROWS and (not isinstance(n, int) or n > 2 * CHUNK)


def running_sums(kernel, dtype: str, others: list, n, element, store, level: int = LEVELS) -> None:
    """For each index of `others`, `store(outer, k, sum of the elements up to k)` for k from 0 to n."""
    code, ctx = kernel.code, kernel.ctx
    whole = isinstance(n, int) and n <= 2 * CHUNK
    if whole or not level:
        with kernel.space(others) as outer:
            total = Cell(code, dtype, _nothing(dtype))
            with code.counted(n) as k:
                _add(kernel, dtype, total, element(outer, k), tirx.EQ(expr(k), const(0)))
                store(outer, k, total.get())
        return
    chunks = quotient(plus(n, CHUNK - 1), CHUNK)
    chunks = chunks if isinstance(chunks, int) else code.let(chunks)
    sizes = [*others, chunks]
    sums, before = (ctx.new_array(Array(dtype, tuple(d if isinstance(d, int) else None for d in sizes)), sizes)
                    for _ in range(2))  # fmt: skip
    of_chunks, scanned = kernel.access(sums), kernel.access(before)

    def elements(chunk):
        """The numbers of the elements of a chunk."""
        first = code.let(expr(times(chunk, CHUNK)))
        rest = code.let(tirx.Min(const(CHUNK), tirx.Sub(expr(n), first)))
        return first, code.counted(rest)

    with kernel.space(sizes) as (*outer, chunk):
        total = Cell(code, dtype, _nothing(dtype))
        first, counted = elements(chunk)
        with counted as k:
            _add(kernel, dtype, total, element(outer, code.let(tirx.Add(first, k))), tirx.EQ(k, const(0)))
        of_chunks.store(total.get(), linear([*outer, chunk], sizes))

    def of_chunk(outer, k):
        return of_chunks.load(code.let(expr(linear([*outer, k], sizes))))

    def keep(outer, k, value):
        scanned.store(value, linear([*outer, k], sizes))

    running_sums(kernel, dtype, others, chunks, of_chunk, keep, level - 1)
    with kernel.space(sizes) as (*outer, chunk):
        total = Cell(code, dtype, _nothing(dtype))
        later = code.let(tirx.GT(expr(chunk), const(0)))
        with code.when(later):
            total.set(scanned.load(code.let(expr(linear([*outer, plus(chunk, -1)], sizes)))))
        first, counted = elements(chunk)
        with counted as k:
            at = code.let(tirx.Add(first, k))
            _add(kernel, dtype, total, element(outer, at), tirx.EQ(at, const(0)))
            store(outer, at, total.get())
    for a in (sums, before):
        ctx.heap.reset(a.register)


def _nothing(dtype: str):
    return const(0.0, dtype) if dtype[0] == "f" else const(0, dtype)


def _add(kernel, dtype, total: Cell, value, first) -> None:
    """The first element is the sum so far as it stands: 0.0 + -0.0 would lose its sign."""
    total.set(tirx.Select(first, value, sum_of(kernel, dtype, total.get(), value)))


def recurrence(kernel, node):
    """One element after the other also on a device: factors of a chunk together may overflow where its results do
    not."""
    a, b = node.args
    code, dtype, reverse = kernel.code, node.type.dtype, node.attrs["reverse"]
    kernel.open(a, b)

    def step(index, carried, before, first):
        here, out = kernel.at(b, index), Cell(code, dtype)
        out.set(here)
        with code.when(tirx.Not(first)):
            factor = kernel.at(a, index if reverse else before())
            gained = element_of(code, "mul", {}, [dtype] * 2, [factor, carried.get()])
            out.set(sum_of(kernel, dtype, gained, here))
        return out.get()

    return serial(kernel, node, 0, reverse, kernel.merged([a, b]), step)
