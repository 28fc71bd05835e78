"""Where the control of a function goes, and which variables are needed there.

Three analyses of one function body, on its syntax tree, which is all that structured control flow needs: how a block
may end; which variables are live (their present value may be read later); and what is assigned after a nested function
was made, which decides whether it may capture a variable's value instead of the variable.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

from .names import (
    COMPREHENSIONS,
    FUNCTIONS,
    bindings,
    body,
    changed,
    free_names,
    local_names,
    parameters,
    root,
    same_scope,
    used,
)

FALL, RETURN, BREAK, CONTINUE = "fall", "return", "break", "continue"
NONE: frozenset[str] = frozenset()


def endless(loop: ast.AST) -> bool:
    """`while True`: it has no exit but those in its body."""
    return isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant) and bool(loop.test.value)


class Flow:
    """The analyses of one function."""

    def __init__(self, function):
        self.function = function
        self.locals = local_names(function)
        self._ends: dict[int, frozenset[str]] = {}
        self._changed: dict[int, frozenset[str]] = {}
        self.after: dict[int, frozenset[str]] = {}  # statement -> variables live after it
        self.head: dict[int, frozenset[str]] = {}  # loop -> variables live before each trip
        self.later: dict[int, frozenset[str]] = {}  # nested function -> variables assigned after it was made
        self.loops: dict[int, tuple[ast.AST, ...]] = {}  # nested function -> the loops around it
        self.named = self._functions_with_one_name()
        if isinstance(function, ast.Lambda):
            self._order(function, NONE, ())
        else:
            self._live(function.body, NONE, NONE, NONE)
            self._orders(function.body, NONE, ())

    # ---- how a block may end: raising is no way to go on ----
    def ends(self, statements: Sequence[ast.stmt]) -> frozenset[str]:
        out: set[str] = set()
        for s in statements:
            kinds = self._ends_of(s)
            out |= kinds - {FALL}
            if FALL not in kinds:
                return frozenset(out)
        return frozenset(out | {FALL})

    def _ends_of(self, s: ast.stmt) -> frozenset[str]:
        if id(s) not in self._ends:
            self._ends[id(s)] = frozenset(self._find_ends(s))
        return self._ends[id(s)]

    def _find_ends(self, s):
        match s:
            case ast.Return():
                return {RETURN}
            case ast.Break():
                return {BREAK}
            case ast.Continue():
                return {CONTINUE}
            case ast.Raise():
                return set()
            case ast.If():
                return self.ends(s.body) | self.ends(s.orelse)
            case ast.While() | ast.For():
                inside = self.ends(s.body)
                exhausted = NONE if endless(s) else self.ends(s.orelse)
                return (inside & {RETURN}) | exhausted | ({FALL} if BREAK in inside else NONE)
        return {FALL}

    def leaves_early(self, s: ast.stmt) -> bool:
        return bool(self._ends_of(s) - {FALL})

    def changed(self, statements: Sequence[ast.AST]) -> frozenset[str]:
        """Local variables that the statements change."""
        out: set[str] = set()
        for s in statements:
            if id(s) not in self._changed:
                self._changed[id(s)] = frozenset(changed([s]) & self.locals)
            out |= self._changed[id(s)]
        return frozenset(out)

    # ---- liveness, backwards ----
    def _live(self, statements, out, brk, cont) -> frozenset[str]:
        """Variables live before `statements`, given those after them, after the loop around and at its next trip."""
        for s in reversed(statements):
            self.after[id(s)] = out
            out = self._before(s, out, brk, cont)
        return out

    def _before(self, s, out, brk, cont):
        match s:
            case ast.If():
                return self._read([s.test], self._live(s.body, out, brk, cont) | self._live(s.orelse, out, brk, cont))
            case ast.While() | ast.For():
                exhausted = NONE if endless(s) else self._live(s.orelse, out, brk, cont)
                head = NONE
                while True:  # what a trip needs of the trip before: grows to a fixpoint
                    inside = self._live(s.body, head, out, head)
                    if isinstance(s, ast.For):
                        new = self._written([s.target], inside) | exhausted
                    else:
                        new = self._read([s.test], inside | exhausted)
                    if new == head:
                        break
                    head = new
                self.head[id(s)] = head
                return self._read([s.iter], head) if isinstance(s, ast.For) else head
            case ast.Return():
                return self._read([s.value], NONE) if s.value is not None else NONE
            case ast.Raise():
                return self._read([s.exc], NONE)
            case ast.Break():
                return brk
            case ast.Continue():
                return cont
            case ast.Assign():
                return self._read([s.value], self._written(s.targets, out))
            case ast.AugAssign():
                before = self._read([s.target, s.value], self._written([s.target], out))
                return before | ({root(s.target).id} & self.locals if isinstance(root(s.target), ast.Name) else NONE)
            case ast.AnnAssign():
                return out if s.value is None else self._read([s.value], self._written([s.target], out))
            case ast.FunctionDef():
                inner = (out | self._captured(s)) - {s.name}
                return self._read([*s.decorator_list, *s.args.defaults, *(d for d in s.args.kw_defaults if d)], inner)
        return self._read([c for c in ast.iter_child_nodes(s) if isinstance(c, ast.expr)], out)

    def _written(self, targets, out):
        """Before an assignment: names bound need no value, names in subscripts do."""
        return (out - {n for t in targets for n, _ in bindings([t])}) | (used(targets) & self.locals)

    def _read(self, expressions, out) -> frozenset[str]:
        """Before expressions evaluated in that order."""
        for e in reversed([e for e in expressions if e is not None]):
            out = self._before_expression(e, out)
        return out

    def _before_expression(self, e, out):
        if not any(isinstance(n, ast.NamedExpr) for n in same_scope([e])):
            names = {n.id for n in same_scope([e]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            for n in same_scope([e]):
                if isinstance(n, (ast.Lambda, *COMPREHENSIONS)):
                    names |= self._captured(n)
            return out | (names & self.locals)
        match e:
            case ast.NamedExpr():
                return self._before_expression(e.value, out - {e.target.id})
            case ast.BoolOp() | ast.Compare():
                first, *rest = e.values if isinstance(e, ast.BoolOp) else [e.left, *e.comparators]
                if isinstance(e, ast.Compare):
                    second, *rest = rest
                before = out
                for r in reversed(rest):  # each may be skipped
                    before = out | self._before_expression(r, before)
                if isinstance(e, ast.Compare):
                    before = self._before_expression(second, before)
                return self._before_expression(first, before)
            case ast.IfExp():
                return self._read([e.test], self._read([e.body], out) | self._read([e.orelse], out))
            case ast.Lambda():
                return self._read(e.args.defaults + e.args.kw_defaults, out | self._captured(e))
        if isinstance(e, COMPREHENSIONS):
            return self._read([e.generators[0].iter], out | self._captured(e))
        return self._read([c for c in ast.iter_child_nodes(e) if isinstance(c, (ast.expr, ast.keyword))], out)

    def _captured(self, function) -> frozenset[str]:
        """Variables whose present value a nested function captures."""
        return frozenset(n for n in free_names(function) & self.locals if not self.is_late(n, function))

    # ---- what nested functions capture ----
    def _functions_with_one_name(self) -> dict[str, ast.FunctionDef | ast.Lambda]:
        """Variables assigned once, to a function, with that function: others may refer to them before they are."""
        once = Counter(name for name, _ in bindings(body(self.function)))
        once.update(parameters(self.function))
        out: dict[str, ast.FunctionDef | ast.Lambda] = {}
        for n in same_scope(body(self.function)):
            if isinstance(n, ast.FunctionDef) and not n.decorator_list:
                out[n.name] = n
            match n:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                    out[name] = value
        return {name: n for name, n in out.items() if once[name] == 1}

    def is_late(self, name: str, function: ast.FunctionDef | ast.expr) -> bool:
        """Is `name` a function defined by, or below, the nested `function` that refers to it?"""
        definition = self.named.get(name)
        if definition is None or isinstance(function, COMPREHENSIONS):  # a comprehension runs where it stands
            return False
        return (definition.lineno, definition.col_offset) >= (function.lineno, function.col_offset)

    def _orders(self, statements, later, loops):
        for s in reversed(statements):
            self._order(s, later, loops)
            later = later | self.changed([s])

    def _order(self, s, later, loops):
        match s:
            case ast.If():
                self._made([s.test], later | self.changed([*s.body, *s.orelse]), loops)
                self._orders(s.body, later, loops)
                self._orders(s.orelse, later, loops)
            case ast.While() | ast.For():
                first = [s.iter] if isinstance(s, ast.For) else [s.test]
                self._made(first, later | self.changed([s]), loops if isinstance(s, ast.For) else (*loops, s))
                self._orders(s.body, later | self.changed(s.orelse), (*loops, s))
                self._orders(s.orelse, later, loops)
            case ast.Lambda() if s is self.function:
                self._made([s.body], later | self.changed([s.body]), loops)
            case _:
                self._made([s], later | self.changed([s]), loops)

    def _made(self, nodes, later, loops):
        todo = list(nodes)
        while todo:
            n = todo.pop()
            if isinstance(n, FUNCTIONS):
                self.later[id(n)], self.loops[id(n)] = later, loops
                todo += [*getattr(n, "decorator_list", ()), *n.args.defaults, *(d for d in n.args.kw_defaults if d)]
            else:
                todo.extend(ast.iter_child_nodes(n))
