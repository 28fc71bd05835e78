"""Functions: arguments, closures, recursion, functions as values."""

import functools
import math
import operator

import numpy as np

from .table import V, program


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


@program((2.0, 3), (-2.0, 0))
def more_of_the_operator_module(x, n):
    compared = operator.lt(x, n), operator.eq(n, 3), operator.is_(None, None), operator.not_(n)
    return compared, operator.getitem((x, 1.0), 0), operator.contains((1, 3), n), operator.xor(n, 5), operator.abs(x)


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
