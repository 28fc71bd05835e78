"""Loops in blocks: the same numbers and the same errors as Python, whatever the number of trips and where they end."""

import math

import numpy as np
import pytest

from myia_lite import check_grads, grad, myia
from myia_lite.backends.llvm import vectors

LENGTHS = [0, 1, 15, 16, 17, 255, 256, 257, 271, 272, 700]


def total(x, a):
    s = 0.0
    for i in range(len(x)):
        s += math.exp(x[i] * a) - math.sin(x[i])
    return s


def from_a_start(x, first, last):
    s, k = 0.0, 0
    for i in range(first, last):
        s = s * 0.5 + math.log(1.0 + x * i * i)
        k += i
    return s + k


def filled(x, a):
    out = np.zeros(len(x))
    carry = 0.0
    for i in range(len(x)):
        e = math.tanh(x[i]) * a
        if e > carry:
            carry = e
        out[i] = carry + math.expm1(x[i])
    return out


def products(x):
    p = 1.0
    for i in range(len(x)):
        p = p * (1.0 + 0.01 * math.cos(x[i]) * x[i] ** 2.5)
    return p


def pairs(x, y):
    s = np.zeros(2)
    for i in range(len(x)):
        e = np.exp(x[i] - y[i])
        if e > 1.0:
            s[0] += e * y[i]
        else:
            for k in range(2):
                s[k] += e
    return s


def is_blocked(f, *args):
    return "alloca [256 x double]" in myia(f).ir(*args, stage="llvm")


@pytest.mark.skipif(not vectors.available(), reason="fast functions want fused multiply-adds")
@pytest.mark.parametrize(("f", "rest"), [(total, (0.5,)), (filled, (2.0,)), (products, ()), (pairs, (np.ones(40),))])
def test_these_loops_go_in_blocks(f, rest):
    assert is_blocked(f, np.zeros(40), *rest)


def test_a_recurrence_does_not():
    def f(x, n):
        for _ in range(n):
            x = math.sin(x)
        return x

    assert not is_blocked(f, 1.0, 40)


@pytest.mark.parametrize("n", LENGTHS)
def test_values(n):
    x = np.linspace(0.01, 3.0, n)
    y = np.linspace(1.0, 2.0, n)
    for f, args in ((total, (x, 0.7)), (filled, (x, 0.3)), (products, (x,)), (pairs, (x, y))):
        np.testing.assert_allclose(myia(f)(*args), f(*args), rtol=1e-13)
    for first in (-5, 0, 3):
        np.testing.assert_allclose(myia(from_a_start)(0.5, first, n), from_a_start(0.5, first, n), rtol=1e-13)


@pytest.mark.parametrize("n", [3, 16, 40, 300])
def test_gradients(n):
    x = np.linspace(0.01, 0.9, n)
    analytic = 0.7 * np.exp(0.7 * x) - np.cos(x)
    np.testing.assert_allclose(grad(total)(x, 0.7), analytic, rtol=1e-13)
    weights = np.cos(np.arange(n))

    def weighted(x):
        return (filled(x, 0.3) * weights).sum() + products(x)

    if n < 100:
        check_grads(weighted, (x,), order=2)
        want = grad(myia(weighted, backend="interp"))(x)
        np.testing.assert_allclose(grad(weighted)(x), want, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("where", [0, 15, 16, 200, 256, 299])
def test_errors_come_where_they_should(where):
    x = np.linspace(0.0, 1.0, 300)
    x[where] = 1e6
    f = myia(total)
    for _ in range(2):
        with pytest.raises(OverflowError, match="math range error") as e:
            f(x, 1.0)
        assert "math.exp(x[i] * a)" in str(e.value.__notes__)

    def first_of_two(x, y):
        s = 0.0
        for i in range(len(x)):
            s += math.log(x[i])  # first in each trip
            s += 1.0 / float(y[i])
        return s

    y = np.ones(300)
    x[:], y[max(where - 1, 0)] = 1.0, 0.0
    x[where] = -1.0
    kind = ZeroDivisionError if where else ValueError
    with pytest.raises(kind):
        myia(first_of_two)(x, y)


def test_arguments_beyond_the_range_of_a_fast_function():
    x = np.linspace(0.0, 10.0, 600)
    x[300] = 1e15
    x[301] = -1e300
    np.testing.assert_allclose(myia(products)(x[:300]), products(x[:300]), rtol=1e-13)

    def sines(x):
        s = 0.0
        for i in range(len(x)):
            s += math.sin(x[i]) * (i + 1.0)
        return s

    np.testing.assert_allclose(myia(sines)(x), sines(x), rtol=1e-11)


def test_index_errors_are_seen_before_anything_is_read():
    def gathered(x, index):
        s = 0.0
        for i in range(len(index)):
            s += math.exp(x[index[i]])
        return s

    x, index = np.linspace(0.0, 1.0, 50), np.arange(50)
    assert myia(gathered)(x, index) == pytest.approx(gathered(x, index), rel=1e-14)
    index[20] = 10**9
    with pytest.raises(IndexError):
        myia(gathered)(x, index)


def test_single_precision_and_number_model():
    def f(x):
        s = np.float32(0.0)
        for i in range(len(x)):
            s = s + np.exp(x[i]) * np.sin(x[i])
        return s

    x = np.linspace(-3.0, 3.0, 500).astype(np.float32)
    got = myia(f)(x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, f(x.astype(np.float64)), rtol=1e-4)
    x = np.linspace(700.0, 720.0, 40)
    assert myia(total, error_model="numpy")(x, 1.0) == np.inf


def test_a_loop_in_a_loop_and_an_early_exit():
    def nested(x, limit):
        best = 0.0
        for i in range(len(x)):
            s = 0.0
            for j in range(i):
                s += math.exp(-x[j] * x[i])
            best = best + s
            if best > limit:
                break
        return best

    x = np.linspace(0.1, 1.0, 60)
    for limit in (3.0, 1e9):
        assert myia(nested)(x, limit) == pytest.approx(nested(x, limit), rel=1e-13)
    got, step = grad(nested)(x, 1e9), 1e-6
    along = np.cos(np.arange(60.0))
    slope = (nested(x + step * along, 1e9) - nested(x - step * along, 1e9)) / (2 * step)
    assert got @ along == pytest.approx(slope, rel=1e-7)
