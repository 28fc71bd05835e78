"""Cotangents so far, by leaf, in nested scopes; and the scopes in which backward code is emitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import Graph, Node
from .frame_stack import FrameStack
from .tangent import (
    Path,
    Sums,
    tangent,
    type_at,
)

Leaf = tuple[Node, Path]


class Adjoints:
    """The cotangents so far, by leaf; an inner scope sees those of the scopes around it and keeps its changes."""

    def __init__(self, parent: Adjoints | None, sums: Sums):
        self.parent, self.sums, self.own = parent, sums, {}

    def get(self, leaf: Leaf) -> Node | None:
        return self.own[leaf] if leaf in self.own else self.parent and self.parent.get(leaf)

    def set(self, leaf: Leaf, bar: Node) -> None:
        self.own[leaf] = bar

    def add(self, leaf: Leaf, bar: Node) -> None:
        before = self.get(leaf)
        self.own[leaf] = bar if before is None else self.sums.add(before, bar)

    def pop(self, leaf: Leaf) -> Node | None:
        bar = self.get(leaf)
        self.own[leaf] = None
        return bar

    def changed(self, within: set) -> list[Leaf]:
        """The leaves of outer values that changed here, `within` being this scope's own nodes."""
        return [leaf for leaf, bar in self.own.items() if leaf[0] not in within and bar is not None]


class Accumulators(Adjoints):
    """In a backward loop: the cotangent of an outer value becomes its parameter when first asked for."""

    def __init__(self, parent, sums, graph: Graph, within: set):
        super().__init__(parent, sums)
        self.graph, self.within = graph, within

    def get(self, leaf):
        if leaf not in self.own:
            node, path = leaf
            if node in self.within:
                return None
            t = node.type if isinstance(node, FrameStack) else tangent(type_at(node.type, path))
            self.own[leaf] = self.graph.parameter(t, f"{node.name or 'acc'}_bar")
        return self.own[leaf]


@dataclass(eq=False)
class Scope:
    """Where backward code is emitted.  The values of the primal nodes `own` come from its residual, through `holes`."""

    parent: Scope | None
    own: set
    graph: Graph
    start: int = 0  # where its nodes begin in graph.nodes
    holes: dict = field(default_factory=dict)
    free: dict = field(default_factory=dict)  # key -> function that emits its value


def key_node(key) -> Node:
    return key if isinstance(key, Node) else key[1]
