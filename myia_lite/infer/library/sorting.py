"""Sorting, searching and selecting: what is made of `argsort`, and what has as many elements as values say.

A sorted array is the array gathered in its order, so that its derivative is that of a gather: each result is the
operand's element that stands there, of equal ones the first first.  Where the number of results depends on values (the
places where a mask is true), their size is one that only the running program knows.
"""

from __future__ import annotations

import numpy as np

from ...ir import Array, MyiaValueError, is_float
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf, Sequence, Static
from .dtypes import cast, leaf_of, promoted
from .reductions import axes_of, nonempty, normalised
from .registry import absent, elaborates, fixed, require
from .selecting import places
from .sizes import attribute, fact, fill, iota, minus, node_of, quotient, reshape, shape, total, transpose
from .ufuncs import FUNCTIONS, apply


def _last(ctx, a, axis):
    """The operand with the axis (None: of all elements) last, and the order of axes that takes it back."""
    x = leaf_of(ctx, a).node
    if absent(axis):
        return reshape(ctx, x, (total(ctx, shape(ctx, x)),)), (0,)
    rank = len(shape(ctx, x))
    k = normalised(ctx, axis, rank)
    order = (*(j for j in range(rank) if j != k), k)
    return transpose(ctx, x, order), tuple(sorted(range(rank), key=order.__getitem__))


def _options(ctx, kind, order, stable) -> None:
    """Every `kind` is the stable sort, which is one of the orders that NumPy may give."""
    kind = fixed(ctx, kind, "kind")
    if kind not in (None, "quicksort", "mergesort", "heapsort", "stable"):
        ctx.error(f"sort kind must be one of 'quick', 'heap', or 'stable' (got {kind!r})", "leave it out")
    if not absent(order):
        ctx.error("sorting by the fields of a structured array", "sort the order of one field: np.argsort(keys)")


def ordered(ctx, node, order):
    """`node` with its last axis in the order that `argsort` found."""
    sizes = shape(ctx, node)
    lines = [iota(ctx, n, sizes, k) for k, n in enumerate(sizes[:-1])]
    return ctx.emit(A.gather, node, *lines, order)


@elaborates(np.sort)
def sort(ctx, a, axis=-1, kind=None, order=None, *, stable=None):
    _options(ctx, kind, order, stable)
    x, back = _last(ctx, a, axis)
    return ctx.leaf(transpose(ctx, ordered(ctx, x, ctx.emit(A.argsort, x)), back))


@elaborates(np.argsort, method="argsort")
def argsort(ctx, a, axis=-1, kind=None, order=None, *, stable=None):
    _options(ctx, kind, order, stable)
    x, back = _last(ctx, a, axis)
    return ctx.leaf(transpose(ctx, ctx.emit(A.argsort, x), back))


@elaborates(np.ndarray.sort, method="sort")
def sort_method(ctx, a, axis=-1, kind=None, order=None, *, stable=None):
    ctx.error("ndarray.sort writes into an array by a method", "write a = np.sort(a)")


@elaborates(list.sort)
def sort_list(ctx, a, *, key=None, reverse=False):
    ctx.error("list.sort changes a list in place", "write a = sorted(a)")


# ---- order statistics ------------------------------------------------------------------------------------------------
def _sorted_groups(ctx, a, axis, keepdims, what):
    """Floats with the axes in question as one sorted last axis; its size; the shape of the result."""
    x = leaf_of(ctx, a).node
    x = x if is_float(x.type) else cast(ctx, x, "f64")
    x = x if isinstance(x.type, Array) else reshape(ctx, x, (1,))
    sizes = shape(ctx, x)
    axes = axes_of(ctx, axis, len(sizes))
    kept = [k for k in range(len(sizes)) if k not in axes]
    n = total(ctx, [sizes[k] for k in axes])
    nonempty(ctx, n, f"{what} of no elements")
    moved = transpose(ctx, x, (*kept, *axes))
    groups = reshape(ctx, moved, (*(sizes[k] for k in kept), n))
    if fixed(ctx, keepdims, "keepdims") and isinstance(leaf_of(ctx, a).type, Array):
        result = tuple(1 if k in axes else s for k, s in enumerate(sizes))
    else:
        result = tuple(sizes[k] for k in kept)
    return ordered(ctx, groups, ctx.emit(A.argsort, groups)), n, result


def _pick(ctx, node, k):
    """The elements number k (an int or a node) of the last axis."""
    *rest, _ = shape(ctx, node)
    known, dyn = attribute((*rest, 1))
    starts = [node_of(ctx, 0)] * len(rest)
    part = ctx.emit(A.slice, node, *starts, node_of(ctx, k), *dyn, steps=(1,) * len(known), shape=known)
    return reshape(ctx, part, tuple(rest))


def _unless_nan(ctx, groups, n, node, result) -> Leaf:
    """NaN where there is one: it was sorted to the end."""
    last = _pick(ctx, groups, minus(ctx, n, 1))
    return ctx.leaf(reshape(ctx, ctx.emit(E.select, ctx.emit(E.isnan, last), last, node), result))


@elaborates(np.median)
def median(ctx, a, axis=None, *, keepdims=False):
    groups, n, result = _sorted_groups(ctx, a, axis, keepdims, "np.median")
    low, high = quotient(ctx, minus(ctx, n, 1), 2), quotient(ctx, n, 2)
    middle = _pick(ctx, groups, high)
    if not isinstance(n, int) or n % 2 == 0:
        middle = ctx.emit(E.div, ctx.emit(E.add, _pick(ctx, groups, low), middle), 2.0)
    return _unless_nan(ctx, groups, n, middle, result)


@elaborates(np.quantile)
def quantile(ctx, a, q, axis=None, *, method="linear", keepdims=False):
    if fixed(ctx, method, "method") != "linear":
        ctx.error("a quantile by another method than linear interpolation", "leave out `method`")
    q = leaf_of(ctx, q)
    if isinstance(q.type, Array):
        ctx.error("several quantiles at once", "ask for them one by one: np.quantile(a, q[0])")
    groups, n, result = _sorted_groups(ctx, a, axis, keepdims, "np.quantile")
    q = cast(ctx, q.node, groups.type.dtype)
    within = ctx.emit(E.bit_and, ctx.emit(E.ge, q, 0.0), ctx.emit(E.le, q, 1.0))
    require(ctx, "ValueError", "Quantiles must be in the range [0, 1]", fact(within))
    last = minus(ctx, n, 1)
    at = ctx.emit(E.mul, q, cast(ctx, node_of(ctx, last), groups.type.dtype))
    below = ctx.emit(E.floor, at)
    low = cast(ctx, below, "i64")
    high = ctx.emit(E.minimum, ctx.emit(E.add, low, 1), node_of(ctx, last))
    share = ctx.emit(E.sub, at, below)
    left, right = _pick(ctx, groups, low), _pick(ctx, groups, high)
    gap = ctx.emit(E.sub, right, left)
    up = ctx.emit(E.add, left, ctx.emit(E.mul, gap, share))
    down = ctx.emit(E.sub, right, ctx.emit(E.mul, gap, ctx.emit(E.sub, 1.0, share)))
    between = ctx.emit(E.select, ctx.emit(E.lt, share, 0.5), up, down)
    between = ctx.emit(E.select, ctx.emit(E.eq, left, right), right, between)  # of equal infinities the gap is NaN
    return _unless_nan(ctx, groups, n, between, result)


@elaborates(np.percentile)
def percentile(ctx, a, q, axis=None, *, method="linear", keepdims=False):
    return quantile(
        ctx, a, apply(ctx, FUNCTIONS[np.divide], [q, ctx.const(100)]), axis, method=method, keepdims=keepdims
    )


# ---- searching -------------------------------------------------------------------------------------------------------
def place(a, v, right):
    """Where v goes in the sorted array a, before its equals or after them; NaN is above all numbers."""
    low, high = 0, len(a)
    while low < high:
        middle = (low + high) // 2
        x = a[middle]
        if right:
            before = not (v < x or (x != x and v == v))
        else:
            before = x < v or (v != v and x == x)
        if before:
            low = middle + 1
        else:
            high = middle
    return low


def each_place(a, v, right):
    out = np.zeros(len(v), dtype=np.int64)
    for k in range(len(v)):
        out[k] = place(a, v[k], right)
    return out


@elaborates(np.searchsorted, method="searchsorted")
def searchsorted(ctx, a, v, side="left", sorter=None):
    side = fixed(ctx, side, "side")
    if side not in ("left", "right"):
        ctx.error(f"side must be 'left' or 'right' (got {side!r})", "name one of them", cls=MyiaValueError)
    a, v = leaf_of(ctx, a), leaf_of(ctx, v)
    if len(shape(ctx, a)) != 1:
        ctx.error("np.searchsorted in an array that is not 1-dimensional", "search in one row", cls=MyiaValueError)
    dtype = promoted(ctx, [a, v])
    line = cast(ctx, a.node, dtype)
    if not absent(sorter):
        line = ctx.emit(A.gather, line, cast(ctx, leaf_of(ctx, sorter).node, "i64"))
    line, right = ctx.leaf(line), Static(side == "right")
    sizes = shape(ctx, v)
    if not sizes:
        found = ctx.call(Static(place), [line, ctx.leaf(cast(ctx, v.node, dtype)), right])
        return ctx.leaf(found.node)
    flat = reshape(ctx, cast(ctx, v.node, dtype), (total(ctx, sizes),))
    return ctx.leaf(reshape(ctx, ctx.call(Static(each_place), [line, ctx.leaf(flat), right]).node, sizes))


# ---- distinct elements -----------------------------------------------------------------------------------------------
@elaborates(np.unique)
def unique(ctx, ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True):
    if not absent(axis):
        ctx.error("np.unique of rows", "find the distinct elements of a flat array")
    x = leaf_of(ctx, ar).node
    own = shape(ctx, x)
    flat = reshape(ctx, x, (total(ctx, own),)) if own else reshape(ctx, x, (1,))
    (n,) = shape(ctx, flat)
    order = ctx.emit(A.argsort, flat)
    line = ctx.emit(A.gather, flat, order)
    number = iota(ctx, n)
    before = ctx.emit(A.gather, line, ctx.emit(E.maximum, ctx.emit(E.sub, number, 1), 0))
    fresh = ctx.emit(E.ne, line, before)
    if is_float(x.type) and fixed(ctx, equal_nan, "equal_nan"):
        fresh = ctx.emit(E.bit_and, fresh, ctx.emit(E.logical_not, ctx.emit(E.isnan, before)))
    fresh = ctx.emit(E.bit_or, fresh, ctx.emit(E.eq, number, 0))
    firsts = places(ctx, fresh)
    out = [ctx.leaf(ctx.emit(A.gather, line, firsts))]
    if fixed(ctx, return_index, "return_index"):
        out.append(ctx.leaf(ctx.emit(A.gather, order, firsts)))
    if fixed(ctx, return_inverse, "return_inverse"):
        group = ctx.emit(E.sub, ctx.emit(A.cumsum, cast(ctx, fresh, "i64"), axis=0, reverse=False), 1)
        inverse = ctx.emit(A.scatter_set, fill(ctx, ctx.const(0).node, (n,)), group, order)
        out.append(ctx.leaf(reshape(ctx, inverse, own) if own else inverse))
    if fixed(ctx, return_counts, "return_counts"):
        ends = ctx.emit(A.concat, firsts, fill(ctx, node_of(ctx, n), (1,)), axis=0)
        (count,) = shape(ctx, firsts)
        known, dyn = attribute((count,))
        after = ctx.emit(A.slice, ends, 1, *dyn, steps=(1,), shape=known)
        out.append(ctx.leaf(ctx.emit(E.sub, after, firsts)))
    return out[0] if len(out) == 1 else Sequence(tuple(out))
