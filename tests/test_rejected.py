"""What the subset does not take is refused, by an error that a reader can act on."""

import inspect
import re

import pytest
from rejected import REJECTED

from myia_lite import MyiaError, grad, myia


def marked(fn):
    """The line number of the construct at fault, its text, and whether a neighbouring line is as good."""
    lines, first = inspect.getsourcelines(fn)
    for k, line in enumerate(lines):
        if "# here" in line:
            return first + k, line.split("# here")[0].strip(), "# here or" in line
    raise AssertionError(f"{fn.__name__} has no line marked # here")


def assert_readable(error, fn):
    """The text names the file, shows the line with a caret under it, and tells what to do instead."""
    text = str(error)
    number, code, vague = marked(fn)
    assert "rejected.py" in text, text
    if not vague:
        assert re.search(rf"\b{number}\b", text), f"line {number} is not named in:\n{text}"
        assert code in text, f"{code!r} is not shown in:\n{text}"
    carets = [k for k, line in enumerate(text.splitlines()) if re.fullmatch(r"[\s|]*\^[\^~]*\s*", line)]
    assert carets, f"no caret in:\n{text}"
    assert text.splitlines()[carets[0] + 1 :], f"no remedy below the caret in:\n{text}"


@pytest.mark.parametrize("backend", ["interp", "llvm"])
@pytest.mark.parametrize("program", REJECTED.values(), ids=repr)
def test_rejected(program, backend):
    """A MyiaError that is also the built-in type one expects, and shows where."""
    with pytest.raises(MyiaError) as raised:
        myia(backend=backend)(program.fn)(*program.args)
    assert isinstance(raised.value, program.kinds), f"{type(raised.value).__mro__}\n{raised.value}"
    assert_readable(raised.value, program.fn)


@pytest.mark.parametrize("program", [p for p in REJECTED.values() if p.args], ids=repr)
def test_rejected_by_grad(program):
    """The gradient of a program outside the subset is refused too, never zero."""
    with pytest.raises(MyiaError):
        grad(program.fn)(*program.args)
