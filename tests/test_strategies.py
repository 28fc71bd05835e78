"""The strategy language: each combinator on one screen; random strategies on random programs; the user's own rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_graphs import evaluate, programs

from myia_lite import MyiaError, cli, grad, myia
from myia_lite.backends import get_backend
from myia_lite.ir import F64, I64, Array, Builder, Graph, Tuple, constant, parse_text, show, verify
from myia_lite.ops import PRIMITIVES, arrays, control, elementwise
from myia_lite.opt import (
    STRATEGIES,
    Log,
    Strategy,
    Unsettled,
    all_of,
    attempt,
    bottom_up,
    choice,
    default,
    equation,
    fail,
    fixpoint,
    identity,
    innermost,
    limit,
    normalize,
    one_of,
    outermost,
    parse_strategy,
    pipeline,
    repeat,
    rule,
    seq,
    simplify,
    split_loops,
    top_down,
)
from myia_lite.opt.program import Program

TWICE = equation("--x == x")
MINUS = equation("x + -y == x - y")
PLUS = equation("x - y == x + -y")
SWAP = equation("x + y == y + x")
SCREEN = """graph @f(%x: f64, %y: f64) -> f64 {
  %a: f64 = neg(%y)
  %b: f64 = neg(%a)
  %c: f64 = add(%x, %b)
  %d: f64 = neg(%c)
  %e: f64 = neg(%d)
  %g: f64 = add(%e, %a)
  return %g
}
"""


def lines(strategy, log=None):
    """The nodes of the screen after a strategy, without what nobody uses."""
    out = verify((strategy >> pipeline.dead_code)(parse_text(SCREEN, PRIMITIVES), log))
    return [line.strip().replace(": f64", "") for line in show(out).split("\n")[1:-3]]


AS_IT_WAS = lines(identity)
C = "%c = add(%x, %b)"
NORMAL = ["%c = add(%x, %y)", "%g = sub(%c, %y)"]


@pytest.mark.parametrize(
    "strategy, expected",
    [
        (identity, AS_IT_WAS),
        (attempt(fail), AS_IT_WAS),
        (fail | identity, AS_IT_WAS),
        (seq(MINUS, fail) | identity, AS_IT_WAS),  # what a failure began is undone
        (innermost(TWICE | MINUS), NORMAL),
        (outermost(TWICE | MINUS) >> innermost(TWICE), ["%a = neg(%y)", "%c = sub(%x, %a)", "%g = sub(%c, %y)"]),
        (normalize(TWICE | MINUS), NORMAL),
        (fixpoint(bottom_up(TWICE | MINUS)), NORMAL),
        (limit(bottom_up(TWICE), 1), ["%a = neg(%y)", "%c = add(%x, %y)", "%g = add(%c, %a)"]),
        (bottom_up(TWICE) >> bottom_up(MINUS), NORMAL),
        (attempt(bottom_up(SWAP)), [
            "%a = neg(%y)", "%b = neg(%a)", "%c = add(%b, %x)", "%d = neg(%c)", "%e = neg(%d)", "%g = add(%a, %e)",
        ]),
        (top_down(MINUS), [
            "%a = neg(%y)", "%c = sub(%x, %a)", "%d = neg(%c)", "%e = neg(%d)", "%g = sub(%e, %y)",
        ]),
        # at a program, a rule is tried at the result
        (MINUS, ["%a = neg(%y)", "%b = neg(%a)", "%c = add(%x, %b)", "%d = neg(%c)", "%e = neg(%d)", "%g = sub(%e, %y)"]),  # noqa: E501
        (repeat(MINUS | TWICE), ["%a = neg(%y)", "%b = neg(%a)", "%c = add(%x, %b)", "%d = neg(%c)", "%e = neg(%d)",
                                 "%g = sub(%e, %y)"]),
        (one_of(TWICE), ["%a = neg(%y)", "%b = neg(%a)", "%c = add(%x, %b)", "%g = add(%c, %a)"]),
        (all_of(attempt(TWICE)), ["%a = neg(%y)", "%b = neg(%a)", "%c = add(%x, %b)", "%g = add(%c, %a)"]),
    ],
    ids=str,
)  # fmt: skip
def test_combinator(strategy, expected):
    assert lines(strategy) == expected


@pytest.mark.parametrize("strategy", [fail, all_of(TWICE), bottom_up(equation("sin(-x) == -sin(x)")), seq(MINUS, fail)])
def test_failure_leaves_the_program(strategy):
    program = Program(parse_text(SCREEN, PRIMITIVES))
    before = program.entry
    assert not strategy.on(program)
    assert program.log.count == 0 and show(program.entry) == show(before)


def test_repr_reads_as_it_was_written():
    s = fixpoint(TWICE | MINUS >> attempt(fail)) >> limit(innermost(choice(TWICE, PLUS)), 3)
    assert repr(s) == (
        "fixpoint(rule('--x == x') | rule('x + -y == x - y') >> attempt(fail)) >> "
        "limit(innermost(rule('--x == x') | rule('x - y == x + -y')), 3)"
    )
    assert repr((TWICE | MINUS) >> PLUS).startswith("(rule('--x == x') | ")
    assert repr(default) == "default" and default.definition() == "simplify >> frames >> scalars >> lower"


@pytest.mark.parametrize(
    "strategy",
    [repeat(SWAP), normalize(SWAP), outermost(SWAP), fixpoint(bottom_up(MINUS | PLUS)), repeat(bottom_up(SWAP))],
)
def test_what_does_not_settle_stops_with_the_rules_that_alternate(strategy):
    with pytest.raises(Unsettled) as e:
        strategy(parse_text(SCREEN, PRIMITIVES))
    names = {r.name for r in strategy.rules()}
    assert all(name in str(e.value) for name in names) and "alternate" in str(e.value)


def test_repeat_of_what_never_fails_stops():
    with pytest.raises(Unsettled):
        repeat(identity)(parse_text(SCREEN, PRIMITIVES))


def test_the_log_says_what_fired_where_and_how_long_it_took():
    seen = []
    log = Log(trace=True, between=lambda name, text: seen.append((name, text)), check=True)
    simplify(parse_text(SCREEN, PRIMITIVES), log)
    assert [f.rule for f in log.firings] == ["neg(neg(x)) == x"] * 2 + ["x + -y == x - y", "dead_code"]
    assert [f.removed for f in log.firings] == [2, 2, 1, 2]
    assert log.phases[0].name == "simplify" and (log.phases[0].before, log.phases[0].after) == (6, 2)
    assert seen[0][0] == "innermost(every_rule)" and "sub(" in seen[0][1]
    assert "simplify" in log.times() and "x + -y == x - y" in log.rules()


def test_strategies_by_name():
    s = parse_strategy("innermost(algebra | arrays)>>limit(dead_code, 2)")
    assert repr(s) == "innermost(algebra | arrays) >> limit(dead_code, 2)"
    assert parse_strategy("simplify") is STRATEGIES["simplify"]
    assert parse_strategy("mine", {"mine": MINUS}) is MINUS
    for bad in ("no_such", "simplify >>", "simplify + lower", "__import__('os')", "1", "default.on"):
        with pytest.raises(MyiaError):
            parse_strategy(bad)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_named_strategy_runs_and_keeps_the_program(name):
    g = parse_text(SCREEN, PRIMITIVES)
    out = attempt(bottom_up(STRATEGIES[name]) if is_local(STRATEGIES[name]) else STRATEGIES[name])(g, Log(check=True))
    assert evaluate(verify(out), [np.float64(3.0), np.float64(1.25)], {}) == 3.0


def is_local(s):
    """Does it work at nodes, rather than on programs?"""
    from myia_lite.opt.walk import alternatives

    return alternatives(s) is not None


# ---- random strategies on random programs ----------------------------------------------------------------------------
LOCAL = [s for name, s in STRATEGIES.items() if is_local(s) and name != "unsound_on_edge_values"]


def legal():
    """Strategies built of legal rules, whole programs in, whole programs out."""
    local = st.sampled_from(LOCAL) | st.sampled_from([r for s in LOCAL for r in s.rules()])
    local = st.recursive(
        local,
        lambda s: st.builds(choice, s, s) | st.builds(seq, s, s) | st.builds(attempt, s) | st.builds(one_of, s),
        max_leaves=4,
    )
    walks = st.sampled_from([bottom_up, top_down, innermost])
    step = st.builds(lambda w, s: attempt(w(s)), walks, local) | st.sampled_from(
        [pipeline.dead_code, simplify, pipeline.lower, split_loops]
    )
    return st.recursive(
        step, lambda s: st.builds(seq, s, s) | st.builds(choice, s, s) | st.builds(limit, s, st.just(2)), max_leaves=4
    )


@settings(max_examples=150, deadline=None)
@given(programs(), legal())
def test_random_strategies_keep_random_programs(g, strategy):
    row = np.array([3, -1, 2])
    expected = evaluate(g, [row.copy()], {})
    before = show(g)
    out = strategy(g, Log(check=True))
    assert show(g) == before, "the input was written to"
    assert [a.tolist() for a in evaluate(out, [row.copy()], {})] == [e.tolist() for e in expected]


# ---- the user's hand -------------------------------------------------------------------------------------------------
def encode(x):
    return math.exp(x) * 2.0


def decode(y):
    return math.log(y / 2.0)


@rule
def undo(x):
    return decode(encode(x)) == x


def test_own_rules_over_own_functions():
    @myia(optimize=normalize(undo) >> default)
    def f(x):
        return decode(encode(x + 1.0)) * 3.0

    assert repr(undo) == "rule('decode(encode(x)) == x')"
    assert f(2.0) == 9.0 and "log(" not in f.ir(2.0)
    assert f.log(2.0).fired["decode(encode(x)) == x"] == 1
    assert grad(f)(2.0) == 3.0 and "log(" not in grad(f).ir(2.0)


def test_a_wrong_rule_is_refused_before_its_first_use():
    wrong = rule("decode(encode(x)) == x + 1.0", decode=decode, encode=encode)
    f = myia(lambda x: decode(encode(x)), optimize=normalize(wrong) >> default)
    with pytest.raises(MyiaError, match="does not hold: at x = "):
        f(2.0)
    trusted = rule("decode(encode(x)) == x + 1.0", decode=decode, encode=encode, check=False)
    assert myia(lambda x: decode(encode(x)), optimize=normalize(trusted) >> default)(2.0) == 3.0


def test_a_rule_that_no_sample_checks_needs_samples():
    def pick(n):
        return [1.0, 2.0, 3.0][n] if n >= 100 else [][n]

    unchecked = rule("pick(n) == 1.0", pick=pick)
    with pytest.raises(MyiaError, match="could not be checked"):
        unchecked.verify()


def test_a_right_side_with_functions_is_compiled():
    merge = rule("encode(x) * encode(y) == 4.0 * math.exp(x + y)", encode=encode)
    f = myia(lambda a, b: encode(a) * encode(b), optimize=normalize(merge) >> default)
    assert f(0.5, 1.5) == pytest.approx(4.0 * math.exp(2.0))
    assert f.log(0.5, 1.5).fired[merge.name] == 1


@pytest.mark.parametrize("text", ["encode(x)", "x == encode(x)", "encode(x) == y", "encode(x == x"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(MyiaError):
        rule(text, encode=encode)


def test_optimize_takes_strategies_only():
    with pytest.raises(MyiaError, match="strategy"):
        myia(encode, optimize="fast")


def test_the_unsound_set_is_the_users_choice():
    def f(x):
        return math.sin(x - x) + x

    assert "sub(" in myia(f, error_model="numpy").ir(1.0)
    wild = simplify >> normalize(pipeline.unsound_on_edge_values | pipeline.terms) >> default
    assert "sub(" not in myia(f, error_model="numpy", optimize=wild).ir(1.0)


def test_command_line(capsys, tmp_path):
    (tmp_path / "m.py").write_text(
        "from myia_lite.opt import equation, normalize\n"
        "mine = normalize(equation('x * 2.0 == x + x'))\n"
        "def f(x):\n    return x * 2.0\n"
    )
    target = f"{tmp_path}/m.py:f"
    assert cli.main([target, "--args", "3.0", "-p", "simplify>>mine>>dead_code", "--trace-rules", "--time-passes"]) == 0
    out = capsys.readouterr().out
    assert "x * 2.0 == x + x at" in out and "add(%x, %x)" in out and "phase" in out
    assert cli.main([target, "--args", "3.0", "-p", "simplify", "--print-between-passes"]) == 0
    assert "# after innermost(every_rule)" in capsys.readouterr().out
    assert cli.main([target, "--args", "3.0", "-p", "simplfy"]) == 1
    assert "there is no strategy simplfy" in capsys.readouterr().err


LOOPS = """graph @f(%x: f64[9], %c: bool) -> f64 {
  %s: f64 = loop(0, 0.0) {
    @A(%i: i64, %t: f64) -> f64 {
      %1: bool = lt(%i, 9)
      %2: f64 = switch(%1) {
        @trip() -> f64 {
          %3: f64 = elem(%x, %i)
          %4: f64 = add(%t, %3)
          %5: i64 = add(%i, 1)
          %6: f64 = recur @A(%5, %4)
          return %6
        }
        @end() -> f64 {
          return %t
        }
      }
      return %2
    }
  }
  %p: f64 = loop(0, 1.0) {
    @B(%j: i64, %u: f64) -> f64 {
      %7: bool = lt(%j, 9)
      %8: f64 = switch(%7) {
        @trip() -> f64 {
          %9: f64 = elem(%x, %j)
          %10: f64 = mul(%u, %9)
          %11: i64 = add(%j, 1)
          %12: f64 = recur @B(%11, %10)
          return %12
        }
        @end() -> f64 {
          return %u
        }
      }
      return %8
    }
  }
  %q: f64 = mul(%s, %p)
  %r: f64 = exp(%q)
  %y: f64 = switch(%c) {
    @then() -> f64 {
      return %r
    }
    @else() -> f64 {
      return %s
    }
  }
  return %y
}
"""


def test_loops_over_the_same_range_become_one():
    g = parse_text(LOOPS, PRIMITIVES)
    out = verify((pipeline.fused_loops >> simplify)(g, Log(check=True)))
    assert show(out).count("loop(") == 1 and "loop(0, 0.0, 1.0)" in show(out)
    x = np.arange(1.0, 10.0)
    for c in (np.bool_(True), np.bool_(False)):
        assert evaluate(out, [x, c], {}) == evaluate(g, [x, c], {})


def test_what_one_branch_needs_is_computed_there():
    g = parse_text(LOOPS, PRIMITIVES)
    text = show(verify(pipeline.sunk(g, Log(check=True))))
    then = text[text.index("@then") : text.index("@else")]
    assert "mul(%s, %p)" in then and "exp(%q)" in then and text.count("exp(") == 1


PAIR = """graph @f(%x: f64[9], %c: bool) -> (f64, f64) {
  %l: (f64, f64) = loop(0, 0.0, 1.0) {
    @L(%i: i64, %s: f64, %p: f64) -> (f64, f64) {
      %t: bool = lt(%i, 9)
      %2: (f64, f64) = switch(%t) {
        @trip() -> (f64, f64) {
          %e: f64 = elem(%x, %i)
          %a: f64 = add(%s, %e)
          %m: f64 = mul(%p, %e)
          %j: i64 = add(%i, 1)
          %3: (f64, f64) = recur @L(%j, %a, %m)
          return %3
        }
        @end() -> (f64, f64) {
          %4: (f64, f64) = tuple(%s, %p)
          return %4
        }
      }
      return %2
    }
  }
  %s1: f64 = get[index=0](%l)
  %p1: f64 = get[index=1](%l)
  %y: (f64, f64) = tuple(%s1, %p1)
  return %y
}
"""
APART = """graph @f(%x: f64[9], %c: bool) -> (f64, f64) {
  %1: f64 = loop(0, 0.0) {
    @L(%i: i64, %s: f64) -> f64 {
      %t: bool = lt(%i, 9)
      %2: f64 = switch(%t) {
        @trip() -> f64 {
          %e: f64 = elem(%x, %i)
          %a: f64 = add(%s, %e)
          %j: i64 = add(%i, 1)
          %3: f64 = recur @L(%j, %a)
          return %3
        }
        @end() -> f64 {
          return %s
        }
      }
      return %2
    }
  }
  %4: f64 = loop(0, 1.0) {
    @L.1(%i.1: i64, %p: f64) -> f64 {
      %t.1: bool = lt(%i.1, 9)
      %5: f64 = switch(%t.1) {
        @trip.1() -> f64 {
          %e.1: f64 = elem(%x, %i.1)
          %m: f64 = mul(%p, %e.1)
          %j.1: i64 = add(%i.1, 1)
          %6: f64 = recur @L.1(%j.1, %m)
          return %6
        }
        @end.1() -> f64 {
          return %p
        }
      }
      return %5
    }
  }
  %y: (f64, f64) = tuple(%1, %4)
  return %y
}
"""
GUARD = "%g: () = guard[exception='ValueError', message='{{0}}'](%c, {})\n          "


def test_state_in_groups_goes_round_in_a_loop_for_each():
    g = parse_text(PAIR, PRIMITIVES)
    before, log = show(g), Log(check=True)
    out = verify(split_loops(g, log))
    assert show(out) == APART and show(g) == before and log.fired["split_loops"] == 1
    again = Log(check=True)
    assert show(split_loops(out, again)) == APART and not again.count
    x = np.random.default_rng(0).normal(size=9)
    run = [get_backend("interp").compile(h)([x, np.bool_(True)]) for h in (g, out)]
    assert list(run[0]) == list(run[1]) and run[0][0] == pytest.approx(x.sum())


def test_a_result_taken_as_a_whole_is_put_together():
    g = simplify(parse_text(PAIR, PRIMITIVES))
    assert g.result is g.nodes[0]  # the loop
    text = show(verify(parse_strategy("split_loops")(g, Log(check=True))))
    assert text.count("loop(") == 2 and "tuple(%1, %4)" in text


def test_fusion_gives_back_the_one_loop():
    g = parse_text(PAIR, PRIMITIVES)
    back = verify((split_loops >> pipeline.fused_loops >> simplify)(g, Log(check=True)))
    one = simplify(g)
    assert [n.op.name for n in back.nodes] == ["loop"] and back.result is back.nodes[0]
    for a, b in zip(one.nested(), back.nested(), strict=True):
        assert [p.type for p in a.params] == [p.type for p in b.params]
        assert sorted(n.op.name for n in a.nodes) == sorted(n.op.name for n in b.nodes)
    x = np.random.default_rng(1).normal(size=9)
    assert evaluate(back, [x, np.bool_(True)], {}) == evaluate(g, [x, np.bool_(True)], {})


@pytest.mark.parametrize(
    "old, new",
    [
        ("mul(%p, %e)", "mul(%p, %a)"),  # one takes what the other will be, or is
        ("mul(%p, %e)", "mul(%p, %s)"),
        ("tuple(%s, %p)", "tuple(%s, %s)"),  # nobody takes the other: it is dead, and no group
        ("lt(%i, 9)", "lt(%p, 1000.0)"),  # the way out is not by induction alone
        ("%4: (f64, f64) = tuple(%s, %p)", "%d: f64 = sub(%s, %p)\n          %4: (f64, f64) = tuple(%s, %d)"),
        ("%j: i64", GUARD.format("%a") + GUARD.format("%m").replace("%g", "%h") + "%j: i64"),
        ("%j: i64", GUARD.format("%e").replace("guard[", "guard[range=False, ") + "%j: i64"),  # both rely on it
    ],
)
def test_loops_that_fission_leaves_alone(old, new):
    g = parse_text(PAIR.replace(old, new), PRIMITIVES)
    log = Log(check=True)
    assert show(verify(split_loops(g, log))) == show(g) and not log.count


def test_the_group_with_the_effects_goes_first():
    g = parse_text(PAIR.replace("%j: i64", GUARD.format("%m") + "%j: i64"), PRIMITIVES)
    out = verify(split_loops(g, Log(check=True)))
    assert [n.op.name for n in out.nodes] == ["loop", "loop", "tuple"]
    first, second = (operators(n) for n in out.nodes[:2])
    assert "guard" in first and "mul" in first and "guard" not in second and "mul" not in second
    assert out.result.args == (out.nodes[1], out.nodes[0])
    run = get_backend("interp").compile(out)
    assert run([np.ones(9), np.bool_(True)])[0] == 9.0
    with pytest.raises(ValueError, match=r"^2\.0$"):
        run([np.full(9, 2.0), np.bool_(False)])


def operators(n):
    """The operators in a loop."""
    return {m.op.name for h in n.graphs for k in h.nested() for m in k.nodes}


def test_work_on_arrays_is_not_done_twice():
    shared = "%v: f64[9] = mul(%x, %x)\n          %e: f64 = elem(%v, %i)"
    g = parse_text(PAIR.replace("%e: f64 = elem(%x, %i)", shared), PRIMITIVES)
    log = Log(check=True)
    assert show(split_loops(g, log)) == show(g) and not log.count


@st.composite
def rounds(draw):
    """A loop over four numbers, a row and two counters, each of which may take the others."""
    g = Graph("f")
    row = g.parameter(Array("f64", (9,)), "x")
    header = Graph("L", g)
    i, k = header.parameter(I64, "i"), header.parameter(I64, "k")
    state = [header.parameter(F64, f"s{j}") for j in range(4)]
    rows = header.parameter(row.type, "r")
    header.result_type = t = Tuple((F64, F64, I64, row.type, F64))
    one_of_ = lambda xs: xs[draw(st.integers(0, len(xs) - 1))]  # noqa: E731
    into, body, end = Builder(header), Graph("trip", header), Graph("end", header)
    with into:
        test = elementwise.lt(i, draw(st.integers(0, 3)))
        early = elementwise.add(one_of_(state), arrays.elem(one_of_([row, rows]), i))
    after = {}
    with Builder(body) as b:
        for s in state:
            after[s] = elementwise.sub(one_of_([s, s, early]), one_of_([s, s, early, *state, *after.values()]))
        moved = arrays.set_elem(rows, one_of_([*state[:2], constant(2.0)]), one_of_([i, k]))
        counters = elementwise.add(i, 1), elementwise.sub(k, 1)
        body.returns(b.emit(control.recur, *counters, *after.values(), moved, graphs=(header,), type=t))
    with Builder(end):
        last = elementwise.add(one_of_(state), one_of_([*state, early, constant(1.0)]))
        end.returns(control.tuple_(one_of_(state), one_of_(state), one_of_([i, k]), rows, last))
    header.returns(into.emit(control.switch, test, graphs=(body, end), type=t))
    with Builder(g) as b:
        start = [arrays.elem(row, constant(j)) for j in range(4)]
        loop = b.emit(control.loop, constant(0), constant(8), *start, row, graphs=(header,), type=t)
        g.returns(control.tuple_(*[control.get(loop, index=j) for j in range(5)]))
    return verify(g)


@settings(max_examples=150, deadline=None)
@given(rounds(), st.sampled_from([split_loops, split_loops >> simplify, simplify >> split_loops >> pipeline.fuse]))
def test_fission_keeps_random_loops(g, strategy):
    row = np.arange(1.0, 10.0)
    out = verify(strategy(g, Log(check=True)))
    for a, b in zip(evaluate(out, [row.copy()], {}), evaluate(g, [row.copy()], {}), strict=True):
        assert np.array_equal(a, b)


def test_every_strategy_is_a_value():
    assert all(isinstance(s, Strategy) and repr(s) for s in STRATEGIES.values())


def root(x):
    return math.sqrt(x)


def square(x):
    return x * x


def test_a_rule_may_use_python_s_own_functions():
    law = rule("root(square(x)) == abs(x)", root=root, square=square)

    @myia(optimize=innermost(law) >> simplify)
    def f(x):
        return root(square(x)) + 1.0

    assert f(-3.0) == 4.0
    assert " = abs(%x)" in f.ir(-3.0)
