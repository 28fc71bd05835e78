"""The programs by which the parser is checked, compiled: every form of control flow, on both back ends."""

import pytest
from parser_programs import PROGRAMS
from random_programs import random_program
from test_parser import define, outcome, same

from myia_lite import MyiaError, myia

# what the parser takes and inference refuses
REFUSED = {
    "fstrings": "str",
    "comprehension": "known at run time only",
    "default_in_loop": "changes in every trip",
}


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize("f, args", [pytest.param(f, a, id=f"{f.__name__}-{k}") for k, (f, a) in enumerate(PROGRAMS)])
def test_same_as_python(f, args, backend):
    compiled = myia(backend=backend)(f)
    if f.__name__ in REFUSED:
        with pytest.raises(MyiaError, match=REFUSED[f.__name__]):
            compiled(*args)
        return
    check(f, compiled, args)


def check(f, compiled, args):
    expected, got = outcome(f, *args), outcome(compiled, *args)
    if isinstance(expected, type) and isinstance(got, type):
        assert issubclass(got, expected), f"Python raises {expected}, the compiled function {got}"
    else:
        # ints meet floats, and bools ints, as the wider of the two
        assert same(expected, got) or expected == got, f"Python says {expected!r}, the compiled function {got!r}"


@pytest.mark.parametrize("seed", range(400, 440))
def test_random_programs(seed, tmp_path):
    """The same value or exception; a refusal is a MyiaError, as for variables of no one type."""
    source = random_program(seed)
    if source.count("\n") > 60:
        pytest.skip("long")
    f = define(tmp_path, source, f"p{seed}.py")
    compiled = myia(backend="interp")(f)
    for args in (0, 1), (3, -2), (-1, 4):
        try:
            compiled.ir(*args, stage="infer")
        except MyiaError:
            continue
        check(f, compiled, args)
