"""Rounding of float32 to float16 and bfloat16, to nearest and ties to even, with what every processor has."""

from __future__ import annotations

from tvm import tirx

from .code import Code, const

KEPT = {"bfloat16": 7, "float16": 10}  # bits of the significand after the point
LEAST, LARGEST = 2.0**-14, 65520.0  # the least float16 that is not subnormal; what rounds to infinity


def rounded(code: Code, x, products: str):
    """The float32 nearest to `x` among the values of that dtype."""
    if products == "float32":
        return x
    dropped = 23 - KEPT[products]
    bits = code.let(tirx.reinterpret("uint32", x))

    def unsigned(value):
        return tirx.const(value, "uint32")

    odd = tirx.bitwise_and(tirx.shift_right(bits, unsigned(dropped)), unsigned(1))
    up = tirx.Add(tirx.Add(bits, unsigned((1 << (dropped - 1)) - 1)), odd)
    near = tirx.bitwise_and(up, unsigned((1 << 32) - (1 << dropped)))
    near = code.let(tirx.reinterpret("float32", code.let(near)))
    if products == "float16":
        size = code.let(tirx.call_pure_extern("float32", "fabsf", x))
        half = const(0.5, "f32")  # beside it, a float32 has the bits of a subnormal float16
        small = code.let(tirx.Sub(code.let(tirx.Add(size, half)), half))
        small = tirx.call_pure_extern("float32", "copysignf", small, x)
        huge = tirx.call_pure_extern("float32", "copysignf", const(float("inf"), "f32"), x)
        near = tirx.Select(tirx.LT(size, const(LEAST, "f32")), small, near)
        near = code.let(tirx.Select(tirx.GE(size, const(LARGEST, "f32")), huge, near))
    return code.let(tirx.Select(tirx.EQ(x, x), near, x))
