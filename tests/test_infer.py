"""Inference: programs answer as Python does on the reference back end; what aliasing forbids is refused."""

import copy
import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np
import pytest
from infer_programs import PROGRAMS, G, P

from myia_lite import ir
from myia_lite.backends.interp import compile as interpret
from myia_lite.infer import abstract, infer, leaves, rebuild
from myia_lite.ops import control
from myia_lite.parser import parse_function


def inferred(f, *args, **options):
    program = infer(f, tuple(map(abstract, args)), parse_function, **options)
    ir.verify(program.graph)
    return program


def run(f, *args):
    program = inferred(f, *args)
    flat = [leaf for a, t in zip(args, program.arguments, strict=True) for leaf in leaves(a, t)]
    return rebuild(program.result, interpret(program.graph)([*flat, *program.captured]))


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.allclose(a, b, equal_nan=True)
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (float, np.floating)):
        return bool(np.isclose(a, b, equal_nan=True))
    return a == b


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p[0].__name__)
def test_as_python(program):
    f, *args = program
    try:
        want = f(*copy.deepcopy(args))
    except Exception as error:  # whatever Python raises, the program must raise too
        with pytest.raises(type(error)) as found:
            run(f, *args)
        assert str(error) in str(found.value)
    else:
        assert same(want, run(f, *args))


# ---- the walk --------------------------------------------------------------------------------------------------------
def nodes_of(program, name):
    return [n for g in ir.reachable(program.graph) for h in g.nested() for n in h.nodes if n.op.name == name]


def test_a_known_condition_takes_its_branch():
    def f(x, mode):
        return x if mode == "a" else math.sin(x)

    assert not nodes_of(inferred(f, 1.0, "a"), "switch")
    assert not nodes_of(inferred(f, 1.0, "a"), "sin")


def test_a_function_is_compiled_once_for_all_floats():
    def g(x, y):
        return x * y

    def f(x):
        return g(x, 0.5) + g(x, 0.25) + g(x, 2)

    names = [g.name for g in ir.reachable(inferred(f, 1.0).graph)]
    assert len(names) == 3  # f, g of a float, g of the int 2


def test_a_loop_over_unlike_items_is_unrolled():
    def f(x):
        for i, w in enumerate((np.ones((3, 2)), np.ones((4, 3)))):
            x = w @ x + i
        return x

    program = inferred(f, np.ones(2))
    assert not nodes_of(program, "loop")
    assert str(program.result) == "f64[4]"


def test_captured_arrays_are_parameters_and_numbers_are_dependencies():
    k = 2.5

    def f(x):
        return (G * x).sum() * k

    program = inferred(f, 1.0)
    assert program.captured[0] is G
    assert [p.type for p in program.graph.params] == [ir.F64, ir.Array("f64", (4,))]
    assert any(d.name == "k" and d.current() == d.value == 2.5 for d in program.dependencies)


def test_recursion_whose_arguments_grow_is_refused():
    def f(t):
        return f((t, 1.0))

    with pytest.raises(ir.MyiaRecursionError, match="nest without end"):
        inferred(f, 1.0)


def test_a_loop_whose_state_grows_is_refused():
    def g(x, n):
        t = ()
        for _ in range(n):
            t = (t, x)
        return t

    with pytest.raises(ir.MyiaTypeError, match="t changes in every trip"):
        inferred(g, 1.0, 3)


# ---- grad in compiled code -------------------------------------------------------------------------------------------
class Transform:
    def __init__(self, kind):
        self.__myia_transform__ = kind


grad, value_and_grad = Transform("grad"), Transform("value_and_grad")


class Layer(NamedTuple):
    w: object
    b: float
    name: str = "layer"
    extra: object = None


def shape_of_result(f, *args):
    program = inferred(f, *args)
    assert nodes_of(program, "grad")
    return str(program.result)


def test_gradients_have_the_structure_of_the_argument():
    def loss(layer, x, scale=1.0):
        return (layer.w * x).sum() * scale + layer.b

    args = Layer(np.ones(3), 1.0), np.ones(3)
    assert shape_of_result(lambda p, x: grad(loss)(p, x), *args) == "Layer(f64[3], float, None, None)"
    assert shape_of_result(lambda p, x: value_and_grad(loss)(p, x), *args) == (
        "tuple(f64, Layer(f64[3], float, None, None))"
    )
    assert shape_of_result(lambda p, x: grad(loss, argnums=(0, -1))(p, x, 2.0), *args) == (
        "tuple(Layer(f64[3], float, None, None), float)"
    )
    assert shape_of_result(lambda p, x: grad(loss, "scale")(p, x, scale=3.0), *args) == "float"


@pytest.mark.parametrize(
    "f",
    [
        lambda x: grad(grad(lambda v: v * v * v))(x),
        lambda x: grad(math.sin)(x),
        lambda x: grad(functools.partial(lambda b, a: a * b, 2.0))(x),
        lambda x: grad(lambda a: 1.0)(x),
        lambda x: grad(lambda a, b: (a * b, {"aux": b}), has_aux=True)(x, 2.0)[0],
        lambda x: grad(lambda v: P(v).scaled(x).w)(x),
    ],
)
def test_what_can_be_differentiated(f):
    assert shape_of_result(f, 2.0) == "float"


def test_the_gradient_of_a_0d_array_is_one():
    assert inferred(lambda a: grad(lambda v: v * v)(a), np.array(2.0)).result.zero_d


def test_grad_names_the_leaves_to_be_differentiated():
    program = inferred(lambda p, k: grad(lambda q, n: q[0] * n + q[2])(p, k), (1.0, 2, 3.0), 4)
    (node,) = nodes_of(program, "grad")
    assert node.attrs["wrt"] == (0, 2)
    assert node.op is control.grad


@pytest.mark.parametrize(
    "f, arg, message",
    [
        (lambda n: grad(lambda a: a * 1.0)(n), 3, "the argument a is int"),
        (lambda x: grad(lambda a: a * 2)(x), np.ones(3), "must return one float"),
        (lambda x: grad(lambda a: (a, a))(x), 1.0, "must return one float"),
        (lambda x: grad(lambda a: 3)(x), 1.0, "must return one float, and it returns int"),
        (lambda x: grad(lambda a: a)(x, 3), 1.0, "takes 1 positional argument but 2 were given"),
        (lambda x: grad(lambda a, b: a, argnums="c")(x, x), 1.0, "no parameter 'c'"),
        (lambda x: grad(lambda a, b: a, argnums=5)(x, x), 1.0, "argnums is 5"),
    ],
)
def test_what_grad_refuses(f, arg, message):
    with pytest.raises(ir.MyiaTypeError, match=message) as error:
        inferred(f, arg)
    assert error.value.span and error.value.remedy


# ---- aliasing --------------------------------------------------------------------------------------------------------
def argument(a):
    a[0] = 1.0
    return a


def augmented_argument(a):
    a += 1.0
    return a


def other_name(a):
    a = a * 2
    b = a
    a[0] = 1.0
    return a + b


def through_a_view(a):
    a = a * 2
    v = a[1:]
    v[0] = 1.0
    return a


def view_of_what_was_written(a):
    a = a * 2
    v = a[1:]
    a[0] = 1.0
    return v.sum()


def in_a_tuple(a):
    a = a * 2
    t = (a, 1)
    a[0] = 1.0
    return t[0]


def in_a_loop(a):
    a = a * 2
    b = a
    s = 0.0
    for i in range(3):
        s += b[0]
        a[0] = i
    return s + a[0]


def captured(a):
    b = G
    b[0] = 1.0
    return b


def identity(a):
    return a


def returned(a):
    a = a * 2
    b = identity(a)
    b[0] = 1.0
    return a


def either(a, c=True):
    a = a * 2
    b = a * 3
    if a[0] > 0:
        b = a
    b[0] = 1.0
    return a


def a_row(a):
    b = np.zeros((2, 3))
    for r in b:
        r[0] = 1.0
    return b


def an_argument_of_a_function(a):
    return argument(a * 2)


def a_list(a):
    xs = [1.0, 2.0]
    xs[0] = a[0]
    return xs


def a_copy_by_index(a):
    b = np.zeros((3, 3))
    b[np.array([0, 1])][0] = 1.0
    return b


def a_row_under_two_names(a):
    rows = [np.zeros(3), np.ones(3)]
    first = rows[0]
    rows[0][1] = 2.0
    return first, rows


@pytest.mark.parametrize(
    "f",
    [
        a_row_under_two_names,
        argument,
        augmented_argument,
        other_name,
        through_a_view,
        view_of_what_was_written,
        in_a_tuple,
        in_a_loop,
        captured,
        returned,
        either,
        a_row,
        an_argument_of_a_function,
        a_list,
        a_copy_by_index,
    ],
    ids=lambda f: f.__name__,
)
def test_writes_that_would_be_seen_are_refused(f):
    with pytest.raises(ir.MyiaTypeError) as error:
        inferred(f, np.ones(3))
    assert error.value.span and error.value.remedy


def test_the_error_names_the_line_of_the_write():
    with pytest.raises(ir.MyiaTypeError, match=rf"line {other_name.__code__.co_firstlineno + 3}\)"):
        inferred(other_name, np.ones(3))


# ---- the boundary ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value",
    [
        1.5,
        True,
        7,
        None,
        "text",
        np.float32(2.5),
        np.array(1.5),
        np.arange(6).reshape(2, 3),
        (1, [2.0, {"a": np.ones(2), "b": None}]),
        Layer(np.ones(2), 1.0),
        P(1.0),
        range(3),
    ],
    ids=repr,
)
def test_there_and_back(value):
    t = abstract(value)
    assert t == abstract(copy.deepcopy(value))
    assert hash(t) == hash(abstract(copy.deepcopy(value)))
    assert same(rebuild(t, leaves(value, t)), value)


@pytest.mark.parametrize(
    "value, error",
    [
        (2**63, OverflowError),
        (np.clongdouble(1j), TypeError),
        (np.array([None]), TypeError),
        (np.zeros(2, np.clongdouble), TypeError),
        (np.float16(1), TypeError),
        (np.zeros(2, np.uint8), TypeError),
        (np.array(["a"]), TypeError),
        ({1: 2.0}, TypeError),
        ({1, 2}, TypeError),
    ],
    ids=repr,
)
def test_what_cannot_be_passed(value, error):
    with pytest.raises(error) as found:
        abstract(value)
    assert isinstance(found.value, ir.MyiaError) and found.value.remedy


def test_a_loop_writes_to_what_was_made_before_it():
    """Found by random programs: the storage of `b` must be known to be older than the loop."""

    def f(x):
        b = np.arange(4.0) * x
        c = b
        a = b
        for _ in range(3):
            x = b[0]
            a = b
            a[1:3] = b[0:2]
        return c + 0, a, x

    with pytest.raises(ir.MyiaTypeError, match="shares memory"):
        inferred(f, 1.0)


def test_what_the_first_trip_makes_of_a_variable_goes_before_the_loop():
    def best(xs, n):
        found = None
        for i in range(n):
            if found is None or xs[i] > found:
                found = xs[i]
        return -1.0 if found is None else found

    program = inferred(best, np.ones(3), 3)
    (loop,) = nodes_of(program, "loop")
    assert not any(isinstance(p.type, ir.Sum) for p in loop.graphs[0].params)
    for n in (0, 1, 3):
        assert run(best, np.array([1.0, 3.0, 2.0]), n) == best(np.array([1.0, 3.0, 2.0]), n)


def test_an_error_in_a_later_trip_is_an_error_before_anything_runs():
    def f(x):
        for v in (1.0, "text"):
            if x > 10:
                return x
            x = x + v
        return x

    with pytest.raises(ir.MyiaTypeError, match="unsupported operand"):
        inferred(f, 1.0)
