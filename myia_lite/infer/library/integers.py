"""Functions of ints that are algorithms rather than primitives, written in the language that is compiled.

Intermediate results stay within 64 bits wherever the result does; a larger result is an OverflowError.
"""

from __future__ import annotations

import math

from ...ir import INTS, MyiaValueError
from ..values import Leaf, Static
from .dtypes import cast, is_scalar
from .registry import describe, elaborates, fixed, is_fixed

LARGEST_ROOT = 3037000499  # the square root of 2 ** 63 - 1


def gcd2(a: int, b: int) -> int:
    while b != 0:
        a, b = b, a % b
    return abs(a)


def gcd(*integers: int) -> int:
    out = 0
    for n in integers:
        out = gcd2(out, n)
    return out


def lcm(*integers: int) -> int:
    out = 1
    for n in integers:
        out = abs(out // gcd2(out, n) * n) if n != 0 else 0
        if out == 0:
            return 0
    return out


def isqrt(n: int) -> int:
    if n < 0:
        raise ValueError("isqrt() argument must be nonnegative")
    root = min(int(math.sqrt(n)), LARGEST_ROOT)
    while root * root > n:
        root -= 1
    while root < LARGEST_ROOT and (root + 1) * (root + 1) <= n:
        root += 1
    return root


def factorial(n: int) -> int:
    if n < 0:
        raise ValueError("factorial() not defined for negative values")
    out = 1
    for k in range(2, n + 1):
        out *= k
    return out


def perm(n: int, k: int) -> int:
    if n < 0:
        raise ValueError("n must be a non-negative integer")
    if k < 0:
        raise ValueError("k must be a non-negative integer")
    if k > n:
        return 0
    out = 1
    for j in range(k):
        out *= n - j
    return out


def comb(n: int, k: int) -> int:
    if n < 0:
        raise ValueError("n must be a non-negative integer")
    if k < 0:
        raise ValueError("k must be a non-negative integer")
    if k > n:
        return 0
    out = 1
    for j in range(1, min(k, n - k) + 1):
        common = gcd2(out, j)
        out = out // common * ((n - j + 1) // (j // common))
    return out


def product_modulo(a: int, b: int, m: int) -> int:
    """a * b % m of 0 <= a, b < m."""
    if m <= LARGEST_ROOT:
        return a * b % m
    out = 0
    while b > 0:
        if b % 2 == 1:
            out = out - (m - a) if out >= m - a else out + a
        a = a - (m - a) if a >= m - a else a + a
        b //= 2
    return out


def inverse_modulo(a: int, m: int) -> int:
    """x with a * x % m == 1 % m, of 0 <= a < m."""
    x, next_x, r, next_r = 1, 0, a, m
    while next_r != 0:
        q = r // next_r
        x, next_x = next_x, x - q * next_x
        r, next_r = next_r, r - q * next_r
    if r != 1:
        raise ValueError("base is not invertible for the given modulus")
    return x % m


def power_modulo(base: int, exp: int, mod: int) -> int:
    if mod == 0:
        raise ValueError("pow() 3rd argument cannot be 0")
    m = abs(mod)
    base %= m
    out = 1 % m
    if exp < 0:
        base = out = inverse_modulo(base, m)
        exp = -(exp + 1)  # one factor fewer: -exp might not fit
    while exp > 0:
        if exp % 2 == 1:
            out = product_modulo(out, base, m)
        base = product_modulo(base, base, m)
        exp //= 2
    return out + mod if mod < 0 and out > 0 else out


def _defined(function, ours):
    """`ours` as the meaning of `function`; ints known at compile time give a constant."""

    def elaborate(ctx, *args):
        if all(map(is_fixed, args)):
            try:
                return ctx.const(function(*(fixed(ctx, v, "an argument") for v in args)))
            except ValueError as error:
                ctx.error(str(error), "pass ints in the function's domain", cls=MyiaValueError)
            except TypeError as error:
                ctx.error(str(error), "pass ints")
        if function is math.perm and len(args) == 1:
            return ctx.call(Static(factorial), args)
        return ctx.call(Static(ours), [integer(ctx, v) for v in args])

    elaborates(function)(elaborate)


def integer(ctx, v) -> Leaf:
    """An argument as a Python int."""
    if not (is_scalar(v) and v.type.dtype in (*INTS, "bool")):
        ctx.error(f"'{describe(v)}' object cannot be interpreted as an integer", "convert it with int()")
    return ctx.leaf(cast(ctx, v.node, "i64"), py=True)


for _ours in (factorial, comb, perm, gcd, lcm, isqrt):
    _defined(getattr(math, _ours.__name__), _ours)
