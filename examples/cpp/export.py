"""Write a function and its gradient as a library for `load.cc`: python examples/cpp/export.py LIBRARY"""

import sys

import numpy as np

from myia_lite import value_and_grad


def energy(x, n):
    """A value that takes a loop."""
    for _ in range(n):
        x = np.sin(x) + 0.5 * x
    return np.sum(x * x)


if __name__ == "__main__":
    value_and_grad(energy).export(sys.argv[1], np.zeros(4), 1)
