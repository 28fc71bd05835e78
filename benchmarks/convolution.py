"""Loss and gradient of a small convolutional network in float32, the convolutions in two spellings: as sums of shifted
images, and as products with windows that slide."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myia_lite import value_and_grad

from .harness import benchmark, compare, peer


def entropy(b, w, label):
    """Rectifier, mean over the image, softmax cross-entropy."""
    z = np.maximum(b, 0.0).mean(axis=(1, 2)) @ w
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


def by_shifts(k1, k2, w, x, label):
    """Two 3×3 convolutions with rectifiers, each a sum over the kernel's offsets."""
    n, m = x.shape[0], x.shape[1] - 2
    a = np.zeros((n, m, m, k1.shape[2]), dtype=np.float32)
    for i in range(3):
        for j in range(3):
            a = a + x[:, i : i + m, j : j + m, None] * k1[i, j]
    a = np.maximum(a, 0.0)
    m = m - 2
    b = np.zeros((n, m, m, k2.shape[3]), dtype=np.float32)
    for i in range(3):
        for j in range(3):
            b = b + a[:, i : i + m, j : j + m] @ k2[i, j]
    return entropy(b, w, label)


def by_windows(k1, k2, w, x, label):
    """The same by windows and einsum."""
    a = np.einsum("npqij,ijo->npqo", sliding_window_view(x, (3, 3), axis=(1, 2)), k1)
    a = np.maximum(a, 0.0)
    b = np.einsum("npqcij,ijco->npqo", sliding_window_view(a, (3, 3), axis=(1, 2)), k2)
    return entropy(b, w, label)


def inputs():
    """Kernels, last layer, 32 images of 12×12, labels."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return normal(3, 3, 8) / 3, normal(3, 3, 8, 16) / 8, normal(16, 10) / 4, normal(32, 12, 12), rng.integers(0, 10, 32)


def in_jax(jax, arguments):
    """The same with XLA's convolution, or None."""
    jnp = jax.numpy

    def cost(k1, k2, w, x, label):
        conv = lambda x, k: jax.lax.conv_general_dilated(  # noqa: E731
            x, k, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        a = jnp.maximum(conv(x[..., None], k1[:, :, None]), 0.0)
        z = jnp.maximum(conv(a, k2), 0.0).mean(axis=(1, 2)) @ w
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(label)), label])

    jitted, there = jax.jit(jax.value_and_grad(cost, (0, 1, 2))), jax.device_put(arguments)
    return lambda: jax.block_until_ready(jitted(*there))


def in_torch(torch, arguments):
    """The same with PyTorch's convolution, or None."""
    f = torch.nn.functional
    k1, k2, w, x, label = map(torch.tensor, arguments)
    wrt = [k.requires_grad_() for k in (k1, k2, w)]

    def call():
        a = f.relu(f.conv2d(x[:, None], k1.permute(2, 0, 1)[:, None]))
        z = f.relu(f.conv2d(a, k2.permute(3, 2, 0, 1))).mean((2, 3)) @ w
        loss = f.cross_entropy(z, label)
        return loss, torch.autograd.grad(loss, wrt)

    return call


@benchmark
def run():
    """Loss and gradient by tool."""
    arguments = inputs()
    jax, torch = peer("jax"), peer("torch")
    peers = {"jax.jit": jax and in_jax(jax, arguments), "PyTorch": torch and in_torch(torch, arguments)}
    for cost, spelling in ((by_shifts, ""), (by_windows, ", by windows")):
        derived = value_and_grad(cost, argnums=(0, 1, 2))
        what = f"convolutional network, 32 images 12×12, float32: loss and gradient{spelling}"
        yield from compare(what, lambda derived=derived: derived(*arguments), peers, 1.0, rtol=1e-4)
