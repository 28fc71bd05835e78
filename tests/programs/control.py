"""Branches and loops."""

import math

import numpy as np

from .table import EMPTY, M, V, W, program


@program((3.0,), (0.5,), (-2.0,), (-9.0,), wrt=0)
def if_elif_else(x):
    if x > 1.0:
        y = x * x
    elif x > 0.0:
        y = x
    elif x > -5.0:
        y = -3 * x
    else:
        y = math.sin(x)
    return y + x


@program((3.0,), (-3.0,), wrt=0)
def if_without_else(x):
    y = x
    if x > 0:
        y = y * x
    return y


@program((3.0, 1.0), (-3.0, 1.0), (3.0, -1.0), (-3.0, -1.0), wrt=(0, 1))
def nested_ifs(x, y):
    if x > 0:
        if y > 0:
            return x * y
        z = x - y
    else:
        z = x + y
        if y > 0:
            z = z * y
    return z * z


@program((0.5,), (2.0,), wrt=0)
def while_loop(x):
    y = x
    while y < 10.0:
        y = y * 1.5 + x
    return y


@program((0.3, 5), (0.3, 0), (-1.2, 9), wrt=0)
def for_loop(x, n):
    y = x
    for i in range(n):
        y = math.sin(y) * x + y + i
    return y


@program((10,), (0,), (-3,))
def for_range_start_stop(n):
    s = 0
    for i in range(2, n):
        s += i * i
    return s


@program((10, 3), (10, -3), (-10, -4), (0, 1), raises={ValueError: [(5, 0)]})
def for_range_step(n, step):
    s = 0
    for i in range(0, n, step):
        s = s * 3 + i
    return s


@program((1.1,), wrt=0)
def for_range_backwards(x):
    y = 0.0
    for i in range(5, -1, -2):
        y = y * x + i
    return y


@program((1.5, 2.5), wrt=(0, 1))
def for_over_tuple(x, y):
    product = 1.0
    for v in (x, y, x * y, 2.0):
        product = product * v
    return product


@program((1.5, 2.5), wrt=(0, 1))
def for_over_list(x, y):
    total = 0.0
    for v in [x, y, x - y]:
        total += v * v
    return total


@program((V,), (EMPTY,), wrt=0)
def for_over_array(a):
    total = 0.0
    for v in a:
        total = total + v * v * v
    return total


@program((M,), wrt=0)
def for_over_rows(m):
    total = 0.0
    for row in m:
        total = total + np.sum(row) ** 2
    return total


@program((1.5, 2.5), wrt=(0, 1))
def for_over_mixed_tuple(x, y):
    total = 0.0
    for weight, v in ((1, x), (2, y), (3, x * y)):
        total += weight * v
    return total


@program((V,), wrt=0)
def for_enumerate(a):
    total = 0.0
    for i, v in enumerate(a):
        total = total + i * v * v
    return total


@program((V,), wrt=0)
def for_enumerate_from(a):
    total = 0.0
    for i, v in enumerate(a, start=2):
        total = total + v**i
    return total


@program((V, W), (V, W[:2]), wrt=(0, 1))
def for_zip(a, b):
    total = 0.0
    for x, y in zip(a, b):
        total = total + x * y
    return total


@program((2.0,), wrt=0)
def for_zip_of_tuples(x):
    total = 0.0
    for a, b in zip((1.0, 2.0, 3.0), (x, x * x, x**3)):
        total = total * 0.5 + a * b
    return total


@program((V,), wrt=0)
def for_reversed(a):
    y = 0.0
    for v in reversed(a):
        y = y * 0.5 + v
    return y


@program((5, 1.1), (0, 1.1), wrt=1)
def for_reversed_range(n, x):
    y = 0.0
    for i in reversed(range(n)):
        y = y * x + i
    return y


@program((V,), wrt=0)
def for_enumerate_zip(a):
    total = 0.0
    for i, (x, y) in enumerate(zip(a, a[1:])):
        total = total + (i + 1) * x * y
    return total


@program((4, 3), (0, 3), (4, 0))
def nested_for(n, m):
    s = 0
    for i in range(n):
        for j in range(i, m):
            s += i * 10 + j
    return s


@program((1.2, 3), wrt=0)
def nested_for_float(x, n):
    y = 1.0
    for i in range(n):
        for j in range(i):
            y = y * x + j
        y = math.sin(y)
    return y


@program((V, 2.0), (V, -2.0), wrt=0)
def break_out(a, limit):
    total = 0.0
    for v in a:
        if v > limit - 0.5:
            break
        total = total + v * v
    return total


@program((10, 3), (10, 1), (2, 5))
def continue_past(n, m):
    s = 0
    for i in range(n):
        if i % m == 0:
            continue
        s += i
    return s


@program((7,), (13,), (15,), (2,))
def loop_else(n):
    for d in range(2, n):
        if n % d == 0:
            kind = d
            break
    else:
        kind = 0
    return kind


@program((0.5,), (30.0,))
def while_else(x):
    k = 0
    while x < 20.0:
        x = x * 3
        k += 1
        if k > 10:
            break
    else:
        k = -k
    return k, x


@program((V, 0.6), (V, 99.0), wrt=0)
def return_from_loop(a, limit):
    for i in range(len(a)):
        if a[i] > limit:
            return a[i] * i + a[0]
    return a[0] * a[1]


@program((5, 7), (5, 50), (0, 1))
def return_from_nested_loop(n, target):
    for i in range(n):
        for j in range(n):
            if i * j == target - 1:
                return i, j
    return -1, -1


@program((3, 10), (4, 0))
def break_inner_continue_outer(n, m):
    s = 0
    for i in range(n):
        for j in range(m):
            if j > i + 2:
                break
            if (i + j) % 2:
                continue
            s += 100 * i + j
        else:
            s -= 1
    return s


@program((0.2,), (3.0,), wrt=0)
def while_true(x):
    n = 0
    while True:
        x = x + math.cos(x) * 0.5
        n += 1
        if n > 6 or x > 4:
            return x * n


@program((27,), (1,), (6,))
def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@program((48, 36), (17, 5), (5, 0))
def gcd_by_while(a, b):
    while b:
        a, b = b, a % b
    return a


@program((4,), (1,))
def loop_variable_after_the_loop(n):
    for i in range(n):
        pass
    return i * 10


@program((4,), raises={UnboundLocalError: [(0,)]})
def loop_variable_unbound(n):
    for i in range(n):
        pass
    return i


@program((2.0,), raises={UnboundLocalError: [(-2.0,)]})
def variable_of_one_branch(x):
    if x > 0:
        y = x
    return y * 2


@program((6,))
def loop_variable_reassigned(n):
    s = 0
    for i in range(n):
        i = i * 2
        s += i
    return s, i


@program((5,))
def range_is_evaluated_once(n):
    s = 0
    for i in range(n):
        n = n + 10
        s += n
    return s


@program((1.5, 3), wrt=0)
def three_nested_loops(x, n):
    y = 0.0
    for i in range(n):
        for j in range(n):
            k = 0
            while k < j:
                y = y + x * i * k
                k += 1
            y = y * 0.9
    return y * x


@program((0.7, 8), wrt=0)
def state_swaps_in_loop(x, n):
    a, b, c = x, x * x, 1.0
    for _ in range(n):
        a, b, c = b, c, math.sin(a + b * c)
    return a + 2 * b + 3 * c


@program((1.3, 12), wrt=0)
def branch_in_loop(x, n):
    y = 0.5
    for i in range(n):
        if i % 3 == 0:
            y = y * x
        elif y > 1.0:
            y = y - 0.75 * x
        else:
            y = y + math.exp(-y)
    return y


@program((0.9,), wrt=0)
def loop_state_begins_as_int(x):
    total = 0
    for i in range(4):
        total = total + x * i
    return total


@program((3.7,), (0.2,), wrt=0)
def newton_square_root(x):
    y = 1.0
    while abs(y * y - x) > 1e-12:
        y = 0.5 * (y + x / y)
    return y
