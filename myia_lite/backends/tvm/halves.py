"""A program as two: what runs on the device, without waiting for it, and what the host makes of the numbers it reads.

The host reads a number from the device where a reduction or an element of an array is a scalar.  If arrays do not
depend on what is read (the loss of a training step, the test of an index array), all of it is read at the end: then
the device half can be launched as a whole, and captured once and for all.  Guards on numbers that are read fire after
the device half has run, so that indices into arrays are clamped there: what they would fetch is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Apply, Array, Builder, Clone, Constant, Graph, Node, Scalar, Tuple, free_variables, reachable
from ...ops import control, elementwise
from ...ops.arrays import shapes
from ..llvm.fusion import REDUCTIONS

READS = REDUCTIONS | {"elem", "reshape"}
INDEXED = {"gather": 1, "scatter_set": 2, "scatter_add": 2}  # where their index arrays begin


@dataclass
class Halves:
    """`device` returns what of the result it has, then what `host` takes: arrays of one element in the place of numbers
    that are read, and numbers.  `results` says for each leaf of the result which half has it, and as what number.
    """

    device: Graph
    host: Graph
    results: list[tuple[bool, int]]  # (is it the host's?, its number there)
    given: int  # where among the results of the device half the arguments of the host's begin
    boxes: int  # how many of these are arrays of one element

    def types(self) -> tuple[tuple, tuple]:
        """Of the leaves of the result: those that the device half has, and the host's."""
        return self.device.result_type.elems[: self.given], self.host.result_type.elems


def reads(node: Apply) -> bool:
    """Does the host read a number from the device here?"""
    of_arrays = any(isinstance(a.type, Array) for a in node.args)
    return of_arrays and isinstance(node.type, Scalar) and node.op.name != "dim" and not node.graphs


def read_inside(graphs) -> bool:
    """Is something read in these graphs, or one that they call?"""
    return any(reads(n) for g in graphs for h in (*g.nested(), *reachable(g)) for k in h.nested() for n in k.nodes)


def split(graph: Graph) -> Halves | None:
    """The halves of an entry graph.  None where the device waits for the host on the way, and where no number is read
    at all.
    """
    late = _late(graph)
    if not late:
        return None
    elems = list(graph.result.args) if _is_tuple(graph.result) else [graph.result]
    if isinstance(graph.result.type, Tuple) and not _is_tuple(graph.result):
        return None
    read = [n for n in graph.nodes if n in late and reads(n)]
    rest = [n for n in graph.nodes if n in late and not reads(n)]
    numbers = [a for n in rest for a in n.args if a not in late and not isinstance(a, Constant)]
    taken = list(dict.fromkeys((*read, *numbers)))
    ready = [e for e in elems if e not in late]
    device = _device_half(graph, late, [*ready, *taken])
    host = Graph(f"{graph.name} on the host", None, graph.span)
    copies = Clone({n: host.parameter(n.type, n.name, n.span) for n in taken})
    for n in rest:
        copies.apply(n, host)
    theirs = [e for e in elems if e in late]
    with Builder(host, graph.span):
        host.returns(control.tuple_(*map(copies.node, theirs)))
    own, other = iter(range(len(ready))), iter(range(len(theirs)))
    results = [(e in late, next(other if e in late else own)) for e in elems]
    return Halves(device, host, results, len(ready), len(read))


def _is_tuple(node: Node) -> bool:
    return isinstance(node, Apply) and node.op.name == "tuple"


def _late(graph: Graph) -> set[Apply] | None:
    """What is read, and what depends on it; None where the device would have to wait."""
    late: set[Apply] = set()
    guarded = False
    for n in graph.nodes:
        effect = n.op.effect or n.op.name == "raise"
        if n is graph.result and _is_tuple(n):
            continue
        inside = [a for g in n.graphs if n.op.nests for a in free_variables(g)]
        if not any(a in late for a in (*n.args, *inside)):
            if read_inside(n.graphs) or effect and guarded:
                return None
            if reads(n):
                if n.op.name not in READS:
                    return None
                late.add(n)
        elif n.op.name == "guard" and all(isinstance(a.type, Scalar) for a in n.args):
            guarded = True
            late.add(n)
        elif n.op.elementwise and isinstance(n.type, Scalar):
            late.add(n)
        else:
            return None
    for g in reachable(graph) if guarded else ():
        for n in (n for h in g.nested() for n in h.nodes if n.op.name in INDEXED):
            if g is not graph or 0 in n.args[0].type.shape:
                return None  # functions are not copied, and no index is safe in an empty array
    return late


def _device_half(graph: Graph, late: set[Apply], results) -> Graph:
    device = Graph(graph.name, None, graph.span)
    copies = _Clamped(any(n.op.name == "guard" for n in late))
    for p in graph.params:
        copies.nodes[p] = device.parameter(p.type, p.name, p.span)
    for n in graph.nodes:
        if n in late and reads(n):
            copies.boxed(n, device)
        elif n not in late and n is not graph.result or n in results:
            copies.apply(n, device)
    with Builder(device, graph.span):
        return device.returns(control.tuple_(*map(copies.node, results)))


class _Clamped(Clone):
    """Copies the device half; `clamps`: with indices that are safe before they are tested."""

    def __init__(self, clamps: bool):
        super().__init__()
        self.clamps = clamps
        self.safe: dict = {}  # (graph, index, size) -> the clamped index

    def boxed(self, n: Apply, into: Graph) -> None:
        """A number that stays where it is made, in an array of one element."""
        attrs = {**n.attrs, "shape": (1,)} if n.op.name == "reshape" else n.attrs
        args = [self.node(a) for a in n.args]
        new = Apply(n.op, args, attrs, (), Array(n.type.dtype, (1,)), n.span, n.name)
        self.nodes[n] = new
        into.nodes.append(new)

    def apply(self, n: Apply, into: Graph) -> Apply:
        if not self.clamps or n.op.name not in INDEXED:
            return super().apply(n, into)
        first = INDEXED[n.op.name]
        x, *values = (self.node(a) for a in n.args[:first])
        indexes = [self._clamped(into, x, axis, self.node(i)) for axis, i in enumerate(n.args[first:])]
        new = self.nodes[n] = Apply(n.op, (x, *values, *indexes), n.attrs, (), n.type, n.span, n.name)
        into.nodes.append(new)
        return new

    def _clamped(self, into: Graph, x: Node, axis: int, i: Node) -> Node:
        size = x.type.shape[axis]
        key = into, i, (x, axis) if size is None else size
        if key not in self.safe:
            with Builder(into, i.span):
                last = elementwise.sub(shapes.dim(x, axis=axis), 1) if size is None else size - 1
                self.safe[key] = elementwise.maximum(elementwise.minimum(i, last), 0)
        return self.safe[key]


__all__ = ["Halves", "reads", "split"]
