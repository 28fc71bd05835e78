"""A compiled program: its call from Python, one virtual machine for each thread."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import threading

import numpy as np
import tvm
import tvm_ffi

from ...ir import INTS, Array, Graph, Residual
from ...ops.define import NUMPY_DTYPES
from .. import exception
from .build import build, leaves_of, results_of
from .lower import COPIES, ERROR, FIRST_ERROR, RECURSION_ERROR, STACK_ROOM, STATE, VALUES, WINDOW_LIMIT

LOCK = threading.Lock()  # TVM's compiler is not known to be safe from several threads
ANY = 16  # bytes of a register
ROOM, DEEP_ROOM = 160 << 10, 240 << 20  # bytes of native stack for a recursion
WINDOWS, DEEP_WINDOWS = 1 << 12, 1 << 20  # registers for one


def target_of(target: str) -> tvm.target.Target:
    """TVM's target for what a user wrote: a kind, or JSON."""
    if target == "llvm":
        return tvm.target.Target("llvm")
    if target == "cuda":
        return tvm.target.Target(
            {
                "kind": "cuda",
                "arch": "sm_80",
                "max_threads_per_block": 1024,
                "max_shared_memory_per_block": 49152,
                "thread_warp_size": 32,
            },
            host="llvm",
        )
    return tvm.target.Target(json.loads(target) if target.startswith("{") else target)


class _Machine:
    """What one thread needs to run a program."""

    def __init__(self, program: Program):
        self.virtual = tvm.relax.VirtualMachine(program.executable, program.device)
        self.main = self.virtual["main"]
        self.constants = tvm_ffi.List([self._constant(c, program.device) for c in program.constants])
        self.words = np.zeros(STATE, np.int64)
        self.words[STACK_ROOM] = ROOM
        self.state = tvm_ffi.from_dlpack(self.words)
        self.registers(program.registers)

    @staticmethod
    def _constant(c, device):
        kind, value = c
        if kind == "shape":
            return tvm_ffi.Shape(value)
        a = np.array(value.constant, NUMPY_DTYPES[value.type.dtype], order="C")
        return tvm.runtime.tensor(a, device)

    def registers(self, count: int) -> None:
        """A new register file."""
        self.regs = tvm_ffi.List([None] * count)
        cell = ctypes.c_int64.from_address(_address(self.regs) + 24).value
        self.words[WINDOW_LIMIT] = cell + ANY * count


def _address(o) -> int:
    return o.__chandle__()


class Program:
    """The compiled entry graph: `program(leaves)` is the list of its results' leaves."""

    def __init__(self, graph: Graph, target="llvm"):
        self.target = target_of(target)
        self.params, self.results = [p.type for p in graph.params], results_of(graph)
        self.escaping = any(isinstance(t, Residual) for t in self.results)
        with LOCK:
            made = build(graph, self.target)
        self.source, self.constants, self.errors = made.source, made.constants, made.errors
        self.executable, self.recursive = made.executable, made.recursive
        self.registers = made.registers + (WINDOWS if made.recursive else 0)
        self.device = tvm.cpu() if self.target.kind.name in ("llvm", "c") else tvm.device(self.target.kind.name)
        self._local = threading.local()
        self._deep = False

    def machine(self) -> _Machine:
        m = getattr(self._local, "machine", None)
        if m is None or self._local.process != os.getpid():
            m = self._local.machine = _Machine(self)
            self._local.process = os.getpid()
        return m

    def __call__(self, leaves) -> list:
        if self._deep:
            return self._call_deep(leaves)
        machine = self.machine()
        try:
            return self._run(machine, leaves)
        except _TooDeep:
            self._deep = True
        return self._call_deep(leaves)

    def _call_deep(self, leaves) -> list:
        """The call on a stack of its own."""
        out: list = []

        def work():
            try:
                machine = _Machine(self)
                machine.registers(self.registers + DEEP_WINDOWS)
                machine.words[STACK_ROOM] = DEEP_ROOM
                try:
                    out.append((self._run(machine, leaves), None))
                except _TooDeep:
                    raise RecursionError("maximum recursion depth exceeded in compiled code") from None
            except BaseException as error:  # handed to the caller, whatever it is
                out.append((None, error))

        with _STARTING:
            before = threading.stack_size(DEEP_ROOM + (16 << 20))
            try:
                thread = threading.Thread(target=work, name="myia-tvm")
                thread.start()
            finally:
                threading.stack_size(before)
        thread.join()
        ((result, error),) = out
        if error is not None:
            raise error
        return result

    def _run(self, machine: _Machine, leaves) -> list:
        args: list = []
        for x, t in zip(leaves, self.params, strict=True):
            if isinstance(t, Residual):
                args += x
            else:
                args.append(self._argument(x, t))
        machine.words[ERROR] = 0
        try:
            out = machine.main(machine.regs, machine.constants, machine.state, *args)
        except Exception:
            number = int(machine.words[ERROR])
            machine.registers(len(machine.regs))  # drops what the failed call left
            if not number:
                raise
            self._fail(number, machine.words[VALUES : VALUES + 4].tolist())
        return self._unpack(out)

    def _argument(self, x, t):
        if isinstance(t, Array):
            a = np.require(x, NUMPY_DTYPES[t.dtype], ["C", "A"])
            if a.ndim != t.rank or any(d is not None and d != n for d, n in zip(t.shape, a.shape, strict=True)):
                raise TypeError(f"an array of shape {a.shape} where {t} is compiled")
            return self._tensor(a)
        if t.dtype == "bool":
            return int(bool(x))
        return operator.index(x) if t.dtype in INTS else float(x)

    def _tensor(self, a):
        if self.escaping and a.size:  # a record may hold an argument, which its owner may write to later
            a = a.copy()
        if not a.flags.writeable or not a.size:  # what DLPack does not carry
            a = a.copy() if a.size else np.empty(a.shape, a.dtype)
        if self.device.dlpack_device_type() != 1:
            return tvm.runtime.tensor(a, self.device)
        return tvm_ffi.from_dlpack(a)

    def _unpack(self, out) -> list:
        values, at = [], 0
        for t in self.results:
            x = out[at]
            at += 1
            if isinstance(t, Residual):
                values.append(tuple(out[at - 1 + k] for k in range(leaves_of(t))))
                at += leaves_of(t) - 1
            elif isinstance(t, Array):
                shape = tuple(d if d is not None else int(out[(at := at + 1) - 1]) for d in t.shape)
                a = x.numpy() if self.device.dlpack_device_type() != 1 else np.from_dlpack(x)
                values.append(a.reshape(shape))
            else:
                values.append(NUMPY_DTYPES[t.dtype](x))
        return values

    def _fail(self, number: int, words) -> None:
        """Raise the exception that the code noted."""
        if number == RECURSION_ERROR:
            raise _TooDeep
        attrs, dtypes, span = self.errors[number - FIRST_ERROR]
        raise exception(attrs, [_from_word(w, d) for w, d in zip(words, dtypes, strict=False)], span) from None


class _TooDeep(Exception):
    """A recursion met the end of its stack."""


def _from_word(word: int, dtype: str):
    if dtype in ("f32", "f64"):
        return NUMPY_DTYPES[dtype](np.array([word], np.int64).view(np.float64)[0]).item()
    return bool(word) if dtype == "bool" else word


_STARTING = threading.Lock()


__all__ = ["COPIES", "Program"]
