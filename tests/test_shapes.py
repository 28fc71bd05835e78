"""Shape generality: the second size of an axis makes it open, and a third compiles nothing.

Plain Python is the oracle, for values and for errors.
"""

import numpy as np
import pytest

from myia_lite import MyiaValueError, grad, hessian, jacfwd, jacrev, jvp, myia, value_and_grad, vjp
from myia_lite.api import transformed

RNG = np.random.default_rng(0)
BACKENDS = ("llvm", "interp")


def energy(x):
    return np.sum(np.sin(x) * x)


def mixed(a, x, b):
    y = np.tanh(a @ x + b)
    total = 0.0
    for k in range(len(y)):
        total = total + y[k] * k
    return total + np.mean(y * y) + np.max(a)


def rows(a):
    return np.sum(np.exp(a - np.max(a, axis=1)[:, None]), axis=0)


def of_size(n):
    return RNG.standard_normal((n, n + 1)), RNG.standard_normal(n + 1), RNG.standard_normal(n)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_third_size_compiles_nothing(backend, repeats):
    """Thrice: from the second call of a signature on it is the native entry that takes it."""
    f = myia(mixed, backend=backend)
    for n in (3, 5, 4, 7, 2, 3):
        args = of_size(n)
        for _ in range(repeats):
            assert f(*args) == pytest.approx(mixed(*args), rel=1e-12)
        if n == 5:
            assert f.compilations == 2
    assert f.compilations == 2


DERIVATIVES = {
    "grad": (lambda f: grad(f, (0, 1, 2)), mixed, of_size),
    "value_and_grad": (lambda f: value_and_grad(f), energy, lambda n: (RNG.standard_normal(n),)),
    "second order": (lambda f: grad(lambda x: np.sum(grad(f)(x) ** 2)), energy, lambda n: (RNG.standard_normal(n),)),
    "hessian": (hessian, energy, lambda n: (RNG.standard_normal(n),)),
    "jacfwd": (jacfwd, rows, lambda n: (RNG.standard_normal((n, 2 * n)),)),
    "jacrev": (jacrev, rows, lambda n: (RNG.standard_normal((n, 2 * n)),)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_take_any_size(name, backend):
    """The same numbers as from a program for just that size."""
    transform, f, arguments = DERIVATIVES[name]
    compiled = transform(myia(f, backend=backend))
    exact = transform(myia(f, backend=backend, static_shapes=True))
    for n in (3, 4, 5, 6):
        args = arguments(n)
        for mine, theirs in zip(flat(compiled(*args)), flat(exact(*args)), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)
            assert np.shape(mine) == np.shape(theirs)
        assert compiled.compilations == min(n - 2, 2)


def flat(x):
    return [leaf for item in x for leaf in flat(item)] if isinstance(x, tuple) else [x]


def test_jvp_and_vjp_take_any_size():
    for n in (3, 4, 5, 6):
        x, x_dot = RNG.standard_normal((2, n))
        y, y_dot = jvp(energy, (x,), (x_dot,))
        assert y == pytest.approx(energy(x))
        assert y_dot == pytest.approx(np.sum((np.cos(x) * x + np.sin(x)) * x_dot))
        value, pull = vjp(rows, np.outer(x, x_dot))
        np.testing.assert_allclose(value, rows(np.outer(x, x_dot)))
        assert pull(value)[0].shape == (n, n)
    assert transformed("jvp", energy).compilations == 2 and transformed("vjp", rows).compilations == 2


def test_only_the_axis_that_varies_is_open():
    f = myia(lambda a: a.shape[1] * np.sum(a))
    for n in (2, 3, 4):
        f(np.ones((n, 5)))
    assert f.compilations == 2
    assert "f64[?,5]" in str(f._programs[f._widest.popitem()[1]].inferred.arguments[0])


def test_structures_and_keywords():
    def loss(parameters, *, x):
        return np.sum(np.tanh(x @ parameters["w"] + parameters["b"]))

    f = grad(myia(loss))
    for n in (3, 4, 5):
        parameters = {"w": RNG.standard_normal((n, 2)), "b": RNG.standard_normal(2)}
        x = RNG.standard_normal((2 * n, n))
        got = f(parameters, x=x)
        slope = 1.0 - np.tanh(x @ parameters["w"] + parameters["b"]) ** 2
        np.testing.assert_allclose(got["w"], x.T @ slope)
        np.testing.assert_allclose(got["b"], slope.sum(axis=0))
    assert f.compilations == 2


def test_complex_arrays():
    f = myia(lambda z: np.sum(z * np.conj(z)).real)
    for n in (2, 3, 4, 5):
        z = RNG.standard_normal(n) + 1j * RNG.standard_normal(n)
        assert f(z) == pytest.approx(np.sum(np.abs(z) ** 2))
    assert f.compilations == 2


# ---- sizes 0 and 1 ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_size_of_one_still_broadcasts(backend):
    def f(x, y):
        return x * y

    compiled = myia(f, backend=backend)
    for n, m in [(3, 3), (4, 4), (5, 5), (1, 5), (5, 1), (1, 1), (6, 6), (6, 1)]:
        x, y = RNG.standard_normal(n), RNG.standard_normal(m)
        for _ in range(3):
            np.testing.assert_array_equal(compiled(x, y), f(x, y))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_size_that_comes_out_as_one_still_broadcasts(backend):
    """No argument has it, so that the open program cannot know: the one for just these sizes answers."""

    def f(x, y):
        return x[1:] * y

    compiled = myia(f, backend=backend)
    for n, m in [(4, 3), (5, 4), (6, 5), (2, 7), (2, 7), (2, 7)]:
        x, y = RNG.standard_normal(n), RNG.standard_normal(m)
        np.testing.assert_array_equal(compiled(x, y), f(x, y))


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_arrays(backend):
    compiled = myia(energy, backend=backend)
    for n in (3, 4, 0, 5, 0):
        for _ in range(3):
            x = RNG.standard_normal(n)
            assert compiled(x) == pytest.approx(energy(x))
    greatest = myia(lambda x: np.max(x), backend=backend)
    assert [greatest(np.ones(n)) for n in (3, 4, 5)] == [1.0] * 3
    with pytest.raises(ValueError):
        greatest(np.ones(0))


# ---- errors ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_are_those_of_a_program_for_the_size(backend):
    def f(x, y):
        return x + y

    compiled = myia(f, backend=backend)
    for n in (3, 4, 5, 5, 5):
        compiled(np.ones(n), np.ones(n))
    for _ in range(3):
        with pytest.raises(MyiaValueError, match=r"could not be broadcast together with shapes \(3,\) \(4,\)"):
            compiled(np.ones(3), np.ones(4))
    np.testing.assert_array_equal(compiled(np.ones(9), np.ones(9)), 2.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_that_the_program_raises_stays(backend):
    def f(x):
        if x[0] > 0.0:
            raise ValueError("positive")
        return x[len(x) - 1]

    compiled = myia(f, backend=backend)
    for n in (3, 4, 5):
        assert compiled(-np.ones(n)) == -1.0
        with pytest.raises(ValueError, match="positive"):
            compiled(np.ones(n))


# ---- programs that need their sizes ----------------------------------------------------------------------------------
def test_where_a_size_must_be_known_each_has_its_program():
    def f(x):
        a, b, *rest = x
        return a * b + len(rest)

    compiled = myia(f)
    for n in (3, 4, 5, 4, 3):
        x = RNG.standard_normal(n)
        assert compiled(x) == pytest.approx(f(x))
    assert compiled.compilations == 3


def test_a_program_that_is_wrong_for_one_size_only():
    """What the second call is refused for is not held against the third."""

    def f(x):
        return x.reshape(2, -1)

    compiled = myia(f)
    assert compiled(np.ones(4)).shape == (2, 2)
    with pytest.raises(ValueError):
        compiled(np.ones(5))
    assert [compiled(np.ones(n)).shape for n in (6, 8, 10)] == [(2, 3), (2, 4), (2, 5)]
    assert compiled.compilations <= 3


def test_the_switch():
    f = myia(energy, static_shapes=True)
    for n in (2, 3, 4):
        f(np.ones(n))
    assert f.compilations == 3 and "f64[4]" in f.ir(np.ones(4))
    g = grad(f)
    for n in (2, 3, 4):
        g(np.ones(n))
    assert g.compilations == 3


def test_what_is_captured_is_still_watched():
    scale = [2.0]

    def f(x):
        return scale[0] * x

    compiled = myia(f)
    for n in (2, 3, 4):
        np.testing.assert_array_equal(compiled(np.ones(n)), 2.0 * np.ones(n))
    scale[0] = 3.0
    for n in (2, 3, 4, 5):
        for _ in range(3):
            np.testing.assert_array_equal(compiled(np.ones(n)), 3.0 * np.ones(n))
    assert compiled.compilations == 3


def test_shapes_from_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    f = grad(energy)
    sizes = [2 + k % 7 for k in range(200)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: f(np.ones(n)), sizes))
    for n, got in zip(sizes, results, strict=True):
        np.testing.assert_allclose(got, np.sin(1.0) + np.cos(1.0) * np.ones(n))
    assert f.compilations == 2


PRODUCTS = {
    "A B": lambda a, b: a @ b,
    "Aᵀ B": lambda a, b: a.T @ b,
    "A Bᵀ": lambda a, b: a @ b.T,
    "Aᵀ Bᵀ": lambda a, b: a.T @ b.T,
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("vector", ["none", "left", "right"])
def test_products_of_open_sizes(name, vector):
    """Loops for few multiplications, BLAS for more, and one thread of it up to a size: the running program chooses."""
    f = myia(PRODUCTS[name])
    for m, n, k in ((2, 3, 4), (3, 4, 5), (7, 8, 9), (2, 2, 2), (13, 11, 17), (60, 50, 40), (150, 130, 170)):
        a = RNG.standard_normal((k, m) if "Aᵀ" in name else (m, k))
        b = RNG.standard_normal((n, k) if "Bᵀ" in name else (k, n))
        if vector != "none":
            a, b = (RNG.standard_normal(k), b) if vector == "left" else (a, RNG.standard_normal(k))
        np.testing.assert_allclose(f(a, b), PRODUCTS[name](a, b), rtol=1e-10, atol=1e-12)
    assert f.compilations == 2
