"""Recursive functions of floats, values and gradients, against C: a sum of calls, an adaptive integral, a tree."""

import math
from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import ARRAY, DOUBLE, LONG, benchmark, by_hand, check_equal, compare

DEPTH, LEAVES, TOLERANCE = 25.0, 4096, 1e-9


def fib(n, x):
    """Two calls, weighted."""
    if n < 2.0:
        return x * n + 1.0
    return fib(n - 1.0, x) * 0.6 + fib(n - 2.0, x) * 0.4


def simpson(a, b, w):
    """Simpson's rule for sin(w t²)."""
    m = 0.5 * (a + b)
    return (b - a) / 6.0 * (math.sin(w * a * a) + 4.0 * math.sin(w * m * m) + math.sin(w * b * b))


def integral(a, b, w, tolerance):
    """Halves of halves, until two steps agree with one."""
    m = 0.5 * (a + b)
    whole, halves = simpson(a, b, w), simpson(a, m, w) + simpson(m, b, w)
    if abs(halves - whole) <= tolerance:
        return halves
    return integral(a, m, w, 0.5 * tolerance) + integral(m, b, w, 0.5 * tolerance)


def tree(x, low, high):
    """Resistors, in parallel by pairs."""
    if high - low == 1:
        return x[low]
    middle = (low + high) // 2
    left, right = tree(x, low, middle), tree(x, middle, high)
    return left * right / (left + right)


def in_c(name, types, *arguments):
    """A call of a function of `by_hand/recursion.c`."""
    function = by_hand("recursion", name, *types, result=DOUBLE)
    return function and partial(function, *arguments)


def adjoint_in_c(x):
    """The gradient of the tree."""
    fill = by_hand("recursion", "tree_adjoint", ARRAY, LONG, ARRAY, result=DOUBLE)

    def call():
        x_bar = np.empty(len(x))
        fill(x, len(x), x_bar)
        return x_bar

    return fill and call


@benchmark
def run():
    """Values and gradients."""
    x = 1.0 + np.random.default_rng(0).random(LEAVES)
    check_equal(myia(fib)(10.0, 0.5), fib(10.0, 0.5))
    check_equal(myia(integral)(0.0, 3.0, 2.0, 1e-3), integral(0.0, 3.0, 2.0, 1e-3))
    check_equal(myia(tree)(x, 0, 100), tree(x, 0, 100))
    numbers, whole = [DOUBLE] * 4, (0.0, 10.0, 3.0, TOLERANCE)
    for what, ours, theirs in (
        ("fib", partial(myia(fib), DEPTH, 0.5), in_c("fib", numbers[:2], DEPTH, 0.5)),
        ("fib: gradient", partial(grad(fib, 1), DEPTH, 0.5), in_c("fib_slope", numbers[:3], DEPTH, 0.5, 1.0)),
        ("integral", partial(myia(integral), *whole), in_c("integral", numbers, *whole)),
        ("integral: gradient", partial(grad(integral, 2), *whole), in_c("integral_slope", numbers, *whole)),
        ("tree", partial(myia(tree), x, 0, LEAVES), in_c("tree", [ARRAY, LONG, LONG], x, 0, len(x))),
        ("tree: gradient", partial(grad(tree), x, 0, LEAVES), adjoint_in_c(x)),
    ):
        yield from compare(f"recursion, {what}", ours, {"C, by hand": theirs}, 1.5)
