"""Random numbers by counting: the published vectors, the same bits on every back end, and their distribution."""

import importlib.util

import numpy as np
import pytest
from compare import assert_same

from myia_lite import grad, myia, random

TVM = pytest.param("tvm", marks=pytest.mark.skipif(not importlib.util.find_spec("tvm"), reason="no apache-tvm"))
BACKENDS = ["interp", "llvm", TVM]


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_published_vectors(key, counter, expected):
    """Those that come with Random123."""
    assert random.threefry(*key, *counter) == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "draw",
    [
        lambda k: random.uniform(k, (3, 5)),
        lambda k: random.split(k, 4),
        lambda k: random.integers(k, -3, 4, (50,)),
        lambda k: random.permutation(k, 20),
        lambda k: random.bernoulli(k, 0.3, (40,)),
    ],
)
def test_the_same_bits(draw, backend):
    key = random.key(2**40 + 17)
    assert_same(myia(backend=backend)(draw)(key), draw(key), rtol=0, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_normal_and_its_use_in_a_gradient(backend):
    def loss(x, key):
        return np.sum((x + 0.1 * random.normal(key, (30,))) ** 2)

    key, x = random.key(5), np.linspace(-1, 1, 30)
    compiled = myia(backend=backend)(loss)
    assert_same(compiled(x, key), loss(x, key))
    assert_same(grad(compiled)(x, key), 2 * (x + 0.1 * random.normal(key, (30,))), rtol=1e-9)


def test_distribution():
    """Moments, and no correlation between neighbours or between keys of one split."""
    n = 100_000
    u, z = random.uniform(random.key(0), (n,)), random.normal(random.key(1), (n,))
    assert abs(u.mean() - 1 / 2) < 4 / np.sqrt(12 * n) and abs(np.mean(u**2) - 1 / 3) < 0.005
    assert abs(z.mean()) < 4 / np.sqrt(n) and abs(np.mean(z**4) - 3) < 0.15
    a, b = (random.uniform(k, (n,)) for k in random.split(random.key(2), 2))
    for x, y in ((u[1:], u[:-1]), (a, b)):
        assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(n)
