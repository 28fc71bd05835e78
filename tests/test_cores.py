"""Large loops on several cores: the same numbers with any number of threads, after a fork, from several threads."""

import ctypes
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from myia_lite import grad, myia
from myia_lite.backends.llvm import cores, runtime

RNG = np.random.default_rng(0)
VECTOR, MATRIX = RNG.standard_normal(300_000), RNG.standard_normal((700, 500))


def total(x):
    return np.sum(x)


def total_of_few(x):
    return np.sum(x[:3])


def chain(x):
    return np.exp(-x * x) * np.sin(x) + 1.0


def log_sum_exp(x):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def beyond_the_fast_range(x):
    return np.sin(x * 1e12)


def largest(x):
    return np.max(x) - np.min(x)


def any_and_all(x):
    return np.any(x > 4.0), np.all(x < 9.0)


def by_rows(x):
    return np.sum(np.exp(x), axis=1)


def by_columns(x):
    return np.sum(x * x, axis=0)


def strided(x):
    return np.sum(np.exp(x[::2, 1:-1]))


def stencil(x):
    return 0.25 * (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]) - x[1:-1, 1:-1]


def transposed(x):
    return np.exp(x.T) + 1.0


def picked(x):
    return np.exp(x[np.arange(0, len(x), 2)])


def written(x):
    y = np.zeros((700, 500))
    y[1:] = np.tanh(x[:-1])
    return y


def batched(x):
    y = np.reshape(x, (87500, 2, 2))
    return y @ y


ON_VECTORS = [total, total_of_few, chain, log_sum_exp, beyond_the_fast_range, largest, any_and_all, picked]
ON_MATRICES = [by_rows, by_columns, strided, stencil, transposed, written, batched, chain]
PROGRAMS = [(f, VECTOR) for f in ON_VECTORS] + [(f, MATRIX) for f in ON_MATRICES]
DERIVED = [(f, VECTOR) for f in (log_sum_exp, total)] + [(f, MATRIX) for f in (strided,)]


@contextmanager
def threads(n):
    runtime.addresses()
    runtime.set_threads(n)
    try:
        yield
    finally:
        runtime.set_threads(cores.threads())


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(_tuple(a), _tuple(b), strict=True))


def _tuple(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize("f, x", PROGRAMS, ids=lambda p: getattr(p, "__name__", None))
def test_threads_change_nothing(f, x):
    compiled = myia(f)
    with threads(1):
        alone = compiled(x)
    with threads(4):
        several = [compiled(x) for _ in range(5)]
    assert all(same(alone, r) for r in several)
    for a, b in zip(_tuple(alone), _tuple(f(x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("f, x", DERIVED, ids=lambda p: getattr(p, "__name__", None))
def test_threads_change_no_gradient(f, x):
    with threads(1):
        alone = grad(f)(x)
    with threads(3):
        assert all(same(alone, grad(f)(x)) for _ in range(3))
    ahead, behind = x.copy(), x.copy()
    at = (17, 5)[: x.ndim]
    ahead[at] += 1e-6
    behind[at] -= 1e-6
    assert alone[at] == pytest.approx((f(ahead) - f(behind)) / 2e-6, rel=1e-2, abs=1e-4)


def test_several_python_threads_at_once():
    compiled = myia(chain)
    inputs = [VECTOR + k for k in range(8)]
    with threads(3):
        expected = [compiled(x) for x in inputs]
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                assert all(map(same, pool.map(compiled, inputs), expected))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own():
    compiled = myia(log_sum_exp)
    with threads(3):
        expected, stop = compiled(VECTOR), threading.Event()

        def keep_busy():  # so that some fork finds a region running
            while not stop.is_set():
                compiled(VECTOR)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        try:
            for _ in range(10):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
                    child = os.fork()
                if child == 0:
                    os._exit(0 if same(compiled(VECTOR), expected) else 1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            busy.join()


CHUNK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL = ctypes.CFUNCTYPE(None, CHUNK, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def test_every_item_runs_once_and_nested_regions_run_alone():
    parallel = PARALLEL(runtime.addresses()["rt_parallel"])
    outer, inner, alone = np.zeros(1000, int), np.zeros(1000, int), []

    @CHUNK
    def inside(env, first, last):
        inner[first:last] += 1

    @CHUNK
    def outside(env, first, last):
        outer[first:last] += 1
        if first == 0:
            me = threading.get_ident()

            @CHUNK
            def check(env, first, last):
                alone.append((threading.get_ident() == me, first, last))
                inside(env, first, last)

            parallel(check, None, 1000, 10)

    with threads(4):
        for _ in range(20):
            parallel(outside, None, 1000, 10)
    assert (outer == 20).all() and (inner == 20).all()
    assert alone == [(True, 0, 1000)] * 20  # in one piece, by the thread that met it


PROGRAM = """
import os
import numpy as np
from myia_lite import myia
from test_cores import chain
myia(chain)(np.ones(3000000))
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize("n", [1, 3])
def test_the_number_of_threads_is_that_of_the_environment(n):
    environment = {**os.environ, "MYIA_NUM_THREADS": str(n), "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == n


def test_a_number_of_threads_that_is_none_means_all(monkeypatch):
    monkeypatch.delenv("MYIA_NUM_THREADS", raising=False)
    everything = cores.threads()
    assert everything >= 1
    for text in ("", "0", "-3", "many"):
        monkeypatch.setenv("MYIA_NUM_THREADS", text)
        assert cores.threads() == everything
    monkeypatch.setenv("MYIA_NUM_THREADS", "100000")
    assert cores.threads() == cores.LIMIT
