"""Loop nests over the elements of array nodes, and how an element is computed.

What `fusion.plan` inlines is computed element by element inside the nests of its consumers.  A nest runs over a space
of elements that do not depend on each other: on the CPU a loop for each axis, on the device a grid with a thread for
each element.  What is inside (the axes of a reduction, the steps of a scan) is a loop either way.
"""

from __future__ import annotations

from contextlib import contextmanager

from tvm import tirx
from tvm.tirx import stmt as S

from ...ir import Apply, Array, Constant, Node
from ..llvm.fusion import unit_reshape
from .code import Memory, const, expr, linear, plus, product, quotient, remainder, sequence, times
from .elements import element_of
from .layout import ArrayValue
from .rounding import rounded

THREADS = 256  # of a block


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
            i, j = index
            factors = self.at(a, [0, i] if attrs["ta"] else [i, 0]), self.at(b, [j, 0] if attrs["tb"] else [0, j])
            if node.type.dtype == "f32":
                factors = [rounded(self.code, x, self.ctx.shared.options.products) for x in factors]
            return element_of(self.code, "mul", {}, [node.type.dtype] * 2, factors)
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
            if self.ctx.in_threads:
                with self._grid(sizes) as index:
                    yield index
            else:
                self.ctx.launches += self.ctx.device  # of an emulated one
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
            self.code.emit(S.IfThenElse(tirx.LT(k, count), sequence(inner), None))

    @contextmanager
    def launch(self, count, threads):
        """At least `count` threads, in blocks of `threads`; gives the number of the thread.  None where count is 0."""
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


def sum_of(kernel, dtype, a, b):
    if dtype == "bool":
        return tirx.Or(a, b)
    return element_of(kernel.code, "add", {}, [dtype] * 2, [a, b])
