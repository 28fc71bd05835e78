"""Sparse Jacobians and Hessians: the dense ones are the oracle, of values and of patterns."""

import copy
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_samples import SAMPLES
from programs import PROGRAMS
from scipy import sparse

from benchmarks.sparse import problem, residuals
from myia_lite import (
    custom_derivative,
    grad,
    hessian,
    jacrev,
    jvp,
    myia,
    sparse_hessian,
    sparse_jacobian,
    stop_gradient,
)
from myia_lite.ad.colouring import jacobian_colouring, star_colouring
from myia_lite.ad.index_sets import FIRST, IndexSets
from myia_lite.ad.sparsity import Dependence, Tracked
from myia_lite.ir import Apply, MyiaError, MyiaTypeError, MyiaValueError, is_float, shaped
from myia_lite.ops import PRIMITIVES
from myia_lite.sparse import Seeds, vector_of

X = np.linspace(0.3, 1.7, 9)
ONES = np.triu(np.ones((4, 9)), 2)
WHERE = np.array([0, 3, 3, 5, 8])
MASK = np.arange(9) % 3 == 0


def tridiagonal(x):
    return x[2:] - 2.0 * x[1:-1] ** 2 + np.sin(x[:-2])


def banded_by_a_loop(x):
    y = np.zeros(9)
    for i in range(1, 8):
        y[i] = x[i - 1] - 2.0 * x[i] ** 2 + x[i + 1]
    return y


def arrow(x):
    y = x * x
    y[0] = np.sum(np.sin(x))
    y[1:] = y[1:] * x[0]
    return y


def block_diagonal(x):
    return np.cumsum(x.reshape(3, 3) ** 2, axis=1)


def stencil(x):
    u = x.reshape(3, 3)
    v = np.zeros((5, 5))
    v[1:4, 1:4] = u
    return 4.0 * u - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]


def gathered(x):
    return np.exp(x[WHERE]) * x[0]


def scattered(x):
    y = np.zeros(4)
    for k in range(5):
        y[k % 4] += np.exp(x[WHERE[k]])
    return y


def added_up(x):
    y = np.zeros(4)
    y[1:] += x[:3] * x[3:6]
    y[::-1] += x[5:]
    return y


def by_a_matrix(x):
    return ONES @ np.sin(x)


def reduced(x):
    return x.reshape(3, 3).max(axis=0) * x[:3]


def products(x):
    return np.prod(x.reshape(3, 3), axis=1)


def masked(x):
    return np.where(MASK, x * x, 0.0) + MASK * x[::-1]


def branches(x):
    y = x.copy()
    for i in range(8):
        if x[i] > 1.0:
            y[i] = x[i] * x[i + 1]
        elif x[i] > 0.7:
            y[i] = np.sum(x[:i])
    return y


def on_both_sides(x):
    return (ONES @ x.reshape(9, 1)) @ np.ones((1, 2)) + (x.reshape(1, 9) @ ONES.T).T


def recursive(x):
    def go(i):
        if i == 0:
            return x[0]
        return x[i] * go(i - 1)

    return np.array([go(0), go(2), go(4)])


def while_loop(x):
    s, i = 0.0, 0
    while s < 2.0:
        s = s + x[i]
        i = i + 1
    return np.array([s, x[i]])


def reversed_steps(x):
    return x[::-1][::2] * x[::2]


def nothing(x):
    return np.floor(x)


def one(x):
    return x[2] * x[4]


def of_lists(x):
    values = [x[i] * x[8 - i] for i in range(4)]
    return np.array(values)


def outer(x):
    return np.outer(x[:3], x[3:5])


def derivative(x):
    return grad(lambda z: np.sum(z[1:] ** 3 * z[:-1]))(x)


JACOBIANS = {  # elements that may be other than zero, passes
    tridiagonal: (21, (3, 0)),
    banded_by_a_loop: (21, (3, 0)),
    arrow: (25, (2, 1)),
    block_diagonal: (18, (3, 0)),
    stencil: (33, None),
    gathered: (9, (2, 0)),
    scattered: (5, None),
    added_up: (9, (0, 1)),
    by_a_matrix: (22, None),
    reduced: (9, None),
    products: (9, None),
    masked: (6, None),
    branches: (17, (1, 2)),
    on_both_sides: (44, None),
    recursive: (9, None),
    while_loop: (5, None),
    reversed_steps: (9, None),
    nothing: (0, (0, 0)),
    one: (2, (0, 1)),
    of_lists: (8, (0, 1)),
    outer: (12, None),
    derivative: (24, (3, 0)),
}


@pytest.mark.parametrize("f", JACOBIANS, ids=lambda f: f.__name__)
def test_jacobians(f):
    elements, passes = JACOBIANS[f]
    jacobian = sparse_jacobian(f)
    got = jacobian(X)
    assert isinstance(got, sparse.csr_array) and got.has_canonical_format
    np.testing.assert_allclose(got.toarray(), np.reshape(jacrev(f)(X), got.shape), rtol=1e-13, atol=1e-14)
    assert got.nnz == elements
    assert passes is None or jacobian.passes(X) == passes


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def chain(x):
    s = 0.0
    for i in range(8):
        s += x[i] ** 2 * x[i + 1]
    return s


def arrow_with_a_hub(x):
    return np.sum(x[4] ** 2 * np.sin(x))


def separable(x):
    return np.sum(np.exp(x) * np.sin(x) + x**4)


def linear(x):
    return np.sum(3.0 * x)


def dense(x):
    return np.sum(x) ** 3


def quadratic_form(x):
    y = x[:5]
    return y @ (y * np.arange(1.0, 6.0)) + np.exp(x[7] * x[8])


def plate(x):
    u = x.reshape(3, 3)
    return np.sum((u[1:] - u[:-1]) ** 4) + np.sum((u[:, 1:] - u[:, :-1]) ** 4)


def largest(x):
    return np.maximum(x[:-1] ** 2, x[1:] ** 3).sum()


HESSIANS = {
    rosenbrock: (25, 3),
    chain: (24, 3),
    arrow_with_a_hub: (25, 2),
    separable: (9, 1),
    linear: (0, 0),
    dense: (81, 9),
    quadratic_form: (9, 2),
    plate: (33, None),
    largest: (9, 1),
}


@pytest.mark.parametrize("f", HESSIANS, ids=lambda f: f.__name__)
def test_hessians(f):
    elements, passes = HESSIANS[f]
    second = sparse_hessian(f)
    got = second(X)
    np.testing.assert_allclose(got.toarray(), hessian(f)(X), rtol=1e-12, atol=1e-12)
    assert (got != got.T).nnz == 0, "symmetric to the last bit"
    assert got.nnz == elements
    assert passes is None or second.passes(X) == (passes, 0)


def test_elements_of_the_pattern_that_are_zero_stay():
    jacobian = sparse_jacobian(lambda x: x * x)
    assert jacobian(np.zeros(3)).nnz == 3
    assert jacobian(np.zeros(3)).toarray().tolist() == np.zeros((3, 3)).tolist()
    assert jacobian.pattern(np.zeros(3)).toarray().tolist() == np.eye(3, dtype=bool).tolist()


# ---- large ones ------------------------------------------------------------------------------------------------------
def test_bundle_adjustment():
    given = problem(cameras=3, points=12, observations=30)
    jacobian = sparse_jacobian(residuals, argnums=(0, 1, 2))
    got = jacobian(*given)
    full = jacrev(residuals, argnums=(0, 1, 2))(*given)
    expected = np.concatenate([np.reshape(j, (90, -1)) for j in full], axis=1)
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-10, atol=1e-10)
    assert got.nnz == 30 * (14 + 14 + 1)
    assert jacobian.passes(*given) == (14, 0)


def test_a_large_loop_is_linear():
    def smooth(x):
        y = np.zeros(x.shape[0])
        for i in range(1, x.shape[0] - 1):
            y[i] = x[i - 1] * x[i] + x[i + 1]
        return y

    x = np.linspace(0.0, 1.0, 4000)
    got = sparse_jacobian(smooth)(x)
    expected = sparse.diags_array([x[1:-1], x[:-2], np.ones(3998)], offsets=[0, 1, 2], shape=(3998, 4000))
    np.testing.assert_allclose(abs(got[1:-1] - expected).max(), 0.0, atol=1e-15)


def test_a_long_sum_has_no_sets_of_its_parts():
    def total(x):
        s = 0.0
        for i in range(x.shape[0]):
            s += x[i] * x[i]
        return s

    x = np.linspace(0.0, 1.0, 20_000)
    jacobian = sparse_jacobian(total)
    np.testing.assert_allclose(jacobian(x).toarray(), 2.0 * x[None], rtol=1e-15)
    assert jacobian.passes(x) == (0, 1)


def test_a_long_recurrence():
    """Two values that go into each other, thousands of times: sets one after the other."""

    def orbit(z):
        q, p = z[0], z[1]
        for _ in range(3000):
            p = p - 0.01 * q * z[2]
            q = q + 0.01 * p
        return np.array([q, p, z[3]])

    z = np.array([1.0, 0.0, 2.0, 5.0])
    got = sparse_jacobian(orbit)(z)
    np.testing.assert_allclose(got.toarray(), jacrev(orbit)(z), rtol=1e-12)
    assert got.nnz == 7


@pytest.mark.parametrize("program", [p for p in PROGRAMS.values() if p.wrt][::8], ids=repr)
def test_the_programs_of_the_table(program):
    """Against a derivative along a direction, which no seed of a colour is."""
    args, wrt = copy.deepcopy(program.cases[0]), program.wrt
    got = sparse_jacobian(program.fn, argnums=wrt)(*args)
    seeds = Seeds(args, wrt)
    direction = np.random.default_rng(0).normal(size=seeds.size)
    _, expected = jvp(program.fn, args, seeds.tangents(direction))
    rtol = 1e-9 if got.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(got @ direction, vector_of(expected), rtol=rtol, atol=rtol)


# ---- arguments -------------------------------------------------------------------------------------------------------
class State(NamedTuple):
    q: np.ndarray
    p: float
    steps: int


@dataclass(frozen=True)
class Both:
    first: np.ndarray
    name: str
    second: float


def test_structures_are_flattened_in_order():
    def f(s, scale):
        return Both(s.q[::-1] * scale * s.steps, "name", s.p * s.q[0])

    s = State(np.array([1.0, 2.0]), 3.0, 4)
    assert sparse_jacobian(f)(s, 0.5).toarray().tolist() == [[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 1.0]]
    assert sparse_jacobian(f, argnums=(1, 0))(s, 0.5).toarray()[0].tolist() == [8.0, 0.0, 2.0, 0.0]


def test_argnums():
    def f(x, y, k=2.0):
        return x * y * k

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    expected = [[6.0, 0.0], [0.0, 8.0]]
    assert sparse_jacobian(f)(x, y).toarray().tolist() == expected
    assert sparse_jacobian(f, argnums="x")(x, y=y).toarray().tolist() == expected
    assert sparse_jacobian(f, argnums=-1)(y, x).toarray().tolist() == expected
    assert sparse_jacobian(f, argnums="y")(x, k=1.0, y=y).toarray().tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert sparse_hessian(lambda x, y: np.sum(x * y), argnums=(0, 1))(x, y).toarray().tolist() == [
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
    ]


def test_scalars_and_single_precision():
    assert sparse_jacobian(lambda x: x * x)(3.0).toarray().tolist() == [[6.0]]
    got = sparse_jacobian(lambda x: x * x)(np.array([1.0, 2.0], np.float32))
    assert got.dtype == np.float32 and got.toarray().tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_no_elements():
    assert sparse_jacobian(lambda x: x * x)(np.zeros(0)).shape == (0, 0)
    assert sparse_jacobian(lambda x: x[:0])(np.zeros(3)).shape == (0, 3)


def test_compiled_functions_methods_and_closures():
    class Model:
        scale = 2.0

        @myia
        def residuals(self, x):
            return x * x * self.scale

    assert sparse_jacobian(Model().residuals)(np.ones(2)).toarray().tolist() == [[4.0, 0.0], [0.0, 4.0]]
    weights = np.array([1.0, 0.0, 3.0])
    jacobian = sparse_jacobian(lambda x: x * weights)
    assert jacobian(np.ones(3)).nnz == 2
    weights[1] = 5.0
    assert jacobian(np.ones(3)).toarray().diagonal().tolist() == [1.0, 5.0, 3.0]


def test_the_same_function_has_the_same_jacobian():
    assert sparse_jacobian(arrow) is sparse_jacobian(arrow)
    assert sparse_jacobian(arrow) is not sparse_jacobian(arrow, argnums=-1)


def test_errors():
    with pytest.raises(MyiaTypeError, match="no floats"):
        sparse_jacobian(lambda x: x * 2.0)(3)
    with pytest.raises(MyiaValueError, match="argnums"):
        sparse_jacobian(lambda x: x * 2.0, argnums=1)(3.0)
    with pytest.raises(MyiaTypeError, match="keyword"):
        sparse_jacobian(lambda x: x * 2.0)(3.0, z=3.0)
    with pytest.raises(ZeroDivisionError):
        sparse_jacobian(lambda x, y: x / y)(3.0, 0.0)
    with pytest.raises(MyiaTypeError):
        sparse_hessian(lambda x: x * 2.0)(np.ones(2))
    with pytest.raises(MyiaTypeError, match="argnums"):
        sparse_jacobian(lambda x: x * 2.0, argnums=[0])
    with pytest.raises(MyiaError, match="not supported in compiled code"):
        myia(lambda x: sparse_jacobian(lambda z: z * z)(x))(np.ones(2))
    with pytest.raises(ValueError, match=r"bad 1\.0"):
        sparse_jacobian(refuses)(np.ones(2))


def refuses(x):
    if x[0] > 0.0:
        raise ValueError(f"bad {x[0]}")
    return x


# ---- the pattern from call to call -----------------------------------------------------------------------------------
def test_a_pattern_is_kept_where_the_inputs_do_not_decide_on_it(monkeypatch):
    found = []
    plain = Dependence.pattern
    monkeypatch.setattr(Dependence, "pattern", lambda self, results: found.append(1) or plain(self, results))
    jacobian = sparse_jacobian(lambda x, k: x[:k] * 2.0 / x[0])
    for x in (X, X + 1.0):
        jacobian(x, 3)
    assert len(found) == 1
    jacobian(X, 4)
    assert len(found) == 2
    by_branch = sparse_jacobian(lambda x: x[0] if x[0] > 1.0 else x[1])
    assert by_branch(np.array([0.5, 3.0])).toarray().tolist() == [[0.0, 1.0]]
    assert by_branch(np.array([1.5, 3.0])).toarray().tolist() == [[1.0, 0.0]]
    by_index = sparse_jacobian(lambda x: x[np.argmax(x)] ** 2)
    assert by_index(np.array([0.5, 3.0])).toarray().tolist() == [[0.0, 6.0]]
    assert by_index(np.array([1.5, 1.0])).toarray().tolist() == [[3.0, 0.0]]


def test_what_has_no_derivative_is_no_part_of_the_pattern():
    f = sparse_jacobian(lambda x: x * np.floor(x[::-1]) + stop_gradient(x).sum())
    assert f.pattern(np.arange(4.0)).toarray().tolist() == np.eye(4, dtype=bool).tolist()


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_rule_of_the_user_counts(mode):
    """A straight-through estimate: the function itself has no derivative."""

    @custom_derivative
    def through(x):
        return np.floor(x)

    if mode == "forward":
        through.defjvp(lambda primals, tangents: (np.floor(primals[0]), tangents[0]))
    else:
        through.defvjp(lambda x: (np.floor(x), None), lambda _, y_bar: (y_bar,))
    assert sparse_jacobian(lambda x: 2.0 * through(x))(np.ones(2)).toarray().tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_a_choice_by_value_is_no_part_of_the_pattern():
    f = sparse_jacobian(lambda x: np.where(x[1:] > x[:-1], x[1:], 0.0) + np.maximum(x[0], x[2]))
    assert np.array_equal(f.pattern(np.arange(4.0)).toarray(), f.pattern(-np.arange(4.0)).toarray())


# ---- primitives ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [n for n in SAMPLES if PRIMITIVES[n].zero_derivative is None])
def test_the_pattern_of_a_primitive_covers_what_a_change_changes(name):
    op = PRIMITIVES[name]
    for args, attrs in SAMPLES[name]:
        types = [shaped(_dtype(a), np.shape(a)) for a in args]
        n = Apply(op, (), attrs, (), op.type_rule(types, attrs, ()))
        if not is_float(n.type) or not all(np.all(np.isfinite(a)) for a in args):
            continue
        active = [k for k, t in enumerate(types) if is_float(t)]
        for some in itertools.chain([active], ([k] for k in active)):
            d = Dependence(sum(np.size(args[k]) for k in some))
            tracked = [d.input(a) if k in some else a for k, a in enumerate(args)]
            got = d.meaning(n)(*tracked, **attrs)
            value = op.value(*args, **attrs)
            if not isinstance(got, Tracked):
                continue
            np.testing.assert_array_equal(got.value, value)
            assert np.shape(got.sets) == np.shape(value)
            pattern = d.pattern([got]).toarray()
            j = 0
            for k in some:
                for place in np.ndindex(np.shape(args[k])):
                    moved = [np.array(a) for a in args]
                    moved[k][place] += np.float32(1e-2)
                    moved = [m if m.ndim else m[()] for m in moved]
                    with np.errstate(all="ignore"):
                        differs = np.reshape(op.value(*moved, **attrs) != value, -1)
                    assert not np.any(differs & ~pattern[:, j]), (name, k, place)
                    j += 1


def _dtype(a):
    a = np.asarray(a)
    return "bool" if a.dtype == bool else f"{a.dtype.kind}{8 * a.dtype.itemsize}"


# ---- sets ------------------------------------------------------------------------------------------------------------
@given(st.integers(0, 10**6))
def test_index_sets_are_sets(seed):
    """Random unions of all kinds, beside Python's sets."""
    r = np.random.default_rng(seed)
    sets, n = IndexSets(5), 6
    arrays = [np.arange(FIRST, FIRST + 5), np.array([0, 1, 1, 0, FIRST])]
    truth = [[{k} for k in range(5)], [set(), set(), set(), set(), {0}]]
    for _ in range(n):
        a, b = r.integers(len(arrays), size=2)
        kind = r.integers(5)
        if kind == 0:
            arrays.append(sets.union(arrays[a], arrays[b]))
            truth.append([s | t for s, t in zip(truth[a], truth[b], strict=True)])
        elif kind == 1:
            k = r.integers(5)
            arrays.append(sets.union(arrays[a], arrays[b][k]))
            truth.append([s | truth[b][k] for s in truth[a]])
        elif kind == 2:
            groups = r.integers(5, size=5)
            arrays.append(sets.grouped(groups, arrays[a], 5))
            truth.append([set().union(*(s for s, g in zip(truth[a], groups, strict=True) if g == k)) for k in range(5)])
        elif kind == 3:
            carried = r.random(5) < 0.7
            arrays.append(sets.running(arrays[a], carried))
            row, out = set(), []
            for k in range(5):
                row = truth[a][k] | (row if carried[k] and k else set())
                out.append(row)
            truth.append(out)
        else:
            x = arrays[a].copy()
            for k in range(1, 5):
                x[k] = sets.union(int(x[k]), int(x[k - 1]))
            arrays.append(x)
            truth.append(list(itertools.accumulate(truth[a], set.union)))
    members = sets.members(np.concatenate(arrays)).toarray()
    assert [set(np.flatnonzero(row)) for row in members] == [s for t in truth for s in t]


# ---- colourings ------------------------------------------------------------------------------------------------------
PATTERNS = st.tuples(st.integers(1, 12), st.integers(1, 12), st.floats(0.05, 0.9), st.integers(0, 10**6))


@given(PATTERNS)
def test_jacobian_colourings_tell_all_elements_apart(p):
    m, n, density, seed = p
    a = np.random.default_rng(seed).random((m, n)) < density
    split = jacobian_colouring(sparse.csr_array(a))
    for i, j in zip(*np.nonzero(a), strict=True):
        if split.by_row(i, j):
            assert split.rows[i] >= 0
            assert np.sum(a[:, j] & (split.rows == split.rows[i])) == 1
        else:
            assert split.columns[j] >= 0
            assert np.sum(a[i] & (split.columns == split.columns[j])) == 1
    forward, reverse = split.passes
    assert forward + reverse <= min(m, n)


@given(PATTERNS)
def test_star_colourings(p):
    n, _, density, seed = p
    a = np.random.default_rng(seed).random((n, n)) < density
    a |= a.T
    colours = star_colouring(sparse.csr_array(a))
    for i, j in zip(*np.nonzero(a), strict=True):
        alone = [np.sum(a[u] & (colours == colours[v])) == 1 for u, v in ((i, j), (j, i))]
        assert any(alone)
    assert np.all((colours >= 0) == a.any(axis=1))


def test_known_colourings():
    n = 50
    path = sparse.diags_array([np.ones(n - 1)] * 2, offsets=[-1, 1]).tocsr().astype(bool)
    assert star_colouring(path).max() + 1 == 3
    star = np.eye(n, dtype=bool)
    star[7] = star[:, 7] = True
    assert star_colouring(sparse.csr_array(star)).max() + 1 == 2
    assert sum(jacobian_colouring(sparse.csr_array(star)).passes) == 3
    assert jacobian_colouring(sparse.csr_array(np.ones((3, n), bool))).passes == (0, 3)
