"""A checker of derivatives: both modes against differences, and where they part, which input, output and line it is."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .derivatives import float_part, jvp, vjp
from .infer.abstract import record
from .ir import MyiaValueError

MODES = ("fwd", "rev")
ELEMENTS = 1000  # of an array that are looked at one by one, once it is known to be wrong


def check_grads(
    f: Callable,
    args: Sequence,
    order: int = 2,
    modes: Sequence[str] = MODES,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = 1e-3,
) -> None:
    """Compare the derivatives of f at `args` with differences of its values; returns None where they agree.

    order: up to which order; from the second on, each mode is checked on what each mode made of the order below.
    modes: "fwd", "rev" or both.
    atol, rtol: tolerances; 1e-6 unless an argument is a float32, for which 1e-2.
    eps: the step; the differences are of the fourth order in it, and taken in float64.

    Each leaf of floats among the arguments is moved by itself, along a random direction.
    Raises AssertionError that names mode, order, input, output and, where it is one primitive or one rule of a
    `custom_derivative`, the line of the source; MyiaValueError for another mode or order.

    >>> import math
    >>> from myia_lite import check_grads
    >>> check_grads(lambda x, y: math.sin(x) * y, (0.5, 2.0), order=3)
    """
    for mode in modes:
        if mode not in MODES:
            raise MyiaValueError(f"there is no mode {mode!r}", remedy="'fwd' or 'rev'")
    if not isinstance(order, int) or order < 1:
        raise MyiaValueError(f"the order is {order!r}", remedy="1, 2, …")
    args = tuple(args)
    narrow = any(np.asarray(v).dtype in (np.float32, np.complex64) for _, v in floats(args, "args"))
    near = 1e-2 if narrow else 1e-6
    tolerance = {"atol": near if atol is None else atol, "rtol": near if rtol is None else rtol}
    _Check(modes, tolerance, eps, f).run(f, args, order, "")


class _Check:
    def __init__(self, modes, tolerance, eps, f):
        self.modes, self.tolerance, self.eps, self.first = modes, tolerance, eps, f
        self.rng = np.random.default_rng(0)

    def run(self, f, args, order, of: str) -> None:
        """`of` says which derivative f itself is, from the second order on."""
        inputs = floats(args, "args")
        outputs = floats(float_part(f(*args)), "result")
        for k, (name, x) in enumerate(inputs):
            dots = only(args, k, self.direction(x))
            expected = self.difference(f, args, dots)
            if "fwd" in self.modes:
                found = [v for _, v in floats(jvp(f, args, dots)[1], "")]
                for (out, _), y_dot, e in zip(outputs, found, expected, strict=True):
                    if not self.close(y_dot, e):
                        self.fail(f, args, "forward", of, name, out, k, y_dot, e)
            if "rev" in self.modes:
                for j, (out, y) in enumerate(outputs):
                    y_bar = self.direction(y)
                    x_bar = [v for _, v in floats(vjp(f, *args)[1](only(float_part(f(*args)), j, y_bar)), "")][k]
                    (_, x_dot), e = floats(dots, "")[0], inner(y_bar, expected[j])
                    if not self.close(inner(x_bar, x_dot), e):
                        self.fail(f, args, "reverse", of, name, out, k, inner(x_bar, x_dot), e)
        if order == 1:
            return
        dots = mapped(float_part(args), lambda x: self.direction(x))
        bars = mapped(float_part(f(*args)), lambda y: self.direction(y))
        if "fwd" in self.modes:
            self.run(functools.partial(forward_derivative, f, dots), args, order - 1, f"{of}the forward derivative of ")
        if "rev" in self.modes:
            self.run(functools.partial(reverse_derivative, f, bars), args, order - 1, f"{of}the reverse derivative of ")

    def direction(self, x):
        direction = self.rng.normal(size=np.shape(x))
        return like(direction + 1j * self.rng.normal(size=np.shape(x)) if np.iscomplexobj(x) else direction, x)

    def close(self, a, b) -> bool:
        return np.allclose(wide(a), b, equal_nan=True, **self.tolerance)

    def difference(self, f, args, dots) -> list:
        """The derivative of each float of the result along `dots`."""
        point = mapped(args, widened)
        total = None
        for s, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            ys = [wide(v) for _, v in floats(float_part(f(*moved(point, dots, s * self.eps))), "")]
            terms = [weight * y / (12 * self.eps) for y in ys]
            total = terms if total is None else [a + b for a, b in zip(total, terms, strict=True)]
        return total

    def fail(self, f, args, mode, of, name, out, k, found, expected):
        """Raise; first find the element of the input that is off most, and the line."""
        x = floats(args, "")[k][1]
        if np.ndim(x) and np.size(x) <= ELEMENTS:
            worst = -1.0
            for index in np.ndindex(np.shape(x)):
                basis = np.zeros(np.shape(x), x.dtype)
                basis[index] = 1
                dots = only(args, k, basis)
                want = np.concatenate([np.ravel(v) for v in self.difference(f, args, dots)])
                want = want.real if mode == "reverse" else want
                got = np.concatenate([np.ravel(v) for v in self.derivative(f, args, dots, mode)])
                off = np.max(np.abs(got - want), initial=0.0)
                if off > worst:
                    worst, element = off, index
            name += f"[{', '.join(map(str, element))}]"
        lines = [f"{mode} mode of {of}{getattr(self.first, '__name__', 'the function')} is off"]
        lines.append(f"  derivative of {out} by {name}: {text(found)}, by differences {text(expected)}")
        from .locate import wrong_line

        span = wrong_line(self.first, args)
        if span is not None:
            lines.append(span)
        raise AssertionError("\n".join(lines))

    def derivative(self, f, args, dots, mode):
        if mode == "forward":
            return [v for _, v in floats(jvp(f, args, dots)[1], "")]
        out = []
        for j, (_, y) in enumerate(floats(float_part(f(*args)), "")):
            for index in np.ndindex(np.shape(y)):
                basis = np.zeros(np.shape(y))
                basis[index] = 1
                bars = vjp(f, *args)[1](only(float_part(f(*args)), j, like(basis, y)))
                out.append(sum(inner(a, b) for a, b in self.pairs(bars, args, dots)))
        return out

    def pairs(self, bars, args, dots):
        k = next(k for k, v in enumerate(slots(args, dots)) if v is not None)
        yield floats(bars, "")[k][1], slots(args, dots)[k]


def forward_derivative(f, dots, *args):
    return jvp(f, args, dots)[1]


def reverse_derivative(f, bars, *args):
    return vjp(f, *args)[1](bars)


# ---- structures ------------------------------------------------------------------------------------------------------
def parts(value) -> list[tuple[str, Any]] | None:
    """The parts of a structure and how each is written; None of anything else."""
    if isinstance(value, dict):
        return [(f"[{k!r}]", v) for k, v in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f".{k}", v) for k, v in zip(value._fields, value, strict=True)]
    if isinstance(value, (tuple, list)):
        return [(f"[{k}]", v) for k, v in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f".{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value)]
    return None


def is_float(x) -> bool:
    """Is this a float, a complex number, or an array of these?"""
    return isinstance(x, (float, complex, np.inexact)) or isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def floats(value, name: str) -> list[tuple[str, Any]]:
    """The leaves of floats, with the name of each."""
    inside = parts(value)
    if inside is None:
        return [(name, value)] if is_float(value) else []
    return [leaf for key, v in inside for leaf in floats(v, name + key)]


def mapped(value, change):
    """The structure with each leaf of floats changed."""
    inside = parts(value)
    if inside is None:
        return change(value) if is_float(value) else value
    new = [mapped(v, change) for _, v in inside]
    if isinstance(value, dict):
        return dict(zip(value, new, strict=True))
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(new)
    return record(type(value), new)


def only(value, k: int, direction):
    """A direction of a structure: that one at its float leaf number k, None everywhere else."""
    count = itertools.count()
    return mapped(float_part(value), lambda _: direction if next(count) == k else None)


def slots(value, dots) -> list:
    """For each float leaf of a structure what stands in its place in a direction."""
    inside = parts(value)
    if inside is None:
        return [dots] if is_float(value) else []
    return [s for (_, v), (_, d) in zip(inside, parts(dots), strict=True) for s in slots(v, d)]


def moved(value, dots, t: float):
    supply = iter(slots(value, dots))

    def one(x):
        d = next(supply)
        return x if d is None else like(x + t * wide(d), x)

    return mapped(value, one)


def widened(x):
    return x if type(x) in (float, complex) else x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def wide(x) -> np.ndarray:
    """In double precision."""
    return np.asarray(x, complex if np.iscomplexobj(x) else float)


def like(array, x):
    """An array as the kind of float that x is."""
    if isinstance(x, np.ndarray):
        return np.asarray(array, x.dtype)
    return type(x)(array)


def inner(x, y) -> float:
    """The product of a cotangent and a tangent; of complex ones the real part, without a conjugation."""
    return float(np.sum(wide(x) * wide(y)).real)


def text(x) -> str:
    return np.array2string(wide(x), threshold=8, precision=8)
