"""Two ways to hold a value that there is many of, one for each row: as an array with one more axis, or side by side.

`Stacked` makes a number an array and an array one of higher rank: array programs keep their few large operations.
`Lanes` has so many nodes instead of one: scalar programs stay in registers, and what varies in none is shared.  Data
that holds floats holds them in the same way, so tags and heights stand once.
"""

from __future__ import annotations

from ..ir import (
    I64,
    Apply,
    Array,
    Builder,
    Graph,
    Node,
    Stack,
    Sum,
    Tuple,
    Type,
    current,
    shape_of,
)
from ..ops.arrays import batched_elementwise, dim, repeated
from ..ops.control import call, case, get, loop, make, recur, stack_len, stack_new, stack_pop, stack_push, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import eq
from .tangent import differentiable
from .varying import Dependent


class Rows:
    """What both ways share: types of data, and making rows of what does not vary."""

    counted = False  # does each graph take the number of rows?

    def __init__(self):
        self.sums: dict[Sum, Sum] = {}
        self.spreaders: dict[Type, Graph] = {}

    # ---- types
    def leaf(self, t: Type) -> tuple[Type, ...]:
        """The types of the nodes that stand for a leaf of type t."""
        return (self.wide(t),) if isinstance(t, (Sum, Stack)) else self.numbers(t)

    def wide(self, t: Type) -> Type:
        """The type of the rows of a value of type t inside data."""
        if not differentiable(t):
            return t
        if isinstance(t, Tuple):
            return Tuple(tuple(map(self.wide, t.elems)))
        if isinstance(t, Stack):
            return Stack(self.wide(t.elem))
        if isinstance(t, Sum):
            if t not in self.sums:
                s = self.sums[t] = Sum(f"{t.name}s")
                if t.tangent is t:
                    s.tangent = s
                s.variants = {tag: tuple(map(self.wide, fields)) for tag, fields in t.variants.items()}
            return self.sums[t]
        return self.bundled(self.numbers(t))

    def bundled(self, types: tuple[Type, ...]) -> Type:
        return types[0] if len(types) == 1 else Tuple(types)

    def bundle(self, nodes: tuple[Node, ...]) -> Node:
        """The nodes of a leaf as one value inside data."""
        return nodes[0] if len(nodes) == 1 else tuple_of(*nodes)

    def unbundle(self, n: Node, t: Type) -> tuple[Node, ...]:
        types = self.leaf(t)
        return (n,) if len(types) == 1 else tuple(get(n, index=k) for k in range(len(types)))

    # ---- rows that agree
    def spread(self, n: Node, count: Node) -> tuple[Node, ...]:
        """The rows of a leaf that does not vary."""
        if isinstance(n.type, Stack):
            return (self._stack(n, count),)
        if isinstance(n.type, Sum):
            return (self._call(n, count),)
        return self.repeated(n, count)

    def _stack(self, n, count):
        if isinstance(n, Apply) and n.op is stack_new:
            return stack_new(elem=self.wide(n.type.elem))
        return self._call(n, count)

    def _call(self, n, count):
        if isinstance(n, Apply) and n.op is make and not n.args:
            return make(sum=self.wide(n.type), tag=n.attrs["tag"])
        t = n.type
        if t not in self.spreaders:
            g = self.spreaders[t] = Graph("spread")
            counts = [g.parameter(I64, "rows")] if self.counted else []
            x = g.parameter(t, "x")
            g.result_type = self.wide(t)
            with Builder(g):
                how = self._turned if isinstance(t, Stack) else self._variants
                g.result = how(g, x, *counts or [count])
        return current().emit(call, *[count] * self.counted, n, graphs=(self.spreaders[t],))

    def _field(self, n: Node, count: Node) -> Node:
        """A value inside data, of any type."""
        if not differentiable(n.type):
            return n
        if isinstance(n.type, Tuple):
            return tuple_of(*[self._field(get(n, index=k), count) for k in range(len(n.type.elems))])
        return self.bundle(self.spread(n, count))

    def _variants(self, g, x, count):
        graphs = []
        for tag, fields in x.type.variants.items():
            h = Graph(tag, g)
            params = [h.parameter(f) for f in fields]
            with Builder(h):
                h.returns(make(*[self._field(p, count) for p in params], sum=g.result_type, tag=tag))
            graphs.append(h)
        return current().emit(case, x, graphs=graphs)

    def _turned(self, g, x, count):
        """Popped onto another, spread, and back."""

        def moved(name, source, onto, one):
            h = Graph(name, g)
            s, o = h.parameter(source.type, "s"), h.parameter(onto.type, "onto")
            h.result_type = onto.type
            done, step = Graph("done", h), Graph("step", h)
            done.returns(o)
            with Builder(step):
                popped = stack_pop(s)
                grown = stack_push(o, one(get(popped, index=1)))
                step.returns(current().emit(recur, get(popped, index=0), grown, graphs=(h,), type=onto.type))
            with Builder(h):
                h.result = current().emit(switch, eq(stack_len(s), 0), graphs=(done, step))
            return current().emit(loop, source, onto, graphs=(h,))

        turned = moved("turn", x, stack_new(elem=x.type.elem), lambda v: v)
        return moved("spread", turned, stack_new(elem=self.wide(x.type.elem)), lambda v: self._field(v, count))


class Stacked(Rows):
    """One array, whose leading axis is the row."""

    def __init__(self, lead: int | None):
        super().__init__()
        self.lead, self.counted = lead, lead is None

    def numbers(self, t):
        return (Array(t.dtype, (self.lead, *shape_of(t))),)

    def repeated(self, n, count):
        return (repeated(n, (self.lead,), [count] if self.counted else []),)

    def dim(self, n: Apply, rows: Node) -> Node:
        """The size of a row."""
        return dim(rows, axis=n.attrs["axis"] + 1)

    def apply(self, n: Apply, args: list[tuple[Node, ...]], varies: list[bool]) -> tuple[Node, ...]:
        """A primitive of which some arguments vary."""
        first = [a[0] for a in args]
        if n.op.batch is not None:
            out = n.op.batch(varies, *first, **n.attrs)
            if out is None:
                raise Dependent(n)
            return (out,)
        if not n.op.elementwise or n.op.name in SCALAR_ONLY:
            raise Dependent(n)
        return (batched_elementwise(n.op, varies, first, n.attrs),)


class Lanes(Rows):
    """A node for each row."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def numbers(self, t):
        return (t,) * self.count

    def repeated(self, n, count):
        return (n,) * self.count

    def dim(self, n, rows):
        return dim(rows, **n.attrs)

    def apply(self, n, args, varies):
        def lane(k):
            here = [a[k if v else 0] for a, v in zip(args, varies, strict=True)]
            return current().emit(n.op, *here, type=n.type, span=n.span, name=n.name, **n.attrs)

        return tuple(map(lane, range(self.count)))


SCALAR_ONLY = frozenset({"add_overflows", "sub_overflows", "mul_overflows", "pow_overflows"})
