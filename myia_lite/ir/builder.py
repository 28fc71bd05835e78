"""Typed construction: every node that a transform makes has its type from the primitive's own rule.

`with Builder(graph):` makes that builder current; primitives called as functions, and operators between nodes, then
emit into it, so that a derivative rule reads as mathematics: `lambda d, y, x: (d * cos(x),)`.
"""

from __future__ import annotations

import threading

from .nodes import Apply, Constant, Graph, Node, Primitive
from .types import FLOATS, INTS, Scalar

_local = threading.local()


def current() -> Builder:
    """The innermost builder in whose `with` block this thread runs."""
    return _local.stack[-1]


class Builder:
    """Appends nodes to `graph`; `span` is given to nodes emitted without one."""

    def __init__(self, graph: Graph, span=None):
        self.graph, self.span = graph, span

    def __enter__(self):
        if not hasattr(_local, "stack"):
            _local.stack = []
        _local.stack.append(self)
        return self

    def __exit__(self, *exc):
        _local.stack.pop()

    def emit(self, op: Primitive, *args, graphs=(), type=None, span=None, name=None, **attrs) -> Apply:
        """Append `op[attrs](args)`; Python numbers among `args` become constants of the other arguments' dtype."""
        args = lift(args)
        if type is None:
            type = op.type_rule([a.type for a in args], attrs, graphs)
        node = Apply(op, args, attrs, graphs, type, span or self.span, name)
        self.graph.nodes.append(node)
        return node


def lift(args) -> list[Node]:
    """Nodes for `args`: a Python number takes the first float dtype among them, an int else their first int dtype."""
    if all(isinstance(a, Node) for a in args):
        return list(args)
    dtypes = [a.type.dtype for a in args if isinstance(a, Node) and hasattr(a.type, "dtype")]
    dtype = next((d for d in dtypes if d in FLOATS), next((d for d in dtypes if d in INTS), None))

    def one(a):
        if isinstance(a, Node):
            return a
        if isinstance(a, bool):
            return Constant(a, Scalar("bool"))
        if isinstance(a, float) or dtype in FLOATS:
            return Constant(float(a), Scalar(dtype if dtype in FLOATS else "f64"))
        return Constant(a, Scalar(dtype or "i64"))

    return [one(a) for a in args]


def install_operators(add, sub, mul, div, neg) -> None:
    """Called once by `ops`: what `+ - * / -` between nodes mean."""
    Node.__add__ = lambda x, y: add(x, y)
    Node.__radd__ = lambda x, y: add(y, x)
    Node.__sub__ = lambda x, y: sub(x, y)
    Node.__rsub__ = lambda x, y: sub(y, x)
    Node.__mul__ = lambda x, y: mul(x, y)
    Node.__rmul__ = lambda x, y: mul(y, x)
    Node.__truediv__ = lambda x, y: div(x, y)
    Node.__rtruediv__ = lambda x, y: div(y, x)
    Node.__neg__ = lambda x: neg(x)
