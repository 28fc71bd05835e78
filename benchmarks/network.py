"""A training step of the 64-128-10 network of the digits example, batch 64, float32."""

from typing import NamedTuple

import numpy as np

from myia_lite import myia, value_and_grad

from .harness import Row, benchmark, compare, first_call, peer, seconds_of


class Params(NamedTuple):
    """Weights and biases of the two layers."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def cost(p, x, label):
    """Mean softmax cross-entropy."""
    z = np.tanh(x @ p.w1 + p.b1) @ p.w2 + p.b2
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


def step(p, x, label, rate):
    """Loss and new parameters of gradient descent."""
    loss, g = value_and_grad(cost)(p, x, label)
    return loss, Params(p.w1 - rate * g.w1, p.b1 - rate * g.b1, p.w2 - rate * g.w2, p.b2 - rate * g.b2)


def in_jax(jax):
    """The same step for JAX, not compiled yet."""
    jnp = jax.numpy

    def cost(p, x, label):
        z = jnp.tanh(x @ p.w1 + p.b1) @ p.w2 + p.b2
        z = z - z.max(axis=1, keepdims=True)
        log_prob = z - jnp.log(jnp.exp(z).sum(axis=1, keepdims=True))
        return -log_prob[jnp.arange(len(label)), label].mean()

    def step(p, x, label, rate):
        loss, g = jax.value_and_grad(cost)(p, x, label)
        return loss, Params(p.w1 - rate * g.w1, p.b1 - rate * g.b1, p.w2 - rate * g.w2, p.b2 - rate * g.b2)

    return jax.jit(step)


def in_torch(torch, p, x, label, rate):
    """The same step for PyTorch, with its own loss and its fused optimiser's arithmetic."""
    wrt = [torch.tensor(w).requires_grad_() for w in p]
    x, label = torch.tensor(x), torch.tensor(label)

    def step():
        w1, b1, w2, b2 = wrt
        loss = torch.nn.functional.cross_entropy(torch.tanh(x @ w1 + b1) @ w2 + b2, label)
        gradients = torch.autograd.grad(loss, wrt)
        with torch.no_grad():
            return loss, *(w - rate * g for w, g in zip(wrt, gradients, strict=True))

    return step


def inputs():
    """Parameters, a batch and its labels."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    p = Params(normal(64, 128) / 8, normal(128) / 8, normal(128, 10) / 8, normal(10) / 8)
    return p, normal(64, 64), rng.integers(0, 10, 64)


@benchmark
def run():
    """Time of a step, and of the first call, which compiles."""
    p, x, label = inputs()
    compiled, jax, torch = myia(step), peer("jax"), peer("torch")
    by_jax = by_torch = compile_theirs = None
    if jax is not None:
        jitted, on_device = in_jax(jax), jax.device_put((p, x, label))

        def by_jax():
            loss, new = jax.block_until_ready(jitted(*on_device, 0.1))
            return loss, *new

        compile_theirs = seconds_of(lambda: jax.block_until_ready(in_jax(jax)(*on_device, 0.1)))
    if torch is not None:
        by_torch = in_torch(torch, p, x, label, 0.1)

    def ours():
        loss, new = compiled(p, x, label, 0.1)
        return loss, *new

    what = "network 64-128-10, batch 64, float32: training step"
    yield from compare(what, ours, {"jax.jit": by_jax, "PyTorch": by_torch}, 1.0, rtol=1e-4, rounds=31)
    compiling = first_call(lambda: lambda: myia(step)(p, x, label, 0.1))
    yield Row("network: first call, with compilation", compiling, target=1.5)
    yield Row("network: first call, with compilation", compiling, "jax.jit", compile_theirs)
