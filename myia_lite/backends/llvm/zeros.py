"""Rows of zeros in what is added to an array where it lies.

    x[i, j] += Σ a[i, k] * b[j, k]        where a[i, :] is zero there is nothing to do, if all of b is finite

Derivatives along many directions at once have such rows: what an input does not reach has no tangent along it, and
which these are is often known to the running program only.  It costs a look at the rows of a, and one at b.  (The sign
of a zero may differ: -0.0 stays what it is, where a sum would make it 0.0.)
"""

from __future__ import annotations

from math import prod

from .expressions import Expr, Kernel, Load, Operation, Point, Product, Splat
from .loopnest import Target, assign, counted
from .scalars import number
from .sizes import ZERO

ROWS, SHARE = 8, 4  # rows from which on it is worth a look, at no more than one in so many of the elements
UNKNOWN = 64  # taken for a size that only the running program knows


def accumulate(kernel: Kernel, target: Target, expression: Expr, add: bool = False) -> None:
    """`assign`, which leaves out rows that it would add zeros to."""
    groups = kernel.groups(expression, target.strides)
    term = expression if add else _addend(kernel, target, expression)
    factors = _factors(groups, term)
    if factors is None or not _pays(kernel, groups, *factors):
        assign(kernel, target, expression, add)
        return
    rows, others = factors
    b, zero = kernel.b, number(target.array.type.dtype, 0)
    products = _fold(kernel, groups, {}, others, zero, lambda t, x: b.fadd(t, b.fmul(x, zero), flags=("reassoc",)))
    infinite = b.fcmp_unordered("!=", products, zero)

    def needed(indexes):
        return _fold(
            kernel, groups[1:], indexes, rows, infinite, lambda t, x: b.or_(t, b.fcmp_unordered("!=", x, zero))
        )

    assign(kernel, target, expression, add, needed)


def _addend(kernel: Kernel, target: Target, expression: Expr) -> Expr | None:
    """What is added to an array that the target takes the memory of."""
    if kernel.written is None or not isinstance(expression, Operation) or expression.node.op.name not in ("add", "sub"):
        return None
    x, y = expression.operands
    if expression.node.op.name == "add" and not (target.same(x) and x.data is kernel.written):
        x, y = y, x
    return y if target.same(x) and x.data is kernel.written else None


Factors = tuple[list[Expr], list[Expr]]


def _factors(groups, term: Expr | None) -> Factors | None:
    """The term is zero in a row where all of the first are zero, if all of the second are finite."""
    if not groups:
        return None
    if isinstance(term, Product):
        parts = [_product(groups, x, y) for x, y in term.pairs]
    elif isinstance(term, Operation) and term.node.op.name == "mul":
        return _product(groups, *term.operands)
    elif isinstance(term, Operation) and term.node.op.name in ("add", "sub", "neg"):
        parts = [_factors(groups, x) for x in term.operands]
    else:
        parts = [([term], [])] if isinstance(term, Load) and _walks(term, groups[0]) else [None]
    if None in parts:
        return None
    return [e for first, _ in parts for e in first], [e for _, second in parts for e in second]


def _product(groups, x: Expr, y: Expr) -> Factors | None:
    """One factor belongs to the row, the other one is the same in all rows."""
    for a, b in ((x, y), (y, x)):
        found = _factors(groups, a)
        if found is not None and isinstance(b, (Load, Splat)) and not _walks(b, groups[0]):
            return found[0], [*found[1], b]
    return None


def _walks(e: Expr, group) -> bool:
    """Does it depend on the index of these axes?"""
    return (e.strides or {}).get(group[-1], ZERO) != ZERO


def _pays(kernel: Kernel, groups, rows, others) -> bool:
    """Is there much less to look at than to compute?"""
    if not isinstance(count := kernel.extent(groups[0]), int) or count < ROWS:
        return False
    extents = {g: n if isinstance(n := kernel.extent(g), int) else UNKNOWN for g in groups}

    def looked_at(exprs):
        return sum(prod(n for g, n in extents.items() if _walks(e, g)) for e in exprs)

    return SHARE * (looked_at(rows) + looked_at(others)) <= prod(extents.values())


def _fold(kernel: Kernel, groups, indexes, exprs, total, step):
    """`total = step(total, element)` over the elements of expressions, at `indexes` along the other axes.  Those that
    walk along the same axes go together."""
    alike: dict[tuple, list[Expr]] = {}
    for e in exprs:
        alike.setdefault(tuple(g for g in groups if _walks(e, g)), []).append(e)
    for loops, members in alike.items():
        total = _over(kernel, loops, indexes, members, total, step)
    return total


def _over(kernel: Kernel, loops, indexes, exprs, total, step):
    if not loops:
        point = Point(kernel, indexes, vector=False)
        for e in exprs:
            total = step(total, point.value(e))
        return total
    with counted(kernel.b, kernel.extent(loops[0]), total) as (i, carried):
        carried.next = _over(kernel, loops[1:], {**indexes, loops[0][-1]: i}, exprs, carried.value, step)
    return carried.value
