"""The backward pass of a region, emitted with holes for the primal values that it needs, which are then filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    Sum,
    Tuple,
    current,
)
from ..ops.arrays import dim, reduce_sum
from ..ops.control import (
    call,
    case,
    get,
    make,
    raise_,
    stack_len,
    stack_new,
    stack_pop,
    stack_push,
    switch,
)
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import gt
from .activity import Activity
from .adjoints import Adjoints, Leaf, Scope, key_node
from .custom import Custom, without_rule, zeros_like
from .edits import prune, substitute
from .frame_stack import Frame, FrameStack
from .loops import Loops
from .ownership import borrowed
from .residuals import BranchPlan, CallPlan, CustomPlan
from .saving import min_cut, recomputation, written_to
from .sites import inside
from .tangent import (
    Path,
    differentiable,
    leaves,
    pack,
    part,
    tangent,
    type_at,
    unpack,
    zero,
)

if TYPE_CHECKING:
    from .functions import Entry


class Body(Loops):
    """The two passes of one primal graph; `plans` says how each node with a residual is built in the forward pass."""

    def __init__(self, reverse, primal: Graph, active: set[Leaf], entry: Entry | None = None, again=frozenset()):
        """`entry`: that of a function with passes of its own, whose backward pass has the parameters `again`."""
        self.reverse, self.sums, self.active = reverse, reverse.sums, Activity(primal, active)
        # a node on a path that several leaves of a loop share goes backward once for each, with residuals of its own
        self.plans: dict[Apply, list] = {}
        self.residuals: dict[tuple, object] = {}  # ("res", node, j) -> type
        self.circle = entry.circle if entry else frozenset()
        self.stack = (FrameStack(entry.stack), ()) if entry and entry.stack else None
        self.again = again
        self.replays: dict[Apply, Entry] = {}  # calls of which nothing is kept: the backward pass goes the same way
        self.keeps = False  # is a frame stack needed for what it calls?
        self.loops = 0  # around what is being emitted

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

    def written(self, scope: Scope) -> set:
        """The arrays that are written to here, or in what goes round or branches around here: of those a frame there
        would hold a copy."""
        out = written_to(scope.own)
        while (scope := scope.parent) is not None and scope.parent is not None:
            out |= written_to(scope.own)
        return out

    def reads_again(self, scope, used) -> list:
        """What a recomputation of `used` reads besides what is saved."""
        saved = min_cut(used, scope.own, set(scope.free), self.written(scope))
        again = recomputation(used, set(saved), scope.own, set(scope.free))
        return [a for n in again for a in n.args]

    def fill(self, scope: Scope, provide, used=None) -> list:
        """Choose what to save, bind it with `provide(key)`, compute the rest again, fill the holes; return it."""
        used = self.used(scope) if used is None else used
        free = set(scope.free)
        saved = min_cut(used, scope.own, free, self.written(scope))
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
                at_hand[n] = current().emit(
                    n.op, *[find(a) for a in n.args], type=n.type, span=n.span, name=n.name, **n.attrs
                )
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
            raise MyiaTypeError(
                f"{op.name} has no derivative",
                n.span,
                "wrap the part that needs none in a constant, or write it with other functions",
            )
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

    def back_foreign(self, scope, n, bars, adjoints):
        raise without_rule(n)

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
        inner, frames = [], self.frames_of(scope, n, v)
        for h in n.graphs:
            g = Graph(h.name, scope.graph)
            sc = Scope(scope, {*h.params, *h.nodes}, g)
            local = Adjoints(adjoints, self.sums)
            if frames is not None:
                frames[h] = Frame(self.stack[0].frames, g)
                local.set(self.stack, frames[h].rest)
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
        for (h, g, sc, local, _), tag in zip(inner, tags, strict=True):
            with Builder(g):
                out = []
                for node, path in touched:
                    bar = local.get((node, path))
                    out.append(self.zero(scope, node, path) if bar is None else bar)
                if whole:
                    fields = [
                        pack(
                            p.type,
                            {q: b for q, _ in leaves(p.type) if (b := local.get((p, q))) is not None},
                            lambda q, p=p, sc=sc: self.zero(sc, p, q),
                        )
                        for p in h.params
                        if differentiable(p.type)
                    ]
                    out.append(make(*fields, sum=tangent(v.type), tag=tag))
                g.returns(tuple_of(*out))
            if frames is not None:
                saved[h] = self.fill(sc, lambda k, frame=frames[h]: frame.field(self.key_type(k)))
                frames[h].close()
                continue
            saved[h] = self.fill(sc, lambda k, g=g: g.parameter(self.key_type(k)))
            variants[tag] = tuple(p.type for p in g.params)
        graphs = [g for _, g, *_ in inner]
        plans = self.plans.setdefault(n, [])
        if frames is not None or v is None and not any(saved.values()):
            if frames is not None:
                stack = adjoints.get(self.stack)
                self.reverse.last += [lambda f=f: f.pop(stack) for f in frames.values()]
            both = current().emit(switch, self.value(scope, n.args[0]), graphs=graphs)
            plans.append(BranchPlan(None, saved, tags, frames or {}))
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

    def frames_of(self, scope, n, v) -> dict[Graph, Frame] | None:
        """Where the branches of a switch may have frames of their own: a place for these."""
        if v is not None or self.stack is None or self.loops:
            return None
        own = set(self.again)
        while scope is not None:
            own |= scope.own
            scope = scope.parent
        saved = min_cut([n.args[0]], own, self.again, written_to(own))
        return None if saved else {}

    # ---- calls of recursive functions
    def back_call(self, scope, n, bars, adjoints):
        (f,) = n.graphs
        wanted = tuple(
            (k, p)
            for k, a in enumerate(n.args)
            if not isinstance(a, Constant)
            for p, _ in leaves(a.type)
            if self.active(a, p)
        )
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
        env = [self.value(scope, n.args[k]) for k in e.env]
        kept, on_stack = self.kept(scope, n, e, adjoints)
        back = current().emit(call, *kept, *bars.values(), *accumulators, *env, graphs=(e.backward,))
        seen = set()
        for j, (k, p) in enumerate(wanted):
            leaf = n.args[k], p
            if (k, p) in e.accumulated and leaf not in seen:
                adjoints.set(leaf, get(back, index=j))
                seen.add(leaf)
            else:
                adjoints.add(leaf, get(back, index=j))
        if on_stack:
            adjoints.set(self.stack, get(back, index=len(wanted)))

    def kept(self, scope, n, e: Entry, adjoints) -> tuple[list[Node], bool]:
        """What the forward pass of a call has kept for its backward pass, and whether on this function's frame stack.

        In a loop it is not: a node on a path that several leaves share may go backward for some of them only.
        """
        self.keeps |= e.stack is not None and e.circle == self.circle
        if e.kept is None:
            self.replays[n] = e
            return [], False
        on_stack = e.circle == self.circle and self.stack is not None and not self.loops
        plans = self.plans.setdefault(n, [])
        number = next((k for k, p in enumerate(plans) if p.entry is e), len(plans))
        if number == len(plans):
            plans.append(CallPlan(e, on_stack))
        if on_stack:
            return [adjoints.get(self.stack)], True
        self.residuals["res", n, number] = e.kept
        return [self.value(scope, ("res", n, number))], False

    def has_plans(self, g: Graph) -> bool:
        return any(n in self.plans or n in self.replays for n in g.nodes)

    def on_stack(self, g: Graph) -> bool:
        """Does the forward pass of `g` push on the frame stack of the function?"""
        return any(p.on_stack for h in g.nested() for n in h.nodes for p in self.plans.get(n, ()))

    def back_checkpoint(self, scope, n, bars, adjoints, wanted):
        """Nothing is saved but the arguments: a call that is never inlined, so that nothing of it is shared with the
        forward pass, runs f again and then goes backward.

        The cotangents so far of numbers and arrays are handed through it: its terms are added as they would be without.
        """
        (f,) = n.graphs
        keep, accumulators = borrowed(f), {}
        for k, p in wanted:
            leaf = n.args[k], p
            t = type_at(n.args[k].type, p)
            read = isinstance(t, Array) and k in keep  # its cotangent is written in place
            known = isinstance(t, (Scalar, Array)) and adjoints.get(leaf) is not None
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
        if (error := c.refusal(self.active.any)) is not None:
            raise error
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
                copy = env.apply(n, into)
                if n in self.replays:
                    self.reverse.replays.append((copy, self.replays[n]))

    def saved_value(self, env: Clone, key) -> Node:
        """What the forward pass saves for a key, emitted into the current builder."""
        if not isinstance(key, Node) and key[0] == "dim":
            _, n, path, axis = key
            return dim(part(env.node(n), path), axis=axis)
        return env.nodes[key]
