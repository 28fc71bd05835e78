"""What a strategy works on: a program, and the log of what was done to it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..ir import Clone, Graph, reachable, show, verify


def size(g: Graph) -> int:
    """The nodes of a graph and of all that is nested in it."""
    return sum(len(h.nodes) for h in g.nested())


def called(g: Graph) -> list:
    """The nodes in which `g` mentions closed graphs."""
    return [n for h in g.nested() for n in h.nodes if n.graphs and not n.op.nests and n.op.name != "recur"]


class Program:
    """An entry graph with all it reaches.  Strategies replace `entry`; a graph that was saved is never written to."""

    def __init__(self, entry: Graph, log: Log | None = None):
        self.entry, self.log = entry, log or Log()
        self.own = False  # was `entry` made here, and saved nowhere?

    def size(self) -> int:
        return sum(map(size, reachable(self.entry)))

    def save(self):
        self.own = False
        return self.entry, self.log.count

    def restore(self, saved) -> None:
        self.entry, count = saved
        self.own = False
        self.log.undo(count)

    def replace(self, copy) -> None:
        """Every closed graph `g` becomes `copy(g)`, and calls go to the copies."""
        copies: dict[Graph, Graph] = {}
        todo = [self.entry]
        while todo:
            g = todo.pop()
            if g not in copies:
                copies[g] = copy(g)
                todo += [h for n in called(copies[g]) for h in n.graphs]
        for g in copies.values():
            for n in called(g):
                n.graphs = tuple(copies.get(h, h) for h in n.graphs)
        self.entry, self.own = copies[self.entry], True

    def each(self, name: str, transform) -> None:
        """Run `transform(graph) -> number of changes` on each closed graph, in place."""
        if not self.own:
            self.replace(lambda g: Clone().graph(g, None))
        for g in reachable(self.entry):
            if changes := transform(g):
                self.log.note(name, g, g.span, int(changes))


@dataclass
class Phase:
    """One strategy at work: when, on how many nodes, and what fired."""

    name: str
    depth: int
    before: int
    after: int = 0
    seconds: float = 0.0
    fired: Counter = field(default_factory=Counter)
    leaf: bool = False


@dataclass(frozen=True)
class Firing:
    """A rule at work: in which phase, on which line, how many nodes fewer (what else uses the left side keeps it)."""

    phase: str
    rule: str
    graph: str
    span: object
    removed: int

    def __str__(self):
        at = f"{self.span}" if self.span else f"@{self.graph}"
        return f"{self.phase}: {self.rule} at {at}, {-self.removed:+d} nodes"


class Log:
    """What fired where, in which phase, how many nodes it removed, how long each phase took.

    `trace` keeps every firing; `between(name, text)` is given the program after each phase; `check` verifies it there.
    """

    def __init__(self, trace: bool = False, between=None, check: bool = False):
        self.phases: list[Phase] = []
        self.firings: list[Firing] = []
        self.trace, self.between, self.check = trace, between, check
        self.count = 0  # firings so far
        self.fired: Counter = Counter()
        self.removed: Counter = Counter()
        self._open: list[Phase] = []
        self._journal: list[tuple[str, int]] = []

    @contextmanager
    def phase(self, name: str, program: Program, leaf: bool = False):
        p = Phase(name, len(self._open), program.size(), leaf=leaf)
        self.phases.append(p)
        self._open.append(p)
        start = time.perf_counter()
        try:
            yield
        finally:
            p.seconds = time.perf_counter() - start
            self._open.pop()
        p.after = program.size()
        if self.check:
            verify(program.entry)
        if self.between is not None and leaf:
            self.between(name, show(program.entry))

    def note(self, rule: str, graph: Graph, span, removed: int) -> None:
        self.count += 1
        self.fired[rule] += 1
        self.removed[rule] += removed
        for p in self._open:
            p.fired[rule] += 1
        self._journal.append((rule, removed))
        if self.trace:
            self.firings.append(Firing(self._open[-1].name if self._open else "", rule, graph.name, span, removed))

    def undo(self, count: int) -> None:
        """Forget all but the first `count` firings: what they did was undone."""
        while self.count > count:
            self.count -= 1
            rule, removed = self._journal.pop()
            self.fired[rule] -= 1
            self.removed[rule] -= removed
            for p in self._open:
                p.fired[rule] -= 1
        if self.trace:
            del self.firings[count:]

    def latest(self) -> list[str]:
        """The rules that fired again and again at the end."""
        counts = Counter(rule for rule, _ in self._journal[-32:])
        most = max(counts.values(), default=0)
        return sorted(rule for rule, c in counts.items() if 2 * c >= most)

    def times(self) -> str:
        """A line for each phase: its time, the nodes before and after, how often rules fired."""
        lines = [f"{'phase':50} {'ms':>8} {'nodes':>7} {'after':>7} {'fired':>6}"]
        for p in self.phases:
            name = "  " * p.depth + p.name
            name = name if len(name) <= 50 else name[:49] + "…"
            lines.append(f"{name:50} {p.seconds * 1e3:8.2f} {p.before:7} {p.after:7} {sum(p.fired.values()):6}")
        return "\n".join(lines)

    def rules(self) -> str:
        """A line for each rule that fired: how often, and how many nodes it removed."""
        return "\n".join(f"{c:6} {self.removed[r]:7} {r}" for r, c in self.fired.most_common() if c)
