"""Forward mode as rewriting: dual numbers, and the derivative of each primitive as a rule about tangents.

    jvp @f(x, x_dot)       == (y, tangent(y)), where y = f(dual(x, x_dot))
    tangent(dual(x, d))    == d
    tangent(sin(x))        == tangent(x) * cos(x), and so for every primitive, from its declaration
    loop(x) { f }          == loop(x, tangent(x)) { f on duals }, under jvp; branches likewise
    dual(x, d)             == x, in the end

The compiler's own forward mode is a transform; this set is the same thing said in the optimiser's language, so that
what remains is the optimiser's business.
"""

from __future__ import annotations

from ...ir import Apply, Constant, Graph, MyiaTypeError, Never, Node, Primitive, Tuple, current, element_types, is_float
from ...ops import PRIMITIVES
from ...ops.control import get, jvp, loop, recur, switch
from ...ops.control import tuple_ as tuple_of
from ...ops.elementwise import add
from ..rule import ControlRule, Rule
from ..terms import made_by, structural_zero, zeros
from ..walk import BRANCH, LOOP, goes_round

dual = Primitive("dual", lambda types, attrs, graphs: types[0], "dual(x, x_dot): x, whose tangent is known")
tangent = Primitive("tangent", lambda types, attrs, graphs: types[0], "tangent(x): the derivative of x along the seeds")


def parts(n: Node) -> list[Node]:
    if not isinstance(n.type, Tuple):
        return [n]
    return [get(n, index=k) for k in range(len(n.type.elems))]


def with_tangents(n: Node) -> Node:
    """The tuple of a value's parts, and of the tangents of those that are of floats."""
    xs = parts(n)
    return tuple_of(*xs, *[tangent(x) for x in xs if is_float(x.type)])


def wide(t):
    ts = element_types(t)
    return Tuple((*ts, *filter(is_float, ts)))


def narrow(n: Node, t) -> Node:
    """The value of type `t` whose parts and tangents `n` is the tuple of."""
    ts = element_types(t)
    dots = iter(range(len(ts), len(n.type.elems)))
    out = [
        dual(get(n, index=k), get(n, index=next(dots))) if is_float(x) else get(n, index=k) for k, x in enumerate(ts)
    ]
    return tuple_of(*out) if isinstance(t, Tuple) else out[0]


# ---- graphs ----------------------------------------------------------------------------------------------------------
def _jvp(walk, n, args):
    (g,) = n.graphs
    wrt = n.attrs["wrt"]
    xs, dots = list(args[: len(args) - len(wrt)]), args[len(args) - len(wrt) :]
    given = dict(zip(wrt, dots, strict=True))
    for k, x in enumerate(xs):
        if is_float(x.type):
            xs[k] = dual(x, given[k] if k in given else zeros(x))
    walk.duals += 1
    y = walk.splice(g, xs)
    r = with_tangents(y) if y.type is not Never else y
    walk.duals -= 1
    return r


def _call(walk, n, args):
    return walk.splice(n.graphs[0], args) if walk.duals and walk.inline(n.graphs[0]) else None


def _loop(walk, n, args):
    if not walk.duals:
        return None
    (header,) = n.graphs
    new = Graph(header.name, walk.graph, header.span)
    new.result_type = wide(header.result_type)
    ps = [new.parameter(p.type, p.name, p.span) for p in header.params]
    floats = [k for k, p in enumerate(ps) if is_float(p.type)]
    dots = [new.parameter(ps[k].type, f"{ps[k].name or 'x'}_dot") for k in floats]
    walk.graphs[header] = new
    start = [tangent(args[k]) for k in floats]

    def body():
        for p, q in zip(header.params, ps, strict=True):
            walk.nodes[p] = q
        for k, d in zip(floats, dots, strict=True):
            walk.nodes[header.params[k]] = dual(ps[k], d)
        walk.recurs[header] = floats
        return _ended(walk.body(header))

    walk.within(new, LOOP, body)
    y = walk.append(loop, [*args, *start], {}, (new,), new.result_type, n.span, n.name)
    return narrow(y, n.type)


def _ended(r: Node) -> Node:
    """The end of a graph of duals: a tail that goes on is as it is, another returns its tangents too."""
    ends = r.type is Never or isinstance(r, Apply) and (r.op is recur or r.op is switch and r in current().tails)
    return r if ends else with_tangents(r)


def _recur(walk, n, args):
    (header,) = n.graphs
    if header not in walk.recurs:
        return None
    new = walk.graphs[header]
    dots = [tangent(args[k]) for k in walk.recurs[header]]
    r = walk.append(recur, [*args, *dots], {}, (new,), new.result_type, n.span, n.name)
    walk.tails.add(r)
    return r


def _switch(walk, n, args):
    if not walk.duals or isinstance(args[0], Constant):
        return None
    tail = any(map(goes_round, n.graphs))
    graphs = []
    for h in n.graphs:
        new = Graph(h.name, walk.graph, h.span)
        new.result_type = wide(h.result_type) if h.result_type is not Never else Never
        graphs.append(walk.within(new, BRANCH, lambda h=h: _ended(walk.body(h))))
    y = walk.append(switch, args, {}, graphs, wide(n.type), n.span, n.name)
    if tail:
        walk.tails.add(y)
        return y
    return narrow(y, n.type)


# ---- terms -----------------------------------------------------------------------------------------------------------
def shares(x: Apply, dots):
    """The tangent of `x`, by the declaration of its primitive; `dots` holds None for what has none."""
    op = x.op
    if op.derivative is not None:
        total = None
        for k, d in enumerate(dots):
            # one expression, linear in d: the cotangent of an argument, and its share of the tangent
            share = None if d is None else op.derivative(d, x, *x.args, **x.attrs)[k]
            total = share if total is None else total if share is None else add(total, share)
        return total
    if op.linear:
        first = [k for k in op.linear if k is not ...]
        joint = {*first, *(range(first[-1], len(x.args)) if op.linear[-1] is ... else ())}
        full = [zeros(a) if d is None and k in joint else d for k, (a, d) in enumerate(zip(x.args, dots, strict=True))]
        return current().emit(op, *[full[k] if k in joint else a for k, a in enumerate(x.args)], **x.attrs)
    return op.jvp(dots, x, *x.args, **x.attrs)


def _of(op: Primitive):
    """tangent(op(x)), once for each x."""

    def function(args, attrs, _):
        (x,) = args
        if not isinstance(x, Apply) or x.op is not op:
            return None
        known = current().tangents
        if x not in known:
            dots = [tangent(a) if is_float(a.type) else None for a in x.args]
            dots = [None if d is None or structural_zero(d) else d for d in dots]
            d = shares(x, dots) if any(d is not None for d in dots) else None
            known[x] = zeros(x) if d is None else d
        return known[x]

    return Rule(f"tangent({op.name}(x)) == its derivative, times tangent(x)", tangent, function)


def _no_seed(args, attrs, op):
    (x,) = args
    constant = isinstance(x, Constant) or isinstance(x, Apply) and x.op.zero_derivative
    return zeros(x) if constant else None


def _undefined(args, attrs, op):
    (x,) = args
    what = x.op.name if isinstance(x, Apply) else f"parameter {x.name}"
    raise MyiaTypeError(f"no rule says what the tangent of {what} is", x.span, "differentiate by ad instead")


PER_PRIMITIVE = [_of(p) for p in PRIMITIVES.values() if p.derivative or p.linear or p.jvp]
DUALS = [
    ControlRule("jvp @f(x, d) == (y, tangent(y)), y = f(dual(x, d))", jvp, _jvp),
    ControlRule("call @f(dual(x, d)) == the body of f", PRIMITIVES["call"], _call),
    ControlRule("loop(x) { f } == loop(x, tangent(x)) { f on duals }, under jvp", loop, _loop),
    ControlRule("recur(x) == recur(x, tangent(x)), under jvp", recur, _recur),
    ControlRule("switch(c) { a } { b } == switch(c) { a, tangent(a) } { b, tangent(b) }, under jvp", switch, _switch),
    Rule(
        "tangent(dual(x, d)) == d",
        tangent,
        lambda args, attrs, op: args[0].args[1] if made_by(args[0], "dual") else None,
    ),
    Rule("tangent(constant) == zero", tangent, _no_seed),
    *PER_PRIMITIVE,
    Rule("tangent(anything else) is an error", tangent, _undefined),
]
FORGET = [Rule("dual(x, d) == x", dual, lambda args, attrs, op: args[0])]
