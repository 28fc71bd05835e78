"""Graphs and their nodes.

A `Graph` has parameters, a list of `Apply` nodes in the order in which they are evaluated, and a result.  The order is
the order of effects: a `guard` fires after what stands before it.  A node may use nodes of enclosing graphs: a branch
of a `switch`, a case, a loop and (before inference) a nested function are graphs inside graphs.

Control flow is calls.  `switch` and `case` call one of their local graphs; `loop` calls a local graph, and `recur`,
only in tail position inside it, calls it again; `call` calls a closed graph.  A node that is a graph's result is in
tail position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .span import Span
from .types import Scalar, Type


class Node:
    """A value: a parameter, a constant or the application of a primitive."""

    __slots__ = ("type", "span", "name")
    type: Type | None
    span: Span | None
    name: str | None  # a hint for the printer


class Parameter(Node):
    __slots__ = ("graph",)

    def __init__(self, graph: Graph, type: Type | None = None, name: str | None = None, span: Span | None = None):
        self.graph, self.type, self.name, self.span = graph, type, name, span


class Constant(Node):
    """A number, or an array; before inference any Python object."""

    __slots__ = ("value",)

    def __init__(self, value: Any, type: Type | None = None, span: Span | None = None):
        self.value, self.type, self.name, self.span = value, type, None, span


class Apply(Node):
    """`op[attrs](args) {graphs}`.  `attrs` are static and hashable; `graphs` are local graphs or a callee."""

    __slots__ = ("op", "args", "attrs", "graphs")

    def __init__(self, op, args, attrs=None, graphs=(), type=None, span=None, name=None):
        self.op: Primitive = op
        self.args: tuple[Node, ...] = tuple(args)
        self.attrs: dict[str, Any] = attrs or {}
        self.graphs: tuple[Graph, ...] = tuple(graphs)
        self.type, self.span, self.name = type, span, name


class Graph:
    """Parameters, nodes in order, and a result; `parent` is the enclosing graph, None for a closed one."""

    __slots__ = ("name", "params", "nodes", "result", "result_type", "parent", "span", "info")

    def __init__(self, name: str, parent: Graph | None = None, span: Span | None = None):
        self.name, self.parent, self.span = name, parent, span
        self.params: list[Parameter] = []
        self.nodes: list[Apply] = []
        self.result: Node | None = None
        self.result_type: Type | None = None  # declared: a loop's own result is known before its body is built
        self.info: dict[str, Any] = {}  # facts from the parser (the kind of loop, a function's signature)

    def parameter(self, type: Type | None = None, name: str | None = None, span: Span | None = None) -> Parameter:
        p = Parameter(self, type, name, span)
        self.params.append(p)
        return p

    def returns(self, node: Node) -> Graph:
        self.result = node
        if self.result_type is None:
            self.result_type = node.type
        return self

    def subgraphs(self) -> Iterator[Graph]:
        """The graphs nested directly in this one (callees and the target of `recur` are no part of it)."""
        for n in self.nodes:
            if n.op.nests:
                yield from n.graphs

    def nested(self) -> Iterator[Graph]:
        """This graph and all graphs nested in it."""
        yield self
        for g in self.subgraphs():
            yield from g.nested()

    def __repr__(self):
        return f"<Graph @{self.name}>"


def callees(graph: Graph) -> Iterator[Graph]:
    """The closed graphs that this one, or one nested in it, mentions."""
    for g in graph.nested():
        for n in g.nodes:
            if not n.op.nests and n.op.name != "recur":
                yield from n.graphs


def reachable(entry: Graph) -> list[Graph]:
    """The closed graphs that `entry` reaches, itself first."""
    out, todo, seen = [], [entry], {entry}
    while todo:
        g = todo.pop()
        out.append(g)
        for h in callees(g):
            if h not in seen:
                seen.add(h)
                todo.append(h)
    return out


@dataclass(eq=False)
class Primitive:
    """One operation: everything the compiler knows about it stands in one declaration block in `ops`.

    `type_rule(types, attrs, graphs) -> Type` raises TypeError where the arguments do not fit.
    `value(*args, **attrs)` is its meaning on NumPy values (scalars are NumPy scalars); it returns what nobody else
    holds. Of an `in_place` primitive it copies argument 0 first, unless called with `own=True`.
    `derivative(d, y, *args, **attrs)`, for elementwise primitives: for each argument an expression linear in `d` (or
    None), which is the argument's cotangent where `d` is that of the result `y`, and the result's tangent where `d` is
    the argument's: one rule for both modes.
    `vjp(y_bar, y, *args, **attrs)`, for the others: the cotangent of each argument, None where it has none.
    `vjp_into(x_bar, y_bar, y, *args, **attrs)`, for those that read a part of argument 0, instead of `vjp`: the
    cotangent of argument 0 after adding this read's; the other arguments have none.  So no read costs a zero array.
    `linear`, for forward mode: the arguments in which it is linear together (`...` at the end: and all after); the
    tangent of the result is the primitive itself, applied to their tangents and to the other arguments as they are.
    `jvp(dots, y, *args, **attrs)`, for forward mode of what is neither elementwise nor linear: the tangent of the
    result; `dots` holds the tangent of each argument, None where it has none (there is at least one).
    `zero_derivative` says why the derivative is zero by mathematics; with none of these, to differentiate is an error.
    `batch(many, *args, **attrs)`, for those that are not elementwise: the primitive for each row of the arguments that
    `many` (a bool each) says have one more axis in front; the result has it too.  None where there is no such program.
    """

    name: str
    type_rule: Callable[..., Type]
    doc: str = ""
    value: Callable[..., Any] | None = None
    derivative: Callable[..., Any] | None = None
    vjp: Callable[..., Any] | None = None
    vjp_into: Callable[..., Any] | None = None
    linear: tuple | None = None
    jvp: Callable[..., Any] | None = None
    zero_derivative: str | None = None
    batch: Callable[..., Any] | None = None
    elementwise: bool = False
    effect: bool = False  # stays where it is, and is kept even where nobody uses its result
    optional: bool = False  # of an effect: goes where nobody uses its result
    nests: bool = False  # its graphs are local graphs, owned by the node
    in_place: bool = False  # consumes argument 0: written in place where nobody else holds it
    # "commutative", "associative", "idempotent": f(x, x) = x, "involution": f(f(x)) = x, "odd", "even"
    facts: frozenset[str] = field(default_factory=frozenset)
    unit: float | None = None  # f(x, unit) = x for every x, -0.0 included; -1 has all bits set, and is True among bools
    zero: float | None = None  # f(x, zero) = zero, in exact arithmetic
    multilinear: tuple[int, ...] = ()  # the arguments in each of which it is linear, the others fixed

    def __call__(self, *args, **attrs):
        """Emit an application into the current builder (see `Builder`)."""
        from .builder import current

        return current().emit(self, *args, **attrs)

    def is_linear_in(self, k: int) -> bool:
        """Is argument k one of those in which it is linear together?"""
        if self.linear is None or self.linear[-1] is not ...:
            return self.linear is not None and k in self.linear
        return k in self.linear or k > self.linear[-2]

    def __repr__(self):
        return self.name


def constant(value, type: Type | None = None) -> Constant:
    """A scalar constant; the type of a Python number is bool, i64 or f64 unless given."""
    if type is None:
        type = Scalar({bool: "bool", int: "i64", float: "f64"}[value.__class__])
    return Constant(value, type)
