"""From a call's arguments to the native entry of a compiled signature, and from its leaves to the result.

For each signature a small Python function is made that knows the structure: it takes it apart by field access, calls
the built-in function that reads the leaves, and puts the result together. Its text is made from templates alone: names
in it stand for objects handed over beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .infer.abstract import complex_of, rebuild, record
from .infer.structures import Dyn, Known, Tree
from .ir import Array


class Mismatch(Exception):
    """The entry does not take these leaves."""


def refuse(*leaves):
    return Mismatch


class Unsupported(Exception):
    """No adapter: the general way serves."""


def adapter(program, inferred, current: Callable[[], bool] | None, otherwise: Callable, name: str):
    """A callable for this signature that hands any other call to `otherwise`; None where it has no native form."""
    from .backends.llvm import native_entry

    if inferred.result is None:
        return None
    try:
        arguments = [kind for t in inferred.arguments for kind in kinds(t)]
        result = kinds(inferred.result)
    except Unsupported:
        return None
    arguments += ["array"] * len(inferred.captured)
    flat = all(isinstance(t, Dyn) for t in inferred.arguments) and not inferred.captured and current is None
    direct = flat and plain(inferred.result)
    whole = result[0] if len(result) == 1 and isinstance(inferred.result, Dyn) else tuple(result)
    entry = native_entry(program, arguments, whole, otherwise if direct else refuse, name)
    if entry is None or direct:
        return entry
    return _Text(inferred, current).function(entry, otherwise)


def kinds(t) -> list[str]:
    """The kind of each leaf, as the native entry names them."""
    if isinstance(t, Dyn):
        if t.zero_d:
            raise Unsupported
        if isinstance(t.type, Array):
            return ["array"]
        return [{"f64": "float", "i64": "int", "bool": "bool"}[t.type.dtype] if t.py else "scalar"]
    if isinstance(t, Known):
        return []
    if isinstance(t, Tree) and t.shape[0] in ("sequence", "record", "mapping", "static", "complex"):
        return [k for i in t.items for k in kinds(i)]
    raise Unsupported


def plain(t) -> bool:
    """Does the native entry itself make this result?"""
    if isinstance(t, Tree) and t.shape[:2] == ("sequence", tuple) and t.items:
        return all(isinstance(i, Dyn) for i in t.items)
    return isinstance(t, Dyn)


class _Text:
    def __init__(self, inferred, current):
        self.inferred, self.current, self.objects, self.tests, self.count = inferred, current, {}, [], 0

    def hold(self, thing) -> str:
        name = f"o{len(self.objects)}"
        self.objects[name] = thing
        return name

    def function(self, entry, otherwise):
        names = [f"a{k}" for k in range(len(self.inferred.arguments))]
        given = [x for a, t in zip(names, self.inferred.arguments, strict=True) for x in self.take_apart(a, t)]
        given += [self.captured(c) for c in self.inferred.captured]
        if self.current is not None:
            self.tests.append(f"{self.hold(self.current)}()")
        result = self.put_together(self.inferred.result, len(kinds(self.inferred.result)))
        rest, keywords = "*rest", "**keywords"
        lines = [
            f"def call({', '.join([f'{n}=missing' for n in names] + [rest, keywords])}):",
            f"    if not rest and not keywords and {' and '.join(self.tests) or 'True'}:",
            f"        r = entry({', '.join(given)})",
            "        if r is not Mismatch:",
            f"            return {result}",
            f"    return otherwise(*given(({', '.join([*names, ''])})), *rest, **keywords)",
        ]
        missing = object()

        def given(args):
            return [a for a in args if a is not missing]

        space = {**self.objects, "entry": entry, "otherwise": otherwise}
        space |= {"Mismatch": Mismatch, "missing": missing, "given": given}
        exec("\n".join(lines), space)
        return space["call"]

    def captured(self, array) -> str:
        """An array from outside; the entry takes contiguous ones."""
        held = self.hold(array)
        return held if array.flags.c_contiguous else f"{self.hold(np.ascontiguousarray)}({held})"

    def take_apart(self, x: str, t) -> list[str]:
        """The expressions of the leaves of `x`; notes the tests that its structure must pass."""
        if isinstance(t, Dyn):
            return [x]
        kind, *rest = t.shape
        if kind == "static":
            self.tests.append(f"{x} is {self.hold(rest[0].value)}")
            return []
        if kind == "complex":
            return self.parts(x, t)
        if kind == "mapping":
            self.tests.append(f"type({x}) is dict and tuple({x}) == {tuple(rest[0])!r}")
            parts = [f"{x}[{k!r}]" for k in rest[0]]
        else:
            self.tests.append(f"type({x}) is {self.hold(rest[0])}")
            if kind == "record" and not issubclass(rest[0], tuple):
                parts = [f"{x}.{f}" for f in rest[0].__dataclass_fields__]
            else:
                if kind == "sequence":
                    self.tests.append(f"len({x}) == {len(t.items)}")
                parts = [f"{x}[{k}]" for k in range(len(t.items))]
        return [e for p, i in zip(parts, t.items, strict=True) for e in self.take_apart(p, i)]

    def parts(self, x: str, t) -> list[str]:
        """The parts of a complex number, or of a complex array: contiguous copies."""
        re = t.items[0]
        if re.py:
            self.tests.append(f"type({x}) is complex")
            return [f"{x}.real", f"{x}.imag"]
        dtype = np.dtype(np.complex64 if re.type.dtype == "f32" else np.complex128)
        kind = np.ndarray if isinstance(re.type, Array) else dtype.type
        self.tests.append(f"type({x}) is {self.hold(kind)} and {x}.dtype is {self.hold(dtype)}")
        if kind is not np.ndarray:
            return [f"{x}.real", f"{x}.imag"]
        copy = self.hold(np.ascontiguousarray)
        return [f"{copy}({x}.real)", f"{copy}({x}.imag)"]

    def put_together(self, t, total: int) -> str:
        if isinstance(t, Dyn):
            self.count += 1
            return "r" if isinstance(self.inferred.result, Dyn) else f"r[{self.count - 1}]"
        if isinstance(t, Known) or t.shape[0] == "static":
            return self.hold(rebuild(t, []))
        items = [self.put_together(i, total) for i in t.items]
        kind, *rest = t.shape
        inside = "".join(f"{i}, " for i in items)
        if kind == "complex":
            return f"{self.hold(complex if t.items[0].py else complex_of)}({inside})"
        if kind == "sequence":
            return f"({inside})" if rest[0] is tuple else f"[{inside}]"
        if kind == "mapping":
            return "{" + ", ".join(f"{k!r}: {i}" for k, i in zip(rest[0], items, strict=True)) + "}"
        return f"{self.hold(rest[0]._make if issubclass(rest[0], tuple) else record_of(rest[0]))}(({inside}))"


def record_of(cls):
    return lambda items: record(cls, items)
