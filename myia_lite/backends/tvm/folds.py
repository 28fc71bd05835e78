"""What goes through many elements for one result: reductions.  Scans, sorting and products have files of their own."""

from __future__ import annotations

from tvm import tirx

from ...ir import Array
from .code import Cell, const, expr, linear, plus, product, quotient, times
from .elements import element_of, is_nan
from .products import matmul
from .scans import LEVELS, cumsum, in_chunks, recurrence
from .sorting import argsort

FOLD = 64  # elements that a thread folds together, where more threads can share the work
MAX_PARTIALS = 1 << 16


# ---- reductions ------------------------------------------------------------------------------------------------------
def _start(name, dtype):
    """(the value of nothing, how the next element goes in); None: the first element is the start."""
    if name in ("any", "all"):
        return const(name == "all", "bool"), "bit_or" if name == "any" else "bit_and"
    if name in ("sum", "prod"):
        one = name == "prod"
        zero = const(one, "bool") if dtype == "bool" else const(float(one) if dtype[0] == "f" else int(one), dtype)
        if dtype == "bool":
            return zero, "bit_and" if one else "bit_or"
        return zero, "mul" if one else "add"
    worst = {"max": "minimum", "min": "maximum"}[name]
    return None, {"minimum": "maximum", "maximum": "minimum"}[worst]


def _extreme(name, dtype):
    """What no element is beyond."""
    if dtype == "bool":
        return const(name == "min", "bool")
    if dtype[0] == "f":
        return const(float("inf") if name == "min" else -float("inf"), dtype)
    bits = 31 if dtype == "i32" else 63
    return const(2**bits - 1 if name == "min" else -(2**bits), dtype)


def _combine(kernel, op, dtype, a, b):
    if dtype == "bool" and op in ("maximum", "minimum"):
        op = "bit_or" if op == "maximum" else "bit_and"
    return element_of(kernel.code, op, {}, [dtype] * 2, [a, b])


def _reduction(name):
    def rule(kernel, node):
        x, axes, dtype = node.args[0], node.attrs["axes"], node.type.dtype
        sizes = kernel.dims(x)
        kept = [k for k in range(len(sizes)) if k not in axes]
        zero, op = _start(name, dtype)
        zero = _extreme(name, dtype) if zero is None else zero
        kernel.open(x)
        wide = "f64" if dtype == "f32" and name == "sum" and not kernel.ctx.device else dtype

        def fold(outer):
            total = Cell(kernel.code, wide, const(0.0, wide) if wide != dtype else zero)
            with kernel._loops([sizes[a] for a in axes]) as inner:
                index = [None] * len(sizes)
                for k, i in (*zip(kept, outer, strict=True), *zip(axes, inner, strict=True)):
                    index[k] = i
                value = kernel.at(x, index)
                if wide != dtype:
                    value = kernel.code.let(tirx.Cast("float64", value))
                total.set(_combine(kernel, op, wide, total.get(), value))
            result = total.get()
            return kernel.code.let(tirx.Cast("float32", result)) if wide != dtype else result

        out_sizes = [sizes[k] for k in kept]
        many = _partials(kernel, product(out_sizes), product([sizes[a] for a in axes]))
        if many > 1:
            return _in_stages(kernel, node, kept, out_sizes, many, lambda a, b: _combine(kernel, op, dtype, a, b), zero)
        if not isinstance(node.type, Array):
            return kernel.scalar(dtype, lambda: fold([]))
        out = kernel.ctx.new_array(node.type, out_sizes)
        target = kernel.access(out)
        with kernel.space(out_sizes) as outer:
            target.store(fold(outer), linear(outer, out_sizes))
        return out

    return rule


def _partials(kernel, results, elements) -> int:
    """How many partial results a reduction on the device makes of each result first: a power of 2; 1 for none.

    A thread folds at least FOLD elements, and there are no more threads than fill a device.
    """
    if not kernel.ctx.device or not isinstance(results, int) or results > MAX_PARTIALS // 2:
        return 1
    wanted = elements // FOLD if isinstance(elements, int) else MAX_PARTIALS
    wanted = min(wanted, MAX_PARTIALS // max(results, 1))
    return 1 << (wanted.bit_length() - 1) if wanted > 1 else 1


def _in_stages(kernel, node, kept, out_sizes, many: int, combine, zero):
    """Fold every `many`-th element together, then FOLD of these partial results, and so on."""
    x, axes, dtype, ctx, code = node.args[0], node.attrs["axes"], node.type.dtype, kernel.ctx, kernel.code
    sizes = kernel.dims(x)
    reduced = [sizes[a] for a in axes]
    count = expr(product(reduced))

    def element(outer, number):
        index = [None] * len(sizes)
        for k, i in (*zip(kept, outer, strict=True), *zip(axes, kernel.unravel(number, reduced), strict=True)):
            index[k] = i
        return kernel.at(x, index)

    partial = None
    while True:
        last = many == 1
        t = node.type if last and isinstance(node.type, Array) else Array(dtype, (*out_sizes, many))
        shape = [*out_sizes] if last and isinstance(node.type, Array) else [*out_sizes, many]
        out = ctx.new_array(t, shape)
        target = kernel.access(out)
        with kernel.space([*out_sizes, many]) as (*outer, first):
            total, at = Cell(code, dtype, zero), Cell(code, "i64", expr(first))
            with code.loop(tirx.LT(at.peek(), count)):
                number = at.get()
                value = element(outer, number)
                total.set(combine(total.get(), value))
                at.set(tirx.Add(number, const(many)))
            place = outer if t is node.type else [*outer, first]
            target.store(total.get(), linear(place, shape))
        if partial is not None:
            ctx.heap.reset(partial.register)
        if last:
            return out if isinstance(node.type, Array) else ctx.to_host(out)
        source, partial, width = target, out, many
        count = const(width)

        def element(outer, number, source=source, shape=shape):
            return source.load(code.let(expr(linear([*outer, number], shape))))

        many = max(1, many // FOLD)


def _arg_extremum(wins):
    """The first index of the extremum, of a NaN before all.

    On a device in stages: of each FOLD elements, then of FOLD of those that were found.
    """

    def rule(kernel, node):
        x, axis = node.args[0], node.attrs["axis"]
        code, ctx, dtype, sizes = kernel.code, kernel.ctx, x.type.dtype, kernel.dims(x)
        kernel.open(x)
        outer_sizes = [n for k, n in enumerate(sizes) if k != axis]

        def element(outer, i):
            index = list(outer)
            index.insert(axis, i)
            return kernel.at(x, index)

        def search(outer, candidates, first, end):
            """The best of the candidates from the first to the end, which come in order."""
            start = candidates(outer, first)
            best, where = Cell(code, dtype, element(outer, start)), Cell(code, "i64", expr(start))
            with code.counted(code.let(tirx.Sub(expr(end), expr(first)))) as k:
                i = candidates(outer, plus(first, k))
                value, so_far = element(outer, i), best.get()
                if dtype == "bool":
                    better = wins(tirx.Cast("int32", value), tirx.Cast("int32", so_far))
                else:
                    better = wins(value, so_far)
                if dtype[0] == "f":
                    nan = tirx.And(is_nan(value), tirx.EQ(so_far, so_far))
                    better = tirx.Or(better, nan)
                with code.when(better):
                    best.set(value)
                    where.set(expr(i))
            return where.get()

        def all_of_them(outer, k):
            return k if isinstance(k, int) else code.let(k)

        candidates, count, found = all_of_them, sizes[axis], []
        levels = LEVELS if ctx.device and in_chunks(count, outer_sizes) else 0
        while levels and not (isinstance(count, int) and count <= 2 * FOLD):
            chunks = quotient(plus(count, FOLD - 1), FOLD)
            chunks = chunks if isinstance(chunks, int) else code.let(chunks)
            shape = [*outer_sizes, chunks]
            found.append(ctx.new_array(Array("i64", tuple(n if isinstance(n, int) else None for n in shape)), shape))
            target = kernel.access(found[-1])
            with kernel.space(shape) as (*outer, chunk):
                first = code.let(expr(times(chunk, FOLD)))
                end = tirx.Min(tirx.Add(first, const(FOLD)), expr(count))
                target.store(search(outer, candidates, first, code.let(end)), linear([*outer, chunk], shape))

            def candidates(outer, k, target=target, shape=shape):
                return target.load(code.let(expr(linear([*outer, k], shape))))

            count, levels = chunks, levels - 1
        if isinstance(node.type, Array):
            out = ctx.new_array(node.type, outer_sizes)
            target = kernel.access(out)
            with kernel.space(outer_sizes) as outer:
                target.store(search(outer, candidates, 0, count), linear(outer, outer_sizes))
        else:
            out = kernel.scalar("i64", lambda: search([], candidates, 0, count))
        for a in found:
            ctx.heap.reset(a.register)
        return out

    return rule


RULES = {
    **{f"reduce_{k}": _reduction(k) for k in ("sum", "prod", "max", "min", "any", "all")},
    "argmax": _arg_extremum(tirx.GT),
    "argmin": _arg_extremum(tirx.LT),
    "argsort": argsort,
    "cumsum": cumsum,
    "recurrence": recurrence,
    "matmul": matmul,
}
