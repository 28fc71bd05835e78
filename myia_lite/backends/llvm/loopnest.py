"""Loops over the points of a kernel, and what they do there: store an element, or fold it into a reduction."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from math import prod

from llvmlite import ir

from ...ir import Array
from .expressions import Expr, Kernel, Load, Point, element_pointer
from .layout import NULL, ArrayValue, element, i64
from .memory_layout import DATA, ITEMSIZE
from .nests import once, outlined
from .regions import PIECE, divisible, region, shared_axis, work
from .scalars import from_memory, intrinsic, number, to_memory
from .sizes import as_value, row_major, times

FEW, UNROLLED = 4, 160  # elements that need no loop, and how much work all of them may be
IDLE = 8  # of so many rows that may be left out, one is taken not to be
SHORT = 16  # elements below which a fold is better unrolled than vectorised
BLOCK = 4096  # elements a vectorised sum of floats adds up before it goes to the total: keeps rounding errors small


class Carried:
    """A value that a loop updates: `value` inside is that of the trip before, after the loop the last one."""

    def __init__(self, value):
        self.value, self.next = value, None


@contextmanager
def counted(b: ir.IRBuilder, count, *initial, first=None, rolled=False):
    """`for i in range(count)`, or from `first` on, around what is emitted inside.  Yields i and a `Carried` for each
    initial value.  A loop that stays `rolled` is vectorised even where it is so short that LLVM would unroll it."""
    before = b.block
    head, body, after = (b.append_basic_block(n) for n in ("loop", "body", "after"))
    count = as_value(count)
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(i64(0).type)
    i.add_incoming(i64(0) if first is None else first, before)
    carried = []
    for value in initial:
        phi = b.phi(value.type)
        phi.add_incoming(value, before)
        carried.append(Carried(phi))
    b.cbranch(b.icmp_signed("<", i, count), body, after)
    b.position_at_end(body)
    yield (i, *carried) if carried else i
    i.add_incoming(b.add(i, i64(1), flags=("nuw", "nsw")), b.block)
    for c in carried:
        c.value.add_incoming(c.next, b.block)
    back = b.branch(head)
    if rolled:
        back.set_metadata("llvm.loop", _rolled(b.module))
    b.position_at_end(after)


def _rolled(module: ir.Module):
    """Metadata of a loop, which are its own first operand."""
    mark = module.add_metadata([f"loop {len(module.metadata)}"])
    mark.operands = (mark, module.add_metadata(["llvm.loop.unroll.disable"]))
    return mark


@contextmanager
def nest(kernel: Kernel, groups, indexes=None, part=None, when=None):
    """Loops over the axis groups, outermost first; over a `part` of one: (group, first, last).  Yields the index by
    axis, for `Point`.  Inside the outermost only what is needed `when(indexes)` is done."""
    indexes = dict(indexes or {})
    if not groups:
        yield indexes
        return
    first, last = part[1:] if part and part[0] is groups[0] else (None, kernel.extent(groups[0]))
    with counted(kernel.b, last, first=first) as i:
        indexes[groups[0][-1]] = i
        guard = kernel.b.if_then(when(indexes)) if when else nullcontext()
        with guard, nest(kernel, groups[1:], indexes, part) as inner:
            yield inner


@contextmanager
def cores(kernel: Kernel, groups, expression: Expr, among=None, idle: int = 1):
    """Around loops over `groups` whose points may be computed in any order: long ones `among` them are spread over all
    cores.  Yields the part for `nest`."""
    among = groups if among is None else among
    shared = shared_axis(kernel, groups, expression, among, idle)
    if shared is None and kernel.ctx.module.large and not kernel.apart and among:
        with outlined(kernel):
            kernel.declare_scope()
            yield None
        return
    if shared is None:
        kernel.declare_scope()
        yield None
        return
    group, count, size = shared
    with region(kernel, count, size) as (first, last):
        kernel.declare_scope()
        yield group, first, last


# ---- stores ----------------------------------------------------------------------------------------------------------
class Target:
    """Where a kernel writes: an array at an affine position."""

    def __init__(self, kernel: Kernel, array: ArrayValue, index, sizes=None):
        self.kernel, self.array = kernel, array
        self.offset, self.strides = kernel.address(index, kernel.sizes if sizes is None else sizes)

    def pointer(self, point: Point):
        return element_pointer(point.b, self.array.data, point.position(self.offset, self.strides), self.array.type)

    def same(self, e: Expr) -> bool:
        """Does it read, of the array itself, the very element that is written?"""
        return isinstance(e, Load) and e.offset == self.offset and e.strides == self.strides

    def load(self, pointer):
        t = self.array.type
        load = self.kernel.b.load(pointer, typ=element(t))
        load.set_metadata("alias.scope", self.kernel.scope)
        return from_memory(self.kernel.b, load, t.dtype)

    def store(self, pointer, value):
        store = self.kernel.b.store(to_memory(self.kernel.b, value, self.array.type.dtype), pointer)
        store.set_metadata("alias.scope", self.kernel.scope)


def assign(kernel: Kernel, target: Target, expression: Expr, add=False, when=None) -> None:
    """target[…] = expression, or +=, over all points; of the outermost axis, over those `when(indexes)`."""
    groups = kernel.groups(expression, target.strides)
    last = groups[-1:] if _few(kernel, groups, expression) else []
    loops = groups[: len(groups) - len(last)]
    idle = IDLE if when else 1
    with cores(kernel, groups, expression, loops, idle) as part, nest(kernel, loops, part=part, when=when) as outer:
        for k in range(kernel.extent(last[0]) if last else 1):
            point = Point(kernel, {**outer, last[0][-1]: i64(k)} if last else outer, vector=True)
            value, at = point.value(expression), target.pointer(point)
            if add:
                value = plus_element(kernel.b, target.array.type.dtype, target.load(at), value)
            target.store(at, value)


def _few(kernel: Kernel, groups, expression: Expr) -> bool:
    """Is the innermost loop so short that it is none?  The one around it is what is vectorised, then."""
    if not groups or not isinstance(extent := kernel.extent(groups[-1]), int):
        return False
    return extent <= FEW and extent * work(expression) <= UNROLLED and not kernel.inexact(expression)


def plus_element(b, dtype, x, y):
    if dtype == "bool":
        return b.or_(x, y)
    return b.fadd(x, y) if dtype in ("f32", "f64") else b.add(x, y)


# ---- reductions ------------------------------------------------------------------------------------------------------
class Fold:
    """How a reduction combines elements of a dtype.  Sums and products of floats may be reordered, as NumPy does."""

    def __init__(self, name: str, dtype: str):
        self.name, self.dtype, self.float = name, dtype, dtype in ("f32", "f64")

    def unit(self):
        if self.name in ("sum", "any"):
            return number(self.dtype, 0)
        if self.name in ("prod", "all"):
            return number(self.dtype, 1)
        low = self.name == "max"
        if self.float:
            return number(self.dtype, float("-inf") if low else float("inf"))
        if self.dtype == "bool":
            return number("bool", not low)
        bits = 8 * ITEMSIZE[self.dtype] - 1
        return number(self.dtype, -(2**bits) if low else 2**bits - 1)

    def combine(self, b: ir.IRBuilder, x, y):
        if self.dtype == "bool":
            return b.or_(x, y) if self.name in ("any", "max", "sum") else b.and_(x, y)
        if self.name in ("sum", "prod"):
            if self.float:
                return (b.fadd if self.name == "sum" else b.fmul)(x, y, flags=("reassoc", "contract"))
            return b.add(x, y) if self.name == "sum" else b.mul(x, y)
        if self.float:
            return intrinsic(b, "maximum" if self.name == "max" else "minimum", x, y)
        return b.select(b.icmp_signed(">" if self.name == "max" else "<", x, y), x, y)


def reduce(kernel: Kernel, fold: Fold, expression: Expr, reduced: set[int], target: Target | None):
    """Fold away the axes `reduced`; into `target`, or, where all axes go, to a value.

    Trailing reduced axes accumulate in a register.  A reduced axis around a kept one (a sum over rows) accumulates into
    the target, row by row, so that memory is read in order.
    """
    b = kernel.b
    strides = target.strides if target else {}
    groups = kernel.groups(expression, strides, _marks(kernel, reduced))
    kept = [g for g in groups if g[-1] not in reduced]
    if not kept and _in_blocks(kernel, groups, expression):
        value = _fold_blocks(kernel, fold, expression, groups)
        if target is None:
            return value
        target.store(target.pointer(Point(kernel, {}, vector=True)), value)
        return None
    inner, outer = [], list(groups)
    while outer and outer[-1][-1] in reduced:
        inner.insert(0, outer.pop())
    across = any(g[-1] in reduced for g in outer)
    if target is None:
        kernel.declare_scope()
        return _fold_inner(kernel, fold, expression, inner, {})
    with cores(kernel, groups, expression, kept) as part:
        if across:
            with nest(kernel, kept, part=part) as indexes:
                target.store(target.pointer(Point(kernel, indexes, vector=True)), fold.unit())
        with nest(kernel, outer, part=part) as indexes:
            value = _fold_inner(kernel, fold, expression, inner, indexes)
            at = target.pointer(Point(kernel, indexes, vector=True))
            if across:
                value = fold.combine(b, target.load(at), value)
            target.store(at, value)
    return None


def reduced(kernel: Kernel, fold: Fold, expression: Expr, axes: set[int], target: Target) -> None:
    """`reduce` to an array."""

    def emit():
        kernel.exactly(expression, lambda: reduce(kernel, fold, expression, axes, target))

    if all(k in axes or size == 1 for k, size in enumerate(kernel.sizes)):  # which may allocate, and so fail
        emit()
    else:
        once(kernel, ("fold", fold.name, fold.dtype, frozenset(axes)), target, expression, emit)


def _fold_inner(kernel, fold, expression, groups, indexes):
    if groups:
        return _accumulate(kernel, fold, expression, groups, indexes, fold.unit())
    return Point(kernel, indexes, vector=True).value(expression)


def _in_blocks(kernel, groups, expression) -> bool:
    """Is a fold to one value long enough, or may it be, for several cores?"""
    if not groups or not divisible(kernel, expression):
        return False
    sizes = [kernel.extent(g) for g in groups]
    return not all(isinstance(d, int) for d in sizes) or prod(sizes) * work(expression) >= 4 * PIECE


def _fold_blocks(kernel: Kernel, fold: Fold, expression: Expr, groups):
    """Blocks of about `BLOCK` elements each to a partial result, by all cores; these in order to one: so the result
    does not depend on who computed what."""
    b, ctx = kernel.b, kernel.ctx
    inner = 1
    for g in groups[1:]:
        inner = times(b, inner, kernel.extent(g))
    rows = BLOCK
    if len(groups) > 1:
        rows = max(1, BLOCK // max(inner, 1)) if isinstance(inner, int) else None
    if rows is None:
        some = b.select(b.icmp_signed(">", inner, i64(0)), inner, i64(1))
        rows = b.add(b.udiv(i64(BLOCK), some), i64(1))
    count, rows = as_value(kernel.extent(groups[0])), as_value(rows)
    blocks = b.udiv(b.add(count, b.sub(rows, i64(1))), rows)
    kind = element(Array(fold.dtype, ()))
    obj = ctx.allocate(b.mul(blocks, i64(ITEMSIZE[fold.dtype])), DATA, NULL)
    partial = ctx.offset(obj, DATA)
    size = max(1, PIECE // (BLOCK * work(expression)))
    with region(kernel, blocks, size) as (first, last):
        kernel.declare_scope()
        with counted(b, last, first=first) as k:
            start = b.mul(k, rows, flags=("nuw", "nsw"))
            left = b.sub(count, start, flags=("nuw", "nsw"))
            length = b.select(b.icmp_signed("<", left, rows), left, rows)
            if len(groups) == 1:
                value = _run(kernel, fold, expression, groups[0][-1], start, length, {}, fold.unit())
            else:
                with counted(b, b.add(start, length), fold.unit(), first=start) as (i, total):
                    total.next = _accumulate(kernel, fold, expression, groups[1:], {groups[0][-1]: i}, total.value)
                value = total.value
            at = b.gep(partial, [k], inbounds=True, source_etype=kind)
            b.store(to_memory(b, value, fold.dtype), at)
    with counted(b, blocks, fold.unit()) as (k, total):
        at = b.gep(partial, [k], inbounds=True, source_etype=kind)
        value = from_memory(b, b.load(at, typ=kind), fold.dtype)
        in_order = fold.name == "sum" and fold.float
        total.next = b.fadd(total.value, value) if in_order else fold.combine(b, total.value, value)
    b.call(ctx.module.runtime("release"), [ctx.context, obj])
    return total.value


def _marks(kernel, reduced):
    """A walk that keeps reduced axes apart from the others: stride 0 on them, of an array without them elsewhere."""
    kept = [k for k in range(len(kernel.sizes)) if k not in reduced]
    return dict(zip(kept, row_major([kernel.sizes[k] for k in kept]), strict=True))


def _accumulate(kernel: Kernel, fold: Fold, expression: Expr, groups, indexes, start):
    b = kernel.b
    if len(groups) > 1:
        with counted(b, kernel.extent(groups[0]), start) as (i, total):
            total.next = _accumulate(kernel, fold, expression, groups[1:], {**indexes, groups[0][-1]: i}, total.value)
        return total.value
    axis, extent = groups[0][-1], kernel.extent(groups[0])
    if fold.name == "sum" and fold.float and not (isinstance(extent, int) and extent <= BLOCK):
        blocks = b.udiv(b.add(as_value(extent), i64(BLOCK - 1)), i64(BLOCK))
        with counted(b, blocks, start) as (k, total):
            first = b.mul(k, i64(BLOCK), flags=("nuw", "nsw"))
            left = b.sub(as_value(extent), first, flags=("nuw", "nsw"))
            length = b.select(b.icmp_signed("<", left, i64(BLOCK)), left, i64(BLOCK))
            part = _run(kernel, fold, expression, axis, first, length, indexes, fold.unit())
            total.next = b.fadd(total.value, part)
        return total.value
    return _run(kernel, fold, expression, axis, None, extent, indexes, start)


def _run(kernel, fold, expression, axis, first, length, indexes, start):
    """The innermost loop of a reduction.  A bool is carried as a byte: the vectoriser knows that form."""
    b = kernel.b
    wide = fold.dtype == "bool"
    rolled = isinstance(length, int) and length >= SHORT
    with counted(b, length, to_memory(b, start, fold.dtype), rolled=rolled) as (i, total):
        at = i if first is None else b.add(first, i, flags=("nuw", "nsw"))
        value = Point(kernel, {**indexes, axis: at}, vector=True).value(expression)
        if fold.name == "sum" and getattr(value, "opname", "") == "fmul":
            value.flags = [*value.flags, "contract"]  # one rounding less in a sum of products
        if wide:
            value = b.zext(value, total.value.type)
            total.next = (b.or_ if fold.name in ("any", "max", "sum") else b.and_)(total.value, value)
        else:
            total.next = fold.combine(b, total.value, value)
    return from_memory(b, total.value, fold.dtype)
