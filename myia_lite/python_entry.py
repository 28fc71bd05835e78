"""The entry of a compiled signature as Python code: what native entries are for programs that are no native code.

`entry` writes a function that knows the signature by heart.  It tests the arguments, and what the program took from
outside, in one condition; calls the program with the leaves; and builds the result.  Any other call it hands on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

from .adapter import by_address, unchanged
from .infer.abstract import NUMBERS, PYTHON, field_names, record
from .infer.structures import Dyn, Known, Template, Tree
from .ir import Array
from .ops.define import NUMPY_DTYPES


def entry(program, inferred, keywords: tuple[str, ...], watched, otherwise: list, again: Callable | None):
    """A function for calls of this signature that hands any other call to `otherwise[0]`; None where there is none.

    `again(args, keywords)` is the call for just these sizes, where errors of this one are not the last word.
    """
    if keywords or any(not isinstance(a, np.ndarray) for a in inferred.captured):
        return None
    text = _Text()
    names = [f"a{k}" for k in range(len(inferred.arguments))]
    try:
        for name, t in zip(names, inferred.arguments, strict=True):
            text.argument(name, t)
        result = text.result(inferred.result)
    except Unsupported:
        return None
    addresses, others = by_address(watched)
    for kind, where, *rest in addresses:
        holds = f"{text.name(where)}.cell_contents" if kind == "cell" else f"{text.name(where)}.get({rest[0]!r})"
        text.tests.append(f"{holds} is {text.name(rest[-1])}")
    if others:
        text.tests.append(f"unchanged({text.name(others)})")
    for a in inferred.captured:
        given = text.name(a)
        text.tests.append(f"{given}.shape == {a.shape!r} and {given}.dtype is {text.name(a.dtype)}")
        text.leaves.append(given)
    call = [f"results = run([{', '.join(text.leaves)}])"]
    if again is not None:
        call = ["try:", f"    {call[0]}", "except (ValueError, IndexError, TypeError):"]
        call.append("    return again(args, keywords)")
    lines = [
        "def entry(*args, **keywords):",
        f"    if len(args) == {len(names)} and not keywords:",
        *([f"        {', '.join([*names, ''])} = args"] if names else []),
        f"        if {' and '.join(text.tests) or 'True'}:",
        *(f"            {line}" for line in call),
        f"            return {result}",
        "    return otherwise[0](*args, **keywords)",
    ]
    source = "\n".join(lines)
    space = {"run": program.quick, "otherwise": otherwise, "again": again, "unchanged": unchanged, "record": record}
    exec(compile(source, "<entry>", "exec"), space | text.namespace, made := {})
    return made["entry"]


class Unsupported(Exception):
    """The general way serves."""


class _Text:
    """Conditions on the arguments, expressions for their leaves, and the objects that both name."""

    def __init__(self):
        self.namespace: dict = {}
        self.tests: list[str] = []
        self.leaves: list[str] = []
        self.values = 0

    def name(self, thing) -> str:
        name = f"o{len(self.namespace)}"
        self.namespace[name] = thing
        return name

    # ---- arguments
    def argument(self, value: str, t: Template) -> None:
        if isinstance(t, Dyn):
            self.leaf(value, t)
            return
        if not isinstance(t, Tree):
            raise Unsupported
        kind, *rest = t.shape
        if kind == "static":
            if rest[0].value is not None and type(rest[0].value) is not str:
                raise Unsupported
            same = "is" if rest[0].value is None else "=="
            self.tests.append(
                f"{value}.__class__ is {self.name(type(rest[0].value))} and {value} {same} {rest[0].value!r}"
            )
            return
        items: Iterator[str]
        if kind == "sequence":
            self.tests.append(f"{value}.__class__ is {self.name(rest[0])} and len({value}) == {len(t.items)}")
            items = (f"{value}[{k}]" for k in range(len(t.items)))
        elif kind == "mapping":
            self.tests.append(f"{value}.__class__ is dict and (*{value},) == {self.name(rest[0])}")
            items = (f"{value}[{k!r}]" for k in rest[0])
        elif kind == "record":
            self.tests.append(f"{value}.__class__ is {self.name(rest[0])}")
            tuples = issubclass(rest[0], tuple)
            items = (f"{value}[{k}]" if tuples else f"{value}.{f}" for k, f in enumerate(field_names(rest[0])))
        else:
            raise Unsupported
        for item, part in zip(items, t.items, strict=True):
            self.values += 1
            self.tests.append(f"((v{self.values} := {item}) is v{self.values})")
            self.argument(f"v{self.values}", part)

    def leaf(self, value: str, t: Dyn) -> None:
        self.leaves.append(value)
        dtype = t.type.dtype
        if isinstance(t.type, Array):
            shape = t.type.shape
            self.tests.append(f"{value}.__class__ in {self.name(_array_classes())}")
            self.tests.append(f"{value}.dtype is {self.name(np.dtype(NUMPY_DTYPES[dtype]))}")
            if None not in shape:
                self.tests.append(f"{value}.shape == {shape!r}")
                return
            self.tests.append(f"len({value}.shape) == {len(shape)}")  # sizes 0 and 1 have programs of their own
            sizes = (f"{value}.shape[{k}] {'> 1' if d is None else f'== {d}'}" for k, d in enumerate(shape))
            self.tests.extend(sizes)
        elif t.zero_d or not hasattr(t.type, "dtype"):
            raise Unsupported
        elif t.py:
            self.tests.append(f"{value}.__class__ is {PYTHON[dtype].__name__}")
            if dtype == "i64":
                self.tests.append(f"{-(2**63)} <= {value} < {2**63}")
        else:
            self.tests.append(f"{value}.__class__ is {self.name(NUMPY_DTYPES[dtype])}")

    # ---- the result
    def result(self, t: Template) -> str:
        leaves = iter(range(sys.maxsize))
        return self._built(t, leaves)

    def _built(self, t: Template, leaves) -> str:
        if isinstance(t, Dyn):
            value = f"results[{next(leaves)}]"
            if isinstance(t.type, Array):
                return value
            if t.zero_d or not hasattr(t.type, "dtype"):
                raise Unsupported
            return f"{self.name((PYTHON if t.py else NUMBERS)[t.type.dtype])}({value})"
        if isinstance(t, Known):
            return self.name(t.value if t.py else NUMBERS[t.type.dtype](t.value))
        if not isinstance(t, Tree):
            raise Unsupported
        kind, *rest = t.shape
        if kind == "static":
            return self.name(rest[0].value)
        items = [self._built(i, leaves) for i in t.items]
        if kind == "sequence":
            listed = ", ".join([*items, ""])
            return f"({listed})" if rest[0] is tuple and items else f"{self.name(rest[0])}(({listed if items else ''}))"
        if kind == "mapping":
            return f"{{{', '.join(f'{k!r}: {v}' for k, v in zip(rest[0], items, strict=True))}}}"
        if kind == "record":
            return f"record({self.name(rest[0])}, [{', '.join(items)}])"
        raise Unsupported


def _array_classes() -> tuple[type, ...]:
    from .backends.tvm.devices import DeviceArray

    return np.ndarray, DeviceArray
