"""Integer operations that a plain machine instruction gets wrong: floor division, powers, shifts."""

from __future__ import annotations

from llvmlite import ir


def divmod(b: ir.IRBuilder, x, y):
    """Floor quotient and remainder; both are 0 for a divisor 0, and the least integer over -1 wraps around."""
    t = x.type
    n = y.constant if isinstance(y, ir.Constant) else None
    if isinstance(n, int) and n > 0 and n & (n - 1) == 0:  # a shift rounds down
        return b.ashr(x, ir.Constant(t, n.bit_length() - 1)), b.and_(x, ir.Constant(t, n - 1))
    zero, one, minus_one = ir.Constant(t, 0), ir.Constant(t, 1), ir.Constant(t, -1)
    by_zero, by_minus_one = b.icmp_signed("==", y, zero), b.icmp_signed("==", y, minus_one)
    safe = b.select(b.or_(by_zero, by_minus_one), one, y)  # the machine's division traps on both
    quotient = b.sdiv(x, safe)
    rem = b.sub(x, b.mul(quotient, safe))
    adjust = b.and_(b.icmp_signed("!=", rem, zero), b.icmp_signed("<", b.xor(rem, safe), zero))
    quotient = b.select(adjust, b.sub(quotient, one), quotient)
    rem = b.select(adjust, b.add(rem, safe), rem)
    quotient = b.select(by_minus_one, b.neg(x), b.select(by_zero, zero, quotient))
    return quotient, rem


def shift(b: ir.IRBuilder, x, count, left: bool):
    """A count that is negative or no less than the width shifts everything out, as in NumPy."""
    t = x.type
    inside = b.icmp_unsigned("<", count, ir.Constant(t, t.width))
    safe = b.select(inside, count, ir.Constant(t, 0))
    if left:
        return b.select(inside, b.shl(x, safe), ir.Constant(t, 0))
    return b.select(inside, b.ashr(x, safe), b.ashr(x, ir.Constant(t, t.width - 1)))


def power(b: ir.IRBuilder, x, exponent):
    """x to a power >= 0 (a negative one counts as 0) wrapping around, and whether it did."""
    out = b.call(_power_function(b.module, x.type), [x, exponent])
    return b.extract_value(out, 0), b.extract_value(out, 1)


def _power_function(module: ir.Module, t: ir.IntType) -> ir.Function:
    """Repeated squaring.  A square that overflows has an absolute value above the least integer's, and is squared only
    where it is then used, so its overflow is the result's."""
    name = f"myia.ipow.i{t.width}"
    if name in module.globals:
        return module.globals[name]
    flag = ir.IntType(1)
    f = ir.Function(module, ir.FunctionType(ir.LiteralStructType([t, flag]), [t, t]), name)
    f.linkage = "internal"
    f.attributes.add("nounwind")
    base0, exponent0 = f.args
    zero, one = ir.Constant(t, 0), ir.Constant(t, 1)
    entry, head, odd, join, square, done = (
        f.append_basic_block(n) for n in ("entry", "head", "odd", "join", "square", "done")
    )
    b = ir.IRBuilder(entry)
    b.cbranch(b.icmp_signed(">", exponent0, zero), head, done)

    b.position_at_end(head)
    base, exponent, result, over = b.phi(t), b.phi(t), b.phi(t), b.phi(flag)
    for phi, start in ((base, base0), (exponent, exponent0), (result, one), (over, flag(0))):
        phi.add_incoming(start, entry)
    b.cbranch(b.trunc(exponent, flag), odd, join)

    b.position_at_end(odd)
    product = b.smul_with_overflow(result, base)
    wrapped, overflowed = b.extract_value(product, 0), b.or_(over, b.extract_value(product, 1))
    b.branch(join)

    b.position_at_end(join)
    result1, over1 = b.phi(t), b.phi(flag)
    for phi, same, changed in ((result1, result, wrapped), (over1, over, overflowed)):
        phi.add_incoming(same, head)
        phi.add_incoming(changed, odd)
    rest = b.lshr(exponent, one)
    b.cbranch(b.icmp_signed(">", rest, zero), square, done)

    b.position_at_end(square)
    squared = b.smul_with_overflow(base, base)
    for phi, value in (
        (base, b.extract_value(squared, 0)),
        (exponent, rest),
        (result, result1),
        (over, b.or_(over1, b.extract_value(squared, 1))),
    ):
        phi.add_incoming(value, square)
    b.branch(head)

    b.position_at_end(done)
    final, final_over = b.phi(t), b.phi(flag)
    for phi, nothing, value in ((final, one, result1), (final_over, flag(0), over1)):
        phi.add_incoming(nothing, entry)
        phi.add_incoming(value, join)
    pair = b.insert_value(ir.Constant(f.function_type.return_type, ir.Undefined), final, 0)
    b.ret(b.insert_value(pair, final_over, 1))
    return f
