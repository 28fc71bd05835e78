"""Dead code, by demand: unused nodes, results of branches and loops that nobody takes, loop state that feeds only
itself."""

from __future__ import annotations

from ..ir import Apply, Builder, Constant, Graph, Never, Node, Parameter, Tuple
from ..ops.control import get
from ..ops.control import tuple_ as tuple_of
from .program import size


class Demand:
    """Marks what is needed, starting from effects and the result; tuples are needed element by element."""

    def __init__(self, g: Graph):
        self.live: set[Node] = set()
        self.elements: dict[Node, set[int]] = {}
        self.loop_of: dict[Parameter, tuple[Apply, list[Apply], int]] = {}
        self.todo: list = []
        self.owner: dict[Node, Apply | None] = {}  # node -> the node in whose graph it stands
        self.entered: set = set()
        self.checks: dict[Node, list[Apply]] = {}  # value -> the range checks that are needed where it is
        self._index(g, None)
        self.effects(g)
        self.whole(g.result)
        while self.todo:
            self.node(self.todo.pop())

    def _index(self, g: Graph, owner: Apply | None):
        for n in g.nodes:
            self.owner[n] = owner
            if n.op.nests:
                for h in n.graphs:
                    for p in h.params:
                        self.owner[p] = n
                    self._index(h, n)
            if n.op.name == "loop":
                (h,) = n.graphs
                rounds = [m for k in h.nested() for m in k.nodes if m.op.name == "recur" and m.graphs[0] is h]
                for k, p in enumerate(h.params):
                    self.loop_of[p] = n, rounds, k

    def effects(self, g: Graph) -> bool:
        """Mark the effects in `g`, and the control they depend on."""
        found = False
        for n in g.nodes:
            inner = [self.effects(h) for h in n.graphs] if n.op.nests else []
            # a call may raise, or not return
            if n.attrs.get("range") is False and not isinstance(n.args[1], Constant):
                self.checks.setdefault(n.args[1], []).append(n)
                continue
            # one that runs again has returned before, and what is replayed another call raises, too
            once = n.attrs.get("checkpoint") == "again" or "replayed" in n.attrs
            runs = n.op.name in ("call", "grad") and not once
            if n.op.effect and not n.op.optional or runs or any(inner):
                self.need(n)
                found = True
        return found

    def need(self, n: Node) -> None:
        """`n` runs, if it is control; of a tuple only what `take` and `whole` say is needed."""
        if not isinstance(n, Constant) and n not in self.live:
            self.live.add(n)
            self.todo.append(n)

    def whole(self, n: Node) -> None:
        if isinstance(n.type, Tuple):
            for k in range(len(n.type.elems)):
                self.take(n, k)
        self.need(n)

    def take(self, n: Node, k: int) -> None:
        """Element k of the tuple `n` is needed."""
        if isinstance(n, Constant) or n.type is Never:
            self.need(n)
            return
        have = self.elements.setdefault(n, set())
        if k in have:
            return
        have.add(k)
        self.need(n)
        if isinstance(n, Apply) and n.op is tuple_of:
            self.whole(n.args[k])
        elif isinstance(n, Apply) and n.op.nests:
            for h in n.graphs:
                self.take(h.result, k)

    def node(self, n: Node) -> None:
        if (owner := self.owner.get(n)) is not None:
            self.need(owner)
        for check in self.checks.get(n, ()):
            self.need(check)
        if isinstance(n, Parameter):
            if n in self.loop_of:
                entry, rounds, k = self.loop_of[n]
                self.whole(entry.args[k])
                for m in rounds:
                    self.whole(m.args[k])
            return
        op = n.op.name
        if op == "get":
            self.take(n.args[0], n.attrs["index"])
        elif op in ("tuple", "recur"):
            pass  # a tuple's elements by `take`; what the next trip needs by its parameters
        elif op == "loop":
            self.control(n.graphs[0])
            if not isinstance(n.type, Tuple):
                self.tails(n)
        else:
            for a in n.args:
                self.whole(a)
            if n.op.nests:
                self.tails(n)

    def tails(self, n: Apply) -> None:
        for h in n.graphs:
            if isinstance(h.result.type, Tuple):
                self.need(h.result)
            else:
                self.whole(h.result)

    def control(self, h: Graph) -> None:
        """A loop that runs needs the conditions on the way to its leaves, and its `recur`s."""
        if h in self.entered:
            return
        self.entered.add(h)
        r = h.result
        if isinstance(r, Apply) and r in set(h.nodes):
            self.need(r)
            if r.op.nests and r.op.name != "loop":
                for k in r.graphs:
                    self.control(k)


SHRINKS = frozenset({"tuple", "switch", "case", "loop", "recur"})


def eliminate(g: Graph) -> int:
    """Remove in place what nothing needs; branches and loops return only the elements that somebody takes.

    Returns how many nodes went.
    """
    before = size(g)
    _Sweep(Demand(g)).graph(g, None, None)
    return before - size(g)


class _Sweep:
    def __init__(self, d: Demand):
        self.d = d
        self.kept: dict[Node, list[int]] = {}  # tuples that lost elements -> which are left
        self.state: dict[Graph, list[int]] = {}  # loop -> the parameters that are left

    def graph(self, g: Graph, keep: list[int] | None, t) -> None:
        """`keep`: the elements, of type `t`, that the graph is to return; None for its result as it is."""
        g.nodes = [n for n in g.nodes if n in self.d.live]
        for n in g.nodes:
            self.node(n)
        if keep is None:
            return
        g.result_type = t
        r = g.result
        if r.type is Never or self.kept.get(r) == keep:
            return
        with Builder(g):
            if isinstance(r, Apply) and r.op is tuple_of:
                have = self.kept.get(r, range(len(r.args)))
                g.result = tuple_of(*[r.args[list(have).index(k)] for k in keep])
            else:
                have = self.kept.get(r, range(len(r.type.elems)))
                g.result = tuple_of(*[get(r, index=list(have).index(k)) for k in keep])

    def node(self, n: Apply) -> None:
        keep = None
        if isinstance(n.type, Tuple) and n.op.name in SHRINKS:
            keep = sorted(self.d.elements.get(n, ()))
            if len(keep) == len(n.type.elems):
                keep = None
            else:
                self.kept[n] = keep
                n.type = Tuple(tuple(n.type.elems[k] for k in keep))
        if n.op is get and n.args[0] in self.kept:
            n.attrs = {"index": self.kept[n.args[0]].index(n.attrs["index"])}
        elif n.op is tuple_of and keep is not None:
            n.args = tuple(n.args[k] for k in keep)
        elif n.op.name == "recur":
            n.args = tuple(n.args[k] for k in self.state[n.graphs[0]])
        elif n.op.name == "loop":
            (h,) = n.graphs
            left = self.state[h] = [k for k, p in enumerate(h.params) if p in self.d.live]
            n.args = tuple(n.args[k] for k in left)
            h.params = [h.params[k] for k in left]
        if n.op.nests:
            for h in n.graphs:
                self.graph(h, keep, n.type)
