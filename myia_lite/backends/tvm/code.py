"""Code under construction: statements of TVM's tensor IR, appended in order, in nested blocks.

Expressions are made by the constructors of nodes, never by `tirx`'s operators: those simplify, and `x * 0.0` is not
0.0.  A value that is used more than once is bound by `let`, so that nothing is computed twice.  Sizes and indexes are
Python ints as far as they are known.
"""

from __future__ import annotations

from collections import ChainMap
from contextlib import contextmanager

import tvm
from tvm import tirx
from tvm.ir import PointerType, PrimType
from tvm.tirx import stmt as S
from tvm.tirx.op import call_intrin

DTYPES = {"bool": "bool", "i32": "int32", "i64": "int64", "f32": "float32", "f64": "float64"}
MEMORY = {**DTYPES, "bool": "int8"}  # a bool is a byte in memory
ITEMSIZE = {"bool": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}
HANDLE = "handle"
ANY_KIND, ANY_VALUE, POINTER = 13, 15, 1  # fields for `tvm_struct_get`: of a TVMFFIAny, and what its address holds
INT, FLOAT = 1, 3  # type codes of a TVMFFIAny


def const(value, dtype="i64"):
    return tirx.const(value, DTYPES.get(dtype, dtype))


def expr(x):
    """A size or an index as an expression."""
    return const(x) if isinstance(x, int) else x


def plus(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return b if a == 0 and isinstance(a, int) else a if b == 0 and isinstance(b, int) else tirx.Add(expr(a), expr(b))


def times(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    for x, y in ((a, b), (b, a)):
        if isinstance(x, int) and x in (0, 1):
            return y if x else 0
    return tirx.Mul(expr(a), expr(b))


def quotient(a, b):
    """Of non-negative numbers."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b else 0
    return a if isinstance(b, int) and b == 1 else tirx.Div(expr(a), expr(b))


def remainder(a, b):
    if isinstance(a, int) and isinstance(b, int):
        return a % b if b else 0
    return 0 if isinstance(b, int) and b == 1 else tirx.Mod(expr(a), expr(b))


def product(sizes):
    out = 1
    for n in sizes:
        out = times(out, n)
    return out


def linear(index, sizes):
    """The row-major number of an element."""
    at = 0
    for i, n in zip(index, sizes, strict=True):
        at = plus(times(at, n), i)
    return at


def offset(handle, bytes):
    return call_intrin(HANDLE, "tirx.handle_add_byte_offset", handle, tirx.const(bytes, "int32"))


def pointer(dtype: str):
    return PointerType(PrimType(MEMORY.get(dtype, dtype)))


def field(handle, index, kind, dtype):
    return tirx.tvm_struct_get(handle, tirx.const(index, "int32"), kind, dtype)


class Cell:
    """A local variable."""

    def __init__(self, code: Code, dtype: str, value=None):
        self.code, self.dtype, self.buffer = code, dtype, code.local(MEMORY[dtype])
        if value is not None:
            self.set(value)

    def set(self, value) -> None:
        value = tirx.Cast("int8", value) if self.dtype == "bool" else value
        self.code.emit(S.BufferStore(self.buffer, value, [const(0)]))

    def get(self):
        return self.code.let(self.peek())

    def peek(self):
        """The value at the place where this expression stands."""
        value = tirx.BufferLoad(self.buffer, [const(0)])
        return tirx.NE(value, tirx.const(0, "int8")) if self.dtype == "bool" else value


class Memory:
    """Elements at an address, by their row-major number."""

    def __init__(self, code: Code, address, dtype: str):
        self.code, self.dtype = code, dtype
        self.buffer = tirx.decl_buffer(
            (1,), MEMORY[dtype], "m", data=address, layout=None, data_alignment=ITEMSIZE[dtype]
        )
        code.emit(S.DeclBuffer(self.buffer, data=address))

    def load(self, at):
        value = self.code.let(tirx.BufferLoad(self.buffer, [expr(at)]))
        return self.code.let(tirx.NE(value, tirx.const(0, "int8"))) if self.dtype == "bool" else value

    def store(self, value, at) -> None:
        value = tirx.Cast("int8", value) if self.dtype == "bool" else value
        self.code.emit(S.BufferStore(self.buffer, value, [expr(at)]))


class Code:
    """The statements of a function; `known` are the elements computed so far, forgotten at the end of their block."""

    def __init__(self):
        self.statements: list = []
        self.known: ChainMap = ChainMap()
        self.in_kernel = False

    def emit(self, statement) -> None:
        self.statements.append(statement)

    def do(self, call) -> None:
        self.emit(S.Evaluate(call))

    def local(self, dtype: str, size: int = 1):
        """A few elements on the stack.  (TVM would take those of a host's "local" scope from a pool.)"""
        scope = "local" if self.in_kernel else "global"
        buffer = tirx.decl_buffer((size,), dtype, "c", scope=scope, layout=None)
        self.emit(S.AllocBuffer(buffer))
        return buffer

    def let(self, value):
        """`value`, computed here.

        Of what is computed, TVM's code generator is shown a local variable: where it sees expressions bound to names,
        it substitutes them into each other to find what it can prove, in exponential time.
        """
        if isinstance(value, (tirx.Var, tirx.IntImm, tirx.FloatImm)):
            return value
        dtype = value.ty
        if isinstance(dtype, PrimType) and not isinstance(value, tvm.ir.expr.TensorLoad):
            name = str(dtype.dtype)
            place = self.local("int8" if name == "bool" else name)
            self.emit(S.BufferStore(place, tirx.Cast("int8", value) if name == "bool" else value, [const(0)]))
            value = tirx.BufferLoad(place, [const(0)])
            value = tirx.NE(value, tirx.const(0, "int8")) if name == "bool" else value
        var = tirx.Var("v", dtype)
        self.emit(S.Bind(var, value))
        return var

    @contextmanager
    def block(self):
        """What is emitted inside goes into a list of its own."""
        outer, self.statements = self.statements, []
        known, self.known = self.known, self.known.new_child()
        inner = self.statements
        try:
            yield inner
        finally:
            self.statements, self.known = outer, known

    @contextmanager
    def fresh(self):
        """No element is known: memory may have changed."""
        known, self.known = self.known, ChainMap()
        try:
            yield
        finally:
            self.known = known

    @contextmanager
    def when(self, condition):
        with self.block() as inner:
            yield
        self.emit(S.IfThenElse(condition, sequence(inner), None))

    def choose(self, condition, then, otherwise) -> None:
        """Both are functions that emit."""
        with self.block() as yes:
            then()
        with self.block() as no:
            otherwise()
        self.emit(S.IfThenElse(condition, sequence(yes), sequence(no)))

    @contextmanager
    def loop(self, condition):
        """While `condition`, an expression that is evaluated again on each trip."""
        with self.block() as inner:
            yield
        self.emit(S.While(condition, sequence(inner)))

    @contextmanager
    def counted(self, extent, kind=S.ForKind.SERIAL):
        """The numbers from 0 to `extent`, one after the other."""
        if isinstance(extent, int) and extent == 1:
            yield 0
            return
        i = tirx.Var("i", "int64")
        with self.block() as inner:
            yield i
        self.emit(S.For(i, const(0), expr(extent), kind, sequence(inner)))


def sequence(statements: list):
    if not statements:
        return S.Evaluate(tirx.const(0, "int32"))
    return statements[0] if len(statements) == 1 else S.SeqStmt(statements)


__all__ = ["Cell", "Code", "Memory", "tvm"]
