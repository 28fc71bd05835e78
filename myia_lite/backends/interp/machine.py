"""Runs a plan: one loop, an explicit stack of waiting nodes, and one environment for each call in progress."""

from __future__ import annotations

import sys

import numpy as np

from ...ir import Graph, Residual, Tuple, element_types
from .. import exception
from .plan import Block, Literal, Plan, Step, as_value

MAX_CALLS = 400_000  # in progress at once; a few hundred bytes each
DEEP = {"exception": "RecursionError", "message": "maximum recursion depth exceeded in compiled code"}


def compile(graph: Graph):
    """See `backends.Backend`."""
    plan = Plan(graph)
    escaping = any(isinstance(t, Residual) for t in element_types(graph.result_type))

    def run(leaves: list) -> list:
        # held here while the program runs, so that no argument ever looks as if nobody else held it
        held = [as_value(v, p.type) for v, p in zip(leaves, graph.params, strict=True)]
        if escaping:  # a record may hold an argument, which its owner may write to later
            held = [v.copy() if isinstance(v, np.ndarray) else v for v in held]
        with np.errstate(all="ignore"):
            value = execute(plan.entry, list(held))
        return [v.copy() if id(v) in plan.constant_arrays else v for v in flat(value, graph.result_type)]

    return run


def flat(value, t):
    if isinstance(t, Tuple):
        return [leaf for v, e in zip(value, t.elems, strict=True) for leaf in flat(v, e)]
    return [value]


def execute(block: Block, args: list):
    """The result of a closed graph's block.

    `waiting` holds, for each nested block and call in progress, where to go on: (environment, block, next step).
    """
    waiting: list[tuple[dict, Block, int]] = []
    env, calls, k = bind(block, args, {}), 0, 0
    del args
    while True:
        if k == len(block.steps):
            if not waiting:
                return result(block, env)
            inner, inner_env = block, env
            env, block, k = waiting.pop()
            resume(block.steps[k - 1], env, inner, inner_env)
            calls -= inner_env is not env
            del inner, inner_env  # they would keep arrays alive
            continue
        step = block.steps[k]
        k += 1
        op = step.op
        if step.value is not None:
            apply(step, env)
        elif op == "switch" or op == "case":
            waiting.append((env, block, k))
            block, k = enter(step, env), 0
        elif op == "loop":
            waiting.append((env, block, k))
            block, k = step.blocks[0], 0
            bind(block, fetch(step, env), env)
        elif op == "recur":
            # what waits between here and the loop waits in tail position: it would only hand the result on
            while True:
                _, outer, at = waiting[-1]
                if outer.steps[at - 1].node.graphs == step.node.graphs:
                    break
                waiting.pop()
            block, k = outer.steps[at - 1].blocks[0], 0
            bind(block, fetch(step, env), env)
        elif op == "call":
            calls += 1
            if calls > MAX_CALLS:
                raise exception(DEEP, (), step.node.span)
            waiting.append((env, block, k))
            block, k = step.blocks[0], 0
            env = bind(block, fetch(step, env), {})
        elif op == "guard":
            guard(step, env)
        else:
            raise error(step, fetch(step, env))


def fetch(step: Step, env: dict) -> list:
    """The arguments of a node; those that die here are in nobody's environment any more."""
    args = [a.value if a.__class__ is Literal else env[a] for a in step.args]
    for n in step.dies:
        del env[n]
    return args


def apply(step: Step, env: dict) -> None:
    node, args = step.node, fetch(step, env)
    # two references are the list's and this call's own: nobody else can see the array
    if node.op.in_place and sys.getrefcount(args[0]) <= 2:
        value = step.value(*args, own=True, **node.attrs)
    else:
        value = step.value(*args, **node.attrs)
    if step.kept:
        env[node] = value


def guard(step: Step, env: dict) -> None:
    ok, *values = fetch(step, env)
    if not ok:
        raise error(step, values)
    if step.kept:
        env[step.node] = ()


def bind(block: Block, args: list, env: dict) -> dict:
    for p, v in zip(block.params, args, strict=True):
        if p is not None:
            env[p] = v
    return env


def enter(step: Step, env: dict) -> Block:
    """The branch or case that is taken, with its parameters bound."""
    (v,) = fetch(step, env)
    if step.op == "switch":
        block = step.blocks[0 if v else 1]
    else:
        tag, fields = v
        block = step.blocks[step.node.args[0].type.index(tag)]
        bind(block, fields, env)
    for n in block.drops:
        env.pop(n, None)
    return block


def result(block: Block, env: dict):
    r = block.result
    if r.__class__ is Literal:
        return r.value
    return env.pop(r) if block.result_dies else env[r]


def resume(step: Step, env: dict, inner: Block, inner_env: dict) -> None:
    """Give the node that waited for block `inner` its value."""
    value = result(inner, inner_env)
    for n in step.after:
        env.pop(n, None)
    if step.kept:
        env[step.node] = value


def error(step: Step, values: list) -> BaseException:
    """The exception of a guard or raise."""
    return exception(step.node.attrs, [v.item() if hasattr(v, "item") else v for v in values], step.node.span)
