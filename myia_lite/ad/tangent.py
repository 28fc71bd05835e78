"""Tangent types, their leaves, zeros and sums.

T(float) = float, T(array of floats) = the same, T((a, b, …)) = the tuple of the tangents of its differentiable parts,
T(sum S) = a sum S~ with the same tags over the differentiable fields, plus `Z`, the structural zero; T(stack<t>) =
stack<T(t)>, of which the empty stack is the zero.  T(T(t)) = T(t).  Integers and bools have none.
"""

from __future__ import annotations

from ..ir import (
    FLOATS,
    Apply,
    Array,
    Builder,
    Constant,
    Graph,
    Node,
    Scalar,
    Stack,
    Sum,
    Tuple,
    Type,
    current,
)
from ..ops.arrays import broadcast
from ..ops.control import (
    call,
    case,
    get,
    loop,
    make,
    raise_,
    recur,
    stack_len,
    stack_new,
    stack_pop,
    stack_push,
    switch,
)
from ..ops.control import tuple_ as tuple_of
from ..ops.elementwise import add, eq

Path = tuple[int, ...]


def differentiable(t: Type, seen=frozenset()) -> bool:
    """Does a value of this type hold a float anywhere?"""
    if isinstance(t, (Scalar, Array)):
        return t.dtype in FLOATS
    if isinstance(t, Tuple):
        return any(differentiable(e, seen) for e in t.elems)
    if isinstance(t, Stack):
        return differentiable(t.elem, seen)
    if isinstance(t, Sum):
        return t not in seen and any(differentiable(f, seen | {t}) for fs in t.variants.values() for f in fs)
    return False


def tangent(t: Type) -> Type:
    """The tangent type of a differentiable type."""
    if isinstance(t, Tuple):
        return Tuple(tuple(tangent(e) for e in t.elems if differentiable(e)))
    if isinstance(t, Stack):
        return Stack(tangent(t.elem))
    if isinstance(t, Sum):
        if t.tangent is None:
            s = Sum(t.name + "~", {"Z": ()})
            t.tangent = s.tangent = s
            for tag, fields in t.variants.items():
                s.variants[tag] = tuple(tangent(f) for f in fields if differentiable(f))
        return t.tangent
    return t


def leaves(t: Type, path: Path = ()) -> list[tuple[Path, Type]]:
    """The differentiable parts of a value that have cotangents of their own: tuples are taken apart."""
    if isinstance(t, Tuple):
        return [leaf for k, e in enumerate(t.elems) for leaf in leaves(e, (*path, k))]
    return [(path, t)] if differentiable(t) else []


def part(n: Node, path: Path) -> Node:
    for k in path:
        n = n.args[k] if isinstance(n, Apply) and n.op is tuple_of else get(n, index=k)
    return n


def elements(n: Node) -> list[Node]:
    """The results that a node stands for."""
    return [part(n, (k,)) for k in range(len(n.type.elems))] if isinstance(n.type, Tuple) else [n]


def type_at(t: Type, path: Path) -> Type:
    for k in path:
        t = t.elems[k]
    return t


def structural_zero(t: Scalar) -> Constant:
    """0.0 that stands for no derivative: the optimiser may add it away, and multiply by it unseen."""
    c = Constant(0.0, t)
    c.name = "zero"
    return c


def zero(t: Type, size) -> Node:
    """The zero of tangent type T(t); `size(axis)` is a dim of an array that the type does not know."""
    if isinstance(t, Scalar):
        return structural_zero(t)
    if isinstance(t, Array):
        dyn = [size(k) for k, d in enumerate(t.shape) if d is None]
        return broadcast(structural_zero(Scalar(t.dtype)), *dyn, shape=t.shape, axes=())
    if isinstance(t, Stack):
        return stack_new(elem=tangent(t.elem))
    return make(sum=tangent(t), tag="Z")


def pack(t: Type, bars: dict[Path, Node], zero_at, path: Path = ()) -> Node:
    """A value of type T(t) from the cotangents of its leaves, zero (`zero_at(path)`) where there is none."""
    if isinstance(t, Tuple):
        return tuple_of(*[pack(e, bars, zero_at, (*path, k)) for k, e in enumerate(t.elems) if differentiable(e)])
    return bars[path] if path in bars else zero_at(path)


def unpack(t: Type, bar: Node, path: Path = ()) -> dict[Path, Node]:
    """The cotangents of the leaves of a value of type t from one of type T(t)."""
    if not isinstance(t, Tuple):
        return {path: bar} if differentiable(t) else {}
    out, j = {}, 0
    for k, e in enumerate(t.elems):
        if differentiable(e):
            out |= unpack(e, get(bar, index=j), (*path, k))
            j += 1
    return out


class Sums:
    """Addition of cotangents; graphs that add sums and stacks are made once per type."""

    def __init__(self):
        self.adders: dict[Type, Graph] = {}

    def add(self, x: Node, y: Node) -> Node:
        t = x.type
        if isinstance(t, (Scalar, Array)):
            return add(x, y)
        if isinstance(t, Tuple):
            return tuple_of(*[self.add(get(x, index=k), get(y, index=k)) for k in range(len(t.elems))])
        return current().emit(call, x, y, graphs=(self.adder(t),))

    def adder(self, t: Type) -> Graph:
        if t not in self.adders:
            g = self.adders[t] = Graph(f"add_{t.name if isinstance(t, Sum) else 'stacks'}")
            g.result_type = t
            x, y = g.parameter(t, "x"), g.parameter(t, "y")
            with Builder(g):
                g.returns(self._sums(g, t, x, y) if isinstance(t, Sum) else self._stacks(g, t, x, y))
        return self.adders[t]

    def _sums(self, g, t, x, y):
        def branch(parent, tag, fields, body):
            h = Graph(tag, parent)
            ps = [h.parameter(f) for f in fields]
            with Builder(h):
                h.result = body(h, ps)
            h.result_type = t
            return h

        def both(tag, xs):
            def body(h, _):
                def inner(tag2):
                    if tag2 == "Z":
                        return lambda k, ys: x
                    if tag2 != tag:
                        return lambda k, ys: raise_(exception="SystemError", message="cotangents of different variants")
                    return lambda k, ys: make(*[self.add(p, q) for p, q in zip(xs, ys, strict=True)], sum=t, tag=tag)

                return current().emit(case, y, graphs=[branch(h, u, f, inner(u)) for u, f in t.variants.items()])

            return body

        graphs = []
        for tag, fields in t.variants.items():
            h = Graph(tag, g)
            xs = [h.parameter(f) for f in fields]
            with Builder(h):
                h.result = y if tag == "Z" else both(tag, xs)(h, None)
            h.result_type = t
            graphs.append(h)
        return current().emit(case, x, graphs=graphs)

    def _stacks(self, g, t, x, y):
        """Pop both (the shorter one is zero below its end) onto a third, which is then turned round."""

        def zipped(h, a, b, onto, again):
            na, nb = eq(stack_len(a), 0), eq(stack_len(b), 0)

            def one(h, s, rest):
                p = stack_pop(s)
                return again(get(p, index=0), rest, stack_push(onto, get(p, index=1)))

            def a_empty(k):
                return branch2(k, nb, lambda _: onto, lambda _: again(a, *pushed(b)))

            def pushed(s):
                p = stack_pop(s)
                return get(p, index=0), stack_push(onto, get(p, index=1))

            def a_full(k):
                def b_empty(_):
                    rest, o = pushed(a)
                    return again(rest, b, o)

                def b_full(_):
                    p, q = stack_pop(a), stack_pop(b)
                    o = stack_push(onto, self.add(get(p, index=1), get(q, index=1)))
                    return again(get(p, index=0), get(q, index=0), o)

                return branch2(k, nb, b_empty, b_full)

            return branch2(h, na, a_empty, a_full)

        def branch2(parent, c, then, other):
            hs = []
            for name, body in (("then", then), ("else", other)):
                h = Graph(name, parent)
                with Builder(h):
                    h.result = body(h)
                h.result_type = t
                hs.append(h)
            return current().emit(switch, c, graphs=hs)

        def looped(name, init, body):
            h = Graph(name, g)
            h.result_type = t
            ps = [h.parameter(t) for _ in init]
            with Builder(h):
                h.result = body(h, *ps, lambda *next: current().emit(recur, *next, graphs=(h,)))
            return current().emit(loop, *init, graphs=(h,))

        turned = looped("zip", [x, y, stack_new(elem=t.elem)], zipped)

        def turn(h, s, onto, again):
            def step(_):
                p = stack_pop(s)
                return again(get(p, index=0), stack_push(onto, get(p, index=1)))

            return branch2(h, eq(stack_len(s), 0), lambda _: onto, step)

        return looped("turn", [turned, stack_new(elem=t.elem)], turn)
