"""Small plain Python/NumPy programs, each with arguments to run it on: the specification of the subset.

CPython is the oracle: `test_programs.py` runs each program undecorated, interpreted and compiled, and wants the same
value, of the same structure and types, or the same exception.  The one exception to the oracle: where CPython's
integers leave 64 bits, the table says OverflowError.  `wrt` names the arguments whose derivative is compared with
numerical differentiation.
"""

import functools
import math
import operator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Program:
    """A function, argument tuples on which it returns, and those on which it raises, by type."""

    name: str
    fn: object
    cases: tuple
    raises: dict = field(default_factory=dict)
    wrt: tuple = ()  # positions of the arguments to differentiate by
    orders: int = 2  # how often it is smooth, as a function of one float
    exact: bool = False  # the text of the exception is the user's, and must arrive unchanged
    refusable: bool = False  # a corner of Python: a clear refusal is as good as the right answer
    atol: float = 1e-12

    def __repr__(self):
        return self.name


PROGRAMS = {}


def program(*cases, name=None, raises=None, wrt=(), **options):
    """Enter the decorated function in the table; `wrt` is one position or several."""

    def enter(fn):
        entry = Program(
            name or fn.__name__, fn, cases, raises or {}, (wrt,) if isinstance(wrt, int) else tuple(wrt), **options
        )
        assert entry.name not in PROGRAMS, f"two programs are called {entry.name}"
        assert entry.cases or entry.raises, f"{entry.name} is never run"
        PROGRAMS[entry.name] = entry
        return fn

    return enter


# The arguments that many programs share.
V = np.array([0.5, -1.25, 2.0, 0.75])
W = np.array([1.5, 0.25, -0.5, 3.0])
P = np.array([0.3, 1.2, 2.5, 0.9])  # positive
U = np.array([0.3, -0.6, 0.1, 0.8])  # inside (-1, 1)
M = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])
N = np.array([[0.5, 1.5], [-1.0, 2.0], [0.75, -0.25]])
S = np.array([[2.0, -1.0, 0.3], [0.4, 1.5, -0.2], [-0.6, 0.1, 1.2]])
T = np.arange(24.0).reshape(2, 3, 4) / 7 - 1
I = np.array([3, -2, 7, 0, 5])
J = np.array([2, 3, -4, 1, 2])
B = np.array([True, False, True, True])
V32, W32, P32, M32, N32 = (a.astype(np.float32) for a in (V, W, P, M, N))
I32 = I.astype(np.int32)
EMPTY = np.zeros(0)


# ------------------------------------------------------------------------------------------------------------------
# Numbers
# ------------------------------------------------------------------------------------------------------------------
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
    (2.0, 3.0), (-2.0, 3.0), (-2.0, -3.0), (0.0, 0.0), (math.inf, -1.0), (1.0, math.nan),
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


# ------------------------------------------------------------------------------------------------------------------
# Comparison, truth
# ------------------------------------------------------------------------------------------------------------------
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


# ------------------------------------------------------------------------------------------------------------------
# Branches and loops
# ------------------------------------------------------------------------------------------------------------------
@program((3.0,), (0.5,), (-2.0,), (-9.0,), wrt=0)
def if_elif_else(x):
    if x > 1.0:
        y = x * x
    elif x > 0.0:
        y = x
    elif x > -5.0:
        y = -3 * x
    else:
        y = math.sin(x)
    return y + x


@program((3.0,), (-3.0,), wrt=0)
def if_without_else(x):
    y = x
    if x > 0:
        y = y * x
    return y


@program((3.0, 1.0), (-3.0, 1.0), (3.0, -1.0), (-3.0, -1.0), wrt=(0, 1))
def nested_ifs(x, y):
    if x > 0:
        if y > 0:
            return x * y
        z = x - y
    else:
        z = x + y
        if y > 0:
            z = z * y
    return z * z


@program((0.5,), (2.0,), wrt=0)
def while_loop(x):
    y = x
    while y < 10.0:
        y = y * 1.5 + x
    return y


@program((0.3, 5), (0.3, 0), (-1.2, 9), wrt=0)
def for_loop(x, n):
    y = x
    for i in range(n):
        y = math.sin(y) * x + y + i
    return y


@program((10,), (0,), (-3,))
def for_range_start_stop(n):
    s = 0
    for i in range(2, n):
        s += i * i
    return s


@program((10, 3), (10, -3), (-10, -4), (0, 1), raises={ValueError: [(5, 0)]})
def for_range_step(n, step):
    s = 0
    for i in range(0, n, step):
        s = s * 3 + i
    return s


@program((1.1,), wrt=0)
def for_range_backwards(x):
    y = 0.0
    for i in range(5, -1, -2):
        y = y * x + i
    return y


@program((1.5, 2.5), wrt=(0, 1))
def for_over_tuple(x, y):
    product = 1.0
    for v in (x, y, x * y, 2.0):
        product = product * v
    return product


@program((1.5, 2.5), wrt=(0, 1))
def for_over_list(x, y):
    total = 0.0
    for v in [x, y, x - y]:
        total += v * v
    return total


@program((V,), (EMPTY,), wrt=0)
def for_over_array(a):
    total = 0.0
    for v in a:
        total = total + v * v * v
    return total


@program((M,), wrt=0)
def for_over_rows(m):
    total = 0.0
    for row in m:
        total = total + np.sum(row) ** 2
    return total


@program((1.5, 2.5), wrt=(0, 1))
def for_over_mixed_tuple(x, y):
    total = 0.0
    for weight, v in ((1, x), (2, y), (3, x * y)):
        total += weight * v
    return total


@program((V,), wrt=0)
def for_enumerate(a):
    total = 0.0
    for i, v in enumerate(a):
        total = total + i * v * v
    return total


@program((V,), wrt=0)
def for_enumerate_from(a):
    total = 0.0
    for i, v in enumerate(a, start=2):
        total = total + v**i
    return total


@program((V, W), (V, W[:2]), wrt=(0, 1))
def for_zip(a, b):
    total = 0.0
    for x, y in zip(a, b):
        total = total + x * y
    return total


@program((2.0,), wrt=0)
def for_zip_of_tuples(x):
    total = 0.0
    for a, b in zip((1.0, 2.0, 3.0), (x, x * x, x**3)):
        total = total * 0.5 + a * b
    return total


@program((V,), wrt=0)
def for_reversed(a):
    y = 0.0
    for v in reversed(a):
        y = y * 0.5 + v
    return y


@program((5, 1.1), (0, 1.1), wrt=1)
def for_reversed_range(n, x):
    y = 0.0
    for i in reversed(range(n)):
        y = y * x + i
    return y


@program((V,), wrt=0)
def for_enumerate_zip(a):
    total = 0.0
    for i, (x, y) in enumerate(zip(a, a[1:])):
        total = total + (i + 1) * x * y
    return total


@program((4, 3), (0, 3), (4, 0))
def nested_for(n, m):
    s = 0
    for i in range(n):
        for j in range(i, m):
            s += i * 10 + j
    return s


@program((1.2, 3), wrt=0)
def nested_for_float(x, n):
    y = 1.0
    for i in range(n):
        for j in range(i):
            y = y * x + j
        y = math.sin(y)
    return y


@program((V, 2.0), (V, -2.0), wrt=0)
def break_out(a, limit):
    total = 0.0
    for v in a:
        if v > limit - 0.5:
            break
        total = total + v * v
    return total


@program((10, 3), (10, 1), (2, 5))
def continue_past(n, m):
    s = 0
    for i in range(n):
        if i % m == 0:
            continue
        s += i
    return s


@program((7,), (13,), (15,), (2,))
def loop_else(n):
    for d in range(2, n):
        if n % d == 0:
            kind = d
            break
    else:
        kind = 0
    return kind


@program((0.5,), (30.0,))
def while_else(x):
    k = 0
    while x < 20.0:
        x = x * 3
        k += 1
        if k > 10:
            break
    else:
        k = -k
    return k, x


@program((V, 0.6), (V, 99.0), wrt=0)
def return_from_loop(a, limit):
    for i in range(len(a)):
        if a[i] > limit:
            return a[i] * i + a[0]
    return a[0] * a[1]


@program((5, 7), (5, 50), (0, 1))
def return_from_nested_loop(n, target):
    for i in range(n):
        for j in range(n):
            if i * j == target - 1:
                return i, j
    return -1, -1


@program((3, 10), (4, 0))
def break_inner_continue_outer(n, m):
    s = 0
    for i in range(n):
        for j in range(m):
            if j > i + 2:
                break
            if (i + j) % 2:
                continue
            s += 100 * i + j
        else:
            s -= 1
    return s


@program((0.2,), (3.0,), wrt=0)
def while_true(x):
    n = 0
    while True:
        x = x + math.cos(x) * 0.5
        n += 1
        if n > 6 or x > 4:
            return x * n


@program((27,), (1,), (6,))
def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@program((48, 36), (17, 5), (5, 0))
def gcd_by_while(a, b):
    while b:
        a, b = b, a % b
    return a


@program((4,), (1,))
def loop_variable_after_the_loop(n):
    for i in range(n):
        pass
    return i * 10


@program((4,), raises={UnboundLocalError: [(0,)]})
def loop_variable_unbound(n):
    for i in range(n):
        pass
    return i


@program((2.0,), raises={UnboundLocalError: [(-2.0,)]})
def variable_of_one_branch(x):
    if x > 0:
        y = x
    return y * 2


@program((6,))
def loop_variable_reassigned(n):
    s = 0
    for i in range(n):
        i = i * 2
        s += i
    return s, i


@program((5,))
def range_is_evaluated_once(n):
    s = 0
    for i in range(n):
        n = n + 10
        s += n
    return s


@program((1.5, 3), wrt=0)
def three_nested_loops(x, n):
    y = 0.0
    for i in range(n):
        for j in range(n):
            k = 0
            while k < j:
                y = y + x * i * k
                k += 1
            y = y * 0.9
    return y * x


@program((0.7, 8), wrt=0)
def state_swaps_in_loop(x, n):
    a, b, c = x, x * x, 1.0
    for _ in range(n):
        a, b, c = b, c, math.sin(a + b * c)
    return a + 2 * b + 3 * c


@program((1.3, 12), wrt=0)
def branch_in_loop(x, n):
    y = 0.5
    for i in range(n):
        if i % 3 == 0:
            y = y * x
        elif y > 1.0:
            y = y - 0.75 * x
        else:
            y = y + math.exp(-y)
    return y


@program((0.9,), wrt=0)
def loop_state_begins_as_int(x):
    total = 0
    for i in range(4):
        total = total + x * i
    return total


@program((3.7,), (0.2,), wrt=0)
def newton_square_root(x):
    y = 1.0
    while abs(y * y - x) > 1e-12:
        y = 0.5 * (y + x / y)
    return y


# ------------------------------------------------------------------------------------------------------------------
# Functions
# ------------------------------------------------------------------------------------------------------------------
def _square(x):
    return x * x


def _affine(x, slope=2.0, *, shift=1.0):
    return slope * x + shift


@program((3.0,), wrt=0)
def calls_a_function(x):
    return _square(_square(x) - 1)


@program((3.0,), wrt=0)
def calls_one_function_at_two_types(x):
    return _square(x) + _square(3) + np.sum(_square(V))


@program((3.0,), (3.0, 4.0), wrt=0)
def default_argument(x, y=2.0):
    return x * y


@program((3.0,), wrt=0)
def keyword_arguments(x):
    return _affine(x) + _affine(shift=x, x=2.0) * _affine(x, 3.0, shift=-x)


@program((3.0,), wrt=0)
def keyword_only_argument(x):
    def f(a, *, b, c=3.0):
        return a * b - c

    return f(x, b=2.0) + f(x, c=x, b=x)


@program((1.0, 2.0, 3.0), (1.0,), wrt=0)
def star_args(x, *rest):
    total = x * 2
    for r in rest:
        total = total * x + r
    return total


@program((2.0,), wrt=0)
def star_call(x):
    def f(a, b, c):
        return a * b - c

    pair = (x, x * x)
    return f(*pair, 3.0) + f(1.0, *pair)


@program((2.0,), wrt=0)
def forwards_star_args(x):
    def apply(f, *args):
        return f(*args)

    return apply(lambda a, b: a * b + a, x, 3.0)


@program((2.0,), wrt=0)
def positional_only(x):
    def f(a, /, b):
        return a - b * b

    return f(x, b=2 * x)


@program((2.0,), wrt=0)
def lambdas(x):
    twice = lambda f: lambda y: f(f(y))
    return twice(twice(lambda y: y * 1.5 + 1))(x)


@program((2.0, 3.0), wrt=(0, 1))
def closure_over_arguments(x, y):
    def f(z):
        return x * z + y

    return f(f(x))


@program((2.0,), wrt=0)
def closure_of_a_closure(x):
    def outer(a):
        def inner(b):
            return a * b * x

        return inner

    return outer(x)(3.0) + outer(2.0)(x)


@program((2.0, 4), wrt=0)
def closure_in_a_loop(x, n):
    y = x
    for i in range(n):

        def f(z):
            return z * 0.5 + i * x

        y = f(y)
    return y


@program((2.0, True), (2.0, False), wrt=0)
def function_chosen_at_run_time(x, flag):
    a = x * 3

    def f(y):
        return y * a

    def g(y):
        return y + a * a

    h = f if flag else g
    return h(x) + h(2.0)


@program((2.0, 3), (2.0, 0), (2.0, 1), wrt=0)
def function_grows_in_a_loop(x, n):
    f = lambda y: y * x
    for _ in range(n):
        f = (lambda g: lambda y: g(y) + y)(f)
    return f(3.0)


@program((2.0, True), (2.0, False), wrt=0)
def returns_closures(x, flag):
    def make(k):
        if flag:
            return lambda y: k * y
        return lambda y: k - y

    return make(x)(5.0) * make(3.0)(x)


@program((1.5,), wrt=0)
def compose(x):
    def after(f, g):
        return lambda y: f(g(y))

    return after(math.sin, after(_square, math.cos))(x)


@program((1.5,), wrt=0)
def functions_in_a_tuple(x):
    y = x
    for f in (math.sin, _square, lambda v: v + x):
        y = f(y)
    return y


@program((6,), (0,), (1,))
def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


@program((1.1, 6), (1.1, 0), wrt=0)
def recursion_float(x, n):
    if n == 0:
        return 1.0
    return x * recursion_float(x, n - 1) + n


@program((0.8, 5), wrt=0)
def recursion_twice(x, n):
    if n <= 0:
        return x
    return recursion_twice(math.sin(x), n - 1) * recursion_twice(x * 0.5, n - 2)


def _even(n):
    return True if n == 0 else _odd(n - 1)


def _odd(n):
    return False if n == 0 else _even(n - 1)


@program((10,), (7,), (0,))
def mutual_recursion(n):
    return _even(n), _odd(n)


@program((0.4, 7), (0.4, 0), wrt=0)
def mutual_recursion_float(x, n):
    def f(y, k):
        return y if k == 0 else g(y * x, k - 1) + 1

    def g(y, k):
        return y * y if k == 0 else f(math.sin(y), k - 1) - x

    return f(x, n)


@program((1.2, 5), wrt=0)
def local_recursion_captures(x, n):
    def f(k):
        if k == 0:
            return x
        return f(k - 1) * x + k

    return f(n)


@program((3, 3), (2, 0), (0, 4))
def ackermann(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


@program((1.5, 10), (1.5, 1), wrt=0)
def power_by_squaring(x, n):
    if n == 0:
        return 1.0
    half = power_by_squaring(x, n // 2)
    return half * half * x if n % 2 else half * half


@program((V, 0, 4), wrt=0)
def recursion_over_array(a, lo, hi):
    if hi - lo == 1:
        return a[lo] * a[lo]
    mid = (lo + hi) // 2
    return recursion_over_array(a, lo, mid) * 0.5 + recursion_over_array(a, mid, hi) * a[mid]


@program((2.0,), wrt=0)
def partial_application(x):
    f = functools.partial(_affine, slope=x)
    return f(3.0) + f(x, shift=0.0)


@program((2.0,), wrt=0)
def operator_module(x):
    return operator.add(x, operator.mul(x, 3.0)) - operator.neg(x)


@program((2.0, 5), wrt=0)
def higher_order_loop(x, n):
    def iterate(f, y, k):
        for _ in range(k):
            y = f(y)
        return y

    return iterate(lambda y: 0.5 * y + x, 1.0, n) + iterate(lambda y: y * y * 0.1, x, 2)


@program((2.0,), refusable=True)
def closure_sees_later_assignment(x):
    def f():
        return y

    y = x
    y = y * 3
    return f()


@program((2.0,), refusable=True)
def lambda_in_loop_binds_late(x):
    f = lambda: 0
    for i in range(3):
        f = lambda: i
    return f() * x


_SCALE = 2.5


@program((2.0,), wrt=0)
def global_constant(x):
    return x * _SCALE + math.pi


@program((2.0,), wrt=0)
def global_array(x):
    return x * np.sum(V * V)


def _make_closure(k, a):
    def captured(x):
        return k * x + np.sum(a) * x

    return captured


program((2.0,), name="captures_from_outside", wrt=0)(_make_closure(3.0, V))


# ------------------------------------------------------------------------------------------------------------------
# Assignment
# ------------------------------------------------------------------------------------------------------------------
@program((1.0, 2.0))
def swap(a, b):
    a, b = b, a
    return a, b


@program(((1.0, (2.0, 3.0)),), ((4, (5, 6)),))
def nested_unpacking(t):
    a, (b, c) = t
    [d, e] = c, a
    return a + b * c, d, e


@program(((1, 2, 3, 4),), ((1, 2),))
def starred_unpacking(t):
    first, *rest, last = t
    return first, len(rest), last


@program((V,), wrt=0)
def array_unpacking(a):
    x, y, z, w = a
    return x * y + z * w


@program((V,), raises={ValueError: [(V[:3],)]})
def unpacking_too_few(a):
    x, y, z, w = a
    return x


@program((2.0, 3), wrt=0)
def augmented(x, n):
    y = x
    y += 1
    y *= x
    y -= 0.5
    y /= 3
    y **= 2
    n += 2
    n //= 2
    n %= 4
    n <<= 3
    n |= 1
    return y * n


@program((2.0,), wrt=0)
def annotated(x: float) -> float:
    y: float = x * 2
    z: int
    z = 3
    return y + z


@program((2.0,), wrt=0)
def chained_assignment(x):
    a = b = x * x
    a = a + 1
    return a * b


@program((2.0,), (-1.0,), wrt=0)
def walrus(x):
    if (y := x * x - 2) > 0:
        return y * 3
    return (z := y + 1) * z


@program((100,), (3,))
def walrus_in_while(n):
    steps = 0
    while (n := n // 2) > 0:
        steps += 1
    return steps


@program((2.0,), wrt=0)
def docstring_and_pass(x):
    """A docstring is not code."""
    pass
    if x > 0:
        pass
    else:
        x = -x
    ...
    return x


@program((2,))
def returns_none(x):
    y = x


@program((2.0,), (-2.0,))
def returns_none_or_not(x):
    if x > 0:
        return x


# ------------------------------------------------------------------------------------------------------------------
# Tuples, lists, dicts, records
# ------------------------------------------------------------------------------------------------------------------
@program(((1.0, 2.0, 3.0),), wrt=0)
def tuple_indexing(t):
    return t[0] * t[-1] + t[1]


@program((1.0, 2.0))
def tuple_building(x, y):
    t = (x, (y, x + y), ())
    return t, t[1][1], len(t)


@program(((1, 2.5, True),))
def tuple_slices(t):
    return t[1:], t[:-1], t[::2], t[::-1]


@program((1.0, 2.0))
def tuple_concatenation(x, y):
    return (x,) + (y, x) + ((1,) * 2)


@program(((1, 2), (1, 2)), ((1, 2), (1, 3)))
def tuple_equality(s, t):
    return s == t, s != t


@program(((1, 2), (1, 3)), ((2, 1), (1, 3)))
def tuple_order(s, t):
    return s < t, s >= t


@program(((1.0, 2.0, 3.0), 1), ((1.0, 2.0, 3.0), -3), raises={IndexError: [((1.0, 2.0), 5), ((1.0, 2.0), -3)]}, wrt=0)
def tuple_index_at_run_time(t, i):
    return t[i] * 2


@program((1.5, 2.5), wrt=(0, 1))
def lists(x, y):
    values = [x, y, x * y]
    return values[0] + values[-1] * len(values)


@program(([1.0, 2.0, 3.0],), wrt=0)
def list_argument(values):
    total = 0.0
    for v in values:
        total += v * v
    return total


@program((1.5, 2.5))
def list_result(x, y):
    return [x, [y, x + y]] + [1.0]


@program(({"w": 2.0, "b": 3.0}, 1.5), wrt=(0, 1))
def dict_argument(p, x):
    return p["w"] * x + p["b"] * p["b"]


@program((2.0,))
def dict_result(x):
    return {"x": x, "more": {"y": x * 2, "n": 3}}


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def dot(self, other):
        return self.x * other.x + self.y * other.y

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)

    @property
    def norm(self):
        return math.sqrt(self.dot(self))

    def scaled(self, by, *, shift=0.0):
        return Point(self.x * by + shift, self.y * by + shift)


class Pair(NamedTuple):
    left: float
    right: object = 1.0

    def product(self):
        return self.left * self.right


@dataclass(frozen=True)
class Layer:
    weight: np.ndarray
    bias: np.ndarray
    scale: float = 1.0

    def __call__(self, x):
        return np.tanh(x @ self.weight + self.bias) * self.scale


@program((Point(1.0, 2.0), 3.0), wrt=(0, 1))
def dataclass_argument(p, s):
    return p.x * s + p.y * p.x


@program((1.0, 2.0))
def dataclass_result(x, y):
    return Point(x + y, y=x), Point(x)


@program((Point(1.0, 2.0), Point(0.5, -1.0)), wrt=(0, 1))
def dataclass_methods(p, q):
    return p.dot(q.scaled(2.0, shift=p.x)) * p.norm


@program((Point(1.0, 2.0), Point(0.5, -1.0)))
def dataclass_operator(p, q):
    return p + q


@program((Point(1.0, 2.0),), (Point(1, 2),))
def dataclass_equality(p):
    return p == Point(1.0, 2.0), p != p


@program((Pair(2.0, 3.0),), wrt=0)
def namedtuple_argument(p):
    a, b = p
    return p.left * p.right + p[0] * a - b * p.product()


@program((2.0,))
def namedtuple_result(x):
    p = Pair(x)
    return Pair(p.right, Pair(x, x * 2)), len(p)


@program((Pair(2.0, 3.0),))
def namedtuple_replace(p):
    return p._replace(left=p.right * 2)


@program((Pair(Point(1.0, 2.0), (3.0, V)),), wrt=0)
def nested_structures(p):
    a, v = p.right
    return p.left.x * a + np.sum(v * p.left.y)


@program((Layer(N, np.array([0.1, -0.2])), M), (Layer(N, np.array([0.1, -0.2]), 2.0), M), wrt=(0, 1))
def callable_record(layer, x):
    return np.sum(layer(x) ** 2)


@program((Point(1.0, 2.0), 4), wrt=0)
def record_in_a_loop(p, n):
    for i in range(n):
        p = Point(p.x * 0.5 + i, p.y + p.x)
    return p.x * p.y


@program((2.0, True), (2.0, False), wrt=0)
def record_from_branches(x, flag):
    p = Point(x, 1.0) if flag else Point(3.0, x * x)
    return p.dot(p)


@program((2.0, True), (2.0, False), wrt=0)
def tuples_from_branches(x, flag):
    a, b = (x, 1.0) if flag else (3.0, x * x)
    return a * b + a


@program((2.0, None), (2.0, 3.0), wrt=0)
def none_argument(x, y):
    if y is None:
        return x
    return x * y


@program((2.0, True), (2.0, False))
def none_at_run_time(x, flag):
    y = x if flag else None
    return y is None, y is not None, 0.0 if y is None else y * 2


@program((1,), (2.0,), (True,), ((1, 2),), (V,), (Point(1.0),))
def isinstance_tests(x):
    if isinstance(x, bool):
        return 1
    if isinstance(x, (int, float)):
        return 2
    if isinstance(x, tuple):
        return 3
    return 4 if isinstance(x, np.ndarray) else 5


@program((2.0, "square"), (2.0, "cube"), wrt=0)
def string_argument(x, kind):
    if kind == "square":
        return x * x
    return x * x * x


# A linked list and a tree, built and taken apart by recursion.
@program((1.5, 4), wrt=0)
def list_by_recursion(x, n):
    def build(k):
        return None if k == 0 else (x * k, build(k - 1))

    def total(node):
        return 0.0 if node is None else node[0] * node[0] + total(node[1])

    return total(build(n))


@program((1.1, 3), wrt=0)
def tree_by_recursion(x, depth):
    def build(y, d):
        if d == 0:
            return y
        return (build(y * x, d - 1), build(y + x, d - 1))

    def fold(node):
        if isinstance(node, tuple):
            return fold(node[0]) * fold(node[1])
        return node

    return fold(build(x, depth))


# ------------------------------------------------------------------------------------------------------------------
# Raising
# ------------------------------------------------------------------------------------------------------------------
@program((2.0,), raises={AssertionError: [(-2.0,)]}, wrt=0)
def assertion(x):
    assert x > 0
    return x * x


@program((2.0,), raises={AssertionError: [(-2.0,)]}, exact=True)
def assertion_with_message(x):
    assert x > 0, "x must be positive"
    return x * x


@program((2.0,), raises={ValueError: [(-2.0,)]}, wrt=0, exact=True)
def raises_value_error(x):
    if x < 0:
        raise ValueError("negative")
    return math.sqrt(x)


@program((2,), raises={TypeError: [(0,)], KeyError: [(1,)], RuntimeError: [(3,)]}, exact=True)
def raises_one_of_several(n):
    if n == 0:
        raise TypeError
    elif n == 1:
        raise KeyError("k")
    elif n > 2:
        raise RuntimeError("two", 2)
    return n


class CustomError(ArithmeticError):
    """Of the user's own."""


@program((5,), raises={CustomError: [(3,)]}, exact=True)
def raises_own_class(n):
    for i in range(n):
        if i * i == 4 and n == 3:
            raise CustomError("at two")
    return n


@program((3,), raises={ValueError: [(-3,)]}, exact=True)
def raises_with_values_in_the_text(n):
    if n < 0:
        raise ValueError(f"n is {n}, below zero")
    return n


@program((4,), raises={AssertionError: [(8,)]}, exact=True)
def assertion_in_called_function(n):
    def check(k):
        assert k < 6, f"too large: {k}"
        return k

    total = 0
    for i in range(n):
        total += check(i)
    return total


@program((V, 1), (V, -4), raises={IndexError: [(V, 4), (V, -5), (EMPTY, 0)]}, wrt=0)
def array_index_out_of_range(a, i):
    return a[i] * 2


@program((M, 1, 2), (M, -2, -3), raises={IndexError: [(M, 2, 0), (M, 0, 3), (M, 0, -4)]}, wrt=0)
def matrix_index_out_of_range(m, i, j):
    return m[i, j] * m[i][j]


@program((3,), raises={IndexError: [(6,)]})
def store_out_of_range(n):
    a = np.zeros(5)
    for i in range(n):
        a[i] = i
    return a


@program((4.0,), (0.0,), raises={ValueError: [(-1.0,)]})
def square_root_domain(x):
    return math.sqrt(x)


@program((2.0,), raises={ValueError: [(0.0,), (-1.0,)]})
def logarithm_domain(x):
    return math.log(x)


@program((2.0,), raises={OverflowError: [(1000.0,)]})
def exponential_overflow(x):
    return math.exp(x)


@program((0.5,), raises={ValueError: [(math.inf,)]})
def sine_of_infinity(x):
    return math.sin(x)


@program((2.5,), (-2.5,), raises={ValueError: [(math.nan,)], OverflowError: [(math.inf,), (1e30,)]})
def int_of_float(x):
    return int(x)


@program((0.0, 1.0), (1.0, 0.0), (0.0, 0.0))
def numpy_division_does_not_raise(x, y):
    return np.array([x]) / np.array([y])


@program((W,), (np.array([0.0, 1.0, -1.0, 2.0]),))
def numpy_scalar_division_does_not_raise(a):
    return a[1] / a[0], np.sum(a) / a[0]


@program((1.5, 0.0), raises={ZeroDivisionError: [(-1.5, 0.0)]})
def branch_not_taken_does_not_raise(x, y):
    if x > 0:
        return x
    return x / y


@program((3, 0), raises={ZeroDivisionError: [(0, 0)]})
def loop_raises_at_some_trip(n, z):
    s = 0
    for i in range(3, -1, -1):
        s += (10 + z) // (i + n)
    return s


# ------------------------------------------------------------------------------------------------------------------
# Built-in functions
# ------------------------------------------------------------------------------------------------------------------
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


@program((7, 3, 5), (2, 10, 1000), (3, 0, 7))
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


# ------------------------------------------------------------------------------------------------------------------
# math: each function by itself, with points inside its domain and points that raise
# ------------------------------------------------------------------------------------------------------------------
def _of_one(f):
    def apply(x):
        return f(x)

    return apply


def _of_two(f):
    def apply(x, y):
        return f(x, y)

    return apply


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
    )(_of_one(getattr(math, _name)))

for _name, _points in {
    "floor": [2.5, -2.5, 3.0],
    "ceil": [2.5, -2.5, 3.0],
    "trunc": [2.5, -2.5],
    "isnan": [1.0, math.nan],
    "isinf": [1.0, -math.inf],
    "isfinite": [1.0, math.inf, math.nan],
}.items():
    program(*[(x,) for x in _points], name=f"math_{_name}")(_of_one(getattr(math, _name)))

for _name, _pairs in {
    "atan2": [(0.5, 2.0), (-0.5, -2.0), (1.0, -0.5)],
    "pow": [(1.5, 2.5), (0.5, -1.0)],
    "hypot": [(3.0, 4.0), (-0.5, 0.2)],
    "copysign": [(2.0, -1.0), (-2.0, 3.0)],
    "fmod": [(7.5, 2.0), (-7.5, 2.0)],
    "remainder": [(7.5, 2.2), (-7.5, 2.0)],
    "log": [(8.0, 2.0), (0.5, 10.0)],
}.items():
    program(
        *_pairs, name=f"math_{_name}_of_two", wrt=() if _name == "copysign" else (0, 1)
    )(_of_two(getattr(math, _name)))


@program((2.0,), raises={ValueError: [(-8.0,), (-0.5,)], OverflowError: [(1e200,)]})
def math_pow_edges(x):
    return math.pow(x, 2.5)


@program((2.0, -3.0), (0.5, 1.0), wrt=0)
def math_copysign_gradient(x, y):
    return math.copysign(x, y) * x


@program((2.3,), (-2.6,), wrt=0)
def derivative_of_a_step_is_zero(x):
    return math.floor(x) * x + round(x) + int(x) * x


@program((6,), (0,))
def math_integers(n):
    return math.gcd(n, 4), math.isqrt(n)


@program((1.5,))
def math_constants(x):
    return math.pi, math.e, math.tau, math.inf, x * math.pi


# ------------------------------------------------------------------------------------------------------------------
# Arrays: elementwise functions
# ------------------------------------------------------------------------------------------------------------------
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
    )(_of_one(getattr(np, _name)))  # fmt: skip

for _name in "add subtract multiply divide arctan2 hypot logaddexp maximum minimum fmax fmin copysign power".split():
    _a, _b = (P, W) if _name == "power" else (V, W)
    program(
        (_a, _b), (_a.astype(np.float32), _b.astype(np.float32)), (_a, 2.5), (1.6, _b),
        (M, M[1] + 0.1), (M[:, :1], M[0] + 0.1),
        name=f"np_{_name}", wrt=() if _name in ("power", "copysign") else (0, 1),
    )(_of_two(getattr(np, _name)))  # fmt: skip

for _name in "floor_divide mod fmod remainder".split():
    program((V, W), (W, V), (V, 2.5), (I, J), (I, 3), name=f"np_{_name}")(_of_two(getattr(np, _name)))

for _name in "equal not_equal less less_equal greater greater_equal".split():
    program((V, W), (V, V), (I, J), (V, 0.5), (B, B), name=f"np_{_name}")(_of_two(getattr(np, _name)))

for _name in "logical_and logical_or logical_xor".split():
    program((B, ~B), (V, B), (I, J * 0), name=f"np_{_name}")(_of_two(getattr(np, _name)))

for _name in "isnan isinf isfinite logical_not signbit".split():
    program((np.array([1.0, np.nan, -np.inf, -0.0]),), (V,), name=f"np_{_name}")(_of_one(getattr(np, _name)))

for _name in "bitwise_and bitwise_or bitwise_xor".split():
    program((I, J), (I, 3), (B, ~B), name=f"np_{_name}")(_of_two(getattr(np, _name)))


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


@program((I, J),)
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


# ------------------------------------------------------------------------------------------------------------------
# Arrays: reductions
# ------------------------------------------------------------------------------------------------------------------
@program((V,), (M,), (V32,), (EMPTY,), wrt=0)
def sum_all(a):
    return np.sum(a) + a.sum()


@program((I,), (I32,), (B,))
def sum_of_integers(a):
    return np.sum(a), a.sum()


@program((M,), (T[0],), wrt=0)
def sum_axis(m):
    return m.sum(axis=0)[1] * np.sum(m, axis=1)[0] + m.sum(axis=-1, keepdims=True)[0, 0]


@program((T,), wrt=0)
def sum_axes(t):
    return np.sum(t, axis=(0, 2)) * t.sum(axis=(1,)).sum()


@program((M,), (M32,), wrt=0)
def mean_all_and_axis(m):
    return m.mean() * np.mean(m, axis=0)[1] + m.mean(axis=1, keepdims=True)[0, 0]


@program((I,), (B,))
def mean_of_integers(a):
    return a.mean()


@program((P,), (M,), wrt=0)
def prod_all(a):
    return np.prod(a) + a.prod()


@program((M,), (np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]),), wrt=0)
def prod_axis_with_zeros(m):
    return np.prod(m, axis=1)


@program((V,), (M,), (I,), (V32,), raises={ValueError: [(EMPTY,)]})
def max_min_all(a):
    return np.max(a), a.min(), np.min(a), a.max()


@program((M,), (T,), wrt=0)
def max_axis(m):
    return m.max(axis=0).sum() * 2 - np.min(m, axis=-1, keepdims=True).sum() + np.amax(m)


@program((np.array([1.0, np.nan, 3.0]),))
def max_of_nan(a):
    return np.max(a), np.min(a), np.fmax(a[1], a[0]), np.maximum(a, 2.0)


@program((V,), (M,), (I,), raises={ValueError: [(EMPTY,)]})
def argmax_argmin(a):
    return np.argmax(a), a.argmin()


@program((M,), (np.array([[1.0, 1.0], [2.0, 2.0]]),))
def argmax_axis(m):
    return m.argmax(axis=0), np.argmin(m, axis=1), np.argmax(m, axis=-1)


@program((V,), (B,), (M,), (EMPTY,))
def any_all(a):
    return np.any(a), np.all(a), (a > 0).any(), (a > -9).all()


@program((M,))
def any_all_axis(m):
    return (m > 0).any(axis=0), np.all(m > -2, axis=1, keepdims=True)


@program((V,), wrt=0)
def softmax_cross_entropy(z):
    z = z - np.max(z)
    p = np.exp(z) / np.sum(np.exp(z))
    return -np.log(p[2])


@program((M,), wrt=0)
def log_sum_exp_rows(m):
    top = m.max(axis=1, keepdims=True)
    return np.log(np.exp(m - top).sum(axis=1)) + top[:, 0]


@program((M,), wrt=0)
def standardise(m):
    c = m - m.mean(axis=0)
    return c / np.sqrt((c * c).mean(axis=0) + 0.1)


@program((V, W), wrt=(0, 1))
def squared_distance(a, b):
    return ((a - b) ** 2).sum()


# ------------------------------------------------------------------------------------------------------------------
# Arrays: products
# ------------------------------------------------------------------------------------------------------------------
@program((M, N), (M32, N32), wrt=(0, 1))
def matmul_matrices(a, b):
    return a @ b


@program((M, W[:3]), wrt=(0, 1))
def matmul_matrix_vector(a, v):
    return a @ v


@program((W[:2], M), wrt=(0, 1))
def matmul_vector_matrix(v, a):
    return np.matmul(v, a)


@program((V, W), (V32, W32), wrt=(0, 1))
def matmul_vectors(a, b):
    return a @ b


@program((T, np.arange(40.0).reshape(2, 4, 5) / 20), (T, np.arange(8.0).reshape(4, 2) / 5), wrt=(0, 1))
def matmul_batched(a, b):
    return a @ b


@program((M, N), (V, W), (M, W[:3]), (W[:2], M), (2.0, V), wrt=(0, 1))
def dot(a, b):
    return np.dot(a, b)


@program((V, W[:3]), wrt=(0, 1))
def outer(a, b):
    return np.outer(a, b)


@program((I[:3], np.array([[1, 2], [3, 4], [5, 6]])))
def integer_matmul(a, b):
    return a @ b


@program((M, N), raises={ValueError: [(M, M), (M, V)]})
def matmul_mismatch(a, b):
    return a @ b


@program((S, V[:3]), wrt=(0, 1))
def quadratic_form(a, x):
    return x @ a @ x + np.dot(a.T @ x, x)


@program((S / 2, 5), wrt=0)
def matrix_power_loop(a, n):
    p = np.eye(3)
    for _ in range(n):
        p = p @ a
    return p


# ------------------------------------------------------------------------------------------------------------------
# Arrays: shape
# ------------------------------------------------------------------------------------------------------------------
@program((M,), (T,))
def shape_attributes(a):
    return a.shape, a.ndim, a.size, len(a), a.shape[0] * 2


@program((M,), wrt=0)
def reshapes(m):
    return m.reshape(3, 2) * np.reshape(m, (3, 2))[::-1] + m.reshape((-1, 2))


@program((M,), raises={ValueError: [(V,)]})
def reshape_mismatch(m):
    return m.reshape(3, 2)


@program((M,), (T,), wrt=0)
def transposes(m):
    return m.T * np.transpose(m) + m.transpose()


@program((T,), wrt=0)
def transpose_axes(t):
    return np.transpose(t, (2, 0, 1)) * t.transpose(2, 0, 1)


@program((T,), (M,), wrt=0)
def ravels(t):
    return t.ravel() * np.ravel(t) + t.flatten()


@program((np.arange(3.0).reshape(1, 3, 1),), wrt=0)
def squeezes(a):
    return np.squeeze(a) * a.squeeze(axis=0)[:, 0] + np.squeeze(a, axis=(0, 2))


@program((V,), wrt=0)
def expand_dims(a):
    return np.expand_dims(a, 1) * np.expand_dims(a, axis=0) + a[:, None] - a[None]


@program((np.array([[1.0], [2.0]]),), (V[:3],), wrt=0)
def broadcast_to(a):
    return np.broadcast_to(a, (2, 3)) * 2


@program((V, W), (V, EMPTY), wrt=(0, 1))
def concatenates(a, b):
    return np.concatenate((a, b, a))


@program((M, S), wrt=(0, 1))
def concatenate_axis(a, b):
    return np.concatenate([a, b], axis=0) * 2


@program((M, N.T), wrt=(0, 1))
def concatenate_columns(a, b):
    return np.concatenate([a, b], axis=-1)


@program((V, W), wrt=(0, 1))
def stacks(a, b):
    return np.stack((a, b)) * 2 + np.stack([b, a], axis=0)


@program((V, W), wrt=(0, 1))
def stack_axis(a, b):
    return np.stack((a, b, a * b), axis=1)


@program((1.5, 2.5), wrt=(0, 1))
def array_of_scalars(x, y):
    a = np.array([x, y, x * y])
    return a * a


@program((1.5, 2.5), wrt=(0, 1))
def matrix_of_scalars(x, y):
    return np.array([[x, y], [1.0, x * y]]) @ np.array([y, 2.0])


@program((V, W), (M, -M), wrt=(0, 1))
def where(a, b):
    return np.where(a > b, a * b, b - a)


@program((V,), wrt=0)
def where_with_scalars(a):
    return np.where(a > 0, a, 0.0) + np.where(a > 0, 1.5, a * 2)


@program((V,), wrt=0)
def where_guards_gradient(a):
    safe = np.where(a > 0, a, 1.0)
    return np.where(a > 0, np.sqrt(safe), 0.0)


@program((V,), (V32,), (I,))
def clip(a):
    return np.clip(a, -1, 1), a.clip(0, 2)


@program((V, 0.7), wrt=(0, 1))
def clip_gradient(a, top):
    return np.clip(a, -1.0, top) * a


@program((V,), (I,), (B,), (V32,), (I32,))
def astypes(a):
    return a.astype(np.float32), a.astype(np.int64), a.astype(np.bool_), a.astype(float), a.astype("float32")


@program((W * 1.1,), wrt=0)
def astype_gradient(a):
    return np.sum(a.astype(np.float64) ** 2) + a.astype(np.int64).sum()


@program((V,), (M,), (I,))
def copies(a):
    return a.copy(), np.copy(a)


@program((V,), wrt=0)
def dtype_attribute(a):
    return a * np.ones(len(a), dtype=a.dtype)


# ------------------------------------------------------------------------------------------------------------------
# Arrays: creation
# ------------------------------------------------------------------------------------------------------------------
@program((3,), (0,))
def zeros_ones_full(n):
    return np.zeros(n), np.ones((n, 2)), np.full((2, n), 1.5), np.zeros((2, 3)), np.full(n, 7)


@program((3,))
def creation_with_dtype(n):
    return np.zeros(n, dtype=np.float32), np.ones(n, np.int32), np.full(n, 2, dtype=np.float64), np.zeros(n, bool)


@program((3,), (1,), (0,))
def eye(n):
    return np.eye(n), np.eye(2, 3), np.eye(n, dtype=np.float32), np.eye(3, k=1)


@program((5,), (0,))
def arange(n):
    return np.arange(n), np.arange(2, n), np.arange(n, 0, -2), np.arange(4.0), np.arange(0.0, 1.0, 0.25)


@program((5,), (1,))
def linspace(n):
    return np.linspace(0.0, 1.0, n), np.linspace(2, -2, 4)


@program((0.5, 2.0), wrt=(0, 1))
def linspace_gradient(a, b):
    return np.linspace(a, b, 5) ** 2


@program((V,), (I32,), (M,))
def likes(a):
    return np.zeros_like(a), np.ones_like(a), np.full_like(a, 3), np.empty_like(a).shape


@program((2.0,), wrt=0)
def full_gradient(x):
    return np.full((2, 2), x) * np.arange(4.0).reshape(2, 2)


# ------------------------------------------------------------------------------------------------------------------
# Arrays: reading
# ------------------------------------------------------------------------------------------------------------------
@program((V,), wrt=0)
def read_elements(a):
    return a[0] * a[-1] + a[2] * a[2]


@program((M, 1, 2), wrt=0)
def read_matrix(m, i, j):
    return m[i, j] * m[-1, 0] + m[i][j - 1]


@program((M,), wrt=0)
def read_rows(m):
    return m[0] * m[-1]


@program((V,), (np.arange(9.0),), (EMPTY,))
def read_slices(a):
    return a[1:3], a[:2], a[2:], a[::2], a[::-1], a[-2:], a[5:2], a[:-1:2], a[3:0:-1], a[-100:100]


@program((V,), wrt=0)
def slices_gradient(a):
    return np.sum(a[1:] * a[:-1]) + np.sum(a[::2] * a[::-2])


@program((np.arange(7.0), 1, 6, 2), (np.arange(7.0), 6, 1, -2), (np.arange(7.0), -3, 99, 1), (np.arange(7.0), 5, 2, 1))
def slice_at_run_time(a, start, stop, step):
    return a[start:stop:step] * 2


@program((M,), wrt=0)
def matrix_slices(m):
    return m[:, 1:] * m[:, :-1] + m[0:2, ::2][:, :1] - m[1, 1:]


@program((T,), wrt=0)
def ellipsis_and_newaxis(t):
    return t[..., 0] + t[0, ..., 1][None, :] + t[:, :, None, 2][..., 0] + t[1, 2, ...][:1]


@program(
    (V, np.array([0, 2, 2, -1])), (V, np.zeros(0, np.int64)), raises={IndexError: [(V, np.array([9]))]}, wrt=0
)
def index_by_integer_array(a, i):
    return a[i] * a[i]


@program((M, np.array([1, 0, 1])), wrt=0)
def index_rows_by_integer_array(m, i):
    return m[i] * 2


@program((M, np.array([1, 0, 1]), np.array([2, 2, -3])), wrt=0)
def index_by_two_integer_arrays(m, i, j):
    return m[i, j] ** 2


@program((M, np.array([2, 0, 0])), wrt=0)
def index_columns_by_integer_array(m, j):
    return m[:, j] * m[:, j]


@program((S, np.array([0, 2, 1])), wrt=0)
def pick_one_per_row(m, label):
    return -m[np.arange(3), label].mean()


@program((V, np.array([[0, 1], [2, 3]])), wrt=0)
def index_by_matrix_of_integers(a, i):
    return a[i] @ a[i]


@program((V,), wrt=0)
def index_by_list(a):
    return a[[0, 2, 0]] * 3


# ------------------------------------------------------------------------------------------------------------------
# Arrays: writing to local ones
# ------------------------------------------------------------------------------------------------------------------
@program((1.5, 3.0), wrt=(0, 1))
def store_elements(x, y):
    a = np.zeros(3)
    a[0] = x
    a[1] = x * y
    a[-1] = a[0] + a[1]
    return a


@program((V,), (EMPTY,), wrt=0)
def fill_by_loop(a):
    y = np.zeros(len(a))
    for i in range(len(a)):
        y[i] = math.sin(a[i]) * i
    return y


@program((V,), wrt=0)
def fill_like(a):
    y = np.zeros_like(a)
    for i in range(1, len(a)):
        y[i] = y[i - 1] * 0.5 + a[i] * a[i - 1]
    return y


@program((V,), wrt=0)
def overwrite(a):
    y = a.copy()
    y[1] = 5.0
    y[2] = y[2] * y[1]
    y[1] = y[0] * y[1]
    return y


@program((V, W), wrt=(0, 1))
def augmented_store(a, b):
    y = a * 1.0
    for i in range(len(b)):
        y[i] += b[i] * a[0]
        y[i] *= 2.0
        y[0] -= y[i]
    return y


@program((M,), wrt=0)
def store_matrix_elements(m):
    t = np.zeros((3, 2))
    for i in range(2):
        for j in range(3):
            t[j, i] = m[i, j] ** 2
    return t


@program((V,), wrt=0)
def store_slices(a):
    y = np.zeros(6)
    y[1:5] = a
    y[::2] = 2 * y[1::2]
    y[-1] = a[0]
    return y


@program((M,), wrt=0)
def store_rows_and_columns(m):
    t = np.zeros((3, 3))
    t[0] = m[1]
    t[1:, 2] = m[0, :2]
    t[:, 0] += 1.5
    t[1:3, 1] *= 4.0
    t[2, ...] += m[0]
    return t


@program((V, 2.0), wrt=(0, 1))
def store_scalar_in_slice(a, s):
    y = a * a
    y[1:3] = s
    y[:2] += a[2:] * s
    return y


@program((np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0])), wrt=1)
def store_by_integer_array(i, v):
    y = np.zeros(4)
    y[i] = v
    y[i] += v * 2
    return y


@program((3, 2.7), (2, -1.5))
def store_converts_to_the_dtype(n, x):
    a = np.zeros(n, dtype=np.int64)
    a[0] = x
    b = np.zeros(n, dtype=np.float32)
    b[1] = x
    return a, b


@program((V,), raises={ValueError: [(W[:3],)]})
def store_of_wrong_shape(a):
    y = np.zeros((2, 4))
    y[1] = a
    return y


@program((10,), (1,))
def sieve(n):
    composite = np.zeros(n + 1, dtype=bool)
    count = 0
    for i in range(2, n + 1):
        if not composite[i]:
            count += 1
            for j in range(i * i, n + 1, i):
                composite[j] = True
    return count


@program((V,), wrt=0)
def bubble_sort(a):
    y = a.copy()
    n = len(y)
    for i in range(n):
        for j in range(n - 1 - i):
            if y[j] > y[j + 1]:
                t = y[j]
                y[j] = y[j + 1]
                y[j + 1] = t
    return y


@program((V,), wrt=0)
def swap_elements(a):
    y = a + 0.0
    y[0], y[3] = y[3], y[0]
    return y * np.arange(4.0)


@program((S, V[:3]), wrt=(0, 1))
def gaussian_elimination(a, b):
    a = a.copy()
    x = b.copy()
    n = len(x)
    for k in range(n):
        for i in range(k + 1, n):
            f = a[i, k] / a[k, k]
            a[i, k:] -= f * a[k, k:]
            x[i] -= f * x[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= a[i, j] * x[j]
        x[i] /= a[i, i]
    return x


@program((V,), wrt=0)
def cumulative_sum(a):
    y = np.empty(len(a))
    total = 0.0
    for i, v in enumerate(a):
        total = total + v * v
        y[i] = total
    return y


@program((V, 5), wrt=0)
def stencil_in_a_time_loop(u, steps):
    for _ in range(steps):
        new = u.copy()
        new[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = new
    return u


@program((V,), wrt=0)
def write_in_a_branch(a):
    y = np.zeros(2)
    for v in a:
        if v > 0.6:
            y[0] += v * v
        else:
            y[1] = v * y[0]
    return y


@program((V, 3), (V, 0), wrt=0)
def ping_pong_buffers(a, n):
    x = a.copy()
    y = np.zeros(len(a))
    for _ in range(n):
        for i in range(len(a)):
            y[i] = x[i] * 0.5 + x[i - 1]
        for i in range(len(a)):
            x[i] = y[i] * y[i] * 0.1
    return x


@program((V,), wrt=0)
def old_value_kept_before_write(a):
    y = a * 2
    before = y[1] * y[2]
    y[1] = before * a[0]
    return before + y


@program((V,), wrt=0)
def write_in_called_function(a):
    def filled(n, v):
        out = np.zeros(n)
        for i in range(n):
            out[i] = v * i
        return out

    return filled(4, a[0]) * a + filled(4, a[1])


@program((V,), wrt=0)
def array_in_a_record(a):
    p = Pair(a * 2, a[0])
    return np.sum(p.left) * p.right


@program((V,), wrt=0)
def array_in_a_loop_of_structures(a):
    state = (a, 1.0)
    for i in range(3):
        x, s = state
        state = (x * s + i, s * 0.5 + x[0])
    return state[0] * state[1]


@program((V, W), wrt=(0, 1))
def in_place_operators_on_local_arrays(a, b):
    y = a * b
    y += a
    y *= 2.0
    y -= b * b
    y /= 3.0
    return y


@program((V,), refusable=True)
def two_names_for_one_array_only_read(a):
    y = a * 2
    z = y
    return z + y


@program((V,), refusable=True)
def view_then_write(a):
    y = a * 2
    z = y[1:3]
    y[1] = 100.0
    return z


@program((V,), refusable=True)
def write_through_a_view(a):
    y = a * 2
    z = y[1:]
    z[0] = 100.0
    return y


@program((V,), refusable=True)
def write_through_transpose(a):
    y = np.outer(a, a)
    z = y.T
    z[0, 1] = 100.0
    return y


@program((V,), refusable=True)
def write_seen_by_a_tuple(a):
    y = a * 2
    t = (y, 1.0)
    y[0] = 100.0
    return t[0]


@program((V,), refusable=True)
def write_seen_by_a_closure(a):
    y = a * 2

    def f():
        return y[0]

    y[0] = 100.0
    return f()


@program((V,), refusable=True)
def write_to_argument_of_local_function(a):
    def put(z):
        z[0] = 7.0

    y = a * 2
    put(y)
    return y


# ------------------------------------------------------------------------------------------------------------------
# Larger programs
# ------------------------------------------------------------------------------------------------------------------
@program((Pair(Layer(N, np.array([0.1, -0.2])), Layer(N.T[:, :2], np.array([0.3, 0.0]))), M, np.array([1, 0])), wrt=0)
def two_layer_network(net, x, label):
    z = net.right(net.left(x))
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


@program((np.array([1.0, 0.0]), 0.1, 20), wrt=(0, 1))
def runge_kutta(y, dt, steps):
    def f(y):
        return np.array([y[1], -math.sin(y[0])])

    for _ in range(steps):
        a = f(y)
        b = f(y + dt / 2 * a)
        c = f(y + dt / 2 * b)
        d = f(y + dt * c)
        y = y + dt / 6 * (a + 2 * b + 2 * c + d)
    return y


@program((0.5, 12), wrt=0)
def continued_fraction(x, n):
    y = 0.0
    for k in reversed(range(1, n)):
        y = k * x / (1.0 + y)
    return y


@program((1.2, 0.5, 30), wrt=(0, 1))
def logistic_map(x, a, n):
    x = x * 0.3
    for _ in range(n):
        x = a * 2 * x * (1 - x)
    return x


@program((S,), wrt=0)
def determinant_by_recursion(a):
    def det(m):
        if len(m) == 1:
            return m[0, 0]
        return m[0, 0] * det(m[1:, 1:]) - m[0, 1] * m[1, 0]

    return det(a[:2, :2]) + det(a[1:, 1:])


@program((V, 0.3), wrt=(0, 1))
def simpson(c, b):
    def f(x):
        y = 0.0
        for k in range(len(c) - 1, -1, -1):
            y = y * x + c[k]
        return y

    h = b / 10
    total = f(0.0) + f(b)
    for i in range(1, 10):
        total += f(i * h) * (4 if i % 2 else 2)
    return total * h / 3


@program((0.0, 2.0, 1.7))
def bisection(lo, hi, c):
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        if mid * mid < c:
            lo = mid
        else:
            hi = mid
    return lo * c


@program((V, W), wrt=(0, 1))
def convolution(a, k):
    n = len(a) + len(k) - 1
    y = np.zeros(n)
    for i in range(len(a)):
        for j in range(len(k)):
            y[i + j] += a[i] * k[j]
    return y


@program((P, 2, 0.5), wrt=(0, 2))
def horner_of_array(c, n, x):
    y = np.zeros(n)
    for i in range(n):
        for k in range(len(c)):
            y[i] = y[i] * (x + i) + c[k]
    return y


@program((np.array([[0.0, 1.0], [2.0, 0.5], [1.5, -1.0]]),), wrt=0)
def pairwise_energy(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            d = x[i] - x[j]
            total += 1.0 / math.sqrt(d @ d + 0.01)
    return total


@program((0.5, 0.1, 200), wrt=(0, 1))
def loop_with_early_convergence(x, rate, most):
    for _ in range(most):
        slope = 4 * x**3 - 3 * x - 1
        if abs(slope) < 1e-10:
            break
        x = x - rate * slope
    return x * rate
