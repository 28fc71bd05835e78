"""Rules over the user's own functions: `decode(encode(x)) == x`.

Such a rule works on calls, so it runs before they are inlined: `@myia(optimize=normalize(my_rule) >> default)`.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import textwrap
from collections.abc import Callable
from types import FunctionType

import numpy as np

from ..ir import Apply, Constant, MyiaValueError, Node, Primitive, Scalar, compatible
from ..ops import PRIMITIVES
from ..ops.control import call
from .equation import OPERATORS
from .rule import ControlRule
from .terms import same_value

# (Python function, types of its arguments) -> its typed graph; the front door, which can infer, sets it
specialise: Callable | None = None

NAMES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
}
NAMES |= {
    "absolute": "abs",
    "fabs": "abs",
    "power": "pow",
    "multiply": "mul",
    "subtract": "sub",
    "divide": "div",
    "negative": "neg",
}
RTOL = 1e-9


BUILTINS = {f.__name__: f for f in (abs, bool, float, int, len, max, min, pow, round, sum)}


class UserRule(ControlRule):
    """An equation over functions and variables; `samples` are argument tuples for its check, which `check=False`
    skips."""

    def __init__(self, text: str, scope: dict, samples=None, check: bool = True):
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            tree = None
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or not isinstance(tree.ops[0], ast.Eq):
            raise MyiaValueError(f"the rule {text!r} is no equation", remedy='write it as "f(g(x)) == x"')
        self.left, self.right = tree.left, tree.comparators[0]
        self.scope, self.samples, self.checked = scope, samples, not check
        self.variables = list(
            dict.fromkeys(n.id for n in ast.walk(self.left) if isinstance(n, ast.Name) and n.id not in scope)
        )
        unbound = {n.id for n in ast.walk(self.right) if isinstance(n, ast.Name)} - set(scope) - set(self.variables)
        if unbound:
            raise MyiaValueError(
                f"{', '.join(sorted(unbound))} is bound nowhere in {text!r}", remedy="pass it to `rule`"
            )
        root = self.meaning(self.left)
        if root is None:
            raise MyiaValueError(
                f"the left side of {text!r} applies no function", remedy="start it with the function to replace"
            )
        name = ast.unparse(tree)
        super().__init__(
            name, root if isinstance(root, Primitive) else call, lambda walk, n, args: self.rewrite(walk, n, args)
        )
        self.replacement = None if isinstance(self.right, (ast.Name, ast.Constant)) else self.plain_function(self.right)

    # ---- what the terms mean
    def meaning(self, t) -> Primitive | Callable | None:
        """The primitive, or the Python function, at the root of a term."""
        if isinstance(t, (ast.BinOp, ast.UnaryOp)) and type(t.op) in OPERATORS:
            return PRIMITIVES[OPERATORS[type(t.op)]]
        if not isinstance(t, ast.Call):
            return None
        f = eval(compile(ast.Expression(t.func), "<rule>", "eval"), dict(self.scope))
        while hasattr(f, "__wrapped__"):
            f = f.__wrapped__
        if isinstance(f, FunctionType):
            return f
        name = getattr(f, "__name__", "")
        if op := PRIMITIVES.get(NAMES.get(name, name)):
            return op
        raise MyiaValueError(
            f"{ast.unparse(t.func)} is no function that a rule can name", remedy="use functions written in Python"
        )

    def plain_function(self, term) -> FunctionType:
        """A Python function of the variables, with a source that the compiler finds."""
        source = f"def right_side({', '.join(self.variables)}):\n    return {ast.unparse(term)}\n"
        file = f"<rule {ast.unparse(self.left)} == {ast.unparse(self.right)} {id(self):x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        space = dict(self.scope)
        exec(compile(source, file, "exec"), space)
        return space["right_side"]

    # ---- rewriting
    def at(self, walk, node):
        return walk.fire_control(self, node, node.args) if node.op is self.op else None

    def rewrite(self, walk, n: Apply, args) -> Node | None:
        bound: dict[str, Node] = {}
        if not self.matches(self.left, n, args, bound):
            return None
        if not self.checked:
            self.verify()
        if isinstance(self.right, ast.Constant):
            result = Constant(self.right.value, n.type) if isinstance(n.type, Scalar) else None
        elif isinstance(self.right, ast.Name):
            result = bound[self.right.id]
        else:
            values = [bound[v] for v in self.variables]
            graph = specialise(self.replacement, tuple(v.type for v in values)) if specialise else None
            if graph is None or len(graph.params) != len(values):
                return None
            result = walk.append(call, values, {}, (graph,), graph.result_type, n.span, n.name)
        # the type stays, or the rule does not apply
        return result if result is not None and compatible(result.type, n.type) else None

    def matches(self, t, node, args, bound) -> bool:
        if isinstance(t, ast.Name) and t.id in self.variables:
            return same_value(bound.setdefault(t.id, node), node)
        if isinstance(t, ast.Constant):
            return isinstance(node, Constant) and isinstance(node.type, Scalar) and node.value == t.value
        root = self.meaning(t)
        if root is None or not isinstance(node, Apply):
            return False
        parts = t.args if isinstance(t, ast.Call) else [t.left, t.right] if isinstance(t, ast.BinOp) else [t.operand]
        args = node.args if args is None else args
        if len(parts) != len(args):
            return False
        if isinstance(root, Primitive):
            if node.op is not root:
                return False
        elif node.op is not call or source_of(node.graphs[0]) is not root:
            return False
        orders = [args, args[::-1]] if isinstance(root, Primitive) and "commutative" in root.facts else [args]
        for order in orders:
            trial = dict(bound)
            if all(self.matches(p, a, None, trial) for p, a in zip(parts, order, strict=True)):
                bound.update(trial)
                return True
        return False

    # ---- the check
    def verify(self) -> None:
        """Evaluate both sides on random arguments, in plain Python.

        Raises MyiaValueError where they differ, or where no sample is accepted.
        """
        left, right = self.plain_function(self.left), self.plain_function(self.right)
        rng, worked = np.random.default_rng(0), 0
        for sample in self.samples or self.random_samples(rng):
            try:
                with np.errstate(all="ignore"):
                    a = left(*sample)
            except (TypeError, ValueError, IndexError, ArithmeticError, AttributeError):
                continue  # not in the domain of the left side
            with np.errstate(all="ignore"):
                b = right(*sample)
            if not agree(a, b):
                shown = ", ".join(f"{v} = {x!r}" for v, x in zip(self.variables, sample, strict=True))
                raise MyiaValueError(
                    f"the rule {self.name!r} does not hold: at {shown} the left side is {a!r}, the right side {b!r}",
                    remedy="correct it, or give `samples` from the arguments for which it is meant",
                )
            worked += 1
        if not worked:
            raise MyiaValueError(
                f"the rule {self.name!r} could not be checked: its left side takes none of the random arguments",
                remedy="give `samples`, a list of argument tuples, or check=False",
            )
        self.checked = True

    def random_samples(self, rng):
        count = len(self.variables)
        for _ in range(8):
            yield tuple(float(rng.normal()) for _ in range(count))
            yield tuple(float(rng.uniform(0.1, 3)) for _ in range(count))
        for shape in ((3,), (3, 3)):
            for _ in range(4):
                yield tuple(rng.normal(size=shape) for _ in range(count))
        for _ in range(8):
            yield tuple(int(rng.integers(-9, 10)) for _ in range(count))


def source_of(graph):
    """The Python function that a typed graph was made from."""
    code = graph.info.get("code")
    return getattr(code, "info", {}).get("function")


def agree(a, b) -> bool:
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(agree, a, b))
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=RTOL, atol=RTOL, equal_nan=True))


def rule(equation=None, *, samples=None, check: bool = True, **functions):
    """A rewrite rule over your own functions.

    As a decorator, the function returns the equation, and its parameters are the variables; as a call, `equation` is
    text,
    and `functions` are the functions it names.  Before its first use the rule is evaluated on random arguments (or on
    `samples`, a list of argument tuples), and refused with a MyiaValueError where the two sides differ; check=False
    trusts it.

    >>> from myia_lite.opt import rule
    >>> def encode(x):
    ...     return 2.0 * x + 1.0
    >>> def decode(y):
    ...     return (y - 1.0) / 2.0
    >>> rule("decode(encode(x)) == x", decode=decode, encode=encode)
    rule('decode(encode(x)) == x')
    >>> @rule
    ... def undo(x):
    ...     return decode(encode(x)) == x
    >>> undo
    rule('decode(encode(x)) == x')
    """
    if equation is None:
        return lambda f: rule(f, samples=samples, check=check)
    if isinstance(equation, str):
        return UserRule(equation, {**BUILTINS, "math": math, "np": np, **functions}, samples, check)
    tree = ast.parse(textwrap.dedent(inspect.getsource(equation))).body[0]
    last = tree.body[-1] if isinstance(tree, ast.FunctionDef) else None
    if not isinstance(last, ast.Return) or last.value is None:
        raise MyiaValueError("a rule is a function that returns an equation", remedy="def name(x): return f(g(x)) == x")
    cells = inspect.getclosurevars(equation)
    scope = {**vars(builtins), **equation.__globals__, **cells.nonlocals}
    for p in inspect.signature(equation).parameters:
        scope.pop(p, None)
    return UserRule(ast.unparse(last.value), scope, samples, check)
