"""Inference: in come surface graphs and the abstract types of arguments, out go typed, monomorphic graphs.

It walks the program once with abstract values, and finds types, shapes and constants while it emits typed nodes;
nothing after it recomputes a type.  Guaranteed: what comes out passes `ir.verify`, or the user's program is refused
at a source line.
"""

from .abstract import AtAPoint, abstract, leaves, rebuild

__all__ = ["AtAPoint", "Inferred", "abstract", "infer", "leaves", "rebuild"]


def __getattr__(name: str):
    """The engine is imported when it is first asked for: the boundary, which every call needs, does without it."""
    if name in ("Inferred", "infer"):
        from . import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
