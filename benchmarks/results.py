"""The table of results: as text, as files, and as bar charts."""

import json
import os
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .harness import Row

PACKAGES = ("numpy", "llvmlite", "jax", "torch", "numba", "autograd")
HEAD = ("program", "ours", "peer", "theirs", "ratio", "target", "")


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def protocol() -> str:
    """The machine and the versions, for the head of the table."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [text.split(":")[1].strip() for text in info.read_text().splitlines() if text.startswith("model name")]
        cpu = names[0] if names else cpu
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} not installed")
    used = f"{cores()} core{'s' if cores() > 1 else ''}"
    return f"{cpu}, {used}; {', '.join(versions)}; {date.today()}\nmedians of alternating runs, after an equality check"


def shown(value: float | None, unit: str) -> str:
    """A quantity in a readable multiple of its unit."""
    if value is None:
        return "not installed"
    if unit == "s":
        for factor, name in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
            if value < 1000 * factor:
                return f"{value / factor:.3g} {name}"
    return f"{value:.3g} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """What stands in a line of the table."""
    target = ""
    if row.target is not None:
        target = f"{row.target:g}×" if row.peer else shown(row.target, row.unit)
    return (
        row.what,
        shown(row.ours, row.unit),
        row.peer,
        shown(row.theirs, row.unit) if row.peer else "",
        f"{row.ratio:.2f}×" if row.ratio is not None else "",
        target,
        {True: "met", False: "MISSED", None: ""}[row.met],
    )


def line(*texts: str) -> str:
    """A line of the table."""
    widths = (66, 11, 22, 13, 8, 10, 6)
    return "  ".join(
        t.ljust(w) if k in (0, 2) else t.rjust(w) for k, (t, w) in enumerate(zip(texts, widths, strict=True))
    )


def save(done: dict[str, list[Row]], folder: Path) -> None:
    """Write what was measured into `folder`: JSON, a table in Markdown, and charts; other benchmarks' rows stay."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"cores-{cores()}"
    file = folder / f"{stem}.json"
    known = json.loads(file.read_text())["rows"] if file.exists() else {}
    known |= {name: [asdict(row) for row in rows] for name, rows in done.items() if rows}
    file.write_text(json.dumps({"protocol": protocol(), "rows": known}, indent=1, ensure_ascii=False) + "\n")
    rows = [Row(**row) for name in sorted(known) for row in known[name]]
    table = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    text = "\n".join(f"| {' | '.join(t)} |" for t in table)
    (folder / f"{stem}.md").write_text(f"{protocol()}\n\n{text}\n")
    charts(rows, folder, stem)


def charts(rows: list[Row], folder: Path, stem: str) -> None:
    """A bar chart of the ratios theirs / ours for each peer that has some; nothing without matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError:
        return
    for peer in dict.fromkeys(row.peer for row in rows):
        of_peer = [row for row in rows if row.peer == peer and row.ratio and row.unit == "s"]
        if not peer or not of_peer:
            continue
        figure, axes = pyplot.subplots(figsize=(9, 1 + 0.3 * len(of_peer)), layout="constrained")
        speedups = [1 / row.ratio for row in of_peer]
        colours = ["tab:blue" if s >= 1 else "tab:red" for s in speedups]
        bars = axes.barh([row.what for row in of_peer], [s - 1 for s in speedups], left=1, color=colours)
        axes.bar_label(bars, [f"{s:.2g}×" for s in speedups], padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.invert_yaxis()
        axes.set_xlabel(f"how many times faster than {peer}")
        axes.margins(x=0.15)
        name = "".join(c if c.isalnum() else "-" for c in peer).strip("-")
        figure.savefig(folder / f"{stem}-{name}.png", dpi=100)
        pyplot.close(figure)
