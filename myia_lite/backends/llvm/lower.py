"""From a closed graph to an LLVM function: local graphs become blocks, values registers, references are counted."""

from __future__ import annotations

import llvmlite.ir as ll

from ...ir import Apply, Array, Graph, Never, Node, Scalar, Tuple, Type
from ..walk import JUMPS, Walk
from . import arrays, blocks, chunks, filled, foreign, libm, polls, returns, scalars, sums
from .context import Context
from .cost import Work
from .layout import I1, I64, NULL, PTR, ArrayValue, flatten, i64, parts, unflatten
from .memory import visit
from .memory_layout import CONTEXT_LIMIT, CONTEXT_RESULTS, CONTEXT_VALUES, FIRST_ERROR, ITEMSIZE, RECURSION_ERROR
from .module import ModuleBuilder
from .ownership import CallGraph, Cell, source, tail
from .unique import Uniqueness, counted_pushes, counter

UNROLLED, DEEPEST = 400, 5  # nodes of a recursive function that stands in itself, and how deep it does


def declare(m: ModuleBuilder, g: Graph, copies: int = 1) -> None:
    """f(context, parts of the arguments…) -> parts of the results; arguments are given away.

    Of several copies, for a recursive function, each calls the next one, and the last the first.
    """
    args = [PTR, *(p for x in g.params for p in parts(x.type))]
    of = ll.FunctionType(returns.result_type(g.result_type), args)
    m.functions[g] = []
    for k in range(copies):
        fn = ll.Function(m.module, of, m.module.get_unique_name(f"g.{g.name}"))
        fn.linkage, fn.calling_convention = "internal", "fastcc"
        fn.attributes.add("nounwind")
        if k:
            fn.attributes.add("alwaysinline")
        m.functions[g].append(fn)


def copies(g: Graph, calls: CallGraph) -> int:
    """How many levels of a recursion a call goes down: a small function stands in itself, which saves most of its
    calls, and LLVM sees what a call and the next have in common."""
    again = calls.again(g)
    nodes = [n for h in g.nested() for n in h.nodes]
    if not again or any(n.op.name == "loop" or _makes_array(n) for n in nodes):
        return 1
    levels = total = 0
    while levels < DEEPEST and total < UNROLLED:
        total += len(nodes) * again**levels
        levels += 1
    return max(levels - (total > UNROLLED), 1)


def _makes_array(n: Apply) -> bool:
    return isinstance(n.type, Array) and not n.op.in_place and n.op.name not in ("get", "call", "switch", "case")


class Exit:
    """Where control goes on with a value: a block with a phi for each part."""

    def __init__(self, lowering: Lowering, t: Type, name: str):
        self.lowering, self.type = lowering, t
        self.block = lowering.block(name)
        self.incoming: list = []

    def leave(self, value) -> None:
        """Jump there from the current block."""
        b = self.lowering.b
        self.incoming.append((flatten(value, self.type), b.block))
        b.branch(self.block)

    def enter(self):
        """Go on there: the value that came."""
        b = self.lowering.b
        b.position_at_end(self.block)
        values = []
        for k, p in enumerate(parts(self.type)):
            if len(self.incoming) == 1:
                values.append(self.incoming[0][0][k])
                continue
            phi = b.phi(p)
            for vs, block in self.incoming:
                phi.add_incoming(vs[k], block)
            values.append(phi if self.incoming else ll.Constant(p, ll.Undefined))
        return unflatten(self.type, values)


class Lowering(Walk, Context):
    def __init__(self, module: ModuleBuilder, graph: Graph, calls: CallGraph, work: Work, results=(), copy: int = 0):
        every = module.functions[graph]
        super().__init__(module, every[copy])
        self.set_out(graph, calls, lambda g: arrays.plan(g, contract=True))
        self.work = work
        self.first, self.next = copy == 0, every[(copy + 1) % len(every)]
        self.unique = Uniqueness(graph, self.ownership, lambda g: self.plans[g].inlined, calls.jumps[graph])
        self.fillings = filled.Fillings(graph)
        self.reserved: dict[Node, ll.Value] = {}  # a loop's stack -> has it room for all that the loop pushes?
        self.headers: dict[Graph, list] = {}  # loop graph -> (block, phis)
        self.latches: dict[Graph, Exit] = {}  # loop graph -> where it polls before the next trip
        self.descents: set[Apply] = set()  # the calls of a recursive function that poll
        if graph in calls.recursive and self.first:
            self.descents.update(polls.first(graph, lambda n: n.op.name == "call" and n.graphs[0] in calls.recursive))
        self.strips: dict[Node, tuple] = {}  # a loop's switch -> (loop, its state, where it polls next, the latch)
        self.places = self._places(results)
        self.long = sum(len(h.nodes) for h in graph.nested()) >= chunks.NODES
        self.marks: chunks.Marks | None = None  # of the body that is being lowered
        self.bodies: list[chunks.Marks] = []  # where a long function may be cut; inner bodies come first

    def _places(self, results) -> dict[Node, int]:
        """The nodes that may make their array where the caller wants a result.

        A result that was copied on its way all the same is copied there in the end.  By then another result must not
        lie in that memory, so arrays on which others may be built have a place only where there is one result.
        """
        if len(results) == 1:
            return {source(node): slot for node, slot in results}
        return dict(reversed(results))

    def new_result(self, node: Node, t: Array, dims) -> ArrayValue:
        slot = self.places.get(node)
        if slot is None:
            return self.new_array(t, dims)
        b, new, done = self.b, self.block("new"), self.block("placed")
        to = self.load(self.load(self.context, CONTEXT_RESULTS, PTR), 8 * slot, PTR)
        before = b.block
        b.cbranch(b.icmp_unsigned("!=", to, NULL), done, new)
        b.position_at_end(new)
        made = self.new_array(t, dims)
        after = b.block
        b.branch(done)
        b.position_at_end(done)
        obj, data = b.phi(PTR), b.phi(PTR)
        for phi, given, own in ((obj, NULL, made.obj), (data, to, made.data)):
            phi.add_incoming(given, before)
            phi.add_incoming(own, after)
        return ArrayValue(obj, data, made.dims, t)

    # ---- values ------------------------------------------------------------------------------------------------------
    def fixed(self, cell: Cell):
        return self.constant(cell.constant, cell.type)

    def retain(self, value, t: Type) -> None:
        visit(self.module, self.b, "retain", NULL, value, t)

    def release(self, value, t: Type) -> None:
        visit(self.module, self.b, "release", self.context, value, t)

    def drop(self, cells) -> None:
        for c in cells:
            self.release(self.values[c], c.type)

    def reusable(self, x: Node, node: Node) -> bool:
        cell = next(iter(self.ownership.counted(x)), None)
        if cell is None or node in self.places or source(x) in self.places:
            return False
        return cell in self.unique and self.movable(cell)

    def consume(self, node: Node):
        value = self.value(node)
        for c in self.ownership.counted(node):
            if self.movable(c):
                self.dying.discard(c)
            else:
                self.retain(self.values[c], c.type)
        return value

    def take(self, node: Node) -> ArrayValue:
        target = node.args[0]
        x = self.array(target)
        size = self.b.mul(self.size(x), i64(ITEMSIZE[x.type.dtype]))
        unique = self.module.runtime("rt_unique")
        cells = self.ownership.counted(target)
        if not (cells and self.movable(cells[0])):
            obj = self.b.call(unique, [self.context, NULL, x.data, size])
            self.check(self.b.icmp_unsigned("!=", obj, NULL))
            return ArrayValue(obj, self.offset(obj, 64), x.dims, x.type)
        self.dying.discard(cells[0])
        return x if cells[0] in self.unique else self.made_unique(x, size)

    def made_unique(self, x: ArrayValue, size) -> ArrayValue:
        """An owned array of so many bytes, or a copy where somebody else holds it, too."""
        unique = self.module.runtime("rt_unique")
        b, (counted, copy, done) = self.b, map(self.block, ("counted", "copy", "unique"))
        b.cbranch(b.icmp_unsigned("!=", x.obj, NULL), counted, copy)
        b.position_at_end(counted)
        b.cbranch(b.icmp_unsigned("==", b.load(x.obj, typ=I64), i64(1)), done, copy).set_weights([1000, 1])
        b.position_at_end(copy)
        fresh = b.call(unique, [self.context, x.obj, x.data, size])
        self.check(b.icmp_unsigned("!=", fresh, NULL))
        data = self.offset(fresh, 64)
        copied = b.block
        b.branch(done)
        b.position_at_end(done)
        obj, at = b.phi(PTR), b.phi(PTR)
        for phi, same, new in ((obj, x.obj, fresh), (at, x.data, data)):
            phi.add_incoming(same, counted)
            phi.add_incoming(new, copied)
        return ArrayValue(obj, at, x.dims, x.type)

    # ---- the function ------------------------------------------------------------------------------------------------
    def run(self) -> None:
        g, b = self.graph, self.b
        values, args = [], list(self.fn.args[1:])
        for p in g.params:
            n = len(parts(p.type))
            values.append(unflatten(p.type, args[:n]))
            args = args[n:]
        start = b.block
        if g in self.calls.recursive and self.first:
            self._check_stack()
        elif not self.first:  # so LLVM sees that a level without a call has not failed
            fine = b.icmp_unsigned("==", b.load(self.context, typ=I64), i64(0))
            b.call(self.intrinsic("llvm.assume", ll.VoidType(), [I1]), [fine])
        if self.calls.jumps[g]:
            values = self.header(g, values, "again")
            self.latches[g] = self._latch(g)
        for p, v in zip(g.params, values, strict=True):
            self.define(p, v)
        leave = Exit(self, g.result_type, "return")
        self.body(g, self.cells(g.params), leave)
        if self.calls.jumps[g]:
            self._poll_again(g, self.latches.pop(g), polls.first(g, self.calls.jumps[g].__contains__)[0])
        result = leave.enter()
        returns.give(b, result, g.result_type)
        b.position_at_end(self.error)
        if isinstance(self.fn.function_type.return_type, ll.VoidType):
            b.ret_void()
        else:
            b.ret(ll.Constant(self.fn.function_type.return_type, ll.Undefined))
        b.position_at_end(self.entry)
        b.branch(start)
        if self.long:
            chunks.split(self.fn, self.bodies, self.error)

    def _check_stack(self) -> None:
        """Leave with a RecursionError where the stack has grown to its limit."""
        b = self.b
        sp = b.call(self.intrinsic("llvm.stacksave.p0", PTR, []), [])
        go, over = self.block("go"), self.block("overflow")
        b.cbranch(b.icmp_unsigned("<", sp, self.load(self.context, CONTEXT_LIMIT, PTR)), over, go).set_weights(
            [1, 100000]
        )
        b.position_at_end(over)
        b.store(i64(RECURSION_ERROR), self.context)
        b.branch(self.error)
        b.position_at_end(go)

    def header(self, g: Graph, values, name: str) -> list:
        """A loop header with the parameters of `g`, entered from here with `values`."""
        b, block, before = self.b, self.block(name), self.b.block
        b.branch(block)
        b.position_at_end(block)
        phis, out = [], []
        for p, v in zip(g.params, values, strict=True):
            mine = [b.phi(t) for t in parts(p.type)]
            for phi, part in zip(mine, flatten(v, p.type), strict=True):
                phi.add_incoming(part, before)
            phis.append(mine)
            out.append(unflatten(p.type, mine))
        self.headers[g] = [block, phis]
        return out

    def _latch(self, g: Graph) -> Exit:
        return Exit(self, Tuple(tuple(p.type for p in g.params)), "latch")

    def _poll_again(self, g: Graph, latch: Exit, node: Node) -> None:
        """From a loop's latch to its header."""
        values = latch.enter()
        if not latch.incoming:
            self.b.unreachable()
            return
        polls.poll(self, node)
        self.again(g, values)

    def again(self, g: Graph, values) -> None:
        if g in self.latches:
            self.latches[g].leave(tuple(values))
            return
        block, phis = self.headers[g]
        for p, v, mine in zip(g.params, values, phis, strict=True):
            for phi, part in zip(mine, flatten(v, p.type), strict=True):
                phi.add_incoming(part, self.b.block)
        self.b.branch(block)

    def body(self, g: Graph, owned: set[Cell], leave: Exit) -> None:
        outer, self.marks = self.marks, chunks.Marks(self)
        super().body(g, owned, leave)
        self.bodies.append(self.marks)
        self.marks = outer

    def pause(self) -> None:
        """Amid the code of a node, where control goes one way: here a long function may be cut."""
        if self.marks is not None:
            self.marks.here()

    def passed(self) -> None:
        self.marks.node()

    def unreachable(self) -> None:
        self.b.unreachable()

    # ---- control -----------------------------------------------------------------------------------------------------
    def node(self, node: Apply):
        rule = RULES.get(node.op.name)
        if rule is not None:
            return rule(self, node)
        if node.op.elementwise and isinstance(node.type, Scalar):
            values = [self.scalar(a) for a in node.args]
            return scalars.scalar_op(
                self.b, node.op.name, node.attrs, [a.type.dtype for a in node.args], node.type.dtype, *values
            )
        return arrays.lower(self, node, self.plan)

    def branches(self, node: Apply, leave: Exit) -> None:
        dying = self.dying
        if node.op.name == "switch":
            blocks = [self.block(f"{g.name}") for g in node.graphs]
            if node in self.strips:
                self._within_strip(node, *blocks)
            else:
                self.b.cbranch(self.value(node.args[0]), *blocks)
            for g, block in zip(node.graphs, blocks, strict=True):
                self.b.position_at_end(block)
                self.body(g, set(dying), leave)
            return
        inside = {c for g in node.graphs for c in self.ownership.used[g]}
        for g, owned in sums.dispatch(self, node, inside):
            self.body(g, owned, leave)

    def branch_rule(self, node: Apply):
        return self.joined(node, Exit(self, node.type, "join"))

    def loop(self, node: Apply):
        (g,) = node.graphs
        values = [self.consume(a) for a in node.args]
        for k, p in enumerate(g.params):
            if (node, k) in self.fillings.entering:
                filled.rest(self, self.fillings.entering[node, k], values[k])
            if self.ownership.tree(p) in self.unique.forced:
                x = values[k]
                values[k] = self.made_unique(x, self.b.mul(self.size(x), i64(ITEMSIZE[x.type.dtype])))
        for k, (start, stop) in counted_pushes(node).items():
            if self.ownership.tree(g.params[k]) in self.unique and parts(g.params[k].type.elem):
                start, stop = self.value(start), self.value(stop)
                values[k], self.reserved[g.params[k]] = sums.reserve(self, g.params[k].type, start, stop)
        dying, self.dying = self.dying, set()  # lives until the loop ends
        trips = polls.trips_between(node, self.work)
        found = blocks.ahead(node) if self.graph not in self.calls.recursive else None
        if found is not None:
            values = blocks.run_blocks(self, node, found, values, trips != 0)
        values = self.header(g, values, g.name)
        header, latch = self.headers[g], self._latch(g) if trips != 0 else None
        if trips and self._may_enter_again(g):
            end = polls.strip_end(self, node, values, trips)
            values = self.header(g, values, "strip")
            self.strips[tail(g)] = node, values, end, latch
        elif latch is not None:
            self.latches[g] = latch
        for p, v in zip(g.params, values, strict=True):
            self.define(p, v)
        leave = Exit(self, node.type, "exit")
        self.body(g, self.cells(g.params), leave)
        if latch is not None:
            self.latches.pop(g, None)
            self.headers[g] = header
            self._poll_again(g, latch, node)
        self.dying = dying
        return leave.enter()

    def _may_enter_again(self, g: Graph) -> bool:
        """Does a loop leave its state as it is until it knows whether there is another trip?"""
        plain = all(n.op.name == "stack_len" or n.op.elementwise and isinstance(n.type, Scalar) for n in g.nodes[:-1])
        return plain and self.cells(g.params) <= self.ownership.last[g].keys()

    def _within_strip(self, node: Apply, *blocks) -> None:
        loop, values, end, latch = self.strips[node]
        trip, done = blocks if counter(loop) is not None else reversed(blocks)
        over, more = self.block("over"), self.block("more")
        self.b.cbranch(polls.within_strip(self, loop, values, end), trip, over)
        self.b.position_at_end(over)
        self.b.cbranch(self.value(node.args[0]), *((more, done) if trip is blocks[0] else (done, more)))
        self.b.position_at_end(more)
        latch.leave(tuple(values))

    def call(self, node: Apply):
        (g,) = node.graphs
        if node in self.descents:
            polls.poll(self, node)
        values = [self.consume(a) for a in node.args]
        args = [x for p, v in zip(g.params, values, strict=True) for x in flatten(v, p.type)]
        fn = self.next if g is self.graph else self.module.functions[g][0]
        endless = "notail" if node.type is Never else None  # as a loop it would run for ever, on no stack
        out = self.b.call(fn, [self.context, *args], cconv="fastcc", tail=endless)
        if g in self.calls.raising:
            self.check(self.b.icmp_unsigned("==", self.b.load(self.context, typ=I64), i64(0)))
        if node.type is Never:
            return None
        value = returns.take(self.b, out, g.result_type)
        return unflatten(node.type, flatten(value, node.type))  # where its type knows more or fewer dims

    def guard(self, node: Apply):
        ok, *values = node.args
        go, bad = self.block("go"), self.block("raise")
        self.b.cbranch(self.value(ok), go, bad).set_weights([100000, 1])
        self.b.position_at_end(bad)
        self.note_error(node, values)
        self.b.position_at_end(go)
        return ()

    def note_error(self, node: Apply, values) -> None:
        """Put the error's id and the values of its message into the context, and leave the function."""
        kinds = []
        for k, v in enumerate(values):
            x, t = self.value(v), v.type
            if isinstance(t, Array):
                x, t = self.size(x), Scalar("i64")
            if t.dtype in ("bool", "i32"):
                x = self.b.zext(x, I64) if t.dtype == "bool" else self.b.sext(x, I64)
            kinds.append(t.dtype)
            self.store(x, self.context, CONTEXT_VALUES + 8 * k)
        errors = self.module.errors
        errors.append((node.attrs, tuple(kinds), node.span))
        self.b.store(i64(FIRST_ERROR + len(errors) - 1), self.context)
        self.b.branch(self.error)


RULES = {
    "call": Lowering.call,
    "loop": Lowering.loop,
    "switch": Lowering.branch_rule,
    "case": Lowering.branch_rule,
    "guard": Lowering.guard,
    "foreign": foreign.lower,
    "make": sums.make,
    "stack_new": sums.stack_new,
    "stack_push": sums.stack_push,
    "stack_pop": sums.stack_pop,
    "stack_len": sums.stack_len,
}
Lowering.ruled = RULES.keys()
LOWERED = frozenset(
    {
        *RULES,
        *JUMPS,
        "tuple",
        "get",
        *arrays.RULES,
        *scalars.RULES,
        "cast",
        "powi",
        "polygamma",
        *libm.INTRINSIC,
        *libm.SYMBOL,
    }
)
