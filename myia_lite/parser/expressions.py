"""Expressions: each Python operation is a node, in Python's order of evaluation; what may be skipped is a branch."""

from __future__ import annotations

import ast

from ..ir import Constant, Node
from ..ops import surface as py
from .block import Block
from .names import bindings
from .subset import refuse

BINARY = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
UNARY = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~", ast.Not: "not"}
COMPARE = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
CONSUMERS = (sum, tuple, list, max, min)  # they take all items of a generator, so the items may as well be made first
MOST_NESTED = 16  # parts of `a and b and …` that nest; longer ones are halved


def expression(b: Block, e: ast.expr) -> Node:
    """The value of `e`, emitted into `b`."""
    return _EXPRESSIONS[type(e)](b, e)


def condition(b: Block, e: ast.expr) -> Node:
    """The truth of `e`: a bool.  Its parts are never asked for more than their truth."""
    match e:
        case ast.BoolOp():
            return _logic(b, e, e.values, condition)
        case ast.UnaryOp(op=ast.Not()):
            return b.emit(py.py_unary, condition(b, e.operand), at=e, attrs={"op": "not"})
        case ast.Compare() if len(e.ops) > 1:
            return _chain(b, e, _truth)
        case ast.IfExp():
            return b.choose(
                condition(b, e.test), lambda t: condition(t, e.body), lambda f: condition(f, e.orelse), e, _written(e)
            )
    return _truth(b, expression(b, e), e)


def _truth(b, value, at):
    return b.emit(py.py_truth, value, at=at)


def _written(*parts) -> list[str]:
    """Variables that the parts bind by `:=`."""
    return sorted({name for name, _ in bindings(parts)})


# ---- leaves ----------------------------------------------------------------------------------------------------------
def _constant(b, e):
    return b.constant(e.value, e)


def _name(b, e):
    return b.read(e.id, e)


def _attribute(b, e):
    return b.emit(py.py_getattr, expression(b, e.value), at=e, attrs={"name": e.attr})


# ---- operators -------------------------------------------------------------------------------------------------------
def _binary(b, e):
    spine = []  # a + b + c + … leans to the left as far as it is long
    while isinstance(e, ast.BinOp):
        spine.append(e)
        e = e.left
    value = expression(b, e)
    for op in reversed(spine):
        value = b.emit(py.py_binary, value, expression(b, op.right), at=op, attrs={"op": BINARY[type(op.op)]})
    return value


def _unary(b, e):
    if isinstance(e.op, ast.Not):
        return condition(b, e)
    if isinstance(e.op, ast.USub) and isinstance(e.operand, ast.Constant) and type(e.operand.value) in (int, float):
        return b.constant(-e.operand.value, e)
    return b.emit(py.py_unary, expression(b, e.operand), at=e, attrs={"op": UNARY[type(e.op)]})


def _bool_op(b, e):
    return _logic(b, e, e.values, expression)


def _logic(b, e, values, part):
    """`and`, `or`: `part` makes the values, or their truth."""
    if len(values) > MOST_NESTED:
        half = len(values) // 2
        values = [ast.copy_location(ast.BoolOp(e.op, v), v[0]) for v in (values[:half], values[half:])]
    first, *rest = values
    value = part(b, first)
    if not rest:
        return value
    test = value if part is condition else _truth(b, value, first)
    go_on, stop = (lambda t: _logic(t, e, rest, part)), (lambda f: value)
    both = (go_on, stop) if isinstance(e.op, ast.And) else (stop, go_on)
    return b.choose(test, *both, e, _written(*rest))


def _compare(b, e):
    return _chain(b, e, lambda b, value, at: value)


def _chain(b, e, part):
    """`a < b < c`: each operand is evaluated once, and none after a comparison that fails."""

    def links(b, left, ops, comparators):
        right = expression(b, comparators[0])
        value = part(b, b.emit(py.py_compare, left, right, at=e, attrs={"op": COMPARE[type(ops[0])]}), e)
        if len(ops) == 1:
            return value
        test = value if part is _truth else _truth(b, value, e)
        return b.choose(
            test, lambda t: links(t, right, ops[1:], comparators[1:]), lambda f: value, e, _written(*comparators[1:])
        )

    return links(b, expression(b, e.left), e.ops, e.comparators)


def _if_exp(b, e):
    return b.choose(
        condition(b, e.test),
        lambda t: expression(t, e.body),
        lambda f: expression(f, e.orelse),
        e,
        _written(e.body, e.orelse),
    )


def _walrus(b, e):
    value = expression(b, e.value)
    b.bind(e.target.id, value)
    return value


# ---- data ------------------------------------------------------------------------------------------------------------
def _items(b, elts):
    """Values of the items, and the positions of those to be spread."""
    star = tuple(k for k, x in enumerate(elts) if isinstance(x, ast.Starred))
    return [expression(b, x.value if isinstance(x, ast.Starred) else x) for x in elts], star


def _display(op):
    def lower(b, e):
        values, star = _items(b, e.elts)
        return b.emit(op, *values, at=e, attrs={"star": star})

    return lower


def _dict(b, e):
    return b.emit(
        py.py_dict, *[expression(b, v) for v in e.values], at=e, attrs={"keys": tuple(k.value for k in e.keys)}
    )


def _subscript(b, e):
    value = expression(b, e.value)
    return b.emit(py.py_getitem, value, expression(b, e.slice), at=e)


def _slice(b, e):
    parts = [b.constant(None, e) if p is None else expression(b, p) for p in (e.lower, e.upper, e.step)]
    return b.emit(py.py_slice, *parts, at=e)


def _fstring(b, e):
    parts, values = [], []
    for v in e.values:
        if isinstance(v, ast.Constant):
            parts.append(v.value)
            continue
        values.append(expression(b, v.value))
        spec = "".join(s.value for s in v.format_spec.values) if v.format_spec is not None else ""
        parts.append((spec,) if spec else None)
    return b.emit(py.py_fstring, *values, at=e, attrs={"parts": tuple(parts)})


# ---- calls and functions ---------------------------------------------------------------------------------------------
def _call(b, e):
    function = expression(b, e.func)
    if e.args and isinstance(e.args[0], ast.GeneratorExp):
        positional = [_consumed(b, e, function), *_items(b, e.args[1:])[0]]
        star = ()
    else:
        positional, star = _items(b, e.args)
    keywords = [expression(b, k.value) for k in e.keywords]
    attrs = {"keywords": tuple(k.arg for k in e.keywords), "star": star}
    return b.emit(py.py_call, function, *positional, *keywords, at=e, attrs=attrs)


def _consumed(b, e, function):
    """The items of a generator that is the first argument of a builtin which takes them all."""
    others = [*e.args[1:], *(k.value for k in e.keywords)]
    takes_all = isinstance(function, Constant) and any(function.value is c for c in CONSUMERS)
    if takes_all and all(isinstance(o, ast.Constant) for o in others):
        return _comprehension(b, e.args[0])
    return _generator(b, e.args[0])


def _generator(b, e):
    names = ", ".join(c.__name__ for c in CONSUMERS)
    raise refuse(
        f"a generator that is not the argument of {names}", e, b.function.program.file, "write a list, [… for …]"
    )


def _comprehension(b, e):
    (gen,) = e.generators
    items = expression(b, gen.iter)
    inner = b.inner("item", e)
    inner.shadowed |= {name for name, _ in bindings([gen.target])}
    assign(inner, gen.target, inner.graph.parameter(name="item", span=b.span(gen.target)))
    inner.graph.returns(expression(inner, e.elt))
    return b.emit(py.py_comprehension, items, at=e, graphs=[inner.graph])


def _lambda(b, e):
    return b.function.closure(b, e)


def _starred(b, e):
    raise refuse("a * here", e, b.function.program.file, "use it in a call, a tuple or a list")


_EXPRESSIONS = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool_op,
    ast.Compare: _compare,
    ast.IfExp: _if_exp,
    ast.NamedExpr: _walrus,
    ast.Tuple: _display(py.py_tuple),
    ast.List: _display(py.py_list),
    ast.Dict: _dict,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.JoinedStr: _fstring,
    ast.Call: _call,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _generator,
    ast.Lambda: _lambda,
    ast.Starred: _starred,
}


# ---- targets ---------------------------------------------------------------------------------------------------------
def assign(b: Block, target: ast.expr, value: Node) -> None:
    """Store `value` where `target` says."""
    match target:
        case ast.Name():
            b.bind(target.id, value)
        case ast.Tuple() | ast.List():
            _unpack(b, target, value)
        case ast.Subscript():
            item = Place(b, target)
            item.store(b, value)
        case _:
            raise refuse("this target of an assignment", target, b.function.program.file, "assign to a name")


def _unpack(b, target, value):
    stars = [k for k, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
    before = stars[0] if stars else len(target.elts)
    attrs = {"before": before, "star": bool(stars), "after": len(target.elts) - before - len(stars)}
    items = b.emit(py.py_unpack, value, at=target, attrs=attrs)
    for k, t in enumerate(target.elts):
        t = t.value if isinstance(t, ast.Starred) else t
        assign(b, t, b.emit(py.py_getitem, items, b.constant(k, t), at=t))


class Place:
    """`a[i]…[j]` as a target: its parts are evaluated once, in the order in which they stand."""

    def __init__(self, b: Block, target: ast.Subscript):
        subscripts = [target]
        while isinstance(subscripts[-1].value, ast.Subscript):
            subscripts.append(subscripts[-1].value)
        self.subscripts = subscripts[::-1]
        name = self.subscripts[0].value
        file = b.function.program.file
        if not isinstance(name, ast.Name):
            raise refuse(
                "assignment to an item of an expression",
                target,
                file,
                "give the array a name first, and assign to its items",
            )
        if name.id not in b.function.flow.locals:
            raise refuse(
                f"assignment to an item of {name.id}, which is not a local variable,",
                target,
                file,
                f"pass {name.id} as an argument and return the new array",
            )
        self.name = name.id
        self.holders, self.indexes = [b.read(name.id, name)], []
        for s in self.subscripts:
            self.indexes.append(expression(b, s.slice))
            if s is not target:
                self.holders.append(b.emit(py.py_getitem, self.holders[-1], self.indexes[-1], at=s))

    def load(self, b: Block) -> Node:
        return b.emit(py.py_getitem, self.holders[-1], self.indexes[-1], at=self.subscripts[-1])

    def store(self, b: Block, value: Node) -> None:
        """The variable becomes the array with the item replaced."""
        innermost = len(self.subscripts) - 1
        for k in range(innermost, -1, -1):
            attrs = {} if k == innermost else {"through": True}
            value = b.emit(py.py_setitem, self.holders[k], self.indexes[k], value, at=self.subscripts[k], attrs=attrs)
        b.bind(self.name, value)
