"""Functions that are loops: powers of integers, and the derivatives of log gamma, which the C library lacks."""

from __future__ import annotations

import math

from scipy.special import zeta
from tvm import tirx

from .code import Cell, Code, const


def power(code: Code, dtype: str, x, exponent):
    """x to a power >= 0 (a negative one counts as 0) wrapping around, and whether it did.

    A square that overflows is used only where the result overflows, too, for it is squared only where more bits follow.
    """
    from .elements import either, mul_overflows, mul_wrapping

    zero, one = const(0, dtype), const(1, dtype)
    base, result = Cell(code, dtype, x), Cell(code, dtype, one)
    left = Cell(code, dtype, either(tirx.GT(exponent, zero), exponent, zero))
    over = Cell(code, "bool", const(False, "bool"))
    with code.loop(tirx.GT(left.peek(), zero)):
        b, r, n = base.get(), result.get(), left.get()
        with code.when(tirx.EQ(tirx.bitwise_and(n, one), one)):
            if dtype == "i64":
                over.set(tirx.Or(over.peek(), mul_overflows(code, dtype, r, b)))
            result.set(mul_wrapping(code, dtype, r, b))
        rest = code.let(tirx.shift_right(n, one))
        left.set(rest)
        with code.when(tirx.GT(rest, zero)):
            if dtype == "i64":
                over.set(tirx.Or(over.peek(), mul_overflows(code, dtype, b, b)))
            base.set(mul_wrapping(code, dtype, b, b))
    return result.get(), over.get()


def polygamma(code: Code, dtype: str, x, n: int):
    """The n-th derivative of digamma: for n = 0 by reflection, recurrence and its asymptotic series, else
    (-1)^(n+1) n! zeta(n + 1, x)."""
    wide = code.let(tirx.Cast("float64", x)) if dtype == "f32" else x
    if n == 0:
        y = _digamma(code, wide)
    else:
        factor = (-1.0) ** (n + 1) * math.factorial(n)
        y = tirx.Mul(_zeta(code, n + 1, wide), const(factor, "f64"))
    return code.let(tirx.Cast("float32", y) if dtype == "f32" else y)


def _c(name, *xs):
    return tirx.call_pure_extern("float64", name, *xs)


def _f(value):
    return const(float(value), "f64")


def _digamma(code, x):
    """psi(x) = psi(1 - x) - pi / tan(pi x) for x < 0; psi(x) = psi(x + 1) - 1 / x up to 12, then the series.

    Bernoulli, B_2k / 2k x^2k.  At a pole, NaN; at 0, an infinity of the sign that SciPy gives.
    """
    from .elements import either

    zero, one = _f(0), _f(1)
    floor = code.let(_c("floor", x))
    left = code.let(tirx.And(tirx.LT(x, zero), tirx.NE(x, floor)))
    part = code.let(tirx.Sub(x, floor))
    reflected = tirx.Div(_f(math.pi), _c("tan", tirx.Mul(_f(math.pi), part)))
    total = Cell(code, "f64", either(left, tirx.Sub(zero, reflected), zero))
    at = Cell(code, "f64", either(left, tirx.Sub(one, x), x))
    with code.loop(tirx.And(tirx.LT(at.peek(), _f(12)), tirx.GT(at.peek(), zero))):
        a = at.get()
        total.set(tirx.Sub(total.peek(), tirx.Div(one, a)))
        at.set(tirx.Add(a, one))
    a = at.get()
    square = code.let(tirx.Div(one, tirx.Mul(a, a)))
    series = zero
    for k, b in reversed(list(enumerate(_bernoulli(8), 1))):
        series = code.let(tirx.Mul(square, tirx.Add(_f(b * math.factorial(2 * k - 1)), series)))
    tail = tirx.Sub(tirx.Sub(_c("log", a), tirx.Div(_f(0.5), a)), series)
    y = code.let(tirx.Add(total.get(), tail))
    pole = either(tirx.LT(x, zero), _f(math.nan), tirx.Div(_f(-1.0), x))
    is_pole = tirx.And(tirx.LE(x, zero), tirx.EQ(x, floor))
    is_pole = tirx.And(is_pole, tirx.GE(x, _f(-1.7976931348623157e308)))
    y = either(tirx.EQ(x, _f(math.inf)), x, either(tirx.LT(x, _f(-1.7976931348623157e308)), _f(math.nan), y))
    return code.let(either(is_pole, pole, y))


def _bernoulli(count: int) -> list[float]:
    """B_2k / (2k)! for k = 1 … count: (-1)^(k+1) 2 zeta(2k) / (2 pi)^2k."""
    return [(-1) ** (k + 1) * 2 * zeta(2 * k) / (2 * math.pi) ** (2 * k) for k in range(1, count + 1)]


def _zeta(code, s: int, q):
    """The sum over k >= 0 of (q + k)^-s.

    For q <= 0, with f = q - floor(q): the sum over all integers, zeta(f) + (-1)^s zeta(1 - f), less the terms left of
    q, (-1)^s zeta(1 - q).
    """
    zero, one = _f(0), _f(1)
    floor = code.let(_c("floor", q))
    part = code.let(tirx.Sub(q, floor))
    out = Cell(code, "f64", zero)

    def left():
        parity = _f((-1.0) ** s)
        others = tirx.Sub(
            _positive_zeta(code, s, code.let(tirx.Sub(one, part))), _positive_zeta(code, s, code.let(tirx.Sub(one, q)))
        )
        out.set(tirx.Add(_positive_zeta(code, s, part), tirx.Mul(parity, others)))
        with code.when(tirx.EQ(part, zero)):
            out.set(_f(math.inf))

    code.choose(tirx.LE(q, zero), left, lambda: out.set(_positive_zeta(code, s, q)))
    return out.get()


def _positive_zeta(code, s: int, q):
    """Terms up to s + 12 one by one, the rest by the Euler-Maclaurin formula."""

    def power_of(a):
        return _c("pow", a, _f(-s))

    at, total = Cell(code, "f64", q), Cell(code, "f64", _f(0))
    with code.loop(tirx.LT(at.peek(), _f(s + 12))):
        a = at.get()
        total.set(tirx.Add(total.peek(), power_of(a)))
        at.set(tirx.Add(a, _f(1)))
    a = at.get()
    p = code.let(power_of(a))
    result = code.let(tirx.Add(tirx.Div(tirx.Mul(a, p), _f(s - 1)), tirx.Mul(_f(0.5), p)))
    rising, term = float(s), code.let(tirx.Div(p, a))
    for k, b in enumerate(_bernoulli(10), 1):
        result = code.let(tirx.Add(result, tirx.Mul(_f(b * rising), term)))
        rising *= (s + 2 * k - 1) * (s + 2 * k)
        term = code.let(tirx.Div(term, tirx.Mul(a, a)))
    return code.let(tirx.Add(total.get(), result))
