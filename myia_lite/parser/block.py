"""A graph under construction, and what each variable is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..ir import Apply, Constant, Graph, Node, Span
from ..ops import control
from ..ops import surface as py
from .subset import Located, span_of


class Block:
    """A graph under construction.

    `env` holds the node of each variable that has one; those in `maybe` some path has not assigned.  `shadowed` are the
    variables of the comprehensions around it.
    """

    def __init__(self, graph: Graph, function, env: dict[str, Node], maybe: set[str], shadowed=frozenset()):
        self.graph, self.function = graph, function
        self.env, self.maybe, self.shadowed = env, maybe, shadowed

    def inner(self, what: str, at: Located) -> Block:
        """A block in a new local graph: it starts with the variables of this one, and leaves them alone."""
        graph = Graph(
            self.function.program.unique(f"{self.function.graph.name}.{what}_{at.lineno}"), self.graph, self.span(at)
        )
        return Block(graph, self.function, dict(self.env), set(self.maybe), self.shadowed)

    def span(self, at: Located) -> Span:
        return span_of(at, self.function.program.file)

    def emit(
        self, op, *args: Node, at: Located, graphs: Iterable[Graph] = (), name: str | None = None, attrs=None
    ) -> Apply:
        node = Apply(op, args, attrs, graphs, span=self.span(at), name=name)
        self.graph.nodes.append(node)
        return node

    def constant(self, value: Any, at: Located) -> Constant:
        return Constant(value, span=self.span(at))

    # ---- variables ----
    def bind(self, name: str, node: Node) -> None:
        self.env[name] = node
        self.maybe.discard(name)
        if node.name is None and not isinstance(node, Constant):
            node.name = name

    def read(self, name: str, at: Located) -> Node:
        """The value of a variable, checked where it may have none."""
        if name in self.env:
            value = self.env[name]
            self.function.check_ready(self, value, name, at)
            if name not in self.maybe:
                return value
        else:
            value = self.function.outside(self, name, at)
            if value is not None:
                return value
            value = self.constant(py.UNBOUND, at)
        free = name not in self.function.flow.locals
        checked = self.emit(py.py_local, value, at=at, attrs={"name": name, "free": free})
        self.bind(name, checked)
        return checked

    def current(self, name: str, at: Located) -> Node:
        """The value of a variable as it is, to be handed on: perhaps none."""
        return self.env[name] if name in self.env else self.constant(py.UNBOUND, at)

    def unassigned(self, names: Iterable[str]) -> set[str]:
        return {n for n in names if n not in self.env or n in self.maybe}

    # ---- several values at once ----
    def pack(self, values: Sequence[Node], at: Located) -> Node:
        """One value for several; a single one stands for itself."""
        return values[0] if len(values) == 1 else self.emit(control.tuple_, *values, at=at)

    def unpack(self, packed: Node, count: int, at: Located) -> list[Node]:
        if count == 1:
            return [packed]
        return [self.emit(control.get, packed, at=at, attrs={"index": k}) for k in range(count)]

    def rebind(self, names: Sequence[str], values: Sequence[Node], maybe: set[str]) -> None:
        """Variables as they are after a part of the program that ran in graphs of its own."""
        for name, value in zip(names, values, strict=True):
            self.bind(name, value)
            if name in maybe:
                self.maybe.add(name)

    def choose(
        self,
        condition: Node,
        then: Callable[[Block], Node],
        other: Callable[[Block], Node],
        at: Located,
        written: Sequence[str] = (),
    ) -> Node:
        """The value of one of two expressions; the branches may write (`:=`) the variables `written`."""
        blocks = self.inner("then", at), self.inner("else", at)
        for block, make in zip(blocks, (then, other), strict=True):
            value = make(block)
            block.graph.returns(block.pack([value, *(block.current(n, at) for n in written)], at))
        node = self.emit(control.switch, condition, at=at, graphs=[b.graph for b in blocks])
        value, *values = self.unpack(node, 1 + len(written), at)
        self.rebind(written, values, set().union(*(b.unassigned(written) for b in blocks)))
        return value
