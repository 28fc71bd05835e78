"""The two passes of a function with passes of its own: of a recursive one, or of that of a `vjp` node.

What the backward pass of a recursive function needs beside its arguments lies on a stack (`frame_stack.py`); functions
that call each other have one.  A function that is not recursive, and that of a `vjp` node, returns its frame, a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import Builder, Graph, Parameter, Stack, Sum, Tuple, element_types
from ..ops.control import get, make
from ..ops.control import tuple_ as tuple_of
from .adjoints import Adjoints, Scope
from .backward import Body
from .edits import substitute
from .frame_stack import Frame, fields_of
from .residuals import Forward
from .tangent import Path, elements, tangent, type_at

if TYPE_CHECKING:
    from .reverse import Reverse


class Entry:
    """The forward and backward graphs of a function, for the parts of its parameters that are wanted and the result
    cotangents present; without their bodies, which `Function` makes.
    """

    def __init__(
        self,
        primal: Graph,
        wanted: tuple[tuple[int, Path], ...],
        present: tuple[Path, ...],
        accumulated=frozenset(),
        env=(),
        circle=frozenset(),
        record: Sum | None = None,
        stack: Sum | None = None,
    ):
        self.primal, self.wanted, self.present, self.accumulated = primal, wanted, present, accumulated
        self.env, self.circle, self.record, self.stack = env, circle, record, stack
        self.total = False  # does ◀f make all the calls that f makes, and f nothing else that may fail?
        f = primal
        kept = self.kept = record if stack is None else Stack(stack)  # the type of what is handed on, or None
        self.forward, self.backward = Graph(f"▶{f.name}", None, f.span), Graph(f"◀{f.name}", None, f.span)
        for p in f.params:
            self.forward.parameter(p.type, p.name)
        if stack is not None:
            self.forward.parameter(kept, "frames")
        if kept is not None:
            self.forward.result_type = Tuple((*element_types(f.result_type), kept))
            self.backward.parameter(kept, "r" if stack is None else "frames")
        for path in present:
            self.backward.parameter(tangent(type_at(f.result_type, path)), "y_bar")
        for k, path in wanted:
            if (k, path) in accumulated:
                self.backward.parameter(tangent(type_at(f.params[k].type, path)), f"{f.params[k].name}_bar")
        for k in env:
            self.backward.parameter(f.params[k].type, f.params[k].name)
        bars = tuple(tangent(type_at(f.params[k].type, p)) for k, p in wanted)
        self.backward.result_type = Tuple((*bars, kept) if stack is not None else bars)


class Function:
    """Makes the bodies of an entry's graphs."""

    def __init__(self, reverse: Reverse, e: Entry, again=frozenset()):
        """`again`: the parameters that the backward pass may have once more."""
        self.reverse, self.entry, self.primal = reverse, e, reverse.primal(e.primal)
        params = self.primal.params
        self.again = {params[k]: k for k in again}
        self.body = Body(reverse, self.primal, {(params[k], p) for k, p in e.wanted}, e, set(self.again))
        self.frame = Frame(e.stack, e.backward)

    def fill(self) -> list[int]:
        """Says which of the parameters `again` the backward pass reads and has not got."""
        e, body, again = self.entry, self.body, self.again
        scope = self._backward()
        given = e.backward.params[len(e.backward.params) - len(e.env) :]
        env = {self.primal.params[k]: p for k, p in zip(e.env, given, strict=True)}
        for p in again:
            scope.free[p] = lambda p=p: env[p]
        scope.own -= set(again)
        used = body.used(scope)
        reads = set(body.reads_again(scope, used)) | set(used)
        more = [p for p in again if p in reads and p not in env]
        env.update((p, Parameter(e.backward, p.type, p.name)) for p in more)  # they are there in the next round
        saved = body.fill(scope, lambda key: self.frame.field(body.key_type(key)), used)
        self.keeps = bool(saved) or body.keeps  # does it need more than its arguments?
        calls = {n for g in self.primal.nested() for n in g.nodes if n.op.name == "call"}
        e.total = calls <= body.replays.keys() and self.reverse.only_computes(e.primal)
        if e.stack is not None:
            self.frame.close()
            self.reverse.last.append(lambda: self.frame.pop(e.backward.params[0]))
        elif e.record is not None:
            self._unpack()
        if e.kept is not None:
            self._forward(saved)
        return [again[p] for p in more]

    def _backward(self) -> Scope:
        """Emit the backward pass."""
        e, body, params = self.entry, self.body, self.primal.params
        scope = Scope(None, {*params, *self.primal.nodes}, e.backward)
        given, adjoints = iter(e.backward.params[e.kept is not None :]), Adjoints(None, self.reverse.sums)
        if e.stack is not None:
            adjoints.set(body.stack, self.frame.rest)
        bars = [next(given) for _ in e.present]
        for k, path in e.wanted:
            if (k, path) in e.accumulated:
                adjoints.set((params[k], path), next(given))
        with Builder(e.backward):
            for path, bar in zip(e.present, bars, strict=True):
                body.give(adjoints, self.primal.result, path, bar)
            body.backward(scope, self.primal.nodes, adjoints)
            out = []
            for k, path in e.wanted:
                bar = adjoints.get((params[k], path))
                out.append(body.zero(scope, params[k], path) if bar is None else bar)
            if e.stack is not None:
                out.append(adjoints.get(body.stack))
            e.backward.returns(tuple_of(*out))
        return scope

    def _unpack(self) -> None:
        """What lies in the record, at the beginning of the backward pass."""
        e, b, fields = self.entry, self.entry.backward, self.frame.fields
        e.record.variants["frame"] = tuple(f.type for f in fields)
        nodes, b.nodes = b.nodes, []
        with Builder(b):
            parts = fields_of(b.params[0], "frame", b)
            filled = {f: get(parts, index=k) for k, f in enumerate(fields)}
        b.nodes += nodes
        substitute(b, filled)

    def _forward(self, saved: list) -> None:
        e, body = self.entry, self.body
        params = e.forward.params
        env = Forward(dict(zip(self.primal.params, params, strict=False)), stack=params[-1] if e.stack else None)
        with Builder(e.forward):
            body.forward(self.primal.nodes, e.forward, env)
            results = elements(env.node(self.primal.result))
            values = [body.saved_value(env, k) for k in saved]
            kept = self.frame.push(env.stack, values) if e.stack else make(*values, sum=e.record, tag="frame")
            e.forward.returns(tuple_of(*results, kept))
