"""Functions from outside in compiled code: values, types, errors, derivatives, threads, and the IR."""

import ctypes
import gc
import math
import threading
import traceback
import warnings

import numpy as np
import pytest
from compare import assert_same

from myia_lite import (
    Foreign,
    MyiaTypeError,
    MyiaValueError,
    check_grads,
    checkpoint,
    foreign,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    myia,
    sparse_jacobian,
    stop_gradient,
    vjp,
)
from myia_lite.backends import get_backend
from myia_lite.ir import parse_text, show, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.ops.foreign import External

BACKENDS = ["interp", "llvm"]
X = np.array([3.0, 1.0, 2.0])


@foreign(args="float, int", result=float)
def power(x, n):
    assert type(x) is float and type(n) is int
    return x**n


@power.defjvp
def power_rule(primals, tangents):
    (x, n), (x_dot, _) = primals, tangents
    return power(x, n), x_dot * n * power(x, n - 1)


@foreign(args="f64[n]", result=("f64[n]", "i64[n]"))
def ordered(x):
    order = np.argsort(x, kind="stable")
    return x[order], order


def ordered_fwd(x):
    values, order = ordered(x)
    return (values, order), order


def ordered_bwd(order, bars):
    x_bar = np.zeros(len(order))
    for k in range(len(order)):
        x_bar[order[k]] = bars[0][k]
    return (x_bar,)


ordered.defvjp(ordered_fwd, ordered_bwd)


# ---- values ----------------------------------------------------------------------------------------------------------
def in_a_loop(x, n):
    total = 0.0
    for k in range(n):
        values, order = ordered(x * (k - 1.5))
        total += power(values[0], 2) * order[1] + k
    return total, ordered(x)[0][1:]


def in_recursion(x, n):
    return power(x, 2) if n == 0 else power(x, 1) + in_recursion(x * 0.5, n - 1)


def in_branches(x, n):
    if n > 2:
        return power(x, n)
    return -power(x, 1) if n > 1 else 0.0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("f", "args"),
    [
        (in_a_loop, (X, 4)),
        (in_a_loop, (X, 0)),
        (in_recursion, (3.0, 6)),
        (in_branches, (2.0, 3)),
        (in_branches, (2.0, 2)),
        (in_branches, (2.0, 1)),
        (lambda n: [power(float(k), 2) for k in (1, 2, 3)], (0,)),
    ],
)
def test_values(backend, f, args):
    assert_same(myia(f, backend=backend)(*args), f(*args))


ALL = "float, int, bool, f64, f32, i64, i32, bool_, f64[2,?], f32[?], i64[?], i32[1], bool[?]"


@foreign(args=ALL, result=(*ALL.split(", ")[:8], "f64[2,?]", "f32[?]", "i64[?]", "i32[1]", "bool[?]"))
def same(*args):
    kinds = [float, int, bool, np.float64, np.float32, np.int64, np.int32, np.bool_] + 5 * [np.ndarray]
    assert [type(a) for a in args] == kinds, [type(a) for a in args]
    return args


def everything():
    numbers = (1.5, -(2**62), True, np.float64(2.5), np.float32(0.1), np.int64(2**40), np.int32(-7), np.bool_(True))
    arrays = np.arange(6.0).reshape(2, 3), X.astype("f4"), np.arange(3), np.array([5], "i4"), X > 1.5
    return numbers + arrays


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_type_both_ways(backend):
    args = everything()
    for f in (same, myia(lambda *a: same(*a), backend=backend)):
        out = f(*args)
        for a, b in zip(args, out, strict=True):
            assert type(a) is type(b) and getattr(a, "dtype", None) == getattr(b, "dtype", None)
            assert_same(b, a)


@pytest.mark.parametrize("backend", BACKENDS)
def test_conversions_of_numbers(backend):
    """Python's numbers have no width; what loses nothing is converted."""
    args = list(everything())
    args[0], args[1], args[3], args[4], args[6] = 3, np.int32(4), 5, 0.1, 6
    out = myia(lambda *a: same(*a), backend=backend)(*args)
    assert [type(x) for x in out[:7]] == [float, int, bool, np.float64, np.float32, np.int64, np.int32]
    assert_same(out, same(*args))
    args[6] = 2**31
    for f in (same, myia(lambda *a: same(*a), backend=backend)):
        with pytest.raises(OverflowError):
            f(*args)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layouts_and_views(backend):
    """Arguments come row-major, whatever lies behind them; results in any layout, and shared with what is kept."""
    kept = []

    @foreign(args="f64[?,?]", result="f64[?,?]")
    def turned(a):
        assert a.flags.c_contiguous and not a.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            a[0] = 0.0
        kept.append(a.T.copy().T)
        return kept[-1].T[::-1]

    def f(a):
        b = turned(a[1:, ::2] * 1.0)
        b[0, 0] = 100.0
        return b, turned(a.T), turned(np.zeros((0, 2)))

    a = np.arange(20.0).reshape(4, 5)
    before = a.copy()
    out = myia(f, backend=backend)(a)
    assert_same(out, f(a))
    assert_same(a, before)
    out[1][:] = -1.0
    assert not any((k == -1.0).any() or (k == 100.0).any() for k in kept)


def test_keywords_defaults_and_annotations():
    @foreign
    def f(x: float, y: "f64[n]", scale: float = 2.0) -> tuple[float, "f64[n]"]:  # noqa: F821
        return x * scale, y * scale

    for g in (f, myia(lambda x, y: f(x, y=y))):
        assert_same(g(1.0, X), (2.0, 2.0 * X))
    assert_same(myia(lambda x, y: f(x, scale=3.0, y=y))(1.0, X), f(1.0, X, 3.0))
    assert repr(f) == "<foreign f(float, f64[n], float) -> (float, f64[n])>"
    with pytest.raises(TypeError, match="argument"):
        myia(lambda x: f(x))(1.0)
    with pytest.raises(TypeError, match="argument"):
        f(1.0)


def test_a_method_a_builtin_and_an_object():
    class Table:
        def __init__(self, values):
            self.values = values

        def __call__(self, k):
            return self.values[k]

        def entry(self, k):
            return self.values[k]

    table = Table([1.0, 4.0, 9.0])
    by_call, by_method = foreign(table, args=int, result=float), foreign(table.entry, args=int, result=float)
    order = foreign(np.argsort, args="f64[n]", result="i64[n]")
    assert_same(myia(lambda x: order(x))(X), np.argsort(X))
    largest = foreign(max, args="float, float, float", result=float)
    assert myia(lambda x: largest(x, 2.0, 3.0))(1.0) == largest(1.0, 2.0, 3.0) == 3.0
    gamma, one = foreign(math.lgamma, args=float, result=float), foreign(lambda x: (x,), args=float, result=(float,))
    assert myia(lambda k: by_call(k) + by_method(k + 1) + gamma(2.5))(1) == 13.0 + math.lgamma(2.5)
    for backend in BACKENDS:
        assert myia(lambda x: one(x), backend=backend)(2.0) == (2.0,) == one(2.0)


def test_compiled_functions_and_derivatives_inside():
    """What is called may itself compile, run and differentiate; the very function that calls it, too."""

    @foreign(args=float, result=float)
    def slope(x):
        return f(x - 10.0) if x > 10.0 else grad(myia(lambda x: x * x))(x)

    @myia
    def f(x):
        return slope(x) * 2.0

    assert f(3.0) == 12.0 and f(14.0) == 2.0 * f(4.0) == 32.0


# ---- errors ----------------------------------------------------------------------------------------------------------
class Odd(Exception):
    pass


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_exception_comes_out_as_it_is(backend):
    thrown = Odd("as it is", 3)

    @foreign(args="f64[?], int", result="f64[?]")
    def picky(x, k):
        if k == 3:
            raise thrown
        return x

    @myia(backend=backend)
    def f(x, n):
        total = x * 0.0
        for k in range(n):
            total += picky(x * 2.0, k)
        return total

    assert_same(f(X, 3), 6.0 * X)
    for _ in range(3):
        with pytest.raises(Odd) as caught:
            f(X, 5)
        assert caught.value is thrown
    names = [frame.name for frame in traceback.extract_tb(thrown.__traceback__)]
    assert names[-1] == "picky"
    assert len(thrown.__notes__) == 1 and "total += picky(x * 2.0, k)" in thrown.__notes__[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(3), StopIteration("x"), MemoryError()])
def test_exceptions_of_any_kind(backend, error):
    @foreign(args=float, result=float)
    def f(x):
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        myia(lambda x: f(x) + 1.0, backend=backend)(2.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("result", "value", "kind", "words"),
    [
        ("f64[n]", X[:2], MyiaValueError, "f returned the shape (2,) where f64[n] with n = 3 is declared"),
        ("f64[3]", X[:2], MyiaValueError, "f returned the shape (2,) where f64[3] is declared"),
        ("f64[n,n]", np.zeros((3, 2)), MyiaValueError, "f64[n,n] with n = 3"),
        ("f64[m,m]", np.zeros((5, 4)), MyiaValueError, "f64[m,m] with m = 5"),
        ("f64[n]", X.astype("f4"), MyiaTypeError, "f returned an array f32[3] where f64[n] is declared"),
        ("f64[n]", X[None], MyiaTypeError, "an array f64[1,3]"),
        ("f64[n]", [1.0, 2.0, 3.0], MyiaTypeError, "a list where f64[n]"),
        ("f64[n]", np.ma.masked_array(X), MyiaTypeError, "where f64[n]"),
        ("f64[n]", None, MyiaTypeError, "a NoneType where f64[n]"),
        ("f64[n]", X * 1j, MyiaTypeError, "an array complex128[3]"),
        (float, "1.0", MyiaTypeError, "a str where float"),
        (float, True, MyiaTypeError, "a bool where float"),
        (float, 1j, MyiaTypeError, "a complex where float"),
        (float, X, MyiaTypeError, "an array f64[3] where float"),
        (int, 1.0, MyiaTypeError, "a float where int"),
        (bool, 1, MyiaTypeError, "a int where bool"),
        ("f32", np.float64(1.0), MyiaTypeError, "a float64 where f32"),
        ("i32", np.int64(1), MyiaTypeError, "a int64 where i32"),
        ((float, float), 1.0, MyiaTypeError, "a float where 2 results are declared"),
        ((float, float), (1.0, 2.0, 3.0), MyiaTypeError, "a tuple of 3 where 2 results are declared"),
        ((float, float), (1.0, "x"), MyiaTypeError, "a str where float"),
        (int, 2**70, OverflowError, ""),
    ],
)
def test_wrong_results(backend, result, value, kind, words):
    f = foreign(lambda x: value, args="f64[n]", result=result)
    f.function.__name__ = "f"
    for call in (f, myia(lambda x: f(x), backend=backend), lambda x: myia(sliced, backend=backend)(f, x, 0)):
        with pytest.raises(kind) as caught:
            call(X)
        assert words in str(caught.value)


def sliced(f, x, k):
    """The size of the argument is known at run time only."""
    return f(x[k:])


def test_memory_is_given_back():
    """After errors and after results, large and small."""
    import resource

    @foreign(args="f64[n], int", result=("f64[n]", "f64[3]"))
    def f(x, k):
        if k > 2:
            raise Odd
        return x + 1.0, x[:3]

    @myia
    def g(x, n):
        total = 0.0
        for k in range(n):
            y, z = f(x * 2.0, k)
            total += y[0] + z[1]
        return total

    x = np.ones(100_000)
    before = None
    for k in range(90):
        with pytest.raises(Odd):
            g(x, 5)
        assert g(x, 3) == 3 * 5.0
        if k == 30:
            gc.collect()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB; a leak would be some 150 MB


@pytest.mark.parametrize("backend", BACKENDS)
def test_wrong_arguments(backend):
    f = foreign(lambda x, y: x, args="f64[n], f64[n]", result="f64[n]")
    for call in (f, myia(lambda x, y: f(x, y), backend=backend)):
        with pytest.raises(MyiaTypeError, match=r"argument 1 .* is .* where f64\[n\] is declared"):
            call(X, 1.0)
        with pytest.raises(MyiaTypeError, match="where f64"):
            call(X, X.astype("f4"))
        with pytest.raises(MyiaTypeError, match="where f64"):
            call([1.0], X)
        with pytest.raises(ValueError, match="argument 1"):
            call(X, X[1:])
    with pytest.raises(ValueError, match="axis 0 has the size 2, not 3"):  # known at run time only
        myia(lambda x, n: f(x, x[n:]), backend=backend)(X, 1)
    with pytest.raises(ValueError, match="argument 0"):
        myia(lambda x, n: foreign3(x[n:]), backend=backend)(X, 1)
    assert_same(myia(lambda x, n: foreign3(x[n:]), backend=backend)(X, 0), X)


foreign3 = foreign(lambda x: x, args="f64[3]", result="f64[3]")


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: foreign(3.0, args=float, result=float), MyiaTypeError, "a float is no function"),
        (lambda: foreign(math.sin, args=complex, result=float), MyiaTypeError, "complex"),
        (lambda: foreign(math.sin, args="f16", result=float), MyiaTypeError, "'f16' is no type"),
        (lambda: foreign(math.sin, args="f64[-1]", result=float), MyiaValueError, "'-1' is no size"),
        (lambda: foreign(math.sin, args="float[3]", result=float), MyiaTypeError, "is no type"),
        (lambda: foreign(math.sin, args=float), MyiaTypeError, "its result"),
        (lambda: foreign(lambda x: x, result=float), MyiaTypeError, "its arguments"),
        (lambda: foreign(lambda x: None, args=float, result=()), MyiaTypeError, "has no results"),
        (lambda: foreign(lambda x: x, args="float, float", result=float), MyiaTypeError, "2 argument types"),
        (lambda: foreign(ctypes.pythonapi.PyLong_FromLong, args=int, result=int), MyiaTypeError, "lock"),
        (lambda: foreign(c_sum, args="f64[n]", result="f64[m]"), MyiaTypeError, "nothing tells the size m"),
        (lambda: foreign(c_sum, args="f64[n]", result="f64[?]"), MyiaTypeError, "nothing tells the size ?"),
        (lambda: foreign(c_sum, args="f64[3]", result=float), MyiaTypeError, "argtypes"),
        (lambda: foreign(c_sum, args="f64[n]", result=int), MyiaTypeError, "restype"),
    ],
)
def test_wrong_declarations(make, kind, words):
    with pytest.raises(kind) as caught:
        make()
    assert words in str(caught.value)


# ---- derivatives -----------------------------------------------------------------------------------------------------
def cubic(x, n):
    total = 0.0
    for k in range(1, n):
        total += power(x, 3) * k if k != 2 else power(x * x, 1)
    return total


def plain_cubic(x, n):
    total = 0.0
    for k in range(1, n):
        total += x**3 * k if k != 2 else x * x
    return total


@pytest.mark.parametrize("backend", BACKENDS)
def test_orders_and_modes(backend):
    def every(f):
        return lambda x, n: (
            grad(f)(x, n),
            grad(grad(f))(x, n),
            jvp(lambda y: f(y, n), (x,), (2.0,)),
            grad(lambda y: jvp(lambda z: f(z, n), (y,), (1.0,))[1])(x),
            hvp(lambda y: f(y, n), (x,), (1.0,)),
            grad(grad(grad(f)))(x, n),
            grad(checkpoint(f))(x, n),
        )

    assert_same(myia(every(cubic), backend=backend)(1.5, 5), myia(every(plain_cubic), backend=backend)(1.5, 5))


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_results_and_arrays(backend):
    """A rule for reverse mode; forward mode is its transpose."""
    weights = np.array([1.0, 10.0, 100.0])

    def f(x):
        values, order = ordered(x * x)
        return values * weights * order[0]

    order, jac = [1, 2, 0], np.zeros((3, 3))
    for k, j in enumerate(order):
        jac[k, j] = weights[k] * 2 * X[j]
    assert_same(myia(lambda x: jacrev(f)(x), backend=backend)(X), jac)
    assert_same(myia(lambda x: jacfwd(f)(x), backend=backend)(X), jac)
    assert_same(myia(lambda x: vjp(f, x)[1](weights), backend=backend)(X), (weights @ jac,))
    second = np.diag([2 * weights[order.index(j)] for j in range(3)])
    assert_same(hessian(lambda x: f(x).sum())(X), second)
    assert_same(sparse_jacobian(f)(X).toarray(), jac)
    check_grads(f, (X,))


def test_rules_may_be_foreign():
    """The rule of one foreign function calls another, which has a rule itself."""
    sin = foreign(math.sin, args=float, result=float)
    cos = foreign(math.cos, args=float, result=float)
    sin.defvjp(lambda x: (sin(x), x), lambda x, y_bar: (y_bar * cos(x),))
    cos.defjvp(lambda primals, tangents: (cos(primals[0]), -sin(primals[0]) * tangents[0]))
    assert grad(sin)(0.3) == pytest.approx(math.cos(0.3))
    assert grad(grad(sin))(0.3) == pytest.approx(-math.sin(0.3))
    assert grad(grad(grad(sin)))(0.3) == pytest.approx(-math.cos(0.3))
    assert jvp(lambda x: jvp(sin, (x,), (1.0,))[1], (0.3,), (1.0,))[1] == pytest.approx(-math.sin(0.3))


def test_without_a_rule():
    f = foreign(lambda x: x * 2.0, args=float, result=float)
    f.function.__name__ = "doubled"
    count = foreign(lambda x: int(x), args=float, result=int)
    for derivative in (grad(lambda x: x * f(x)), lambda x: jvp(lambda y: f(y) * y, (x,), (1.0,)), jacfwd(f)):
        with pytest.raises(MyiaTypeError, match=r"foreign function without a rule") as caught:
            derivative(2.0)
        assert "doubled.defjvp or doubled.defvjp" in str(caught.value)
    # what does not vary, or is no float, needs none
    assert grad(lambda x: x * f(stop_gradient(x)))(2.0) == 4.0
    assert grad(lambda x: x * f(3.0) * count(x))(2.5) == 12.0
    assert jvp(lambda x: x * f(3.0) * count(x), (2.5,), (1.0,))[1] == 12.0
    # a rule that is given later is seen
    f.defjvp(lambda primals, tangents: (f(primals[0]), 2.0 * tangents[0]))
    assert grad(lambda x: x * f(x))(2.0) == 8.0


def test_the_optimiser_keeps_calls_where_they_are():
    """Shared and dropped; never run where Python would not have run it."""
    calls = []

    @foreign(args=float, result=float)
    def noted(x):
        calls.append(x)
        if x < 0.0:
            raise ValueError("negative")
        return math.sqrt(x)

    def run(f, *args):
        calls.clear()
        for backend in BACKENDS:
            out = myia(f, backend=backend)(*args)
        return out, len(calls) / 2

    assert run(lambda x: noted(x) + noted(x), 4.0) == (4.0, 1)
    assert run(lambda x: noted(x) * 0 + x if x > 9.0 else x, 4.0)[1] == 0

    def unused(x):
        noted(x)
        return x

    assert run(unused, -4.0) == (-4.0, 0)

    def loop(x, n):
        total = 0.0
        for k in range(n):
            total += noted(x) + k
        return total

    assert run(loop, -4.0, 0) == (0.0, 0)  # not in front of the loop

    def guarded(x, n):
        y = 1 // n
        return noted(x) + y

    for backend in BACKENDS:
        calls.clear()
        with pytest.raises(ZeroDivisionError):
            myia(guarded, backend=backend)(-4.0, 0)
        assert not calls

    def once(x):
        y = noted(x)
        if x > 1.0:
            return y * y
        return 0.0

    assert run(once, 4.0) == (4.0, 1)


def test_many_directions_at_once():
    """A Jacobian with many rows, by rules that are foreign functions of arrays."""
    square = foreign(lambda v: v * v, args="f64[n]", result="f64[n]")
    double = foreign(lambda v: 2.0 * v, args="f64[n]", result="f64[n]")
    square.defvjp(lambda v: (square(v), v), lambda v, y_bar: (double(v) * y_bar,))
    x = np.arange(1.0, 9.0)

    def f(x):
        return square(x) * square(x[::-1]) + power(x[0], 3) * np.ones(8)

    expected = np.diag(2.0 * x * x[::-1] ** 2) + np.fliplr(np.diag(2.0 * x * x * x[::-1]))
    expected[:, 0] += 3.0
    assert_same(jacrev(f)(x), expected)
    assert_same(jacfwd(f)(x), expected)


# ---- C functions -----------------------------------------------------------------------------------------------------
D, I, P = ctypes.c_double, ctypes.c_int64, ctypes.POINTER(ctypes.c_double)


@ctypes.CFUNCTYPE(D, P, I)
def c_sum(x, n):
    return sum(x[:n])


@ctypes.CFUNCTYPE(None, D, P, I, I, P, I, I, ctypes.POINTER(ctypes.c_int64))
def c_scaled(a, x, m, n, out, m1, n1, count):
    assert (m, n) == (m1, n1)
    for k in range(m * n):
        out[k] = a * x[k]
    count[0] = m * n


@ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_float, ctypes.c_int32, ctypes.c_bool)
def c_test(x, k, b):
    return x > k and b


total = foreign(c_sum, args="f64[n]", result=float)
scaled = foreign(c_scaled, args="float, f64[m,n]", result=("f64[m,n]", int))
checked = foreign(c_test, args="f32, i32, bool", result=bool)


@pytest.mark.parametrize("backend", BACKENDS)
def test_c_functions(backend):
    def f(a, x):
        y, count = scaled(a, x.T)
        return total(y[0]), y, count, checked(a, 1, True), checked(a, 1, False)

    a = np.arange(6.0).reshape(2, 3)
    assert_same(myia(f, backend=backend)(2.0, a), f(2.0, a))
    assert_same(f(2.0, a), (6.0, 2 * a.T, 6, True, False))
    assert_same(myia(lambda x: total(x[5:]), backend=backend)(X), 0.0)


def test_c_functions_from_a_library():
    libm = ctypes.CDLL(None)
    cbrt = libm.cbrt
    cbrt.argtypes, cbrt.restype = [D], D
    by_types, by_address = foreign(cbrt), foreign(ctypes.cast(cbrt, ctypes.c_void_p).value, args=float, result="f64")
    assert isinstance(by_types, Foreign)
    by_types.defvjp(lambda x: ((y := by_types(x)), y), lambda y, y_bar: (y_bar / (3.0 * y * y),))
    for backend in BACKENDS:
        out = myia(lambda x: (by_types(x), by_address(x)), backend=backend)(27.0)
        assert out == pytest.approx((3.0, 3.0)) and [type(v) for v in out] == [float, np.float64]
    assert grad(by_types)(27.0) == pytest.approx(1 / 27)
    assert grad(grad(by_types))(27.0) == pytest.approx(-2 / 9 * 27 ** (-5 / 3))
    atan2 = foreign(cbrt.__class__(("atan2", libm)), args="float, float", result=float)
    assert atan2.function.native is not None


def test_numba():
    numba = pytest.importorskip("numba")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        @numba.cfunc("void(CPointer(float64), int64, CPointer(float64), int64)")
        def doubled(x, n, out, m):
            for k in range(n):
                out[k] = 2.0 * x[k]

    f = foreign(doubled, args="f64[n]", result="f64[n]")
    f.defvjp(lambda x: (f(x), None), lambda _, y_bar: (f(y_bar),))
    f.defjvp(lambda primals, tangents: (f(primals[0]), f(tangents[0])))
    assert_same(myia(lambda x: f(f(x)))(X), 4.0 * X)
    assert_same(jacrev(lambda x: f(x) * x)(X), np.diag(4.0 * X))
    assert_same(jacfwd(lambda x: f(x) * x)(X), np.diag(4.0 * X))


def test_the_example_of_the_documentation():
    solve = foreign(np.linalg.solve, args="f64[n,n], f64[n]", result="f64[n]")

    def backward(a, x, x_bar):
        b_bar = solve(a.T, x_bar)
        return -b_bar[:, None] * x[None, :], b_bar

    solve.defjvp(lambda primals, tangents: ((x := solve(*primals)), solve(primals[0], tangents[1] - tangents[0] @ x)))
    solve.defvjp(lambda a, b: ((x := solve(a, b)), (a, x)), lambda s, x_bar: backward(*s, x_bar))
    a = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.5, 0.0, 2.0]])
    inverse = np.linalg.inv(a)
    assert_same(jacrev(solve, argnums=1)(a, X), inverse)
    assert_same(jacrev(solve)(a, X), -np.einsum("ij,k->ijk", inverse, inverse @ X))
    assert_same(jacfwd(solve)(a, X), -np.einsum("ij,k->ijk", inverse, inverse @ X))
    assert_same(hessian(lambda b: solve(a, b * b).sum())(X), np.diag(2.0 * inverse.sum(0)))
    assert_same(jacrev(jacrev(lambda b: solve(a, b * b).sum()))(X), np.diag(2.0 * inverse.sum(0)))


# ---- threads ---------------------------------------------------------------------------------------------------------
def test_threads():
    """Compiled code has let go of Python's lock, and takes it for the call."""
    seen = set()

    @foreign(args="float, int", result=float)
    def slow(x, k):
        seen.add(threading.get_ident())
        if k == 200 and x == 3.0:
            raise Odd(x)
        return x + k

    @myia
    def f(x, n):
        total = 0.0
        for k in range(n):
            total += slow(x, k) + ordered(np.array([x, 1.0]))[0][0]
        return total

    out = {}

    def work(x):
        try:
            out[x] = f(float(x), 300)
        except Odd as e:
            out[x] = e

    threads = [threading.Thread(target=work, args=(x,)) for x in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert out.pop(3).args == (3.0,)
    assert out == {x: sum(x + k + min(x, 1.0) for k in range(300)) for x in (0, 1, 2, 4, 5)}
    assert len(seen) == 6


def test_an_exception_in_deep_recursion():
    """There the program runs on a thread of its own."""

    @foreign(args=int, result=int)
    def step(n):
        if n == 5:
            raise Odd(n)
        return n - 1

    @myia
    def f(n):
        return 0 if n == 0 else 1 + f(step(n))

    assert f(4) == 4
    with pytest.raises(Odd):
        f(20_000)
    assert f(3) == 3


# ---- the IR ----------------------------------------------------------------------------------------------------------
def test_text_round_trips():
    text = """\
graph @f(%x: f64[3], %y: f64[?]) -> f64[3] {
  %1: f64[3] = foreign[function=<scale>](%x, %y)
  %2: f64[3] = foreign[function=<scale.1>](%1, %x)
  return %2
}
"""
    scales = [
        External(lambda x, y: x, "scale", a.function.args, a.function.results, True)
        for a in [foreign(lambda x, y: x, args="f64[n], f64[?]", result="f64[n]")] * 2
    ]
    g = verify(parse_text(text, PRIMITIVES, dict(zip(("scale", "scale.1"), scales, strict=True))))
    assert show(g) == text and g.nodes[0].attrs["function"] is scales[0]
    assert not get_backend("llvm").compile(g).portable  # the code has addresses of this process: no cache may keep it
    with pytest.raises(SyntaxError, match="nobody says what <scale> is"):
        parse_text(text, PRIMITIVES)
    assert "foreign[function=<power>](%x, 2)" in myia(lambda x: power(x, 2)).ir(2.0)
    assert "rt_python" in myia(lambda x: power(x, 2)).ir(2.0, stage="llvm")


def test_the_type_rule():
    f = foreign(lambda x, y: x, args="f64[n], f64[n]", result=("f64[n]", "f64[n,2]")).function
    rule, attrs = PRIMITIVES["foreign"].type_rule, {"function": f}
    from myia_lite.ir import F64, Array

    assert str(rule([Array("f64", (3,)), Array("f64", (None,))], attrs, ())) == "(f64[3], f64[3,2])"
    for wrong in ([F64, F64], [Array("f64", (3,))], [Array("f64", (3,)), Array("f64", (4,))]):
        with pytest.raises(TypeError):
            rule(wrong, attrs, ())


NOWHERE = [0, 3, -8, 2**64, ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(0)]


@pytest.mark.parametrize("address", NOWHERE, ids=["null", "first page", "negative", "too large", "null of ctypes"])
def test_what_is_no_address_is_not_called(address):
    with pytest.raises(MyiaValueError, match="is no address of a function"):
        foreign(address, args=float, result=float)
