"""Copies of graphs."""

from __future__ import annotations

from .nodes import Apply, Constant, Graph, Node


class Clone:
    """Copies nodes and local graphs; `nodes` maps what is replaced (parameters to arguments, say), and grows as it
    copies.

    `origin` names what made the copy, in the spans of its nodes.
    """

    def __init__(self, nodes: dict[Node, Node] | None = None, origin: str | None = None):
        self.nodes = {} if nodes is None else nodes
        self.graphs: dict[Graph, Graph] = {}
        self.origin = origin

    def node(self, n: Node) -> Node:
        return self.nodes.get(n, n)

    def span(self, span):
        return span.made_by(self.origin) if span is not None and self.origin else span

    def apply(self, n: Apply, into: Graph) -> Apply:
        """Append a copy of `n` to `into`."""
        graphs = [self.graph(h, into) if n.op.nests else self.graphs.get(h, h) for h in n.graphs]
        new = Apply(n.op, [self.node(a) for a in n.args], n.attrs, graphs, n.type, self.span(n.span), n.name)
        self.nodes[n] = new
        into.nodes.append(new)
        return new

    def body(self, g: Graph, into: Graph) -> Node:
        """Append copies of the nodes of `g` to `into`; the copy of its result."""
        for n in g.nodes:
            self.apply(n, into)
        return self.node(g.result)

    def graph(self, g: Graph, parent: Graph | None) -> Graph:
        new = Graph(g.name, parent, g.span)
        new.result_type, new.info = g.result_type, dict(g.info)
        if g.parent is not None:  # for `recur`; a closed graph's calls of itself stay calls of the original
            self.graphs[g] = new
        for p in g.params:
            self.nodes[p] = new.parameter(p.type, p.name, p.span)
        new.result = self.body(g, new)
        return new


def clone(g: Graph, nodes: dict[Node, Node] | None = None) -> Graph:
    """A copy of a graph with all that is nested in it; closed graphs that it calls are shared."""
    c = Clone(nodes)
    return c.graph(g, g.parent)


def free_variables(g: Graph) -> list[Node]:
    """The nodes of enclosing graphs that `g` uses, in order of first use."""
    bound: set[Node] = set()
    free: dict[Node, None] = {}

    def visit(h: Graph):
        bound.update(h.params)
        for n in h.nodes:
            for a in n.args:
                use(a)
            if n.op.nests:
                for k in n.graphs:
                    visit(k)
            bound.add(n)
        use(h.result)

    def use(a):
        if not isinstance(a, Constant) and a not in bound:
            free[a] = None

    visit(g)
    return list(free)
