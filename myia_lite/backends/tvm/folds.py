"""What goes through many elements for one result: reductions, scans, sorting, matrix products."""

from __future__ import annotations

from tvm import tirx

from ...ir import Array
from .code import Cell, const, expr, linear, plus, product, times
from .elements import element_of, is_nan
from .nests import sum_of

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
    """The first index of the extremum, of a NaN before all."""

    def rule(kernel, node):
        x, axis = node.args[0], node.attrs["axis"]
        code, dtype, sizes = kernel.code, x.type.dtype, kernel.dims(x)
        kept = [k for k in range(len(sizes)) if k != axis]
        kernel.open(x)

        def search(outer):
            def element(i):
                index = list(outer)
                index.insert(axis, i)
                return kernel.at(x, index)

            best, where = Cell(code, dtype, element(0)), Cell(code, "i64", const(0))
            with kernel.code.counted(sizes[axis]) as i:
                value, so_far = element(i), best.get()
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

        if not isinstance(node.type, Array):
            return kernel.scalar("i64", lambda: search([]))
        out_sizes = [sizes[k] for k in kept]
        out = kernel.ctx.new_array(node.type, out_sizes)
        target = kernel.access(out)
        with kernel.space(out_sizes) as outer:
            target.store(search(outer), linear(outer, out_sizes))
        return out

    return rule


# ---- scans -----------------------------------------------------------------------------------------------------------
def _scan(kernel, node, axis, reverse, sizes, step):
    """Along an axis one element after the other; `step(index, before, index_before)` is the next one."""
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
            row = plus(n, plus(-1, times(k, -1))) if reverse else k
            row = row if isinstance(row, int) else code.let(row)
            before = plus(row, 1 if reverse else -1)
            value = step(index(row), carried, lambda before=before: index(before), tirx.EQ(expr(k), const(0)))
            carried.set(value)
            target.store(value, linear(index(row), sizes))
    return out


def _cumsum(kernel, node):
    (x,), attrs = node.args, node.attrs
    kernel.open(x)
    zero = const(0.0, node.type.dtype) if node.type.dtype[0] == "f" else const(0, node.type.dtype)

    def step(index, carried, before, first):
        so_far = kernel.code.let(tirx.Select(first, zero, carried.peek()))
        value = kernel.at(x, index)
        return kernel.code.let(tirx.Select(first, value, sum_of(kernel, node.type.dtype, so_far, value)))

    return _scan(kernel, node, attrs["axis"], attrs["reverse"], kernel.dims(x), step)


def _recurrence(kernel, node):
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

    return _scan(kernel, node, 0, reverse, kernel.merged([a, b]), step)


def _argsort(kernel, node):
    """Row by row, by merging runs that double in length, to and fro between the result and a second array."""
    (x,), code, dtype = node.args, kernel.code, node.args[0].type.dtype
    sizes = kernel.dims(x)
    kernel.open(x)
    out, other = (kernel.ctx.new_array(node.type, sizes) for _ in range(2))
    places, n = (kernel.access(out), kernel.access(other)), expr(sizes[-1])
    with kernel.space(sizes[:-1]) as row:
        first = code.let(times_expr(linear(row, sizes[:-1]), n))

        def element(position):
            return kernel.at(x, [*row, position])

        def before(i, j):
            """Does element j belong before element i, which stands left of it?"""
            with code.fresh():
                a, b = element(i), element(j)
            if dtype == "bool":
                return tirx.And(a, tirx.Not(b))
            less = tirx.LT(b, a)
            return tirx.Or(less, tirx.And(is_nan(a), tirx.Not(is_nan(b)))) if dtype[0] == "f" else less

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


def times_expr(a, b):
    return tirx.Mul(expr(a), expr(b))


# ---- products --------------------------------------------------------------------------------------------------------
def _matmul(kernel, node):
    a, b = node.args
    ta, tb, dtype, code = node.attrs["ta"], node.attrs["tb"], node.type.dtype, kernel.code
    a_dims, b_dims = kernel.dims(a), kernel.dims(b)
    inner = a_dims[-2 if ta else -1]
    inner = inner if isinstance(inner, int) else b_dims[-1 if tb else -2]
    sizes = kernel.dims(node, computed=True)
    kernel.open(a, b)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    zero = const(0.0, dtype) if dtype[0] == "f" else const(0, dtype)
    if dtype == "bool":
        zero = const(False, "bool")
    times_, plus_ = ("bit_and", "bit_or") if dtype == "bool" else ("mul", "add")

    def term(batch, i, k, j):
        left = kernel.at(a, [*batch, *((k, i) if ta else (i, k))])
        right = kernel.at(b, [*batch, *((j, k) if tb else (k, j))])
        return element_of(code, times_, {}, [dtype] * 2, [left, right])

    def sum_(x, y):
        return element_of(code, plus_, {}, [dtype] * 2, [x, y])

    if kernel.ctx.device or tb:
        with kernel.space(sizes) as index:
            *batch, i, j = index
            total = Cell(code, dtype, zero)
            with code.counted(inner) as k:
                total.set(sum_(total.get(), term(batch, i, k, j)))
            target.store(total.get(), linear(index, sizes))
        return out
    with kernel.space(sizes[:-1]) as index:
        *batch, i = index
        with code.counted(sizes[-1]) as j:
            target.store(zero, linear([*index, j], sizes))
        with code.counted(inner) as k, code.counted(sizes[-1]) as j:
            at = linear([*index, j], sizes)
            at = at if isinstance(at, int) else code.let(at)
            target.store(sum_(target.load(at), term(batch, i, k, j)), at)
    return out


RULES = {
    **{f"reduce_{k}": _reduction(k) for k in ("sum", "prod", "max", "min", "any", "all")},
    "argmax": _arg_extremum(tirx.GT),
    "argmin": _arg_extremum(tirx.LT),
    "argsort": _argsort,
    "cumsum": _cumsum,
    "recurrence": _recurrence,
    "matmul": _matmul,
}
