"""The walk from operands to users, in which the rules of a strategy are applied at each node.

It copies: each node is emitted again with its new operands, and what a rule's right side emits comes by the same way,
so that `innermost` normalises as it goes.  Common terms, constants, known conditions and what loops do not change are
seen on the way, where the strategy has these abilities.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..ir import Apply, Builder, Constant, Graph, Never, Node, Scalar, Sum, free_variables, lift
from ..ops.define import NUMPY_DTYPES
from .program import Program, size
from .ranges import induction, narrowed, ranges_of
from .rule import Ability, ControlRule, Rule, RuleSet
from .strategy import Choice, Named, Strategy, Unsettled
from .terms import identity

# not worth sharing: a fill is fused into what reads it, and a shared one could not be written in place
UNSHARED = frozenset(
    {
        "broadcast",
        "iota",
        "stack_new",
        "stack_push",
        "loop",
        "recur",
        "switch",
        "case",
        "call",
        "grad",
        "guard",
        "raise",
    }
)
NESTING = 150  # rules within rules

FOLD = Ability("f(constants) == constant")
SHARE = Ability("equal terms are one term")
ASSUME = Ability("a condition is known where it was tested")  # and with it the ranges of integers
HOIST = Ability("what a loop does not change stands before it")

CLOSED, LOOP, TRIP, BRANCH = range(4)  # kinds of frames; a trip is a branch that a loop takes to go round


class Table:
    """The rules of a strategy by primitive, if it is nothing but a choice of rules."""

    def __init__(self, s: Strategy):
        self.plain: dict = {}
        self.control: dict = {}
        self.abilities: set = set()
        self.local = None
        flat = alternatives(s)
        if flat is None:
            self.local = s
            flat = [r for r in s.rules() if isinstance(r, Ability)]
        for r in flat:
            if isinstance(r, Ability):
                self.abilities.add(r)
            elif isinstance(r, ControlRule):
                self.control.setdefault(r.op.name, []).append(r)
            else:
                self.plain.setdefault(r.op, []).append(r)


def alternatives(s: Strategy) -> list[Rule] | None:
    if isinstance(s, Rule):
        return [s]
    if isinstance(s, RuleSet):
        return s.members
    if isinstance(s, Named):
        return alternatives(s.inner)
    if isinstance(s, Choice):
        parts = [alternatives(a) for a in s.alternatives]
        return None if None in parts else [r for p in parts for r in p]
    return None


class Frame:
    """A graph under construction: its common terms, and what is known inside only."""

    __slots__ = ("graph", "table", "kind", "assumed", "ranged")

    def __init__(self, graph, kind):
        self.graph, self.kind, self.table = graph, kind, {}
        self.assumed, self.ranged = [], []


class Walk(Builder):
    """Copies graphs; `deep`: what rules emit is rewritten in turn."""

    def __init__(self, table: Table, program: Program, deep: bool, inline=None):
        super().__init__(None)
        self.plain, self.control, self.local, self.deep, self.inline = (
            table.plain,
            table.control,
            table.local,
            deep,
            inline,
        )
        self.log = program.log
        self.folds, self.shares, self.assumes, self.hoists = (
            a in table.abilities for a in (FOLD, SHARE, ASSUME, HOIST)
        )
        self.nodes: dict[Node, Node] = {}
        self.graphs: dict[Graph, Graph] = {}
        self.dropped: dict[Graph, list[bool]] = {}  # loop -> which parameters are kept
        self.unrolling: dict[Graph, int] = {}  # loop -> trips to go
        self.turns: dict[Node, Graph] = {}  # the switch that ends an unrolled loop -> the loop
        self.unrolled = 0
        self.deferred: set[Node] = set()  # switches that go on in the cases of their value
        self.uses: dict[Node, int] | None = None
        self.frames: list[Frame] = []
        self.level: dict[Node, int] = {}
        self.known: dict[Node, Constant] = {}
        self.bounds: dict[Node, tuple] = {}
        self.ends: dict[Node, dict] = {}  # loop -> the ranges of the integers in its result, by index
        self.flight: list[Rule] = []
        # of forward mode by rules: how deep in it, tangents so far, loops -> their float parameters, tails with
        # tangents
        self.duals, self.tangents, self.recurs, self.tails = 0, {}, {}, set()
        self.raw = 0
        self.made = 0

    # ---- emission
    def emit(self, op, *args, graphs=(), type=None, span=None, name=None, **attrs):
        for a in args:
            if not isinstance(a, Node):
                args = lift(args)
                break
        if self.raw:
            return self.append(op, args, attrs, graphs, type, span, name)
        if self.folds and op.elementwise and args:
            for a in args:
                if a.__class__ is not Constant or a.type.__class__ is not Scalar:
                    break
            else:
                if (folded := fold(op, args, attrs)) is not None:
                    self.log.note(FOLD.name, self.graph, span or self.span, 1)
                    return folded
        for rule in self.plain.get(op, ()):
            if (better := self.fire(rule, args, attrs)) is not None:
                return better
        node = self.share(op, args, attrs, graphs, type, span, name)
        if self.local is not None and not op.nests and op.name not in ("recur", "guard", "raise"):
            return self.locally(node)
        return node

    def locally(self, node):
        """A strategy that is more than a choice of rules, at a node that is there already."""
        if node.__class__ is not Apply:
            return node
        before, mark = self.log.count, self.mark()
        self.raw += not self.deep
        better = self.local.at(self, node)
        self.raw -= not self.deep
        if better is None or self.log.count == before:
            self.undo(mark)
            return node
        nodes = self.graph.nodes
        if (
            mark[0]
            and nodes[mark[0] - 1] is node
            and better is not node
            and not any(node in m.args for m in nodes[mark[0] :])
        ):
            self.forget(mark[0] - 1, mark[0])  # else it would be rewritten again in the next round, dead as it is
        return better

    def fire(self, rule, args, attrs, node=None):
        """The right side of `rule`, or None."""
        flight, made = self.flight, self.made
        if len(flight) > NESTING:
            names = sorted({r.name for r in flight[-16:]})
            raise Unsettled(f"the rules do not settle: {' and '.join(names)} alternate", remedy="drop one of them")
        flight.append(rule)
        if self.deep:
            better = rule.function(args, attrs, rule.op)
        else:
            self.raw += 1
            better = rule.function(args, attrs, rule.op)
            self.raw -= 1
        flight.pop()
        if better is not None:
            self.log.note(
                rule.name,
                self.graph,
                node.span if node is not None and node.span else self.span,
                rule.size - (self.made - made),
            )
        return better

    def fire_control(self, rule, node, args):
        made = self.made
        better = rule.function(self, node, args)
        if better is not None:
            self.log.note(rule.name, self.graph, node.span, 1 - (self.made - made) if not rule.op.nests else 1)
        return better

    def share(self, op, args, attrs, graphs, type, span, name):
        """An equal node that is in scope, or a new one, before the loops that do not change it."""
        if not self.shares or graphs or op.name in UNSHARED:
            return self.append(op, args, attrs, graphs, type, span, name)
        key = op, tuple(map(identity, args)), tuple(attrs.items())
        if "commutative" in op.facts and len(args) == 2 and key[1][0] != key[1][1]:
            key = op, frozenset(key[1]), key[2]
        for frame in reversed(self.frames):
            if (n := frame.table.get(key)) is not None:
                self.log.note(SHARE.name, self.graph, span or self.span, 1)
                return n
        k = len(self.frames) - 1
        if k and self.hoists and not op.in_place and not op.effect:
            best, top = k, max([self.level.get(a, 0) for a in args if a.__class__ is not Constant], default=0)
            j = k
            while j > top and LOOP <= self.frames[j].kind <= TRIP:
                j -= 1
                if self.frames[j + 1].kind == LOOP:
                    best = j
            if best != k:
                self.log.note(HOIST.name, self.graph, span or self.span, 0)
                k = best
        n = self.append(op, args, attrs, graphs, type, span, name, k)
        self.frames[k].table[key] = n
        return n

    def append(self, op, args, attrs, graphs, type, span, name, k=-1):
        if type is None:
            type = op.type_rule([a.type for a in args], attrs, graphs)
        n = Apply(op, args, attrs, graphs, type, span or self.span, name)
        self.made += 1
        if k < 0 or k == len(self.frames) - 1:
            self.graph.nodes.append(n)
            self.level[n] = len(self.frames) - 1
        else:
            self.frames[k].graph.nodes.append(n)
            self.level[n] = k
        return n

    def mark(self):
        return len(self.graph.nodes), self.log.count

    def undo(self, mark):
        """Forget what was emitted since, which nobody uses."""
        nodes, count = mark
        self.forget(nodes, len(self.graph.nodes))
        self.log.undo(count)

    def forget(self, start, stop):
        gone = set(self.graph.nodes[start:stop])
        del self.graph.nodes[start:stop]
        for frame in self.frames if gone else ():
            for key in [key for key, n in frame.table.items() if n in gone]:
                del frame.table[key]

    def with_args(self, node, args):
        return self.append(node.op, args, node.attrs, node.graphs, None, node.span, node.name)

    def able(self, ability, node):
        if (
            ability is FOLD
            and node.op.elementwise
            and all(a.__class__ is Constant and a.type.__class__ is Scalar for a in node.args)
        ):
            folded = fold(node.op, node.args, node.attrs)
            if folded is not None:
                self.log.note(FOLD.name, self.graph, node.span, 1)
            return folded
        return None

    # ---- the walk
    def node(self, n: Node) -> Node:
        new = self.nodes.get(n, n)
        if self.known and (c := self.known.get(new)) is not None:
            self.log.note(ASSUME.name, self.graph, self.span, 0)
            return c
        return new

    def closed(self, g: Graph) -> Graph:
        if "case" in self.control:
            self.uses = count_uses(g)
        new = Graph(g.name, None, g.span)
        new.result_type, new.info = g.result_type, g.info
        return self.fill(g, new, CLOSED)

    def run(self, g: Graph, kind=BRANCH, leaf=None) -> Graph:
        """A copy of a local graph, in the graph under construction."""
        new = Graph(g.name, self.graph, g.span)
        new.result_type, new.info = g.result_type if leaf is None else leaf.type, g.info
        return self.fill(g, new, kind, leaf)

    def fill(self, g, new, kind, leaf=None):
        self.graphs[g] = new
        for p in g.params:
            self.nodes[p] = new.parameter(p.type, p.name, p.span)
        return self.within(new, kind, lambda: self.body(g, leaf))

    def within(self, new: Graph, kind, body) -> Graph:
        outer, self.graph = self.graph, new
        frame = Frame(new, kind)
        self.frames.append(frame)
        for p in new.params:
            self.level[p] = len(self.frames) - 1
        with self:
            new.result = body()
        self.frames.pop()
        for n, before in reversed(frame.assumed):
            restore(self.known, n, before)
        for n, before in reversed(frame.ranged):
            restore(self.bounds, n, before)
        self.graph = outer
        return new

    def body(self, g: Graph, leaf=None) -> Node:
        """Emit the nodes of `g`; its result, or what case `leaf` makes of it.  Where a node never returns, the rest
        is dropped."""
        for k, n in enumerate(g.nodes):
            if self.uses is not None and isinstance(n.type, Sum) and self.may_go_on(n):
                if leaf is not None and n is g.result:
                    return self.goes_on(n, leaf)
                if self.goes_on_in_case(g, k):
                    self.deferred.add(n)
                    continue
            new = self.nodes[n] = self.visit(n)
            if new.name is None and new.__class__ is Apply:
                new.name = n.name
            if new.type is Never:
                return new
        r = self.node(g.result)
        return r if leaf is None else self.leaf(r, leaf)

    def visit(self, n: Apply) -> Node:
        if n in self.turns:
            return self.splice(n.graphs[0 if self.unrolling[self.turns[n]] else 1], ())
        args = [self.node(a) for a in n.args]
        self.span = n.span
        for rule in self.control.get(n.op.name, ()):
            if (better := self.fire_control(rule, n, args)) is not None:
                return better
        special = VISITS.get(n.op.name)
        if special is not None:
            return special(self, n, args)
        return self.emit(n.op, *args, graphs=n.graphs, type=n.type, span=n.span, name=n.name, **n.attrs)

    def again(self, n: Apply, args, graphs, type=None) -> Node:
        new = self.append(n.op, args, n.attrs, graphs, type or n.type, n.span, n.name)
        return self.locally(new) if self.local is not None and not self.raw and n.op.name != "recur" else new

    def splice(self, g: Graph, args) -> Node:
        for p, a in zip(g.params, args, strict=True):
            self.nodes[p] = a
        return self.body(g)

    def assume(self, c: Node, truth: bool) -> None:
        """Condition `c` has that value from here to the end of the graph."""
        if not self.assumes or c.__class__ is Constant:
            return
        self.put(self.known, self.frames[-1].assumed, c, Constant(truth, c.type))
        if c.__class__ is Apply:
            if c.op.name == "logical_not":
                self.assume(c.args[0], not truth)
            elif c.op.name == ("bit_and" if truth else "bit_or"):
                for a in c.args:
                    self.assume(a, truth)
            elif c.op.name == "eq" and truth and c.args[0].type == Scalar("i64") and c.args[1].__class__ is Constant:
                self.put(self.known, self.frames[-1].assumed, c.args[0], c.args[1])
            for n, r in narrowed(c, truth, self):
                self.put(self.bounds, self.frames[-1].ranged, n, r)

    def put(self, table, undo, key, value):
        undo.append((key, table.get(key)))
        table[key] = value

    def visit_guard(self, n, args):
        new = self.again(n, args, ())
        if "range" not in n.attrs:  # such a check goes where its value is not needed: nothing may rely on it
            self.assume(args[0], True)
        return new

    def visit_switch(self, n, args, leaf=None):
        (c,) = args
        tail = self.frames[-1].kind in (LOOP, TRIP)
        graphs = []
        for h, truth in zip(n.graphs, (True, False), strict=True):
            new = Graph(h.name, self.graph, h.span)
            new.result_type, new.info = h.result_type if leaf is None else leaf.type, h.info
            self.graphs[h] = new

            def body(h=h, truth=truth):
                self.assume(c, truth)
                return self.body(h, leaf)

            graphs.append(self.within(new, TRIP if tail and goes_round(h) else BRANCH, body))
        return self.again(n, args, graphs, leaf and leaf.type)

    def visit_case(self, n, args, leaf=None):
        tail = self.frames[-1].kind in (LOOP, TRIP)
        graphs = [self.run(h, TRIP if tail and goes_round(h) else BRANCH, leaf) for h in n.graphs]
        return self.again(n, args, graphs, leaf and leaf.type)

    def visit_loop(self, n, args):
        (header,) = n.graphs
        new = Graph(header.name, self.graph, header.span)
        new.result_type, new.info = header.result_type, header.info
        self.graphs[header] = new
        ends: dict[int, tuple[int, int]] = {}
        kept = self.dropped.setdefault(header, [True] * len(args))
        for p, a, keep in zip(header.params, args, kept, strict=True):
            self.nodes[p] = new.parameter(p.type, p.name, p.span) if keep else a

        def body():
            if self.assumes:
                for p, r in induction(header, args, self):
                    self.put(self.bounds, self.frames[-1].ranged, p, r)
            r = self.body(header)
            ends.update(ranges_of(r, self) if self.assumes else {})
            return r

        self.within(new, LOOP, body)
        args = [a for a, keep in zip(args, kept, strict=True) if keep]
        if self.hoists and (k := self.place(new, args)) is not None:
            self.log.note(HOIST.name, self.graph, n.span, 0)
            new.parent = self.frames[k].graph
            result = self.append(n.op, args, n.attrs, (new,), n.type, n.span, n.name, k)
        else:
            result = self.again(n, args, (new,))
        self.ends[result] = ends
        return result

    def place(self, header: Graph, args) -> int | None:
        """The frame before the loops that do not change an inner loop, if that does nothing but compute."""
        k = len(self.frames) - 1
        if not LOOP <= self.frames[k].kind <= TRIP:
            return None
        used = [a for a in (*args, *free_variables(header)) if a.__class__ is not Constant]
        top, best, j = max((self.level.get(a, 0) for a in used), default=0), k, k
        while j > top and LOOP <= self.frames[j].kind <= TRIP:
            j -= 1
            if self.frames[j + 1].kind == LOOP:
                best = j
        if best == k or any(m.op.effect or m.graphs and m.op.name == "call" for h in header.nested() for m in h.nodes):
            return None
        return best

    def visit_recur(self, n, args):
        (header,) = n.graphs
        if header in self.unrolling:
            return self.another_trip(header, args)
        args = [a for a, keep in zip(args, self.dropped.get(header) or [True] * len(args), strict=True) if keep]
        return self.again(n, args, (self.graphs.get(header, header),))

    def another_trip(self, header, args):
        """The next trip of a loop that is unrolled; this one's values are needed again in its other branches."""
        inside = [m for h in header.nested() for m in (*h.params, *h.nodes) if m in self.nodes]
        before = {m: self.nodes[m] for m in inside}
        self.unrolling[header] -= 1
        result = self.splice(header, args)
        self.unrolling[header] += 1
        self.nodes.update(before)
        return result

    # ---- an outcome made in the branches of a switch, and told apart right after
    def may_go_on(self, n: Apply) -> bool:
        """Not a case of a switch that itself goes on in this case: one after the other, the next round is for that."""
        return n.op.name == "switch" or n.op.name == "case" and n.args[0] not in self.deferred

    def goes_on_in_case(self, g: Graph, k: int) -> bool:
        """Is the sum that node k of `g` makes taken apart right after it, and only there?"""
        n = g.nodes[k]
        if self.uses.get(n) != 1:
            return False
        for m in g.nodes[k + 1 :]:
            if m.op.name == "case" and m.args[0] is n:
                found: list = []
                if not outcomes(n, found) or None in found:
                    return False
                sizes = [size(h) for h in m.graphs]
                return all(found.count(t) == 1 or sizes[m.args[0].type.index(t)] <= 6 for t in set(found))
            if m.op.effect or m.graphs:
                return False
        return False

    def goes_on(self, inner: Apply, m: Apply) -> Node:
        """`inner`, with what case `m` does of its value in each of its leaves."""
        args = [self.node(a) for a in inner.args]
        if args[0].__class__ is Constant and inner.op.name == "switch":
            return self.body(inner.graphs[0 if args[0].value else 1], m)
        return VISITS[inner.op.name](self, inner, args, leaf=m)

    def leaf(self, r: Node, m: Apply) -> Node:
        if r.type is Never:
            return r
        if isinstance(r, Apply) and r.op.name == "make":
            return self.splice(m.graphs[r.type.index(r.attrs["tag"])], r.args)
        return self.visit_case(m, [r])


VISITS = {
    "guard": Walk.visit_guard,
    "switch": Walk.visit_switch,
    "case": Walk.visit_case,
    "loop": Walk.visit_loop,
    "recur": Walk.visit_recur,
    "call": lambda walk, n, args: walk.again(n, args, n.graphs),
}


def outcomes(n: Apply, found: list) -> bool:
    """The tags that the leaves of a switch or case make, None where one is not known."""
    for h in n.graphs:
        r = h.result
        if isinstance(r, Apply) and r.op.name == "make":
            found.append(r.attrs["tag"])
        elif isinstance(r, Apply) and r.op.name in ("switch", "case") and h.nodes and h.nodes[-1] is r:
            outcomes(r, found)
        elif r.type is not Never:
            found.append(None)
    return bool(found)


def goes_round(h: Graph) -> bool:
    """Does a way through a branch end in `recur`?"""
    r = h.result
    if not isinstance(r, Apply):
        return False
    return r.op.name == "recur" or r.op.name in ("switch", "case") and any(map(goes_round, r.graphs))


def restore(table, key, before):
    if before is None:
        table.pop(key, None)
    else:
        table[key] = before


def count_uses(g: Graph) -> dict[Node, int]:
    uses: dict[Node, int] = {}
    for h in g.nested():
        for n in h.nodes:
            for a in n.args:
                uses[a] = uses.get(a, 0) + 1
        uses[h.result] = uses.get(h.result, 0) + 1
    return uses


def fold(op, args, attrs) -> Constant | None:
    """The value of a scalar application on constants, where it is an ordinary number."""
    t = op.type_rule([a.type for a in args], attrs, ())
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        v = op.value(*[NUMPY_DTYPES[a.type.dtype](a.value) for a in args], **attrs)
    return Constant(NUMPY_DTYPES[t.dtype](v).item(), t)
