"""Sparse Jacobians and Hessians: the pattern from the program, and a pass for each colour of its columns or rows."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .ad.colouring import jacobian_colouring, proper_colouring, star_colouring
from .ad.sparsity import Dependence, Tracked
from .ad.substitution import acyclic_colouring, substitution
from .adapter import unchanged
from .api import GradFunction, MyiaFunction, grad, transformed, watched, with_room
from .backends import exception
from .backends.interp.machine import execute, flat
from .backends.interp.plan import Plan, as_value
from .compiler import optimised
from .derivatives import float_part
from .infer import abstract, leaves, rebuild
from .infer.structures import Dyn, Tree
from .ir import MyiaTypeError, MyiaValueError, is_float


def sparse_jacobian(f: Callable, argnums: int | str | tuple = 0) -> SparseJacobian:
    """The Jacobian of f as a SciPy sparse matrix (`csr_array`): a function of the same arguments.

    A row for each float in the result of f, a column for each float in the arguments `argnums`: the leaves of a
    structure one after the other, arrays in row-major order.  Elements that can be other than zero are stored, also
    where they happen to be zero, so that the pattern stays the same from point to point.

    The pattern is found by running the derivative on sets of input indexes, not by trying numbers.  Columns that share
    no row go together in one pass of forward mode, rows that share no column in one of reverse mode, whatever makes
    fewer passes: a banded or a block diagonal Jacobian takes as many passes as a row has elements, however large it is.
    Where the inputs have no say in branches and indexes the pattern is kept for later calls.

    `.pattern(*args)` is the pattern alone, `.passes(*args)` the numbers of forward and of reverse passes.

    Raises MyiaTypeError where an argument to differentiate by has no floats.
    Source: Gebremedhin, Manne and Pothen, "What color is your Jacobian?" (SIAM Review 2005).

    >>> import numpy as np
    >>> from myia_lite import sparse_jacobian
    >>> jacobian = sparse_jacobian(lambda x: x[1:] * x[:-1])
    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> jacobian(x).toarray()
    array([[2., 1., 0., 0.],
           [0., 3., 2., 0.],
           [0., 0., 4., 3.]])
    >>> jacobian.passes(x)
    (2, 0)
    """
    return _kept(SparseJacobian, f, argnums)


def sparse_hessian(f: Callable, argnums: int | str | tuple = 0, substitution: bool = False) -> SparseHessian:
    """The second derivatives of f, which returns one float, as a symmetric SciPy sparse matrix (`csr_array`).

    Rows and columns are the floats in the arguments `argnums`, as for `sparse_jacobian`.  The pattern is that of the
    gradient's program.  Each pass is a product of the Hessian with a vector, forward over reverse mode; a star
    colouring reads each element in one of the two places where it stands.  A diagonal Hessian takes one pass, an arrow
    two.

    substitution: take as few passes as an acyclic colouring allows, where that is fewer, and find elements one after
    the other, each from a sum of which the others are known.  Elements then have rounding errors of the size of those
    that they were added to, which matters where they differ by orders of magnitude: so it is off unless asked for.

    Raises MyiaTypeError where f does not return one float, or an argument to differentiate by has no floats.

    >>> import numpy as np
    >>> from myia_lite import sparse_hessian
    >>> def rosenbrock(x):
    ...     return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
    >>> hessian = sparse_hessian(rosenbrock)
    >>> hessian(np.zeros(4)).toarray()
    array([[  2.,   0.,   0.,   0.],
           [  0., 202.,   0.,   0.],
           [  0.,   0., 202.,   0.],
           [  0.,   0.,   0., 200.]])
    >>> hessian(np.zeros(4)).nnz, hessian.passes(np.zeros(1000))
    (10, (3, 0))
    >>> sparse_hessian(rosenbrock, substitution=True).passes(np.zeros(1000))
    (2, 0)
    """
    return _kept(BySubstitution if substitution else SparseHessian, f, argnums)


def diagonal_of(kind: str, f: Callable, argnums: int | str | tuple = 0) -> Diagonal:
    """`jacobian(f, …, diagonal=True)` and `hessian(f, …, diagonal=True)`."""
    return _kept(HessianDiagonal if kind == "hessian" else JacobianDiagonal, f, argnums)


# their results are no values of compiled code, which says so when it meets them
sparse_jacobian.__myia_outside__ = sparse_hessian.__myia_outside__ = True


def _kept(kind: type, f: Callable, argnums):
    """The same object for the same function, so that its programs and patterns are found again."""
    if not isinstance(argnums, (int, str, tuple)):
        raise MyiaTypeError(f"argnums is {argnums!r}", remedy="an index, a parameter's name, or a tuple of these")
    keep = isinstance(f, (types.FunctionType, types.MethodType, MyiaFunction))
    return (_made if keep else _made.__wrapped__)(kind, f, argnums)


@functools.lru_cache(128)
def _made(kind, f, argnums):
    return kind(f, argnums)


FEW, AT_ONCE = 2, 8  # forward passes


@dataclass(frozen=True)
class Pass:
    """One derivative along `seed`: element k of the matrix, for k in `elements`, is the number at `reads` in it."""

    reverse: bool
    seed: np.ndarray
    elements: np.ndarray
    reads: np.ndarray


@dataclass(frozen=True)
class Layout:
    """The pattern at a point, how to fill it, and what has to be the same for it to hold at another point."""

    pattern: sparse.csr_array
    passes: tuple[Pass, ...]
    finish: Callable | None  # what is left to do with the elements once all are read, in place
    value: Any  # the floats of the result, for the structure of cotangents
    given: list | None  # the leaves that are no inputs; None where the inputs decide on the pattern too

    def holds(self, given: list) -> bool:
        return self.given is not None and all(map(np.array_equal, self.given, given))


class SparseJacobian:
    """What `sparse_jacobian` makes.  Calls are safe from several threads at once."""

    def __init__(self, f: Callable, argnums: int | str | tuple):
        self._function, self._argnums = self._differentiate(f, argnums), argnums
        self._names = _parameters(f)
        self._jvp, self._vjp = (transformed(kind, self._function) for kind in ("jvp", "vjp"))
        self._many: dict[tuple[int, ...], GradFunction] = {}  # by argument positions: the program of many tangents
        self._analyses: dict[Any, _Analysis] = {}

    def _differentiate(self, f, argnums) -> Callable:
        """The function whose first derivatives these are."""
        return f

    def __call__(self, *args, **keywords) -> sparse.csr_array:
        args, wrt = self._bind(args, keywords)
        seeds, layout = self._layout(args, wrt)
        p, data = layout.pattern, self._elements(args, wrt, seeds, layout)
        return sparse.csr_array((data, p.indices, p.indptr), shape=p.shape, copy=True)

    def _elements(self, args, wrt, seeds, layout) -> np.ndarray:
        """The elements of the pattern."""
        data = np.zeros(layout.pattern.nnz, seeds.dtype)
        pullback = self._vjp(*args)[1] if any(p.reverse for p in layout.passes) else None
        forward = [p for p in layout.passes if not p.reverse]
        for p, along in zip(forward, self._forward(args, wrt, [p.seed for p in forward], seeds), strict=True):
            data[p.elements] = along[p.reads]
        for p in layout.passes:
            if p.reverse:
                data[p.elements] = self._reverse(pullback, wrt, p.seed, layout)[p.reads]
        if layout.finish is not None:
            layout.finish(data)
        return data

    def pattern(self, *args, **keywords) -> sparse.csr_array:
        """Where the matrix may be other than zero, as bools."""
        _, layout = self._layout(*self._bind(args, keywords))
        return layout.pattern.copy()

    def passes(self, *args, **keywords) -> tuple[int, int]:
        """How many forward passes the matrix takes, and how many reverse ones."""
        _, layout = self._layout(*self._bind(args, keywords))
        reverse = sum(p.reverse for p in layout.passes)
        return len(layout.passes) - reverse, reverse

    # ---- arguments
    def _bind(self, args, keywords) -> tuple[tuple, tuple[int, ...]]:
        """All arguments by position, and the positions of those to differentiate by."""
        if keywords:
            if self._names is None or not set(keywords) <= set(self._names[len(args) :]):
                raise MyiaTypeError("keyword arguments that the function does not name", remedy="pass them by position")
            missing = [n for n in self._names[len(args) : len(args) + len(keywords)] if n not in keywords]
            if missing:
                raise MyiaTypeError(f"no argument {missing[0]}, but later ones", remedy=f"pass {missing[0]} too")
            args = (*args, *(keywords[n] for n in self._names[len(args) : len(args) + len(keywords)]))
        wrt = []
        for a in self._argnums if isinstance(self._argnums, tuple) else (self._argnums,):
            k = self._names.index(a) if isinstance(a, str) and self._names is not None and a in self._names else a
            if not isinstance(k, int) or isinstance(k, bool) or not -len(args) <= k < len(args):
                message = f"argnums is {self._argnums!r}, of {len(args)} arguments"
                raise MyiaValueError(message, remedy="an index or a name")
            k %= len(args)
            if k in wrt:
                raise MyiaValueError(f"argnums is {self._argnums!r}: argument {k} twice", remedy="give each once")
            if not leaves(part := float_part(args[k]), abstract(part)):
                raise MyiaTypeError(f"argument {k} has no floats to differentiate by", remedy="pass it as floats")
            wrt.append(k)
        return args, tuple(wrt)

    def _layout(self, args, wrt) -> tuple[Seeds, Layout]:
        seeds = Seeds(args, wrt)
        given = (args, seeds.tangents(np.zeros(seeds.size)))
        signature = self._jvp._signature(given, {})
        analysis = self._analyses.get(signature)
        if analysis is None or not analysis.current():
            analysis = self._analyses[signature] = with_room(_Analysis, self._jvp, signature)
        return seeds, analysis.layout(*given, wrt, self._prepare)

    def _prepare(self, pattern: sparse.csr_array) -> tuple[sparse.csr_array, list[Pass], Callable | None]:
        """The pattern, as small as it is known to be, and how to fill it: passes, and what is to be done after them."""
        split = jacobian_colouring(pattern)
        rows, columns = _places(pattern)
        by_row = split.by_row(rows, columns)
        forward = _groups(np.where(by_row, -1, split.columns[columns]))
        reverse = _groups(np.where(by_row, split.rows[rows], -1))
        return (
            pattern,
            [
                *(Pass(False, split.columns == k, e, rows[e]) for k, e in forward),
                *(Pass(True, split.rows == k, e, columns[e]) for k, e in reverse),
            ],
            None,
        )

    # ---- passes
    def _forward(self, args, wrt, vectors, seeds) -> Iterator[np.ndarray]:
        """The tangent along each of the vectors: of a few one by one, else so many at once that one program does."""
        if len(vectors) <= FEW:
            for v in vectors:
                yield vector_of(self._jvp(args, seeds.tangents(v))[1])
            return
        if wrt not in self._many:
            self._many[wrt] = transformed("jvps", self._function, wrt)
        size = -(-len(vectors) // -(-len(vectors) // AT_ONCE))  # groups of one size, with little left over in the last
        for k in range(0, len(vectors), size):
            some = vectors[k : k + size]
            rows = np.zeros((size, seeds.size))
            rows[: len(some)] = some
            tangents = self._many[wrt](args, seeds.rows(rows))
            yield from np.concatenate([t.reshape(size, -1) for t in tangents], axis=1)[: len(some)]

    def _reverse(self, pullback, wrt, seed, layout):
        (cotangent,) = Seeds((layout.value,), (0,)).tangents(seed)
        cotangents = pullback(cotangent)
        return vector_of(tuple(cotangents[k] for k in wrt))


class SparseHessian(SparseJacobian):
    """What `sparse_hessian` makes."""

    def _differentiate(self, f, argnums):
        return grad(f, argnums)

    def _prepare(self, pattern):
        pattern = symmetric(pattern)
        colours = star_colouring(pattern)
        rows, columns = _places(pattern)
        # column j gives (i, j) where no other element of row i has j's colour; elsewhere column i gives it
        place = rows * (colours.max(initial=0) + 1) + colours[columns]
        _, same, times = np.unique(place, return_inverse=True, return_counts=True)
        alone = (times == 1)[same.reshape(-1)]
        mirrored = _mirrored(rows, columns)
        # an element and its mirror image are read in one place, so that the result is symmetric to the last bit
        here = np.where(alone & alone[mirrored], rows <= columns, alone)
        across = np.where(here, colours[columns], colours[rows])
        reads = np.where(here, rows, columns)
        return pattern, [Pass(False, colours == k, e, reads[e]) for k, e in _groups(across)], None


class BySubstitution(SparseHessian):
    """What `sparse_hessian` makes where elements may be found one after the other."""

    def _prepare(self, pattern):
        pattern = symmetric(pattern)
        colours = acyclic_colouring(pattern)
        if colours.max(initial=-1) >= star_colouring(pattern).max(initial=-1):
            return super()._prepare(pattern)
        rows, columns = _places(pattern)
        finish = substitution(rows, columns, colours, _mirrored(rows, columns))
        return pattern, [Pass(False, colours == k, e, rows[e]) for k, e in _groups(colours[columns])], finish


class Diagonal(SparseJacobian):
    """What `diagonal=True` makes: a function that gives the diagonal of a square matrix, in the structure of what it is
    differentiated by.

    Two columns go in one pass where neither has an element in the row of the other: a diagonal matrix takes one pass.
    """

    def __call__(self, *args, **keywords):
        args, wrt = self._bind(args, keywords)
        seeds, layout = self._layout(args, wrt)
        whole = np.zeros(seeds.size, seeds.dtype)
        whole[layout.pattern.indices] = self._elements(args, wrt, seeds, layout)
        parts = seeds.tangents(whole)
        return tuple(parts[k] for k in wrt) if isinstance(self._argnums, tuple) else parts[wrt[0]]

    def _prepare(self, pattern):
        n, m = pattern.shape
        if n != m:
            message = f"the diagonal of a Jacobian that is not square: {n} results by {m} arguments"
            raise MyiaValueError(message, remedy="differentiate by as many floats as the function returns")
        colours = proper_colouring(sorted_rows(pattern + pattern.T))
        rows, columns = _places(pattern)
        rows = rows[rows == columns]
        kept = sparse.csr_array((np.ones(len(rows), bool), (rows, rows)), shape=(n, n))
        return kept, [Pass(False, colours == k, e, rows[e]) for k, e in _groups(colours[rows])], None


class JacobianDiagonal(Diagonal):
    """What `jacobian(f, diagonal=True)` makes."""


class HessianDiagonal(Diagonal, SparseHessian):
    """What `hessian(f, diagonal=True)` makes."""

    def _prepare(self, pattern):
        return Diagonal._prepare(self, symmetric(pattern))


class _Analysis:
    """The program of the passes for one signature of the arguments, and its last layout.

    The pattern is that of the forward program's linear part: of the tangents it gives in those it gets.  So it is what
    the passes see, custom rules and all.
    """

    def __init__(self, jvp: GradFunction, signature):
        self.inferred = jvp._infer(*signature)
        self.graph = optimised(self.inferred.graph)
        if holds_complex(self.inferred.result):
            raise MyiaTypeError(
                "a sparse derivative of a function with complex results",
                remedy="return the real and imaginary parts",
            )
        self.watched = watched(self.inferred.dependencies)
        self.last: dict[tuple[int, ...], Layout] = {}

    def current(self) -> bool:
        return unchanged(self.watched)

    def layout(self, args, tangents, wrt, prepare) -> Layout:
        of_args, of_tangents = self.inferred.arguments
        values, owners = [*leaves(args, of_args), *leaves(tangents, of_tangents), *self.inferred.captured], []
        for t in (of_args, of_tangents):
            owners += [k for k, item in enumerate(t.items) for _ in range(_size(item))]
        if any(holds_complex(of_args.items[w]) for w in wrt):
            raise MyiaTypeError("a sparse derivative by complex arguments", remedy="pass the real and imaginary parts")
        primals, params = _size(of_args), self.graph.params
        varying = [k for k in range(primals) if owners[k] in wrt and is_float(params[k].type)]
        inputs = [k for w in wrt for k in range(primals, len(owners)) if owners[k] == w]
        fixed = set(range(len(values))).difference(varying, inputs)
        given = [np.asarray(values[k]) for k in sorted(fixed)]
        last = self.last.get(wrt)
        if last is None or not last.holds(given):
            found = self._find(values, varying, inputs)
            pattern, passes, finish = prepare(sorted_rows(found.pattern))
            last = Layout(
                pattern, tuple(passes), finish, found.value, None if found.branched else [v.copy() for v in given]
            )
            self.last[wrt] = last
        return last

    def _find(self, values, varying, inputs) -> _Found:
        graph = self.graph
        held = [as_value(v, p.type) for v, p in zip(values, graph.params, strict=True)]
        dependence = Dependence(sum(np.size(held[k]) for k in inputs))
        for k in varying:
            held[k] = dependence.varying(held[k])
        for k in inputs:
            held[k] = dependence.input(held[k])

        def meaning(n):
            return _raising(n) if n.op.name in ("guard", "raise") else dependence.meaning(n)

        with np.errstate(all="ignore"):
            results = flat(execute(Plan(graph, meaning).entry, list(held)), graph.result_type)
        value, _ = rebuild(self.inferred.result, [r.value if isinstance(r, Tracked) else r for r in results])
        count = _size(self.inferred.result.items[0])
        return _Found(dependence.pattern(results[count:]), float_part(value), dependence.branched)


@dataclass(frozen=True)
class _Found:
    """What a run at a point shows; `branched`: the inputs had a say in branches or indexes."""

    pattern: sparse.csr_array
    value: Any
    branched: bool


def _size(t) -> int:
    """The number of leaves of a template."""
    return 1 if isinstance(t, Dyn) else sum(map(_size, getattr(t, "items", ())))


def holds_complex(t) -> bool:
    """Are there complex numbers in a value of this template?"""
    return isinstance(t, Tree) and (t.shape[0] == "complex" or any(map(holds_complex, t.items)))


def symmetric(pattern) -> sparse.csr_array:
    """Of a Hessian: what is zero on one side of the diagonal is so on the other."""
    return sorted_rows(pattern * pattern.T)


def sorted_rows(pattern) -> sparse.csr_array:
    pattern = sparse.csr_array(pattern)
    pattern.sort_indices()
    return pattern


def _raising(n):
    """A guard, or a raise, on tracked values: no branch on the inputs, for the passes check it again."""

    def run(*args, **attrs):
        plain = [a.value if isinstance(a, Tracked) else a for a in args]
        if n.op.name == "guard" and plain.pop(0):
            return ()
        raise exception(n.attrs, [v.item() if hasattr(v, "item") else v for v in plain], n.span)

    return run


class Seeds:
    """From a vector to tangents of the arguments `wrt`, whose float leaves take its elements in turn."""

    def __init__(self, args: tuple, wrt: tuple[int, ...]):
        self.count, self.wrt = len(args), wrt
        parts = [float_part(args[k]) for k in wrt]
        self.templates = list(map(abstract, parts))
        self.leaves = [list(map(np.asarray, leaves(v, t))) for v, t in zip(parts, self.templates, strict=True)]
        self.size = sum(v.size for vs in self.leaves for v in vs)
        self.dtype = np.result_type(np.float32, *(v.dtype for vs in self.leaves for v in vs))

    def rows(self, vectors) -> tuple:
        """The rows of a matrix as tangents, for each float leaf an array."""
        out, at = [], 0
        for v in (v for vs in self.leaves for v in vs):
            out.append(vectors[:, at : at + v.size].astype(v.dtype).reshape(len(vectors), *v.shape))
            at += v.size
        return tuple(out)

    def tangents(self, vector) -> tuple:
        """None for the other arguments."""
        out, at = [None] * self.count, 0
        for k, t, vs in zip(self.wrt, self.templates, self.leaves, strict=True):
            pieces = []
            for v in vs:
                piece = vector[at : at + v.size].astype(v.dtype).reshape(v.shape)
                pieces.append(piece if v.ndim else piece[()])
                at += v.size
            out[k] = rebuild(t, pieces)
        return tuple(out)


def vector_of(value) -> np.ndarray:
    """The floats in a tangent or cotangent, one after the other."""
    parts = [np.reshape(v, -1) for v in leaves(value, abstract(value))]
    return np.concatenate(parts) if parts else np.zeros(0)


def _places(pattern):
    """Row and column of each element."""
    return np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)), pattern.indices


def _mirrored(rows, columns):
    """For each element of a symmetric pattern the number of the one on the other side of the diagonal."""
    order = np.lexsort((rows, columns))  # of the transposed elements
    out = np.empty_like(order)
    out[order] = np.arange(len(order))
    return out


def _groups(colours):
    """(colour, the elements that have it) for each colour from 0 on."""
    order = np.argsort(colours, kind="stable")
    count = int(colours.max(initial=-1)) + 1
    edges = np.searchsorted(colours[order], np.arange(count + 1))
    return [(k, order[edges[k] : edges[k + 1]]) for k in range(count)]


def _parameters(f) -> tuple[str, ...] | None:
    """The names of the positional parameters, where they are known."""
    while isinstance(f, GradFunction):
        f = f.__myia_transformed__[1]
    try:
        found = inspect.signature(f._function if isinstance(f, MyiaFunction) else f).parameters.values()
    except (TypeError, ValueError):
        return None
    return tuple(p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
