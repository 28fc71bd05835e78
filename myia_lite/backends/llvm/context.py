"""What lowering rules of primitives may use: the builder, the values of nodes, fresh and shared arrays.

A rule gets a `Context` and a node, emits at `ctx.b` and returns the node's value.  It may end blocks and begin others:
what follows is emitted where `ctx.b` then stands.
"""

from __future__ import annotations

import llvmlite.ir as ll

from ...ir import Array, Node, Type
from .layout import I1, I8, I64, NULL, PTR, REGISTER, ArrayValue, i64
from .memory_layout import DATA, FIRST_ERROR, ITEMSIZE, OUTSIDE
from .module import ModuleBuilder


class Context:
    """Lowering of one closed graph; `lower.py` adds control flow and ownership."""

    def __init__(self, module: ModuleBuilder, fn: ll.Function):
        self.module, self.fn = module, fn
        self.context = fn.args[0]  # the call's context: error, live objects, stack limit
        self.entry = fn.append_basic_block("entry")
        self.b = ll.IRBuilder(fn.append_basic_block("start"))
        self.error = fn.append_basic_block("error")  # returns after an error has been noted
        self.values: dict = {}

    # ---- values ------------------------------------------------------------------------------------------------------
    def value(self, node: Node):
        """The value of any materialised node."""
        raise NotImplementedError

    def scalar(self, node: Node):
        """A scalar node's register; a bool is an i1."""
        return self.value(node)

    def array(self, node: Node) -> ArrayValue:
        """An array node's value, borrowed: it lives at least until the node that is being lowered is done."""
        return self.value(node)

    def constant(self, value, t: Type):
        """A constant's value: its memory belongs to the program."""
        if isinstance(t, Array):
            data = self.module.constant_data(value, t)
            return ArrayValue(NULL, data, tuple(i64(d) for d in value.shape), t)
        kind = REGISTER[t.dtype]
        if isinstance(kind, ll.IntType):
            return ll.Constant(kind, int(value))
        return ll.Constant(kind, float(value))

    # ---- arrays ------------------------------------------------------------------------------------------------------
    def new_array(self, t: Array, dims) -> ArrayValue:
        """An array of type `t`, owned and with undefined elements; data aligned to 16 bytes at least.

        Out of memory, or a size out of reason, raises MemoryError.
        """
        size, known = i64(ITEMSIZE[t.dtype]), ITEMSIZE[t.dtype]
        bad = None
        for d, n in zip(dims, t.shape, strict=True):
            d = i64(n) if n is not None else d
            if isinstance(d, ll.Constant) and known is not None:
                known *= d.constant
                size = i64(known)
                continue
            known = None
            pair = self.b.call(
                self.intrinsic("llvm.umul.with.overflow.i64", ll.LiteralStructType([I64, I1]), [I64, I64]), [size, d]
            )
            size, over = self.b.extract_value(pair, 0), self.b.extract_value(pair, 1)
            bad = over if bad is None else self.b.or_(bad, over)
        if bad is not None:
            size = self.b.select(bad, i64(-1), size)
        obj = self.allocate(size, DATA, NULL)
        dims = tuple(i64(n) if n is not None else d for d, n in zip(dims, t.shape, strict=True))
        return ArrayValue(obj, self.offset(obj, DATA), dims, t)

    def new_result(self, node: Node, t: Array, dims) -> ArrayValue:
        """The array that is the value of `node`, its elements undefined: where the program's caller wants it, for that
        of a result, else owned memory."""
        return self.new_array(t, dims)

    def allocate(self, size, header: int, children):
        """A counted object of `size` bytes after its header; `children` releases what it holds."""
        obj = self.b.call(self.module.runtime("rt_alloc"), [self.context, size, i64(header), children])
        self.check(self.b.icmp_unsigned("!=", obj, NULL))
        return obj

    def take(self, node: Node) -> ArrayValue:
        """Argument 0 of an in-place primitive, consumed: an array that nobody else holds (a copy where
        needed), owned."""
        raise NotImplementedError

    def reusable(self, x: Node, node: Node) -> bool:
        """May `node`, which is being lowered, take over the memory of `x`: does x die here, and nobody else hold it?"""
        raise NotImplementedError

    def consume(self, node: Node):
        """The value of an argument, owned: the reference itself at its last use, else another one."""
        raise NotImplementedError

    def size(self, array: ArrayValue):
        """The number of elements."""
        n = i64(1)
        for d in array.dims:
            if isinstance(n, ll.Constant) and isinstance(d, ll.Constant):
                n = i64(n.constant * d.constant)
            else:
                n = self.b.mul(n, d)
        return n

    # ---- building blocks ---------------------------------------------------------------------------------------------
    def block(self, name: str) -> ll.Block:
        """A new basic block at the end of the function; go there with `ctx.b.position_at_end`."""
        return self.fn.append_basic_block(name)

    def alloca(self, t: ll.Type, name: str = ""):
        """Stack memory for the whole function call (not one piece per trip of a loop around it)."""
        with self.b.goto_block(self.entry):
            memory = self.b.alloca(t, name=name)
        memory.type = PTR
        return memory

    def alloca_array(self, t: ll.Type, count: int):
        """Stack memory for `count` values."""
        return self.alloca(ll.ArrayType(t, count))

    def external(self, name: str, fn_type: ll.FunctionType, address: int | None = None) -> ll.Function:
        """A function outside the program: a symbol of the process (libc, libm) or, with `address`, anything."""
        return self.module.external(name, fn_type, address)

    def intrinsic(self, name: str, result: ll.Type, args: list) -> ll.Function:
        return self.module.external(name, ll.FunctionType(result, args), None)

    def offset(self, pointer, n: int):
        return self.b.gep(pointer, [i64(n)], source_etype=I8)

    def load(self, pointer, n: int, t: ll.Type):
        return self.b.load(self.offset(pointer, n), typ=t)

    def store(self, value, pointer, n: int):
        self.b.store(value, self.offset(pointer, n))

    def outside_error(self, span):
        """The id of what Python functions raise at a place in the program."""
        self.module.errors.append((None, (), span))
        return i64(OUTSIDE + FIRST_ERROR + len(self.module.errors) - 1)

    def check(self, ok):
        """Leave the function where not `ok`: the error has been noted in the context."""
        go = self.block("ok")
        branch = self.b.cbranch(ok, go, self.error)
        branch.set_weights([100000, 1])
        self.b.position_at_end(go)
