"""Jacobians of closed graphs, as closed graphs: a `jvp` or `grad` node along one basis vector, by `vmap` along all.

A Jacobian of m inputs is one compiled program whatever m is.
"""

from __future__ import annotations

from ..ir import I64, Array, Builder, Constant, Graph, Node, Scalar, Tuple, Type, constant, current, is_float, shape_of
from ..ops.arrays import broadcast, dims, iota, reshape, row, set_elem, size, transpose
from ..ops.control import call, get, grad, jvp, vmap
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import cast, eq, floordiv, mod


def forward_is_cheaper(inputs: list[Type], outputs: list[Type]) -> bool:
    """Are there at most as many inputs as outputs?  A count known at run time only is taken to be large."""
    n, m = _count(inputs), _count(outputs)
    return m is None or (n is not None and n <= m)


def _count(types):
    total = 0
    for t in types:
        one = 1
        for d in shape_of(t):
            one = None if one is None or d is None else one * d
        total = None if total is None or one is None else total + one
    return total


def jacobian_graph(g: Graph, results: list[Type], wanted: int, wrt: tuple[int, ...], forward: bool) -> Graph:
    """(arguments of g) -> (results of g…, then for each float among the first `wanted` results and each argument in
    `wrt` the array of derivatives), of the shape of the result and that of the argument.  `results` are g's types.
    """
    out = Graph(f"J{g.name}", None, g.span)
    for p in g.params:
        out.parameter(p.type, p.name, p.span)
    with Builder(out, g.span):
        whole = current().emit(
            call, *out.params, graphs=(g,), type=results[0] if len(results) == 1 else Tuple(tuple(results))
        )
        values = [whole] if len(results) == 1 else [get(whole, index=k) for k in range(len(results))]
        floats = [k for k, t in enumerate(results[:wanted]) if is_float(t)]
        inputs, outputs = {j: out.params[j] for j in wrt}, {k: values[k] for k in floats}
        if forward:
            type_ = Tuple((*results, *filter(is_float, results)))

            def push(params, keys, dots):
                both = current().emit(jvp, *params, *dots, graphs=(g,), type=type_, wrt=tuple(keys))
                return [get(both, index=len(results) + n) for n in range(len(floats))]

            found = {(k, j): _after(rows, x, y) for j, x, k, y, rows in _rows(out, inputs, outputs, push)}
        else:
            type_ = Tuple((*results, *(x.type for x in inputs.values())))

            def pull(params, keys, bars):
                both = current().emit(grad, *params, *bars, graphs=(g,), type=type_, wrt=wrt, seeds=tuple(keys))
                return [get(both, index=len(results) + n) for n in range(len(wrt))]

            found = {(k, j): _shaped(rows, y, x) for k, y, j, x, rows in _rows(out, outputs, inputs, pull)}
        return out.returns(tuple_of(*values, *(found[k, j] for k in floats for j in wrt)))


def tangents_graph(g: Graph, results: list[Type], wrt: tuple[int, ...]) -> Graph:
    """(arguments of g, tangents of `wrt`) -> (tangents of the float results)."""
    out = Graph(f"{g.name}_dot", None, g.span)
    params = [out.parameter(p.type, p.name, p.span) for p in g.params]
    dots = [out.parameter(g.params[k].type, f"{g.params[k].name}_dot") for k in wrt]
    floats = [t for t in results if is_float(t)]
    with Builder(out, g.span):
        both = current().emit(jvp, *params, *dots, graphs=(g,), type=Tuple((*results, *floats)), wrt=wrt)
        return out.returns(tuple_of(*[get(both, index=len(results) + k) for k in range(len(floats))]))


def _rows(out: Graph, sources: dict[int, Node], targets: dict[int, Node], along):
    """For each source and target (key, node, key, node, rows): an array [elements of the source, *shape of the target].

    `along(params, keys, directions)` gives the directions of all targets for those of some sources.  The elements of an
    array go together, and so do numbers.
    """
    others = list(targets.values())
    scalars = {k: x for k, x in sources.items() if not isinstance(x.type, Array)}
    if scalars:
        dtypes = [x.type.dtype for x in scalars.values()]
        if len(scalars) == 1:
            swept = [[r] for r in along(out.params, list(scalars), [Constant(1.0, Scalar(dtypes[0]))])]
        else:

            def column(params, sizes, i):
                return along(params, list(scalars), [cast(eq(i, n), dtype=d) for n, d in enumerate(dtypes)])

            rows = _sweep(out, constant(len(scalars)), [], others, column)
            swept = [[row(r, constant(n)) for n in range(len(scalars))] for r in rows]
        for n, (k, x) in enumerate(scalars.items()):
            for (j, y), one in zip(targets.items(), swept, strict=True):
                yield k, x, j, y, one[n]
    for k, x in sources.items():
        if k not in scalars:

            def column(params, sizes, i, x=x, k=k):
                return along(params, [k], [_basis(x.type, sizes, i)])

            rows = _sweep(out, _count_of(x), dims(x)[1], others, column)
            for (j, y), one in zip(targets.items(), rows, strict=True):
                yield k, x, j, y, one


def _sweep(out: Graph, n: Node, sizes: list[Node], others: list[Node], column) -> list[Node]:
    """For each of `others` an array [n, *its shape], whose rows are `column(params, sizes, i)`."""
    each = Graph("direction", None, out.span)
    params = [each.parameter(p.type, p.name, p.span) for p in out.params]
    inside = [each.parameter(I64, "n") for _ in sizes]
    index = each.parameter(I64, "i")
    with Builder(each, out.span):
        each.returns(tuple_of(*column(params, inside, index)))
    lead = n.value if isinstance(n, Constant) else None
    args = [*out.params, *sizes, iota(*[n] * (lead is None), shape=(lead,))]
    args += [o for o in others if None in shape_of(o.type)]
    whole = current().emit(vmap, *args, graphs=(each,), over=(len(each.params) - 1,), lead=lead)
    return [get(whole, index=k) for k in range(len(others))]


def _count_of(x) -> Node:
    n = size(x, 0)
    for axis in range(1, x.type.rank):
        n = n * size(x, axis)
    return constant(n) if isinstance(n, int) else n


def _basis(t: Array, dyn: list[Node], i: Node) -> Node:
    """An array of type t, of zeros but for element number i."""
    one = Constant(1.0, Scalar(t.dtype))
    unknown, idx = iter(dyn), []
    sizes = [next(unknown) if d is None else d for d in t.shape]
    for n in reversed(sizes[1:]):
        idx.append(mod(i, n))
        i = floordiv(i, n)
    zero = Constant(0.0, one.type)
    zero.name = "zero"  # one that differentiation made: what is multiplied by it need not be computed
    zeros = broadcast(zero, *dyn, shape=t.shape, axes=())
    return set_elem(zeros, one, i, *reversed(idx))


def _after(rows, x, y):
    """`rows` [elements of x, *shape of y] with the shape of y first."""
    if isinstance(x.type, Array) and isinstance(y.type, Array):
        rows = transpose(rows, perm=(*range(1, rows.type.rank), 0))
    return _shaped(rows, y, x)


def _shaped(rows, *parts):
    """`rows` in the shape of these values, one after the other."""
    shape, dyn = (), []
    for p in parts:
        s, d = dims(p) if isinstance(p.type, Array) else ((), [])
        shape, dyn = shape + s, dyn + d
    return rows if shape == shape_of(rows.type) else reshape(rows, *dyn, shape=shape)
