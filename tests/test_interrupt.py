"""Signals reach compiled code: Ctrl-C ends loops and recursions, the memory is freed, and a second call is right."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from myia_lite import grad, myia

PROGRAMS = '''
import json, math, os, resource, signal, sys, threading, time
import numpy as np
from myia_lite import grad, myia

def endless(x, y):
    while y > 0.0:
        x = math.sin(x) + 1.0 if x < 2.0 else x - 1.0
    return x * y

def counted(x, n):
    s = 0.0
    for i in range(n):
        s = s + x * i
    return s

def sines(x, n):
    for _ in range(n):
        x = math.sin(x) * 1e-3 + x
    return x

def nested(x, n, m):
    for _ in range(n):
        for _ in range(m):
            x = x * 0.5 + 1.0
    return x

def arrays(x, y):
    while y > 0.0:
        x = np.tanh(x @ x.T) * 0.1
    return np.sum(x) * y

def fib(n, x):
    return x * n if n < 2 else fib(n - 1, x) + fib(n - 2, x)

def depth(n, x):
    return x if n == 0 else 1.0 + depth(n - 1, x)

def deep(x, n, m):
    for _ in range(n):
        x = depth(m, x) * 1e-3
    return x

def tail(n, x):
    return x if n == 0 else tail(n - 1, x * 0.5 + 1.0)

def called(f, *args):
    """What a call raises, and how long after the signal."""
    at = []
    def send():
        at.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    timer = threading.Timer(0.3, send)
    timer.start()
    try:
        f(*args)
        out = None
    except BaseException as e:
        out = e
    late = time.perf_counter() - at[0] if at else None
    timer.join()
    return out, late
'''


def run(code: str, **environment):
    """The JSON that a new process prints."""
    folder = Path(os.environ["PYTEST_TMP"])
    (folder / "programs.py").write_text(PROGRAMS)
    out = subprocess.run(
        [sys.executable, "-c", "from programs import *\n" + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent.parent}", **environment},
    )
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))


LONG = {
    "endless": ("1.0, 1.0", "1.0, -1.0", 0),
    "counted": ("1.0, 10**12", "1.0, 10", 0),
    "sines": ("1.0, 10**8", "1.0, 10", 0),
    "nested": ("1.0, 10**7, 10**6", "1.0, 3, 4", 0),
    "arrays": ("np.ones((100, 100)), 1.0", "np.ones((100, 100)), -1.0", 0),
    "fib": ("70, 1.0", "10, 1.0", 1),
    "deep": ("1.0, 10**6, 20000", "1.0, 2, 20000", 0),
    "tail": ("10**12, 1.0", "10, 1.0", 1),
}


@pytest.mark.parametrize(
    ("name", "derived"),
    [(name, derived) for name in LONG for derived in (False, True) if (name, derived) != ("tail", True)],
)  # the gradient of a tail recursion is none: it soon ends with a RecursionError
def test_ends_at_once_and_can_be_called_again(name, derived):
    long, short, argnum = LONG[name]
    found = run(
        f"""
        f = {f"grad({name}, {argnum})" if derived else f"myia({name})"}
        before = [f({short}) for _ in range(3)][0]  # the native entry is made, too
        error, late = called(f, {long})
        after = f({short})
        same = np.array_equal(before, after)
        print(json.dumps([type(error).__name__, late, same, getattr(error, "__notes__", [""])[0]]))
        """
    )
    kind, late, same, note = found
    assert kind == "KeyboardInterrupt" and same
    assert late < 1.0  # a tenth of a second, on a quiet machine
    assert "programs.py" in note and "in compiled code" in note


def test_memory_is_freed():
    """Each call keeps some 100 MB when it is interrupted."""
    growth = run(
        """
        f = grad(arrays)
        f(np.ones((100, 100)), -1.0)
        sizes = []
        for _ in range(8):
            error, _ = called(f, np.ones((100, 100)), 1.0)
            assert type(error) is KeyboardInterrupt
            sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(json.dumps([max(sizes[:2]), sizes[-1]]))
        """
    )
    assert growth[1] < 2.5 * growth[0]


def test_the_exception_of_a_handler_is_the_one_that_arrives():
    found = run(
        """
        class Stop(Exception):
            pass
        seen = []
        def handler(number, frame):
            seen.append(Stop("enough"))
            raise seen[0]
        signal.signal(signal.SIGINT, handler)
        error, _ = called(myia(counted), 1.0, 10**12)
        print(json.dumps([error is seen[0], str(error)]))
        """
    )
    assert found == [True, "enough"]


def test_a_program_with_open_sizes_is_not_run_again():
    found = run(
        """
        f = myia(arrays)
        for n in (3, 4, 5):
            f(np.ones((n, n)), -1.0), f(np.ones((n, n)), -1.0)
        error, late = called(f, np.ones((60, 60)), 1.0)
        print(json.dumps([type(error).__name__, late < 1.0]))
        """
    )
    assert found == ["KeyboardInterrupt", True]


def test_a_handler_that_returns_lets_the_call_go_on():
    """It may call compiled code, a deep recursion too."""
    found = run(
        """
        seen, inner = [], myia(deep)
        inner(1.0, 1, 20000)
        signal.signal(signal.SIGINT, lambda number, frame: seen.append(inner(1.0, 2, 20000)))
        f = myia(deep)
        expected = f(1.0, 200, 20000)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        values = []
        end = time.time() + 0.6
        while time.time() < end:
            values.append(f(1.0, 200, 20000))
        timer.join()
        print(json.dumps([seen, all(v == expected for v in values), inner(1.0, 2, 20000)]))
        """
    )
    seen, right, expected = found
    assert seen == [expected] and right


def test_other_threads_go_on():
    """Signals are for the main thread: another one's loop ends where it would have, and the main one is interrupted."""
    found = run(
        """
        f = myia(sines)
        f(1.0, 10)
        out = []
        thread = threading.Thread(target=lambda: out.append(f(1.0, 20_000_000)))
        thread.start()
        error, late = called(f, 1.0, 10**9)
        thread.join()
        print(json.dumps([type(error).__name__, out[0] == f(1.0, 20_000_000)]))
        """
    )
    assert found == ["KeyboardInterrupt", True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_after_a_fork():
    found = run(
        """
        f = myia(counted)
        called(f, 1.0, 10**12)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            error, late = called(f, 1.0, 10**12)
            os.write(writing, type(error).__name__.encode())
            os._exit(0)
        os.waitpid(child, 0)
        print(json.dumps(os.read(reading, 100).decode()))
        """
    )
    assert found == "KeyboardInterrupt"


def test_a_program_from_the_cache(tmp_path):
    code = """
        f = myia(counted)
        f(1.0, 10)
        error, late = called(f, 1.0, 10**12)
        print(json.dumps([type(error).__name__, f.compilations, error.__notes__[0]]))
        """
    for compilations in (1, 0):
        kind, made, note = run(code, MYIA_CACHE="1", MYIA_CACHE_DIR=str(tmp_path / "cache"))
        assert kind == "KeyboardInterrupt" and made == compilations and "for i in range(n)" in note


def test_the_clock_stops_and_starts_again():
    """Interrupted after more than a second without calls, and after a call that is longer than that."""
    found = run(
        """
        f = myia(counted)
        first, _ = called(f, 1.0, 10**12)
        time.sleep(1.6)
        second, late = called(f, 1.0, 10**12)
        print(json.dumps([type(first).__name__, type(second).__name__, late < 1.0]))
        """
    )
    assert found == ["KeyboardInterrupt", "KeyboardInterrupt", True]


def once(x):
    total = 0.0
    for i in range(len(x)):
        total = total * 0.5 + x[i] * x[i]
    return total


def often(x, n):
    total = 0.0
    for _ in range(n):
        for i in range(len(x)):
            total = total * 0.5 + x[i] * x[i]
    return total


def polls(f, argnums, *args):
    derived = grad(myia(f), argnums) if argnums is not None else myia(f)
    derived(np.zeros(2), *args[1:])  # so that the size is open
    derived(np.zeros(3), *args[1:])
    return derived.ir(*args, stage="llvm").count("@rt_poll(")


def test_loops_that_memory_bounds_do_not_look():
    """A simple loop over an array's elements, and its way back, have no polls; the loop around them has."""
    x = np.zeros(4)
    assert polls(once, None, x) == polls(once, 0, x) == 0
    assert polls(often, None, x, 3) > 0


def shifted(x, n):
    for _ in range(n):
        y = np.zeros(len(x))
        for i in range(1, len(x)):
            y[i] = x[i - 1] * 0.5
        x = y
    return x[len(x) - 1]


def test_a_write_into_a_long_array_counts_as_one_operation():
    """So a loop that fills one does not look for signals, and the way back through it not in each trip."""
    x = np.zeros(100_000)
    value, gradient = (myia(shifted, static_shapes=True), grad(myia(shifted, static_shapes=True)))
    assert value.ir(x, 3, stage="llvm").count("call i64 @rt_poll(") == 1  # the outer loop
    text = gradient.ir(x, 3, stage="llvm")
    assert text.count("call i64 @rt_poll(") == 3  # that, its way back, and between the strips of the inner one's
    assert len(re.findall(r"@llvm.smax.i64\(i64 %\S+, i64 \d{4,}\)", text)) == 1  # the strip's end
