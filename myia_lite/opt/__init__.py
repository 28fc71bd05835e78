"""The optimiser: in comes a typed program, out goes an equal, smaller one.

Guaranteed: same values and the same exceptions in the same order; what comes out passes the verifier.
What it does is a strategy over rewrite rules, a value that is read, chosen and extended: see `strategy` for the
combinators, `rules` for the rules, `pipeline` for the default.
"""

from .pipeline import STRATEGIES, default, optimise, parse_strategy, simplify, split_loops, whole_arrays
from .program import Log
from .rule import REGISTRY, Rule, RuleSet, equation
from .strategy import (
    Strategy,
    Unsettled,
    all_of,
    attempt,
    bottom_up,
    choice,
    fail,
    fixpoint,
    identity,
    innermost,
    limit,
    normalize,
    one_of,
    outermost,
    repeat,
    seq,
    top_down,
)
from .user import rule
