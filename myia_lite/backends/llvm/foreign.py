"""Calls of functions from outside the program: of C functions directly, of Python ones by way of `rt_python`.

Arguments and results lie in slots of 8 bytes, as at the boundary of a program: a number is one; an array argument its
data pointer and all dims, an array result the object that holds it and all dims.
"""

from __future__ import annotations

import ctypes
import struct

import llvmlite.ir as ll
import numpy as np

from ...ir import Apply, Array, element_types
from ...ops.define import NUMPY_DTYPES
from ...ops.foreign import External
from . import loader, runtime
from .layout import I1, I8, I64, PTR, REGISTER, ArrayValue, i64
from .memory_layout import CONTEXT_VALUES, DATA
from .module import Symbol

# rt_python(context, arguments, results, callable, error) calls callable(context, arguments, results) with Python's
# lock.  What it raises is kept in the context as the values of the error: type, value, traceback.
_TEXT = f"""
declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare ptr @PyLong_FromVoidPtr(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @PyErr_Fetch(ptr, ptr, ptr)
declare void @Py_DecRef(ptr)

define i64 @rt_python(ptr %ctx, ptr %args, ptr %results, ptr %callable, i64 %error) {{
entry:
  %given = alloca [3 x ptr]
  %g1 = getelementptr i8, ptr %given, i64 8
  %g2 = getelementptr i8, ptr %given, i64 16
  %state = call i32 @PyGILState_Ensure()
  %a = call ptr @PyLong_FromVoidPtr(ptr %ctx)
  %b = call ptr @PyLong_FromVoidPtr(ptr %args)
  %c = call ptr @PyLong_FromVoidPtr(ptr %results)
  store ptr %a, ptr %given
  store ptr %b, ptr %g1
  store ptr %c, ptr %g2
  %out = call ptr @PyObject_Vectorcall(ptr %callable, ptr %given, i64 3, ptr null)
  call void @Py_DecRef(ptr %a)
  call void @Py_DecRef(ptr %b)
  call void @Py_DecRef(ptr %c)
  %raised = icmp eq ptr %out, null
  br i1 %raised, label %bad, label %good
good:
  call void @Py_DecRef(ptr %out)
  call void @PyGILState_Release(i32 %state)
  ret i64 0
bad:
  %type = getelementptr i8, ptr %ctx, i64 {CONTEXT_VALUES}
  %value = getelementptr i8, ptr %ctx, i64 {CONTEXT_VALUES + 8}
  %traceback = getelementptr i8, ptr %ctx, i64 {CONTEXT_VALUES + 16}
  call void @PyErr_Fetch(ptr %type, ptr %value, ptr %traceback)
  store i64 %error, ptr %ctx
  call void @PyGILState_Release(i32 %state)
  ret i64 1
}}
"""
_API = (
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyLong_FromVoidPtr",
    "PyObject_Vectorcall",
    "PyErr_Fetch",
    "Py_DecRef",
)
_library = None


def _rt_python() -> int:
    """The address of `rt_python`; compiled on first use, under the compiler's lock."""
    global _library
    with loader.LOCK:
        if _library is None:
            imports = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _API}
            _library = loader.link(loader.compiled(_TEXT, 1), imports, ["rt_python"], "foreign")
        return _library["rt_python"]


def lower(ctx, node: Apply):
    """The value of a `foreign` node; its arguments are borrowed."""
    f = node.attrs["function"]
    outs = _native(ctx, node, f) if f.native is not None else _python(ctx, node, f)
    return outs[0] if f.single else tuple(outs)


# ---- Python functions ------------------------------------------------------------------------------------------------
def _python(ctx, node: Apply, f: External) -> list:
    b, module, at = ctx.b, ctx.module, 0
    results = element_types(node.type)
    memory = ctx.alloca(ll.ArrayType(I64, sum(map(_slots, (*(a.type for a in node.args), *results)))), "slots")
    for a in node.args:
        x = ctx.value(a)
        if isinstance(a.type, Array):
            ctx.store(x.data, memory, 8 * at)
            for k, d in enumerate(x.dims):
                ctx.store(d, memory, 8 * (at + 1 + k))
        else:
            ctx.store(b.zext(x, I64) if a.type.dtype == "bool" else x, memory, 8 * at)
        at += _slots(a.type)
    out = ctx.offset(memory, 8 * at)
    callback = Callback(f)
    module.keep.append(callback)
    name = f"python.{len(module.keep)}"
    module.imports[name] = id(callback)
    target = ll.GlobalVariable(module.module, I8, name)
    run = ctx.external("rt_python", ll.FunctionType(I64, [PTR, PTR, PTR, PTR, I64]), _rt_python())
    error = ctx.outside_error(node.span)
    failed = b.call(run, [ctx.context, memory, out, Symbol(target), error])
    ctx.check(b.icmp_unsigned("==", failed, i64(0)))
    return _read(ctx, out, results)


def _read(ctx, memory, types) -> list:
    """The results in their slots."""
    outs, at = [], 0
    for t in types:
        if isinstance(t, Array):
            obj = ctx.load(memory, 8 * at, PTR)
            dims = tuple(
                i64(d) if d is not None else ctx.load(memory, 8 * (at + 1 + k), I64) for k, d in enumerate(t.shape)
            )
            outs.append(ArrayValue(obj, ctx.offset(obj, DATA), dims, t))
        elif t.dtype == "bool":
            outs.append(ctx.b.icmp_unsigned("!=", ctx.load(memory, 8 * at, I8), ll.Constant(I8, 0)))
        else:
            outs.append(ctx.load(memory, 8 * at, REGISTER[t.dtype]))
        at += _slots(t)
    return outs


def _slots(t) -> int:
    return 1 + t.rank if isinstance(t, Array) else 1


class Callback:
    """What `rt_python` calls: from slots to the function's arguments, and from its results to slots."""

    def __init__(self, f: External):
        self.function = f
        self.read, self.write = _struct(f.args), _struct(f.results)
        self.block = ctypes.c_char * (self.read.size + self.write.size)  # the results' slots come after the arguments'
        self.made = any(d.dims for d in f.results)
        self.alloc = ctypes.PYFUNCTYPE(
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
        )(runtime.addresses()["rt_alloc"])

    def __call__(self, context: int, args: int, results: int) -> None:
        f, block = self.function, self.block.from_address(args)
        values = self.read.unpack_from(block)
        if f.arrays:
            values = _with_arrays(f.args, values)
        outs = f.run(*values)
        if self.made:
            outs = [x for v in outs for x in (self._held(context, v) if isinstance(v, np.ndarray) else (v,))]
        self.write.pack_into(block, self.read.size, *outs)

    def _held(self, context: int, v: np.ndarray):
        """A result as an object of the running program."""
        obj = self.alloc(context, v.nbytes, DATA, None)
        if not obj:
            raise MemoryError("out of memory in compiled code")
        ctypes.memmove(obj + DATA, v.ctypes.data, v.nbytes)
        return obj, *v.shape


def _struct(declared) -> struct.Struct:
    """The layout of slots."""
    return struct.Struct("=" + "".join("q" * (1 + len(d.dims)) if d.dims else _FORMATS[d.dtype] for d in declared))


_FORMATS = {"bool": "?7x", "i32": "i4x", "i64": "q", "f32": "f4x", "f64": "d"}


def _with_arrays(declared, raw) -> list:
    """The arguments in raw slots; of an array a copy."""
    out, rest = [], iter(raw)
    for d in declared:
        if not d.dims:
            out.append(next(rest))
            continue
        data = next(rest)
        out.append(np.empty([next(rest) for _ in d.dims], NUMPY_DTYPES[d.dtype]))
        ctypes.memmove(out[-1].ctypes.data, data, out[-1].nbytes)
    return out


# ---- C functions -----------------------------------------------------------------------------------------------------
def _native(ctx, node: Apply, f: External) -> list:
    b, sizes, args, bools = ctx.b, {}, [], []
    for a, d in zip(node.args, f.args, strict=True):
        x = ctx.value(a)
        if isinstance(a.type, Array):
            args.append(x.data)
            for n, name in zip(x.dims, d.dims, strict=True):
                if not isinstance(name, int):
                    args.append(n)
                    sizes.setdefault(name, n)
        else:
            bools += [len(args)] if a.type.dtype == "bool" else []
            args.append(x)
    outs, memory = [], []
    for d, t in zip(f.results, element_types(node.type), strict=True) if f.returns is None else ():
        if isinstance(t, Array):
            dims = [i64(n) if isinstance(n, int) else sizes[n] for n in d.dims]
            outs.append(ctx.new_array(t, dims))
            args += [outs[-1].data, *(sizes[n] for n in d.dims if not isinstance(n, int))]
        else:
            place = ctx.alloca(I64)
            memory.append((len(outs), place, t))
            outs.append(None)
            args.append(place)
    result = ll.VoidType() if f.returns is None else REGISTER[f.returns.dtype]
    types = [x.type for x in args]
    name = f"c.{f.__name__}.{f.native:x}.{'.'.join(map(str, (result, *types)))}"  # it may be declared in several ways
    target = ctx.external(name, ll.FunctionType(result, types), f.native)
    for k in bools:
        target.args[k].add_attribute("zeroext")
    if result is I1:
        target.return_value.add_attribute("zeroext")
    out = b.call(target, args)
    if f.returns is not None:
        return [out]
    for k, place, t in memory:
        if t.dtype == "bool":
            outs[k] = b.icmp_unsigned("!=", b.load(place, typ=I8), ll.Constant(I8, 0))
        else:
            outs[k] = b.load(place, typ=REGISTER[t.dtype])
    return outs
