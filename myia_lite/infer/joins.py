"""Where values meet: the ends of branches, of loops and of functions.

Walking a graph leaves a list of `End`s, the leaves of its tree of branches.  The values of the ends are joined to one
template, each end hands over its leaves converted to that template, and the call that stood at the root of the tree (a
`switch`, `case` or `loop`) yields the nodes over which the joined value is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..ir import (
    FLOATS,
    Apply,
    Array,
    Constant,
    Graph,
    MyiaAttributeError,
    MyiaTypeError,
    Never,
    Node,
    Parameter,
    Scalar,
    Span,
    Sum,
    Tuple,
    Type,
    constant,
    shape_of,
    with_dtype,
)
from ..ops import arrays, control
from . import library
from .aliasing import AliasError, Aliases, merged
from .context import Context, Diverged
from .structures import Dyn, Known, Maybe, Template, Tree, Union
from .templates import NO_VALUE, Shapes, parts
from .values import Leaf, MaybeUnbound, Outcome, Value

CARRIERS = {
    control.tuple_,
    control.get,
    control.make,
    control.recur,
    control.loop,
}  # these move an array without reading it


@dataclass
class End:
    """One leaf of a tree of branches: the typed graph that ends there, and its value.  `loop`: it goes round again."""

    graph: Graph
    value: Value
    versions: dict
    loop: Graph | None = None
    span: Span | None = None
    nodes: list[Node] = field(default_factory=list)  # of a trip: the next state, converted


class Joins(Shapes, Context):
    """Branches and their joins."""

    def __init__(self, error_model: str):
        Shapes.__init__(self)
        Context.__init__(self, error_model)
        self.aliases = Aliases()

    # ---- aliasing ----------------------------------------------------------------------------------------------------
    def use(self, nodes) -> None:
        for n in nodes:
            if isinstance(n.type, Array):
                self.aliases.check(n, self.span)

    def made(self, node: Node) -> None:
        self.aliases.of(node)  # its storage is numbered now: loops tell what was there before them by that

    def view(self, node: Node, source: Leaf) -> Leaf:
        if isinstance(node, Leaf):
            node = node.node
        if isinstance(node.type, Array) and isinstance(source.node.type, Array) and node is not source.node:
            alias = self.aliases.of(source.node)[()]
            self.aliases.table[node] = {(): type(alias)(alias.holds, True)}
        return Leaf(node)

    # ---- raw emission ------------------------------------------------------------------------------------------------
    def append(self, op, args, graphs=(), type: Type | None = None, **attrs) -> Apply:
        """A node as it is: no folding, no check; what arrays it carries stays known."""
        node = Apply(op, args, attrs, graphs, type, self.span)
        self.graph.nodes.append(node)
        self.home[node] = self.graph
        if type is not None:
            self.made(node)
        return node

    def make(self, union: Union, tag: str, fields: list[Node]) -> Node:
        node = self.append(control.make, fields, type=self.sum_of(union), sum=self.sum_of(union), tag=tag)
        table = self.aliases.table[node] = {}
        for k, f in enumerate(fields):
            for path, alias in self.aliases.of(f).items():
                table[(tag, k, *path)] = alias
        return node

    def parameters(self, graph: Graph, types: list[Type], name: str | None = None) -> list[Parameter]:
        return [graph.parameter(t, name, self.span) for t in types]

    def dummy(self, type: Type) -> Node:
        """Some value of a type, which nobody will look at."""
        if isinstance(type, Scalar):
            zero = {"bool": False}.get(type.dtype, 0.0 if type.dtype[0] == "f" else 0)
            return Constant(zero, type)
        if isinstance(type, Array):
            dyn = [constant(0) for d in type.shape if d is None]
            return self.emit(arrays.broadcast, self.dummy(Scalar(type.dtype)), *dyn, shape=type.shape, axes=())
        if isinstance(type, Sum):
            tag, fields = next(iter(type.variants.items()))
            return self.append(control.make, [self.dummy(f) for f in fields], type=type, sum=type, tag=tag)
        raise AssertionError(f"a dummy {type}")

    # ---- joining templates -------------------------------------------------------------------------------------------
    def join(self, a: Template, b: Template) -> Template:
        """The least template that values of both fit into."""
        if a == b:
            return a
        if isinstance(a, Maybe) or isinstance(b, Maybe):
            return self._join_maybe(a, b)
        if isinstance(a, (Dyn, Known)) and isinstance(b, (Dyn, Known)):
            joined = self._join_leaves(a, b)
            if joined is not None:
                return joined
        if is_complex(a) != is_complex(b):
            a, b = self._as_complex(a, b), self._as_complex(b, a)
        if isinstance(a, Tree) and isinstance(b, Tree) and a.shape == b.shape and self.tag(a) == self.tag(b):
            return Tree(a.shape, tuple(map(self.join, a.items, b.items)))
        return self._join_alternatives(a, b)

    def _as_complex(self, t: Template, other: Template) -> Template:
        """A real number or array of the rank of `other`, which is complex, as a complex one; else `t` itself."""
        if not isinstance(t, (Dyn, Known)) or not is_complex(other) or len(shape_of(t.type)) != other.shape[1]:
            return t
        if t.type.dtype not in FLOATS and isinstance(t.type, Array):
            return t
        zero = Dyn(with_dtype(t.type, t.type.dtype if t.type.dtype in FLOATS else "f64"), t.py)
        return Tree(other.shape, (t, zero))

    def _join_maybe(self, a, b):
        def maybe(t):
            return t if isinstance(t, Maybe) else Maybe("", t, Known(Scalar("bool"), True, "True", True))

        a, b = maybe(a), maybe(b)
        item = self.join(a.item, b.item) if a.item and b.item else a.item or b.item
        return Maybe(a.name or b.name, item, self.join(a.bound, b.bound))

    def _join_leaves(self, a, b) -> Dyn | None:
        if isinstance(a.type, Scalar) and isinstance(b.type, Scalar):
            if self.tag(a) != self.tag(b):
                return None
            if a.type == b.type and a.py == b.py:
                return Dyn(a.type, a.py, getattr(a, "zero_d", False) and getattr(b, "zero_d", False))
            dtype, py = library.join_numbers(self, self._stand_in(a), self._stand_in(b))
            return Dyn(Scalar(dtype), py)
        if isinstance(a.type, Array) and isinstance(b.type, Array) and a.type.rank == b.type.rank:
            if a.type.dtype != b.type.dtype:
                self.error(
                    f"this is an array {a.type} on one path and {b.type} on another",
                    "convert one of them: x.astype(…)",
                )
            dims = tuple(m if m == n else None for m, n in zip(a.type.shape, b.type.shape, strict=True))
            return Dyn(Array(a.type.dtype, dims))
        return None

    def _stand_in(self, t) -> Leaf:
        """A leaf of a template, to ask the library about."""
        if isinstance(t, Known):
            return Leaf(Constant(t.value, t.type), t.py)
        return Leaf(Parameter(None, t.type), t.py)

    def _join_alternatives(self, a, b) -> Union:
        found: dict[str, Template] = {}
        for t in (a, b):
            for tag, item in t.alternatives if isinstance(t, Union) else ((self.tag(t), t),):
                found[tag] = self.join(found[tag], item) if tag in found else item
        return Union(tuple(sorted(found.items())))

    # ---- converting values -------------------------------------------------------------------------------------------
    def coerce(self, value: Value, t: Template) -> list[Node]:
        """The leaves of `value` as one of template `t`, converted in the current graph."""
        if isinstance(t, Known):
            return []
        if isinstance(t, Dyn):
            if isinstance(t.type, Scalar) and (value.type != t.type or value.py != t.py):
                value = library.convert(self, value, t.type.dtype, t.py)
            return [value.node]
        if isinstance(t, Maybe):
            if not isinstance(value, MaybeUnbound):
                return [*self.coerce(value, t.item), *self.coerce(self.const(True), t.bound)]
            if t.item is None:
                inner = []
            elif value.value is NO_VALUE:
                inner = [self.dummy(x) for x in self.types(t.item)]
            else:
                inner = self.coerce(value.value, t.item)
            return [*inner, *self.coerce(value.bound, t.bound)]
        if isinstance(t, Union):
            return [self._coerce_union(value, t)]
        if is_complex(t) and isinstance(value, Leaf):
            value = library.complexes.from_real(self, value)
        return [n for v, i in zip(parts(value)[1], t.items, strict=True) for n in self.coerce(v, i)]

    def _coerce_union(self, value, t: Union) -> Node:
        if isinstance(value, Outcome) and value.node is not None:
            if value.alternatives == t:
                return value.node
            return self.over(value, lambda v: Outcome(None, (), self._coerce_union(v, t), t)).node
        tag = self.tag(self.template(value))
        return self.make(t, tag, self.coerce(value, dict(t.alternatives)[tag]))

    # ---- regions -----------------------------------------------------------------------------------------------------
    def region(self, name: str, build: Callable[[], Value], types=()) -> tuple[Graph, list[End]]:
        """A local graph built by a function of Values; its `parameters` are handed to `build`."""
        graph = Graph(name, self.graph, self.span)
        params = self.parameters(graph, list(types))
        with self.into(graph):
            ends = self.attempt(lambda: [End(graph, build(*params), self.aliases.versions)])
        return graph, ends

    def attempt(self, walk: Callable[[], list[End]]) -> list[End]:
        """The ends of what `walk` does in the current graph; none where it always raises."""
        here = self.graph
        try:
            return walk()
        except Diverged as never:
            here.result, here.result_type = never.node, Never
            return []

    def branch(self, op, args, builds) -> tuple[Apply, list[End]]:
        """A `switch` or `case` whose graphs `builds` make; each starts from the versions in force here."""
        before = self.aliases.versions
        graphs, ends = [], []
        for build in builds:
            self.aliases.versions = dict(before)
            graph, found = build()
            graphs.append(graph)
            ends += found
        self.aliases.versions = dict(before)
        return self.append(op, args, graphs), ends

    def merge(self, node: Apply, ends: list[End]) -> Value:
        """The value of the branching `node`, whose graphs end in `ends`."""
        if not ends:
            self.settle_node(node)
            raise Diverged(node)
        template = self.template(ends[0].value)
        for end in ends[1:]:
            template = self.join(template, self.template(end.value))
        kept, sealed = self.finish(ends, template)
        self.settle_node(node)
        return self.collect(node, template, kept, sealed)

    def finish(self, ends: list[End], template: Template, closed: bool = False):
        """Let each end return its leaves; says for each leaf the node it is on all paths, or None if it is returned.

        The ends of a closed graph return all leaves.
        """
        columns = []
        for end in ends:
            self.aliases.versions = end.versions
            with self.into(end.graph):
                nodes = self.coerce(end.value, template)
            columns.append((nodes, [self.aliases.seal(n) for n in nodes]))
        rows = list(zip(*(nodes for nodes, _ in columns), strict=True))
        kept = [None if closed or not self._same_everywhere(row) else row[0] for row in rows]
        types = self.types(template)
        for end, (nodes, _) in zip(ends, columns, strict=True):
            with self.into(end.graph):
                returned = [(n, t) for n, t, k in zip(nodes, types, kept, strict=True) if k is None]
                self.give(end.graph, [n for n, _ in returned], [t for _, t in returned])
        sealed = []
        for k in range(len(rows)):
            table: dict = {}
            for _, seals in columns:
                for path, s in seals[k].items():
                    table.setdefault(path, []).append(s)
            sealed.append({path: merged(list_) for path, list_ in table.items()})
        self.aliases.join([end.versions for end in ends])
        return kept, sealed

    def give(self, graph: Graph, nodes: list[Node], types: list[Type]) -> None:
        """Return `nodes` from a graph, declared as of `types`: dims may be known here and unknown there."""
        result = (
            nodes[0]
            if len(nodes) == 1
            else self.append(control.tuple_, nodes, type=Tuple(tuple(n.type for n in nodes)))
        )
        graph.result, graph.result_type = result, types[0] if len(types) == 1 else Tuple(tuple(types))

    def collect(self, node: Apply, template, kept, sealed, known=None) -> Value:
        """The value over the results of `node`."""
        count = sum(k is None for k in kept)
        news = iter(
            [node]
            if count == 1
            else [self.append(control.get, [node], type=t, index=k) for k, t in enumerate(node.type.elems)]
        )
        nodes = []
        for same, table in zip(kept, sealed, strict=True):
            n = same
            if same is None:
                n = next(news)
                self.aliases.table[n] = {path: self.aliases.unseal(s, known) for path, s in table.items()}
            nodes.append(n)
        return self.rebuild(template, iter(nodes))

    def _same_everywhere(self, row) -> bool:
        """Is this one node on all paths, and in scope where they meet?"""
        first = row[0]
        if any(n is not first for n in row):
            return False
        if isinstance(first, Constant):
            return True
        owner = first.graph if isinstance(first, Parameter) else self.home.get(first)
        if owner is None:
            return True
        graph = self.graph
        while graph is not None:
            if graph is owner:
                return True
            graph = graph.parent
        return False

    def settle_node(self, node: Apply) -> None:
        """Give a branching node its type, now that its branches have theirs."""
        if node.type is None:
            for g in node.graphs:
                self.settle(g)
            node.type = node.op.type_rule([a.type for a in node.args], node.attrs, node.graphs)

    def settle(self, graph: Graph) -> None:
        if graph.result.type is None:
            self.settle_node(graph.result)
        if graph.result_type is None:
            graph.result_type = graph.result.type

    # ---- branches from Python callables ------------------------------------------------------------------------------
    def switch(self, condition: Node, then: Callable[[], Value], orelse: Callable[[], Value]) -> Value:
        if isinstance(condition, Leaf):
            condition = condition.node
        if isinstance(condition, Constant):
            return then() if condition.value else orelse()
        return self.merge(
            *self.branch(
                control.switch, [condition], [lambda: self.region("then", then), lambda: self.region("else", orelse)]
            )
        )

    def cases(self, value: Outcome, build: Callable[[str, Value], Value]) -> tuple[Apply, list[End]]:
        """A `case` over an outcome known at run time: `build(tag, alternative)` makes each branch."""
        return self.branch(
            control.case,
            [value.node],
            self.alternatives(
                value, lambda tag, v: self.attempt(lambda: [End(self.graph, build(tag, v), self.aliases.versions)])
            ),
        )

    def alternatives(self, value: Outcome, ends_of: Callable[[str, Value], list[End]]):
        """For each alternative a function that builds its graph; `ends_of` walks it."""
        held = self.aliases.of(value.node)

        def one(tag, template):
            graph = Graph(tag, self.graph, self.span)
            params = self.parameters(graph, self.types(template))
            for k, p in enumerate(params):
                table = {path[2:]: alias for path, alias in held.items() if path[:2] == (tag, k)}
                if table:
                    self.aliases.table[p] = table
                self.made(p)
            with self.into(graph):
                ends = ends_of(tag, self.rebuild(template, iter(params)))
            return graph, ends

        return [lambda tag=tag, t=t: one(tag, t) for tag, t in value.alternatives.alternatives]

    def over(self, value: Outcome, f: Callable[[Value], Value]) -> Value:
        """`f(value)` for a value of several shapes: one branch each.

        Where `f` does not take one of the shapes, as `None + 1`, that branch raises, as Python would; an error now if
        it takes none.
        """
        errors, total = [], len(value.alternatives.alternatives)

        def build(tag, v):
            nodes = self.graph.nodes
            start = len(nodes)
            try:
                return f(v)
            except (MyiaTypeError, MyiaAttributeError) as error:
                errors.append(error)
                if isinstance(error, AliasError) or len(errors) == total:
                    raise
                del nodes[start:]
            exception = "AttributeError" if isinstance(errors[-1], AttributeError) else "TypeError"
            message = errors[-1].message.replace("{", "{{").replace("}", "}}")
            self.emit(control.raise_, exception=exception, message=message)

        return self.merge(*self.cases(value, build))


def is_complex(t: Template) -> bool:
    return isinstance(t, Tree) and t.shape[0] == "complex"


def several(value: Value) -> bool:
    """Does only the running program know the shape of this value?"""
    return isinstance(value, Outcome) and value.node is not None
