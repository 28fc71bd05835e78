"""What Python's operators mean: on numbers, on arrays, on tuples, lists, strings and dicts."""

from __future__ import annotations

import operator

import numpy as np

from ...ir import FLOATS, Array, MyiaIndexError, MyiaTypeError, MyiaValueError
from ...ops import elementwise as E
from ..values import Complex, Leaf, Mapping, Range, Record, Sequence, Slice, Static
from . import complexes, indexing, numbers, products, ufuncs
from .dtypes import cast, is_array, is_integer, is_scalar
from .registry import describe, fixed, is_fixed, require
from .sizes import at_least, both, either, fact, negated, node_of, reshape, same, shape, size, text, total

STATIC = {
    "+": operator.add, "*": operator.mul, "%": operator.mod, "|": operator.or_, "-": operator.sub, "&": operator.and_,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def _python_numbers(*values) -> bool:
    return all(isinstance(v, Leaf) and v.py for v in values)


def binary(ctx, op, a, b):
    """a op b."""
    if complexes.meets(a, b):
        return complexes.binary(ctx, op, a, b)
    if _python_numbers(a, b):
        return numbers.arithmetic(ctx, op, a, b)
    if op == "@" and isinstance(a, Leaf) and isinstance(b, Leaf):
        return products.matmul(ctx, a, b)
    if _arrayish(a, b):
        return _numpy(ctx, op, a, b)
    if isinstance(a, Sequence) and isinstance(b, Sequence) and op == "+":
        if a.kind is not b.kind:
            ctx.error(
                f'can only concatenate {a.kind.__name__} (not "{b.kind.__name__}") to {a.kind.__name__}',
                f"convert one: {a.kind.__name__}(…)",
            )
        return Sequence(a.items + b.items, a.kind)
    for x, n in ((a, b), (b, a)):
        if op == "*" and isinstance(x, Sequence) and isinstance(n, Leaf) and n.py and n.type.dtype != "f64":
            return Sequence(x.items * fixed(ctx, n, "the number of repeats of a sequence"), x.kind)
    if op in STATIC and isinstance(a, Static) and is_fixed(b) or isinstance(b, Static) and is_fixed(a):
        return _static(ctx, op, a, b)
    numbers.refuse(ctx, op, a, b)


def _arrayish(a, b) -> bool:
    """Does NumPy do it: a NumPy operand, and on the other side anything that it makes an array of?"""
    pairs = ((a, b), (b, a))
    return any(isinstance(x, Leaf) and not x.py and isinstance(y, (Leaf, Sequence)) for x, y in pairs)


def _numpy(ctx, op, a, b):
    ufunc = ufuncs.OPERATORS.get(op)
    if op == "@":
        return products.matmul(ctx, a, b)
    return ufuncs.apply(ctx, ufuncs.FUNCTIONS[ufunc], [a, b])


def _static(ctx, op, a, b):
    """Of strings and other objects known at compile time."""
    try:
        value = STATIC[op](*(fixed(ctx, v, "an operand") for v in (a, b)))
    except (TypeError, KeyError):
        numbers.refuse(ctx, op, a, b)
    return ctx.const(value) if type(value) in (bool, int, float) else Static(value)


def inplace(ctx, op, a, b):
    """The value of `a` after `a op= b`; of an array, its new content, of its own shape and dtype."""
    if isinstance(a, Complex) and a.rank:
        return complexes.inplace(ctx, op, a, b)
    if not is_array(a):
        return binary(ctx, op, a, b)
    out = binary(ctx, op, a, b)
    if isinstance(out, Complex):
        ctx.error(f"a {describe(a)} array cannot hold the complex result of {op}=", f"make a new array: a = a {op} b")
    name = "matmul" if op == "@" else ufuncs.OPERATORS[op].__name__
    if not _same_kind(out.type.dtype, a.type.dtype):
        ctx.error(
            f"Cannot cast ufunc '{name}' output from dtype('{_dtype_name(out)}') to dtype('{_dtype_name(a)}') "
            "with casting rule 'same_kind'",
            f"make a new array: a = a {op} b",
        )
    own, new = shape(ctx, a), shape(ctx, out)
    message = f"non-broadcastable output operand with shape {text(own)} doesn't match the broadcast shape {text(new)}"
    fits = len(own) == len(new)
    for m, n in zip(own, new, strict=False):
        fits = both(ctx, fits, same(ctx, m, n))
    if fits is False:
        ctx.error(message, f"make a new array: a = a {op} b", cls=MyiaValueError)
    require(ctx, "ValueError", message, fits)
    return ctx.leaf(cast(ctx, out.node, a.type.dtype))


def _dtype_name(leaf) -> str:
    from .dtypes import NUMPY

    return NUMPY[leaf.type.dtype].name


def _same_kind(source, target) -> bool:
    from .dtypes import NUMPY

    return np.can_cast(NUMPY[source], NUMPY[target], "same_kind")


def unary(ctx, op, a):
    """-a, +a, ~a, not a."""
    if op == "not":
        return ctx.leaf(node_of_fact(ctx, negated(ctx, fact(truth(ctx, a)))), py=True)
    if isinstance(a, Complex):
        return complexes.unary(ctx, op, a)
    if _python_numbers(a):
        return numbers.signed(ctx, op, a)
    if isinstance(a, Leaf):
        return ufuncs.apply(ctx, ufuncs.FUNCTIONS[ufuncs.SIGNS[op]], [a])
    ctx.error(f"bad operand type for unary {op}: '{describe(a)}'", "use a number or an array")


# ---- truth -----------------------------------------------------------------------------------------------------------
def node_of_fact(ctx, p):
    return ctx.const(p).node if isinstance(p, bool) else p


def truth(ctx, v):
    """The bool node of bool(v)."""
    match v:
        case Leaf():
            node = v.node
            if isinstance(v.type, Array):
                _one_element(ctx, shape(ctx, v))
                node = reshape(ctx, node, ())
            return ufuncs.boolean(ctx, node)
        case Complex():
            return complexes.truth(ctx, v)
        case Static():
            return ctx.const(bool(v.value)).node
        case Sequence() | Mapping():
            return ctx.const(bool(v.items)).node
        case Record() if issubclass(v.cls, tuple):
            return ctx.const(bool(v.items)).node
        case Range():
            from .sequences import length

            return ctx.emit(E.ne, length(ctx, v).node, 0)
    return ctx.const(True).node


def _one_element(ctx, sizes) -> None:
    n = total(ctx, sizes)
    many = "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
    none = "The truth value of an empty array is ambiguous. Use `array.size > 0` to check that an array is not empty."
    if isinstance(n, int) and n != 1:
        ctx.error(many if n else none, "use a.any() or a.all()", cls=MyiaValueError)
    require(ctx, "ValueError", many, same(ctx, n, 1))


# ---- comparison ------------------------------------------------------------------------------------------------------
def compare(ctx, op, a, b):
    """a op b for a comparison, `is`, `in`."""
    if op in ("in", "not in"):
        found = contains(ctx, b, a)
        found = found if op == "in" else negated(ctx, found)
        return ctx.leaf(node_of_fact(ctx, found), py=True)
    if op in ("is", "is not"):
        return ctx.const(_identical(ctx, a, b) == (op == "is"))
    if complexes.meets(a, b):
        return complexes.compare(ctx, op, a, b)
    if _python_numbers(a, b):
        return numbers.ordered(ctx, op, a, b)
    if _arrayish(a, b) and (is_array(a) or is_array(b) or (is_scalar(a) and is_scalar(b))):
        return ufuncs.compare(ctx, ufuncs.COMPARISONS[op], a, b)
    return ctx.leaf(node_of_fact(ctx, _compared(ctx, op, a, b)), py=True)


def _identical(ctx, a, b) -> bool:
    if isinstance(a, Static) and isinstance(b, Static):
        return a.value is b.value
    if isinstance(a, Static) or isinstance(b, Static):
        return False
    if _python_numbers(a, b) and a.known and b.known:
        return type(a.node.value) is type(b.node.value) and a.node.value is b.node.value
    ctx.error("`is` between values that are computed", "compare with ==")


def _compared(ctx, op, a, b):
    """A comparison of anything but two numbers or arrays: a bool, or a bool node."""
    a, b = _as_items(a), _as_items(b)
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        if a.kind is b.kind:
            return _compared_items(ctx, op, a.items, b.items)
    elif isinstance(a, Mapping) and isinstance(b, Mapping) and op in ("==", "!="):
        equal = set(a.keys) == set(b.keys)
        for k, v in zip(a.keys, a.items, strict=True):
            equal = equal and both(ctx, equal, equals(ctx, v, b.items[b.keys.index(k)]))
        return equal if op == "==" else negated(ctx, equal)
    elif isinstance(a, Record) and isinstance(b, Record) and a.cls is b.cls and op in ("==", "!="):
        return _compared_items(ctx, op, a.items, b.items)
    elif isinstance(a, Static) and isinstance(b, Static):
        try:
            return bool(STATIC[op](a.value, b.value))
        except TypeError:
            pass
    if op in ("==", "!="):  # of different kinds
        if is_array(a) or is_array(b):
            ctx.error(
                f"comparison of {describe(a)} with {describe(b)}",
                "compare arrays with arrays and numbers; use `is` for None",
            )
        return op == "!="
    ctx.error(
        f"'{op}' not supported between instances of '{describe(a)}' and '{describe(b)}'", "compare values of one kind"
    )


def _as_items(v):
    return Sequence(v.items, tuple) if isinstance(v, Record) and issubclass(v.cls, tuple) else v


def equals(ctx, a, b):
    """bool(a == b)."""
    return fact(truth(ctx, compare(ctx, "==", a, b)))


def _compared_items(ctx, op, xs, ys):
    """Lexicographic order, as of tuples."""
    if op in ("==", "!="):
        equal = len(xs) == len(ys)
        for x, y in zip(xs, ys, strict=False):
            if equal is False:
                break
            equal = both(ctx, equal, equals(ctx, x, y))
        return equal if op == "==" else negated(ctx, equal)
    if not xs or not ys:
        return bool(STATIC[op](len(xs), len(ys)))
    strict = op[0]
    first = fact(truth(ctx, compare(ctx, strict if len(xs) > 1 or len(ys) > 1 else op, xs[0], ys[0])))
    if len(xs) == len(ys) == 1:
        return first
    return either(ctx, first, both(ctx, equals(ctx, xs[0], ys[0]), _compared_items(ctx, op, xs[1:], ys[1:])))


def contains(ctx, container, x):
    """x in container: a bool, or a bool node."""
    container = _as_items(container)
    match container:
        case Sequence():
            found = False
            for item in container.items:
                found = either(ctx, found, equals(ctx, x, item))
            return found
        case Mapping():
            return isinstance(x, Static) and x.value in container.keys
        case Static() if is_fixed(x):
            try:
                return fixed(ctx, x, "an operand") in container.value
            except TypeError as error:
                ctx.error(str(error), "test for membership in a tuple, a list, a dict or a string")
        case Leaf() if is_array(container):
            from .reductions import any_

            return fact(any_(ctx, ufuncs.compare(ctx, np.equal, container, x)).node)
        case Range() if is_scalar(x) and x.type.dtype not in FLOATS:
            return _in_range(ctx, container, cast(ctx, x.node, "i64"))
    ctx.error(
        f"argument of type '{describe(container)}' is not iterable",
        "test for membership in a tuple, a list or an array",
    )


def _in_range(ctx, r, x):
    start, stop, step = (size(v) for v in (r.start, r.stop, r.step))
    if not isinstance(step, int):
        ctx.error("membership in a range whose step is known at run time only", "compare with its ends")
    x = size(x)
    inside = at_least(ctx, x, start) if step > 0 else at_least(ctx, start, x)
    ahead = at_least(ctx, x, stop) if step > 0 else at_least(ctx, stop, x)
    away = ctx.emit(E.mod, ctx.emit(E.sub, node_of(ctx, x), node_of(ctx, start)), step)
    return both(ctx, both(ctx, inside, negated(ctx, ahead)), fact(ctx.emit(E.eq, away, 0)))


# ---- items -----------------------------------------------------------------------------------------------------------
def getitem(ctx, v, index):
    """v[index]."""
    if is_array(v):
        return indexing.read(ctx, v, index)
    if isinstance(v, Complex) and not v.py:
        return complexes.joined(ctx, getitem(ctx, v.re, index), getitem(ctx, v.im, index))
    match v:
        case Leaf():
            if not v.py and (index_is_empty(index)):
                return v
            message = f"'{describe(v)}' object is not subscriptable" if v.py else "invalid index to scalar variable."
            ctx.error(message, "index an array, a tuple or a list", cls=MyiaTypeError if v.py else MyiaIndexError)
        case Mapping():
            key = fixed(ctx, index, "the key of a dict")
            if key not in v.keys:
                require(ctx, "KeyError", repr(key), False)
                ctx.error(f"KeyError: {key!r}", f"use one of {', '.join(v.keys)}")
            return v.items[v.keys.index(key)]
        case Record() if issubclass(v.cls, tuple):
            return getitem(ctx, Sequence(v.items), index)
        case Sequence():
            return _item(ctx, v, index)
        case Static(value=str()) if is_fixed(index):
            try:
                return Static(v.value[fixed(ctx, index, "an index")])
            except IndexError as error:
                ctx.error(str(error), "index within the string", cls=MyiaIndexError)
        case Range():
            return _range_item(ctx, v, index)
    ctx.error(f"'{describe(v)}' object is not subscriptable", "index an array, a tuple, a list or a dict")


def index_is_empty(index) -> bool:
    return isinstance(index, Sequence) and not index.items


def _item(ctx, v, index):
    name = v.kind.__name__
    if isinstance(index, Slice):
        return Sequence(v.items[fixed(ctx, index, f"a slice of a {name}")], v.kind)
    if not (is_scalar(index) and index.type.dtype not in FLOATS):
        ctx.error(f"{name} indices must be integers or slices, not {describe(index)}", "index with an int")
    n, message = len(v.items), f"{name} index out of range"
    if index.known:
        k = int(index.node.value)
        if not -n <= k < n:
            ctx.error(message, f"index between 0 and {n - 1}", cls=MyiaIndexError)
        return v.items[k]
    if not n:
        ctx.error(message, "index something that has items", cls=MyiaIndexError)
    return chosen(ctx, v.items, indexing.wrapped(ctx, cast(ctx, index.node, "i64"), n, message))


def chosen(ctx, items, k):
    """Item number k, known at run time only: numbers by select, others by branches."""
    if all(is_scalar(i) and i.type == items[0].type and i.py == items[0].py for i in items):
        out = items[-1].node
        for j in range(len(items) - 2, -1, -1):
            out = ctx.emit(E.select, ctx.emit(E.eq, k, j), items[j].node, out)
        return ctx.leaf(out, py=items[0].py)

    def among(low, high):
        if high - low == 1:
            return items[low]
        middle = (low + high) // 2
        return ctx.switch(ctx.emit(E.lt, k, middle), lambda: among(low, middle), lambda: among(middle, high))

    return among(0, len(items))


def _range_item(ctx, r, index):
    from .sequences import item, length

    if not is_integer(index):
        ctx.error("a range indexed by something other than an int", "index with an int")
    n = size(length(ctx, r))
    k = indexing.wrapped(ctx, size(cast(ctx, index.node, "i64")), n, "range object index out of range")
    return item(ctx, r, k)


def setitem(ctx, array, index, value):
    """The array after array[index] = value."""
    if isinstance(value, Complex) and is_array(array):
        ctx.error(f"a complex value where the array is {describe(array)}", "make the array complex: dtype=complex")
    if not is_array(array):
        ctx.error(f"'{describe(array)}' object does not support item assignment", "use an array, or make a new value")
    return indexing.write(ctx, array, index, value)
