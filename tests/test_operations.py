"""What derivatives cost in the optimised program: operations of gradients and products, nodes of higher orders.

`python tests/test_operations.py` writes both tables anew, for what has become smaller (or for what had to grow).
"""

from pathlib import Path

import numpy as np
import pytest
from operations import operations, straight_line
from programs import PROGRAMS
from test_modes import random_tangent
from test_node_counts import nodes
from test_programs import loss_of, plain

from myia_lite import grad, jvp, myia

GOLDEN = Path(__file__).parent / "golden"
COUNTED, SIZES = GOLDEN / "operations.txt", GOLDEN / "derivative_sizes.txt"
GRADIENT, PRODUCT = 4.0, 3.0

STRAIGHT_LINE = """two_layer_network softmax_cross_entropy log_sum_exp_rows standardise quadratic_form squared_distance
    matmul_matrices matmul_batched broadcasting max_axis clip_gradient determinant_by_recursion dataclass_methods
    matrix_of_scalars sum_axes mean_all_and_axis array_operators array_with_scalar callable_record np_tanh np_arcsin
    transport_distance sort_by_another quantile_by_both generator_expressions prod_axis_with_zeros
    array_power""".split()
LOOPS = """runge_kutta simpson logistic_map pairwise_energy horner_of_array gaussian_elimination continued_fraction
    matrix_power_loop convolution for_loop""".split()
DEARER = {  # why these cost more than the bounds
    "prod_axis_with_zeros": "the product of the other elements, without a division, is two scans of two operations",
    "quadratic_form": "small arrays by their elements, of which the value shares half; the gradient returns an array",
    "array_power": "one operation, whose derivative has a logarithm, another power, and a choice at 0 for each",
}


def counts(program) -> list[int]:
    """Operations of the function, of its gradient, and of the product of its Hessian with a vector."""
    case, wrt = program.cases[0], program.wrt
    loss = loss_of(program.fn, plain(program.fn, case))
    gradient = grad(loss, argnums=wrt)

    def product(args, tangents):
        return jvp(gradient, args, tangents)[1]

    rng = np.random.default_rng(0)
    dots = tuple(random_tangent(x, rng) if k in wrt else None for k, x in enumerate(case))
    return [operations(myia(loss), *case), operations(gradient, *case), operations(myia(product), case, dots)]


def table(path) -> dict[str, list[int]]:
    rows = [line.split() for line in path.read_text().splitlines() if line and line[0] != "#"] if path.exists() else []
    return {name: list(map(int, numbers)) for name, *numbers in rows}


def test_the_table_is_whole():
    assert set(table(COUNTED)) == {*STRAIGHT_LINE, *LOOPS} and len(STRAIGHT_LINE) >= 15 and set(DEARER) < set(PROGRAMS)


@pytest.mark.parametrize("name", STRAIGHT_LINE)
def test_straight_lines_are_straight(name):
    program = PROGRAMS[name]
    case = program.cases[0]
    assert straight_line(myia(loss_of(program.fn, plain(program.fn, case))), *case)


@pytest.mark.parametrize("name", [*STRAIGHT_LINE, *LOOPS])
def test_operations(name):
    """No more than recorded; a gradient is 4 evaluations at most, a Hessian-vector product 3 gradients."""
    value, gradient, product = now = counts(PROGRAMS[name])
    expected = table(COUNTED)[name]
    assert all(a <= b for a, b in zip(now, expected, strict=True)), (
        f"{name} takes {now} operations, and took {expected}"
    )
    within = gradient <= GRADIENT * value and product <= PRODUCT * gradient
    assert within != (name in DEARER), f"{name} takes {now} operations"


def test_the_count_itself():
    a, b = np.ones((20, 30)), np.ones((30, 40))
    assert operations(myia(lambda a, b: np.sum(a @ b * 2.0)), a, b) == 2 * 20 * 30 * 40 + 800 + 800
    assert operations(myia(lambda x: np.sin(x[:2]) + 1.0), np.ones(5)) == 4


# ---- higher orders ---------------------------------------------------------------------------------------------------
def polynomial(x):
    return 3.0 * x**5 - 2.0 * x**3 + x


BY_HAND = [
    lambda x: 15.0 * x**4 - 6.0 * x**2 + 1.0,
    lambda x: 60.0 * x**3 - 12.0 * x,
    lambda x: 180.0 * x**2 - 12.0,
    lambda x: 360.0 * x,
    lambda x: 360.0,
]


def horner(x):
    return ((((0.5 * x + 1.5) * x - 2.0) * x + 0.3) * x + 1.0) * x - 0.7


def branchy(x):
    if x > 0.5:
        y = np.sin(x) * x
    else:
        y = np.exp(x) * x * x
    if y > 0.2:
        return y * y * x
    return y - x


def loop_with_branch(x, n):
    y = 1.0
    for _ in range(n):
        if y * x > 2.0:
            y = y * x * 0.5
        else:
            y = y + x * x
    return y


def network(x, a, b, c, w):
    return np.tanh(c @ np.tanh(a * x + b)) @ w


NETWORK = (
    0.7,
    np.linspace(-1, 1, 8),
    np.linspace(0.2, 0.9, 8),
    np.sin(np.arange(64.0)).reshape(8, 8),
    np.cos(np.arange(8.0)),
)


def forward(f):
    """The derivative by the first argument, in forward mode."""
    return myia(lambda x, *rest: jvp(lambda z: f(z, *rest), (x,), (1.0,))[1])


NTH = {  # function, arguments, and how many nodes its n-th derivative may have when it has itself so many
    "polynomial": (polynomial, (1.3,), lambda n, size: nodes(myia(BY_HAND[n - 1]), (1.3,)) + 1),
    "horner": (horner, (1.3,), lambda n, size: (n + 1) * size),  # as arithmetic on truncated series
    "branchy": (branchy, (0.7,), lambda n, size: 1.25 * 3**n * size),
    "loop_with_branch": (loop_with_branch, (0.7, 5), lambda n, size: 1.25 * 3**n * size),
    "network": (network, NETWORK, lambda n, size: 2**n * size),  # value and derivative of each node, at each order
}
SERIES = {"branchy": lambda n, size: 2 ** (n + 1) * size, "loop_with_branch": lambda n, size: 2 ** (n + 1) * size}


def sizes(f, args, mode) -> list[int]:
    """Nodes of f and of its first five derivatives."""
    out, of = [nodes(myia(f), args)], f
    for _ in range(5):
        of = mode(of)
        out.append(nodes(of, args))
    return out


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("name", NTH)
def test_nth_derivative(name, mode):
    f, args, law = NTH[name]
    if mode == "forward":
        law = SERIES.get(name, law)
    now = sizes(f, args, grad if mode == "reverse" else forward)
    expected = table(SIZES)[f"{name}_{mode}"]
    assert all(a <= b for a, b in zip(now, expected, strict=True)), f"{name}: {now} nodes, and had {expected}"
    if (name, mode) != ("polynomial", "forward"):  # which keeps the checks of Python's powers
        assert all(now[n] <= law(n, now[0]) for n in range(1, 6)), now


if __name__ == "__main__":
    lines = ["# scalar operations of the optimised program: the function, its gradient, Hessian times vector"]
    lines += [f"{k:24} " + " ".join(f"{n:6}" for n in counts(PROGRAMS[k])) for k in (*STRAIGHT_LINE, *LOOPS)]
    COUNTED.write_text("\n".join(lines) + "\n")
    lines = ["# nodes after the default pipeline: the function and its first five derivatives"]
    for k, (f, args, _) in NTH.items():
        for name, mode in (("reverse", grad), ("forward", forward)):
            lines.append(f"{k + '_' + name:26} " + " ".join(f"{n:5}" for n in sizes(f, args, mode)))
    SIZES.write_text("\n".join(lines) + "\n")
