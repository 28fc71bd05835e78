"""x² and its slope: GradBench's `hello`, which is a call and nothing else."""

import itertools

from myia_lite import grad, myia

from .harness import Row, benchmark, check_equal, medians

CALLS = 20_000


def square(x):
    """The function."""
    return x * x


def by_hand(x):
    """Its slope."""
    return 2.0 * x


@benchmark
def run():
    """A call of each, from Python."""
    compiled, double = myia(square), grad(square)
    check_equal((compiled(3.0), double(3.0)), (9.0, 6.0))

    def calls(f):
        def call():
            for _ in itertools.repeat(None, CALLS):
                f(3.0)

        return call

    value, ours, theirs = (s / CALLS for s in medians(calls(compiled), calls(double), calls(by_hand)))
    yield Row("hello: square", value)
    yield Row("hello: its gradient", ours, "plain Python", theirs)
