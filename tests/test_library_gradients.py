"""Gradients of what the library makes of NumPy and math, against central differences."""

import math

import numpy as np
import pytest
from operands import M, N, T, V, W
from scipy import special
from tracing import Proxy, Tracing, _current, call, written

from myia_lite.ad import expand
from myia_lite.backends import interp
from myia_lite.ir import Array, Builder, Graph, verify
from myia_lite.ops import arrays, elementwise
from myia_lite.ops.control import get, grad

rng = np.random.default_rng(0)
P = np.abs(M) + 0.5


def loss(y):
    """A scalar of a result: the sum of squares of an array."""
    return float(np.sum(np.asarray(y) ** 2)) if np.ndim(y) else float(y)


def gradient(f, x, unknown):
    """By reverse mode, on the reference back end."""
    ctx = Tracing()
    value = ctx.argument(x, unknown)
    _current.append(ctx)
    try:
        node = ctx.value(f(Proxy(ctx, value))).node
    finally:
        _current.pop()
    if isinstance(node.type, Array):
        node = ctx.emit(arrays.reduce_sum, ctx.emit(elementwise.mul, node, node), axes=tuple(range(node.type.rank)))
    f_graph, outer = ctx.graph.returns(node), Graph("gradient")
    with Builder(outer) as b:
        inputs = [outer.parameter(p.type) for p in f_graph.params]
        both = b.emit(grad, *inputs, graphs=(f_graph,), wrt=(0,))
        outer.returns(b.emit(get, both, index=1))
    (out,) = interp.compile(verify(expand(outer, verify)))(ctx.inputs)
    return out


def numeric(f, x):
    out, h = np.zeros(np.shape(x)), 1e-6
    for i in np.ndindex(np.shape(x)):
        up, down = np.array(x, float), np.array(x, float)
        up[i] += h
        down[i] -= h
        out[i] = (loss(f(up[()])) - loss(f(down[()]))) / (2 * h)
    return out


CASES = [
    (lambda x: np.sum(x, axis=0), M),
    (lambda x: np.mean(x, axis=1, keepdims=True), M),
    (lambda x: np.prod(x, axis=1), M),
    (lambda x: np.max(x, axis=0), M),
    (lambda x: x.min(), M),
    (lambda x: np.var(x, axis=0), M),
    (lambda x: np.std(x), M),
    (lambda x: np.cumsum(x, axis=1), M),
    (lambda x: np.linalg.norm(x, axis=0), M),
    (lambda x: np.ptp(x), M),
    (lambda x: np.trace(x), M),
    (lambda x: x @ N, M),
    (lambda x: x @ W, M),
    (lambda x: V @ x, M),
    (lambda x: x @ N, T),
    (lambda x: np.dot(x, x), V),
    (lambda x: np.outer(x, W), V),
    (lambda x: np.einsum("bij,bkj->bik", x, x), T),
    (lambda x: np.einsum("ii->i", x), N[:, :4].copy()),
    (lambda x: np.tensordot(x, x, axes=([0, 1], [0, 1])), T),
    (lambda x: np.kron(x, x), M),
    (lambda x: x[1:, ::-2], M),
    (lambda x: x[-1], M),
    (lambda x: x[1, 2], M),
    (lambda x: x[[0, 0, 2]], M),
    (lambda x: x[[0, 1], [1, 1]], M),
    (lambda x: x[:, None, 1], M),
    (lambda x: written(x, (slice(None), 1), x[:, 0] * 2), M),
    (lambda x: written(x, 0, 3.0), M),
    (lambda x: written(x, [0, 2], x[:2] ** 2), M),
    (lambda x: written(x, x > 0, 0.5), M),
    (lambda x: np.take_along_axis(x, np.argmax(x, axis=1)[:, None], axis=1), M),
    (lambda x: np.where(x > 0, x**2, np.sin(x)), M),
    (lambda x: np.clip(x, -0.5, 0.5), M),
    (lambda x: np.concatenate([x, x * 2], axis=1), M),
    (lambda x: np.stack([x, x * x]), M),
    (lambda x: np.diag(x), V),
    (lambda x: np.diag(x, 1), V),
    (lambda x: np.diag(x), M),
    (lambda x: np.tril(x), M),
    (lambda x: np.roll(x, 1, axis=0), M),
    (lambda x: np.repeat(x, 2, axis=1), M),
    (lambda x: np.tile(x, (2, 2)), M),
    (lambda x: np.flip(x, 0), M),
    (lambda x: np.diff(x, axis=1), M),
    (lambda x: np.pad(x, 1), M),
    (lambda x: np.moveaxis(x, 0, -1) * 1.0, T),
    (lambda x: np.reshape(x, (4, 3)).T, M),
    (lambda x: np.broadcast_to(x, (2, 3, 4)), M),
    (lambda x: np.squeeze(x[:1]), M),
    (lambda x: x + W, M),
    (lambda x: M * x, W),
    (lambda x: M / x, P[:, :1].copy()),
    (lambda x: x**2.5, P),
    (lambda x: x**-2, P),
    (lambda x: 2.0**x, M),
    (lambda x: x**x, P),
    (lambda x: x**0.5, P),
    (lambda x: np.logaddexp(x, W), M),
    (lambda x: np.hypot(x, W), M),
    (lambda x: np.arctan2(x, W), M),
    (lambda x: special.expit(x), M),
    (lambda x: special.xlogy(x, P), M),
    (lambda x: call(special.logsumexp, x, axis=1), M),
    (lambda x: call(special.softmax, x, axis=1), M),
    (lambda x: call(special.log_softmax, x, axis=0), M),
    (lambda x: special.logit(x), P / 10),
    (lambda x: special.gammaln(x), P),
    (lambda x: np.maximum(x, 0), M),
    (lambda x: call(np.linspace, x, 2.0, 5), 1.5),
    (lambda x: call(np.arange, x, 5.0, 0.5), 1.2),
    (lambda x: call(np.full, (2, 3), x), 1.5),
    (lambda x: call(np.array, [[x, x * 2], [x, 1]]), 1.5),
    (lambda x: call(math.hypot, x, 2.0, x), 1.5),
    (lambda x: x % 0.7, 1.5),
    (lambda x: call(math.pow, x, 3.0), 1.5),
    (lambda x: x**3, 1.5),
    (lambda x: x**2, -1.5),
    (lambda x: x**-1.5, 1.5),
    (lambda x: call(math.log, x, 3), 1.5),
    (lambda x: call(abs, x), -1.5),
    (lambda x: call(max, x, 1.0), 1.5),
    (lambda x: call(math.remainder, x, 0.7), 1.6),
    (lambda x: call(math.lgamma, x), 1.6),
    (lambda x: call(math.gamma, x), 1.6),
    (lambda x: call(math.dist, (x, 1.0), (2.0, x)), 1.6),
    (lambda x: np.isclose(x, x) * x, M),
    (lambda x: np.nan_to_num(x), M),
    (lambda x: np.average(x, weights=P), M),
    (lambda x: call(np.meshgrid, x, W)[0], V),
    (lambda x: np.split(x, 2, axis=1)[1], M),
    (lambda x: call(sum, x), M),
]


@pytest.mark.parametrize("k", range(len(CASES)))
@pytest.mark.parametrize("unknown", [False, True])
def test_gradient(k, unknown):
    f, x = CASES[k]
    if unknown and (np.ndim(x) == 0 or 1 in np.shape(x)):
        pytest.skip("no size that may be unknown")
    try:
        got = gradient(f, x, unknown)
    except TypeError as error:
        assert unknown and "known at compile time" in str(error) or "run time" in str(error)
    else:
        np.testing.assert_allclose(got, numeric(f, x), rtol=1e-4, atol=1e-5)


def test_what_is_not_chosen_does_not_spoil_the_gradient():
    x = np.array([0.0, 4.0])
    got = gradient(lambda x: special.xlogy(x, np.array([0.0, 2.0])), x, False)
    assert np.all(np.isfinite(got))
    assert gradient(lambda x: special.expit(x), 0.0, False) == 0.25
    assert gradient(lambda x: np.logaddexp(x, 0.0), 0.0, False) == 0.5
    assert gradient(lambda x: x**2, 0.0, False) == 0.0
