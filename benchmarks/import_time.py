"""How long `import myia_lite` takes in a new process, and how much of that is NumPy's."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .harness import Row, benchmark

PROGRAM = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def compiled_modules(folder: str) -> dict[str, str]:
    """What has a process keep modules as byte code in a folder, as an installed package has them; also where the
    environment says that no byte code is to be written."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder, "modules"))}


def seconds(module: str, folder: str) -> float:
    """The time of one import, in a process of its own."""
    root, env = Path(__file__).parent.parent, {**os.environ, **compiled_modules(folder)}
    command = [sys.executable, "-c", PROGRAM.format(module)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


@benchmark
def run():
    """Medians of alternating processes, after one that compiles the modules."""
    with tempfile.TemporaryDirectory() as folder:
        seconds("myia_lite", folder)
        times = [(seconds("myia_lite", folder), seconds("numpy", folder)) for _ in range(9)]
    ours, theirs = (statistics.median(t) for t in zip(*times, strict=True))
    yield Row("import myia_lite", ours, target=0.15)
    yield Row("import myia_lite, beside numpy alone", ours, "numpy", theirs)
