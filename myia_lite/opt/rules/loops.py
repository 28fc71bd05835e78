"""Counted loops as values: reading what a loop builds, and folds of which one term is not zero.

A *counted loop* goes round while k < n, by k + 1, in one way, and does nothing but compute.  These rules turn the
forward derivative of a fold, taken once for each of N elements, into one pass: the tangent of the i-th element is
one-hot, so that each inner fold has one term.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Apply, Graph, Node, Parameter
from ...ops import PRIMITIVES
from ...ops.arrays import set_elem
from ...ops.elementwise import add, bit_and, eq, ge, lt, maximum, select
from ..ranges import step_of
from ..rule import Rule, RuleSet, computed, control, equation
from ..terms import filled, known, made_by, structural_zero, typed
from .control import rounds_of

SMALL = 8  # nodes that it is cheaper to compute again than to store in an array and read back


@dataclass
class Counted:
    """A counted loop: its counter and limit, the graph of a trip and of the end, the next values of its parameters."""

    header: Graph
    counter: Parameter
    limit: Node
    body: Graph
    done: Graph
    again: Apply

    def next(self, p: Parameter) -> Node:
        return self.again.args[self.header.params.index(p)]


def counted(header: Graph) -> Counted | None:
    r = header.result
    if not isinstance(r, Apply) or r.op.name != "switch" or not header.nodes or header.nodes[-1] is not r:
        return None
    c, (body, done), rounds = r.args[0], r.graphs, rounds_of(header)
    if not made_by(c, "lt") or c.args[0] not in header.params or len(rounds) != 1 or body.result is not rounds[0]:
        return None
    inside = {*header.params, *header.nodes}
    if c.args[1] in inside or step_of(rounds[0].args[header.params.index(c.args[0])], c.args[0]) != 1:
        return None
    if any(m.op.effect or m.op.nests or m.graphs for m in (*header.nodes[:-1], *body.nodes[:-1])):
        return None
    return Counted(header, c.args[0], c.args[1], body, done, rounds[0])


def slice_of(d: Counted, v: Node) -> list[Apply] | None:
    """The nodes of a trip that `v` takes, in order, if it takes nothing of the loop's state but the counter."""
    inside = {m: k for k, m in enumerate((*d.header.nodes, *d.body.nodes))}
    found, todo = set(), [v]
    while todo:
        n = todo.pop()
        if n in inside and n not in found:
            found.add(n)
            todo += n.args
        elif isinstance(n, Parameter) and n in d.header.params and n is not d.counter:
            return None
    return sorted(found, key=inside.get)


def at(walk, d: Counted, v: Node, i: Node) -> Node | None:
    """The value of `v` in trip `i`, outside of the loop."""
    nodes = slice_of(d, v)
    if nodes is None:
        return None
    before = {m: walk.nodes.get(m) for m in (d.counter, *nodes)}
    walk.nodes[d.counter] = i
    for m in nodes:
        walk.nodes[m] = walk.visit(m)
    result = walk.node(v)
    for m, b in before.items():
        if b is None:
            walk.nodes.pop(m, None)
        else:
            walk.nodes[m] = b
    return result


def one_hot(d: Counted, t: Node):
    """(i, v) where t is `where(k == i, v, 0)`, the counter being k and i from outside."""
    if not made_by(t, "select") or not made_by(t.args[0], "eq"):
        return None
    zero = t.args[2]
    if not known(zero) or zero.value != 0:
        return None
    a, b = t.args[0].args
    i = b if a is d.counter else a if b is d.counter else None
    inside = {*d.header.params, *d.header.nodes, *d.body.nodes}
    return None if i is None or i in inside else (i, t.args[1])


def _fold(structural):
    zero = "zero" if structural else "0.0"
    side = "" if structural else " (a sum of zeros may be -0.0)"

    @control(
        "loop", f"loop(k < n, s) {{ s + where(k == i, f(k), {zero}) }} == s + where(0 <= i < n, f(i), {zero}){side}"
    )
    def rule(walk, n, args):
        (header,) = n.graphs
        d = counted(header)
        if d is None or d.body.result.op.name != "recur":
            return None
        start = args[header.params.index(d.counter)]
        totals = {}
        for p, a in zip(header.params, args, strict=True):
            if p is d.counter:
                continue
            t = d.next(p)
            if not made_by(t, "add") or p not in t.args:
                return None
            hot = one_hot(d, t.args[1] if t.args[0] is p else t.args[0])
            if hot is None or slice_of(d, hot[1]) is None:
                return None
            if structural and not structural_zero((t.args[1] if t.args[0] is p else t.args[0]).args[2]):
                return None
            totals[p] = a, hot
        if not totals:
            return None
        limit = walk.node(d.limit)
        for p, (a, (i, v)) in totals.items():
            i = walk.node(i)
            inside = bit_and(ge(i, start), lt(i, limit))
            term = at(walk, d, v, maximum(i, start) if not known(inside) else i)
            walk.nodes[p] = add(a, select(inside, term, 0.0))
        walk.nodes[d.counter] = maximum(start, limit)
        return walk.splice(d.done, ())

    return rule


@control("loop", "loop(k < n, fill(0)) { r with r[k] = where(k == i, f(k), 0) } == fill(0) with [i] = f(i)")
def one_hot_build(walk, n, args):
    """Only where i is a trip of the loop for certain: an index that is not must not be written."""
    (header,) = n.graphs
    d = counted(header)
    if d is None or len(header.params) != 2:
        return None
    r = next(p for p in header.params if p is not d.counter)
    start, init = args[header.params.index(d.counter)], args[header.params.index(r)]
    t, zero = d.next(r), filled(init)
    if not made_by(t, "set_elem") or t.args[0] is not r or list(t.args[2:]) != [d.counter] or zero is None:
        return None
    hot = one_hot(d, t.args[1])
    if hot is None or not known(zero) or repr(zero.value) != repr(t.args[1].args[2].value):
        return None
    i, limit = walk.node(hot[0]), walk.node(d.limit)
    inside = bit_and(ge(i, start), lt(i, limit))
    if not (known(inside) and inside.value) or slice_of(d, hot[1]) is None:
        return None
    walk.nodes[r] = set_elem(init, at(walk, d, hot[1], i), i)
    walk.nodes[d.counter] = maximum(start, limit)
    return walk.splice(d.done, ())


@control("elem", "elem(loop(k < n, _) { r with r[k] = f(k) }, i) == f(i), f small")
def read_of_build(walk, n, args):
    """Loop fusion: what one loop builds for another to read is computed where it is read."""
    x, *idx = args
    if len(idx) != 1:
        return None
    index, loop = (x.attrs["index"], x.args[0]) if made_by(x, "get") else (None, x)
    if not made_by(loop, "loop"):
        return None
    d = counted(loop.graphs[0])
    if d is None or d.done.nodes and not made_by(d.done.result, "tuple"):
        return None
    r = d.done.result if index is None else d.done.result.args[index] if made_by(d.done.result, "tuple") else None
    if r not in d.header.params:
        return None
    t, start = d.next(r), loop.args[d.header.params.index(d.counter)]
    if not made_by(t, "set_elem") or t.args[0] is not r or list(t.args[2:]) != [d.counter]:
        return None
    i = idx[0]
    inside = bit_and(ge(i, start), lt(i, d.limit))
    nodes = slice_of(d, t.args[1])
    if nodes is None or len(nodes) > SMALL or not (known(inside) and inside.value):
        return None
    return at(walk, d, t.args[1], i)


@computed("elem", "elem(set_elem(fill(c), v, i), j) == where(j == i, v, c)")
def read_of_one_hot(x, *idx):
    if made_by(x, "set_elem") and (c := filled(x.args[0])) is not None:
        same = None
        for i, j in zip(x.args[2:], idx, strict=True):
            here = eq(j, i)
            same = here if same is None else bit_and(same, here)
        return select(same, x.args[1], c)


# ---- algebra of one-hot terms: a product with zero is zero, whatever the other factor ------------------------------
def _through(op, k):
    """`op`, linear in argument k, of a one-hot term is one-hot."""

    def function(args, attrs, op):
        w = args[k]
        if not made_by(w, "select") or not known(w.args[2]) or w.args[2].value != 0:
            return None
        inner = [*args[:k], w.args[1], *args[k + 1 :]]
        return typed(select(w.args[0], op(*inner, **attrs), w.args[2]), op, args, attrs)

    x = ", ".join("where(c, x, 0)" if j == k else "y" for j in range(max(op.multilinear) + 1 + (op.name == "div")))
    y = ", ".join("x" if j == k else "y" for j in range(max(op.multilinear) + 1 + (op.name == "div")))
    return Rule(f"{op.name}({x}) == where(c, {op.name}({y}), 0)", op, function, size=2)


ONE_HOT_TERMS = [_through(PRIMITIVES[name], k) for name in ("mul", "div", "neg") for k in PRIMITIVES[name].multilinear]

FUSION = RuleSet("fusion", read_of_one_hot, read_of_build)
ONE_HOT_FOLDS = RuleSet("one_hot_folds", _fold(True), one_hot_build)
ONE_HOT_UNSOUND = RuleSet(
    "one_hot_unsound_on_edge_values",
    *ONE_HOT_TERMS,
    equation("where(c, x, 0.0) + where(c, y, 0.0) == where(c, x + y, 0.0)"),
    equation("where(c, x, 0.0) - where(c, y, 0.0) == where(c, x - y, 0.0)"),
    equation("where(c, 0.0, 0.0) == 0.0"),
    equation("x + 0.0 == x", "floating(x)"),
    equation("x - 0.0 == x", "floating(x)"),
    equation("x * 0.0 == 0.0", "floating(x)"),
    equation("0.0 / x == 0.0", "floating(x)"),
    _fold(False),
)
