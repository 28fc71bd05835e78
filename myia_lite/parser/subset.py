"""What the subset does not take: one row per syntax node, refused before anything runs.

Every class of `ast` stands in `SUPPORTED` or in `REFUSED`, which a test checks; a class that a later Python adds is
refused by name.  Refusals that depend on more than the class stand beside the lowering of the construct.
"""

from __future__ import annotations

import ast
from typing import Any

from ..ir import MyiaSyntaxError, Span

SUPPORTED = frozenset(
    """
    FunctionDef Lambda arguments arg Return Assign AugAssign AnnAssign For While If Raise Assert Expr Pass Break
    Continue BoolOp NamedExpr BinOp UnaryOp IfExp Dict ListComp GeneratorExp comprehension Compare Call keyword
    JoinedStr FormattedValue Constant Attribute Subscript Starred Name List Tuple Slice Load Store
    And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub
    Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
    """.split()
)

_ASYNC = "write an ordinary function: compiled code runs to its end without waiting"
_MATCH = "write if/elif with comparisons"
_TYPES = "leave out the type parameters and define the alias at module level"
REFUSED = {
    "AsyncFunctionDef": ("async functions", _ASYNC),
    "AsyncFor": ("async for", _ASYNC),
    "AsyncWith": ("async with", _ASYNC),
    "Await": ("await", _ASYNC),
    "ClassDef": ("a class inside a function", "define the class at module level, as a frozen dataclass or NamedTuple"),
    "Delete": ("del", "leave it out: the compiler frees what is not used again"),
    "Del": ("del", "leave it out: the compiler frees what is not used again"),
    "With": ("with", "enter the context around the call of the compiled function"),
    "Try": ("try", "test the condition beforehand with if, or catch the exception around the call"),
    "TryStar": ("try", "test the condition beforehand with if, or catch the exception around the call"),
    "ExceptHandler": ("except", "catch the exception around the call of the compiled function"),
    "withitem": ("with", "enter the context around the call of the compiled function"),
    "Import": ("import inside a function", "import the module at the top of the file"),
    "ImportFrom": ("import inside a function", "import the module at the top of the file"),
    "alias": ("import inside a function", "import the module at the top of the file"),
    "Global": ("global", "pass the value as an argument and return the new one"),
    "Nonlocal": ("nonlocal", "pass the value as an argument and return the new one"),
    "Match": ("match", _MATCH),
    "match_case": ("match", _MATCH),
    "MatchValue": ("match", _MATCH),
    "MatchSingleton": ("match", _MATCH),
    "MatchSequence": ("match", _MATCH),
    "MatchMapping": ("match", _MATCH),
    "MatchClass": ("match", _MATCH),
    "MatchStar": ("match", _MATCH),
    "MatchAs": ("match", _MATCH),
    "MatchOr": ("match", _MATCH),
    "Yield": ("yield", "return the values as a tuple, or fill an array"),
    "YieldFrom": ("yield from", "return the values as a tuple, or fill an array"),
    "Set": ("a set", "write a tuple"),
    "SetComp": ("a set comprehension", "write a list comprehension"),
    "DictComp": ("a dict comprehension", "write the dict out, {'key': value, …}"),
    "TypeAlias": ("a type alias inside a function", _TYPES),
    "TypeVar": ("type parameters", _TYPES),
    "ParamSpec": ("type parameters", _TYPES),
    "TypeVarTuple": ("type parameters", _TYPES),
    "TemplateStr": ("a template string", "write an f-string"),
    "Interpolation": ("a template string", "write an f-string"),
}


Located = ast.stmt | ast.expr | ast.arg | ast.keyword  # syntax with a place in the source


def span_of(node: Located, file: str) -> Span:
    end_line, end_column = node.end_lineno, node.end_col_offset
    assert end_line is not None and end_column is not None  # only trees that programs build leave them out
    return Span(file, node.lineno, node.col_offset, end_line, end_column)


def refuse(what: str, node: Located, file: str, remedy: str) -> MyiaSyntaxError:
    return MyiaSyntaxError(f"{what} is not supported in compiled code", span_of(node, file), remedy)


def check_subset(function: ast.AST, file: str) -> None:
    """Raise MyiaSyntaxError for the first construct of `function`, in the order of the source, that is refused."""
    applied = getattr(function, "decorator_list", [])  # Python has run them: only those of nested functions count
    todo: list[Any] = [function]
    while todo:
        node = todo.pop()
        kind = type(node).__name__
        if kind not in SUPPORTED:
            what, remedy = REFUSED.get(kind, (f"this construct ({kind})", "write it with simpler statements"))
            raise refuse(what, node, file, remedy)
        for check in _CHECKS.get(type(node), ()):
            check(node, file)
        parts = [n for n in _parts(node) if n not in applied]
        todo.extend(reversed([n for n in parts if not isinstance(n, (ast.operator, ast.expr_context))]))


def _parts(node: ast.AST):
    """Children that are run: annotations are not."""
    if isinstance(node, ast.FunctionDef):
        yield from getattr(node, "type_params", ())
        yield from (*node.decorator_list, node.args, *node.body)
    elif isinstance(node, ast.arg):
        pass
    elif isinstance(node, ast.AnnAssign):
        yield from (n for n in (node.target, node.value) if n is not None)
    else:
        yield from ast.iter_child_nodes(node)


# ---- refusals that need a look inside --------------------------------------------------------------------------------
def _arguments(node, file):
    if node.kwarg is not None:
        raise refuse(
            f"**{node.kwarg.arg}", node.kwarg, file, "name the keyword arguments, or pass a dict as one argument"
        )


def _call(node, file):
    for k in node.keywords:
        if k.arg is None:
            raise refuse("** in a call", k, file, "write the keyword arguments out, name=value")


def _dict(node, file):
    for k, v in zip(node.keys, node.values, strict=True):
        if k is None:
            raise refuse("** in a dict", v, file, "write the items out, {'key': value, …}")
        if not (isinstance(k, ast.Constant) and isinstance(k.value, str)):
            raise refuse("a dict key that is no string literal", k, file, "use string keys, or a tuple of values")
    keys = [k.value for k in node.keys]
    for k in node.keys:
        if keys.count(k.value) > 1:
            raise refuse(f"the key {k.value!r} given twice", k, file, "keep one of them")


def _comprehension(node, file):
    first, *more = node.generators
    if more:
        raise refuse(
            "a comprehension with several for",
            more[0].target,
            file,
            "write the inner one as a list comprehension of its own",
        )
    if first.is_async:
        raise refuse("async for", first.target, file, _ASYNC)
    if first.ifs:
        raise refuse(
            "if in a comprehension",
            first.ifs[0],
            file,
            "keep all items, and choose between values with `a if c else b`",
        )
    for n in ast.walk(node):
        if isinstance(n, ast.NamedExpr):
            raise refuse(":= in a comprehension", n, file, "assign before it, or write a for loop")


def _raise(node, file):
    if node.exc is None:
        raise refuse("raise without an exception", node, file, "name the exception, as in raise ValueError('…')")
    if node.cause is not None:
        raise refuse("raise … from …", node.cause, file, "leave out `from …`")


def _formatted(node, file):
    if node.conversion != -1:
        raise refuse("a conversion or `=` in an f-string", node, file, "write the plain {value}")
    if node.format_spec is not None and not all(isinstance(v, ast.Constant) for v in node.format_spec.values):
        raise refuse("a computed format", node.format_spec, file, "write the format out, as in {x:.3f}")


def _attribute(node, file):
    if not isinstance(node.ctx, ast.Load):
        raise refuse(
            "assignment to an attribute", node, file, f"make a new object, as in dataclasses.replace(…, {node.attr}=…)"
        )


_CHECKS = {
    ast.arguments: (_arguments,),
    ast.Call: (_call,),
    ast.Dict: (_dict,),
    ast.ListComp: (_comprehension,),
    ast.GeneratorExp: (_comprehension,),
    ast.Raise: (_raise,),
    ast.FormattedValue: (_formatted,),
    ast.Attribute: (_attribute,),
}
