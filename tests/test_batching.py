"""Many rows at once: a batched program is the program of each row, for every primitive, in all the ways there are; and
Jacobians made so are those of the columns and of the rows."""

import copy
import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from compare import leaves
from test_ops import CASES, NO_VALUE, SMOOTH, TYPED, close, graph_of, type_of
from test_programs import DERIVED, differentiable_cases, plain

from myia_lite import custom_derivative, foreign, hessian, jacfwd, jacrev, jvp, myia, vjp
from myia_lite.ad import Forward, Reverse
from myia_lite.ad.varying import Calls
from myia_lite.ad.vmap import OneByOne, SideBySide, Together
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile
from myia_lite.backends.interp.machine import execute
from myia_lite.backends.interp.plan import Plan, as_value
from myia_lite.compiler import optimised
from myia_lite.ir import Builder, Graph, shape_of, verify
from myia_lite.ops import PRIMITIVES

ROWS = 5
WAYS = {"stacked": (Together, ROWS), "groups": (Together, 2), "lanes": (SideBySide, 2), "one by one": (OneByOne, 1)}
NO_BATCH = {
    "add_overflows": "asked of two Python ints; in lanes",
    "sub_overflows": "asked of two Python ints; in lanes",
    "mul_overflows": "asked of two Python ints; in lanes",
    "pow_overflows": "asked of two Python ints; in lanes",
    "foreign": "it is called for each row; in lanes",
    "iota": "it has sizes only, and rows are of one size",
    "tuple": "the rows of a tuple are those of its parts",
    "get": "the rows of a tuple are those of its parts",
    "make": "the rows of a sum are those of its floats",
    "stack_new": "the rows of a stack are those of its floats",
    "stack_push": "the rows of a stack are those of its floats",
    "stack_pop": "the rows of a stack are those of its floats",
    "stack_len": "rows agree on it",
} | {name: f"{reason}: `test_control`" for name, reason in NO_VALUE.items()}


@pytest.mark.parametrize("p", TYPED, ids=lambda p: p.name)
def test_every_primitive_is_batched(p):
    ways = [w for w in (p.batch or p.elementwise and p.name not in NO_BATCH, NO_BATCH.get(p.name)) if w]
    assert len(ways) == 1, f"{p.name}: elementwise, a rule for batching, or one reason why there is none"


def test_the_list_of_exceptions_is_not_stale():
    assert set(NO_BATCH) <= set(PRIMITIVES)


# ---- primitives ------------------------------------------------------------------------------------------------------
def batched(g, over, way, known=True):
    """The program for rows of the arguments `over`."""
    kind, width = WAYS[way]
    calls, mask = Calls(), frozenset((k, ()) for k in over)
    calls(g, mask)
    return verify(kind(g, over, ROWS if known else None, calls, mask, width).graph())


def rows_of(values, over, rng):
    """Rows near the values, and for each row the values themselves."""
    values = list(values)
    for k in over:
        near = [values[k] + 0.01 * rng.normal(size=np.shape(values[k])) for _ in range(ROWS)]
        values[k] = np.array(near).astype(values[k].dtype)
    return values, [[v[r] if k in over else v for k, v in enumerate(values)] for r in range(ROWS)]


def check_rows(g, over, values, ways=WAYS, known=True, backend=compile):
    """The batched program gives for each row what g gives."""
    stacked, rows = rows_of(values, over, np.random.default_rng(4))
    one = compile(g)
    with np.errstate(all="ignore"):
        results = [one(row) for row in rows]
        expected = [np.array(column) for column in zip(*results, strict=True)]
        for way in ways:
            new = batched(g, over, way, known)
            likes = [r for r, t in zip(results[0], result_types(g), strict=True) if None in shape_of(t)]
            close(backend(new)([*stacked, *likes]), expected)


def result_types(g):
    return g.result_type.elems if hasattr(g.result_type, "elems") else (g.result_type,)


def masks(args):
    """Each float argument alone, and all."""
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")
    return dict.fromkeys([*((k,) for k in floats), floats]) if floats else ()


FLOATS = [c for c in CASES if any(a.dtype.kind == "f" for a in c.values[1])]


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(("p", "args", "attrs"), FLOATS)
def test_value(p, args, attrs, known):
    g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
    ways = WAYS if p.batch or p.elementwise else ("lanes", "one by one")
    for over in masks(args):
        check_rows(g, over, args, ways, known)


@pytest.mark.parametrize(("p", "args", "attrs"), [c for c in FLOATS if c.values[0].batch])
def test_native_value(p, args, attrs):
    *_, over = masks(args)
    g = graph_of(p, [type_of(a, known=False) for a in args], attrs, 0)
    check_rows(g, over, args, ["stacked"], False, get_backend("llvm").compile)


INDEXED = ["elem", "set_elem", "add_elem", "gather", "scatter_set", "scatter_add"]


@pytest.mark.parametrize("name", INDEXED)
def test_indexes_may_differ_from_row_to_row(name):
    x, v = np.arange(12.0).reshape(3, 4), np.array([0.5, 1.5, -1.0])
    places = [np.array([0, 2, 1]), np.array([3, 0, 0])]
    if "elem" in name:
        v, places = np.float64(0.5), [np.int64(2), np.int64(1)]
    written = name not in ("elem", "gather")
    g = Graph(name)
    params = [g.parameter(type_of(a)) for a in (x, *[v] * written, *places)]
    with Builder(g):
        g.returns(PRIMITIVES[name](*params))
    rng = np.random.default_rng(0)
    many = [np.array([rng.permutation(p) if p.ndim else rng.integers(3) for _ in range(ROWS)]) for p in places]
    floats = [np.array([a + r for r in range(ROWS)]) for a in (x, *[v] * written)]
    for with_floats, with_places in itertools.product((False, True), (False, True)):
        given = [f if with_floats else f[0] for f in floats] + [m if with_places else m[0] for m in many]
        over = tuple(k for k, a in enumerate(given) if a.ndim > np.ndim((x, *[v] * written, *places)[k]))
        if not over:
            continue
        rows = [[a[r] if k in over else a for k, a in enumerate(given)] for r in range(ROWS)]
        expected = [np.array([PRIMITIVES[name].value(*row) for row in rows])]
        for way in WAYS:
            close(compile(batched(g, over, way))(given), expected)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(("p", "args", "attrs"), SMOOTH)
def test_tangents_and_cotangents(p, args, attrs, known):
    """Many tangents and many cotangents of one point; and of second order, forward over each."""
    rng = np.random.default_rng(5)
    types = [type_of(a, known) for a in args]
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")
    dots = [rng.normal(size=np.shape(args[k])).astype(args[k].dtype) for k in floats]
    forward = verify(Forward().jvp(graph_of(p, types, attrs, 0), floats))
    over = tuple(range(len(args), len(args) + len(floats)))
    ways = ["stacked", "lanes"]
    check_rows(forward, over, [*args, *dots], ways, known)
    (y,) = compile(graph_of(p, types, attrs, 0))(args)
    bar = rng.normal(size=np.shape(y)).astype(y.dtype)
    backward = graph_of(p, types, attrs, 1)
    check_rows(backward, (len(args),), [*args, bar], ways, known)
    if y.dtype == np.float32:
        return
    for g, point in ((forward, [*args, *dots]), (backward, [*args, bar])):
        twice = verify(Forward().jvp(g, floats))
        over = tuple(range(len(point), len(point) + len(floats)))
        check_rows(twice, over, [*point, *dots], ways, known)


@pytest.mark.parametrize(("p", "args", "attrs"), SMOOTH)
@pytest.mark.parametrize("way", ["stacked", "lanes"])
def test_a_batched_derivative_is_differentiated_again(p, args, attrs, way):
    """Both modes of the batched tangents: the one is the transpose of the other."""
    rng = np.random.default_rng(6)
    floats = tuple(k for k, a in enumerate(args) if a.dtype.kind == "f")
    forward = Forward().jvp(graph_of(p, [type_of(a) for a in args], attrs, 0), floats)
    over = tuple(range(len(args), len(args) + len(floats)))
    if not all(is_float_result(t) for t in result_types(forward)):
        return
    many = batched(forward, over, way)
    (y, _) = compile(forward)([*args, *(args[k] for k in floats)])
    likes = [y for t in result_types(forward) if None in shape_of(t)]
    dots = [rng.normal(size=(ROWS, *np.shape(args[k]))).astype(args[k].dtype) for k in floats]
    point = [*args, *dots, *likes]
    results = compile(many)(point)
    along = [rng.normal(size=np.shape(args[k])).astype(args[k].dtype) for k in floats]
    count = len(results)
    pushed = compile(verify(Forward().jvp(many, floats)))([*point, *along])[count:]
    bars = [rng.normal(size=np.shape(r)).astype(r.dtype) for r in results]
    pulled = compile(verify(Reverse().gradient(many, floats, tuple(range(count)))))([*point, *bars])[count:]
    left = sum(float(np.sum(a * b)) for a, b in zip(pushed, bars, strict=True))
    right = sum(float(np.sum(a * b)) for a, b in zip(pulled, along, strict=True))
    near = 1e-3 if any(r.dtype == np.float32 for r in results) else 1e-9
    assert left == pytest.approx(right, rel=near, abs=near)


def is_float_result(t):
    return t.dtype in ("f32", "f64")


# ---- control and data ------------------------------------------------------------------------------------------------
def of_recursion(x):
    """Recursion whose residuals are recursive sums."""

    def total(k):
        if k >= len(x):
            return 0.0
        if x[k] > 1.0:
            return x[0] * x[k] + total(k + 1)
        return np.sin(x[0] * x[k]) * total(k + 1) + x[k]

    return total(0)


def of_loops(x):
    """A loop with two exits, in it a loop of unknown length, a branch and an array that is written to."""
    out = np.zeros(4)
    s = 1.0
    for i in range(4):
        y = x[i]
        while np.abs(y) > 0.4:
            y = 0.5 * y * x[(i + 1) % 4]
        if s > 40.0:
            break
        s = s + y * x[0] if y > 0.1 else s * x[1]
        out[i] = out[i - 1] * y + s
    return out * s


def of_data(x):
    """Lists that grow, a value of several shapes, a closure."""

    def pick(k):
        return None if x[k] < 0.0 else x[k] * x[0]

    kept = [0.0, 1.0]
    for k in range(4):
        y = pick(k)
        kept = [kept[1], kept[0] * 0.5 if y is None else y]
    return {"a": kept[0] * kept[1], "b": (x * kept[1], 3)}


def of_products(x):
    """Every shape of a product with a matrix that varies and with one that does not."""
    m, c = np.outer(x, x), np.arange(16.0).reshape(4, 4) / 8
    left, right, both = m @ c, c @ m, m @ m.T
    return left @ x, c @ x, x @ c, right[:, 1:] @ c[1:], both[0], (m.T @ c.T)[1], np.dot(x, x), c[:2] @ x


def of_sorts(x):
    """Reads at places that the point decides."""
    y = np.sort(x) * np.arange(4)
    return y[np.argsort(x)], np.max(x), np.cumsum(y), np.prod(x + 2.0), x[x > 0.0]


X4 = np.array([0.7, -1.2, 1.6, 0.37])
OF_CONTROL = [of_loops, of_data, of_products, of_sorts, of_recursion, lambda x: x[:0]]


def columns(f, x):
    """The Jacobian by `jvp`, one input at a time; the inputs as the last axis."""
    found = [leaves(jvp(f, (x,), (one,))[1]) for one in unit(x)]
    return [np.moveaxis(np.array(c), 0, -1) for c in zip(*found, strict=True)]


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize("f", OF_CONTROL)
def test_control(f, backend):
    """Both Jacobians are the columns, whatever decides the course; so are those of second order."""
    g = myia(backend=backend)(f)
    expected = columns(g, X4)
    for jac in (jacfwd, jacrev):
        for actual, e in zip(leaves(jac(g)(X4)), expected, strict=True):
            np.testing.assert_allclose(actual, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("outer", [jacfwd, jacrev])
@pytest.mark.parametrize("inner", [jacfwd, jacrev])
@pytest.mark.parametrize("f", [of_loops, of_data, of_recursion])
def test_batched_programs_are_batched_again(f, inner, outer):
    """The second derivatives in the four mixtures, against differences of the first."""
    for actual, e in zip(leaves(outer(inner(f))(X4)), differences(f), strict=True):
        np.testing.assert_allclose(actual, e, rtol=1e-6, atol=1e-7)


@functools.cache
def differences(f):
    """The second derivatives at X4 by differences of the first, once for all mixtures."""
    first, step = jacfwd(f), 1e-5
    slopes = [
        [(a - b) / (2 * step) for a, b in zip(leaves(first(X4 + step * e)), leaves(first(X4 - step * e)), strict=True)]
        for e in np.eye(4)
    ]
    return [np.stack(of_one, -1) for of_one in zip(*slopes, strict=True)]


# ---- what is computed once -------------------------------------------------------------------------------------------
def runs(f, *args):
    """How often each primitive runs in a call, on the reference back end."""
    inferred = f._infer(*f._signature(args, {}))
    graph, found = optimised(inferred.graph), Counter()

    def meaning(n):
        def run(*values, **attrs):
            found[n.op.name] += 1
            return n.op.value(*values, **attrs)

        return run if n.op.value is not None else None

    execute(Plan(graph, meaning).entry, [as_value(v, p.type) for v, p in zip(args, graph.params, strict=True)])
    return found


def with_arrays(x):
    return np.tanh(np.outer(x, np.exp(x))) @ x


def with_numbers(x):
    s = 1.0
    for i in range(len(x)):
        s = s * np.exp(x[i]) + 1.0
    return np.array([s, s * x[0], s * s])


@pytest.mark.parametrize("jac", [jacfwd, jacrev, lambda f: hessian(lambda x: np.sum(f(x)))])
def test_the_primal_is_computed_once_for_many(jac):
    x = np.linspace(0.1, 0.7, 30)
    once = runs(myia(with_arrays), x)
    assert once["exp"] == once["tanh"] == 1
    many = runs(jac(with_arrays), x)
    assert many["exp"] == many["tanh"] == 1


def test_the_primal_is_computed_once_for_each_group_of_lanes():
    x = np.linspace(0.1, 0.7, 30)
    assert runs(myia(with_numbers), x)["exp"] == 30
    assert runs(jacfwd(with_numbers), x)["exp"] == 30 * 4  # 30 directions in 4 groups of 8
    assert runs(jacrev(with_numbers), x)["exp"] == 30  # forward once, 3 cotangents at once


# ---- how rows are held -----------------------------------------------------------------------------------------------
def ways(f, *args):
    """The kinds of groups that the Jacobian of f is made of."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (Together, SideBySide, OneByOne):
            made = kind.graph
            patch.setattr(kind, "graph", lambda self, made=made, kind=kind: found.append(kind) or made(self))
        result = jacfwd(f)(*args)
    return found, result


def test_arrays_are_stacked_and_numbers_go_in_lanes():
    x = np.linspace(0.1, 0.7, 12)
    assert ways(with_arrays, x)[0] == [Together]
    assert ways(with_numbers, x)[0] == [SideBySide]


def test_a_rule_that_branches_on_its_tangents_goes_row_by_row():
    @custom_derivative
    def f(x):
        return x * 2.0

    @f.defjvp
    def rule(primals, tangents):
        (x,), (x_dot,) = primals, tangents
        if x_dot[0] > 0.0:
            return f(x), 2.0 * x_dot
        return f(x), 2.0 * x_dot + 0.0 * np.exp(x_dot)

    found, matrix = ways(lambda x: f(np.sin(x)), X4)
    assert found == [OneByOne]
    np.testing.assert_allclose(matrix, 2.0 * np.diag(np.cos(X4)))


def test_a_rule_that_calls_a_foreign_function_on_its_tangents():
    double = foreign(lambda v: 2.0 * v, args="f64[n]", result="f64[n]")

    @custom_derivative
    def f(x):
        return x * 2.0

    @f.defjvp
    def rule(primals, tangents):
        return f(primals[0]), double(tangents[0])

    found, matrix = ways(lambda x: f(np.sin(x)), X4)
    assert found[-1] is SideBySide
    np.testing.assert_allclose(matrix, 2.0 * np.diag(np.cos(X4)))


def test_large_arrays_go_in_small_groups():
    """Memory: groups of so many rows that the largest array stays within bounds."""
    a = np.linspace(0.0, 1.0, 40_000).reshape(400, 100)

    def f(x):
        return np.tanh(a @ np.outer(x, x)).sum(axis=0)

    x = np.linspace(-0.1, 0.1, 100)
    found, matrix = ways(f, x)
    assert found == [SideBySide] or found == [Together]
    one = np.zeros(100)
    one[7] = 1.0
    np.testing.assert_allclose(matrix[:, 7], jvp(f, (x,), (one,))[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 63, 64, 65, 130])
@pytest.mark.parametrize("f", [with_arrays, with_numbers], ids=["arrays", "numbers"])
def test_numbers_of_rows(f, n):
    """Of groups that fit and that do not; and where only the running program knows how many."""
    if n == 0 and f is with_numbers:
        return
    x = np.linspace(-0.2, 0.2, 140)[:n]
    expected = np.reshape(columns(f, x), (-1, n)) if n else np.zeros((0, 0))
    np.testing.assert_allclose(jacfwd(f)(x), expected, rtol=1e-10, atol=1e-13)

    def cut(x, n):
        return jacfwd(f)(x[:n]), jacrev(f)(x[:n])

    for actual in myia(cut)(np.linspace(-0.2, 0.2, 140), n):
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-13)


# ---- the table of programs -------------------------------------------------------------------------------------------
OF_ARRAYS = [
    p
    for p in DERIVED
    if len(p.wrt) == 1 and any(isinstance(c[p.wrt[0]], np.ndarray) and c[p.wrt[0]].size < 20 for c in p.cases)
]


@pytest.mark.parametrize("program", OF_ARRAYS, ids=repr)
def test_table(program):
    """Both batched Jacobians are the columns that `jvp` gives, and the rows that `vjp` gives."""
    (k,) = program.wrt
    case = next((c for c in differentiable_cases(program) if isinstance(c[k], np.ndarray)), None)
    if case is None or not isinstance(plain(program.fn, case), (float, np.floating, np.ndarray)):
        return

    g, x = myia(backend="interp")(program.fn), case[k]
    given = [copy.deepcopy(case) for _ in range(4)]
    narrow = any(np.asarray(leaf).dtype == np.float32 for leaf in leaves(case))
    near = {"rtol": 1e-3, "atol": 1e-3} if narrow else {"rtol": 1e-9, "atol": 1e-11}
    forward, reverse = jacfwd(g, k)(*given[0]), jacrev(g, k)(*given[1])
    directions = [tuple(one if j == k else None for j in range(len(case))) for one in unit(x)]
    by_columns = np.moveaxis([jvp(g, given[2], dots)[1] for dots in directions], 0, -1)
    y, pullback = vjp(g, *given[3])
    rows = [pullback(bar)[k] for bar in unit(np.asarray(y))]
    shape = np.shape(y) + x.shape
    np.testing.assert_allclose(forward, np.reshape(by_columns, shape), **near)
    np.testing.assert_allclose(reverse, np.reshape(rows, shape), **near)
    np.testing.assert_allclose(forward, reverse, **near)


def unit(y):
    for k in np.ndindex(y.shape):
        bar = np.zeros_like(y)
        bar[k] = 1.0
        yield bar[()]
