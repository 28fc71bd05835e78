"""The functions of `scipy.special` that models use, elementwise on arrays and numbers, and the stable log-sum-exp."""

from __future__ import annotations

from scipy import special

from ...ir import Array
from ...ops import arrays as A
from ...ops import elementwise as E
from .creation import number
from .dtypes import cast, leaf_of
from .reductions import axes_of, reduce
from .registry import elaborates, fixed
from .sizes import shape, spread
from .ufuncs import Function, _declare, _prim, apply


def _decay(ctx, x):
    """(x >= 0, exp(-|x|)), by select and not by abs: at 0 it keeps a derivative, and so all orders are right there."""
    positive = ctx.emit(E.ge, x, 0.0)
    return positive, ctx.emit(E.exp, ctx.emit(E.select, positive, ctx.emit(E.neg, x), x))


def _expit(ctx, x):
    """1 / (1 + exp(-x)) without overflow, accurate in both tails."""
    positive, e = _decay(ctx, x)
    one = number(x.type.dtype, 1)
    return ctx.emit(E.div, ctx.emit(E.select, positive, one, e), ctx.emit(E.add, e, 1.0))


def _logit(ctx, x):
    return ctx.emit(E.sub, ctx.emit(E.log, x), ctx.emit(E.log1p, ctx.emit(E.neg, x)))


def _log_expit(ctx, x):
    """-log(1 + exp(-x)): min(x, 0) - log1p(exp(-|x|))."""
    positive, e = _decay(ctx, x)
    low = ctx.emit(E.select, positive, number(x.type.dtype, 0), x)
    return ctx.emit(E.sub, low, ctx.emit(E.log1p, e))


def _xlogy(ctx, x, y, log=lambda ctx, y: ctx.emit(E.log, y)):
    """x * log(y), and 0 where x is 0; the logarithm is not taken there, so that no NaN comes back."""
    one = cast(ctx, ctx.const(1.0).node, y.type.dtype)
    absent_ = ctx.emit(E.bit_and, ctx.emit(E.eq, x, 0.0), ctx.emit(E.eq, y, y))
    return ctx.emit(E.mul, x, log(ctx, ctx.emit(E.select, absent_, one, y)))


def _xlog1py(ctx, x, y):
    zero = cast(ctx, ctx.const(0.0).node, y.type.dtype)
    absent_ = ctx.emit(E.bit_and, ctx.emit(E.eq, x, 0.0), ctx.emit(E.eq, y, y))
    return ctx.emit(E.mul, x, ctx.emit(E.log1p, ctx.emit(E.select, absent_, zero, y)))


_declare(special.expit, _expit)
_declare(special.logit, _logit)
_declare(special.log_expit, _log_expit)
_declare(special.erf, _prim(E.erf))
_declare(special.erfc, _prim(E.erfc))
_declare(special.gammaln, _prim(E.lgamma))
_declare(special.gamma, _prim(E.gamma))
_declare(special.digamma, lambda ctx, x: ctx.emit(E.polygamma, x, n=0))
_declare(special.xlogy, _xlogy)
_declare(special.xlog1py, _xlog1py)

FLOAT = Function("float", lambda ctx, x: x)


def _shifted(ctx, a, axis):
    """a - max(a) along the axes, the maximum (0 where it is infinite), and the axes."""
    x = apply(ctx, FLOAT, [leaf_of(ctx, a)]).node
    if not isinstance(x.type, Array):
        x = spread(ctx, x, (1,), ())
        axis = None
    axes = axes_of(ctx, axis, x.type.rank)
    top = ctx.emit(A.reduce_max, x, axes=axes)
    top = ctx.emit(E.select, ctx.emit(E.isfinite, top), top, cast(ctx, ctx.const(0.0).node, x.type.dtype))
    kept = tuple(k for k in range(x.type.rank) if k not in axes)
    return ctx.emit(E.sub, x, spread(ctx, top, shape(ctx, x), kept)), top, axes, kept, x


@elaborates(special.logsumexp)
def logsumexp(ctx, a, axis=None, *, keepdims=False):
    from .reductions import nonempty
    from .sizes import reshape

    away, top, axes, _, x = _shifted(ctx, a, axis)
    nonempty(ctx, _count(ctx, x, axes), "zero-size array to reduction operation maximum which has no identity")
    out = ctx.emit(E.add, ctx.emit(E.log, reduce(ctx, A.reduce_sum, ctx.emit(E.exp, away), axes)), top)
    if fixed(ctx, keepdims, "keepdims"):
        out = reshape(ctx, out, tuple(1 if k in axes else s for k, s in enumerate(shape(ctx, x))))
    return ctx.leaf(out)


def _count(ctx, x, axes):
    from .sizes import total

    return total(ctx, [shape(ctx, x)[k] for k in axes])


@elaborates(special.softmax)
def softmax(ctx, x, axis=None):
    away, _, axes, kept, node = _shifted(ctx, x, axis)
    weights = ctx.emit(E.exp, away)
    whole = reduce(ctx, A.reduce_sum, weights, axes)
    out = ctx.emit(E.div, weights, spread(ctx, whole, shape(ctx, node), kept))
    return ctx.leaf(out if isinstance(leaf_of(ctx, x).type, Array) else _only(ctx, out))


@elaborates(special.log_softmax)
def log_softmax(ctx, x, axis=None):
    away, _, axes, kept, node = _shifted(ctx, x, axis)
    whole = ctx.emit(E.log, reduce(ctx, A.reduce_sum, ctx.emit(E.exp, away), axes))
    out = ctx.emit(E.sub, away, spread(ctx, whole, shape(ctx, node), kept))
    return ctx.leaf(out if isinstance(leaf_of(ctx, x).type, Array) else _only(ctx, out))


def _only(ctx, node):
    from .sizes import reshape

    return reshape(ctx, node, ())
