"""On a GPU: primitives, programs and gradients agree with the interpreter; measurements by `make test-gpu`.

Nothing here has run yet: there was no GPU when it was written.
"""

import ctypes
import time

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
import test_programs
import test_tvm_graphs
import tvm
from compare import assert_same
from test_ops import CASES, close, graph_of, type_of, with_sizes

from myia_lite import myia, to_device, to_host, value_and_grad
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile as interpret
from myia_lite.backends.tvm.devices import copies
from myia_lite.backends.tvm.lower import NOT_LOWERED


def missing() -> str:
    """Why TVM finds no GPU."""
    for library, what in (("libcuda.so.1", "NVIDIA's driver"), ("libcudart.so.13", "CUDA's runtime, version 13")):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return f"no GPU: {what} is missing ({error})"
    return "" if tvm.cuda().exist else "no GPU: the driver has none"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
CUDA = "tvm:cuda"
SAMPLES = {}
for case in with_sizes(CASES):
    p, args, attrs, known = getattr(case, "values", case)
    if p.name not in NOT_LOWERED:
        SAMPLES.setdefault((p, known), []).append((args, attrs))


@pytest.mark.parametrize(("p", "known"), SAMPLES, ids=lambda x: getattr(x, "name", str(x)))
def test_primitive(p, known):
    for args, attrs in SAMPLES[p, known]:
        g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
        close(get_backend(CUDA).compile(g)(args), interpret(g)(args))


@pytest.mark.parametrize("program", test_programs.ALL, ids=repr)
def test_value(program):
    test_programs.test_value(program, CUDA)


@pytest.mark.parametrize("program", test_programs.DERIVED, ids=repr)
def test_gradient(program):
    test_programs.test_gradient(program, CUDA)


def mean_square(p, x, y):
    return np.mean((np.tanh(x @ p["w1"]) @ p["w2"] - y) ** 2)


def step(p, x, y):
    loss, g = value_and_grad(mean_square)(p, x, y)
    return loss, {"w1": p["w1"] - 0.1 * g["w1"], "w2": p["w2"] - 0.1 * g["w2"]}


def network(n, dtype=np.float32):
    rng = np.random.default_rng(0)
    p = {"w1": rng.normal(size=(n, n)) / n, "w2": rng.normal(size=(n, 10)) / n}
    x, y = rng.normal(size=(256, n)), rng.normal(size=(256, 10))
    return {k: v.astype(dtype) for k, v in p.items()}, x.astype(dtype), y.astype(dtype)


def test_a_training_loop_reads_the_loss_alone():
    host = network(64, float)
    on_gpu, on_cpu = myia(backend="tvm", target="cuda")(step), myia(step)
    (p, x, y), q = to_device(host), host[0]
    before = dict(copies)
    for _ in range(10):
        loss, p = on_gpu(p, x, y)
        expected, q = on_cpu(q, *host[1:])
        assert_same(loss, expected, rtol=1e-9)
    assert copies["to host"] == before.get("to host", 0) + 10
    assert copies["to device"] == before["to device"]
    assert_same(to_host(p), q, rtol=1e-9)


# ---- CUDA graphs -----------------------------------------------------------------------------------------------------
def recorded(f):
    (program,) = f._programs.values()
    return program.run._local.machine.recorded


def test_a_training_step_is_one_launch():
    """As `test_tvm_graphs.py` has it of a simulated device; with graphs and without, the same numbers."""
    host = test_tvm_graphs.network()
    with_graphs, without = (
        myia(backend="tvm", target="cuda", cuda_graphs=g)(test_tvm_graphs.step) for g in (True, False)
    )
    p, v, x, label = to_device(host)
    q, u = p, v
    for _ in range(40):
        loss, p, v = with_graphs(p, v, x, label, 0.1)
        expected, q, u = without(q, u, x, label, 0.1)
        assert_same(loss, expected, rtol=1e-9)
    assert_same(to_host(p), to_host(q), rtol=1e-9)
    kept = recorded(with_graphs)
    assert kept.on and kept.hits >= 35 and not kept.own_place and recorded(without) is None


def test_guards_fire_after_the_kernels():
    f = myia(backend="tvm", target="cuda")(lambda a, i: (a[i] * 2.0, np.sum(a)))
    a = np.arange(5.0)
    for _ in range(4):
        assert_same(f(a, np.array([0, -1])), (a[[0, -1]] * 2.0, np.sum(a)))
        for bad in ([0, 5], [-6, 0], [0, 10**15]):
            with pytest.raises(IndexError):
                f(a, np.array(bad))


def test_batches_from_everywhere():
    compiled, plain = myia(backend="tvm", target="cuda")(test_tvm_graphs.step), myia(test_tvm_graphs.step)
    host, rng = test_tvm_graphs.network(), np.random.default_rng(1)
    (p, v), (q, u) = to_device(host[:2]), host[:2]
    for _ in range(30):
        x, label = rng.normal(size=(8, 64)), rng.integers(0, 10, 8)
        loss, p, v = compiled(p, v, to_device(x), label, 0.1)
        expected, q, u = plain(q, u, x, label, 0.1)
        assert_same(loss, expected, rtol=1e-9)
    assert_same(to_host(p), q, rtol=1e-9)


# ---- DLPack ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["torch", "cupy", "jax.numpy"])
def test_there_and_back(name):
    """Without a copy, both ways."""
    library = pytest.importorskip(name, reason=f"{name} is not installed")
    d = myia(backend="tvm", target="cuda")(lambda a: a * 2)(to_device(np.arange(6, dtype=np.float32)))
    before = dict(copies)
    try:
        theirs = library.from_dlpack(d)
    except (RuntimeError, ValueError) as error:
        pytest.skip(f"{name} takes no array of CUDA's here: {error}")
    back = to_device(theirs)
    assert dict(copies) == before and back.tensor.data_ptr() == d.exact().data_ptr()
    assert_same(to_host(back), np.arange(6, dtype=np.float32) * 2)


# ---- measurements: printed, compared with nothing that is not there --------------------------------------------------
def best(run, finish, times=20):
    run()
    finish()
    out = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        finish()
        out.append(time.perf_counter() - start)
    return min(out)


def measure(name, f, *args):
    g, given = myia(backend="tvm", target="cuda")(f), to_device(args)
    seconds = best(lambda: g(*given), tvm.cuda().sync)
    print(f"\n{name}: {seconds * 1e6:.0f} us")
    return seconds


def test_bandwidth_of_a_fused_chain():
    a = np.ones(1 << 26, np.float32)
    copy = measure("copy of 256 MB", lambda a: a + np.float32(0), a)
    chain = measure("tanh(a * 2 + 1) * a of 256 MB", lambda a: np.tanh(a * 2 + 1) * a, a)
    assert chain < 2 * copy


def test_products():
    a = np.ones((1024, 1024), np.float32)
    seconds = measure("product of 1024 x 1024 matrices, float32", lambda a, b: a @ b, a, a)
    torch = pytest.importorskip("torch", reason="no PyTorch to compare with")
    t = torch.ones(1024, 1024, device="cuda")
    theirs = best(lambda: t @ t, torch.cuda.synchronize)
    print(f"PyTorch: {theirs * 1e6:.0f} us, ratio {seconds / theirs:.1f}")


def test_training_step():
    p, x, y = network(512)
    measure("training step of a network of two layers, 512 wide, batch 256", step, p, x, y)


def test_step_of_the_digits_network():
    """With CUDA graphs and without: what a launch costs."""
    for graphs in (True, False):
        compiled = myia(backend="tvm", target="cuda", cuda_graphs=graphs)(test_tvm_graphs.step)
        p, v, x, label = to_device(test_tvm_graphs.network(hidden=128, batch=64))
        times = []
        for _ in range(200):
            start = time.perf_counter()
            _, p, v = compiled(p, v, x, label, 0.1)
            times.append(time.perf_counter() - start)
        print(f"\nstep of the digits network, CUDA graphs {'on' if graphs else 'off'}: {min(times) * 1e6:.0f} us")
