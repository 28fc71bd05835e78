"""Programs for a device in two halves, and CUDA graphs: on a simulated device, whose launches are counted."""

import gc
from typing import NamedTuple

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
import test_programs
import test_tvm_cuda
from compare import assert_same
from simulated_device import device  # noqa: F401

from myia_lite import MyiaError, myia, to_device, to_host, value_and_grad
from myia_lite.backends.tvm.build import build
from myia_lite.backends.tvm.devices import copies
from myia_lite.backends.tvm.halves import reads, split
from myia_lite.backends.tvm.options import parse
from myia_lite.compiler import optimised
from myia_lite.infer import abstract, infer
from myia_lite.ir import show, verify
from myia_lite.parser import parse_function


# ---- the network of examples/digits.py -------------------------------------------------------------------------------
class Params(NamedTuple):
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray


def cost(p, x, label):
    z = np.tanh(x @ p.w1 + p.b1) @ p.w2 + p.b2
    z = z - z.max(axis=1, keepdims=True)
    log_prob = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_prob[np.arange(len(label)), label].mean()


def descend(w, v, g, rate):
    v = 0.9 * v - rate * g
    return w + v, v


def step(p, v, x, label, rate):
    loss, g = value_and_grad(cost)(p, x, label)
    w1, v1 = descend(p.w1, v.w1, g.w1, rate)
    b1, u1 = descend(p.b1, v.b1, g.b1, rate)
    w2, v2 = descend(p.w2, v.w2, g.w2, rate)
    b2, u2 = descend(p.b2, v.b2, g.b2, rate)
    return loss, Params(w1, b1, w2, b2), Params(v1, u1, v2, u2)


def network(hidden=16, batch=8):
    rng = np.random.default_rng(0)
    p = Params(*(rng.normal(size=s) * 0.1 for s in ((64, hidden), (hidden,), (hidden, 10), (10,))))
    return p, Params(*map(np.zeros_like, p)), rng.normal(size=(batch, 64)), rng.integers(0, 10, batch)


def graph_of(f, *args):
    return optimised(infer(f, tuple(map(abstract, args)), parse_function).graph, None, backend="tvm")


def recorded(f):
    """What keeps the recordings of a compiled function with one program."""
    (program,) = f._programs.values()
    return program.run._local.machine.recorded


# ---- two halves ------------------------------------------------------------------------------------------------------
def test_a_training_step_waits_for_nothing_before_the_end():
    halves = split(graph_of(step, *network(), 0.1))
    assert halves.boxes == 3  # the loss, and whether two index arrays are in range
    assert [n.op.name for n in halves.host.nodes] == ["guard", "guard", "mul", "neg", "tuple"]
    assert not any(reads(n) for n in halves.device.nodes)
    verify(halves.host)


def mean(a):
    return a * 2.0, np.mean(a)


def test_halves_as_text():
    halves = split(graph_of(mean, np.ones(4)))
    assert show(halves.device) == (
        "graph @mean(%a: f64[4]) -> (f64[4], f64[1]) {\n"
        "  %1: f64[4] = mul(%a, 2.0)\n"
        "  %2: f64[1] = reduce_sum[axes=(0,)](%a)\n"
        "  %3: (f64[4], f64[1]) = tuple(%1, %2)\n"
        "  return %3\n"
        "}\n"
    )
    assert show(halves.host) == (
        "graph @mean on the host(%1: f64) -> (f64,) {\n"
        "  %2: f64 = mul(%1, 0.25)\n"
        "  %3: (f64,) = tuple(%2)\n"
        "  return %3\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a / np.sum(a),  # an array wants the number
        lambda a: a * 2.0 if a[0] > 0 else a,  # the course does
        lambda a: np.sum(a * 2.0 if np.sum(a) > 0 else a),
    ],
    ids=["array", "branch", "sum"],
)
def test_no_halves(f, device):  # noqa: F811
    a = np.arange(1.0, 5.0)
    assert split(graph_of(f, a)) is None
    compiled = myia(backend="tvm")(f)
    for _ in range(3):
        assert_same(compiled(a), f(a))
    assert not device.count


def test_what_is_captured():
    """Gradients of the models, and what waits for the device."""
    for name, whole in (("dense", True), ("step", True), ("recurrent", True), ("heat", True)):
        f, args = test_tvm_cuda.MODELS[name]
        assert build(graph_of(f, *args), test_tvm_cuda.cuda("sm_90")).captured == whole, name
    graph = graph_of(lambda a: a / np.sum(a), np.ones(3))
    assert not build(graph, test_tvm_cuda.cuda("sm_90")).captured
    graph = graph_of(mean, np.ones(3))
    assert not build(graph, test_tvm_cuda.cuda("sm_90"), captures=False).captured


def test_a_captured_program_calls_nothing_that_waits():
    """The device half: memory, counts of references, and kernels."""
    out = build(graph_of(step, *network(), 0.1), test_tvm_cuda.cuda("sm_90"))
    assert out.halves and out.reads == 3
    main = next(m for m in out.executable.mod.imports if m.implements_function("myia_main"))
    text = main.inspect_source("ll")
    functions = [part.split("\n}")[0] for part in text.split("\ndefine ")[1:]]
    (waits,) = (f for f in functions if "TVMTensorCopyToBytes" in f and "_handle_init." not in f.split("\n")[0])
    assert "@__tvm_ffi_myia_host(" in waits.split("\n")[0]


# ---- guards on numbers that are read ---------------------------------------------------------------------------------
def test_indices_out_of_range(device):  # noqa: F811
    """The guard fires after the kernels, which read within the array."""
    f = myia(backend="tvm")(lambda a, i: (a[i] * 2.0, np.sum(a)))
    g = myia(backend="tvm")(lambda a, i, v: a[i] + v)
    a = np.arange(5.0)
    for _ in range(3):
        for i in ([0, -1, 4], [1, 2, 3]):
            i = np.array(i)
            assert_same(f(a, i), (a[i] * 2.0, np.sum(a)))
            assert_same(g(a, i, 1.0), a[i] + 1.0)
        for i in ([0, 5, 1], [-6, 0, 0], [0, 10**15, 0]):
            with pytest.raises(IndexError, match="out of bounds"):
                f(a, np.array(i))
    assert device.count["launched"]


def test_the_first_of_two_errors(device):  # noqa: F811
    def f(a, i, x):
        y = a[i]
        return float(np.sum(y)) / x

    compiled = myia(backend="tvm")(f)
    a, good, bad = np.arange(3.0), np.array([0, 1]), np.array([0, 7])
    for _ in range(3):
        assert compiled(a, good, 2.0) == 0.5
        for i, x in ((bad, 1.0), (bad, 0.0), (good, 0.0)):
            with pytest.raises(IndexError if i is bad else ZeroDivisionError):
                compiled(a, i, x)


# ---- recordings ------------------------------------------------------------------------------------------------------
def test_a_training_step_becomes_one_launch(device):  # noqa: F811
    """After a few steps two recordings take turns: parameters lie where they lie, and nothing is copied but the loss
    and two tests."""
    host = network()
    compiled, plain = myia(backend="tvm")(step), myia(step)
    p, v, x, label = to_device(host, "llvm")
    q, u = host[:2]
    for k in range(40):
        if k == 5:
            before, recordings = dict(copies), device.count["recorded"]
        loss, p, v = compiled(p, v, x, label, 0.1)
        expected, q, u = plain(q, u, *host[2:], 0.1)
        assert_same(loss, expected, rtol=1e-9)
    assert device.count == {"recorded": recordings, "launched": 39} and recordings <= 4
    assert copies["to host"] == before["to host"] + 3 * 35 and copies["to device"] == before["to device"]
    assert_same(to_host(p), q, rtol=1e-9)
    assert not recorded(compiled).own_place


def test_batches_from_everywhere(device):  # noqa: F811
    """NumPy's batches, and ever new ones on the device, go to a place of their own; a new rate is a new recording."""
    host = network()
    compiled, plain = myia(backend="tvm")(step), myia(step)
    rng = np.random.default_rng(1)
    (p, v), (q, u) = to_device(host[:2], "llvm"), host[:2]
    kept = []
    for k in range(60):
        x, label = rng.normal(size=(8, 64)), rng.integers(0, 10, 8)
        rate = 0.1 if k < 30 else 0.05
        kept.append(to_device(x, "llvm"))
        loss, p, v = compiled(p, v, kept[-1], label, rate)
        expected, q, u = plain(q, u, x, label, rate)
        assert_same(loss, expected, rtol=1e-9)
    assert_same(to_host(p), q, rtol=1e-9)
    assert recorded(compiled).on and device.count["recorded"] <= 12 and recorded(compiled).hits > 40


def test_results_are_kept(device):  # noqa: F811
    """A recording does not run while somebody has its last results; views and other libraries' arrays count."""
    f = myia(backend="tvm")(lambda a, x: (a * x, np.reshape(a + x, (2, 2))))
    a = np.arange(4.0)
    results = [f(to_device(a, "llvm") if k % 2 else a, 2.0) for k in range(12)]
    views = [np.from_dlpack(r[1]) for r in results if not isinstance(r[1], np.ndarray)]
    last = results[-1]
    del results[1:]
    gc.collect()
    for _ in range(12):
        f(a, 2.0)
        f(to_device(a, "llvm"), 2.0)
    assert_same(to_host(results[0]), (a * 2.0, (a + 2.0).reshape(2, 2)))
    assert_same(to_host(last), (a * 2.0, (a + 2.0).reshape(2, 2)))
    for view in views:
        assert_same(np.array(view), (a + 2.0).reshape(2, 2))
    assert device.count["launched"]


def test_numbers_decide_the_course(device):  # noqa: F811
    """Loops and branches on numbers of the host are part of the key."""

    def f(a, n, x):
        for _ in range(n):
            a = a * x + 1.0 if x > 0.5 else a - x
        return a

    compiled = myia(backend="tvm")(f)
    a = np.arange(3.0)
    for _ in range(4):
        for n, x in ((0, 1.0), (3, 0.75), (3, 0.25), (2, 0.75), (1, -0.0), (1, 0.0)):
            assert_same(compiled(a, n, x), f(a, n, x))
    assert device.count["recorded"] == 6


def test_unknown_sizes(device):  # noqa: F811
    f = myia(backend="tvm")(lambda a, b: (a + b, np.sum(a * b)))
    for _ in range(4):
        for n in (3, 4, 5, 6):
            a = np.arange(float(n))
            assert_same(f(a, a), (a + a, np.sum(a * a)))
    assert device.count["launched"] > device.count["recorded"] > 2


def test_bools_and_other_dtypes(device):  # noqa: F811
    def f(b, i, x):
        return ~b, i + 1, x * 2, np.any(b), np.sum(i), np.max(x), np.argmax(x)

    compiled = myia(backend="tvm")(f)
    b, i, x = np.array([True, False]), np.array([1, 2], np.int32), np.array([0.5, 1.5], np.float32)
    for _ in range(4):
        assert_same(compiled(b, i, x), f(b, i, x))
    assert device.count["launched"]


def test_recording_that_does_not_pay_ends(device):  # noqa: F811
    f = myia(backend="tvm")(lambda a, x: a * x)
    a = np.arange(3.0)
    for k in range(40):
        assert_same(f(a, float(k)), a * k)
    assert not recorded(f).on and device.count["recorded"] == 16


def test_recordings_are_bounded(device):  # noqa: F811
    f = myia(backend="tvm")(lambda a, x: a * x)
    a = np.arange(3.0)
    for k in range(30):
        for _ in range(8):
            assert_same(f(a, float(k)), a * k)
    assert len(recorded(f).recordings) == 16 and sum(map(len, recorded(f).by_key.values())) == 16


def test_memory_is_bounded(device):  # noqa: F811
    """What recordings of sizes that are gone had, is given back; all of it where recording ends."""
    f = myia(backend="tvm")(lambda a: (np.tanh(a @ a.T), np.sum(a)))
    for n in range(2, 90):
        a = np.ones((n, 3))
        for _ in range(6):
            y, total = f(a)
        assert_same((y, total), (np.tanh(a @ a.T), np.sum(a)))
    keepers = [p.run._local.machine.recorded for p in f._programs.values()]
    keeper = max(keepers, key=lambda r: r.made)
    assert keeper.on and keeper.made > 64 and len(keeper.own_place) <= 64 and len(keeper.by_key) == 16
    assert set(keeper.arena.at.values()) == {p for _, r in keeper.recordings.values() for p in r.memory}
    g = myia(backend="tvm")(lambda a, x: a * x)
    for k in range(40):
        g(a, float(k))
    assert not recorded(g).on and not recorded(g).arena.at and not recorded(g).own_place


def test_the_switch(device):  # noqa: F811
    f = myia(backend="tvm", cuda_graphs=False)(mean)
    for _ in range(4):
        assert_same(f(np.arange(4.0)), mean(np.arange(4.0)))
    assert not device.count
    with pytest.raises(MyiaError, match="has no CUDA graphs"):
        myia(mean, cuda_graphs=False)


def test_a_recorder_that_fails(device, monkeypatch):  # noqa: F811
    """The program runs without it, and says so."""

    def record(recording, work):
        work()
        raise RuntimeError("CUDA: operation not permitted when stream is capturing")

    monkeypatch.setattr(device, "record", record)
    f = myia(backend="tvm")(mean)
    a = np.arange(4.0)
    f(a)
    with pytest.warns(RuntimeWarning, match="not permitted"):
        assert_same(f(a), mean(a))
    assert_same(f(a), mean(a))
    assert not device.count["launched"]


def test_errors_while_recording(device):  # noqa: F811
    def f(a, x):
        return a * (1.0 / x)

    compiled = myia(backend="tvm")(f)
    a = np.arange(3.0)
    for _ in range(3):
        assert_same(compiled(a, 2.0), f(a, 2.0))
        with pytest.raises(ZeroDivisionError):
            compiled(a, 0.0)
    assert_same(compiled(a, 4.0), f(a, 4.0))


def test_threads(device):  # noqa: F811
    from concurrent.futures import ThreadPoolExecutor

    f = myia(backend="tvm")(lambda a, x: (a * x, np.sum(a) * x))
    a = np.linspace(-1, 1, 100)
    f(a, 1.0)

    def work(k):
        return all(np.array_equal(f(a, float(k))[0], a * k) for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


# ---- all programs, on the device that is none ------------------------------------------------------------------------
SOME = [p for k, p in enumerate(test_programs.ALL) if k % 29 == 0]


@pytest.mark.parametrize("program", SOME, ids=repr)
def test_value(program, device):  # noqa: F811
    test_programs.test_value(program, "tvm")


@pytest.mark.parametrize("program", [p for p in test_programs.DERIVED if p in SOME], ids=repr)
def test_gradient(program, device):  # noqa: F811
    test_programs.test_gradient(program, "tvm")


def test_the_backend_has_a_name_for_it():
    assert myia(mean, backend="tvm", cuda_graphs=False).backend == "tvm:graphs=no;llvm"
    assert not parse("graphs=no;llvm").cuda_graphs and parse("llvm").cuda_graphs
