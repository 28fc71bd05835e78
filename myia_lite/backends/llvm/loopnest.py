"""Loops over the points of a kernel, and what they do there: store an element, or fold it into a reduction."""

from __future__ import annotations

from contextlib import contextmanager

from llvmlite import ir

from .expressions import Expr, Kernel, Point, as_value, element_pointer, row_major
from .layout import ITEMSIZE, ArrayValue, element, i64
from .scalars import from_memory, intrinsic, number, to_memory

BLOCK = 4096  # elements a vectorised sum of floats adds up before it goes to the total: keeps rounding errors small


class Carried:
    """A value that a loop updates: `value` inside is that of the trip before, after the loop the last one."""

    def __init__(self, value):
        self.value, self.next = value, None


@contextmanager
def counted(b: ir.IRBuilder, count, *initial):
    """`for i in range(count)` around what is emitted inside.  Yields i and a `Carried` for each initial value."""
    before = b.block
    head, body, after = (b.append_basic_block(n) for n in ("loop", "body", "after"))
    count = as_value(count)
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(i64(0).type)
    i.add_incoming(i64(0), before)
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
    b.branch(head)
    b.position_at_end(after)


@contextmanager
def nest(kernel: Kernel, groups, indexes=None):
    """Loops over the axis groups, outermost first.  Yields the index by axis, for `Point`."""
    indexes = dict(indexes or {})
    if not groups:
        yield indexes
        return
    with counted(kernel.b, kernel.extent(groups[0])) as i:
        indexes[groups[0][-1]] = i
        with nest(kernel, groups[1:], indexes) as inner:
            yield inner


# ---- stores ----------------------------------------------------------------------------------------------------------
class Target:
    """Where a kernel writes: an array at an affine position."""

    def __init__(self, kernel: Kernel, array: ArrayValue, index, sizes=None):
        self.kernel, self.array = kernel, array
        self.offset, self.strides = kernel.address(index, kernel.sizes if sizes is None else sizes)

    def pointer(self, point: Point):
        return element_pointer(point.b, self.array.data, point.position(self.offset, self.strides), self.array.type)

    def load(self, pointer):
        t = self.array.type
        load = self.kernel.b.load(pointer, typ=element(t))
        load.set_metadata("alias.scope", self.kernel.scope)
        return from_memory(self.kernel.b, load, t.dtype)

    def store(self, pointer, value):
        store = self.kernel.b.store(to_memory(self.kernel.b, value, self.array.type.dtype), pointer)
        store.set_metadata("alias.scope", self.kernel.scope)


def assign(kernel: Kernel, target: Target, expression: Expr, add=False) -> None:
    """target[…] = expression, or +=, over all points."""
    kernel.scope  # noqa: B018  (declared before the loops)
    groups = kernel.groups(expression, target.strides)
    with nest(kernel, groups) as indexes:
        point = Point(kernel, indexes, vector=True)
        value, at = point.value(expression), target.pointer(point)
        if add:
            value = plus_element(kernel.b, target.array.type.dtype, target.load(at), value)
        target.store(at, value)


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
    kernel.scope  # noqa: B018
    strides = target.strides if target else {}
    groups = kernel.groups(expression, strides, _marks(kernel, reduced))
    inner = []
    while groups and groups[-1][-1] in reduced:
        inner.insert(0, groups.pop())
    across = any(g[-1] in reduced for g in groups)
    if across:
        with nest(kernel, [g for g in groups if g[-1] not in reduced]) as indexes:
            target.store(target.pointer(Point(kernel, indexes, vector=True)), fold.unit())
    with nest(kernel, groups) as indexes:
        if inner:
            value = _accumulate(kernel, fold, expression, inner, indexes, fold.unit())
        else:
            value = Point(kernel, indexes, vector=True).value(expression)
        if target is None:
            return value  # no groups: nothing is open
        at = target.pointer(Point(kernel, indexes, vector=True))
        if across:
            value = fold.combine(b, target.load(at), value)
        target.store(at, value)
    return None


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
    with counted(b, length, to_memory(b, start, fold.dtype)) as (i, total):
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
