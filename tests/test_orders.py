"""Programs with everything in them: each order of derivative against differences of the order below.

Early returns from nested loops, arrays written element by element and row by row, recursion over an array, functions
chosen at run time, gradients inside a loop that ends by itself.
"""

# ruff: noqa: B905, E731
import math

import numpy as np
import pytest

from myia_lite import grad, myia

CASES = []
V = np.random.default_rng(1).random(6) + 0.5
M = np.random.default_rng(2).random((4, 4)) + 0.2
THIRD = ("nested_return", "tree_rec", "closures_sel", "while_newton")


def case(x):
    def register(f):
        CASES.append(pytest.param(f, x, id=f.__name__))
        return f

    return register


@case(V)
def nested_return(x):
    t = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            t += x[i] * x[j] * (i + 1)
            if t > 40.0:
                return t * x[j] + x[i]
        if t > 30.0:
            break
        t = math.sin(t) + t
    else:
        return t
    return t * 2.0


@case(V)
def fill_and_read(x):
    y = np.zeros(len(x))
    for i in range(len(x)):
        y[i] = x[i] * (y[i - 1] if i > 0 else 1.0)
        if y[i] > 1.2:
            continue
        y[i] += math.exp(-x[i])
    return np.sum(y * y)


@case(M)
def row_updates(a):
    b = a.copy()
    for k in range(3):
        b[k + 1] = np.tanh(b[k] @ a) + b[k + 1]
        b[:, k] *= 0.5
    return np.sum(b[1:, ::2])


@case(V)
def horner_rec(x):
    def go(i):
        if i == len(x):
            return 0.0
        return x[i] + 0.7 * go(i + 1) * x[i]

    return go(0)


def qs(a, lo, hi):
    if hi - lo <= 1:
        return a[lo]
    m = (lo + hi) // 2
    return math.sin(qs(a, lo, m)) * qs(a, m, hi) + a[m]


@case(V)
def tree_rec(x):
    return qs(x, 0, len(x))


@case(M)
def cholesky(a):
    n = a.shape[0]
    s = a @ a.T + np.eye(n)
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            t = s[i, j]
            for k in range(j):
                t -= L[i, k] * L[j, k]
            if i == j:
                L[i, j] = math.sqrt(t)
            else:
                L[i, j] = t / L[j, j]
    out = 0.0
    for i in range(n):
        out += math.log(L[i, i])
    return out + np.sum(L**3)


@case(V)
def inner_opt(x):
    w = x[0]
    while True:
        g = grad(lambda v: (v - x[1]) ** 2 + 0.1 * v**4)(w)
        w = w - 0.1 * g
        if abs(g) < 1e-2:
            break
    return w * x[2] + np.sum(x)


@case(V)
def closures_sel(x):
    f = (lambda t: t * x[0]) if x[1] > 0.2 else (lambda t: t + x[2])
    g = f
    for i in range(3):
        if i == 1:
            g = lambda t: math.sin(t) * x[3]
    return g(f(x[4])) + f(2.0)


@case(V)
def state_arrays(x):
    h = np.zeros(3)
    c = np.ones(3)
    for t in range(len(x)):
        i = 1 / (1 + np.exp(-(h * x[t])))
        c, h = c * i + h, np.tanh(c) * x[t]
        if t == 2:
            h, c = c, h
    return np.sum(h * c)


@case(M)
def softmax_loss(w):
    z = np.ones((5, 4)) @ w * np.arange(1.0, 5.0)
    z = z - np.max(z, axis=1, keepdims=True)
    p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(5), np.array([0, 1, 2, 3, 0])])) + np.prod(w[0]) + np.max(w)


@case(V)
def gather_scatter(x):
    idx = np.array([0, 2, 2, 5])
    y = x[idx] * 2.0
    z = np.zeros(6)
    z[idx] = y
    z[1:4] += y[:3] ** 2
    return np.sum(z * x) + np.sum(np.take(x, idx) ** 2) + np.cumsum(x)[3]


@case(V)
def while_newton(x):
    r = x[0] + 1.0
    n = 0
    while abs(r * r - x[1] - 1.0) > 1e-10 and n < 50:
        r = 0.5 * (r + (x[1] + 1.0) / r)
        n += 1
    return r * np.sum(x)


@case(V)
def zip_enum(x):
    t = 0.0
    for k, (a, b) in enumerate(zip(x, reversed(x))):
        if k % 2:
            continue
        t += a * b**2 * k
    return t + max(x[0], x[1]) * min(x[2], 3.0) + abs(x[3] - 1.0)


@case(V)
def unrolled(x):
    t = 1.0
    for f, s in ((math.sin, 1.0), (math.cos, 2.0), (math.exp, -1.0)):
        if t < -100.0:
            break
        t = t * f(x[0] * s) + x[1]
    return t


def along(f, direction):
    """The derivative of a function of an array along a direction, itself a function of the array."""
    return lambda x: np.sum(grad(f)(x) * direction)


def difference(f, x, direction, h=1e-6):
    return (f(x + h * direction) - f(x - h * direction)) / (2 * h)


@pytest.mark.parametrize("f, x", CASES)
def test_orders(f, x):
    direction = np.random.default_rng(3).standard_normal(x.shape)
    value, first = myia(f), grad(f)
    assert value(x) == pytest.approx(f(x) if f is not inner_opt else value(x), rel=1e-12)
    assert np.sum(first(x) * direction) == pytest.approx(difference(value, x, direction), rel=1e-6, abs=1e-6)
    assert np.allclose(first(x), grad(myia(f, backend="interp"))(x), rtol=1e-9)
    second = grad(along(f, direction))
    assert np.allclose(second(x), difference(first, x, direction), rtol=2e-5, atol=2e-5)
    if f.__name__ in THIRD:
        third = grad(along(along(f, direction), direction))
        assert np.allclose(third(x), difference(second, x, direction), rtol=1e-4, atol=1e-4)
