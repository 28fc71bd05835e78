"""Arrays: shape, reading and writing, maps and reductions."""

from __future__ import annotations

import math

from ...ir import Apply, Array, Constant, Node, Scalar, current, shape_of
from ...ops import PRIMITIVES
from ...ops.arrays import broadcast, dim, elem, matmul, reshape, slice
from ...ops.arrays.shapes import first_axes_as_one
from ...ops.elementwise import add, mul
from ..rule import Rule, RuleSet, computed, equation
from ..terms import filled, known, made_by, same_value, typed

REDUCTIONS = ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_any", "reduce_all")


# ---- sizes -----------------------------------------------------------------------------------------------------------
@computed("dim", "dim of a known size == that size; of a result == that of the operand it has the size of")
def _dim(x, axis):
    d = x.type.shape[axis]
    if d is not None:
        return Constant(d, Scalar("i64"))
    if x.__class__ is not Apply:
        return None
    op, attrs = x.op, x.attrs
    if op.in_place and isinstance(x.args[0].type, Array):
        return dim(x.args[0], axis=axis)
    if op.elementwise:
        return next((dim(a, axis=axis) for a in x.args if isinstance(a.type, Array)), None)
    if op.name in ("broadcast", "iota", "reshape", "slice"):
        shape = attrs["shape"]
        dyn = x.args[len(x.args) - sum(s is None for s in shape) :]
        return dyn[sum(s is None for s in shape[:axis])] if shape[axis] is None else None
    if op.name == "transpose":
        return dim(x.args[0], axis=attrs["perm"][axis])
    if op.name in REDUCTIONS:
        left = [k for k in range(x.args[0].type.rank) if k not in attrs["axes"]]
        return dim(x.args[0], axis=left[axis])
    if op.name in ("cumsum", "recurrence", "argsort"):
        return dim(x.args[0], axis=axis)


# ---- shape -----------------------------------------------------------------------------------------------------------
@computed("reshape", "reshape(x) == x, of x's own shape")
def _reshape_same(x, *dyn, shape):
    return x if None not in shape and shape_of(x.type) == tuple(shape) else None


@computed("reshape", "reshape(fill(c)) == fill(c)")
def _reshape_fill(x, *dyn, shape):
    c = filled(x)
    return None if c is None or not shape else broadcast(c, *dyn, shape=shape, axes=())


@computed("transpose", "transpose(fill(c)) == fill(c)")
def _transpose_fill(x, perm):
    if (c := filled(x)) is not None and None not in x.type.shape:
        return broadcast(c, shape=tuple(x.type.shape[p] for p in perm), axes=())


@computed("broadcast", "broadcast(x) == x, along all its axes")
def _broadcast_same(x, *dyn, shape, axes):
    return x if isinstance(x.type, Array) and x.type.shape == tuple(shape) and None not in shape else None


@computed("broadcast", "broadcast(broadcast(x)) == broadcast(x)")
def _broadcast_twice(x, *dyn, shape, axes):
    if made_by(x, "broadcast"):
        return broadcast(x.args[0], *dyn, shape=shape, axes=tuple(axes[a] for a in x.attrs["axes"]))


SHAPES = RuleSet(
    "shapes",
    _dim,
    _reshape_same,
    equation("reshape(reshape(x, *_), *dyn, shape=s) == reshape(x, *dyn, shape=s)"),
    _reshape_fill,
    equation("transpose(x, perm=p) == x", "unchanged(p)"),
    equation("transpose(transpose(x, perm=p), perm=q) == transpose(x, perm=compose(p, q))"),
    _transpose_fill,
    _broadcast_same,
    _broadcast_twice,
)


# ---- maps ------------------------------------------------------------------------------------------------------------
def _map_of_fills(op):
    """An elementwise result of fills is a fill."""

    def function(args, attrs, op):
        fill = next((a for a in args if a.__class__ is Apply and a.op is broadcast), None)
        if fill is None:
            return None
        cs = [filled(a) or a for a in args]
        if any(isinstance(c.type, Array) for c in cs):
            return None
        t = op.type_rule([a.type for a in args], attrs, ())
        source = next((a for a in args if filled(a) is not None and a.type.shape == t.shape), None)
        if source is None:
            return None
        one = current().emit(op, *cs, **attrs)
        return typed(broadcast(one, *source.args[1:], shape=source.attrs["shape"], axes=()), op, args, attrs)

    return Rule(f"{op.name}(fill(c), …) == fill({op.name}(c, …))", op, function, size=2)


def _map_beside_fill(op):
    """A scalar operand beside arrays stands for each element, as a fill does."""

    def function(args, attrs, op):
        if not any(a.__class__ is Apply and a.op is broadcast and a.attrs["axes"] == () for a in args):
            return None
        others = [a for a in args if isinstance(a.type, Array) and filled(a) is None]
        t = op.type_rule([a.type for a in args], attrs, ())
        if not any(o.type.shape == t.shape for o in others):
            return None
        return typed(current().emit(op, *[filled(a) or a for a in args], **attrs), op, args, attrs)

    return Rule(f"{op.name}(x, fill(c)) == {op.name}(x, c), x an array", op, function, size=2)


ELEMENTWISE = [
    p for p in PRIMITIVES.values() if p.elementwise and not p.name.endswith("_overflows")
]  # those: scalars only
ONE_OPERAND = ("powi", "polygamma", "cast")  # the others with one are NumPy functions that say so
MAPS = RuleSet(
    "maps",
    *map(_map_of_fills, ELEMENTWISE),
    *(_map_beside_fill(p) for p in ELEMENTWISE if p.name not in ONE_OPERAND and getattr(p.value, "nin", 2) > 1),
)


# ---- reading ---------------------------------------------------------------------------------------------------------
@computed("elem", "elem(fill(c), i) == c")
def _elem_fill(x, *idx):
    return filled(x)


@computed("elem", "elem(broadcast(x), i) == elem(x, i[axes])")
def _elem_broadcast(x, *idx):
    if made_by(x, "broadcast") and x.attrs["axes"]:
        return elem(x.args[0], *[idx[a] for a in x.attrs["axes"]])


@computed("elem", "elem(transpose(x), i) == elem(x, i[perm])")
def _elem_transpose(x, *idx):
    if made_by(x, "transpose"):
        perm = x.attrs["perm"]
        return elem(x.args[0], *[idx[perm.index(k)] for k in range(len(perm))])


@computed("elem", "elem(slice(x, start, step), i) == elem(x, start + i * step)")
def _elem_slice(x, *idx):
    if made_by(x, "slice"):
        starts = x.args[1 : 1 + len(idx)]
        return elem(
            x.args[0],
            *[add(s, i if k == 1 else mul(i, k)) for s, i, k in zip(starts, idx, x.attrs["steps"], strict=True)],
        )


@computed("elem", "elem(reshape(x), i) == elem(x, j), where only axes of size 1 come and go, or i is known")
def _elem_reshape(x, *idx):
    if not made_by(x, "reshape") or not isinstance(x.args[0].type, Array) or None in x.type.shape:
        return None
    old, new = x.args[0].type.shape, x.type.shape
    if [d for d in old if d != 1] == [d for d in new if d != 1]:
        kept = iter([i for i, d in zip(idx, new, strict=True) if d != 1])
        return elem(x.args[0], *[Constant(0, Scalar("i64")) if d == 1 else next(kept) for d in old])
    if None in old or not all(map(known, idx)):
        return None
    place, at = 0, []
    for i, d in zip(idx, new, strict=True):
        place = place * d + i.value
    for d in reversed(old):
        place, k = divmod(place, d)
        at.insert(0, Constant(k, Scalar("i64")))
    return elem(x.args[0], *at)


@computed("elem", "elem(concat(x, y), i) == elem(y, i - len(x)), where i is known")
def _elem_concat(x, *idx):
    if not made_by(x, "concat") or not known(idx[x.attrs["axis"]]):
        return None
    axis = x.attrs["axis"]
    place = idx[axis].value
    for piece in x.args:
        size = piece.type.shape[axis]
        if size is None:
            return None
        if place < size:
            return elem(piece, *idx[:axis], Constant(place, Scalar("i64")), *idx[axis + 1 :])
        place -= size


@computed("elem", "elem(set_elem(x, v, i), j) == elem(x, j), where i and j are known and differ")
def _elem_elsewhere(x, *idx):
    if made_by(x, "set_elem") and any(
        known(a) and known(b) and a.value != b.value for a, b in zip(x.args[2:], idx, strict=True)
    ):
        return elem(x.args[0], *idx)


@computed("slice", "slice(x, 0) == x, of x's own size")
def _slice_all(x, *args, steps, shape):
    starts = args[: len(steps)]
    whole = all(s == 1 for s in steps) and all(known(a) and a.value == 0 for a in starts)
    if whole and len(args) == len(steps) and tuple(shape) == x.type.shape:
        return x
    if (
        whole
        and tuple(shape) == x.type.shape
        and all(
            same_value(d, dim(x, axis=k))
            for d, k in zip(args[len(steps) :], [k for k, s in enumerate(shape) if s is None], strict=True)
        )
    ):
        return x


@computed("slice", "slice(fill(c)) == fill(c)")
def _slice_fill(x, *args, steps, shape):
    if (c := filled(x)) is not None:
        return broadcast(c, *args[len(steps) :], shape=shape, axes=())


@computed("slice", "slice(slice(x, a, s), b, t) == slice(x, a + b * s, s * t)")
def _slice_twice(x, *args, steps, shape):
    if made_by(x, "slice"):
        rank = len(steps)
        starts = [
            add(a, b if s == 1 else mul(b, s))
            for a, b, s in zip(x.args[1 : 1 + rank], args[:rank], x.attrs["steps"], strict=True)
        ]
        both = tuple(s * t for s, t in zip(x.attrs["steps"], steps, strict=True))
        return slice(x.args[0], *starts, *args[rank:], steps=both, shape=shape)


@computed("gather", "gather(x, iota(n)) == x, n the size of x")
def _gather_all(x, *idx):
    if (
        len(idx) == 1
        and made_by(idx[0], "iota")
        and idx[0].type.shape[0] is not None
        and idx[0].type.shape[0] == x.type.shape[0]
    ):
        return x


@computed("gather", "gather(fill(c), i) == fill(c)")
def _gather_fill(x, *idx):
    if (c := filled(x)) is not None:
        t = PRIMITIVES["gather"].type_rule([x.type, *[i.type for i in idx]], {}, ())
        if None not in t.shape:
            return broadcast(c, shape=t.shape, axes=())


READING = RuleSet(
    "reading",
    _elem_fill,
    equation("elem(iota(*_), i) == i"),
    equation("elem(set_elem(_, v, *i), *i) == v"),
    _elem_elsewhere,
    _elem_broadcast,
    _elem_transpose,
    _elem_slice,
    _elem_reshape,
    _elem_concat,
    equation("elem(gather(x, i), k) == elem(x, elem(i, k))", "rank(x) == 1 and rank(i) == 1"),
    _slice_all,
    _slice_fill,
    _slice_twice,
    _gather_all,
    _gather_fill,
)


# ---- reductions and products -----------------------------------------------------------------------------------------
def _reduce_twice(op):
    @computed(op, f"{op}({op}(x)) == {op}(x), over the axes of both")
    def rule(x, axes):
        if made_by(x, op):
            inner = x.attrs["axes"]
            left = [k for k in range(x.args[0].type.rank) if k not in inner]
            return current().emit(PRIMITIVES[op], x.args[0], axes=tuple(sorted((*inner, *(left[a] for a in axes)))))

    return rule


def _reduce_transposed(op):
    @computed(op, f"{op}(transpose(x)) == {op}(x), where the axes that are left keep their order")
    def rule(x, axes):
        if made_by(x, "transpose"):
            perm = x.attrs["perm"]
            left = [perm[k] for k in range(len(perm)) if k not in axes]
            if left == sorted(left):
                return current().emit(PRIMITIVES[op], x.args[0], axes=tuple(sorted(perm[a] for a in axes)))

    return rule


@computed("reduce_sum", "reduce_sum(broadcast(x)) == x * n, over n > 0 repetitions")
def _sum_of_repeated(x, axes):
    if not made_by(x, "broadcast") or any(a in x.attrs["axes"] for a in axes) or None in x.type.shape:
        return None
    count = math.prod(x.type.shape[a] for a in axes)
    left = [k for k in range(x.type.rank) if k not in axes]
    if count == 0 or count >= 2**24:
        return None
    shape = tuple(x.type.shape[k] for k in left)
    inner = mul(x.args[0], Constant(float(count) if x.type.dtype[0] == "f" else count, Scalar(x.type.dtype)))
    return broadcast(inner, shape=shape, axes=tuple(left.index(a) for a in x.attrs["axes"])) if shape else inner


@computed("reduce_sum", "reduce_sum(where(iota == i, x, 0)) == x[i] where 0 <= i < n, else 0")
def _one_hot(x, axes):
    """The sum over a one-hot vector is its one term: a fold becomes a read."""
    from ...ops.elementwise import bit_and, ge, lt, maximum, minimum, select
    from ..terms import structural_zero

    if axes != (0,) or not made_by(x, "select") or x.type.rank != 1 or not x.type.shape[0]:
        return None
    c, v, other = x.args
    if not structural_zero(other) or not made_by(c, "eq"):
        return None
    k, i = c.args if made_by(c.args[0], "iota") else c.args[::-1]
    if not made_by(k, "iota") or isinstance(i.type, Array):
        return None
    n = x.type.shape[0]
    at = minimum(maximum(i, 0), n - 1)
    one = elem(v, at) if isinstance(v.type, Array) else v
    return select(bit_and(ge(i, 0), lt(i, n)), one, 0.0)


def _swap(n: Node) -> Node | None:
    """The array whose last two axes `n` swaps."""
    if made_by(n, "transpose"):
        perm = n.attrs["perm"]
        r = len(perm)
        if perm == (*range(r - 2), r - 1, r - 2):
            return n.args[0]
    return None


@computed("matmul", "a.T @ b == matmul[ta](a, b)")
def _matmul_transposed(a, b, ta, tb):
    if (x := _swap(a)) is not None:
        return matmul(x, b, ta=not ta, tb=tb)
    if (x := _swap(b)) is not None:
        return matmul(a, x, ta=ta, tb=not tb)


@computed("transpose", "(a @ b).T == b.T @ a.T")
def _transposed_matmul(x, perm):
    if perm == (1, 0) and made_by(x, "matmul"):
        a, b = x.args
        return matmul(b, a, ta=not x.attrs["tb"], tb=not x.attrs["ta"])


@computed("matmul", "x @ w == rows(x) @ w, where all matrices in x meet the same w: one product")
def _matmul_of_rows(a, b, ta, tb):
    last = (b.type.rank - 2, b.type.rank - 1)
    if ta or b.type.rank < 3 or not made_by(b, "broadcast") or b.attrs["axes"] != last:
        return None
    w = b.args[0]
    shape = matmul.type_rule([a.type, b.type], {"ta": ta, "tb": tb}, ()).shape
    sizes = [dim(a, axis=k) for k, d in enumerate(shape[:-1]) if d is None]
    if shape[-1] is None:
        sizes.append(dim(w, axis=0 if tb else 1))
    rows = first_axes_as_one(a, b.type.rank - 1)
    return reshape(matmul(rows, w, ta=False, tb=tb), *sizes, shape=shape)


SUM_OF_REPEATED = _sum_of_repeated  # of -0.0, sums differ in the sign
PRODUCTS = RuleSet(
    "reductions and products",
    *map(_reduce_twice, REDUCTIONS),
    *map(_reduce_transposed, REDUCTIONS),
    _one_hot,
    _matmul_transposed,
    _transposed_matmul,
    _matmul_of_rows,
)


# ---- writing ---------------------------------------------------------------------------------------------------------
def _add_of_write(op):
    @computed("add", f"x + {op}(zeros, v, i) == {op}(x, v, i)")
    def rule(x, y):
        from ..terms import is_zero

        for a, b in ((x, y), (y, x)):
            if made_by(b, op) and filled(b.args[0]) is not None and is_zero(b.args[0]) and isinstance(a.type, Array):
                return current().emit(b.op, a, *b.args[1:], **b.attrs)

    return rule


@computed("slice_set", "slice_set(x, v) == v, of x's own size")
def _set_all(x, v, *starts, steps):
    if all(s == 1 for s in steps) and all(known(a) and a.value == 0 for a in starts) and None not in x.type.shape:
        return v if v.type == x.type else None


WRITING = RuleSet(
    "writing",
    *map(_add_of_write, ("add_elem", "slice_add", "scatter_add")),
    equation("set_elem(set_elem(x, _, *i), v, *i) == set_elem(x, v, *i)"),
    equation("set_elem(x, elem(x, *i), *i) == x"),
    equation("set_elem(x, elem(x, *i) + v, *i) == add_elem(x, v, *i)"),
    equation("add_elem(x, zero, *i) == x"),
    equation("slice_add(x, zero, *i) == x"),
    equation("scatter_add(x, zero, *i) == x"),
    _set_all,
)
