"""Reading and writing by index: ints, slices, `...`, None, integer arrays, full masks, as NumPy places them.

An index is taken apart into one entry per axis (`Plan`); reading and writing both walk the plan.  Every index that
reaches a primitive is non-negative and in range: a guard says so before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import FLOATS, INTS, Array, MyiaIndexError, MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf, Sequence, Slice, Static
from .creation import range_count
from .dtypes import cast, is_array, is_integer, leaf_of, truncated
from .reductions import every, normalised
from .registry import absent, describe, elaborates, fixed, is_fixed, require
from .selecting import along, check_size, hits, to_front
from .shapes import view
from .sizes import (
    attribute,
    both,
    common,
    fact,
    iota,
    is_dim,
    least,
    minus,
    most,
    node_of,
    plus,
    reshape,
    same,
    shape,
    size,
    spread,
    stretched,
    surely_same,
    text,
    total,
    transpose,
)


@dataclass
class Axis:
    """What the index says of one axis of the array: `start` for an int (dropped), a slice, or an index array."""

    start: Any = 0
    step: int = 1
    length: Any = 1
    kind: str = "slice"  # "int", "slice" or "array"
    index: Any = None  # the node of an index array


@dataclass
class Plan:
    axes: list[Axis]
    layout: list[Any] = field(default_factory=list)  # of the result: an axis number, or None for a new axis of size 1


# ---- taking an index apart -------------------------------------------------------------------------------------------
def entries(index) -> tuple:
    return index.items if isinstance(index, Sequence) and index.kind is tuple else (index,)


def plan(ctx, x, index) -> Plan:
    sizes = shape(ctx, x)
    parts = [_entry(ctx, e) for e in entries(index)]
    consuming = sum(_axes(p) for p in parts)
    if consuming > len(sizes):
        message = f"too many indices for array: array is {len(sizes)}-dimensional, but {consuming} were indexed"
        ctx.error(message, "index with fewer", cls=MyiaIndexError)
    if sum(p is Ellipsis for p in parts) > 1:
        ctx.error("an index can only have a single ellipsis ('...')", "leave one", cls=MyiaIndexError)
    full = [Slice(Static(None), Static(None), Static(None))] * (len(sizes) - consuming)
    at = next((k for k, p in enumerate(parts) if p is Ellipsis), None)
    if at is not None:
        parts[at : at + 1] = [_Wide(full)]
    else:
        parts.append(_Wide(full))
    out = Plan([])
    for p in parts:
        for q in p.parts if isinstance(p, _Wide) else [p]:
            if q is None:
                out.layout.append(None)
                continue
            k = len(out.axes)
            if isinstance(q, _Mask):
                for j, line in enumerate(q.lines):
                    check_size(ctx, q.node, x.node, k + j, j)
                    out.axes.append(Axis(length=sizes[k + j], kind="array", index=line))
            else:
                out.axes.append(_axis(ctx, q, k, sizes[k]))
            out.layout += range(k, len(out.axes))
    return out


def _axes(part) -> int:
    """How many axes of the array an entry of its index is about."""
    return 0 if part is None or part is Ellipsis else len(part.lines) if isinstance(part, _Mask) else 1


@dataclass
class _Mask:
    """An array of bools, which stands for the index arrays of its true elements."""

    node: Any
    lines: list


@dataclass
class _Wide:
    """What an ellipsis stands for."""

    parts: list


def _entry(ctx, e):
    """A Leaf or a Slice; None or Ellipsis."""
    if isinstance(e, Slice):
        return e
    if isinstance(e, Static) and (e.value is None or e.value is Ellipsis):
        return e.value
    if isinstance(e, Sequence):
        e = leaf_of(ctx, e) if e.items else ctx.leaf(fill_empty(ctx))
    if not isinstance(e, Leaf):
        ctx.error(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer arrays "
            f"are valid indices, not {describe(e)}",
            "index with one of those",
            cls=MyiaIndexError,
        )
    dtype = e.type.dtype
    if dtype == "bool" and is_array(e):
        return _Mask(e.node, hits(ctx, e.node))
    if dtype == "bool":
        ctx.error("an index that is a bool", "index with an int, or with an array of bools")
    if dtype not in INTS:
        ctx.error(
            f"arrays used as indices must be of integer type, not {describe(e)}",
            "convert with int() or astype(int)",
            cls=MyiaIndexError,
        )
    return e


def fill_empty(ctx):
    from .creation import number
    from .sizes import fill

    return fill(ctx, number("i64", 0), (0,))


def _axis(ctx, part, k, n) -> Axis:
    if isinstance(part, Slice):
        start, step, length = bounds(ctx, part, n)
        return Axis(start, step, length)
    node = cast(ctx, part.node, "i64")
    if isinstance(node.type, Array):
        return Axis(length=n, kind="array", index=_wrapped_array(ctx, node, k, n))
    return Axis(wrapped(ctx, size(node), n, f"index {{0}} is out of bounds for axis {k} with size {{1}}"), kind="int")


def wrapped(ctx, i, n, message, exception="IndexError"):
    """The place from 0 that index i means on an axis of size n; out of range it raises."""
    if isinstance(i, int) and isinstance(n, int):
        if not -n <= i < n:
            ctx.error(message.format(i, n), "index within the size", cls=MyiaIndexError)
        return i % n
    if isinstance(i, int):
        require(ctx, exception, message, fact(ctx.emit(E.ge, n, i + 1 if i >= 0 else -i)), node_of(ctx, i), n)
        return i if i >= 0 else plus(ctx, n, i)
    limit = node_of(ctx, n)
    if not is_dim(i):
        inside = both(ctx, fact(ctx.emit(E.ge, i, ctx.emit(E.neg, limit))), fact(ctx.emit(E.lt, i, limit)))
        require(ctx, exception, message, inside, i, limit)
        return size(ctx.emit(E.select, ctx.emit(E.lt, i, 0), ctx.emit(E.add, i, limit), i))
    require(ctx, exception, message, fact(ctx.emit(E.lt, i, limit)), i, limit)
    return i


def _wrapped_array(ctx, node, k, n):
    limit = node_of(ctx, n)
    low = ctx.emit(E.ge, node, ctx.emit(E.neg, limit))
    inside = every(ctx, ctx.emit(E.bit_and, low, ctx.emit(E.lt, node, limit)))
    require(ctx, "IndexError", f"index is out of bounds for axis {k} with size {{0}}", fact(inside), limit)
    return ctx.emit(E.select, ctx.emit(E.lt, node, 0), ctx.emit(E.add, node, limit), node)


def bounds(ctx, s, n):
    """start, step and length of a slice of an axis of size n, clamped as Python clamps; the step is known."""
    step = 1 if absent(s.step) else fixed(ctx, s.step, "the step of a slice")
    if step in (1, -1) and absent(s.start) and absent(s.stop):
        return (0 if step == 1 else minus(ctx, n, 1)), step, n
    if not isinstance(step, int):
        ctx.error("slice indices must be integers or None", "step by an int")
    if step == 0:
        ctx.error("slice step cannot be zero", "step by another int", cls=MyiaValueError)
    ends = [None if absent(v) else _end(ctx, v) for v in (s.start, s.stop)]
    if isinstance(n, int) and all(e is None or isinstance(e, int) for e in ends):
        start, stop, _ = slice(*ends, step).indices(n)
        length = len(range(start, stop, step))
        return (start if length else 0), step, length
    low, high = (0, n) if step > 0 else (-1, minus(ctx, n, 1))
    defaults = (low, high) if step > 0 else (high, low)

    def clamped(e, default):
        if e is None:
            return default
        if isinstance(e, int):
            return least(ctx, e, high) if e >= 0 else most(ctx, plus(ctx, n, e), low)
        moved = (
            e if is_dim(e) else size(ctx.emit(E.select, ctx.emit(E.lt, e, 0), ctx.emit(E.add, e, node_of(ctx, n)), e))
        )
        return most(ctx, least(ctx, moved, high), low)

    start, stop = (clamped(e, d) for e, d in zip(ends, defaults, strict=True))
    return start, step, range_count(ctx, start, stop, step, near=True)


def _end(ctx, v):
    if not is_integer(v) and not (isinstance(v, Leaf) and not is_array(v) and v.type.dtype == "bool"):
        ctx.error("slice indices must be integers or None", "convert with int()")
    return size(cast(ctx, v.node, "i64"))


# ---- slices whose step only the running program knows ----------------------------------------------------------------
def _stepped(index) -> list[int]:
    """Which entries of an index are such slices."""
    slices = [(k, e.step) for k, e in enumerate(entries(index)) if isinstance(e, Slice)]
    return [k for k, step in slices if not (absent(step) or is_fixed(step))]


def _lines(ctx, x, index, places):
    """For each axis of the array that such a slice indexes, the places that it picks; and the index with the slice
    whole, which is for an array that has these places only."""
    parts, sizes = list(entries(index)), shape(ctx, x)
    at = next((k for k, e in enumerate(parts) if isinstance(e, Static) and e.value is Ellipsis), len(parts))
    consuming = sum(not (isinstance(e, Static) and (e.value is None or e.value is Ellipsis)) for e in parts)
    lines = {}
    for k in places:
        axis = sum(not (isinstance(e, Static) and (e.value is None or e.value is Ellipsis)) for e in parts[:k])
        axis += len(sizes) - consuming if k > at else 0
        if axis < len(sizes):  # else the index is too long, which the plan will say
            lines[axis] = _line(ctx, parts[k], sizes[axis])
        parts[k] = Slice(Static(None), Static(None), Static(None))
    return lines, Sequence(tuple(parts))


def _line(ctx, s, n):
    """start, start + step, … of a slice of an axis of size n."""
    step = _end(ctx, s.step)
    require(ctx, "ValueError", "slice step cannot be zero", fact(ctx.emit(E.ne, step, 0)))
    n = node_of(ctx, n)
    up = ctx.emit(E.gt, step, 0)
    low = ctx.emit(E.select, up, ctx.const(0).node, ctx.const(-1).node)
    high = ctx.emit(E.select, up, n, ctx.emit(E.sub, n, 1))

    def end(v, default):
        if absent(v):
            return default
        e = node_of(ctx, _end(ctx, v))
        e = ctx.emit(E.select, ctx.emit(E.lt, e, 0), ctx.emit(E.add, e, n), e)
        return ctx.emit(E.maximum, ctx.emit(E.minimum, e, high), low)

    start = end(s.start, ctx.emit(E.select, up, low, high))
    stop = end(s.stop, ctx.emit(E.select, up, high, low))
    count = range_count(ctx, size(start), size(stop), size(step), near=True)
    return ctx.emit(E.add, ctx.emit(E.mul, iota(ctx, count), step), start)


def _picked(ctx, node, lines):
    """`node` with the places `lines` of some of its axes only."""
    for axis, line in lines.items():
        node = along(ctx, node, line, axis)
    return node


def _replaced(ctx, node, part, lines):
    """`node` with `part` at the places `lines`."""
    if not lines:
        return part
    (axis, line), *rest = lines.items()
    inner = _replaced(ctx, _picked(ctx, node, {axis: line}), part, dict(rest)) if rest else part
    order, inverse = to_front(len(shape(ctx, node)), axis)
    out = ctx.emit(A.scatter_set, transpose(ctx, node, order), transpose(ctx, inner, order), line)
    return transpose(ctx, out, inverse)


# ---- reading ---------------------------------------------------------------------------------------------------------
def read(ctx, x, index) -> Leaf:
    """x[index] of an array."""
    stepped = _stepped(index)
    if stepped:
        lines, index = _lines(ctx, x, index, stepped)
        return view(ctx, read(ctx, ctx.leaf(_picked(ctx, x.node, lines)), index).node, x)
    p = plan(ctx, x, index)
    if any(a.kind == "array" for a in p.axes):
        return _gathered(ctx, x, p)
    if len(p.layout) == len(p.axes) and all(a.kind == "int" for a in p.axes):
        return ctx.leaf(ctx.emit(A.elem, x.node, *(node_of(ctx, a.start) for a in p.axes)))
    node = _sliced(ctx, x.node, p.axes)
    return view(ctx, reshape(ctx, node, _basic_shape(p)), x)


def _basic_shape(p) -> tuple:
    return tuple(1 if k is None else p.axes[k].length for k in p.layout if k is None or p.axes[k].kind != "int")


def _sliced(ctx, node, axes):
    """The slice that ints and slices select; ints keep size 1, axes under index arrays stay whole."""
    sizes = shape(ctx, node)
    if all(a.start == 0 and a.step == 1 and surely_same(a.length, n) for a, n in zip(axes, sizes, strict=True)):
        return node
    known, dyn = attribute([a.length for a in axes])
    starts = [node_of(ctx, a.start) for a in axes]
    return ctx.emit(A.slice, node, *starts, *dyn, steps=tuple(a.step for a in axes), shape=known)


@dataclass
class _Advanced:
    """How index arrays pick: `order` brings their axes to the front, `indexes` are of one shape, `first` is where that
    shape stands among the other axes of the result."""

    order: tuple
    indexes: list
    sizes: tuple
    first: int
    layout: list  # of the result: "picked", an axis number, or None


def _advanced(ctx, p) -> _Advanced:
    """NumPy's placement: the picked axes stand where the index arrays do, but first where something separates them.

    An int beside index arrays counts as one of them."""
    picked = [k for k, a in enumerate(p.axes) if a.kind != "slice"]
    others = [k for k, a in enumerate(p.axes) if a.kind == "slice"]
    nodes = [p.axes[k].index if p.axes[k].kind == "array" else node_of(ctx, p.axes[k].start) for k in picked]
    what = "shape mismatch: indexing arrays could not be broadcast together with shapes {}"
    sizes = common(ctx, [shape(ctx, n) for n in nodes], what, MyiaIndexError)
    places = [j for j, k in enumerate(p.layout) if k in picked]
    together = places == list(range(places[0], places[-1] + 1))
    rest = [k for k in p.layout if k not in picked or k is None]
    at = places[0] if together else 0
    layout = [*rest[:at], "picked", *rest[at:]]
    return _Advanced((*picked, *others), [stretched(ctx, n, sizes) for n in nodes], sizes, at, layout)


def _whole(axes):
    """The same, with ints left to the gather: the slice that comes before it."""
    return [a if a.kind == "slice" else Axis(length=None, kind=a.kind) for a in axes]


def _restricted(ctx, node, axes):
    """The slices applied, axes under ints and index arrays whole."""
    sizes = shape(ctx, node)
    cut = [a if a.kind == "slice" else Axis(length=n) for a, n in zip(axes, sizes, strict=True)]
    return cut, _sliced(ctx, node, cut)


def _gathered(ctx, x, p) -> Leaf:
    adv = _advanced(ctx, p)
    _, node = _restricted(ctx, x.node, p.axes)
    out = ctx.emit(A.gather, transpose(ctx, node, adv.order), *adv.indexes)
    # gather's result is picked axes, then the slices in order; the layout wants `first` slices before
    others = len(shape(ctx, out)) - len(adv.sizes)
    before = sum(k is not None for k in adv.layout[: adv.first])
    r = len(adv.sizes)
    out = transpose(ctx, out, (*range(r, r + before), *range(r), *range(r + before, r + others)))
    return ctx.leaf(reshape(ctx, out, _advanced_shape(p, adv)))


def _advanced_shape(p, adv) -> tuple:
    out = []
    for k in adv.layout:
        out += adv.sizes if k == "picked" else [1 if k is None else p.axes[k].length]
    return tuple(out)


def row(ctx, x, k) -> Leaf:
    """x[k] for an index k, an int or a node, known to be in range."""
    sizes = shape(ctx, x)
    if len(sizes) == 1:
        return ctx.leaf(ctx.emit(A.elem, x.node, node_of(ctx, k)))
    axes = [Axis(k, kind="int"), *(Axis(length=n) for n in sizes[1:])]
    return view(ctx, reshape(ctx, _sliced(ctx, x.node, axes), sizes[1:]), x)


# ---- writing ---------------------------------------------------------------------------------------------------------
def write(ctx, x, index, value) -> Leaf:
    """x after x[index] = value."""
    masked = _mask(ctx, x, index)
    if masked is not None and len(shape(ctx, value := leaf_of(ctx, value))) <= len(shape(ctx, x)) - masked.type.rank:
        return _write_masked(ctx, x, masked, value)
    stepped = _stepped(index)
    if stepped:
        lines, index = _lines(ctx, x, index, stepped)
        part = write(ctx, ctx.leaf(_picked(ctx, x.node, lines)), index, value)
        return ctx.leaf(_replaced(ctx, x.node, part.node, lines))
    p = plan(ctx, x, index)
    v = leaf_of(ctx, value, "a value to be assigned")
    node = _assigned(ctx, v, x.type.dtype)
    if any(a.kind == "array" for a in p.axes):
        return ctx.leaf(_scattered(ctx, x.node, p, node))
    if all(a.kind == "int" for a in p.axes):
        if isinstance(node.type, Array) and all(isinstance(e, Leaf) for e in entries(index)):
            ctx.error("setting an array element with a sequence.", "assign a number", cls=MyiaValueError)
        element = _to(ctx, node, (1,) * p.layout.count(None))
        element = reshape(ctx, element, ()) if isinstance(element.type, Array) else element
        return ctx.leaf(ctx.emit(A.set_elem, x.node, element, *(node_of(ctx, a.start) for a in p.axes)))
    fitted = _to(ctx, node, _basic_shape(p))
    if not isinstance(fitted.type, Array):
        fitted = spread(ctx, fitted, tuple(a.length for a in p.axes), ())
    fitted = reshape(ctx, fitted, tuple(a.length for a in p.axes))
    return ctx.leaf(_put(ctx, x.node, fitted, p.axes))


def _put(ctx, node, value, axes):
    return ctx.emit(A.slice_set, node, value, *(node_of(ctx, a.start) for a in axes), steps=tuple(a.step for a in axes))


def _assigned(ctx, v, dtype):
    """The value in the array's dtype: floats truncate, and a NaN scalar has no int, as in NumPy."""
    if dtype in INTS and v.type.dtype in FLOATS and not isinstance(v.type, Array):
        return cast(ctx, truncated(ctx, v.node), dtype)
    if dtype == "i32" and v.py and v.type.dtype == "i64":
        from .dtypes import operand

        return operand(ctx, v, dtype)
    return cast(ctx, v.node, dtype)


def _to(ctx, node, sizes):
    """A value broadcast to the shape it is assigned to; leading axes of size 1 are dropped, as NumPy does."""
    own = shape(ctx, node)
    message = f"could not broadcast input array from shape {text(own)} into shape {text(sizes)}"
    extra = len(own) - len(sizes)
    if extra > 0:
        if any(not isinstance(s, int) or s != 1 for s in own[:extra]):
            ctx.error(message, "assign a value of the shape that is indexed", cls=MyiaValueError)
        node, own = reshape(ctx, node, own[extra:]), own[extra:]
    for m, n in zip(own, sizes[len(sizes) - len(own) :], strict=True):
        if not (isinstance(m, int) and m == 1):
            fits = same(ctx, m, n)
            if fits is False:
                ctx.error(message, "assign a value of the shape that is indexed", cls=MyiaValueError)
            require(ctx, "ValueError", message, fits)
    return stretched(ctx, node, sizes) if own else node


def _scattered(ctx, node, p, value):
    adv = _advanced(ctx, p)
    cut, part = _restricted(ctx, node, p.axes)
    others = [p.axes[k].length for k in adv.order if p.axes[k].kind == "slice"]
    value = _to(ctx, value, _advanced_shape(p, adv))
    r, before = len(adv.sizes), sum(k is not None for k in adv.layout[: adv.first])
    placed = (*others[:before], *adv.sizes, *others[before:])
    value = reshape(ctx, value, placed) if isinstance(value.type, Array) else spread(ctx, value, placed, ())
    value = transpose(ctx, value, (*range(before, before + r), *range(before), *range(before + r, len(placed))))
    inverse = tuple(sorted(range(len(adv.order)), key=adv.order.__getitem__))
    out = transpose(ctx, ctx.emit(A.scatter_set, transpose(ctx, part, adv.order), value, *adv.indexes), inverse)
    return out if part is node else _put(ctx, node, out, cut)


def _mask(ctx, x, index):
    """The mask, where the whole index is an array of bools."""
    e = entries(index)
    if len(e) == 1 and is_array(e[0]) and e[0].type.dtype == "bool":
        return e[0]
    return None


def _write_masked(ctx, x, mask, value) -> Leaf:
    sizes, own = shape(ctx, x), shape(ctx, mask)
    if len(own) > len(sizes):
        ctx.error(
            f"too many indices for array: array is {len(sizes)}-dimensional, but {len(own)} were indexed",
            "use a mask of the array's shape",
            cls=MyiaIndexError,
        )
    for k in range(len(own)):
        check_size(ctx, mask.node, x.node, k)
    rest = sizes[len(own) :]
    node = _to(ctx, _assigned(ctx, value, x.type.dtype), rest)
    chosen = spread(ctx, mask.node, sizes, tuple(range(len(own))))
    if isinstance(node.type, Array):
        node = spread(ctx, node, sizes, tuple(range(len(own), len(sizes))))
    return ctx.leaf(ctx.emit(E.select, chosen, node, x.node))


# ---- take ------------------------------------------------------------------------------------------------------------
@elaborates(np.take)
def take(ctx, a, indices, axis=None):
    x, i = leaf_of(ctx, a), leaf_of(ctx, indices)
    if absent(axis):
        x, k = ctx.leaf(reshape(ctx, x.node, (total(ctx, shape(ctx, x)),))), 0
    else:
        k = normalised(ctx, axis, len(shape(ctx, x)))
    whole = Slice(Static(None), Static(None), Static(None))
    out = read(ctx, x, Sequence((*[whole] * k, i)))
    return ctx.leaf(out.node)


@elaborates(np.ndarray.take, method="take")
def take_method(ctx, a, indices, axis=None):
    return take(ctx, a, indices, axis)


@elaborates(np.take_along_axis)
def take_along_axis(ctx, arr, indices, axis=-1):
    x, i = leaf_of(ctx, arr), leaf_of(ctx, indices)
    sizes, picked = shape(ctx, x), shape(ctx, i)
    k = normalised(ctx, axis, len(sizes))
    if len(picked) != len(sizes):
        ctx.error(
            "`indices` and `arr` must have the same number of dimensions", "reshape the indices", cls=MyiaValueError
        )
    for j, (m, n) in enumerate(zip(picked, sizes, strict=True)):
        if j != k:
            fits = same(ctx, m, n)
            if fits is False:
                ctx.error(
                    "take_along_axis: shapes that differ beside the axis",
                    "broadcast the indices first",
                    cls=MyiaValueError,
                )
            require(ctx, "ValueError", "take_along_axis: shapes that differ beside the axis", fits)
    lines = [cast(ctx, i.node, "i64") if j == k else iota(ctx, n, picked, j) for j, n in enumerate(picked)]
    lines[k] = _wrapped_array(ctx, lines[k], k, sizes[k])
    return ctx.leaf(ctx.emit(A.gather, x.node, *lines))
