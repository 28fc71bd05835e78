"""Elementwise primitives: on scalars, and on arrays of one shape.

A scalar operand beside arrays stands for each element.

In a derivative rule `d` is the cotangent of the result (or the tangent of the argument), `y` the result.
"""

from __future__ import annotations

import math

import numpy as np

from ..ir import FLOATS, INTS, Constant, Scalar, install_arrays, install_operators, is_float, shaped, with_dtype
from .define import NUMPY_DTYPES, define, expect, merged_shape, same

NUMBERS = (*INTS, *FLOATS)


def _unary(name, value, derivative=None, doc="", kinds=FLOATS, **parts):
    return define(
        name,
        same(kinds),
        doc or f"{name}(x), elementwise",
        value=value,
        derivative=derivative,
        elementwise=True,
        **parts,
    )


def _binary(name, value, derivative=None, doc="", kinds=NUMBERS, **parts):
    return define(
        name,
        same(kinds),
        doc or f"{name}(x, y), elementwise",
        value=value,
        derivative=derivative,
        elementwise=True,
        **parts,
    )


def _test(name, value, doc="", kinds=None, **parts):
    return define(
        name,
        same(kinds, "bool"),
        doc or f"{name}, elementwise, a bool",
        value=value,
        elementwise=True,
        zero_derivative="bool result",
        **parts,
    )


def _special(name):
    """A function of `scipy.special`, which takes long to import: only where it is called."""

    def value(*args):
        from scipy import special

        return getattr(special, name)(*args)

    value.nin = 1  # as NumPy's functions say how many operands they take
    return value


PIECEWISE = "piecewise constant"
COMMUTATIVE = frozenset({"commutative", "associative"})
ODD, EVEN, INVOLUTION = ({"facts": frozenset({f})} for f in ("odd", "even", "involution"))

# ---- arithmetic; integers wrap around (a Python int's overflow is guarded by `*_overflows`) --------------------------
add = _binary("add", np.add, lambda d, y, a, b: (d, d), facts=COMMUTATIVE, unit=-0.0)
sub = _binary("sub", np.subtract, lambda d, y, a, b: (d, -d))
mul = _binary(
    "mul", np.multiply, lambda d, y, a, b: (d * b, d * a), facts=COMMUTATIVE, unit=1, zero=0, multilinear=(0, 1)
)
div = _binary("div", np.divide, lambda d, y, a, b: (d / b, -(d * y) / b), kinds=FLOATS, multilinear=(0,))
neg = _unary("neg", np.negative, lambda d, y, x: (-d,), kinds=NUMBERS, **INVOLUTION, multilinear=(0,))
install_operators(add, sub, mul, div, neg)
install_arrays(lambda values, t: np.array(values, NUMPY_DTYPES[t.dtype]).reshape(t.shape))

add_overflows = _test(
    "add_overflows",
    lambda a, b: np.bool_(not -(2**63) <= int(a) + int(b) < 2**63),
    "does the i64 sum overflow?",
    ("i64",),
)
sub_overflows = _test(
    "sub_overflows",
    lambda a, b: np.bool_(not -(2**63) <= int(a) - int(b) < 2**63),
    "does the i64 difference overflow?",
    ("i64",),
)
mul_overflows = _test(
    "mul_overflows",
    lambda a, b: np.bool_(not -(2**63) <= int(a) * int(b) < 2**63),
    "does the i64 product overflow?",
    ("i64",),
)
pow_overflows = _test(
    "pow_overflows",
    lambda a, b: np.bool_(
        not -(2**63) <= int(a) ** min(int(b), 64 if int(a) not in (-1, 0, 1) else int(b) % 2) < 2**63
    ),
    "does the i64 power (exponent >= 0) overflow?",
    ("i64",),
)

floordiv = _binary(
    "floordiv", np.floor_divide, doc="floor(x / y); integer division by 0 gives 0", zero_derivative=PIECEWISE
)
mod = _binary(
    "mod", np.remainder, lambda d, y, a, b: (d, -(d * floordiv(a, b))), doc="x - floor(x / y) * y, with the sign of y"
)
fmod = _binary(
    "fmod", np.fmod, lambda d, y, a, b: (d, -(d * trunc(a / b))), doc="the remainder with the sign of x", kinds=FLOATS
)
ipow = _binary(
    "ipow",
    lambda a, b: np.power(a, np.maximum(b, 0)),
    doc="integer power, exponent >= 0",
    kinds=INTS,
    zero_derivative="integer result",
)
powi = define(
    "powi",
    same(FLOATS),
    "x ** n for a static int n",
    value=lambda x, n: np.power(x, x.dtype.type(n)),
    derivative=lambda d, y, x, n: (None if n == 0 else d if n == 1 else d * (powi(x, n=n - 1) * float(n)),),
    elementwise=True,
)
# x ** y: where y is 0 the derivative in x is 0; where x is 0 the one in y is 0 (log 0 is never taken).  The exponents
# and logarithms that are not selected are kept finite, for a second derivative passes through them too
pow = _binary(
    "pow",
    # NumPy takes a square root where a scalar exponent is 0.5, which differs from C's pow at -0.0 and -inf
    lambda a, b: np.power(a, b) if np.ndim(b) else np.power(a, np.full(np.shape(a) or 1, b)).reshape(np.shape(a))[()],
    lambda d, y, a, b: (
        d * select(eq(b, 0.0), 0.0, b * pow(a, select(eq(b, 0.0), 1.0, b - 1.0))),
        d * select(eq(a, 0.0), 0.0, log(select(eq(a, 0.0), 1.0, a)) * y),
    ),
    kinds=FLOATS,
)
# by hypot, since x * x + y * y overflows and underflows; at (0, 0) NaN, as in JAX: there is no limit
atan2 = _binary(
    "atan2",
    np.arctan2,
    lambda d, y, a, b: (d * (b / hypot(a, b) / hypot(a, b)), -(d * (a / hypot(a, b) / hypot(a, b)))),
    kinds=FLOATS,
)
# at (0, 0) the derivative is 0, as that of abs
hypot = _binary("hypot", np.hypot, lambda d, y, a, b: (d * (a / _nonzero(y)), d * (b / _nonzero(y))), kinds=FLOATS)
copysign = _binary(
    "copysign", np.copysign, lambda d, y, a, b: (d * (copysign(1.0, a) * copysign(1.0, b)), None), kinds=FLOATS
)


def _nonzero(x):
    return select(eq(x, 0.0), 1.0, x)


def _share(win, a, b):
    """The share of `a` in the larger (smaller) of both: all, none, or half."""
    one, half, none = (Constant(c, Scalar(a.type.dtype)) for c in (1.0, 0.5, 0.0))
    return select(eq(a, b), half, select(win, one, none))


# ---- max, min: NaN wins; at a tie each operand gets half, as in JAX --------------------------------------------------
maximum = _binary(
    "maximum",
    np.maximum,
    lambda d, y, a, b: (d * _share(gt(a, b), a, b), d * _share(gt(b, a), b, a)),
    facts=COMMUTATIVE | {"idempotent"},
    unit=-math.inf,
)
minimum = _binary(
    "minimum",
    np.minimum,
    lambda d, y, a, b: (d * _share(lt(a, b), a, b), d * _share(lt(b, a), b, a)),
    facts=COMMUTATIVE | {"idempotent"},
    unit=math.inf,
)
fmax = _binary(
    "fmax",
    np.fmax,
    lambda d, y, a, b: (d * _share(eq(y, a), a, b), d * _share(eq(y, b), b, a)),
    "the larger; a number beats NaN",
    kinds=FLOATS,
)
fmin = _binary(
    "fmin",
    np.fmin,
    lambda d, y, a, b: (d * _share(eq(y, a), a, b), d * _share(eq(y, b), b, a)),
    "the smaller; a number beats NaN",
    kinds=FLOATS,
)

# ---- functions of one variable ---------------------------------------------------------------------------------------
abs = _unary("abs", np.abs, lambda d, y, x: (d * sign(x),), kinds=NUMBERS)
sign = _unary("sign", np.sign, zero_derivative=PIECEWISE, kinds=NUMBERS)
sqrt = _unary("sqrt", np.sqrt, lambda d, y, x: (0.5 * d / y,))
cbrt = _unary("cbrt", np.cbrt, lambda d, y, x: (d / (3.0 * y * y),), **ODD)
exp = _unary("exp", np.exp, lambda d, y, x: (d * y,))
exp2 = _unary("exp2", np.exp2, lambda d, y, x: (d * y * math.log(2.0),))
expm1 = _unary("expm1", np.expm1, lambda d, y, x: (d * (y + 1.0),))
log = _unary("log", np.log, lambda d, y, x: (d / x,))
log2 = _unary("log2", np.log2, lambda d, y, x: (d / (x * math.log(2.0)),))
log10 = _unary("log10", np.log10, lambda d, y, x: (d / (x * math.log(10.0)),))
log1p = _unary("log1p", np.log1p, lambda d, y, x: (d / (x + 1.0),))
sin = _unary("sin", np.sin, lambda d, y, x: (d * cos(x),), **ODD)
cos = _unary("cos", np.cos, lambda d, y, x: (-(d * sin(x)),), **EVEN)
tan = _unary("tan", np.tan, lambda d, y, x: (d * (y * y + 1.0),), **ODD)
asin = _unary("asin", np.arcsin, lambda d, y, x: (d / sqrt((1.0 - x) * (1.0 + x)),), **ODD)
acos = _unary("acos", np.arccos, lambda d, y, x: (-d / sqrt((1.0 - x) * (1.0 + x)),))
atan = _unary("atan", np.arctan, lambda d, y, x: (d / (x * x + 1.0),), **ODD)
sinh = _unary("sinh", np.sinh, lambda d, y, x: (d * cosh(x),), **ODD)
cosh = _unary("cosh", np.cosh, lambda d, y, x: (d * sinh(x),), **EVEN)
tanh = _unary("tanh", np.tanh, lambda d, y, x: (d * (1.0 - y * y),), **ODD)
asinh = _unary("asinh", np.arcsinh, lambda d, y, x: (d / sqrt(x * x + 1.0),), **ODD)
acosh = _unary("acosh", np.arccosh, lambda d, y, x: (d / sqrt((x - 1.0) * (x + 1.0)),))
atanh = _unary("atanh", np.arctanh, lambda d, y, x: (d / ((1.0 - x) * (1.0 + x)),), **ODD)
erf = _unary("erf", _special("erf"), lambda d, y, x: (d * (2.0 / math.sqrt(math.pi)) * exp(-(x * x)),), **ODD)
erfc = _unary("erfc", _special("erfc"), lambda d, y, x: (-(d * (2.0 / math.sqrt(math.pi)) * exp(-(x * x))),))
lgamma = _unary("lgamma", _special("gammaln"), lambda d, y, x: (d * polygamma(x, n=0),), "log |gamma(x)|")
gamma = _unary("gamma", _special("gamma"), lambda d, y, x: (d * y * polygamma(x, n=0),))
_digamma, _polygamma = _special("digamma"), _special("polygamma")
polygamma = define(
    "polygamma",
    same(FLOATS),
    "the n-th derivative of digamma, n static",
    value=lambda x, n: np.asarray(_digamma(x) if n == 0 else _polygamma(n, x)).astype(x.dtype)[()],
    derivative=lambda d, y, x, n: (d * polygamma(x, n=n + 1),),
    elementwise=True,
)
floor = _unary("floor", np.floor, zero_derivative=PIECEWISE)
ceil = _unary("ceil", np.ceil, zero_derivative=PIECEWISE)
trunc = _unary("trunc", np.trunc, zero_derivative=PIECEWISE)
rint = _unary("rint", np.rint, doc="to the nearest, ties to even", zero_derivative=PIECEWISE)

# ---- comparisons, tests, logic ---------------------------------------------------------------------------------------
eq = _test("eq", np.equal, facts=frozenset({"commutative"}))
ne = _test("ne", np.not_equal, facts=frozenset({"commutative"}))
lt = _test("lt", np.less)
le = _test("le", np.less_equal)
gt = _test("gt", np.greater)
ge = _test("ge", np.greater_equal)
isnan = _test("isnan", np.isnan, kinds=FLOATS)
isinf = _test("isinf", np.isinf, kinds=FLOATS)
isfinite = _test("isfinite", np.isfinite, kinds=FLOATS)
signbit = _test("signbit", np.signbit, kinds=FLOATS)
logical_not = _test("logical_not", np.logical_not, kinds=("bool",), **INVOLUTION)

BITS = ("bool", *INTS)
INTEGER = "integer result"
bit_and = _binary(
    "bit_and", np.bitwise_and, kinds=BITS, zero_derivative=INTEGER, facts=COMMUTATIVE | {"idempotent"}, unit=-1, zero=0
)
bit_or = _binary(
    "bit_or", np.bitwise_or, kinds=BITS, zero_derivative=INTEGER, facts=COMMUTATIVE | {"idempotent"}, unit=0, zero=-1
)
bit_xor = _binary("bit_xor", np.bitwise_xor, kinds=BITS, zero_derivative=INTEGER, facts=COMMUTATIVE, unit=0)
bit_not = _unary("bit_not", np.invert, kinds=INTS, zero_derivative=INTEGER, **INVOLUTION)
shift_left = _binary("shift_left", np.left_shift, kinds=INTS, zero_derivative=INTEGER)
shift_right = _binary("shift_right", np.right_shift, kinds=INTS, zero_derivative=INTEGER)


def _select_type(types, attrs, graphs):
    c, a, b = types
    expect(c.dtype == "bool", f"a condition of type {c}")
    expect(a.dtype == b.dtype, f"alternatives of type {a} and {b}")
    return shaped(a.dtype, merged_shape(types))


select = define(
    "select",
    _select_type,
    "where(c, a, b); both are evaluated",
    value=lambda c, a, b: np.where(c, a, b)[()],
    derivative=lambda d, y, c, a, b: (None, select(c, d, 0.0), select(c, 0.0, d)),
    elementwise=True,
)
cast = define(
    "cast",
    lambda types, attrs, graphs: with_dtype(types[0], attrs["dtype"]),
    "x as another dtype: floats truncate towards zero, bool is x != 0",
    value=lambda x, dtype: np.asarray(x).astype(NUMPY_DTYPES[dtype])[()],
    # d has the dtype of the result in reverse mode, of the argument in forward mode: it takes the other one
    derivative=lambda d, y, x, dtype: (
        cast(d, dtype=x.type.dtype if d.type.dtype == dtype else dtype) if is_float(x.type) else None,
    ),
    elementwise=True,
)
