"""The functions that loops over elements compute in vectors, and the range in which each is right."""

from __future__ import annotations

import platform
from functools import lru_cache

import llvmlite.binding as llvm
from llvmlite import ir

from . import vecmath, vecmore
from .vecmath import F32, F64, Code, Format

FUNCTIONS = {
    **{name: getattr(vecmath, name) for name in "exp expm1 log log1p tanh sin cos pow".split()},
    **{name: getattr(vecmore, name) for name in "tan atan atan2 asin acos sinh cosh cbrt exp2 log2 log10 erf".split()},
}
LIMITED = {  # the arguments for which a function is not good
    **dict.fromkeys(("sin", "cos", "tan"), vecmath.large),
    "pow": vecmath.pow_beyond,
}
IN_F64 = frozenset(LIMITED) | {name for name, f in FUNCTIONS.items() if f.__module__ == vecmore.__name__}
BINARY = ("pow", "atan2")


@lru_cache
def available() -> bool:
    """Without fused multiply-adds in hardware this would be slow and less accurate than the C library."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return llvm.get_host_cpu_features().get("fma", False)
    return platform.machine().lower() in ("aarch64", "arm64", "ppc64le", "s390x")


def has(name: str) -> bool:
    return name in FUNCTIONS and available()


def call(b: ir.IRBuilder, name: str, dtype: str, *xs):
    if name in IN_F64 and dtype == "f32":
        return b.fptrunc(b.call(_function(b.module, name, F64), [b.fpext(x, F64.type) for x in xs]), F32.type)
    return b.call(_function(b.module, name, F64 if dtype == "f64" else F32), xs)


def beyond(b: ir.IRBuilder, name: str, dtype: str, *xs):
    """Are the arguments of a function in `LIMITED` out of its range?"""
    if dtype == "f32":
        xs = [b.fpext(x, F64.type) for x in xs]
    return LIMITED[name](Code(b, F64), *xs)


def _function(module: ir.Module, name: str, f: Format) -> ir.Function:
    symbol = f"myia.{name}.{f.name}"
    if symbol in module.globals:
        return module.globals[symbol]
    arity = 2 if name in BINARY else 1
    function = ir.Function(module, ir.FunctionType(f.type, [f.type] * arity), symbol)
    function.linkage = "internal"
    function.attributes.add("alwaysinline")
    function.attributes.add("nounwind")
    b = ir.IRBuilder(function.append_basic_block())
    b.ret(FUNCTIONS[name](Code(b, f), *function.args))
    return function
