"""Elementwise functions of arrays: ufuncs, operators, promotion, broadcasting."""

import numpy as np

from .table import EMPTY, I32, V32, W32, B, I, J, M, P, U, V, W, of_one, of_two, program

_UFUNC_POINTS = {
    "log": P, "log2": P, "log10": P, "log1p": P, "sqrt": P, "arccosh": P + 1,
    "arcsin": U, "arccos": U, "arctanh": U, "reciprocal": W,
}  # fmt: skip
_UFUNCS = """negative positive absolute fabs sign exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal
             sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh
             floor ceil trunc rint deg2rad rad2deg""".split()
_STEPS = {"sign", "floor", "ceil", "trunc", "rint"}
for _name in _UFUNCS:
    _a = _UFUNC_POINTS.get(_name, V)
    program(
        (_a,), (_a.astype(np.float32),), (_a[2],), (_a.reshape(2, 2)[:, ::-1],), (EMPTY,),
        name=f"np_{_name}", wrt=() if _name in _STEPS else 0,
    )(of_one(getattr(np, _name)))  # fmt: skip

for _name in "add subtract multiply divide arctan2 hypot logaddexp maximum minimum fmax fmin copysign power".split():
    _a, _b = (P, W) if _name == "power" else (V, W)
    program(
        (_a, _b), (_a.astype(np.float32), _b.astype(np.float32)), (_a, 2.5), (1.6, _b),
        (M, M[1] + 0.1), (M[:, :1], M[0] + 0.1),
        name=f"np_{_name}", wrt=() if _name in ("power", "copysign") else (0, 1),
    )(of_two(getattr(np, _name)))  # fmt: skip

for _name in "floor_divide mod fmod remainder".split():
    program((V, W), (W, V), (V, 2.5), (I, J), (I, 3), name=f"np_{_name}")(of_two(getattr(np, _name)))

for _name in "equal not_equal less less_equal greater greater_equal".split():
    program((V, W), (V, V), (I, J), (V, 0.5), (B, B), name=f"np_{_name}")(of_two(getattr(np, _name)))

for _name in "logical_and logical_or logical_xor".split():
    program((B, ~B), (V, B), (I, J * 0), name=f"np_{_name}")(of_two(getattr(np, _name)))

for _name in "isnan isinf isfinite logical_not signbit".split():
    program((np.array([1.0, np.nan, -np.inf, -0.0]),), (V,), name=f"np_{_name}")(of_one(getattr(np, _name)))

for _name in "bitwise_and bitwise_or bitwise_xor".split():
    program((I, J), (I, 3), (B, ~B), name=f"np_{_name}")(of_two(getattr(np, _name)))


@program((P, W), wrt=(0, 1))
def array_power(a, b):
    return a**b


@program((V,), wrt=0)
def array_int_power(a):
    return a**3 - a**2 + a**1


@program((I,), (I32,))
def int_array_power(a):
    return a**2, a * a * a


@program((V, W), (M, M), (V32, W32), wrt=(0, 1))
def array_operators(a, b):
    return a * b - a / (b * b + 1.0) + (-a) - (+b)


@program((I, J), (I32, J.astype(np.int32)), (I32, J))
def int_array_operators(a, b):
    return a + b, a - b, a * b, a // b, a % b, a / b


@program((I,), (I32,))
def int_array_bits(a):
    return a & 3, a | 8, a ^ 5, ~a, a << 2, a >> 1


@program(
    (I, J),
)
def int_array_division_by_zero_gives_zero(a, b):
    return a // (b - b), a % (b - b)


@program((np.array([2**62, 1]),))
def int_array_wraps_around(a):
    return a * 4, a + a


@program((V, W), (I, J), (V32, W32))
def array_comparisons(a, b):
    return a < b, a <= b, a == b, a != b, a > b, a >= b


@program((B, np.array([True, True, False, False])))
def bool_array_operators(p, q):
    return p & q, p | q, p ^ q, ~p, p + q, p * q


@program((V, 2.0), (V32, 2.0), (I, 2.0), (I32, 2), (B, 2), (B, 1.5), (V32, 2), (I, True))
def promotion_with_python_scalars(a, s):
    return a + s, s * a, a / s


@program((V, W32), (V32, I), (V32, I32), (I, I32), (B, V32), (I32, B), (I, V), (B, I32))
def promotion_of_arrays(a, b):
    n = min(len(a), len(b))
    return a[:n] + b[:n], a[:n] * b[:n]


@program((np.float32(1.5), 2.0), (np.float64(1.5), 2), (np.int32(3), 2), (np.int64(3), 2.5), (np.bool_(True), 2))
def promotion_of_numpy_scalars(a, s):
    return a + s, a * s, a / s


@program((V32,), wrt=0)
def float32_stays_float32(a):
    return np.sum(np.exp(a * 0.5) * 3 + 1)


@program((M, np.array([1.0, 2.0, 3.0]), np.array([[2.0], [0.5]])), wrt=(0, 1, 2))
def broadcasting(m, row, column):
    return m * row + column - row * column


@program((np.ones((2, 1, 3)), np.arange(4.0).reshape(4, 1)), wrt=(0, 1))
def broadcasting_to_more_axes(a, b):
    return a + b * 2


@program((V, W), (M, M[0]), raises={ValueError: [(V, W[:3]), (M, W)]})
def broadcasting_mismatch(a, b):
    return a + b


@program((M, 3.0), wrt=(0, 1))
def array_with_scalar(m, s):
    return (s - m) * s + m / s + s**2
