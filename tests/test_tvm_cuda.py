"""Programs compiled for CUDA, where no GPU is needed: each nest is a kernel, its source bounded, and nvcc takes it."""

import re
import shutil
import subprocess

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")

import numpy as np
from test_ops import CASES, graph_of, type_of, with_sizes

from myia_lite import value_and_grad
from myia_lite.backends.tvm.build import build, kernels_in
from myia_lite.backends.tvm.lower import NOT_LOWERED
from myia_lite.backends.tvm.options import target_of
from myia_lite.compiler import optimised
from myia_lite.infer import abstract, infer
from myia_lite.parser import parse_function

SAMPLES = {}
for case in with_sizes(CASES):
    p, args, attrs, known = getattr(case, "values", case)
    if p.name not in NOT_LOWERED and any(np.ndim(a) for a in args):
        signature = tuple(str(type_of(a, known)) for a in args), str(attrs)
        SAMPLES.setdefault(p, {})[signature] = [type_of(a, known) for a in args], attrs


def cuda(arch):
    return target_of(f'{{"kind": "cuda", "arch": "{arch}", "max_threads_per_block": 1024, "thread_warp_size": 32}}')


@pytest.mark.parametrize("p", SAMPLES, ids=lambda p: p.name)
def test_primitive(p):
    """`build` raises where a nest did not become a kernel."""
    for k, (types, attrs) in enumerate(SAMPLES[p].values()):
        out = build(graph_of(p, types, attrs, 0), cuda(("sm_80", "sm_90")[k % 2]))
        assert len(kernels_in(out.source)) >= out.launches
        assert len(out.source) < {"polygamma": 60_000, "cumsum": 20_000}.get(p.name, 12_000)


# ---- gradients of models ---------------------------------------------------------------------------------------------
def dense(p, x, y):
    h = np.tanh(x @ p["w1"] + p["b1"])
    z = h @ p["w2"] + p["b2"]
    z = z - np.max(z, axis=1, keepdims=True)
    return -np.mean(np.sum(y * (z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))), axis=1))


def dense_step(p, x, y):
    loss, g = value_and_grad(dense)(p, x, y)
    return loss, {"w1": p["w1"] - 0.1 * g["w1"], "b1": p["b1"] - 0.1 * g["b1"], "w2": p["w2"] - 0.1 * g["w2"],
                  "b2": p["b2"] - 0.1 * g["b2"]}  # fmt: skip


def recurrent(p, xs):
    h = c = np.zeros(16, np.float32)
    for x in xs:
        gates = p["w"] @ np.concatenate((x, h)) + p["b"]
        i, f, o = 1 / (1 + np.exp(-gates[:16])), 1 / (1 + np.exp(-gates[16:32])), 1 / (1 + np.exp(-gates[32:48]))
        c = f * c + i * np.tanh(gates[48:])
        h = o * np.tanh(c)
    return np.sum(h * h)


def heat(u, n):
    for _ in range(n):
        u = u + 0.1 * (np.roll(u, 1) - 2.0 * u + np.roll(u, -1))
    return np.sum(u * u)


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


DENSE = {"w1": zeros(64, 32), "b1": zeros(32), "w2": zeros(32, 10), "b2": zeros(10)}
MODELS = {
    "dense": (value_and_grad(dense), (DENSE, zeros(16, 64), zeros(16, 10))),
    "step": (dense_step, (DENSE, zeros(16, 64), zeros(16, 10))),
    "recurrent": (value_and_grad(recurrent), ({"w": zeros(64, 24), "b": zeros(64)}, zeros(5, 8))),
    "heat": (value_and_grad(heat), (zeros(50, dtype=float), 7)),
}


def model(name, arch="sm_90"):
    f, args = MODELS[name]
    return build(optimised(infer(f, tuple(map(abstract, args)), parse_function).graph, None), cuda(arch))


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_of_a_model(name, arch):
    out = model(name, arch)
    assert out.launches and len(kernels_in(out.source)) >= out.launches
    tiled = out.source.count("__shared__") // 2  # products of matrices
    assert len(out.source) < 2_000 * out.launches + 9_000 * tiled + 4_000, "fusion copies expressions"


def test_a_training_step_reads_the_loss_and_nothing_else():
    """Everything else stays on the device."""
    assert model("step").reads == 1


def test_threads_are_bound():
    source = model("dense").source
    assert all(int(n) == 256 for n in re.findall(r"__launch_bounds__\((\d+)\)", source))
    assert "threadIdx.x" in source and "blockIdx.x" in source


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
def test_nvcc_compiles_it(tmp_path, arch):
    """All models, and each primitive's first sample with unknown sizes."""
    sources = [model(name, arch).source for name in MODELS]
    for p in SAMPLES:
        types, attrs = list(SAMPLES[p].values())[-1]
        sources.append(build(graph_of(p, types, attrs, 0), cuda(arch)).source)
    head, bodies = "", []
    for k, source in enumerate(sources):
        if source:
            start = source.index("#endif", source.index("#define ushort")) + len("#endif")
            head = max(head, source[:start], key=len)  # with what one of them includes
            bodies.append(f"namespace n{k} {{\n{source[start:].replace(chr(34) + 'C' + chr(34), '')}\n}}")
    text = "\n".join([head, *(b.replace("extern  __global__", "__global__") for b in bodies)])
    (tmp_path / "all.cu").write_text(text)
    done = subprocess.run(
        ["nvcc", f"-arch={arch}", "-cubin", "-o", tmp_path / "all.cubin", tmp_path / "all.cu"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
def test_fast_math_is_off(monkeypatch):
    """In what TVM does when it loads a program; and when somebody asks for it, it is on."""
    from tvm.support import nvcc

    graph = optimised(infer(lambda x: x / np.exp(x), (abstract(zeros(50)),), parse_function).graph, None)
    source = build(graph, cuda("sm_90")).source
    monkeypatch.setattr(nvcc, "get_target_compute_version", lambda target: "9.0")
    for asked, approximate in (("1", False), ("", True)):
        monkeypatch.setenv("TVM_CUDA_NVCC_NO_FAST_MATH", asked)
        text = bytes(nvcc.compile_cuda(source, "ptx", "sm_90", compiler="nvcc")).decode()
        assert ("div.approx" in text) == approximate and ("div.rn.f32" in text) != approximate


def test_no_compiler_that_rounds(monkeypatch):
    """Where a GPU is, but not nvcc, a program is refused rather than compiled with fast-math."""
    from myia_lite.backends.tvm import program

    monkeypatch.setattr(shutil, "which", lambda name: None)
    for name in ("TVM_CUDA_COMPILE_MODE", "TVM_CUDA_NVCC_NO_FAST_MATH"):
        monkeypatch.delenv(name, raising=False)
    build(optimised(infer(np.sin, (abstract(zeros(5)),), parse_function).graph, None), cuda("sm_90"))
    assert program.fast_math()
    monkeypatch.setenv("TVM_CUDA_NVCC_NO_FAST_MATH", "")
    assert not program.fast_math()


@pytest.mark.parametrize("shape", [(100_000,), (3, 5000), (70, 30)])
@pytest.mark.parametrize("reduce", [np.sum, np.max, np.min, np.prod])
def test_stages_of_a_reduction(monkeypatch, shape, reduce):
    """What a device does in stages, run on the CPU: the same kernels as loops."""
    from myia_lite import myia
    from myia_lite.backends.tvm import folds

    partials = folds._partials

    class OnDevice:
        class ctx:
            device = True

    monkeypatch.setattr(folds, "_partials", lambda kernel, *sizes: partials(OnDevice, *sizes))
    a = np.random.default_rng(0).normal(size=shape) * 0.01 + 1.0
    for axis in (None, *range(a.ndim)):
        compiled = myia(backend="tvm")(lambda x, axis=axis: reduce(x, axis=axis))
        np.testing.assert_allclose(compiled(a), reduce(a, axis=axis), rtol=1e-10)


def test_a_full_sum_has_several_stages():
    def total(x):
        return np.sum(np.tanh(x))

    for size, stages in ((100, 1), (10_000_000, 4)):
        graph = optimised(infer(total, (abstract(np.zeros(size)),), parse_function).graph, None)
        assert build(graph, cuda("sm_90")).launches == stages
