"""What inference knows of a Python value while it walks a program.

A value is a compile-time structure over *leaves*, nodes of the typed graph being built.  Tuples, records and
functions are therefore gone from the typed IR by construction: what crosses the boundary of a graph is the flat list
of a value's leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir import Constant, Graph, Node, shape_of
from .structures import Point


class Value:
    """Base class of abstract values."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Leaf(Value):
    """A number or an array: `node` has a Scalar or Array type.

    `py` tells a Python bool, int or float (checked arithmetic, weak in promotion) from a NumPy scalar (arrays: False).
    A leaf whose node is a Constant is known at compile time.
    `zero_d`: a NumPy 0-d array argument, treated as a NumPy scalar.
    """

    node: Node
    py: bool = False
    zero_d: bool = False

    @property
    def type(self):
        return self.node.type

    @property
    def known(self) -> bool:
        return isinstance(self.node, Constant)


@dataclass(frozen=True, slots=True, eq=False)
class Complex(Value):
    """A complex number or array: its real and imaginary parts, float leaves of one shape, dtype and `py`."""

    re: Leaf
    im: Leaf

    @property
    def py(self) -> bool:
        return self.re.py

    @property
    def rank(self) -> int:
        return len(shape_of(self.re.type))


@dataclass(frozen=True, slots=True, eq=False)
class Static(Value):
    """Any other Python object, known at compile time: None, a string, a module, a function, a class, a dtype."""

    value: Any


NONE = Static(None)


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(Value):
    """A tuple or a list of known length."""

    items: tuple[Value, ...]
    kind: type = tuple


@dataclass(frozen=True, slots=True, eq=False)
class Mapping(Value):
    """A dict with known string keys."""

    keys: tuple[str, ...]
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Record(Value):
    """An instance of a frozen dataclass or a NamedTuple."""

    cls: type
    items: tuple[Value, ...]  # in the order of the class's fields


@dataclass(frozen=True, slots=True, eq=False)
class Closure(Value):
    """A nested function.  Its graph uses nodes of enclosing surface graphs; `env` has their values."""

    graph: Graph
    env: Any
    defaults: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Bound(Value):
    """A method of a value, or a partial application: `function(*args, …, **keywords)`."""

    function: Value
    args: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Transformed(Value):
    """`grad(f, …)` or `value_and_grad(f, …)` before it is called."""

    kind: str
    function: Value
    argnums: Any
    has_aux: bool
    holomorphic: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AtPoint(Value):
    """Such a function.  `items`: the record of its forward pass, then the sizes of `wrt` and of `seeds` that the types
    do not tell, then which of several shapes parts of the result have.
    """

    point: Point
    items: tuple[Leaf, ...]


@dataclass(slots=True, eq=False)
class Ruled(Value):
    """What `custom_derivative` makes of a function inside the program; its rules are added where it was made (`home`).

    `site` is equal for what one place of the program makes.
    """

    function: Value
    rules: dict[str, Value]  # among "jvp", "fwd" and "bwd"
    site: tuple
    home: Graph | None = None  # None where it comes from outside of the graph


@dataclass(frozen=True, slots=True)
class Setter:
    """Stands for a method of functions with rules, which sets some of them."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Itself(Value):
    """In the rules of a function: that function, in templates that would have no end."""

    site: tuple


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Value):
    start: Value
    stop: Value
    step: Value


@dataclass(frozen=True, slots=True, eq=False)
class Range(Value):
    start: Leaf
    stop: Leaf
    step: Leaf


@dataclass(frozen=True, slots=True, eq=False)
class Iterator(Value):
    """enumerate, zip, reversed, checkpoint over what can be indexed: `kind` names it."""

    kind: str
    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome(Value):
    """A value of several shapes, or an outcome of a block.

    Known: a `tag` and its fields, `items`.  Else `node`, of a Sum type, and `alternatives`, a template.
    """

    tag: str | None
    items: tuple[Value, ...]
    node: Node | None = None
    alternatives: Any = None  # tag -> template of its fields, where the tag is known at run time only


@dataclass(frozen=True, slots=True, eq=False)
class Spread(Value):
    """A value of several shapes, taken apart to be differentiated: the number of the one that it has, and a value of
    each, of which the others are of no matter.
    """

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MaybeUnbound(Value):
    """A variable that only some paths have assigned: `bound` is a bool leaf; using it emits a guard."""

    name: str
    value: Value
    bound: Leaf


@dataclass(frozen=True, slots=True, eq=False)
class Message(Value):
    """An f-string over run-time values: only the argument of an exception."""

    template: str  # with {0}, {1:.3f} …
    values: tuple[Leaf, ...]
