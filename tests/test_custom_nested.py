"""Functions with rules that the program makes itself, and derivatives in what such functions capture."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from compare import assert_same

from myia_lite import (
    MyiaAttributeError,
    MyiaTypeError,
    checkpoint,
    custom_derivative,
    foreign,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    myia,
    stop_gradient,
    vjp,
)

X = np.array([0.5, 1.5, 2.5])


def every_order(f, x):
    """Derivatives of a function of one float, in mixtures of the modes, to the third order."""
    return (
        f(x),
        grad(f)(x),
        jvp(f, (x,), (2.0,)),
        grad(grad(f))(x),
        hvp(f, (x,), (1.0,)),
        grad(lambda y: jvp(f, (y,), (1.0,))[1])(x),
        jvp(lambda y: jvp(f, (y,), (1.0,))[1], (x,), (1.0,))[1],
        grad(grad(grad(f)))(x),
    )


# ---- the same program with and without rules -----------------------------------------------------------------------
def captured(x):
    """f and its rules capture numbers, arrays and functions of the function around."""
    weights, power = np.array([1.0, 2.0, 3.0]), 3

    def scale(u):
        return u * weights[1]

    @custom_derivative
    def f(u):
        return scale(u) ** power + weights.sum()

    @f.defjvp
    def rule(primals, tangents):
        (u,), (u_dot,) = primals, tangents
        return f(u), u_dot * power * scale(u) ** (power - 1) * weights[1]

    return f(x) * f(x * x)


def captured_plain(x):
    def f(u):
        return (u * 2.0) ** 3 + 6.0

    return f(x) * f(x * x)


def in_a_loop(x):
    """Made anew on each trip, with residuals that the rule captures."""
    total = 0.0
    for k in range(1, 4):

        @custom_derivative
        def f(u, v):
            return u * k + v * v  # noqa: B023

        def fwd(u, v):
            return f(u, v), (u, v)

        def bwd(saved, y_bar):
            return y_bar * k, y_bar * 2.0 * saved[1]  # noqa: B023

        f.defvjp(fwd, bwd)
        total += f(x, x * x) * f(v=1.0, u=x)
    return total


def in_a_loop_plain(x):
    total = 0.0
    for k in range(1, 4):
        total += (x * k + x**4) * (x * k + 1.0)
    return total


def mutual(x):
    """Two functions whose rules call each other, handed to a recursive function."""

    @custom_derivative
    def s(u):
        return math.sin(u)

    @custom_derivative
    def c(u):
        return math.cos(u)

    s.defjvp(lambda primals, tangents: (s(primals[0]), c(primals[0]) * tangents[0]))
    c.defjvp(lambda primals, tangents: (c(primals[0]), -s(primals[0]) * tangents[0]))

    def apply(h, u, n):
        return h(u) if n == 0 else apply(h, h(u), n - 1)

    return s(x) * 2.0 + apply(c, x, 3) + apply(lambda u: s(u) * x, x, 2)


def mutual_plain(x):
    def apply(h, u, n):
        return h(u) if n == 0 else apply(h, h(u), n - 1)

    return math.sin(x) * 2.0 + apply(math.cos, x, 3) + apply(lambda u: math.sin(u) * x, x, 2)


def of_other_functions(x):
    """custom_derivative of a function from outside; derivatives, partials and checkpoints of the result."""
    f = custom_derivative(math.exp)
    f.defjvp(lambda primals, tangents: (f(primals[0]), f(primals[0]) * tangents[0]))
    g = functools.partial(f, x)
    return g() * grad(f)(x) + checkpoint(f)(x) * jacfwd(f)(x) + vjp(f, x)[1](2.0)[0]


def of_other_functions_plain(x):
    return math.exp(x) * math.exp(x) + math.exp(x) * math.exp(x) + 2.0 * math.exp(x)


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (captured, captured_plain),
        (in_a_loop, in_a_loop_plain),
        (mutual, mutual_plain),
        (of_other_functions, of_other_functions_plain),
    ],
)
def test_all_modes_and_orders(ours, plain, backend):
    assert_same(float(ours(0.7)), plain(0.7))
    assert_same(myia(lambda x: every_order(lambda y: 1.0 * ours(y), x), backend=backend)(0.7), every_order(plain, 0.7))


def test_the_rule_is_what_counts():
    def clipped(x, bound):
        @custom_derivative
        def same(u):
            return u

        same.defvjp(lambda u: (u, None), lambda _, y_bar: (min(max(y_bar, -bound), bound),))
        return same(x) * 10.0

    assert grad(clipped)(3.0, 2.0) == 2.0
    assert grad(clipped)(3.0, 20.0) == 10.0
    with pytest.raises(MyiaTypeError, match="not linear"):
        jvp(lambda x: clipped(x, 2.0), (3.0,), (1.0,))


def test_structures_methods_and_defaults():
    @dataclass(frozen=True)
    class Line:
        slope: float
        name: str

        @custom_derivative
        def at(self, x, power=2):
            return {"y": self.slope * x**power, "power": power}

    @Line.at.defjvp
    def rule(primals, tangents):
        (line, x, power), (line_dot, x_dot, power_dot) = primals, tangents
        assert line_dot.name is None and power_dot is None
        y_dot = line_dot.slope * x**power + line.slope * power * x ** (power - 1) * x_dot
        return line.at(x, power), {"y": y_dot, "power": None}

    line = Line(2.0, "a")
    assert line.at(3.0) == {"y": 18.0, "power": 2}
    for method in (lambda m, x: m.at(x)["y"], lambda m, x: m.at(power=2, x=x)["y"]):
        assert grad(method, argnums=(0, 1))(line, 3.0) == (Line(9.0, None), 12.0)
        assert jvp(method, (line, 3.0), (Line(1.0, None), 0.5)) == (18.0, 15.0)
    assert grad(lambda x: (line.at(x)["y"], x), has_aux=True)(3.0) == (12.0, 3.0)
    assert jacobian(lambda x: functools.partial(line.at, power=3)(x))(2.0) == {"y": 24.0, "power": None}


def test_with_foreign_functions():
    """A nested rule around a foreign function that has none."""
    digits = foreign(lambda x: float(f"{x:.3f}"), args=float, result=float)

    def f(x, n):
        @custom_derivative
        def rounded(u):
            return digits(u)

        rounded.defjvp(lambda primals, tangents: (rounded(primals[0]), tangents[0]))
        for _ in range(n):
            x = rounded(x * x)
        return x

    assert f(1.23456, 2) == myia(f)(1.23456, 2)
    assert grad(f)(1.23456, 2) == 2 * 1.23456 * 2 * 1.524
    assert jvp(lambda x: f(x, 2), (1.23456,), (1.0,)) == (f(1.23456, 2), grad(f)(1.23456, 2))


# ---- captured values that vary -------------------------------------------------------------------------------------
def by_jvp(x, a):
    @custom_derivative
    def g(u):
        return u * a * a

    g.defjvp(lambda primals, tangents: (g(primals[0]), tangents[0] * a * a))
    return g(x)


def by_vjp(x, a):
    @custom_derivative
    def g(u):
        return u * a * a

    g.defvjp(lambda u: (g(u), None), lambda _, y_bar: (y_bar * a * a,))
    return g(x)


@pytest.mark.parametrize("f", [by_jvp, by_vjp])
def test_what_is_captured_and_varies_is_refused(f):
    """In both modes, whatever it varies with; never a zero."""
    assert grad(f)(2.0, 3.0) == 9.0 and jvp(lambda x: f(x, 3.0), (2.0,), (1.0,)) == (18.0, 9.0)
    for derivative in (
        lambda: grad(f, argnums=1)(2.0, 3.0),
        lambda: grad(f, argnums=(0, 1))(2.0, 3.0),
        lambda: jvp(f, (2.0, 3.0), (0.0, 1.0)),
        lambda: grad(lambda x: f(x, x))(2.0),
        lambda: jacfwd(lambda a: f(2.0, a * a))(3.0),
        lambda: jacrev(lambda a: f(2.0, a[0]))(X),
        lambda: hessian(lambda a: f(2.0, a[0]))(X),
    ):
        with pytest.raises(MyiaTypeError) as caught:
            derivative()
        assert "g has a rule of its own, and a, which it captures, is differentiated too" in str(caught.value)
        assert "pass a as an argument, or capture stop_gradient(a)" in str(caught.value)
        assert "return g(x)" in str(caught.value)
    assert grad(lambda x, a: f(x, stop_gradient(a)) * a, argnums=(0, 1))(2.0, 3.0) == (27.0, 18.0)


@pytest.mark.parametrize("f", [by_jvp, by_vjp])
def test_rules_are_differentiated_in_what_they_capture(f):
    """d/da of df/dx, which is the rule's: f's own derivative in a is not asked for."""
    assert grad(lambda a: grad(f)(2.0, a))(3.0) == 6.0
    assert jvp(lambda a: grad(f)(2.0, a), (3.0,), (1.0,)) == (9.0, 6.0)
    assert grad(lambda a: jvp(lambda x: f(x, a), (2.0,), (1.0,))[1])(3.0) == 6.0


def test_what_only_a_rule_captures():
    def f(x, a):
        @custom_derivative
        def g(u):
            return u * u

        g.defjvp(lambda primals, tangents: (g(primals[0]), tangents[0] * primals[0] * a))
        return g(x)

    assert grad(f, argnums=(0, 1))(2.0, 5.0) == (10.0, 0.0)  # g does not depend on a
    assert grad(lambda a: grad(f)(2.0, a))(5.0) == 2.0  # and its derivative does


def test_functions_among_the_arguments():
    @custom_derivative
    def apply(function, x):
        return function(x)

    apply.defjvp(lambda primals, tangents: (primals[0](primals[1]), 5.0 * tangents[1]))
    assert grad(lambda x: apply(math.sin, x))(2.0) == 5.0
    assert grad(lambda x, a: apply(lambda u: u * a, x))(2.0, 3.0) == 5.0
    for derivative in (
        lambda: grad(lambda x, a: apply(lambda u: u * a, x), argnums=1)(2.0, 3.0),
        lambda: jvp(lambda x: apply(lambda u: u * x, x), (2.0,), (1.0,)),
    ):
        with pytest.raises(MyiaTypeError, match="a function among its arguments captures what is differentiated"):
            derivative()

    @custom_derivative
    def maker(x):
        return lambda u: u * x

    maker.defjvp(lambda primals, tangents: (maker(primals[0]), None))
    with pytest.raises(MyiaTypeError, match="returns a function that captures floats"):
        grad(lambda x: maker(x)(2.0))(3.0)


# ---- what is refused -------------------------------------------------------------------------------------------------
def in_a_branch(x):
    @custom_derivative
    def f(u):
        return u

    if x > 0:
        f.defjvp(lambda p, t: (p[0], t[0]))
    return f(x)


def too_late(x):
    @custom_derivative
    def f(u):
        return u

    y = f(x)
    f.defjvp(lambda p, t: (p[0], t[0]))
    return y


def twice(x):
    f = custom_derivative(math.sin)
    f.defjvp(lambda p, t: (p[0], t[0]))
    f.defjvp(lambda p, t: (p[0], 2.0 * t[0]))
    return f(x)


def two_for_one(x):
    f = custom_derivative(math.sin)
    f.defjvp(lambda p, t: (p[0], t[0]), lambda p, t: (p[0], t[0]))
    return f(x)


def no_such_method(x):
    return custom_derivative(math.sin).defgrad(x)


def no_function(x):
    return custom_derivative(x)(x)


outer = custom_derivative(lambda x: x)
outer.__name__ = "outer"


def from_outside(x):
    outer.defjvp(lambda p, t: (p[0], t[0]))
    return outer(x)


def keyword_only(x):
    @custom_derivative
    def f(u, *, k=1):
        return u * k

    f.defjvp(lambda p, t: (p[0], t[0]))
    return f(x, k=2)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (in_a_branch, "gets a rule in another block"),
        (too_late, "has no rule"),
        (twice, "has this rule already"),
        (two_for_one, "defjvp() takes 1 rules"),
        (no_such_method, "no attribute 'defgrad'"),
        (no_function, "is no function"),
        (from_outside, "outer.defjvp in compiled code"),
        (keyword_only, "takes its arguments by position"),
    ],
)
def test_refused(f, words):
    with pytest.raises((MyiaTypeError, MyiaAttributeError)) as caught:
        grad(f)(2.0)
    assert words in str(caught.value)
    assert "Instead: " in str(caught.value) and "test_custom_nested.py" in str(caught.value)
