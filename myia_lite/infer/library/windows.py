"""Windows that slide over an array.

They are gathered, at indexes which are sums of counts: a back end sees that, and reads the windows where they lie.
"""

from __future__ import annotations

import numpy as np

from ...ir import MyiaValueError
from ...ops import arrays as A
from ...ops import elementwise as E
from .dtypes import leaf_of
from .reductions import normalised
from .registry import absent, elaborates, fixed, require
from .shapes import sizes_of, view
from .sizes import at_least, iota, minus, node_of, plus, shape, transpose

LARGER = "window shape cannot be larger than input array shape"


@elaborates(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(ctx, x, window_shape, axis=None, *, subok=False, writeable=False):
    source = leaf_of(ctx, x)
    sizes, windows = shape(ctx, source), sizes_of(ctx, window_shape, "a window shape")
    if fixed(ctx, writeable, "writeable") or fixed(ctx, subok, "subok"):
        ctx.error("sliding_window_view of an array to be written to", "leave writeable and subok out")
    if absent(axis):
        axes = list(range(len(sizes)))
        if len(windows) != len(axes):
            ctx.error(
                "Since axis is None, must provide window_shape for all dimensions of `x`",
                "name the axes",
                cls=MyiaValueError,
            )
    else:
        given = fixed(ctx, axis, "axis")
        axes = [normalised(ctx, k, len(sizes)) for k in (given if isinstance(given, tuple | list) else (given,))]
        if len(windows) != len(axes):
            ctx.error("Must provide matching length window_shape and axis", "name as many axes", cls=MyiaValueError)
    if len(set(axes)) < len(axes):
        ctx.error("sliding_window_view with an axis named twice", "name each axis once")
    if not axes:
        return source
    counts = []
    for k, w in zip(axes, windows, strict=True):
        if isinstance(w, int) and w < 0:
            ctx.error("`window_shape` cannot contain negative values", "make it non-negative", cls=MyiaValueError)
        fits = at_least(ctx, sizes[k], w)
        if fits is False:
            ctx.error(LARGER, "take a smaller window", cls=MyiaValueError)
        require(ctx, "ValueError", LARGER, fits)
        if not isinstance(w, int):
            message = "`window_shape` cannot contain negative values"
            require(ctx, "ValueError", message, ctx.emit(E.ge, node_of(ctx, w), 0))
        counts.append(plus(ctx, minus(ctx, sizes[k], w), 1))
    picked, n = (*counts, *windows), len(axes)
    indexes = [ctx.emit(E.add, iota(ctx, counts[k], picked, k), iota(ctx, windows[k], picked, n + k)) for k in range(n)]
    rest = [k for k in range(len(sizes)) if k not in axes]
    out = ctx.emit(A.gather, transpose(ctx, source.node, (*axes, *rest)), *indexes)
    where = {k: j for j, k in enumerate(axes)} | {k: 2 * n + j for j, k in enumerate(rest)}
    order = (*(where[k] for k in range(len(sizes))), *range(n, 2 * n))
    return view(ctx, transpose(ctx, out, order), source)
