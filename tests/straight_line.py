"""Reverse mode of straight-line graphs, in a few lines: what the tests of derivative rules compose rules with."""

from __future__ import annotations

from myia_lite.ir import Constant, Scalar, is_float, shape_of
from myia_lite.ops.arrays import broadcast, dims, reduce_sum


def cotangents(nodes, seeds: dict, wrt) -> list:
    """The cotangents of `wrt`, None where there is none; `seeds` are those of some of `nodes`.  Emits by the rules."""
    bars = dict(seeds)
    for n in reversed(list(nodes)):
        if n not in bars or n.op.zero_derivative:
            continue
        op, y_bar = n.op, bars[n]
        if op.vjp_into:
            x = n.args[0]
            bars[x] = op.vjp_into(bars.get(x) or zeros(x), y_bar, n, *n.args, **n.attrs)
            continue
        parts = (op.derivative or op.vjp)(y_bar, n, *n.args, **n.attrs)
        for x, x_bar in zip(n.args, parts, strict=True):
            if x_bar is None or not is_float(x.type) or isinstance(x, Constant):
                continue
            if not shape_of(x.type) and shape_of(x_bar.type):  # a scalar stood beside arrays
                x_bar = reduce_sum(x_bar, axes=tuple(range(len(shape_of(x_bar.type)))))
            elif shape_of(x.type) and not shape_of(x_bar.type):  # the rule is the same for every element
                x_bar = zeros(x) + x_bar
            bars[x] = bars[x] + x_bar if x in bars else x_bar
    return [bars.get(x) for x in wrt]


def zeros(x):
    if not shape_of(x.type):
        return Constant(0.0, Scalar(x.type.dtype))
    shape, dyn = dims(x)
    return broadcast(Constant(0.0, Scalar(x.type.dtype)), *dyn, shape=shape, axes=())
