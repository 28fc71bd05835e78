"""Matrix products: BLAS for large ones, vector code for tiny ones, loops for integers and outer products.

BLAS is SciPy's, by address (`outside`).  It is column-major: a row-major C = A B is C' = B' A' there.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

from llvmlite import ir

from ...ir import Apply, Array, Node
from .expressions import Kernel, Load, Product, element_pointer
from .fusion import TINY, swaps_last_two
from .layout import I8, I32, PTR, REGISTER, ArrayValue, i64
from .loopnest import Fold, Target, assign, counted, reduce
from .outside import BLAS, BLAS_THREADS, blas_threads
from .regions import grain, region
from .scalars import number
from .sizes import as_value, known, plus, row_major, times

OPEN = 2048  # multiplications of open sizes up to which plain loops do
WIDEST = 16  # columns of a tiny product: a row is one vector
ROW, MATRIX = 64, 1 << 13  # elements of a row that registers hold, of a matrix that one core is soon done with


class Factor:
    """An operand: an array, and whether its last two axes are to be swapped."""

    def __init__(self, ctx, plan, node: Node, transposed: bool):
        if node in plan.inlined and swaps_last_two(node):
            node, transposed = node.args[0], not transposed
        self.array, self.transposed = piece(ctx, plan, node), transposed
        dims = [known(d) for d in self.array.dims]
        self.batch, self.stored = dims[:-2], dims[-2:]
        self.rows, self.columns = self.stored[::-1] if transposed else self.stored


def piece(ctx, plan, node: Node) -> ArrayValue:
    """An array, or a part of one that lies in one piece, where it lies."""
    if node not in plan.inlined:
        return ctx.array(node)
    whole, offset, b = piece(ctx, plan, node.args[0]), 0, ctx.b
    if node.op.name == "slice":
        for start, stride in zip(node.args[1:], row_major([known(d) for d in whole.dims]), strict=False):
            offset = plus(b, offset, times(b, known(ctx.scalar(start)), stride.emit(b)))
    data = element_pointer(b, whole.data, offset, node.type)
    return ArrayValue(whole.obj, data, tuple(map(as_value, Kernel(ctx, plan).dims(node))), node.type)


def matmul(ctx, node: Apply, plan):
    t, b = node.type, ctx.b
    left = Factor(ctx, plan, node.args[0], node.attrs["ta"])
    right = Factor(ctx, plan, node.args[1], node.attrs["tb"])
    m, n, k = _common(t.shape[-2], left.rows), _common(t.shape[-1], right.columns), _common(left.columns, right.rows)
    batch = [_common(d, _common(p, q)) for d, p, q in zip(t.shape[:-2], left.batch, right.batch, strict=True)]
    out = ctx.new_result(node, t, [as_value(d) for d in (*batch, m, n)])
    count = 1
    for d in batch:
        count = times(b, count, d)
    if count == 1:
        _multiply(ctx, plan, t.dtype, m, n, k, left, right, left.array.data, right.array.data, out.data)
        return out
    with _over_batch(ctx, plan, count, m, n, k) as i:

        def part(data, rows, columns):
            return element_pointer(b, data, times(b, i, times(b, rows, columns)), t)

        sources = part(left.array.data, m, k), part(right.array.data, k, n)
        _multiply(ctx, plan, t.dtype, m, n, k, left, right, *sources, part(out.data, m, n))
    return out


@contextmanager
def _over_batch(ctx, plan, count, m, n, k):
    """A loop over products, by all cores where there are many that need no BLAS, which has threads of its own."""
    size, kernel = None, Kernel(ctx, plan)
    if all(isinstance(d, int) for d in (m, n, k)) and m * n * k <= TINY:
        size = grain(kernel, count, m * n * k + m * k + k * n + m * n)
    if size is None:
        with counted(ctx.b, count) as i:
            yield i
        return
    with region(kernel, count, size) as (first, last), counted(ctx.b, last, first=first) as i:
        yield i


def _common(x, y):
    return y if x is None or (isinstance(y, int) and not isinstance(x, int)) else x


def _multiply(ctx, plan, dtype, m, n, k, left, right, a, b, c) -> None:
    """One m × k by k × n product of the matrices at addresses a and b into c."""
    small = all(isinstance(d, int) for d in (m, n, k))
    if 0 in (m, n):
        return
    if dtype not in ("f32", "f64") or k == 0 or k == 1 or m == n == 1 or (small and m * n * k <= TINY and n > WIDEST):
        _by_loops(ctx, plan, dtype, m, n, k, left, right, a, b, c)
    elif small and m * n * k <= TINY and n == 1 and 1 < k <= WIDEST and not left.transposed:
        _by_dots(ctx, dtype, m, k, a, b, c)
    elif small and m * n * k <= TINY and n == 1 and m <= WIDEST and left.transposed:
        _by_vectors(ctx, dtype, 1, m, k, False, False, b, a, c)  # the same elements, as a row: vectors are longer
    elif small and m * n * k <= TINY:
        _by_vectors(ctx, dtype, m, n, k, left.transposed, right.transposed, a, b, c)
    elif (n == 1 or m == 1) and _as_rows(ctx, dtype, m, n, k, left, right, a, b, c):
        pass
    elif small:
        _by_blas(ctx, dtype, m, n, k, left, right, a, b, c)
    else:
        work = times(ctx.b, times(ctx.b, m, n), k)
        with ctx.b.if_else(ctx.b.icmp_signed("<=", work, i64(OPEN))) as (few, many):
            with few:
                _by_open_loops(ctx, plan, dtype, m, n, k, left, right, a, b, c)
            with many:
                _by_blas(ctx, dtype, m, n, k, left, right, a, b, c)


def _by_loops(ctx, plan, dtype, m, n, k, left, right, a, b, c) -> None:
    """Axes are (row, inner, column): so the innermost loop runs along rows of both B and C."""
    kernel = Kernel(ctx, plan, (m, k, n))
    t = Array(dtype, (None, None))
    row, inner, column = kernel.index()

    def load(data, transposed, index, sizes):
        offset, strides = kernel.address(index[::-1] if transposed else index, sizes)
        return Load(data, offset, strides, t)

    x = load(a, left.transposed, (row, inner), left.stored)
    y = load(b, right.transposed, (inner, column), right.stored)
    product = Product(dtype, (x, y))
    matrix = ArrayValue(None, c, (as_value(m), as_value(n)), t)
    target = Target(kernel, matrix, (row, column), (m, n))
    if k == 1:
        assign(kernel, target, product)
    else:
        reduce(kernel, Fold("sum", dtype), product, {1}, target)


def _by_open_loops(ctx, plan, dtype, m, n, k, left, right, a, b, c) -> None:
    """Few multiplications, of sizes that only the running program knows: the innermost loop runs along stored rows."""
    if m != 1 and n != 1:
        _by_loops(ctx, plan, dtype, m, n, k, left, right, a, b, c)
        return
    matrix, data, vector = (left, a, b) if n == 1 else (right, b, a)
    transposed = matrix.transposed if n == 1 else not matrix.transposed
    rows, columns = matrix.stored
    as_stored, line = SimpleNamespace(transposed=False, stored=[rows, columns]), SimpleNamespace(transposed=False)
    if transposed:  # a row of numbers by the matrix
        line.stored = [1, rows]
        _by_loops(ctx, plan, dtype, 1, columns, rows, line, as_stored, vector, data, c)
    else:
        line.stored = [columns, 1]
        _by_loops(ctx, plan, dtype, rows, 1, columns, as_stored, line, data, vector, c)


def _by_dots(ctx, dtype, m, k, a, b, c) -> None:
    """A vector, by rows of A."""
    builder, scalar, size = ctx.b, REGISTER[dtype], 8 if dtype == "f64" else 4
    vector = ir.VectorType(scalar, k)
    total = ctx.intrinsic(f"llvm.vector.reduce.fadd.v{k}{dtype}", scalar, [scalar, vector])
    x = builder.load(b, typ=vector, align=size)
    for i in range(m):
        row = builder.load(builder.gep(a, [i64(i * k)], inbounds=True, source_etype=scalar), typ=vector, align=size)
        dot = builder.call(total, [number(dtype, 0), builder.fmul(row, x)], fastmath=("reassoc",))
        builder.store(dot, builder.gep(c, [i64(i)], inbounds=True, source_etype=scalar))


def _by_vectors(ctx, dtype, m, n, k, left_transposed, right_transposed, a, b, c) -> None:
    """Rows of B and C as vectors; unrolled."""
    builder, scalar = ctx.b, REGISTER[dtype]
    size = 8 if dtype == "f64" else 4
    vector = ir.VectorType(scalar, n)
    fma = ctx.intrinsic(f"llvm.fmuladd.v{n}{dtype}", vector, [vector] * 3)
    undefined = ir.Constant(vector, ir.Undefined)

    def at(data, position):
        return builder.gep(data, [i64(position * size)], inbounds=True, source_etype=I8)

    def row_of_b(p):
        if not right_transposed:
            return builder.load(at(b, p * n), typ=vector, align=size)
        row = undefined
        for j in range(n):
            row = builder.insert_element(row, builder.load(at(b, j * k + p), typ=scalar), I32(j))
        return row

    rows = [row_of_b(p) for p in range(k)]
    for i in range(m):
        total = None
        for p in range(k):
            x = builder.load(at(a, p * m + i if left_transposed else i * k + p), typ=scalar)
            one = builder.insert_element(undefined, x, I32(0))
            splat = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, n), [0] * n))
            total = builder.fmul(splat, rows[p]) if total is None else builder.call(fma, [splat, rows[p], total])
        builder.store(total, at(c, i * n), align=size)


def _as_rows(ctx, dtype, m, n, k, left, right, a, b, c) -> bool:
    """A matrix with short rows by a vector: in one loop over its rows.  False where it is none."""
    matrix, data, vector = (left, a, b) if n == 1 else (right, b, a)
    transposed = matrix.transposed if n == 1 else not matrix.transposed
    rows, columns = matrix.stored
    if not (isinstance(rows, int) and isinstance(columns, int)) or not 1 < columns <= ROW or rows * columns > MATRIX:
        return False
    builder, scalar, size = ctx.b, REGISTER[dtype], 8 if dtype == "f64" else 4
    wide = ir.VectorType(scalar, columns)

    def row_at(i):
        at = builder.gep(data, [builder.mul(i, i64(columns))], inbounds=True, source_etype=scalar)
        return builder.load(at, typ=wide, align=size)

    def at(base, i):
        return builder.gep(base, [i], inbounds=True, source_etype=scalar)

    if transposed:
        fma = ctx.intrinsic(f"llvm.fmuladd.v{columns}{dtype}", wide, [wide] * 3)
        undefined, zero = ir.Constant(wide, ir.Undefined), ir.Constant(wide, [0.0] * columns)
        with counted(builder, rows, zero) as (i, total):
            one = builder.insert_element(undefined, builder.load(at(vector, i), typ=scalar), I32(0))
            splat = builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, columns), [0] * columns))
            total.next = builder.call(fma, [splat, row_at(i), total.value])
        builder.store(total.value, c, align=size)
        return True
    fold = ctx.intrinsic(f"llvm.vector.reduce.fadd.v{columns}{dtype}", scalar, [scalar, wide])
    x = builder.load(vector, typ=wide, align=size)
    with counted(builder, rows) as i:
        dot = builder.call(fold, [number(dtype, 0), builder.fmul(row_at(i), x)], fastmath=("reassoc",))
        builder.store(dot, at(c, i))
    return True


# ---- BLAS ------------------------------------------------------------------------------------------------------------
class Arguments:
    """BLAS takes all arguments by address."""

    def __init__(self, ctx, name: str, dtype: str):
        self.ctx, self.name, self.dtype = ctx, ("d" if dtype == "f64" else "s") + name, dtype
        self.pointers: list = []

    def _pass(self, value, t):
        slot = self.ctx.alloca(t)
        self.ctx.b.store(value, slot)
        self.pointers.append(slot)
        return self

    def flag(self, transposed: bool):
        return self._pass(I8(ord("T" if transposed else "N")), I8)

    def int(self, size):
        return self._pass(I32(size) if isinstance(size, int) else self.ctx.b.trunc(size, I32), I32)

    def leading(self, size):
        """A leading dimension, which BLAS wants to be at least 1."""
        if isinstance(size, int):
            return self.int(max(size, 1))
        b = self.ctx.b
        return self.int(b.select(b.icmp_signed(">", size, i64(1)), size, i64(1)))

    def number(self, value):
        return self._pass(number(self.dtype, value), REGISTER[self.dtype])

    def pointer(self, data):
        self.pointers.append(data)
        return self

    def call(self):
        function_type = ir.FunctionType(ir.VoidType(), [PTR] * len(self.pointers))
        f = self.ctx.external(BLAS + self.name, function_type)
        self.ctx.b.call(f, self.pointers)


ALONE = 1 << 21  # multiplications from which on a second thread is worth waking: it may take its time on a busy machine


def _by_blas(ctx, dtype, m, n, k, left, right, a, b, c) -> None:
    """A product by BLAS, which for one that is too small for a second thread is told to use none.

    What is restored is the number of threads at the start: others may be inside.
    """
    call, found, work = (
        (_by_gemv if n == 1 or m == 1 else _by_gemm),
        blas_threads(),
        times(ctx.b, times(ctx.b, m, n), k),
    )
    alone = work < ALONE if isinstance(work, int) else ctx.b.icmp_signed("<", work, i64(ALONE))
    if alone is False or found is None or found[1] == 1:
        call(ctx, dtype, m, n, k, left, right, a, b, c)
        return
    limit, signature = found[1], ir.FunctionType(ir.VoidType(), [I32])
    threads = I32(1) if alone is True else ctx.b.select(alone, I32(1), I32(limit))
    ctx.b.call(ctx.external(BLAS_THREADS, signature), [threads])
    call(ctx, dtype, m, n, k, left, right, a, b, c)
    ctx.b.call(ctx.external(BLAS_THREADS, signature), [I32(limit)])


def _by_gemm(ctx, dtype, m, n, k, left, right, a, b, c) -> None:
    args = Arguments(ctx, "gemm", dtype).flag(right.transposed).flag(left.transposed).int(n).int(m).int(k).number(1.0)
    args.pointer(b).leading(right.stored[1]).pointer(a).leading(left.stored[1]).number(0.0).pointer(c).leading(n)
    args.call()


def _by_gemv(ctx, dtype, m, n, k, left, right, a, b, c) -> None:
    if not isinstance(k, int):
        _zero(ctx, dtype, m if n == 1 else n, c)  # BLAS leaves the result alone where k is 0
    matrix, data, vector = (left, a, b) if n == 1 else (right, b, a)
    transposed = matrix.transposed if n == 1 else not matrix.transposed
    rows, columns = matrix.stored
    args = Arguments(ctx, "gemv", dtype).flag(not transposed).int(columns).int(rows).number(1.0)
    args.pointer(data).leading(columns).pointer(vector).int(1).number(0.0).pointer(c).int(1).call()


def _zero(ctx, dtype, count, c) -> None:
    with counted(ctx.b, count) as i:
        ctx.b.store(number(dtype, 0), ctx.b.gep(c, [i], inbounds=True, source_etype=REGISTER[dtype]))
