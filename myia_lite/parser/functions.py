"""Functions: parameters, bodies, and what nested functions capture.

A nested function captures the values that variables have when it is made.  Python would let it see later assignments,
so a variable that is assigned after the function was made is refused; but functions themselves (a recursive one, or
siblings that call each other) are seen late, as in Python: bodies refer to the node that makes the other function.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ..ir import Graph, MyiaSyntaxError, Node
from ..ops import surface as py
from .block import Block
from .expressions import expression
from .flow import Flow
from .names import free_names
from .signature import Signature, default_expressions
from .statements import Ends, statements
from .subset import Located, refuse


class Function:
    """One function being lowered into `graph`; `parent` is the function around it."""

    def __init__(self, node, graph: Graph, program, parent: Function | None = None):
        self.node, self.graph, self.program, self.parent = node, graph, program, parent
        self.flow = Flow(node)
        self.late: dict[str, tuple[Node, Graph]] = {}  # functions that others may refer to before they are made
        self.awaited: dict[Node, set[str]] = {}  # function -> others that it needs, and that are made after it
        self.loop_graphs: dict[int, Graph] = {}
        graph.info["signature"] = Signature.of(node.args)

    def lower(self, captured: dict[str, Node], maybe: set[str]) -> None:
        """Fill the graph.  `captured` are the variables of the functions around; `maybe` may be unassigned."""
        args = {a.arg: a for a in ast.walk(self.node.args) if isinstance(a, ast.arg)}
        env = {n: node for n, node in captured.items() if n not in self.flow.locals}
        block = Block(self.graph, self, env, {n for n in maybe if n in env})
        for name in self.graph.info["signature"].parameters:
            block.bind(name, self.graph.parameter(name=name, span=block.span(args[name])))
        if isinstance(self.node, ast.Lambda):
            self.graph.returns(expression(block, self.node.body))
            return
        ends = Ends(fall=lambda b: b.constant(None, self.node.body[-1]), leave_return=lambda b, value: value)
        statements(block, self.node.body, ends)

    def closure(self, b: Block, node, name: str | None = None, decorators: Sequence[Node] = ()) -> Node:
        """The value of a nested def or lambda, bound to `name`."""
        self._check_captures(b, node)
        label = getattr(node, "name", f"lambda_{node.lineno}")
        graph = Graph(self.program.unique(f"{self.graph.name}.{label}"), b.graph, b.span(node))
        defaults = [expression(b, d) for d in default_expressions(node.args)]
        value = closure = b.emit(py.py_closure, *defaults, at=node, graphs=[graph], name=name)
        for d in reversed(decorators):
            value = b.emit(py.py_call, d, value, at=node, attrs={"keywords": (), "star": ()})
        inner = Function(node, graph, self.program, self)
        if trips := self._trips(node):
            graph.info["trips"] = trips
        if name is not None and name in self.flow.named:
            self.late[name] = value, b.graph
        free = free_names(node)
        late = {n for n in free & self.flow.locals if self.flow.is_late(n, node)}
        captured = {n: b.env[n] for n in free - late if n in b.env}
        self.awaited[value] = (late - {name}).union(*(self.awaited.get(n, ()) for n in captured.values()))
        if late <= self.late.keys():
            inner.lower(captured, b.maybe & captured.keys())
        else:  # the function that it refers to comes below
            self.program.pending.append((inner, captured, b.maybe & captured.keys()))
        if name is not None:
            b.bind(name, value)
        else:
            self.check_ready(b, closure, "this function", node)
        return closure

    def check_ready(self, b: Block, value: Node, name: str, at: Located) -> None:
        """Refuse to use a function before those that it needs have been made: a call would be a NameError."""
        missing = sorted(self.awaited.get(value, set()) - b.env.keys())
        if missing:
            raise MyiaSyntaxError(
                f"{name} is used before {missing[0]}, which it refers to, has been defined",
                b.span(at),
                f"define {missing[0]} first",
            )

    def _check_captures(self, b: Block, node) -> None:
        file = self.program.file
        for name in sorted(free_names(node)):
            if name in b.shadowed:
                raise refuse(
                    f"a function that captures {name}, the variable of a comprehension,",
                    node,
                    file,
                    f"bind it by a default, {name}={name}",
                )
            if name == getattr(node, "name", None) and node.decorator_list:
                raise refuse(
                    f"a nested function with a decorator that refers to itself, as {name} does,",
                    node,
                    file,
                    f"leave {name} undecorated, and give what the decorator returns another name",
                )
            if (
                name in self.flow.locals
                and name in self.flow.later.get(id(node), ())
                and not self.flow.is_late(name, node)
            ):
                raise MyiaSyntaxError(
                    f"{name} is assigned after this function, which captures it, has been made",
                    b.span(node),
                    f"give the value a name of its own, or bind it now by a default, {name}={name}",
                )

    def _trips(self, node) -> tuple[Graph, ...]:
        """Loops whose next trip assigns a variable that `node` captures, here or by way of the functions around."""
        free = free_names(node)
        loops = [loop for loop in self.flow.loops.get(id(node), ()) if free & self.flow.changed([loop])]
        own = tuple(self.loop_graphs[id(loop)] for loop in loops)
        return (*self.graph.info.get("trips", ()), *own)

    def outside(self, b: Block, name: str, at: Located) -> Node | None:
        """The value of a name that is no variable of the block: a function defined below, a closure cell, a global, a
        builtin.  None for a local variable that nothing has assigned yet.
        """
        if name in self.flow.locals:
            return None
        function = self.parent
        while function is not None:
            if name in function.flow.locals:
                return function.late_function(b, name, at)
            function = function.parent
        return self.program.resolve(name, b.span(at))

    def late_function(self, b: Block, name: str, at: Located) -> Node | None:
        if name not in self.late:
            return None
        node, graph = self.late[name]
        around: Graph | None = b.graph
        while around is not None and around is not graph:
            around = around.parent
        if around is None:
            raise MyiaSyntaxError(
                f"{name} is defined where this function cannot see it: in another block, or below an early exit",
                b.span(at),
                f"move the definition of {name} up, beside the function that refers to it",
            )
        return node
