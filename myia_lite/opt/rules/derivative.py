"""What differentiation leaves: zeros that it made, and operations linear in one."""

from __future__ import annotations

from ...ops import PRIMITIVES
from ...ops.arrays import broadcast
from ..rule import Rule, RuleSet, equation
from ..terms import ZERO, structural_zero, typed


def _linear(op):
    """What is linear in an argument, or in some together, is zero where these are structural zeros."""

    def function(args, attrs, op):
        if op is broadcast and attrs["axes"] == ():
            return None  # this is how a zero array is written
        if any(structural_zero(args[k]) for k in op.multilinear):
            return typed(ZERO, op, args, attrs)
        if op.linear and all(map(structural_zero, together(op, args))):
            return typed(ZERO, op, args, attrs)
        return None

    return Rule(f"{op.name}(zero) == zero, {op.name} being linear there", op, function)


def together(op, args):
    """The arguments in which an application is linear together."""
    first = [k for k in op.linear if k is not ...]
    return [args[k] for k in first] + (list(args[first[-1] + 1 :]) if op.linear[-1] is ... else [])


DERIVATIVES = RuleSet(
    "derivatives",
    equation("x + zero == x"),
    equation("x - zero == x"),
    *(_linear(p) for p in PRIMITIVES.values() if p.linear or p.multilinear),
    equation("where(_, zero, zero) == zero"),
    equation("x * powi(x, n=n) == powi(x, n=n + 1)", "n > 0"),
)
