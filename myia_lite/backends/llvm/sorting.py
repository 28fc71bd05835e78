"""The lowering of `argsort`: keys that sort as the elements do, and a call of the run-time system (`merge_sort`)."""

from __future__ import annotations

from ...ir import Apply, Array
from .expressions import Affine, Kernel, Point, element_pointer
from .layout import F64, I64, i64
from .loopnest import Target, counted, nest
from .sizes import as_value, known


def argsort(ctx, node: Apply, plan):
    x, b, kernel = node.args[0], ctx.b, Kernel(ctx, plan)
    sizes = kernel.sizes = kernel.dims(x)
    last, t = len(sizes) - 1, x.type
    index = (*kernel.index()[:last], Affine(0, last, 1, True))  # a loop even where its size is 1
    expression = kernel.read(x, index)
    out = ctx.new_array(node.type, [as_value(d) for d in sizes])
    n = as_value(sizes[last])
    line = Array("i64", (sizes[last] if isinstance(sizes[last], int) else None,))
    keys, *spare = (ctx.new_array(line, [n]) for _ in range(3))
    target = Target(kernel, out, index)
    kernel.declare_scope()
    with nest(kernel, [(k,) for k in range(last) if sizes[k] != 1]) as indexes:
        with counted(b, n) as i:
            value = Point(kernel, {**indexes, last: i}, vector=True).value(expression)
            b.store(_key(b, t.dtype, value), element_pointer(b, keys.data, known(i), line))
        order = target.pointer(Point(kernel, {**indexes, last: i64(0)}, vector=True))
        b.call(ctx.module.runtime("rt_argsort"), [keys.data, order, *(s.data for s in spare), n])
    for array in (keys, *spare):
        b.call(ctx.module.runtime("release"), [ctx.context, array.obj])
    return out


def _key(b, dtype, x):
    """An i64 that stands to others as the numbers do: NaN is above all, and both zeros are one."""
    if dtype == "bool":
        return b.zext(x, I64)
    if dtype not in ("f32", "f64"):
        return b.sext(x, I64) if dtype == "i32" else x
    if dtype == "f32":
        x = b.fpext(x, F64)
    bits = b.bitcast(b.fadd(x, F64(0.0)), I64)  # -0.0 + 0.0 is 0.0
    down = b.xor(bits, i64(2**63 - 1))
    key = b.select(b.icmp_signed("<", bits, i64(0)), down, bits)
    return b.select(b.fcmp_unordered("uno", x, x), i64(2**63 - 1), key)
