"""Code for the CPU and for GPUs, through TVM.

In comes a typed entry graph; each closed graph becomes a host function of TVM's tensor IR, its array primitives loop
nests, which on a device are kernels.  Out goes a callable on leaves.  Guaranteed: no Python runs inside; a loop takes
constant stack; what fails frees what it held.  TVM is imported when this back end is first used.
"""

from __future__ import annotations

from functools import lru_cache

from ...ir import Graph, MyiaValueError

VERSION = "0.27.0.post1"


def compile(graph: Graph, target="llvm", **options):
    """`graph` as a function from the list of its parameters' values to the list of its results' leaves."""
    required()
    from .program import Program

    return Program(graph, target, **options)


def export(graph: Graph, path, target="llvm") -> None:
    """Write `graph` as a shared library whose function `run` takes the leaves of the arguments."""
    required()
    from .program import write

    write(graph, path, target)


class At:
    """This back end, for one target."""

    def __init__(self, target: str):
        self.target = target  # and options (`options.py`)

    def compile(self, graph: Graph, **options):
        return compile(graph, self.target, **options)

    def products(self, graph: Graph) -> dict:
        """The products of matrices in a program whose tiles can be chosen, with those they have (`tuning.py`)."""
        required()
        from .build import build
        from .options import parse, target_of
        from .program import LOCK
        from .tuning import wanted

        options = parse(self.target)
        with LOCK, wanted() as found:
            build(graph, target_of(options.target), options=options)
        return found


@lru_cache
def at(target: str) -> At:
    return At(target)


def required() -> None:
    """Raise where TVM is missing."""
    try:
        import tvm
    except ImportError as error:
        raise MyiaValueError(
            f"the backend 'tvm' needs apache-tvm ({error})", remedy=f"pip install 'apache-tvm=={VERSION}'"
        ) from None


__all__ = ["VERSION", "At", "at", "compile", "export", "required"]
