"""Calls: binding of arguments, and one closed graph for each (function, templates of its arguments).

Known ints, bools, strings and functions among the arguments stay known inside, in a recursion only for a while; floats
do not, so that a learning rate compiles once.  A recursive call finds its graph under way; the template of its result
is then iterated to a fixpoint.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..ir import Graph, MyiaError, MyiaRecursionError, Never, Node, Tuple, Type
from ..ops import control
from .aliasing import Alias, Sealed, Storage
from .context import Diverged
from .expressions import Expressions
from .joins import End, several
from .structures import Template, extent, generalised
from .templates import NO_VALUE, Env, captures
from .values import AtPoint, Bound, Closure, Ruled, Sequence, Static, Transformed, Value

DEPTH = 200  # specialisations under way at once
SAME = 20  # that a function made of itself, for one known number or another: then these are given up
GROWING = 100  # calls of one function under way, each with larger arguments
LARGEST = 2_000  # parts of the arguments of a recursive call, unless they are no more than those of the first call
ROUNDS = 12
FLOATS = ("f32", "f64")


@dataclass(eq=False)
class Specialisation:
    """A closed graph under way or done.  `result` is None as long as no path is known to return."""

    key: object
    code: object  # what is specialised, whatever the arguments
    graph: Graph
    size: int = 0  # the number of parts of its arguments
    result: Template | None = None
    ends: list = field(default_factory=list)  # (template, where) of each of its returns
    sealed: list = field(default_factory=list)  # for each leaf of the result what it holds, by path
    storages: dict = field(default_factory=dict)  # of the parameters: storage -> (number of the parameter, path)
    locals: list = field(default_factory=list)  # storages made inside that a result holds
    running: bool = True
    recursive: bool = False
    lowest: float = float("inf")  # position in the stack of the lowest one whose unfinished result it used
    provisional: list = field(default_factory=list)  # those that used the unfinished result of this one


class Calls(Expressions):
    """Function calls."""

    def __init__(self, error_model, parse):
        super().__init__(error_model)
        self.parse = parse
        self.memo: dict[object, Specialisation] = {}
        self.stack: list[Specialisation] = []
        self.specialisations: Counter = Counter()  # (code, templates but for known numbers) -> how many
        self.by_number: set[tuple] = set()  # of these, where the numbers have to be known
        self.parsed: dict[object, object] = {}
        self.dependencies: list = []

    # ---- surface calls -----------------------------------------------------------------------------------------------
    def evaluate_call(self, node, env: Env) -> Value:
        function, *values = [self.value(a, env) for a in node.args]
        keywords = node.attrs.get("keywords", ())
        count = len(values) - len(keywords)
        star = node.attrs.get("star", ())

        def call(*values):
            positional = self.spread(values[:count], star)
            return self.call(function, positional, tuple(zip(keywords, values[count:], strict=True)))

        return self.starred(call, values, star)

    def call(self, function: Value, args, keywords=()) -> Value:
        args, keywords = list(args), tuple(keywords.items() if isinstance(keywords, dict) else keywords)
        if several(function):
            return self.over(function, lambda f: self.call(f, args, keywords))
        match function:
            case Closure():
                return self.call_closure(function, args, keywords)
            case Bound():
                merged = dict(function.keywords) | dict(keywords)
                return self.call(function.function, [*function.args, *args], tuple(merged.items()))
            case Transformed():
                return self.call_transformed(function, args, keywords)
            case AtPoint():
                return self.apart(lambda *vs: self.call_at_point(function, vs, keywords), args)
            case Ruled():
                return self.custom(function, args, keywords)
            case Static():
                return self.call_object(function.value, args, keywords)
        return self.call_instance(function, args, keywords)

    def call_elaborator(self, elaborator, args, keywords) -> Value:
        names = [k for k, _ in keywords]
        values = [self.as_sequence(v) for v in (*args, *(v for _, v in keywords))]
        count = len(args)
        return self.apart(
            lambda *vs: elaborator(self, *vs[:count], **dict(zip(names, vs[count:], strict=True))), values
        )

    def parsed_function(self, function):
        if function not in self.parsed:
            try:
                self.parsed[function] = self.parse(function)
            except MyiaError as error:
                if error.span is not None:
                    raise
                raise type(error)(error.message, self.span, error.remedy) from None
            self.dependencies += self.parsed[function].dependencies
        return self.parsed[function]

    def call_python(self, function, args, keywords) -> Value:
        """A Python function, parsed when it is met first."""
        code = self.parsed_function(function)
        positional = (*code.signature.posonly, *code.signature.names)
        given = function.__defaults__ or ()
        defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
        defaults.update(function.__kwdefaults__ or {})
        values = {name: self.constant_value(v) for name, v in defaults.items()}
        bound = self.bind(function.__name__, code.signature, args, keywords, values)
        code.graph.info["function"] = function
        return self.call_graph(code.graph, bound, Env(), ())

    def call_closure(self, closure: Closure, args, keywords) -> Value:
        signature = closure.graph.info["signature"]
        defaults = dict(zip(signature.defaults, closure.defaults, strict=True))
        bound = self.bind(closure.graph.name, signature, args, keywords, defaults)
        return self.call_graph(closure.graph, bound, closure.env, captures(closure.graph))

    def call_graph(self, graph: Graph, args: list[Value], env: Env, held: tuple[Node, ...]) -> Value:
        """Call the code of a surface graph, whose free nodes `held` have their values in `env`."""
        values = [*args, *(env.get(n) or NO_VALUE for n in held)]

        def walk(inside: list[Value]) -> list[End]:
            inner = Env()
            for node, v in zip((*graph.params, *held), inside, strict=True):
                if v is not NO_VALUE:
                    inner[node] = v
            return self.walk(graph, inner)

        names = [p.name for p in graph.params] + [n.name for n in held]
        return self.closed(graph, graph.name, values, names, walk)

    # ---- binding -----------------------------------------------------------------------------------------------------
    def bind(self, name: str, signature, args, keywords, defaults: dict[str, Value]) -> list[Value]:
        """The values of the parameters, in order; errors in CPython's words."""
        positional = (*signature.posonly, *signature.names)
        found: dict[str, Value] = dict(zip(positional, args, strict=False))
        extra = args[len(positional) :]
        if extra and not signature.vararg:
            self._too_many(name, positional, args, defaults)
        wrong = []
        for key, value in keywords:
            if key in signature.posonly:
                wrong.append(key)
            elif key not in signature.names and key not in signature.kwonly:
                self.error(f"{name}() got an unexpected keyword argument '{key}'", "drop it, or add the parameter")
            elif key in found:
                self.error(f"{name}() got multiple values for argument '{key}'", "pass it once")
            else:
                found[key] = value
        if wrong:
            self.error(
                f"{name}() got some positional-only arguments passed as keyword arguments: '{', '.join(wrong)}'",
                "pass them by position",
            )
        for kind, names in (("positional", positional), ("keyword-only", signature.kwonly)):
            missing = [n for n in names if n not in found and n not in defaults]
            if missing:
                plural = "s" if len(missing) > 1 else ""
                self.error(
                    f"{name}() missing {len(missing)} required {kind} argument{plural}: {_listed(missing)}",
                    "pass a value for each",
                )
        out = [found[n] if n in found else defaults[n] for n in positional]
        if signature.vararg:
            out.append(Sequence(tuple(extra)))
        return out + [found[n] if n in found else defaults[n] for n in signature.kwonly]

    def _too_many(self, name, positional, args, defaults):
        optional = sum(n in defaults for n in positional)
        count = f"from {len(positional) - optional} to {len(positional)}" if optional else str(len(positional))
        plural = "" if len(positional) == 1 and not optional else "s"
        were = "was" if len(args) == 1 else "were"
        self.error(
            f"{name}() takes {count} positional argument{plural} but {len(args)} {were} given", "drop the others"
        )

    # ---- specialisation ----------------------------------------------------------------------------------------------
    def closed(self, code, name: str, values: list[Value], names, walk, **attrs) -> Value:
        """Call `code` on `values` as a closed graph, which `walk(values inside) -> ends` makes on first use."""
        templates = tuple(generalised(self.template(v), FLOATS) for v in values)
        spec = self._for_any_number(code, name, templates, names, walk)
        if spec is None:
            spec = self.specialised(code, name, templates, names, walk)
        else:
            templates = spec.key[1]
        nodes = [n for v, t in zip(values, templates, strict=True) for n in self.coerce(v, t)]
        return self.invoke(spec, nodes, **attrs)

    def _for_any_number(self, code, name, templates, names, walk) -> Specialisation | None:
        """The graph for all numbers, where a function that calls itself has been specialised for many: a tree whose
        depth is known would have a graph for each node.  None where it has not, or needs them known, as indexes of
        tuples are.
        """
        if (code, templates) in self.memo or not any(s.code == code for s in self.stack):
            return None
        key = code, tuple(map(generalised, templates))
        self.specialisations[key] += 1
        if key[1] == templates or self.specialisations[key] <= SAME or key in self.by_number:
            return None
        try:
            return self.specialised(code, name, key[1], names, walk)
        except MyiaError:
            self.by_number.add(key)
            return None

    def specialised(self, code, name, templates, names, walk, prepare=None) -> Specialisation:
        key = (code, templates)
        spec = self.memo.get(key)
        if spec is None:
            return self._specialise(key, code, name, templates, names, walk, prepare)
        if spec.running:
            spec.recursive = True
            self._depends(self.stack.index(spec))
        elif spec.lowest < len(self.stack):
            self._depends(spec.lowest)
        return spec

    def _depends(self, position):
        """All that runs above `position` in the stack uses a result that is not final."""
        for s in self.stack[int(position) + 1 :]:
            s.lowest = min(s.lowest, position)

    def _specialise(self, key, code, name, templates, names, walk, prepare) -> Specialisation:
        size = sum(map(extent, templates))
        outer = [s.size for s in self.stack if s.code == code]
        larger = bool(outer) and size > outer[0]
        if len(self.stack) >= DEPTH or larger and (size > LARGEST or len(outer) >= GROWING):
            self.error(
                f"the calls of {name} nest without end at compile time: each has arguments of another structure",
                "keep the structure of the arguments of a recursive call the same",
                MyiaRecursionError,
            )
        spec = self.memo[key] = Specialisation(key, code, Graph(name, None, self.span), size)
        position = len(self.stack)
        self.stack.append(spec)
        outer = self.graph, self.span, self.aliases.versions, self.unrollable
        self.unrollable = []
        try:
            self._parameters(spec, templates, names)
            for _ in range(ROUNDS):
                if self._round(spec, templates, walk, prepare):
                    break
                for k in spec.provisional:
                    self.memo.pop(k, None)
                spec.provisional.clear()
            else:
                self.span = outer[1]
                self.error(f"the type of the result of {name} grows from call to call", "give it one type")
        except BaseException:
            self.memo.pop(key, None)
            for k in spec.provisional:
                self.memo.pop(k, None)
            raise
        finally:
            self.stack.pop()
            self.graph, self.span, self.aliases.versions, self.unrollable = outer
        spec.running = False
        spec.graph.info["code"] = code  # whose calls these are, for rules about functions
        if spec.lowest < position:
            self.stack[int(spec.lowest)].provisional += [key, *spec.provisional]
        else:
            spec.lowest = float("inf")
            for k in spec.provisional:
                self.memo[k].lowest = float("inf")
        return spec

    def _parameters(self, spec, templates, names):
        for t, name in zip(templates, names, strict=True):
            for p in self.parameters(spec.graph, self.types(t), name):
                self.aliases.own(p, f"the argument {name}" if name else "an argument")
        for k, p in enumerate(spec.graph.params):
            for path, alias in self.aliases.of(p).items():
                for s in alias.storages():
                    spec.storages[s] = (k, path)

    def _round(self, spec: Specialisation, templates, walk, prepare) -> bool:
        """Walk the body once; says whether what was assumed of its result was right."""
        graph = spec.graph
        graph.nodes.clear()
        graph.info.clear()
        graph.result = graph.result_type = None
        self.graph, self.aliases.versions = graph, {}
        supply = iter(graph.params)
        ends = walk([self.rebuild(t, supply) for t in templates])
        self.graph = graph
        if not ends:
            self.settle(graph)
            return spec.result is None
        template = self.template(ends[0].value) if spec.result is None else spec.result
        if prepare is not None:
            template = prepare(template)
        spec.ends = [(self.template(end.value), end.span) for end in ends]
        for end in ends:
            self.aliases.versions = end.versions
            self.aliases.returned(self.leaves(end.value), end.span or self.span)
            template = self.join(template, self._prepared(end, prepare))
        _, sealed = self.finish(ends, template, closed=True)
        sealed = self._canonical(spec, sealed)
        types = self.types(template)
        graph.result_type = types[0] if len(types) == 1 else Tuple(tuple(types))
        self.settle(graph)
        same = template == spec.result and sealed == spec.sealed
        spec.result, spec.sealed = template, sealed
        return same or not spec.recursive

    def _prepared(self, end, prepare):
        t = self.template(end.value)
        return t if prepare is None else prepare(t)

    def _canonical(self, spec, sealed):
        """What the results hold, in storages that are the same in every walk."""
        local: dict[Storage, Storage] = {}

        def one(s):
            if s in spec.storages or s.owner:
                return s
            if s not in local:
                if len(local) == len(spec.locals):
                    spec.locals.append(Storage())
                local[s] = spec.locals[len(local)]
            return local[s]

        out = []
        for table in sealed:
            new = {}
            for path, seal in sorted(table.items(), key=lambda item: str(item[0])):
                ordered = sorted(seal.current, key=lambda item: item[0].serial)
                new[path] = Sealed(frozenset((one(s), fresh) for s, fresh in ordered), seal.view)
            out.append(new)
        return out

    def result_type(self, spec) -> Type:
        if spec.result is None:
            return Never
        types = self.types(spec.result)
        return types[0] if len(types) == 1 else Tuple(tuple(types))

    def invoke(self, spec: Specialisation, nodes: list[Node], **attrs) -> Value:
        """Emit a call of a specialisation."""
        self.use(nodes)
        node = self.append(control.call, nodes, (spec.graph,), self.result_type(spec), **attrs)
        if node.type is Never:
            raise Diverged(node)
        return self.collect(node, spec.result, [None] * len(spec.sealed), spec.sealed, self.held_by(spec, nodes))

    def held_by(self, spec, nodes) -> dict[Storage, Alias]:
        """What the storages of a specialisation are for one call of it."""
        known = {s: self.aliases.new() for s in spec.locals}
        for s, (k, path) in spec.storages.items():
            held = self.aliases.of(nodes[k])
            known[s] = held.get(path) or Alias(frozenset())
        return known


def _listed(names) -> str:
    quoted = [f"'{n}'" for n in names]
    if len(quoted) == 1:
        return quoted[0]
    if len(quoted) == 2:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
