"""Stable sorting of rows: `argsort` gives the order of their elements, with NaN last.

On the CPU runs that double in length are merged one after the other.  On a device each element finds its own place: in
its run by comparing with all of the run, at first; then, run by run of double length, by a binary search in the other
run, which all elements do at once.
"""

from __future__ import annotations

from tvm import tirx

from ...ir import Array
from .code import Cell, Code, const, expr, linear
from .elements import is_nan
from .nests import Kernel

RUN = 32  # elements that are sorted by comparing each with each


def argsort(kernel, node):
    (x,), sizes = node.args, kernel.dims(node.args[0])
    kernel.open(x)
    if kernel.ctx.device:
        return order(kernel, x.type.dtype, sizes, lambda row, k: kernel.at(x, [*row, k]), node.type)
    return _one_by_one(kernel, node, sizes)


def less(dtype: str, a, b):
    """Does `a` belong before `b`, if they stand the other way round?"""
    if dtype == "bool":
        return tirx.And(b, tirx.Not(a))
    below = tirx.LT(a, b)
    return tirx.Or(below, tirx.And(is_nan(b), tirx.Not(is_nan(a)))) if dtype[0] == "f" else below


# ---- all at once -----------------------------------------------------------------------------------------------------
def order(kernel: Kernel, dtype: str, sizes: list, element, t: Array):
    """The array of the order of each row; `element(row, k)` are those of a row.  (Satish, Harris and Garland, Designing
    Efficient Sorting Algorithms for Manycore GPUs, 2009.)"""
    ctx, code, n = kernel.ctx, kernel.code, sizes[-1]
    keys_type = Array(dtype, t.shape)
    orders, keys = ([ctx.new_array(a, sizes) for _ in range(2)] for a in (t, keys_type))
    places, values = ([kernel.access(a) for a in pair] for pair in (orders, keys))
    count = code.let(expr(n))

    with kernel.space(sizes) as (*row, k):
        key, k = element(row, k), code.let(expr(k))
        first = code.let(tirx.Mul(tirx.Div(k, const(RUN)), const(RUN)))
        end = code.let(tirx.Min(tirx.Add(first, const(RUN)), count))
        rank = Cell(code, "i64", first)
        with code.counted(code.let(tirx.Sub(end, first))) as i:
            other = code.let(tirx.Add(first, i))
            with code.fresh():
                value = element(row, other)
            earlier = tirx.And(tirx.Not(less(dtype, key, value)), tirx.LT(other, k))
            with code.when(tirx.Or(less(dtype, value, key), earlier)):
                rank.set(tirx.Add(rank.peek(), const(1)))
        at = code.let(expr(linear([*row, rank.get()], sizes)))
        places[0].store(k, at)
        values[0].store(key, at)
    if not (isinstance(n, int) and n <= RUN):
        width, swapped = Cell(code, "i64", const(RUN)), Cell(code, "bool", const(False, "bool"))

        def merge(source, to):
            w = width.get()
            with kernel.space(sizes) as (*row, k):
                _merge(code, dtype, sizes, row, code.let(expr(k)), w, count, places, values, source, to)

        with code.loop(tirx.LT(width.peek(), count)):
            code.choose(swapped.get(), lambda: merge(1, 0), lambda: merge(0, 1))
            swapped.set(tirx.Not(swapped.peek()))
            width.set(tirx.Mul(width.peek(), const(2)))
        with code.when(swapped.get()):
            ctx.heap.move(orders[0].register, orders[1].register)
        del kernel.memory[orders[0].register]  # it may be another array now
    for a in (orders[1], *keys):
        ctx.heap.reset(a.register)
    return orders[0]


def _merge(code: Code, dtype, sizes, row, k, width, count, places, values, source, to) -> None:
    """Put element `k` of a row where it belongs in its run and the next: after its own forerunners, and after what the
    other run has before it."""
    start = code.let(expr(linear([*row, const(0)], sizes)))
    run = code.let(tirx.Div(k, width))
    left = code.let(tirx.EQ(tirx.bitwise_and(run, const(1)), const(0)))
    own = code.let(tirx.Mul(run, width))
    other = code.let(tirx.Select(left, tirx.Add(own, width), tirx.Sub(own, width)))
    first = code.let(tirx.Min(other, count))
    low, high = Cell(code, "i64", first), Cell(code, "i64", tirx.Min(tirx.Add(other, width), count))
    key = values[source].load(code.let(tirx.Add(start, k)))
    with code.loop(tirx.LT(low.peek(), high.peek())):
        middle = code.let(tirx.Div(tirx.Add(low.peek(), high.peek()), const(2)))
        value = values[source].load(code.let(tirx.Add(start, middle)))
        before = tirx.Select(left, less(dtype, value, key), tirx.Not(less(dtype, key, value)))
        code.choose(code.let(before), lambda: low.set(tirx.Add(middle, const(1))), lambda: high.set(middle))
    found = tirx.Sub(low.get(), first)
    begin = tirx.Select(left, own, other)
    at = code.let(tirx.Add(start, tirx.Add(begin, tirx.Add(tirx.Sub(k, own), found))))
    places[to].store(places[source].load(code.let(tirx.Add(start, k))), at)
    values[to].store(key, at)


# ---- one after the other ---------------------------------------------------------------------------------------------
def _one_by_one(kernel, node, sizes):
    """Row by row, by merging runs that double in length, to and fro between the result and a second array."""
    (x,), code, dtype = node.args, kernel.code, node.args[0].type.dtype
    out, other = (kernel.ctx.new_array(node.type, sizes) for _ in range(2))
    places, n = (kernel.access(out), kernel.access(other)), expr(sizes[-1])
    with kernel.space(sizes[:-1]) as row:
        first = code.let(tirx.Mul(expr(linear(row, sizes[:-1])), n))

        def before(i, j):
            """Does element j belong before element i, which stands left of it?"""
            with code.fresh():
                return less(dtype, kernel.at(x, [*row, j]), kernel.at(x, [*row, i]))

        with code.counted(sizes[-1]) as k:
            places[0].store(expr(k), code.let(tirx.Add(first, expr(k))))
        width, swapped = Cell(code, "i64", const(1)), Cell(code, "bool", const(False, "bool"))

        def merge(source, target):
            start = Cell(code, "i64", const(0))
            with code.loop(tirx.LT(start.peek(), n)):
                low, w = start.get(), width.get()
                middle = code.let(tirx.Min(tirx.Add(low, w), n))
                high = code.let(tirx.Min(tirx.Add(middle, w), n))
                left, right, to = Cell(code, "i64", low), Cell(code, "i64", middle), Cell(code, "i64", low)
                with code.loop(tirx.LT(to.peek(), high)):
                    i, j, k = left.get(), right.get(), to.get()
                    from_right = Cell(code, "bool", tirx.GE(i, middle))
                    with code.when(tirx.And(tirx.LT(i, middle), tirx.LT(j, high))):
                        a = source.load(code.let(tirx.Add(first, i)))
                        b = source.load(code.let(tirx.Add(first, j)))
                        from_right.set(before(a, b))
                    at = code.let(tirx.Add(first, k))

                    def take(cell, position, at=at):
                        target.store(source.load(code.let(tirx.Add(first, position))), at)
                        cell.set(tirx.Add(position, const(1)))

                    code.choose(from_right.get(), lambda j=j: take(right, j), lambda i=i: take(left, i))
                    to.set(tirx.Add(k, const(1)))
                start.set(high)

        with code.loop(tirx.LT(width.peek(), n)):
            code.choose(swapped.get(), lambda: merge(*places[::-1]), lambda: merge(*places))
            swapped.set(tirx.Not(swapped.peek()))
            width.set(tirx.Mul(width.peek(), const(2)))
        with code.when(swapped.get()), code.counted(sizes[-1]) as k:
            at = code.let(tirx.Add(first, expr(k)))
            places[0].store(places[1].load(at), at)
    kernel.ctx.heap.reset(other.register)
    return out
