"""Which outputs depend on which inputs: a meaning of the primitives on values that carry index sets.

A typed program is run on these by the reference back end, at a point of interest.  A value that is not the same at all
points is `Tracked`: its elements beside the names of their index sets (`IndexSets`).  So loops, recursion and branches
go the way they go at this point, and `Dependence.branched` tells whether the point had a say in that, or in an index:
if not, the pattern is the same at all points.

A set says where a derivative *may* be other than zero: which of two operands is the larger, or which one `where` picks
by a condition on the inputs, makes no difference, so that the pattern is one for a neighbourhood and not for a point.
What is zero whatever the inputs are does: `0 * x` depends on nothing, and a matrix of constants passes on what its
zeros let through.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from ..ir import Apply, Tuple
from ..ops.arrays import set_elem, slice_set
from ..ops.arrays import slice as slice_
from .index_sets import CONSTANT, FIRST, VARIES, IndexSets

EXACT = 1 << 22  # products in a matmul that are looked at one by one; of larger ones, whole rows and columns


class Tracked:
    """A scalar or array whose elements have index sets; of what is no float they are CONSTANT or VARIES."""

    __slots__ = ("value", "sets", "owner")

    def __init__(self, value, sets, owner: Dependence):
        self.value, self.sets, self.owner = value, sets, owner

    def __bool__(self):
        """A branch on it."""
        return bool(self.owner.decided(self))


class Dependence:
    """The meaning of primitives for inputs of so many float elements; `inputs` makes them."""

    def __init__(self, count: int):
        self.sets, self.count, self.taken = IndexSets(count), count, 0
        self.branched = False

    def input(self, value) -> Tracked:
        """A float leaf of the inputs, the next in order."""
        names = np.arange(FIRST + self.taken, FIRST + self.taken + np.size(value)).reshape(np.shape(value))
        self.taken += np.size(value)
        return Tracked(value, names if names.ndim else int(names), self)

    def varying(self, value) -> Tracked:
        """A leaf that is different from point to point, and in whose derivatives we have no interest."""
        return Tracked(value, np.full(np.shape(value), VARIES) if np.ndim(value) else VARIES, self)

    def pattern(self, results: list):
        """A row for each element of the results, in order, a column for each element of the inputs."""
        names = [np.reshape(_sets(r), -1) for r in results]
        return self.sets.members(np.concatenate([np.zeros(0, np.int64), *names]))

    def decided(self, x):
        """The value on which an index or a branch depends."""
        if x.__class__ is not Tracked:
            return x
        self.branched = self.branched or bool(np.any(x.sets))
        return x.value

    def meaning(self, n: Apply) -> Callable | None:
        """What a node does to its arguments, tracked or not; None for control, which moves them only."""
        op, value = n.op, n.op.value
        if value is None or op.name in MOVES:
            return value
        rule = RULES.get(op.name) or (_elementwise if op.elementwise else _opaque)

        def run(*args, **attrs):
            for a in args:
                if a.__class__ is Tracked:
                    return rule(self, n, *args, **attrs)
            return value(*args, **attrs)

        return run


MOVES = frozenset({"tuple", "get", "make", "stack_new", "stack_push", "stack_pop", "stack_len"})


def _value(x):
    return x.value if x.__class__ is Tracked else x


def _sets(x):
    """The names for each element; for a constant scalar just one."""
    if x.__class__ is Tracked:
        return x.sets
    return np.zeros(x.shape, np.int64) if isinstance(x, np.ndarray) else CONSTANT


def _differentiable(t) -> bool:
    return not isinstance(t, Tuple) and t.dtype not in ("bool", "i32", "i64")


def _result(d: Dependence, n: Apply, value, sets):
    """Tracked, if anything varies; with no more than that it does where there is no derivative."""
    if n.op.zero_derivative is not None or not _differentiable(n.type):
        sets = np.minimum(sets, VARIES)
    if isinstance(value, np.ndarray):
        if np.shape(sets) != value.shape:
            sets = np.broadcast_to(sets, value.shape).copy()
        return Tracked(value, sets, d)
    return Tracked(value, int(sets), d)


# ---- elementwise -----------------------------------------------------------------------------------------------------
def _elementwise(d, n, /, *args, **attrs):
    values = [_value(a) for a in args]
    value = n.op.value(*values, **attrs)
    if n.op.zero_derivative is not None or not _differentiable(n.type):
        sets = CONSTANT
        for a in args:
            if a.__class__ is Tracked:
                sets = np.maximum(sets, np.minimum(a.sets, VARIES))
        return _result(d, n, value, sets)
    sets = [a.sets if a.__class__ is Tracked else CONSTANT for a in args]
    if n.op.name == "mul":
        sets = _without_zeros(sets, values)
    elif n.op.name == "select" and not np.any(sets[0]):
        return _result(d, n, value, np.where(values[0], sets[1], sets[2]))
    union = sets[0]
    for s in sets[1:]:
        union = d.sets.union(union, s)
    return _result(d, n, value, union)


def _without_zeros(sets, values):
    """The sets of two factors, where the other is not a constant zero."""
    (s, t), (a, b) = sets, values
    return [_masked(s, _zero(b, t)), _masked(t, _zero(a, s))]


def _zero(value, sets):
    """Where is a value a constant zero?"""
    return (value == 0) & (np.asarray(sets) == CONSTANT)


def _masked(sets, out):
    if not np.any(out):
        return sets
    sets = np.where(out, CONSTANT, sets)
    return sets if sets.ndim else int(sets)


# ---- moving elements -------------------------------------------------------------------------------------------------
def _moving(d, n, /, *args, own=False, **attrs):
    """The sets go the way of the elements: through the primitive itself."""
    data = range(len(args)) if n.op.linear[-1] is ... else n.op.linear
    writable = _writable(args[0], own) if n.op.in_place else None
    rest = [None if k in data else d.decided(a) for k, a in enumerate(args)]
    values = [_value(a) if k in data else r for k, (a, r) in enumerate(zip(args, rest, strict=True))]
    sets = [_array_or_number(_sets(a)) if k in data else r for k, (a, r) in enumerate(zip(args, rest, strict=True))]
    if writable is None:
        return _result(d, n, n.op.value(*values, **attrs), n.op.value(*sets, **attrs))
    value = n.op.value(*values, own=writable[0], **attrs)
    return _result(d, n, value, n.op.value(*sets, own=writable[1], **attrs))


def _array_or_number(sets):
    return np.int64(sets) if sets.__class__ is int else sets


def _writable(x, own: bool) -> tuple[bool, bool]:
    """May the elements be written over, and the sets?  `own`: nobody else holds `x`, but others may hold its parts."""
    if x.__class__ is not Tracked:
        return own, True
    return own and sys.getrefcount(x.value) <= 2, own and sys.getrefcount(x.sets) <= 2


def _slice_add(d, n, /, x, v, *starts, steps, own=False):
    starts = [d.decided(s) for s in starts]
    own_value, own_sets = _writable(x, own)
    sets, size = _sets(x), np.shape(_value(v))
    there = d.sets.union(slice_.value(sets, *starts, steps=steps, shape=size), _sets(v))
    value = n.op.value(_value(x), _value(v), *starts, steps=steps, own=own_value)
    return _result(d, n, value, slice_set.value(sets, there, *starts, steps=steps, own=own_sets))


def _add_elem(d, n, /, x, v, *idx, own=False):
    idx = [d.decided(i) for i in idx]
    own_value, own_sets = _writable(x, own)
    sets = _sets(x)
    there = d.sets.union(sets[tuple(idx)], _sets(v))
    value = n.op.value(_value(x), _value(v), *idx, own=own_value)
    return _result(d, n, value, set_elem.value(sets, there, *idx, own=own_sets))


def _scatter_add(d, n, /, x, v, *idx, own=False):
    idx = [d.decided(i) for i in idx]
    own_value, own_sets = _writable(x, own)
    sets = _sets(x) if own_sets else _sets(x).copy()
    value = n.op.value(_value(x), _value(v), *idx, own=own_value)
    block = math.prod(sets.shape[len(idx) :])
    start = np.ravel_multi_index(tuple(idx), sets.shape[: len(idx)]) * block
    targets, groups = np.unique(start[..., None] + np.arange(block), return_inverse=True)
    names = _sets(v) if np.ndim(_sets(v)) else np.full(np.shape(_value(v)), _sets(v))
    added = d.sets.grouped(groups.reshape(-1), names.reshape(-1), len(targets))
    place = np.unravel_index(targets, sets.shape)
    sets[place] = d.sets.union(sets[place], added)
    return _result(d, n, value, sets)


# ---- reductions and products -----------------------------------------------------------------------------------------
def _reduction(d, n, /, x, **attrs):
    """All elements count, of maxima too."""
    axes = attrs.get("axes", (attrs.get("axis"),))
    sets = x.sets if _differentiable(n.type) else np.minimum(x.sets, VARIES)
    kept = [k for k in range(sets.ndim) if k not in axes]
    moved = sets.transpose(*kept, *axes)
    length = math.prod(sets.shape[k] for k in axes)
    rows = moved.reshape(*moved.shape[: len(kept)], length)
    return _result(d, n, n.op.value(x.value, **attrs), d.sets.along(rows, -1))


def _cumsum(d, n, /, x, axis, reverse):
    rows = np.moveaxis(x.sets, axis, 0)
    sets = d.sets.running(rows[::-1])[::-1] if reverse else d.sets.running(rows)
    sets = np.ascontiguousarray(np.moveaxis(sets, 0, axis))
    return _result(d, n, n.op.value(x.value, axis=axis, reverse=reverse), sets)


def _recurrence(d, n, /, a, b, reverse):
    """A chain, which a constant zero in `a` cuts; and one in `y` hides what `a` depends on."""
    value = n.op.value(_value(a), _value(b), reverse=reverse)
    way = slice(None, None, -1 if reverse else 1)
    y, own = value[way], _sets(b)[way]
    # in the order of the chain, row k of `factor` and row k - 1 of y make row k of y
    shift = 0 if reverse else 1
    factor, factors = np.roll(_value(a)[way], shift, axis=0), np.roll(_sets(a)[way], shift, axis=0)
    started = np.logical_or.accumulate((y != 0) | (own != CONSTANT), axis=0)
    factors[:1] = CONSTANT
    factors[1:][~started[:-1]] = CONSTANT
    sets = d.sets.running(d.sets.union(own, factors), ~_zero(factor, factors))
    return _result(d, n, value, np.ascontiguousarray(sets[way]))


def _matmul(d, n, /, a, b, ta, tb):
    value = n.op.value(_value(a), _value(b), ta=ta, tb=tb)
    left, right = _sets(a), _sets(b)
    zero_left, zero_right = _zero(_value(a), left), _zero(_value(b), right)
    if ta:
        left, zero_left = left.swapaxes(-1, -2), zero_left.swapaxes(-1, -2)
    if tb:
        right, zero_right = right.swapaxes(-1, -2), zero_right.swapaxes(-1, -2)
    if left.ndim == 2 and not left.any() and np.count_nonzero(~zero_left) * right.shape[1] <= EXACT:
        return _result(d, n, value, _through(d, zero_left, right))
    if right.ndim == 2 and not right.any() and np.count_nonzero(~zero_right) * left.shape[0] <= EXACT:
        return _result(d, n, value, np.ascontiguousarray(_through(d, zero_right.T, left.T).T))
    if value.size * left.shape[-1] <= EXACT:
        left, right = left[..., :, :, None], right[..., None, :, :]
        terms = d.sets.union(_masked(left, zero_right[..., None, :, :]), _masked(right, zero_left[..., :, :, None]))
        return _result(d, n, value, d.sets.along(terms, -2))
    rows, columns = d.sets.along(left, -1), d.sets.along(right, -2)
    return _result(d, n, value, d.sets.union(rows[..., :, None], columns[..., None, :]))


def _through(d, zero, sets):
    """The sets of a constant matrix, which is zero in places, times a matrix with sets."""
    rows, inner = np.nonzero(~zero)
    width = sets.shape[1]
    groups = rows[:, None] * width + np.arange(width)
    names = d.sets.grouped(groups.reshape(-1), sets[inner].reshape(-1), len(zero) * width)
    return names.reshape(len(zero), width)


def _opaque(d, n, /, *args, **attrs):
    """Of a primitive without a rule: every element depends on all that varies."""
    everything = CONSTANT
    for a in args:
        if a.__class__ is Tracked and np.size(a.sets):
            everything = d.sets.union(everything, d.sets.along(np.reshape(a.sets, (1, -1)), -1)[0])
    attrs.pop("own", None)
    value = n.op.value(*map(_value, args), **attrs)
    if isinstance(n.type, Tuple):
        return tuple(Tracked(v, np.full(np.shape(v), everything) if np.ndim(v) else everything, d) for v in value)
    return _result(d, n, value, everything)


def _dim(d, n, /, x, axis):
    return n.op.value(x.value, axis=axis)


MOVING = "broadcast reshape transpose concat slice elem gather slice_set set_elem scatter_set"
REDUCTIONS = "reduce_sum reduce_prod reduce_max reduce_min reduce_any reduce_all argmax argmin"
RULES: dict[str, Callable] = {
    **dict.fromkeys(MOVING.split(), _moving),
    **dict.fromkeys(REDUCTIONS.split(), _reduction),
    "slice_add": _slice_add,
    "add_elem": _add_elem,
    "scatter_add": _scatter_add,
    "cumsum": _cumsum,
    "recurrence": _recurrence,
    "matmul": _matmul,
    "dim": _dim,
}
