"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all, print the table, and save it with --save.

A run goes through the processor's cores as each tool likes, or with --threads 1 is bound to one core, ours and theirs.
"""

import argparse
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from .harness import BENCHMARKS
from .results import cells, line, protocol, save

NO_BENCHMARKS = ("__main__", "harness", "peers", "results", "gradbench")


def load():
    """Import each benchmark of this folder, which enters it in the registry."""
    for module in iter_modules([str(Path(__file__).parent)]):
        if module.name not in NO_BENCHMARKS:
            import_module(f"{__package__}.{module.name}")


def bind(threads: int) -> None:
    """Bind this process to as many cores, before any tool makes its threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MYIA_NUM_THREADS"):
        os.environ[name] = str(threads)


def main() -> int:
    """Run and print; 1 if any benchmark failed, which includes unequal results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    parser.add_argument("--threads", type=int, help="bind the run to as many cores")
    parser.add_argument(
        "--save", metavar="FOLDER", type=Path, help="write results and charts there: benchmarks/results"
    )
    given = parser.parse_args()
    if given.threads:
        bind(given.threads)
        os.execvp(sys.executable, [sys.executable, "-m", __package__, *_without_threads(sys.argv[1:])])
    load()
    names = given.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(protocol(), end="\n\n")
    print(line("program", "ours", "peer", "theirs", "ratio", "target", ""))
    failed, done = 0, {}
    for name in names:
        done[name] = []
        try:
            for row in BENCHMARKS[name]():
                done[name].append(row)
                print(line(*cells(row)).rstrip(), flush=True)
        except Exception:
            failed += 1
            print(f"{name} FAILED", flush=True)
            traceback.print_exc()
        if given.save:
            save(done, given.save)
    return 1 if failed else 0


def _without_threads(arguments: list[str]) -> list[str]:
    out, skip = [], False
    for a in arguments:
        if not skip and not a.startswith("--threads"):
            out.append(a)
        skip = a == "--threads"
    return out


if __name__ == "__main__":
    sys.exit(main())
