"""Frames that depend on the number of the trip alone are made again, not saved."""

import math

import numpy as np
import pytest

from myia_lite import grad, myia, value_and_grad

RNG = np.random.default_rng(0)
POINTS, CENTRES = RNG.standard_normal((20, 3)), RNG.standard_normal((4, 3))


def of_distances(x, c):
    total = 0.0
    for i in range(len(x)):
        v = x[i] - c[0]
        total += np.sum(np.exp(-v * v))
    return total


def with_an_inner_loop(x, c):
    total = 0.0
    for i in range(len(x)):
        b = np.zeros(len(c))
        for j in range(len(c)):
            v = c[j] * x[i]
            b[j] = np.sum(v * v) + c[j, 0]
        total += np.log(np.sum(np.exp(b)))
    return total


def from_one(x, c):
    total = 0.0
    for i in range(1, len(x)):
        v = np.sin(x[i] - x[i - 1])
        total += np.sum(v * v) * c[1, 2]
    return total


def that_carries_state(x, c):
    total = 1.0
    for i in range(len(x)):
        total = total * np.sum(np.cos(x[i] * c[0])) * 0.5
    return total


def that_reads_it_twice(x, c):
    total, other = 0.0, 0.0
    for i in range(len(x)):
        v = np.exp(x[i])
        total += np.sum(v * v)
        other += np.sum(v) * c[0, 0]
    return total * other


def that_may_raise(x, c):
    total = 0.0
    for i in range(len(x)):
        total += math.log(x[i, 0] + 10.0) * c[0, 0]
    return total


def that_checks(x, c):
    total = 0.0
    for i in range(len(x)):
        t, fit, power = math.sqrt(x[i, 0] + 10.0) / float(c[0, 0] + x[i, 1]), 0.0, 1.0
        for _ in range(40):
            fit += c[0, 1] * power
            power *= t / 20
        total += fit * fit
    return total


def whose_checks_are_work(x, c):
    total = 0.0
    for i in range(len(x)):
        v = x[i] - c[0]
        total += math.log(np.sum(v * v))
    return total


MADE_AGAIN = [of_distances, with_an_inner_loop, from_one, that_checks]
PROGRAMS = [*MADE_AGAIN, that_carries_state, that_reads_it_twice, that_may_raise, whose_checks_are_work]


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_gradients(f):
    ours = grad(f, argnums=(0, 1))(POINTS, CENTRES)
    reference = grad(myia(f, backend="interp"), argnums=(0, 1))(POINTS, CENTRES)
    for a, b in zip(ours, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    step = 1e-6 * RNG.standard_normal(POINTS.shape)
    slope = f(POINTS + step, CENTRES) - f(POINTS - step, CENTRES)
    assert slope == pytest.approx(2 * np.sum(step * ours[0]), rel=1e-5)
    value, both = value_and_grad(f, argnums=(0, 1))(POINTS, CENTRES)
    assert value == pytest.approx(f(POINTS, CENTRES))
    for a, b in zip(ours, both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("f", MADE_AGAIN, ids=lambda f: f.__name__)
def test_second_order(f):
    def along(x, c, v):
        return np.sum(grad(f)(x, c) * v)

    v = RNG.standard_normal(POINTS.shape)
    ours = grad(along)(POINTS, CENTRES, v)
    ahead, behind = (grad(f)(POINTS + s * v, CENTRES) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(ours, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("f", MADE_AGAIN, ids=lambda f: f.__name__)
def test_no_outer_frames(f):
    text = str(grad(f, argnums=(0, 1)).ir(POINTS, CENTRES, stage="opt"))
    outer = [line for line in text.splitlines() if line.startswith("  %") and "stack_new" in line]
    assert outer and all("elem=!()" in line for line in outer)


@pytest.mark.parametrize("f", [that_checks, whose_checks_are_work], ids=lambda f: f.__name__)
def test_checks_stay_in_front(f):
    checks = f is that_checks
    x, text = POINTS.copy(), grad(f).ir(POINTS, CENTRES, stage="opt")
    assert ("stack_new[elem=!()]" in text.partition("◀")[0]) == checks
    x[3], x[5, 0] = -CENTRES[0, 0] if checks else CENTRES[0], -11.0
    first = (ZeroDivisionError, "division by zero") if checks else (ValueError, "domain")
    for backend in ("interp", "llvm"):
        for g in (f, myia(f, backend=backend), grad(myia(f, backend=backend))):
            with pytest.raises(first[0], match=first[1]):
                g(x, CENTRES)
    x[3] = 0.5
    if checks:
        for backend in ("interp", "llvm"):
            with pytest.raises(ValueError, match="domain"):
                grad(myia(f, backend=backend))(x, CENTRES)


def test_a_loop_that_may_raise_raises_as_python_does():
    x = POINTS.copy()
    x[2, 0], x[4, 0] = -20.0, -10.0
    for f in (that_may_raise, grad(that_may_raise)):
        with pytest.raises(ValueError, match="domain"):
            f(x, CENTRES)
