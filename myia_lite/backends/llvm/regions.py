"""Loops that several threads share, and loops of large programs: their code becomes a function of its own.

What the piece uses of the function around it goes through a record on the stack, which `region` finds once the piece
is emitted: whoever emits it need not know.  Whether a loop is long enough is decided here where all sizes are known,
else at run time (`cores.rt_parallel`, which also runs what is too short).
"""

from __future__ import annotations

import re
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
COMMON = 32  # values in a record that goes where the others went
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


def grain(kernel: Kernel, count, each):
    """How many of `count` items, of so much work each, make a piece; None where all are known to be too few."""
    b = kernel.b
    if isinstance(each, int):
        least = max(1, PIECE // max(each, 1))
        return None if isinstance(count, int) and count < 4 * least else least
    at_least_one = b.select(b.icmp_signed(">", each, i64(0)), each, i64(1))
    return b.add(b.udiv(i64(PIECE), at_least_one), i64(1))


def shared_axis(kernel: Kernel, groups, expression: Expr, among):
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
    size = grain(kernel, extents[group], each)
    if size is None:
        return None
    if group is groups[-1] and isinstance(size, int):
        size = -(-size // LINE) * LINE
    return group, extents[group], size


@contextmanager
def region(kernel: Kernel, count, size):
    """Around code for the items from `first` to `last`, which it yields, of `count`; in pieces of `size`."""
    with _apart(kernel, I64, I64) as piece:
        yield piece.arguments
    kernel.b.call(
        kernel.ctx.module.runtime("rt_parallel"),
        [Symbol(piece.function), piece.record, as_value(count), as_value(size)],
    )


@contextmanager
def outlined(kernel: Kernel):
    """Around a loop nest of a large program.  The time to vectorise a loop grows with the function that it stands in;
    and a nest that reads like one before it, but for what it works on, is a call of that one."""
    with _apart(kernel) as piece:
        yield
    module = kernel.b.module
    text = _canonical(piece.function)
    known = kernel.ctx.module.helper(("nest", text), lambda: piece.function)
    if known is not piece.function:
        module.globals.pop(piece.function.name)
    kernel.b.call(known, [piece.record])


class _Piece:
    """A function apart: its arguments after the record, and the record that it is to be called with."""

    def __init__(self, function: ll.Function):
        self.function, self.record = function, None
        self.arguments = function.args[1:]


@contextmanager
def _apart(kernel: Kernel, *arguments):
    """Around code that is to be a function of a record and these arguments: yields a `_Piece`, whose record is there
    afterwards."""
    ctx, b, module = kernel.ctx, kernel.b, kernel.b.module
    outside, scope, flag, function, entry = b.block, kernel.scoped, kernel.flag, ctx.fn, ctx.entry
    name = module.get_unique_name(f"{function.name}.piece")
    piece = ll.Function(module, ll.FunctionType(ll.VoidType(), [PTR, *arguments]), name)
    piece.linkage = "internal"
    piece.attributes.add("nounwind")
    piece.attributes.add("noinline")
    record = piece.args[0]
    record.add_attribute("noalias")
    made = _Piece(piece)
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
    used = _captured(piece)
    types = [v.type for v in used]
    b.position_at_end(inside)
    _replace(piece, dict(zip(used, load_parts(b, record, types), strict=True)))
    b.branch(start)
    b.position_at_end(outside)
    made.record = _room(ctx, types)
    store_parts(b, used, made.record, types)


def _room(ctx, types):
    """Stack memory for a record that is read before the next one is written: of large programs, the same for most."""
    if not ctx.module.large or len(types) > COMMON:
        return ctx.alloca(struct(types))
    return ctx.module.helper(("record", ctx.fn), lambda: ctx.alloca_array(I64, COMMON))


def _canonical(piece: ll.Function) -> str:
    """The text of a function, but for its name and the numbers of its metadata."""
    numbers: dict[str, str] = {}
    text = str(piece).replace(piece.name, "")
    return re.sub(r"!\d+", lambda m: numbers.setdefault(m[0], f"!{len(numbers)}"), text)


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
