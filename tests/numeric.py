"""Derivatives by central differences, for any structure of floats and float arrays."""

import numpy as np
from compare import leaves, rebuild

STEP = 1e-3


def derivative(f, x, step=STEP):
    """f'(x) of a function of one float; the error is of the fourth order in the step.

    >>> f"{derivative(lambda x: x**3, 2.0):.9f}"
    '12.000000000'
    """
    h = step * max(1.0, abs(x))
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def second_derivative(f, x, step=4 * STEP):
    """f''(x) of a function of one float; the error is of the fourth order in the step.

    >>> f"{second_derivative(lambda x: x**3, 2.0):.6f}"
    '12.000000'
    """
    h = step * max(1.0, abs(x))
    return (16 * (f(x + h) + f(x - h)) - (f(x + 2 * h) + f(x - 2 * h)) - 30 * f(x)) / (12 * h * h)


def gradient(f, args, wrt, step=STEP):
    """The gradient of the float f(*args) in the argument at position `wrt`, with that argument's structure.

    Each float is a float64 here, whatever it is in `args`.  Integers have no gradient: None stands in their place.
    """

    def at(values):
        new = list(args)
        new[wrt] = rebuild(args[wrt], iter(values))
        return float(f(*new))

    def along(k, index):
        def g(t):
            moved = list(values)
            if index is None:
                moved[k] = t
            else:
                moved[k] = values[k].copy()
                moved[k][index] = t
            return at(moved)

        return derivative(g, float(values[k] if index is None else values[k][index]), step)

    values = [widened(leaf) for leaf in leaves(args[wrt])]
    result = []
    for k, leaf in enumerate(values):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            g = np.zeros(leaf.shape)
            for index in np.ndindex(leaf.shape):
                g[index] = along(k, index)
            result.append(g)
        else:
            result.append(along(k, None) if isinstance(leaf, float) else None)
    return rebuild(args[wrt], iter(result))


def widened(leaf):
    """A float or float array in float64, in C order; anything else as it is."""
    if isinstance(leaf, np.ndarray):
        return leaf.astype(np.float64, order="C") if leaf.dtype.kind == "f" else leaf
    if isinstance(leaf, np.floating):
        return np.float64(leaf)
    return leaf


def wide(value):
    """A structure with its floats in float64."""
    return rebuild(value, iter([widened(leaf) for leaf in leaves(value)]))


def all_float(value):
    """Whether a structure holds floats and arrays of floats only, and at least one."""
    found = [np.asarray(leaf).dtype.kind for leaf in leaves(value)]
    return bool(found) and set(found) == {"f"}
