"""What a program is compiled for, and how: the target, and choices that change what it computes or how fast.

A back end has a name, so the choices are written into it: "tvm:products=bfloat16;cuda" is the target "cuda" with
products of matrices in bfloat16.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache

import tvm
from llvmlite import binding

from ...ir import MyiaValueError

# what code for this computer may use, of what it has: LLVM's names, the same ones for years
FEATURES = (
    "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"
)  # fmt: skip
EMULATED = "emulated"
HOST = {"kind": "llvm", "opt-level": 2}  # LLVM's third level takes two to three times as long, for code no faster


@dataclass(frozen=True)
class Options:
    """`cuda_graphs`: calls may be recorded.  `products`: the dtype to which the factors of float32 products of matrices
    are rounded; their sums are in float32.  `deterministic`: no sum whose order is not the same on each run.
    `tuning`: a database of tuned kernels."""

    target: str = "llvm"
    cuda_graphs: bool = True
    products: str = "float32"
    deterministic: bool = False
    tuning: str = ""

    @property
    def emulated(self) -> bool:
        """The kernels of a device, as loops on the CPU: what they compute can be checked where there is no device."""
        return self.target == EMULATED


@lru_cache
def parse(name: str) -> Options:
    """The options in what stands behind "tvm:"."""
    m = re.fullmatch(r"((?:[a-z]+=[^;]*;)*)(.*)", name, re.DOTALL)
    given = dict(item.split("=", 1) for item in m[1].split(";") if item)
    options = Options(
        m[2] or "llvm",
        given.pop("graphs", "") != "no",
        given.pop("products", "float32"),
        bool(given.pop("deterministic", "")),
        given.pop("tuning", ""),
    )
    if given:
        raise MyiaValueError(f"the backend 'tvm' has no option {next(iter(given))!r}")
    return options


@lru_cache
def features() -> tuple[str, ...]:
    """What the processor of this computer has."""
    found = binding.get_host_cpu_features()
    return tuple(f"+{f}" for f in FEATURES if found.get(f))


def target_of(target: str, portable: bool = False) -> tvm.target.Target:
    """TVM's target for what a user wrote: a kind, or JSON.  Code for "llvm" is for this computer unless `portable`."""
    if target in ("llvm", EMULATED):
        return tvm.target.Target(HOST if portable or not features() else {**HOST, "mattr": list(features())})
    if target == "cuda":
        return tvm.target.Target(
            {
                "kind": "cuda",
                "arch": "sm_80",
                "max_threads_per_block": 1024,
                "max_shared_memory_per_block": 49152,
                "thread_warp_size": 32,
            },
            host=HOST,
        )
    return tvm.target.Target(json.loads(target) if target.startswith("{") else target)
