"""Array primitives: shape, reading, writing, reductions, products.

Sizes: an attribute `shape` holds a None for each dim that only the running program knows; its value is then an i64
argument at the end of the argument list, in order (`*dyn`).  Indexes are non-negative and in range: inference emits the
normalisation and the `guard`.  Primitives marked `in_place` consume argument 0 and write into it where nobody else
holds it.

Reverse rules take sizes from types, and from `dim` where only the running program knows them: an array itself is named
only where its elements matter, since what a rule names is kept for the reverse pass.  A rule that both reads and writes
a cotangent reads first.
"""

from __future__ import annotations

from builtins import slice as extent

import numpy as np

from ..ir import I64, Array, Constant, Scalar, constant, shape_of, shaped, with_dtype
from .define import array, define, expect, is_index, same, sized
from .elementwise import bit_and, cast, eq, floordiv, gt, lt, maximum, minimum, mod, select


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
    return broadcast(_number(number, x, dtype), *dyn, shape=shape, axes=())


def _number(number, x, dtype=None):
    """A scalar constant of the dtype of `x`."""
    return Constant(number, Scalar(dtype or x.type.dtype))


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


def _later(axes):
    return tuple(a + 1 for a in axes)


def _numbered(many, idx, lead, dyn):
    """Index arrays for all rows, and in front of them the number of the row."""
    idx = all_batched(many, idx, lead, dyn)
    number = iota(*dyn, shape=lead)
    if idx[0].type.rank > 1:
        shape, own = dims(idx[0])
        number = broadcast(number, *own, shape=shape, axes=(0,))
    return [number, *idx]


def _batched_slice(many, x, *args, steps, shape):
    if any(many[1:]):
        return None
    lead, dyn = lead_of(many, (x, *args))
    starts, sizes = args[: len(steps)], args[len(steps) :]
    return slice(x, constant(0), *starts, *dyn, *sizes, steps=(1, *steps), shape=lead + shape)


def _batched_window(many, args, steps, op):
    if any(many[2:]):
        return None
    x, v = all_batched(many[:2], args[:2], *lead_of(many, args))
    return op(x, v, constant(0), *args[2:], steps=(1, *steps))


def _batched_elem(many, x, *idx):
    lead, dyn = lead_of(many, (x, *idx))
    if any(many[1:]):
        idx = _numbered(many[1:], idx, lead, dyn)
        return gather(x, *(idx if many[0] else idx[1:]))
    ones = (1,) * len(idx)
    return reshape(slice(x, constant(0), *idx, *dyn, steps=(1, *ones), shape=lead + ones), *dyn, shape=lead)


def _batched_write(many, args, window, places):
    """Of a write to one element: to a window of all rows, or to `places` where each row has its own."""
    lead, dyn = lead_of(many, args)
    (x, v), idx = all_batched(many[:2], args[:2], lead, dyn), args[2:]
    if any(many[2:]):
        return places(x, v, *_numbered(many[2:], idx, lead, dyn))
    ones = (1,) * len(idx)
    return window(x, reshape(v, *dyn, shape=lead + ones), constant(0), *idx, steps=(1, *ones))


def _batched_gather(many, x, *idx):
    lead, dyn = lead_of(many, (x, *idx))
    idx = _numbered(many[1:], idx, lead, dyn)
    return gather(x, *(idx if many[0] else idx[1:]))


def _batched_scatter(many, args, op):
    lead, dyn = lead_of(many, args)
    return op(*all_batched(many[:2], args[:2], lead, dyn), *_numbered(many[2:], args[2:], lead, dyn))


def _batched_reshape(many, x, *dyn, shape):
    if any(many[1:]):
        return None
    lead, own = dims(x, (0,))
    return reshape(x, *own, *dyn, shape=lead + shape)


def _batched_broadcast(many, x, *dyn, shape, axes):
    if any(many[1:]):
        return None
    lead, own = dims(x, (0,))
    return broadcast(x, *own, *dyn, shape=lead + shape, axes=(0, *_later(axes)))


def _known(shape, dyn) -> tuple[int, ...]:
    dyn = iter(dyn)
    return tuple(int(next(dyn)) if d is None else d for d in shape)


# ---- making ----------------------------------------------------------------------------------------------------------
def _broadcast_type(types, attrs, graphs):
    x, *dyn = types
    shape, axes = sized(attrs["shape"], dyn), attrs["axes"]
    expect(len(axes) == len(shape_of(x)) and list(axes) == sorted(set(axes)), f"axes {axes} for {x}")
    for d, a in zip(shape_of(x), axes, strict=True):
        expect(d is None or shape[a] is None or d == shape[a], f"{x} does not fit {shape} at axes {axes}")
    return Array(x.dtype, shape)


def _broadcast(x, *dyn, shape, axes):
    out = np.empty(_known(shape, dyn), x.dtype)
    out[...] = np.expand_dims(x, tuple(k for k in range(out.ndim) if k not in axes))
    return out


def _broadcast_vjp(y_bar, y, x, *dyn, shape, axes):
    new = tuple(k for k in range(len(shape)) if k not in axes)
    return (reduce_sum(y_bar, axes=new) if new else y_bar, *[None] * len(dyn))


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
    value=lambda *dyn, shape: np.arange(*_known(shape, dyn), dtype=np.int64),
    zero_derivative="integer result",
)


# ---- shape -----------------------------------------------------------------------------------------------------------
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


def _transpose_type(types, attrs, graphs):
    x = array(types[0])
    expect(sorted(attrs["perm"]) == list(range(x.rank)), f"permutation {attrs['perm']} of {x}")
    return Array(x.dtype, tuple(x.shape[p] for p in attrs["perm"]))


def inverse(perm) -> tuple[int, ...]:
    return tuple(perm.index(k) for k in range(len(perm)))


def _concat_type(types, attrs, graphs):
    axis, first = attrs["axis"], array(types[0])
    total = 0
    for t in types:
        expect(array(t).rank == first.rank and t.dtype == first.dtype, f"pieces of type {first} and {t}")
        total = None if total is None or t.shape[axis] is None else total + t.shape[axis]
    rest = list(first.shape)
    for t in types:
        for k, d in enumerate(t.shape):
            expect(
                k == axis or d is None or rest[k] is None or d == rest[k],
                f"pieces of shape {first.shape} and {t.shape}",
            )
            rest[k] = d if rest[k] is None else rest[k]
    return Array(first.dtype, (*rest[:axis], total, *rest[axis + 1 :]))


def _concat_vjp(y_bar, y, *xs, axis):
    out, start, rank = [], 0, y_bar.type.rank
    for x in xs:
        shape, dyn = dims(x)
        starts = [constant(0)] * rank
        starts[axis] = constant(start) if isinstance(start, int) else start
        out.append(slice(y_bar, *starts, *dyn, steps=(1,) * rank, shape=shape))
        start = start + size(x, axis)
    return out


reshape = define(
    "reshape",
    _reshape_type,
    "reshape[shape](x, *dyn), row-major; shape=() gives the scalar of a 1-element array",
    value=lambda x, *dyn, shape: np.array(x, order="C").reshape(_known(shape, dyn))[() if shape == () else ...],
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
    batch=lambda many, x, perm: transpose(x, perm=(0, *_later(perm))),
)
concat = define(
    "concat",
    _concat_type,
    "concat[axis](*xs)",
    value=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concat_vjp,
    linear=(0, ...),
    batch=lambda many, *xs, axis: concat(*all_batched(many, xs, *lead_of(many, xs)), axis=axis + 1),
)
dim = define(
    "dim",
    lambda types, attrs, graphs: (expect(attrs["axis"] < array(types[0]).rank, "no such axis"), I64)[1],
    "dim[axis](x): a size",
    value=lambda x, axis: np.int64(x.shape[axis]),
    zero_derivative="integer result",
    batch=lambda many, x, axis: dim(x, axis=axis + 1),
)


# ---- reading and writing ---------------------------------------------------------------------------------------------
def _indexes(t, idx, rank):
    expect(len(idx) == rank, f"{len(idx)} indexes into {t}")
    for i in idx:
        expect(is_index(i), f"an index of type {i}")


def _slice_type(types, attrs, graphs):
    x = array(types[0])
    starts, dyn = types[1 : 1 + x.rank], types[1 + x.rank :]
    _indexes(x, starts, x.rank)
    expect(len(attrs["steps"]) == x.rank, "one step per axis")
    return Array(x.dtype, sized(attrs["shape"], dyn))


def _write_slice_type(types, attrs, graphs):
    x, v, *starts = types
    _indexes(array(x), starts, x.rank)
    expect(array(v).rank == x.rank and v.dtype == x.dtype, f"{v} into a slice of {x}")
    return x


def _get_elem_type(types, attrs, graphs):
    _indexes(types[0], types[1:], array(types[0]).rank)
    return Scalar(types[0].dtype)


def _write_elem_type(types, attrs, graphs):
    x, v, *idx = types
    _indexes(x, idx, array(x).rank)
    expect(v == Scalar(x.dtype), f"a {v} into {x}")
    return x


def _gathered(x, idx):
    expect(idx and len(idx) <= array(x).rank, f"{len(idx)} index arrays into {x}")
    for i in idx:
        expect(array(i).dtype == "i64" and i.rank == idx[0].rank, f"an index array of type {i}")
    return Array(x.dtype, (*same()([*idx], {}, ()).shape, *x.shape[len(idx) :]))


def _write_gathered_type(types, attrs, graphs):
    x, v, *idx = types
    expect(v.dtype == x.dtype and array(v).rank == _gathered(x, idx).rank, f"{v} scattered into {x}")
    return x


def _window(starts, sizes, steps):
    """The Python slices of so many positions; of none wherever they start (a reversed empty axis starts at -1)."""
    out = []
    for start, n, step in zip(map(int, starts), sizes, steps, strict=True):
        stop = start + n * step
        out.append(extent(start, stop if stop >= 0 else None, step) if n else extent(0, 0))
    return tuple(out)


def _slice(x, *args, steps, shape):
    return x[_window(args[: x.ndim], _known(shape, args[x.ndim :]), steps)].copy()


def _slice_set(x, v, *starts, steps, own=False):
    out = x if own else x.copy()
    out[_window(starts, v.shape, steps)] = v
    return out


def _slice_add(x, v, *starts, steps, own=False):
    out = x if own else x.copy()
    out[_window(starts, v.shape, steps)] += v
    return out


def _set_elem(x, v, *idx, own=False):
    out = x if own else x.copy()
    out[idx] = v
    return out


def _add_elem(x, v, *idx, own=False):
    out = x if own else x.copy()
    out[idx] += v
    return out


def _scatter_set(x, v, *idx, own=False):
    """One position after another, for NumPy does not promise which of several writes to one element stays."""
    out = x if own else x.copy()
    for position in np.ndindex(idx[0].shape):
        out[tuple(i[position] for i in idx)] = v[position]
    return out


def _scatter_add(x, v, *idx, own=False):
    out = x if own else x.copy()
    np.add.at(out, idx, v)
    return out


def _slice_set_vjp(y_bar, y, x, v, *starts, steps):
    shape, dyn = dims(v)
    v_bar = slice(y_bar, *starts, *dyn, steps=steps, shape=shape)
    return (slice_set(y_bar, filled(0.0, v), *starts, steps=steps), v_bar, *[None] * len(starts))


def _slice_add_vjp(y_bar, y, x, v, *starts, steps):
    shape, dyn = dims(v)
    return (y_bar, slice(y_bar, *starts, *dyn, steps=steps, shape=shape), *[None] * len(starts))


def _set_elem_vjp(y_bar, y, x, v, *idx):
    v_bar = elem(y_bar, *idx)
    return (set_elem(y_bar, 0.0, *idx), v_bar, *[None] * len(idx))


def _scatter_set_vjp(y_bar, y, x, v, *idx):
    """At repeated positions only the last write shows in the result, so only that has a cotangent.

    Which it is we see by scattering the numbers of the writes and reading back who is left; they are scattered into the
    cotangent itself, which is overwritten there anyway: the cost is that of `v`, not of `x`.  In f32 a number is two
    digits, since not all integers from 2**24 on are f32 numbers.
    """
    rank, dtype = idx[0].type.rank, y_bar.type.dtype
    shape, dyn = dims(idx[0])
    count, total = 1, constant(1)
    for k in range(rank):
        n = size(idx[0], k)
        count = None if count is None or not isinstance(n, int) else count * n
        total = total * n
    flat = iota(shape=(count,)) if count is not None else iota(total, shape=(None,))
    number = reshape(flat, *dyn, shape=shape)
    digits = [number]
    if dtype == "f32" and (count is None or count > 2**24):
        digits = [mod(number, 2**24), floordiv(number, 2**24)]
    v_shape, v_dyn = dims(v)
    read, x_bar, wins = gather(y_bar, *idx), y_bar, None
    for digit in digits:
        digit = broadcast(cast(digit, dtype=dtype), *v_dyn, shape=v_shape, axes=tuple(range(rank)))
        x_bar = scatter_set(x_bar, digit, *idx)
        left = eq(gather(x_bar, *idx), digit)
        wins = left if wins is None else bit_and(wins, left)
    return (scatter_set(x_bar, filled(0.0, v), *idx), select(wins, read, 0.0), *[None] * len(idx))


slice = define(
    "slice",
    _slice_type,
    "slice[steps, shape](x, *starts, *dyn): result[i…] = x[start + i * step, …]; steps are ints, not 0, maybe negative",
    value=_slice,
    vjp_into=lambda x_bar, y_bar, y, x, *args, steps, shape: slice_add(x_bar, y_bar, *args[: len(steps)], steps=steps),
    linear=(0,),
    batch=_batched_slice,
)
slice_set = define(
    "slice_set",
    _write_slice_type,
    "slice_set[steps](x, v, *starts): x with v at the positions of a slice of v's size",
    value=_slice_set,
    vjp=_slice_set_vjp,
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args, steps: _batched_window(many, args, steps, slice_set),
)
slice_add = define(
    "slice_add",
    _write_slice_type,
    "slice_add[steps](x, v, *starts): x with v added there",
    value=_slice_add,
    vjp=_slice_add_vjp,
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args, steps: _batched_window(many, args, steps, slice_add),
)
elem = define(
    "elem",
    _get_elem_type,
    "elem(x, *indexes): one element",
    value=lambda x, *idx: x[idx],
    vjp_into=lambda x_bar, y_bar, y, x, *idx: add_elem(x_bar, y_bar, *idx),
    linear=(0,),
    batch=_batched_elem,
)
set_elem = define(
    "set_elem",
    _write_elem_type,
    "set_elem(x, v, *indexes): x with one element replaced",
    value=_set_elem,
    vjp=_set_elem_vjp,
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args: _batched_write(many, args, slice_set, scatter_set),
)
add_elem = define(
    "add_elem",
    _write_elem_type,
    "add_elem(x, v, *indexes): x with v added to one element",
    value=_add_elem,
    vjp=lambda y_bar, y, x, v, *idx: (y_bar, elem(y_bar, *idx), *[None] * len(idx)),
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args: _batched_write(many, args, slice_add, scatter_add),
)
gather = define(
    "gather",
    lambda types, attrs, graphs: _gathered(types[0], types[1:]),
    "gather(x, *index_arrays), of one shape S, into the first k axes of x: shape S + x.shape[k:]",
    value=lambda x, *idx: x[idx],
    vjp_into=lambda x_bar, y_bar, y, x, *idx: scatter_add(x_bar, y_bar, *idx),
    linear=(0,),
    batch=_batched_gather,
)
scatter_set = define(
    "scatter_set",
    _write_gathered_type,
    "scatter_set(x, v, *index_arrays): x with v (of gather's shape) written there; at repeats the last stays",
    value=_scatter_set,
    vjp=_scatter_set_vjp,
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args: _batched_scatter(many, args, scatter_set),
)
scatter_add = define(
    "scatter_add",
    _write_gathered_type,
    "scatter_add(x, v, *index_arrays): x with v added there, repeats adding up",
    value=_scatter_add,
    vjp=lambda y_bar, y, x, v, *idx: (y_bar, gather(y_bar, *idx), *[None] * len(idx)),
    linear=(0, 1),
    in_place=True,
    batch=lambda many, *args: _batched_scatter(many, args, scatter_add),
)


def row(x, i):
    """Row number i."""
    if x.type.rank == 1:
        return elem(x, i)
    shape, dyn = dims(x, range(1, x.type.rank))
    one = slice(x, i, *[constant(0)] * len(shape), *dyn, steps=(1,) * x.type.rank, shape=(1, *shape))
    return reshape(one, *dyn, shape=shape)


def set_row(rows, v, i):
    """`rows` with `v` as row number i."""
    if not isinstance(v.type, Array):
        return set_elem(rows, v, i)
    shape, dyn = dims(v)
    one = reshape(v, *dyn, shape=(1, *shape))
    return slice_set(rows, one, i, *[constant(0)] * len(shape), steps=(1,) * (len(shape) + 1))


# ---- reductions and products -----------------------------------------------------------------------------------------
def _reduce_type(types, attrs, graphs):
    x, axes = array(types[0]), attrs["axes"]
    expect(list(axes) == sorted(set(axes)) and axes and axes[-1] < x.rank, f"axes {axes} of {x}")
    return shaped(x.dtype, tuple(d for k, d in enumerate(x.shape) if k not in axes))


def _arg_type(types, attrs, graphs):
    return with_dtype(_reduce_type(types, {"axes": (attrs["axis"],)}, graphs), "i64")


def kept(x, axes) -> tuple[int, ...]:
    """The axes of node `x` that a reduction over `axes` leaves."""
    return tuple(k for k in range(x.type.rank) if k not in axes)


def spread(y, x, axes):
    """What `reduce[axes]` made of an array like `x`, beside each element that went into it."""
    shape, dyn = dims(x)
    return broadcast(y, *dyn, shape=shape, axes=kept(x, axes))


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


def _next(x, times=None):
    """Row k + 1 of `x` in row k, times that row of `times` if given; in the last row 0."""
    shape, dyn = dims(x)
    if times is None and shape[0]:
        starts = [constant(1), *[constant(0)] * (len(shape) - 1)]
        rest = slice(x, *starts, *dyn, steps=(1,) * len(shape), shape=(shape[0] - 1, *shape[1:]))
        return concat(rest, broadcast(_number(0.0, x), *dyn, shape=(1, *shape[1:]), axes=()), axis=0)
    k, last = iota(*dyn[: shape[0] is None], shape=shape[:1]), size(x, 0) - 1
    inside = broadcast(lt(k, last), *dyn, shape=shape, axes=(0,))
    rows = gather(x, minimum(k + 1, last))
    return select(inside, rows if times is None else rows * times, 0.0)


def _one_in_row(x, first: bool):
    """An array of the shape of `x` that is 1 in its first, or last, row, and 0 elsewhere."""
    shape, dyn = dims(x)
    if shape[0]:
        one = broadcast(_number(1.0, x), *dyn, shape=(1, *shape[1:]), axes=())
        others = broadcast(_number(0.0, x), *dyn, shape=(shape[0] - 1, *shape[1:]), axes=())
        return concat(*([one, others] if first else [others, one]), axis=0)
    row = eq(iota(*dyn[: shape[0] is None], shape=shape[:1]), constant(0) if first else size(x, 0) - 1)
    return broadcast(cast(row, dtype=x.type.dtype), *dyn, shape=shape, axes=(0,))


def _previous(x):
    """Row k - 1 of `x` in row k; in the first row 0."""
    shape, dyn = dims(x)
    k = iota(*dyn[: shape[0] is None], shape=shape[:1])
    inside = broadcast(gt(k, 0), *dyn, shape=shape, axes=(0,))
    return select(inside, gather(x, maximum(k - 1, 0)), 0.0)


def _reduce_prod_vjp(y_bar, y, x, axes):
    """The cotangent times the product of the *other* elements, which is that of those before times that of those after.

    No division by the element, and no case for zeros: a polynomial as the product itself is, right at all orders.
    """
    perm = (*axes, *kept(x, axes))
    there_and_back = perm != tuple(range(x.type.rank))
    moved = transpose(x, perm=perm) if there_and_back else x
    rows = _first_axes_as_one(moved, len(axes))
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


def _first_axes_as_one(x, count):
    if count == 1:
        return x
    total = size(x, 0)
    for k in range(1, count):
        total = total * size(x, k)
    shape, dyn = dims(x, range(count, x.type.rank))
    if isinstance(total, int):
        return reshape(x, *dyn, shape=(total, *shape))
    return reshape(x, total, *dyn, shape=(None, *shape))


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


reduce_sum = define(
    "reduce_sum",
    _reduce_type,
    "reduce_sum[axes](x), axes sorted; of no elements 0",
    value=lambda x, axes: np.sum(x, axes, dtype=x.dtype),
    vjp=lambda y_bar, y, x, axes: (spread(y_bar, x, axes),),
    linear=(0,),
    batch=lambda many, x, axes: reduce_sum(x, axes=_later(axes)),
)
reduce_prod = define(
    "reduce_prod",
    _reduce_type,
    "reduce_prod[axes](x); of no elements 1",
    value=lambda x, axes: np.prod(x, axes, dtype=x.dtype),
    vjp=_reduce_prod_vjp,
    jvp=_reduce_prod_jvp,
    batch=lambda many, x, axes: reduce_prod(x, axes=_later(axes)),
)
reduce_max = define(
    "reduce_max",
    _reduce_type,
    "reduce_max[axes](x); NaN wins; ties share the cotangent equally; inference guards against no elements",
    value=lambda x, axes: np.max(x, axes),
    vjp=_extremum_vjp(lt),
    jvp=_extremum_jvp(lt),
    batch=lambda many, x, axes: reduce_max(x, axes=_later(axes)),
)
reduce_min = define(
    "reduce_min",
    _reduce_type,
    "reduce_min[axes](x)",
    value=lambda x, axes: np.min(x, axes),
    vjp=_extremum_vjp(gt),
    jvp=_extremum_jvp(gt),
    batch=lambda many, x, axes: reduce_min(x, axes=_later(axes)),
)
reduce_any = define(
    "reduce_any",
    _reduce_type,
    "reduce_any[axes](x) of bools",
    value=lambda x, axes: np.any(x, axes),
    zero_derivative="bool result",
    batch=lambda many, x, axes: reduce_any(x, axes=_later(axes)),
)
reduce_all = define(
    "reduce_all",
    _reduce_type,
    "reduce_all[axes](x) of bools",
    value=lambda x, axes: np.all(x, axes),
    zero_derivative="bool result",
    batch=lambda many, x, axes: reduce_all(x, axes=_later(axes)),
)
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


def _recurrence_type(types, attrs, graphs):
    a, b = map(array, types)
    return same()([a, b], {}, ())


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


def _matmul_type(types, attrs, graphs):
    a, b = map(array, types)
    expect(a.rank == b.rank >= 2 and a.dtype == b.dtype, f"matmul of {a} and {b}")
    m, k = a.shape[-2:][:: -1 if attrs["ta"] else 1]
    k2, n = b.shape[-2:][:: -1 if attrs["tb"] else 1]
    expect(k is None or k2 is None or k == k2, f"matmul of {a} and {b}: inner dims {k} and {k2}")
    batch = same()([Array("f64", a.shape[:-2]), Array("f64", b.shape[:-2])], {}, ()).shape if a.rank > 2 else ()
    return Array(a.dtype, (*batch, m, n))


def _matmul_vjp(y_bar, y, a, b, ta, tb):
    a_bar = matmul(b, y_bar, ta=tb, tb=True) if ta else matmul(y_bar, b, ta=False, tb=not tb)
    b_bar = matmul(y_bar, a, ta=True, tb=ta) if tb else matmul(a, y_bar, ta=not ta, tb=False)
    return (a_bar, b_bar)


def _matmul_jvp(dots, y, a, b, ta, tb):
    a_dot, b_dot = dots
    left = None if a_dot is None else matmul(a_dot, b, ta=ta, tb=tb)
    right = None if b_dot is None else matmul(a, b_dot, ta=ta, tb=tb)
    return right if left is None else left if right is None else left + right


def _batched_matmul(many, a, b, ta, tb):
    """One product of matrices: the rows of all in the batched factor, or its columns, are those of one large matrix."""
    if all(many) or a.type.rank + many[1] > 3 or b.type.rank + many[0] > 3:
        a, b = all_batched(many, (a, b), *lead_of(many, (a, b)))
        return matmul(a, b, ta=ta, tb=tb)
    if many[1]:  # (a @ b).T == b.T @ a.T
        return _turned(_batched_matmul(many[::-1], b, a, not tb, not ta))
    a = _turned(a) if ta else a
    n = b.type.shape[0 if tb else 1]
    columns, column_dyn = (n,), [size(b, 0 if tb else 1)] if n is None else []
    lead, lead_dyn = dims(a, (0, 1))
    y = matmul(_first_axes_as_one(a, 2), b, ta=False, tb=tb)
    return reshape(y, *lead_dyn, *column_dyn, shape=lead + columns)


def _turned(x):
    """The last two of three axes swapped, by a reshape where one of them has one element."""
    if 1 in x.type.shape[1:]:
        shape, dyn = dims(x, (0, 2, 1))
        return reshape(x, *dyn, shape=shape)
    return transpose(x, perm=(0, 2, 1))


matmul = define(
    "matmul",
    _matmul_type,
    "matmul[ta, tb](a, b): a @ b over the last two axes, each transposed first where ta, tb; leading axes agree",
    value=lambda a, b, ta, tb: np.matmul(a.swapaxes(-1, -2) if ta else a, b.swapaxes(-1, -2) if tb else b),
    vjp=_matmul_vjp,
    jvp=_matmul_jvp,
    multilinear=(0, 1),
    batch=_batched_matmul,
)
