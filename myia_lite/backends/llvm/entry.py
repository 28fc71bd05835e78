"""The way in from Python without Python: a built-in function, itself machine code, for programs of flat signature.

It checks the types of its arguments, reads them out of the objects, runs the program and makes the result. Whatever
it does not take as it stands (keywords, other types or layouts, an int beyond 64 bits) goes to the fallback, a Python
callable.
Kinds: "float", "int", "bool" for Python's own; "scalar" for a NumPy scalar, "array" for an array, of the IR type's
dtype.
"""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from ...ir import Array, Scalar
from . import jit, runtime
from .layout import DATA, ITEMSIZE
from .program import NUMPY, Program, slots_of

PYTHON = {"float": "f64", "int": "i64", "bool": "bool"}
MEMORY = {"bool": "i8", "i32": "i32", "i64": "i64", "f32": "float", "f64": "double"}
WORK = 1 << 12  # from as many elements in its arguments on a program without loops runs without the GIL
SMALL = 1 << 16  # results up to so many bytes are copied into memory of NumPy's, larger ones handed over
API = [
    "PyFloat_FromDouble",
    "PyLong_FromLongLong",
    "PyLong_AsLongLongAndOverflow",
    "PyBool_FromLong",
    "PyObject_Vectorcall",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyCapsule_New",
    "Py_IncRef",
    "Py_DecRef",
]
NUMPY_API = {"PyArray_Scalar": 60, "PyArray_NewFromDescr": 94, "PyArray_SetBaseObject": 282}
# offsets in objects: of a float, an ndarray, a tuple
TYPE, VALUE, NDIM, DIMS, DESCR, FLAGS, ITEM = 8, 16, 24, 32, 56, 64, 24


class _MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("meth", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


FASTCALL_KEYWORDS = 0x80 | 0x2


@functools.cache
def supported() -> bool:
    """Do objects lie in memory as this file believes?  (Not in a debug build, nor on an interpreter other
    than CPython.)"""
    if object.__basicsize__ != 16 or not hasattr(ctypes.pythonapi, "PyObject_Vectorcall"):
        return False

    def at(x, offset, kind):
        return kind.from_address(id(x) + offset).value

    pointer, pair = ctypes.c_void_p, (1.5, "x")
    a = np.zeros((3, 5), np.float32)
    return (
        at(2.5, TYPE, pointer) == id(float)
        and at(2.5, VALUE, ctypes.c_double) == 2.5
        and all(at(NUMPY[d].type(1), VALUE, k) == 1 for d, k in _CTYPES.items())
        and [at(pair, ITEM + 8 * k, pointer) for k in (0, 1)] == [id(x) for x in pair]
        and at(a, VALUE, pointer) == a.ctypes.data
        and at(a, NDIM, ctypes.c_int) == 2
        and [ctypes.c_int64.from_address(at(a, DIMS, pointer) + 8 * k).value for k in (0, 1)] == [3, 5]
        and at(a, DESCR, pointer) == id(NUMPY["f32"])
        and at(a, FLAGS, ctypes.c_int) & 0x501 == 0x501
        and at(a.T, FLAGS, ctypes.c_int) & 0x501 == 0x500
    )


_CTYPES = {"f64": ctypes.c_double, "f32": ctypes.c_float, "i64": ctypes.c_int64, "i32": ctypes.c_int32}


@functools.cache
def _api() -> dict[str, int]:
    found = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in API}
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    table = ctypes.cast(get(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    found.update((name, table[k]) for name, k in NUMPY_API.items())
    objects = {
        "ty_float": float,
        "ty_int": int,
        "ty_array": np.ndarray,
        "py_True": True,
        "py_False": False,
        "py_None": None,
    }
    objects |= {"np_True": np.True_, "np_False": np.False_}
    for d, dtype in NUMPY.items():
        objects[f"descr_{d}"], objects[f"ty_{d}"] = dtype, dtype.type
    found.update((name, id(x)) for name, x in objects.items())
    return found


def native_entry(program: Program, python_types, result_kind, fallback, name: str = "compiled"):
    """A built-in function that calls `program`, or None where its signature has no native form.

    `python_types` has the kind of each parameter; `result_kind` is a kind, a tuple of kinds (the result is a
    tuple), or None.
    """
    if not supported():
        return None
    kinds = ["array" if not isinstance(k, str) else k for k in python_types]
    results = list(result_kind) if isinstance(result_kind, tuple) else [] if result_kind is None else [result_kind]
    fits = [*zip(kinds, program.params, strict=True), *zip(results, program.results, strict=True)]
    if not all(_fits(k, t) for k, t in fits):
        return None
    text = _Entry(program, kinds, results, result_kind).text()
    with jit.LOCK:
        imports = {**_api(), "run": program.address}
        imports.update((s, a) for s, a in runtime.addresses().items() if s in ("rt_dispose", "rt_capsule_dispose"))
        library = jit.link(jit.optimise(jit.parse(text), 1), imports, ["entry"], "entry")
    method = _MethodDef(name.encode(), library["entry"], FASTCALL_KEYWORDS, None)
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    make = new(("PyCFunction_NewEx", ctypes.pythonapi))
    # the tuple keeps alive what the function needs; a method object reads its PyMethodDef before it drops its `self`
    return make(ctypes.addressof(method), (fallback, program.fail, method, library), None)


def _fits(kind: str, t) -> bool:
    if kind == "array":
        return isinstance(t, Array)
    return isinstance(t, Scalar) and (kind == "scalar" or PYTHON.get(kind) == t.dtype)


class _Entry:
    """The text of the function."""

    def __init__(self, program: Program, kinds, results, shape):
        self.program, self.kinds, self.results, self.shape = program, kinds, results, shape
        self.lines: list[str] = []
        self.count = 0

    def let(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def label(self) -> str:
        self.count += 1
        return f"b{self.count}"

    def at(self, pointer: str, offset) -> str:
        return self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def load(self, t: str, pointer: str, offset) -> str:
        return self.let(f"load {t}, ptr {self.at(pointer, offset)}")

    def put(self, t: str, value: str, slot: int) -> None:
        self.do(f"store {t} {value}, ptr {self.at('%a', 8 * slot)}")

    def require(self, condition: str) -> None:
        """Else let Python do it."""
        go = self.label()
        self.do(f"br i1 {condition}, label %{go}, label %slow")
        self.lines.append(f"{go}:")

    def equal(self, t: str, a: str, b) -> None:
        self.require(self.let(f"icmp eq {t} {a}, {b}"))

    def text(self) -> str:
        p = self.program
        n, slots = len(self.kinds), sum(map(slots_of, p.params))
        self.do(f"%a = alloca [{max(slots, 1)} x i64], align 16")
        self.do(f"%r = alloca [{max(sum(map(slots_of, p.results)), 4) + 1} x i64], align 16")
        self.do("%overflow = alloca i32")
        self.equal("i64", "%nargs", n)
        self.equal("ptr", "%kw", "null")
        sizes, slot = [], 0
        for k, (kind, t) in enumerate(zip(self.kinds, p.params, strict=True)):
            x = self.load("ptr", "%args", 8 * k)
            getattr(self, f"read_{kind}")(x, t, slot, sizes)
            slot += slots_of(t)
        self.run(sizes)
        self.finish()
        return _MODULE + "\n".join(self.lines) + _SLOW

    # ---- arguments ---------------------------------------------------------------------------------------------------
    def of_type(self, x: str, name: str) -> None:
        self.equal("ptr", self.load("ptr", x, TYPE), f"@{name}")

    def read_float(self, x, t, slot, sizes):
        self.of_type(x, "ty_float")
        self.put("double", self.load("double", x, VALUE), slot)

    def read_int(self, x, t, slot, sizes):
        self.of_type(x, "ty_int")
        value = self.let(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {x}, ptr %overflow)")
        self.equal("i32", self.let("load i32, ptr %overflow"), 0)
        self.put("i64", value, slot)

    def read_bool(self, x, t, slot, sizes, namespace="py"):
        true = self.let(f"icmp eq ptr {x}, @{namespace}_True")
        false = self.let(f"icmp eq ptr {x}, @{namespace}_False")
        self.require(self.let(f"or i1 {true}, {false}"))
        self.put("i64", self.let(f"zext i1 {true} to i64"), slot)

    def read_scalar(self, x, t, slot, sizes):
        if t.dtype == "bool":
            self.read_bool(x, t, slot, sizes, "np")
            return
        self.of_type(x, f"ty_{t.dtype}")
        self.put(MEMORY[t.dtype], self.load(MEMORY[t.dtype], x, VALUE), slot)

    def read_array(self, x, t, slot, sizes):
        self.of_type(x, "ty_array")
        self.equal("i32", self.load("i32", x, NDIM), t.rank)
        self.equal("ptr", self.load("ptr", x, DESCR), f"@descr_{t.dtype}")
        self.equal("i32", self.let(f"and i32 {self.load('i32', x, FLAGS)}, 257"), 257)  # C-contiguous and aligned
        self.put("ptr", self.load("ptr", x, VALUE), slot)
        dims, size = self.load("ptr", x, DIMS), "1"
        for k, d in enumerate(t.shape):
            n = self.load("i64", dims, 8 * k)
            if d is not None:
                self.equal("i64", n, d)
            self.put("i64", n, slot + 1 + k)
            size = self.let(f"mul i64 {size}, {n}")
        sizes.append(size)

    # ---- the call ----------------------------------------------------------------------------------------------------
    def run(self, sizes) -> None:
        """Without the GIL where the work may take long."""
        call = "call i64 @run(ptr %a, ptr %r)"
        if not self.program.long and not sizes:
            error = self.let(call)
        elif self.program.long:
            state = self.let("call ptr @PyEval_SaveThread()")
            error = self.let(call)
            self.do(f"call void @PyEval_RestoreThread(ptr {state})")
        else:
            total = functools.reduce(lambda m, n: self.let(f"add i64 {m}, {n}"), sizes)
            free, held, done = self.label(), self.label(), self.label()
            self.do(f"br i1 {self.let(f'icmp sgt i64 {total}, {WORK}')}, label %{free}, label %{held}")
            self.lines.append(f"{free}:")
            state = self.let("call ptr @PyEval_SaveThread()")
            one = self.let(call)
            self.do(f"call void @PyEval_RestoreThread(ptr {state})")
            self.do(f"br label %{done}")
            self.lines.append(f"{held}:")
            two = self.let(call)
            self.do(f"br label %{done}")
            self.lines.append(f"{done}:")
            error = self.let(f"phi i64 [{one}, %{free}], [{two}, %{held}]")
        good = self.label()
        self.do(f"br i1 {self.let(f'icmp eq i64 {error}, 0')}, label %{good}, label %failed")
        self.lines.append("failed:")
        for k, v in enumerate([error, *(self.load("i64", "%r", 8 * k) for k in range(4))]):
            self.do(f"store ptr {self.let(f'call ptr @PyLong_FromLongLong(i64 {v})')}, ptr {self.at('%e', 8 * k)}")
        raiser = self.load("ptr", "%self", ITEM + 8)
        out = self.let(f"call ptr @PyObject_Vectorcall(ptr {raiser}, ptr %e, i64 5, ptr null)")
        for k in range(5):
            self.do(f"call void @Py_DecRef(ptr {self.load('ptr', '%e', 8 * k)})")
        self.do(f"ret ptr {out}")
        self.lines.append(f"{good}:")
        self.lines.insert(0, "  %e = alloca [5 x ptr]")

    # ---- results -----------------------------------------------------------------------------------------------------
    def finish(self) -> None:
        made, slot = [], 0
        for kind, t in zip(self.results, self.program.results, strict=True):
            made.append(getattr(self, f"make_{kind}")(t, slot))
            slot += slots_of(t)
        if self.shape is None:
            self.do("call void @Py_IncRef(ptr @py_None)")
            self.do("ret ptr @py_None")
        elif not isinstance(self.shape, tuple):
            self.do(f"ret ptr {made[0]}")
        else:
            self.tuple(made)

    def tuple(self, made) -> None:
        """A failure to make one of the items has set the exception: drop the others."""
        missing = functools.reduce(
            lambda m, n: self.let(f"or i1 {m}, {n}"), [self.let(f"icmp eq ptr {x}, null") for x in made], "false"
        )
        bad, good, fill = self.label(), self.label(), self.label()
        self.do(f"br i1 {missing}, label %{bad}, label %{good}")
        self.lines.append(f"{good}:")
        out = self.let(f"call ptr @PyTuple_New(i64 {len(made)})")
        self.do(f"br i1 {self.let(f'icmp eq ptr {out}, null')}, label %{bad}, label %{fill}")
        self.lines.append(f"{bad}:")
        for x in made:
            some, next_ = self.label(), self.label()
            self.do(f"br i1 {self.let(f'icmp eq ptr {x}, null')}, label %{next_}, label %{some}")
            self.lines.append(f"{some}:")
            self.do(f"call void @Py_DecRef(ptr {x})")
            self.do(f"br label %{next_}")
            self.lines.append(f"{next_}:")
        self.do("ret ptr null")
        self.lines.append(f"{fill}:")
        for k, x in enumerate(made):
            self.let(f"call i32 @PyTuple_SetItem(ptr {out}, i64 {k}, ptr {x})")
        self.do(f"ret ptr {out}")

    def make_float(self, t, slot):
        return self.let(f"call ptr @PyFloat_FromDouble(double {self.load('double', '%r', 8 * slot)})")

    def make_int(self, t, slot):
        return self.let(f"call ptr @PyLong_FromLongLong(i64 {self.load('i64', '%r', 8 * slot)})")

    def make_bool(self, t, slot):
        return self.let(f"call ptr @PyBool_FromLong(i64 {self.load('i64', '%r', 8 * slot)})")

    def make_scalar(self, t, slot):
        return self.let(f"call ptr @PyArray_Scalar(ptr {self.at('%r', 8 * slot)}, ptr @descr_{t.dtype}, ptr null)")

    def make_array(self, t, slot):
        obj, dims = self.load("ptr", "%r", 8 * slot), self.at("%r", 8 * (slot + 1))
        size = str(ITEMSIZE[t.dtype])
        for k, d in enumerate(t.shape):
            size = self.let(f"mul i64 {size}, {d if d is not None else self.load('i64', dims, 8 * k)}")
        return self.let(f"call ptr @wrap(ptr {obj}, i32 {t.rank}, ptr {dims}, i64 {size}, ptr @descr_{t.dtype})")


_OBJECTS = [
    *("ty_float", "ty_int", "ty_array", "py_True", "py_False", "py_None", "np_True", "np_False"),
    *(f"{kind}_{d}" for d in NUMPY for kind in ("descr", "ty")),
]
_MODULE = (
    "\n".join(f"@{name} = external global i8" for name in _OBJECTS)
    + f"""
declare i64 @run(ptr, ptr)
declare void @rt_dispose(ptr)
declare void @rt_capsule_dispose(ptr)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyArray_Scalar(ptr, ptr, ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare i32 @PyArray_SetBaseObject(ptr, ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; the NumPy array of a result: a copy of a small one, the memory itself of a large one; null with the exception set
define internal ptr @wrap(ptr %obj, i32 %rank, ptr %dims, i64 %bytes, ptr %descr) {{
entry:
  call void @Py_IncRef(ptr %descr)
  %data = getelementptr i8, ptr %obj, i64 {DATA}
  %small = icmp ule i64 %bytes, {SMALL}
  br i1 %small, label %copy, label %adopt
copy:
  %c = call ptr @PyArray_NewFromDescr(ptr @ty_array, ptr %descr, i32 %rank, ptr %dims, ptr null, ptr null,
  i32 0, ptr null)
  %cn = icmp eq ptr %c, null
  br i1 %cn, label %free, label %fill
fill:
  %to = getelementptr i8, ptr %c, i64 {VALUE}
  %t = load ptr, ptr %to
  call void @llvm.memcpy.p0.p0.i64(ptr %t, ptr %data, i64 %bytes, i1 false)
  br label %free
free:
  call void @rt_dispose(ptr %obj)
  ret ptr %c
adopt:
  %a = call ptr @PyArray_NewFromDescr(ptr @ty_array, ptr %descr, i32 %rank, ptr %dims, ptr null, ptr %data,
  i32 1281, ptr null)
  %an = icmp eq ptr %a, null
  br i1 %an, label %no, label %own
own:
  %capsule = call ptr @PyCapsule_New(ptr %obj, ptr null, ptr @rt_capsule_dispose)
  %kn = icmp eq ptr %capsule, null
  br i1 %kn, label %drop, label %base
base:
  %s = call i32 @PyArray_SetBaseObject(ptr %a, ptr %capsule)
  %bad = icmp ne i32 %s, 0
  br i1 %bad, label %lost, label %done
done:
  ret ptr %a
lost:
  call void @Py_DecRef(ptr %a)
  ret ptr null
drop:
  call void @Py_DecRef(ptr %a)
  br label %no
no:
  call void @rt_dispose(ptr %obj)
  ret ptr null
}}

define ptr @entry(ptr %self, ptr %args, i64 %nargs, ptr %kw) {{
"""
)
_SLOW = f"""
slow:
  %fp = getelementptr i8, ptr %self, i64 {ITEM}
  %fallback = load ptr, ptr %fp
  %s = tail call ptr @PyObject_Vectorcall(ptr %fallback, ptr %args, i64 %nargs, ptr %kw)
  ret ptr %s
}}
"""
