"""Control and data: calls, branches, loops, tuples, sums, stacks, guards."""

from __future__ import annotations

import numpy as np

from ..ir import I64, Array, Bool, Never, Stack, Tuple, compatible, element_types, is_float, shape_of, shaped
from .define import define, expect


def _fits(params, types, what):
    expect(len(params) == len(types), f"{what} takes {len(params)} arguments, not {len(types)}")
    for p, t in zip(params, types, strict=True):
        expect(compatible(t, p.type), f"{what} takes {p.type} where {t} stands")


def _call_type(types, attrs, graphs):
    (g,) = graphs
    _fits(g.params, types, f"@{g.name}")
    return g.result_type


def joined(a, b):
    """The type of a value from either of two branches: `never` gives way, a dim known on one side only is unknown."""
    if a is Never or a == b:
        return b
    if b is Never:
        return a
    if isinstance(a, Array) and isinstance(b, Array) and compatible(a, b):
        return Array(a.dtype, tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)))
    if isinstance(a, Tuple) and isinstance(b, Tuple) and len(a.elems) == len(b.elems):
        return Tuple(tuple(map(joined, a.elems, b.elems)))
    raise TypeError(f"branches of type {a} and {b}")


def _switch_type(types, attrs, graphs):
    expect(types == [Bool] and len(graphs) == 2, "switch(bool) { then; else }")
    for g in graphs:
        _fits(g.params, [], f"branch @{g.name}")
    return joined(graphs[0].result_type, graphs[1].result_type)


def _case_type(types, attrs, graphs):
    (s,) = types
    expect(len(graphs) == len(s.variants), f"a graph for each of {list(s.variants)}")
    out = Never
    for g, (tag, fields) in zip(graphs, s.variants.items(), strict=True):
        _fits(g.params, list(fields), f"case {tag}")
        out = joined(out, g.result_type)
    return out


def _make_type(types, attrs, graphs):
    s, tag = attrs["sum"], attrs["tag"]
    expect(tag in s.variants, f"{s} has no {tag}")
    expect(len(types) == len(s.variants[tag]) and all(map(compatible, types, s.variants[tag])), f"fields of {s}.{tag}")
    return s


call = define(
    "call",
    _call_type,
    "call @g(args): a closed graph; call[replayed]: may go where nobody takes its result, as another one makes the "
    "same calls and nothing but these could fail",
)
loop = define("loop", _call_type, "loop @L(args) { L }: enter a local graph that `recur`s to itself", nests=True)
recur = define("recur", _call_type, "recur @L(args): the next trip; in tail position inside L only")
switch = define(
    "switch", _switch_type, "switch(c) { then; else }: call one of two local graphs without parameters", nests=True
)
case = define(
    "case", _case_type, "case(v) { a graph per variant, in order, whose parameters are its fields }", nests=True
)
tuple_ = define("tuple", lambda types, attrs, graphs: Tuple(tuple(types)), "tuple(*xs)", value=lambda *xs: xs)
get = define(
    "get", lambda types, attrs, graphs: types[0].elems[attrs["index"]], "get[index](t)", value=lambda t, index: t[index]
)
make = define("make", _make_type, "make[sum, tag](*fields)", value=lambda *fields, sum, tag: (tag, fields))

# On the reference back end a stack is a linked list of (rest, top, length), and () is empty: a push copies nothing.
stack_new = define(
    "stack_new",
    lambda types, attrs, graphs: Stack(attrs["elem"]),
    "stack_new[elem](): the empty stack",
    value=lambda elem: (),
)
stack_push = define(
    "stack_push",
    lambda types, attrs, graphs: types[0],
    "stack_push(s, v): s with v on top",
    value=lambda s, v, own=False: (s, v, s[2] + 1 if s else 1),
    in_place=True,
)
stack_pop = define(
    "stack_pop",
    lambda types, attrs, graphs: Tuple((types[0], types[0].elem)),
    "stack_pop(s) -> (rest, top); s is not empty",
    value=lambda s: s[:2],
)
stack_len = define(
    "stack_len",
    lambda types, attrs, graphs: I64,
    "stack_len(s)",
    value=lambda s: np.int64(s[2] if s else 0),
    zero_derivative="integer result",
)


def _guard_type(types, attrs, graphs):
    expect(types[:1] == [Bool], "guard(ok, …)")
    return Tuple(())


guard = define(
    "guard",
    _guard_type,
    "guard[exception, message](ok, *values): where not ok, raise the built-in exception of that name, or that class.  "
    "The message is a format string: {0}, {1:.3f} … stand for the values as Python numbers, {{ and }} for braces, "
    "and a bare {0} is the number itself; None: no message; a tuple: several arguments, messages or constants",
    effect=True,
    zero_derivative="no result",
)
raise_ = define(
    "raise",
    lambda types, attrs, graphs: Never,
    "raise[exception, message](*values), in tail position: the end of its graph",
    effect=True,
    zero_derivative="no result",
)


def _results(g):
    return element_types(g.result_type)


def _grad_type(types, attrs, graphs):
    (g,) = graphs
    results, seeds = _results(g), attrs.get("seeds", ())
    _fits(g.params, types[: len(types) - len(seeds)], f"@{g.name}")
    for k, t in zip(seeds, types[len(types) - len(seeds) :], strict=True):
        expect(compatible(t, results[k]), f"a cotangent of type {t} of a result of type {results[k]}")
    return Tuple((*results, *(g.params[k].type for k in attrs["wrt"])))


def _jvp_type(types, attrs, graphs):
    (g,) = graphs
    wrt = attrs["wrt"]
    _fits(g.params, types[: len(types) - len(wrt)], f"@{g.name}")
    for k, t in zip(wrt, types[len(types) - len(wrt) :], strict=True):
        expect(compatible(t, g.params[k].type), f"a tangent of type {t} of an argument of type {g.params[k].type}")
    if g.result_type is Never:
        return Never
    return Tuple((*_results(g), *filter(is_float, _results(g))))


# No back end knows what follows: `ad` expands it.
grad = define(
    "grad",
    _grad_type,
    "grad[wrt] @g(args) -> (results of g…, gradient of its first result, a float scalar, in each argument of `wrt`); "
    "grad[wrt, seeds] @g(args, cotangent of each result in `seeds`…): of these results together",
)
jvp = define(
    "jvp",
    _jvp_type,
    "jvp[wrt] @g(args, tangent of each argument in `wrt`…) -> (results of g…, tangent of each float result…); "
    "jvp[linear=True]: to be transposed, so the rules of the program must be linear",
    effect=True,
)


def _vjp_type(types, attrs, graphs):
    (g,) = graphs
    _fits(g.params, types, f"@{g.name}")
    return Never if g.result_type is Never else Tuple((*_results(g), attrs["record"]))


def _pullback_type(types, attrs, graphs):
    expect(types[:1] == [attrs["record"]], f"pullback of {attrs['record']}")
    return attrs["to"]


vjp = define(
    "vjp",
    _vjp_type,
    "vjp[wrt, seeds, record] @g(args) -> (results of g…, a record of type `record`): what is saved to take cotangents "
    "of the results `seeds` back to the arguments `wrt`",
    effect=True,
)
pullback = define(
    "pullback",
    _pullback_type,
    "pullback[record, to](r, cotangent of each result in `seeds`…) -> (cotangents of `wrt`…), a tuple of type `to`: "
    "the rest of the `vjp` that made the record",
)


def _vmap_type(types, attrs, graphs):
    (g,) = graphs
    lead = attrs["lead"]
    for k in attrs["over"]:
        t = types[k]
        expect(
            isinstance(t, Array) and compatible(Array(t.dtype, (lead,)), Array(t.dtype, t.shape[:1])), f"rows of {t}"
        )
    rows = {k: shaped(types[k].dtype, types[k].shape[1:]) for k in attrs["over"]}
    _fits(g.params, [rows.get(k, t) for k, t in enumerate(types[: len(g.params)])], f"@{g.name}")
    likes = [r for r in _results(g) if None in shape_of(r)]
    expect(len(types) == len(g.params) + len(likes) and all(map(compatible, types[len(g.params) :], likes)), "shapes")
    return Tuple(tuple(shaped(r.dtype, (lead, *shape_of(r))) for r in _results(g)))


vmap = define(
    "vmap",
    _vmap_type,
    "vmap[over, lead] @g(args, an array of the shape of each result with an unknown dim…) -> (results of g…): g for "
    "each row of the arguments in `over`, `lead` rows (None: known at run time only); each result, a number or an "
    "array, has one more axis in front.  It raises where g does for a row",
    effect=True,
)
custom = define(
    "custom",
    lambda types, attrs, graphs: _call_type(types, attrs, graphs[:1]),
    "custom[of, wrt, count, rules, captures] @f @rules…(args): f, whose derivatives are rules that the program gives.  "
    "Of the arguments the first `count` are the program's; the others, which every graph takes last, what f and its "
    "rules capture (variables of these names, then arrays from outside); `wrt` are those that directions have a part "
    "for.  rules are among 'jvp' @(args, tangents of wrt) -> (results, tangents of float results), and 'fwd' @(args) "
    "-> (results, residuals) with 'bwd' @(residuals, cotangents of float results) -> (cotangents of wrt)",
    effect=True,
)
stop_gradient = define(
    "stop_gradient",
    lambda types, attrs, graphs: types[0],
    "stop_gradient(x): x, without derivatives",
    zero_derivative="asked for by the program",
)


def given(n) -> int:
    """How many arguments of a derivative node stand after those of its callee: tangents, cotangents, or shapes."""
    if n.op.name == "vmap":
        return sum(None in shape_of(r) for r in _results(n.graphs[0]))
    if n.op.name == "jvp":
        return len(n.attrs["wrt"])
    return len(n.attrs.get("seeds", ())) if n.op.name == "grad" else 0
