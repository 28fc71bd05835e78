"""Passes that move work: into the one branch that needs it, and two loops over the same range into one."""

from __future__ import annotations

from ..ir import Apply, Builder, Clone, Constant, Graph, Node, Scalar, Tuple, element_types, free_variables
from ..ops.control import get, recur, switch
from ..ops.control import tuple_ as tuple_of
from .rules.loops import Counted, counted


def sink(g: Graph) -> int:
    """Partial dead code: a number that only one branch needs is computed there, in place.  Returns how many moved.

    Reads of arrays stay: they stand before the writes that consume the array.
    """
    users: dict[Node, list[Graph]] = {}
    owner: dict[Graph, Apply] = {}
    graphs = list(g.nested())
    for h in graphs:
        for n in h.nodes:
            for a in n.args:
                users.setdefault(a, []).append(h)
            if n.op.nests:
                owner.update((k, n) for k in n.graphs)
        users.setdefault(h.result, []).append(h)

    def branch(u: Graph, h: Graph) -> Graph | None:
        """The branch of a switch or case in `h` in which `u` is, or which it is."""
        while u is not None and u.parent is not h:
            u = u.parent
        return u if u is not None and owner[u].op.name in ("switch", "case") else None

    moved = 0
    for h in graphs:
        kept = []
        for n in reversed(h.nodes):
            here = users.get(n, ())
            target = branch(here[0], h) if here else None
            numbers = not n.op.nests and not n.op.effect and not n.graphs and isinstance(n.type, Scalar)
            if (
                target is not None
                and numbers
                and all(isinstance(a.type, Scalar) for a in n.args)
                and all(u is not h and branch(u, h) is target for u in here)
            ):
                target.nodes.insert(0, n)
                for a in n.args:
                    users[a].remove(h)
                    users[a].append(target)
                moved += 1
            else:
                kept.append(n)
        h.nodes = kept[::-1]
    return moved


def fuse_loops(g: Graph) -> int:
    """Counted loops over the same range, the second of which takes nothing of the first, become one.  Returns how
    many.
    """
    done = 0
    for h in list(g.nested()):
        k = 0
        while k < len(h.nodes):
            n = h.nodes[k]
            if n.op.name == "loop" and (a := counted(n.graphs[0])) is not None:
                known = {*h.params, *h.nodes[:k]}
                later = set(h.nodes[k:])
                for m in h.nodes[k + 1 :]:
                    if m.op.effect or m.graphs and m.op.name != "loop":
                        break  # what may raise, or takes time, stays between
                    if m.op.name == "loop" and (b := counted(m.graphs[0])) is not None and same_range(a, n, b, m):
                        used = [x for x in (*m.args, *free_variables(m.graphs[0])) if not isinstance(x, Constant)]
                        if all(x in known or x not in later for x in used):
                            merge(g, h, n, a, m, b)
                            done += 1
                            break
                else:
                    k += 1
                    continue
                if h.nodes[k] is not n:
                    continue
            k += 1
    return done


def same_range(a: Counted, n: Apply, b: Counted, m: Apply) -> bool:
    starts = [d.header.params.index(d.counter) for d in (a, b)]
    pairs = (n.args[starts[0]], m.args[starts[1]]), (a.limit, b.limit)
    simple = all(not d.done.nodes or d.done.result is d.done.nodes[-1] for d in (a, b))
    return simple and all(
        x is y or isinstance(x, Constant) and isinstance(y, Constant) and x.value == y.value for x, y in pairs
    )


def merge(g: Graph, h: Graph, n: Apply, a: Counted, m: Apply, b: Counted) -> None:
    """Loop `m` becomes a part of loop `n` of graph `h`."""
    new = Graph(a.header.name, h, a.header.span)
    copy = Clone()
    for p in a.header.params:
        copy.nodes[p] = new.parameter(p.type, p.name, p.span)
    rest = [p for p in b.header.params if p is not b.counter]
    for p in rest:
        copy.nodes[p] = new.parameter(p.type, p.name, p.span)
    copy.nodes[b.counter] = copy.nodes[a.counter]
    types = [element_types(t) for t in (n.type, m.type)]
    new.result_type = Tuple((*types[0], *types[1]))

    def parts(d: Counted, into: Graph):
        for x in d.done.nodes:
            copy.apply(x, into)
        r = copy.node(d.done.result)
        if not isinstance(r.type, Tuple):
            return [r]
        with Builder(into):
            return [get(r, index=k) for k in range(len(r.type.elems))]

    for d in (a, b):
        for x in d.header.nodes[:-1]:
            copy.apply(x, new)
    body, end = Graph(a.body.name, new), Graph(a.done.name, new)
    body.result_type = end.result_type = new.result_type
    for d in (a, b):
        for x in d.body.nodes[:-1]:
            copy.apply(x, body)
    again = [copy.node(x) for x in a.again.args] + [copy.node(b.next(p)) for p in rest]
    body.returns(Builder(body).emit(recur, *again, graphs=(new,), type=new.result_type))
    with Builder(end):
        end.returns(tuple_of(*parts(a, end), *parts(b, end)))
    test = copy.node(a.header.result.args[0])
    new.returns(Builder(new).emit(switch, test, graphs=(body, end), type=new.result_type))
    start = [x for p, x in zip(b.header.params, m.args, strict=True) if p is not b.counter]
    both = Apply(n.op, (*n.args, *start), {}, (new,), new.result_type, n.span)
    out = Graph("", h)
    with Builder(out):
        gets = [get(both, index=k) for k in range(len(new.result_type.elems))]
        count = len(types[0])
        results = {
            n: tuple_of(*gets[:count]) if isinstance(n.type, Tuple) else gets[0],
            m: tuple_of(*gets[count:]) if isinstance(m.type, Tuple) else gets[count],
        }
    k = h.nodes.index(n)
    h.nodes[k : k + 1] = [both, *out.nodes]
    h.nodes.remove(m)
    for k in g.nested():
        for x in k.nodes:
            x.args = tuple(results.get(y, y) for y in x.args)
        k.result = results.get(k.result, k.result)
