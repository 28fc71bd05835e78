"""The parser: what it makes of a program means what the program means, and is shaped as the design says."""

# ruff: noqa: E731, F821, F841, B018

from __future__ import annotations

import math

import numpy as np
import pytest
from parser_programs import PROGRAMS
from surface_interp import evaluate

from myia_lite.parser import MISSING, parse_function


def outcome(f, *args):
    """The value, or the class of the exception."""
    try:
        return f(*args)
    except Exception as e:
        return type(e)


def same(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a is b)


@pytest.mark.parametrize("f, args", [pytest.param(f, a, id=f"{f.__name__}-{k}") for k, (f, a) in enumerate(PROGRAMS)])
def test_same_as_python(f, args):
    parsed = parse_function(f)
    expected, got = outcome(f, *args), outcome(evaluate, parsed, *args)
    assert same(expected, got), f"Python says {expected!r}, the surface graph {got!r}"
