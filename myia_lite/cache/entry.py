"""Entries: a program as plain data, and the two files in which it is found.

The first is named by the function and the types of its arguments, and lists which globals were read when it was
compiled: sets of questions, as another value of one may lead past another.  The second is named by the answers too,
and holds the program: JSON for what Python needs to know of it, then the machine code and the constant arrays.
"""

from __future__ import annotations

import inspect
import json
import struct
import sys
from dataclasses import dataclass
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

from ..infer.dependencies import Attribute, Contents
from ..infer.structures import Template
from ..ir import Span
from . import environment
from .identity import PLAIN, Unstorable, Walk
from .store import Store, current
from .templates import describe, from_plain, from_template, from_type, number, plain, template, type_of

FORMAT = b"3"
MISSING = object()
READ = (FunctionType, staticmethod, classmethod, MemberDescriptorType)  # descriptors that hand out what they hold


class Global:
    """A global that was built into a program; the same interface as the parser's dependencies."""

    cell = None

    def __init__(self, name: str, value: Any, namespaces: tuple):
        self.name, self.value, self.namespaces = name, value, namespaces

    def current(self) -> Any:
        return next((n[self.name] for n in self.namespaces if self.name in n), MISSING)


class Cell:
    """A closure cell that was built into a program."""

    namespaces = ()

    def __init__(self, cell):
        self.name, self.cell, self.value = "", cell, cell.cell_contents

    def current(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return MISSING


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a call needs to know of a program, as `Inferred` does, and its machine code."""

    arguments: tuple[Template, ...]
    result: Template | None
    captured: tuple[Any, ...]
    dependencies: tuple[Any, ...]
    program: Any


def place(function: Any, error_model: str, args: tuple, keywords: tuple) -> Place | None:
    """Where the program of this function for these types would be; None where the cache is off, or the function has no
    plain description.
    """
    files = current()
    if files is None or not files.usable:
        return None
    try:
        return Place(files, function, error_model, args, keywords)
    except Unstorable:
        return None


class Place:
    """The place of one program in the cache."""

    def __init__(self, files: Store, function, error_model: str, args: tuple, keywords: tuple):
        self.files, self.arguments = files, (*args, *(t for _, t in keywords))
        self.walk = Walk(FORMAT)
        self.walk.token(environment.fixed(), environment.settings(), error_model, *(k for k, _ in keywords))
        self.walk.object(function)
        for t in self.arguments:
            describe(self.walk, t)
        self.name = self.walk.hexdigest()

    # ---- reading -----------------------------------------------------------------------------------------------------
    def load(self) -> Loaded | None:
        """The program that a former process made; None where there is none."""
        listed = self.files.read(f"{self.name}.list")
        for questions in json.loads(listed) if listed is not None else ():
            walk = self.answered(questions)
            content = None if walk is None else self.files.read(f"{walk.hexdigest()}.code")
            if content is not None:
                try:
                    return self._decoded(content, walk)
                except (Unstorable, RecursionError):  # it mentions a record that is gone; or nests too deeply
                    return None
        return None

    def answered(self, questions) -> Walk | None:
        """The walk over the answers of today; None where one of them has no description."""
        walk = self.walk.fork()
        try:
            for question in questions:
                walk.token(*question)
                found = _answer(*question)
                if found is MISSING:
                    walk.token("missing")
                else:
                    walk.object(found)
        except Unstorable:
            return None
        return walk

    def _decoded(self, content: bytes, walk: Walk) -> Loaded:
        from ..backends.llvm.native import Image, Program

        (size,) = struct.unpack_from("<Q", content)
        data = json.loads(content[8 : 8 + size])
        blob = memoryview(content)[8 + size :]
        constants = {
            name: np.frombuffer(blob[at : at + n], dtype).reshape(shape).copy()
            for name, dtype, shape, at, n in data["constants"]
        }
        objects = walk.objects
        code = bytes(blob[: data["code"]])
        errors = [(_from_attrs(a, objects), tuple(d), s and Span(*s)) for a, d, s in data["errors"]]
        params, results = (tuple(map(from_type, data[k])) for k in ("params", "results"))
        image = Image(data["name"], params, results, data["long"], code, tuple(data["symbols"]), constants, errors)
        result = None if data["result"] is None else from_template(data["result"], objects)
        captured = tuple(_from_captured(c, objects) for c in data["captured"])
        dependencies = tuple(_from_dependency(d, objects) for d in data["watched"])
        return Loaded(self.arguments, result, captured, dependencies, Program(image))

    # ---- writing -----------------------------------------------------------------------------------------------------
    def save(self, inferred, watched: list, program) -> bool:
        """Keep a program; False where something of it is no plain data, or there is no room."""
        if not program.portable:
            return False
        try:
            questions = list(dict.fromkeys(q for d in inferred.dependencies if (q := _question(d)) is not None))
            walk = self.answered(questions)
            if walk is None:
                return False
            _check_covered(inferred, walk)
            content = self._encoded(inferred, watched, program.code, walk)
        except (Unstorable, RecursionError):
            return False
        if not self.files.write(f"{walk.hexdigest()}.code", content):
            return False
        listed = self.files.read(f"{self.name}.list")
        known = json.loads(listed) if listed is not None else []
        asked = [list(q) for q in questions]
        return asked in known or self.files.write(f"{self.name}.list", json.dumps([asked, *known][:16]).encode())

    def _encoded(self, inferred, watched, code, walk: Walk) -> bytes:
        blob, constants = [code.machine_code], []
        at = len(code.machine_code)
        for name, a in code.constants.items():
            constants.append([name, a.dtype.str, list(a.shape), at, a.nbytes])
            blob.append(a.tobytes())
            at += a.nbytes
        errors = [
            [_attrs(attrs, walk), list(dtypes), span and [getattr(span, k) for k in span.__slots__]]
            for attrs, dtypes, span in code.errors
        ]
        data = {
            "name": code.name,
            "params": [type_of(t) for t in code.params],
            "results": [type_of(t) for t in code.results],
            "long": code.long,
            "symbols": list(code.symbols),
            "code": len(code.machine_code),
            "constants": constants,
            "errors": errors,
            "result": None if inferred.result is None else template(inferred.result, walk),
            "captured": [_captured(a, walk) for a in inferred.captured],
            "watched": [_dependency(d, walk) for d in watched],
        }
        text = json.dumps(data).encode()
        return b"".join([struct.pack("<Q", len(text)), text, *blob])


# ---- what was read ---------------------------------------------------------------------------------------------------
def _question(d) -> tuple | None:
    """A global, or an attribute of a module: what is asked again by name; None for what the walk itself covers."""
    if isinstance(d, Attribute) and isinstance(d.owner, ModuleType):
        if sys.modules.get(d.owner.__name__) is not d.owner:
            raise Unstorable("a module that is not imported")
        return "attribute", d.owner.__name__, d.name
    if namespaces := getattr(d, "namespaces", ()):
        module = namespaces[0].get("__name__")
        if vars(sys.modules.get(module, ModuleType(""))) is not namespaces[0]:
            raise Unstorable("globals of no module")
        return "global", module, d.name
    return None


def _answer(kind: str, module: str, name: str) -> Any:
    found = sys.modules.get(module)
    if found is None:
        return MISSING
    if kind == "attribute":
        return getattr(found, name, MISSING)
    scope = vars(found)
    if name in scope:
        return scope[name]
    return _builtins(scope).get(name, MISSING)


def _builtins(scope: dict) -> dict:
    found = scope.get("__builtins__", {})
    return vars(found) if isinstance(found, ModuleType) else found


def _check_covered(inferred, walk: Walk) -> None:
    """Has the walk seen everything that inference has read?"""
    for d in inferred.dependencies:
        cell = getattr(d, "cell", None)
        if cell is not None:
            ok = walk.number(cell) is not None
        elif isinstance(d, Attribute):
            ok = isinstance(d.owner, ModuleType) or (_held(walk, d.owner, d.name) and _covers(walk, d.value))
        elif isinstance(d, Contents):
            ok = walk.number(d.owner) is not None
        else:
            ok = bool(getattr(d, "namespaces", ()))
        if not ok:
            raise Unstorable("something that the walk does not see")
    for f in inferred.functions:
        if walk.number(f) is None:
            raise Unstorable("a function that the walk does not see")


def _held(walk: Walk, owner: Any, name: str) -> bool:
    """Did the walk see this attribute, and is reading it no computation?"""
    if (id(owner), name) not in walk.names:
        classes = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
        made_since = name in getattr(owner, "__dict__", ())
        if made_since or not any((id(c), name) in walk.names for c in classes):
            return False
    found = inspect.getattr_static(owner, name)
    return isinstance(found, READ) or not hasattr(type(found), "__get__")


def _covers(walk: Walk, value: Any) -> bool:
    held = getattr(value, "__func__", value)
    if value is None or type(value) in PLAIN or isinstance(value, np.generic) or walk.number(held) is not None:
        return True
    return type(value) is tuple and all(_covers(walk, v) for v in value)


# ---- to and from plain data ------------------------------------------------------------------------------------------
def _dependency(d, walk: Walk) -> list:
    if getattr(d, "cell", None) is not None:
        return ["cell", number(d.cell, walk)]
    if isinstance(d, Attribute):
        if isinstance(d.owner, ModuleType):
            return ["attribute", ["module", d.owner.__name__], d.name]
        return ["attribute", number(d.owner, walk), d.name]
    if isinstance(d, Contents):
        return ["contents", number(d.owner, walk)]
    question = _question(d)
    if question is None:
        raise Unstorable("a dependency of another kind")
    return list(question)


def _from_dependency(data, objects):
    kind, what, *rest = data
    if kind == "cell":
        return Cell(objects[what])
    if kind == "contents":
        return Contents.of(objects[what])
    if kind == "attribute":
        owner = sys.modules[what[1]] if isinstance(what, list) else objects[what]
        return Attribute(owner, rest[0], getattr(owner, rest[0]))
    scope = vars(sys.modules[what])
    return Global(rest[0], _answer(kind, what, rest[0]), (scope, _builtins(scope)))


def _captured(a: Any, walk: Walk) -> list:
    found = walk.number(a)
    if found is not None:
        return [found, ""]
    whole = getattr(a, "base", None)
    if whole is not None and walk.number(whole) is not None and whole.dtype.kind == "c":
        return [walk.number(whole), "real" if a.ctypes.data == whole.ctypes.data else "imag"]
    raise Unstorable("an array that the walk does not see")


def _from_captured(data, objects):
    number, part = data
    return getattr(objects[number], part) if part else objects[number]


def _attrs(attrs: dict | None, walk: Walk) -> dict | None:
    """What decides on the exception of a `guard` or a `raise`; None for what a signal handler raises."""
    return attrs and {k: plain(attrs[k], walk) for k in ("exception", "message")}


def _from_attrs(data: dict | None, objects) -> dict | None:
    return data and {k: from_plain(v, objects) for k, v in data.items()}
