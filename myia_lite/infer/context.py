"""What the elaborators of operators and functions see of inference: emission of typed nodes, guards, errors, branches.

An elaborator is `f(ctx, *values, **values_by_keyword) -> Value`.  It never sees an `Outcome`
or a `MaybeUnbound`: the engine takes those apart before it calls.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from ..ir import Apply, Array, Constant, Graph, MyiaTypeError, Never, Node, Primitive, constant, lift, shape_of
from ..ops import arrays, control
from ..ops.define import NUMPY_DTYPES
from .values import Leaf, Value


class Diverged(Exception):
    """The code being walked never gets past `node`, which has type `never` and ends its graph."""

    def __init__(self, node: Node):
        self.node = node


class Context(ABC):
    """The current graph, the current span, and the ways to add to them."""

    def __init__(self, error_model: str = "python"):
        self.error_model = error_model  # "python": scalar checks as in CPython; "numpy": inf, nan and wrap-around
        self.graph: Graph | None = None  # where nodes are emitted
        self.span = None  # of the surface node being elaborated
        self.home: dict[Node, Graph] = {}  # the graph that holds an emitted node

    # ---- emission ----------------------------------------------------------------------------------------------------
    def emit(self, op: Primitive, *args, graphs=(), type=None, **attrs) -> Node:
        """Append `op[attrs](args)` to the current graph and return the node, or a Constant where all is known.

        `args` are nodes, leaves or Python numbers.  A dim out of place is an error at the current span.
        """
        args = lift([a.node if isinstance(a, Leaf) else a for a in args])
        self.use(args)
        folded = self._fold(op, args, attrs)
        if folded is not None:
            return folded
        if type is None:
            try:
                type = op.type_rule([a.type for a in args], attrs, graphs)
            except TypeError as error:
                self.error(f"{op.name}: {error}")
        node = Apply(op, args, attrs, graphs, type, self.span)
        self.graph.nodes.append(node)
        self.home[node] = self.graph
        self.made(node)
        if type is Never:
            raise Diverged(node)
        return node

    def _fold(self, op, args, attrs) -> Node | None:
        if op is arrays.dim:
            known = shape_of(args[0].type)[attrs["axis"]]
            return None if known is None else constant(known)
        if op is control.get:
            made = args[0]
            return made.args[attrs["index"]] if isinstance(made, Apply) and made.op is control.tuple_ else None
        if not op.elementwise or op.value is None or not all(isinstance(a, Constant) for a in args):
            return None
        with np.errstate(all="ignore"):
            value = op.value(*(NUMPY_DTYPES[a.type.dtype](a.value) for a in args), **attrs).item()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return Constant(value, op.type_rule([a.type for a in args], attrs, ()), self.span)

    def leaf(self, node: Node, py: bool = False) -> Leaf:
        """The value of a node; `py`: a Python number, not a NumPy scalar."""
        return Leaf(node, py)

    def const(self, value: bool | float, py: bool = True) -> Leaf:
        """A number known at compile time: bool, i64 or f64."""
        if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
            self.error(f"the integer {value} does not fit in 64 bits", "compute with floats")
        node = constant(value)
        node.span = self.span
        return Leaf(node, py)

    def guard(self, exception: str, message: str, ok: Node, *values: Node) -> None:
        """Raise the built-in `exception` where not `ok`; {0}, {1} … in the message stand for `values`."""
        if isinstance(ok, Leaf):
            ok = ok.node
        if not (isinstance(ok, Constant) and ok.value):
            self.emit(control.guard, ok, *values, exception=exception, message=message)

    def error(self, message: str, remedy: str | None = None, cls=MyiaTypeError):
        """Refuse the program: raises `cls` at the construct being elaborated."""
        raise cls(message, self.span, remedy)

    @contextmanager
    def into(self, graph: Graph):
        """Emit into `graph` for a while."""
        outer, self.graph = self.graph, graph
        try:
            yield graph
        finally:
            self.graph = outer

    @contextmanager
    def at(self, span):
        """Errors and nodes for a while belong to `span`."""
        outer, self.span = self.span, span or self.span
        try:
            yield
        finally:
            self.span = outer

    def tuple_of(self, nodes) -> Node:
        """What a graph returns for these leaves: the one leaf itself, or a tuple."""
        nodes = list(nodes)
        return nodes[0] if len(nodes) == 1 else self.emit(control.tuple_, *nodes)

    def split(self, node: Node, count: int) -> list[Node]:
        """The inverse of `tuple_of`."""
        return [node] if count == 1 else [self.emit(control.get, node, index=k) for k in range(count)]

    def sizes(self, node: Node) -> list[Node]:
        """The dims of an array that only the running program knows, in order: the `*dyn` of a `shape` attribute."""
        return [self.emit(arrays.dim, node, axis=k) for k, d in enumerate(shape_of(node.type)) if d is None]

    # ---- aliasing: see `aliasing` ------------------------------------------------------------------------------------
    @abstractmethod
    def use(self, nodes) -> None:
        """Refuse a read of an array through a name that a write has made stale."""

    @abstractmethod
    def made(self, node: Node) -> None:
        """A node has been emitted: an array among them is a new one, unless `view` says otherwise."""

    @abstractmethod
    def view(self, node: Node, source: Leaf) -> Leaf:
        """`node` as a NumPy view of `source`: writes through it are refused, and writes to the source make it stale."""

    def fresh(self, node: Node) -> Leaf:
        """A copy of an array, which nobody else holds (`a.copy()`); of a scalar, itself."""
        if isinstance(node, Leaf):
            node = node.node
        if not isinstance(node.type, Array):
            return Leaf(node)
        shape = node.type.shape
        return Leaf(self.emit(arrays.broadcast, node, *self.sizes(node), shape=shape, axes=tuple(range(len(shape)))))

    # ---- what the engine does ----------------------------------------------------------------------------------------
    @abstractmethod
    def call(self, function: Value, args, keywords=()) -> Value:
        """`function(*args, **dict(keywords))`, whatever can be called."""

    @abstractmethod
    def getattr(self, value: Value, name: str) -> Value:
        """`value.name`."""

    @abstractmethod
    def getitem(self, value: Value, index: Value) -> Value:
        """`value[index]`."""

    @abstractmethod
    def switch(self, condition: Node, then: Callable[[], Value], orelse: Callable[[], Value]) -> Value:
        """The value of one of two branches, each built by its function in a graph of its own, joined.

        A condition known at compile time takes just that branch.  A branch may raise: `ctx.emit(control.raise_, …)`.
        """
