"""Sums and stacks: tagged records in registers or on the heap, and the contiguous stacks of what loops save."""

from __future__ import annotations

import llvmlite.ir as ll

from ...ir import Apply, Tuple
from .layout import (
    I1,
    I32,
    I64,
    NULL,
    PTR,
    StackValue,
    SumValue,
    boxed,
    fields,
    flatten,
    i64,
    load_parts,
    on_heap,
    parts,
    sizeof,
    slots,
    store_parts,
    struct,
    unflatten,
)
from .memory import box_children, box_types, frames_children, frames_retain, trim
from .memory_layout import BOX_DATA, DATA, HEADER_CAPACITY, HEADER_LENGTH

RESERVED = 1 << 30  # bytes up to which a loop's stack gets its memory at once


def make(ctx, node: Apply) -> SumValue:
    s, tag = node.attrs["sum"], node.attrs["tag"]
    number = s.index(tag)
    values = [p for a, t in zip(node.args, s.variants[tag], strict=True) for p in flatten(ctx.consume(a), t)]
    if not boxed(s):
        types, where = slots(s)
        filled = [ll.Constant(t, ll.Undefined) for t in types]
        for k, v in zip(where[tag], values, strict=True):
            filled[k] = v
        return SumValue(None, ll.Constant(I32, number), tuple(filled), s)
    if not values:  # a record without fields is a small number
        return SumValue(i64(2 * number + 1).inttoptr(PTR), None, (), s)
    types = box_types(s, tag)
    obj = ctx.allocate(i64(sizeof(types)), BOX_DATA, box_children(ctx.module, s) if _holds(s) else NULL)
    store_parts(ctx.b, [ll.Constant(I32, number), *values], ctx.offset(obj, BOX_DATA), types)
    return SumValue(obj, None, (), s)


def _holds(s) -> bool:
    return any(on_heap(t) for types in s.variants.values() for t in types)


def dispatch(ctx, node: Apply, inside):
    """For each variant of the scrutinee, positioned in its block with its fields bound: (graph, cells that it owns)."""
    (v,) = node.args
    s, value, b = v.type, ctx.value(v), ctx.b
    dying = set(ctx.dying)
    cell = next(iter(ctx.ownership.counted(v)), None)
    moved = cell is not None and cell in dying and cell not in inside
    lives_on = cell is None or (cell not in dying)
    if moved:
        dying.discard(cell)
    blocks = [ctx.block(f"{node.op.name}.{tag}") for tag in s.variants]
    _branch_on_tag(ctx, s, value, blocks)
    for (tag, types), g, block in zip(s.variants.items(), node.graphs, blocks, strict=True):
        b.position_at_end(block)
        t = Tuple(tuple(types))
        if boxed(s):
            values = load_parts(b, ctx.offset(value.box, BOX_DATA), box_types(s, tag))[1:] if fields(s, tag) else []
        else:
            values = [value.slots[k] for k in slots(s)[1][tag]]
        content = unflatten(t, values)
        for p, x in zip(g.params, content, strict=True):
            ctx.define(p, x)
        if not lives_on and not moved:  # a branch uses the record itself, too
            ctx.retain(content, t)
        elif moved and boxed(s) and values:
            _unbox(ctx, value.box, content, t)
        owned = set(dying)
        if not lives_on:
            owned |= {c for p in g.params for c in ctx.ownership.counted(p)}
        yield g, owned


def _branch_on_tag(ctx, s, value, blocks) -> None:
    """Jump to the block of the variant."""
    b = ctx.b
    if not boxed(s):
        if len(blocks) == 1:
            b.branch(blocks[0])
            return
        chosen = b.switch(value.tag, blocks[-1])
        for k, block in enumerate(blocks[:-1]):
            chosen.add_case(ll.Constant(I32, k), block)
        return
    number = b.ptrtoint(value.box, I64)
    empty = [(k, t) for k, t in enumerate(s.variants) if not fields(s, t)]
    full = [(k, t) for k, t in enumerate(s.variants) if fields(s, t)]
    if empty:
        other = ctx.block("record") if full else blocks[empty[-1][0]]
        chosen = b.switch(number, other)
        for k, _ in empty if full else empty[:-1]:
            chosen.add_case(i64(2 * k + 1), blocks[k])
        if not full:
            return
        b.position_at_end(other)
    if len(full) == 1:
        b.branch(blocks[full[0][0]])
        return
    chosen = b.switch(ctx.load(value.box, BOX_DATA, I32), blocks[full[-1][0]])
    for k, _ in full[:-1]:
        chosen.add_case(ll.Constant(I32, k), blocks[k])


def _unbox(ctx, box, content, t) -> None:
    """Give up a record for the ownership of its fields: the last holder frees the shell, others count the fields."""
    b = ctx.b
    rc = b.load(box, typ=I64)
    with b.if_else(b.icmp_unsigned("==", rc, i64(1))) as (last, shared):
        with last:
            b.call(ctx.module.runtime("rt_shell"), [ctx.context, box])
        with shared:
            b.store(b.sub(rc, i64(1)), box)
            ctx.retain(content, t)


# ---- stacks ----------------------------------------------------------------------------------------------------------
def stack_new(ctx, node: Apply) -> StackValue:
    return StackValue(NULL if parts(node.type.elem) else None, i64(0), node.type)


def reserve(ctx, t, start, stop):
    """An empty stack with room for a frame for each trip of a loop from `start` to `stop`, and whether it has that: a
    loop of absurd length may end with an error before it runs out of memory."""
    b, m = ctx.b, ctx.module
    trips = b.sub(stop, start)
    few = b.icmp_unsigned("<=", trips, i64(RESERVED // sizeof(parts(t.elem))))
    before, some, done = b.block, ctx.block("reserve"), ctx.block("reserved")
    b.cbranch(b.and_(few, b.icmp_signed("<", start, stop)), some, done)
    b.position_at_end(some)
    args = [ctx.context, trips, i64(sizeof(parts(t.elem))), frames_children(m, t.elem)]
    obj = b.call(m.runtime("rt_reserve"), args)
    ctx.check(b.icmp_unsigned("!=", obj, NULL))
    after = b.block
    b.branch(done)
    b.position_at_end(done)
    held = b.phi(PTR)
    held.add_incoming(NULL, before)
    held.add_incoming(obj, after)
    return StackValue(held, i64(0), t), few


def stack_len(ctx, node: Apply):
    return ctx.value(node.args[0]).length


def stack_push(ctx, node: Apply) -> StackValue:
    s, v = node.args
    t = node.type.elem
    types = parts(t)
    frame = flatten(ctx.consume(v), t)
    stack = ctx.consume(s)
    b, length = ctx.b, stack.length
    more = b.add(length, i64(1), flags=["nsw", "nuw"])
    if not types:
        return StackValue(None, more, node.type)
    held, slow, push = ctx.block("held"), ctx.block("grow"), ctx.block("push")
    room_for_all = None
    if s in ctx.reserved:
        room_for_all, tested = b.block, ctx.block("tested")
        b.cbranch(ctx.reserved[s], push, tested)
        b.position_at_end(tested)
    b.cbranch(b.icmp_unsigned("!=", stack.obj, NULL), held, slow)
    b.position_at_end(held)
    unique = b.icmp_unsigned("==", b.load(stack.obj, typ=I64), i64(1))
    room = b.icmp_signed("<", length, ctx.load(stack.obj, HEADER_CAPACITY, I64))
    ok = b.and_(unique, room)
    if on_heap(t):
        ok = b.and_(ok, b.icmp_signed("==", length, ctx.load(stack.obj, HEADER_LENGTH, I64)))
    b.cbranch(ok, push, slow).set_weights([100000, 1])
    b.position_at_end(slow)
    m = ctx.module
    if on_heap(t):  # what an abandoned pop left above the top
        counted, stale, grow = ctx.block("counted"), ctx.block("stale"), ctx.block("grow")
        b.cbranch(b.icmp_unsigned("!=", stack.obj, NULL), counted, grow)
        b.position_at_end(counted)
        b.cbranch(b.icmp_unsigned("==", b.load(stack.obj, typ=I64), i64(1)), stale, grow)
        b.position_at_end(stale)
        b.call(trim(m, t), [ctx.context, stack.obj, length])
        b.branch(grow)
        b.position_at_end(grow)
    size = i64(sizeof(types))
    grown = b.call(
        m.runtime("rt_push_slow"), [ctx.context, stack.obj, length, size, frames_children(m, t), frames_retain(m, t)]
    )
    ctx.check(b.icmp_unsigned("!=", grown, NULL))
    after = b.block
    b.branch(push)
    b.position_at_end(push)
    obj = b.phi(PTR)
    if room_for_all is not None:
        obj.add_incoming(stack.obj, room_for_all)
    obj.add_incoming(stack.obj, held)
    obj.add_incoming(grown, after)
    store_parts(b, frame, b.gep(ctx.offset(obj, DATA), [length], source_etype=struct(types)), types, ctx.pause)
    if on_heap(t):
        ctx.store(more, obj, HEADER_LENGTH)
    return StackValue(obj, more, node.type)


def stack_pop(ctx, node: Apply):
    (s,) = node.args
    t = s.type.elem
    types = parts(t)
    cells = ctx.ownership.counted(s)
    movable = bool(cells) and ctx.movable(cells[0])
    stack = ctx.consume(s)
    b = ctx.b
    less = b.sub(stack.length, i64(1), flags=["nsw", "nuw"])
    b.call(ctx.intrinsic("llvm.assume", ll.VoidType(), [I1]), [b.icmp_signed(">=", less, i64(0))])  # as an index
    rest = StackValue(stack.obj, less, s.type)
    if not types:
        return rest, unflatten(t, [])
    frame = b.gep(ctx.offset(stack.obj, DATA), [less], source_etype=struct(types))
    top = unflatten(t, load_parts(b, frame, types, ctx.pause))
    if on_heap(t):
        if movable:
            unique = b.and_(
                b.icmp_unsigned("==", b.load(stack.obj, typ=I64), i64(1)),
                b.icmp_signed("==", ctx.load(stack.obj, HEADER_LENGTH, I64), stack.length),
            )
            with b.if_else(unique) as (move, share):
                with move:
                    ctx.store(less, stack.obj, HEADER_LENGTH)
                with share:
                    ctx.retain(top, t)
        else:
            ctx.retain(top, t)
    return rest, top
