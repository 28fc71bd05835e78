"""More functions as branch-free arithmetic, as in `vecmath`: tangent, inverse functions, hyperbolic ones, roots, erf.

All are in f64, and f32 goes through it; so an error of a few units here is none there.
"""

from __future__ import annotations

import math

from .vecmath import INF, Code, exp, less_multiple, log, log_edges, log_of_part, reduced_exp, scaled, split

# minimax polynomials, by the square z of the argument
SIN = (
    -0.16666666666666666,
    0.008333333333333331,
    -0.0001984126984126504,
    2.755731921932058e-06,
    -2.50521062259944e-08,
    1.6058530596645953e-10,
    -7.586636882825159e-13,
)  # (sin(r) / r - 1) / z, up to pi / 4
COS = (
    0.041666666666666664,
    -0.0013888888888888887,
    2.4801587301584632e-05,
    -2.755731922139249e-07,
    2.0876755787492604e-09,
    -1.1470460319209511e-11,
    4.745838412531023e-14,
)  # (cos(r) - 1 + z / 2) / z²
ATAN = (
    -0.3333333333333333,
    0.19999999999999993,
    -0.14285714285711515,
    0.11111111110754406,
    -0.0909090906699066,
    0.07692306735321475,
    -0.06666642004996545,
    0.05881925033877732,
    -0.052580394289794816,
    0.04719381457895137,
    -0.04104381417807643,
    0.03063443323901452,
    -0.013916943217800841,
)  # (atan(r) / r - 1) / z, up to tan(pi / 8)
ASIN = (
    0.16666666666666669,
    0.07499999999998425,
    0.04464285714637338,
    0.030381944137085216,
    0.022372173002005596,
    0.017352391265909227,
    0.013971235301124539,
    0.011478952690257387,
    0.010324318288744113,
    0.00545087818772055,
    0.017419357964884856,
    -0.014881409392818066,
    0.02877844261259304,
)  # (asin(r) / r - 1) / z, up to 1 / 2
SINH = (
    0.16666666666666666,
    0.008333333333333333,
    0.00019841269841269773,
    2.755731922404034e-06,
    2.505210836405804e-08,
    1.6059048396350562e-10,
    7.646625361656657e-13,
    2.8445264169895285e-15,
)  # up to 1
ERF = (
    -0.37612638903183754,
    0.11283791670955125,
    -0.026866170645131082,
    0.005223977625438469,
    -0.0008548327023024696,
    0.0001205533295270044,
    -1.4925649082364785e-05,
    1.6462076794793434e-06,
    -1.6365085592632062e-07,
    1.4796618901290416e-08,
    -1.219035624032117e-09,
    8.800680090460203e-11,
    -4.374621450325064e-12,
)
# exp(x²) erfc(x) by (x - 2) / (x + 3), from 1 to 6
ERFC = (0.25539567631050575, -0.533982309267448, 0.5110865058207131, -0.37642439962744456, 0.20394656030835803,
        -0.07128989014261979, 0.007769788652548788, 0.0059556944006294455, -0.002378567381452614,
        -0.0004930041361981138, 0.0004248061244644014, 6.654446155731668e-05, -7.676314605581333e-05,
        -1.670088037114217e-05, 1.64365968992818e-05)  # fmt: skip
HALF_PI, QUARTER_PI = (1.5707963267948966, 6.123233995736766e-17), (0.7853981633974483, 3.061616997868383e-17)
TAN_EIGHTH, TAN_THREE_EIGHTHS = 0.41421356237309503, 2.414213562373095
TWO_OVER_ROOT_PI = 1.1283791670955126, 1.533545961316588e-17
LOG10_E, LOG2_E = (0.4342944819032518, 1.098319650216765e-17), (1.4426950408889634, 2.0355273740931033e-17)
LOG10_2 = 0.3010299955494702, 1.1451100898021838e-10  # the first short: its product with an exponent is exact


def tan(c: Code, x):
    """By sine and cosine of the rest of a division by pi / 2: for odd quotients minus the inverse."""
    shifted = c.fma(x, 2 / math.pi, c.shift)
    r, rest = less_multiple(c, x, c.mul(c.sub(shifted, c.shift), 0.5))
    z = c.mul(r, r)
    sin = c.add(r, c.fma(c.mul(r, z), c.polynomial(SIN, z), c.mul(rest, c.fma(z, -0.5, 1.0))))
    half = c.mul(z, 0.5)
    near = c.sub(1.0, half)
    lost = c.sub(c.sub(1.0, near), half)
    cos = c.add(near, c.fma(c.mul(z, z), c.polynomial(COS, z), c.fma(c.neg(r), rest, lost)))
    odd = c.b.icmp_unsigned("!=", c.b.and_(c.bits(shifted), c.integer(1)), c.integer(0))
    y = c.div(c.b.select(odd, c.neg(cos), sin), c.b.select(odd, sin, cos))
    return c.where("==", x, 0.0, x, y)


def _arc(c: Code, y, x):
    """atan(y / x) for x and y not negative.  Within an eighth of pi from 0, pi / 4 or pi / 2."""
    above, beside = (
        c.b.fcmp_ordered(">", y, c.mul(x, TAN_THREE_EIGHTHS)),
        c.b.fcmp_ordered(">", y, c.mul(x, TAN_EIGHTH)),
    )
    top = c.b.select(above, c.neg(x), c.b.select(beside, c.sub(y, x), y))
    bottom = c.b.select(above, y, c.b.select(beside, c.add(y, x), x))
    r = c.div(top, bottom)
    z = c.mul(r, r)

    def of(part):
        quarter = c.b.select(beside, c.constant(QUARTER_PI[part]), c.constant(0.0))
        return c.b.select(above, c.constant(HALF_PI[part]), quarter)

    return c.add(of(0), c.add(r, c.fma(c.mul(r, z), c.polynomial(ATAN, z), of(1))))


def atan(c: Code, x):
    return c.keep_nan(x, c.with_sign(_arc(c, c.absolute(x), c.constant(1.0)), x))


def atan2(c: Code, y, x):
    """Of large arguments, quarters; two infinite ones count as equal, and of two zeros the result is 0 or pi."""
    b, up, across = c.b, c.absolute(y), c.absolute(x)
    both = b.and_(b.fcmp_ordered("==", up, c.constant(INF)), b.fcmp_ordered("==", across, c.constant(INF)))
    up, across = (b.select(both, c.constant(1.0), v) for v in (up, across))
    large = b.or_(b.fcmp_ordered(">", up, c.constant(1e300)), b.fcmp_ordered(">", across, c.constant(1e300)))
    factor = b.select(large, c.constant(0.25), c.constant(1.0))
    arc = _arc(c, c.mul(up, factor), c.mul(across, factor))
    arc = c.where("==", up, 0.0, 0.0, arc)
    left = b.icmp_signed("<", c.bits(x), c.integer(0))
    turned = c.sub(math.pi, c.sub(arc, 2 * HALF_PI[1]))
    out = c.with_sign(b.select(left, turned, arc), y)
    return b.select(b.fcmp_unordered("uno", x, y), c.add(x, y), out)


def _arc_root(c: Code, x):
    """(half, s, t): is |x| > 1/2?  Then asin(|x|) = pi/2 - 2 (s + t), else s + t."""
    size = c.absolute(x)
    far = c.b.fcmp_ordered(">", size, c.constant(0.5))
    w = c.fma(size, -0.5, 0.5)
    root = c.root(w)
    z = c.b.select(far, w, c.mul(x, x))
    s = c.b.select(far, root, size)
    lost = c.where("==", root, 0.0, 0.0, c.div(c.fma(c.neg(root), root, w), c.add(root, root)))
    lost = c.b.select(far, lost, c.constant(0.0))
    return far, s, c.fma(c.mul(s, z), c.polynomial(ASIN, z), lost)


def asin(c: Code, x):
    far, s, t = _arc_root(c, x)
    y = c.b.select(far, c.sub(HALF_PI[0], c.sub(c.mul(c.add(s, t), 2.0), HALF_PI[1])), c.add(s, t))
    return c.with_sign(y, x)


def acos(c: Code, x):
    far, s, t = _arc_root(c, x)
    arc = c.add(s, t)
    positive = c.b.fcmp_ordered(">", x, c.constant(0.0))
    twice = c.mul(arc, 2.0)
    turned = c.mul(c.sub(HALF_PI[0], c.sub(arc, HALF_PI[1])), 2.0)
    s, t = c.with_sign(s, x), c.with_sign(t, x)
    near = c.sub(HALF_PI[0], c.add(s, c.sub(t, HALF_PI[1])))
    return c.b.select(far, c.b.select(positive, twice, turned), near)


def _half_exp(c: Code, x):
    """exp(x) / 2, which may be where exp(x) overflows."""
    _, k, p = reduced_exp(c, c.clamp(x, 0.0, 712.0))
    return c.keep_nan(x, scaled(c, c.sub(k, 1.0), p))


def cosh(c: Code, x):
    e = _half_exp(c, c.absolute(x))
    return c.add(e, c.div(0.25, e))


def sinh(c: Code, x):
    size, z = c.absolute(x), c.mul(x, x)
    e = _half_exp(c, size)
    near = c.fma(c.mul(size, z), c.polynomial(SINH, z), size)
    return c.with_sign(c.where("<", size, 1.0, near, c.sub(e, c.div(0.25, e))), x)


def cbrt(c: Code, x):
    """exp(log(x) / 3), and a step of Newton's method."""
    size = c.absolute(x)
    y = exp(c, c.mul(log(c, size), 1 / 3))
    y = c.fma(c.sub(c.div(size, c.mul(y, y)), y), 1 / 3, y)
    edge = c.b.or_(c.b.fcmp_ordered("==", size, c.constant(0.0)), c.b.fcmp_unordered("==", size, c.constant(INF)))
    return c.b.select(edge, x, c.with_sign(y, x))


def exp2(c: Code, x):
    inside = c.clamp(x, -1080.0, 1025.0)
    k = c.sub(c.add(inside, c.shift), c.shift)
    r = c.sub(inside, k)
    ln2 = c.f.ln2
    t = c.mul(r, ln2[0])
    t_rest = c.fma(r, ln2[1], c.fma(r, ln2[0], c.neg(t)))
    p = c.fma(c.polynomial(c.f.exp, t), c.mul(t, t), c.add(t, t_rest))
    return c.keep_nan(x, scaled(c, k, p))


def _log_to(c: Code, x, scale, unit):
    """log(x) / log(base), where `scale` is 1 / log(base) and `unit` log(2) / log(base), each as a sum."""
    k, m = split(c, x)
    less, d = log_of_part(c, m)
    part = c.sub(d, less)
    lost = c.sub(c.sub(d, part), less)
    low = c.fma(part, scale[1], c.fma(lost, scale[0], c.mul(k, unit[1])))
    high = c.mul(k, unit[0])
    product = c.mul(part, scale[0])
    low = c.add(low, c.fma(part, scale[0], c.neg(product)))
    total = c.add(high, product)
    swapped = c.add(c.sub(high, total), product)
    return log_edges(c, x, c.add(total, c.add(swapped, low)))


def log2(c: Code, x):
    return _log_to(c, x, LOG2_E, (1.0, 0.0))


def log10(c: Code, x):
    return _log_to(c, x, LOG10_E, LOG10_2)


def erf(c: Code, x):
    """Up to 1 a polynomial, beyond 1 - erfc, of which few digits are needed."""
    size, z = c.absolute(x), c.mul(x, x)
    near = c.fma(
        size, TWO_OVER_ROOT_PI[0], c.fma(size, TWO_OVER_ROOT_PI[1], c.mul(c.mul(size, z), c.polynomial(ERF, z)))
    )
    inside = c.clamp(size, 1.0, 6.0)
    tail = c.polynomial(ERFC, c.div(c.sub(inside, 2.0), c.add(inside, 3.0)))
    far = c.sub(1.0, c.mul(exp(c, c.neg(c.mul(inside, inside))), tail))
    return c.keep_nan(x, c.with_sign(c.where("<", size, 1.0, near, far), x))
