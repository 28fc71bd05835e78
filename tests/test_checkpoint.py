"""`checkpoint`: the derivatives of the plain program, little memory, and nothing shared with what runs again."""

import ast
import copy
import functools
import math
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from generator import programs
from hypothesis import assume, given, note, settings
from test_random_programs import GENERIC, arguments, load, outcome

import myia_lite
from myia_lite import (
    MyiaError,
    MyiaValueError,
    checkpoint,
    custom_derivative,
    grad,
    hessian,
    hvp,
    jvp,
    myia,
    stop_gradient,
    vjp,
)

pytestmark = pytest.mark.filterwarnings("ignore:.* was made and compiled")  # that is what these tests do
LEVELS = {"2 levels": 2, "3 levels": 3, "halves": None}


def plain(x, levels=2):
    return x


# ---- functions -------------------------------------------------------------------------------------------------------
def test_a_function_of_structures_with_captures():
    def program(keep, x, a):
        y = x * a

        def inner(t, p):
            return {"u": t * y * p[0], "v": (p[1] * t).sum()}

        r = keep(inner)(x, (a, np.array([1.0, 2.0]) * a))
        return r["u"] * r["v"]

    def kept(x, a):
        return program(checkpoint, x, a)

    def bare(x, a):
        return program(plain, x, a)

    assert kept(1.2, 0.7) == bare(1.2, 0.7)
    assert grad(kept, (0, 1))(1.2, 0.7) == grad(bare, (0, 1))(1.2, 0.7)
    np.testing.assert_allclose(hessian(kept, (0, 1))(1.2, 0.7), hessian(bare, (0, 1))(1.2, 0.7), rtol=1e-13)
    assert jvp(kept, (1.2, 0.7), (1.0, 0.5)) == jvp(bare, (1.2, 0.7), (1.0, 0.5))


def test_a_checkpointed_function_is_one_outside():
    @checkpoint
    def f(x, n=2):
        """Says what it does."""
        return x**n

    assert f.__name__ == "f" and f.__doc__ == "Says what it does."
    assert f(3.0) == 9.0 and f(3.0, n=3) == 27.0
    assert myia(f)(3.0, n=3) == 27.0
    assert grad(f)(3.0) == 6.0 and grad(f)(3.0, n=3) == 27.0
    assert vjp(f, 3.0)[1](1.0) == (6.0,)


def test_a_decorated_function_calls_itself():
    @checkpoint
    def deep(n, x):
        return x if n == 0 else deep(n - 1, math.sin(x) * 1.5)

    def bare(n, x):
        return x if n == 0 else bare(n - 1, math.sin(x) * 1.5)

    assert grad(deep, 1)(9, 0.3) == grad(bare, 1)(9, 0.3)
    assert math.isclose(grad(grad(deep, 1), 1)(9, 0.3), grad(grad(bare, 1), 1)(9, 0.3), rel_tol=1e-12)


@dataclass(frozen=True)
class Layer:
    w: np.ndarray
    b: np.ndarray

    @checkpoint
    def __call__(self, x):
        return np.tanh(self.w @ x + self.b)

    def bare(self, x):
        return np.tanh(self.w @ x + self.b)


def test_layers_of_a_network():
    def kept(layers, x):
        for layer in layers:
            x = layer(x)
        return (x * x).sum()

    def bare(layers, x):
        for layer in layers:
            x = layer.bare(x)
        return (x * x).sum()

    rng = np.random.default_rng(0)
    layers, x = [Layer(rng.normal(size=(3, 3)), rng.normal(size=3)) for _ in range(3)], rng.normal(size=3)
    for one, other in zip(grad(kept)(layers, x), grad(bare)(layers, x), strict=True):
        np.testing.assert_array_equal(one.w, other.w)
        np.testing.assert_array_equal(one.b, other.b)
    np.testing.assert_allclose(
        hvp(lambda x: kept(layers, x), (x,), (x,)), hvp(lambda x: bare(layers, x), (x,), (x,)), rtol=1e-11
    )


def test_a_gradient_inside_and_outside():
    def slope(x):
        return checkpoint(grad(lambda t: t**3 * x))(x)

    assert (slope(2.0), grad(slope)(2.0), grad(grad(slope))(2.0)) == (24.0, 36.0, 36.0)


def test_what_is_stopped_stays_so():
    assert grad(checkpoint(lambda x: x * stop_gradient(x)))(3.0) == 3.0


def test_the_function_runs_again():
    """In the optimised gradient exp stands twice: in the forward pass, and in a graph of its own."""

    def f(x):
        y = math.exp(x)
        return y * y

    def kept(x):
        return math.sin(checkpoint(f)(x))

    def bare(x):
        return math.sin(f(x))

    kept_ir, bare_ir = grad(kept).ir(1.0), grad(bare).ir(1.0)
    assert bare_ir.count("= exp(") == 1
    assert kept_ir.count("= exp(") == 2
    assert kept_ir.index("graph @∂f") < kept_ir.rindex("= exp(")
    assert len(re.findall("call.checkpoint='again'.", kept_ir)) == 1


# ---- loops -----------------------------------------------------------------------------------------------------------
def every_exit(keep, x, n):
    s = x
    for i in keep(range(n)):
        s = s + 0.1 * math.sin(s * x)
        if s > 2.0:
            return s * s
        if i == 30:
            s = s * x
            break
        if i % 3 == 0:
            continue
        s = s * 1.01
    else:
        s = -s
    return s


def unbounded(keep, x, n):
    s, k = x, 0
    while keep(k < n):
        s = s + 0.1 * math.sin(s * x)
        k += 1
        if s > 9.0:
            break
    return s


def in_place(keep, x, n):
    a = np.zeros(3)
    s = 0.0
    for i in keep(range(n)):
        a[i % 3] = a[(i + 1) % 3] * 0.5 + x * math.sin(s + x)
        s = s + a[i % 3] + x
    return s + a.sum()


def nested(keep, x, n):
    s = 0.0
    for i in keep(range(n)):
        t = x
        for _ in keep(range(3)):
            t = t + math.sin(t * i) * 0.1
        s = s + t * t
    return s


def until_it_settles(keep, x, n):
    y = 1.0 + n
    while True:
        y = 0.5 * (y + x / y)
        if keep(abs(y * y - x) < 1e-12):
            return y


def over_rows(keep, x, n):
    s = x
    for k, row in enumerate(keep(np.arange(2.0 * n).reshape(n, 2))):
        s = math.sin(s + row[0] * k * x) - row[1]
    return s


def first_trip_apart(keep, x, n):
    s, y, k = x, None, 0
    while keep(k < n):
        s = s * x if y is None else s * y + x
        y = math.sin(s)
        k += 1
    return s


LOOPS = [every_exit, unbounded, in_place, nested, until_it_settles, over_rows, first_trip_apart]


def pair(loop, levels):
    """The loop with checkpoints, and without."""

    def kept(x, n):
        return loop(lambda v: checkpoint(v, levels=levels), x, n)

    def bare(x, n):
        return loop(plain, x, n)

    return kept, bare


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_loop(loop, levels):
    """The same operations, to the last bit; native code may take some of them several at once, in other code."""
    kept, _ = pair(loop, levels)
    first, native, expected = grad(myia(kept, backend="interp")), grad(kept), gradient_without(loop)
    for n in (0, 1, 5, 23, 60):
        for x in (0.7, 1.3):
            assert first(x, n) == expected(x, n), (x, n)
            assert math.isclose(native(x, n), expected(x, n), rel_tol=1e-13), (x, n)


@functools.cache
def gradient_without(loop):
    """The gradient without checkpoints, on the interpreter: compiled once for all levels."""
    return grad(myia(pair(loop, None)[1], backend="interp"))


@pytest.mark.parametrize("loop", LOOPS, ids=lambda f: f.__name__)
def test_value_and_forward_mode(loop):
    """They save nothing, so a checkpoint changes nothing, whatever its levels."""
    kept, bare = pair(loop, 2)
    for n in (0, 1, 60):
        assert kept(0.7, n) == bare(0.7, n)
    assert myia(kept)(0.7, 23) == myia(bare)(0.7, 23)
    assert jvp(kept, (0.7, 23), (1.0, None))[1] == jvp(bare, (0.7, 23), (1.0, None))[1]


@pytest.mark.parametrize("levels", [2, None])
@pytest.mark.parametrize("loop", [every_exit, unbounded, in_place], ids=lambda f: f.__name__)
def test_second_order(loop, levels):
    kept, bare = pair(loop, levels)
    for n in (1, 23):
        expected = grad(grad(bare))(0.7, n)
        assert math.isclose(grad(grad(kept))(0.7, n), expected, rel_tol=1e-9)
        assert math.isclose(hvp(lambda x, n=n: kept(x, n), (0.7,), (1.0,)), expected, rel_tol=1e-9)


def test_third_order():
    def kept(x):
        return unbounded(checkpoint, x, 12)

    def bare(x):
        return unbounded(plain, x, 12)

    expected = grad(grad(grad(bare)))(0.7)
    assert math.isclose(grad(grad(grad(kept)))(0.7), expected, rel_tol=1e-9)
    assert math.isclose(grad(lambda x: hvp(kept, (x,), (1.0,)))(0.7), expected, rel_tol=1e-9)


def test_arrays_as_state():
    def program(keep, x, n):
        s = x
        for i in keep(range(n)):
            s = np.tanh(s * x + 0.1 * i)
        return (s * s).sum()

    x = np.array([0.3, 0.2, 0.5])
    kept, bare = (grad(lambda x, n, k=k: program(k, x, n)) for k in (checkpoint, plain))
    for n in (0, 1, 17):
        np.testing.assert_array_equal(kept(x, n), bare(x, n))


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_an_array_from_outside_that_each_trip_starts_with(levels):
    def program(keep, x, n, m):
        s = 0.0
        for i in keep(range(n)):
            t = x
            for _ in range(m):
                t = np.sin(t * 1.1) + i
            s = s + t.sum() * 0.3
        return s

    x = np.linspace(0.1, 1.0, 7)
    kept = grad(lambda x, n, m: program(lambda v: checkpoint(v, levels=levels), x, n, m))
    bare = grad(lambda x, n, m: program(plain, x, n, m))
    np.testing.assert_array_equal(kept(x, 40, 5), bare(x, 40, 5))


def test_beside_rules_of_the_user():
    @custom_derivative
    def softplus(x):
        return math.log(1.0 + math.exp(x))

    @softplus.defjvp
    def rule(primals, tangents):
        (x,), (x_dot,) = primals, tangents
        return softplus(x), x_dot / (1.0 + math.exp(-x))

    def program(keep, x):
        s = x
        for _ in keep(range(9)):
            s = softplus(s * x) + keep(softplus)(s)
        return s

    kept, bare = (lambda x: program(checkpoint, x)), (lambda x: program(plain, x))
    assert grad(kept)(0.4) == grad(bare)(0.4)
    assert math.isclose(hvp(kept, (0.4,), (1.0,)), hvp(bare, (0.4,), (1.0,)), rel_tol=1e-12)


def test_complex_state():
    def program(keep, x):
        z, n = 0j, 0
        while keep(abs(z) < 2.0):
            z = z * z + complex(x, 0.3)
            n += 1
            if n > 20:
                break
        return abs(z)

    assert grad(lambda x: program(checkpoint, x))(0.4) == grad(lambda x: program(plain, x))(0.4)


def test_a_checkpoint_crosses_a_call():
    def walk(xs, x):
        for i in xs:
            x = x * math.cos(x + i)
        return x

    def kept(x):
        return walk(checkpoint(range(11), levels=3), x)

    assert "checkpoint=3" in grad(kept).ir(0.5, stage="infer")
    assert grad(kept)(0.5) == grad(lambda x: walk(range(11), x))(0.5)


def test_an_error_of_a_chunk():
    def f(x):
        for k in checkpoint(range(40)):
            x = x + 1.0
            if x > 30.0:
                raise ValueError(f"trip {k}")
        return x

    assert grad(f)(-20.0) == 1.0
    with pytest.raises(ValueError, match="trip 25"):
        grad(f)(4.5)


def test_levels():
    assert checkpoint(range(5)) == range(5) and checkpoint(True) is True
    for wrong in (0, -1, 1.5, True, "log"):
        with pytest.raises(MyiaValueError, match="levels"):
            checkpoint(range(5), levels=wrong)


@pytest.mark.parametrize(
    "program, words",
    [
        (lambda x: x if checkpoint(x > 0) else -x, "head of a while loop"),
        (lambda x: checkpoint(math.sin, levels=3)(x), "levels are those of a loop"),
        (lambda x: sum(checkpoint((x, x), levels=0)), "levels is a positive int"),
        (lambda x: checkpoint(f=math.sin)(x), "unexpected argument 'f'"),
    ],
)
def test_refused(program, words):
    with pytest.raises(MyiaError, match=words):
        myia(program)(1.0)


# ---- random programs -------------------------------------------------------------------------------------------------
class Marks(ast.NodeTransformer):
    """A program with a checkpoint on each of its loops."""

    def call(self, x):
        return ast.Call(ast.Name("checkpoint", ast.Load()), [x], [])

    def visit_For(self, node):
        self.generic_visit(node)
        node.iter = self.call(node.iter)
        return node

    def visit_While(self, node):
        self.generic_visit(node)
        node.test = self.call(node.test)
        return node


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpointed")


@settings(max_examples=8)
@given(source=programs(), args=arguments(GENERIC))
def test_random_program(folder, source, args):
    marked = ast.unparse(ast.fix_missing_locations(Marks().visit(ast.parse(source))))
    assume("checkpoint" in marked)
    note(marked)
    f, g = load(source, folder), load("from myia_lite import checkpoint\n" + marked, folder)
    value = outcome(f, args)
    assume(not isinstance(value, type) and np.isfinite(value))
    wrt = ("x", "y", "a")
    expected, actual = (outcome(grad(h, argnums=wrt), copy.deepcopy(args)) for h in (f, g))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-300)


# ---- memory ----------------------------------------------------------------------------------------------------------
MEMORY = """
    import sys
    import numpy as np
    from myia_lite import checkpoint, grad, hvp

    def kept(x, n):
        s, k = x, 0
        while checkpoint(k < n, levels=LEVELS):
            s = np.sin(s) * x + 0.1
            k += 1
        return s.sum()

    def counted(x, n):
        s = x
        for _ in checkpoint(range(n), levels=LEVELS):
            s = np.sin(s) * x + 0.1
        return s.sum()

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

    def second(x, n):
        return hvp(lambda x: counted(x, n), (x,), (x,))

    x = np.linspace(0.0, 1.0, 16384)  # 128 KiB
    for f in (grad(kept), grad(counted), second):
        f(x, 3)
        before = peak()
        f(x, 1600)
        print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory of a process from /proc")
@pytest.mark.parametrize("levels, most", [(2, 40), (3, 16), (None, 12)])
def test_memory(levels, most, tmp_path):
    """1600 trips of 128 KiB save 400 MiB without a checkpoint (the state and its sine); of the second order, more."""
    script = tmp_path / "memory.py"
    script.write_text(textwrap.dedent(MEMORY).replace("LEVELS", str(levels)))
    env = {"PYTHONPATH": str(Path(myia_lite.__file__).parents[1]), "PATH": ""}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    while_, for_, second = map(float, done.stdout.split())
    assert while_ < most and for_ < most, done.stdout
    assert second < 3 * most, done.stdout
