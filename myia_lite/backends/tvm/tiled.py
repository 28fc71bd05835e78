"""Products of matrices on a device: a block computes a tile of the result from tiles of the factors in shared memory.

Two kinds of kernels: one with a small tile in the registers of each thread, for float32 and float64, and one for tensor
cores, where the factors are rounded to float16 or bfloat16.  Sizes need not be known, nor be multiples of anything:
what lies outside reads as zero and is not written.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from tvm import tirx
from tvm.backend.cuda.op import cuda_func_call

from .blocks import Block, Local, blocks
from .code import ITEMSIZE, const, expr, linear, plus, quotient, remainder, times
from .code import product as size_of
from .rounding import rounded

THREADS, SIDE = 256, 16  # of a block: in a square, where each has a tile of its own
WARP = 32
LEAST = 16  # rows, columns and terms below which tiles are mostly empty


@dataclass(frozen=True)
class Tiles:
    """A block's tile of the result is `rows` x `columns`; it goes through the sum `depth` terms at a time."""

    rows: int
    columns: int
    depth: int
    halves: str = ""  # "float16" or "bfloat16": by tensor cores

    def allowed(self, dtype: str, limit: int = 48 << 10) -> bool:
        """Does it fit into the shared memory and the registers of a block?"""
        if self.halves:
            words = (self.rows + self.columns) * (self.depth // 2 + PAD)
            fits = self.depth % 16 == 0 and self.rows * self.columns <= 1 << 14 and _warps(self) is not None
            return fits and words * 4 <= limit and self._shared_out(self.depth // 2)
        elements = (self.rows + self.columns + 2) * self.depth
        sums = self.rows * self.columns // THREADS * (ITEMSIZE[dtype] // 4)
        fits = self.rows % SIDE == self.columns % SIDE == 0 and sums <= 64
        return fits and elements * ITEMSIZE[dtype] <= limit and self._shared_out(self.depth)

    def _shared_out(self, terms: int) -> bool:
        """Do all threads bring equally many elements of each tile?"""
        return self.rows * terms % THREADS == self.columns * terms % THREADS == 0


def tiles_for(shared, dtype: str, batch, m, n, k) -> Tiles | None:
    """The tiles for a product of these sizes; None where a thread for each element does as well."""
    known = [d for d in (m, n, k) if isinstance(d, int)]
    if known and min(known) < LEAST:
        return None
    halves = shared.options.products if dtype == "f32" else "float32"
    large = size_of([*batch, quotient(m, 128), quotient(n, 128)])
    enough = isinstance(large, int) and large >= 32  # blocks, to keep a device busy
    if halves != "float32" and _has_tensor_cores(shared.target):
        return Tiles(128, 128, 32, halves) if enough else Tiles(64, 64, 32, halves)
    if dtype == "f64":
        return Tiles(64, 64, 16)
    return Tiles(128, 128, 16) if enough else Tiles(64, 64, 16)


def _has_tensor_cores(target) -> bool:
    """Of a kind that multiplies bfloat16.  (The loops that emulate a device emulate them, too.)"""
    if target.kind.name != "cuda":
        return target.kind.name == "llvm"
    arch = str(target.attrs.get("arch", ""))
    number = "".join(c for c in arch.removeprefix("sm_") if c.isdigit())
    return bool(number) and int(number) >= 80


def product(kernel, tiles: Tiles, dtype: str, left, right, out, batch, m, n, k) -> None:
    """Fill `out` with the products of the factors (`products.Factor`)."""
    code = kernel.code
    sources, target = [kernel.access(f.array) for f in (left, right)], kernel.access(out)
    m, n, k = (x if isinstance(x, int) else code.let(x) for x in (m, n, k))
    down, across = (quotient(plus(x, size - 1), size) for x, size in ((m, tiles.rows), (n, tiles.columns)))
    count = size_of([*batch, down, across])
    if isinstance(count, int) and count == 0:
        return
    half = tiles.halves or (kernel.ctx.shared.options.products if dtype == "f32" else "float32")
    with blocks(kernel, count, THREADS) as block:
        number, rest = _divided(code, block.number, times(down, across))
        tile_row, tile_column = _divided(code, rest, across)
        row, column = times(tile_row, tiles.rows), times(tile_column, tiles.columns)
        row, column = (code.let(expr(x)) for x in (row, column))
        starts = [code.let(expr(plus(f.start, times(number, f.size)))) for f in (left, right)]

        def element(which, i, p, first, limit):
            """Row or column i of a tile, term p, as a number or zero; `first` and `limit` in the whole factor."""
            source, f = sources[which], (left, right)[which]
            stride, term = f.strides if which == 0 else f.strides[::-1]
            line = code.let(tirx.Add(first, expr(i)))
            inside = tirx.And(tirx.LT(line, expr(limit)), tirx.LT(p, expr(k)))
            at = plus(starts[which], plus(times(line, stride), times(p, term)))
            value = block.registers(_type(dtype), 1)
            value.store(const(0.0, dtype), 0)
            with code.when(inside):
                value.store(rounded(code, source.load(code.let(at)), half if not tiles.halves else "float32"), 0)
            return value.load(0)

        def write(value, i, j):
            i, j = code.let(tirx.Add(row, expr(i))), code.let(tirx.Add(column, expr(j)))
            with code.when(tirx.And(tirx.LT(i, expr(m)), tirx.LT(j, expr(n)))):
                at = linear([number, i, j], [1, m, n]) if batch else linear([i, j], [m, n])
                target.store(value, code.let(expr(at)))

        def load(which):
            """(does the factor lie in memory term by term?  its element at a line of the tile and a term)."""
            f = (left, right)[which]
            first, limit = ((row, m), (column, n))[which]
            along_terms = (f.strides if which == 0 else f.strides[::-1])[1] == 1
            return along_terms, lambda i, p: element(which, i, p, first, limit)

        multiply = _by_tensor_cores if tiles.halves else _by_threads
        multiply(kernel, block, tiles, dtype, k, load, write)


def _type(dtype: str) -> str:
    return {"f32": "float32", "f64": "float64"}[dtype]


def _divided(code, x, by):
    q, r = quotient(x, by), remainder(x, by)
    return tuple(v if isinstance(v, int) else code.let(v) for v in (q, r))


@contextmanager
def _places(block, thread, lines: int, terms: int, along_terms: bool):
    """The (line, term) pairs of a tile that a thread brings, so that neighbours in memory have neighbouring threads."""
    code = block.code
    with block.unrolled(lines * terms // THREADS) as round_:
        at = code.let(expr(plus(thread, times(round_, THREADS))))
        x, y = _divided(code, at, terms if along_terms else lines)
        yield (x, y) if along_terms else (y, x)


def _by_threads(kernel, block: Block, t: Tiles, dtype: str, k, load, write) -> None:
    """Thread (x, y) of 16 x 16 has every 16th row and column of the tile from its own, so that threads side by side
    read and write side by side."""
    code, name = kernel.code, _type(dtype)
    pads = t.rows + 1, t.columns + 1  # so that a column of a tile lies in different banks
    tiles = [block.shared(name, pad * t.depth) for pad in pads]
    counts = down, across = t.rows // SIDE, t.columns // SIDE
    sums = block.private(name, down * across)
    _clear(block, sums, down * across, dtype)
    with code.counted(code.let(expr(quotient(plus(k, t.depth - 1), t.depth)))) as step:
        depth = code.let(expr(times(step, t.depth)))
        with block.phase() as thread:
            for which, (lines, pad) in enumerate(zip((t.rows, t.columns), pads, strict=True)):
                along, element = load(which)
                with _places(block, thread, lines, t.depth, along) as (i, p):
                    value = element(i, code.let(tirx.Add(depth, expr(p))))
                    tiles[which].store(value, code.let(expr(plus(times(p, pad), i))))
        with block.phase() as thread:
            mine, corner = sums(thread), _divided(code, thread, SIDE)
            factors = [block.registers(name, count) for count in counts]
            with code.counted(t.depth) as p:
                for tile, pad, own, count, first in zip(tiles, pads, factors, counts, corner, strict=True):
                    at = code.let(expr(plus(times(p, pad), first)))
                    with block.unrolled(count) as i:
                        own.store(tile.peek(plus(at, times(i, SIDE))), i)
                with block.unrolled(down) as i, block.unrolled(across) as j:
                    s = plus(times(i, across), j)
                    mine.store(tirx.Add(mine.peek(s), tirx.Mul(factors[0].peek(i), factors[1].peek(j))), s)
    with block.phase(barrier=False) as thread:
        (y, x), mine = _divided(code, thread, SIDE), sums(thread)
        with block.unrolled(down) as i, block.unrolled(across) as j:
            write(mine.load(plus(times(i, across), j)), plus(y, times(i, SIDE)), plus(x, times(j, SIDE)))


def _clear(block: Block, sums, count: int, dtype: str) -> None:
    with block.phase(barrier=False) as thread, block.unrolled(count) as s:
        sums(thread).store(const(0.0, dtype), s)


# ---- tensor cores ----------------------------------------------------------------------------------------------------
# mma.m16n8k16: a warp multiplies 16 x 16 by 16 x 8.  With g, t = lane // 4, lane % 4, register r of a thread holds, of
# the left factor, row g + 8 (r % 2) and terms 2 t + 8 (r // 2) + (0, 1); of the right one, column g and terms
# 2 t + 8 r + (0, 1); of the result, row g + 8 (r // 2) and column 2 t + r % 2.  (PTX ISA, "Matrix fragments".)
PAD = 4  # words between the lines of a tile: the threads of a warp then read from different banks


def _warps(t: Tiles):
    """(rows, columns) of the tile of one of the 8 warps, by 2 x 4 or 4 x 2 of them."""
    for down, across in ((2, 4), (4, 2)):
        if t.rows % (16 * down) == 0 and t.columns % (8 * across) == 0:
            return t.rows // down, t.columns // across
    return None


def _by_tensor_cores(kernel, block: Block, t: Tiles, dtype: str, k, load, write) -> None:
    """The tiles in shared memory hold pairs of terms, two halves in a word, line by line."""
    code, pairs = kernel.code, t.depth // 2
    line = pairs + PAD
    word = "uint32" if block.real else "uint64"  # emulated: two float32 of that precision
    tiles = [block.shared(word, lines * line) for lines in (t.rows, t.columns)]
    height, width = _warps(t)
    across = t.columns // width
    down_mma, across_mma = height // 16, width // 8
    sums = block.private("float32", down_mma * across_mma * 4)
    fragments = [block.private(word, count) for count in (4 * down_mma, 2 * across_mma)]
    _clear(block, sums, down_mma * across_mma * 4, "f32")

    def place(thread):
        """(the warp's first row and column in the tile, the thread's place in the warp)."""
        warp, lane = _divided(code, thread, WARP)
        y, x = _divided(code, warp, across)
        return times(y, height), times(x, width), *_divided(code, lane, 4)

    with code.counted(code.let(expr(quotient(plus(k, t.depth - 1), t.depth)))) as step:
        depth = code.let(expr(times(step, t.depth)))
        with block.phase() as thread:
            for which, lines in enumerate((t.rows, t.columns)):
                along, element = load(which)
                with _places(block, thread, lines, pairs, along) as (i, p):
                    term = code.let(tirx.Add(depth, expr(times(p, 2))))
                    low, high = element(i, term), element(i, code.let(tirx.Add(term, const(1))))
                    packed = _packed(code, block.real, t.halves, low, high)
                    tiles[which].store(packed, code.let(expr(plus(times(i, line), p))))
        with code.counted(pairs // 8) as chunk:
            with block.phase(barrier=False) as thread:
                row, column, g, q = place(thread)
                for which, first, size, count in ((0, row, 16, down_mma), (1, column, 8, across_mma)):
                    base = code.let(expr(plus(times(plus(first, g), line), plus(q, times(chunk, 8)))))
                    own, registers = fragments[which](thread), 4 if which == 0 else 2
                    with block.unrolled(count) as f:
                        for r in range(registers):
                            lines, terms = (8 * (r % 2), 4 * (r // 2)) if which == 0 else (0, 4 * r)
                            at = plus(plus(base, times(f, size * line)), lines * line + terms)
                            own.store(tiles[which].peek(at), plus(times(f, registers), r))
                if block.real:
                    _multiply(block, t.halves, sums(thread), *(f(thread) for f in fragments), down_mma, across_mma)
            if not block.real:
                with block.phase(barrier=False) as thread:
                    _emulate(code, thread, sums, fragments, down_mma, across_mma)
        with block.phase():
            pass  # all have read the tiles
    with block.phase(barrier=False) as thread:
        row, column, g, q = place(thread)
        mine, row, column = sums(thread), plus(row, g), plus(column, times(q, 2))
        with block.unrolled(down_mma) as i, block.unrolled(across_mma) as j:
            first = times(plus(times(i, across_mma), j), 4)
            for r in range(4):
                y, x = plus(row, plus(times(i, 16), 8 * (r // 2))), plus(column, plus(times(j, 8), r % 2))
                write(mine.load(plus(first, r)), y, x)


def _packed(code, real: bool, halves: str, low, high):
    """Two numbers, rounded, in a word."""
    if real:
        kind = "f16x2" if halves == "float16" else "bf16x2"
        name = f"myia_pack_{halves}"
        source = (
            f"__forceinline__ __device__ unsigned int {name}(float low, float high) {{\n"
            f'  unsigned int word;\n  asm("cvt.rn.{kind}.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));\n'
            "  return word;\n}\n"
        )
        return code.let(cuda_func_call(name, low, high, source_code=source, return_type="uint32"))
    low, high = (
        tirx.Cast("uint64", code.let(tirx.reinterpret("uint32", rounded(code, x, halves)))) for x in (low, high)
    )
    return code.let(tirx.bitwise_or(low, tirx.shift_left(high, tirx.const(32, "uint64"))))


def _multiply(block, halves: str, sums: Local, left: Local, right: Local, down: int, across: int) -> None:
    kind = "f16" if halves == "float16" else "bf16"
    name = f"myia_mma_{halves}"
    source = (
        f"__forceinline__ __device__ void {name}(float* c, unsigned int* a, unsigned int* b) {{\n"
        f'  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 "\n'
        '    "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"\n'
        '    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])\n'
        '    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));\n}\n'
    )
    with block.unrolled(down) as i, block.unrolled(across) as j:
        c = sums.address(times(plus(times(i, across), j), 4))
        block.code.do(
            cuda_func_call(name, c, left.address(times(i, 4)), right.address(times(j, 2)), source_code=source)
        )


def _emulate(code, thread, sums, fragments, down: int, across: int) -> None:
    """The same from the fragments of all threads of the warp, as PTX lays them out."""
    lane = code.let(expr(remainder(thread, WARP)))
    warp = code.let(tirx.Sub(expr(thread), lane))
    g, q = _divided(code, lane, 4)

    def number(word, k: int):
        bits = word if k % 2 == 0 else tirx.shift_right(word, tirx.const(32, "uint64"))
        return code.let(tirx.reinterpret("float32", code.let(tirx.Cast("uint32", bits))))

    with code.counted(down) as i, code.counted(across) as j:
        for r in range(4):
            place = plus(times(plus(times(i, across), j), 4), r)
            column = plus(times(q, 2), r % 2)
            for k in range(16):
                owner = code.let(expr(plus(warp, plus(times(g, 4), k % 8 // 2))))
                a = fragments[0](owner).load(plus(times(i, 4), r // 2 + 2 * (k // 8)))
                owner = code.let(expr(plus(warp, plus(times(column, 4), k % 8 // 2))))
                b = fragments[1](owner).load(plus(times(j, 2), k // 8))
                total = tirx.Add(sums(thread).load(place), tirx.Mul(number(a, k), number(b, k)))
                sums(thread).store(total, place)
