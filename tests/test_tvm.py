"""The TVM back end on the CPU: primitives, the table of programs, random programs, as the others run them."""

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import test_ops
import test_programs
import test_random_programs
from hypothesis import settings
from test_ops import CASES, close, graph_of, type_of, with_sizes
from test_random_programs import folder

from myia_lite.backends import get_backend
from myia_lite.backends.interp import compile as interpret
from myia_lite.backends.llvm import LOWERED as NATIVE


def test_every_primitive_is_lowered():
    """What the native back end lowers, this one does."""
    from myia_lite.backends.tvm.lower import LOWERED

    assert NATIVE <= LOWERED


@pytest.mark.parametrize(("p", "args", "attrs", "known"), with_sizes(CASES))
def test_primitive(p, args, attrs, known):
    g = graph_of(p, [type_of(a, known) for a in args], attrs, 0)
    close(get_backend("tvm").compile(g)(args), interpret(g)(args))


@pytest.mark.parametrize("program", test_programs.ALL, ids=repr)
def test_value(program):
    test_programs.test_value.__wrapped__(program, "tvm") if hasattr(
        test_programs.test_value, "__wrapped__"
    ) else test_programs.test_value(program, "tvm")


@pytest.mark.parametrize("program", test_programs.DERIVED, ids=repr)
def test_gradient(program):
    test_programs.test_gradient(program, "tvm")


@settings(max_examples=15)
@test_random_programs.given(
    source=test_random_programs.programs(pair=True),
    runs=test_random_programs.st.lists(
        test_random_programs.arguments(test_random_programs.QUARTERS), min_size=1, max_size=3
    ),
)
def test_random_value(folder, source, runs):
    test_random_programs.test_value.hypothesis.inner_test(folder, "tvm", source, runs)


@settings(max_examples=15)
@test_random_programs.given(
    source=test_random_programs.programs(), args=test_random_programs.arguments(test_random_programs.GENERIC)
)
def test_random_gradient(folder, source, args):
    test_random_programs.test_gradient.hypothesis.inner_test(folder, "tvm", source, args)
