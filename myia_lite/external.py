"""Functions from outside in compiled code: Python functions that stay as they are, and C functions."""

from __future__ import annotations

import ctypes
import re
import types
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from .derivatives import CustomDerivative
from .ir import MyiaTypeError, MyiaValueError
from .ops.define import NUMPY_DTYPES
from .ops.foreign import CTYPES, PYTHON, Declared, External

TYPES = 'float, int, bool, "f64", "f64[3,n]", "f64[?]" …'
_WORDS = {
    **{d: Declared(d) for d in NUMPY_DTYPES},
    **{np.dtype(n).name: Declared(d) for d, n in NUMPY_DTYPES.items()},
    **{word: Declared(d, (), True) for word, d in PYTHON.items()},
    "bool_": Declared("bool"),
}
FIRST_PAGE = 4096  # no function is below
NEEDS_THE_GIL = 4  # a flag of ctypes functions: of `ctypes.pythonapi` and PyDLL


class Foreign(CustomDerivative):
    """A function from outside the program, with declared types, and with derivatives where it has rules for them; made
    by `foreign`.
    """

    function: External

    def __repr__(self):
        results = ", ".join(map(str, self.function.results))
        results = results if self.function.single else f"({results}{',' * (len(self.function.results) == 1)})"
        return f"<foreign {self.__name__}({', '.join(map(str, self.function.args))}) -> {results}>"


def foreign(function: Callable | int | None = None, *, args: Any = None, result: Any = None):
    """A function that compiled code calls as it is: Python that the subset does not know, or C.

    Use it as `@foreign(args=…, result=…)`, as `@foreign` on a function with annotations, or as `foreign(f, args=…,
    result=…)`.  Called from Python it does the same, checks included.

    args: a type for each argument, as a tuple or in one string with commas.  A type is float, int or bool (Python's
    numbers), a NumPy scalar type or its short name "f64", "f32", "i64", "i32", "bool_"; of an array the short name with
    its dims, each a number, a name (equal names, equal sizes) or ? for any size: "f64[3,n]", "bool[?]".
    result: the type of the result, or a tuple of types for a function that returns a tuple.
    function: a Python callable, which gets arrays as read-only copies; or a C function: one of ctypes, anything with
    such an attribute `ctypes` (numba's cfunc), or an address.  A C function takes a number by value, an array as a
    pointer to its first element, row-major, followed by an int64 for each dim that is no number here.  One number it
    returns; otherwise it returns nothing, and after the arguments takes a pointer for each result, with sizes as
    before.  It must not write to its arguments, and runs without the GIL.

    The results must follow from the arguments alone: a call may be left out where nobody uses its results, be shared
    with an equal one, or be made again.  What a Python function raises comes out of the compiled function as it is.
    Derivatives need rules: `f.defjvp(rule)`, `f.defvjp(fwd, bwd)`, as for `custom_derivative`; they may use f and other
    foreign functions.

    Raises MyiaTypeError or MyiaValueError for a declaration that makes no sense, at a call for arguments of other types
    (compiled code: before anything runs) and for results that are not what is declared.

    >>> from scipy import special
    >>> from myia_lite import foreign, grad
    >>> j0 = foreign(special.j0, args=float, result=float)
    >>> j1 = foreign(special.j1, args=float, result=float)
    >>> @j0.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (x_dot,) = primals, tangents
    ...     return j0(x), -j1(x) * x_dot
    >>> round(grad(lambda x: j0(x) * x)(2.0), 9), round(float(special.j0(2.0) - 2.0 * special.j1(2.0)), 9)
    (-0.929558836, -0.929558836)
    """
    if function is None:
        return lambda f: foreign(f, args=args, result=result)
    native, keep = None, function
    if not isinstance(function, ctypes._CFuncPtr) and isinstance(getattr(function, "ctypes", None), ctypes._CFuncPtr):
        function = function.ctypes
    if isinstance(function, ctypes._CFuncPtr):
        native = ctypes.cast(function, ctypes.c_void_p).value or 0
        if function._flags_ & NEEDS_THE_GIL:
            raise MyiaTypeError(
                "a C function that needs Python's lock",
                remedy="load it by ctypes.CDLL, or call it in a Python function",
            )
        args, result = _of_ctypes(function, args, result)
    elif isinstance(function, int) and not isinstance(function, bool):
        native = function
    elif not callable(function):
        raise MyiaTypeError(f"a {type(function).__name__} is no function", remedy="pass a function")
    else:
        args, result = _annotated(function, args, result)
    if native is not None and not FIRST_PAGE <= native < 2**64:
        raise MyiaValueError(f"{native} is no address of a function", remedy="take it from the library that has it")
    name = _name(getattr(keep, "__name__", None) or getattr(keep, "_name", None) or type(keep).__name__)
    if args is None or result is None:
        what = "its arguments" if args is None else "its result"
        raise MyiaTypeError(
            f"{name} does not declare the types of {what}", remedy='foreign(f, args="f64[n]", result=float)'
        )
    results = _several(result)
    if not results:
        raise MyiaTypeError(f"{name} has no results: a call of it would mean nothing", remedy="return what it computes")
    single = not isinstance(result, (tuple, list)) and len(results) == 1
    external = External(keep, name, _several(args), results, single, native)
    if native is not None:
        _check_native(external, function)
    return Foreign(external)


# ---- declarations ----------------------------------------------------------------------------------------------------
def _several(types_: Any) -> tuple[Declared, ...]:
    """The declared types in a tuple, or in a string with commas."""
    if isinstance(types_, str):
        types_ = [t for t in re.split(r",(?![^\[]*\])", types_) if t.strip()]
    elif not isinstance(types_, (tuple, list)):
        types_ = [types_]
    return tuple(map(_declared, types_))


def _declared(t: Any) -> Declared:
    if isinstance(t, Declared):
        return t
    if t in (float, int, bool):
        return _WORDS[t.__name__]
    if isinstance(t, type) and issubclass(t, np.generic) or isinstance(t, np.dtype):
        t = np.dtype(t).name if np.dtype(t) != np.bool_ else "bool_"
    m = re.fullmatch(r"(?:np\.|numpy\.)?(\w+)\s*(?:\[([^\]]*)\])?", t.strip()) if isinstance(t, str) else None
    if m is None or m[1] not in _WORDS or m[2] is not None and m[1] in ("float", "int"):
        raise MyiaTypeError(f"{t!r} is no type of an argument or a result", remedy=f"one of {TYPES}")
    if m[2] is None:
        return _WORDS[m[1]]
    dims = tuple(map(_dim, m[2].split(",")))
    return Declared(_WORDS[m[1]].dtype, dims)


def _dim(text: str) -> int | str | None:
    text = text.strip()
    if text == "?":
        return None
    if text.isdecimal():
        return int(text)
    if not text.isidentifier():
        raise MyiaValueError(f"{text!r} is no size of an axis", remedy='a number, a name, or ?: "f64[3,n,?]"')
    return text


def _annotated(function, args, result):
    """What is not given, from the annotations of a Python function."""
    noted = dict(getattr(function, "__annotations__", None) or {})
    returned = noted.pop("return", None)
    if args is None and noted:
        args = [_unquoted(t) for t in noted.values()]
    if result is None and returned is not None:
        result = _unquoted(returned)
        if isinstance(result, types.GenericAlias) and result.__origin__ is tuple:
            result = tuple(map(_unquoted, get_args(result)))
        elif isinstance(result, str) and (m := re.fullmatch(r"tuple\[(.*)\]", result)):
            result = tuple(_unquoted(t) for t in re.split(r",(?![^\[]*\])", m[1]))
    return args, result


def _unquoted(t: Any) -> Any:
    """An annotation: with `from __future__ import annotations` it is a string, and a string in quotes."""
    return t.strip().strip("\"'") if isinstance(t, str) else t


def _name(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "function"


# ---- C functions -----------------------------------------------------------------------------------------------------
def _of_ctypes(function, args, result):
    """What is not given, from a ctypes function of numbers."""
    known = {c: Declared(d, (), d in PYTHON.values()) for d, c in CTYPES.items()}
    if args is None and function.argtypes is not None and all(c in known for c in function.argtypes):
        args = [known[c] for c in function.argtypes]
    if result is None and function.argtypes is not None and function.restype in known:
        result = known[function.restype]
    return args, result


def _check_native(f: External, function) -> None:
    """Refuse types that have no form in C, and other ones than the ctypes function declares."""
    named = {n for d in f.args for n in d.dims if isinstance(n, str)}
    for d in f.results:
        for n in d.dims:
            if n is None or isinstance(n, str) and n not in named:
                raise MyiaTypeError(
                    f"{f.__name__} is C and returns {d}: nothing tells the size {'?' if n is None else n}",
                    remedy="name it as a dim of an argument",
                )
    have = getattr(function, "argtypes", None)
    if have is None:
        return
    result, *want = f.prototype()
    fits = len(have) == len(want) and all(map(_same, have, want)) and _same(function.restype, result)
    if not fits:
        raise MyiaTypeError(
            f"{f.__name__} is declared as {_listed(want, result)} and its argtypes and restype are "
            f"{_listed(have, function.restype)}",
            remedy="a pointer for an array, then an int64 for each size that is no number; results last",
        )


def _same(a: Any, b: Any) -> bool:
    """Is the ctypes type `a` passed as `b` is?"""
    if a is None or b is None:
        return a is b
    if b is ctypes.c_void_p:
        return a is b or hasattr(a, "contents") or hasattr(a, "_ndim_")
    return a is b or (
        isinstance(getattr(a, "_type_", None), str)
        and ctypes.sizeof(a) == ctypes.sizeof(b)
        and (a._type_ in "fd") == (b._type_ in "fd")
        and (a._type_ == "?") == (b._type_ == "?")
        and a._type_ not in "Pzu"
    )


def _listed(types_, result) -> str:
    named = ", ".join(getattr(t, "__name__", str(t)) for t in types_)
    return f"({named}) -> {getattr(result, '__name__', result)}"
