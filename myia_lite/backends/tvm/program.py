"""A compiled program: its call from Python, one virtual machine for each thread."""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import threading

import numpy as np
import tvm
import tvm_ffi

from ...ir import INTS, Array, Graph, MyiaTypeError, MyiaValueError, Residual, Scalar
from ...ops.define import NUMPY_DTYPES
from .. import exception
from ..walk import results_of
from .build import build, is_device, leaves_of
from .devices import CPU, DeviceArray, copies, place
from .graphs import DEVICE, Recorded, Recorder
from .layout import parts
from .options import parse, target_of
from .shared import COPIES, ERROR, FIRST_ERROR, RECURSION_ERROR, STACK_ROOM, STATE, VALUES, WINDOW_LIMIT

LOCK = threading.Lock()  # TVM's compiler is not known to be safe from several threads
DTYPE_OF = {k: np.dtype(v) for k, v in NUMPY_DTYPES.items()}
ANY = 16  # bytes of a register
ROOM, DEEP_ROOM = 160 << 10, 240 << 20  # bytes of native stack for a recursion
WINDOWS, DEEP_WINDOWS = 1 << 12, 1 << 20  # registers for one


def device_of(target):
    """TVM's device for a target."""
    return tvm.cpu() if target.kind.name in ("llvm", "c") else tvm.device(target.kind.name)


def fast_math() -> bool:
    """Would CUDA's compiler round as it likes, though nobody asked for that?"""
    return os.environ.get("TVM_CUDA_COMPILE_MODE", "nvrtc") != "nvcc" and bool(
        os.environ.get("TVM_CUDA_NVCC_NO_FAST_MATH")
    )


class _Machine:
    """What one thread needs to run a program."""

    def __init__(self, program: Program):
        if not program.device.exist:
            raise MyiaTypeError(f"there is no device for the target {program.target.kind.name!r}")
        if program.target.kind.name == "cuda" and fast_math():
            raise MyiaValueError(
                "TVM would compile for this GPU with --use_fast_math",
                remedy="nvcc in PATH, or the environment variable TVM_CUDA_NVCC_NO_FAST_MATH empty to ask for that",
            )
        self.virtual = tvm.relax.VirtualMachine(program.loaded, program.device)
        self.pointer = self.virtual["machine"]()  # its memory pool; its function `main` would only hand it on
        self.main, self.host = program.main, program.host
        self.constants = tvm_ffi.List([self._constant(c, program.device) for c in program.constants])
        self.words = np.zeros(STATE, np.int64)
        self.words[STACK_ROOM] = ROOM
        self.state = tvm_ffi.from_dlpack(self.words)
        self.registers(program.registers)
        self.recorded = Recorded(program, self, program.recorder) if program.captured else None

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

    recorder = None  # of all programs, made for the first one that is for a device

    def __init__(self, graph: Graph, target="llvm"):
        options = parse(target)
        self.target = target_of(options.target)
        self.device = device_of(self.target)
        self.kind = self.device.dlpack_device_type()
        self.on_device = is_device(self.target)
        self.params, self.results = [p.type for p in graph.params], results_of(graph)
        self.escaping = any(isinstance(t, Residual) for t in self.results)
        with LOCK:
            made = build(graph, self.target, captures=options.cuda_graphs, options=options)
        self.source, self.constants, self.errors, self.halves = made.source, made.constants, made.errors, made.halves
        self.executable, self.recursive = made.executable, made.recursive
        self.loaded = made.executable.jit()
        code = next(m for m in self.loaded.imports if m.implements_function("myia_main"))
        self.main, self.host = code["myia_main"], code["myia_host"] if made.halves else None
        returned = results_of(made.halves.device) if made.halves else self.results  # by the main function
        self.many = sum(len(parts(t)) for t in returned) != 1
        self.converters = [self._converter(t) for t in self.params]
        self.quick_converters = [self._quick_converter(t) for t in self.params]
        self.takes_records = any(isinstance(t, Residual) for t in self.params)
        only = self.results[0] if len(self.results) == 1 and made.halves is None else None
        if made.halves:  # what of the result which half has, and where the device's ends in what it returns
            self.ready, self.late = made.halves.types()
            self.late_at = sum(len(parts(t)) for t in self.ready)
        self.captured = made.captured and not self.takes_records and not self.escaping
        if self.captured and self.recorder is None:
            Program.recorder = Recorder()
        self.number = NUMPY_DTYPES[only.dtype] if isinstance(only, Scalar) else None  # the one result's class
        self.one_array = isinstance(only, Array) and None not in only.shape
        self.registers = made.registers + (WINDOWS if made.recursive else 0)
        self._local = threading.local()
        self._deep = False

    def machine(self) -> _Machine:
        """A machine for this thread; a forked process makes its own."""
        self._local.machine, self._local.generation = _Machine(self), _forks[0]
        return self._local.machine

    def __call__(self, leaves) -> list:
        return self._called(leaves, self.converters)

    def quick(self, leaves) -> list:
        """The same for leaves of which dtypes, ranks and known sizes are those of the parameters."""
        return self._called(leaves, self.quick_converters)

    def _called(self, leaves, converters) -> list:
        if not self._deep:
            local = self._local
            machine = local.machine if getattr(local, "generation", None) == _forks[0] else self.machine()
            try:
                return self._run(machine, leaves, converters)
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
                    out.append((self._run(machine, leaves, self.converters), None))
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

    def _run(self, machine: _Machine, leaves, converters) -> list:
        stays = DeviceArray in [x.__class__ for x in leaves]
        try:
            if self.on_device:
                return self._finished(machine, self._on_device(machine, leaves), stays)
            args = self._arguments(leaves, converters)
            out = machine.main(machine.pointer, machine.regs, machine.constants, machine.state, *args)
        except Exception:
            number = int(machine.words[ERROR])
            machine.words[ERROR] = 0
            machine.registers(len(machine.regs))  # drops what the failed call left
            if not number:
                raise
            self._fail(number, machine.words[VALUES : VALUES + 4].tolist())
        if self.number is not None:
            return [self.number(out)]
        if self.one_array and not stays:
            a = np.from_dlpack(out)
            shape = self.results[0].shape
            return [a if a.shape == shape else a.reshape(shape)]
        return self._unpack(self.results, out if self.many else (out,), stays)

    def _arguments(self, leaves, converters) -> list:
        args = [x if convert is None else convert(x) for convert, x in zip(converters, leaves, strict=True)]
        if self.takes_records:
            args = [a for x in args for a in (x if x.__class__ is tuple else (x,))]
        return args

    def _on_device(self, machine: _Machine, leaves) -> list:
        """What the main function returns."""
        if machine.recorded is not None:
            return machine.recorded.call(leaves)
        with DEVICE:
            args = self._arguments(leaves, self.converters)
            out = machine.main(machine.pointer, machine.regs, machine.constants, machine.state, *args)
        return list(out) if self.many else [out]

    def _finished(self, machine: _Machine, out: list, stays: bool) -> list:
        """The results of a program on a device: its host half takes what it needs, and has the rest."""
        if self.halves is None:
            results = self._unpack(self.results, out, stays)
        else:
            ready, late, at = self.ready, self.late, self.late_at
            theirs = machine.host(machine.pointer, machine.regs, machine.constants, machine.state, *out[at:])
            theirs = self._unpack(late, [theirs] if len(late) == 1 else theirs, stays)
            own = self._unpack(ready, out, stays)
            results = [theirs[k] if of_host else own[k] for of_host, k in self.halves.results]
        copies["to host"] += int(machine.words[COPIES])
        machine.words[COPIES] = 0
        return results

    def _converter(self, t):
        """What makes an argument of a leaf."""
        if isinstance(t, Array):
            return functools.partial(self._array, t)
        if isinstance(t, Residual):
            return tuple
        if t.dtype == "bool":
            return lambda x: int(bool(x))
        return operator.index if t.dtype in INTS else float

    def _quick_converter(self, t):
        """The same for a leaf that fits; None where it is an argument as it is."""
        if not isinstance(t, Array):
            return None if t in (Scalar("i64"), Scalar("f64")) else self._converter(t)
        return self._converter(t) if self.escaping or self.on_device else self._array_that_fits

    def _array_that_fits(self, x):
        """TVM takes NumPy's arrays as they are, but does not see which of them lie in one piece."""
        if x.__class__ is DeviceArray:
            return (x if x.kind == CPU else place(x, self.device)).exact()
        return x if x.flags.carray else np.require(x, None, ["C", "A", "W"])

    def _array(self, t, x):
        dtype = DTYPE_OF[t.dtype]
        if x.__class__ is DeviceArray:
            if x.dtype != dtype or len(x.shape) != t.rank:
                raise TypeError(f"an array of {x.dtype} and shape {x.shape} where {t} is compiled")
            tensor = place(x, self.device).exact()
            return self._copied(tensor) if self.escaping else tensor
        x = self.fitting(t, x)
        if self.escaping:  # a record may hold an argument, which its owner may write to later
            x = x.copy()
        if self.on_device:
            copies["to device"] += 1
            return tvm.runtime.tensor(x, self.device)
        return tvm_ffi.from_dlpack(x)

    @staticmethod
    def fitting(t, x) -> np.ndarray:
        """A NumPy array for a parameter, in one piece."""
        dtype = DTYPE_OF[t.dtype]
        if x.__class__ is not np.ndarray or x.dtype is not dtype or not x.flags.carray:
            x = np.require(x, dtype, ["C", "A", "W"])  # read-only memory is copied: DLPack does not carry it
        if x.shape != t.shape and (
            x.ndim != t.rank or any(d is not None and d != n for d, n in zip(t.shape, x.shape, strict=True))
        ):
            raise TypeError(f"an array of shape {x.shape} where {t} is compiled")
        return x

    def _copied(self, tensor):
        fresh = tvm.runtime.empty(tuple(tensor.shape), str(tensor.dtype), self.device)
        tvm.get_global_func("runtime.TVMTensorCopyFromTo")(tensor, fresh)
        return fresh

    def _unpack(self, types, out, stays: bool) -> list:
        """The results' leaves; arrays stay on the device, or come to the host."""
        values, at = [], 0
        for t in types:
            if t.__class__ is Array:
                x, shape = out[at], t.shape
                at += 1
                if None in shape:
                    dims, shape = shape, []
                    for d in dims:
                        shape.append(out[at] if d is None else d)
                        at += d is None
                    shape = tuple(shape)
                if stays:
                    values.append(DeviceArray(x, shape, DTYPE_OF[t.dtype], self.kind))
                    continue
                copies["to host"] += self.on_device
                a = x.numpy() if self.on_device else np.from_dlpack(x)
                values.append(a if a.shape == shape else a.reshape(shape))
            elif t.__class__ is Residual:
                values.append(tuple(out[at : at + leaves_of(t)]))
                at += leaves_of(t)
            else:
                values.append(NUMPY_DTYPES[t.dtype](out[at]))
                at += 1
        return values

    def _fail(self, number: int, words) -> None:
        """Raise the exception that the code noted."""
        if number == RECURSION_ERROR:
            raise _TooDeep
        attrs, dtypes, span = self.errors[number - FIRST_ERROR]
        raise exception(attrs, [_from_word(w, d) for w, d in zip(words, dtypes, strict=False)], span) from None


def write(graph: Graph, path, target: str) -> None:
    """A shared library that TVM's runtime loads."""
    with LOCK:
        options = parse(target)
        made = build(graph, target_of(options.target, portable=True), True, options=options)
        made.executable.export_library(str(path))


class _TooDeep(Exception):
    """A recursion met the end of its stack."""


def _from_word(word: int, dtype: str):
    if dtype in ("f32", "f64"):
        return NUMPY_DTYPES[dtype](np.array([word], np.int64).view(np.float64)[0]).item()
    return bool(word) if dtype == "bool" else word


_STARTING = threading.Lock()
_forks = [0]  # how often this process was forked from another


def _forked() -> None:
    """A child has none of its parent's threads, and TVM would wait for those of its pool: it works alone."""
    _forks[0] += 1
    os.environ["TVM_NUM_THREADS"] = "1"


os.register_at_fork(after_in_child=_forked)


__all__ = ["COPIES", "Program"]
