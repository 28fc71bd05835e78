"""Derivatives of functions whose result has one of several shapes, which only the running program knows.

Such a part of a result is *spread*: the number of the shape that it has, and a value of each, of which the others are
constants.  So tangents and cotangents of all of them are ordinary leaves; what comes out is gathered again.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import MyiaTypeError, Node, constant
from ..ops import elementwise
from .joins import several
from .structures import Template, Tree, generalised
from .transforms import Transforms
from .values import Mapping, Record, Sequence, Spread, Value


class Several(Transforms):
    """Spreading and gathering."""

    def _spread(self, value: Value) -> Value:
        """`value`, with its parts of several shapes spread out over all of these."""
        if several(value):
            alternatives = [(tag, generalised(t)) for tag, t in value.alternatives.alternatives]

            def one(tag, v):
                k = [name for name, _ in alternatives].index(tag)
                items = [v if name == tag else self._any(t) for name, t in alternatives]
                return Spread((self.const(k), *map(self._spread, items)))

            return self.merge(*self.cases(value, one))
        if isinstance(value, (Sequence, Mapping, Record)):
            return replace(value, items=tuple(map(self._spread, value.items)))
        return value

    def _any(self, t: Template) -> Value:
        """Some value of a template."""
        return self.rebuild(t, iter([self.dummy(x) for x in self.types(t)]))

    def _gathered(self, value: Value) -> Value:
        """The inverse of `_spread`."""
        if isinstance(value, Spread):
            tag, *items = value.items
            return self._chosen(tag.node, [lambda v=v: self._gathered(v) for v in items])
        if isinstance(value, (Sequence, Mapping, Record)):
            return replace(value, items=tuple(map(self._gathered, value.items)))
        return value

    def _chosen(self, tag: Node, makes: list, first: int = 0) -> Value:
        """What the one with the number `tag` of the functions `makes` gives."""
        if len(makes) == 1:
            return makes[0]()
        here = self.emit(elementwise.eq, tag, constant(first))
        return self.switch(here, makes[0], lambda: self._chosen(tag, makes[1:], first + 1))

    def _direction_of_several(self, t: Tree, value: Value, primal, at: int, what: str, found, unless) -> int:
        """A direction fits some of the shapes; the value has to have one of these."""
        tag, fits, errors, nodes = primal[at], [], [], self.graph.nodes
        at += 1
        for k, i in enumerate(t.items[1:]):
            other = self.emit(elementwise.ne, tag, constant(k))
            if unless is not None:
                other = self.emit(elementwise.bit_or, unless, other)
            start, mine = len(nodes), {}
            try:
                self._direction(i, value, primal, at, what, mine, other)
                fits.append(k)
                found |= mine
            except MyiaTypeError as error:
                errors.append(error)
                del nodes[start:]
                self.guard("TypeError", f"{what} does not have the structure of the value, {i}", other)
            at += len(self.types(i))
        if not fits:
            raise errors[-1]
        return at

    def _one_shape(self, t: Template, what: str) -> None:
        """Refuse what is spread."""
        if is_spread(t):
            message = f"{what} returns {t}: its structure is known at run time only"
            self.error(message, "return one structure on all paths, or use jvp, vjp or linearize")
        for i in t.items if isinstance(t, Tree) else ():
            self._one_shape(i, what)


def is_spread(t: Template) -> bool:
    return isinstance(t, Tree) and t.shape[0] == "spread"


def tags_of(t: Template, types, at: int = 0) -> list[int]:
    """The numbers of the leaves of `t` that say which of several shapes a part has; `types` gives those of leaves."""
    out = [at] if is_spread(t) else []
    for i in t.items if isinstance(t, Tree) else ():
        out += tags_of(i, types, at)
        at += len(types(i))
    return out
