"""What it costs that a program serves any size: programs with open sizes against those for just that size."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from . import gmm, lse, network
from .harness import Row, benchmark, check_equal, medians


def both(transform, f, of_size, sizes):
    """Seconds of one call at the last of three sizes: by a program with open sizes, and by one of its own."""
    open_, own = transform(myia(f)), transform(myia(f, static_shapes=True))
    for n in sizes:
        args = of_size(n)
        mine = open_(*args)
    theirs = own(*args)
    assert open_.compilations == 2, "the third size was compiled"
    check_equal(leaves(mine), leaves(theirs), rtol=1e-5, what="open and known sizes")
    return medians(lambda: open_(*args), lambda: own(*args))


def leaves(x):
    """The numbers and arrays of a result."""
    return tuple(leaf for item in x for leaf in leaves(item)) if isinstance(x, tuple) else (x,)


def batch(n):
    """The network's arguments with a batch of n."""
    p, x, label = network.inputs()
    return p, np.resize(x, (n, 64)), np.resize(label, n), 0.1


def mixture(n):
    """The mixture's arguments with n points."""
    *rest, x, gamma, m = gmm.inputs(10)
    return *rest, x[:n], gamma, m


def of_any_size(n):
    """The mixture's arguments with n components and 10 n points in n dimensions: all sizes vary."""
    rng = np.random.default_rng(0)
    mu, x = rng.standard_normal((n, n)), rng.standard_normal((10 * n, n))
    q, l = 0.1 * rng.standard_normal((n, n)), 0.1 * rng.standard_normal((n, n * (n - 1) // 2))
    return rng.standard_normal(n), mu, q, l, x, 1.0, 0


def vector(n):
    """One vector of n numbers."""
    return (np.random.default_rng(0).standard_normal(n),)


CASES = {
    "network 64-128-10: a step, batch open": (lambda f: f, network.step, batch, (16, 32, 64)),
    "gmm: gradient, number of points open": (partial(grad, argnums=(0, 1, 2, 3)), gmm.gmm, mixture, (10, 20, 200)),
    "gmm: gradient, all sizes open": (partial(grad, argnums=(0, 1, 2, 3)), gmm.gmm, of_any_size, (4, 6, 10)),
    "lse: gradient of the loop": (grad, lse.loop, vector, (3, 4, 10_000)),
    "lse: gradient of the array program": (grad, lse.whole, vector, (3, 4, 10_000)),
    "sum of 100 elements": (lambda f: f, lambda x: np.sum(x * x), vector, (3, 4, 100)),
}


@benchmark
def run():
    """Ratios in one process; results are equal up to rounding."""
    for name, case in CASES.items():
        ours, theirs = both(*case)
        yield Row(name, ours, "known sizes", theirs)
