"""The way in from Python without Python: a built-in function, itself machine code, for a compiled program.

It checks that what was built into the program is still so, takes its arguments apart, runs the program and makes the
result.  Whatever it does not take as it stands (other types or layouts, an int beyond 64 bits) goes to the next way in.
"""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np

from ...ir import Array, Residual, Scalar
from . import loader, references, runtime
from .leaves import PLACED, PYTHON, Arguments, Results
from .memory_layout import DATA, OUTSIDE
from .native import Program, Record, slots_of
from .objects import ITEM, ITEMS, VALUE, Code, Form, leaves_of, supported

WORK = 1 << 15  # bytes of the arguments of unknown size from which on a program runs without the GIL
FASTCALL_KEYWORDS = 0x80 | 0x2
API = {
    "PyFloat_FromDouble": "ptr (double)",
    "PyComplex_FromDoubles": "ptr (double, double)",
    "PyLong_FromLongLong": "ptr (i64)",
    "PyLong_AsLongLongAndOverflow": "i64 (ptr, ptr)",
    "PyBool_FromLong": "ptr (i64)",
    "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)",
    "PyObject_GetAttr": "ptr (ptr, ptr)",
    "PyObject_GenericSetAttr": "i32 (ptr, ptr, ptr)",
    "PyType_GenericAlloc": "ptr (ptr, i64)",
    "PyTuple_New": "ptr (i64)",
    "PyList_New": "ptr (i64)",
    "PyDict_New": "ptr ()",
    "PyDict_SetItem": "i32 (ptr, ptr, ptr)",
    "PyDict_GetItem": "ptr (ptr, ptr)",
    "PyDict_Next": "i32 (ptr, ptr, ptr, ptr)",
    "PyUnicode_Compare": "i32 (ptr, ptr)",
    "PyEval_SaveThread": "ptr ()",
    "PyEval_RestoreThread": "void (ptr)",
    "PyCapsule_New": "ptr (ptr, ptr, ptr)",
    "PyErr_Clear": "void ()",
    "Py_IncRef": "void (ptr)",
    "Py_DecRef": "void (ptr)",
    **references.IMPORTS,
}
NUMPY_API = {  # position in NumPy's table of functions, signature
    "PyArray_Scalar": (60, "ptr (ptr, ptr, ptr)"),
    "PyArray_NewFromDescr": (94, "ptr (ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)"),
    "PyArray_SetBaseObject": (282, "i32 (ptr, ptr)"),
}


class _MethodDef(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("meth", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


@functools.cache
def _api() -> dict[str, int]:
    found = {name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in API}
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    table = ctypes.cast(get(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return found | {name: table[k] for name, (k, _) in NUMPY_API.items()}


def native_entry(
    program: Program,
    arguments,
    result,
    otherwise,
    name="compiled",
    keywords=(),
    captured=(),
    watched=(),
    test=None,
    fixed=True,
):
    """A built-in function that calls `program`, or None where its signature has no native form.

    arguments: the form of each argument; the last are called by `keywords`.  result: the form of the result; a tuple
    stands for a tuple, None for None.  captured: arrays that the last parameters of the program are taken from.
    watched: what was built into the program, as ("cell", a closure cell, its contents) or ("global", a dict, a name,
    its value); `test()` says whether all else is unchanged.
    otherwise: a list of one callable, which takes the calls that do not fit.  Not `fixed`: it also takes arrays with an
    open size of 0 or 1, and calls that end in an error.
    """
    if not supported():
        return None
    result = Form("is") if result is None else Form("tuple", result) if isinstance(result, tuple) else result
    kinds = [k for a in arguments for k in leaves_of(a)] + ["array"] * len(captured)
    fits = [*zip(kinds, program.params, strict=True), *zip(leaves_of(result), program.results, strict=True)]
    if not all(_fits(k, t) for k, t in fits):
        return None
    entry = _Entry(program, arguments, result, tuple(map(sys.intern, keywords)), captured, watched, test, fixed)
    text = entry.text()
    held = [thing for _, thing in entry.objects.values()]
    with loader.LOCK:
        imports = {**_api(), **{symbol: id(thing) for symbol, thing in entry.objects.values()}, "run": program.address}
        imports.update((s, a) for s, a in runtime.addresses().items() if s in ("rt_dispose", "rt_capsule_dispose"))
        library = loader.link(loader.compiled(text, 1), imports, ["entry"], "entry")
    method = _MethodDef(name.encode(), library["entry"], FASTCALL_KEYWORDS, None)
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    make = new(("PyCFunction_NewEx", ctypes.pythonapi))
    # the tuple keeps alive what the function needs; a method object reads its PyMethodDef before it drops its `self`
    return make(ctypes.addressof(method), (otherwise, program.fail, method, library, held), None)


def vectorcall() -> int | None:
    """The address of a C function through which a call of a `NativeCallable` reaches the entry in its slot."""
    return runtime.addresses()["rt_vectorcall"] if supported() else None


def _fits(kind: str, t) -> bool:
    if kind in ("array", "record"):
        return isinstance(t, Array if kind == "array" else Residual)
    return isinstance(t, Scalar) and (kind in ("scalar", "zero") or PYTHON.get(kind) == t.dtype)


class _Entry(Code):
    """The text of the function."""

    def __init__(self, program: Program, arguments, result, keywords, captured, watched, test, fixed):
        super().__init__()
        self.program, self.forms, self.keywords = program, arguments, keywords
        self.captured, self.watched, self.test, self.fixed = captured, watched, test, fixed
        self.given = Arguments(self, program.params, fixed)
        record = functools.partial(Record, keep=program)
        self.results = Results(self, result, program.results, record)

    def text(self) -> str:
        p = self.program
        self.results.reserve()
        self._count_arguments()
        self._watch()
        for k, form in enumerate(self.forms):
            self.given.read(form, self.load("ptr", "%args", 8 * k))
        for array in self.captured:
            self.given.read("array", self.hold(array))
        self._out()
        self.results.place()
        self._run()
        self.results.collect()
        x, slot = self.results.make()
        self.do(f"store ptr null, ptr {slot}")
        self.give_up("held", "made")
        self.do(f"ret ptr {x}")
        self._otherwise()
        sizes = [max(n, 1) for n in (sum(map(slots_of, p.params)), max(map(slots_of, p.results), default=1))]
        room = [
            f"  %a = alloca [{sizes[0]} x i64], align 16",
            f"  %r = alloca [{max(sum(map(slots_of, p.results)), 4) + 2} x i64], align 16",
            f"  %dims = alloca [{sizes[1]} x i64]",
            "  %e = alloca [8 x ptr]",
            "  %overflow = alloca i32",
            *(f"  %{name} = alloca i64" for name in ("position", "key", "value")),
        ]
        lines = [*self.allocas(), *room, *self.lines]
        objects = "".join(f"@{symbol} = external global i8\n" for symbol, _ in self.objects.values())
        wrap = WRAP.replace("@ty_array", self.hold(np.ndarray))
        before = f"{objects}{DECLARED}{references.text()}{ASIDE}{wrap}"
        return "\n".join([before, "define ptr @entry(ptr %self, ptr %args, i64 %nargs, ptr %kw) {", *lines, "}"])

    def _count_arguments(self) -> None:
        """As many as there are, called by the same names in the same order; `%out` is then null, or one more."""
        positional, names = len(self.forms) - len(self.keywords), self.keywords
        self.hold(np.ndarray)
        self.equal("i64", "%nargs", positional)
        if not names and not self.results.writable:
            self.equal("ptr", "%kw", "null")
            return
        some, none, join = self.label(), self.label(), self.label()
        self.branch(self.is_("ptr", "%kw", "null"), none, some)
        self.start(none)
        self.do(f"br label %{'slow' if names else join}")
        self.start(some)
        n = self.load("i64", "%kw", VALUE)
        for k, name in enumerate(names):
            if k == 0:
                self.require(self.let(f"icmp uge i64 {n}, {len(names)}"))
            self.equal("ptr", self.load("ptr", "%kw", ITEM + 8 * k), self.hold(name))
        ends = [] if names else [("null", none)]
        if self.results.writable:
            more, end = self.label(), self.label()
            if names:
                self.branch(self.is_("i64", n, len(names)), end, more)
                ends.append(("null", end))
                self.start(end)
                self.do(f"br label %{join}")
            else:
                self.do(f"br label %{more}")
            self.start(more)
            self.equal("i64", n, len(names) + 1)
            self.equal("ptr", self.load("ptr", "%kw", ITEM + 8 * len(names)), self.hold("out"))
            out, last = self.load("ptr", "%args", 8 * len(self.forms)), self.label()
            self.do(f"br label %{last}")
            self.start(last)
            self.do(f"br label %{join}")
            ends.append((out, last))
        else:
            self.equal("i64", n, len(names))
            last = self.label()
            self.do(f"br label %{last}")
            self.start(last)
            self.do(f"br label %{join}")
            ends.append(("null", last))
        self.start(join)
        incoming = ", ".join(f"[{x}, %{label}]" for x, label in ends)
        self.lines.append(f"  %out = phi ptr {incoming}")

    def _watch(self) -> None:
        for kind, owner, *rest in self.watched:
            if kind == "cell":
                now = self.load("ptr", self.hold(owner), VALUE)
            else:
                now = self.let(f"call ptr @PyDict_GetItem(ptr {self.hold(owner)}, ptr {self.hold(rest[0])})")
            self.equal("ptr", now, self.hold(rest[-1]))
        if self.test is not None:
            x, slot = self.call_python(self.test)
            self.equal("ptr", x, self.hold(True))
            self.do(f"call void @dec(ptr {x})")
            self.do(f"store ptr null, ptr {slot}")

    def _out(self) -> None:
        if not self.results.writable:
            return
        none, some, done = self.label(), self.label(), self.label()
        self.branch(self.is_("ptr", "%out", "null"), none, some)
        self.start(none)
        self.do(f"br label %{done}")
        self.start(some)
        self.results.take("%out", self.given)
        self.do(f"br label %{done}")
        self.start(done)

    def _run(self) -> None:
        """Without the GIL where the work may take long."""
        call = "call i64 @run(ptr %a, ptr %r)"
        unknown = [(a, n) for (_, a, n) in self.given.arrays if n is None]
        if self.program.long:
            error = self._released(call)
        elif not unknown:
            error = self.let(call)
        else:
            total = functools.reduce(lambda m, n: self.let(f"add i64 {m}, {n}"), [a for a, _ in unknown])
            free, held, done = self.label(), self.label(), self.label()
            self.branch(self.let(f"icmp sgt i64 {total}, {WORK}"), free, held)
            self.start(free)
            one = self._released(call)
            self.do(f"br label %{done}")
            self.start(held)
            two = self.let(call)
            self.do(f"br label %{done}")
            self.start(done)
            error = self.let(f"phi i64 [{one}, %{free}], [{two}, %{held}]")
        good, bad = self.label(), self.label()
        if self.fixed:
            self.branch(self.is_("i64", error, 0), good, bad)
        else:  # what Python raised is not asked for again
            any_ = self.label()
            self.branch(self.is_("i64", error, 0), good, any_)
            self.start(any_)
            self.branch(self.let(f"icmp sge i64 {error}, {OUTSIDE}"), bad, "slow")
        self.start(bad)
        self.do(f"call void @fail(ptr %self, i64 {error}, ptr %r)")
        self.do("br label %failed")
        self.start(good)

    def _released(self, call: str) -> str:
        state = self.let("call ptr @PyEval_SaveThread()")
        error = self.let(call)
        self.do(f"call void @PyEval_RestoreThread(ptr {state})")
        return error

    def _otherwise(self) -> None:
        self.start("slow")
        self.give_up("held", "made")
        self.do(f"ret ptr {self.let('tail call ptr @otherwise(ptr %self, ptr %args, i64 %nargs, ptr %kw)')}")
        self.start("failed")
        self.give_up("held", "made")
        self.do("ret ptr null")


def _declared(name: str, signature: str) -> str:
    result, _, args = signature.partition(" ")
    return f"declare {result} @{name}{args}"


DECLARED = "\n".join(
    [
        *(_declared(name, signature) for name, signature in API.items()),
        *(_declared(name, signature) for name, (_, signature) in NUMPY_API.items()),
        "declare i64 @run(ptr, ptr)",
        "declare void @rt_dispose(ptr)",
        "declare void @rt_capsule_dispose(ptr)",
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        "",
    ]
)
ASIDE = f"""
; what is rare stands aside, so that a call that fits saves no registers for it

; the exception of an error, made in Python
define internal void @fail(ptr %self, i64 %error, ptr %r) cold noinline {{
entry:
  %e = alloca [5 x ptr]
  %code = call ptr @PyLong_FromLongLong(i64 %error)
  store ptr %code, ptr %e
  br label %make
make:
  %k = phi i64 [0, %entry], [%k1, %make]
  %vp = getelementptr i64, ptr %r, i64 %k
  %v = load i64, ptr %vp
  %x = call ptr @PyLong_FromLongLong(i64 %v)
  %k1 = add i64 %k, 1
  %xp = getelementptr ptr, ptr %e, i64 %k1
  store ptr %x, ptr %xp
  %more = icmp ult i64 %k1, 4
  br i1 %more, label %make, label %raise
raise:
  %fp = getelementptr i8, ptr %self, i64 {ITEM + 8}
  %f = load ptr, ptr %fp
  %none = call ptr @PyObject_Vectorcall(ptr %f, ptr %e, i64 5, ptr null)
  br label %drop
drop:
  %j = phi i64 [0, %raise], [%j1, %drop]
  %yp = getelementptr ptr, ptr %e, i64 %j
  %y = load ptr, ptr %yp
  call void @Py_DecRef(ptr %y)
  %j1 = add i64 %j, 1
  %left = icmp ult i64 %j1, 5
  br i1 %left, label %drop, label %done
done:
  ret void
}}

; the next way in
define internal ptr @otherwise(ptr %self, ptr %args, i64 %nargs, ptr %kw) cold noinline {{
  %ways = getelementptr i8, ptr %self, i64 {ITEM}
  %list = load ptr, ptr %ways
  %items = getelementptr i8, ptr %list, i64 {ITEMS}
  %first = load ptr, ptr %items
  %next = load ptr, ptr %first
  call void @Py_IncRef(ptr %next)
  %x = call ptr @PyObject_Vectorcall(ptr %next, ptr %args, i64 %nargs, ptr %kw)
  call void @Py_DecRef(ptr %next)
  ret ptr %x
}}
"""
WRAP = f"""
; the NumPy array of a result: a copy of a small one, the memory itself of a large one; null with the exception set
define internal ptr @wrap(ptr %obj, i32 %rank, ptr %dims, i64 %bytes, ptr %descr) {{
entry:
  call void @Py_IncRef(ptr %descr)
  %data = getelementptr i8, ptr %obj, i64 {DATA}
  %small = icmp ule i64 %bytes, {PLACED}
  br i1 %small, label %copy, label %adopt
copy:
  %c = call ptr @PyArray_NewFromDescr(ptr @ty_array, ptr %descr, i32 %rank, ptr %dims, ptr null, ptr null, i32 0,
  ptr null)
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
  %a = call ptr @PyArray_NewFromDescr(ptr @ty_array, ptr %descr, i32 %rank, ptr %dims, ptr null, ptr %data, i32 1281,
  ptr null)
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
"""
