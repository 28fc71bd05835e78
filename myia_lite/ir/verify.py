"""The grammar of the typed IR as code."""

from __future__ import annotations

from .nodes import Apply, Constant, Graph, Parameter, reachable
from .types import Never, Scalar, Tuple, compatible


class VerifyError(AssertionError):
    """A graph breaks a rule of the IR: a defect of the pass that made it, never of the user's program."""


def verify(entry: Graph) -> Graph:
    """Check `entry` and all it reaches; returns it.

    Every node is defined once, before its uses, in a graph that encloses them; every type is what the primitive's rule
    gives; `recur` stands in tail position inside its loop; `raise` ends its graph; closed graphs use nothing from
    outside.
    """
    for g in reachable(entry):
        if g.parent is not None:
            raise VerifyError(f"@{g.name} is called but has a parent")
        _graph(g, set(), {}, True)
    return entry


def _graph(g: Graph, scope: set, loops: dict, tail: bool) -> None:
    """`loops`: the loops whose `recur` may stand in tail position here."""

    def fail(message, n=None):
        from .printer import show

        top = g
        while top.parent is not None:
            top = top.parent
        where = f" (node {n.op.name}{f' %{n.name}' if n.name else ''})" if isinstance(n, Apply) else ""
        raise VerifyError(f"in @{g.name}{where}: {message}\n{show(top)}")

    scope = scope | set(g.params)
    for p in g.params:
        if p.graph is not g or p.type is None:
            fail(f"parameter {p.name} has no type or another graph")
    for k, n in enumerate(g.nodes):
        last = k == len(g.nodes) - 1 and g.result is n
        for a in n.args:
            if not (isinstance(a, Constant) or a in scope):
                fail(f"an argument is not defined before (or belongs elsewhere): {a.name or a}", n)
            if a.type is None:
                fail("an argument has no type", n)
        if n in scope:
            fail("defined twice", n)
        if n.op.name == "recur":
            if not last or n.graphs[0] not in loops:
                fail("recur is not in tail position of its loop", n)
        elif n.op.name == "raise" and not last:
            fail("raise does not end its graph", n)
        inner = dict(loops) if last else {}
        for h in n.graphs if n.op.nests else ():
            if h.parent is not g:
                fail(f"@{h.name} is nested here but has another parent", n)
            # a loop's exits return the loop's own result: an outer loop's recur may not stand inside it
            _graph(h, scope, {h: True} if n.op.name == "loop" else inner, last)
        try:
            t = n.op.type_rule([a.type for a in n.args], n.attrs, n.graphs)
        except TypeError as e:
            fail(str(e), n)
        if n.type is None or t is not None and not compatible(t, n.type):
            fail(f"has type {n.type} where the rule gives {t}", n)
        if n.type is Never and not last:
            fail("a node of type never does not end its graph", n)
        scope.add(n)
    r = g.result
    if r is None or not (isinstance(r, Constant) or r in scope):
        fail("the result is missing or not in scope")
    if isinstance(r, Parameter) and r not in scope:
        fail("the result is a parameter from elsewhere")
    if g.result_type is None or not compatible(r.type, g.result_type):
        fail(f"returns {r.type} where {g.result_type} is declared")
    typed = not isinstance(r, Constant) or isinstance(r.type, Scalar) or hasattr(r.value, "dtype")
    if not typed and r.type != Tuple(()):
        fail("a constant result without a type")
