"""What derivatives cost: a gradient in evaluations, a pullback and a Hessian-vector product in gradients, orders in
compilation.
"""

from functools import partial

import numpy as np

from myia_lite import grad, jvp, linearize, myia, vjp

from . import gmm, llsq, lse, lstm, network, ode
from .harness import Row, benchmark, check_direction, check_equal, seconds_of

GRADIENT, PULLBACK, PRODUCT, THIRD = 3.5, 1.0, 3.0, 3.0  # evaluations; gradients; gradients; seconds


def network_loss(w1, b1, w2, b2, x, label):
    """The loss of the network that `network` trains."""
    return network.cost(network.Params(w1, b1, w2, b2), x, label)


def programs():
    """(name, function of floats or arrays, arguments, which of them to differentiate by)."""
    rng = np.random.default_rng(0)
    yield "lse, loop, n = 40000", lse.loop, (rng.standard_normal(40_000),), (0,)
    yield "lse, arrays, n = 40000", lse.whole, (rng.standard_normal(40_000),), (0,)
    yield "llsq, n = 1024", llsq.llsq, (rng.standard_normal(128), 1024), (0,)
    yield "ode, n = 1000", ode.ode, (0.5 + rng.random(1000), 10), (0,)
    yield "gmm, d = 10", gmm.gmm, gmm.inputs(10), (0, 1, 2, 3)
    yield "lstm, 1024 elements", lstm.lstm, lstm.inputs(1024), (0, 1)
    p, x, label = network.inputs()
    leaves = [a.astype(np.float64) for a in (p.w1, p.b1, p.w2, p.b2)]
    yield "network 64-128-10, float64", network_loss, (*leaves, x.astype(np.float64), label), (0, 1, 2, 3)


def along(f, wrt):
    """The product of the Hessian of f with tangents, as a compiled function; the derivative of the gradient."""
    gradient = grad(f, argnums=wrt)

    def product(args, tangents):
        return jvp(gradient, args, tangents)[1]

    return myia(product)


def least(*calls, rounds=60):
    """The least seconds of one call of each, run in turn: for ratios of programs that use the memory differently, which
    the neighbours of a busy machine slow down differently."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            best[k] = min(best[k], seconds_of(call))
    return best


def of_first(f, rest):
    """f as a function of its first arguments alone."""
    return lambda *first: f(*first, *rest)


def deep(x, a, b, c, w):
    """A small network of one input and one output."""
    return np.tanh(c @ np.tanh(a * x + b)) @ w


@benchmark
def run():
    """Ratios of the least times taken in turn; and the third derivative of a small network from nothing."""
    for name, f, args, wrt in programs():
        value, gradient, product = myia(f), grad(f, argnums=wrt), along(f, wrt)
        rng = np.random.default_rng(1)
        dots = tuple(rng.standard_normal(np.shape(a)) if k in wrt else None for k, a in enumerate(args))
        slopes = gradient(*args)
        check_direction(value, dict(zip(wrt, slopes, strict=True)), args)
        ahead, behind = (
            gradient(*(a if d is None else a + s * d for a, d in zip(args, dots, strict=True))) for s in (1e-6, -1e-6)
        )
        quotients = tuple((a - b) / 2e-6 for a, b in zip(ahead, behind, strict=True))
        check_equal(product(args, dots), quotients, rtol=1e-4, what=f"{name}: product and quotients")
        chosen, count = of_first(f, args[len(wrt) :]), len(wrt)
        y, back = vjp(chosen, *args[:count])
        linear = linearize(chosen, *args[:count])[1]
        bars, y_dot = back(type(y)(1.0)), linear(*dots[:count])
        check_equal(bars, slopes, rtol=1e-6, what=f"{name}: pullback and gradient")
        check_equal(y_dot, jvp(f, args, dots)[1], rtol=1e-6, what=f"{name}: linearised and jvp")
        calls = partial(value, *args), partial(gradient, *args), partial(product, args, dots)
        calls += partial(back, type(y)(1.0)), partial(linear, *dots[:count])
        one, first, second, pulled, pushed = least(*calls)
        yield Row(f"{name}: gradient", first, "value", one, GRADIENT)
        yield Row(f"{name}: pullback", pulled, "gradient", first, PULLBACK)
        yield Row(f"{name}: linearised function", pushed, "gradient", first, PULLBACK)
        yield Row(f"{name}: Hessian-vector product", second, "gradient", first, PRODUCT)
    a, b, w = np.linspace(-1, 1, 8), np.linspace(0.2, 0.9, 8), np.cos(np.arange(8.0))
    args = 0.7, a, b, np.sin(np.arange(64.0)).reshape(8, 8), w
    third = grad(grad(grad(deep)))
    seconds = seconds_of(lambda: third(*args))
    second = grad(grad(deep))
    quotient = (second(0.7 + 1e-5, *args[1:]) - second(0.7 - 1e-5, *args[1:])) / 2e-5
    check_equal(third(*args), quotient, rtol=1e-6, what="third derivative and quotient")
    yield Row("third derivative of a network 1-8-8-1: compilation", seconds, target=THIRD)
