"""Which line of a function has a derivative that is off: the function is run node by node, and each rule tried there.

It looks at primitives and at rules of `custom_derivative`, at the values that they meet; a derivative that is wrong
elsewhere, or everywhere right up to rounding, has no line.
"""

from __future__ import annotations

import numpy as np

from .ad import expand
from .api import MyiaFunction
from .backends import get_backend
from .infer import leaves
from .ir import Builder, Constant, Graph, Never, Tuple, is_float, verify
from .ir.errors import excerpt
from .ops import control
from .ops.control import tuple_ as tuple_of
from .ops.define import NUMPY_DTYPES

TRIES = 3  # of one node, in a loop
STEPS = 200_000
NEAR = 1e-4


class Found(Exception):
    """A node whose rule is off."""


class GaveUp(Exception):
    """The run is too long, or ended in an exception of the program."""


def wrong_line(f, args) -> str | None:
    """The file, line and source of the first construct whose derivative is off at the values it meets, or None."""
    function = f if isinstance(f, MyiaFunction) else MyiaFunction(f, "interp")
    inferred = function._infer(*function._signature(args, {}))
    flat = [x for a, t in zip(args, inferred.arguments, strict=True) for x in leaves(a, t)]
    flat = [
        np.array(x, NUMPY_DTYPES[p.type.dtype])[()]
        for x, p in zip([*flat, *inferred.captured], inferred.graph.params, strict=True)
    ]
    try:
        with np.errstate(all="ignore"):
            _Walk().graph(inferred.graph, flat, {})
    except Found as found:
        span = found.args[0].span
        return excerpt(span) if span is not None else None
    except GaveUp:
        pass
    return None


class Again(Exception):
    """A `recur`: the loop and its next state."""


class _Walk:
    """An evaluator by the definition of the IR, that copies and never writes in place."""

    def __init__(self):
        self.tried: dict = {}
        self.compiled: dict = {}
        self.steps = 0

    def graph(self, g: Graph, args, env):
        env = {**env, **dict(zip(g.params, args, strict=True))}
        for n in g.nodes:
            self.steps += 1
            if self.steps > STEPS:
                raise GaveUp
            env[n] = self.node(n, [self.value(a, env) for a in n.args], env)
        return self.value(g.result, env)

    def value(self, a, env):
        if not isinstance(a, Constant):
            return env[a]
        if isinstance(a.type, Tuple):
            return ()
        return NUMPY_DTYPES[a.type.dtype](a.value)

    def node(self, n, values, env):
        op = n.op
        if op is control.switch:
            return self.graph(n.graphs[0 if values[0] else 1], [], env)
        if op is control.case:
            tag, fields = values[0]
            return self.graph(n.graphs[n.args[0].type.index(tag)], fields, env)
        if op is control.call:
            return self.graph(n.graphs[0], values, {})
        if op is control.recur:
            raise Again(n.graphs[0], values)
        if op is control.loop:
            return self.loop(n, values, env)
        if op is control.raise_:
            raise GaveUp
        if op is control.guard:
            if not values[0]:
                raise GaveUp
            return ()
        if op is control.stop_gradient:
            return values[0]
        self.test(n, values)
        return op.value(*values, **n.attrs) if op.value else self.run(self.alone(n), values)

    def loop(self, n, values, env):
        while True:
            try:
                return self.graph(n.graphs[0], values, env)
            except Again as again:
                if again.args[0] is not n.graphs[0]:
                    raise
                values = again.args[1]

    # ---- one node by itself
    def alone(self, n) -> Graph:
        """The closed graph that does what the node does."""
        if n not in self.compiled:
            g = Graph("alone")
            args = [g.parameter(a.type) for a in n.args]
            with Builder(g) as b:
                self.compiled[n] = g.returns(b.emit(n.op, *args, graphs=n.graphs, type=n.type, **n.attrs))
        return self.compiled[n]

    def run(self, g: Graph, values):
        if (g, "run") not in self.compiled:
            self.compiled[g, "run"] = get_backend("interp").compile(expand(g, verify))
        out = self.compiled[g, "run"]([v.copy() if isinstance(v, np.ndarray) else v for v in values])
        return tuple(out) if isinstance(g.result_type, Tuple) else out[0]

    def test(self, n, values) -> None:
        """Compare the rule of a node with differences, along a random direction."""
        op = n.op
        if op.derivative is None and op.linear is None and op.jvp is None and op is not control.custom:
            return
        wrt = tuple(k for k, a in enumerate(n.args) if is_float(a.type))
        count = self.tried[n] = self.tried.get(n, 0) + 1
        if not wrt or count > TRIES or n.type is Never:
            return
        rng = np.random.default_rng(count)
        dots = [rng.normal(size=np.shape(values[k])).astype(values[k].dtype)[()] for k in wrt]
        if (n, "jvp") not in self.compiled:
            g = Graph("along")
            args = [g.parameter(a.type) for a in n.args]
            tangents = [g.parameter(n.args[k].type) for k in wrt]
            with Builder(g) as b:
                both = b.emit(control.jvp, *args, *tangents, graphs=(self.alone(n),), wrt=wrt)
                count = len(n.type.elems) if isinstance(n.type, Tuple) else 1
                dots_out = [control.get(both, index=k) for k in range(count, len(both.type.elems))]
                g.returns(tuple_of(*dots_out))
            self.compiled[n, "jvp"] = g
        found = self.run(self.compiled[n, "jvp"], [*values, *dots])
        expected = self.difference(n, values, dict(zip(wrt, dots, strict=True)))
        for a, b in zip(found, expected, strict=True):
            if not np.allclose(a, b, rtol=NEAR, atol=NEAR, equal_nan=True):
                raise Found(n)

    def difference(self, n, values, dots, step=1e-3):
        if any(values[k].dtype == np.float32 for k in dots):
            step = 0.05
        total = None
        for s, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            at = [v if k not in dots else (v + s * step * dots[k]).astype(v.dtype)[()] for k, v in enumerate(values)]
            y = n.op.value(*at, **n.attrs) if n.op.value else self.run(self.alone(n), at)
            ys = [
                np.asarray(x, float) for x in (y if isinstance(y, tuple) else (y,)) if np.asarray(x).dtype.kind == "f"
            ]
            terms = [weight * x / (12 * step) for x in ys]
            total = terms if total is None else [a + b for a, b in zip(total, terms, strict=True)]
        return total
