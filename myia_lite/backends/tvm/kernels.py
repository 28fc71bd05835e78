"""Array primitives as loop nests: `lower(ctx, node)` is the value of an array node, a new array or a scalar.

What `fusion.plan` inlines is computed element by element inside the nests of its consumers.  A nest runs over a space
of elements that do not depend on each other: on the CPU a loop for each axis, on the device a grid with a thread for
each element.  What is inside (the axes of a reduction, the steps of a scan) is a loop either way.
"""

from __future__ import annotations

from contextlib import contextmanager

from tvm import tirx
from tvm.tirx import stmt as S

from ...ir import Apply, Array, Constant, Node, shape_of
from ..llvm.fusion import unit_reshape
from .code import Cell, Memory, const, expr, linear, plus, product, quotient, remainder, times
from .elements import element_of, is_nan
from .layout import ArrayValue

THREADS = 256  # of a block
FOLD = 64  # elements that a thread folds together, where more threads can share the work
MAX_PARTIALS = 1 << 16


class Kernel:
    """Elements of nodes of one local graph, as expressions where the nests stand."""

    def __init__(self, ctx, plan):
        self.ctx, self.code, self.plan = ctx, ctx.code, plan
        self.memory: dict[int, Memory] = {}

    # ---- sizes
    def dims(self, node: Node, computed=False) -> list:
        """The sizes of an array node: ints where known.  `computed`: from its operands, even where it is no inlined
        node."""
        if not isinstance(node.type, Array):
            return []
        if not computed and (isinstance(node, Constant) or node not in self.plan.inlined):
            return list(self.ctx.value(node).dims)
        sizes = self._dims(node)
        return [n if n is not None else d for n, d in zip(node.type.shape, sizes, strict=True)]

    def _dims(self, node: Apply) -> list:
        name, attrs = node.op.name, node.attrs
        if name in ("broadcast", "iota", "reshape", "slice"):
            return self.given(node)
        if name == "transpose":
            sizes = self.dims(node.args[0])
            return [sizes[p] for p in attrs["perm"]]
        if name == "gather":
            x, *idx = node.args
            return self.merged(idx) + self.dims(x)[len(idx) :]
        if name == "matmul":
            a, b = (self.dims(x) for x in node.args)
            return [*self._batch(a, b), a[-1 if attrs["ta"] else -2], b[-2 if attrs["tb"] else -1]]
        return self.merged([a for a in node.args if isinstance(a.type, Array)])

    @staticmethod
    def _batch(a, b):
        return [m if isinstance(m, int) else n for m, n in zip(a[:-2], b[:-2], strict=True)]

    def merged(self, nodes) -> list:
        sizes = self.dims(nodes[0])
        for n in nodes[1:]:
            sizes = [a if isinstance(a, int) else b for a, b in zip(sizes, self.dims(n), strict=True)]
        return sizes

    def given(self, node: Apply) -> list:
        """The sizes of a node with the attribute `shape`."""
        shape = node.attrs["shape"]
        dyn = iter(node.args[len(node.args) - sum(d is None for d in shape) :])
        return [self.ctx.scalar(next(dyn)) if d is None else d for d in shape]

    # ---- elements
    def access(self, array: ArrayValue) -> Memory:
        """The elements of an array, its address read where the nest begins."""
        if array.register not in self.memory:
            self.memory[array.register] = self.ctx.elements(array)
        return self.memory[array.register]

    def open(self, *nodes) -> None:
        """Read the addresses of what the elements of these nodes are computed from: before the nest, on the host."""
        for n in nodes:
            if isinstance(n.type, Array):
                if isinstance(n, Constant) or n not in self.plan.inlined:
                    self.access(self.ctx.value(n))
                else:
                    self.open(*n.args)
            elif not isinstance(n, Constant):
                self.ctx.scalar(n)

    def at(self, node: Node, index):
        """The element of a node at an index; a scalar stands for each element."""
        if not isinstance(node.type, Array):
            return self.ctx.scalar(node)
        if isinstance(node, Constant) or node not in self.plan.inlined:
            return self.load(node, index)
        key = (node, *index)
        if key not in self.code.known:
            self.code.known[key] = self.compute(node, index)
        return self.code.known[key]

    def load(self, node, index):
        array = self.ctx.value(node)
        return self.load_at(node, linear(index, array.dims))

    def load_at(self, node, number):
        key = (node, "number", number)
        if key not in self.code.known:
            self.code.known[key] = self.access(self.ctx.value(node)).load(number)
        return self.code.known[key]

    def compute(self, node: Apply, index):
        """The element of a node from its operands."""
        name, attrs, args = node.op.name, node.attrs, node.args
        if node.op.elementwise:
            values = [self.at(a, index) for a in args]
            return element_of(self.code, name, attrs, [a.type.dtype for a in args], values)
        if name == "broadcast":
            return self.at(args[0], [index[a] for a in attrs["axes"]])
        if name == "transpose":
            inner = [None] * len(index)
            for k, p in enumerate(attrs["perm"]):
                inner[p] = index[k]
            return self.at(args[0], inner)
        if name == "slice":
            starts = [self.ctx.size(s) for s in args[1 : 1 + len(index)]]
            return self.at(
                args[0], [plus(s, times(i, step)) for s, i, step in zip(starts, index, attrs["steps"], strict=True)]
            )
        if name == "iota":
            return expr(index[0])
        if name == "gather":
            x, *idx = args
            rank = idx[0].type.rank
            places = [self.at(i, index[:rank]) for i in idx]
            return self.at(x, [*places, *index[rank:]])
        if name == "reshape":
            return self.reshaped(node, index)
        if name == "matmul":  # of a column and a row
            a, b = args
            (i, j), zero = index, 0
            return element_of(
                self.code,
                "mul",
                {},
                [a.type.dtype] * 2,
                [
                    self.at(a, [zero, i] if attrs["ta"] else [i, zero]),
                    self.at(b, [j, zero] if attrs["tb"] else [zero, j]),
                ],
            )
        raise AssertionError(f"{name} is not computed by elements")

    def reshaped(self, node, index):
        x = node.args[0]
        if not isinstance(x.type, Array):
            return self.ctx.scalar(x)
        where = unit_reshape(node)
        if where is not None:
            return self.at(x, [0 if k is None else index[k] for k in where])
        number = linear(index, self.dims(node, computed=True))
        number = number if isinstance(number, int) else self.code.let(number)
        if isinstance(x, Constant) or x not in self.plan.inlined:
            return self.load_at(x, number)
        return self.at(x, self.unravel(number, self.dims(x)))

    def unravel(self, number, sizes) -> list:
        """The index of the element of that row-major number."""
        out = []
        for n in reversed(sizes[1:]):
            out.append(remainder(number, n))
            number = quotient(number, n)
        out = [i if isinstance(i, int) else self.code.let(i) for i in (number, *reversed(out))] if sizes else []
        return out

    # ---- spaces
    @contextmanager
    def space(self, sizes):
        """Each index of a space, independently of each other."""
        with self.code.fresh():
            if self.ctx.device:
                with self._grid(sizes) as index:
                    yield index
            else:
                with self._loops(list(sizes)) as index:
                    yield index

    @contextmanager
    def _loops(self, sizes):
        if not sizes:
            yield []
            return
        with self.code.counted(sizes[0]) as i, self._loops(sizes[1:]) as rest:
            yield [i, *rest]

    @contextmanager
    def _grid(self, sizes):
        """A grid of blocks of THREADS, a thread for each index."""
        total = product(sizes)
        count = expr(total) if isinstance(total, int) else self.code.let(total)
        with self.launch(count, THREADS) as thread:
            k = self.code.let(thread)
            with self.code.block() as inner:
                yield self.unravel(k, list(sizes)) if sizes else []
            from .code import sequence

            self.code.emit(S.IfThenElse(tirx.LT(k, count), sequence(inner), None))

    @contextmanager
    def launch(self, count, threads):
        """At least `count` threads, in blocks of `threads`; gives the number of the thread.  None where count is 0."""
        from .code import sequence

        blocks = quotient(plus(count, threads - 1), threads)
        blocks = expr(blocks) if isinstance(blocks, int) else self.code.let(blocks)
        bx, tx = tirx.Var("bx", "int64"), tirx.Var("tx", "int64")
        self.code.in_kernel = True
        with self.code.block() as inner:
            yield plus(times(bx, threads), tx)
        self.code.in_kernel = False
        body = sequence(inner)
        for var, tag, extent in ((tx, "threadIdx.x", const(threads)), (bx, "blockIdx.x", blocks)):
            iv = tirx.IterVar(None, var, tirx.IterVar.ThreadIndex, tag)
            body = S.AttrStmt(iv, "thread_extent", extent, body)
        if isinstance(count, tirx.IntImm) and not count.value:
            return
        self.ctx.launches += 1
        if isinstance(count, tirx.IntImm):
            self.code.emit(body)
            return
        self.code.emit(S.IfThenElse(tirx.GT(count, const(0)), body, None))

    def scalar(self, dtype, compute):
        """A number that is computed where the arrays are, for the host."""
        if not self.ctx.device:
            with self.code.fresh():
                return compute()
        box = self.ctx.new_array(Array(dtype, (1,)), [1])
        target = self.access(box)
        with self.space([]):
            target.store(compute(), 0)
        return self.ctx.to_host(box)


def lower(ctx, node: Apply, plan):
    """The value of an array node, and of one that makes a number from arrays."""
    kernel = Kernel(ctx, plan)
    rule = RULES.get(node.op.name, materialise)
    return rule(kernel, node)


def materialise(kernel: Kernel, node):
    """A new array, computed element by element."""
    sizes = kernel.dims(node, computed=True)
    kernel.open(*node.args)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    with kernel.space(sizes) as index:
        target.store(kernel.compute(node, index), linear(index, sizes))
    return out


# ---- shape -----------------------------------------------------------------------------------------------------------
def _reshape(kernel, node):
    x, ctx = node.args[0], kernel.ctx
    if not isinstance(node.type, Array):
        kernel.open(x)
        return kernel.scalar(node.type.dtype, lambda: kernel.at(x, [0] * len(shape_of(x.type))))
    if isinstance(x.type, Array) and x not in kernel.plan.inlined and not isinstance(x, Constant):
        sizes = kernel.given(node)
        return ArrayValue(ctx.consume(x).register, tuple(sizes), node.type)
    return materialise(kernel, node)


def _concat(kernel, node):
    """One nest for each piece, next to each other in the result."""
    axis = node.attrs["axis"]
    all_dims = [kernel.dims(x) for x in node.args]
    total = 0
    starts = []
    for d in all_dims:
        starts.append(total)
        total = plus(total, d[axis])
    sizes = list(all_dims[0])
    for d in all_dims[1:]:
        sizes = [m if isinstance(m, int) else n for m, n in zip(sizes, d, strict=True)]
    sizes[axis] = total if node.type.shape[axis] is None else node.type.shape[axis]
    sizes = [n if n is not None else d for n, d in zip(node.type.shape, sizes, strict=True)]
    kernel.open(*node.args)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    for x, d, start in zip(node.args, all_dims, starts, strict=True):
        with kernel.space(d) as index:
            place = [plus(start, i) if k == axis else i for k, i in enumerate(index)]
            target.store(kernel.at(x, index), linear(place, sizes))
    return out


def _dim(kernel, node):
    return expr(kernel.dims(node.args[0])[node.attrs["axis"]])


# ---- reading and writing ---------------------------------------------------------------------------------------------
def _elem(kernel, node):
    x, *idx = node.args
    kernel.open(x)
    index = [kernel.ctx.size(i) for i in idx]
    return kernel.scalar(node.type.dtype, lambda: kernel.at(x, index))


def _sum_of(kernel, dtype, a, b):
    if dtype == "bool":
        return tirx.Or(a, b)
    return element_of(kernel.code, "add", {}, [dtype] * 2, [a, b])


def _write_elem(add):
    def rule(kernel, node):
        _, v, *idx = node.args
        ctx, dtype = kernel.ctx, node.type.dtype
        value, index = ctx.scalar(v), [ctx.size(i) for i in idx]
        array = ctx.take(node)
        target, at = kernel.access(array), linear(index, array.dims)
        with kernel.space([]):
            target.store(_sum_of(kernel, dtype, target.load(at), value) if add else value, at)
        return array

    return rule


def _write_slice(add):
    def rule(kernel, node):
        _, v, *starts = node.args
        ctx, dtype = kernel.ctx, node.type.dtype
        sizes = kernel.dims(v)
        starts = [ctx.size(s) for s in starts]
        kernel.open(v)
        array = ctx.take(node)
        target = kernel.access(array)
        with kernel.space(sizes) as index:
            place = [plus(s, times(i, step)) for s, i, step in zip(starts, index, node.attrs["steps"], strict=True)]
            at = linear(place, array.dims)
            at = at if isinstance(at, int) else kernel.code.let(at)
            value = kernel.at(v, index)
            target.store(_sum_of(kernel, dtype, target.load(at), value) if add else value, at)
        return array

    return rule


def _scatter(add):
    """Position by position, in order: positions may repeat.  The axes that are not indexed are independent."""

    def rule(kernel, node):
        _, v, *idx = node.args
        ctx, dtype, rank = kernel.ctx, node.type.dtype, idx[0].type.rank
        sizes = kernel.dims(v)
        outer = kernel.merged(idx)
        outer = [m if isinstance(m, int) else n for m, n in zip(outer, sizes[:rank], strict=True)]
        kernel.open(v, *idx)
        array = ctx.take(node)
        target = kernel.access(array)
        with kernel.space(sizes[rank:]) as inner, kernel._loops(outer) as position:
            place = [kernel.at(i, position) for i in idx]
            at = kernel.code.let(expr(linear([*place, *inner], array.dims)))
            value = kernel.at(v, [*position, *inner])
            target.store(_sum_of(kernel, dtype, target.load(at), value) if add else value, at)
        return array

    return rule


# ---- reductions ------------------------------------------------------------------------------------------------------
def _start(name, dtype):
    """(the value of nothing, how the next element goes in); None: the first element is the start."""
    if name in ("any", "all"):
        return const(name == "all", "bool"), "bit_or" if name == "any" else "bit_and"
    if name in ("sum", "prod"):
        one = name == "prod"
        zero = const(one, "bool") if dtype == "bool" else const(float(one) if dtype[0] == "f" else int(one), dtype)
        if dtype == "bool":
            return zero, "bit_and" if one else "bit_or"
        return zero, "mul" if one else "add"
    worst = {"max": "minimum", "min": "maximum"}[name]
    return None, {"minimum": "maximum", "maximum": "minimum"}[worst]


def _extreme(name, dtype):
    """What no element is beyond."""
    if dtype == "bool":
        return const(name == "min", "bool")
    if dtype[0] == "f":
        return const(float("inf") if name == "min" else -float("inf"), dtype)
    bits = 31 if dtype == "i32" else 63
    return const(2**bits - 1 if name == "min" else -(2**bits), dtype)


def _combine(kernel, op, dtype, a, b):
    if dtype == "bool" and op in ("maximum", "minimum"):
        op = "bit_or" if op == "maximum" else "bit_and"
    return element_of(kernel.code, op, {}, [dtype] * 2, [a, b])


def _reduction(name):
    def rule(kernel, node):
        x, axes, dtype = node.args[0], node.attrs["axes"], node.type.dtype
        sizes = kernel.dims(x)
        kept = [k for k in range(len(sizes)) if k not in axes]
        zero, op = _start(name, dtype)
        zero = _extreme(name, dtype) if zero is None else zero
        kernel.open(x)
        wide = "f64" if dtype == "f32" and name == "sum" and not kernel.ctx.device else dtype

        def fold(outer):
            total = Cell(kernel.code, wide, const(0.0, wide) if wide != dtype else zero)
            with kernel._loops([sizes[a] for a in axes]) as inner:
                index = [None] * len(sizes)
                for k, i in (*zip(kept, outer, strict=True), *zip(axes, inner, strict=True)):
                    index[k] = i
                value = kernel.at(x, index)
                if wide != dtype:
                    value = kernel.code.let(tirx.Cast("float64", value))
                total.set(_combine(kernel, op, wide, total.get(), value))
            result = total.get()
            return kernel.code.let(tirx.Cast("float32", result)) if wide != dtype else result

        out_sizes = [sizes[k] for k in kept]
        many = _partials(kernel, product(out_sizes), product([sizes[a] for a in axes]))
        if many > 1:
            return _in_stages(kernel, node, kept, out_sizes, many, lambda a, b: _combine(kernel, op, dtype, a, b), zero)
        if not isinstance(node.type, Array):
            return kernel.scalar(dtype, lambda: fold([]))
        out = kernel.ctx.new_array(node.type, out_sizes)
        target = kernel.access(out)
        with kernel.space(out_sizes) as outer:
            target.store(fold(outer), linear(outer, out_sizes))
        return out

    return rule


def _partials(kernel, results, elements) -> int:
    """How many partial results a reduction on the device makes of each result first: a power of 2; 1 for none.

    A thread folds at least FOLD elements, and there are no more threads than fill a device.
    """
    if not kernel.ctx.device or not isinstance(results, int) or results > MAX_PARTIALS // 2:
        return 1
    wanted = elements // FOLD if isinstance(elements, int) else MAX_PARTIALS
    wanted = min(wanted, MAX_PARTIALS // max(results, 1))
    return 1 << (wanted.bit_length() - 1) if wanted > 1 else 1


def _in_stages(kernel, node, kept, out_sizes, many: int, combine, zero):
    """Fold every `many`-th element together, then FOLD of these partial results, and so on."""
    x, axes, dtype, ctx, code = node.args[0], node.attrs["axes"], node.type.dtype, kernel.ctx, kernel.code
    sizes = kernel.dims(x)
    reduced = [sizes[a] for a in axes]
    count = expr(product(reduced))

    def element(outer, number):
        index = [None] * len(sizes)
        for k, i in (*zip(kept, outer, strict=True), *zip(axes, kernel.unravel(number, reduced), strict=True)):
            index[k] = i
        return kernel.at(x, index)

    partial = None
    while True:
        last = many == 1
        t = node.type if last and isinstance(node.type, Array) else Array(dtype, (*out_sizes, many))
        shape = [*out_sizes] if last and isinstance(node.type, Array) else [*out_sizes, many]
        out = ctx.new_array(t, shape)
        target = kernel.access(out)
        with kernel.space([*out_sizes, many]) as (*outer, first):
            total, at = Cell(code, dtype, zero), Cell(code, "i64", expr(first))
            with code.loop(tirx.LT(at.peek(), count)):
                number = at.get()
                value = element(outer, number)
                total.set(combine(total.get(), value))
                at.set(tirx.Add(number, const(many)))
            place = outer if t is node.type else [*outer, first]
            target.store(total.get(), linear(place, shape))
        if partial is not None:
            ctx.heap.reset(partial.register)
        if last:
            return out if isinstance(node.type, Array) else ctx.to_host(out)
        source, partial, width = target, out, many
        count = const(width)

        def element(outer, number, source=source, shape=shape):
            return source.load(code.let(expr(linear([*outer, number], shape))))

        many = max(1, many // FOLD)


def _arg_extremum(wins):
    """The first index of the extremum, of a NaN before all."""

    def rule(kernel, node):
        x, axis = node.args[0], node.attrs["axis"]
        code, dtype, sizes = kernel.code, x.type.dtype, kernel.dims(x)
        kept = [k for k in range(len(sizes)) if k != axis]
        kernel.open(x)

        def search(outer):
            def element(i):
                index = list(outer)
                index.insert(axis, i)
                return kernel.at(x, index)

            best, where = Cell(code, dtype, element(0)), Cell(code, "i64", const(0))
            with kernel.code.counted(sizes[axis]) as i:
                value, so_far = element(i), best.get()
                if dtype == "bool":
                    better = wins(tirx.Cast("int32", value), tirx.Cast("int32", so_far))
                else:
                    better = wins(value, so_far)
                if dtype[0] == "f":
                    nan = tirx.And(is_nan(value), tirx.EQ(so_far, so_far))
                    better = tirx.Or(better, nan)
                with code.when(better):
                    best.set(value)
                    where.set(expr(i))
            return where.get()

        if not isinstance(node.type, Array):
            return kernel.scalar("i64", lambda: search([]))
        out_sizes = [sizes[k] for k in kept]
        out = kernel.ctx.new_array(node.type, out_sizes)
        target = kernel.access(out)
        with kernel.space(out_sizes) as outer:
            target.store(search(outer), linear(outer, out_sizes))
        return out

    return rule


# ---- scans -----------------------------------------------------------------------------------------------------------
def _scan(kernel, node, axis, reverse, sizes, step):
    """Along an axis one element after the other; `step(index, before, index_before)` is the next one."""
    code, dtype = kernel.code, node.type.dtype
    out = kernel.ctx.new_array(node.type, sizes)
    target, n = kernel.access(out), sizes[axis]
    others = [d for k, d in enumerate(sizes) if k != axis]
    with kernel.space(others) as outer:
        carried = Cell(code, dtype)

        def index(k):
            at = list(outer)
            at.insert(axis, k)
            return at

        with code.counted(n) as k:
            row = plus(n, plus(-1, times(k, -1))) if reverse else k
            row = row if isinstance(row, int) else code.let(row)
            before = plus(row, 1 if reverse else -1)
            value = step(index(row), carried, lambda before=before: index(before), tirx.EQ(expr(k), const(0)))
            carried.set(value)
            target.store(value, linear(index(row), sizes))
    return out


def _cumsum(kernel, node):
    (x,), attrs = node.args, node.attrs
    kernel.open(x)
    zero = const(0.0, node.type.dtype) if node.type.dtype[0] == "f" else const(0, node.type.dtype)

    def step(index, carried, before, first):
        so_far = kernel.code.let(tirx.Select(first, zero, carried.peek()))
        value = kernel.at(x, index)
        return kernel.code.let(tirx.Select(first, value, _sum_of(kernel, node.type.dtype, so_far, value)))

    return _scan(kernel, node, attrs["axis"], attrs["reverse"], kernel.dims(x), step)


def _recurrence(kernel, node):
    a, b = node.args
    code, dtype, reverse = kernel.code, node.type.dtype, node.attrs["reverse"]
    kernel.open(a, b)

    def step(index, carried, before, first):
        here, out = kernel.at(b, index), Cell(code, dtype)
        out.set(here)
        with code.when(tirx.Not(first)):
            factor = kernel.at(a, index if reverse else before())
            gained = element_of(code, "mul", {}, [dtype] * 2, [factor, carried.get()])
            out.set(_sum_of(kernel, dtype, gained, here))
        return out.get()

    return _scan(kernel, node, 0, reverse, kernel.merged([a, b]), step)


def _argsort(kernel, node):
    """Row by row, by merging runs that double in length, to and fro between the result and a second array."""
    (x,), code, dtype = node.args, kernel.code, node.args[0].type.dtype
    sizes = kernel.dims(x)
    kernel.open(x)
    out, other = (kernel.ctx.new_array(node.type, sizes) for _ in range(2))
    places, n = (kernel.access(out), kernel.access(other)), expr(sizes[-1])
    with kernel.space(sizes[:-1]) as row:
        first = code.let(times_expr(linear(row, sizes[:-1]), n))

        def element(position):
            return kernel.at(x, [*row, position])

        def before(i, j):
            """Does element j belong before element i, which stands left of it?"""
            with code.fresh():
                a, b = element(i), element(j)
            if dtype == "bool":
                return tirx.And(a, tirx.Not(b))
            less = tirx.LT(b, a)
            return tirx.Or(less, tirx.And(is_nan(a), tirx.Not(is_nan(b)))) if dtype[0] == "f" else less

        with code.counted(sizes[-1]) as k:
            places[0].store(expr(k), code.let(tirx.Add(first, expr(k))))
        width, swapped = Cell(code, "i64", const(1)), Cell(code, "bool", const(False, "bool"))

        def merge(source, target):
            start = Cell(code, "i64", const(0))
            with code.loop(tirx.LT(start.peek(), n)):
                low, w = start.get(), width.get()
                middle = code.let(tirx.Min(tirx.Add(low, w), n))
                high = code.let(tirx.Min(tirx.Add(middle, w), n))
                left, right, to = Cell(code, "i64", low), Cell(code, "i64", middle), Cell(code, "i64", low)
                with code.loop(tirx.LT(to.peek(), high)):
                    i, j, k = left.get(), right.get(), to.get()
                    from_right = Cell(code, "bool", tirx.GE(i, middle))
                    with code.when(tirx.And(tirx.LT(i, middle), tirx.LT(j, high))):
                        a = source.load(code.let(tirx.Add(first, i)))
                        b = source.load(code.let(tirx.Add(first, j)))
                        from_right.set(before(a, b))
                    at = code.let(tirx.Add(first, k))

                    def take(cell, position, at=at):
                        target.store(source.load(code.let(tirx.Add(first, position))), at)
                        cell.set(tirx.Add(position, const(1)))

                    code.choose(from_right.get(), lambda j=j: take(right, j), lambda i=i: take(left, i))
                    to.set(tirx.Add(k, const(1)))
                start.set(high)

        with code.loop(tirx.LT(width.peek(), n)):
            code.choose(swapped.get(), lambda: merge(*places[::-1]), lambda: merge(*places))
            swapped.set(tirx.Not(swapped.peek()))
            width.set(tirx.Mul(width.peek(), const(2)))
        with code.when(swapped.get()), code.counted(sizes[-1]) as k:
            at = code.let(tirx.Add(first, expr(k)))
            places[0].store(places[1].load(at), at)
    kernel.ctx.heap.reset(other.register)
    return out


def times_expr(a, b):
    return tirx.Mul(expr(a), expr(b))


# ---- products --------------------------------------------------------------------------------------------------------
def _matmul(kernel, node):
    a, b = node.args
    ta, tb, dtype, code = node.attrs["ta"], node.attrs["tb"], node.type.dtype, kernel.code
    a_dims, b_dims = kernel.dims(a), kernel.dims(b)
    inner = a_dims[-2 if ta else -1]
    inner = inner if isinstance(inner, int) else b_dims[-1 if tb else -2]
    sizes = kernel.dims(node, computed=True)
    kernel.open(a, b)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    zero = const(0.0, dtype) if dtype[0] == "f" else const(0, dtype)
    if dtype == "bool":
        zero = const(False, "bool")
    times_, plus_ = ("bit_and", "bit_or") if dtype == "bool" else ("mul", "add")

    def term(batch, i, k, j):
        left = kernel.at(a, [*batch, *((k, i) if ta else (i, k))])
        right = kernel.at(b, [*batch, *((j, k) if tb else (k, j))])
        return element_of(code, times_, {}, [dtype] * 2, [left, right])

    def sum_(x, y):
        return element_of(code, plus_, {}, [dtype] * 2, [x, y])

    if kernel.ctx.device or tb:
        with kernel.space(sizes) as index:
            *batch, i, j = index
            total = Cell(code, dtype, zero)
            with code.counted(inner) as k:
                total.set(sum_(total.get(), term(batch, i, k, j)))
            target.store(total.get(), linear(index, sizes))
        return out
    with kernel.space(sizes[:-1]) as index:
        *batch, i = index
        with code.counted(sizes[-1]) as j:
            target.store(zero, linear([*index, j], sizes))
        with code.counted(inner) as k, code.counted(sizes[-1]) as j:
            at = linear([*index, j], sizes)
            at = at if isinstance(at, int) else code.let(at)
            target.store(sum_(target.load(at), term(batch, i, k, j)), at)
    return out


RULES = {
    **dict.fromkeys(("broadcast", "iota", "transpose", "slice", "gather"), materialise),
    "reshape": _reshape,
    "concat": _concat,
    "dim": _dim,
    "elem": _elem,
    "set_elem": _write_elem(add=False),
    "add_elem": _write_elem(add=True),
    "slice_set": _write_slice(add=False),
    "slice_add": _write_slice(add=True),
    "scatter_set": _scatter(add=False),
    "scatter_add": _scatter(add=True),
    **{f"reduce_{k}": _reduction(k) for k in ("sum", "prod", "max", "min", "any", "all")},
    "argmax": _arg_extremum(tirx.GT),
    "argmin": _arg_extremum(tirx.LT),
    "argsort": _argsort,
    "cumsum": _cumsum,
    "recurrence": _recurrence,
    "matmul": _matmul,
}
