"""Joining, splitting, repeating and moving the parts of arrays."""

from __future__ import annotations

import itertools

import numpy as np

from ...ir import MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf, Sequence
from .dtypes import cast, dtype_of, is_array, leaf_of, promoted
from .reductions import axes_of, normalised
from .registry import absent, describe, elaborates, fixed, require
from .shapes import atleast_1d, atleast_2d, flat, new_sizes, sizes_of, view
from .sizes import attribute, fill, minus, node_of, plus, reshape, same, shape, size, spread, times


# ---- joining ---------------------------------------------------------------------------------------------------------
def pieces(ctx, v, what) -> list[Leaf]:
    """The arrays to be joined, of one dtype."""
    if is_array(v):
        v = rows(ctx, v)
    if not isinstance(v, Sequence):
        ctx.error(f"{what} takes a list or a tuple of arrays, not {describe(v)}", "write the arrays in a list")
    if not v.items:
        ctx.error("need at least one array to concatenate", "pass an array", cls=MyiaValueError)
    leaves = [leaf_of(ctx, i) for i in v.items]
    if all(leaf.py for leaf in leaves) and len(leaves) > 1:
        dtype = promoted(ctx, leaves)
    else:
        dtype = promoted(ctx, [ctx.leaf(leaf.node) for leaf in leaves])
    return [ctx.leaf(cast(ctx, leaf.node, dtype)) for leaf in leaves]


def rows(ctx, x) -> Sequence:
    """The items of an array whose first size is known."""
    from .indexing import row

    n = shape(ctx, x)[0]
    if not isinstance(n, int):
        ctx.error("the number of rows is not known at compile time", "pass a list of arrays")
    return Sequence(tuple(row(ctx, x, k) for k in range(n)))


def joined(ctx, leaves, axis) -> Leaf:
    """np.concatenate of arrays of one dtype."""
    ranks = [len(shape(ctx, p)) for p in leaves]
    if 0 in ranks:
        ctx.error(
            "zero-dimensional arrays cannot be concatenated", "use np.stack, or np.array([…])", cls=MyiaValueError
        )
    if len(set(ranks)) > 1:
        ctx.error(
            "all the input array dimensions must match exactly: pieces of rank "
            + " and ".join(map(str, sorted(set(ranks)))),
            "reshape the pieces to one rank",
            cls=MyiaValueError,
        )
    axis = normalised(ctx, axis, ranks[0])
    first = shape(ctx, leaves[0])
    for i, p in enumerate(leaves[1:], 1):
        for k, (m, n) in enumerate(zip(first, shape(ctx, p), strict=True)):
            if k != axis:
                fits = same(ctx, m, n)
                message = (
                    "all the input array dimensions except for the concatenation axis must match exactly, but along "
                    f"dimension {k}, the array at index 0 has size {{0}} and the array at index {i} has size {{1}}"
                )
                if fits is False:
                    ctx.error(message.format(m, n), "check the shapes of the pieces", cls=MyiaValueError)
                require(ctx, "ValueError", message, fits, node_of(ctx, m), node_of(ctx, n))
    if len(leaves) == 1:
        return ctx.fresh(leaves[0].node)
    return ctx.leaf(ctx.emit(A.concat, *(p.node for p in leaves), axis=axis))


@elaborates(np.concatenate, np.concat)
def concatenate(ctx, arrays, axis=0, *, dtype=None):
    leaves = pieces(ctx, arrays, "np.concatenate")
    if not absent(dtype):
        leaves = [ctx.leaf(cast(ctx, p.node, dtype_of(ctx, dtype))) for p in leaves]
    if axis is None or absent(axis):
        return joined(ctx, [ctx.leaf(flat(ctx, p.node)) for p in leaves], 0)
    return joined(ctx, leaves, axis)


@elaborates(np.stack)
def stack(ctx, arrays, axis=0):
    leaves = pieces(ctx, arrays, "np.stack")
    shapes = [shape(ctx, p) for p in leaves]
    if len(set(map(len, shapes))) > 1 or any(
        same(ctx, m, n) is False for s in shapes for m, n in zip(shapes[0], s, strict=True)
    ):
        ctx.error("all input arrays must have the same shape", "check the shapes of the pieces", cls=MyiaValueError)
    k = normalised(ctx, axis, len(shapes[0]) + 1)
    return joined(
        ctx, [ctx.leaf(reshape(ctx, p.node, (*s[:k], 1, *s[k:]))) for p, s in zip(leaves, shapes, strict=True)], k
    )


@elaborates(np.vstack)
def vstack(ctx, tup):
    return joined(ctx, [atleast_2d(ctx, p) for p in pieces(ctx, tup, "np.vstack")], 0)


@elaborates(np.hstack)
def hstack(ctx, tup):
    leaves = [atleast_1d(ctx, p) for p in pieces(ctx, tup, "np.hstack")]
    return joined(ctx, leaves, 0 if len(shape(ctx, leaves[0])) == 1 else 1)


@elaborates(np.dstack)
def dstack(ctx, tup):
    out = []
    for p in pieces(ctx, tup, "np.dstack"):
        sizes = shape(ctx, p)
        sizes = ((1, *(sizes or (1,))) if len(sizes) < 2 else sizes) + (1,) * (len(sizes) < 3)
        out.append(ctx.leaf(reshape(ctx, p.node, sizes)))
    return joined(ctx, out, 2)


@elaborates(np.column_stack)
def column_stack(ctx, tup):
    out = []
    for p in pieces(ctx, tup, "np.column_stack"):
        sizes = shape(ctx, p) or (1,)
        out.append(ctx.leaf(reshape(ctx, p.node, (*sizes, 1) if len(sizes) == 1 else sizes)))
    return joined(ctx, out, 1)


# ---- splitting, repeating, moving ------------------------------------------------------------------------------------
def piece(ctx, node, axis, start, length, step=1):
    """Elements start, start + step, … along one axis."""
    sizes = list(shape(ctx, node))
    sizes[axis] = length
    known, dyn = attribute(sizes)
    starts = [node_of(ctx, start if k == axis else 0) for k in range(len(sizes))]
    return ctx.emit(
        A.slice, node, *starts, *dyn, steps=tuple(step if k == axis else 1 for k in range(len(sizes))), shape=known
    )


@elaborates(np.split)
def split(ctx, ary, indices_or_sections, axis=0):
    x = leaf_of(ctx, ary)
    sizes = shape(ctx, x)
    k = normalised(ctx, axis, len(sizes))
    n, cuts = sizes[k], fixed(ctx, indices_or_sections, "the sections of np.split")
    if not isinstance(n, int):
        ctx.error("np.split of an axis whose size is not known at compile time", "slice the array")
    if isinstance(cuts, int):
        if cuts < 1 or n % cuts:
            ctx.error(
                "array split does not result in an equal division", "choose a divisor of the size", cls=MyiaValueError
            )
        cuts = range(n // cuts, n, n // cuts) if n else ()
    ends = [0, *(slice(c).indices(n)[1] for c in cuts), n]
    parts = itertools.pairwise(ends)
    return Sequence(tuple(view(ctx, piece(ctx, x.node, k, a, max(b - a, 0)), x) for a, b in parts), list)


@elaborates(np.flip)
def flip(ctx, m, axis=None):
    x = leaf_of(ctx, m)
    node = x.node
    for k in axes_of(ctx, axis, len(shape(ctx, x))):
        n = shape(ctx, node)[k]
        node = piece(ctx, node, k, minus(ctx, n, 1), n, -1)
    return view(ctx, node, x)


@elaborates(np.fliplr)
def fliplr(ctx, m):
    return flip(ctx, m, 1)


@elaborates(np.flipud)
def flipud(ctx, m):
    return flip(ctx, m, 0)


@elaborates(np.roll)
def roll(ctx, a, shift, axis=None):
    x = leaf_of(ctx, a).node
    sizes = shape(ctx, x)
    if absent(axis):
        return ctx.leaf(reshape(ctx, _rolled(ctx, flat(ctx, x), 0, shift), sizes))
    several = fixed(ctx, axis, "axis")
    if isinstance(several, int):
        return ctx.leaf(_rolled(ctx, x, normalised(ctx, several, len(sizes)), shift))
    shifts = shift.items if isinstance(shift, Sequence) else [shift] * len(several)
    for k, s in zip(several, shifts, strict=True):
        x = _rolled(ctx, x, normalised(ctx, k, len(sizes)), s)
    return ctx.leaf(x)


def _rolled(ctx, node, axis, shift):
    (by,) = sizes_of(ctx, shift, "a shift")
    n = shape(ctx, node)[axis]
    if isinstance(n, int) and n == 0:
        return node
    by = (
        by % n
        if isinstance(by, int) and isinstance(n, int)
        else size(ctx.emit(E.mod, node_of(ctx, by), node_of(ctx, n)))
    )
    if isinstance(by, int) and by == 0:
        return ctx.fresh(node).node
    rest = minus(ctx, n, by)
    return ctx.emit(A.concat, piece(ctx, node, axis, rest, by), piece(ctx, node, axis, 0, rest), axis=axis)


@elaborates(np.repeat, method="repeat")
def repeat(ctx, a, repeats, axis=None):
    x = leaf_of(ctx, a).node
    if is_array(repeats) or isinstance(repeats, Sequence):
        ctx.error("np.repeat by an array of counts", "pass one int, or index with an integer array")
    (times_,) = new_sizes(ctx, repeats)
    if absent(axis):
        x, axis = flat(ctx, x), 0
    sizes = shape(ctx, x)
    k = normalised(ctx, axis, len(sizes))
    spaced = spread(
        ctx, x, (*sizes[: k + 1], times_, *sizes[k + 1 :]), tuple(i for i in range(len(sizes) + 1) if i != k + 1)
    )
    return ctx.leaf(reshape(ctx, spaced, (*sizes[:k], times(ctx, sizes[k], times_), *sizes[k + 1 :])))


@elaborates(np.tile)
def tile(ctx, A, reps):
    x = leaf_of(ctx, A).node
    counts, sizes = new_sizes(ctx, reps), shape(ctx, x)
    rank = max(len(counts), len(sizes))
    counts, sizes = (1,) * (rank - len(counts)) + counts, (1,) * (rank - len(sizes)) + sizes
    if not rank:
        return ctx.leaf(x)
    x = reshape(ctx, x, sizes)
    pairs = tuple(s for pair in zip(counts, sizes, strict=True) for s in pair)
    spaced = spread(ctx, x, pairs, tuple(range(1, 2 * rank, 2)))
    return ctx.leaf(reshape(ctx, spaced, tuple(times(ctx, c, s) for c, s in zip(counts, sizes, strict=True))))


@elaborates(np.diff)
def diff(ctx, a, n=1, axis=-1):
    x = leaf_of(ctx, a).node
    k = normalised(ctx, axis, len(shape(ctx, x)))
    for _ in range(fixed(ctx, n, "n")):
        left = size(ctx.emit(E.maximum, node_of(ctx, minus(ctx, shape(ctx, x)[k], 1)), 0))
        ends = piece(ctx, x, k, 1, left), piece(ctx, x, k, 0, left)
        x = ctx.emit(E.ne if x.type.dtype == "bool" else E.sub, *ends)
    return ctx.leaf(x)


@elaborates(np.meshgrid)
def meshgrid(ctx, *xi, indexing="xy"):
    lines = [ctx.leaf(flat(ctx, leaf_of(ctx, x).node)) for x in xi]
    sizes = [shape(ctx, x)[0] for x in lines]
    places = list(range(len(lines)))
    if fixed(ctx, indexing, "indexing") == "xy" and len(lines) > 1:
        places[:2] = 1, 0
    whole = tuple(sizes[places.index(k)] for k in range(len(lines)))
    return Sequence(tuple(ctx.leaf(spread(ctx, x.node, whole, (p,))) for x, p in zip(lines, places, strict=True)))


@elaborates(np.pad)
def pad(ctx, array, pad_width, mode="constant", *, constant_values=0):
    if fixed(ctx, mode, "mode") != "constant":
        ctx.error("np.pad in a mode other than 'constant'", "pad with np.concatenate")
    x = leaf_of(ctx, array).node
    sizes = shape(ctx, x)
    widths = fixed(ctx, pad_width, "pad_width")
    if isinstance(widths, int):
        widths = [(widths, widths)] * len(sizes)
    elif isinstance(widths[0], int):
        widths = [tuple(widths) if len(widths) == 2 else (widths[0],) * 2] * len(sizes)
    elif len(widths) == 1:
        widths = list(widths) * len(sizes)
    outer = tuple(plus(ctx, s, before + after) for s, (before, after) in zip(sizes, widths, strict=True))
    value = cast(ctx, leaf_of(ctx, constant_values).node, x.type.dtype)
    starts = [node_of(ctx, before) for before, _ in widths]
    return ctx.leaf(ctx.emit(A.slice_set, fill(ctx, value, outer), x, *starts, steps=(1,) * len(sizes)))
