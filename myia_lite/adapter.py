"""From the templates of a compiled signature to its native entry: the forms of its arguments and of its result.

The entry also tests whether what was built into the program still is what it was: closure cells and globals by
comparing addresses, anything else by a call of Python.
"""

from __future__ import annotations

import functools
import sys

import numpy as np

from .infer.abstract import AtAPoint, Record, complex_of, field_names, rebuild
from .infer.structures import Dyn, Known, Tree, sized
from .ir import Array

LEAVES = {"f64": "float", "i64": "int", "bool": "bool"}


class Unsupported(Exception):
    """No native form: the general way serves."""


def adapter(program, inferred, keywords: tuple[str, ...], watched, otherwise: list, name: str, go_on=None):
    """A built-in function for this signature that hands any other call to `otherwise[0]`; None where there is none."""
    from .backends.llvm import leaves_of, native_entry

    if inferred.result is None:
        return None
    try:
        arguments = [form(t) for t in inferred.arguments]
        result = form(inferred.result, result=True, go_on=go_on)
    except Unsupported:
        return None
    if any(not isinstance(a, np.ndarray) for a in inferred.captured):
        return None
    if "record" in leaves_of(result) and any("record" in leaves_of(a) for a in arguments):
        return None  # one record may hold parts of the other
    addresses, others = by_address(watched)
    test = functools.partial(unchanged, others) if others else None
    fixed = all(map(sized, inferred.arguments))
    captured = inferred.captured
    return native_entry(program, arguments, result, otherwise, name, keywords, captured, addresses, test, fixed)


def form(t, result: bool = False, go_on=None):
    """The form of a value with this template; `go_on` belongs to the records in a result."""
    from .backends.llvm import Form

    if isinstance(t, Dyn):
        if t.zero_d:
            return "zero"
        if isinstance(t.type, Array):
            return "array"
        return LEAVES[t.type.dtype] if t.py else "scalar"
    if result and (isinstance(t, Known) or isinstance(t, Tree) and t.shape[0] == "static"):
        return Form("is", of=rebuild(t, []))
    if not isinstance(t, Tree):
        raise Unsupported
    kind, *rest = t.shape
    if kind == "complex":
        return complex_form(t, result)
    if kind == "static":
        return Form("is", of=rest[0].value)
    if kind == "at point":
        return at_point_form(t, go_on)
    if kind not in ("sequence", "record", "mapping"):
        raise Unsupported
    items = tuple(form(i, result, go_on) for i in t.items)
    if kind == "mapping":
        return Form("dict", items, tuple(map(sys.intern, rest[0])))
    if kind == "sequence":
        return Form(rest[0].__name__, items)
    cls = rest[0]
    if issubclass(cls, tuple):
        return Form("named", items, (cls, cls._make))
    return Form("fields", items, (cls, tuple(map(sys.intern, field_names(cls)))))


def at_point_form(t, go_on):
    """A pullback or a linearised function: its record, and sizes."""
    from .backends.llvm import Form

    absent = (None,) * len(t.items)

    def apart(x):
        record, *sizes = x.leaves
        fits = record.go_on.backend == "llvm" and (x.template is t or x.template == t)
        return (record.held.address, *sizes) if fits else absent

    def together(held, *sizes):
        return AtAPoint(t, [Record(held, go_on), *sizes])

    return Form("parts", ("record", *["int"] * (len(t.items) - 1)), (AtAPoint, None, apart, together))


def complex_form(t, result: bool):
    """A complex array goes in as contiguous copies of its parts; of a result, a part may be known."""
    from .backends.llvm import Form

    re = t.items[0]
    if any(isinstance(i, Known) for i in t.items):
        if not result:
            raise Unsupported
        return Form(
            "parts", tuple(form(i, True) for i in t.items), (None, None, None, complex if re.py else complex_of)
        )
    if re.py:
        return Form("complex", ("float", "float"))
    dtype = np.dtype(np.complex64 if re.type.dtype == "f32" else np.complex128)
    if isinstance(re.type, Array):
        return Form("parts", ("array", "array"), (np.ndarray, dtype, contiguous_parts, complex_of))
    if re.zero_d:
        raise Unsupported
    return Form("parts", ("scalar", "scalar"), (dtype.type, None, lambda x: (x.real, x.imag), complex_of))


def contiguous_parts(x) -> tuple:
    return np.ascontiguousarray(x.real), np.ascontiguousarray(x.imag)


def by_address(watched) -> tuple[list, list]:
    """Dependencies that are compared by address, as `native_entry` wants them; the others."""
    addresses, others = [], []
    for d in watched:
        first = getattr(d, "namespaces", ())[:1]
        if getattr(d, "cell", None) is not None:
            addresses.append(("cell", d.cell, d.value))
        elif first and type(first[0]) is dict and first[0].get(d.name, others) is d.value:
            addresses.append(("global", first[0], d.name, d.value))
        else:
            others.append(d)
    return addresses, others


def unchanged(dependencies) -> bool:
    """Is what a program took from outside still what it was?"""
    return all(d.current() is d.value for d in dependencies)
