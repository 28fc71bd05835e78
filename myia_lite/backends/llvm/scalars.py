"""Elementwise primitives on LLVM values: `scalar_op` emits one of them for one element.

In comes a builder and values of the operands' dtypes, out goes the value of the result.  Nothing traps: integer
division is made safe, conversions out of range have the result of the x86 instruction that NumPy runs.  A bool is an i1
in registers and an i8 (0 or 1) in memory.
"""

from __future__ import annotations

from llvmlite import ir

from ...ir import FLOATS, INTS
from . import integers, libm, vectors
from .layout import I1, I8, REGISTER
from .memory_layout import ITEMSIZE


def number(dtype: str, value) -> ir.Constant:
    """A constant of that dtype in a register."""
    if dtype == "bool":
        return ir.Constant(I1, int(bool(value)))
    return ir.Constant(REGISTER[dtype], float(value) if dtype in FLOATS else int(value))


def from_memory(b: ir.IRBuilder, value, dtype: str):
    return b.trunc(value, I1) if dtype == "bool" else value


def to_memory(b: ir.IRBuilder, value, dtype: str):
    return b.zext(value, I8) if dtype == "bool" else value


def scalar_op(b: ir.IRBuilder, name: str, attrs: dict, dtypes_in, dtype_out: str, *values, vector=False):
    """The value of primitive `name` on `values`.

    With `vector` the code stands in a loop over elements: transcendental functions are then branch-free polynomials
    that the loop vectoriser widens (at most a few units in the last place off) instead of calls to the C library.
    """
    dtype = dtypes_in[-1]
    rule = RULES.get(name)
    if rule is not None:
        return rule(b, dtype, *values, **attrs)
    if name == "cast":
        return cast(b, values[0], dtypes_in[0], attrs["dtype"])
    if name == "powi":
        return power_by_constant(b, dtype, values[0], attrs["n"], vector)
    if vector and vectors.has(name):
        return vectors.call(b, name, dtype, *values)
    return libm.call(b, name, dtype, *values, **attrs)


# ---- intrinsics ------------------------------------------------------------------------------------------------------
def intrinsic(b: ir.IRBuilder, name: str, *values):
    """`llvm.name` for the type of the operands."""
    t = values[0].type
    f = b.module.declare_intrinsic(f"llvm.{name}", [t], ir.FunctionType(t, [v.type for v in values]))
    return b.call(f, values)


def _unary(name):
    return lambda b, dtype, x: intrinsic(b, name, x)


def _binary(name):
    return lambda b, dtype, x, y: intrinsic(b, name, x, y)


# ---- arithmetic ------------------------------------------------------------------------------------------------------
def _by_kind(on_floats, on_ints):
    return lambda b, dtype, *xs: (on_floats if dtype in FLOATS else on_ints)(b, *xs)


def _builder(name):
    return lambda b, *xs: getattr(b, name)(*xs)


def _float_divmod(b, x, y):
    """Quotient and remainder as CPython and NumPy define them: the remainder exact and with the sign of y."""
    t = x.type
    zero, one, half = ir.Constant(t, 0.0), ir.Constant(t, 1.0), ir.Constant(t, 0.5)
    rem = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, rem), y)
    wrong_sign = b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", rem, zero))
    inexact = b.fcmp_unordered("!=", rem, zero)
    adjust = b.and_(inexact, wrong_sign)
    mod = b.select(adjust, b.fadd(rem, y), rem)
    mod = b.select(inexact, mod, intrinsic(b, "copysign", zero, y))
    quotient = b.select(adjust, b.fsub(quotient, one), quotient)
    floor = intrinsic(b, "floor", quotient)
    floor = b.select(b.fcmp_ordered(">", b.fsub(quotient, floor), half), b.fadd(floor, one), floor)
    div = b.select(b.fcmp_ordered("==", quotient, zero), intrinsic(b, "copysign", zero, b.fdiv(x, y)), floor)
    by_zero = b.fcmp_ordered("==", y, zero)
    return b.select(by_zero, b.fdiv(x, y), div), b.select(by_zero, rem, mod)


def power_by_constant(b, dtype, x, n, vector):
    """x ** n by repeated squaring where that is about as accurate as `pow`, or fast code is wanted."""
    if abs(n) > (64 if vector else 4):
        return libm.call(b, "pow", dtype, x, number(dtype, n))
    if n < 0:
        x, n = b.fdiv(number(dtype, 1), x), -n
    result = None
    while n:
        if n & 1:
            result = x if result is None else b.fmul(result, x)
        n >>= 1
        if n:
            x = b.fmul(x, x)
    return number(dtype, 1) if result is None else result


def _int_extremum(op):
    return lambda b, x, y: b.select(b.icmp_signed(op, x, y), x, y)


def _float_sign(b, x):
    zero, one = ir.Constant(x.type, 0.0), ir.Constant(x.type, 1.0)
    below = b.select(b.fcmp_ordered("<", x, zero), ir.Constant(x.type, -1.0), x)
    return b.select(b.fcmp_ordered(">", x, zero), one, b.select(b.fcmp_ordered("==", x, zero), zero, below))


def _int_sign(b, x):
    zero = ir.Constant(x.type, 0)
    return b.sub(b.zext(b.icmp_signed(">", x, zero), x.type), b.zext(b.icmp_signed("<", x, zero), x.type))


def _int_abs(b, x):
    return b.select(b.icmp_signed("<", x, ir.Constant(x.type, 0)), b.neg(x), x)


# ---- comparisons -----------------------------------------------------------------------------------------------------
def _comparison(op):
    def rule(b, dtype, x, y):
        if dtype in FLOATS:
            return (b.fcmp_unordered if op == "!=" else b.fcmp_ordered)(op, x, y)
        return (b.icmp_unsigned if dtype == "bool" else b.icmp_signed)(op, x, y)

    return rule


def _largest(x) -> ir.Constant:
    """Above it there is only infinity.  (A comparison with infinity itself becomes a test of bits, and the move of x
    into an integer register lies on the critical path of scalar loops.)"""
    return ir.Constant(x.type, 1.7976931348623157e308 if x.type == ir.DoubleType() else 3.4028234663852886e38)


def _signbit(b, dtype, x):
    bits = ir.IntType(64 if dtype == "f64" else 32)
    return b.icmp_signed("<", b.bitcast(x, bits), ir.Constant(bits, 0))


def _overflow(name):
    return lambda b, dtype, x, y: b.extract_value(getattr(b, f"{name}_with_overflow")(x, y), 1)


# ---- conversions -----------------------------------------------------------------------------------------------------
def cast(b, x, source: str, target: str):
    if source == target:
        return x
    t = REGISTER[target]
    if target == "bool":
        zero = number(source, 0)
        return b.fcmp_unordered("!=", x, zero) if source in FLOATS else b.icmp_signed("!=", x, zero)
    if source == "bool":
        return b.zext(x, t) if target in INTS else b.uitofp(x, t)
    if source in INTS:
        if target in INTS:
            return b.sext(x, t) if ITEMSIZE[target] > ITEMSIZE[source] else b.trunc(x, t)
        return b.sitofp(x, t)
    if target in FLOATS:
        return b.fpext(x, t) if ITEMSIZE[target] > ITEMSIZE[source] else b.fptrunc(x, t)
    bound = 2.0 ** (t.width - 1)
    low = -bound if source == "f32" or target == "i64" else -bound - 1.0
    above = b.fcmp_ordered(">=" if low == -bound else ">", x, ir.Constant(x.type, low))
    fits = b.and_(above, b.fcmp_ordered("<", x, ir.Constant(x.type, bound)))
    return b.select(fits, b.fptosi(x, t), ir.Constant(t, -(2 ** (t.width - 1))))


RULES = {
    "add": _by_kind(_builder("fadd"), _builder("add")),
    "sub": _by_kind(_builder("fsub"), _builder("sub")),
    "mul": _by_kind(_builder("fmul"), _builder("mul")),
    "div": lambda b, dtype, x, y: b.fdiv(x, y),
    "neg": _by_kind(_builder("fneg"), _builder("neg")),
    "add_overflows": _overflow("sadd"),
    "sub_overflows": _overflow("ssub"),
    "mul_overflows": _overflow("smul"),
    "pow_overflows": lambda b, dtype, x, y: integers.power(b, x, y)[1],
    "floordiv": _by_kind(lambda b, x, y: _float_divmod(b, x, y)[0], lambda b, x, y: integers.divmod(b, x, y)[0]),
    "mod": _by_kind(lambda b, x, y: _float_divmod(b, x, y)[1], lambda b, x, y: integers.divmod(b, x, y)[1]),
    "fmod": lambda b, dtype, x, y: b.frem(x, y),
    "ipow": lambda b, dtype, x, y: integers.power(b, x, y)[0],
    "copysign": _binary("copysign"),
    "maximum": _by_kind(lambda b, x, y: intrinsic(b, "maximum", x, y), _int_extremum(">")),
    "minimum": _by_kind(lambda b, x, y: intrinsic(b, "minimum", x, y), _int_extremum("<")),
    "fmax": _binary("maxnum"),
    "fmin": _binary("minnum"),
    "abs": _by_kind(lambda b, x: intrinsic(b, "fabs", x), _int_abs),
    "sign": _by_kind(_float_sign, _int_sign),
    "sqrt": _unary("sqrt"),
    "floor": _unary("floor"),
    "ceil": _unary("ceil"),
    "trunc": _unary("trunc"),
    "rint": _unary("rint"),
    "eq": _comparison("=="),
    "ne": _comparison("!="),
    "lt": _comparison("<"),
    "le": _comparison("<="),
    "gt": _comparison(">"),
    "ge": _comparison(">="),
    "isnan": lambda b, dtype, x: b.fcmp_unordered("uno", x, x),
    "isinf": lambda b, dtype, x: b.fcmp_ordered(">", intrinsic(b, "fabs", x), _largest(x)),
    "isfinite": lambda b, dtype, x: b.fcmp_ordered("<=", intrinsic(b, "fabs", x), _largest(x)),
    "signbit": _signbit,
    "logical_not": lambda b, dtype, x: b.not_(x),
    "bit_and": lambda b, dtype, x, y: b.and_(x, y),
    "bit_or": lambda b, dtype, x, y: b.or_(x, y),
    "bit_xor": lambda b, dtype, x, y: b.xor(x, y),
    "bit_not": lambda b, dtype, x: b.not_(x),
    "shift_left": lambda b, dtype, x, y: integers.shift(b, x, y, left=True),
    "shift_right": lambda b, dtype, x, y: integers.shift(b, x, y, left=False),
    "select": lambda b, dtype, c, x, y: b.select(c, x, y),
}
