"""A loop that reads a[i] and writes y[i]: its gradient must be linear in n."""

import ctypes
from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_equal, compile_c, medians

N = 1_000_000


def fill(a):
    """Independent elements."""
    y = np.zeros(len(a))
    for i in range(len(a)):
        y[i] = a[i] * a[i]
    return np.sum(y)


def recurrence(a):
    """Each element needs the one before."""
    y = np.zeros(len(a))
    y[0] = a[0] * a[0]
    for i in range(1, len(a)):
        y[i] = 0.5 * y[i - 1] + a[i] * a[i]
    return np.sum(y)


def recurrence_by_hand(a):
    """The gradient of `recurrence`: element i weighs 1 + 1/2 + 1/4 + … up to the end."""
    weights = 2.0 - 0.5 ** np.minimum(np.arange(len(a))[::-1], 1000.0)
    return 2 * a * weights


C = """
#include <stdlib.h>
void adjoint(const double *a, double *a_bar, long n) {
    double y_bar = 0.0;
    for (long i = n - 1; i >= 0; i--) {
        y_bar = 0.5 * y_bar + 1.0;
        a_bar[i] = 2.0 * a[i] * y_bar;
    }
}
"""


@benchmark
def run():
    """Time at 2n against time at n; and the recurrence against C that needs no forward pass at all."""
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal(N), rng.standard_normal(2 * N)
    filled, recurrent = grad(myia(fill)), grad(myia(recurrence))
    for a in (small, large):
        check_equal(filled(a), 2 * a, what="the gradient of a[i]²")
        check_equal(recurrent(a), recurrence_by_hand(a), what="the gradient of the recurrence")
    for what, derived in (("a[i]² to y[i]", filled), ("a recurrence in y", recurrent)):
        at_2n, at_n = medians(partial(derived, large), partial(derived, small))
        yield Row(f"array loop, {what}: gradient at 2n, n = 1e6", at_2n, "itself at n", at_n, target=2.4)
    functions = compile_c(C, ("adjoint", None, [np.ctypeslib.ndpointer(np.float64)] * 2 + [ctypes.c_long]))
    ours, theirs = at_n, None
    if functions is not None:
        (adjoint,) = functions

        def in_c():
            a_bar = np.empty(N)
            adjoint(small, a_bar, N)
            return a_bar

        check_equal(recurrent(small), in_c(), what="the gradient of the recurrence and C")
        ours, theirs = medians(partial(recurrent, small), in_c)
    yield Row("array loop, a recurrence in y: gradient, n = 1e6", ours, "C, simplified by hand", theirs)
