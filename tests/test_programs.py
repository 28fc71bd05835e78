"""The table of `programs.py` under CPython, the interpreter and the LLVM backend: values, exceptions, derivatives."""

import copy

import numeric
import numpy as np
import pytest
from compare import assert_same, leaves
from programs import PROGRAMS

from myia_lite import MyiaError, grad, myia

BACKENDS = ("interp", "llvm")
ALL = list(PROGRAMS.values())
DERIVED = [p for p in ALL if p.wrt]
TWICE = [
    p for p in DERIVED if p.orders > 1 and len(p.wrt) == 1 and any(type(case[p.wrt[0]]) is float for case in p.cases)
]


def plain(fn, case):
    """What CPython gives, on copies of the arguments."""
    with np.errstate(all="ignore"):
        return fn(*copy.deepcopy(case))


def over_64_bits(value):
    """Whether a result holds an integer that does not fit 64 bits."""
    return any(type(leaf) is int and not -(2**63) <= leaf < 2**63 for leaf in leaves(value))


@pytest.mark.parametrize("program", ALL, ids=repr)
def test_table_under_cpython(program):
    """The table is true of CPython, and no program writes to its arguments."""
    for case in program.cases:
        before = copy.deepcopy(case)
        assert not over_64_bits(plain(program.fn, case))
        with np.errstate(all="ignore"):
            program.fn(*case)
        assert_same(case, before, "arguments", rtol=0, atol=0)
    for kind, cases in program.raises.items():
        for case in cases:
            try:
                result = plain(program.fn, case)
            except Exception as error:
                assert type(error) is kind, f"{program}{case} raises {error!r}"
            else:
                assert kind is OverflowError and over_64_bits(result), f"{program}{case} returns {result!r}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", ALL, ids=repr)
def test_value(program, backend):
    """The compiled program returns what CPython returns, and raises what it raises."""
    compiled = myia(backend=backend)(program.fn)
    for case in program.cases:
        expected = plain(program.fn, case)
        given = copy.deepcopy(case)
        try:
            actual = compiled(*given)
        except MyiaError:
            if program.refusable:
                continue
            raise
        assert_same(actual, expected, f"{program}{case}", atol=program.atol)
        assert_same(given, case, f"arguments of {program}", rtol=0, atol=0)
    for kind, cases in program.raises.items():
        for case in cases:
            with pytest.raises(kind) as raised:
                compiled(*copy.deepcopy(case))
            if program.exact:
                with pytest.raises(kind) as expected:
                    program.fn(*case)
                assert type(raised.value) is type(expected.value)
                assert raised.value.args == expected.value.args


def loss_of(fn, result):
    """A function with a float result: fn itself, or a weighted sum of the elements of its array."""
    if isinstance(result, np.ndarray):
        weights = np.cos(np.arange(result.size)).reshape(result.shape).astype(result.dtype)

        def loss(*args):
            return np.sum(fn(*args) * weights)

        return loss
    assert isinstance(result, float | np.floating), f"{fn.__name__} returns no float and no array: {result!r}"
    return fn


def differentiable_cases(program):
    """The cases whose arguments to differentiate by are floats throughout."""
    return [case for case in program.cases if all(numeric.all_float(case[i]) for i in program.wrt)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", DERIVED, ids=repr)
def test_gradient(program, backend):
    """The gradient agrees with central differences of the undecorated function, in the structure of the argument."""
    cases = differentiable_cases(program)
    assert cases
    for case in cases:
        loss = loss_of(program.fn, plain(program.fn, case))
        derived = grad(myia(backend=backend)(loss), argnums=program.wrt)
        wide = numeric.wide(case)
        for i, actual in zip(program.wrt, derived(*copy.deepcopy(case)), strict=True):
            with np.errstate(all="ignore"):
                expected = numeric.gradient(loss, wide, i)
            narrow = any(np.asarray(leaf).dtype == np.float32 for leaf in leaves(case))
            where = f"gradient of {program}{case} by argument {i}"
            for a, x in zip(leaves(actual), leaves(case[i]), strict=True):
                assert np.asarray(a).dtype == np.asarray(x).dtype, where
            tolerance = 2e-3 if narrow else 1e-6
            assert_same(numeric.wide(actual), expected, where, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", TWICE, ids=repr)
def test_second_derivative(program, backend):
    """grad(grad(f)) of a function of one float agrees with second differences of the undecorated function."""
    (i,) = program.wrt
    for case in program.cases:
        if type(case[i]) is not float:
            continue
        loss = loss_of(program.fn, plain(program.fn, case))

        def along(t, case=case, loss=loss):
            return float(loss(*case[:i], t, *case[i + 1 :]))

        actual = grad(grad(myia(backend=backend)(loss), argnums=i), argnums=i)(*copy.deepcopy(case))
        expected = numeric.second_derivative(along, case[i])
        where = f"second derivative of {program}{case}"
        assert_same(float(actual), float(expected), where, rtol=2e-5, atol=2e-5)
