"""Assignment, tuples, lists, dicts, records."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .table import M, N, V, program


# ---------------------------------------------------------------------------------------------------- Assignment
@program((1.0, 2.0))
def swap(a, b):
    a, b = b, a
    return a, b


@program(((1.0, (2.0, 3.0)),), ((4, (5, 6)),))
def nested_unpacking(t):
    a, (b, c) = t
    [d, e] = c, a
    return a + b * c, d, e


@program(((1, 2, 3, 4),), ((1, 2),))
def starred_unpacking(t):
    first, *rest, last = t
    return first, len(rest), last


@program((V,), wrt=0)
def array_unpacking(a):
    x, y, z, w = a
    return x * y + z * w


@program((V,), raises={ValueError: [(V[:3],)]})
def unpacking_too_few(a):
    x, y, z, w = a
    return x


@program((2.0, 3), wrt=0)
def augmented(x, n):
    y = x
    y += 1
    y *= x
    y -= 0.5
    y /= 3
    y **= 2
    n += 2
    n //= 2
    n %= 4
    n <<= 3
    n |= 1
    return y * n


@program((2.0,), wrt=0)
def annotated(x: float) -> float:
    y: float = x * 2
    z: int
    z = 3
    return y + z


@program((2.0,), wrt=0)
def chained_assignment(x):
    a = b = x * x
    a = a + 1
    return a * b


@program((2.0,), (-1.0,), wrt=0)
def walrus(x):
    if (y := x * x - 2) > 0:
        return y * 3
    return (z := y + 1) * z


@program((100,), (3,))
def walrus_in_while(n):
    steps = 0
    while (n := n // 2) > 0:
        steps += 1
    return steps


@program((2.0,), wrt=0)
def docstring_and_pass(x):
    """A docstring is not code."""
    pass
    if x > 0:
        pass
    else:
        x = -x
    ...
    return x


@program((2,))
def returns_none(x):
    y = x


@program((2.0,), (-2.0,))
def returns_none_or_not(x):
    if x > 0:
        return x


# --------------------------------------------------------------------------------- Tuples, lists, dicts, records
@program(((1.0, 2.0, 3.0),), wrt=0)
def tuple_indexing(t):
    return t[0] * t[-1] + t[1]


@program((1.0, 2.0))
def tuple_building(x, y):
    t = (x, (y, x + y), ())
    return t, t[1][1], len(t)


@program(((1, 2.5, True),))
def tuple_slices(t):
    return t[1:], t[:-1], t[::2], t[::-1]


@program((1.0, 2.0))
def tuple_concatenation(x, y):
    return (x,) + (y, x) + ((1,) * 2)


@program(((1, 2), (1, 2)), ((1, 2), (1, 3)))
def tuple_equality(s, t):
    return s == t, s != t


@program(((1, 2), (1, 3)), ((2, 1), (1, 3)))
def tuple_order(s, t):
    return s < t, s >= t


@program(((1.0, 2.0, 3.0), 1), ((1.0, 2.0, 3.0), -3), raises={IndexError: [((1.0, 2.0), 5), ((1.0, 2.0), -3)]}, wrt=0)
def tuple_index_at_run_time(t, i):
    return t[i] * 2


@program((1.5, 2.5), wrt=(0, 1))
def lists(x, y):
    values = [x, y, x * y]
    return values[0] + values[-1] * len(values)


@program(([1.0, 2.0, 3.0],), wrt=0)
def list_argument(values):
    total = 0.0
    for v in values:
        total += v * v
    return total


@program((1.5, 2.5))
def list_result(x, y):
    return [x, [y, x + y]] + [1.0]


@program((1.5, 2.5), wrt=(0, 1))
def list_comprehension(x, y):
    values = [v * x for v in (x, y, 1.0)]
    return values[0] + values[1] * values[2]


@program((V,), wrt=0)
def list_comprehension_over_array(a):
    return np.array([v * v * k for k, v in enumerate(a)])


@program((1.5, 2.5), wrt=(0, 1))
def generator_expressions(x, y):
    a, b = tuple(v * x for v in (x, y))
    return sum(v * v for v in (a, b)) + max(v - y for v in (a, b, x))


@program(({"w": 2.0, "b": 3.0}, 1.5), wrt=(0, 1))
def dict_argument(p, x):
    return p["w"] * x + p["b"] * p["b"]


@program((2.0,))
def dict_result(x):
    return {"x": x, "more": {"y": x * 2, "n": 3}}


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0

    def dot(self, other):
        return self.x * other.x + self.y * other.y

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)

    @property
    def norm(self):
        return math.sqrt(self.dot(self))

    def scaled(self, by, *, shift=0.0):
        return Point(self.x * by + shift, self.y * by + shift)


class Pair(NamedTuple):
    left: float
    right: object = 1.0

    def product(self):
        return self.left * self.right


@dataclass(frozen=True)
class Layer:
    weight: np.ndarray
    bias: np.ndarray
    scale: float = 1.0

    def __call__(self, x):
        return np.tanh(x @ self.weight + self.bias) * self.scale


@program((Point(1.0, 2.0), 3.0), wrt=(0, 1))
def dataclass_argument(p, s):
    return p.x * s + p.y * p.x


@program((1.0, 2.0))
def dataclass_result(x, y):
    return Point(x + y, y=x), Point(x)


@program((Point(1.0, 2.0), Point(0.5, -1.0)), wrt=(0, 1))
def dataclass_methods(p, q):
    return p.dot(q.scaled(2.0, shift=p.x)) * p.norm


@program((Point(1.0, 2.0), Point(0.5, -1.0)))
def dataclass_operator(p, q):
    return p + q


@program((Point(1.0, 2.0),), (Point(1, 2),))
def dataclass_equality(p):
    return p == Point(1.0, 2.0), p != p


@program((Pair(2.0, 3.0),), wrt=0)
def namedtuple_argument(p):
    a, b = p
    return p.left * p.right + p[0] * a - b * p.product()


@program((2.0,))
def namedtuple_result(x):
    p = Pair(x)
    return Pair(p.right, Pair(x, x * 2)), len(p)


@program((Pair(2.0, 3.0),))
def namedtuple_replace(p):
    return p._replace(left=p.right * 2)


@program((Pair(Point(1.0, 2.0), (3.0, V)),), wrt=0)
def nested_structures(p):
    a, v = p.right
    return p.left.x * a + np.sum(v * p.left.y)


@program((Layer(N, np.array([0.1, -0.2])), M), (Layer(N, np.array([0.1, -0.2]), 2.0), M), wrt=(0, 1))
def callable_record(layer, x):
    return np.sum(layer(x) ** 2)


@program((Point(1.0, 2.0), 4), wrt=0)
def record_in_a_loop(p, n):
    for i in range(n):
        p = Point(p.x * 0.5 + i, p.y + p.x)
    return p.x * p.y


@program((2.0, True), (2.0, False), wrt=0)
def record_from_branches(x, flag):
    p = Point(x, 1.0) if flag else Point(3.0, x * x)
    return p.dot(p)


@program((2.0, True), (2.0, False), wrt=0)
def tuples_from_branches(x, flag):
    a, b = (x, 1.0) if flag else (3.0, x * x)
    return a * b + a


@program((2.0, None), (2.0, 3.0), wrt=0)
def none_argument(x, y):
    if y is None:
        return x
    return x * y


@program((2.0, True), (2.0, False))
def none_at_run_time(x, flag):
    y = x if flag else None
    return y is None, y is not None, 0.0 if y is None else y * 2


@program((1,), (2.0,), (True,), ((1, 2),), (V,), (Point(1.0),))
def isinstance_tests(x):
    if isinstance(x, bool):
        return 1
    if isinstance(x, (int, float)):
        return 2
    if isinstance(x, tuple):
        return 3
    return 4 if isinstance(x, np.ndarray) else 5


@program((2.0, "square"), (2.0, "cube"), wrt=0)
def string_argument(x, kind):
    if kind == "square":
        return x * x
    return x * x * x


@program((3.0, True), (3.0, False), wrt=0)
def loops_over_one_of_two_tuples(x, flag):
    t = (x, 2.0) if flag else (x * x,)
    total = 0.0
    for i, (u, v) in enumerate(zip(t, reversed(t))):
        total += (i + 1) * u * v
    for u in t:
        total += u
    return total * max(*t, 1.0)


@program((2.0, True), (2.0, False))
def spreads_one_of_two_tuples(x, flag):
    t = (x, 2.0) if flag else (x * x,)
    first, *rest = t
    return (*t, 5.0), [*t], first, rest, [u * 2 for u in t]
