"""Arrays made from numbers: zeros, arange, array, eye, casts, and the masks of rows and columns."""

from __future__ import annotations

import numpy as np

from ...ir import FLOATS, Array, Constant, MyiaValueError, Scalar
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf, Range, Sequence
from .dtypes import NUMPY, cast, dtype_of, leaf_of, promoted, truncated
from .reductions import normalised
from .registry import absent, describe, elaborates, fixed, require
from .shapes import new_sizes, permuted, view
from .sizes import (
    fact,
    fill,
    iota,
    is_dim,
    least,
    minus,
    most,
    node_of,
    plus,
    quotient,
    reshape,
    same,
    shape,
    size,
    spread,
    text,
)

LARGEST = 2**63 - 1


def number(dtype, value):
    """A NumPy scalar constant."""
    return Constant({"b": bool, "i": int, "f": float}[NUMPY[dtype].kind](value), Scalar(dtype))


def _filled(ctx, sizes, value, dtype) -> Leaf:
    return ctx.leaf(fill(ctx, number(dtype, value), sizes))


def _dtype(ctx, dtype, default="f64"):
    return default if absent(dtype) else dtype_of(ctx, dtype)


@elaborates(np.zeros)
def zeros(ctx, shape, dtype=None):
    return _filled(ctx, new_sizes(ctx, shape), 0, _dtype(ctx, dtype))


@elaborates(np.ones)
def ones(ctx, shape, dtype=None):
    return _filled(ctx, new_sizes(ctx, shape), 1, _dtype(ctx, dtype))


# what np.empty holds is unspecified: zeros are as good, and the same each time
elaborates(np.empty)(zeros)


def _full(ctx, sizes, value, dtype) -> Leaf:
    from .sizes import stretched

    return ctx.leaf(stretched(ctx, cast(ctx, value.node, dtype), sizes))


@elaborates(np.full)
def full(ctx, shape, fill_value, dtype=None):
    value = leaf_of(ctx, fill_value)
    return _full(ctx, new_sizes(ctx, shape), value, _dtype(ctx, dtype, value.type.dtype))


def _like(ctx, a, dtype, sizes):
    x = leaf_of(ctx, a)
    return (shape(ctx, x) if absent(sizes) else new_sizes(ctx, sizes)), _dtype(ctx, dtype, x.type.dtype)


@elaborates(np.zeros_like, np.empty_like)
def zeros_like(ctx, a, dtype=None, *, shape=None):
    sizes, dtype = _like(ctx, a, dtype, shape)
    return _filled(ctx, sizes, 0, dtype)


@elaborates(np.ones_like)
def ones_like(ctx, a, dtype=None, *, shape=None):
    sizes, dtype = _like(ctx, a, dtype, shape)
    return _filled(ctx, sizes, 1, dtype)


@elaborates(np.full_like)
def full_like(ctx, a, fill_value, dtype=None, *, shape=None):
    sizes, dtype = _like(ctx, a, dtype, shape)
    return _full(ctx, sizes, leaf_of(ctx, fill_value), dtype)


# ---- rows, columns, diagonals ----------------------------------------------------------------------------------------
def offsets(ctx, rows, columns):
    """column - row of each element of a matrix."""
    sizes = (rows, columns)
    return ctx.emit(E.sub, iota(ctx, columns, sizes, 1), iota(ctx, rows, sizes, 0))


def _chosen(ctx, mask, node):
    """node where the mask holds, else 0."""
    return ctx.emit(E.select, mask, node, number(node.type.dtype, 0))


@elaborates(np.eye)
def eye(ctx, N, M=None, k=0, dtype=None):
    (rows,) = new_sizes(ctx, N)
    columns = rows if absent(M) else new_sizes(ctx, M)[0]
    on = ctx.emit(E.eq, offsets(ctx, rows, columns), leaf_of(ctx, k).node)
    return ctx.leaf(cast(ctx, on, _dtype(ctx, dtype)))


@elaborates(np.identity)
def identity(ctx, n, dtype=None):
    return eye(ctx, n, dtype=dtype)


def _triangle(ctx, m, k, prim) -> Leaf:
    x = leaf_of(ctx, m).node
    if not isinstance(x.type, Array):
        ctx.error("np.tril and np.triu take an array", "pass a matrix")
    sizes = shape(ctx, x)
    if len(sizes) == 1:  # as NumPy: the mask has the rank of a matrix
        x, sizes = spread(ctx, x, (sizes[0], *sizes), (1,)), (sizes[0], *sizes)
    keep = ctx.emit(prim, offsets(ctx, *sizes[-2:]), cast(ctx, leaf_of(ctx, k).node, "i64"))
    keep = spread(ctx, keep, sizes, (len(sizes) - 2, len(sizes) - 1))
    return ctx.leaf(_chosen(ctx, keep, x))


@elaborates(np.tril)
def tril(ctx, m, k=0):
    return _triangle(ctx, m, k, E.le)


@elaborates(np.triu)
def triu(ctx, m, k=0):
    return _triangle(ctx, m, k, E.ge)


@elaborates(np.diag)
def diag(ctx, v, k=0):
    x = leaf_of(ctx, v)
    rank = len(shape(ctx, x))
    if rank == 2:
        return diagonal(ctx, x, k)
    if rank != 1:
        ctx.error("Input must be 1- or 2-d.", "pass a vector or a matrix", cls=MyiaValueError)
    k = fixed(ctx, k, "k")
    (n,) = shape(ctx, x)
    side = plus(ctx, n, abs(k))
    # place j of the vector stands in row j + max(-k, 0)
    start = max(-k, 0)
    padded = x.node if not k else _padded(ctx, x.node, start, side)
    column = spread(ctx, padded, (side, side), (0,))
    return ctx.leaf(_chosen(ctx, ctx.emit(E.eq, offsets(ctx, side, side), k), column))


def _padded(ctx, node, start, length):
    return ctx.emit(
        A.slice_set, fill(ctx, number(node.type.dtype, 0), (length,)), node, node_of(ctx, start), steps=(1,)
    )


@elaborates(np.diagonal, method="diagonal")
def diagonal(ctx, a, offset=0, axis1=0, axis2=1):
    x = leaf_of(ctx, a)
    rank = len(shape(ctx, x))
    if rank < 2:
        ctx.error("diag requires an array of at least two dimensions", "pass a matrix", cls=MyiaValueError)
    k, i, j = fixed(ctx, offset, "offset"), normalised(ctx, axis1, rank), normalised(ctx, axis2, rank)
    rest = [n for n in range(rank) if n not in (i, j)]
    front = permuted(ctx, x, (i, j, *rest)).node
    rows, columns = shape(ctx, front)[:2]
    top, left = max(-k, 0), max(k, 0)
    n = most(ctx, least(ctx, minus(ctx, rows, top), minus(ctx, columns, left)), 0)
    line = iota(ctx, n)
    picked = ctx.emit(A.gather, front, _shifted(ctx, line, top), _shifted(ctx, line, left))
    last = len(rest)
    perm = (*range(1, last + 1), 0)
    return view(ctx, permuted(ctx, ctx.leaf(picked), perm).node if rest else picked, x)


def _shifted(ctx, line, by):
    return ctx.emit(E.add, line, by) if by else line


# ---- ranges ----------------------------------------------------------------------------------------------------------
@elaborates(np.arange)
def arange(ctx, start, stop=None, step=None, *, dtype=None):
    if absent(stop):
        start, stop = ctx.const(0), start
    ends = [leaf_of(ctx, v) for v in (start, stop, ctx.const(1) if absent(step) else step)]
    natural = promoted(ctx, ends)
    dtype = _dtype(ctx, dtype, natural)
    if natural == "bool":
        ctx.error("np.arange of bools", "pass ints")
    if natural in FLOATS:
        first, last, by = (cast(ctx, e.node, "f64") for e in ends)
        n = _float_count(ctx, first, last, by)
        # NumPy steps by the difference of the first two values
        delta = ctx.emit(E.sub, ctx.emit(E.add, first, by), first)
        line = cast(ctx, iota(ctx, n), "f64")
        return ctx.leaf(cast(ctx, ctx.emit(E.add, ctx.emit(E.mul, line, delta), first), dtype))
    first, last, by = (size(cast(ctx, e.node, "i64")) for e in ends)
    n = range_count(ctx, first, last, by, ("ZeroDivisionError", "division by zero"))
    line = iota(ctx, n)
    line = line if by == 1 else ctx.emit(E.mul, line, node_of(ctx, by))
    line = line if first == 0 else ctx.emit(E.add, line, node_of(ctx, first))
    return ctx.leaf(cast(ctx, line, dtype))


def range_count(ctx, first, last, by, zero_step=("ValueError", "range() arg 3 must not be zero"), near=False):
    """len(range(first, last, by)) of sizes, at most 2 ** 63 - 1; `zero_step` is the error of a step of 0.

    `near`: the difference of first and last is known to fit 64 bits.
    """
    if isinstance(by, int) and by == 0:
        require(ctx, *zero_step, False)
        return 0
    if all(isinstance(s, int) for s in (first, last, by)):
        return min(len(range(first, last, by)), LARGEST)
    if isinstance(by, int):
        if by < 0:
            first, last, by = last, first, -by
        return _count(ctx, first, last, by, near)
    require(ctx, *zero_step, fact(ctx.emit(E.ne, by, 0)))
    require(ctx, "OverflowError", "a step of -2 ** 63", fact(ctx.emit(E.ne, by, -LARGEST - 1)))
    up = ctx.emit(E.gt, by, 0)
    first, last = node_of(ctx, first), node_of(ctx, last)
    low, high = ctx.emit(E.select, up, first, last), ctx.emit(E.select, up, last, first)
    return _count(ctx, size(low), size(high), size(ctx.emit(E.abs, by)), near)


def _count(ctx, first, last, by, near):
    """len(range(first, last, by)) for by > 0."""
    span = minus(ctx, most(ctx, last, first), first)  # cannot wrap around where first >= 0
    count = span if isinstance(by, int) and by == 1 else plus(ctx, quotient(ctx, minus(ctx, span, 1), by), 1)
    if near or is_dim(first) or (isinstance(first, int) and first >= 0) or isinstance(span, int):
        return count
    wide = ctx.emit(E.lt, span, 0)
    if isinstance(by, int) and by == 1:
        return size(ctx.emit(E.select, wide, ctx.const(LARGEST).node, span))
    # the span as a number without sign: divide its half, and correct by the rest
    top = ctx.emit(E.sub, span, 1)
    half = ctx.emit(E.bit_and, ctx.emit(E.shift_right, top, 1), LARGEST)
    twice = ctx.emit(E.mul, ctx.emit(E.floordiv, half, by), 2)
    rest = ctx.emit(E.sub, top, ctx.emit(E.mul, twice, by))
    one_more = ctx.emit(E.bit_or, ctx.emit(E.ge, rest, by), ctx.emit(E.lt, rest, 0))
    exact = ctx.emit(E.add, twice, ctx.emit(E.select, one_more, ctx.const(2).node, ctx.const(1).node))
    exact = ctx.emit(E.select, ctx.emit(E.lt, exact, 0), ctx.const(LARGEST).node, exact)  # 2 ** 63, by steps of 2
    return size(ctx.emit(E.select, wide, exact, count))


def _float_count(ctx, first, last, by):
    """ceil((stop - start) / step), at least 0."""
    exact = ctx.emit(E.ceil, ctx.emit(E.div, ctx.emit(E.sub, last, first), by))
    return most(ctx, size(truncated(ctx, exact)), 0)


@elaborates(np.linspace)
def linspace(ctx, start, stop, num=50, endpoint=True, *, dtype=None):
    first, last = leaf_of(ctx, start), leaf_of(ctx, stop)
    if isinstance(first.type, Array) or isinstance(last.type, Array):
        ctx.error("np.linspace between arrays", "use numbers, and broadcast")
    first, last = cast(ctx, first.node, "f64"), cast(ctx, last.node, "f64")
    (n,) = new_sizes(ctx, num)
    closed = fixed(ctx, endpoint, "endpoint")
    parts = minus(ctx, n, 1) if closed else n
    line = iota(ctx, n)
    span = ctx.emit(E.sub, last, first)
    parts = cast(ctx, node_of(ctx, most(ctx, parts, 1)), "f64")
    out = ctx.emit(E.add, ctx.emit(E.mul, cast(ctx, line, "f64"), ctx.emit(E.div, span, parts)), first)
    if closed and n != 1:
        # the last value is `stop` itself, unless it is also the first
        at_end = ctx.emit(E.eq, line, node_of(ctx, most(ctx, minus(ctx, n, 1), 1)))
        out = ctx.emit(E.select, at_end, last, out)
    dtype = _dtype(ctx, dtype)
    return ctx.leaf(cast(ctx, ctx.emit(E.floor, out) if dtype in ("i32", "i64") else out, dtype))


# ---- array, asarray, astype ------------------------------------------------------------------------------------------
def array_of(ctx, v, dtype=None) -> Leaf:
    """np.array of nested sequences: a new array."""
    if isinstance(v, Range):
        from .sequences import items

        v = Sequence(tuple(items(ctx, v, "np.array of a range")))
    leaves = _leaves(ctx, v)
    if dtype is None:
        dtype = (
            promoted(ctx, [x if len({y.py for y in leaves}) == 1 else ctx.leaf(x.node) for x in leaves])
            if leaves
            else "f64"
        )
    return ctx.leaf(_assembled(ctx, v, dtype))


def _leaves(ctx, v) -> list[Leaf]:
    if isinstance(v, Leaf):
        return [v]
    if isinstance(v, Sequence):
        return [leaf for i in v.items for leaf in _leaves(ctx, i)]
    ctx.error(f"np.array with a {describe(v)} in it", "use numbers, arrays and lists of them")


def _assembled(ctx, v, dtype):
    if isinstance(v, Leaf):
        return cast(ctx, v.node, dtype)
    if not v.items:
        return fill(ctx, number(dtype, 0), (0,))
    parts = [_assembled(ctx, i, dtype) for i in v.items]
    shapes = [shape(ctx, p) for p in parts]
    message = "setting an array element with a sequence. The requested array has an inhomogeneous shape"
    for s in shapes:
        if len(s) != len(shapes[0]) or any(same(ctx, m, n) is False for m, n in zip(s, shapes[0], strict=True)):
            ctx.error(
                f"{message}: rows of shape {text(shapes[0])} and {text(s)}", "make the rows alike", cls=MyiaValueError
            )
        for m, n in zip(s, shapes[0], strict=True):
            require(ctx, "ValueError", message, same(ctx, m, n))
    parts = [reshape(ctx, p, (1, *s)) for p, s in zip(parts, shapes, strict=True)]
    return parts[0] if len(parts) == 1 else ctx.emit(A.concat, *parts, axis=0)


@elaborates(np.array)
def array(ctx, object, dtype=None, *, copy=True, ndmin=0):
    if not isinstance(object, Leaf):
        out = array_of(ctx, object, None if absent(dtype) else dtype_of(ctx, dtype))
    else:
        x = cast(ctx, object.node, _dtype(ctx, dtype, object.type.dtype))
        out = ctx.fresh(x) if fixed(ctx, copy, "copy") else view(ctx, x, object) if x is object.node else ctx.leaf(x)
    sizes, least_rank = shape(ctx, out), fixed(ctx, ndmin, "ndmin")
    return (
        ctx.leaf(reshape(ctx, out.node, (1,) * (least_rank - len(sizes)) + sizes)) if least_rank > len(sizes) else out
    )


@elaborates(np.asarray, np.ascontiguousarray)
def asarray(ctx, a, dtype=None):
    if not isinstance(a, Leaf):
        return array_of(ctx, a, None if absent(dtype) else dtype_of(ctx, dtype))
    x = cast(ctx, a.node, _dtype(ctx, dtype, a.type.dtype))
    return ctx.leaf(x) if a.py or x is not a.node else a


@elaborates(np.copy, method="copy")
def copy(ctx, a, order="K"):
    return ctx.fresh(leaf_of(ctx, a).node)


@elaborates(np.ndarray.astype, method="astype")
def astype(ctx, a, dtype, *, copy=True):
    x = cast(ctx, a.node, dtype_of(ctx, dtype))
    return (ctx.fresh(x) if fixed(ctx, copy, "copy") else a) if x is a.node else ctx.leaf(x)


@elaborates(np.ndarray.fill, method="fill")
def fill_(ctx, a, value):
    ctx.error("ndarray.fill writes into an array by a method", "write a[:] = value")


for _dtype_name, _numpy in NUMPY.items():

    def _scalar_class(ctx, x=None, /, *, dtype=_dtype_name):
        return ctx.leaf(number(dtype, 0)) if x is None else _converted(ctx, x, dtype)

    elaborates(_numpy.type)(_scalar_class)


def _converted(ctx, x, dtype) -> Leaf:
    """np.float32(x) and its kin, of numbers and arrays."""
    leaf = leaf_of(ctx, x, "an argument")
    if leaf.py and leaf.type.dtype == "i64" and dtype == "i32":
        from .dtypes import operand

        return ctx.leaf(operand(ctx, leaf, dtype))
    if dtype in ("i32", "i64") and leaf.py and leaf.type.dtype == "f64":
        return ctx.leaf(cast(ctx, truncated(ctx, leaf.node), dtype))
    return ctx.leaf(cast(ctx, leaf.node, dtype))
