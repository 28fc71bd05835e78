"""Sums of products of two arrays, as loops over axes with strides: matrix products and what is done to them.

A view of an array may be transposed, cut, repeated and reshaped without a copy: each of its dims is a list of factors,
each with a size and a stride.  A product puts two views side by side, and the factors of dims that mean the same are
split until they agree; so are the dims of a product and of where it goes.  Thus a convolution reads its windows where
they lie, and adds up where the sum is wanted.

`Meaning` says what is known about sizes: the types, before lowering; values, while code is emitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...ir import Apply, Array, Constant, Node
from .sizes import ONE, ZERO, Stride, row_major

TERMS = 64  # products in one sum
VIEWS = frozenset({"broadcast", "transpose", "slice", "reshape", "gather"})


class Mismatch(Exception):
    """Sizes that do not factor alike."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of a dim: how many steps, and how far each goes in each array concerned."""

    size: object
    strides: tuple[Stride, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """An array that is read, or written, from element `offset` on."""

    node: Node
    offset: object = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A view (one operand), or the sum over `reduced` of products of two."""

    operands: tuple[Operand, ...]
    dims: tuple[tuple[Factor, ...], ...]
    reduced: tuple[Factor, ...] = ()
    node: Apply | None = None  # the product itself
    views: tuple[Apply, ...] = ()  # the views that are looked through
    inner: tuple[Apply, ...] = ()  # the nodes that are not lowered themselves, views aside


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """target[kept] = the sum of `terms` and of the arrays and numbers `others`; or target[kept] += that of the terms
    where `others` is None.

    The strides of a kept factor are those in the target, and then in the two operands of each term.
    """

    target: Operand
    others: tuple[Node, ...] | None
    kept: tuple[Factor, ...]
    terms: tuple[Tensor, ...]
    inner: tuple[Apply, ...]
    overlaps: bool  # may two points be one element of the target?


class Meaning:
    """What is known where: sizes are ints or values; this one knows the types."""

    decided = False  # are the views that are looked through the right ones?

    def __init__(self, uses, pinned):
        self.uses, self.pinned = uses, pinned
        self.unknown: dict = {}
        self.summed: set[Node] = set()  # additions that were looked at as a part of a longer sum

    def follows(self, node: Apply) -> bool:
        """Is a view looked through?"""
        return True

    def joins(self, node: Node) -> bool:
        """Does a node belong to the one nest that its consumer is in?"""
        return (
            isinstance(node, Apply)
            and node not in self.pinned
            and sum(c.op.name != "dim" for c, _ in self.uses.get(node, ())) == 1
        )

    def extents(self, node: Node, p: Tensor) -> list:
        """The sizes of the result of a product."""
        return self.sizes(node)

    def sizes(self, node: Node) -> list:
        """The sizes of an array."""
        return [self._unknown(node, k) if d is None else d for k, d in enumerate(node.type.shape)]

    def scalar(self, node: Node):
        if isinstance(node, Apply) and node.op.name == "dim":
            return self.sizes(node.args[0])[node.attrs["axis"]]
        return node.value if isinstance(node, Constant) else self._unknown(node, None)

    def _unknown(self, node, axis):
        return self.unknown.setdefault((node, axis), object())

    def divided(self, size, by: int):
        return self.unknown.setdefault((size, by), object())

    def moved(self, offset, start, stride: Stride):
        """An offset, further by `start` steps of a stride."""
        return 0

    def given(self, node: Apply) -> list:
        """The sizes in the attribute `shape` and the last arguments."""
        shape = node.attrs["shape"]
        dyn = iter(node.args[len(node.args) - sum(d is None for d in shape) :])
        return [d if d is not None else self.scalar(next(dyn)) for d in shape]


# ---- dims ------------------------------------------------------------------------------------------------------------
def _split(meaning: Meaning, f: Factor, inner: int) -> tuple[Factor, Factor]:
    size = f.size // inner if isinstance(f.size, int) else meaning.divided(f.size, inner)
    return Factor(size, tuple(s * inner for s in f.strides)), Factor(inner, f.strides)


def _splits(f: Factor, by, rest) -> bool:
    """Can a factor be split so that its inner part has the size `by`, where `rest` are the factors around it?  One of
    unknown size can if it is the outermost: the sizes of both sides agree as a whole."""
    if not isinstance(by, int) or by == 0:
        return False
    return f.size % by == 0 if isinstance(f.size, int) else not rest


def _joined(meaning: Meaning, one, other) -> tuple[Factor, ...]:
    """The factors of one dim as two tensors have it, with the strides of both."""
    one, other, out = [f for f in one if f.size != 1], [f for f in other if f.size != 1], []
    while one and other:
        f, g = one.pop(), other.pop()
        if f.size is g.size or f.size == g.size:
            pass
        elif not one and not other:
            if isinstance(f.size, int) and isinstance(g.size, int):
                raise Mismatch
        elif _splits(f, g.size, one):
            outer, f = _split(meaning, f, g.size)
            one.append(outer)
        elif _splits(g, f.size, other):
            outer, g = _split(meaning, g, f.size)
            other.append(outer)
        else:
            raise Mismatch
        out.append(Factor(f.size if isinstance(f.size, int) else g.size, f.strides + g.strides))
    if one or other:
        raise Mismatch
    return tuple(reversed(out))


def _regrouped(meaning: Meaning, dims, sizes) -> tuple[tuple[Factor, ...], ...]:
    """The dims of a reshaped tensor."""
    left = [f for d in dims for f in d if f.size != 1]
    out: list = []
    for k in reversed(range(len(sizes))):
        size, mine = sizes[k], []
        if all(isinstance(n, int) and n == 1 for n in sizes[:k]):  # what is left
            mine, left = left, []
        elif not isinstance(size, int):
            if not left or left[-1].size is not size:
                raise Mismatch
            mine = [left.pop()]
        else:
            while size != 1:
                if not left:
                    raise Mismatch
                f = left.pop()
                if isinstance(f.size, int) and f.size and size % f.size == 0:
                    size //= f.size
                elif _splits(f, size, left):
                    outer, f = _split(meaning, f, size)
                    left.append(outer)
                    size = 1
                else:
                    raise Mismatch
                mine.insert(0, f)
        out.insert(0, tuple(mine))
    return tuple(out)


def _beside(dims, before: int, after: int) -> tuple:
    """Dims of one array as those of several, in which the others stand still."""
    still = (ZERO,) * before, (ZERO,) * after
    return tuple(tuple(Factor(f.size, still[0] + f.strides + still[1]) for f in d) for d in dims)


# ---- views -----------------------------------------------------------------------------------------------------------
def view(meaning: Meaning, node: Node) -> Tensor:
    """An array, through the views of it that are not materialised."""
    if (
        isinstance(node, Apply)
        and node.op.name in VIEWS
        and isinstance(node.type, Array)
        and isinstance(node.args[0].type, Array)
        and meaning.follows(node)
    ):
        x = view(meaning, node.args[0])
        try:
            return _viewed(meaning, node, x)
        except Mismatch:
            if meaning.decided:
                raise
    sizes = meaning.sizes(node)
    dims = tuple((Factor(d, (s,)),) for d, s in zip(sizes, row_major(sizes), strict=True))
    return Tensor((Operand(node),), dims)


def _viewed(meaning: Meaning, node: Apply, x: Tensor) -> Tensor:
    (operand,), dims = x.operands, x.dims
    match node.op.name:
        case "transpose":
            dims = tuple(dims[p] for p in node.attrs["perm"])
        case "reshape":
            dims = _regrouped(meaning, dims, meaning.given(node))
        case "broadcast":
            new = [(Factor(d, (ZERO,)),) for d in meaning.given(node)]
            for a, d in zip(node.attrs["axes"], dims, strict=True):
                new[a] = d
            dims = tuple(new)
        case "slice":
            starts = [meaning.scalar(s) for s in node.args[1 : 1 + len(dims)]]
            operand, dims = cut(meaning, operand, dims, starts, node.attrs["steps"], meaning.given(node))
        case "gather":
            operand, dims = windowed(meaning, operand, dims, node.args[1:])
    return Tensor((operand,), dims, views=(*x.views, node))


def cut(meaning: Meaning, operand: Operand, dims, starts, steps, sizes):
    """The operand and the dims of a window."""
    offset, out = operand.offset, []
    for d, start, step, size in zip(dims, starts, steps, sizes, strict=True):
        d = tuple(f for f in d if f.size != 1)
        if len(d) == 1:
            (f,) = d
            offset = meaning.moved(offset, start, f.strides[0])
            out.append((Factor(size, (f.strides[0] * step,)),))
        elif not d and size == 1 or isinstance(start, int) and start == 0 and step == 1 and _whole(d, size):
            out.append(d)
        else:
            raise Mismatch
    return Operand(operand.node, offset), tuple(out)


def _whole(factors, size) -> bool:
    n = 1
    for f in factors:
        if not isinstance(f.size, int):
            return False
        n *= f.size
    return n == size


def windowed(meaning: Meaning, operand: Operand, dims, indexes):
    """The operand and the dims of what is gathered at indexes that are linear in their own axes: windows that slide."""
    steps: list[dict] = [{} for _ in indexes[0].type.shape]
    offset = operand.offset
    for d, index in zip(dims, indexes, strict=False):
        start, coefficients = linear(meaning, index)
        d = tuple(f for f in d if f.size != 1)
        if len(d) > 1:
            raise Mismatch
        for f in d:
            offset = meaning.moved(offset, start, f.strides[0])
            for k, c in enumerate(coefficients):
                if c:
                    steps[k][f.strides[0] * c] = None
    if any(len(s) > 1 for s in steps):
        raise Mismatch
    sizes = meaning.sizes(indexes[0])
    picked = tuple((Factor(n, tuple(s) or (ZERO,)),) for n, s in zip(sizes, steps, strict=True))
    return Operand(operand.node, offset), (*picked, *dims[len(indexes) :])


def linear(meaning: Meaning, index: Node) -> tuple:
    """An array of integers as a start, and a step along each axis.  Raises Mismatch where it is more than that."""
    if not isinstance(index.type, Array):
        return meaning.scalar(index), []
    if isinstance(index, Apply):
        x = index.args[0] if index.args else None
        match index.op.name:
            case "iota":
                return 0, [1]
            case "broadcast":
                start, inner = linear(meaning, x)
                steps = [0] * index.type.rank
                for a, c in zip(index.attrs["axes"], inner, strict=True):
                    steps[a] = c
                return start, steps
            case "add":
                (p, one), (q, other) = (linear(meaning, a) for a in index.args)
                steps = [c + d for c, d in zip(one, other, strict=True)] if one and other else one or other
                return meaning.moved(p, q, ONE), steps
            case "mul" if isinstance(index.args[1], Constant) and not isinstance(index.args[1].type, Array):
                (start, steps), by = linear(meaning, x), index.args[1].value
                return meaning.moved(0, start, Stride(by)), [c * by for c in steps]
    raise Mismatch


# ---- products --------------------------------------------------------------------------------------------------------
def product(meaning: Meaning, node: Apply, summed=False) -> Tensor | None:
    """The sum of products that a node is; None where it is none.  `summed`: are its elements to be added up?"""
    name = node.op.name
    if name == "matmul":
        return None if node.args[0].type.shape[-2 if node.attrs["ta"] else -1] == 1 else _matmul(meaning, node)
    if name == "mul" and summed and all(isinstance(a.type, Array) for a in node.args):
        a, b = (view(meaning, x) for x in node.args)
        dims = (_joined(meaning, *pair) for pair in zip(a.dims, b.dims, strict=True))
        return Tensor(a.operands + b.operands, tuple(dims), (), node, a.views + b.views)
    if name not in ("reduce_sum", "transpose", "reshape") or not isinstance(node.type, Array):
        return None
    x = node.args[0]
    if not isinstance(x.type, Array) or not meaning.joins(x):
        return None
    p = product(meaning, x, summed or name == "reduce_sum")
    if p is None:
        return None
    dims, reduced = p.dims, p.reduced
    if name == "transpose":
        dims = tuple(dims[k] for k in node.attrs["perm"])
    elif name == "reshape":
        dims = _regrouped(meaning, dims, meaning.given(node))
    else:
        axes = node.attrs["axes"]
        reduced = (*(f for k in axes for f in dims[k]), *reduced)
        dims = tuple(d for k, d in enumerate(dims) if k not in axes)
    return Tensor(p.operands, dims, reduced, p.node, p.views, (*p.inner, x))


def _matmul(meaning: Meaning, node: Apply) -> Tensor:
    a, b = (view(meaning, x) for x in node.args)
    (*left, m, k), (*right, k2, n) = a.dims, b.dims
    if node.attrs["ta"]:
        m, k = k, m
    if node.attrs["tb"]:
        k2, n = n, k2
    batch = tuple(_joined(meaning, *pair) for pair in zip(left, right, strict=True))
    dims = (*batch, *_beside((m,), 0, 1), *_beside((n,), 1, 0))
    return Tensor(a.operands + b.operands, dims, _joined(meaning, k, k2), node, a.views + b.views)


# ---- contractions ----------------------------------------------------------------------------------------------------
def contraction(meaning: Meaning, node: Apply) -> Contraction | None:
    """What a node computes, and those that it alone needs, if that is a sum of products.  Raises Mismatch."""
    if not isinstance(node.type, Array) or node.type.dtype not in ("f32", "f64"):
        return None
    others: tuple | None = ()
    if node.op.name in ("slice_add", "scatter_add"):
        x, v, *places = node.args
        if not meaning.joins(v) or (p := product(meaning, v)) is None:
            return None
        sizes = meaning.sizes(x)
        whole = tuple((Factor(d, (s,)),) for d, s in zip(sizes, row_major(sizes), strict=True))
        if node.op.name == "scatter_add":
            target, dims = windowed(meaning, Operand(x), whole, places)
        else:
            places = list(map(meaning.scalar, places))
            target, dims = cut(meaning, Operand(x), whole, places, node.attrs["steps"], meaning.extents(v, p))
        terms, inner, others = [p], (v,), None
    else:
        if node.op.name == "add":
            terms, inner, others = _terms(meaning, node)
        else:
            terms, inner = [product(meaning, node)], ()
        if not terms or terms[0] is None:
            return None
        sizes = meaning.extents(node, terms[0])
        target, dims = Operand(node), tuple((Factor(d, (s,)),) for d, s in zip(sizes, row_major(sizes), strict=True))
    for t in terms:
        dims = tuple(_joined(meaning, *pair) for pair in zip(dims, t.dims, strict=True))
    terms = [replace(t, reduced=_merged(t.reduced)) for t in terms]
    inner = (*inner, *(n for t in terms for n in t.inner))
    overlaps = node.op.name == "scatter_add"
    return Contraction(target, others, _merged(f for d in dims for f in d), tuple(terms), inner, overlaps)


def _terms(meaning: Meaning, node: Apply):
    """The products that a sum adds up, the nodes in between, and what else it adds: from the end on, so that of a very
    long sum the beginning is another array."""
    terms, inner, others, todo = [], [], [], list(node.args)
    while todo:
        x = todo.pop()
        if isinstance(x.type, Array) and meaning.joins(x) and len(terms) < TERMS:
            if x.op.name == "add":
                inner.append(x)
                meaning.summed.add(x)
                todo += x.args
                continue
            if (p := product(meaning, x)) is not None:
                terms.append(p)
                inner.append(x)
                continue
        others.append(x)
    return terms[::-1], tuple(inner), tuple(reversed(others))


def _merged(factors) -> tuple[Factor, ...]:
    """Neighbours that are one loop in all arrays concerned are one factor."""
    out: list[Factor] = []
    for f in factors:
        if (
            out
            and isinstance(f.size, int)
            and all(s == t * f.size for s, t in zip(out[-1].strides, f.strides, strict=True))
        ):
            o = out.pop()
            if isinstance(o.size, int):
                f = Factor(o.size * f.size, f.strides)
            else:
                out.append(o)
        out.append(f)
    return tuple(out)


# ---- what is worth it ------------------------------------------------------------------------------------------------
AGAIN = 4  # uses of each element that make a copy worth it
SMALL, NEAR = 1 << 15, 1 << 17  # elements of a copy, of what stays in a near cache while the rest goes by


def along(kept) -> int | None:
    """The factor along which the target lies in one piece: that of the vectors."""
    return next((k for k, f in enumerate(kept) if f.strides[0] == ONE), None)


def footprint(c: Contraction, term: int, operand: int) -> int | None:
    """How many elements of an operand are read; None where nobody knows."""
    n = 1
    walks = [(f.size, f.strides[1 + 2 * term + operand]) for f in c.kept]
    walks += [(f.size, f.strides[operand]) for f in c.terms[term].reduced]
    for size, stride in walks:
        if stride != ZERO:
            if not isinstance(size, int):
                return None
            n *= size
    return n


def in_vectors(c: Contraction) -> bool:
    """Can the vectors be read as they lie, or from a small copy?"""
    v = along(c.kept)
    if v is None or any(f.size == 0 for f in c.kept) or any(f.size == 0 for t in c.terms for f in t.reduced):
        return False
    for t in range(len(c.terms)):
        for o in (0, 1):
            if c.kept[v].strides[1 + 2 * t + o] not in (ZERO, ONE):
                n = footprint(c, t, o)
                if n is None or n > SMALL or not _used_again(c, 1 + 2 * t + o):
                    return False
    return True


def _used_again(c: Contraction, which: int) -> bool:
    """Is each element of an operand read so often that a copy is worth it?"""
    n = 1
    for f in c.kept:
        if f.strides[which] == ZERO:
            n = n * f.size if isinstance(f.size, int) else AGAIN
    return n >= AGAIN


def near(c: Contraction) -> bool:
    """Does a part of each product stay near, for each of many products side by side: an operand, or the target?"""
    for t, term in enumerate(c.terms):
        left, right, target = 1, 1, 1
        walks = [(f.size, *f.strides[1 + 2 * t : 3 + 2 * t]) for f in c.kept]
        walks = [w for w in walks if ZERO in w]
        for size, p, q in (*walks, *((f.size, *f.strides) for f in term.reduced)):
            left, right = _times(left, size, p), _times(right, size, q)
        for size, *_ in walks:
            target = _times(target, size, ONE)
        if not any(n is not None and n <= NEAR for n in (left, right, target)):
            return False
    return True


def _times(n: int | None, size, stride: Stride) -> int | None:
    if stride == ZERO or n is None:
        return n
    return n * size if isinstance(size, int) else None
