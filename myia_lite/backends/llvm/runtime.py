"""The run-time system, in LLVM IR: counted heap objects, a pool of large buffers, deep stacks.

A call's *context* is a struct on the stack of its entry function:
    0: the id of the error that was raised, or 0      8..40: the values in its message
    40: the first of the live large objects of this call    48: how far down the stack may grow (null: anywhere)
    56: how many small objects are alive    64, 72: the rest of the newest chunk    80: the chunks    88: its size
    96: the free small objects, a list for each size    552: the slots of the results
    560: the clock's number when the call last looked for signals (see `signals.py`)
A heap object has a header:
    0: reference count        8: bytes allocated
    16: `children(obj, &worklist)`, which drops what the object holds, or null
    24, 32: the next live object of the call, and the pointer that points here
    40, 48: length and capacity of a stack

Objects never cross threads within a call: counts are not atomic.  The parts: `heap.py`, `pool.py`, `growing.py`,
`deep.py`, `arenas.py`, `references.py`, `merge_sort.py`, `cores.py`, `signals.py`.
"""

from __future__ import annotations

import ctypes
import functools

from . import arenas, cores, deep, growing, heap, loader, merge_sort, pool, references, signals
from .memory_layout import CONTEXT_CHUNKS, CONTEXT_COUNT, CONTEXT_TICK, CONTEXT_VALUES, SMALL

TEXT = f"""
declare noalias ptr @malloc(i64)
declare noalias ptr @aligned_alloc(i64, i64)
declare noalias ptr @realloc(ptr, i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare ptr @llvm.frameaddress.p0(i32)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare ptr @llvm.stacksave.p0()
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_destroy(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
@PyCFunction_Type = external global i8

{chr(10).join(f"declare void @{f}(ptr)" for f in references.IMPORTS if f not in ("Py_IncRef", "Py_DecRef"))}
{references.text()}
; a call of an object with an entry in its slot: of machine code, at once; the reference keeps that code alive meanwhile
define ptr @rt_vectorcall(ptr %callable, ptr %args, i64 %nargsf, ptr %kw) {{
entry:
  %at = getelementptr i8, ptr %callable, i64 24
  %entry.1 = load ptr, ptr %at
  call void @inc(ptr %entry.1)
  %tp = getelementptr i8, ptr %entry.1, i64 8
  %type = load ptr, ptr %tp
  %builtin = icmp eq ptr %type, @PyCFunction_Type
  br i1 %builtin, label %direct, label %any
direct:
  %defp = getelementptr i8, ptr %entry.1, i64 16
  %def = load ptr, ptr %defp
  %selfp = getelementptr i8, ptr %entry.1, i64 24
  %self = load ptr, ptr %selfp
  %methp = getelementptr i8, ptr %def, i64 8
  %meth = load ptr, ptr %methp
  %nargs = and i64 %nargsf, {(1 << 63) - 1}
  %one = call ptr %meth(ptr %self, ptr %args, i64 %nargs, ptr %kw)
  br label %done
any:
  %two = call ptr @PyObject_Vectorcall(ptr %entry.1, ptr %args, i64 %nargsf, ptr %kw)
  br label %done
done:
  %out = phi ptr [%one, %direct], [%two, %any]
  call void @dec(ptr %entry.1)
  ret ptr %out
}}
"""
TEXT += pool.TEXT + heap.TEXT + growing.TEXT + deep.TEXT + arenas.text(SMALL, CONTEXT_COUNT, CONTEXT_CHUNKS)
EXPORTS = (
    "rt_alloc",
    "rt_free",
    "rt_unique",
    "rt_push_slow",
    "rt_reserve",
    "rt_detach",
    "rt_end",
    "rt_recursive",
    "rt_argsort",
    "rt_dispose",
    "rt_capsule_dispose",
    "rt_vectorcall",
    "rt_shell",
    "rt_arena",
    "rt_freeze",
    "rt_leave",
    "rt_arena_drop",
    "rt_parallel",
    "rt_threads",
    *signals.EXPORTS,
)
PYTHON = ("PyCapsule_GetPointer", "PyObject_Vectorcall", "Py_IncRef", "Py_DecRef", *references.IMPORTS, *signals.PYTHON)
_library = None


def addresses() -> dict[str, int]:
    """The run-time system's functions; compiled on first use, under the compiler's lock."""
    global _library
    with loader.LOCK:
        if _library is None:
            python = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in PYTHON}
            python["PyCFunction_Type"] = id(type(len))
            text = TEXT + merge_sort.TEXT + cores.text(loader.triple())
            text += signals.text(CONTEXT_TICK, CONTEXT_VALUES)
            _library = loader.link(loader.compiled(text, 3), python, EXPORTS, "runtime")
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(_library))  # its threads outlive the interpreter
            set_threads(cores.threads())
            signals.watch(_library["rt_main_thread"])
        return {name: _library[name] for name in EXPORTS}


def set_threads(n: int) -> None:
    """How many threads a large loop may use from now on, the caller among them."""
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_library["rt_threads"])(n)


def dispose(obj: int, by: str = "rt_dispose") -> None:
    _disposer(by)(obj)


@functools.cache
def _disposer(by: str):
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(addresses()[by])
