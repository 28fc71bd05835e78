"""`vjp` and `linearize` inside compiled code: the value of a function, and a linear function that goes on from there.

A `vjp` node runs the forward pass and gives a record of what it saves, which is a leaf as any other: it may stand in
structures, branches, loops and captures.  A `pullback` node takes it and cotangents back to the arguments.  The
linearised function is the transpose of a pullback, that of forward mode with respect to its tangents: so it follows
the rules of forward mode, and saves what those multiply tangents by.  It is a pullback itself, of that pullback, so
that what it saves lies in the order in which it is read.
"""

from __future__ import annotations

from ..ir import (
    Builder,
    Constant,
    Graph,
    Node,
    Residual,
    Scalar,
    Tuple,
    Type,
    current,
    element_types,
    is_float,
    shape_of,
)
from ..ops import arrays, control
from ..ops.control import get
from ..ops.control import tuple_ as tuple_of
from .directional import Directional, Site, tags_of
from .structures import Point
from .values import AtPoint, Leaf, Sequence, Value


class AtPoints(Directional):
    """Calls of `vjp`, `linearize`, and of what they return."""

    def __init__(self, error_model, parse):
        super().__init__(error_model, parse)
        self.points: dict[tuple, Point] = {}

    def _vjp(self, t, args) -> Value:
        return self._held(t, args, "pullback")

    def _linearize(self, t, args) -> Value:
        return self._held(t, args, "linear")

    def _held(self, t, args, kind: str) -> Value:
        """The value at the point, and a function that goes on from there."""
        site = self._site(t, args)
        point = self._point(kind, site, t)
        first, count = site.starts[1] if args else len(site.flat), len(site.results)
        wrt = tuple(first + k for k in point.wrt)
        graph, flat, seeds = site.spec.graph, site.flat, point.seeds
        inputs = site.flat[first:]
        if kind == "linear":
            graph = _with_tangents(graph, site.results, wrt)
            zeros = [self._zero(n.type, self.sizes(n)) for n in (site.flat[k] for k in wrt)]
            floats = [k for k, x in enumerate(site.results) if is_float(x)]
            wrt, flat = tuple(range(len(flat), len(flat) + len(zeros))), [*flat, *zeros]
            seeds = tuple(count + floats.index(k) for k in seeds)
            if point.sized:
                graph, wrt, seeds = _transposed(graph, wrt, seeds, count)
                flat = [*flat, *(self._zero(graph.params[k].type, []) for k in wrt)]
        results = element_types(graph.result_type)
        type_ = Tuple((*results, point.record))
        node = self.append(control.vjp, flat, (graph,), type_, wrt=wrt, seeds=seeds, record=point.record)
        outs = self._outputs(site, node)
        sizes = [d for k in point.wrt for d in self.sizes(inputs[k])]
        sizes += [d for k in point.seeds for d in self.sizes(outs[k])]
        sizes += [outs[k] for k in tags_of(site.out, self.types)]
        after = AtPoint(point, (Leaf(outs[-1]), *(Leaf(d, True) for d in sizes)))
        value = self._gathered(self.rebuild(site.spec.result, iter(outs)))
        return Sequence((value.items[0], after, value.items[1]) if t.has_aux else (value, after))

    def _point(self, kind: str, site: Site, t) -> Point:
        """One for each specialisation, so that functions of one program at several points are of one type."""
        key = kind, site.spec.key, site.spec.result, t.has_aux
        if key not in self.points:
            inputs = tuple(x for a in site.templates[1:] for x in self.types(a))
            record = Residual(f"R_{site.spec.graph.name}")
            out = tuple(self.types(site.out))
            self.points[key] = Point(kind, record, site.templates[1:], inputs, site.out, out)
        return self.points[key]

    # ---- going on from there -----------------------------------------------------------------------------------------
    def call_at_point(self, f: AtPoint, args, keywords) -> Value:
        point = f.point
        if keywords:
            name = keywords[0][0]
            self.error(f"a {point.name} got an unexpected keyword argument '{name}'", "pass it by position")
        record, *sizes = (leaf.node for leaf in f.items)
        dims = iter(sizes)
        shapes = [
            {k: tuple(d if d is not None else next(dims) for d in shape_of(types[k])) for k in floats}
            for types, floats in ((point.inputs, point.wrt), (point.outputs, point.seeds))
        ]
        shapes[1].update(zip(tags_of(point.out, self.types), dims, strict=True))
        return getattr(self, f"_{point.kind}_at")(point, record, args, *shapes)

    def _pullback_at(self, point: Point, record: Node, args, inputs, outputs) -> Value:
        if len(args) != 1:
            self.error(
                f"a pullback takes one cotangent, and {len(args)} are given", "give it the structure of the value"
            )
        found: dict[int, Node] = {}
        self._direction(point.out, self.conjugated(args[0]), outputs, 0, "the cotangent", found)
        given = self._given(found, point.outputs, point.seeds, outputs)
        to = Tuple(tuple(point.inputs[k] for k in point.wrt))
        node = self.append(control.pullback, [record, *given], (), to, record=point.record, to=to)
        bars = [self.append(control.get, [node], type=x, index=k) for k, x in enumerate(to.elems)]
        bars, at, out = dict(zip(point.wrt, bars, strict=True)), 0, []
        for a in point.arguments:
            value, at = self._structure(a, bars, at)
            out.append(value)
        return self.conjugated(Sequence(tuple(out)))

    def _linear_at(self, point: Point, record: Node, args, inputs, outputs) -> Value:
        if len(args) != len(point.arguments):
            self.error(f"{len(point.arguments)} primals and {len(args)} tangents", "give one for each")
        found: dict[int, Node] = {}
        at = 0
        for k, (a, v) in enumerate(zip(point.arguments, args, strict=True)):
            at = self._direction(a, v, inputs, at, f"the tangent of argument {k}", found)
        dots = self._given(found, point.inputs, point.wrt, inputs)
        nodes = {k: outputs[k] for k in tags_of(point.out, self.types)}
        if point.sized:
            to = Tuple(tuple(point.outputs[k] for k in point.seeds))
            node = self.append(control.pullback, [record, *dots], (), to, record=point.record, to=to)
            y_dots = [self.append(control.get, [node], type=x, index=k) for k, x in enumerate(to.elems)]
            return self._structure(point.out, nodes | dict(zip(point.seeds, y_dots, strict=True)))[0]
        graph, zeros = _pulled(point), self._given({}, point.outputs, point.seeds, outputs)
        n, m = len(dots), len(zeros)
        node = self.append(
            control.grad,
            [record, *zeros, *dots],
            (graph,),
            Tuple((*graph.result_type.elems, *(z.type for z in zeros))),
            wrt=tuple(range(1, 1 + m)),
            seeds=tuple(range(n)),
        )
        y_dots = [self.append(control.get, [node], type=z.type, index=n + k) for k, z in enumerate(zeros)]
        return self._structure(point.out, nodes | dict(zip(point.seeds, y_dots, strict=True)))[0]

    def _given(self, found: dict[int, Node], types, places, shapes) -> list[Node]:
        """The directions of the leaves `places`, zero where there is none."""
        out = []
        for k in places:
            if k in found:
                out.append(found[k])
            else:
                unknown = [d for d in shapes[k] if isinstance(d, Node)]
                out.append(self._zero(types[k], unknown))
        return out

    def _zero(self, t: Type, unknown: list[Node]) -> Node:
        """A zero that stands for no derivative."""
        zero = Constant(0.0, Scalar(t.dtype))
        zero.name = "zero"
        return self.emit(arrays.broadcast, zero, *unknown, shape=t.shape, axes=()) if shape_of(t) else zero


def _with_tangents(g: Graph, results, wrt: tuple[int, ...]) -> Graph:
    """(arguments of g, tangents of those in `wrt`) -> (results of g…, tangents of the float ones…)."""
    out = Graph(f"{g.name}~", None, g.span)
    args = [out.parameter(p.type, p.name, p.span) for p in g.params]
    dots = [out.parameter(g.params[k].type, f"{g.params[k].name or 'x'}_dot") for k in wrt]
    type_ = Tuple((*results, *filter(is_float, results)))
    with Builder(out, g.span):
        node = current().emit(control.jvp, *args, *dots, graphs=(g,), type=type_, wrt=wrt, linear=True)
        return out.returns(node)


def _transposed(g: Graph, wrt: tuple[int, ...], seeds: tuple[int, ...], count: int):
    """The pullback of g at its arguments, in cotangents at zero: (arguments, cotangents…) -> (the first `count` results
    of g…, cotangents of `wrt`…), and what the next pullback is of and by.
    """
    results, to = element_types(g.result_type), Tuple(tuple(g.params[k].type for k in wrt))
    out, record = Graph(f"{g.name}~", None, g.span), Residual(f"R_{g.name}")
    args = [out.parameter(p.type, p.name, p.span) for p in g.params]
    bars = [out.parameter(results[k], "y_dot_bar") for k in seeds]
    type_ = Tuple((*results, record))
    with Builder(out, g.span):
        ahead = current().emit(control.vjp, *args, graphs=(g,), type=type_, wrt=wrt, seeds=seeds, record=record)
        r = get(ahead, index=len(results))
        back = current().emit(control.pullback, r, *bars, type=to, record=record, to=to)
        parts = [get(ahead, index=k) for k in range(count)], [get(back, index=k) for k in range(len(wrt))]
        out.returns(tuple_of(*parts[0], *parts[1]))
    return out, tuple(range(len(args), len(args) + len(bars))), tuple(range(count, count + len(wrt)))


def _pulled(point: Point) -> Graph:
    """The pullback of a point as a closed graph (record, cotangents…) -> cotangents."""
    out = Graph("pulled")
    r = out.parameter(point.record, "r")
    bars = [out.parameter(point.outputs[k], "y_bar") for k in point.seeds]
    to = Tuple(tuple(point.inputs[k] for k in point.wrt))
    with Builder(out):
        node = current().emit(control.pullback, r, *bars, type=to, record=point.record, to=to)
        return out.returns(tuple_of(*[get(node, index=k) for k in range(len(to.elems))]))
