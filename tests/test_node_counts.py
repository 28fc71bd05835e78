"""How many nodes the default pipeline leaves of 20 programs and of their first and second gradients: none may grow.

`python tests/test_node_counts.py` writes the table anew, for what has become smaller (or for what had to grow).
"""

from pathlib import Path

import pytest
from programs import PROGRAMS
from test_programs import ALL, loss_of, plain

from myia_lite import grad, myia
from myia_lite.compiler import differentiated
from myia_lite.opt import default, optimise
from myia_lite.opt.program import Program

TABLE = Path(__file__).parent / "golden" / "node_counts.txt"
CHOSEN = """two_layer_network runge_kutta continued_fraction logistic_map determinant_by_recursion simpson
    softmax_cross_entropy newton_sqrt matrix_chain""".split()


def chosen():
    """20 programs of the table with a derivative, the larger ones first."""
    derived = [p for p in ALL if p.wrt and p.cases]
    named = [p for p in derived if p.name in CHOSEN]
    rest = [p for p in derived if p not in named]
    return [*named, *rest[:: max(1, len(rest) // (20 - len(named)))]][:20]


def nodes(f, case):
    """The size of a compiled program after the default pipeline."""
    inferred = f._infer(*f._signature(case, {}))
    return Program(optimise(differentiated(inferred.graph), default)).size()


def counts(program):
    """(the program, its gradient, the gradient of the sum of its gradient)."""
    case = program.cases[0]
    k = program.wrt[0]
    loss = loss_of(program.fn, plain(program.fn, case))
    first = grad(loss, argnums=k)
    out = [nodes(myia(program.fn), case), nodes(first, case)]
    if type(case[k]) is float:
        out.append(nodes(grad(first, argnums=k), case))
    return out


def table():
    rows = (
        [line.split() for line in TABLE.read_text().splitlines() if line and line[0] != "#"] if TABLE.exists() else []
    )
    return {name: list(map(int, numbers)) for name, *numbers in rows}


@pytest.mark.parametrize("name", table())
def test_no_program_grows(name):
    expected, now = table()[name], counts(PROGRAMS[name])
    assert all(a <= b for a, b in zip(now, expected, strict=True)), f"{name} has {now} nodes, and had {expected}"


def test_there_are_twenty():
    assert len(table()) == 20 and sum(len(v) == 3 for v in table().values()) >= 8


if __name__ == "__main__":
    lines = ["# nodes after the default pipeline: the program, its gradient, its second derivative"]
    lines += [f"{p.name:32} " + " ".join(f"{n:5}" for n in counts(p)) for p in chosen()]
    TABLE.write_text("\n".join(lines) + "\n")
