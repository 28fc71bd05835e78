"""How long the first call of a gradient takes: of small functions, and of large ones."""

import importlib.util
import math
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from myia_lite import grad, myia

from .harness import Row, benchmark, check_direction, check_equal, first_call, seconds_of


def cube(x):
    """Straight-line code."""
    return x**3


def loop(x, n):
    """A scalar loop with a branch."""
    y = x
    for i in range(n):
        if y > 2.0:
            y = y * 0.5
        y = math.sin(y) * x + y + i
    return y


def plain_loop(x, a, n):
    """A scalar loop."""
    for _ in range(n):
        x = math.sin(x) * a + x
    return x


STATEMENTS = ("a = m.sin(a) * b + c", "b = b * c - a", "c = (a + b) * 0.5 + c")  # of three operations each
BRANCH = ("if a < b:", "    a = a * 0.5 + c", "else:", "    b = b * 0.5 + a")  # of five


@contextmanager
def program(body: list[str], result: str = "a + b + c"):
    """The function of a, b, c with this body, from a file: functions are compiled from their source."""
    lines = ["import math", "import numpy", "", "def f(a, b, c, m=math):", *body, f"    return {result}", ""]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.py"
        path.write_text("\n".join(lines))
        spec = importlib.util.spec_from_file_location(f"{__name__}.generated", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module.f


def straight(operations: int, indent: str = "    ") -> list[str]:
    """Lines of straight code."""
    return [indent + STATEMENTS[k % 3] for k in range(operations // 3)]


def large(operations: int) -> dict:
    """Functions of that many operations: (body, result, arguments)."""
    numbers = 0.3, 0.2, 0.1
    arrays = [line.replace("m.", "numpy.") for line in straight(operations)]
    branches = ["    " + line for _ in range(operations // 5) for line in BRANCH]
    return {
        "straight scalar code": (straight(operations), "a + b + c", numbers),
        "a loop body": (["    for _ in range(10):", *straight(operations, " " * 8)], "a + b + c", numbers),
        "a chain of branches": (branches, "a + b + c", numbers),
        "straight array code": (arrays, "numpy.sum(a + b + c)", tuple(np.full(100, x) for x in numbers)),
    }


def seconds(body, result, arguments) -> float:
    """The first call of the gradient by three arguments, which must be right."""
    with program(body, result) as f:
        gradient, found = grad(myia(f), (0, 1, 2)), []
        taken = seconds_of(lambda: found.extend(gradient(*arguments)))
        check_direction(f, dict(enumerate(found)), arguments, step=1e-7, rtol=1e-3)
    return taken


@benchmark
def run():
    """Three scalar functions, from source to the first result of the gradient."""
    check_equal(grad(myia(cube))(3.0), 27.0, what="the cube's slope")
    yield Row("compile: gradient of x**3", first_call(lambda: lambda: grad(myia(cube))(3.0)), target=0.3)
    step, h = 0.3, 1e-6
    difference = (loop(step + h, 9) - loop(step - h, 9)) / (2 * h)
    check_equal(grad(myia(loop))(step, 9), difference, rtol=1e-6, what="the loop's slope and a difference quotient")
    compiling = first_call(lambda: lambda: grad(myia(plain_loop))(0.5, 0.1, 10))
    yield Row("compile: gradient of a scalar loop", compiling, target=0.3)
    compiling = first_call(lambda: lambda: grad(myia(loop))(step, 9))
    yield Row("compile: gradient of a scalar loop with a branch", compiling, target=0.3)
    for name, case in large(1000).items():
        yield Row(f"compile: gradient of 1,000 operations, {name}", seconds(*case), target=2.0)
    for name in ("straight scalar code", "a loop body", "a chain of branches"):
        yield Row(f"compile: gradient of 10,000 operations, {name}", seconds(*large(10_000)[name]), target=20.0)
