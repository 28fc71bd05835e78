"""Records of forward passes in the code of an entry function: taken from its arguments, handed over as results."""

from __future__ import annotations

from ...ir import Residual
from .arenas import ARENA_DATA, escapes
from .layout import NULL, PTR, flatten, i64, load_parts, parts, sizeof, store_parts, unflatten
from .memory import visit


def sizes(types) -> list[int]:
    """The bytes of the parts of each record, in whole words."""
    return [(sizeof(parts(t)) + 7) // 8 * 8 for t in types if escapes(t)]


def load(entry, t: Residual, at: int):
    """A record among the arguments."""
    pointer = entry.load(entry.args, 8 * at, PTR)
    return unflatten(t, load_parts(entry.b, pointer, parts(t)))


class Escape:
    """The records among the results of a program, as its entry function hands them over."""

    def __init__(self, entry, types):
        self.entry, self.at = entry, ARENA_DATA
        words = sizes(types)
        arena = entry.b.call(entry.module.runtime("rt_arena"), [entry.context, i64(len(words)), i64(sum(words))])
        entry.check(entry.b.icmp_unsigned("!=", arena, NULL))
        self.arena = arena

    def record(self, value, t: Residual):
        """The address of the record's parts, which are in the arena."""
        e = self.entry
        visit(e.module, e.b, "freeze", self.arena, value, t)
        pointer = e.offset(self.arena, self.at)
        store_parts(e.b, flatten(value, t), pointer, parts(t))
        self.at += sizes([t])[0]
        return pointer

    def leave(self):
        e = self.entry
        e.b.call(e.module.runtime("rt_leave"), [e.context, self.arena])
        return self.arena
