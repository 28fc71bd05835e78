"""Loop nests of large programs, each in a function of its own: the time to vectorise a loop grows with the function
that it stands in.

Programs that repeat themselves, as long derivatives do, have few different nests.  What a nest computes is written down
as its *form*, in which the values that it works on are numbers; a nest of a known form is a call, and is not emitted.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

import llvmlite.ir as ll
from llvmlite.ir.instructions import Instruction

from .expressions import Count, Expr, Gather, Kernel, Load, Operation, Product, Splat
from .regions import apart
from .sizes import Stride


class Form:
    """The form of a nest: hashable, and the same where the code is the same but for the values that it works on."""

    def __init__(self, kernel: Kernel):
        self.values = {kernel.ctx.context: 0}  # by number
        self.met: dict[Expr, int] = {}

    def value(self, v):
        if not isinstance(v, (Instruction, ll.Argument)):
            return v if v is None or isinstance(v, int) else (str(v.type), v.get_reference())
        return "value", str(v.type), self.values.setdefault(v, len(self.values))

    def strides(self, strides: dict[int, Stride]):
        return tuple(
            (axis, s.coefficient, tuple(sorted(map(self.value, s.unknown)))) for axis, s in sorted(strides.items())
        )

    def expression(self, e: Expr):
        if e in self.met:
            return self.met[e]
        self.met[e] = len(self.met)
        match e:
            case Splat():
                return "splat", self.value(e.value)
            case Load():
                return "load", self.value(e.data), self.value(e.offset), self.strides(e.strides), e.type.dtype
            case Count():
                return "count", self.value(e.offset), self.strides(e.strides)
            case Gather():
                leading = self.strides(dict(enumerate(e.leading)))
                at = self.value(e.data), self.value(e.offset), self.strides(e.strides), leading
                return "gather", *at, e.type.dtype, *map(self.expression, e.indexes)
            case Operation():
                n = e.node
                dtypes = *(a.type.dtype for a in n.args), n.type.dtype
                return n.op.name, repr(n.attrs), dtypes, *map(self.expression, e.operands)
            case Product():
                return "product", e.dtype, *((self.expression(x), self.expression(y)) for x, y in e.pairs)
        raise TypeError(f"an expression of kind {type(e).__name__}")

    def target(self, t):
        return self.value(t.array.data), self.value(t.offset), self.strides(t.strides), t.array.type.dtype


def once(kernel: Kernel, what: tuple, target, expression: Expr, emit) -> None:
    """`emit()`, which computes `expression` into `target` as `what` says; of large programs a call of the function that
    does so."""
    module = kernel.ctx.module
    if not module.large:
        emit()
        return
    form = Form(kernel)
    sizes = tuple(map(form.value, kernel.sizes))
    key = what, sizes, form.value(kernel.written), form.target(target), form.expression(expression)
    known = module.nests.get(key)
    if known is None:
        with apart(kernel) as piece:
            kernel.apart = True
            emit()
            kernel.apart = False
        known = module.nests[key] = piece.function, [form.values[v] for v in piece.used]
    function, numbers = known
    values = list(form.values)
    kernel.b.call(function, [values[k] for k in numbers])


@contextmanager
def outlined(kernel: Kernel):
    """Around any nest of a large program: one that reads like one before it, but for what it works on, is a call of
    that."""
    with apart(kernel) as piece:
        yield
    module = kernel.b.module
    text = _canonical(piece.function)
    known = kernel.ctx.module.helper(("nest", text), lambda: piece.function)
    if known is not piece.function:
        module.globals.pop(piece.function.name)
    kernel.b.call(known, piece.used)


def _canonical(piece: ll.Function) -> str:
    """The text of a function, but for its name and the numbers of its metadata."""
    numbers: dict[str, str] = {}
    text = str(piece).replace(piece.name, "")
    return re.sub(r"!\d+", lambda m: numbers.setdefault(m[0], f"!{len(numbers)}"), text)
