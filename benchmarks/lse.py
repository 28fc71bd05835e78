"""GradBench's `lse`: log-sum-exp from its elements, as a loop and as array operations."""

import math
from functools import partial

import numpy as np

from myia_lite import grad

from .harness import ARRAY, LONG, benchmark, by_hand, check_equal, compare
from .peers import in_autograd, in_jax, in_numba, in_torch

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


def in_arrays(xp, x):
    """The same for other tools."""
    top = xp.max(x)
    return top + xp.log(xp.sum(xp.exp(x - top)))


def adjoint(x):
    """The gradient by hand, for Numba."""
    top = x[0]
    for i in range(1, len(x)):
        if x[i] > top:
            top = x[i]
    x_bar, total = np.empty(len(x)), 0.0
    for i in range(len(x)):
        x_bar[i] = math.exp(x[i] - top)
        total += x_bar[i]
    for i in range(len(x)):
        x_bar[i] /= total
    return x_bar


def in_numpy(x):
    """The softmax, which the gradient is."""
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


@benchmark
def run():
    """Gradients by size and spelling."""
    rng = np.random.default_rng(0)
    c = by_hand("lse", "gradient", ARRAY, LONG, ARRAY)
    for n in SIZES:
        x = rng.standard_normal(n)

        def in_c(x=x):
            x_bar = np.empty(len(x))
            c(x, len(x), x_bar)
            return x_bar

        by_loop = {"C, by hand": c and in_c, "Numba, by hand": in_numba(adjoint, x)}
        by_arrays = {
            "C, by hand": c and in_c,
            "jax.jit": in_jax(lambda jax: jax.grad(partial(in_arrays, jax.numpy)), x),
            "PyTorch": in_torch(in_arrays, (0,), x),
            "torch.compile": in_torch(in_arrays, (0,), x, compiled=True),
            "autograd": in_autograd(in_arrays, (0,), x),
        }
        for f, peers in ((loop, by_loop), (whole, by_arrays)):
            derived = partial(grad(f), x)
            check_equal(derived(), in_numpy(x), what="gradient and NumPy")
            yield from compare(f"lse ({'loop' if f is loop else 'arrays'}), n = {n}: gradient", derived, peers, 1.0)
