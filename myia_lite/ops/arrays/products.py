"""Products of matrices."""

from __future__ import annotations

import numpy as np

from ...ir import Array
from ..define import array, define, expect, same
from .shapes import all_batched, dims, first_axes_as_one, lead_of, reshape, size, turned


def _matmul_type(types, attrs, graphs):
    a, b = map(array, types)
    expect(a.rank == b.rank >= 2 and a.dtype == b.dtype, f"matmul of {a} and {b}")
    m, k = a.shape[-2:][:: -1 if attrs["ta"] else 1]
    k2, n = b.shape[-2:][:: -1 if attrs["tb"] else 1]
    expect(k is None or k2 is None or k == k2, f"matmul of {a} and {b}: inner dims {k} and {k2}")
    batch = same()([Array("f64", a.shape[:-2]), Array("f64", b.shape[:-2])], {}, ()).shape if a.rank > 2 else ()
    return Array(a.dtype, (*batch, m, n))


def _matmul_vjp(y_bar, y, a, b, ta, tb):
    a_bar = matmul(b, y_bar, ta=tb, tb=True) if ta else matmul(y_bar, b, ta=False, tb=not tb)
    b_bar = matmul(y_bar, a, ta=True, tb=ta) if tb else matmul(a, y_bar, ta=not ta, tb=False)
    return (a_bar, b_bar)


def _matmul_jvp(dots, y, a, b, ta, tb):
    a_dot, b_dot = dots
    left = None if a_dot is None else matmul(a_dot, b, ta=ta, tb=tb)
    right = None if b_dot is None else matmul(a, b_dot, ta=ta, tb=tb)
    return right if left is None else left if right is None else left + right


def _batched_matmul(many, a, b, ta, tb):
    """One product of matrices: the rows of all in the batched factor, or its columns, are those of one large matrix."""
    if all(many) or a.type.rank + many[1] > 3 or b.type.rank + many[0] > 3:
        a, b = all_batched(many, (a, b), *lead_of(many, (a, b)))
        return matmul(a, b, ta=ta, tb=tb)
    if many[1]:  # (a @ b).T == b.T @ a.T
        return turned(_batched_matmul(many[::-1], b, a, not tb, not ta))
    a = turned(a) if ta else a
    n = b.type.shape[0 if tb else 1]
    columns, column_dyn = (n,), [size(b, 0 if tb else 1)] if n is None else []
    lead, lead_dyn = dims(a, (0, 1))
    y = matmul(first_axes_as_one(a, 2), b, ta=False, tb=tb)
    return reshape(y, *lead_dyn, *column_dyn, shape=lead + columns)


matmul = define(
    "matmul",
    _matmul_type,
    "matmul[ta, tb](a, b): a @ b over the last two axes, each transposed first where ta, tb; leading axes agree",
    value=lambda a, b, ta, tb: np.matmul(a.swapaxes(-1, -2) if ta else a, b.swapaxes(-1, -2) if tb else b),
    vjp=_matmul_vjp,
    jvp=_matmul_jvp,
    multilinear=(0, 1),
    batch=_batched_matmul,
)
