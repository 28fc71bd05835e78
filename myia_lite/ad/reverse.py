"""Reverse mode by graph transformation, without a tape.

The backward pass of a region (a function body, a branch, a trip of a loop) is emitted first, with *holes* where it needs
primal values; then a minimum cut decides which values the forward pass saves for it, and the holes are filled with saved or
recomputed values.  What a region saves is its residual:

    primal                         forward ▶                                  backward ◀
    y = switch(c) {t} {e}          (y, r) = switch(c) {t▶} {e▶}               case(r) { t◀ } { e◀ }, in the cotangents so far
    y = loop(init) {L}             (y, r, k) = loop(init, empty) {L▶}         loop(k, ȳ through the exit r) {L◀}
    recur(next) in L               recur(next, push(k, saved))                pop(k), the trip's handler, recur
    y = call f(x), f recursive     (y, r) = call ▶f(x)                        x̄ = call ◀f(r, ȳ, accumulators, env)
    y = call[checkpoint] f(x)      y = call f(x)                              x̄ = call ∂f(x, ȳ, accumulators): f again, backward

A residual of a branch is a sum with one variant for each branch; a loop's is the residual of its exit and the stack of
what its trips saved.  A loop in the backward pass carries the cotangents of the loop's state, and an accumulator for
each outer value that a trip reads; arrays that a recursive function only reads are accumulated through it in the same way.
So the cotangent of an array is one array, written in place, however many elements are read.
Everything emitted is ordinary typed IR, and can be differentiated again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import (
    I64,
    Apply,
    Array,
    Builder,
    Clone,
    Constant,
    Graph,
    MyiaTypeError,
    Never,
    Node,
    Parameter,
    Scalar,
    Stack,
    Sum,
    Tuple,
    clone,
    current,
    free_variables,
)
from ..ops.arrays import dim, reduce_sum
from ..ops.control import (
    call,
    case,
    get,
    guard,
    loop,
    make,
    raise_,
    recur,
    stack_len,
    stack_new,
    stack_pop,
    stack_push,
    switch,
)
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, eq, gt, mul
from .activity import Activity
from .checkpoint import has_marks, in_chunks
from .custom import Custom, zeros_like
from .ownership import borrowed
from .saving import min_cut, recomputation
from .sites import Site, inside, sites
from .tangent import (
    Path,
    Sums,
    differentiable,
    element_types,
    elements,
    leaves,
    pack,
    part,
    tangent,
    type_at,
    unpack,
    zero,
)

Leaf = tuple[Node, Path]


class Adjoints:
    """The cotangents so far, by leaf; an inner scope sees those of the scopes around it and keeps its changes."""

    def __init__(self, parent: Adjoints | None, sums: Sums):
        self.parent, self.sums, self.own = parent, sums, {}

    def get(self, leaf: Leaf) -> Node | None:
        return self.own[leaf] if leaf in self.own else self.parent and self.parent.get(leaf)

    def set(self, leaf: Leaf, bar: Node) -> None:
        self.own[leaf] = bar

    def add(self, leaf: Leaf, bar: Node) -> None:
        before = self.get(leaf)
        self.own[leaf] = bar if before is None else self.sums.add(before, bar)

    def pop(self, leaf: Leaf) -> Node | None:
        bar = self.get(leaf)
        self.own[leaf] = None
        return bar

    def changed(self, within: set) -> list[Leaf]:
        """The leaves of outer values that changed here, `within` being this scope's own nodes."""
        return [leaf for leaf, bar in self.own.items() if leaf[0] not in within and bar is not None]


class Accumulators(Adjoints):
    """In a backward loop: the cotangent of an outer value becomes a parameter of the loop when it is first asked for."""

    def __init__(self, parent, sums, graph: Graph, within: set):
        super().__init__(parent, sums)
        self.graph, self.within = graph, within

    def get(self, leaf):
        if leaf not in self.own:
            node, path = leaf
            if node in self.within:
                return None
            t = tangent(type_at(node.type, path))
            self.own[leaf] = self.graph.parameter(t, f"{node.name or 'acc'}_bar")
        return self.own[leaf]


@dataclass(eq=False)
class Scope:
    """Where backward code is emitted; `own` are the primal nodes whose values it finds in its residual, through `holes`."""

    parent: Scope | None
    own: set
    graph: Graph
    start: int = 0  # where its nodes begin in graph.nodes
    holes: dict = field(default_factory=dict)
    free: dict = field(default_factory=dict)  # key -> function that emits its value


def key_node(key) -> Node:
    return key if isinstance(key, Node) else key[1]


@dataclass(eq=False)
class Entry:
    """A recursive function's forward and backward graphs, for the leaves wanted and the result cotangents present."""

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
        while True:
            self.entries, self.todo, self.grown = {}, [], False
            out = self._gradient(g, wrt, seeds)
            while self.todo:
                make, key = self.todo.pop()
                make(key)
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

        From the cotangents of results, by path, and those so far of parameters, by index and path.  Gives the results, and the
        cotangents of the parts `wanted` of the parameters.
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
        key = f, wanted, present
        if key not in self.entries:
            record = Sum(f"R_{f.name}", {"frame": ()})
            params, results = f.params, f.result_type.elems if isinstance(f.result_type, Tuple) else (f.result_type,)
            keep = borrowed(f)
            accumulated = {(k, p) for k, p in wanted if k in keep and isinstance(type_at(params[k].type, p), Array)}
            env = list(self.needs.setdefault(key, []))
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
            self.entries[key] = Entry(f, wanted, present, accumulated, env, record, forward, backward)
            self.todo.append((self._function, key))
        return self.entries[key]

    def _function(self, key):
        e = self.entries[key]
        primal = self.primal(e.primal)
        body = Body(self, primal, {(primal.params[k], p) for k, p in e.wanted})
        frame = Graph("frame", e.backward)
        arrays = {p for p in primal.params if isinstance(p.type, Array)}
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
                if body.active(primal.result, path):
                    adjoints.add((primal.result, path), bar)
            body.backward(scope, primal.nodes, adjoints)
            out = []
            for k, path in e.wanted:
                bar = adjoints.get((primal.params[k], path))
                out.append(body.zero(scope, primal.params[k], path) if bar is None else bar)
            frame.returns(tuple_of(*out))
        for p in arrays:
            scope.free[p] = lambda p=p: env[p]
        scope.own -= arrays
        used = body.used(scope)
        reads = set(body.reads_again(scope, used)) | set(used)
        for p in arrays & reads:
            if p not in env:  # another round, with this parameter handed to the backward pass
                self.needs[key].append(primal.params.index(p))
                self.grown = True
                env[p] = e.backward.parameter(p.type, p.name)
        saved = body.fill(scope, lambda k: frame.parameter(body.key_type(k)), used)
        e.record.variants["frame"] = tuple(body.key_type(k) for k in saved)
        with Builder(e.backward):
            r = current().emit(case, e.backward.params[0], graphs=(frame,), type=e.backward.result_type)
            e.backward.returns(r)
        forward = Forward(dict(zip(primal.params, e.forward.params, strict=True)))
        with Builder(e.forward):
            body.forward(primal.nodes, e.forward, forward)
            results = elements(forward.node(primal.result))
            r = make(*[body.saved_value(forward, k) for k in saved], sum=e.record, tag="frame")
            e.forward.returns(tuple_of(*results, r))


class Body:
    """The two passes of one primal graph; `plans` says how each node with a residual is built in the forward pass."""

    def __init__(self, reverse: Reverse, primal: Graph, active: set[Leaf]):
        self.reverse, self.sums, self.active = reverse, reverse.sums, Activity(primal, active)
        # a node on a path that several leaves of a loop share goes backward once for each, with residuals of its own
        self.plans: dict[Apply, list] = {}
        self.residuals: dict[tuple, object] = {}  # ("res", node, j) -> type

    # ---- primal values in backward code
    def key_type(self, key):
        return key.type if isinstance(key, Node) else self.residuals[key] if key[0] == "res" else I64

    def value(self, scope: Scope, key) -> Node:
        """The value of a primal node (or residual, or dim) in backward code: a hole of the scope that owns it."""
        if isinstance(key, Constant):
            return key
        n = key_node(key)
        while n not in scope.own:
            scope = scope.parent
        if key not in scope.holes:
            scope.holes[key] = Parameter(scope.graph, self.key_type(key), getattr(key, "name", None))
        return scope.holes[key]

    def size(self, scope, n: Node, path: Path, axis: int) -> Node:
        d = type_at(n.type, path).shape[axis]
        return self.value(scope, ("dim", n, path, axis)) if d is None else Constant(d, I64)

    def zero(self, scope, n: Node, path: Path) -> Node:
        return zero(type_at(n.type, path), lambda axis: self.size(scope, n, path, axis))

    def used(self, scope: Scope) -> list:
        """The keys whose holes the emitted code uses."""
        key_of = {hole: key for key, hole in scope.holes.items()}
        found: dict = {}

        def use(a):
            if a in key_of:
                found[key_of[a]] = None

        def visit(nodes):
            for n in nodes:
                for a in n.args:
                    use(a)
                if n.op.nests:
                    for g in n.graphs:
                        visit(g.nodes)
                        use(g.result)

        visit(scope.graph.nodes[scope.start :])
        return list(found)

    def reads_again(self, scope, used) -> list:
        """What a recomputation of `used` reads besides what is saved."""
        saved = min_cut(used, scope.own, set(scope.free))
        again = recomputation(used, set(saved), scope.own, set(scope.free))
        return [a for n in again for a in n.args]

    def fill(self, scope: Scope, provide, used=None) -> list:
        """Choose what to save, bind it with `provide(key)`, compute the rest again, fill the holes.  Returns what is saved."""
        used = self.used(scope) if used is None else used
        free = set(scope.free)
        saved = min_cut(used, scope.own, free)
        again = recomputation(used, set(saved), scope.own, free)
        nodes, before = scope.graph.nodes, scope.graph.nodes[: scope.start]
        scope.graph.nodes = before
        at_hand: dict = {}
        with Builder(scope.graph):

            def find(k):
                if isinstance(k, Constant):
                    return k
                if k not in at_hand:
                    at_hand[k] = scope.free[k]() if k in scope.free else self.value(scope.parent, k)
                return at_hand[k]

            for k in saved:
                at_hand[k] = provide(k)
            for n in again:
                at_hand[n] = current().emit(n.op, *[find(a) for a in n.args], type=n.type, span=n.span, name=n.name, **n.attrs)
            filled = {scope.holes[k]: find(k) for k in used}
        after = nodes[scope.start :]
        scope.graph.nodes += after
        substitute(scope.graph, filled, len(scope.graph.nodes) - len(after))
        return saved

    # ---- the backward pass
    def backward(self, scope: Scope, nodes, adjoints: Adjoints) -> None:
        """Emit the backward pass of `nodes` into the scope's graph."""
        for n in reversed(nodes):
            bars = {p: b for p, _ in leaves(n.type) if (b := adjoints.pop((n, p))) is not None}
            if not bars:
                continue
            current().span = n.span.made_by("reverse of") if n.span else None
            handler = getattr(self, f"back_{n.op.name}", None)
            (handler or self.rule)(scope, n, bars, adjoints)

    def give(self, adjoints, n: Node, path: Path, bar: Node | None) -> None:
        if bar is not None and not isinstance(n, Constant) and self.active(n, path):
            adjoints.add((n, path), bar)

    def rule(self, scope, n, bars, adjoints) -> None:
        """A primitive: its own rule, of which only what active arguments need is kept."""
        op, d, start = n.op, bars[()], len(scope.graph.nodes)
        if op.zero_derivative is not None:
            return
        y, args = self.value(scope, n), [self.value(scope, a) for a in n.args]
        if op.vjp_into is not None:
            x = n.args[0]
            if self.active(x):
                before = adjoints.get((x, ()))
                before = self.zero(scope, x, ()) if before is None else before
                adjoints.set((x, ()), op.vjp_into(before, d, y, *args, **n.attrs))
            return
        rule = op.derivative or op.vjp
        if rule is None:
            raise MyiaTypeError(f"{op.name} has no derivative", n.span, "wrap the part that needs none in a constant, or write it with other functions")
        bars_of = {}
        for k, (a, bar) in enumerate(zip(n.args, rule(d, y, *args, **n.attrs), strict=True)):
            if bar is None or isinstance(a, Constant) or not self.active(a):
                continue
            if isinstance(a.type, Scalar) and isinstance(bar.type, Array):  # a scalar that stood for each element
                bar = reduce_sum(bar, axes=tuple(range(bar.type.rank)))
            bars_of[k] = bar
        prune(scope.graph, start, set(bars_of.values()))
        for k, bar in bars_of.items():
            adjoints.add((n.args[k], ()), bar)

    def back_get(self, scope, n, bars, adjoints):
        for path, bar in bars.items():
            self.give(adjoints, n.args[0], (n.attrs["index"], *path), bar)

    def back_tuple(self, scope, n, bars, adjoints):
        for (k, *path), bar in bars.items():
            self.give(adjoints, n.args[k], tuple(path), bar)

    def back_make(self, scope, n, bars, adjoints):
        """The fields of the cotangent, or zeros where it is Z."""
        wanted = [(k, p) for k, a in enumerate(n.args) for p, _ in leaves(a.type)]
        out = Tuple(tuple(tangent(type_at(n.args[k].type, p)) for k, p in wanted))
        graphs = []
        for tag, fields in bars[()].type.variants.items():
            g = Graph(tag, scope.graph)
            params = iter([g.parameter(t) for t in fields])
            with Builder(g):
                if tag == "Z":
                    g.result = tuple_of(*[self.zero(scope, n.args[k], p) for k, p in wanted])
                elif tag == n.attrs["tag"]:
                    parts = {}
                    for k, a in enumerate(n.args):
                        if differentiable(a.type):
                            parts |= {(k, p): b for p, b in unpack(a.type, next(params)).items()}
                    g.result = tuple_of(*[parts[w] for w in wanted])
                else:
                    g.result = raise_(exception="SystemError", message="a cotangent of another variant")
            g.result_type = out
            graphs.append(g)
        fields = current().emit(case, bars[()], graphs=graphs)
        for j, (k, p) in enumerate(wanted):
            self.give(adjoints, n.args[k], p, get(fields, index=j))

    def back_stack_push(self, scope, n, bars, adjoints):
        """The top of the cotangent stack; an empty one is zero."""
        s, v = n.args
        bar = bars[()]
        wanted = [p for p, _ in leaves(v.type)]
        full, empty = Graph("full", scope.graph), Graph("zero", scope.graph)
        with Builder(full):
            popped = stack_pop(bar)
            top = unpack(v.type, get(popped, index=1))
            full.returns(tuple_of(get(popped, index=0), *[top[p] for p in wanted]))
        with Builder(empty):
            empty.returns(tuple_of(bar, *[self.zero(scope, v, p) for p in wanted]))
        both = current().emit(switch, gt(stack_len(bar), 0), graphs=(full, empty))
        self.give(adjoints, s, (), get(both, index=0))
        for j, p in enumerate(wanted):
            self.give(adjoints, v, p, get(both, index=j + 1))

    def back_stack_pop(self, scope, n, bars, adjoints):
        (s,) = n.args
        rest = bars[(0,)] if (0,) in bars else stack_new(elem=tangent(s.type.elem))
        top = {p[1:]: b for p, b in bars.items() if p[0] == 1}
        top = pack(s.type.elem, top, lambda p: self.zero(scope, n, (1, *p)))
        self.give(adjoints, s, (), stack_push(rest, top))

    # ---- branches
    def back_switch(self, scope, n, bars, adjoints):
        self.branches(scope, n, bars, adjoints, ["then", "else"], None)

    def back_case(self, scope, n, bars, adjoints):
        self.branches(scope, n, bars, adjoints, list(n.args[0].type.variants), n.args[0])

    def branches(self, scope, n, bars, adjoints, tags, v):
        """Each branch backward, from the cotangents of `n` to those of what the branches use (and of the sum `v`)."""
        inner = []
        for h in n.graphs:
            g = Graph(h.name, scope.graph)
            sc = Scope(scope, {*h.params, *h.nodes}, g)
            local = Adjoints(adjoints, self.sums)
            with Builder(g):
                for path, bar in bars.items():
                    if h.result.type is not Never:
                        self.give(local, h.result, path, bar)
                self.backward(sc, h.nodes, local)
            inner.append((h, g, sc, local, inside(h)))
        touched = list(dict.fromkeys(leaf for *_, local, within in inner for leaf in local.changed(within)))
        whole = v is not None and self.active(v)
        if not touched and not whole:
            return
        residual = Sum(f"r_{n.graphs[0].name}")
        saved, variants = {}, {}
        for (h, g, sc, local, within), tag in zip(inner, tags, strict=True):
            with Builder(g):
                out = []
                for node, path in touched:
                    bar = local.get((node, path))
                    out.append(self.zero(scope, node, path) if bar is None else bar)
                if whole:
                    fields = [
                        pack(p.type, {q: b for q, _ in leaves(p.type) if (b := local.get((p, q))) is not None}, lambda q, p=p: self.zero(sc, p, q))
                        for p in h.params
                        if differentiable(p.type)
                    ]
                    out.append(make(*fields, sum=tangent(v.type), tag=tag))
                g.returns(tuple_of(*out))
            saved[h] = self.fill(sc, lambda k: g.parameter(self.key_type(k)))
            variants[tag] = tuple(p.type for p in g.params)
        graphs = [g for _, g, *_ in inner]
        plans = self.plans.setdefault(n, [])
        if v is None and not any(saved.values()):
            both = current().emit(switch, self.value(scope, n.args[0]), graphs=graphs)
            plans.append(BranchPlan(None, saved, tags))
        else:
            k = next((k for k, p in enumerate(plans) if p.saved == saved and p.residual is not None), len(plans))
            if k == len(plans):
                residual.variants = variants
                self.residuals["res", n, k] = residual
                plans.append(BranchPlan(residual, saved, tags))
            both = current().emit(case, self.value(scope, ("res", n, k)), graphs=graphs)
        for j, leaf in enumerate(touched):
            adjoints.set(leaf, get(both, index=j))
        if whole:
            self.give(adjoints, v, (), get(both, index=len(touched)))

    # ---- loops
    def walk(self, scope, site: Site, adjoints):
        """The backward pass of the straight path to a leaf."""
        for g, tail in reversed(site.steps):
            self.backward(scope, [m for m in g.nodes if m is not tail], adjoints)
            if g.params and g.parent is not None and site.case_of.get(g) is not None:
                v, tag = site.case_of[g]
                if self.active(v):
                    fields = [
                        pack(p.type, {q: b for q, _ in leaves(p.type) if (b := adjoints.pop((p, q))) is not None}, lambda q, p=p: self.zero(scope, p, q))
                        for p in g.params
                        if differentiable(p.type)
                    ]
                    adjoints.add((v, ()), make(*fields, sum=tangent(v.type), tag=tag))

    def back_loop(self, scope, n, bars, adjoints):
        (header,) = n.graphs
        rounds, exits = sites(header)
        state = [(k, p) for k, q in enumerate(header.params) for p, _ in leaves(q.type) if self.active(q, p)]
        plans = self.plans.setdefault(n, [])
        plan = LoopPlan(rounds, exits, len(plans))
        plans.append(plan)
        bars_of_state = self.exits(scope, n, plan, bars, adjoints, state)
        if rounds:
            bars_of_state = self.trips(scope, n, plan, adjoints, state, bars_of_state)
        for (k, p), bar in zip(state, bars_of_state, strict=True):
            self.give(adjoints, n.args[k], p, bar)
        plan.same = next((p for p in plans[:-1] if p.agrees(plan)), None)

    def exits(self, scope, n, plan, bars, adjoints, state):
        """From the cotangents of the result to those of the state when the loop was left."""
        (header,) = n.graphs

        def leave(sc, site, local):
            for path, bar in bars.items():
                self.give(local, site.leaf, path, bar)
            self.walk(sc, site, local)

        def state_bars(sc, local):
            out = []
            for k, p in state:
                bar = local.pop((header.params[k], p))
                out.append(self.zero(sc, header.params[k], p) if bar is None else bar)
            return out

        if len(plan.exits) == 1:
            (site,) = plan.exits
            sc = Scope(scope, site.own, scope.graph, len(scope.graph.nodes))
            leave(sc, site, adjoints)
            out = state_bars(sc, adjoints)
            keys = iter(range(10**9))

            def provide(k):
                key = "res", n, (plan.number, next(keys))
                self.residuals[key] = self.key_type(k)
                return self.value(scope, key)

            used = list(dict.fromkeys([*self.used(sc)]))
            plan.saved[site] = self.fill(sc, provide, used)
            return out
        inner, within = [], inside(header)
        for site in plan.exits:
            g = Graph("exit", scope.graph)
            sc = Scope(scope, site.own, g)
            local = Adjoints(adjoints, self.sums)
            with Builder(g):
                leave(sc, site, local)
            inner.append((site, g, sc, local))
        touched = list(dict.fromkeys(leaf for *_, local in inner for leaf in local.changed(within)))
        plan.exit_sum = Sum(f"exit_{header.name}")
        for j, (site, g, sc, local) in enumerate(inner):
            with Builder(g):
                out = [self.zero(scope, *leaf) if (b := local.get(leaf)) is None else b for leaf in touched]
                g.returns(tuple_of(*out, *state_bars(sc, local)))
            plan.saved[site] = self.fill(sc, lambda k: g.parameter(self.key_type(k)))
            plan.exit_sum.variants[f"exit{j}"] = tuple(p.type for p in g.params)
        key = "res", n, (plan.number, 0)
        self.residuals[key] = plan.exit_sum
        both = current().emit(case, self.value(scope, key), graphs=[g for _, g, *_ in inner])
        for j, leaf in enumerate(touched):
            adjoints.set(leaf, get(both, index=j))
        return [get(both, index=len(touched) + j) for j in range(len(state))]

    def trips(self, scope, n, plan, adjoints, state, bars_of_state):
        """The trips backward: pop what each saved, until the stack is empty."""
        (header,) = n.graphs
        back = Graph(f"◀{header.name}", scope.graph)
        k = back.parameter(None, "k")
        state_params = [back.parameter(b.type, f"{header.params[j].name or 'state'}_bar") for (j, _), b in zip(state, bars_of_state, strict=True)]
        accumulators = Accumulators(adjoints, self.sums, back, inside(header))
        step = Graph("trip", back)
        single = len(plan.rounds) == 1
        inner = []
        for j, site in enumerate(plan.rounds):
            g = step if single else Graph(f"trip{j}", step)
            sc = Scope(scope, site.own, g)
            local = Adjoints(accumulators, self.sums)
            with Builder(g):
                for (i, p), bar in zip(state, state_params, strict=True):
                    self.give(local, site.leaf.args[i], p, bar)
                self.walk(sc, site, local)
                out = [self.zero(sc, header.params[i], p) if (b := local.pop((header.params[i], p))) is None else b for i, p in state]
            inner.append((site, g, sc, local, out))
        leaves_in = list(accumulators.own)
        back.result_type = Tuple(tuple(p.type for p in back.params[1:]))
        popped: dict = {}

        def pop():  # emitted at the head of the trip, in front of what reads it
            if not popped:
                nodes, step.nodes = step.nodes, []
                with Builder(step):
                    both = stack_pop(k)
                    popped["rest"], popped["top"] = get(both, index=0), get(both, index=1)
                popped["nodes"], step.nodes = step.nodes, nodes
            return popped

        variants = {}
        steps = induction(plan.rounds)
        rest = Parameter(step, None, "rest")
        k.type = rest.type = Stack(Tuple(()))  # set again below, when the frame's type is known
        for j, (site, g, sc, local, out) in enumerate(inner):
            with Builder(g):
                again = current().emit(
                    recur, rest, *out, *[local.get(leaf) for leaf in leaves_in], graphs=(back,), type=back.result_type
                )
                g.returns(again)
            for p, stride in steps.items():
                i = header.params.index(p)

                def counted(i=i, stride=stride):
                    start = self.value(scope, n.args[i])
                    return add(start, mul(stack_len(rest), stride) if stride != 1 else stack_len(rest))

                sc.free[p] = counted
            if single:
                fields: list = []

                def provide(key):
                    fields.append(Parameter(step, self.key_type(key)))
                    return fields[-1]

                plan.saved[site] = self.fill(sc, provide)
                variants[f"trip{j}"] = tuple(f.type for f in fields)
            else:
                plan.saved[site] = self.fill(sc, lambda key: g.parameter(self.key_type(key)))
                variants[f"trip{j}"] = tuple(p.type for p in g.params)
        plan.frame = Tuple(variants["trip0"]) if single else Sum(f"frame_{header.name}", variants)
        k.type = Stack(plan.frame)
        filled = {}
        pop()
        if single:
            nodes, step.nodes = step.nodes, popped["nodes"]
            with Builder(step):
                filled |= {f: get(popped["top"], index=j) for j, f in enumerate(fields)}
            step.nodes += nodes
        else:
            step.nodes = popped["nodes"]
            with Builder(step):
                step.result = current().emit(case, popped["top"], graphs=[g for _, g, *_ in inner], type=back.result_type)
        step.result_type = back.result_type
        filled[rest] = popped["rest"]
        substitute(step, filled)
        done = Graph("done", back)
        with Builder(done):
            done.returns(tuple_of(*back.params[1:]))
        with Builder(back):
            back.returns(current().emit(switch, eq(stack_len(k), 0), graphs=(done, step)))
        key = "res", n, (plan.number, "stack")
        self.residuals[key] = k.type
        starts = []
        for leaf in leaves_in:
            bar = adjoints.get(leaf)
            starts.append(self.zero(scope, *leaf) if bar is None else bar)
        both = current().emit(loop, self.value(scope, key), *bars_of_state, *starts, graphs=(back,))
        for j, leaf in enumerate(leaves_in):
            adjoints.set(leaf, get(both, index=len(state) + j))
        return [get(both, index=j) for j in range(len(state))]

    # ---- calls of recursive functions
    def back_call(self, scope, n, bars, adjoints):
        (f,) = n.graphs
        wanted = tuple((k, p) for k, a in enumerate(n.args) if not isinstance(a, Constant) for p, _ in leaves(a.type) if self.active(a, p))
        if n.attrs.get("checkpoint"):
            self.back_checkpoint(scope, n, bars, adjoints, wanted)
            return
        e = self.reverse.entry(f, wanted, tuple(bars))
        accumulators, seen = [], set()
        for k, p in wanted:
            if (k, p) in e.accumulated:
                bar = None if (n.args[k], p) in seen else adjoints.get((n.args[k], p))
                accumulators.append(self.zero(scope, n.args[k], p) if bar is None else bar)
                seen.add((n.args[k], p))
        plans = self.plans.setdefault(n, [])
        number = next((k for k, p in enumerate(plans) if p.entry is e), len(plans))
        if number == len(plans):
            plans.append(CallPlan(e))
        self.residuals["res", n, number] = e.record
        env = [self.value(scope, n.args[k]) for k in e.env]
        r = self.value(scope, ("res", n, number))
        back = current().emit(call, r, *bars.values(), *accumulators, *env, graphs=(e.backward,))
        seen = set()
        for j, (k, p) in enumerate(wanted):
            leaf = n.args[k], p
            if (k, p) in e.accumulated and leaf not in seen:
                adjoints.set(leaf, get(back, index=j))
                seen.add(leaf)
            else:
                adjoints.add(leaf, get(back, index=j))

    def back_checkpoint(self, scope, n, bars, adjoints, wanted):
        """Nothing is saved but the arguments: a call that is never inlined, so that nothing of it is shared with the
        forward pass, runs f again and then goes backward.

        The cotangents so far of numbers are handed through it: its terms are added as they would be without it.
        """
        (f,) = n.graphs
        keep, accumulators = borrowed(f), {}
        for k, p in wanted:
            leaf = n.args[k], p
            t = type_at(n.args[k].type, p)
            read = isinstance(t, Array) and k in keep  # its cotangent is written in place
            known = isinstance(t, Scalar) and adjoints.get(leaf) is not None
            if (read or known) and leaf not in accumulators.values():
                accumulators[k, p] = leaf
        again = self.reverse.again(f, wanted, tuple(bars), tuple(accumulators))
        before = []
        for leaf in accumulators.values():
            bar = adjoints.get(leaf)
            before.append(self.zero(scope, *leaf) if bar is None else bar)
        args = [self.value(scope, a) for a in n.args]
        back = current().emit(call, *args, *bars.values(), *before, graphs=(again,), checkpoint="again")
        for j, (k, p) in enumerate(wanted):
            if (k, p) in accumulators:
                adjoints.set((n.args[k], p), get(back, index=j))
        for j, (k, p) in enumerate(wanted):
            if (k, p) not in accumulators:
                adjoints.add((n.args[k], p), get(back, index=j))

    # ---- rules that the user gave
    def back_custom(self, scope, n, bars, adjoints):
        c = Custom(n)
        c.check(self.active.any)
        start = self.value(scope, n) if len(bars) < len(c.floats) else None
        given = [bars[c.path(k)] if c.path(k) in bars else zeros_like(part(start, c.path(k))) for k in c.floats]
        types = c.residual_types()
        if "bwd" in c.graphs:
            self.plans.setdefault(n, [CustomPlan(c)])
            self.residuals.update({("res", n, j): t for j, t in enumerate(types)})
            saved = [self.value(scope, ("res", n, j)) for j in range(len(types))]
            out = c.pull(saved, [self.value(scope, a) for a in c.extras], given)
        else:
            out = c.transposed([self.value(scope, a) for a in n.args], given)
        for k, bar in zip(c.wrt, out, strict=True):
            self.give(adjoints, n.args[k], (), bar)

    # ---- the forward pass
    def forward(self, nodes, into: Graph, env: Clone) -> None:
        """Copy `nodes` into `into`; nodes with a plan also make their residuals."""
        for n in nodes:
            if n in self.plans:
                self.plans[n][0].forward(self, n, self.plans[n], into, env)
            else:
                env.apply(n, into)

    def saved_value(self, env: Clone, key) -> Node:
        """What the forward pass saves for a key, emitted into the current builder."""
        if not isinstance(key, Node) and key[0] == "dim":
            _, n, path, axis = key
            return dim(part(env.node(n), path), axis=axis)
        return env.nodes[key]


@dataclass(eq=False)
class BranchPlan:
    """What one backward pass over a switch or case reads of it."""

    residual: Sum | None
    saved: dict[Graph, list]
    tags: list[str]

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[BranchPlan], into: Graph, env: Clone) -> None:
        used = [p for p in plans if p.residual is not None]
        if not used and not any(m in body.plans for h in n.graphs for m in h.nodes):
            env.apply(n, into)
            return
        out, graphs = Tuple((*element_types(n.type), *(p.residual for p in used))), []
        for h, tag in zip(n.graphs, plans[0].tags, strict=True):
            g = Graph(h.name, into, h.span)
            for p in h.params:
                env.nodes[p] = g.parameter(p.type, p.name, p.span)
            with Builder(g):
                body.forward(h.nodes, g, env)
                g.result = env.node(h.result)
                if g.result.type is not Never:
                    r = [make(*[body.saved_value(env, k) for k in p.saved[h]], sum=p.residual, tag=tag) for p in used]
                    g.result = tuple_of(*elements(g.result), *r)
            g.result_type = out
            graphs.append(g)
        with Builder(into):
            both = current().emit(n.op, *map(env.node, n.args), graphs=graphs, type=out, span=n.span)
            count = bind_results(env, n, both)
            for k, p in enumerate(plans):
                if p.residual is not None:
                    env.nodes["res", n, k] = get(both, index=count)
                    count += 1


@dataclass(eq=False)
class LoopPlan:
    """What one backward pass over a loop reads of it."""

    rounds: list[Site]
    exits: list[Site]
    number: int
    saved: dict[Site, list] = field(default_factory=dict)
    exit_sum: Sum | None = None
    frame: object = None
    same: LoopPlan | None = None  # an earlier one with the same residuals

    def leaf(self, site: Site) -> list:
        """What is saved at the leaf in the place of `site` (each pass has sites of its own)."""
        return next(k for s, k in self.saved.items() if s.graph is site.graph)

    def agrees(self, other: LoopPlan) -> bool:
        if self.exit_sum or other.exit_sum or isinstance(self.frame, Sum) or self.frame != other.frame or self.same:
            return False
        return all(self.leaf(s) == keys for s, keys in other.saved.items())

    def residuals(self, body: Body) -> list:
        return [self.exit_sum] if self.exit_sum else [body.key_type(k) for s in self.exits for k in self.saved[s]]

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[LoopPlan], into: Graph, env: Clone) -> None:
        (header,) = n.graphs
        own = [p for p in plans if p.same is None]
        kind = {s.graph: (s, s in plans[0].rounds) for s in (*plans[0].rounds, *plans[0].exits)}
        out = Tuple((*element_types(n.type), *(t for p in own for t in (*p.residuals(body), *p.stacks()))))
        new = Graph(header.name, into, header.span)
        env.graphs[header] = new
        for p in header.params:
            env.nodes[p] = new.parameter(p.type, p.name, p.span)
        k = {p: [new.parameter(t, "k") for t in p.stacks()] for p in own}
        new.result_type = out

        def region(h: Graph, g: Graph) -> None:
            site, again = kind.get(h, (None, False))
            tail = None if site else h.result
            leaf = site.leaf if again else None
            with Builder(g):
                body.forward([m for m in h.nodes if m is not tail and m is not leaf], g, env)
                if again:
                    pushed = [stack_push(s, p.framed(body, site, env)) for p in own for s in k[p]]
                    args = [*map(env.node, leaf.args), *pushed]
                    g.result = current().emit(recur, *args, graphs=(new,), type=out, span=leaf.span)
                elif site:
                    saved = [x for p in own for x in (*p.left(body, site, env), *k[p])]
                    g.result = tuple_of(*elements(env.node(site.leaf)), *saved)
                elif isinstance(tail, Apply) and tail.op.name in ("switch", "case"):
                    graphs = []
                    for b in tail.graphs:
                        c = Graph(b.name, g, b.span)
                        for p in b.params:
                            env.nodes[p] = c.parameter(p.type, p.name, p.span)
                        region(b, c)
                        graphs.append(c)
                    g.result = current().emit(tail.op, *map(env.node, tail.args), graphs=graphs, type=out, span=tail.span)
                else:  # it never returns
                    g.result = env.apply(tail, g)
            g.result_type = out

        region(header, new)
        with Builder(into):
            start = [stack_new(elem=p.frame) for p in own for _ in k[p]]
            both = current().emit(loop, *map(env.node, n.args), *start, graphs=(new,), type=out, span=n.span)
            at = bind_results(env, n, both)
            for p in own:
                keys = [*range(len(p.residuals(body))), *(["stack"] if k[p] else [])]
                for key in keys:
                    for q in plans:
                        if q is p or q.same is p:
                            env.nodes["res", n, (q.number, key)] = get(both, index=at)
                    at += 1

    def stacks(self) -> list:
        return [] if self.frame is None else [Stack(self.frame)]

    def framed(self, body: Body, site: Site, env: Clone) -> Node:
        """The frame of a trip that goes round at `site`."""
        saved = [body.saved_value(env, key) for key in self.leaf(site)]
        if isinstance(self.frame, Sum):
            number = next(j for j, s in enumerate(self.rounds) if s.graph is site.graph)
            return make(*saved, sum=self.frame, tag=f"trip{number}")
        return tuple_of(*saved)

    def left(self, body: Body, site: Site, env: Clone) -> list[Node]:
        """The residual of the exit at `site`."""
        saved = [body.saved_value(env, key) for key in self.leaf(site)]
        if self.exit_sum is None:
            return saved
        number = next(j for j, s in enumerate(self.exits) if s.graph is site.graph)
        return [make(*saved, sum=self.exit_sum, tag=f"exit{number}")]


@dataclass(eq=False)
class CustomPlan:
    """The user's forward function in the place of the function itself."""

    custom: Custom

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[CustomPlan], into: Graph, env: Clone) -> None:
        with Builder(into):
            results, saved = plans[0].custom.forward([env.node(a) for a in n.args])
            env.nodes[n] = tuple_of(*results) if isinstance(n.type, Tuple) else results[0]
            env.nodes.update({("res", n, j): r for j, r in enumerate(saved)})


@dataclass(eq=False)
class CallPlan:
    """What one backward pass over a call reads of it."""

    entry: Entry

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[CallPlan], into: Graph, env: Clone) -> None:
        with Builder(into):
            for k, p in enumerate(plans):
                both = current().emit(call, *map(env.node, n.args), graphs=(p.entry.forward,), span=n.span)
                env.nodes["res", n, k] = get(both, index=bind_results(env, n, both))


class Forward(Clone):
    """Copies for a forward pass: there a check of a value's range is needed only where the value is.

    `again`: a pass that has run before, so a call in it that nobody needs may go.
    """

    def __init__(self, nodes: dict[Node, Node] | None = None, again: bool = False):
        super().__init__(nodes)
        self.again = again

    def apply(self, n: Apply, into: Graph) -> Apply:
        new = super().apply(n, into)
        if n.op is guard and n.attrs.get("range"):
            new.attrs = {**n.attrs, "range": False}
        elif self.again and n.op is call and "checkpoint" in n.attrs:
            new.attrs = {**n.attrs, "checkpoint": "again"}
        return new


# ---- helpers on graphs
def bind_results(env: Clone, n: Apply, both: Node) -> int:
    """The first results of `both` are those of `n`; how many they are."""
    count = len(element_types(n.type))
    first = [get(both, index=j) for j in range(count)]
    env.nodes[n] = tuple_of(*first) if isinstance(n.type, Tuple) else first[0]
    return count


def induction(rounds: list[Site]) -> dict[Parameter, int]:
    """{parameter: stride} of the loop's parameters that gain the same constant on each trip."""
    out = None
    for site in rounds:
        here = {}
        for p, a in zip(site.leaf.graphs[0].params, site.leaf.args, strict=True):
            if isinstance(a, Apply) and a.op.name == "add" and p.type == I64:
                x, y = a.args
                if x is p and isinstance(y, Constant):
                    here[p] = int(y.value)
                elif y is p and isinstance(x, Constant):
                    here[p] = int(x.value)
        out = here if out is None else {p: s for p, s in out.items() if here.get(p) == s}
    return out or {}


def substitute(g: Graph, filled: dict[Node, Node], start: int = 0) -> None:
    """Replace nodes in the nodes of `g` from `start` on, and in what is nested in them; and in the result."""

    def nodes(items):
        for n in items:
            if any(a in filled for a in n.args):
                n.args = tuple(filled.get(a, a) for a in n.args)
            if n.op.nests:
                for h in n.graphs:
                    nodes(h.nodes)
                    h.result = filled.get(h.result, h.result)

    nodes(g.nodes[start:])
    g.result = filled.get(g.result, g.result)


def prune(g: Graph, start: int, wanted: set[Node]) -> None:
    """Drop the nodes from `start` on that `wanted` does not need."""
    live, kept = set(wanted), []
    for n in reversed(g.nodes[start:]):
        if n in live:
            kept.append(n)
            live.update(n.args)
            if n.op.nests:
                for h in n.graphs:
                    live.update(free_variables(h))
    g.nodes[start:] = kept[::-1]
