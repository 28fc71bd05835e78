"""LLVM's compiler: target machine, parser, optimisation pipeline, object files."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm


@functools.cache
def machine() -> llvm.TargetMachine:
    """The target machine of this computer, with all its features."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def parse(text: str) -> llvm.ModuleRef:
    """A module for this computer; `text` is LLVM IR."""
    m = llvm.parse_assembly(text)
    tm = machine()
    m.triple, m.data_layout = tm.triple, str(tm.target_data)
    m.verify()
    return m


def split_loops(module: llvm.ModuleRef) -> None:
    """Put each loop nest into a function of its own: vectorising a loop takes time in proportion to the function that
    it stands in, and so to the square of a program with very many.
    """
    known = {f.name for f in module.functions}
    builder = llvm.create_pass_builder(machine(), llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_loop_simplify_pass()
    passes.add_lcssa_pass()
    passes.add_loop_rotate_pass()
    passes.add_loop_simplify_pass()
    passes.add_loop_extract_pass()
    passes.run(module, builder)
    for f in module.functions:
        if f.name not in known and not f.is_declaration:
            f.add_function_attribute("noinline")


def optimise(module: llvm.ModuleRef, level: int = 3, unroll: bool = True) -> llvm.ModuleRef:
    """The module, changed in place by LLVM's own pipeline of that level."""
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.slp_vectorization = options.loop_vectorization = level > 1
    options.loop_unrolling = unroll
    builder = llvm.create_pass_builder(machine(), options)
    builder.getModulePassManager().run(module, builder)
    return module


def assembly(module: llvm.ModuleRef) -> str:
    return machine().emit_assembly(module)


def emit(module: llvm.ModuleRef) -> bytes:
    """The module as an object file."""
    return machine().emit_object(module)
