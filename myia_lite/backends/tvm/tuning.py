"""Which tiles serve best for a product of given sizes: measured once by `myia-tune`, and looked up on each compilation.

(TVM's own search, MetaSchedule, is not used: it schedules blocks, of which there are none here.  Nor would it run as it
is installed: with apache-tvm-ffi 0.1.15 the serialiser on which its database relies crashes.)

A database is a folder with the file `products.jsonl`: a line for each measurement, in JSON.  A line counts if it is
whole, its tiles are some that the kernels can have, and its digest is that of its workload and of this version of the
kernels; whatever else stands there is passed over.  So a search that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import random
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from llvmlite import binding

from ...ir import Array, Builder, Graph
from ...ops.arrays import matmul
from ...ops.define import NUMPY_DTYPES
from . import gemm, tiled

VERSION = 1  # of the kernels: what was measured for others counts no more
FILE = "products.jsonl"
FIELDS = {"lanes", "rows", "vectors", "height", "depth", "width"}, {"rows", "columns", "depth"}


@dataclass(frozen=True)
class Workload:
    """A product of matrices, and what it is compiled for."""

    target: str
    machine: str
    dtype: str
    products: str
    batch: int
    m: int
    n: int
    k: int
    ta: bool
    tb: bool

    @property
    def on_device(self) -> bool:
        return not self.target.startswith('{"kind":"llvm"')

    def digest(self) -> str:
        text = json.dumps([VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self):
        batch = f"{self.batch} times " if self.batch != 1 else ""
        halves = "" if self.products == "float32" else f" in {self.products}"
        left, right = (
            (f"{x} x {y}" + " transposed" * t) for x, y, t in ((self.m, self.k, self.ta), (self.k, self.n, self.tb))
        )
        return f"{batch}{self.dtype}[{left}] @ [{right}]{halves}"


@lru_cache
def machine(kind: str) -> str:
    """What the time depends on besides the target."""
    return binding.get_host_cpu_name() if kind == "llvm" else platform.machine()


def workload(shared, dtype: str, batch, m, n, k, ta: bool, tb: bool) -> Workload | None:
    """None where a size is known only when the program runs, and where a device is emulated."""
    count = 1
    for d in batch:
        count = count * d if isinstance(count, int) and isinstance(d, int) else None
    if not all(isinstance(x, int) for x in (count, m, n, k)) or shared.options.emulated:
        return None
    products = shared.options.products if dtype == "f32" else "float32"
    kind = shared.target.kind.name
    return Workload(str(shared.target), machine(kind), dtype, products, count, m, n, k, ta, tb)


# ---- tiles -----------------------------------------------------------------------------------------------------------
def tiles_of(w: Workload, fields) -> gemm.Tiles | tiled.Tiles | None:
    """The tiles that a line of a database means; None where they are none that the kernels can have."""
    if not isinstance(fields, dict) or set(fields) != FIELDS[w.on_device]:
        return None
    if not all(type(v) is int and 0 < v <= 1 << 14 for v in fields.values()):
        return None
    if w.on_device:
        t = tiled.Tiles(**fields, halves=w.products if w.products != "float32" else "")
        return t if t.allowed(w.dtype) else None
    t = gemm.Tiles(**fields)
    return t if t.allowed() else None


def fields_of(t) -> dict[str, int]:
    return {k: v for k, v in asdict(t).items() if k != "halves"}


def candidates(w: Workload, usual) -> list:
    """All that may serve, the usual ones first, the rest in an order that is the same each time."""
    if w.on_device:
        grid = itertools.product((32, 64, 128), (32, 64, 128), (8, 16, 32))
        out = [tiles_of(w, dict(zip(("rows", "columns", "depth"), x, strict=True))) for x in grid]
    else:
        out = []
        for rows, vectors, panels, depth, width in itertools.product(
            (4, 6, 8, 12), (1, 2, 3), (4, 8, 16), (128, 256, 384), (512, 1024, 2048)
        ):
            t = gemm.Tiles(usual.lanes, rows, vectors, rows * panels, depth, width - width % (usual.lanes * vectors))
            registers = 32 if usual.lanes * gemm.ITEMSIZE[w.dtype] == 64 else 16
            out.append(t if rows * vectors + vectors + 1 <= registers else None)
    out = [t for t in out if t not in (None, usual)]
    random.Random(w.digest()).shuffle(out)
    return [usual, *out]


# ---- the database ----------------------------------------------------------------------------------------------------
class Database:
    """The measurements in a folder."""

    def __init__(self, folder):
        self.path = Path(folder) / FILE

    def measured(self, w: Workload) -> dict:
        """The seconds of all tiles that were measured for a workload."""
        out = {}
        for fields, seconds in _lines(*_stamp(self.path)).get(w.digest(), ()):
            t = tiles_of(w, fields)
            if t is not None:
                out[t] = min(seconds, out.get(t, seconds))
        return out

    def add(self, w: Workload, tiles, seconds: float) -> None:
        """Write a line, at once and whole."""
        line = {"digest": w.digest(), "workload": asdict(w), "tiles": fields_of(tiles), "seconds": seconds}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as f:
            f.write(("" if whole else "\n") + json.dumps(line) + "\n")


def _stamp(path: Path) -> tuple:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size


@lru_cache(8)
def _lines(path: str, _changed: int, size: int) -> dict[str, list]:
    """The (tiles, seconds) of each digest that is the digest of the workload beside it."""
    out: dict[str, list] = {}
    if not size:
        return out
    for text in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            w = Workload(**line["workload"])
            digest, seconds = line["digest"], line["seconds"]
            good = type(seconds) is float and 0 < seconds < 1e6 and digest == w.digest()
        except (ValueError, TypeError, KeyError, RecursionError):  # cut off, or something else
            continue
        if good:
            out.setdefault(digest, []).append((line.get("tiles"), seconds))
    return out


# ---- compiling -------------------------------------------------------------------------------------------------------
_wanted: dict | None = None  # while a program is looked through: the usual tiles of its workloads
_tried: tuple | None = None  # while tiles are measured: their workload, and they


def choice(shared, w: Workload | None, usual):
    """The tiles for a product: the fastest in the database, or the usual ones."""
    if w is None:
        return usual
    if _wanted is not None:
        _wanted.setdefault(w, usual)
    if _tried is not None and _tried[0] == w:
        return _tried[1]
    folder = shared.options.tuning or os.environ.get("MYIA_TUNE_DB")
    if not folder:
        return usual
    measured = Database(folder).measured(w)
    return min(measured, key=measured.get) if measured else usual


@contextmanager
def wanted():
    """The workloads of what is compiled inside, and their usual tiles.  (Compilation has a lock of its own.)"""
    global _wanted
    _wanted = {}
    try:
        yield _wanted
    finally:
        _wanted = None


# ---- measuring -------------------------------------------------------------------------------------------------------
def seconds(w: Workload, tiles, target: str, budget: float = 0.2) -> float:
    """The least time of a call of a program that is this product, among those that fit into the budget."""
    global _tried
    from .program import Program

    batch = (w.batch,) if w.batch != 1 else ()
    shapes = ((*batch, *((w.k, w.m) if w.ta else (w.m, w.k))), (*batch, *((w.n, w.k) if w.tb else (w.k, w.n))))
    graph = Graph("product")
    args = [graph.parameter(Array(w.dtype, s)) for s in shapes]
    with Builder(graph):
        graph.returns(matmul(*args, ta=w.ta, tb=w.tb))
    _tried = w, tiles
    try:
        program = Program(graph, target)
    finally:
        _tried = None
    rng = np.random.default_rng(0)
    given = [rng.normal(size=s).astype(NUMPY_DTYPES[w.dtype]) for s in shapes]
    if program.on_device:
        from .devices import place

        given = [place(a, program.device) for a in given]

    def once() -> float:
        start = time.perf_counter()
        program(given)
        if program.on_device:
            program.device.sync()
        return time.perf_counter() - start

    once()
    best, end = once(), time.perf_counter() + budget
    while time.perf_counter() < end:
        best = min(best, once())
    return best
