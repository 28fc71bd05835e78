"""What the library makes of Python, NumPy and math, against Python and NumPy themselves.

Each case is an expression and its arguments; `check` compares value, dtype, kind and exception.
"""

import math

import numpy as np
import pytest
from scipy import special
from tracing import Tracing, agree, call, check, compared, item, operated, outcome, picked, through, truth, updated, written

from myia_lite.infer import library
from myia_lite.ir import MyiaError, MyiaIndexError, MyiaTypeError, MyiaValueError

rng = np.random.default_rng(3)
V = rng.normal(size=3)
W = rng.normal(size=4)
M = rng.normal(size=(3, 4))
N = rng.normal(size=(4, 5))
T = rng.normal(size=(2, 3, 4))
I = np.array([[3, -1, 2], [0, 5, -7]])  # noqa: E741
F = rng.normal(size=(2, 3)).astype(np.float32)
J = np.array([2, -3, 4], np.int32)
B = np.array([True, False, True])
E = np.zeros((0, 3))
OPERANDS = [2, -3, True, 2.5, np.float64(1.5), np.float32(0.5), np.int64(4), np.int32(-2), np.bool_(True), V, F, I, J, B]

OPERATIONS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "//": lambda a, b: a // b, "%": lambda a, b: a % b, "&": lambda a, b: a & b, "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b, "<<": lambda a, b: a << b, ">>": lambda a, b: a >> b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


def narrow(want) -> bool:
    """Is NumPy's result of a dtype that the subset does not have (int8, float16)?"""
    return isinstance(want, (np.ndarray, np.generic)) and want.dtype not in map(np.dtype, ("?", "i4", "i8", "f4", "f8"))


@pytest.mark.parametrize("op", OPERATIONS)
def test_operators_on_all_pairs_of_kinds(op):
    f = OPERATIONS[op]
    for a in OPERANDS:
        for b in OPERANDS:
            if narrow(outcome(f, a, b)):
                with pytest.raises(MyiaTypeError):
                    through(f, a, b)
                continue
            check(f, a, b)


@pytest.mark.parametrize("base", [2, -3, 0, True, 2.5, -0.5, 0.0, np.float64(-1.5), np.float32(2), np.int64(3), V, F, I, J])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, -1, -2, 0.5, 2.0, -1.5, 1.0, 0.0])
def test_powers_by_constants(base, exponent):
    f = lambda a: a**exponent  # noqa: E731
    want = outcome(f, base)
    if isinstance(want, complex):
        with pytest.raises(ValueError, match="complex"):
            through(f, base)
    else:
        check(f, base)


@pytest.mark.parametrize("a, b", [(2, 5), (2, 62), (2, 63), (-2, 63), (-2, 64), (0, 0), (10**6, 4), (2.5, 3), (2.0, 1024.0), (0.0, -1.0), (2.0, -2000.0), (math.inf, 2.0), (0.0, -math.inf), (math.nan, 0.0), (-8.0, 3.0), (np.float64(2), 2000.0), (np.int64(2), 63), (V, V * V), (I * I, I * I), (3, np.int64(2))])
def test_powers(a, b):
    got = outcome(through, lambda a, b: a**b, a, b)
    want = outcome(lambda a, b: a**b, a, b)
    if isinstance(want, int) and not isinstance(want, bool) and not -(2**63) <= want < 2**63:
        assert isinstance(got, OverflowError)
    else:
        check(lambda a, b: a**b, a, b)


BIG = 2**63 - 1


@pytest.mark.parametrize("f, args", [
    (lambda a, b: a + b, (BIG, 1)), (lambda a, b: a - b, (-BIG, 2)), (lambda a, b: a * b, (BIG, 2)), (lambda a: -a, (-BIG - 1,)),
    (lambda a, b: a // b, (-BIG - 1, -1)), (lambda a: call(abs, a), (-BIG - 1,)), (lambda a, b: a << b, (1, 63)),
    (lambda a, b: a << b, (3, 200)), (lambda a: call(int, a), (1e19,)), (lambda a: call(round, a), (-1e300,)),
])  # fmt: skip
def test_int_overflow_raises(f, args):
    with pytest.raises(OverflowError):
        through(f, *args)


@pytest.mark.parametrize("f", [lambda a, b: a / b, lambda a, b: a // b, lambda a, b: a % b, lambda a, b: call(divmod, a, b)])
@pytest.mark.parametrize("a, b", [(7, 0), (7.5, 0.0), (7, 0.0), (-7, 2), (7, -2), (-7.5, 2), (7.5, -2.0), (True, 2), (1e300, 1e-300), (5.0, math.inf), (-5.0, math.inf), (-0.0, 3.0)])
def test_division(f, a, b):
    error = check(f, a, b)
    if isinstance(error, ZeroDivisionError):
        assert str(error) == str(outcome(f, a, b))


def test_the_numpy_error_model_has_no_float_checks():
    assert through(lambda a, b: a / b, 1.0, 0.0, error_model="numpy") == math.inf
    assert math.isnan(through(lambda a: call(math.log, a), -1.0, error_model="numpy"))
    assert through(lambda a: a**2, 1e200, error_model="numpy") == math.inf
    with pytest.raises(ZeroDivisionError):
        through(lambda a, b: a // b, 1, 0, error_model="numpy")


@pytest.mark.parametrize("a", [2, -3, True, 2.5, -0.0, np.float32(2), np.int32(-5), V, I, J, F, B, np.bool_(False)])
@pytest.mark.parametrize("f", [lambda a: -a, lambda a: +a, lambda a: ~a, lambda a: call(abs, a)])
def test_signs(f, a):
    if outcome(f, a) is not None and narrow(outcome(f, a)):
        pytest.skip("a dtype outside the subset")
    check(f, a)


@pytest.mark.parametrize("a, b", [(5, 0), (5, 70), (-5, 70), (5, -1), (1, 62), (-1, 63), (0, 99), (True, 3)])
def test_shifts(a, b):
    if -(2**63) <= a << max(b, 0) < 2**63:
        check(lambda a, b: a << b, a, b)
    check(lambda a, b: a >> b, a, b)


HARD = [0.5, 1.5, 2.5, -2.5, 2.675, 8.475, 0.285, 1.005, 5.015, 1.115, -8.475, 1e300, -1e22, 1234567.891, 0.0, -0.4, 45.0, 55.0, 2.5e-7]


@pytest.mark.parametrize("digits", [0, 1, 2, 3, 7, 15, -1, -2, -5])
def test_round_is_exact(digits):
    values = HARD + list(np.round(rng.normal(size=40), 3) * 10.0 ** rng.integers(-2, 6, 40))
    for x in values:
        check(lambda x: call(round, x, digits), float(x), rtol=0, atol=0)
    for x in (15, 25, -15, 1234, -55, 50, -1234567):
        check(lambda x: call(round, x, digits), x)


def test_round_to_int():
    for x in (*HARD, 7, True, math.nan, math.inf, np.float64(2.5), np.float32(3.5)):
        if abs(x) < 1e18 or x != x or x == math.inf:
            check(lambda x: call(round, x), x)


@pytest.mark.parametrize("cls", [int, float, bool, np.float32, np.float64, np.int32, np.int64, np.bool_])
@pytest.mark.parametrize("x", [2, -3, True, 2.7, -2.7, math.nan, math.inf, np.float32(1.5), np.int32(4), V[:1], V])
def test_conversions(cls, x):
    if cls in (np.int32, np.int64) and not np.all(np.isfinite(x)):
        with pytest.raises((ValueError, OverflowError)):
            through(lambda x: call(cls, x), x)
    else:
        check(lambda x: call(cls, x), x)


MATH1 = "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc gamma lgamma fabs degrees radians isnan isinf isfinite floor ceil trunc modf".split()


@pytest.mark.parametrize("name", MATH1)
def test_math_of_one_argument(name):
    f = getattr(math, name)
    for x in (0.5, -0.5, 0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 3.7, -2.5, 800.0, -800.0, 1e308, -1e308, 172.0, math.inf, -math.inf, math.nan, 3, True, np.float32(0.5), np.int32(2), V, V[:1]):
        if name in ("floor", "ceil", "trunc") and np.size(x) == 1 and abs(float(np.ravel(x)[0])) > 1e18 and np.all(np.isfinite(x)):
            continue
        if name in ("floor", "ceil", "trunc") and isinstance(x, (np.ndarray, np.generic)):
            continue
        check(lambda x: call(f, x), x, rtol=1e-11)


@pytest.mark.parametrize("name", "pow fmod atan2 copysign hypot remainder log isclose".split())
def test_math_of_two_arguments(name):
    f = getattr(math, name)
    points = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -2.5, 3.0, 1e200, -3.0, math.inf, -math.inf, math.nan, 7)
    for x in points:
        for y in points:
            check(lambda x, y: call(f, x, y), x, y)


def test_more_math():
    check(lambda a, b: np.cross(a, b), V, V[::-1].copy())
    check(lambda x, y, z: call(math.hypot, x, y, z), 1.0, -2.0, 2)
    check(lambda x: call(math.hypot, x), -3.0)
    check(lambda p, q: call(math.dist, p, q), (1.0, 2.0), (4.0, 6))
    check(lambda p: call(math.prod, p), (1.5, 2, 3))
    check(lambda x: call(math.ldexp, x, 3), 1.5)
    check(lambda: call(math.factorial, 5))
    check(lambda: call(math.comb, 5, 2))
    with pytest.raises(MyiaTypeError, match="run time"):
        through(lambda n: call(math.factorial, n), 5)


UFUNCS1 = "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh rint fabs signbit deg2rad rad2deg degrees radians negative positive absolute sign square reciprocal floor ceil trunc isnan isinf isfinite logical_not invert".split()
UFUNCS2 = "add subtract multiply divide floor_divide remainder fmod power float_power arctan2 hypot copysign maximum minimum fmax fmin heaviside logaddexp logaddexp2 equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift".split()


@pytest.mark.parametrize("name", UFUNCS1)
def test_unary_ufuncs(name):
    f = getattr(np, name)
    edge = np.array([0.0, -0.0, 0.5, -0.5, 1.0, 2.0, -3.5, np.inf, -np.inf, np.nan])
    for x in (2, 0.5, np.float32(0.25), np.int32(3), V, F, I, J, edge, E, T[:, :1]):
        if not (name == "reciprocal" and np.asarray(x).dtype.kind == "i"):
            check(lambda x: call(f, x), x)


@pytest.mark.parametrize("name", UFUNCS2)
def test_binary_ufuncs(name):
    f = getattr(np, name)
    edge = np.array([0.0, -0.0, 0.5, -1.0, np.inf, -np.inf, np.nan])
    pairs = [(M, W), (M, M[:, :1]), (2.0, F), (F, 3), (I, J), (J, 2), (B, B), (B, 2), (V, B), (V[:, None], W), (E, E[:, :1]), (3, 2.5), (np.int32(3), np.float32(2)), (edge[:, None], edge), (I, I), (abs(I), 2)]
    for a, b in pairs:
        if not narrow(outcome(f, a, b)):
            check(lambda a, b: call(f, a, b), a, b)


def test_bool_subtract_and_shape_errors():
    with pytest.raises(MyiaTypeError):
        through(lambda a: a - a, B)
    error = check(lambda a, b: a + b, V, W)
    assert isinstance(error, MyiaValueError) and "shapes (3,) (4,)" in str(error)
    error = outcome(through, lambda a, b: a + b, V, W, unknown=True)
    assert type(error) is ValueError
    agree(through(lambda a, b: a + b * 2, M, M, unknown=True), M + M * 2)


def test_python_int_out_of_range_of_int32():
    check(lambda a: a + 2**40, J)
    check(lambda a, n: a + n, J, 2**40)
    check(lambda a: a < 2**40, J)
    check(lambda a, n: a < n, J, 2**40)


REDUCTIONS = "sum mean prod max min amax amin any all var std argmax argmin ptp count_nonzero cumsum".split()


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("unknown", [False, True])
def test_reductions(name, unknown):
    f = getattr(np, name)
    positional = name in ("argmax", "argmin", "cumsum")
    for x in (V, M, T, F, I, J, B, T[:, :, :1], np.array([1.0, np.nan, 2.0])):
        if name == "ptp" and x.dtype == bool:
            continue
        for axis in [None, *range(-x.ndim, x.ndim), *([] if positional or x.ndim < 2 else [(0, 1), (-1, 0)])]:
            check(lambda x, a=axis: f(x, axis=a), x, unknown=unknown)
            if name != "cumsum" and name != "ptp":
                check(lambda x, a=axis: f(x, axis=a, keepdims=True), x, unknown=unknown)


def test_reductions_of_nothing_and_of_scalars():
    for f in (np.sum, np.prod, np.any, np.all, np.mean):
        check(lambda x, f=f: f(x), E)
        check(lambda x, f=f: f(x, axis=0), E)
        check(lambda x, f=f: call(f, x), 3.0)
    for f in (np.max, np.argmin):
        assert isinstance(check(lambda x, f=f: f(x), E), MyiaValueError)
        assert type(check(lambda x, f=f: f(x), E, unknown=True)) is ValueError
    check(lambda x: np.sum(x, axis=2), M)
    check(lambda x: np.sum(x, axis=(0, 0)), M)
    check(lambda x: np.sum(x, dtype=np.float32), M)
    check(lambda x: np.var(x, ddof=1), M)
    check(lambda x: np.std(x, axis=0, ddof=1), M, unknown=True)
    check(lambda x: np.average(x, axis=0), M)
    check(lambda x: np.average(x, weights=x * x), M)


def test_norms():
    for axis in (None, 0, 1, -1):
        check(lambda x, a=axis: np.linalg.norm(x, axis=a), M)
    check(lambda x: np.linalg.norm(x), I)
    check(lambda x: np.linalg.norm(x, 1), V)
    check(lambda x: np.linalg.norm(x, np.inf, axis=0), M)
    check(lambda x: np.linalg.norm(x, axis=1, keepdims=True), M)
    check(lambda x: np.trace(x), M)
    check(lambda x: np.trace(x), I)
    with pytest.raises(MyiaError):
        through(lambda x: np.linalg.norm(x, 2), M)


SHAPES = [
    lambda x: np.reshape(x, (4, 3)), lambda x: x.reshape(-1), lambda x: x.reshape(2, -1), lambda x: x.reshape((-1, 1, 6)),
    lambda x: np.transpose(x), lambda x: x.T, lambda x: x.transpose(1, 0), lambda x: x.transpose((0, 1)), lambda x: np.swapaxes(x, 0, -1),
    lambda x: np.moveaxis(x, 0, 1), lambda x: x.ravel(), lambda x: x.flatten(), lambda x: np.expand_dims(x, 1), lambda x: np.expand_dims(x, (0, -1)),
    lambda x: np.squeeze(x[:1], axis=0), lambda x: np.broadcast_to(x, (2, 3, 4)), lambda x: np.concatenate([x, x]), lambda x: np.concatenate((x, 2 * x), axis=1),
    lambda x: np.stack([x, x], axis=1), lambda x: np.stack((x, x), -1), lambda x: np.vstack([x, x]), lambda x: np.hstack([x, x]),
    lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, x, -1), lambda x: np.clip(x, -0.5, 0.5), lambda x: x.clip(0), lambda x: x.clip(max=0.1),
    lambda x: x.astype(np.float32), lambda x: x.astype("int64"), lambda x: x.astype(bool), lambda x: x.astype(float), lambda x: np.flip(x), lambda x: np.flip(x, 0),
    lambda x: np.roll(x, 2), lambda x: np.roll(x, -1, axis=1), lambda x: np.roll(x, 5, axis=0), lambda x: np.repeat(x, 3), lambda x: np.repeat(x, 2, axis=0), lambda x: np.tile(x, 2),
    lambda x: np.tile(x, (2, 1, 3)), lambda x: np.diff(x), lambda x: np.diff(x, 2, axis=0), lambda x: np.tril(x), lambda x: np.triu(x, 1), lambda x: np.diag(x), lambda x: np.diag(x, 1), lambda x: np.diag(x, -1),
    lambda x: np.zeros_like(x), lambda x: np.ones_like(x, dtype=np.int32), lambda x: np.full_like(x, 2.5), lambda x: np.copy(x), lambda x: np.atleast_2d(x), lambda x: np.round(x, 2), lambda x: x.round(),
    lambda x: np.concatenate([x, x[:1]], axis=None), lambda x: np.take(x, [0, 2, -1], axis=0), lambda x: np.pad(x, 1), lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
    lambda x: call(np.array, x), lambda x: call(np.asarray, x), lambda x: call(np.array, [x, x]), lambda x: np.mean(x.T @ x, axis=0), lambda x: np.ravel(x), lambda x: np.diagonal(x, 1), lambda x: x.dot(x.T),
    lambda x: np.array_equal(x, x), lambda x: np.allclose(x, x + 1e-12), lambda x: np.isclose(x, x + 1e-3), lambda x: np.nan_to_num(x / (x - x)), lambda x: np.fliplr(x), lambda x: np.column_stack([x, x[:, 0]]),
    lambda x: x.sum(axis=0).item(1), lambda x: x[0, 0].item(), lambda x: x[:1, :2].tolist(), lambda x: np.take_along_axis(x, np.argmax(x, axis=1)[:, None], axis=1), lambda x: x.squeeze(), lambda x: np.split(x, 2, axis=1),
    lambda x: np.split(x, [1, 2]), lambda x: np.meshgrid(x[0], x[:, 0]), lambda x: np.kron(x[:2, :2], x), lambda x: np.shape(x), lambda x: np.ndim(x), lambda x: np.size(x), lambda x: x.mT, lambda x: np.concatenate([x.astype(np.float32), x]),
    lambda x: np.reshape(x, (5, 2)), lambda x: np.squeeze(x, axis=0), lambda x: np.concatenate([x, x.T]), lambda x: np.broadcast_to(x, (3, 5)), lambda x: np.stack([x, x.T]), lambda x: x.reshape(-1, 5),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(SHAPES)))
def test_shapes(k):
    check(SHAPES[k], M)
    x = M.copy()
    want, got = outcome(SHAPES[k], x), outcome(through, SHAPES[k], x, unknown=True)
    if isinstance(got, MyiaTypeError):
        assert "compile time" in str(got) or "run time" in str(got)
    elif isinstance(want, Exception):
        assert isinstance(got, ValueError)
    else:
        check(SHAPES[k], x, unknown=True)


@pytest.mark.parametrize("f, args", [
    (lambda: call(np.zeros, 3), ()), (lambda n: call(np.zeros, (n, 2), np.int32), (4,)), (lambda n: call(np.zeros, n), (-1,)), (lambda: call(np.ones, (2, 3), dtype="float32"), ()),
    (lambda x: call(np.full, (2, 2), x), (7,)), (lambda x: call(np.full, 3, x), (V,)), (lambda: call(np.full, 3, 2.5, dtype=int), ()), (lambda: call(np.eye, 3), ()), (lambda: call(np.eye, 3, 4, k=1), ()),
    (lambda n: call(np.eye, n, dtype=np.int64), (3,)), (lambda n: call(np.identity, n), (2,)), (lambda: call(np.arange, 5), ()), (lambda n: call(np.arange, n), (5,)), (lambda n: call(np.arange, n), (-5,)),
    (lambda a, b, c: call(np.arange, a, b, c), (2, 11, 3)), (lambda a, b, c: call(np.arange, a, b, c), (11, 2, -3)), (lambda a, b, c: call(np.arange, a, b, c), (2, 11, 0)), (lambda: call(np.arange, 10, 0, -4), ()),
    (lambda a, b, c: call(np.arange, a, b, c), (0.5, 3.1, 0.25)), (lambda: call(np.arange, 0.0, 1.0, 0.1), ()), (lambda: call(np.arange, 3, dtype=np.float32), ()), (lambda n: call(np.linspace, 0, 1, n), (7,)),
    (lambda n: call(np.linspace, 0, 1, n), (1,)), (lambda n: call(np.linspace, 0, 1, n), (0,)), (lambda a: call(np.linspace, a, 2.5, 5, endpoint=False), (-1.5,)), (lambda: call(np.linspace, 0, 10, 4, dtype=int), ()), (lambda: call(np.linspace, 0, 10), ()),
    (lambda a, b: call(np.array, [a, b, 2]), (1, 2.5)), (lambda a, b: call(np.array, [[a, b], [b, a]]), (1, 2)), (lambda a: call(np.array, [a, True]), (False,)), (lambda a: call(np.array, a), (2.5,)), (lambda a: call(np.array, (a, a), dtype=np.float32), (2.5,)),
    (lambda: call(np.array, []), ()), (lambda a: call(np.array, [[a, a], [a]]), (1,)), (lambda a: call(np.array, [a, 1.5]), (np.float32(2),)), (lambda a: call(np.array, [a, 1]), (np.int32(2),)), (lambda a: call(np.asarray, [a, a]), (V,)), (lambda v: call(np.diag, v), (V,)), (lambda v: call(np.diag, v, 2), (V,)), (lambda v: call(np.diag, v, -1), (V,)),
    (lambda v: call(np.tril, v), (T,)), (lambda v: call(np.outer, v, v), (V,)), (lambda v: call(np.where, v > 0, 1, 0), (V,)), (lambda v: call(np.where, v > 0, 1, 0.5), (F,)), (lambda v: call(np.where, True, v, 2), (F,)), (lambda v: call(np.hstack, [v, v]), (V,)),
    (lambda v: call(np.vstack, (v, v)), (V,)), (lambda v: call(np.concatenate, [v, v]), (np.float64(1),)), (lambda v: call(np.stack, [v, 2.0]), (np.float64(1),)), (lambda v: call(np.stack, v), (M,)), (lambda v: call(np.concatenate, v), (T,)), (lambda v: call(np.float32, v) * 2, (V,)), (lambda v: np.concatenate([v, [1, 2]]), (V,)), (lambda v: v + [1, 2, 3], (V,)),
])  # fmt: skip
def test_creation(f, args):
    check(f, *args)


@pytest.mark.parametrize("f, args", [
    (lambda a, b: a @ b, (M, N)), (lambda a, b: a @ b, (M, W)), (lambda a, b: a @ b, (V, M)), (lambda a, b: a @ b, (V, V)), (lambda a, b: a @ b, (T, N)), (lambda a, b: a @ b, (T, rng.normal(size=(2, 4, 2)))),
    (lambda a, b: a @ b, (T, W)), (lambda a, b: a @ b, (V, rng.normal(size=(5, 3, 2)))), (lambda a, b: a @ b, (rng.normal(size=(5, 1, 2, 3)), rng.normal(size=(4, 3, 2)))), (lambda a, b: a @ b, (M, V)), (lambda a, b: a @ b, (I, J)), (lambda a, b: a @ b, (F, V)), (lambda a, b: a @ b, (B, B)),
    (lambda a, b: a @ b, (M, 2.0)), (lambda a, b: np.dot(a, b), (M, N)), (lambda a, b: np.dot(a, b), (T, N)), (lambda a, b: np.dot(a, b), (T, rng.normal(size=(2, 4, 3)))), (lambda a, b: np.dot(a, b), (V, 3)), (lambda a, b: np.dot(a, b), (M, W)), (lambda a, b: np.dot(a, b), (M, V)),
    (lambda a, b: np.inner(a, b), (M, W)), (lambda a, b: np.inner(a, b), (M, rng.normal(size=(2, 4)))), (lambda a, b: np.outer(a, b), (V, M)), (lambda a, b: np.outer(a, b), (J, V)), (lambda a, b: np.vdot(a, b), (M, M)), (lambda a, b: np.tensordot(a, b), (T, rng.normal(size=(3, 4, 5)))),
    (lambda a, b: np.tensordot(a, b, 1), (M, N)), (lambda a, b: np.tensordot(a, b, 0), (V, W)), (lambda a, b: np.tensordot(a, b, axes=([1, 0], [0, 1])), (T, rng.normal(size=(3, 2)))), (lambda a, b: np.tensordot(a, b, axes=(2, 0)), (T, N)), (lambda a, b: np.matmul(a, b), (E, M)), (lambda a, b: np.matmul(a, b), (M.T, E.T)),
    (lambda a, b: a @ b.T, (E, E)), (lambda a, b: a.T @ b, (E, E)),
])  # fmt: skip
def test_products(f, args):
    error = check(f, *args)
    if not isinstance(error, Exception):
        check(f, *args, unknown=True) if not (f.__code__.co_names == ("cross",) or 1 in np.shape(args[0])) and np.ndim(args[1]) else None


@pytest.mark.parametrize("spec, args", [
    ("ij,jk->ik", (M, N)), ("ij,jk", (M, N)), ("ij->ji", (M,)), ("ij->", (M,)), ("ij->j", (M,)), ("ii", (N[:, :4],)), ("ii->i", (N[:, :4],)), ("i,i", (V, V)), ("i,j->ij", (V, W)), ("bij,jk->bik", (T, N)),
    ("bij,bij->b", (T, T)), ("bij,bkj->bik", (T, T)), ("ij,ij->ij", (M, M)), ("ij,jk,kl->il", (M, N, N.T)), ("ij,i->j", (M, V)), ("bij,j->ib", (T, W)), ("i,ij,j", (V, M, W)), ("ij,kl->", (M, N)), ("ij", (M,)), ("ij,jk->ki", (I, np.ones((3, 2), int))), ("iij->j", (rng.normal(size=(2, 2, 3)),)),
])  # fmt: skip
def test_einsum(spec, args):
    check(lambda *a: np.einsum(spec, *a), *args)
    check(lambda *a: np.einsum(spec, *a), *args, unknown=True)


K = np.array([0, -1, 2])
K2 = np.array([[0, 1], [2, -2]])
INDEXES = [
    0, -1, 2, 3, -4, (1, 2), (-1, -1), (0, 4), slice(None), slice(1, None), slice(None, -1), slice(None, None, -1), slice(5, 0, -2), slice(0, 0), slice(-100, 100), (slice(None), 1), (1, slice(1, 3)), (slice(None, None, 2), slice(3, None, -1)), ...,
    (..., 0), (0, ...), (..., slice(1, 2)), None, (None, 0), (slice(None), None, 1), (None, ..., None), K, (K, 1), (slice(None), K), (K, K), (1, K), (K2, K[:2]), (K2,), (slice(None), K2), (K, slice(1, 3)), (slice(0, 2), K2), (None, K), (K, None), (K, slice(None), None), [0, 2], ([0, 1], [1, 2]), (0, 1, 2), (..., ..., 0), (K, np.array([0, 9, 1])), np.array([0, 3]), (),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(INDEXES)))
@pytest.mark.parametrize("unknown", [False, True])
def test_reading(k, unknown):
    index = INDEXES[k]
    error = check(lambda x: x[index], M, unknown=unknown)
    if isinstance(error, Exception) and isinstance(index, int) and not unknown:
        assert isinstance(error, MyiaIndexError) and str(outcome(lambda: M[index])) in str(error)


@pytest.mark.parametrize("index", [
    (slice(None), K[:2], K[:2]), (K[:2], slice(None), K[:2]), (0, slice(None), K), (slice(None), 1, K), (K[:2], None, 1), (K2 % 2, ..., K2), (slice(None), K2, slice(1, 3)), (0, K, slice(None, None, 2)), (1, ..., K), (K[:2], 0, 0), (0, 0, K), (slice(None), None, K, 1), (K[:2], slice(1, 3), 0),
])  # fmt: skip
def test_reading_rank_3(index):
    check(lambda x: x[index], T)
    check(lambda x: x[index], T, unknown=True)
    value = np.full(T[index].shape, 9.0) + np.arange(T[index].size).reshape(T[index].shape)
    check(lambda x, v: written(x, index, v), T, value)
    check(lambda x, v: written(x, index, v), T, 7)


@pytest.mark.parametrize("start", [-7, -3, -1, 0, 2, 3, 9])
@pytest.mark.parametrize("stop", [-7, -2, 0, 1, 3, 9])
def test_slices_known_at_run_time(start, stop):
    for step in (1, 2, -1, -2):
        check(lambda x, i, j: x[i:j:step], W, start, stop)
        check(lambda x, i: x[i::step], W, start, unknown=True)
        check(lambda x, j: x[:j:step], M, stop)
        check(lambda x, i, j: written(x, slice(i, j, step), 5), W, start, stop)


def test_indexes_known_at_run_time():
    for i in (-5, -4, -1, 0, 3, 4):
        check(lambda x, i: x[i], W, i)
        check(lambda x, i: x[i], W, i, unknown=True)
        check(lambda x, i: x[:, i], M, i)
        check(lambda x, i: x[i, 0], M, i)
        check(lambda x, i: x[i], W, np.int32(i))
        check(picked, (1.5, 2.5, 3.5, 4.5), i)
        check(picked, [(1.5, 2), (2.5, 3), (4.5, 6), (1.0, 3)], i)
        check(lambda x, i: written(x, i, 2), W, i)
        check(lambda x, i: written(x, (i, -1), 2), M, i, unknown=True)
    check(lambda x, k: x[k], M, K)
    check(lambda x, k: x[k], M, K + 5)
    check(lambda x, k: x[k, 0], M, K, unknown=True)


@pytest.mark.parametrize("k", range(len(INDEXES)))
def test_writing(k):
    index = INDEXES[k]
    shape = np.shape(outcome(lambda: M[index])) if not isinstance(outcome(lambda: M[index]), Exception) else (3,)
    for unknown in (False, True):
        check(lambda x: written(x, index, 2.5), M, unknown=unknown)
        check(lambda x, v: written(x, index, v), M, rng.normal(size=shape), unknown=unknown)
        check(lambda x: written(x, index, True), M, unknown=unknown)
    check(lambda x, v: written(x, index, v), M, rng.normal(size=shape[-1:]))
    check(lambda x, v: written(x, index, v), M, rng.normal(size=(1, *shape)))
    check(lambda x, v: written(x, index, v), M, rng.normal(size=(2, 7)))


def test_writing_casts():
    check(lambda x: written(x, 0, 2.7), J)
    check(lambda x, v: written(x, 0, v), J, math.nan)
    check(lambda x, v: written(x, slice(None), v), J, V)
    check(lambda x, v: written(x, slice(None), v), B, V)
    check(lambda x: written(x, 0, 2**40), J)
    check(lambda x: written(x, 0, 2), F)
    check(lambda x: written(x, (0, 0), V[0]), F)


def test_masks():
    for mask in (M > 0, V > 0):
        check(lambda x, m: written(x, m, 0.5), M, mask)
        check(lambda x, m: written(x, m, 0.5), M, mask, unknown=True)
    check(lambda x, m, v: written(x, m, v), M, V > 0, W)
    check(lambda x, m: written(x, m, 1), M, W > 0)
    with pytest.raises(MyiaTypeError, match="np.where"):
        through(lambda x, m: x[m], M, M > 0)
    with pytest.raises(MyiaTypeError, match="np.where"):
        through(lambda x, m, v: written(x, m, v), V, V > 0, V[:2])


def test_inplace():
    for op in ("+", "-", "*", "/", "//", "**", "%", "&"):
        for a, b in ((V, 2), (V, V), (F, V[:3]), (I, 2), (J, I[0]), (M, W), (W, M), (I, 2.5), (B, True), (3, 4), (2.5, 2)):
            if not (op == "**" and a is V) and not narrow(outcome(updated, op, a, b)):
                check(lambda a, b, op=op: updated(op, a, b), a, b)
    check(lambda a, b: updated("@", a, b), N[:, :4], N[:, :4])


def test_truth_and_comparison():
    for x in (0, 2, 0.0, -0.0, math.nan, True, np.float32(0), V, V[:1], V[:0], (), (0,), [], {}, {"a": 1}, "", "x", None):
        check(lambda x: truth(x), x)
    check(lambda x: truth(x), V, unknown=True)
    check(lambda x: truth(x), V[:1], unknown=True)
    pairs = [((1, 2), (1, 2)), ((1, 2), (1, 3)), ((1, 2.5), (1, 2)), ((1,), (1, 2)), ((), ()), ([1], [2]), ("a", "b"), ((1, (2, 3)), (1, (2, 4))), (2, 2.0), (True, 1), (1, None), ("a", 1), ((1, 2), [1, 2]), (None, None)]
    for op in ("==", "!=", "<", "<=", ">", ">="):
        for a, b in pairs:
            check(lambda a, b, op=op: compared(op, a, b), a, b)
    for x in (1, 2.0, 7, "a", None):
        check(lambda x, s: compared("in", x, s), x, (1, 2, "a"))
        check(lambda x, s: compared("not in", x, s), x, (3, 2))
    check(lambda x, s: compared("in", x, s), "a", {"a": 1})
    check(lambda x, s: compared("in", x, s), 3, J)
    check(lambda x, s: compared("in", x, s), -3, J)
    check(lambda x, n: compared("in", x, call(range, 0, n, 3)), 6, 10)
    check(lambda x, n: compared("in", x, call(range, 0, n, 3)), 9, 9)


def test_an_int_beside_a_float_is_compared_exactly():
    for i in (2**53, 2**53 + 1, -(2**53) - 1, 2**62 + 1, 3, BIG):
        for x in (2.0**53, -(2.0**53), 2.0**62, 2.0**63, -(2.0**63), 3.5, math.inf, math.nan):
            for op in ("==", "!=", "<", "<=", ">", ">="):
                check(lambda a, b, op=op: compared(op, a, b), i, x)
                check(lambda a, b, op=op: compared(op, a, b), x, i)
                check(lambda a, op=op, x=x: compared(op, a, x), i)


def test_builtins():
    check(lambda a, b: call(min, a, b), 3, 2)
    check(lambda a, b: call(max, a, b), 3.5, 2.5)
    check(lambda a, b, c: call(max, (a, b, c)), 1.0, 5.0, 3.0)
    check(lambda: call(min, 3, 2.5, 7))
    check(lambda a, b: call(max, a, b), math.nan, 1.0)
    check(lambda a, b: call(max, a, b), 1.0, math.nan)
    check(lambda: call(min, (), default=4))
    check(lambda: call(min, ()))
    check(lambda a, b: call(min, (a, 1), (b, 2)), 3.0, 2.0)
    check(lambda a: call(sum, a), (1, 2.5, 3))
    check(lambda a: call(sum, a), V)
    check(lambda a: call(sum, a), M)
    check(lambda a: call(sum, a), J)
    check(lambda a: call(sum, a), B)
    check(lambda a: call(sum, a, 10), [1, 2])
    for n in (0, 1, 7, 10):
        check(lambda n: call(sum, call(range, n)), n)
        check(lambda n: call(sum, call(range, 3, n, 2)), n)
        check(lambda n: call(len, call(range, n, -5, -3)), n)
    check(lambda a: call(len, a), M)
    check(lambda a: call(len, a), (1, 2))
    check(lambda a: call(len, a), 3)
    check(lambda a: call(any, a), (0, 2))
    check(lambda a: call(all, a), (0, 2))
    check(lambda a: call(all, a), V)
    check(lambda a, b: call(isinstance, a, (int, float)), 2, 3)
    for x in (2, 2.5, True, np.float64(1), np.float32(1), np.int64(1), V, (1,), [1], {"a": 1}, "s", None):
        for cls in (int, float, bool, tuple, list, dict, str, np.ndarray, np.floating, np.integer, (int, str), type(None)):
            check(lambda x, cls=cls: call(isinstance, x, cls), x)
    check(lambda a: call(tuple, call(zip, a, (4, 5, 6))), (1, 2, 3))
    check(lambda a: call(list, call(enumerate, a, 2)), (1.5, 2.5))
    check(lambda a: call(list, call(reversed, a)), (1, 2))
    check(lambda a: call(list, call(map, abs, a)), (1, -2))
    check(lambda a: call(list, call(range, 2, 8, 3)), 1)
    check(lambda a: call(sorted, (3, 1, 2)), 1)
    check(lambda a: call(tuple, a), V)
    check(lambda a, b: call(pow, a, b), 2, 3)
    for k in (0, 1, 2):
        check(lambda v, k: item(v, k), V, k)
        check(lambda v, k: item(v, k), M, k, unknown=True)
        check(lambda v, k: item(call(enumerate, v, 5), k), V, k)
        check(lambda v, k: item(call(zip, v, (1.0, 2.0, 3.0)), k), M, k)
        check(lambda v, k: item(call(reversed, v), k), V, k)
        check(lambda n, k: item(call(range, 4, n, 3), k), 20, k)
        check(lambda n, k: item(call(reversed, call(range, n)), k), 20, k)


def test_sequences_and_dicts():
    check(lambda a: operated("+", a, (1, 2.5)), (3, 4))
    check(lambda a: operated("*", a, 2), [3, 4])
    check(lambda a: operated("+", a, [1]), (3, 4))
    check(lambda a, n: operated("%", a, n), "%d", "x")
    for index in (slice(1, None), -1, 3, slice(None, None, -1)):
        check(lambda a, i=index: picked(a, i), (3, 4, 5))
    with pytest.raises(MyiaTypeError):
        through(lambda a: picked(a, 0.5), (1, 2))
    assert through(lambda: call(dict.get, {"a": 1}, "a")) == 1
    assert through(lambda: call(dict.get, {"a": 1}, "b", 7)) == 7


def test_scipy_special():
    x = np.array([-800.0, -40.0, -3.0, 0.0, 0.5, 30.0, 800.0])
    p = np.array([0.1, 0.5, 0.9])
    for f in (special.expit, special.log_expit, special.erf, special.erfc):
        check(lambda x, f=f: f(x), x, rtol=1e-11, atol=0)
    for f in (special.logit, special.gamma, special.gammaln, special.digamma):
        check(lambda x, f=f: f(x), p, rtol=1e-11)
    check(lambda x, y: special.xlogy(x, y), np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 4.0]))
    check(lambda x, y: special.xlog1py(x, y), np.array([0.0, 0.0, 2.0]), np.array([-1.0, 3.0, 4.0]))
    for axis in (None, 0, 1):
        for f in (special.logsumexp, special.softmax, special.log_softmax):
            got = through(lambda x, f=f, a=axis: call(f, x, axis=a), M * 300)
            agree(got, f(M * 300, axis=axis), rtol=1e-11)


def test_float32_stays_float32_and_known_things_need_no_guards():
    ctx = Tracing()
    x = ctx.argument(F)
    out = library.binary(ctx, "**", library.binary(ctx, "*", x, ctx.const(2.0)), ctx.const(2))
    library.getitem(ctx, out, ctx.value((1, slice(None))))
    assert str(out.type) == "f32[2,3]"
    assert not [n for n in ctx.graph.nodes if n.op.name in ("guard", "cast", "dim")]


def test_views_are_marked():
    for f, is_view in [
        (lambda x: x[1:], True), (lambda x: x[K], False), (lambda x: x.T, True), (lambda x: x.reshape(-1), True), (lambda x: x.copy(), False), (lambda x: x.flatten(), False),
        (lambda x: np.ravel(x), True), (lambda x: x[0], True), (lambda x: x * 1, False), (lambda x: np.squeeze(x[None]), True), (lambda x: np.expand_dims(x, 0), True), (lambda x: np.concatenate([x, x]), False),
    ]:  # fmt: skip
        ctx = Tracing()
        from tracing import Proxy

        out = f(Proxy(ctx, ctx.argument(M)))
        assert (out._value.node in ctx.views) == is_view


@pytest.mark.parametrize("f", [
    lambda x: np.sum(x, out=x), lambda x: np.sort(x) if False else np.reshape(x, (4, 3), order="F"), lambda x: call(np.where, x), lambda x: call(min, x), lambda x: call(sorted, (x[0, 0], x[0, 1])),
    lambda x: call(np.zeros, 3, dtype=np.float16), lambda x: x.astype(complex), lambda x: call(np.array, ["a"]), lambda x: x[0.5], lambda x: x["a"], lambda x: call(math.sin), lambda x: x + None, lambda x: x.nonsense,
])  # fmt: skip
def test_refusals_are_errors_with_a_remedy(f):
    with pytest.raises(MyiaError) as error:
        through(f, M)
    assert isinstance(error.value, (TypeError, ValueError, IndexError, AttributeError))


def test_suggestions():
    assert "sort" in library.suggest(np.sort)
    assert library.suggest(object())
