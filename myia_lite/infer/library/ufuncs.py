"""NumPy's elementwise functions: promotion, broadcasting, and what each computes.

`apply(ctx, function, operands)` is the one way in.  A `Function` says in which dtype it computes and emits its
primitives on aligned nodes of that dtype; Python numbers among the operands are weak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ir import FLOATS, INTS, Constant, is_float
from ...ops import elementwise as E
from ..values import Leaf
from .dtypes import cast, leaf_of, operand, promoted
from .numbers import raw_power
from .registry import absent, describe, elaborates, fixed, require
from .sizes import aligned, fact


@dataclass(frozen=True, eq=False)
class Function:
    """`compute(ctx, *nodes) -> node`; `kinds`: the dtypes it takes as they are; others become f64, or are refused."""

    name: str
    compute: Any
    kinds: tuple[str, ...] = FLOATS
    strict: bool = False  # dtypes outside `kinds` are refused
    instead: str = "convert the operand with astype"


ANY = ("bool", *INTS, *FLOATS)
NUMBERS = (*INTS, *FLOATS)
BITS = ("bool", *INTS)


def apply(ctx, function, values) -> Leaf:
    """The NumPy result of an elementwise function: an array, or a NumPy scalar."""
    leaves = [leaf_of(ctx, v, f"an operand of {function.name}") for v in values]
    dtype = promoted(ctx, leaves)
    if function.strict and dtype not in function.kinds:
        names = " and ".join(describe(v) for v in values)
        ctx.error(f"ufunc '{function.name}' is not supported for {names}", function.instead)
    if dtype not in function.kinds:
        dtype = "f64"
    nodes = aligned(ctx, [operand(ctx, leaf, dtype) for leaf in leaves])
    return ctx.leaf(function.compute(ctx, *nodes))


def _prim(prim):
    return lambda ctx, *nodes: ctx.emit(prim, *nodes)


def _by_dtype(bools=None, ints=None, floats=None):
    def compute(ctx, *nodes):
        dtype = nodes[0].type.dtype
        rule = bools if dtype == "bool" else ints if dtype in INTS else floats
        return rule(ctx, *nodes)

    return compute


def _unchanged(ctx, x):
    return x


def _copy(ctx, x):
    return ctx.fresh(x).node


FUNCTIONS: dict[object, Function] = {}


def _declare(ufunc, compute, kinds=FLOATS, **options):
    """Register the elementwise function of a NumPy ufunc of one or two operands."""
    name = ufunc.__name__
    function = FUNCTIONS[ufunc] = Function(name, compute, kinds, **options)
    if getattr(ufunc, "nin", 2) == 1:
        elaborates(ufunc)(lambda ctx, x, /: apply(ctx, function, [x]))
    else:
        elaborates(ufunc)(lambda ctx, x1, x2, /: apply(ctx, function, [x1, x2]))
    return function


# ---- functions of one float ------------------------------------------------------------------------------------------
for _ufunc, _p in {
    np.sqrt: E.sqrt, np.cbrt: E.cbrt, np.exp: E.exp, np.exp2: E.exp2, np.expm1: E.expm1, np.log: E.log,
    np.log2: E.log2, np.log10: E.log10, np.log1p: E.log1p, np.sin: E.sin, np.cos: E.cos, np.tan: E.tan,
    np.arcsin: E.asin, np.arccos: E.acos, np.arctan: E.atan, np.sinh: E.sinh, np.cosh: E.cosh, np.tanh: E.tanh,
    np.arcsinh: E.asinh, np.arccosh: E.acosh, np.arctanh: E.atanh, np.rint: E.rint, np.fabs: E.abs,
    np.signbit: E.signbit,
}.items():  # fmt: skip
    _declare(_ufunc, _prim(_p))


def _scaled(factor):
    return lambda ctx, x: ctx.emit(E.mul, x, factor)


for _ufunc, _factor in {
    np.deg2rad: math.pi / 180,
    np.radians: math.pi / 180,
    np.rad2deg: 180 / math.pi,
    np.degrees: 180 / math.pi,
}.items():
    _declare(_ufunc, _scaled(_factor))

# ---- functions of one number that keep ints --------------------------------------------------------------------------
NEGATIVE_BOOL = "use the `~` operator or np.logical_not"
_declare(np.negative, _prim(E.neg), NUMBERS, strict=True, instead=NEGATIVE_BOOL)
_declare(np.positive, _copy, NUMBERS, strict=True)
_declare(np.absolute, _by_dtype(_copy, _prim(E.abs), _prim(E.abs)), ANY)
_declare(np.sign, _prim(E.sign), NUMBERS, strict=True)
_declare(np.square, lambda ctx, x: ctx.emit(E.mul, x, x), NUMBERS, strict=True)
_declare(np.reciprocal, lambda ctx, x: ctx.emit(E.div, 1.0, x), FLOATS, strict=True, instead="write 1 / x, or 1 // x")
for _ufunc, _p in {np.floor: E.floor, np.ceil: E.ceil, np.trunc: E.trunc}.items():
    _declare(_ufunc, _by_dtype(_copy, _copy, _prim(_p)), ANY)


def _never(ctx, x):
    return ctx.emit(E.ne, x, x)


def _always(ctx, x):
    return ctx.emit(E.eq, x, x)


_declare(np.isnan, _by_dtype(_never, _never, _prim(E.isnan)), ANY)
_declare(np.isinf, _by_dtype(_never, _never, _prim(E.isinf)), ANY)
_declare(np.isfinite, _by_dtype(_always, _always, _prim(E.isfinite)), ANY)

# ---- arithmetic ------------------------------------------------------------------------------------------------------
_or, _and, _xor = _prim(E.bit_or), _prim(E.bit_and), _prim(E.bit_xor)


def _fmod_int(ctx, a, b):
    """C's remainder, with the sign of a."""
    r = ctx.emit(E.mod, ctx.emit(E.abs, a), ctx.emit(E.abs, b))
    return ctx.emit(E.select, ctx.emit(E.lt, a, 0), ctx.emit(E.neg, r), r)


def whole(ctx, node):
    """Does a bool node hold for each element?"""
    from .reductions import every

    return every(ctx, node)


def _int_power(ctx, a, b):
    message = "Integers to negative integer powers are not allowed."
    require(ctx, "ValueError", message, fact(whole(ctx, ctx.emit(E.ge, b, 0))))
    return ctx.emit(E.ipow, a, b)


def _ones(ctx, x):
    from .sizes import fill, shape

    return fill(ctx, cast(ctx, ctx.const(1.0).node, x.type.dtype), shape(ctx, x))


def _float_power(ctx, a, b):
    if isinstance(b, Constant) and not isinstance(a, Constant):
        if b.value == 0:
            return _ones(ctx, a)
        if b.value == 0.5:
            return ctx.emit(E.sqrt, a)
        if b.value == 1:
            return _copy(ctx, a)
    return raw_power(ctx, a, b)


def _power(ctx, a, b):
    return (_int_power if a.type.dtype in INTS else _float_power)(ctx, a, b)


SUBTRACT_BOOL = "use the `^` operator, np.bitwise_xor or np.logical_xor"
_declare(np.add, _by_dtype(_or, _prim(E.add), _prim(E.add)), ANY)
_declare(np.subtract, _prim(E.sub), NUMBERS, strict=True, instead=SUBTRACT_BOOL)
_declare(np.multiply, _by_dtype(_and, _prim(E.mul), _prim(E.mul)), ANY)
_declare(np.divide, _prim(E.div))
_declare(np.floor_divide, _prim(E.floordiv), NUMBERS, strict=True)
_declare(np.remainder, _prim(E.mod), NUMBERS, strict=True)
_declare(np.fmod, _by_dtype(None, _fmod_int, _prim(E.fmod)), NUMBERS, strict=True)
POWER = _declare(np.power, _power, NUMBERS, strict=True)
_declare(np.float_power, _float_power, ("f64",))
_declare(np.arctan2, _prim(E.atan2))
_declare(np.hypot, _prim(E.hypot))
_declare(np.copysign, _prim(E.copysign))
_declare(np.maximum, _by_dtype(_or, _prim(E.maximum), _prim(E.maximum)), ANY)
_declare(np.minimum, _by_dtype(_and, _prim(E.minimum), _prim(E.minimum)), ANY)
_declare(np.fmax, _by_dtype(_or, _prim(E.maximum), _prim(E.fmax)), ANY)
_declare(np.fmin, _by_dtype(_and, _prim(E.minimum), _prim(E.fmin)), ANY)


def _heaviside(ctx, x, h):
    one, zero = (cast(ctx, ctx.const(v).node, x.type.dtype) for v in (1.0, 0.0))
    positive = ctx.emit(E.select, ctx.emit(E.gt, x, 0.0), one, zero)
    at_zero = ctx.emit(E.select, ctx.emit(E.eq, x, 0.0), h, positive)
    return ctx.emit(E.select, ctx.emit(E.isnan, x), x, at_zero)


def log_sum(ctx, a, b, exp=E.exp, log1p=lambda ctx, x: ctx.emit(E.log1p, x)):
    """log(exp(a) + exp(b)), stably: the larger, and log1p of the ratio, which is at most 1."""
    # by select and not by max and abs, which have no second derivative at a tie
    first = ctx.emit(E.ge, a, b)
    apart = ctx.emit(E.select, first, ctx.emit(E.sub, b, a), ctx.emit(E.sub, a, b))
    alike = ctx.emit(E.bit_and, ctx.emit(E.eq, a, b), ctx.emit(E.isinf, a))
    ratio = ctx.emit(exp, ctx.emit(E.select, alike, cast(ctx, ctx.const(0.0).node, a.type.dtype), apart))
    larger = ctx.emit(E.select, first, a, b)
    return ctx.emit(E.add, larger, log1p(ctx, ratio))


_declare(np.heaviside, _heaviside)
_declare(np.logaddexp, log_sum)
_declare(
    np.logaddexp2,
    lambda ctx, a, b: log_sum(ctx, a, b, E.exp2, lambda ctx, x: ctx.emit(E.mul, ctx.emit(E.log1p, x), 1 / math.log(2))),
)

# ---- comparison and logic --------------------------------------------------------------------------------------------
for _ufunc, _p in {
    np.equal: E.eq,
    np.not_equal: E.ne,
    np.less: E.lt,
    np.less_equal: E.le,
    np.greater: E.gt,
    np.greater_equal: E.ge,
}.items():
    _declare(_ufunc, _prim(_p), ANY)


def compare(ctx, ufunc, a, b) -> Leaf:
    """As NumPy, which compares an int32 with a Python int out of its range without an error."""
    a, b = leaf_of(ctx, a), leaf_of(ctx, b)
    for x, y in ((a, b), (b, a)):
        fits = x.known and -(2**31) <= x.node.value < 2**31
        if x.py and x.type.dtype == "i64" and y.type.dtype == "i32" and not fits:
            a, b = (ctx.leaf(cast(ctx, leaf.node, "i64")) for leaf in (a, b))
    return apply(ctx, FUNCTIONS[ufunc], [a, b])


def boolean(ctx, node):
    """node != 0."""
    return node if node.type.dtype == "bool" else ctx.emit(E.ne, node, 0)


def _logical(prim):
    return lambda ctx, *nodes: ctx.emit(prim, *(boolean(ctx, n) for n in nodes))


_declare(np.logical_and, _logical(E.bit_and), ANY)
_declare(np.logical_or, _logical(E.bit_or), ANY)
_declare(np.logical_xor, _logical(E.bit_xor), ANY)
_declare(np.logical_not, _logical(E.logical_not), ANY)
_declare(np.bitwise_and, _and, BITS, strict=True)
_declare(np.bitwise_or, _or, BITS, strict=True)
_declare(np.bitwise_xor, _xor, BITS, strict=True)
_declare(np.invert, _by_dtype(_prim(E.logical_not), _prim(E.bit_not)), BITS, strict=True)
_declare(np.left_shift, _prim(E.shift_left), INTS, strict=True)
_declare(np.right_shift, _prim(E.shift_right), INTS, strict=True)

# ---- operators -------------------------------------------------------------------------------------------------------
OPERATORS = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide, "%": np.remainder,
    "**": np.power, "&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor,
    "<<": np.left_shift, ">>": np.right_shift,
}  # fmt: skip
COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
SIGNS = {"-": np.negative, "+": np.positive, "~": np.invert}

# ---- made of others --------------------------------------------------------------------------------------------------


@elaborates(np.clip, method="clip")
def clip(ctx, a, a_min=None, a_max=None, *, min=None, max=None):
    low, high = (min if absent(a_min) else a_min), (max if absent(a_max) else a_max)
    out = leaf_of(ctx, a)
    if not absent(low):
        out = apply(ctx, FUNCTIONS[np.maximum], [out, low])
    if not absent(high):
        out = apply(ctx, FUNCTIONS[np.minimum], [out, high])
    return ctx.fresh(out.node) if out is a else out


@elaborates(np.where)
def where(ctx, condition, x=None, y=None, /):
    if x is None and y is None:
        from .selecting import nonzero

        return nonzero(ctx, condition)
    if x is None or y is None:
        ctx.error("either both or neither of x and y should be given", "use np.where(condition, x, y)")
    c, x, y = (leaf_of(ctx, v) for v in (condition, x, y))
    dtype = promoted(ctx, [x, y])
    nodes = [boolean(ctx, c.node), operand(ctx, x, dtype), operand(ctx, y, dtype)]
    return ctx.leaf(ctx.emit(E.select, *aligned(ctx, nodes)))


@elaborates(np.nan_to_num)
def nan_to_num(ctx, x, copy=True, nan=0.0, posinf=None, neginf=None):
    x = leaf_of(ctx, x)
    if not is_float(x.type):
        return ctx.fresh(x.node)
    limits = np.finfo(np.float32 if x.type.dtype == "f32" else np.float64)
    replaced = [
        (ctx.emit(E.isnan, x.node), fixed(ctx, nan, "nan")),
        (ctx.emit(E.eq, x.node, math.inf), float(limits.max) if absent(posinf) else fixed(ctx, posinf, "posinf")),
        (ctx.emit(E.eq, x.node, -math.inf), float(limits.min) if absent(neginf) else fixed(ctx, neginf, "neginf")),
    ]
    out = x.node
    for test, value in replaced:
        out = ctx.emit(E.select, test, cast(ctx, ctx.const(float(value)).node, x.type.dtype), out)
    return ctx.leaf(out)


@elaborates(np.round, np.around, method="round")
def round_(ctx, a, decimals=0):
    """To the nearest, ties to even, computed as NumPy does: scaled, rounded, scaled back."""
    x = leaf_of(ctx, a)
    digits = fixed(ctx, decimals, "decimals")
    if not is_float(x.type):
        if digits < 0 or x.type.dtype == "bool":
            ctx.error(f"np.round of {describe(x)} to {digits} decimals", "convert it with astype(float)")
        return ctx.fresh(x.node)
    if digits == 0:
        return ctx.leaf(ctx.emit(E.rint, x.node))
    unit, (there, back) = 10.0 ** abs(digits), (E.mul, E.div) if digits > 0 else (E.div, E.mul)
    return ctx.leaf(ctx.emit(back, ctx.emit(E.rint, ctx.emit(there, x.node, unit)), unit))


@elaborates(np.isclose)
def isclose(ctx, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    def numpy(ufunc, *values):
        return apply(ctx, FUNCTIONS[ufunc], values)

    a, b = leaf_of(ctx, a), leaf_of(ctx, b)
    tolerance = numpy(np.add, atol, numpy(np.multiply, rtol, numpy(np.absolute, b)))
    near = numpy(np.less_equal, numpy(np.absolute, numpy(np.subtract, numpy(np.multiply, a, 1.0), b)), tolerance)
    out = numpy(np.logical_or, numpy(np.logical_and, near, numpy(np.isfinite, b)), compare(ctx, np.equal, a, b))
    if fixed(ctx, equal_nan, "equal_nan"):
        out = numpy(np.logical_or, out, numpy(np.logical_and, numpy(np.isnan, a), numpy(np.isnan, b)))
    return out


@elaborates(np.allclose)
def allclose(ctx, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    near = isclose(ctx, a, b, rtol, atol, equal_nan)
    return ctx.leaf(whole(ctx, near.node), py=True)


@elaborates(np.sinc)
def sinc(ctx, x):
    """sin(pi x) / (pi x), and 1 at 0, where the argument of the division is replaced."""
    node = leaf_of(ctx, x).node
    node = node if is_float(node.type) else cast(ctx, node, "f64")
    small = cast(ctx, ctx.const(1.0e-20).node, node.type.dtype)
    angle = ctx.emit(E.mul, ctx.emit(E.select, ctx.emit(E.eq, node, 0.0), small, node), math.pi)
    return ctx.leaf(ctx.emit(E.div, ctx.emit(E.sin, angle), angle))
