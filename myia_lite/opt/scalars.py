"""Small arrays as their elements: each array that `small.Small` names is replaced by scalars, row-major.

What carries such arrays (loop state, results of branches, frames of stacks) carries so many scalars instead, at their
place.  Elements of other arrays are read, and rows of other arrays written, one by one.  The order of nodes stays, and
so does that of what they raise.
"""

from __future__ import annotations

import itertools

from ..ir import (
    Apply,
    Array,
    Builder,
    Constant,
    Graph,
    Never,
    Node,
    Scalar,
    Stack,
    Tuple,
    Type,
    constant,
    current,
    is_float,
)
from ..ops.arrays import elem
from ..ops.control import get
from ..ops.control import tuple_ as tuple_of
from ..ops.define import PRIMITIVES
from ..ops.elementwise import add, mul
from .program import size
from .small import CONTROL, ELEM, ELEMENTS, FOLDS, GROWTH, ROOM, WRITES, Small, count, starts, tail
from .terms import structural_zero


def make_scalars(g: Graph) -> int:
    """Replace the small arrays of a closed graph.  Returns how many there were.

    Where the program would grow much, only smaller ones are.
    """
    limit, most = ELEMENTS, GROWTH * size(g) + ROOM
    small = Small(g, limit)
    while small.alive and small.growth() > most:
        limit //= 2
        small = Small(g, limit)
    return Scalars(small).closed(g) if small.alive else 0


def positions(shape):
    return itertools.product(*map(range, shape))


def flat(shape, position) -> int:
    place = 0
    for i, d in zip(position, shape, strict=True):
        place = place * d + i
    return place


def _later(start: Node, by: int) -> Node:
    if isinstance(start, Constant):
        return constant(start.value + by)
    return add(start, by) if by else start


class Scalars:
    """The rewriting, in place: nodes that stay keep their identity, with new arguments."""

    def __init__(self, small: Small):
        self.small = small
        self.elements: dict[Node, list[Node]] = {}  # of arrays that are gone
        self.instead: dict[Node, Node] = {}  # of nodes that are gone
        self.at: dict[tuple, int] = {}  # (tuple, index) -> where that element is now
        self.before: dict[Graph, list] = {}  # the parameters that graphs had

    def closed(self, g: Graph) -> int:
        self.graph(g)
        return len(self.elements)

    def graph(self, g: Graph) -> None:
        params = self.before[g] = g.params
        g.params = []
        for p in params:
            if p in self.small:
                self.elements[p] = [g.parameter(Scalar(p.type.dtype), p.name, p.span) for _ in range(count(p.type))]
            else:
                p.type = self.one(p, p.type)
                g.params.append(p)
        nodes, g.nodes = g.nodes, []
        last = tail(g)
        with Builder(g) as b:
            for n in nodes:
                b.span = n.span
                self.visit(n, b, n is last)
            b.span = g.span
            taken = isinstance(g.result_type, Array) and self.small.holds(g, ()) and g.result.type is not Never
            g.result = tuple_of(*self.of(g.result)) if taken and last is None else self.node(g.result)
        if g.parent is not None and g.result_type is not Never:
            g.result_type = self.one(g, g.result_type)

    # ---- types
    def expanded(self, owner, t: Type, path: tuple = ()) -> list[Type]:
        """What a value of type `t` at that place is now: one value, or many."""
        if isinstance(t, Array):
            return [Scalar(t.dtype)] * count(t) if self.small.holds(owner, path) else [t]
        if isinstance(t, Tuple):
            return [Tuple(tuple(s for k, e in enumerate(t.elems) for s in self.expanded(owner, e, (*path, k))))]
        if isinstance(t, Stack):
            return [Stack(*self.expanded(owner, t.elem, (*path, ELEM)))]
        return [t]

    def one(self, owner, t: Type) -> Type:
        types = self.expanded(owner, t)
        return Tuple(tuple(types)) if isinstance(t, Array) and self.small.holds(owner, ()) else types[0]

    def note_places(self, n: Apply) -> None:
        """Where the elements of a tuple will be."""
        if isinstance(n.type, Tuple):
            at = 0
            for k, e in enumerate(n.type.elems):
                self.at[n, k] = at
                at += len(self.expanded(n, e, (k,)))

    # ---- values
    def node(self, n: Node) -> Node:
        return self.instead.get(n, n)

    def of(self, x: Node) -> list[Node]:
        """The elements of an array; those of one that stays are read here."""
        if x in self.elements:
            return self.elements[x]
        if isinstance(x, Constant):
            return [Constant(v.item(), Scalar(x.type.dtype)) for v in x.value.reshape(-1)]
        x = self.node(x)
        return [elem(x, *map(constant, p)) for p in positions(x.type.shape)]

    def put(self, a: Node, owner, path: tuple = ()) -> list[Node]:
        """What stands at a place for `a`."""
        return self.of(a) if isinstance(a.type, Array) and self.small.holds(owner, path) else [self.node(a)]

    # ---- nodes
    def visit(self, n: Apply, b: Builder, last: bool) -> None:
        name = n.op.name
        if name in CONTROL or name == "tuple":
            self.note_places(n)
            self.carry(n, name)
            if n in self.small:
                new = Apply(n.op, n.args, n.attrs, n.graphs, self.one(n, n.type), n.span, n.name)
                self.instead[n] = new
                b.graph.nodes.append(new)
                self.elements[n] = [] if last else [get(new, index=k) for k in range(count(n.type))]
            else:
                n.type = n.type if n.type is Never else self.one(n, n.type)
                b.graph.nodes.append(n)
        elif name == "get":
            (t,) = n.args
            at = self.at.get((t, n.attrs["index"]), n.attrs["index"])
            if n in self.small:
                self.elements[n] = [get(self.node(t), index=at + k) for k in range(count(n.type))]
                return
            self.note_places(n)
            n.type, n.attrs = self.one(n, n.type), {"index": at}
            self.keep(n, b)
        elif n in self.small:
            self.elements[n] = FORMULAS.get(name, Scalars.map)(self, n)
        elif name in FOLDS and n.args[0] in self.small:
            (self.instead[n],) = self.fold(n)
        elif name == "reshape" and n.args[0] in self.small:
            (self.instead[n],) = self.of(n.args[0])
        elif name == "elem" and n.args[0] in self.small:
            place = flat(n.args[0].type.shape, [i.value for i in n.args[1:]])
            self.instead[n] = self.of(n.args[0])[place]
        elif name in WRITES and n.args[1] in self.small:
            self.instead[n] = self.write(n)
        else:
            self.note_places(n)
            if name == "stack_new":
                n.attrs = {"elem": self.one(n, n.type).elem}
            n.type = self.one(n, n.type)
            self.keep(n, b)

    def keep(self, n: Apply, b: Builder) -> None:
        n.args = tuple(map(self.node, n.args))
        b.graph.nodes.append(n)

    def carry(self, n: Apply, name: str) -> None:
        """Control, and tuples: what flows in."""
        if name == "tuple":
            n.args = tuple(v for k, a in enumerate(n.args) for v in self.put(a, n, (k,)))
        elif name in ("loop", "recur"):
            params = self.before.get(n.graphs[0], n.graphs[0].params)
            n.args = tuple(v for p, a in zip(params, n.args, strict=True) for v in self.put(a, p))
        else:
            n.args = tuple(map(self.node, n.args))
        if n.op.nests:
            for h in n.graphs:
                self.graph(h)

    # ---- formulas
    def map(self, n: Apply) -> list[Node]:
        each = [self.of(a) if isinstance(a.type, Array) else [self.node(a)] * count(n.type) for a in n.args]
        return [current().emit(n.op, *values, **n.attrs) for values in zip(*each, strict=True)]

    def reshape(self, n: Apply) -> list[Node]:
        x = n.args[0]
        return self.of(x) if isinstance(x.type, Array) else [self.node(x)]

    def broadcast(self, n: Apply) -> list[Node]:
        x, axes = n.args[0], n.attrs["axes"]
        if not isinstance(x.type, Array):
            return [self.node(x)] * count(n.type)
        values = self.of(x)
        return [values[flat(x.type.shape, [p[a] for a in axes])] for p in positions(n.type.shape)]

    def transpose(self, n: Apply) -> list[Node]:
        x, perm = n.args[0], n.attrs["perm"]
        values = self.of(x)
        return [
            values[flat(x.type.shape, [p[perm.index(k)] for k in range(len(perm))])] for p in positions(n.type.shape)
        ]

    def iota(self, n: Apply) -> list[Node]:
        return [constant(k) for k in range(count(n.type))]

    def concat(self, n: Apply) -> list[Node]:
        axis, values = n.attrs["axis"], {}
        start = 0
        for x in n.args:
            for p, v in zip(positions(x.type.shape), self.of(x), strict=True):
                values[(*p[:axis], start + p[axis], *p[axis + 1 :])] = v
            start += x.type.shape[axis]
        return [values[p] for p in positions(n.type.shape)]

    def places(self, shape, first, steps):
        """The positions of a slice, as nodes."""
        first = list(map(self.node, first))
        for p in positions(shape):
            yield [_later(s, i * k) for s, k, i in zip(first, steps, p, strict=True)]

    def known_places(self, shape, first, steps):
        for p in positions(shape):
            yield [s.value + i * k for s, k, i in zip(first, steps, p, strict=True)]

    def slice(self, n: Apply) -> list[Node]:
        x, given = n.args[0], (n.type.shape, starts(n), n.attrs["steps"])
        if x in self.small:
            values = self.of(x)
            return [values[flat(x.type.shape, p)] for p in self.known_places(*given)]
        x = self.node(x)
        return [elem(x, *p) for p in self.places(*given)]

    def assign(self, n: Apply) -> list[Node]:
        """A write into an array that is scalars itself."""
        x, v = n.args[:2]
        values = list(self.of(x))
        if isinstance(v.type, Array):
            new, where = self.of(v), self.known_places(v.type.shape, starts(n), n.attrs["steps"])
        else:
            new, where = [self.node(v)], [[i.value for i in n.args[2:]]]
        for value, p in zip(new, where, strict=True):
            place = flat(x.type.shape, p)
            values[place] = value if n.op.name in ("set_elem", "slice_set") else add(values[place], value)
        return values

    def write(self, n: Apply) -> Node:
        """A write of a small array into one that stays."""
        x, v = n.args[:2]
        op, out = PRIMITIVES[WRITES[n.op.name]], self.node(x)
        for value, p in zip(self.of(v), self.places(v.type.shape, starts(n), n.attrs["steps"]), strict=True):
            out = current().emit(op, out, value, *p)
        return out

    def fold(self, n: Apply) -> list[Node]:
        """A reduction, from left to right."""
        x, axes, op = n.args[0], n.attrs["axes"], PRIMITIVES[FOLDS[n.op.name]]
        groups: dict[tuple, Node] = {}
        for p, v in zip(positions(x.type.shape), self.of(x), strict=True):
            group = tuple(i for k, i in enumerate(p) if k not in axes)
            if group in groups:
                groups[group] = current().emit(op, groups[group], v)
            else:  # NumPy's sums begin with 0.0, and of -0.0 they are 0.0
                groups[group] = add(0.0, v) if op is add and is_float(v.type) and not structural_zero(v) else v
        return list(groups.values())

    def running(self, n: Apply, axis: int, following) -> list[Node]:
        """Along an axis, each element from the one before: `following(its number, that element, that one's number)`."""
        values: dict[tuple, Node] = {}
        order = list(positions(n.type.shape))
        by = -1 if n.attrs["reverse"] else 1
        for place, p in list(enumerate(order))[::by]:
            before = (*p[:axis], p[axis] - by, *p[axis + 1 :])
            values[p] = following(place, values.get(before), flat(n.type.shape, before))
        return [values[p] for p in order]

    def cumsum(self, n: Apply) -> list[Node]:
        x = self.of(n.args[0])
        return self.running(n, n.attrs["axis"], lambda k, y, _: x[k] if y is None else add(y, x[k]))

    def recurrence(self, n: Apply) -> list[Node]:
        (a, b), reverse = map(self.of, n.args), n.attrs["reverse"]
        return self.running(
            n, 0, lambda k, y, before: b[k] if y is None else add(mul(a[k if reverse else before], y), b[k])
        )

    def matmul(self, n: Apply) -> list[Node]:
        (a, b), (ta, tb) = n.args, (n.attrs["ta"], n.attrs["tb"])
        left, right = self.of(a), self.of(b)
        inner = a.type.shape[0 if ta else 1]
        out = []
        for i, j in positions(n.type.shape):
            total = None
            for k in range(inner):
                x = left[flat(a.type.shape, (k, i) if ta else (i, k))]
                y = right[flat(b.type.shape, (j, k) if tb else (k, j))]
                total = mul(x, y) if total is None else add(total, mul(x, y))
            out.append(total)
        return out


FORMULAS = {
    "reshape": Scalars.reshape,
    "broadcast": Scalars.broadcast,
    "transpose": Scalars.transpose,
    "iota": Scalars.iota,
    "concat": Scalars.concat,
    "slice": Scalars.slice,
    "cumsum": Scalars.cumsum,
    "recurrence": Scalars.recurrence,
    "matmul": Scalars.matmul,
    **dict.fromkeys(("set_elem", "add_elem", "slice_set", "slice_add"), Scalars.assign),
    **dict.fromkeys(FOLDS, Scalars.fold),
}
