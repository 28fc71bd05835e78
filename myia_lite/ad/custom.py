"""Derivatives that the user gave: what a `custom` node contributes in each mode.

A rule is linear in the tangents (or cotangents) that it takes, as every derivative is: so one for the other mode is its
transpose, which reverse mode makes.  Whether a rule is so is read off its graph first.
"""

from __future__ import annotations

from ..ir import Apply, Array, Constant, Graph, MyiaTypeError, Node, Tuple, current, element_types, is_float
from ..ops.arrays import filled
from ..ops.control import call, custom, get, grad
from .linearity import Linearity
from .tangent import Path, elements


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


def settle(n: Apply) -> None:
    """Nobody differentiates a `custom` node any more: it is a call of its function."""
    if n.op is custom:
        graph = n.graphs[0]
        n.op, n.attrs, n.graphs = call, {}, (graph,)
