"""Sorting, searching, order statistics, and results with as many elements as values say."""

import numpy as np

from .table import EMPTY, I32, M32, V32, B, I, J, M, S, T, V, W, program

TIED = np.array([2.0, -1.0, 2.0, 0.5, -1.0, 2.0])
NANS = np.array([1.0, np.nan, -np.inf, 0.0, np.nan, np.inf, -0.0])
LONG = np.sin(np.arange(1000.0) ** 2)
APART = np.argsort(np.sin(np.arange(60.0) ** 2)) / 16 - 1.52  # no two as near as the steps of differences
STEPS = np.floor(8 * np.sin(np.arange(300.0).reshape(3, 100) ** 2))


# ---------------------------------------------------------------------------------------------------- Sorted arrays
@program((V,), (V32,), (EMPTY,), (APART,), wrt=0)
def sort_line(a):
    return np.sort(a)


@program((I,), (I32,), (B,), (TIED,), (NANS,), (LONG.astype(np.float32),), (np.arange(-100, 100)[::-1],))
def sort_of_dtypes(a):
    return np.sort(a), np.argsort(a, kind="stable"), np.sort(a, kind="quicksort")


@program((M,), (M32,), (T,), wrt=0)
def sort_axis_0(m):
    return np.sort(m, axis=0)


@program((M,), (S,), (T,), (M[:, :0],), (M[:0],), wrt=0)
def sort_last_axis(m):
    return np.sort(m) * np.arange(m.shape[-1])


@program((M,), (T,), wrt=0)
def sort_of_all(m):
    return np.sort(m, axis=None)


@program((STEPS,), (STEPS.astype(np.int32),), (STEPS > 0,))
def argsort_is_stable(m):
    return (
        np.argsort(m, kind="stable"),
        m.argsort(axis=0, kind="mergesort"),
        np.argsort(m, axis=None, stable=True),
        np.argsort(m[:, 0], kind="stable"),
    )


@program((V,), (APART,), wrt=0)
def sort_descending(a):
    return -np.sort(-a) + np.sort(a)[::-1] * 2


@program((V, W), wrt=(0, 1))
def sort_by_another(a, b):
    return a[np.argsort(b)] * b


@program((M,), wrt=0)
def sort_rows_by_order(m):
    return np.take_along_axis(m, np.argsort(m, axis=1), axis=1)


@program((V,), wrt=0)
def ranks(a):
    """A smooth stand-in would be needed for the ranks themselves: they have no derivative."""
    return np.argsort(np.argsort(a)) * a


@program((LONG,), (V,), wrt=0)
def trimmed_mean(a):
    k = len(a) // 4
    return np.sort(a)[k:-k].mean()


@program((V, W), (V, W[:4]), wrt=(0, 1))
def transport_distance(a, b):
    return np.sum((np.sort(a) - np.sort(b)) ** 2)


@program((V, 5), (V, 0), wrt=0)
def sort_in_loop(a, n):
    for k in range(n):
        a = np.sort(a * np.cos(a + k))
    return a


# ------------------------------------------------------------------------------------------------- Order statistics
@program((V,), (V[:3],), (M,), (V32,), (T,), wrt=0)
def median_of_all(a):
    return np.median(a)


@program((M,), (S,), wrt=0)
def median_rows(m):
    return np.median(m, axis=1) * 2


@program((T,), (STEPS.reshape(3, 10, 10),))
def median_axes(t):
    return np.median(t, axis=(0, 2)), np.median(t, axis=1, keepdims=True), np.median(t, keepdims=True)


@program((I,), (NANS,), (B,), (3.5,))
def median_of_dtypes(a):
    return np.median(a)


@program((LONG, 0.3), (V, 0.0), (V, 1.0), (V[:1], 0.4), (NANS, 0.5), raises={ValueError: [(V, 1.5), (V, -0.1)]})
def quantiles(a, q):
    return np.quantile(a, q), np.percentile(a, 100 * q)


@program((V, 0.3), (M, 0.85), wrt=(0, 1))
def quantile_by_both(a, q):
    return np.quantile(a, q) ** 2


@program((M,), (T,), wrt=0)
def quantile_axis(m):
    return np.quantile(m, 0.6, axis=0) + np.percentile(m, 20, axis=0)


# -------------------------------------------------------------------------------------------------------- Searching
@program((np.sort(LONG), V), (np.sort(V), M), (np.sort(I), J), (np.sort(NANS), NANS), (EMPTY, V), (np.sort(TIED), TIED))
def searchsorted_arrays(a, v):
    return np.searchsorted(a, v), np.searchsorted(a, v, side="right"), a.searchsorted(v)


@program((np.sort(V), 0.6), (np.sort(I), 2.5), (np.sort(NANS), np.inf), (EMPTY, 1.0))
def searchsorted_one(a, v):
    return np.searchsorted(a, v), np.searchsorted(a, v, side="right")


@program((V, W))
def searchsorted_with_sorter(a, v):
    return np.searchsorted(a, v, sorter=np.argsort(a))


@program((np.sort(V), np.cumsum(W**2), 0.9), wrt=(0, 1, 2))
def table_lookup(xs, ys, x):
    """Linear interpolation in a table."""
    k = np.clip(np.searchsorted(xs, x), 1, len(xs) - 1)
    t = (x - xs[k - 1]) / (xs[k] - xs[k - 1])
    return ys[k - 1] * (1 - t) + ys[k] * t


# -------------------------------------------------------------------------------------------------------- Selecting
@program((V,), (M,), (T,), (EMPTY,), (V32,), wrt=0)
def masked_sum(a):
    return np.sum(a[a > 0.1] ** 2)


@program((V,), (LONG,), (NANS,), (EMPTY,), (I,))
def masked_read(a):
    return a[a > 0], a[a > 1e9], a[(a > -1) & (a < 1)], len(a[a > 0.5])


@program((M,), (S,), (STEPS,), raises={IndexError: [(M[:, :2],)]})
def masked_axes(m):
    rows = m[:, 0] > -0.5
    return m[rows], m[rows, 1:], m[rows, 2], m[:, m[0] > 0.4], m[1:, m[1] > 0], m[m > 0.3]


@program((M, W[:3]), (S, W[:3]), wrt=(0, 1))
def masked_product(m, w):
    return (m[:, w > 0] @ w[w > 0]).sum()


@program((V, W), raises={IndexError: [(V[:3], W)]})
def masked_write(a, b):
    out = a * 1.0
    out[b > 0] = a[b > 0] * b[b > 0]
    out[out < 0] = 0.5
    return out


@program((V, W), wrt=(0, 1))
def masked_write_gradient(a, b):
    out = a * 1.0
    out[b > 0] = np.sin(b[b > 0])
    return np.sum(out**2)


@program((M,), (S,))
def masked_write_axes(m):
    out = m.copy()
    out[m[:, 0] > 0.4, 1] = 7.0
    out[:, m[0] > 0.4] *= 2.0
    out[m > 3] = -out[m > 3]
    return out


@program((V,), (I,), (M,), (T,), (EMPTY,), (B,))
def nonzero_places(a):
    return np.nonzero(a), np.flatnonzero(a), np.where(a > 0.3), np.argwhere(a), a.nonzero()


@program((V, W), (M, M))
def extract_and_compress(a, b):
    return np.extract(b > 0, a), np.compress(b.ravel() > 0, a), np.compress(a.ravel()[: len(a)] > 0, b, axis=0)


@program((V, 3), (APART, 4), wrt=0)
def masked_in_loop(a, n):
    """Each trip has another number of elements."""
    total = 0.0
    for k in range(n):
        a = a[a > -0.4 * k - 1] * 0.9
        total += np.sum(a)
    return total


@program((TIED,), (STEPS,), (NANS,), (I,), (B,), (EMPTY,))
def unique_elements(a):
    return (
        np.unique(a),
        np.unique(a, return_counts=True),
        np.unique(a, return_index=True, return_inverse=True),
        np.unique(a, equal_nan=False),
    )


@program((W,), (V,), wrt=0)
def sum_of_unique(a):
    return np.sum(np.unique(a) ** 3)


# ----------------------------------------------------------------------------------------------------- Python's own
@program((0.5, -1.0, 2.0), (1.0, 1.5, 0.0), wrt=(0, 1, 2))
def sorted_numbers(a, b, c):
    low, middle, high = sorted([a, b, c])
    return low + middle * middle * 2 + high**3


@program((0.5, -1.0, 2.0), (3.0, 2.0, 1.0))
def sorted_list(a, b, c):
    return sorted((a, b, c)), sorted([a, b, c], reverse=True), sorted([a]), sorted([c, b][:0])


@program((3, -1, 2), (0, 0, -5))
def sorted_integers(a, b, c):
    return sorted([a, b, c]), sorted((a, b, c), key=abs), sorted([a, b, c], key=lambda n: -n, reverse=True)


@program((0.5, -1.0, 2.0), (1.0, 1.0, 1.0), (-1.0, 1.0, 0.0))
def sorted_pairs(a, b, c):
    pairs = [(a, 1), (b, 2), (c, 3)]
    return sorted(pairs, key=lambda p: p[0]), sorted(pairs, key=lambda p: p[0], reverse=True)


@program((V,), (I,))
def sorted_array(a):
    return sorted(a)


@program((0.5,), (2.0,), wrt=0)
def sorted_by_key(x):
    best = sorted([x, 1.0, x * x], key=lambda v: (v - 1.2) ** 2)[0]
    return best * x
