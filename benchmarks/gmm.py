"""GradBench's `gmm`: the log-likelihood of a mixture of Gaussians, in loops over points and components."""

import math
from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_direction, check_equal, first_call, medians, peer

N, K, DIMENSIONS = 1000, 25, (2, 10)


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


def in_jax(jax, d):
    """The gradient for JAX, whole arrays at once."""
    jnp = jax.numpy
    cols, rows = np.nonzero(np.tri(d, k=-1).T)

    def value(alpha, mu, q, l, x, gamma, m):
        n, k = len(x), len(alpha)
        triangle = jnp.zeros((k, d, d)).at[:, rows, cols].set(l) + jnp.exp(q)[:, :, None] * jnp.eye(d)
        v = jnp.einsum("kij,nkj->nki", triangle, x[:, None, :] - mu[None])
        beta = alpha - 0.5 * jnp.sum(v * v, axis=2) + q.sum(axis=1)
        total = jnp.sum(jax.scipy.special.logsumexp(beta, axis=1))
        prior = gamma * gamma / 2 * jnp.sum(triangle * triangle) - m * jnp.sum(q)
        constant = k * (d + m + 1) * d * jnp.log(gamma / math.sqrt(2))
        return -n * (d / 2 * math.log(2 * math.pi) + jax.scipy.special.logsumexp(alpha)) + total + constant - prior

    return jax.jit(jax.grad(value, argnums=(0, 1, 2, 3)))


@benchmark
def run():
    """Gradients by dimension, and the time of compilation."""
    value, derived, jax = myia(gmm), grad(gmm, argnums=(0, 1, 2, 3)), peer("jax")
    for d in DIMENSIONS:
        arguments = inputs(d)
        gradients = derived(*arguments)
        check_direction(value, dict(enumerate(gradients)), arguments)
        ours, theirs, call = 0.0, None, partial(derived, *arguments)
        if jax is not None:
            jax.config.update("jax_enable_x64", True)
            jitted, there = in_jax(jax, d), jax.device_put(arguments)
            check_equal(gradients, jitted(*there), rtol=1e-8, what="gradient and JAX")
            ours, theirs = medians(call, lambda jitted=jitted, there=there: jax.block_until_ready(jitted(*there)))
        else:
            (ours,) = medians(call)
        yield Row(f"gmm, d = {d}: gradient", ours, "jax.jit", theirs, target=1.0)
    arguments = inputs(10)
    compiling = first_call(lambda: lambda: grad(myia(gmm), argnums=(0, 1, 2, 3))(*arguments))
    yield Row("gmm: first call of the gradient, with compilation", compiling)
