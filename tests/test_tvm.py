"""The TVM back end on the CPU: primitives, the table of programs, random programs, as the others run them."""

import os
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
import test_programs
import test_random_programs
from compare import assert_same
from hypothesis import settings
from test_ops import CASES, close, graph_of, type_of, with_sizes

from myia_lite import MyiaError, grad, myia, to_device, to_host, value_and_grad, vjp
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile as interpret
from myia_lite.backends.llvm import LOWERED as NATIVE
from myia_lite.backends.tvm.lower import LOWERED, NOT_LOWERED

folder = test_random_programs.folder  # the fixture
SAMPLES = {}
for case in with_sizes(CASES):
    p, args, attrs, known = getattr(case, "values", case)
    if p.name not in NOT_LOWERED:
        SAMPLES.setdefault((p, known), []).append((args, attrs))


def test_every_primitive_is_lowered():
    """What the native back end lowers, this one does, or says why not."""
    assert set(NOT_LOWERED) & NATIVE == NATIVE - LOWERED


@pytest.mark.parametrize(("p", "known"), SAMPLES, ids=lambda x: getattr(x, "name", str(x)))
def test_primitive(p, known):
    for args, attrs in SAMPLES[p, known]:
        g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
        close(get_backend("tvm").compile(g)(args), interpret(g)(args))


@pytest.mark.parametrize("program", test_programs.ALL, ids=repr)
def test_value(program):
    test_programs.test_value(program, "tvm")


@pytest.mark.parametrize("program", test_programs.DERIVED, ids=repr)
def test_gradient(program):
    test_programs.test_gradient(program, "tvm")


@settings(max_examples=15)
@test_random_programs.given(
    source=test_random_programs.programs(pair=True),
    runs=test_random_programs.st.lists(
        test_random_programs.arguments(test_random_programs.QUARTERS), min_size=1, max_size=3
    ),
)
def test_random_value(folder, source, runs):
    test_random_programs.test_value.hypothesis.inner_test(folder, "tvm", source, runs)


@settings(max_examples=15)
@test_random_programs.given(
    source=test_random_programs.programs(), args=test_random_programs.arguments(test_random_programs.GENERIC)
)
def test_random_gradient(folder, source, args):
    test_random_programs.test_gradient.hypothesis.inner_test(folder, "tvm", source, args)


# ---- control flow ----------------------------------------------------------------------------------------------------
def test_a_million_trips():
    """A loop takes constant stack; so does what its derivative saves."""

    def f(x, n):
        y = x
        for _ in range(n):
            y = y * 0.999999 + 1e-6 * x
        return y

    compiled = myia(backend="tvm")(f)
    assert_same(compiled(2.0, 1_000_000), f(2.0, 1_000_000))
    assert_same(grad(compiled)(2.0, 1_000_000), 1.0, rtol=1e-6)


def test_filling_an_array_takes_linear_time():
    """What nobody else holds is written in place; an argument never is."""

    def f(a, n):
        a = a.copy()
        for i in range(n):
            a[i % 1000] = a[(i + 1) % 1000] + i
        return a

    a = np.zeros(100_000)
    assert_same(myia(backend="tvm")(f)(a, 100_000), f(a, 100_000))  # 80 GB of copies otherwise
    assert not a.any()


def test_recursion():
    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)

    compiled = myia(backend="tvm")(depth)
    assert compiled(100) == 100
    assert compiled(100_000) == 100_000
    with pytest.raises(RecursionError):
        compiled(10**9)
    assert compiled(3) == 3


# ---- the boundary ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("offset", range(1, 4))
def test_misaligned_strided_and_read_only(offset):
    compiled = myia(backend="tvm")(lambda a: np.exp(a) * 2.0)
    whole = np.linspace(0, 1, 40, dtype=np.float32)
    for a in (whole[offset:], whole[::2], whole[::-1], np.broadcast_to(whole[:1], 5), whole[:0]):
        assert_same(compiled(a), np.exp(a) * np.float32(2.0))


def test_results_are_the_callers():
    compiled = myia(backend="tvm")(lambda a: (a, a, np.ones(3)))
    a = np.zeros(3)
    x, y, one = compiled(a)
    x += 1
    one += 1
    assert not a.any() and not y.any()
    assert_same(compiled(a), (np.zeros(3), np.zeros(3), np.ones(3)))


def test_one_machine_for_each_thread():
    from concurrent.futures import ThreadPoolExecutor

    compiled = myia(backend="tvm")(lambda a, x: np.sum(np.tanh(a * x)))
    a = np.linspace(-1, 1, 1000)
    expected = [np.sum(np.tanh(a * x)) for x in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert_same(list(pool.map(lambda x: compiled(a, float(x)), range(200))), expected)


# ---- arrays that stay on the device (here the CPU is one) ------------------------------------------------------------
def mean_square(p, x, y):
    return np.mean((np.tanh(x @ p["w"]) - y) ** 2)


@myia(backend="tvm", target="llvm")
def step(p, x, y):
    loss, g = value_and_grad(mean_square)(p, x, y)
    return loss, {"w": p["w"] - 0.1 * g["w"]}


def test_a_training_loop_copies_nothing():
    from myia_lite.backends.tvm.devices import DeviceArray, copies

    rng = np.random.default_rng(0)
    host = {"w": rng.normal(size=(5, 3))}, rng.normal(size=(20, 5)), rng.normal(size=(20, 3))
    p, x, y = to_device(host, "llvm")
    before, expected = copies.copy(), host[0]
    for _ in range(10):
        loss, p = step(p, x, y)
        expected_loss, expected = step(expected, *host[1:])
        assert loss == expected_loss and type(p["w"]) is DeviceArray
    assert copies == before
    assert_same(to_host(p), expected)
    assert copies["to host"] == before["to host"] + 1


def test_device_arrays_among_others():
    """NumPy's beside them just work, so do other back ends, DLPack, and pullbacks."""
    a = np.linspace(0, 1, 6).reshape(2, 3)
    d = to_device(a, "llvm")
    a[0, 0] = 5.0  # the device's is a copy
    a = a.copy()
    a[0, 0] = 0.0
    assert_same(to_host(myia(backend="tvm")(lambda x, y: x * y)(d, a)), a * a)
    assert_same(myia(lambda x: x * 2.0)(d), a * 2.0)
    assert_same(np.array(np.from_dlpack(d)), a)
    y, back = vjp(myia(backend="tvm")(np.sin), d)
    assert_same(to_host(back(d)[0]), np.cos(a) * a)
    assert_same(to_host(y), np.sin(a))


def test_a_device_that_is_not_there():
    import tvm

    if tvm.cuda().exist:
        pytest.skip("there is one")
    with pytest.raises(MyiaError, match="no device"):
        to_device(np.ones(3), "cuda")
    with pytest.raises(MyiaError, match="no device"):
        myia(backend="tvm", target="cuda")(lambda x: x + 1.0)(np.ones(3))


def test_a_forked_process():
    compiled = myia(backend="tvm")(lambda a: np.sum(a * a))
    assert compiled(np.ones(10)) == 10.0
    pid = os.fork()
    if pid == 0:
        os._exit(int(compiled(np.ones(20)) != 20.0))
    assert os.waitpid(pid, 0)[1] == 0


def test_time_of_a_call():
    """No more than a few times what NumPy takes for one operation, on a computer that is busy."""
    from timeit import repeat

    add = myia(backend="tvm")(lambda a, b: a + b)
    add(1.0, 2.0)
    (program,) = add._programs.values()
    one = np.float64(1.0)
    base = min(repeat(lambda: np.add(one, one), number=2000, repeat=5))
    assert min(repeat(lambda: program.run([1.0, 2.0]), number=2000, repeat=5)) < 25 * base


def test_time_to_compile():
    """The gradient of a network of two layers: about half a second of one core; here a busy one."""
    p = {"w1": np.zeros((64, 32)), "b1": np.zeros(32), "w2": np.zeros((32, 10)), "b2": np.zeros(10)}

    def loss(p, x, y):
        z = np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        z = z - np.max(z, axis=1, keepdims=True)
        return -np.mean(np.sum(y * (z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))), axis=1))

    x, y = np.zeros((16, 64)), np.zeros((16, 10))
    myia(backend="tvm")(lambda a: a + 1.0)(1.0)  # TVM is imported
    start = time.process_time()
    value_and_grad(myia(backend="tvm")(loss))(p, x, y)
    assert time.process_time() - start < 3.0


# ---- libraries -------------------------------------------------------------------------------------------------------
def test_exported_and_loaded_by_the_runtime_alone(tmp_path):
    import tvm

    path = tmp_path / "f.so"
    weights = np.array([1.0, 2.0, 3.0])

    def f(x, n):
        for _ in range(n):
            x = np.tanh(x) * weights
        return np.sum(x), x

    f_and_x = myia(backend="tvm")(f)
    f_and_x.export(path, weights, 1)
    machine = tvm.relax.VirtualMachine(tvm.runtime.load_module(str(path)), tvm.cpu())
    x = np.array([0.1, -0.2, 0.3])
    total, y = machine["run"](tvm.runtime.tensor(x), 4, tvm.runtime.tensor(weights))
    assert_same((float(total), np.array(np.from_dlpack(y))), f_and_x(x, 4))


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_loaded_from_cpp(tmp_path):
    """The commands in `examples/cpp/load.cc`."""
    import tvm
    import tvm_ffi

    example = Path(__file__).parent.parent / "examples" / "cpp"
    environment = {**os.environ, "PYTHONPATH": str(example.parent.parent)}
    subprocess.run([sys.executable, example / "export.py", tmp_path / "m.so"], check=True, env=environment)
    places = [Path(m.__file__).parent for m in (tvm, tvm_ffi)]
    flags = [flag for p in places for flag in (f"-I{p}/include", f"-L{p}/lib", f"-Wl,-rpath,{p}/lib")]
    command = ["g++", "-std=c++20", example / "load.cc", *flags]
    command += ["-Wl,--no-as-needed", "-ltvm_runtime", "-ltvm_ffi", "-o", tmp_path / "load"]
    subprocess.run(command, check=True)
    out = subprocess.run([tmp_path / "load", tmp_path / "m.so"], check=True, capture_output=True, text=True).stdout
    names = runpy.run_path(str(example / "export.py"))
    value, gradient = value_and_grad(names["energy"])(np.arange(4.0), 3)
    np.testing.assert_allclose(np.array(out.split(), float), [value, *gradient], atol=1e-6)
