"""Traversals: one pass over a program in which a strategy is applied at each node, or at the result alone."""

from __future__ import annotations

from ..ir import Apply, Graph, Node
from .inline import policy
from .program import Program
from .strategy import Strategy
from .walk import BRANCH, Frame, Table, Walk


def _copying(s: Strategy, program: Program, deep: bool) -> None:
    table = Table(s)
    inline = policy(program.entry) if table.control.get("call") else None
    program.replace(lambda g: Walk(table, program, deep, inline).closed(g))


def bottom_up(s: Strategy, program: Program) -> None:
    _copying(s, program, False)


def innermost(s: Strategy, program: Program) -> None:
    _copying(s, program, True)


def top_down(s: Strategy, program: Program) -> None:
    """Users before operands, in a copy: a node that is replaced leaves a forward, which a last pass follows."""
    table = Table(s)
    inline = policy(program.entry)
    program.each("", lambda g: _Descent(table, program, inline).closed(g))


class _Descent:
    def __init__(self, table, program, inline):
        self.table, self.program, self.inline = table, program, inline
        self.forward: dict[Node, Node] = {}

    def closed(self, g: Graph) -> int:
        self.graph(g)
        for h in g.nested():
            for n in h.nodes:
                n.args = tuple(map(self.end, n.args))
            h.result = self.end(h.result)
        return 0

    def end(self, n: Node) -> Node:
        while n in self.forward:
            n = self.forward[n]
        return n

    def graph(self, g: Graph) -> None:
        todo, done = [(n, True) for n in g.nodes], []
        while todo:
            n, visit = todo.pop()
            new, emitted = self.at(n, g) if visit else (n, ())
            if new is not n:
                self.forward[n] = new
                todo += [(m, m is not new) for m in emitted]  # below the root of what came out, the descent goes on
                continue
            done.append(n)
            if n.op.nests:
                for h in n.graphs:
                    self.graph(h)
        done.reverse()
        g.nodes = done

    def at(self, n: Apply, g: Graph):
        """What stands for `n` in `g`, and the nodes that it takes."""
        walk = Walk(self.table, self.program, False, self.inline)
        saved, g.nodes = g.nodes, []
        walk.graph, walk.span = g, n.span
        walk.frames.append(Frame(g, BRANCH))
        before = self.program.log.count
        rules = self.table.local.at if self.table.local else None
        with walk:
            walk.raw += 1
            if rules is not None:
                new = rules(walk, n)
            else:
                new = next(
                    (
                        r
                        for rule in self.table.plain.get(n.op, ())
                        if (r := walk.fire(rule, n.args, n.attrs, n)) is not None
                    ),
                    None,
                )
                if new is None:
                    new = next(
                        (
                            r
                            for rule in self.table.control.get(n.op.name, ())
                            if (r := walk.fire_control(rule, n, n.args)) is not None
                        ),
                        None,
                    )
            walk.raw -= 1
        emitted, g.nodes = g.nodes, saved
        if new is None or new is n or self.program.log.count == before:
            return n, []
        if new.__class__ is Apply and new.name is None:
            new.name = n.name
        return new, emitted


def at_result(s: Strategy, program: Program) -> bool:
    """A local strategy at the result of the entry."""
    entry = program.entry
    if not isinstance(entry.result, Apply):
        return False
    done = []

    def at(g: Graph) -> int:
        if g is program.entry:
            d = _Descent(Table(s), program, policy(entry))
            d.table.local = s
            new, emitted = d.at(g.result, g)
            if new is not g.result:
                k = g.nodes.index(g.result)
                g.nodes[k + 1 : k + 1] = emitted
                d.forward[g.result] = new
                g.result = new
                done.append(new)
        return 0

    saved = program.save()
    program.each("", at)
    if not done:
        program.restore(saved)
    return bool(done)
