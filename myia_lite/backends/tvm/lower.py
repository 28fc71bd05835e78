"""From a closed graph to a host function of TVM's tensor IR, local graphs nested in it.

Numbers are local variables of the function; references are counted as on the native back end (see `llvm.ownership`):
the last use moves, earlier uses copy.
"""

from __future__ import annotations

import numpy as np
from tvm import tirx
from tvm.ir import PrimType
from tvm.tirx import op
from tvm.tirx import stmt as S

from ...ir import Apply, Array, Constant, Graph, MyiaTypeError, Never, Node, Scalar, Tuple, Type
from ..llvm.fusion import plan
from ..llvm.ownership import CallGraph
from ..walk import JUMPS
from . import kernels, sums
from .code import DTYPES, HANDLE, Code, Memory, const, pointer, sequence, times
from .control import Control, Exit
from .elements import LOWERED as ELEMENTS
from .elements import element_of
from .heap import Heap, bits
from .layout import OBJECT, ArrayValue, flatten, parts, unflatten
from .nests import Kernel
from .shared import COPIES, Shared, read_number


class Lowering(Control):
    """The code of one closed graph."""

    def __init__(self, graph: Graph, calls: CallGraph, shared: Shared, boxes: bool = False):
        """`boxes`: the numbers that are made on the device stay there, each in an array of one element."""
        self.set_out(graph, calls, plan)
        self.shared, self.device, self.boxes, self.in_threads = shared, shared.device, boxes, shared.in_threads
        self.code = Code()
        self.loops: dict[Graph, tuple] = {}  # the parts of its parameters, the variable that says whether it goes round
        self.constants: dict = {}

    @property
    def launches(self):
        return self.shared.launches

    @launches.setter
    def launches(self, n):
        self.shared.launches = n

    # ---- values
    def fixed(self, cell):
        if isinstance(cell.type, Array):
            return self.constant_array(cell)
        return const(cell.constant.item() if hasattr(cell.constant, "item") else cell.constant, cell.type.dtype)

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

    # ---- ownership
    def registers(self, value, t: Type) -> list[int]:
        return [p for p, kind in zip(flatten(value, t), parts(t), strict=True) if kind == OBJECT]

    def drop(self, cells) -> None:
        for c in cells:
            for r in self.registers(self.values[c], c.type):
                self.heap.reset(r)

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
            self.check_stack()
        head = len(code.statements)
        leave = Exit(self, g.result_type)
        if self.calls.jumps[g]:
            self.repeated(g, given, leave)
        else:
            at = 0
            for p in g.params:
                n = len(parts(p.type))
                self.define(p, unflatten(p.type, given[at : at + n]))
                at += n
            self.body(g, self.cells(g.params), leave)
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
Lowering.ruled = RULES.keys()
LOWERED = frozenset({*RULES, *JUMPS, "tuple", "get", *kernels.RULES, *ELEMENTS})
