"""The registry: every primitive has all its rules, and they are right; samples of each stand in `SAMPLES`.

Derivative rules are emitted into typed graphs, run by the interpreter, and compared with differences of the value: to
first order, and to second order by applying the rules to what the rules emitted.
"""

import numpy as np
import pytest
from op_samples import SAMPLES, TIES, X1, X2, I, sample
from straight_line import cotangents, zeros

from myia_lite.ad import Forward
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile
from myia_lite.ir import (
    F64,
    Bool,
    Builder,
    Constant,
    Graph,
    Primitive,
    Scalar,
    Stack,
    Sum,
    is_float,
    shape_of,
    shaped,
    verify,
)
from myia_lite.ops import PRIMITIVES, control, surface

SURFACE = {p.name: "elaborated away by inference" for p in vars(surface).values() if isinstance(p, Primitive)}
NO_VALUE = SURFACE | {
    "call": "a back end's control flow",
    "loop": "a back end's control flow",
    "recur": "a back end's control flow",
    "switch": "a back end's control flow",
    "case": "a back end's control flow",
    "guard": "raises; the machine knows where",
    "raise": "raises; the machine knows where",
    "grad": "expanded by ad",
    "jvp": "expanded by ad",
    "vmap": "expanded by ad",
    "vjp": "expanded by ad",
    "pullback": "expanded by ad",
    "stop_gradient": "removed by ad",
    "custom": "made a call by ad",
}
NO_DERIVATIVE_RULE = {
    "call": "ad makes the reverse of the callee",
    "loop": "ad makes the reverse of the loop",
    "recur": "ad makes the reverse of the loop",
    "switch": "ad makes the reverse of the branches",
    "case": "ad: its pullback is make",
    "make": "ad: its pullback is case",
    "tuple": "ad: cotangents of tuples are tuples",
    "get": "ad: cotangents of tuples are tuples",
    "stack_new": "ad: the cotangent of a stack is a stack",
    "stack_push": "ad: its pullback is stack_pop",
    "stack_pop": "ad: its pullback is stack_push",
    "grad": "ad expands the inner one first",
    "jvp": "ad expands the inner one first",
    "vmap": "ad expands the inner one first",
    "vjp": "ad expands the inner one first",
    "pullback": "ad expands the inner one first",
    "custom": "ad: the program gives its rules",
    "foreign": "ad: differentiated by `custom` only",
}

TYPED = [p for name, p in PRIMITIVES.items() if name not in SURFACE]

DTYPE = {"bool": "bool", "int32": "i32", "int64": "i64", "float32": "f32", "float64": "f64"}
ON_DATA = ("get", "make", "stack_new", "stack_push", "stack_pop", "stack_len")  # sampled by `test_data` instead
CASES = [pytest.param(p, *s, id=f"{p.name}-{k}") for p in TYPED for k, s in enumerate(SAMPLES.get(p.name, ()))]


def is_smooth(p, args, attrs):
    floats = args[1:] if p.name == "select" else args
    ruled = p.derivative or p.vjp or p.vjp_into
    return ruled and floats[0].dtype == float and attrs.get("dtype", "f64") in ("f32", "f64")


SMOOTH = [c for c in CASES if is_smooth(*c.values)]


def with_sizes(cases):
    """Each with the sizes of its arrays known to the compiler, and unknown."""
    out = []
    for case in cases:
        out.append(pytest.param(*case.values, True, id=f"{case.id}-known"))
        if any(a.ndim for a in case.values[1]):
            out.append(pytest.param(*case.values, False, id=f"{case.id}-unknown"))
    return out


def type_of(v, known=True):
    return shaped(DTYPE[str(v.dtype)], tuple(d if known else None for d in v.shape))


# ---- the registry ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("p", TYPED, ids=lambda p: p.name)
def test_every_primitive_is_complete(p):
    assert p.type_rule and p.doc
    assert p.name in NO_VALUE or p.value
    ways = [w for w in (p.derivative, p.vjp, p.vjp_into, p.zero_derivative, NO_DERIVATIVE_RULE.get(p.name)) if w]
    assert len(ways) == 1, f"{p.name}: one derivative rule, or one reason why there is none"
    ways = [w for w in (p.derivative, p.linear, p.jvp, p.zero_derivative, NO_DERIVATIVE_RULE.get(p.name)) if w]
    assert len(ways) == 1, f"{p.name}: one rule for forward mode, or one reason why there is none"
    assert not p.elementwise or p.derivative or p.zero_derivative
    assert p.name in NO_VALUE or p.name in ON_DATA or SAMPLES.get(p.name), f"no samples of {p.name}"


def test_the_lists_of_exceptions_are_not_stale():
    for listed in (NO_VALUE, NO_DERIVATIVE_RULE, SAMPLES):
        assert set(listed) <= set(PRIMITIVES)
    assert not [n for n in NO_VALUE if PRIMITIVES[n].value]


# ---- type rules agree with values ------------------------------------------------------------------------------------
def matches(v, t) -> bool:
    if isinstance(v, tuple):
        return all(map(matches, v, t.elems))
    shape = shape_of(t)
    return (
        DTYPE[str(v.dtype)] == t.dtype
        and len(v.shape) == len(shape)
        and all(d is None or d == n for d, n in zip(shape, v.shape, strict=True))
        and isinstance(v, np.ndarray) == bool(shape)
    )


@pytest.mark.parametrize(("p", "args", "attrs", "known"), with_sizes(CASES))
def test_type_rule_and_value(p, args, attrs, known):
    copies = [a.copy() for a in args]
    with np.errstate(all="ignore"):
        y = p.value(*args, **attrs)
    assert matches(y, p.type_rule([type_of(a, known) for a in args], attrs, ()))
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(args, copies, strict=True)), (
        "it wrote into an argument"
    )
    if isinstance(y, np.ndarray):
        assert y.flags.writeable and not any(np.shares_memory(y, a) for a in args)


@pytest.mark.parametrize(("p", "args", "attrs"), [c for c in CASES if c.values[0].in_place])
def test_in_place_writes_where_told(p, args, attrs):
    x = args[0].copy()
    y = p.value(x, *args[1:], own=True, **attrs)
    assert y is x and np.array_equal(y, p.value(*args, **attrs))


def test_data():
    """Tuples, sums, stacks: through the interpreter."""
    option = Sum("option", {"none": (), "some": (F64,)})
    g = Graph("f")
    none, some = Graph("none", g), Graph("some", g)
    none.returns(Constant(0.0, F64))
    some.returns(some.parameter(F64, "v"))
    with Builder(g) as b:
        x = g.parameter(F64, "x")
        v = b.emit(control.case, control.make(x, sum=option, tag="some"), graphs=(none, some))
        stack = control.stack_push(control.stack_push(control.stack_new(elem=F64), v), x * 2.0)
        popped = control.stack_pop(stack)
        left, top = control.get(popped, index=0), control.get(popped, index=1)
        g.returns(control.tuple_(top, control.stack_len(stack), control.stack_len(left)))
    assert stack.type == Stack(F64)
    assert compile(verify(g))([1.5]) == [3.0, 2, 1]


# ---- derivatives -----------------------------------------------------------------------------------------------------
def graph_of(p, types, attrs, order):
    """Parameters: the arguments, then (from order 1) a cotangent, then (order 2) a cotangent of each cotangent.

    Results: the value; or the cotangents of the float arguments; or those of these arguments and of the cotangent.
    """
    g = Graph(p.name)
    args = [g.parameter(t) for t in types]
    wrt = [a for a in args if is_float(a.type)]
    with Builder(g):
        y = p(*args, **attrs)
        if order == 0:
            return verify(g.returns(y))
        d = g.parameter(y.type, "d")
        bars = cotangents([y], {y: d}, wrt)
        if order == 1:
            return finish(g, bars, wrt)
        seeds, nodes = {}, list(g.nodes)
        for b in bars:
            if b is not None:
                w = g.parameter(b.type, "w")
                seeds[b] = seeds[b] + w if b in seeds else w
        return finish(g, cotangents(nodes, seeds, [*wrt, d]), [*wrt, d])


def finish(g, bars, wrt):
    """Zeros where there is no cotangent, so that results stand in the order of `wrt`."""
    bars = [zeros(x) if b is None else b for x, b in zip(wrt, bars, strict=True)]
    return verify(g.returns(control.tuple_(*bars)))


def difference(f, x, u, step=1e-3):
    """The derivative of f at x along u, to fourth order."""
    at = lambda t: f([a + t * b if b is not None else a for a, b in zip(x, u, strict=True)])  # noqa: E731
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def inner(xs, ys):
    return sum(float(np.sum(np.asarray(x, float) * y)) for x, y in zip(xs, ys, strict=True))


def like(values, rng):
    return [rng.normal(size=v.shape)[()] for v in values]


def directions(args, rng):
    """One for each float argument alone."""
    for k, a in enumerate(args):
        if a.dtype.kind == "f":
            yield k, [rng.normal(size=a.shape)[()] if j == k else None for j in range(len(args))]


@pytest.mark.parametrize(("p", "args", "attrs", "known"), with_sizes(SMOOTH))
def test_first_and_second_derivative(p, args, attrs, known):
    rng = np.random.default_rng(1)
    types = [type_of(a, known) for a in args]
    value, first, second = (compile(graph_of(p, types, attrs, k)) for k in range(3))
    (y,) = value(args)
    (d,) = like([y], rng)
    bars = first([*args, d])
    floats = [k for k, a in enumerate(args) if a.dtype.kind == "f"]
    single = y.dtype == np.float32  # a cast: differences of it see the rounding
    near = {"rtol": 1e-2, "atol": 1e-2} if single else {"rtol": 1e-7, "atol": 1e-8}
    for k, u in directions(args, rng):
        expected = difference(lambda x: inner([d], value(x)), args, u, 0.5 if single else 1e-3)
        np.testing.assert_allclose(np.sum(bars[floats.index(k)] * u[k]), expected, **near)
    if single:
        return
    point = [*args, d]
    # a rule without a part gives zeros, and no weight of them is asked for
    weights = like(bars, rng)
    wanted = second_weights(p, types, attrs, weights)
    bars_bar = second([*point, *wanted[0]])
    for k, u in directions(point, rng):
        expected = difference(lambda x: inner(wanted[1], first(x)), point, u)
        j = [i for i, a in enumerate(point) if a.dtype.kind == "f"].index(k)
        np.testing.assert_allclose(np.sum(bars_bar[j] * u[k]), expected, rtol=1e-6, atol=1e-7)


def second_weights(p, types, attrs, weights):
    """The weights that the graph of order 2 takes (those of existing cotangents), and all with 0 for the others."""
    g = Graph("count")
    args = [g.parameter(t) for t in types]
    with Builder(g):
        y = p(*args, **attrs)
        bars = cotangents([y], {y: g.parameter(y.type)}, [a for a in args if is_float(a.type)])
    given = [w for w, b in zip(weights, bars, strict=True) if b is not None]
    return given, [w if b is not None else 0.0 * w for w, b in zip(weights, bars, strict=True)]


@pytest.mark.parametrize(("p", "args", "attrs"), [c for c in SMOOTH if c.values[0].derivative])
def test_one_rule_for_both_modes(p, args, attrs):
    """An elementwise rule gives the result's tangent, where d is the tangent of the argument."""
    rng = np.random.default_rng(2)
    for k, u in directions(args, rng):
        g = Graph(p.name)
        params = [g.parameter(type_of(a)) for a in args]
        with Builder(g):
            y = p(*params, **attrs)
            y_dot = p.derivative(g.parameter(params[k].type, "x_dot"), y, *params, **attrs)[k]
            g.returns(Constant(0.0, F64) if y_dot is None else y_dot)
        (tangent,) = compile(verify(g))([*args, u[k]])
        step = 0.5 if attrs.get("dtype") == "f32" else 1e-3
        expected = difference(lambda x: np.asarray(p.value(*x, **attrs), float), args, u, step)
        np.testing.assert_allclose(
            np.broadcast_to(tangent, expected.shape), expected, rtol=1e-2 if step == 0.5 else 1e-7, atol=1e-6
        )


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(("p", "args", "attrs"), SMOOTH)
def test_forward_is_reverse(p, args, attrs, known):
    """To first order, for each argument alone and all together; to second order along all."""
    rng = np.random.default_rng(3)
    types = [type_of(a, known) for a in args]
    value, first = (compile(graph_of(p, types, attrs, k)) for k in range(2))
    (y,) = value(args)
    (d,) = like([y], rng)
    bars = first([*args, d])
    floats = [k for k, a in enumerate(args) if a.dtype.kind == "f"]
    near = {"rtol": 1e-4, "atol": 1e-4} if y.dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-9}
    dots = {k: rng.normal(size=args[k].shape)[()] for k in floats}
    for wrt in dict.fromkeys([*((k,) for k in floats), tuple(floats)]):
        forward = compile(verify(Forward().jvp(graph_of(p, types, attrs, 0), wrt)))
        y2, y_dot = forward([*args, *(dots[k] for k in wrt)])
        assert np.array_equal(y2, y) and y_dot.dtype == y.dtype and np.shape(y_dot) == np.shape(y)
        expected = sum(np.sum(bars[floats.index(k)] * dots[k]) for k in wrt)
        np.testing.assert_allclose(inner([d], [y_dot]), expected, **near)
    if y.dtype == np.float32:
        return
    point = [*args, *dots.values()]
    twice = compile(verify(Forward().jvp(Forward().jvp(graph_of(p, types, attrs, 0), tuple(floats)), tuple(floats))))
    once = compile(Forward().jvp(graph_of(p, types, attrs, 0), tuple(floats)))
    u = [rng.normal(size=a.shape)[()] if k in floats else None for k, a in enumerate(args)] + [None] * len(floats)
    *_, y_dot_dot = twice([*point, *(u[k] for k in floats)])
    along = difference(lambda x: np.asarray(once(x)[1]), point, u)
    np.testing.assert_allclose(y_dot_dot, along, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("p", "args", "attrs"), [c for c in SMOOTH if c.values[0].name != "cast"])
def test_f32_stays_f32(p, args, attrs):
    """No node of a derivative is wider, not even one that is multiplied by zero."""
    args = [a.astype("f4") if a.dtype.kind == "f" else a for a in args]
    for order in (0, 1, 2):
        g = graph_of(p, [type_of(a) for a in args], attrs, order)
        for n in g.nodes:
            for m in (n, *n.args):
                assert getattr(m.type, "dtype", None) != "f64", f"{n.op.name} has an f64"
    with np.errstate(all="ignore"):
        y = p.value(*args, **attrs)
    assert y.dtype == np.float32
    for bar in compile(graph_of(p, [type_of(a) for a in args], attrs, 1))([*args, y]):
        assert bar.dtype == np.float32
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")
    for n in Forward().jvp(graph_of(p, [type_of(a) for a in args], attrs, 0), floats).nodes:
        assert all(getattr(m.type, "dtype", None) != "f64" for m in (n, *n.args)), f"{n.op.name} has an f64"


# ---- native lowerings ------------------------------------------------------------------------------------------------
# Every primitive with a sample is lowered here; those of control flow and data in the programs of `test_interp`.
def close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype and np.shape(a) == np.shape(e)
        near = 1e-4 if e.dtype == np.float32 else 1e-10
        np.testing.assert_allclose(a, e, rtol=near, atol=near)


@pytest.mark.parametrize(("p", "args", "attrs", "known"), with_sizes(CASES))
def test_native_value(p, args, attrs, known):
    g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
    close(get_backend("llvm").compile(g)(args), compile(g)(args))


@pytest.mark.parametrize(("p", "args", "attrs"), SMOOTH)
def test_native_derivative(p, args, attrs):
    types = [type_of(a, known=False) for a in args]
    (y,) = compile(graph_of(p, types, attrs, 0))(args)
    g = graph_of(p, types, attrs, 1)
    close(get_backend("llvm").compile(g)([*args, y]), compile(g)([*args, y]))


# ---- conventions at the edges ----------------------------------------------------------------------------------------
def slopes(name, *args, **attrs):
    """The derivative in each argument."""
    values = [np.float64(a) for a in args]
    g = graph_of(PRIMITIVES[name], [F64] * len(args), attrs, 1)
    return [float(v) for v in compile(g)([*values, 1.0])]


def curvatures(name, k, *args, **attrs):
    """The derivative in each argument of the derivative in argument k."""
    p, g = PRIMITIVES[name], Graph(name)
    params = [g.parameter(F64) for _ in args]
    with Builder(g):
        y = p(*params, **attrs)
        bar = cotangents([y], {y: Constant(1.0, F64)}, params)[k]
        finish(g, cotangents(list(g.nodes), {bar: Constant(1.0, F64)}, params), params)
    return [float(v) for v in compile(g)(list(args))]


INF, NAN = np.inf, np.nan
EDGES = [
    ("abs", (0.0,), [0.0]),
    ("sqrt", (0.0,), [INF]),
    ("cbrt", (0.0,), [INF]),
    ("log", (0.0,), [INF]),
    ("asin", (1.0,), [INF]),
    ("atan", (1e200,), [0.0]),
    ("maximum", (2.0, 2.0), [0.5, 0.5]),
    ("minimum", (2.0, 2.0), [0.5, 0.5]),
    ("fmax", (2.0, 2.0), [0.5, 0.5]),
    ("fmax", (NAN, 2.0), [0.0, 1.0]),
    ("fmax", (2.0, NAN), [1.0, 0.0]),
    ("fmin", (NAN, 2.0), [0.0, 1.0]),
    ("pow", (0.0, 0.0), [0.0, 0.0]),
    ("pow", (0.0, 1.0), [1.0, 0.0]),
    ("pow", (0.0, 2.0), [0.0, 0.0]),
    ("pow", (3.0, 0.0), [0.0, np.log(3.0)]),
    ("pow", (-2.0, 3.0), [12.0, NAN]),
    ("pow", (0.0, -1.0), [-INF, 0.0]),
    ("hypot", (0.0, 0.0), [0.0, 0.0]),
    ("hypot", (3e200, 4e200), [0.6, 0.8]),
    ("atan2", (0.0, 0.0), [NAN, NAN]),
    ("atan2", (3e200, 4e200), [1.6e-201, -1.2e-201]),
    ("atan2", (3e-200, 4e-200), [1.6e199, -1.2e199]),
    ("copysign", (-0.0, 2.0), [-1.0, 0.0]),
    ("erf", (1e200,), [0.0]),
]


@pytest.mark.parametrize(("name", "at", "expected"), EDGES)
def test_derivatives_at_edges(name, at, expected):
    np.testing.assert_allclose(slopes(name, *at), expected, rtol=1e-12, equal_nan=True)


def test_second_derivatives_at_edges():
    assert slopes("powi", 0.0, n=1) == [1.0] and slopes("powi", 0.0, n=0) == [0.0]
    assert curvatures("powi", 0, 0.0, n=2) == [2.0]
    assert curvatures("pow", 0, 0.0, 2.0) == [2.0, 0.0]
    assert curvatures("pow", 0, 0.0, 1.0)[0] == 0.0
    assert curvatures("pow", 0, 3.0, 0.0)[0] == 0.0
    assert curvatures("pow", 0, -2.0, 3.0)[0] == -12.0
    assert curvatures("abs", 0, 0.0) == [0.0]
    assert curvatures("maximum", 0, 2.0, 2.0) == [0.0, 0.0]


def gradient(name, x, y_bar, **attrs):
    g = graph_of(PRIMITIVES[name], [type_of(x)], attrs, 1)
    return compile(g)([x, y_bar])[0].tolist()


def test_ties_share():
    assert gradient("reduce_max", TIES, np.array([1.0, 1.0]), axes=(1,)) == [[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]]
    assert gradient("reduce_min", np.array([0.0, 0.0, -0.0, 1.0]), 3.0, axes=(0,)) == [1.0, 1.0, 1.0, 0.0]
    assert gradient("reduce_max", np.array([0.0, NAN]), 1.0, axes=(0,)) == [0.5, 0.5]  # no silent zeros
    assert gradient("reduce_max", np.array([0.0, INF]), INF, axes=(0,)) == [0.0, INF]  # no needless NaN


def test_products_of_zeros():
    assert gradient("reduce_prod", np.array([2.0, 0.0, 3.0]), 1.0, axes=(0,)) == [0.0, 6.0, 0.0]
    assert gradient("reduce_prod", np.array([2.0, 0.0, 0.0]), 1.0, axes=(0,)) == [0.0, 0.0, 0.0]


# ---- conventions of values -------------------------------------------------------------------------------------------
VALUES = [
    ("slice", (I([0, 1, 2, 3, 4]), 4, 3), {"steps": (-2,), "shape": (None,)}, [4, 2, 0]),
    ("slice_set", (I([0, 1, 2, 3, 4]), I([7, 8]), 3), {"steps": (-3,)}, [8, 1, 2, 7, 4]),
    ("scatter_set", (I([0, 0]), I([5, 6, 7]), I([1, 1, 0])), {}, [7, 6]),
    ("scatter_add", (I([0, 1]), I([5, 6, 7]), I([1, 1, 0])), {}, [7, 12]),
    ("gather", (I([[1, 2], [3, 4]]), I([1, 1, 0])), {}, [[3, 4], [3, 4], [1, 2]]),
    ("broadcast", (I([1, 2]),), {"shape": (2, 2), "axes": (0,)}, [[1, 1], [2, 2]]),
    ("concat", (I([[1], [2]]), I([[3], [4]])), {"axis": 1}, [[1, 3], [2, 4]]),
    ("argmax", (I([1.0, NAN, 5.0]),), {"axis": 0}, 1),
    ("argmax", (I([1.0, 5.0, 5.0]),), {"axis": 0}, 1),
    ("reduce_sum", (np.empty((0, 2)),), {"axes": (0,)}, [0.0, 0.0]),
    ("reduce_prod", (np.empty(0),), {"axes": (0,)}, 1.0),
    ("reduce_sum", (I([2**31 - 1, 1], dtype="i4"),), {"axes": (0,)}, -(2**31)),
    ("cumsum", (I([1, 2, 3]),), {"axis": 0, "reverse": True}, [6, 5, 3]),
    ("recurrence", (I([2, 3, 9]), I([1, 10, 100])), {"reverse": False}, [1, 12, 136]),
    ("recurrence", (I([2, 3, 9]), I([1, 10, 100])), {"reverse": True}, [621, 310, 100]),
    ("floordiv", (7, 0), {}, 0),
    ("floordiv", (-7, 2), {}, -4),
    ("mod", (-7, 2), {}, 1),
    ("mod", (7.0, -2.0), {}, -1.0),
    ("fmod", (-7.0, 2.0), {}, -1.0),
    ("add", (2**63 - 1, 1), {}, -(2**63)),
    ("cast", (-2.7,), {"dtype": "i64"}, -2),
    ("cast", (0.5,), {"dtype": "bool"}, True),
    ("rint", (2.5,), {}, 2.0),
    ("mul_overflows", (2**62, 2), {}, True),
    ("mul_overflows", (-(2**62), 2), {}, False),
    ("pow_overflows", (-2, 63), {}, False),
    ("pow_overflows", (2, 63), {}, True),
]


@pytest.mark.parametrize(("name", "args", "attrs", "expected"), VALUES)
def test_values(name, args, attrs, expected):
    args, _ = sample(*args)
    with np.errstate(all="ignore"):
        assert PRIMITIVES[name].value(*args, **attrs).tolist() == expected


def test_types_that_do_not_fit_are_refused():
    for name, args, attrs in [
        ("add", (X1, X2), {}),
        ("add", (1.5, 2), {}),
        ("sin", (1,), {}),
        ("reshape", (X2,), {"shape": (5,)}),
        ("matmul", (X2, X2), {"ta": False, "tb": False}),
        ("elem", (X2, 1), {}),
        ("set_elem", (X1, 1, 0), {}),
        ("concat", (X1, X2), {"axis": 0}),
        ("broadcast", (X1,), {"shape": (4, 2), "axes": (0,)}),
        ("reduce_sum", (X1,), {"axes": (1,)}),
        ("recurrence", (X1, X2), {"reverse": False}),
    ]:
        with pytest.raises(TypeError):
            PRIMITIVES[name].type_rule([type_of(a) for a in sample(*args)[0]], attrs, ())
    assert PRIMITIVES["guard"].type_rule([Bool], {}, ()).elems == () and Scalar("f64") == F64
