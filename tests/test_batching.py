"""Many rows at once: a batched program is the program of each row, for every primitive, in all the ways there are; and
Jacobians made so are those of the columns and of the rows."""

import itertools

import numpy as np
import pytest
from compare import leaves
from test_ops import CASES, NO_VALUE, SMOOTH, TYPED, close, graph_of, native, type_of

from myia_lite import jacfwd, jacrev, jvp, myia
from myia_lite.ad import Forward, Reverse
from myia_lite.ad.varying import Calls
from myia_lite.ad.vmap import OneByOne, SideBySide, Together
from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile
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
    for over in masks(args):
        check_rows(g, over, args, known=known)


@native
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
def nested_sums(v, xs):
    """Recursion whose residuals are recursive sums."""

    def total(k):
        if k >= len(xs):
            return 0.0
        if xs[k] > 1.0:
            return v * xs[k] + total(k + 1)
        return np.sin(v * xs[k]) * total(k + 1)

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
OF_CONTROL = [of_loops, of_data, of_products, of_sorts, lambda x: nested_sums(x[0], x), lambda x: x[:0], lambda x: 2.0]


def columns(f, x):
    """The Jacobian by `jvp`, one input at a time."""
    found = []
    for k in np.ndindex(x.shape):
        one = np.zeros_like(x)
        one[k] = 1.0
        found.append(leaves(jvp(f, (x,), (one,))[1]))
    return [np.moveaxis(np.array(c), 0, -1) for c in zip(*found, strict=True)]


def floats(value):
    return [v for v in leaves(value) if np.asarray(v).dtype.kind == "f"]


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize("f", OF_CONTROL[:-1])
def test_control(f, backend):
    """Both Jacobians are the columns, whatever decides the course; so are those of second order."""
    g = myia(backend=backend)(f)
    expected = columns(g, X4)
    for jac in (jacfwd, jacrev):
        for actual, e in zip(leaves(jac(g)(X4)), expected, strict=True):
            np.testing.assert_allclose(actual, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("outer", [jacfwd, jacrev])
@pytest.mark.parametrize("inner", [jacfwd, jacrev])
@pytest.mark.parametrize("f", OF_CONTROL[:5])
def test_batched_programs_are_batched_again(f, inner, outer):
    """The second derivatives in the four mixtures, against differences of the first."""
    first, step = jacfwd(f), 1e-5
    slopes = [
        [(a - b) / (2 * step) for a, b in zip(leaves(first(X4 + step * e)), leaves(first(X4 - step * e)), strict=True)]
        for e in np.eye(4)
    ]
    expected = [np.stack(of_one, -1) for of_one in zip(*slopes, strict=True)]
    for actual, e in zip(leaves(outer(inner(f))(X4)), expected, strict=True):
        np.testing.assert_allclose(actual, e, rtol=1e-6, atol=1e-7)
