"""`myia-tune`: measure which tiles serve best for the products of matrices of a function, on this computer."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from pathlib import Path

import numpy as np

from .api import MyiaFunction, grad, myia
from .backends import PRODUCTS, with_target
from .cli import example, load, split_types
from .ir import MyiaError, MyiaTypeError

EXAMPLES = """\
examples:
  myia-tune model.py:loss --types "f32[784,512], f32[256,784]"
  myia-tune package.module:step --args "np.ones((512, 512)), 0.1" --grad --trials 100
  myia-tune model.py:loss --types "f32[784,512], f32[256,784]" --target cuda --products bfloat16 --database tuned

What is measured is kept, so that a search goes on where it was stopped.  Programs use it where
@myia(backend="tvm", tuning=DIR) or the environment variable MYIA_TUNE_DB names the folder.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        "myia-tune", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("function", metavar="FILE.py:function", help="or module:function")
    given = p.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--args", metavar="VALUES", help="arguments, as Python (np, math and the module's names are there)"
    )
    given.add_argument("--types", metavar="TYPES", help='types of the arguments, as "f32[784,512], float, int"')
    p.add_argument("--grad", nargs="?", const="0", metavar="ARGNUM", help="its gradient, by an index or a name")
    p.add_argument("--target", default="llvm", help='"llvm" (the default), "cuda", or a target of TVM\'s, as JSON')
    p.add_argument("--products", choices=PRODUCTS, default=PRODUCTS[0], help="the dtype of the factors")
    p.add_argument("--trials", type=_positive, default=32, metavar="N", help="tiles to measure for each product (32)")
    p.add_argument("--database", type=Path, metavar="DIR", help="else MYIA_TUNE_DB, else the place for a user's data")
    return p


def _positive(text: str) -> int:
    n = int(text)
    if n < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return n


def folder(given: Path | None) -> Path:
    if given is not None or os.environ.get("MYIA_TUNE_DB"):
        return Path(given or os.environ["MYIA_TUNE_DB"])
    from platformdirs import user_data_path

    return user_data_path("myia_lite", appauthor=False) / "tuning"


def expect_device(target: str) -> None:
    """Raises where there is nothing to measure on."""
    from .backends.tvm import required

    required()
    from .backends.tvm.options import EMULATED, target_of
    from .backends.tvm.program import device_of

    if target == EMULATED or not device_of(target_of(target)).exist:
        raise MyiaTypeError(f"there is no device for the target {target!r}", remedy="target 'llvm' is the CPU")


def workloads(options: argparse.Namespace, backend: str) -> dict:
    """The products of the function, each with its usual tiles."""
    from .backends import get_backend
    from .compiler import optimised

    function, module = load(options.function)
    function = function if isinstance(function, MyiaFunction) else myia(function)
    if options.grad is not None:
        function = grad(function, int(options.grad) if re.fullmatch(r"-?\d+", options.grad) else options.grad)
    if options.types is not None:
        args = tuple(map(example, split_types(options.types)))
    else:
        args = eval(f"({options.args},)", {"np": np, "math": math, **vars(module)})
    graph = function._infer(*function._signature(args, {})).graph
    return get_backend(backend).products(optimised(graph, function.optimize, backend=backend))


def tune(options: argparse.Namespace) -> int:
    """Measure, and print a line for each product; the number of them."""
    backend = with_target("tvm", options.target, options.products)
    target = backend.partition(":")[2]
    expect_device(options.target)
    found = workloads(options, backend)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .backends.tvm import tuning

    database, console = tuning.Database(folder(options.database)), Console()
    if not found:
        console.print("no products of matrices whose sizes are known, or none that is large")
        return 0
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        for w, usual in found.items():
            measured = database.measured(w)
            trials = tuning.candidates(w, usual)[: options.trials]
            task = progress.add_task(str(w), total=len(trials))
            for tiles in trials:
                if tiles not in measured:
                    measured[tiles] = tuning.seconds(w, tiles, target)
                    database.add(w, tiles, measured[tiles])
                progress.advance(task)
            best = min(measured, key=measured.get)
            gain = measured[usual] / measured[best]
            progress.console.print(
                f"{w}: {measured[best] * 1e6:.0f} us with {tuning.fields_of(best)}, {gain:.2f} times as fast as usual",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    console.print(f"MYIA_TUNE_DB={database.path.parent}", highlight=False, markup=False, soft_wrap=True)
    return len(found)


def main(argv: list[str] | None = None) -> int:
    """Tune; an error of the compiler or of the command line is a message on stderr and exit status 1."""
    try:
        tune(parser().parse_args(argv))
    except MyiaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (ValueError, SyntaxError, NameError, ImportError) as error:
        print(f"myia-tune: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("myia-tune: stopped; what was measured is kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
