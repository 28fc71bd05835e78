"""Elementwise primitives on TIR expressions: `element_of(code, name, …)` is the value for one element.

NumPy's semantics, where TVM's differ: NaN wins in maximum, integers wrap around (TVM promises its code generator that
they do not, so sums and products are put together from halves), integer division and shifts never trap, conversions out
of range have the result of the x86 instruction.  Functions of floats are the C library's, by name: on the CPU the
one of the process, on the device CUDA's.
"""

from __future__ import annotations

from tvm import tirx

from ...ir import FLOATS, INTS
from . import special
from .code import DTYPES, Code, const

C_NAMES = {
    **{
        f: f
        for f in (
            "exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc "
            "cbrt sqrt floor ceil trunc rint pow atan2 hypot fmod copysign fmax fmin lgamma"
        ).split()
    },
    "gamma": "tgamma",
}
LOW = 0xFFFFFFFF


def element_of(code: Code, name: str, attrs: dict, dtypes, values):
    """The value of primitive `name` on values of these dtypes."""
    dtype = dtypes[-1]
    if name == "cast":
        return code.let(cast(values[0], dtypes[0], attrs["dtype"]))
    if name == "powi":
        return code.let(power_by_constant(code, dtype, values[0], attrs["n"]))
    if name == "polygamma":
        return special.polygamma(code, dtype, values[0], attrs["n"])
    rule = RULES.get(name)
    if rule is not None:
        return code.let(rule(code, dtype, *values))
    return code.let(c_function(C_NAMES[name], dtype, *values))


def c_function(name: str, dtype: str, *values):
    return tirx.call_pure_extern(DTYPES[dtype], name + ("f" if dtype == "f32" else ""), *values)


def either(condition, a, b):
    return tirx.Select(condition, a, b)


def differ(x, y):
    """Of floats; `NE` is false where one is NaN."""
    return tirx.Not(tirx.EQ(x, y))


def is_nan(x):
    return differ(x, x)


def exclusive(a, b):
    """Of bools, which code generators compare as floats."""
    return tirx.NE(tirx.Cast("int32", a), tirx.Cast("int32", b))


# ---- integers --------------------------------------------------------------------------------------------------------
def _u64(x):
    return tirx.Cast("uint64", x)


def _low(x):
    return tirx.bitwise_and(x, tirx.const(LOW, "uint64"))


def _high(x):
    return tirx.shift_right(x, tirx.const(32, "uint64"))


def _joined(high, low):
    return tirx.bitwise_or(tirx.shift_left(_low(high), tirx.const(32, "uint64")), _low(low))


def _sum(code, a, b, carry=0):
    """Of two uint64, wrapping around."""
    low = tirx.Add(_low(a), _low(b))
    low = code.let(tirx.Add(low, tirx.const(carry, "uint64")) if carry else low)
    return _joined(tirx.Add(tirx.Add(_high(a), _high(b)), _high(low)), low)


def add_wrapping(code, dtype, a, b):
    if dtype == "i32":
        return tirx.Cast("int32", tirx.Add(tirx.Cast("int64", a), tirx.Cast("int64", b)))
    return tirx.Cast("int64", _sum(code, code.let(_u64(a)), code.let(_u64(b))))


def sub_wrapping(code, dtype, a, b):
    if dtype == "i32":
        return tirx.Cast("int32", tirx.Sub(tirx.Cast("int64", a), tirx.Cast("int64", b)))
    return tirx.Cast("int64", _sum(code, code.let(_u64(a)), code.let(tirx.bitwise_not(_u64(b))), carry=1))


def mul_wrapping(code, dtype, a, b):
    if dtype == "i32":
        return tirx.Cast("int32", tirx.Mul(tirx.Cast("int64", a), tirx.Cast("int64", b)))
    a, b = code.let(_u64(a)), code.let(_u64(b))
    low = code.let(tirx.Mul(_low(a), _low(b)))
    cross = tirx.Add(_low(tirx.Mul(_high(a), _low(b))), _low(tirx.Mul(_low(a), _high(b))))
    return tirx.Cast("int64", _joined(tirx.Add(_high(low), _low(cross)), low))


def least(dtype):
    return const(-(2**31) if dtype == "i32" else -(2**63), dtype)


def neg_wrapping(dtype, x):
    return either(
        tirx.EQ(x, least(dtype)), x, tirx.Sub(const(0, dtype), either(tirx.EQ(x, least(dtype)), const(0, dtype), x))
    )


def _int_divmod(code, dtype, x, y):
    """Floor quotient and remainder; both are 0 for a divisor 0, and the least integer over -1 wraps around."""
    zero, one = const(0, dtype), const(1, dtype)
    by_zero, by_minus_one = tirx.EQ(y, zero), tirx.EQ(y, const(-1, dtype))
    safe = code.let(either(tirx.Or(by_zero, by_minus_one), one, y))
    q = code.let(tirx.Div(x, safe))
    r = code.let(tirx.Sub(x, tirx.Mul(q, safe)))
    adjust = code.let(tirx.And(tirx.NE(r, zero), tirx.LT(tirx.bitwise_xor(r, safe), zero)))
    q = either(adjust, tirx.Sub(q, one), q)
    q = either(by_minus_one, neg_wrapping(dtype, x), either(by_zero, zero, q))
    return q, either(adjust, tirx.Add(r, safe), r)


def _shift(left):
    """A count that is negative or no less than the width shifts everything out."""

    def rule(code, dtype, x, count):
        width = 32 if dtype == "i32" else 64
        zero, last = const(0, dtype), const(width - 1, dtype)
        inside = code.let(tirx.And(tirx.GE(count, zero), tirx.LE(count, last)))
        safe = code.let(either(inside, count, zero))
        if left:
            return either(inside, tirx.shift_left(x, safe), zero)
        return either(inside, tirx.shift_right(x, safe), tirx.shift_right(x, last))

    return rule


def _add_overflows(code, dtype, a, b):
    s = code.let(add_wrapping(code, dtype, a, b))
    return tirx.LT(tirx.bitwise_and(tirx.bitwise_xor(a, s), tirx.bitwise_xor(b, s)), const(0))


def _sub_overflows(code, dtype, a, b):
    s = code.let(sub_wrapping(code, dtype, a, b))
    return tirx.LT(tirx.bitwise_and(tirx.bitwise_xor(a, b), tirx.bitwise_xor(a, s)), const(0))


def mul_overflows(code, dtype, a, b):
    """Does dividing the product by b not give a back?"""
    p = code.let(mul_wrapping(code, dtype, a, b))
    zero, minus_one = const(0), const(-1)
    safe = code.let(either(tirx.Or(tirx.EQ(b, zero), tirx.EQ(b, minus_one)), const(1), b))
    wrong = tirx.NE(tirx.Div(p, safe), either(tirx.EQ(safe, b), a, p))
    return tirx.Or(wrong, tirx.And(tirx.EQ(b, minus_one), tirx.EQ(a, least("i64"))))


# ---- floats ----------------------------------------------------------------------------------------------------------
def _float_divmod(code, dtype, x, y):
    """Quotient and remainder as CPython and NumPy define them: the remainder exact and with the sign of y."""
    zero, one, half = (const(v, dtype) for v in (0.0, 1.0, 0.5))

    def signed_zero(like):
        return c_function("copysign", dtype, zero, like)

    rem = code.let(c_function("fmod", dtype, x, y))
    q = code.let(tirx.Div(tirx.Sub(x, rem), y))
    wrong_sign = exclusive(tirx.LT(y, zero), tirx.LT(rem, zero))
    inexact = code.let(differ(rem, zero))
    adjust = code.let(tirx.And(inexact, wrong_sign))
    mod = either(inexact, either(adjust, tirx.Add(rem, y), rem), signed_zero(y))
    q = code.let(either(adjust, tirx.Sub(q, one), q))
    floor = code.let(c_function("floor", dtype, q))
    floor = either(tirx.GT(tirx.Sub(q, floor), half), tirx.Add(floor, one), floor)
    plain = code.let(tirx.Div(x, y))
    div = either(tirx.EQ(q, zero), signed_zero(plain), floor)
    by_zero = tirx.EQ(y, zero)
    return either(by_zero, plain, div), either(by_zero, rem, mod)


def power_by_constant(code, dtype, x, n):
    """x ** n by repeated squaring where that is about as accurate as `pow`."""
    if abs(n) > 4:
        return c_function("pow", dtype, x, const(float(n), dtype))
    if n < 0:
        x, n = code.let(tirx.Div(const(1.0, dtype), x)), -n
    result = None
    while n:
        if n & 1:
            result = x if result is None else code.let(tirx.Mul(result, x))
        n >>= 1
        if n:
            x = code.let(tirx.Mul(x, x))
    return const(1.0, dtype) if result is None else result


def _float_abs(code, dtype, x):
    return c_function("fabs", dtype, x)


def _float_sign(code, dtype, x):
    zero, one = const(0.0, dtype), const(1.0, dtype)
    below = either(tirx.LT(x, zero), const(-1.0, dtype), x)
    return either(tirx.GT(x, zero), one, either(tirx.EQ(x, zero), zero, below))


def _largest(dtype):
    return const(1.7976931348623157e308 if dtype == "f64" else 3.4028234663852886e38, dtype)


def _signbit(code, dtype, x):
    bits = "int64" if dtype == "f64" else "int32"
    return tirx.LT(tirx.reinterpret(bits, x), tirx.const(0, bits))


# ---- by dtype --------------------------------------------------------------------------------------------------------
def _by_kind(on_floats, on_ints):
    return lambda code, dtype, *xs: (on_floats if dtype in FLOATS else on_ints)(code, dtype, *xs)


def _node(make):
    return lambda code, dtype, *xs: make(*xs)


def _float_extremum(wins):
    return lambda code, dtype, x, y: either(tirx.Or(wins(x, y), is_nan(x)), x, y)


def _int_extremum(wins):
    return lambda code, dtype, x, y: either(wins(x, y), x, y)


def _comparison(make):
    def rule(code, dtype, x, y):
        if dtype == "bool":
            x, y = (tirx.Cast("int32", v) for v in (x, y))
        return make(x, y)

    return rule


def _bits(on_bools, on_ints):
    return lambda code, dtype, x, y: (on_bools if dtype == "bool" else on_ints)(x, y)


def cast(x, source: str, target: str):
    if source == target:
        return x
    if target == "bool":
        zero = const(0.0 if source in FLOATS else 0, source)
        return differ(x, zero) if source in FLOATS else tirx.NE(x, zero)
    if source == "bool":
        return tirx.Cast(DTYPES[target], tirx.Cast("int32", x))
    if source in FLOATS and target in INTS:
        bound = 2.0 ** (31 if target == "i32" else 63)
        low = -bound if source == "f32" or target == "i64" else -bound - 1.0
        above = (tirx.GE if low == -bound else tirx.GT)(x, const(low, source))
        fits = tirx.And(above, tirx.LT(x, const(bound, source)))
        return either(fits, tirx.Cast(DTYPES[target], x), least(target))
    return tirx.Cast(DTYPES[target], x)


RULES = {
    "add": _by_kind(_node(tirx.Add), add_wrapping),
    "sub": _by_kind(_node(tirx.Sub), sub_wrapping),
    "mul": _by_kind(_node(tirx.Mul), mul_wrapping),
    "div": _node(tirx.Div),
    "neg": _by_kind(
        lambda code, dtype, x: tirx.Mul(x, const(-1.0, dtype)), lambda code, dtype, x: neg_wrapping(dtype, x)
    ),
    "add_overflows": _add_overflows,
    "sub_overflows": _sub_overflows,
    "mul_overflows": mul_overflows,
    "pow_overflows": lambda code, dtype, x, y: special.power(code, dtype, x, y)[1],
    "ipow": lambda code, dtype, x, y: special.power(code, dtype, x, y)[0],
    "floordiv": _by_kind(lambda *a: _float_divmod(*a)[0], lambda *a: _int_divmod(*a)[0]),
    "mod": _by_kind(lambda *a: _float_divmod(*a)[1], lambda *a: _int_divmod(*a)[1]),
    "maximum": _by_kind(_float_extremum(tirx.GT), _int_extremum(tirx.GT)),
    "minimum": _by_kind(_float_extremum(tirx.LT), _int_extremum(tirx.LT)),
    "abs": _by_kind(_float_abs, lambda code, dtype, x: either(tirx.LT(x, const(0, dtype)), neg_wrapping(dtype, x), x)),
    "sign": _by_kind(
        _float_sign,
        lambda code, dtype, x: either(
            tirx.GT(x, const(0, dtype)), const(1, dtype), either(tirx.LT(x, const(0, dtype)), const(-1, dtype), x)
        ),
    ),
    "eq": _comparison(tirx.EQ),
    "ne": _comparison(lambda x, y: tirx.Not(tirx.EQ(x, y))),
    "lt": _comparison(tirx.LT),
    "le": _comparison(tirx.LE),
    "gt": _comparison(tirx.GT),
    "ge": _comparison(tirx.GE),
    "isnan": lambda code, dtype, x: is_nan(x),
    "isinf": lambda code, dtype, x: tirx.GT(_float_abs(code, dtype, x), _largest(dtype)),
    "isfinite": lambda code, dtype, x: tirx.LE(_float_abs(code, dtype, x), _largest(dtype)),
    "signbit": _signbit,
    "logical_not": lambda code, dtype, x: tirx.Not(x),
    "bit_and": _bits(tirx.And, tirx.bitwise_and),
    "bit_or": _bits(tirx.Or, tirx.bitwise_or),
    "bit_xor": _bits(exclusive, tirx.bitwise_xor),
    "bit_not": lambda code, dtype, x: tirx.bitwise_not(x),
    "shift_left": _shift(left=True),
    "shift_right": _shift(left=False),
    "select": lambda code, dtype, c, x, y: either(c, x, y),
}
LOWERED = frozenset({*RULES, *C_NAMES, "cast", "powi", "polygamma"})
