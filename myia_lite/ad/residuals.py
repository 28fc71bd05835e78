"""How each node with a residual is built in the forward pass, and what the residual holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..ir import (
    Apply,
    Builder,
    Clone,
    Graph,
    Never,
    Node,
    Stack,
    Sum,
    Tuple,
    current,
    element_types,
)
from ..ops.control import (
    call,
    get,
    guard,
    loop,
    make,
    recur,
    stack_new,
    stack_push,
)
from ..ops.control import tuple_ as tuple_of
from .custom import Custom
from .sites import Site
from .tangent import (
    elements,
)

if TYPE_CHECKING:
    from .backward import Body
    from .frame_stack import Frame
    from .functions import Entry


@dataclass(eq=False)
class BranchPlan:
    """What one backward pass over a switch or case reads of it."""

    residual: Sum | None
    saved: dict[Graph, list]
    tags: list[str]
    frames: dict[Graph, Frame] = field(default_factory=dict)  # of branches that push on the frame stack themselves

    @property
    def on_stack(self) -> bool:
        return any(f.fields for f in self.frames.values())

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[BranchPlan], into: Graph, env: Clone) -> None:
        used = [p for p in plans if p.residual is not None]
        (frames,) = [p.frames for p in plans if p.on_stack] or [{}]
        if not used and not frames and not any(map(body.has_plans, n.graphs)):
            env.apply(n, into)
            return
        stack = env.stack if frames or any(map(body.on_stack, n.graphs)) else None
        types = [*element_types(n.type), *(p.residual for p in used), *([] if stack is None else [stack.type])]
        out, graphs = Tuple(tuple(types)), []
        for h, tag in zip(n.graphs, plans[0].tags, strict=True):
            g = Graph(h.name, into, h.span)
            for p in h.params:
                env.nodes[p] = g.parameter(p.type, p.name, p.span)
            with Builder(g):
                if stack is not None:
                    env.stack = stack
                body.forward(h.nodes, g, env)
                g.result = env.node(h.result)
                if g.result.type is not Never:
                    if h in frames:
                        saved = [body.saved_value(env, k) for k in plans[0].saved[h]]
                        env.stack = frames[h].push(env.stack, saved)
                    r = [make(*[body.saved_value(env, k) for k in p.saved[h]], sum=p.residual, tag=tag) for p in used]
                    g.result = tuple_of(*elements(g.result), *r, *([] if stack is None else [env.stack]))
            g.result_type = out
            graphs.append(g)
        with Builder(into):
            both = current().emit(n.op, *map(env.node, n.args), graphs=graphs, type=out, span=n.span)
            count = bind_results(env, n, both)
            for k, p in enumerate(plans):
                if p.residual is not None:
                    env.nodes["res", n, k] = get(both, index=count)
                    count += 1
            if stack is not None:
                env.stack = get(both, index=count)


@dataclass(eq=False)
class LoopPlan:
    """What one backward pass over a loop reads of it."""

    on_stack = False
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
                    g.result = current().emit(
                        tail.op, *map(env.node, tail.args), graphs=graphs, type=out, span=tail.span
                    )
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

    on_stack = False
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
    on_stack: bool  # is it the frame stack of the function that calls?

    @staticmethod
    def forward(body: Body, n: Apply, plans: list[CallPlan], into: Graph, env: Forward) -> None:
        with Builder(into):
            for k, p in enumerate(plans):
                args, e = [*map(env.node, n.args)], p.entry
                if e.stack is not None:
                    args.append(env.stack if p.on_stack else stack_new(elem=e.stack))
                both = current().emit(call, *args, graphs=(e.forward,), span=n.span)
                kept = get(both, index=bind_results(env, n, both))
                if p.on_stack:
                    env.stack = kept
                else:
                    env.nodes["res", n, k] = kept


class Forward(Clone):
    """Copies for a forward pass: there a check of a value's range is needed only where the value is.

    `again`: a pass that has run before, so a call in it that nobody needs may go.  `stack`: of the recursive function
    that is copied, with what has been pushed so far.
    """

    def __init__(self, nodes: dict[Node, Node] | None = None, again: bool = False, stack: Node | None = None):
        super().__init__(nodes)
        self.again, self.stack = again, stack

    def apply(self, n: Apply, into: Graph) -> Apply:
        new = super().apply(n, into)
        if n.op is guard and n.attrs.get("range"):
            new.attrs = {**n.attrs, "range": False}
        elif self.again and n.op is call and "checkpoint" in n.attrs:
            new.attrs = {**n.attrs, "checkpoint": "again"}
        return new


def bind_results(env: Clone, n: Apply, both: Node) -> int:
    """The first results of `both` are those of `n`; how many they are."""
    count = len(element_types(n.type))
    first = [get(both, index=j) for j in range(count)]
    env.nodes[n] = tuple_of(*first) if isinstance(n.type, Tuple) else first[0]
    return count
