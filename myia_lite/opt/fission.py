"""Loop fission, the inverse of `moving.fuse_loops`: state that has nothing to do with other state goes round by itself.

The parameters of a loop fall into *groups*: two are in one group where the next value of one takes the other, or a
result takes both.  Induction variables, and what never changes, bind nothing together: each part repeats them, and the
test.
"""

from __future__ import annotations

from ..ir import INTS, Apply, Builder, Clone, Graph, Node, Parameter, Scalar, Tuple, free_variables
from ..ops.control import get, recur, switch
from ..ops.control import tuple_ as tuple_of
from .ranges import step_of
from .rules.control import rounds_of
from .terms import made_by


def split_loops(g: Graph) -> int:
    """Loops whose state falls into groups become one loop per group.  Returns how many loops were split.

    Left alone: loops with more than one way round or out, with a test of anything but induction variables, or
    with effects of more than one group.
    """
    done = 0
    for h in reversed(list(g.nested())):  # inner loops first: what they share binds the outer one's state together
        for n in list(h.nodes):
            if n.op.name == "loop" and isinstance(n.type, Tuple) and (trip := one_way(n.graphs[0])) is not None:
                parts = trip.parts()
                if len(parts) > 1:
                    replace(h, n, [(elements, trip.part(h, n, roots, elements)) for elements, roots in parts])
                    done += 1
    return done


def one_way(header: Graph) -> Trip | None:
    """The trip of a loop with one way round, one out, and its results in a tuple."""
    r, rounds = header.result, rounds_of(header)
    if len(rounds) != 1 or not made_by(r, "switch") or header.nodes[-1] is not r:
        return None
    ways = [b for b in r.graphs if b.result is rounds[0]]
    ends = [b for b in r.graphs if b.result is not rounds[0] and made_by(b.result, "tuple")]
    if len(ways) != 1 or len(ends) != 1 or any(map(effectful, ends[0].nodes)):
        return None
    return Trip(header, ways[0], ends[0], rounds[0])


def effectful(n: Apply) -> bool:
    """May it raise, or not return?"""
    if not n.op.nests:
        return n.op.effect or bool(n.graphs)
    return any(effectful(m) for h in n.graphs for m in h.nodes)


def uses(n: Apply) -> list[Node]:
    return [*n.args, *(x for h in n.graphs for x in free_variables(h))] if n.op.nests else list(n.args)


class Trip:
    """What a trip computes, and from which state."""

    def __init__(self, header: Graph, body: Graph, end: Graph, again: Apply):
        self.header, self.body, self.end = header, body, end
        self.test = header.result.args[0]
        self.next: dict[Parameter, Node] = dict(zip(header.params, again.args, strict=True))
        self.elements = end.result.args
        nodes = (*header.nodes[:-1], *body.nodes[:-1], *(x for x in end.nodes if x is not end.result))
        self.uses: dict[Node, list[Node]] = {x: uses(x) for x in nodes}
        self.effects = [x for x in nodes if effectful(x)]
        self.induction = {p for p, x in self.next.items() if x is p or integer(p) and step_of(x, p) is not None}

    def needs(self, *roots: Node, round: bool = True) -> set[Node]:
        """The nodes and parameters that the roots take: in this trip, or, going `round`, in all."""
        found, todo = set(), list(roots)
        while todo:
            x = todo.pop()
            if x not in found and (x in self.uses or x in self.next):
                found.add(x)
                todo += self.uses.get(x, ())
                if round and x in self.next:
                    todo.append(self.next[x])
        return found

    def state(self, *roots: Node) -> set[Parameter]:
        """The parameters that the roots take in this trip, but for induction variables."""
        return {p for p in self.needs(*roots, round=False) if p in self.next and p not in self.induction}

    def parts(self) -> list[tuple[list[int], list[Node]]]:
        """For each group the results that it has, and the nodes for which it goes round; effects come first."""
        if self.state(self.test):
            return []
        group = {p: {p} for p in self.next if p not in self.induction}  # one set for all that are in it

        def bind(together: set) -> None:
            whole = set().union(*(group[p] for p in together))
            group.update((p, whole) for p in whole)

        takes = [(x, self.state(x)) for x in self.elements] + [(self.next[p], {p}) for p in group]
        for x, own in takes:
            own |= self.state(x)
            bind(own)
        for_whom: dict[Node, set[Parameter]] = {}  # node -> the state, or the state in the results, that it is for
        for x, own in takes:
            for y in self.needs(x, round=False):
                for_whom.setdefault(y, set()).update(own)
        heavy = {x for x in self.uses if x.op.nests or not isinstance(x.type, Scalar)}
        for x in heavy:  # only work on numbers is cheap enough to be done in each part
            bind(for_whom.get(x, set()))
        acts = set()
        for e in self.effects:
            acts |= self.state(e)
            for x in self.needs(e, round=False) & heavy:
                acts |= for_whom.get(x, set())
            if "range" in e.attrs:  # such a check goes where its value is not needed: it stays with the value
                acts |= for_whom.get(e.args[1], set())
        found = {id(group[p]): [] for p in acts}
        if len(found) > 1:
            return []
        loose = []
        for k, x in enumerate(self.elements):
            if own := self.state(x):
                found.setdefault(id(group[own.pop()]), []).append(k)
            else:
                loose.append(k)
        parts = list(found.values())
        if len(parts) < 2:
            return []
        parts[0] = sorted(parts[0] + loose)  # what only the induction variables make is had from any
        return [(ks, [*(self.elements[k] for k in ks), *(() if j else self.effects)]) for j, ks in enumerate(parts)]

    def part(self, h: Graph, n: Apply, roots: list[Node], elements: list[int]) -> Apply:
        """The loop, in graph `h`, of what the roots need, for some of the results of loop `n`."""
        needed = self.needs(self.test, *roots)
        types = tuple(n.type.elems[k] for k in elements)
        t = types[0] if len(types) == 1 else Tuple(types)
        copy = Clone()

        def graph(old: Graph, parent: Graph) -> Graph:
            new = Graph(old.name, parent, old.span)
            new.result_type, new.info = t, dict(old.info)
            return new

        def copied(old: Graph, new: Graph) -> Builder:
            for x in old.nodes:
                if x in needed:
                    copy.apply(x, new)
            return Builder(new)

        header = graph(self.header, h)
        params = [p for p in self.header.params if p in needed]
        for p in params:
            copy.nodes[p] = header.parameter(p.type, p.name, p.span)
        b = copied(self.header, header)
        body, end = graph(self.body, header), graph(self.end, header)
        round = copied(self.body, body)
        body.returns(round.emit(recur, *[copy.node(self.next[p]) for p in params], graphs=(header,), type=t))
        with copied(self.end, end):
            results = [copy.node(self.elements[k]) for k in elements]
            end.returns(results[0] if len(results) == 1 else tuple_of(*results))
        ways = [body if k is self.body else end for k in self.header.result.graphs]
        header.returns(b.emit(switch, copy.node(self.test), graphs=ways, type=t))
        start = [x for p, x in zip(self.header.params, n.args, strict=True) if p in needed]
        return Apply(n.op, start, dict(n.attrs), (header,), t, n.span)


def integer(p: Node) -> bool:
    return isinstance(p.type, Scalar) and p.type.dtype in INTS


def replace(h: Graph, n: Apply, parts: list[tuple[list[int], Apply]]) -> None:
    """The parts stand in graph `h` for the loop `n`, each with its elements of the result."""
    out, result = Graph("", h), {}
    with Builder(out):
        for elements, part in parts:
            out.nodes.append(part)
            for j, k in enumerate(elements):
                result[k] = part if len(elements) == 1 else get(part, index=j)
    instead: dict[Node, Node] = {}
    for g in h.nested():
        gets = {x: result[x.attrs["index"]] for x in g.nodes if x.op is get and x.args[0] is n}
        if gets:
            g.nodes = [x for x in g.nodes if x not in gets]
            instead |= gets
    if any(g.result is n or any(n in x.args for x in g.nodes) for g in h.nested()):
        with Builder(out):
            instead[n] = tuple_of(*[result[k] for k in range(len(result))])
    k = h.nodes.index(n)
    h.nodes[k : k + 1] = out.nodes
    for g in h.nested():
        for x in g.nodes:
            x.args = tuple(instead.get(y, y) for y in x.args)
        g.result = instead.get(g.result, g.result)
