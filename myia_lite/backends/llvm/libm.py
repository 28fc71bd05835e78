"""The C library's functions, and special functions that it lacks: scalar code, and the slow way of vector code."""

from __future__ import annotations

import math

from llvmlite import ir

from .outside import PSI

INTRINSIC = {name: f"llvm.{name}" for name in ("exp", "exp2", "log", "log2", "log10", "sin", "cos", "pow")}
SYMBOL = {
    **{
        name: name
        for name in ("tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc")
    },
    **{name: name for name in ("cbrt", "expm1", "log1p", "atan2", "hypot", "lgamma")},
    "gamma": "tgamma",
}


def call(b: ir.IRBuilder, name: str, dtype: str, *values, **attrs):
    """The function on scalars of one float dtype."""
    if name == "polygamma":
        return polygamma(b, dtype, values[0], attrs["n"])
    t = values[0].type
    if name in INTRINSIC:
        f = b.module.declare_intrinsic(INTRINSIC[name], [t], ir.FunctionType(t, [t] * len(values)))
    else:
        f = pure_function(
            b.module, SYMBOL[name] + ("f" if dtype == "f32" else ""), ir.FunctionType(t, [t] * len(values))
        )
    return b.call(f, values)


def pure_function(module: ir.Module, name: str, function_type: ir.FunctionType) -> ir.Function:
    """Declare an external function without side effects, so that calls of it move out of loops."""
    if name in module.globals:
        return module.globals[name]
    f = ir.Function(module, function_type, name)
    f.attributes.add("nounwind")
    f.attributes.add("readnone")
    return f


def polygamma(b: ir.IRBuilder, dtype: str, x, n: int):
    """The n-th derivative of digamma: SciPy's psi for n = 0, else (-1)^(n+1) n! zeta(n + 1, x)."""
    double = ir.DoubleType()
    wide = b.fpext(x, double) if dtype == "f32" else x
    if n == 0:
        psi = pure_function(b.module, PSI, ir.FunctionType(double, [double, ir.IntType(32)]))
        y = b.call(psi, [wide, ir.IntType(32)(0)])
    else:
        zeta = b.call(_zeta(b.module), [double(float(n + 1)), double(-1.0 if n % 2 == 0 else 1.0), wide])
        y = b.fmul(zeta, double((-1.0) ** (n + 1) * math.factorial(n)))
    return b.fptrunc(y, x.type) if dtype == "f32" else y


def _bernoulli(count: int) -> list[float]:
    """B_2k / (2k)! for k = 1 … count: (-1)^(k+1) 2 zeta(2k) / (2 pi)^2k."""
    from scipy.special import zeta

    return [(-1) ** (k + 1) * 2 * zeta(2 * k) / (2 * math.pi) ** (2 * k) for k in range(1, count + 1)]


def _zeta(module: ir.Module) -> ir.Function:
    """zeta(s, parity, q), the sum over k >= 0 of (q + k)^-s for an integer s >= 2, of parity (-1)^s.

    For q < 0, with f = q - floor(q): the sum over all integers, zeta(f) + parity zeta(1 - f), less the terms left of q,
    parity zeta(1 - q).
    """
    double = ir.DoubleType()
    name = "myia.zeta"
    if name in module.globals:
        return module.globals[name]
    f = ir.Function(module, ir.FunctionType(double, [double] * 3), name)
    f.linkage = "internal"
    s, parity, q = f.args
    b = ir.IRBuilder(f.append_basic_block("entry"))
    positive = _positive_zeta(module)
    left, right = f.append_basic_block("left"), f.append_basic_block("right")
    floor_f = module.declare_intrinsic("llvm.floor", [double], ir.FunctionType(double, [double]))
    floor = b.call(floor_f, [q])
    negative = b.fcmp_ordered("<=", q, double(0.0))
    b.cbranch(negative, left, right)
    b.position_at_end(right)
    b.ret(b.call(positive, [s, q]))
    b.position_at_end(left)
    part, one = b.fsub(q, floor), double(1.0)
    others = b.fsub(b.call(positive, [s, b.fsub(one, part)]), b.call(positive, [s, b.fsub(one, q)]))
    value = b.fadd(b.call(positive, [s, part]), b.fmul(parity, others))
    b.ret(b.select(b.fcmp_ordered("==", part, double(0.0)), double(float("inf")), value))
    return f


def _positive_zeta(module: ir.Module) -> ir.Function:
    """Terms up to s + 12 one by one, the rest by the Euler-Maclaurin formula."""
    double = ir.DoubleType()
    f = ir.Function(module, ir.FunctionType(double, [double] * 2), "myia.zeta.positive")
    f.linkage = "internal"
    s, q = f.args
    pow_f = module.declare_intrinsic("llvm.pow", [double], ir.FunctionType(double, [double, double]))
    entry, head, body, tail = (f.append_basic_block(n) for n in ("entry", "head", "body", "tail"))
    b = ir.IRBuilder(entry)
    minus_s, end, one = b.fneg(s), b.fadd(s, double(12.0)), double(1.0)
    b.branch(head)
    b.position_at_end(head)
    a, total = b.phi(double), b.phi(double)
    a.add_incoming(q, entry)
    total.add_incoming(double(0.0), entry)
    b.cbranch(b.fcmp_ordered("<", a, end), body, tail)
    b.position_at_end(body)
    total.add_incoming(b.fadd(total, b.call(pow_f, [a, minus_s])), body)
    a.add_incoming(b.fadd(a, one), body)
    b.branch(head)
    b.position_at_end(tail)
    power = b.call(pow_f, [a, minus_s])
    result = b.fadd(b.fdiv(b.fmul(a, power), b.fsub(s, one)), b.fmul(double(0.5), power))
    rising = s
    term = b.fdiv(power, a)  # a^(-s - 2k + 1)
    for k, coefficient in enumerate(_bernoulli(10), 1):
        result = b.fadd(result, b.fmul(double(coefficient), b.fmul(rising, term)))
        rising = b.fmul(rising, b.fmul(b.fadd(s, double(2.0 * k - 1)), b.fadd(s, double(2.0 * k))))
        term = b.fdiv(term, b.fmul(a, a))
    b.ret(b.fadd(total, result))
    return f
