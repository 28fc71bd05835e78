"""Kernels whose threads work together: blocks with memory of their own, in phases.

In a phase each thread of a block runs the same code; the phases follow one another for the whole block, so that what
one writes to shared memory, the next may read.  On a device that is a barrier at the end of a phase.  Where a device is
emulated it is a loop over the threads for each phase, and what is a thread's own is an array with a place for each.
What is computed between phases is the same for all threads of a block; nothing bound in a phase is used in another.
"""

from __future__ import annotations

from contextlib import contextmanager

from tvm import tirx
from tvm.ir import StringImm
from tvm.tirx import stmt as S
from tvm.tirx.op import call_intrin

from .code import Code, const, expr, plus, sequence, times


class Local:
    """Elements of a buffer; `offset` is where those of this thread begin."""

    def __init__(self, code: Code, dtype: str, size: int, scope: str, offset=0):
        self.code, self.offset = code, offset
        self.buffer = tirx.decl_buffer((size,), dtype, "b", scope=scope, layout=None)
        code.emit(S.AllocBuffer(self.buffer))

    def at(self, offset) -> Local:
        mine = object.__new__(Local)
        mine.code, mine.buffer, mine.offset = self.code, self.buffer, offset
        return mine

    def peek(self, index):
        return tirx.BufferLoad(self.buffer, [expr(plus(self.offset, index))])

    def load(self, index):
        return self.code.let(self.peek(index))

    def store(self, value, index) -> None:
        self.code.emit(S.BufferStore(self.buffer, value, [expr(plus(self.offset, index))]))

    def address(self, index):
        return tirx.address_of(self.buffer[expr(plus(self.offset, index))])


class Block:
    """A block of threads under construction: `number` of `count`."""

    def __init__(self, kernel, number, threads: int):
        self.kernel, self.code, self.number, self.threads = kernel, kernel.code, number, threads
        self.real = kernel.ctx.in_threads
        self._own: list[Local] = []
        self._thread = None

    def shared(self, dtype: str, size: int) -> Local:
        """Memory that the threads of the block share."""
        return Local(self.code, dtype, size, "shared" if self.real else "global")

    def private(self, dtype: str, size: int):
        """Memory of each thread's own that lasts from phase to phase: a function from a thread to its part."""
        if self.real:
            mine = Local(self.code, dtype, size, "local")
            return lambda thread: mine
        all_of_them = Local(self.code, dtype, size * self.threads, "global")
        return lambda thread: all_of_them.at(times(thread, size))

    def registers(self, dtype: str, size: int) -> Local:
        """Memory of a thread within a phase."""
        return Local(self.code, dtype, size, "local" if self.real else "global")

    def unrolled(self, count: int):
        """A loop whose counter the device's compiler knows, so that what it indexes can be registers."""
        return self.code.counted(count, S.ForKind.UNROLLED if self.real else S.ForKind.SERIAL)

    @contextmanager
    def phase(self, barrier: bool = True):
        """What each thread does, given its number.  Without `barrier`, the next phase reads nothing that this wrote."""
        with self.code.fresh():
            if self.real:
                with self.code.block() as inner:
                    yield self._thread
                self.code.emit(sequence(inner))
                if barrier:
                    self.code.do(call_intrin("int32", "tirx.tvm_storage_sync", StringImm("shared")))
                return
            with self.code.counted(self.threads) as thread:
                yield thread


@contextmanager
def blocks(kernel, count, threads: int):
    """`count` blocks of `threads` threads; gives the block.  `count` is positive."""
    code, ctx = kernel.code, kernel.ctx
    ctx.launches += 1
    if not ctx.in_threads:
        with code.fresh(), code.counted(count) as number:
            yield Block(kernel, number, threads)
        return
    count = expr(count) if isinstance(count, int) else code.let(count)
    bx, tx = tirx.Var("bx", "int64"), tirx.Var("tx", "int64")
    code.in_kernel = True
    with code.fresh(), code.block() as inner:
        block = Block(kernel, code.let(bx), threads)
        block._thread = code.let(tx)
        yield block
    code.in_kernel = False
    body = sequence(inner)
    for var, tag, extent in ((tx, "threadIdx.x", const(threads)), (bx, "blockIdx.x", count)):
        iv = tirx.IterVar(None, var, tirx.IterVar.ThreadIndex, tag)
        body = S.AttrStmt(iv, "thread_extent", extent, body)
    positive = isinstance(count, tirx.IntImm)
    code.emit(body if positive else S.IfThenElse(tirx.GT(count, const(0)), body, None))
