"""Reverse mode by graph transformation, without a tape.

The backward pass of a region (a function body, a branch, a trip of a loop) is emitted first, with *holes* where it
needs primal values (`backward.py`, `loops.py`); then a minimum cut decides which values the forward pass saves for it,
and the holes are filled with saved or recomputed values.  What a region saves is its residual (`residuals.py`):

    primal                       forward ▶                              backward ◀
    y = switch(c) {t} {e}        (y, r) = switch(c) {t▶} {e▶}           case(r) { t◀ } { e◀ }, in the cotangents so far
    y = loop(init) {L}           (y, r, k) = loop(init, empty) {L▶}     loop(k, ȳ through the exit r) {L◀}
    recur(next) in L             recur(next, push(k, saved))            pop(k), the trip's handler, recur
    y = call f(x), recursive     (y, r) = call ▶f(x)                    x̄ = call ◀f(r, ȳ, accumulators, env)
    y = call[checkpoint] f(x)    y = call f(x)                          x̄ = call ∂f(x, ȳ, accumulators): f again
    (y, r) = vjp f(x)            (y, r) = call ▶f(x)                    x̄ = call ◀f(r, ȳ), at each `pullback(r, ȳ)`

A residual of a branch is a sum with one variant for each branch; a loop's is the residual of its exit and the stack of
what its trips saved.  A loop in the backward pass carries the cotangents of the loop's state, and an accumulator for
each outer value that a trip reads; arrays that a recursive function only reads are accumulated through it likewise.
So the cotangent of an array is one array, written in place, however many elements are read.
Everything emitted is ordinary typed IR, and can be differentiated again.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import (
    Array,
    Builder,
    Constant,
    Graph,
    Residual,
    Sum,
    Tuple,
    clone,
    current,
    element_types,
)
from ..ops.control import (
    case,
    make,
    raise_,
)
from ..ops.control import tuple_ as tuple_of
from .adjoints import Adjoints, Scope
from .backward import Body
from .checkpoint import has_marks, in_chunks
from .edits import substitute
from .ownership import borrowed
from .residuals import Forward
from .tangent import (
    Path,
    Sums,
    elements,
    tangent,
    type_at,
)


@dataclass(eq=False)
class Entry:
    """The forward and backward graphs of a function, recursive or of a `vjp` node, for the leaves wanted and the result
    cotangents present.
    """

    primal: Graph
    wanted: tuple[tuple[int, Path], ...]
    present: tuple[Path, ...]
    accumulated: set[tuple[int, Path]]
    env: list[int]
    record: Sum
    forward: Graph
    backward: Graph


class Reverse:
    """Makes gradient graphs; one instance serves a program, so that what it generates is shared."""

    def __init__(self):
        self.sums = Sums()
        self.needs: dict[tuple, list[int]] = {}  # entry key -> array parameters that its backward pass reads
        self.chunked: dict[Graph, Graph] = {}  # graph with marked loops -> the same with loops over chunks

    def gradient(self, g: Graph, wrt: tuple[int, ...], seeds: tuple[int, ...] | None = None) -> Graph:
        """The closed graph (arguments of g) -> (results of g…, gradient of the first in each parameter of `wrt`).

        With `seeds` it takes the cotangents of these results as further arguments.
        """
        return self._complete(lambda: self._gradient(g, wrt, seeds))

    def pair(self, g: Graph, wrt: tuple[int, ...], seeds: tuple[int, ...], record: Residual) -> tuple[Graph, Graph]:
        """▶g: (arguments of g) -> (results of g…, record) and ◀g: (record, cotangents of `seeds`) -> those of `wrt`;
        fills in what the record holds.
        """
        several = isinstance(g.result_type, Tuple)
        present = tuple((k,) if several else () for k in seeds)

        def made():
            e = self._entry(g, tuple((k, ()) for k in wrt), present, record, set(), [])
            self._fill(e, set())
            return e.forward, e.backward

        return self._complete(made)

    def _complete(self, make):
        """What `make` gives, once all that it asked for is there."""
        while True:
            self.entries, self.todo, self.grown = {}, [], False
            out = make()
            while self.todo:
                later, key = self.todo.pop()
                later(key)
            if not self.grown:
                return out

    def primal(self, g: Graph) -> Graph:
        """A copy of `g` to be differentiated."""
        if g not in self.chunked:
            self.chunked[g] = in_chunks(clone(g)) if has_marks(g) else g
        return clone(self.chunked[g])

    def _gradient(self, g, wrt, seeds):
        out = Graph(f"∇{g.name}", None, g.span)
        for p in g.params:
            out.parameter(p.type, p.name, p.span)
        several = isinstance(g.result_type, Tuple)
        types = element_types(g.result_type)
        if seeds is None:
            bars = {(0,) if several else (): Constant(1.0, types[0])}
        else:
            bars = {(k,) if several else (): out.parameter(types[k], "y_bar") for k in seeds}
        results, bars = self._both(g, out, [(k, ()) for k in wrt], bars, {})
        with Builder(out):
            return out.returns(tuple_of(*results, *bars))

    def _both(self, g: Graph, out: Graph, wanted, bars: dict, before: dict, again=False):
        """The forward pass of `g` in `out`, whose first parameters are those of `g`, and behind it the backward pass.

        From the cotangents of results, by path, and those so far of parameters, by index and path.  Gives the results,
        and the cotangents of the parts `wanted` of the parameters.
        """
        primal = self.primal(g)
        body = Body(self, primal, {(primal.params[k], p) for k, p in wanted})
        scope = Scope(None, {*primal.params, *primal.nodes}, out)
        adjoints = Adjoints(None, self.sums)
        for (k, path), bar in before.items():
            adjoints.set((primal.params[k], path), bar)
        with Builder(out):
            for path, bar in bars.items():
                body.give(adjoints, primal.result, path, bar)
            body.backward(scope, primal.nodes, adjoints)
            found = [adjoints.get((primal.params[k], p)) or body.zero(scope, primal.params[k], p) for k, p in wanted]
        backward, out.nodes = out.nodes, []
        forward = Forward(dict(zip(primal.params, out.params[: len(primal.params)], strict=True)), again)
        with Builder(out):
            body.forward(primal.nodes, out, forward)
            results = elements(forward.node(primal.result))
            filled = {hole: body.saved_value(forward, key) for key, hole in scope.holes.items()}
            out.nodes += backward
            substitute(out, filled)
        return results, [filled.get(b, b) for b in found]

    # ---- checkpointed calls
    def again(self, f: Graph, wanted, present, accumulated) -> Graph:
        """∂f: (arguments of f, cotangents of the results `present`, cotangents so far of the parts `accumulated` of the
        parameters) -> the cotangents of the parts `wanted`, of a forward pass of f and a backward pass."""
        key = "again", f, wanted, present, accumulated
        if key not in self.entries:
            g = self.entries[key] = Graph(f"∂{f.name}", None, f.span)
            for p in f.params:
                g.parameter(p.type, p.name, p.span)
            for path in present:
                g.parameter(tangent(type_at(f.result_type, path)), "y_bar")
            for k, path in accumulated:
                g.parameter(tangent(type_at(f.params[k].type, path)), f"{f.params[k].name or 'x'}_bar")
            g.result_type = Tuple(tuple(tangent(type_at(f.params[k].type, p)) for k, p in wanted))
            self.todo.append((self._again, key))
        return self.entries[key]

    def _again(self, key) -> None:
        _, f, wanted, present, accumulated = key
        g = self.entries[key]
        given = iter(g.params[len(f.params) :])
        bars = {path: next(given) for path in present}
        before = {leaf: next(given) for leaf in accumulated}
        _, found = self._both(f, g, wanted, bars, before, again=True)
        with Builder(g):
            g.result = tuple_of(*found)

    # ---- recursive functions, and those of `vjp` nodes
    def entry(self, f: Graph, wanted, present) -> Entry:
        key = f, wanted, present
        if key not in self.entries:
            keep = borrowed(f)
            accumulated = {(k, p) for k, p in wanted if k in keep and isinstance(type_at(f.params[k].type, p), Array)}
            env = list(self.needs.setdefault(key, []))
            record = Sum(f"R_{f.name}", {"frame": ()})
            self.entries[key] = self._entry(f, wanted, present, record, accumulated, env)
            self.todo.append((self._function, key))
        return self.entries[key]

    def _entry(self, f: Graph, wanted, present, record: Sum, accumulated, env) -> Entry:
        """The two graphs without their bodies."""
        params, results = f.params, element_types(f.result_type)
        forward, backward = Graph(f"▶{f.name}", None, f.span), Graph(f"◀{f.name}", None, f.span)
        for p in params:
            forward.parameter(p.type, p.name)
        forward.result_type = Tuple((*results, record))
        backward.parameter(record, "r")
        for path in present:
            backward.parameter(tangent(type_at(f.result_type, path)), "y_bar")
        for k, path in wanted:
            if (k, path) in accumulated:
                backward.parameter(tangent(type_at(params[k].type, path)), f"{params[k].name}_bar")
        for k in env:
            backward.parameter(params[k].type, params[k].name)
        backward.result_type = Tuple(tuple(tangent(type_at(params[k].type, p)) for k, p in wanted))
        return Entry(f, wanted, present, accumulated, env, record, forward, backward)

    def _function(self, key):
        """A recursive function's arrays are handed to its backward pass again."""
        e = self.entries[key]
        arrays = {k for k, p in enumerate(e.primal.params) if isinstance(p.type, Array)}
        for k in self._fill(e, arrays):  # another round, with these too
            self.needs[key].append(k)
            self.grown = True

    def _fill(self, e: Entry, arrays: set[int]) -> list[int]:
        """The bodies; of the parameters `arrays` the backward pass takes those in `env`, and saves none.  Says which
        others it reads."""
        primal = self.primal(e.primal)
        body = Body(self, primal, {(primal.params[k], p) for k, p in e.wanted})
        frame = Graph("frame", e.backward)
        free = {primal.params[k]: k for k in arrays}
        scope = Scope(None, {*primal.params, *primal.nodes}, frame)
        _, *given = e.backward.params
        given = iter(given)
        adjoints = Adjoints(None, self.sums)
        bars = [next(given) for _ in e.present]
        for k, path in e.wanted:
            if (k, path) in e.accumulated:
                adjoints.set((primal.params[k], path), next(given))
        env = {primal.params[k]: next(given) for k in e.env}
        with Builder(frame):
            for path, bar in zip(e.present, bars, strict=True):
                body.give(adjoints, primal.result, path, bar)
            body.backward(scope, primal.nodes, adjoints)
            out = []
            for k, path in e.wanted:
                bar = adjoints.get((primal.params[k], path))
                out.append(body.zero(scope, primal.params[k], path) if bar is None else bar)
            frame.returns(tuple_of(*out))
        for p in free:
            scope.free[p] = lambda p=p: env[p]
        scope.own -= set(free)
        used = body.used(scope)
        reads = set(body.reads_again(scope, used)) | set(used)
        more = [p for p in free if p in reads and p not in env]
        env.update((p, e.backward.parameter(p.type, p.name)) for p in more)
        saved = body.fill(scope, lambda k: frame.parameter(body.key_type(k)), used)
        e.record.variants["frame"] = tuple(body.key_type(k) for k in saved)
        with Builder(e.backward):
            graphs = [frame if tag == "frame" else self._nothing(e, tag) for tag in e.record.variants]
            r = current().emit(case, e.backward.params[0], graphs=graphs, type=e.backward.result_type)
            e.backward.returns(r)
        forward = Forward(dict(zip(primal.params, e.forward.params, strict=True)))
        with Builder(e.forward):
            body.forward(primal.nodes, e.forward, forward)
            results = elements(forward.node(primal.result))
            r = make(*[body.saved_value(forward, k) for k in saved], sum=e.record, tag="frame")
            e.forward.returns(tuple_of(*results, r))
        return [free[p] for p in more]

    def _nothing(self, e: Entry, tag: str) -> Graph:
        """No forward pass was run: nobody looks at such a record."""
        g = Graph(tag, e.backward)
        with Builder(g):
            g.result = raise_(exception="SystemError", message="a pullback without its forward pass")
        g.result_type = g.result.type
        return g
