"""The syntax tree of a function object, with the lines and columns of its file.

A function is found by its code object: the line it starts on, its name and parameters, and among several lambdas of one
line the columns of its instructions.  What is found is compiled and compared with the code that runs, so that a file
edited since it was imported is noticed.
"""

from __future__ import annotations
import __future__

import ast
import copy
import linecache
from dataclasses import dataclass
from functools import lru_cache, reduce
from types import CodeType, FunctionType

from ..ir import MyiaSyntaxError, MyiaTypeError, Span

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
FUTURE_FLAGS = reduce(int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


@dataclass(frozen=True, eq=False)
class Found:
    """A function in a file: its node, and the class around it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    cls: str | None

    @property
    def first_line(self) -> int:
        decorators = getattr(self.node, "decorator_list", [])
        return min([self.node.lineno, *(d.lineno for d in decorators)])

    @property
    def name(self) -> str:
        return getattr(self.node, "name", "<lambda>")


def function_source(fn) -> tuple[ast.FunctionDef | ast.Lambda, str]:
    """The tree of `fn` and its file; names that a class makes private are spelled as Python stores them.

    Raises MyiaTypeError for what is no Python function, MyiaSyntaxError where there is no source for it.
    """
    if not isinstance(fn, FunctionType):
        raise MyiaTypeError(
            f"{fn!r} is not a Python function, so it has no source to compile",
            remedy="pass a function written with def or lambda",
        )
    code = fn.__code__
    found = _find(fn)
    if found is None:  # perhaps the lines that were read are older than the file
        linecache.checkcache(code.co_filename)
        found = _find(fn)
    if found is None:
        if linecache.getlines(code.co_filename, fn.__globals__):
            raise MyiaSyntaxError(
                f"the source of {fn.__qualname__} is not the code that runs: the file has changed since it was loaded",
                Span(code.co_filename, code.co_firstlineno, 0, code.co_firstlineno, 0),
                "load the module again",
            )
        raise MyiaSyntaxError(
            f"there is no source for {fn.__qualname__} (of {code.co_filename}), so it cannot be compiled",
            remedy="write the function into a file and import it",
        )
    return _mangled(found), code.co_filename


def _find(fn: FunctionType) -> Found | None:
    code = fn.__code__
    lines = linecache.getlines(code.co_filename, fn.__globals__)
    source = "".join(lines)
    try:
        functions = _functions(source)
    except SyntaxError:  # the file is being edited
        return None
    candidates = [f for f in functions if f.first_line == code.co_firstlineno and _describes(f, code)]
    if len(candidates) > 1:
        candidates = _around_instructions(candidates, code)
    candidates = [f for f in candidates if _is_what_runs(f, code, source)]
    if len(candidates) > 1:
        raise MyiaSyntaxError(
            f"{len(candidates)} functions start on this line, and their code keeps no columns to tell them apart",
            Span(code.co_filename, code.co_firstlineno, 0, code.co_firstlineno, 0),
            "give each a line of its own",
        )
    return candidates[0] if candidates else None


@lru_cache(maxsize=128)
def _functions(source: str) -> tuple[Found, ...]:
    """All functions of a file."""
    out: list[Found] = []
    todo: list[tuple[ast.AST, str | None]] = [(ast.parse(source), None)]
    while todo:
        node, cls = todo.pop()
        if isinstance(node, FUNCTIONS):
            out.append(Found(node, cls))
        inner = node.name if isinstance(node, ast.ClassDef) else cls
        todo.extend((child, inner) for child in ast.iter_child_nodes(node))
    return tuple(out)


def _describes(found: Found, code: CodeType) -> bool:
    args = found.node.args
    names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg) if a is not None]
    names = [private(n, found.cls) for n in names]
    return found.name == code.co_name and names == list(code.co_varnames[: len(names)])


def _around_instructions(candidates: list[Found], code: CodeType) -> list[Found]:
    """The innermost of the candidates whose body spans every instruction of `code`, if instructions have columns."""
    positions = [p for p in code.co_positions() if None not in p and (p[0], p[2]) != (p[1], p[3])]
    if not positions:
        return candidates
    start, end = min((p[0], p[2]) for p in positions), max((p[1], p[3]) for p in positions)

    def extent(f: Found):
        body = f.node.body if isinstance(f.node.body, list) else [f.node.body]
        return (body[0].lineno, body[0].col_offset), (body[-1].end_lineno, body[-1].end_col_offset)

    around = [f for f in candidates if extent(f)[0] <= start and end <= extent(f)[1]]
    innermost = max(map(extent, around), key=lambda e: e[0], default=None)
    return [f for f in around if extent(f) == innermost]


def _is_what_runs(found: Found, code: CodeType, source: str) -> bool:
    """Does this source give the code that runs?  Test runners rewrite `assert`: with one, it is taken on trust."""
    if any(isinstance(n, ast.Assert) for n in ast.walk(found.node)):
        return True
    compiled = _compiled(source, code.co_filename, code.co_flags & FUTURE_FLAGS)
    return any(_same_code(c, code) for c in compiled.get((code.co_firstlineno, code.co_name), ()))


@lru_cache(maxsize=32)
def _compiled(source: str, file: str, flags: int) -> dict[tuple[int, str], list[CodeType]]:
    """The code objects of a file, compiled whole: how a name is used depends on whether the file imports it."""
    out: dict[tuple[int, str], list[CodeType]] = {}
    todo = [compile(source, file, "exec", flags=flags, dont_inherit=True)]
    while todo:
        code = todo.pop()
        out.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        todo.extend(k for k in code.co_consts if isinstance(k, CodeType))
    return out


def _same_code(a: CodeType, b: CodeType) -> bool:
    names = a.co_code == b.co_code and a.co_names == b.co_names and a.co_freevars == b.co_freevars
    return names and _constants(a) == _constants(b)


def _constants(code: CodeType) -> list:
    """Constants of a function: nested code by what it does, numbers with their type, as `1` equals `1.0`."""
    return [
        (k.co_code, k.co_names, _constants(k)) if isinstance(k, CodeType) else (type(k), repr(k))
        for k in code.co_consts
    ]


# ---- private names ---------------------------------------------------------------------------------------------------
def private(name: str, cls: str | None) -> str:
    """`__x` inside class C is `_C__x`."""
    if cls is None or not name.startswith("__") or name.endswith("__") or not cls.strip("_"):
        return name
    return f"_{cls.lstrip('_')}{name}"


class _Mangle(ast.NodeTransformer):
    def __init__(self, cls):
        self.cls = cls

    def generic_visit(self, node):
        for field in ("id", "attr", "arg", "name"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, private(getattr(node, field), self.cls))
        return super().generic_visit(node)


def _mangled(found: Found):
    """A tree of its own for each function: what the parser learns about a node, it keys by identity."""
    return found.node if found.cls is None else _Mangle(found.cls).visit(copy.deepcopy(found.node))
