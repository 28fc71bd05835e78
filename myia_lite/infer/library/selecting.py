"""Where a mask is true: results with as many elements as values say, a size that only the running program knows."""

from __future__ import annotations

import numpy as np

from ...ir import Array, MyiaIndexError, MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Sequence
from .dtypes import cast, leaf_of
from .reductions import normalised
from .registry import absent, elaborates, require
from .sizes import attribute, fill, iota, node_of, plus, reshape, same, shape, size, total, transpose
from .ufuncs import boolean


def places(ctx, mask):
    """The indexes, in order, at which a bool node of rank 1 is true.

    Each is written to the place that the number of hits before it names, all others behind the last.
    """
    (n,) = shape(ctx, mask)
    hit = cast(ctx, mask, "i64")
    count = size(ctx.emit(A.reduce_sum, hit, axes=(0,)))
    before = ctx.emit(E.sub, ctx.emit(A.cumsum, hit, axis=0, reverse=False), 1)
    target = ctx.emit(E.select, mask, before, n)
    room = fill(ctx, ctx.const(0).node, (plus(ctx, n, 1),))
    known, dyn = attribute((count,))
    return ctx.emit(A.slice, ctx.emit(A.scatter_set, room, iota(ctx, n), target), 0, *dyn, steps=(1,), shape=known)


def hits(ctx, mask) -> list:
    """An index array for each axis of a bool node: where it is true, in row-major order."""
    sizes = shape(ctx, mask)
    flat = places(ctx, reshape(ctx, mask, (total(ctx, sizes),)))
    out = []
    for n in reversed(sizes[1:]):
        out.append(ctx.emit(E.mod, flat, n))
        flat = ctx.emit(E.floordiv, flat, n)
    return [flat, *reversed(out)]


def check_size(ctx, mask, x, axis, own=None) -> None:
    """The axis `own` of the mask (default: the same) has the size of that axis of the array."""
    m, n = shape(ctx, mask)[axis if own is None else own], shape(ctx, x)[axis]
    message = (
        f"boolean index did not match indexed array along axis {axis}; size of axis is {{0}} "
        "but size of corresponding boolean axis is {1}"
    )
    fits = same(ctx, m, n)
    if fits is False:
        ctx.error(message.format(n, m), "use a mask of the array's shape", cls=MyiaIndexError)
    require(ctx, "IndexError", message, fits, node_of(ctx, n), node_of(ctx, m))


def _mask(ctx, a, what):
    node = boolean(ctx, leaf_of(ctx, a).node)
    if not isinstance(node.type, Array):
        ctx.error(f"{what} of a number", "pass an array, np.atleast_1d(x)", cls=MyiaValueError)
    return node


@elaborates(np.nonzero, method="nonzero")
def nonzero(ctx, a):
    return Sequence(tuple(map(ctx.leaf, hits(ctx, _mask(ctx, a, "np.nonzero")))))


@elaborates(np.flatnonzero)
def flatnonzero(ctx, a):
    node = _mask(ctx, a, "np.flatnonzero")
    return ctx.leaf(places(ctx, reshape(ctx, node, (total(ctx, shape(ctx, node)),))))


@elaborates(np.argwhere)
def argwhere(ctx, a):
    columns = hits(ctx, _mask(ctx, a, "np.argwhere"))
    columns = [reshape(ctx, c, (*shape(ctx, c), 1)) for c in columns]
    return ctx.leaf(columns[0] if len(columns) == 1 else ctx.emit(A.concat, *columns, axis=1))


def to_front(rank, axis):
    """The order of axes with one before the others, and its inverse."""
    order = (axis, *(k for k in range(rank) if k != axis))
    return order, tuple(sorted(range(rank), key=order.__getitem__))


def along(ctx, node, line, axis):
    """`node` at the indexes `line` of an axis."""
    order, back = to_front(node.type.rank, axis)
    return transpose(ctx, ctx.emit(A.gather, transpose(ctx, node, order), line), back)


@elaborates(np.compress)
def compress(ctx, condition, a, axis=None):
    mask, x = _mask(ctx, condition, "np.compress"), leaf_of(ctx, a).node
    if mask.type.rank != 1:
        ctx.error("condition must be a 1-d array", "ravel the condition", cls=MyiaValueError)
    if absent(axis):
        x, axis = reshape(ctx, x, (total(ctx, shape(ctx, x)),)), 0
    k = normalised(ctx, axis, x.type.rank)
    check_size(ctx, mask, x, k, 0)
    return ctx.leaf(along(ctx, x, places(ctx, mask), k))


@elaborates(np.extract)
def extract(ctx, condition, arr):
    mask, x = _mask(ctx, condition, "np.extract"), leaf_of(ctx, arr).node
    flat = [reshape(ctx, n, (total(ctx, shape(ctx, n)),)) for n in (mask, x)]
    check_size(ctx, *flat, 0, 0)
    return ctx.leaf(ctx.emit(A.gather, flat[1], places(ctx, flat[0])))
