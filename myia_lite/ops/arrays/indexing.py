"""Reading and writing parts of arrays: windows, elements, places named by index arrays; and joining.

Joining and reading a window are each other's transposes.
"""

from __future__ import annotations

from builtins import slice as extent

import numpy as np

from ...ir import Array, Scalar, constant
from ..define import array, define, expect, is_index, same, sized
from ..elementwise import bit_and, cast, eq, floordiv, mod, select
from .shapes import all_batched, broadcast, dims, filled, iota, known, lead_of, reshape, size


# ---- types -----------------------------------------------------------------------------------------------------------
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


# ---- values ----------------------------------------------------------------------------------------------------------
def _window(starts, sizes, steps):
    """The Python slices of so many positions; of none wherever they start (a reversed empty axis starts at -1)."""
    out = []
    for start, n, step in zip(map(int, starts), sizes, steps, strict=True):
        stop = start + n * step
        out.append(extent(start, stop if stop >= 0 else None, step) if n else extent(0, 0))
    return tuple(out)


def _slice(x, *args, steps, shape):
    return x[_window(args[: x.ndim], known(shape, args[x.ndim :]), steps)].copy()


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


# ---- derivatives -----------------------------------------------------------------------------------------------------
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


def _concat_vjp(y_bar, y, *xs, axis):
    out, start, rank = [], 0, y_bar.type.rank
    for x in xs:
        shape, dyn = dims(x)
        starts = [constant(0)] * rank
        starts[axis] = constant(start) if isinstance(start, int) else start
        out.append(slice(y_bar, *starts, *dyn, steps=(1,) * rank, shape=shape))
        start = start + size(x, axis)
    return out


# ---- batching --------------------------------------------------------------------------------------------------------
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


# ---- the primitives --------------------------------------------------------------------------------------------------
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
concat = define(
    "concat",
    _concat_type,
    "concat[axis](*xs)",
    value=lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concat_vjp,
    linear=(0, ...),
    batch=lambda many, *xs, axis: concat(*all_batched(many, xs, *lead_of(many, xs)), axis=axis + 1),
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
