"""From a Python function to its surface graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

from ..ir import Constant, Graph, MyiaNameError, MyiaSyntaxError, MyiaTypeError, Span
from .functions import Function
from .signature import Signature
from .source import function_source
from .subset import check_subset, span_of


class Missing:
    """The value of a name that is no longer there."""

    def __repr__(self):
        return "missing"


MISSING = Missing()


@dataclass(frozen=True, eq=False)
class Dependency:
    """A value from outside that was built into the graph, and where it came from: a closure cell, or the first of
    `namespaces` (the module's globals, then the builtins) that has the name.
    """

    name: str
    value: Any
    cell: CellType | None = None
    namespaces: tuple[Mapping[str, Any], ...] = ()

    def current(self) -> Any:
        """What the name means now; MISSING where it means nothing."""
        if self.cell is not None:
            try:
                return self.cell.cell_contents
            except ValueError:
                return MISSING
        for namespace in self.namespaces:
            if self.name in namespace:
                return namespace[self.name]
        return MISSING


@dataclass(frozen=True, eq=False)
class ParsedFunction:
    """The surface graph of a function, how it takes arguments, its default values, and what it took from outside.

    `defaults` are the values of `signature.defaults`, in that order.
    """

    graph: Graph
    signature: Signature
    defaults: tuple[Constant, ...]
    dependencies: tuple[Dependency, ...]


def parse_function(fn: FunctionType) -> ParsedFunction:
    """The surface graph of a Python function: a def, a lambda, a nested function, the function under a method.

    Raises MyiaSyntaxError where the source is not in the subset or is not to be had, MyiaNameError where it uses a name
    that is not defined, MyiaTypeError for what is no Python function.
    """
    node, file = function_source(fn)
    check_subset(node, file)
    program = Program(fn, file)
    label = fn.__name__ if fn.__name__.isidentifier() else f"lambda_{node.lineno}"
    graph = Graph(program.unique(label), span=span_of(node, file))
    try:
        function = Function(node, graph, program)
        function.lower({}, set())
        while program.pending:
            inner, captured, maybe = program.pending.pop(0)
            inner.lower(captured, maybe)
    except RecursionError:
        raise MyiaSyntaxError(
            f"{label} is nested too deeply to be compiled",
            span_of(node, file),
            "take inner parts out into functions of their own",
        ) from None
    signature = graph.info["signature"]
    values = [
        *(fn.__defaults__ or ()),
        *((fn.__kwdefaults__ or {}).get(n) for n in signature.kwonly if n in signature.defaults),
    ]
    defaults = tuple(Constant(v, span=graph.span) for v in values)
    graph.info["defaults"] = defaults
    return ParsedFunction(graph, signature, defaults, tuple(program.dependencies.values()))


def parameter(fn: FunctionType, place: int | str) -> tuple[Span | None, str]:
    """Where a function declares the parameter with this index or name (None without a source), and its name."""
    try:
        node, file = function_source(fn)
    except (MyiaSyntaxError, MyiaTypeError):
        return None, str(place)
    declared = [*node.args.posonlyargs, *node.args.args]
    if isinstance(place, int):
        arg = declared[place] if place < len(declared) else node.args.vararg
    else:
        arg = next((a for a in (*declared, *node.args.kwonlyargs) if a.arg == place), None)
    return (span_of(node, file), str(place)) if arg is None else (span_of(arg, file), arg.arg)


class Program:
    """What the functions nested in one share: its file, the world outside it, and names of graphs."""

    def __init__(self, fn: FunctionType, file: str):
        self.file = file
        self.cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        self.namespaces = fn.__globals__, fn.__builtins__  # type: ignore[attr-defined]
        self.dependencies: dict[str, Dependency] = {}
        self.pending: list[tuple[Function, dict, set]] = []
        self._graph_names: dict[str, int] = {}

    def unique(self, name: str) -> str:
        count = self._graph_names[name] = self._graph_names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def resolve(self, name: str, span: Span) -> Constant:
        """The value of a name that no function being parsed binds."""
        if name not in self.dependencies:
            where = Dependency(name, None, self.cells.get(name), () if name in self.cells else self.namespaces)
            value = where.current()
            if value is MISSING:
                remedy = (
                    "assign it before the first call" if name in self.cells else "define or import it at module level"
                )
                raise MyiaNameError(f"name {name!r} is not defined", span, remedy)
            self.dependencies[name] = Dependency(name, value, where.cell, where.namespaces)
        return Constant(self.dependencies[name].value, span=span)
