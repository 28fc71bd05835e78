"""Which array parameters of a closed graph are borrowed: only read, never written to, returned or put into data."""

from __future__ import annotations

from ..ir import Graph

# what may hold a whole array beyond the node itself
HOLDS = frozenset({"tuple", "make", "stack_push", "recur", "loop"})


def borrowed(f: Graph, assumed: dict | None = None) -> set[int]:
    """The indexes of borrowed parameters; recursion is assumed to borrow and checked to a fixpoint."""
    assumed = {} if assumed is None else assumed
    if f in assumed:
        return assumed[f]
    assumed[f] = set(range(len(f.params)))
    while True:
        now = assumed[f] - _escaping(f, assumed)
        if now == assumed[f]:
            return now
        assumed[f] = now


def _escaping(f: Graph, assumed) -> set[int]:
    index = {p: k for k, p in enumerate(f.params)}
    out = set()

    def escape(a):
        if a in index:
            out.add(index[a])

    for g in f.nested():
        escape(g.result)
        for n in g.nodes:
            if n.op.in_place:
                escape(n.args[0])
            if n.op.name in HOLDS:
                for a in n.args:
                    escape(a)
            if n.op.name == "custom":
                for a in n.args:
                    escape(a)
            if n.op.name in ("call", "grad"):
                keep = borrowed(n.graphs[0], assumed)
                for k, a in enumerate(n.args):
                    if k not in keep:
                        escape(a)
    return out
