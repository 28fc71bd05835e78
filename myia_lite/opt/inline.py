"""Which calls become the callee's body."""

from __future__ import annotations

from collections import Counter

from ..ir import Graph, callees, reachable
from .program import size

SMALL = 60  # nodes: such a callee is always inlined
BUDGET = 20_000  # nodes that inlining may add to a program


def recursive(entry: Graph) -> set[Graph]:
    """The closed graphs on a cycle of the call graph (Tarjan's components, without recursion)."""
    index: dict[Graph, int] = {}
    low: dict[Graph, int] = {}
    stack: list[Graph] = []
    on_stack: set[Graph] = set()
    out: set[Graph] = set()
    edges = {g: list(dict.fromkeys(callees(g))) for g in reachable(entry)}
    for root in edges:
        work = [(root, 0)] if root not in index else []
        while work:
            g, k = work.pop()
            if g not in index:
                index[g] = low[g] = len(index)
                stack.append(g)
                on_stack.add(g)
            for j in range(k, len(edges[g])):
                h = edges[g][j]
                if h not in index:
                    work += [(g, j), (h, 0)]
                    break
                if h in on_stack:
                    low[g] = min(low[g], low[h])
            else:
                if low[g] == index[g]:
                    component = []
                    while True:
                        h = stack.pop()
                        on_stack.discard(h)
                        component.append(h)
                        if h is g:
                            break
                    if len(component) > 1 or g in edges[g]:
                        out.update(component)
    return out


def policy(entry: Graph):
    """`inline(callee)` for a walk over `entry`: never a recursive one; small ones, those called once, others within a
    budget."""
    loops = recursive(entry)
    count = Counter(n.graphs[0] for g in reachable(entry) for h in g.nested() for n in h.nodes if n.op.name == "call")
    sizes: dict[Graph, int] = {}
    left = [BUDGET]

    def inline(g: Graph) -> bool:
        if g in loops:
            return False
        if g not in sizes:
            sizes[g] = size(g)
        if count[g] <= 1 or sizes[g] <= SMALL:
            return True
        left[0] -= sizes[g]
        return left[0] > 0

    return inline
