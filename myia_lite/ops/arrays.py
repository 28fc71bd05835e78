"""Array primitives: shape, reading, writing, reductions, products.

Sizes: an attribute `shape` holds a None for each dim that only the running program knows; its value is then an i64
argument at the end of the argument list, in order (`*dyn`).  Indexes are non-negative and in range: inference emits the
normalisation and the `guard`.  Primitives marked `in_place` consume argument 0 and write into it where nobody else holds it.
"""

from __future__ import annotations

from ..ir import I64, Array, Bool, Scalar, shape_of, shaped, with_dtype
from .define import array, define, expect, is_index, same, sized

# ---- making ----------------------------------------------------------------------------------------------------------


def _broadcast_type(types, attrs, graphs):
    x, *dyn = types
    shape, axes = sized(attrs["shape"], dyn), attrs["axes"]
    expect(len(axes) == len(shape_of(x)) and list(axes) == sorted(set(axes)), f"axes {axes} for {x}")
    for d, a in zip(shape_of(x), axes, strict=True):
        expect(d is None or shape[a] is None or d == shape[a], f"{x} does not fit {shape} at axes {axes}")
    return Array(x.dtype, shape)


broadcast = define(
    "broadcast",
    _broadcast_type,
    "broadcast[shape, axes](x, *dyn): axis k of x becomes axis axes[k] of the result, the other axes repeat; a scalar "
    "(axes=()) fills.  No size-1 stretching: reshape first",
)
iota = define("iota", lambda types, attrs, graphs: Array("i64", sized(attrs["shape"], types)), "iota[shape](*dyn): 0, 1, … along the one axis", zero_derivative="integer result")


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


def _transpose_type(types, attrs, graphs):
    x = array(types[0])
    expect(sorted(attrs["perm"]) == list(range(x.rank)), f"permutation {attrs['perm']} of {x}")
    return Array(x.dtype, tuple(x.shape[p] for p in attrs["perm"]))


def _concat_type(types, attrs, graphs):
    axis, first = attrs["axis"], array(types[0])
    total = 0
    for t in types:
        expect(array(t).rank == first.rank and t.dtype == first.dtype, f"pieces of type {first} and {t}")
        total = None if total is None or t.shape[axis] is None else total + t.shape[axis]
    rest = list(first.shape)
    for t in types:
        for k, d in enumerate(t.shape):
            expect(k == axis or d is None or rest[k] is None or d == rest[k], f"pieces of shape {first.shape} and {t.shape}")
            rest[k] = d if rest[k] is None else rest[k]
    return Array(first.dtype, (*rest[:axis], total, *rest[axis + 1 :]))


reshape = define("reshape", _reshape_type, "reshape[shape](x, *dyn), row-major; shape=() gives the scalar of a 1-element array")
transpose = define("transpose", _transpose_type, "transpose[perm](x): axis k of the result is axis perm[k] of x")
concat = define("concat", _concat_type, "concat[axis](*xs)")
dim = define("dim", lambda types, attrs, graphs: (expect(attrs["axis"] < array(types[0]).rank, "no such axis"), I64)[1], "dim[axis](x): a size", zero_derivative="integer result")


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


slice = define("slice", _slice_type, "slice[steps, shape](x, *starts, *dyn): result[i…] = x[start + i * step, …]; steps are non-zero ints, maybe negative")
slice_set = define("slice_set", _write_slice_type, "slice_set[steps](x, v, *starts): x with v at the positions of a slice of v's size", in_place=True)
slice_add = define("slice_add", _write_slice_type, "slice_add[steps](x, v, *starts): x with v added there", in_place=True)
elem = define("elem", _get_elem_type, "elem(x, *indexes): one element")
set_elem = define("set_elem", _write_elem_type, "set_elem(x, v, *indexes): x with one element replaced", in_place=True)
add_elem = define("add_elem", _write_elem_type, "add_elem(x, v, *indexes): x with v added to one element", in_place=True)
gather = define("gather", lambda types, attrs, graphs: _gathered(types[0], types[1:]), "gather(x, *index_arrays), of one shape S, into the first k axes of x: shape S + x.shape[k:]")
scatter_set = define("scatter_set", _write_gathered_type, "scatter_set(x, v, *index_arrays): x with v (of gather's shape) written there; at repeats the last stays", in_place=True)
scatter_add = define("scatter_add", _write_gathered_type, "scatter_add(x, v, *index_arrays): x with v added there, repeats adding up", in_place=True)


# ---- reductions and products -----------------------------------------------------------------------------------------
def _reduce_type(types, attrs, graphs):
    x, axes = array(types[0]), attrs["axes"]
    expect(list(axes) == sorted(set(axes)) and axes and axes[-1] < x.rank, f"axes {axes} of {x}")
    return shaped(x.dtype, tuple(d for k, d in enumerate(x.shape) if k not in axes))


def _arg_type(types, attrs, graphs):
    return with_dtype(_reduce_type(types, {"axes": (attrs["axis"],)}, graphs), "i64")


reduce_sum = define("reduce_sum", _reduce_type, "reduce_sum[axes](x), axes sorted; of no elements 0")
reduce_prod = define("reduce_prod", _reduce_type, "reduce_prod[axes](x); of no elements 1")
reduce_max = define("reduce_max", _reduce_type, "reduce_max[axes](x); NaN wins; ties share the cotangent equally; inference guards against no elements")
reduce_min = define("reduce_min", _reduce_type, "reduce_min[axes](x)")
reduce_any = define("reduce_any", _reduce_type, "reduce_any[axes](x) of bools", zero_derivative="bool result")
reduce_all = define("reduce_all", _reduce_type, "reduce_all[axes](x) of bools", zero_derivative="bool result")
argmax = define("argmax", _arg_type, "argmax[axis](x): the first index of the maximum, of the first NaN if any", zero_derivative="integer result")
argmin = define("argmin", _arg_type, "argmin[axis](x)", zero_derivative="integer result")
cumsum = define("cumsum", lambda types, attrs, graphs: array(types[0]), "cumsum[axis, reverse](x)")


def _matmul_type(types, attrs, graphs):
    a, b = map(array, types)
    expect(a.rank == b.rank >= 2 and a.dtype == b.dtype, f"matmul of {a} and {b}")
    m, k = a.shape[-2:][:: -1 if attrs["ta"] else 1]
    k2, n = b.shape[-2:][:: -1 if attrs["tb"] else 1]
    expect(k is None or k2 is None or k == k2, f"matmul of {a} and {b}: inner dims {k} and {k2}")
    batch = same()([Array("f64", a.shape[:-2]), Array("f64", b.shape[:-2])], {}, ()).shape if a.rank > 2 else ()
    return Array(a.dtype, (*batch, m, n))


matmul = define("matmul", _matmul_type, "matmul[ta, tb](a, b): a @ b over the last two axes, each transposed first where ta, tb; leading axes agree")
