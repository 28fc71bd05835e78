"""How a program enters the table, and the arguments that many of them share."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Program:
    """A function, argument tuples on which it returns, and those on which it raises, by type."""

    name: str
    fn: object
    cases: tuple
    raises: dict = field(default_factory=dict)
    wrt: tuple = ()  # positions of the arguments to differentiate by
    orders: int = 2  # how often it is smooth, as a function of one float
    exact: bool = False  # the text of the exception is the user's, and must arrive unchanged
    refusable: bool = False  # a corner of Python: a clear refusal is as good as the right answer
    atol: float = 1e-12

    def __repr__(self):
        return self.name


PROGRAMS = {}


def program(*cases, name=None, raises=None, wrt=(), **options):
    """Enter the decorated function in the table; `wrt` is one position or several."""

    def enter(fn):
        entry = Program(
            name or fn.__name__, fn, cases, raises or {}, (wrt,) if isinstance(wrt, int) else tuple(wrt), **options
        )
        assert entry.name not in PROGRAMS, f"two programs are called {entry.name}"
        assert entry.cases or entry.raises, f"{entry.name} is never run"
        PROGRAMS[entry.name] = entry
        return fn

    return enter


def of_one(f):
    """The program that applies f to one argument."""

    def apply(x):
        return f(x)

    return apply


def of_two(f):
    """The program that applies f to two arguments."""

    def apply(x, y):
        return f(x, y)

    return apply


# The arguments that many programs share.
V = np.array([0.5, -1.25, 2.0, 0.75])
W = np.array([1.5, 0.25, -0.5, 3.0])
P = np.array([0.3, 1.2, 2.5, 0.9])  # positive
U = np.array([0.3, -0.6, 0.1, 0.8])  # inside (-1, 1)
M = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]])
N = np.array([[0.5, 1.5], [-1.0, 2.0], [0.75, -0.25]])
S = np.array([[2.0, -1.0, 0.3], [0.4, 1.5, -0.2], [-0.6, 0.1, 1.2]])
T = np.arange(24.0).reshape(2, 3, 4) / 7 - 1
I = np.array([3, -2, 7, 0, 5])
J = np.array([2, 3, -4, 1, 2])
B = np.array([True, False, True, True])
V32, W32, P32, M32, N32 = (a.astype(np.float32) for a in (V, W, P, M, N))
I32 = I.astype(np.int32)
EMPTY = np.zeros(0)
