"""Control: branches, loops, calls, errors.

A branch is an `if`, whose value goes through local variables; a loop is a `while` on one variable that says whether it
goes round; a call is a call.
"""

from __future__ import annotations

from tvm import tirx
from tvm.tirx import op

from ...ir import Apply, Array, Graph, Never, Scalar, Tuple, Type
from ..llvm.layout import boxed
from ..walk import Walk
from .code import HANDLE, Cell, Code, Memory, const, expr, pointer, times
from .heap import Heap, bits, from_bits
from .layout import OBJECT, fields, flatten, parts, slots, unflatten
from .shared import ERROR, FIRST_ERROR, RECURSION_ERROR, STACK_LIMIT, VALUES, WINDOW_LIMIT, Shared, address_in


class Exit:
    """Where control goes on with a value: a variable or a register for each part."""

    def __init__(self, lowering: Control, t: Type):
        self.lowering, self.type = lowering, t
        self.parts = [lowering.variable(p) for p in parts(t)]

    def leave(self, value) -> None:
        """Take over a value that is owned."""
        for to, v, kind in zip(self.parts, flatten(value, self.type), parts(self.type), strict=True):
            if kind == OBJECT:
                self.lowering.heap.move(to, v)
            else:
                to.set(v)

    def enter(self):
        return self.lowering.value_of(self.parts, self.type)


class Control(Walk):
    """The part of the lowering that is about control."""

    code: Code
    heap: Heap
    shared: Shared
    state: Memory

    def variable(self, kind: str):
        return self.heap.register() if kind == OBJECT else Cell(self.code, kind)

    def value_of(self, variables, t: Type):
        """The value whose parts are in these variables now."""
        return unflatten(t, [v if kind == OBJECT else v.get() for v, kind in zip(variables, parts(t), strict=True)])

    # ---- branches
    def branches(self, node: Apply, leave: Exit) -> None:
        """The local graphs of a switch or case, each of which ends by `leave` or goes round a loop."""
        dying = self.dying
        if node.op.name == "switch":
            then, otherwise = (lambda g=g: self.body(g, set(dying), leave) for g in node.graphs)
            self.code.choose(self.value(node.args[0]), then, otherwise)
        else:
            self.cases(node, dying, leave)

    def cases(self, node: Apply, dying: set, leave: Exit) -> None:
        (v,) = node.args
        s, value = v.type, self.value(v)
        cell = next(iter(self.ownership.counted(v)), None)
        inside = {c for g in node.graphs for c in self.ownership.used[g]}
        moved = cell is not None and cell in dying and cell not in inside
        dying = dying - {cell} if moved else dying
        if boxed(s):
            items, _ = self.heap.sequence(value.register)
            tag = self.heap.load(items, 0, "i64")
        else:
            items, tag = None, value.tag

        def variant(k):
            g, name = node.graphs[k], list(s.variants)[k]
            t = Tuple(tuple(s.variants[name]))
            if boxed(s):
                found = []
                for j, kind in enumerate(fields(s, name)):
                    if kind == OBJECT:
                        found.append(self.heap.register())
                        self.heap.load_object(found[-1], items, 1 + j)
                    else:
                        found.append(self.heap.load(items, 1 + j, kind))
                content = unflatten(t, found)
                if moved:
                    self.heap.reset(value.register)
            else:
                content = unflatten(t, [value.slots[j] for j in slots(s)[1][name]])
                if not moved and cell is not None:
                    content = self.retained(content, t)
            for p, x in zip(g.params, content, strict=True):
                self.define(p, x)
            owned = set(dying) | {c for p in g.params for c in self.ownership.counted(p)}
            self.body(g, owned, leave)

        def from_(k):
            if k == len(node.graphs) - 1:
                variant(k)
            else:
                self.code.choose(tirx.EQ(tag, const(k)), lambda: variant(k), lambda: from_(k + 1))

        from_(0)

    def branch_rule(self, node: Apply):
        return self.joined(node, Exit(self, node.type))

    # ---- loops
    def repeated(self, g: Graph, given, leave: Exit) -> None:
        """A body to whose start something jumps: a loop, or a function that calls itself last."""
        code = self.code
        kinds = [k for p in g.params for k in parts(p.type)]
        variables = []
        for v, kind in zip(given, kinds, strict=True):
            if kind == OBJECT:
                variables.append(v)
            else:
                variables.append(Cell(code, kind, v))
        again = Cell(code, "bool", const(True, "bool"))
        self.loops[g] = variables, again
        with code.loop(again.peek()):
            at = 0
            for p in g.params:
                n = len(parts(p.type))
                self.define(p, self.value_of(variables[at : at + n], p.type))
                at += n
            again.set(const(False, "bool"))
            self.body(g, self.cells(g.params), leave)

    def again(self, g: Graph, values) -> None:
        """The next trip.  Parameters may change places: objects that stand in another's register go by way of one of
        their own."""
        variables, again = self.loops[g]
        kinds = [k for p in g.params for k in parts(p.type)]
        new = [x for p, v in zip(g.params, values, strict=True) for x in flatten(v, p.type)]
        objects = {v for v, kind in zip(variables, kinds, strict=True) if kind == OBJECT}
        for k, (v, to, kind) in enumerate(zip(new, variables, kinds, strict=True)):
            if kind == OBJECT and v != to and v in objects:
                new[k] = self.heap.register()
                self.heap.move(new[k], v)
        for v, to, kind in zip(new, variables, kinds, strict=True):
            if kind == OBJECT:
                if v != to:
                    self.heap.move(to, v)
            else:
                to.set(v)
        again.set(const(True, "bool"))

    def loop(self, node: Apply):
        (g,) = node.graphs
        leave = Exit(self, node.type)
        values = [self.consume(a) for a in node.args]
        dying, self.dying = self.dying, set()  # lives until the loop ends
        given = []
        for p, v in zip(g.params, values, strict=True):
            for x, kind in zip(flatten(v, p.type), parts(p.type), strict=True):
                if kind == OBJECT:
                    r = self.heap.register()
                    self.heap.move(r, x)
                    x = r
                given.append(x)
        self.repeated(g, given, leave)
        self.dying = dying
        return leave.enter()

    # ---- calls
    def check_stack(self) -> None:
        """A RecursionError where one of both stacks has grown to its limit."""
        here = Cell(self.code, "i64", const(0))
        address = address_in(here.buffer)
        window = op.call_intrin("int64", "tirx.reinterpret", self.heap.regs)
        end = tirx.Add(window, tirx.Cast("int64", self.frame))
        over = tirx.Or(tirx.LT(address, self.state.load(STACK_LIMIT)), tirx.GT(end, self.state.load(WINDOW_LIMIT)))
        with self.code.when(over):
            self.fail(RECURSION_ERROR)

    def call(self, node: Apply):
        """The callee's window lies behind this function's."""
        (g,), code = node.graphs, self.code
        values = [self.consume(a) for a in node.args]
        new = [x for p, v in zip(g.params, values, strict=True) for x in flatten(v, p.type)]
        kinds = [k for p in g.params for k in parts(p.type)]
        window = code.let(op.call_intrin(HANDLE, "tirx.handle_add_byte_offset", self.heap.regs, self.frame))
        words = Memory(code, code.let(op.call_intrin(pointer("i64"), "tirx.reinterpret", window)), "i64")
        numbers, at = [], 0
        for x, kind in zip(new, kinds, strict=True):
            if kind == OBJECT:
                code.do(op.anylist_resetitem(window, tirx.const(at, "int32")))
                for k in (0, 1):
                    words.store(self.heap.words.load(2 * x + k), 2 * at + k)
                    self.heap.words.store(const(0), 2 * x + k)
                at += 1
            else:
                numbers.append(x)
        out_kinds = parts(g.result_type)
        out = code.local("int64", max(len(out_kinds), 1))
        h = self.heap
        failed = tirx.call_extern(
            "int32", self.shared.symbols[g], h.machine, window, h.constants, self.state_pointer,
            tirx.address_of(out[0]), *numbers,
        )  # fmt: skip
        with code.when(tirx.NE(code.let(failed), tirx.const(0, "int32"))):
            code.do(op.call_intrin("handle", "tirx.tvm_throw_last_error"))
        if node.type is Never:
            return None
        found = []
        for k, kind in enumerate(out_kinds):
            if kind == OBJECT:
                r = h.register()
                h.reset(r)
                for j in (0, 1):
                    h.words.store(words.load(2 * at + j), 2 * r + j)
                    words.store(const(0), 2 * at + j)
                at += 1
                found.append(r)
            else:
                found.append(code.let(from_bits(code.let(tirx.BufferLoad(out, [const(k)])), kind)))
        return unflatten(node.type, flatten(unflatten(g.result_type, found), node.type))

    # ---- errors
    def guard(self, node: Apply):
        ok, *values = node.args
        with self.code.when(tirx.Not(self.value(ok))):
            self.note_error(node, values)
        return ()

    def note_error(self, node: Apply, values) -> None:
        """Note the error's number and the values of its message, and fail."""
        kinds = []
        for k, v in enumerate(values):
            x, t = self.value(v), v.type
            if isinstance(t, Array):
                size = 1
                for n in x.dims:
                    size = times(size, n)
                x, t = expr(size), Scalar("i64")
            kinds.append(t.dtype)
            self.state.store(self.code.let(bits(x, t.dtype)), VALUES + k)
        self.shared.errors.append((node.attrs, tuple(kinds), node.span))
        self.fail(FIRST_ERROR + len(self.shared.errors) - 1)

    def fail(self, error: int) -> None:
        """Return to the outermost function, which raises: an error that is raised here would have TVM look through
        the whole stack."""
        self.state.store(const(error), ERROR)
        self.code.do(op.call_intrin("handle", "tirx.tvm_throw_last_error"))
