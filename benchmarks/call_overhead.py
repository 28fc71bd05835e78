"""What a call from Python costs when there is next to nothing to compute."""

import itertools
from dataclasses import dataclass

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_equal, medians, peer

CALLS = 20_000


def scalar(x):
    """Two operations."""
    return x * x + 1.0


def small_array(a):
    """Four elements."""
    return a * 2.0 + 1.0


@dataclass(frozen=True)
class Layer:
    """Two arrays."""

    weight: np.ndarray
    bias: np.ndarray


def structured(parameters, scale):
    """From a tuple of dataclasses to another."""
    first, (second, third) = parameters
    return Layer(first.weight * scale, first.bias - second.bias), third.weight * second.weight


def repeated(f, *arguments):
    """A contender that calls f many times; the loop itself costs some 10 ns a trip."""

    def call():
        for _ in itertools.repeat(None, CALLS):
            f(*arguments)

    return call


@benchmark
def run():
    """A float to a float, its gradient, a small array to a new one or into one, and structures."""
    a = np.arange(4.0)
    compiled, derived, on_array = myia(scalar), grad(myia(scalar)), myia(small_array)
    check_equal(compiled(3.0), 10.0)
    check_equal(derived(3.0), 6.0)
    check_equal(on_array(a), small_array(a))
    calls = [seconds / CALLS for seconds in medians(*(repeated(f, 3.0) for f in (compiled, scalar, derived)))]
    yield Row("call: float to float", calls[0], target=50e-9)
    yield Row("call: float to float", calls[0], "plain Python", calls[1])
    theirs = None
    if (numba := peer("numba")) is not None:
        other = numba.njit(scalar)
        check_equal(compiled(3.0), other(3.0))
        calls[0], theirs = (s / CALLS for s in medians(repeated(compiled, 3.0), repeated(other, 3.0)))
    yield Row("call: float to float", calls[0], "numba", theirs)
    yield Row("call: gradient of float to float", calls[2], target=50e-9)
    ours, theirs = (seconds / CALLS for seconds in medians(repeated(on_array, a), repeated(small_array, a)))
    yield Row("call: four floats to a new array", ours, target=150e-9)
    yield Row("call: four floats to a new array", ours, "NumPy", theirs)
    into, layer, taking = np.empty(4), Layer(a, a + 1.0), myia(structured)
    check_equal(on_array(a, out=into), small_array(a))
    arguments = (layer, (layer, layer)), 2.0
    check_equal(taking(*arguments)[0].bias, structured(*arguments)[0].bias)

    def call_into():
        for _ in itertools.repeat(None, CALLS):
            on_array(a, out=into)

    calls = [s / CALLS for s in medians(call_into, repeated(taking, *arguments), repeated(structured, *arguments))]
    yield Row("call: four floats into an array", calls[0], target=150e-9)
    yield Row("call: nested structures of arrays", calls[1], target=1e-6)
    yield Row("call: nested structures of arrays", calls[1], "plain Python", calls[2])
