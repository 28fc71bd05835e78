"""Parses the printed form of typed programs, so that IR tests are text in, text out."""

from __future__ import annotations

import ast
import re
from typing import Any

from .nodes import Apply, Constant, Graph, Primitive
from .types import DTYPES, F64, I64, Array, Bool, Never, Scalar, Stack, Sum, Tuple

_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*(
        ->|[%@$][\w.\-:<>|~▶◀]*[\w~▶◀]|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"
        |-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+|\d+|inf\b|nan\b)|[A-Za-z_]\w*|.)""",
    re.X,
)


_make_array = None


def install_arrays(make) -> None:
    """Called once by `ops`: `make(nested lists, type)` is the array of a constant; the IR itself knows no NumPy."""
    global _make_array
    _make_array = make


def parse_text(text: str, primitives: dict[str, Primitive], objects: dict[str, Any] | None = None) -> Graph:
    """The first graph of a printed program, with all that it reaches; `objects`: what <name> in attributes means.

    Raises SyntaxError.
    """
    return _Parser(text, primitives, objects or {}).program()


class _Parser:
    def __init__(self, text, primitives, objects):
        self.tokens = [m.group(1) for m in _TOKEN.finditer(text) if m.group(1).strip()]
        self.k, self.primitives, self.objects = 0, primitives, objects
        self.values, self.graphs, self.sums, self.declared = {}, {}, {}, set()

    # ---- tokens
    @property
    def next(self):
        return self.tokens[self.k] if self.k < len(self.tokens) else ""

    def take(self, want=None):
        t = self.next
        if want is not None and t != want:
            raise SyntaxError(f"expected {want!r}, found {' '.join(self.tokens[self.k : self.k + 6])!r}")
        self.k += 1
        return t

    def accept(self, t):
        if self.next == t:
            self.k += 1
            return True
        return False

    def many(self, close, item):
        out = []
        while not self.accept(close):
            out.append(item())
            self.accept(",")
        return out

    # ---- grammar
    def program(self):
        first = None
        while self.k < len(self.tokens):
            if self.accept("sum"):
                self.sum()
            else:
                self.take("graph")
                g = self.graph(None)
                first = first or g
        missing = [n for n in self.graphs if n not in self.declared]
        if missing:
            raise SyntaxError(f"graphs without a body: {', '.join(missing)}")
        return first

    def sum(self):
        s = self.named_sum(self.take()[1:])
        self.take("=")
        while True:
            tag = self.take()
            self.take("(")
            s.variants[tag] = tuple(self.many(")", self.type))
            if not self.accept("|"):
                return

    def named_sum(self, name):
        return self.sums.setdefault(name, Sum(name))

    def named_graph(self, name):
        return self.graphs.setdefault(name, Graph(name))

    def type(self):
        t = self.take()
        if t == "(":
            return Tuple(tuple(self.many(")", self.type)))
        if t.startswith("$"):
            return self.named_sum(t[1:])
        if t == "never":
            return Never
        if t == "stack":
            self.take("<")
            elem = self.type()
            self.take(">")
            return Stack(elem)
        if t not in DTYPES:
            raise SyntaxError(f"no such type: {t}")
        if self.accept("["):
            return Array(t, tuple(self.many("]", lambda: None if self.accept("?") else int(self.take()))))
        return Scalar(t)

    def graph(self, parent):
        name = self.take()[1:]
        g = self.named_graph(name)
        if name in self.declared:
            if parent is None:
                raise SyntaxError(f"@{name} is declared twice")
            g = self.graphs[name] = Graph(name)  # local names may repeat: `recur` means the latest
        self.declared.add(name)
        g.parent = parent
        self.take("(")

        def param():
            name = self.take()[1:]
            self.take(":")
            self.values[name] = g.parameter(self.type(), _hint(name))

        self.many(")", param)
        self.take("->")
        g.result_type = self.type()
        self.take("{")
        while not self.accept("return"):
            g.nodes.append(self.node(g))
        g.result = self.value()
        self.take("}")
        return g

    def node(self, g):
        name = self.take()[1:]
        self.take(":")
        type = self.type()
        self.take("=")
        op = self.primitives.get(o := self.take())
        if op is None:
            raise SyntaxError(f"no such primitive: {o}")
        attrs, graphs = {}, []
        if self.accept("["):
            for key, v in self.many("]", self.attribute):
                attrs[key] = v
        while self.next.startswith("@"):
            graphs.append(self.named_graph(self.take()[1:]))
        self.take("(")
        args = self.many(")", self.value)
        if op.nests:
            self.take("{")
            while not self.accept("}"):
                graphs.append(self.graph(g))
        n = self.values[name] = Apply(op, args, attrs, graphs, type, name=_hint(name))
        return n

    def attribute(self):
        key = self.take()
        self.take("=")
        if self.accept("!"):
            return key, self.type()
        if self.accept("<"):
            name = "".join(iter(self.take, ">"))
            if name not in self.objects:
                raise SyntaxError(f"nobody says what <{name}> is")
            return key, self.objects[name]
        return key, self.literal()

    def literal(self):
        t = self.take()
        if t in "([":
            close = {"(": ")", "[": "]"}[t]
            items = self.many(close, self.literal)
            return tuple(items) if t == "(" else items
        if t in ("inf", "-inf", "nan"):
            return float(t)
        if t == "-":
            return -self.literal()
        return ast.literal_eval(t)

    def value(self):
        if self.next.startswith("%"):
            name = self.take()[1:]
            if name not in self.values:
                raise SyntaxError(f"%{name} is used before its definition")
            return self.values[name]
        v = self.literal()
        if self.accept(":"):
            t = self.type()
            if isinstance(t, Array):
                v = _make_array(v, t)
            return Constant(v, t)
        return Constant(v, {bool: Bool, int: I64, float: F64}[type(v)])


def _hint(name: str) -> str | None:
    return None if name.isdigit() else name
