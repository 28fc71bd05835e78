"""Statements: structured control flow from Python's.

A block of statements is lowered with `Ends`, which say what becomes of each way in which it may end.  Every such end is
a leaf: the result of the graph in which it stands.  An `if` whose branches only fall through is a `switch` whose result
are the variables that it changes.  Where a branch leaves early, what follows goes into the branch that goes on; where
both may go on, the `if` becomes a *region*, which returns an outcome, and a `match` on that goes on.  A loop is such a
region always.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..ir import Graph, Node
from ..ops import control
from ..ops import surface as py
from .block import Block
from .expressions import BINARY, Place, assign, condition, expression
from .flow import BREAK, CONTINUE, FALL, NONE, RETURN, endless

MOST_NESTED = 30  # statements of one block that leave early: each nests what follows, so a longer block is halved


def _no_loop(b: Block) -> Node:
    raise AssertionError("Python lets break and continue stand in loops only")


@dataclass(frozen=True)
class Ends:
    """The ways a block may end.  Each makes the leaf in the block at hand; `leave_return` takes the value returned.

    `live` says which variables are needed at each.
    """

    fall: Callable[[Block], Node]
    leave_return: Callable[[Block, Node], Node]
    leave_break: Callable[[Block], Node] = _no_loop
    leave_continue: Callable[[Block], Node] = _no_loop
    live: Mapping[str, frozenset[str]] = field(default_factory=dict)


def statements(b: Block, body: Sequence[ast.stmt], ends: Ends) -> None:
    """Lower `body` and what comes after it: gives the graph of `b` its result."""
    early = [k for k, s in enumerate(body) if b.function.flow.leaves_early(s)]
    if len(early) > MOST_NESTED:
        middle = early[len(early) // 2]
        return _in_halves(b, body[:middle], body[middle:], ends)
    for k, s in enumerate(body):
        lower = _STATEMENTS.get(type(s))
        if lower is not None:
            lower(b, s)
        elif _CONTROL[type(s)](b, s, body[k + 1 :], ends):
            return None
    b.graph.returns(ends.fall(b))
    return None


# ---- statements that fall through ------------------------------------------------------------------------------------
def _assign(b, s):
    for target in s.targets:
        if _item_by_item(s.value, target) and len(s.targets) == 1:
            for t, v in list(zip(target.elts, [expression(b, x) for x in s.value.elts], strict=True)):
                assign(b, t, v)
            return
    if len(s.targets) == 1 and isinstance(s.targets[0], ast.Name) and isinstance(s.value, ast.Lambda):
        b.function.closure(b, s.value, s.targets[0].id)
        return
    value = expression(b, s.value)
    for target in s.targets:
        assign(b, target, value)


def _item_by_item(value, target):
    """`a, b = x, y` needs no tuple."""
    sides = value, target
    return (
        all(isinstance(t, (ast.Tuple, ast.List)) for t in sides)
        and len(value.elts) == len(target.elts)
        and not any(isinstance(x, ast.Starred) for t in sides for x in t.elts)
    )


def _ann_assign(b, s):
    if s.value is not None:
        assign(b, s.target, expression(b, s.value))


def _aug_assign(b, s):
    place = Place(b, s.target) if isinstance(s.target, ast.Subscript) else None
    old = place.load(b) if place else b.read(s.target.id, s.target)
    new = b.emit(py.py_inplace, old, expression(b, s.value), at=s, attrs={"op": BINARY[type(s.op)]})
    if place:
        place.store(b, new)
    else:
        b.bind(s.target.id, new)


def _expr(b, s):
    if not isinstance(s.value, ast.Constant):
        expression(b, s.value)


def _pass(b, s):
    pass


def _function_def(b, s):
    decorators = [expression(b, d) for d in s.decorator_list]
    b.function.closure(b, s, s.name, decorators)


def _assert(b, s):
    test = condition(b, s.test)
    fine, fails = b.inner("fine", s), b.inner("fails", s)
    fine.graph.returns(fine.constant(None, s))
    attrs = {"keywords": (), "star": ()}
    message = [] if s.msg is None else [expression(fails, s.msg)]
    error = fails.emit(py.py_call, fails.constant(AssertionError, s), *message, at=s, attrs=attrs)
    fails.graph.returns(fails.emit(py.py_raise, error, at=s))
    b.emit(control.switch, test, at=s, graphs=[fine.graph, fails.graph])


_STATEMENTS = {
    ast.Assign: _assign,
    ast.AnnAssign: _ann_assign,
    ast.AugAssign: _aug_assign,
    ast.Expr: _expr,
    ast.Pass: _pass,
    ast.FunctionDef: _function_def,
    ast.Assert: _assert,
}


# ---- statements that may end a block: True where they gave the graph its result --------------------------------------
def _return(b, s, rest, ends):
    value = b.constant(None, s) if s.value is None else expression(b, s.value)
    b.graph.returns(ends.leave_return(b, value))
    return True


def _break(b, s, rest, ends):
    b.graph.returns(ends.leave_break(b))
    return True


def _continue(b, s, rest, ends):
    b.graph.returns(ends.leave_continue(b))
    return True


def _raise(b, s, rest, ends):
    b.graph.returns(b.emit(py.py_raise, expression(b, s.exc), at=s))
    return True


def _if(b, s, rest, ends):
    flow = b.function.flow
    kinds = [flow.ends(s.body), flow.ends(s.orelse)]
    test = condition(b, s.test)
    one_goes_on = FALL not in kinds[0] or FALL not in kinds[1]
    if (one_goes_on or _trivial(rest)) and (kinds[0] | kinds[1]) != {FALL}:
        bodies = [
            [*body, *rest] if FALL in kind else body for body, kind in zip((s.body, s.orelse), kinds, strict=True)
        ]
        b.graph.returns(_branches(b, s, test, bodies, ends))
        return True
    region = Region(b, s, flow.ends([s]), flow.changed([s]), flow.after[id(s)], ends)
    return region.resume(b, _branches(b, s, test, [s.body, s.orelse], region.ends), rest)


def _branches(b, s, test, bodies, ends):
    blocks = b.inner("then", s), b.inner("else", s)
    for block, body in zip(blocks, bodies, strict=True):
        statements(block, body, ends)
    return b.emit(control.switch, test, at=s, graphs=[x.graph for x in blocks])


def _trivial(rest: Sequence[ast.stmt]) -> bool:
    """May these statements stand twice?  Nothing, or a leaf without a computation."""
    if len(rest) > 1:
        return False
    return all(
        isinstance(s, (ast.Break, ast.Continue, ast.Pass))
        or isinstance(s, ast.Return)
        and (s.value is None or isinstance(s.value, (ast.Name, ast.Constant)))
        for s in rest
    )


def _in_halves(b, first, second, ends):
    """Run `first` as a region of its own, so that what nests in it and what nests in `second` do not add up."""
    flow = b.function.flow
    kinds = flow.ends(first)
    if FALL not in kinds:
        return statements(b, first, ends)
    region = Region(b, first[0], kinds, flow.changed(first), flow.after[id(first[-1])], ends)
    inner = b.inner("part", first[0])
    statements(inner, first, region.ends)
    token = b.emit(py.inject, at=first[0], attrs={"tag": "part"})
    node = b.emit(py.match, token, at=first[0], graphs=[inner.graph], attrs={"tags": ("part",)})
    region.resume(b, node, second)
    return None


# ---- regions ---------------------------------------------------------------------------------------------------------
class Region:
    """A part of a block that runs in graphs of its own, and whose result says how it ended.

    With one way to end, the result is what that hands on: the variables that the part changes and that are needed
    there, or the value returned.  With several it is an outcome that carries this.
    """

    def __init__(self, b: Block, at, kinds: Iterable[str], changed: frozenset[str], live: frozenset[str], outer: Ends):
        self.at, self.outer = at, outer
        needed = {**outer.live, FALL: live}
        self.kinds = [k for k in (FALL, BREAK, CONTINUE, RETURN) if k in kinds]
        self.names = {k: sorted(changed & needed.get(k, NONE)) for k in self.kinds if k != RETURN}
        self.maybe: dict[str, set[str]] = {k: set() for k in self.kinds}
        self.ends = Ends(
            fall=lambda block: self.leave(block, FALL),
            leave_return=lambda block, value: self.hand_on(block, RETURN, [value]),
            leave_break=lambda block: self.leave(block, BREAK),
            leave_continue=lambda block: self.leave(block, CONTINUE),
            live={**outer.live, FALL: live},
        )

    def leave(self, block: Block, kind: str) -> Node:
        names = self.names[kind]
        self.maybe[kind] |= block.unassigned(names)
        return self.hand_on(block, kind, [block.current(n, self.at) for n in names])

    def hand_on(self, block: Block, kind: str, values: list[Node]) -> Node:
        if len(self.kinds) == 1:
            return block.pack(values, self.at)
        return block.emit(py.inject, *values, at=self.at, attrs={"tag": kind})

    def resume(self, b: Block, node: Node, rest: Sequence[ast.stmt]) -> bool:
        """Go on in `b` after the region, whose result is `node`.  True where that gave the graph its result."""
        if not self.kinds:  # it raises, or runs for ever
            b.graph.returns(node)
            return True
        if len(self.kinds) == 1:
            (kind,) = self.kinds
            count = 1 if kind == RETURN else len(self.names[kind])
            values = b.unpack(node, count, self.at)
            if kind != FALL:
                b.graph.returns(self.arrive(b, kind, values))
                return True
            b.rebind(self.names[FALL], values, self.maybe[FALL])
            return False
        graphs = []
        for kind in self.kinds:
            block = b.inner(kind, self.at)
            names = ["value"] if kind == RETURN else self.names[kind]
            values = [block.graph.parameter(name=n, span=block.graph.span) for n in names]
            if kind == FALL:
                block.rebind(names, values, self.maybe[FALL])
                statements(block, rest, self.outer)
            else:
                block.graph.returns(self.arrive(block, kind, values))
            graphs.append(block.graph)
        b.graph.returns(b.emit(py.match, node, at=self.at, graphs=graphs, attrs={"tags": tuple(self.kinds)}))
        return True

    def arrive(self, b: Block, kind: str, values: list[Node]) -> Node:
        """Leave the block around as the region was left."""
        if kind == RETURN:
            return self.outer.leave_return(b, values[0])
        b.rebind(self.names[kind], values, self.maybe[kind])
        return self.outer.leave_break(b) if kind == BREAK else self.outer.leave_continue(b)


# ---- loops -----------------------------------------------------------------------------------------------------------
def _while(b, s, rest, ends):
    loop = Loop(b, s, ends)
    head = loop.block
    if endless(s):
        statements(head, s.body, loop.ends)
    else:
        test = condition(head, s.test)
        body, done = head.inner("body", s), head.inner("done", s)
        statements(body, s.body, loop.ends)
        statements(done, s.orelse, loop.region.ends)
        head.graph.returns(head.emit(control.switch, test, at=s.test, graphs=[body.graph, done.graph]))
    return loop.region.resume(b, loop.enter(b, []), rest)


def _for(b, s, rest, ends):
    items = b.emit(py.py_iter, expression(b, s.iter), at=s.iter)
    trip = None

    def next_trip(block):
        return [block.emit(py.py_successor, trip, at=s.iter)]

    loop = Loop(b, s, ends, next_trip)
    head = loop.block
    trip = loop.graph.parameter(name="trip", span=b.span(s.iter))
    loop.graph.params.insert(0, loop.graph.params.pop())
    loop.graph.info["iterator"] = items
    more = head.emit(py.py_has_next, items, trip, at=s.iter)
    body, done = head.inner("body", s), head.inner("done", s)
    assign(body, s.target, body.emit(py.py_next, items, trip, at=s.target))
    statements(body, s.body, loop.ends)
    statements(done, s.orelse, loop.region.ends)
    head.graph.returns(head.emit(control.switch, more, at=s.iter, graphs=[body.graph, done.graph]))
    return loop.region.resume(b, loop.enter(b, [b.constant(0, s.iter)]), rest)


class Loop:
    """A loop under construction.  Its parameters are the variables that it changes and that are live before a trip."""

    def __init__(self, b: Block, s, outer: Ends, next_trip: Callable[[Block], list[Node]] = lambda block: []):
        flow = b.function.flow
        self.at, self.next_trip = s, next_trip
        self.changed = flow.changed([s])
        self.names = sorted(self.changed & flow.head[id(s)])
        self.region = Region(b, s, flow.ends([s]), self.changed, flow.after[id(s)], outer)
        kind = "for" if isinstance(s, ast.For) else "while"
        name = b.function.program.unique(f"{b.function.graph.name}.{kind}_{s.lineno}")
        self.graph = Graph(name, b.graph, b.span(s))
        self.graph.info["loop"] = kind
        b.function.loop_graphs[id(s)] = self.graph
        self.block = Block(self.graph, b.function, dict(b.env), set(b.maybe), b.shadowed)
        self.initial = [b.current(n, s) for n in self.names]
        unassigned = b.unassigned(self.names)
        for n in self.changed - set(self.names):  # not needed from before: a trip that reads it has assigned it
            self.block.env.pop(n, None)
            self.block.maybe.discard(n)
        params = [self.graph.parameter(name=n, span=self.graph.span) for n in self.names]
        self.block.rebind(self.names, params, unassigned)
        self.ends = Ends(
            fall=self.recur,
            leave_return=self.region.ends.leave_return,
            leave_break=self.region.ends.fall,
            leave_continue=self.recur,
            live={FALL: flow.head[id(s)], BREAK: flow.after[id(s)], CONTINUE: flow.head[id(s)]},
        )

    def recur(self, block: Block) -> Node:
        values = [block.current(n, self.at) for n in self.names]
        return block.emit(control.recur, *self.next_trip(block), *values, at=self.at, graphs=[self.graph])

    def enter(self, b: Block, first: list[Node]) -> Node:
        return b.emit(control.loop, *first, *self.initial, at=self.at, graphs=[self.graph])


_CONTROL = {
    ast.Return: _return,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.Raise: _raise,
    ast.If: _if,
    ast.While: _while,
    ast.For: _for,
}
