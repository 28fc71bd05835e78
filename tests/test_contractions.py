"""Sums of products as loop nests over strides: against the primitives' own meaning, and what is one nest."""

import re

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from test_llvm_arrays import I, P, a, program, programs

from myia_lite import MyiaError, grad, myia, value_and_grad
from myia_lite.backends.llvm.fusion import plan


def matmul(x, y, ta=False, tb=False):
    return P["matmul"](x, y, ta=ta, tb=tb)


def window(x, starts, shape, steps=None):
    starts = [k if not isinstance(k, int) else I[k] for k in starts]
    return P["slice"](x, *starts, steps=steps or (1,) * len(shape), shape=shape)


def nests(build, *args):
    """The primitives that have loops of their own."""
    graph = program(build, *args)
    inlined = plan(graph, contract=True).inlined
    return [n.op.name for n in graph.nodes if n not in inlined]


def images(x, w):
    """One window by a matrix for each image and row."""
    k = P["broadcast"](w, shape=(3, 4, 6, 5), axes=(2, 3))
    return matmul(window(x, (0, 1, 1, 0), (3, 4, 4, 6)), k)


def kernel_bar(x, g):
    products = matmul(window(x, (0, 1, 0, 0), (3, 4, 4, 6)), g, ta=True)
    return P["reduce_sum"](products, axes=(0, 1))


def image_bar(x, g, w):
    k = P["broadcast"](w, shape=(3, 4, 6, 5), axes=(2, 3))
    back = matmul(g, k, tb=True)
    return P["slice_add"](x * 2.0, back, I[0], I[1], I[2], I[0], steps=(1, 1, 1, 1))


def over_rows(x, y):
    return P["reduce_sum"](x * P["broadcast"](y, shape=(40, 7, 9), axes=(0, 1)), axes=(0, 1))


def summed(x, y, u, v, b):
    return matmul(x, y) + P["neg"](b) + matmul(u, v) + matmul(P["transpose"](u, perm=(1, 0)), v, ta=True) + b


CASES = {
    "images": (images, [(3, 6, 6, 6), (6, 5)], ["matmul"]),
    "kernel_bar": (kernel_bar, [(3, 6, 5, 6), (3, 4, 4, 7)], ["reduce_sum"]),
    "image_bar": (image_bar, [(3, 6, 7, 6), (3, 4, 4, 5), (6, 5)], ["mul", "slice_add"]),
    "over_rows": (over_rows, [(40, 7, 9), (40, 7)], ["reduce_sum"]),
    "summed": (summed, [(6, 7), (7, 33), (6, 6), (6, 33), (6, 33)], ["add"]),
    "many small": (matmul, [(50, 3, 4), (50, 4, 5)], ["matmul"]),
    "many larger": (matmul, [(9, 19, 18), (9, 18, 37)], ["matmul"]),
    "one column": (matmul, [(50, 3, 4), (50, 4, 1)], None),
    "many turned": (lambda x, y: matmul(x, y, True, True), [(20, 7, 6), (20, 5, 7)], ["matmul"]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_contractions(dtype):
    with programs() as check:
        for build, shapes, _ in CASES.values():
            check(build, *[a(*s).astype(dtype) for s in shapes], rtol=1e-3 if dtype is np.float32 else 1e-10)


@pytest.mark.parametrize("name", [k for k, v in CASES.items() if v[2]])
def test_a_contraction_is_one_nest(name):
    build, shapes, expected = CASES[name]
    assert nests(build, *[a(*s) for s in shapes]) == expected


def test_a_very_long_sum_is_several_nests():
    def long(x, y):
        total = x
        for _ in range(70):
            total = total + y + matmul(x, y)
        return total

    args = [a(5, 5), a(5, 5)]
    assert nests(long, *args) == ["add", "add"]
    with programs(dynamic=[False]) as check:
        check(long, *args, rtol=1e-9)


# ---- as users write it -----------------------------------------------------------------------------------------------
def shifted(x, k):
    """A convolution as a sum of shifted images."""
    n, m, o = x.shape[1] - k.shape[0] + 1, x.shape[2] - k.shape[1] + 1, k.shape[3]
    y = np.zeros((x.shape[0], n, m, o), dtype=x.dtype)
    for i in range(k.shape[0]):
        for j in range(k.shape[1]):
            y = y + x[:, i : i + n, j : j + m] @ k[i, j]
    return y


def energy(x, k, u):
    return (np.tanh(shifted(x, k)) * u).sum()


def strided(x, k, u):
    """Every other window, the products written out."""
    y = u * 0.0
    for i in range(2):
        for j in range(3):
            y = y + np.einsum("npqc,co->npqo", x[:, i : i + 6 : 2, j : j + 6 : 3], k[i, j])
    return (np.sin(y) * u).sum()


def windows(x, k, u):
    """The same convolution over windows that slide, in one contraction."""
    seen = sliding_window_view(np.sin(x), k.shape[:2], axis=(1, 2))
    return (np.tanh(np.einsum("npqcij,ijco->npqo", seen, k)) * u).sum()


def line(x, k):
    """One axis, no channels: windows overlap along the vectors."""
    return (np.tensordot(sliding_window_view(x, k.shape[0], axis=0), k, axes=1) ** 2).sum()


def picked(x, k):
    """Windows by index arrays, and other uses of the same elements."""
    seen = x[np.arange(4)[:, None] * 2 + np.arange(3)]
    return (seen @ k).sum() + (seen**3).sum()


def one_channel(x, k, u):
    y = u * 0.0
    for i in range(2):
        for j in range(2):
            y = y + x[:, i : i + 4, j : j + 5, None] * k[i, j]
    return (np.maximum(y, 0.0) * u).sum()


def attention(q, k, v):
    s = np.einsum("bthd,bshd->bhts", q, k)
    e = np.exp(s - s.max(axis=3, keepdims=True))
    return (np.einsum("bhts,bshd->bthd", e / e.sum(axis=3, keepdims=True), v) ** 2).sum()


def layers(x, u, w, h):
    """Matrices by rows of a batch, and two products added up."""
    y = np.tanh(x @ u + h @ w)
    return (y * y).mean()


PROGRAMS = {
    "shifted": (energy, [(3, 7, 6, 5), (3, 2, 5, 9), (3, 5, 5, 9)]),
    "wide": (energy, [(2, 5, 19, 3), (1, 3, 3, 37), (2, 5, 17, 37)]),
    "one output": (energy, [(2, 5, 6, 3), (2, 2, 3, 1), (2, 4, 5, 1)]),
    "none": (energy, [(0, 5, 6, 3), (2, 2, 3, 2), (0, 4, 5, 2)]),
    "no channel": (energy, [(2, 5, 6, 0), (2, 2, 0, 2), (2, 4, 5, 2)]),
    "windows": (windows, [(3, 7, 6, 5), (3, 2, 5, 9), (3, 5, 5, 9)]),
    "line": (line, [(40,), (5, 3)]),
    "line, one": (line, [(40,), (5,)]),
    "picked": (picked, [(9, 3), (3, 4)]),
    "strided": (strided, [(2, 7, 9, 4), (2, 3, 4, 6), (2, 3, 2, 6)]),
    "one channel": (one_channel, [(3, 5, 6), (2, 2, 7), (3, 4, 5, 7)]),
    "attention": (attention, [(2, 5, 3, 4), (2, 6, 3, 4), (2, 6, 3, 4)]),
    "layers": (layers, [(2, 4, 6), (6, 9), (5, 9), (2, 4, 5)]),
}


def inputs(shapes, dtype):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def close(got, expected, dtype):
    for x, y in zip(got, expected, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        scale = max(1e-30, np.max(np.abs(y), initial=0.0))
        assert np.max(np.abs(x - y), initial=0.0) <= (1e-4 if dtype is np.float32 else 1e-11) * scale


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients(name, dtype):
    f, shapes = PROGRAMS[name]
    args, where = inputs(shapes, dtype), tuple(range(len(shapes)))
    value, gradient = value_and_grad(f, argnums=where)(*args)
    right, expected = value_and_grad(myia(f, backend="interp"), argnums=where)(*args)
    close([np.asarray(value)], [np.asarray(right)], dtype)
    close(gradient, expected, dtype)
    np.testing.assert_allclose(value, f(*args), rtol=1e-4 if dtype is np.float32 else 1e-10)


@pytest.mark.parametrize("name", ["shifted", "windows", "strided", "one channel"])
def test_second_order(name):
    f, shapes = PROGRAMS[name]
    args, along = inputs(shapes, np.float64), inputs(shapes, np.float64)[1] * 0.5

    def product(*args):
        return (grad(f, 1)(*args) * along).sum()

    got = grad(product, 0)(*args)
    close([got], [grad(myia(product, backend="interp"), 0)(*args)], np.float64)


@pytest.mark.parametrize("f", [energy, windows])
def test_any_number_of_images(f):
    """From the second number of images on there is one program for all."""
    gradient = grad(f, 1)
    for n in (2, 5, 9, 33, 1):
        args = inputs([(n, 7, 6, 5), (3, 2, 5, 9), (n, 5, 5, 9)], np.float64)
        close([gradient(*args)], [grad(myia(f, backend="interp"), 1)(*args)], np.float64)


def test_long_sums():
    """Blocks, all cores: rounding errors stay small."""
    rng = np.random.default_rng(2)
    x, k = rng.standard_normal((500, 9, 8, 6)).astype(np.float32), np.zeros((2, 2, 6, 24), np.float32)
    u = np.ones((500, 8, 7, 24), np.float32)
    got = grad(lambda k: (shifted(x, k) * u).sum())(k)
    expected = np.stack(
        [[x[:, i : i + 8, j : j + 7].sum(axis=(0, 1, 2), dtype=np.float64) for j in (0, 1)] for i in (0, 1)]
    )
    np.testing.assert_allclose(got, np.repeat(expected[..., None], 24, 3), atol=2e-3)


def test_windows_refused():
    x = np.ones((4, 5))
    with pytest.raises(MyiaError, match="larger than input"):
        myia(lambda x: sliding_window_view(x, (5, 5)))(x)
    with pytest.raises(MyiaError, match="for all dimensions"):
        myia(lambda x: sliding_window_view(x, 2))(x)
    with pytest.raises(MyiaError, match="matching length"):
        myia(lambda x: sliding_window_view(x, (2, 2), axis=0))(x)
    with pytest.raises(MyiaError, match="named twice"):
        myia(lambda x: sliding_window_view(x, (2, 2), axis=(0, 0)))(x)
    with pytest.raises(MyiaError, match="negative"):
        myia(lambda x: sliding_window_view(x, -1, axis=0))(x)


def sizes_allocated(f, args):
    """The sizes in bytes that the compiled program asks memory for."""
    text = f.ir(*args, stage="llvm")
    return [int(n) for n in re.findall(r"@rt_alloc\(ptr [^,]+, i64 (\d+)", text)]


@pytest.mark.parametrize("f", [energy, windows])
def test_no_windows_in_memory(f):
    """The gradient has no array larger than the images and the results: neither windows, nor their indexes."""
    shapes = [(3, 7, 6, 5), (3, 2, 5, 9), (3, 5, 5, 9)]
    args = inputs(shapes, np.float64)
    largest = max(sizes_allocated(value_and_grad(f, argnums=(0, 1, 2)), args))
    assert largest <= 8 * max(np.prod(s) for s in shapes) < 8 * 3 * 5 * 5 * 5 * 6


@pytest.mark.parametrize("m", [4096, 4099])
def test_rows_shared_by_all_cores(m):
    """Rows in pieces, the last of which is not full, have the same results as on one core."""
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((m, 37)), rng.standard_normal((37, 21))
    np.testing.assert_allclose(myia(lambda x, w: x @ w)(x, w), x @ w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(myia(lambda x, w: w.T @ x.T)(x, w), w.T @ x.T, rtol=1e-12, atol=1e-12)
