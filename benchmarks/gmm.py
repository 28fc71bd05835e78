"""GradBench's `gmm`: the log-likelihood of a mixture of Gaussians, in loops over points and components."""

import math
from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import ARRAY, DOUBLE, LONG, Row, benchmark, by_hand, check_direction, compare, first_call
from .peers import in_jax, in_torch

N, K, DIMENSIONS = 1000, 25, (2, 10, 32)


def log_sum_exp(a):
    """log Σ eᵃ."""
    top = np.max(a)
    return top + np.log(np.sum(np.exp(a - top)))


def factors(q, l):
    """For each component the lower triangle with diagonal exp(q) and, below it, l column by column."""
    k, d = q.shape
    out = np.zeros((k, d, d))
    for c in range(k):
        for i in range(d):
            out[c, i, i] = math.exp(q[c, i])
        at = 0
        for j in range(d):
            for i in range(j + 1, d):
                out[c, i, j] = l[c, at]
                at += 1
    return out


def gmm(alpha, mu, q, l, x, gamma, m):
    """The log-posterior, without the multivariate gamma function, which no derivative sees."""
    n, d = x.shape
    k = len(alpha)
    q_sums = q.sum(axis=1)
    triangle = factors(q, l)
    total = 0.0
    for i in range(n):
        beta = np.zeros(k)
        for c in range(k):
            v = triangle[c] @ (x[i] - mu[c])
            beta[c] = alpha[c] - 0.5 * np.sum(v * v) + q_sums[c]
        total += log_sum_exp(beta)
    prior = 0.0
    for c in range(k):
        prior += gamma * gamma / 2 * np.sum(triangle[c] * triangle[c]) - m * q_sums[c]
    constant = k * (d + m + 1) * d * math.log(gamma / math.sqrt(2))
    return -n * (d / 2 * math.log(2 * math.pi) + log_sum_exp(alpha)) + total + constant - prior


def inputs(d):
    """Parameters, points, γ and m."""
    rng = np.random.default_rng(0)
    mu, points = rng.standard_normal((K, d)), rng.standard_normal((N, d))
    q, l = 0.1 * rng.standard_normal((K, d)), 0.1 * rng.standard_normal((K, d * (d - 1) // 2))
    return rng.standard_normal(K), mu, q, l, points, 1.0, 0


def whole(xp, alpha, mu, q, l, x, places, lower, eye):
    """The value with γ = 1 and m = 0 in whole arrays of the module xp; element (i, j) of a triangle is l[places]."""
    n, d = x.shape
    k = len(alpha)
    triangle = xp.exp(q)[:, :, None] * eye
    if d > 1:
        triangle = triangle + l[:, places] * lower
    v = xp.einsum("kij,nkj->nki", triangle, x[:, None, :] - mu[None])
    beta = alpha - 0.5 * xp.sum(v * v, 2) + xp.sum(q, 1)
    top = xp.amax(beta, 1)
    total = xp.sum(top + xp.log(xp.sum(xp.exp(beta - top[:, None]), 1)))
    highest = xp.max(alpha)
    weights = highest + xp.log(xp.sum(xp.exp(alpha - highest)))
    constant = k * (d + 1) * d * math.log(1 / math.sqrt(2))
    return -n * (d / 2 * math.log(2 * math.pi) + weights) + total + constant - 0.5 * xp.sum(triangle * triangle)


@benchmark
def run():
    """Gradients by dimension, and the time of compilation."""
    value = myia(gmm, static_shapes=True)  # the dimension belongs to the model: a program for each
    derived = grad(value, argnums=(0, 1, 2, 3))
    c = by_hand("gmm", "gradient", LONG, LONG, LONG, *[ARRAY] * 5, DOUBLE, DOUBLE, *[ARRAY] * 4)
    for d in DIMENSIONS:
        arguments = inputs(d)
        check_direction(value, dict(enumerate(derived(*arguments))), arguments)
        places = np.zeros((d, d), int)
        cols, rows = np.nonzero(np.tri(d, k=-1).T)
        places[rows, cols] = np.arange(len(rows))
        given = *arguments[:5], places, np.tri(d, k=-1), np.eye(d)

        def in_c(arguments=arguments, d=d):
            out = tuple(np.empty_like(a) for a in arguments[:4])
            c(d, K, N, *arguments, *out)
            return out

        peers = {
            "C, by hand": c and in_c,
            "jax.jit": in_jax(lambda jax: jax.grad(partial(whole, jax.numpy), argnums=(0, 1, 2, 3)), *given),
            "PyTorch": in_torch(whole, range(4), *given),
        }  # torch.compile of PyTorch 2.13 fails inside its code generator here
        in_numpy = partial(grad(partial(whole, np), argnums=(0, 1, 2, 3)), *given)
        yield from compare(f"gmm (loops), d = {d}: gradient", partial(derived, *arguments), peers, 1.0)
        yield from compare(f"gmm (arrays), d = {d}: gradient", in_numpy, peers, 1.0)
    arguments = inputs(10)
    compiling = first_call(lambda: lambda: grad(myia(gmm), argnums=(0, 1, 2, 3))(*arguments))
    yield Row("gmm: first call of the gradient, with compilation", compiling)
