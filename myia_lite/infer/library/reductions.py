"""Reductions over axes, and the statistics made of them."""

from __future__ import annotations

import math

import numpy as np

from ...ir import FLOATS, Array, MyiaValueError, is_float
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf
from .dtypes import cast, dtype_of, leaf_of
from .registry import absent, elaborates, fixed, require
from .sizes import at_least, reshape, same, shape, total
from .ufuncs import FUNCTIONS, apply, boolean


def normalised(ctx, axis, rank: int, what="axis") -> int:
    """A known axis, from 0."""
    axis = fixed(ctx, axis, what)
    if not isinstance(axis, int):
        ctx.error(f"{what} {axis!r} is no int", "write the axis as an int")
    if not -rank <= axis < rank:
        ctx.error(
            f"axis {axis} is out of bounds for array of dimension {rank}",
            "name an axis that the array has",
            cls=MyiaValueError,
        )
    return axis % rank


def axes_of(ctx, axis, rank: int) -> tuple[int, ...]:
    """The axes to reduce over, sorted."""
    if absent(axis):
        return tuple(range(rank))
    axis = fixed(ctx, axis, "axis")
    if axis is None:
        return tuple(range(rank))
    several = axis if isinstance(axis, (tuple, list)) else (axis,)
    out = sorted(normalised(ctx, a, rank) for a in several)
    if len(set(out)) < len(out):
        ctx.error("duplicate value in 'axis'", "name each axis once", cls=MyiaValueError)
    return tuple(out)


def reduce(ctx, prim, node, axes, keepdims=False):
    """`prim` over those axes, which stay with size 1 where `keepdims`."""
    if not axes or not isinstance(node.type, Array):
        return node
    out = ctx.emit(prim, node, axes=axes)
    if not fixed(ctx, keepdims, "keepdims"):
        return out
    return reshape(ctx, out, tuple(1 if k in axes else s for k, s in enumerate(shape(ctx, node))))


def every(ctx, node):
    """Are all elements of a bool node true: a bool scalar node."""
    return reduce(ctx, A.reduce_all, node, tuple(range(_rank(node))))


def _rank(node) -> int:
    return node.type.rank if isinstance(node.type, Array) else 0


def _count(ctx, node, axes):
    """How many elements go into each result: a size."""
    sizes = shape(ctx, node)
    return total(ctx, [sizes[k] for k in axes])


def accumulator(node) -> str:
    """The dtype that sums and products are made in: ints are wide."""
    return node.type.dtype if node.type.dtype in FLOATS else "i64"


def _operand(ctx, a, dtype=None):
    node = leaf_of(ctx, a).node
    return cast(ctx, node, accumulator(node) if absent(dtype) else dtype_of(ctx, dtype))


def _fresh(ctx, node, source) -> Leaf:
    """A result that is the operand itself would be a copy in NumPy."""
    return ctx.fresh(node) if node is source else ctx.leaf(node)


@elaborates(np.sum, method="sum")
def sum_(ctx, a, axis=None, dtype=None, *, keepdims=False):
    x = _operand(ctx, a, dtype)
    return _fresh(ctx, reduce(ctx, A.reduce_sum, x, axes_of(ctx, axis, _rank(x)), keepdims), x)


@elaborates(np.prod, method="prod")
def prod(ctx, a, axis=None, dtype=None, *, keepdims=False):
    x = _operand(ctx, a, dtype)
    return _fresh(ctx, reduce(ctx, A.reduce_prod, x, axes_of(ctx, axis, _rank(x)), keepdims), x)


def _averaged(ctx, a, dtype=None):
    """The operand of a mean: ints count as f64."""
    node = leaf_of(ctx, a).node
    if not absent(dtype):
        return cast(ctx, node, dtype_of(ctx, dtype))
    return node if is_float(node.type) else cast(ctx, node, "f64")


def _divided(ctx, node, count):
    """node / count; of nothing NaN, as in NumPy."""
    if isinstance(count, int):
        if count == 1:
            return node
        if count == 0:
            return ctx.emit(E.mul, node, math.nan)
        return ctx.emit(E.div, node, float(count))
    return ctx.emit(E.div, node, cast(ctx, count, node.type.dtype))


@elaborates(np.mean, method="mean")
def mean(ctx, a, axis=None, dtype=None, *, keepdims=False):
    x = _averaged(ctx, a, dtype)
    axes = axes_of(ctx, axis, _rank(x))
    return _fresh(ctx, _divided(ctx, reduce(ctx, A.reduce_sum, x, axes, keepdims), _count(ctx, x, axes)), x)


@elaborates(np.average)
def average(ctx, a, axis=None, weights=None, *, keepdims=False):
    if absent(weights):
        return mean(ctx, a, axis, keepdims=keepdims)
    a, w = leaf_of(ctx, a), leaf_of(ctx, weights)
    if _rank(a.node) != _rank(w.node):
        ctx.error("np.average with weights of another shape than the array", "give the weights the array's shape")
    total_ = sum_(ctx, apply(ctx, FUNCTIONS[np.multiply], [a, w]), axis, keepdims=keepdims)
    return apply(ctx, FUNCTIONS[np.divide], [total_, sum_(ctx, w, axis, keepdims=keepdims)])


def _deviations(ctx, a, axis, dtype, ddof, keepdims, correction=None):
    x = _averaged(ctx, a, dtype)
    if not isinstance(x.type, Array):
        x = reshape(ctx, x, (1,))
        axis = None
    axes = axes_of(ctx, axis, _rank(x))
    n = _count(ctx, x, axes)
    centre = _divided(ctx, reduce(ctx, A.reduce_sum, x, axes, True), n)
    away = apply(ctx, FUNCTIONS[np.subtract], [ctx.leaf(x), ctx.leaf(centre)]).node
    squares = reduce(ctx, A.reduce_sum, ctx.emit(E.mul, away, away), axes, keepdims)
    ddof = fixed(ctx, ddof if correction is None else correction, "ddof")
    if isinstance(n, int):
        left = max(n - ddof, 0)
        return ctx.emit(E.div, squares, float(left))
    left = ctx.emit(E.maximum, ctx.emit(E.sub, cast(ctx, n, squares.type.dtype), float(ddof)), 0.0)
    return ctx.emit(E.div, squares, left)


@elaborates(np.var, method="var")
def var(ctx, a, axis=None, dtype=None, *, ddof=0, keepdims=False, correction=None):
    return ctx.leaf(_deviations(ctx, a, axis, dtype, ddof, keepdims, correction))


@elaborates(np.std, method="std")
def std(ctx, a, axis=None, dtype=None, *, ddof=0, keepdims=False, correction=None):
    return ctx.leaf(ctx.emit(E.sqrt, _deviations(ctx, a, axis, dtype, ddof, keepdims, correction)))


# ---- extremes --------------------------------------------------------------------------------------------------------
def nonempty(ctx, count, message) -> None:
    some = at_least(ctx, count, 1)
    if some is False:
        ctx.error(message, "check that the array has elements", cls=MyiaValueError)
    require(ctx, "ValueError", message, some)


def _extreme(ctx, a, axis, keepdims, prim, bools, name) -> Leaf:
    x = leaf_of(ctx, a).node
    axes = axes_of(ctx, axis, _rank(x))
    nonempty(ctx, _count(ctx, x, axes), f"zero-size array to reduction operation {name} which has no identity")
    return _fresh(ctx, reduce(ctx, bools if x.type.dtype == "bool" else prim, x, axes, keepdims), x)


@elaborates(np.max, np.amax, method="max")
def max_(ctx, a, axis=None, *, keepdims=False):
    return _extreme(ctx, a, axis, keepdims, A.reduce_max, A.reduce_any, "maximum")


@elaborates(np.min, np.amin, method="min")
def min_(ctx, a, axis=None, *, keepdims=False):
    return _extreme(ctx, a, axis, keepdims, A.reduce_min, A.reduce_all, "minimum")


@elaborates(np.ptp)
def ptp(ctx, a, axis=None, *, keepdims=False):
    ends = [max_(ctx, a, axis, keepdims=keepdims), min_(ctx, a, axis, keepdims=keepdims)]
    return apply(ctx, FUNCTIONS[np.subtract], ends)


def _position(ctx, a, axis, keepdims, prim, name) -> Leaf:
    x = leaf_of(ctx, a).node
    if x.type.dtype == "bool":
        x = cast(ctx, x, "i32")
    sizes = shape(ctx, x)
    keepdims = fixed(ctx, keepdims, "keepdims")
    kept = (1,) * len(sizes)
    if absent(axis):
        count, k = total(ctx, sizes), 0
        x = reshape(ctx, x, (count,))
    else:
        k = normalised(ctx, axis, max(len(sizes), 1))
        x = x if sizes else reshape(ctx, x, (1,))
        count = (sizes or (1,))[k]
        kept = (*sizes[:k], 1, *sizes[k + 1 :])
    nonempty(ctx, count, f"attempt to get {name} of an empty sequence")
    out = ctx.emit(prim, x, axis=k)
    return ctx.leaf(reshape(ctx, out, kept) if keepdims else out)


@elaborates(np.argmax, method="argmax")
def argmax(ctx, a, axis=None, *, keepdims=False):
    return _position(ctx, a, axis, keepdims, A.argmax, "argmax")


@elaborates(np.argmin, method="argmin")
def argmin(ctx, a, axis=None, *, keepdims=False):
    return _position(ctx, a, axis, keepdims, A.argmin, "argmin")


# ---- truth and counts ------------------------------------------------------------------------------------------------
@elaborates(np.any, method="any")
def any_(ctx, a, axis=None, *, keepdims=False):
    x = boolean(ctx, leaf_of(ctx, a).node)
    return _fresh(ctx, reduce(ctx, A.reduce_any, x, axes_of(ctx, axis, _rank(x)), keepdims), x)


@elaborates(np.all, method="all")
def all_(ctx, a, axis=None, *, keepdims=False):
    x = boolean(ctx, leaf_of(ctx, a).node)
    return _fresh(ctx, reduce(ctx, A.reduce_all, x, axes_of(ctx, axis, _rank(x)), keepdims), x)


COUNTS_IN_PYTHON = type(np.count_nonzero([0])) is int  # up to NumPy 2.3


@elaborates(np.count_nonzero)
def count_nonzero(ctx, a, axis=None, *, keepdims=False):
    x = cast(ctx, boolean(ctx, leaf_of(ctx, a).node), "i64")
    out = reduce(ctx, A.reduce_sum, x, axes_of(ctx, axis, _rank(x)), keepdims)
    return ctx.leaf(out, py=absent(axis) and COUNTS_IN_PYTHON)


@elaborates(np.array_equal)
def array_equal(ctx, a1, a2):
    a, b = leaf_of(ctx, a1), leaf_of(ctx, a2)
    shapes = shape(ctx, a), shape(ctx, b)
    if len(shapes[0]) != len(shapes[1]) or any(same(ctx, m, n) is False for m, n in zip(*shapes, strict=True)):
        return ctx.const(False)
    if any(same(ctx, m, n) is not True for m, n in zip(*shapes, strict=True)):
        ctx.error("np.array_equal of arrays whose sizes are not known at compile time", "compare the shapes first")
    return ctx.leaf(every(ctx, apply(ctx, FUNCTIONS[np.equal], [a, b]).node), py=True)


# ---- along an axis ---------------------------------------------------------------------------------------------------
@elaborates(np.cumsum, method="cumsum")
def cumsum(ctx, a, axis=None, dtype=None):
    x = _operand(ctx, a, dtype)
    if absent(axis):
        x = reshape(ctx, x, (total(ctx, shape(ctx, x)),))
        axis = 0
    return ctx.leaf(ctx.emit(A.cumsum, x, axis=normalised(ctx, axis, _rank(x)), reverse=False))


@elaborates(np.linalg.norm)
def norm(ctx, x, ord=None, axis=None, keepdims=False):
    x = _averaged(ctx, x)
    order = fixed(ctx, ord, "ord")
    axes = axes_of(ctx, axis, _rank(x))
    plain = order is None or (len(axes) == 2 and order == "fro") or (len(axes) == 1 and order == 2)
    if plain:
        return ctx.leaf(ctx.emit(E.sqrt, reduce(ctx, A.reduce_sum, ctx.emit(E.mul, x, x), axes, keepdims)))
    if len(axes) == 1 and order in (1, np.inf, -np.inf):
        sizes = ctx.leaf(ctx.emit(E.abs, x))
        if order == 1:
            return sum_(ctx, sizes, axes[0], keepdims=keepdims)
        return (max_ if order > 0 else min_)(ctx, sizes, axes[0], keepdims=keepdims)
    ctx.error(
        f"np.linalg.norm of order {order!r} over {len(axes)} axes", "use the 2-norm, or of vectors order 1 or inf"
    )


@elaborates(np.trace, method="trace")
def trace(ctx, a, offset=0):
    from .creation import diagonal

    return sum_(ctx, diagonal(ctx, a, offset), -1)


# ---- without NaN -----------------------------------------------------------------------------------------------------
def _numbers(ctx, a, stand_in):
    """The operand with `stand_in` for each NaN, and which elements are numbers."""
    x = leaf_of(ctx, a).node
    if not is_float(x.type):
        return ctx.leaf(x), ctx.leaf(ctx.emit(E.eq, x, x))
    known = ctx.emit(E.eq, x, x)
    other = cast(ctx, ctx.const(stand_in).node, x.type.dtype)
    return ctx.leaf(ctx.emit(E.select, known, x, other)), ctx.leaf(known)


@elaborates(np.nansum)
def nansum(ctx, a, axis=None, *, keepdims=False):
    return sum_(ctx, _numbers(ctx, a, 0.0)[0], axis, keepdims=keepdims)


@elaborates(np.nanprod)
def nanprod(ctx, a, axis=None, *, keepdims=False):
    return prod(ctx, _numbers(ctx, a, 1.0)[0], axis, keepdims=keepdims)


@elaborates(np.nanmean)
def nanmean(ctx, a, axis=None, *, keepdims=False):
    numbers, known = _numbers(ctx, a, 0.0)
    if not is_float(numbers.type):
        return mean(ctx, a, axis, keepdims=keepdims)
    count = cast(ctx, sum_(ctx, known, axis, keepdims=keepdims).node, numbers.type.dtype)
    return ctx.leaf(ctx.emit(E.div, sum_(ctx, numbers, axis, keepdims=keepdims).node, count))
