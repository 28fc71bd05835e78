"""How values of each IR type live in LLVM: in registers, and in memory.

A value in registers is a small Python object over LLVM values (a plain LLVM value for a scalar, a Python tuple for a
tuple).  `parts(t)` is the flat list of LLVM types that a value of type `t` becomes at a call, a phi or in memory;
`flatten` and `unflatten` go there and back.  Only what the type does not say is passed: an array's known dims are
constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import llvmlite.ir as ll

from ...ir import Array, Never, Scalar, Stack, Sum, Tuple, Type

I1, I8, I32, I64 = ll.IntType(1), ll.IntType(8), ll.IntType(32), ll.IntType(64)
F32, F64, PTR = ll.FloatType(), ll.DoubleType(), ll.PointerType()
REGISTER = {"bool": I1, "i32": I32, "i64": I64, "f32": F32, "f64": F64}
NULL = ll.Constant(PTR, None)

WIDE = 128  # parts that are loaded or stored in a row


def i64(n: int):
    return ll.Constant(I64, n)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayValue:
    """`obj` is the counted heap object, null where the memory is borrowed from outside; `data` the first
    element, row-major."""

    obj: Any
    data: Any
    dims: tuple  # an i64 each; an `ll.Constant` where known
    type: Array


@dataclass(frozen=True, slots=True, eq=False)
class StackValue:
    """The first `length` frames of the buffer `obj` (null: an empty stack); of a stack of units only the
    length exists."""

    obj: Any
    length: Any
    type: Stack


@dataclass(frozen=True, slots=True, eq=False)
class SumValue:
    """A sum that mentions itself is one pointer, `box`; any other a tag, if there are several variants, and slots that
    these share by LLVM type."""

    box: Any
    tag: Any
    slots: tuple
    type: Sum


def register(t: Scalar | Array):
    return REGISTER[t.dtype]


def memory(t: ll.Type) -> ll.Type:
    """The type in memory of a part: a bool is a byte."""
    return I8 if t == I1 else t


def element(t: Array) -> ll.Type:
    return memory(REGISTER[t.dtype])


def _mentions(t: Type, seen: set) -> set:
    """The sums that a value of type `t` holds without a stack between."""
    if isinstance(t, Tuple):
        for e in t.elems:
            _mentions(e, seen)
    elif isinstance(t, Sum) and t not in seen:
        seen.add(t)
        for fields in t.variants.values():
            for f in fields:
                _mentions(f, seen)
    return seen


def _inside(s: Sum) -> set:
    """The sums in the fields of a sum."""
    seen: set = set()
    for fields in s.variants.values():
        for f in fields:
            _mentions(f, seen)
    return seen


@lru_cache(4096)
def boxed(s: Sum) -> bool:
    """Is a value of the sum on the heap, since it may hold another one?

    Of sums that hold each other it is enough that one is in each circle.  Those of one variant go without: they have
    no empty variant, which needs no memory.
    """
    if s not in _inside(s):
        return False
    unboxed: set = set()
    for u in sorted((u for u in _inside(s) if s in _inside(u)), key=lambda u: u.name):
        if len(u.variants) == 1 and u not in _through(u, unboxed):
            unboxed.add(u)
    return s not in unboxed


def _through(s: Sum, unboxed: set) -> set:
    """The sums that lie in a value of `s` itself, where only these are not on the heap."""
    seen: set = set()
    todo = [s]
    while todo:
        for u in _direct(todo.pop()):
            if u not in seen:
                seen.add(u)
                todo += [u] if u in unboxed else []
    return seen


def _direct(s: Sum) -> set:
    found: set = set()

    def visit(t: Type):
        if isinstance(t, Sum):
            found.add(t)
        elif isinstance(t, Tuple):
            for e in t.elems:
                visit(e)

    for fields in s.variants.values():
        for f in fields:
            visit(f)
    return found


def tagged(s: Sum) -> bool:
    """Does a value of the sum that is not on the heap say of which variant it is?"""
    return len(s.variants) > 1


@lru_cache(4096)
def filled(t: Type) -> bool:
    """Has a value of type `t` any parts?  A frame may hold stacks of such frames."""
    if isinstance(t, Tuple):
        return any(map(filled, t.elems))
    if isinstance(t, Sum):
        return boxed(t) or tagged(t) or any(filled(f) for fs in t.variants.values() for f in fs)
    return t is not Never


@lru_cache(4096)
def parts(t: Type) -> tuple:
    if isinstance(t, Scalar):
        return (REGISTER[t.dtype],)
    if isinstance(t, Array):
        return (PTR, PTR, *(I64 for d in t.shape if d is None))
    if isinstance(t, Tuple):
        return tuple(p for e in t.elems for p in parts(e))
    if isinstance(t, Stack):
        return (PTR, I64) if filled(t.elem) else (I64,)
    if isinstance(t, Sum):
        return (PTR,) if boxed(t) else (*([I32] if tagged(t) else ()), *slots(t)[0])
    if t is Never:
        return ()
    raise TypeError(f"a value of type {t} has no native form")


@lru_cache(4096)
def fields(s: Sum, tag: str) -> tuple:
    """The parts of a variant's fields, in order."""
    return parts(Tuple(tuple(s.variants[tag])))


@lru_cache(4096)
def slots(s: Sum) -> tuple[tuple, dict]:
    """The slots of an unboxed sum, and for each tag the slot of each part: variants share slots of one LLVM type."""
    types, where = [], {}
    for tag in s.variants:
        free = list(range(len(types)))
        at = []
        for p in fields(s, tag):
            k = next((k for k in free if types[k] == p), None)
            if k is None:
                k = len(types)
                types.append(p)
            else:
                free.remove(k)
            at.append(k)
        where[tag] = tuple(at)
    return tuple(types), where


@lru_cache(4096)
def on_heap(t: Type) -> bool:
    """May a value of type `t` hold a counted object?"""
    if isinstance(t, Tuple):
        return any(map(on_heap, t.elems))
    if isinstance(t, Sum):
        return boxed(t) or any(on_heap(f) for fs in t.variants.values() for f in fs)
    return isinstance(t, Array) or (isinstance(t, Stack) and filled(t.elem))


def flatten(value, t: Type) -> list:
    """The parts of `value` where a value of type `t` is declared."""
    if isinstance(t, Array):
        return [value.obj, value.data, *(v for v, d in zip(value.dims, t.shape, strict=True) if d is None)]
    if isinstance(t, Tuple):
        return [p for v, e in zip(value, t.elems, strict=True) for p in flatten(v, e)]
    if isinstance(t, Stack):
        return [value.obj, value.length] if parts(t.elem) else [value.length]
    if isinstance(t, Sum):
        return [value.box] if boxed(t) else [*([value.tag] if tagged(t) else ()), *value.slots]
    return [] if t is Never else [value]


def unflatten(t: Type, values: list):
    """The value of type `t` that has these parts."""
    if isinstance(t, Array):
        obj, data, *dyn = values
        return ArrayValue(obj, data, tuple(dyn.pop(0) if d is None else i64(d) for d in t.shape), t)
    if isinstance(t, Tuple):
        out, k = [], 0
        for e in t.elems:
            n = len(parts(e))
            out.append(unflatten(e, list(values[k : k + n])))
            k += n
        return tuple(out)
    if isinstance(t, Stack):
        return StackValue(*values, t) if parts(t.elem) else StackValue(None, values[0], t)
    if isinstance(t, Sum):
        if boxed(t):
            return SumValue(values[0], None, (), t)
        return SumValue(None, values[0], tuple(values[1:]), t) if tagged(t) else SumValue(None, None, tuple(values), t)
    return values[0] if values else None  # nothing comes from `never`


def struct(types) -> ll.Type:
    """The literal struct of parts in memory."""
    return ll.LiteralStructType([memory(p) for p in types])


def _places(types) -> tuple[list[int], int]:
    """Where the parts lie in that struct, and the bytes of all, as an element of an array of them."""
    sizes, at, where = [{I1: 1, I32: 4, F32: 4}.get(p, 8) for p in types], 0, []
    for s in sizes:
        at = (at + s - 1) // s * s
        where.append(at)
        at += s
    largest = max(sizes, default=1)
    return where, (at + largest - 1) // largest * largest


def sizeof(types) -> int:
    """The bytes of that struct, as an element of an array of them."""
    return _places(types)[1]


def load_parts(b: ll.IRBuilder, pointer, types, pause=lambda: None) -> list:
    """The parts in the struct at `pointer`; of a wide one, with a `pause` now and again, where the code may be cut."""
    out = []
    for k, (p, at) in enumerate(zip(types, _places(types)[0], strict=True), 1):
        v = b.load(b.gep(pointer, [i64(at)], inbounds=True, source_etype=I8), typ=memory(p))
        out.append(b.trunc(v, I1) if p == I1 else v)
        if k % WIDE == 0:
            pause()
    return out


def store_parts(b: ll.IRBuilder, values, pointer, types, pause=lambda: None) -> None:
    for k, (v, p, at) in enumerate(zip(values, types, _places(types)[0], strict=True), 1):
        v = b.zext(v, I8) if p == I1 else v
        b.store(v, b.gep(pointer, [i64(at)], inbounds=True, source_etype=I8))
        if k % WIDE == 0:
            pause()
