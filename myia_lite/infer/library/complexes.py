"""Complex numbers and arrays: promotion, operators, conversion, and how functions meet them.

A complex value is a pair of float leaves (`Complex`): in the typed IR there are only reals, and derivatives, fusion and
native code know nothing of complex numbers.  A real operand counts as x + 0i, as in NumPy and CPython before 3.14.
"""

from __future__ import annotations

import inspect

import numpy as np

from ...ir import INTS, Array, Constant, MyiaValueError, Node, Scalar
from ...ops import elementwise as E
from ..values import Complex, Leaf, Sequence, Static, Value
from . import complex_formulas as formulas
from . import numbers, ufuncs
from .complex_formulas import mathematics
from .dtypes import NUMPY, cast, leaf_of
from .registry import COMPLEX, TABLE, absent, describe, fixed, holds_complex, require
from .sizes import aligned, both, fact, fill, same, shape, text

WHOLE = {"f32": np.dtype("c8"), "f64": np.dtype("c16")}  # the complex dtype whose parts are of a float dtype
PARTS = {d: name for name, d in WHOLE.items()}
TO_PARTS = "compute with the real and imaginary parts: z.real, z.imag"


# ---- taking apart and putting together -------------------------------------------------------------------------------
def complex_of(ctx, re, im, py=False) -> Complex:
    """re + i im of two nodes: a scalar among them stands for each element."""
    for a, b in ((re, im), (im, re)):
        if isinstance(b.type, Array) and not isinstance(a.type, Array):
            filled = fill(ctx, a, shape(ctx, b))
            re, im = (filled, im) if a is re else (re, filled)
    if re is im and isinstance(re.type, Array):
        im = ctx.fresh(re).node
    return Complex(ctx.leaf(re, py=py), ctx.leaf(im, py=py))


def joined(ctx, re: Value, im: Value):
    """What a function made of the real parts and what it made of the imaginary parts, as one."""
    if isinstance(re, Sequence):
        return Sequence(tuple(joined(ctx, a, b) for a, b in zip(re.items, im.items, strict=True)), re.kind)
    dtype = max(re.type.dtype, im.type.dtype)  # "f32" < "f64"
    a, b = (cast(ctx, x.node, dtype) for x in (re, im))
    if a is re.node and b is im.node and re.py == im.py:
        return Complex(re, im)  # views stay views
    return complex_of(ctx, a, b, re.py and im.py)


def zeros(ctx, x: Leaf) -> Leaf:
    """The imaginary part of a real value."""
    dtype = x.type.dtype if x.type.dtype[0] == "f" else "f64"
    zero = Constant(0.0, Scalar(dtype))
    return ctx.leaf(fill(ctx, zero, shape(ctx, x)), py=x.py)


def part(ctx, v: Value, imaginary: bool) -> Value:
    """The real or the imaginary part of a number, an array, or a sequence of these."""
    if isinstance(v, Complex):
        return v.im if imaginary else v.re
    if isinstance(v, Sequence):
        return Sequence(tuple(part(ctx, i, imaginary) for i in v.items), v.kind)
    if isinstance(v, tuple):
        return tuple(part(ctx, i, imaginary) for i in v)
    if isinstance(v, (bool, int, float)):
        v = ctx.const(v)
    return zeros(ctx, v) if imaginary and isinstance(v, Leaf) else v


def from_real(ctx, x: Leaf) -> Complex:
    """A real number or array, as a complex one."""
    dtype = x.type.dtype if x.type.dtype[0] == "f" else "f64"
    return Complex(ctx.leaf(cast(ctx, x.node, dtype), py=x.py), zeros(ctx, x))


def constant(ctx, z) -> Complex:
    """A complex number of Python or NumPy, known at compile time."""
    py = type(z) is complex
    dtype = Scalar("f64" if py else PARTS[z.dtype])
    return Complex(*(Leaf(Constant(float(v), dtype, ctx.span), py) for v in (z.real, z.imag)))


def array_like(ctx, v) -> Complex | Leaf:
    """A number or an array, of nested sequences an array."""
    if isinstance(v, Sequence) and holds_complex(v):
        from .creation import array_of

        return joined(ctx, *(array_of(ctx, part(ctx, v, imaginary)) for imaginary in (False, True)))
    return v if isinstance(v, Complex) else leaf_of(ctx, v)


def operands(ctx, values) -> tuple[list[Node], bool]:
    """Real and imaginary nodes of each operand in turn, of one dtype and aligned; are all of them Python numbers?"""
    given = [array_like(ctx, v) for v in values]
    py = all(v.py for v in given)
    dtype = "f64" if py else _promoted(given)
    nodes = []
    for v in given:
        if isinstance(v, Complex):
            nodes += [cast(ctx, v.re.node, dtype), cast(ctx, v.im.node, dtype)]
        else:
            nodes += [cast(ctx, v.node, dtype), Constant(0.0, Scalar(dtype))]
    return aligned(ctx, nodes), py


def _promoted(given) -> str:
    """The float dtype of the parts of a NumPy result; Python numbers only choose between kinds."""
    strong = [
        WHOLE[v.re.type.dtype] if isinstance(v, Complex) else NUMPY[v.type.dtype]
        for v in given
        if not v.py or (isinstance(v, Leaf) and v.type.dtype == "bool")
    ]
    dtype = np.result_type(*strong)
    return PARTS.get(dtype) or ("f32" if dtype == np.float32 else "f64")


def elementwise(formula):
    """An elementwise function from a formula on parts: complex result."""

    def elaborate(ctx, *values):
        nodes, py = operands(ctx, values)
        with mathematics(ctx):
            re, im = formula(*nodes)
        return _shaped(ctx, nodes, re, im, py)

    return elaborate


def _shaped(ctx, nodes, re, im, py=False) -> Complex:
    """The result of an elementwise function of `nodes`, an array where one of them is."""
    like = next((n for n in nodes if isinstance(n.type, Array)), None)
    if like is not None and not isinstance(re.type, Array) and not isinstance(im.type, Array):
        re = fill(ctx, re, shape(ctx, like))
    return complex_of(ctx, re, im, py)


def predicate(formula):
    """An elementwise function with a real or bool result."""

    def elaborate(ctx, *values):
        nodes, py = operands(ctx, values)
        with mathematics(ctx):
            out = formula(*nodes)
        return ctx.leaf(out, py=py)

    return elaborate


def equal(x, y, c, d):
    return E.bit_and(E.eq(x, c), E.eq(y, d))


def unequal(x, y, c, d):
    return E.bit_or(E.ne(x, c), E.ne(y, d))


def nonzero(x, y):
    return E.bit_or(E.ne(x, 0.0), E.ne(y, 0.0))


def isnan(x, y):
    return E.bit_or(E.isnan(x), E.isnan(y))


def isinf(x, y):
    return E.bit_or(E.isinf(x), E.isinf(y))


def isfinite(x, y):
    return E.bit_and(E.isfinite(x), E.isfinite(y))


# ---- operators -------------------------------------------------------------------------------------------------------
DIVISION = numbers.refusal(lambda: 1j / 0j)
ZERO_POWER = numbers.refusal(lambda: 0j**-1)
LARGE_POWER = numbers.refusal(lambda: (1e200 + 0j) ** 2)
LARGE_ABS = numbers.refusal(lambda: abs(complex(1e308, 1.7e308)))
FORMULAS = {"+": formulas.add, "-": formulas.sub, "*": formulas.mul, "/": formulas.div}


def meets(a, b) -> bool:
    """Is `a op b` arithmetic of complex numbers?"""
    if isinstance(a, Complex) or isinstance(b, Complex):
        return all(
            isinstance(v, (Complex, Leaf)) or isinstance(v, Sequence) and _is_numpy(w) for v, w in ((a, b), (b, a))
        )
    return any(holds_complex(v) and isinstance(v, Sequence) and _is_numpy(w) for v, w in ((a, b), (b, a)))


def _is_numpy(v) -> bool:
    return isinstance(v, (Complex, Leaf)) and not v.py


def binary(ctx, op, a, b):
    """a op b, one of them complex."""
    if op == "@":
        return ctx.call(Static(np.matmul), [a, b])
    if op == "**":
        return power(ctx, a, b)
    if op not in FORMULAS:
        numbers.refuse(ctx, op, a, b)
    nodes, py = operands(ctx, [a, b])
    checked = py and ctx.error_model == "python"
    with mathematics(ctx):
        if checked and op == "/":
            require(ctx, "ZeroDivisionError", DIVISION, fact(nonzero(*nodes[2:])))
        re, im = FORMULAS[op](*nodes)
    return _shaped(ctx, nodes, re, im, py)


def power(ctx, a, b):
    """a ** b: by multiplication where the exponent is a small int known at compile time, or of an int type."""
    nodes, py = operands(ctx, [a, b])
    x, y, c, d = nodes
    known = c.value if isinstance(c, Constant) and isinstance(d, Constant) and d.value == 0 else None
    checked = py and ctx.error_model == "python"
    with mathematics(ctx):
        if checked and (known is None or known < 0):
            ok = E.bit_or(nonzero(x, y), E.bit_or(_exponent_zero(c, d), E.bit_and(E.eq(d, 0.0), E.gt(c, 0.0))))
            require(ctx, "ZeroDivisionError", ZERO_POWER, fact(ok))
        if known is not None and float(known).is_integer() and abs(known) <= 100:
            re, im = formulas.integer_power(x, y, int(known))
        elif known == 0.5 and not py:
            re, im = formulas.sqrt(x, y)
        elif isinstance(b, Leaf) and b.type.dtype in INTS:
            n = (
                aligned(ctx, [x, cast(ctx, b.node, "i64")])[1]
                if isinstance(x.type, Array)
                else cast(ctx, b.node, "i64")
            )
            re, im = formulas.power_of_ints(x, y, n)
        else:
            re, im = formulas.power(x, y, c, d)
        if checked and known not in (0, 1):
            ok = E.bit_or(E.logical_not(isinf(re, im)), E.logical_not(E.bit_and(isfinite(x, y), isfinite(c, d))))
            require(ctx, "OverflowError", LARGE_POWER, fact(ok))
    return _shaped(ctx, nodes, re, im, py)


def _exponent_zero(c, d):
    return E.bit_and(E.eq(c, 0.0), E.eq(d, 0.0))


def unary(ctx, op, a: Complex):
    if op == "~":
        ctx.error(f"bad operand type for unary ~: '{describe(a)}'", TO_PARTS)
    if op == "-":
        return elementwise(formulas.neg)(ctx, a)
    return a if a.py else Complex(ctx.fresh(a.re), ctx.fresh(a.im))


def compare(ctx, op, a, b):
    """== and !=; complex numbers have no order."""
    if op not in ("==", "!="):
        ctx.error(
            f"'{op}' not supported between instances of '{describe(a)}' and '{describe(b)}'",
            "compare absolute values, or the real parts",
        )
    return predicate(equal if op == "==" else unequal)(ctx, a, b)


def truth(ctx, z: Complex) -> Node:
    """The bool node of bool(z); of an array as NumPy does."""
    from .operators import truth

    return truth(ctx, predicate(nonzero)(ctx, z))


def absolute(ctx, z: Complex) -> Leaf:
    nodes, py = operands(ctx, [z])
    out = ctx.emit(E.hypot, *nodes)
    if py and ctx.error_model == "python":
        numbers.overflow_checked(ctx, out, *nodes, message=LARGE_ABS)
    return ctx.leaf(out, py=py)


def inplace(ctx, op, a, b):
    """The value of a complex array `a` after `a op= b`, of its own shape and dtype."""
    out = binary(ctx, op, a, b)
    own, new = shape(ctx, a.re), shape(ctx, out.re)
    message = f"non-broadcastable output operand with shape {text(own)} doesn't match the broadcast shape {text(new)}"
    fits = len(own) == len(new)
    for m, n in zip(own, new, strict=False):
        fits = both(ctx, fits, same(ctx, m, n))
    if fits is False:
        ctx.error(message, f"make a new array: a = a {op} b", cls=MyiaValueError)
    require(ctx, "ValueError", message, fits)
    dtype = a.re.type.dtype
    return Complex(*(ctx.leaf(cast(ctx, x.node, dtype)) for x in (out.re, out.im)))


# ---- functions -------------------------------------------------------------------------------------------------------
def transparent(*objects):
    """Functions that take complex values as they take any."""
    for o in objects:
        COMPLEX[o] = TABLE[o].__wrapped__


def means(*objects):
    """Register the function below as what `objects` do with complex values."""

    def register(function):
        for o in objects:
            COMPLEX[o] = function
        return function

    return register


def part_dtype(ctx, dtype) -> str | None:
    """The dtype of the parts where a dtype argument means a complex dtype, else None."""
    if isinstance(dtype, str) or not isinstance(dtype, Value):
        return None
    raw = fixed(ctx, dtype, "a dtype")
    try:
        return PARTS.get(np.dtype(raw))
    except TypeError:
        return None


def componentwise(*objects, data=("a",), like=()):
    """Functions linear over the reals: the real and the imaginary parts of the arguments named `data` go apart.

    Of the arguments `like` only shape and dtype matter.  A dtype argument may be complex, and then data may be real.
    """

    def one(o):
        function = TABLE[o].__wrapped__
        signature = inspect.signature(function)
        name = getattr(o, "__name__", str(o))

        def elaborate(ctx, *values, **keywords):
            try:
                bound = signature.bind(ctx, *values, **keywords)
            except TypeError as error:
                ctx.error(
                    f"{name}(): {error}", f"call it with parameters among {', '.join(list(signature.parameters)[1:])}"
                )
            given = bound.arguments
            if not absent(given.get("dtype")):
                dtype = part_dtype(ctx, given["dtype"])
                if dtype is None and any(holds_complex(given.get(d)) for d in data):
                    ctx.error(f"{name} of complex numbers to a real dtype", "take the real part: z.real")
                if dtype is not None:
                    given["dtype"] = Static(NUMPY[dtype])
            for key, v in given.items():
                if key not in data and holds_complex(v) and not (isinstance(v, Static) or key in like):
                    ctx.error(f"{name} with a complex argument {key}", TO_PARTS)
            for key in like:
                given[key] = part(ctx, given[key], False)
            complex_data = any(holds_complex(given.get(d)) for d in data)
            whole = {d: given[d] for d in data if d in given}
            halves = []
            for imaginary in (False, True) if complex_data else (False,):
                given.update({d: part(ctx, v, imaginary) for d, v in whole.items()})
                halves.append(function(*bound.args, **bound.kwargs))
            if not complex_data:
                made = from_real(ctx, halves[0])
                shared = any(isinstance(v, Leaf) and v.node is made.re.node for v in given.values())
                halves = [ctx.fresh(made.re) if shared else made.re, made.im]
            return joined(ctx, *halves)

        COMPLEX[o] = elaborate

    for o in objects:
        one(o)


def multilinear(*objects, factors, conjugate=()):
    """Products: expanded over the parts of their complex factors.  Those in `conjugate` are conjugated first."""

    def one(o):
        function = TABLE[o].__wrapped__
        signature = inspect.signature(function)

        def elaborate(ctx, *values, **keywords):
            try:
                bound = signature.bind(ctx, *values, **keywords)
            except TypeError as error:
                ctx.error(f"{getattr(o, '__name__', o)}(): {error}", "check the arguments")
            given = []
            for f in factors:
                v = bound.arguments[f]
                given += (
                    [(f, k, array_like(ctx, x)) for k, x in enumerate(v)]
                    if isinstance(v, tuple)
                    else [(f, None, array_like(ctx, v))]
                )

            def expanded(chosen):
                if len(chosen) == len(given):
                    for f in factors:
                        found = [c for (g, _, _), c in zip(given, chosen, strict=True) if g == f]
                        bound.arguments[f] = tuple(found) if isinstance(bound.arguments[f], tuple) else found[0]
                    return function(*bound.args, **bound.kwargs), None
                f, _, v = given[len(chosen)]
                if not isinstance(v, Complex):
                    return expanded([*chosen, v])
                im = ctx.leaf(ctx.emit(E.neg, v.im.node), py=v.py) if f in conjugate else v.im
                (a, b), (c, d) = expanded([*chosen, v.re]), expanded([*chosen, im])
                # (a + ib) + i(c + id)
                return _minus(ctx, a, d), (c if b is None else _plus(ctx, b, c))

            re, im = expanded([])
            return joined(ctx, re, im)

        COMPLEX[o] = elaborate

    for o in objects:
        one(o)


def _plus(ctx, a, b):
    return ufuncs.apply(ctx, ufuncs.FUNCTIONS[np.add], [a, b])


def _minus(ctx, a, b):
    return a if b is None else ufuncs.apply(ctx, ufuncs.FUNCTIONS[np.subtract], [a, b])
