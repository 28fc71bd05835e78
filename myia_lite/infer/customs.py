"""Calls of functions whose derivatives are rules of the program: the function and its rules as closed graphs.

The rules take and give what the user sees, values in their structure; the graphs made of them here take and give the
leaves, which is what `ad` works with.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ..ir import Array, MyiaAttributeError, Scalar, is_float, shape_of
from ..ops import arrays, control, elementwise
from ..ops.foreign import External
from .context import Diverged
from .dependencies import Attribute
from .directional import FLOATS
from .foreigns import Foreigns
from .joins import End, several
from .structures import Dyn, Ident, Known, Maybe, Template, Tree, Union, generalised
from .templates import captures, parts
from .values import NONE, Bound, Closure, Leaf, Ruled, Sequence, Setter, Static, Transformed, Value

NESTED = 4  # rules of one function, each for a call in the one before: then its known numbers are given up
STRUCTURES = ("sequence", "mapping", "record", "complex")
SETTERS = {"defjvp": ("jvp",), "defvjp": ("fwd", "bwd")}


class Customs(Foreigns):
    """Functions made by `custom_derivative`, of Python's (a `Static`) or inside the program (a `Ruled`)."""

    def __init__(self, error_model, parse):
        super().__init__(error_model, parse)
        self.unfinished: dict = {}  # key of a forward rule -> nodes that wait for the backward rule

    # ---- functions with rules that the program makes
    def ruled(self, function: Value) -> Value:
        """`custom_derivative(function)` in the program."""
        if several(function):
            return self.over(function, self.ruled)
        if (
            not isinstance(function, (Closure, Bound, Static))
            or isinstance(function, Static)
            and not callable(function.value)
        ):
            self.error(f"a {self._kind(function)} is no function", "pass a function")
        made = function.graph if isinstance(function, Closure) else self._function_name(function)
        return Ruled(function, {}, (made, self.span), self.graph)

    def rule_setter(self, f: Ruled, name: str) -> Value:
        if name not in SETTERS:
            self.error(f"a function with rules has no attribute '{name}'", "check the name", MyiaAttributeError)
        return Bound(Static(Setter(name)), (f,))

    def define(self, setter: Setter, args, keywords) -> Value:
        """`f.defjvp(rule)` or `f.defvjp(fwd, bwd)`: in the block where f was made, so that it holds on every path."""
        f, *rules = args
        names = SETTERS[setter.name]
        if len(rules) != len(names) or keywords:
            self.error(f"{setter.name}() takes {len(names)} rules", f"f.{setter.name}({', '.join(names)})")
        name = self._name_of(f)
        if f.home is not self.graph:
            self.error(f"{name} gets a rule in another block than the one that makes it", "give it right below")
        for kind, rule in zip(names, rules, strict=True):
            if kind in f.rules:
                self.error(f"{name} has this rule already", "give it once")
            f.rules[kind] = rule
        return rules[0] if setter.name == "defjvp" else NONE

    def _taken_apart(self, c: Value) -> tuple[Value, dict[str, Value]]:
        """The function, and its rules."""
        if isinstance(c, Ruled):
            return c.function, c.rules
        rules = {"jvp": c.value.jvp_rule, "fwd": c.value.fwd, "bwd": c.value.bwd}
        return Static(c.value.function), {kind: Static(r) for kind, r in rules.items() if r is not None}

    # ---- calls
    def custom(self, c: Value, args, keywords) -> Value:
        """A call of `c`."""
        if isinstance(c, Static):
            for name in ("jvp_rule", "fwd", "bwd"):
                self.dependencies.append(Attribute(c.value, name, getattr(c.value, name)))
        function, rules = self._taken_apart(c)
        args = self._in_order(c, function, args, keywords)
        if any(map(several, args)):
            return self.apart(lambda *vs: self.custom(c, vs, ()), list(args))
        external = isinstance(function, Static) and isinstance(function.value, External)
        if external:
            args = self.accepted(function.value, args)
            if not rules:
                return self.external(function.value, args)
        if not rules:
            self.error(f"{self._name_of(c)} has no rule", "give it one: defjvp or defvjp")
        kept = None if external or self._nested(c) >= NESTED else FLOATS
        templates = tuple(generalised(self.template(v), kept) for v in args)
        held = generalised(self.template(c), kept)
        own = [n for v, s in zip(args, templates, strict=True) for n in self.coerce(v, s)]
        flat = [*own, *self.coerce(c, held)]
        made = Made(self, c, templates, held)
        spec = made.graph("value", templates, lambda c, *values: self.call(self._taken_apart(c)[0], values))
        self.use(flat)
        if spec.result is None:
            raise Diverged(self.append(control.call, flat, (spec.graph,), self.result_type(spec)))
        self._result_of(spec.result, Transformed("value", function, 0, False))
        if any(is_float(x) and not m for x, m in zip(self.types(spec.result), moving(spec.result), strict=True)):
            self.error(f"{made.name} has rules, and returns a function that captures floats", "return the floats")
        names, graphs, unfinished = self._rules(made, rules, spec)
        node = self.append(
            control.custom,
            flat,
            (spec.graph, *graphs),
            self.result_type(spec),
            of=self._name_of(c),
            wrt=tuple(k for k, moves in enumerate(m for t in templates for m in moving(t)) if moves),
            count=len(own),
            rules=names,
            captures=self._captured_names(c),
        )
        if unfinished is not None:
            self.unfinished.setdefault(unfinished, []).append(node)
        return self.collect(node, spec.result, [None] * len(spec.sealed), spec.sealed, self.held_by(spec, flat))

    def _name_of(self, c: Value) -> str:
        """As the user wrote it."""
        if isinstance(c, Static):
            return getattr(c.value, "__name__", "function")
        return self._function_name(c).rpartition(".")[2]

    def _captured_names(self, c: Value) -> tuple[str | None, ...]:
        """The variable of each leaf that a function captures, and its rules do."""
        if isinstance(c, Static):
            return ()
        function, rules = parts(c)[1][0], parts(c)[1][1:]
        return tuple(name for f in (function, *rules) for name in self._names_in(f))

    def _names_in(self, f: Value) -> list[str | None]:
        if not isinstance(f, Closure):
            return [None for _ in self.leaves(f)]
        values = parts(f)[1]
        names = [*(n.name for n in captures(f.graph)), *[None] * len(f.defaults)]
        return [name for v, name in zip(values, names, strict=True) for _ in self.leaves(v)]

    def _nested(self, c: Value) -> int:
        """How many rules of `c` are being made, each for a call in the one before."""
        key = identity(c)
        codes = [s.code for s in self.stack if isinstance(s.code, tuple)]
        return sum(code[0] == "custom" and code[1] == key and code[2] != "value" for code in codes)

    def _in_order(self, c: Value, function: Value, args, keywords) -> list[Value]:
        """The arguments by position, defaults included."""
        if isinstance(function, Closure):
            signature = function.graph.info["signature"]
            defaults = dict(zip(signature.defaults, function.defaults, strict=True))
            bound = self.bind(function.graph.name, signature, args, keywords, defaults)
            if signature.kwonly:
                self.error("a function with a rule takes its arguments by position", "drop the * in its parameters")
            return [*bound[:-1], *bound[-1].items] if signature.vararg else bound
        if not isinstance(function, Static):
            if keywords:
                self.error("a function with a rule takes its arguments by position", "pass them so")
            return list(args)
        try:
            signature = inspect.signature(function.value)
            bound = signature.bind(*args, **dict(keywords))
        except TypeError as error:
            self.error(f"{self._name_of(c)}(): {error}", "call it with its parameters")
        given = bound.arguments.copy()
        bound.apply_defaults()
        for name in bound.arguments:
            if name not in given:
                bound.arguments[name] = self.constant_value(signature.parameters[name].default)
        if bound.kwargs:
            self.error("a function with a rule takes its arguments by position", "drop the * in its parameters")
        return list(bound.args)

    # ---- rules
    def _rules(self, made: Made, rules, spec):
        """(names, graphs, None); a rule that uses the function itself meets here rules that are still being made: then
        the key of the forward rule for which the backward rule is missing."""
        names, graphs, unfinished = [], [], None
        if "jvp" in rules:
            names.append("jvp")
            graphs.append(self._jvp_rule(made, spec).graph)
        if "bwd" in rules:
            fwd = self._forward_rule(made, spec)
            names += ["fwd", "bwd"]
            graphs.append(fwd.graph)
            if fwd.result is None:
                unfinished = fwd.key
            else:
                graphs.append(self._backward_rule(made, spec, fwd).graph)
                for n in self.unfinished.pop(fwd.key, ()):
                    n.graphs = (*n.graphs, graphs[-1])
        return tuple(names), graphs, unfinished

    def _like(self, value: Value, t: Template, what: str) -> list:
        """The leaves of a rule's result, which must be of the template of the function's own."""
        if not fits(self.template(value), t):
            self.error(f"{what} is {self.template(value)} where the function returns {t}", "return the same value")
        return self.coerce(value, t)

    def _floats_of(self, t: Template, value: Value, sizes, what: str) -> Sequence:
        """The float leaves of a direction, zeros where it has None; `sizes`: of each leaf the dims its type lacks."""
        types, moves = self.types(t), moving(t)
        found: dict = {}
        self._direction(t, value, [None] * len(types), 0, what, found)
        out = []
        for k, x in enumerate(types):
            if not moves[k]:
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

    def _jvp_rule(self, made: Made, spec):
        arguments = made.templates
        floats = [x for t in arguments for x, m in zip(self.types(t), moving(t), strict=True) if m]

        def build(rule, *values):
            primals, dots = values[: len(arguments)], iter(values[len(arguments) :])
            tangents = [self._filled_in(t, dots) for t in arguments]
            both = self.call(rule, [Sequence(tuple(primals)), Sequence(tuple(tangents))])
            if not (isinstance(both, Sequence) and len(both.items) == 2):
                self.error(f"the rule of {made.name} must return (value, tangent)", "return a pair")
            y = self._like(both.items[0], spec.result, "the value that the rule returns")
            sizes = list(map(self.sizes, y))
            dots = self._floats_of(spec.result, both.items[1], sizes, "the tangent that the rule returns")
            return Sequence((Sequence(tuple(map(Leaf, y))), dots))

        return made.rule("jvp", (*arguments, *map(Dyn, floats)), build)

    def _forward_rule(self, made: Made, spec):
        """To what the user saves we add the sizes of the arguments that only the running program knows."""

        def build(rule, *values):
            sizes = [Leaf(n) for v in values for x in self.leaves(v) for n in self.sizes(x)]
            both = self.call(rule, values)
            if not (isinstance(both, Sequence) and len(both.items) == 2):
                self.error(f"the forward rule of {made.name} must return (value, residuals)", "return a pair")
            y = self._like(both.items[0], spec.result, "the value that the rule returns")
            return Sequence((Sequence(tuple(map(Leaf, y))), Sequence((Sequence(tuple(sizes)), both.items[1]))))

        return made.rule("fwd", made.templates, build)

    def _backward_rule(self, made: Made, spec, fwd):
        residual = fwd.result.items[1]
        floats = [x for x in self.types(spec.result) if is_float(x)]

        def build(rule, saved, *bars):
            y_bar = self.conjugated(self._filled_in(spec.result, iter(bars)))
            dims, residual = saved.items
            supply = iter([leaf.node for leaf in dims.items])
            out = self.call(rule, [residual, y_bar])
            if not (isinstance(out, Sequence) and len(out.items) == len(made.templates)):
                self.error(
                    f"the backward rule of {made.name} must return a tuple with a cotangent for each argument",
                    "return a tuple; None where an argument has none",
                )
            found = []
            for k, (t, v) in enumerate(zip(made.templates, out.items, strict=True)):
                sizes = [[next(supply) for d in shape_of(x) if d is None] for x in self.types(t)]
                bar = self.conjugated(v)
                found += self._floats_of(t, bar, sizes, f"the cotangent of argument {k}").items
            return Sequence(tuple(found))

        return made.rule("bwd", (residual, *map(Dyn, floats)), build)

    def _filled_in(self, t: Template, leaves) -> Value:
        """A direction of a value of template `t` over its float leaves, None in the place of anything else."""
        nodes = {k: next(leaves).node for k, m in enumerate(moving(t)) if m}
        return self._structure(t, nodes)[0]


@dataclass(frozen=True)
class Made:
    """A function with rules at a call: its value and its rules as closed graphs, which all take last what any of them
    captures."""

    engine: Customs
    function: Value
    templates: tuple[Template, ...]  # of the arguments
    held: Template  # of the function

    @property
    def name(self) -> str:
        return self.engine._name_of(self.function)

    def graph(self, kind: str, templates, build):
        """`build(the function, *values)` as a closed graph, of values of these templates."""
        engine = self.engine

        def walk(inside):
            graph, (*values, function) = engine.graph, inside
            return engine.attempt(lambda: [End(graph, build(function, *values), engine.aliases.versions)])

        name = self.name if kind == "value" else f"{self.name}_{kind}"
        templates = (*templates, self.held)
        return engine.specialised(
            ("custom", identity(self.function), kind),
            name,
            templates,
            [None] * len(templates),
            walk,
            prepare=lambda r: generalised(r, FLOATS),
        )

    def rule(self, kind: str, templates, build):
        """`build(the rule, *values)` as a closed graph."""
        engine = self.engine
        spec = self.graph(kind, templates, lambda f, *values: build(engine._taken_apart(f)[1][kind], *values))
        if spec.result is None and not spec.running:
            engine.error(f"the rule {kind} of {self.name} never returns", "return a derivative")
        return spec


def identity(function: Value):
    """What is the same for a function with rules wherever it is called, and hashable."""
    return function.site if isinstance(function, Ruled) else Ident(function.value)


def moving(t: Template, inside: bool = True) -> list[bool]:
    """For each leaf of a value, is it a float that directions have a part for?  What functions capture is not."""
    if isinstance(t, Dyn):
        return [inside and is_float(t.type)]
    if isinstance(t, Union):
        return [False]
    if isinstance(t, Maybe):
        return [m for i in (t.item, t.bound) if i is not None for m in moving(i, False)]
    if isinstance(t, Tree):
        inside = inside and t.shape[0] in STRUCTURES
        return [m for i in t.items for m in moving(i, inside)]
    return []


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
