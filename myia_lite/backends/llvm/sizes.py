"""Sizes, an int where known and an i64 where not; strides, which are products of sizes."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .layout import i64


def known(value):
    """An int for a constant i64."""
    return value.constant if isinstance(value, ir.Constant) else value


def as_value(size):
    return i64(size) if isinstance(size, int) else size


def plus(b: ir.IRBuilder, x, y):
    if isinstance(x, int) and isinstance(y, int):
        return x + y
    if x == 0 or y == 0:
        return y if x == 0 else x
    return b.add(as_value(x), as_value(y), flags=("nsw",))


def times(b: ir.IRBuilder, x, y):
    if isinstance(x, int) and isinstance(y, int):
        return x * y
    for m, n in ((x, y), (y, x)):
        if m == 1 or m == 0:
            return n if m == 1 else 0
    return b.mul(as_value(x), as_value(y), flags=("nsw",))


@dataclass(frozen=True, slots=True)
class Stride:
    """`coefficient` times a product of unknown dims."""

    coefficient: int
    unknown: tuple = ()  # i64 values, by id

    def __mul__(self, size) -> Stride:
        if isinstance(size, int):
            return Stride(self.coefficient * size, self.unknown if size else ())
        return Stride(self.coefficient, tuple(sorted((*self.unknown, size), key=id))) if self.coefficient else self

    def emit(self, b: ir.IRBuilder):
        out = self.coefficient
        for u in self.unknown:
            out = times(b, out, u)
        return out


ZERO, ONE = Stride(0), Stride(1)


def row_major(sizes) -> list[Stride]:
    out = [ONE]
    for d in reversed(sizes[1:]):
        out.append(out[-1] * d)
    return out[::-1][: len(sizes)]
