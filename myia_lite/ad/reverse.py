"""Reverse mode by graph transformation, without a tape.

The backward pass of a region (a function body, a branch, a trip of a loop) is emitted first, with *holes* where it
needs primal values (`backward.py`, `loops.py`); then a minimum cut decides which values the forward pass saves for it,
and the holes are filled with saved or recomputed values.  What a region saves is its residual (`residuals.py`):

    primal                       forward ▶                              backward ◀
    y = switch(c) {t} {e}        (y, r) = switch(c) {t▶} {e▶}           case(r) { t◀ } { e◀ }, in the cotangents so far
    y = loop(init) {L}           (y, r, k) = loop(init, empty) {L▶}     loop(k, ȳ through the exit r) {L◀}
    recur(next) in L             recur(next, push(k, saved))            pop(k), the trip's handler, recur
    y = call f(x), recursive     (y, stack) = call ▶f(x, stack)         (x̄, stack) = call ◀f(stack, ȳ, accumulated, env)
    y = call[checkpoint] f(x)    y = call f(x)                          x̄ = call ∂f(x, ȳ, accumulators): f again
    (y, r) = vjp f(x)            (y, r) = call ▶f(x)                    x̄ = call ◀f(r, ȳ), at each `pullback(r, ȳ)`

What a recursive function saves it pushes on a *frame stack*, which goes through its calls of itself, there and back; if
nothing is left to save, since all follows from its arguments, there is neither such a stack nor ▶f.
A residual of a branch is a sum with one variant for each branch; a loop's is the residual of its exit and the stack of
what its trips saved.  A loop in the backward pass carries the cotangents of the loop's state, and an accumulator for
each outer value that a trip reads; arrays that a recursive function only reads are accumulated through it likewise.
The arguments that its backward pass reads, numbers and arrays, are handed to it again: its `env`.
So the cotangent of an array is one array, written in place, however many elements are read.
Everything emitted is ordinary typed IR, and can be differentiated again.
"""

from __future__ import annotations

from ..ir import Array, Builder, Constant, Graph, Residual, Scalar, Sum, Tuple, callees, clone, element_types, reachable
from ..ops.control import tuple_ as tuple_of
from .adjoints import Adjoints, Scope
from .backward import Body
from .checkpoint import has_marks, in_chunks
from .edits import substitute
from .functions import Entry, Function
from .ownership import borrowed
from .residuals import Forward
from .tangent import (
    Sums,
    elements,
    tangent,
    type_at,
)


class Reverse:
    """Makes gradient graphs; one instance serves a program, so that what it generates is shared."""

    def __init__(self):
        self.sums = Sums()
        self.needs: dict[tuple, list[int]] = {}  # entry key -> parameters that its backward pass reads
        self.keeping: set[tuple] = set()  # the keys of entries whose backward pass needs more than these
        self.circles: dict[Graph, frozenset[Graph]] = {}
        self.reached: dict[Graph, set[Graph]] = {}
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
            e = Entry(g, tuple((k, ()) for k in wrt), present, record=record)
            Function(self, e).fill()
            return e.forward, e.backward

        return self._complete(made)

    def _complete(self, make):
        """What `make` gives, once all that it asked for is there."""
        while True:
            self.entries, self.todo, self.grown, self.stacks, self.last, self.replays = {}, [], False, {}, [], []
            out = make()
            while self.todo:
                later, key = self.todo.pop()
                later(key)
            for later in self.last:
                later()
            for n, e in self.replays:
                # a function that runs again has none of this: its graph may be part of any circle
                if all(isinstance(x, Entry) and (x.total or x.circle != e.circle) for x in self.entries.values()):
                    n.attrs = {**n.attrs, "replayed": True}
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

    # ---- recursive functions
    def entry(self, f: Graph, wanted, present) -> Entry:
        """What the calls of `f` become; the same for all calls with these parts active and cotangents present."""
        key = f, wanted, present
        if key not in self.entries:
            keep = borrowed(f)
            accumulated = {(k, p) for k, p in wanted if k in keep and isinstance(type_at(f.params[k].type, p), Array)}
            circle, record, stack = self.circle(f), None, None
            if key in self.keeping and circle:
                stack = self.stacks.setdefault(circle, Sum(f"R_{f.name}"))
            elif key in self.keeping:
                record = Sum(f"R_{f.name}", {"frame": ()})
            env = list(self.needs.setdefault(key, []))
            self.entries[key] = Entry(f, wanted, present, accumulated, env, circle, record, stack)
            self.todo.append((self._function, key))
        return self.entries[key]

    def _function(self, key):
        """Numbers and arrays among the arguments are handed to the backward pass again."""
        e = self.entries[key]
        again = {k for k, p in enumerate(e.primal.params) if isinstance(p.type, (Scalar, Array))}
        function = Function(self, e, again)
        more = function.fill()
        if more or function.keeps and key not in self.keeping:  # another round, with these too
            self.needs[key] += more
            self.grown = True
        if function.keeps:
            self.keeping.add(key)

    def only_computes(self, f: Graph) -> bool:
        """Does `f` call nobody outside its circle, and raise nothing itself?"""
        nodes = (n for g in (f, *self.circle(f)) for h in g.nested() for n in h.nodes)
        effects = (n.op.effect or n.op.name == "loop" for n in nodes)
        return self.reaches(f) <= self.circle(f) and not any(effects)

    def circle(self, f: Graph) -> frozenset[Graph]:
        """The functions that `f` calls and that call it, itself among them; none if it is not recursive."""
        if f not in self.circles:
            self.circles[f] = frozenset(h for h in self.reaches(f) if f in self.reaches(h))
        return self.circles[f]

    def reaches(self, f: Graph) -> set[Graph]:
        """The closed graphs that calls in `f` lead to."""
        if f not in self.reached:
            self.reached[f] = {h for g in callees(f) for h in reachable(g)}
        return self.reached[f]
