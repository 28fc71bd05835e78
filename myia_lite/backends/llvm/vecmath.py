"""Transcendental functions as branch-free arithmetic, which the loop vectoriser widens and fuses with what is around.

Each is an LLVM function that is always inlined.  Arguments are reduced with exact fused multiply-adds, then a minimax
polynomial follows (Horner's form: throughput counts in loops).  At most 3 units in the last place off; infinities, NaN,
signed zeros and subnormal numbers come out as from the C library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llvmlite import ir

INF, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Format:
    """A float format, and the constants of the functions in it."""

    name: str
    type: ir.Type
    bits: ir.IntType
    mantissa: int
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r**2 for |r| <= log(2) / 2
    log: tuple[float, ...]  # (log((1 + s) / (1 - s)) / s - 2) / s**2, by s**2, for 1 + s over 1 - s within sqrt(2)
    ln2: tuple[float, float]  # log(2) as a sum
    ln2_short: tuple[float, float]  # the same, the first with trailing zeros: its product with an exponent is exact
    sqrt_half: int  # the bits of sqrt(1/2)
    largest: float  # exp overflows from about here on
    least: float  # and is 0 below

    @property
    def bias(self) -> int:
        return 1023 if self.name == "f64" else 127


F64 = Format(
    "f64", ir.DoubleType(), ir.IntType(64), 52,
    exp=(0.5000000000000001, 0.16666666666666669, 0.041666666666623824, 0.008333333333330039, 0.0013888888917367081,
         0.00019841269863171557, 2.4801521057868204e-05,
         2.7557268276905696e-06, 2.7620201591031547e-07, 2.5100472505694996e-08),
    log=(0.6666666666666666, 0.40000000000000885, 0.28571428570799784, 0.22222222392581045, 0.18181795547521137,
         0.15386244737621665, 0.13268638369266825, 0.13088034850927555),
    ln2=(0.6931471805599453, 2.3190468138462996e-17), ln2_short=(0.6931471804855391, 7.440617110012397e-11),
    sqrt_half=0x3FE6A09E667F3BCD, largest=710.0, least=-746.0,
)  # fmt: skip
F32 = Format(
    "f32", ir.FloatType(), ir.IntType(32), 23,
    exp=(0.5, 0.16666576266288757, 0.04166655242443085, 0.00836323294788599, 0.0013926250394433737),
    log=(0.6666666865348816, 0.4000012278556824, 0.28550779819488525, 0.23331613838672638),
    ln2=(0.6931471824645996, -1.9046542121259336e-09), ln2_short=(0.693145751953125, 1.428606765330187e-06),
    sqrt_half=0x3F3504F3, largest=89.0, least=-104.0,
)  # fmt: skip


class Code:
    """Arithmetic in one float format."""

    def __init__(self, b: ir.IRBuilder, f: Format):
        self.b, self.f = b, f
        self.shift = 1.5 * 2.0**f.mantissa  # added, it leaves the nearest integer in the low bits

    def constant(self, x):
        return ir.Constant(self.f.type, x) if isinstance(x, (int, float)) else x

    def integer(self, x):
        return ir.Constant(self.f.bits, x)

    def _call(self, name, *xs):
        t = self.f.type
        f = self.b.module.declare_intrinsic(f"llvm.{name}", [t], ir.FunctionType(t, [t] * len(xs)))
        return self.b.call(f, [self.constant(x) for x in xs])

    def fma(self, x, y, z):
        return self._call("fma", x, y, z)

    def add(self, x, y):
        return self.b.fadd(self.constant(x), self.constant(y))

    def sub(self, x, y):
        return self.b.fsub(self.constant(x), self.constant(y))

    def mul(self, x, y):
        return self.b.fmul(self.constant(x), self.constant(y))

    def div(self, x, y):
        return self.b.fdiv(self.constant(x), self.constant(y))

    def neg(self, x):
        return self.b.fneg(x)

    def root(self, x):
        return self._call("sqrt", x)

    def absolute(self, x):
        return self._call("fabs", x)

    def with_sign(self, x, sign):
        return self._call("copysign", x, sign)

    def where(self, op, x, y, then, other):
        """then if x op y else other; False where a NaN is compared."""
        return self.b.select(
            self.b.fcmp_ordered(op, self.constant(x), self.constant(y)), self.constant(then), self.constant(other)
        )

    def keep_nan(self, x, y):
        return self.b.select(self.b.fcmp_unordered("uno", x, x), x, y)

    def clamp(self, x, low, high):
        x = self.where(">", x, low, x, low)
        return self.where("<", x, high, x, high)

    def polynomial(self, coefficients, x):
        out = self.constant(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            out = self.fma(out, x, c)
        return out

    def bits(self, x):
        return self.b.bitcast(x, self.f.bits)

    def from_bits(self, x):
        return self.b.bitcast(x, self.f.type)

    def power_of_two(self, shifted):
        """2^k for k + shift, -bias < k <= bias."""
        high = self.b.shl(self.bits(shifted), self.integer(self.f.mantissa))
        return self.from_bits(self.b.add(high, self.integer(self.f.bias << self.f.mantissa)))


def reduced_exp(c: Code, x, rest=None):
    """k + shift, k and p with exp(x + rest) = 2^k (1 + p)."""
    shifted = c.fma(x, 1 / math.log(2), c.shift)
    k = c.sub(shifted, c.shift)
    minus_k = c.neg(k)
    r = c.fma(minus_k, c.f.ln2[1], c.fma(minus_k, c.f.ln2[0], x))
    if rest is not None:
        r = c.add(r, rest)
    return shifted, k, c.fma(c.polynomial(c.f.exp, r), c.mul(r, r), r)


def scaled(c: Code, k, p):
    """2^k (1 + p).  The power of two is applied in two steps: the result may be subnormal, or overflow where 2^k
    already would."""
    half_shifted = c.fma(k, 0.5, c.shift)
    rest_shifted = c.add(c.sub(k, c.sub(half_shifted, c.shift)), c.shift)
    scale = c.power_of_two(half_shifted)
    return c.mul(c.fma(p, scale, scale), c.power_of_two(rest_shifted))


def exp(c: Code, x, rest=None):
    _, k, p = reduced_exp(c, c.clamp(x, c.f.least, c.f.largest), rest)
    return c.keep_nan(x, scaled(c, k, p))


def _expm1(c: Code, x):
    """For x <= largest: 2 (p 2^(k-1) + (2^(k-1) - 1/2)), whose last difference is exact where it matters."""
    shifted, _, p = reduced_exp(c, x)
    scale = c.power_of_two(c.sub(shifted, 1.0))
    half = c.fma(p, scale, c.sub(scale, 0.5))
    return c.add(half, half)


def expm1(c: Code, x):
    y = _expm1(c, c.clamp(x, -45.0, c.f.largest))
    return c.keep_nan(x, c.where("<", c.absolute(x), 2.0 ** -(c.f.mantissa + 2), x, y))


def tanh(c: Code, x):
    """With e = exp(2|x|) - 1, e / (e + 2)."""
    size = c.absolute(x)
    size = c.where("<", size, 22.0, size, 22.0)
    e = _expm1(c, c.add(size, size))
    return c.keep_nan(x, c.with_sign(c.div(e, c.add(e, 2.0)), x))


def split(c: Code, x):
    """k and m with x = 2^k m, m from sqrt(1/2) to sqrt(2), for a positive x."""
    f, b = c.f, c.b
    subnormal = b.fcmp_ordered("<", x, c.constant(2.0 ** (1 - f.bias)))
    scaled = b.select(subnormal, c.mul(x, 2.0 ** (f.mantissa + 2)), x)
    u = c.bits(scaled)
    t = b.sub(u, c.integer(f.sqrt_half))
    exponent = b.and_(t, c.integer(-1 << f.mantissa))
    m = c.from_bits(b.sub(u, exponent))
    # the exponent as a float by way of its bits below 2^mantissa, for few machines convert an i64
    biased = b.lshr(b.add(exponent, c.integer(f.bias << f.mantissa)), c.integer(f.mantissa))
    magic = 2.0**f.mantissa
    offset = b.select(subnormal, c.constant(magic + f.bias + f.mantissa + 2), c.constant(magic + f.bias))
    return c.sub(c.from_bits(b.or_(biased, c.integer((f.bias + f.mantissa) << f.mantissa))), offset), m


def log_of_part(c: Code, m, rest=0.0):
    """log(m) + rest as a difference of two, for m from sqrt(1/2) to sqrt(2) and a small rest.

    With d = m - 1 and s = d / (2 + d): log m = d - d²/2 + s (d²/2 + R(s²)).
    """
    f = c.f
    d = c.sub(m, 1.0)
    s = c.div(d, c.add(d, 2.0))
    z = c.mul(s, s)
    half = c.mul(c.mul(d, d), 0.5)
    inner = c.fma(s, c.add(half, c.mul(c.polynomial(f.log, z), z)), c.constant(rest))
    return c.sub(half, inner), d


def _log(c: Code, x):
    k, m = split(c, x)
    less, d = log_of_part(c, m, c.mul(k, c.f.ln2_short[1]))
    return c.sub(c.mul(k, c.f.ln2_short[0]), c.sub(less, d))


def log_edges(c: Code, x, y):
    y = c.b.select(c.b.fcmp_unordered("==", x, c.constant(INF)), x, y)  # NaN too
    return c.where("<", x, 0.0, NAN, c.where("==", x, 0.0, -INF, y))


def log(c: Code, x):
    return log_edges(c, x, _log(c, x))


def log1p(c: Code, x):
    """log(u) for u = 1 + x rounded, corrected for the rounding."""
    u = c.add(x, 1.0)
    y = c.sub(_log(c, u), c.div(c.sub(c.sub(u, 1.0), x), u))
    return c.where("==", x, 0.0, x, log_edges(c, u, y))


# ---- powers, in f64: f32 goes through it -----------------------------------------------------------------------------
TWO_THIRDS_REST = 3.700743415417188e-17  # 2/3 less its nearest f64


def _wide_log(c: Code, x):
    """log(x) as a sum of two, with some 10 bits more: log m = s (2 + R(s²)) and all but the tail of R in two parts."""
    f = c.f
    k, m = split(c, x)
    d, over = c.sub(m, 1.0), c.add(m, 1.0)
    over_rest = c.sub(m, c.sub(over, 1.0))
    s = c.div(d, over)
    minus_s = c.neg(s)
    s_rest = c.div(c.fma(minus_s, over_rest, c.fma(minus_s, over, d)), over)
    z = c.mul(s, s)
    z_rest = c.fma(c.add(s, s), s_rest, c.fma(s, s, c.neg(z)))
    t = c.mul(z, f.log[0])
    t_rest = c.fma(z_rest, f.log[0], c.fma(z, TWO_THIRDS_REST, c.fma(z, f.log[0], c.neg(t))))
    t_rest = c.fma(c.mul(z, z), c.polynomial(f.log[1:], z), t_rest)
    v = c.add(t, 2.0)
    v_rest = c.add(c.add(c.sub(2.0, v), t), t_rest)
    sharp = c.add(v, v_rest)
    v_rest = c.add(c.sub(v, sharp), v_rest)
    p = c.mul(s, sharp)
    p_rest = c.fma(s, v_rest, c.fma(s_rest, sharp, c.fma(s, sharp, c.neg(p))))
    e = c.mul(k, f.ln2_short[0])
    high = c.add(e, p)
    return high, c.add(c.add(c.sub(e, high), p), c.fma(k, f.ln2_short[1], p_rest))


def pow(c: Code, x, y):
    high, rest = _wide_log(c, x)
    q = c.mul(y, high)
    q_rest = c.fma(y, rest, c.fma(y, high, c.neg(q)))
    return c.where("==", x, 0.0, 0.0, exp(c, q, q_rest))


def pow_beyond(c: Code, x, y):
    """All but finite x > 0 with exponents that do not overflow the computation, and +0 with positive ones."""
    b = c.b
    normal = b.fcmp_ordered(">=", x, c.constant(2.0**-1022))
    zero = b.and_(b.icmp_signed("==", c.bits(x), c.integer(0)), b.fcmp_ordered(">", y, c.constant(0.0)))
    finite = b.and_(b.fcmp_ordered("<", x, c.constant(INF)), b.fcmp_ordered("<", c.absolute(y), c.constant(2.0**40)))
    return b.not_(b.and_(b.or_(normal, zero), finite))


# ---- sine and cosine, in f64: f32 goes through it --------------------------------------------------------------------
PI = (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33)  # their sum
SIN = (-0.16666666666666666, 0.008333333333333333, -0.00019841269841269806, 2.7557319223971175e-06,
       -2.505210838237619e-08, 1.605904347799452e-10, -7.647139048550473e-13, 2.810466816590253e-15,
       -8.005858059980551e-18)  # fmt: skip
LIMIT = 2.0**30  # beyond, the reduction below loses digits; see `Kernel.exactly`


def less_multiple(c: Code, x, k):
    """x - k pi as a sum of two, for small results and k a multiple of 1/2."""
    minus_k = c.neg(k)
    t = c.fma(minus_k, PI[0], x)  # exact
    p = c.mul(minus_k, PI[1])
    r = c.add(t, p)
    back = c.sub(r, t)
    error = c.add(c.add(c.sub(t, c.sub(r, back)), c.sub(p, back)), c.fma(minus_k, PI[1], c.neg(p)))
    return r, c.fma(minus_k, PI[2], error)


def _sin_reduced(c: Code, x, k):
    """sin(x - k pi) for |x - k pi| <= pi / 2 and k a multiple of 1/2: pi in three parts, the difference in two."""
    r, error = less_multiple(c, x, k)
    z = c.mul(r, r)
    tail = c.mul(error, c.fma(z, -0.5, 1.0))
    return c.add(r, c.fma(c.mul(r, z), c.polynomial(SIN, z), tail))


def _flip_where_odd(c: Code, shifted, y):
    sign = c.b.shl(c.bits(shifted), c.integer(c.f.bits.width - 1))
    return c.from_bits(c.b.xor(c.bits(y), sign))


def sin(c: Code, x):
    shifted = c.fma(x, 1 / math.pi, c.shift)
    y = _flip_where_odd(c, shifted, _sin_reduced(c, x, c.sub(shifted, c.shift)))
    return c.where("==", x, 0.0, x, y)


def cos(c: Code, x):
    """With k such that |x - (k - 1/2) pi| <= pi / 2: (-1)^k sin of that."""
    shifted = c.add(c.fma(x, 1 / math.pi, 0.5), c.shift)
    k = c.sub(shifted, c.shift)
    return _flip_where_odd(c, shifted, _sin_reduced(c, x, c.sub(k, 0.5)))


def large(c: Code, x):
    return c.b.fcmp_ordered(">", c.absolute(x), c.constant(LIMIT))
