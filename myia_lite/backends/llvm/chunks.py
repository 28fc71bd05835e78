"""Very long functions in chunks.

LLVM's register allocation, the colouring of its stack slots and some of its optimisations take time in proportion to
the square of a function.  So a function of many thousand instructions gives chunks of about a thousand away to
functions of their own, which LLVM does not see together.  A value that one of them makes and another one uses goes
through a frame, an array of slots on the stack of the function that is left.

Where code may be cut is known where it is emitted: between two nodes of a body all control goes one way.
"""

from __future__ import annotations

from itertools import pairwise

import llvmlite.ir as ll
from llvmlite.ir.instructions import (
    AllocaInstr,
    Branch,
    CallInstr,
    ConditionalBranch,
    GEPInstr,
    Instruction,
    PhiInstr,
    Ret,
    SwitchInstr,
    Unreachable,
)

from .layout import I1, I8, PTR, i64
from .operands import operands, substitute

NODES = 250  # of a graph whose function may be long
LONG = 3000  # instructions of a function that is left as it is
CHUNK = 800  # instructions of a chunk, at least
CALLS = 0.2  # the share of calls in code that is not worth optimising: its time goes where they lead
STEP = 24  # nodes and blocks between two places where a body may be cut


class Marks:
    """The places where one body may be cut: blocks that begin there."""

    def __init__(self, ctx):
        self.ctx, self.blocks = ctx, []
        self.at, self.nodes = len(ctx.fn.blocks), 0

    def node(self) -> None:
        """One more node has been emitted, and control stands behind it."""
        self.nodes += 1
        if self.nodes + len(self.ctx.fn.blocks) - self.at >= STEP:
            self.here()

    def here(self) -> None:
        ctx = self.ctx
        if ctx.long:
            block = ctx.block("part")
            ctx.b.branch(block)
            ctx.b.position_at_end(block)
            self.blocks.append(block)
        self.at, self.nodes = len(ctx.fn.blocks), 0


def split(fn: ll.Function, bodies: list[Marks], error: ll.Block) -> None:
    """Make functions of the chunks of `fn`, whose first argument is the context; `error` is where it returns after an
    error.  Of `bodies`, those inside others come first."""
    if sum(len(b.instructions) for b in fn.blocks) > LONG:
        chunks = _Plan(fn, bodies, error).chunks
        if chunks:
            _Split(fn, chunks, error).run()


class _Chunk:
    """The blocks from number `start` to before number `end`, but for those of chunks in it; `outer`: the chunk around
    it."""

    def __init__(self, start: int, end: int):
        self.start, self.end, self.outer = start, end, None


class _Plan:
    """Which runs of blocks become chunks."""

    def __init__(self, fn: ll.Function, bodies, error):
        self.number = {b: k for k, b in enumerate(fn.blocks)}
        self.error = self.number[error]
        self.sizes = [len(b.instructions) for b in fn.blocks]
        self.out = [[self.number[d] for d in _destinations(b.terminator)] for b in fn.blocks]
        self.into: list[list[int]] = [[] for _ in fn.blocks]
        for k, found in enumerate(self.out):
            for d in found:
                self.into[d].append(k)
        self.returns = [isinstance(b.terminator, Ret) for b in fn.blocks]
        self.chunks: list[_Chunk] = []
        for marks in bodies:
            self._cut([self.number[b] for b in marks.blocks])

    def _cut(self, places: list[int]) -> None:
        start, size, taken = None, 0, False
        for here, end in pairwise(places):
            if not self._apart(here, end):
                start = None
                continue
            if start is None:
                start, size = here, 0
            size += sum(self.sizes[here:end])
            if size >= CHUNK:
                self._take(start, end)
                start, taken = None, True
        if taken and start is not None and size >= CHUNK // 4:  # what is left of a body that is cut
            self._take(start, places[-1])

    def _apart(self, start: int, end: int) -> bool:
        """Does all control come in at the start, and leave for the end or after an error?"""
        within = range(start, end)
        return all(
            not self.returns[k]
            and all(d in within and d != start or d in (end, self.error) for d in self.out[k])
            and (k == start or all(s in within for s in self.into[k]))
            for k in within
        )

    def _take(self, start: int, end: int) -> None:
        new = _Chunk(start, end)
        for c in self.chunks:
            if c.outer is None and start <= c.start < end:
                c.outer = new
        self.chunks.append(new)
        self.sizes[start:end] = [0] * (end - start)
        self.sizes[start] = 4  # the call


def _destinations(terminator) -> list[ll.Block]:
    if isinstance(terminator, Branch):
        return list(terminator.operands)
    if isinstance(terminator, ConditionalBranch):
        return list(terminator.operands[1:])
    if isinstance(terminator, SwitchInstr):
        return [terminator.default, *(block for _, block in terminator.cases)]
    return []


class _Home:
    """A function in the making: its blocks, the frame, and where it returns.  `piece`: None in the one that is left."""

    def __init__(self, piece: ll.Function | None, context, frame):
        self.piece, self.context, self.frame = piece, context, frame
        self.blocks: list[ll.Block] = []
        self.failed: ll.Block | None = None
        self.done: ll.Block | None = None


class _Split:
    def __init__(self, fn: ll.Function, chunks: list[_Chunk], error: ll.Block):
        self.fn, self.chunks, self.error = fn, chunks, error
        self.old = list(fn.blocks)
        self.number = {b: k for k, b in enumerate(self.old)}
        self.scratch = ll.Block(fn, "scratch")  # names of all chunks come from one scope, as values move between them
        self.b = ll.IRBuilder(self.scratch)
        self.frame = self._new(lambda b: b.alloca(ll.ArrayType(I8, 8), name="frame"))[0]
        self.frame.type = PTR
        self.slots: dict[Instruction | ll.Argument, int] = {}
        self.size = 0
        rest = _Home(None, fn.args[0], self.frame)
        rest.failed = error
        self.homes: dict[_Chunk | None, _Home] = {None: rest}
        self.calls: dict[_Chunk, ll.Block] = {c: ll.Block(fn, "call") for c in chunks}
        self.starts = {c.start: c for c in chunks}

    def _new(self, make) -> list[Instruction]:
        """The instructions that `make` emits, for any block."""
        make(self.b)
        made, self.scratch.instructions = self.scratch.instructions, []
        return made

    def run(self) -> None:
        where: list[_Chunk | None] = [None] * len(self.old)
        for c in reversed(self.chunks):  # those inside others after them
            where[c.start : c.end] = [c] * (c.end - c.start)
            self.homes[c] = self._home()
        self.where = where
        for k, block in enumerate(self.old):
            chunk = where[k]
            if k in self.starts:
                self.homes[self.starts[k].outer].blocks.append(self.calls[self.starts[k]])
            self.homes[chunk].blocks.append(block)
            self._redirect(block, chunk)
        for c in self.chunks:
            self._call(c)
        self._carry()
        self.frame.allocated_type = ll.ArrayType(I8, self.size)
        self.old[0].instructions.insert(0, self.frame)
        self.frame.parent = self.old[0]
        self.frame.align = 8
        for chunk, home in self.homes.items():
            if chunk is not None and _calls_only(home.blocks):
                home.piece.attributes.add("optnone")
            target = self.fn if chunk is None else home.piece
            target.blocks = [
                *home.blocks,
                *(b for b in (home.done, home.failed) if chunk is not None and b is not None),
            ]
            for b in target.blocks:
                b.parent = target

    def _home(self) -> _Home:
        module = self.fn.module
        name = module.get_unique_name(f"{self.fn.name}.chunk")
        piece = ll.Function(module, ll.FunctionType(I1, [PTR, PTR]), name)
        piece.linkage = "internal"
        for attribute in ("nounwind", "noinline"):
            piece.attributes.add(attribute)
        for argument, name in zip(piece.args, ("context", "frame"), strict=True):
            argument.name = self.fn.scope.register(f"{name}.of", deduplicate=True)
        piece.args[1].add_attribute("noalias")
        return _Home(piece, *piece.args)

    # ---- control -----------------------------------------------------------------------------------------------------
    def _goto(self, chunk: _Chunk | None, d: ll.Block) -> ll.Block:
        """Where the code of a chunk jumps to, which went to block `d`."""
        home, k = self.homes[chunk], self.number[d]
        if chunk is not None and k == chunk.end:
            home.done = home.done or self._return(True)
            return home.done
        if d is self.error:
            home.failed = home.failed or self._return(False)
            return home.failed
        other = self.starts.get(k)
        return self.calls[other] if other is not None and other is not chunk else d

    def _return(self, ok: bool) -> ll.Block:
        block = ll.Block(self.fn, "done" if ok else "failed")
        ll.IRBuilder(block).ret(I1(ok))
        return block

    def _redirect(self, block: ll.Block, chunk: _Chunk | None) -> None:
        t = block.terminator
        if isinstance(t, Branch):
            t.operands = [self._goto(chunk, t.operands[0])]
        elif isinstance(t, ConditionalBranch):
            condition, *ways = t.operands
            t.operands = [condition, *(self._goto(chunk, d) for d in ways)]
        elif isinstance(t, SwitchInstr):
            t.default = self._goto(chunk, t.default)
            t.cases = [(value, self._goto(chunk, d)) for value, d in t.cases]
        else:
            assert isinstance(t, (Ret, Unreachable)), t

    def _call(self, c: _Chunk) -> None:
        """The block that stands in the place of a chunk."""
        home = self.homes[c.outer]
        b = ll.IRBuilder(self.calls[c])
        ok = b.call(self.homes[c].piece, [home.context, home.frame])
        after = self._goto(c.outer, self.old[c.end])
        if self.homes[c].failed is None:
            b.branch(after)
        else:
            b.cbranch(ok, after, self._goto(c.outer, self.error)).set_weights([100000, 1])

    # ---- values ------------------------------------------------------------------------------------------------------
    def _owner(self, v) -> _Chunk | None:
        return self.where[self.number[v.parent]] if isinstance(v, Instruction) else None

    def _carry(self) -> None:
        """Values from the chunk where they are made to those where they are used."""
        later: dict[ll.Block, list] = {}  # the uses at the end of a block, by phis
        users: dict[Instruction, set] = {}
        for k, block in enumerate(self.old):
            for x in block.instructions:
                if isinstance(x, PhiInstr):
                    for v, source in x.incomings:
                        later.setdefault(source, []).append((x, v))
                for v in operands(x):
                    if isinstance(v, AllocaInstr):
                        users.setdefault(v, set()).add(self.where[k])
        self._move(users)
        for k, block in enumerate(self.old):
            self._fetch(block, self.where[k], later.get(block, ()))
        stored: dict[ll.Block, dict] = {}
        for v, slot in self.slots.items():
            block = v.parent if isinstance(v, Instruction) else self.old[0]
            stored.setdefault(block, {})[v] = slot
        for block, found in stored.items():
            self._keep(block, found)

    def _move(self, users: dict[Instruction, set]) -> None:
        """Stack memory that one chunk uses alone is its own."""
        entry, moved = self.old[0], set()
        for v, found in users.items():
            chunk = next(iter(found))
            if len(found) == 1 and chunk is not None and v.parent is entry:
                moved.add(v)
                v.parent = self.old[chunk.start]
                v.parent.instructions.insert(0, v)
        entry.instructions = [x for x in entry.instructions if x not in moved]

    def _fetch(self, block: ll.Block, chunk: _Chunk | None, later) -> None:
        """Load what comes from elsewhere, before its first use in a block."""
        home, here, out = self.homes[chunk], {}, []

        def local(v):
            if not isinstance(v, (Instruction, ll.Argument)) or self._owner(v) is chunk:
                return v
            if v is self.fn.args[0]:
                return home.context
            if v not in here:
                if isinstance(v, GEPInstr) and all(isinstance(i, ll.Constant) for i in v.indices):
                    pointer = local(v.pointer)
                    made = self._new(
                        lambda b: b.gep(pointer, v.indices, inbounds=v.inbounds, source_etype=v.source_etype)
                    )
                else:
                    made = self._new(lambda b: b.load(self._slot(b, home, self._place(v)), typ=v.type, align=8))
                out.extend(made)
                here[v] = made[-1]
            return here[v]

        for x in block.instructions:
            if x is block.terminator:
                for phi, v in later:
                    new = local(v)
                    if new is not v:
                        phi.incomings = [(new if s is block else u, s) for u, s in phi.incomings]
            if x.operands:
                substitute(x, local)
            out.append(x)
        for x in out:
            x.parent = block
        block.instructions = out

    def _place(self, v) -> int:
        if v not in self.slots:
            self.slots[v] = self.size
            self.size += _bytes(v.type)
        return self.slots[v]

    def _slot(self, b: ll.IRBuilder, home: _Home, at: int):
        return b.gep(home.frame, [i64(at)], source_etype=I8)

    def _keep(self, block: ll.Block, found: dict) -> None:
        """Store values of this block for others, each where it is made; arguments first."""
        home, out, made = self.homes[self.where[self.number[block]]], [], set(block.instructions)
        waiting = [v for v in found if v not in made]
        for x in block.instructions:
            if not isinstance(x, (PhiInstr, AllocaInstr)):
                out += [s for v in waiting for s in self._store(home, v, found[v])]
                waiting = []
            out.append(x)
            if x in found:
                waiting.append(x)
        for x in out:
            x.parent = block
        block.instructions = out

    def _store(self, home: _Home, v, at: int):
        return self._new(lambda b: b.store(v, self._slot(b, home, at), align=8))


def _calls_only(blocks: list[ll.Block]) -> bool:
    """Is this code in which no way leads back, and that does little else than to call?"""
    number = {b: k for k, b in enumerate(blocks)}
    if any(number.get(d, k + 1) <= k for k, b in enumerate(blocks) for d in _destinations(b.terminator)):
        return False
    calls = sum(isinstance(x, CallInstr) for b in blocks for x in b.instructions)
    return calls > CALLS * sum(len(b.instructions) for b in blocks)


def _bytes(t: ll.Type) -> int:
    """Room for a value of a type, in whole slots."""
    if isinstance(t, (ll.LiteralStructType, ll.ArrayType)):
        return sum(map(_bytes, t.elements)) if isinstance(t, ll.LiteralStructType) else t.count * _bytes(t.element)
    if isinstance(t, ll.VectorType):
        return t.count * 8
    return 8
