"""The way through the house: which folder may import which, and that each says what it does."""

import ast
from pathlib import Path

import pytest

import myia_lite

ROOT = Path(myia_lite.__file__).parent
EVERYTHING = {"ir", "ops", "parser", "infer", "ad", "opt", "backends", "cache", "api", "cli", "debug"}
MAY_IMPORT = {  # of our own; beside itself
    "ir": set(),
    "ops": {"ir"},
    "parser": {"ir", "ops"},
    "infer": {"ir", "ops"},
    "ad": {"ir", "ops"},
    "opt": {"ir", "ops"},
    "backends": {"ir", "ops"},
    "cache": {"ir", "ops", "infer", "backends", "callable"},
}
PURE = {"ir": {"numpy", "scipy", "llvmlite", "tvm"}}  # third parties that a folder does without
# the parser of printed text makes the NumPy value of an array constant, where there is one
MODULES = sorted(ROOT.rglob("*.py"))


def imported(path):
    """The absolute names of the modules that a file imports, functions' own imports included."""
    package = ("myia_lite", *path.relative_to(ROOT).parts[:-1])
    for n in ast.walk(ast.parse(path.read_text())):
        if isinstance(n, ast.Import):
            yield from (a.name for a in n.names)
        elif isinstance(n, ast.ImportFrom):
            base = ".".join(package[: len(package) - n.level + 1]) if n.level else ""
            module = ".".join(filter(None, (base, n.module)))
            yield from (f"{module}.{a.name}" for a in n.names)


def test_relative_imports_are_resolved():
    assert "myia_lite.ops.define.define" in imported(ROOT / "ops" / "control.py")
    assert "myia_lite.ir.Graph" in imported(ROOT / "backends" / "interp" / "machine.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_direction_of_imports(path):
    where = path.relative_to(ROOT).parts
    if len(where) == 1 or where[0] == "debug":
        return  # the front door sees all
    assert where[0] in MAY_IMPORT, f"{where[0]} is not in the table of docs/design.md"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "myia_lite":
            target = parts[1] if len(parts) > 1 else "the package itself"
            assert target == where[0] or target in MAY_IMPORT[where[0]], f"{where[0]} may not import {name}"
        else:
            assert parts[0] not in PURE.get(where[0], ()), f"{where[0]} does without {name}"


FOLDERS = sorted(p.parent for p in (*ROOT.glob("*/__init__.py"), *ROOT.glob("backends/*/__init__.py")))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_folders_say_what_they_do(folder):
    """What comes in, what goes out, what is guaranteed."""
    doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    for said in ("in come", "out go", "guarantee"):
        assert said in doc.lower(), f"{folder.name}: '{said}…' is not said"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_have_docstrings_and_honest_names(path):
    assert path.stem not in ("utils", "util", "helpers", "misc")
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def test_the_table_names_every_folder():
    assert {p.parent.name for p in ROOT.glob("*/__init__.py")} <= EVERYTHING
