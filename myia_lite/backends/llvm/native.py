"""A compiled program: machine code and what it takes to call it from Python, through ctypes.

Nothing here knows of graphs or of LLVM's IR: a program comes from the compiler, or from what one left on disk.
"""

from __future__ import annotations

import ctypes
import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import INTS, Array, Scalar, Type
from .. import exception, note_line
from . import arenas, loader, outside, runtime
from .memory_layout import DATA, FIRST_ERROR, MEMORY_ERROR, NUMPY, OUTSIDE, RECURSION_ERROR


def slots_of(t) -> int:
    if isinstance(t, Array):
        return 1 + t.rank
    if isinstance(t, Scalar) or arenas.escapes(t):
        return 1
    raise TypeError(f"a value of type {t} at the boundary of a program")


@dataclass(frozen=True, eq=False)
class Image:
    """An object file and what it is made for; all of it plain data.

    `long`: may it run long on small arguments?  `symbols` are looked up by `outside`.  `constants` are the arrays that
    the code reads, by symbol.  `errors`: (attributes, dtypes of the values, span) by error id - FIRST_ERROR.
    """

    name: str
    params: tuple[Type, ...]
    results: tuple[Type, ...]
    long: bool
    machine_code: bytes
    symbols: tuple[str, ...]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    errors: list[tuple] = field(default_factory=list)


class Program:
    """The compiled entry graph: `program(leaves)` is the list of its results' leaves."""

    def __init__(self, code: Image, imports: dict[str, int] | None = None, keep: Any = None):
        """`imports`: symbols that live at an address of this process, which `keep` holds."""
        self.code, self.portable, self._keep = code, not imports, keep
        self.params, self.results, self.long = code.params, code.results, code.long
        found = {s: outside.address(s) for s in code.symbols} | (imports or {})
        found |= {s: a.ctypes.data for s, a in code.constants.items()}
        with loader.LOCK:
            self._library = loader.link(code.machine_code, found, ["run"], code.name)
        self.address = self._library["run"]
        self._run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(self.address)
        self._slots = sum(map(slots_of, self.params)), max(sum(map(slots_of, self.results)), 4) + 2

    def __call__(self, leaves) -> list:
        args, results = np.zeros(self._slots[0], np.int64), np.zeros(self._slots[1], np.int64)
        kept = _pack(args, self.params, leaves)
        error = self._run(args.ctypes.data, results.ctypes.data)
        if error:
            self.fail(error, *results[:4].tolist())
        return self._unpack(results, kept)

    def _unpack(self, slots, kept) -> list:
        """`kept`: the arguments' memory, of which records may hold other records' parts."""
        out, at, arena = [], 0, int(slots[sum(map(slots_of, self.results)) + 1])
        for t in self.results:
            if arenas.escapes(t):
                out.append(Record(int(slots[at]), arena, (self, [x for x in kept if isinstance(x, Record)])))
            elif isinstance(t, Array):
                shape = tuple(slots[at + 1 : at + 1 + t.rank].tolist())
                out.append(adopt(int(slots[at]), shape, NUMPY[t.dtype]))
            else:
                out.append(slots[at : at + 1].view(NUMPY[t.dtype])[0])
            at += slots_of(t)
        self.leaked = bool(slots[at])
        return out

    def fail(self, error: int, *values) -> None:
        """Raise the exception that the code noted as `error`; `values` are the bits of those in its message."""
        if error == MEMORY_ERROR:
            raise MemoryError("out of memory in compiled code")
        if error == RECURSION_ERROR:
            raise RecursionError("maximum recursion depth exceeded in compiled code")
        attrs, dtypes, span = self.code.errors[error % OUTSIDE - FIRST_ERROR]
        if error >= OUTSIDE:
            try:
                _raise_again(*values[:3])
            except BaseException as e:
                note_line(e, span)
                raise
        raise exception(attrs, [_from_bits(v, d) for v, d in zip(values, dtypes, strict=False)], span)


# what a context has kept of an exception: ctypes raises what is set when a function of Python's own has returned
_raise_again = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("PyErr_Restore", ctypes.pythonapi)
)


def _from_bits(bits: int, dtype: str):
    return np.array([bits], np.int64).view(NUMPY[dtype])[0].item()


def _pack(slots, types, leaves) -> list:
    """Fill the argument slots; the result keeps their memory alive."""
    at, keep = 0, []
    for t, x in zip(types, leaves, strict=True):
        if isinstance(t, Array):
            a = np.require(x, NUMPY[t.dtype], ["C", "A"])
            if a.ndim != t.rank or any(d is not None and d != n for d, n in zip(t.shape, a.shape, strict=True)):
                raise TypeError(f"an array of shape {a.shape} where {t} is compiled")
            keep.append(a)
            slots[at] = a.ctypes.data
            slots[at + 1 : at + 1 + t.rank] = a.shape
        elif arenas.escapes(t):
            keep.append(x)
            slots[at] = x.address
        elif t.dtype == "bool":
            slots[at] = bool(x)
        elif t.dtype in INTS:
            slots[at] = operator.index(x)
        else:
            slots[at : at + 1].view(NUMPY[t.dtype])[0] = float(x)
        at += slots_of(t)
    return keep


class _Memory:
    """Owns the memory of a result; an array over it keeps it alive."""

    def __init__(self, obj: int, shape, dtype):
        self.obj = obj
        self.__array_interface__ = {"data": (obj + DATA, False), "shape": shape, "typestr": dtype.str, "version": 3}

    def __del__(self):
        runtime.dispose(self.obj)


class Record:
    """A record of a forward pass, to be handed to programs that go on from there.  Nobody writes to it.

    `keep` has to live as long: the program, whose constants it may refer to, and records that it may hold parts of.
    """

    __slots__ = ("address", "arena", "keep", "__weakref__")

    def __init__(self, address: int, arena: int, keep):
        self.address, self.arena, self.keep = address, arena, keep

    def __del__(self):
        runtime.dispose(self.arena, "rt_arena_drop")


def adopt(obj: int, shape: tuple, dtype: np.dtype) -> np.ndarray:
    """The array result in the object `obj`, which it takes over."""
    return np.asarray(_Memory(obj, shape, dtype))
