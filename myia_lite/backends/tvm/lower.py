"""From a closed graph to a host function of TVM's tensor IR, local graphs nested in it.

A branch is an `if`, whose value goes through local variables; a loop is a `while` on one variable that says whether it
goes round; a call is a call.  Numbers are local variables of the function; references are counted as on the native
back end (see `llvm.ownership`): the last use moves, earlier uses copy.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from tvm import tirx
from tvm.ir import PrimType
from tvm.tirx import op
from tvm.tirx import stmt as S

from ...ir import Apply, Array, Constant, Graph, MyiaTypeError, Never, Node, Scalar, Tuple, Type
from ..llvm.fusion import plan
from ..llvm.layout import boxed
from ..llvm.ownership import CallGraph, Ownership, tail
from . import kernels, sums
from .code import DTYPES, HANDLE, Cell, Code, Memory, const, expr, pointer, sequence, times
from .elements import LOWERED as ELEMENTS
from .elements import element_of
from .heap import CAPTURING, Heap, bits, from_bits
from .layout import OBJECT, ArrayValue, fields, flatten, parts, slots, unflatten
from .nests import Kernel

# what a call shares with its caller, in words: the error's number and values, limits of both stacks, copies to the host
ERROR, VALUES, STACK_LIMIT, WINDOW_LIMIT, COPIES, STACK_ROOM, STATE = 0, 1, 5, 6, 7, 8, CAPTURING + 1
RECURSION_ERROR, FIRST_ERROR = 1, 2


class Shared:
    """What the functions of a program have in common: constants, errors, names."""

    def __init__(self, graphs, device: bool, captured: bool, target, options):
        self.device, self.captured = device, captured  # captured: calls may be recorded, and need memory of their own
        self.target, self.options = target, options
        self.in_threads = target.kind.name not in ("llvm", "c")  # else loops run over what would be threads
        self.constants: list = []  # ("shape", sizes) or ("array", NumPy array), by index
        self._index: dict = {}
        self.errors: list = []
        self.functions: dict = {}
        self.launches = self.reads = 0
        self.symbols = {g: f"myia_{k}" for k, g in enumerate(graphs)}

    def define(self, name: str, make) -> None:
        """A function that the program calls besides its own: `make()` gives it, and what it calls."""
        if name not in self.functions:
            self.functions |= {f.attrs["global_symbol"]: f for f in make()}

    def shape(self, sizes: tuple) -> int:
        return self._constant(("shape", sizes), ("shape", sizes))

    def array(self, c: Constant) -> int:
        return self._constant(c, ("array", c))

    def _constant(self, key, thing) -> int:
        if key not in self._index:
            self._index[key] = len(self.constants)
            self.constants.append(thing)
        return self._index[key]


def address_in(buffer):
    """Where on the native stack a local variable lies."""
    return tirx.reinterpret("int64", tirx.address_of(buffer[0]))


def read_number(code: Code, item, dtype: str):
    """The number in a tensor of one element, which is an item of a list or an argument."""
    place = code.local("int64")
    nbytes = {"bool": 1, "i32": 4, "f32": 4}.get(dtype, 8)
    code.emit(S.BufferStore(place, const(0), [const(0)]))
    code.do(op.call_packed("runtime.TVMTensorCopyToBytes", item, tirx.address_of(place[0]), const(nbytes)))
    word = code.let(tirx.BufferLoad(place, [const(0)]))
    if dtype == "f32":
        return code.let(tirx.reinterpret("float32", tirx.Cast("int32", word)))
    return code.let(from_bits(word, dtype))


class Exit:
    """Where control goes on with a value: a variable or a register for each part."""

    def __init__(self, lowering: Lowering, t: Type):
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


class Lowering:
    """The code of one closed graph."""

    def __init__(self, graph: Graph, calls: CallGraph, shared: Shared, boxes: bool = False):
        """`boxes`: the numbers that are made on the device stay there, each in an array of one element."""
        self.graph, self.calls, self.shared, self.device = graph, calls, shared, shared.device
        self.boxes, self.in_threads = boxes, shared.in_threads
        self.plans = {g: plan(g) for g in graph.nested()}
        self.ownership = Ownership(graph, self.operands)
        self.code, self.values = Code(), {}
        self.dying: set = set()
        self.reads: Counter = Counter()
        self.loops: dict[Graph, tuple] = {}  # the parts of its parameters, the variable that says whether it goes round
        self.constants: dict = {}
        self.plan = None

    @property
    def launches(self):
        return self.shared.launches

    @launches.setter
    def launches(self, n):
        self.shared.launches = n

    def operands(self, g: Graph, node: Apply):
        if node in self.plans[g].inlined:
            return ()
        if node.op.name in RULES or node.op.name in JUMPS:
            return node.args
        return self.plans[g].operands(node)

    # ---- values
    def value(self, node: Node):
        return self._read(self.ownership.tree(node))

    def _read(self, tree):
        if isinstance(tree, tuple):
            return tuple(map(self._read, tree))
        if tree.constant is None:
            return self.values[tree]
        if isinstance(tree.type, Array):
            return self.constant_array(tree)
        return const(tree.constant.item() if hasattr(tree.constant, "item") else tree.constant, tree.type.dtype)

    def constant_array(self, cell) -> ArrayValue:
        """In a register of its own, filled when the function is entered."""
        if cell not in self.constants:
            index, r = self.shared.array(cell), self.heap.register()
            call = op.anylist_setitem_call_packed(
                self.heap.regs, tirx.const(r, "int32"), "vm.builtin.copy", self.heap.constant(index)
            )
            self.prologue.append(S.Evaluate(call))
            self.constants[cell] = ArrayValue(r, tuple(np.shape(cell.constant)), cell.type)
        return self.constants[cell]

    def scalar(self, node: Node):
        return self.value(node)

    def size(self, node: Node):
        """An index or a size: an int where it is a constant."""
        return int(node.value) if isinstance(node, Constant) else self.value(node)

    def define(self, node: Node, value) -> None:
        self._bind(self.ownership.tree(node), value)

    def _bind(self, tree, value) -> None:
        if isinstance(tree, tuple):
            for t, v in zip(tree, value, strict=True):
                self._bind(t, v)
        else:
            self.values[tree] = value

    def variable(self, kind: str):
        return self.heap.register() if kind == OBJECT else Cell(self.code, kind)

    def value_of(self, variables, t: Type):
        """The value whose parts are in these variables now."""
        return unflatten(t, [v if kind == OBJECT else v.get() for v, kind in zip(variables, parts(t), strict=True)])

    # ---- ownership
    def registers(self, value, t: Type) -> list[int]:
        return [p for p, kind in zip(flatten(value, t), parts(t), strict=True) if kind == OBJECT]

    def drop(self, cells) -> None:
        for c in cells:
            for r in self.registers(self.values[c], c.type):
                self.heap.reset(r)

    def movable(self, cell) -> bool:
        return cell in self.dying and self.reads[cell] == 1

    def retained(self, value, t: Type):
        """The same value with references of its own."""
        out = []
        for p, kind in zip(flatten(value, t), parts(t), strict=True):
            if kind == OBJECT:
                r = self.heap.register()
                self.heap.copy(r, p)
                p = r
            out.append(p)
        return self._like(value, t, out)

    def _like(self, value, t: Type, new_parts):
        """`unflatten`, but with the sizes that `value` knows."""
        fresh = unflatten(t, new_parts)
        if isinstance(fresh, ArrayValue):
            return ArrayValue(fresh.register, value.dims, value.type)
        return fresh

    def consume(self, node: Node):
        """The value of an argument, owned: moved at its last use, else copied."""
        return self._consume(self.ownership.tree(node))

    def _consume(self, tree):
        if isinstance(tree, tuple):
            return tuple(map(self._consume, tree))
        value = self._read(tree)
        if OBJECT not in parts(tree.type):
            return value
        if tree.constant is None and self.movable(tree):
            self.dying.discard(tree)
            return value
        return self.retained(value, tree.type)

    def take(self, node: Node) -> ArrayValue:
        """Argument 0, to be written into: itself where nobody else holds it, else a copy."""
        target = node.args[0]
        x, tree = self.value(target), self.ownership.tree(target)
        if tree.constant is None and self.movable(tree):
            self.dying.discard(tree)
            self.own(x)
            return x
        return self.duplicate(x)

    def own(self, x: ArrayValue) -> None:
        """Put a copy into the register unless it holds the one reference."""
        with self.code.when(tirx.Not(self.heap.alone(x.register))):
            y = self.duplicate(x)
            self.heap.move(x.register, y.register)

    def duplicate(self, x: ArrayValue) -> ArrayValue:
        y = self.new_array(x.type, x.dims)
        kernel = Kernel(self, self.plan)
        source, target = self.elements(x), self.elements(y)
        count = 1
        for n in x.dims:
            count = times(count, n)
        with kernel.space([count]) as (i,):
            target.store(source.load(i), i)
        return y

    # ---- arrays
    def new_array(self, t: Array, sizes) -> ArrayValue:
        r = self.heap.register()
        self.heap.allocate(r, t, sizes)
        return ArrayValue(r, tuple(sizes), t)

    def elements(self, x: ArrayValue) -> Memory:
        return self.heap.tensor(x.register, x.type.dtype)

    def to_host(self, box: ArrayValue):
        """The number in an array of one element on the device, which is released."""
        if self.boxes:
            return box
        value = read_number(self.code, self.heap.item(box.register), box.type.dtype)
        self.heap.reset(box.register)
        self.state.store(tirx.Add(self.state.load(COPIES), const(1)), COPIES)
        self.shared.reads += 1
        return value

    # ---- the function
    def run(self, owned_results: int) -> tirx.PrimFunc:
        """f(machine, registers, constants, state, results, numbers among the arguments…) -> 0.

        The objects among the arguments come in the first registers, those among the results go behind them; numbers go
        into `results`.  Nobody else holds the arrays among the first `owned_results`.
        """
        g, code = self.graph, self.code
        machine, regs, constants = (tirx.Var(n, HANDLE) for n in ("machine", "regs", "constants"))
        state, results = (tirx.Var(n, pointer("i64")) for n in ("state", "results"))
        self.frame = tirx.Var("frame", "int32")
        self.prologue: list = []
        self.heap = Heap(code, machine, regs, constants, self.shared)
        self.state_pointer = state
        self.state = self.heap.state = Memory(code, state, "i64")
        params = [machine, regs, constants, state, results]
        kinds = [k for p in g.params for k in parts(p.type)]
        given = []
        for kind in kinds:
            if kind == OBJECT:
                given.append(self.heap.register())
            else:
                given.append(tirx.Var("p", DTYPES[kind]))
                params.append(given[-1])
        out_kinds = parts(g.result_type)
        out_registers = [self.heap.register() for k in out_kinds if k == OBJECT]
        if g in self.calls.recursive:
            self._check_stack()
        head = len(code.statements)
        leave = Exit(self, g.result_type)
        if self.calls.jumps[g]:
            self._repeated(g, given, leave)
        else:
            at = 0
            for p in g.params:
                n = len(parts(p.type))
                self.define(p, unflatten(p.type, given[at : at + n]))
                at += n
            self.body(g, self._cells(g.params), leave)
        if g.result_type is not Never:
            out = Memory(code, results, "i64")
            value = leave.enter()
            if owned_results:
                self.plan = self.plans[g]
                for v in (value if isinstance(g.result_type, Tuple) else (value,))[:owned_results]:
                    if isinstance(v, ArrayValue):
                        self.own(v)
            to = iter(out_registers)
            for k, (v, kind) in enumerate(zip(flatten(value, g.result_type), out_kinds, strict=True)):
                if kind == OBJECT:
                    self.heap.move(next(to), v)
                else:
                    out.store(code.let(bits(v, kind)), k)
        code.emit(S.Return(tirx.const(0, "int32")))
        window = S.Bind(self.frame, tirx.const(16 * self.heap.registers, "int32"))
        code.statements[head:head] = self.prologue
        code.statements.insert(0, window)
        return tirx.PrimFunc(params, sequence(code.statements), ret_type=PrimType("int32")).with_attr(
            "global_symbol", self.shared.symbols[g]
        )

    def _check_stack(self) -> None:
        """A RecursionError where one of both stacks has grown to its limit."""
        here = Cell(self.code, "i64", const(0))
        address = address_in(here.buffer)
        window = op.call_intrin("int64", "tirx.reinterpret", self.heap.regs)
        end = tirx.Add(window, tirx.Cast("int64", self.frame))
        over = tirx.Or(tirx.LT(address, self.state.load(STACK_LIMIT)), tirx.GT(end, self.state.load(WINDOW_LIMIT)))
        with self.code.when(over):
            self.fail(RECURSION_ERROR)

    def fail(self, error: int) -> None:
        """Return to the outermost function, which raises: an error that is raised here would have TVM look through
        the whole stack."""
        self.state.store(const(error), ERROR)
        self.code.do(op.call_intrin("handle", "tirx.tvm_throw_last_error"))

    def _repeated(self, g: Graph, given, leave: Exit) -> None:
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
            self.body(g, self._cells(g.params), leave)

    def _again(self, g: Graph, values) -> None:
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

    def _cells(self, nodes) -> set:
        return {c for n in nodes for c in self.ownership.counted(n)}

    def body(self, g: Graph, owned: set, leave: Exit) -> None:
        """The nodes of `g`, then its value to `leave` unless it goes round a loop; `owned` is released."""
        last, the_plan, end = self.ownership.last[g], self.plans[g], tail(g)
        unused = [c for c in owned if c not in last]
        self.drop(unused)
        owned = owned.difference(unused)
        for i, node in enumerate(g.nodes):
            self.plan = the_plan
            if node in the_plan.inlined or node.op.name in ("get", "tuple"):
                continue
            self.dying = {c for c in owned if last[c] == i}
            owned -= self.dying
            self.reads = self.ownership.reads(g, node)
            if node is end:
                self.dying |= owned
                self.jump(node, leave)
                return
            if node in self.calls.jumps[self.graph]:
                self._again(self.graph, self._arguments(node.args))
                return
            value = self.node(node)
            self.drop(self.dying)
            if node.type is Never:
                return
            self.define(node, value)
            fresh = self.ownership.counted(node)
            self.drop(c for c in fresh if c not in last)
            owned |= {c for c in fresh if c in last}
        self.dying, self.reads = owned, Counter(self.ownership.counted(g.result))
        value = self._arguments([g.result])[0]
        leave.leave(value)

    def _arguments(self, nodes) -> list:
        """The values of `nodes`, all consumed; what else dies here is released."""
        values = [self.consume(n) for n in nodes]
        self.drop(self.dying)
        self.dying = set()
        return values

    def jump(self, node: Apply, leave: Exit) -> None:
        """A node in tail position that ends the graph."""
        name = node.op.name
        if name == "recur":
            self._again(node.graphs[0], self._arguments(node.args))
        elif name == "raise":
            self.error(node, node.args)
        else:
            self.branches(node, leave)

    # ---- control
    def node(self, node: Apply):
        rule = RULES.get(node.op.name)
        if rule is not None:
            return rule(self, node)
        if node.op.name in NOT_LOWERED:
            reason = NOT_LOWERED[node.op.name]
            raise MyiaTypeError(
                f"the backend 'tvm' has no {node.op.name}: {reason}", node.span, "use backend='llvm' for this function"
            )
        if node.op.elementwise and isinstance(node.type, Scalar):
            values = [self.scalar(a) for a in node.args]
            return element_of(self.code, node.op.name, node.attrs, [a.type.dtype for a in node.args], values)
        value = kernels.lower(self, node, self.plan)
        if self.boxes and isinstance(value, ArrayValue) and not value.dims:  # a number that stays on the device
            return ArrayValue(value.register, (1,), node.type)
        return value

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
        leave = Exit(self, node.type)
        self.branches(node, leave)
        self.dying = set()
        return leave.enter()

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
        self._repeated(g, given, leave)
        self.dying = dying
        return leave.enter()

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

    def guard(self, node: Apply):
        ok, *values = node.args
        with self.code.when(tirx.Not(self.value(ok))):
            self.error(node, values)
        return ()

    def error(self, node: Apply, values) -> None:
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


JUMPS = ("recur", "raise")
RULES = {
    "call": Lowering.call,
    "loop": Lowering.loop,
    "switch": Lowering.branch_rule,
    "case": Lowering.branch_rule,
    "guard": Lowering.guard,
    "make": sums.make,
    "stack_new": sums.stack_new,
    "stack_push": sums.stack_push,
    "stack_pop": sums.stack_pop,
    "stack_len": sums.stack_len,
}
NOT_LOWERED = {"foreign": "it calls Python, and compiled code here does not hold its lock"}
LOWERED = frozenset({*RULES, *JUMPS, "tuple", "get", *kernels.RULES, *ELEMENTS})
