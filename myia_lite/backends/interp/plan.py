"""What the machine runs: the nodes of a graph with, at each, which values die there.

A value that dies at a node is moved to it rather than copied, so that the reference count of an array tells whether its
last user holds it alone.  The analysis is exact about branches and loops: what the other branch would have used is
dropped at the entry of this one; what the next trip uses lives through the trip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import Apply, Array, Constant, Graph, Node, Parameter, Tuple, free_variables, reachable
from ...ops.define import NUMPY_DTYPES
from .. import note_line

CONTROL = ("call", "loop", "recur", "switch", "case", "guard", "raise")


def as_value(value, t):
    """A parameter's or a constant's value as the machine holds it."""
    if isinstance(t, Tuple):
        return tuple(map(as_value, value, t.elems))
    if isinstance(t, Array):
        return np.asarray(value, NUMPY_DTYPES[t.dtype])
    if hasattr(t, "dtype"):
        return NUMPY_DTYPES[t.dtype](value)
    return value


def value_of(n: Apply) -> Callable | None:
    """What computes the value of a node, None for control."""
    return at_line(n) if n.op.name == "foreign" else n.op.value


def at_line(n: Apply) -> Callable:
    """The value of a node that calls functions of the user's: what they raise gets a note that names the line."""

    def run(*args, **attrs):
        try:
            return n.op.value(*args, **attrs)
        except BaseException as error:
            note_line(error, n.span)
            raise

    return run


@dataclass(slots=True)
class Literal:
    """A constant's value."""

    value: Any


@dataclass(slots=True)
class Step:
    """One node.  `kept`: somebody uses its value; `after`: what a loop's trips needed and nobody needs any more."""

    node: Apply
    op: str
    args: tuple[Node | Literal, ...]
    value: Callable | None
    dies: tuple[Node, ...]
    kept: bool
    blocks: tuple[Block, ...] = ()
    after: tuple[Node, ...] = ()


@dataclass(slots=True)
class Block:
    """One graph.  It shares the environment of the closed graph in which it is nested: none runs twice at once."""

    graph: Graph
    params: tuple[Parameter | None, ...] = ()  # None for those that nobody uses
    steps: list[Step] = field(default_factory=list)
    result: Node | Literal | None = None
    result_dies: bool = False
    drops: tuple[Node, ...] = ()


class Plan:
    """The blocks of all closed graphs that `entry` reaches.

    `meaning` of a node is what computes its value from those of its arguments; None leaves it to the machine.
    """

    def __init__(self, entry: Graph, meaning: Callable[[Apply], Callable | None] = value_of):
        self.meaning = meaning
        self.literals: dict[Constant, Literal] = {}
        self.blocks = {g: Block(g) for g in reachable(entry)}
        for block in self.blocks.values():
            self.fill(block, set())
        self.entry = self.blocks[entry]
        self.constant_arrays = {id(x.value) for x in self.literals.values() if isinstance(x.value, np.ndarray)}

    def operand(self, n: Node) -> Node | Literal:
        if not isinstance(n, Constant):
            return n
        if n not in self.literals:
            value = as_value(n.value, n.type)
            if isinstance(value, np.ndarray):  # the program's own, that nobody writes to
                value = value.copy()
                value.flags.writeable = False
            self.literals[n] = Literal(value)
        return self.literals[n]

    def fill(self, block: Block, live: set[Node]) -> set[Node]:
        """Walk a graph backwards, from what is live after it to what is live before it."""
        g = block.graph
        block.result = self.operand(g.result)
        block.result_dies = not isinstance(g.result, Constant) and g.result not in live
        live = {*live, g.result}
        for n in reversed(g.nodes):
            step, live = self.step(n, live)
            block.steps.append(step)
        block.steps.reverse()
        block.params = tuple(p if p in live else None for p in g.params)
        return live.difference(g.params)

    def step(self, n: Apply, live: set[Node]) -> tuple[Step, set[Node]]:
        if n.op.value is None and n.op.name not in CONTROL:
            reason = (
                "ad has not run"
                if n.op.name in ("grad", "jvp", "vjp", "pullback", "vmap", "custom", "stop_gradient")
                else "inference has not run"
                if n.type is None
                else "it has no value"
            )
            raise ValueError(f"the interpreter met {n.op.name}: {reason}")
        kept, live = n in live, live - {n}
        blocks, after = (), ()
        if n.op.name == "loop":
            (g,) = n.graphs
            free = set(free_variables(g))
            after = tuple(free - live)
            blocks = (Block(g),)
            live = live | free
            self.fill(blocks[0], live)
        elif n.op.nests:
            blocks = tuple(map(Block, n.graphs))
            before = [self.fill(b, live) for b in blocks]
            live = live.union(*before)
            for b, needed in zip(blocks, before, strict=True):
                b.drops = tuple(live - needed)
        elif n.op.name == "call":
            blocks = (self.blocks[n.graphs[0]],)
        used = {a for a in n.args if not isinstance(a, Constant)}
        args = tuple(map(self.operand, n.args))
        return Step(n, n.op.name, args, self.meaning(n), tuple(used - live), kept, blocks, after), live | used
