"""From an entry graph to an executable of TVM's virtual machine.

Each closed graph is a host function (`lower.py`); nests for the device are cut out of them by TVM's own pass and become
kernels.  The one function of the virtual machine hands its memory pool and the arguments on.  TVM's own pipelines are
not used: they simplify what must not be simplified, copy expressions until they explode, and take time exponential in
the depth of integer arithmetic to find its ranges.  What is emitted here needs no more than what this file runs.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.ir import PrimType, StringImm
from tvm.relax import vm_build
from tvm.tirx import op, transform
from tvm.tirx import stmt as S

from ...ir import Array, Graph
from ...ops.define import NUMPY_DTYPES
from ..llvm.ownership import CallGraph
from ..walk import results_of
from .code import ANY_KIND, ANY_VALUE, HANDLE, Code, Memory, const, field, offset, pointer, sequence
from .halves import Halves, read_inside, split
from .heap import HEADER, Heap, from_bits, packed
from .layout import OBJECT, parts
from .lower import Lowering
from .options import Options
from .shared import (
    COPIES,
    ERROR,
    RECURSION_ERROR,
    STACK_LIMIT,
    STACK_ROOM,
    STATE,
    WINDOW_LIMIT,
    Shared,
    address_in,
    read_number,
)

PIPELINE = "myia"
DEFAULT = Options()


def leaves_of(t) -> int:
    """How many arguments of `main` a parameter is."""
    return 1 if isinstance(t, Array) else len(parts(t))


def is_device(target: tvm.target.Target) -> bool:
    return target.kind.name not in ("llvm", "c")


def _rounding() -> None:
    """TVM has CUDA's compilers round as they like; who sets the variable to nothing asks for that.

    Only nvcc can be told not to, so it is taken where it is; `program.py` refuses to run without.
    """
    if os.environ.setdefault("TVM_CUDA_NVCC_NO_FAST_MATH", "1") and shutil.which("nvcc"):
        os.environ.setdefault("TVM_CUDA_COMPILE_MODE", "nvcc")


@dataclass
class Build:
    """What came out: the executable, the constants it wants, its errors, and for a device its kernels' source."""

    executable: Any
    halves: Halves | None  # of a program for a device: `host` is then the function "myia_host"
    captured: bool  # may calls be recorded?
    constants: list
    errors: list
    recursive: bool
    registers: int  # of a call that does not recurse
    launches: int  # nests that were meant to be kernels
    reads: int  # places where a number goes from the device to the host
    source: str


def build(
    graph: Graph,
    target: tvm.target.Target,
    portable: bool = False,
    captures: bool = True,
    options: Options = DEFAULT,
) -> Build:
    """`portable`: with a function `run` that takes the arguments alone, and brings what `main` wants besides.
    `captures`: calls of a program for a device that does not wait for the host may be recorded."""
    device = is_device(target)
    _rounding()
    halves = split(graph) if device and not portable else None
    main = halves.device if halves else graph
    calls = [CallGraph(g) for g in ((main, halves.host) if halves else (main,))]
    captures = captures and device and not portable and (halves is not None or not read_inside(calls[0].graphs))
    graphs = {g: c for c in reversed(calls) for g in c.graphs}
    shared = Shared(graphs, device or options.emulated, captures, target, options)
    owned = halves.given if halves else len(results_of(graph))
    functions, window = {}, 0
    for g, c in graphs.items():
        lowering = Lowering(g, c, shared, boxes=halves is not None and g is main)
        functions[shared.symbols[g]] = lowering.run(owned_results=owned if g is main else 0)
        window += lowering.heap.registers
    recursive = any(c.recursive for c in calls)
    window += WINDOWS if portable and recursive else 0
    functions |= shared.functions
    if halves:
        functions["myia_host"] = _main(halves.host, shared, "myia_host", halves.boxes)
    functions["myia_main"] = _main(main, shared)
    if PIPELINE not in tirx.compilation_pipeline.PIPELINE_MAP:
        tirx.compilation_pipeline.register_tir_pipeline(PIPELINE, _pipeline)
    builder = relax.ExecBuilder()
    with builder.function("machine", num_inputs=0):
        builder.emit_ret(builder.vm_state())
    arguments = 3 + sum(leaves_of(p.type) for p in graph.params)
    with builder.function("main", num_inputs=arguments):
        registers = [builder.r(k) for k in range(arguments)]
        builder.emit_call("myia_main", [builder.vm_state(), *registers], builder.r(arguments))
        builder.emit_ret(builder.r(arguments))
    if portable:
        functions["myia_start"] = _start(window + 8)
        _run(builder, arguments - 3, window + 8, shared)
    module = tvm.IRModule(functions)
    executable = vm_build._vmlink(builder, target, module, tir_pipeline=PIPELINE)
    source = device_source(executable.mod) if shared.in_threads else ""
    counts = shared.launches, shared.reads
    out = Build(executable, halves, captures, shared.constants, shared.errors, recursive, window + 8, *counts, source)
    if shared.in_threads:
        check_kernels(out)
    return out


def modules(m):
    yield m
    for k in m.imports:
        yield from modules(k)


def device_source(module) -> str:
    """The source of all kernels."""
    return "".join(m.inspect_source() for m in modules(module) if m.kind not in ("llvm", "relax.VMExecutable"))


def kernels_in(source: str) -> list[str]:
    return re.findall(r"__global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\([^;{]*\) \{", source)


def check_kernels(out: Build) -> None:
    """Each nest became a kernel; TVM says nothing where one did not."""
    found = len(kernels_in(out.source))
    if found < out.launches:
        raise RuntimeError(f"{out.launches - found} of {out.launches} kernels were compiled for the host")


# ---- the function that the virtual machine calls ---------------------------------------------------------------------
def _main(graph: Graph, shared: Shared, name: str = "myia_main", boxes: int = 0) -> tirx.PrimFunc:
    """main(machine, registers, constants, state, leaves…) -> the leaf of the result, or an array of several, as a
    packed function.  The first `boxes` numbers come in arrays of one element on the device."""
    code = Code()
    self_, args, count, result = (
        tirx.Var(n, t) for n, t in (("self", HANDLE), ("args", HANDLE), ("count", "int32"), ("result", HANDLE))
    )

    def given(k, dtype):
        return code.let(field(args, k, ANY_VALUE, dtype))

    def items(k):
        return code.let(field(offset(given(k, HANDLE), HEADER), 0, 1, HANDLE))

    machine, regs, constants = given(0, HANDLE), items(1), items(2)
    state = code.let(field(offset(given(3, HANDLE), HEADER), 0, 1, pointer("i64")))
    heap = Heap(code, machine, regs, constants, shared)
    memory = Memory(code, state, "i64")
    memory.store(tirx.Add(memory.load(COPIES), const(boxes)), COPIES)
    shared.reads += boxes
    numbers, k = [], 4
    for j, p in enumerate(graph.params):
        if j < boxes:
            numbers.append(read_number(code, op.anylist_getitem(args, tirx.const(k, "int32")), p.type.dtype))
            k += 1
            continue
        if isinstance(p.type, Array):
            heap.call(heap.register(), "vm.builtin.copy", op.anylist_getitem(args, tirx.const(k, "int32")))
            shape = code.let(field(offset(given(k, HANDLE), HEADER), 0, 2, pointer("i64")))
            sizes = Memory(code, shape, "i64")
            numbers += [sizes.load(j) for j, d in enumerate(p.type.shape) if d is None]
            k += 1
            continue
        for kind in parts(p.type):
            if kind == OBJECT:
                heap.call(heap.register(), "vm.builtin.copy", op.anylist_getitem(args, tirx.const(k, "int32")))
            elif kind in ("f32", "f64"):
                value = given(k, "float64")
                numbers.append(code.let(tirx.Cast("float32", value)) if kind == "f32" else value)
            else:
                numbers.append(code.let(from_bits(given(k, "int64"), kind)))
            k += 1
    kinds = parts(graph.result_type)
    out = code.local("int64", max(len(kinds), 1))
    memory.store(tirx.Sub(address_in(out), memory.load(STACK_ROOM)), STACK_LIMIT)
    failed = tirx.call_extern(
        "int32", shared.symbols[graph], machine, regs, constants, state, tirx.address_of(out[0]), *numbers
    )
    with code.when(tirx.NE(code.let(failed), tirx.const(0, "int32"))):
        number = memory.load(ERROR)
        texts = ["RecursionError: maximum recursion depth exceeded"]
        for attrs, _, _ in shared.errors:
            kind, message = attrs["exception"], attrs["message"]
            texts.append(f"{kind if isinstance(kind, str) else kind.__name__}: {message or ''}")
        for k, text in enumerate(texts, RECURSION_ERROR):
            with code.when(tirx.EQ(number, const(k))):
                code.emit(S.AssertStmt(const(False, "bool"), StringImm("RuntimeError"), [StringImm(text)]))
        code.do(op.call_intrin("handle", "tirx.tvm_throw_last_error"))
    leaves, objects = [], []
    for k, kind in enumerate(kinds):
        if kind == OBJECT:
            objects.append(heap.register())
            leaves.append(heap.item(objects[-1]))
        else:
            value = from_bits(code.let(tirx.BufferLoad(out, [const(k)])), kind)
            leaves.append(code.let(packed(code.let(value), kind)))
    r = heap.register()
    if len(leaves) == 1:
        heap.call(r, "vm.builtin.copy", *leaves)
    else:
        heap.call(r, "ffi.Array", *leaves)
    for o in objects:
        heap.reset(o)
    kind = code.let(field(regs, r, ANY_KIND, "int32"))
    code.do(tirx.tvm_struct_set(result, 0, ANY_KIND, kind))
    code.do(tirx.tvm_struct_set(result, 0, 14, tirx.const(0, "int32")))
    code.do(tirx.tvm_struct_set(result, 0, ANY_VALUE, heap.words.load(2 * r + 1)))
    for k in (0, 1):
        heap.words.store(const(0), 2 * r + k)
    code.emit(S.Return(tirx.const(0, "int32")))
    return tirx.PrimFunc([self_, args, count, result], sequence(code.statements), ret_type=PrimType("int32")).with_attr(
        {"global_symbol": f"__tvm_ffi_{name}", "myia.packed": True}
    )


# ---- for programs that are loaded elsewhere --------------------------------------------------------------------------
WINDOWS, ROOM = 1 << 12, 160 << 10  # registers, and bytes of native stack, for a recursion


def _start(registers: int) -> tirx.PrimFunc:
    """start(state, registers): the state of a call that begins."""
    code = Code()
    self_, args, count, result = (
        tirx.Var(n, t) for n, t in (("self", HANDLE), ("args", HANDLE), ("count", "int32"), ("result", HANDLE))
    )
    state = field(offset(code.let(field(args, 0, ANY_VALUE, HANDLE)), HEADER), 0, 1, pointer("i64"))
    words = Memory(code, code.let(state), "i64")
    regs = field(offset(code.let(field(args, 1, ANY_VALUE, HANDLE)), HEADER), 0, 1, "int64")
    for k in range(STATE):
        words.store(const(ROOM if k == STACK_ROOM else 0), k)
    words.store(tirx.Add(code.let(regs), const(16 * registers)), WINDOW_LIMIT)
    code.emit(S.Return(tirx.const(0, "int32")))
    return tirx.PrimFunc([self_, args, count, result], sequence(code.statements), ret_type=PrimType("int32")).with_attr(
        {"global_symbol": "__tvm_ffi_myia_start", "myia.packed": True}
    )


def _run(builder, arguments: int, registers: int, shared: Shared) -> None:
    """run(leaves…): the result of `main`."""
    with builder.function("run", num_inputs=arguments):
        given = [builder.r(k) for k in range(arguments)]
        regs, constants, storage, state, out = (builder.r(arguments + k) for k in range(5))
        call, machine = builder.emit_call, builder.vm_state()
        call("ffi.List", [builder.void_arg()] * registers, regs)
        things = []
        for kind, value in shared.constants:
            if kind == "shape":
                things.append(tvm_ffi.Shape(value))
            else:
                a = np.array(value.constant, NUMPY_DTYPES[value.type.dtype], order="C")
                things.append(tvm.runtime.tensor(a))
        call("ffi.Array", things, constants)
        on_host = builder.imm(1 if shared.in_threads else 0)  # the machine's last device is the host
        word, scope = tvm.DataType("int64"), builder.convert_constant("global")
        call("vm.builtin.alloc_storage", [machine, (STATE,), on_host, word, scope], storage)
        call("vm.builtin.alloc_tensor", [storage, builder.imm(0), (STATE,), word], state)
        call("myia_start", [state, regs])
        call("myia_main", [machine, regs, constants, state, *given], out)
        builder.emit_ret(out)


# ---- passes ----------------------------------------------------------------------------------------------------------
def _host(f):
    """A function of the host, as the code generator wants it."""
    body = f.body
    for key, value in (("device_type", 1), ("device_id", 0)):
        body = S.AttrStmt(StringImm("default"), key, tirx.const(value, "int32"), body)
    host = f.attrs["target"].host or f.attrs["target"]
    return f.with_body(body).with_attr({"target": host, "calling_conv": 1 if f.attrs.get("myia.packed") else 0})


def _pipeline():
    @tvm.transform.module_pass(opt_level=0)
    def lower(module, context):
        module = transform.SplitHostDevice()(transform.AnnotateEntryFunc()(module))
        out = {}
        for name, f in module.functions.items():
            launched = f.attrs.get("calling_conv", 0) == 2
            out[name] = f if launched else _host(f)
        return tvm.IRModule(out, attrs=module.attrs)

    def nothing():
        return lambda module: module

    return lower, transform.LowerTVMBuiltin, nothing


__all__ = ["Build", "build"]
