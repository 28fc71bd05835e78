"""Array expressions as functions of loop indices.

`Kernel` is one loop nest's view of the nodes that it computes.  `Kernel.read(node, index)` follows inlined nodes down
to materialised arrays; on the way transposes, slices, broadcasts and unit reshapes turn into affine indexes.  What
remains is arithmetic over loads `data[offset + sum of stride * loop index]`.  Strides are products of dims, known or
not, kept symbolic: that is how axes that lie contiguously in all operands are found, which become one loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llvmlite import ir

from ...ir import Apply, Array, Node
from . import vectors
from .fusion import inner_size, unit_reshape
from .layout import I8, ArrayValue, element
from .scalars import from_memory, scalar_op
from .sizes import ZERO, Stride, as_value, known, plus, row_major, times


@dataclass(frozen=True, slots=True)
class Affine:
    """The index along one axis of a node: offset + step * (index of loop `axis`); `whole` if over all of it."""

    offset: object = 0
    axis: int | None = None
    step: int = 1
    whole: bool = False


FIRST = Affine()


# ---- expressions -----------------------------------------------------------------------------------------------------
class Expr:
    """One value per point of the loop nest."""

    strides: dict[int, Stride] | None = None  # how it walks through memory, by loop axis; None: not at all

    def parts(self) -> tuple[Expr, ...]:
        return ()

    def walk(self) -> Iterator[Expr]:
        yield self
        for p in self.parts():
            yield from p.walk()

    def emit(self, point: Point):
        raise NotImplementedError


class Splat(Expr):
    """The same value everywhere."""

    def __init__(self, value):
        self.value = value

    def emit(self, point):
        return self.value


class Load(Expr):
    def __init__(self, data, offset, strides, t: Array):
        self.data, self.offset, self.strides, self.type = data, offset, strides, t

    def emit(self, point):
        at = element_pointer(point.b, self.data, point.position(self.offset, self.strides), self.type)
        own = self.data is point.kernel.written
        return from_memory(point.b, point.load(at, self.type, own), self.type.dtype)


class Count(Expr):
    """The index itself: iota."""

    def __init__(self, index: Affine):
        self.offset, self.strides = index.offset, {} if index.axis is None else {index.axis: Stride(index.step)}

    def emit(self, point):
        return as_value(point.position(self.offset, self.strides))


class Gather(Expr):
    """x[i0, i1, …, affine in the other axes], where the first indexes are expressions."""

    def __init__(self, data, indexes, leading, offset, strides, t: Array):
        self.data, self.indexes, self.leading = data, indexes, leading
        self.offset, self.strides, self.type = offset, strides, t

    def parts(self):
        return self.indexes

    def emit(self, point):
        position = point.position(self.offset, self.strides)
        for index, stride in zip(self.indexes, self.leading, strict=True):
            position = plus(point.b, position, times(point.b, point.value(index), stride.emit(point.b)))
        return from_memory(
            point.b, point.load(element_pointer(point.b, self.data, position, self.type), self.type), self.type.dtype
        )


class Operation(Expr):
    def __init__(self, node: Apply, operands):
        self.node, self.operands = node, operands

    def parts(self):
        return self.operands

    def emit(self, point):
        values = [point.value(e) for e in self.operands]
        n, vector = self.node, point.vector
        if vector and n.op.name in vectors.LIMITED and vectors.has(n.op.name):
            vector = point.kernel.flag is not None
            if vector:
                point.kernel.note(vectors.beyond(point.b, n.op.name, n.type.dtype, *values))
        return scalar_op(
            point.b, n.op.name, n.attrs, [a.type.dtype for a in n.args], n.type.dtype, *values, vector=vector
        )


class Product(Expr):
    """The sum of products of expressions, by pairs: an element of a product of matrices."""

    def __init__(self, dtype, *pairs: tuple[Expr, Expr]):
        self.dtype, self.pairs = dtype, pairs

    def parts(self):
        return tuple(e for pair in self.pairs for e in pair)

    def emit(self, point):
        if self.dtype not in ("f32", "f64"):
            ((x, y),) = self.pairs
            return point.b.mul(point.value(x), point.value(y))
        total = None
        for x, y in self.pairs:
            one = point.b.fmul(point.value(x), point.value(y), flags=("contract",) * (len(self.pairs) > 1))
            total = one if total is None else point.b.fadd(total, one, flags=("contract",))
        return total


def element_pointer(b: ir.IRBuilder, data, position, t: Array):
    return b.gep(data, [as_value(position)], inbounds=True, source_etype=element(t))


class Point:
    """Where in the loops code is emitted: the index of each axis, and the values computed there already."""

    def __init__(self, kernel: Kernel, indexes: dict[int, object], vector: bool):
        self.b, self.kernel, self.indexes, self.vector = kernel.b, kernel, indexes, vector
        self.done: dict[Expr, object] = {}

    def value(self, e: Expr):
        if e not in self.done:
            self.done[e] = e.emit(self)
        return self.done[e]

    def position(self, offset, strides):
        for axis, index in self.indexes.items():
            stride = strides.get(axis)
            if stride is not None:
                offset = plus(self.b, offset, times(self.b, index, stride.emit(self.b)))
        return offset

    def load(self, pointer, t: Array, own: bool = False):
        """An element; `own` if of the array that the kernel writes."""
        load = self.b.load(pointer, typ=element(t))
        if self.vector:
            load.set_metadata("alias.scope" if own else "noalias", self.kernel.scope)
        return load


# ---- from nodes to expressions ---------------------------------------------------------------------------------------
class Kernel:
    """The computation of one materialised node: its axes (a size each) and the expressions over them."""

    def __init__(self, ctx, plan, sizes=()):
        self.ctx, self.plan, self.b = ctx, plan, ctx.b
        self.sizes = list(sizes)
        self.made: dict = {}
        self.instead: dict[Node, ArrayValue] = {}  # copies to read from
        self.written = None  # the data of an operand whose memory the result takes over
        self.scoped = None  # what `scope` has declared
        self.alone = False  # is no thread to help?
        self.apart = False  # is the nest in a function of its own?
        self.flag = None  # memory for a bool: has a function met an argument beyond its fast range?

    def array(self, node: Node) -> ArrayValue:
        return self.instead.get(node) or self.ctx.array(node)

    @property
    def scope(self):
        """Metadata: memory that no operand shares, since the kernel has made it or holds it alone."""
        if self.scoped is None:
            m = self.b.module
            count = len(m.metadata) + 1
            domain = m.add_metadata([f"kernel {count}"])
            self.scoped = m.add_metadata([m.add_metadata([f"output {count}", domain])])
            declare = m.globals.get("llvm.experimental.noalias.scope.decl") or ir.Function(
                m, ir.FunctionType(ir.VoidType(), [ir.MetaDataType()]), "llvm.experimental.noalias.scope.decl"
            )
            self.b.call(declare, [self.scoped])
        return self.scoped

    def declare_scope(self) -> None:
        """Where a scope belongs to what follows: in front of the loops that store with it, or inside a region."""
        _ = self.scope

    def index(self) -> tuple[Affine, ...]:
        """The identity: axis k of the node is axis k of the loops."""
        return tuple(FIRST if d == 1 else Affine(0, k, 1, True) for k, d in enumerate(self.sizes))

    def dims(self, node: Node, computed=False) -> list:
        """The sizes of an array node, inlined or not; with `computed`, of one that is only about to have a value."""
        t = node.type
        if None not in t.shape:
            return list(t.shape)
        if node not in self.plan.inlined and not computed:
            found = [known(d) for d in self.array(node).dims]
        elif node.op.elementwise:
            found = self.dims(next(a for a in node.args if isinstance(a.type, Array)))
            for a in node.args:
                if isinstance(a.type, Array):
                    found = [m if isinstance(m, int) else n for m, n in zip(found, self.dims(a), strict=True)]
        elif node.op.name == "transpose":
            inner = self.dims(node.args[0])
            found = [inner[p] for p in node.attrs["perm"]]
        elif node.op.name == "matmul":
            a, b = map(self.dims, node.args)
            found = [m if isinstance(m, int) else n for m, n in zip(a[:-2], b[:-2], strict=True)]
            found += [a[-1 if node.attrs["ta"] else -2], b[-2 if node.attrs["tb"] else -1]]
        elif node.op.name == "reduce_sum":
            found = [d for k, d in enumerate(self.dims(node.args[0])) if k not in node.attrs["axes"]]
        elif node.op.name == "gather":
            found = self.dims(node.args[1]) + self.dims(node.args[0])[len(node.args) - 1 :]
        else:
            found = self.given(node)
        return [d if d is not None else f for d, f in zip(t.shape, found, strict=True)]

    def given(self, node: Apply) -> list:
        """The sizes that the attribute `shape` and the last arguments give."""
        shape = node.attrs["shape"]
        count = sum(d is None for d in shape)
        dyn = iter(node.args[len(node.args) - count :])
        return [d if d is not None else known(self.ctx.scalar(next(dyn))) for d in shape]

    def read(self, node: Node, index: tuple[Affine, ...] | None = None, view=None) -> Expr:
        """The expression for `node` at `index`; with `view`, of its elements by rows, as an array so sized."""
        if not isinstance(node.type, Array):
            return self._memo((node, None), lambda: Splat(self.ctx.scalar(node)))
        if index is None:
            index = self.index()
        key = (node, index, None if view is None else tuple(map(id, view)))
        return self._memo(key, lambda: self._follow(node, index, view))

    def _memo(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _follow(self, node, index, view):
        if node not in self.plan.inlined:
            array = self.array(node)
            sizes = [known(d) for d in array.dims] if view is None else view
            offset, strides = self.address(index, sizes)
            return Load(array.data, offset, strides, node.type)
        return self.compute(node, index, view)

    def compute(self, node: Apply, index=None, view=None) -> Expr:
        """The expression for an application itself, from its operands."""
        if index is None:
            index = self.index()
        x = node.args[0] if node.args else None
        if node.op.elementwise:
            return Operation(node, tuple(self.read(a, index, view) for a in node.args))
        match node.op.name:
            case "iota":
                return Count(index[0])
            case "broadcast":
                if not isinstance(x.type, Array):
                    return self.read(x)
                return self.read(x, tuple(index[a] for a in node.attrs["axes"]))
            case "transpose":
                inner = [FIRST] * len(index)
                for k, p in enumerate(node.attrs["perm"]):
                    inner[p] = index[k]
                return self.read(x, tuple(inner))
            case "slice":
                return self.read(x, self.sliced(node, index, node.args[1 : 1 + x.type.rank], self.dims(x)))
            case "reshape":
                if not isinstance(x.type, Array):
                    return self.read(x)
                where = unit_reshape(node)
                if where is not None and view is None:
                    return self.read(x, tuple(FIRST if w is None else index[w] for w in where))
                return self.read(x, index, self.dims(node, computed=True) if view is None else view)
            case "gather":
                return self.gathered(node, index)
            case "matmul":
                return self.product(node, index, view)
        raise AssertionError(f"{node.op.name} is not computed element by element")

    def sliced(self, node, index, starts, sizes) -> tuple[Affine, ...]:
        """The index into an array of which `node` is a slice."""
        out = []
        for at, start, step, length, size in zip(
            index, starts, node.attrs["steps"], node.type.shape, sizes, strict=True
        ):
            start = known(self.ctx.scalar(start))
            whole = at.whole and start == 0 and step == 1 and length == size
            out.append(Affine(plus(self.b, start, times(self.b, at.offset, step)), at.axis, at.step * step, whole))
        return tuple(out)

    def product(self, node, index, view) -> Product:
        """An element of a product of matrices, of few products; a view of it splits its rows."""
        (a, b), ta, tb = node.args, node.attrs["ta"], node.attrs["tb"]
        row, column, count, pairs = index[:-1], index[-1:], inner_size(node), []
        rows = None if view is None else [count, *view[:-1]] if ta else [*view[:-1], count]
        for k in range(count):
            inner = (Affine(k),)
            x = self.read(a, inner + row if ta else row + inner, rows)
            pairs.append((x, self.read(b, column + inner if tb else inner + column)))
        return Product(node.type.dtype, *pairs)

    def gathered(self, node, index) -> Gather:
        x, *idx = node.args
        rank = idx[0].type.rank
        at = index[:rank]
        inner = (FIRST,) * len(idx) + index[rank:]
        array = self.array(x)
        sizes = [known(d) for d in array.dims]
        offset, strides = self.address(inner, sizes)
        leading = row_major(sizes)[: len(idx)]
        return Gather(array.data, tuple(self.read(i, at) for i in idx), leading, offset, strides, x.type)

    def address(self, index, sizes):
        """Offset and strides by loop axis of an array of these sizes, row-major, at `index`."""
        sizes = [
            self.sizes[at.axis] if at.whole and at.axis is not None else d for at, d in zip(index, sizes, strict=True)
        ]
        offset, strides = 0, {}
        for at, stride in zip(index, row_major(sizes), strict=True):
            if at.offset != 0:
                offset = plus(self.b, offset, times(self.b, at.offset, stride.emit(self.b)))
            if at.axis is not None:
                strides[at.axis] = stride * at.step
        return offset, strides

    def exactly(self, expression: Expr, emit):
        """`emit()`, a computation that may run twice, right beyond the range of a fast function too: where an argument
        is there, all is computed again with the C library.  (A branch for each element would keep loops scalar.)"""
        if not self.inexact(expression):
            return emit()
        b = self.b
        self.flag = self.ctx.alloca(I8)
        b.store(I8(0), self.flag)
        fast = emit()
        found = b.icmp_unsigned("!=", b.load(self.flag, typ=I8), I8(0))
        self.flag, self.scoped, self.alone = None, None, True
        before, again, done = b.block, b.append_basic_block("exactly"), b.append_basic_block("done")
        b.cbranch(found, again, done).set_weights([1, 1000])
        b.position_at_end(again)
        exact = emit()
        self.alone = False
        last = b.block
        b.branch(done)
        b.position_at_end(done)
        if fast is None:
            return None
        value = b.phi(fast.type)
        value.add_incoming(fast, before)
        value.add_incoming(exact, last)
        return value

    def inexact(self, expression: Expr) -> bool:
        """Is there a function in it whose fast form has a limited range?"""
        return any(
            isinstance(e, Operation) and e.node.op.name in vectors.LIMITED and vectors.has(e.node.op.name)
            for e in expression.walk()
        )

    def note(self, condition):
        b = self.b
        b.store(b.or_(b.load(self.flag, typ=I8), b.zext(condition, I8)), self.flag)

    def groups(self, *expressions: Expr | dict) -> list[tuple[int, ...]]:
        """The loop axes in order, those that lie contiguously in all operands (and in the strides given) together."""
        walks = []
        for e in expressions:
            walks += [e] if isinstance(e, dict) else [p.strides for p in e.walk() if p.strides is not None]
        out: list[tuple[int, ...]] = []
        for axis, size in enumerate(self.sizes):
            if size == 1:
                continue
            if out and all(w.get(out[-1][-1], ZERO) == w.get(axis, ZERO) * size for w in walks):
                out[-1] = (*out[-1], axis)
            else:
                out.append((axis,))
        return out

    def extent(self, group):
        n = 1
        for axis in group:
            n = times(self.b, n, self.sizes[axis])
        return n
