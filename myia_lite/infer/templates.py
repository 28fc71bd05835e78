"""Templates: the compile-time part of a value, hashable, without its nodes.

`Shapes.template(value)` and `Shapes.leaves(value)` take a value apart, `Shapes.rebuild(template, nodes)` puts it
together over other nodes.  What crosses the boundary of a graph is the leaves; what keys a specialisation, and what a
loop iterates to a fixpoint, is the template.  The abstract type of an argument is a template too.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator as Iterable
from dataclasses import replace
from typing import Any

from ..ir import Apply, Array, Constant, Graph, Node, Sum, Type, constant
from ..ops import surface
from .structures import Dyn, Ident, Known, Maybe, Template, Tree, Union
from .values import (
    AtPoint,
    Bound,
    Closure,
    Complex,
    Iterator,
    Itself,
    Leaf,
    Mapping,
    MaybeUnbound,
    Message,
    Outcome,
    Range,
    Record,
    Ruled,
    Sequence,
    Slice,
    Spread,
    Static,
    Transformed,
    Value,
)

NO_VALUE = Static(surface.UNBOUND)  # what a variable without a value holds


# ---- closures --------------------------------------------------------------------------------------------------------
class Env:
    """The values of the surface nodes of a graph being walked, and of the graphs around it."""

    __slots__ = ("parent", "values")

    def __init__(self, parent: Env | None = None):
        self.values: dict[Node, Value] = {}
        self.parent = parent

    def __setitem__(self, node, value):
        self.values[node] = value

    def get(self, node: Node) -> Value | None:
        env = self
        while env is not None:
            if node in env.values:
                return env.values[node]
            env = env.parent
        # a function defined around this one: itself, or one that is defined further down
        if isinstance(node, Apply) and node.op is surface.py_closure:
            defaults = tuple(plain(a.value) if isinstance(a, Constant) else self.get(a) for a in node.args)
            return Closure(node.graphs[0], self, defaults)
        return None


def plain(obj: Any) -> Value:
    """The value of a Python object that is a number, or is known as it is."""
    if type(obj) in (bool, int, float):
        return Leaf(constant(obj), True)
    return Static(obj)


def captures(graph: Graph) -> tuple[Node, ...]:
    """The nodes of enclosing graphs whose values a call of `graph` needs; functions among them by what they need."""
    if "captures" not in graph.info:
        found: dict[Node, None] = {}
        _captures(graph, found, set())
        graph.info["captures"] = tuple(found)
    return graph.info["captures"]


def _captures(graph: Graph, found: dict, seen: set) -> None:
    if graph in seen:
        return
    seen.add(graph)
    inside: set[Node] = set()
    for g in graph.nested():
        inside.update(g.params)
        inside.update(g.nodes)
    for g in graph.nested():
        iterator = g.info.get("iterator")
        uses = [a for n in g.nodes for a in n.args]
        for use in (*uses, g.result, *([iterator] if iterator is not None else [])):
            if isinstance(use, Constant) or use in inside or use in found:
                continue
            if isinstance(use, Apply) and use.op is surface.py_closure:
                for a in use.args:
                    if not isinstance(a, Constant):
                        found[a] = None
                outer: dict[Node, None] = {}
                _captures(use.graphs[0], outer, seen)
                found.update((n, None) for n in outer if n not in inside)
            else:
                found[use] = None


# ---- values and their parts ------------------------------------------------------------------------------------------
def parts(value: Value) -> tuple[tuple, tuple[Value, ...]]:
    """The shape (hashable, without nodes) of a structure, and its children."""
    if isinstance(value, Static):
        return ("static", Ident(value.value)), ()
    if isinstance(value, Complex):
        return ("complex", value.rank), (value.re, value.im)
    if isinstance(value, Sequence):
        return ("sequence", value.kind, len(value.items)), value.items
    if isinstance(value, Mapping):
        return ("mapping", value.keys), value.items
    if isinstance(value, Record):
        return ("record", value.cls, len(value.items)), value.items
    if isinstance(value, Closure):
        held = captures(value.graph)
        values = tuple(value.env.get(n) or NO_VALUE for n in held)
        return ("closure", value.graph, len(held)), (*values, *value.defaults)
    if isinstance(value, Bound):
        keys = tuple(k for k, _ in value.keywords)
        return ("bound", len(value.args), keys), (value.function, *value.args, *(v for _, v in value.keywords))
    if isinstance(value, Transformed):
        return ("transformed", value.kind, value.argnums, value.has_aux, value.holomorphic), (value.function,)
    if isinstance(value, AtPoint):
        return ("at point", value.point), value.items
    if isinstance(value, Ruled):
        rules = [without(r, frozenset([value.site])) for r in value.rules.values()]
        return ("ruled", value.site, tuple(value.rules)), (value.function, *rules)
    if isinstance(value, Itself):
        return ("itself", value.site), ()
    if isinstance(value, Spread):
        return ("spread", len(value.items)), value.items
    if isinstance(value, Slice):
        return ("slice",), (value.start, value.stop, value.step)
    if isinstance(value, Range):
        return ("range",), (value.start, value.stop, value.step)
    if isinstance(value, Iterator):
        return ("iterator", value.kind), value.parts
    if isinstance(value, Message):
        return ("message", value.template), value.values
    if isinstance(value, Outcome) and value.node is None:
        return ("inject", value.tag), value.items
    raise AssertionError(f"a value of class {type(value).__name__}")


def remake(shape: tuple, items: tuple[Value, ...]) -> Value:
    """The inverse of `parts`."""
    kind, *rest = shape
    match kind:
        case "static":
            return Static(rest[0].value)
        case "complex":
            return Complex(*items)
        case "sequence":
            return Sequence(items, rest[0])
        case "mapping":
            return Mapping(rest[0], items)
        case "record":
            return Record(rest[0], items)
        case "closure":
            graph, count = rest
            env = Env()
            for node, value in zip(captures(graph), items[:count], strict=True):
                if value is not NO_VALUE:
                    env[node] = value
            return Closure(graph, env, items[count:])
        case "bound":
            n, keys = rest
            return Bound(items[0], items[1 : 1 + n], tuple(zip(keys, items[1 + n :], strict=True)))
        case "transformed":
            return Transformed(rest[0], items[0], *rest[1:])
        case "at point":
            return AtPoint(rest[0], items)
        case "ruled":
            out = Ruled(items[0], {}, rest[0])
            out.rules.update((k, with_itself(r, out)) for k, r in zip(rest[1], items[1:], strict=True))
            return out
        case "itself":
            return Itself(rest[0])
        case "spread":
            return Spread(items)
        case "slice":
            return Slice(*items)
        case "range":
            return Range(*items)
        case "iterator":
            return Iterator(rest[0], items)
        case "message":
            return Message(rest[0], items)
        case "inject":
            return Outcome(rest[0], items)
    raise AssertionError(kind)


# ---- functions with rules, which may refer to the functions --------------------------------------------------------
def without(value: Value, sites: frozenset) -> Value:
    """`value` with functions of these sites taken out of it."""

    def change(v):
        if not isinstance(v, Ruled):
            return None
        if v.site in sites:
            return Itself(v.site)
        inside = sites | {v.site}
        return Ruled(without(v.function, sites), {k: without(r, inside) for k, r in v.rules.items()}, v.site)

    return changed(value, change)


def with_itself(value: Value, function: Ruled) -> Value:
    """The inverse: `value` with `function` put where it was taken out."""
    made: dict[int, Ruled] = {}  # functions with rules may refer to each other

    def change(v):
        if isinstance(v, Itself):
            return function if v.site == function.site else None
        if not isinstance(v, Ruled) or v is function:
            return v if v is function else None
        if id(v) not in made:
            new = made[id(v)] = Ruled(v.function, {}, v.site)
            new.function = changed(v.function, change)
            new.rules.update((k, changed(r, change)) for k, r in v.rules.items())
        return made[id(v)]

    return changed(value, change)


def changed(value: Value, change: Callable[[Value], Value | None]) -> Value:
    """`value` with what `change` makes of the parts of it that it does not leave alone (None)."""
    new = change(value)
    if new is not None:
        return new
    if isinstance(value, MaybeUnbound):
        return replace(value, value=changed(value.value, change))
    if isinstance(value, Closure):
        env = Env()
        for n in captures(value.graph):
            if (held := value.env.get(n)) is not None:
                env[n] = changed(held, change)
        return Closure(value.graph, env, tuple(changed(d, change) for d in value.defaults))
    if isinstance(value, (Leaf, Itself)) or isinstance(value, Outcome) and value.node is not None:
        return value
    shape, items = parts(value)
    return remake(shape, tuple(changed(i, change) for i in items)) if items else value


class Shapes:
    """Taking values apart and putting them together, with the Sum types of one inference."""

    def __init__(self):
        self.sums: dict[Union, Sum] = {}
        self.tags: dict[Any, str] = {}

    def template(self, value: Value) -> Template:
        if isinstance(value, Leaf):
            node = value.node
            if isinstance(node, Constant):
                return Known(node.type, value.py, repr(node.value), node.value)
            return Dyn(node.type, value.py, value.zero_d)
        if isinstance(value, MaybeUnbound):
            item = None if value.value is NO_VALUE else self.template(value.value)
            return Maybe(value.name, item, self.template(value.bound))
        if isinstance(value, Outcome) and value.node is not None:
            return value.alternatives
        shape, items = parts(value)
        return Tree(shape, tuple(self.template(i) for i in items))

    def leaves(self, value: Value) -> list[Node]:
        """The nodes of a value, those of known numbers left out."""
        if isinstance(value, Leaf):
            return [] if isinstance(value.node, Constant) else [value.node]
        if isinstance(value, MaybeUnbound):
            inner = [] if value.value is NO_VALUE else self.leaves(value.value)
            return inner + self.leaves(value.bound)
        if isinstance(value, Outcome) and value.node is not None:
            return [value.node]
        return [leaf for item in parts(value)[1] for leaf in self.leaves(item)]

    def rebuild(self, t: Template, nodes: Iterable[Node]) -> Value:
        """The value of template `t` over the next of `nodes`."""
        if isinstance(t, Dyn):
            return Leaf(next(nodes), t.py, t.zero_d)
        if isinstance(t, Known):
            return Leaf(Constant(t.value, t.type), t.py)
        if isinstance(t, Union):
            return Outcome(None, (), next(nodes), t)
        if isinstance(t, Maybe):
            inner = NO_VALUE if t.item is None else self.rebuild(t.item, nodes)
            bound = self.rebuild(t.bound, nodes)
            return inner if bound.known and bound.node.value else MaybeUnbound(t.name, inner, bound)
        return remake(t.shape, tuple([self.rebuild(i, nodes) for i in t.items]))

    def types(self, t: Template | None) -> list[Type]:
        """The types of the leaves of `t`."""
        if isinstance(t, Dyn):
            return [t.type]
        if isinstance(t, Union):
            return [self.sum_of(t)]
        if isinstance(t, Maybe):
            return self.types(t.item) + self.types(t.bound)
        if isinstance(t, Tree):
            return [x for i in t.items for x in self.types(i)]
        return []

    def sum_of(self, t: Union) -> Sum:
        """The Sum type of a union: one per set of alternatives."""
        if t not in self.sums:
            s = self.sums[t] = Sum(f"u{len(self.sums)}")
            s.variants.update((tag, tuple(self.types(item))) for tag, item in t.alternatives)
        return self.sums[t]

    def tag(self, t: Template) -> str:
        """The name of the alternative that `t` belongs to: templates with one tag can be joined leaf by leaf."""
        if isinstance(t, Tree):
            if t.shape[0] == "inject":
                return t.shape[1]
            key, text = (t.shape, len(t.items)), _tag_text(t.shape)
            if t.shape[0] == "iterator":  # a loop over it needs to know what each part is
                key = (*key, *map(self.tag, t.items))
        elif isinstance(t, Union):
            key, text = tuple(tag for tag, _ in t.alternatives), "union"
        elif isinstance(t.type, Array):
            key, text = ("array", t.type.rank), f"array{t.type.rank}"
        elif t.py and t.type.dtype == "bool":  # True is not 1.0
            key = text = "bool"
        else:
            key, text = "number", "number"
        if key not in self.tags:
            taken = self.tags.values()
            self.tags[key] = text if text not in taken else f"{text}_{len(self.tags)}"
        return self.tags[key]


def _tag_text(shape: tuple) -> str:
    kind, *rest = shape
    if kind == "static":
        text = repr(rest[0])
    elif kind == "sequence":
        text = f"{rest[0].__name__}{rest[1]}"
    elif kind == "record":
        text = rest[0].__name__
    elif kind == "closure":
        text = rest[0].name
    else:
        text = kind
    return "".join(c if c.isalnum() else "_" for c in text)[:24] or "empty"
