"""`myia-dump` at each stage, and its errors."""

import subprocess
import sys

import pytest

from myia_lite.cli import main

MODEL = """\
import numpy as np

SCALE = 2.0

def cost(w, x):
    return float(np.sum(np.tanh(x @ w))) * SCALE

class Group:
    @staticmethod
    def twice(x):
        return x + x

def printing(x):
    print(x)
    return x
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


EXPECTED = {
    "parse": "py_binary[op='@']",
    "infer": "matmul[",
    "ad": "tanh",
    "opt": "reduce_sum[axes=(0, 1)]",
    "llvm": "define",
    "asm": "ret",
}


@pytest.mark.parametrize("stage", EXPECTED)
@pytest.mark.parametrize("types", ["--types=f64[3,2], f64[4,3]", "--args=np.ones((3, 2)), np.ones((4, 3))"])
def test_stages(model, stage, types, capsys):
    assert main([f"{model}:cost", types, "--stage", stage]) == 0
    assert EXPECTED[stage] in capsys.readouterr().out


@pytest.mark.parametrize("argnum", ["0", "w"])
def test_gradient(model, argnum, capsys):
    assert main([f"{model}:cost", "--types", "f64[3,2], f64[4,3]", "--grad", argnum]) == 0
    out = capsys.readouterr().out
    assert "-> f64[3,2]" in out
    assert "matmul[ta=True" in out


def test_a_strategy_for_the_gradient(model, capsys):
    arguments = ["--types", "f64[3,2], f64[4,3]", "--grad", "-p", "simplify>>fuse>>split_loops", "--time-passes"]
    assert main([f"{model}:cost", *arguments]) == 0
    out = capsys.readouterr().out
    assert "matmul[ta=True" in out
    assert "split_loops" in out


def test_names_with_dots_and_modules(model, capsys, monkeypatch):
    assert main([f"{model}:Group.twice", "--types", "int"]) == 0
    assert "add_overflows" in capsys.readouterr().out
    monkeypatch.chdir(model.parent)
    assert main(["model:cost", "--types", "f32[3,2], f32[4,3]"]) == 0
    assert "f32[4,2]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["model.py"], "FILE.py:function"),
        (["none.py:f"], "there is no file"),
        (["{model}:nothing"], "has no nothing"),
        (["{model}:cost", "--types", "f16[2]"], "is not a type"),
        (["{model}:cost", "--types", "f64[3,2], f64[4,5]"], "line 6"),
        (["{model}:printing", "--args", "1.0"], "print"),
        (["{model}:cost", "--args", "1.0"], "cost() missing"),
    ],
)
def test_errors(model, arguments, message, capsys):
    assert main([a.format(model=model) for a in arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_the_command(model):
    done = subprocess.run(
        [sys.executable, "-m", "myia_lite.cli", f"{model}:cost", "--types", "f64[3,2], f64[4,3]"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("graph @cost(")
