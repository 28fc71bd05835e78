"""Products of matrices through TVM: tiles on the CPU, emulated kernels of a device, and their CUDA source."""

import os
import shutil
import subprocess

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import ml_dtypes
import numpy as np
from compare import assert_same

from myia_lite import MyiaError, grad, myia
from myia_lite.backends.tvm.build import build
from myia_lite.backends.tvm.options import Options, target_of
from myia_lite.backends.tvm.tiled import Tiles, tiles_for
from myia_lite.compiler import optimised
from myia_lite.infer import abstract, infer
from myia_lite.parser import parse_function

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SHAPES = [
    ((30, 40), (40, 50)),
    ((17, 300), (300, 33)),  # more terms than a panel has
    ((3, 20, 33), (3, 33, 21)),
    ((130, 65), (65, 140)),
    ((100, 90), (90, 1)),
    ((1, 90), (90, 100)),
]


def product(a, b):
    return a @ b


def of_transposed(a, b):
    return a.swapaxes(-1, -2) @ b.swapaxes(-1, -2)


def turned(a):
    return np.ascontiguousarray(a.swapaxes(-1, -2))


def factors(shapes, dtype):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("target", ["llvm", "emulated"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sizes_and_transposes(target, dtype):
    """Each function is compiled for known sizes, and then for open ones."""
    both = [myia(backend="tvm", target=target)(f) for f in (product, of_transposed)]
    for shapes in SHAPES:
        a, b = factors(shapes, dtype)
        expected = (a.astype(float) @ b.astype(float)).astype(dtype)
        tolerance = 1e-5 if dtype is np.float32 else 1e-12
        for f, given in zip(both, ((a, b), (turned(a), turned(b))), strict=True):
            got = f(*given)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("target", ["llvm", "emulated"])
def test_empty_sums_and_empty_results(target):
    f = myia(backend="tvm", target=target)(product)
    for m, k, n in ((20, 0, 30), (0, 20, 30), (20, 30, 0)):
        assert_same(f(np.ones((m, k)), np.ones((k, n))), np.ones((m, k)) @ np.ones((k, n)))


@pytest.mark.parametrize("target", ["llvm", "emulated"])
def test_parts_and_gradients(target):
    """A factor may be a part of an array, which is read where it lies; derivatives are products of transposes."""

    def loss(w, x):
        return np.sum(np.tanh(x[5:40] @ w[2].T) ** 2)

    w, x = factors([(3, 25, 30), (50, 30)], np.float64)
    compiled = myia(backend="tvm", target=target)(loss)
    assert_same(compiled(w, x), loss(w, x), rtol=1e-12)
    assert_same(grad(compiled)(w, x), grad(loss)(w, x), rtol=1e-10)


def test_all_cores_and_a_forked_process():
    """A child has one thread, and does not wait for others."""
    f = myia(backend="tvm")(product)
    a = np.ones((200, 200))
    assert f(a, a)[3, 3] == 200.0
    pid = os.fork()
    if pid == 0:
        os._exit(int(f(a, a)[3, 3] != 200.0))
    assert os.waitpid(pid, 0)[1] == 0


# ---- halves ----------------------------------------------------------------------------------------------------------
EDGES = [0.0, -0.0, 1.0, 1 + 2**-8, 1 + 2**-9, 1 + 3 * 2**-9, 1 + 2**-11, 1 + 3 * 2**-11, 65504.0, 65519.0]
EDGES += [-6e-8, 2.9e-8, 3e-8, 6.1e-5, 5.9e-5, 1e-30, 3.0e38, -1 / 3, 1e-40]


@pytest.mark.parametrize("target", ["llvm", "emulated"])
@pytest.mark.parametrize("products", HALVES)
def test_rounding(target, products):
    """To nearest, ties to even, as the dtype itself does it; `a @ identity` shows it, in nests and in tiles."""
    f = myia(backend="tvm", target=target, products=products)(product)
    a = np.array(EDGES, np.float32)
    a = a[np.abs(a) < 65520] if products == "float16" else a
    for rows in (1, 3, 64):
        many = np.tile(a, (rows, 1))
        many = np.concatenate([many, np.zeros((rows, 32 - len(a)), np.float32)], axis=1)
        assert_same(f(many, np.eye(32, dtype=np.float32)), many.astype(HALVES[products]).astype(np.float32) + 0.0)


@pytest.mark.parametrize("products", HALVES)
def test_infinities_and_nans(products):
    f = myia(backend="tvm", products=products)(product)
    one = np.ones((1, 1), np.float32)
    for x in (np.inf, -np.inf, np.nan, 1e5, 3.4e38):
        x = np.full((1, 1), x, np.float32)
        with np.errstate(over="ignore"):
            assert_same(f(x, one), x.astype(HALVES[products]).astype(np.float32))


@pytest.mark.parametrize("target", ["llvm", "emulated"])
@pytest.mark.parametrize("products", HALVES)
def test_products_of_halves(target, products):
    """Factors are rounded, products exact, sums in float32: on the CPU as by tensor cores, which are emulated from
    the documented layout of their registers."""
    both = [myia(backend="tvm", target=target, products=products)(f) for f in (product, of_transposed)]
    for shapes in SHAPES if target == "llvm" else SHAPES[:4]:
        a, b = factors(shapes, np.float32)
        x, y = (v.astype(HALVES[products]).astype(float) for v in (a, b))
        for f, given in zip(both, ((a, b), (turned(a), turned(b))), strict=True):
            np.testing.assert_allclose(f(*given), x @ y, rtol=2e-5, atol=2e-5)


def test_float64_is_not_rounded():
    a, b = factors(SHAPES[0], np.float64)
    assert_same(myia(backend="tvm", products="bfloat16")(product)(a, b), a @ b, rtol=1e-13)


def test_gradients_in_halves():
    """The products of the derivative are rounded as those of the program."""

    def loss(a, b):
        return np.sum(a @ b)

    a, b = factors(SHAPES[0], np.float32)
    got = grad(myia(backend="tvm", products="bfloat16")(loss))(a, b)
    expected = np.ones((30, 50)) @ b.astype(ml_dtypes.bfloat16).astype(float).T
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_exported(tmp_path):
    """With the functions that it calls, and the options of the function, for another target, too."""
    import tvm

    a, b = factors(SHAPES[0], np.float32)
    f = myia(product, backend="tvm", products="bfloat16")
    f.export(tmp_path / "f.so", a, b, target="llvm")
    machine = tvm.relax.VirtualMachine(tvm.runtime.load_module(str(tmp_path / "f.so")), tvm.cpu())
    y = machine["run"](tvm.runtime.tensor(a), tvm.runtime.tensor(b)).numpy()
    np.testing.assert_allclose(y, f(a, b), rtol=1e-4, atol=1e-4)
    assert np.abs(y - a @ b).max() > 1e-3


def test_options_that_are_none():
    with pytest.raises(MyiaError, match="products is 'float8'"):
        myia(backend="tvm", products="float8")
    with pytest.raises(MyiaError, match="no option 'products'"):
        myia(products="float16")
    with pytest.raises(MyiaError, match="no option 'deterministic'"):
        myia(backend="interp", deterministic=True)


# ---- CUDA ------------------------------------------------------------------------------------------------------------
def cuda(arch):
    return target_of(f'{{"kind": "cuda", "arch": "{arch}", "max_threads_per_block": 1024, "thread_warp_size": 32}}')


def source(shapes, dtype=np.float32, arch="sm_80", f=product, **options):
    arguments = tuple(abstract(np.zeros(s, dtype)) for s in shapes)
    graph = optimised(infer(f, arguments, parse_function).graph, None, backend="tvm")
    return build(graph, cuda(arch), options=Options("cuda", **options)).source


LARGE = ((2048, 1024), (1024, 2048))


def test_a_tiled_product():
    text = source(SHAPES[0])
    assert text.count("__shared__") == 2 and "__syncthreads()" in text
    assert "mma.sync" not in text and "__half" not in text
    assert len(text) < 12_000


@pytest.mark.parametrize(("products", "kind"), [("float16", "f16"), ("bfloat16", "bf16")])
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_tensor_cores(products, kind, arch):
    text = source(LARGE, arch=arch, products=products)
    assert f"mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32" in text
    assert f"cvt.rn.{kind}x2.f32" in text
    assert len(text) < 20_000


def test_a_device_without_them():
    """The same arithmetic, by the other kernel."""
    text = source(SHAPES[0], arch="sm_75", products="bfloat16")
    assert "mma.sync" not in text and "__shared__" in text


def test_tiles_fit():
    class Shared:
        target, options = cuda("sm_80"), Options("cuda")

    for dtype in ("f32", "f64"):
        for sizes in (((), 4096, 4096, 4096), ((), 100, 100, 100), ((None,), 64, None, 64)):
            t = tiles_for(Shared, dtype, *sizes) if None not in sizes[0] else tiles_for(Shared, dtype, [7], 64, 64, 64)
            assert t.allowed(dtype)
    assert Tiles(128, 128, 32, "float16").allowed("f32")
    assert not Tiles(128, 128, 64).allowed("f32") and not Tiles(128, 256, 16).allowed("f32")
    assert tiles_for(Shared, "f32", [], 4, 4096, 4096) is None


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_nvcc_compiles_it(tmp_path, arch):
    """Without spilling registers."""
    kinds = [
        {"shapes": SHAPES[2]},
        {"shapes": LARGE, "f": of_transposed},
        {"shapes": SHAPES[0], "dtype": np.float64},
        {"shapes": LARGE, "products": "bfloat16"},
        {"shapes": ((40, 30), (50, 40)), "products": "float16", "f": of_transposed},
    ]
    for k, kind in enumerate(kinds):
        path = tmp_path / f"{k}.cu"
        path.write_text(source(arch=arch, **kind))
        command = ["nvcc", f"-arch={arch}", "-cubin", "-Xptxas", "-v", "-o", path.with_suffix(".cubin"), path]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]
        assert done.stderr.count("0 bytes spill stores, 0 bytes spill loads") == done.stderr.count("spill stores")
