"""Reductions, running sums, and the order of elements."""

from __future__ import annotations

import numpy as np

from ...ir import Array, Constant, constant, with_dtype
from ..define import array, define, same
from ..elementwise import cast, eq, gt, lt, maximum, minimum, select
from .indexing import concat, gather, slice
from .shapes import (
    all_batched,
    broadcast,
    dims,
    filled,
    first_axes_as_one,
    inverse,
    iota,
    kept,
    later,
    lead_of,
    number_like,
    reduce_sum,
    reduce_type,
    reshape,
    size,
    spread,
    transpose,
)


# ---- extrema, truth, order -------------------------------------------------------------------------------------------
def _extremum_vjp(beaten):
    """Those that are not beaten by the result share: the ties, and where the result is NaN, all."""

    def rule(y_bar, y, x, axes):
        lost = beaten(x, spread(y, x, axes))
        share = y_bar / _count_of_best(lost, x, axes)
        return (select(lost, 0.0, spread(share, x, axes)),)

    return rule


def _extremum_jvp(beaten):
    """The mean of the tangents of those that are not beaten."""

    def rule(dots, y, x, axes):
        lost = beaten(x, spread(y, x, axes))
        return reduce_sum(select(lost, 0.0, dots[0]), axes=axes) / _count_of_best(lost, x, axes)

    return rule


def _count_of_best(lost, x, axes):
    """How many are left: all but the lost, as an integer, for f32 does not tell 2**24 from 2**24 + 1."""
    count = constant(1)
    for k in axes:
        n = size(x, k)
        count = n * count
    return cast(count - reduce_sum(cast(lost, dtype="i64"), axes=axes), dtype=x.type.dtype)


reduce_max = define(
    "reduce_max",
    reduce_type,
    "reduce_max[axes](x); NaN wins; ties share the cotangent equally; inference guards against no elements",
    value=lambda x, axes: np.max(x, axes),
    vjp=_extremum_vjp(lt),
    jvp=_extremum_jvp(lt),
    batch=lambda many, x, axes: reduce_max(x, axes=later(axes)),
)
reduce_min = define(
    "reduce_min",
    reduce_type,
    "reduce_min[axes](x)",
    value=lambda x, axes: np.min(x, axes),
    vjp=_extremum_vjp(gt),
    jvp=_extremum_jvp(gt),
    batch=lambda many, x, axes: reduce_min(x, axes=later(axes)),
)
reduce_any = define(
    "reduce_any",
    reduce_type,
    "reduce_any[axes](x) of bools",
    value=lambda x, axes: np.any(x, axes),
    zero_derivative="bool result",
    batch=lambda many, x, axes: reduce_any(x, axes=later(axes)),
)
reduce_all = define(
    "reduce_all",
    reduce_type,
    "reduce_all[axes](x) of bools",
    value=lambda x, axes: np.all(x, axes),
    zero_derivative="bool result",
    batch=lambda many, x, axes: reduce_all(x, axes=later(axes)),
)


def _arg_type(types, attrs, graphs):
    return with_dtype(reduce_type(types, {"axes": (attrs["axis"],)}, graphs), "i64")


argmax = define(
    "argmax",
    _arg_type,
    "argmax[axis](x): the first index of the maximum, of the first NaN if any",
    value=lambda x, axis: np.argmax(x, axis),
    zero_derivative="integer result",
    batch=lambda many, x, axis: argmax(x, axis=axis + 1),
)
argmin = define(
    "argmin",
    _arg_type,
    "argmin[axis](x)",
    value=lambda x, axis: np.argmin(x, axis),
    zero_derivative="integer result",
    batch=lambda many, x, axis: argmin(x, axis=axis + 1),
)
# What sorts is this, and then a gather: the one has no derivative, the other is linear.
argsort = define(
    "argsort",
    lambda types, attrs, graphs: with_dtype(array(types[0]), "i64"),
    "argsort(x): the indexes that put the last axis in ascending order; NaN comes last, equal elements stay in order",
    value=lambda x: np.argsort(x, -1, kind="stable"),
    zero_derivative="integer result",
    batch=lambda many, x: argsort(x),
)


# ---- running sums ----------------------------------------------------------------------------------------------------
def _cumsum(x, axis, reverse):
    if reverse:
        return np.array(np.flip(np.cumsum(np.flip(x, axis), axis, dtype=x.dtype), axis), order="C")
    return np.cumsum(x, axis, dtype=x.dtype)


cumsum = define(
    "cumsum",
    lambda types, attrs, graphs: array(types[0]),
    "cumsum[axis, reverse](x): sums up to and including each element along an axis, or from it on",
    value=_cumsum,
    vjp=lambda y_bar, y, x, axis, reverse: (cumsum(y_bar, axis=axis, reverse=not reverse),),
    linear=(0,),
    batch=lambda many, x, axis, reverse: cumsum(x, axis=axis + 1, reverse=reverse),
)


def _next(x, times=None):
    """Row k + 1 of `x` in row k, times that row of `times` if given; in the last row 0."""
    shape, dyn = dims(x)
    if times is None and shape[0]:
        starts = [constant(1), *[constant(0)] * (len(shape) - 1)]
        rest = slice(x, *starts, *dyn, steps=(1,) * len(shape), shape=(shape[0] - 1, *shape[1:]))
        return concat(rest, broadcast(number_like(0.0, x), *dyn, shape=(1, *shape[1:]), axes=()), axis=0)
    k, last = iota(*dyn[: shape[0] is None], shape=shape[:1]), size(x, 0) - 1
    inside = broadcast(lt(k, last), *dyn, shape=shape, axes=(0,))
    rows = gather(x, minimum(k + 1, last))
    return select(inside, rows if times is None else rows * times, 0.0)


def _previous(x):
    """Row k - 1 of `x` in row k; in the first row 0."""
    shape, dyn = dims(x)
    k = iota(*dyn[: shape[0] is None], shape=shape[:1])
    inside = broadcast(gt(k, 0), *dyn, shape=shape, axes=(0,))
    return select(inside, gather(x, maximum(k - 1, 0)), 0.0)


def _recurrence_type(types, attrs, graphs):
    a, b = map(array, types)
    return same()([a, b], {}, ())


def _recurrence(a, b, reverse):
    y = b.copy()
    n = len(b)
    for k in range(n - 2, -1, -1) if reverse else range(n - 1):
        if reverse:
            y[k] += a[k] * y[k + 1]
        else:
            y[k + 1] += a[k] * y[k]
    return y


def _recurrence_vjp(y_bar, y, a, b, reverse):
    b_bar = recurrence(a, y_bar, reverse=not reverse)
    return (_next(y, b_bar) if reverse else _next(b_bar, y), b_bar)


def _recurrence_jvp(dots, y, a, b, reverse):
    a_dot, b_dot = dots
    gained = b_dot
    if a_dot is not None:
        gained = _next(y, a_dot) if reverse else _previous(a_dot * y)
        gained = gained if b_dot is None else gained + b_dot
    return recurrence(a, gained, reverse=reverse)


def _batched_recurrence(many, a, b, reverse):
    """Along axis 0, so the rows go behind it."""
    a, b = all_batched(many, (a, b), *lead_of(many, (a, b)))
    swap = (1, 0, *range(2, a.type.rank))
    return transpose(recurrence(transpose(a, perm=swap), transpose(b, perm=swap), reverse=reverse), perm=swap)


# Closed under differentiation, unlike a running product, and so the one that products need.
recurrence = define(
    "recurrence",
    _recurrence_type,
    "recurrence[reverse](a, b), along axis 0: y[0] = b[0], y[k+1] = a[k] * y[k] + b[k+1]; reverse: the last y is the "
    "last b, y[k] = a[k] * y[k+1] + b[k].  The last row of a is not read",
    value=_recurrence,
    vjp=_recurrence_vjp,
    jvp=_recurrence_jvp,
    batch=_batched_recurrence,
)


# ---- products of elements --------------------------------------------------------------------------------------------
def _one_in_row(x, first: bool):
    """An array of the shape of `x` that is 1 in its first, or last, row, and 0 elsewhere."""
    shape, dyn = dims(x)
    if shape[0]:
        one = broadcast(number_like(1.0, x), *dyn, shape=(1, *shape[1:]), axes=())
        others = broadcast(number_like(0.0, x), *dyn, shape=(shape[0] - 1, *shape[1:]), axes=())
        return concat(*([one, others] if first else [others, one]), axis=0)
    row = eq(iota(*dyn[: shape[0] is None], shape=shape[:1]), constant(0) if first else size(x, 0) - 1)
    return broadcast(cast(row, dtype=x.type.dtype), *dyn, shape=shape, axes=(0,))


def _reduce_prod_vjp(y_bar, y, x, axes):
    """The cotangent times the product of the *other* elements, which is that of those before times that of those after.

    No division by the element, and no case for zeros: a polynomial as the product itself is, right at all orders.
    """
    perm = (*axes, *kept(x, axes))
    there_and_back = perm != tuple(range(x.type.rank))
    moved = transpose(x, perm=perm) if there_and_back else x
    rows = first_axes_as_one(moved, len(axes))
    shape, dyn = dims(rows)
    before = recurrence(rows, _one_in_row(rows, first=True), reverse=False)
    after = recurrence(_next(rows), _one_in_row(rows, first=False), reverse=True)
    x_bar = broadcast(y_bar, *dyn, shape=shape, axes=tuple(range(1, len(shape)))) * before * after
    if len(axes) > 1:
        shape, dyn = dims(moved)
        x_bar = reshape(x_bar, *dyn, shape=shape)
    return (transpose(x_bar, perm=inverse(perm)) if there_and_back else x_bar,)


def _reduce_prod_jvp(dots, y, x, axes):
    one = filled(1.0, y) if isinstance(y.type, Array) else Constant(1.0, y.type)
    (others,) = _reduce_prod_vjp(one, y, x, axes)
    return reduce_sum(dots[0] * others, axes=axes)


reduce_prod = define(
    "reduce_prod",
    reduce_type,
    "reduce_prod[axes](x); of no elements 1",
    value=lambda x, axes: np.prod(x, axes, dtype=x.dtype),
    vjp=_reduce_prod_vjp,
    jvp=_reduce_prod_jvp,
    batch=lambda many, x, axes: reduce_prod(x, axes=later(axes)),
)
