"""What NumPy's functions, builtins and `cmath` mean for complex numbers and arrays."""

from __future__ import annotations

import cmath
import math

import numpy as np

from ...ir import Array, MyiaValueError
from ...ops import elementwise as E
from ..values import Bound, Complex, Leaf, Sequence, Static
from . import complex_formulas as F
from . import creation, indexing, joining, numbers, products, reductions, sequences, shapes, ufuncs  # noqa: F401
from .complex_formulas import mathematics
from .complexes import (
    PARTS,
    WHOLE,
    absolute,
    array_like,
    binary,
    compare,
    complex_of,
    componentwise,
    constant,
    elementwise,
    equal,
    from_real,
    isfinite,
    isinf,
    isnan,
    joined,
    means,
    multilinear,
    nonzero,
    operands,
    part,
    part_dtype,
    power,
    predicate,
    transparent,
    unequal,
)
from .dtypes import cast, convert, leaf_of
from .registry import COMPLEX, METHODS, TABLE, absent, describe, elaborates, fixed, require
from .sizes import fact, negated, node_of, shape, total

# ---- elementwise -----------------------------------------------------------------------------------------------------
for _ufunc, _f in {
    np.add: F.add, np.subtract: F.sub, np.multiply: F.mul, np.divide: F.div, np.square: F.square, np.sign: F.sign,
    np.reciprocal: F.reciprocal, np.negative: F.neg, np.sqrt: F.sqrt, np.exp: F.exp, np.exp2: F.exp2,
    np.expm1: F.expm1, np.log: F.log, np.log2: F.log2, np.log10: F.log10, np.log1p: F.log1p, np.sin: F.sin,
    np.cos: F.cos, np.tan: F.tan, np.arcsin: F.asin, np.arccos: F.acos, np.arctan: F.atan, np.sinh: F.sinh,
    np.cosh: F.cosh, np.tanh: F.tanh, np.arcsinh: F.asinh, np.arccosh: F.acosh, np.arctanh: F.atanh,
}.items():  # fmt: skip
    COMPLEX[_ufunc] = elementwise(_f)
for _ufunc, _f in {
    np.equal: equal, np.not_equal: unequal, np.isnan: isnan, np.isinf: isinf, np.isfinite: isfinite,
    np.logical_not: lambda x, y: E.logical_not(nonzero(x, y)),
    np.logical_and: lambda x, y, c, d: E.bit_and(nonzero(x, y), nonzero(c, d)),
    np.logical_or: lambda x, y, c, d: E.bit_or(nonzero(x, y), nonzero(c, d)),
}.items():  # fmt: skip
    COMPLEX[_ufunc] = predicate(_f)
COMPLEX[np.positive] = lambda ctx, z: Complex(ctx.fresh(z.re), ctx.fresh(z.im))
COMPLEX[np.power] = power
COMPLEX[np.float_power] = power
COMPLEX[np.absolute] = absolute
COMPLEX[abs] = absolute


# ---- parts -----------------------------------------------------------------------------------------------------------
@elaborates(np.real)
def real(ctx, val, /):
    v = leaf_of(ctx, val)
    return ctx.leaf(v.node)


@elaborates(np.imag)
def imag(ctx, val, /):
    return TABLE[np.zeros_like](ctx, leaf_of(ctx, val))


@elaborates(np.conjugate)
def conjugate(ctx, x, /):
    return TABLE[np.positive](ctx, x)


@elaborates(np.angle)
def angle(ctx, z, deg=False):
    """0 or pi of reals, by their sign."""
    x = leaf_of(ctx, z)
    node = cast(ctx, x.node, x.type.dtype if x.type.dtype[0] == "f" else "f64")
    out = ctx.emit(E.atan2, 0.0, node)
    return _degrees(ctx, out, deg)


def _degrees(ctx, node, deg):
    return ctx.leaf(ctx.emit(E.mul, node, 180 / math.pi) if fixed(ctx, deg, "deg") else node)


@means(np.angle)
def _angle(ctx, z, deg=False):
    nodes, _ = operands(ctx, [z])
    return _degrees(ctx, ctx.emit(E.atan2, nodes[1], nodes[0]), deg)


COMPLEX[np.real] = lambda ctx, z: _numpy(ctx, array_like(ctx, z).re)
COMPLEX[np.imag] = lambda ctx, z: _numpy(ctx, array_like(ctx, z).im)
COMPLEX[np.conjugate] = elementwise(F.conj)


def _numpy(ctx, x: Leaf) -> Leaf:
    """A part: of an array the part itself, which is a view in NumPy; of a Python number a NumPy scalar."""
    return ctx.leaf(x.node) if x.py else x


@elaborates(np.iscomplexobj)
def iscomplexobj(ctx, x):
    return ctx.const(False)


@elaborates(np.isrealobj)
def isrealobj(ctx, x):
    return ctx.const(True)


COMPLEX[np.iscomplexobj] = lambda ctx, x: ctx.const(True)
COMPLEX[np.isrealobj] = lambda ctx, x: ctx.const(False)


# ---- shapes, copies, linear functions: on each part apart ------------------------------------------------------------
componentwise(
    np.reshape, np.ndarray.reshape, np.ravel, np.ndarray.flatten, np.transpose, np.ndarray.transpose, np.swapaxes,
    np.moveaxis, np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.roll, np.repeat, np.diff, np.diagonal,
    np.copy, np.ndarray.astype, np.take, np.ndarray.take, np.sum, np.mean, np.cumsum, np.trace, np.asarray,
    np.ascontiguousarray, np.average,
)  # fmt: skip
componentwise(np.matrix_transpose, data=("x",))
componentwise(np.broadcast_to, np.pad, data=("array",))
componentwise(np.concatenate, np.concat, np.stack, data=("arrays",))
componentwise(np.vstack, np.hstack, np.dstack, np.column_stack, data=("tup",))
componentwise(np.split, data=("ary",))
componentwise(np.flip, np.fliplr, np.flipud, np.tril, np.triu, data=("m",))
componentwise(np.tile, data=("A",))
componentwise(np.diag, data=("v",))
componentwise(np.take_along_axis, data=("arr",))
componentwise(np.where, data=("x", "y"))
componentwise(np.array, data=("object",))
componentwise(np.full, data=("fill_value",))
componentwise(np.full_like, data=("fill_value",), like=("a",))
componentwise(np.zeros_like, np.empty_like, np.ones_like, data=(), like=("a",))
componentwise(np.zeros, np.ones, np.empty, np.eye, np.identity, data=())
componentwise(np.arange, np.linspace, data=("start", "stop"))
transparent(
    len, enumerate, zip, reversed, map, tuple, list, dict.items, dict.keys, dict.values, dict.get, isinstance, type,
    callable, getattr, hasattr, any, all, pow, tuple.count, tuple.index, list.count, list.index,
)  # fmt: skip

# ---- products --------------------------------------------------------------------------------------------------------
multilinear(np.matmul, factors=("x1", "x2"))
multilinear(np.dot, np.outer, np.inner, np.tensordot, np.kron, np.cross, factors=("a", "b"))
multilinear(np.vdot, factors=("a", "b"), conjugate=("a",))
multilinear(np.einsum, factors=("operands_",))


@means(np.prod)
def prod(ctx, a, axis=None, dtype=None, *, keepdims=False):
    """By halves: the number of factors is known at compile time."""
    if not absent(dtype):
        ctx.error("np.prod of complex numbers with a dtype", "convert the array first: z.astype(…)")
    z = array_like(ctx, a)
    rank = len(shape(ctx, z.re))
    axes = sorted(reductions.axes_of(ctx, axis, rank))
    order = (*(k for k in range(rank) if k not in axes), *axes)
    sizes = shape(ctx, z.re)
    count = total(ctx, [sizes[k] for k in axes])
    if not isinstance(count, int):
        ctx.error("np.prod of complex numbers whose number is known at run time only", "multiply them in a loop")
    kept = [sizes[k] for k in order[: rank - len(axes)]]
    moved = ctx.call(Static(np.transpose), [z, Sequence(tuple(ctx.const(k) for k in order))]) if rank > 1 else z
    moved = _reshaped(ctx, moved, (*kept, count))
    out = _product_of(ctx, moved, count)
    return _reshaped(
        ctx,
        out,
        tuple(1 if k in axes else d for k, d in enumerate(sizes)) if fixed(ctx, keepdims, "keepdims") else kept,
    )


def _reshaped(ctx, z, sizes):
    dims = Sequence(tuple(ctx.leaf(node_of(ctx, s), py=True) for s in sizes))
    return ctx.call(Static(np.reshape), [z, dims])


def _product_of(ctx, z, count):
    """The products along the last axis, of size `count`, which stays with size 1."""

    def cut(start, stop):
        from ..values import Slice

        return ctx.getitem(z, Sequence((Static(Ellipsis), Slice(ctx.const(start), ctx.const(stop), Static(None)))))

    if count == 0:
        return ctx.call(Static(np.ones_like), [ctx.call(Static(np.sum), [z, ctx.const(-1)])])
    while count > 1:
        half = count // 2
        product = binary(ctx, "*", cut(0, half), cut(half, 2 * half))
        if count % 2:
            product = ctx.call(Static(np.concatenate), [Sequence((product, cut(count - 1, count))), ctx.const(-1)])
        z, count = product, half + count % 2
    return z


# ---- reductions of another kind --------------------------------------------------------------------------------------
@means(np.var)
def var(ctx, a, *args, **keywords):
    """The mean of |z - mean| ** 2, which is that of each part."""
    z = array_like(ctx, a)
    halves = [TABLE[np.var](ctx, x, *args, **keywords) for x in (z.re, z.im)]
    return ufuncs.apply(ctx, ufuncs.FUNCTIONS[np.add], halves)


@means(np.std)
def std(ctx, a, *args, **keywords):
    return ufuncs.apply(ctx, ufuncs.FUNCTIONS[np.sqrt], [var(ctx, a, *args, **keywords)])


@means(np.linalg.norm)
def norm(ctx, x, *args, **keywords):
    return TABLE[np.linalg.norm](ctx, absolute(ctx, array_like(ctx, x)), *args, **keywords)


def _of_truth(o):
    COMPLEX[o] = lambda ctx, a, *args, **keywords: TABLE[o](ctx, predicate(nonzero)(ctx, a), *args, **keywords)


for _o in (np.any, np.all, np.count_nonzero):
    _of_truth(_o)


@means(np.array_equal)
def array_equal(ctx, a1, a2):
    a, b = array_like(ctx, a1), array_like(ctx, a2)
    halves = [TABLE[np.array_equal](ctx, part(ctx, a, i), part(ctx, b, i)) for i in (False, True)]
    return ctx.leaf(ctx.emit(E.bit_and, *(h.node for h in halves)), py=True)


@means(np.isclose)
def isclose(ctx, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    if fixed(ctx, equal_nan, "equal_nan"):
        ctx.error("np.isclose of complex numbers with equal_nan", "compare the parts")

    def numpy(ufunc, *values):
        return ctx.call(Static(ufunc), [v if isinstance(v, (Leaf, Complex)) else ctx.const(v) for v in values])

    a, b = array_like(ctx, a), array_like(ctx, b)
    tolerance = numpy(np.add, atol, numpy(np.multiply, rtol, numpy(np.absolute, b)))
    near = numpy(np.less_equal, numpy(np.absolute, numpy(np.subtract, a, b)), tolerance)
    return numpy(np.logical_or, numpy(np.logical_and, near, numpy(np.isfinite, b)), numpy(np.equal, a, b))


@means(np.allclose)
def allclose(ctx, a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    return ctx.leaf(ufuncs.whole(ctx, isclose(ctx, a, b, rtol, atol, equal_nan).node), py=True)


@means(sum)
def sum_(ctx, iterable, /, start=0):
    start = ctx.const(start) if isinstance(start, int) else start
    if isinstance(iterable, Complex) and iterable.rank:
        return binary(ctx, "+", start, ctx.call(Static(np.sum), [iterable, ctx.const(0)]))
    return TABLE[sum].__wrapped__(ctx, iterable, start)


# ---- numbers ---------------------------------------------------------------------------------------------------------
@elaborates(complex)
def complex_(ctx, real=0, imag=0):
    """complex(a, b) is a + b * i, whatever a and b are."""
    if isinstance(real, Static) and isinstance(real.value, str):
        try:
            return constant(ctx, complex(real.value))
        except ValueError as error:
            ctx.error(str(error), "write a number", cls=MyiaValueError)
    a, b = (_number(ctx, v) for v in (real, imag))
    nodes = [cast(ctx, x.node, "f64") for z in (a, b) for x in (z.re, z.im)]
    re = nodes[0] if b.im.known and b.im.node.value == 0 else ctx.emit(E.sub, nodes[0], nodes[3])
    im = nodes[2] if a.im.known and a.im.node.value == 0 else ctx.emit(E.add, nodes[1], nodes[2])
    return complex_of(ctx, re, im, py=True)


COMPLEX[complex] = complex_


def _number(ctx, v) -> Complex:
    if isinstance(v, int):
        v = ctx.const(v)
    if isinstance(v, Leaf) and not isinstance(v.type, Array):
        return from_real(ctx, v)
    if not isinstance(v, Complex) or v.rank:
        ctx.error(f"complex() of a {describe(v)}", "pass a number, or take an element")
    return v


def _scalar_class(cls):
    dtype = PARTS[np.dtype(cls)]

    def elaborate(ctx, x=None, /):
        if x is None:
            return constant(ctx, cls(0))
        z = array_like(ctx, x)
        z = z if isinstance(z, Complex) else from_real(ctx, z)
        return Complex(*(ctx.leaf(cast(ctx, h.node, dtype)) for h in (z.re, z.im)))

    elaborates(cls)(elaborate)
    COMPLEX[cls] = elaborate


_scalar_class(np.complex128)
_scalar_class(np.complex64)


@means(bool)
def bool_(ctx, x=None, /):
    from .complexes import truth

    return ctx.leaf(truth(ctx, x), py=True)


COMPLEX[np.dtype] = lambda ctx, dtype: Static(WHOLE[part_dtype(ctx, dtype)])


for _o in (np.shape, np.ndim, np.size):
    COMPLEX[_o] = lambda ctx, a, *args, o=_o, **keywords: TABLE[o](ctx, part(ctx, a, False), *args, **keywords)


@means(np.ndarray.item)
def item(ctx, a, *index):
    return joined(ctx, *(convert(ctx, TABLE[np.ndarray.item](ctx, x, *index), "f64", True) for x in (a.re, a.im)))


@means(np.ndarray.tolist)
def tolist(ctx, a):
    return joined(ctx, *(TABLE[np.ndarray.tolist](ctx, x) for x in (a.re, a.im)))


# ---- attributes ------------------------------------------------------------------------------------------------------
def attribute(ctx, z: Complex, name):
    """`z.name`; None where there is no such attribute."""
    if name == "real":
        return z.re
    if name == "imag":
        return z.im
    if z.py:
        return Bound(Static(np.conjugate), (z,)) if name == "conjugate" else None
    if name in ("conj", "conjugate"):
        return Bound(Static(np.conjugate), (z,))
    if name == "dtype":
        return Static(WHOLE[z.re.type.dtype])
    if name == "itemsize":
        return ctx.const(WHOLE[z.re.type.dtype].itemsize)
    if name == "nbytes":
        from .operators import binary

        return binary(ctx, "*", ctx.getattr(z.re, "nbytes"), ctx.const(2))
    if name in ("shape", "ndim", "size"):
        return ctx.getattr(z.re, name)
    if name in ("T", "mT"):
        return joined(ctx, ctx.getattr(z.re, name), ctx.getattr(z.im, name))
    if name in METHODS and hasattr(np.ndarray if z.rank else np.complex128, name):
        return Bound(Static(METHODS[name]), (z,))
    return None


# ---- cmath -----------------------------------------------------------------------------------------------------------
DOMAIN = numbers.refusal(cmath.log, 0)
RANGE = numbers.refusal(cmath.exp, 1e10)


def _cmath(function, formula, pole=None):
    """A function of `cmath`: ValueError at a pole, OverflowError where a finite argument has an infinite result."""

    def elaborate(ctx, z, /):
        z = _number(ctx, z)
        nodes = [cast(ctx, x.node, "f64") for x in (z.re, z.im)]
        with mathematics(ctx):
            checked = ctx.error_model == "python"
            if checked and pole is not None:
                require(ctx, "ValueError", DOMAIN, negated(ctx, fact(pole(*nodes))))
            re, im = formula(*nodes)
            if checked and formula in OVERFLOWING:
                ok = E.bit_or(E.logical_not(isinf(re, im)), E.logical_not(isfinite(*nodes)))
                require(ctx, "OverflowError", RANGE, fact(ok))
        return complex_of(ctx, re, im, py=True)

    elaborates(function)(elaborate)
    COMPLEX[function] = elaborate


OVERFLOWING = (F.exp, F.sin, F.cos, F.sinh, F.cosh)


def _zero(x, y):
    return E.bit_and(E.eq(x, 0.0), E.eq(y, 0.0))


def _one(x, y):
    return E.bit_and(E.eq(E.abs(x), 1.0), E.eq(y, 0.0))


for _name, _f, _pole in (
    ("exp", F.exp, None), ("sqrt", F.sqrt, None), ("sin", F.sin, None), ("cos", F.cos, None), ("tan", F.tan, None),
    ("sinh", F.sinh, None), ("cosh", F.cosh, None), ("tanh", F.tanh, None), ("asin", F.asin, None),
    ("acos", F.acos, None), ("atan", F.atan, lambda x, y: _one(y, x)), ("asinh", F.asinh, None),
    ("acosh", F.acosh, None), ("atanh", F.atanh, _one), ("log10", F.log10, _zero),
):  # fmt: skip
    _cmath(getattr(cmath, _name), _f, _pole)


@elaborates(cmath.log)
def log(ctx, z, base=None, /):
    def plain(v):
        v = _number(ctx, v)
        nodes = [cast(ctx, x.node, "f64") for x in (v.re, v.im)]
        with mathematics(ctx):
            if ctx.error_model == "python":
                require(ctx, "ValueError", DOMAIN, fact(nonzero(*nodes)))
            return complex_of(ctx, *F.log(*nodes), py=True)

    return plain(z) if base is None else binary(ctx, "/", plain(z), plain(base))


@elaborates(cmath.phase)
def phase(ctx, z, /):
    z = _number(ctx, z)
    return ctx.leaf(ctx.emit(E.atan2, cast(ctx, z.im.node, "f64"), cast(ctx, z.re.node, "f64")), py=True)


@elaborates(cmath.polar)
def polar(ctx, z, /):
    z = _number(ctx, z)
    z = Complex(*(convert(ctx, x, "f64", True) for x in (z.re, z.im)))
    return Sequence((absolute(ctx, z), phase(ctx, z)))


@elaborates(cmath.rect)
def rect(ctx, r, phi, /):
    r, phi = (cast(ctx, leaf_of(ctx, v).node, "f64") for v in (r, phi))
    re, im = ctx.emit(E.mul, r, ctx.emit(E.cos, phi)), ctx.emit(E.mul, r, ctx.emit(E.sin, phi))
    return complex_of(ctx, re, im, py=True)


@elaborates(cmath.isclose)
def cmath_isclose(ctx, a, b, *, rel_tol=1e-09, abs_tol=0.0):
    a, b = _number(ctx, a), _number(ctx, b)
    difference = absolute(ctx, binary(ctx, "-", a, b)).node
    sizes = ctx.emit(E.maximum, absolute(ctx, a).node, absolute(ctx, b).node)
    rel, abs_ = (cast(ctx, leaf_of(ctx, v).node, "f64") for v in (rel_tol, abs_tol))
    bound = ctx.emit(E.maximum, ctx.emit(E.mul, rel, sizes), abs_)
    near = ctx.emit(E.bit_and, ctx.emit(E.le, difference, bound), ctx.emit(E.isfinite, difference))
    return ctx.leaf(ctx.emit(E.bit_or, near, compare(ctx, "==", a, b).node), py=True)


def _cmath_test(function, formula):
    def elaborate(ctx, z, /):
        return predicate(formula)(ctx, _python(ctx, _number(ctx, z)))

    elaborates(function)(elaborate)
    COMPLEX[function] = elaborate


def _python(ctx, z):
    return Complex(*(convert(ctx, x, "f64", True) for x in (z.re, z.im)))


_cmath_test(cmath.isnan, isnan)
_cmath_test(cmath.isinf, isinf)
_cmath_test(cmath.isfinite, isfinite)
transparent(cmath.log, cmath.phase, cmath.polar, cmath.isclose)
