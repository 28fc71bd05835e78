"""The boundary to Python: what an argument is at compile time, its leaves, and results put together again.

`abstract(value)` is hashable, and equal for arguments that one compiled program serves: it is the template of the
value. `leaves(value, template)` are the numbers and arrays that are passed, and `rebuild(template, leaves)` is the
inverse.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np

from ..ir import F64, I64, Array, Bool, MyiaError, MyiaTypeError, Residual, Scalar, shaped
from .structures import Dyn, Ident, Known, Tagged, Template, Tree

COMPLEX = Tree(("complex", 0), (Dyn(F64, True), Dyn(F64, True)))
FLOAT, INT, BOOL = Dyn(F64, True), Dyn(I64, True), Dyn(Bool, True)
_NATIVE = {"?": "bool", "i4": "i32", "i8": "i64", "f4": "f32", "f8": "f64"}
DTYPES = {np.dtype(order + code): name for code, name in _NATIVE.items() for order in "<>"}
NUMBERS = {name: np.dtype(code).type for code, name in _NATIVE.items()}
UNSUPPORTED_DTYPE = "convert it to float64, float32, int64, int32, bool, complex128 or complex64: x.astype(np.float64)"
PYTHON = {"bool": bool, "i64": int, "i32": int, "f64": float, "f32": float}


def array_dtype(obj) -> str | None:
    """The IR's dtype of a NumPy array or scalar, None where it is not supported."""
    return DTYPES.get(obj.dtype)


def is_named_tuple(cls) -> bool:
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_frozen(cls) -> bool:
    return dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen


def field_names(cls) -> tuple[str, ...]:
    return cls._fields if is_named_tuple(cls) else tuple(f.name for f in dataclasses.fields(cls))


class MyiaOverflowError(MyiaError, OverflowError):
    """An int that does not fit in 64 bits."""


class Record:
    """What the forward pass of a `vjp` saved, as a leaf: `held` is the back end's, and `go_on(f, *args)` the compiled
    call of a function that holds it.
    """

    __slots__ = ("held", "go_on")

    def __init__(self, held, go_on):
        self.held, self.go_on = held, go_on

    def opened(self, backend: str):
        """What a program of this back end takes."""
        mine = self.go_on.backend
        if mine != backend:
            raise MyiaTypeError(f"a function that the back end {mine!r} made is no argument for {backend!r}")
        return self.held


class AtAPoint:
    """A function that `vjp` or `linearize` returned: a pullback, or a linearised function.

    It holds what the forward pass saved, which never changes; it may be called any number of times, by several threads
    at once, and be an argument of compiled functions or captured by them.
    """

    __slots__ = ("template", "leaves", "__weakref__")

    def __init__(self, template: Tree, leaves: list):
        self.template, self.leaves = template, leaves

    def __call__(self, *given, **keywords):
        return self.leaves[0].go_on(self, *given, **keywords)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError(f"a {self.template} belongs to its process: it cannot be pickled")

    def __repr__(self):
        return f"<{self.template}>"


def abstract(value: Any) -> Template:
    """The template of an argument.  Raises MyiaTypeError for what cannot be passed."""
    kind = type(value)
    if kind is float:
        return FLOAT
    if kind is bool:
        return BOOL
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise MyiaOverflowError(f"the integer {value} does not fit in 64 bits", remedy="pass a float")
        return INT
    if kind is complex:
        return COMPLEX
    if isinstance(value, (np.ndarray, np.complexfloating)) and value.dtype.kind == "c":
        return _complex(value)
    if isinstance(value, np.ndarray) or hasattr(kind, "__myia_array__"):
        return _array(value)
    if isinstance(value, np.generic) and not isinstance(value, (np.str_, np.bytes_)):
        return Dyn(Scalar(_dtype(value)))
    if value is None or kind is str:
        return Tree(("static", Ident(value)))
    if kind is tuple or kind is list:
        return Tree(("sequence", kind, len(value)), tuple([abstract(v) for v in value]))
    if kind is dict:
        for k in value:
            if type(k) is not str:
                raise MyiaTypeError(f"a dict with the key {k!r}", remedy="use strings as keys, or a tuple")
        return Tree(("mapping", tuple(value)), tuple([abstract(v) for v in value.values()]))
    if kind is range:
        return Tree(("range",), (INT, INT, INT))
    if kind is AtAPoint:
        return value.template
    if kind is slice:
        return Tree(("slice",), tuple([abstract(v) for v in (value.start, value.stop, value.step)]))
    if is_named_tuple(kind):
        return Tree(("record", kind, len(value)), tuple([abstract(v) for v in value]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [abstract(getattr(value, f)) for f in field_names(kind)]
        return Tree(("record", kind, len(items)), tuple(items))
    if isinstance(value, (set, frozenset)):
        raise MyiaTypeError(f"a {kind.__name__}", remedy="pass a tuple")
    if hasattr(kind, "__dlpack__"):  # a constant would not see it change
        what = f"an array of {kind.__module__.partition('.')[0]}"
        raise MyiaTypeError(what, remedy="numpy.from_dlpack(x), or to_device(x) with backend='tvm'")
    return Tree(("static", Ident(value)))


def _complex(value) -> Tree:
    """The template of a complex NumPy array or scalar: that of its parts."""
    if isinstance(value, np.ndarray):
        part = _array(value.real)
    else:
        part = Dyn(Scalar(_dtype(value.real)))
    return Tree(("complex", value.ndim), (part, part))


def _array(value) -> Dyn:
    # `np.ma` is imported when it is first named; there is no masked array before
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        raise MyiaTypeError("a masked array", remedy="pass the data and the mask as two arrays")
    return _leaf(_dtype(value), value.shape)


@lru_cache(4096)
def _leaf(dtype, shape) -> Dyn:
    return Dyn(shaped(dtype, shape), False, not shape)


def _dtype(value) -> str:
    dtype = array_dtype(value)
    if dtype is None:
        what = "an array" if isinstance(value, np.ndarray) else "a NumPy scalar"
        raise MyiaTypeError(f"{what} of dtype {value.dtype}", remedy=UNSUPPORTED_DTYPE)
    return dtype


def leaves(value: Any, template: Template) -> list:
    """The numbers and arrays in a value, in the order of the program's parameters."""
    out: list = []
    _flatten(value, template, out)
    return out


def _flatten(value, t, out):
    if type(t) is Dyn:
        out.append(value)
    elif t.items:
        kind = t.shape[0]
        if kind == "mapping":
            parts = value.values()
        elif kind == "record" and not isinstance(value, tuple):
            parts = [getattr(value, f) for f in field_names(t.shape[1])]
        elif kind == "complex":
            parts = (value.real, value.imag)
        elif kind in ("range", "slice"):
            parts = (value.start, value.stop, value.step)
        elif kind == "at point":
            parts = value.leaves
        else:
            parts = value
        for v, i in zip(parts, t.items, strict=True):
            _flatten(v, i, out)


def rebuild(template: Template, values: list) -> Any:
    """The Python value of a result, over the leaves that the program returned."""
    return _build(template, iter(values))


def _build(t, values):
    if isinstance(t, Dyn):
        v = next(values)
        if isinstance(t.type, Residual):
            return v
        if t.py:
            return PYTHON[t.type.dtype](v)
        if isinstance(t.type, Array):
            return v
        number = NUMBERS[t.type.dtype](v)
        return np.asarray(number) if t.zero_d else number
    if isinstance(t, Known):
        return t.value if t.py else NUMBERS[t.type.dtype](t.value)
    if isinstance(t, Tagged):
        tag = int(next(values))
        built = [_build(i, values) for i in t.alternatives]
        return built[tag]
    kind, *rest = t.shape
    if kind == "static":
        return rest[0].value
    items = [_build(i, values) for i in t.items]
    if kind == "complex":
        return complex_of(*items)
    if kind == "sequence":
        return rest[0](items)
    if kind == "mapping":
        return dict(zip(rest[0], items, strict=True))
    if kind == "record":
        return record(rest[0], items)
    if kind == "at point":
        return AtAPoint(t, items)
    return {"range": range, "slice": slice}[kind](*items)


def complex_of(re, im):
    """A complex number or array of its parts."""
    if isinstance(re, float):
        return complex(re, im) if type(re) is float else np.complex128(complex(re, im))
    if isinstance(re, np.float32):
        return np.complex64(complex(re, im))
    out = np.empty(re.shape, np.result_type(re, np.complex64))
    out.real, out.imag = re, im
    return out


def record(cls, items):
    """An instance with these fields, however it is made."""
    if is_named_tuple(cls):
        return cls._make(items)
    fields = dataclasses.fields(cls)
    if all(f.init for f in fields) and not hasattr(cls, "__post_init__") and cls.__dataclass_params__.init:
        return cls(**dict(zip((f.name for f in fields), items, strict=True)))
    made = object.__new__(cls)
    for f, v in zip(fields, items, strict=True):
        object.__setattr__(made, f.name, v)
    return made


def returnable(t: Template) -> str | None:
    """What in a result cannot be handed to Python, or None."""
    if isinstance(t, Tree):
        if t.shape[0] not in ("static", "sequence", "mapping", "record", "range", "slice", "complex", "at point"):
            return {
                "closure": "a nested function",
                "message": "a string made at run time",
                "iterator": "an iterator",
            }.get(t.shape[0], "a function made at run time")
        if t.shape[0] == "record" and issubclass(t.shape[1], BaseException):
            return "an exception"
        return next((r for r in map(returnable, t.items) if r), None)
    if isinstance(t, Tagged):
        return next((r for r in map(returnable, t.alternatives) if r), None)
    return None
