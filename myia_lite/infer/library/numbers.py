"""Arithmetic of Python numbers, with CPython's checks written out as guards, and bool, int, float, round.

An int is 64 bits wide and overflow raises.  Under `error_model="numpy"` floats have no checks.  A message that differs
between versions of CPython is taken from the one that runs.
"""

from __future__ import annotations

from ...ir import Constant
from ...ops import control
from ...ops import elementwise as E
from ..values import Leaf, Static
from .dtypes import cast, truncated
from .registry import describe, elaborates, fixed, require
from .sizes import both, either, fact, negated

OVERFLOW = "integer overflow: the result does not fit 64 bits"
MINIMUM = -(2**63)
LARGEST_POWI = 16  # above that, repeated multiplication is no longer more accurate than pow


def refusal(f, *args) -> str:
    """What the running CPython says when `f(*args)` raises."""
    try:
        f(*args)
    except (ArithmeticError, ValueError) as error:
        return str(error)


INT_FLOORDIV = refusal(lambda: 1 // 0)
INT_MOD = refusal(lambda: 1 % 0)
DIVMOD = refusal(divmod, 1, 0)
INT_DIV = refusal(lambda: 1 / 0)
FLOAT_DIV = refusal(lambda: 1.0 / 0.0)
FLOAT_FLOORDIV = refusal(lambda: 1.0 // 0.0)
FLOAT_MOD = refusal(lambda: 1.0 % 0.0)
FLOAT_DIVMOD = refusal(divmod, 1.0, 0.0)
ZERO_POWER = refusal(lambda: 0.0**-1.0)
FLOAT_POWER = refusal(lambda: 1e200**2.0)


def number(ctx, dtype, node) -> Leaf:
    return ctx.leaf(cast(ctx, node, dtype), py=True)


def nonzero(ctx, node):
    return fact(ctx.emit(E.ne, node, False if node.type.dtype == "bool" else 0))


def arithmetic(ctx, op, a, b) -> Leaf:
    """`a op b` of two Python numbers."""
    dtypes = {a.type.dtype, b.type.dtype}
    if op in ("&", "|", "^"):
        if "f64" in dtypes:
            refuse(ctx, op, a, b)
        dtype = "bool" if dtypes == {"bool"} else "i64"
        prim = {"&": E.bit_and, "|": E.bit_or, "^": E.bit_xor}[op]
        return ctx.leaf(ctx.emit(prim, cast(ctx, a.node, dtype), cast(ctx, b.node, dtype)), py=True)
    if op in ("<<", ">>"):
        if "f64" in dtypes:
            refuse(ctx, op, a, b)
        return _shift(ctx, op, cast(ctx, a.node, "i64"), cast(ctx, b.node, "i64"))
    if op not in _INT:
        refuse(ctx, op, a, b)
    if op == "**":
        return power(ctx, a, b)
    if "f64" in dtypes:
        x, y = cast(ctx, a.node, "f64"), cast(ctx, b.node, "f64")
        return ctx.leaf(_FLOAT[op](ctx, x, y), py=True)
    x, y = cast(ctx, a.node, "i64"), cast(ctx, b.node, "i64")
    return ctx.leaf(_INT[op](ctx, x, y), py=True)


def refuse(ctx, op, a, b):
    ctx.error(
        f"unsupported operand type(s) for {op}: '{describe(a)}' and '{describe(b)}'", "convert one of the operands"
    )


# ---- ints ------------------------------------------------------------------------------------------------------------
def _checked(prim, overflows):
    def operation(ctx, x, y):
        require(ctx, "OverflowError", OVERFLOW, negated(ctx, fact(ctx.emit(overflows, x, y))))
        return ctx.emit(prim, x, y)

    return operation


def _int_floordiv(ctx, x, y, message=INT_FLOORDIV):
    require(ctx, "ZeroDivisionError", message, nonzero(ctx, y))
    # the one quotient that overflows: the least int by -1
    fits = either(ctx, fact(ctx.emit(E.ne, y, -1)), fact(ctx.emit(E.ne, x, MINIMUM)))
    require(ctx, "OverflowError", OVERFLOW, fits)
    return ctx.emit(E.floordiv, x, y)


def _int_mod(ctx, x, y, message=INT_MOD):
    require(ctx, "ZeroDivisionError", message, nonzero(ctx, y))
    return ctx.emit(E.mod, x, y)


def _int_div(ctx, x, y):
    if ctx.error_model == "python":
        require(ctx, "ZeroDivisionError", INT_DIV, nonzero(ctx, y))
    return ctx.emit(E.div, cast(ctx, x, "f64"), cast(ctx, y, "f64"))


def _int_power(ctx, x, y):
    require(ctx, "OverflowError", OVERFLOW, negated(ctx, fact(ctx.emit(E.pow_overflows, x, y))))
    return ctx.emit(E.ipow, x, y)


def _shift(ctx, op, x, y) -> Leaf:
    require(ctx, "ValueError", "negative shift count", fact(ctx.emit(E.ge, y, 0)))
    count = ctx.emit(E.minimum, y, 63)
    if op == ">>":
        return ctx.leaf(ctx.emit(E.shift_right, x, count), py=True)
    out = ctx.emit(E.shift_left, x, count)
    back = fact(ctx.emit(E.eq, ctx.emit(E.shift_right, out, count), x))
    small = fact(ctx.emit(E.le, y, 63))
    require(ctx, "OverflowError", OVERFLOW, either(ctx, negated(ctx, nonzero(ctx, x)), both(ctx, small, back)))
    return ctx.leaf(out, py=True)


# ---- floats ----------------------------------------------------------------------------------------------------------
def _divides(prim, message):
    def operation(ctx, x, y, message=message):
        if ctx.error_model == "python":
            require(ctx, "ZeroDivisionError", message, nonzero(ctx, y))
        return ctx.emit(prim, x, y)

    return operation


def integral(ctx, node):
    """Is the float a whole number?  Infinities are."""
    return fact(ctx.emit(E.eq, ctx.emit(E.floor, node), node))


def finite(ctx, node):
    return fact(ctx.emit(E.isfinite, node))


def overflow_checked(ctx, out, *inputs, message=FLOAT_POWER):
    """`out`, after the guard that it is infinite only where an input is no finite number."""
    ok = negated(ctx, fact(ctx.emit(E.isinf, out)))
    for x in inputs:
        ok = either(ctx, ok, negated(ctx, finite(ctx, x)))
    if ok is not True:
        # a check of `out` itself: a derivative that does not need `out` does not need the check
        ok = ctx.const(ok).node if isinstance(ok, bool) else ok
        ctx.emit(control.guard, ok, out, exception="OverflowError", message=message, range=True)
    return out


def raw_power(ctx, x, y):
    """x ** y of float nodes without checks; a small constant exponent is a power by multiplication."""
    if isinstance(y, Constant) and not isinstance(x, Constant):
        exponent = float(y.value)
        if exponent == 1.0:
            return x
        if exponent == -1.0:
            return ctx.emit(E.div, 1.0, x)
        if exponent.is_integer() and 0 < exponent <= LARGEST_POWI:
            return ctx.emit(E.powi, x, n=int(exponent))
    return ctx.emit(E.pow, x, y)


def float_power(ctx, x, y):
    """x ** y of Python floats: no complex results, and OverflowError where the result is too large."""
    if ctx.error_model != "python":
        return raw_power(ctx, x, y)
    fixed_exponent = float(y.value) if isinstance(y, Constant) else None
    if fixed_exponent == 0.0:
        return ctx.const(1.0).node
    if fixed_exponent is None or fixed_exponent < 0:
        ok = either(ctx, nonzero(ctx, x), fact(ctx.emit(E.ge, y, 0.0)))
        ok = either(ctx, ok, negated(ctx, finite(ctx, y)))
        require(ctx, "ZeroDivisionError", ZERO_POWER, ok)
    if fixed_exponent is None or not fixed_exponent.is_integer():
        # the result would be complex: x < 0 finite, y finite and no whole number
        real = either(ctx, negated(ctx, fact(ctx.emit(E.lt, x, 0.0))), integral(ctx, y))
        real = either(ctx, real, either(ctx, negated(ctx, finite(ctx, x)), negated(ctx, finite(ctx, y))))
        require(ctx, "ValueError", "{0} ** {1} is a complex number: write complex(x) ** y", real, x, y)
    out = raw_power(ctx, x, y)
    if out is x or (fixed_exponent is not None and 0 < fixed_exponent < 1):
        return out
    return overflow_checked(ctx, out, x, y)


def power(ctx, a, b) -> Leaf:
    """a ** b of Python numbers.  Of ints the result is an int, unless the exponent is known to be negative."""
    if "f64" not in (a.type.dtype, b.type.dtype):
        x, y = cast(ctx, a.node, "i64"), cast(ctx, b.node, "i64")
        if not (isinstance(y, Constant) and y.value < 0):
            nonnegative = fact(ctx.emit(E.ge, y, 0))
            text = "an int to a negative power, known at run time only: write float(x) ** n"
            require(ctx, "ValueError", text, nonnegative)
            return ctx.leaf(_int_power(ctx, x, y), py=True)
    return ctx.leaf(float_power(ctx, cast(ctx, a.node, "f64"), cast(ctx, b.node, "f64")), py=True)


_INT = {
    "+": _checked(E.add, E.add_overflows),
    "-": _checked(E.sub, E.sub_overflows),
    "*": _checked(E.mul, E.mul_overflows),
    "/": _int_div,
    "//": _int_floordiv,
    "%": _int_mod,
    "**": None,
}
_FLOAT = {
    "+": lambda ctx, x, y: ctx.emit(E.add, x, y),
    "-": lambda ctx, x, y: ctx.emit(E.sub, x, y),
    "*": lambda ctx, x, y: ctx.emit(E.mul, x, y),
    "/": _divides(E.div, FLOAT_DIV),
    "//": _divides(E.floordiv, FLOAT_FLOORDIV),
    "%": _divides(E.mod, FLOAT_MOD),
}


def divided(ctx, a, b) -> tuple[Leaf, Leaf]:
    """divmod of two Python numbers."""
    if "f64" in (a.type.dtype, b.type.dtype):
        x, y = cast(ctx, a.node, "f64"), cast(ctx, b.node, "f64")
        q = _FLOAT["//"](ctx, x, y, FLOAT_DIVMOD)
        r = ctx.emit(E.mod, x, y)
    else:
        x, y = cast(ctx, a.node, "i64"), cast(ctx, b.node, "i64")
        q = _int_floordiv(ctx, x, y, DIVMOD)
        r = ctx.emit(E.mod, x, y)
    return ctx.leaf(q, py=True), ctx.leaf(r, py=True)


def signed(ctx, op, a) -> Leaf:
    """-a, +a, ~a of a Python number."""
    if op == "~" and a.type.dtype == "f64":
        ctx.error("bad operand type for unary ~: 'float'", "convert it with int(…)")
    x = cast(ctx, a.node, "i64") if a.type.dtype == "bool" else a.node
    if op == "~":
        return ctx.leaf(ctx.emit(E.bit_not, x), py=True)
    if op == "-":
        if x.type.dtype == "i64":
            require(ctx, "OverflowError", OVERFLOW, fact(ctx.emit(E.ne, x, MINIMUM)))
        return ctx.leaf(ctx.emit(E.neg, x), py=True)
    return ctx.leaf(x, py=True)


def magnitude(ctx, a) -> Leaf:
    """abs(a) of a Python number."""
    if a.type.dtype == "f64":
        return ctx.leaf(ctx.emit(E.abs, a.node), py=True)
    x = cast(ctx, a.node, "i64")
    require(ctx, "OverflowError", OVERFLOW, fact(ctx.emit(E.ne, x, MINIMUM)))
    return ctx.leaf(ctx.emit(E.abs, x), py=True)


COMPARISONS = {"==": E.eq, "!=": E.ne, "<": E.lt, "<=": E.le, ">": E.gt, ">=": E.ge}
SWAPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
EXACT = 2**53  # up to here, each int is a float


def _int_and_float(ctx, op, i, f):
    """i op f, exactly as Python compares them: where the rounded int equals the float, the ints decide."""
    compare, rounded_ = COMPARISONS[op], cast(ctx, i, "f64")
    near = ctx.emit(compare, rounded_, f)
    if ctx.error_model != "python" or any(isinstance(n, Constant) and not abs(n.value) >= EXACT for n in (i, f)):
        return near
    beyond = ctx.const(op in ("<", "<=", "!=")).node  # a float of 2 ** 63 is above each int
    exact = ctx.emit(E.select, ctx.emit(E.ge, f, 2.0**63), beyond, ctx.emit(compare, i, cast(ctx, f, "i64")))
    return ctx.emit(E.select, ctx.emit(E.eq, rounded_, f), exact, near)


def ordered(ctx, op, a, b) -> Leaf:
    """A comparison of two Python numbers."""
    if "i64" in (a.type.dtype, b.type.dtype) and "f64" in (a.type.dtype, b.type.dtype):
        if a.type.dtype == "f64":
            return ordered(ctx, SWAPPED[op], b, a)
        return ctx.leaf(_int_and_float(ctx, op, a.node, b.node), py=True)
    dtype = max((a.type.dtype, b.type.dtype), key=("bool", "i64", "f64").index)
    if dtype == "bool" and op not in ("==", "!="):
        dtype = "i64"
    return ctx.leaf(ctx.emit(COMPARISONS[op], cast(ctx, a.node, dtype), cast(ctx, b.node, dtype)), py=True)


# ---- int, float, bool ------------------------------------------------------------------------------------------------
@elaborates(int)
def int_(ctx, x=None, /):
    if x is None:
        return ctx.const(0)
    if isinstance(x, Static) and isinstance(x.value, str):
        return ctx.const(_parsed(ctx, int, x.value))
    node = scalar_node(ctx, x, "int()")
    return ctx.leaf(truncated(ctx, node) if node.type.dtype in ("f32", "f64") else cast(ctx, node, "i64"), py=True)


@elaborates(float)
def float_(ctx, x=None, /):
    if x is None:
        return ctx.const(0.0)
    if isinstance(x, Static) and isinstance(x.value, str):
        return ctx.const(_parsed(ctx, float, x.value))
    return number(ctx, "f64", scalar_node(ctx, x, "float()"))


@elaborates(bool)
def bool_(ctx, x=None, /):
    from .operators import truth

    return ctx.const(False) if x is None else ctx.leaf(truth(ctx, x), py=True)


def _parsed(ctx, cls, text):
    try:
        return cls(text)
    except ValueError as error:
        from ...ir import MyiaValueError

        ctx.error(str(error), "write a number", cls=MyiaValueError)


def scalar_node(ctx, x, what):
    """The node of a number; arrays of rank 1 and more are refused, as NumPy does since 2.4."""
    if not isinstance(x, Leaf):
        ctx.error(f"{what} takes a number, not '{describe(x)}'", "pass a number")
    if hasattr(x.type, "shape"):
        ctx.error(
            f"{what}: only 0-dimensional arrays can be converted to Python scalars", "take an element, or use x.item()"
        )
    return x.node


# ---- round -----------------------------------------------------------------------------------------------------------
def rounded(ctx, x, ndigits=None) -> Leaf:
    """round(x, ndigits) of a Python number: to the nearest decimal, ties to even, exactly as CPython."""
    if ndigits is None:
        if x.type.dtype != "f64":
            return number(ctx, "i64", x.node)
        return ctx.leaf(truncated(ctx, ctx.emit(E.rint, x.node)), py=True)
    digits = fixed(ctx, ndigits, "the number of digits of round()")
    if not isinstance(digits, int):
        ctx.error("the number of digits of round() is no int", "write it as an int")
    if x.type.dtype != "f64":
        return _rounded_int(ctx, cast(ctx, x.node, "i64"), digits)
    if not -22 <= digits <= 22:
        ctx.error(
            f"round() to {digits} digits", "round to between -22 and 22 digits: the powers of ten that floats hold"
        )
    return ctx.leaf(_decimal(ctx, x.node, digits), py=True)


def _rounded_int(ctx, x, digits) -> Leaf:
    if digits >= 0:
        return ctx.leaf(x, py=True)
    if digits < -18:
        return ctx.const(0)
    unit = 10**-digits
    r = ctx.emit(E.mod, x, unit)
    down = ctx.emit(E.sub, x, r)  # the multiple below: `mod` is not negative
    odd = fact(ctx.emit(E.ne, ctx.emit(E.mod, ctx.emit(E.floordiv, x, unit), 2), 0))
    up = either(ctx, fact(ctx.emit(E.gt, r, unit // 2)), both(ctx, fact(ctx.emit(E.eq, r, unit // 2)), odd))
    up = ctx.const(up).node if isinstance(up, bool) else up
    step = ctx.emit(E.select, up, ctx.const(unit).node, ctx.const(0).node)
    return ctx.leaf(_INT["+"](ctx, down, step), py=True)


def _decimal(ctx, x, digits):
    """x to that many decimals: what decides a tie is the exact error of x * 10 ** digits, from Dekker's product."""
    emit = ctx.emit
    unit = 10.0 ** abs(digits)
    if digits < 0:
        rest = emit(E.fmod, x, unit)  # exact
        whole = emit(E.sub, x, rest)
        twice = emit(E.abs, emit(E.mul, rest, 2.0))
        odd = emit(E.ne, emit(E.mod, emit(E.rint, emit(E.div, whole, unit)), 2.0), 0.0)
        up = emit(E.bit_or, emit(E.gt, twice, unit), emit(E.bit_and, emit(E.eq, twice, unit), odd))
        return emit(E.copysign, emit(E.select, up, emit(E.add, whole, emit(E.copysign, unit, x)), whole), x)
    scaled = emit(E.mul, x, unit)
    error = _product_error(ctx, x, unit, scaled)
    below = emit(E.floor, scaled)
    rest = emit(E.sub, emit(E.sub, scaled, below), 0.5)  # exact; with `error`, the distance from the tie
    beyond = emit(E.bit_or, emit(E.gt, rest, 0.0), emit(E.bit_and, emit(E.eq, rest, 0.0), emit(E.gt, error, 0.0)))
    tie = emit(E.bit_and, emit(E.eq, rest, 0.0), emit(E.eq, error, 0.0))
    odd = emit(E.ne, emit(E.mod, below, 2.0), 0.0)
    up = emit(E.bit_or, beyond, emit(E.bit_and, tie, odd))
    nearest = emit(E.select, up, emit(E.add, below, 1.0), below)
    out = emit(E.copysign, emit(E.div, nearest, unit), x)
    # from 2 ** 53 units on, x is its own nearest decimal
    return emit(E.select, emit(E.lt, emit(E.abs, scaled), 2.0**53), out, x)


def _product_error(ctx, x, unit, product):
    """x * unit - product, exactly, for float nodes of moderate size."""
    emit = ctx.emit
    splitter = 134217729.0  # 2 ** 27 + 1
    t = emit(E.mul, x, splitter)
    high = emit(E.sub, t, emit(E.sub, t, x))
    low = emit(E.sub, x, high)
    u = splitter * unit
    unit_high = u - (u - unit)
    unit_low = unit - unit_high
    e = emit(E.sub, emit(E.mul, high, unit_high), product)
    e = emit(E.add, e, emit(E.mul, high, unit_low))
    e = emit(E.add, e, emit(E.mul, low, unit_high))
    return emit(E.add, e, emit(E.mul, low, unit_low))
