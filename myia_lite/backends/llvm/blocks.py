"""Counted loops in blocks: what does not depend on the trip before is computed for a whole block ahead, in vectors.

A loop of scalar code is serial where it adds up, and where its state goes from trip to trip; the exponentials and
sines in it often are not.  So a block of trips becomes two loops: the first computes, of all its trips, the functions
that are worth it and what follows from them, into a buffer on the stack; the second is the loop's own body, which reads
them there.  Guards on such values, and arguments beyond the range of a fast function, are noted in the first loop: then
the loop as it was written takes over with the state from before the block, and raises what there is to raise.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Apply, Constant, Graph, Node, Scalar
from . import polls, vectors
from .expressions import Affine, Kernel, Point
from .layout import I8, REGISTER, i64, load_parts, memory, on_heap, parts, struct, unflatten
from .loopnest import counted
from .memory_layout import DATA
from .ownership import tail
from .scalars import from_memory, scalar_op, to_memory
from .sizes import known
from .unique import counter, trips

BLOCK, LEAST = 256, 16  # trips of a block; from how many on it pays
BUFFERS = 12  # values of a trip that the first loop may hand to the second


@dataclass(frozen=True, eq=False)
class Driver:
    """What ends a loop: its parameter `index` counts up to `stop`, or is a stack that is popped by `pop` until it is
    empty."""

    index: int
    body: Graph
    stop: Node | None = None
    pop: Apply | None = None


def driver(node: Apply) -> Driver | None:
    """That of a loop which does nothing else than to run its body and to end."""
    (g,) = node.graphs
    found = counter(node)
    if found is not None:
        return Driver(*found)
    end = tail(g)
    if end is None or end.op.name != "switch" or len(g.nodes) != 3:
        return None
    length, empty, _ = g.nodes
    done, body = end.graphs
    again = tail(body)
    if length.op.name != "stack_len" or empty.op.name != "eq" or end.args[0] is not empty or tail(done) is not None:
        return None
    if again is None or again.op.name != "recur" or again.graphs[0] is not g:
        return None
    zero, stack = empty.args[1], length.args[0]
    if empty.args[0] is not length or not (isinstance(zero, Constant) and zero.value == 0) or stack not in g.params:
        return None
    k = g.params.index(stack)
    pops = [n for n in body.nodes if n.op.name == "stack_pop" and n.args[0] is stack]
    if len(pops) != 1 or not _item(again.args[k], pops[0], 0) or on_heap(stack.type.elem):
        return None
    return Driver(k, body, None, pops[0])


def _item(n: Node, of: Node, index: int) -> bool:
    return isinstance(n, Apply) and n.op.name == "get" and n.args[0] is of and n.attrs["index"] == index


class Ahead:
    """The nodes of a body that are computed ahead: `functions`, what follows from them, and what these need."""

    def __init__(self, node: Apply, drive: Driver):
        (self.graph,) = node.graphs
        self.drive, self.body = drive, drive.body
        nested = [h for h in self.body.nested() if h is not self.body]
        self.inside = {x for h in self.graph.nested() for x in (*h.params, *h.nodes)}
        guards = [n for n in self.body.nodes if n.op.name == "guard"]
        self.guarded = any(n.attrs["exception"] == "IndexError" for n in guards)
        self.here = {*self.graph.nodes, *self.body.nodes}
        self._free: dict[Node, bool] = {}
        for n in (*self.graph.nodes, *self.body.nodes):  # operands first, however long their chains are
            self.free(n)
        self.taken: dict[Apply, None] = {}  # in order
        for n in self.body.nodes:
            after = any(a in self.taken for a in n.args)
            if isinstance(n.type, Scalar) and (after or vectors.has(n.op.name)) and self.free(n):
                self.taken[n] = None
        self.guards = [n for n in guards if n.args[0] in self.taken]
        used = {a for n in self.body.nodes if n not in self.taken and n not in self.guards for a in n.args}
        used |= {a for h in nested for n in h.nodes for a in n.args} | {h.result for h in self.body.nested()}
        self.handed = [n for n in self.taken if n in used]
        self.skipped = {*self.taken, *self.guards}
        need = {*self.handed, *(n.args[0] for n in self.guards)}
        for n in reversed((*self.graph.nodes, *self.body.nodes)):
            if n in need:
                need.update(n.args)
        self.needed = [n for n in (*self.graph.nodes, *self.body.nodes) if n in need and self.free(n)]  # operands first

    def free(self, n: Node) -> bool:
        """Can it be computed from the number of the trip alone?"""
        if n not in self._free:
            self._free[n] = n not in self.inside or self._follows(n)
        return self._free[n]

    def _follows(self, n: Node) -> bool:
        if n is self.graph.params[self.drive.index]:
            return True
        if n not in self.here:
            return False
        name = n.op.name
        if name == "get":
            return self.free(n.args[0])
        if n is self.drive.pop or name == "stack_len":
            return self.free(n.args[0])
        if name == "elem":
            x, *index = n.args
            return not self.guarded and x not in self.inside and all(map(self.free, index))
        return n.op.elementwise and isinstance(n.type, Scalar) and all(map(self.free, n.args))


def ahead(node: Apply) -> Ahead | None:
    """What of a loop is worth computing ahead; None where nothing is."""
    if not vectors.available():
        return None
    start, stop = trips(node) or (None, None)
    if isinstance(start, Constant) and isinstance(stop, Constant) and stop.value - start.value < LEAST:
        return None
    drive = driver(node)
    found = Ahead(node, drive) if drive is not None else None
    return found if found is not None and 0 < len(found.handed) <= BUFFERS else None


class Block:
    """The values of one trip of a block, in its first loop."""

    def __init__(self, ctx, plan: Ahead, kernel: Kernel, flag):
        self.ctx, self.plan, self.b, self.kernel, self.flag = ctx, plan, ctx.b, kernel, flag
        self.param = plan.graph.params[plan.drive.index]

    def start(self, trip) -> None:
        self.trip, self.done = trip, {}

    def value(self, n: Node):
        if n not in self.plan.inside:
            return self.ctx.scalar(n)
        if n not in self.done:
            self.done[n] = self._compute(n)
        return self.done[n]

    def left(self, popped: bool):
        """The length of the stack in this trip, before or after the pop."""
        length = self.b.sub(self.ctx.value(self.param).length, self.trip, flags=("nsw", "nuw"))
        return self.b.sub(length, i64(1), flags=("nsw", "nuw")) if popped else length

    def _compute(self, n: Node):
        b, name = self.b, n.op.name if isinstance(n, Apply) else None
        if n is self.param:
            return b.add(self.ctx.scalar(n), self.trip, flags=("nsw",)) if self.plan.drive.pop is None else None
        if name == "stack_len":
            return self.left(n.args[0] is not self.param)
        if n is self.plan.drive.pop:
            t = n.args[0].type.elem
            if not parts(t):
                return None, unflatten(t, [])
            data = self.ctx.offset(self.ctx.value(self.param).obj, DATA)
            frame = b.gep(data, [self.left(True)], inbounds=True, source_etype=struct(parts(t)))
            return None, unflatten(t, load_parts(b, frame, parts(t)))
        if name == "get":
            return self.value(n.args[0])[n.attrs["index"]]
        if name == "elem":
            x, *index = n.args
            at = tuple(Affine(known(self.value(i))) for i in index)
            return Point(self.kernel, {}, vector=False).value(self.kernel.read(x, at))
        values = [self.value(a) for a in n.args]
        if name in vectors.LIMITED:
            self.note(vectors.beyond(b, name, n.type.dtype, *values))
        dtypes = [a.type.dtype for a in n.args]
        return scalar_op(b, name, n.attrs, dtypes, n.type.dtype, *values, vector=True)

    def note(self, condition) -> None:
        b = self.b
        b.store(b.or_(b.load(self.flag, typ=I8), b.zext(condition, I8)), self.flag)


def run_blocks(ctx, node: Apply, plan: Ahead, values: list, long: bool) -> list:
    """Run a loop from the state `values` in blocks, as far as that goes; the state it gets to.  A `long` one polls."""
    b, g, drive = ctx.b, plan.graph, plan.drive
    values = ctx.header(g, values, "blocks")
    again = ctx.headers[g]
    for p, v in zip(g.params, values, strict=True):
        ctx.define(p, v)
    here = values[drive.index]
    left = here.length if drive.pop is not None else b.sub(ctx.scalar(drive.stop), here)
    enough = b.icmp_signed(">=", left, i64(LEAST))
    if drive.pop is None:  # the difference may overflow
        enough = b.and_(enough, b.icmp_signed("<", here, ctx.scalar(drive.stop)))
    first, second, trip, done, out = map(ctx.block, ("ahead", "block", "trip", "blocked", "onwards"))
    b.cbranch(enough, first, out)
    b.position_at_end(first)
    n = b.select(b.icmp_signed("<", left, i64(BLOCK)), left, i64(BLOCK))
    buffers = [ctx.alloca_array(memory(REGISTER[h.type.dtype]), BLOCK) for h in plan.handed]
    flag = ctx.alloca(I8)
    b.store(I8(0), flag)
    block = Block(ctx, plan, Kernel(ctx, ctx.plan), flag)
    with counted(b, n) as i:
        block.start(i)
        for x in plan.needed:
            block.value(x)
        for h, buffer in zip(plan.handed, buffers, strict=True):
            value = to_memory(b, block.value(h), h.type.dtype)
            b.store(value, _place(b, buffer, i, h))
        for guard in plan.guards:
            block.note(b.not_(block.value(guard.args[0])))
    b.cbranch(b.icmp_unsigned("!=", b.load(flag, typ=I8), I8(0)), out, second).set_weights([1, 1000])
    b.position_at_end(second)
    inner = ctx.header(g, values, "trips")
    now = inner[drive.index]
    if drive.pop is not None:
        at = b.sub(here.length, now.length, flags=("nsw", "nuw"))
    else:
        at = b.sub(now, here, flags=("nsw", "nuw"))
    b.cbranch(b.icmp_signed("<", at, n), trip, done)
    b.position_at_end(trip)
    for p, v in zip(g.params, inner, strict=True):
        ctx.define(p, v)
    for x in g.nodes[:-1]:
        ctx.define(x, ctx.node(x))
    for h, buffer in zip(plan.handed, buffers, strict=True):
        loaded = b.load(_place(b, buffer, at, h), typ=memory(REGISTER[h.type.dtype]))
        ctx.define(h, from_memory(b, loaded, h.type.dtype))
    skipped, ctx.skipped = ctx.skipped, plan.skipped
    ctx.body(plan.body, ctx.cells(g.params), None)
    ctx.skipped = skipped
    b.position_at_end(done)
    ctx.headers[g] = again
    if long:
        polls.poll(ctx, node)
    ctx.again(g, inner)
    b.position_at_end(out)
    return values


def _place(b, buffer, i, h):
    return b.gep(buffer, [i], inbounds=True, source_etype=memory(REGISTER[h.type.dtype]))
