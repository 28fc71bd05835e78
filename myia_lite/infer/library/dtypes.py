"""Dtypes: names, NumPy 2 promotion, conversion.

Python numbers are weak in promotion (NEP 50): beside an array or a NumPy scalar they only choose between kinds.
"""

from __future__ import annotations

import numpy as np

from ...ir import FLOATS, INTS, Array, Scalar
from ...ops import elementwise as E
from ...ops.define import NUMPY_DTYPES
from ..values import Complex, Leaf, Sequence, Static
from .registry import describe, elaborates, fixed, require
from .sizes import both, fact

NUMPY = {name: np.dtype(d) for name, d in NUMPY_DTYPES.items()}
OURS = {d: name for name, d in NUMPY.items()}
PYTHON = {"bool": bool, "i64": int, "f64": float}
ORDER = {"bool": 0, "i32": 1, "i64": 2, "f32": 3, "f64": 4}
LIMITS = {"i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1)}


def dtype_of(ctx, v) -> str:
    """Our name of the dtype that a dtype argument means."""
    raw = fixed(ctx, v, "a dtype")
    if not isinstance(raw, (type, str, np.dtype)):
        ctx.error(f"{raw!r} is no dtype", "use np.float64, np.float32, np.int64, np.int32 or bool")
    try:
        return OURS[np.dtype(raw)]
    except (TypeError, KeyError):
        ctx.error(
            f"dtype {getattr(raw, '__name__', raw)} is not supported", "use float64, float32, int64, int32 or bool"
        )


def promoted(ctx, leaves) -> str:
    """The dtype that NumPy computes in: Python ints and floats are weak."""
    strong = {leaf.type.dtype for leaf in leaves if not leaf.py or leaf.type.dtype == "bool"}
    weak = {leaf.type.dtype for leaf in leaves if leaf.py and leaf.type.dtype != "bool"}
    if not strong:
        return max(weak, key=ORDER.get)
    dtype = strongest(*strong)
    if "f64" in weak and dtype not in FLOATS:
        return "f64"
    if "i64" in weak and dtype == "bool":
        return "i64"
    return dtype


def strongest(*dtypes) -> str:
    return OURS[np.result_type(*(NUMPY[d] for d in dtypes))]


def join_numbers(ctx, a, b) -> tuple[str, bool]:
    """The dtype and pythonness of a variable that is `a` on one path and `b` on the other."""
    if a.py and b.py:
        return max(a.type.dtype, b.type.dtype, key=ORDER.get), True
    return promoted(ctx, [a, b]), False


def cast(ctx, node, dtype):
    return node if node.type.dtype == dtype else ctx.emit(E.cast, node, dtype=dtype)


def convert(ctx, leaf, dtype, py=False) -> Leaf:
    """`leaf` as another dtype, a Python number or not."""
    return leaf if leaf.type.dtype == dtype and leaf.py == py else ctx.leaf(cast(ctx, leaf.node, dtype), py=py)


def operand(ctx, leaf, dtype):
    """The node of an operand of a NumPy operation computed in `dtype`; a Python int that does not fit raises."""
    if leaf.py and leaf.type.dtype == "i64" and dtype == "i32":
        low, high = LIMITS["i32"]
        inside = both(ctx, fact(ctx.emit(E.ge, leaf.node, low)), fact(ctx.emit(E.le, leaf.node, high)))
        require(ctx, "OverflowError", "Python integer {0} out of bounds for int32", inside, leaf.node)
    return cast(ctx, leaf.node, dtype)


def truncated(ctx, node, ok=True):
    """int(x) of a float node: towards zero, with Python's errors."""
    require(ctx, "ValueError", "cannot convert float NaN to integer", fact(ctx.emit(E.eq, node, node)))
    require(ctx, "OverflowError", "cannot convert float infinity to integer", _not(ctx, ctx.emit(E.isinf, node)))
    wide = cast(ctx, node, "f64")
    inside = both(ctx, fact(ctx.emit(E.ge, wide, -(2.0**63))), fact(ctx.emit(E.lt, wide, 2.0**63)))
    require(ctx, "OverflowError", "integer overflow: {0} does not fit 64 bits", inside, node)
    return cast(ctx, wide, "i64")


def _not(ctx, node):
    return fact(ctx.emit(E.logical_not, node))


def is_array(v) -> bool:
    return isinstance(v, Leaf) and isinstance(v.type, Array)


def is_scalar(v) -> bool:
    return isinstance(v, Leaf) and isinstance(v.type, Scalar)


def is_integer(v) -> bool:
    """A scalar that can be an index."""
    return is_scalar(v) and v.type.dtype in INTS


def class_of(v) -> type | None:
    """The Python class of a value, for isinstance and type."""
    match v:
        case Leaf():
            if is_array(v):
                return np.ndarray
            return PYTHON[v.type.dtype] if v.py else NUMPY[v.type.dtype].type
        case Complex():
            if v.rank:
                return np.ndarray
            return complex if v.py else {"f32": np.complex64, "f64": np.complex128}[v.re.type.dtype]
        case Sequence():
            return v.kind
        case Static():
            return type(v.value)
    return None


def leaf_of(ctx, v, what="an operand") -> Leaf:
    """An array-like value as a leaf: nested sequences of numbers become arrays."""
    if isinstance(v, Leaf):
        return v
    if isinstance(v, (bool, int, float)):
        return ctx.const(v)
    if isinstance(v, Sequence):
        from .creation import array_of

        return array_of(ctx, v)
    ctx.error(
        f"{what} of type {describe(v)} where an array or a number is needed",
        "pass an array, a number or a list of them",
    )


# ---- facts about dtypes ----------------------------------------------------------------------------------------------
@elaborates(np.dtype)
def dtype_(ctx, dtype):
    return Static(NUMPY[dtype_of(ctx, dtype)])


@elaborates(np.finfo)
def finfo(ctx, dtype):
    name = dtype.type.dtype if isinstance(dtype, Leaf) else dtype_of(ctx, dtype)
    if name not in FLOATS:
        ctx.error(f"np.finfo of {NUMPY[name]}, which is no float dtype", "use np.iinfo")
    return Static(np.finfo(NUMPY[name]))


@elaborates(np.iinfo)
def iinfo(ctx, type):
    name = type.type.dtype if isinstance(type, Leaf) else dtype_of(ctx, type)
    if name not in INTS:
        ctx.error(f"np.iinfo of {NUMPY[name]}, which is no int dtype", "use np.finfo")
    return Static(np.iinfo(NUMPY[name]))


@elaborates(np.issubdtype)
def issubdtype(ctx, arg1, arg2):
    return ctx.const(bool(np.issubdtype(fixed(ctx, arg1, "a dtype"), fixed(ctx, arg2, "a dtype"))))


@elaborates(np.isscalar)
def isscalar(ctx, element):
    return ctx.const(is_scalar(element) or (isinstance(element, Static) and np.isscalar(element.value)))
