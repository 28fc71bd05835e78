"""From an entry graph to machine code.

The body of a program is `body(args, results, limit) -> error`: arrays of 8-byte slots.  A scalar is one slot; an array
argument is its data pointer and all dims, an array result the object that holds it (see `runtime.py`) and all dims.
The first slot of an array result may come with an address: then its elements are written there, and it has no object.
A record of a forward pass is the address of its parts; behind the results stand the number of objects that were leaked
and the arena of the records (see `records.py`).
"""

from __future__ import annotations

import itertools

import llvmlite.ir as ll

from ...ir import Apply, Array, Graph, Never, Node, Tuple
from ..walk import results_of
from . import arenas, jit, loader, outside, records, returns
from .context import Context
from .cost import Work, may_run_long
from .heap import FIRST_CHUNK
from .layout import I1, I8, I32, I64, NULL, PTR, REGISTER, ArrayValue, flatten, i64
from .lower import Lowering, copies, declare
from .memory_layout import (
    CONTEXT_CHUNK,
    CONTEXT_END,
    CONTEXT_LIMIT,
    CONTEXT_REST,
    CONTEXT_RESULTS,
    CONTEXT_SIZE,
    DATA,
    ITEMSIZE,
)
from .module import ModuleBuilder, Symbol
from .native import Image, Program, slots_of
from .ownership import CallGraph

LARGE = 12_000  # lines of LLVM IR
LOOP, LOOPS = "\nloop", 100  # the label of a counted loop, and how many of them may be optimised together


def result_slots(graph: Graph) -> list[tuple[Node, int]]:
    """The arrays that a graph returns, with the slots of their addresses; none beside a record, which may hold them."""
    if any(map(arenas.escapes, results_of(graph))):
        return []
    nodes = [graph.result]
    if isinstance(graph.result_type, Tuple):
        tuple_ = isinstance(graph.result, Apply) and graph.result.op.name == "tuple"
        nodes = graph.result.args if tuple_ else []
    ends = itertools.accumulate((slots_of(n.type) for n in nodes), initial=0)
    return [(n, slot) for n, slot in zip(nodes, ends, strict=False) if isinstance(n.type, Array)]


def build(graph: Graph) -> ModuleBuilder:
    """The program's LLVM module, not optimised."""
    calls = CallGraph(graph)
    arrays = sum(isinstance(n.type, Array) for g in calls.graphs for h in g.nested() for n in h.nodes)
    m = ModuleBuilder(graph.name, large=arrays > 2 * LOOPS)
    for g in calls.graphs:
        declare(m, g, copies(g, calls))
    work = Work(sized=False)
    for g in calls.graphs:
        results = result_slots(g) if g is graph and g not in calls.called else ()
        for k in range(len(m.functions[g])):
            Lowering(m, g, calls, work, results, k).run()
    _Entry(m, graph, calls).run()
    return m


def optimised(m: ModuleBuilder):
    """LLVM's form of a module.  Loops over the few elements of small arrays gain much from unrolling: a recurrent
    network's Hessian-vector product is several times faster.  Only very large programs, as those of high derivatives,
    do without, for the time it takes to compile them."""
    text = str(m.module)
    module, many = jit.parse(text), text.count(LOOP) > LOOPS
    if many:
        jit.split_loops(module)
    return jit.optimise(module, unroll=not many and text.count("\n") < LARGE)


class _Entry(Context):
    """body(args, results, limit), and run(args, results), which finds a stack for it."""

    def __init__(self, m: ModuleBuilder, graph: Graph, calls: CallGraph):
        fn = ll.Function(m.module, ll.FunctionType(I64, [PTR, PTR, PTR]), "body")
        fn.linkage = "internal"
        super().__init__(m, fn)
        self.graph, self.calls = graph, calls
        self.args, self.results, self.limit = fn.args

    def run(self) -> None:
        b, g = self.b, self.graph
        start = b.block
        self.escaping = any(map(arenas.escapes, results_of(g)))
        self.context = self._context()
        at, args = 0, []
        for p in g.params:
            args += flatten(self._argument(p.type, at), p.type)
            at += slots_of(p.type)
        out = b.call(self.module.functions[g][0], [self.context, *args], cconv="fastcc")
        if g in self.calls.raising:
            self.check(b.icmp_unsigned("==", b.load(self.context, typ=I64), i64(0)))
        self._results(out)
        b.position_at_end(self.entry)
        b.branch(start)
        self._failed()
        self._run()

    def _context(self):
        """The call's context: no error, nothing alive, and the first chunk of memory for small objects on the stack."""
        b = self.b
        context = self.alloca(ll.ArrayType(I64, CONTEXT_SIZE // 8), "context")
        clear = self.intrinsic("llvm.memset.p0.i64", ll.VoidType(), [PTR, I8, I64, I1])
        b.call(clear, [context, I8(0), i64(CONTEXT_SIZE), I1(0)])
        self.store(self.limit, context, CONTEXT_LIMIT)
        self.store(self.results, context, CONTEXT_RESULTS)
        if self.escaping:  # what leaves the call cannot be on its stack
            self.store(i64(FIRST_CHUNK >> 3), context, CONTEXT_CHUNK)
            return context
        chunk = self.alloca(ll.ArrayType(I8, FIRST_CHUNK), "chunk")
        chunk.align = 64
        self.store(chunk, context, CONTEXT_REST)
        self.store(self.offset(chunk, FIRST_CHUNK), context, CONTEXT_END)
        self.store(i64(FIRST_CHUNK), context, CONTEXT_CHUNK)
        return context

    def _argument(self, t, at: int):
        b = self.b
        if isinstance(t, Array):
            data = self.load(self.args, 8 * at, PTR)
            dims = tuple(
                i64(d) if d is not None else self.load(self.args, 8 * (at + 1 + k), I64) for k, d in enumerate(t.shape)
            )
            x = ArrayValue(NULL, data, dims, t)
            return self._copy(x) if self.escaping else x
        if arenas.escapes(t):
            return records.load(self, t, at)
        if t.dtype == "bool":
            return b.icmp_unsigned("!=", self.load(self.args, 8 * at, I64), i64(0))
        return self.load(self.args, 8 * at, REGISTER[t.dtype])

    def _results(self, out) -> None:
        b, t = self.b, self.graph.result_type
        value = returns.take(b, out, t)
        values = () if t is Never else value if isinstance(t, Tuple) else (value,)
        at, types = 0, results_of(self.graph)
        escape = records.Escape(self, types) if self.escaping else None
        for v, r in zip(values, types, strict=True):
            if arenas.escapes(r):
                self.store(escape.record(v, r), self.results, 8 * at)
            elif isinstance(r, Array):
                self._hand_over(v, at)
            elif r.dtype == "bool":
                self.store(b.zext(v, I64), self.results, 8 * at)
            else:
                self.store(v, self.results, 8 * at)
            at += slots_of(r)
        if self.escaping:
            self.store(escape.leave(), self.results, 8 * (at + 1))
        # nothing should be left: what is, is freed, and a test finds its number in the slot after the results
        left = b.call(self.module.runtime("rt_end"), [self.context]) if self.calls.on_heap else i64(0)
        self.store(left, self.results, 8 * at)
        b.ret(i64(0))

    def _hand_over(self, x: ArrayValue, at: int) -> None:
        """A result to where the caller wants it, or as an object of its own."""
        b, place, new, done = self.b, *map(self.block, ("place", "new", "given"))
        to = self.load(self.results, 8 * at, PTR)
        b.cbranch(b.icmp_unsigned("!=", to, NULL), place, new)
        b.position_at_end(place)
        with b.if_then(b.icmp_unsigned("!=", to, x.data)):
            size = b.mul(self.size(x), i64(ITEMSIZE[x.type.dtype]))
            copy = self.intrinsic("llvm.memcpy.p0.p0.i64", ll.VoidType(), [PTR, PTR, I64, I1])
            b.call(copy, [to, x.data, size, I1(0)])
            b.call(self.module.runtime("release"), [self.context, x.obj])
        b.branch(done)
        b.position_at_end(new)
        own = b.call(self.module.runtime("rt_detach"), [self.context, self._owned(x).obj])
        self.check(b.icmp_unsigned("!=", own, NULL))
        self.store(own, self.results, 8 * at)
        for k, d in enumerate(x.dims):
            self.store(d, self.results, 8 * (at + 1 + k))
        b.branch(done)
        b.position_at_end(done)

    def _owned(self, x: ArrayValue) -> ArrayValue:
        """A result whose memory belongs to nobody else: neither an argument nor a second result."""
        b, keep, copy, done = self.b, *map(self.block, ("counted", "copy", "owned"))
        b.cbranch(b.icmp_unsigned("!=", x.obj, NULL), keep, copy)
        b.position_at_end(keep)
        b.cbranch(b.icmp_unsigned("==", b.load(x.obj, typ=I64), i64(1)), done, copy)
        b.position_at_end(copy)
        fresh = self._copy(x).obj
        copied = b.block
        b.branch(done)
        b.position_at_end(done)
        obj = b.phi(PTR)
        obj.add_incoming(x.obj, keep)
        obj.add_incoming(fresh, copied)
        return ArrayValue(obj, self.offset(obj, DATA), x.dims, x.type)

    def _copy(self, x: ArrayValue) -> ArrayValue:
        """A copy that nobody else holds, for the reference to `x`."""
        b = self.b
        size = b.mul(self.size(x), i64(ITEMSIZE[x.type.dtype]))
        fresh = b.call(self.module.runtime("rt_unique"), [self.context, x.obj, x.data, size])
        self.check(b.icmp_unsigned("!=", fresh, NULL))
        return ArrayValue(fresh, self.offset(fresh, DATA), x.dims, x.type)

    def _failed(self) -> None:
        """The error's values go where the results would; what is alive is freed."""
        b = self.b
        b.position_at_end(self.error)
        for k in range(4):
            b.store(self.load(self.context, 8 + 8 * k, I64), self.offset(self.results, 8 * k))
        if self.calls.on_heap:
            b.call(self.module.runtime("rt_end"), [self.context])
        b.ret(b.load(self.context, typ=I64))

    def _run(self) -> None:
        fn = ll.Function(self.module.module, ll.FunctionType(I64, [PTR, PTR]), "run")
        b = ll.IRBuilder(fn.append_basic_block())
        args, results = fn.args
        if not self.calls.recursive:
            b.ret(b.call(self.fn, [args, results, NULL]))
            return
        deep = ll.GlobalVariable(self.module.module, I32, "deep")
        deep.linkage, deep.initializer = "internal", ll.Constant(I32, 0)
        b.ret(b.call(self.module.runtime("rt_recursive"), [Symbol(self.fn), Symbol(deep), args, results]))


def compile(graph: Graph) -> Program:
    """The program of an entry graph, linked into this process."""
    with loader.LOCK:
        m = build(graph)
        symbols = tuple(s for s in m.module.globals if outside.address(s) is not None)
        code = jit.emit(optimised(m))
        types = tuple(p.type for p in graph.params), results_of(graph)
        image = Image(graph.name, *types, may_run_long(graph), code, symbols, m.constants, m.errors)
        return Program(image, m.imports, m.keep)


def llvm_text(graph: Graph, optimise: bool = True) -> str:
    """The LLVM IR of a program."""
    with loader.LOCK:
        m = build(graph)
        return str(optimised(m) if optimise else m.module)


def asm_text(graph: Graph) -> str:
    """The assembly of a program, for this computer."""
    with loader.LOCK:
        return jit.assembly(optimised(build(graph)))
