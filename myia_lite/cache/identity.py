"""What a Python object means to the compiler, as a digest that is the same in every process.

A walk over the objects that a program is made from: code with its source text, closures, defaults, attributes,
containers, classes.  Arrays count by dtype and shape, as a program reads their elements at each call.  Each object
that has an identity gets a number, in the order of the walk, by which an entry refers to it.

What has no plain description (a lock, an open file, an instance of a class written in C) raises `Unstorable`: a program
made from it is not kept.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import hashlib
import linecache
import sys
import types
from typing import Any

import numpy as np

from ..callable import NativeCallable

LIMIT = 20_000  # objects: beyond, the walk would take as long as a small compilation
PLAIN = (bool, int, float, complex, str, bytes)
SETTLED = frozenset({"numpy", "scipy", "myia_lite", *sys.stdlib_module_names} - {"__main__"})
IGNORED = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __annotations__ __firstlineno__ __static_attributes__ __abstractmethods__ "
    "_abc_impl __orig_bases__ __parameters__ __annotate__ __annotate_func__ __annotations_cache__ __dataclass_params__ "
    "__dataclass_fields__ __wrapped__".split()
)
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)
CODE = (
    "co_code co_names co_varnames co_freevars co_cellvars co_flags co_name co_qualname co_argcount co_kwonlyargcount "
    "co_posonlyargcount co_firstlineno co_linetable co_exceptiontable co_filename"
).split()
GENERATED = ("<", collections.__file__, dataclasses.__file__)
HEAP_TYPE = 1 << 9  # the flag of classes made by a `class` statement


class Unstorable(Exception):
    """There is no plain description of this object."""


class Walk:
    """A digest under way, and the objects with an identity seen so far."""

    def __init__(self, start: bytes = b""):
        self.digest = hashlib.sha256(start)
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.names: set[tuple[int, str]] = set()  # attributes that objects and classes hold themselves

    def fork(self) -> Walk:
        """A walk that goes on from here by itself."""
        other = Walk()
        other.digest, other.objects, other.numbers = self.digest.copy(), list(self.objects), dict(self.numbers)
        other.names = set(self.names)
        return other

    def hexdigest(self) -> str:
        return self.digest.hexdigest()

    def number(self, x: Any) -> int | None:
        """The number of an object that the walk has seen."""
        return self.numbers.get(id(x))

    def token(self, *parts: Any) -> None:
        for p in parts:
            data = p if isinstance(p, bytes) else str(p).encode("utf-8", "surrogatepass")
            self.digest.update(b"%d:" % len(data))
            self.digest.update(data)

    def _new(self, x: Any) -> bool:
        """Number an object; False where it has one, which then is its description."""
        seen = self.numbers.setdefault(id(x), len(self.objects))
        if seen < len(self.objects):
            self.token("seen", seen)
            return False
        if seen >= LIMIT:
            raise Unstorable("too many objects")
        self.objects.append(x)
        return True

    # ---- by kind -----------------------------------------------------------------------------------------------------
    def object(self, x: Any) -> None:
        """Describe x, and all that it holds."""
        kind = type(x)
        if x is None or x is Ellipsis or x is NotImplemented:
            self.token("constant", repr(x))
        elif kind in PLAIN:
            self.token(kind.__name__, x if kind is bytes else repr(x) if kind is not str else x)
        elif kind in (tuple, slice, range):
            self._sequence(kind.__name__, x if kind is tuple else (x.start, x.stop, x.step))
        elif kind in (list, dict, set, frozenset):
            self._container(x, kind)
        elif kind is np.ndarray:
            if self._new(x):
                self.token("array", x.dtype.str, x.shape)
        elif isinstance(x, np.dtype):
            self.token("dtype", x.str if x.fields is None else repr(x))
        elif isinstance(x, np.generic):
            self.token("scalar", x.dtype.str, x.tobytes())
        elif isinstance(x, types.ModuleType):
            self.token("module", x.__name__)
        elif isinstance(x, types.CodeType):
            self._code(x)
        elif isinstance(x, NativeCallable):
            self._compiled(x)
        elif not self._by_name(x) and self._new(x):
            self._described(x, kind)

    def _sequence(self, name: str, items) -> None:
        self.token(name, len(items))
        for item in items:
            self.object(item)

    def _container(self, x, kind) -> None:
        if kind is frozenset or kind is set:
            if not all(type(i) in PLAIN for i in x):
                raise Unstorable("a set of objects")
            self.token(kind.__name__, *sorted(f"{type(i).__name__} {i!r}" for i in x))
        elif self._new(x):
            self._sequence(kind.__name__, x if kind is list else [part for item in x.items() for part in item])

    def _by_name(self, x: Any) -> bool:
        """What belongs to Python, NumPy, SciPy or this package is known by its name: their versions are in the key."""
        if isinstance(x, np.ufunc):
            for module in ("numpy", "scipy.special"):
                if getattr(sys.modules.get(module), x.__name__, None) is x:
                    self.token("ufunc", module, x.__name__)
                    return True
            raise Unstorable("a ufunc of unknown origin")
        module, name = getattr(x, "__module__", None), getattr(x, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or module.split(".")[0] not in SETTLED:
            return False
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is x:
            self.token("named", module, name)
        return found is x

    def _described(self, x: Any, kind: type) -> None:
        if kind is types.FunctionType:
            self._function(x)
        elif kind is types.MethodType:
            self._sequence("method", (x.__func__, x.__self__))
        elif kind is functools.partial:
            self._sequence("partial", (x.func, x.args, dict(x.keywords)))
        elif isinstance(x, type):
            self._class(x)
        elif kind in (staticmethod, classmethod):
            self._sequence(kind.__name__, (x.__func__,))
        elif kind is property:
            self._sequence("property", (x.fget,))
        elif kind is functools.cached_property:
            self._sequence("cached property", (x.func,))
        elif isinstance(x, DESCRIPTORS):
            self.token("descriptor", x.__name__)
        elif isinstance(x, types.CellType):
            self._cell(x)
        elif kind is types.UnionType:
            self._sequence("union", x.__args__)
        else:
            self._instance(x, kind)

    def _code(self, code: types.CodeType) -> None:
        self.token("code", *(getattr(code, name) for name in CODE))
        self._sequence("constants", code.co_consts)

    def _function(self, f: types.FunctionType) -> None:
        self.token("function", f.__module__, f.__qualname__, source_text(f.__code__))
        self._code(f.__code__)
        self._sequence("defaults", (f.__defaults__, f.__kwdefaults__))
        for cell in f.__closure__ or ():
            self.object(cell)
        self._sequence("attributes", [part for item in sorted(vars(f).items()) for part in item])

    def _cell(self, cell) -> None:
        try:
            held = cell.cell_contents
        except ValueError:
            self.token("empty cell")
        else:
            self.token("cell")
            self.object(held)

    def _compiled(self, f) -> None:
        """A compiled function: what it is made from and its options."""
        if not self._new(f):
            return
        if type(f).__name__ not in ("MyiaFunction", "GradFunction") or f.optimize is not None:
            raise Unstorable("a strategy of the user's")
        transformed = getattr(f, "__myia_transformed__", None)
        self.token("compiled", type(f).__name__, f.backend, f.error_model)
        self.object(f._function if transformed is None else transformed)

    def _class(self, cls: type) -> None:
        self.token("class", cls.__module__, cls.__qualname__, type(cls).__qualname__)
        if not cls.__flags__ & HEAP_TYPE:
            raise Unstorable("a class written in C")
        self._sequence("bases", cls.__bases__)
        for f in vars(cls).get("__dataclass_fields__", {}).values():
            self.token("field", f.name, f.init, f.kw_only)
            self._sequence(
                "default", [d for d in (f.default, f.default_factory) if type(d).__module__ != "dataclasses"]
            )
        self.token(repr(vars(cls).get("__dataclass_params__")))
        for name, value in sorted(vars(cls).items()):
            if name in IGNORED or type(value).__module__ == "_collections":
                continue
            self.token(name)
            self.names.add((id(cls), name))
            f = getattr(value, "__func__", value)
            if isinstance(f, types.FunctionType) and f.__code__.co_filename.startswith(GENERATED):
                self.token("generated")  # from the fields, by dataclasses and named tuples
            else:
                self.object(value)

    def _instance(self, x: Any, cls: type) -> None:
        if isinstance(x, enum.Enum):
            self.object(cls)
            self.token("member", x.name)
            return
        if cls.__module__.split(".")[0] == "myia_lite" and cls.__name__ != "CustomDerivative":
            raise Unstorable("a handle of this package's: what it holds is this process's")
        named = isinstance(x, tuple) and hasattr(cls, "_fields")
        base = next(c for c in cls.__mro__ if not c.__flags__ & HEAP_TYPE)
        if not cls.__flags__ & HEAP_TYPE or not (base is object or (named and base is tuple)):
            raise Unstorable(f"a {cls.__qualname__}: {x!r:.80}")
        self.token("instance")
        self.object(cls)
        if named:
            self._sequence("items", tuple(x))
        state = dict(getattr(x, "__dict__", {}))
        for c in cls.__mro__:
            slots = vars(c).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(x, name):
                    state[name] = getattr(x, name)
        self.names.update((id(x), name) for name in state)
        self._sequence("state", [part for item in sorted(state.items()) for part in item])


def source_text(code: types.CodeType) -> str:
    """The lines of the source that a code object stands on; empty where there is none."""
    codes = [code, *(c for c in code.co_consts if isinstance(c, types.CodeType))]
    last = max((line for c in codes for *_, line in c.co_lines() if line), default=code.co_firstlineno)
    return "".join(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 : last])
