"""Complex numbers and arrays: literals, arithmetic, functions, branch cuts, what loops and branches make of them."""

import cmath
import math

import numpy as np

from .table import program

Z = 1.5 - 0.5j
ABOVE, BELOW = complex(-2.0, 0.0), complex(-2.0, -0.0)  # the two sides of a branch cut
INSIDE = 0.3 + 0.4j
CV = np.array([1.0 + 2.0j, -0.5 + 0.25j, 3.0 - 1.0j, -1.0 - 0.75j])
CW = np.array([0.5j, 1.0 - 1.0j, -2.0 + 0.5j, 0.25 + 0.0j])
CM = np.array([[1.0 + 1.0j, 2.0, -0.5j], [0.25, 1.0 - 2.0j, 1.5 + 0.5j]])
RV = np.array([0.5, -1.25, 2.0, 0.75])


# ------------------------------------------------------------------------------------------------------------- Numbers
@program((Z, 2.0 + 1.0j), (INSIDE, -1.0 + 0.0j), (Z, 2.5), (2, Z), (True, Z))
def complex_arithmetic(a, b):
    return a + b, a - b, a * b, a / b, -a, +b, 2 * a - 1.5, 1j * b


@program((Z, Z), (Z, INSIDE), (1 + 0j, 1.0), (0j, 0))
def complex_comparison(a, b):
    return a == b, a != b, bool(a), not b, a == 1j


@program((2.0, 1.0), (0.0, -0.0), (3, 4))
def complex_constructor(x, y):
    z = complex(x, y)
    return z, complex(x), complex(z), complex(z, 2.0), complex("1-2j"), z.real, z.imag, z.conjugate(), abs(z)


@program((Z,), (INSIDE,))
def complex_powers_by_constants(z):
    return z**0, z**1, z**2, z**7, z**-3, z**0.5, z**1.5, z ** (1 + 2j), 2**z, 2.5**z


@program((Z, 3), (INSIDE, -4), (1j, 2), (0j, 0), raises={ZeroDivisionError: [(0j, -1)]})
def complex_power_by_int(z, n):
    return z**n


@program((Z, 0.37 + 0j), (INSIDE, 2.0 - 1.0j), raises={ZeroDivisionError: [(0j, -1 + 0j), (0j, 1j)]})
def complex_power(z, w):
    return z**w


@program((Z, 2j), (2.0, Z), raises={ZeroDivisionError: [(Z, 0j), (1.0, 0j)]})
def complex_division(a, b):
    return a / b


@program((3 + 4j,), raises={OverflowError: [(1e308 + 1.7e308j,)]})
def complex_abs(z):
    return abs(z)


@program((Z,), (INSIDE,), (ABOVE,), (BELOW,), (0.5j,), (complex(0.5, -2.0),))
def complex_functions_of_cmath(z):
    return (
        cmath.exp(z), cmath.sqrt(z), cmath.log(z), cmath.log10(z), cmath.sin(z), cmath.cos(z), cmath.tan(z),
        cmath.sinh(z), cmath.cosh(z), cmath.tanh(z), cmath.asin(z), cmath.acos(z), cmath.atan(z), cmath.asinh(z),
        cmath.acosh(z), cmath.atanh(z),
    )  # fmt: skip


@program((Z,), (ABOVE,), (BELOW,))
def complex_polar(z):
    r, phi = cmath.polar(z)
    return r, phi, cmath.phase(z), cmath.rect(r, phi), cmath.isclose(cmath.rect(r, phi), z), cmath.log(z, 2)


@program((1.0, 2.0), (math.inf, 1.0), (math.nan, 1.0))
def complex_tests_of_cmath(x, y):
    z = complex(x, y)
    return cmath.isnan(z), cmath.isinf(z), cmath.isfinite(z)


@program((1j,), raises={ValueError: [(0j,)]})
def complex_log_of_zero(z):
    return cmath.log(z)


@program((1j,), raises={OverflowError: [(1000 + 1j,)]})
def complex_exp_out_of_range(z):
    return cmath.exp(z)


@program((Z,), (2.0,), (2,))
def complex_types(z):
    return isinstance(z, complex), isinstance(z, (int, float)), type(z) is complex


# --------------------------------------------------------------------------------------------------------- Control flow
@program((0.3 + 0.5j, 50), (1 + 1j, 50), (0j, 3))
def complex_escape_time(c, n):
    z = 0j
    for k in range(n):
        if abs(z) > 2:
            return k
        z = z * z + c
    return n


@program((1 + 2j,), (-1 + 0.5j,))
def complex_newton(z):
    while abs(z**3 - 1) > 1e-12:
        z = z - (z**3 - 1) / (3 * z**2)
    return z


@program((Z, 3), (INSIDE, 0))
def complex_recursion(z, n):
    return z if n == 0 else complex_recursion(z * z / 2, n - 1)


@program((Z, True), (Z, False))
def complex_or_none(z, given):
    w = z * 2 if given else None
    return 0j if w is None else w


@program((3,), (4,))
def complex_from_an_int(n):
    z = 1
    for _ in range(n):
        z = z * 1j
    return z


@program((Z,), raises={ValueError: [(-Z,)]}, exact=True)
def complex_in_a_message(z):
    if z.real < 0:
        raise ValueError(f"negative: {z.real}")
    return z


@program(({"a": Z, "b": 2.0},))
def complex_in_structures(d):
    return {"product": d["a"] * d["b"], "list": [d["a"], None, (1j, 2.0)]}


@program(([1j, 2 + 1j, 3j],))
def complex_lists(zs):
    return [z.conjugate() for z in zs], sum(zs), 1j in zs, max(abs(z) for z in zs), zs.index(2 + 1j)


# --------------------------------------------------------------------------------------------------------------- Arrays
@program((CV, CW), (CV, RV), (RV, CW), (CV, 2), (1j, CV), (CV.astype(np.complex64), RV), (np.arange(4), CW))
def complex_array_arithmetic(a, b):
    return a + b, a - b, a * b, a / b, -a, a == b, a != b, a * 2.0, 1j + b


@program(
    (np.float32([1, 2]), 1j), (np.int32([1, 2]), 1j), (np.complex64([1j]), 2.0), (np.complex64([1j]), np.float64(2)),
    (np.complex64([1j]), np.float64([2])), (np.array([True]), 1j), (np.complex64([1j]), np.int64([2])),
)  # fmt: skip
def complex_promotion(a, b):
    return a * b, a + b, np.stack([a, a + b])


@program((CV,), (CM,), (CV.astype(np.complex64),), (np.complex128(Z),))
def complex_array_functions(z):
    return (
        np.exp(z), np.exp2(z), np.expm1(z), np.log(z), np.log2(z), np.log10(z), np.log1p(z), np.sqrt(z), np.square(z),
        np.reciprocal(z), np.sin(z), np.cos(z), np.tan(z), np.sinh(z), np.cosh(z), np.tanh(z), np.sign(z),
        np.isnan(z), np.isinf(z), np.isfinite(z), np.abs(z), np.angle(z), np.conj(z), np.real(z), np.imag(z),
    )  # fmt: skip


@program((CV,), (np.array([ABOVE, BELOW, -ABOVE, -BELOW, 0.5 + 0j, INSIDE]),))
def complex_inverse_functions(z):
    return (
        np.arcsin(z), np.arccos(z), np.arctan(z), np.arcsinh(z), np.arccosh(z), np.arctanh(z), np.sqrt(z), np.log(z),
    )  # fmt: skip


@program((CV,), (CW,))
def complex_array_powers(z):
    return z**2, z**-1, z**0.5, z**1.5, z**1j, 2**z, z ** np.arange(4), np.power(z, 3)


@program((CM, CM.T), (CM, CM.real.T), (CM.real, CM.T))
def complex_products(a, b):
    return a @ b, np.dot(a, b), np.einsum("ij,jk->ik", a, b), np.tensordot(a, b, 1), np.outer(a[0], b[:, 0])


@program((CV, CW), (CV, RV))
def complex_vector_products(a, b):
    return a @ b, np.vdot(a, b), np.inner(a, b), np.kron(a, b), np.einsum("i,i,i->", a, b, b), np.outer(a, b)


@program((CM,), (np.zeros((0, 3), complex),), (CM[:, :2],))
def complex_reductions(a):
    return a.sum(), a.sum(0), a.sum(axis=1, keepdims=True), np.prod(a), np.prod(a, axis=1), np.cumsum(a, axis=1)


@program((CM,))
def complex_statistics(a):
    return a.mean(), a.mean(axis=0), np.var(a), np.std(a, axis=1), np.linalg.norm(a), np.any(a), np.all(a, axis=0)


@program((CM,), (CM.T,), (np.asfortranarray(CM),), (CM[:, ::2],))
def complex_shapes(a):
    return (
        a.T, a.reshape(-1), a.ravel(), a[::-1], a[None], a[1], a[:, [1, 0]], np.concatenate([a, a.real]), np.flip(a),
        np.stack([a, a]), np.where(a.real > 0, a, 0), np.tile(a, (2, 1)), a.shape, a.size, a.ndim, len(a),
    )  # fmt: skip


@program((2.5,))
def complex_creation(x):
    return (
        np.zeros(3, complex), np.ones((2, 2), dtype=np.complex64), np.full(2, 1j), np.eye(2, dtype=complex),
        np.array([1j, 2, x]), np.array([[1, 2j], [x, 4]]), np.zeros_like(CV), np.ones_like(CM), np.full_like(CV, x),
        np.linspace(0, 1, 3, dtype=complex), RV.astype(complex), np.asarray(RV, dtype=np.complex64), CV.copy(),
    )  # fmt: skip


@program((CM,))
def complex_assignment(a):
    b = a.copy()
    b[0, :] = 1j
    b[1:, ::2] *= 2
    b[b.real > 0.5] = 0
    b[:, 1] += a[:, 0]
    c = np.zeros(3, complex)
    for i in range(3):
        c[i] = a[0, i] * 1j
        c[i] += 2
    c -= 1
    return b, c


@program((CM,))
def complex_iteration(a):
    total = 0
    for row in a:
        for z in row:
            total += z * z
    first, *rest = a[0]
    return total, first, rest, sum(a[0]), [z * 2 for z in a[1]]


@program((CV,), (RV,))
def complex_fourier(x):
    n = len(x)
    out = np.zeros(n, dtype=np.complex128)
    for k in range(n):
        total = 0j
        for j in range(n):
            total += x[j] * cmath.exp(-2j * math.pi * j * k / n)
        out[k] = total
    return out


@program((2.0,), (np.float32(2),))
def complex_captured_array(x):
    return CV * x, CM.real + x


@program((CV, CW))
def complex_closeness(a, b):
    return np.allclose(a, b), np.allclose(a, a + 1e-12), np.isclose(a, b), np.array_equal(a, a), a.tolist(), b[0].item()


@program((CV,))
def complex_facts(a):
    return a.dtype == complex, a.dtype.kind, np.iscomplexobj(a), np.iscomplexobj(a.real), a.itemsize, a.nbytes


@program((1.5,), (-2.0,))
def complex_inside_a_real_function(x):
    w = cmath.exp(1j * x) * complex(x, 2) ** 2
    return w.real + abs(w)
