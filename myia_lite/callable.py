"""The base class of compiled functions: a call of one reaches native code without a frame of Python in between.

CPython calls an object of such a class through a C function whose address lies in the object (PEP 590, "vectorcall").
As long as that is null, a call goes to `__call__`, as ever.  Classes in Python cannot declare such a field, so the base
is made from a `PyType_Spec`.  Where objects do not lie in memory as believed here, all goes by `__call__`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

TARGET, ENTRY = 16, 24  # offsets in an object: of the C function, of the slot `entry` of `NativeCallable`
_BASICSIZE, _VECTORCALL_OFFSET, _FLAGS = 32, 56, 168  # offsets in a type object
_BASETYPE, _HAVE_VECTORCALL = 1 << 10, 1 << 11
_TP_MEMBERS, _PY_SSIZE_T, _READONLY = 72, 19, 1


class _Slot(ctypes.Structure):
    _fields_ = [("slot", ctypes.c_int), ("function", ctypes.c_void_p)]


class _Member(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class _Spec(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    ]


def _base() -> type | None:
    """A class whose objects have room for the address of a C function; None where that is not possible."""
    if sys.implementation.name != "cpython" or object.__basicsize__ != TARGET or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    make = getattr(ctypes.pythonapi, "PyType_FromSpec", None)
    if make is None:
        return None
    members = (_Member * 2)(_Member(b"__vectorcalloffset__", _PY_SSIZE_T, TARGET, _READONLY, None))
    slots = (_Slot * 2)(_Slot(_TP_MEMBERS, ctypes.addressof(members)))
    spec = _Spec(b"myia_lite.callable.Target", ENTRY, 0, _BASETYPE, slots)
    make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(_Spec)]
    _kept.extend((members, slots, spec))
    base = make(ctypes.byref(spec))
    fits = (
        _field(base, _BASICSIZE, ctypes.c_ssize_t).value == base.__basicsize__ == ENTRY
        and _field(base, _VECTORCALL_OFFSET, ctypes.c_ssize_t).value == TARGET
        and _field(base, _FLAGS, ctypes.c_ulong).value == base.__flags__
    )
    return base if fits else None


_kept: list = []  # a type object may refer to what it was made from


def _field(x: Any, offset: int, kind: Any) -> Any:
    return kind.from_address(id(x) + offset)


_BASE = _base()


class NativeCallable(_BASE or object):
    """An object whose calls go to `entry`: by way of C once `enter` has been told how, else by `__call__`."""

    __slots__ = ("entry",)
    entry: Callable

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if _BASE is not None:
            _field(cls, _FLAGS, ctypes.c_ulong).value |= _HAVE_VECTORCALL

    def __call__(self, /, *args, **keywords):
        return self.entry(*args, **keywords)

    def enter(self, entry: Callable, through: int | None = None) -> None:
        """From now on calls go to `entry`.  `through` is the address of a C function that hands a call to what is in
        the slot, without `__call__`."""
        self.entry = entry
        if through is not None and _BASE is not None and _field(self, ENTRY, ctypes.c_void_p).value == id(entry):
            _field(self, TARGET, ctypes.c_void_p).value = through
