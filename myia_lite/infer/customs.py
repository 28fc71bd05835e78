"""Calls of functions whose derivatives are rules of the program: the function and its rules as closed graphs.

The rules take and give what the user sees, values in their structure; the graphs made of them here take and give the
leaves, which is what `ad` works with.
"""

from __future__ import annotations

import inspect

from ..ir import Array, Scalar, is_float, shape_of
from ..ops import arrays, control, elementwise
from ..ops.foreign import External
from .context import Diverged
from .dependencies import Attribute
from .directional import FLOATS
from .foreigns import Foreigns
from .joins import End, several
from .structures import Dyn, Known, Template, Tree, generalised
from .values import Leaf, Sequence, Static, Transformed, Value

NESTED = 4  # rules of one function, each for a call in the one before: then its known numbers are given up


class Customs(Foreigns):
    """Functions made by `custom_derivative`."""

    def __init__(self, error_model, parse):
        super().__init__(error_model, parse)
        self.unfinished: dict = {}  # key of a forward rule -> nodes that wait for the backward rule

    def custom(self, c, args, keywords) -> Value:
        """A call of `c`, which has `function`, `jvp_rule`, `fwd` and `bwd`."""
        for name in ("jvp_rule", "fwd", "bwd"):
            self.dependencies.append(Attribute(c, name, getattr(c, name)))
        args = self._in_order(c, args, keywords)
        if any(map(several, args)):
            return self.apart(lambda *vs: self.custom(c, vs, ()), list(args))
        if isinstance(c.function, External):
            args = self.accepted(c.function, args)
            if c.jvp_rule is None and c.bwd is None:
                return self.external(c.function, args)
        t = Transformed("value", Static(c.function), 0, False)
        values = [t.function, *args]
        kept = None if isinstance(c.function, External) or self._nested(c) >= NESTED else FLOATS
        templates = tuple(generalised(self.template(v), kept) for v in values)
        flat = [n for v, s in zip(values, templates, strict=True) for n in self.coerce(v, s)]
        spec = self._whole(t, templates, [], len(args))
        self.use(flat)
        if spec.result is None:
            raise Diverged(self.append(control.call, flat, (spec.graph,), self.result_type(spec)))
        self._result_of(spec.result, t)
        wrt = tuple(k for k, p in enumerate(spec.graph.params) if is_float(p.type))
        rules, graphs, unfinished = self._rules(c, spec, templates)
        node = self.append(
            control.custom,
            flat,
            (spec.graph, *graphs),
            self.result_type(spec),
            of=getattr(c, "__name__", "function"),
            wrt=wrt,
            count=len(flat),
            rules=rules,
        )
        if unfinished is not None:
            self.unfinished.setdefault(unfinished, []).append(node)
        return self.collect(node, spec.result, [None] * len(spec.sealed), spec.sealed, self.held_by(spec, flat))

    def _nested(self, c) -> int:
        """How many rules of `c` are being made, each for a call in the one before."""
        return sum(isinstance(s.code, tuple) and len(s.code) == 3 and s.code[1] is c for s in self.stack)

    def _in_order(self, c, args, keywords) -> list[Value]:
        """The arguments by position, defaults included."""
        try:
            signature = inspect.signature(c.function)
            bound = signature.bind(*args, **dict(keywords))
        except TypeError as error:
            self.error(f"{c.__name__}(): {error}", "call it with its parameters")
        given = bound.arguments.copy()
        bound.apply_defaults()
        for name in bound.arguments:
            if name not in given:
                bound.arguments[name] = self.constant_value(signature.parameters[name].default)
        if bound.kwargs:
            self.error("a function with a rule takes its arguments by position", "drop the * in its parameters")
        return list(bound.args)

    def _rules(self, c, spec, templates):
        """(names, graphs, None); a rule that uses the function itself meets here rules that are still being made: then
        the key of the forward rule for which the backward rule is missing."""
        rules, graphs, unfinished = [], [], None
        if c.jvp_rule is not None:
            rules.append("jvp")
            graphs.append(self._jvp_rule(c, spec, templates).graph)
        if c.bwd is not None:
            fwd = self._forward_rule(c, spec, templates)
            rules += ["fwd", "bwd"]
            graphs.append(fwd.graph)
            if fwd.result is None:
                unfinished = fwd.key
            else:
                graphs.append(self._backward_rule(c, spec, fwd, templates).graph)
                for n in self.unfinished.pop(fwd.key, ()):
                    n.graphs = (*n.graphs, graphs[-1])
        if not rules:
            self.error(f"{c.__name__} has no rule", "give it one: defjvp or defvjp")
        return tuple(rules), graphs, unfinished

    def _rule(self, kind, c, rule, templates, build):
        """`build(values)` as a closed graph, where the first of the values is the rule."""

        def walk(inside):
            graph = self.graph
            return self.attempt(lambda: [End(graph, build(*inside), self.aliases.versions)])

        templates = (self.template(Static(rule)), *templates)
        name = f"{c.__name__}_{kind}"
        spec = self.specialised(
            (kind, c, rule), name, templates, [None] * len(templates), walk, prepare=lambda r: generalised(r, FLOATS)
        )
        if spec.result is None and not spec.running:
            self.error(f"the rule {kind} of {c.__name__} never returns", "return a derivative")
        return spec

    def _like(self, value: Value, t: Template, what: str) -> list:
        """The leaves of a rule's result, which must be of the template of the function's own."""
        if not fits(self.template(value), t):
            self.error(f"{what} is {self.template(value)} where the function returns {t}", "return the same value")
        return self.coerce(value, t)

    def _floats_of(self, t: Template, value: Value, sizes, what: str) -> Sequence:
        """The float leaves of a direction, zeros where it has None; `sizes`: of each leaf the dims its type lacks."""
        types = self.types(t)
        found: dict = {}
        self._direction(t, value, [None] * len(types), 0, what, found)
        out = []
        for k, x in enumerate(types):
            if not is_float(x):
                continue
            if k not in found:
                found[k] = self.dummy(Scalar(x.dtype))
                if isinstance(x, Array):
                    found[k] = self.emit(arrays.broadcast, found[k], *sizes[k], shape=x.shape, axes=())
            elif isinstance(x, Array):
                unknown = [axis for axis, d in enumerate(x.shape) if d is None]
                for axis, n in zip(unknown, sizes[k], strict=True):
                    same = self.emit(elementwise.eq, self.emit(arrays.dim, found[k], axis=axis), n)
                    self.guard("ValueError", f"{what} has another shape than the value", same)
            out.append(Leaf(found[k]))
        return Sequence(tuple(out))

    def _jvp_rule(self, c, spec, templates):
        arguments, floats = templates[1:], [p.type for p in spec.graph.params if is_float(p.type)]

        def build(rule, *values):
            primals, dots = values[: len(arguments)], iter(values[len(arguments) :])
            tangents = [self._filled_in(t, dots) for t in arguments]
            both = self.call(rule, [Sequence(tuple(primals)), Sequence(tuple(tangents))])
            if not (isinstance(both, Sequence) and len(both.items) == 2):
                self.error(f"the rule of {c.__name__} must return (value, tangent)", "return a pair")
            y = self._like(both.items[0], spec.result, "the value that the rule returns")
            sizes = list(map(self.sizes, y))
            dots = self._floats_of(spec.result, both.items[1], sizes, "the tangent that the rule returns")
            return Sequence((Sequence(tuple(map(Leaf, y))), dots))

        return self._rule("jvp", c, c.jvp_rule, (*arguments, *map(Dyn, floats)), build)

    def _forward_rule(self, c, spec, templates):
        """To what the user saves we add the sizes of the arguments that only the running program knows."""

        def build(rule, *values):
            sizes = [Leaf(n) for v in values for x in self.leaves(v) for n in self.sizes(x)]
            both = self.call(rule, values)
            if not (isinstance(both, Sequence) and len(both.items) == 2):
                self.error(f"the forward rule of {c.__name__} must return (value, residuals)", "return a pair")
            y = self._like(both.items[0], spec.result, "the value that the rule returns")
            return Sequence((Sequence(tuple(map(Leaf, y))), Sequence((Sequence(tuple(sizes)), both.items[1]))))

        return self._rule("fwd", c, c.fwd, templates[1:], build)

    def _backward_rule(self, c, spec, fwd, templates):
        residual = fwd.result.items[1]
        floats = [x for x in self.types(spec.result) if is_float(x)]

        def build(rule, saved, *bars):
            y_bar = self.conjugated(self._filled_in(spec.result, iter(bars)))
            dims, residual = saved.items
            supply = iter([leaf.node for leaf in dims.items])
            out = self.call(rule, [residual, y_bar])
            if not (isinstance(out, Sequence) and len(out.items) == len(templates) - 1):
                self.error(
                    f"the backward rule of {c.__name__} must return a tuple with a cotangent for each argument",
                    "return a tuple; None where an argument has none",
                )
            found = []
            for k, (t, v) in enumerate(zip(templates[1:], out.items, strict=True)):
                sizes = [[next(supply) for d in shape_of(x) if d is None] for x in self.types(t)]
                bar = self.conjugated(v)
                found += self._floats_of(t, bar, sizes, f"the cotangent of argument {k}").items
            return Sequence(tuple(found))

        return self._rule("bwd", c, c.bwd, (residual, *map(Dyn, floats)), build)

    def _filled_in(self, t: Template, leaves) -> Value:
        """A direction of a value of template `t` over its float leaves, None in the place of anything else."""
        nodes = {k: next(leaves).node for k, x in enumerate(self.types(t)) if is_float(x)}
        return self._structure(t, nodes)[0]


def fits(a: Template, b: Template) -> bool:
    """Can a value of template `a` be converted to `b` leaf by leaf?"""
    if isinstance(a, (Dyn, Known)) and isinstance(b, (Dyn, Known)):
        arrays_ = isinstance(a.type, Array), isinstance(b.type, Array)
        if any(arrays_):
            same = all(arrays_) and a.type.dtype == b.type.dtype and a.type.rank == b.type.rank
            return same and all(None in (m, n) or m == n for m, n in zip(a.type.shape, b.type.shape, strict=True))
        return a == b if isinstance(b, Known) else is_float(a.type) == is_float(b.type)
    if not (isinstance(a, Tree) and isinstance(b, Tree)):
        return a == b
    return a.shape == b.shape and len(a.items) == len(b.items) and all(map(fits, a.items, b.items))
