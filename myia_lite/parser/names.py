"""Which names a function binds, which it uses, and which it takes from outside: Python's scoping rules."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from .signature import default_expressions

FUNCTIONS = (ast.FunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp)


def parameters(function) -> set[str]:
    a = function.args
    return {x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if x is not None}


def body(function) -> list[ast.AST]:
    return function.body if isinstance(function.body, list) else [function.body]


def same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes that run in the scope of `nodes`: functions and comprehensions, but not what is inside them."""
    todo = list(nodes)
    while todo:
        n = todo.pop()
        yield n
        if isinstance(n, FUNCTIONS):
            todo += [*getattr(n, "decorator_list", ()), *default_expressions(n.args)]
        elif isinstance(n, COMPREHENSIONS):
            todo.append(n.generators[0].iter)
        elif isinstance(n, ast.AnnAssign):
            todo += [n.target] if n.value is None else [n.target, n.value]
        else:
            todo.extend(ast.iter_child_nodes(n))


def root(target: ast.expr) -> ast.expr:
    """`a` of `a[i][j]`."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return target


def bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Names that these statements bind, with the node that binds each."""
    for n in same_scope(nodes):
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            yield n.id, n
        elif isinstance(n, ast.FunctionDef):
            yield n.name, n


def changed(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that hold something else afterwards: the bound ones, and `a` of `a[i] = v`."""
    out = set()
    for n in same_scope(nodes):
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            # an annotation alone binds nothing at run time, yet as it makes the name local it may stay here
            out.add(n.id)
        elif isinstance(n, ast.FunctionDef):
            out.add(n.name)
        elif isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) and isinstance(holder := root(n), ast.Name):
            out.add(holder.id)
    return out


def local_names(function) -> set[str]:
    return parameters(function) | {name for name, _ in bindings(body(function))}


def free_names(function) -> set[str]:
    """Names that a function or comprehension uses and takes from outside: enclosing functions, globals, builtins."""
    if isinstance(function, COMPREHENSIONS):
        (gen,) = function.generators
        return (used([gen.target, function.elt]) - {n for n, _ in bindings([gen.target])}) | used([gen.iter])
    return used(body(function)) - local_names(function)


def used(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are read, or captured by a function made, in the scope of `nodes`."""
    out = set()
    for n in same_scope(nodes):
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load):
            out.add(n.id)
        elif isinstance(n, (*FUNCTIONS, *COMPREHENSIONS)):
            out |= free_names(n)
        elif isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name):
            out.add(n.target.id)
    return out
