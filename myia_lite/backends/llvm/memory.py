"""Counting references in values of any type, and the helper functions that do it for records and stack frames."""

from __future__ import annotations

import llvmlite.ir as ll

from ...ir import Array, Stack, Sum, Tuple, Type
from .layout import (
    I8,
    I32,
    I64,
    NULL,
    PTR,
    boxed,
    fields,
    flatten,
    i64,
    load_parts,
    on_heap,
    parts,
    slots,
    struct,
    tagged,
    unflatten,
)
from .memory_layout import BOX_DATA, DATA, HEADER_LENGTH
from .module import VOID, ModuleBuilder, Symbol


def visit(m: ModuleBuilder, b: ll.IRBuilder, operation: str, extra, value, t: Type) -> None:
    """Apply `retain`, `release`, `freeze` or `unref` to each counted pointer in `value`; `extra` comes first."""
    if not on_heap(t):
        return
    if isinstance(t, Tuple):
        for v, e in zip(value, t.elems, strict=True):
            visit(m, b, operation, extra, v, e)
    elif isinstance(t, (Array, Stack)):
        if not (isinstance(value.obj, ll.Constant) and value.obj.constant is None):
            b.call(m.runtime(operation), [extra, value.obj])
    elif boxed(t):
        b.call(m.runtime(operation), [extra, value.box])
    else:
        b.call(m.helper((operation, t), lambda: _of_variants(m, operation, t)), [extra, *flatten(value, t)])


def _of_variants(m: ModuleBuilder, operation: str, s: Sum) -> ll.Function:
    fn, b = m.internal(f"{operation}.{s.name}", VOID, [PTR, *parts(s)])
    extra, *values = fn.args
    tag = values.pop(0) if tagged(s) else ll.Constant(I32, 0)
    done = fn.append_basic_block()
    chosen = b.switch(tag, done)
    for k, (name, types) in enumerate(s.variants.items()):
        t = Tuple(tuple(types))
        if not on_heap(t):
            continue
        block = fn.append_basic_block(name)
        chosen.add_case(ll.Constant(I32, k), block)
        b.position_at_end(block)
        where = slots(s)[1][name]
        visit(m, b, operation, extra, unflatten(t, [values[i] for i in where]), t)
        b.branch(done)
    b.position_at_end(done)
    b.ret_void()
    return fn


def box_types(s: Sum, tag: str) -> tuple:
    """What a record on the heap holds: its tag, and the fields of its variant."""
    return (I32, *fields(s, tag))


def box_children(m: ModuleBuilder, s: Sum):
    """The function that drops what a record of the sum holds."""
    return Symbol(m.helper(("children", s), lambda: _box_children(m, s)))


def _box_children(m: ModuleBuilder, s: Sum) -> ll.Function:
    fn, b = m.internal(f"children.{s.name}", VOID, [PTR, PTR])
    obj, worklist = fn.args
    data = b.gep(obj, [i64(BOX_DATA)], source_etype=I8)
    done = fn.append_basic_block()
    chosen = b.switch(b.load(data, typ=I32), done)
    for k, (name, types) in enumerate(s.variants.items()):
        t = Tuple(tuple(types))
        if not on_heap(t):
            continue
        block = fn.append_basic_block(name)
        chosen.add_case(ll.Constant(I32, k), block)
        b.position_at_end(block)
        visit(m, b, "unref", worklist, unflatten(t, load_parts(b, data, box_types(s, name))[1:]), t)
        b.branch(done)
    b.position_at_end(done)
    b.ret_void()
    return fn


def frames_children(m: ModuleBuilder, t: Type):
    """The function that drops what the frames of a stack of `t` hold; null where they hold nothing."""
    return Symbol(m.helper(("frames", t), lambda: _over_frames(m, t, "unref"))) if on_heap(t) else NULL


def frames_retain(m: ModuleBuilder, t: Type):
    """The function that counts the references in the frames of a fresh copy."""
    return Symbol(m.helper(("frames retain", t), lambda: _over_frames(m, t, "retain"))) if on_heap(t) else NULL


def _over_frames(m: ModuleBuilder, t: Type, operation: str) -> ll.Function:
    fn, b = m.internal(f"frames.{operation}", VOID, [PTR, PTR] if operation == "unref" else [PTR])
    obj, extra = (fn.args[0], fn.args[1]) if operation == "unref" else (fn.args[0], NULL)
    first, n = i64(0), b.load(b.gep(obj, [i64(HEADER_LENGTH)], source_etype=I8), typ=I64)
    _frames_loop(m, fn, b, t, operation, extra, obj, first, n)
    b.ret_void()
    return fn


def trim(m: ModuleBuilder, t: Type) -> ll.Function:
    """trim(ctx, obj, length): drop the frames from `length` on of a buffer that nobody else holds."""

    def make():
        fn, b = m.internal("frames.trim", VOID, [PTR, PTR, I64])
        ctx, obj, length = fn.args
        at = b.gep(obj, [i64(HEADER_LENGTH)], source_etype=I8)
        n = b.load(at, typ=I64)
        b.store(length, at)
        _frames_loop(m, fn, b, t, "release", ctx, obj, length, n)
        b.ret_void()
        return fn

    return m.helper(("trim", t), make)


def _frames_loop(m, fn, b, t, operation, extra, obj, first, n) -> None:
    before, head, body, done = b.block, *(fn.append_basic_block(x) for x in ("head", "frame", "done"))
    data = b.gep(obj, [i64(DATA)], source_etype=I8)
    b.branch(head)
    b.position_at_end(head)
    k = b.phi(I64)
    k.add_incoming(first, before)
    b.cbranch(b.icmp_signed("<", k, n), body, done)
    b.position_at_end(body)
    frame = b.gep(data, [k], source_etype=struct(parts(t)))
    visit(m, b, operation, extra, unflatten(t, load_parts(b, frame, parts(t))), t)
    k.add_incoming(b.add(k, i64(1)), b.block)
    b.branch(head)
    b.position_at_end(done)
