"""Products of matrices: which way each goes.

Large ones of floats go to functions made for it, `gemm.py` on the CPU and `tiled.py` on devices, whatever their sizes,
which may be unknown; small ones, and those of ints and bools, are nests as any other primitive.
"""

from __future__ import annotations

from tvm import tirx

from ...ir import Apply, Node
from ..llvm.fusion import swaps_last_two
from . import gemm, tiled, tuning
from .code import Cell, const, expr, linear, plus, product, times
from .elements import element_of
from .layout import ArrayValue
from .rounding import rounded

SMALL = 1 << 13  # multiplications up to which a nest is as fast, and compiled in no time


class Factor:
    """An operand as a matrix in memory: the array, where it begins, and its strides by row and column."""

    def __init__(self, kernel, node: Node, transposed: bool):
        if node in kernel.plan.inlined and swaps_last_two(node):
            node, transposed = node.args[0], not transposed
        self.array, self.start = _located(kernel, node)
        rows, columns = kernel.dims(node)[-2:]
        self.strides = (1, columns) if transposed else (columns, 1)
        self.size = times(rows, columns)
        self.transposed = transposed


def _located(kernel, node: Node) -> tuple[ArrayValue, object]:
    """The array in which a node lies in one piece (`fusion.in_one_piece`), and the number of its first element."""
    if not isinstance(node, Apply) or node not in kernel.plan.inlined:
        return kernel.ctx.value(node), 0
    whole = node.args[0]
    array, start = _located(kernel, whole)
    if node.op.name == "slice":
        sizes = kernel.dims(whole)
        start = plus(start, linear([kernel.ctx.size(s) for s in node.args[1 : 1 + len(sizes)]], sizes))
    return array, start


def matmul(kernel, node):
    a, b = node.args
    ta, tb, dtype = node.attrs["ta"], node.attrs["tb"], node.type.dtype
    sizes = kernel.dims(node, computed=True)
    a_dims, b_dims = kernel.dims(a), kernel.dims(b)
    inner = a_dims[-2 if ta else -1]
    inner = inner if isinstance(inner, int) else b_dims[-1 if tb else -2]
    *batch, m, n = sizes
    work = product([m, n, inner])
    if dtype not in ("f32", "f64") or (isinstance(work, int) and work <= SMALL):
        return _nest(kernel, node, sizes, inner)
    kernel.open(a, b)
    left, right, shared = Factor(kernel, a, ta), Factor(kernel, b, tb), kernel.ctx.shared
    workload = tuning.workload(shared, dtype, batch, m, n, inner, left.transposed, right.transposed)
    if kernel.ctx.device:
        tiles = tiled.tiles_for(shared, dtype, batch, m, n, inner)
        if tiles is None:
            return _nest(kernel, node, sizes, inner)
        tiles = tuning.choice(shared, workload, tiles)
        out = kernel.ctx.new_array(node.type, sizes)
        tiled.product(kernel, tiles, dtype, left, right, out, batch, m, n, inner)
        return out
    vector = (n == 1 and not left.transposed) or (m == 1 and right.transposed)
    if m == 1 and not vector:
        return _nest(kernel, node, sizes, inner)
    out = kernel.ctx.new_array(node.type, sizes)
    pointers = [kernel.access(x) for x in (left.array, right.array, out)]
    code, half, tiles = kernel.code, shared.options.products, gemm.tiles_for(shared.target, dtype)
    if not vector:
        tiles = tuning.choice(shared, workload, tiles)
    name = gemm.name_of(dtype, half, tiles)
    with code.counted(expr(product(batch))) if batch else _once() as i:
        a_at, b_at = (plus(f.start, times(i, f.size)) for f in (left, right))
        c_at = times(i, times(m, n))
        if vector:
            shared.define(name + "_dots", lambda: [gemm.dots(dtype, tiles, half)])
            if n != 1:
                pointers[:2], a_at, b_at = pointers[1::-1], b_at, a_at
            numbers = (m if n == 1 else n, inner, a_at, b_at, c_at)
            name += "_dots"
        else:
            shared.define(name, lambda: gemm.product(dtype, tiles, half))
            numbers = (m, n, inner, a_at, *left.strides, b_at, *right.strides, c_at)
        arguments = [code.let(expr(x)) for x in numbers]
        code.do(tirx.call_extern("int32", name, *(p.buffer.data for p in pointers), *arguments))
    return out


class _once:
    """A loop of one trip, which is none."""

    def __enter__(self):
        return 0

    def __exit__(self, *error):
        return None


def _nest(kernel, node, sizes, inner):
    """An element of the result for each index; on the CPU row by row, which vectorises."""
    a, b = node.args
    ta, tb, dtype, code = node.attrs["ta"], node.attrs["tb"], node.type.dtype, kernel.code
    kernel.open(a, b)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    zero = const(0.0, dtype) if dtype[0] == "f" else const(0, dtype)
    if dtype == "bool":
        zero = const(False, "bool")
    times_, plus_ = ("bit_and", "bit_or") if dtype == "bool" else ("mul", "add")
    half = kernel.ctx.shared.options.products if dtype == "f32" else "float32"

    def term(batch, i, k, j):
        left = kernel.at(a, [*batch, *((k, i) if ta else (i, k))])
        right = kernel.at(b, [*batch, *((j, k) if tb else (k, j))])
        left, right = rounded(code, left, half), rounded(code, right, half)
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
