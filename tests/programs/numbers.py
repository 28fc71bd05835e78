"""Arithmetic of Python numbers, comparison and truth."""

import math

from .table import program


# ------------------------------------------------------------------------------------------------------- Numbers
@program((2.0, 3.0), (-1.5, 0.25), wrt=(0, 1))
def float_arithmetic(x, y):
    return x * y + x - y * 3 + 2 * x


@program((2.0, 3.0), (-1.5, 0.25), raises={ZeroDivisionError: [(1.0, 0.0), (0.0, -0.0)]}, wrt=(0, 1))
def float_division(x, y):
    return x / y


@program((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (-0.0, 3.0), (6.0, 3.0), raises={ZeroDivisionError: [(1.0, 0.0)]})
def float_floor_division(x, y):
    return x // y, x % y


@program((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), raises={ZeroDivisionError: [(1.0, 0.0)]}, wrt=(0, 1))
def float_modulo(x, y):
    return x % y


@program((3, 4), (-7, 2), (0, 5), raises={OverflowError: [(2**62, 4), (-(2**62), 3), (2**63 - 1, 1)]})
def int_arithmetic(a, b):
    return a * b + a - b


@program((7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (0, 4), raises={ZeroDivisionError: [(1, 0)]})
def int_floor_division(a, b):
    return a // b, a % b


@program((7, 2), (-1, 3), (2**53 + 1, 1), raises={ZeroDivisionError: [(1, 0)]})
def int_true_division(a, b):
    return a / b


@program((2, 10), (-3, 3), (5, 0), (0, 0), raises={OverflowError: [(10, 19), (-10, 19)]})
def int_power(a, n):
    if n < 0:
        return 0
    return a**n


@program((3, 4), (7, -1), raises={OverflowError: [(2**63 - 1, 1)]})
def int_sum_overflow(a, b):
    return a + b


@program((3,), (-4,), (0,), raises={OverflowError: [(-(2**63),)]})
def int_negation(a):
    return -a


@program((3,), (-4,), raises={OverflowError: [(-(2**63),)]})
def int_absolute(a):
    return abs(a)


@program((20,), (5,), raises={OverflowError: [(21,), (100,)]})
def factorial_overflows(n):
    product = 1
    for i in range(1, n + 1):
        product *= i
    return product


@program((12, 10), (-5, 3), (0, -1))
def int_bits(a, b):
    return a & b, a | b, a ^ b, ~a


@program((5, 3), (-17, 2), (1, 62), raises={ValueError: [(1, -1)], OverflowError: [(1, 63), (3, 62)]})
def int_left_shift(a, n):
    return a << n


@program((5, 3), (-17, 2), (1, 62), (-1, 100), raises={ValueError: [(1, -1)]})
def int_right_shift(a, n):
    return a >> n


@program((2.0,), (-1.5,), wrt=0)
def powers_of_float(x):
    return x**3 + x**2 - x**1 + x**0


@program((2.0, 0.5), (1.5, -2.0), (0.3, 3.0), wrt=(0, 1))
def float_power(x, y):
    return x**y


@program(
    (2.0, 3.0),
    (-2.0, 3.0),
    (-2.0, -3.0),
    (0.0, 0.0),
    (math.inf, -1.0),
    (1.0, math.nan),
    raises={ZeroDivisionError: [(0.0, -1.0)], OverflowError: [(10.0, 400.0)]},
)
def float_power_edges(x, y):
    return x**y


@program((2.0,), (-0.5,), raises={ZeroDivisionError: [(0.0,)]}, wrt=0)
def negative_int_power_of_float(x):
    return x**-2 + 1.0


@program((3.0,), (-2.0,), wrt=0)
def unary(x):
    return -x + +x * -(-x)


@program((True, False), (True, True), (False, False))
def bool_arithmetic(p, q):
    return p + q, p * 3, -p, p - q, p & q, p | q, p ^ q


@program((3, 0.5), (-2, 4.0), wrt=1)
def int_with_float(n, x):
    return n * x + n - x / 2


@program((3, 2.5), (2, 2.0), (3, 2.0), (2**53 + 1, float(2**53)))
def mixed_comparison(n, x):
    return n < x, n == x, n >= x


@program((0.1,), (1e300,), (-math.inf,), (math.nan,), (-0.0,))
def float_edges(x):
    return x * 1e10, x + math.inf, x == x, x != x, x > 0.0, math.copysign(1.0, x * 2)


@program((1e200,), (1.5,), (-1e200,))
def float_products_overflow_to_inf(x):
    return x * x * x


@program((7, 3), (-7, 3), raises={ZeroDivisionError: [(7, 0)]})
def divmod_of_ints(a, b):
    q, r = divmod(a, b)
    return q * 10 + r


@program((7.5, 2.0), (-7.5, 2.0), raises={ZeroDivisionError: [(7.5, 0.0)]})
def divmod_of_floats(a, b):
    return divmod(a, b)


# --------------------------------------------------------------------------------------------- Comparison, truth
@program((1, 2), (2, 2), (3, 2), (1.5, 2), (math.nan, 1.0))
def comparisons(a, b):
    return a < b, a <= b, a == b, a != b, a >= b, a > b


@program((1.0, 2.0, 3.0), (1.0, 3.0, 2.0), (2.0, 2.0, 2.0))
def chained_comparison(a, b, c):
    return a < b < c, a <= b <= c, a == b == c, a < b > c


@program((1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
def chained_comparison_stops_early(a, b):
    return a < b < 1.0 / b if b != 0.0 else b > a > 1.0 / b


@program((2.0, 3.0), (0.0, 3.0), (0.0, 0.0))
def and_or_return_operands(x, y):
    return (x and y), (x or y), (x and y or 7.0)


@program((0.0,), (2.0,), (-3.0,))
def short_circuit_guards_division(x):
    if x != 0.0 and 1.0 / x > 0.0:
        return 1.0
    return x == 0.0 or 1.0 / x < -1.0


@program((0,), (3,), (0.0,), (2.5,), (True,), (False,))
def truth_of_numbers(x):
    if x:
        return not x
    return not not x


@program(((),), ((1, 2),), ((0,),))
def truth_of_tuples(t):
    return 1 if t else 0


@program((3.0,), (-3.0,), (-0.5,), wrt=0)
def conditional_expression(x):
    return x * x if x > 0 else -x if x < -1 else 2 * x


@program((1.5, True), (1.5, False), wrt=0)
def bool_argument(x, flag):
    return x * 2 if flag else x * x


@program((1,), (5,), (-1,), (0,))
def membership(x):
    return x in (1, 2, 3), x not in [4, 5], x == 0 or x in (0,)
