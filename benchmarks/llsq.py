"""GradBench's `llsq`: least squares of a polynomial against a sign function, with scalar loops."""

import ctypes
from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import FAST, Row, benchmark, check_equal, compile_c, medians, peer

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


C = """
#include <stdlib.h>

/* The gradient: one pass over the points, with the powers of each kept for the way back. */
void gradient(const double *x, long m, long n, double *x_bar) {
    double *powers = malloc(m * sizeof(double));
    for (long j = 0; j < m; j++)
        x_bar[j] = 0.0;
    for (long i = 0; i < n; i++) {
        double t = -1.0 + 2.0 * i / (n - 1), power = 1.0, fit = 0.0;
        for (long j = 0; j < m; j++) {
            powers[j] = power;
            fit += x[j] * power;
            power *= t;
        }
        double r = ((t > 0) - (t < 0)) - fit;
        for (long j = 0; j < m; j++)
            x_bar[j] -= r * powers[j];
    }
    free(powers);
}
"""


def by_hand(x, n):
    """The gradient in NumPy."""
    t = np.linspace(-1, 1, n)
    powers = t[:, None] ** np.arange(len(x))
    return -powers.T @ (np.sign(t) - powers @ x)


def in_jax(jax, n):
    """The gradient for JAX, whole arrays at once."""
    jnp = jax.numpy
    t = jnp.linspace(-1.0, 1.0, n)

    def value(x):
        return 0.5 * jnp.sum((jnp.sign(t) - (t[:, None] ** jnp.arange(len(x))) @ x) ** 2)

    return jax.jit(jax.grad(value))


@benchmark
def run():
    """Gradients by size."""
    x = np.random.default_rng(0).standard_normal(M)
    compiled, derived = myia(llsq), grad(llsq)
    array = np.ctypeslib.ndpointer(np.float64)
    functions = compile_c(C, ("gradient", None, [array, ctypes.c_long, ctypes.c_long, array]), flags=FAST)
    for n in SIZES:
        check_equal(derived(x, n), by_hand(x, n), what="gradient and NumPy")
        contenders = [partial(derived, x, n)]
        if functions is not None:

            def in_c(n=n):
                x_bar = np.empty(M)
                functions[0](x, M, n, x_bar)
                return x_bar

            check_equal(in_c(), by_hand(x, n), what="C and NumPy")
            contenders.append(in_c)
        times = medians(*contenders)
        yield Row(f"llsq, n = {n}: gradient", times[0], "C, by hand", times[1] if functions else None, target=1.2)
    if (jax := peer("jax")) is not None:
        jax.config.update("jax_enable_x64", True)
        n, theirs = SIZES[1], in_jax(jax, SIZES[1])
        check_equal(derived(x, n), theirs(x), rtol=1e-6, what="gradient and JAX")
        ours, by_jax = medians(partial(derived, x, n), lambda: jax.block_until_ready(theirs(x)))
        yield Row(f"llsq, n = {n}: gradient", ours, "jax.jit", by_jax, target=1.0)
    (value,) = medians(partial(compiled, x, SIZES[1]))
    yield Row(f"llsq, n = {SIZES[1]}: value", value)
