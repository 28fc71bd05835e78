"""The GradBench tool answers its protocol, and what it answers is right."""

import json
import math

import numpy as np
import pytest

from benchmarks.gradbench import MODULES, answer

LIMITS = {"min_runs": 2, "min_seconds": 0}
RNG = np.random.default_rng(0)


def lists(*shape):
    return (0.3 * RNG.standard_normal(shape)).tolist()


GMM = {"d": 2, "k": 3, "n": 4, "m": 0, "gamma": 1.0, "alpha": lists(3), "mu": lists(3, 2), "q": lists(3, 2)}
GMM |= {"l": lists(3, 1), "x": lists(4, 2)} | LIMITS
LSTM = {"main_params": lists(4, 8), "extra_params": lists(3, 2), "state": lists(4, 2), "sequence": lists(5, 2)} | LIMITS
BA = {"n": 2, "m": 3, "p": 5, "cam": lists(11), "x": [0.1, 0.2, 3.0], "w": 0.5, "feat": [0.1, 0.2]} | LIMITS


def evaluate(module, function, given):
    message = {"id": 7, "kind": "evaluate", "module": module, "function": function, "input": given}
    said = answer(json.loads(json.dumps(message)))
    json.dumps(said)  # plain data
    assert said["success"], said
    return said


def test_talk():
    assert answer({"id": 0, "kind": "start", "eval": "lse"}) == {"tool": "myia-lite"}
    assert answer({"id": 1, "kind": "define", "module": "lse"}) == {"success": True}
    assert answer({"id": 2, "kind": "define", "module": "of this name there is none"}) == {"success": False}
    assert answer({"id": 3, "kind": "analysis", "of": 2, "valid": True}) == {}
    assert answer({"id": 4, "kind": "evaluate", "module": "lse", "function": "f", "input": {}})["success"] is False
    assert answer({"id": 5, "kind": "evaluate", "module": "lse", "function": "primal", "input": {}})["success"] is False


def test_runs_and_seconds():
    said = evaluate("lse", "primal", {"x": [0.0, 0.0], "min_runs": 5, "min_seconds": 0})
    assert said["output"] == pytest.approx(math.log(2))
    assert [t["name"] for t in said["timings"]] == ["prepare"] + 5 * ["evaluate"]
    longer = evaluate("lse", "primal", {"x": [0.0, 0.0], "min_runs": 1, "min_seconds": 0.01})
    assert sum(t["nanoseconds"] for t in longer["timings"][1:]) >= 1e7


def test_hello():
    assert evaluate("hello", "square", 3.0)["output"] == 9.0
    assert evaluate("hello", "double", 3.0)["output"] == 6.0


@pytest.mark.parametrize(
    ("module", "names", "given"),
    [
        ("llsq", ("primal", "gradient"), {"x": lists(3), "n": 8} | LIMITS),
        ("lse", ("primal", "gradient"), {"x": lists(5)} | LIMITS),
        ("gmm", ("objective", "jacobian"), GMM),
        ("lstm", ("objective", "jacobian"), LSTM),
    ],
)
def test_slopes_are_those_of_the_values(module, names, given):
    """Along a random direction, against a central difference."""
    value, slope = names
    wrt = {"gmm": ["alpha", "mu", "q", "l"], "lstm": ["main_params", "extra_params"]}.get(module, ["x"])
    found = evaluate(module, slope, given)["output"]
    parts = np.concatenate([np.ravel(found[k]) for k in wrt]) if isinstance(found, dict) else np.array(found)
    along, h = {k: RNG.standard_normal(np.shape(given[k])) for k in wrt}, 1e-6
    ends = [
        evaluate(module, value, given | {k: (np.array(given[k]) + s * h * along[k]).tolist() for k in wrt})["output"]
        for s in (1, -1)
    ]
    expected = (ends[0] - ends[1]) / (2 * h)
    assert parts @ np.concatenate([along[k].ravel() for k in wrt]) == pytest.approx(expected, rel=1e-6)


def test_sparse_jacobian():
    said = evaluate("ba", "jacobian", BA)["output"]
    assert said["rows"] == [0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 151, 152, 153, 154, 155, 155]
    assert said["cols"][:15] == [*range(11), 22, 23, 24, 31]
    assert said["cols"][-1] == 35
    assert said["vals"][-1] == -1.0
    objective = evaluate("ba", "objective", BA)["output"]
    assert objective["w_err"] == {"element": 0.75, "repeated": 5}
    h, k = 1e-6, 6  # the focal length
    ends = [
        evaluate("ba", "objective", BA | {"cam": [c + s * h * (j == k) for j, c in enumerate(BA["cam"])]})["output"]
        for s in (1, -1)
    ]
    errors = [np.array(e["reproj_error"]["elements"]) for e in ends]
    assert np.array([said["vals"][k], said["vals"][15 + k]]) == pytest.approx(
        (errors[0] - errors[1]) / (2 * h), rel=1e-5
    )


@pytest.mark.parametrize("on_triangles", [False, True])
def test_hand(on_triangles):
    bones, count, n = 22, 7, 3
    bases = np.tile(np.eye(4), (bones, 1, 1))
    model = {
        "bone_names": [str(b) for b in range(bones)],
        "parents": [-1, 0, *(0 if b % 4 == 2 else b - 1 for b in range(2, bones))],
        "base_relatives": bases.tolist(),
        "inverse_base_absolutes": bases.tolist(),
        "base_positions": np.concatenate([RNG.standard_normal((count, 3)), np.ones((count, 1))], axis=1).tolist(),
        "weights": RNG.random((count, bones)).tolist(),
        "triangles": [[0, 1, 2], [3, 4, 5]],
        "is_mirrored": False,
    }
    data = {"correspondences": [0, 1, 1], "points": lists(n, 3), "model": model}
    given = {"theta": lists(26), "us": lists(n, 2) if on_triangles else [], "data": data} | LIMITS
    slopes = np.array(evaluate("ht", "jacobian", given)["output"])
    assert slopes.shape == (3 * n, 28 if on_triangles else 26)
    h, along = 1e-6, RNG.standard_normal(26)
    ends = [
        evaluate("ht", "objective", given | {"theta": (np.array(given["theta"]) + s * h * along).tolist()})["output"]
        for s in (1, -1)
    ]
    expected = (np.array(ends[0]) - np.array(ends[1])) / (2 * h)
    assert slopes[:, -26:] @ along == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_each_module_has_two_functions():
    assert {len(functions) for functions in MODULES.values()} == {2}
