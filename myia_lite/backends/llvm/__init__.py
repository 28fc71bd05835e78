"""Native code for the CPU, through LLVM.

In comes a typed entry graph; each closed graph becomes a function, its local graphs basic blocks, arrays and records
counted heap objects.  Out goes a callable on leaves, and for flat signatures a built-in function that reads its
arguments itself.  Guaranteed: no Python runs inside; nothing leaks, on errors neither; the code holds no mutable state
of its own.
"""

from __future__ import annotations

from ...ir import Graph
from .entry import native_entry, vectorcall
from .lower import LOWERED
from .objects import Form, leaves_of
from .program import Program, asm_text, llvm_text


def compile(graph: Graph, **options) -> Program:
    """`graph` as a function from the list of its parameters' values to the list of its results' leaves."""
    return Program(graph, **options)


__all__ = ["LOWERED", "Form", "Program", "asm_text", "compile", "leaves_of", "llvm_text", "native_entry", "vectorcall"]
