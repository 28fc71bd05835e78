"""Programs with very many loops: each nest is optimised in a function of its own, and the answers stay the same."""

import numpy as np
import pytest

from myia_lite import grad, myia
from myia_lite.backends.llvm import program

RNG = np.random.default_rng(0)
A, X = RNG.standard_normal((7, 5)), RNG.standard_normal(5)


def elementwise(x):
    y = np.sin(x) * x
    return np.sum(np.exp(y - np.max(y)) / (1.0 + x * x))


def products(a, x):
    h = np.tanh(a @ x)
    return np.sum(h * h) + np.max(a @ x) + np.prod(x)


def state(x, n):
    total, y = 0.0, np.zeros(len(x))
    for i in range(n):
        for j in range(len(x)):
            if x[j] > 0.1 * i:
                y[j] = y[j] + x[j] * i
            total = total + y[j] * np.sin(total)
    return total + np.sum(y)


def recursive(x, n):
    return np.sum(x) if n == 0 else recursive(x * 0.5 + 1.0, n - 1) + np.sum(x * x)


def sorts(x):
    return np.sum(np.sort(x) * np.cumsum(x))


def raises(x):
    total = 0.0
    for v in x:
        if v > 100.0:
            raise ValueError(f"{v} is too large")
        total = total + 1.0 / v
    return total


PROGRAMS = [
    (elementwise, (X,)),
    (products, (A, X)),
    (state, (X, 6)),
    (recursive, (X, 4)),
    (sorts, (X,)),
    (raises, (X,)),
]


@pytest.fixture
def apart(monkeypatch):
    """As if every program had very many loops."""
    monkeypatch.setattr(program, "LOOPS", 0)


@pytest.mark.parametrize(("f", "args"), PROGRAMS, ids=lambda x: getattr(x, "__name__", ""))
def test_values_and_derivatives(f, args, apart):
    compiled, reference = myia(f), grad(myia(f, backend="interp"))
    assert compiled(*args) == pytest.approx(f(*args), rel=1e-12)
    np.testing.assert_allclose(grad(compiled)(*args), reference(*args), rtol=1e-10, atol=1e-12)
    assert not compiled._program(args, {}).run.leaked


def test_second_derivatives(apart):
    def square(x):
        return np.sum(grad(elementwise)(x) ** 2)

    np.testing.assert_allclose(grad(myia(square))(X), grad(myia(square, backend="interp"))(X), rtol=1e-10)


def test_exceptions(apart):
    f = myia(raises)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"101\.0 is too large"):
            f(np.array([1.0, 101.0]))
        with np.errstate(divide="ignore"):
            assert f(np.array([1.0, 0.0])) == np.inf


def test_the_loops_are_apart(monkeypatch):
    whole = myia(elementwise).ir(X, stage="llvm")
    monkeypatch.setattr(program, "LOOPS", 0)
    split = myia(elementwise).ir(X, stage="llvm")
    assert split.count("\ndefine") > whole.count("\ndefine")


def layers(x, w, count):
    """A formula that comes again and again; a loop over a tuple is written out."""
    a, b = x, x[::-1]
    for _ in count:
        a, b = np.sin(a) * w + b, a * b - w
        b = b + a[0]
        a = np.where(a > b, a, a * 0.5 + b) + w[:, None].sum(axis=1)
    return np.sum(a * b)


def test_nests_that_read_the_same_are_one_function(apart):
    """Six layers have the functions of three, and the answer is that of Python."""
    w, functions = RNG.standard_normal(5), []
    for count in ((0,) * 3, (0,) * 6):
        compiled, derived = myia(layers), grad(layers, argnums=(0, 1))
        assert compiled(X, w, count) == pytest.approx(layers(X, w, count), rel=1e-12)
        step, slopes = 1e-6 * RNG.standard_normal(5), derived(X, w, count)
        by_x = (layers(X + step, w, count) - layers(X - step, w, count)) / 2
        by_w = (layers(X, w + step, count) - layers(X, w - step, count)) / 2
        assert slopes[0] @ step == pytest.approx(by_x, rel=1e-4)
        assert slopes[1] @ step == pytest.approx(by_w, rel=1e-4)
        functions.append(compiled.ir(X, w, count, stage="llvm").count("\ndefine"))
    assert functions[0] == functions[1]
