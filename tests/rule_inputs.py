"""For each rule a program that has its left side: what the rule's IR-text test and its numerical check start from.

An equation over plain variables makes its own program.  The others stand here: parameters, and the expression, in the
primitives' own names; or a whole program.
"""

import ast
import re

import numpy as np
from op_samples import SAMPLES

from myia_lite.ir import I64, Builder, Constant, Graph, Scalar, Tuple, constant, parse_text, shaped, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.ops.control import jvp, stack_new, tuple_

EXPRESSIONS = {
    "x / c == x * (1.0 / c) when power_of_two(c)": "x: f64 | x / 4.0",
    "powi(x, n=1) == x": "x: f64 | powi(x, n=1)",
    "powi(x, n=0) == 1": "x: f64[3] | powi(x, n=0)",
    "powi(-x, n=n) == powi(x, n=n) when n % 2 == 0": "x: f64 | powi(-x, n=4)",
    "powi(-x, n=n) == -powi(x, n=n) when n % 2 == 1": "x: f64 | powi(-x, n=3)",
    "x * powi(x, n=n) == powi(x, n=n + 1) when n > 0": "x: f64 | x * powi(x, n=2)",
    "powi(powi(x, n=a), n=b) == powi(x, n=a * b)": "x: f64 | powi(powi(x, n=2), n=3)",
    "powi(x, n=2) == x * x": "x: f64 | powi(x, n=2)",
    "powi(x, n=3) == x * x * x": "x: f64 | powi(x, n=3)",
    "powi(x, n=4) == powi(x * x, n=2)": "x: f64 | powi(x, n=4)",
    "powi(x, n=-1) == 1.0 / x": "x: f64 | powi(x, n=-1)",
    "cast(x, dtype=d) == x when dtype(x) == d": "x: f32 | cast(x, dtype='f32')",
    "cast(cast(x, dtype=e), dtype=d) == cast(x, dtype=d) when widens(dtype(x), e) and d != 'bool'": (
        "c: bool | cast(cast(c, dtype='i64'), dtype='f64')"
    ),
    # ranges: sizes are not negative, and what `mod` leaves is below its divisor
    "lt(i, j) == known, where the ranges of i and j tell": "x: f64[?] | lt(dim(x, axis=0), 0)",
    "le(i, j) == known, where the ranges of i and j tell": "x: f64[?] | le(0, dim(x, axis=0))",
    "gt(i, j) == known, where the ranges of i and j tell": "x: f64[?] | gt(0, dim(x, axis=0))",
    "ge(i, j) == known, where the ranges of i and j tell": "i: i64 | ge(mod(i, 5), 0)",
    "eq(i, j) == known, where the ranges of i and j tell": "i: i64 | eq(mod(i, 5), 7)",
    "ne(i, j) == known, where the ranges of i and j tell": "i: i64 | ne(mod(i, 5), -1)",
    "add_overflows(i, j) == False, where the ranges of i and j tell": "x: f64[?] | add_overflows(dim(x, axis=0), 1)",
    "sub_overflows(i, j) == False, where the ranges of i and j tell": "i: i64 | sub_overflows(mod(i, 5), 1)",
    "mul_overflows(i, j) == False, where the ranges of i and j tell": "i: i64 | mul_overflows(mod(i, 5), 1000)",
    "maximum(i, j) == i, where i >= j by their ranges": "x: f64[?] | maximum(dim(x, axis=0), 0)",
    "minimum(i, j) == i, where i <= j by their ranges": "i: i64 | minimum(mod(i, 5), 4)",
    "mod(i, n) == i, where 0 <= i < n by their ranges": "i: i64 | mod(mod(i, 5), 9)",
    # arrays
    "dim of a known size == that size; of a result == that of the operand it has the size of": (
        "x: f64[?,3] | dim(transpose(x + 1.0, perm=(1, 0)), axis=1)"
    ),
    "reshape(x) == x, of x's own shape": "x: f64[2,3] | reshape(x, shape=(2, 3))",
    "reshape(reshape(x, *_), *dyn, shape=s) == reshape(x, *dyn, shape=s)": (
        "x: f64[2,3] | reshape(reshape(x, shape=(6,)), shape=(3, 2))"
    ),
    "reshape(fill(c)) == fill(c)": "c: f64 | reshape(fill(c, 2, 3), shape=(6,))",
    "transpose(x, perm=p) == x when unchanged(p)": "x: f64[2,3] | transpose(x, perm=(0, 1))",
    "transpose(transpose(x, perm=p), perm=q) == transpose(x, perm=compose(p, q))": (
        "x: f64[2,3,4] | transpose(transpose(x, perm=(1, 2, 0)), perm=(1, 0, 2))"
    ),
    "transpose(fill(c)) == fill(c)": "c: f64 | transpose(fill(c, 2, 3), perm=(1, 0))",
    "broadcast(x) == x, along all its axes": "x: f64[2,3] | broadcast(x, shape=(2, 3), axes=(0, 1))",
    "broadcast(broadcast(x)) == broadcast(x)": (
        "x: f64[3] | broadcast(broadcast(x, shape=(2, 3), axes=(1,)), shape=(2, 4, 3), axes=(0, 2))"
    ),
    "elem(fill(c), i) == c": "c: f64 | elem(fill(c, 3), 1)",
    "elem(iota(*_), i) == i": "i: i64 | elem(iota(shape=(5,)), mod(i, 5))",
    "elem(set_elem(_, v, *i), *i) == v": "x: f64[3], v: f64 | elem(set_elem(x, v, 1), 1)",
    "elem(set_elem(x, v, i), j) == elem(x, j), where i and j are known and differ": (
        "x: f64[3], v: f64 | elem(set_elem(x, v, 1), 2)"
    ),
    "elem(broadcast(x), i) == elem(x, i[axes])": "x: f64[3] | elem(broadcast(x, shape=(2, 3), axes=(1,)), 1, 2)",
    "elem(transpose(x), i) == elem(x, i[perm])": "x: f64[2,3] | elem(transpose(x, perm=(1, 0)), 2, 1)",
    "elem(slice(x, start, step), i) == elem(x, start + i * step)": (
        "x: f64[7], i: i64 | elem(slice_(x, 1, steps=(2,), shape=(3,)), mod(i, 3))"
    ),
    "elem(reshape(x), i) == elem(x, j), where only axes of size 1 come and go, or i is known": (
        "x: f64[2,3], y: f64[1,5], i: i64 | add(elem(reshape(x, shape=(3, 2)), 1, 1), "
        "elem(reshape(y, shape=(5,)), mod(i, 5)))"
    ),
    "elem(concat(x, y), i) == elem(y, i - len(x)), where i is known": (
        "x: f64[2], y: f64[3] | elem(concat(x, y, axis=0), 3)"
    ),
    "elem(gather(x, i), k) == elem(x, elem(i, k)) when rank(x) == 1 and rank(i) == 1": (
        "x: f64[5], k: i64 | elem(gather(x, iota(shape=(4,))), mod(k, 4))"
    ),
    "slice(x, 0) == x, of x's own size": "x: f64[4] | slice_(x, 0, steps=(1,), shape=(4,))",
    "slice(fill(c)) == fill(c)": "c: f64 | slice_(fill(c, 7), 1, steps=(2,), shape=(3,))",
    "slice(slice(x, a, s), b, t) == slice(x, a + b * s, s * t)": (
        "x: f64[9] | slice_(slice_(x, 1, steps=(2,), shape=(4,)), 3, steps=(-1,), shape=(3,))"
    ),
    "gather(x, iota(n)) == x, n the size of x": "x: f64[4] | gather(x, iota(shape=(4,)))",
    "gather(fill(c), i) == fill(c)": "c: f64 | gather(fill(c, 5), iota(shape=(3,)))",
    **{
        f"{op}({op}(x)) == {op}(x), over the axes of both": f"x: {t}[2,3,4] | {op}({op}(x, axes=(1,)), axes=(1,))"
        for t, ops in (("f64", "sum prod max min"), ("bool", "any all"))
        for op in (f"reduce_{o}" for o in ops.split())
    },
    **{
        f"{op}(transpose(x)) == {op}(x), where the axes that are left keep their order": (
            f"x: {t}[2,3] | {op}(transpose(x, perm=(1, 0)), axes=(0,))"
        )
        for t, ops in (("f64", "sum prod max min"), ("bool", "any all"))
        for op in (f"reduce_{o}" for o in ops.split())
    },
    "reduce_sum(broadcast(x)) == x * n, over n > 0 repetitions": (
        "x: f64[3] | reduce_sum(broadcast(x, shape=(4, 3), axes=(1,)), axes=(0,))"
    ),
    "reduce_sum(where(iota == i, x, 0)) == x[i] where 0 <= i < n, else 0": (
        "x: f64[4], i: i64 | reduce_sum(select(eq(iota(shape=(4,)), i), x, zero), axes=(0,))"
    ),
    "reduce_sum(-x, axes=a) == -reduce_sum(x, axes=a)": "x: f64[3] | reduce_sum(-x, axes=(0,))",
    "x @ w == rows(x) @ w, where all matrices in x meet the same w: one product": (
        "x: f64[5,2,3], w: f64[3,4] | matmul(x, broadcast(w, shape=(5, 3, 4), axes=(1, 2)), ta=False, tb=False)"
    ),
    "a.T @ b == matmul[ta](a, b)": (
        "a: f64[3,2], b: f64[3,4] | matmul(transpose(a, perm=(1, 0)), b, ta=False, tb=False)"
    ),
    "(a @ b).T == b.T @ a.T": "a: f64[2,3], b: f64[3,4] | transpose(matmul(a, b, ta=False, tb=False), perm=(1, 0))",
    "x + add_elem(zeros, v, i) == add_elem(x, v, i)": "x: f64[3], v: f64 | x + add_elem(zeros(3), v, 1)",
    "x + slice_add(zeros, v, i) == slice_add(x, v, i)": (
        "x: f64[3], v: f64[2] | x + slice_add(zeros(3), v, 1, steps=(1,))"
    ),
    "x + scatter_add(zeros, v, i) == scatter_add(x, v, i)": (
        "x: f64[3], v: f64[2] | x + scatter_add(zeros(3), v, iota(shape=(2,)))"
    ),
    "set_elem(set_elem(x, _, *i), v, *i) == set_elem(x, v, *i)": (
        "x: f64[3], u: f64, v: f64 | set_elem(set_elem(x, u, 1), v, 1)"
    ),
    "set_elem(x, elem(x, *i), *i) == x": "x: f64[3] | set_elem(x, elem(x, 1), 1)",
    "set_elem(x, elem(x, *i) + v, *i) == add_elem(x, v, *i)": "x: f64[3], v: f64 | set_elem(x, elem(x, 1) + v, 1)",
    "add_elem(x, zero, *i) == x": "x: f64[3] | add_elem(x, zero, 1)",
    "slice_add(x, zero, *i) == x": "x: f64[3] | slice_add(x, zeros(2), 1, steps=(1,))",
    "scatter_add(x, zero, *i) == x": "x: f64[3] | scatter_add(x, zeros(2), iota(shape=(2,)))",
    "slice_set(x, v) == v, of x's own size": "x: f64[3], v: f64[3] | slice_set(x, v, 0, steps=(1,))",
    # data
    "get[k](tuple(xs)) == xs[k]": "x: f64, y: f64 | get(tuple_(x, y), index=1)",
    "tuple(get[0](t), get[1](t), …) == t": "t: (f64, i64) | tuple_(get(t, index=0), get(t, index=1))",
    "stack_pop(stack_push(s, v)) == (s, v)": "v: f64 | get(stack_pop(stack_push(empty(), v)), index=1)",
    "stack_len(stack_push(s, v)) == stack_len(s) + 1": "v: f64 | stack_len(stack_push(empty(), v))",
    "stack_len(stack_new()) == 0": "v: f64 | stack_len(empty())",
}

BRANCH = """
graph @f(%c: bool, %x: f64) -> f64 {{
  %y: f64 = switch({c}) {{
    @then() -> f64 {{
      %a: f64 = sin(%x)
      return %a
    }}
    @else() -> f64 {{
      return {other}
    }}
  }}
  return %y
}}"""
LOOP = """
graph @f(%n: i64, %x: f64) -> f64 {{
  %y: f64 = loop(0, {start}, %x) {{
    @L(%i: i64, %s: f64, %z: f64) -> f64 {{
      %c: bool = lt(%i, {limit})
      %r: f64 = switch(%c) {{
        @body() -> f64 {{
          %e: f64 = exp(%z)
          %t: f64 = add(%s, %e)
          %j: i64 = add(%i, 1)
          %m: f64 = recur @L(%j, %t, {next})
          return %m
        }}
        @done() -> f64 {{
          return %s
        }}
      }}
      return %r
    }}
  }}
  return %y
}}"""
PROGRAMS = {
    "guard(True) == ()": """
graph @f(%x: f64) -> f64 {
  %ok: () = guard[exception='ValueError', message='no'](True)
  return %x
}""",
    "switch(True) { a } { b } == a(), switch(False) { a } { b } == b()": BRANCH.format(c="True", other="%x"),
    "get[k](switch(c) { …, x } { …, x }) == x": """
graph @f(%c: bool, %x: f64) -> f64 {
  %y: (f64, f64) = switch(%c) {
    @then() -> (f64, f64) {
      %a: f64 = sin(%x)
      %t: (f64, f64) = tuple(%a, %x)
      return %t
    }
    @else() -> (f64, f64) {
      %e: (f64, f64) = tuple(%x, %x)
      return %e
    }
  }
  %z: f64 = get[index=1](%y)
  return %z
}""",
    "switch(c) { a } { a } == a()": """
graph @f(%c: bool, %x: f64) -> f64 {
  %y: f64 = switch(%c) {
    @then() -> f64 {
      return %x
    }
    @else() -> f64 {
      return %x
    }
  }
  return %y
}""",
    "case(make[k](xs)) { f }… == f[k](xs)": """
sum $s = one(f64) | none()
graph @f(%x: f64) -> f64 {
  %v: $s = make[sum=!$s, tag='one'](%x)
  %y: f64 = case(%v) {
    @one(%a: f64) -> f64 {
      %b: f64 = sin(%a)
      return %b
    }
    @none() -> f64 {
      return 0.5
    }
  }
  return %y
}""",
    "case(switch(c) { a } { b }) {…} == switch(c) { case(a) {…} } { case(b) {…} }": """
sum $s = one(f64) | none()
graph @f(%c: bool, %x: f64) -> f64 {
  %v: $s = switch(%c) {
    @then() -> $s {
      %o: $s = make[sum=!$s, tag='one'](%x)
      return %o
    }
    @else() -> $s {
      %n: $s = make[sum=!$s, tag='none']()
      return %n
    }
  }
  %y: f64 = case(%v) {
    @one(%a: f64) -> f64 {
      %b: f64 = sin(%a)
      return %b
    }
    @none() -> f64 {
      return 0.5
    }
  }
  return %y
}""",
    "loop(xs) { f without recur } == f(xs)": """
graph @f(%x: f64) -> f64 {
  %y: f64 = loop(%x) {
    @L(%s: f64) -> f64 {
      %a: f64 = sin(%s)
      return %a
    }
  }
  return %y
}""",
    "loop(x, y) { f(x', y), y unchanged } == loop(x) { f(x') }": LOOP.format(start="0.0", limit="%n", next="%z"),
    "loop { f } of few known trips == f, so many times": LOOP.format(start="0.0", limit="3", next="%t"),
    "what a loop does not change stands before it": LOOP.format(start="0.0", limit="%n", next="%z").replace(
        "exp(%z)", "exp(%x)"
    ),
    "call @f(xs) == the body of f, where f is small, or called once": """
graph @f(%x: f64) -> f64 {
  %y: f64 = call @g(%x)
  %z: f64 = call @g(%y)
  return %z
}

graph @g(%a: f64) -> f64 {
  %b: f64 = sin(%a)
  return %b
}""",
    "f(constants) == constant": """
graph @f(%x: f64) -> f64 {
  %a: f64 = mul(2.0, 3.0)
  %y: f64 = add(%x, %a)
  return %y
}""",
    "equal terms are one term": """
graph @f(%x: f64, %y: f64) -> f64 {
  %a: f64 = mul(%x, %y)
  %b: f64 = mul(%y, %x)
  %z: f64 = add(%a, %b)
  return %z
}""",
    "a condition is known where it was tested": BRANCH.format(c="%c", other="%x").replace(
        "%a: f64 = sin(%x)", "%d: f64 = sin(%x)\n      %a: f64 = select(%c, %d, %x)"
    ),
}

FOLD = """
graph @f(%i: i64, %s: f64, %x: f64[4]) -> f64 {
  %j: i64 = mod(%i, 4)
  %y: f64 = loop(0, %s) {
    @L(%k: i64, %t: f64) -> f64 {
      %c: bool = lt(%k, 4)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %e: f64 = elem(%x, %k)
          %h: bool = eq(%k, %j)
          %w: f64 = select(%h, %e, 0.0)
          %u: f64 = add(%t, %w)
          %n: i64 = add(%k, 1)
          %m: f64 = recur @L(%n, %u)
          return %m
        }
        @done() -> f64 {
          return %t
        }
      }
      return %r
    }
  }
  return %y
}"""
BUILD = """
graph @f(%i: i64, %x: f64[4]) -> f64[4] {
  %j: i64 = mod(%i, 4)
  %zeros: f64[4] = broadcast[shape=(4,), axes=()](0.0)
  %y: f64[4] = loop(0, %zeros) {
    @L(%k: i64, %t: f64[4]) -> f64[4] {
      %c: bool = lt(%k, 4)
      %r: f64[4] = switch(%c) {
        @body() -> f64[4] {
          %e: f64 = elem(%x, %k)
          %h: bool = eq(%k, %j)
          %w: f64 = select(%h, %e, 0.0)
          %u: f64[4] = set_elem(%t, %w, %k)
          %n: i64 = add(%k, 1)
          %m: f64[4] = recur @L(%n, %u)
          return %m
        }
        @done() -> f64[4] {
          return %t
        }
      }
      return %r
    }
  }
  return %y
}"""
PROGRAMS |= {
    "loop(k < n, s) { s + where(k == i, f(k), zero) } == s + where(0 <= i < n, f(i), zero)": FOLD,
    "loop(k < n, s) { s + where(k == i, f(k), 0.0) } == s + where(0 <= i < n, f(i), 0.0) (a sum of zeros may be -0.0)": FOLD,  # noqa: E501
    "loop(k < n, fill(0)) { r with r[k] = where(k == i, f(k), 0) } == fill(0) with [i] = f(i)": BUILD,
    "elem(loop(k < n, _) { r with r[k] = f(k) }, i) == f(i), f small": BUILD.replace("%w, %k)", "%e, %k)")
    .replace("@f(%i: i64, %x: f64[4]) -> f64[4]", "@f(%i: i64, %x: f64[4]) -> f64")
    .replace("  return %y\n}", "  %q: f64 = elem(%y, %j)\n  return %q\n}"),
    "x with [s:] = loop(fill) { r with [i] = v } == loop(x) { r with [s + i] = v }, which writes it all": BUILD.replace(
        "%i: i64, %x: f64[4]) -> f64[4]", "%i: i64, %x: f64[4], %a: f64[3,4]) -> f64[3,4]"
    ).replace(
        "  return %y\n}",
        "  %v: f64[1,4] = reshape[shape=(1, 4)](%y)\n"
        "  %q: f64[3,4] = slice_set[steps=(1, 1)](%a, %v, 2, 0)\n  return %q\n}",
    ),
}
EXPRESSIONS |= {
    "elem(set_elem(fill(c), v, i), j) == where(j == i, v, c)": (
        "c: f64, v: f64, i: i64, j: i64 | elem(set_elem(fill(c, 4), v, mod(i, 4)), mod(j, 4))"
    ),
    "x with [s:] = fill(c) with [i] = v == (x with [s:] = fill(c)) with [s + i] = v": (
        "a: f64[3,4], v: f64, i: i64 | "
        "slice_set(a, reshape(set_elem(fill(index(0.0), 4), v, mod(i, 4)), shape=(1, 4)), 2, 0, steps=(1, 1))"
    ),
    "mul(where(c, x, 0), y) == where(c, mul(x, y), 0)": "c: bool, x: f64, y: f64 | where(c, x, 0.0) * y",
    "mul(y, where(c, x, 0)) == where(c, mul(y, x), 0)": "c: bool, x: f64, y: f64 | y * where(c, x, 0.0)",
    "div(where(c, x, 0), y) == where(c, div(x, y), 0)": "c: bool, x: f64, y: f64 | where(c, x, 0.0) / y",
    "neg(where(c, x, 0)) == where(c, neg(x), 0)": "c: bool, x: f64 | -where(c, x, 0.0)",
    "where(c, x, 0.0) + where(c, y, 0.0) == where(c, x + y, 0.0)": (
        "c: bool, x: f64, y: f64 | where(c, x, 0.0) + where(c, y, 0.0)"
    ),
    "where(c, x, 0.0) - where(c, y, 0.0) == where(c, x - y, 0.0)": (
        "c: bool, x: f64, y: f64 | where(c, x, 0.0) - where(c, y, 0.0)"
    ),
    "where(c, 0.0, 0.0) == 0.0": "c: bool | where(c, index(0.0), index(0.0))",
    "0.0 / x == 0.0": "x: f64 | 0.0 / x",
}
# forward mode by rules: a function under jvp
BODY = {
    "jvp @f(x, d) == (y, tangent(y)), y = f(dual(x, d))": "%y: f64 = sin(%x)",
    "tangent(dual(x, d)) == d": "%y: f64 = add(%x, 1.0)",
    "tangent(constant) == zero": "%y: f64 = mul(%x, 2.0)",
    "dual(x, d) == x": "%y: f64 = neg(%x)",
    "call @f(dual(x, d)) == the body of f": "%y: f64 = call @g(%x)",
    "loop(x) { f } == loop(x, tangent(x)) { f on duals }, under jvp": LOOP.format(start="0.0", limit="3", next="%t")
    .split("-> f64 {", 1)[1]
    .rsplit("return", 1)[0]
    .strip(),
    "switch(c) { a } { b } == switch(c) { a, tangent(a) } { b, tangent(b) }, under jvp": "%c: bool = lt(%x, 1.0)\n"
    + BRANCH.format(c="%c", other="%x").split("-> f64 {", 1)[1].rsplit("return", 1)[0].strip(),
}
BODY["recur(x) == recur(x, tangent(x)), under jvp"] = BODY[
    "loop(x) { f } == loop(x, tangent(x)) { f on duals }, under jvp"
]


def under_jvp(body):
    return f"""
graph @f(%x: f64, %x_dot: f64) -> (f64, f64) {{
  %r: (f64, f64) = jvp[wrt=(0,)] @h(%x, %x_dot)
  return %r
}}

graph @h(%x: f64) -> f64 {{
  {body}
  return %y
}}
""" + ("\ngraph @g(%x: f64) -> f64 {\n  %y: f64 = exp(%x)\n  return %y\n}\n" if "@g" in body else "")


def tangents_of(name):
    """One primitive under jvp, with a tangent for each float argument."""
    op = PRIMITIVES[name]
    dtypes = {"float64": "f64", "float32": "f32", "int64": "i64", "int32": "i32", "bool": "bool"}
    for args, attrs in SAMPLES[op.name]:
        types = [shaped(dtypes[a.dtype.name], a.shape) for a in args]
        if not any(t.dtype == "f64" for t in types) or not all(a.size for a in args):
            continue
        h, g = Graph("h"), Graph("f")
        ps = [
            constant(a.item()) if t == I64 else h.parameter(t, f"x{k}")
            for k, (a, t) in enumerate(zip(args, types, strict=True))
        ]
        with Builder(h):
            try:
                h.returns(op(*ps, **attrs))
            except TypeError:
                continue
        wrt = tuple(k for k, p in enumerate(h.params) if p.type.dtype == "f64")
        if getattr(h.result_type, "dtype", "") != "f64":
            continue
        xs = [g.parameter(p.type, p.name) for p in h.params]
        dots = [g.parameter(h.params[k].type, f"{h.params[k].name}_dot") for k in wrt]
        with Builder(g) as b:
            g.returns(b.emit(jvp, *xs, *dots, graphs=(h,), wrt=wrt))
        yield verify(g)


def structural(t):
    c = Constant(0.0, Scalar("f64"))
    c.name = "zero"
    return c


def namespace():
    space = {k if k.isidentifier() else k + "_": p for k, p in PRIMITIVES.items()}
    fill = lambda c, *shape: PRIMITIVES["broadcast"](c, shape=shape, axes=())  # noqa: E731
    return space | {
        "where": PRIMITIVES["select"],
        "slice_": PRIMITIVES["slice"],
        "tuple_": tuple_,
        "fill": fill,
        "zero": structural(None),
        "zeros": lambda *shape: fill(structural(None), *shape),
        "empty": lambda: stack_new(elem=Scalar("f64")),
        "inf": float("inf"),
        "index": constant,
    }


def type_of(text):
    if text.startswith("("):
        return Tuple(tuple(map(type_of, text[1:-1].split(", "))))
    dtype, _, dims = text.rstrip("]").partition("[")
    return shaped(dtype, tuple(None if d == "?" else int(d) for d in dims.split(",")) if dims else ())


def program(text):
    """The graph of `x: f64, y: f64 | expression`."""
    params, _, expression = text.partition(" | ")
    g = Graph("f")
    space = namespace()
    for name, t in re.findall(r"(\w+): (\([^)]*\)|\w+(?:\[[^\]]*\])?)", params):
        space[name] = g.parameter(type_of(t), name)
    with Builder(g):
        tree = ast.parse(expression.strip(), mode="eval")
        result = eval(compile(Indexes().visit(tree), "<rule>", "eval"), space)
    return verify(g.returns(result))


class Indexes(ast.NodeTransformer):
    """Whole numbers among the operands of an array primitive are indexes."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if getattr(node.func, "id", "") in ("elem", "set_elem", "add_elem", "slice_", "slice_set", "slice_add"):
            for k, a in enumerate(node.args):
                if isinstance(a, ast.Constant) and isinstance(a.value, int):
                    node.args[k] = ast.Call(ast.Name("index", ast.Load()), [a], [])
        return ast.fix_missing_locations(node)


def of_equation(rule):
    """Programs with the left side of an equation over plain variables, in the dtypes that it may have."""
    tree = ast.parse(rule.equation, mode="eval").body.left
    left, condition = ast.unparse(tree), rule.condition or ""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - set(PRIMITIVES) - {"where", "zero", "inf"}
    units = dict(re.findall(r"is_value\((\w), ([^)]+)\)", condition))
    known = re.findall(r"(?<!not )known\((\w)\)", condition)
    count = left.count("_,") + left.count("_)")
    for dtype in ("f64", "i64", "bool"):
        space = {}
        for k, c in enumerate(known):
            space[c] = str(k + 2) if dtype == "i64" else f"{k + 2}.0"
        for e, v in units.items():
            space[e] = (
                str(bool(float(v)))
                if dtype == "bool"
                else str(float(v))
                if dtype == "f64"
                else str(v).replace("-0.0", "0")
            )
        text = re.sub(r"\b(\w)\b", lambda m, s=space: s.get(m[1], m[1]), left) if space else left
        free = sorted(n for n in names - set(space) if n != "_")
        for k in range(count):
            text = text.replace("_,", f"w{k},", 1) if "_," in text else text.replace("_)", f"w{k})", 1)
            free.append(f"w{k}")
        for extra in ("", "[3]"):
            try:
                yield program(
                    ", ".join(f"{n}: {'bool' if n == 'c' and 'where' in left else dtype}{extra}" for n in free)
                    + " | "
                    + text
                )
            except TypeError:
                continue


def of_family(rule):
    """Programs of the generic rules: one for each primitive."""
    op = rule.op
    samples = SAMPLES[op.name]
    if "fill(c)" in rule.name:
        args, attrs = samples[0]
        types = [
            {"float64": "f64", "int64": "i64", "int32": "i32", "bool": "bool", "float32": "f32"}[a.dtype.name]
            for a in args
        ]
        g, space = Graph("f"), namespace()
        ps = [
            g.parameter(Scalar(t) if "== fill" in rule.name or k else shaped(t, (3,)), f"x{k}")
            for k, t in enumerate(types)
        ]
        with Builder(g):
            args = [
                space["fill"](p, 3) if isinstance(p.type, Scalar) and (k or "== fill" in rule.name) else p
                for k, p in enumerate(ps)
            ]
            yield verify(g.returns(op(*args, **attrs)))
    elif "being linear" in rule.name:
        from myia_lite.opt.rules.derivative import together

        for args, attrs in samples:
            if args[0].dtype != np.float64 or not all(a.size for a in args) or None in attrs.get("shape", ()):
                continue
            g, space = Graph("f"), namespace()
            ps = [
                g.parameter(shaped("f64", a.shape))
                if a.dtype == np.float64
                else Constant(a, shaped("i64", a.shape))
                if a.shape
                else constant(int(a))
                for a in args
            ]
            zeros = set(map(id, together(op, ps))) if op.linear else {id(ps[op.multilinear[0]])}
            with Builder(g):
                args = [
                    (space["zeros"](*p.type.shape) if hasattr(p.type, "shape") else space["zero"])
                    if id(p) in zeros
                    else p
                    for p in ps
                ]
                yield verify(g.returns(op(*args, **attrs)))


def inputs(rule):
    """The programs on which a rule is tried; the first on which it fires is the one that is shown."""
    if rule.name in BODY:
        yield verify(parse_text(under_jvp(BODY[rule.name]), PRIMITIVES))
    elif rule.name.startswith("tangent("):
        yield from tangents_of(rule.name.split("(")[1])
    elif rule.name in PROGRAMS:
        g = parse_text(PROGRAMS[rule.name], PRIMITIVES)
        if "where(k == i, f(k), zero)" in rule.name:  # the text does not tell a structural zero
            for n in (n for h in g.nested() for n in h.nodes if n.op.name == "select"):
                n.args = (*n.args[:2], structural(None))
        yield verify(g)
    elif rule.name in EXPRESSIONS:
        yield program(EXPRESSIONS[rule.name])
    elif rule.equation:
        yield from of_equation(rule)
    else:
        yield from of_family(rule)
