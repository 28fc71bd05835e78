"""`python -m benchmarks [NAME ...]`: run the named benchmarks, or all, and print the table."""

import argparse
import os
import platform
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from pkgutil import iter_modules

from .harness import BENCHMARKS, Row


def load():
    """Import each benchmark of this folder, which enters it in the registry."""
    for module in iter_modules([str(Path(__file__).parent)]):
        if module.name not in ("__main__", "harness"):
            import_module(f"{__package__}.{module.name}")


def protocol() -> str:
    """The machine and the versions, for the head of the table."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "llvmlite", "jax", "numba"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    return f"{cpu}, {os.cpu_count()} cores; {', '.join(versions)}\nmedians of alternating runs, after an equality check"


def shown(value: float | None, unit: str) -> str:
    """A quantity in a readable multiple of its unit."""
    if value is None:
        return "not installed"
    if unit == "s":
        for factor, name in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
            if value < 1000 * factor:
                return f"{value / factor:.3g} {name}"
    return f"{value:.3g} {unit}"


def line(*cells: str) -> str:
    """A line of the table."""
    widths = (58, 11, 22, 13, 8, 10, 6)
    return "  ".join(
        cell.ljust(w) if k in (0, 2) else cell.rjust(w) for k, (cell, w) in enumerate(zip(cells, widths, strict=True))
    )


def report(row: Row) -> str:
    """A row as a line of the table."""
    target = ""
    if row.target is not None:
        target = f"{row.target:g}×" if row.peer else shown(row.target, row.unit)
    return line(
        row.what,
        shown(row.ours, row.unit),
        row.peer,
        shown(row.theirs, row.unit) if row.peer else "",
        f"{row.ratio:.2f}×" if row.ratio is not None else "",
        target,
        {True: "met", False: "MISSED", None: ""}[row.met],
    ).rstrip()


def main() -> int:
    """Run and print; 1 if any benchmark failed, which includes unequal results."""
    load()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(protocol(), end="\n\n")
    print(line("program", "ours", "peer", "theirs", "ratio", "target", ""))
    failed = 0
    for name in names:
        try:
            for row in BENCHMARKS[name]():
                print(report(row), flush=True)
        except Exception:
            failed += 1
            print(f"{name} FAILED", flush=True)
            traceback.print_exc()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
