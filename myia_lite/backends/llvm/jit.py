"""LLVM itself: target, optimisation pipeline, linking into the process."""

from __future__ import annotations

import hashlib
import itertools
import threading

import llvmlite.binding as llvm

from ... import backends

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


def compiled(text: str, level: int) -> bytes:
    """The object file of a text that stays the same from process to process: kept, where there is a place for it."""
    if backends.kept is None:
        return emit(optimise(parse(text), level))
    cpu, features, version = target()
    key = hashlib.sha256(f"{version} {cpu} {features} {level} {text}".encode()).hexdigest()
    found = backends.kept.read(key)
    if found is None:
        found = emit(optimise(parse(text), level))
        backends.kept.write(key, found)
    return found


def target() -> tuple[str, str, str]:
    """What decides on machine code beside the program: CPU, its features, LLVM's version."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), str(llvm.llvm_version_info)


def link(code: bytes, imports: dict[str, int], exports, name: str):
    """An object file in this process: a mapping from exported names to addresses; the code lives as long as it does."""
    library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for symbol, address in imports.items():
        library.import_symbol(symbol, address)
    for symbol in exports:
        library.export_symbol(symbol)
    machine()
    return library.link(_state["lljit"], f"{name}.{next(_names)}")
