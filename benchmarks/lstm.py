"""GradBench's `lstm`: two layers of a recurrent network over a sequence, in loops over time and layers."""

from functools import partial

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_direction, check_equal, first_call, medians, peer

LAYERS, WIDTH, LENGTHS = 2, 14, (64, 1024)


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


def in_jax(jax):
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

    return jax.jit(jax.grad(value, argnums=(0, 1)))


@benchmark
def run():
    """Gradients by length of the sequence, and the time of compilation."""
    value, derived, jax = myia(lstm), grad(lstm, argnums=(0, 1)), peer("jax")
    for length in LENGTHS:
        arguments = inputs(length)
        gradients = derived(*arguments)
        check_direction(value, dict(enumerate(gradients)), arguments)
        ours, theirs, call = 0.0, None, partial(derived, *arguments)
        if jax is not None:
            jax.config.update("jax_enable_x64", True)
            jitted, there = in_jax(jax), jax.device_put(arguments)
            check_equal(gradients, jitted(*there), rtol=1e-8, what="gradient and JAX")
            ours, theirs = medians(call, lambda jitted=jitted, there=there: jax.block_until_ready(jitted(*there)))
        else:
            (ours,) = medians(call)
        yield Row(f"lstm, {length} elements: gradient", ours, "jax.jit", theirs, target=1.0)
    arguments = inputs(LENGTHS[0])
    compiling = first_call(lambda: lambda: grad(myia(lstm), argnums=(0, 1))(*arguments))
    yield Row("lstm: first call of the gradient, with compilation", compiling)
