"""How many scalar operations an optimised program performs: counted while the reference back end runs it.

An elementwise primitive counts its elements (of any dtype: comparisons, selections and sums of indexes too), a
reduction and a scan those that go in, an addition into an array those that are added, a matrix product its
multiplications and additions.  What moves elements counts nothing.
"""

import math

import numpy as np

from myia_lite.backends.interp.machine import execute
from myia_lite.backends.interp.plan import Plan, as_value
from myia_lite.compiler import optimised
from myia_lite.infer import leaves
from myia_lite.ops import PRIMITIVES

ADDS = ("slice_add", "add_elem", "scatter_add")
FOLDS = ("cumsum", "argmax", "argmin")
MOVES = frozenset(
    "broadcast iota reshape transpose concat dim slice slice_set elem set_elem gather scatter_set cast "
    "tuple get make stack_new stack_push stack_pop stack_len".split()
)


def cost(node, args) -> int:
    """The operations of one node on those arguments."""
    name = node.op.name
    if name in MOVES:
        return 0
    if node.op.elementwise:
        return max(np.size(a) for a in args)
    if name.startswith("reduce_") or name in FOLDS:
        return np.size(args[0])
    if name in ADDS:
        return np.size(args[1])
    if name == "recurrence":
        return 2 * np.size(args[0])
    if name == "argsort":
        n = args[0].shape[-1]
        return np.size(args[0]) * max(1, math.ceil(math.log2(max(n, 1))))
    if name == "matmul":
        inner = args[0].shape[-2 if node.attrs["ta"] else -1]
        return 2 * inner * math.prod(node.op.value(*args, **node.attrs).shape)
    raise NotImplementedError(f"what does {name} cost?")


assert all(name in PRIMITIVES for name in (*ADDS, *FOLDS, *MOVES))


def operations(f, *args) -> int:
    """The scalar operations of one call of a `@myia` or derived function, after the default pipeline."""
    inferred = f._infer(*f._signature(args, {}))
    graph, total = optimised(inferred.graph), 0

    def meaning(n):
        value = n.op.value
        if value is None:
            return None

        def run(*given, **attrs):
            nonlocal total
            total += cost(n, given)
            return value(*given, **attrs)

        return run

    given = [x for a, t in zip(args, inferred.arguments, strict=True) for x in leaves(a, t)]
    held = [as_value(v, p.type) for v, p in zip([*given, *inferred.captured], graph.params, strict=True)]
    with np.errstate(all="ignore"):
        execute(Plan(graph, meaning).entry, held)
    return total


def straight_line(f, *args) -> bool:
    """Is the optimised program one graph without loops, branches and calls?"""
    graph = optimised(f._infer(*f._signature(args, {})).graph)
    return not any(n.graphs for n in graph.nodes)
