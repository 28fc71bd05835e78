"""Small programs in plain Python: the language as inference sees it.  Python itself says what each should give."""

# ruff: noqa: E701, E702, E731
import dataclasses
import enum
import functools
import math
from typing import NamedTuple

import numpy as np


def fact(n):
    return 1 if n <= 1 else n * fact(n - 1)


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def parity(n):
    return even(n), odd(n)


def usefact(x):
    return fact(5) * x


def closure(x, y):
    def add(z):
        return x + z

    def twice(f, v):
        return f(f(v))

    return twice(add, y)


def makeadd(n):
    return lambda x: x + n


def hof(x):
    fs = [makeadd(1), makeadd(2.5)]
    for f in fs:
        x = f(x)
    return x


def early(x, n):
    for i in range(n):
        if x > 10:
            return i
        x = x * 2
    return -1


def brk(n):
    s = 0
    for i in range(n):
        if i == 5:
            break
        if i % 2:
            continue
        s += i
    else:
        s = -1
    return s


def wh(n):
    i = 0
    while True:
        i += 1
        if i * i > n:
            break
    return i


def unb(x):
    if x > 0:
        y = 1.0
    return y


def unb2(n):
    for i in range(n):
        z = i
    return z


def choose(x):
    f = math.sin if x > 0 else math.cos
    return f(x)


def opt(x):
    y = None
    if x > 1:
        y = x * 2
    if y is None:
        return 0.0
    return y + 1


def opt2(x):
    y = None
    for i in range(3):
        if y is None:
            y = x
        else:
            y = y * 2
    return y


def ifelse_none(x):
    if x > 0:
        return x


def mixed(x):
    if x > 0:
        return (x, 1)
    return "neg"


def tupl(x):
    a, (b, *c), d = 1, (x, 2, 3.0), 4
    return a, b, c, d


def het(x):
    t = (1, 2.0, x)
    s = 0
    for v in t:
        s = s + v
    return s


def het2(x):
    ps = [(np.ones((2, 3)), 1.0), (np.ones((4, 2)), 2.0)]
    h = x
    for W, b in ps:
        h = W @ h + b
    return h


def het3(x):
    ps = [(np.ones((2, 3)), 1.0), (np.ones((4, 2)), 2.0)]
    h = x
    for i in range(len(ps)):
        W, b = ps[i]
        h = np.tanh(W @ h + b)
    return h


def uncond_exit(t, x):
    for v in t:
        if v > x:
            return v
    return -1.0


def uncond_break(t, x):
    r = 0.0
    for v in t:
        if v > x:
            break
        r += v
    else:
        r = -r
    return r


def raises(x):
    if x < 0:
        raise ValueError(f"neg {x}")
    return x


def asserts(x):
    assert x > 0, "must be positive"
    return x


class P(NamedTuple):
    w: float
    b: float = 2.0

    def scaled(self, k):
        return P(self.w * k, self.b)


@dataclasses.dataclass(frozen=True)
class D:
    w: object
    n: int = 3

    def norm(self):
        return self.w * self.w + self.n

    @property
    def double(self):
        return self.w * 2

    @classmethod
    def make(cls, w):
        return cls(w, 7)

    @staticmethod
    def st(x):
        return x + 1

    def __call__(self, x):
        return self.w * x


def nt(x):
    p = P(x)
    q = p.scaled(3.0)._replace(b=1.0)
    return q, q[0] + q.b, P(b=1.0, w=x)


def dc(x):
    d = D(x)
    e = dataclasses.replace(d, n=5)
    return d.norm(), e.double, D.make(x), D.st(x), e, d(2.0)


def dcarg(d):
    return d.norm() * 2, d


def kwonly(x, *, k=2.0):
    return x * k


def callkw(x):
    return kwonly(x) + kwonly(x, k=3.0)


def va(*xs):
    s = 0.0
    for x in xs:
        s += x
    return s


def callva(x):
    t = (1.0, x)
    return va(x, 2.0, *t)


def part(x):
    g = functools.partial(kwonly, k=x)
    return g(2.0)


def fill(n):
    a = np.zeros(n)
    for i in range(n):
        a[i] = i * 2.0
    return a


def fill2(x):
    a = np.zeros((3, 3))
    a[0] = x
    a[1, 2] += 5.0
    a[:, 1] *= 2
    return a


def thr(x):
    a = np.zeros((3, 3))
    a[0][1] = x
    return a


def swap(n):
    c = np.ones(3)
    d = np.zeros(3)
    for i in range(n):
        d[0] = c[1] + i
        d[1] = c[0] * 2
        c, d = d, c
    return c


def dictf(d, x):
    e = {"a": x, "b": d["w"] * 2}
    return {"s": e["a"] + e["b"], "t": e}


def comp(x):
    return [v * x for v in (1.0, 2.0, 3.0)], sum(i * x for i in range(4))


def ng(n):
    s = 0.0
    for i in range(n):
        for j in range(i):
            if j == 3:
                break
            s += i * j
    return s


def arr_iter(a):
    s = 0.0
    for r in a:
        s += r
    return s


def rows(a):
    s = 0.0
    for r in a:
        s = s + r
    return s


def enumerated(a, b):
    s = 0.0
    for i, (x, y) in enumerate(zip(a, b)):
        s += i * x * y
    return s


G = np.arange(4.0)
K = 3


def glob(x):
    def inner(y):
        return (G * y).sum()

    return inner(x) + K


def globrec(n):
    if n == 0:
        return 0.0
    return G[n] + globrec(n - 1)


def ack(m, n):
    if m == 0:
        return n + 1
    if n == 0:
        return ack(m - 1, 1)
    return ack(m - 1, ack(m, n - 1))


def net(ps, x, k=0):
    if k == len(ps):
        return x
    return net(ps, np.tanh(ps[k] @ x), k + 1)


def collatz(n):
    c = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        c += 1
    return c


def whret(x):
    while x < 100:
        x = x * x + 1
        if x > 50:
            return "big"
    return x


def looptuple(n):
    t = (0, 1)
    for _ in range(n):
        t = (t[1], t[0] + t[1])
    return t


def mutrec(n):
    def e(k):
        return True if k == 0 else o(k - 1)

    def o(k):
        return False if k == 0 else e(k - 1)

    return e(n)


def selfclos(x, n):
    def go(k, acc):
        if k == 0:
            return acc
        return go(k - 1, acc * x)

    return go(n, 1.0)


def andor(x, y):
    return (x > 0 and y > 0) or x == y, x and y, not x, 0 < x < y


def walrus(x):
    if (y := x * 2) > 3:
        return y
    return -y


def div0(x):
    return 1 / x


def idx(a, i):
    return a[i]


def isin(x):
    return isinstance(x, float), isinstance(x, (int, float))


def maxi(a, b):
    return max(a, b), min(a, b, 0.5), abs(a)


def longret(x):
    r = 0.0
    for i in range(5):
        for j in range(5):
            if i * j > x:
                return r
            r += i + j
    return r + 1


def funcstate(x, n):
    f = math.sin
    for i in range(n):
        x = f(x)
        if i == 1:
            f = math.cos
    return x


def strarg(x, mode):
    if mode == "a":
        return x
    return -x


def zd(a):
    return a + 1, a


def copyw(a):
    b = a.copy()
    b[0] = 1.0
    return b


def recnone(n):
    if n == 0:
        return None
    return recnone(n - 1)


def always(x):
    raise RuntimeError("no")


def callalways(x):
    if x > 0:
        return always(x)
    return x


def inp(x):
    x += 1
    x -= 2.5
    return x


def lam(x):
    return (lambda a, b=2.0: a * b)(x)


def nestdef(x):
    def f(y=x * 2):
        return y + x

    return f() + f(1.0)


def nestloop_clos(x):
    s = 0.0
    for i in range(3):
        g = lambda v: v * i + x
        s += g(2.0)
    return s


def star(x):
    a, *b = (x, 1, 2)
    return (*b, a), [*b]


def whelse(n):
    while n > 3:
        n -= 1
    else:
        n = n * 10
    return n


def deepif(x):
    if x > 0:
        if x > 1:
            if x > 2:
                y = 1.0
            else:
                y = 2.5
        else:
            return "s"
    else:
        y = 3
    return y * 1.0


def ret_mixed_loop(x, n):
    for i in range(n):
        if i == 2:
            return x, i
    return None


def deep_loops(x):
    for i in range(3):
        for j in range(3):
            for k in range(3):
                for l in range(3):
                    s = 0
                    for m in range(2):
                        s += x
                    x = x + s * 0.01
    return x


def optional_of_tuple(x):
    r = None
    for v in (1.0, None, x):
        if v is not None:
            r = v if r is None else r + v
    return r


def recursive_sum(xs):
    if not xs:
        return 0.0
    return xs[0] + recursive_sum(xs[1:])


def tree(t):
    if isinstance(t, tuple):
        return tree(t[0]) + tree(t[1])
    return t * t


def fill_matrix(n):
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if (i + j) % 2:
                continue
            out[i, j] = i * j
    return out


def while_continue_break(x):
    total = 0
    i = 0
    while i < 10:
        i += 1
        if i == 3:
            continue
        if i > 6:
            break
        total += i * x
    else:
        total = -1
    return total, i


def structure_out(a, b):
    try_ = a if a > b else b
    return {"k": try_, "l": [a, b, (a, b)]}


def record_state(x):
    d = D(x)
    for i in range(3):
        d = dataclasses.replace(d, w=d.w * 2, n=d.n + 1)
    return d


def record_returned_early(x, n):
    st = P(x, 0.0)
    for i in range(n):
        st = st._replace(b=st.b + st.w)
        if st.b > 5:
            return st
    return st


def comprehensions(x):
    return sum([v * 2 for v in (x, 1, 2.0)]), max([x, 3.0]), [a + b for a, b in zip((1, 2), (x, x))]


def reversed_range(x, n):
    y = x
    for i in reversed(range(n)):
        y = y * 0.5 + i
    return y


def range_steps(n):
    x = 0
    for i in range(10, 0, -3):
        x = x * 2 + i
    for i in range(n, n + 5, 2):
        x += i
    return x


def recursive_lambda(x):
    f = lambda n: 1.0 if n == 0 else x * f(n - 1)
    return f(4)


def recursive_closure(x):
    def apply(f, n):
        return x if n == 0 else f(apply(f, n - 1))

    return apply(math.sin, 3)


def comp2(f, g):
    return lambda x: f(g(x))


def compositions(x):
    return comp2(math.sin, comp2(math.cos, lambda t: t * 2))(x)


def branches_and_raise(x):
    y = x
    if x > 0:
        y = y * 2
        if x > 1:
            y = y + 1
            if x > 2:
                return y
    elif x < -1:
        raise ValueError("low")
    else:
        y = -y
    return y + 100


def displays(x):
    a = [1, 2, 3]
    b = (*a, x)
    p, *q, r = b
    return q, p, r, len(b), b[-1], b[1:3]


class Mode(enum.Enum):
    A = 1
    B = 2


def enum_member(x):
    m = Mode.A
    if m is Mode.A:
        return x
    return -x


class Cfg:
    lr = 0.5
    n = 3

    def __init__(self):
        self.scale = 4.0

    def go(self, x):
        return x * self.scale * self.lr


CFG = Cfg()


def plain_object(x):
    return CFG.go(x) + CFG.n


def growing_list(x, n):
    acc = []
    for i in range(3):
        acc = acc + [x * i]
    return acc


def masked_writes(a):
    b = a * 2
    for i in range(len(b)):
        b[i] += i
    b[b > 2] = 0
    b[1:] *= 3
    return b


def double_loop(a):
    m, n = a.shape
    s = 0.0
    for i in range(m):
        for j in range(n):
            s += a[i, j] * (i - j)
    return s


def inner_else(x):
    r = 0.0
    for i in range(100):
        r += x
        if r > 10:
            for j in range(3):
                r -= 1
                if r < 8:
                    break
            else:
                return r, j
    return r, i


def chosen_closure(x):
    if x > 0:
        f = lambda a: a + x
    else:
        f = math.exp
    return f(f(1.0))


def nested_makers(x):
    def mk(k):
        if k == 0:
            return lambda v: v
        inner = mk(k - 1)
        return lambda v: inner(v) * x

    return mk(3)(2.0)


def while_fill(n):
    a = np.zeros(5)
    i = 0
    while i < n:
        a[i] = a[i - 1] + 1
        i += 1
    return a, i


def arrays_of_two_sizes(x):
    if x > 0:
        r = np.ones(3)
    else:
        r = np.zeros(4)
    return r * 2


def array_or_number(x):
    if x > 0:
        r = np.ones(3)
    else:
        r = 2.0
    return r * 2


def number_then_array(x):
    s = 0
    for r in np.ones((2, 3)):
        s = s + r
    return s


def walrus_function(x):
    assert isinstance(x, float)
    return f(x) if (f := math.sqrt) else 0


def key_error(x):
    raise KeyError("k", x)


class MyErr(Exception):
    pass


def own_exception(x):
    if x > 0:
        raise MyErr(f"bad {x:.2f} {{}}")
    return x


def value_or_none(x):
    return x if x else None


def best_of(x, n):
    best = None
    for i in range(n):
        v = math.sin(x * i)
        if best is None or v > best:
            best = v
    return best


def best_and_where(x, n):
    best = None
    at = None
    for i in range(n):
        v = math.sin(x * i)
        if best is None or v > best:
            best, at = v, i
    return best, at


def updated_copy(x):
    a = np.zeros(3)
    b = np.zeros(3)

    def upd(z):
        z = z.copy()
        z[0] = x
        return z

    a = upd(a)
    a[1] = 5.0
    return a, b


def factorial_loop(n):
    x = 1
    for i in range(n):
        x *= i + 1
    return x


def number_operators(x):
    return x**2, 2**x, x // 2, x % 3, divmod(x, 2), -x, round(x, 1), int(x), bool(x), pow(x, 2)


def array_views(a):
    return a[..., 0], a[None].shape, a[::-1], a[-1], a.T, a.sum(axis=0), a @ a.T, a.reshape(-1), a.mean()


def tuple_of_branches(k):
    if k > 2:
        t = (1, 2.0)
    else:
        t = (3, 4.0)
    a, b = t
    return a + b


def options(x, flag=False, *, opt=None):
    if opt is None:
        opt = 2.0
    return x * opt if flag else x


def endless_loop(x):
    i = 0
    while True:
        if x > 100:
            return x
        x *= 2
        i += 1
        if i > 50:
            raise RuntimeError("no")


def gcd_inside(n):
    def gcd(a, b):
        while b:
            a, b = b, a % b
        return a

    return gcd(n, 36)


def getattr_of_module(x):
    v = x
    for name in ("sin", "cos"):
        v = getattr(math, name)(v)
    return v


def dict_walk(d):
    s = 0.0
    for k in d:
        s += d[k]
    for k, v in d.items():
        s += v * len(k)
    return s + sum(d.values())


def swapped(t):
    a, b = t
    return b, a


PROGRAMS = [
    (fact, 5),
    (fib, 10),
    (parity, 7),
    (usefact, 2.0),
    (closure, 1.0, 2),
    (hof, 1.0),
    (early, 1.0, 20),
    (early, 1.0, 2),
    (brk, 3),
    (brk, 9),
    (wh, 50),
    (unb, 1.0),
    (unb, -1.0),
    (unb2, 3),
    (unb2, 0),
    (choose, 1.0),
    (choose, -1.0),
    (opt, 3.0),
    (opt, 0.5),
    (opt2, 1.5),
    (ifelse_none, 1.0),
    (ifelse_none, -1.0),
    (mixed, 1.0),
    (mixed, -1.0),
    (tupl, 1.5),
    (het, 1.0),
    (het2, np.ones(3)),
    (het3, np.ones(3)),
    (uncond_exit, (1.0, 2.0, 3.0), 1.5),
    (uncond_exit, (1.0, 2.0, 3.0), 9.5),
    (uncond_break, (1.0, 2.0, 3.0), 2.5),
    (uncond_break, [1.0, 2.0], 9.0),
    (raises, 1.0),
    (raises, -1.0),
    (asserts, 1.0),
    (asserts, -1.0),
    (nt, 2.0),
    (dc, 2.0),
    (dcarg, D(2.0)),
    (callkw, 2.0),
    (callva, 2.0),
    (part, 4.0),
    (fill, 4),
    (fill2, 1.5),
    (thr, 2.0),
    (swap, 5),
    (comp, 2.0),
    (ng, 7),
    (arr_iter, np.arange(3.0)),
    (rows, np.ones((2, 3))),
    (enumerated, np.arange(3.0), np.arange(3.0)),
    (glob, 2.0),
    (globrec, 3),
    (ack, 2, 3),
    (net, (np.ones((2, 3)), np.ones((4, 2))), np.ones(3)),
    (collatz, 27),
    (whret, 1.0),
    (whret, 7.1),
    (whret, 100.5),
    (looptuple, 6),
    (mutrec, 5),
    (selfclos, 1.5, 4),
    (andor, 1.0, 2.0),
    (andor, 0.0, 2.0),
    (walrus, 1.0),
    (walrus, 2.0),
    (div0, 0.0),
    (div0, 2.0),
    (div0, 0),
    (idx, np.arange(3.0), 2),
    (idx, np.arange(3.0), 5),
    (isin, 2.0),
    (maxi, 1.0, 2.0),
    (longret, 3.5),
    (funcstate, 1.0, 4),
    (strarg, 1.0, "a"),
    (strarg, 1.0, "b"),
    (zd, np.array(2.0)),
    (copyw, np.zeros(3)),
    (recnone, 3),
    (callalways, 1.0),
    (callalways, -1.0),
    (inp, 1),
    (lam, 3.0),
    (nestdef, 1.0),
    (nestloop_clos, 1.0),
    (star, 1.0),
    (whelse, 7),
    (ret_mixed_loop, 1.0, 5),
    (ret_mixed_loop, 1.0, 1),
    (dictf, {"w": 2.0}, 1.0),
    (deepif, 3.0),
    (deepif, 0.5),
    (deepif, 1.5),
    (deepif, -1.0),
    (deep_loops, 1.0),
    (optional_of_tuple, 2.0),
    (recursive_sum, (1.0, 2.0, 3.0)),
    (tree, ((1.0, 2.0), 3.0)),
    (fill_matrix, 4),
    (while_continue_break, 1.5),
    (structure_out, 1.0, 2.0),
    (record_state, 1.0),
    (record_returned_early, 2.0, 5),
    (record_returned_early, 0.1, 5),
    (comprehensions, 1.5),
    (reversed_range, 1.0, 4),
    (range_steps, 5),
    (recursive_lambda, 2.0),
    (recursive_closure, 1.0),
    (compositions, 1.0),
    (branches_and_raise, 0.5),
    (branches_and_raise, 1.5),
    (branches_and_raise, 2.5),
    (branches_and_raise, -0.5),
    (branches_and_raise, -2.0),
    (displays, 1.0),
    (enum_member, 1.0),
    (plain_object, 1.0),
    (growing_list, 1.0, 3),
    (masked_writes, np.arange(4.0)),
    (double_loop, np.ones((3, 2))),
    (inner_else, 3.0),
    (inner_else, 0.05),
    (chosen_closure, 1.0),
    (chosen_closure, -1.0),
    (nested_makers, 2.0),
    (while_fill, 4),
    (while_fill, 9),
    (arrays_of_two_sizes, 1.0),
    (arrays_of_two_sizes, -1.0),
    (array_or_number, 1.0),
    (array_or_number, -1.0),
    (number_then_array, 1.0),
    (walrus_function, 4.0),
    (walrus_function, 4),
    (key_error, 1.0),
    (own_exception, 1.0),
    (own_exception, -1.0),
    (value_or_none, 1.0),
    (value_or_none, 0.0),
    (best_of, 1.0, 5),
    (best_of, 1.0, 0),
    (best_and_where, 1.0, 5),
    (best_and_where, 1.0, 0),
    (updated_copy, 2.0),
    (factorial_loop, 5),
    (number_operators, 7.5),
    (number_operators, 7),
    (array_views, np.arange(6.0).reshape(2, 3)),
    (tuple_of_branches, 1),
    (tuple_of_branches, 5),
    (options, 1.0, True),
    (options, 1.0),
    (endless_loop, 1.0),
    (endless_loop, 0.0),
    (gcd_inside, 48),
    (getattr_of_module, 1.0),
    (dict_walk, {"a": 1.0, "bb": 2.0}),
    (swapped, (1, "x")),
]


@dataclasses.dataclass(frozen=True)
class Dual:
    """Operators of a record: dual numbers."""

    v: float
    d: float = 0.0

    def __post_init__(self):
        assert self.v < 100, "too large"

    def __add__(self, other):
        return Dual(self.v + other.v, self.d + other.d)

    def __mul__(self, other):
        if isinstance(other, Dual):
            return Dual(self.v * other.v, self.v * other.d + self.d * other.v)
        return Dual(self.v * other, self.d * other)

    def __rmul__(self, other):
        return self * other

    def __neg__(self):
        return Dual(-self.v, -self.d)

    def __lt__(self, other):
        return self.v < other.v

    def __getitem__(self, k):
        return self.v if k == 0 else self.d

    def __len__(self):
        return 2

    def __bool__(self):
        return self.v > 0


def dual(x):
    a = Dual(x, 1.0)
    b = -(2.0 * a * a + a)
    b += a
    return b, b < a, a == Dual(x, 1.0), a != b, b[1], len(a), "pos" if a else "neg"


def named_tuple_as_tuple(x):
    p = P(x)
    return len(p), sum(p), p + (1,), p == (x, 2.0), p[:1], 2.0 in p, P(1.0) < P(2.0), max(p)


PROGRAMS += [(dual, 2.0), (dual, -2.0), (dual, 200.0), (named_tuple_as_tuple, 1.5)]


TAB = {1: 2.0, 2: 3.0}
OPS = {"sin": math.sin, "cos": math.cos}


def enum_equal(x, m):
    return x if m == Mode.A else -x


def table_of_ints(x):
    return TAB[1] * x + TAB[2]


def table_of_functions(x, k):
    return OPS[k](x)


def is_true(x, flag):
    return x if flag is True else -x


def identities(x):
    return x is True, None is None, x is None, x is not None


def string_in_tuple(x, m):
    if m in ("a", "b"):
        return x
    return -x


def string_method(x, s):
    return x if s.startswith("ab") else -x


def missing_key(x):
    return TAB[5]


def strings(x, s="abc"):
    return s[0], s + "d", len(s), s.upper(), f"{s}!"


def enum_out(x):
    return Mode.A, Mode.B.value


@dataclasses.dataclass(frozen=True)
class Sub(D):
    z: float = 1.0
    K = 5

    def norm(self):
        return D.norm(self) + self.z * self.K


def inherited(x):
    return Sub(x).norm(), Sub(x, z=2.0)


def isinstances(x):
    return (
        isinstance(Sub(x), D),
        isinstance((1,), tuple),
        isinstance(None, type(None)),
        isinstance("a", (str, int)),
        isinstance(D(x), P),
    )


def getattrs(x):
    return getattr(D(x), "w"), getattr(D(x), "nope", 3), hasattr(D(x), "n")


def types_of(x):
    return callable(math.sin), type(x) is float


PROGRAMS += [
    (enum_equal, 1.0, Mode.A),
    (enum_equal, 1.0, Mode.B),
    (table_of_ints, 1.0),
    (table_of_functions, 1.0, "cos"),
    (is_true, 1.0, True),
    (is_true, 1.0, False),
    (is_true, 1.0, 2.0),
    (identities, 1.0),
    (string_in_tuple, 1.0, "a"),
    (string_in_tuple, 1.0, "z"),
    (string_method, 1.0, "abc"),
    (missing_key, 1.0),
    (strings, 1.0),
    (enum_out, 1.0),
    (inherited, 2.0),
    (isinstances, 1.0),
    (getattrs, 1.0),
    (types_of, 1.0),
]


def array_or_none(x, n):
    a = None
    for i in range(n):
        if a is None:
            a = np.zeros(3)
        a[0] += x
    return a


def sum_of_arrays(x, n):
    s = 0
    for i in range(n):
        s = s + np.ones(2) * x
    return s


def dict_rebound(x):
    (a, b), c = (x, 2), 3
    d = {"p": (a, b)}
    for k, (u, v) in zip(("q", "r"), ((1, 2), (3.0, x))):
        d = {"p": (u, v)}
    return d


def breaks_of_two_loops(x, n):
    while n > 0:
        n -= 1
        for j in range(n):
            if j > x:
                break
        else:
            continue
        break
    return n


def returned_closure(x):
    def outer():
        def inner():
            return x * 2

        return inner

    return outer()()


def function_through_recursion(x, fl):
    g = (lambda v: v + 1) if fl else (lambda v: v * 2)

    def app(f, k):
        return f(x) if k == 0 else app(f, k - 1)

    return app(g, 2)


def argmax_of_masked(a):
    m = a.max()
    b = np.where(a > m / 2, a, 0.0)
    i = b.argmax()
    return b[i], int(i)


def annotated(x):
    r = x
    r: float = r * 2
    return r if r else None


def tuple_grown(xs):
    t = ()
    for v in xs:
        t = t + (v * 2,)
    return t


def tuple_default(x, y=(1, 2)):
    return x + y[0]


def named_tuple_unpacked(x):
    v = P(x)
    w, b = v
    return w * b, v.w


def rebound_after_write(x):
    a = np.zeros(4)
    for i in range(4):
        for j in range(i):
            a[i] = a[i] + a[j] + x
    b = a
    a = a * 2
    a[0] = 9.0
    return a, b


def slices_written(x):
    a = np.arange(5.0)
    a[1:4] = a[0:3]
    a[::2] += x
    a[-1] = a[0]
    return a


def state_through_function(x):
    def step(s):
        return s[0] + 1, s[1] * x

    s = (0, 1.0)
    for _ in range(5):
        s = step(s)
    return s


def shared_unless_written(a, b):
    c = a
    if b:
        c = a * 2
    return c + a


def chosen_def(n):
    if n > 3:

        def f(z):
            return z + 1
    else:

        def f(z):
            return z * 2

    return f(n)


def stars(x):
    return [*(1, x), *[2]], (*"ab",)


def loop_over_functions(x, k):
    for name, f in (("s", math.sin), ("c", math.cos)):
        if name == k:
            return f(x)
    raise KeyError(k)


def loop_else(x):
    s = 0.0
    for i in range(3):
        try_ = i
        if i == 1:
            pass
        s += try_
    else:
        s *= x
    return s


def bits(v):
    n = 0
    while v:
        v //= 2
        n += 1
    return n


def nested_conditional(x):
    return -x if x < 0 else x if x > 1 else None


def rows_into(a):
    out = np.empty_like(a)
    for i, v in enumerate(a):
        out[i] = v * i
    return out


def items_of_rows(a):
    t = 0.0
    for row in a:
        for v in row:
            t += v
    return t


PROGRAMS += [
    (array_or_none, 1.0, 3),
    (array_or_none, 1.0, 0),
    (sum_of_arrays, 1.0, 3),
    (sum_of_arrays, 1.0, 0),
    (dict_rebound, 1.0),
    (breaks_of_two_loops, 2, 6),
    (returned_closure, 1.0),
    (function_through_recursion, 1.0, True),
    (function_through_recursion, 1.0, False),
    (argmax_of_masked, np.arange(4.0)),
    (annotated, 1.0),
    (annotated, 0.0),
    (tuple_grown, (1, 2.0)),
    (tuple_default, 1),
    (named_tuple_unpacked, 2.0),
    (rebound_after_write, 1.0),
    (slices_written, 1.0),
    (state_through_function, 2.0),
    (shared_unless_written, np.ones(2), True),
    (chosen_def, 2),
    (chosen_def, 5),
    (stars, 1.0),
    (loop_over_functions, 1.0, "c"),
    (loop_over_functions, 1.0, "z"),
    (loop_else, 2.0),
    (bits, 9),
    (nested_conditional, 0.5),
    (nested_conditional, -2.0),
    (rows_into, np.arange(3.0)),
    (items_of_rows, np.ones((2, 3))),
]


def arrays_in_a_list(x):
    rows = [np.zeros(3) for _ in range(2)]
    rows[1][2] = x
    rows[0][:2] += 1.0
    d = {"w": np.ones(2)}
    d["w"][0] *= x
    return rows, d


PROGRAMS += [(arrays_in_a_list, 2.0)]
