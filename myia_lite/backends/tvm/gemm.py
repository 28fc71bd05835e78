"""Products of matrices on the CPU: one function for each dtype, which all products of a program call.

It is the scheme of Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008).  Both factors are
copied into panels, which lie in the caches in the order in which they are read, filled up with zeros; so sizes are
arguments, and transposed factors are other strides.  The innermost loop adds to a tile of the result, which is in
vector registers.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from tvm import tirx
from tvm.ir import PrimType
from tvm.target import codegen
from tvm.tirx import stmt as S

from .code import DTYPES, ITEMSIZE, Cell, Code, Memory, const, expr, pointer, sequence
from .rounding import rounded

PARALLEL = 1 << 20  # multiplications from which all cores are asked


@dataclass(frozen=True)
class Tiles:
    """`rows` x `vectors` registers of `lanes` elements hold a tile; panels of the left factor have `height` rows, of
    both `depth` terms of the sum, of the right factor `width` columns."""

    lanes: int
    rows: int = 6
    vectors: int = 2
    height: int = 48
    depth: int = 256
    width: int = 1024

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors

    def allowed(self) -> bool:
        """Are panels made of whole tiles, and of a size that fits into memory?"""
        whole = self.height % self.rows == 0 == self.width % self.columns
        return whole and self.rows * self.vectors <= 64 and self.lanes <= 16 and self.depth * self.width <= 1 << 23


def tiles_for(target, dtype: str) -> Tiles:
    """What fits into the registers and caches of a processor."""
    wide = next((n for f, n in (("avx512f", 64), ("avx", 32)) if codegen.target_has_features(f, target)), 16)
    return Tiles(wide // ITEMSIZE[dtype])


def name_of(dtype: str, products: str, tiles: Tiles) -> str:
    """Of the function: products of other tiles are others."""
    halves = "" if products == "float32" or dtype != "f32" else f"_{products}"
    return f"myia_product_{dtype}{halves}_" + "_".join(map(str, astuple(tiles)))


SIZES = ("m", "n", "k", "a_at", "a_row", "a_column", "b_at", "b_row", "b_column", "c_at")


def product(dtype: str, tiles: Tiles, products: str = "float32") -> list[tirx.PrimFunc]:
    """product(a, b, c, m, n, k, start of a, its strides by row and column, the same of b, start of c): c = a b.

    It, and what it calls, since each runs in a loop of one core and in one of all.
    """
    name, t = name_of(dtype, products, tiles), tiles
    half = products if dtype == "f32" else "float32"
    right_sizes = ("k", "number", "column", "width", "depth", "b_at", "b_row", "b_column")
    rows_sizes = ("m", "n", "k", "number", "column", "width", "depth", "a_at", "a_row", "a_column", "c_at")
    return [
        _function(name + "_right", dtype, "b to", right_sizes, lambda *a: _right_panel(*a, t, dtype, half)),
        _function(name + "_rows", dtype, "a right c", rows_sizes, lambda *a: _rows(*a, t, dtype, half)),
        _function(name, dtype, "a b c", SIZES, lambda *a: _product(*a, name, t, dtype)),
    ]


def _function(name, dtype, pointers, sizes, emit):
    code = Code()
    addresses = [tirx.Var(x, pointer(dtype)) for x in pointers.split()]
    given = [tirx.Var(x, "int64") for x in sizes]
    emit(code, [Memory(code, x, dtype) for x in addresses], *given)
    code.emit(S.Return(tirx.const(0, "int32")))
    params = [*addresses, *given]
    return tirx.PrimFunc(params, sequence(code.statements), ret_type=PrimType("int32")).with_attr("global_symbol", name)


def _times(x, y):
    return tirx.Mul(expr(x), expr(y))


def _add(x, y):
    return tirx.Add(expr(x), expr(y))


def _pieces(total, size):
    return tirx.Div(_add(total, size - 1), const(size))


def _product(code, arrays, m, n, k, a_at, a_row, a_column, b_at, b_row, b_column, c_at, name, t, dtype) -> None:
    left, right, out = arrays
    many = code.let(tirx.GE(_times(_times(m, n), k), const(PARALLEL)))
    with code.counted(code.let(_times(m, n))) as i:
        out.store(const(0.0, dtype), _add(c_at, i))
    packed = tirx.decl_buffer((t.depth * t.width,), DTYPES[dtype], "w", scope="global", layout=None)
    code.emit(S.AllocBuffer(packed))

    def call(part, *args):
        code.do(tirx.call_extern("int32", name + part, *args))

    with code.counted(code.let(_pieces(n, t.width))) as jc, code.counted(code.let(_pieces(k, t.depth))) as pc:
        column, depth = code.let(_times(jc, t.width)), code.let(_times(pc, t.depth))
        width = code.let(tirx.Min(const(t.width), tirx.Sub(n, column)))
        for kind in (S.ForKind.PARALLEL, S.ForKind.SERIAL):
            with code.when(many if kind == S.ForKind.PARALLEL else tirx.Not(many)):
                with code.counted(code.let(_pieces(width, t.columns)), kind) as number:
                    place = number, column, width, depth
                    call("_right", right.buffer.data, packed.data, k, *place, b_at, b_row, b_column)
                with code.counted(code.let(_pieces(m, t.height)), kind) as number:
                    place = number, column, width, depth
                    pointers = left.buffer.data, packed.data, out.buffer.data
                    call("_rows", *pointers, m, n, k, *place, a_at, a_row, a_column, c_at)


def _pack(code, source, to, start, rest, size, terms, origin, stride, term_stride, t: Tiles, dtype, half) -> None:
    """A panel of `size` rows or columns, written term by term, with zeros beyond the first `rest` of them."""

    def elements(one):
        """`one(place, line)` writes the elements of a term: from where to where."""
        with code.counted(terms) as p:
            line = code.let(_add(start, _times(p, size)))
            one(code.let(_add(origin, _times(p, term_stride))), line)

    def element(place, line, x):
        value = source.load(code.let(_add(place, _times(x, stride))))
        to.store(rounded(code, value, half), code.let(_add(line, x)))

    def side_by_side(place, line):
        for x in range(0, size, t.lanes):
            vector = tirx.BufferLoad(source.buffer, [tirx.Ramp(code.let(_add(place, x)), const(1), t.lanes)])
            code.emit(S.BufferStore(to.buffer, vector, [tirx.Ramp(code.let(_add(line, x)), const(1), t.lanes)]))

    def all_of_them(place, line):
        for x in range(size):
            element(place, line, x)

    def some(place, line):
        with code.counted(size) as x:
            zero = lambda: to.store(const(0.0, dtype), code.let(_add(line, x)))  # noqa: E731
            code.choose(tirx.LT(x, rest), lambda: element(place, line, x), zero)

    def whole():
        if size % t.lanes or half != "float32":
            elements(all_of_them)
        else:
            code.choose(tirx.EQ(stride, const(1)), lambda: elements(side_by_side), lambda: elements(all_of_them))

    code.choose(tirx.GE(rest, const(size)), whole, lambda: elements(some))


def _right_panel(code, arrays, k, number, column, width, depth, b_at, b_row, b_column, t, dtype, half) -> None:
    source, to = arrays
    terms = code.let(tirx.Min(const(t.depth), tirx.Sub(k, depth)))
    first = code.let(_times(number, t.columns))
    origin = code.let(_add(b_at, _add(_times(_add(column, first), b_column), _times(depth, b_row))))
    rest = code.let(tirx.Sub(width, first))
    _pack(
        code,
        source,
        to,
        code.let(_times(first, terms)),
        rest,
        t.columns,
        terms,
        origin,
        b_column,
        b_row,
        t,
        dtype,
        half,
    )


def _rows(code, arrays, m, n, k, number, column, width, depth, a_at, a_row, a_column, c_at, t, dtype, half) -> None:
    """The product of a panel of the left factor and the panels of the right one."""
    source, right, out = arrays
    row = code.let(_times(number, t.height))
    height = code.let(tirx.Min(const(t.height), tirx.Sub(m, row)))
    terms = code.let(tirx.Min(const(t.depth), tirx.Sub(k, depth)))
    packed = tirx.decl_buffer((t.depth * t.height,), DTYPES[dtype], "w", scope="global", layout=None)
    code.emit(S.AllocBuffer(packed))
    left = Local(code, packed)
    with code.counted(code.let(_pieces(height, t.rows))) as i:
        first = code.let(_times(i, t.rows))
        origin = code.let(_add(a_at, _add(_times(_add(row, first), a_row), _times(depth, a_column))))
        rest = code.let(tirx.Sub(height, first))
        _pack(
            code,
            source,
            left,
            code.let(_times(first, terms)),
            rest,
            t.rows,
            terms,
            origin,
            a_row,
            a_column,
            t,
            dtype,
            half,
        )
    with code.counted(code.let(_pieces(width, t.columns))) as j, code.counted(code.let(_pieces(height, t.rows))) as i:
        x, y = code.let(_times(i, t.rows)), code.let(_times(j, t.columns))
        bottom, side = code.let(_add(row, x)), code.let(_add(column, y))
        _tile(code, t, dtype, terms, left, _times(x, terms), right, _times(y, terms), out, c_at, n, bottom, side, m)


class Local:
    """Elements of a buffer of our own."""

    def __init__(self, code: Code, buffer):
        self.code, self.buffer = code, buffer

    def store(self, value, at) -> None:
        self.code.emit(S.BufferStore(self.buffer, value, [expr(at)]))


def _tile(code, t: Tiles, dtype, terms, left, left_at, right, right_at, out, out_at, n, row, column, m) -> None:
    """Add the product of a panel of each factor to a tile of the result."""
    vector = f"{DTYPES[dtype]}x{t.lanes}"
    left_at, right_at = code.let(left_at), code.let(right_at)
    sums = []
    for _ in range(t.rows * t.vectors):
        buffer = tirx.decl_buffer((1,), vector, "s", scope="global", layout=None)
        code.emit(S.AllocBuffer(buffer))
        code.emit(S.BufferStore(buffer, tirx.Broadcast(const(0.0, dtype), t.lanes), [const(0)]))
        sums.append(buffer)

    def line(at):
        return tirx.Ramp(at, const(1), t.lanes)

    with code.counted(terms) as p:
        x = code.let(tirx.Add(right_at, tirx.Mul(p, const(t.columns))))
        y = code.let(tirx.Add(left_at, tirx.Mul(p, const(t.rows))))
        columns = [
            code.let(tirx.BufferLoad(right.buffer, [line(tirx.Add(x, const(t.lanes * j)))])) for j in range(t.vectors)
        ]
        for i in range(t.rows):
            factor = code.let(tirx.BufferLoad(left.buffer, [tirx.Add(y, const(i))]))
            for j, v in enumerate(columns):
                s = sums[i * t.vectors + j]
                total = tirx.Add(tirx.BufferLoad(s, [const(0)]), tirx.Mul(tirx.Broadcast(factor, t.lanes), v))
                code.emit(S.BufferStore(s, total, [const(0)]))

    def whole():
        for i in range(t.rows):
            start = code.let(_add(out_at, tirx.Add(tirx.Mul(tirx.Add(row, const(i)), n), column)))
            for j in range(t.vectors):
                at = line(tirx.Add(start, const(t.lanes * j)))
                total = tirx.Add(
                    tirx.BufferLoad(out.buffer, [at]), tirx.BufferLoad(sums[i * t.vectors + j], [const(0)])
                )
                code.emit(S.BufferStore(out.buffer, total, [at]))

    def part():
        spilled = tirx.decl_buffer((t.rows * t.columns,), DTYPES[dtype], "t", scope="global", layout=None)
        code.emit(S.AllocBuffer(spilled))
        for k, s in enumerate(sums):
            code.emit(S.BufferStore(spilled, tirx.BufferLoad(s, [const(0)]), [line(const(k * t.lanes))]))
        height = code.let(tirx.Min(const(t.rows), tirx.Sub(m, row)))
        width = code.let(tirx.Min(const(t.columns), tirx.Sub(n, column)))
        with code.counted(height) as i, code.counted(width) as j:
            at = code.let(_add(out_at, tirx.Add(tirx.Mul(_add(row, i), n), _add(column, j))))
            value = tirx.BufferLoad(spilled, [_add(_times(i, t.columns), j)])
            out.store(tirx.Add(out.load(at), value), at)

    inside = tirx.And(tirx.LE(tirx.Add(row, const(t.rows)), m), tirx.LE(tirx.Add(column, const(t.columns)), n))
    code.choose(inside, whole, part)


# ---- a matrix and a vector -------------------------------------------------------------------------------------------
VECTORS = 4  # partial sums of vectors, so that sums do not wait for each other


def dots(dtype: str, tiles: Tiles, products: str = "float32") -> tirx.PrimFunc:
    """dots(a, x, y, m, k, where a, x and y begin): y[i] is the sum over a[i, p] x[p], a row-major."""
    half = products if dtype == "f32" else "float32"
    name = name_of(dtype, products, tiles) + "_dots"
    sizes = ("m", "k", "a_at", "x_at", "y_at")
    return _function(name, dtype, "a x y", sizes, lambda *a: _dots(*a, dtype, tiles.lanes, half))


def _dots(code, arrays, m, k, a_at, x_at, y_at, dtype, lanes, half) -> None:
    matrix, vector, out = arrays
    step, zero = lanes * VECTORS, const(0.0, dtype)
    whole = code.let(_times(tirx.Div(k, const(step)), step))
    buffers = [tirx.decl_buffer((lanes,), DTYPES[dtype], "s", scope="global", layout=None) for _ in range(VECTORS)]
    for buffer in buffers:
        code.emit(S.AllocBuffer(buffer))
    everything = tirx.Ramp(const(0), const(1), lanes)
    with code.counted(m) as i:
        row = code.let(_add(a_at, _times(i, k)))
        for buffer in buffers:
            code.emit(S.BufferStore(buffer, tirx.Broadcast(zero, lanes), [everything]))
        with code.counted(code.let(tirx.Div(whole, const(step)))) as p:
            for j, buffer in enumerate(buffers):
                at = code.let(_add(_times(p, step), lanes * j))
                if half == "float32":
                    a, x = (
                        tirx.BufferLoad(source.buffer, [tirx.Ramp(code.let(_add(start, at)), const(1), lanes)])
                        for source, start in ((matrix, row), (vector, x_at))
                    )
                    total = tirx.Add(tirx.BufferLoad(buffer, [everything]), tirx.Mul(a, x))
                    code.emit(S.BufferStore(buffer, total, [everything]))
                    continue
                with code.counted(lanes) as q:
                    a, x = (
                        rounded(code, source.load(code.let(_add(start, _add(at, q)))), half)
                        for source, start in ((matrix, row), (vector, x_at))
                    )
                    code.emit(S.BufferStore(buffer, tirx.Add(tirx.BufferLoad(buffer, [q]), tirx.Mul(a, x)), [q]))
        total = zero
        for buffer in buffers:
            for q in range(lanes):
                total = code.let(tirx.Add(total, tirx.BufferLoad(buffer, [const(q)])))
        rest = Cell(code, dtype, total)
        with code.counted(code.let(tirx.Sub(k, whole))) as p:
            a, x = (
                rounded(code, source.load(code.let(_add(start, _add(whole, p)))), half)
                for source, start in ((matrix, row), (vector, x_at))
            )
            rest.set(tirx.Add(rest.get(), tirx.Mul(a, x)))
        out.store(rest.get(), code.let(_add(y_at, i)))
