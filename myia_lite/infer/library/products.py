"""Products of vectors and matrices: all end in `matmul` over the last two axes, or in a sum of products."""

from __future__ import annotations

import numpy as np

from ...ir import MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from ..values import Leaf, Sequence, Static
from .dtypes import cast, leaf_of, promoted
from .reductions import normalised
from .registry import elaborates, fixed, require
from .shapes import flat
from .sizes import common, node_of, reshape, same, shape, stretched, text, times, transpose
from .ufuncs import FUNCTIONS, apply


def operands(ctx, a, b) -> list:
    """The nodes of two factors, of one dtype.  Bools multiply as ints: see `closed`."""
    leaves = [leaf_of(ctx, a), leaf_of(ctx, b)]
    dtype = promoted(ctx, leaves)
    return [cast(ctx, x.node, "i64" if dtype == "bool" else dtype) for x in leaves], dtype == "bool"


def closed(ctx, node, bools: bool) -> Leaf:
    """The result: of bools, whether any term held."""
    return ctx.leaf(ctx.emit(E.ne, node, 0) if bools else node)


def agreeing(ctx, m, n, message) -> None:
    fits = same(ctx, m, n)
    if fits is False:
        ctx.error(message.format(m, n), "check the shapes: the summed sizes must agree", cls=MyiaValueError)
    require(ctx, "ValueError", message, fits, node_of(ctx, m), node_of(ctx, n))


def vectors(ctx, a, b):
    """The sum of products of two vectors."""
    return ctx.emit(A.reduce_sum, ctx.emit(E.mul, a, b), axes=(0,))


def matrices(ctx, a, b):
    """a @ b of nodes of rank >= 2, batch axes broadcast."""
    s, t = shape(ctx, a), shape(ctx, b)
    if len(s) > 2 or len(t) > 2:
        batch = common(ctx, [s[:-2], t[:-2]])
        a, b = (stretched(ctx, x, (*batch, *z[-2:])) for x, z in ((a, s), (b, t)))
    return ctx.emit(A.matmul, a, b, ta=False, tb=False)


@elaborates(np.matmul)
def matmul(ctx, x1, x2, /):
    (a, b), bools = operands(ctx, x1, x2)
    s, t = shape(ctx, a), shape(ctx, b)
    if not s or not t:
        which = 0 if not s else 1
        ctx.error(
            f"matmul: Input operand {which} does not have enough dimensions", "use * with a number", cls=MyiaValueError
        )
    message = (
        "matmul: Input operand 1 has a mismatch in its core dimension 0, "
        "with gufunc signature (n?,k),(k,m?)->(n?,m?) (size {0} is different from {1})"
    )
    agreeing(ctx, t[0] if len(t) == 1 else t[-2], s[-1], message)
    return closed(ctx, _product(ctx, a, b), bools)


def _product(ctx, a, b):
    s, t = shape(ctx, a), shape(ctx, b)
    if len(s) == len(t) == 1:
        return vectors(ctx, a, b)
    left = reshape(ctx, a, (1, *s)) if len(s) == 1 else a
    right = reshape(ctx, b, (*t, 1)) if len(t) == 1 else b
    out = matrices(ctx, left, right)
    sizes = shape(ctx, out)
    if len(s) == 1:
        return reshape(ctx, out, (*sizes[:-2], sizes[-1]))
    return reshape(ctx, out, sizes[:-1]) if len(t) == 1 else out


@elaborates(np.dot, method="dot")
def dot(ctx, a, b):
    x, y = leaf_of(ctx, a), leaf_of(ctx, b)
    s, t = shape(ctx, x), shape(ctx, y)
    if not s or not t:
        return apply(ctx, FUNCTIONS[np.multiply], [x, y])
    axis = 0 if len(t) == 1 else len(t) - 2
    message = f"shapes {text(s)} and {text(t)} not aligned: {{0}} (dim {len(s) - 1}) != {{1}} (dim {axis})"
    agreeing(ctx, s[-1], t[axis], message)
    if len(s) <= 2 and len(t) <= 2:
        (p, q), bools = operands(ctx, x, y)
        return closed(ctx, _product(ctx, p, q), bools)
    return contracted(ctx, x, y, [len(s) - 1], [axis])


@elaborates(np.vdot)
def vdot(ctx, a, b, /):
    (x, y), bools = operands(ctx, a, b)
    x, y = flat(ctx, x), flat(ctx, y)
    agreeing(ctx, shape(ctx, x)[0], shape(ctx, y)[0], "vdot of {0} and {1} elements")
    return closed(ctx, vectors(ctx, x, y), bools)


@elaborates(np.outer)
def outer(ctx, a, b):
    x, y = flat(ctx, leaf_of(ctx, a).node), flat(ctx, leaf_of(ctx, b).node)
    column = reshape(ctx, x, (*shape(ctx, x), 1))
    return apply(ctx, FUNCTIONS[np.multiply], [_like(ctx, column, a), _like(ctx, y, b)])


def _like(ctx, node, original) -> Leaf:
    """A leaf as weak as the operand that it came from."""
    return ctx.leaf(node, py=isinstance(original, Leaf) and original.py)


@elaborates(np.inner)
def inner(ctx, a, b, /):
    x, y = leaf_of(ctx, a), leaf_of(ctx, b)
    s, t = shape(ctx, x), shape(ctx, y)
    if not s or not t:
        return apply(ctx, FUNCTIONS[np.multiply], [x, y])
    message = f"shapes {text(s)} and {text(t)} not aligned: {{0}} (dim {len(s) - 1}) != {{1}} (dim {len(t) - 1})"
    agreeing(ctx, s[-1], t[-1], message)
    return contracted(ctx, x, y, [len(s) - 1], [len(t) - 1])


@elaborates(np.tensordot)
def tensordot(ctx, a, b, axes=2):
    x, y = leaf_of(ctx, a), leaf_of(ctx, b)
    s, t = shape(ctx, x), shape(ctx, y)
    axes = fixed(ctx, axes, "axes")
    if isinstance(axes, int):
        left, right = range(len(s) - axes, len(s)), range(axes)
        if axes > min(len(s), len(t)) or axes < 0:
            ctx.error("shape-mismatch for sum", "sum over axes that both arrays have", cls=MyiaValueError)
    else:
        left, right = ((v,) if isinstance(v, int) else v for v in axes)
    left = [normalised(ctx, k, len(s)) for k in left]
    right = [normalised(ctx, k, len(t)) for k in right]
    if len(left) != len(right):
        ctx.error("shape-mismatch for sum", "name as many axes of each array", cls=MyiaValueError)
    for i, j in zip(left, right, strict=True):
        agreeing(ctx, s[i], t[j], "shape-mismatch for sum")
    return contracted(ctx, x, y, left, right)


def contracted(ctx, x, y, left, right) -> Leaf:
    """The sum of products over pairs of axes, whose sizes agree: one matrix product."""
    (a, b), bools = operands(ctx, x, y)
    s, t = shape(ctx, a), shape(ctx, b)
    rows = [k for k in range(len(s)) if k not in left]
    columns = [k for k in range(len(t)) if k not in right]
    m, k, n = _span(ctx, s, rows), _span(ctx, s, left), _span(ctx, t, columns)
    p = reshape(ctx, transpose(ctx, a, (*rows, *left)), (m, k))
    q = reshape(ctx, transpose(ctx, b, (*right, *columns)), (k, n))
    sizes = (*(s[i] for i in rows), *(t[j] for j in columns))
    return closed(ctx, reshape(ctx, ctx.emit(A.matmul, p, q, ta=False, tb=False), sizes), bools)


def _span(ctx, sizes, axes):
    out = 1
    for k in axes:
        out = times(ctx, out, sizes[k])
    return out


# ---- einsum ----------------------------------------------------------------------------------------------------------
@elaborates(np.einsum)
def einsum(ctx, subscripts, *operands_, optimize=False):
    """Pairs of operands are contracted from left to right, each by one matrix product."""
    spec = (
        fixed(ctx, subscripts, "the subscripts of einsum").replace(" ", "") if isinstance(subscripts, Static) else None
    )
    if spec is None:
        ctx.error("einsum takes its subscripts as a string", "write them as a literal")
    if "." in spec:
        ctx.error("einsum with an ellipsis", "name every axis with a letter")
    inputs, arrow, output = spec.partition("->")
    terms = inputs.split(",")
    if not arrow:
        output = "".join(sorted(c for c in set(inputs) - {","} if inputs.count(c) == 1))
    if len(terms) != len(operands_):
        ctx.error(
            f"einsum: {len(terms)} terms for {len(operands_)} operands", "write a term for each", cls=MyiaValueError
        )
    leaves = [leaf_of(ctx, v) for v in operands_]
    dtype = promoted(ctx, leaves)
    bools = dtype == "bool"
    nodes = [cast(ctx, x.node, "i64" if bools else dtype) for x in leaves]
    sizes: dict[str, object] = {}
    for term, node in zip(terms, nodes, strict=True):
        dims = shape(ctx, node)
        if len(term) != len(dims):
            ctx.error(
                f"einsum: term '{term}' for an array of rank {len(dims)}",
                "write a letter for each axis",
                cls=MyiaValueError,
            )
        for c, d in zip(term, dims, strict=True):
            if c in sizes:
                agreeing(ctx, sizes[c], d, f"einsum: axis '{c}' has size {{0}} and {{1}}")
            sizes.setdefault(c, d)
    for c in output:
        if c not in sizes or output.count(c) > 1:
            ctx.error(f"einsum: output axis '{c}'", "name each output axis once, among the input's", cls=MyiaValueError)
    factors = [_distinct(ctx, t, n) for t, n in zip(terms, nodes, strict=True)]
    term, node = factors[0]
    for k, (other, right) in enumerate(factors[1:], 2):
        wanted = set(output).union(*(t for t, _ in factors[k:]))
        term, node = _pair(ctx, term, node, other, right, wanted, sizes)
    term, node = _summed(ctx, term, node, set(output))
    node = transpose(ctx, node, tuple(term.index(c) for c in output)) if len(output) > 1 else node
    return closed(ctx, node, bools) if bools or node not in nodes else ctx.fresh(node)


def _distinct(ctx, term, node):
    """A repeated letter takes the diagonal."""
    from .creation import diagonal

    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            node = diagonal(ctx, ctx.leaf(node), 0, i, j).node
            term = "".join(x for k, x in enumerate(term) if k not in (i, j)) + c
    return term, node


def _summed(ctx, term, node, wanted):
    axes = tuple(k for k, c in enumerate(term) if c not in wanted)
    if axes:
        node = ctx.emit(A.reduce_sum, node, axes=axes)
    return "".join(c for c in term if c in wanted), node


def _pair(ctx, p, a, q, b, wanted, sizes):
    """Two factors as one, over the axes that the rest still wants."""
    p, a = _summed(ctx, p, a, wanted | set(q))
    q, b = _summed(ctx, q, b, wanted | set(p))
    batch = [c for c in p if c in q and c in wanted]
    inside = [c for c in p if c in q and c not in wanted]
    rows = [c for c in p if c not in q]
    columns = [c for c in q if c not in p]
    if not inside:  # a product without a sum
        out = "".join(dict.fromkeys(batch + rows + columns))
        left = _laid(ctx, p, a, batch + rows, [c if c in p else None for c in out], sizes)
        right = _laid(ctx, q, b, batch + columns, [c if c in q else None for c in out], sizes)
        return out, apply(ctx, FUNCTIONS[np.multiply], [ctx.leaf(left), ctx.leaf(right)]).node
    span = lambda letters: _span(ctx, [sizes[c] for c in letters], range(len(letters)))  # noqa: E731
    outer_ = [sizes[c] for c in batch]
    left = transpose(ctx, a, tuple(p.index(c) for c in batch + rows + inside))
    right = transpose(ctx, b, tuple(q.index(c) for c in batch + inside + columns))
    left = reshape(ctx, left, (*outer_, span(rows), span(inside)))
    right = reshape(ctx, right, (*outer_, span(inside), span(columns)))
    out = ctx.emit(A.matmul, left, right, ta=False, tb=False)
    letters = batch + rows + columns
    return "".join(letters), reshape(ctx, out, tuple(sizes[c] for c in letters))


def _laid(ctx, term, node, order, places, sizes):
    """The axes in that order, and size 1 where the other factor's are."""
    node = transpose(ctx, node, tuple(term.index(c) for c in order)) if len(order) > 1 else node
    return reshape(ctx, node, tuple(1 if c is None else sizes[c] for c in places))


@elaborates(np.kron)
def kron(ctx, a, b):
    x, y = leaf_of(ctx, a), leaf_of(ctx, b)
    s, t = shape(ctx, x), shape(ctx, y)
    rank = max(len(s), len(t))
    s, t = (1,) * (rank - len(s)) + s, (1,) * (rank - len(t)) + t
    left = reshape(ctx, x.node, tuple(d for m in s for d in (m, 1)))
    right = reshape(ctx, y.node, tuple(d for n in t for d in (1, n)))
    product = apply(ctx, FUNCTIONS[np.multiply], [ctx.leaf(left), ctx.leaf(right)])
    return ctx.leaf(reshape(ctx, product.node, tuple(times(ctx, m, n) for m, n in zip(s, t, strict=True))))


@elaborates(np.cross)
def cross(ctx, a, b):
    from .indexing import row

    x, y = leaf_of(ctx, a), leaf_of(ctx, b)
    if shape(ctx, x) != (3,) or shape(ctx, y) != (3,):
        ctx.error("np.cross of anything but two vectors of size 3", "write the products out")
    p, q = ([row(ctx, v, k) for k in range(3)] for v in (x, y))

    def minor(i, j):
        left, right = (apply(ctx, FUNCTIONS[np.multiply], [p[m], q[n]]) for m, n in ((i, j), (j, i)))
        return apply(ctx, FUNCTIONS[np.subtract], [left, right])

    return leaf_of(ctx, Sequence((minor(1, 2), minor(2, 0), minor(0, 1))))
