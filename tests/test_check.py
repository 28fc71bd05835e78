"""`check_grads`: silent where derivatives are right, and precise where they are not."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from myia_lite import MyiaValueError, check_grads, custom_derivative

X = np.array([0.5, 1.5, 2.5])


class Point(NamedTuple):
    x: float
    v: np.ndarray


def test_right_derivatives():
    check_grads(lambda x, y: math.sin(x) * y * y, (0.5, 2.0), order=3)
    check_grads(lambda p, n: {"a": p.x * p.v**n, "n": n}, (Point(1.5, X), 3))
    check_grads(lambda x: np.tanh(x) * x.sum(), (X.astype(np.float32),), order=1)

    def looped(x, n):
        for _ in range(n):
            x = x * np.sin(x) + 1.0
        return x

    check_grads(looped, (X, 3))
    check_grads(looped, (X, 0), modes=["rev"])


@custom_derivative
def wrong(x):
    return x * x


wrong.defjvp(lambda primals, tangents: (primals[0] * primals[0], 3.0 * primals[0] * tangents[0]))


@custom_derivative
def wrong_back(x):
    return x * x


wrong_back.defjvp(lambda primals, tangents: (primals[0] * primals[0], 2.0 * primals[0] * tangents[0]))
wrong_back.defvjp(lambda x: (x * x, x), lambda x, y_bar: (3.0 * x * y_bar,))


def uses_wrong(p, k):
    y = p["a"][1:] * k
    z = wrong(y)  # here
    return {"first": p["b"] * 2.0, "second": z * p["b"]}


def test_what_is_said_of_a_wrong_one():
    with pytest.raises(AssertionError) as caught:
        check_grads(uses_wrong, ({"b": 2.0, "a": X}, 3.0))
    said = str(caught.value)
    assert "forward mode of uses_wrong is off" in said
    assert "derivative of result['second'] by args[0]['a'][2]" in said
    assert "z = wrong(y)  # here" in said and "^^^^^^^^" in said
    with pytest.raises(AssertionError, match="reverse mode of wrong_back is off"):
        check_grads(wrong_back, (2.0,))
    check_grads(wrong_back, (2.0,), modes=["fwd"])


def test_a_kink_is_found():
    def kinked(x):
        y = x * 2.0
        return math.sqrt(abs(y - 1.0) + 1.0)

    with pytest.raises(AssertionError) as caught:
        check_grads(lambda x: kinked(x) + np.abs(x - 0.5), (0.5 - 1e-5,), order=1)
    assert "abs" in str(caught.value)


def test_the_second_order():
    """A rule that is right to first order, and whose own derivative is not."""

    @custom_derivative
    def inner(x):
        return 2.0 * x

    inner.defjvp(lambda primals, tangents: (2.0 * primals[0], 0.0 * tangents[0]))

    @custom_derivative
    def f(x):
        return x * x

    f.defjvp(lambda primals, tangents: (primals[0] * primals[0], inner(primals[0]) * tangents[0]))
    check_grads(f, (1.5,), order=1)
    with pytest.raises(AssertionError, match="mode of the forward derivative of f is off"):
        check_grads(f, (1.5,), order=2)


def test_arguments():
    with pytest.raises(MyiaValueError, match="no mode 'back'"):
        check_grads(math.sin, (1.0,), modes=["back"])
    with pytest.raises(MyiaValueError, match="the order is 0"):
        check_grads(math.sin, (1.0,), order=0)
