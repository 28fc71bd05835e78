"""Derivatives by complex arguments, edges of the complex functions, the boundary, and what is refused.

The values of complex programs under all back ends are in the table of `programs/complex_numbers.py`.
"""

import cmath
import math

import numpy as np
import pytest
from programs.complex_numbers import (
    complex_array_functions,
    complex_assignment,
    complex_fourier,
    complex_iteration,
    complex_newton,
    complex_recursion,
)

from myia_lite import (
    MyiaTypeError,
    check_grads,
    custom_derivative,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linearize,
    myia,
    sparse_jacobian,
    stop_gradient,
    value_and_grad,
    vjp,
)

BACKENDS = ("interp", "llvm")
POINTS = (0.7 - 1.3j, -0.4 + 0.9j, -2 + 1e-3j, -2 + 0j, 0.5 + 0j)
rng = np.random.default_rng(0)
A = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
V, W = A[0].copy(), A[1].copy()
UNARY = (
    "sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh "
    "square reciprocal negative conjugate absolute angle real imag sign"
).split()
REAL = ("absolute", "angle", "real", "imag")
# JAX takes the derivative of sign as zero, though z / |z| turns with z, and that of arccosh, left of the imaginary
# axis, with the wrong sign
NOT_AS_JAX = ("sign", "arccosh")


def unary(name):
    function = getattr(np, name)
    return lambda z: function(z)


def partial_derivatives(f, *args, argnum=0, h=1e-6):
    """df/dx - i df/dy by central differences in both real directions, for each element of an argument x + iy."""
    z = np.asarray(args[argnum], complex)
    out = np.zeros(z.shape, complex)
    for index in np.ndindex(z.shape):
        for step, factor in ((h, 1), (1j * h, -1j)):
            ends = []
            for s in (step, -step):
                moved = z.copy()
                moved[index] += s
                new = [*args]
                new[argnum] = moved if z.shape else complex(moved)
                ends.append(f(*new))
            out[index] += factor * (ends[0] - ends[1]) / (2 * h)
    return out


# ---- derivatives -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", UNARY)
def test_gradient_of_functions(name):
    """Of the real and of the imaginary part, against differences."""
    f = unary(name)
    for point in POINTS[:3]:
        for part in (np.real, np.imag) if name not in REAL else (np.real,):

            def loss(z, part=part):
                return part(f(z)) + 0.0

            actual = grad(myia(backend="interp")(loss))(np.complex128(point))
            np.testing.assert_allclose(actual, partial_derivatives(loss, point), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", "sqrt log tanh arcsin arctan reciprocal sign conjugate".split())
def test_both_modes_to_second_order(name):
    function = myia(backend="interp")(unary(name))
    check_grads(lambda z: function(np.complex128(z)), (POINTS[0],), order=2)


@pytest.mark.parametrize("name", [n for n in UNARY if n not in NOT_AS_JAX])
def test_functions_against_jax(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    f, theirs = myia(unary(name)), getattr(jax.numpy, name)
    close = lambda a, b: np.testing.assert_allclose(a, np.asarray(b), rtol=1e-9, atol=1e-12)  # noqa: E731
    for point in POINTS:
        if name == "angle" and point.imag == 0:
            continue  # on the cut JAX is not consistent with itself
        z, dot = np.complex128(point), np.complex128(0.3 - 0.2j)
        y, y_dot = jvp(f, (z,), (dot,))
        y2, y2_dot = jax.jvp(theirs, (point,), (complex(dot),))
        close(y, y2)
        close(y_dot, y2_dot)
        bar = np.float64(0.3) if name in REAL else dot
        close(vjp(f, z)[1](bar)[0], jax.vjp(theirs, point)[1](jax.numpy.asarray(bar))[0])
        if name in REAL:
            close(grad(f)(z), jax.grad(theirs)(point))
        elif name != "conjugate":
            close(grad(f, holomorphic=True)(z), jax.grad(theirs, holomorphic=True)(point))


BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", BINARY)
def test_operators(op, backend):
    operator = BINARY[op]

    def loss(a, b):
        return (operator(a, b) * (1 + 2j)).real

    for a, b in ((0.7 - 1.3j, -0.4 + 0.9j), (1 + 1j, 1 - 1j), (0.7 - 1.3j, 2.0), (1.7, 0.5j)):
        found = grad(myia(backend=backend)(loss), argnums=(0, 1))(a, b)
        for k, x in enumerate((a, b)):
            expected = partial_derivatives(loss, a, b, argnum=k)
            if type(x) is float:
                assert type(found[k]) is float
                expected = expected.real
            np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "f, z",
    [
        (lambda z: abs(complex_newton(z)) + complex_newton(z).real, 1 + 2j),
        (lambda z: abs(complex_recursion(z, 3)), 0.5 + 1j),
        (lambda z: (np.abs(complex_fourier(z)) ** 2 * np.arange(3.0)).sum(), V),
        (lambda z: (np.abs(complex_assignment(z)[0]) ** 2).sum() + complex_assignment(z)[1].imag.sum(), A),
        (lambda z: complex_iteration(z)[0].imag, A),
        (lambda z: abs(np.prod(z)) + np.linalg.norm(z @ z.T.conj()), A),
        (lambda z: np.var(z) + np.real(np.vdot(z, z * 1j + 1)), V),
        (lambda z: np.where(z.real > 0, z, z.conj() ** 2).sum().imag, V),
        (lambda z: (np.concatenate([z, z.real]) * np.cumsum(np.stack([z, z]))).sum().real, V),
        (lambda z: cmath.polar(z)[0] * cmath.phase(z) + cmath.log(z, 3).imag, 1 + 2j),
        (lambda z: sum(z**k for k in range(4)).imag + (z**0.37).real, 1 + 2j),
    ],
)
def test_gradient_of_programs(f, z, backend):
    np.testing.assert_allclose(grad(myia(backend=backend)(f))(z), partial_derivatives(f, z), rtol=1e-5, atol=1e-5)


def test_convention():
    """As JAX: df/dx - i df/dy, so that a step along the conjugate descends; holomorphic functions give f'."""
    assert grad(lambda z: z.real)(1 + 2j) == 1
    assert grad(lambda z: z.imag)(1 + 2j) == -1j
    assert grad(lambda z: abs(z) ** 2)(1 + 2j) == pytest.approx(2 - 4j)
    assert grad(lambda z: z**3, holomorphic=True)(1 + 2j) == pytest.approx(3 * (1 + 2j) ** 2)
    assert value_and_grad(lambda z: z * z, holomorphic=True)(1 + 2j) == (-3 + 4j, 2 + 4j)
    assert grad(grad(lambda z: z**3, holomorphic=True), holomorphic=True)(1 + 2j) == pytest.approx(6 + 12j)
    assert jvp(lambda z: z.conjugate() * z * z, (1 + 2j,), (0.3 - 1j,))[1] == pytest.approx(-1.9 - 11.8j)
    assert vjp(lambda z: z.conjugate() * z * z, 1 + 2j)[1](1 + 0.5j)[0] == pytest.approx(5 + 2.5j)
    assert linearize(lambda z: z * z, 1 + 2j)[1](1j) == pytest.approx(-4 + 2j)
    assert grad(lambda z: abs(z))(0j) == 0
    assert grad(lambda z: (z * stop_gradient(z)).real)(1 + 2j) == 1 + 2j


def test_real_arguments_and_complex_inside():
    f = lambda x: (x * cmath.exp(1j * x)).imag  # noqa: E731
    assert grad(f)(1.5) == pytest.approx(math.sin(1.5) + 1.5 * math.cos(1.5))
    assert type(grad(f)(1.5)) is float
    assert grad(grad(f))(1.5) == pytest.approx(2 * math.cos(1.5) - 1.5 * math.sin(1.5))


def test_structures_and_dtypes():
    gradient = grad(lambda p: (p["a"] * p["b"]).real)({"a": 1 + 2j, "b": 2.0, "n": 3})
    assert gradient == {"a": 2, "b": 1.0, "n": None}
    narrow = grad(lambda z: (np.abs(z) ** 2).sum())(V.astype(np.complex64))
    assert narrow.dtype == np.complex64
    np.testing.assert_allclose(narrow, 2 * V.conj(), rtol=1e-5)


def test_jacobians():
    np.testing.assert_allclose(jacrev(lambda z: np.abs(z) ** 2)(V), np.diag(2 * V.conj()), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(jacfwd(lambda x: x * (1 + 2j))(np.ones(2)), (1 + 2j) * np.eye(2))
    for transform in (jacfwd, jacrev, jacobian):
        matrix = transform(lambda z: np.sin(z) * z[0], holomorphic=True)(V)
        expected = np.diag(np.cos(V) * V[0])
        expected[:, 0] += np.sin(V)
        np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-12)
    second = hessian(lambda z: (z**3).sum(), holomorphic=True)(V)
    np.testing.assert_allclose(second, np.diag(6 * V), rtol=1e-9, atol=1e-12)


def test_products_and_gradients_against_jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def loss(np):
        return lambda a: (
            (np.abs(a @ a.conj().T) ** 2).sum() + np.prod(a).real + np.real(np.exp(a * 0.1)).mean() + np.angle(a[0, 0])
        )

    np.testing.assert_allclose(grad(loss(np))(A), jax.grad(loss(jnp))(A), rtol=1e-9)
    quartic = lambda np: lambda z: (np.abs(z) ** 4).sum()  # noqa: E731
    expected = jax.jvp(jax.grad(quartic(jnp)), (V,), (W,))[1]
    np.testing.assert_allclose(hvp(quartic(np), (V,), (W,)), expected, rtol=1e-9)


def test_inside_compiled_code():
    @myia
    def inside(z):
        first = grad(lambda w: (w * w * z).real)(z)
        return first, grad(lambda w: w**3, holomorphic=True)(z), jvp(lambda w: w * w, (z,), (1j,))

    first, second, (value, tangent) = inside(1 + 2j)
    z = 1 + 2j
    assert (first, second) == (pytest.approx(2 * z * z), pytest.approx(3 * z * z))
    assert (value, tangent) == (z * z, pytest.approx(2j * z))


def test_rules_of_the_user_have_the_same_convention():
    @custom_derivative
    def reverse(z):
        return z * z

    reverse.defvjp(lambda z: (z * z, z), lambda z, bar: (2 * z * bar,))

    @custom_derivative
    def forward(z):
        return z * z

    forward.defjvp(lambda p, t: (p[0] * p[0], 2 * p[0] * t[0]))
    for square in (reverse, forward):
        assert grad(lambda z, f=square: (f(z) * (1 + 1j)).real)(1 + 2j) == -2 + 6j
        assert jvp(square, (1 + 2j,), (1j,)) == (-3 + 4j, -4 + 2j)


def test_the_checker_checks_complex_arguments():
    check_grads(lambda z, x: (z * x, abs(z)), (1 + 2j, 3.0), order=2)

    @custom_derivative
    def wrong(z):
        return z * z

    wrong.defjvp(lambda p, t: (p[0] * p[0], 3 * p[0] * t[0]))
    with pytest.raises(AssertionError, match=r"args\[0\]"):
        check_grads(wrong, (1 + 2j,))


# ---- edges -----------------------------------------------------------------------------------------------------------
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-300, 1e300, -1e300, 700.0, -700.0)
# the logarithmic pole at 1 is reached at 1 + 1e-300i already
POLES = {"arctan", "arctanh"}


@pytest.mark.parametrize("name", [n for n in UNARY if n not in (*REAL, "sign", "square")])
def test_signed_zeros_and_large_numbers(name):
    """The side of a branch cut, and the quadrant of a zero, are NumPy's."""
    z = np.array([complex(a, b) for a in EDGES for b in EDGES if not (name in POLES and 1e-300 in (a, b))])
    with np.errstate(all="ignore"):
        expected = unary(name)(z)
    actual = myia(unary(name))(z)
    for part in ("real", "imag"):
        a, e = getattr(actual, part), getattr(expected, part)
        np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-13)
        zero = (e == 0) & (a == 0)
        np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(e[zero]))


def test_infinities_and_nan():
    z = np.array([complex(a, b) for a in (math.inf, -math.inf, math.nan) for b in (0.0, 1.0)])
    for f in (np.isnan, np.isinf, np.isfinite, np.abs, np.log, np.exp, np.angle):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(myia(lambda z, f=f: f(z))(z), f(z))


def test_error_model_of_numpy():
    assert cmath.isnan(myia(lambda a, b: a / b, error_model="numpy")(1j, 0j))
    assert math.isinf(myia(lambda z: abs(z), error_model="numpy")(1e308 + 1.7e308j))


# ---- the boundary ----------------------------------------------------------------------------------------------------
def test_arrays_of_all_layouts():
    double = myia(lambda a: (a * 2, a.sum()))
    layouts = [A, A.T, np.asfortranarray(A), A[:, ::2], A.astype(">c16"), A[:0], np.array(1 + 2j)]
    frozen = A.copy()
    frozen.flags.writeable = False
    for a in [*layouts, frozen]:
        out, total = double(a)
        np.testing.assert_allclose(out, a * 2)
        np.testing.assert_allclose(total, a.sum())
        assert out.dtype == np.complex128 and isinstance(total, np.complex128)
    assert double(A.astype(np.complex64))[0].dtype == np.complex64


def test_a_real_argument_after_a_complex_one():
    square = myia(lambda z: z * z)
    assert [square(2j), square(2.0), square(2), square(np.complex64(2j)), square(1 + 1j)] == [-4, 4.0, 4, -4, 2j]
    assert [type(square(v)) for v in (2j, 2.0, 2, np.complex64(2j))] == [complex, float, int, np.complex64]


def test_captured_arrays_are_read_at_each_call():
    held = V.copy()
    scaled = myia(lambda x: held * x)
    np.testing.assert_array_equal(scaled(2.0), held * 2)
    held[0] = 5j
    np.testing.assert_array_equal(scaled(2.0), held * 2)


def test_results_are_nobody_elses():
    a = A.copy()
    out = myia(lambda z: z)(a)
    out[:] = 0
    np.testing.assert_array_equal(a, A)


# ---- what is refused -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f, args",
    [
        (lambda z: z < 1, (1j,)),
        (lambda z: z // 1, (1j,)),
        (lambda z: z % 2, (1j,)),
        (lambda z: divmod(z, 2), (1j,)),
        (lambda z: float(z), (1j,)),
        (lambda z: int(z), (1j,)),
        (lambda z: round(z), (1j,)),
        (lambda z: math.sqrt(z), (1j,)),
        (lambda z: z[0], (1j,)),
        (lambda zs: sorted(zs), ([1j, 2j],)),
        (lambda z: np.max(z), (V,)),
        (lambda z: np.floor(z), (V,)),
        (lambda z: z.astype(float), (V,)),
        (lambda z: z > 0, (V,)),
        (lambda z: complex_array_functions(z)[100], (V,)),
        (grad(lambda z: z * z), (1j,)),
        (grad(lambda z: z * z, holomorphic=True), (1.0,)),
        (grad(lambda z: abs(z), holomorphic=True), (1j,)),
        (jacfwd(lambda z: z.conjugate()), (1j,)),
        (hessian(lambda z: abs(z) ** 2), (1j,)),
        (sparse_jacobian(lambda z: z * 2), (V,)),
        (sparse_jacobian(lambda x: x * 1j), (np.ones(2),)),
    ],
)
def test_refused(f, args):
    compiled = myia(f) if type(f).__name__ == "function" else f
    with pytest.raises((MyiaTypeError, IndexError)) as error:
        compiled(*args)
    assert getattr(error.value, "remedy", None)


def test_a_complex_number_into_a_real_array():
    def write(x):
        y = x.copy()
        y[0] = 1j
        return y

    def add(x):
        y = x.copy()
        y += 1j
        return y

    for f in (write, add):
        with pytest.raises(MyiaTypeError, match="complex"):
            myia(f)(np.ones(2))


def test_a_root_of_a_negative_float_says_what_to_do():
    with pytest.raises(ValueError, match=r"complex\(x\)"):
        myia(lambda x: x**0.5)(-2.0)
    assert myia(lambda x: complex(x) ** 0.5)(-2.0) == pytest.approx(1.4142135623730951j)
