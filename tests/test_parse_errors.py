"""What the subset does not take is refused before anything runs: at the construct, with one remedy."""

# ruff: noqa

from __future__ import annotations

import ast
import dataclasses
import linecache
import os
import subprocess
import sys
import textwrap

import pytest

from myia_lite.ir import MyiaError, MyiaNameError, MyiaSyntaxError, MyiaTypeError
from myia_lite.parser import parse_function
from myia_lite.parser.subset import REFUSED, SUPPORTED

GLOBAL_ARRAY = [1.0]


def define(tmp_path, source, name="f", namespace=None):
    """A function from source text, with a file behind it."""
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(source))
    linecache.checkcache(str(file))
    namespace = {"__name__": "program"} if namespace is None else namespace
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    return namespace[name]


# (source of f, the text that the carets mark, a part of the message); `f` is written without indentation
REFUSALS = [
    ("async def f(x):\n    return x", "async def f(x):", "async functions"),
    ("def f(x):\n    async def g(): pass", "async def g(): pass", "async functions"),
    ("async def h(x):\n    pass\ndef f(x):\n    yield x", "yield x", "yield"),
    ("def f(x):\n    y = yield from x", "yield from x", "yield from"),
    ("def f(x):\n    class C: pass", "class C: pass", "class"),
    ("def f(x):\n    del x", "del x", "del"),
    ("def f(x):\n    with x: pass", "with x: pass", "with"),
    ("def f(x):\n    try: pass\n    except E: pass", "try: pass", "try"),
    ("def f(x):\n    try: pass\n    except* E: pass", "try: pass", "try"),
    ("def f(x):\n    import math", "import math", "import"),
    ("def f(x):\n    from math import sin", "from math import sin", "import"),
    ("def f(x):\n    global y", "global y", "global"),
    ("def f(x):\n    def g():\n        nonlocal x\n    return g", "nonlocal x", "nonlocal"),
    ("def f(x):\n    match x:\n        case 1: pass", "match x:", "match"),
    ("def f(x):\n    return {x, 1}", "{x, 1}", "set"),
    ("def f(x):\n    return {y for y in x}", "{y for y in x}", "set comprehension"),
    ("def f(x):\n    return {y: y for y in x}", "{y: y for y in x}", "dict comprehension"),
    ("def f(x, **kw):\n    return x", "kw", "**kw"),
    ("def f(x):\n    g = lambda **kw: x", "kw", "**kw"),
    ("def f(x):\n    return g(1, **x)", "**x", "** in a call"),
    ("def f(x):\n    return {'a': 1, **x}", "x", "** in a dict"),
    ("def f(x):\n    return {1: x}", "1", "dict key"),
    ("def f(x):\n    return {'a': x, 'a': 2}", "'a'", "twice"),
    ("def f(x):\n    return [y for y in x if y]", "y", "if in a comprehension"),
    ("def f(x):\n    return [y for z in x for y in z]", "y", "several for"),
    ("def f(x):\n    return [(y := z) for z in x]", "y := z", ":= in a comprehension"),
    ("def f(x):\n    return (y for y in x)", "(y for y in x)", "generator"),
    ("def f(x):\n    return any(y for y in x)", "(y for y in x)", "generator"),
    ("def f(x):\n    return [lambda: y for y in x]", "lambda: y", "variable of a comprehension"),
    ("def f(x):\n    raise", "raise", "raise without"),
    ("def f(x):\n    raise ValueError from x", "x", "from"),
    ("def f(x):\n    return f'{x!r}'", None, "conversion"),
    ("def f(x):\n    return f'{x=}'", None, "conversion"),
    ("def f(x):\n    return f'{x:{x}}'", None, "computed format"),
    ("def f(x):\n    x.a = 1", "x.a", "attribute"),
    ("def f(x):\n    x.a += 1", "x.a", "attribute"),
    ("def f(x):\n    x.a[0] = 1", "x.a[0]", "item of an expression"),
    ("def f(x):\n    x().a, y = 1, 2", "x().a", "attribute"),
    ("def f(x):\n    abs(x)[0] = 1", "abs(x)[0]", "item of an expression"),
    ("A = [1]\ndef f(x):\n    A[0] = x", "A[0]", "not a local variable"),
    ("A = [1]\ndef f(x):\n    A[0] += x", "A[0]", "not a local variable"),
    ("def f(x):\n    def g():\n        x[0] = 1\n    return g", "x[0]", "not a local variable"),
    ("def f(x):\n    def g():\n        return x\n    x = 2\n    return g()", "def g():", "x is assigned after"),
    ("def f(x):\n    g = lambda: x\n    x += 2\n    return g()", "lambda: x", "x is assigned after"),
    ("def f(x):\n    g = lambda: x\n    x[0] = 2\n    return g()", "lambda: x", "x is assigned after"),
    ("def f(x):\n    g = lambda: y\n    y = 2\n    return g()", "lambda: y", "y is assigned after"),
    ("def f(x):\n    g = lambda: i\n    for i in x: pass\n    return g()", "lambda: i", "i is assigned after"),
    ("def f(x):\n    while (lambda: x)(): x -= 1", "lambda: x", "x is assigned after"),
    ("def f(x):\n    if (lambda: x)(): x -= 1", "lambda: x", "x is assigned after"),
    ("def f(x):\n    h = [lambda n: h(n)]\n    return h", "lambda n: h(n)", "h is assigned after"),
    (
        "def f(x):\n    def g(): return h()\n    y = g()\n    def h(): return 1\n    return y",
        "g",
        "g is used before h",
    ),
    (
        "def f(x):\n    def g(): return h()\n    k = lambda: g()\n    k()\n    def h(): return 1",
        "k",
        "k is used before h",
    ),
    ("def f(x):\n    x(lambda: h())\n    def h(): return 1", "lambda: h()", "used before h"),
    ("def f(x):\n    @x\n    def g(): return g()\n    return g", "def g(): return g()", "refers to itself"),
    (
        "def f(x):\n    def g(): return h()\n    if x: return 0\n    def h(): return 1\n    return g()",
        "h",
        "h is defined where",
    ),
]
if sys.version_info >= (3, 12):
    REFUSALS += [
        ("def f(x):\n    type T = int", "type T = int", "type alias"),
        ("def f(x):\n    def g[T](y): return y", "T", "type parameters"),
    ]


@pytest.mark.parametrize("source, marked, message", REFUSALS)
def test_refused(source, marked, message, tmp_path):
    f = define(tmp_path, source)
    with pytest.raises(MyiaSyntaxError) as e:
        parse_function(f)
    error = e.value
    assert isinstance(error, SyntaxError) and isinstance(error, MyiaError)
    assert message in str(error) and error.remedy
    if marked is not None:
        start = source.splitlines()[error.span.line - 1][error.span.column :]
        assert start.startswith(marked)
        if error.span.end_line == error.span.line:
            assert error.span.end_column - error.span.column == len(marked)
        assert f'program.py", line {error.span.line}' in str(error) and "^" in str(error)


def syntax_classes():
    """Concrete classes of syntax nodes that can stand in a function."""
    roots = ast.expr, ast.stmt, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context, ast.pattern
    single = "comprehension arguments arg keyword alias withitem match_case ExceptHandler".split()
    todo, out = [*roots, *(getattr(ast, n) for n in single), *getattr(ast, "type_param", ast.AST).__subclasses__()], []
    while todo:
        c = todo.pop()
        if c.__module__ != "ast" and c.__module__ != "_ast" or issubclass(c, ast.mod):
            continue
        if c.__subclasses__() and c not in (ast.Constant,):
            todo += c.__subclasses__()
        elif c is not ast.AST and c not in roots:
            out.append(c.__name__)
    # deprecated or no longer made by the parser
    old = "Num Str Bytes NameConstant Ellipsis Index ExtSlice Suite AugLoad AugStore Param slice TypeIgnore"
    return sorted(set(out) - set(old.split()))


@pytest.mark.parametrize("kind", syntax_classes())
def test_every_syntax_node_is_taken_or_refused(kind):
    assert (kind in SUPPORTED) != (kind in REFUSED), f"{kind} is neither, or both"
    if kind in REFUSED:
        what, remedy = REFUSED[kind]
        assert what and remedy


def test_taken_nodes_are_in_the_programs():
    """Each supported class occurs in a program whose meaning is checked."""
    import inspect

    import parser_programs

    seen = {type(n).__name__ for n in ast.walk(ast.parse(inspect.getsource(parser_programs)))}
    assert set(SUPPORTED) <= seen


def test_refused_nodes_are_refused():
    """Each statement and expression class that can be written is refused in a program above."""
    seen = {type(n).__name__ for source, *_ in REFUSALS for n in ast.walk(ast.parse(source))}
    only_inside = {"Await", "AsyncFor", "AsyncWith", "alias", "withitem", "match_case", "ExceptHandler", "Del"}
    patterns = {k for k in REFUSED if k.startswith("Match")}
    newer = {k for k in REFUSED if not hasattr(ast, k)} | {"ParamSpec", "TypeVarTuple", "TemplateStr", "Interpolation"}
    assert set(REFUSED) - only_inside - patterns - newer <= seen


# ---- names -----------------------------------------------------------------------------------------------------------
def test_undefined_name(tmp_path):
    f = define(tmp_path, "def f(x):\n    return x + undefind\n")
    with pytest.raises(MyiaNameError) as e:
        parse_function(f)
    assert isinstance(e.value, NameError)
    assert (e.value.span.line, e.value.span.column, e.value.span.end_column) == (2, 15, 23)


def test_cell_without_a_value():
    def f():
        return later

    with pytest.raises(MyiaNameError, match="later"):
        parse_function(f)
    later = 1
    assert parse_function(f).graph.result.value == 1


# ---- no source -------------------------------------------------------------------------------------------------------
def test_no_source():
    namespace = {}
    exec("def f(x): return x", namespace)
    with pytest.raises(MyiaSyntaxError, match="no source for f") as e:
        parse_function(namespace["f"])
    assert e.value.remedy


def test_not_a_function():
    for thing in (abs, 3, int, dataclasses.dataclass):
        if not hasattr(thing, "__code__"):
            with pytest.raises(MyiaTypeError):
                parse_function(thing)


def test_source_changed_since_import(tmp_path):
    f = define(tmp_path, "def f(x):\n    return x + 1\n")
    (tmp_path / "program.py").write_text("def f(x):\n    return x + 2.5\n")
    linecache.checkcache()
    with pytest.raises(MyiaSyntaxError, match="changed since"):
        parse_function(f)


def test_source_reloaded(tmp_path):
    f = define(tmp_path, "def f(x):\n    return x + 1\n")
    parse_function(f)
    (tmp_path / "program.py").write_text("# a line more\n\ndef f(x):\n    return x + 2.5\n")
    namespace = {}
    exec(compile((tmp_path / "program.py").read_text(), str(tmp_path / "program.py"), "exec"), namespace)
    assert parse_function(namespace["f"]).graph.span.line == 3


def test_same_lambda_twice_on_a_line(tmp_path):
    f = define(tmp_path, "g, f = lambda x: x + 1, lambda x: x + 1\n")
    assert parse_function(f).graph.span.column == 24


def test_lambdas_without_columns(tmp_path):
    """Where Python keeps no columns, functions that start on one line cannot be told apart."""
    file = tmp_path / "program.py"
    file.write_text(
        "from myia_lite.parser import parse_function\n"
        "f, g = lambda x: x + 1, lambda x: x + 2\n"
        "h = lambda x: x + 3\n"
        "parse_function(h)\n"
        "try: parse_function(g)\n"
        "except SyntaxError as e: print(e)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-X", "no_debug_ranges", str(file)]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "2 functions start on this line" in out and "Instead:" in out


def test_too_deep(tmp_path):
    deep = "def f(x):\n" + "    return " + "f(" * 150 + "x" + ")" * 150
    assert parse_function(define(tmp_path, deep)).graph
    nested = (
        "def f(x):\n" + "".join(" " * (k + 1) + f"if x > {k}:\n" for k in range(90)) + " " * 95 + "x = 1\n return x"
    )
    assert parse_function(define(tmp_path, nested)).graph
