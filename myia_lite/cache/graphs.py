"""Typed graphs as plain data, for JSON: what goes on from a record of a forward pass is kept with the program that
makes the record.

Nodes are numbered in the order in which they are written, and graphs and sums in that in which they are met, so that
an argument is a number; spans stand in a table.  Names, spans and the bits of constants come back as they were.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import Apply, Array, Constant, Graph, Never, Node, Residual, Scalar, Span, Stack, Sum, Tuple, Type, reachable
from .identity import Unstorable, Walk

SPAN = ("file", "line", "column", "end_line", "end_column", "origin")


class Writer:
    """Types and graphs to plain data.  `known(record)` is the name of a record that others make; it raises Unstorable
    where there is none."""

    def __init__(self, walk: Walk, known: Callable[[Residual], str]):
        self.walk, self.known = walk, known
        self.sums: dict[Sum, int] = {}
        self.sum_data: list = []
        self.spans: dict[Span, int] = {}
        self.nodes: dict[Node, int] = {}
        self.graphs: dict[Graph, int] = {}

    def tables(self) -> dict[str, Any]:
        """What the data refers to by number."""
        names = [s.name for s in self.sums]
        if len(set(names)) < len(names):
            raise Unstorable("two sums of one name")  # their order among recursive ones decides on the layout
        return {"sums": self.sum_data, "spans": [[getattr(s, k) for k in SPAN] for s in self.spans]}

    # ---- types
    def type(self, t: Type | None) -> Any:
        if t is None or t is Never:
            return ["never"] if t is Never else None
        if isinstance(t, Scalar):
            return t.dtype
        if isinstance(t, Array):
            return ["array", t.dtype, list(t.shape)]
        if isinstance(t, Tuple):
            return ["tuple", [self.type(e) for e in t.elems]]
        if isinstance(t, Stack):
            return ["stack", self.type(t.elem)]
        if isinstance(t, Sum):
            return ["sum", self._sum(t)]
        raise Unstorable(f"a {type(t).__name__} in a graph")

    def _sum(self, s: Sum) -> int:
        if s in self.sums:
            return self.sums[s]
        k = self.sums[s] = len(self.sum_data)
        self.sum_data.append(None)
        if isinstance(s, Residual) and k:  # the first is the record that is written
            self.sum_data[k] = {"known": self.known(s)}
            return k
        variants = [[tag, [self.type(f) for f in fields]] for tag, fields in s.variants.items()]
        tangent = None if s.tangent is None else self._sum(s.tangent)
        self.sum_data[k] = {"name": s.name, "variants": variants, "tangent": tangent, "record": isinstance(s, Residual)}
        return k

    # ---- values
    def value(self, x: Any) -> list:
        """An attribute, or what a constant is."""
        if x is None or type(x) in (bool, int, str):
            return ["is", x]
        if type(x) is float:
            return ["float", np.float64(x).tobytes().hex()]
        if type(x) is tuple:
            return ["tuple", [self.value(i) for i in x]]
        if isinstance(x, Type):
            return ["type", self.type(x)]
        if isinstance(x, np.generic) and x.dtype.kind in "bif":
            return ["scalar", x.dtype.str, x.tobytes().hex()]
        if type(x) is np.ndarray and x.dtype.kind in "bif":
            return ["array", x.dtype.str, list(x.shape), base64.b64encode(x.tobytes()).decode()]
        found = self.walk.number(x)
        if found is None:
            raise Unstorable(f"a {type(x).__name__} in a graph")
        return ["object", found]

    def span(self, s: Span | None) -> int | None:
        return None if s is None else self.spans.setdefault(s, len(self.spans))

    def node(self, n: Node) -> Any:
        """A reference to a node; a constant stands in its place."""
        if isinstance(n, Constant):
            return [self.value(n.value), self.type(n.type), n.name, self.span(n.span)]
        return self.nodes[n]

    # ---- graphs
    def program(self, entry: Graph) -> list:
        """A closed graph with all that it reaches."""
        closed = reachable(entry)
        for g in closed:
            self.graphs[g] = len(self.graphs)
        return [self.graph(g) for g in closed]

    def graph(self, g: Graph) -> dict[str, Any]:
        data: dict[str, Any] = {"name": g.name, "span": self.span(g.span), "type": self.type(g.result_type)}
        data["params"] = [[self.type(p.type), p.name, self.span(p.span)] for p in g.params]
        for p in g.params:
            self.nodes[p] = len(self.nodes)
        data["nodes"] = [self.apply(n) for n in g.nodes]
        data["result"] = self.node(g.result)
        return data

    def apply(self, n: Apply) -> list:
        args = [self.node(a) for a in n.args]
        attrs = [[k, self.value(v)] for k, v in n.attrs.items()]
        graphs = []
        for h in n.graphs:
            if n.op.nests:
                self.graphs[h] = len(self.graphs)
                graphs.append(self.graph(h))
            else:
                graphs.append(self.graphs[h])
        self.nodes[n] = len(self.nodes)
        return [n.op.name, args, attrs, graphs, self.type(n.type), n.name, self.span(n.span)]


class Reader:
    """The inverse.  `objects`: what the numbers of objects mean; `point_of(name)` has the record of that name."""

    def __init__(self, tables: dict[str, Any], objects: list, point_of: Callable[[str], Any]):
        self.objects = objects
        self.spans = [Span(*s) for s in tables["spans"]]
        self.points = [point_of(s["known"]) if "known" in s else None for s in tables["sums"]]  # they stay alive
        self.sums: list[Sum] = []
        for s, p in zip(tables["sums"], self.points, strict=True):
            self.sums.append(p.record if p is not None else (Residual if s["record"] else Sum)(s["name"]))
        for s, data in zip(self.sums, tables["sums"], strict=True):
            if "known" not in data:
                s.variants = {tag: tuple(map(self.type, fields)) for tag, fields in data["variants"]}
                s.tangent = None if data["tangent"] is None else self.sums[data["tangent"]]
        self.nodes: list[Node] = []
        self.graphs: list[Graph] = []

    def type(self, data: Any) -> Any:
        if data is None:
            return None
        if isinstance(data, str):
            return Scalar(data)
        kind, *rest = data
        if kind == "array":
            return Array(rest[0], tuple(rest[1]))
        if kind == "tuple":
            return Tuple(tuple(map(self.type, rest[0])))
        if kind == "stack":
            return Stack(self.type(rest[0]))
        return self.sums[rest[0]] if kind == "sum" else Never

    def value(self, data: list) -> Any:
        kind, *rest = data
        if kind == "is":
            return rest[0]
        if kind == "float":
            return float(np.frombuffer(bytes.fromhex(rest[0]), np.float64)[0])
        if kind == "tuple":
            return tuple(map(self.value, rest[0]))
        if kind == "type":
            return self.type(rest[0])
        if kind == "scalar":
            return np.frombuffer(bytes.fromhex(rest[1]), rest[0])[0]
        if kind == "array":
            return np.frombuffer(base64.b64decode(rest[2]), rest[0]).reshape(rest[1]).copy()
        return self.objects[rest[0]]

    def span(self, k: int | None) -> Span | None:
        return None if k is None else self.spans[k]

    def node(self, data: Any) -> Node:
        if isinstance(data, int):
            return self.nodes[data]
        value, t, name, span = data
        out = Constant(self.value(value), self.type(t), self.span(span))
        out.name = name
        return out

    def program(self, data: list) -> Graph:
        from ..ops import PRIMITIVES

        self.nodes, self.graphs = [], [Graph(g["name"]) for g in data]
        closed = list(self.graphs)
        for g, d in zip(closed, data, strict=True):
            self._fill(g, d, PRIMITIVES)
        return closed[0]

    def _fill(self, g: Graph, data: dict[str, Any], primitives) -> Graph:
        g.span, g.result_type = self.span(data["span"]), self.type(data["type"])
        for t, name, span in data["params"]:
            self.nodes.append(g.parameter(self.type(t), name, self.span(span)))
        for op, args, attrs, graphs, t, name, span in data["nodes"]:
            inputs, inner = [self.node(a) for a in args], []
            for h in graphs:
                if isinstance(h, int):
                    inner.append(self.graphs[h])
                    continue
                local = Graph(h["name"], g)
                self.graphs.append(local)
                inner.append(self._fill(local, h, primitives))
            known = {k: self.value(v) for k, v in attrs}
            n = Apply(primitives[op], inputs, known, inner, self.type(t), self.span(span), name)
            self.nodes.append(n)
            g.nodes.append(n)
        g.result = self.node(data["result"])
        return g
