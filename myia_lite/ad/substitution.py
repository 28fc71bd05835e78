"""Acyclic colourings of symmetric matrices, and how their elements are found: one after the other.

Where no cycle has just two colours, the elements between the columns of two colours are the edges of a forest.  A pass
gives at each vertex the sum of its edges to the vertices of a colour.  So a leaf of a tree gives its one edge, which is
then taken from the sum at its other end; and so on.  That takes fewer colours than reading each element from a pass (a
tridiagonal matrix two instead of three), but elements come as differences, with rounding errors of the size of those
that they are the difference of.

Source: Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star coloring algorithms with application to computing
Hessians" (SIAM Journal on Scientific Computing 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .colouring import first_fit


def acyclic_colouring(pattern: sparse.csr_array):
    """Colours of the columns of a symmetric pattern, -1 for empty ones."""
    return first_fit(pattern, _acyclic)


def _acyclic(neighbours, order):
    """First fit.  The trees of two colours are kept as classes of pairs (v, c): those edges of v that go to colour c.

    A vertex v may not have a colour m where two of its neighbours, both of a colour c, are in one tree of c and m.
    """
    colours = [-1] * len(neighbours)
    around: list[dict[int, int]] = [{} for _ in neighbours]  # for each vertex: colour c -> the number of the pair
    parent: list[int] = []

    def root(k):
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for v in order:
        by_colour: dict[int, list[int]] = {}
        for w in neighbours[v]:
            if colours[w] >= 0:
                by_colour.setdefault(colours[w], []).append(w)
        taken = set(by_colour)
        for ws in by_colour.values():
            if len(ws) > 1:
                met: dict[int, int] = {}
                for w in ws:
                    for m, pair in around[w].items():
                        if m not in taken and met.setdefault(root(pair), w) != w:
                            taken.add(m)
        mine = 0
        while mine in taken:
            mine += 1
        colours[v] = mine
        for c, ws in by_colour.items():
            around[v][c] = own = len(parent)
            parent.append(own)
            for w in ws:
                pair = around[w].get(mine)
                if pair is None:
                    around[w][mine] = own
                else:
                    parent[root(pair)] = root(own)
    return np.array(colours)


@dataclass(frozen=True)
class Substitution:
    """How the elements off the diagonal follow from sums: of the edges at (row, colour of the column) for each element
    `leaf`, in the order in which they are found; `mirrored` are the same elements on the other side of the diagonal."""

    leaf: np.ndarray
    mirrored: np.ndarray
    system: object  # its `solve` takes from each sum the elements that were found before

    def __call__(self, data) -> None:
        """Put the elements in the place of the sums."""
        found = self.system.solve(data[self.leaf].astype(np.float64))
        data[self.leaf] = data[self.mirrored] = found


def substitution(rows, columns, colours, mirrored) -> Substitution | None:
    """For a symmetric matrix with elements (rows, columns), element k mirrored in `mirrored[k]`; None if there is
    nothing but a diagonal."""
    edges = np.flatnonzero(rows < columns)
    if not len(edges):
        return None
    count = int(colours.max()) + 1
    keys = np.stack([rows[edges] * count + colours[columns[edges]], columns[edges] * count + colours[rows[edges]]])
    ends = np.unique(keys, return_inverse=True)[1].reshape(2, -1)  # the pairs (v, c) at both ends of each edge
    pairs = int(ends.max()) + 1
    degree = np.bincount(ends.ravel(), minlength=pairs).tolist()
    # of a pair with one edge left, the exclusive or of its edges is that edge
    left = np.zeros(pairs, np.int64)
    for side in ends:
        np.bitwise_xor.at(left, side, np.arange(len(edges)))
    left, first, second = left.tolist(), *ends.tolist()
    leaves, order, at = [p for p in range(pairs) if degree[p] == 1], [], []
    while leaves:
        p = leaves.pop()
        if degree[p] != 1:
            continue
        e = left[p]
        other = second[e] if first[e] == p else first[e]
        order.append(e)
        at.append(p)
        degree[p] = 0
        degree[other] -= 1
        left[other] ^= e
        if degree[other] == 1:
            leaves.append(other)
    place, row_of = np.empty(len(edges), np.int64), np.full(pairs, -1)
    place[order] = np.arange(len(order))
    row_of[at] = np.arange(len(at))
    entries = [(row_of[side], place) for side in ends]  # the sum at a pair has all its edges
    i, j = (np.concatenate(x) for x in zip(*entries, strict=True))
    system = sparse.csc_array((np.ones(np.sum(i >= 0)), (i[i >= 0], j[i >= 0])), shape=(len(edges),) * 2)
    order, at = np.array(order), np.array(at)
    leaf = np.where(ends[0][order] == at, edges[order], mirrored[edges[order]])
    return Substitution(leaf, mirrored[leaf], splu(system, permc_spec="NATURAL", diag_pivot_thresh=0.0))
