"""Leaves between Python objects and the slots of a program: reading those of arguments, making those of results."""

from __future__ import annotations

import numpy as np

from ...ir import Array
from .memory_layout import ITEMSIZE
from .native import NUMPY, slots_of
from .objects import CONTIGUOUS, DESCR, DIMS, FLAGS, NDIM, VALUE, WRITEABLE, Code, kinds_of, leaves_of

PYTHON = {"float": "f64", "int": "i64", "bool": "bool"}
MEMORY = {"bool": "i8", "i32": "i32", "i64": "i64", "f32": "float", "f64": "double"}
PLACED = 1 << 16  # bytes up to which the array of a result is made before the run, which writes into it


class Arguments:
    """Reading leaves out of objects into the slots of the program's arguments, at `%a`."""

    def __init__(self, code: Code, types, fixed: bool):
        self.code, self.types, self.slot, self.fixed = code, iter(types), 0, fixed
        self.arrays: list[tuple[str, str, int | None]] = []  # address, bytes, elements where known

    def put(self, t: str, value: str) -> None:
        self.code.do(f"store {t} {value}, ptr {self.code.at('%a', 8 * self.slot)}")

    def read(self, form, x: str, loose: bool = False) -> None:
        """`loose`: another thread may drop the object while the program runs."""
        c = self.code
        if loose and form in ("array", "zero") or loose and not isinstance(form, str):
            c.keep(x)
        if isinstance(form, str):
            t = next(self.types)
            getattr(self, f"_{form}")(x, t)
            self.slot += slots_of(t)
        elif form.kind == "is":
            c.equal("ptr", x, c.hold(form.of))
        elif form.kind == "complex":
            c.of_type(x, complex)
            for k in range(2):
                next(self.types)
                self.put("double", c.load("double", x, VALUE + 8 * k))
                self.slot += 1
        else:
            for item, y, free in c.items(form, x):
                self.read(item, y, free)

    def _float(self, x, t):
        self.code.of_type(x, float)
        self.put("double", self.code.load("double", x, VALUE))

    def _int(self, x, t):
        c = self.code
        c.of_type(x, int)
        value = c.let(f"call i64 @PyLong_AsLongLongAndOverflow(ptr {x}, ptr %overflow)")
        c.equal("i32", c.let("load i32, ptr %overflow"), 0)
        self.put("i64", value)

    _record = _int  # the address of its parts

    def _bool(self, x, t, true=True, false=False):
        c = self.code
        yes, no = c.is_("ptr", x, c.hold(true)), c.is_("ptr", x, c.hold(false))
        c.require(c.let(f"or i1 {yes}, {no}"))
        self.put("i64", c.let(f"zext i1 {yes} to i64"))

    def _scalar(self, x, t):
        if t.dtype == "bool":
            self._bool(x, t, np.True_, np.False_)
            return
        self.code.of_type(x, NUMPY[t.dtype].type)
        self.put(MEMORY[t.dtype], self.code.load(MEMORY[t.dtype], x, VALUE))

    def _zero(self, x, t):
        check_array(self.code, x, t.dtype, 0, CONTIGUOUS)
        value = self.code.let(f"load {MEMORY[t.dtype]}, ptr {self.code.load('ptr', x, VALUE)}")
        if t.dtype == "bool":
            value = self.code.let(f"zext i8 {value} to i64")
        self.put("i64" if t.dtype == "bool" else MEMORY[t.dtype], value)

    def _array(self, x, t):
        c = self.code
        check_array(c, x, t.dtype, t.rank, CONTIGUOUS)
        data = c.load("ptr", x, VALUE)
        self.put("ptr", data)
        sizes = check_dims(c, x, t)
        for k, n in enumerate(sizes):
            if not isinstance(n, int) and not self.fixed:
                c.require(c.let(f"icmp ugt i64 {n}, 1"))
            c.do(f"store i64 {n}, ptr {c.at('%a', 8 * (self.slot + 1 + k))}")
        self.arrays.append((data, product(c, [*sizes, ITEMSIZE[t.dtype]]), known_size(t)))


def check_array(c: Code, x: str, dtype: str, rank: int, flags: int) -> None:
    c.of_type(x, np.ndarray)
    c.equal("i32", c.load("i32", x, NDIM), rank)
    c.equal("ptr", c.load("ptr", x, DESCR), c.hold(NUMPY[dtype]))
    c.equal("i32", c.let(f"and i32 {c.load('i32', x, FLAGS)}, {flags}"), flags)


def check_dims(c: Code, x: str, t: Array) -> list:
    """The sizes of an array, of those not known at compile time as values."""
    dims, sizes = c.load("ptr", x, DIMS) if t.rank else "", []
    for k, d in enumerate(t.shape):
        n = c.load("i64", dims, 8 * k)
        if d is not None:
            c.equal("i64", n, d)
        sizes.append(n if d is None else d)
    return sizes


def product(c: Code, factors) -> str:
    known, out = 1, None
    for f in factors:
        if isinstance(f, int):
            known *= f
        else:
            out = f if out is None else c.let(f"mul i64 {out}, {f}")
    if out is None:
        return str(known)
    return out if known == 1 else c.let(f"mul i64 {out}, {known}")


def known_size(t: Array) -> int | None:
    """The number of elements, where it is known at compile time."""
    return None if None in t.shape else int(np.prod(t.shape, dtype=object))


def placed(t: Array) -> bool:
    """Is there a NumPy array for a result before the program runs?"""
    size = known_size(t)
    return size is not None and size * ITEMSIZE[t.dtype] <= PLACED


class Results:
    """Making objects of the results' slots, at `%r`; arrays of known size up to `PLACED` bytes are made before the run,
    and the caller may pass arrays to write into (`out`)."""

    def __init__(self, code: Code, form, types, record=None):
        """`record(address, arena)` makes the object of a record."""
        self.code, self.form, self.record = code, form, record
        kinds, slot, self.leaves = list(leaves_of(form)), 0, []
        for kind, t in zip(kinds, types, strict=True):
            self.leaves.append((kind, t, slot))
            slot += slots_of(t)
        self.arrays = [k for k, (kind, *_) in enumerate(self.leaves) if kind == "array"]

    @property
    def writable(self) -> bool:
        """Can the results be written into arrays of the caller's?"""
        shapes = (self.leaves[k][1].shape for k in self.arrays)
        return bool(self.arrays) and all(None not in s for s in shapes) and "parts" not in kinds_of(self.form)

    def _slot(self, leaf: int) -> int:
        return self.arrays.index(leaf)

    def reserve(self) -> None:
        """The first slots of what is made are those of the arrays."""
        self.code.made = len(self.arrays)

    def take(self, x: str, given: Arguments) -> None:
        """Note the arrays in the object `x`, which the caller wants the results in: None is for a new one."""
        self.taken, leaves = [], iter(enumerate(self.leaves))
        self._take(self.form, x, leaves, given)

    def _take(self, form, x, leaves, given) -> None:
        c = self.code
        if not isinstance(form, str):
            if form.kind in ("is", "complex"):
                for _ in leaves_of(form):
                    next(leaves)
                c.equal("ptr", x, c.hold(None))
                return
            for item, y, loose in c.items(form, x):
                if loose and not isinstance(item, str):
                    c.keep(y)
                self._take(item, y, leaves, given)
            return
        leaf, (kind, t, _) = next(leaves)
        if kind != "array":
            c.equal("ptr", x, c.hold(None))
            return
        some, done = c.label(), c.label()
        c.branch(c.is_("ptr", x, c.hold(None)), done, some)
        c.start(some)
        check_array(c, x, t.dtype, t.rank, WRITEABLE)
        check_dims(c, x, t)
        data, size = c.load("ptr", x, VALUE), known_size(t) * ITEMSIZE[t.dtype]
        for other, bytes_, _ in given.arrays:
            self._apart(data, size, other, bytes_)
        for before in self.taken:
            y = c.let(f"load ptr, ptr %made{before}")
            also, next_ = c.label(), c.label()
            c.branch(c.is_("ptr", y, "null"), next_, also)
            c.start(also)
            b = self.leaves[self.arrays[before]][1]
            self._apart(data, size, c.load("ptr", y, VALUE), known_size(b) * ITEMSIZE[b.dtype])
            c.do(f"br label %{next_}")
            c.start(next_)
        c.do(f"call void @inc(ptr {x})")
        c.do(f"store ptr {x}, ptr %made{self._slot(leaf)}")
        c.do(f"br label %{done}")
        c.start(done)
        self.taken.append(self._slot(leaf))

    def _apart(self, a: str, m, b: str, n) -> None:
        """Require that two pieces of memory do not overlap."""
        c = self.code
        below = c.let(f"icmp ule ptr {c.at(a, m)}, {b}")
        c.require(c.let(f"or i1 {below}, {c.let(f'icmp ule ptr {c.at(b, n)}, {a}')}"))

    def place(self) -> None:
        """Tell the program where to put the arrays: null where it makes the memory."""
        c = self.code
        for k in self.arrays:
            _, t, slot = self.leaves[k]
            made, to = f"%made{self._slot(k)}", c.at("%r", 8 * slot)
            x, new, given, go = c.let(f"load ptr, ptr {made}"), c.label(), c.label(), c.label()
            c.branch(c.is_("ptr", x, "null"), new, given)
            c.start(given)
            c.do(f"store ptr {c.load('ptr', x, VALUE)}, ptr {to}")
            c.do(f"br label %{go}")
            c.start(new)
            if placed(t):
                for axis, d in enumerate(t.shape):
                    c.do(f"store i64 {d}, ptr {c.at('%dims', 8 * axis)}")
                y, made_ = c.let(self.new_array(t, t.rank, "%dims")), c.label()
                c.do(f"store ptr {y}, ptr {made}")
                c.branch(c.is_("ptr", y, "null"), "failed", made_)
                c.start(made_)
                c.do(f"store ptr {c.load('ptr', y, VALUE)}, ptr {to}")
            else:
                c.do(f"store ptr null, ptr {to}")
            c.do(f"br label %{go}")
            c.start(go)

    def new_array(self, t, rank: int, dims: str) -> str:
        descr = self.code.hold(NUMPY[t.dtype])
        self.code.do(f"call void @inc(ptr {descr})")
        objects = f"ptr {self.code.hold(np.ndarray)}, ptr {descr}"
        return f"call ptr @PyArray_NewFromDescr({objects}, i32 {rank}, ptr {dims}, ptr null, ptr null, i32 0, ptr null)"

    def collect(self) -> None:
        """After the run: take over the memory of the arrays that the program has made."""
        c, made = self.code, []
        for k in self.arrays:
            _, t, slot = self.leaves[k]
            if placed(t):
                continue
            made.append(f"%made{self._slot(k)}")
            wrap, done = c.label(), c.label()
            c.branch(c.is_("ptr", c.let(f"load ptr, ptr {made[-1]}"), "null"), wrap, done)
            c.start(wrap)
            obj, dims = c.load("ptr", "%r", 8 * slot), c.at("%r", 8 * (slot + 1))
            sizes = [d if d is not None else c.load("i64", dims, 8 * axis) for axis, d in enumerate(t.shape)]
            bytes_ = product(c, [*sizes, ITEMSIZE[t.dtype]])
            x = c.let(
                f"call ptr @wrap(ptr {obj}, i32 {t.rank}, ptr {dims}, i64 {bytes_}, ptr {c.hold(NUMPY[t.dtype])})"
            )
            c.do(f"store ptr {x}, ptr {made[-1]}")
            c.do(f"br label %{done}")
            c.start(done)
        for slot in made:
            go = c.label()
            c.branch(c.is_("ptr", c.let(f"load ptr, ptr {slot}"), "null"), "failed", go)
            c.start(go)

    def make(self) -> tuple[str, str]:
        """The result, and its slot."""
        leaves = iter(enumerate(self.leaves))

        def leaf(kind):
            k, (_, t, slot) = next(leaves)
            if kind == "complex":
                next(leaves)
            return getattr(self, f"_{kind}")(t, slot, k)

        return self.code.make(self.form, leaf)

    def _complex(self, t, slot, k):
        re, im = (self.code.load("double", "%r", 8 * (slot + part)) for part in range(2))
        return self.code.new(f"call ptr @PyComplex_FromDoubles(double {re}, double {im})")

    def _float(self, t, slot, k):
        return self.code.new(f"call ptr @PyFloat_FromDouble(double {self.code.load('double', '%r', 8 * slot)})")

    def _int(self, t, slot, k):
        return self.code.new(f"call ptr @PyLong_FromLongLong(i64 {self.code.load('i64', '%r', 8 * slot)})")

    def _record(self, t, slot, k):
        c = self.code
        last = sum(slots_of(t) for _, t, _ in self.leaves) + 1
        words = [c.new(f"call ptr @PyLong_FromLongLong(i64 {c.load('i64', '%r', 8 * at)})")[0] for at in (slot, last)]
        return c.call_python(self.record, *words)

    def _bool(self, t, slot, k):
        return self.code.new(f"call ptr @PyBool_FromLong(i64 {self.code.load('i64', '%r', 8 * slot)})")

    def _scalar(self, t, slot, k):
        c = self.code
        return c.new(f"call ptr @PyArray_Scalar(ptr {c.at('%r', 8 * slot)}, ptr {c.hold(NUMPY[t.dtype])}, ptr null)")

    def _zero(self, t, slot, k):
        c = self.code
        out = c.new(self.new_array(t, 0, "null"))
        value = c.load(MEMORY[t.dtype], "%r", 8 * slot)
        c.do(f"store {MEMORY[t.dtype]} {value}, ptr {c.load('ptr', out[0], VALUE)}")
        return out

    def _array(self, t, slot, k):
        made = f"%made{self._slot(k)}"
        return self.code.let(f"load ptr, ptr {made}"), made
