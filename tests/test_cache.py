"""The cache on disk: what a second process finds, what it must not find, and that no failure of it is one of the call.

A new compiled function stands for a new process where that makes no difference: keys know no identities.
"""

import ast
import errno
import functools
import importlib
import json
import linecache
import os
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import myia_lite
from myia_lite import checkpoint, custom_derivative, foreign, grad, hessian, jacfwd, jvp, myia, value_and_grad
from myia_lite.cache import entry, store
from myia_lite.cache.identity import Unstorable, Walk
from myia_lite.opt import simplify

ROOT = Path(myia_lite.__file__).parent


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("MYIA_CACHE", "1")
    monkeypatch.setenv("MYIA_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    store._stores.clear()


def run(f, *args, **keywords):
    """(result, was it compiled?) of a call of a new compiled function."""
    compiled = f() if getattr(f, "makes", False) else myia(f)
    return compiled(*args, **keywords), bool(compiled.compilations)


def same(a, b):
    if isinstance(a, tuple | list):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        same(list(a.values()), list(b.values()))
    else:
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


# ---- what is found ---------------------------------------------------------------------------------------------------
class Pair(NamedTuple):
    left: np.ndarray
    right: float


@dataclass(frozen=True)
class Line:
    slope: float
    offset: float = 1.0

    def at(self, x):
        return self.slope * x + self.offset


SCALE = 3.0
TABLE = np.arange(6.0).reshape(2, 3)
PHASES = np.array([1.0 + 2.0j, 3.0 - 1.0j])
SETTINGS = {"rate": 0.5, "names": ["a", "b"]}
LINE = Line(2.0)


def helper(x):
    return SCALE * x + 1.0


def plain(x):
    return x * x + 1.0


def with_helper(x):
    return helper(x) * LINE.at(x) + SETTINGS["rate"]


def captured(x):
    return TABLE @ x + np.array([10.0, 20.0])


def phases(x):
    return np.sum(PHASES * x)


def several(x):
    return {"pair": Pair(np.outer(x, x), np.sum(x)), "line": Line(x[0]), "list": [x[1:], None, "text", 7, 1.5]}


def raises(x):
    if x < 0.0:
        raise ValueError(f"{x} is negative")
    return 1.0 / x


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def loop(x, n):
    total = 0.0
    for k in range(n):
        total = total + np.sin(x) * k
    return total


def sorted_sum(x):
    return np.sum(np.sort(x) * np.arange(1.0, 4.0))


def product(a, b):
    return np.sum(np.tanh(a @ b))


def sometimes(x, which=None):
    return x if which is None else x * which


@custom_derivative
def cubed(x):
    return x * x * x


@cubed.defjvp
def _(primals, tangents):
    return primals[0] ** 3, 3.0 * primals[0] ** 2 * tangents[0]


def adder(n):
    def add(x):
        return x + n

    return add


X = np.array([0.5, -1.0, 2.0])
BIG = np.linspace(0.0, 1.0, 900).reshape(30, 30)
FOUND = {
    "a number": (plain, (2.0,)),
    "an int": (plain, (2,)),
    "a NumPy scalar": (plain, (np.float32(2.0),)),
    "callees and a record": (with_helper, (2.0,)),
    "a captured array and a constant one": (captured, (X,)),
    "a captured complex array": (phases, (2.0,)),
    "structures": (several, (X,)),
    "an exception": (raises, (2.0,)),
    "recursion": (fibonacci, (10,)),
    "a loop": (loop, (0.3, 7)),
    "sorting": (sorted_sum, (X,)),
    "a product by BLAS": (product, (BIG, BIG)),
    "complex numbers": (plain, (1.0 + 2.0j,)),
    "complex arrays": (plain, (np.array([1.0 + 2.0j, 3.0]),)),
    "a default": (sometimes, (2.0,)),
    "a string and None": (lambda x, s: x if s == "one" else -x, (2.0, "one")),
    "a record": (lambda p: np.sum(p.left) * p.right, (Pair(X, 2.0),)),
    "a dict": (lambda d: d["a"] + d["b"], ({"a": 1.0, "b": X},)),
    "a closure": (adder(5.0), (1.0,)),
    "a function for an argument": (lambda f, x: f(x), (helper, 2.0)),
    "a partial application": (functools.partial(sometimes, which=2.0), (2.0,)),
    "a method": (LINE.at, (2.0,)),
    "a compiled callee": (lambda x: COMPILED(x) + 1.0, (2.0,)),
}
COMPILED = myia(plain)
MADE = {
    "a gradient": (lambda: grad(product, (0, 1)), (BIG, BIG)),
    "a gradient of a loop": (lambda: grad(loop), (0.3, 7)),
    "value and gradient": (lambda: value_and_grad(with_helper), (2.0,)),
    "a second derivative": (lambda: grad(grad(loop)), (0.3, 7)),
    "a Hessian": (lambda: hessian(sorted_sum), (X,)),
    "a Jacobian": (lambda: jacfwd(captured), (X,)),
    "a custom derivative": (lambda: grad(lambda x: cubed(x) * 2.0), (2.0,)),
    "a gradient in compiled code": (lambda: myia(lambda x: grad(plain)(x) + 1.0), (2.0,)),
    "a checkpoint": (lambda: grad(lambda x: checkpoint(helper)(x)), (2.0,)),
    "the NumPy error model": (lambda: myia(raises, error_model="numpy"), (0.0,)),
}
for _make, _ in MADE.values():
    _make.makes = True


@pytest.fixture(autouse=True)
def forgotten():
    """A transform of the same function is the same object: forget it."""
    myia_lite.api._kept.cache_clear()
    yield
    myia_lite.api._kept.cache_clear()


@pytest.mark.parametrize("name", [*FOUND, *MADE])
def test_a_program_is_found_again(name):
    f, args = (FOUND | MADE)[name]
    first, compiled = run(f, *args)
    assert compiled
    myia_lite.api._kept.cache_clear()
    compiled_again = f() if name in MADE else myia(f)
    for _ in range(3):  # by way of Python, then through the native entry
        same(compiled_again(*args), first)
    assert compiled_again.compilations == 0


def test_exceptions_come_from_the_entry():
    for expected in (True, False):
        f = myia(raises)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError, match="float division by zero") as zero:
                f(0.0)
            assert any("test_cache.py" in note and "1.0 / x" in note for note in zero.value.__notes__)
            with pytest.raises(ValueError, match=r"-2\.5 is negative"):
                f(-2.5)
        assert bool(f.compilations) is expected


def test_jvp_is_found():
    for compiled in (True, False):
        slope = 1.0 - np.tanh(BIG @ BIG) ** 2
        _, y_dot = jvp(product, (BIG, BIG), (BIG, BIG))
        assert y_dot == pytest.approx(2.0 * np.sum(slope * (BIG @ BIG)))
        assert bool(myia_lite.api.transformed("jvp", product).compilations) is compiled
        myia_lite.api._kept.cache_clear()


def test_open_sizes_are_found():
    for expected in (2, 0):
        f = myia(product)
        for n in (3, 4, 5):
            a = BIG[:n, :n].copy()
            assert f(a, a) == pytest.approx(product(a, a))
        assert f.compilations == expected


def test_what_was_found_is_watched():
    """A global that changes after the program was loaded makes another program."""
    global SCALE
    run(with_helper, 2.0)
    f = myia(with_helper)
    for _ in range(3):
        assert f(2.0) == with_helper(2.0)
    assert f.compilations == 0
    SCALE = 4.0
    try:
        for _ in range(3):
            assert f(2.0) == with_helper(2.0)
        assert f.compilations == 1
    finally:
        SCALE = 3.0
    SETTINGS["rate"] = 0.75
    try:
        assert f(2.0) == with_helper(2.0)
    finally:
        SETTINGS["rate"] = 0.5


def test_captured_arrays_are_read_at_each_call():
    run(captured, X)
    f = myia(captured)
    TABLE[0, 0] = 100.0
    try:
        same(f(X), captured(X))
    finally:
        TABLE[0, 0] = 0.0
    assert f.compilations == 0


PROGRAM = """
import sys, numpy as np
from myia_lite import grad, myia
TABLE = np.arange(6.0).reshape(2, 3)
def f(x):
    return np.sum(np.tanh(TABLE @ x))
g = grad(myia(f))
for _ in range(3):
    out = g(np.ones(3))
print(out.tolist(), g.compilations)
print(*[m for m in sys.modules if m.startswith(("myia_lite.", "llvmlite"))])
"""


def process(program: Path, **variables) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent), **variables}
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_process_does_without_the_compiler(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    first, second = process(file).splitlines(), process(file).splitlines()
    assert first[0].endswith("] 1") and second[0].endswith("] 0")
    assert first[0][:-1] == second[0][:-1]
    compiler = {"compiler", "parser", "infer.engine", "ad", "opt", "backends.llvm.lower", "backends.llvm.program"}
    assert {f"myia_lite.{m}" for m in compiler} <= set(first[1].split())
    assert not {f"myia_lite.{m}" for m in compiler} & set(second[1].split())
    assert "llvmlite.binding" in first[1].split()
    assert not [m for m in second[1].split() if m.startswith("llvmlite")]


def test_code_that_cannot_be_linked_is_an_error():
    from myia_lite.backends.llvm import jit, loader

    text = "declare i64 @nowhere()\ndefine i64 @f() {\n  %1 = call i64 @nowhere()\n  ret i64 %1\n}\n"
    with pytest.raises(RuntimeError, match="symbols"):
        loader.link(jit.emit(jit.parse(text)), {}, ["f"], "broken")
    with pytest.raises(RuntimeError):
        loader.link(b"no object file", {}, ["f"], "broken")


# ---- what must not be found ------------------------------------------------------------------------------------------
MODULE = """
import functools
import numpy as np
from {callee} import callee as renamed
import {callee} as other

NUMBER = 2.0
CHOICE = np.sin

class Model:
    def __init__(self, rate):
        self.rate = rate
    def apply(self, x):
        return self.rate * x

MODEL = Model(2.0)

def default(x, scale=2.0):
    return scale * x

def f(x):
    return renamed(x) + other.CONSTANT * x + NUMBER + CHOICE(x) + MODEL.apply(x) + default(x)
"""
CALLEE = "CONSTANT = 5.0\n\ndef callee(x):\n    return inner(x) * 2.0\n\ndef inner(x):\n    return x + 1.0\n"


class Modules:
    """Two modules in files, which are written anew and loaded anew."""

    def __init__(self, folder: Path):
        self.folder, self.names = folder, (f"main_{id(self)}", f"callee_{id(self)}")

    def load(self, main=MODULE, callee=CALLEE):
        texts = main.format(callee=self.names[1]), callee
        for name in self.names:
            sys.modules.pop(name, None)
        for name, text in zip(self.names, texts, strict=True):
            (self.folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        linecache.clearcache()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return importlib.import_module(self.names[0])
        finally:
            sys.dont_write_bytecode = before


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Modules(tmp_path)
    yield made
    for name in made.names:
        sys.modules.pop(name, None)


CHANGES = {
    "the function": (lambda s, c: (s.replace("+ NUMBER", "- NUMBER"), c)),
    "a number in it": (lambda s, c: (s.replace("def f(x):\n    return", "def f(x):\n    return 1.0 +"), c)),
    "a global": (lambda s, c: (s.replace("NUMBER = 2.0", "NUMBER = 3.0"), c)),
    "the type of a global": (lambda s, c: (s.replace("NUMBER = 2.0", "NUMBER = 2"), c)),
    "which function a global is": (lambda s, c: (s.replace("np.sin", "np.cos"), c)),
    "a default": (lambda s, c: (s.replace("scale=2.0", "scale=4.0"), c)),
    "an attribute": (lambda s, c: (s.replace("Model(2.0)", "Model(7.0)"), c)),
    "a method": (lambda s, c: (s.replace("self.rate * x", "self.rate - x"), c)),
    "a callee in another file": (lambda s, c: (s, c.replace("* 2.0", "* 3.0"))),
    "its callee": (lambda s, c: (s, c.replace("x + 1.0", "x + 2.0"))),
    "a constant of a module": (lambda s, c: (s, c.replace("CONSTANT = 5.0", "CONSTANT = 6.0"))),
    "which function is imported": (lambda s, c: (s.replace("import callee as renamed", "import inner as renamed"), c)),
    "a builtin's name": (lambda s, c: (s.replace("+ NUMBER", "+ abs(NUMBER - 5.0)"), c + "\n")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name, modules):
    before = modules.load()
    assert run(before.f, 0.5) == (before.f(0.5), True)
    assert run(modules.load().f, 0.5) == (before.f(0.5), False)
    after = modules.load(*CHANGES[name](MODULE, CALLEE))
    assert after.f(0.5) != before.f(0.5) or name == "the type of a global"
    assert run(after.f, 0.5) == (after.f(0.5), True)
    assert run(modules.load().f, 0.5) == (before.f(0.5), False)  # both are kept


def test_a_shadowed_builtin_is_noticed(modules):
    text = "def f(x):\n    return abs(x)\n#{callee}\n"
    assert run(modules.load(text).f, -2.0) == (2.0, True)
    assert run(modules.load(text).f, -2.0) == (2.0, False)
    text += "def abs(x):\n    return x - 1.0\n"
    assert run(modules.load(text).f, -2.0) == (-3.0, True)


def test_values_of_closures_are_told_apart():
    assert run(adder(1.0), 1.0) == (2.0, True)
    assert run(adder(2.0), 1.0) == (3.0, True)
    assert run(adder(2), 1.0) == (3.0, True)
    assert run(adder(-0.0), -0.0) == (-0.0, True)
    assert run(adder(0.0), -0.0) == (0.0, True)
    assert run(adder(1.0), 1.0) == (2.0, False)
    assert run(adder(np.float32(1.0)), 1.0)[1]


def test_a_captured_array_of_another_shape():
    assert run(adder(np.ones(3)), 1.0)[1]
    result, compiled = run(adder(np.full(3, 2.0)), 1.0)
    assert not compiled and result.tolist() == [3.0] * 3
    assert run(adder(np.ones(4)), 1.0)[1] and run(adder(np.ones(3, np.float32)), 1.0)[1]


def test_two_names_of_one_array_are_not_two_arrays():
    def over(a, b):
        return lambda x: a * x + b

    a, b = np.ones(2), np.full(2, 3.0)
    assert run(over(a, a), 1.0)[1] and run(over(a, b), 1.0)[1]
    same(run(over(b, a), 2.0)[0], np.full(2, 7.0))


def test_types_options_and_kinds_are_told_apart():
    seen = [
        lambda: myia(plain)(2.0),
        lambda: myia(plain)(2),
        lambda: myia(plain)(np.float64(2.0)),
        lambda: myia(plain)(X),
        lambda: myia(plain)(X[:2].copy()),
        lambda: myia(plain)(X.astype(np.float32)),
        lambda: grad(plain)(2.0),
        lambda: value_and_grad(plain)(2.0),
    ]
    for call in seen:
        call()
    assert len(list(Path(os.environ["MYIA_CACHE_DIR"]).glob("*.list"))) == len(seen)
    with pytest.raises(ZeroDivisionError):
        myia(raises)(0.0)
    with np.errstate(divide="ignore"):
        assert myia(raises, error_model="numpy")(0.0) == np.inf
    with pytest.raises(ZeroDivisionError):
        myia(raises)(0.0)


@pytest.mark.parametrize("variable", ["MYIA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_settings_are_told_apart(variable, monkeypatch):
    run(plain, 2.0)
    monkeypatch.setenv(variable, "3")
    assert run(plain, 2.0)[1]


@pytest.mark.parametrize("what", ["sources", "cpu", "versions"])
def test_the_environment_is_told_apart(what, monkeypatch):
    from myia_lite.backends.llvm import loader
    from myia_lite.cache import environment

    run(plain, 2.0)
    environment.fixed.cache_clear()
    assert not run(plain, 2.0)[1]
    with monkeypatch.context() as m:
        if what == "sources":
            m.setattr(environment, "_sources", lambda folder: ["another"])
        elif what == "cpu":
            m.setattr(loader, "target", lambda: ("another", "", "(20, 1, 8)"))
        else:
            m.setattr(np, "__version__", "another")
        environment.fixed.cache_clear()
        assert run(plain, 2.0)[1]
    environment.fixed.cache_clear()


def test_the_digest_is_that_of_another_process(tmp_path):
    """Neither addresses nor the seed of hashes are in it."""
    file = tmp_path / "digest.py"
    file.write_text(
        "import sys\nfrom myia_lite.cache.identity import Walk\n"
        "class C:\n    kinds = frozenset({'a', 'b', 'c', 'd'})\n    def m(self):\n"
        "        return {'x', 'y', 'z'} and self\n"
        "def f(x, c=C()):\n    return c.m() if x in {'p', 'q', 'r'} else lambda: f(x)\n"
        "w = Walk()\nw.object(f)\nprint(w.hexdigest(), len(w.objects))\n"
    )
    assert len({process(file, PYTHONHASHSEED=seed) for seed in "123"}) == 1


# ---- what is not kept ------------------------------------------------------------------------------------------------
class Opaque:
    def __init__(self):
        self.lock, self.rate = threading.Lock(), 2.0


OPAQUE = Opaque()


def with_opaque(x):
    return OPAQUE.rate * x


def test_what_has_no_plain_description_is_not_kept(cache):
    for _ in range(2):
        assert run(with_opaque, 2.0) == (4.0, True)
    assert not list(cache.glob("*.code"))
    with pytest.raises(Unstorable):
        Walk().object(threading.Lock())


class Computed:
    rate = 1.0

    @functools.cached_property
    def late(self):
        return COUNT[0]

    def __getattr__(self, name):
        if name == "dynamic":
            return COUNT[0]
        raise AttributeError(name)


COUNT = [2.0]


def reader(held, name):
    return {"late": lambda x: held.late * x, "dynamic": lambda x: held.dynamic * x}[name]


@pytest.mark.parametrize("name", ["late", "dynamic"])
def test_an_attribute_that_is_computed_is_not_kept(cache, name):
    """What it comes from is not in the key."""
    results = []
    for count in (2.0, 3.0):
        COUNT[0], held = count, Computed()
        results.append(run(reader(held, name), 1.0))
    assert results == [(2.0, True), (3.0, True)]
    assert not list(cache.glob("*.code"))


def test_a_strategy_of_the_user_is_not_kept(cache):
    assert myia(plain, optimize=simplify)(2.0) == 5.0
    assert not list(cache.glob("*.code"))


def test_a_function_from_outside_is_not_kept(cache):
    """Its address means nothing in another process."""
    outside = foreign(lambda x: x + 1.0, args=float, result=float)
    for _ in range(2):
        assert run(lambda x: outside(x) * 2.0, 2.0) == (6.0, True)
    assert not list(cache.glob("*.code"))


def test_the_switch(monkeypatch, cache):
    for value in ("0", "off", "False"):
        monkeypatch.setenv("MYIA_CACHE", value)
        assert run(plain, 2.0) == (5.0, True)
        assert not cache.exists()
    monkeypatch.delenv("MYIA_CACHE")
    assert run(plain, 2.0)[1] and not run(plain, 2.0)[1]


def test_the_reference_back_end_keeps_nothing(cache):
    assert myia(plain, backend="interp")(2.0) == 5.0
    assert not cache.exists()


# ---- damage ----------------------------------------------------------------------------------------------------------
def files_of(cache):
    return sorted(p for p in cache.iterdir() if p.is_file())


def test_any_flipped_byte_is_noticed(cache):
    """Somewhere in each file: the program is compiled again, or the file is of no use; never is it run."""
    expected, _ = run(captured, X)
    f = myia(captured)
    for _ in range(3):
        f(X)  # the native entry has a file too
    files = files_of(cache)
    assert {p.suffix for p in files} == {".code", ".list", ".object"}
    whole = {p: p.read_bytes() for p in files}
    for p, data in whole.items():
        name = p.name
        for at in sorted({*range(48), *range(0, len(data), max(1, len(data) // 40)), len(data) - 1}):
            p.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
            assert store.Store(cache).read(name) is None
            assert not p.exists()  # it is dropped
        p.write_bytes(data)
    for p in files:
        if p.suffix != ".object":
            p.write_bytes(whole[p][:-1] + bytes([whole[p][-1] ^ 1]))
            result, compiled = run(captured, X)
            same(result, expected)
            assert compiled
            assert not run(captured, X)[1]  # and kept again


def test_a_cut_file_is_noticed(cache):
    expected, _ = run(captured, X)
    for p in files_of(cache):
        data = p.read_bytes()
        for length in (0, 1, 7, 8, 39, 40, 41, len(data) // 2, len(data) - 1):
            p.write_bytes(data[:length])
            assert store.Store(cache).read(p.name) is None
        p.write_bytes(data + b"\0")
        assert store.Store(cache).read(p.name) is None
        p.write_bytes(data)
    for p in files_of(cache):
        p.write_bytes(p.read_bytes()[:100])
    same(run(captured, X)[0], expected)


def test_a_whole_file_that_answers_something_else(cache):
    """A list that names what is no entry, and entries that are gone."""
    run(plain, 2.0)
    for p in cache.glob("*.code"):
        p.unlink()
    assert run(plain, 2.0) == (5.0, True)
    (name,) = (p.name for p in cache.glob("*.list"))
    files = store.Store(cache)
    assert files.write(name, json.dumps([[["global", "no_such_module", "x"]], [["attribute", "sys", "x"]]]).encode())
    assert run(plain, 2.0) == (5.0, True)
    assert run(plain, 2.0) == (5.0, False)


# ---- directories -----------------------------------------------------------------------------------------------------
def test_files_are_the_users_own(cache):
    run(plain, 2.0)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in files_of(cache))
    assert not list(cache.glob(".new-*"))


@pytest.mark.parametrize("which", ["the directory", "a file"])
def test_what_others_may_write_is_not_used(cache, which):
    run(plain, 2.0)
    for p in [cache] if which == "the directory" else files_of(cache):
        p.chmod(0o777)
    store._stores.clear()
    with pytest.warns(RuntimeWarning, match="others may write to it"):
        assert run(plain, 2.0) == (5.0, True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(plain, 2.0) == (5.0, True)  # said once


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_what_belongs_to_another_is_not_used(cache, monkeypatch):
    run(plain, 2.0)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    store._stores.clear()
    with pytest.warns(RuntimeWarning, match="not the user's own"):
        assert run(plain, 2.0) == (5.0, True)


def test_a_link_is_not_used(cache, tmp_path):
    run(plain, 2.0)
    for p in cache.glob("*.code"):
        p.rename(tmp_path / "elsewhere")
        p.symlink_to(tmp_path / "elsewhere")
    store._stores.clear()
    with pytest.warns(RuntimeWarning, match="is not used"):
        assert run(plain, 2.0) == (5.0, True)


def test_a_directory_that_can_only_be_read(cache, monkeypatch):
    """What is there is found; nothing is written, and nothing is said."""
    run(plain, 2.0)

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "read-only")

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    for name in ("utime", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    before = files_of(cache)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(plain, 2.0) == (5.0, False)
        assert run(helper, 2.0) == (7.0, True)
    assert files_of(cache) == before


def test_a_place_where_no_directory_can_be(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        monkeypatch.setenv("MYIA_CACHE_DIR", str(place))
        store._stores.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            assert run(plain, 2.0) == (5.0, True)


def test_a_full_disk(cache, monkeypatch):
    class Full:
        def __init__(self, handle):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            os.close(self.handle)

        def write(self, data):
            os.write(self.handle, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "fdopen", lambda handle, mode: Full(handle))
        assert run(plain, 2.0) == (5.0, True)
        assert run(plain, 2.0) == (5.0, True)
    assert files_of(cache) == []  # no piece of a file is left
    assert run(plain, 2.0)[1] and not run(plain, 2.0)[1]


def test_what_was_not_used_for_longest_goes(cache, monkeypatch):
    files = store.Store(cache)
    for k in range(10):
        assert files.write(f"{k}.code", bytes(1000))
        os.utime(cache / f"{k}.code", (k, k))
    assert files.read("0.code") == bytes(1000)  # used just now
    monkeypatch.setenv("MYIA_CACHE_SIZE", "8000")
    files.write("new.code", bytes(1000))
    left = {p.name for p in files_of(cache)}
    assert {"0.code", "new.code"} <= left and "1.code" not in left
    assert sum(p.stat().st_size for p in files_of(cache)) <= 8000


def test_the_default_place(monkeypatch):
    from platformdirs import user_cache_path

    monkeypatch.delenv("MYIA_CACHE_DIR")
    assert store.directory() == user_cache_path("myia_lite", appauthor=False)


def test_many_processes_at_once(tmp_path, cache):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    started = [
        subprocess.Popen(
            [sys.executable, str(file)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    results = [p.communicate() for p in started]
    assert all(p.returncode == 0 for p in started), results
    assert len({out.splitlines()[0][:-1] for out, _ in results}) == 1
    assert not list(cache.glob(".new-*"))
    assert process(file).splitlines()[0].endswith("] 0")


# ---- how it is made --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", sorted((ROOT / "cache").glob("*.py")), ids=lambda p: p.name)
def test_nothing_is_unpickled_or_evaluated(path):
    names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
    names |= {a.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import) for a in n.names}
    assert not names & {"pickle", "marshal", "eval", "exec", "compile", "shelve", "dill", "cloudpickle", "__import__"}


def test_entries_are_json_and_code(cache):
    run(captured, X)
    (path,) = cache.glob("*.code")
    content = path.read_bytes()[store.HEAD :]
    size = int.from_bytes(content[:8], "little")
    data = json.loads(content[8 : 8 + size])
    assert data["params"] == [["f64", [3]], ["f64", [2, 3]]] and data["results"] == [["f64", [2]]]
    assert content[8 + size :].startswith(b"\x7fELF") or sys.platform != "linux"
    assert entry.FORMAT
