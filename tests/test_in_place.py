"""Products of narrow matrices where they are used, results in the memory of what dies, rows of zeros left out."""

import numpy as np
import pytest
from test_llvm_arrays import I, a, check, plan, program
from test_llvm_arrays import fused as fused_as_asked

from myia_lite import grad, jacfwd, myia
from myia_lite.backends.llvm import loopnest, zeros
from myia_lite.backends.llvm import program as program_
from myia_lite.ops import PRIMITIVES as P

RNG = np.random.default_rng(5)


def fused(build, *args, **kw):
    fused_as_asked(build, *args, contract=True, **kw)


# ---- narrow products -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_a_narrow_product_goes_into_its_consumer(dtype, ta, tb):
    for m, k, n in [(31, 3, 17), (1, 4, 257), (259, 2, 1), (0, 3, 200), (200, 3, 0)]:
        x, y = a(*((k, m) if ta else (m, k)), dtype=dtype), a(*((n, k) if tb else (k, n)), dtype=dtype)

        def f(x, y, z):
            return P["matmul"](P["abs"](x), P["abs"](y), ta=ta, tb=tb) + P["abs"](z)

        check(f, x, y, a(m, n, dtype=dtype), rtol=1e-5 if dtype == "f32" else 1e-13)
    # the product is computed once for each of its elements, but its factors' many times: they have arrays
    fused(
        f, *[a(*s) for s in ((3, 31) if ta else (31, 3), (17, 3) if tb else (3, 17), (31, 17))], inlined=2, rtol=1e-13
    )


def test_views_of_a_narrow_product():
    def f(x, y, z):
        rows = P["reshape"](P["matmul"](x, y, ta=False, tb=True), shape=(5, 7, 33))
        part = P["slice"](P["transpose"](rows, perm=(0, 2, 1)), *I[:1] * 2, I[2], steps=(1, 1, 1), shape=(5, 33, 3))
        return part + z

    fused(f, a(35, 4), a(33, 4), a(5, 33, 3), inlined=4, rtol=1e-12, dynamic=[False])

    def columns_too(x, y, z):  # an element has another row and column there: the product is made first
        return P["reshape"](P["matmul"](x, y, ta=False, tb=False), shape=(33, 35)) + z

    fused(columns_too, a(35, 2), a(2, 33), a(33, 35), inlined=1, rtol=1e-12, dynamic=[False])


def test_wide_and_tiny_products_stay_products():
    def f(x, y, z):
        return P["matmul"](x, y, ta=False, tb=False) + z

    fused(f, a(30, 5), a(5, 30), a(30, 30), inlined=0, rtol=1e-12)
    fused(f, a(4, 4), a(4, 4), a(4, 4), inlined=0, rtol=1e-12)

    def twice(x, y):  # two loops ask for its elements
        z = P["matmul"](x, y, ta=False, tb=False)
        return P["reduce_sum"](P["exp"](z), axes=(0,)) * P["reduce_max"](z, axes=(0,))

    graph = program(twice, a(30, 3), a(3, 30))
    assert not any(n.op.name == "matmul" for n in plan(graph, contract=True).inlined)
    check(twice, a(30, 3), a(3, 30), rtol=1e-12)


def test_derivatives_of_a_narrow_product():
    def f(x, w, b):
        return np.sum(np.tanh(x @ w + b) ** 2)

    def slope(x, w, b):
        return np.sum(np.sin(grad(f, argnums=1)(x, w, b)))

    args = RNG.standard_normal((57, 3)), RNG.standard_normal((3, 13)), RNG.standard_normal(13)
    for g in (f, slope):
        for k in range(3):
            expected = grad(myia(g, backend="interp"), argnums=k)(*args)
            np.testing.assert_allclose(grad(myia(g), argnums=k)(*args), expected, rtol=1e-9, atol=1e-10)


# ---- results in the memory of what dies ------------------------------------------------------------------------------
def summed(x, n):
    total = np.zeros(x.shape)
    for k in range(n):
        total = total + x * k
    return total


def swung(x, n):
    y, z = x * 1.0, x * 2.0
    for _ in range(n):
        y, z = z - y, y + 1.0
    return y * z


def mirrored(x, n):
    y = x * 1.0
    for _ in range(n):
        y = y + y[::-1]
    return y


def kept(x, n):
    y = x * 1.0
    last = y
    for _ in range(n):
        last, y = y, y + x
    return np.concatenate([last, y])


def branches(x, n):
    y = x * 1.0
    for k in range(n):
        y = y * 2.0 if k % 2 == 0 else x + y
    return y


def waved(x, n):  # computed a second time for arguments beyond the fast range: not over its own argument
    y = x * 1e6
    for _ in range(n):
        y = np.sin(y) + 1e7
    return y


def carried(x, n):
    def step(y):
        return y + x

    y = x * 1.0
    for _ in range(n):
        y = step(step(y))
    return y, x + y


@pytest.mark.parametrize("f", [summed, swung, mirrored, kept, branches, waved, carried])
@pytest.mark.parametrize("size", [0, 1, 7, 64])
def test_results_take_over_memory(f, size):
    x = RNG.standard_normal(size)
    before, compiled = x.copy(), myia(f)
    for n in (0, 1, 4):
        for got, expected in zip(np.atleast_1d(compiled(x, n)), np.atleast_1d(f(x, n)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(x, before)
    assert not compiled._program((x, 4), {}).run.leaked


def test_a_sum_in_a_loop_is_added_up_where_it_lies():
    text = myia(summed).ir(RNG.standard_normal(1000), 3, stage="llvm")
    assert text.count("call ptr @rt_alloc") == 1  # the zeros that it begins with


def test_results_of_open_sizes_take_over_memory():
    def shorter(x, y, z):
        w = np.sqrt(x) + y  # as long as y, which may be shorter than x
        return w[: len(z)] * z

    def f(x, n):
        y = x + 1.0
        for _ in range(n):
            y = y * 0.5 + x[::-1]
            y = y[:1] + y
        return y

    compiled = myia(f)
    for n in (5, 8, 13):
        x = RNG.standard_normal((n, 3))
        np.testing.assert_allclose(compiled(x, 4), f(x, 4), rtol=1e-12)
    compiled = myia(shorter)
    for n in (5, 8, 13):
        x = RNG.random(n)
        np.testing.assert_allclose(compiled(x, x, x[2:]), shorter(x, x, x[2:]), rtol=1e-12)


# ---- rows of zeros ---------------------------------------------------------------------------------------------------
def blended(t, p, w):
    """Points moved by several affine maps, each by two of the parameters, and blended."""
    out = np.zeros((len(p), 3))
    for b in range(w.shape[1]):
        turn = np.array([[t[2 * b], t[2 * b + 1], 0.0], [0.0, t[2 * b] ** 2, 1.0], [1.0, 0.0, np.sin(t[2 * b + 1])]])
        out = out + w[:, b, None] * (p @ turn.T)
    return out


def jacobian(t, p, w):
    return jacfwd(blended)(t, p, w)


def energy(t, p, w):
    return np.sum(np.tanh(blended(t, p, w)) ** 2)


def hessian(t, p, w):
    return jacfwd(grad(energy))(t, p, w)


@pytest.fixture
def skipped(monkeypatch):
    """Loops that leave rows out."""
    count = []

    def assign(kernel, target, expression, add=False, when=None):
        count.append(when is not None)
        loopnest.assign(kernel, target, expression, add, when)

    monkeypatch.setattr(zeros, "assign", assign)
    return count


def inputs(n, maps=6):
    return RNG.standard_normal(2 * maps), RNG.standard_normal((n, 3)), RNG.random((n, maps))


@pytest.mark.parametrize("n", [1, 45, 333])
def test_rows_of_zeros_are_left_out(n, skipped):
    args = inputs(n)
    got = myia(jacobian)(*args)
    assert any(skipped) == (n > 1)
    np.testing.assert_allclose(got, myia(jacobian, backend="interp")(*args), rtol=1e-12, atol=1e-13)


def test_rows_of_zeros_in_a_large_program(skipped, monkeypatch):
    monkeypatch.setattr(program_, "LOOPS", 0)  # each nest is a function of its own
    args = inputs(101)
    got = myia(jacobian)(*args)
    assert any(skipped)
    np.testing.assert_allclose(got, myia(jacobian, backend="interp")(*args), rtol=1e-12, atol=1e-13)


def test_rows_of_open_length(skipped):
    compiled, reference = myia(jacobian), myia(jacobian, backend="interp")
    for n in (45, 101, 3, 1000):  # from the second on they share a program
        skipped.clear()
        args = inputs(n)
        np.testing.assert_allclose(compiled(*args), reference(*args), rtol=1e-12, atol=1e-13)
        assert any(skipped) == (n in (45, 101))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", [1, 2])
def test_zero_times_infinity_is_not_left_out(bad, where, skipped):
    args = inputs(101)
    args[where][3, 1] = bad
    got = myia(jacobian)(*args)
    assert any(skipped)
    np.testing.assert_allclose(got, myia(jacobian, backend="interp")(*args), rtol=1e-12, atol=1e-13)
    assert not np.isfinite(got[3]).any()


def test_second_derivatives_with_rows_of_zeros():
    args = inputs(53)
    np.testing.assert_allclose(myia(hessian)(*args), myia(hessian, backend="interp")(*args), rtol=1e-9, atol=1e-11)


def test_what_is_added_to_a_part():
    def f(x, c, v):
        y = P["neg"](x)
        rows = P["broadcast"](c, shape=(12, 90), axes=(0,))
        return P["slice_add"](y, rows * P["broadcast"](v, shape=(12, 90), axes=(1,)), I[1], I[0], steps=(1, 1))

    c = np.where(np.arange(12) % 3, 0.0, 1.5)
    check(f, a(14, 90), c, a(90), dynamic=[False])
    for bad in (np.nan, -np.inf):
        check(f, a(14, 90), c, np.where(np.arange(90) == 5, bad, 1.0), dynamic=[False])
        check(f, a(14, 90), np.where(np.arange(12) == 5, bad, 0.0), a(90), dynamic=[False])
