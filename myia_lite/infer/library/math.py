"""The module `math`: on Python floats, with CPython's ValueError and OverflowError written out as guards.

`error_model="numpy"` leaves the guards out.  Whatever a function takes is made a Python float first, as CPython does.
"""

from __future__ import annotations

import math

from ...ir import MyiaValueError
from ...ops import elementwise as E
from ..values import Leaf
from . import numbers
from .dtypes import cast, truncated
from .numbers import FLOAT_DIV, finite, integral, nonzero, scalar_node
from .operators import node_of_fact
from .registry import elaborates, fixed, require
from .sequences import items
from .sizes import both, either, fact, negated

DOMAIN = "math domain error"
RANGE = "math range error"


def real(ctx, x, name):
    """The f64 node of an argument."""
    return cast(ctx, scalar_node(ctx, x, f"math.{name}()"), "f64")


def _python(ctx, node) -> Leaf:
    return ctx.leaf(node, py=True)


def _domain(ctx, ok) -> None:
    require(ctx, "ValueError", DOMAIN, ok)


def _checked(ctx) -> bool:
    return ctx.error_model == "python"


def _not(test, bound):
    """The argument does not pass the test; NaN never does, and is let through."""
    return lambda ctx, x: negated(ctx, fact(ctx.emit(test, x, bound)))


def _finite_or_nan(ctx, x):
    return negated(ctx, fact(ctx.emit(E.isinf, x)))


def _within(test):
    """Of |x|."""
    return lambda ctx, x: negated(ctx, fact(ctx.emit(test, ctx.emit(E.abs, x), 1.0)))


def _define(name, prim, domain=None, overflows=False):
    def elaborate(ctx, x, /):
        node = real(ctx, x, name)
        if domain is not None and _checked(ctx):
            _domain(ctx, domain(ctx, node))
        out = ctx.emit(prim, node)
        if overflows and _checked(ctx):
            numbers.overflow_checked(ctx, out, node, message=RANGE)
        return _python(ctx, out)

    elaborates(getattr(math, name))(elaborate)


_define("sqrt", E.sqrt, _not(E.lt, 0.0))
_define("cbrt", E.cbrt)
_define("exp", E.exp, overflows=True)
_define("exp2", E.exp2, overflows=True)
_define("expm1", E.expm1, overflows=True)
_define("log2", E.log2, _not(E.le, 0.0))
_define("log10", E.log10, _not(E.le, 0.0))
_define("log1p", E.log1p, _not(E.le, -1.0))
_define("sin", E.sin, _finite_or_nan)
_define("cos", E.cos, _finite_or_nan)
_define("tan", E.tan, _finite_or_nan)
_define("asin", E.asin, _within(E.gt))
_define("acos", E.acos, _within(E.gt))
_define("atan", E.atan)
_define("sinh", E.sinh, overflows=True)
_define("cosh", E.cosh, overflows=True)
_define("tanh", E.tanh)
_define("asinh", E.asinh)
_define("acosh", E.acosh, _not(E.lt, 1.0))
_define("atanh", E.atanh, _within(E.ge))
_define("erf", E.erf)
_define("erfc", E.erfc)
_define("fabs", E.abs)


def _pole(ctx, x):
    """0, -1, -2, …"""
    return both(ctx, fact(ctx.emit(E.le, x, 0.0)), integral(ctx, x))


_define("gamma", E.gamma, lambda ctx, x: negated(ctx, _pole(ctx, x)), overflows=True)


@elaborates(math.lgamma)
def lgamma(ctx, x, /):
    node = real(ctx, x, "lgamma")
    infinite = fact(ctx.emit(E.isinf, node))
    if _checked(ctx):
        _domain(ctx, either(ctx, negated(ctx, _pole(ctx, node)), infinite))
    # of -inf it is inf in C, and -inf in SciPy
    out = ctx.emit(E.lgamma, node)
    out = ctx.emit(E.select, node_of_fact(ctx, infinite), ctx.emit(E.abs, node), out)
    return _python(ctx, numbers.overflow_checked(ctx, out, node, message=RANGE) if _checked(ctx) else out)


@elaborates(math.log)
def log(ctx, x, base=None, /):
    node = real(ctx, x, "log")
    if _checked(ctx):
        _domain(ctx, _not(E.le, 0.0)(ctx, node))
    out = ctx.emit(E.log, node)
    if base is None:
        return _python(ctx, out)
    below = real(ctx, base, "log")
    if _checked(ctx):
        _domain(ctx, _not(E.le, 0.0)(ctx, below))
    below = ctx.emit(E.log, below)
    if _checked(ctx):
        require(ctx, "ZeroDivisionError", FLOAT_DIV, nonzero(ctx, below))
    return _python(ctx, ctx.emit(E.div, out, below))


@elaborates(math.pow)
def pow_(ctx, x, y, /):
    a, b = real(ctx, x, "pow"), real(ctx, y, "pow")
    if not _checked(ctx):
        return _python(ctx, numbers.raw_power(ctx, a, b))
    negative = fact(ctx.emit(E.lt, a, 0.0))
    no_root = both(ctx, both(ctx, negative, negated(ctx, integral(ctx, b))), both(ctx, finite(ctx, a), finite(ctx, b)))
    infinite = both(ctx, negated(ctx, nonzero(ctx, a)), both(ctx, fact(ctx.emit(E.lt, b, 0.0)), finite(ctx, b)))
    _domain(ctx, negated(ctx, either(ctx, no_root, infinite)))
    if fact(ctx.emit(E.eq, b, 0.0)) is True:
        return ctx.const(1.0)
    out = numbers.raw_power(ctx, a, b)
    if out is not a:
        # an infinity among the arguments, and 0 to the power -inf, are no overflow
        numbers.overflow_checked(ctx, out, a, b, message=RANGE)
    return _python(ctx, out)


def _remainder_domain(ctx, a, b) -> None:
    """x infinite, or y = 0, with no NaN beside it."""
    bad = either(ctx, fact(ctx.emit(E.isinf, a)), negated(ctx, nonzero(ctx, b)))
    some_nan = either(ctx, fact(ctx.emit(E.isnan, a)), fact(ctx.emit(E.isnan, b)))
    _domain(ctx, either(ctx, some_nan, negated(ctx, bad)))


@elaborates(math.fmod)
def fmod(ctx, x, y, /):
    a, b = real(ctx, x, "fmod"), real(ctx, y, "fmod")
    if _checked(ctx):
        _remainder_domain(ctx, a, b)
    return _python(ctx, ctx.emit(E.fmod, a, b))


@elaborates(math.remainder)
def remainder(ctx, x, y, /):
    """IEEE: x - n * y for the whole number n nearest to x / y, ties to even; each step is exact."""
    emit = ctx.emit
    a, b = real(ctx, x, "remainder"), real(ctx, y, "remainder")
    if _checked(ctx):
        _remainder_domain(ctx, a, b)
    size, step = emit(E.abs, a), emit(E.abs, b)
    low = emit(E.fmod, size, step)
    high = emit(E.sub, step, low)
    tie = emit(E.sub, low, emit(E.mul, 2.0, emit(E.fmod, emit(E.mul, 0.5, emit(E.sub, size, low)), step)))
    near = emit(E.select, emit(E.lt, low, high), low, emit(E.select, emit(E.gt, low, high), emit(E.neg, high), tie))
    out = emit(E.mul, emit(E.copysign, 1.0, a), near)
    return _python(ctx, emit(E.select, emit(E.isinf, b), a, out))


@elaborates(math.atan2)
def atan2(ctx, y, x, /):
    return _python(ctx, ctx.emit(E.atan2, real(ctx, y, "atan2"), real(ctx, x, "atan2")))


@elaborates(math.copysign)
def copysign(ctx, x, y, /):
    return _python(ctx, ctx.emit(E.copysign, real(ctx, x, "copysign"), real(ctx, y, "copysign")))


def _length(ctx, nodes) -> Leaf:
    """The Euclidean norm of some floats."""
    if not nodes:
        return ctx.const(0.0)
    out = nodes[0] if len(nodes) > 1 else ctx.emit(E.abs, nodes[0])
    for x in nodes[1:]:
        out = ctx.emit(E.hypot, out, x)
    return _python(ctx, out)


@elaborates(math.hypot)
def hypot(ctx, *coordinates):
    return _length(ctx, [real(ctx, x, "hypot") for x in coordinates])


@elaborates(math.dist)
def dist(ctx, p, q, /):
    p, q = (items(ctx, v, "math.dist()") for v in (p, q))
    if len(p) != len(q):
        ctx.error(
            "both points must have the same number of dimensions", "pass points of one length", cls=MyiaValueError
        )
    pairs = [(real(ctx, x, "dist"), real(ctx, y, "dist")) for x, y in zip(p, q, strict=True)]
    return _length(ctx, [ctx.emit(E.sub, x, y) for x, y in pairs])


def _to_int(name, prim):
    def elaborate(ctx, x, /):
        node = scalar_node(ctx, x, f"math.{name}()")
        if node.type.dtype not in ("f32", "f64"):
            return _python(ctx, cast(ctx, node, "i64"))
        return _python(ctx, truncated(ctx, ctx.emit(prim, node)))

    elaborates(getattr(math, name))(elaborate)


_to_int("floor", E.floor)
_to_int("ceil", E.ceil)
_to_int("trunc", E.trunc)


def _test(name, prim):
    elaborates(getattr(math, name))(lambda ctx, x, /: _python(ctx, ctx.emit(prim, real(ctx, x, name))))


_test("isnan", E.isnan)
_test("isinf", E.isinf)
_test("isfinite", E.isfinite)


def _scaled(name, factor):
    elaborates(getattr(math, name))(lambda ctx, x, /: _python(ctx, ctx.emit(E.mul, real(ctx, x, name), factor)))


_scaled("radians", math.pi / 180)
_scaled("degrees", 180 / math.pi)


@elaborates(math.isclose)
def isclose(ctx, a, b, *, rel_tol=1e-09, abs_tol=0.0):
    x, y = real(ctx, a, "isclose"), real(ctx, b, "isclose")
    relative, absolute = (
        ctx.const(v).node if isinstance(v, float) else real(ctx, v, "isclose") for v in (rel_tol, abs_tol)
    )
    if _checked(ctx):
        ok = both(ctx, fact(ctx.emit(E.ge, relative, 0.0)), fact(ctx.emit(E.ge, absolute, 0.0)))
        require(ctx, "ValueError", "tolerances must be non-negative", ok)
    apart = ctx.emit(E.abs, ctx.emit(E.sub, x, y))
    larger = ctx.emit(E.maximum, ctx.emit(E.abs, x), ctx.emit(E.abs, y))
    near = ctx.emit(E.le, apart, ctx.emit(E.maximum, ctx.emit(E.mul, relative, larger), absolute))
    near = ctx.emit(E.bit_and, near, ctx.emit(E.isfinite, larger))
    return _python(ctx, ctx.emit(E.bit_or, near, ctx.emit(E.eq, x, y)))


@elaborates(math.modf)
def modf(ctx, x, /):
    from ..values import Sequence

    node = real(ctx, x, "modf")
    whole = ctx.emit(E.trunc, node)
    part = ctx.emit(E.select, ctx.emit(E.isinf, node), 0.0, ctx.emit(E.sub, node, whole))
    return Sequence((_python(ctx, ctx.emit(E.copysign, part, node)), _python(ctx, whole)))


@elaborates(math.ldexp)
def ldexp(ctx, x, i, /):
    node = real(ctx, x, "ldexp")
    power = fixed(ctx, i, "the exponent of math.ldexp()")
    if not isinstance(power, int) or abs(power) > 1022:
        ctx.error(f"math.ldexp() with exponent {power!r}", "use an int between -1022 and 1022")
    out = ctx.emit(E.mul, node, 2.0**power)
    return _python(ctx, numbers.overflow_checked(ctx, out, node, message=RANGE) if _checked(ctx) else out)


@elaborates(math.prod)
def prod(ctx, iterable, /, *, start=1):
    from .operators import binary

    out = ctx.const(start) if isinstance(start, int) else start
    for x in items(ctx, iterable, "math.prod()"):
        out = binary(ctx, "*", out, x)
    return out
