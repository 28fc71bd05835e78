"""Start-up: what `import myia_lite` leaves for later, and that it comes when it is needed."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import myia_lite
from myia_lite import MyiaError, grad, myia

HEAVY = ("scipy", "llvmlite", "myia_lite.parser", "myia_lite.infer.engine", "myia_lite.ops", "myia_lite.ad")
HEAVY += ("myia_lite.opt", "myia_lite.backends.llvm", "myia_lite.backends.interp", "myia_lite.sparse")


def in_a_new_process(program: str, file=None) -> str:
    """What the program prints; it stands in `file` where functions of its own are compiled, for their source."""
    if file is not None:
        file.write_text(program)
    command = [sys.executable, *(["-c", program] if file is None else [str(file)])]
    env = {**os.environ, "PYTHONPATH": str(Path(myia_lite.__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_leaves_the_compiler_and_scipy_for_later():
    loaded = in_a_new_process("import sys, myia_lite; print(*sys.modules)").split()
    assert "myia_lite.api" in loaded
    assert not [m for m in loaded if m in HEAVY or m.startswith(("scipy.", "llvmlite."))]


def test_making_a_function_compiles_nothing_and_imports_nothing():
    program = "import sys\nfrom myia_lite import grad, myia, jvp, vjp\nmyia(grad(lambda x: x * x))\nprint(*sys.modules)"
    loaded = in_a_new_process(program).split()
    assert not [m for m in loaded if m in HEAVY]


@pytest.mark.parametrize("name", ["check_grads", "sparse_jacobian", "sparse_hessian"])
def test_names_that_come_late(name):
    assert in_a_new_process(f"from myia_lite import {name}\nprint({name}.__name__)").strip() == name
    assert in_a_new_process(f"import myia_lite\nprint(myia_lite.{name}.__name__)").strip() == name
    assert in_a_new_process(f"from myia_lite import *\nprint({name}.__name__)").strip() == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'gradient'"):
        _ = myia_lite.gradient


def test_functions_of_scipy_are_known_whenever_scipy_is_imported(tmp_path):
    """Inference learns them when SciPy is there, which may be after it compiled something else."""
    program = (
        "import math\nfrom myia_lite import grad, myia\n"
        "def square(x):\n    return x * x\n"
        "def late(x):\n    return expit(x)\n"
        "print(myia(square)(3.0))\n"
        "from scipy.special import expit\n"
        "print(myia(late)(0.0), grad(late)(0.0))\n"
    )
    assert in_a_new_process(program, tmp_path / "late.py").split() == ["9.0", "0.5", "0.25"]


def test_programs_without_matrix_products_load_no_scipy(tmp_path):
    program = (
        "import sys, numpy as np\nfrom myia_lite import grad\n"
        "def f(x):\n    return np.sum(np.sin(x) * x)\n"
        "grad(f)(np.ones(3))\nprint('scipy' in sys.modules)\n"
    )
    assert in_a_new_process(program, tmp_path / "plain.py").split() == ["False"]


def cubes(x):
    for _ in range(3):
        x = x * x * x + x
    return x


def refused(x):
    return open(x)


@pytest.mark.parametrize("enabled", [True, False])
def test_compiling_collects_no_garbage_and_leaves_the_collector_as_it_was(enabled, monkeypatch):
    monkeypatch.setenv("MYIA_CACHE", "0")
    collections = []
    was = gc.isenabled()
    try:
        grad(myia(cubes))(0.5)  # what is imported on the way
        (gc.enable if enabled else gc.disable)()
        gc.callbacks.append(lambda phase, info: collections.append(phase))
        grad(grad(myia(cubes)))(0.5)
        during = len(collections)
        assert gc.isenabled() == enabled
        with pytest.raises(MyiaError):
            myia(refused)(1.0)
        assert gc.isenabled() == enabled
    finally:
        gc.callbacks.pop()
        (gc.enable if was else gc.disable)()
    assert during <= 4  # before and after
