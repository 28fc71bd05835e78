"""Native code for the CPU, through LLVM.

In comes a typed entry graph; each closed graph becomes a function, its local graphs basic blocks, arrays and records
counted heap objects.  Out goes a callable on leaves, and for flat signatures a built-in function that reads its
arguments itself.  Guaranteed: no Python runs inside; nothing leaks, on errors neither; the code holds no mutable state
of its own.
"""

from __future__ import annotations

import importlib

_WHERE = {
    "LOWERED": "lower",
    "Image": "native",
    "Form": "objects",
    "Program": "native",
    "asm_text": "program",
    "compile": "program",
    "leaves_of": "objects",
    "llvm_text": "program",
    "native_entry": "entry",
    "vectorcall": "entry",
}
__all__ = list(_WHERE)


def __getattr__(name: str):
    """Each is imported when it is first asked for: code from the cache runs without the compiler."""
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
