"""Reductions and products of arrays."""

import numpy as np

from .table import EMPTY, I32, M32, N32, V32, W32, B, I, M, N, P, S, T, V, W, program


# -------------------------------------------------------------------------------------------- Arrays: reductions
@program((V,), (M,), (V32,), (EMPTY,), wrt=0)
def sum_all(a):
    return np.sum(a) + a.sum()


@program((I,), (I32,), (B,))
def sum_of_integers(a):
    return np.sum(a), a.sum()


@program((M,), (T[0],), wrt=0)
def sum_axis(m):
    return m.sum(axis=0)[1] * np.sum(m, axis=1)[0] + m.sum(axis=-1, keepdims=True)[0, 0]


@program((T,), wrt=0)
def sum_axes(t):
    return np.sum(t, axis=(0, 2)) * t.sum(axis=(1,)).sum()


@program((M,), (M32,), wrt=0)
def mean_all_and_axis(m):
    return m.mean() * np.mean(m, axis=0)[1] + m.mean(axis=1, keepdims=True)[0, 0]


@program((I,), (B,))
def mean_of_integers(a):
    return a.mean()


@program((P,), (M,), wrt=0)
def prod_all(a):
    return np.prod(a) + a.prod()


@program((M,), (np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]]),), wrt=0)
def prod_axis_with_zeros(m):
    return np.prod(m, axis=1)


@program((V,), (M,), (I,), (V32,), raises={ValueError: [(EMPTY,)]})
def max_min_all(a):
    return np.max(a), a.min(), np.min(a), a.max()


@program((M,), (T,), wrt=0)
def max_axis(m):
    return m.max(axis=0).sum() * 2 - np.min(m, axis=-1, keepdims=True).sum() + np.amax(m)


@program((np.array([1.0, np.nan, 3.0]),))
def max_of_nan(a):
    return np.max(a), np.min(a), np.fmax(a[1], a[0]), np.maximum(a, 2.0)


@program((V,), (M,), (I,), raises={ValueError: [(EMPTY,)]})
def argmax_argmin(a):
    return np.argmax(a), a.argmin()


@program((M,), (np.array([[1.0, 1.0], [2.0, 2.0]]),))
def argmax_axis(m):
    return m.argmax(axis=0), np.argmin(m, axis=1), np.argmax(m, axis=-1)


@program((V,), (B,), (M,), (EMPTY,))
def any_all(a):
    return np.any(a), np.all(a), (a > 0).any(), (a > -9).all()


@program((M,))
def any_all_axis(m):
    return (m > 0).any(axis=0), np.all(m > -2, axis=1, keepdims=True)


@program((V,), wrt=0)
def softmax_cross_entropy(z):
    z = z - np.max(z)
    p = np.exp(z) / np.sum(np.exp(z))
    return -np.log(p[2])


@program((M,), wrt=0)
def log_sum_exp_rows(m):
    top = m.max(axis=1, keepdims=True)
    return np.log(np.exp(m - top).sum(axis=1)) + top[:, 0]


@program((M,), wrt=0)
def standardise(m):
    c = m - m.mean(axis=0)
    return c / np.sqrt((c * c).mean(axis=0) + 0.1)


@program((V, W), wrt=(0, 1))
def squared_distance(a, b):
    return ((a - b) ** 2).sum()


# ---------------------------------------------------------------------------------------------- Arrays: products
@program((M, N), (M32, N32), wrt=(0, 1))
def matmul_matrices(a, b):
    return a @ b


@program((M, W[:3]), wrt=(0, 1))
def matmul_matrix_vector(a, v):
    return a @ v


@program((W[:2], M), wrt=(0, 1))
def matmul_vector_matrix(v, a):
    return np.matmul(v, a)


@program((V, W), (V32, W32), wrt=(0, 1))
def matmul_vectors(a, b):
    return a @ b


@program((T, np.arange(40.0).reshape(2, 4, 5) / 20), (T, np.arange(8.0).reshape(4, 2) / 5), wrt=(0, 1))
def matmul_batched(a, b):
    return a @ b


@program((M, N), (V, W), (M, W[:3]), (W[:2], M), (2.0, V), wrt=(0, 1))
def dot(a, b):
    return np.dot(a, b)


@program((V, W[:3]), wrt=(0, 1))
def outer(a, b):
    return np.outer(a, b)


@program((I[:3], np.array([[1, 2], [3, 4], [5, 6]])))
def integer_matmul(a, b):
    return a @ b


@program((M, N), raises={ValueError: [(M, M), (M, V)]})
def matmul_mismatch(a, b):
    return a @ b


@program((S, V[:3]), wrt=(0, 1))
def quadratic_form(a, x):
    return x @ a @ x + np.dot(a.T @ x, x)


@program((S / 2, 5), wrt=0)
def matrix_power_loop(a, n):
    p = np.eye(3)
    for _ in range(n):
        p = p @ a
    return p
