"""Array primitives as loop nests: `lower(ctx, node, plan)` is the value of an array node, a new array or a scalar.

Here are those that make, move, read and write elements; `folds.py` has the others, `scatters.py` writes at positions
that are computed.
"""

from __future__ import annotations

from ...ir import Apply, Array, Constant, shape_of
from . import folds, scatters
from .code import expr, linear, plus, times
from .layout import ArrayValue
from .nests import Kernel, sum_of


def lower(ctx, node: Apply, plan):
    """The value of an array node, and of one that makes a number from arrays."""
    kernel = Kernel(ctx, plan)
    rule = RULES.get(node.op.name, materialise)
    return rule(kernel, node)


def materialise(kernel: Kernel, node):
    """A new array, computed element by element."""
    sizes = kernel.dims(node, computed=True)
    kernel.open(*node.args)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    with kernel.space(sizes) as index:
        target.store(kernel.compute(node, index), linear(index, sizes))
    return out


# ---- shape -----------------------------------------------------------------------------------------------------------
def _reshape(kernel, node):
    x, ctx = node.args[0], kernel.ctx
    if not isinstance(node.type, Array):
        kernel.open(x)
        return kernel.scalar(node.type.dtype, lambda: kernel.at(x, [0] * len(shape_of(x.type))))
    if isinstance(x.type, Array) and x not in kernel.plan.inlined and not isinstance(x, Constant):
        sizes = kernel.given(node)
        return ArrayValue(ctx.consume(x).register, tuple(sizes), node.type)
    return materialise(kernel, node)


def _concat(kernel, node):
    """One nest for each piece, next to each other in the result."""
    axis = node.attrs["axis"]
    all_dims = [kernel.dims(x) for x in node.args]
    total = 0
    starts = []
    for d in all_dims:
        starts.append(total)
        total = plus(total, d[axis])
    sizes = list(all_dims[0])
    for d in all_dims[1:]:
        sizes = [m if isinstance(m, int) else n for m, n in zip(sizes, d, strict=True)]
    sizes[axis] = total if node.type.shape[axis] is None else node.type.shape[axis]
    sizes = [n if n is not None else d for n, d in zip(node.type.shape, sizes, strict=True)]
    kernel.open(*node.args)
    out = kernel.ctx.new_array(node.type, sizes)
    target = kernel.access(out)
    for x, d, start in zip(node.args, all_dims, starts, strict=True):
        with kernel.space(d) as index:
            place = [plus(start, i) if k == axis else i for k, i in enumerate(index)]
            target.store(kernel.at(x, index), linear(place, sizes))
    return out


def _dim(kernel, node):
    return expr(kernel.dims(node.args[0])[node.attrs["axis"]])


# ---- reading and writing ---------------------------------------------------------------------------------------------
def _elem(kernel, node):
    x, *idx = node.args
    kernel.open(x)
    index = [kernel.ctx.size(i) for i in idx]
    return kernel.scalar(node.type.dtype, lambda: kernel.at(x, index))


def _write_elem(add):
    def rule(kernel, node):
        _, v, *idx = node.args
        ctx, dtype = kernel.ctx, node.type.dtype
        value, index = ctx.scalar(v), [ctx.size(i) for i in idx]
        array = ctx.take(node)
        target, at = kernel.access(array), linear(index, array.dims)
        with kernel.space([]):
            target.store(sum_of(kernel, dtype, target.load(at), value) if add else value, at)
        return array

    return rule


def _write_slice(add):
    def rule(kernel, node):
        _, v, *starts = node.args
        ctx, dtype = kernel.ctx, node.type.dtype
        sizes = kernel.dims(v)
        starts = [ctx.size(s) for s in starts]
        kernel.open(v)
        array = ctx.take(node)
        target = kernel.access(array)
        with kernel.space(sizes) as index:
            place = [plus(s, times(i, step)) for s, i, step in zip(starts, index, node.attrs["steps"], strict=True)]
            at = linear(place, array.dims)
            at = at if isinstance(at, int) else kernel.code.let(at)
            value = kernel.at(v, index)
            target.store(sum_of(kernel, dtype, target.load(at), value) if add else value, at)
        return array

    return rule


RULES = {
    **dict.fromkeys(("broadcast", "iota", "transpose", "slice", "gather"), materialise),
    "reshape": _reshape,
    "concat": _concat,
    "dim": _dim,
    "elem": _elem,
    "set_elem": _write_elem(add=False),
    "add_elem": _write_elem(add=True),
    "slice_set": _write_slice(add=False),
    "slice_add": _write_slice(add=True),
    "scatter_set": scatters.rule(add=False),
    "scatter_add": scatters.rule(add=True),
    **folds.RULES,
}
