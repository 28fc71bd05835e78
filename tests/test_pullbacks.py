"""What `vjp` and `linearize` return goes on from what the forward pass saved; inside compiled code and outside."""

import copy
import gc
import math
import operator
import pickle
import subprocess
import sys
import threading
import weakref
from typing import NamedTuple

import numpy as np
import pytest
from compare import assert_same

from myia_lite import (
    MyiaTypeError,
    checkpoint,
    custom_derivative,
    grad,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    myia,
    value_and_grad,
    vjp,
)

X = np.array([2.0, 3.0, 5.0])
BACKENDS = pytest.mark.parametrize("backend", ["interp", "llvm"])


def smooth(x):
    return np.sin(x) * x


def orbit(x):
    """A scalar loop whose frames hold two numbers each."""
    s = x
    for k in range(50):
        s = math.sin(s * x) + 0.1 * k * x
    return s


def rows(x):
    """A loop whose frames hold arrays."""
    h = x
    for _ in range(20):
        h = np.tanh(h * x) + 0.1 * h
    return h


def branches(x):
    """Sums in frames, an unknown number of trips, an early exit."""
    s = x
    while s < 100.0:
        if s < 3.0:
            s = s * s + 1.0
        elif s < 20.0:
            s = s * math.exp(0.3 * x)
        else:
            s = s + math.sqrt(s)
        if s > 80.0:
            return s * x
    return s


def deep(x):
    """Recursion: the record is a chain of records."""

    def go(v, n):
        if n == 0:
            return v
        return go(np.sin(v) * x, n - 1) * (1.0 + v)

    return go(x, 12)


def assigned(x):
    a = np.zeros(6)
    a[0] = x[0]
    for i in range(1, 6):
        a[i] = a[i - 1] * x[i % 3] + math.sin(a[i - 1])
    return a


def mixed(x):
    """A structure, with an int and a string in it."""
    return {"a": np.sin(x["v"]) * x["k"], "n": x["n"] + 1, "s": "s", "b": (x["k"] ** 2, x["v"].sum())}


POINT = {"v": X, "k": 1.5, "n": 3}
CASES = [
    pytest.param(f, x, id=f.__name__)
    for f, x in [
        (smooth, X),
        (orbit, 0.7),
        (rows, X / 10),
        (branches, 1.3),
        (deep, X / 7),
        (assigned, X / 5),
        (mixed, POINT),
    ]
]


def floats(tree):
    """The float leaves of a structure."""
    if isinstance(tree, dict):
        return [v for item in tree.values() for v in floats(item)]
    if isinstance(tree, tuple | list):
        return [v for item in tree for v in floats(item)]
    return [] if isinstance(tree, int | str | None) else [tree]


def like(tree, seed):
    """A direction with the structure of `tree`."""
    if isinstance(tree, dict):
        return {k: like(v, seed + j) for j, (k, v) in enumerate(tree.items())}
    if isinstance(tree, tuple | list):
        return type(tree)(like(v, seed + j) for j, v in enumerate(tree))
    if isinstance(tree, int | str | None):
        return None
    d = np.random.default_rng(seed).normal(size=np.shape(tree))
    return d if isinstance(tree, np.ndarray) else float(d) if isinstance(tree, float) else type(tree)(d)


def dot(a, b):
    return sum(float(np.sum(u * v)) for u, v in zip(floats(a), floats(b), strict=True))


# ---- what they give --------------------------------------------------------------------------------------------------
@BACKENDS
@pytest.mark.parametrize(("f", "x"), CASES)
def test_against_jvp(f, x, backend):
    """ȳ · f'(x) ẋ by forward mode, as the linearised function's and as the pullback's."""
    f = myia(f, backend=backend)
    y, pullback = vjp(f, x)
    z, linear = linearize(f, x)
    assert_same(y, f(x))
    assert_same(z, f(x))
    for seed in range(3):
        x_dot, y_bar = like(x, seed), like(y, 7 + seed)
        _, y_dot = jvp(f, (x,), (x_dot,))
        assert_same(linear(x_dot), y_dot, rtol=1e-8, atol=1e-14)
        (x_bar,) = pullback(y_bar)
        assert dot(x_bar, x_dot) == pytest.approx(dot(y_bar, y_dot), rel=1e-9)


@BACKENDS
@pytest.mark.parametrize(("f", "x"), CASES[:6])
def test_inside_compiled_code(f, x, backend):
    def program(x, y_bars, x_dot):
        y, pullback = vjp(f, x)
        z, linear = linearize(f, x)
        return y, [pullback(b)[0] for b in y_bars], z, linear(x_dot)

    y, pullback = vjp(f, x)
    bars = [like(y, k) for k in range(3)]
    expected = (y, [pullback(b)[0] for b in bars], y, jvp(f, (x,), (like(x, 5),))[1])
    assert_same(myia(program, backend=backend)(x, bars, like(x, 5)), expected, rtol=1e-8, atol=1e-14)


def test_zero_cotangents_and_tangents():
    def f(x, y):
        return x * y, x.sum()

    _, pullback = vjp(f, X, 2.0)
    assert_same(pullback((None, 1.0)), (np.ones(3), 0.0))
    assert_same(pullback((X, None)), (2 * X, float(X @ X)))
    assert_same(pullback((None, None)), (np.zeros(3), 0.0))
    _, linear = linearize(f, X, 2.0)
    assert_same(linear(None, 1.0), (X, np.float64(0.0)))
    assert_same(linear(X, None), (2 * X, X.sum()))

    def inside(x, n):  # where sizes are known at run time only
        y, pullback = vjp(lambda x: (x * x, x.sum()), x[n:])
        _, linear = linearize(lambda x: (x * x, x.sum()), x[n:])
        return pullback((None, 2.0)), pullback((y[0], None)), linear(x[n:]), linear(None)

    r = X[1:]
    expected = ((np.full(2, 2.0),), (2 * r**3,), (2 * r * r, r.sum()), (np.zeros(2), np.float64(0.0)))
    assert_same(myia(inside)(X, 1), expected)
    with pytest.raises(ValueError, match="another shape"):
        myia(lambda x, n: vjp(np.sin, x[n:])[1](x))(X, 1)


def test_no_arguments_to_differentiate_by():
    y, pullback = vjp(lambda n: n * 2.5, 3)
    assert (y, pullback(1.0)) == (7.5, (None,))
    assert linearize(lambda n: n * 2.5, 3)[1](None) == 0.0


@BACKENDS
def test_writes_to_parts_of_run_time_size(backend):
    """A zero gathered at so many indexes has as many elements as there are indexes, not as many as the source."""

    @myia(backend=backend)
    def f(x, k):
        a = x * 2
        a[:, ::k] = x[1, 1]
        a[..., ::k][:1] *= x[0, 0]
        return a

    x, dot = np.arange(1.0, 7.0).reshape(2, 3), np.array([[1.0, -1.0, 2.0], [3.0, 0.5, 4.0]])
    assert_same(linearize(f, x, -2)[1](dot, None), jvp(f, (x, -2), (dot, None))[1])
    (x_bar, _) = vjp(f, x, -2)[1](dot)
    assert_same(np.sum(x_bar * dot), np.sum(dot * jvp(f, (x, -2), (dot, None))[1]))


# ---- as values -------------------------------------------------------------------------------------------------------
class Step(NamedTuple):
    value: float
    back: object


@BACKENDS
def test_pullbacks_are_values(backend):
    """In structures, branches, loops, captures, and as arguments and results of functions."""

    def apply(g, w):
        return g(w)[0]

    def pair(x):
        y, back = vjp(lambda x: x * x * x, x)
        return Step(y, back)

    def program(x, n):
        steps = [pair(x), pair(2.0 * x)]  # two records alive at once
        total = apply(steps[1].back, 1.0) - apply(steps[0].back, 1.0)
        back = steps[0].back
        for k in range(n):  # carried round, made anew on each trip
            if k == 2:
                back = pair(x + k).back
            total = total + back(0.5)[0]
        chosen = steps[0].back if n > 3 else steps[1].back
        return total + (lambda w: chosen(w)[0])(2.0)

    def expected(x, n):
        d = lambda x: 3 * x * x  # noqa: E731
        total = d(2 * x) - d(x)
        for k in range(n):
            total += 0.5 * (d(x) if k < 2 else d(x + 2))
        return total + 2 * (d(x) if n > 3 else d(2 * x))

    compiled = myia(program, backend=backend)
    for n in (0, 2, 5):
        assert compiled(1.5, n) == pytest.approx(expected(1.5, n))
        assert grad(compiled)(1.5, n) == pytest.approx((expected(1.501, n) - expected(1.499, n)) / 0.002)


@BACKENDS
def test_of_two_functions_in_one_variable(backend):
    @myia(backend=backend)
    def f(x, flag):
        if flag:
            y, back = vjp(np.sin, x)
        else:
            y, back = vjp(lambda x: (x * x).sum(), x)
        return back(y)[0]

    assert_same(f(X, True), np.sin(X) * np.cos(X))
    assert_same(f(X, False), 2 * X * (X @ X))


@BACKENDS
def test_on_one_path_only(backend):
    @myia(backend=backend)
    def f(x, n):
        back = None
        for k in range(n):
            if k == 1:
                _, back = vjp(lambda x: x * x, x)
        if back is None:
            return 0.0
        return back(1.0)[0]

    assert (f(3.0, 1), f(3.0, 2)) == (0.0, 6.0)

    @myia(backend=backend)
    def maybe(x, flag):
        if flag:
            return vjp(lambda x: x * x, x)[1]
        return None

    assert maybe(3.0, False) is None
    assert maybe(3.0, True)(1.0) == (6.0,)


@BACKENDS
def test_results_and_arguments_of_compiled_functions(backend):
    @myia(backend=backend)
    def make(x, a):
        y, back = vjp(lambda x: np.sin(x) * a, x)
        return {"y": y, "backs": (back, vjp(rows, x)[1])}

    @myia(backend=backend)
    def use(backs, w):
        return [b(w)[0] for b in backs]

    made = make(X, 2.0)
    a, b = (2 * X * np.cos(X), vjp(rows, X)[1](X)[0])
    assert_same(use(made["backs"], X), [a, b])
    assert_same(made["backs"][0](X), (a,))
    assert_same(operator.call(made["backs"][1], X), (b,))
    back = made["backs"][0]
    assert_same(myia(lambda w: back(w)[0] + 1.0, backend=backend)(X), a + 1)  # captured
    assert_same(myia(lambda b: b, backend=backend)(back)(X), (a,))
    again = make(2 * X, 2.0)["backs"]
    assert_same(use(again, X)[0], 2 * X * np.cos(2 * X))


def test_of_another_back_end():
    back = vjp(myia(smooth, backend="interp"), X)[1]
    with pytest.raises(MyiaTypeError, match="back end"):
        myia(lambda b, x: b(x))(back, X)


# ---- derivatives of them ---------------------------------------------------------------------------------------------
@BACKENDS
@pytest.mark.parametrize(("f", "x"), CASES[:6])
def test_gradients_through_a_pullback(f, x, backend):
    """d/dx of ȳ · f'(x) v, by reverse mode through the pullback, against that of forward mode."""
    f = myia(f, backend=backend)
    v = like(x, 3)

    def by_vjp(x):
        y, back = vjp(f, x)
        return np.sum(back(y)[0] * v)

    def by_linear(x):
        y, linear = linearize(f, x)
        return np.sum(linear(v) * y)

    def by_jvp(x):
        y, y_dot = jvp(f, (x,), (v,))
        return np.sum(y * y_dot)

    value, expected = value_and_grad(myia(by_jvp, backend=backend))(x)
    for g in (by_vjp, by_linear):
        y, slope = value_and_grad(myia(g, backend=backend))(x)
        assert_same((y, slope), (value, expected), rtol=1e-7, atol=1e-7)
    if not isinstance(x, float):
        return
    assert jvp(by_vjp, (x,), (1.0,))[1] == pytest.approx(expected)
    assert vjp(by_vjp, x)[1](1.0)[0] == pytest.approx(expected)
    assert linearize(by_linear, x)[1](1.0) == pytest.approx(expected)


def test_derivatives_of_a_pullback_itself():
    """It is linear: its Jacobian is the transpose of f's, at all points."""
    _, back = vjp(assigned, X / 5)
    _, linear = linearize(assigned, X / 5)
    slopes = jacfwd(assigned)(X / 5)
    w = np.arange(6.0)
    for jacobian in (jacfwd, jacrev):
        assert_same(jacobian(lambda w: back(w)[0])(w), slopes.T)
        assert_same(jacobian(linear)(X), slopes)
    y, second = vjp(back, w)
    assert_same(y, (slopes.T @ w,))
    assert_same(second((X,)), (slopes @ X,))
    assert_same(grad(lambda w: (back(w)[0] ** 2).sum())(w), 2 * slopes @ slopes.T @ w)


def test_third_order():
    def f(x):
        s = x
        for _ in range(5):
            s = math.sin(s * x)
        return s

    def slope(f):
        return lambda x: vjp(f, x)[1](1.0)[0]

    def push(f):
        return lambda x: linearize(f, x)[1](1.0)

    expected = grad(grad(grad(f)))(0.9)
    for a, b, c in ((slope, slope, slope), (push, slope, push), (slope, push, slope), (push, push, push)):
        assert a(b(c(f)))(0.9) == pytest.approx(expected, rel=1e-9)


def test_a_gradient_inside():
    def f(x):
        return grad(lambda y: math.sin(y * x))(x)

    assert vjp(f, 0.6)[1](1.0)[0] == pytest.approx(grad(f)(0.6))
    assert linearize(f, 0.6)[1](1.0) == pytest.approx(grad(f)(0.6))


# ---- results of several shapes ---------------------------------------------------------------------------------------
def of_several_shapes(x):
    if x > 1.0:
        return None
    if x < -1.0:
        return (x * x, {"x": x, "n": 3})
    return math.sin(x)


@BACKENDS
def test_results_of_several_shapes(backend):
    """A tangent has the shape that the value has; so must a cotangent have."""
    f = myia(of_several_shapes, backend=backend)
    for x, y_bar, x_bar in (
        (2.0, None, 0.0),
        (-2.0, (10.0, {"x": 1.0, "n": None}), -39.0),
        (-2.0, (None, {"x": 1.0, "n": None}), 1.0),
        (0.5, 2.0, 2.0 * math.cos(0.5)),
        (0.5, None, 0.0),
    ):
        y, back = vjp(f, x)
        assert_same(y, of_several_shapes(x))
        assert_same(back(y_bar), (x_bar,))
    slopes = {2.0: None, -2.0: (-8.0, {"x": 2.0, "n": None}), 0.5: 2.0 * math.cos(0.5)}
    for x, y_dot in slopes.items():
        assert_same(jvp(f, (x,), (2.0,)), (of_several_shapes(x), y_dot))
        assert_same(linearize(f, x)[1](2.0), y_dot)
    for x, y_bar in ((2.0, 1.0), (-2.0, 1.0), (0.5, (1.0, {"x": 1.0, "n": None}))):
        with pytest.raises(TypeError, match="structure of the value"):
            vjp(f, x)[1](y_bar)
    with pytest.raises(MyiaTypeError, match="the cotangent"):
        vjp(f, 0.5)[1]([1.0, 2.0, 3.0])
    with pytest.raises(MyiaTypeError, match="known at run time only"):
        jacfwd(f)(0.5)


@BACKENDS
def test_results_of_several_shapes_inside(backend):
    def f(x, n):
        return {"a": x[n:] * x[n:] if n > 0 else None, "s": x.sum()}

    @myia(backend=backend)
    def program(x, n, w):
        y, back = vjp(lambda x: f(x, n), x)
        both = back({"a": w, "s": 1.0})[0]
        if y["a"] is None:
            return both
        return both + linearize(lambda x: f(x, n), x)[1](x)["s"]

    w = np.array([1.0, 10.0])
    assert_same(program(X, 1, w), np.array([1.0, 7.0, 101.0]) + X.sum())
    with pytest.raises(TypeError, match="structure of the value"):
        program(X, 0, w)
    with pytest.raises(ValueError, match="another shape"):
        program(X, 2, w)

    @myia(backend=backend)
    def twice(x):
        y, back = vjp(of_several_shapes, x)
        if y is None or isinstance(y, tuple):
            return 0.0
        return back(y)[0]

    assert (twice(2.0), twice(-2.0)) == (0.0, 0.0)
    assert twice(0.5) == pytest.approx(math.sin(0.5) * math.cos(0.5))
    assert grad(twice)(0.5) == pytest.approx(math.cos(1.0))
    assert jvp(twice, (0.5,), (1.0,))[1] == pytest.approx(math.cos(1.0))


# ---- checkpoints, rules of the user's --------------------------------------------------------------------------------
@BACKENDS
def test_checkpoints(backend):
    def f(x):
        for _ in checkpoint(range(30)):
            x = np.sin(x) * 1.1
        return x

    def g(x):
        return checkpoint(rows)(x) + checkpoint(smooth)(x)

    for h in (f, g):
        h = myia(h, backend=backend)
        y, back = vjp(h, X / 10)
        slopes = jacfwd(h)(X / 10)
        assert_same(back(X), (X @ slopes,), rtol=1e-8)
        assert_same(back(y), (y @ slopes,), rtol=1e-8)
        assert_same(linearize(h, X / 10)[1](X), slopes @ X, rtol=1e-8)


def test_a_pullback_under_a_checkpoint():
    def f(x):
        _, back = vjp(smooth, x)
        return checkpoint(lambda w: back(w)[0] * w)(x).sum()

    def plain(x):
        return (vjp(smooth, x)[1](x)[0] * x).sum()

    assert_same(grad(f)(X), grad(plain)(X))


def test_rules_of_the_user():
    @custom_derivative
    def f(x):
        return x * x

    f.defjvp(lambda primals, tangents: (f(primals[0]), 7.0 * tangents[0]))
    assert vjp(f, 3.0)[1](1.0) == (7.0,)
    assert linearize(f, 3.0)[1](2.0) == 14.0

    @custom_derivative
    def g(x):
        return x * x

    def fwd(x):  # a pullback as the residual
        _, back = vjp(lambda x: 5.0 * x, x)
        return x * x, back

    g.defvjp(fwd, lambda back, y_bar: back(y_bar))
    assert vjp(g, 3.0)[1](1.0) == (5.0,)
    assert linearize(g, 3.0)[1](2.0) == 10.0
    assert grad(lambda x: g(x) * x)(3.0) == 5.0 * 3.0 + 9.0

    @custom_derivative
    def bent(x):
        return x * x

    bent.defjvp(lambda primals, tangents: (bent(primals[0]), tangents[0] ** 2))
    assert jvp(bent, (3.0,), (2.0,))[1] == 4.0
    with pytest.raises(MyiaTypeError, match="not linear"):
        linearize(bent, 3.0)


# ---- memory ----------------------------------------------------------------------------------------------------------
@BACKENDS
@pytest.mark.parametrize(("f", "x"), CASES)
def test_the_point_is_held(f, x, backend):
    """Neither the arguments, nor captured arrays, nor results share memory with the record."""
    scale = np.array([1.0, 2.0, 0.5])
    point = copy.deepcopy(x)

    def g(x):
        return f(x), (scale * scale).sum() * 0.0

    y, back = vjp(myia(g, backend=backend), point)
    bars = [(like(y[0], k), None) for k in range(2)]
    first = [back(b) for b in bars]
    _, linear = linearize(myia(g, backend=backend), point)
    moved = linear(like(x, 4))
    for array in [*floats(point), *floats(y), scale]:
        if isinstance(array, np.ndarray):
            array[...] = 99.0
    kept = copy.deepcopy(first)
    for _ in range(3):
        assert_same([back(b) for b in bars], kept)
        for array in floats(first):
            if isinstance(array, np.ndarray):
                array[...] = -1.0  # what a pullback returned is the caller's
        assert_same(linear(like(x, 4)), moved)


@pytest.mark.parametrize(("f", "x"), CASES)
def test_nothing_leaks(f, x):
    """Nothing of a call is left behind but what the record holds, and that goes with the pullback."""
    make, use = myia(lambda x: vjp(f, x)), myia(lambda b, w: b(w))
    y, back = make(x)
    w = like(y, 1)
    use(back, w)
    for compiled in (make, use):
        (program,) = compiled._programs.values()
        assert not program.run.leaked
    arena = weakref.ref(back.leaves[0].held)
    copies = copy.copy(back), copy.deepcopy(back)
    del back
    gc.collect()
    assert arena() is not None
    del copies
    gc.collect()
    assert arena() is None


def test_memory_is_bounded():
    """Arrays large and small, made and dropped again and again."""
    resource = pytest.importorskip("resource")
    big = np.ones(100_000)

    def f(x):
        for _ in range(4):
            x = np.sin(x) * x[0]
        return x

    def run(n):
        for _ in range(n):
            for x in (big, big[:50].copy()):
                y, back = vjp(f, x)
                back(y)
                linearize(f, x)[1](x)

    run(10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(60)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; each record holds 8 MB


def test_records_at_exit(tmp_path):
    """Of a process: in globals, in cycles, in what is kept for ever; nothing is said, nothing crashes."""
    code = """
import functools, threading
import numpy as np
from myia_lite import linearize, vjp
backs = [vjp(lambda x: np.sin(x) * x, np.ones(n))[1] for n in (3, 100_000) for _ in range(4)]
backs.append(backs)
kept = functools.cache(lambda: linearize(np.sin, 0.5))
kept()[1](1.0)
cell = {"back": backs[0]}
cell["cell"] = cell
print(backs[0](np.ones(3))[0].sum() > 0)
"""
    path = tmp_path / "holds_records.py"
    path.write_text(code)
    done = subprocess.run([sys.executable, "-X", "dev", path], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_the_function_may_go():
    def make():
        a = np.array([1.0, 2.0, 4.0])

        def f(x):
            return np.sin(x) * a * np.array([3.0, 5.0, 7.0])

        return vjp(f, X)[1], a * np.cos(X) * np.array([3.0, 5.0, 7.0])

    back, expected = make()
    gc.collect()
    assert_same(back(np.ones(3)), (expected,))


def test_records_in_records():
    """A record that holds parts of another keeps it alive."""

    def chain():
        _, back = vjp(rows, X / 10)
        _, second = vjp(lambda w: back(w)[0] * back(2.0 * w)[0], X)
        return second, jacfwd(lambda w: vjp(rows, X / 10)[1](w)[0] * vjp(rows, X / 10)[1](2.0 * w)[0])(X)

    second, slopes = chain()
    gc.collect()
    for _ in range(20):
        vjp(rows, X / 5)  # takes the memory, were it free
    assert_same(second(X), (X @ slopes,), rtol=1e-8)


@pytest.mark.parametrize(("f", "x"), [CASES[2].values, CASES[3].values, CASES[4].values])
def test_threads(f, x):
    """One record, read by several threads at once."""
    y, back = vjp(f, x)
    bars = [like(y, k) for k in range(4)]
    expected = [back(b) for b in bars]
    wrong = []

    def work(k):
        for _ in range(300):
            try:
                assert_same(back(bars[k]), expected[k])
            except AssertionError as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_an_error_in_the_forward_pass():
    def f(x):
        if x[0] > 1.0:
            raise ValueError("too large")
        return np.sin(x)

    for _ in range(3):
        with pytest.raises(ValueError, match="too large"):
            vjp(f, X)
    assert_same(vjp(f, X / 5)[1](X), (X * np.cos(X / 5),))


@BACKENDS
def test_no_pickle(backend):
    back = vjp(myia(smooth, backend=backend), X)[1]
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(back)
    assert_same(copy.deepcopy(back)(X), back(X))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda back, linear: back(), "one cotangent"),
        (lambda back, linear: back(X, X), "one cotangent"),
        (lambda back, linear: back(w=X), "keyword"),
        (lambda back, linear: back(X[:2]), "the cotangent"),
        (lambda back, linear: back(X.astype(np.float32)), "the cotangent"),
        (lambda back, linear: back("x"), "the cotangent"),
        (lambda back, linear: linear(X, X), "1 primals and 2 tangents"),
        (lambda back, linear: linear((X,)), "the tangent of argument 0"),
    ],
)
def test_errors(call, words):
    with pytest.raises(MyiaTypeError, match=words):
        call(vjp(smooth, X)[1], linearize(smooth, X)[1])
