"""The backward pass of a loop: from the cotangents of its result through its exit, then trip by trip."""

from __future__ import annotations

from ..ir import (
    Builder,
    Graph,
    Parameter,
    Stack,
    Sum,
    Tuple,
    current,
)
from ..ops.control import (
    case,
    get,
    loop,
    make,
    recur,
    stack_len,
    stack_pop,
    switch,
)
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, eq, mul
from .adjoints import Accumulators, Adjoints, Scope
from .edits import substitute
from .residuals import LoopPlan
from .sites import Site, induction, inside, sites
from .tangent import (
    differentiable,
    leaves,
    pack,
    tangent,
)


class Loops:
    """The backward pass of loops: a part of `Body`."""

    def walk(self, scope, site: Site, adjoints):
        """The backward pass of the straight path to a leaf."""
        for g, tail in reversed(site.steps):
            self.backward(scope, [m for m in g.nodes if m is not tail], adjoints)
            if g.params and g.parent is not None and site.case_of.get(g) is not None:
                v, tag = site.case_of[g]
                if self.active(v):
                    fields = [
                        pack(
                            p.type,
                            {q: b for q, _ in leaves(p.type) if (b := adjoints.pop((p, q))) is not None},
                            lambda q, p=p: self.zero(scope, p, q),
                        )
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
        self.loops += 1
        bars_of_state = self.exits(scope, n, plan, bars, adjoints, state)
        if rounds:
            bars_of_state = self.trips(scope, n, plan, adjoints, state, bars_of_state)
        self.loops -= 1
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
            plan.saved[site] = self.fill(sc, lambda k, g=g: g.parameter(self.key_type(k)))
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
        state_params = [
            back.parameter(b.type, f"{header.params[j].name or 'state'}_bar")
            for (j, _), b in zip(state, bars_of_state, strict=True)
        ]
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
                out = [
                    self.zero(sc, header.params[i], p) if (b := local.pop((header.params[i], p))) is None else b
                    for i, p in state
                ]
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

                def provide(key, fields=fields):
                    fields.append(Parameter(step, self.key_type(key)))
                    return fields[-1]

                plan.saved[site] = self.fill(sc, provide)
                variants[f"trip{j}"] = tuple(f.type for f in fields)
            else:
                plan.saved[site] = self.fill(sc, lambda key, g=g: g.parameter(self.key_type(key)))
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
                step.result = current().emit(
                    case, popped["top"], graphs=[g for _, g, *_ in inner], type=back.result_type
                )
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
