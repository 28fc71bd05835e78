"""Destination passing: what is made to be written into an array is made there."""

from __future__ import annotations

from itertools import product

from ...ir import Apply, Graph
from ...ops.arrays import broadcast, set_elem, slice_set
from ...ops.control import loop, recur, switch
from ...ops.elementwise import add
from ..rule import RuleSet, control
from ..terms import filled, known, made_by
from ..walk import BRANCH, LOOP, TRIP
from .loops import Counted, counted


def place(n: Apply, args):
    """(the array that is written, its value before a reshape that adds leading axes, where it goes), or None."""
    x, v, *starts = args
    if any(s != 1 for s in n.attrs["steps"]):
        return None
    if made_by(v, "reshape"):
        inner = v.args[0]
        new, old = v.type.shape, getattr(inner.type, "shape", ())
        if None in new or new[len(new) - len(old) :] != old or any(d != 1 for d in new[: len(new) - len(old)]):
            return None
        v = inner
    return x, v, starts


def shifted(starts, idx):
    lead = len(starts) - len(idx)
    return [*starts[:lead], *(add(s, i) for s, i in zip(starts[lead:], idx, strict=True))]


@control("slice_set", "x with [s:] = fill(c) with [i] = v == (x with [s:] = fill(c)) with [s + i] = v")
def one_element(walk, n, args):
    found = place(n, args)
    if found is None:
        return None
    x, v, starts = found
    if not made_by(v, "set_elem") or filled(v.args[0]) is None:
        return None
    piece = args[1].type
    if None in piece.shape:
        return None
    blank = slice_set(x, broadcast(filled(v.args[0]), shape=piece.shape, axes=()), *starts, steps=n.attrs["steps"])
    return set_elem(blank, v.args[1], *shifted(starts, v.args[2:]))


@control(
    "slice_set", "x with [s:] = loop(fill) { r with [i] = v } == loop(x) { r with [s + i] = v }, which writes it all"
)
def whole_loop(walk, n, args):
    found = place(n, args)
    if found is None:
        return None
    x, v, starts = found
    source = v.args[0] if made_by(v, "get") else v
    if not made_by(source, "loop"):
        return None
    d = counted(source.graphs[0])
    if d is None or d.done.nodes and not made_by(d.done.result, "tuple"):
        return None
    end = (
        d.done.result.args[v.attrs["index"]] if made_by(v, "get") and made_by(d.done.result, "tuple") else d.done.result
    )
    if end not in d.header.params or len(d.header.params) != 2 or end is d.counter:
        return None
    r = end
    chain, writes = {r}, []
    for m in (*d.header.nodes, *d.body.nodes):
        if m.op.name == "set_elem" and m.args[0] in chain and not any(a in chain for a in m.args[1:]):
            chain.add(m)
            writes.append(m)
        elif m is not d.again and any(a in chain for a in m.args):
            return None  # it reads what it has written
    if not writes or d.next(r) is not writes[-1] or not covers(d, source, writes, v.type.shape):
        return None
    new = Graph(d.header.name, walk.graph, d.header.span)
    new.result_type = x.type
    k, y = new.parameter(d.counter.type, d.counter.name), new.parameter(x.type, r.name)

    def visit(nodes, last):
        for m in nodes:
            if m in chain:
                walk.nodes[m] = set_elem(
                    walk.node(m.args[0]), walk.node(m.args[1]), *shifted(starts, [walk.node(i) for i in m.args[2:]])
                )
            elif m is not last:
                walk.nodes[m] = walk.visit(m)

    def header():
        walk.nodes[d.counter], walk.nodes[r] = k, y
        visit(d.header.nodes, d.header.result)
        body, done = Graph(d.body.name, new), Graph(d.done.name, new)
        body.result_type = done.result_type = x.type

        def trip():
            visit(d.body.nodes, d.again)
            return walk.append(recur, [walk.node(d.next(p)) for p in (d.counter, r)], {}, (new,), x.type, n.span, None)

        walk.within(body, TRIP, trip)
        walk.within(done, BRANCH, lambda: y)
        return walk.append(switch, [walk.node(d.header.result.args[0])], {}, (body, done), x.type, n.span, None)

    walk.within(new, LOOP, header)
    start = source.args[d.header.params.index(d.counter)]
    return walk.append(loop, [start, x], {}, (new,), x.type, n.span, n.name)


def covers(d: Counted, source: Apply, writes, shape) -> bool:
    """Do the writes of all trips reach every element?"""
    start = source.args[d.header.params.index(d.counter)]
    if not known(start) or start.value != 0 or not known(d.limit) or d.limit.value != shape[0]:
        return False
    rest = {tuple(i.value if known(i) else None for i in m.args[3:]) for m in writes if m.args[2] is d.counter}
    return set(product(*map(range, shape[1:]))) <= rest


DESTINATIONS = RuleSet("destinations", one_element, whole_loop)
