"""What the library makes of NumPy's array functions, products and indexing, against NumPy itself."""

import math

import numpy as np
import pytest
from operands import B, E, F, I, J, M, N, T, V, W, narrow
from tracing import (
    Proxy,
    Tracing,
    call,
    check,
    outcome,
    picked,
    through,
    updated,
    written,
)

from myia_lite.ir import MyiaError, MyiaIndexError, MyiaTypeError, MyiaValueError

rng = np.random.default_rng(3)


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
    lambda x: np.reshape(x, (4, 3)),
    lambda x: x.reshape(-1),
    lambda x: x.reshape(2, -1),
    lambda x: x.reshape((-1, 1, 6)),
    lambda x: np.transpose(x),
    lambda x: x.T,
    lambda x: x.transpose(1, 0),
    lambda x: x.transpose((0, 1)),
    lambda x: np.swapaxes(x, 0, -1),
    lambda x: np.moveaxis(x, 0, 1),
    lambda x: x.ravel(),
    lambda x: x.flatten(),
    lambda x: np.expand_dims(x, 1),
    lambda x: np.expand_dims(x, (0, -1)),
    lambda x: np.squeeze(x[:1], axis=0),
    lambda x: np.broadcast_to(x, (2, 3, 4)),
    lambda x: np.concatenate([x, x]),
    lambda x: np.concatenate((x, 2 * x), axis=1),
    lambda x: np.stack([x, x], axis=1),
    lambda x: np.stack((x, x), -1),
    lambda x: np.vstack([x, x]),
    lambda x: np.hstack([x, x]),
    lambda x: np.where(x > 0, x, 0.0),
    lambda x: np.where(x > 0, x, -1),
    lambda x: np.clip(x, -0.5, 0.5),
    lambda x: x.clip(0),
    lambda x: x.clip(max=0.1),
    lambda x: x.astype(np.float32),
    lambda x: x.astype("int64"),
    lambda x: x.astype(bool),
    lambda x: x.astype(float),
    lambda x: np.flip(x),
    lambda x: np.flip(x, 0),
    lambda x: np.roll(x, 2),
    lambda x: np.roll(x, -1, axis=1),
    lambda x: np.roll(x, 5, axis=0),
    lambda x: np.repeat(x, 3),
    lambda x: np.repeat(x, 2, axis=0),
    lambda x: np.tile(x, 2),
    lambda x: np.tile(x, (2, 1, 3)),
    lambda x: np.diff(x),
    lambda x: np.diff(x, 2, axis=0),
    lambda x: np.tril(x),
    lambda x: np.triu(x, 1),
    lambda x: np.diag(x),
    lambda x: np.diag(x, 1),
    lambda x: np.diag(x, -1),
    lambda x: np.zeros_like(x),
    lambda x: np.ones_like(x, dtype=np.int32),
    lambda x: np.full_like(x, 2.5),
    lambda x: np.copy(x),
    lambda x: np.atleast_2d(x),
    lambda x: np.round(x, 2),
    lambda x: x.round(),
    lambda x: np.concatenate([x, x[:1]], axis=None),
    lambda x: np.take(x, [0, 2, -1], axis=0),
    lambda x: np.pad(x, 1),
    lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
    lambda x: call(np.array, x),
    lambda x: call(np.asarray, x),
    lambda x: call(np.array, [x, x]),
    lambda x: np.mean(x.T @ x, axis=0),
    lambda x: np.ravel(x),
    lambda x: np.diagonal(x, 1),
    lambda x: x.dot(x.T),
    lambda x: np.array_equal(x, x),
    lambda x: np.allclose(x, x + 1e-12),
    lambda x: np.isclose(x, x + 1e-3),
    lambda x: np.nan_to_num(x / (x - x)),
    lambda x: np.fliplr(x),
    lambda x: np.column_stack([x, x[:, 0]]),
    lambda x: x.sum(axis=0).item(1),
    lambda x: x[0, 0].item(),
    lambda x: x[:1, :2].tolist(),
    lambda x: np.take_along_axis(x, np.argmax(x, axis=1)[:, None], axis=1),
    lambda x: x.squeeze(),
    lambda x: np.split(x, 2, axis=1),
    lambda x: np.split(x, [1, 2]),
    lambda x: np.meshgrid(x[0], x[:, 0]),
    lambda x: np.kron(x[:2, :2], x),
    lambda x: np.shape(x),
    lambda x: np.ndim(x),
    lambda x: np.size(x),
    lambda x: x.mT,
    lambda x: np.concatenate([x.astype(np.float32), x]),
    lambda x: np.reshape(x, (5, 2)),
    lambda x: np.squeeze(x, axis=0),
    lambda x: np.concatenate([x, x.T]),
    lambda x: np.broadcast_to(x, (3, 5)),
    lambda x: np.stack([x, x.T]),
    lambda x: x.reshape(-1, 5),
]


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


@pytest.mark.parametrize(
    "f, args",
    [
        (lambda: call(np.zeros, 3), ()),
        (lambda n: call(np.zeros, (n, 2), np.int32), (4,)),
        (lambda n: call(np.zeros, n), (-1,)),
        (lambda: call(np.ones, (2, 3), dtype="float32"), ()),
        (lambda x: call(np.full, (2, 2), x), (7,)),
        (lambda x: call(np.full, 3, x), (V,)),
        (lambda: call(np.full, 3, 2.5, dtype=int), ()),
        (lambda: call(np.eye, 3), ()),
        (lambda: call(np.eye, 3, 4, k=1), ()),
        (lambda n: call(np.eye, n, dtype=np.int64), (3,)),
        (lambda n: call(np.identity, n), (2,)),
        (lambda: call(np.arange, 5), ()),
        (lambda n: call(np.arange, n), (5,)),
        (lambda n: call(np.arange, n), (-5,)),
        (lambda a, b, c: call(np.arange, a, b, c), (2, 11, 3)),
        (lambda a, b, c: call(np.arange, a, b, c), (11, 2, -3)),
        (lambda a, b, c: call(np.arange, a, b, c), (2, 11, 0)),
        (lambda: call(np.arange, 10, 0, -4), ()),
        (lambda a, b, c: call(np.arange, a, b, c), (0.5, 3.1, 0.25)),
        (lambda: call(np.arange, 0.0, 1.0, 0.1), ()),
        (lambda: call(np.arange, 3, dtype=np.float32), ()),
        (lambda n: call(np.linspace, 0, 1, n), (7,)),
        (lambda n: call(np.linspace, 0, 1, n), (1,)),
        (lambda n: call(np.linspace, 0, 1, n), (0,)),
        (lambda a: call(np.linspace, a, 2.5, 5, endpoint=False), (-1.5,)),
        (lambda: call(np.linspace, 0, 10, 4, dtype=int), ()),
        (lambda: call(np.linspace, 0, 10), ()),
        (lambda a, b: call(np.array, [a, b, 2]), (1, 2.5)),
        (lambda a, b: call(np.array, [[a, b], [b, a]]), (1, 2)),
        (lambda a: call(np.array, [a, True]), (False,)),
        (lambda a: call(np.array, a), (2.5,)),
        (lambda a: call(np.array, (a, a), dtype=np.float32), (2.5,)),
        (lambda: call(np.array, []), ()),
        (lambda a: call(np.array, [[a, a], [a]]), (1,)),
        (lambda a: call(np.array, [a, 1.5]), (np.float32(2),)),
        (lambda a: call(np.array, [a, 1]), (np.int32(2),)),
        (lambda a: call(np.asarray, [a, a]), (V,)),
        (lambda v: call(np.diag, v), (V,)),
        (lambda v: call(np.diag, v, 2), (V,)),
        (lambda v: call(np.diag, v, -1), (V,)),
        (lambda v: call(np.tril, v), (T,)),
        (lambda v: call(np.outer, v, v), (V,)),
        (lambda v: call(np.where, v > 0, 1, 0), (V,)),
        (lambda v: call(np.where, v > 0, 1, 0.5), (F,)),
        (lambda v: call(np.where, True, v, 2), (F,)),
        (lambda v: call(np.hstack, [v, v]), (V,)),
        (lambda v: call(np.vstack, (v, v)), (V,)),
        (lambda v: call(np.concatenate, [v, v]), (np.float64(1),)),
        (lambda v: call(np.stack, [v, 2.0]), (np.float64(1),)),
        (lambda v: call(np.stack, v), (M,)),
        (lambda v: call(np.concatenate, v), (T,)),
        (lambda v: call(np.float32, v) * 2, (V,)),
        (lambda v: np.concatenate((v, [1, 2])), (V,)),
        (lambda v: v * [1, 2, 3], (V,)),
    ],
)
def test_creation(f, args):
    check(f, *args)


@pytest.mark.parametrize(
    "f, args",
    [
        (lambda a, b: a @ b, (M, N)),
        (lambda a, b: a @ b, (M, W)),
        (lambda a, b: a @ b, (V, M)),
        (lambda a, b: a @ b, (V, V)),
        (lambda a, b: a @ b, (T, N)),
        (lambda a, b: a @ b, (T, rng.normal(size=(2, 4, 2)))),
        (lambda a, b: a @ b, (T, W)),
        (lambda a, b: a @ b, (V, rng.normal(size=(5, 3, 2)))),
        (lambda a, b: a @ b, (rng.normal(size=(5, 1, 2, 3)), rng.normal(size=(4, 3, 2)))),
        (lambda a, b: a @ b, (M, V)),
        (lambda a, b: a @ b, (I, J)),
        (lambda a, b: a @ b, (F, V)),
        (lambda a, b: a @ b, (B, B)),
        (lambda a, b: a @ b, (M, 2.0)),
        (lambda a, b: np.dot(a, b), (M, N)),
        (lambda a, b: np.dot(a, b), (T, N)),
        (lambda a, b: np.dot(a, b), (T, rng.normal(size=(2, 4, 3)))),
        (lambda a, b: np.dot(a, b), (V, 3)),
        (lambda a, b: np.dot(a, b), (M, W)),
        (lambda a, b: np.dot(a, b), (M, V)),
        (lambda a, b: np.inner(a, b), (M, W)),
        (lambda a, b: np.inner(a, b), (M, rng.normal(size=(2, 4)))),
        (lambda a, b: np.outer(a, b), (V, M)),
        (lambda a, b: np.outer(a, b), (J, V)),
        (lambda a, b: np.vdot(a, b), (M, M)),
        (lambda a, b: np.tensordot(a, b), (T, rng.normal(size=(3, 4, 5)))),
        (lambda a, b: np.tensordot(a, b, 1), (M, N)),
        (lambda a, b: np.tensordot(a, b, 0), (V, W)),
        (lambda a, b: np.tensordot(a, b, axes=([1, 0], [0, 1])), (T, rng.normal(size=(3, 2)))),
        (lambda a, b: np.tensordot(a, b, axes=(2, 0)), (T, N)),
        (lambda a, b: np.matmul(a, b), (E, M)),
        (lambda a, b: np.matmul(a, b), (M.T, E.T)),
        (lambda a, b: a @ b.T, (E, E)),
        (lambda a, b: a.T @ b, (E, E)),
    ],
)
def test_products(f, args):
    error = check(f, *args)
    if not isinstance(error, Exception):
        check(f, *args, unknown=True) if not (f.__code__.co_names == ("cross",) or 1 in np.shape(args[0])) and np.ndim(
            args[1]
        ) else None


@pytest.mark.parametrize(
    "spec, args",
    [
        ("ij,jk->ik", (M, N)),
        ("ij,jk", (M, N)),
        ("ij->ji", (M,)),
        ("ij->", (M,)),
        ("ij->j", (M,)),
        ("ii", (N[:, :4],)),
        ("ii->i", (N[:, :4],)),
        ("i,i", (V, V)),
        ("i,j->ij", (V, W)),
        ("bij,jk->bik", (T, N)),
        ("bij,bij->b", (T, T)),
        ("bij,bkj->bik", (T, T)),
        ("ij,ij->ij", (M, M)),
        ("ij,jk,kl->il", (M, N, N.T)),
        ("ij,i->j", (M, V)),
        ("bij,j->ib", (T, W)),
        ("i,ij,j", (V, M, W)),
        ("ij,kl->", (M, N)),
        ("ij", (M,)),
        ("ij,jk->ki", (I, np.ones((3, 2), int))),
        ("iij->j", (rng.normal(size=(2, 2, 3)),)),
    ],
)
def test_einsum(spec, args):
    check(lambda *a: np.einsum(spec, *a), *args)
    check(lambda *a: np.einsum(spec, *a), *args, unknown=True)


K = np.array([0, -1, 2])
K2 = np.array([[0, 1], [2, -2]])
INDEXES = [
    0,
    -1,
    2,
    3,
    -4,
    (1, 2),
    (-1, -1),
    (0, 4),
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(None, None, -1),
    slice(5, 0, -2),
    slice(0, 0),
    slice(-100, 100),
    (slice(None), 1),
    (1, slice(1, 3)),
    (slice(None, None, 2), slice(3, None, -1)),
    ...,
    (..., 0),
    (0, ...),
    (..., slice(1, 2)),
    None,
    (None, 0),
    (slice(None), None, 1),
    (None, ..., None),
    K,
    (K, 1),
    (slice(None), K),
    (K, K),
    (1, K),
    (K2, K[:2]),
    (K2,),
    (slice(None), K2),
    (K, slice(1, 3)),
    (slice(0, 2), K2),
    (None, K),
    (K, None),
    (K, slice(None), None),
    [0, 2],
    ([0, 1], [1, 2]),
    (0, 1, 2),
    (..., ..., 0),
    (K, np.array([0, 9, 1])),
    np.array([0, 3]),
    (),
]


@pytest.mark.parametrize("k", range(len(INDEXES)))
@pytest.mark.parametrize("unknown", [False, True])
def test_reading(k, unknown):
    index = INDEXES[k]
    error = check(lambda x: x[index], M, unknown=unknown)
    if isinstance(error, Exception) and isinstance(index, int) and not unknown:
        assert isinstance(error, MyiaIndexError) and str(outcome(lambda: M[index])) in str(error)


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), K[:2], K[:2]),
        (K[:2], slice(None), K[:2]),
        (0, slice(None), K),
        (slice(None), 1, K),
        (K[:2], None, 1),
        (K2 % 2, ..., K2),
        (slice(None), K2, slice(1, 3)),
        (0, K, slice(None, None, 2)),
        (1, ..., K),
        (K[:2], 0, 0),
        (0, 0, K),
        (slice(None), None, K, 1),
        (K[:2], slice(1, 3), 0),
    ],
)
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
        check(lambda x, i, j, s=step: x[i:j:s], W, start, stop)
        check(lambda x, i, s=step: x[i::s], W, start, unknown=True)
        check(lambda x, j, s=step: x[:j:s], M, stop)
        check(lambda x, i, j, s=step: written(x, slice(i, j, s), 5), W, start, stop)


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
    check(lambda x, m, v: written(x, m, v), V, V > 0, V[V > 0] * 2)
    for mask in (M > 0, M > 9, V > 0):
        check(lambda x, m: x[m], M, mask)
        check(lambda x, m: x[m], M, mask, unknown=True)
    with pytest.raises(MyiaIndexError, match="boolean index did not match"):
        through(lambda x, m: x[m], M, M[:, :1] > 0)
    with pytest.raises(ValueError, match="could not broadcast"):
        through(lambda x, m, v: written(x, m, v), V, V > 0, V[:0])
    with pytest.raises(MyiaTypeError, match="a bool"):
        through(lambda x: x[True], M)


def test_inplace():
    for op in ("+", "-", "*", "/", "//", "**", "%", "&"):
        for a, b in (
            (V, 2),
            (V, V),
            (F, V[:3]),
            (I, 2),
            (J, I[0]),
            (M, W),
            (W, M),
            (I, 2.5),
            (B, True),
            (3, 4),
            (2.5, 2),
        ):
            if not (op == "**" and a is V) and not narrow(outcome(updated, op, a, b)):
                check(lambda a, b, op=op: updated(op, a, b), a, b)
    check(lambda a, b: updated("@", a, b), N[:, :4], N[:, :4])


def test_without_nan():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 2.0]])
    for f in (np.nansum, np.nanprod, np.nanmean):
        for axis in (None, 0, 1):
            check(lambda x, f=f, a=axis: f(x, axis=a), x)
        check(lambda x, f=f: f(x, axis=0, keepdims=True), I)


def test_facts_about_dtypes():
    assert through(lambda: call(np.issubdtype, np.float32, np.floating)) is True
    assert through(lambda x: call(np.isscalar, x), 2.0) is True
    assert through(lambda x: call(np.finfo, np.float32) is np.finfo(np.float32), M) is True
    check(lambda x: np.sinc(x), np.array([-1.5, 0.0, 0.25]))
    check(lambda x: np.dstack([x, x]), M)
    check(lambda x: np.dstack([x, x]), V)


def test_sizes_of_one_source_need_no_guard():
    ctx = Tracing()
    x = Proxy(ctx, ctx.argument(M, unknown=True))
    y = np.sin(x) * 2.0 + x.T[:, ::-1].T[:, :]
    assert y.reshape(x.shape)._value.node is y._value.node
    assert {n.op.name for n in ctx.graph.nodes if n.op.effect} == set()
