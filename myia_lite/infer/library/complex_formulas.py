"""Complex functions in real arithmetic: for z = x + iy the real and the imaginary part of f(z).

The arguments are float nodes; the formulas are written with their operators, as derivative rules are, inside
`with mathematics(ctx)`.  Derivatives follow from those of the real functions, so each formula is smooth wherever f is:
choices are made by `select` between formulas that agree, never by `abs` or `max`, and what is not selected is finite.
Zeros keep their signs, which say on which side of a branch cut z lies.
"""

from __future__ import annotations

import math
from contextlib import contextmanager

from ...ir import Builder, Constant, Scalar
from ...ops import elementwise as E


@contextmanager
def mathematics(ctx):
    """Operators between nodes, and primitives called as functions, emit into `ctx` for a while."""
    Builder.__enter__(ctx)
    try:
        yield
    finally:
        Builder.__exit__(ctx)


def _dtype(x):
    return Scalar(x.type.dtype)


def _nonzero(x):
    return E.select(E.eq(x, 0.0), 1.0, x)


def _sign(x):
    """1 or -1: the sign, that of zeros included."""
    return E.copysign(Constant(1.0, _dtype(x)), x)


# ---- arithmetic ------------------------------------------------------------------------------------------------------
def add(x, y, c, d):
    return x + c, y + d


def sub(x, y, c, d):
    return x - c, y - d


def mul(x, y, c, d):
    return x * c - y * d, x * d + y * c


def div(x, y, c, d):
    """By the larger part of the divisor (Smith 1962), as CPython and NumPy do: no intermediate overflow."""
    wide = E.ge(c * _sign(c), d * _sign(d))
    large, small = E.select(wide, c, d), E.select(wide, d, c)
    ratio = small / _nonzero(large)
    scale = large + small * ratio
    re = E.select(wide, x + y * ratio, x * ratio + y) / scale
    im = E.select(wide, y - x * ratio, y * ratio - x) / scale
    return re, im


def neg(x, y):
    return -x, -y


def conj(x, y):
    return x, -y


def square(x, y):
    return mul(x, y, x, y)


def reciprocal(x, y):
    """1 / z as NumPy computes it: at 0 NaN."""
    wide = E.gt(x * _sign(x), y * _sign(y))
    large, small = E.select(wide, x, y), E.select(wide, y, x)
    ratio = small / large
    scale = large + small * ratio
    return E.select(wide, 1.0, ratio) / scale, -(E.select(wide, ratio, 1.0) / scale)


def sign(x, y):
    """z / |z|, and 0 at 0."""
    r = _nonzero(E.hypot(x, y))
    return x / r, y / r


# ---- powers ----------------------------------------------------------------------------------------------------------
def integer_power(x, y, n: int):
    """z ** n by repeated multiplication."""
    one, zero = (Constant(c, _dtype(x)) for c in (1.0, 0.0))
    out, power, m = None, (x, y), abs(n)
    while m:
        if m & 1:
            out = power if out is None else mul(*out, *power)
        m >>= 1
        if m:
            power = mul(*power, *power)
    out = out or (one, zero)
    return div(one, zero, *out) if n < 0 else out


def power(x, y, c, d):
    """z ** (c + id) through the polar form.  At z = 0 it is 1 for the exponent 0, else 0 where c > 0, else NaN."""
    one, zero, nan = (Constant(v, _dtype(x)) for v in (1.0, 0.0, math.nan))
    origin = E.bit_and(E.eq(x, 0.0), E.eq(y, 0.0))
    x, y = E.select(origin, one, x), E.select(origin, zero, y)
    r, angle = E.hypot(x, y), E.atan2(y, x)
    length, phase = E.pow(r, c), angle * c
    if not (isinstance(d, Constant) and d.value == 0):
        length, phase = length * E.exp(-(angle * d)), phase + d * E.log(r)
    nothing = E.bit_and(E.eq(c, 0.0), E.eq(d, 0.0))
    at_origin = E.select(nothing, one, E.select(E.gt(c, 0.0), zero, nan))
    beside = E.select(E.bit_or(nothing, E.gt(c, 0.0)), zero, nan)
    return E.select(origin, at_origin, length * E.cos(phase)), E.select(origin, beside, length * E.sin(phase))


def power_of_ints(x, y, n):
    """z ** n for an int node n that only the running program knows: by multiplication up to 100, as CPython does."""
    one, zero = (Constant(c, _dtype(x)) for c in (1.0, 0.0))
    size = E.abs(n)
    few = E.le(size, 100)
    m = E.select(few, size, 0)
    out, factor = (one, zero), (x, y)
    for bit in range(7):
        taken = E.eq(E.bit_and(E.shift_right(m, bit), 1), 1)
        if bit:
            used = E.ge(m, 1 << bit)  # what is not used must not overflow
            factor = (E.select(used, factor[0], one), E.select(used, factor[1], zero))
            factor = mul(*factor, *factor)
        longer = mul(*out, *factor)
        out = (E.select(taken, longer[0], out[0]), E.select(taken, longer[1], out[1]))
    negative = E.lt(n, 0)
    under = E.select(negative, out[0], one), E.select(negative, out[1], zero)
    inverse = div(one, zero, *under)
    out = E.select(negative, inverse[0], out[0]), E.select(negative, inverse[1], out[1])
    polar = power(x, y, E.cast(n, dtype=x.type.dtype), zero)
    return E.select(few, out[0], polar[0]), E.select(few, out[1], polar[1])


def sqrt(x, y):
    """The root with non-negative real part; below the negative axis (y = -0.0 included) its imaginary part is < 0."""
    size = E.select(E.ge(x, 0.0), x, -x)
    t = E.sqrt(0.5 * (size + E.hypot(x, y)))
    u = E.select(E.isinf(y), y, y / (2.0 * _nonzero(t)))
    right, s = E.ge(x, 0.0), _sign(y)
    return E.select(right, t, s * u), E.select(right, u, s * t)


# ---- exponential and logarithm ---------------------------------------------------------------------------------------
def _times(large, small):
    """large * small, and where that is inf * 0 a zero: on an axis, beyond the range of exp."""
    axis = E.bit_and(E.isinf(large), E.eq(small, 0.0))
    return E.select(axis, _sign(large), large) * small


def exp(x, y):
    r = E.exp(x)
    return r * E.cos(y), _times(r, E.sin(y))


def exp2(x, y):
    return exp(x * math.log(2.0), y * math.log(2.0))


def expm1(x, y):
    half = E.sin(0.5 * y)
    return E.expm1(x) * E.cos(y) - 2.0 * half * half, E.exp(x) * E.sin(y)


def log(x, y):
    return E.log(E.hypot(x, y)), E.atan2(y, x)


def _log_to(base):
    def scaled(x, y):
        re, im = log(x, y)
        return re * (1.0 / math.log(base)), im * (1.0 / math.log(base))

    return scaled


log2, log10 = _log_to(2.0), _log_to(10.0)


def log1p(x, y):
    """Around 0 by the real log1p of |1 + z| ** 2 - 1."""
    near = E.lt(E.hypot(x, y), 0.5)
    excess = E.select(near, x * (x + 2.0) + y * y, 0.0)
    return E.select(near, 0.5 * E.log1p(excess), E.log(E.hypot(x + 1.0, y))), E.atan2(y, x + 1.0)


# ---- circular and hyperbolic functions -------------------------------------------------------------------------------
def sin(x, y):
    return _times(E.cosh(y), E.sin(x)), E.cos(x) * E.sinh(y)


def cos(x, y):
    return E.cos(x) * E.cosh(y), -_times(E.sinh(y), E.sin(x))


def sinh(x, y):
    return E.sinh(x) * E.cos(y), _times(E.cosh(x), E.sin(y))


def cosh(x, y):
    return E.cosh(x) * E.cos(y), _times(E.sinh(x), E.sin(y))


def tanh(x, y):
    """From tanh(x) and tan(y); 1 - tanh(x) ** 2 by the exponential that does not overflow."""
    h, t = E.tanh(x), E.tan(y)
    e = E.exp(-2.0 * (x * _sign(x)))
    sech2 = 4.0 * e / ((1.0 + e) * (1.0 + e))
    below = 1.0 + (h * t) * (h * t)
    return h * (1.0 + t * t) / below, t * sech2 / below


def turned(f):
    """z -> -i f(iz)."""

    def rotated(x, y):
        re, im = f(-y, x)
        return im, -re

    return rotated


tan = turned(tanh)


# ---- inverse functions (Kahan, "Branch cuts for complex elementary functions", 1987) ---------------------------------
def asin(x, y):
    a, b = sqrt(1.0 - x, -y)
    c, d = sqrt(1.0 + x, y)
    return E.atan2(x, a * c - b * d), E.asinh(a * d - b * c)


def acos(x, y):
    a, b = sqrt(1.0 - x, -y)
    c, d = sqrt(1.0 + x, y)
    return 2.0 * E.atan2(a, c), E.asinh(c * b - d * a)


def acosh(x, y):
    a, b = sqrt(x - 1.0, y)
    c, d = sqrt(x + 1.0, y)
    return E.asinh(a * c + b * d), 2.0 * E.atan2(b, c)


def atanh(x, y):
    near = (1.0 - x) * (1.0 - x) + y * y
    return 0.25 * E.log1p(4.0 * x / near), 0.5 * E.atan2(2.0 * y, (1.0 - x) * (1.0 + x) - y * y)


asinh = turned(asin)
atan = turned(atanh)
