"""Arrays on a device: `to_device` and `to_host`, for the back end "tvm"."""

from __future__ import annotations

from typing import Any


def to_device(x: Any, target: str = "cuda"):
    """The arrays in `x` (an array, or tuples, lists and dicts of them) on the device of a target, copied once.

    Compiled functions of `backend="tvm"` take them, and return such arrays where they are given one; so a training loop
    leaves its parameters where they are.  They speak DLPack: `torch.from_dlpack(a)`, `numpy.from_dlpack(a)`, and
    `to_device` takes another library's array: one that lies on this device, not the CPU, as it is, and then nobody must
    write to it afterwards; else a copy.

    Raises MyiaValueError where TVM is not installed, and MyiaTypeError where this process has no such device.
    """
    from .backends.tvm import required
    from .ir import MyiaTypeError

    required()
    from .backends.tvm.devices import place
    from .backends.tvm.options import target_of
    from .backends.tvm.program import device_of

    device = device_of(target_of(target))
    if not device.exist:
        raise MyiaTypeError(f"there is no device for the target {target!r}", remedy="target='llvm' is the CPU")
    return _each(x, lambda a: place(a, device))


def to_host(x: Any):
    """The arrays in `x` as NumPy arrays, copied."""
    return _each(x, lambda a: a.numpy() if hasattr(a, "__myia_array__") else a)


def _each(x, f):
    if isinstance(x, dict):
        return {k: _each(v, f) for k, v in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(_each(v, f) for v in x))
    if isinstance(x, (tuple, list)):
        return type(x)(_each(v, f) for v in x)
    return f(x) if hasattr(x, "shape") else x
