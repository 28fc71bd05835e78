"""How long `import myia_lite` takes in a new process, and how much of that is NumPy's."""

import statistics
import subprocess
import sys
from pathlib import Path

from .harness import Row, benchmark

PROGRAM = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """The time of one import, in a process of its own."""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(module)], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


@benchmark
def run():
    """Medians of alternating processes, after one to warm the file cache."""
    seconds("myia_lite")
    times = [(seconds("myia_lite"), seconds("numpy")) for _ in range(9)]
    ours, theirs = (statistics.median(t) for t in zip(*times, strict=True))
    yield Row("import myia_lite", ours, target=0.15)
    yield Row("import myia_lite, beside numpy alone", ours, "numpy", theirs)
