"""Lowering of array primitives, and of elementwise primitives on arrays: `lower(ctx, node, plan)`.

In comes a node whose operands are materialised or inlined by `plan`; out goes its value, an owned array or a scalar.
Loops are emitted at `ctx.b`, which stands behind them afterwards.
"""

from __future__ import annotations

from ...ir import Apply, Array, shape_of
from . import blas, sorting, tiles
from .expressions import FIRST, Affine, Gather, Kernel, Load, Point, element_pointer
from .fusion import Plan, plan
from .layout import ArrayValue, element, i64
from .loopnest import Fold, Target, assign, counted, nest, plus_element, reduce, reduced
from .nests import once
from .scalars import from_memory, to_memory
from .sizes import as_value, known, plus, times
from .zeros import accumulate


def lower(ctx, node: Apply, plan: Plan):
    """The value of `node`."""
    if node in plan.contracted:
        return tiles.lower(ctx, node, plan)
    if node.op.elementwise:
        return materialise(ctx, node, plan)
    return RULES[node.op.name](ctx, node, plan)


def materialise(ctx, node, plan):
    """An array computed element by element: a new one, or one that dies here."""
    kernel = Kernel(ctx, plan)
    kernel.sizes = kernel.dims(node, computed=True)
    if node in ctx.fillings.arrays:
        return new_result(kernel, node, kernel.sizes)
    expression = kernel.compute(node)
    out = _reclaimed(kernel, node, expression)
    if out is None:
        out = new_result(kernel, node, kernel.sizes)
    target = Target(kernel, out, kernel.index())

    def emit():
        kernel.exactly(expression, lambda: accumulate(kernel, target, expression))

    once(kernel, ("fill",), target, expression, emit)
    return out


def _reclaimed(kernel: Kernel, node, expression) -> ArrayValue | None:
    """The memory of an operand that dies here, where each element of it is read for its place in the result only."""
    ctx = kernel.ctx
    if kernel.inexact(expression):
        return None
    for a in kernel.plan.operands(node):
        if a.type == node.type and ctx.reusable(a, node):
            x = ctx.array(a)
            place = Target(kernel, x, kernel.index())
            reads = [e for e in expression.walk() if isinstance(e, (Load, Gather)) and e.data is x.data]
            if reads and all(map(place.same, reads)):
                kernel.written = x.data
                return ArrayValue(ctx.consume(a).obj, x.data, tuple(map(as_value, kernel.sizes)), node.type)
    return None


def new_array(kernel: Kernel, t: Array, sizes) -> ArrayValue:
    return kernel.ctx.new_array(t, [as_value(d) for d in sizes])


def new_result(kernel: Kernel, node, sizes) -> ArrayValue:
    return kernel.ctx.new_result(node, node.type, [as_value(d) for d in sizes])


def release(ctx, array: ArrayValue) -> None:
    ctx.b.call(ctx.module.runtime("release"), [ctx.context, array.obj])


# ---- shape -----------------------------------------------------------------------------------------------------------
def _reshape(ctx, node, plan):
    x, kernel = node.args[0], Kernel(ctx, plan)
    if not isinstance(node.type, Array):
        return Point(kernel, {}, vector=False).value(kernel.read(x, (FIRST,) * len(shape_of(x.type))))
    if isinstance(x.type, Array) and x not in plan.inlined:
        dims = [as_value(d) for d in kernel.given(node)]
        array = ctx.consume(x)
        sizes = tuple(i64(n) if n is not None else d for d, n in zip(dims, node.type.shape, strict=True))
        return ArrayValue(array.obj, array.data, sizes, node.type)
    return materialise(ctx, node, plan)


def _concat(ctx, node, plan):
    """One loop nest per piece, next to each other in the result."""
    axis, pieces = node.attrs["axis"], []
    total = 0
    for x in node.args:
        kernel = Kernel(ctx, plan)
        kernel.sizes = kernel.dims(x)
        pieces.append((kernel, total))
        total = plus(ctx.b, total, kernel.sizes[axis])
    sizes = list(pieces[0][0].sizes)
    for kernel, _ in pieces:
        sizes = [m if isinstance(m, int) else n for m, n in zip(sizes, kernel.sizes, strict=True)]
    sizes[axis] = total if node.type.shape[axis] is None else node.type.shape[axis]
    out = new_result(pieces[0][0], node, sizes)
    for x, (kernel, start) in zip(node.args, pieces, strict=True):
        index = list(kernel.index())
        index[axis] = Affine(start, index[axis].axis, 1, False)
        assign(kernel, Target(kernel, out, tuple(index), sizes), kernel.read(x))
    return out


def _dim(ctx, node, plan):
    return as_value(Kernel(ctx, plan).dims(node.args[0])[node.attrs["axis"]])


# ---- reading and writing ---------------------------------------------------------------------------------------------
def _elem(ctx, node, plan):
    x, *idx = node.args
    if node in ctx.fillings.still:
        return ctx.scalar(ctx.fillings.still[node])
    kernel = Kernel(ctx, plan)
    return Point(kernel, {}, vector=False).value(kernel.read(x, tuple(Affine(known(ctx.scalar(i))) for i in idx)))


def _write_elem(add):
    def rule(ctx, node, plan):
        _, v, *idx = node.args
        value, index = ctx.scalar(v), tuple(Affine(known(ctx.scalar(i))) for i in idx)
        array = ctx.take(node)
        kernel = Kernel(ctx, plan)
        offset, _ = kernel.address(index, [known(d) for d in array.dims])
        at, dtype = element_pointer(ctx.b, array.data, offset, array.type), array.type.dtype
        if add:
            there = ctx.fillings.still.get(node)
            have = ctx.b.load(at, typ=element(array.type)) if there is None else None
            have = ctx.scalar(there) if have is None else from_memory(ctx.b, have, dtype)
            value = plus_element(ctx.b, dtype, have, value)
        ctx.b.store(to_memory(ctx.b, value, dtype), at)
        return array

    return rule


def _take(kernel: Kernel, node) -> tuple[ArrayValue, list[ArrayValue]]:
    """Argument 0, to be written; copies of it where another argument reads it as well, to be released at the end."""
    x, copies = node.args[0], []
    if any(a is x for a in node.args[1:]):
        copier = Kernel(kernel.ctx, kernel.plan)
        copier.sizes = copier.dims(x)
        copy = new_array(copier, x.type, copier.sizes)
        assign(copier, Target(copier, copy, copier.index()), copier.read(x))
        kernel.instead[x] = copy
        copies.append(copy)
    return kernel.ctx.take(node), copies


def _write_slice(add):
    def rule(ctx, node, plan):
        _, v, *starts = node.args
        kernel = Kernel(ctx, plan)
        kernel.sizes = kernel.dims(v)
        array, copies = _take(kernel, node)
        sizes = [known(d) for d in array.dims]
        index = []
        for at, start, step, size in zip(kernel.index(), starts, node.attrs["steps"], sizes, strict=True):
            start = known(ctx.scalar(start))
            whole = (
                start == 0
                and step == 1
                and isinstance(size, int)
                and size == (1 if at.axis is None else kernel.sizes[at.axis])
            )
            index.append(Affine(start, at.axis, step, whole))
        accumulate(kernel, Target(kernel, array, tuple(index), sizes), kernel.read(v), add)
        for c in copies:
            release(ctx, c)
        return array

    return rule


def _scatter(add):
    """Position by position, in order: positions may repeat.  The axes that are not indexed are an inner loop."""

    def rule(ctx, node, plan):
        _, v, *idx = node.args
        b, kernel, rank = ctx.b, Kernel(ctx, plan), idx[0].type.rank
        kernel.sizes = kernel.dims(v)
        if 0 in kernel.sizes:
            return ctx.take(node)
        array, copies = _take(kernel, node)
        sizes = [known(d) for d in array.dims]
        index = kernel.index()
        places = [kernel.read(i, index[:rank]) for i in idx]
        value = kernel.read(v)
        inner = kernel.address((FIRST,) * len(idx) + index[rank:], sizes)
        leading = kernel.address(
            tuple(Affine(0, k, 1) for k in range(len(idx))) + (FIRST,) * (len(sizes) - len(idx)), sizes
        )[1]
        kernel.declare_scope()
        groups = kernel.groups(value, *places, inner[1])
        outer = [g for g in groups if g[-1] < rank]
        with nest(kernel, outer) as indexes:
            point, offset = Point(kernel, indexes, vector=True), inner[0]
            for k, place in enumerate(places):
                offset = plus(b, offset, times(b, point.value(place), leading[k].emit(b)))
            with nest(kernel, [g for g in groups if g[-1] >= rank], indexes) as all_indexes:
                point = Point(kernel, all_indexes, vector=True)
                target = Target(kernel, array, (), ())
                at = element_pointer(b, array.data, point.position(offset, inner[1]), array.type)
                element_value = point.value(value)
                if add:
                    element_value = plus_element(b, array.type.dtype, target.load(at), element_value)
                target.store(at, element_value)
        for c in copies:
            release(ctx, c)
        return array

    return rule


# ---- reductions ------------------------------------------------------------------------------------------------------
def _reduction(name):
    def rule(ctx, node, plan):
        x, axes = node.args[0], set(node.attrs["axes"])
        kernel = Kernel(ctx, plan)
        kernel.sizes = kernel.dims(x)
        fold = Fold(name, node.type.dtype)
        expression = kernel.read(x)
        if not isinstance(node.type, Array):
            return kernel.exactly(expression, lambda: reduce(kernel, fold, expression, axes, None))
        kept = [k for k in range(len(kernel.sizes)) if k not in axes]
        sizes = [kernel.sizes[k] for k in kept]
        out = new_result(kernel, node, sizes)
        identity = kernel.index()
        target = Target(kernel, out, tuple(identity[k] for k in kept), sizes)
        reduced(kernel, fold, expression, axes, target)
        return out

    return rule


def _arg_extremum(op):
    """The first index of the extremum, of a NaN before all."""

    def rule(ctx, node, plan):
        x, axis = node.args[0], node.attrs["axis"]
        b, kernel = ctx.b, Kernel(ctx, plan)
        sizes = kernel.sizes = kernel.dims(x)
        # the axis stays a loop even where its size is 1: there is no index else
        index = tuple(Affine(0, axis, 1, True) if k == axis else at for k, at in enumerate(kernel.index()))
        expression = kernel.read(x, index)
        kept = [k for k in range(len(sizes)) if k != axis]
        target = None
        if isinstance(node.type, Array):
            out = new_array(kernel, node.type, [sizes[k] for k in kept])
            target = Target(kernel, out, tuple(index[k] for k in kept), [sizes[k] for k in kept])
        kernel.declare_scope()
        with nest(kernel, [(k,) for k in kept if sizes[k] != 1]) as indexes:
            first = Point(kernel, {**indexes, axis: i64(0)}, vector=True).value(expression)
            with counted(b, plus(b, sizes[axis], -1), first, i64(0)) as (i, best, where):
                at = b.add(i, i64(1), flags=("nuw", "nsw"))
                value = Point(kernel, {**indexes, axis: at}, vector=True).value(expression)
                better = _better(b, x.type.dtype, op, value, best.value)
                best.next, where.next = b.select(better, value, best.value), b.select(better, at, where.value)
            if target is None:
                return where.value
            target.store(target.pointer(Point(kernel, indexes, vector=True)), where.value)
        return out

    return rule


def _better(b, dtype, op, value, best):
    if dtype == "bool":
        return b.icmp_unsigned(op, value, best)
    if dtype in ("i32", "i64"):
        return b.icmp_signed(op, value, best)
    first_nan = b.and_(b.fcmp_unordered("uno", value, value), b.fcmp_ordered("ord", best, best))
    return b.or_(b.fcmp_ordered(op, value, best), first_nan)


# ---- scans -----------------------------------------------------------------------------------------------------------
def _scan(kernel: Kernel, array: ArrayValue, sizes, axis, reverse, step):
    """array[…, k, …] = step(its neighbour before, position of that, position) along an axis, from the second on."""
    b, t = kernel.b, array.type
    outer, inner = 1, 1
    for k, d in enumerate(sizes):
        if k < axis:
            outer = times(b, outer, d)
        if k > axis:
            inner = times(b, inner, d)
    n = sizes[axis]
    steps = as_value(plus(b, n, -1))  # -1 of an empty axis: no trip
    if not isinstance(n, int):
        outer = b.select(b.icmp_signed(">", n, i64(0)), as_value(outer), i64(0))
    elif n == 0:
        return

    def position(o, k):
        row = plus(b, n, times(b, plus(b, k, 1), -1)) if reverse else k
        return times(b, plus(b, times(b, o, n), row), inner)

    def load(at):
        return from_memory(b, b.load(element_pointer(b, array.data, at, t), typ=element(t)), t.dtype)

    def store(value, at):
        b.store(to_memory(b, value, t.dtype), element_pointer(b, array.data, at, t))

    with counted(b, outer) as o:
        if inner == 1:
            with counted(b, steps, load(position(o, i64(0)))) as (k, carried):
                at = position(o, plus(b, k, 1))
                carried.next = step(carried.value, position(o, k), at)
                store(carried.next, at)
        else:
            with counted(b, steps) as k:
                before, row = position(o, k), position(o, plus(b, k, 1))
                with counted(b, inner) as j:
                    at, previous = plus(b, row, j), plus(b, before, j)
                    store(step(load(previous), previous, at), at)


def _cumsum(ctx, node, plan):
    x, kernel = node.args[0], Kernel(ctx, plan)
    kernel.sizes = kernel.dims(x)
    out = new_array(kernel, node.type, kernel.sizes)
    assign(kernel, Target(kernel, out, kernel.index()), kernel.read(x))

    def step(before, previous, at):
        pointer = element_pointer(ctx.b, out.data, at, out.type)
        here = from_memory(ctx.b, ctx.b.load(pointer, typ=element(out.type)), out.type.dtype)
        return plus_element(ctx.b, out.type.dtype, before, here)

    _scan(kernel, out, kernel.sizes, node.attrs["axis"], node.attrs["reverse"], step)
    return out


def _recurrence(ctx, node, plan):
    a, c = node.args
    b, kernel = ctx.b, Kernel(ctx, plan)
    kernel.sizes = [m if isinstance(m, int) else n for m, n in zip(kernel.dims(a), kernel.dims(c), strict=True)]
    out = new_array(kernel, node.type, kernel.sizes)
    assign(kernel, Target(kernel, out, kernel.index()), kernel.read(c))
    factors, t = ctx.array(a), node.type
    reverse = node.attrs["reverse"]

    def step(before, previous, at):
        def load(data, position):
            return b.load(element_pointer(b, data, position, t), typ=element(t))

        factor, here = load(factors.data, at if reverse else previous), load(out.data, at)
        if t.dtype in ("f32", "f64"):
            return b.fadd(b.fmul(factor, before), here)
        return b.add(b.mul(factor, before), here)

    _scan(kernel, out, kernel.sizes, 0, reverse, step)
    return out


RULES = {
    **dict.fromkeys(("broadcast", "iota", "transpose", "slice", "gather"), materialise),
    "reshape": _reshape,
    "concat": _concat,
    "dim": _dim,
    "elem": _elem,
    "set_elem": _write_elem(add=False),
    "add_elem": _write_elem(add=True),
    "slice_set": _write_slice(add=False),
    "slice_add": _write_slice(add=True),
    "scatter_set": _scatter(add=False),
    "scatter_add": _scatter(add=True),
    **{f"reduce_{k}": _reduction(k) for k in ("sum", "prod", "max", "min", "any", "all")},
    "argmax": _arg_extremum(">"),
    "argmin": _arg_extremum("<"),
    "argsort": sorting.argsort,
    "cumsum": _cumsum,
    "recurrence": _recurrence,
    "matmul": blas.matmul,
}

__all__ = ["Plan", "lower", "plan"]
