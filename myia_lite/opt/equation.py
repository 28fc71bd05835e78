"""Equations as text: `x + -y == x - y` is the name of a rule, its left side, and its right side.

The left side is a pattern over primitives, written with their names or with operators; each distinct name in it is a
variable, an argument `*xs` takes the rest of the arguments, a keyword is an attribute, `(y := exp(x))` names a part,
`_` is
anything.  A number matches the scalar constant or an array filled with it, 0.0 and -0.0 told apart; `zero` matches a
structural zero.  Where a primitive is commutative, both orders match.
The right side, and the condition, are Python expressions over what the left side bound: primitives emit, operators
between
nodes emit.  An equation becomes one Python function that returns a node or None: patterns cost nothing when they fail
early.
"""

from __future__ import annotations

import ast
from itertools import product

from ..ir import Apply, Primitive
from ..ops import PRIMITIVES
from .terms import HELPERS, same_value, typed

OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.USub: "neg",
    ast.Not: "logical_not",
    ast.BitAnd: "bit_and",
    ast.BitOr: "bit_or",
    ast.BitXor: "bit_xor",
    ast.Invert: "bit_not",
}
ALIASES = {"where": "select"}


class BadEquation(ValueError):
    """The text of a rule is no equation between terms."""


def primitive(name: str) -> Primitive | None:
    return PRIMITIVES.get(ALIASES.get(name, name)) or PRIMITIVES.get(name.rstrip("_"))


def compile_equation(text: str, when: str | None, scope: dict | None = None):
    """(the primitive at the root of the left side, the number of primitives there, the function (args, attrs) -> node
    or None)."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as e:
        raise BadEquation(f"{text!r} is no expression") from e
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or not isinstance(tree.ops[0], ast.Eq):
        raise BadEquation(f"{text!r} has no single `==` between a left and a right side")
    left, right = tree.left, tree.comparators[0]
    maker = _Maker(text, dict(scope or {}))
    root = maker.term(left)
    if root is None:
        raise BadEquation(f"the left side of {text!r} is no application of a primitive")
    unbound = {n.id for n in ast.walk(right) if isinstance(n, ast.Name)} - maker.names(left) - set(maker.space)
    if unbound:
        raise BadEquation(f"{', '.join(sorted(unbound))} on the right side of {text!r} is bound nowhere")
    return root[0], maker.count(left), maker.function(left, right, when)


class _Maker:
    """Writes the function of one equation."""

    def __init__(self, text, scope):
        self.text, self.lines, self.depth, self.fresh = text, [], 1, 0
        aliases = {k: PRIMITIVES[v] for k, v in ALIASES.items()}
        prims = {k if k.isidentifier() and k not in ("raise", "is") else k + "_": v for k, v in PRIMITIVES.items()}
        self.space = {**prims, **aliases, **HELPERS, "Apply": Apply, "typed": typed, "same_value": same_value, **scope}
        self.scope = scope

    def term(self, t):
        """(primitive, arguments, keywords) of an application in a pattern, or None."""
        if isinstance(t, ast.BinOp) and type(t.op) in OPERATORS:
            return PRIMITIVES[OPERATORS[type(t.op)]], [t.left, t.right], []
        if isinstance(t, ast.UnaryOp) and type(t.op) in OPERATORS and self.literal(t) is None:
            return PRIMITIVES[OPERATORS[type(t.op)]], [t.operand], []
        if isinstance(t, ast.Call) and isinstance(t.func, ast.Name):
            op = primitive(t.func.id)
            if op is None:
                raise BadEquation(f"{t.func.id} in {self.text!r} is no primitive")
            return op, t.args, t.keywords
        return None

    def literal(self, t):
        """The number that a pattern stands for, boxed, or None."""
        if isinstance(t, ast.Constant) and isinstance(t.value, (int, float, bool)):
            return [t.value]
        if isinstance(t, ast.UnaryOp) and isinstance(t.op, ast.USub) and isinstance(t.operand, ast.Constant):
            return [-t.operand.value]
        return [float("inf")] if isinstance(t, ast.Name) and t.id == "inf" else None

    def names(self, t) -> set[str]:
        return {n.id for n in ast.walk(t) if isinstance(n, ast.Name)}

    def count(self, t) -> int:
        if isinstance(t, ast.NamedExpr):
            return self.count(t.value)
        if isinstance(t, ast.Starred) or (term := self.term(t)) is None:
            return 0
        return 1 + sum(map(self.count, term[1]))

    def orders(self, t):
        """The pattern with the arguments of commutative primitives in either order."""
        if isinstance(t, ast.NamedExpr):
            return [ast.NamedExpr(t.target, v) for v in self.orders(t.value)]
        if isinstance(t, ast.Starred) or (term := self.term(t)) is None:
            return [t]
        op, args, keywords = term
        out = []
        for chosen in product(*map(self.orders, args)):
            both = [chosen, chosen[::-1]] if "commutative" in op.facts and len(chosen) == 2 else [chosen]
            out += [ast.Call(ast.Name(op.name, ast.Load()), list(c), keywords) for c in both]
        return list({ast.dump(o): o for o in out}.values())

    # ---- code
    def line(self, text):
        self.lines.append("    " * self.depth + text)

    def test(self, condition):
        self.line(f"if {condition}:")
        self.depth += 1

    def hold(self, thing) -> str:
        self.fresh += 1
        name = f"k{self.fresh}_"
        self.space[name] = thing
        return name

    def function(self, left, right, when):
        self.lines = ["def rule(args, attrs, op):"]
        for pattern in self.orders(left):
            self.depth, bound = 1, {}
            op, args, keywords = self.term(pattern)
            self.application(op, args, keywords, "args", "attrs", bound)
            if when:
                self.test(f"({when})")
            self.line(f"r_ = typed({ast.unparse(right)}, op, args, attrs)")
            self.test("r_ is not None")
            self.line("return r_")
        exec(compile("\n".join(self.lines), f"<rule {self.text}>", "exec"), self.space)
        return self.space["rule"]

    def application(self, op, args, keywords, where, attrs, bound):
        for k in keywords:
            value = f"{attrs}[{k.arg!r}]"
            if isinstance(k.value, ast.Name) and k.value.id not in bound and self.literal(k.value) is None:
                if k.value.id != "_":
                    bound[k.value.id] = True
                    self.line(f"{k.value.id} = {value}")
            else:
                self.test(f"{value} == ({ast.unparse(k.value)})")
        if args and isinstance(args[-1], ast.Starred):
            rest = args[-1].value.id
            if rest in bound:
                self.test(f"len({rest}) == len({where}) - {len(args) - 1}")
                self.test(f"all(map(same_value, {rest}, {where}[{len(args) - 1}:]))")
            elif rest != "_":
                bound[rest] = True
                self.line(f"{rest} = [*{where}[{len(args) - 1}:]]")
            args = args[:-1]
        for k, a in enumerate(args):
            self.match(a, f"{where}[{k}]", bound)

    def match(self, t, value, bound):
        if isinstance(t, ast.NamedExpr):
            bound[t.target.id] = True
            self.line(f"{t.target.id} = {value}")
            self.match(t.value, t.target.id, bound)
        elif (number := self.literal(t)) is not None:
            self.test(f"is_constant({value}, {self.hold(number[0])})")
        elif isinstance(t, ast.Name):
            if t.id == "zero":
                self.test(f"is_zero({value})")
            elif t.id in bound:
                self.test(f"same_value({t.id}, {value})")
            elif t.id != "_":
                bound[t.id] = True
                self.line(f"{t.id} = {value}")
        else:
            term = self.term(t)
            if term is None:
                raise BadEquation(f"{ast.unparse(t)} in {self.text!r} is no pattern")
            op, args, keywords = term
            self.fresh += 1
            name = f"t{self.fresh}_"
            self.line(f"{name} = {value}")
            self.test(f"{name}.__class__ is Apply and {name}.op is {self.hold(op)}")
            self.application(op, args, keywords, f"{name}.args", f"{name}.attrs", bound)
