"""All phases in a row: from a Python function and the types of its arguments to a program, or to its text at a stage.

It stands apart from `api`, so that the compiler is imported when something is compiled, and not before.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager

import numpy as np

from .ad import expand
from .backends import get_backend
from .infer import Inferred, abstract, infer
from .ir import Graph, show, verify
from .ops.define import NUMPY_DTYPES
from .opt import Log, Strategy, default, optimise, simplify, whole_arrays
from .opt import user as user_rules
from .parser import parameter, parse_function

_checked = verify if os.environ.get("MYIA_VERIFY") else (lambda graph: graph)


@contextmanager
def uncollected():
    """Around a compilation, in which millions of objects are made and few of them are garbage before it ends: the
    collector would look through all of them again and again, for a sixth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def inferred(function, args: tuple, keywords: tuple, error_model: str) -> Inferred:
    """The typed program of a call with arguments of these types."""
    found = infer(function, args, parse_function, error_model, keywords)
    _checked(found.graph)
    return found


def differentiated(graph: Graph, by: Strategy | None = None, log: Log | None = None) -> Graph:
    """The program without `grad` nodes.  Before and between differentiations it is simplified, or treated by the user's
    strategy.
    """
    from_user = by is not None and by is not default

    def step(g: Graph) -> Graph:
        return _checked(optimise(g, by if from_user else simplify, log))

    return _checked(expand(step(graph), step))


def optimised(graph: Graph, by: Strategy | None = None, log: Log | None = None, backend: str = "llvm") -> Graph:
    """The program as the back end takes it: differentiated, and treated by its default optimiser or the user's."""
    usual = whole_arrays if backend.startswith("tvm") else default
    return _checked(optimise(differentiated(graph, by, log), by or usual, log))


def text(stage: str, graph: Graph, by: Strategy | None, backend: str = "llvm") -> str:
    """The program at a stage after `parse`; `graph` is what inference made."""
    if stage == "infer":
        return show(graph)
    if stage == "ad":
        return show(differentiated(graph, by))
    graph = optimised(graph, by, backend=backend)
    if stage == "opt":
        return show(graph)
    llvm = get_backend("llvm")
    return llvm.llvm_text(graph) if stage == "llvm" else llvm.asm_text(graph)


def _specialised(function, argument_types) -> Graph | None:
    """The typed graph of a right side of a user's rule; None where a size is not known at compile time."""
    values = []
    for t in argument_types:
        if None in getattr(t, "shape", ()) or not hasattr(t, "dtype"):
            return None
        dtype = np.dtype(NUMPY_DTYPES[t.dtype])
        values.append(np.zeros(getattr(t, "shape", ()), dtype)[() if hasattr(t, "shape") else ...])
    values = [v if isinstance(v, np.ndarray) and v.ndim else v.item() for v in values]
    return infer(function, tuple(map(abstract, values)), parse_function).graph


user_rules.specialise = _specialised

__all__ = [
    "Log",
    "differentiated",
    "inferred",
    "optimised",
    "parameter",
    "parse_function",
    "show",
    "text",
    "uncollected",
]
