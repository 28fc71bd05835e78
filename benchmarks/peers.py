"""The same derivative by other tools: each function returns a call without arguments, or None if the tool is missing.

A tool gets its inputs where it wants them (on its device, as its arrays) before the clock runs, and its call ends when
the results are there.
"""

from functools import partial

import numpy as np

from .harness import peer


def in_jax(make, *arguments):
    """`make(jax)` is a function for JAX, which is jitted; sizes belong in `make`."""
    jax = peer("jax")
    if jax is None:
        return None
    jax.config.update("jax_enable_x64", True)
    jitted, there = jax.jit(make(jax)), jax.device_put(arguments)
    return lambda: jax.block_until_ready(jitted(*there))


def in_torch(value, argnums, *arguments, compiled=False):
    """The gradient of `value(torch, *arguments)`, eagerly or by `torch.compile`."""
    torch = peer("torch")
    if torch is None:
        return None
    given = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
    wrt = [given[k].requires_grad_() for k in argnums]
    f = partial(value, torch)
    if compiled:
        f = torch.compile(f)

    def call():
        gradients = torch.autograd.grad(f(*given), wrt)
        return gradients[0] if len(gradients) == 1 else gradients

    return call


def in_autograd(value, argnums, *arguments):
    """The gradient of `value(autograd.numpy, *arguments)`."""
    autograd = peer("autograd")
    if autograd is None:
        return None
    xp = peer("autograd.numpy")
    f = autograd.grad(partial(value, xp), argnums[0] if len(argnums) == 1 else tuple(argnums))
    return lambda: f(*arguments)


def in_numba(function, *arguments):
    """A derivative written by hand, by Numba."""
    numba = peer("numba")
    if numba is None:
        return None
    jitted = numba.njit(function)
    return lambda: jitted(*arguments)
