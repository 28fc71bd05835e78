"""The types of the typed IR.

Scalars and arrays of fixed dtypes, tuples, named sums (possibly recursive), stacks of residuals, and `Never`, the type
of an expression that does not return.  Python-level distinctions (a Python float or a `np.float64`, a NamedTuple or a
dict) live in inference and at the boundary: in the IR they have been flattened away.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOATS = ("f32", "f64")
INTS = ("i32", "i64")
DTYPES = ("bool", *INTS, *FLOATS)


class Type:
    """Base class of the IR's types; all but `Sum` compare by structure."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Scalar(Type):
    """One number: `bool`, `i32`, `i64`, `f32` or `f64`."""

    dtype: str

    def __str__(self):
        return self.dtype


@dataclass(frozen=True, slots=True)
class Array(Type):
    """A dense array value of rank >= 1; a dim is a known int, or None where only the running program knows it."""

    dtype: str
    shape: tuple[int | None, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self):
        return f"{self.dtype}[{','.join('?' if d is None else str(d) for d in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Tuple(Type):
    """The results of a graph with several of them; `()` is unit."""

    elems: tuple[Type, ...]

    def __str__(self):
        return f"({', '.join(map(str, self.elems))}{',' * (len(self.elems) == 1)})"


class Sum(Type):
    """A tagged union, compared by identity: `variants` may be filled in later and may mention the sum itself."""

    __slots__ = ("name", "variants", "tangent")

    def __init__(self, name: str, variants: dict[str, tuple[Type, ...]] | None = None):
        self.name, self.variants = name, {} if variants is None else variants
        self.tangent: Sum | None = None  # filled by `ad`: the sum of its tangents, itself for such a sum

    def index(self, tag: str) -> int:
        return list(self.variants).index(tag)

    def __str__(self):
        return f"${self.name}"

    __repr__ = __str__


class Residual(Sum):
    """What the forward pass of a `vjp` node saves for its pullback: a sum of `none`, where there was no such pass, and
    `frame`, whose fields `ad` fills in.  Until then it is opaque.
    """

    __slots__ = ("__weakref__", "backward")

    def __init__(self, name: str):
        super().__init__(name, {"none": (), "frame": ()})
        # filled by `ad` where a program returns it: the graph (record, cotangents) -> cotangents, or what makes it
        self.backward = None

    def pullback(self):
        """The graph (record, cotangents) -> cotangents."""
        if callable(self.backward):
            self.backward = self.backward()
        return self.backward


@dataclass(frozen=True, slots=True)
class Stack(Type):
    """A persistent stack of values of one type: what a loop saves, trip by trip.  `stack<()>` is a trip count."""

    elem: Type

    def __str__(self):
        return f"stack<{self.elem}>"


@dataclass(frozen=True, slots=True)
class NeverType(Type):
    def __str__(self):
        return "never"


Never = NeverType()
Unit = Tuple(())
Bool, I32, I64, F32, F64 = (Scalar(d) for d in DTYPES)


def shaped(dtype: str, shape: tuple[int | None, ...]) -> Type:
    """The array type of that shape, or the scalar for rank 0."""
    return Array(dtype, tuple(shape)) if shape else Scalar(dtype)


def shape_of(t: Type) -> tuple[int | None, ...]:
    return t.shape if isinstance(t, Array) else ()


def with_dtype(t: Type, dtype: str) -> Type:
    return shaped(dtype, shape_of(t))


def is_float(t: Type) -> bool:
    return isinstance(t, (Scalar, Array)) and t.dtype in FLOATS


def element_types(t: Type) -> tuple[Type, ...]:
    """The types of a tuple's elements; of anything else, it alone."""
    return t.elems if isinstance(t, Tuple) else (t,)


def compatible(a: Type, b: Type) -> bool:
    """May a value of type `a` stand where `b` is declared?  Unknown dims match any, `never` matches all."""
    if a == b or a is Never:
        return True
    if isinstance(a, Array) and isinstance(b, Array):
        return (
            a.dtype == b.dtype
            and a.rank == b.rank
            and all(m is None or n is None or m == n for m, n in zip(a.shape, b.shape, strict=True))
        )
    if isinstance(a, Tuple) and isinstance(b, Tuple):
        return len(a.elems) == len(b.elems) and all(map(compatible, a.elems, b.elems))
    if isinstance(a, Stack) and isinstance(b, Stack):
        return compatible(a.elem, b.elem)
    return False
