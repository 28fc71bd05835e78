"""Loop nests for contractions: tiles of the target in registers, rows of vectors, to which the products are added.

One kept factor, along which the target lies in one piece, is that of the vectors; another one, along which the operand
read in vectors stands still, that of the rows.  An operand that does not lie along the vectors is first copied so that
it does.  A long sum goes in blocks, whose results are added up in the target: so the operands of a block stay near, and
rounding errors small.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import llvmlite.binding as llvm
from llvmlite import ir

from ...ir import Apply, Node
from .contractions import Contraction, Meaning, Mismatch, along, contraction
from .expressions import Expr, Kernel, Point, Splat
from .layout import I32, NULL, REGISTER, ArrayValue, i64
from .loopnest import Target, assign, counted
from .memory_layout import DATA, ITEMSIZE
from .nests import outlined
from .regions import MANY, grain, region
from .scalars import number
from .sizes import Stride, as_value, known, plus, times

BLOCK = 512  # products to an element of the target, in one go
TERMS = 16  # products whose loops stand in one tile
CHAINS = 8  # sums side by side that keep the multipliers busy


@lru_cache
def registers() -> tuple[int, int]:
    """How many bytes a vector register has, and how many there are."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    return (32, 16) if features.get("avx") else (16, 32 if features.get("neon") else 16)


def _ceil(n: int, d: int) -> int:
    return -(-n // d)


class Emitted(Meaning):
    """Sizes and offsets as values, in a function under construction."""

    decided = True

    def __init__(self, kernel: Kernel):
        super().__init__({}, ())
        self.kernel, self.plan = kernel, kernel.plan

    def follows(self, node: Apply) -> bool:
        return node in self.plan.inlined

    def joins(self, node: Node) -> bool:
        return node in self.plan.inner

    def sizes(self, node: Node) -> list:
        return self.kernel.dims(node)

    def extents(self, node, p) -> list:
        sizes = []
        for d, n in zip(p.dims, node.type.shape, strict=True):
            size = 1
            for f in d:
                size = times(self.kernel.b, size, f.size)
            sizes.append(size if n is None else n)
        return sizes

    def scalar(self, node: Node):
        return known(self.kernel.ctx.scalar(node))

    def divided(self, size, by: int):
        return self.kernel.b.udiv(size, i64(by))

    def moved(self, offset, start, stride: Stride):
        b = self.kernel.b
        return plus(b, offset, times(b, start, stride.emit(b)))


# ---- a node that ends in a sum of products ---------------------------------------------------------------------------
def lower(ctx, node: Apply, plan) -> ArrayValue:
    """The value of a node that `plan` has found to be a contraction."""
    kernel = Kernel(ctx, plan)
    meaning = Emitted(kernel)
    try:
        c = contraction(meaning, node)
    except Mismatch:  # behind a check of the sizes that never passes
        kernel.sizes = kernel.dims(node, computed=True)
        return ctx.new_array(node.type, list(map(as_value, kernel.sizes)))
    if c.others is None:
        array, start = ctx.take(node), None
    else:
        kernel.sizes = meaning.extents(node, c.terms[0])
        array = ctx.new_result(node, node.type, list(map(as_value, kernel.sizes)))
        start = _started(kernel, array, c.others)
    _Nest(kernel, array, c, start).run()
    return array


def _started(kernel: Kernel, array: ArrayValue, others):
    """What the sum starts from: a number; or None where that is in the target now."""
    if not others:
        return number(array.type.dtype, 0)
    total = Total(tuple(map(kernel.read, others)))
    if all(isinstance(e, (Total, Splat)) for e in total.walk()):
        return Point(kernel, {}, vector=False).value(total)
    target = Target(kernel, array, kernel.index())
    kernel.exactly(total, lambda: assign(kernel, target, total))
    return None


class Total(Expr):
    """The sum of floats."""

    def __init__(self, operands):
        self.operands = operands

    def parts(self):
        return self.operands

    def emit(self, point):
        total, *rest = map(point.value, self.operands)
        for x in rest:
            total = point.b.fadd(total, x)
        return total


# ---- loops -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """How an array is gone through: from `data`, a step along each kept and each reduced factor."""

    data: object
    kept: tuple
    reduced: tuple = ()


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A sum of products over factors of these sizes."""

    sizes: tuple
    walks: tuple[Walk, Walk]


class _Nest:
    def __init__(self, kernel: Kernel, array: ArrayValue, c: Contraction, start):
        self.kernel, self.ctx, self.b = kernel, kernel.ctx, kernel.b
        self.dtype, self.start = array.type.dtype, start
        self.scalar, self.bytes = REGISTER[self.dtype], ITEMSIZE[self.dtype]
        self.width = registers()[0] // self.bytes  # lanes of a register
        self.sizes = [f.size for f in c.kept]
        self.target = Walk(self.at(array.data, c.target.offset), self._steps(c.kept, 0))
        self.terms = [self._term(c, t) for t in range(len(c.terms))]
        self.lane, self.overlaps = along(c.kept), c.overlaps
        self.copies: list = []

    def _steps(self, factors, which) -> tuple:
        return tuple(f.strides[which].emit(self.b) for f in factors)

    def _term(self, c: Contraction, t: int) -> Term:
        reduced, walks = c.terms[t].reduced, []
        for o, operand in enumerate(c.terms[t].operands):
            data = self.at(self.kernel.array(operand.node).data, operand.offset)
            walks.append(Walk(data, self._steps(c.kept, 1 + 2 * t + o), self._steps(reduced, o)))
        return Term(tuple(f.size for f in reduced), tuple(walks))

    def at(self, data, position):
        """The address of an element."""
        if position == 0:
            return data
        return self.b.gep(data, [as_value(position)], inbounds=True, source_etype=self.scalar)

    # ---- the whole
    def run(self) -> None:
        self.terms = [self._laid_out(t) for t in self.terms]
        self._choose()
        outer = [k for k in range(len(self.sizes)) if k not in (self.lane, self.row)]
        with self._shared(outer) as part:
            self.kernel.declare_scope()
            if any(map(self._long, self.terms)):
                if self.start is not None:
                    self._tiles(outer, part, ())
                    self.start = None
                for t in self.terms:
                    with self._blocks(t) as block:
                        self._tiles(outer, part, (block,))
            else:
                for k in range(0, len(self.terms), TERMS):
                    self._tiles(outer, part, self.terms[k : k + TERMS])
                    self.start = None
        for obj in self.copies:
            self.b.call(self.ctx.module.runtime("release"), [self.ctx.context, obj])

    def _laid_out(self, term: Term) -> Term:
        """With a copy of each operand that does not lie along the vectors."""
        return replace(term, walks=tuple(self._copied(term, w) if self._across(w) else w for w in term.walks))

    def _across(self, walk: Walk) -> bool:
        return walk.kept[self.lane] not in (0, 1)

    def _copied(self, term: Term, walk: Walk) -> Walk:
        b, n = self.b, 1
        loops = [("reduced", k) for k, s in enumerate(walk.reduced) if s != 0]
        loops += [("kept", k) for k, s in enumerate(walk.kept) if s != 0 and k != self.lane]
        loops.append(("kept", self.lane))
        size = lambda which, k: (term.sizes if which == "reduced" else self.sizes)[k]  # noqa: E731
        steps = {"kept": [0] * len(walk.kept), "reduced": [0] * len(walk.reduced)}
        for which, k in reversed(loops):
            steps[which][k] = n
            n = times(b, n, size(which, k))
        obj = self.ctx.allocate(as_value(times(b, n, self.bytes)), DATA, NULL)
        self.copies.append(obj)
        copy = Walk(self.ctx.offset(obj, DATA), tuple(steps["kept"]), tuple(steps["reduced"]))

        def copied(left, source, target):
            if not left:
                b.store(b.load(self.at(walk.data, source), typ=self.scalar), self.at(copy.data, target))
                return
            (which, k), *rest = left
            with counted(b, size(which, k)) as i:
                far = plus(b, source, times(b, i, getattr(walk, which)[k]))
                copied(rest, far, plus(b, target, times(b, i, getattr(copy, which)[k])))

        copied(loops, 0, 0)
        return copy

    def _choose(self) -> None:
        """The factor of the rows, how many rows a tile has, how many lanes."""
        width, count = self.width, registers()[1]
        still = [
            k
            for k, n in enumerate(self.sizes)
            if k != self.lane
            and not (self.overlaps and self._meets(k))
            and all(any(w.kept[self.lane] == 1 and w.kept[k] == 0 for w in t.walks) for t in self.terms)
        ]
        large = [k for k in still if not isinstance(self.sizes[k], int) or self.sizes[k] >= 4]
        self.row = max(large or still, default=None)
        n = self.sizes[self.lane]
        most = (2 if self.row is not None else 4) * width
        if isinstance(n, int):
            tiles = max(1, _ceil(n, most))
            self.lanes = n if tiles == 1 else _ceil(_ceil(n, tiles), width) * width
        else:
            self.lanes = width
        room = max(1, count // 2 // _ceil(self.lanes, width))
        if self.row is None:
            self.rows = 1
        elif isinstance(self.sizes[self.row], int):
            room = min(room, 8)
            self.rows = _ceil(self.sizes[self.row], _ceil(self.sizes[self.row], room))
        else:
            self.rows = min(room, 4)

    def _meets(self, k: int) -> bool:
        """May rows along a factor share elements of the target?"""
        step, n = self.target.kept[k], self.sizes[self.lane]
        return not (isinstance(step, int) and isinstance(n, int) and abs(step) >= n)

    # ---- what is shared, and what goes in blocks
    @contextmanager
    def _shared(self, outer):
        """Over several cores, where there is enough to do: yields the part (factor, first, last)."""
        each = 8
        for t in self.terms:
            n = 2
            for d in t.sizes:
                n = times(self.b, n, d)
            each = plus(self.b, each, n)
        among = outer if self.row is None else [*outer, self.row]
        axis = next((k for k in among if not isinstance(self.sizes[k], int) or self.sizes[k] >= MANY), None)
        if axis is None:
            axis = next(iter(outer), None)
        size = None
        if axis is not None and not self.overlaps:
            for k, n in enumerate(self.sizes):
                if k != axis:
                    each = times(self.b, each, n)
            each = each // self.width if isinstance(each, int) else self.b.udiv(each, i64(self.width))
            size = grain(self.kernel, self.sizes[axis], each)
            if axis == self.row and isinstance(size, int):
                size = _ceil(size, self.rows) * self.rows
        if size is not None:
            with region(self.kernel, self.sizes[axis], size) as (first, last):
                yield axis, first, last
        elif self.ctx.module.large:
            with outlined(self.kernel):
                yield None
        else:
            yield None

    def _long(self, term: Term) -> bool:
        n = 1
        for d in term.sizes:
            if not isinstance(d, int):
                return True
            n *= d
        return n > 4 * BLOCK

    @contextmanager
    def _blocks(self, term: Term):
        """A loop over blocks of the outermost factor of a sum: yields the term for one of them."""
        b, (size, *rest) = self.b, term.sizes
        inner = 1
        for d in rest:
            inner = inner * d if isinstance(d, int) else inner
        length = max(1, BLOCK // max(inner, 1))
        if isinstance(size, int) and size <= length:
            yield term
            return
        count = _ceil(size, length) if isinstance(size, int) else b.udiv(b.add(size, i64(length - 1)), i64(length))
        with counted(b, count) as k:
            first = times(b, k, length)
            left = b.sub(as_value(size), as_value(first))
            if length == 1 or (isinstance(size, int) and size % length == 0):
                mine = length
            else:
                mine = b.select(b.icmp_signed("<", left, i64(length)), left, i64(length))
            walks = tuple(replace(w, data=self.at(w.data, times(b, first, w.reduced[0]))) for w in term.walks)
            yield Term((mine, *rest), walks)

    # ---- tiles
    def _tiles(self, outer, part, terms, indexes=None) -> None:
        """Loops over the kept factors `outer`, and over tiles of the rows and vectors."""
        indexes = dict(indexes or {})
        if outer:
            axis, *rest = outer
            first, last = part[1:] if part and part[0] == axis else (None, self.sizes[axis])
            with counted(self.b, last, first=first) as i:
                self._tiles(rest, part, terms, {**indexes, axis: i})
            return

        def at_lane(i, lanes):
            if self.row is None:
                _Tile(self, terms, {**indexes, self.lane: i}, 1, lanes).run()
                return

            def at_row(j, rows):
                _Tile(self, terms, {**indexes, self.lane: i, self.row: j}, rows, lanes).run()

            if part and part[0] == self.row:
                self._open_pieces(*part[1:], self.rows, at_row)
            else:
                self._pieces(self.sizes[self.row], self.rows, at_row)

        self._pieces(self.sizes[self.lane], self.lanes, at_lane)

    def _pieces(self, size, width: int, body) -> None:
        """`body(index, width)` for pieces of a factor; the rest is a narrower one, or pieces of one element."""
        b = self.b
        if isinstance(size, int):
            full, rest = divmod(size, width)
            if full == 1:
                body(0, width)
            elif full:
                with counted(b, full) as k:
                    body(times(b, k, width), width)
            if rest:
                body(full * width, rest)
            return
        self._open_pieces(i64(0), size, width, body)

    def _open_pieces(self, first, last, width: int, body) -> None:
        b = self.b
        full = b.udiv(b.sub(last, first), i64(width))
        with counted(b, full) as k:
            body(b.add(first, times(b, k, width)), width)
        if width > 1:
            with counted(b, last, first=b.add(first, b.mul(full, i64(width)))) as i:
                body(i, 1)


class _Tile:
    """Some rows of the target, each of some vectors.  The last vector of a row may overlap with the one before: what
    both have is computed twice, and is the same."""

    def __init__(self, nest: _Nest, terms, indexes, rows: int, lanes: int):
        self.nest, self.b, self.terms, self.indexes, self.rows = nest, nest.b, terms, indexes, rows
        self.lanes = min(nest.width, 1 << (lanes.bit_length() - 1))
        self.parts = [*range(0, lanes - self.lanes, self.lanes), lanes - self.lanes]
        self.vector = ir.VectorType(nest.scalar, self.lanes)

    def run(self) -> None:
        nest, b = self.nest, self.b
        target = self.start_of(nest.target)
        step = 0 if nest.row is None else nest.target.kept[nest.row]
        rows = [nest.at(target, times(b, r, step)) for r in range(self.rows)]
        places = [nest.at(at, p) for at in rows for p in self.parts]
        if nest.start is None:
            sums = [self.load(p, self.vector, "alias.scope") for p in places]
        else:
            sums = [self.splat(nest.start)] * len(places)
        for term in self.terms:
            sums = self.plus_products(term, sums)
        for p, x in zip(places, sums, strict=True):
            b.store(x, p, align=nest.bytes).set_metadata("alias.scope", nest.kernel.scope)

    def start_of(self, walk: Walk):
        """The address of the tile's first element, or of what that is made of."""
        position = 0
        for k, i in self.indexes.items():
            position = plus(self.b, position, times(self.b, i, walk.kept[k]))
        return self.nest.at(walk.data, position)

    def load(self, pointer, t, mark="noalias"):
        load = self.b.load(pointer, typ=t, align=self.nest.bytes)
        load.set_metadata(mark, self.nest.kernel.scope)
        return load

    def splat(self, x):
        if isinstance(x, ir.Constant):
            return ir.Constant(self.vector, [x.constant] * self.lanes)
        undefined = ir.Constant(self.vector, ir.Undefined)
        one = self.b.insert_element(undefined, x, I32(0))
        return self.b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def plus_products(self, term: Term, sums) -> list:
        """The sums with all products of a term added."""
        starts = [self.start_of(w) for w in term.walks]
        order = list(range(len(term.sizes)))
        chains, axis = self.chains(term)
        if axis is not None:
            order.remove(axis)
            order.append(axis)
        zero, n = ir.Constant(self.vector, [0.0] * self.lanes), len(sums)
        sums = self.loops(term, order, chains, [0, 0], starts, [*sums, *[zero] * (n * (chains - 1))])
        total = sums[:n]
        for k in range(n, len(sums), n):
            total = [self.b.fadd(x, y) for x, y in zip(total, sums[k : k + n], strict=True)]
        return total

    def chains(self, term: Term):
        """How many sums go side by side, over which factor."""
        some = CHAINS // (self.rows * len(self.parts))
        best = 1, None
        for k, n in enumerate(term.sizes):
            if isinstance(n, int) and n > 1 and some > 1:
                best = max(best, (next(d for d in range(some, 0, -1) if n % d == 0), k), key=lambda x: x[0])
        return best if best[0] > 1 else (1, None)

    def loops(self, term: Term, order, chains, positions, starts, sums) -> list:
        b = self.b
        if not order:
            return self.products(term, positions, starts, sums)
        axis, *rest = order
        size, last = term.sizes[axis], not rest and chains > 1
        with counted(b, size // chains if last else size, *sums) as (i, *carried):
            values = [c.value for c in carried]
            if last:
                new, n = [], len(values) // chains
                for k in range(chains):
                    at = self.moved(term, axis, plus(b, times(b, i, chains), k), positions)
                    new += self.products(term, at, starts, values[k * n : (k + 1) * n])
            else:
                new = self.loops(term, rest, chains, self.moved(term, axis, i, positions), starts, values)
            for c, x in zip(carried, new, strict=True):
                c.next = x
        return [c.value for c in carried]

    def moved(self, term, axis, i, positions):
        b = self.b
        return [plus(b, p, times(b, i, w.reduced[axis])) for p, w in zip(positions, term.walks, strict=True)]

    def products(self, term: Term, positions, starts, sums) -> list:
        """One product added to each of the sums."""
        nest, b = self.nest, self.b
        left, right = (self.row_values(w, nest.at(s, p)) for w, s, p in zip(term.walks, starts, positions, strict=True))
        name = f"llvm.fmuladd.v{self.lanes}{nest.dtype}"
        fma = nest.ctx.intrinsic(name, self.vector, [self.vector] * 3)
        return [b.call(fma, [x, y, s]) for x, y, s in zip(left, right, sums, strict=True)]

    def row_values(self, walk: Walk, pointer) -> list:
        """The factors of all rows, as vectors."""
        nest, b = self.nest, self.b
        step = 0 if nest.row is None else walk.kept[nest.row]
        out: list = []
        for r in range(self.rows):
            if step == 0 and out:
                out += out[: len(self.parts)]
                continue
            at = nest.at(pointer, times(b, r, step))
            if walk.kept[nest.lane] == 1:
                out += [self.load(nest.at(at, p), self.vector) for p in self.parts]
            else:
                out += [self.splat(self.load(at, nest.scalar))] * len(self.parts)
        return out
