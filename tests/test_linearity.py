"""What is called linear is so, primitive by primitive and in programs; what is linear is called so."""

import itertools
import math

import numpy as np
import pytest
from op_samples import SAMPLES
from test_ops import type_of

from myia_lite import MyiaTypeError, custom_derivative, grad, jvp, vjp
from myia_lite.ad.linearity import Linearity
from myia_lite.backends.interp import compile
from myia_lite.infer import abstract, infer
from myia_lite.ir import Builder, Graph, Tuple, is_float, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.parser import parse_function

# linear by the values of the sample, which no declaration says
UNSEEN = {
    "foreign": "nobody looks inside",
    "pow": "x**1.0",
    "select": "a fixed operand that is picked nowhere",
    "concat": "a fixed operand without elements",
    "slice_set": "a fixed operand without elements, or overwritten",
    "scatter_set": "a fixed operand without elements",
    "recurrence": "of one row",
    "maximum": "of one and the same operand",
    "reduce_prod": "a product of one factor, or of none",
    "powi": "x**1 or x**0 * 0, which the optimiser rewrites",
    "reduce_max": "of one element",
    "reduce_min": "of one element",
}
TOGETHER = {"add": (0, 1), "sub": (0, 1), "select": (1, 2), "recurrence": (1,)}  # where nothing is declared


def cases():
    """Each sample with each choice of up to two of its float arguments."""
    for name, samples in SAMPLES.items():
        for j, (args, attrs) in enumerate(samples):
            floats = [k for k, a in enumerate(args) if a.dtype.kind == "f" and np.size(a)]
            for count in (1, 2):
                for chosen in itertools.combinations(floats, count):
                    yield pytest.param(name, args, attrs, chosen, id=f"{name}-{j}-{'-'.join(map(str, chosen))}")


def said(p, args, attrs, chosen) -> bool:
    g = Graph("f")
    params = [g.parameter(type_of(a)) for a in args]
    with Builder(g):
        g.returns(p(*params, **attrs))
    return Linearity().result(verify(g), {params[k] for k in chosen}, 0) is None


def floats_of(value) -> np.ndarray:
    parts = value if isinstance(value, tuple) else (value,)
    return np.concatenate([np.ravel(v) for v in parts if np.asarray(v).dtype.kind == "f"] or [np.zeros(0)])


def measured(p, args, attrs, chosen) -> bool:
    """Does the value of a sum of points come out as the sum of the values, at points far apart?"""
    rng = np.random.default_rng(0)

    def at(points):
        given = list(args)
        for k, v in zip(chosen, points, strict=True):
            given[k] = np.asarray(v, args[k].dtype)[()]
        with np.errstate(all="ignore"):
            return floats_of(p.value(*given, **attrs)).astype(float)

    for _ in range(3):
        u, v = ([5.0 * rng.normal(size=args[k].shape) for k in chosen] for _ in range(2))
        left = at([2.0 * a - 3.0 * b for a, b in zip(u, v, strict=True)])
        if not np.allclose(left, 2.0 * at(u) - 3.0 * at(v), rtol=1e-4, atol=1e-4):
            return False
    return True


@pytest.mark.parametrize(("name", "args", "attrs", "chosen"), list(cases()))
def test_every_primitive(name, args, attrs, chosen):
    p = PRIMITIVES[name]
    claim = said(p, args, attrs, chosen)
    results = p.type_rule([type_of(a) for a in args], attrs, ())
    if isinstance(results, Tuple):
        assert not claim or set(chosen) == {k for k, t in enumerate(results.elems) if is_float(t)}
        return
    if not is_float(results):  # an int or a bool is no linear function of anything
        assert not claim
        return
    true = measured(p, args, attrs, chosen)
    assert not claim or true, "called linear, and is not"
    if true and not claim:
        assert name in UNSEEN or p.zero_derivative or constant(p, args, attrs, chosen), "linear, and not seen to be"


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_is_declared_is_seen(name):
    """Jointly linear in its terms; linear in each of its factors alone."""
    p = PRIMITIVES[name]
    for args, attrs in SAMPLES[name]:
        floats = {k for k, a in enumerate(args) if a.dtype.kind == "f"}
        terms = {k for k in floats if p.is_linear_in(k) or k in TOGETHER.get(name, ())}
        if terms:
            assert said(p, args, attrs, terms)
        for k in floats & {*p.multilinear}:
            assert said(p, args, attrs, [k])


def constant(p, args, attrs, chosen) -> bool:
    """Is the result zero whatever these arguments are?"""
    given = [np.asarray(5.0 * np.ones(a.shape), a.dtype)[()] if k in chosen else a for k, a in enumerate(args)]
    with np.errstate(all="ignore"):
        return not np.any(floats_of(p.value(*given, **attrs)))


# ---- programs: of x, linear or not in the direction t (and u) --------------------------------------------------------
def trips(x, t, n):
    s = 0.0
    for k in range(n):
        s = s * x + t * k
    return s


def trips_affine(x, t, n):
    s = 1.0
    for k in range(n):
        s = s * x + t * k
    return s


def products_in_a_loop(x, t, n):
    s = t
    for _ in range(n):
        s = s * t
    return s


def a_power_that_grows(x, t, n):
    """Linear after one trip, not after two."""
    a, b = 0.0, t
    for _ in range(n):
        a, b = a + b * x, a * t
    return a


def late_exit(x, t, n):
    s = t
    while x > 1.0:
        x = x / 2.0
        s = s + t
        if x < 1.5:
            return s * x
    return s


def exit_by_direction(x, t, n):
    s = t
    while s < 1.0 and n > 0:
        s = s + t
        n = n - 1
    return s


def branch(x, t, n):
    return t * x if x > 0.0 else -t


def branch_with_constant(x, t, n):
    return t * x if x < 0.0 else 1.0


def branch_by_direction(x, t, n):
    return t * 2.0 if t > 0.0 else t


def recursion(x, t, n):
    return t if n == 0 else recursion(x, t, n - 1) * x + t


def recursion_not(x, t, n):
    return t if n == 0 else recursion_not(x, t, n - 1) * t


def mutual(x, t, n):
    return t if n == 0 else mutual_other(x, t, n - 1)


def mutual_other(x, t, n):
    return mutual(x, t, n) * t


def mutual_linear(x, t, n):
    return t if n == 0 else mutual_linear_other(x, t, n - 1) + t


def mutual_linear_other(x, t, n):
    return mutual_linear(x, t, n) * x


def arrays(x, t, n):
    a = np.zeros(4)
    for k in range(n):
        a[k] = t * x
    a[1:3] += a[:2] * 2.0
    return (
        (a.reshape(2, 2) @ np.ones((2, 2))).T.sum() + np.where(x > 0.0, a, -a).cumsum()[2] + np.concatenate([a, a])[5]
    )


def arrays_affine(x, t, n):
    a = np.ones(4)
    a[n] = t
    return a.sum()


def arrays_squared(x, t, n):
    a = np.full(3, t)
    return a @ a


def an_index(x, t, n):
    return np.arange(4.0)[int(t)]


def a_derivative(x, t, n):
    """By a pullback of a loop, which pushes and pops."""

    def f(y):
        s = y
        for _ in range(n):
            s = math.sin(s) * y
        return s

    return vjp(f, x)[1](t)[0] + jvp(f, (x,), (t,))[1] + grad(f)(x) * t


def the_larger(x, t, n):
    return max(t, 0.0)


def the_size(x, t, n):
    return abs(t)


def stopped_sign(x, t, n):
    return np.sign(t)


def quotient(x, t, n):
    return t / (x + 1.0)


def inverse(x, t, n):
    return x / (t + 3.0)


def structures(x, t, n):
    pair = {"a": t * x, "b": (t, n)}
    for _ in range(n):
        pair = {"a": pair["b"][0] * 2.0, "b": (pair["a"], pair["b"][1] + 1)}
    return pair["a"] * pair["b"][1]


def maybe(x, t, n):
    """A value of several shapes, whose tag is fixed."""
    y = None
    if x > 0.0:
        y = t * x
    return 0.0 * t if y is None else y + t


def unrolled_zero(x, t, n):
    return 0.0 * math.exp(x) * t + t


LINEAR = [trips, late_exit, branch, recursion, mutual_linear, arrays, a_derivative, quotient, structures, maybe]
LINEAR += [unrolled_zero]
NOT = [trips_affine, products_in_a_loop, a_power_that_grows, exit_by_direction, branch_with_constant]
NOT += [branch_by_direction, recursion_not, mutual, arrays_affine, arrays_squared, an_index, the_larger, the_size]
NOT += [stopped_sign, inverse]


def is_linear(f) -> bool:
    """As a rule of its own: reverse mode asks whether it may transpose it."""
    ours = custom_derivative(lambda x, n: x * 1.0)
    ours.defjvp(lambda primals, tangents: (primals[0] * 1.0, f(primals[0], tangents[0], primals[1])))
    try:
        got = grad(ours)(1.7, 3)
    except MyiaTypeError as error:
        assert "not linear in its tangents" in str(error)
        return False
    assert got == pytest.approx(f(1.7, 1.0, 3))
    return True


@pytest.mark.parametrize("f", LINEAR)
def test_linear_programs(f):
    assert is_linear(f)
    for t, u in ((0.3, -0.8), (1e3, 7.0)):
        assert f(1.7, 2.0 * t - 3.0 * u, 3) == pytest.approx(2.0 * f(1.7, t, 3) - 3.0 * f(1.7, u, 3))


@pytest.mark.parametrize("f", NOT)
def test_other_programs(f):
    assert not is_linear(f)
    both = [
        (f(1.7, 2.0 * t - 3.0 * u, 3), 2.0 * f(1.7, t, 3) - 3.0 * f(1.7, u, 3)) for t, u in ((1.3, 0.4), (2.0, 1.9))
    ]
    assert any(a != pytest.approx(b) for a, b in both), "a linear program in the wrong list"


def test_the_graph_itself_before_it_is_simplified():
    for f, linear in (*((f, True) for f in LINEAR), *((f, False) for f in NOT)):
        if f is a_derivative:
            continue  # its derivatives are expanded first
        g = infer(f, tuple(map(abstract, (1.7, 0.3, 3))), parse_function).graph
        assert compile(g)([1.7, 0.3, 3])[0] == pytest.approx(f(1.7, 0.3, 3))
        assert (Linearity().result(g, {g.params[1]}, 0) is None) == linear, f.__name__


def test_linear_together():
    """A sum is so in two arguments, a product in each."""
    for f, wrt, linear in [
        (lambda a, b: a + b, (0, 1), True),
        (lambda a, b: a * b, (0, 1), False),
        (lambda a, b: a * b, (0,), True),
        (lambda a, b: a + b, (0,), False),
    ]:
        g = infer(f, (abstract(1.0), abstract(2.0)), parse_function).graph
        assert (Linearity().result(g, {g.params[k] for k in wrt}, 0) is None) == linear
