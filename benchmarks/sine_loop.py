"""x = sin(x)·a + x, n times over: a scalar recurrence against C, forward and backward."""

import ctypes
import math
from functools import partial

import numpy as np

from myia_lite import myia, value_and_grad

from .harness import (
    FIFTIETH,
    Row,
    benchmark,
    check_equal,
    compare,
    compile_c,
    in_new_process,
    medians,
    peak_memory,
    peer,
    seconds_of,
)
from .peers import in_jax, in_numba

C = """
#include <math.h>
#include <stdlib.h>

double value(double x, double a, long n) {
    for (long i = 0; i < n; i++)
        x = sin(x) * a + x;
    return x;
}

/* The adjoint as one writes it by hand: keep each x, then go back. Returns the value; g holds d/dx and d/da. */
double adjoint(double x, double a, long n, double *g) {
    double *kept = malloc(n * sizeof(double));
    for (long i = 0; i < n; i++) {
        kept[i] = x;
        x = sin(x) * a + x;
    }
    double x_bar = 1.0, a_bar = 0.0;
    for (long i = n - 1; i >= 0; i--) {
        a_bar += x_bar * sin(kept[i]);
        x_bar += x_bar * a * cos(kept[i]);
    }
    free(kept);
    g[0] = x_bar;
    g[1] = a_bar;
    return x;
}
"""
START, N, LONG, SHORT = 0.5, 1_000_000, 10_000_000, 10_000


def loop(x, a, n):
    """With a = 1/n this follows x' = sin x for one unit of time, so that nothing grows or dies out."""
    for _ in range(n):
        x = math.sin(x) * a + x
    return x


def by_hand(x, a, n):
    """Value and gradient, for Numba."""
    kept = np.empty(n)
    for i in range(n):
        kept[i] = x
        x = math.sin(x) * a + x
    x_bar, a_bar = 1.0, 0.0
    for i in range(n - 1, -1, -1):
        a_bar += x_bar * math.sin(kept[i])
        x_bar += x_bar * a * math.cos(kept[i])
    return x, (x_bar, a_bar)


def in_jax_loop(jax, n):
    """Value and gradient for JAX, which wants to know how often the loop runs."""
    value = lambda x, a: jax.lax.fori_loop(0, n, lambda _, x: jax.numpy.sin(x) * a + x, x)  # noqa: E731
    return jax.value_and_grad(value, argnums=(0, 1))


def by_torch(x, a, n):
    """Value and gradient by PyTorch, eagerly."""
    torch = peer("torch")
    if torch is None:
        return None

    def call():
        given = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, a)]
        value = given[0]
        for _ in range(n):
            value = torch.sin(value) * given[1] + value
        return value, torch.autograd.grad(value, given)

    return call


def exact(x):
    """The limit for large n: x(1) and dx(1)/dx(0) of x' = sin x."""
    t = math.tan(x / 2) * math.e
    return 2 * math.atan(t), math.e * (1 + math.tan(x / 2) ** 2) / (1 + t * t)


def bytes_per_step() -> float:
    """What the gradient of a long loop adds to the memory of the process, for each trip."""
    derived = value_and_grad(myia(loop), argnums=(0, 1))
    derived(START, 1e-3, 1000)
    before = peak_memory()
    derived(START, 1 / LONG, LONG)
    return (peak_memory() - before) / LONG


@benchmark
def run():
    """Value and gradient at n = 1e6 against C; memory; a run at n = 1e7."""
    compiled = myia(loop)
    derived = value_and_grad(compiled, argnums=(0, 1))
    double, long = ctypes.c_double, ctypes.c_long
    functions = compile_c(
        C,
        ("value", double, [double, double, long]),
        ("adjoint", double, [double, double, long, ctypes.POINTER(double)]),
    )
    by_value = by_adjoint = None
    ours = lambda: compiled(START, 1 / N, N)  # noqa: E731
    ours_derived = lambda: derived(START, 1 / N, N)  # noqa: E731
    if functions is None:
        (value,), (gradient,) = medians(ours), medians(ours_derived)
    else:
        value_in_c, adjoint_in_c = functions
        slopes = (double * 2)()
        total = adjoint_in_c(START, 1 / N, N, slopes)
        check_equal(ours(), value_in_c(START, 1 / N, N), what="value and C")
        check_equal(ours_derived(), (total, tuple(slopes)), what="gradient and C")
        value, by_value = medians(ours, lambda: value_in_c(START, 1 / N, N))
        gradient, by_adjoint = medians(ours_derived, lambda: adjoint_in_c(START, 1 / N, N, slopes))
    yield Row("scalar loop, n = 1e6: value", value, "C, cc -O2", by_value, target=1.2)
    yield Row("scalar loop, n = 1e6: value and gradient", gradient, "C, adjoint by hand", by_adjoint, target=1.2)
    yield from compare(
        "scalar loop, n = 1e6: value and gradient",
        ours_derived,
        {
            "Numba, by hand": in_numba(by_hand, START, 1 / N, N),
            "jax.jit": in_jax(partial(in_jax_loop, n=N), START, 1 / N),
        },
        {"Numba, by hand": 1.0, "jax.jit": FIFTIETH},
    )
    yield from compare(
        "scalar loop, n = 1e4: value and gradient",
        lambda: derived(START, 1 / SHORT, SHORT),
        {"PyTorch": by_torch(START, 1 / SHORT, SHORT)},
        FIFTIETH,
    )
    yield Row(
        "scalar loop: memory of the gradient, a step",
        in_new_process("sine_loop", "bytes_per_step"),
        target=32,
        unit="B",
    )
    end, slope = exact(START)
    seconds = seconds_of(lambda: derived(START, 1 / LONG, LONG))
    x, (x_bar, _) = derived(START, 1 / LONG, LONG)
    check_equal((x, x_bar), (end, slope), rtol=1e-6, what="n = 1e7 and the closed form")
    yield Row("scalar loop, n = 1e7: value and gradient", seconds)
