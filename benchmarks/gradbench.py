"""A GradBench tool: `python -m benchmarks.gradbench` speaks its line protocol on standard input and output.

One JSON object a line comes in, one goes out that echoes its `id`.  `start` is answered with the tool's name, `define`
with whether there is such a module here, `evaluate` with the result and the nanoseconds of each run: as many runs as
`min_runs` and `min_seconds` ask for, after two that compile, which are timed as `prepare`.
See https://github.com/gradbench/gradbench.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from myia_lite import grad, myia

from . import ba, gmm, hello, ht, llsq, lse, lstm, ode

TOOL = "myia-lite"


def array(value, *shape):
    """A float64 array, of the shape given where a list is empty."""
    return np.asarray(value, dtype=np.float64).reshape(shape) if shape else np.asarray(value, dtype=np.float64)


def plain(value):
    """Numbers and nested lists."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


# ---- the modules: name -> function -> what it makes of an input: a call without arguments, and the output of a result
def simple(f, names):
    """Value and gradient of a function of the inputs of these names."""

    def arguments(given):
        return [array(given[k]) if isinstance(given[k], list) else given[k] for k in names]

    return lambda given: (partial(f, *arguments(given)), plain)


def gmm_arguments(given):
    d, k, n = given["d"], given["k"], given["n"]
    alpha, mu, q = array(given["alpha"], k), array(given["mu"], k, d), array(given["q"], k, d)
    l, x = array(given["l"], k, d * (d - 1) // 2), array(given["x"], n, d)
    return alpha, mu, q, l, x, float(given["gamma"]), int(given["m"])


def log_multigamma(a, d):
    """log Γ_d(a)."""
    return d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma(a - j / 2) for j in range(d))


def gmm_objective(given):
    arguments, (d, k, m) = gmm_arguments(given), (given[name] for name in "dkm")
    constant = k * log_multigamma((d + m + 1) / 2, d)
    return partial(compiled_gmm, *arguments), lambda value: float(value - constant)


def gmm_jacobian(given):
    def output(gradients):
        return dict(zip(("alpha", "mu", "q", "l"), map(plain, gradients), strict=True))

    return partial(derived_gmm, *gmm_arguments(given)), output


def lstm_arguments(given):
    return tuple(array(given[k]) for k in ("main_params", "extra_params", "state", "sequence"))


def lstm_jacobian(given):
    return partial(derived_lstm, *lstm_arguments(given)), lambda g: plain(np.concatenate([a.ravel() for a in g]))


def ba_arguments(given):
    """Its inputs are one camera, one point, one weight and one feature, to be repeated."""
    n, m, p = given["n"], given["m"], given["p"]
    repeat = lambda value, times: np.tile(array(value), (times, 1))  # noqa: E731
    return repeat(given["cam"], n), repeat(given["x"], m), np.full(p, float(given["w"])), repeat(given["feat"], p)


def ba_objective(given):
    def output(result):
        errors, by_weights = result
        return {
            "reproj_error": {"elements": plain(errors[0]), "repeated": given["p"]},
            "w_err": {"element": float(by_weights[0]), "repeated": given["p"]},
        }

    return partial(compiled_ba, *ba_arguments(given)), output


def compressed_rows(values, by_weights, n, m):
    """Row pointers, columns and values of the sparse Jacobian; columns are cameras, points, weights."""
    p = len(by_weights)
    at = np.arange(p)
    camera = 11 * (at % n)[:, None] + np.arange(11)
    point = 11 * n + 3 * (at % m)[:, None] + np.arange(3)
    weight = 11 * n + 3 * m + at[:, None]
    cols = np.repeat(np.concatenate([camera, point, weight], axis=1), 2, axis=0).ravel()
    rows = np.concatenate([15 * np.arange(2 * p + 1), 30 * p + 1 + at])
    return rows, np.concatenate([cols, weight[:, 0]]), np.concatenate([values.ravel(), by_weights])


def ba_jacobian(given):
    n, m = given["n"], given["m"]
    arguments = ba_arguments(given)

    def call():
        return compressed_rows(*derived_ba(*arguments), n, m)

    def output(result):
        return {name: plain(np.append(a[:30], a[-1])) for name, a in zip(("rows", "cols", "vals"), result, strict=True)}

    return call, output


def ht_arguments(given):
    data = given["data"]
    model = data["model"]
    hand = (
        np.asarray(model["parents"], dtype=np.int64),
        array(model["base_relatives"]),
        array(model["inverse_base_absolutes"]),
        array(model["base_positions"]),
        array(model["weights"]),
        bool(model["is_mirrored"]),
    )
    correspondences = np.asarray(data["correspondences"], dtype=np.int64)
    rest = hand, correspondences, array(data["points"])
    us = array(given.get("us") or [])
    if us.size == 0:
        return (array(given["theta"]), *rest)
    triangles = np.asarray(model["triangles"], dtype=np.int64)
    return array(given["theta"]), us.reshape(-1, 2), hand, triangles, *rest[1:]


def ht_module(plain_function, on_triangles):
    def made(given):
        arguments = ht_arguments(given)
        return partial(plain_function if len(arguments) == 4 else on_triangles, *arguments), plain

    return made


compiled_gmm, derived_gmm = myia(gmm.gmm), grad(gmm.gmm, argnums=(0, 1, 2, 3))
derived_lstm = grad(lstm.lstm, argnums=(0, 1))
compiled_ba, derived_ba = myia(ba.objective), myia(ba.jacobian)


def flat(f):
    """The compiled function with its result in one row."""
    compiled = myia(f)
    return lambda *arguments: compiled(*arguments).ravel()


MODULES: dict[str, dict[str, Callable]] = {
    "hello": {
        "square": lambda given: (partial(myia(hello.square), float(given)), plain),
        "double": lambda given: (partial(grad(hello.square), float(given)), plain),
    },
    "llsq": {"primal": simple(myia(llsq.llsq), "xn"), "gradient": simple(grad(llsq.llsq), "xn")},
    "lse": {"primal": simple(myia(lse.loop), "x"), "gradient": simple(grad(lse.loop), "x")},
    "ode": {"primal": simple(myia(ode.states), "xs"), "gradient": simple(grad(ode.ode), "xs")},
    "gmm": {"objective": gmm_objective, "jacobian": gmm_jacobian},
    "lstm": {
        "objective": lambda given: (partial(myia(lstm.lstm), *lstm_arguments(given)), plain),
        "jacobian": lstm_jacobian,
    },
    "ba": {"objective": ba_objective, "jacobian": ba_jacobian},
    "ht": {
        "objective": ht_module(flat(ht.errors), flat(ht.errors_on_triangles)),
        "jacobian": ht_module(myia(ht.jacobian), myia(ht.jacobian_on_triangles)),
    },
}


def evaluate(module: str, function: str, given) -> dict:
    """Run a function on an input: the answer's output and timings."""
    call, output = MODULES[module][function](given)
    limits = given if isinstance(given, dict) else {}
    runs, seconds = int(limits.get("min_runs", 1)), float(limits.get("min_seconds", 0))
    start = time.perf_counter_ns()
    for _ in range(2):  # the second call makes the native entry of the signature
        result = call()
    timings = [{"name": "prepare", "nanoseconds": time.perf_counter_ns() - start}]
    total = 0
    while runs > 0 or total < seconds * 1e9:
        start = time.perf_counter_ns()
        result = call()
        taken = time.perf_counter_ns() - start
        timings.append({"name": "evaluate", "nanoseconds": taken})
        runs, total = runs - 1, total + taken
    return {"success": True, "output": output(result), "timings": timings}


def answer(message: dict) -> dict:
    """What to say to a message."""
    kind, module = message["kind"], message.get("module")
    if kind == "start":
        return {"tool": TOOL}
    if kind == "define":
        return {"success": module in MODULES}
    if kind == "evaluate":
        if message["function"] not in MODULES.get(module, {}):
            return {"success": False, "error": f"{module} has no function {message['function']}"}
        try:
            return evaluate(module, message["function"], message["input"])
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return {"success": False, "error": f"{type(error).__name__}: {error}"}
    return {}


def main() -> None:
    """Answer until the input ends."""
    for text in sys.stdin:
        if text.strip():
            message = json.loads(text)
            print(json.dumps({"id": message["id"], **answer(message)}), flush=True)


if __name__ == "__main__":
    main()
