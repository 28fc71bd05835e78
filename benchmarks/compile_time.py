"""How long the first call of a small gradient takes."""

import math

from myia_lite import grad, myia

from .harness import Row, benchmark, check_equal, first_call


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
