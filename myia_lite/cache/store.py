"""Files of the cache: written at once and whole, read only if whole and the user's own; the least recently used go.

A file is a magic number, a digest of all that follows, and the content.  Nothing in it is unpickled or evaluated.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

from . import off

MAGIC = b"myia\x00\x01\r\n"
HEAD = len(MAGIC) + hashlib.sha256().digest_size
LIMIT = 512 << 20  # bytes in all; `MYIA_CACHE_SIZE` says otherwise
SLACK = 0.8  # of the limit is left after a clearing


def directory() -> Path | None:
    """Where the cache is: `MYIA_CACHE_DIR`, else the platform's place for caches; None where it is switched off."""
    if off():
        return None
    if chosen := os.environ.get("MYIA_CACHE_DIR"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("myia_lite", appauthor=False)


def limit() -> int:
    """How many bytes the cache may take."""
    try:
        return int(os.environ["MYIA_CACHE_SIZE"])
    except (KeyError, ValueError):
        return LIMIT


class Store:
    """The files of one directory."""

    def __init__(self, path: Path):
        self.path, self.usable = path, True
        self.written: int | None = None  # bytes since the last clearing

    def _refuse(self, what: str) -> None:
        """Say once why the directory is not used."""
        self.usable = False
        warnings.warn(f"the cache {self.path} is not used: {what}", RuntimeWarning, stacklevel=2)

    def _trusted(self, path: Path, kind=stat.S_ISREG) -> bool:
        """Is it the user's own, and can nobody else write to it?"""
        found = os.lstat(path)
        mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        return kind(found.st_mode) and mine and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)

    def _open(self) -> bool:
        """Is the directory there and fit for use?"""
        if not self.usable:
            return False
        try:
            if not self._trusted(self.path, stat.S_ISDIR):
                self._refuse("it is not the user's own, or others may write to it")
        except FileNotFoundError:
            return False
        except OSError as error:
            self._refuse(str(error))
        return self.usable

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none, or it is not as it was written."""
        if not self._open():
            return None
        path = self.path / name
        try:
            if not self._trusted(path):
                self._refuse(f"{name} is not the user's own, or others may write to it")
                return None
            data = path.read_bytes()
        except OSError:
            return None
        if data[: len(MAGIC)] != MAGIC or hashlib.sha256(data[HEAD:]).digest() != data[len(MAGIC) : HEAD]:
            self.drop(name)
            return None
        with suppress(OSError):  # the directory may be one that can only be read
            os.utime(path)  # the time of its last use
        return data[HEAD:]

    def drop(self, name: str) -> None:
        """Remove a file that is of no use."""
        with suppress(OSError):  # another process was first, or the directory can only be read
            os.unlink(self.path / name)

    def write(self, name: str, content: bytes) -> bool:
        """Put a file in place, whole; False where there is no room for it, or the directory cannot be written to."""
        if not self.usable:
            return False
        temporary = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._open() or not os.access(self.path, os.W_OK):
                return False
            handle, temporary = tempfile.mkstemp(prefix=".new-", dir=self.path)
            with os.fdopen(handle, "wb") as f:
                f.write(MAGIC + hashlib.sha256(content).digest() + content)
            os.replace(temporary, self.path / name)
        except OSError:
            if temporary is not None:
                self.drop(os.path.basename(temporary))
            return False
        self._clear(len(content))
        return True

    def _clear(self, size: int) -> None:
        """Drop what was not used for longest, where all together is too much: looked at by the first write, then now
        and again.
        """
        most = limit()
        if self.written is not None and self.written + size < most // 16:
            self.written += size
            return
        self.written = 0
        files = []
        with os.scandir(self.path) as found:
            for e in found:
                try:
                    s = e.stat(follow_symlinks=False)
                except OSError:
                    continue
                files.append((s.st_mtime_ns, s.st_size, e.name))
        total = sum(size for _, size, _ in files)
        for _, size, name in sorted(files) if total > most else ():
            if total <= most * SLACK:
                return
            self.drop(name)
            total -= size


_stores: dict[Path, Store] = {}


def current() -> Store | None:
    """The store in use; None where the cache is off."""
    path = directory()
    return None if path is None else _stores.setdefault(path, Store(path))
