"""Sizes known at compile time or at run time, and the shapes made of them.

A size is an int, or an i64 node where only the running program knows it.  Arithmetic on sizes folds what is known, so
that programs on arrays of known shapes carry no trace of it.
"""

from __future__ import annotations

import math

from ...ir import Apply, Array, Constant, MyiaValueError, Node, shape_of
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf
from .registry import require


def size(node):
    """A node as a size: an int where it is constant."""
    if isinstance(node, Leaf):
        node = node.node
    return int(node.value) if isinstance(node, Constant) else node


def node_of(ctx, s) -> Node:
    return s if isinstance(s, Node) else ctx.const(int(s)).node


def _operation(fold, prim):
    def operation(ctx, a, b):
        if isinstance(a, int) and isinstance(b, int):
            return fold(a, b)
        return size(ctx.emit(prim, a, b))

    return operation


_plus = _operation(lambda a, b: a + b, E.add)
_minus = _operation(lambda a, b: a - b, E.sub)
_times = _operation(lambda a, b: a * b, E.mul)
_floordiv = _operation(lambda a, b: a // b, E.floordiv)
least = _operation(min, E.minimum)
most = _operation(max, E.maximum)


def plus(ctx, a, b):
    if isinstance(a, int) and a == 0:
        return b
    return a if isinstance(b, int) and b == 0 else _plus(ctx, a, b)


def minus(ctx, a, b):
    if a is b:
        return 0
    return a if isinstance(b, int) and b == 0 else _minus(ctx, a, b)


def times(ctx, a, b):
    if isinstance(a, int) and a in (0, 1):
        return b if a else 0
    if isinstance(b, int) and b in (0, 1):
        return a if b else 0
    return _times(ctx, a, b)


def quotient(ctx, a, b):
    return a if isinstance(b, int) and b == 1 else _floordiv(ctx, a, b)


def same(ctx, a, b):
    """Are two sizes equal: a bool, or a bool node."""
    if surely_same(a, b):
        return True
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return fact(ctx.emit(E.eq, a, b))


def is_dim(s) -> bool:
    """Is s the size of an axis, and so never negative?"""
    return isinstance(s, Apply) and s.op is A.dim


def surely_same(a, b) -> bool:
    """Are two sizes known to be equal?"""
    if isinstance(a, Node) and isinstance(b, Node):
        return _source(a) == _source(b)
    return isinstance(a, int) and isinstance(b, int) and a == b


def at_least(ctx, a, b):
    """a >= b, likewise."""
    if isinstance(a, int) and isinstance(b, int):
        return a >= b
    return fact(ctx.emit(E.ge, a, b))


def fact(node):
    """A bool node, or the bool it is known to be."""
    return bool(node.value) if isinstance(node, Constant) else node


def both(ctx, p, q):
    """p and q, each a bool or a bool node."""
    if p is True or q is False:
        return q
    if q is True or p is False:
        return p
    return ctx.emit(E.bit_and, p, q)


def either(ctx, p, q):
    if p is False or q is True:
        return q
    if q is False or p is True:
        return p
    return ctx.emit(E.bit_or, p, q)


def negated(ctx, p):
    return (not p) if isinstance(p, bool) else fact(ctx.emit(E.logical_not, p))


# ---- shapes ----------------------------------------------------------------------------------------------------------
def shape(ctx, node) -> tuple:
    """The sizes of a node's axes."""
    node = node.node if isinstance(node, Leaf) else node
    return tuple(_unknown(ctx, node, k) if d is None else d for k, d in enumerate(shape_of(node.type)))


def _unknown(ctx, node, axis):
    """The size that made the axis, where it is in sight; else a `dim`, of this node: older arrays may be stale."""
    made = _traced(node, axis)
    return made if isinstance(made, Node) else size(ctx.emit(A.dim, node, axis=axis))


def _traced(node, axis):
    """The argument that gives an axis its size, or (node, axis) where the axis first appears."""
    while isinstance(node, Apply):
        if "shape" in node.attrs:
            shape_ = node.attrs["shape"]
            if shape_[axis] is not None:
                break
            dyn = node.args[len(node.args) - shape_.count(None) :]
            return dyn[shape_[:axis].count(None)]
        if node.op.elementwise:
            node = next(x for x in node.args if isinstance(x.type, Array))
        elif node.op is A.transpose:
            node, axis = node.args[0], node.attrs["perm"][axis]
        elif node.op is A.gather:
            picked = node.args[1].type.rank
            node, axis = (node.args[1], axis) if axis < picked else (node.args[0], axis - picked + len(node.args) - 1)
        else:
            break
    return node, axis


def _source(s):
    """What tells two sizes apart: the axis that a `dim` is the size of, else the node."""
    if is_dim(s):
        made = _traced(s.args[0], s.attrs["axis"])
        return made if isinstance(made, tuple) else _source(made)
    return s


def total(ctx, sizes):
    """The number of elements."""
    known = math.prod(s for s in sizes if isinstance(s, int))
    out = known
    for s in sizes:
        if not isinstance(s, int):
            out = times(ctx, out, s)
    return out


def attribute(sizes) -> tuple[tuple, list]:
    """A `shape` attribute, and the arguments for its unknown dims."""
    return tuple(s if isinstance(s, int) else None for s in sizes), [s for s in sizes if not isinstance(s, int)]


def reshape(ctx, node, sizes):
    """`node` in a shape of as many elements."""
    known, dyn = attribute(sizes)
    own = shape_of(node.type)
    if len(own) == len(sizes) and all(_is_size(node, k, d, s) for k, (d, s) in enumerate(zip(own, sizes, strict=True))):
        return node
    if not isinstance(node.type, Array):
        return fill(ctx, node, sizes)
    return ctx.emit(A.reshape, node, *dyn, shape=known)


def _is_size(node, axis, known, s) -> bool:
    """Is s the size of that axis of the node, for certain?"""
    if known is not None or isinstance(s, int):
        return known == s
    made = _traced(node, axis)
    return (made if isinstance(made, tuple) else _source(made)) == _source(s)


def spread(ctx, node, sizes, axes):
    """Axis k of `node` as axis axes[k] of an array of shape `sizes`; the other axes repeat it."""
    known, dyn = attribute(sizes)
    if len(axes) == len(sizes):
        return node
    return ctx.emit(A.broadcast, node, *dyn, shape=known, axes=tuple(axes))


def fill(ctx, scalar, sizes):
    """An array of that shape, the scalar everywhere."""
    return spread(ctx, scalar, sizes, ()) if sizes else scalar


def iota(ctx, n, sizes=None, axis=0):
    """0, 1, …, n - 1, along one axis of an array of shape `sizes`."""
    known, dyn = attribute((n,))
    line = ctx.emit(A.iota, *dyn, shape=known)
    return line if sizes is None else spread(ctx, line, sizes, (axis,))


def transpose(ctx, node, perm):
    perm = tuple(perm)
    return node if perm == tuple(range(len(perm))) else ctx.emit(A.transpose, node, perm=perm)


# ---- broadcasting ----------------------------------------------------------------------------------------------------
def text(sizes) -> str:
    """A shape as NumPy prints it."""
    inner = ",".join(str(s) if isinstance(s, int) else "?" for s in sizes)
    return f"({inner}{',' * (len(sizes) == 1)})"


def common(ctx, shapes, what="operands could not be broadcast together with shapes {}", exception=MyiaValueError):
    """The shape that `shapes` broadcast to.

    An axis of a size not known at compile time is not stretched: where it meets another size, a guard asks that the two
    agree, and so an unknown size that turns out 1 is refused at run time, never wrong.
    """
    rank = max(map(len, shapes), default=0)
    out = [1] * rank
    for s in shapes:
        for k, d in enumerate(s, rank - len(s)):
            old = out[k]
            if isinstance(old, int) and old == 1:
                out[k] = d
            elif isinstance(d, int) and d == 1:
                continue
            else:
                agree = same(ctx, old, d)
                message = what.format(" ".join(map(text, shapes)))
                if agree is False:
                    ctx.error(message, "reshape one of them, or check the sizes", cls=exception)
                values = [node_of(ctx, old), node_of(ctx, d)]
                builtin = exception.__name__.removeprefix("Myia")
                hint = "{0} and {1} on one axis (where a size is known at run time only, it is not stretched)"
                require(ctx, builtin, f"{message}: {hint}", agree, *values)
                out[k] = old if isinstance(old, int) else d
    return tuple(out)


def stretched(ctx, node, sizes):
    """`node` broadcast to `sizes`, which it fits: its stretched axes of size 1 go, and come back repeated."""
    own = shape(ctx, node)
    if not own:
        return fill(ctx, node, sizes)
    offset = len(sizes) - len(own)
    kept = [k for k, d in enumerate(own) if not _stretches(d, sizes[k + offset])]
    if len(kept) == len(own):
        if not offset:
            return node
        if all(isinstance(s, int) and s == 1 for s in sizes[:offset]):
            return reshape(ctx, node, (*sizes[:offset], *own))
    elif kept or own:
        node = reshape(ctx, node, tuple(own[k] for k in kept))
    return spread(ctx, node, sizes, tuple(k + offset for k in kept)) if kept else fill(ctx, node, sizes)


def _stretches(d, target) -> bool:
    return isinstance(d, int) and d == 1 and not (isinstance(target, int) and target == 1)


def aligned(ctx, nodes):
    """Operands of one elementwise primitive, of one shape or scalar."""
    shapes = [shape(ctx, n) for n in nodes]
    arrays = [s for s in shapes if s]
    if len(arrays) < 2 or len({id(n) for n, s in zip(nodes, shapes, strict=True) if s}) == 1:
        return nodes
    known = {shape_of(n.type) for n, s in zip(nodes, shapes, strict=True) if s}
    if len(known) == 1 and None not in next(iter(known)):
        return nodes
    sizes = common(ctx, shapes)
    carried = any(s and len(s) == len(sizes) and not any(map(_stretches, s, sizes)) for s in shapes)
    out = []
    for n, s in zip(nodes, shapes, strict=True):
        if s and carried and all(isinstance(d, int) and d == 1 for d in s) and s != sizes:
            out.append(reshape(ctx, n, ()))  # a scalar stands for each element
        else:
            out.append(stretched(ctx, n, sizes) if s else n)
    return out
