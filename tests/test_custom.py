"""Derivatives that the program gives: in both modes, to higher orders, and what is refused."""

import math

import numpy as np
import pytest
from compare import assert_same

from myia_lite import MyiaTypeError, custom_derivative, grad, hessian, hvp, jacrev, jvp, myia, vjp

X = np.array([0.5, 1.5, 2.5])
WEIGHTS = np.array([1.0, 2.0, 3.0])


def by_jvp():
    """log(1 + exp x) by a rule for forward mode, which uses the function itself."""

    @custom_derivative
    def f(x):
        return math.log(1.0 + math.exp(x))

    @f.defjvp
    def rule(primals, tangents):
        (x,), (x_dot,) = primals, tangents
        return f(x), x_dot / (1.0 + math.exp(-x))

    return f


def by_vjp():
    """The same by a rule for reverse mode."""

    @custom_derivative
    def f(x):
        return math.log(1.0 + math.exp(x))

    def fwd(x):
        return f(x), x

    def bwd(x, y_bar):
        return (y_bar / (1.0 + math.exp(-x)),)

    f.defvjp(fwd, bwd)
    return f


@pytest.mark.parametrize("make", [by_jvp, by_vjp])
def test_orders_and_modes(make):
    f = make()
    s = 1 / (1 + math.exp(-0.5))
    second, third = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    assert f(0.5) == myia(f)(0.5) == math.log(1 + math.exp(0.5))
    assert grad(f)(0.5) == pytest.approx(s)
    assert jvp(f, (0.5,), (2.0,))[1] == pytest.approx(2 * s)
    assert grad(grad(f))(0.5) == pytest.approx(second)
    assert hvp(f, (0.5,), (1.0,)) == pytest.approx(second)
    assert grad(lambda x: jvp(f, (x,), (1.0,))[1])(0.5) == pytest.approx(second)
    assert jvp(lambda x: jvp(f, (x,), (1.0,))[1], (0.5,), (1.0,))[1] == pytest.approx(second)
    assert grad(grad(grad(f)))(0.5) == pytest.approx(third)
    assert grad(lambda x: f(x * x) * x)(0.5) == pytest.approx(f(0.25) + 2 * 0.25 / (1 + math.exp(-0.25)))


def test_the_rule_is_what_counts():
    """A straight-through estimator: the derivative of the rule, not of the code."""

    @custom_derivative
    def rounded(x):
        return np.round(x)

    rounded.defjvp(lambda primals, tangents: (np.round(primals[0]), tangents[0]))
    assert_same(grad(lambda x: (rounded(x) * X).sum())(X), X)
    assert_same(jvp(rounded, (X,), (X,))[1], X)


def structured():
    @custom_derivative
    def f(p, n, scale=2.0):
        return {"y": (p["x"] * WEIGHTS) ** n * scale, "n": n}

    def fwd(p, n, scale):
        return f(p, n, scale), (p["x"], n, scale)

    def bwd(saved, y_bar):
        x, n, scale = saved
        inner = y_bar["y"]
        x_bar = inner * n * (x * WEIGHTS) ** (n - 1) * WEIGHTS * scale
        return {"x": x_bar, "m": None}, None, (inner * (x * WEIGHTS) ** n).sum()

    f.defvjp(fwd, bwd)
    return f, f.function


def test_structures_and_captured_arrays():
    ours, plain = structured()
    args = ({"x": X, "m": 7}, 3, 1.5)
    bar = {"y": X, "n": None}
    assert_same(vjp(ours, *args)[1](bar), vjp(plain, *args)[1](bar))
    dots = ({"x": X, "m": None}, None, 0.5)
    assert_same(jvp(ours, args, dots), jvp(plain, args, dots))

    def loss(f):
        def g(x):
            total = 0.0
            for k in range(3):  # the residuals of each trip are kept
                total += f({"x": x * x[0], "m": k}, 2)["y"].sum()
            return total

        return g

    assert_same(grad(loss(ours))(X), grad(loss(plain))(X))
    assert_same(hessian(loss(ours))(X), hessian(loss(plain))(X))
    assert_same(jacrev(grad(loss(ours)))(X), hessian(loss(plain))(X))


def test_sizes_known_at_run_time():
    @custom_derivative
    def double(x):
        return x * 2.0

    double.defvjp(lambda x: (x * 2.0, None), lambda _, y_bar: (y_bar * 2.0,))

    @custom_derivative
    def wrong(x):
        return x * 2.0

    wrong.defvjp(lambda x: (x * 2.0, None), lambda _, y_bar: (y_bar[1:],))

    @custom_derivative
    def none(x):
        return x * 2.0

    none.defvjp(lambda x: (x * 2.0, None), lambda _, y_bar: (None,))

    def loss(f):
        return lambda x, n: (f(x[n:]) * x[n:]).sum()

    assert_same(grad(loss(double))(X, 1), np.array([0.0, 6.0, 10.0]))
    assert_same(grad(loss(none))(X, 1), np.array([0.0, 3.0, 5.0]))
    with pytest.raises(ValueError, match="another shape"):
        grad(loss(wrong))(X, 1)


def test_a_linear_rule_may_loop_and_branch():
    @custom_derivative
    def power(x, n):
        y = 1.0
        for _ in range(n):
            y *= x
        return y

    @power.defjvp
    def rule(primals, tangents):
        x, n = primals
        x_dot, _ = tangents
        if n == 0:
            return 1.0, 0.0
        y_dot = 0.0
        for _ in range(n):
            y_dot = y_dot + x_dot * power(x, n - 1)
        return power(x, n), y_dot

    assert grad(power)(2.0, 3) == 12.0
    assert grad(power)(2.0, 0) == 0.0
    assert jvp(power, (2.0, 3), (1.0, None)) == (8.0, 12.0)
    assert grad(grad(power))(2.0, 3) == 12.0


def test_both_rules():
    """Each mode by its own rule, however they differ."""

    @custom_derivative
    def f(x):
        return x

    f.defjvp(lambda primals, tangents: (primals[0], 3.0 * tangents[0]))
    f.defvjp(lambda x: (x, None), lambda _, y_bar: (5.0 * y_bar,))
    assert jvp(f, (1.0,), (1.0,))[1] == 3.0 and grad(f)(1.0) == 5.0


def test_a_new_rule_is_seen():
    f = by_jvp()
    assert grad(f)(0.0) == 0.5
    f.defjvp(lambda primals, tangents: (primals[0], 7.0 * tangents[0]))
    assert grad(f)(0.0) == 7.0


def case(rule=None, fwd=None, bwd=None, of=lambda x: x * x):
    f = custom_derivative(of)
    if rule is not None:
        f.defjvp(rule)
    if bwd is not None:
        f.defvjp(fwd, bwd)
    return f


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: grad(case(lambda p, t: (p[0], t[0] * t[0])))(2.0), "reverse mode of <lambda> cannot be derived"),
        (lambda: grad(case(lambda p, t: (p[0], t[0] + 1.0)))(2.0), "not linear"),
        (lambda: grad(case(lambda p, t: (p[0], abs(t[0]))))(2.0), "not linear"),
        (
            lambda: jvp(case(None, lambda x: (x, x), lambda x, b: (b if b > 0 else 0.0,)), (2.0,), (1.0,)),
            "forward mode of <lambda> cannot be derived",
        ),
        (lambda: grad(case())(2.0), "has no rule"),
        (lambda: grad(case(lambda p, t: p[0]))(2.0), "must return (value, tangent)"),
        (lambda: grad(case(lambda p, t: ((p[0], 1.0), t[0])))(2.0), "the value that the rule returns"),
        (lambda: grad(case(lambda p, t: (p[0], X)))(2.0), "the tangent that the rule returns"),
        (lambda: grad(case(None, lambda x: (x, x), lambda x, b: b))(2.0), "a tuple with a cotangent for each"),
        (lambda: grad(case(None, lambda x: x, lambda x, b: (b,)))(2.0), "(value, residuals)"),
        (lambda: custom_derivative(3), "no function"),
    ],
)
def test_errors(call, words):
    with pytest.raises(MyiaTypeError) as caught:
        call()
    assert words in str(caught.value)
