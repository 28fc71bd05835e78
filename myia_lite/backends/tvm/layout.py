"""How values of each IR type live in a running program: parts, each an expression or a register.

A scalar is one expression.  Whatever TVM counts references to (arrays, records, the buffers of stacks) lies in a
register, a slot of the function's window of the register file, and is named by its number.  `parts(t)` is the flat list
of what a value of type `t` consists of; `flatten` and `unflatten` go there and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...ir import Array, Never, Scalar, Stack, Sum, Tuple, Type
from ..llvm.layout import boxed

OBJECT = "object"


@dataclass(frozen=True, slots=True, eq=False)
class ArrayValue:
    """`register` holds the tensor; `dims` are ints where known, else expressions."""

    register: int
    dims: tuple
    type: Array


@dataclass(frozen=True, slots=True, eq=False)
class StackValue:
    """The first `length` frames in the list that `register` holds; of a stack of units only the length exists."""

    register: int | None
    length: Any
    type: Stack


@dataclass(frozen=True, slots=True, eq=False)
class SumValue:
    """A sum that mentions itself is an array object, tag first; any other a tag and parts that its variants share."""

    register: int | None
    tag: Any
    slots: tuple
    type: Sum


@lru_cache(4096)
def parts(t: Type) -> tuple[str, ...]:
    """The kind of each part: OBJECT, or a dtype."""
    if isinstance(t, Scalar):
        return (t.dtype,)
    if isinstance(t, Array):
        return (OBJECT, *("i64" for d in t.shape if d is None))
    if isinstance(t, Tuple):
        return tuple(p for e in t.elems for p in parts(e))
    if isinstance(t, Stack):
        return (OBJECT, "i64") if parts(t.elem) else ("i64",)
    if isinstance(t, Sum):
        return (OBJECT,) if boxed(t) else ("i64", *slots(t)[0])
    if t is Never:
        return ()
    raise TypeError(f"a value of type {t} has no form on this back end")


@lru_cache(4096)
def fields(s: Sum, tag: str) -> tuple[str, ...]:
    """The parts of a variant's fields, in order."""
    return parts(Tuple(tuple(s.variants[tag])))


@lru_cache(4096)
def slots(s: Sum) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """The parts that the variants share, by kind, and where each variant has its own."""
    kinds: list[str] = []
    where = {}
    for tag in s.variants:
        free: dict[str, list[int]] = {}
        for k, kind in enumerate(kinds):
            free.setdefault(kind, []).append(k)
        places = []
        for kind in fields(s, tag):
            if free.get(kind):
                places.append(free[kind].pop(0))
            else:
                places.append(len(kinds))
                kinds.append(kind)
        where[tag] = tuple(places)
    return tuple(kinds), where


def flatten(value, t: Type) -> list:
    if isinstance(t, Scalar):
        return [value]
    if isinstance(t, Array):
        return [value.register, *(_expr(d) for d, n in zip(value.dims, t.shape, strict=True) if n is None)]
    if isinstance(t, Tuple):
        return [p for v, e in zip(value, t.elems, strict=True) for p in flatten(v, e)]
    if isinstance(t, Stack):
        return [value.register, value.length] if parts(t.elem) else [value.length]
    if isinstance(t, Sum):
        return [value.register] if boxed(t) else [value.tag, *value.slots]
    return []


def _expr(d):
    from .code import expr

    return expr(d)


def unflatten(t: Type, values: list):
    """The value of type `t` with these parts, taken from the front of the list."""
    values = list(values)
    out = _take(t, values)
    assert not values
    return out


def _take(t: Type, values: list):
    if isinstance(t, Scalar):
        return values.pop(0)
    if isinstance(t, Array):
        register = values.pop(0)
        return ArrayValue(register, tuple(values.pop(0) if d is None else d for d in t.shape), t)
    if isinstance(t, Tuple):
        return tuple(_take(e, values) for e in t.elems)
    if isinstance(t, Stack):
        return StackValue(values.pop(0) if parts(t.elem) else None, values.pop(0), t)
    if isinstance(t, Sum):
        if boxed(t):
            return SumValue(values.pop(0), None, (), t)
        tag = values.pop(0)
        return SumValue(None, tag, tuple(values.pop(0) for _ in slots(t)[0]), t)
    return None
