"""From typed graphs to callables.

In comes a closed typed graph without `grad` nodes, before or after optimisation; out goes a function from the list of
the values of its parameters to the list of the leaves of its result.  Guaranteed: all back ends agree with `interp`, in
values (up to rounding) and in the exceptions they raise, and none writes into its arguments.
"""

from __future__ import annotations

import builtins
import importlib
import json
import linecache
import os
import re
from collections.abc import Callable
from typing import Any, Protocol

from ..ir import Graph, MyiaValueError, Span

Leaves = list[Any]  # NumPy arrays, and NumPy scalars for scalars; Python numbers are taken too


class Backend(Protocol):
    """What a module of a back end offers."""

    def compile(self, graph: Graph, **options: Any) -> Callable[[Leaves], Leaves]:
        """A function that runs `graph`.

        Arrays come with the dtype and the rank of the parameters' types and in any layout.  A result may be an argument
        itself; it never is memory of the compiled program.  What the program raises arrives as that exception, with a
        note that names the user's file and line.  The function may be called by several threads at once.
        A record of a forward pass (of type `Residual`) is an object of the back end's own, which shares nothing with
        the arguments; it is an argument of programs of the same back end, and any number of calls may read it at once.
        """


def exception(attrs: dict[str, Any], values, span: Span | None) -> BaseException:
    """The exception of a `guard` or `raise` with these attributes, for `values` as Python numbers."""
    kind, message = attrs["exception"], attrs["message"]
    if isinstance(kind, str):
        kind = getattr(builtins, kind)
    messages = message if isinstance(message, tuple) else () if message is None else (message,)
    e = kind(*(_argument(m, values) for m in messages))
    note_line(e, span)
    return e


def note_line(e: BaseException, span: Span | None) -> None:
    """Add the line of the program to what it raises, once."""
    if span is None:
        return
    source = linecache.getline(span.file, span.line).strip()
    note = f'  File "{span.file}", line {span.line}, in compiled code'
    note = f"{note}\n    {source}" if source else note
    if note not in getattr(e, "__notes__", ()):
        e.add_note(note)


def _argument(message, values):
    if not isinstance(message, str):
        return message
    bare = re.fullmatch(r"\{(\d+)\}", message)
    return values[int(bare[1])] if bare else message.format(*values)


class Kept(Protocol):
    """Code that outlives the process, by key."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, content: bytes) -> bool: ...


kept: Kept | None = None  # the front door sets it
BACKENDS = {
    "interp": "the reference: slow, obviously right",
    "llvm": "native code for the CPU",
    "tvm": "through TVM, for GPUs",
}

PRODUCTS = ("float32", "float16", "bfloat16")  # dtypes that the factors of products of matrices may be rounded to


def expect_backend(name: str) -> None:
    """Raises MyiaValueError where there is no back end of that name."""
    if name.partition(":")[0] not in BACKENDS:
        raise MyiaValueError(f"there is no backend {name!r}", remedy=f"one of {', '.join(map(repr, BACKENDS))}")


def get_backend(name: str) -> Backend:
    """The back end of that name, loaded on first use; "tvm:cuda" is one that compiles for the target "cuda"."""
    expect_backend(name)
    name, _, target = name.partition(":")
    module = importlib.import_module(f"{__name__}.{name}")
    return module.at(target) if target else module


def with_target(
    name: str, target, cuda_graphs: bool = True, products=None, deterministic: bool = False, tuning=None
) -> str:
    """The name of a back end that compiles for a target (a string, or TVM's object) with these options.

    Raises MyiaValueError where the back end has no targets, and for an option that is none.
    """
    given = {"target": target, "cuda_graphs": None if cuda_graphs else False, "products": products}
    given |= {"deterministic": deterministic or None, "tuning": tuning}
    given = {k: v for k, v in given.items() if v is not None}
    if not given:
        return name
    if name != "tvm":
        option = next(iter(given))
        what = {"target": "targets", "cuda_graphs": "CUDA graphs"}.get(option, f"option {option!r}")
        option = "cuda_graphs=False" if option == "cuda_graphs" else f"{option}=…"
        raise MyiaValueError(f"the backend {name!r} has no {what}", remedy=f"{option} goes with backend='tvm'")
    if products not in (None, *PRODUCTS):
        raise MyiaValueError(f"products is {products!r}", remedy=f"one of {', '.join(map(repr, PRODUCTS))}")
    options = "" if cuda_graphs else "graphs=no;"
    options += f"products={products};" if products not in (None, PRODUCTS[0]) else ""
    options += "deterministic=yes;" if deterministic else ""
    if tuning is not None:
        if ";" in (path := os.path.abspath(tuning)):
            raise MyiaValueError(f"tuning is {path!r}", remedy="a path without semicolons")
        options += f"tuning={path};"
    target = "llvm" if target is None else target
    return f"{name}:{options}{target if isinstance(target, str) else json.dumps(_plain(target.export()))}"


def _plain(x):
    """TVM's containers as Python's."""
    if hasattr(x, "items"):
        return {str(k): _plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)) or type(x).__name__ == "Array":
        return [_plain(v) for v in x]
    return x if isinstance(x, (bool, int, float)) else str(x)
