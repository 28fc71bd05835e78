"""Functions from outside the program: the types they declare, how Python calls them, and the primitive of such a call.

A program takes such a function at its word: the results come from the arguments alone.  Its types are checked at each
call, whoever makes it.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir import INTS, MyiaTypeError, MyiaValueError, Tuple, Type, compatible, shape_of, shaped
from .define import NUMPY_DTYPES, define, expect

CTYPES = {
    "bool": ctypes.c_bool,
    "i32": ctypes.c_int32,
    "i64": ctypes.c_int64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}
PYTHON = {"float": "f64", "int": "i64", "bool": "bool"}
KINDS = {"f64": float, "i64": int, "bool": bool}
_NAMES = {np.dtype(n): d for d, n in NUMPY_DTYPES.items()}


@dataclass(frozen=True)
class Declared:
    """The type of one argument or result: a number (`py`: a Python one), or an array, each of whose dims is an int, a
    name for a size that other dims of this name share, or None for any size.
    """

    dtype: str
    dims: tuple[int | str | None, ...] = ()
    py: bool = False

    @property
    def type(self) -> Type:
        return shaped(self.dtype, tuple(d if isinstance(d, int) else None for d in self.dims))

    @property
    def kind(self) -> type:
        """The Python type of a number."""
        return KINDS[self.dtype] if self.py else NUMPY_DTYPES[self.dtype]

    def takes(self, dtype: str, py: bool) -> bool:
        """May a number of this kind stand here?  What loses no digit may, and Python's numbers have no width."""
        if self.dtype == "bool" or dtype == "bool":
            return self.dtype == dtype
        if self.dtype in INTS:
            return dtype in INTS and (py or dtype == self.dtype or self.dtype == "i64")
        return py or dtype == self.dtype or self.dtype == "f64"

    def __str__(self):
        if self.py:
            return next(name for name, d in PYTHON.items() if d == self.dtype)
        if self.dtype == "bool" and not self.dims:
            return "bool_"
        dims = ",".join("?" if d is None else str(d) for d in self.dims)
        return f"{self.dtype}[{dims}]" if self.dims else self.dtype


class External:
    """A Python function, or (`native`: its address) a C function, with the types of its arguments and results.

    `single`: it returns its one result itself, not a tuple.
    The C function takes a number by value, an array as a pointer to its first element, row-major, followed by an int64
    for each dim that is no int.  One number it returns; else it returns nothing, and after the arguments comes a
    pointer for each result, with the same sizes after it.
    """

    def __init__(
        self,
        function: Callable,
        name: str,
        args: tuple[Declared, ...],
        results: tuple[Declared, ...],
        single: bool,
        native: int | None = None,
    ):
        self.function, self.args, self.results, self.single, self.native = function, args, results, single, native
        self.__name__ = self.__qualname__ = name
        self.__doc__ = getattr(function, "__doc__", None)
        self.__module__ = getattr(function, "__module__", None)
        self.__signature__ = _positional(len(args)) if native is not None else _signature(function, len(args))
        self.arrays = [k for k, d in enumerate(args) if d.dims]
        self._makers = [_read_only if d.dims else d.kind for d in args]
        if native is not None:
            self._c = ctypes.CFUNCTYPE(*self.prototype())(native)

    def __repr__(self):
        return f"<{self.__name__}>"

    @property
    def returns(self) -> Declared | None:
        """The number that the C function returns; None where it writes its results to memory."""
        return self.results[0] if self.single and not self.results[0].dims else None

    def prototype(self) -> list:
        """The ctypes types of the C function's result and arguments."""
        out = [None if self.returns is None else CTYPES[self.returns.dtype]]
        for d in self.args:
            out += [ctypes.c_void_p, *free_sizes(d)] if d.dims else [CTYPES[d.dtype]]
        for d in self.results if self.returns is None else ():
            out += [ctypes.c_void_p, *free_sizes(d)]
        return out

    # ---- calls
    def __call__(self, *args, **keywords):
        """A call from Python."""
        bound = self.__signature__.bind(*args, **keywords)
        bound.apply_defaults()
        given = [self._accepted(v, d, k) for k, (v, d) in enumerate(zip(bound.args, self.args, strict=True))]
        outs = self.run(*given)
        return outs[0] if self.single else outs

    def run(self, *values) -> tuple:
        """The results for arguments that have been converted: numbers of the declared types, and arrays that nobody
        else holds.

        Raises what the function raises; MyiaTypeError and MyiaValueError where a result is not what was declared.
        """
        sizes: dict[str, int] = {}
        for k in self.arrays:
            self._fit(values[k].shape, self.args[k], sizes, f"argument {k} of {self.__name__} has")
        if self.native is not None:
            return self._run_native(values, sizes)
        out = self.function(*[make(v) for make, v in zip(self._makers, values, strict=True)])
        if self.single:
            return (self._returned(out, self.results[0], sizes),)
        if not (isinstance(out, (tuple, list)) and len(out) == len(self.results)):
            what = f"a {type(out).__name__}" + (f" of {len(out)}" if isinstance(out, (tuple, list)) else "")
            raise MyiaTypeError(
                f"{self.__name__} returned {what} where {len(self.results)} results are declared",
                remedy="return a tuple with each of them",
            )
        return tuple([self._returned(v, d, sizes) for v, d in zip(out, self.results, strict=True)])

    def _run_native(self, values, sizes) -> tuple:
        flat: list = []
        for v, d in zip(values, self.args, strict=True):
            if d.dims:
                v = np.require(v, NUMPY_DTYPES[d.dtype], ["C", "A"])
                flat += [v.ctypes.data, *(n for n, m in zip(v.shape, d.dims, strict=True) if not isinstance(m, int))]
            else:
                flat.append(KINDS.get(d.dtype, NUMPY_DTYPES[d.dtype])(v))
        if self.returns is not None:
            return (self.returns.kind(self._c(*flat)),)
        outs = []
        for d in self.results:
            shape = tuple(n if isinstance(n, int) else sizes[n] for n in d.dims)
            outs.append(np.zeros(shape, NUMPY_DTYPES[d.dtype]))
            flat += [outs[-1].ctypes.data, *(sizes[n] for n in d.dims if not isinstance(n, int))]
        self._c(*flat)
        return tuple(v if d.dims else d.kind(v[()]) for v, d in zip(outs, self.results, strict=True))

    # ---- checks
    def _accepted(self, value, d: Declared, k: int):
        """An argument of a call from Python as a NumPy value of its declared type."""
        found = _converted(value, d)
        if found is None:
            raise MyiaTypeError(
                f"argument {k} of {self.__name__} is {_described(value)} where {d} is declared", remedy=remedy_of(d)
            )
        return found

    def _returned(self, value, d: Declared, sizes):
        if not d.dims and type(value) is d.kind is float:
            return value
        found = _converted(value, d)
        if found is None:
            raise MyiaTypeError(
                f"{self.__name__} returned {_described(value)} where {d} is declared", remedy=remedy_of(d)
            )
        self._fit(np.shape(found), d, sizes, f"{self.__name__} returned")
        return np.array(found, order="C") if d.dims else found

    def _fit(self, shape, d: Declared, sizes: dict[str, int], who: str) -> None:
        """Refuse a shape that is not the declared one; notes in `sizes` what the names of dims are."""
        for n, want in zip(shape, d.dims, strict=True):
            expected = sizes.setdefault(want, n) if isinstance(want, str) else want
            if expected is not None and n != expected:
                where = f" with {want} = {expected}" if isinstance(want, str) else ""
                raise MyiaValueError(
                    f"{who} the shape {tuple(shape)} where {d}{where} is declared",
                    remedy="declare a size that may be anything as ?",
                )


def free_sizes(d: Declared) -> list:
    """The ctypes type of each size that a C function is told of an array."""
    return [ctypes.c_int64 for n in d.dims if not isinstance(n, int)]


def remedy_of(d: Declared) -> str:
    if d.dims:
        return f"make it an array of that type: np.asarray(x, dtype=np.{np.dtype(NUMPY_DTYPES[d.dtype]).name})"
    return "convert it to that type, or declare another one"


def number_kind(value) -> tuple[str, bool] | None:
    """(dtype, is it a Python number) of a number; None for anything else."""
    if type(value) in (bool, int, float):
        return PYTHON[type(value).__name__], True
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 and value.dtype in _NAMES:
        return _NAMES[value.dtype], False
    return None


def _converted(value, d: Declared):
    """The value as a number of the declared type, or an array of the declared dtype and rank; None where it is another
    thing."""
    if d.dims:
        dtype = np.dtype(NUMPY_DTYPES[d.dtype])
        fits = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
        fits = fits and value.ndim == len(d.dims) and value.dtype.newbyteorder("=") == dtype
        return np.asarray(value, dtype) if fits else None
    kind = number_kind(value)
    if kind is None or not d.takes(*kind):
        return None
    return d.kind(NUMPY_DTYPES[d.dtype](value))  # which checks that an int fits


def _read_only(value):
    """A copy, which the function that gets it cannot write to by mistake."""
    copy = np.array(value, order="C")
    copy.flags.writeable = False
    return copy


def _described(value) -> str:
    if isinstance(value, np.ndarray):
        name = _NAMES.get(value.dtype.newbyteorder("="), str(value.dtype))
        return f"an array {name}[{','.join(map(str, value.shape))}]"
    return f"a {type(value).__name__}"


def _positional(count: int) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_ONLY
    return inspect.Signature([inspect.Parameter(f"x{k}", kind) for k in range(count)])


def _signature(function, count: int) -> inspect.Signature:
    """The first parameters of a Python function; positions, of one that does not tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return _positional(count)
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        raise MyiaTypeError(
            f"{count} argument types are declared, and {getattr(function, '__name__', 'the function')}() is not "
            f"called so: {error}",
            remedy="declare a type for each parameter",
        ) from None
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    first = [p for p in signature.parameters.values() if p.kind in kinds][:count]
    return inspect.Signature(first) if len(first) == count else _positional(count)


def _foreign_type(types, attrs, graphs) -> Type:
    f: Any = attrs["function"]
    expect(len(types) == len(f.args), f"{f.__name__} takes {len(f.args)} arguments, not {len(types)}")
    sizes: dict = {}
    for d, t in zip(f.args, types, strict=True):
        expect(compatible(t, d.type), f"{f.__name__} takes {d} where {t} stands")
        for name, n in zip(d.dims, shape_of(t), strict=True):
            if isinstance(name, str) and n is not None:
                expect(sizes.setdefault(name, n) == n, f"{f.__name__}: {name} is both {sizes[name]} and {n}")
    out = tuple(shaped(d.dtype, tuple(sizes.get(n) if isinstance(n, str) else n for n in d.dims)) for d in f.results)
    return out[0] if f.single else Tuple(out)


def _foreign_value(*args, function):
    outs = function.run(*args)
    outs = tuple(v if d.dims else NUMPY_DTYPES[d.dtype](v) for v, d in zip(outs, function.results, strict=True))
    return outs[0] if function.single else outs


foreign = define(
    "foreign",
    _foreign_type,
    "foreign[function](*args): a call of an `External`.  It may raise, so it stays where it is; it goes where nobody "
    "uses its results, and an equal call before it serves as well",
    value=_foreign_value,
    effect=True,
    optional=True,
)
