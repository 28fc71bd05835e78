"""Hessians whose elements are found one after the other; diagonals; and patterns of random programs."""

import itertools

import numpy as np
import pytest
from generator import programs
from hypothesis import assume, given, note, reject, settings
from hypothesis import strategies as st
from scipy import sparse
from test_random_programs import GENERIC, arguments, folder, load, outcome
from test_sparse import HESSIANS, PATTERNS, X, arrow, arrow_with_a_hub, dense, rosenbrock, separable

from myia_lite import (
    MyiaError,
    MyiaTypeError,
    MyiaValueError,
    grad,
    hessian,
    jacobian,
    myia,
    sparse_hessian,
    sparse_jacobian,
)
from myia_lite.ad.colouring import proper_colouring, star_colouring
from myia_lite.ad.substitution import acyclic_colouring, substitution
from myia_lite.sparse import _mirrored, _places

assert folder  # a fixture


# ---- acyclic colourings ----------------------------------------------------------------------------------------------
def symmetric(p):
    n, _, density, seed = p
    a = np.random.default_rng(seed).random((n, n)) < density / 2
    return a | a.T


def is_forest(a) -> bool:
    """Of a symmetric matrix of bools without a diagonal: as many components as vertices less edges."""
    components, _ = sparse.csgraph.connected_components(sparse.csr_array(a))
    return components == len(a) - np.count_nonzero(a) // 2


@given(PATTERNS)
def test_acyclic_colourings(p):
    a = symmetric(p)
    colours = acyclic_colouring(sparse.csr_array(a))
    off = a & ~np.eye(len(a), dtype=bool)
    assert not np.any(off & (colours[:, None] == colours))
    assert np.all((colours >= 0) == a.any(axis=1))
    for pair in itertools.combinations(range(colours.max(initial=-1) + 1), 2):
        some = np.isin(colours, pair)
        assert is_forest(off[np.ix_(some, some)])


@given(PATTERNS)
def test_substitution_finds_all_elements(p):
    a = symmetric(p)
    pattern = sparse.csr_array(a)
    colours = acyclic_colouring(pattern)
    r = np.random.default_rng(p[-1])
    numbers = np.where(a, r.integers(1, 9, a.shape), 0.0)
    numbers = np.triu(numbers) + np.triu(numbers, 1).T
    rows, columns = _places(pattern)
    sums = np.array([numbers[i] @ (colours == colours[j]) for i, j in zip(rows, columns, strict=True)])
    finish = substitution(rows, columns, colours, _mirrored(rows, columns))
    if finish is not None:
        finish(sums)
    np.testing.assert_array_equal(sums, numbers[rows, columns])


@given(PATTERNS)
def test_proper_colourings(p):
    a = symmetric(p)
    colours = proper_colouring(sparse.csr_array(a))
    assert not np.any(a & ~np.eye(len(a), dtype=bool) & (colours[:, None] == colours))
    assert np.all((colours >= 0) == a.any(axis=1))


@pytest.mark.parametrize("f", HESSIANS, ids=lambda f: f.__name__)
def test_hessians_by_substitution(f):
    second = sparse_hessian(f, substitution=True)
    got = second(X)
    np.testing.assert_allclose(got.toarray(), hessian(f)(X), rtol=1e-9, atol=1e-9)
    assert (got != got.T).nnz == 0, "symmetric to the last bit"
    assert got.nnz == sparse_hessian(f)(X).nnz
    assert second.passes(X) <= sparse_hessian(f).passes(X)


def test_it_takes_fewer_passes():
    x = np.linspace(0.1, 1.0, 400)

    def plate(x):
        u = x.reshape(20, 20)
        return np.sum((u[1:] - u[:-1]) ** 4) + np.sum((u[:, 1:] - u[:, :-1]) ** 4)

    for f in (rosenbrock, plate):
        direct, indirect = sparse_hessian(f), sparse_hessian(f, substitution=True)
        assert indirect.passes(x) < direct.passes(x)
        scale = abs(direct(x)).max()
        np.testing.assert_allclose((indirect(x) - direct(x)).toarray(), 0.0, atol=1e-10 * scale)
    assert sparse_hessian(rosenbrock, substitution=True).passes(x) == (2, 0)
    narrow = sparse_hessian(rosenbrock, substitution=True)(x.astype(np.float32))
    assert narrow.dtype == np.float32
    assert sparse_hessian(arrow_with_a_hub, substitution=True).passes(X) == (2, 0)
    assert star_colouring(sparse.csr_array(np.ones((6, 6), bool))).max() == 5


# ---- diagonals -------------------------------------------------------------------------------------------------------
def test_the_diagonal_of_a_separable_function_takes_one_pass():
    second = hessian(separable, diagonal=True)
    x = np.linspace(-1.0, 1.0, 10_000)
    assert second.passes(x) == (1, 0)
    np.testing.assert_allclose(second(X), np.diag(hessian(separable)(X)), rtol=1e-13)
    along = jacobian(lambda x, a: np.sin(x) * a, diagonal=True)
    assert along.passes(x, 2.0) == (1, 0)
    np.testing.assert_allclose(along(x, 2.0), 2.0 * np.cos(x), rtol=1e-15)


@pytest.mark.parametrize("f", HESSIANS, ids=lambda f: f.__name__)
def test_the_diagonal_of_any_hessian(f):
    second = hessian(f, diagonal=True)
    np.testing.assert_allclose(second(X), np.diag(hessian(f)(X)), rtol=1e-12, atol=1e-12)
    assert second.passes(X) <= sparse_hessian(f).passes(X)


def test_how_many_passes_a_diagonal_takes():
    assert hessian(rosenbrock, diagonal=True).passes(np.zeros(1000)) == (2, 0)
    assert hessian(dense, diagonal=True).passes(X) == (9, 0)
    assert jacobian(bidiagonal, diagonal=True).passes(X) == (2, 0)
    assert jacobian(arrow, diagonal=True).passes(X) == (2, 0)


def bidiagonal(x):
    y = x * x
    y[1:] += np.sin(x[:-1]) * x[1:]
    return y


@pytest.mark.parametrize("f", [bidiagonal, arrow])
def test_the_diagonal_of_a_jacobian(f):
    np.testing.assert_allclose(jacobian(f, diagonal=True)(X), np.diag(jacobian(f)(X)), rtol=1e-13)


def test_a_diagonal_has_the_structure_of_the_arguments():
    def f(p, q, name):
        return np.sum(p["a"] ** 3) * q + p["b"] ** 2

    p = {"a": np.array([1.0, 2.0]), "b": 3.0}
    got, at_q = hessian(f, argnums=(0, 1), diagonal=True)(p, 2.0, "name")
    assert got["a"].tolist() == [12.0, 24.0] and got["b"] == 2.0 and at_q == 0.0
    assert hessian(f, argnums="q", diagonal=True)(p, 2.0, "name") == 0.0


def test_refused_diagonals():
    with pytest.raises(MyiaValueError, match="not square: 2 results by 3"):
        jacobian(lambda x: x[:2], diagonal=True)(np.ones(3))
    with pytest.raises(MyiaTypeError, match="has_aux"):
        hessian(lambda x: (x, x), has_aux=True, diagonal=True)
    with pytest.raises(MyiaError, match="diagonal=True"):
        myia(lambda x: jacobian(lambda z: z * z, diagonal=True)(x))(np.ones(3))
    assert myia(lambda x: jacobian(lambda z: z * z, diagonal=False)(x))(2.0) == 4.0


# ---- random programs -------------------------------------------------------------------------------------------------
@settings(max_examples=25)
@given(source=programs(), args=arguments(GENERIC), seed=st.integers(0, 10**6))
def test_a_pattern_is_never_too_small(folder, source, args, seed):
    """Wherever a derivative is other than zero, the pattern has an element: with branches, loops and indexes."""
    note(source)
    f = myia(backend="interp")(load(source, folder))
    try:
        value = outcome(f, args)
    except MyiaError:
        reject()  # `test_random_programs` wants it compiled
    assume(not isinstance(value, type) and np.isfinite(value))
    wrt = (0, 1, 4)
    try:
        pattern = sparse_jacobian(f, argnums=wrt).pattern(*args).toarray()[0]
    except MyiaTypeError:
        reject()  # an argument without floats
    slopes = grad(f, argnums=wrt)(*args)
    flat = np.concatenate([np.ravel(s) for s in slopes])
    note(f"f{args}: {flat}, {pattern}")
    assert len(flat) == len(pattern)
    assert not np.any((flat != 0) & ~pattern)
