"""Jacobians of closed graphs, as closed graphs: a loop over directions around one `jvp` or `grad` node.

A Jacobian of m inputs is one compiled program whatever m is; each trip of its loop goes along one basis vector.
"""

from __future__ import annotations

from ..ir import I64, Array, Builder, Constant, Graph, Node, Scalar, Tuple, Type, constant, current, is_float, shape_of
from ..ops.arrays import broadcast, dims, reshape, set_elem, size, slice_set, transpose
from ..ops.control import call, get, grad, jvp, loop, recur, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import floordiv, lt, mod


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
        make = _Forward if forward else _Reverse
        blocks = make(out, g, results, values, floats, wrt).blocks()
        return out.returns(tuple_of(*values, *(blocks[k, j] for k in floats for j in wrt)))


class _Directions:
    def __init__(self, out, g, results, values, floats, wrt):
        self.out, self.g, self.results, self.values, self.floats, self.wrt = out, g, results, values, floats, wrt

    def along_all(self, x: Node, others: list[Node], step) -> list[Node]:
        """For each of `others` an array [elements of x, *its shape], of `step(basis vector of x)` row by row."""
        one = Constant(1.0, Scalar(x.type.dtype))
        if not isinstance(x.type, Array):
            return step(one)
        n = size(x, 0)
        for axis in range(1, x.type.rank):
            n = n * size(x, axis)
        n = constant(n) if isinstance(n, int) else n
        lead = n.value if isinstance(n, Constant) else None
        starts = []
        for o in others:
            shape, dyn = dims(o)
            starts.append(
                broadcast(
                    Constant(0.0, Scalar(o.type.dtype)),
                    *([n] if lead is None else []),
                    *dyn,
                    shape=(lead, *shape),
                    axes=(),
                )
            )
        header = Graph("directions", current().graph)
        i = header.parameter(I64, "i")
        rows = [header.parameter(s.type, "rows") for s in starts]
        header.result_type = Tuple(tuple(s.type for s in starts))
        body, done = Graph("direction", header), Graph("done", header)
        done.returns(Builder(done).emit(tuple_of, *rows))
        with Builder(body):
            shape, dyn = dims(x)
            zeros = broadcast(Constant(0.0, one.type), *dyn, shape=shape, axes=())
            column = step(set_elem(zeros, one, *self.unravel(i, x)))
            new = [self.put(r, v, i) for r, v in zip(rows, column, strict=True)]
            body.result = current().emit(recur, i + 1, *new, graphs=(header,), type=header.result_type)
        body.result_type = header.result_type
        with Builder(header):
            header.result = current().emit(switch, lt(i, n), graphs=(body, done))
        whole = current().emit(loop, constant(0), *starts, graphs=(header,))
        return [get(whole, index=k) for k in range(len(starts))]

    def unravel(self, i, x):
        """The indexes of element number i."""
        idx = []
        for axis in reversed(range(1, x.type.rank)):
            n = size(x, axis)
            idx.append(mod(i, n))
            i = floordiv(i, n)
        return [i, *reversed(idx)]

    def put(self, rows, v, i):
        if not isinstance(v.type, Array):
            return set_elem(rows, v, i)
        shape, dyn = dims(v)
        return slice_set(
            rows, reshape(v, *dyn, shape=(1, *shape)), i, *[constant(0)] * len(shape), steps=(1,) * (len(shape) + 1)
        )

    def shaped(self, rows, *parts):
        """`rows` in the shape of these values, one after the other."""
        shape, dyn = (), []
        for p in parts:
            s, d = dims(p)
            shape, dyn = shape + s, dyn + d
        return reshape(rows, *dyn, shape=shape) if rows.type.shape != shape else rows


class _Forward(_Directions):
    def blocks(self):
        found = {}
        ys = [self.values[k] for k in self.floats]
        type_ = Tuple((*self.results, *filter(is_float, self.results)))
        for j in self.wrt:
            x = self.out.params[j]

            def step(x_dot, j=j):
                both = current().emit(jvp, *self.out.params, x_dot, graphs=(self.g,), type=type_, wrt=(j,))
                return [get(both, index=len(self.results) + k) for k in range(len(ys))]

            for k, y, rows in zip(self.floats, ys, self.along_all(x, ys, step), strict=True):
                if isinstance(x.type, Array) and isinstance(y.type, Array):
                    rows = self.shaped(transpose(rows, perm=(*range(1, rows.type.rank), 0)), y, x)
                elif isinstance(x.type, Array):
                    rows = self.shaped(rows, x)
                found[k, j] = rows
        return found


class _Reverse(_Directions):
    def blocks(self):
        found = {}
        xs = [self.out.params[j] for j in self.wrt]
        type_ = Tuple((*self.results, *(x.type for x in xs)))
        for k in self.floats:
            y = self.values[k]

            def step(y_bar, k=k):
                both = current().emit(
                    grad, *self.out.params, y_bar, graphs=(self.g,), type=type_, wrt=self.wrt, seeds=(k,)
                )
                return [get(both, index=len(self.results) + i) for i in range(len(xs))]

            for j, x, rows in zip(self.wrt, xs, self.along_all(y, xs, step), strict=True):
                found[k, j] = self.shaped(rows, y, x) if isinstance(y.type, Array) else rows
        return found
