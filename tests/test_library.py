"""What the library makes of Python, NumPy and math, against Python and NumPy themselves.

Each case is an expression and its arguments; `check` compares value, dtype, kind and exception.
"""

import math

import numpy as np
import pytest
from operands import B, E, F, I, J, M, T, V, W, narrow
from scipy import special
from tracing import (
    Proxy,
    Tracing,
    agree,
    call,
    check,
    compared,
    item,
    operated,
    outcome,
    picked,
    through,
    truth,
)

from myia_lite.infer import library
from myia_lite.ir import MyiaError, MyiaTypeError, MyiaValueError

rng = np.random.default_rng(3)
OPERANDS = [
    2,
    -3,
    True,
    2.5,
    np.float64(1.5),
    np.float32(0.5),
    np.int64(4),
    np.int32(-2),
    np.bool_(True),
    V,
    F,
    I,
    J,
    B,
]

OPERATIONS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


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


@pytest.mark.parametrize(
    "base", [2, -3, 0, True, 2.5, -0.5, 0.0, np.float64(-1.5), np.float32(2), np.int64(3), V, F, I, J]
)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, -1, -2, 0.5, 2.0, -1.5, 1.0, 0.0])
def test_powers_by_constants(base, exponent):
    f = lambda a: a**exponent  # noqa: E731
    want = outcome(f, base)
    if isinstance(want, complex):
        with pytest.raises(ValueError, match="complex"):
            through(f, base)
    else:
        check(f, base)


@pytest.mark.parametrize(
    "a, b",
    [
        (2, 5),
        (2, 62),
        (2, 63),
        (-2, 63),
        (-2, 64),
        (0, 0),
        (10**6, 4),
        (2.5, 3),
        (2.0, 1024.0),
        (0.0, -1.0),
        (2.0, -2000.0),
        (math.inf, 2.0),
        (0.0, -math.inf),
        (math.nan, 0.0),
        (-8.0, 3.0),
        (np.float64(2), 2000.0),
        (np.int64(2), 63),
        (V, V * V),
        (I * I, I * I),
        (3, np.int64(2)),
    ],
)
def test_powers(a, b):
    got = outcome(through, lambda a, b: a**b, a, b)
    want = outcome(lambda a, b: a**b, a, b)
    if isinstance(want, int) and not isinstance(want, bool) and not -(2**63) <= want < 2**63:
        assert isinstance(got, OverflowError)
    else:
        check(lambda a, b: a**b, a, b)


BIG = 2**63 - 1


@pytest.mark.parametrize(
    "f, args",
    [
        (lambda a, b: a + b, (BIG, 1)),
        (lambda a, b: a - b, (-BIG, 2)),
        (lambda a, b: a * b, (BIG, 2)),
        (lambda a: -a, (-BIG - 1,)),
        (lambda a, b: a // b, (-BIG - 1, -1)),
        (lambda a: call(abs, a), (-BIG - 1,)),
        (lambda a, b: a << b, (1, 63)),
        (lambda a, b: a << b, (3, 200)),
        (lambda a: call(int, a), (1e19,)),
        (lambda a: call(round, a), (-1e300,)),
    ],
)
def test_int_overflow_raises(f, args):
    with pytest.raises(OverflowError):
        through(f, *args)


@pytest.mark.parametrize(
    "f", [lambda a, b: a / b, lambda a, b: a // b, lambda a, b: a % b, lambda a, b: call(divmod, a, b)]
)
@pytest.mark.parametrize(
    "a, b",
    [
        (7, 0),
        (7.5, 0.0),
        (7, 0.0),
        (-7, 2),
        (7, -2),
        (-7.5, 2),
        (7.5, -2.0),
        (True, 2),
        (1e300, 1e-300),
        (5.0, math.inf),
        (-5.0, math.inf),
        (-0.0, 3.0),
    ],
)
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


HARD = [
    0.5,
    1.5,
    2.5,
    -2.5,
    2.675,
    8.475,
    0.285,
    1.005,
    5.015,
    1.115,
    -8.475,
    1e300,
    -1e22,
    1234567.891,
    0.0,
    -0.4,
    45.0,
    55.0,
    2.5e-7,
]


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


MATH1 = """
    sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    erf erfc gamma lgamma fabs degrees radians isnan isinf isfinite floor ceil trunc modf
""".split()


@pytest.mark.parametrize("name", MATH1)
def test_math_of_one_argument(name):
    f = getattr(math, name)
    for x in (
        0.5,
        -0.5,
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -3.0,
        3.7,
        -2.5,
        800.0,
        -800.0,
        1e308,
        -1e308,
        172.0,
        math.inf,
        -math.inf,
        math.nan,
        3,
        True,
        np.float32(0.5),
        np.int32(2),
        V,
        V[:1],
    ):
        if (
            name in ("floor", "ceil", "trunc")
            and np.size(x) == 1
            and abs(float(np.ravel(x)[0])) > 1e18
            and np.all(np.isfinite(x))
        ):
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
    with pytest.raises(MyiaTypeError, match="as an integer"):
        through(lambda n: call(math.factorial, n), 5.0)


UFUNCS1 = """
    sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh
    arccosh arctanh rint fabs signbit deg2rad rad2deg degrees radians negative positive absolute sign square
    reciprocal floor ceil trunc isnan isinf isfinite logical_not invert
""".split()
UFUNCS2 = """
    add subtract multiply divide floor_divide remainder fmod power float_power arctan2 hypot copysign maximum
    minimum fmax fmin heaviside logaddexp logaddexp2 equal not_equal less less_equal greater greater_equal
    logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift
""".split()


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
    pairs = [
        (M, W),
        (M, M[:, :1]),
        (2.0, F),
        (F, 3),
        (I, J),
        (J, 2),
        (B, B),
        (B, 2),
        (V, B),
        (V[:, None], W),
        (E, E[:, :1]),
        (3, 2.5),
        (np.int32(3), np.float32(2)),
        (edge[:, None], edge),
        (I, I),
        (abs(I), 2),
    ]
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


def test_truth_and_comparison():
    for x in (
        0,
        2,
        0.0,
        -0.0,
        math.nan,
        True,
        np.float32(0),
        V,
        V[:1],
        V[:0],
        (),
        (0,),
        [],
        {},
        {"a": 1},
        "",
        "x",
        None,
    ):
        check(lambda x: truth(x), x)
    check(lambda x: truth(x), V, unknown=True)
    check(lambda x: truth(x), V[:1], unknown=True)
    pairs = [
        ((1, 2), (1, 2)),
        ((1, 2), (1, 3)),
        ((1, 2.5), (1, 2)),
        ((1,), (1, 2)),
        ((), ()),
        ([1], [2]),
        ("a", "b"),
        ((1, (2, 3)), (1, (2, 4))),
        (2, 2.0),
        (True, 1),
        (1, None),
        ("a", 1),
        ((1, 2), [1, 2]),
        (None, None),
    ]
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
        for cls in (
            int,
            float,
            bool,
            tuple,
            list,
            dict,
            str,
            np.ndarray,
            np.floating,
            np.integer,
            (int, str),
            type(None),
        ):
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
        (lambda x: x[1:], True),
        (lambda x: x[[0, -1]], False),
        (lambda x: x.T, True),
        (lambda x: x.reshape(-1), True),
        (lambda x: x.copy(), False),
        (lambda x: x.flatten(), False),
        (lambda x: np.ravel(x), True),
        (lambda x: x[0], True),
        (lambda x: x * 1, False),
        (lambda x: np.squeeze(x[None]), True),
        (lambda x: np.expand_dims(x, 0), True),
        (lambda x: np.concatenate([x, x]), False),
    ]:
        ctx = Tracing()
        out = f(Proxy(ctx, ctx.argument(M)))
        assert (out._value.node in ctx.views) == is_view


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x, out=x),
        lambda x: np.reshape(x, (4, 3), order="F"),
        lambda x: call(np.where, x, 1.0),
        lambda x: call(min, x),
        lambda x: call(sorted, x),
        lambda x: x.sort(),
        lambda x: call(np.sort, x[0, 0]),
        lambda x: call(np.sort, x, kind="bogo"),
        lambda x: call(np.sort, x, order="name"),
        lambda x: call(np.unique, x, axis=0),
        lambda x: call(np.median, x[:0]),
        lambda x: call(np.quantile, x, (0.1, 0.9)),
        lambda x: call(np.quantile, x, 0.5, method="nearest"),
        lambda x: call(np.searchsorted, x, 1.0),
        lambda x: call(np.searchsorted, x[0], 1.0, side="middle"),
        lambda x: call(np.nonzero, 1.0),
        lambda x: call(np.compress, x > 0, x),
        lambda x: call(np.zeros, 3, dtype=np.float16),
        lambda x: x.astype(np.clongdouble),
        lambda x: call(np.array, ["a"]),
        lambda x: x[0.5],
        lambda x: x["a"],
        lambda x: call(math.sin),
        lambda x: x + None,
        lambda x: x.nonsense,
    ],
)
def test_refusals_are_errors_with_a_remedy(f):
    with pytest.raises(MyiaError) as error:
        through(f, M)
    assert isinstance(error.value, (TypeError, ValueError, IndexError, AttributeError))


def test_suggestions():
    assert "np.sort" in library.suggest(np.partition)
    assert library.suggest(object())
