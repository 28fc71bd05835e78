"""Shape: reshape, and the order and number of axes.

What NumPy makes as a view of its operand goes through `view`, so that writes through it, or under it, are refused.
"""

from __future__ import annotations

import numpy as np

from ...ir import Array, MyiaValueError
from ...ops import elementwise as E
from ..values import Leaf, Sequence
from .dtypes import cast, is_array, leaf_of
from .reductions import axes_of, normalised
from .registry import absent, describe, elaborates, fixed, require
from .sizes import (
    common,
    is_dim,
    node_of,
    quotient,
    reshape,
    same,
    shape,
    size,
    stretched,
    surely_same,
    text,
    times,
    total,
    transpose,
)


def view(ctx, node, source: Leaf) -> Leaf:
    """`node` as what NumPy would make a view of `source`."""
    if node is source.node:
        return source
    return ctx.view(node, source) if isinstance(node.type, Array) else ctx.leaf(node)


def sizes_of(ctx, v, what="a shape") -> tuple:
    """A shape argument: an int or a sequence of ints, each maybe known at run time only."""
    items = v.items if isinstance(v, Sequence) else v if isinstance(v, tuple) else (v,)
    out = []
    for i in items:
        if isinstance(i, int):
            out.append(i)
        elif isinstance(i, Leaf) and not is_array(i) and i.type.dtype in ("i64", "i32"):
            out.append(size(cast(ctx, i.node, "i64")))
        else:
            ctx.error(f"{what} with a {describe(i)} in it", "make each size an int")
    return tuple(out)


def new_sizes(ctx, v) -> tuple:
    """The shape of an array to be made: no size may be negative."""
    out = sizes_of(ctx, v)
    for s in out:
        if isinstance(s, int):
            if s < 0:
                ctx.error("negative dimensions are not allowed", "make the sizes non-negative", cls=MyiaValueError)
        elif not is_dim(s):
            require(ctx, "ValueError", "negative dimensions are not allowed", ctx.emit(E.ge, s, 0))
    return out


# ---- reshape ---------------------------------------------------------------------------------------------------------
def reshaped(ctx, a, wanted, order="C") -> Leaf:
    """`a` in the shape `wanted`, one of whose sizes may be -1."""
    if fixed(ctx, order, "order") != "C":
        ctx.error("reshape in an order other than 'C'", "transpose before and after")
    x = leaf_of(ctx, a)
    own = shape(ctx, x)
    count = total(ctx, own)
    message = f"cannot reshape array of size {count if isinstance(count, int) else '?'} into shape {text(wanted)}"

    def refuse():
        ctx.error(message, "keep the number of elements", cls=MyiaValueError)

    holes = [k for k, s in enumerate(wanted) if isinstance(s, int) and s < 0]
    if len(holes) > 1:
        ctx.error("can only specify one unknown dimension", "leave one size as -1", cls=MyiaValueError)
    if holes:
        rest = total(ctx, [s for k, s in enumerate(wanted) if k != holes[0]])
        if isinstance(rest, int) and isinstance(count, int):
            if rest == 0 or count % rest:
                refuse()
            hole = count // rest
        else:
            hole = quotient(ctx, count, rest)
            require(ctx, "ValueError", message, same(ctx, times(ctx, hole, rest), count))
        wanted = tuple(hole if k == holes[0] else s for k, s in enumerate(wanted))
    else:
        for s in wanted:
            if not isinstance(s, int) and not is_dim(s):
                require(ctx, "ValueError", "negative dimensions are not allowed", ctx.emit(E.ge, s, 0))
        kept = len(own) == len(wanted) and all(map(surely_same, own, wanted))
        fits = True if kept else same(ctx, total(ctx, wanted), count)
        if fits is False:
            refuse()
        require(ctx, "ValueError", message, fits)
    return view(ctx, reshape(ctx, x.node, wanted), x)


@elaborates(np.reshape)
def reshape_(ctx, a, /, shape, order="C"):
    return reshaped(ctx, a, sizes_of(ctx, shape), order)


@elaborates(np.ndarray.reshape, method="reshape")
def reshape_method(ctx, a, *shape, order="C"):
    sizes = shape[0] if len(shape) == 1 else shape
    return reshaped(ctx, a, sizes_of(ctx, sizes), order)


def flat(ctx, x):
    """A node's elements as a vector."""
    return reshape(ctx, x, (total(ctx, shape(ctx, x)),))


@elaborates(np.ravel, method="ravel")
def ravel(ctx, a, order="C"):
    return reshaped(ctx, a, (-1,), order)


@elaborates(np.ndarray.flatten, method="flatten")
def flatten(ctx, a, order="C"):
    if fixed(ctx, order, "order") != "C":
        ctx.error("flatten in an order other than 'C'", "transpose before")
    x = flat(ctx, a.node)
    return ctx.fresh(x) if x is a.node else ctx.leaf(x)


# ---- axes ------------------------------------------------------------------------------------------------------------
def permuted(ctx, a, perm) -> Leaf:
    return view(ctx, transpose(ctx, a.node, perm), a)


@elaborates(np.transpose)
def transpose_(ctx, a, axes=None):
    x = leaf_of(ctx, a)
    rank = len(shape(ctx, x))
    if absent(axes):
        return permuted(ctx, x, reversed(range(rank)))
    perm = [normalised(ctx, k, rank) for k in fixed(ctx, axes, "axes")]
    if sorted(perm) != list(range(rank)):
        ctx.error("axes don't match array", "name each axis of the array once", cls=MyiaValueError)
    return permuted(ctx, x, perm)


@elaborates(np.ndarray.transpose, method="transpose")
def transpose_method(ctx, a, *axes):
    if len(axes) == 1 and (isinstance(axes[0], Sequence) or absent(axes[0])):
        return transpose_(ctx, a, axes[0])
    return transpose_(ctx, a, Sequence(axes) if axes else None)


@elaborates(np.matrix_transpose)
def matrix_transpose(ctx, x):
    return swapaxes(ctx, x, -1, -2)


@elaborates(np.swapaxes, method="swapaxes")
def swapaxes(ctx, a, axis1, axis2):
    x = leaf_of(ctx, a)
    perm = list(range(len(shape(ctx, x))))
    i, j = (normalised(ctx, k, len(perm)) for k in (axis1, axis2))
    perm[i], perm[j] = perm[j], perm[i]
    return permuted(ctx, x, perm)


@elaborates(np.moveaxis)
def moveaxis(ctx, a, source, destination):
    x = leaf_of(ctx, a)
    rank = len(shape(ctx, x))
    both = []
    for v in (source, destination):
        v = fixed(ctx, v, "an axis")
        both.append([normalised(ctx, k, rank) for k in (v if isinstance(v, (tuple, list)) else (v,))])
    if len(both[0]) != len(both[1]):
        ctx.error(
            "`source` and `destination` arguments must have the same number of elements",
            "name as many axes",
            cls=MyiaValueError,
        )
    order = [k for k in range(rank) if k not in both[0]]
    for to, k in sorted(zip(both[1], both[0], strict=True)):
        order.insert(to, k)
    return permuted(ctx, x, order)


@elaborates(np.squeeze, method="squeeze")
def squeeze(ctx, a, axis=None):
    x = leaf_of(ctx, a)
    sizes = shape(ctx, x)
    if absent(axis):
        if not all(isinstance(s, int) for s in sizes):
            ctx.error("squeeze of an array some of whose sizes are known at run time only", "name the axis")
        drop = tuple(k for k, s in enumerate(sizes) if s == 1)
    else:
        drop = axes_of(ctx, axis, len(sizes))
        message = "cannot select an axis to squeeze out which has size not equal to one"
        for k in drop:
            one = same(ctx, sizes[k], 1)
            if one is False:
                ctx.error(message, "name an axis of size 1", cls=MyiaValueError)
            require(ctx, "ValueError", message, one)
    return view(ctx, reshape(ctx, x.node, tuple(s for k, s in enumerate(sizes) if k not in drop)), x)


@elaborates(np.expand_dims)
def expand_dims(ctx, a, axis):
    x = leaf_of(ctx, a)
    sizes = list(shape(ctx, x))
    axes = fixed(ctx, axis, "axis")
    axes = axes if isinstance(axes, (tuple, list)) else (axes,)
    for k in sorted(normalised(ctx, k, len(sizes) + len(axes)) for k in axes):
        sizes.insert(k, 1)
    return view(ctx, reshape(ctx, x.node, tuple(sizes)), x)


@elaborates(np.broadcast_to)
def broadcast_to(ctx, array, shape):
    x = leaf_of(ctx, array)
    own, sizes = _shape(ctx, x), sizes_of(ctx, shape)
    message = (
        "operands could not be broadcast together with remapped shapes [original->remapped]: "
        f"{text(own)} and requested shape {text(sizes)}"
    )
    if len(own) > len(sizes) or common(ctx, [own, sizes], message) != sizes:
        ctx.error(message, "name a shape that the array stretches to", cls=MyiaValueError)
    return view(ctx, stretched(ctx, x.node, sizes), x)


_shape = shape


@elaborates(np.atleast_1d)
def atleast_1d(ctx, a):
    x = leaf_of(ctx, a)
    return view(ctx, reshape(ctx, x.node, shape(ctx, x) or (1,)), x)


@elaborates(np.atleast_2d)
def atleast_2d(ctx, a):
    x = leaf_of(ctx, a)
    sizes = shape(ctx, x)
    return view(ctx, reshape(ctx, x.node, (1,) * (2 - len(sizes)) + sizes), x)


@elaborates(np.shape)
def shape_function(ctx, a):
    from .attributes import shape_value

    return shape_value(ctx, leaf_of(ctx, a))


@elaborates(np.ndim)
def ndim(ctx, a):
    return ctx.const(len(shape(ctx, leaf_of(ctx, a))))


@elaborates(np.size)
def size_function(ctx, a, axis=None):
    sizes = shape(ctx, leaf_of(ctx, a))
    if not absent(axis):
        sizes = (sizes[normalised(ctx, axis, len(sizes))],)
    return ctx.leaf(node_of(ctx, total(ctx, sizes)), py=True)
