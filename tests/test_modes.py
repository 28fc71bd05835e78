"""Forward and reverse mode agree, on the table of programs and on random ones, to second order."""

import copy

import numpy as np
import pytest
from compare import leaves, rebuild
from generator import programs
from hypothesis import assume, given, note, reject, settings
from test_programs import DERIVED, differentiable_cases, loss_of, plain
from test_random_programs import GENERIC, arguments, folder, load, outcome

from myia_lite import MyiaError, grad, jvp, myia

assert folder  # a fixture


def random_tangent(value, rng):
    """A tangent of a structure of floats."""

    def one(leaf):
        if isinstance(leaf, np.ndarray):
            return rng.normal(size=leaf.shape).astype(leaf.dtype)
        return type(leaf)(rng.normal())

    return rebuild(value, iter([one(leaf) for leaf in leaves(value)]))


def inner(xs, ys):
    return sum(float(np.sum(np.asarray(x, float) * y)) for x, y in zip(leaves(xs), leaves(ys), strict=True))


def tangents_of(case, wrt, rng):
    return tuple(random_tangent(x, rng) if i in wrt else None for i, x in enumerate(case))


@pytest.mark.parametrize("program", DERIVED, ids=repr)
def test_table(program):
    """The derivative along a direction is the gradient times it; so it is of the gradient in two ways."""
    rng = np.random.default_rng(0)
    case = differentiable_cases(program)[0]
    narrow = any(np.asarray(leaf).dtype == np.float32 for leaf in leaves(case))
    near = {"rel": 1e-3, "abs": 1e-3} if narrow else {"rel": 1e-8, "abs": 1e-8}
    loss = myia(backend="interp")(loss_of(program.fn, plain(program.fn, case)))
    dots = tangents_of(case, program.wrt, rng)
    try:
        y, y_dot = jvp(loss, copy.deepcopy(case), dots)
    except MyiaError:
        with pytest.raises(MyiaError):  # the program itself is refused
            loss(*copy.deepcopy(case))
        pytest.skip("refused")
    gradient = grad(loss, argnums=program.wrt)
    bars = gradient(*copy.deepcopy(case))
    assert float(y_dot) == pytest.approx(inner(bars, [dots[i] for i in program.wrt]), **near)
    assert float(y) == float(loss(*copy.deepcopy(case)))
    if program.orders < 2:
        return
    others = tangents_of(case, program.wrt, rng)
    _, along = jvp(gradient, copy.deepcopy(case), dots)

    def directional(*args):
        return jvp(loss, args, dots)[1]

    back = grad(directional, argnums=program.wrt)(*copy.deepcopy(case))
    twice = jvp(directional, copy.deepcopy(case), others)[1]
    weights = [others[i] for i in program.wrt]
    assert inner(back, weights) == pytest.approx(inner(along, weights), **near)
    assert float(twice) == pytest.approx(inner(along, weights), **near)


@settings(max_examples=15)
@given(source=programs(), args=arguments(GENERIC))
def test_random(folder, source, args):
    """Both modes of a random program, and the second derivative in the two mixed ways."""
    note(source)
    f = myia(backend="interp")(load(source, folder))
    try:
        value = outcome(f, args)
    except MyiaError:
        reject()  # `test_random_programs` wants it compiled
    assume(not isinstance(value, type) and np.isfinite(value) and abs(value) < 1e6)
    note(f"f{args}")
    wrt, rng = (0, 1, 4), np.random.default_rng(0)
    dots = tuple(random_tangent(a, rng) if i in wrt else None for i, a in enumerate(args))
    gradient = grad(f, argnums=wrt)
    expected = inner(gradient(*args), [dots[i] for i in wrt])
    assume(np.isfinite(expected) and abs(expected) < 1e6)
    assert jvp(f, args, dots)[1] == pytest.approx(expected, rel=1e-8, abs=1e-8)
    weights = [dots[i] for i in wrt]
    along = inner(jvp(gradient, args, dots)[1], weights)
    back = inner(grad(lambda *args: jvp(f, args, dots)[1], argnums=wrt)(*args), weights)
    assume(np.isfinite(along) and abs(along) < 1e8)
    assert back == pytest.approx(along, rel=1e-8, abs=1e-8)
