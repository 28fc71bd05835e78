"""Recursive functions: their values and derivatives, what their passes keep, and what happens when they fail."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest

from myia_lite import check_grads, grad, hessian, linearize, myia, value_and_grad, vjp
from myia_lite.backends.llvm import llvm_text
from myia_lite.compiler import differentiated
from myia_lite.ir import Stack, reachable
from myia_lite.opt import default, optimise

both = pytest.mark.parametrize("backend", ("interp", "llvm"))


def fib(n, x):
    if n < 2.0:
        return x * n + 1.0
    return fib(n - 1.0, x) * 0.6 + fib(n - 2.0, x) * x


def slope(n, x):
    """Its derivative needs nothing but the arguments."""
    if n < 2.0:
        return x * n + 1.0
    return slope(n - 1.0, x) * 0.6 + slope(n - 2.0, x) * 0.4


def tree(x, low, high):
    """Resistors, in parallel by pairs."""
    if high - low == 1:
        return x[low]
    middle = (low + high) // 2
    left, right = tree(x, low, middle), tree(x, middle, high)
    return left * right / (left + right)


def halves(a, b, w, tolerance):
    """An integral of sin(w t): whether to go on is known only when all has been computed."""
    m = 0.5 * (a + b)
    whole = (b - a) * math.sin(w * m)
    parts = (m - a) * math.sin(w * 0.5 * (a + m)) + (b - m) * math.sin(w * 0.5 * (m + b))
    if abs(whole - parts) <= tolerance:
        return parts
    return halves(a, m, w, 0.5 * tolerance) + halves(m, b, w, 0.5 * tolerance)


def twice(n, x):
    """A call as the argument of a call."""
    if n <= 0:
        return math.sin(x)
    return twice(n - 1, twice(n - 2, x) * x)


def even(n, x):
    return x if n == 0 else math.sin(odd(n - 1, x * 0.9) * x)


def odd(n, x):
    return x * x if n == 0 else math.exp(-even(n - 1, x)) + even(n - 1, x * 0.5)


def in_branches(n, x):
    """Calls in branches in branches, some of which save and some of which do not."""
    y = math.sin(x)
    if n > 3:
        if y > 0.5:
            y = y * in_branches(n - 1, x * 0.4)
        else:
            y = in_branches(n - 2, x) - y
        y = y * math.cos(y)
    elif n > 1:
        y = y + in_branches(n - 1, x) * in_branches(n - 1, y)
    return y * x


def children(n, x):
    """Calls in a loop."""
    total = math.sin(x)
    for k in range(n):
        total += children(k, x * 0.5) * total
    return total


def searching(n, x):
    """Calls in a loop with an early exit, on whose way one call is read and the other is not."""
    for k in range(n):
        y = searching(n - 1 - k, x * 0.5) * x
        if y > 0.8:
            return y * math.sin(y)
        x = x + math.cos(y)
    return x * x


def filling(a, k):
    """An array that the recursion hands on, and writes to."""
    if k == len(a):
        return np.sum(a * a)
    a = a.copy()
    a[k] = math.sin(a[k]) * a[k - 1]
    return filling(a, k + 1) * a[k]


def counted_down(n, x):
    """A tail call."""
    return x if n == 0 else counted_down(n - 1, math.sin(x) * x)


def two(n, x, y):
    """Active in one argument, in the other, in both."""
    if n == 0:
        return x * y
    return two(n - 1, 2.0, math.sin(y)) + two(n - 1, x * x, 3.0) * two(n - 1, y, x)


PROGRAMS = {
    "fib": (fib, (7.3, 0.5)),
    "slope": (slope, (7.3, 0.5)),
    "tree": (lambda x: tree(x, 0, 9), (1.0 + np.arange(9.0) / 10,)),
    "halves": (lambda b, w: halves(0.1, b, w, 1e-2), (2.0, 1.5)),
    "twice": (lambda x: twice(4, x), (0.7,)),
    "even and odd": (lambda x: even(6, x), (0.7,)),
    "in branches": (lambda x: in_branches(6, x), (0.7,)),
    "in a loop": (lambda x: children(4, x), (0.6,)),
    "early exit": (lambda x: searching(4, x), (0.6,)),
    "arrays": (lambda a: filling(a, 1), (np.array([0.5, 1.2, -0.7, 2.0]),)),
    "tail call": (lambda x: counted_down(5, x), (1.3,)),
    "two arguments": (lambda x, y: two(3, x, y), (0.6, 0.8)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives(name):
    """Both modes, two orders, against differences."""
    f, args = PROGRAMS[name]
    check_grads(f, args, order=2, atol=1e-5, rtol=1e-5)


@both
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name, backend):
    """On both back ends; nothing is left on the heap."""
    f, args = PROGRAMS[name]
    every = tuple(range(len(args)))
    value, gradient = myia(lambda *xs: value_and_grad(f, every)(*xs), backend=backend)(*args)
    assert value == pytest.approx(f(*args), rel=1e-12)
    for k, g in enumerate(gradient):
        x = np.asarray(args[k])
        direction = np.cos(np.arange(x.size)).reshape(x.shape)
        moved = [[*args[:k], x + s * direction if x.ndim else float(x + s), *args[k + 1 :]] for s in (1e-5, -1e-5)]
        expected = (f(*moved[0]) - f(*moved[1])) / 2e-5
        assert np.sum(g * direction) == pytest.approx(expected, rel=1e-5, abs=1e-7)


# ------------------------------------------------------------------------------------------------ what the passes keep
def program(f, *args):
    return optimise(differentiated(f._infer(*f._signature(args, {})).graph), default)


def stacks(g):
    return [p.type for h in reachable(g) for p in h.params if isinstance(p.type, Stack)]


def test_nothing_is_kept_of_what_follows_from_the_arguments():
    """The backward pass goes down the same way by itself; the forward pass is not needed."""
    g = program(grad(slope, 1), 7.0, 0.5)
    assert [h.name for h in reachable(g)] == ["grad(slope)", "◀slope"]
    assert not stacks(g)


def test_the_forward_pass_stays_where_its_value_is_asked_for():
    g = program(value_and_grad(slope, 1), 7.0, 0.5)
    assert {h.name for h in reachable(g)} > {"slope", "◀slope"}


def test_where_a_recursion_ends_nothing_is_pushed():
    """A tree's inner nodes push what they have seen; its leaves follow from the arguments."""
    g = program(grad(tree), np.ones(9), 0, 9)
    (frames,) = {t.elem for t in stacks(g)}
    (fields,) = frames.variants.values()
    assert list(map(str, fields)) == ["f64"] * 3
    (forward,) = [h for h in reachable(g) if h.name == "▶tree"]
    pushing = [h for h in forward.nested() if any(n.op.name == "stack_push" for n in h.nodes)]
    assert len(pushing) == 1 and pushing[0] is not forward


def test_functions_that_call_each_other_have_one_tape():
    g = program(grad(even, 1), 6, 0.7)
    assert len({t.elem for t in stacks(g)}) == 1


# ----------------------------------------------------------------------------------------------------------- machinery
def test_a_small_recursion_stands_in_itself():
    """Several levels of calls in one: fewer calls, and one check of the stack."""
    text = llvm_text(program(myia(fib), 7.3, 0.5))
    start = text.index("define internal fastcc double @g.fib(")
    body = text[start : text.index("\n}", start)]
    assert body.count("call fastcc double @g.fib(") > 4
    assert body.count("@llvm.stacksave") == 1


def test_records_of_recursions_leave_and_come_back():
    """vjp and linearize hand out what was saved, to be used any number of times."""
    x = 1.0 + np.arange(9.0) / 10
    y, pullback = vjp(lambda x: tree(x, 0, 9), x)
    expected = grad(lambda x: tree(x, 0, 9))(x)
    for seed in (1.0, 2.0, -3.0):
        (x_bar,) = np.atleast_2d(pullback(seed))
        assert np.allclose(x_bar, seed * expected)
    value, along = linearize(lambda x: tree(x, 0, 9), x)
    assert value == y and along(np.ones(9)) == pytest.approx(np.sum(expected))


def test_second_derivatives_of_a_tree():
    x = 1.0 + np.arange(5.0) / 10
    conductance = np.sum(1 / x)  # y = 1 / Σ 1/xₖ, so yₖₗ = 2 / (xₖ² xₗ² c³) - 2 [k = l] / (xₖ³ c²)
    expected = 2 / np.multiply.outer(x**2, x**2) / conductance**3 - np.diag(2 / x**3) / conductance**2
    assert np.allclose(hessian(lambda x: tree(x, 0, 5))(x), expected)


def fails(x, low, high):
    """An error deep down, with frames on the stack."""
    if high - low == 1:
        return math.log(x[low])
    middle = (low + high) // 2
    return fails(x, low, middle) * fails(x, middle, high)


def resident() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux for memory")
def test_nothing_leaks():
    """Frame stacks of some 12 MB, given back after calls that end well and calls that do not."""
    x = 1.0 + np.arange(2.0**19) / 2**19
    bad = x.copy()
    bad[-1] = -1.0
    g = grad(fails)

    def calls(count):
        for _ in range(count):
            assert np.isfinite(g(x, 0, len(x))).all()
            with pytest.raises(ValueError):
                g(bad, 0, len(x))

    calls(3)
    before = resident()
    calls(10)
    assert resident() - before < 40 << 20  # a leak would be 240 MB


def test_a_recursion_without_end_is_not_optimised_away():
    """The value of what diverges is not needed for its derivative, which diverges, too."""

    def f(x, n):
        return x * 0.5 + f(x, n + 1)

    for function in (myia(f), grad(f)):
        with pytest.raises(RecursionError):
            function(1.0, 0)

    def inactive(n):
        return inactive(n + 1) + 1 if n >= 0 else n

    def g(x, n):
        return x * n if n > 0 else g(x, inactive(n)) * 0.5

    with pytest.raises(RecursionError):
        grad(g)(1.0, 0)


def test_in_many_threads():
    """A compiled program holds no state: each call has a frame stack of its own."""
    x = 1.0 + np.arange(3000.0) / 3000
    g, out = grad(tree), {}
    expected = g(x, 0, 3000)

    def work(k):
        out[k] = [g(x * (k + 1), 0, 3000) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.allclose(a, expected) for k in range(4) for a in out[k])


# ------------------------------------------------------------------------------------------- numbers that are known
@pytest.mark.parametrize("leaves", (64, 4096))
def test_a_tree_of_known_depth_compiles_in_bounded_time(leaves):
    """Its bounds are known at each call, but not every node has a graph of its own."""

    def f(x):
        return tree(x, 0, len(x))

    x = 1.0 + np.arange(leaves) / leaves
    compiled = myia(f)
    graphs = reachable(compiled._infer(*compiled._signature((x,), {})).graph)
    assert sum(g.name == "tree" for g in graphs) <= 24
    assert compiled(x) == pytest.approx(1 / np.sum(1 / x))
    assert np.allclose(grad(f)(x), f(x) ** 2 / x**2)


def test_recursion_over_the_parts_of_a_tuple_knows_its_numbers():
    """An index of a tuple of different things has to be known, however many calls there are."""

    def run(layers, k, x):
        if k == len(layers):
            return x
        layer = layers[k]
        return run(layers, k + 1, np.tanh(layer[0] * x) + (layer[1] if len(layer) > 1 else 0.0))

    def total(items, low, high):
        if high - low == 1:
            return np.sum(items[low])
        middle = (low + high) // 2
        return total(items, low, middle) + 2.0 * total(items, middle, high)

    layers = tuple((0.5,) if k % 2 else (0.5, 0.1 * k) for k in range(30))
    items = tuple(np.ones(k % 5 + 1) * k for k in range(40))
    for f, args in ((lambda layers, x: run(layers, 0, x), (layers, 0.3)), (lambda x: total(x, 0, 40), (items,))):
        assert myia(f)(*args) == pytest.approx(f(*args))


def test_shapes_that_depend_on_known_numbers():
    """Arrays made in a recursion have known shapes as long as their sizes are."""

    def steps(n):
        return np.ones(1) if n == 0 else np.concatenate((steps(n - 1) * 0.5, np.ones(1)))

    assert np.allclose(myia(lambda: steps(8))(), steps(8))
