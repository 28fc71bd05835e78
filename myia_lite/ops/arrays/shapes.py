"""Arrays' shapes: making, repeating and summing along axes, other shapes of the same elements.

Repeating and summing are each other's transposes, so both are here.
"""

from __future__ import annotations

import numpy as np

from ...ir import I64, Array, Constant, Scalar, shape_of, shaped
from ..define import array, define, expect, sized


def dims(x, axes=None) -> tuple[tuple, list]:
    """The `shape` attribute and the dynamic dims that make the shape of node `x` (or of those of its axes)."""
    shape = shape_of(x.type)
    axes = range(len(shape)) if axes is None else axes
    return tuple(shape[k] for k in axes), [dim(x, axis=k) for k in axes if shape[k] is None]


def size(x, axis):
    """A dim as a Python int where its type says it, else as a node."""
    n = x.type.shape[axis]
    return dim(x, axis=axis) if n is None else n


def filled(number, x, dtype=None):
    """An array of the shape of `x`, of its dtype unless given."""
    shape, dyn = dims(x)
    return broadcast(number_like(number, x, dtype), *dyn, shape=shape, axes=())


def number_like(number, x, dtype=None):
    """A scalar constant of the dtype of `x`."""
    return Constant(number, Scalar(dtype or x.type.dtype))


def known(shape, dyn) -> tuple[int, ...]:
    dyn = iter(dyn)
    return tuple(int(next(dyn)) if d is None else d for d in shape)


# ---- batching: the same for each of many rows, along one more axis in front ------------------------------------------
def lead_of(many, args) -> tuple[tuple, list]:
    """The leading axis of the batched ones of `args`, as an attribute and dynamic dims."""
    return dims(next(a for a, m in zip(args, many, strict=True) if m), (0,))


def repeated(x, lead, dyn):
    """`x` along a new axis in front."""
    shape, own = dims(x)
    return broadcast(x, *dyn, *own, shape=lead + shape, axes=tuple(range(1, 1 + len(shape))))


def all_batched(many, args, lead, dyn):
    return [a if m else repeated(a, lead, dyn) for a, m in zip(args, many, strict=True)]


def batched_elementwise(op, many, args, attrs):
    """Numbers with a leading axis beside arrays repeat along theirs, arrays without one along the leading one."""
    ranks = [len(shape_of(a.type)) - m for a, m in zip(args, many, strict=True)]
    rank = max(ranks)
    if rank:
        lead, dyn = lead_of(many, args)
        k = ranks.index(rank)
        shape, own = dims(args[k], range(many[k], rank + many[k]))

        def fitted(a, m, r):
            if m and not r:
                return broadcast(a, *dyn, *own, shape=lead + shape, axes=(0,))
            return repeated(a, lead, dyn) if r and not m else a

        args = [fitted(*each) for each in zip(args, many, ranks, strict=True)]
    return op(*args, **attrs)


def later(axes):
    return tuple(a + 1 for a in axes)


# ---- making ----------------------------------------------------------------------------------------------------------
def _broadcast_type(types, attrs, graphs):
    x, *dyn = types
    shape, axes = sized(attrs["shape"], dyn), attrs["axes"]
    expect(len(axes) == len(shape_of(x)) and list(axes) == sorted(set(axes)), f"axes {axes} for {x}")
    for d, a in zip(shape_of(x), axes, strict=True):
        expect(d is None or shape[a] is None or d == shape[a], f"{x} does not fit {shape} at axes {axes}")
    return Array(x.dtype, shape)


def _broadcast(x, *dyn, shape, axes):
    out = np.empty(known(shape, dyn), x.dtype)
    out[...] = np.expand_dims(x, tuple(k for k in range(out.ndim) if k not in axes))
    return out


def _broadcast_vjp(y_bar, y, x, *dyn, shape, axes):
    new = tuple(k for k in range(len(shape)) if k not in axes)
    return (reduce_sum(y_bar, axes=new) if new else y_bar, *[None] * len(dyn))


def _batched_broadcast(many, x, *dyn, shape, axes):
    if any(many[1:]):
        return None
    lead, own = dims(x, (0,))
    return broadcast(x, *own, *dyn, shape=lead + shape, axes=(0, *later(axes)))


broadcast = define(
    "broadcast",
    _broadcast_type,
    "broadcast[shape, axes](x, *dyn): axis k of x becomes axis axes[k] of the result, the other axes repeat; a scalar "
    "(axes=()) fills.  No size-1 stretching: reshape first",
    value=_broadcast,
    vjp=_broadcast_vjp,
    linear=(0,),
    batch=_batched_broadcast,
)
iota = define(
    "iota",
    lambda types, attrs, graphs: Array("i64", sized(attrs["shape"], types)),
    "iota[shape](*dyn): 0, 1, … along the one axis",
    value=lambda *dyn, shape: np.arange(*known(shape, dyn), dtype=np.int64),
    zero_derivative="integer result",
)


# ---- sums ------------------------------------------------------------------------------------------------------------
def reduce_type(types, attrs, graphs):
    x, axes = array(types[0]), attrs["axes"]
    expect(list(axes) == sorted(set(axes)) and axes and axes[-1] < x.rank, f"axes {axes} of {x}")
    return shaped(x.dtype, tuple(d for k, d in enumerate(x.shape) if k not in axes))


def kept(x, axes) -> tuple[int, ...]:
    """The axes of node `x` that a reduction over `axes` leaves."""
    return tuple(k for k in range(x.type.rank) if k not in axes)


def spread(y, x, axes):
    """What `reduce[axes]` made of an array like `x`, beside each element that went into it."""
    shape, dyn = dims(x)
    return broadcast(y, *dyn, shape=shape, axes=kept(x, axes))


reduce_sum = define(
    "reduce_sum",
    reduce_type,
    "reduce_sum[axes](x), axes sorted; of no elements 0",
    value=lambda x, axes: np.sum(x, axes, dtype=x.dtype),
    vjp=lambda y_bar, y, x, axes: (spread(y_bar, x, axes),),
    linear=(0,),
    batch=lambda many, x, axes: reduce_sum(x, axes=later(axes)),
)


# ---- other shapes of the same elements -------------------------------------------------------------------------------
def _reshape_type(types, attrs, graphs):
    x, *dyn = types
    shape = sized(attrs["shape"], dyn)
    size = 1
    for d in shape_of(x):
        size = None if size is None or d is None else size * d
    new = 1
    for d in shape:
        new = None if new is None or d is None else new * d
    expect(size is None or new is None or size == new, f"{x} as shape {shape}")
    return shaped(x.dtype, shape)


def _reshape_vjp(y_bar, y, x, *dyn, shape):
    old, old_dyn = dims(x)
    return (reshape(y_bar, *old_dyn, shape=old), *[None] * len(dyn))


def _batched_reshape(many, x, *dyn, shape):
    if any(many[1:]):
        return None
    lead, own = dims(x, (0,))
    return reshape(x, *own, *dyn, shape=lead + shape)


def _transpose_type(types, attrs, graphs):
    x = array(types[0])
    expect(sorted(attrs["perm"]) == list(range(x.rank)), f"permutation {attrs['perm']} of {x}")
    return Array(x.dtype, tuple(x.shape[p] for p in attrs["perm"]))


def inverse(perm) -> tuple[int, ...]:
    return tuple(perm.index(k) for k in range(len(perm)))


reshape = define(
    "reshape",
    _reshape_type,
    "reshape[shape](x, *dyn), row-major; shape=() gives the scalar of a 1-element array",
    value=lambda x, *dyn, shape: np.array(x, order="C").reshape(known(shape, dyn))[() if shape == () else ...],
    vjp=_reshape_vjp,
    linear=(0,),
    batch=_batched_reshape,
)
transpose = define(
    "transpose",
    _transpose_type,
    "transpose[perm](x): axis k of the result is axis perm[k] of x",
    value=lambda x, perm: np.array(x.transpose(perm), order="C"),
    vjp=lambda y_bar, y, x, perm: (transpose(y_bar, perm=inverse(perm)),),
    linear=(0,),
    batch=lambda many, x, perm: transpose(x, perm=(0, *later(perm))),
)
dim = define(
    "dim",
    lambda types, attrs, graphs: (expect(attrs["axis"] < array(types[0]).rank, "no such axis"), I64)[1],
    "dim[axis](x): a size",
    value=lambda x, axis: np.int64(x.shape[axis]),
    zero_derivative="integer result",
    batch=lambda many, x, axis: dim(x, axis=axis + 1),
)


def turned(x):
    """The last two of three axes swapped, by a reshape where one of them has one element."""
    if 1 in x.type.shape[1:]:
        shape, dyn = dims(x, (0, 2, 1))
        return reshape(x, *dyn, shape=shape)
    return transpose(x, perm=(0, 2, 1))


def first_axes_as_one(x, count):
    if count == 1:
        return x
    total = size(x, 0)
    for k in range(1, count):
        total = total * size(x, k)
    shape, dyn = dims(x, range(count, x.type.rank))
    if isinstance(total, int):
        return reshape(x, *dyn, shape=(total, *shape))
    return reshape(x, total, *dyn, shape=(None, *shape))
