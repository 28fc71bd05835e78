"""Tuples, stacks, sums: what is put together and taken apart at once."""

from __future__ import annotations

from ...ops.control import stack_len, tuple_
from ...ops.elementwise import add
from ..rule import RuleSet, computed, equation
from ..terms import made_by


@computed("get", "get[k](tuple(xs)) == xs[k]")
def _get_tuple(t, index):
    return t.args[index] if made_by(t, "tuple") else None


@computed("tuple", "tuple(get[0](t), get[1](t), …) == t")
def _tuple_gets(*xs):
    if xs and all(made_by(x, "get") and x.attrs["index"] == k and x.args[0] is xs[0].args[0] for k, x in enumerate(xs)):
        t = xs[0].args[0]
        return t if len(t.type.elems) == len(xs) else None


@computed("stack_pop", "stack_pop(stack_push(s, v)) == (s, v)")
def _pop_push(s):
    return tuple_(*s.args) if made_by(s, "stack_push") else None


@computed("stack_len", "stack_len(stack_push(s, v)) == stack_len(s) + 1")
def _len_push(s):
    return add(stack_len(s.args[0]), 1) if made_by(s, "stack_push") else None


DATA = RuleSet("data", _get_tuple, _tuple_gets, _pop_push, _len_push, equation("stack_len(stack_new()) == 0"))
