"""The leaves of a loop: the straight paths from its head to each `recur` and to each exit."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import I64, Apply, Constant, Graph, Never, Node, Parameter


@dataclass(eq=False)
class Site:
    """One leaf: `steps` are the graphs on the way, each with the switch or case in its tail (the leaf's with None)."""

    steps: list[tuple[Graph, Apply | None]]
    leaf: Node  # the `recur`, or the result of an exit
    case_of: dict[Graph, tuple[Node, str]] = field(default_factory=dict)  # a case's graph -> (the sum, its tag)

    @property
    def graph(self) -> Graph:
        return self.steps[-1][0]

    @property
    def own(self) -> set:
        return {x for g, _ in self.steps for x in (*g.params, *g.nodes)}


def is_recur(n: Node) -> bool:
    return isinstance(n, Apply) and n.op.name == "recur"


def leads_round(g: Graph) -> bool:
    """Does a path through the tail of `g` reach a `recur`?"""
    r = g.result
    branches = isinstance(r, Apply) and r.op.name in ("switch", "case") and r in g.nodes
    return is_recur(r) or branches and any(map(leads_round, r.graphs))


def sites(header: Graph) -> tuple[list[Site], list[Site]]:
    """(ways round, exits) of a loop.  A path that ends in `raise` is neither."""
    rounds, exits = [], []

    def visit(g, steps, case_of):
        r = g.result
        if is_recur(r):
            rounds.append(Site([*steps, (g, None)], r, case_of))
        elif leads_round(g):
            tags = list(r.args[0].type.variants) if r.op.name == "case" else [None, None]
            for h, tag in zip(r.graphs, tags, strict=True):
                visit(h, [*steps, (g, r)], {**case_of, h: (r.args[0], tag)} if tag else case_of)
        elif r.type is not Never:
            exits.append(Site([*steps, (g, None)], r, case_of))

    visit(header, [], {})
    return rounds, exits


def inside(g: Graph) -> set[Node]:
    """All nodes and parameters of a graph and of what is nested in it."""
    return {x for h in g.nested() for x in (*h.params, *h.nodes)}


def induction(rounds: list[Site]) -> dict[Parameter, int]:
    """{parameter: stride} of the loop's parameters that gain the same constant on each trip."""
    out = None
    for site in rounds:
        here = {}
        for p, a in zip(site.leaf.graphs[0].params, site.leaf.args, strict=True):
            if isinstance(a, Apply) and a.op.name == "add" and p.type == I64:
                x, y = a.args
                if x is p and isinstance(y, Constant):
                    here[p] = int(y.value)
                elif y is p and isinstance(x, Constant):
                    here[p] = int(x.value)
        out = here if out is None else {p: s for p, s in out.items() if here.get(p) == s}
    return out or {}
