"""The texts in the documentation are what the compiler prints."""

import importlib.util
import re
from pathlib import Path

import pytest

from myia_lite import grad, myia

DESIGN = (Path(__file__).parent.parent / "docs" / "design.md").read_text().split("## One program through all stages")[1]


def block(kind: str) -> str:
    return re.search(rf"```{kind}\n(.*?)\n```", DESIGN, re.DOTALL)[1]


@pytest.fixture(scope="module")
def decay(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "tour.py"
    path.write_text(block("python") + "\n")
    spec = importlib.util.spec_from_file_location("tour", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.decay


@pytest.mark.parametrize("stage", ["parse", "infer", "ad", "opt"])
def test_the_program_followed_through_all_stages(decay, stage):
    f = myia(decay) if stage in ("parse", "infer") else grad(decay)
    assert f.ir(0.9, 5, stage=stage).strip() == block(stage)
