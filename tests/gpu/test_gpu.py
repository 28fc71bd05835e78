"""On a GPU: primitives, programs and gradients agree with the interpreter; measurements by `make test-gpu`.

Nothing here has run yet: there was no GPU when it was written.
"""

import time

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
import test_programs
import tvm
from compare import assert_same
from test_ops import CASES, close, graph_of, type_of, with_sizes

from myia_lite import myia, to_device, to_host, value_and_grad
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile as interpret
from myia_lite.backends.tvm.devices import copies
from myia_lite.backends.tvm.lower import NOT_LOWERED

pytestmark = pytest.mark.skipif(not tvm.cuda().exist, reason="there is no GPU, or TVM does not find it")
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
    return loss, {k: p[k] - 0.1 * g[k] for k in ("w1", "w2")}


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
