"""The derivatives of primitives against JAX's, at random points, in both modes, for many directions at once."""

import numpy as np
import pytest

from myia_lite import jacfwd, jacrev, myia

jax = pytest.importorskip("jax")
from jax import numpy as jnp  # noqa: E402
from jax.scipy import special  # noqa: E402

RNG = np.random.default_rng(7)
ANY, POSITIVE, INSIDE = RNG.normal(size=6), RNG.uniform(0.2, 4.0, 6), RNG.uniform(-0.9, 0.9, 6)
OTHER, MATRIX = RNG.normal(size=6), RNG.normal(size=(6, 4))
PLACES = np.array([3, 0, 5, 3])

# name -> points at which it is smooth
OF_ONE = {
    "abs": ANY,
    "sqrt": POSITIVE,
    "cbrt": POSITIVE,
    "exp": ANY,
    "exp2": ANY,
    "expm1": ANY,
    "log": POSITIVE,
    "log2": POSITIVE,
    "log10": POSITIVE,
    "log1p": POSITIVE,
    "sin": ANY,
    "cos": ANY,
    "tan": ANY,
    "arcsin": INSIDE,
    "arccos": INSIDE,
    "arctan": ANY,
    "sinh": ANY,
    "cosh": ANY,
    "tanh": ANY,
    "arcsinh": ANY,
    "arccosh": POSITIVE + 1.0,
    "arctanh": INSIDE,
    "floor": ANY,
    "sign": ANY,
    "sinc": ANY,
    "square": ANY,
    "negative": ANY,
    "reciprocal": POSITIVE,
    "cumsum": ANY,
    "prod": ANY,
    "sum": ANY,
    "max": ANY,
    "min": ANY,
    "sort": ANY,
}
OF_TWO = {
    "add": ANY,
    "subtract": ANY,
    "multiply": ANY,
    "divide": ANY,
    "power": POSITIVE,
    "arctan2": ANY,
    "hypot": ANY,
    "maximum": ANY,
    "minimum": ANY,
    "fmax": ANY,
    "fmin": ANY,
    "mod": POSITIVE,
    "fmod": POSITIVE,
    "copysign": ANY,
    "logaddexp": ANY,
    "dot": ANY,
    "outer": ANY,
}


def agree(ours, theirs, *args):
    """Both Jacobians by all arguments, in both modes."""
    jax.config.update("jax_enable_x64", True)
    every = tuple(range(len(args)))
    expected = jax.jacfwd(theirs, argnums=every)(*args)
    for jac in (jacfwd, jacrev):
        for actual, e in zip(jac(ours, every)(*args), expected, strict=True):
            np.testing.assert_allclose(actual, np.asarray(e), rtol=1e-9, atol=1e-11)


def of(name, count):
    """The function of NumPy's of that name, by its source: compiled code wants one."""
    f = getattr(np, name)
    if count == 1:
        return lambda x: f(x)
    return lambda x, y: f(x, y)


@pytest.mark.parametrize("name", OF_ONE)
def test_of_one(name):
    agree(of(name, 1), getattr(jnp, name), OF_ONE[name])


@pytest.mark.parametrize("name", OF_TWO)
def test_of_two(name):
    agree(of(name, 2), getattr(jnp, name), OF_TWO[name], OTHER if name != "power" else OTHER * 0.5)


STRUCTURAL = {
    "matmul": (lambda x, m: x @ m, lambda x, m: x @ m),
    "matmul of columns": (lambda x, m: m.T @ x, lambda x, m: m.T @ x),
    "transposed": (lambda x, m: (m.T * x)[1], lambda x, m: (m.T * x)[1]),
    "slice": (lambda x, m: m[4:0:-2, 1:] * x[0], lambda x, m: m[4:0:-2, 1:] * x[0]),
    "gather": (lambda x, m: m[PLACES] * x[PLACES][:, None], lambda x, m: m[PLACES] * x[PLACES][:, None]),
    "concatenate": (lambda x, m: np.concatenate((x, m[:, 0])), lambda x, m: jnp.concatenate((x, m[:, 0]))),
    "where": (lambda x, m: np.where(x > 0.0, x, m[:, 1]), lambda x, m: jnp.where(x > 0.0, x, m[:, 1])),
    "clip": (lambda x, m: np.clip(m * x[0], -0.5, 0.5), lambda x, m: jnp.clip(m * x[0], -0.5, 0.5)),
    "reductions": (
        lambda x, m: np.sum(m, axis=0) * np.max(m, axis=0) * np.prod(m, axis=0),
        lambda x, m: jnp.sum(m, axis=0) * jnp.max(m, axis=0) * jnp.prod(m, axis=0),
    ),
    "reshape": (lambda x, m: m.reshape(4, 6) * x, lambda x, m: m.reshape(4, 6) * x),
    "powers": (lambda x, m: x**3 + x**2 + m[:, 0] ** 1, lambda x, m: x**3 + x**2 + m[:, 0] ** 1),
}


@pytest.mark.parametrize("name", STRUCTURAL)
def test_of_structure(name):
    ours, theirs = STRUCTURAL[name]
    agree(ours, theirs, ANY, MATRIX)


def written(x, m):
    """Writes to a slice, to an element, and to several places; and a sum into one."""
    out = m * 1.0
    out[1:3] = x[:4]
    out[0, 2] = x[5]
    out[[5, 3]] = x[2:6]
    out[4, 1] += x[0] * x[0]
    return out


def written_in_jax(x, m):
    out = m.at[1:3].set(x[:4]).at[0, 2].set(x[5]).at[np.array([5, 3])].set(x[2:6])
    return out.at[4, 1].add(x[0] * x[0])


@pytest.mark.parametrize("backend", ["interp", "llvm"])
def test_writes(backend):
    agree(myia(backend=backend)(written), written_in_jax, ANY, MATRIX)


@pytest.mark.parametrize("name", ["erf", "erfc", "gammaln", "digamma"])
def test_special(name):
    scipy = pytest.importorskip("scipy.special")
    f = getattr(scipy, name)
    agree(lambda x: f(x), getattr(special, name), POSITIVE)
