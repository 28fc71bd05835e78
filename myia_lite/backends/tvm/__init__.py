"""Code for the CPU and for GPUs, through TVM.

In comes a typed entry graph; each closed graph becomes a host function of TVM's tensor IR, its array primitives loop
nests, which on a device are kernels.  Out goes a callable on leaves.  Guaranteed: no Python runs inside; a loop takes
constant stack; what fails frees what it held.  TVM is imported when this back end is first used.
"""

from __future__ import annotations

from ...ir import Graph, MyiaValueError

VERSION = "0.27.0.post1"


def compile(graph: Graph, target="llvm", **options):
    """`graph` as a function from the list of its parameters' values to the list of its results' leaves."""
    required()
    from .program import Program

    return Program(graph, target, **options)


def required() -> None:
    """Raise where TVM is missing."""
    try:
        import tvm  # noqa: F401
    except ImportError as error:
        raise MyiaValueError(
            f"the backend 'tvm' needs apache-tvm ({error})", remedy=f"pip install 'apache-tvm=={VERSION}'"
        ) from None


__all__ = ["VERSION", "compile", "required"]
