"""Programs on disk: in come a function and the types of its arguments, out goes the program that a former process made.

Guaranteed: an entry is found only where everything that decided on its machine code is the same (source, closures,
globals and callees that were read, types, options, versions, CPU), a damaged or a foreign file is never used, nothing
is unpickled or evaluated, and no failure of the cache is a failure of the call.
"""

from __future__ import annotations

import os

OFF = ("0", "off", "false", "no")


def off() -> bool:
    """Is it switched off?"""
    return os.environ.get("MYIA_CACHE", "").lower() in OFF


def place(function, error_model: str, args: tuple, keywords: tuple):
    """Where the program of this function for these types would be; None where the cache is off, or the function has no
    plain description.
    """
    if off():
        return None
    from . import entry  # with the first call, as the rest of what it needs

    return entry.place(function, error_model, args, keywords)


class CodeStore:
    """Code by key, for a back end: in the store that is in use at the time."""

    def _files(self):
        if off():
            return None
        from . import store

        return store.current()

    def read(self, name: str) -> bytes | None:
        files = self._files()
        return None if files is None else files.read(f"{name}.object")

    def write(self, name: str, content: bytes) -> bool:
        files = self._files()
        return files is not None and files.write(f"{name}.object", content)


__all__ = ["CodeStore", "place"]
