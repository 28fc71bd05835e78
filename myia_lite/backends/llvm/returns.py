"""What a function returns: its results' parts, of which as many as possible in registers.

An LLVM function returns three words in registers; with more of them, all go through memory.  Then an array comes as one
word: its object, behind whose header its elements lie, or the address of borrowed elements, as a negative number.
"""

from __future__ import annotations

import llvmlite.ir as ll

from ...ir import Array, Never, Tuple, Type
from .layout import F32, F64, I8, I64, NULL, PTR, flatten, i64, parts, unflatten
from .memory_layout import DATA

WORDS = 3
BORROWED = 1 << 63


def _elements(t: Type) -> tuple:
    return t.elems if isinstance(t, Tuple) else () if t is Never else (t,)


def _places(t: Type) -> list[int]:
    """Where among the parts the objects of arrays stand, which come together with their data."""
    if sum(p not in (F32, F64) for p in parts(t)) <= WORDS:
        return []
    out, at = [], 0
    for e in _elements(t):
        if isinstance(e, Array):
            out.append(at)
        at += len(parts(e))
    return out


def result_type(t: Type) -> ll.Type:
    places = _places(t)
    types = [p for k, p in enumerate(parts(t)) if k - 1 not in places]
    return ll.LiteralStructType(types) if types else ll.VoidType()


def give(b: ll.IRBuilder, value, t: Type) -> None:
    """Return `value`, of type `t`, from the function."""
    values, places = ([], []) if t is Never else (flatten(value, t), _places(t))
    for k in places:
        marked = b.inttoptr(b.or_(b.ptrtoint(values[k + 1], I64), i64(BORROWED)), PTR)
        values[k] = b.select(b.icmp_unsigned("==", values[k], NULL), marked, values[k])
    values = [v for k, v in enumerate(values) if k - 1 not in places]
    if not values:
        b.ret_void()
        return
    out = ll.Constant(result_type(t), ll.Undefined)
    for k, v in enumerate(values):
        out = b.insert_value(out, v, k)
    b.ret(out)


def take(b: ll.IRBuilder, out, t: Type):
    """The value of type `t` that a call has returned as `out`."""
    places, values, k = _places(t), [], 0
    while len(values) < len(parts(t)):
        v = b.extract_value(out, k)
        k += 1
        if len(values) not in places:
            values.append(v)
            continue
        number = b.ptrtoint(v, I64)
        borrowed = b.icmp_signed("<", number, i64(0))
        data = b.inttoptr(b.and_(number, i64(BORROWED - 1)), PTR)
        values += [b.select(borrowed, NULL, v), b.select(borrowed, data, b.gep(v, [i64(DATA)], source_etype=I8))]
    return unflatten(t, values)
