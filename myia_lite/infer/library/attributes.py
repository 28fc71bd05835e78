"""Attributes and methods of arrays, NumPy scalars, Python numbers, strings and dicts."""

from __future__ import annotations

import numpy as np

from ...ir import FLOATS, Array
from ...ops import elementwise as E
from ..values import Bound, Complex, Leaf, Mapping, Range, Sequence, Static
from . import complex_functions, creation, indexing, joining, numbers, shapes
from .dtypes import NUMPY, is_array
from .registry import METHODS, elaborates, fixed
from .sizes import node_of, shape, times, total


def shape_value(ctx, x) -> Sequence:
    return Sequence(tuple(ctx.leaf(node_of(ctx, s), py=True) for s in shape(ctx, x)))


def _number(ctx, s) -> Leaf:
    return ctx.leaf(node_of(ctx, s), py=True)


ATTRIBUTES = {
    "shape": shape_value,
    "ndim": lambda ctx, x: ctx.const(len(shape(ctx, x))),
    "size": lambda ctx, x: _number(ctx, total(ctx, shape(ctx, x))),
    "dtype": lambda ctx, x: Static(NUMPY[x.type.dtype]),
    "itemsize": lambda ctx, x: ctx.const(NUMPY[x.type.dtype].itemsize),
    "nbytes": lambda ctx, x: _number(ctx, times(ctx, total(ctx, shape(ctx, x)), NUMPY[x.type.dtype].itemsize)),
    "T": lambda ctx, x: shapes.transpose_(ctx, x),
    "mT": lambda ctx, x: shapes.matrix_transpose(ctx, x),
    "real": lambda ctx, x: x,
    "imag": lambda ctx, x: creation.zeros_like(ctx, x),
}


@elaborates(np.ndarray.item, method="item")
def item(ctx, a, *index):
    """The element as a Python number."""
    sizes = shape(ctx, a)
    if index:
        at = index[0] if len(index) == 1 and (isinstance(index[0], Sequence) or len(sizes) == 1) else Sequence(index)
        if not isinstance(at, Sequence) or len(at.items) == len(sizes):
            return _python(ctx, indexing.read(ctx, a, at).node)
        flat = ctx.leaf(shapes.flat(ctx, a.node))
        return _python(ctx, indexing.read(ctx, flat, index[0]).node)
    if not sizes:
        return _python(ctx, a.node)
    return _python(ctx, shapes.reshaped(ctx, a, ()).node)


def _python(ctx, node) -> Leaf:
    from .dtypes import cast

    dtype = node.type.dtype
    return ctx.leaf(cast(ctx, node, "f64" if dtype in FLOATS else "i64" if dtype != "bool" else "bool"), py=True)


@elaborates(np.ndarray.tolist, method="tolist")
def tolist(ctx, a):
    if not is_array(a):
        return _python(ctx, a.node)
    return Sequence(tuple(tolist(ctx, r) for r in joining.rows(ctx, a).items), list)


@elaborates(float.is_integer, method="is_integer")
def is_integer(ctx, x):
    if x.type.dtype not in FLOATS:
        return ctx.const(True)
    whole = ctx.emit(E.eq, ctx.emit(E.floor, x.node), x.node)
    return ctx.leaf(ctx.emit(E.bit_and, whole, ctx.emit(E.isfinite, x.node)), py=True)


@elaborates(float.conjugate, method="conjugate")
def conjugate(ctx, x):
    return numbers.signed(ctx, "+", x) if x.py else x


METHODS["conj"] = float.conjugate
OF_NUMBERS = {"is_integer", "conjugate"}
DICT = {"items": dict.items, "keys": dict.keys, "values": dict.values, "get": dict.get}


@elaborates(str.format)
def _format(ctx, text, *args, **keywords):
    ctx.error("str.format of values that are not known at compile time", "use an f-string in an exception's message")


def _string_method(name):
    method = getattr(str, name)

    def elaborate(ctx, text, *args):
        out = method(text.value, *(fixed(ctx, v, f"an argument of str.{name}") for v in args))
        return ctx.const(out) if isinstance(out, (bool, int)) else _static(ctx, out)

    elaborates(method)(elaborate)
    return method


def _static(ctx, value):
    if isinstance(value, (list, tuple)):
        return Sequence(tuple(Static(v) for v in value), type(value))
    return Static(value)


STRING = {
    name: _string_method(name)
    for name in (
        "lower upper strip lstrip rstrip startswith endswith replace split join find count title capitalize isdigit"
    ).split()
}


def attribute(ctx, value, name):
    """`value.name` for numbers, arrays, dicts, sequences and strings; None where there is no such attribute."""
    match value:
        case Leaf(py=True):
            if name == "real":
                return numbers.signed(ctx, "+", value)
            if name == "imag":
                return ctx.const(0.0 if value.type.dtype == "f64" else 0)
            if name in OF_NUMBERS and (name == "conjugate" or value.type.dtype == "f64"):
                return Bound(Static(METHODS[name]), (value,))
            return None
        case Leaf():
            if name in ATTRIBUTES:
                return ATTRIBUTES[name](ctx, value)
            if name in METHODS and hasattr(
                np.ndarray if isinstance(value.type, Array) else NUMPY[value.type.dtype].type, name
            ):
                return Bound(Static(METHODS[name]), (value,))
        case Complex():
            return complex_functions.attribute(ctx, value, name)
        case Mapping():
            if name in DICT:
                return Bound(Static(DICT[name]), (value,))
        case Sequence():
            if name in ("index", "count"):
                return Bound(Static(getattr(value.kind, name)), (value,))
        case Range():
            if name in ("start", "stop", "step"):
                return getattr(value, name)
        case Static(value=str()):
            if name in STRING:
                return Bound(Static(STRING[name]), (value,))
    return None
