"""Threads, deep and endless recursion, long programs: the process survives, and the answers are right."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from compare import assert_same

from myia_lite import grad, myia

both = pytest.mark.parametrize("backend", ["interp", "llvm"])


# --------------------------------------------------------------------------------------------------------- threads
def test_two_threads_compile_and_call_at_once():
    """Threads that meet at the first call, with other signatures among them, all get right answers."""

    @myia
    def f(x, n):
        y = x
        for _ in range(n):
            y = y * 0.5 + x
        return y * y

    inputs = [2.0, np.linspace(0.0, 1.0, 50), np.float32(1.5), 3]
    expected = [f.__wrapped__(x, 20) for x in inputs]
    barrier, failures = threading.Barrier(4), []

    def work(k):
        try:
            barrier.wait()
            for trip in range(50):
                x, want = inputs[(k + trip) % 4], expected[(k + trip) % 4]
                assert_same(f(x, 20), want)
                assert grad(f)(2.0, 20) == pytest.approx(expected[0])  # f is quadratic: f'(2) = f(2)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


def test_exceptions_in_threads_do_not_mix():
    """Each thread gets its own exception."""

    @myia
    def f(n):
        s = 0
        for i in range(1000):
            s += i % 7
        if n == 0:
            raise KeyError("zero")
        return s // (n - 1)

    wrong = []

    def work(n, kind):
        for _ in range(200):
            try:
                f(n)
            except Exception as error:
                if type(error) is not kind:
                    wrong.append(error)
            else:
                if kind is not None:
                    wrong.append("returned")

    pairs = [(0, KeyError), (1, ZeroDivisionError), (2, None)]
    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]


# ------------------------------------------------------------------------------------------------------- recursion
def run(program, timeout=120):
    """Run a program in a process of its own, from a file, so that a crash is a failed test; returns what it prints."""

    def start(folder):
        path = folder / "program.py"
        path.write_text(textwrap.dedent(program))
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout.split()

    return start


def test_deep_recursion_survives(tmp_path):
    """1e5 frames that are no tail calls, forward and backward, also in a thread with a small stack."""
    program = """
        import threading
        from myia_lite import myia, grad

        @myia
        def f(x, n):
            return 0.0 if n == 0 else x * 0.5 + f(x, n - 1)

        print(f(2.0, 100_000), grad(f)(2.0, 100_000))
        threading.stack_size(256 * 1024)
        thread = threading.Thread(target=lambda: print(f(2.0, 100_000), grad(f)(2.0, 100_000)))
        thread.start()
        thread.join()
    """
    assert run(program)(tmp_path) == ["100000.0", "50000.0"] * 2


@both
def test_infinite_recursion_is_an_error(tmp_path, backend):
    """A recursion without end is a RecursionError, after which the process goes on.

    The interpreter counts calls; a tenth of its limit is met in a tenth of the time.
    """
    program = f"""
        from myia_lite import myia, grad
        from myia_lite.backends.interp import machine

        machine.MAX_CALLS //= 10

        @myia(backend="{backend}")
        def f(x, n):
            return x + f(x * 0.5, n + 1) if n >= 0 else x

        for call in (f, grad(f)):
            for _ in range(2):
                try:
                    print("returned", call(1.0, 0))
                except RecursionError:
                    print("RecursionError")
        print(f(2.0, -1))
    """
    assert run(program)(tmp_path) == ["RecursionError"] * 4 + ["2.0"]


def test_infinite_recursion_of_types_is_an_error(tmp_path):
    """A recursion whose argument grows a new type at each call cannot be compiled, and says so."""
    program = """
        from myia_lite import myia, MyiaError

        @myia
        def f(x, n):
            return f((x, x), n - 1) if n > 0 else 0.0

        try:
            print("returned", f(1.0, 3))
        except MyiaError as error:
            print("MyiaError")
    """
    assert run(program)(tmp_path) in (["MyiaError"], ["returned", "0.0"])


def test_deep_expressions_and_long_programs(tmp_path):
    """Five hundred statements, and an expression nested fifty deep, compile and derive."""
    lines = "\n".join(f"    x = x * 0.5 + y * {k % 7}" for k in range(500))
    source = "from myia_lite import myia, value_and_grad\n\n@myia\ndef f(x, y):\n" + lines
    source += "\n    return " + "(" * 50 + "x" + " + y)" * 50 + '\n\nv, g = value_and_grad(f, argnums="y")(1.0, 1.0)\n'
    source += (
        "w = f.__wrapped__(1.0, 1.0)\nprint(abs(v - w) < 1e-9, abs(g - w) < 1e-9)  # linear in y, hardly depends on x\n"
    )
    assert run(source)(tmp_path) == ["True", "True"]
