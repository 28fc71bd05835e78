"""Results in arrays of the caller's: `f(x, out=a)`.

`out` has the structure of the result, with None in the place of what is to be made anew: of numbers, always.  This is
the general way, by a copy; the native entry has the program write into arrays that are C-contiguous and share no memory
with an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .infer.abstract import field_names, record
from .infer.structures import Dyn, Known, Tree
from .ir import Array, MyiaTypeError, MyiaValueError
from .ops.define import NUMPY_DTYPES

COMPLEX = {"f32": np.complex64, "f64": np.complex128}


def placed(template, out, run: Callable[[], object]):
    """The result of `run()`, with the arrays in `out` filled and put in the place of those like them.

    What can be checked before the run is.
    """
    arrays = list(_arrays(template, out, "out"))
    for k, (name, a, _) in enumerate(arrays):
        for other, b, _ in arrays[:k]:
            if np.may_share_memory(a, b):
                raise MyiaValueError(f"{other} and {name} share memory", remedy="pass an array for each result")
    result = run()
    for name, a, path in arrays:
        value = result
        for step in path:
            value = getattr(value, step.name) if isinstance(step, _Field) else value[step]
        _check_shape(name, a, value.shape)
        np.copyto(a, value)
    return _replaced(template, result, out)


class _Field:
    """A step from a record to a field of it."""

    def __init__(self, name: str):
        self.name = name


def _arrays(t, out, name: str, path: tuple = ()) -> Iterator[tuple]:
    """(name, array, way from the result to its like) for each array in `out`, which must fit the template."""
    if out is None:
        return
    dtype = _dtype(t)
    if dtype is None and isinstance(t, Tree) and t.shape[0] in ("sequence", "mapping", "record"):
        for item, part, label, step in _items(t, out, name):
            yield from _arrays(item, part, label, (*path, step))
        return
    if dtype is None:
        raise MyiaTypeError(
            f"{name} stands for a result that is no array", remedy="None in this place: it is made anew"
        )
    if not isinstance(out, np.ndarray):
        raise MyiaTypeError(f"{name} is of type {type(out).__name__}, not an array", remedy="an array, or None")
    if out.dtype != dtype:
        raise MyiaTypeError(
            f"{name} has dtype {out.dtype}, the result {np.dtype(dtype)}", remedy="an array of that dtype"
        )
    if not out.flags.writeable:
        raise MyiaValueError(f"{name} is read-only", remedy="an array that can be written to")
    shape = t.items[0].type.shape if isinstance(t, Tree) else t.type.shape
    if None not in shape:
        _check_shape(name, out, shape)
    yield name, out, path


def _check_shape(name: str, out, shape) -> None:
    if out.shape != tuple(shape):
        raise MyiaValueError(
            f"{name} has shape {out.shape}, the result {tuple(shape)}", remedy="an array of that shape"
        )


def _dtype(t):
    """The NumPy type of an array's elements; None for what is no array."""
    if isinstance(t, Dyn) and isinstance(t.type, Array):
        return NUMPY_DTYPES[t.type.dtype]
    if isinstance(t, Tree) and t.shape[0] == "complex" and isinstance(t.items[0], Dyn):
        part = t.items[0].type
        return COMPLEX[part.dtype] if isinstance(part, Array) else None
    return None


def _items(t: Tree, out, name: str) -> list[tuple]:
    """(template, part of `out`, its name, step to it) for each item of a structure."""
    kind, what, *_ = t.shape
    if kind == "mapping":
        fits, steps = type(out) is dict and tuple(out) == what, what
        said = f"a dict with the keys {', '.join(map(repr, what))}"
    elif kind == "record":
        fits, steps, said = type(out) is what, [_Field(f) for f in field_names(what)], f"a {what.__name__}"
    else:
        fits = type(out) is what and len(out) == len(t.items)
        steps, said = range(len(t.items)), f"a {what.__name__} of {len(t.items)}"
    if not fits:
        raise MyiaTypeError(f"{name} is of type {type(out).__name__}", remedy=f"{said}, as the result, or None")
    if kind == "record":
        return [(i, getattr(out, s.name), f"{name}.{s.name}", s) for i, s in zip(t.items, steps, strict=True)]
    return [(i, out[s], f"{name}[{s!r}]", s) for i, s in zip(t.items, steps, strict=True)]


def _replaced(t, result, out):
    """The result with the arrays of `out` in it."""
    if out is None or isinstance(t, Known):
        return result
    if _dtype(t) is not None:
        return out
    kind, what, *_ = t.shape
    if kind == "record":
        items = [
            _replaced(i, getattr(result, f), getattr(out, f)) for i, f in zip(t.items, field_names(what), strict=True)
        ]
        return record(what, items)
    if kind == "mapping":
        return {k: _replaced(i, result[k], out[k]) for k, i in zip(what, t.items, strict=True)}
    return what([_replaced(i, r, o) for i, r, o in zip(t.items, result, out, strict=True)])
