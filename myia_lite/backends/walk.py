"""The walk over the nodes of a closed graph, in order, as the compiling back ends have it in common.

A node's value is bound to its cells (see `llvm.ownership`), a tuple's part by part.  The last use of a cell moves its
value, an earlier one retains it, and what dies unused is released; a branch owns what dies at its switch, a trip of a
loop its parameters.  A back end says what a value is, how it is retained and released, and how control leaves a graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container

from ..ir import Apply, Graph, Never, Node, Tuple, Type
from .llvm.ownership import CallGraph, Cell, Ownership, tail

JUMPS = ("recur", "raise")  # what has no value, and ends a graph; so does a switch or case in tail position


def results_of(graph: Graph) -> tuple[Type, ...]:
    """The types of the leaves of an entry graph's result."""
    t = graph.result_type
    return () if t is Never else t.elems if isinstance(t, Tuple) else (t,)


class Walk:
    """Lowers one closed graph.  `leave` is where a graph's value goes: it has `leave(value)` and, later, `enter()`."""

    ruled: Container[str] = ()  # the primitives that a rule of the back end's takes with all its operands

    def set_out(self, graph: Graph, calls: CallGraph, plan: Callable[[Graph], object]) -> None:
        """`plan(g)` says which nodes of a local graph are computed where they are used."""
        self.graph, self.calls = graph, calls
        self.plans = {g: plan(g) for g in graph.nested()}
        self.ownership = Ownership(graph, self.operands)
        self.values: dict[Cell, object] = {}
        self.dying: set[Cell] = set()  # what the node being lowered may consume
        self.reads: Counter = Counter()  # how often it reads each cell
        self.plan = None  # of the graph that is being lowered
        self.skipped: set[Node] = set()  # what has been computed ahead

    def operands(self, g: Graph, node: Apply):
        if node in self.plans[g].inlined:
            return ()
        if node.op.name in self.ruled or node.op.name in JUMPS:
            return node.args
        return self.plans[g].operands(node)

    # ---- what a back end adds
    def fixed(self, cell: Cell):
        """The value of a constant."""
        raise NotImplementedError

    def drop(self, cells) -> None:
        """Release what these cells hold."""
        raise NotImplementedError

    def consume(self, node: Node):
        """The value of an argument, owned: moved at its last use, else retained."""
        raise NotImplementedError

    def node(self, node: Apply):
        """The value of a node that is no jump."""
        raise NotImplementedError

    def branches(self, node: Apply, leave) -> None:
        """The local graphs of a switch or case, each of which ends by `leave` or goes round a loop."""
        raise NotImplementedError

    def again(self, g: Graph, values) -> None:
        """The next trip of the loop, or of the function that calls itself last, `g`."""
        raise NotImplementedError

    def note_error(self, node: Apply, values) -> None:
        """Raise what a `guard` or `raise` says, with the values of its message."""
        raise NotImplementedError

    def passed(self) -> None:
        """A node is done."""

    def unreachable(self) -> None:
        """Nothing comes after this."""

    # ---- values
    def value(self, node: Node):
        return self._read(self.ownership.tree(node))

    def _read(self, tree):
        if isinstance(tree, tuple):
            return tuple(map(self._read, tree))
        return self.values[tree] if tree.constant is None else self.fixed(tree)

    def define(self, node: Node, value) -> None:
        self._bind(self.ownership.tree(node), value)

    def _bind(self, tree, value) -> None:
        if isinstance(tree, tuple):
            for t, v in zip(tree, value, strict=True):
                self._bind(t, v)
        else:
            self.values[tree] = value

    def movable(self, cell: Cell) -> bool:
        return cell in self.dying and self.reads[cell] == 1

    def cells(self, nodes) -> set[Cell]:
        return {c for n in nodes for c in self.ownership.counted(n)}

    # ---- the walk
    def body(self, g: Graph, owned: set[Cell], leave) -> None:
        """The nodes of `g` from here to a jump, by way of `leave` unless it is one round a loop; `owned` is
        released."""
        last, plan, end = self.ownership.last[g], self.plans[g], tail(g)
        unused = [c for c in owned if c not in last]
        self.drop(unused)
        owned = owned.difference(unused)
        dying: dict[int, set[Cell]] = {}  # by the number of the node that uses them last
        for c in owned:
            dying.setdefault(last[c], set()).add(c)
        for i, node in enumerate(g.nodes):
            self.plan = plan
            if node in plan.inlined or node in self.skipped or node.op.name in ("get", "tuple"):
                continue
            self.dying = dying.get(i, set())
            owned -= self.dying
            self.reads = self.ownership.reads(g, node)
            if node is end:
                self.dying |= owned
                self._jump(node, leave)
                return
            if node in self.calls.jumps[self.graph]:
                self.again(self.graph, self._arguments(node.args))
                return
            value = self.node(node)
            self.drop(self.dying)
            if node.type is Never:
                self.unreachable()
                return
            self.define(node, value)
            fresh = self.ownership.counted(node)
            self.drop(c for c in fresh if c not in last)
            for c in fresh:
                if c in last:
                    owned.add(c)
                    dying.setdefault(last[c], set()).add(c)
            self.passed()
        self.dying, self.reads = owned, Counter(self.ownership.counted(g.result))
        value = self._arguments([g.result])[0]
        leave.leave(value)

    def _arguments(self, nodes) -> list:
        """The values of `nodes`, all consumed; what else dies here is released."""
        values = [self.consume(n) for n in nodes]
        self.drop(self.dying)
        self.dying = set()
        return values

    def _jump(self, node: Apply, leave) -> None:
        """A node in tail position that ends the graph."""
        if node.op.name == "recur":
            self.again(node.graphs[0], self._arguments(node.args))
        elif node.op.name == "raise":
            self.note_error(node, node.args)
        else:
            self.branches(node, leave)

    def joined(self, node: Apply, leave):
        """The value of a switch or case, whose branches meet at `leave`."""
        self.branches(node, leave)
        self.dying = set()
        return leave.enter()
