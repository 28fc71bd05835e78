"""On a GPU: products of matrices, scans, sorting and scatters, which elsewhere are emulated; and how fast they are.

Nothing here has run yet: there was no GPU when it was written.
"""

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
import test_gpu
import test_tvm_kernels as kernels
import test_tvm_products as products
import tvm

from myia_lite import myia, to_device

pytestmark = test_gpu.pytestmark


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_all_sizes(dtype):
    products.test_sizes_and_transposes("cuda", dtype)


@pytest.mark.parametrize("halves", products.HALVES)
def test_tensor_cores(halves):
    products.test_rounding("cuda", halves)
    products.test_products_of_halves("cuda", halves)


def test_scans_sorting_and_scatters(monkeypatch):
    monkeypatch.setattr(kernels, "TARGET", "cuda")
    kernels.test_running_sums()
    kernels.test_running_sums_of_ints_are_exact()
    kernels.test_sorting_is_stable()
    kernels.test_sorting_other_dtypes()
    for reduce in (np.argmax, np.argmin):
        kernels.test_the_first_extremum(reduce)
    for deterministic in (False, True):
        kernels.test_sums_at_repeated_indexes(deterministic, (3,))
    kernels.test_the_last_write_wins()


def test_tuning(tmp_path, capsys):
    from myia_lite.tune import main

    path = tmp_path / "model.py"
    path.write_text("def product(a, b):\n    return a @ b\n")
    types = ["--types", "f32[512,512], f32[512,512]", "--trials", "4", "--database", str(tmp_path)]
    assert main([f"{path}:product", "--target", "cuda", *types]) == 0
    assert "us with" in capsys.readouterr().out


# ---- measurements ----------------------------------------------------------------------------------------------------
def seconds(f, *args, **options):
    g, given = myia(backend="tvm", target="cuda", **options)(f), to_device(args)
    return test_gpu.best(lambda: g(*given), tvm.cuda().sync)


@pytest.mark.parametrize("halves", ["float32", "bfloat16"])
def test_speed_of_products(halves):
    a = np.ones((4096, 4096), np.float32)
    mine = seconds(lambda a, b: a @ b, a, a, products=halves)
    print(f"\nproduct of 4096 x 4096 matrices, factors in {halves}: {2 * 4096**3 / mine * 1e-12:.1f} TFLOP/s")
    torch = pytest.importorskip("torch", reason="no PyTorch to compare with")
    t = torch.ones(4096, 4096, device="cuda", dtype=getattr(torch, halves))
    theirs = test_gpu.best(lambda: t @ t, torch.cuda.synchronize)
    print(f"PyTorch: {2 * 4096**3 / theirs * 1e-12:.1f} TFLOP/s, ratio {mine / theirs:.1f}")


def test_speed_of_steps():
    x = np.random.default_rng(0).normal(size=10_000_000).astype(np.float32)
    for name, f in (("cumsum", np.cumsum), ("argsort", np.argsort), ("argmax", np.argmax)):
        print(f"\n{name} of 1e7 float32: {seconds(lambda x, f=f: f(x), x) * 1e3:.2f} ms")
