"""What compiled code calls outside of itself and the C library: symbols whose address this process looks up by name.

SciPy's BLAS and its digamma function are found without an import of the packages around them, which takes long.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from . import runtime

PSI, BLAS_THREADS, BLAS = "myia.psi", "myia.blas_threads", "myia.blas."


def address(symbol: str) -> int | None:
    """Where the function is in this process; None for a symbol that is none of ours."""
    if symbol in runtime.EXPORTS:
        return runtime.addresses()[symbol]
    if symbol == PSI:
        return _psi()
    if symbol == BLAS_THREADS:
        return blas_threads()[0]
    return _blas(symbol.removeprefix(BLAS)) if symbol.startswith(BLAS) else None


@lru_cache
def openblas() -> ctypes.CDLL | None:
    """The OpenBLAS that SciPy carries; None where it uses the system's BLAS."""
    found = sorted((Path(find_spec("scipy").origin).parent.parent / "scipy.libs").glob("libscipy_openblas*"))
    return ctypes.CDLL(str(found[0])) if found else None


@lru_cache
def _blas(name: str) -> int:
    direct = getattr(openblas(), f"scipy_{name}_", None)
    if direct is not None:
        return ctypes.cast(direct, ctypes.c_void_p).value
    from scipy.linalg import cython_blas

    return _capsule_address(cython_blas.__pyx_capi__[name])


@lru_cache
def _psi() -> int:
    from scipy.special import cython_special

    return _capsule_address(cython_special.__pyx_capi__["__pyx_fuse_1psi"])


@lru_cache
def blas_threads() -> tuple[int, int] | None:
    """(the address of OpenBLAS's setter of its number of threads, that number), where SciPy carries OpenBLAS."""
    library = openblas()
    if not hasattr(library, "scipy_openblas_set_num_threads") or not hasattr(library, "scipy_openblas_get_num_threads"):
        return None
    setter = ctypes.cast(library.scipy_openblas_set_num_threads, ctypes.c_void_p).value
    return setter, library.scipy_openblas_get_num_threads()


def _capsule_address(capsule) -> int:
    """The function pointer in a Cython capsule."""
    api = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    return pointer(capsule, name(capsule))
