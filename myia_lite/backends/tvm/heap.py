"""Objects in registers: making, moving and counting references to tensors, records and the buffers of stacks.

The register file is a list of TVM's `Any`, 16 bytes each; a function's registers lie in its window, those of the
functions that it calls behind it.  Whoever holds the list frees what a failed call leaves behind.  A reference moves
without being counted; an object whose count is one is written in place.
"""

from __future__ import annotations

from tvm import tirx
from tvm.ir import StringImm
from tvm.tirx import op

from ...ir import Array
from .code import ANY_VALUE, DTYPES, HANDLE, Code, Memory, const, expr, field, offset, plus, pointer, product

HEADER = 24  # bytes of an object before what it holds; the count of references comes first
DATA, SIZE = 0, 1  # words of an array or list object behind its header
CAPTURING = 9  # a word of the state of a call: does memory come from ALLOCATOR?
ALLOCATOR = "myia.alloc_storage"  # see `graphs.py`


class Heap:
    """The register window of a function whose code is being made."""

    def __init__(self, code: Code, machine, regs, constants, shared):
        self.code, self.machine, self.regs, self.constants, self.shared = code, machine, regs, constants, shared
        self.registers = 0
        self.state: Memory | None = None  # what the call shares; see `lower.py`
        self.words = Memory(code, code.let(op.call_intrin(pointer("i64"), "tirx.reinterpret", regs)), "i64")

    def register(self) -> int:
        self.registers += 1
        return self.registers - 1

    # ---- references
    def item(self, register: int):
        return op.anylist_getitem(self.regs, tirx.const(register, "int32"))

    def constant(self, index: int):
        return op.anylist_getitem(self.constants, tirx.const(index, "int32"))

    def call(self, register: int, function: str, *args) -> None:
        """Put what a packed function returns into a register."""
        args = [StringImm(a) if isinstance(a, str) else a for a in args]
        self.code.do(op.anylist_setitem_call_packed(self.regs, tirx.const(register, "int32"), function, *args))

    def reset(self, register: int) -> None:
        self.code.do(op.anylist_resetitem(self.regs, tirx.const(register, "int32")))

    def copy(self, to: int, source: int) -> None:
        self.call(to, "vm.builtin.copy", self.item(source))

    def move(self, to: int, source: int) -> None:
        self.reset(to)
        for k in (0, 1):
            self.words.store(self.words.load(2 * source + k), 2 * to + k)
            self.words.store(const(0), 2 * source + k)

    def object(self, register: int):
        return self.code.let(field(self.regs, register, ANY_VALUE, HANDLE))

    def alone(self, register: int):
        """Is this the one reference to the object?"""
        count = Memory(self.code, self.code.let(field(self.regs, register, ANY_VALUE, pointer("i64"))), "i64").load(0)
        return tirx.EQ(tirx.bitwise_and(count, const(0xFFFFFFFF)), const(1))

    # ---- arrays
    def tensor(self, register: int, dtype: str) -> Memory:
        """The elements of the tensor in a register."""
        data = field(offset(self.object(register), HEADER), 0, 1, pointer(dtype))
        return Memory(self.code, self.code.let(data), dtype)

    def allocate(self, register: int, t: Array, sizes) -> None:
        count = product(sizes)
        storage, made = self.register(), []
        if isinstance(count, int):
            room = self.constant(self.shared.shape((max(count, 1),)))
        else:
            count = self.code.let(count)
            room = self.shape([tirx.Select(tirx.GT(count, const(0)), count, const(1))], made)
        if all(isinstance(n, int) for n in sizes):
            shape = self.constant(self.shared.shape(tuple(sizes)))
        else:
            shape = self.shape([expr(n) for n in sizes], made)
        dtype = "bool" if t.dtype == "bool" else DTYPES[t.dtype]
        self._storage(storage, (self.machine, room, const(0), dtype, "global"))
        self.call(register, "vm.builtin.alloc_tensor", self.item(storage), const(0), shape, dtype)
        for r in (storage, *made):
            self.reset(r)

    def _storage(self, register: int, args) -> None:
        """From TVM's pool; but what a captured call uses stays with the capture."""
        if not self.shared.captured:
            self.call(register, "vm.builtin.alloc_storage", *args)
            return
        plain = tirx.EQ(self.state.load(CAPTURING), const(0))
        self.code.choose(
            plain,
            lambda: self.call(register, "vm.builtin.alloc_storage", *args),
            lambda: self.call(register, ALLOCATOR, *args),
        )

    def shape(self, sizes, made):
        r = self.register()
        made.append(r)
        self.call(r, "ffi.Shape", *sizes)
        return self.item(r)

    # ---- lists, and arrays of objects
    def sequence(self, register: int):
        """(the address of the items of a list or array object, their number)."""
        cell = op.call_intrin(pointer("i64"), "tirx.reinterpret", offset(self.object(register), HEADER))
        words = Memory(self.code, self.code.let(cell), "i64")
        items = self.code.let(field(offset(self.object(register), HEADER), 0, 1, HANDLE))
        return items, words.load(SIZE)

    def load(self, items, index, kind: str):
        """A number among the items."""
        words = self.code.let(op.call_intrin(pointer("i64"), "tirx.reinterpret", items))
        at = plus(1, tirx.Mul(const(2), expr(index)))
        if kind in ("f32", "f64"):
            value = Memory(self.code, self.code.let(op.call_intrin(pointer("f64"), "tirx.reinterpret", items)), "f64")
            value = value.load(at)
            return self.code.let(tirx.Cast("float32", value)) if kind == "f32" else value
        value = Memory(self.code, words, "i64").load(at)
        if kind == "bool":
            return self.code.let(tirx.NE(value, const(0)))
        return self.code.let(tirx.Cast("int32", value)) if kind == "i32" else value

    def load_object(self, register: int, items, index) -> None:
        index = tirx.Cast("int32", index) if not isinstance(index, int) else tirx.const(index, "int32")
        self.call(register, "vm.builtin.copy", op.anylist_getitem(items, index))


def packed(value, kind: str):
    """A number as an argument of a packed function."""
    if kind in ("bool", "i32"):
        return tirx.Cast("int64", tirx.Cast("int32", value))
    return tirx.Cast("float64", value) if kind == "f32" else value


def bits(value, kind: str):
    """A number in 64 bits of an int."""
    if kind in ("bool", "i32"):
        return packed(value, kind)
    if kind == "i64":
        return value
    return tirx.reinterpret("int64", packed(value, kind))


def from_bits(value, kind: str):
    if kind == "bool":
        return tirx.NE(value, const(0))
    if kind == "i32":
        return tirx.Cast("int32", value)
    if kind == "i64":
        return value
    value = tirx.reinterpret("float64", value)
    return tirx.Cast("float32", value) if kind == "f32" else value
