"""Python's builtins over numbers and sequences, and what a for loop walks over."""

from __future__ import annotations

import builtins
import functools
import types

import numpy as np

from ...ir import MyiaAttributeError, MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import (
    AtPoint,
    Bound,
    Closure,
    Complex,
    Iterator,
    Leaf,
    Mapping,
    Range,
    Record,
    Ruled,
    Sequence,
    Slice,
    Static,
    Transformed,
)
from . import numbers, ufuncs
from .creation import range_count
from .dtypes import class_of, convert, is_array, is_scalar, join_numbers, leaf_of
from .indexing import row
from .integers import integer, power_modulo
from .operators import binary, chosen, compare, node_of_fact, truth
from .registry import absent, describe, elaborates, fixed, is_fixed, require
from .sizes import both, either, fact, least, minus, node_of, plus, shape, size, times


# ---- walking ---------------------------------------------------------------------------------------------------------
def length(ctx, v) -> Leaf:
    """len(v), and of enumerate, zip and reversed the number of items."""
    return ctx.leaf(node_of(ctx, _length(ctx, v)), py=True)


def _length(ctx, v):
    match v:
        case Sequence() | Mapping():
            return len(v.items)
        case Record() if issubclass(v.cls, tuple):
            return len(v.items)
        case Static(value=str() | tuple() | list() | dict() | range()):
            return len(v.value)
        case Leaf() if is_array(v):
            return shape(ctx, v)[0]
        case Complex() if v.rank:
            return shape(ctx, v.re)[0]
        case Range():
            return range_count(ctx, size(v.start), size(v.stop), size(v.step))
        case Iterator(kind="zip" | "map"):
            parts = [_length(ctx, p) for p in v.parts[v.kind == "map" :]]
            return functools.reduce(lambda m, n: least(ctx, m, n), parts) if parts else 0
        case Iterator():
            return _length(ctx, v.parts[0])
    ctx.error(f"object of type '{describe(v)}' has no len()", "use a tuple, a list, a range or an array")


def item(ctx, v, k):
    """Item number k, an int or an i64 node, of what a for loop walks over; k is in range."""
    if isinstance(k, Leaf):
        k = k.node
    k = size(k) if not isinstance(k, int) else k
    match v:
        case Range():
            return ctx.leaf(node_of(ctx, plus(ctx, size(v.start), times(ctx, k, size(v.step)))), py=True)
        case Sequence() | Record():
            return v.items[k] if isinstance(k, int) else chosen(ctx, v.items, k)
        case Mapping():
            return Static(v.keys[k])
        case Static():
            return Static(v.value[k])
        case Leaf() if is_array(v):
            return row(ctx, v, k)
        case Complex() if v.rank:
            return Complex(row(ctx, v.re, k), row(ctx, v.im, k))
        case Iterator(kind="counted" | "checkpoint"):
            return item(ctx, v.parts[0], k)
        case Iterator(kind="enumerate"):
            return Sequence((ctx.leaf(node_of(ctx, plus(ctx, size(v.parts[1]), k)), py=True), item(ctx, v.parts[0], k)))
        case Iterator(kind="zip"):
            return Sequence(tuple(item(ctx, p, k) for p in v.parts))
        case Iterator(kind="map"):
            return ctx.call(v.parts[0], [item(ctx, p, k) for p in v.parts[1:]])
        case Iterator(kind="reversed"):
            last = minus(ctx, _length(ctx, v.parts[0]), 1)
            return item(ctx, v.parts[0], minus(ctx, last, k))
    ctx.error(f"'{describe(v)}' object is not iterable", "walk over a range, a tuple, a list or an array")


def items(ctx, v, what) -> list:
    """All items of something whose length is known at compile time."""
    n = _length(ctx, v)
    if not isinstance(n, int):
        ctx.error(f"{what}: the number of items is known at run time only", "use an array, or a loop")
    return [item(ctx, v, k) for k in range(n)]


@elaborates(len)
def len_(ctx, obj, /):
    if isinstance(obj, Iterator):
        ctx.error(f"object of type '{obj.kind}' has no len()", "take the length of what it walks over")
    return length(ctx, obj)


@elaborates(range)
def range_(ctx, *args):
    if not 1 <= len(args) <= 3:
        ctx.error(f"range expected 1 to 3 arguments, got {len(args)}", "call range(start, stop, step)")
    ends = []
    for v in args:
        if not (is_scalar(v) and v.type.dtype in ("bool", "i32", "i64")):
            ctx.error(f"'{describe(v)}' object cannot be interpreted as an integer", "convert with int()")
        ends.append(convert(ctx, v, "i64", True))
    start, stop, step = (ctx.const(0), ends[0], ctx.const(1)) if len(ends) == 1 else (*ends, ctx.const(1))[:3]
    message = "range() arg 3 must not be zero"
    if size(step) == 0:
        ctx.error(message, "step by another int", cls=MyiaValueError)
    if not step.known:
        require(ctx, "ValueError", message, ctx.emit(E.ne, step.node, 0))
    return Range(start, stop, step)


def iterable(ctx, v):
    """Refuse what no loop walks over."""
    if not isinstance(v, Iterator):
        _length(ctx, v)
    return v


@elaborates(enumerate)
def enumerate_(ctx, iterable, start=0):
    start = ctx.const(start) if isinstance(start, int) else start
    return Iterator("enumerate", (_walked(ctx, iterable), start))


def _walked(ctx, v):
    return Sequence(tuple(Static(k) for k in v.keys)) if isinstance(v, Mapping) else iterable(ctx, v)


@elaborates(zip)
def zip_(ctx, *iterables, strict=False):
    parts = tuple(_walked(ctx, v) for v in iterables)
    if fixed(ctx, strict, "strict") and parts:
        lengths = [_length(ctx, p) for p in parts]
        for n in lengths[1:]:
            same = (
                lengths[0] == n if isinstance(n, int) and isinstance(lengths[0], int) else ctx.emit(E.eq, n, lengths[0])
            )
            if same is False:
                ctx.error("zip() arguments of different lengths", "give them one length", cls=MyiaValueError)
            require(ctx, "ValueError", "zip() arguments of different lengths", same)
    return Iterator("zip", parts)


@elaborates(reversed)
def reversed_(ctx, sequence, /):
    if isinstance(sequence, Iterator):
        ctx.error(f"'{sequence.kind}' object is not reversible", "reverse what it walks over")
    return Iterator("reversed", (_walked(ctx, sequence),))


@elaborates(map)
def map_(ctx, function, iterable, /, *more):
    return Iterator("map", (function, *(_walked(ctx, v) for v in (iterable, *more))))


@elaborates(tuple)
def tuple_(ctx, iterable=None, /):
    return Sequence(() if iterable is None else tuple(items(ctx, iterable, "tuple()")))


@elaborates(list)
def list_(ctx, iterable=None, /):
    return Sequence(() if iterable is None else tuple(items(ctx, iterable, "list()")), list)


@elaborates(dict)
def dict_(ctx, mapping=None, /, **entries):
    known = {}
    if isinstance(mapping, Mapping):
        known = dict(zip(mapping.keys, mapping.items, strict=True))
    elif mapping is not None:
        for pair in items(ctx, mapping, "dict()"):
            key, value = items(ctx, pair, "an entry of dict()")
            known[_key(ctx, key)] = value
    known |= entries
    return Mapping(tuple(known), tuple(known.values()))


def _key(ctx, v) -> str:
    key = fixed(ctx, v, "a key of a dict")
    if not isinstance(key, str):
        ctx.error("a dict here has strings as keys", "use a tuple or a list")
    return key


# ---- folds -----------------------------------------------------------------------------------------------------------
@elaborates(sum)
def sum_(ctx, iterable, /, start=0):
    out = ctx.const(start) if isinstance(start, int) else start
    if is_array(iterable):
        return binary(ctx, "+", out, _array_sum(ctx, iterable))
    if isinstance(iterable, Range) and not is_fixed(Sequence((iterable.start, iterable.stop, iterable.step))):
        return binary(ctx, "+", out, _range_sum(ctx, iterable))
    for x in items(ctx, iterable, "sum()"):
        out = binary(ctx, "+", out, x)
    return out


def _array_sum(ctx, x) -> Leaf:
    """The sum of the rows, in the dtype of the rows."""
    from .dtypes import cast

    node = cast(ctx, x.node, "i64") if x.type.dtype == "bool" else x.node
    return ctx.leaf(ctx.emit(A.reduce_sum, node, axes=(0,)))


def _range_sum(ctx, r) -> Leaf:
    """n * (first + last) / 2, where one of the factors is even; overflow raises as the sum itself would."""
    n = length(ctx, r)
    last = item(ctx, r, minus(ctx, size(n), 1))
    ends = numbers.arithmetic(ctx, "+", r.start, last)
    even = fact(ctx.emit(E.eq, ctx.emit(E.mod, n.node, 2), 0))
    half = lambda leaf: numbers.arithmetic(ctx, "//", leaf, ctx.const(2))  # noqa: E731
    pick = lambda p, q: ctx.leaf(ctx.emit(E.select, node_of_fact(ctx, even), p.node, q.node), py=True)  # noqa: E731
    return numbers.arithmetic(ctx, "*", pick(half(n), n), pick(ends, half(ends)))


def _extreme(ctx, name, op, args, key, default):
    if not absent(key):
        ctx.error(f"{name}() with a key", "compute the keys, and compare in a loop")
    candidates = args
    if len(args) == 1:
        (v,) = args
        if is_array(v):
            ctx.error(f"{name}() of an array", f"use np.{name}(…)")
        candidates = items(ctx, v, f"{name}()")
        if not candidates:
            if default is not None:
                return default
            ctx.error(f"{name}() arg is an empty sequence", "give a default", cls=MyiaValueError)
    if not candidates:
        ctx.error(f"{name} expected at least 1 argument, got 0", "pass numbers")
    out = candidates[0]
    for x in candidates[1:]:
        better = fact(truth(ctx, compare(ctx, op, x, out)))
        if isinstance(better, bool):
            out = x if better else out
        elif is_scalar(x) and is_scalar(out):
            dtype, py = join_numbers(ctx, x, out)
            nodes = [convert(ctx, v, dtype, py).node for v in (x, out)]
            out = ctx.leaf(ctx.emit(E.select, better, *nodes), py=py)
        else:
            out = ctx.switch(better, lambda x=x: x, lambda out=out: out)
    return out


@elaborates(min)
def min_(ctx, *args, key=None, default=None):
    return _extreme(ctx, "min", "<", args, key, default)


@elaborates(max)
def max_(ctx, *args, key=None, default=None):
    return _extreme(ctx, "max", ">", args, key, default)


def _folded(ctx, v, fold, start, prim, name):
    if is_array(v) and len(shape(ctx, v)) == 1:
        return ctx.leaf(ctx.emit(prim, ufuncs.boolean(ctx, v.node), axes=(0,)), py=True)
    out = start
    for x in items(ctx, v, f"{name}()"):
        out = fold(ctx, out, fact(truth(ctx, x)))
    return ctx.leaf(node_of_fact(ctx, out), py=True)


@elaborates(any)
def any_(ctx, iterable, /):
    return _folded(ctx, iterable, either, False, A.reduce_any, "any")


@elaborates(all)
def all_(ctx, iterable, /):
    return _folded(ctx, iterable, both, True, A.reduce_all, "all")


@elaborates(sorted)
def sorted_(ctx, iterable, /, *, key=None, reverse=False):
    """A list of as many items; among floats, NaN comes last."""
    whole = items(ctx, iterable, "sorted()")
    keys = whole if absent(key) else [ctx.call(key, [x]) for x in whole]
    down = bool(fixed(ctx, reverse, "reverse"))
    if all(map(is_fixed, keys)):
        known = [fixed(ctx, k, "a key") for k in keys]
        try:
            order = sorted(range(len(whole)), key=known.__getitem__, reverse=down)
        except TypeError as error:
            ctx.error(str(error), "sort items of one type")
        return Sequence(tuple(whole[k] for k in order), list)
    for k in keys:
        if not is_scalar(k):
            ctx.error(f"sorted() by keys of type '{describe(k)}'", "sort by a number: sorted(…, key=…)")
    order = ctx.emit(A.argsort, _line(ctx, keys, down))
    if down:  # from the back to the front, so that equal items keep their order: last items came first
        order = ctx.emit(E.sub, len(whole) - 1, _backwards(ctx, order))
    if all(is_scalar(x) and x.py == whole[0].py for x in whole):
        line = ctx.emit(A.gather, _line(ctx, whole), order)
        out = [ctx.leaf(ctx.emit(A.elem, line, node_of(ctx, k)), py=whole[0].py) for k in range(len(whole))]
    else:
        out = [chosen(ctx, whole, ctx.emit(A.elem, order, node_of(ctx, k))) for k in range(len(whole))]
    return Sequence(tuple(out), list)


def _line(ctx, numbers_, backwards=False):
    """An array of scalars."""
    node = leaf_of(ctx, Sequence(tuple(numbers_))).node
    return _backwards(ctx, node) if backwards else node


def _backwards(ctx, node):
    n = node.type.shape[0]
    return ctx.emit(A.slice, node, node_of(ctx, n - 1), steps=(-1,), shape=(n,))


# ---- numbers ---------------------------------------------------------------------------------------------------------
@elaborates(abs)
def abs_(ctx, x, /):
    if not isinstance(x, Leaf):
        ctx.error(f"bad operand type for abs(): '{describe(x)}'", "use a number or an array")
    return numbers.magnitude(ctx, x) if x.py else ufuncs.apply(ctx, ufuncs.FUNCTIONS[np.absolute], [x])


@elaborates(round)
def round_(ctx, number, ndigits=None):
    if not isinstance(number, Leaf):
        ctx.error(f"type {describe(number)} doesn't define __round__ method", "round a number or an array")
    if number.py:
        return numbers.rounded(ctx, number, None if absent(ndigits) else ndigits)
    if absent(ndigits) and is_scalar(number):
        return numbers.rounded(
            ctx, convert(ctx, number, "f64", True) if number.type.dtype in ("f32", "f64") else number
        )
    return ufuncs.round_(ctx, number, 0 if absent(ndigits) else ndigits)


@elaborates(divmod)
def divmod_(ctx, x, y, /):
    if isinstance(x, Leaf) and x.py and isinstance(y, Leaf) and y.py:
        return Sequence(numbers.divided(ctx, x, y))
    return Sequence((binary(ctx, "//", x, y), binary(ctx, "%", x, y)))


elaborates(np.divmod)(divmod_)


@elaborates(pow)
def pow_(ctx, base, exp, mod=None):
    if not absent(mod):
        return ctx.call(Static(power_modulo), [integer(ctx, v) for v in (base, exp, mod)])
    return binary(ctx, "**", base, exp)


# ---- types and attributes --------------------------------------------------------------------------------------------
def python_class(v) -> type | None:
    match v:
        case Record():
            return v.cls
        case Mapping():
            return dict
        case Range():
            return range
        case Slice():
            return slice
        case Closure():
            return types.FunctionType
        case Bound() | Ruled() | Transformed() | AtPoint():
            return types.FunctionType
        case Iterator():
            return getattr(builtins, v.kind, None)
    return class_of(v)


@elaborates(isinstance)
def isinstance_(ctx, obj, class_or_tuple, /):
    cls = python_class(obj)
    classes = fixed(ctx, class_or_tuple, "the class in isinstance()")
    try:
        return ctx.const(cls is not None and issubclass(cls, classes))
    except TypeError as error:
        ctx.error(str(error), "name a class, or a tuple of classes")


@elaborates(type)
def type_(ctx, obj, /):
    cls = python_class(obj)
    if cls is None:
        ctx.error(f"type() of a {describe(obj)}", "use isinstance()")
    return Static(cls)


@elaborates(callable)
def callable_(ctx, obj, /):
    functions = isinstance(obj, (Closure, Bound, Ruled, Transformed, AtPoint))
    if isinstance(obj, Static):
        return ctx.const(callable(obj.value))
    cls = python_class(obj)
    return ctx.const(functions or any("__call__" in vars(c) for c in (cls.__mro__ if cls else ())))


@elaborates(getattr)
def getattr_(ctx, obj, name, default=None, /):
    name = fixed(ctx, name, "the name in getattr()")
    if default is None:
        return ctx.getattr(obj, name)
    try:
        return ctx.getattr(obj, name)
    except MyiaAttributeError:
        return default


@elaborates(hasattr)
def hasattr_(ctx, obj, name, /):
    try:
        ctx.getattr(obj, fixed(ctx, name, "the name in hasattr()"))
    except MyiaAttributeError:
        return ctx.const(False)
    return ctx.const(True)


@elaborates(slice)
def slice_(ctx, *args):
    none = Static(None)
    if not 1 <= len(args) <= 3:
        ctx.error("slice expected 1 to 3 arguments", "call slice(start, stop, step)")
    return Slice(*((none, args[0], none) if len(args) == 1 else (*args, none)[:3]))


# ---- methods of dicts and sequences ----------------------------------------------------------------------------------
@elaborates(dict.items)
def dict_items(ctx, d):
    return Sequence(tuple(Sequence((Static(k), v)) for k, v in zip(d.keys, d.items, strict=True)))


@elaborates(dict.keys)
def dict_keys(ctx, d):
    return Sequence(tuple(Static(k) for k in d.keys))


@elaborates(dict.values)
def dict_values(ctx, d):
    return Sequence(d.items)


@elaborates(dict.get)
def dict_get(ctx, d, key, default=None, /):
    key = fixed(ctx, key, "the key of a dict")
    return d.items[d.keys.index(key)] if key in d.keys else Static(None) if default is None else default


@elaborates(tuple.count, list.count)
def count(ctx, v, x, /):
    out = ctx.const(0)
    for i in v.items:
        out = binary(ctx, "+", out, ctx.leaf(truth(ctx, compare(ctx, "==", i, x)), py=True))
    return out


@elaborates(tuple.index, list.index)
def index(ctx, v, x, /):
    """The first place of x: from the back, each place where it stands takes over."""
    found, place = False, ctx.const(0).node
    for k in range(len(v.items) - 1, -1, -1):
        here = fact(truth(ctx, compare(ctx, "==", v.items[k], x)))
        found = either(ctx, found, here)
        place = ctx.emit(E.select, node_of_fact(ctx, here), ctx.const(k).node, place)
    message = f"{v.kind.__name__}.index(x): x not in {v.kind.__name__}"
    if found is False:
        ctx.error(message, "test with `in` first", cls=MyiaValueError)
    require(ctx, "ValueError", message, found)
    return ctx.leaf(place, py=True)
