"""Local equations.  Each holds for all values of its types, NaN, infinities and -0.0 included, up to the last place.

A rule gets the arguments of an application and returns the node it equals, or None.  It is written with the primitives
themselves: what it emits is simplified in turn.  A *structural zero* is a zero that differentiation made, not the user: adding
it changes nothing, not even the sign of a zero.
"""

from __future__ import annotations

import math

from ..ir import Apply, Array, Constant, Node, Scalar, shape_of
from ..ops.arrays import broadcast, dim, matmul, reshape, transpose
from ..ops.elementwise import add, div, mul, neg, powi, sub

RULES: dict[str, list] = {}
LATE: dict[str, list] = {}  # after differentiation: what would hide from it what a power is


def rule(op: str, equation: str, into: dict[str, list] = RULES):
    """Register `f(*args, **attrs) -> Node | None` for applications of `op`."""

    def register(f):
        f.equation = equation
        into.setdefault(op, []).append(f)
        return f

    return register


def made_by(n: Node, op: str) -> bool:
    return isinstance(n, Apply) and n.op.name == op


def filled(n: Node) -> Node | None:
    """The scalar that an array repeats everywhere."""
    return n.args[0] if made_by(n, "broadcast") and n.attrs["axes"] == () else None


def is_constant(n: Node, value) -> bool:
    """Is it the scalar constant `value` (0.0 and -0.0 are told apart), or an array filled with it?"""
    c = filled(n) or n
    if not isinstance(c, Constant) or isinstance(c.type, Array) or c.type is None:
        return False
    same = c.value == value
    return bool(same) and (not isinstance(c.type, Scalar) or c.type.dtype[0] != "f" or math.copysign(1, c.value) == math.copysign(1, value))


def is_zero(n: Node) -> bool:
    """A neutral element of addition: a structural zero, -0.0, or the integer 0."""
    c = filled(n) or n
    return isinstance(c, Constant) and isinstance(c.type, Scalar) and (c.name == "zero" or is_constant(c, -0.0) or c.type.dtype[0] == "i" and c.value == 0)


def stands_for(x: Node, *others: Node) -> bool:
    """Has `x` by itself the shape of an elementwise result of `x` and `others`?"""
    return isinstance(x.type, Array) or not any(isinstance(o.type, Array) for o in others)


# ---- scalar algebra --------------------------------------------------------------------------------------------------
@rule("add", "x + 0 = x")
def _(x, y):
    if is_zero(y) and stands_for(x, y):
        return x
    if is_zero(x) and stands_for(y, x):
        return y


@rule("add", "x + -y = x - y")
def _(x, y):
    if made_by(y, "neg"):
        return sub(x, y.args[0])
    if made_by(x, "neg"):
        return sub(y, x.args[0])


@rule("add", "(i + c) + d = i + (c + d), integers")
def _(x, y):
    if isinstance(x, Constant) and not isinstance(y, Constant):
        x, y = y, x
    if isinstance(y, Constant) and y.type == Scalar("i64") and made_by(x, "add") and isinstance(x.args[1], Constant):
        total = x.args[1].value + y.value
        if -(2**63) <= total < 2**63:
            return add(x.args[0], Constant(total, y.type))


@rule("sub", "x - 0 = x")
def _(x, y):
    if (is_constant(y, 0.0) or is_constant(y, 0)) and stands_for(x, y):
        return x


@rule("sub", "x - -y = x + y")
def _(x, y):
    if made_by(y, "neg"):
        return add(x, y.args[0])


@rule("mul", "x * 1 = x")
def _(x, y):
    if (is_constant(y, 1.0) or is_constant(y, 1)) and stands_for(x, y):
        return x
    if (is_constant(x, 1.0) or is_constant(x, 1)) and stands_for(y, x):
        return y


@rule("mul", "x * -1 = -x")
def _(x, y):
    if is_constant(y, -1.0) and stands_for(x, y):
        return neg(x)
    if is_constant(x, -1.0) and stands_for(y, x):
        return neg(y)


@rule("mul", "-x * y = -(x * y)")
def _(x, y):
    if made_by(x, "neg"):
        return neg(mul(x.args[0], y))
    if made_by(y, "neg"):
        return neg(mul(x, y.args[0]))


@rule("div", "x / 1 = x")
def _(x, y):
    if is_constant(y, 1.0) and stands_for(x, y):
        return x


@rule("div", "-x / y = -(x / y)")
def _(x, y):
    if made_by(x, "neg"):
        return neg(div(x.args[0], y))


@rule("neg", "--x = x")
def _(x):
    if made_by(x, "neg"):
        return x.args[0]


@rule("powi", "x ** 0 = 1, x ** 1 = x")
def _(x, n):
    if n == 0:
        return None if isinstance(x.type, Array) else Constant(1.0, x.type)
    if n == 1:
        return x


@rule("powi", "x ** n, small n, by multiplication", LATE)
def _(x, n):
    if n == 2:
        return mul(x, x)
    if n == 3:
        return mul(mul(x, x), x)
    if n == 4:
        return powi(mul(x, x), n=2)
    if n == -1:
        return div(1.0, x)


@rule("select", "where(c, x, x) = x; where(True, x, y) = x")
def _(c, x, y):
    if x is y and stands_for(x, c):
        return x
    if isinstance(c, Constant) and not isinstance(c.type, Array):
        kept, other = (x, y) if c.value else (y, x)
        return kept if stands_for(kept, other) else None


@rule("cast", "cast to its own dtype = x")
def _(x, dtype):
    return x if x.type.dtype == dtype else None


@rule("logical_not", "not not c = c")
def _(c):
    return c.args[0] if made_by(c, "logical_not") else None


@rule("bit_and", "True & c = c")
def _(x, y):
    return y if is_constant(x, True) and x.type.dtype == "bool" else x if is_constant(y, True) and y.type.dtype == "bool" else None


# ---- data ------------------------------------------------------------------------------------------------------------
@rule("get", "get[k](tuple(xs)) = xs[k]")
def _(t, index):
    return t.args[index] if made_by(t, "tuple") else None


@rule("tuple", "tuple(get[0](t), get[1](t), …) = t")
def _(*xs):
    if xs and all(made_by(x, "get") and x.attrs["index"] == k and x.args[0] is xs[0].args[0] for k, x in enumerate(xs)):
        t = xs[0].args[0]
        return t if len(t.type.elems) == len(xs) else None


# ---- arrays ----------------------------------------------------------------------------------------------------------
@rule("dim", "dim of a known size; of a written array that of the old one")
def _(x, axis):
    d = x.type.shape[axis]
    if d is not None:
        return Constant(d, Scalar("i64"))
    if isinstance(x, Apply) and x.op.in_place:
        return dim(x.args[0], axis=axis)
    if isinstance(x, Apply) and x.op.elementwise:
        return next((dim(a, axis=axis) for a in x.args if isinstance(a.type, Array)), None)
    if filled(x) is not None:
        return x.args[1 + sum(s is None for s in x.attrs["shape"][:axis])]


@rule("reshape", "reshape to its own shape = x; reshape(reshape(x)) = reshape(x); a fill reshaped is a fill")
def _(x, *dyn, shape):
    if None not in shape and shape_of(x.type) == tuple(shape):
        return x
    if made_by(x, "reshape"):
        return reshape(x.args[0], *dyn, shape=shape)
    if filled(x) is not None and shape:
        return broadcast(filled(x), *dyn, shape=shape, axes=())


@rule("transpose", "transpose by the identity = x; two transposes = one")
def _(x, perm):
    if perm == tuple(range(len(perm))):
        return x
    if made_by(x, "transpose"):
        return transpose(x.args[0], perm=tuple(x.attrs["perm"][p] for p in perm))
    if filled(x) is not None and None not in x.type.shape:
        return broadcast(filled(x), shape=tuple(x.type.shape[p] for p in perm), axes=())


@rule("broadcast", "broadcast along all its own axes = x; two broadcasts = one")
def _(x, *dyn, shape, axes):
    if isinstance(x.type, Array) and x.type.shape == tuple(shape) and None not in shape:
        return x
    if made_by(x, "broadcast"):
        return broadcast(x.args[0], *dyn, shape=shape, axes=tuple(axes[a] for a in x.attrs["axes"]))


@rule("elem", "an element of a fill, or the one just written")
def _(x, *idx):
    if filled(x) is not None:
        return filled(x)
    if made_by(x, "set_elem") and all(a is b for a, b in zip(x.args[2:], idx, strict=True)):
        return x.args[1]


def _swap(n: Node) -> Node | None:
    """The array whose last two axes `n` swaps."""
    if made_by(n, "transpose"):
        perm = n.attrs["perm"]
        r = len(perm)
        if perm == (*range(r - 2), r - 1, r - 2):
            return n.args[0]
    return None


@rule("matmul", "a.T @ b = matmul[ta](a, b)")
def _(a, b, ta, tb):
    if (x := _swap(a)) is not None:
        return matmul(x, b, ta=not ta, tb=tb)
    if (x := _swap(b)) is not None:
        return matmul(a, x, ta=ta, tb=not tb)


