"""The entry of inference, and what is done once the walk is over: captured arrays become parameters."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from ..ir import Graph, Node, Parameter, reachable
from ..ops import control
from .abstract import returnable
from .customs import Customs
from .joins import End, several
from .structures import Tagged, Template, Tree, Union
from .templates import parts
from .values import Leaf, Static, Value

CALLS = (control.call, control.grad, control.jvp, control.vjp, control.vmap, control.custom)
NESTING = 20_000  # frames of the walk: each call under way takes some twenty


class DeepRecursion:
    """While any thread is in it, Python's recursion limit is `NESTING`."""

    lock, users, limit = threading.Lock(), 0, 0

    def __enter__(self):
        cls = DeepRecursion
        with cls.lock:
            if cls.users == 0:
                cls.limit = sys.getrecursionlimit()
                sys.setrecursionlimit(max(cls.limit, NESTING))
            cls.users += 1

    def __exit__(self, *exc):
        cls = DeepRecursion
        with cls.lock:
            cls.users -= 1
            if cls.users == 0:
                sys.setrecursionlimit(cls.limit)


@dataclass(frozen=True, eq=False)
class Inferred:
    """The typed program.  `graph` takes the leaves of `arguments`, in order, then the arrays `captured`, and returns
    the leaves of `result`: none, one, or a tuple of several; None where it never returns.
    """

    graph: Graph
    arguments: tuple[Template, ...]
    result: Template | None
    captured: tuple[Any, ...]
    dependencies: tuple[Any, ...]
    functions: tuple[Any, ...] = ()  # the Python functions that were parsed


def infer(
    function: Any,
    arguments: tuple[Template, ...],
    parse: Callable,
    error_model: str = "python",
    keywords: tuple[tuple[str, Template], ...] = (),
) -> Inferred:
    """The typed program of a call `function(*arguments, **keywords)`, for anything that Python can call.

    `arguments` are what `abstract` made of the arguments; `parse(python_function)` gives a `ParsedFunction`.
    """
    with DeepRecursion():
        return Engine(error_model, parse).program(function, tuple(arguments), tuple(keywords))


class Engine(Customs):
    """All of inference."""

    def program(self, function, arguments, keywords) -> Inferred:
        entry = Graph(getattr(function, "__name__", "entry").strip("<>"))
        templates = (*arguments, *(t for _, t in keywords))
        self.graph = entry
        values = []
        labels = [*(self._parameters_of(Static(function)) or ()), *[None] * len(templates)][: len(arguments)]
        for label, t in zip((*labels, *(k for k, _ in keywords)), templates, strict=True):
            params = self.parameters(entry, self.types(t))
            for p in params:
                p.name = label
                self.aliases.own(p, "an argument")
            values.append(self.rebuild(t, iter(params)))
        positional, named = values[: len(arguments)], values[len(arguments) :]
        names = tuple(k for k, _ in keywords)
        result = None

        def walk():
            nonlocal result
            value = self.call(Static(function), positional, tuple(zip(names, named, strict=True)))
            result, nodes = self._returned(value)
            self.give(entry, nodes, [n.type for n in nodes])
            return [End(entry, value, self.aliases.versions)]

        with self.at(self._definition(function)):
            self.attempt(walk)
        self.settle(entry)
        graph = self._unwrapped(entry)
        captured = self._lift(graph)
        return Inferred(graph, templates, result, captured, tuple(self.dependencies), tuple(self.parsed))

    def _definition(self, function):
        """Where the function that is called was written: the place of errors in how it is called."""
        while not isinstance(function, FunctionType) or hasattr(function, "__myia_transformed__"):
            if hasattr(function, "__myia_transformed__"):
                function = function.__myia_transformed__[1]
            else:
                inner = [getattr(function, k, None) for k in ("__wrapped__", "__func__", "func")]
                function = next((f for f in inner if callable(f)), None)
                if function is None:
                    return None
        return self.parsed_function(function).graph.span

    def _returned(self, value: Value) -> tuple[Template, list[Node]]:
        """The template and the leaves of the result, with values of several shapes spread out."""
        template, nodes = self._spread_out(value)
        problem = returnable(template)
        if problem:
            with self.at(self._where_returned()):
                self.error(f"the function returns {problem}", "return numbers, arrays, or structures of these")
        return template, nodes

    def _where_returned(self):
        """The expression in the function called that cannot be handed to Python."""
        called = {n.graphs[0] for n in self.graph.nodes if n.op is control.call}
        for spec in self.memo.values():
            if spec.graph in called:
                return next((span for t, span in spec.ends if returnable(t)), None)
        return None

    def _spread_out(self, value: Value):
        if isinstance(value, Leaf):
            return self.template(value), self.leaves(value)
        if not several(value):
            shape, items = parts(value)
            done = [self._spread_out(i) for i in items]
            return Tree(shape, tuple(t for t, _ in done)), [n for _, nodes in done for n in nodes]
        alternatives = value.alternatives.alternatives
        flat = [self._flat_types(t) for _, t in alternatives]

        def one(tag, v):
            k = [name for name, _ in alternatives].index(tag)
            nodes = [self.const(k).node]
            for j, types in enumerate(flat):
                nodes += self._spread_out(v)[1] if j == k else [self.dummy(t) for t in types]
            self.give(self.graph, nodes, [self.const(k).type, *(t for types in flat for t in types)])
            return []

        graphs = self.alternatives(value, lambda tag, v: one(tag, v))
        node, _ = self.branch(control.case, [value.node], graphs)
        self.settle_node(node)
        nodes = self.split(node, 1 + sum(map(len, flat)))
        return Tagged(tuple(self._tagged(t) for _, t in alternatives)), nodes

    def _tagged(self, t: Template) -> Template:
        if isinstance(t, Union):
            return Tagged(tuple(self._tagged(i) for _, i in t.alternatives))
        return Tree(t.shape, tuple(map(self._tagged, t.items))) if isinstance(t, Tree) else t

    def _flat_types(self, t: Template):
        if isinstance(t, Union):
            return [self.const(0).type, *(x for _, i in t.alternatives for x in self._flat_types(i))]
        if isinstance(t, Tree):
            return [x for i in t.items for x in self._flat_types(i)]
        return self.types(t)

    # ---- after the walk ----------------------------------------------------------------------------------------------
    def _unwrapped(self, entry: Graph) -> Graph:
        """The function itself, where the entry does nothing but call it."""
        if not entry.nodes:
            return entry
        call, *rest = entry.nodes
        if call.op is not control.call or list(call.args) != entry.params or entry.result_type != call.type:
            return entry
        if entry.result is call and not rest:
            return call.graphs[0]
        if entry.result.op is not control.tuple_ or rest[-1] is not entry.result:
            return entry
        for k, n in enumerate(rest[:-1]):
            if (
                n.op is not control.get
                or n.args[0] is not call
                or n.attrs["index"] != k
                or entry.result.args[k] is not n
            ):
                return entry
        return call.graphs[0]

    def _lift(self, entry: Graph) -> tuple[Any, ...]:
        """Hand the captured arrays down from the entry's last parameters to where they are used."""
        if not self.captured:
            return ()
        places = {p: obj for obj, p in self.captured.values()}
        graphs = reachable(entry)
        needs: dict[Graph, dict[Parameter, None]] = {}
        calls: dict[Graph, list] = {}
        for g in graphs:
            needs[g], calls[g] = {}, []
            for inner in g.nested():
                for used in (*(a for n in inner.nodes for a in n.args), inner.result):
                    if used in places:
                        needs[g][used] = None
                calls[g] += [n for n in inner.nodes if n.op in CALLS]
        grown = True
        while grown:
            grown = False
            for g in graphs:
                for n in calls[g]:
                    alike = [g, *n.graphs] if n.op is control.custom else [g]  # a function and its rules take the same
                    for p in [p for h in n.graphs for p in needs[h]]:
                        for h in alike:
                            if p not in needs[h]:
                                needs[h][p] = None
                                grown = True
        for g in graphs:
            own = {p: g.parameter(p.type, p.name, p.span) for p in places if p in needs[g]}
            for inner in g.nested():
                for n in inner.nodes:
                    n.args = tuple(own.get(a, a) for a in n.args)
                inner.result = own.get(inner.result, inner.result)
            for n in calls[g]:
                end = len(n.args) - control.given(n)
                n.args = (*n.args[:end], *(own[p] for p in places if p in needs[n.graphs[0]]), *n.args[end:])
        return tuple(obj for p, obj in places.items() if p in needs[entry])
