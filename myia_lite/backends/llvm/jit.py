"""LLVM itself: target, optimisation pipeline, linking into the process."""

from __future__ import annotations

import itertools
import threading

import llvmlite.binding as llvm

LOCK = threading.RLock()  # LLVM's contexts are not for concurrent use
_names = itertools.count()
_state: dict = {}


def machine() -> llvm.TargetMachine:
    """The target machine of this computer, with all its features."""
    if "machine" not in _state:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _state["machine"] = _make_machine()
        _state["lljit"] = llvm.create_lljit_compiler(_make_machine())
    return _state["machine"]


def _make_machine():
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


def link(module: llvm.ModuleRef, imports: dict[str, int], exports, name: str):
    """The module's code in this process: a mapping from exported names to addresses; the code lives as long
    as it does."""
    library = llvm.JITLibraryBuilder().add_ir(module).add_current_process()
    for symbol, address in imports.items():
        library.import_symbol(symbol, address)
    for symbol in exports:
        library.export_symbol(symbol)
    machine()
    return library.link(_state["lljit"], f"{name}.{next(_names)}")
