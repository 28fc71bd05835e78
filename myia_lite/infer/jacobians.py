"""Jacobians of closed graphs, as closed graphs: a loop over directions around one `jvp` or `grad` node.

A Jacobian of m inputs is one compiled program whatever m is; each trip of its loop goes along one basis vector.
"""

from __future__ import annotations

from ..ir import I64, Array, Builder, Constant, Graph, Node, Scalar, Tuple, Type, constant, current, is_float, shape_of
from ..ops.arrays import broadcast, dims, elem, reshape, set_elem, size, slice, slice_set, transpose
from ..ops.control import call, get, grad, jvp, loop, recur, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import cast, eq, floordiv, lt, mod

FEW = 2  # scalars that have a copy of the program each


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

            def push(keys, dots):
                both = current().emit(jvp, *out.params, *dots, graphs=(g,), type=type_, wrt=tuple(keys))
                return [get(both, index=len(results) + n) for n in range(len(floats))]

            found = {(k, j): _after(rows, x, y) for j, x, k, y, rows in _rows(inputs, outputs, push)}
        else:
            type_ = Tuple((*results, *(x.type for x in inputs.values())))

            def pull(keys, bars):
                both = current().emit(grad, *out.params, *bars, graphs=(g,), type=type_, wrt=wrt, seeds=tuple(keys))
                return [get(both, index=len(results) + n) for n in range(len(wrt))]

            found = {(k, j): _shaped(rows, y, x) for k, y, j, x, rows in _rows(outputs, inputs, pull)}
        return out.returns(tuple_of(*values, *(found[k, j] for k in floats for j in wrt)))


def _rows(sources: dict[int, Node], targets: dict[int, Node], along):
    """For each source and target (key, node, key, node, rows): an array [elements of the source, *shape of the target].

    `along(keys, directions)` gives the directions of all targets for those of some sources.  An array has a loop of its
    own; scalars share one, so that a program of many of them is not copied for each.
    """
    others = list(targets.values())
    scalars = {k: x for k, x in sources.items() if not isinstance(x.type, Array)}
    if len(scalars) > FEW:
        basis = lambda i: [cast(eq(i, n), dtype=x.type.dtype) for n, x in enumerate(scalars.values())]  # noqa: E731
        swept = _sweep(constant(len(scalars)), others, lambda i: along(list(scalars), basis(i)))
        for n, (k, x) in enumerate(scalars.items()):
            for (j, y), rows in zip(targets.items(), swept, strict=True):
                yield k, x, j, y, _row(rows, n, y)
    for k, x in sources.items():
        if k in scalars and len(scalars) > FEW:
            continue
        one = Constant(1.0, Scalar(x.type.dtype))
        if k in scalars:
            swept = along([k], [one])
        else:
            swept = _sweep(_count_of(x), others, lambda i, x=x, k=k, one=one: along([k], [_basis(x, i, one)]))
        for (j, y), rows in zip(targets.items(), swept, strict=True):
            yield k, x, j, y, rows


def _sweep(n: Node, others: list[Node], column) -> list[Node]:
    """For each of `others` an array [n, *its shape], whose rows are `column(i)`: a loop."""
    lead = n.value if isinstance(n, Constant) else None
    starts = []
    for o in others:
        shape, dyn = dims(o)
        zero = Constant(0.0, Scalar(o.type.dtype))
        starts.append(broadcast(zero, *([n] if lead is None else []), *dyn, shape=(lead, *shape), axes=()))
    header = Graph("directions", current().graph)
    i = header.parameter(I64, "i")
    rows = [header.parameter(s.type, "rows") for s in starts]
    header.result_type = Tuple(tuple(s.type for s in starts))
    body, done = Graph("direction", header), Graph("done", header)
    done.returns(Builder(done).emit(tuple_of, *rows))
    with Builder(body):
        new = [_put(r, v, i) for r, v in zip(rows, column(i), strict=True)]
        body.result = current().emit(recur, i + 1, *new, graphs=(header,), type=header.result_type)
    body.result_type = header.result_type
    with Builder(header):
        header.result = current().emit(switch, lt(i, n), graphs=(body, done))
    whole = current().emit(loop, constant(0), *starts, graphs=(header,))
    return [get(whole, index=k) for k in range(len(starts))]


def _put(rows, v, i):
    if not isinstance(v.type, Array):
        return set_elem(rows, v, i)
    shape, dyn = dims(v)
    row = reshape(v, *dyn, shape=(1, *shape))
    return slice_set(rows, row, i, *[constant(0)] * len(shape), steps=(1,) * (len(shape) + 1))


def _row(rows, n, y):
    """Row number n, of the shape of y."""
    if not isinstance(y.type, Array):
        return elem(rows, constant(n))
    shape, dyn = dims(y)
    starts = [constant(n), *[constant(0)] * len(shape)]
    row = slice(rows, *starts, *dyn, steps=(1,) * len(starts), shape=(1, *shape))
    return reshape(row, *dyn, shape=shape)


def _count_of(x) -> Node:
    n = size(x, 0)
    for axis in range(1, x.type.rank):
        n = n * size(x, axis)
    return constant(n) if isinstance(n, int) else n


def _basis(x, i, one):
    """An array like x, of zeros but for element number i."""
    shape, dyn = dims(x)
    idx = []
    for axis in reversed(range(1, x.type.rank)):
        n = size(x, axis)
        idx.append(mod(i, n))
        i = floordiv(i, n)
    return set_elem(broadcast(Constant(0.0, one.type), *dyn, shape=shape, axes=()), one, i, *reversed(idx))


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
