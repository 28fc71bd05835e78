"""Types and templates as plain data, for JSON.

A function that `vjp` or `linearize` returned has in its template the `Point` that it belongs to.  That is written once,
by the program that made it, and named by a digest of all that decides on it; programs that take it say the digest.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from typing import Any

from ..infer.structures import Dyn, Ident, Known, Point, Tagged, Template, Tree
from ..ir import Array, Residual, Scalar, Type
from .identity import PLAIN, Unstorable, Walk

BUILTIN = {c.__name__: c for c in (tuple, list, dict, *PLAIN)}
RECORD = "record"  # the type of a record at the boundary of a program
_points: weakref.WeakValueDictionary[str, Point] = weakref.WeakValueDictionary()
_known: weakref.WeakKeyDictionary[Residual, tuple[str, list]] = weakref.WeakKeyDictionary()  # digest, objects in it


def type_of(t: Type):
    if isinstance(t, Array):
        return [t.dtype, list(t.shape)]
    if isinstance(t, Scalar):
        return t.dtype
    if isinstance(t, Residual):
        return RECORD
    raise Unstorable(f"a {type(t).__name__} at the boundary")


def from_type(data) -> Type:
    if data == RECORD:
        return Residual(RECORD)
    return Scalar(data) if isinstance(data, str) else Array(data[0], tuple(data[1]))


# ---- objects ---------------------------------------------------------------------------------------------------------
def number(x: Any, walk: Walk) -> int:
    found = walk.number(x)
    if found is None:
        raise Unstorable("an object that the walk does not see")
    return found


def plain(x: Any, walk: Walk) -> list:
    """A part of a template: a name, a number, a tuple of these, a class, an object."""
    if x is None or type(x) in (bool, int, str):
        return ["is", x]
    if type(x) in (float, complex):
        return ["number", type(x).__name__, repr(x)]
    if type(x) is tuple:
        return ["tuple", [plain(i, walk) for i in x]]
    if type(x) is Ident:
        return ["ident", plain(x.value, walk)]
    if isinstance(x, type) and BUILTIN.get(x.__name__) is x:
        return ["class", x.__name__]
    return ["object", number(x, walk)]


def from_plain(data, objects) -> Any:
    kind, what, *rest = data
    if kind == "number":
        return {"float": float, "complex": complex}[what](rest[0])
    if kind == "tuple":
        return tuple(from_plain(i, objects) for i in what)
    if kind == "ident":
        return Ident(from_plain(what, objects))
    return {"is": lambda: what, "class": lambda: BUILTIN[what], "object": lambda: objects[what]}[kind]()


# ---- templates -------------------------------------------------------------------------------------------------------
def template(t: Template, walk: Walk | _Mentions) -> list:
    if type(t) is Dyn:
        return ["dyn", type_of(t.type), t.py, t.zero_d]
    if type(t) is Known:
        return ["known", type_of(t.type), t.py, t.text, plain(t.value, walk)]
    if type(t) is Tree and t.shape[0] == "at point":
        return ["at point", _point(t.shape[1], walk), [template(i, walk) for i in t.items[1:]]]
    if type(t) is Tree:
        return ["tree", plain(t.shape, walk), [template(i, walk) for i in t.items]]
    if type(t) is Tagged:
        return ["tagged", [template(i, walk) for i in t.alternatives]]
    raise Unstorable(f"a template of kind {type(t).__name__}")


def from_template(data, objects) -> Template:
    kind, *rest = data
    if kind == "dyn":
        return Dyn(from_type(rest[0]), rest[1], rest[2])
    if kind == "known":
        return Known(from_type(rest[0]), rest[1], rest[2], from_plain(rest[3], objects))
    if kind == "at point":
        point = _from_point(rest[0], objects)
        return Tree(("at point", point), (Dyn(point.record), *(from_template(i, objects) for i in rest[1])))
    if kind == "tree":
        return Tree(from_plain(rest[0], objects), tuple(from_template(i, objects) for i in rest[1]))
    return Tagged(tuple(from_template(i, objects) for i in rest[0]))


def describe(walk: Walk, t: Template) -> None:
    """An argument's template, and the objects in it, as part of the walk."""
    if type(t) is Dyn:
        walk.token("dyn", type_of(t.type), t.py, t.zero_d)
    elif type(t) is Tree:
        walk.token("tree", len(t.items))
        for part in t.shape:
            if type(part) is Point:
                walk.token("point", known(part.record))
                for x in _known[part.record][1]:  # programs that go on from there may refer to them
                    walk.object(x)
            else:
                walk.object(part.value if type(part) is Ident else part)
        for i in t.items:
            describe(walk, i)
    else:
        raise Unstorable(f"a template of kind {type(t).__name__}")


# ---- records of forward passes ---------------------------------------------------------------------------------------
def known(record: Residual) -> str:
    """The digest of a record that a program in the cache makes."""
    if record not in _known:
        raise Unstorable("a record that no program in the cache makes")
    return _known[record][0]


def point_of(digest: str) -> Point:
    """The point of that digest, which something in this process holds."""
    found = _points.get(digest)
    if found is None:
        raise Unstorable("a record of another process")
    return found


class _Mentions:
    """A walk that notes which of its objects are referred to."""

    def __init__(self, walk: Walk):
        self.walk, self.numbers = walk, []

    def number(self, x: Any) -> int | None:
        found = self.walk.number(x)
        if found is not None and found not in self.numbers:
            self.numbers.append(found)
        return found


def _point(p: Point, outer: Walk) -> list:
    """A point with the types in its record, and the way back from there."""
    if p.record in _known:
        return [known(p.record)]
    from .graphs import Writer

    walk = _Mentions(outer)
    w = Writer(walk, known)
    record = w.type(p.record)
    parts = {
        "kind": p.kind,
        "record": record,
        "arguments": [template(t, walk) for t in p.arguments],
        "inputs": [w.type(t) for t in p.inputs],
        "out": template(p.out, walk),
        "outputs": [w.type(t) for t in p.outputs],
        "backward": None if p.record.backward is None else w.program(p.record.pullback()),
        "objects": walk.numbers,
        **w.tables(),
    }
    digest = hashlib.sha256(f"{outer.hexdigest()} {json.dumps(parts)}".encode()).hexdigest()
    _enter(p, digest, [outer.objects[k] for k in walk.numbers])
    return [digest, parts]


def _from_point(data: list, objects) -> Point:
    digest = data[0]
    if digest in _points:
        return _points[digest]
    if len(data) == 1:
        return point_of(digest)
    from .graphs import Reader

    parts = data[1]
    r = Reader(parts, list(objects), point_of)
    record = r.type(parts["record"])
    if parts["backward"] is not None:
        record.backward = lambda: r.program(parts["backward"])  # not before somebody asks: it takes the compiler
    arguments = tuple(from_template(t, objects) for t in parts["arguments"])
    inputs, outputs = (tuple(map(r.type, parts[k])) for k in ("inputs", "outputs"))
    point = Point(parts["kind"], record, arguments, inputs, from_template(parts["out"], objects), outputs)
    _enter(point, digest, [objects[k] for k in parts["objects"]])
    return point


def _enter(p: Point, digest: str, objects: list) -> None:
    _points[digest], _known[p.record] = p, (digest, objects)
