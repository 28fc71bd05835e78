"""Calls of functions from outside the program: arguments are converted to what they declare."""

from __future__ import annotations

from ..ir import Array, Constant, MyiaValueError, Node, shape_of
from ..ops import arrays, control, elementwise
from ..ops.foreign import Declared, External, foreign, remedy_of
from .at_point import AtPoints
from .values import Leaf, Sequence, Value


class Foreigns(AtPoints):
    """Functions made by `foreign`, but for their rules."""

    def external(self, f: External, args) -> Value:
        """A call of `f`, whose arguments are `accepted`."""
        node = self.emit(foreign, *args, function=f)
        outs = [node] if f.single else [self.emit(control.get, node, index=k) for k in range(len(f.results))]
        values = [Leaf(n, d.py) for n, d in zip(outs, f.results, strict=True)]
        return values[0] if f.single else Sequence(tuple(values))

    def accepted(self, f: External, args) -> list[Leaf]:
        """The arguments as leaves of the declared types, with sizes that fit."""
        if len(args) != len(f.args):
            self.error(f"{f.__name__}() takes {len(f.args)} arguments, not {len(args)}", "pass what it declares")
        args = [self._accepted(f, k, v, d) for k, (v, d) in enumerate(zip(args, f.args, strict=True))]
        sizes: dict[str, Node] = {}
        for k, (a, d) in enumerate(zip(args, f.args, strict=True)):
            for axis, want in enumerate(d.dims):
                if want is None:
                    continue
                n = self.emit(arrays.dim, a.node, axis=axis)
                expected = sizes.setdefault(want, n) if isinstance(want, str) else self.const(want).node
                if expected is not n:
                    self._same_size(f, k, axis, d, n, expected)
        return args

    def _same_size(self, f, k, axis, d, n, expected) -> None:
        what = f"argument {k} of {f.__name__} is declared as {d}, and its axis {axis} has the size "
        ok = self.emit(elementwise.eq, n, expected)
        if isinstance(ok, Constant):
            if not ok.value:
                remedy = "declare a size that may be anything as ?"
                self.error(f"{what}{n.value}, not {expected.value}", remedy, MyiaValueError)
            return
        self.guard("ValueError", what + "{0}, not {1}", ok, n, expected)

    def _accepted(self, f: External, k: int, v: Value, d: Declared) -> Leaf:
        rank = len(shape_of(v.type)) if isinstance(v, Leaf) else None
        if d.dims:
            if rank == len(d.dims) and v.type.dtype == d.dtype:
                return Leaf(v.node)
        elif rank == 0 and d.takes(v.type.dtype, v.py):
            return Leaf(self._cast(f, k, v, d), d.py)
        have = v.type if isinstance(v, Leaf) and isinstance(v.type, Array) else self.template(v)
        self.error(f"argument {k} of {f.__name__} is {have} where {d} is declared", remedy_of(d))

    def _cast(self, f, k, v: Leaf, d: Declared) -> Node:
        if v.type.dtype == d.dtype:
            return v.node
        if d.dtype == "i32":
            below, above = self.const(-(2**31)), self.const(2**31 - 1)
            ok = self.emit(
                elementwise.bit_and, self.emit(elementwise.ge, v.node, below), self.emit(elementwise.le, v.node, above)
            )
            self.guard("OverflowError", f"argument {k} of {f.__name__} does not fit in 32 bits: {{0}}", ok, v.node)
        return self.emit(elementwise.cast, v.node, dtype=d.dtype)
