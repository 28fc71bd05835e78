"""The walk over surface graphs: blocks, branches, matches and loops.

`walk(graph, env)` walks a surface graph in tail position of the current typed graph and returns the ends it comes to.
"""

from __future__ import annotations

from ..ir import Constant, Graph, Never, Node, Tuple
from ..ops import control, elementwise, surface
from . import library
from .aliasing import LoopAliases
from .context import Diverged
from .joins import End, Joins, several
from .structures import Maybe, Tree, Union, generalised
from .templates import NO_VALUE, Env, parts
from .values import Closure, Iterator, Leaf, Mapping, MaybeUnbound, Outcome, Ruled, Sequence, Static, Value

ROUNDS = 12  # walks of a loop's body, or of a recursive function, before its state must have stopped changing
PATIENCE = 4  # walks after which a loop with few trips is unrolled instead
UNROLLED = 64  # trips of a loop over range(…) that is unrolled because it indexes a tuple of unlike items

NEXT, EXIT = "#next", "#exit"


class Unroll(Exception):
    """A loop whose index must be known at compile time."""

    def __init__(self, loop):
        self.loop = loop


class Control(Joins):
    """Structured control flow."""

    def __init__(self, error_model: str):
        super().__init__(error_model)
        self.through: set[Node] = set()
        self.whole: dict[Node, Node] = {}  # what an in-place operation on a whole array made -> the array before
        self.unrollable: list[object] = []  # loops around the present point, of this function, with few trips
        self.heads: dict[Graph, object] = {}  # loop under way -> levels of its checkpoint, None without

    # ---- blocks ------------------------------------------------------------------------------------------------------
    def walk(self, graph: Graph, env: Env) -> list[End]:
        """The ends of a surface graph, emitted into the current graph."""
        return self.attempt(lambda: self._walk(graph, env))

    def _walk(self, graph, env):
        if "through" not in graph.info:  # holders in `a[i][j] = v`: written back into `a` by a second py_setitem
            graph.info["through"] = {
                n.args[2]
                for n in graph.nodes
                if n.op is surface.py_setitem
                and (n.attrs.get("through") or getattr(n.args[2], "op", 0) is surface.py_inplace)
            }
        self.through |= graph.info["through"]
        last = graph.nodes[-1] if graph.nodes else None
        for node in graph.nodes:
            with self.at(node.span):
                if node is last and node is graph.result:
                    tail = self.tail(node, env)
                    if tail is not None:
                        return tail
                env[node] = self.evaluate(node, env)
        value = self.lookup(graph.result, env)
        return [End(self.graph, value, self.aliases.versions, span=graph.result.span)]

    def tail(self, node, env) -> list[End] | None:
        """The ends of a node in tail position, None where it is no control."""
        match node.op:
            case surface.py_raise:
                self.raises(self.value(node.args[0], env))
            case control.switch:
                return self.fork(node, env)
            case surface.match:
                return self.fork_match(node, env)
            case control.recur:
                values = [self.lookup(a, env) for a in node.args]
                for v in values:
                    self.stays(v, node.graphs[0])
                return [End(self.graph, Sequence(tuple(values)), self.aliases.versions, node.graphs[0])]
        return None

    def stays(self, value: Value, loop: Graph) -> None:
        """Refuse a function that is carried round a loop which assigns what it captured."""
        if isinstance(value, Closure) and any(g is loop for g in value.graph.info.get("trips", ())):
            self.error(
                f"{value.graph.name} is used in the next trip of the loop, which changes a variable that it captures",
                "pass the variable as a default: lambda x, v=v: …",
            )
        elif isinstance(value, (Sequence, Ruled)):
            for item in parts(value)[1]:
                self.stays(item, loop)

    def lookup(self, node: Node, env: Env) -> Value:
        """The value of a surface node as it is, perhaps unbound."""
        if isinstance(node, Constant):
            return self.constant_value(node.value)
        value = env.get(node)
        if value is None:
            return MaybeUnbound(node.name or "", NO_VALUE, self.const(False))
        return value

    def value(self, node: Node, env: Env) -> Value:
        """The value of a surface node that is read."""
        value = self.lookup(node, env)
        return self.bound(value, value.name) if isinstance(value, MaybeUnbound) else value

    def bound(self, value: Value, name: str, free: bool = False) -> Value:
        """The value of a variable, after a guard that it has one."""
        if not isinstance(value, MaybeUnbound):
            return value
        if free:
            exception = "NameError"
            message = f"cannot access free variable '{name}' where it is not associated with a value in enclosing scope"
        else:
            exception = "UnboundLocalError"
            message = f"cannot access local variable '{name}' where it is not associated with a value"
        if value.value is NO_VALUE:
            self.emit(control.raise_, exception=exception, message=message)
        self.guard(exception, message, value.bound.node)
        return value.value

    # ---- branches ----------------------------------------------------------------------------------------------------
    def fork(self, node, env) -> list[End]:
        """The ends of a `switch` in tail position of the current graph."""
        condition = self.condition(node.args[0], env)
        if isinstance(condition, Constant):
            return self.walk(node.graphs[0 if condition.value else 1], Env(env))
        return self.forked(*self.branch(control.switch, [condition], [self._arm(g, env) for g in node.graphs]))

    def forked(self, apply, ends):
        self.graph.result = apply
        if not ends:
            self.settle_node(apply)
        return ends

    def condition(self, node, env) -> Node:
        value = self.value(node, env)
        if isinstance(value, Leaf) and value.type == self.const(True).type:
            return value.node
        return self.truth(value)

    def _arm(self, surface_graph, env):
        def build():
            graph = Graph(surface_graph.name, self.graph, surface_graph.span)
            with self.into(graph):
                return graph, self.walk(surface_graph, Env(env))

        return build

    def fork_match(self, node, env) -> list[End]:
        outcome = self.lookup(node.args[0], env)
        arms = dict(zip(node.attrs["tags"], node.graphs, strict=True))

        def arm(tag, value) -> list[End]:
            inner = Env(env)
            for p, v in zip(arms[tag].params, value.items, strict=True):
                inner[p] = v
            return self.walk(arms[tag], inner)

        if not several(outcome):
            return arm(outcome.tag, outcome)
        return self.forked(*self.branch(control.case, [outcome.node], self.alternatives(outcome, arm)))

    def inline(self, ends: list[End]) -> Value:
        """The value of what was walked in tail position of the current graph, to go on after it."""
        here = self.graph
        if not ends:
            raise Diverged(here.result)
        if len(ends) == 1 and ends[0].graph is here:
            return ends[0].value
        return self.merge(here.result, ends)

    # ---- loops -------------------------------------------------------------------------------------------------------
    def loop(self, node, env) -> Value:
        """A loop: unrolled over a tuple and the like, else a loop of the typed IR."""
        (body,) = node.graphs
        init = [self.lookup(a, env) for a in node.args]
        iterator = body.info.get("iterator")
        counted = None
        if iterator is not None:
            it = env.get(iterator)
            if several(it):

                def one(alternative):
                    inner = Env(env)
                    inner[iterator] = alternative
                    return self.loop(node, inner)

                return self.over(it, one)
            if self.bound_of(it.parts[0]) is not None:
                return self.unrolled(body, env, init)
            length = it.parts[1]
            if length.known and length.node.value <= UNROLLED:
                counted = node
        if counted is None:
            return self.iterate(body, env, init)
        versions, count = dict(self.aliases.versions), len(self.graph.nodes)
        marker = object()
        self.unrollable.append(marker)
        try:
            return self.iterate(body, env, init, marker)
        except Unroll as request:
            if request.loop is not marker:
                raise
            del self.graph.nodes[count:]
            self.aliases.versions = versions
        finally:
            self.unrollable.remove(marker)
        return self.unrolled(body, env, init)

    def bound_of(self, iterable: Value) -> int | None:
        """How many items at most, where the items are apart at compile time."""
        if isinstance(iterable, (Sequence, Mapping)):
            return len(iterable.items)
        if isinstance(iterable, Static):
            return len(iterable.value) if isinstance(iterable.value, str) else None
        if isinstance(iterable, Iterator):
            walked = iterable.parts[:1] if iterable.kind == "checkpoint" else iterable.parts
            known = [b for b in map(self.bound_of, walked) if b is not None]
            return min(known) if known else None
        return None

    def iterate(self, body: Graph, env: Env, init: list[Value], marker: object = None, first: bool = True) -> Value:
        """A loop of the typed IR.

        One with few trips, which has a `marker`, is unrolled where its state keeps growing.  Where the `first` trip
        makes another thing of a variable (None, then a number; 0, then an array), that trip goes before the loop.
        """
        state = [generalised(self.template(v)) for v in init]
        outer = self.aliases.versions
        facts, start = LoopAliases(self.aliases), len(self.graph.nodes)
        for k in range(ROUNDS):
            if marker is not None and k == PATIENCE:
                raise Unroll(marker)
            del self.graph.nodes[start:]
            self.aliases.versions = dict(outer)
            entry = [self.coerce(v, t) for v, t in zip(init, state, strict=True)]
            flat = [n for nodes in entry for n in nodes]
            facts.enter(flat)
            graph = Graph(body.name, self.graph, self.span)
            types = [t for s in state for t in self.types(s)]
            params = self.parameters(graph, types)
            facts.header(params)
            self.heads[graph] = self.levels_of(env.get(body.info.get("iterator")))
            inner, supply = Env(env), iter(params)
            for p, t in zip(body.params, state, strict=True):
                inner[p] = self.rebuild(t, supply)
            self._name(params, body, state)
            with self.into(graph):
                ends = self.walk(body, inner)
            trips = [e for e in ends if e.loop is body]
            exits = [e for e in ends if e.loop is None]
            new = list(state)
            for end in trips:
                for j, v in enumerate(end.value.items):
                    new[j] = self._next(new[j], generalised(self.template(v)), body.params[j])
            if first and any(map(_differs, state, new)):
                del self.graph.nodes[start:]
                self.aliases.versions = dict(outer)
                outcome = self.trip(body, env, init)
                return self.going_on(outcome, lambda values: self.iterate(body, env, values, marker, False))
            if new == state:
                for end in trips:
                    self.aliases.versions = end.versions
                    with self.into(end.graph):
                        end.nodes = [n for v, t in zip(end.value.items, state, strict=True) for n in self.coerce(v, t)]
                    facts.trip(end.nodes, end.versions)
                for end in exits:
                    facts.writes(end.versions)
                if not facts.grown:
                    return self._close_loop(graph, flat, trips, exits, facts)
            else:
                changed = [
                    (p.name or "a variable", a, b) for p, a, b in zip(body.params, state, new, strict=True) if a != b
                ]
                state, facts = new, LoopAliases(self.aliases)
        name, old, now = changed[0]
        how = f"{old}, then {now}"
        self.error(
            f"the type of {name} changes in every trip of this loop" + (f": {how}" if len(how) < 120 else ""),
            "keep its structure the same from trip to trip: fill an array, or loop over a range known at compile time",
        )

    def _next(self, old, new, param):
        try:
            return self.join(old, new)
        except TypeError as error:
            self.error(
                f"{param.name or 'a variable'} is {old} before the loop and {new} after a trip ({error.message})",
                "give it one type",
            )

    def _name(self, params, body, state):
        k = 0
        for p, t in zip(body.params, state, strict=True):
            for _ in self.types(t):
                params[k].name = p.name
                k += 1

    def _close_loop(self, graph, init, trips, exits, facts) -> Value:
        if exits:
            template = self.template(exits[0].value)
            for end in exits[1:]:
                template = self.join(template, self.template(end.value))
            with self.into(graph.parent):
                kept, sealed = self.finish(exits, template)
            types = [t for t, k in zip(self.types(template), kept, strict=True) if k is None]
            graph.result_type = types[0] if len(types) == 1 else Tuple(tuple(types))
        else:
            graph.result_type = Never
        for end in trips:
            with self.into(end.graph):
                end.graph.result = self.append(control.recur, end.nodes, (graph,), graph.result_type)
                end.graph.result_type = graph.result_type
        self.settle(graph)
        levels = self.heads.pop(graph)
        attrs = {} if levels in (None, 1) else {"checkpoint": levels}
        node = self.append(control.loop, init, (graph,), graph.result_type, **attrs)
        if not exits:
            raise Diverged(node)
        return self.collect(node, template, kept, sealed, facts.leave())

    def unrolled(self, body: Graph, env: Env, values) -> Value:
        """The loop trip by trip, as long as trips follow."""
        while True:
            outcome = self.trip(body, env, values)
            if several(outcome):
                return self.going_on(outcome, lambda next_values: self.unrolled(body, env, next_values))
            if outcome.tag == EXIT:
                return outcome.items[0]
            values = outcome.items

    def trip(self, body: Graph, env: Env, values) -> Outcome:
        """One trip of a loop in the current graph: does another follow (NEXT, with its state), or is it over (EXIT)?"""
        inner = Env(env)
        for p, v in zip(body.params, values, strict=True):
            inner[p] = v
        around = self.graph in self.heads, self.heads.get(self.graph)
        self.heads[self.graph] = None  # a checkpoint is of the loop that has this trip in front of it
        here, ends = self.graph, self.walk(body, inner)
        if around[0]:
            self.heads[here] = around[1]
        else:
            del self.heads[here]
        for end in ends:
            if end.loop is body:
                end.value, end.loop = Outcome(NEXT, end.value.items), None
            else:
                end.value = Outcome(EXIT, (end.value,))
        return self.inline(ends)

    def going_on(self, outcome: Outcome, following) -> Value:
        """The value of a loop after a trip: `following(state)` is that of the trips that follow."""
        if not several(outcome):
            return outcome.items[0] if outcome.tag == EXIT else following(outcome.items)

        def one(tag, o):
            return o.items[0] if tag == EXIT else following(o.items)

        return self.merge(*self.cases(outcome, one))

    # ---- iteration ---------------------------------------------------------------------------------------------------
    def iterator(self, value: Value) -> Value:
        """`py_iter`: what is walked over, and how many items it has, counted once."""
        if isinstance(value, Mapping):
            value = Sequence(tuple(Static(k) for k in value.keys))
        if isinstance(value, Static) and isinstance(value.value, str):
            value = Sequence(tuple(Static(c) for c in value.value))
        value = self.as_sequence(value)
        return Iterator("counted", (value, library.length(self, value)))

    def checkpointed_condition(self, value: Iterator) -> Value:
        """The condition in a checkpoint, which is of the loop at whose head its truth is asked for."""
        if self.graph not in self.heads:
            self.error(
                "checkpoint() of a condition that is not at the head of a while loop",
                "while checkpoint(condition): …, for i in checkpoint(range(n)): …, or checkpoint(f)",
            )
        self.heads[self.graph] = value.parts[1].value
        return value.parts[0]

    def levels_of(self, it: Value | None):
        """The levels of a checkpoint on what a loop walks over, None without."""
        if isinstance(it, Iterator):
            if it.kind == "checkpoint":
                return it.parts[1].value
            return next(filter(None, map(self.levels_of, it.parts)), None)
        return None

    def has_next(self, it: Iterator, k: Leaf) -> Leaf:
        iterable, length = it.parts
        most = self.bound_of(iterable)
        if most is not None and k.known and k.node.value >= most:
            return self.const(False)
        return Leaf(self.emit(elementwise.lt, k.node, length.node), True)

    def next_item(self, it: Iterator, k: Leaf) -> Value:
        iterable = it.parts[0]
        at = k.node.value if k.known else k.node
        return library.item(self, iterable, at)

    def comprehension(self, iterable: Value, body: Graph, env: Env) -> Value:
        if several(iterable):
            return self.over(iterable, lambda v: self.comprehension(v, body, env))
        it = self.iterator(iterable)
        if not it.parts[1].known:
            self.error(
                "the length of this list is known at run time only",
                "fill an array in a loop: out = np.zeros(n); out[i] = …",
            )
        items = []
        for k in range(it.parts[1].node.value):
            inner = Env(env)
            if body.params:
                inner[body.params[0]] = self.next_item(it, self.const(k))
            items.append(self.inline(self.walk(body, inner)))
        return Sequence(tuple(items), list)


def _differs(before, after) -> bool:
    """Did a trip turn a value into one of several shapes?"""
    return _unions(after) > _unions(before)


def _unions(t) -> int:
    if isinstance(t, Union):
        return 1 + sum(_unions(i) for _, i in t.alternatives)
    if isinstance(t, Tree):
        return sum(map(_unions, t.items))
    return 0 if not isinstance(t, Maybe) or t.item is None else _unions(t.item)
