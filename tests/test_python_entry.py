"""Calls of programs that are no native code: from the third on by an entry written for the signature."""

import dataclasses
from collections import namedtuple
from timeit import repeat

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
from compare import assert_same

from myia_lite import MyiaError, myia, to_device, to_host

Pair = namedtuple("Pair", "a b")
FACTOR = 2.0
TABLE = np.array([1.0, 2.0, 3.0])


@dataclasses.dataclass(frozen=True)
class Line:
    slope: float
    points: np.ndarray


def warm(f, *args, **options):
    """Compiled, and called so often that it has its entry."""
    compiled = myia(backend="tvm", **options)(f)
    for _ in range(3):
        compiled(*args)
    assert compiled.entry.__name__ == "entry"
    return compiled


A, F, B = np.arange(4.0), np.linspace(0, 1, 4, dtype=np.float32), np.array([True, False])
CASES = [
    (lambda x, y: x + y, (1.5, 2.0)),
    (lambda n, m: n * m - 1, (3, 4)),
    (lambda b: not b, (True,)),
    (lambda x: x * 2, (np.float32(1.5),)),
    (lambda a, b: (a * b, a[0] + b), (A, 2.0)),
    (lambda a: a * 2, (F,)),
    (lambda b: ~b, (B,)),
    (lambda p: p.a * p.b, (Pair(A, 3.0),)),
    (lambda p: Pair(p.b, p.a), (Pair(A, 3.0),)),
    (lambda d: {"s": d["x"] + d["y"], "t": [d["x"], ()]}, ({"x": A, "y": 1.0},)),
    (lambda q: Line(q.slope * 2, q.points + q.slope), (Line(1.0, A),)),
    (lambda t: (t[1], (t[0][0],)), (([1.0, 2], A),)),
    (lambda a, n: a if n is None else a * n, (A, None)),
    (lambda a, how: a * 2 if how == "twice" else a, (A, "twice")),
    (lambda a: a * TABLE[1] + TABLE, (np.arange(3.0),)),
    (lambda: TABLE * 2, ()),
    (lambda a: np.sum(a, axis=0), (np.ones((2, 3))[:, ::-1],)),
    (lambda a: a + 1, (np.zeros((0, 3)),)),
]


@pytest.mark.parametrize(("f", "args"), CASES, ids=range(len(CASES)))
def test_values(f, args):
    compiled = warm(f, *args)
    for _ in range(3):
        assert_same(compiled(*args), f(*args))


def test_arguments_of_other_types_go_on():
    f = warm(lambda x, y: x + y, 1.0, 2.0)
    assert f(x=1.0, y=2.0) == 3.0 and f(1.0, y=2.0) == 3.0
    assert f(1, 2) == 3 and type(f(1, 2)) is int
    assert_same(f(A, A), A + A)
    assert_same(f(A.astype(np.float32), A), A + A)
    with pytest.raises(MyiaError):
        f(2**70, 1)
    with pytest.raises(TypeError):
        f(1.0)
    with pytest.raises(TypeError):
        f(1.0, 2.0, 3.0)
    with pytest.raises(OverflowError):
        f(2**62, 2**62)


def test_layouts():
    f = warm(lambda a: a * 2.0, np.ones(4))
    g = warm(lambda a: a * 2.0, np.ones((2, 3)))
    fixed = np.ones(4)
    fixed.flags.writeable = False
    bytes_ = np.zeros(33, np.int8)
    misaligned = bytes_[1:].view(np.float64)
    for a in (np.arange(8.0)[::2], np.arange(4.0)[::-1], fixed, misaligned, np.broadcast_to(np.float64(3.0), 4)):
        assert_same(f(a), a * 2.0)
    for a in (np.arange(6.0).reshape(3, 2).T, np.asfortranarray(np.arange(6.0).reshape(2, 3))):
        assert_same(g(a), a * 2.0)
    assert_same(f(np.arange(4.0).astype(">f8")), np.arange(4.0) * 2.0)


def test_open_sizes():
    f = warm(lambda a, b: a + b, np.ones(4), np.ones(4))
    for n in (5, 6, 7, 1, 0, 8):
        assert_same(f(np.arange(float(n)), np.ones(n)), np.arange(float(n)) + 1)
    assert_same(f(np.ones(5), np.ones(1)), np.full(5, 2.0))
    for n in (5, 6):
        with pytest.raises(ValueError):
            f(np.ones(n), np.ones(n + 1))


def test_what_it_took_from_outside(monkeypatch):
    def scaled(a):
        return a * FACTOR + shift

    shift = 1.0
    f = warm(scaled, A)
    assert_same(f(A), A * 2 + 1)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert_same(f(A), A * 3 + 1)
    shift = 5.0
    assert_same(f(A), A * 3 + 5)
    captured = np.array([1.0, 2.0])
    g = warm(lambda: captured * 2)
    captured[0] = 7.0
    assert_same(g(), np.array([14.0, 4.0]))
    captured = np.array([1.0, 2.0, 3.0])
    assert_same(g(), captured * 2)


def test_errors():
    f = warm(lambda a, i: a[i], A, 2)
    for _ in range(3):
        with pytest.raises(IndexError):
            f(A, 4)
        assert f(A, -1) == 3.0

    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)

    g = warm(depth, 3)
    assert g(50_000) == 50_000 and g(3) == 3
    with pytest.raises(RecursionError):
        g(10**9)


def test_device_arrays():
    f = warm(lambda a, b: a + b, A, A)
    d = to_device(A, "llvm")
    for x, y in ((d, d), (d, A), (A, d)):
        assert type(f(x, y)) is type(d)
        assert_same(to_host(f(x, y)), A + A)
    assert type(f(A, A)) is np.ndarray
    g = warm(lambda a: np.reshape(a, (2, 2)), d)
    h = warm(lambda a: a @ a, g(d))
    assert_same(to_host(h(g(d))), A.reshape(2, 2) @ A.reshape(2, 2))


def test_results_are_the_callers():
    f = warm(lambda a: (a, a * 1.0), A)
    x, y = f(A)
    assert not np.may_share_memory(x, A) and not np.may_share_memory(x, y)
    x += 1
    assert_same(f(A), (A, A))


def test_time_of_a_call():
    """A few times what NumPy takes for one addition, on a computer that is busy."""
    numbers, arrays = warm(lambda a, b: a + b, 1.0, 2.0), warm(lambda a, b: a + b, A, A)
    base = min(repeat(lambda: np.add(A, A), number=50, repeat=400))
    assert min(repeat(lambda: numbers(1.0, 2.0), number=50, repeat=400)) < 8 * base
    assert min(repeat(lambda: arrays(A, A), number=50, repeat=400)) < 18 * base
