"""Loops that several threads share: their code becomes a function of its own.

What the piece uses of the function around it is found once the piece is emitted: whoever emits it need not know.  It
goes through a record on the stack.  Whether a loop is long enough is decided here where all sizes are known,
else at run time (`cores.rt_parallel`, which also runs what is too short).
"""

from __future__ import annotations

from contextlib import contextmanager

import llvmlite.ir as ll
from llvmlite.ir.instructions import Instruction

from . import vectors
from .expressions import Expr, Gather, Kernel, Load, Operation, Splat
from .fusion import CHEAP
from .layout import I8, I64, PTR, i64, load_parts, store_parts, struct
from .module import Symbol
from .operands import operands, substitute
from .sizes import as_value, times

# The unit of work is about a quarter of a nanosecond.
PIECE = 100_000  # work that one thread takes at a time
MANY, LINE = 16, 64  # items worth sharing out; elements that no two threads should write to side by side
MEMORY, ROUNDED, SCALAR = 2, 6, 40  # an element read or written; a function in vector code; one of the C library


def work(expression: Expr) -> int:
    """About how long one element takes."""
    total = MEMORY
    for e in set(expression.walk()):
        if isinstance(e, (Load, Gather)):
            total += MEMORY
        elif isinstance(e, Operation):
            name = e.node.op.name
            total += 1 if name in CHEAP else ROUNDED if _in_vectors(name) else SCALAR
        elif not isinstance(e, Splat):
            total += 1
    return total


def _in_vectors(name: str) -> bool:
    return name in ("div", "sqrt", "powi") or vectors.has(name)


def divisible(kernel: Kernel, expression: Expr) -> bool:
    """May the elements be computed by any thread?  SciPy's digamma may want Python's lock to warn."""
    return not kernel.alone and not any(
        isinstance(e, Operation) and e.node.op.name == "polygamma" for e in expression.walk()
    )


def grain(kernel: Kernel, count, each, idle: int = 1):
    """How many of `count` items, of so much work each, make a piece; None where all are known to be too few.  One in so
    many `idle` items has work to do."""
    b = kernel.b
    if isinstance(each, int):
        least = max(1, idle * PIECE // max(each, 1))
        return None if isinstance(count, int) and count < 4 * least else least
    at_least_one = b.select(b.icmp_signed(">", each, i64(0)), each, i64(1))
    return b.add(b.udiv(i64(idle * PIECE), at_least_one), i64(1))


def shared_axis(kernel: Kernel, groups, expression: Expr, among, idle: int = 1):
    """The loop to be shared: (its group, items, items in a piece); None where there is too little to do."""
    if not among or not divisible(kernel, expression):
        return None
    extents = {g: kernel.extent(g) for g in groups}
    group = next((g for g in among if not isinstance(extents[g], int) or extents[g] >= MANY), None)
    if group is None:
        group = max(among, key=extents.get)
    each = work(expression)
    for g in groups:
        if g is not group:
            each = times(kernel.b, each, extents[g])
    size = grain(kernel, extents[group], each, idle)
    if size is None:
        return None
    if group is groups[-1] and isinstance(size, int):
        size = -(-size // LINE) * LINE
    return group, extents[group], size


@contextmanager
def region(kernel: Kernel, count, size):
    """Around code for the items from `first` to `last`, which it yields, of `count`; in pieces of `size`."""
    with apart(kernel, I64, I64, record=True) as piece:
        yield piece.arguments
    kernel.b.call(
        kernel.ctx.module.runtime("rt_parallel"),
        [Symbol(piece.function), piece.record, as_value(count), as_value(size)],
    )


class Piece:
    """A function apart, with its arguments.  When its code is emitted: the values of the function around it that it
    uses, which are its arguments, too, or lie in a record, its first one."""

    def __init__(self, function: ll.Function, arguments):
        self.function, self.arguments = function, arguments
        self.used: list = []
        self.record = None


@contextmanager
def apart(kernel: Kernel, *arguments, record=False):
    """Around code that is to be a function of these arguments, and of what it uses of the function around it; yields a
    `Piece`."""
    ctx, b, module = kernel.ctx, kernel.b, kernel.b.module
    outside, scope, flag, function, entry = b.block, kernel.scoped, kernel.flag, ctx.fn, ctx.entry
    name = module.get_unique_name(f"{function.name}.piece")
    piece = ll.Function(module, ll.FunctionType(ll.VoidType(), [*[PTR] * record, *arguments]), name)
    piece.linkage = "internal"
    piece.attributes.add("nounwind")
    piece.attributes.add("noinline")
    made = Piece(piece, piece.args[record:])
    ctx.fn, ctx.entry = piece, piece.append_basic_block("entry")
    start = piece.append_basic_block("start")
    b.position_at_end(start)
    kernel.scoped = None
    if flag is not None:  # one of this piece's own, which stays in a register
        kernel.flag = ctx.alloca(I8)
        b.store(I8(0), kernel.flag)
    yield made
    if flag is not None:
        with b.if_then(b.icmp_unsigned("!=", b.load(kernel.flag, typ=I8), I8(0)), likely=False):
            b.store(I8(1), flag)
    b.ret_void()
    inside = ctx.entry
    ctx.fn, ctx.entry, kernel.scoped, kernel.flag = function, entry, scope, flag
    made.used = used = _captured(piece)
    types = [v.type for v in used]
    b.position_at_end(inside)
    if record:
        piece.args[0].add_attribute("noalias")
        values = load_parts(b, piece.args[0], types)
    else:
        values = _further_arguments(piece, types)
    _replace(piece, dict(zip(used, values, strict=True)))
    b.branch(start)
    b.position_at_end(outside)
    if record:
        made.record = ctx.alloca(struct(types))
        store_parts(b, used, made.record, types)


def _further_arguments(piece: ll.Function, types) -> list[ll.Argument]:
    more = [ll.Argument(piece, t) for t in types]
    piece.args = (*piece.args, *more)
    piece.ftype = ll.FunctionType(piece.ftype.return_type, [a.type for a in piece.args])
    piece.type = piece.ftype.as_pointer()
    return more


def _instructions(fn: ll.Function):
    for block in fn.blocks:
        yield from block.instructions


def _captured(fn: ll.Function) -> list:
    """The values of another function that are used in this one."""
    found = {}
    for instruction in _instructions(fn):
        for v in operands(instruction):
            where = v.parent.parent if isinstance(v, Instruction) else v.parent if isinstance(v, ll.Argument) else fn
            if where is not fn:
                found[v] = None
    return list(found)


def _replace(fn: ll.Function, new: dict) -> None:
    def local(v):
        return new.get(v, v) if isinstance(v, (Instruction, ll.Argument)) else v

    for instruction in _instructions(fn):
        if any(v in new for v in operands(instruction) if isinstance(v, (Instruction, ll.Argument))):
            substitute(instruction, local)
