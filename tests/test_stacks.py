"""Stacks that one loop pushes and another pops in each trip become one, and only those."""

import numpy as np
import pytest

from myia_lite import grad, hessian, jvp, myia
from myia_lite.backends import get_backend
from myia_lite.ir import parse_text, show, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.opt import optimise
from myia_lite.opt.pipeline import dead_code, zipped_stacks

X = np.linspace(0.2, 1.0, 40)
PAIR = """
graph @f(%n: i64, %x: f64) -> f64 {
  %a: stack<(f64,)> = stack_new[elem=!(f64,)]()
  %b: stack<(f64, i64)> = stack_new[elem=!(f64, i64)]()
  %1: (stack<(f64,)>, f64, stack<(f64, i64)>) = loop(0, %a, %x, %b) {
    @up(%i: i64, %k: stack<(f64,)>, %y: f64, %l: stack<(f64, i64)>) -> (stack<(f64,)>, f64, stack<(f64, i64)>) {
      %2: bool = lt(%i, %n)
      %3: (stack<(f64,)>, f64, stack<(f64, i64)>) = switch(%2) {
        @more() -> (stack<(f64,)>, f64, stack<(f64, i64)>) {
          %4: i64 = add(%i, 1)
          %5: (f64,) = tuple(%y)
          %6: stack<(f64,)> = stack_push(%k, %5)
          %7: f64 = sin(%y)
          %8: (f64, i64) = tuple(%7, %i)
          %9: stack<(f64, i64)> = stack_push(%l, %8)
          %10: (stack<(f64,)>, f64, stack<(f64, i64)>) = recur @up(%4, %6, %7, %9)
          return %10
        }
        @end() -> (stack<(f64,)>, f64, stack<(f64, i64)>) {
          %11: (stack<(f64,)>, f64, stack<(f64, i64)>) = tuple(%k, %y, %l)
          return %11
        }
      }
      return %3
    }
  }
  %12: stack<(f64,)> = get[index=0](%1)
  %13: f64 = get[index=1](%1)
  %14: stack<(f64, i64)> = get[index=2](%1)
  %15: f64 = loop(%14, %13, %12) {
    @down(%q: stack<(f64, i64)>, %z: f64, %p: stack<(f64,)>) -> f64 {
      %16: i64 = stack_len(%p)
      %17: bool = eq(%16, 0)
      %18: f64 = switch(%17) {
        @done() -> f64 {
          return %z
        }
        @trip() -> f64 {
          %19: (stack<(f64,)>, (f64,)) = stack_pop(%p)
          %20: stack<(f64,)> = get[index=0](%19)
          %21: (f64,) = get[index=1](%19)
          %22: f64 = get[index=0](%21)
          %23: i64 = stack_len(%q)
          %24: bool = gt(%23, 0)
          %25: (stack<(f64, i64)>, f64) = switch(%24) {
            @full() -> (stack<(f64, i64)>, f64) {
              %26: (stack<(f64, i64)>, (f64, i64)) = stack_pop(%q)
              %27: stack<(f64, i64)> = get[index=0](%26)
              %28: (f64, i64) = get[index=1](%26)
              %29: f64 = get[index=0](%28)
              %30: i64 = get[index=1](%28)
              %31: f64 = cast[dtype='f64'](%30)
              %32: f64 = mul(%29, %31)
              %33: (stack<(f64, i64)>, f64) = tuple(%27, %32)
              return %33
            }
            @zero() -> (stack<(f64, i64)>, f64) {
              %34: (stack<(f64, i64)>, f64) = tuple(%q, 0.0)
              return %34
            }
          }
          %35: stack<(f64, i64)> = get[index=0](%25)
          %36: f64 = get[index=1](%25)
          %37: f64 = mul(%z, %22)
          %38: f64 = add(%37, %36)
          %39: f64 = recur @down(%35, %38, %20)
          return %39
        }
      }
      return %18
    }
  }
  return %15
}
"""


def by_hand(n, x):
    ys = [x]
    for _ in range(n):
        ys.append(np.sin(ys[-1]))
    z = ys[-1]
    for k in reversed(range(n)):
        z = z * ys[k] + ys[k + 1] * k
    return z


def test_two_stacks_become_one():
    graph = verify(optimise(parse_text(PAIR, PRIMITIVES), zipped_stacks >> dead_code))
    text = show(graph)
    assert text.count("stack_new") == text.count("stack_push") == text.count("stack_pop") == 1
    assert "stack<(f64, f64, i64)>" in text and "@zero" not in text and "@full" not in text
    for g in (parse_text(PAIR, PRIMITIVES), graph):
        for backend in ("interp", "llvm"):
            run = get_backend(backend).compile(g)
            for n in (0, 1, 6):
                np.testing.assert_allclose(run([n, 0.7]), [by_hand(n, 0.7)], rtol=1e-15)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("recur @up(%4, %6, %7, %9)", "recur @up(%4, %6, %7, %l)"),  # one of them stays as it is
        ("= loop(%14, %13, %12)", "= loop(%b, %13, %12)"),  # another one
        ("recur @down(%35, %38, %20)", "recur @down(%q, %38, %20)"),  # read again and again
        ("%24: bool = gt(%23, 0)", "%24: bool = gt(%23, 1)"),  # but not the last frame
        ("tuple(%k, %y, %l)", "tuple(%k, %y, %b)"),  # not handed on
        ("%13: f64 = get[index=1](%1)", "%13: f64 = get[index=1](%1)\n  %77: i64 = stack_len(%14)"),  # asked elsewhere
    ],
)
def test_what_need_not_be_of_one_length_stays(old, new):
    assert old in PAIR
    lines = PAIR.replace(old, new)
    if "%77" in new:  # where it is known
        lines = lines.replace("\n  %77: i64 = stack_len(%14)", "").replace(
            "  %15: f64 = loop", "  %77: i64 = stack_len(%14)\n  %15: f64 = loop"
        )
    text = show(optimise(parse_text(lines, PRIMITIVES), zipped_stacks))
    assert text.count("stack<(f64, f64, i64)>") == 0
    assert text.count("stack_new") == 2


# ---- second derivatives ----------------------------------------------------------------------------------------------
def of_points(x, c):
    total = 0.0
    for i in range(len(x)):
        b = np.zeros(12)
        for j in range(12):
            v = np.sin(c * x[i] * j)
            b[j] = np.sum(v * v)
        total += np.log(np.sum(np.exp(b)))
    return total


def chain(x, c):
    y = 1.0
    for k in range(len(x)):
        y = np.sin(y * x[k]) + np.sum(c) * y
    return y


def with_a_break(x, c):
    y = 1.0
    for k in range(len(x)):
        y = y * x[k] + c[0]
        if y > 3.0:
            break
        y = np.cos(y)
    return y


def part_of_the_way(x, c):
    """Trips before the first that depends on x have no tangents."""
    y, z = 1.0, c[0] * 0.5
    for k in range(len(x)):
        z = z * np.cos(z)
        if k > 3:
            y = y * x[k] * z + np.sin(y)
    return y * z


def nested(x, c):
    y = 0.5
    for i in range(len(x)):
        for j in range(i):
            y = np.tanh(y * x[j] + c[1])
    return y


PROGRAMS = [of_points, chain, with_a_break, part_of_the_way, nested]
C = np.array([0.3, -0.2, 0.7])
V = np.cos(np.arange(40.0))


def along(f):
    def product(x, c, v):
        return jvp(lambda a: grad(f)(a, c), (x,), (v,))[1]

    return product


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_products_with_a_hessian(f):
    ours, reference = (myia(along(f), backend=b)(X, C, V) for b in ("llvm", "interp"))
    np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-13)
    ahead, behind = (grad(f)(X + s * V, C) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(ours, (ahead - behind) / 2e-6, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("f", [chain, nested], ids=lambda f: f.__name__)
def test_third_order(f):
    def slope(x):
        return np.sum(hessian(f)(x, C) @ V * V)

    ours, reference = (grad(myia(slope, backend=b))(X) for b in ("llvm", "interp"))
    np.testing.assert_allclose(ours, reference, rtol=1e-11, atol=1e-12)
    ahead, behind = (myia(slope)(X + s * V) for s in (1e-5, -1e-5))
    assert np.sum(ours * V) == pytest.approx((ahead - behind) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("f", [of_points, chain], ids=lambda f: f.__name__)
def test_a_derivative_of_a_gradient_has_no_stack_of_tangents(f):
    text = myia(along(f)).ir(X, C, V)
    loops = [line for line in text.splitlines() if " loop(" in line]
    assert loops and not any(line.count("stack<(") > 1 for line in loops)
    assert "@zero" not in text
