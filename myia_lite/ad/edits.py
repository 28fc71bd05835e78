"""Edits of emitted code: holes filled, unused nodes dropped."""

from __future__ import annotations

from ..ir import (
    Graph,
    Node,
    free_variables,
)


def substitute(g: Graph, filled: dict[Node, Node], start: int = 0) -> None:
    """Replace nodes in the nodes of `g` from `start` on, and in what is nested in them; and in the result."""

    def nodes(items):
        for n in items:
            if any(a in filled for a in n.args):
                n.args = tuple(filled.get(a, a) for a in n.args)
            if n.op.nests:
                for h in n.graphs:
                    nodes(h.nodes)
                    h.result = filled.get(h.result, h.result)

    nodes(g.nodes[start:])
    g.result = filled.get(g.result, g.result)


def prune(g: Graph, start: int, wanted: set[Node]) -> None:
    """Drop the nodes from `start` on that `wanted` does not need."""
    live, kept = set(wanted), []
    for n in reversed(g.nodes[start:]):
        if n in live:
            kept.append(n)
            live.update(n.args)
            if n.op.nests:
                for h in n.graphs:
                    live.update(free_variables(h))
    g.nodes[start:] = kept[::-1]
