"""GradBench's `ode`: a chain of differential equations by the classical Runge-Kutta method."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_direction, check_equal, medians, peer

SIZES, STEPS = (1000, 10_000, 100_000), 10


def slope(x, y):
    """y₀' = x₀, yᵢ' = xᵢ·yᵢ₋₁, element by element."""
    dy = np.zeros(len(x))
    dy[0] = x[0]
    for i in range(1, len(x)):
        dy[i] = x[i] * y[i - 1]
    return dy


def ode(x, s):
    """The last component at t = 2, after s steps from y(0) = 0."""
    y = np.zeros(len(x))
    h = 2.0 / s
    for _ in range(s):
        k1 = slope(x, y)
        k2 = slope(x, y + h / 2 * k1)
        k3 = slope(x, y + h / 2 * k2)
        k4 = slope(x, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[len(x) - 1]


def in_jax(jax, s):
    """The gradient for JAX, whole arrays at once, the steps unrolled."""
    jnp = jax.numpy

    def slope(x, y):
        return x * jnp.concatenate([jnp.ones(1), y[:-1]])

    def value(x):
        y, h = jnp.zeros(len(x)), 2.0 / s
        for _ in range(s):
            k1 = slope(x, y)
            k2 = slope(x, y + h / 2 * k1)
            k3 = slope(x, y + h / 2 * k2)
            k4 = slope(x, y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y[len(x) - 1]

    return jax.jit(jax.grad(value))


@benchmark
def run():
    """Gradients by size.  Those of many components underflow to zero, so a few are checked, too."""
    rng = np.random.default_rng(0)
    value, derived, jax = myia(ode), grad(ode), peer("jax")
    few = 0.5 + rng.random(6)
    check_direction(value, {0: derived(few, STEPS)}, (few, STEPS))
    for n in SIZES:
        x = 0.5 + rng.random(n)
        ours, theirs, call = 0.0, None, partial(derived, x, STEPS)
        if jax is not None:
            jax.config.update("jax_enable_x64", True)
            jitted, there = in_jax(jax, STEPS), jax.device_put(x)
            check_equal(derived(few, STEPS), jitted(few), what="gradient and JAX")
            check_equal(call(), jitted(there), what="gradient and JAX")
            ours, theirs = medians(call, lambda jitted=jitted, there=there: jax.block_until_ready(jitted(there)))
        else:
            (ours,) = medians(call)
        yield Row(f"ode, n = {n}: gradient", ours, "jax.jit", theirs, target=1.0)
