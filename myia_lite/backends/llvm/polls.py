"""Where compiled loops and recursions look for signals of Python's; see `signals.py`."""

from __future__ import annotations

import llvmlite.ir as ll
from llvmlite.ir.instructions import LoadInstr

from ...ir import Apply, Constant, Graph, Node, Tuple
from .cost import Work
from .layout import I64, i64
from .memory_layout import CONTEXT_TICK
from .module import Symbol
from .unique import counter, emptied, trips

STRIP = 1 << 17  # operations between two polls of a counted loop, some 50 µs
SHORT = 1 << 20  # operations of a loop that needs no poll
SIMPLE = 1 << 10  # operations of a trip, of a loop that memory bounds


class _Volatile(LoadInstr):
    """A load that is never taken out of a loop; unlike an atomic one, it lets others out."""

    def descr(self, buf):
        (pointer,) = self.operands
        buf.append(f"load volatile {self.type}, {pointer.type} {pointer.get_reference()}\n")


def poll(ctx, node: Node) -> None:
    """Let Python's signal handlers run, if it is time to look; what they raise names the line of `node`."""
    b, m = ctx.b, ctx.module
    ticks = m.module.globals.get("rt_ticks") or ll.GlobalVariable(m.module, I64, "rt_ticks")
    look, go = ctx.block("look"), ctx.block("go")
    now = _Volatile(b.block, Symbol(ticks), typ=I64)
    b._insert(now)
    same = b.icmp_unsigned("==", now, ctx.load(ctx.context, CONTEXT_TICK, I64))
    b.cbranch(same, go, look).set_weights([100000, 1])
    b.position_at_end(look)
    failed = b.call(m.runtime("rt_poll"), [ctx.context, ctx.outside_error(node.span)])
    b.cbranch(b.icmp_unsigned("==", failed, i64(0)), go, ctx.error)
    b.position_at_end(go)


def first(graph: Graph, test) -> list[Apply]:
    """In each local graph the first node that passes the test."""
    found = (next(filter(test, g.nodes), None) for g in graph.nested())
    return [n for n in found if n is not None]


def trips_between(loop: Apply, work: Work) -> int | None:
    """How many trips of a loop there are between polls: 0 for no polls, None for one in each trip.

    A loop that counts trips or empties a stack, without long trips, has an inner loop without polls, which LLVM may
    vectorise.
    """
    if work.node(loop) <= SHORT:
        return 0
    trip = work.trip(loop)
    if trip <= SIMPLE and (_over_sizes(loop) or _takes_apart(loop)):
        return 0
    return int(STRIP // max(trip, 1)) or None if counter(loop) or emptied(loop) is not None else None


def _over_sizes(loop: Apply) -> bool:
    """Does it count up to the size of an array?  Memory bounds such a loop: it is over in seconds."""
    bounds = trips(loop)
    return bounds is not None and all(map(_of_sizes, bounds))


def _of_sizes(n: Node) -> bool:
    if isinstance(n, Constant) or isinstance(n, Apply) and n.op.name == "dim":
        return True
    return isinstance(n, Apply) and n.op.elementwise and n.op.name != "mul" and all(map(_of_sizes, n.args))


def _takes_apart(loop: Apply) -> bool:
    """Does it take a frame that fills memory from a stack in each trip, until there is none?"""
    k = emptied(loop)
    if k is None:
        return False
    frame = loop.graphs[0].params[k].type.elem
    return not isinstance(frame, Tuple) or len(frame.elems) > 0


def strip_end(ctx, loop: Apply, values, trips: int):
    """Where a loop in the state `values` polls next: a number of trips, or of frames left on its stack."""
    b, found = ctx.b, counter(loop)
    if found is None:
        most = ctx.intrinsic("llvm.smax.i64", I64, [I64, I64])
        return b.call(most, [i64(0), b.sub(values[emptied(loop)].length, i64(trips))])
    index, _, stop = found
    saturated = ctx.intrinsic("llvm.sadd.sat.i64", I64, [I64, I64])
    least = ctx.intrinsic("llvm.smin.i64", I64, [I64, I64])
    return b.call(least, [ctx.scalar(stop), b.call(saturated, [values[index], i64(trips)])])


def within_strip(ctx, loop: Apply, values, end):
    """Is there another trip before the next poll?"""
    found = counter(loop)
    if found is None:
        return ctx.b.icmp_signed(">", values[emptied(loop)].length, end)
    return ctx.b.icmp_signed("<", values[found[0]], end)
