"""Runs surface graphs on Python objects: the parser's work, checked without inference.

Loops run in a trampoline; a nested function sees the values in the activation of the graphs around it, so that late
binding is what Python's is.  Arrays are values: a write copies.
"""

from __future__ import annotations

import copy
import operator

import numpy as np

from myia_lite.ir import Constant, Graph, Node
from myia_lite.ops.surface import UNBOUND

BINARY = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "@": operator.matmul, "&": operator.and_, "|": operator.or_,
    "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift,
}  # fmt: skip
COMPARE = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "is": operator.is_, "is not": operator.is_not, "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
}  # fmt: skip
UNARY = {"-": operator.neg, "+": operator.pos, "~": operator.invert, "not": operator.not_}
INPLACE = {op: getattr(operator, "i" + f.__name__.strip("_")) for op, f in BINARY.items()}


class Recur:
    def __init__(self, graph, args):
        self.graph, self.args = graph, args


class Outcome:
    def __init__(self, tag, values):
        self.tag, self.values = tag, values


class Activation:
    """The values of the nodes of one run of a graph; `outer` is that of the graph around it."""

    def __init__(self, outer=None):
        self.values, self.outer = {}, outer

    def __getitem__(self, node: Node):
        if isinstance(node, Constant):
            return node.value
        where = self
        while where is not None:
            if node in where.values:
                return where.values[node]
            where = where.outer
        return UNBOUND  # a function that is defined below


def run(graph: Graph, args, outer=None):
    """The value of `graph` called with one argument for each parameter."""
    here = Activation(outer)
    here.values.update(zip(graph.params, args, strict=True))
    for node in graph.nodes:
        here.values[node] = step(node, here)
    return here[graph.result]


def spread(values, star):
    out = []
    for k, v in enumerate(values):
        out += list(v) if k in star else [v]
    return out


def items_of(x):
    return x if isinstance(x, (range, tuple, list, np.ndarray)) else list(x)


def bound(name, value, exception):
    if value is UNBOUND:
        raise exception(name)
    return value


def step(node, here):
    args, attrs, graphs = [here[a] for a in node.args], node.attrs, node.graphs
    match node.op.name:
        case "py_binary":
            return BINARY[attrs["op"]](*args)
        case "py_inplace":
            return INPLACE[attrs["op"]](copy.copy(args[0]), args[1])
        case "py_unary":
            return UNARY[attrs["op"]](args[0])
        case "py_compare":
            return COMPARE[attrs["op"]](*args)
        case "py_truth":
            return bool(args[0])
        case "py_call":
            f, *rest = args
            if f is UNBOUND:
                raise NameError
            count = len(rest) - len(attrs["keywords"])
            return f(*spread(rest[:count], attrs["star"]), **dict(zip(attrs["keywords"], rest[count:], strict=True)))
        case "py_getattr":
            return getattr(args[0], attrs["name"])
        case "py_getitem":
            return args[0][args[1]]
        case "py_setitem":
            a = copy.copy(args[0])
            a[args[1]] = args[2]
            return a
        case "py_slice":
            return slice(*args)
        case "py_tuple":
            return tuple(spread(args, attrs["star"]))
        case "py_list":
            return spread(args, attrs["star"])
        case "py_dict":
            return dict(zip(attrs["keys"], args, strict=True))
        case "py_unpack":
            values = list(args[0])
            before, after = attrs["before"], attrs["after"]
            if len(values) < before + after or not attrs["star"] and len(values) != before:
                raise ValueError("unpack")
            if not attrs["star"]:
                return tuple(values)
            end = len(values) - after
            return (*values[:before], values[before:end], *values[end:])
        case "py_closure":
            return closure(graphs[0], args, here)
        case "py_iter":
            return items_of(args[0])
        case "py_has_next":
            return args[1] < len(args[0])
        case "py_next":
            return args[0][args[1]]
        case "py_successor":
            return args[0] + 1
        case "py_local":
            return bound(attrs["name"], args[0], NameError if attrs["free"] else UnboundLocalError)
        case "py_comprehension":
            return [run(graphs[0], [x], here) for x in args[0]]
        case "py_fstring":
            values = iter(args)
            return "".join(p if isinstance(p, str) else format(next(values), p[0] if p else "") for p in attrs["parts"])
        case "py_raise":
            raise args[0]
        case "inject":
            return Outcome(attrs["tag"], args)
        case "match":
            return run(graphs[attrs["tags"].index(args[0].tag)], args[0].values, here)
        case "switch":
            assert type(args[0]) is bool
            return run(graphs[0 if args[0] else 1], [], here)
        case "recur":
            return Recur(graphs[0], args)
        case "loop":
            while isinstance(r := run(graphs[0], args, here), Recur):
                assert r.graph is graphs[0]
                args = r.args
            return r
        case "tuple":
            return tuple(args)
        case "get":
            return args[0][attrs["index"]]
    raise NotImplementedError(node.op.name)


def bind_arguments(signature, defaults, args, keywords):
    """The values of the parameters, in the order of the graph's."""
    positional = [*signature.posonly, *signature.names]
    given = dict(zip(positional, args))  # noqa: B905
    extra = tuple(args[len(positional) :])
    if extra and signature.vararg is None:
        raise TypeError("too many arguments")
    for name, value in keywords.items():
        if name in given or name not in (*signature.names, *signature.kwonly):
            raise TypeError(name)
        given[name] = value
    given = {**dict(zip(signature.defaults, defaults, strict=True)), **given}
    if signature.vararg:
        given[signature.vararg] = extra
    if missing := [p for p in signature.parameters if p not in given]:
        raise TypeError(f"missing {missing}")
    return [given[p] for p in signature.parameters]


def closure(graph, defaults, here):
    def call(*args, **keywords):
        return run(graph, bind_arguments(graph.info["signature"], defaults, args, keywords), here)

    return call


def evaluate(parsed, *args, **keywords):
    defaults = [d.value for d in parsed.defaults]
    return run(parsed.graph, bind_arguments(parsed.signature, defaults, args, keywords))
