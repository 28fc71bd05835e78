"""Sums and stacks: tagged records, and the contiguous lists of what loops save."""

from __future__ import annotations

from tvm import tirx
from tvm.tirx import op

from ...ir import Apply
from ..llvm.layout import boxed
from .code import const, expr
from .heap import packed
from .layout import OBJECT, StackValue, SumValue, fields, flatten, parts, slots, unflatten


def make(ctx, node: Apply):
    s, tag = node.attrs["sum"], node.attrs["tag"]
    number = s.index(tag)
    new = [p for a, t in zip(node.args, s.variants[tag], strict=True) for p in flatten(ctx.consume(a), t)]
    kinds = fields(s, tag)
    if not boxed(s):
        shared, where = slots(s)
        out = [None] * len(shared)
        for k, p in zip(where[tag], new, strict=True):
            out[k] = p
        for k, kind in enumerate(shared):
            if out[k] is None:
                out[k] = nothing(ctx, kind)
        return SumValue(None, const(number), tuple(out), s)
    r = ctx.heap.register()
    ctx.heap.call(r, "ffi.Array", const(number), *_items(ctx, new, kinds))
    for p, kind in zip(new, kinds, strict=True):
        if kind == OBJECT:
            ctx.heap.reset(p)
    return SumValue(r, None, (), s)


def nothing(ctx, kind: str):
    if kind == OBJECT:
        r = ctx.heap.register()
        ctx.heap.reset(r)
        return r
    return const(False if kind == "bool" else 0.0 if kind[0] == "f" else 0, kind)


def _items(ctx, values, kinds) -> list:
    return [
        ctx.heap.item(p) if kind == OBJECT else ctx.code.let(packed(p, kind))
        for p, kind in zip(values, kinds, strict=True)
    ]


def stack_new(ctx, node: Apply):
    t = node.type
    if not parts(t.elem):
        return StackValue(None, const(0), t)
    r = ctx.heap.register()
    ctx.heap.call(r, "ffi.List")
    return StackValue(r, const(0), t)


def stack_push(ctx, node: Apply):
    s, v = (ctx.consume(a) for a in node.args)
    t = node.type
    kinds, code = parts(t.elem), ctx.code
    length = code.let(tirx.Add(s.length, const(1)))
    if not kinds:
        return StackValue(None, length, t)
    values = flatten(v, t.elem)
    _, size = ctx.heap.sequence(s.register)
    used = code.let(tirx.Mul(s.length, const(len(kinds))))
    with code.when(tirx.Or(tirx.NE(size, used), tirx.Not(ctx.heap.alone(s.register)))):
        _prefix(ctx, s.register, used)
    for x in _items(ctx, values, kinds):
        code.do(op.call_packed("ffi.ListAppend", ctx.heap.item(s.register), x))
    for p, kind in zip(values, kinds, strict=True):
        if kind == OBJECT:
            ctx.heap.reset(p)
    return StackValue(s.register, length, t)


def _prefix(ctx, register: int, used) -> None:
    """The list in the register without what is above the stack's top: itself where nobody else holds it, else a
    copy of the rest."""
    code = ctx.code

    def cut():
        _, size = ctx.heap.sequence(register)
        code.do(op.call_packed("ffi.ListEraseRange", ctx.heap.item(register), used, size))

    def copied():
        r = ctx.heap.register()
        ctx.heap.call(r, "ffi.List")
        items, _ = ctx.heap.sequence(register)
        with code.counted(used) as i:
            item = op.anylist_getitem(items, tirx.Cast("int32", expr(i)))
            code.do(op.call_packed("ffi.ListAppend", ctx.heap.item(r), item))
        ctx.heap.move(register, r)

    code.choose(ctx.heap.alone(register), cut, copied)


def stack_pop(ctx, node: Apply):
    t, code = node.args[0].type, ctx.code
    s = ctx.consume(node.args[0])
    kinds = parts(t.elem)
    length = code.let(tirx.Sub(s.length, const(1)))
    if not kinds:
        return StackValue(None, length, t), unflatten(t.elem, [])
    items, _ = ctx.heap.sequence(s.register)
    at = code.let(tirx.Mul(length, const(len(kinds))))
    found = []
    for k, kind in enumerate(kinds):
        i = code.let(tirx.Add(at, const(k)))
        if kind == OBJECT:
            found.append(ctx.heap.register())
            ctx.heap.load_object(found[-1], items, i)
        else:
            found.append(ctx.heap.load(items, i, kind))
    if OBJECT in kinds:  # so that what was popped is held once
        with code.when(ctx.heap.alone(s.register)):
            _, size = ctx.heap.sequence(s.register)
            code.do(op.call_packed("ffi.ListEraseRange", ctx.heap.item(s.register), at, size))
    return StackValue(s.register, length, t), unflatten(t.elem, found)


def stack_len(ctx, node: Apply):
    return ctx.value(node.args[0]).length
