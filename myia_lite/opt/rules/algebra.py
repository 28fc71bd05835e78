"""Scalar algebra, elementwise on arrays too.

Each equation holds for all values of its types, NaN, infinities and -0.0 included, up to the last place.  What a
primitive
*is* (commutative, with a unit, odd, linear …) stands on the primitive; one generic rule here reads each of these facts.
"""

from __future__ import annotations

from ...ops import PRIMITIVES
from ..ranges import decided, no_overflow
from ..rule import RuleSet, computed, equation


def with_fact(fact: str):
    return [p for p in PRIMITIVES.values() if fact in p.facts]


def literal(v) -> str:
    return repr(v)


# ---- from facts ------------------------------------------------------------------------------------------------------
UNITS = [
    equation(f"{p.name}(x, e) == x", f"is_value(e, {literal(p.unit)})", f"{p.name}(x, {literal(p.unit)}) == x")
    for p in PRIMITIVES.values()
    if p.unit is not None
]
ZEROS = [
    equation(
        f"{p.name}(x, z) == z",
        f"is_value(z, {literal(p.zero)}) and exact(z)",
        f"{p.name}(x, {p.zero}) == {p.zero} when exact(x)",
    )
    for p in PRIMITIVES.values()
    if p.zero is not None
]
IDEMPOTENT = [equation(f"{p.name}(x, x) == x") for p in with_fact("idempotent")]
ASSOCIATIVE = [
    equation(
        f"{p.name}({p.name}(x, c), d) == {p.name}(x, {p.name}(c, d))",
        "known(c) and known(d) and exact(x) and not known(x)",
    )
    for p in with_fact("associative")
]
INVOLUTIONS = [equation(f"{p.name}({p.name}(x)) == x") for p in with_fact("involution")]
ODD = [equation(f"{p.name}(-x) == -{p.name}(x)") for p in with_fact("odd")]
EVEN = [equation(f"{p.name}(-x) == {p.name}(x)") for p in with_fact("even")]
FACTS = RuleSet("facts", *UNITS, *ZEROS, *IDEMPOTENT, *ASSOCIATIVE, *INVOLUTIONS, *ODD, *EVEN)

# ---- arithmetic ------------------------------------------------------------------------------------------------------
ARITHMETIC = RuleSet(
    "arithmetic",
    equation("x + -y == x - y"),
    equation("x - 0 == x"),
    equation("x - -y == x + y"),
    equation("x - x == 0", "exact(x)"),
    equation("(x + y) - y == x", "exact(x)"),
    equation("(x - y) + y == x", "exact(x)"),
    equation("(x - c) + d == x + (d - c)", "known(c) and known(d) and exact(x)"),
    equation("(x + c) - d == x + (c - d)", "known(c) and known(d) and exact(x)"),
    equation("x * -1 == -x"),
    equation("-x * y == -(x * y)"),
    equation("x / 1 == x"),
    equation("-x / y == -(x / y)"),
    equation("x / -y == -(x / y)"),
    equation("x / c == x * (1.0 / c)", "power_of_two(c)"),
    equation("powi(x, n=1) == x"),
    equation("powi(x, n=0) == 1"),
    equation("powi(-x, n=n) == powi(x, n=n)", "n % 2 == 0"),
    equation("powi(-x, n=n) == -powi(x, n=n)", "n % 2 == 1"),
    equation("abs(abs(x)) == abs(x)"),
    equation("abs(-x) == abs(x)"),
)

# ---- logic and choice ------------------------------------------------------------------------------------------------
LOGIC = RuleSet(
    "logic",
    equation("where(c, x, x) == x"),
    equation("where(True, x, y) == x"),
    equation("where(False, x, y) == y"),
    equation("where(logical_not(c), x, y) == where(c, y, x)"),
    equation("where(c, where(c, x, _), y) == where(c, x, y)"),
    equation("where(c, x, where(c, _, y)) == where(c, x, y)"),
    equation("where(c, True, False) == c"),
    equation("where(c, False, True) == logical_not(c)"),
    equation("bit_and(c, logical_not(c)) == False"),
    equation("bit_or(c, logical_not(c)) == True"),
    equation("logical_not(eq(x, y)) == ne(x, y)"),
    equation("logical_not(ne(x, y)) == eq(x, y)"),
    equation("logical_not(lt(x, y)) == ge(x, y)", "exact(x)"),
    equation("logical_not(le(x, y)) == gt(x, y)", "exact(x)"),
    equation("logical_not(gt(x, y)) == le(x, y)", "exact(x)"),
    equation("logical_not(ge(x, y)) == lt(x, y)", "exact(x)"),
    equation("lt(x, x) == False"),
    equation("gt(x, x) == False"),
    equation("le(x, x) == True", "exact(x)"),
    equation("ge(x, x) == True", "exact(x)"),
    equation("eq(x, x) == True", "exact(x)"),
    equation("ne(x, x) == False", "exact(x)"),
    equation("isinf(abs(x)) == isinf(x)"),
    equation("isnan(abs(x)) == isnan(x)"),
    equation("isinf(-x) == isinf(x)"),
    equation("isnan(-x) == isnan(x)"),
    equation("cast(x, dtype=d) == x", "dtype(x) == d"),
    equation("cast(cast(x, dtype=e), dtype=d) == cast(x, dtype=d)", "widens(dtype(x), e) and d != 'bool'"),
)


# ---- integers whose range is known -----------------------------------------------------------------------------------
def _comparison(op):
    @computed(op, f"{op}(i, j) == known, where the ranges of i and j tell")
    def rule(x, y):
        return decided(op, x, y)

    return rule


def _overflow(op):
    @computed(f"{op}_overflows", f"{op}_overflows(i, j) == False, where the ranges of i and j tell")
    def rule(x, y):
        return False if no_overflow(op, x, y) else None

    return rule


@computed("maximum", "maximum(i, j) == i, where i >= j by their ranges")
def _maximum(x, y):
    return x if decided("ge", x, y) else y if decided("ge", y, x) else None


@computed("minimum", "minimum(i, j) == i, where i <= j by their ranges")
def _minimum(x, y):
    return x if decided("le", x, y) else y if decided("le", y, x) else None


@computed("mod", "mod(i, n) == i, where 0 <= i < n by their ranges")
def _mod(x, y):
    from ...ir import constant

    return x if x.type == y.type and decided("ge", x, constant(0)) and decided("lt", x, y) else None


BOUNDED = RuleSet(
    "bounded integers",
    *map(_comparison, ("lt", "le", "gt", "ge", "eq", "ne")),
    *map(_overflow, ("add", "sub", "mul")),
    _maximum,
    _minimum,
    _mod,
)

POWERS = RuleSet(
    "powers by multiplication",  # after differentiation: it would hide what a power is
    equation("powi(x, n=2) == x * x"),
    equation("powi(x, n=3) == x * x * x"),
    equation("powi(x, n=4) == powi(x * x, n=2)"),
    equation("powi(x, n=-1) == 1.0 / x"),
)
