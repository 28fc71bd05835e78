"""Which small arrays of a program become scalars.

An array of a few elements, all of whose users want single elements, is its elements: three numbers in registers, not a
counted object in memory.  What carries such an array without looking at it (a loop's state, the result of a branch, a
frame of a stack) carries its elements.

The answer is the greatest set that is consistent: all candidates are in it at first, and one that is used as a whole,
or that no formula gives element by element, takes with it those it is carried with.  Left alone are arguments and
results of closed graphs and the fields of sums.
"""

from __future__ import annotations

import math

from ..ir import Apply, Array, Constant, Graph, Never, Node, Parameter, Stack, Tuple, Type
from .terms import known

ELEMENTS = 32  # of an array that is put together from parts, and taken apart
COMPUTED = 9  # where elements are computed alike: more of them are better off in a loop over vectors
COSTLY = 4  # the same, where that loop has a vector function and a number alone a call
PRODUCTS = 64  # multiplications of a matrix product
GROWTH = 1  # by how much a program may grow, as a multiple of its nodes, beside ROOM
ROOM = 2000

CHEAP = frozenset(
    "add sub mul div neg abs sign square sqrt maximum minimum eq ne lt le gt ge select cast logical_not bit_and bit_or "
    "bit_xor bit_not isnan isinf isfinite signbit copysign".split()
)
FOLDS = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "maximum",
    "reduce_min": "minimum",
    "reduce_any": "bit_or",
    "reduce_all": "bit_and",
}
WRITES = {"slice_set": "set_elem", "slice_add": "add_elem"}
CONTROL = frozenset({"switch", "case", "loop", "recur"})
PLACES = frozenset({"get", "tuple", "stack_new", "stack_push", "stack_pop", "stack_len"}) | CONTROL
ELEM = "elem"  # the step of a path into the frames of a stack


def leaves(t: Type, path: tuple = ()):
    """The arrays in a value of type `t`: (path, type)."""
    if isinstance(t, Array):
        yield path, t
    elif isinstance(t, Tuple):
        for k, e in enumerate(t.elems):
            yield from leaves(e, (*path, k))
    elif isinstance(t, Stack):
        yield from leaves(t.elem, (*path, ELEM))


def within(t: Type, path: tuple) -> Type:
    for step in path:
        t = t.elem if step == ELEM else t.elems[step]
    return t


def count(t: Array) -> int:
    return math.prod(t.shape)


def tail(g: Graph) -> Apply | None:
    """The control node whose value `g` returns as it is."""
    r = g.result
    return r if g.nodes and r is g.nodes[-1] and r.op.name in CONTROL else None


def starts(n: Apply):
    """The first position of what a slice reads or writes."""
    first = 1 if n.op.name == "slice" else 2
    return n.args[first : first + len(n.attrs["steps"])]


class Small:
    """The small arrays of a closed graph: `node in small`, and `small.holds(owner, path)` for an array in a tuple or
    stack, whose owner is a node, or a graph that returns it."""

    def __init__(self, g: Graph, limit: int = ELEMENTS):
        self.limit = limit
        self.above: dict = {}  # union-find over places, (owner, path): those in one class are one kind of value
        self.members: dict = {}
        self.into: dict = {}  # place -> the nodes that are put there
        self.flows: dict[Node, list] = {}  # and back
        self.pinned: set = set()
        self.types: dict = {}
        self.uses: dict[Node, list] = {}
        self.nodes: list[Node] = []  # those whose value is an array
        self._visit(g)
        self.alive = {
            r for r in self.members if r not in self.pinned and all(self._fits(self.types[m]) for m in self.members[r])
        }
        if self.alive:
            self._settle()

    def __contains__(self, n: Node) -> bool:
        return isinstance(n.type, Array) and self.holds(n, ())

    def holds(self, owner, path: tuple) -> bool:
        place = owner, path
        return place in self.above and self._root(place) in self.alive

    def growth(self) -> int:
        """About how many nodes stand for the arrays that are replaced."""
        return sum(_work(n) for n in self.nodes if isinstance(n, Apply) and n in self)

    def _fits(self, t: Array) -> bool:
        return None not in t.shape and 0 < count(t) <= self.limit

    # ---- places
    def _root(self, place):
        while self.above[place] != place:
            self.above[place] = place = self.above[self.above[place]]
        return place

    def _enter(self, owner, t: Type, path: tuple = ()):
        for rest, leaf in leaves(t):
            place = owner, (*path, *rest)
            if place not in self.above:
                self.above[place] = place
                self.members[place] = [place]
                self.types[place] = leaf

    def _same(self, a, b, at: tuple = (), where: tuple = ()) -> None:
        """What `a` has at path `at` is what `b` has at path `where`."""
        s, t = _type(a), _type(b)
        if Never in (s, t):
            return
        s, t = within(s, at), within(t, where)
        self._enter(a, s, at)
        self._enter(b, t, where)
        if s != t:
            self._pin(a, s, at)
            self._pin(b, t, where)
            return
        for rest, _ in leaves(s):
            x, y = self._root((a, (*at, *rest))), self._root((b, (*where, *rest)))
            if x != y:
                if len(self.members[x]) < len(self.members[y]):
                    x, y = y, x
                self.above[y] = x
                self.members[x] += self.members.pop(y)
                if y in self.pinned:
                    self.pinned.add(x)

    def _pin(self, owner, t: Type, path: tuple = ()) -> None:
        self._enter(owner, t, path)
        for rest, _ in leaves(t):
            self.pinned.add(self._root((owner, (*path, *rest))))

    def _flow(self, a: Node, owner, path: tuple = ()) -> None:
        """`a` is put at a place; an array may be taken apart on the way."""
        if isinstance(a.type, Array):
            t = within(_type(owner), path)
            self._enter(owner, t, path)
            self.into.setdefault((owner, path), []).append(a)
            self.flows.setdefault(a, []).append((owner, path))
            if t != a.type:
                self._pin(owner, t, path)
        elif isinstance(a, Constant):
            self._pin(owner, within(_type(owner), path), path)
        else:
            self._same(a, owner, (), path)

    def _visit(self, g: Graph) -> None:
        for p in g.params:
            self._value(p)
            if g.parent is None:
                self._pin(p, p.type)
        for n in g.nodes:
            self._value(n)
            for k, a in enumerate(n.args):
                if isinstance(a.type, Array):
                    self.uses.setdefault(a, []).append((n, k))
            name = n.op.name
            if name in PLACES:
                self._place(n, name)
            else:
                whole = name == "make" or n.graphs or n.op.effect
                for a in (n, *n.args):
                    if (whole or not isinstance(a.type, Array)) and not isinstance(a, Constant):
                        self._pin(a, a.type)
        r = g.result
        if isinstance(r, Constant):
            self._pin(g, _type(g))
        elif g.parent is None:
            self._pin(r, r.type)
        elif r.type is not Never:
            if tail(g) is r or not isinstance(r.type, Array):
                self._same(r, g)
            else:
                self._flow(r, g)
                self.uses.setdefault(r, []).append((g, 0))

    def _value(self, n: Node) -> None:
        self._enter(n, n.type)
        if isinstance(n.type, Array):
            self.nodes.append(n)

    def _place(self, n: Apply, name: str) -> None:
        if name == "get":
            self._same(n, n.args[0], (), (n.attrs["index"],))
        elif name == "tuple":
            for k, a in enumerate(n.args):
                self._flow(a, n, (k,))
        elif name == "stack_push":
            self._same(n, n.args[0])
            self._flow(n.args[1], n, (ELEM,))
        elif name == "stack_pop":
            self._same(n, n.args[0], (0,))
            self._same(n, n.args[0], (1,), (ELEM,))
        elif name == "recur":
            (header,) = n.graphs
            self._same(n, header)
            for p, a in zip(header.params, n.args, strict=True):
                self._flow(a, p)
        elif name in CONTROL:
            for h in n.graphs:
                self._visit(h)
                self._same(n, h)
                if name == "case":
                    for p in h.params:
                        self._pin(p, p.type)
            if name == "loop":
                for p, a in zip(n.graphs[0].params, n.args, strict=True):
                    self._flow(a, p)
        if isinstance(n.type, Stack) and isinstance(n.type.elem, Array):
            self._pin(n, n.type)

    # ---- the greatest set
    def _settle(self) -> None:
        todo: list = [*self.nodes, *self.into]
        while todo:
            n = todo.pop()
            if isinstance(n, tuple):  # a place: what is put there must be elements itself, unless they are few
                root = self._root(n)
                fits = count(self.types[n]) <= COMPUTED if root in self.alive else True
                if fits or all(a in self or isinstance(a, Constant) for a in self.into[n]):
                    continue
            elif n in self and not (self._computable(n) and all(self._apart(n, *use) for use in self.uses.get(n, ()))):
                root = self._root((n, ()))
            else:
                continue
            self.alive.discard(root)
            for place in self.members[root]:
                todo += self.into.get(place, ())
                owner = place[0]
                if isinstance(owner, Node) and isinstance(owner.type, Array):
                    todo += [a for a in getattr(owner, "args", ()) if isinstance(a.type, Array)]
                    todo += [u for u, _ in self.uses.get(owner, ()) if isinstance(u, Apply)]
                    todo += self.flows.get(owner, ())

    def _computable(self, n: Node) -> bool:
        """Is there a formula for each element of a candidate?"""
        if isinstance(n, Parameter):
            return True
        name, x = n.op.name, n.args[0] if n.args else None
        if name in PLACES or name in ("iota", "concat", "broadcast"):
            return all(self._readable(a) for a in n.args) if name in ("concat", "broadcast") else True
        if n.op.elementwise:
            return count(n.type) <= (COMPUTED if name in CHEAP else COSTLY) and all(map(self._readable, n.args))
        if name in ("reshape", "transpose", "cumsum", "recurrence"):
            return all(map(self._readable, n.args))
        if name == "slice":
            return x not in self or all(map(known, starts(n)))
        if name in FOLDS:
            return x in self and _folds(n)
        if name in ("set_elem", "add_elem"):
            return all(map(known, n.args[2:]))
        if name in WRITES:
            return all(map(known, starts(n))) and self._readable(n.args[1])
        if name == "matmul":
            a, b = n.args
            return n.type.rank == 2 and self._readable(a) and self._readable(b) and _work(n) <= PRODUCTS
        return False

    def _readable(self, x: Node) -> bool:
        """May all its elements be read, one by one?"""
        return not isinstance(x.type, Array) or None not in x.type.shape and count(x.type) <= self.limit

    def _apart(self, x: Node, user, k: int) -> bool:
        """Does the user want elements of the candidate `x`, its argument `k`?"""
        if isinstance(user, Graph):
            return self.holds(user, ())
        name = user.op.name
        if name == "tuple":
            return self.holds(user, (k,))
        if name in ("loop", "recur"):
            return self.holds(user.graphs[0].params[k], ())
        if name == "elem":
            return all(map(known, user.args[1:]))
        if name in FOLDS or name == "reshape":
            return user in self or not isinstance(user.type, Array) and (name == "reshape" or _folds(user))
        if name in WRITES and k == 1 and user not in self:
            return count(x.type) <= COMPUTED or _assembled(x)
        return user in self


def _type(owner) -> Type:
    return owner.result_type if isinstance(owner, Graph) else owner.type


def _folds(n: Apply) -> bool:
    """Is its fold a primitive on numbers of that dtype?"""
    return (n.args[0].type.dtype == "bool") == (n.op.name in ("reduce_any", "reduce_all"))


def _work(n: Apply) -> int:
    if n.op.name == "matmul":
        a = n.args[0].type.shape
        return count(n.type) * a[-2 if n.attrs["ta"] else -1]
    return count(n.type)


def _assembled(x: Node) -> bool:
    """Is it put together from parts?  A copy, or a fill, is better off as a loop."""
    while isinstance(x, Apply) and x.op.name in ("reshape", "transpose"):
        x = x.args[0]
    return isinstance(x, Apply) and x.op.name in ("concat", "set_elem", "add_elem", "slice_set", "slice_add", "matmul")
