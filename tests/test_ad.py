"""Both modes on IR text: every order, in every mixture of the modes, agrees with differences of the order below."""

import itertools
import math

import numpy as np
import pytest

from myia_lite import grad as reverse_grad
from myia_lite.ad import Forward, expand
from myia_lite.backends import get_backend
from myia_lite.ir import Builder, Constant, Graph, Tuple, current, parse_text, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.ops.control import get, grad, jvp
from myia_lite.opt import optimise, simplify

PROGRAMS = {
    # s = x; while s < 10: if s < 3: s = s * x else: s = s + sin(s * x)
    "if in while": (
        """
graph @f(%x: f64) -> f64 {
  %y: f64 = loop(%x) {
    @L(%s: f64) -> f64 {
      %c: bool = lt(%s, 10.0)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %d: bool = lt(%s, 3.0)
          %t: f64 = switch(%d) {
            @small() -> f64 {
              %a: f64 = mul(%s, %x)
              return %a
            }
            @large() -> f64 {
              %b: f64 = mul(%s, %x)
              %e: f64 = sin(%b)
              %g: f64 = add(%s, %e)
              %h: f64 = add(%g, 1.5)
              return %h
            }
          }
          %n: f64 = recur @L(%t)
          return %n
        }
        @done() -> f64 {
          return %s
        }
      }
      return %r
    }
  }
  return %y
}""",
        [1.7],
    ),
    # two ways round and two exits: the result of an early return is another function of the state
    "continue and return": (
        """
graph @f(%x: f64) -> f64 {
  %y: f64 = loop(0, %x, 1.0) {
    @L(%i: i64, %s: f64, %p: f64) -> f64 {
      %c: bool = lt(%i, 6)
      %j: i64 = add(%i, 1)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %m: i64 = mod(%i, 2)
          %odd: bool = eq(%m, 1)
          %q: f64 = mul(%p, %s)
          %r2: f64 = switch(%odd) {
            @odd() -> f64 {
              %u: f64 = sin(%s)
              %n1: f64 = recur @L(%j, %u, %q)
              return %n1
            }
            @even() -> f64 {
              %big: bool = gt(%q, 40.0)
              %r3: f64 = switch(%big) {
                @leave() -> f64 {
                  %v: f64 = mul(%q, %q)
                  return %v
                }
                @go() -> f64 {
                  %w: f64 = exp(%x)
                  %w2: f64 = add(%s, %w)
                  %n2: f64 = recur @L(%j, %w2, %q)
                  return %n2
                }
              }
              return %r3
            }
          }
          return %r2
        }
        @done() -> f64 {
          %z: f64 = add(%p, %s)
          return %z
        }
      }
      return %r
    }
  }
  return %y
}""",
        [0.7, 1.2, 2.0],
    ),
    # f(x, n) = x if n == 0 else sin(f(x, n-1) * x) + f(x, n-2 if n > 1 else 0)
    "recursion": (
        """
graph @f(%x: f64) -> f64 {
  %y: f64 = call @g(%x, 4)
  return %y
}
graph @g(%x: f64, %n: i64) -> f64 {
  %c: bool = le(%n, 0)
  %r: f64 = switch(%c) {
    @stop() -> f64 {
      return %x
    }
    @go() -> f64 {
      %m: i64 = sub(%n, 1)
      %k: i64 = sub(%n, 2)
      %a: f64 = call @g(%x, %m)
      %b: f64 = mul(%a, %x)
      %s: f64 = sin(%b)
      %d: f64 = call @g(%s, %k)
      %e: f64 = add(%s, %d)
      return %e
    }
  }
  return %r
}""",
        [0.9],
    ),
    # an array filled in a loop and read in a nested one; a borrowed array read in a recursion
    "arrays": (
        """
graph @f(%x: f64) -> f64 {
  %z: f64[5] = broadcast[shape=(5,), axes=()](%x)
  %a: f64[5] = loop(1, %z) {
    @fill(%i: i64, %y: f64[5]) -> f64[5] {
      %c: bool = lt(%i, 5)
      %r: f64[5] = switch(%c) {
        @body() -> f64[5] {
          %h: i64 = sub(%i, 1)
          %p: f64 = elem(%y, %h)
          %q: f64 = mul(%p, %x)
          %u: f64 = sin(%q)
          %w: f64 = add(%u, 1.0)
          %y2: f64[5] = set_elem(%y, %w, %i)
          %j: i64 = add(%i, 1)
          %n: f64[5] = recur @fill(%j, %y2)
          return %n
        }
        @done() -> f64[5] {
          return %y
        }
      }
      return %r
    }
  }
  %s: f64 = loop(0, 0.0) {
    @outer(%i: i64, %s: f64) -> f64 {
      %c: bool = lt(%i, 5)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %t: f64 = loop(%i, %s) {
            @inner(%k: i64, %v: f64) -> f64 {
              %d: bool = lt(%k, 5)
              %r2: f64 = switch(%d) {
                @more() -> f64 {
                  %e: f64 = elem(%a, %k)
                  %g: f64 = mul(%e, %e)
                  %v2: f64 = add(%v, %g)
                  %k2: i64 = add(%k, 2)
                  %n2: f64 = recur @inner(%k2, %v2)
                  return %n2
                }
                @end() -> f64 {
                  return %v
                }
              }
              return %r2
            }
          }
          %i2: i64 = add(%i, 1)
          %n: f64 = recur @outer(%i2, %t)
          return %n
        }
        @done() -> f64 {
          return %s
        }
      }
      return %r
    }
  }
  %w: f64 = call @total(%a, 0)
  %v: f64 = mul(%w, %s)
  return %v
}
graph @total(%a: f64[5], %i: i64) -> f64 {
  %c: bool = ge(%i, 5)
  %r: f64 = switch(%c) {
    @stop() -> f64 {
      return 0.0
    }
    @go() -> f64 {
      %j: i64 = add(%i, 1)
      %t: f64 = call @total(%a, %j)
      %e: f64 = elem(%a, %i)
      %u: f64 = mul(%e, %t)
      %v: f64 = add(%u, %e)
      return %v
    }
  }
  return %r
}""",
        [0.6],
    ),
    # a value that is one of two functions' captures, chosen at run time and used twice
    "tagged closures": (
        """
sum $F = scale(f64) | shift(f64, f64[2]) | none()
graph @f(%x: f64) -> f64 {
  %c: bool = gt(%x, 1.0)
  %h: $F = switch(%c) {
    @a() -> $F {
      %a2: f64 = mul(%x, %x)
      %m: $F = make[sum=!$F, tag='scale'](%a2)
      return %m
    }
    @b() -> $F {
      %b2: f64 = sin(%x)
      %b3: f64[2] = broadcast[shape=(2,), axes=()](%x)
      %m2: $F = make[sum=!$F, tag='shift'](%b2, %b3)
      return %m2
    }
  }
  %p: f64 = call @apply(%h, %x)
  %q: f64 = call @apply(%h, %p)
  return %q
}
graph @apply(%h: $F, %x: f64) -> f64 {
  %r: f64 = case(%h) {
    @scale(%k: f64) -> f64 {
      %y: f64 = mul(%k, %x)
      return %y
    }
    @shift(%k2: f64, %v: f64[2]) -> f64 {
      %y2: f64 = add(%k2, %x)
      %e: f64 = elem(%v, 1)
      %y3: f64 = mul(%y2, %e)
      return %y3
    }
    @none() -> f64 {
      %z: never = raise[exception='ValueError', message='none']()
      return %z
    }
  }
  return %r
}""",
        [1.4, 0.6],
    ),
}


def results(g: Graph) -> int:
    return len(g.result_type.elems) if isinstance(g.result_type, Tuple) else 1


def derivative(g: Graph, mode: str) -> Graph:
    """The graph x -> dg/dx, with a `grad` or `jvp` node still to be expanded."""
    h = Graph(f"D{g.name}")
    (p,) = g.params
    x = h.parameter(p.type, p.name)
    with Builder(h):
        one = Constant(1.0, p.type)
        if mode == "forward":
            both = current().emit(jvp, x, one, graphs=(g,), wrt=(0,))
        elif mode == "reverse":
            both = current().emit(grad, x, graphs=(g,), wrt=(0,))
        else:
            both = current().emit(grad, x, one, graphs=(g,), wrt=(0,), seeds=(0,))
        return h.returns(get(both, index=results(g)))


def simplified(g: Graph) -> Graph:
    return verify(simplify(verify(g)))


def nth(text: str, modes, pass_=verify):
    """The derivative of the order len(modes), the innermost mode first."""
    g = verify(parse_text(text, PRIMITIVES))
    for mode in modes:
        g = derivative(g, mode)
    run = get_backend("interp").compile(pass_(expand(g, pass_)))
    return lambda x: run([np.float64(x)])[0]


WORDS = [w for order in (1, 2, 3) for w in itertools.product(("forward", "reverse"), repeat=order)]
WORDS += [("seeded",), ("seeded", "forward", "seeded")]


@pytest.mark.parametrize("word", WORDS, ids=lambda w: "".join(m[0] for m in w))
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("pass_", [verify, simplified], ids=["literal", "simplified"])
def test_order(name, word, pass_):
    text, points = PROGRAMS[name]
    lower, here = nth(text, word[:-1], simplified), nth(text, word, pass_)
    for x in points:
        h = 1e-5
        numeric = (8 * (lower(x + h) - lower(x - h)) - (lower(x + 2 * h) - lower(x - 2 * h))) / (12 * h)
        assert here(x) == pytest.approx(numeric, rel=2e-6, abs=1e-6)


@pytest.mark.parametrize("name", PROGRAMS)
def test_native(name):
    """The four words of order two in compiled code."""
    text, points = PROGRAMS[name]
    for word in itertools.product(("forward", "reverse"), repeat=2):
        g = verify(parse_text(text, PRIMITIVES))
        for mode in word:
            g = derivative(g, mode)
        native = get_backend("llvm").compile(optimise(expand(g, simplified)))
        for x in points:
            assert native([x])[0] == pytest.approx(nth(text, word)(x), rel=1e-12)


TAIL = """
graph @f(%x: f64, %n: i64) -> f64 {
  %c: bool = le(%n, 0)
  %r: f64 = switch(%c) {
    @stop() -> f64 {
      return %x
    }
    @go() -> f64 {
      %m: i64 = sub(%n, 1)
      %s: f64 = sin(%x)
      %y: f64 = call @f(%s, %m)
      return %y
    }
  }
  return %r
}"""


def test_tail_calls_stay_tail_calls():
    g = Forward().jvp(parse_text(TAIL, PRIMITIVES), (0,))
    calls = [(h, n) for h in verify(g).nested() for n in h.nodes if n.op.name == "call"]
    assert len(calls) == 1 and all(h.result is n and h.nodes[-1] is n for h, n in calls)
    y, y_dot = get_backend("interp").compile(g)([0.5, np.int64(20_000), 1.0])
    assert 0 < y < 0.02 and 0 < y_dot < 0.02


def test_what_does_not_vary_has_no_tangent():
    """A loop whose counter and bound do not depend on x carries one tangent, and no zero is computed."""
    text = """
graph @f(%x: f64, %a: f64) -> f64 {
  %y: f64 = loop(0, 1.0, %a) {
    @L(%i: i64, %s: f64, %b: f64) -> f64 {
      %c: bool = lt(%i, 3)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %t: f64 = mul(%s, %x)
          %d: f64 = mul(%b, %b)
          %j: i64 = add(%i, 1)
          %n: f64 = recur @L(%j, %t, %d)
          return %n
        }
        @done() -> f64 {
          %z: f64 = add(%s, %b)
          return %z
        }
      }
      return %r
    }
  }
  return %y
}"""
    g = verify(Forward().jvp(parse_text(text, PRIMITIVES), (0,)))
    (looped,) = (n for n in g.nodes if n.op.name == "loop")
    assert [p.name for p in looped.graphs[0].params] == ["i", "s", "b", "s_dot"]
    assert get_backend("interp").compile(g)([2.0, 3.0, 1.0]) == [8.0 + 3.0**8, 12.0]


def test_frames_hold_no_parts_of_invariant_arrays():
    """A loop that reads rows of an outer array reads them again; e and q are kept, and p follows from them."""
    text = """
graph @f(%x: f64) -> f64 {
  %0: i64[36] = iota[shape=(36,)]()
  %1: f64[36] = cast[dtype='f64'](%0)
  %2: f64[36] = mul(%1, %x)
  %w: f64[9,4] = reshape[shape=(9, 4)](%2)
  %y: f64 = loop(0, %x) {
    @L(%i: i64, %s: f64) -> f64 {
      %c: bool = lt(%i, 9)
      %r: f64 = switch(%c) {
        @body() -> f64 {
          %row: f64[1,4] = slice[steps=(1, 1), shape=(1, 4)](%w, %i, 0)
          %v: f64[4] = reshape[shape=(4,)](%row)
          %u: f64[4] = mul(%v, %s)
          %e: f64[4] = exp(%u)
          %p: f64[4] = add(1.0, %e)
          %q: f64[4] = div(%e, %p)
          %t: f64 = reduce_sum[axes=(0,)](%q)
          %j: i64 = add(%i, 1)
          %n: f64 = recur @L(%j, %t)
          return %n
        }
        @done() -> f64 {
          return %s
        }
      }
      return %r
    }
  }
  return %y
}"""
    g = derivative(parse_text(text, PRIMITIVES), "reverse")
    g = simplified(verify(expand(g, simplified)))
    (frame,) = {n.args[1].type for h in g.nested() for n in h.nodes if n.op.name == "stack_push"}
    assert [str(t) for t in frame.elems] == ["f64", "f64[4]", "f64[4]"]


def table(a, m):
    """Each element of t needs m elements before it."""
    t = np.zeros(len(a) + m)
    for i in range(len(a)):
        s = 0.0
        for j in range(m):
            s += math.sin(t[i + j]) * a[i]
        t[i + m] = s + a[i]
    return np.sum(t)


def test_frames_hold_no_array_that_is_written_to():
    """The inner loop keeps elements of t: the outer one writes to t, so to keep all of it would be a copy a trip."""
    derived, a = reverse_grad(table), np.linspace(0.1, 0.9, 5)
    assert not any("f64[" in line for line in derived.ir(a, 3).splitlines() if "stack_new" in line)
    h = 1e-6 * np.eye(5)
    expected = [(table(a + e, 3) - table(a - e, 3)) / 2e-6 for e in h]
    np.testing.assert_allclose(derived(a, 3), expected, rtol=1e-7)
