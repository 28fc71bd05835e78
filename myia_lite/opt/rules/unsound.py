"""Equations of real numbers that floats break: at NaN, at infinities, at -0.0, by overflow, or by another rounding.

Off by default.  A strategy that wants them names them: `default >> normalize(unsound_on_edge_values)`.
"""

from __future__ import annotations

from ..rule import RuleSet, equation
from .arrays import SUM_OF_REPEATED

UNSOUND_ON_EDGE_VALUES = RuleSet(
    "unsound_on_edge_values",
    equation("x + 0 == x"),  # -0.0 + 0.0 is 0.0
    equation("x * 0 == 0"),  # not at NaN and infinities
    equation("x - x == 0.0"),  # not at NaN and infinities
    equation("-(x - y) == y - x"),  # -0.0 where x is y
    equation("log(exp(x)) == x"),  # exp overflows
    equation("exp(log(x)) == x"),  # log of a negative number is NaN
    equation("sqrt(x) * sqrt(x) == x"),  # of a negative number, NaN
    equation("exp(x) * exp(y) == exp(x + y)"),  # overflows sooner or later
    equation("x * y + x * z == x * (y + z)"),  # other roundings and overflows
    equation("x / y * y == x"),  # not where y is 0
    equation("x / x == 1"),  # not where x is 0
    equation("(x * c) * d == x * (c * d)", "known(c) and known(d) and floating(x)"),
    equation("(x + c) + d == x + (c + d)", "known(c) and known(d) and floating(x)"),
    equation("powi(powi(x, n=a), n=b) == powi(x, n=a * b)"),  # the inner power overflows
    equation("reduce_sum(-x, axes=a) == -reduce_sum(x, axes=a)"),  # of zeros
    SUM_OF_REPEATED,  # of zeros, and by overflow
    equation("eq(x, x) == True", "floating(x)"),  # not for NaN
    equation("le(x, x) == True", "floating(x)"),
    equation("ge(x, x) == True", "floating(x)"),
    equation("logical_not(lt(x, y)) == ge(x, y)", "floating(x)"),  # not for NaN
    equation("logical_not(le(x, y)) == gt(x, y)", "floating(x)"),
    equation("logical_not(gt(x, y)) == le(x, y)", "floating(x)"),
    equation("logical_not(ge(x, y)) == lt(x, y)", "floating(x)"),
)
