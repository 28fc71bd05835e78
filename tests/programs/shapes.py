"""Shapes of arrays, and their creation."""

import numpy as np

from .table import EMPTY, I32, V32, B, I, M, N, S, T, V, W, program


# ------------------------------------------------------------------------------------------------- Arrays: shape
@program((M,), (T,))
def shape_attributes(a):
    return a.shape, a.ndim, a.size, len(a), a.shape[0] * 2


@program((M,), wrt=0)
def reshapes(m):
    return m.reshape(3, 2) * np.reshape(m, (3, 2))[::-1] + m.reshape((-1, 2))


@program((M,), raises={ValueError: [(V,)]})
def reshape_mismatch(m):
    return m.reshape(3, 2)


@program((T,), wrt=0)
def sliding_windows(t):
    w = np.lib.stride_tricks.sliding_window_view(t, (2, 3), axis=(2, 1))
    return w * np.lib.stride_tricks.sliding_window_view(t[0, 0], 3)[0, :2, None]


@program((V,), raises={ValueError: [(V[:2],), (EMPTY,)]}, wrt=0)
def sliding_windows_of_all_axes(v):
    return np.lib.stride_tricks.sliding_window_view(v * 2.0, (3,)) ** 2


@program((M,), (T,), wrt=0)
def transposes(m):
    return m.T * np.transpose(m) + m.transpose()


@program((T,), wrt=0)
def transpose_axes(t):
    return np.transpose(t, (2, 0, 1)) * t.transpose(2, 0, 1)


@program((T,), (M,), wrt=0)
def ravels(t):
    return t.ravel() * np.ravel(t) + t.flatten()


@program((np.arange(3.0).reshape(1, 3, 1),), wrt=0)
def squeezes(a):
    return np.squeeze(a) * a.squeeze(axis=0)[:, 0] + np.squeeze(a, axis=(0, 2))


@program((V,), wrt=0)
def expand_dims(a):
    return np.expand_dims(a, 1) * np.expand_dims(a, axis=0) + a[:, None] - a[None]


@program((np.array([[1.0], [2.0]]),), (V[:3],), wrt=0)
def broadcast_to(a):
    return np.broadcast_to(a, (2, 3)) * 2


@program((V, W), (V, EMPTY), wrt=(0, 1))
def concatenates(a, b):
    return np.concatenate((a, b, a))


@program((M, S), wrt=(0, 1))
def concatenate_axis(a, b):
    return np.concatenate([a, b], axis=0) * 2


@program((M, N.T), wrt=(0, 1))
def concatenate_columns(a, b):
    return np.concatenate([a, b], axis=-1)


@program((V, W), wrt=(0, 1))
def stacks(a, b):
    return np.stack((a, b)) * 2 + np.stack([b, a], axis=0)


@program((V, W), wrt=(0, 1))
def stack_axis(a, b):
    return np.stack((a, b, a * b), axis=1)


@program((1.5, 2.5), wrt=(0, 1))
def array_of_scalars(x, y):
    a = np.array([x, y, x * y])
    return a * a


@program((1.5, 2.5), wrt=(0, 1))
def matrix_of_scalars(x, y):
    return np.array([[x, y], [1.0, x * y]]) @ np.array([y, 2.0])


@program((V, W), (M, -M), wrt=(0, 1))
def where(a, b):
    return np.where(a > b, a * b, b - a)


@program((V,), wrt=0)
def where_with_scalars(a):
    return np.where(a > 0, a, 0.0) + np.where(a > 0, 1.5, a * 2)


@program((V,), wrt=0)
def where_guards_gradient(a):
    safe = np.where(a > 0, a, 1.0)
    return np.where(a > 0, np.sqrt(safe), 0.0)


@program((V,), (V32,), (I,))
def clip(a):
    return np.clip(a, -1, 1), a.clip(0, 2)


@program((V, 0.7), wrt=(0, 1))
def clip_gradient(a, top):
    return np.clip(a, -1.0, top) * a


@program((V,), (I,), (B,), (V32,), (I32,))
def astypes(a):
    return a.astype(np.float32), a.astype(np.int64), a.astype(np.bool_), a.astype(float), a.astype("float32")


@program((W * 1.1,), wrt=0)
def astype_gradient(a):
    return np.sum(a.astype(np.float64) ** 2) + a.astype(np.int64).sum()


@program((V,), (M,), (I,))
def copies(a):
    return a.copy(), np.copy(a)


@program((V,), wrt=0)
def dtype_attribute(a):
    return a * np.ones(len(a), dtype=a.dtype)


# ---------------------------------------------------------------------------------------------- Arrays: creation
@program((3,), (0,))
def zeros_ones_full(n):
    return np.zeros(n), np.ones((n, 2)), np.full((2, n), 1.5), np.zeros((2, 3)), np.full(n, 7)


@program((3,))
def creation_with_dtype(n):
    return np.zeros(n, dtype=np.float32), np.ones(n, np.int32), np.full(n, 2, dtype=np.float64), np.zeros(n, bool)


@program((3,), (1,), (0,))
def eye(n):
    return np.eye(n), np.eye(2, 3), np.eye(n, dtype=np.float32), np.eye(3, k=1)


@program((5,), (0,))
def arange(n):
    return np.arange(n), np.arange(2, n), np.arange(n, 0, -2), np.arange(4.0), np.arange(0.0, 1.0, 0.25)


@program((5,), (1,))
def linspace(n):
    return np.linspace(0.0, 1.0, n), np.linspace(2, -2, 4)


@program((0.5, 2.0), wrt=(0, 1))
def linspace_gradient(a, b):
    return np.linspace(a, b, 5) ** 2


@program((V,), (I32,), (M,))
def likes(a):
    return np.zeros_like(a), np.ones_like(a), np.full_like(a, 3), np.empty_like(a).shape


@program((2.0,), wrt=0)
def full_gradient(x):
    return np.full((2, 2), x) * np.arange(4.0).reshape(2, 2)
