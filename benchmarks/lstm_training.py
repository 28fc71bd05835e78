"""A training step of an LSTM in float32: 32 sequences of 32 elements, 64 hidden units, softmax over 10 classes."""

from typing import NamedTuple

import numpy as np

from myia_lite import myia, value_and_grad

from .harness import Row, benchmark, compare, first_call, peer

BATCH, LENGTH, INPUTS, HIDDEN, CLASSES = 32, 32, 16, 64, 10


class Params(NamedTuple):
    """Weights of the input and of the hidden state, with blocks in, forget, change and out; bias; the last layer."""

    w: np.ndarray
    u: np.ndarray
    b: np.ndarray
    last: np.ndarray


def sigmoid(x):
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def cost(p, xs, label):
    """Softmax cross-entropy of what the last hidden state says."""
    n = p.u.shape[0]
    hidden = np.zeros((xs.shape[1], n), dtype=np.float32)
    cell = np.zeros((xs.shape[1], n), dtype=np.float32)
    for t in range(len(xs)):
        z = xs[t] @ p.w + hidden @ p.u + p.b
        into, forget = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n])
        change, out = np.tanh(z[:, 2 * n : 3 * n]), sigmoid(z[:, 3 * n :])
        cell = forget * cell + into * change
        hidden = out * np.tanh(cell)
    y = hidden @ p.last
    y = y - y.max(axis=1, keepdims=True)
    log_prob = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


def step(p, xs, label, rate):
    """Loss and new parameters of gradient descent."""
    loss, g = value_and_grad(cost)(p, xs, label)
    return loss, Params(p.w - rate * g.w, p.u - rate * g.u, p.b - rate * g.b, p.last - rate * g.last)


def inputs():
    """Parameters, sequences, labels."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    p = Params(
        normal(INPUTS, 4 * HIDDEN) / 4,
        normal(HIDDEN, 4 * HIDDEN) / 8,
        normal(4 * HIDDEN) / 4,
        normal(HIDDEN, CLASSES) / 8,
    )
    return p, normal(LENGTH, BATCH, INPUTS), rng.integers(0, CLASSES, BATCH)


def in_jax(jax, p, xs, label, rate):
    """The same step for JAX, with a scan over time."""
    jnp, n = jax.numpy, HIDDEN

    def cost(p, xs, label):
        def body(state, x):
            hidden, cell = state
            z = x @ p.w + hidden @ p.u + p.b
            into, forget = jax.nn.sigmoid(z[:, :n]), jax.nn.sigmoid(z[:, n : 2 * n])
            cell = forget * cell + into * jnp.tanh(z[:, 2 * n : 3 * n])
            return (jax.nn.sigmoid(z[:, 3 * n :]) * jnp.tanh(cell), cell), None

        zeros = jnp.zeros((xs.shape[1], n), dtype=xs.dtype)
        (hidden, _), _ = jax.lax.scan(body, (zeros, zeros), xs)
        return -jnp.mean(jax.nn.log_softmax(hidden @ p.last)[jnp.arange(len(label)), label])

    def step(p, xs, label, rate):
        loss, g = jax.value_and_grad(cost)(p, xs, label)
        return loss, *(w - rate * w_bar for w, w_bar in zip(p, g, strict=True))

    jitted, there = jax.jit(step), jax.device_put((p, xs, label))
    return lambda: jax.block_until_ready(jitted(*there, rate))


def in_torch(torch, p, xs, label, rate):
    """The same step with PyTorch's own LSTM, eagerly."""
    lstm = torch.nn.LSTM(INPUTS, HIDDEN)
    for name, value in (("weight_ih_l0", p.w.T), ("weight_hh_l0", p.u.T), ("bias_ih_l0", p.b), ("bias_hh_l0", 0 * p.b)):
        getattr(lstm, name).data = torch.tensor(np.ascontiguousarray(value))
    last, xs, label = torch.tensor(p.last).requires_grad_(), torch.tensor(xs), torch.tensor(label)
    lstm.bias_hh_l0.requires_grad_(False)
    wrt = [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, last]

    def call():
        loss = torch.nn.functional.cross_entropy(lstm(xs)[0][-1] @ last, label)
        gradients = torch.autograd.grad(loss, wrt)
        with torch.no_grad():
            w, u, b, last_ = (v - rate * g for v, g in zip(wrt, gradients, strict=True))
            return loss, w.T, u.T, b, last_

    return call


@benchmark
def run():
    """Time of a step, and of the first call, which compiles."""
    p, xs, label = inputs()
    compiled, jax, torch = myia(step), peer("jax"), peer("torch")

    def ours():
        loss, new = compiled(p, xs, label, 0.1)
        return loss, *new

    peers = {
        "jax.jit": jax and in_jax(jax, p, xs, label, 0.1),
        "PyTorch": torch and in_torch(torch, p, xs, label, 0.1),
    }
    yield from compare("LSTM, 32 sequences of 32, float32: training step", ours, peers, 1.0, rtol=1e-4)
    compiling = first_call(lambda: lambda: myia(step)(p, xs, label, 0.1))
    yield Row("LSTM: first call of the training step, with compilation", compiling)
