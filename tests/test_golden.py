"""What the compiler makes of small programs, word for word; and third derivatives against closed forms."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from myia_lite import grad, myia, value_and_grad

CUBE = """\
graph @grad(<lambda>)(%x: f64) -> f64 {
  %1: f64 = mul(%x, %x)
  %2: f64 = mul(%1, 3.0)
  return %2
}
"""


def test_gradient_of_a_cube_is_two_multiplications():
    assert grad(lambda x: x**3).ir(2.0) == CUBE


class Line(NamedTuple):
    slope: float
    offset: float


def polynomial(x, y):
    return 3.0 * x * x * y + x - 2.0 * y


def through_structures(p, x):
    parts = {"a": p.slope * x, "b": (p.offset, [x, p])}
    offset, (_, q) = parts["b"]
    return math.sin(parts["a"] + offset) * q.slope


def through_closures(x, a):
    def scaled(k):
        return lambda z: z * k * a

    return scaled(3.0)(x) + scaled(x)(math.exp(a))


def through_arrays(w, x):
    h = np.tanh(x @ w)
    return ((h - 1.0) ** 2).mean() + h[0, 1] * h[1:].sum()


STRAIGHT_LINE = [
    (polynomial, (1.5, 2.0)),
    (through_structures, (Line(0.5, 2.0), 1.25)),
    (through_closures, (0.5, 1.5)),
    (through_arrays, (np.ones((3, 2)), np.ones((4, 3)))),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("f, args", STRAIGHT_LINE, ids=[f.__name__ for f, _ in STRAIGHT_LINE])
def test_nothing_but_arithmetic_remains_of_straight_line_code(f, args, order):
    """No call, closure, frame or tuple (but the one that returns several results)."""

    def second(*a):
        g = grad(f)(*a)
        flat = [g] if isinstance(g, (float, np.ndarray)) else list(g)
        total = 0.0
        for part in flat:
            total = total + np.sum(part * part)
        return total

    text = grad(f if order == 1 else second).ir(*args)
    made = [line.split("=", 1)[1].split()[0] for line in text.splitlines() if " = " in line]
    nodes = [m.split("(")[0].split("[")[0] for m in made]
    assert text.count("graph @") == 1
    last = text.splitlines()[-3]
    for op in ("call", "switch", "case", "loop", "make", "get", "stack_push", "tuple"):
        assert nodes.count(op) == (op == "tuple" and " = tuple(" in last), text


def branchy(x):
    """Exactly x**7 for 1 < x < 1.3: three squares and multiplications, chosen by a branch."""
    y, n = 1.0, 0
    while n < 7:
        if n % 2 == 0:
            y = y * x
            n = n + 1
        else:
            y = y * x * x
            n = n + 2
    return y


def power(x, n):
    return 1.0 if n == 0 else x * power(x, n - 1)


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize("f", [branchy, lambda x: power(x, 7)], ids=["an if inside a while", "a recursion"])
def test_third_derivative(f, backend):
    x = 1.2
    third = grad(grad(grad(myia(f, backend=backend))))
    assert third(x) == pytest.approx(7 * 6 * 5 * x**4, rel=1e-12)
    assert grad(third)(x) == pytest.approx(7 * 6 * 5 * 4 * x**3, rel=1e-12)


def test_a_long_loop_runs_forward_and_backward():
    """1e7 trips: the records of the reverse pass take the heap, not the stack."""

    def f(x, a, n):
        for _ in range(n):
            x = math.sin(x) * a + x
        return x

    value, slope = value_and_grad(f)(0.5, 1e-7, 10_000_000)
    # x' = a sin x, so that tan(x/2) = tan(0.25) exp(a n), up to O(a)
    expected = 2 * math.atan(math.tan(0.25) * math.e)
    assert value == pytest.approx(expected, rel=1e-6)
    assert slope == pytest.approx(math.sin(expected) / math.sin(0.5), rel=1e-6)


def test_a_derivative_made_in_a_loop_is_compiled_once():
    def cost(w, x):
        return (w * x - 1.0) ** 2

    w = 0.0
    for k in range(20):
        w = w - 0.1 * grad(cost)(w, 1.0 + k % 2)
    assert grad(cost) is grad(cost, 0)
    assert grad(cost).compilations == 1
    assert grad(cost, argnums="x") is not grad(cost)


def test_functions_made_in_a_loop_are_told_of():
    def gradient(x):
        return grad(lambda w: (w * x - 1.0) ** 2)(0.5)

    with pytest.warns(RuntimeWarning, match="outside the loop"):
        for k in range(20):
            assert gradient(float(k)) == pytest.approx(2 * k * (0.5 * k - 1))
