"""Exceptions: raised by the program, and by what it does."""

import math

import numpy as np

from .table import EMPTY, M, V, W, program


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


@program(((1.0, 2.0),), raises={ValueError: [((1.0, 2.0, 3.0),), ((1.0,),)]}, exact=True)
def unpacks_two(t):
    a, b = t
    return a + b


@program(({"a": 1.0, "b": 2.0},), raises={KeyError: [({"a": 1.0},)]}, exact=True)
def dict_without_the_key(d):
    return d["b"]


@program((3.0,), raises={TypeError: [(-3.0,)]})
def branches_of_other_types(x):
    y = x if x > 0 else "none"
    return y + 1
