"""LLVM's linker, for object files that are there already: what a program from the cache needs of LLVM.

It goes to the C functions of llvmlite's library by itself: to import `llvmlite.binding`, with the compiler in it, takes
longer than all else at the first call of a second process.  These functions belong to one minor release of llvmlite, as
the textual IR does, and the package asks for just that.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import sys
import threading
from ctypes import POINTER, byref, c_bool, c_char_p, c_size_t, c_uint, c_uint8, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from ... import backends

LOCK = threading.RLock()  # LLVM's contexts are not for concurrent use
OBJECT, PROCESS = 2, 3  # kinds of elements of a library
FILE = {"darwin": "libllvmlite.dylib", "win32": "llvmlite.dll"}.get(sys.platform, "libllvmlite.so")
_names = itertools.count()


class _Element(ctypes.Structure):
    _fields_ = [("kind", c_uint8), ("value", c_char_p), ("length", c_size_t)]


class _Symbol(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("address", c_uint64)]


FUNCTIONS = {  # result, arguments
    "LLVMPY_InitializeNativeTarget": (None, []),
    "LLVMPY_GetHostCPUName": (None, [POINTER(c_char_p)]),
    "LLVMPY_GetHostCPUFeatures": (c_bool, [POINTER(c_char_p)]),
    "LLVMPY_GetDefaultTargetTriple": (None, [POINTER(c_char_p)]),
    "LLVMPY_GetVersionInfo": (c_uint, []),
    "LLVMPY_DisposeString": (None, [c_char_p]),
    "LLVMPY_CreateLLJITCompiler": (c_void_p, [c_void_p, c_bool, c_bool, POINTER(c_char_p)]),
    "LLVMPY_LLJIT_Link": (
        c_void_p,
        [c_void_p, c_char_p, POINTER(_Element), c_size_t, *[POINTER(_Symbol), c_size_t] * 2, POINTER(c_char_p)],
    ),
    "LLVMPY_LLJIT_Dylib_Tracker_Dispose": (c_bool, [c_void_p, POINTER(c_char_p)]),
}


@functools.cache
def _llvm() -> SimpleNamespace:
    """The C functions."""
    library = ctypes.CDLL(str(Path(find_spec("llvmlite").origin).parent / "binding" / FILE))
    found = SimpleNamespace()
    for name, (result, arguments) in FUNCTIONS.items():
        function = library[name]
        function.restype, function.argtypes = result, arguments
        setattr(found, name.removeprefix("LLVMPY_"), function)
    return found


def _text(call) -> str:
    """What a C function writes into its last argument."""
    found = c_char_p()
    call(byref(found))
    text = found.value
    _llvm().DisposeString(found)
    return (text or b"").decode()


@functools.cache
def target() -> tuple[str, str, str]:
    """What decides on machine code beside the program: CPU, its features, LLVM's version."""
    llvm = _llvm()
    features = sorted(_text(llvm.GetHostCPUFeatures).split(","))
    return _text(llvm.GetHostCPUName), ",".join(features), str(llvm.GetVersionInfo())


@functools.cache
def triple() -> str:
    """That of this computer."""
    return _text(_llvm().GetDefaultTargetTriple)


@functools.cache
def _linker() -> int:
    llvm, error = _llvm(), c_char_p()
    llvm.InitializeNativeTarget()
    found = llvm.CreateLLJITCompiler(None, False, False, byref(error))
    if not found:
        raise RuntimeError((error.value or b"").decode())
    return found


class Library:
    """A linked object file: a mapping from exported names to addresses.  The code lives as long as it does."""

    def __init__(self, tracker: int, addresses: dict[str, int]):
        self._tracker, self._addresses, self._dispose = tracker, addresses, _llvm().LLJIT_Dylib_Tracker_Dispose

    def __getitem__(self, name: str) -> int:
        return self._addresses[name]

    def __del__(self, finalizing=sys.is_finalizing):
        if not finalizing():
            self._dispose(self._tracker, byref(c_char_p()))


def link(code: bytes, imports: dict[str, int], exports, name: str) -> Library:
    """An object file in this process."""
    elements = (_Element * 2)((OBJECT, code, len(code)), (PROCESS, b"", 0))
    taken = (_Symbol * len(imports))(*((s.encode(), address) for s, address in imports.items()))
    given = (_Symbol * len(exports))(*((s.encode(), 0) for s in exports))
    error, unique = c_char_p(), f"{name}.{next(_names)}".encode()
    tracker = _llvm().LLJIT_Link(
        _linker(), unique, elements, len(elements), taken, len(taken), given, len(given), byref(error)
    )
    if not tracker:
        text = (error.value or b"").decode()
        _llvm().DisposeString(error)
        raise RuntimeError(text)
    return Library(tracker, {s: given[k].address for k, s in enumerate(exports)})


def compiled(text: str, level: int) -> bytes:
    """The object file of a text that stays the same from process to process: kept, where there is a place for it."""
    if backends.kept is None:
        return _made(text, level)
    cpu, features, version = target()
    key = hashlib.sha256(f"{version} {cpu} {features} {level} {text}".encode()).hexdigest()
    found = backends.kept.read(key)
    if found is None:
        found = _made(text, level)
        backends.kept.write(key, found)
    return found


def _made(text: str, level: int) -> bytes:
    from . import jit

    return jit.emit(jit.optimise(jit.parse(text), level))
