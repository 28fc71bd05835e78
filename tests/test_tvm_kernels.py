"""Kernels of a device that work in several steps, emulated by loops on the CPU; and their CUDA source."""

import shutil
import subprocess

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
from compare import assert_same
from test_tvm import SAMPLES, close, get_backend, graph_of, interpret, type_of

from myia_lite import grad, myia
from myia_lite.backends.tvm.build import build, kernels_in
from myia_lite.backends.tvm.options import Options, target_of
from myia_lite.compiler import optimised
from myia_lite.infer import abstract, infer
from myia_lite.parser import parse_function

TARGET = "emulated"  # the tests on a GPU run these with another


@pytest.mark.parametrize(("p", "known"), SAMPLES, ids=lambda x: getattr(x, "name", str(x)))
def test_primitive(p, known):
    for args, attrs in SAMPLES[p, known]:
        if any(np.ndim(a) for a in args):
            g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
            close(get_backend("tvm:emulated").compile(g)(args), interpret(g)(args))


def sizes_known_and_open(f, *runs, **options):
    """The results of `f` for each of the runs: compiled for the sizes of the first alone, then for any."""
    for static in (True, False):
        compiled = myia(backend="tvm", target=TARGET, static_shapes=static, **options)(f)
        for args in runs:
            yield args, compiled(*args)


def some(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


RUNS = [(some(1000),), (some(10_007),), (some(129),), (some(64),)]  # chunks of chunks, a last one of 1, and none


def test_running_sums():
    for (x,), y in sizes_known_and_open(lambda x: np.cumsum(x), *RUNS):
        np.testing.assert_allclose(y, np.cumsum(x), rtol=1e-10, atol=1e-10)
    for (x,), y in sizes_known_and_open(grad(lambda x: np.sum(np.cumsum(x) ** 2)), *RUNS):  # reversed
        np.testing.assert_allclose(y, 2 * np.cumsum(np.cumsum(x)[::-1])[::-1], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_running_sums_of_rows(axis):
    runs = [(some(300, 7),), (some(3, 200),)]
    for (x,), y in sizes_known_and_open(lambda x: np.cumsum(x, axis=axis), *runs):
        np.testing.assert_allclose(y, np.cumsum(x, axis=axis), rtol=1e-10, atol=1e-10)


def test_running_sums_of_ints_are_exact():
    x = np.arange(5000) * 2**40
    assert_same(myia(backend="tvm", target=TARGET)(lambda x: np.cumsum(x))(x), np.cumsum(x))


def with_ties_and_nans(n):
    x = np.round(some(n))
    x[[n // 2, n // 3]] = np.nan
    x[n // 5] = -0.0
    return x


def test_sorting_is_stable():
    """Equal elements keep their order, NaN comes last."""
    runs = [(with_ties_and_nans(n),) for n in (1000, 4097, 33, 20)]
    for (x,), order in sizes_known_and_open(lambda x: np.argsort(x, kind="stable"), *runs):
        assert_same(order, np.argsort(x, kind="stable"))
    for (x,), y in sizes_known_and_open(lambda x: np.sort(x, axis=1), (some(5, 100),), (some(2, 7),)):
        assert_same(y, np.sort(x, axis=1))


def test_sorting_other_dtypes():
    for x in (np.random.default_rng(0).integers(0, 9, 300), some(300) > 0, some(300).astype(np.float32)):
        compiled = myia(backend="tvm", target=TARGET)(lambda x: np.argsort(x, kind="stable"))
        assert_same(compiled(x), np.argsort(x, kind="stable"))


@pytest.mark.parametrize("reduce", [np.argmax, np.argmin])
def test_the_first_extremum(reduce):
    """Of several the first, of NaN the first before all."""
    runs = [(f(n),) for n in (1000, 5003, 130) for f in (with_ties_and_nans, lambda n: np.round(some(n)))]
    for (x,), place in sizes_known_and_open(lambda x: reduce(x), *runs):
        assert place == reduce(x)
    for (x,), places in sizes_known_and_open(lambda x: reduce(x, axis=0), (np.round(some(200, 5)),)):
        assert_same(places, reduce(x, axis=0))


def taken(x, v, index):
    return np.sum(x[index] * v)  # its gradient by x adds v at the indexes


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("inner", [(), (3,)])
def test_sums_at_repeated_indexes(deterministic, inner):
    f = grad(myia(backend="tvm", target=TARGET, deterministic=deterministic)(taken))
    for n in (1000, 500, 77):
        v, index = some(n, *inner), np.random.default_rng(n).integers(-50, 50, n)
        expected = np.zeros((50, *inner))
        np.add.at(expected, index, v)
        assert_same(f(np.zeros((50, *inner)), v, index), expected, rtol=1e-12)


def test_the_last_write_wins():
    def write(v, index):
        a = np.zeros((50, *v.shape[1:]))
        a[index] = v
        return a

    index = np.random.default_rng(0).integers(0, 50, 1000)
    for v in (some(1000), some(1000, 3)):
        assert_same(myia(backend="tvm", target=TARGET)(write)(v, index), write(v, index))


# ---- CUDA ------------------------------------------------------------------------------------------------------------
def cuda(arch):
    return target_of(f'{{"kind": "cuda", "arch": "{arch}", "max_threads_per_block": 1024, "thread_warp_size": 32}}')


def built(f, *args, arch="sm_80", **options):
    graph = optimised(infer(f, tuple(map(abstract, args)), parse_function).graph, None, backend="tvm")
    return build(graph, cuda(arch), options=Options("cuda", **options))


def written(x, v, index):
    x = x.copy()
    x[index] = v
    return x


INDEX = np.zeros(5000, np.int64)
PROGRAMS = {
    "cumsum": (lambda x: np.cumsum(x), np.zeros(100_000)),
    "argsort": (lambda x: np.argsort(x), np.zeros(100_000, np.float32)),
    "argmax": (lambda x: np.argmax(x), np.zeros(100_000)),
    "add": (grad(taken), np.zeros(50), np.zeros(5000), INDEX),
    "last write": (lambda x, v, i: written(x, v, i), np.zeros(50), np.zeros(5000), INDEX),
    "add, float32": (grad(taken), np.zeros(50, np.float32), np.zeros(5000, np.float32), INDEX),
}


def test_one_thread_has_a_chunk():
    """The number of kernels tells how many steps there are.  (One copies a result that something else holds, too.)"""
    counts = {name: built(*program).launches for name, program in PROGRAMS.items()}
    assert counts["cumsum"] == 5 + 1  # sums of chunks, sums of their chunks, the serial scan of these, and back
    assert counts["argsort"] == 3 + 1  # the runs, and two that merge to and fro
    assert counts["argmax"] == 3
    assert built(lambda x: np.cumsum(x), np.zeros(100)).launches == 1 + 1


def test_atomic_or_sorted():
    atomic, in_order = (built(*PROGRAMS["add"], deterministic=d).source for d in (False, True))
    assert "atomicAdd((double*)p" in atomic
    assert "atomic" not in in_order and len(kernels_in(in_order)) > len(kernels_in(atomic))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_nvcc_compiles_it(tmp_path, arch):
    for k, program in enumerate(PROGRAMS.values()):
        for deterministic in (False, True):
            path = tmp_path / f"{k}{deterministic}.cu"
            path.write_text(built(*program, arch=arch, deterministic=deterministic).source)
            command = ["nvcc", f"-arch={arch}", "-cubin", "-o", path.with_suffix(".cubin"), path]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[:2000]
