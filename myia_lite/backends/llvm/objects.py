"""Python objects in machine code: text of LLVM IR that takes arguments apart into leaves and makes results of them.

A *form* says how an object is built: a string for a leaf ("float", "int", "bool" for Python's own, "scalar" for a NumPy
scalar, "array" for an array and "zero" for one without axes, of the IR type's dtype; "record" for a record of a forward
pass: as an argument its address), a `Form` for a structure.
An object that does not have its form goes to the label `slow`; where making one fails, the exception is set and the
code goes to `failed`.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .native import NUMPY

# offsets in objects: of a float, an ndarray, a variable-sized object, a tuple, a list
TYPE, VALUE, NDIM, DIMS, DESCR, FLAGS, SIZE, ITEM, ITEMS = 8, 16, 24, 32, 56, 64, 16, tuple.__basicsize__, 24
CONTIGUOUS, WRITEABLE = 0x101, 0x501  # flags: C-contiguous and aligned; and writeable


@dataclass(frozen=True, eq=False)
class Form:
    """How a structure is built of `items`.

    kind: "tuple", "list"; "dict" with the keys `of`; "named", a named tuple of class `of[0]`, made by `of[1](items)`;
    "fields", a record of class `of[0]` with fields named `of[1]`; "is", the very object `of`; "complex", a Python
    complex number; "parts": an object of type `of[0]` (and dtype `of[1]`, if not None), which `of[2](x)` takes apart
    into a tuple and `of[3](*items)` makes.
    """

    kind: str
    items: tuple = ()
    of: object = None


def leaves_of(form) -> Iterator[str]:
    if isinstance(form, str):
        yield form
    else:
        for i in form.items:
            yield from leaves_of(i)


def kinds_of(form) -> Iterator[str]:
    """The kinds of the structures in a form."""
    if not isinstance(form, str):
        yield form.kind
        for i in form.items:
            yield from kinds_of(i)


@functools.cache
def supported() -> bool:
    """Do objects lie in memory as this file believes?  (Not in a debug build, nor on an interpreter other
    than CPython.)"""
    if object.__basicsize__ != 16 or not hasattr(ctypes.pythonapi, "PyObject_Vectorcall"):
        return False

    def at(x, offset, kind):
        return kind.from_address(id(x) + offset).value

    pointer, size, pair = ctypes.c_void_p, ctypes.c_ssize_t, (1.5, "x")
    ctype = {"f64": ctypes.c_double, "f32": ctypes.c_float, "i64": ctypes.c_int64, "i32": ctypes.c_int32}
    a, items = np.zeros((3, 5), np.float32), list(pair)
    return (
        at(2.5, TYPE, pointer) == id(float)
        and at(2.5, VALUE, ctypes.c_double) == 2.5
        and [at(1 + 2j, VALUE + 8 * k, ctypes.c_double) for k in (0, 1)] == [1, 2]
        and all(at(NUMPY[d].type(1), VALUE, k) == 1 for d, k in ctype.items())
        and [at(x, SIZE, size) for x in (pair, items, {1: 1, 2: 2})] == [2, 2, 2]
        and [at(pair, ITEM + 8 * k, pointer) for k in (0, 1)] == [id(x) for x in pair]
        and [pointer.from_address(at(items, ITEMS, pointer) + 8 * k).value for k in (0, 1)] == [id(x) for x in pair]
        and at(a, VALUE, pointer) == a.ctypes.data
        and at(a, NDIM, ctypes.c_int) == 2
        and [ctypes.c_int64.from_address(at(a, DIMS, pointer) + 8 * k).value for k in (0, 1)] == [3, 5]
        and at(a, DESCR, pointer) == id(NUMPY["f32"])
        and at(a, FLAGS, ctypes.c_int) & WRITEABLE == WRITEABLE
        and at(a.T, FLAGS, ctypes.c_int) & WRITEABLE == 0x500
    )


class Code:
    """Lines of a function under construction.

    References that it owns lie in stack slots, so that `slow` and `failed` can give them up: what was taken out of
    objects that others may change meanwhile (`%held`), and what has been made of the result (`%made`).
    """

    def __init__(self):
        self.lines: list[str] = []
        self.objects: dict[int, tuple[str, object]] = {}
        self.count = self.held = self.made = 0

    # ---- text
    def let(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    def label(self) -> str:
        self.count += 1
        return f"b{self.count}"

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def at(self, pointer: str, offset) -> str:
        return self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def load(self, t: str, pointer: str, offset) -> str:
        return self.let(f"load {t}, ptr {self.at(pointer, offset)}")

    def is_(self, t: str, a: str, b) -> str:
        return self.let(f"icmp eq {t} {a}, {b}")

    def require(self, condition: str) -> None:
        """Else let Python do it."""
        go = self.label()
        self.branch(condition, go, "slow")
        self.start(go)

    def equal(self, t: str, a: str, b) -> None:
        self.require(self.is_(t, a, b))

    def hold(self, thing) -> str:
        """The symbol of an object that the function refers to."""
        if id(thing) not in self.objects:
            self.objects[id(thing)] = (f"o{len(self.objects)}", thing)
        return "@" + self.objects[id(thing)][0]

    # ---- references
    def own(self, x: str, slots: str = "held") -> str:
        """Note an owned reference; the name of its slot."""
        k = getattr(self, slots)
        setattr(self, slots, k + 1)
        self.do(f"store ptr {x}, ptr %{slots}{k}")
        return f"%{slots}{k}"

    def keep(self, x: str) -> None:
        self.do(f"call void @inc(ptr {x})")
        self.own(x)

    def new(self, call: str) -> tuple[str, str]:
        """A new object, or null with the exception set: the object and its slot."""
        x, go = self.let(call), self.label()
        slot = self.own(x, "made")
        self.branch(self.is_("ptr", x, "null"), "failed", go)
        self.start(go)
        return x, slot

    def allocas(self) -> list[str]:
        out = []
        for slots in ("held", "made"):
            for k in range(getattr(self, slots)):
                out += [f"  %{slots}{k} = alloca ptr", f"  store ptr null, ptr %{slots}{k}"]
        return out

    def give_up(self, *which: str) -> None:
        for slots in which:
            for k in range(getattr(self, slots)):
                x = self.let(f"load ptr, ptr %{slots}{k}")
                some, done = self.label(), self.label()
                self.branch(self.is_("ptr", x, "null"), done, some)
                self.start(some)
                self.do(f"call void @dec(ptr {x})")
                self.do(f"br label %{done}")
                self.start(done)

    def call_python(self, function, *args: str) -> tuple[str, str]:
        """A new object, the result of a Python function."""
        for k, a in enumerate(args):
            self.do(f"store ptr {a}, ptr {self.at('%e', 8 * k)}")
        return self.new(f"call ptr @PyObject_Vectorcall(ptr {self.hold(function)}, ptr %e, i64 {len(args)}, ptr null)")

    # ---- structures of arguments
    def of_type(self, x: str, cls) -> None:
        self.equal("ptr", self.load("ptr", x, TYPE), self.hold(cls))

    def items(self, form: Form, x: str) -> Iterator[tuple]:
        """The items of a structure `x`, once it has passed the tests: (form, object, does nobody else keep it?)."""
        getattr(self, f"_enter_{form.kind}", self._enter_tuple)(form, x)
        for k, item in enumerate(form.items):
            yield item, *getattr(self, f"_item_{form.kind}", self._item_tuple)(form, x, k)

    def _enter_tuple(self, form, x):
        self.of_type(x, form.of[0] if form.kind == "named" else tuple)
        self.equal("i64", self.load("i64", x, SIZE), len(form.items))

    def _item_tuple(self, form, x, k):
        return self.load("ptr", x, ITEM + 8 * k), False

    def _enter_list(self, form, x):
        self.of_type(x, list)
        self.equal("i64", self.load("i64", x, SIZE), len(form.items))

    def _item_list(self, form, x, k):
        return self.load("ptr", self.load("ptr", x, ITEMS), 8 * k), True

    def _enter_dict(self, form, x):
        self.of_type(x, dict)
        self.equal("i64", self.load("i64", x, SIZE), len(form.items))
        self.do("store i64 0, ptr %position")

    def _item_dict(self, form, x, k):
        """Keys in the same order."""
        more = self.let(f"call i32 @PyDict_Next(ptr {x}, ptr %position, ptr %key, ptr %value)")
        self.equal("i32", more, 1)
        key, other, same = self.let("load ptr, ptr %key"), self.label(), self.label()
        self.branch(self.is_("ptr", key, self.hold(form.of[k])), same, other)
        self.start(other)
        self.of_type(key, str)
        self.equal("i32", self.let(f"call i32 @PyUnicode_Compare(ptr {key}, ptr {self.hold(form.of[k])})"), 0)
        self.do(f"br label %{same}")
        self.start(same)
        return self.let("load ptr, ptr %value"), True

    def _enter_fields(self, form, x):
        self.of_type(x, form.of[0])

    def _item_fields(self, form, x, k):
        y = self.let(f"call ptr @PyObject_GetAttr(ptr {x}, ptr {self.hold(form.of[1][k])})")
        none, go = self.label(), self.label()
        self.branch(self.is_("ptr", y, "null"), none, go)
        self.start(none)
        self.do("call void @PyErr_Clear()")
        self.do("br label %slow")
        self.start(go)
        self.own(y)
        return y, False

    def _enter_parts(self, form, x):
        cls, dtype, apart, _ = form.of
        self.of_type(x, cls)
        if dtype is not None:
            self.equal("ptr", self.load("ptr", x, DESCR), self.hold(dtype))
        self.parts, _ = self.call_python(apart, x)

    def _item_parts(self, form, x, k):
        return self.load("ptr", self.parts, ITEM + 8 * k), False

    # ---- structures of results
    def make(self, form, leaf) -> tuple[str, str]:
        """The object of a form, and its slot; `leaf(kind)` makes the next leaf."""
        if isinstance(form, str):
            return leaf(form)
        if form.kind == "is":
            self.do(f"call void @inc(ptr {self.hold(form.of)})")
            return self.hold(form.of), self.own(self.hold(form.of), "made")
        if form.kind == "complex":
            return leaf("complex")
        if form.kind == "fields":
            return self._make_fields(form, leaf)
        made = [self.make(i, leaf) for i in form.items]
        if form.kind == "parts":
            return self.call_python(form.of[3], *(x for x, _ in made))
        if form.kind == "dict":
            return self._make_dict(form, made)
        out, slot = self.new(f"call ptr @{'PyList_New' if form.kind == 'list' else 'PyTuple_New'}(i64 {len(made)})")
        into = self.load("ptr", out, ITEMS) if form.kind == "list" and made else self.at(out, ITEM)
        for k, (x, owner) in enumerate(made):  # which takes the reference over
            self.do(f"store ptr {x}, ptr {self.at(into, 8 * k)}")
            self.do(f"store ptr null, ptr {owner}")
        return (out, slot) if form.kind in ("tuple", "list") else self.call_python(form.of[1], out)

    def _attempt(self, status: str) -> None:
        go = self.label()
        self.branch(self.is_("i32", status, 0), go, "failed")
        self.start(go)

    def _make_fields(self, form, leaf):
        """As `object.__new__` and `object.__setattr__` make it: a frozen dataclass cannot be filled in another way."""
        cls, names = form.of
        made = [self.make(i, leaf) for i in form.items]
        out, slot = self.new(f"call ptr @PyType_GenericAlloc(ptr {self.hold(cls)}, i64 0)")
        for name, (x, _) in zip(names, made, strict=True):
            self._attempt(self.let(f"call i32 @PyObject_GenericSetAttr(ptr {out}, ptr {self.hold(name)}, ptr {x})"))
        return out, slot

    def _make_dict(self, form, made):
        out, slot = self.new("call ptr @PyDict_New()")
        for key, (x, _) in zip(form.of, made, strict=True):
            self._attempt(self.let(f"call i32 @PyDict_SetItem(ptr {out}, ptr {self.hold(key)}, ptr {x})"))
        return out, slot
