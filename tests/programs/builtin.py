"""Built-in functions and the math module, each with points inside its domain and points that raise."""

import math

from .table import M, V, of_one, of_two, program


# -------------------------------------------------------------------------------------------- Built-in functions
@program((2.0, -3.0), (-2.0, 3.0), wrt=(0, 1))
def builtin_abs(x, y):
    return abs(x) * abs(y - x)


@program((2.0, -3.0, 1.0), (5.0, 6.0, 7.0), (-1.0, 0.5, 9.0), wrt=(0, 1, 2))
def builtin_min_max(x, y, z):
    return min(x, y) * max(y, z) + max(x, y, z) - min((x, y, z))


@program((1, 1), (2, 3), (3, 2))
def builtin_min_max_of_ints(a, b):
    return min(a, b), max(a, b), max(a, 2), min(3, b)


@program((1.0, math.nan), (math.nan, 1.0), (0.0, -0.0), (-0.0, 0.0))
def builtin_max_keeps_the_first(x, y):
    return math.copysign(1.0, max(x, y)), max(x, y) == x, math.copysign(1.0, min(x, y))


@program((1.5, 2.5), wrt=(0, 1))
def builtin_sum(x, y):
    return sum((x, y, x * y)) + sum([x, 1.0], y)


@program((V,), wrt=0)
def builtin_sum_of_array(a):
    return sum(a) * 2.0


@program((V,), (M,))
def builtin_len(a):
    return len(a), len((1, 2)), len([])


@program((2.7,), (-2.7,), (2.0,), (-0.0,))
def builtin_int_float_bool(x):
    return int(x), float(int(x)), bool(x), int(x > 0), float(x > 0)


@program((2.5,), (3.5,), (-0.5,), (-2.6,), (1e15 + 0.5,))
def builtin_round(x):
    return round(x)


@program((2.675, 2), (-1.005, 2), (1234.5, -2), (2.5, 0))
def builtin_round_digits(x, n):
    return round(x, 2), round(x, 0), round(x, 1)


@program((2.0, 3), (1.5, -2), wrt=0)
def builtin_pow(x, n):
    return pow(x, n)


@program(
    (7, 3, 5),
    (2, 10, 1000),
    (3, 0, 7),
    (3, -1, 7),
    (-5, 3, -7),
    (5, 0, 1),
    (123456789, 10**15, 2**62 + 1),
    raises={ValueError: [(2, 2, 0), (2, -1, 4)]},
    exact=True,
)
def builtin_pow_modulo(a, n, m):
    return pow(a, n, m)


@program((3,), (0,))
def builtin_range_values(n):
    r = range(1, n + 5, 2)
    return len(r), r[1], 3 in r


@program((1.0, 2.0), (0.0, 3.0), (0.0, 0.0))
def builtin_any_all(x, y):
    return any((x, y)), all((x, y)), all(())


@program(((3.0, 1.0, 2.0),), wrt=0)
def builtin_tuple_list(t):
    values = list(t)
    return tuple(values)[0] * values[2]


# ---------------------------------------------------------------------------------------------------------- math
_SMOOTH_MATH = {
    "sin": [0.5, -2.0, 30.0, -0.0],
    "cos": [0.5, -2.0, 30.0],
    "tan": [0.5, -1.2],
    "asin": [0.5, -0.3],
    "acos": [0.5, -0.3],
    "atan": [0.5, -3.0],
    "sinh": [0.5, -1.5],
    "cosh": [0.5, -1.5],
    "tanh": [0.5, -1.5],
    "asinh": [0.5, -1.5],
    "acosh": [1.5, 4.0],
    "atanh": [0.5, -0.2],
    "exp": [0.5, -1.5],
    "expm1": [0.5, -1e-3],
    "exp2": [0.5, -1.5],
    "log": [0.5, 3.0],
    "log1p": [0.5, -0.3],
    "log2": [0.5, 3.0],
    "log10": [0.5, 3.0],
    "sqrt": [0.5, 9.0],
    "cbrt": [0.5, -8.0],
    "fabs": [0.5, -2.0],
    "erf": [0.5, -1.2],
    "erfc": [0.5, -1.2],
    "gamma": [0.5, 3.2, -1.5],
    "lgamma": [0.5, 3.2],
    "degrees": [0.5, -2.0],
    "radians": [30.0, -90.0],
}
_MATH_RAISES = {
    "sin": {ValueError: [math.inf]},
    "cos": {ValueError: [-math.inf]},
    "tan": {ValueError: [math.inf]},
    "asin": {ValueError: [1.5]},
    "acos": {ValueError: [-1.5]},
    "sinh": {OverflowError: [1000.0]},
    "cosh": {OverflowError: [-1000.0]},
    "acosh": {ValueError: [0.5]},
    "atanh": {ValueError: [1.0, -2.0]},
    "exp": {OverflowError: [800.0]},
    "expm1": {OverflowError: [800.0]},
    "exp2": {OverflowError: [1100.0]},
    "log": {ValueError: [0.0, -1.0]},
    "log1p": {ValueError: [-1.0]},
    "log2": {ValueError: [0.0]},
    "log10": {ValueError: [-3.0]},
    "sqrt": {ValueError: [-1.0]},
    "gamma": {ValueError: [0.0, -1.0], OverflowError: [200.0]},
    "lgamma": {ValueError: [0.0, -1.0]},
}
for _name, _points in _SMOOTH_MATH.items():
    program(
        *[(x,) for x in _points],
        name=f"math_{_name}",
        raises={e: [(x,) for x in xs] for e, xs in _MATH_RAISES.get(_name, {}).items()},
        wrt=0,
    )(of_one(getattr(math, _name)))

for _name, _points in {
    "floor": [2.5, -2.5, 3.0],
    "ceil": [2.5, -2.5, 3.0],
    "trunc": [2.5, -2.5],
    "isnan": [1.0, math.nan],
    "isinf": [1.0, -math.inf],
    "isfinite": [1.0, math.inf, math.nan],
}.items():
    program(*[(x,) for x in _points], name=f"math_{_name}")(of_one(getattr(math, _name)))

for _name, _pairs in {
    "atan2": [(0.5, 2.0), (-0.5, -2.0), (1.0, -0.5)],
    "pow": [(1.5, 2.5), (0.5, -1.0)],
    "hypot": [(3.0, 4.0), (-0.5, 0.2)],
    "copysign": [(2.0, -1.0), (-2.0, 3.0)],
    "fmod": [(7.5, 2.0), (-7.5, 2.0)],
    "remainder": [(7.5, 2.2), (-7.5, 2.0)],
    "log": [(8.0, 2.0), (0.5, 10.0)],
}.items():
    program(*_pairs, name=f"math_{_name}of_two", wrt=() if _name == "copysign" else (0, 1))(
        of_two(getattr(math, _name))
    )


@program((2.0,), raises={ValueError: [(-8.0,), (-0.5,)], OverflowError: [(1e200,)]})
def math_pow_edges(x):
    return math.pow(x, 2.5)


@program((2.0, -3.0), (0.5, 1.0), wrt=0)
def math_copysign_gradient(x, y):
    return math.copysign(x, y) * x


@program((2.3,), (-2.6,), wrt=0)
def derivative_of_a_step_is_zero(x):
    return math.floor(x) * x + round(x) + int(x) * x


@program((6,), (0,), (19,), raises={ValueError: [(-1,)]}, exact=True)
def math_integers(n):
    return math.gcd(n, 4), math.isqrt(n), math.lcm(n, 6), math.comb(n, 3), math.perm(n, 2), math.factorial(n)


@program((1.5,))
def math_constants(x):
    return math.pi, math.e, math.tau, math.inf, x * math.pi
