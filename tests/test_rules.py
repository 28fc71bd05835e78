"""Every rule on one screen, and numerically: the text before and after, and equal values on ordinary and edge
arguments."""

import os
from pathlib import Path

import numpy as np
import pytest
from rule_inputs import PROGRAMS, inputs, under_jvp

from myia_lite.ad import expand
from myia_lite.backends import get_backend
from myia_lite.ir import Bool, Scalar, Tuple, parse_text, show, verify
from myia_lite.ops import PRIMITIVES
from myia_lite.opt import REGISTRY, Log, bottom_up, equation, innermost, pipeline, simplify
from myia_lite.opt.pipeline import (
    dead_code,
    dual_numbers,
    forget_duals,
    forward,
    one_hot_unsound_on_edge_values,
    unsound_on_edge_values,
)
from myia_lite.opt.rule import Ability
from myia_lite.opt.walk import HOIST, SHARE

GOLDEN = Path(__file__).parent / "golden" / "rules.txt"
WITH = {HOIST: HOIST | SHARE}
# these ask whether an index is certainly in range
WITH |= {
    r: r | pipeline.bounds | pipeline.terms | pipeline.algebra
    for r in (*pipeline.fusion.rules(), *pipeline.one_hot.rules())
}
NAMES = [name for name in REGISTRY if name != "tangent(anything else) is an error"]
FORWARD = {*dual_numbers.rules(), *forget_duals.rules()}
UNSOUND = {*unsound_on_edge_values.rules(), *one_hot_unsound_on_edge_values.rules()}
EDGES = {
    "f": [1.5, -0.75, 0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, -5e-324, 2.0],
    "i": [0, 1, -1, 7, 2**31 - 1, -(2**31), 3],
    "b": [True, False],
}
WRAPPED = {"i64": [2**63 - 1, -(2**63)], "i32": []}


def rewritten(rule):
    """(program, program after the rule, what the log says) of the first input on which the rule fires."""
    for g in inputs(rule):
        before, log = show(g), Log(trace=True, check=True)
        out = (
            forward(g, log) if rule in FORWARD else (innermost(WITH[rule]) if rule in WITH else bottom_up(rule))(g, log)
        )
        assert show(g) == before, "the input was written to"
        if log.fired[rule.name]:
            return g, verify(dead_code(out)), log
    return None


def golden():
    text = GOLDEN.read_text() if GOLDEN.exists() else ""
    return {block.split("\n", 1)[0]: block.split("\n", 1)[1].strip() for block in text.split("\n==== ")[1:]}


EXPECTED = golden()


@pytest.mark.parametrize("name", NAMES)
def test_text_before_and_after(name):
    done = rewritten(REGISTRY[name])
    assert done is not None, f"no program in tests/rule_inputs.py has the left side of {name!r}"
    g, out, _ = done
    text = f"{show(g).strip()}\n---->\n{show(out).strip()}"
    assert EXPECTED.get(name) == text, (
        f"write tests/golden/rules.txt anew (python tests/test_rules.py), and read it:\n{text}"
    )


def arguments(t, rng, k, dtype_edges=EDGES):
    """The k-th of some values of a type: edge values first, and then random ones."""
    if isinstance(t, Tuple):
        return tuple(arguments(e, rng, k) for e in t.elems)
    kind = "b" if t == Bool or getattr(t, "dtype", "") == "bool" else t.dtype[0]
    dtype = {"f64": "f8", "f32": "f4", "i64": "i8", "i32": "i4", "bool": "?"}[t.dtype]
    edges = dtype_edges[kind] + (WRAPPED.get(t.dtype, []) if dtype_edges is not MILD else [])

    def pick():
        if k < 24 or dtype_edges is MILD:
            return edges[rng.integers(len(edges))]
        return {"f": rng.normal(), "i": rng.integers(-9, 9), "b": rng.random() < 0.5}[kind]

    if isinstance(t, Scalar):
        return np.array(pick()).astype(dtype)[()]
    shape = tuple(3 if d is None else d for d in t.shape)
    return np.array([pick() for _ in range(int(np.prod(shape)))]).reshape(shape).astype(dtype)


MILD = {"f": [0.5, 1.25, 2.0, 0.75], "i": [1, 2, 3], "b": [True, False]}


@pytest.mark.parametrize("name", NAMES)
def test_values_before_and_after(name):
    rule = REGISTRY[name]
    g, out, _ = rewritten(rule)
    unsound = rule in UNSOUND or rule in FORWARD or "zero" in name  # a structural zero is one by definition
    moderate = EDGES | {"f": [e for e in EDGES["f"] if not 1e300 < abs(e) < np.inf]}  # the order of a sum is nobody's
    rng = np.random.default_rng(7)
    # what the tangents of rules are, the compiler's own forward mode says
    run = [get_backend("interp").compile(h) for h in (expand(g, simplify) if rule in FORWARD else g, out)]
    loops = any(n.op.name == "loop" for n in g.nodes)
    for k in range(40):
        args = [
            arguments(p.type, rng, k, MILD if unsound or loops else moderate if "reduce" in name else EDGES)
            for p in g.params
        ]
        with np.errstate(all="ignore"):
            a, b = (f([x.copy() if isinstance(x, np.ndarray) else x for x in args]) for f in run)
        for x, y in zip(a, b, strict=True):
            x, y = np.asarray(x), np.asarray(y)
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=0, equal_nan=True, err_msg=f"{name} at {args}")
            if (
                x.dtype.kind == "f" and not unsound and rule.op is not None and rule.op.name not in ("fmax", "fmin")
            ):  # C leaves the sign open
                number = ~np.isnan(x)
                assert (np.signbit(x) == np.signbit(y))[number].all(), f"the sign of a zero: {name} at {args}: {x} {y}"


def test_no_tangent_is_made_up():
    body = PROGRAMS["case(make[k](xs)) { f }… == f[k](xs)"].split("-> f64 {", 1)[1].rsplit("return", 1)[0].strip()
    g = parse_text("sum $s = one(f64) | none()\n" + under_jvp(body), PRIMITIVES)
    with pytest.raises(TypeError, match="no rule says what the tangent of case is"):
        forward(g)


def test_unsound_rules_are_not_in_the_default():
    from myia_lite.opt.pipeline import default

    assert not UNSOUND & set(default.rules())


def test_a_rule_that_would_change_a_type_does_not_fire():
    from rule_inputs import program

    wide = program("x: f64, y: f64[3] | x - y")
    log = Log()
    out = bottom_up(equation("x - y == x"))(wide, log)
    assert log.fired == {} and show(out) == show(wide)


@pytest.mark.parametrize("text", ["x + y", "x == x", "f(x) == x", "sin(x) == y", "sin(x) = x"])
def test_what_is_no_equation_is_refused(text):
    with pytest.raises(ValueError):
        equation(text)


def test_abilities_have_no_primitive_of_their_own():
    assert {r for r in REGISTRY.values() if r.op is None} == {r for r in REGISTRY.values() if isinstance(r, Ability)}


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    parts = ["The rules of the optimiser: a program with the left side of each, and what the rule makes of it.\n"]
    for name in NAMES:
        rule = REGISTRY[name]
        done = rewritten(rule)
        if done is None:
            print("no input:", name)
            continue
        parts.append(f"==== {name}\n{show(done[0]).strip()}\n---->\n{show(done[1]).strip()}\n")
    GOLDEN.write_text("\n".join(parts))
    os.sys.stdout.write(f"{len(parts) - 1} rules\n")
