"""Small arrays that are only taken apart become their elements: values, derivatives and errors stay, arrays go."""

import math

import numpy as np
import pytest

from myia_lite import grad, jacfwd, jacrev, myia
from myia_lite.compiler import differentiated
from myia_lite.ir import shape_of
from myia_lite.opt import optimise, scalars, whole_arrays
from myia_lite.opt.scalars import make_scalars

BACKENDS = ("interp", "llvm")


def cross(a, b):
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def spinning(x, n):
    """A 3-vector as a loop's state."""
    v = np.array([1.0, x, x * x])
    w = np.array([0.1, 0.2, x])
    for _ in range(n):
        v = v + 0.1 * cross(w, v)
    return v[0] + 2.0 * v[1] * v[2]


def branches(x, n):
    """A vector as the result of a branch, whose gradient goes back through it."""
    total = 0.0
    for k in range(n):
        v = np.array([x, x * k]) if x * k < 1.5 else np.array([math.sin(x), 2.0])
        total += v[0] * v[1]
    return total


def shapes(x, n):
    a = np.array([[x, 2.0, 3.0], [4.0, x * x, 6.0]])
    b = a.T.reshape(2, 3) + a[::-1, ::-1]
    b[0, 1:] += np.array([x, 1.0])
    b[:, 0] = a[:, 2]
    b[1, 1] = x * n
    c = np.concatenate((a[0], b[1], np.ones(2)))
    return np.sum(c * c) + b[0, 1] * b[1, 2] + np.sum(np.stack((a[0], b[0])) * x)


def reductions(x, n):
    a = np.array([[x, -2.0, 3.0], [x * x, 5.0, n * 1.0]])
    return (
        np.sum(a, axis=0)[0] * np.max(a)
        + np.cumsum(a, axis=1)[1, 1]
        + np.prod(a, axis=1)[1]
        - np.min(a, axis=0)[2]
        + np.mean(a)
    )


def products(x, n):
    """Rotations one after the other."""
    m = np.eye(2)
    for _ in range(n):
        r = np.array([[np.cos(x), -np.sin(x)], [np.sin(x), np.cos(x)]])
        m = m @ r.T @ np.array([[1.0, x], [0.0, 1.0]])
    return m[0, 0] * m[1, 1] + (m @ np.array([1.0, x]))[1]


def conditions(x, n):
    v = np.array([x, n - 2.5, 1.0])
    inside = v > 0.5
    total = 1.0 if np.any(inside) else 2.0
    total = total + (0.0 if np.all(inside) else 0.25)
    return total * np.sum(np.where(inside, v, 2.0 * v))


def single_precision(x, n):
    v = np.array([x, 2.0 * x], dtype=np.float32)
    return float(np.sum(v * np.float32(0.5))) * n


PROGRAMS = [spinning, branches, shapes, reductions, products, conditions, single_precision]


def arrays_left(f, *args, by=None):
    """The shapes of all arrays in the optimised program."""
    graph = differentiated(f._infer(*f._signature(args, {})).graph)
    graph = optimise(graph) if by is None else optimise(graph, by)
    return {shape_of(n.type) for g in graph.nested() for n in (*g.params, *g.nodes) if shape_of(n.type)}


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_value_and_derivatives(f, backend):
    """As in plain Python; and derivatives as those of the program whose arrays stay arrays."""
    rtol = 1e-5 if f is single_precision else 1e-12
    for case in ((0.75, 3), (-1.25, 4)):
        np.testing.assert_allclose(myia(f, backend=backend)(*case), f(*case), rtol=rtol)
        first = grad(myia(f, backend=backend))
        kept = myia(lambda x, n: grad(f)(x, n), backend="interp", optimize=whole_arrays)
        np.testing.assert_allclose(myia(lambda x, n: grad(f)(x, n), backend=backend)(*case), kept(*case), rtol=rtol)
        np.testing.assert_allclose(first(*case), kept(*case), rtol=rtol)
        twice = myia(lambda x, n: grad(grad(f))(x, n), backend=backend)
        whole = myia(lambda x, n: grad(grad(f))(x, n), backend="interp", optimize=whole_arrays)
        np.testing.assert_allclose(twice(*case), whole(*case), rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_no_array_is_left(f):
    """None in the program, its gradient or the gradient of that; there are some without the pass."""
    assert arrays_left(myia(f), 0.75, 3, by=whole_arrays)
    assert not arrays_left(myia(f), 0.75, 3)
    assert not arrays_left(grad(f), 0.75, 3)
    if f is not reductions:  # running products of running products are gathered
        assert not arrays_left(grad(grad(f)), 0.75, 3)


def test_frames_hold_numbers():
    """What a loop saves of a small array lies in its frame."""
    text = grad(spinning).ir(0.75, 3)
    assert "stack<(f64" in text and "[3]" not in text


def rows(points, out):
    """Rows of a large array, read and written."""
    out = out.copy()
    for i in range(len(points)):
        v = points[i]
        out[i] = cross(v, np.array([1.0, 2.0, v[0]]))
        out[i, 1:] += v[:2]
    return out


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_large_arrays(backend):
    rng = np.random.default_rng(0)
    points, out = rng.standard_normal((50, 3)), np.zeros((50, 3))
    np.testing.assert_allclose(myia(rows, backend=backend)(points, out), rows(points, out), rtol=1e-13)
    assert arrays_left(myia(rows), points, out) == {(50, 3)}
    loss = lambda p, o: np.sum(rows(p, o) ** 2)  # noqa: E731
    by_points = grad(myia(loss, backend=backend))(points, out)
    step = 1e-6 * rng.standard_normal(points.shape)
    slope = (loss(points + step, out) - loss(points - step, out)) / 2
    np.testing.assert_allclose(np.sum(by_points * step), slope, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_is_the_row_that_was_read(backend):
    """Not what is written there later."""
    x = np.arange(12.0).reshape(6, 2)

    def swapped(x):
        x = x.copy()
        for i in range(len(x) - 1):
            v = x[i].copy()
            x[i] = x[i + 1]
            x[i + 1] = v * 2.0
        return x

    np.testing.assert_array_equal(myia(swapped, backend=backend)(x), swapped(x))


def picked(x, i):
    v = np.array([x, 2.0 * x, 3.0])
    return v[i] + v[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_index_known_at_run_time_only(backend):
    """Such an array stays one, and a bad index is an error as before."""
    f = myia(picked, backend=backend)
    assert [f(2.0, i) for i in (0, 1, 2, -1)] == [picked(2.0, i) for i in (0, 1, 2, -1)]
    assert (3,) in arrays_left(myia(picked), 2.0, 1)
    with pytest.raises(IndexError):
        f(2.0, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_signs_of_zeros_and_nans(backend):
    total = myia(lambda x: np.sum(np.array([x, x])), backend=backend)
    assert math.copysign(1.0, total(-0.0)) == 1.0
    product = myia(lambda x: np.prod(np.array([x, 1.0])), backend=backend)
    assert math.copysign(1.0, product(-0.0)) == -1.0
    for reduce in (np.max, np.min):
        extremum = myia(lambda x, reduce=reduce: reduce(np.array([1.0, x, 2.0])), backend=backend)
        assert math.isnan(extremum(math.nan)) and extremum(5.0) == reduce(np.array([1.0, 5.0, 2.0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_error_is_raised(backend):
    def two(x):
        v = np.array([x, math.sqrt(x)])
        w = v + np.array([1.0 / (x + 1.0), 0.0])
        return w[0]

    f = myia(two, backend=backend)
    assert f(4.0) == two(4.0)
    with pytest.raises(ValueError, match="math domain error"):
        f(-1.0)
    with pytest.raises(ZeroDivisionError):
        myia(lambda x: np.array([1.0 / (x + 1.0), math.sqrt(x)])[1], backend=backend)(-1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_jacobians(backend):
    """A column of zeros costs nothing, whatever stands beside it."""
    f = lambda x: np.array([x[0] * x[1], np.sin(x[2]), x[0]])  # noqa: E731
    x = np.array([0.5, 2.0, 0.25])
    expected = np.array([[2.0, 0.5, 0.0], [0.0, 0.0, math.cos(0.25)], [1.0, 0.0, 0.0]])
    for derive in (jacfwd, jacrev):
        np.testing.assert_allclose(myia(lambda x, d=derive: d(f)(x), backend=backend)(x), expected, rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_take_whole_arrays(backend):
    def power(m, n):
        return m[0] + m[1] if n == 0 else power(np.array([m[0] * m[0], m[1] + 1.0]), n - 1)

    f = myia(lambda x, n: power(np.array([x, 0.0]), n), backend=backend)
    assert f(1.5, 3) == power(np.array([1.5, 0.0]), 3)


def test_wide_arrays_stay_in_loops():
    """A vector function on eight numbers is better off in a vector register."""
    f = myia(lambda x: np.sum(np.exp(np.concatenate((x, x)))))
    assert arrays_left(f, np.ones(4))


def test_a_program_grows_so_far(monkeypatch):
    """Where elements would be too many, the arrays stay."""
    graph = differentiated(myia(shapes)._infer(*myia(shapes)._signature((0.75, 3), {})).graph)
    monkeypatch.setattr(scalars, "ROOM", -(10**6))
    assert make_scalars(graph) == 0
