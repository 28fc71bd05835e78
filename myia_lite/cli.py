"""`myia-dump`: print a function's program at a stage of the compiler."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import re
import sys
from pathlib import Path

import numpy as np

from .api import STAGES, GradFunction, MyiaFunction, grad, myia
from .ir import MyiaError
from .ops.define import NUMPY_DTYPES
from .opt import parse_strategy

PYTHON = {"float": 1.0, "int": 1, "bool": True}
EXAMPLES = """\
examples:
  myia-dump model.py:cost --args "np.ones((3, 4)), 2.0"
  myia-dump model.py:cost --types "f64[3,4], float" --grad --stage ad
  myia-dump package.module:step --args "1.0" --grad x --stage llvm
  myia-dump model.py:cost --args "2.0" --grad -p "simplify>>powers" --time-passes --trace-rules
"""


def load(target: str):
    """The function that FILE.py:name or module:name means; a name may have dots."""
    place, colon, name = target.rpartition(":")
    if not colon or not name:
        raise ValueError(f"{target!r} is not FILE.py:function or module:function")
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise ValueError(f"there is no file {place}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        sys.path.insert(0, str(path.resolve().parent))
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, "")
        module = importlib.import_module(place)
    thing = module
    for part in name.split("."):
        if not hasattr(thing, part):
            raise ValueError(f"{place} has no {name}")
        thing = getattr(thing, part)
    return thing, module


def example(text: str):
    """A value of a type as the IR writes it: f64[3,4], i64, float, int, bool."""
    m = re.fullmatch(r"(\w+)(?:\[([\d\s,]*)\])?", text.strip())
    if m is None or m[1] not in {*NUMPY_DTYPES, *PYTHON} or (m[2] is not None and m[1] not in NUMPY_DTYPES):
        raise ValueError(f"{text.strip()!r} is not a type: write f64[3,4], f32, i64, float, int or bool")
    if m[2] is None:
        return PYTHON[m[1]] if m[1] in PYTHON else NUMPY_DTYPES[m[1]](1)
    return np.ones([int(d) for d in m[2].split(",") if d.strip()], NUMPY_DTYPES[m[1]])


def split_types(text: str) -> list[str]:
    """The types in a list, commas within brackets aside."""
    return [t for t in re.split(r",(?![^\[]*\])", text) if t.strip()]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        "myia-dump", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("target", metavar="FILE.py:function", help="or module:function")
    given = p.add_mutually_exclusive_group()
    what = "arguments, as Python (np, math and the module's names are there)"
    given.add_argument("--args", metavar="VALUES", help=what)
    given.add_argument("--types", metavar="TYPES", help='types of the arguments, as "f64[3,4], f32, float, int"')
    what = "its gradient, by an index or a parameter's name"
    p.add_argument("--grad", nargs="?", const="0", metavar="ARGNUM", help=what)
    p.add_argument("--stage", choices=STAGES, default="opt", help="parse, infer, ad, opt (the default), llvm or asm")
    what = "optimise by it, as 'simplify>>dead_code'; the module's own strategies are there"
    p.add_argument("-p", metavar="STRATEGY", help=what)
    p.add_argument("--print-between-passes", action="store_true", help="the program after each phase of the optimiser")
    p.add_argument("--time-passes", action="store_true", help="how long each phase took, and how many nodes it left")
    p.add_argument("--trace-rules", action="store_true", help="each rule that fired: in which phase, on which line")
    return p


def dump(options: argparse.Namespace) -> str:
    """The text that the options ask for."""
    function, module = load(options.target)
    if options.grad is not None:
        function = grad(function, int(options.grad) if re.fullmatch(r"-?\d+", options.grad) else options.grad)
    elif not isinstance(function, MyiaFunction):
        function = myia(function)
    if options.types is not None:
        args = tuple(map(example, split_types(options.types)))
    else:
        scope = {"np": np, "math": math, **vars(module)}
        args = eval(f"({options.args},)", scope) if options.args and options.args.strip() else ()
    if options.p:
        function = with_strategy(function, parse_strategy(options.p, vars(module)))
    parts = []
    if options.print_between_passes or options.time_passes or options.trace_rules:
        between = (lambda name, text: parts.append(f"# after {name}\n{text}")) if options.print_between_passes else None
        log = function.log(*args, trace=options.trace_rules, between=between)
        parts += ["".join(f"# {f}\n" for f in log.firings)] * options.trace_rules
        parts += [f"{log.times()}\n{log.rules()}\n"] * options.time_passes
    return "\n".join([*parts, function.ir(*args, stage=options.stage)])


def with_strategy(function: MyiaFunction, strategy) -> MyiaFunction:
    """The same function, optimised by `strategy`."""
    if isinstance(function, GradFunction):
        options = {"backend": function.backend, "error_model": function.error_model, "optimize": strategy}
        return GradFunction(*function.__myia_transformed__, **options)
    return MyiaFunction(function._function, function.backend, function.error_model, strategy)


def main(argv: list[str] | None = None) -> int:
    """Print the dump; an error of the compiler or of the command line is a message on stderr and exit status 1."""
    try:
        print(dump(parser().parse_args(argv)), end="")
    except MyiaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (ValueError, SyntaxError, NameError, ImportError) as error:
        print(f"myia-dump: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
