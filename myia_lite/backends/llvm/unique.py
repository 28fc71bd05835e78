"""Which arrays and stacks nobody else holds when they die: writes into these need no test of the count at run time.

A greatest fixpoint: every cell is believed to be held once until a use retains it, or it comes from where that is not
known (a parameter, a call, a record or a frame).  A loop's parameter is held once if all that comes round is; what it
is entered with may be made so in front of the loop (`forced`), where the first trip would do it anyway.
"""

from __future__ import annotations

from collections import Counter

from ...ir import I64, Apply, Array, Constant, Graph, Node, Stack
from .ownership import Cell, Ownership, leaves, tail


class Uniqueness:
    """`cell in unique` for the cells of one closed graph; `forced` are loop parameters to be made so at the entry."""

    def __init__(self, graph: Graph, ownership: Ownership, inlined, jumps):
        self.graph, self.ownership, self.inlined, self.jumps = graph, ownership, inlined, jumps
        self.shared: set[Cell] = set()
        self.forced: set[Cell] = set()
        headers = [n.graphs[0] for g in graph.nested() for n in g.nodes if n.op.name == "loop"]
        self.written = {c for g in headers for n in _straight(g) if n.op.in_place for c in self._cells(n.args[0])}
        self._share(graph.params)
        size = -1
        while size != len(self.shared):
            size = len(self.shared)
            self.forced = set()
            self._walk(graph, self._owned(graph.params), None)

    def __contains__(self, cell: Cell) -> bool:
        return cell.counted and cell not in self.shared

    # ---- cells
    def _cells(self, node: Node) -> list[Cell]:
        return self.ownership.counted(node)

    def _owned(self, nodes) -> set[Cell]:
        return {c for n in nodes for c in self._cells(n)}

    def _share(self, nodes) -> None:
        for n in nodes:
            self.shared.update(self._cells(n))

    # ---- the walk, in the order of lowering
    def _walk(self, g: Graph, owned: set[Cell], result: Node | None) -> None:
        """`result` stands for what `g` leaves with."""
        last, end = self.ownership.last[g], tail(g)
        owned = {c for c in owned if c in last}
        for i, node in enumerate(g.nodes):
            if node in self.inlined(g) or node.op.name in ("get", "tuple"):
                continue
            dying = {c for c in owned if last[c] == i}
            owned -= dying
            reads = self.ownership.reads(g, node)
            if node is end:
                self._node(g, node, dying | owned, reads, result)
                return
            self._node(g, node, dying, reads, node)
            owned |= {c for c in self._cells(node) if c in last}
        reads = Counter(self._cells(g.result))
        self._flow(g.result, result, owned, reads)

    def _moved(self, cell: Cell, dying, reads) -> bool:
        return cell in dying and reads[cell] == 1

    def _consume(self, node: Node, dying, reads) -> None:
        self.shared.update(c for c in self._cells(node) if not self._moved(c, dying, reads))

    def _flow(self, source: Node, target: Node | None, dying, reads) -> None:
        """`source` is consumed and becomes `target`."""
        self._consume(source, dying, reads)
        if target is None:
            return
        for s, t in zip(leaves(self.ownership.tree(source)), leaves(self.ownership.tree(target)), strict=True):
            if t.counted and (not s.counted or s in self.shared):
                self.shared.add(t)

    def _node(self, g: Graph, node: Apply, dying, reads, result: Node | None) -> None:
        name = node.op.name
        if name == "recur":
            for a, p in zip(node.args, node.graphs[0].params, strict=True):
                self._flow(a, p, dying, reads)
        elif name in ("switch", "case"):
            if name == "case":
                self._consume(node.args[0], set(), reads)
            for h in node.graphs:
                if name == "case":
                    self._share(h.params)
                self._walk(h, set(dying) | self._owned(h.params), result)
        elif name == "loop":
            (h,) = node.graphs
            for a, p in zip(node.args, h.params, strict=True):
                self._enter(a, p, dying, reads)
            self._walk(h, self._owned(h.params), node)
        elif name in ("call", "make", "grad"):
            for a in node.args:
                self._consume(a, dying, reads)
            if node not in self.jumps:
                self._share([node])
        elif name == "stack_push":
            for a in node.args:
                self._consume(a, dying, reads)
        elif name == "stack_pop":
            self._consume(node.args[0], dying, reads)
            rest, *top = leaves(self.ownership.tree(node))
            self.shared.update(top)
            if any(c in self.shared for c in self._cells(node.args[0])):
                self.shared.add(rest)
        elif name == "reshape" and isinstance(node.args[0].type, Array):
            self._flow(node.args[0], node, dying, reads)

    def _enter(self, a: Node, p: Node, dying, reads) -> None:
        """A loop's parameter: what it is entered with may be copied, where that comes to the same."""
        self._consume(a, dying, reads)
        for s, t in zip(leaves(self.ownership.tree(a)), leaves(self.ownership.tree(p)), strict=True):
            if t.counted and (not s.counted or s in self.shared):
                if t is self.ownership.tree(p) and isinstance(t.type, Array) and t in self.written:
                    self.forced.add(t)
                else:
                    self.shared.add(t)


def _straight(g: Graph) -> list[Apply]:
    """The nodes of a graph on the straight way round a loop: written to there means written to on each trip."""
    h, path = g, []
    while True:
        path += h.nodes
        r = h.result
        if isinstance(r, Apply) and r.op.name == "recur":
            return path
        if not (isinstance(r, Apply) and r.op.name == "switch" and h.nodes and h.nodes[-1] is r):
            return []
        round_ = [k for k in r.graphs if isinstance(k.result, Apply) and k.result.op.name in ("recur", "switch")]
        if len(round_) != 1:
            return []
        (h,) = round_


def trips(node: Apply) -> tuple[Node, Node] | None:
    """(start, stop) of a loop that runs from `start` to `stop` by ones and has no other way out than an error."""
    found = counter(node)
    return (node.args[found[0]], found[2]) if found else None


def counter(node: Apply) -> tuple[int, Graph, Node] | None:
    """For such a loop: which parameter counts, the graph of a trip, and `stop`."""
    (g,) = node.graphs
    end = tail(g)
    if end is None or end.op.name != "switch":
        return None
    test, (body, done) = end.args[0], end.graphs
    again, left = tail(body), tail(done)
    if again is None or again.op.name != "recur" or again.graphs[0] is not g or left is not None:
        return None
    if not (isinstance(test, Apply) and test.op.name == "lt" and test in g.nodes and test.args[0] in g.params):
        return None
    index, stop = g.params.index(test.args[0]), test.args[1]
    if stop.type != I64:
        return None
    step = again.args[index]
    inside = {x for h in g.nested() for x in (*h.params, *h.nodes)}
    if stop in inside or not (isinstance(step, Apply) and step.op.name == "add" and len(step.args) == 2):
        return None
    one = [a for a in step.args if a is not test.args[0]]
    if len(one) != 1 or not isinstance(one[0], Constant) or one[0].value != 1:
        return None
    return index, body, stop


def emptied(node: Apply) -> int | None:
    """For a loop that takes a frame from a stack in each trip, until there is none: which parameter that is."""
    (g,) = node.graphs
    end = tail(g)
    test = end.args[0] if end is not None and end.op.name == "switch" else None
    if not (isinstance(test, Apply) and test.op.name == "eq" and test in g.nodes):
        return None
    length, zero = test.args
    if not (isinstance(length, Apply) and length.op.name == "stack_len" and isinstance(zero, Constant)):
        return None
    (stack,), (done, body) = length.args, end.graphs
    again = tail(body)
    if zero.value != 0 or stack not in g.params or tail(done) is not None or again is None or again.op.name != "recur":
        return None
    k = g.params.index(stack)
    rest = again.args[k]
    popped = rest.args[0] if isinstance(rest, Apply) and rest.op.name == "get" and rest.attrs["index"] == 0 else None
    if again.graphs[0] is g and isinstance(popped, Apply) and popped.op.name == "stack_pop" and popped.args[0] is stack:
        return k
    return None


def counted_pushes(node: Apply) -> dict[int, tuple[Node, Node]]:
    """The stacks that a counted loop pushes onto once a trip: index of the parameter -> (start, stop)."""
    found = counter(node)
    if found is None:
        return {}
    (g,), (index, body, stop), out = node.graphs, found, {}
    for k, p in enumerate(g.params):
        push = tail(body).args[k]
        fresh = isinstance(node.args[k], Apply) and node.args[k].op.name == "stack_new"
        pushed = isinstance(push, Apply) and push.op.name == "stack_push" and push in body.nodes
        if isinstance(p.type, Stack) and fresh and pushed and push.args[0] is p:
            out[k] = node.args[index], stop
    return out
