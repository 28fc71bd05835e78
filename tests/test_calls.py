"""The way from Python into compiled code: native entries, what they hand on, results in arrays of the caller's."""

import dataclasses
import gc
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest

from myia_lite import MyiaError, grad, myia, value_and_grad
from myia_lite.callable import NativeCallable


@dataclasses.dataclass(frozen=True)
class Layer:
    w: np.ndarray
    b: np.ndarray


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    w: np.ndarray
    n: int = 3

    def __post_init__(self):
        assert self.n == 3


class Pair(NamedTuple):
    first: float
    second: np.ndarray


def same(a, b):
    """Equal in types, structure and numbers."""
    assert type(a) is type(b), (a, b)
    if dataclasses.is_dataclass(a):
        a, b = ([getattr(x, f.name) for f in dataclasses.fields(x)] for x in (a, b))
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = list(a.values()), list(b.values())
    if isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-14)
    else:
        assert a == b


def both(f, *args, **keywords):
    """As plain Python, by the general way and by the native entry; what is native leaves no reference behind."""
    compiled, want = myia(f), f(*args, **keywords)
    for _ in range(2):
        same(compiled(*args, **keywords), want)
    assert type(compiled.entry) is type(len)
    objects = [x for a in (*args, *keywords.values()) for x in (a, *gc.get_referents(a))] + [np.dtype("f8"), Layer]
    compiled.entry.__self__[0][0] = refuse
    counts = []
    for _ in range(2):
        for _ in range(20):
            same(compiled(*args, **keywords), want)
        gc.collect()
        counts.append(list(map(sys.getrefcount, objects)))
    assert counts[0] == counts[1]
    return compiled


def refuse(*args, **keywords):
    raise AssertionError("the native entry did not take these arguments")


A, B = np.arange(4.0), np.linspace(1.0, 2.0, 4)


def nested(t):
    (a, b), c = t
    return (a * b, [c, (a + c, 2.0)]), {"sum": a + b, "none": None}


def layers(p, q):
    return Layer(p.w * q.w, p.b - q.b), (p.w, q)


def table(d, scale):
    return {"w": d["w"] * scale, "w.b": d["w.b"] + scale}


def pairs(p):
    return Pair(p.first * 2.0, p.second * p.first)


def complexes(z, a):
    return z * 2, a * z, (a.imag, z.real)


def zero_d(x):
    return x + np.ones(()) * 2.0


def checked(c):
    return Checked(c.w * 2.0)


def named(x, *, scale=1.0, flag=True):
    return x * scale if flag else -x


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (nested, (((A, B), A),)),
        (layers, (Layer(A, B), Layer(B, A))),
        (table, ({"w": A, "".join(["w", ".b"]): B}, 3.0)),
        (pairs, (Pair(2.0, A),)),
        (complexes, (1 + 2j, A + 1j * B)),
        (lambda x: (complex(x, 1.0), complex(2.0, x), 1j), (3.0,)),
        (zero_d, (np.array(3.0),)),
        (checked, (Checked(A),)),
        (lambda x, y: [x > y, x, int(y)], (3, 5.5)),
        (lambda x: (), (1.0,)),
        (lambda a: (a.astype(np.float32), a > 1.0, a.sum(), a.astype(np.int64)), (A,)),
        (lambda s: s["a"][0][1], ({"a": ((1.0, 2.0),)},)),
        (lambda xs: xs[0] + xs[1], ([A, B],)),
    ],
)
def test_structures(f, args):
    both(f, *args)


def test_keywords():
    both(named, A, scale=3.0, flag=False)
    g = myia(named)
    for _ in range(3):
        same(g(A), A)
        same(g(A, scale=2.0), A * 2.0)
        same(g(A, flag=False, scale=2.0), -A)
        same(g(A, scale=2.0, flag=False), -A)
    assert g.compilations == 4
    with pytest.raises(MyiaError):
        g(A, scales=2.0)


def test_entries_of_several_signatures_are_tried_in_turn():
    f = myia(lambda x: x * 2, static_shapes=True)
    for x in (1.5, 3, A, np.ones((2, 2)), np.float32(1), True):
        for _ in range(2):
            same(f(x), x * 2)
    entries = []
    entry = f.entry
    while type(entry) is type(len):
        entries.append(entry)
        entry = entry.__self__[0][0]
    assert len(entries) == 6 and entry == f._dispatch
    entries[-1].__self__[0][0] = refuse
    same(f(1.5), 3.0)
    entries[-1].__self__[0][0] = entry
    for k in range(20):
        for _ in range(2):
            same(f(np.ones(k)), np.full(k, 2.0))
    assert f.compilations == 25  # A has one of the shapes


FACTOR = 2.0


def helper(x):
    return x * FACTOR


def with_globals(x):
    return helper(x) + 1.0


def test_changes_of_globals_are_seen(monkeypatch):
    f = myia(with_globals)
    for _ in range(3):
        assert f(3.0) == 7.0
    f.entry.__self__[0][0], following = refuse, f.entry.__self__[0][0]
    assert f(3.0) == 7.0
    f.entry.__self__[0][0] = following
    monkeypatch.setitem(globals(), "FACTOR", 5.0)
    for _ in range(3):
        assert f(3.0) == 16.0
    monkeypatch.setitem(globals(), "helper", lambda x: x - 1.0)
    for _ in range(3):
        assert f(3.0) == 3.0
    monkeypatch.undo()
    for _ in range(3):
        assert f(3.0) == 7.0


def test_changes_of_cells_lists_and_attributes_are_seen():
    class Box:
        pass

    scale, items, box = 2.0, [1.0, 2.0], Box()
    box.w = 3.0

    def f(x):
        return x * scale + items[1] + box.w

    def change():
        nonlocal scale
        scale = 10.0

    g = myia(f)
    for _ in range(3):
        assert g(1.0) == 7.0
    change()
    for _ in range(3):
        assert g(1.0) == 15.0
    items[1] = 0.0
    for _ in range(3):
        assert g(1.0) == 13.0
    box.w = 1.0
    for _ in range(3):
        assert g(1.0) == 11.0


def test_captured_arrays_are_read_at_each_call():
    held = np.arange(3.0)
    f = myia(lambda x: x * held)
    for k in range(4):
        held[0] = k
        same(f(np.full(3, 2.0)), 2.0 * held)
    held.shape = (3, 1)
    same(f(np.full(3, 2.0)), np.full(3, 2.0) * held)


def test_errors_arrive_from_native_entries():
    def f(x, a):
        return a[int(x)] + 1.0 / x, a

    g = myia(f)
    for _ in range(3):
        same(g(1.0, A), f(1.0, A))
        with pytest.raises(ZeroDivisionError):
            g(0.0, A)
        with pytest.raises(IndexError) as e:
            g(9.0, A)
        assert "return a[int(x)] + 1.0 / x, a" in str(e.value.__notes__)


def test_fields_that_are_gone():
    f, layer = myia(lambda p: p.w * 2.0), Layer(A, B)
    for _ in range(3):
        same(f(layer), A * 2.0)
    object.__delattr__(layer, "w")
    with pytest.raises(AttributeError):
        f(layer)


def test_a_call_by_way_of_another_thread_and_as_a_method():
    class Model:
        @myia
        def double(x, y):
            return y * 2.0

    f, out = myia(lambda x: x * 2.0), []
    for _ in range(3):
        f(1.0)
    t = threading.Thread(target=lambda: out.append(f(*[2.0])))
    t.start()
    t.join()
    assert out == [4.0] and list(map(f, [1.0, 2.0])) == [2.0, 4.0]
    assert isinstance(f, NativeCallable) and f.__call__(3.0) == 6.0


# ---- out -------------------------------------------------------------------------------------------------------------
def affine(a):
    return a * 2.0 + 1.0


def filled(a):
    out = np.zeros(len(a))
    for i in range(len(a)):
        out[i] = a[i] * a[i]
    return out


def identity(a):
    return a, a


@pytest.mark.parametrize("n", [0, 4, 100_000])
@pytest.mark.parametrize("f", [affine, filled])
def test_out(f, n):
    a, out, compiled = np.linspace(0.0, 1.0, n), np.full(n, 7.0), myia(f)
    for _ in range(3):
        assert compiled(a, out=out) is out
        same(out, f(a))
        out[:] = 7.0
    compiled.entry.__self__[0][0] = refuse
    count = sys.getrefcount(out)
    for _ in range(5):
        assert compiled(a, out=out) is out
        same(compiled(a), f(a))
    same(out, f(a))
    assert sys.getrefcount(out) == count


def test_out_in_any_layout_and_over_an_argument():
    f, a = myia(affine), np.arange(6.0)
    for _ in range(3):
        strided = np.zeros((6, 2))[:, 0]
        assert f(a, out=strided) is strided
        same(strided.copy(), affine(a))
        b = a.copy()
        assert f(b, out=b) is b
        same(b, affine(a))
        c = np.concatenate([a, [0.0]])
        f(c[:6], out=c[1:])
        same(c[1:], affine(a))


def test_out_of_structures():
    def f(p, x):
        return {"layer": Layer(p.w + x, p.b * x), "parts": [x, (p.w, None)], "z": p.w * 1j}

    g, p = myia(f), Layer(A, B)
    for _ in range(3):
        w, v, z = np.zeros(4), np.zeros(4), np.zeros(4, complex)
        r = g(p, 2.0, out={"layer": Layer(w, None), "parts": [None, (v, None)], "z": z})
        assert r["layer"].w is w and r["parts"][1][0] is v and r["z"] is z
        same(r, f(p, 2.0))
    h = value_and_grad(lambda a: (a * a).sum())
    for _ in range(3):
        g0 = np.zeros(4)
        value, slope = h(A, out=(None, g0))
        assert slope is g0 and value == 14.0
        same(slope, 2 * A)
    i = myia(identity)
    for _ in range(3):
        x, y = np.zeros(4), np.zeros(4)
        r = i(A, out=(x, y))
        assert r[0] is x and r[1] is y
        same(r, (A, A))


@pytest.mark.parametrize(
    ("out", "kind", "match"),
    [
        (np.zeros(3), ValueError, r"out has shape \(3,\), the result \(4,\)"),
        (np.zeros((4, 1)), ValueError, "shape"),
        (np.zeros(4, np.float32), TypeError, "out has dtype float32, the result float64"),
        ([0.0] * 4, TypeError, "type list"),
        ((np.zeros(4),), TypeError, "type tuple"),
    ],
)
def test_out_that_does_not_fit(out, kind, match):
    f = myia(affine)
    for _ in range(3):
        with pytest.raises(kind, match=match) as e:
            f(A, out=out)
        assert isinstance(e.value, MyiaError) and e.value.remedy
        same(f(A), affine(A))


def test_out_of_structures_that_does_not_fit():
    f, x, frozen = myia(identity), np.zeros(4), np.zeros(4)
    frozen.flags.writeable = False
    for _ in range(3):
        for out, kind, match in (
            ((x, x), ValueError, r"out\[0\] and out\[1\] share memory"),
            ([x, None], TypeError, "tuple of 2"),
            ((x,), TypeError, "tuple of 2"),
            ((None, frozen), ValueError, r"out\[1\] is read-only"),
        ):
            with pytest.raises(kind, match=match):
                f(A, out=out)
        same(f(A), (A, A))
    with pytest.raises(TypeError, match="stands for a result that is no array"):
        myia(lambda x: x * 2.0)(1.0, out=x)


def test_out_as_a_parameter_is_one():
    f, g = myia(lambda x, out: x * out), grad(lambda x, out: x * out)
    for _ in range(3):
        assert f(2.0, out=3.0) == 6.0 and g(2.0, out=3.0) == 3.0


def test_out_of_a_run_that_fails():
    def f(a, n):
        return a / n if n != 0 else a[1 // n :]

    g, out = myia(f), np.zeros(4)
    for _ in range(3):
        same(g(A, 2, out=out), A / 2)
        with pytest.raises(ZeroDivisionError):
            g(A, 0, out=out)
