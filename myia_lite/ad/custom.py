"""Derivatives that the user gave: what a `custom` node contributes in each mode.

A rule is linear in the tangents (or cotangents) that it takes, as every derivative is: so one for the other mode is its
transpose, which reverse mode makes.  Whether a rule is so is read off its graph first.
"""

from __future__ import annotations

from ..ir import Apply, Array, Constant, Graph, MyiaTypeError, Never, Node, Tuple, current, is_float
from ..ops.arrays import filled
from ..ops.control import call, custom, get, grad
from .tangent import Path, element_types, elements

ZERO, FIXED, LINEAR, OTHER = range(4)  # of a value: zero; no function of the inputs; linear in them; anything else
ADDITIVE = frozenset({"add", "sub", "neg"})
CARRIERS = frozenset({"tuple", "get", "switch", "case", "loop", "recur", "call"})


class Custom:
    """A `custom` node taken apart: `rule(name)` is a graph, or None."""

    def __init__(self, n: Apply):
        self.node, self.name = n, n.attrs["of"]
        self.wrt, count = n.attrs["wrt"], n.attrs["count"]
        self.own, self.extras = n.args[:count], n.args[count:]
        self.graphs = dict(zip(n.attrs["rules"], n.graphs[1:], strict=True))
        self.results = element_types(n.graphs[0].result_type)
        self.floats = [k for k, r in enumerate(self.results) if is_float(r)]

    def path(self, k: int) -> Path:
        """Where result number k is in the node's value."""
        return (k,) if isinstance(self.node.type, Tuple) else ()

    def refusal(self, active) -> MyiaTypeError | None:
        """The error where no rule covers a derivative: in what the function captures, or a function among its
        arguments does.

        What only the rules capture is no matter of this order: they are differentiated where a higher one is asked for.
        """
        names = self.node.attrs["captures"]
        for k, a in enumerate(self.node.args):
            if k in self.wrt or not active(a) or not used(self.node.graphs[0].params[k], self.node.graphs[0]):
                continue
            name = names[k - len(self.own)] if len(self.own) <= k < len(self.own) + len(names) else None
            if k < len(self.own):
                what, remedy = "a function among its arguments captures what", "pass that as an argument of its own"
            else:
                what = f"{name}, which it captures," if name else "what it captures"
                remedy = f"pass {name or 'it'} as an argument, or capture stop_gradient({name or '…'})"
            return MyiaTypeError(
                f"{self.name} has a rule of its own, and {what} is differentiated too", self.node.span, remedy
            )
        return None

    # ---- forward mode
    def push(self, args: list[Node], dots: list[Node]) -> tuple[list[Node], list[Node]]:
        """(results, tangents of the float ones), from the arguments and the tangents of those in `wrt`."""
        own, extras = args[: len(self.own)], args[len(self.own) :]
        count = len(self.results)
        if "jvp" in self.graphs:
            both = current().emit(call, *own, *dots, *extras, graphs=(self.graphs["jvp"],))
            outs = [get(both, index=k) for k in range(count + len(self.floats))]
            return outs[:count], outs[count:]
        results, saved = self.forward(args)
        bwd = self.graphs["bwd"]
        start = len(saved)
        bars = [zeros_like(results[k]) for k in self.floats]
        self.linear(bwd, range(start, start + len(bars)), "forward")
        both = current().emit(
            grad,
            *saved,
            *bars,
            *extras,
            *dots,
            graphs=(bwd,),
            wrt=tuple(range(start, start + len(bars))),
            seeds=tuple(range(len(self.wrt))),
        )
        first = len(self.wrt)
        return results, [get(both, index=first + k) for k in range(len(bars))]

    # ---- reverse mode
    def forward(self, args: list[Node]) -> tuple[list[Node], list[Node]]:
        """(results, residuals) of the user's forward function."""
        both = current().emit(call, *args, graphs=(self.graphs["fwd"],))
        count = len(self.results)
        outs = elements(both)
        return outs[:count], outs[count:]

    def residual_types(self) -> tuple:
        """The types of what the forward function saves; none where a rule for forward mode serves."""
        return element_types(self.graphs["fwd"].result_type)[len(self.results) :] if "bwd" in self.graphs else ()

    def pull(self, saved: list[Node], extras: list[Node], bars: list[Node]) -> list[Node]:
        """The cotangents of the arguments in `wrt`, by the user's backward function."""
        both = current().emit(call, *saved, *bars, *extras, graphs=(self.graphs["bwd"],))
        return elements(both)

    def transposed(self, args: list[Node], bars: list[Node]) -> list[Node]:
        """The same, by the transpose of the rule for forward mode."""
        own, extras = args[: len(self.own)], args[len(self.own) :]
        rule, start, first = self.graphs["jvp"], len(own), len(self.results)
        places = range(start, start + len(self.wrt))
        self.linear(rule, places, "reverse")
        both = current().emit(
            grad,
            *own,
            *[zeros_like(own[k]) for k in self.wrt],
            *extras,
            *bars,
            graphs=(rule,),
            wrt=tuple(places),
            seeds=tuple(range(first, first + len(self.floats))),
        )
        count = len(both.type.elems) - len(self.wrt)
        return [get(both, index=count + k) for k in range(len(self.wrt))]

    def check_linear(self) -> None:
        """Refuse to linearise by a rule for forward mode that is not linear in its tangents."""
        if "jvp" in self.graphs:
            start = len(self.own)
            self.linear(self.graphs["jvp"], range(start, start + len(self.wrt)), "linearised")

    def linear(self, rule: Graph, places, mode: str) -> None:
        """Refuse to transpose what is not linear in its parameters `places`."""
        first = 0 if mode == "forward" else len(self.results)
        culprit = Linearity().result(rule, {rule.params[k] for k in places}, first)
        if culprit is not None:
            raise MyiaTypeError(
                f"{mode} mode of {self.name} cannot be derived: its rule is not linear in its tangents",
                culprit.span or self.node.span,
                "give the other rule too",
            )


def used(p: Node, g: Graph) -> bool:
    """Does anything in the graph use this parameter?"""
    return any(h.result is p or any(p in n.args for n in h.nodes) for h in g.nested())


def without_rule(n: Apply) -> MyiaTypeError:
    """What to say where a `foreign` node is to be differentiated."""
    name = n.attrs["function"].__name__
    return MyiaTypeError(
        f"{name} is a foreign function without a rule, and is differentiated",
        n.span,
        f"give it one, {name}.defjvp or {name}.defvjp, or pass it stop_gradient(x)",
    )


def zeros_like(x: Node) -> Node:
    return filled(0.0, x) if isinstance(x.type, Array) else Constant(0.0, x.type)


class Linearity:
    """What each value of a graph is as a function of some of its parameters; a tuple by its parts."""

    def __init__(self):
        self.of: dict[Node, object] = {}
        self.culprit: dict[Node, Node] = {}  # a value that is not linear -> where it ceased to be
        self.calls: dict[tuple, object] = {}
        self.changed = False

    def result(self, g: Graph, inputs: set[Node], first: int) -> Node | None:
        """None if all results from number `first` on are linear, else the node that is not."""
        while True:
            self.changed = False
            for p in g.params:
                self.of[p] = LINEAR if p in inputs else FIXED
            self.graph(g)
            if not self.changed:
                break
        parts = self.value(g.result)
        parts = parts[first:] if isinstance(parts, tuple) else (parts,)
        if all(one(p) in (ZERO, LINEAR) for p in parts):
            return None
        return next(iter(self.culprit.values()), g.result)

    def value(self, n: Node):
        if isinstance(n, Constant):
            number = n.value if not hasattr(n.value, "any") else n.value.any()
            return ZERO if is_float(n.type) and number == 0 else FIXED
        return self.of.get(n, ZERO)

    def note(self, n: Node, kind) -> None:
        kind = joined(self.of[n], kind) if n in self.of else kind
        if self.of.get(n) != kind:
            self.of[n] = kind
            self.changed = True

    def graph(self, g: Graph) -> None:
        for n in g.nodes:
            kind = self.node(n)
            if n.op.name not in CARRIERS and one(kind) == OTHER and all(one(self.value(a)) != OTHER for a in n.args):
                self.culprit.setdefault(n, n)
            self.note(n, kind)

    def node(self, n: Apply):
        kinds = [self.value(a) for a in n.args]
        op = n.op.name
        if op == "tuple":
            return tuple(kinds)
        if op == "get":
            return kinds[0][n.attrs["index"]] if isinstance(kinds[0], tuple) else kinds[0]
        if op in ("switch", "case", "loop", "recur", "call"):
            return self.control(n, kinds)
        flat = [one(k) for k in kinds]
        if all(k in (ZERO, FIXED) for k in flat):
            return self.zero_or_fixed(n, flat)
        if n.op.zero_derivative is not None:
            return FIXED if all(k in (ZERO, FIXED) for k in flat) or op == "dim" else OTHER
        if OTHER in flat:
            return OTHER
        if op in ADDITIVE:
            return LINEAR if FIXED not in flat else OTHER
        if op in ("mul", "matmul"):
            return ZERO if ZERO in flat else LINEAR if flat.count(LINEAR) == 1 else OTHER
        if op == "div":
            return LINEAR if flat[1] in (FIXED, ZERO) else OTHER
        if op == "recurrence":
            return LINEAR if flat[0] != LINEAR and flat[1] != FIXED else OTHER
        if op == "select":
            return LINEAR if flat[0] == FIXED and FIXED not in flat[1:] else OTHER
        if op == "cast":
            return LINEAR if is_float(n.type) else OTHER
        if op in ("make", "stack_push", "stack_pop"):
            return LINEAR if FIXED not in flat else OTHER
        if n.op.linear is not None:
            of_values = [k for j, k in enumerate(flat) if n.op.is_linear_in(j)]
            others = [k for j, k in enumerate(flat) if not n.op.is_linear_in(j)]
            return LINEAR if FIXED not in of_values and LINEAR not in others else OTHER
        return OTHER

    def zero_or_fixed(self, n: Apply, flat):
        """A zero stays one through what is linear."""
        values = flat if n.op.linear is None else flat[:1]
        linear = n.op.name in ("add", "sub", "neg", "broadcast", "reshape", "transpose", "cast")
        return ZERO if linear and values and all(k == ZERO for k in values) else FIXED

    def control(self, n: Apply, kinds):
        op = n.op.name
        if op == "recur":
            for p, k in zip(n.graphs[0].params, kinds, strict=True):
                self.note(p, k)
            return ZERO
        if op == "call":
            (g,) = n.graphs
            key = g, tuple(kinds)
            if key not in self.calls:
                self.calls[key] = ZERO
                inner = Linearity()
                inner.calls = self.calls
                while True:
                    inner.changed = False
                    inner.of.update(zip(g.params, kinds, strict=True))
                    inner.graph(g)
                    self.calls[key] = inner.value(g.result)
                    if not inner.changed:
                        break
                self.culprit.update(inner.culprit)
            return self.calls[key]
        if op == "loop":
            for p, k in zip(n.graphs[0].params, kinds, strict=True):
                self.note(p, k)
        elif one(kinds[0]) not in (ZERO, FIXED):
            return OTHER
        elif op == "case":
            for h in n.graphs:
                for p in h.params:
                    self.note(p, FIXED)
        out = None
        for h in n.graphs:
            self.graph(h)
            if h.result.type is Never or isinstance(h.result, Apply) and h.result.op.name == "recur":
                continue
            kind = self.value(h.result)
            out = kind if out is None else joined(out, kind)
        return ZERO if out is None else out


def one(kind) -> int:
    """The kind of a whole value: of a tuple with parts of several kinds, `OTHER`."""
    if not isinstance(kind, tuple):
        return kind
    out = ZERO
    for k in kind:
        out = joined(out, one(k))
    return out


def joined(a, b):
    """The kind of a value that is one of two."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return tuple(map(joined, a, b))
    if isinstance(a, tuple) or isinstance(b, tuple):
        whole, parts = (b, a) if isinstance(a, tuple) else (a, b)
        return tuple(joined(whole, p) for p in parts)
    if a == b or b == ZERO:
        return a
    return b if a == ZERO else OTHER


def settle(n: Apply) -> None:
    """Nobody differentiates a `custom` node any more: it is a call of its function."""
    if n.op is custom:
        graph = n.graphs[0]
        n.op, n.attrs, n.graphs = call, {}, (graph,)
