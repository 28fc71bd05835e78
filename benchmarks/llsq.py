"""GradBench's `llsq`: least squares of a polynomial against a sign function, with scalar loops."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import ARRAY, LONG, Row, benchmark, by_hand, check_equal, compare, medians
from .peers import in_autograd, in_jax, in_numba, in_torch

M, SIZES = 128, (64, 1024, 16392)


def llsq(x, n):
    """½ Σᵢ (sign(tᵢ) − Σⱼ xⱼ tᵢʲ)² for n points tᵢ between −1 and 1."""
    total = 0.0
    for i in range(n):
        t = -1 + 2 * i / (n - 1)
        sign = 1.0 if t > 0 else (-1.0 if t < 0 else 0.0)
        power = 1.0
        fit = 0.0
        for j in range(len(x)):
            fit += x[j] * power
            power *= t
        total += (sign - fit) ** 2
    return 0.5 * total


def in_arrays(xp, x, t, exponents):
    """The value for tools that want whole arrays."""
    return 0.5 * xp.sum((xp.sign(t) - (t[:, None] ** exponents) @ x) ** 2)


def adjoint(x, n):
    """The gradient by hand, for Numba."""
    powers, x_bar = np.empty(len(x)), np.zeros(len(x))
    for i in range(n):
        t, power, fit = -1.0 + 2.0 * i / (n - 1), 1.0, 0.0
        for j in range(len(x)):
            powers[j] = power
            fit += x[j] * power
            power *= t
        r = (1.0 if t > 0 else (-1.0 if t < 0 else 0.0)) - fit
        for j in range(len(x)):
            x_bar[j] -= r * powers[j]
    return x_bar


def in_numpy(x, t, exponents):
    """The gradient in NumPy."""
    powers = t[:, None] ** exponents
    return -powers.T @ (np.sign(t) - powers @ x)


@benchmark
def run():
    """Gradients by size."""
    x = np.random.default_rng(0).standard_normal(M)
    derived, c = grad(llsq), by_hand("llsq", "gradient", ARRAY, LONG, LONG, ARRAY)
    for n in SIZES:
        whole = x, np.linspace(-1, 1, n), np.arange(float(M))
        call = partial(derived, x, n)
        check_equal(call(), in_numpy(*whole), what="gradient and NumPy")

        def in_c(n=n):
            x_bar = np.empty(M)
            c(x, M, n, x_bar)
            return x_bar

        peers = {
            "C, by hand": c and in_c,
            "Numba, by hand": in_numba(adjoint, x, n),
            "jax.jit": in_jax(lambda jax: jax.grad(partial(in_arrays, jax.numpy)), *whole),
            "PyTorch": in_torch(in_arrays, (0,), *whole),
            "autograd": in_autograd(in_arrays, (0,), *whole),
        }
        yield from compare(f"llsq, n = {n}: gradient", call, peers, dict.fromkeys(peers, 1.0) | {"C, by hand": 1.2})
    (value,) = medians(partial(myia(llsq), x, SIZES[1]))
    yield Row(f"llsq, n = {SIZES[1]}: value", value)
