"""The templates themselves: the compile-time part of a value or of an argument, hashable, without nodes.

They are all that a call of a compiled program needs of inference, so nothing else is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..ir import Array, Residual, Scalar, Type, is_float, shape_of, shaped


class Ident:
    """An object in a template: strings and the like by value, everything else by identity."""

    __slots__ = ("value",)
    BY_VALUE = (str, bytes, np.dtype)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other):
        a, b = self.value, other.value if isinstance(other, Ident) else NotImplemented
        return a is b or (isinstance(a, self.BY_VALUE) and type(a) is type(b) and a == b)

    def __hash__(self):
        return hash(self.value) if isinstance(self.value, self.BY_VALUE) else id(self.value)

    def __repr__(self):
        return getattr(self.value, "__name__", None) or repr(self.value)


class Template:
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Dyn(Template):
    """One leaf that the running program computes.  `zero_d`: a NumPy array of rank 0, which computes as a scalar."""

    type: Type
    py: bool = False
    zero_d: bool = False

    def __str__(self):
        return {"bool": "bool", "i64": "int", "f64": "float"}[self.type.dtype] if self.py else str(self.type)


@dataclass(frozen=True, slots=True)
class Known(Template):
    """A number known at compile time; no leaf.  Compared by its text: 0.0 is not -0.0, and nan is nan."""

    type: Scalar
    py: bool
    text: str
    value: Any = field(compare=False)

    def __str__(self):
        return self.text


@dataclass(frozen=True, slots=True)
class Tree(Template):
    """A structure: `shape` says of what kind (see `parts`), `items` its children."""

    shape: tuple
    items: tuple[Template, ...] = ()

    def __str__(self):
        kind, *rest = self.shape
        if kind == "static":
            return repr(rest[0])
        if kind == "sequence":
            return f"{rest[0].__name__}({', '.join(map(str, self.items))})"
        if kind == "record":
            return f"{rest[0].__name__}({', '.join(map(str, self.items))})"
        if kind == "closure":
            return f"function {rest[0].name}"
        if kind == "at point":
            return rest[0].name
        if kind == "spread":
            return " or ".join(map(str, self.items[1:]))
        if kind == "complex":
            re = self.items[0]
            name = "complex" if re.py else {"f32": "complex64", "f64": "complex128"}[re.type.dtype]
            return name if not rest[0] else name + str(re.type)[len(re.type.dtype) :]
        return f"{kind}({', '.join(map(str, self.items))})"


@dataclass(frozen=True, slots=True)
class Union(Template):
    """One of several alternatives, which only the running program knows: one leaf, of a Sum type."""

    alternatives: tuple[tuple[str, Template], ...]

    def __str__(self):
        return " or ".join(str(t) for _, t in self.alternatives)


@dataclass(frozen=True, slots=True)
class Maybe(Template):
    """A variable that may be unbound: `item` is None if it is so on all paths; `bound` a bool."""

    name: str
    item: Template | None
    bound: Template

    def __str__(self):
        return f"{self.item} or unbound"


@dataclass(frozen=True, slots=True)
class Tagged(Template):
    """A result of several shapes: the number of the alternative, then the leaves of all of them."""

    alternatives: tuple[Template, ...]


def generalised(t: Template, dtypes=None) -> Template:
    """`t` with its known numbers (of `dtypes`, if given) turned into leaves."""
    if isinstance(t, Known):
        return Dyn(t.type, t.py) if dtypes is None or t.type.dtype in dtypes else t
    if isinstance(t, Tree):
        return Tree(t.shape, tuple(generalised(i, dtypes) for i in t.items))
    if isinstance(t, Maybe):
        return replace(t, item=t.item and generalised(t.item, dtypes), bound=generalised(t.bound, dtypes))
    if isinstance(t, Union):
        return Union(tuple((tag, generalised(i, dtypes)) for tag, i in t.alternatives))
    return t


def extent(t: Template | None) -> int:
    """The number of parts of a template."""
    if isinstance(t, Tree):
        return 1 + sum(map(extent, t.items))
    if isinstance(t, Union):
        return 1 + sum(extent(i) for _, i in t.alternatives)
    return 1 + extent(t.item) if isinstance(t, Maybe) else 1


@dataclass(frozen=True, eq=False)
class Point:
    """What the compiler knows of the functions that `vjp` ("pullback") and `linearize` ("linear") return for one
    specialisation: the templates of the arguments and of what is differentiated of the result, the types of their
    leaves, and the type of the record of the forward pass.
    """

    kind: str
    record: Residual
    arguments: tuple
    inputs: tuple[Type, ...]
    out: Any
    outputs: tuple[Type, ...]

    @property
    def name(self) -> str:
        return {"pullback": "pullback", "linear": "linearised function"}[self.kind]

    @property
    def wrt(self) -> tuple[int, ...]:
        """The leaves of the arguments that are floats."""
        return tuple(k for k, t in enumerate(self.inputs) if is_float(t))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those of the result."""
        return tuple(k for k, t in enumerate(self.outputs) if is_float(t))

    @property
    def sized(self) -> bool:
        """Are the sizes of the result known?  Then a linearised function is transposed twice where it is made; else
        the second time at each call, when there are sizes of cotangents."""
        return all(None not in shape_of(self.outputs[k]) for k in self.seeds)


# ---- shapes of arguments ---------------------------------------------------------------------------------------------
def skeleton(t: Template) -> Template:
    """An argument's template without the sizes of its arrays; those that broadcast, or are empty, stay."""
    if isinstance(t, Dyn):
        if not isinstance(t.type, Array):
            return t
        return Dyn(shaped(t.type.dtype, tuple([d if d in (0, 1) else None for d in t.type.shape])))
    return Tree(t.shape, tuple(map(skeleton, t.items))) if isinstance(t, Tree) and t.items else t


def widened(a: Template, b: Template) -> Template:
    """The template that serves both of two with one skeleton: a size in which they differ is unknown."""
    if a == b:
        return a
    if isinstance(a, Dyn):
        dims = zip(a.type.shape, b.type.shape, strict=True)
        return Dyn(shaped(a.type.dtype, tuple([m if m == n else None for m, n in dims])))
    return Tree(a.shape, tuple(map(widened, a.items, b.items)))


def sized(t: Template) -> bool:
    """Are all sizes of the arrays known?"""
    if isinstance(t, Dyn):
        return not isinstance(t.type, Array) or None not in t.type.shape
    return all(map(sized, t.items)) if isinstance(t, Tree) else True
