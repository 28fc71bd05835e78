"""What decides on machine code beside the program: versions, this package's own source, the CPU, the settings."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
SETTINGS = ("MYIA_", "OMP_", "OPENBLAS_", "GOTO_")  # variables that a compiler or a BLAS looks at
OWN = ("MYIA_CACHE", "MYIA_CACHE_DIR", "MYIA_CACHE_SIZE", "MYIA_VERIFY")  # these decide on no code


@lru_cache(1)
def fixed() -> str:
    """What stays the same while the process runs."""
    from ..backends.llvm import loader

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [sys.version, sys.flags.optimize, np.__version__, _version("scipy"), _version("llvmlite"), cores]
    return "\n".join(map(str, [*parts, *loader.target(), ROOT, *_sources(ROOT)]))


def settings() -> str:
    """Variables of the environment, which a program may change."""
    return repr(sorted((k, v) for k, v in os.environ.items() if k.startswith(SETTINGS) and k not in OWN))


def _version(package: str) -> str:
    """What its folder says of the version of a package, without an import: it takes long."""
    spec = find_spec(package)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    for name in ("version.py", "_version.py"):
        if folder is not None and (folder / name).exists():
            return (folder / name).read_text()
    return "none"


def _sources(folder: Path):
    """Each file of the compiler, by size and time of its last change: reading them would take longer than a hit may."""
    for e in sorted(os.scandir(folder), key=lambda e: e.name):
        if e.is_dir() and e.name != "__pycache__":
            yield from _sources(Path(e.path))
        elif e.name.endswith(".py"):
            found = e.stat()
            yield f"{e.name} {found.st_size} {found.st_mtime_ns}"
