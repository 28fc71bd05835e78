"""The first call of a second process, which finds its program on disk."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .harness import Row, benchmark
from .import_time import compiled_modules

PROGRAM = """
import sys, time
import numpy as np
from myia_lite import grad, myia
from benchmarks import gmm, network
if sys.argv[1] == "network":
    f, args = myia(network.step), (*network.inputs(), 0.1)
else:
    f, args = grad(myia(gmm.gmm), (0, 1, 2, 3)), gmm.inputs(10)
start = time.perf_counter()
f(*args)
first = time.perf_counter()
f(*args)
print(f.compilations, first - start, time.perf_counter() - first)
"""
NAMES = {"network": "network 64-128-10: training step", "gmm": "gmm: gradient"}


def times(name: str, folder: str) -> tuple[int, float, float]:
    """How many programs a new process compiles, and the seconds of its first and second call."""
    env = {**os.environ, "MYIA_CACHE": "1", "MYIA_CACHE_DIR": folder, **compiled_modules(folder)}
    command = [sys.executable, "-c", PROGRAM, name]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    count, first, second = done.stdout.split()
    return int(count), float(first), float(second)


@benchmark
def run():
    """Medians over processes, after imports; the peer is the first process, which compiles."""
    for name, title in NAMES.items():
        with tempfile.TemporaryDirectory() as folder:
            compiled, compiling, _ = times(name, folder)
            found = [times(name, folder) for _ in range(7)]
        assert compiled == 1 and not any(count for count, *_ in found), "the program was not found"
        first, second = (statistics.median(t[k] for t in found) for k in (1, 2))
        yield Row(f"{title}: first call of a second process", first, target=0.05)
        yield Row(f"{title}: first call of a second process", first, "with compilation", compiling)
        yield Row(f"{title}: second call of a second process", second)
