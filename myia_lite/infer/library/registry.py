"""Which Python object means which elaborator, and what elaborators share: argument binding, static arguments.

An elaborator is `f(ctx, *values, **keyword_values) -> Value`.  It is written like the function it stands for, with the
same parameter names, so that `inspect` checks a call as Python would.
"""

from __future__ import annotations

import functools
import inspect

from ...ir import Constant
from ..values import Leaf, Mapping, Message, Record, Sequence, Slice, Static, Value

TABLE: dict[object, object] = {}
METHODS: dict[str, object] = {}  # name of an array method -> its elaborator's key


def elaborates(*objects, method=None):
    """Register the function below as the meaning of `objects`; `method`: also of the array method of that name."""

    def register(function):
        checked = _checked(function, getattr(objects[0], "__name__", str(objects[0])))
        for o in objects:
            TABLE[o] = checked
        if method is not None:
            METHODS[method] = objects[0]
        return function

    return register


def _checked(function, name):
    signature = inspect.signature(function)

    @functools.wraps(function)
    def elaborator(ctx, *values, **keywords):
        try:
            bound = signature.bind(ctx, *values, **keywords)
        except TypeError as error:
            ctx.error(
                f"{name}(): {error}", f"call it with parameters among {', '.join(list(signature.parameters)[1:])}"
            )
        return function(*bound.args, **bound.kwargs)

    return elaborator


def lookup(obj):
    """The elaborator of a Python callable, or None."""
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
    return {"Closure": "function", "Bound": "function", "Transformed": "function", "Range": "range"}.get(
        type(v).__name__, type(v).__name__.lower()
    )


def require(ctx, exception: str, message: str, ok, *values) -> None:
    """Guard `ok`, a bool or a bool node; what is known to hold needs no guard."""
    if isinstance(ok, Constant):
        ok = bool(ok.value)
    if ok is True:
        return
    if ok is False:
        ok = ctx.const(False).node
    ctx.guard(exception, message, ok, *values)
