"""Small programs over the whole of the syntax: `PROGRAMS` are (function, arguments) whose value CPython says."""

# ruff: noqa: E731, E741, B023, F841, B018, SIM, E701, E702

import math

import numpy as np

PROGRAMS = []
SCALE, TABLE = 3.0, (1.0, 2.0, 4.0)


def on(*arguments):
    """Register a program with some arguments; each is a tuple of arguments."""

    def register(f):
        PROGRAMS.extend((f, a if isinstance(a, tuple) else (a,)) for a in arguments)
        return f

    return register


# ---- expressions -----------------------------------------------------------------------------------------------------
@on(2.0, -1.5)
def arithmetic(x):
    return -x * 3 + x**2 / 4 - x // 2 % 3 + +x


@on((6, 3), (1, 0))
def integers(a, b):
    return a & b | a ^ b << 2, ~a >> 1, a % (b + 1), (a, b) == (6, 3)


@on((1, 2, 3), (3, 2, 1), (1, 5, 3), (0, 0, 0))
def chained(a, b, c):
    return a < b < c, a <= b <= c == c, a < b > c, (a < b) < c, a != b != c


@on((0, 1), (1, 0), (2, 3), (0, 0))
def logic(a, b):
    return a and b, a or b, not a, a and not b or b and 5, (a or b) and (b or a)


@on((0.0,), (2.0,))
def short_circuit(x):
    return x == 0 or 1 / x > 0, x != 0 and 1 / x


@on(0.0, 2.0)
def evaluated_all(x):
    return 1 / x if x else 7


@on((1,), (0,), (-1,))
def nested_conditional(x):
    return "pos" if x > 0 else "zero" if x == 0 else "neg"


@on(3)
def once(x):
    calls = 0
    return (calls := calls + 1) < (calls := calls + x) < (calls := calls + 2), calls


@on(5, -5)
def walrus(x):
    if (y := x * 2) > 0 and (z := y + 1) > 3:
        return y + z
    return y


@on(5, -5)
def walrus_maybe(x):
    t = x > 0 and (y := x)
    return y


@on((1.0, 2.0))
def data(x, y):
    t = (x, [y, x], {"a": x, "b": y})
    return t[1][0] + t[2]["b"], t[0:2], t[::-1], t[-1], (*t, x), [x, *t[1]]


@on(4)
def fstrings(n):
    return f"{n} of {n + 1:>3} and {1.5:.2f}!" + f"" + f"{{}}"


@on(2.0)
def calls(x):
    return math.hypot(x, *(3.0, 4.0)), max(*[x, 1.0], 5.0), round(x, ndigits=1), np.clip(x, 0.0, a_max=1.0)


@on(2.0)
def globals_and_builtins(x):
    return SCALE * x + len(TABLE) + sum(TABLE) + abs(-x)


@on(np.arange(12.0).reshape(3, 4))
def indexing(a):
    return a[1:, ::2].sum() + a[-1, -1] + a[..., 0].sum() + a[:, None].shape[1] + a[np.array([0, 1])].sum()


@on(np.arange(4.0).reshape(2, 2))
def matrices(a):
    b = a @ a
    b @= a
    return b


@on(3)
def comprehension(n):
    x = 10
    squares = [x * x for x in range(n)]
    return squares, x, sum(i * x for i in range(n)), tuple(a + b for a, b in [(1, 2), (3, 4)]), max(i for i in TABLE)


@on(((1, 2), (3, 4)))
def nested_comprehension(*rows):
    return [[v * 2 for v in row] for row in rows]


@on(1)
def is_none(x):
    return x is None, x is not None, x in (1, 2), x not in (1, 2), None is None


# ---- assignment ------------------------------------------------------------------------------------------------------
@on((1, 2))
def swap(a, b):
    a, b = b, a
    (a, b), c = (b, a + 1), 5
    [d, e] = a, b
    return a, b, c, d, e


@on(((1, 2, 3, 4),), ((1, 2),), ((1,),))
def starred(xs):
    first, *middle, last = xs
    return first, middle, last


@on(((1, (2, [3, 4, 5])),))
def nested_unpacking(t):
    a, (b, (c, *d)) = t
    return a, b, c, d


@on(2)
def several_targets(x):
    a = b = x + 1
    c = d, e = a, b
    return a, b, c, d, e


@on(3)
def annotated(x: int):
    y: int = x + 1
    z: float
    z = y * 2.0
    return z


@on(3)
def annotated_only(x):
    y: int
    if x > 5:
        y = 1
    return x


@on((7, 2))
def augmented(x, y):
    x += y
    x *= 2
    x -= 1
    x //= 2
    x %= 5
    x **= 2
    x |= 8
    x &= 12
    x ^= 5
    x <<= 2
    x >>= 1
    x /= 4
    return x


@on(3)
def item_assignment(n):
    a = np.zeros(n)
    a[0] = 1.0
    a[1:] = a[0] + 1
    a[-1] += 5.0
    a[a > 2] *= 2.0
    return a


@on(3)
def nested_item_assignment(n):
    a = np.zeros((n, n))
    a[0][1] = 4.0
    a[1][:] += 2.0
    a[2, 1:] = a[0, 1:]
    b = [a, a]
    return a, a[0][1]


@on(3)
def index_once(n):
    a = np.zeros(n)
    k = 0
    a[(k := k + 1)] += 5.0
    return a, k


@on(2)
def targets_in_order(x):
    i = 0
    a = np.zeros(4)
    i, a[i] = 2, 7.0
    return a


# ---- branches --------------------------------------------------------------------------------------------------------
@on(1, -1, 0)
def elif_chain(x):
    if x > 0:
        s = "pos"
    elif x == 0:
        s = "zero"
        x = 5
    else:
        s = "neg"
    return s, x


@on(1, 0)
def maybe_unbound(x):
    if x:
        y = 1
    return y


@on(1, 0)
def maybe_unbound_in_loop(x):
    for i in range(x):
        y = i
    return y


@on(1, 0)
def unbound(x):
    if x:
        return y
    y = 3
    return y


@on(1, 0, -1, 5)
def early_return(x):
    if x == 0:
        return 10
    y = x * 2
    if y < 0:
        return y
    if y > 5:
        y = 100
        if x > 4:
            return -7
    else:
        y += 1
    return y


@on(1, 0, -1)
def both_fall_with_exit(x):
    total = 0
    if x >= 0:
        if x == 0:
            return -1
        total += 1
    else:
        total -= 1
    total *= 10
    total += x
    return total


@on(3, -3)
def raises(x):
    if x < 0:
        raise ValueError(f"negative: {x}")
    return x


@on(3, -3)
def raises_class(x):
    if x >= 0:
        y = x
    else:
        raise ZeroDivisionError
    return y


@on(3, -3)
def always_raises(x):
    if x < 0:
        raise ValueError("a")
    else:
        raise KeyError("b")


@on(3, -3)
def asserts(x):
    assert x > 0, f"bad {x}"
    assert x
    return x


@on(1)
def no_return(x):
    """Only a docstring."""


@on(1, 0)
def bare_return(x):
    if x:
        return
    pass


@on(1)
def dead_code(x):
    return x
    y = undefined_anywhere = 3
    while True:
        pass


# ---- loops -----------------------------------------------------------------------------------------------------------
@on(0, 1, 10)
def for_range(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


@on(10, 0)
def loop_variable_survives(n):
    i = -1
    for i in range(n):
        pass
    return i


@on(((1, 2), (3, 4)))
def for_unpacking(*pairs):
    s = 0
    for k, (a, b) in enumerate(pairs):
        s += k * a + b
    for a, b in zip(pairs, reversed(pairs)):
        s = s * 2 + a[0] * b[1]
    return s


@on(10, 1, 0)
def while_loop(n):
    a, b = 0, 1
    while n > 0:
        a, b = b, a + b
        n -= 1
    return a


@on(10, 3, 0)
def break_and_continue(n):
    s = 0
    for i in range(n):
        if i % 2:
            continue
        if i > 6:
            break
        s += i
    return s, i if n else None


@on((10, 4), (10, 20), (0, 0))
def loop_else(n, wanted):
    for i in range(n):
        if i == wanted:
            r = "found"
            break
    else:
        r = "missing"
    return r


@on((10, 4), (10, 20))
def while_else_return(n, wanted):
    k = 0
    while k < n:
        if k == wanted:
            break
        k += 1
    else:
        return "none"
    return k


@on((10, 4), (10, 20), (0, 1))
def return_in_loop(n, wanted):
    for i in range(n):
        if i * i > wanted:
            return i
    return -1


@on(0, 3, 8)
def return_in_nested_loops(n):
    for i in range(n):
        for j in range(n):
            if i * j == 6:
                return i, j
            if j > i:
                break
        else:
            continue
    return None


@on(6, 0)
def break_from_inner_else(n):
    out = 0
    for i in range(n):
        for j in range(n):
            if j * j > i + 4:
                out += 1
                break
        else:
            break
        out += 10 * j
    return out


@on(7, 1)
def while_true(n):
    k = 0
    while True:
        k += 1
        if k * k > n:
            y = k * 2
            break
    return y


@on(7, 1)
def while_true_return(n):
    k = 0
    while True:
        k += 1
        if k * k > n:
            return k


@on(5)
def while_true_raise(n):
    while 1:
        n -= 1
        if n < 0:
            raise IndexError(n)


@on(5, 0)
def infinite_with_continue(n):
    s = 0
    while True:
        n -= 1
        if n % 3 == 0:
            s += 1
            continue
        if n < 0:
            break
        s += 10
    return s


@on((3, 4), (0, 2), (2, 0))
def nested_loops(n, m):
    s = 0
    for i in range(n):
        t = 0
        for j in range(m):
            t += i * j
            if t > 4:
                s += 100
                continue
        s += t
    return s


@on(12, 97, 1)
def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@on(100.0, 2.0)
def walrus_in_while(x):
    n = 0
    while (y := x / 2) > 1:
        x = y
        n += 1
    return n, y, x


@on(3, 0)
def loop_over_shrinking(n):
    xs = [1, 2, 3]
    for x in xs:
        xs = [x]
    return xs, n


@on(4)
def fill(n):
    a = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            a[i, j] = i * 10 + j
            a[j][i] -= 1
    return a


@on(5)
def carried_through(n):
    last = None
    for i in range(n):
        if last is not None and i % 2:
            first = last
        last = i
    return first, last


@on(5, 1)
def unbound_in_trip(n):
    for i in range(n):
        if i > 0:
            y = y + 1
        else:
            y = 10
    return y


@on(3, 1)
def unbound_first_trip(n):
    for i in range(n):
        if i:
            y += 1
    return n


@on(4)
def else_in_the_middle(n):
    total = 0
    for i in range(n):
        if i == 1:
            total += 1
        elif i == 2:
            if total > 100:
                return -1
            total += 5
        else:
            continue
        total *= 2
        total -= 1
    return total


@on((3, 0), (3, 1), (3, 2), (3, 9))
def three_exits(n, k):
    s = 0
    for i in range(n):
        for j in range(n):
            if i + j == k:
                if i > j:
                    return "return", s
                elif i == j:
                    break
                s += 3
            else:
                if k == 1:
                    continue
                s += 1
            s *= 2
        else:
            s += 1000
            if s > 5000:
                break
        s += j
    return s


@on(5)
def loop_in_branch(n):
    if n > 3:
        k = 0
        while k < n:
            k += 2
            if k == 4:
                return "four"
    else:
        k = 7
    return k


# ---- functions -------------------------------------------------------------------------------------------------------
@on((1,), (1, 2), (1, 2, 3))
def defaults(a, b=10, *rest, c=SCALE, d=None):
    return a, b, rest, c, d


@on((1, 2))
def positional_only(a, /, b, *, c=5):
    def inner(x, /, y=b, *z, w, v=c):
        return x, y, z, w, v

    return inner(1, w=2), inner(1, 2, 3, 4, w=5, v=6), inner(*(1, 2), w=a)


@on(5, 0)
def nested_recursion(n):
    def fact(k):
        return 1 if k == 0 else k * fact(k - 1)

    fib = lambda k: k if k < 2 else fib(k - 1) + fib(k - 2)
    return fact(n), fib(n)


@on(7, 0)
def mutual_recursion(n):
    def even(k):
        if k == 0:
            return True
        return odd(k - 1)

    def odd(k):
        if k == 0:
            return False
        return even(k - 1)

    return even(n), odd(n)


@on(7, 0)
def three_siblings(n):
    def a(k):
        return 0 if k <= 0 else b(k - 1) + 1

    def b(k):
        return 0 if k <= 0 else c(k - 2) * 2

    first = lambda k: a(k) + c(k)

    def c(k):
        return a(k) + n

    return first(n), b(n)


@on(2.0)
def higher_order(x):
    def twice(f):
        return lambda v: f(f(v))

    def compose(*fs):
        def run(v):
            for f in fs:
                v = f(v)
            return v

        return run

    return twice(twice(lambda v: v * x))(1.0), compose(math.sqrt, lambda v: v + x)(16.0)


@on(3)
def closure_in_loop(n):
    s = 0
    for i in range(n):
        add = lambda v: v + i
        s = add(s) * 2
    return s


@on(3)
def default_in_loop(n):
    fs = ()
    for i in range(n):
        fs = (*fs, lambda v, i=i: v + i)
    return [f(10) for f in fs]


@on(3)
def captured_parameter(n):
    def outer(k):
        def middle():
            def inner():
                return n + k

            return inner()

        return middle()

    return outer(4)


@on(4)
def recursion_in_loop(n):
    s = 0
    for i in range(n):

        def down(k):
            return i if k == 0 else 1 + down(k - 1)

        s += down(i)
    return s


def decorate(f):
    return lambda x: f(x) + 100


@on(4)
def decorated(n):
    @decorate
    @decorate
    def g(x):
        return 1 if x == 0 else n * 2

    return g(n)


@on(4, -4)
def function_in_branch(n):
    if n > 0:

        def g(x):
            return x + n
    else:
        g = lambda x: x - n
    return g(1)


@on(1, 0)
def maybe_captured(n):
    if n:
        y = 1
    g = lambda: y
    return g()


@on(5)
def shadowing(x):
    def g(x):
        x = x + 1
        return x

    len = lambda v: v * 10
    return g(1), x, len(2)


@on((3, 1), (3, 2))
def loop_calls_closure(n, k):
    def step(v):
        if v % 2:
            return v * k
        return v + 1

    v = 0
    while v < 50:
        v = step(v) + n
    return v


def recursive(n):
    return 0 if n == 0 else n + recursive(n - 1)


on(6)(recursive)
on((1.0, 2.0))(lambda x, y: x * y + SCALE)
first_of_two, second_of_two = lambda x: x + 1, lambda x: x + 2
on(1)(first_of_two)
on(1)(second_of_two)
on(1)(lambda x: (lambda y: x + y)(2))


def maker(a):
    b = a * 2

    def made(x):
        return a * x + b

    return made, (lambda x: x - a)


on(3)(maker(5)[0])
on(3)(maker(5)[1])


class Model:
    __rate = 0.5

    def __init__(self, w):
        self.w = w

    def __private(self, x):
        return self.__rate * x

    def apply(self, x, *, scale=2.0):
        __local = self.w * x
        return __local * scale + self.__private(x)


on((Model(3.0), 2.0))(Model.apply)
on((Model(3.0), 2.0))(Model._Model__private)
