"""Each elementwise and array primitive, compiled, against its NumPy meaning; fused programs against unfused ones."""

# ruff: noqa: B023  (what a loop defines is used in its own trip)
from contextlib import contextmanager

import numpy as np
import pytest

from myia_lite.backends import llvm
from myia_lite.backends.llvm.fusion import plan
from myia_lite.infer.library.dtypes import NUMPY
from myia_lite.infer.library.dtypes import OURS as DTYPE
from myia_lite.ir import FLOATS, Array, Builder, Constant, Graph, Scalar
from myia_lite.ir.text import parse_text
from myia_lite.ops import PRIMITIVES as P

rng = np.random.default_rng(0)


I = [Constant(k, Scalar("i64")) for k in range(5)]  # static indexes


def type_of(x, dynamic=False):
    x = np.asarray(x)
    if x.ndim == 0:
        return Scalar(DTYPE[x.dtype])
    return Array(DTYPE[x.dtype], tuple(None if dynamic else d for d in x.shape))


def program(build, *args, dynamic=False):
    """The graph that `build(*parameters)` makes for arguments like these."""
    g = Graph("f")
    params = [g.parameter(type_of(a, dynamic)) for a in args]
    with Builder(g):
        result = build(*params)
    return g.returns(result)


def evaluate(graph, args, results):
    """The results by the primitives' own values, node by node."""
    values = dict(zip(graph.params, args, strict=True))

    def value(n):
        if isinstance(n, Constant):
            return np.asarray(n.value, NUMPY[n.type.dtype])[()]
        return values[n]

    with np.errstate(all="ignore"):
        for n in graph.nodes:
            if n.op.name != "tuple":
                values[n] = n.op.value(*[np.copy(value(a))[()] for a in n.args], **n.attrs)
    return [value(r) for r in results]


@contextmanager
def programs(dynamic=(False, True)):
    """Yields `check(build, *args)`: compile (all at once) and compare, with known dims and with unknown ones."""
    graphs = {dyn: Graph("f") for dyn in dynamic}
    results = {dyn: [] for dyn in dynamic}
    values, tolerances = [], []

    def add(build, *args, rtol=None):
        values.extend(args)
        tolerances.append(rtol)
        for dyn, g in graphs.items():
            with Builder(g):
                results[dyn].append(build(*[g.parameter(type_of(x, dyn)) for x in args]))

    yield add
    for dyn, g in graphs.items():
        with Builder(g):
            g.returns(P["tuple"](*results[dyn]))
        expected = evaluate(g, values, results[dyn])
        compiled = llvm.compile(g)
        got = compiled([np.copy(x) for x in values])
        assert not compiled.leaked
        for one, right, node, rtol in zip(got, expected, results[dyn], tolerances, strict=True):
            same(one, right, node.type.dtype, rtol)


def check(build, *args, rtol=None, dynamic=(False, True)):
    with programs(dynamic) as add:
        add(build, *args, rtol=rtol)


def same(got, expected, dtype, rtol=None):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    if dtype in FLOATS:
        np.testing.assert_allclose(
            got, expected, rtol=rtol or (2e-6 if dtype == "f32" else 4e-15), atol=0, equal_nan=True
        )
    else:
        np.testing.assert_array_equal(got, expected)


EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    np.inf,
    -np.inf,
    np.nan,
    1e-310,
    -1e-310,
    3.0,
    -7.0,
    1e300,
    -1e300,
    1e-20,
]
WHOLE = [0, 1, -1, 2, -2, 3, 7, -7, 10, 63, 100]


def samples(dtype, count=67):
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool)
    if dtype in FLOATS:
        with np.errstate(over="ignore"):
            return np.concatenate([EDGES, rng.normal(size=count) * 3, rng.normal(size=count) * 50]).astype(NUMPY[dtype])
    info = np.iinfo(NUMPY[dtype])
    return np.concatenate([WHOLE, [info.min, info.max], rng.integers(-20, 20, count)]).astype(NUMPY[dtype])


def variants(op):
    """The (attributes, dtypes) that an elementwise primitive takes."""
    extra = {
        "cast": [{"dtype": d} for d in NUMPY],
        "powi": [{"n": n} for n in (0, 1, 2, 3, 5, -1, -2, -3, 100)],
        "polygamma": [{"n": n} for n in (0, 1, 2, 4)],
    }
    for attrs in extra.get(op.name, [{}]):
        for dtype in NUMPY:
            for arity in (1, 2, 3):
                types = ["bool", dtype, dtype] if arity == 3 else [dtype] * arity
                try:
                    op.type_rule([Array(t, (2,)) for t in types], attrs, ())
                    op_arity = {"select": 3}.get(op.name, 2 if op.name in BINARY else 1)
                except (TypeError, ValueError):
                    continue
                if arity == op_arity:
                    yield attrs, types


BINARY = set(
    "add sub mul div add_overflows sub_overflows mul_overflows pow_overflows floordiv mod fmod ipow pow atan2 hypot "
    "copysign maximum minimum fmax fmin eq ne lt le gt ge bit_and bit_or bit_xor shift_left shift_right".split()
)
# by how much (relative) a value may be off: the functions whose argument is reduced, or that lose digits near a zero
LOOSE = {
    "lgamma": 1e-11,
    "gamma": 1e-12,
    "polygamma": 1e-10,
    "powi": 1e-13,
    "sin": 1e-14,
    "cos": 1e-14,
    "tan": 1e-14,
    "pow": 1e-14,
    "erfc": 1e-13,
}
ELEMENTWISE = [p for p in P.values() if p.elementwise]


@pytest.mark.parametrize("op", ELEMENTWISE, ids=str)
def test_elementwise(op):
    for attrs, types in variants(op):
        columns = [samples(t) for t in types]
        if len(types) == 2:
            grid = np.meshgrid(*columns)
            columns = [c.ravel() for c in grid]
        elif len(types) == 3:
            columns[0] = rng.integers(0, 2, columns[1].size).astype(bool)
            columns[2] = columns[1][::-1].copy()
        if op.name in ("ipow", "pow_overflows"):
            columns[1] = np.abs(columns[1].astype(np.int64)).astype(columns[1].dtype).clip(0, 200)
        if op.name == "polygamma":
            columns[0] = np.concatenate([rng.uniform(0.1, 30, 50), rng.uniform(-5, 0, 20)]).astype(columns[0].dtype)
        if op.name in ("lgamma", "gamma"):
            columns[0] = np.concatenate(
                [rng.uniform(0.05, 30, 50), rng.uniform(-5, 0, 20), [0.0, np.inf, np.nan]]
            ).astype(columns[0].dtype)
        dtype = types[-1]
        out_dtype = op.type_rule([Scalar(t) for t in types], attrs, ()).dtype
        rtol = (
            (1e-4 if op.name in ("gamma", "lgamma", "polygamma", "powi") else 3e-6)
            if dtype == "f32"
            else LOOSE.get(op.name, 4e-15)
        )
        with np.errstate(all="ignore"):
            if op.name.endswith("_overflows"):
                expected = np.array([op.value(*row, **attrs) for row in zip(*columns, strict=True)])
            else:
                expected = op.value(*columns, **attrs)

        arrays = llvm.compile(program(lambda *xs: op(*xs, **attrs), *columns))
        try:
            same(arrays([*columns])[0], expected, out_dtype, rtol)
            scalars = llvm.compile(program(lambda *xs: op(*xs, **attrs), *[c[0] for c in columns]))
            rows = list(zip(*columns, strict=True))
            picks = range(0, len(rows), max(1, len(rows) // 300))
            got = np.array([scalars([*rows[k]])[0] for k in picks]).astype(np.asarray(expected).dtype)
            same(got, np.asarray(expected)[list(picks)], out_dtype, rtol)
        except AssertionError as e:
            raise AssertionError(f"{op} {attrs} {types}: {e}") from None


RANGES = {
    "exp": [(-745, 709), (-1, 1)],
    "exp2": [(-1074, 1023), (-1, 1), (-1e-3, 1e-3)],
    "expm1": [(-40, 709), (-1, 1), (-1e-3, 1e-3)],
    "log": [(1e-300, 1e300), (0.5, 2)],
    "log2": [(1e-300, 1e300), (0.5, 2), (0.999, 1.001)],
    "log10": [(1e-300, 1e300), (0.5, 2), (0.999, 1.001)],
    "log1p": [(-0.99, 10), (-1e-3, 1e-3)],
    "tanh": [(-20, 20), (-0.5, 0.5)],
    "sinh": [(-709, 709), (-1.5, 1.5), (-1e-3, 1e-3)],
    "cosh": [(-709, 709), (-1.5, 1.5)],
    "sin": [(-1.6, 1.6), (-100, 100), (-1e9, 1e9)],
    "cos": [(-1.6, 1.6), (-100, 100), (-1e9, 1e9)],
    "tan": [(-0.8, 0.8), (-1.6, 1.6), (-100, 100), (-1e9, 1e9)],
    "asin": [(-1, 1), (-0.5, 0.5), (0.49, 0.51), (0.999, 1)],
    "acos": [(-1, 1), (-0.5, 0.5), (0.49, 0.51), (0.999, 1)],
    "atan": [(-1, 1), (-3, 3), (-1e3, 1e3), (-1e300, 1e300)],
    "cbrt": [(-2, 2), (-1e300, 1e300), (-1e-300, 1e-300)],
    "erf": [(-0.5, 0.5), (-1.1, 1.1), (0.9, 2), (-6, 6)],
}


def more_precise(name, x):
    """The value in more precision than f64 has."""
    x = x.astype(np.longdouble)
    if name != "erf":
        return P[name].value(x)
    term = total = x  # erf(x) = 2 / sqrt(pi) exp(-x²) (x + 2 x³ / 3 + 4 x⁵ / 15 + …), all terms of one sign
    for k in range(1, 200):
        term = term * 2 * x * x / (2 * k + 1)
        total = total + term
    return 2 / np.sqrt(4 * np.arctan(np.longdouble(1))) * np.exp(-x * x) * total


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="there is no more precision than f64's here")
@pytest.mark.parametrize("name", RANGES)
def test_accuracy_of_vector_functions(name):
    """Within 3 units in the last place of the value in more precision."""
    for dtype in FLOATS:
        build = lambda x: P[name](x)  # noqa: E731
        f = llvm.compile(program(build, a(2, dtype=dtype), dynamic=True))
        for low, high in RANGES[name]:
            if dtype == "f32" and (high > 1e5 or name in ("exp", "exp2", "expm1", "sinh", "cosh")):
                low, high = max(low, -80), min(high, 80)
            x = rng.uniform(low, high, 5000).astype(NUMPY[dtype])
            exact = more_precise(name, x)
            (got,) = f([x])
            unit = np.spacing(np.abs(exact).astype(NUMPY[dtype])).astype(np.longdouble)
            error = np.max(np.abs(got.astype(np.longdouble) - exact) / unit)
            assert error <= 3, (name, dtype, low, high, error)


def test_edge_values_of_vector_functions():
    big, tiny, least = 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324
    points = [0.0, 0.5, 1.0, 1.5, 2.0, 8.0, 100.0, 709.7, 710.4, 711.0, 1e10, 1e300, big, tiny, least, np.inf]
    x = np.array([s * v for v in points for s in (1.0, -1.0)] + [np.nan])
    for name in RANGES:
        f = llvm.compile(program(lambda x, name=name: P[name](x), a(2), dynamic=True))
        with np.errstate(all="ignore"):
            want = P[name].value(x)
        (got,) = f([x])
        np.testing.assert_allclose(got, want, rtol=1e-15, atol=1e-323, err_msg=name)
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]), err_msg=name)
    f = llvm.compile(program(lambda y, x: P["atan2"](y, x), a(2), a(2), dynamic=True))
    y, x = (v.ravel().copy() for v in np.meshgrid(x, x))
    (got,) = f([y, x])
    np.testing.assert_allclose(got, np.arctan2(y, x), rtol=1e-15, atol=1e-323)
    np.testing.assert_array_equal(np.signbit(got)[~np.isnan(got)], np.signbit(np.arctan2(y, x))[~np.isnan(got)])
    for size in (1.0, 1e-200, 1e300):
        y, x = rng.normal(size=(2, 5000)) * size
        exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
        (got,) = f([y, x])
        assert np.max(np.abs(got - exact) / np.spacing(np.abs(got))) <= 3


def a(*shape, dtype="f64"):
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in ("i32", "i64"):
        return rng.integers(-9, 9, shape).astype(NUMPY[dtype])
    return rng.normal(size=shape).astype(NUMPY[dtype])


def test_accuracy_of_powers():
    f = llvm.compile(program(lambda x, y: P["pow"](x, y), a(2), a(2), dynamic=True))
    for low, high, power in [(0, 2, 1), (0.9, 1.1, 3000), (0, 50, 150), (0.7, 1.42, 1000)]:
        x, y = rng.uniform(low, high, 3000), rng.normal(size=3000) * power
        with np.errstate(all="ignore"):
            exact = np.power(x, y)
        (got,) = f([x, y])
        ordinary = np.isfinite(exact) & (exact != 0)
        np.testing.assert_array_equal(got[~ordinary], exact[~ordinary])
        assert np.max(np.abs(got[ordinary] - exact[ordinary]) / np.spacing(exact[ordinary])) <= 3.5


def few(dtype, cases):
    """All cases for the dtypes that differ in kind, some for their narrow siblings: compilation takes time."""
    return cases[1::3] if dtype in ("i32", "f32") else cases


DTYPES = list(NUMPY)
NUMBERS = DTYPES[1:]


def sized(shape, x, dynamic):
    """The `shape` attribute and the dim arguments for a result shape, all of it unknown if `dynamic`."""
    if not dynamic:
        return tuple(shape), []
    return (None,) * len(shape), [Constant(int(d), Scalar("i64")) for d in shape]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dynamic", [False, True])
def test_shape_primitives(dtype, dynamic):
    with programs([dynamic]) as check:

        def to(shape, op, x, **attrs):
            s, dyn = sized(shape, x, dynamic)
            return P[op](x, *dyn, shape=s, **attrs)

        for shape, out, axes in few(
            dtype,
            [
                ((3,), (3, 4), (0,)),
                ((4,), (3, 4), (1,)),
                ((), (2, 3), ()),
                ((2, 3), (2, 5, 3), (0, 2)),
                ((0,), (3, 0), (1,)),
                ((3,), (0, 3), (1,)),
                ((1,), (1, 4), (0,)),
            ],
        ):
            x = a(*shape, dtype=dtype)
            check(lambda x: to(out, "broadcast", x, axes=axes), x)
        for shape, out in few(
            dtype,
            [
                ((6,), (2, 3)),
                ((2, 3), (6,)),
                ((2, 3), (3, 2)),
                ((1, 4), (4,)),
                ((4,), (4, 1)),
                ((0, 3), (3, 0)),
                ((1, 1), ()),
            ],
        ):
            if out == () and dynamic:
                continue
            x = a(*shape, dtype=dtype)

            def build(x):
                s, dyn = sized(out, x, dynamic)
                return P["reshape"](x, *dyn, shape=s)

            check(build, x)
        for shape, perm in few(
            dtype,
            [
                ((3, 4), (1, 0)),
                ((2, 3, 4), (2, 0, 1)),
                ((2, 3, 4), (0, 2, 1)),
                ((0, 3), (1, 0)),
                ((5,), (0,)),
            ],
        ):
            check(lambda x: P["transpose"](x, perm=perm), a(*shape, dtype=dtype))
        for shapes, axis in few(
            dtype,
            [
                ([(3,), (2,), (0,)], 0),
                ([(2, 3), (2, 1)], 1),
                ([(1, 3), (4, 3)], 0),
                ([(2, 1, 2), (2, 3, 2)], 1),
            ],
        ):
            check(lambda *xs: P["concat"](*xs, axis=axis), *[a(*s, dtype=dtype) for s in shapes])
        for k in (0, 1):
            check(lambda x: P["dim"](x, axis=k), a(3, 4, dtype=dtype))


def test_iota():
    with programs() as check:
        for n in (0, 1, 5, 100):
            check(lambda: P["iota"](shape=(n,)))
            check(lambda m: P["iota"](m, shape=(None,)), np.int64(n))


SLICES = [
    ((7,), (1,), (2,), (3,)),
    ((7,), (6,), (-1,), (7,)),
    ((4, 5), (1, 0), (1, 1), (2, 5)),
    ((4, 5), (3, 1), (-2, 2), (2, 2)),
    ((3,), (0,), (1,), (0,)),
    ((2, 3, 4), (0, 1, 0), (1, 1, 1), (2, 2, 4)),
    ((0,), (-1,), (-1,), (0,)),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_slices(dtype):
    with programs() as check:
        for shape, starts, steps, size in few(dtype, SLICES):
            x, v = a(*shape, dtype=dtype), a(*size, dtype=dtype)
            starts = [np.int64(s) for s in starts]
            check(lambda x, *s: P["slice"](x, *s, steps=steps, shape=size), x, *starts)
            check(
                lambda x, *s: P["slice"](
                    x, *s, *[Constant(d, Scalar("i64")) for d in size], steps=steps, shape=(None,) * len(size)
                ),
                x,
                *starts,
            )
            for op in ("slice_set", "slice_add"):
                check(lambda x, v, *s: P[op](x, v, *s, steps=steps), x, v, *starts)


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements(dtype):
    with programs() as check:
        i, j = np.int64(1), np.int64(2)
        x = a(3, 4, dtype=dtype)
        v = a(2, dtype=dtype)[0]
        check(lambda x, i, j: P["elem"](x, i, j), x, i, j)
        check(lambda x, v, i, j: P["set_elem"](x, v, i, j), x, v, i, j)
        check(lambda x, v, i, j: P["add_elem"](x, v, i, j), x, v, i, j)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_and_scatter(dtype):
    with programs() as check:
        for shape, k, where in few(
            dtype,
            [
                ((5,), 1, (4,)),
                ((5, 3), 1, (2, 3)),
                ((5, 3), 2, (6,)),
                ((4, 2, 3), 1, (0,)),
                ((4, 2, 3), 2, (1,)),
                ((3, 0), 1, (2,)),
            ],
        ):
            x = a(*shape, dtype=dtype)
            idx = [rng.integers(0, shape[n], where) for n in range(k)]
            v = a(*where, *shape[k:], dtype=dtype)
            check(lambda x, *idx: P["gather"](x, *idx), x, *idx)
            for op in ("scatter_set", "scatter_add"):
                check(lambda x, v, *idx: P[op](x, v, *idx), x, v, *idx, rtol=1e-5 if dtype == "f32" else 1e-12)


SHAPES = [(7,), (1,), (3, 4), (2, 3, 4), (2, 1, 5), (5000,), (3, 4100), (70, 33)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", "sum prod max min any all".split())
def test_reductions(name, dtype):
    if (name in ("any", "all")) != (dtype == "bool"):
        return
    op = P[f"reduce_{name}"]
    with programs() as check:
        for shape in few(dtype, SHAPES) + ([(0,), (0, 3), (3, 0)] if name in ("sum", "prod", "any", "all") else []):
            x = a(*shape, dtype=dtype)
            if name == "prod" and dtype in FLOATS:
                x = (1 + x * 0.001).astype(x.dtype)
            rank = len(shape)
            for axes in {(0,), (rank - 1,), tuple(range(rank)), (0, rank - 1)}:
                axes = tuple(sorted(set(axes)))
                y = np.abs(x) if name == "sum" and dtype in FLOATS else x
                check(lambda x: op(x, axes=axes), y, rtol=1e-4 if dtype == "f32" else 1e-11)
        if dtype in FLOATS and name in ("max", "min"):
            x = a(50, dtype=dtype)
            x[17] = np.nan
            check(lambda x: op(x, axes=(0,)), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_arg_extrema(name, dtype):
    with programs() as check:
        for shape in few(dtype, [(7,), (1,), (3, 4), (2, 3, 4), (5, 1)]):
            for axis in range(len(shape)):
                x = a(*shape, dtype=dtype)
                check(lambda x: P[name](x, axis=axis), x)
                if dtype in FLOATS:
                    x.flat[:: max(2, x.size // 3)] = np.nan
                    check(lambda x: P[name](x, axis=axis), x)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_scans(reverse, dtype):
    with programs() as check:
        for shape in [(7,), (1,), (0,), (3, 4), (0, 2), (2, 0), (2, 3, 4)]:
            x, y = a(*shape, dtype=dtype), a(*shape, dtype=dtype)
            for axis in range(len(shape)):
                check(lambda x: P["cumsum"](x, axis=axis, reverse=reverse), x, rtol=1e-5 if dtype == "f32" else 1e-13)
            check(lambda x, y: P["recurrence"](x, y, reverse=reverse), x, y, rtol=1e-4 if dtype == "f32" else 1e-12)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matmul(dtype, ta, tb):
    with programs() as check:
        for batch, m, k, n in few(
            dtype,
            [
                ((), 2, 3, 4),
                ((), 1, 5, 1),
                ((), 17, 9, 33),
                ((), 40, 50, 1),
                ((), 1, 50, 40),
                ((), 3, 1, 4),
                ((), 3, 0, 4),
                ((), 0, 3, 4),
                ((2, 3), 4, 5, 6),
                ((0,), 2, 2, 2),
                ((), 8, 8, 8),
                ((), 2, 3, 40),
                ((), 30, 0, 1),
                ((), 6, 7, 1),
            ],
        ):
            x = a(*batch, *((k, m) if ta else (m, k)), dtype=dtype)
            y = a(*batch, *((n, k) if tb else (k, n)), dtype=dtype)
            positive = np.abs if dtype in FLOATS else lambda v: v
            check(
                lambda x, y: P["matmul"](x, y, ta=ta, tb=tb),
                positive(x),
                positive(y),
                rtol=1e-5 if dtype == "f32" else 1e-13,
            )


# ---- fusion ----------------------------------------------------------------------------------------------------------
def fused(build, *args, inlined, contract=False, **kw):
    """As `check`, and so many nodes are inlined."""
    graph = program(build, *args)
    assert len(plan(graph, contract).inlined) == inlined
    check(build, *args, **kw)


def test_a_chain_is_one_loop():
    fused(lambda x, y: P["reduce_sum"](P["exp"](x * y + 1.0) - y, axes=(0, 1)), a(6, 5), a(6, 5), inlined=4, rtol=1e-13)


def test_softmax():
    def softmax(x):
        m = P["reduce_max"](x, axes=(1,))
        e = P["exp"](x - P["broadcast"](m, shape=(8, 5), axes=(0,)))
        return e / P["broadcast"](P["reduce_sum"](e, axes=(1,)), shape=(8, 5), axes=(0,))

    check(softmax, a(8, 5), rtol=1e-14, dynamic=[False])
    graph = program(softmax, a(8, 5))
    assert {n.op.name for n in graph.nodes if n not in plan(graph).inlined} == {
        "reduce_max",
        "reduce_sum",
        "exp",
        "div",
    }


def test_views_in_loops():
    def f(x, y):
        t = P["transpose"](x, perm=(1, 0))
        s = P["slice"](t, I[0], I[1], steps=(1, 2), shape=(4, 2))
        r = P["reshape"](y * 2.0, shape=(4, 2))
        return P["concat"](s + r, P["reshape"](P["neg"](y), shape=(4, 2)), axis=1)

    check(f, a(5, 4), a(8), dynamic=[False])


def test_a_read_stays_before_the_write():
    def f(x, v):
        y = P["exp"](x)
        z = P["slice_set"](x, v, I[0], steps=(1,))
        return y + z

    graph = program(f, a(4), a(2))
    assert not plan(graph).inlined
    check(f, a(4), a(2))


def test_an_array_written_into_itself():
    check(lambda x: P["slice_set"](x, x, I[3], steps=(-1,)), a(4))
    check(lambda x: P["slice_add"](P["neg"](x), P["neg"](x), I[3], steps=(-1,)), a(4))

    def f(x):
        y = P["neg"](x)
        return P["slice_add"](y, y, I[3], steps=(-1,))

    check(f, a(4))
    i = np.array([2, 0, 1])
    check(lambda i: P["scatter_add"](i, i, i), i)


def test_a_size_outlives_its_array():
    def f(x, i):
        y = x * 2.0
        total = P["reduce_sum"](y, axes=(0,))
        z = P["set_elem"](P["set_elem"](P["neg"](x), total, i), 7.0, I[0])
        return P["broadcast"](total, P["dim"](y, axis=0), P["dim"](z, axis=0), shape=(None, None), axes=())

    check(f, a(4), np.int64(2))


def test_transposed_products():
    def f(x, y):
        return P["matmul"](P["transpose"](x, perm=(1, 0)), P["transpose"](y, perm=(1, 0)), ta=False, tb=False)

    fused(f, a(20, 30), a(25, 20), inlined=2, rtol=1e-12)


def test_an_outer_product_goes_into_its_consumer():
    def f(x, y, z):
        return P["matmul"](P["neg"](x), y, ta=False, tb=True) * 2.0 + z

    fused(f, a(5, 1), a(7, 1), a(5, 7), inlined=3, rtol=1e-14)

    def summed(x, y):
        return P["reduce_sum"](P["matmul"](x, y, ta=True, tb=False), axes=(0, 1))

    fused(summed, a(1, 5), a(1, 7), inlined=1, rtol=1e-13)


def test_a_product_reads_a_part_where_it_lies():
    def f(x, y, i):
        part = P["reshape"](P["slice"](x, i, I[0], I[0], steps=(1, 1, 1), shape=(1, 6, 7)), shape=(6, 7))
        return P["matmul"](part, y, ta=False, tb=False)

    fused(f, a(3, 6, 7), a(7, 1), np.int64(2), inlined=2, rtol=1e-13, dynamic=[False])

    def written(x, y, i):  # between the part and the product
        part = P["reshape"](P["slice"](x, i, I[0], I[0], steps=(1, 1, 1), shape=(1, 6, 7)), shape=(6, 7))
        z = P["set_elem"](x, 1e9, i, I[0], I[0])
        return P["matmul"](part, y, ta=False, tb=False) + P["reduce_sum"](z, axes=(0, 1, 2))

    check(written, a(3, 6, 7), a(7, 1), np.int64(2), rtol=1e-13, dynamic=[False])


def test_a_column_is_not_in_one_piece():
    def f(x, y):
        part = P["slice"](x, I[0], I[1], steps=(1, 1), shape=(4, 3))
        return P["matmul"](part, y, ta=False, tb=False)

    fused(f, a(4, 5), a(3, 2), inlined=0, rtol=1e-13, dynamic=[False])


def test_reshape_of_a_gathered_sum():
    def f(x, i):
        return P["reduce_sum"](P["gather"](x, P["add"](i, 1)) * 2.0, axes=(1,))

    check(f, a(6, 3), np.array([0, 4, 2]), rtol=1e-14)


def test_multiple_reads_of_a_cheap_node():
    def f(x, y):
        d = x - y
        return P["concat"](
            P["reshape"](P["reduce_sum"](d * d, axes=(0,)), shape=(1,)),
            P["reshape"](P["reduce_max"](d, axes=(0,)), shape=(1,)),
            axis=0,
        )

    fused(f, a(9), a(9), inlined=4, rtol=1e-13)


@pytest.mark.parametrize("first", [0, 8, 16, 24])
def test_random_programs(first):
    """Chains of random array operations, fused, give what they give one by one."""
    with programs([False]) as check:
        for seed in range(first, first + 8):
            check(
                lambda x, y, s: random_program(np.random.default_rng(seed), x, y, s), a(3, 4), a(3, 4), a(), rtol=1e-9
            )


def random_program(r, x, y, s):
    pool = [x, y, P["broadcast"](s, shape=(3, 4), axes=())]
    for _ in range(12):
        p, q = (pool[r.integers(len(pool))] for _ in range(2))
        match r.integers(11):
            case 0:
                new = p + q
            case 1:
                new = P["tanh"](p)
            case 2:
                new = P["select"](P["lt"](p, q), p, q)
            case 3:
                new = P["broadcast"](P["reduce_sum"](p, axes=(0,)), shape=(3, 4), axes=(1,))
            case 4:
                new = P["broadcast"](P["reduce_max"](p, axes=(1,)), shape=(3, 4), axes=(0,))
            case 5:
                t = P["transpose"](p, perm=(1, 0))
                new = P["transpose"](P["sin"](t), perm=(1, 0))
            case 6:
                new = P["slice"](P["concat"](p, q, axis=0), I[2], I[3], steps=(1, -1), shape=(3, 4))
            case 7:
                new = P["reshape"](P["reshape"](p * 0.5, shape=(2, 6)), shape=(3, 4))
            case 8:
                new = P["slice_set"](p, P["slice"](q, I[1], I[1], steps=(1, 1), shape=(2, 2)), I[0], I[2], steps=(1, 1))
            case 9:
                new = (
                    P["matmul"](
                        P["matmul"](p, P["transpose"](q, perm=(1, 0)), ta=False, tb=False), p, ta=False, tb=False
                    )
                    * 0.1
                )
            case 10:
                new = P["add_elem"](p, P["elem"](q, I[1], I[2]), I[2], I[3])
        pool.append(new)
    return pool[-1] + pool[-2]


@pytest.mark.parametrize("trips", [1, 3, 8, None])
@pytest.mark.parametrize("size", ["3", "?"])
def test_arrays_that_change_places_in_a_loop(trips, size):
    """What is written in one trip is read in the next: there the promise that operands and result are apart ends."""
    t = f"f64[{size}]"
    text = f"""
graph @f(%n: i64, %x: {t}, %y: {t}) -> ({t}, {t}) {{
  %r: ({t}, {t}) = loop(0, %x, %y) {{
    @L(%i: i64, %a: {t}, %b: {t}) -> ({t}, {t}) {{
      %c: bool = lt(%i, {"%n" if trips is None else trips})
      %1: ({t}, {t}) = switch(%c) {{
        @t() -> ({t}, {t}) {{
          %p: {t} = add(%b, 1.0)
          %q: {t} = mul(%a, 2.0)
          %k: i64 = add(%i, 1)
          %2: ({t}, {t}) = recur @L(%k, %p, %q)
          return %2
        }}
        @e() -> ({t}, {t}) {{ %3: ({t}, {t}) = tuple(%a, %b) return %3 }}
      }}
      return %1
    }}
  }}
  return %r
}}"""
    n = trips or 7
    x, y = a(3), a(3)
    got = llvm.compile(parse_text(text, P))([n, x, y])
    for _ in range(n):
        x, y = y + 1.0, x * 2.0
    np.testing.assert_allclose(got, [x, y])
