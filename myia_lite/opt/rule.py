"""Rules: a left side, a right side, a condition; the equation is the name.

A rule is a strategy that works at a node of its left side's primitive.  What would change a node's type is rejected:
a rule
never fires there.  `REGISTRY` holds every rule of the compiler, so that tests walk them.
"""

from __future__ import annotations

from ..ir import MyiaTypeError, MyiaValueError, Primitive
from ..ops import PRIMITIVES
from .equation import BadEquation, compile_equation
from .strategy import Strategy
from .terms import typed

REGISTRY: dict[str, Rule] = {}


class Rule(Strategy):
    """`function(args, attrs, op) -> node | None`, at applications of `op`; `size`: the nodes of the left side."""

    equation: str | None = None
    condition: str | None = None

    def __init__(self, name: str, op: Primitive, function, size: int = 1):
        self.name, self.op, self.function, self.size = name, op, function, size

    def at(self, walk, node):
        return walk.fire(self, node.args, node.attrs, node) if node.op is self.op else None

    def rules(self):
        return [self]

    def text(self):
        return f"rule({self.name!r})"


class ControlRule(Rule):
    """`function(walk, node, args) -> node | None`: a rule about graphs, which copies what it keeps by the walk."""

    def at(self, walk, node):
        return walk.fire_control(self, node, node.args) if node.op is self.op else None


class Ability(Rule):
    """What a walk does at every node: `constants fold`, `equal terms are one`."""

    def __init__(self, name: str):
        self.name, self.op, self.size = name, None, 1

    def at(self, walk, node):
        return walk.able(self, node)


def equation(text: str, when: str | None = None, name: str | None = None, **scope) -> Rule:
    """A rule from its equation; `when` is its condition, over the variables of the left side.

    >>> equation("x + -y == x - y")
    rule('x + -y == x - y')

    Raises MyiaValueError where the text is no equation between terms.
    """
    try:
        op, size, function = compile_equation(text, when, scope)
    except (BadEquation, SyntaxError) as e:
        raise MyiaValueError(str(e), remedy='write it as "f(g(x)) == x"') from None
    rule = Rule(name or (f"{text} when {when}" if when else text), op, function, size)
    rule.equation, rule.condition = text, when
    return rule


def computed(op: str, name: str):
    """Decorates `f(*args, **attrs) -> node | None`: a rule whose right side takes more than an expression."""

    def register(f):
        return Rule(name, PRIMITIVES[op], lambda args, attrs, op: typed(f(*args, **attrs), op, args, attrs))

    return register


def control(op: str, name: str):
    """Decorates `f(walk, node, args) -> node | None`: a rule about the graphs of a node."""
    return lambda f: ControlRule(name, PRIMITIVES[op], f)


class RuleSet(Strategy):
    """Rules under one name, tried in order at each node."""

    def __init__(self, name: str, *rules):
        self.name = name
        self.members: list[Rule] = []
        for r in rules:
            self.members += r.rules()
        for r in self.members:
            if REGISTRY.setdefault(r.name, r) is not r:
                raise MyiaTypeError(f"two rules are called {r.name!r}")

    def rules(self):
        return self.members

    def at(self, walk, node):
        return next((r for rule in self.members if (r := rule.at(walk, node)) is not None), None)
