"""The printed form of a program: readable, stable, and (typed programs) parsed back by `text.parse_text`.  A loop:

    graph @f(%x: f64) -> f64 {
      %y: f64 = loop(0, %x) {
        @L(%i: i64, %s: f64) -> f64 {
          %c: bool = lt(%i, 10)
          %1: f64 = switch(%c) {
            @then() -> f64 { … %2: f64 = recur @L(%3, %4); return %2 }
            @else() -> f64 { return %s }
          }
          return %1
        }
      }
      return %y
    }

Nested graphs stand where they are used, and see the names around them.
"""

from __future__ import annotations

import math

from .nodes import Apply, Constant, Graph, Node, reachable
from .types import F64, I64, Array, Bool, Stack, Sum, Tuple, Type


def show(entry: Graph) -> str:
    """The text of `entry`, the closed graphs it reaches, and the sums they use."""
    return "\n\n".join(_Printer().program(entry)) + "\n"


def sums_in(t, found: dict) -> None:
    """Add to `found` the sums that type `t` mentions, in order of discovery."""
    if isinstance(t, Sum):
        if t not in found:
            found[t] = None
            for fields in list(t.variants.values()):
                for f in fields:
                    sums_in(f, found)
    elif isinstance(t, Tuple):
        for e in t.elems:
            sums_in(e, found)
    elif isinstance(t, Stack):
        sums_in(t.elem, found)


def sums_of(graphs) -> list[Sum]:
    found: dict = {}
    for top in graphs:
        for g in top.nested():
            for n in (*g.params, *g.nodes):
                sums_in(n.type, found)
                for a in getattr(n, "attrs", {}).values():
                    if isinstance(a, Type):
                        sums_in(a, found)
    return list(found)


class _Names:
    """Unique names from hints: x, x.1, x.2; numbers for what has no hint."""

    def __init__(self):
        self.given, self.taken, self.count = {}, {}, 0

    def __call__(self, thing, hint: str | None) -> str:
        if thing not in self.given:
            if hint is None:
                self.count += 1
                name = str(self.count)
            else:
                k = self.taken.get(hint, 0)
                self.taken[hint] = k + 1
                name = hint if k == 0 else f"{hint}.{k}"
            self.given[thing] = name
        return self.given[thing]


class _Printer:
    def __init__(self):
        self.values, self.graphs, self.sums, self.objects = _Names(), _Names(), _Names(), _Names()

    def program(self, entry):
        graphs = reachable(entry)
        for s in sums_of(graphs):
            variants = (f"{tag}({', '.join(map(self.type, fields))})" for tag, fields in s.variants.items())
            yield f"sum {self.type(s)} = {' | '.join(variants)}"
        for g in graphs:
            yield "\n".join(self.graph(g, "", "graph "))

    def type(self, t) -> str:
        if isinstance(t, Sum):
            return f"${self.sums(t, t.name)}"
        if isinstance(t, Tuple):
            return f"({', '.join(map(self.type, t.elems))}{',' * (len(t.elems) == 1)})"
        if isinstance(t, Stack):
            return f"stack<{self.type(t.elem)}>"
        return str(t)

    def name(self, n: Node) -> str:
        if isinstance(n, Constant):
            return self.constant(n)
        return f"%{self.values(n, n.name)}"

    def constant(self, n: Constant) -> str:
        v, t = n.value, n.type
        if isinstance(t, Array):
            return f"{v.tolist()}:{t}"
        if t is None and not isinstance(v, (int, float, str, bool, type(None))):
            return f"<{getattr(v, '__qualname__', None) or repr(v)}>"
        if isinstance(v, float) and not math.isfinite(v):
            text = repr(float(v))
        else:
            text = repr(v.item() if hasattr(v, "item") else v)
        natural = {bool: Bool, int: I64, float: F64}.get(type(v))
        return text if t is None or t == natural else f"{text}:{t}"

    def graph(self, g: Graph, pad: str, keyword=""):
        typed = g.result_type is not None
        params = ", ".join(f"{self.name(p)}: {self.type(p.type)}" if p.type else self.name(p) for p in g.params)
        arrow = f" -> {self.type(g.result_type)}" if typed else ""
        yield f"{pad}{keyword}@{self.graphs(g, g.name)}({params}){arrow} {{"
        for n in g.nodes:
            yield from self.node(n, pad + "  ")
        yield f"{pad}  return {self.name(g.result) if g.result else '?'}"
        yield f"{pad}}}"

    def node(self, n: Apply, pad: str):
        attrs = ", ".join(f"{k}={self.attribute(v)}" for k, v in n.attrs.items())
        local = n.graphs if n.op.nests else ()
        target = "".join(f" @{self.graphs(g, g.name)}" for g in n.graphs if not n.op.nests)
        left = self.name(n) + (f": {self.type(n.type)}" if n.type else "")
        args = ", ".join(map(self.name, n.args))
        line = f"{pad}{left} = {n.op.name}{f'[{attrs}]' * bool(attrs)}{target}({args})"
        if not local:
            yield line
            return
        yield line + " {"
        for g in local:
            yield from self.graph(g, pad + "  ")
        yield f"{pad}}}"

    def attribute(self, v) -> str:
        if isinstance(v, Type):
            return f"!{self.type(v)}"
        if isinstance(v, type):
            return f"<{v.__qualname__}>"
        if callable(v):
            return f"<{self.objects(v, v.__name__)}>"
        return repr(v)
