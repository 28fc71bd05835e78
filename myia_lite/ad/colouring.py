"""Colourings: which columns of a sparse matrix one pass can carry together.

Columns of one colour are added up in one directional derivative.  In a Jacobian, columns that share no row can be told
apart again (a partial distance-2 colouring of the bipartite graph of rows and columns).  In a symmetric matrix each
element stands in two places, and it is enough that it can be read in one of them: a star colouring, in which no path
of four vertices has just two colours.  See Gebremedhin, Manne and Pothen, "What color is your Jacobian?" (SIAM Review
2005).

Minimal colourings are NP-hard to find.  We take the best of several greedy ones, in different orders, and stop early
where one meets a lower bound.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

TRIALS = 500_000  # elements up to which more orders than one are tried
CANDIDATES = 12  # splits of a Jacobian into rows and columns that are considered


@dataclass(frozen=True)
class Split:
    """How a Jacobian is read: columns of one colour in a forward pass, rows of one colour in a reverse pass.

    `rows[i]` is the colour of row i, -1 where it has none; so `columns`.  Of an element whose row and column have both,
    the row's counts if `rows_first`, else the column's.
    """

    rows: np.ndarray
    columns: np.ndarray
    rows_first: bool = True

    def by_row(self, i, j):
        """Is element (i, j) read in a reverse pass?"""
        return self.rows[i] >= 0 if self.rows_first else self.columns[j] < 0

    @property
    def passes(self) -> tuple[int, int]:
        """How many forward passes, and how many reverse ones."""
        return _colours(self.columns), _colours(self.rows)


def _colours(colours) -> int:
    return int(colours.max(initial=-1)) + 1


# ---- Jacobians -------------------------------------------------------------------------------------------------------
def jacobian_colouring(pattern: sparse.csr_array) -> Split:
    """The fewest passes found.

    Forward passes alone need as many colours as the fullest row has elements, reverse passes alone as many as the
    fullest column.  So a few full rows are better left to reverse passes, or a few full columns to forward passes.
    """
    sizes = np.diff(pattern.indptr)
    across = np.bincount(pattern.indices, minlength=pattern.shape[1])
    options = [*_by_rows(pattern, sizes), *_by_rows(pattern.T.tocsr(), across, True)]
    best = Split(np.full(pattern.shape[0], -1), np.full(pattern.shape[1], -1))
    least = pattern.shape[0] + pattern.shape[1] + 1
    for bound, _, limit, flipped in sorted(options, key=lambda o: o[:2]):
        if bound >= least:
            break
        found = _split(pattern.T.tocsr(), across, limit, least) if flipped else _split(pattern, sizes, limit, least)
        if found is not None and sum(found.passes) < least:
            best, least = Split(found.columns, found.rows, False) if flipped else found, sum(found.passes)
    return best


def _by_rows(pattern, sizes, flipped=False):
    """(lower bound of passes, flipped, limit, flipped): rows of more than `limit` elements go in reverse passes."""
    distinct = np.unique(sizes[sizes > 0])[::-1]
    if len(distinct) > CANDIDATES:
        distinct = np.unique(distinct[np.geomspace(1, len(distinct), CANDIDATES).astype(int) - 1])[::-1]
    for limit in distinct.tolist():
        peeled = pattern[np.flatnonzero(sizes > limit)].indices
        yield limit + int(np.bincount(peeled).max(initial=0)), flipped, limit, flipped


def _split(pattern, sizes, limit, least) -> Split | None:
    """The colouring with the rows of more than `limit` elements apart; None where it takes `least` passes or more."""
    full = np.flatnonzero(sizes > limit)
    some = _distance_2(pattern[full], least)
    if some is None:
        return None
    rows = np.full(pattern.shape[0], -1)
    rows[full] = some
    columns = _distance_2(pattern[np.flatnonzero(sizes <= limit)].T.tocsr(), least - _colours(rows), limit)
    return None if columns is None else Split(rows, columns)


def _distance_2(lines: sparse.csr_array, least: int, bound: int = 1):
    """Colours of the rows of `lines`, such that two that share a column differ; -1 for empty ones.

    Tries several orders until there are no more than `bound` colours; None where there are always `least` or more.
    """
    starts, indices = lines.indptr.tolist(), lines.indices.tolist()
    members = [indices[a:b] for a, b in itertools.pairwise(starts)]
    best = None
    for order in _orders(lines):
        found = _greedy(members, order, lines.shape[1], least)
        if found is not None:
            best, least = found, _colours(found)
        if least <= bound or lines.nnz > TRIALS:
            break
    return best


def _orders(lines: sparse.csr_array):
    """As they stand; largest first; smallest last."""
    yield range(lines.shape[0])
    if not lines.nnz:
        return
    across = np.bincount(lines.indices, minlength=lines.shape[1])
    weight = sparse.csr_array((across[lines.indices], lines.indices, lines.indptr), shape=lines.shape).sum(axis=1)
    yield np.argsort(-weight, kind="stable").tolist()
    if np.sum(across.astype(float) ** 2) <= TRIALS:
        counts = sparse.csr_array((np.ones(lines.nnz, np.int64), lines.indices, lines.indptr), shape=lines.shape)
        yield smallest_last(sparse.csr_array(counts @ counts.T))


def _greedy(members, order, columns: int, least: int):
    """First fit, or None from `least` colours on.  Of each column we keep the colours in use, as the bits of an int."""
    used = [0] * columns
    colours = np.full(len(members), -1)
    for k in order:
        if not (line := members[k]):
            continue
        taken = 0
        for c in line:
            taken |= used[c]
        free = ~taken & (taken + 1)
        if free.bit_length() >= least:
            return None
        colours[k] = free.bit_length() - 1
        for c in line:
            used[c] |= free
    return colours


def smallest_last(graph: sparse.csr_array) -> list[int]:
    """An order of the vertices in which each has few neighbours before it: the smallest of what is left goes last."""
    starts, indices = graph.indptr.tolist(), graph.indices.tolist()
    degree = [b - a for a, b in itertools.pairwise(starts)]
    buckets: list[list[int]] = [[] for _ in range(max(degree, default=0) + 1)]
    for v, k in enumerate(degree):
        buckets[k].append(v)
    out, at, gone = [], 0, [False] * len(degree)
    while len(out) < len(degree):
        while not buckets[at]:
            at += 1
        v = buckets[at].pop()
        if gone[v] or degree[v] != at:
            continue
        gone[v] = True
        out.append(v)
        for w in indices[starts[v] : starts[v + 1]]:
            if not gone[w]:
                degree[w] -= 1
                buckets[degree[w]].append(w)
                at = min(at, degree[w])
    return out[::-1]


# ---- symmetric matrices ----------------------------------------------------------------------------------------------
def star_colouring(pattern: sparse.csr_array):
    """Colours of the columns of a symmetric pattern, -1 for empty ones."""
    return first_fit(pattern, _star)


def proper_colouring(pattern: sparse.csr_array):
    """The same, where neighbours differ and no more: enough for the diagonal."""
    return first_fit(pattern, _proper)


def first_fit(pattern: sparse.csr_array, colour):
    """The fewest colours that `colour(neighbours, order)` finds in several orders of the vertices."""
    starts, indices = pattern.indptr.tolist(), pattern.indices.tolist()
    neighbours = [[w for w in indices[a:b] if w != v] for v, (a, b) in enumerate(itertools.pairwise(starts))]
    sizes = np.diff(pattern.indptr)
    vertices = np.flatnonzero(sizes)
    bound = 1 if all(not neighbours[v] for v in vertices.tolist()) else 2
    best = None
    largest_first = vertices[np.argsort(-sizes[vertices], kind="stable")].tolist()
    for order in (lambda: largest_first, vertices.tolist, lambda: [v for v in smallest_last(pattern) if sizes[v]]):
        colours = colour(neighbours, order())
        if best is None or _colours(colours) < _colours(best):
            best = colours
        if _colours(best) <= bound or pattern.nnz > TRIALS:
            break
    return best


def _star(neighbours, order):
    """First fit, in time proportional to the edges and the colours around each vertex.

    A vertex v must differ from its neighbours w; from the neighbours of w where another neighbour of v has w's colour;
    and from a neighbour x of w that has another neighbour of w's colour.  `hub[w]` holds the colours of such x.
    """
    colours = [-1] * len(neighbours)
    around: list[dict[int, list[int]]] = [{} for _ in neighbours]  # colour -> the neighbours that have it
    hub: list[set[int]] = [set() for _ in neighbours]
    for v in order:
        taken = set()
        for colour, ws in around[v].items():
            taken.add(colour)
            for w in ws:
                taken |= hub[w]
            if len(ws) > 1:
                for w in ws:
                    taken.update(around[w])
        mine = 0
        while mine in taken:
            mine += 1
        colours[v] = mine
        for ws in around[v].values():
            if len(ws) > 1:
                for w in ws:
                    hub[w].add(mine)
        for x in neighbours[v]:
            same = around[x].setdefault(mine, [])
            same.append(v)
            if colours[x] >= 0 and len(same) > 1:
                hub[v].add(colours[x])
                if len(same) == 2:
                    hub[same[0]].add(colours[x])
    return np.array(colours)


def _proper(neighbours, order):
    colours = [-1] * len(neighbours)
    for v in order:
        taken = {colours[w] for w in neighbours[v]}
        mine = 0
        while mine in taken:
            mine += 1
        colours[v] = mine
    return np.array(colours)
