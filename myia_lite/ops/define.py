"""The registry of primitives, and the type rules that families share."""

from __future__ import annotations

import numpy as np

from ..ir import Array, Bool, Primitive, Scalar, Type, is_float, shape_of, shaped

PRIMITIVES: dict[str, Primitive] = {}
NUMPY_DTYPES = {"bool": np.bool_, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}


def define(name: str, type_rule, doc: str, **parts) -> Primitive:
    """Declare a primitive: its one block."""
    if name in PRIMITIVES:
        raise ValueError(f"primitive {name} is declared twice")
    p = PRIMITIVES[name] = Primitive(name, type_rule, doc, **parts)
    return p


def expect(ok, message: str) -> None:
    if not ok:
        raise TypeError(message)


def merged_shape(types) -> tuple:
    """The common shape of elementwise operands: scalars fit anywhere, a known dim beats an unknown one."""
    shape = ()
    for t in types:
        s = shape_of(t)
        if not s:
            continue
        if not shape:
            shape = s
            continue
        expect(len(s) == len(shape), f"operands of rank {len(shape)} and {len(s)}")
        for a, b in zip(shape, s, strict=True):
            expect(a is None or b is None or a == b, f"operands of shape {shape} and {s}")
        shape = tuple(b if a is None else a for a, b in zip(shape, s, strict=True))
    return shape


def same(kinds=None, result=None):
    """Type rule of elementwise primitives whose operands share a dtype; `result` is another dtype of the result."""

    def rule(types, attrs, graphs) -> Type:
        for t in types:
            expect(isinstance(t, (Scalar, Array)), f"an operand of type {t}")
        dtypes = {t.dtype for t in types}
        expect(len(dtypes) == 1, f"operands of different dtypes {sorted(dtypes)}")
        dtype = dtypes.pop()
        expect(kinds is None or dtype in kinds, f"operands of dtype {dtype}")
        return shaped(result or dtype, merged_shape(types))

    return rule


def is_index(t: Type) -> bool:
    return isinstance(t, Scalar) and t.dtype == "i64"


def array(t: Type, what="operand") -> Array:
    expect(isinstance(t, Array), f"{what} of type {t} where an array is needed")
    return t


def sized(attr_shape, dyn) -> tuple:
    """A `shape` attribute with a None for each trailing dynamic dim argument."""
    expect(sum(d is None for d in attr_shape) == len(dyn), "one i64 argument for each unknown dim")
    for t in dyn:
        expect(is_index(t), f"a dim of type {t}")
    return tuple(attr_shape)


__all__ = [
    "NUMPY_DTYPES",
    "PRIMITIVES",
    "Bool",
    "array",
    "define",
    "expect",
    "is_float",
    "is_index",
    "merged_shape",
    "same",
    "sized",
]
