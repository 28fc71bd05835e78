"""`myia-tune`: it measures tiles, goes on where it was, and what it found is used; nothing on disk is believed."""

import json
from dataclasses import asdict

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")
pytest.importorskip("rich", reason="rich is not installed")

import numpy as np
from compare import assert_same

from myia_lite import myia
from myia_lite.backends import get_backend
from myia_lite.backends.tvm import gemm, tuning
from myia_lite.compiler import optimised
from myia_lite.infer import abstract, infer
from myia_lite.parser import parse_function
from myia_lite.tune import main

MODEL = """
import numpy as np

def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2)

def nothing(x):
    return np.sum(x)
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.delenv("MYIA_TUNE_DB", raising=False)
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return [f"{path}:loss", "--types", "f64[40,30], f64[50,40]", "--database", str(tmp_path / "db")]


def lines(tmp_path):
    return [json.loads(text) for text in (tmp_path / "db" / tuning.FILE).read_text().splitlines()]


def test_a_search_goes_on_where_it_was(command, tmp_path, monkeypatch, capsys):
    real, measured = tuning.seconds, []

    def seconds(w, tiles, target):
        measured.append(tiles)
        return real(w, tiles, target, budget=0.01)

    monkeypatch.setattr(tuning, "seconds", seconds)
    assert main([*command, "--trials", "2"]) == 0
    out = capsys.readouterr().out
    assert "f64[50 x 40] @ [40 x 30]" in out and "us with" in out and "MYIA_TUNE_DB=" in out
    assert len(lines(tmp_path)) == len(measured) == 2
    assert main([*command, "--trials", "2"]) == 0
    assert len(measured) == 2
    with (tmp_path / "db" / tuning.FILE).open("a") as f:
        f.write('{"digest": "cut o')
    assert main([*command, "--trials", "3"]) == 0
    assert len(measured) == len(set(measured)) == 3
    assert main([*command, "--trials", "2", "--grad"]) == 0  # two products more
    assert len(measured) == 3 + 2


def product(a, b):
    return a @ b


def workload_of(a, b, backend="tvm:llvm"):
    graph = optimised(infer(product, (abstract(a), abstract(b)), parse_function).graph, None, backend="tvm")
    ((w, usual),) = get_backend(backend).products(graph).items()
    return w, usual


FACTORS = np.random.default_rng(0).normal(size=(50, 40)), np.random.default_rng(1).normal(size=(40, 30))


def code(folder):
    f = myia(product, backend="tvm", tuning=folder)
    assert_same(f(*FACTORS), FACTORS[0] @ FACTORS[1], rtol=1e-12)
    (program,) = f._programs.values()
    return next(m for m in program.run.executable.mod.imports if m.kind == "llvm").inspect_source("ll")


def test_the_fastest_tiles_are_used(tmp_path, monkeypatch):
    w, usual = workload_of(*FACTORS)
    database = tuning.Database(tmp_path)
    best = gemm.Tiles(usual.lanes, 4, 1, 16, 128, 512)
    for t, seconds in ((usual, 2.0), (best, 1.0), (gemm.Tiles(usual.lanes, 4, 1, 32, 128, 512), 3.0)):
        database.add(w, t, seconds)
    assert gemm.name_of("f64", "float32", best) in code(tmp_path)
    monkeypatch.setenv("MYIA_TUNE_DB", str(tmp_path))
    assert gemm.name_of("f64", "float32", best) in code(None)
    assert gemm.name_of("f64", "float32", usual) in code(tmp_path / "another")


def test_what_is_not_believed(tmp_path):
    """Lines that are cut, of other kernels or another workload, and tiles that no kernel has."""
    w, usual = workload_of(*FACTORS)
    good = {"digest": w.digest(), "workload": asdict(w), "tiles": tuning.fields_of(usual), "seconds": 1.0}
    other = asdict(w) | {"m": 51}
    bad = [
        "", "[", "null", "[1]", '{"digest": 1}', "__import__('os')", "[" * 100_000, "\x00\xff",
        *(json.dumps(good | change) for change in (
            {"digest": "0" * 64}, {"workload": other}, {"workload": None}, {"workload": asdict(w) | {"x": 1}},
            {"seconds": -1.0}, {"seconds": "0"}, {"seconds": 1e-9, "tiles": None},
            *({"seconds": 1e-9, "tiles": tuning.fields_of(usual) | tiles} for tiles in (
                {"rows": 5}, {"width": 1001}, {"depth": 0}, {"depth": True}, {"depth": 10**9}, {"lanes": 3.0}, {"x": 1},
                {"lanes": 64}, {"rows": "6"},
            )),
        )),
    ]  # fmt: skip
    (tmp_path / tuning.FILE).write_text("\n".join(bad), encoding="utf-8")
    assert tuning.Database(tmp_path).measured(w) == {}
    tuning.Database(tmp_path).add(w, usual, 2.0)
    assert tuning.Database(tmp_path).measured(w) == {usual: 2.0}


def test_candidates_are_tiles_that_kernels_have():
    from test_tvm_products import cuda

    class Shared:
        target, options = cuda("sm_80"), None

    for w, usual in (workload_of(*FACTORS), workload_of(*(a.astype(np.float32) for a in FACTORS))):
        found = tuning.candidates(w, usual)
        assert found[0] == usual and len(set(found)) == len(found) > 20
        assert all(t.allowed() for t in found)
    for products in ("float32", "bfloat16"):
        w = tuning.Workload(str(Shared.target), "x", "f32", products, 1, 500, 500, 500, False, False)
        found = tuning.candidates(w, tuning.tiles_of(w, {"rows": 64, "columns": 64, "depth": 32}))
        assert len(found) > 3 and all(t.allowed("f32") for t in found)


def test_mistakes(command, capsys):
    assert main([command[0], "--types", "f64[40,30], f64[50,40]", "--target", "emulated"]) == 1
    assert "no device" in capsys.readouterr().err
    assert main([command[0].replace("loss", "lost"), *command[1:]]) == 1
    assert "has no lost" in capsys.readouterr().err
    assert main([command[0].replace("loss", "nothing"), "--types", "f64[9]", *command[3:]]) == 0
    assert "no products" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, "--trials", "0"])


def test_a_device_that_is_not_there(command, capsys):
    import tvm

    if tvm.cuda().exist:
        pytest.skip("there is one")
    assert main([*command, "--target", "cuda"]) == 1
    assert "no device" in capsys.readouterr().err
