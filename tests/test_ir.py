"""The printed form parses back; the verifier refuses what the grammar forbids."""

import pytest

from myia_lite.ir import VerifyError, clone, parse_text, show, verify
from myia_lite.ops import PRIMITIVES

POWER = """\
graph @power(%x: f64, %n: i64) -> f64 {
  %y: (i64, f64) = loop(0, 1.0) {
    @while(%i: i64, %s: f64) -> (i64, f64) {
      %c: bool = lt(%i, %n)
      %1: (i64, f64) = switch(%c) {
        @then() -> (i64, f64) {
          %2: i64 = add(%i, 1)
          %3: f64 = mul(%s, %x)
          %4: (i64, f64) = recur @while(%2, %3)
          return %4
        }
        @else() -> (i64, f64) {
          %5: (i64, f64) = tuple(%i, %s)
          return %5
        }
      }
      return %1
    }
  }
  %6: f64 = get[index=1](%y)
  return %6
}
"""

DATA = """\
sum $list = nil() | cons(f64, $list)

graph @f(%a: f64[3,?], %l: $list) -> f64 {
  %1: f64[?] = reduce_sum[axes=(0,)](%a)
  %2: f64 = reduce_sum[axes=(0,)](%1)
  %3: f64 = call @total(%l)
  %4: f64 = add(%2, %3)
  %5: bool = gt(%4, -inf)
  %6: () = guard[exception='ValueError', message='too small: {0}'](%5, %4)
  %7: stack<f64> = stack_new[elem=!f64]()
  %8: f64 = add(%4, 2.5)
  %9: f32 = cast[dtype='f32'](%8)
  %10: f32 = mul(%9, 2.0:f32)
  %11: f64 = cast[dtype='f64'](%10)
  return %11
}

graph @total(%l.1: $list) -> f64 {
  %12: f64 = case(%l.1) {
    @nil() -> f64 {
      return 0.0
    }
    @cons(%h: f64, %t: $list) -> f64 {
      %13: f64 = call @total(%t)
      %14: f64 = add(%h, %13)
      return %14
    }
  }
  return %12
}
"""


@pytest.mark.parametrize("text", [POWER, DATA], ids=["loop", "data"])
def test_text_round_trips(text):
    g = verify(parse_text(text, PRIMITIVES))
    assert show(g) == text
    assert show(verify(clone(g))) == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("add(%i, 1)", "add(%i, 1.0)", "different dtypes"),
        ("lt(%i, %n)", "lt(%i, %s)", "different dtypes"),
        ("recur @while(%2, %3)", "recur @while(%2)", "takes 2 arguments"),
        ("%3: f64 = mul", "%3: f32 = mul", "has type f32"),
    ],
)
def test_verifier_refuses(old, new, message):
    with pytest.raises(VerifyError, match=message):
        verify(parse_text(POWER.replace(old, new), PRIMITIVES))


def test_recur_only_in_tail_position():
    text = POWER.replace("return %4\n", "%9: i64 = get[index=0](%4)\n  %10: (i64, f64) = tuple(%9, %3)\n  return %10\n")
    with pytest.raises(VerifyError, match="tail position"):
        verify(parse_text(text, PRIMITIVES))
