"""Which Python object means which elaborator, and what elaborators share: argument binding, static arguments.

An elaborator is `f(ctx, *values, **keyword_values) -> Value`.  It is written like the function it stands for, with the
same parameter names, so that `inspect` checks a call as Python would.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys

import numpy as np

from ...ir import Constant, shape_of
from ..values import Complex, Leaf, Mapping, Message, Record, Sequence, Slice, Static, Value

TABLE: dict[object, object] = {}
METHODS: dict[str, object] = {}  # name of an array method -> its elaborator's key
COMPLEX_NAMES = (complex, np.complex128, np.complex64, "complex", "complex128", "complex64", "c16", "c8", "D", "F")
COMPLEX: dict[object, object] = {}  # what of these means something for complex values (see `complexes`) -> the meaning


def elaborates(*objects, method=None):
    """Register the function below as the meaning of `objects`; `method`: also of the array method of that name."""

    def register(function):
        for o in objects:
            TABLE[o] = _checked(function, o)
        if method is not None:
            METHODS[method] = objects[0]
        return function

    return register


def _checked(function, obj):
    signature, name = inspect.signature(function), getattr(obj, "__name__", str(obj))

    @functools.wraps(function)
    def elaborator(ctx, *values, **keywords):
        given = (*values, *keywords.values())
        if any(map(holds_complex, given)):
            if obj not in COMPLEX:
                ctx.error(f"{name} of complex numbers", "compute with the real and imaginary parts: z.real, z.imag")
            return COMPLEX[obj](ctx, *values, **keywords)
        if obj in COMPLEX and any(map(is_complex_dtype, given)):
            return COMPLEX[obj](ctx, *values, **keywords)
        try:
            bound = signature.bind(ctx, *values, **keywords)
        except TypeError as error:
            ctx.error(
                f"{name}(): {error}", f"call it with parameters among {', '.join(list(signature.parameters)[1:])}"
            )
        return function(*bound.args, **bound.kwargs)

    return elaborator


def holds_complex(v) -> bool:
    """Is this a complex number or array, or a sequence with one in it?"""
    if isinstance(v, Sequence):
        return any(map(holds_complex, v.items))
    return isinstance(v, Complex) or isinstance(v, tuple) and any(map(holds_complex, v))


def is_complex_dtype(v) -> bool:
    """Is this a name of complex64 or complex128?"""
    return isinstance(v, Static) and (
        v.value in COMPLEX_NAMES
        if isinstance(v.value, (type, str))
        else isinstance(v.value, np.dtype) and v.value.kind == "c"
    )


def lookup(obj):
    """The elaborator of a Python callable, or None."""
    if "scipy.special" in sys.modules:  # it takes long to import: who does not use it does without
        importlib.import_module(".special", __package__)
    try:
        return TABLE.get(obj)
    except TypeError:  # unhashable
        return None


def absent(v) -> bool:
    """Was None passed, or nothing?"""
    return v is None or (isinstance(v, Static) and v.value is None)


def is_fixed(v) -> bool:
    """Is all of `v` known at compile time?"""
    match v:
        case Static():
            return True
        case Leaf():
            return v.known
        case Complex():
            return v.re.known and v.im.known
        case Sequence(items=items) | Mapping(items=items) | Record(items=items):
            return all(map(is_fixed, items))
        case Slice():
            return is_fixed(v.start) and is_fixed(v.stop) and is_fixed(v.step)
    return not isinstance(v, Value)


def fixed(ctx, v, what: str):
    """The Python object that `v` is at compile time; an error that names `what` where it is not known by then."""
    match v:
        case Static():
            return v.value
        case Leaf(node=Constant(value=value)):
            return value
        case Complex() if is_fixed(v):
            return complex(v.re.node.value, v.im.node.value)
        case Sequence():
            return v.kind([fixed(ctx, i, what) for i in v.items])
        case Slice():
            return slice(*(fixed(ctx, part, what) for part in (v.start, v.stop, v.step)))
        case Value():
            ctx.error(
                f"{what} must be known at compile time", "write it as a number, or take it from a shape or a constant"
            )
    return v


def describe(v) -> str:
    """A value's type in the user's words."""
    match v:
        case Leaf():
            if v.py:
                return {"bool": "bool", "i64": "int", "f64": "float"}.get(v.type.dtype, str(v.type))
            return str(v.type)
        case Complex():
            if v.py:
                return "complex"
            dims = ",".join("?" if d is None else str(d) for d in shape_of(v.re.type))
            return {"f32": "complex64", "f64": "complex128"}[v.re.type.dtype] + (f"[{dims}]" if dims else "")
        case Sequence():
            return v.kind.__name__
        case Mapping():
            return "dict"
        case Record():
            return v.cls.__name__
        case Static():
            return type(v.value).__name__
        case Message():
            return "str"
    name = type(v).__name__
    return "function" if name in ("Closure", "Bound", "Ruled", "Transformed", "AtPoint") else name.lower()


def require(ctx, exception: str, message: str, ok, *values) -> None:
    """Guard `ok`, a bool or a bool node; what is known to hold needs no guard."""
    if isinstance(ok, Constant):
        ok = bool(ok.value)
    if ok is True:
        return
    if ok is False:
        ok = ctx.const(False).node
    ctx.guard(exception, message, ok, *values)
