"""GradBench's `lstm`: two layers of a recurrent network over a sequence, in loops over time and layers."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import ARRAY, FIFTIETH, LONG, Row, benchmark, by_hand, check_direction, compare, first_call
from .peers import in_autograd, in_jax, in_torch

LAYERS, WIDTH, LENGTHS = 2, 14, (64, 1024, 4096)


def sigmoid(x):
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def layer(weight, bias, hidden, cell, x):
    """The next hidden state and cell of a layer; weight and bias have blocks forget, in, out and change."""
    n = len(hidden)
    forget = sigmoid(x * weight[0:n] + bias[0:n])
    into = sigmoid(x * weight[n : 2 * n] + bias[n : 2 * n])
    out = sigmoid(hidden * weight[2 * n : 3 * n] + bias[2 * n : 3 * n])
    change = np.tanh(hidden * weight[3 * n :] + bias[3 * n :])
    cell = cell * forget + out * change
    return into * np.tanh(cell), cell


def lstm(main, extra, state, sequence):
    """Minus the mean log-likelihood of the next element."""
    layers, width = main.shape[0] // 2, extra.shape[1]
    state = state.copy()
    total = 0.0
    for t in range(len(sequence) - 1):
        x = sequence[t] * extra[0]
        for k in range(layers):
            hidden, cell = layer(main[2 * k], main[2 * k + 1], state[2 * k], state[2 * k + 1], x)
            state[2 * k] = hidden
            state[2 * k + 1] = cell
            x = hidden
        y = x * extra[1] + extra[2]
        total += np.sum(sequence[t + 1] * (y - np.log(2 + np.sum(np.exp(y)))))
    return -total / (width * (len(sequence) - 1))


def inputs(length):
    """Parameters, first state, sequence."""
    rng = np.random.default_rng(0)
    main, extra = 0.3 * rng.standard_normal((2 * LAYERS, 4 * WIDTH)), 0.3 * rng.standard_normal((3, WIDTH))
    return main, extra, 0.3 * rng.standard_normal((2 * LAYERS, WIDTH)), rng.random((length, WIDTH))


def in_loops(xp, main, extra, state, sequence):
    """The same for tools whose loops are Python's and whose arrays cannot be written to."""
    layers, width = main.shape[0] // 2, extra.shape[1]
    rows, total = [state[k] for k in range(2 * layers)], 0.0
    for t in range(len(sequence) - 1):
        x = sequence[t] * extra[0]
        for k in range(layers):
            blocks = [slice(width * b, width * (b + 1)) for b in range(4)]
            weight, bias, hidden, cell = main[2 * k], main[2 * k + 1], rows[2 * k], rows[2 * k + 1]
            forget, into = (1 / (1 + xp.exp(-(x * weight[b] + bias[b]))) for b in blocks[:2])
            out = 1 / (1 + xp.exp(-(hidden * weight[blocks[2]] + bias[blocks[2]])))
            change = xp.tanh(hidden * weight[blocks[3]] + bias[blocks[3]])
            cell = cell * forget + out * change
            x = into * xp.tanh(cell)
            rows[2 * k], rows[2 * k + 1] = x, cell
        y = x * extra[1] + extra[2]
        total = total + xp.sum(sequence[t + 1] * (y - xp.log(2 + xp.sum(xp.exp(y)))))
    return -total / (width * (len(sequence) - 1))


def by_scan(jax):
    """The gradient for JAX, with a scan over time."""
    jnp, n = jax.numpy, WIDTH

    def layer(weight, bias, hidden, cell, x):
        forget = jax.nn.sigmoid(x * weight[:n] + bias[:n])
        into = jax.nn.sigmoid(x * weight[n : 2 * n] + bias[n : 2 * n])
        out = jax.nn.sigmoid(hidden * weight[2 * n : 3 * n] + bias[2 * n : 3 * n])
        change = jnp.tanh(hidden * weight[3 * n :] + bias[3 * n :])
        cell = cell * forget + out * change
        return into * jnp.tanh(cell), cell

    def value(main, extra, state, sequence):
        def step(state, pair):
            now, after = pair
            x, rows = now * extra[0], []
            for k in range(LAYERS):
                x, cell = layer(main[2 * k], main[2 * k + 1], state[2 * k], state[2 * k + 1], x)
                rows += [x, cell]
            y = x * extra[1] + extra[2]
            return jnp.stack(rows), jnp.sum(after * (y - jnp.log(2 + jnp.sum(jnp.exp(y)))))

        _, terms = jax.lax.scan(step, state, (sequence[:-1], sequence[1:]))
        return -jnp.sum(terms) / (WIDTH * (len(sequence) - 1))

    return jax.grad(value, argnums=(0, 1))


@benchmark
def run():
    """Gradients by length of the sequence, and the time of compilation."""
    value, derived = myia(lstm), grad(lstm, argnums=(0, 1))
    c = by_hand("lstm", "gradient", LONG, LONG, LONG, *[ARRAY] * 6)
    for length in LENGTHS:
        arguments = inputs(length)
        check_direction(value, dict(enumerate(derived(*arguments))), arguments)

        def in_c(arguments=arguments):
            out = np.empty_like(arguments[0]), np.empty_like(arguments[1])
            c(LAYERS, WIDTH, len(arguments[3]), *arguments, *out)
            return out

        peers = {"C, by hand": c and in_c, "jax.jit": in_jax(by_scan, *arguments)}
        if length == LENGTHS[0]:  # seconds a call beyond
            peers |= {"PyTorch": in_torch(in_loops, (0, 1), *arguments)}
            peers |= {"autograd": in_autograd(in_loops, (0, 1), *arguments)}
        targets = dict.fromkeys(peers, FIFTIETH) | {"C, by hand": 1.2}
        yield from compare(f"lstm, {length} elements: gradient", partial(derived, *arguments), peers, targets)
    arguments = inputs(LENGTHS[0])
    compiling = first_call(lambda: lambda: grad(myia(lstm), argnums=(0, 1))(*arguments))
    yield Row("lstm: first call of the gradient, with compilation", compiling)
