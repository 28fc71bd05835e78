"""Forward mode by graph transformation: dual numbers, without the numbers.

Beside each node that varies with what is differentiated stands its tangent, of the type that `tangent` gives it; beside
the others nothing.  The result of a region is followed by its tangents:

    primal                          with tangents
    y = sin(x)                      y = sin(x); y_dot = x_dot * cos(x)
    y = switch(c) {t} {e}           (y, y_dot) = switch(c) { the same, with tangents }
    y = loop(init) {L}              (y, y_dot) = loop(init, init_dot) { L, carrying the tangents of its state }
    y = call f(x)                   (y, y_dot) = call f~(x, x_dot), made once per set of arguments that have tangents

Tails stay tails: a `recur`, and a call at the end of a function, are so in the result, so the stack does not grow where
it did not.  Each application of the transform gives tangents of its own, so those of nested ones cannot mix.
"""

from __future__ import annotations

from ..ir import (
    Apply,
    Array,
    Builder,
    Clone,
    Graph,
    MyiaTypeError,
    Never,
    Node,
    Scalar,
    Tuple,
    Type,
    current,
    element_types,
    is_float,
)
from ..ops.arrays import broadcast, dim, dims
from ..ops.control import call, case, get, loop, make, raise_, recur, stack_len, stack_pop, stack_push, switch
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, gt
from .activity import Activity
from .custom import Custom, without_rule
from .edits import prune
from .residuals import bind_results
from .tangent import Path, differentiable, elements, leaves, pack, part, tangent, type_at, unpack, zero

Leaf = tuple[Node, Path]
TAILS = frozenset({"switch", "case", "loop", "recur", "call"})


class Forward:
    """Makes graphs with tangents; one instance serves a program, so that what it generates is shared."""

    def __init__(self):
        self.made: dict[tuple, Graph] = {}
        self.todo: list[tuple] = []
        self.linear = False

    def jvp(self, g: Graph, wrt: tuple[int, ...], linear: bool = False) -> Graph:
        """The closed graph (arguments of g, tangents of `wrt`) -> (results of g…, tangents of the float ones).

        `linear`: to be transposed, so that the rules of the program have to be linear.
        """
        self.linear = linear
        if isinstance(g.result_type, Tuple):
            paths = tuple((k,) for k, t in enumerate(g.result_type.elems) if is_float(t))
        else:
            paths = ((),) if is_float(g.result_type) else ()
        out = self.dual(g, tuple((k, ()) for k in wrt), paths)
        while self.todo:
            key = self.todo.pop()
            Dual(self, *key[:3]).function(self.made[key])
        return out

    def dual(self, f: Graph, mask: tuple[tuple[int, Path], ...], paths: tuple[Path, ...]) -> Graph:
        """f with tangents for the leaves `mask` of its parameters, and for the leaves `paths` of its result."""
        key = f, mask, paths, self.linear
        if key not in self.made:
            new = self.made[key] = Graph(f"{f.name}~", None, f.span)
            for p in f.params:
                new.parameter(p.type, p.name, p.span)
            for k, path in mask:
                p = f.params[k]
                new.parameter(tangent(type_at(p.type, path)), f"{p.name or 'x'}_dot", p.span)
            new.result_type = with_tangents(f.result_type, paths)
            self.todo.append(key)
        return self.made[key]


def with_tangents(t: Type, paths) -> Type:
    """The type of a result of type t followed by the tangents of some of its leaves."""
    if t is Never:
        return Never
    return Tuple((*element_types(t), *(tangent(type_at(t, p)) for p in paths)))


class Dual:
    """One copy of a graph with tangents."""

    def __init__(self, forward: Forward, f: Graph, mask, paths):
        self.forward, self.primal, self.mask, self.paths = forward, f, mask, paths
        self.active = Activity(f, {(f.params[k], p) for k, p in mask})
        self.env = Clone()
        self.dots: dict[Leaf, Node] = {}
        self.refused: dict[Node, MyiaTypeError] = {}  # nodes that have no tangent: an error where one is asked for
        self.takers: dict[Node, set] = {}  # node -> the elements that are taken of it, None for the whole
        self.state: dict[Graph, list[tuple[int, Path]]] = {}  # loop -> the leaves of its state that have tangents

    def function(self, new: Graph) -> None:
        f = self.primal
        params = iter(new.params)
        for p in f.params:
            self.env.nodes[p] = next(params)
        for k, path in self.mask:
            self.dots[f.params[k], path] = next(params)
        self.region(f, new, self.paths, new.result_type)

    # ---- tangents at hand
    def dot(self, n: Node, path: Path = ()) -> Node | None:
        if n in self.refused:
            raise self.refused[n]
        return self.dots.get((n, path))

    def zero(self, n: Node, path: Path) -> Node:
        return zero(type_at(n.type, path), lambda axis: dim(part(self.env.node(n), path), axis=axis))

    def given(self, n: Node, path: Path = ()) -> Node:
        """The tangent of a leaf, zero where it has none."""
        found = self.dot(n, path)
        return self.zero(n, path) if found is None else found

    # ---- regions
    def region(self, h: Graph, g: Graph, paths, out: Type) -> None:
        """Emit `h` into `g`: its nodes, its result, and the tangents of the leaves `paths` of that."""
        r = h.result
        tail = None
        if paths and isinstance(r, Apply) and r.op.name in TAILS and h.nodes and h.nodes[-1] is r:
            tail = r
        g.result_type = out
        with Builder(g):
            for n in h.nodes:
                if n is not tail:
                    self.node(n, g)
            if tail is not None:
                g.result = self.tail(tail, g, paths)
            elif r.type is Never:
                g.result = self.env.node(r)
            else:
                g.result = tuple_of(*elements(self.env.node(r)), *[self.given(r, p) for p in paths])

    def tail(self, n: Apply, into: Graph, paths) -> Node:
        """The result of a region in one node, where it can be."""
        current().span = n.span
        if n.op is recur:
            (h,) = n.graphs
            dots = [self.given(n.args[k], p) for k, p in self.state[h]]
            new = self.env.graphs[h]
            return current().emit(recur, *map(self.env.node, n.args), *dots, graphs=(new,), type=new.result_type)
        whole = tuple(p for p, _ in leaves(n.type))
        if n.op is not call:
            return getattr(self, f"dual_{n.op.name}")(n, into, paths)
        if n.type is not Never and tuple(paths) == whole:
            return self.dual_call(n, into, paths)
        self.node(n, into)
        if n.type is Never:
            return self.env.node(n)
        return tuple_of(*elements(self.env.node(n)), *[self.given(n, p) for p in paths])

    def node(self, n: Apply, into: Graph) -> None:
        current().span = n.span.made_by("forward of") if n.span else None
        handler = getattr(self, f"dual_{n.op.name}", None)
        if handler is None:
            self.rule(n, into)
        elif n.op.nests or n.op is call:
            paths = [p for p, _ in leaves(n.type) if self.active(n, p)]
            if n.op is call and paths:
                paths = [p for p, _ in leaves(n.type) if self.taken(n, p)]
            if n.type is Never or not paths:
                self.env.apply(n, into)
                return
            both = handler(n, into, paths)
            count = bind_results(self.env, n, both)
            for j, p in enumerate(paths):
                self.dots[n, p] = get(both, index=count + j)
        else:
            handler(n, into)

    def taken(self, n: Apply, path: Path) -> bool:
        """Does anybody take this leaf of the result of a call?"""
        if not self.takers:
            for g in self.primal.nested():
                for m in g.nodes:
                    for a in m.args:
                        self.takers.setdefault(a, set()).add(m.attrs["index"] if m.op is get else None)
                self.takers.setdefault(g.result, set()).add(None)
        return bool(self.takers.get(n, set()) & {None, *path[:1]})

    # ---- primitives
    def rule(self, n: Apply, into: Graph) -> None:
        op = n.op
        active = [k for k, a in enumerate(n.args) if self.dot(a) is not None]
        if op.zero_derivative is not None or not active:
            self.env.apply(n, into)
            return
        if op.derivative is None and op.linear is None and op.jvp is None:
            remedy = "wrap the part that needs none in a constant, or write it with other functions"
            raise MyiaTypeError(f"{op.name} has no derivative", n.span, remedy)
        args = [self.env.node(a) for a in n.args]
        if op.linear is not None:  # before the primal, which may consume what a zero takes its size from
            dots = [
                self.given(a) if op.is_linear_in(k) else b for k, (a, b) in enumerate(zip(n.args, args, strict=True))
            ]
            y_dot = op(*dots, **n.attrs)
            self.env.apply(n, into)
        else:
            self.env.apply(n, into)
            y = self.env.node(n)
            start = len(into.nodes)
            if op.jvp is not None:
                y_dot = op.jvp([self.dot(a) for a in n.args], y, *args, **n.attrs)
            else:
                y_dot = self.total(n, y, args, active)
            if y_dot is None:
                return
            prune(into, start, {y_dot})
        self.dots[n, ()] = y_dot

    def total(self, n, y, args, active) -> Node | None:
        """The sum over the arguments of an elementwise primitive; a scalar tangent stands for each element."""
        y_dot = None
        for k in active:
            part = n.op.derivative(self.dot(n.args[k]), y, *args, **n.attrs)[k]
            if part is not None:
                y_dot = part if y_dot is None else add(y_dot, part)
        if y_dot is not None and isinstance(y.type, Array) and isinstance(y_dot.type, Scalar):
            shape, dyn = dims(y)
            y_dot = broadcast(y_dot, *dyn, shape=shape, axes=())
        return y_dot

    # ---- data
    def dual_get(self, n, into):
        self.env.apply(n, into)
        for p, _ in leaves(n.type):
            if (dot := self.dot(n.args[0], (n.attrs["index"], *p))) is not None:
                self.dots[n, p] = dot

    def dual_tuple(self, n, into):
        self.env.apply(n, into)
        for k, a in enumerate(n.args):
            for p, _ in leaves(a.type):
                if (dot := self.dot(a, p)) is not None:
                    self.dots[n, (k, *p)] = dot

    def packed(self, n: Node) -> Node:
        """The tangent of a whole value of differentiable type."""
        dots = {p: dot for p, _ in leaves(n.type) if (dot := self.dot(n, p)) is not None}
        return pack(n.type, dots, lambda p: self.zero(n, p))

    def varies(self, n: Node) -> bool:
        return any(self.dot(n, p) is not None for p, _ in leaves(n.type))

    def dual_make(self, n, into):
        if any(map(self.varies, n.args)):
            fields = [self.packed(a) for a in n.args if differentiable(a.type)]
            self.dots[n, ()] = make(*fields, sum=tangent(n.type), tag=n.attrs["tag"])
        self.env.apply(n, into)

    def dual_stack_new(self, n, into):
        self.env.apply(n, into)

    def dual_stack_push(self, n, into):
        """Tangents are pushed as values are; a tangent stack that ends early is zero below."""
        s, v = n.args
        if self.dot(s) is not None or self.varies(v):
            self.dots[n, ()] = stack_push(self.given(s), self.packed(v))
        self.env.apply(n, into)

    def dual_stack_pop(self, n, into):
        (s,) = n.args
        s_dot = self.dot(s)
        self.env.apply(n, into)
        if s_dot is None:
            return
        wanted = [p for p, _ in leaves(n.type)]
        full, empty = Graph("full", into), Graph("zero", into)
        with Builder(full):
            popped = stack_pop(s_dot)
            top = unpack(s.type.elem, get(popped, index=1))
            full.returns(tuple_of(*[get(popped, index=0) if p == (0,) else top[p[1:]] for p in wanted]))
        with Builder(empty):
            empty.returns(tuple_of(*[s_dot if p == (0,) else self.zero(n, p) for p in wanted]))
        both = current().emit(switch, gt(stack_len(s_dot), 0), graphs=(full, empty))
        for j, p in enumerate(wanted):
            self.dots[n, p] = get(both, index=j)

    # ---- control
    def dual_switch(self, n, into, paths):
        return self.branches(n, into, paths, [None, None])

    def dual_case(self, n, into, paths):
        return self.branches(n, into, paths, list(n.args[0].type.variants))

    def branches(self, n, into, paths, tags) -> Node:
        out, graphs = with_tangents(n.type, paths), []
        for h, tag in zip(n.graphs, tags, strict=True):
            g = Graph(h.name, into, h.span)
            for p in h.params:
                self.env.nodes[p] = g.parameter(p.type, p.name, p.span)
            if tag is not None and self.dot(n.args[0]) is not None:
                with Builder(g):
                    self.fields(h, g, tag, self.dot(n.args[0]))
            self.region(h, g, paths, out)
            graphs.append(g)
        return current().emit(n.op, *map(self.env.node, n.args), graphs=graphs, type=out, span=n.span)

    def fields(self, h: Graph, g: Graph, tag: str, v_dot: Node) -> None:
        """The tangents of the fields of one variant: taken out of that of the sum, or zero where it is Z."""
        wanted = [(p, path) for p in h.params for path, _ in leaves(p.type)]
        if not wanted:
            return
        graphs = []
        for name, types in v_dot.type.variants.items():
            k = Graph(name, g)
            params = iter([k.parameter(t) for t in types])
            with Builder(k):
                if name == "Z":
                    k.result = tuple_of(*[self.zero(p, path) for p, path in wanted])
                elif name == tag:
                    parts = {}
                    for p in h.params:
                        if differentiable(p.type):
                            parts |= {(p, path): dot for path, dot in unpack(p.type, next(params)).items()}
                    k.result = tuple_of(*[parts[leaf] for leaf in wanted])
                else:
                    k.result = raise_(exception="SystemError", message="a tangent of another variant")
            k.result_type = Tuple(tuple(tangent(type_at(p.type, path)) for p, path in wanted))
            graphs.append(k)
        both = current().emit(case, v_dot, graphs=graphs)
        for j, leaf in enumerate(wanted):
            self.dots[leaf] = get(both, index=j)

    def dual_loop(self, n, into, paths):
        (h,) = n.graphs
        state = self.state[h] = [(k, p) for k, q in enumerate(h.params) for p, _ in leaves(q.type) if self.active(q, p)]
        new = self.env.graphs[h] = Graph(h.name, into, h.span)
        start = [self.given(n.args[k], p) for k, p in state]
        for p in h.params:
            self.env.nodes[p] = new.parameter(p.type, p.name, p.span)
        for k, path in state:
            q = h.params[k]
            self.dots[q, path] = new.parameter(tangent(type_at(q.type, path)), f"{q.name or 'state'}_dot", q.span)
        out = with_tangents(n.type, paths)
        self.region(h, new, paths, out)
        args = [*map(self.env.node, n.args), *start]
        return current().emit(loop, *args, graphs=(new,), type=out, span=n.span, **n.attrs)

    def dual_custom(self, n, into):
        """By the rule that the user gave."""
        if not any(map(self.varies, n.args)):
            self.env.apply(n, into)
            return
        c = Custom(n)
        if (error := c.refusal(self.varies)) is not None:
            self.refused[n] = error
            self.env.apply(n, into)
            return
        if self.forward.linear:
            c.check_linear()
        results, dots = c.push([self.env.node(a) for a in n.args], [self.given(n.args[k]) for k in c.wrt])
        self.env.nodes[n] = tuple_of(*results) if isinstance(n.type, Tuple) else results[0]
        for k, dot in zip(c.floats, dots, strict=True):
            self.dots[n, c.path(k)] = dot

    def dual_foreign(self, n, into):
        if leaves(n.type) and any(map(self.varies, n.args)):
            self.refused[n] = without_rule(n)
        self.env.apply(n, into)

    def dual_call(self, n, into, paths):
        (f,) = n.graphs
        mask = tuple((k, p) for k, a in enumerate(n.args) for p, _ in leaves(a.type) if self.dot(a, p) is not None)
        new = self.forward.dual(f, mask, tuple(paths))
        dots = [self.dot(n.args[k], p) for k, p in mask]
        return current().emit(call, *map(self.env.node, n.args), *dots, graphs=(new,), span=n.span, **n.attrs)
