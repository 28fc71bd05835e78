"""GradBench's `lse`: log-sum-exp from its elements, as a loop and as array operations."""

import ctypes
import math
from functools import partial

import numpy as np

from myia_lite import grad

from .harness import FAST, Row, benchmark, check_equal, compile_c, medians, peer

SIZES = (2500, 40_000, 640_000)


def loop(x):
    """Element by element."""
    top = x[0]
    for i in range(1, len(x)):
        if x[i] > top:
            top = x[i]
    total = 0.0
    for i in range(len(x)):
        total += math.exp(x[i] - top)
    return top + math.log(total)


def whole(x):
    """Whole arrays."""
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


C = """
#include <math.h>

void gradient(const double *x, long n, double *x_bar) {
    double top = x[0], total = 0.0;
    for (long i = 1; i < n; i++)
        if (x[i] > top)
            top = x[i];
    for (long i = 0; i < n; i++) {
        x_bar[i] = exp(x[i] - top);
        total += x_bar[i];
    }
    for (long i = 0; i < n; i++)
        x_bar[i] /= total;
}
"""


def by_hand(x):
    """The softmax, which the gradient is."""
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def in_jax(jax):
    """The gradient for JAX."""
    jnp = jax.numpy

    def value(x):
        top = jnp.max(x)
        return top + jnp.log(jnp.sum(jnp.exp(x - top)))

    return jax.jit(jax.grad(value))


@benchmark
def run():
    """Gradients by size and spelling."""
    rng = np.random.default_rng(0)
    array = np.ctypeslib.ndpointer(np.float64)
    functions = compile_c(C, ("gradient", None, [array, ctypes.c_long, array]), flags=FAST)
    jax = peer("jax")
    for n in SIZES:
        x = rng.standard_normal(n)
        for name, f in (("loop", loop), ("arrays", whole)):
            derived = grad(f)
            check_equal(derived(x), by_hand(x), what="gradient and NumPy")
            if name == "loop":
                contenders = [partial(derived, x)]
                if functions is not None:

                    def in_c(x=x):
                        x_bar = np.empty(len(x))
                        functions[0](x, len(x), x_bar)
                        return x_bar

                    check_equal(in_c(), by_hand(x), what="C and NumPy")
                    contenders.append(in_c)
                times = medians(*contenders)
                by_c = times[1] if functions else None
                yield Row(f"lse ({name}), n = {n}: gradient", times[0], "C, by hand", by_c, target=1.2)
            else:
                ours, theirs, call = 0.0, None, partial(derived, x)
                if jax is not None:
                    jax.config.update("jax_enable_x64", True)
                    jitted, there = in_jax(jax), jax.device_put(x)
                    check_equal(jitted(there), by_hand(x), what="JAX and NumPy")
                    ours, theirs = medians(call, lambda f=jitted, x=there: jax.block_until_ready(f(x)))
                else:
                    (ours,) = medians(call)
                yield Row(f"lse ({name}), n = {n}: gradient", ours, "jax.jit", theirs, target=1.0)
