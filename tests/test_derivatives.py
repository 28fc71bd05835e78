"""What the public derivatives return, in Python and inside compiled code; and the classic traps."""

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from compare import assert_same

from myia_lite import (
    MyiaError,
    MyiaTypeError,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linearize,
    myia,
    stop_gradient,
    value_and_jacobian,
    vjp,
)

X = np.array([2.0, 3.0, 5.0])
A = np.array([[1.0, 2.0], [3.0, 4.0]])


def curve(x):
    return np.array([x[0] * x[1], np.sin(x[2]), x[1] ** 3, x[0] + x[2]])


SLOPES = np.array([[3, 2, 0], [0, 0, math.cos(5)], [0, 27, 0], [1, 0, 1]])


class Pair(NamedTuple):
    a: float
    b: np.ndarray


@dataclasses.dataclass(frozen=True)
class Model:
    w: np.ndarray
    k: int
    name: str
    bias: float


def run_both(f, *args):
    """f in Python, where each transform is compiled by itself, and all of f compiled."""
    plain, compiled = f(*args), myia(f)(*args)
    assert_same(compiled, plain)
    return plain


# ---- jvp, vjp, linearize ---------------------------------------------------------------------------------------------
def test_jvp_of_structures():
    def f(p, n, s):
        return {"y": p[0] * p[1]["w"] * n, "n": n, "k": [s, p[0] ** 2]}

    y, y_dot = jvp(f, ((2.0, {"w": X}), 3, "s"), ((1.0, {"w": None}), None, None))
    assert_same(y, f((2.0, {"w": X}), 3, "s"))
    assert_same(y_dot, {"y": 3 * X, "n": None, "k": [None, 4.0]})


def test_records():
    def f(m, p):
        return Pair(m.bias * p.a, m.w * p.b * m.k)

    m, p = Model(X, 2, "m", 4.0), Pair(3.0, X)
    y, y_dot = jvp(f, (m, p), (Model(X, None, None, 1.0), Pair(0.0, None)))
    assert_same(y_dot, Pair(3.0, 2 * X * X))
    y, pullback = vjp(f, m, p)
    assert_same(y, f(m, p))
    assert_same(pullback(Pair(1.0, X)), (Model(2 * X * X, None, None, 3.0), Pair(4.0, 2 * X * X)))
    assert_same(pullback(Pair(None, X))[0].bias, 0.0)


def test_kinds_of_numbers():
    def f(x, y):
        return x * 2, y * y, x * y

    case = (1.5, np.float32(2.0))
    y, dots = jvp(f, case, (1.0, np.float32(1.0)))
    assert [type(d) for d in dots] == [float, np.float32, type(y[2])]
    assert_same(dots, (2.0, np.float32(4.0), type(y[2])(3.5)))
    bars = vjp(f, *case)[1]((1.0, np.float32(1.0), type(y[2])(0.0)))
    assert_same(bars, (2.0, np.float32(4.0)))
    assert jvp(f, (1.5, 2), (1, None))[1][0] == 2.0  # an int where a float is wanted


def test_a_pullback_holds_the_point():
    x, scale = X.copy(), np.array([1.0, 1.0, 1.0])
    y, pullback = vjp(lambda x: x * x * scale, x)
    _, linear = linearize(lambda x: x * x * scale, x)
    x[:], scale[:] = 0.0, 7.0
    for _ in range(2):
        assert_same(pullback(np.ones(3)), (2 * X,))
        assert_same(linear(np.ones(3)), 2 * X)
    y[:] = 9.0
    assert_same(pullback(X), (2 * X * X,))


def test_has_aux():
    def f(x):
        return x * x, {"n": 3, "x": x + 1}

    assert_same(jvp(f, (X,), (X,), has_aux=True), (X * X, 2 * X * X, {"n": 3, "x": X + 1}))
    y, pullback, aux = vjp(f, X, has_aux=True)
    assert_same((y, aux, pullback(X)), (X * X, {"n": 3, "x": X + 1}, (2 * X * X,)))
    matrix, aux = jacfwd(f, has_aux=True)(X)
    assert_same(matrix, np.diag(2 * X))
    assert_same(jacrev(f, has_aux=True)(X)[0], matrix)
    assert_same(value_and_jacobian(f, has_aux=True)(X)[0], (X * X, matrix))
    assert_same(hessian(lambda x: (x**3, x), has_aux=True)(2.0), (12.0, 2.0))
    assert hvp(lambda x: (x**3, x), (2.0,), (1.0,), has_aux=True) == 12.0


def test_inside_compiled_code():
    def f(x, v, w):
        y, pullback = vjp(curve, x)
        z, linear = linearize(curve, x)
        return y, pullback(w), pullback(2 * w)[0], linear(v), jvp(curve, (x,), (v,))[1], z

    v, w = np.array([1.0, -1.0, 0.5]), np.array([1.0, 2.0, 3.0, 4.0])
    y, (bar,), bar2, y_dot, y_dot2, _ = run_both(f, X, v, w)
    assert_same((y, bar, bar2, y_dot, y_dot2), (curve(X), w @ SLOPES, 2 * w @ SLOPES, SLOPES @ v, SLOPES @ v))


# ---- Jacobians -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "transform", [jacfwd, jacrev, jacobian, lambda f, **k: lambda *a: value_and_jacobian(f, **k)(*a)[1]]
)
def test_jacobian(transform):
    assert_same(transform(curve)(X), SLOPES, atol=1e-15)
    assert_same(transform(lambda x: x**3)(2.0), 12.0)
    assert_same(transform(lambda x: (x, x * X))(2.0), (1.0, X))
    assert_same(transform(lambda x, y: x * y, argnums=(1,))(2.0, X), (np.diag([2.0] * 3),))
    both = transform(lambda a, x: a @ x, argnums=(0, 1))(A, X[:2])
    expected = np.zeros((2, 2, 2))
    expected[0, 0] = expected[1, 1] = X[:2]
    assert_same(both, (expected, A))
    swapped = transform(lambda a: a.T)(np.ones((2, 3)))
    assert_same(swapped, np.einsum("ik,jl->ijlk", np.eye(3), np.eye(2)))
    tree = transform(lambda p, n: {"s": (p["a"] * n).sum(), "n": n})({"a": X, "k": 1}, 2)
    assert_same(tree, {"s": {"a": np.array([2.0] * 3), "k": None}, "n": None})


def test_hessians():
    def f(x):
        return x[0] ** 2 * x[1] + np.sin(x[2]) * x[0]

    c, s = math.cos(5), math.sin(5)
    expected = np.array([[6, 4, c], [4, 0, 0], [c, 0, -2 * s]])
    assert_same(hessian(f)(X), expected, atol=1e-15)
    for outer, inner in itertools.product((jacfwd, jacrev), repeat=2):
        assert_same(outer(inner(f))(X), expected, atol=1e-15)
    v = np.array([1.0, -2.0, 0.5])
    assert_same(hvp(f, (X,), (v,)), expected @ v)
    (xx, xy), (yx, yy) = hessian(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(X, 2.0)
    assert_same((xx, xy, yx, yy), (np.diag([4.0] * 3), 2 * X, 2 * X, 0.0))
    assert_same(hvp(lambda x, y: (x * x * y).sum(), (X, 2.0), (X, 1.0)), (4 * X + 2 * X, float(2 * X @ X)))
    assert_same(hessian(lambda p: p["a"] ** 2 * p["b"])({"a": 3.0, "b": 2.0})["a"], {"a": 4.0, "b": 6.0})


def test_a_jacobian_inside_compiled_code():
    """Newton's method, and a Jacobian of a function with unknown sizes."""

    def newton(x):
        for _ in range(6):
            j = jacobian(lambda x: np.array([x[0] ** 2 + x[1] ** 2 - 4, x[0] - x[1]]))(x)
            r = np.array([x[0] ** 2 + x[1] ** 2 - 4, x[0] - x[1]])
            det = j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
            step = np.array([j[1, 1] * r[0] - j[0, 1] * r[1], j[0, 0] * r[1] - j[1, 0] * r[0]]) / det
            x = x - step
        return x

    assert_same(myia(newton)(np.array([1.0, 2.0])), np.array([2**0.5, 2**0.5]))

    def rest(x, n):
        y = x[n:]
        return jacfwd(lambda y: y * y)(y), jacrev(lambda y: y * y)(y), jacobian(lambda y: (y * y).sum())(y)

    expected = (np.diag([6.0, 10.0]), np.diag([6.0, 10.0]), np.array([6.0, 10.0]))
    assert_same(myia(rest)(X, 1), expected)


def test_zero_lengths():
    none = np.zeros(0)
    assert_same(jacfwd(lambda x: x * x)(none), np.zeros((0, 0)))
    assert_same(jacrev(lambda x: x * x)(none), np.zeros((0, 0)))
    assert_same(jacfwd(lambda x: x.sum())(none), none)
    assert_same(jvp(lambda x: x.sum(), (none,), (none,)), (np.float64(0.0), np.float64(0.0)))

    def looped(x, n):
        for _ in range(n):
            x = x * x
        return x

    assert jvp(looped, (3.0, 0), (1.0, None)) == (3.0, 1.0)
    assert vjp(looped, 3.0, 0)[1](2.0) == (2.0, None)
    assert_same(hvp(lambda x: (x**3).sum(), (none,), (none,)), none)


# ---- errors ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: jvp(curve, X, X), "no tuple"),
        (lambda: jvp(curve, (X,), (X, X)), "1 primals and 2 tangents"),
        (lambda: jvp(curve, (X,), (X[:2],)), "the tangent of argument 0"),
        (lambda: jvp(curve, (X,), (X.astype(np.float32),)), "the tangent of argument 0"),
        (lambda: jvp(lambda x, n: x * n, (2.0, 3), (1.0, 1.0)), "has no derivative"),
        (lambda: jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},)), "the same structure"),
        (lambda: jvp(lambda x: 3, (2.0,), (1.0,)), "return a float"),
        (lambda: vjp(lambda x: 3, 2.0), "return a float"),
        (lambda: vjp(curve, X)[1](X), "the cotangent"),
        (lambda: jacfwd(lambda n: n * 2.0)(3), "the argument n is int"),
        (lambda: jacfwd(curve, argnums=1)(X), "no such argument"),
        (lambda: hessian(lambda x, n: x * n, argnums=(0, 1))(2.0, 3), "the argument n"),
        (lambda: jacfwd(lambda x: None if x > 1 else x)(2.0), "structure"),
    ],
)
def test_errors(call, words):
    with pytest.raises(MyiaTypeError) as caught:
        call()
    assert words in str(caught.value)


# ---- traps -----------------------------------------------------------------------------------------------------------
def forward(f):
    return lambda x: jvp(f, (x,), (1.0,))[1]


MODES = [pytest.param(o, i, id=f"{o.__name__}-{i.__name__}") for o in (forward, grad) for i in (forward, grad)]


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_perturbations_are_not_confused(outer, inner):
    # d/dx (x · d/dy (x + y)) = 1: Siskind and Pearlmutter, "Nesting forward-mode AD in a functional framework" (2008)
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0
    # d/dx (x · d/dy (x · y)) = 2 x
    assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6.0
    # the inner variable has the value of the outer one
    assert outer(lambda x: inner(lambda y: x * y * y)(x))(3.0) == 12.0
    # d/dx of d/dy at a point that depends on x, three deep
    assert outer(lambda x: inner(lambda y: inner(lambda z: x * y * z * z)(y))(x))(2.0) == 16.0
    # a curried function, the "amazing bug": D s = f(u + v) shift (Manzyuk et al., 2019): each has its own perturbation

    def shift(u):
        return lambda f: lambda x: f(x + u)

    assert outer(lambda u: inner(lambda v: shift(v)(shift(u)(math.sin))(0.3))(0.0))(0.0) == pytest.approx(
        -math.sin(0.3)
    )


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_captured_variables(outer, inner):
    def f(a):
        b = a * a

        def g(x):
            return b * math.sin(x) + a

        return inner(g)(0.5) + g(a)

    # a² cos ½ + a² sin a + a
    a = 1.3
    assert outer(f)(a) == pytest.approx(2 * a * math.cos(0.5) + 2 * a * math.sin(a) + a * a * math.cos(a) + 1)


def test_one_array_twice_in_a_structure():
    def f(p):
        return (p[0] * p[1]).sum()

    assert_same(jvp(f, ((X, X),), ((X, None),))[1], np.float64(X @ X))
    assert_same(vjp(f, (X, X))[1](1.0), ((X, X),))

    def inside(x):
        pair = (x, x)
        return jvp(f, (pair,), (pair,))[1], vjp(f, pair)[1](1.0)

    assert_same(myia(inside)(X), (np.float64(2 * X @ X), ((X, X),)))


def test_tangents_are_values():
    """A tangent that is the very array of a primal, or of an other tangent, is not written through."""

    def f(x, v):
        def g(x):
            y = x.copy()
            y[0] = x[1] * x[0]
            return y

        y, y_dot = jvp(g, (x,), (x,))
        y_dot[1] = 7.0
        return y, y_dot, x, v

    y, y_dot, x, v = run_both(f, X.copy(), X.copy())
    assert_same((y, y_dot, x, v), (np.array([6.0, 3, 5]), np.array([12.0, 7, 5]), X, X))


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_array_assignment_in_loops(outer, inner):
    def f(x):
        a = np.zeros(4)
        a[0] = x
        for i in range(1, 4):
            a[i] = a[i - 1] * x
            a[0] += a[i]
        return a[0]

    # x + x² + (x + x² + …): by powers
    c = np.polynomial.Polynomial
    x = c([0, 1])
    a = [x, 0, 0, 0]
    for i in range(1, 4):
        a[i] = a[i - 1] * x
        a[0] = a[0] + a[i]
    assert outer(inner(f))(0.7) == pytest.approx(a[0].deriv(2)(0.7))


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_early_exits(outer, inner):
    def f(x):
        s = x
        for i in range(10):
            if s > 20.0:
                return s * s
            if i == 7:
                break
            s = s * x
        else:
            return 0.0
        return s + x

    for x in (2.0, 1.1):
        n = 5 if x == 2.0 else 8
        expected = 2 * n * (2 * n - 1) * x ** (2 * n - 2) if x == 2.0 else n * (n - 1) * x ** (n - 2)
        assert outer(inner(f))(x) == pytest.approx(expected)


class Tree(NamedTuple):
    left: object
    right: object


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_recursion_with_data(outer, inner):
    def f(x):
        def power(p, n):
            if n == 0:
                return p
            a, b = power((p[0] * x, p[1] + x), n - 1)
            return a + b * x, b

        a, b = power((x, x), 3)
        return a + b

    # a = x⁴ + 3 x · 4 x, b = 4 x
    assert outer(inner(f))(0.8) == pytest.approx(12 * 0.8**2 + 24)


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_an_untaken_branch_makes_no_nan(outer, inner):
    def f(x):
        if x > 0.0:
            return math.sqrt(x)
        return x * x

    assert outer(inner(f))(0.0) == 2.0
    assert outer(inner(lambda x: f(x) * f(-x)))(0.0) == 0.0


@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_an_optimiser_over_an_integration(outer, inner):
    """A while loop of gradient steps, whose objective runs a while loop, whose body takes a gradient."""

    def path(p):
        x, v, t = 0.0, 1.0, 0.0
        while t < 1.0:
            v = v - 0.05 * inner(lambda q: (q - 1.0) ** 2 + 0.5 * p * p * q + 0.1 * q * p)(x)
            x = x + 0.05 * v
            t = t + 0.05
        return x * x + 0.1 * p * p

    def optimise(p):
        k = 0
        while k < 8:
            p = p - 0.1 * outer(path)(p)
            k += 1
        return p

    optimum = myia(optimise)
    h, p = 1e-4, 0.3
    expected = (8 * (optimum(p + h) - optimum(p - h)) - optimum(p + 2 * h) + optimum(p - 2 * h)) / (12 * h)
    assert grad(optimise)(p) == pytest.approx(expected, rel=1e-7)
    assert forward(optimise)(p) == pytest.approx(expected, rel=1e-7)


# ---- stop_gradient ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("outer", "inner"), MODES)
def test_stop_gradient(outer, inner):
    assert inner(lambda x: x * stop_gradient(x))(3.0) == 3.0
    assert outer(inner(lambda x: x * x * stop_gradient(x * x)))(3.0) == 18.0
    assert inner(stop_gradient)(3.0) == 0.0
    tree = stop_gradient({"a": X, "n": 3, "s": "s"})
    assert_same(tree, {"a": X, "n": 3, "s": "s"})
    assert tree["a"] is not X
    assert_same(myia(lambda x: stop_gradient((x, 2, x * 3)))(X), (X, 2, X * 3))


def test_a_stopped_array_is_a_copy():
    def f(x):
        y = stop_gradient(x)
        y[0] = 7.0
        return x, y

    x, y = run_both(f, X.copy())
    assert_same((x, y), (X, np.array([7.0, 3.0, 5.0])))


# ---- against JAX -----------------------------------------------------------------------------------------------------
def test_against_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def program(np):
        def f(p, x):
            h = np.tanh(p["w"] @ x + p["b"])
            return {"loss": np.sum(h * h), "h": h, "m": np.max(x)}

        return f

    rng = np.random.default_rng(0)
    p, x = {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}, rng.normal(size=4)
    ours, theirs = program(np), program(jnp)
    back = lambda t: jax.tree.map(np.asarray, t)  # noqa: E731
    near = lambda a, b: jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), a, b)  # noqa: E731
    dots = ({"w": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}, rng.normal(size=4))
    near(jvp(ours, (p, x), dots), back(jax.jvp(theirs, (p, x), dots)))
    _, pullback = vjp(ours, p, x)
    y2, pullback2 = jax.vjp(theirs, p, x)
    bar = jax.tree.map(lambda v: rng.normal(size=np.shape(v))[()], back(y2))
    near(pullback(bar), back(pullback2(jax.tree.map(jnp.asarray, bar))))
    for mine, other in ((jacfwd, jax.jacfwd), (jacrev, jax.jacrev), (jacobian, jax.jacrev)):
        near(mine(ours, argnums=(0, 1))(p, x), back(other(theirs, argnums=(0, 1))(p, x)))
    loss, theirs_loss = (lambda p, x: ours(p, x)["loss"]), (lambda p, x: theirs(p, x)["loss"])
    near(hessian(loss)(p, x), back(jax.hessian(theirs_loss)(p, x)))
    _, linear = linearize(ours, p, x)
    near(linear(*dots), back(jax.linearize(theirs, p, x)[1](*dots)))


def test_refusals_are_ours():
    with pytest.raises(MyiaError):
        jvp(lambda x: print(x), (1.0,), (1.0,))


@pytest.mark.parametrize("transform", [jacfwd, jacrev])
def test_many_scalars_share_one_program(transform):
    """The program has as many sines as the function, not as many for each input."""

    @myia(backend="interp")
    def f(p):
        s = p["x"].sum()
        for a in p["a"]:
            s = s + math.sin(a)
        return [a * s for a in p["a"]], s * p["x"]

    def case(n):
        return {"a": [0.1 * k for k in range(n)], "x": X}

    (rows, last) = transform(f)(case(12))
    sines = [math.cos(0.1 * k) for k in range(12)]
    total = X.sum() + sum(math.sin(0.1 * k) for k in range(12))
    matrix = np.array([row["a"] for row in rows])
    np.testing.assert_allclose(matrix, np.outer(0.1 * np.arange(12), sines) + total * np.eye(12), rtol=1e-12)
    np.testing.assert_allclose([row["x"] for row in rows], np.outer(0.1 * np.arange(12), np.ones(3)), atol=1e-15)
    np.testing.assert_allclose(np.array(last["a"]), np.outer(sines, X), rtol=1e-12)
    np.testing.assert_allclose(last["x"], np.outer(X, np.ones(3)) + total * np.eye(3), rtol=1e-12)
    sizes = [transform(f).ir(case(n), stage="ad").count("sin(") for n in (6, 12)]
    assert sizes[1] <= 2 * sizes[0] + 4
