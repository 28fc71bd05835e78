"""Sets of input indexes, one for each element of each array: as names in a graph of unions, worked out at the end.

A set has a number, its *name*: 0 is the set of what is constant; 1 that of what varies with the inputs without a
derivative (`x > 0`, `floor(x)`); 2 + j is {j}; every further name is a union of earlier ones.  So an array of sets is
an int64 array, which reshape, slice, gather and assignment treat as they treat any other array, and a union costs the
same however large its operands are.  `members` works out which inputs the sets in the results hold.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

CONSTANT, VARIES, FIRST = 0, 1, 2
SMALL, PATIENCE = 32, 64  # rounds of so few sets, after so many rounds: one by one is faster
SWEEPS = 4  # after unions that nobody uses


class IndexSets:
    """The sets over so many `inputs`."""

    def __init__(self, inputs: int):
        self.inputs, self.count = inputs, FIRST + inputs
        self.unions: list[np.ndarray] = []  # the edges, from a union to its operands, made many at once
        self.operands: list[np.ndarray] = []
        self.single: list[int] = []  # and those made one by one, as pairs
        self.pairs: dict[tuple[int, int], int] = {}

    def _new(self, count: int) -> np.ndarray:
        self.count += count
        return np.arange(self.count - count, self.count)

    def _edges(self, unions, operands) -> None:
        self.unions.append(unions)
        self.operands.append(operands)

    # ---- unions
    def union(self, a, b):
        """Element by element; a scalar beside an array stands for each of its elements."""
        if a is b:
            return a
        if np.ndim(a) or np.ndim(b):
            return self._union_of_arrays(a, b)
        a, b = (int(a), int(b)) if a < b else (int(b), int(a))
        if a < FIRST or a == b:
            return b
        if (a, b) not in self.pairs:
            self.pairs[a, b] = self.count
            self.single += self.count, a, self.count, b
            self.count += 1
        return self.pairs[a, b]

    def _union_of_arrays(self, a, b):
        low, high = np.minimum(a, b), np.maximum(a, b)
        both = (low >= FIRST) & (low != high)
        if both.any():
            # equal pairs have one name: what was gathered from a small array stays small
            pairs, place = np.unique(low[both] * self.count + high[both], return_inverse=True)
            low, new = np.divmod(pairs, self.count), self._new(len(pairs))
            for operand in low:
                self._edges(new, operand)
            high[both] = new[place]
        return high

    def grouped(self, groups, names, count: int) -> np.ndarray:
        """The unions of the `names` of each of `count` groups, which `groups` gives for each name."""
        out = np.zeros(count, np.int64)
        out[groups[names == VARIES]] = VARIES
        inside = names >= FIRST
        groups, names = groups[inside], names[inside]
        first = np.zeros(count, np.int64)
        first[groups] = names
        several = np.zeros(count, bool)
        several[groups[names != first[groups]]] = True
        out[first > 0] = first[first > 0]
        many = np.flatnonzero(several)
        out[many] = self._new(len(many))
        inside = several[groups]
        self._edges(out[groups[inside]], names[inside])
        return out

    def along(self, names, axis: int):
        """The unions of the names along an axis."""
        rows = np.moveaxis(names, axis, -1)
        shape, length = rows.shape[:-1], rows.shape[-1]
        count = rows.size // length if length else int(np.prod(shape))
        out = self.grouped(np.repeat(np.arange(count), length), rows.reshape(-1), count)
        return out.reshape(shape)

    def running(self, own, carried=None):
        """Along axis 0, y[k] = own[k] with y[k - 1] where `carried[k]`, if given: a chain of unions."""
        if not own.size:
            return own
        carried = np.ones(own.shape, bool) if carried is None else carried.copy()
        carried[0] = False
        inside, names = own >= FIRST, self._new(own.size).reshape(own.shape)
        started, varies = _running_or(inside, carried), _running_or(own == VARIES, carried)
        self._edges(names[inside], own[inside])
        carried[1:] &= started[:-1]
        self._edges(names[carried], names[:-1][carried[1:]])
        return np.where(started, names, np.where(varies, VARIES, CONSTANT))

    # ---- what they hold
    def members(self, names) -> sparse.csr_array:
        """A row for each name, a column for each input: is the input in the set?"""
        names = np.asarray(names, np.int64).reshape(-1)
        single = np.array(self.single, np.int64)
        unions = np.concatenate([*self.unions, single[::2]])
        operands = np.concatenate([*self.operands, single[1::2]])
        wanted = _distinct(names[names >= FIRST + self.inputs], self.count)
        inside = operands >= FIRST
        unions, operands = _needed(unions[inside], operands[inside], wanted, self.count)
        unions, operands = self._contracted(unions, operands, wanted)
        nodes = _distinct(unions, self.count)
        row = np.zeros(self.count, np.int64)  # of a name, in the matrix of all sets
        row[FIRST : FIRST + self.inputs] = 1 + np.arange(self.inputs)
        row[nodes] = 1 + self.inputs + np.arange(len(nodes))
        sets = _solve(row[unions] - 1, row[operands] - 1, len(nodes), self.inputs)
        single = sparse.eye_array(self.inputs, dtype=bool, format="csr")
        return sparse.csr_array(sparse.vstack([_empty(1, self.inputs), single, sets], format="csr")[row[names]])

    def _contracted(self, unions, operands, wanted):
        """Without the unions that only one other union uses: their operands go there at once.

        So a sum of many terms, however it was written, is one union, and its partial sums have no sets at all.
        """
        uses = np.bincount(operands, minlength=self.count)
        uses[wanted] = 2
        only = (uses[operands] == 1) & (operands >= FIRST + self.inputs)
        into = np.arange(self.count)
        into[operands[only]] = unions[only]
        while True:
            further = into[into]
            if np.array_equal(further, into):
                break
            into = further
        return into[unions[~only]], operands[~only]


def _distinct(names, count: int):
    """The names that occur, sorted."""
    occurs = np.zeros(count, bool)
    occurs[names] = True
    return np.flatnonzero(occurs)


def _empty(rows: int, columns: int) -> sparse.csr_array:
    return sparse.csr_array((rows, columns), dtype=bool)


def _running_or(x, carried):
    """Along axis 0, y[k] = x[k] or (y[k - 1] and carried[k])."""
    place = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    last = np.maximum.accumulate(np.where(x, place, -1), axis=0)
    broken = np.maximum.accumulate(np.where(carried, 0, place), axis=0)
    return last >= broken


def _needed(unions, operands, wanted, count):
    """The edges below the wanted unions."""
    for _ in range(SWEEPS):  # there are few others, as a rule
        used = np.zeros(count, bool)
        used[wanted] = used[operands] = True
        inside = used[unions]
        if inside.all():
            return unions, operands
        unions, operands = unions[inside], operands[inside]
    root = np.full(len(wanted), 0)
    rows, columns = np.concatenate([unions, root]), np.concatenate([operands, wanted])
    graph = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    reached = np.zeros(count, bool)
    reached[csgraph.breadth_first_order(graph, 0, return_predecessors=False)] = True
    inside = reached[unions]
    return unions[inside], operands[inside]


def _solve(unions, operands, size: int, inputs: int) -> sparse.csr_array:
    """The sets of `size` unions, in rounds of all whose operands are done.

    An operand below `inputs` is an input, the others are unions; these are numbered from `inputs` on, operands first.
    """
    rows, leaf = unions - inputs, operands < inputs
    own = _pattern(rows[leaf], operands[leaf], (size, inputs))
    below = _pattern(rows[~leaf], operands[~leaf] - inputs, (size, size))
    above = sparse.csr_array(below.T)
    missing = np.diff(below.indptr)
    place = np.full(size, -1)  # of a union's row among those done
    done = _Rows(inputs)
    ready, rounds = np.flatnonzero(missing == 0), 0
    while len(ready) and (len(ready) > SMALL or rounds < PATIENCE):
        sets = own[ready]
        if rounds:
            step = below[ready]
            step = sparse.csr_array((step.data, place[step.indices], step.indptr), shape=(len(ready), done.count))
            sets = sets + step @ done.matrix()
        place[ready] = np.arange(done.count, done.count + len(ready))
        done.append(sets)
        users, times = np.unique(above[ready].indices, return_counts=True)
        missing[users] -= times
        ready, rounds = users[missing[users] == 0], rounds + 1
    rest = np.flatnonzero(place < 0)
    done.one_by_one(rest, place, own, below)
    return sparse.csr_array(done.matrix()[place])


class _Rows:
    """A growing sparse matrix."""

    def __init__(self, columns: int):
        self.columns, self.count = columns, 0
        self.ends, self.indices = np.zeros(16, np.int64), np.zeros(16, np.int64)

    def matrix(self) -> sparse.csr_array:
        ends = self.ends[: self.count + 1]
        indices = self.indices[: ends[-1]]
        return sparse.csr_array((np.ones(len(indices), bool), indices, ends), shape=(self.count, self.columns))

    def append(self, rows: sparse.csr_array) -> None:
        self._extend(rows.indptr[1:], rows.indices)

    def _extend(self, ends, indices) -> None:
        start = self.ends[self.count]
        self.ends = _with_room(self.ends, self.count + 1 + len(ends))
        self.indices = _with_room(self.indices, start + len(indices))
        self.ends[self.count + 1 : self.count + 1 + len(ends)] = ends + start
        self.indices[start : start + len(indices)] = indices
        self.count += len(ends)

    def one_by_one(self, rest, place, own, below) -> None:
        """The sets of `rest`, in the order of their names, which is one in which operands come first."""
        for k in rest.tolist():
            parts = [own.indices[own.indptr[k] : own.indptr[k + 1]]]
            for p in place[below.indices[below.indptr[k] : below.indptr[k + 1]]].tolist():
                parts.append(self.indices[self.ends[p] : self.ends[p + 1]])
            row = np.unique(np.concatenate(parts))
            place[k] = self.count
            self._extend(np.array([len(row)]), row)


def _with_room(x, size: int):
    if size <= len(x):
        return x
    larger = np.zeros(max(size, 2 * len(x)), x.dtype)
    larger[: len(x)] = x
    return larger


def _pattern(rows, columns, shape) -> sparse.csr_array:
    out = sparse.coo_array((np.ones(len(rows), bool), (rows, columns)), shape=shape).tocsr()
    out.sum_duplicates()
    return out
