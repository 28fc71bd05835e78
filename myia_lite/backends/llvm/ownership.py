"""Who releases what, and when: the facts behind reference counting.

The unit is the *cell*: the non-tuple value that a node defines, or one component of the tuple that it defines;
`tuple` and `get` only rename cells.  Each counted cell is owned by the path on which it is defined.  Its last use in a
graph moves it, if that use consumes it; a use before the last retains it.  A branch owns what dies at its switch; a
loop borrows what it uses from outside, and its trip owns its parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ...ir import Apply, Constant, Graph, Never, Node, Tuple, Type, callees, reachable
from .layout import on_heap

TAIL = ("switch", "case", "recur", "raise")


class Cell:
    __slots__ = ("constant", "counted", "type")

    def __init__(self, type: Type, constant=None):
        self.type, self.constant = type, constant  # a constant has its value here, and is not counted
        self.counted = constant is None and on_heap(type)


def _tree(t: Type):
    return tuple(map(_tree, t.elems)) if isinstance(t, Tuple) else Cell(t)


def _constants(value, t: Type):
    if isinstance(t, Tuple):
        return tuple(_constants(v, e) for v, e in zip(value, t.elems, strict=True))
    return Cell(t, value)


def leaves(tree) -> Iterator[Cell]:
    if isinstance(tree, tuple):
        for t in tree:
            yield from leaves(t)
    else:
        yield tree


class Ownership:
    """Cells and last uses of one closed graph; `operands(node)` are the nodes that a node's lowering reads."""

    def __init__(self, graph: Graph, operands):
        self.operands = operands
        self.cells: dict[Node, object] = {}
        self.last: dict[Graph, dict[Cell, int]] = {}  # the position of the last use; len(nodes) where it is the result
        self.used: dict[Graph, set[Cell]] = {}  # in the graph or one nested in it
        self._visit(graph)

    def tree(self, node: Node):
        """The cells of a node: a cell, or nested tuples of them."""
        if node not in self.cells:
            if isinstance(node, Constant):
                self.cells[node] = _constants(node.value, node.type)
            elif isinstance(node, Apply) and node.op.name == "get":
                self.cells[node] = self.tree(node.args[0])[node.attrs["index"]]
            elif isinstance(node, Apply) and node.op.name == "tuple":
                self.cells[node] = tuple(map(self.tree, node.args))
            else:
                self.cells[node] = _tree(node.type)
        return self.cells[node]

    def counted(self, node: Node) -> list[Cell]:
        return [c for c in leaves(self.tree(node)) if c.counted]

    def reads(self, g: Graph, node: Node) -> Counter:
        """How often `node` reads each cell.  What a loop is entered with and also uses inside is read twice: it has to
        live until the loop ends."""
        out = Counter(c for a in self.operands(g, node) for c in self.counted(a))
        if node.op.name == "loop":
            out.update(self.used[node.graphs[0]])
        return out

    def _visit(self, g: Graph) -> set[Cell]:
        last = self.last[g] = {}
        for i, node in enumerate(g.nodes):
            used = set()
            if node.op.name not in ("get", "tuple"):
                for a in self.operands(g, node):
                    used.update(self.counted(a))
            if node.op.nests:
                for h in node.graphs:
                    used |= self._visit(h)
            for c in used:
                last[c] = i
        if g.result is not None and tail(g) is None:
            for c in self.counted(g.result):
                last[c] = len(g.nodes)
        self.used[g] = set(last)
        return self.used[g]


def tail(g: Graph) -> Apply | None:
    """The node that ends `g` by a jump and not by a value."""
    if g.nodes and g.nodes[-1].op.name in TAIL and (g.result is g.nodes[-1] or g.nodes[-1].op.name == "raise"):
        return g.nodes[-1]
    return None


def tail_calls(g: Graph) -> Iterator[Apply]:
    """The calls of closed graphs in tail position of the closed graph `g`."""
    n = g.nodes[-1] if g.nodes else None
    if n is None or g.result is not n:
        return
    if n.op.name == "call" and n.type is not Never:  # without an end, as a loop it would run for ever
        yield n
    elif n.op.name in ("switch", "case"):
        for h in n.graphs:
            yield from tail_calls(h)


def source(node: Node) -> Node:
    """The node whose memory an array has, as far as writing in place and going round loops leave it there."""
    while isinstance(node, Apply):
        loop, index = node, None
        if node.op.name == "get":
            loop, index = node.args[0], node.attrs["index"]
        if node.op.in_place:
            node = node.args[0]
        elif isinstance(loop, Apply) and loop.op.name == "loop":
            (g,) = loop.graphs
            ends = list(_ends(g, g))
            left = [r.args[index] if index is not None and r.op.name == "tuple" else r for r, _ in ends if r]
            if index is not None and any(r.op.name != "tuple" for r, _ in ends if r):
                return node
            p = source(left[0]) if left else None
            if p not in g.params or any(source(r) is not p for r in left):
                return node
            k = g.params.index(p)
            if any(source(again.args[k]) is not p for _, again in ends if again):
                return node
            node = loop.args[k]
        else:
            return node
    return node


def _ends(g: Graph, loop: Graph) -> Iterator[tuple[Node | None, Apply | None]]:
    """The ways out of a loop's graph: (its value, None) where the loop ends, (None, the `recur`) where it goes on."""
    end = tail(g)
    if end is None:
        yield g.result, None
    elif end.op.name == "recur":
        yield None, end
    elif end.op.name in ("switch", "case"):
        for h in end.graphs:
            yield from _ends(h, loop)


class CallGraph:
    """The closed graphs that an entry reaches: which are recursive on the native stack, which may raise."""

    def __init__(self, entry: Graph):
        self.graphs = reachable(entry)
        self.jumps = {g: {n for n in tail_calls(g) if n.graphs[0] is g} for g in self.graphs}
        calls = {g: self._calls(g) for g in self.graphs}
        self.called = {h for hs in calls.values() for h in hs} | {g for g in self.graphs if self.jumps[g]}
        self.component = _components(self.graphs, calls)
        self.recursive = {
            g
            for g in self.graphs
            if g in calls[g] or any(h is not g and self.component[h] == self.component[g] for h in self.graphs)
        }
        raising = {g for g in self.graphs if g in self.recursive or self.jumps[g] or self._raises(g)}
        while True:
            more = {g for g in self.graphs if g not in raising and any(h in raising for h in calls[g])}
            if not more:
                break
            raising |= more
        self.raising = raising
        self.on_heap = any(on_heap(n.type) for g in self.graphs for h in g.nested() for n in (*h.params, *h.nodes))

    def _calls(self, g: Graph) -> set[Graph]:
        if not self.jumps[g]:
            return set(callees(g))
        return {
            h
            for sub in g.nested()
            for n in sub.nodes
            if n.op.name == "call" and n not in self.jumps[g]
            for h in n.graphs
        }

    def again(self, g: Graph) -> int:
        """How many calls of itself stand in a graph, beside those in tail position."""
        calls = (n for h in g.nested() for n in h.nodes if n.op.name == "call" and n.graphs[0] is g)
        return sum(n not in self.jumps[g] for n in calls)

    @staticmethod
    def _raises(g: Graph) -> bool:
        """A guard, Python functions, a loop that is interrupted, or anything that may run out of memory."""
        raising = ("guard", "raise", "foreign", "loop")
        return any(n.op.name in raising or on_heap(n.type) for sub in g.nested() for n in sub.nodes)


def _components(graphs, calls) -> dict[Graph, int]:
    """The strongly connected components (Tarjan 1972), as a number for each graph."""
    index, low, stack, out = {}, {}, [], {}
    for root in graphs:
        if root in index:
            continue
        work = [(root, iter(calls[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            g, it = work[-1]
            h = next(it, None)
            if h is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[g])
                if low[g] == index[g]:
                    while True:
                        m = stack.pop()
                        out[m] = index[g]
                        if m is g:
                            break
            elif h not in index:
                index[h] = low[h] = len(index)
                stack.append(h)
                work.append((h, iter(calls[h])))
            elif h not in out:
                low[g] = min(low[g], index[h])
    return out
