"""Which array nodes are not materialised, but computed element by element inside the loops of their consumer.

`plan(graph)` looks at one local graph.  Its promise: an inlined node has consumers in the same node list only, each of
which can ask it for single elements; work is not repeated, except for index arithmetic and for a few cheap operations
that cost less than the memory traffic which they save; and no read of an array moves past a node that may consume it.
"""

from __future__ import annotations

from math import prod

from ...ir import Apply, Array, Constant, Graph, Node
from .contractions import Contraction, Meaning, Mismatch, contraction, in_vectors, near

INDEXING = frozenset({"broadcast", "transpose", "slice", "reshape", "iota"})  # an element is an element of the operand
CHEAP = frozenset(
    "add sub mul neg abs sign maximum minimum eq ne lt le gt ge select cast logical_not bit_and bit_or bit_xor bit_not "
    "isnan isinf isfinite signbit copysign floor ceil trunc rint".split()
)
CONTRACTED = frozenset(
    {"matmul", "reduce_sum", "transpose", "slice_add", "scatter_add", "add"}
)  # what a contraction may end in
FEWEST, TINY = 128, 512  # multiplications up to which one of many products, or a single one, is better unrolled
ONE_SMALL, MANY_SMALL = 1 << 18, 1 << 18  # multiplications up to which a product, or each of many, is no work for BLAS
NARROW = 1 << 12  # elements of an operand that is so small that BLAS has no use for its blocks
REDUCTIONS = frozenset(f"reduce_{k}" for k in "sum prod max min any all".split()) | {"argmax", "argmin"}
MAX_OPERATIONS = 80  # in one loop nest: beyond that registers spill, and compilation takes long
FEW_TERMS = 4  # the inner size up to which a product that is not tiny is better computed where its elements are used


class Plan:
    """`inlined` nodes are never lowered themselves; `operands` are what a materialised node reads through them."""

    def __init__(self):
        self.inlined: set[Apply] = set()
        self.contracted: dict[Apply, Contraction] = {}  # sums of products that are one loop nest, however they are put
        self.inner: dict[Apply, Apply] = {}  # the nodes in them -> the one that is lowered
        self.products: set[Apply] = set()  # the products in them
        self.views: set[Apply] = set()  # what those can read through: see `contractions.view`
        self._operands: dict[Apply, tuple[Node, ...]] = {}

    def operands(self, node: Apply) -> tuple[Node, ...]:
        """The materialised nodes that lowering `node` reads, constants left out."""
        if node not in self._operands:
            found = {}
            for a in node.args:
                if a in self.inlined:
                    found.update(dict.fromkeys(self.operands(a)))
                elif not isinstance(a, Constant):
                    found[a] = None
            if node.op.name == "dim":  # sizes are at hand even where the array is gone: to ask must not keep it alive
                found = {a: None for a in found if not isinstance(a.type, Array)}
            self._operands[node] = tuple(found)
        return self._operands[node]


def plan(graph: Graph, contract=False) -> Plan:
    """Consumers are decided before their operands, so that each node knows into which loops it would go.
    `contract`: are sums of products loop nests, or computed in those of their consumers, where that is worth it?"""
    out = Plan()
    uses, pinned = _uses(graph)
    position = {n: k for k, n in enumerate(graph.nodes)}
    if contract:
        _contract(out, graph, uses, pinned, position)
    strided: set[Apply] = set()  # inlined views that contractions read, by strides
    alone: set[Apply] = set()  # those that nothing else reads
    unread: set[Apply] = set()  # indexes whose steps say it all
    roots: dict[Apply, frozenset] = {}  # the materialised nodes in whose loops a node is computed
    sparing: set[Apply] = set()  # inlined nodes that are evaluated more often than they have elements
    viewed: set[Apply] = set()  # inlined nodes whose elements are asked for by their row-major number
    blocks: set[Apply] = set()  # inlined nodes that are read in one piece, by address
    weight: dict[Apply, int] = {}

    for node in reversed(graph.nodes):
        roots[node] = frozenset([node])
        if node in out.inner:
            out.inlined.add(node)
            roots[node] = frozenset([out.inner[node]])
            continue
        product = contract and narrow_product(node)
        if node in pinned or node in out.contracted or not (product or _computable(node)):
            continue
        consumers = [(c, k) for c, k in uses.get(node, ()) if c.op.name != "dim"]
        if consumers and all(
            c in unread or (_places(c, k) and (c in alone or c in out.contracted)) for c, k in consumers
        ):
            out.inlined.add(node)
            unread.add(node)
            roots[node] = frozenset().union(*(roots[c] for c, _ in consumers))
            continue
        contracted = any(c in out.products or (c in strided and not _places(c, k)) for c, k in consumers)
        if contracted and node not in out.views:
            continue
        if contracted and all(c in out.products or c in alone for c, _ in consumers):
            into = frozenset().union(*(roots[c] for c, _ in consumers))
            if not _moves_past_write(node.args, position[node], max(position[r] for r in into), graph):
                out.inlined.add(node)
                strided.add(node)
                alone.add(node)
                roots[node] = into
            continue
        if not all(c in out.products or _asks(c, k, node, c in out.inlined, uses) for c, k in consumers):
            continue
        view = any(
            c in viewed or (c.op.name == "reshape" and isinstance(c.type, Array) and not unit_reshape(c))
            for c, _ in consumers
        )
        rows = product and all(c not in viewed and _splits_rows(c) for c, _ in consumers)
        if view and not (node.op.elementwise or node.op.name == "reshape" or _fill(node) or rows):
            continue
        block = any(c in blocks for c, _ in consumers)
        if not swaps_last_two(node):  # which a matrix product does on its own, but no part of an array
            block = block or any(
                c.op.name == "matmul" and c not in out.inlined and c not in out.products for c, _ in consumers
            )
        if block and not in_one_piece(node):
            continue
        into = frozenset().union(*(roots[c] for c, _ in consumers))
        repeated = len(into) > 1 or any(c in sparing or _repeats(c, k) for c, k in consumers)
        if repeated and not _worth_repeating(node, consumers, sparing):
            continue
        if any(weight.get(r, 0) >= MAX_OPERATIONS for r in into):
            continue
        last = max((position[r] for r in into), default=position[node])
        if _moves_past_write(node.args, position[node], last, graph):
            continue
        out.inlined.add(node)
        roots[node] = into
        for r in into:
            weight[r] = weight.get(r, 0) + (node.op.name not in INDEXING) * (2 * inner_size(node) if product else 1)
        if repeated:
            sparing.add(node)
        if contracted:
            strided.add(node)
        if view:
            viewed.add(node)
        if block:
            blocks.add(node)
    return out


def _contract(out: Plan, graph: Graph, uses, pinned, position) -> None:
    """Find the contractions, from their ends on."""
    meaning = Meaning(uses, pinned)
    for node in reversed(graph.nodes):
        if node.op.name not in CONTRACTED or node in out.inner or node in meaning.summed:
            continue
        try:
            c = contraction(meaning, node)
        except Mismatch:
            continue
        if c is None or not _worth_contracting(c, node, meaning) or _used_in_place(c, node, uses, pinned):
            continue
        if any(_moves_past_write(n.args, position[n], position[node], graph) for n in c.inner):
            continue
        out.contracted[node] = c
        out.inner.update(dict.fromkeys(c.inner, node))
        for t in c.terms:
            out.products.add(t.node)
            out.views.update(t.views)


def _worth_contracting(c: Contraction, node: Apply, meaning: Meaning) -> bool:
    """A large product of matrices that lie as BLAS wants them is left to it."""
    if not in_vectors(c) or not near(c):
        return False
    products = [t.node for t in c.terms]
    if node.op.name in ("add", "reduce_sum") and all(p.op.name == "mul" for p in products):
        return (
            node.op.name == "reduce_sum"
            and _walks_across(c)
            and all(_at_hand(a, meaning) for p in products for a in p.args)
        )
    if any(p.op.name == "mul" for p in products):
        return False
    if node.op.name == "add":  # a small matrix meets a vector in registers as it is
        return len(products) > 1 and all(1 not in p.type.shape[-2:] for p in products)
    if node.op.name != "matmul":
        return node.op.name != "transpose" or not _by_blas(c)
    return not _by_blas(c)


def _used_in_place(c: Contraction, node: Apply, uses, pinned) -> bool:
    """Is it a product of narrow matrices whose elements are used one by one, at one place?"""
    if node.op.name not in ("matmul", "transpose") or not narrow_product(c.terms[0].node):
        return False
    while node not in pinned:
        consumers = [x for x, _ in uses.get(node, ()) if x.op.name != "dim"]
        if len(consumers) != 1:
            return False
        (node,) = consumers
        if node.op.elementwise:
            return True
        if node.op.name not in ("reshape", "transpose", "slice"):
            return False
    return False


def _by_blas(c: Contraction) -> bool:
    """Is a product of matrices that lie as BLAS wants them one that BLAS is good at?  A vector is for `blas`, too."""
    (t,) = c.terms
    if not all(swaps_last_two(v) or in_one_piece(v) for v in t.views):
        return False
    (*batch, m, n), a = t.node.type.shape, t.node.args[0]
    k = a.type.shape[-2 if t.node.attrs["ta"] else -1]
    if None in (m, n, k) or (1 in (m, n) and not batch):
        return True
    work = m * n * k
    if batch:
        return not FEWEST < work <= MANY_SMALL
    return work <= TINY or (work > ONE_SMALL and min(m * n, m * k, n * k) > NARROW)


def _walks_across(c: Contraction) -> bool:
    """Is the innermost axis kept, and is there a sum around it?"""
    return bool(c.kept) and bool(c.terms[0].reduced)


def _at_hand(node: Node, meaning: Meaning) -> bool:
    """Is an operand an array in memory, or a view of one, whoever else reads it?"""
    while isinstance(node, Apply) and node.op.name in INDEXING and node.args and isinstance(node.args[0].type, Array):
        node = node.args[0]
    if not isinstance(node, Apply) or not _computable(node):
        return True
    return sum(c.op.name != "dim" for c, _ in meaning.uses.get(node, ())) > 3


def _places(consumer: Apply, k: int) -> bool:
    """Is operand k an array of indexes?"""
    return consumer.op.name == "gather" and k > 0 or consumer.op.name == "scatter_add" and k > 1


def _moves_past_write(args, start: int, last: int, graph: Graph) -> bool:
    """May one of these arrays be written to between two places?"""
    return any(_consumed(a, graph.nodes[start + 1 : last + 1]) for a in args if isinstance(a.type, Array))


def _uses(graph: Graph):
    """The uses of each node by nodes of this list; the nodes that are needed elsewhere: inside, and as the result."""
    uses: dict[Node, list] = {}
    pinned = {graph.result}
    for n in graph.nodes:
        for k, a in enumerate(n.args):
            uses.setdefault(a, []).append((n, k))
    for g in graph.subgraphs():
        for h in g.nested():
            pinned.add(h.result)
            for n in h.nodes:
                pinned.update(n.args)
    return uses, pinned


def _computable(node: Apply) -> bool:
    return isinstance(node.type, Array) and (
        node.op.elementwise or node.op.name in INDEXING or node.op.name == "gather" or outer_product(node)
    )


def _fill(node: Apply) -> bool:
    return node.op.name == "broadcast" and not isinstance(node.args[0].type, Array)


def _asks(consumer: Apply, k: int, node: Apply, inlined: bool, uses) -> bool:
    """Can the consumer take operand k element by element?"""
    name = consumer.op.name
    if name == "matmul" and inlined:
        return True
    if not isinstance(node.args[0].type if node.args else node.type, Array) and name == "matmul":
        return False
    if name == "matmul":
        return swaps_last_two(node) or in_one_piece(node)
    if name == "transpose" and inlined and any(c.op.name == "matmul" for c, _ in uses.get(consumer, ())):
        return False
    if consumer.op.elementwise:
        return isinstance(consumer.type, Array)
    if name in INDEXING or name in REDUCTIONS or name in ("cumsum", "argsort", "elem"):
        return k == 0
    if name == "concat":
        return True
    return name in ("gather", "slice_set", "slice_add", "scatter_set", "scatter_add") and k > 0


def swaps_last_two(node: Apply) -> bool:
    """Is it the transposition that a matrix product does on its own?"""
    if node.op.name != "transpose":
        return False
    perm, rank = node.attrs["perm"], len(node.attrs["perm"])
    return rank >= 2 and tuple(perm) == (*range(rank - 2), rank - 1, rank - 2)


def outer_product(node: Apply) -> bool:
    """Is it a product of a column and a row, where each element is one product?"""
    if node.op.name != "matmul" or node.type.rank != 2:
        return False
    a, b = node.args
    return a.type.shape[0 if node.attrs["ta"] else 1] == 1 or b.type.shape[1 if node.attrs["tb"] else 0] == 1


def inner_size(node: Apply) -> int | None:
    """The number of products in each element of a matrix product."""
    a, b = node.args
    k = a.type.shape[-2 if node.attrs["ta"] else -1]
    return b.type.shape[-1 if node.attrs["tb"] else -2] if k is None else k


def narrow_product(node: Apply) -> bool:
    """Is it a product of matrices that has few multiplications for each element, but many elements?"""
    if node.op.name != "matmul" or node.type.rank != 2 or node.type.dtype not in ("f32", "f64"):
        return False
    m, n = node.type.shape
    k = inner_size(node)
    return k is not None and 1 < k <= FEW_TERMS and (m is None or n is None or m * n * k > TINY)


def _splits_rows(node: Apply) -> bool:
    """Is it a reshape that leaves the last axis as it is?"""
    if node.op.name != "reshape":
        return False
    (rows, columns), (*new, last) = node.args[0].type.shape, node.type.shape
    if columns is None:
        return last is None and None not in new and prod(new) == rows
    return columns > 0 and columns == last and len(new) > 0


def in_one_piece(node: Apply) -> bool:
    """Do the elements of this part of an array lie next to each other in memory, as those of the whole do?"""
    if node.op.name == "reshape":
        return isinstance(node.args[0].type, Array)
    if node.op.name != "slice" or any(s != 1 for s in node.attrs["steps"]):
        return False
    mine, whole = node.type.shape, node.args[0].type.shape
    first = next((k for k, d in enumerate(mine) if d != 1), len(mine))
    return all(d is not None and d == whole[k] for k, d in enumerate(mine) if k > first)


def unit_reshape(node: Apply) -> list | None:
    """For a reshape that only adds and drops axes of size 1: the axis of the result for each axis of the operand, None
    for those dropped.  None where it does more."""
    old, new = node.args[0].type.shape if isinstance(node.args[0].type, Array) else (), node.type.shape
    kept_new = [k for k, d in enumerate(new) if d != 1]
    kept_old = [k for k, d in enumerate(old) if d != 1]
    if len(kept_new) != len(kept_old):
        return None
    unknown_old = [k for k, o in enumerate(kept_old) if old[o] is None]
    unknown_new = [k for k, n in enumerate(kept_new) if new[n] is None]
    if len(kept_old) > 1 and (
        len(unknown_old) > 1 or len(unknown_new) > 1 or (unknown_old and unknown_new and unknown_old != unknown_new)
    ):
        return None  # sizes may be regrouped; the rest follows from the equal number of elements
    if any(
        old[o] != new[n] for o, n in zip(kept_old, kept_new, strict=True) if old[o] is not None and new[n] is not None
    ):
        return None
    where = dict(zip(kept_old, kept_new, strict=True))
    return [where.get(k) for k in range(len(old))]


def _repeats(consumer: Apply, k: int) -> bool:
    """Does it read an element of operand k many times?  An axis that repeats innermost does not: its operand moves out
    of the inner loop."""
    name = consumer.op.name
    if name == "matmul":
        return k == 1 or not outer_product(consumer)
    if name == "broadcast":
        axes, shape = consumer.attrs["axes"], consumer.attrs["shape"]
        last = max((a for a in axes if shape[a] != 1), default=-1)
        return any(d != 1 and a not in axes and a < last for a, d in enumerate(shape))
    if name == "gather":
        return consumer.args[0].type.rank > len(consumer.args) - 1
    if name in ("scatter_set", "scatter_add"):
        return k > 1 and consumer.args[0].type.rank > len(consumer.args) - 2
    return False


def _worth_repeating(node: Apply, consumers, sparing) -> bool:
    if node.op.name in INDEXING:
        return True
    if any(c in sparing or _repeats(c, k) for c, k in consumers):
        return False
    arrays = {a for a in node.args if isinstance(a.type, Array)}
    return node.op.name in CHEAP and len(consumers) <= 3 and len(arrays) <= 2


def _consumed(array: Node, between) -> bool:
    """May one of these nodes write into the array?  What is called or nested may where it mentions the array."""
    for n in between:
        if n.op.in_place and n.args[0] is array:
            return True
        if n.graphs and (
            array in n.args or any(array in m.args for g in n.graphs if n.op.nests for h in g.nested() for m in h.nodes)
        ):
            return True
    return False
