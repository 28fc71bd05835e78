"""Unusual and wrong input: the right answer or a clear error, and the interpreter of Python always survives."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from compare import assert_same

from myia_lite import MyiaError, grad, myia, value_and_grad

BACKENDS = ["interp", "llvm"]
both = pytest.mark.parametrize("backend", BACKENDS)
A = np.arange(12.0).reshape(3, 4) - 4.5


def mix(a):
    """Reads an array in each of the ways a compiler might lay it out."""
    return np.sum(a * np.arange(4.0)) + a[1, 2] * a[-1, 0] + np.sum(a[:, 1]) + np.sum(a.T @ a)


def by_hand(a):
    """The gradient of `mix`."""
    g = np.zeros_like(a) + np.arange(4.0)
    g[1, 2] += a[-1, 0]
    g[-1, 0] += a[1, 2]
    g[:, 1] += 1
    return g + 2 * np.broadcast_to(a.sum(axis=1, keepdims=True), a.shape)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    out = raw[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


LAYOUTS = {
    "C order": A,
    "Fortran order": np.asfortranarray(A),
    "transposed": A.T.copy().T,
    "every other element": np.repeat(np.repeat(A, 2, axis=0), 2, axis=1)[::2, ::2],
    "negative strides": A[::-1, ::-1].copy()[::-1, ::-1],
    "zero strides": np.broadcast_to(A[0], (3, 4)),
    "read only": read_only(A),
    "byte swapped": A.astype(">f8"),
    "unaligned": unaligned(A),
    "an offset into another": np.concatenate([A, A])[3:],
}


@both
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout(layout, backend):
    """What an array holds counts, not how it lies in memory."""
    a = LAYOUTS[layout]
    before = a.copy()
    compiled = myia(backend=backend)(mix)
    assert_same(compiled(a), float(mix(np.ascontiguousarray(a, dtype=np.float64))))
    assert_same(np.asarray(grad(compiled)(a), dtype=np.float64), by_hand(np.ascontiguousarray(a, dtype=np.float64)))
    assert np.array_equal(a, before)


@both
def test_results_do_not_share_memory_with_arguments(backend):
    """Where NumPy gives a copy, writing to the result does not change the argument, nor another result."""

    @myia(backend=backend)
    def f(a):
        return a + 0.0, a.copy(), np.zeros_like(a)

    a = A.copy()
    first = f(a)
    for result in first:
        result[...] = 77.0
    assert np.array_equal(a, A)
    assert_same(f(a), (A + 0.0, A, np.zeros_like(A)))


@both
def test_returned_argument(backend):
    """A function that returns its argument gives equal values, and its gradient is one."""

    @myia(backend=backend)
    def f(a):
        return a

    assert_same(f(A), A)
    assert_same(f(3.0), 3.0)
    assert_same(grad(f)(3.0), 1.0)


@both
def test_captured_array_is_read_at_each_call(backend):
    """A global or captured array that changes between calls is seen as it then is."""
    table = np.array([1.0, 2.0])

    @myia(backend=backend)
    def f(x):
        return x * table[1]

    assert_same(float(f(3.0)), 6.0)
    table[1] = 5.0
    assert_same(float(f(3.0)), 15.0)
    assert_same(float(grad(f)(3.0)), 5.0)


_scale = 2.0


@both
def test_captured_number_is_read_at_each_call(backend):
    """A global number that changes between calls is seen as it then is."""
    global _scale

    @myia(backend=backend)
    def f(x):
        return x * _scale

    _scale = 2.0
    assert_same(f(3.0), 6.0)
    _scale = 4.0
    assert_same(f(3.0), 12.0)


# ------------------------------------------------------------------------------------------------------- odd sizes
@both
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_zero_size(shape, backend):
    """Empty arrays have sums, products, maps and gradients; the largest of no elements is a ValueError."""
    a = np.zeros(shape)

    @myia(backend=backend)
    def f(a):
        return np.sum(np.exp(a) * 2) + np.prod(a)

    assert_same(float(f(a)), 1.0)
    assert_same(grad(f)(a), np.zeros(shape))
    assert_same(myia(backend=backend)(lambda a: np.exp(a) + 1)(a), np.zeros(shape))
    with pytest.raises(ValueError):
        myia(backend=backend)(lambda a: np.max(a))(a)


@both
def test_matrix_products_of_zero_size(backend):
    """A product over no elements is zero."""
    compiled = myia(backend=backend)(lambda a, b: a @ b)
    for m, k, n in [(2, 0, 3), (0, 2, 3), (2, 3, 0), (0, 0, 0)]:
        assert_same(compiled(np.ones((m, k)), np.ones((k, n))), np.zeros((m, n)))


@both
def test_zero_dimensional_arrays_and_numpy_scalars(backend):
    """A 0-d array, a NumPy scalar and a Python float are numbers all."""

    @myia(backend=backend)
    def f(x):
        return x * x + 1

    for x in (3.0, np.float64(3.0), np.array(3.0)):
        assert_same(float(f(x)), 10.0)
        assert_same(float(grad(f)(x)), 6.0)
    assert np.asarray(f(np.float32(3.0))).dtype == np.float32
    assert_same(int(f(np.int64(3))), 10)


@both
def test_one_element(backend):
    """Arrays of one element are not numbers."""
    compiled = myia(backend=backend)(lambda a: a.sum(axis=0) * a)
    assert_same(compiled(np.array([3.0])), np.array([9.0]))
    assert_same(compiled(np.array([[3.0]])), np.array([[9.0]]))


@both
def test_many_dimensions(backend):
    """Eight dimensions."""
    a = np.arange(256.0).reshape((2,) * 8)
    compiled = myia(backend=backend)(lambda a: (a * 2).sum(axis=(0, 3, -1)))
    assert_same(compiled(a), (a * 2).sum(axis=(0, 3, -1)))


@both
def test_special_floats(backend):
    """NaN, infinities and signed zeros go through arithmetic, comparison and reductions as in NumPy."""

    def f(a):
        return a + 1, a * 0.0, a < 1, np.maximum(a, 0.0), np.exp(a), np.sqrt(a), np.sign(a), 1 / a, np.sum(a), a == a

    a = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7e308, -1.0])
    with np.errstate(all="ignore"):
        expected = f(a)
    actual = myia(backend=backend)(f)(a)
    assert_same(actual, expected)
    for got, want in zip(actual, expected, strict=True):
        if np.asarray(want).dtype.kind == "f":
            known = ~np.isnan(want)
            assert np.array_equal(np.signbit(got)[known], np.signbit(want)[known])


EDGES = """0.0 -0.0 1e-300 -1e-310 1e-10 0.5 -0.5 1.0 20.0 -20.0 100.0 -100.0 710.0 -745.0 1e5 -1e9 1e16 1e300 -1e300
           inf -inf nan 1.5707963267948966 3.141592653589793 1e22 4503599627370496.5 88.8 -103.9""".split()
ELEMENTWISE = "sin cos tan exp log tanh sqrt expm1 log1p arctan sinh cosh cbrt exp2 log2"


@both
@pytest.mark.parametrize("name", ELEMENTWISE.split())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_functions_at_the_edges(name, dtype, backend):
    """The vectorised functions agree with NumPy at huge, tiny and special arguments, signs of zeros included."""
    ufunc = getattr(np, name)
    with np.errstate(all="ignore"):
        a = np.array([float(x) for x in EDGES]).astype(dtype)
        expected = ufunc(a)
    actual = myia(backend=backend)(lambda a: ufunc(a))(a)
    assert actual.dtype == dtype
    rtol, atol = {"float64": (1e-13, 1e-322), "float32": (1e-5, 3e-45)}[dtype]
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
    assert np.array_equal(np.signbit(actual)[expected == 0], np.signbit(expected)[expected == 0])


@both
def test_gradient_at_special_floats(backend):
    """A NaN in gives a NaN out; an infinite slope is inf, as by the rules of calculus in floating point."""
    derived = grad(myia(backend=backend)(lambda a: np.sum(np.sqrt(a) * 2)))
    with np.errstate(all="ignore"):
        expected = 1 / np.sqrt(np.array([4.0, 0.0, np.inf, np.nan]))
    assert_same(derived(np.array([4.0, 0.0, np.inf, np.nan])), expected)


# ------------------------------------------------------------------------------------------------------ odd lengths
@both
def test_empty_loops(backend):
    """A loop that makes no trip leaves everything as it was, and passes the gradient through."""

    @myia(backend=backend)
    def f(x, n):
        for i in range(n):
            x = math.sin(x) * i
        while n > 0:
            x, n = x * x, n - 1
        return x

    for n in (0, -1, -(2**62)):
        assert_same(f(0.7, n), 0.7)
        assert_same(grad(f)(0.7, n), 1.0)


def test_ten_million_trips():
    """A loop of 1e7 trips and its gradient need no stack; the gradient of the mean of x over n trips is 1."""

    @myia
    def f(x, n):
        total = 0.0
        for _ in range(n):
            total = total + x
        return total / n

    value, slope = value_and_grad(f)(0.5, 10_000_000)
    assert value == pytest.approx(0.5, rel=1e-9)
    assert slope == pytest.approx(1.0, rel=1e-9)


def test_range_of_the_largest_integers():
    """A range that ends at the largest integer does not wrap around."""

    @myia
    def f(start, stop, step):
        count = i = 0
        for i in range(start, stop, step):  # noqa: B007
            count += 1
        return count, i

    top, bottom = 2**63 - 1, -(2**63)
    assert f(top - 5, top, 2) == (3, top - 1)
    assert f(bottom + 5, bottom, -2) == (3, bottom + 1)
    assert f(bottom, top, 2**62) == (4, bottom + 3 * 2**62)


# ----------------------------------------------------------------------------------------------------- wrong input
@myia
def affine(a, b, *, scale=1.0):
    return a * b * scale


@pytest.mark.parametrize(
    ("args", "keywords"),
    [
        ((), {}),
        ((1.0,), {}),
        ((1.0, 2.0, 3.0), {}),
        ((1.0, 2.0), {"shift": 1.0}),
        ((1.0, 2.0), {"a": 1.0}),
        ((1.0,), {"scale": 2.0}),
        (("text", 2.0), {}),
        ((None, 2.0), {}),
        ((1.0, object()), {}),
        ((1.0, lambda: 0), {"scale": "x"}),
        ((np.array(["a"]), 1.0), {}),
        ((np.array([1.0, None]), 1.0), {}),
        ((np.array([1], dtype="datetime64[s]"), 1.0), {}),
        ((np.zeros(2, dtype=[("x", float)]), 1.0), {}),
        (({1.0, 2.0}, 1.0), {}),
    ],
)
def test_wrong_arguments(args, keywords):
    """Arguments that do not fit are a TypeError, before anything runs, of the function and of its gradient."""
    with pytest.raises(TypeError) as raised:
        affine(*args, **keywords)
    assert isinstance(raised.value, MyiaError)
    with pytest.raises(TypeError):
        grad(affine)(*args, **keywords)
    assert affine(2.0, b=3.0, scale=0.5) == 3.0


@both
def test_wrong_shapes(backend):
    """Shapes that do not fit are a ValueError, whether known when compiling or not."""
    compiled = myia(backend=backend)(lambda a, b: a @ b + 1)
    with pytest.raises(ValueError):
        compiled(np.ones((2, 3)), np.ones((2, 3)))
    assert_same(compiled(np.ones((2, 3)), np.ones((3, 1))), np.full((2, 1), 4.0))
    with pytest.raises(ValueError):
        compiled(np.ones((2, 3)), np.ones((4, 1)))
    sliced = myia(backend=backend)(lambda a, n: a[:n] + a)
    assert_same(sliced(np.ones(3), 3), np.full(3, 2.0))
    with pytest.raises(ValueError):
        sliced(np.ones(3), 2)


@both
def test_gradients_that_do_not_exist(backend):
    """The gradient by an integer, of an integer, or of an array is a TypeError that says so."""
    f = myia(backend=backend)(lambda x, n: x * n)
    for call in (
        lambda: grad(f, argnums=1)(2.0, 3),
        lambda: grad(f)(2, 3),
        lambda: grad(f)(A, 2.0),
        lambda: grad(f, argnums=2)(2.0, 3),
        lambda: grad(f, argnums="y")(2.0, 3),
        lambda: grad(f, argnums=(0, 0.5))(2.0, 3),
        lambda: grad(3.0)(2.0),
    ):
        with pytest.raises((TypeError, ValueError)) as raised:
            call()
        assert isinstance(raised.value, MyiaError)


def test_a_failed_call_leaves_no_trace():
    """After each kind of error the function still works, and so does its gradient."""

    @myia
    def f(x, n):
        assert x != 13.0
        if x < 0:
            raise KeyError(n)
        a = np.zeros(3)
        a[n] = math.log(x) * x
        return 1.0 / (x - 2.0) + a[0]

    for _ in range(3):
        for args, kind in [
            ((-1.0, 0), KeyError),
            ((13.0, 0), AssertionError),
            ((1.0, 3), IndexError),
            ((0.0, 0), ValueError),
            ((2.0, 0), ZeroDivisionError),
            (("1", 0), TypeError),
        ]:
            with pytest.raises(kind):
                f(*args)
            with pytest.raises(kind):
                grad(f)(*args)
        assert f(1.0, 0) == -1.0
        assert grad(f)(1.0, 0) == 0.0


# ------------------------------------------------------------------------------------------------------ signatures
def test_compiles_once_for_each_signature():
    """A new dtype or rank compiles again; new values and an equal signature do not."""

    @myia
    def f(x):
        return x * 2

    f(1.0), f(2.0)
    assert f.compilations == 1
    f(np.ones(3)), f(np.zeros(3))
    assert f.compilations == 2
    f(np.ones(3, np.float32))
    assert f.compilations == 3
    f(1.0), f(np.ones(3)), f(np.ones(3, np.float32))
    assert f.compilations == 3
    assert f.__wrapped__(3.0) == 6.0


class Weights(NamedTuple):
    w: object
    b: float


def test_structures_of_other_types_compile_again():
    """Structures that differ in kind, length or leaf are other signatures, with other results."""

    @myia
    def f(p):
        total = 0.0
        for q in p:
            total = total + np.sum(q)
        return total

    assert float(f((1.0, 2.0))) == 3.0
    assert float(f((1.0, 2.0, 3.0))) == 6.0
    assert float(f([np.ones(2), 2.0])) == 4.0
    assert float(f(Weights(np.ones((2, 2)), 1.0))) == 5.0


def test_bools_ints_and_floats_are_other_signatures():
    """True, 1 and 1.0 are equal, and have one hash, but not one type."""

    @myia
    def f(x):
        return x + x

    assert_same([f(1), f(1.0), f(True), f(np.float32(1))], [2, 2.0, 2, np.float32(2)])
