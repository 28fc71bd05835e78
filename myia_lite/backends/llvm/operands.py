"""The operands of LLVM instructions under construction: what they are, and others in their place."""

from __future__ import annotations

from llvmlite.ir.instructions import ExtractValue, GEPInstr, InsertValue, Instruction, PhiInstr


def operands(instruction: Instruction):
    return [v for v, _ in instruction.incomings] if isinstance(instruction, PhiInstr) else instruction.operands


def substitute(instruction: Instruction, new) -> None:
    """Use `new(v)` in the place of each operand v."""
    if isinstance(instruction, PhiInstr):
        instruction.incomings = [(new(v), block) for v, block in instruction.incomings]
        return
    instruction.operands = found = [new(v) for v in instruction.operands]
    if isinstance(instruction, GEPInstr):  # some keep their operands twice
        instruction.pointer, *instruction.indices = found
    elif isinstance(instruction, ExtractValue):
        (instruction.aggregate,) = found
    elif isinstance(instruction, InsertValue):
        instruction.aggregate, instruction.value = found
