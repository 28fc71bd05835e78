"""Which programs run without the GIL, by an estimate of their work."""

import pytest

from myia_lite.backends.llvm.cost import may_run_long
from myia_lite.ir.text import parse_text
from myia_lite.ops import PRIMITIVES

LOOP = """
graph @f(%x: f64, %n: i64) -> f64 {{
  %y: f64 = loop(0, %x) {{
    @loop(%i: i64, %s: f64) -> f64 {{
      %go: bool = lt(%i, {stop})
      %r: f64 = switch(%go) {{
        @body() -> f64 {{
          %t: f64 = {op}(%s)
          %k: i64 = add(%i, 1)
          %a: f64 = recur @loop(%k, %t)
          return %a
        }}
        @done() -> f64 {{ return %s }}
      }}
      return %r
    }}
  }}
  return %y
}}"""
RECURSIVE = """
graph @f(%x: f64) -> f64 {
  %c: bool = lt(%x, 1.0)
  %y: f64 = switch(%c) {
    @then() -> f64 { return %x }
    @else() -> f64 {
      %z: f64 = sub(%x, 1.0)
      %r: f64 = call @f(%z)
      %s: f64 = mul(%r, %x)
      return %s
    }
  }
  return %y
}"""


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("graph @f(%x: f64) -> f64 { %y: f64 = sin(%x) return %y }", False),
        (LOOP.format(stop=50, op="sin"), False),
        (LOOP.format(stop=5000, op="neg"), True),
        (LOOP.format(stop=500, op="sin"), True),
        (LOOP.format(stop="%n", op="neg"), True),
        (RECURSIVE, True),
        ("graph @f(%x: f64[100]) -> f64[100] { %y: f64[100] = neg(%x) return %y }", False),
        ("graph @f(%x: f64[?]) -> f64[?] { %y: f64[?] = neg(%x) return %y }", False),
        ("graph @f(%x: f64[9000]) -> f64[9000] { %y: f64[9000] = neg(%x) return %y }", True),
        (
            "graph @f(%x: f64[30,30]) -> f64[30,30] { %y: f64[30,30] = matmul[ta=False,tb=False](%x, %x) return %y }",
            True,
        ),
        ("graph @f(%n: i64) -> f64[?] { %y: f64[?] = broadcast[shape=(None,), axes=()](3.0, %n) return %y }", True),
    ],
)
def test_what_may_run_long(text, long):
    assert may_run_long(parse_text(text, PRIMITIVES)) is long
