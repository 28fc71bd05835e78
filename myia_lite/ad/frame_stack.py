"""The frame stack of a recursive function, on which all its calls of itself lay their frames.

A function pushes its frame when all that it calls has pushed theirs, so the backward pass, which goes the other way,
finds it on top.  A branch whose condition costs nothing to know again pushes a frame of its own: where a recursion ends
there is often nothing to save.
"""

from __future__ import annotations

from ..ir import Builder, Graph, Node, Parameter, Stack, Sum, Tuple, current
from ..ops.control import case, get, make, raise_, stack_pop, stack_push
from ..ops.control import tuple_ as tuple_of
from .edits import substitute


class FrameStack(Node):
    """Stands for the stack among leaves that have cotangents: what backward code has left of it goes where those go,
    through branches and loops.  `type` is that of the stack, whose elements are a sum of frames.
    """

    __slots__ = ("frames",)

    def __init__(self, frames: Sum):
        self.frames, self.type, self.name, self.span = frames, Stack(frames), "frames", None


class Frame:
    """One kind of frame: the values of `saved`, in the order of `fields`, which stand for them in backward code."""

    def __init__(self, frames: Sum, graph: Graph):
        """`graph`: the backward code, at whose head the frame is taken from the frame stack."""
        self.frames, self.graph = frames, graph
        self.rest = Parameter(graph, Stack(frames), "rest")  # the frame stack below it
        self.fields: list[Parameter] = []
        self.tag: str | None = None

    def field(self, type) -> Parameter:
        self.fields.append(Parameter(self.graph, type))
        return self.fields[-1]

    def close(self) -> None:
        """All fields are known."""
        if self.fields:
            self.tag = f"frame{len(self.frames.variants)}"
            self.frames.variants[self.tag] = tuple(f.type for f in self.fields)

    def push(self, stack: Node, values: list[Node]) -> Node:
        return stack_push(stack, make(*values, sum=self.frames, tag=self.tag)) if self.fields else stack

    def pop(self, stack: Node) -> None:
        """Fill in the fields and the rest, once all the frame stack's frames are known."""
        g, filled = self.graph, {self.rest: stack}
        nodes, g.nodes = g.nodes, []
        with Builder(g):
            if self.fields:
                popped = stack_pop(stack)
                filled[self.rest] = get(popped, index=0)
                parts = fields_of(get(popped, index=1), self.tag, g)
                filled |= {f: get(parts, index=k) for k, f in enumerate(self.fields)}
        g.nodes += nodes
        substitute(g, filled)


def fields_of(value: Node, tag: str, into: Graph) -> Node:
    """The fields of a sum's value that is of variant `tag`, as a tuple."""
    out, graphs = Tuple(tuple(value.type.variants[tag])), []
    for name, types in value.type.variants.items():
        g = Graph(name, into)
        params = [g.parameter(t) for t in types]
        with Builder(g):
            if name == tag:
                g.result = tuple_of(*params)
            else:
                g.result = raise_(exception="SystemError", message="a pullback without its forward pass")
        g.result_type = g.result.type
        graphs.append(g)
    return current().emit(case, value, graphs=graphs, type=out)
