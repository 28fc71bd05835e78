"""GradBench's `ode`: a chain of differential equations by the classical Runge-Kutta method."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import ARRAY, FIFTIETH, LONG, benchmark, by_hand, check_direction, check_equal, compare
from .peers import in_jax, in_torch

SIZES, STEPS = (1000, 10_000, 100_000), 10


def slope(x, y):
    """y₀' = x₀, yᵢ' = xᵢ·yᵢ₋₁, element by element."""
    dy = np.zeros(len(x))
    dy[0] = x[0]
    for i in range(1, len(x)):
        dy[i] = x[i] * y[i - 1]
    return dy


def states(x, s):
    """All components at t = 2, after s steps from y(0) = 0."""
    y = np.zeros(len(x))
    h = 2.0 / s
    for _ in range(s):
        k1 = slope(x, y)
        k2 = slope(x, y + h / 2 * k1)
        k3 = slope(x, y + h / 2 * k2)
        k4 = slope(x, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def ode(x, s):
    """The last component."""
    return states(x, s)[len(x) - 1]


def in_arrays(xp, x, s=STEPS):
    """The same for tools that want whole arrays."""

    def slope(y):
        return x * xp.concatenate([0.0 * x[:1] + 1.0, y[:-1]])

    y, h = 0.0 * x, 2.0 / s
    for _ in range(s):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[len(x) - 1]


def in_jax_loops(jax):
    """The gradient for JAX, with the same loops over elements; it wants to know how often they run."""
    jnp, lax = jax.numpy, jax.lax

    def slope(x, y):
        first = jnp.zeros(len(x)).at[0].set(x[0])
        return lax.fori_loop(1, len(x), lambda i, dy: dy.at[i].set(x[i] * y[i - 1]), first)

    def last(x):
        h = 2.0 / STEPS

        def step(_, y):
            k1 = slope(x, y)
            k2 = slope(x, y + h / 2 * k1)
            k3 = slope(x, y + h / 2 * k2)
            k4 = slope(x, y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return lax.fori_loop(0, STEPS, step, jnp.zeros(len(x)))[len(x) - 1]

    return jax.grad(last)


@benchmark
def run():
    """Gradients by size.  Those of many components underflow to zero, so a few are checked, too."""
    rng = np.random.default_rng(0)
    derived, c = grad(ode), by_hand("ode", "gradient", ARRAY, LONG, LONG, ARRAY)

    def in_c(x):
        x_bar = np.empty(len(x))
        c(x, len(x), STEPS, x_bar)
        return x_bar

    def peers(x):
        found = {
            "C, by hand": c and partial(in_c, x),
            "jax.jit": in_jax(lambda jax: jax.grad(partial(in_arrays, jax.numpy)), x),
            "PyTorch": in_torch(in_arrays, (0,), x),
        }
        if len(x) <= SIZES[0]:  # it keeps a copy of the array for each trip
            found["jax.jit, the same loops"] = in_jax(in_jax_loops, x)
        return found

    few = 0.5 + rng.random(6)
    check_direction(myia(ode), {0: derived(few, STEPS)}, (few, STEPS))
    for name, call in peers(few).items():
        if call is not None:
            check_equal(derived(few, STEPS), call(), what=f"gradient and {name}")
    for n in SIZES:
        x = 0.5 + rng.random(n)
        others = peers(x)
        targets = dict.fromkeys(others, FIFTIETH) | {"C, by hand": 1.2}
        yield from compare(f"ode, n = {n}: gradient", partial(derived, x, STEPS), others, targets)
