"""What the functions of a program share: constants, errors, names, and the words that a call hands on."""

from __future__ import annotations

from tvm import tirx
from tvm.tirx import op
from tvm.tirx import stmt as S

from ...ir import Constant
from .code import Code, const
from .heap import CAPTURING, from_bits

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
