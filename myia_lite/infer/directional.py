"""`jvp`, `vjp`, Jacobians and what is made of them, inside compiled code.

A tangent has the structure of its value: its float leaves, and None in the place of anything else.  None in the place
of a float leaf, or of a part with such leaves, stands for zero.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace

from ..ir import Array, Node, Tuple, constant, is_float, shape_of
from ..ops import arrays, control, elementwise
from . import library
from .calls import Specialisation
from .context import Diverged
from .jacobians import forward_is_cheaper, jacobian_graph, tangents_graph
from .joins import End, is_complex, several
from .several import Several, is_spread, tags_of
from .structures import Dyn, Known, Template, Tree, Union, generalised
from .values import (
    NONE,
    AtPoint,
    Bound,
    Closure,
    Complex,
    Iterator,
    Leaf,
    Mapping,
    Record,
    Ruled,
    Sequence,
    Static,
    Transformed,
    Value,
)

FLOATS = ("f32", "f64")
OF_FUNCTION = ("jacfwd", "jacrev", "jacobian", "value_and_jacobian", "hessian")  # f, argnums -> a function
AT_A_POINT = ("jvp", "vjp", "linearize", "hvp")  # f, primals … -> values
STRUCTURES = ("sequence", "mapping", "record", "complex")

CHECKPOINT = "checkpoint(f), or checkpoint(range(n), levels=2)"


@dataclass(frozen=True)
class Site:
    """A function to be differentiated, as a closed graph, and its arguments here."""

    spec: Specialisation
    templates: tuple[Template, ...]  # of the function's own captures, then of the arguments
    flat: list[Node]
    starts: list[int]  # where the leaves of each template begin in `flat`
    results: list  # types of the leaves of the result
    out: Template  # what is differentiated of the result: all of it, or what stands before the aux

    def places(self, argument: int) -> range:
        ends = [*self.starts[1:], len(self.flat)]
        return range(self.starts[1 + argument], ends[1 + argument])

    def floats(self, argument: int) -> list[int]:
        return [k for k in self.places(argument) if is_float(self.spec.graph.params[k].type)]


class Directional(Several):
    """Calls of the transforms that take or give tangents, cotangents or all of a Jacobian."""

    def transform(self, kind: str, args, keywords) -> Value:
        """The meaning of a call of one of the names."""
        if kind == "stop_gradient":
            return self._stopped(*self._bound(kind, ["x"], args, keywords))
        if kind == "checkpoint":
            return self._checkpoint(args, keywords)
        if kind == "custom_derivative":
            return self.ruled(*self._bound(kind, ["function"], args, keywords))
        if kind in AT_A_POINT:
            if not args:
                self.error(f"{kind}() takes a function first", f"{kind}(f, …)")
            named = dict(keywords)
            aux = bool(self._fixed(named.pop("has_aux", self.const(False))))
            return self.call(Transformed(kind, args[0], None, aux), args[1:], tuple(named.items()))
        return self.transformed(kind, args, keywords)

    def _bound(self, kind, names, args, keywords):
        signature = inspect.Signature([inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
        try:
            return signature.bind(*args, **dict(keywords)).args
        except TypeError as error:
            self.error(f"{kind}(): {error}", f"{kind}({', '.join(names)})")

    def directional(self, t: Transformed, args, keywords) -> Value:
        """The call of a transformed function of any kind but grad's."""
        if t.kind == "checkpoint":
            return self._checkpointed(t, args, keywords)
        if t.kind in ("jvp", "hvp"):
            args = self._bound(t.kind, ["primals", "tangents"], args, keywords)
            for a, what in zip(args, ("primals", "tangents"), strict=True):
                if not isinstance(a, Sequence):
                    self.error(f"{t.kind}(): the {what} are no tuple or list", f"{t.kind}(f, (x,), (x_dot,))")
            if len(args[0].items) != len(args[1].items):
                self.error(
                    f"{t.kind}(): {len(args[0].items)} primals and {len(args[1].items)} tangents", "give one for each"
                )
            return getattr(self, f"_{t.kind}")(t, *args)
        if t.kind == "jvps":
            return self._jvps(t, *args)
        if t.kind == "hessian":
            inner = replace(t, kind="jacrev")
            return self.call(replace(t, kind="jacfwd", function=inner), args, keywords)
        if keywords and t.kind in ("vjp", "linearize"):
            self.error(f"{t.kind}() takes the arguments of the function by position", f"{t.kind}(f, x, y)")
        if t.kind in ("vjp", "linearize"):
            return getattr(self, f"_{t.kind}")(t, args)
        return self._jacobians(t, args, keywords)

    # ---- the function ------------------------------------------------------------------------------------------------
    def _site(self, t: Transformed, args, keywords=()) -> Site:
        names = [k for k, _ in keywords]
        values = [t.function, *args, *(v for _, v in keywords)]
        templates = tuple(generalised(self.template(v), FLOATS) for v in values)
        flat = [n for v, s in zip(values, templates, strict=True) for n in self.coerce(v, s)]
        starts, at = [], 0
        for s in templates:
            starts.append(at)
            at += len(self.types(s))
        spec = self._whole(t, templates, names, len(args))
        self.use(flat)
        if spec.result is None:
            raise Diverged(self.append(control.call, flat, (spec.graph,), self.result_type(spec)))
        out = self._result_of(spec.result, t)
        if not any(is_float(x) for x in self.types(out)):
            self.error(f"the function to be differentiated returns {out}", "return a float, or floats in a structure")
        return Site(spec, templates, flat, starts, self.types(spec.result), out)

    def _whole(self, t, templates, names, count) -> Specialisation:
        """The call of the function as a closed graph, whose result is spread and has no known floats."""

        def walk(inside):
            def call():
                f, *values = inside
                return self._spread(self.call(f, values[:count], tuple(zip(names, values[count:], strict=True))))

            graph = self.graph
            return self.attempt(lambda: [End(graph, call(), self.aliases.versions)])

        code = ("whole", tuple(names), count)
        name = self._function_name(t.function)
        return self.specialised(
            code, name, templates, [None] * len(templates), walk, prepare=lambda r: generalised(r, FLOATS)
        )

    def _result_of(self, result: Template, t) -> Template:
        """What is differentiated; refuses a structure that only the running program knows."""
        if t.has_aux:
            if not (isinstance(result, Tree) and result.shape[0] == "sequence" and len(result.items) == 2):
                self.error(
                    f"with has_aux=True the function must return (value, aux), and it returns {result}",
                    "return a tuple of the value and the rest",
                )
            result = result.items[0]

        def check(r):
            if isinstance(r, Union):
                self.error(
                    f"the function to be differentiated returns {r}: its structure is known at run time only",
                    "return one structure on all paths",
                )
            for i in r.items if isinstance(r, Tree) else ():
                check(i)

        check(result)
        return result

    def _outputs(self, site: Site, node) -> list[Node]:
        """The results of the function and what follows them, as nodes."""
        outs = [self.append(control.get, [node], type=x, index=k) for k, x in enumerate(node.type.elems)]
        held = self.held_by(site.spec, site.flat)
        for n, table in zip(outs, site.spec.sealed, strict=False):
            self.aliases.table[n] = {path: self.aliases.unseal(s, held) for path, s in table.items()}
        return outs

    def _structure(self, t: Template, nodes: dict[int, Node], at: int = 0) -> tuple[Value, int]:
        """A value of the structure of `t` over nodes by the number of their leaf, None elsewhere; the next number.

        Those of the tags of what is spread have to be among them.
        """
        if is_spread(t):
            _, *items = t.items
            ends = [at + 1]
            for i in items:
                ends.append(ends[-1] + len(self.types(i)))
            makes = [lambda i=i, k=k: self._structure(i, nodes, k)[0] for i, k in zip(items, ends, strict=False)]
            return self._chosen(nodes[at], makes), ends[-1]
        if isinstance(t, Dyn):
            return (Leaf(nodes[at], t.py, t.zero_d) if at in nodes else NONE), at + 1
        if isinstance(t, Tree) and t.shape[0] in STRUCTURES:
            items = []
            for i in t.items:
                item, at = self._structure(i, nodes, at)
                items.append(item)
            return self._remade(t, tuple(items)), at
        return NONE, at + len(self.types(t))

    def _remade(self, t: Tree, items) -> Value:
        kind = t.shape[0]
        if kind == "complex":
            return NONE if NONE in items else Complex(*items)
        if kind == "sequence":
            return Sequence(items, t.shape[1])
        return Record(t.shape[1], items) if kind == "record" else Mapping(t.shape[1], items)

    # ---- directions --------------------------------------------------------------------------------------------------
    def _direction(
        self, t: Template, value: Value, primal, at: int, what: str, found: dict[int, Node], unless: Node | None = None
    ) -> int:
        """Note in `found` the leaves of a direction of a value of template `t`, whose leaves (or their shapes) are
        `primal`, by number."""
        count = len(self.types(t))
        if isinstance(value, Static) and value.value is None:
            return at + count
        if is_spread(t):
            return self._direction_of_several(t, value, primal, at, what, found, unless)
        if isinstance(t, Tree) and t.shape[0] in STRUCTURES:
            items = self._parts(t, value)
            if items is None:
                self.error(f"{what} is {self.template(value)} where the value is {t}", "give it the same structure")
            for i, v in zip(t.items, items, strict=True):
                at = self._direction(i, v, primal, at, what, found, unless)
            return at
        if isinstance(t, Dyn) and is_float(t.type):
            found[at] = self._direction_leaf(t, value, primal[at], what, unless)
            return at + 1
        if isinstance(t, Union):
            self.error(f"{what} is {t}: its structure is known at run time only", "differentiate in each case apart")
        if isinstance(t, (Dyn, Known)) or not isinstance(value, Static):
            self.error(f"{what} is for {t}, which has no derivative", "pass None there")
        return at + count

    def _parts(self, t: Tree, value: Value):
        """The parts of a structure that stand for those of `t`, a dict's by its keys; None where it does not fit."""
        kind = t.shape[0]
        if kind == "complex":
            return (value.re, value.im) if isinstance(value, Complex) else (value, NONE)
        if kind == "mapping":
            if not isinstance(value, Mapping) or set(value.keys) != set(t.shape[1]):
                return None
            return [value.items[value.keys.index(k)] for k in t.shape[1]]
        fits = isinstance(value, (Sequence, Record)) and len(value.items) == len(t.items)
        return value.items if fits else None

    def _direction_leaf(self, t: Dyn, value: Value, primal: Node | tuple | None, what: str, unless=None) -> Node:
        wrong = not isinstance(value, Leaf) or isinstance(value.type, Array) != isinstance(t.type, Array)
        if not wrong and isinstance(t.type, Array):
            wrong = value.type.rank != t.type.rank or value.type.dtype != t.type.dtype
            wrong = wrong or any(
                None not in (a, b) and a != b for a, b in zip(value.type.shape, t.type.shape, strict=True)
            )
        if wrong:
            self.error(f"{what} is {self.template(value)} where the value is {t}", "give it the same shape and dtype")
        if not isinstance(t.type, Array):
            if value.type.dtype == "bool":
                self.error(f"{what} is a bool where the value is {t}", "pass a float")
            return library.convert(self, value, t.type.dtype, t.py).node
        self.use([value.node])
        if primal is None:  # the caller compares the sizes
            return value.node
        for axis, (a, b) in enumerate(zip(value.type.shape, t.type.shape, strict=True)):
            if a is None or b is None:
                m, n = (self._size(x, axis) for x in (value.node, primal))
                same = self.emit(elementwise.eq, m, n)
                if unless is not None:
                    same = self.emit(elementwise.bit_or, unless, same)
                self.guard("ValueError", f"{what} has another shape than the value", same)
        return value.node

    def _size(self, x, axis: int) -> Node:
        """The size of an array along an axis; of one that is not at hand, out of its shape."""
        if not isinstance(x, tuple):
            return self.emit(arrays.dim, x, axis=axis)
        return x[axis] if isinstance(x[axis], Node) else constant(x[axis])

    # ---- at a point --------------------------------------------------------------------------------------------------
    def _jvp(self, t, primals, tangents) -> Value:
        site = self._site(t, primals.items)
        found: dict[int, Node] = {}
        for k, v in enumerate(tangents.items):
            what = f"the tangent of argument {k}"
            self._direction(site.templates[1 + k], v, site.flat, site.starts[1 + k], what, found)
        return self._pushed(t, site, found)

    def _pushed(self, t, site: Site, found: dict[int, Node]) -> Value:
        """(value, tangent) along `found`: leaf of the arguments -> tangent."""
        wrt = tuple(sorted(found))
        floats = [k for k, x in enumerate(site.results) if is_float(x)]
        type_ = Tuple((*site.results, *(site.results[k] for k in floats)))
        node = self.append(control.jvp, [*site.flat, *(found[k] for k in wrt)], (site.spec.graph,), type_, wrt=wrt)
        outs = self._outputs(site, node)
        value = self._gathered(self.rebuild(site.spec.result, iter(outs)))
        dots = dict(zip(floats, outs[len(site.results) :], strict=True))
        dots |= {k: outs[k] for k in tags_of(site.out, self.types)}
        tangent, _ = self._structure(site.out, dots)
        if t.has_aux:
            return Sequence((value.items[0], tangent, value.items[1]))
        return Sequence((value, tangent))

    def _jvps(self, t, primals, rows) -> Value:
        """Many tangents at once, of the floats of the result in turn: along `rows`, for each float of the arguments
        `t.argnums` in turn an array that has its tangents one after the other."""
        site = self._site(t, primals.items)
        wrt = tuple(k for place in t.argnums for k in site.floats(place))
        rows = [v.node for v in rows.items]
        self.use(rows)
        graph, lead = tangents_graph(site.spec.graph, site.results, wrt), rows[0].type.shape[0]
        types, likes = graph.result_type.elems, []
        if any(None in shape_of(x) for x in types):
            whole = self.append(control.call, site.flat, (site.spec.graph,), self.result_type(site.spec))
            values = self.split(whole, len(site.results))
            likes = [n for n in values if is_float(n.type) and None in shape_of(n.type)]
        over, args = tuple(range(len(site.flat), len(site.flat) + len(rows))), [*site.flat, *rows, *likes]
        type_ = Tuple(tuple(Array(x.dtype, (lead, *shape_of(x))) for x in types))
        node = self.append(control.vmap, args, (graph,), type_, over=over, lead=lead)
        return Sequence(
            tuple(Leaf(self.append(control.get, [node], type=x, index=k)) for k, x in enumerate(type_.elems))
        )

    def _hvp(self, t, primals, tangents) -> Value:
        """Forward over reverse; of one primal its structure, of several a tuple."""
        argnums = 0 if len(primals.items) == 1 else tuple(range(len(primals.items)))
        gradient = Transformed("grad", t.function, argnums, t.has_aux)
        return self._jvp(Transformed("jvp", gradient, None, t.has_aux), primals, tangents).items[1]

    # ---- Jacobians ---------------------------------------------------------------------------------------------------
    def _jacobians(self, t, args, keywords) -> Value:
        names = [k for k, _ in keywords]
        chosen = t.argnums if isinstance(t.argnums, tuple) else (t.argnums,)
        places = [self._place(t.function, a, len(args), names) for a in chosen]
        site = self._site(t, args, keywords)
        self._one_shape(site.spec.result, "the function to be differentiated")
        for place in places:
            what = self._parameter_name(t.function, place, names)
            self._differentiable(site.templates[1 + place], what, t.holomorphic)
        wrt = tuple(dict.fromkeys(k for place in places for k in site.floats(place)))
        floats = [k for k, x in enumerate(site.results) if is_float(x)]
        params = site.spec.graph.params
        wanted = len(self.types(site.out))
        floats = [k for k in floats if k < wanted]
        forward = (
            t.kind == "jacfwd"
            or t.kind != "jacrev"
            and forward_is_cheaper([params[k].type for k in wrt], [x for x in site.results[:wanted] if is_float(x)])
        )
        graph = jacobian_graph(site.spec.graph, site.results, wanted, wrt, forward)
        node = self.append(control.call, site.flat, (graph,), graph.result_type)
        outs = self._outputs(site, node)
        blocks = dict(zip([(k, j) for k in floats for j in wrt], outs[len(site.results) :], strict=True))
        matrix, _ = self._blocks(site.out, t, site, places, blocks, 0)
        value = self.rebuild(site.spec.result, iter(outs))
        if t.has_aux:
            value, aux = value.items
            return Sequence((Sequence((value, matrix)), aux) if t.kind == "value_and_jacobian" else (matrix, aux))
        return Sequence((value, matrix)) if t.kind == "value_and_jacobian" else matrix

    def _blocks(self, out: Template, t, site, places, blocks, at) -> tuple[Value, int]:
        """In the structure of the result, for each float leaf its derivatives in the structure of the arguments."""
        if isinstance(out, Dyn):
            if not is_float(out.type):
                return NONE, at + 1
            row = {j: b for (k, j), b in blocks.items() if k == at}
            parts = []
            for place in places:
                value, _ = self._structure(site.templates[1 + place], row, site.starts[1 + place])
                parts.append(self._plain(self.conjugated(value), out))
            return (Sequence(tuple(parts)) if isinstance(t.argnums, tuple) else parts[0]), at + 1
        if is_complex(out):
            u, at = self._blocks(out.items[0], t, site, places, blocks, at)
            v, at = self._blocks(out.items[1], t, site, places, blocks, at)
            return self._of_complex(u, v, t), at
        if isinstance(out, Tree) and out.shape[0] in STRUCTURES:
            items = []
            for i in out.items:
                item, at = self._blocks(i, t, site, places, blocks, at)
                items.append(item)
            return self._remade(out, tuple(items)), at
        return NONE, at + len(self.types(out))

    def _of_complex(self, u: Value, v: Value, t) -> Value:
        """The derivative of u + iv, from those of u and of v; by complex arguments f' = du/dx + i dv/dx."""
        if isinstance(u, Leaf):
            return Complex(u, v)
        if isinstance(u, Complex):
            if not t.holomorphic:
                self.error(
                    f"{t.kind} of complex results by complex arguments",
                    "use holomorphic=True, or jvp and vjp where the function is not holomorphic",
                )
            return Complex(u.re, v.re)
        if isinstance(u, (Sequence, Record, Mapping)):
            return replace(u, items=tuple(self._of_complex(a, b, t) for a, b in zip(u.items, v.items, strict=True)))
        return u

    def _plain(self, value: Value, out: Dyn) -> Value:
        """A derivative is a Python float where both the result and the argument are."""
        if isinstance(value, Leaf):
            scalar = not isinstance(value.type, Array)
            return Leaf(value.node, scalar and value.py and out.py, scalar and value.zero_d and out.zero_d)
        if isinstance(value, Complex):
            return Complex(self._plain(value.re, out), self._plain(value.im, out))
        if isinstance(value, (Sequence, Record, Mapping)):
            items = tuple(self._plain(i, out) for i in value.items)
            if isinstance(value, Sequence):
                return Sequence(items, value.kind)
            return Record(value.cls, items) if isinstance(value, Record) else Mapping(value.keys, items)
        return value

    # ---- stop_gradient -----------------------------------------------------------------------------------------------
    def _stopped(self, value: Value) -> Value:
        if several(value):
            return self.over(value, self._stopped)
        if isinstance(value, Leaf):
            if not is_float(value.type) or value.known:
                return value
            return Leaf(self.emit(control.stop_gradient, value.node), value.py, value.zero_d)
        if isinstance(value, Complex):
            return Complex(self._stopped(value.re), self._stopped(value.im))
        if isinstance(value, Sequence):
            return Sequence(tuple(map(self._stopped, value.items)), value.kind)
        if isinstance(value, Record):
            return Record(value.cls, tuple(map(self._stopped, value.items)))
        if isinstance(value, Mapping):
            return Mapping(value.keys, tuple(map(self._stopped, value.items)))
        return value

    # ---- checkpoint --------------------------------------------------------------------------------------------------
    def _checkpoint(self, args, keywords) -> Value:
        """`checkpoint(f)`, `for … in checkpoint(xs)`, `while checkpoint(condition)`."""
        bound = dict(zip(["x", "levels"], args, strict=False))
        for k, v in keywords:
            if k not in ("x", "levels") or k in bound:
                self.error(f"checkpoint() got an unexpected argument '{k}'", CHECKPOINT)
            bound[k] = v
        if "x" not in bound or len(args) > 2:
            self.error("checkpoint() takes one thing, and levels", CHECKPOINT)
        x = bound["x"]
        if several(x):
            return self.over(x, lambda v: self._checkpoint([v, *list(bound.values())[1:]], ()))
        functions = (Closure, Bound, Ruled, Transformed, AtPoint)
        function = isinstance(x, functions) or isinstance(x, Static) and callable(x.value)
        if function or isinstance(x, Record) and any("__call__" in vars(c) for c in x.cls.__mro__):
            if "levels" in bound:
                self.error("levels are those of a loop: a function has none", "checkpoint(f)")
            return Transformed("checkpoint", x, None, False)
        levels = self._levels(bound.get("levels"))
        number = isinstance(x, Leaf) and not isinstance(x.type, Array)
        return Iterator("checkpoint", (x if number else library.iterable(self, x), Static(levels)))

    def _levels(self, value: Value | None):
        if value is None:
            return 2
        if isinstance(value, Static) and value.value is None:
            return "log"
        if isinstance(value, Leaf) and value.known and type(value.node.value) is int and value.node.value >= 1:
            return value.node.value
        self.error("levels is a positive int known at compile time, or None", "levels=2")

    def _checkpointed(self, t, args, keywords) -> Value:
        """A call whose arguments alone are saved for the backward pass, which calls the function again."""
        names, count = [k for k, _ in keywords], len(args)
        values = [t.function, *args, *(v for _, v in keywords)]

        def walk(inside):
            def call():
                f, *given = inside
                return self.call(f, given[:count], tuple(zip(names, given[count:], strict=True)))

            graph = self.graph
            return self.attempt(lambda: [End(graph, call(), self.aliases.versions)])

        code = ("checkpoint", tuple(names), count)
        return self.closed(code, self._function_name(t.function), values, [None] * len(values), walk, checkpoint=True)
