"""Timing by alternation, rows of the table, the registry of benchmarks, and compiled C."""

import ctypes
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

os.environ.setdefault("MYIA_CACHE", "0")  # what is compiled here is compiled here; cache.py switches it on
FIFTIETH = 1 / 50  # what a program in scalars or loops may take of the time of JAX or PyTorch
BENCHMARKS: dict[str, Callable[[], Iterator["Row"]]] = {}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ours` and `theirs` are in seconds, or in the `unit` named.  With a peer, `target` bounds the ratio ours / theirs;
    without one it bounds `ours`.  `theirs` is None where the peer is not installed.
    """

    what: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    target: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """ours / theirs, where there is such a thing."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none, or no peer to compare with."""
        measured = self.ratio if self.peer else self.ours
        return None if self.target is None or measured is None else measured <= self.target


def benchmark(run: Callable[[], Iterator[Row]]):
    """Enter a function that yields rows in the registry, under the name of its module."""
    BENCHMARKS[run.__module__.rpartition(".")[2]] = run
    return run


def medians(*contenders: Callable[[], object], rounds: int = 15, least: float = 0.005) -> list[float]:
    """Median seconds of one call of each contender, run in turn.

    Each is called once to warm up; a timing holds as many calls as fill `least` seconds.
    """
    counts = []
    for call in contenders:
        call()
        start = time.perf_counter()
        call()
        counts.append(max(1, round(least / max(time.perf_counter() - start, 1e-9))))
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for call, count, seconds in zip(contenders, counts, times, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                call()
            seconds.append((time.perf_counter() - start) / count)
    return [statistics.median(seconds) for seconds in times]


def check_equal(ours, theirs, rtol: float = 1e-9, what: str = "results"):
    """Stop the benchmark unless two (tuples of) results agree: a fast wrong answer is no answer.

    Raises AssertionError.
    """
    if isinstance(ours, tuple | list):
        assert len(ours) == len(theirs), f"{what}: {len(ours)} and {len(theirs)} of them"
        for a, b in zip(ours, theirs, strict=True):
            check_equal(a, b, rtol, what)
        return
    a, b = np.asarray(ours), np.asarray(theirs.detach() if hasattr(theirs, "detach") else theirs)
    scale = max(1e-300, float(np.max(np.abs(b), initial=0.0)))
    assert a.shape == b.shape, f"{what}: shapes {a.shape} and {b.shape}"
    assert np.all(np.isfinite(a)), f"{what}: not finite"
    assert np.max(np.abs(a - b), initial=0.0) <= rtol * scale, f"{what} differ: {a} and {b}"


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of a single call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def first_call(make: Callable[[], Callable[[], object]], rounds: int = 3) -> float:
    """Median seconds of the first call of a newly made function, which is when it is compiled."""
    return statistics.median(seconds_of(make()) for _ in range(rounds))


def peer(name: str):
    """The module of that name, or None if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def compare(
    what: str,
    ours: Callable[[], object],
    peers: dict[str, Callable[[], object] | None],
    targets: dict[str, float] | float | None = None,
    rtol: float = 1e-6,
    rounds: int = 15,
) -> Iterator[Row]:
    """A row for each peer: the same derivative, in turn, once all results agree; None is a peer that is not installed.

    `targets` bounds the ratio to each peer, or to all.  Without a peer at hand there is one row with our time.
    """
    result, calls = ours(), {name: call for name, call in peers.items() if call is not None}
    for name, call in calls.items():
        check_equal(result, call(), rtol, f"{what}: ours and {name}")
    first, *rest = medians(ours, *calls.values(), rounds=rounds)
    times = dict(zip(calls, rest, strict=True))
    for name in peers:
        target = targets.get(name) if isinstance(targets, dict) else targets
        yield Row(what, first, name, times.get(name), target)
    if not peers:
        yield Row(what, first)


def compile_c(source: str, *signatures: tuple[str, object, list], flags: tuple[str, ...] = ("-O2",)) -> tuple | None:
    """The functions of a C source compiled by `cc` with `flags`, each given as (name, result type, argument types).

    None where there is no C compiler.
    """
    if shutil.which("cc") is None:
        return None
    folder = Path(tempfile.gettempdir()) / f"myia-lite-benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    stem = folder / hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()[:16]
    library = stem.with_suffix(".so")
    if not library.exists():
        stem.with_suffix(".c").write_text(source)
        command = ["cc", *flags, "-shared", "-fPIC", "-o", f"{library}.tmp", f"{stem}.c", "-lm"]
        subprocess.run(command, check=True)
        os.replace(f"{library}.tmp", library)
    loaded = ctypes.CDLL(str(library))
    functions = []
    for name, result, arguments in signatures:
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
        functions.append(function)
    return tuple(functions)


FAST = ("-O3", "-march=native")  # for code that stands for the best a compiler makes of a derivative by hand
ARRAY, LONG, DOUBLE = np.ctypeslib.ndpointer(np.float64, flags="C"), ctypes.c_long, ctypes.c_double
INTEGERS = np.ctypeslib.ndpointer(np.int64, flags="C")


def by_hand(program: str, name: str, *arguments, result=None):
    """The function `name` of `by_hand/<program>.c`, written by hand; None where there is no C compiler."""
    source = (Path(__file__).parent / "by_hand" / f"{program}.c").read_text()
    functions = compile_c(source, (name, result, list(arguments)), flags=FAST)
    return functions and functions[0]


def check_direction(value: Callable, gradients: dict[int, np.ndarray], arguments: tuple, step=1e-6, rtol=1e-5):
    """Stop the benchmark unless the gradients (by index of the argument) agree with a difference quotient of `value`
    along a random direction."""
    rng = np.random.default_rng(1)
    ahead, behind, slope = list(arguments), list(arguments), 0.0
    for k, gradient in gradients.items():
        along = rng.standard_normal(np.shape(arguments[k]))
        ahead[k], behind[k] = arguments[k] + step * along, arguments[k] - step * along
        slope += float(np.sum(gradient * along))
    check_equal(slope, (value(*ahead) - value(*behind)) / (2 * step), rtol, "the slope and a difference quotient")


def peak_memory() -> int:
    """The most memory this process has had resident so far, in bytes.

    Linux counts in `ru_maxrss` what the parent had when it forked, but in VmHWM only what the program itself took.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_new_process(module: str, function: str) -> float:
    """The number that `benchmarks.<module>.<function>()` returns in a process of its own, with its memory fresh."""
    program = f"from benchmarks.{module} import {function}; print({function}())"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])
