"""Random programs of the subset: the same values and exceptions as under CPython, and gradients like differences."""

import copy
import hashlib
import linecache
import warnings

import numeric
import numpy as np
import pytest
from compare import assert_same
from generator import LENGTH, programs
from hypothesis import assume, given, note, reject
from hypothesis import strategies as st

from myia_lite import MyiaError, grad, myia

BACKENDS = ("interp", "llvm")

# Multiples of a quarter meet in comparisons; the others hardly ever do, and leave room for a difference quotient.
QUARTERS = st.integers(-12, 12).map(lambda k: k / 4)
GENERIC = st.integers(-2500, 2500).map(lambda k: k / 1000 + 0.000317)


def arguments(floats):
    """Strategy for the arguments (x, y, n, p, a)."""
    array = st.lists(floats, min_size=LENGTH, max_size=LENGTH).map(np.array)
    return st.tuples(floats, floats, st.integers(0, 3), st.booleans(), array)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the sources go: a compiler reads the source of a function from its file."""
    return tmp_path_factory.mktemp("programs")


def load(source, folder):
    """The function f of a source text, from a file of its own."""
    path = folder / f"p{hashlib.sha1(source.encode()).hexdigest()[:16]}.py"
    path.write_text(source)
    linecache.checkcache(str(path))
    names = {"__name__": path.stem}
    exec(compile(source, str(path), "exec"), names)
    return names["f"]


def outcome(f, args):
    """The value of f(*args), or the type of the exception."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return f(*copy.deepcopy(args))
        except MyiaError:
            raise
        except Exception as error:
            return type(error)


def assert_same_outcome(actual, expected):
    """Equal exception types, or results that are the same."""
    if isinstance(expected, type):
        assert actual is expected, f"{actual!r}, expected {expected.__name__}"
    else:
        assert not isinstance(actual, type), f"raises {actual.__name__}, expected {expected!r}"
        assert_same(actual, expected, rtol=1e-8, atol=1e-10)


def is_fragile(f, args, expected):
    """Whether inputs that differ by rounding change what CPython itself gives: then rounding may as well."""
    x, y, n, p, a = args
    for e in (1e-13, -1e-13):
        near = outcome(f, (x * (1 + e), y * (1 - e), n, p, a * (1 + e)))
        try:
            assert_same_outcome(near, expected)
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("backend", BACKENDS)
@given(source=programs(pair=True), runs=st.lists(arguments(QUARTERS), min_size=1, max_size=3))
def test_value(folder, backend, source, runs):
    """CPython and the backend agree on a random program."""
    note(source)
    f = load(source, folder)
    compiled = myia(backend=backend)(f)
    for args in runs:
        expected = outcome(f, args)
        note(f"f{args} is {expected!r}")
        actual = outcome(compiled, args)
        try:
            assert_same_outcome(actual, expected)
        except AssertionError:
            if is_fragile(f, args, expected):
                reject()
            raise


def difference_quotients(f, args, wrt):
    """Central differences by the argument at position `wrt`, or None where f is not smooth around its value."""

    def real(*args):
        value = outcome(f, args)
        return np.nan if isinstance(value, type) else value

    fine, coarse = (numeric.gradient(real, args, wrt, step) for step in (2e-4, 5e-4))
    scale = 1 + abs(outcome(f, args)) + np.abs(coarse)
    smooth = np.all(np.isfinite(fine)) and np.all(np.abs(fine - coarse) < 1e-7 * scale)
    return coarse if smooth else None


@pytest.mark.parametrize("backend", BACKENDS)
@given(source=programs(), args=arguments(GENERIC))
def test_gradient(folder, backend, source, args):
    """The gradient of a random program agrees with central differences, wherever those settle."""
    note(source)
    f = load(source, folder)
    value = outcome(f, args)
    assume(not isinstance(value, type) and np.isfinite(value) and abs(value) < 1e6)
    actual = grad(myia(backend=backend)(f), argnums=("x", "y", "a"))(*copy.deepcopy(args))
    compared = 0
    for wrt, g in zip((0, 1, 4), actual, strict=True):
        expected = difference_quotients(f, args, wrt)
        if expected is not None:
            note(f"gradient by argument {wrt} of f{args}: {g!r}, by differences {expected!r}")
            tolerance = 1e-6 * (1 + abs(value))
            assert_same(numeric.wide(g), expected, "gradient", rtol=1e-6, atol=tolerance)
            compared += 1
    assume(compared)
