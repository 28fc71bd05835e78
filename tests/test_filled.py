"""Arrays of a constant that a loop fills: nothing is written twice, and nothing is read that was not written."""

import numpy as np
import pytest

from myia_lite import grad, jacobian, myia
from myia_lite.backends.llvm.filled import Fillings
from myia_lite.ir.text import parse_text
from myia_lite.ops import PRIMITIVES


def doubled(x):
    out = np.zeros(len(x))
    for i in range(len(x)):
        out[i] = x[i] * 2.0
    return out


def decayed(x):
    out = np.full(len(x), 0.25)
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = 0.5 * out[i - 1] + x[i]
    return out


def middle(x):
    out = np.ones(len(x))
    for i in range(2, len(x) - 1):
        out[i] = x[i]
    return out


def fibonacci(x):
    out = np.ones(len(x))
    for i in range(2, len(x)):
        out[i] = out[i - 1] * 0.5 + out[i - 2] * x[i]
    return out


def table(x):
    out = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(len(x)):
            out[j, i] = x[i] * x[j] + i
    return out


def rows(x):
    out = np.zeros((len(x), 3))
    for i in range(len(x)):
        out[i] = np.array([x[i], 2.0 * x[i], 1.0])
    return out


def sums(x):
    out = np.full(len(x), 0.5)
    for i in range(len(x)):
        out[i] += x[i]
        out[i] = out[i] * out[i]
    return out


def some_of_each_row(x):
    out = np.zeros((len(x), 3))
    for i in range(len(x)):
        out[i, 0] = x[i]
        out[i, 2] = 2.0 * x[i]
    return out


def long_rows(x):
    out = np.zeros((len(x), 200))
    for i in range(len(x)):
        out[i] = x[i] * np.arange(200.0)
    return out


def left_early(x):
    out = np.zeros(len(x))
    for i in range(len(x)):
        if x[i] > 0.9:
            break
        out[i] = x[i]
    return out


def sometimes(x):
    out = np.zeros(len(x))
    for i in range(len(x)):
        if x[i] > 0.5:
            out[i] = x[i]
    return out


def ahead(x):
    out = np.zeros(len(x) + 1)
    for i in range(len(x)):
        out[i] = x[i] + out[i + 1]
    return out


def half(x):
    out = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(i):
            out[i, j] = x[i] * x[j]
    return out


def looked_at_inside(x):
    out = np.zeros((len(x), len(x)))
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            out[i, j] = x[i] * x[j]
        total += out[len(x) - 1, 0]
    return out * total


def kept_apart(x):
    zeros = np.zeros(len(x))
    out = zeros.copy()
    for i in range(len(x)):
        out[i] = x[i]
    return out + zeros


def backwards(x):
    out = np.zeros(len(x))
    for i in range(len(x)):
        out[len(x) - 1 - i] = x[i]
    return out


PROGRAMS = [doubled, decayed, middle, fibonacci, table, rows, sums, left_early, sometimes, ahead, half]
PROGRAMS += [looked_at_inside, kept_apart, backwards, some_of_each_row, long_rows]
ONCE = {
    doubled,
    decayed,
    middle,
    fibonacci,
    table,
    sums,
    kept_apart,
    rows,
    long_rows,
}  # of these the constant is not written first


def leave_nans(sizes):
    """Memory that was in use, and holds what nobody should see."""
    fill = myia(lambda n: np.sum(np.full(n, np.nan) * np.full(n, 2.0)), static_shapes=True)
    for n in sizes:
        fill(n)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("static", [True, False])
def test_is_what_python_makes(f, static):
    rng = np.random.default_rng(0)
    compiled = myia(f, static_shapes=static)
    for n in (7, 40, 3, 2, 1, 700, 40):
        x = rng.random(n)
        leave_nans((n, n + 1, n * n, 3 * n))
        np.testing.assert_array_equal(compiled(x), f(x))
    if f not in (decayed, looked_at_inside):  # which look at elements that an empty array has not
        np.testing.assert_array_equal(compiled(np.zeros(0)), f(np.zeros(0)))


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_derivatives(f):
    """Where the adjoint of an array starts as zeros, and its loop adds to each element once."""

    def loss(x):
        return np.sum(f(x) ** 2)

    x = 0.1 + 0.7 * np.random.default_rng(1).random(9)
    leave_nans((9, 10, 27, 81))
    first, second = grad(loss)(x), jacobian(grad(loss))(x)
    np.testing.assert_allclose(first, grad(myia(loss, backend="interp"))(x), rtol=1e-12)
    leave_nans((9, 10, 27, 81))
    np.testing.assert_allclose(second, jacobian(grad(myia(loss, backend="interp")))(x), rtol=1e-10)


def closed(f, x):
    """The graph that the back end gets."""
    return parse_text(myia(f, static_shapes=True).ir(x), PRIMITIVES)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_which_constants_are_not_written(f):
    assert bool(Fillings(closed(f, np.ones(40))).arrays) is (f in ONCE)
