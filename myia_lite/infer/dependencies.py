"""What a compiled program took from outside at compile time, and whether it is still so.

A dependency has a `value` and `current()`, which is that very object as long as nothing has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType
from typing import Any

BY_VALUE = (bool, int, float, str, tuple, MethodType)  # objects that are made anew each time they are asked for


class Changed:
    """What `current()` gives for something that is no longer the same."""

    def __repr__(self):
        return "changed"


CHANGED = Changed()


@dataclass(frozen=True, eq=False)
class Attribute:
    """An attribute that was read."""

    owner: Any
    name: str
    value: Any

    def current(self) -> Any:
        now = getattr(self.owner, self.name, CHANGED)
        if type(now) is type(self.value) and isinstance(now, BY_VALUE) and now == self.value:
            return self.value
        return now


@dataclass(frozen=True, eq=False)
class Contents:
    """The items of a list or a dict."""

    owner: Any
    value: tuple

    @classmethod
    def of(cls, owner) -> Contents:
        return cls(owner, _items(owner))

    def current(self) -> Any:
        now = _items(self.owner)
        unchanged = len(now) == len(self.value) and all(
            a is b or (type(a) is type(b) and isinstance(a, BY_VALUE) and a == b)
            for a, b in zip(now, self.value, strict=True)
        )
        return self.value if unchanged else CHANGED


def _items(owner) -> tuple:
    return tuple(x for item in owner.items() for x in item) if isinstance(owner, dict) else tuple(owner)
