"""One LLVM module under construction: its functions, what it takes from outside, its errors and helper functions."""

from __future__ import annotations

import llvmlite.ir as ll
import numpy as np

from ...ir import Array, Graph
from . import jit
from .layout import I64, PTR, element, i64
from .memory_layout import NUMPY

VOID = ll.VoidType()
SIGNATURES = {  # of `runtime.py`
    "rt_alloc": (PTR, [PTR, I64, I64, PTR]),
    "rt_free": (VOID, [PTR, PTR]),
    "rt_shell": (VOID, [PTR, PTR]),
    "rt_unique": (PTR, [PTR, PTR, PTR, I64]),
    "rt_push_slow": (PTR, [PTR, PTR, I64, I64, PTR, PTR]),
    "rt_reserve": (PTR, [PTR, I64, I64, PTR]),
    "rt_parallel": (VOID, [PTR, PTR, I64, I64]),
    "rt_end": (I64, [PTR]),
    "rt_detach": (PTR, [PTR, PTR]),
    "rt_poll": (I64, [PTR, I64]),
    "rt_recursive": (I64, [PTR, PTR, PTR, PTR]),
    "rt_argsort": (VOID, [PTR, PTR, PTR, PTR, I64]),
    "rt_arena": (PTR, [PTR, I64, I64]),
    "rt_freeze": (VOID, [PTR, PTR]),
    "rt_leave": (VOID, [PTR, PTR]),
}
COUNTING = ("retain", "release", "unref", "freeze")
OBJECTS = 4096  # pointers below are null or records without fields: nothing to count


class Symbol(ll.values.Value):
    """A function or a global as an opaque pointer."""

    type = PTR

    def __init__(self, of):
        self.of = of

    def get_reference(self):
        return self.of.get_reference()


class ModuleBuilder:
    def __init__(self, name: str, large: bool = False):
        self.large = large  # are there so many loop nests that each had better be a function of its own?
        self.module = ll.Module(name)
        self.module.triple, self.module.data_layout = jit.machine().triple, str(jit.machine().target_data)
        self.imports: dict[str, int] = {}  # symbols that live at an address of this process
        self.keep: list = []  # what those addresses belong to
        self.constants: dict[str, np.ndarray] = {}  # arrays by the symbol of their elements
        self.errors: list[tuple] = []  # (attributes, dtypes of the values, span) by error id - FIRST_ERROR
        self.functions: dict[Graph, list[ll.Function]] = {}  # its copies, the one that others call in front
        self.helpers: dict = {}
        self.nests: dict = {}  # form -> (function, which of the form's values it takes); see `nests.py`

    def external(self, name: str, fn_type: ll.FunctionType, address: int | None = None) -> ll.Function:
        fn = self.module.globals.get(name)
        if fn is None:
            fn = ll.Function(self.module, fn_type, name)
            if not name.startswith("llvm."):
                fn.attributes.add("nounwind")
        if address is not None:
            self.imports[name] = address
        return fn

    def runtime(self, name: str) -> ll.Function:
        if name in COUNTING:
            return self.helper(name, lambda: getattr(self, "_" + name)())
        result, args = SIGNATURES[name]
        fn = self.external(name, ll.FunctionType(result, args))
        if name in ("rt_alloc", "rt_unique", "rt_reserve"):
            fn.return_value.add_attribute("noalias")
        if name == "rt_poll":  # what a loop reads may stay in registers
            fn.attributes.add("inaccessiblemem_or_argmemonly")
            fn.attributes.add("cold")
        return fn

    def helper(self, key, make):
        """The helper function for `key`, made on first use."""
        if key not in self.helpers:
            self.helpers[key] = make()
        return self.helpers[key]

    def internal(self, name: str, result: ll.Type, args) -> tuple[ll.Function, ll.IRBuilder]:
        fn = ll.Function(self.module, ll.FunctionType(result, list(args)), self.module.get_unique_name(name))
        fn.linkage = "internal"
        fn.attributes.add("nounwind")
        return fn, ll.IRBuilder(fn.append_basic_block())

    # Each visits one pointer to a counted object, if it is one.  `release` gives up a reference; `freeze` does so for a
    # record that leaves the call, with its arena as the first argument; `unref` does it for what an object
    # that is being freed or frozen holds, and links what nobody else holds into the worklist, its first argument.
    def _retain(self):
        fn, b = self.internal("retain", VOID, [PTR, PTR])
        _, obj = fn.args
        with b.if_then(b.icmp_unsigned(">", b.ptrtoint(obj, I64), i64(OBJECTS))):
            b.store(b.add(b.load(obj, typ=I64), i64(1)), obj)
        b.ret_void()
        return fn

    def _unref(self):
        fn, b = self.internal("unref", VOID, [PTR, PTR])
        worklist, obj = fn.args
        with b.if_then(b.icmp_unsigned(">", b.ptrtoint(obj, I64), i64(OBJECTS))):
            rc = b.load(obj, typ=I64)
            with b.if_else(b.icmp_unsigned("==", rc, i64(1))) as (last, shared):
                with last:
                    b.store(b.load(worklist, typ=PTR), obj)
                    b.store(obj, worklist)
                with shared:
                    b.store(b.sub(rc, i64(1)), obj)
        b.ret_void()
        return fn

    def _release(self):
        return self._last("release", "rt_free")

    def _freeze(self):
        return self._last("freeze", "rt_freeze")

    def _last(self, name: str, runtime: str):
        """Give up a reference; the last one is for `runtime(first argument, object)`."""
        fn, b = self.internal(name, VOID, [PTR, PTR])
        if self.large:  # there are calls by the thousand
            fn.attributes.add("noinline")
        ctx, obj = fn.args
        with b.if_then(b.icmp_unsigned(">", b.ptrtoint(obj, I64), i64(OBJECTS))):
            rc = b.load(obj, typ=I64)
            with b.if_else(b.icmp_unsigned("==", rc, i64(1))) as (last, shared):
                with last:
                    b.call(self.runtime(runtime), [ctx, obj])
                with shared:
                    b.store(b.sub(rc, i64(1)), obj)
        b.ret_void()
        return fn

    def constant_data(self, value, t: Array):
        """A pointer to the elements of a constant array, which the program keeps alive."""
        a = np.ascontiguousarray(value, NUMPY[t.dtype])
        name = f"const.{len(self.constants)}"
        self.constants[name] = a
        g = ll.GlobalVariable(self.module, element(t), name)
        g.global_constant = True
        return Symbol(g)
