"""Programs of more than one idea."""

import math

import numpy as np

from .structures import Layer, Pair
from .table import M, N, P, S, V, W, program


@program((Pair(Layer(N, np.array([0.1, -0.2])), Layer(N.T[:, :2], np.array([0.3, 0.0]))), M, np.array([1, 0])), wrt=0)
def two_layer_network(net, x, label):
    z = net.right(net.left(x))
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


@program((np.array([1.0, 0.0]), 0.1, 20), wrt=(0, 1))
def runge_kutta(y, dt, steps):
    def f(y):
        return np.array([y[1], -math.sin(y[0])])

    for _ in range(steps):
        a = f(y)
        b = f(y + dt / 2 * a)
        c = f(y + dt / 2 * b)
        d = f(y + dt * c)
        y = y + dt / 6 * (a + 2 * b + 2 * c + d)
    return y


@program((0.5, 12), wrt=0)
def continued_fraction(x, n):
    y = 0.0
    for k in reversed(range(1, n)):
        y = k * x / (1.0 + y)
    return y


@program((1.2, 0.5, 30), wrt=(0, 1))
def logistic_map(x, a, n):
    x = x * 0.3
    for _ in range(n):
        x = a * 2 * x * (1 - x)
    return x


@program((S,), wrt=0)
def determinant_by_recursion(a):
    def det(m):
        if len(m) == 1:
            return m[0, 0]
        return m[0, 0] * det(m[1:, 1:]) - m[0, 1] * m[1, 0]

    return det(a[:2, :2]) + det(a[1:, 1:])


@program((V, 0.3), wrt=(0, 1))
def simpson(c, b):
    def f(x):
        y = 0.0
        for k in range(len(c) - 1, -1, -1):
            y = y * x + c[k]
        return y

    h = b / 10
    total = f(0.0) + f(b)
    for i in range(1, 10):
        total += f(i * h) * (4 if i % 2 else 2)
    return total * h / 3


@program((0.0, 2.0, 1.7))
def bisection(lo, hi, c):
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        if mid * mid < c:
            lo = mid
        else:
            hi = mid
    return lo * c


@program((V, W), wrt=(0, 1))
def convolution(a, k):
    n = len(a) + len(k) - 1
    y = np.zeros(n)
    for i in range(len(a)):
        for j in range(len(k)):
            y[i + j] += a[i] * k[j]
    return y


@program((P, 2, 0.5), wrt=(0, 2))
def horner_of_array(c, n, x):
    y = np.zeros(n)
    for i in range(n):
        for k in range(len(c)):
            y[i] = y[i] * (x + i) + c[k]
    return y


@program((np.array([[0.0, 1.0], [2.0, 0.5], [1.5, -1.0]]),), wrt=0)
def pairwise_energy(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            d = x[i] - x[j]
            total += 1.0 / math.sqrt(d @ d + 0.01)
    return total


@program((0.5, 0.1, 200), wrt=(0, 1))
def loop_with_early_convergence(x, rate, most):
    for _ in range(most):
        slope = 4 * x**3 - 3 * x - 1
        if abs(slope) < 1e-10:
            break
        x = x - rate * slope
    return x * rate
