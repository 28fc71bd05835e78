"""What conditions and right sides of rules say about terms.

A *structural zero* is a zero that differentiation made, not the user: adding it changes nothing, not even the sign of a
zero, and a product with it is zero whatever the other factor.
"""

from __future__ import annotations

import math

from ..ir import INTS, Apply, Array, Constant, Node, Scalar, Tuple, compatible, is_float, shape_of
from ..ops.arrays import broadcast, dims


def made_by(n: Node, op: str) -> bool:
    return n.__class__ is Apply and n.op.name == op


def filled(n: Node) -> Node | None:
    """The scalar that an array repeats everywhere."""
    return n.args[0] if n.__class__ is Apply and n.op is broadcast and n.attrs["axes"] == () else None


def known(n: Node) -> bool:
    """Is it a scalar constant?"""
    return n.__class__ is Constant and n.type.__class__ is Scalar


def value(n: Node):
    """The number of a known node."""
    return n.value


def is_constant(n: Node, number) -> bool:
    """Is it the scalar constant `number` (0.0 and -0.0 are told apart), or an array filled with it?"""
    c = n
    if n.__class__ is Apply:
        c = filled(n)
    if c.__class__ is not Constant or c.type.__class__ is not Scalar or c.value != number:
        return False
    if c.type.dtype == "bool":
        return isinstance(number, bool)
    return c.type.dtype[0] != "f" or math.copysign(1, c.value) == math.copysign(1, number)


def is_zero(n: Node) -> bool:
    """A neutral element of addition: a structural zero, -0.0, or the integer 0."""
    c = n
    if n.__class__ is Apply:
        c = filled(n)
    if c.__class__ is not Constant or c.type.__class__ is not Scalar or c.type.dtype == "bool" or c.value != 0:
        return False
    return c.name == "zero" or c.type.dtype[0] == "i" or math.copysign(1, c.value) < 0


def structural_zero(n: Node) -> bool:
    """A zero that differentiation made, or a product of one."""
    c = filled(n) if n.__class__ is Apply else n
    return c.__class__ is Constant and c.name == "zero"


def is_value(n: Node, number) -> bool:
    """Is it `number` in its dtype's own writing: False and True for 0 and any other of a bool?"""
    if (c := filled(n) if n.__class__ is Apply else n).__class__ is Constant and c.type == Scalar("bool"):
        return c.value == bool(number)
    return is_constant(n, number)


def same_value(a: Node, b: Node) -> bool:
    """Are two terms the same node, or equal constants?"""
    if a is b:
        return True
    return a.__class__ is Constant and b.__class__ is Constant and identity(a) == identity(b)


def identity(a: Node):
    """Equal for arguments that are the same value."""
    if a.__class__ is Constant and not hasattr(a.value, "shape"):
        return a.value.__class__, repr(a.value), a.type, a.name
    return a


def integer(n: Node) -> bool:
    return getattr(n.type, "dtype", None) in INTS


def floating(n: Node) -> bool:
    return is_float(n.type)


def boolean(n: Node) -> bool:
    return getattr(n.type, "dtype", None) == "bool"


def exact(n: Node) -> bool:
    """Is arithmetic on it free of rounding?"""
    return not is_float(n.type)


def is_array(n: Node) -> bool:
    return n.type.__class__ is Array


def rank(n: Node) -> int:
    return len(shape_of(n.type))


def shape(n: Node) -> tuple:
    return shape_of(n.type)


def static_shape(n: Node) -> bool:
    return None not in shape_of(n.type)


def dtype(n: Node) -> str:
    return n.type.dtype


def as_type(number, t, op, args, attrs) -> Node | None:
    """The number as a value of type `t`, that of `op[attrs](args)`; None where its sizes are not at hand."""
    if t.__class__ is Scalar:
        return _constant(number, t.dtype)
    if t.__class__ is not Array:
        return None
    sizes = (t.shape, []) if None not in t.shape else _sizes(op, args, attrs)
    return None if sizes is None else broadcast(_constant(number, t.dtype), *sizes[1], shape=sizes[0], axes=())


def zeros(x: Node) -> Node:
    """The structural zero of the type and size of `x`."""
    if x.type.__class__ is Scalar:
        return _constant(ZERO, x.type.dtype)
    sizes, dyn = dims(x)
    return broadcast(_constant(ZERO, x.type.dtype), *dyn, shape=sizes, axes=())


def _sizes(op, args, attrs) -> tuple[tuple, list] | None:
    """The shape attribute and the dynamic dims of an array `op[attrs](args)`, as far as its operands tell them."""
    if op.elementwise or op.in_place:
        x = next((a for a in args if a.type.__class__ is Array), None)
        return None if x is None else dims(x)
    if "shape" in attrs:
        unknown = sum(d is None for d in attrs["shape"])
        return tuple(attrs["shape"]), list(args[len(args) - unknown :])
    if op.name == "transpose":
        return dims(args[0], attrs["perm"])
    if op.name.startswith("reduce_"):
        return dims(args[0], [k for k in range(args[0].type.rank) if k not in attrs["axes"]])
    if op.name == "gather":
        x, *idx = args
        (front, more), (back, rest) = dims(idx[0]), dims(x, range(len(idx), x.type.rank))
        return front + back, more + rest
    return None


class Zero:
    """`zero` on a right side: a structural zero of the result's type."""


ZERO = Zero()


def _constant(number, dtype: str) -> Constant:
    if number is ZERO:
        c = Constant({"f": 0.0, "i": 0, "b": False}[dtype[0]], Scalar(dtype))
        c.name = "zero" if dtype[0] == "f" else None
        return c
    return Constant({"f": float, "i": int, "b": bool}[dtype[0]](number), Scalar(dtype))


def typed(result, op, args, attrs) -> Node | None:
    """The right side as a node, if it has the type of the left side `op[attrs](args)`: no rule changes a type."""
    if result is None:
        return None
    t = op.type_rule([a.type for a in args], attrs, ())
    if not isinstance(result, Node):
        return as_type(result, t, op, args, attrs)
    return result if compatible(result.type, t) or isinstance(t, Tuple) and result.type == t else None


def widens(a: str, b: str) -> bool:
    """Does each number of dtype `a` have its own in dtype `b`, of the same value?"""
    order = {"bool": {"i32", "i64", "f32", "f64"}, "i32": {"i64", "f64"}, "f32": {"f64"}}
    return a == b or b in order.get(a, ())


def power_of_two(n: Node) -> bool:
    """Is it a known power of two whose inverse is one, too?"""
    if not known(n) or not floating(n) or not math.isfinite(n.value) or n.value == 0:
        return False
    m, e = math.frexp(n.value)
    return abs(m) == 0.5 and abs(e) < 100


def compose(p, q) -> tuple[int, ...]:
    """The permutation `p` and then `q`."""
    return tuple(p[k] for k in q)


def unchanged(p) -> bool:
    """Is it the permutation that changes nothing?"""
    return p == tuple(range(len(p)))


HELPERS = {
    f.__name__: f
    for f in (
        made_by,
        filled,
        known,
        value,
        is_constant,
        is_zero,
        structural_zero,
        is_value,
        same_value,
        integer,
        floating,
        boolean,
        exact,
        is_array,
        rank,
        shape,
        static_shape,
        dtype,
        widens,
        power_of_two,
        compose,
        unchanged,
    )
} | {"zero": ZERO, "inf": math.inf}
