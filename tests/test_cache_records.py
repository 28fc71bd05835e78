"""Pullbacks and linearised functions on disk: the program that saves a record, those that take it, and the graph that
goes on from it.  Forgetting what this process knows of programs and records stands for a new process.
"""

import gc
from dataclasses import dataclass

import numpy as np
import pytest
from test_cache import process

from myia_lite import api, checkpoint, compiler, custom_derivative, grad, jvp, linearize, myia, vjp
from myia_lite.cache import store, templates
from myia_lite.cache.graphs import Reader, Writer
from myia_lite.cache.identity import Unstorable, Walk
from myia_lite.infer import abstract
from myia_lite.ir import reachable, show, verify


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, in a process that knows of no program."""
    monkeypatch.setenv("MYIA_CACHE", "1")
    monkeypatch.setenv("MYIA_CACHE_DIR", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    store._stores.clear()
    forget()


def forget():
    api._kept.cache_clear()
    api.going_on.cache_clear()
    templates._points.clear()
    templates._known.clear()
    gc.collect()


def made(kind, f):
    """How many programs were made: for the forward passes of f, and to go on from there."""
    return api.transformed(kind, f).compilations, api.going_on("llvm", "python", None).compilations


@dataclass(frozen=True)
class Line:
    slope: float
    offset: np.ndarray


class Refused(Exception):
    """An exception of the user's."""


def product(a, b):
    return np.sum(np.tanh(a @ b))


def loop(x, n):
    total = 0.0
    for k in range(n):
        v = np.sin(x * total)
        total = total + np.sum(v) * k
    return total


def branches(x):
    if x[0] > 0.0:
        y = np.sin(x) * x
    elif x[1] > 0.0:
        y = np.exp(x)
    else:
        return 0.0
    return np.sum(y)


def power(x, n):
    return 1.0 if n == 0 else np.sin(x) * power(x, n - 1)


def of_line(p, x):
    return {"y": p.slope * x + p.offset, "n": 3}


def checked(x):
    if x < -1.0:
        raise Refused("too small")
    return np.sqrt(x + 2.0) * x


def in_little_memory(x):
    return checkpoint(checked)(x) * x


def inner(x):
    y, pull = vjp(lambda z: z * z * x, x)
    return y * pull(x)[0]


@custom_derivative
def cubed(x):
    return x * x * x


cubed.defvjp(lambda x: (x**3, (x,)), lambda residuals, y_bar: (3.0 * residuals[0] ** 2 * y_bar,))
BIG = np.linspace(0.0, 1.0, 900).reshape(30, 30)
X = np.array([0.5, -1.0, 2.0])
PULLBACKS = {
    "of matrices": (product, (BIG, BIG), 2.0),
    "of a loop": (loop, (X, 5), 1.0),
    "of branches": (branches, (X,), 1.0),
    "of other branches": (branches, (-X,), 1.0),
    "of structures": (of_line, (Line(2.0, X), 3.0), {"y": X, "n": None}),
    "of complex numbers": (lambda z: z * z * (1.0 + 2.0j), (0.5 + 1.0j,), 1.0 + 1.0j),
    "of a float32 array": (lambda x: x * x, (X.astype(np.float32),), X.astype(np.float32)),
    "of a closure's constant": (lambda x: x * TWO, (3.0,), 1.0),
    "of a checkpoint": (in_little_memory, (0.5,), 1.0),
    "of a rule of the user's": (lambda x: cubed(x) * 2.0, (0.5,), 1.0),
    "of a pullback inside": (inner, (0.5,), 1.0),
}
TWO = 2.0


def same(a, b):
    if isinstance(a, dict | tuple):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(
            a.values() if isinstance(a, dict) else a, b.values() if isinstance(b, dict) else b, strict=True
        ):
            same(x, y)
    elif isinstance(a, Line):
        same((a.slope, a.offset), (b.slope, b.offset))
    else:
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", PULLBACKS)
def test_pullbacks_are_found(name):
    f, args, y_bar = PULLBACKS[name]
    value, pull = vjp(f, *args)
    bars = pull(y_bar)
    assert made("vjp", f) == (1, 1)
    del pull
    forget()
    for _ in range(3):  # by way of Python, then through the native entries
        again, pull = vjp(f, *args)
        same(again, value)
        for _ in range(3):
            same(pull(y_bar), bars)
    assert made("vjp", f) == (0, 0)


@pytest.mark.parametrize("name", ["of matrices", "of a loop", "of branches", "of complex numbers"])
def test_linearised_functions_are_found(name):
    f, args, _ = PULLBACKS[name]
    dots = tuple(None if isinstance(a, int) else a for a in args)
    value, linear = linearize(f, *args)
    y_dot = linear(*dots)
    np.testing.assert_allclose(y_dot, jvp(f, args, dots)[1], rtol=1e-12)
    forget()
    again, linear = linearize(f, *args)
    same((again, linear(*dots)), (value, y_dot))
    assert made("linearize", f) == (0, 0)


@pytest.mark.parametrize("name", PULLBACKS)
def test_the_way_back_comes_with_the_record(name):
    """Only the forward pass is on disk: what goes on from there is compiled from the graph beside it."""
    f, args, y_bar = PULLBACKS[name]
    bars = vjp(myia(lambda *a: f(*a)), *args)[1](y_bar)  # another program
    vjp(f, *args)
    forget()
    _, pull = vjp(f, *args)
    same(pull(y_bar), bars)
    assert made("vjp", f) == (0, 1)


def test_what_was_found_is_differentiated_and_passed_on():
    def along(pull, y_bar):
        x_bar = pull(y_bar)[0]
        return np.sum(x_bar * x_bar)

    def twice(pull, y_bar):
        return pull, grad(along, argnums=1)(pull, y_bar)

    results = []
    for _ in range(2):
        forget()
        _, pull = vjp(loop, X, 5)
        f = myia(twice)
        for _ in range(3):
            passed, slope = f(pull, 0.5)
            results.append((slope, along(passed, 0.5), grad(along, argnums=1)(pull, 0.5), passed(1.0)[0]))
    assert f.compilations == 0
    for r in results:
        same(r, results[0])
    slope, square, *_ = results[0]
    assert slope == pytest.approx(4.0 * square)  # of a square of what is linear in 0.5


def test_open_sizes():
    f = myia(lambda x: vjp(lambda z: np.sin(z) * z, x))
    for compiled in (True, False):
        for n in (3, 4, 5):
            x = np.linspace(0.1, 1.0, n)
            _, pull = f(x)
            np.testing.assert_allclose(pull(x)[0], x * (np.sin(x) + x * np.cos(x)), rtol=1e-12)
        assert bool(f.compilations) is compiled
        forget()
        f = myia(f.__wrapped__)


def test_functions_that_differ_have_records_that_differ():
    def scaled(by):
        return lambda x: np.sin(by * x) * x

    def slopes():
        return [vjp(scaled(by), 0.5)[1](1.0)[0] for by in (2.0, 3.0, 4.0)]

    expected = [by * 0.5 * np.cos(by * 0.5) + np.sin(by * 0.5) for by in (2.0, 3.0, 4.0)]
    for _ in range(2):
        np.testing.assert_allclose(slopes(), expected, rtol=1e-14)
        forget()


def test_what_runs_again_raises_as_before():
    """The way back of a checkpoint runs the function again, with its exceptions and their lines."""
    bars = []
    for _ in range(2):
        _, pull = vjp(in_little_memory, 0.5)
        bars.append(pull(1.0)[0])
        with pytest.raises(Refused, match="too small"):
            vjp(in_little_memory, -2.0)
        forget()
    assert bars[0] == bars[1] == pytest.approx(0.5 * (2 * np.sqrt(2.5)) + 0.125 / np.sqrt(2.5))


def test_a_recursive_record_is_right_whether_kept_or_not():
    bars = []
    for _ in range(2):
        bars.append(vjp(power, 0.5, 6)[1](1.0)[0])
        forget()
    assert bars[0] == bars[1] == pytest.approx(6 * np.sin(0.5) ** 5 * np.cos(0.5))


PROGRAM = """
import sys, numpy as np
from myia_lite import linearize, vjp
def f(x):
    total = 0.0
    for k in range(len(x)):
        total += np.tanh(x[k] * total + 1.0)
    return total
x = np.linspace(0.0, 1.0, 40)
for _ in range(3):
    y, pull = vjp(f, x)
    _, linear = linearize(f, x)
    print(pull(1.0)[0].tobytes().hex(), linear(x))
print(*[m for m in sys.modules if m.startswith("myia_lite.")])
"""


def test_a_second_process_does_without_the_compiler(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    first, second = process(file).splitlines(), process(file).splitlines()
    assert len(set(first[:3] + second[:3])) == 1
    compiler = {"compiler", "parser", "infer.engine", "ad", "opt", "ops", "cache.graphs", "backends.llvm.lower"}
    assert {f"myia_lite.{m}" for m in compiler} <= set(first[-1].split())
    assert {f"myia_lite.{m}" for m in compiler - {"cache.graphs"}}.isdisjoint(second[-1].split())


def test_a_record_that_is_gone():
    with pytest.raises(Unstorable):
        templates.from_template(["at point", ["of another process"], []], [])


# ---- graphs as plain data --------------------------------------------------------------------------------------------
GRAPHS = {
    "of a loop": (grad(loop), (X, 5)),
    "of a recursion": (grad(power), (0.5, 6)),
    "of branches": (grad(branches), (X,)),
    "of a call that runs again": (grad(in_little_memory), (0.5,)),
    "with constants": (myia(lambda x: x + np.array([1.5, np.nan, -0.0]) * np.float32(0.1)), (X,)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_comes_back_as_it_was(name):
    f, args = GRAPHS[name]
    graph = compiler.differentiated(f._infer(tuple(map(abstract, args)), ()).graph)
    walk = Walk()
    walk.object(checked)
    walk.object(Refused)
    w = Writer(walk, templates.known)
    data = w.program(graph)
    back = Reader(w.tables(), walk.objects, templates.point_of).program(data)
    assert show(back) == show(graph)
    verify(back)

    def spans(g):
        return [n.span for c in reachable(g) for h in c.nested() for n in (*h.params, *h.nodes)]

    assert spans(back) == spans(graph)
