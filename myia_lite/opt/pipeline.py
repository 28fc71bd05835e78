"""The whole optimiser on one page.

`simplify` runs on the user's program, between the orders of differentiation, and on what a back end gets: what one
order leaves unsimplified the next one triples.  `default` is what a back end gets.
"""

from __future__ import annotations

import ast

from ..ir import Graph, MyiaValueError
from .dead import eliminate
from .fission import split_loops as split
from .frames import remake_frames
from .moving import fuse_loops, sink
from .program import Log, Program
from .rule import RuleSet
from .rules.algebra import ARITHMETIC, BOUNDED, FACTS, LOGIC, POWERS
from .rules.arrays import MAPS, PRODUCTS, READING, SHAPES, WRITING
from .rules.control import BRANCHES, CALLS, LOOPS, UNROLLING
from .rules.data import DATA
from .rules.derivative import DERIVATIVES
from .rules.duals import DUALS, FORGET
from .rules.loops import FUSION, ONE_HOT_FOLDS, ONE_HOT_UNSOUND
from .rules.memory import DESTINATIONS
from .rules.unsound import UNSOUND_ON_EDGE_VALUES
from .scalars import make_scalars
from .stacks import zip_stacks
from .strategy import (
    Pass,
    Strategy,
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
    strategy,
    top_down,
)
from .walk import ASSUME, FOLD, HOIST, SHARE

# ---- rule sets -------------------------------------------------------------------------------------------------------
terms = RuleSet("terms", FOLD, SHARE)  # constants, common subexpressions
algebra = (DERIVATIVES | FACTS | ARITHMETIC | LOGIC).named("algebra")
bounds = (RuleSet("conditions", ASSUME) | BOUNDED).named("bounds")
arrays = (SHAPES | MAPS | READING | PRODUCTS | WRITING).named("arrays")
data = DATA
branches = BRANCHES
calls = CALLS
loops = (LOOPS | RuleSet("invariants", HOIST)).named("loops")
unroll = UNROLLING
fusion = FUSION
one_hot = ONE_HOT_FOLDS
destinations = DESTINATIONS
dual_numbers = RuleSet("dual_numbers", *DUALS)
forget_duals = RuleSet("forget_duals", *FORGET)
one_hot_unsound_on_edge_values = ONE_HOT_UNSOUND
powers = POWERS
unsound_on_edge_values = UNSOUND_ON_EDGE_VALUES

# ---- passes ----------------------------------------------------------------------------------------------------------
dead_code = Pass("dead_code", eliminate, "what nobody needs, elements of results and loop state included")

sunk = Pass("sunk", sink, "a number that one branch needs is computed there")
zipped_stacks = Pass("zipped_stacks", zip_stacks, "stacks that grow and shrink together are one")
remade_frames = Pass("remade_frames", remake_frames, "what a loop saves is computed again, where that costs nothing")
scalars = Pass("scalars", make_scalars, "a small array that is only taken apart is its elements")
fused_loops = Pass("fused_loops", fuse_loops, "loops over the same range, one beside the other, are one")

# the inverse, which `default` goes without: a fused loop reads its arrays once.  It is for state too wide for one loop
split_loops = Pass("split_loops", split, "a loop whose state falls into groups is a loop for each group")

# ---- strategies ------------------------------------------------------------------------------------------------------
every_rule = (terms | data | algebra | bounds | arrays | branches | calls | loops | unroll).named("every_rule")

# an inlined callee brings new redexes to all around it, and dead loop state new ones to what made it: hence the rounds
simplify = limit(innermost(every_rule) >> dead_code, 4).named("simplify")

# powers stay powers until differentiation is over: a product would hide from it what they are
lower = (limit(innermost(every_rule | powers) >> dead_code, 2) >> sunk).named("lower")

# loops that build for loops that read, and loops side by side
fuse = (fused_loops >> innermost(every_rule | fusion) >> dead_code).named("fuse")

# forward mode as a rule set, in place of the compiler's own transform
forward = (innermost(terms | dual_numbers) >> innermost(terms | forget_duals | data) >> dead_code).named("forward")

# the ladder of efficient forward mode: each step adds a family; `one_hot_unsound…` says at what it is unsound
_plain = terms | data | algebra | bounds | arrays | branches | calls | LOOPS


def _step(name: str, rules: Strategy) -> Strategy:
    return (forward >> limit(innermost(rules) >> dead_code, 8) >> innermost(rules | powers) >> dead_code).named(name)


_fused = _plain | fusion
_moved = _fused | loops
_normal = _moved | one_hot | one_hot_unsound_on_edge_values
forward_plain = _step("forward_plain", _plain)
forward_fused = _step("forward_fused", _fused)
forward_moved = _step("forward_moved", _moved)
forward_normalised = _step("forward_normalised", _normal)
forward_in_place = _step("forward_in_place", _normal | destinations)

# frames that are remade bring the loops inside them beside those that read what they saved: hence twice
frames = limit(zipped_stacks >> remade_frames, 2).named("frames")

default = (simplify >> frames >> scalars >> lower).named("default")

# for devices, where to read an element from the host is a copy
whole_arrays = (simplify >> frames >> lower).named("whole_arrays")

STRATEGIES: dict[str, Strategy] = {
    name: s for name, s in dict(globals()).items() if name[0] != "_" and name.islower() and isinstance(s, Strategy)
}


COMBINATORS = {
    s.__name__ if s in (seq, choice) else s.keyword: s
    for s in (
        seq,
        choice,
        attempt,
        repeat,
        all_of,
        one_of,
        bottom_up,
        top_down,
        innermost,
        outermost,
        normalize,
        fixpoint,
        limit,
    )
}


def parse_strategy(text: str, more: dict | None = None) -> Strategy:
    """The strategy that `simplify >> innermost(arrays | data) >> dead_code` names; `more` are names of the user's.

    Raises MyiaValueError for a name that is none, or for anything but names, numbers, calls, `>>` and `|`.
    """
    names = {
        "identity": identity,
        "fail": fail,
        **{k: v for k, v in (more or {}).items() if isinstance(v, Strategy)},
        **STRATEGIES,
        **COMBINATORS,
    }

    def build(t):
        match t:
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.Name(id=name):
                raise MyiaValueError(f"there is no strategy {name}", remedy=f"one of {', '.join(sorted(names))}")
            case ast.Constant(value=int() as number):
                return number
            case ast.BinOp(left=a, op=ast.RShift(), right=b):
                return build(a) >> build(b)
            case ast.BinOp(left=a, op=ast.BitOr(), right=b):
                return build(a) | build(b)
            case ast.Call(func=f, args=args, keywords=[]):
                return build(f)(*map(build, args))
        raise MyiaValueError(
            f"{ast.unparse(t)!r} is no strategy", remedy="combine names by >> and |, as in 'simplify>>dead_code'"
        )

    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise MyiaValueError(
            f"{text!r} is no strategy", remedy="combine names by >> and |, as in 'simplify>>dead_code'"
        ) from None
    return strategy(build(tree))


def optimise(graph: Graph, by: Strategy = default, log: Log | None = None) -> Graph:
    """The program that strategy `by` makes of `graph`; `log` takes down what it did.

    Raises MyiaValueError where the strategy does not settle.
    """
    program = Program(graph, log)
    by.on(program)
    return program.entry
