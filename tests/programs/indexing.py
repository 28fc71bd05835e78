"""Reading from arrays, and writing to local ones."""

import math

import numpy as np

from .structures import Pair
from .table import EMPTY, M, S, T, V, W, program


# ----------------------------------------------------------------------------------------------- Arrays: reading
@program((V,), wrt=0)
def read_elements(a):
    return a[0] * a[-1] + a[2] * a[2]


@program((M, 1, 2), wrt=0)
def read_matrix(m, i, j):
    return m[i, j] * m[-1, 0] + m[i][j - 1]


@program((M,), wrt=0)
def read_rows(m):
    return m[0] * m[-1]


@program((V,), (np.arange(9.0),), (EMPTY,))
def read_slices(a):
    return a[1:3], a[:2], a[2:], a[::2], a[::-1], a[-2:], a[5:2], a[:-1:2], a[3:0:-1], a[-100:100]


@program((V,), wrt=0)
def slices_gradient(a):
    return np.sum(a[1:] * a[:-1]) + np.sum(a[::2] * a[::-2])


@program(
    (np.arange(7.0), 1, 6, 2),
    (np.arange(7.0), 6, 1, -2),
    (np.arange(7.0), -3, 99, 1),
    (np.arange(7.0), 5, 2, 1),
    (np.arange(7.0), 2**62, -(2**62), -(2**62)),
    (EMPTY, 0, 5, 3),
    raises={ValueError: [(np.arange(7.0), 0, 5, 0)]},
    exact=True,
    wrt=0,
)
def slice_at_run_time(a, start, stop, step):
    return a[start:stop:step] * 2


@program((M, 2), (M, -1), (M, -2))
def steps_at_run_time(m, k):
    return m[::k, 0] * 2, m[..., ::k], m[:, None, 2 :: -abs(k)], m[::k, ::k] * m[::k, ::k][0]


@program((M, 2), (M, -1), wrt=0)
def stores_with_steps_at_run_time(m, k):
    a = np.zeros((4, 5))
    a[::k, 1:4] = m[:1]
    a[1:3, ::k] += 2 * m[0, 0]
    return a


@program((M, -2), wrt=0)
def scales_with_steps_at_run_time(m, k):
    a = m * 2
    a[::k, ::-k] *= 3.0
    a[..., ::k][:1] += m[1, 1]
    return a


@program((M,), wrt=0)
def matrix_slices(m):
    return m[:, 1:] * m[:, :-1] + m[0:2, ::2][:, :1] - m[1, 1:]


@program((T,), wrt=0)
def ellipsis_and_newaxis(t):
    return t[..., 0] + t[0, ..., 1][None, :] + t[:, :, None, 2][..., 0] + t[1, 2, ...][:1]


@program((V, np.array([0, 2, 2, -1])), (V, np.zeros(0, np.int64)), raises={IndexError: [(V, np.array([9]))]}, wrt=0)
def index_by_integer_array(a, i):
    return a[i] * a[i]


@program((M, np.array([1, 0, 1])), wrt=0)
def index_rows_by_integer_array(m, i):
    return m[i] * 2


@program((M, np.array([1, 0, 1]), np.array([2, 2, -3])), wrt=0)
def index_by_two_integer_arrays(m, i, j):
    return m[i, j] ** 2


@program((M, np.array([2, 0, 0])), wrt=0)
def index_columns_by_integer_array(m, j):
    return m[:, j] * m[:, j]


@program((S, np.array([0, 2, 1])), wrt=0)
def pick_one_per_row(m, label):
    return -m[np.arange(3), label].mean()


@program((V, np.array([[0, 1], [2, 3]])), wrt=0)
def index_by_matrix_of_integers(a, i):
    return a[i] @ a[i]


@program((V,), wrt=0)
def index_by_list(a):
    return a[[0, 2, 0]] * 3


# --------------------------------------------------------------------------------- Arrays: writing to local ones
@program((1.5, 3.0), wrt=(0, 1))
def store_elements(x, y):
    a = np.zeros(3)
    a[0] = x
    a[1] = x * y
    a[-1] = a[0] + a[1]
    return a


@program((V,), (EMPTY,), wrt=0)
def fill_by_loop(a):
    y = np.zeros(len(a))
    for i in range(len(a)):
        y[i] = math.sin(a[i]) * i
    return y


@program((V,), wrt=0)
def fill_like(a):
    y = np.zeros_like(a)
    for i in range(1, len(a)):
        y[i] = y[i - 1] * 0.5 + a[i] * a[i - 1]
    return y


@program((V,), wrt=0)
def overwrite(a):
    y = a.copy()
    y[1] = 5.0
    y[2] = y[2] * y[1]
    y[1] = y[0] * y[1]
    return y


@program((V, W), wrt=(0, 1))
def augmented_store(a, b):
    y = a * 1.0
    for i in range(len(b)):
        y[i] += b[i] * a[0]
        y[i] *= 2.0
        y[0] -= y[i]
    return y


@program((M,), wrt=0)
def store_matrix_elements(m):
    t = np.zeros((3, 2))
    for i in range(2):
        for j in range(3):
            t[j, i] = m[i, j] ** 2
    return t


@program((V,), wrt=0)
def store_slices(a):
    y = np.zeros(6)
    y[1:5] = a
    y[::2] = 2 * y[1::2]
    y[-1] = a[0]
    return y


@program((M,), wrt=0)
def store_rows_and_columns(m):
    t = np.zeros((3, 3))
    t[0] = m[1]
    t[1:, 2] = m[0, :2]
    t[:, 0] += 1.5
    t[1:3, 1] *= 4.0
    t[2, ...] += m[0]
    return t


@program((V, 2.0), wrt=(0, 1))
def store_scalar_in_slice(a, s):
    y = a * a
    y[1:3] = s
    y[:2] += a[2:] * s
    return y


@program((np.array([0, 2, 0]), np.array([1.0, 2.0, 3.0])), wrt=1)
def store_by_integer_array(i, v):
    y = np.zeros(4)
    y[i] = v
    y[i] += v * 2
    return y


@program((3, 2.7), (2, -1.5))
def store_converts_to_the_dtype(n, x):
    a = np.zeros(n, dtype=np.int64)
    a[0] = x
    b = np.zeros(n, dtype=np.float32)
    b[1] = x
    return a, b


@program((V,), raises={ValueError: [(W[:3],)]})
def store_of_wrong_shape(a):
    y = np.zeros((2, 4))
    y[1] = a
    return y


@program((10,), (1,))
def sieve(n):
    composite = np.zeros(n + 1, dtype=bool)
    count = 0
    for i in range(2, n + 1):
        if not composite[i]:
            count += 1
            for j in range(i * i, n + 1, i):
                composite[j] = True
    return count


@program((V,), wrt=0)
def bubble_sort(a):
    y = a.copy()
    n = len(y)
    for i in range(n):
        for j in range(n - 1 - i):
            if y[j] > y[j + 1]:
                t = y[j]
                y[j] = y[j + 1]
                y[j + 1] = t
    return y


@program((V,), wrt=0)
def swap_elements(a):
    y = a + 0.0
    y[0], y[3] = y[3], y[0]
    return y * np.arange(4.0)


@program((S, V[:3]), wrt=(0, 1))
def gaussian_elimination(a, b):
    a = a.copy()
    x = b.copy()
    n = len(x)
    for k in range(n):
        for i in range(k + 1, n):
            f = a[i, k] / a[k, k]
            a[i, k:] -= f * a[k, k:]
            x[i] -= f * x[k]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= a[i, j] * x[j]
        x[i] /= a[i, i]
    return x


@program((V,), wrt=0)
def cumulative_sum(a):
    y = np.empty(len(a))
    total = 0.0
    for i, v in enumerate(a):
        total = total + v * v
        y[i] = total
    return y


@program((V, 5), wrt=0)
def stencil_in_a_time_loop(u, steps):
    for _ in range(steps):
        new = u.copy()
        new[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = new
    return u


@program((V,), wrt=0)
def write_in_a_branch(a):
    y = np.zeros(2)
    for v in a:
        if v > 0.6:
            y[0] += v * v
        else:
            y[1] = v * y[0]
    return y


@program((V, 3), (V, 0), wrt=0)
def ping_pong_buffers(a, n):
    x = a.copy()
    y = np.zeros(len(a))
    for _ in range(n):
        for i in range(len(a)):
            y[i] = x[i] * 0.5 + x[i - 1]
        for i in range(len(a)):
            x[i] = y[i] * y[i] * 0.1
    return x


@program((V,), wrt=0)
def old_value_kept_before_write(a):
    y = a * 2
    before = y[1] * y[2]
    y[1] = before * a[0]
    return before + y


@program((V,), wrt=0)
def write_in_called_function(a):
    def filled(n, v):
        out = np.zeros(n)
        for i in range(n):
            out[i] = v * i
        return out

    return filled(4, a[0]) * a + filled(4, a[1])


@program((V,), wrt=0)
def array_in_a_record(a):
    p = Pair(a * 2, a[0])
    return np.sum(p.left) * p.right


@program((V,), wrt=0)
def array_in_a_loop_of_structures(a):
    state = (a, 1.0)
    for i in range(3):
        x, s = state
        state = (x * s + i, s * 0.5 + x[0])
    return state[0] * state[1]


@program((V, W), wrt=(0, 1))
def in_place_operators_on_local_arrays(a, b):
    y = a * b
    y += a
    y *= 2.0
    y -= b * b
    y /= 3.0
    return y


@program((V,), refusable=True)
def two_names_for_one_array_only_read(a):
    y = a * 2
    z = y
    return z + y


@program((V,), refusable=True)
def view_then_write(a):
    y = a * 2
    z = y[1:3]
    y[1] = 100.0
    return z


@program((V,), refusable=True)
def write_through_a_view(a):
    y = a * 2
    z = y[1:]
    z[0] = 100.0
    return y


@program((V,), refusable=True)
def write_through_transpose(a):
    y = np.outer(a, a)
    z = y.T
    z[0, 1] = 100.0
    return y


@program((V,), refusable=True)
def write_seen_by_a_tuple(a):
    y = a * 2
    t = (y, 1.0)
    y[0] = 100.0
    return t[0]


@program((V,), refusable=True)
def write_seen_by_a_closure(a):
    y = a * 2

    def f():
        return y[0]

    y[0] = 100.0
    return f()


@program((V,), refusable=True)
def write_to_argument_of_local_function(a):
    def put(z):
        z[0] = 7.0

    y = a * 2
    put(y)
    return y
