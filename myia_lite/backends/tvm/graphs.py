"""CUDA graphs: a call whose launches are recorded once, and from then on launched as a whole.

A recording is good for the addresses of the arguments, for their sizes and for the numbers among them, which decide
what the program does on the host; these are its key.  From the second call on, a call with a new key is recorded, until
that turns out not to pay.  Results lie in memory that the recording writes to, and the caller has them: before it runs
again they must be gone, else another recording is made.  In a training loop the parameters come back in the memory of
an earlier step's results: it settles down to two recordings that take turns.  Arguments that come from ever new places,
and NumPy's arrays, are copied to a place of their own first.

The memory of recorded calls comes from an `Arena`, to which nobody else has access.  TVM's runtime records
(`vm.builtin.cuda_graph.run_or_capture`): it calls a function once as it is, then with its launches recorded.  While it
does, other threads must not allocate on the device: calls of this package wait.
"""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
import threading
import warnings
from collections import OrderedDict

import numpy as np
import tvm
import tvm_ffi

from ...ops.define import NUMPY_DTYPES
from .devices import DeviceArray, copies
from .heap import ALLOCATOR, CAPTURING

DEVICE = threading.RLock()  # held by whoever allocates on the device
PLACES = 4  # of an argument, before it is copied to one of its own
OWN_PLACES = 64  # for arguments of all sizes
RECORDINGS = 16  # of a program in a thread: then the one that was not used for longest goes
_local = threading.local()


class Recorder:
    """Records and launches; tests have one of their own."""

    def __init__(self):
        self.run = tvm.get_global_func("vm.builtin.cuda_graph.run_or_capture", allow_missing=True)
        self.nothing, self.idle = tvm_ffi.Array([]), tvm_ffi.convert(lambda: None)

    @property
    def available(self) -> bool:
        return self.run is not None

    def record(self, recording: Recording, work) -> None:
        """Calls `work` twice, at first with its effects."""
        self.run(recording.pointer, tvm_ffi.convert(work), self.nothing, 0)

    def launch(self, recording: Recording, work) -> None:
        self.run(recording.pointer, self.idle, self.nothing, 0)


class Arena:
    """Memory of recorded calls.  What becomes a result lies apart from what is gone when a call ends: recordings share
    the second."""

    def __init__(self, machine):
        self.machine = machine
        self.free: dict[tuple, list] = {}
        self.at: dict[int, Place] = {}  # by address
        self.results: frozenset = frozenset()
        self.used: list = []  # by the call that goes on, in order
        self.closed = False

    def begin(self, results=frozenset()) -> None:
        """A call that allocates as its like did before: `results` are the numbers of what outlives it."""
        self.used, self.results = [], results

    def keep_only(self, places: set) -> None:
        """Give the rest back."""
        self.free = {key: kept for key, stock in self.free.items() if (kept := [p for p in stock if p in places])}
        self.at = {address: p for address, p in self.at.items() if p in places}

    def storage(self, *wanted):
        """For a call of TVM's `alloc_storage` with these arguments behind the machine."""
        shape, device, dtype, scope = wanted
        key = tuple(shape), str(dtype), len(self.used) in self.results
        stock = self.free.setdefault(key, [])
        found = next((p for p in stock if p.idle()), None)
        if found is None:
            if self.closed:
                raise RuntimeError("a recorded call allocates more than the one before it")
            found = Place(tvm.get_global_func("vm.builtin.alloc_storage")(self.machine, shape, device, dtype, scope))
            stock.append(found)
            self.at[found.tensor(shape, dtype).data_ptr()] = found
        self.used.append(found)
        return found.storage


class Place:
    """A piece of memory, and the tensors in it that were handed out: the same ones each time, if nobody has them."""

    def __init__(self, storage):
        self.storage, self.tensors = storage, {}

    def tensor(self, shape, dtype):
        key = tuple(shape), str(dtype)
        if key not in self.tensors:
            make = tvm.get_global_func("vm.builtin.alloc_tensor")
            self.tensors[key] = make(self.storage, 0, tvm_ffi.Shape(shape), dtype)
        return self.tensors[key]

    def idle(self) -> bool:
        """Does nobody else refer to the memory, in Python or elsewhere?"""
        if references(self.storage) != 1 + len(self.tensors):
            return False
        return all(references(t) == 1 and sys.getrefcount(t) == IDLE for t in self.tensors.values())


def references(o) -> int:
    """To the object that a Python object stands for; that itself is one."""
    return ctypes.c_uint32.from_address(o.__chandle__()).value


def _idle() -> int:
    """What `sys.getrefcount` says in `Place.idle` of a tensor that only the place has."""
    return next(sys.getrefcount(t) for t in {None: object()}.values())


IDLE = _idle()


@tvm_ffi.register_global_func(ALLOCATOR, override=True)
def _alloc_storage(machine, shape, device, dtype, scope):
    return _local.arena.storage(shape, device, dtype, scope)


class Recording:
    """One recorded call.  `parts` are what it returns: (None, number), or for an array its place, and the key there."""

    def __init__(self, program):
        self.machine = tvm.relax.VirtualMachine(program.loaded, program.device)  # TVM keeps what it records in one
        self.pointer = self.machine["machine"]()
        self.parts: list = []
        self.places: list[Place] = []  # of its results
        self.memory: list[Place] = []  # all that it uses, in order

    def keep(self, parts, arena: Arena) -> None:
        self.memory = arena.used
        for p in parts:
            if isinstance(p, tvm_ffi.Tensor):
                place, shape, dtype = arena.at[p.data_ptr()], tuple(p.shape), str(p.dtype)
                place.tensor(shape, dtype)
                self.places.append(place)
                self.parts.append((place, (shape, dtype)))
            else:
                self.parts.append((None, p))

    def ready(self) -> bool:
        """Has nobody a result of its last run any more?"""
        return all(p.idle() for p in self.places)

    def results(self) -> list:
        return [x if place is None else place.tensors[x] for place, x in self.parts]


class Recorded:
    """The calls of a program on one machine."""

    def __init__(self, program, machine, recorder: Recorder):
        self.program, self.machine, self.recorder = program, machine, recorder
        self.arena = Arena(machine.pointer)
        self.recordings: OrderedDict[int, tuple] = OrderedDict()  # number -> (key, recording), the last used at the end
        self.by_key: dict[tuple, list[int]] = {}
        self.called = False
        self.places: list[set] = [set() for _ in program.params]
        self.own_place: dict[tuple, object] = {}
        self.dtypes = [np.dtype(NUMPY_DTYPES[t.dtype]) if hasattr(t, "dtype") else None for t in program.params]
        self.made = self.hits = 0
        self.on = recorder.available

    def call(self, leaves) -> list:
        """What the main function returns for these leaves, as a list."""
        if not self.on:
            return self._plain([convert(x) for convert, x in zip(self.program.converters, leaves, strict=True)])
        args, key = self._arguments(leaves)
        for number in self.by_key.get(key, ()):
            recording = self.recordings[number][1]
            if recording.ready():
                self.recordings.move_to_end(number)
                self.hits += 1
                return self._launched(recording, args)
        if not self.called:  # many programs are called but once
            self.called = True
            return self._plain(args)
        if self.made >= RECORDINGS and self.hits < 4 * self.made:  # recording takes longer than what it saves
            self._end()
            return self._plain(args)
        recording = self._record(key, args)
        return self._plain(args) if recording is None else self._launched(recording, args)

    def _plain(self, args) -> list:
        with DEVICE:
            return self._main(args)

    def _main(self, args) -> list:
        m = self.machine
        out = m.main(m.pointer, m.regs, m.constants, m.state, *args)
        return list(out) if self.program.many else [out]

    # ---- arguments
    def _arguments(self, leaves) -> tuple[list, tuple]:
        """The arguments, and the key of recordings that fit."""
        args, key = [], []
        for k, (x, t) in enumerate(zip(leaves, self.program.params, strict=True)):
            if not hasattr(t, "shape"):
                x = self.program.converters[k](x)
                key.append(struct.pack("d", x) if x.__class__ is float else x)
            else:
                x = self._array(k, t, x)
                key.append(x.data_ptr())
                if None in t.shape:
                    key.append(tuple(x.shape))
            args.append(x)
        return args, tuple(key)

    def _array(self, k: int, t, x):
        """The tensor, or its copy where this argument is copied."""
        if x.__class__ is DeviceArray and x.kind == self.program.kind:
            fits = x.dtype == self.dtypes[k] and len(x.shape) == t.rank
            given = x.exact() if fits else self.program.converters[k](x)
            if len(self.places[k]) <= PLACES:
                self.places[k].add(given.data_ptr())
                return given
        else:
            given = self.program.fitting(t, np.asarray(x))
            copies["to device"] += 1
        shape = tuple(given.shape)
        if (k, shape) not in self.own_place:
            if len(self.own_place) >= OWN_PLACES:
                self.own_place.clear()
            with DEVICE:
                dtype = "bool" if t.dtype == "bool" else str(given.dtype)
                self.own_place[k, shape] = tvm.runtime.empty(shape, dtype, self.program.device)
        place = self.own_place[k, shape]
        place.copyfrom(given)
        return place

    # ---- recordings
    def _launched(self, recording: Recording, args) -> list:
        self.recorder.launch(recording, lambda: self._recorded(args, recording.memory))
        return recording.results()

    def _recorded(self, args, memory=None) -> list:
        """A call with memory of the arena's."""
        words = self.machine.words
        _local.arena = self.arena if memory is None else _Again(memory)
        words[CAPTURING] = 1
        try:
            return self._main(args)
        finally:
            words[CAPTURING] = 0
            _local.arena = None

    def _record(self, key, args) -> Recording | None:
        recording = Recording(self.program)
        arena = self.arena
        with DEVICE:
            arena.begin()
            pointers = {p.data_ptr() for p in self._recorded(args) if isinstance(p, tvm_ffi.Tensor)}
            outlive = [arena.at[p] for p in pointers]
            results = frozenset(k for k, place in enumerate(arena.used) if place in outlive)
            kept = []
            for _ in range(2):  # as many results are alive at once while TVM records
                arena.begin(results)
                kept.append(self._recorded(args))
            kept.clear()
            out: list = []

            def work():
                arena.begin(results)
                out[:] = self._recorded(args)
                return self.recorder.nothing

            arena.closed = True
            collects = gc.isenabled()
            gc.disable()  # memory that it frees on the device would end the recording
            try:
                self.recorder.record(recording, work)
            except RuntimeError as error:
                self._end()
                warnings.warn(f"CUDA graphs are off for a program: {error}", RuntimeWarning, stacklevel=2)
                return None
            finally:
                arena.closed = False
                if collects:
                    gc.enable()
        recording.keep(out, arena)
        self.made += 1
        self.recordings[self.made] = key, recording
        self.by_key.setdefault(key, []).append(self.made)
        if len(self.recordings) > RECORDINGS:
            oldest, (its_key, _) = self.recordings.popitem(last=False)
            self.by_key[its_key].remove(oldest)
            if not self.by_key[its_key]:
                del self.by_key[its_key]
            arena.keep_only({p for _, r in self.recordings.values() for p in r.memory})
        return recording

    def _end(self) -> None:
        """No more recordings: their memory goes."""
        self.on = False
        self.recordings.clear()
        self.by_key.clear()
        self.own_place.clear()
        self.arena.keep_only(set())


class _Again:
    """The memory of a recording once more, for a recorder that runs calls instead of launching them."""

    def __init__(self, memory):
        self.rest = iter(memory)

    def storage(self, *wanted):
        return next(self.rest).storage


__all__ = ["DEVICE", "Arena", "Recorded", "Recorder", "Recording"]
