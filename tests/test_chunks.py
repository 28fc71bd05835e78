"""Long functions in chunks: the answers stay the same, and no function gets long.  Limits are counts, not times."""

import math
import re

import numpy as np
import pytest

from benchmarks.compile_time import large, program
from myia_lite import grad, myia
from myia_lite.backends.llvm import chunks, nests
from myia_lite.backends.llvm import program as native


@pytest.fixture
def tiny(monkeypatch):
    """As if every function were long, and every node a place to cut it."""
    for name, value in {"NODES": 0, "LONG": 0, "CHUNK": 8, "STEP": 1}.items():
        monkeypatch.setattr(chunks, name, value)


def straight(x, y):
    a = math.sin(x) * y + x
    b = a / (1.0 + y * y)
    return math.exp(-b * b) + a if a > b else b - a


def loop(x, n):
    total = x
    for k in range(n):
        if total > 2.0:
            total = total * 0.5 - math.cos(total)
        total = math.sin(total) * x + total + k
        while total > 10.0:
            total = total / 3.0
    return total


def recursive(x, n):
    return x if n == 0 else recursive(x * 0.9, n - 1) * math.sin(x) + recursive(x * 0.5, n - 1)


def arrays(x, n):
    y = x
    for k in range(n):
        y = np.sin(y) * x + np.where(y > 0.5, y * 0.5, x)
        if np.sum(y) > 3.0:
            y = y * 0.25
        y[k] = y[k] * y[0]
    return np.sum(y * y) + np.max(y)


def raises(x, n):
    total = 0.0
    for k in range(n):
        if k > 7:
            raise ValueError(f"{k} is too large")
        total = total + 1.0 / (x - k)
    return total


POINT = np.array([0.3, 0.9, -0.4, 0.7])
PROGRAMS = [(straight, (0.7, 0.2)), (loop, (0.6, 40)), (recursive, (0.8, 5)), (arrays, (POINT, 4)), (raises, (0.5, 6))]


@pytest.mark.parametrize(("f", "args"), PROGRAMS, ids=lambda x: getattr(x, "__name__", ""))
def test_values_and_derivatives(f, args, tiny):
    compiled, reference = myia(f), grad(myia(f, backend="interp"))
    assert ".chunk" in compiled.ir(*args, stage="llvm")
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    assert compiled(*args) == pytest.approx(f(*given), rel=1e-12)
    np.testing.assert_allclose(grad(compiled)(*args), reference(*args), rtol=1e-10, atol=1e-12)
    assert not compiled._program(args, {}).run.leaked


def test_exceptions(tiny):
    f = myia(raises)
    for _ in range(3):
        with pytest.raises(ValueError, match="8 is too large"):
            f(0.5, 12)
        with pytest.raises(ZeroDivisionError):
            f(3.0, 6)
        assert f(0.5, 6) == pytest.approx(raises(0.5, 6))


def sizes(text: str) -> list[int]:
    """The lines of each function."""
    return [part.count("\n") for part in re.findall(r"\ndefine .*?\n}", text, re.S)]


@pytest.mark.parametrize("case", ["straight scalar code", "a loop body", "a chain of branches", "straight array code"])
def test_no_function_of_a_long_program_is_long(case):
    """However long the program, its functions have at most so many lines, not yet optimised."""
    for operations in (600, 1200):
        body, result, args = large(operations)[case]
        with program(body, result) as f:
            compiled = grad(myia(f), (0, 1, 2))
            graph = compiled._infer(*compiled._signature(args, {})).graph
        from myia_lite.compiler import optimised

        found = sizes(native.llvm_text(optimised(graph), optimise=False))
        assert sum(found) > operations
        assert max(found) < chunks.LONG + 2 * chunks.CHUNK


def test_a_long_program_of_arrays_has_few_nests(monkeypatch):
    """Twice as many operations of the same kinds are the same nests, called twice as often."""
    counts = []
    emitted = []
    apart = nests.apart
    monkeypatch.setattr(nests, "apart", lambda *a, **k: (emitted.append(1), apart(*a, **k))[1])
    for operations in (300, 600):
        body, result, args = large(operations)["straight array code"]
        emitted.clear()
        with program(body, result) as f:
            grad(myia(f), (0, 1, 2))(*args)
        counts.append(len(emitted))
    assert counts[0] == counts[1] < 40


def test_a_long_chain_in_a_loop():
    """What follows from the number of a trip is found without recursion."""
    lines = ["    y = a", "    for k in range(20):", "        x = m.sin(a * k)"]
    lines += ["        x = x * b + c"] * 2000 + ["        y = y + x"]
    with program(lines, "y") as f:
        assert myia(f)(0.3, 0.2, 0.1) == pytest.approx(f(0.3, 0.2, 0.1), rel=1e-12)
