"""Python objects met during the walk: constants, attributes, classes and their instances.

What is read of an object at compile time is recorded, so that a call can check that it is still so.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import os
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..ir import (
    Constant,
    MyiaAttributeError,
    Parameter,
    Residual,
    Scalar,
    shaped,
)
from ..ops import surface
from ..ops.foreign import External
from . import library
from .abstract import UNSUPPORTED_DTYPE, AtAPoint, array_dtype, field_names, is_frozen, is_named_tuple
from .dependencies import Attribute, Contents
from .joins import several
from .records import BINARY, COMPARE, REPLACE, Records
from .templates import NO_VALUE
from .values import (
    AtPoint,
    Bound,
    Closure,
    Complex,
    Leaf,
    Mapping,
    MaybeUnbound,
    Range,
    Record,
    Ruled,
    Sequence,
    Setter,
    Slice,
    Static,
    Transformed,
    Value,
)

SETTLED = {"numpy", "scipy", *sys.stdlib_module_names}  # modules whose attributes nobody assigns
# functions in Python of these are not compiled: their source is no part of what their makers promise
FOREIGN = tuple(f"{Path(find_spec(name).origin).parent}{os.sep}" for name in ("numpy", "scipy"))
FOREIGN += ("<frozen ",)  # modules of the standard library that are part of the interpreter
FOREIGN += tuple(m.__file__ for m in map(sys.modules.get, sys.stdlib_module_names) if getattr(m, "__file__", None))
BINARY_FUNCTIONS = {name: op for op, name in BINARY.items()} | {"and_": "&", "or_": "|"}
COMPARE_FUNCTIONS = {name: op for op, name in COMPARE.items()} | {"is_": "is", "is_not": "is not"}
UNARY_FUNCTIONS = {"neg": "-", "pos": "+", "invert": "~", "inv": "~", "not_": "not"}


class Objects(Records):
    """What Python objects mean."""

    def __init__(self, error_model, parse):
        super().__init__(error_model, parse)
        self.captured: dict[int, tuple[object, Parameter]] = {}
        self.captured_parts: dict[int, tuple[object, object, object]] = {}  # keeps the views alive

    # ---- constants ---------------------------------------------------------------------------------------------------
    def constant_value(self, obj) -> Value:
        """The value of a Python object that the program refers to."""
        if obj is surface.UNBOUND:
            return MaybeUnbound("", NO_VALUE, self.const(False))
        kind = type(obj)
        if kind in (bool, int, float):
            return self.const(obj)
        if kind is complex or isinstance(obj, np.complexfloating) and obj.dtype in library.complexes.PARTS:
            return library.complexes.constant(self, obj)
        if isinstance(obj, np.generic) and not isinstance(obj, (np.str_, np.bytes_)):
            dtype = array_dtype(obj)
            if dtype is None:
                self.error(f"a NumPy scalar of dtype {obj.dtype}", UNSUPPORTED_DTYPE)
            return Leaf(Constant(obj.item(), Scalar(dtype)))
        if isinstance(obj, np.ndarray):
            return self.captured_array(obj)
        if kind in (list, dict):
            self.dependencies.append(Contents.of(obj))
        if kind in (tuple, list):
            return Sequence(tuple(map(self.constant_value, obj)), kind)
        if kind is dict and all(isinstance(k, str) for k in obj):
            return Mapping(tuple(obj), tuple(map(self.constant_value, obj.values())))
        if kind is range:
            return Range(*(self.const(v) for v in (obj.start, obj.stop, obj.step)))
        if kind is slice:
            return Slice(*map(self.constant_value, (obj.start, obj.stop, obj.step)))
        if is_named_tuple(kind) or is_frozen(kind):
            return Record(kind, tuple(self.constant_value(getattr(obj, f)) for f in field_names(kind)))
        if isinstance(obj, AtAPoint):
            point = obj.template.shape[1]
            return AtPoint(point, tuple(map(self._captured_leaf, obj.leaves, obj.template.items)))
        return Static(obj)

    def _captured_leaf(self, obj, t) -> Value:
        """A leaf of a function that another program returned: the record of its forward pass is a hidden parameter."""
        if not isinstance(t.type, Residual):
            return self.const(obj)
        if id(obj) not in self.captured:
            self.captured[id(obj)] = obj, Parameter(None, t.type, "captured")
        return Leaf(self.captured[id(obj)][1])

    def captured_array(self, obj: np.ndarray) -> Value:
        """An array of the surroundings: a hidden parameter, read at each call; of a complex one, one for each part."""
        if np.dtype(obj.dtype).newbyteorder("=") in library.complexes.PARTS:
            views = self.captured_parts.setdefault(id(obj), (obj, obj.real, obj.imag))
            return Complex(*map(self.captured_array, views[1:]))
        dtype = array_dtype(obj)
        if dtype is None:
            self.error(f"an array of dtype {obj.dtype}", UNSUPPORTED_DTYPE)
        if id(obj) not in self.captured:
            p = Parameter(None, shaped(dtype, obj.shape), "captured")
            self.aliases.own(p, "an array from outside the function")
            self.captured[id(obj)] = obj, p
        return Leaf(self.captured[id(obj)][1])

    # ---- attributes --------------------------------------------------------------------------------------------------
    def getattr(self, value: Value, name: str) -> Value:
        return self.apart(lambda v: self._attribute(v, name), [value])

    def _attribute(self, value: Value, name: str) -> Value:
        if isinstance(value, Static):
            return self._static_attribute(value.value, name)
        if isinstance(value, Record):
            return self._record_attribute(value, name)
        if isinstance(value, Ruled):
            return self.rule_setter(value, name)
        if isinstance(value, Bound) and isinstance(value.function, Static) and name in ("func", "args", "keywords"):
            self.error(f"the attribute {name} of a partial function", "keep the function and its arguments apart")
        found = library.attribute(self, value, name)
        if found is None:
            cls = {Sequence: getattr(value, "kind", None), Mapping: dict}.get(type(value))
            if hasattr(cls, name):
                what = f"the method {name} of a {cls.__name__} is not supported in compiled code"
                self.error(what, "make a new one: t = [*t, x]", MyiaAttributeError)
            self.error(f"{self._kind(value)} has no attribute '{name}'", "check the name", MyiaAttributeError)
        return found

    def _kind(self, value) -> str:
        if isinstance(value, Leaf):
            return f"a value of type {value.type}"
        if isinstance(value, Complex):
            return f"a value of type {library.describe(value)}"
        if isinstance(value, Sequence):
            return f"a {value.kind.__name__}"
        return {Mapping: "a dict", Closure: "a function", Range: "a range"}.get(type(value), "this value")

    def _static_attribute(self, obj, name: str) -> Value:
        if obj is surface.UNBOUND or obj is None:
            self.error(f"'NoneType' object has no attribute '{name}'", "test for None first", MyiaAttributeError)
        if name in ("defjvp", "defvjp") and hasattr(obj, "__myia_custom__"):
            self.error(f"{obj.__name__}.{name} in compiled code", f"set the rules of {obj.__name__} where it is made")
        descriptor = inspect.getattr_static(type(obj), name, None)
        if isinstance(descriptor, property) and not isinstance(obj, type):
            return self.call(Static(descriptor.fget), [Static(obj)])
        if isinstance(obj, (str, bytes)):
            found = library.attribute(self, Static(obj), name)
            if found is not None:
                return found
        try:
            found = getattr(obj, name)
        except AttributeError as error:
            self.error(str(error), "check the name", MyiaAttributeError)
        if not (isinstance(obj, types.ModuleType) and obj.__name__.split(".")[0] in SETTLED):
            self.dependencies.append(Attribute(obj, name, found))
        return self.constant_value(found)

    # ---- calls of objects --------------------------------------------------------------------------------------------
    def call_object(self, obj, args, keywords) -> Value:
        if obj is REPLACE or obj is dataclasses.replace:
            return self._replaced(args, keywords)
        if isinstance(kind := getattr(obj, "__myia_transform__", None), str):
            return self.transform(kind, args, keywords)
        if (custom := getattr(obj, "__myia_custom__", None)) is not None and not isinstance(obj, type):
            return self.custom(Static(custom), args, keywords)
        if isinstance(obj, External):
            return self.external(obj, self.accepted(obj, args))
        if isinstance(obj, Setter):
            return self.define(obj, args, keywords)
        if hasattr(obj, "__myia_transformed__"):
            kind, function, *options = obj.__myia_transformed__
            return self.call(Transformed(kind, Static(function), *options), args, keywords)
        if isinstance(obj, AtAPoint):
            return self.call(self.constant_value(obj), args, keywords)
        if obj is operator.call and args:
            return self.call(args[0], args[1:], keywords)
        if obj is functools.partial:
            return Bound(args[0], tuple(args[1:]), keywords)
        if obj is getattr:
            return self._getattr(args)
        if obj is hasattr:
            return self._hasattr(args)
        if obj is isinstance:
            found = self._isinstance(args)
            if found is not None:
                return found
        if obj in (len, abs) and len(args) == 1:
            found = self.special(args[0], obj.__name__)
            if found is not None:
                return found
        if isinstance(obj, types.BuiltinFunctionType) and obj.__module__ == "_operator":
            found = self._operator(obj.__name__, args, keywords)
            if found is not None:
                return found
        elaborator = library.lookup(obj)
        if elaborator is not None:
            return self.call_elaborator(elaborator, args, keywords)
        if isinstance(obj, types.FunctionType):
            if obj.__code__.co_filename.startswith(FOREIGN) or hasattr(obj, "__myia_outside__"):
                self.error(f"{obj.__name__} is not supported in compiled code", library.suggest(obj))
            return self.call_python(obj, args, keywords)
        if isinstance(obj, types.MethodType):
            return self.call(Static(obj.__func__), [self.constant_value(obj.__self__), *args], keywords)
        if isinstance(obj, functools.partial):
            held = [self.constant_value(a) for a in obj.args]
            named = {k: self.constant_value(v) for k, v in obj.keywords.items()} | dict(keywords)
            return self.call(self.constant_value(obj.func), [*held, *args], tuple(named.items()))
        if isinstance(obj, type):
            return self.construct(obj, args, keywords)
        wrapped = getattr(obj, "__wrapped__", None)
        if callable(wrapped):
            return self.call(Static(wrapped), args, keywords)
        method = inspect.getattr_static(type(obj), "__call__", None)
        if isinstance(method, types.FunctionType):
            return self.call(Static(method), [Static(obj), *args], keywords)
        name = getattr(obj, "__name__", None) or repr(obj)
        if not callable(obj):
            self.error(f"'{type(obj).__name__}' object is not callable", "call a function")
        self.error(f"{name} is not supported in compiled code", library.suggest(obj))

    def call_instance(self, value: Value, args, keywords) -> Value:
        if isinstance(value, Record):
            method = inspect.getattr_static(value.cls, "__call__", None)
            if isinstance(method, types.FunctionType):
                return self.call(Static(method), [value, *args], keywords)
        self.error(f"{self._kind(value)} is not callable", "call a function")

    # ---- builtins that look at objects -------------------------------------------------------------------------------
    def _getattr(self, args) -> Value:
        if len(args) not in (2, 3) or not isinstance(args[1], Static) or not isinstance(args[1].value, str):
            self.error("getattr takes a value and a name known at compile time", "write x.name")
        try:
            return self.getattr(args[0], args[1].value)
        except MyiaAttributeError:
            if len(args) == 3:
                return args[2]
            raise

    def _hasattr(self, args) -> Value:
        try:
            self._getattr(args)
        except MyiaAttributeError:
            return self.const(False)
        return self.const(True)

    def _operator(self, name: str, args, keywords) -> Value | None:
        """A function of the module `operator`, None where it is no operator of the language."""
        for table, count, act in (
            (BINARY_FUNCTIONS, 2, self.binary),
            (COMPARE_FUNCTIONS, 2, self.compare),
            (UNARY_FUNCTIONS, 1, self.unary),
        ):
            if name in table:
                if len(args) != count or keywords:
                    self.error(f"{name} expected {count} argument{'s' * (count > 1)}, got {len(args)}", "pass them all")
                return self.apart(lambda *vs, act=act, op=table[name]: act(op, *vs), args)
        if name == "contains" and len(args) == 2:
            return self.apart(lambda container, x: self.compare("in", x, container), args)
        if name == "getitem" and len(args) == 2:
            return self.getitem(*args)
        if name == "truth" and len(args) == 1:
            return Leaf(self.truth(args[0]), True)
        return self.call(Static(abs), args) if name == "abs" else None

    def _isinstance(self, args) -> Value | None:
        """isinstance of records, sequences and constants; numbers and arrays are the library's."""
        if len(args) != 2:
            return None
        value, classes = args
        if several(value):
            return self.over(value, lambda v: self.call(Static(isinstance), [v, classes]))
        cls = {Mapping: dict, Range: range, Closure: types.FunctionType, Slice: slice}.get(type(value))
        if isinstance(value, (Sequence, Record)):
            cls = value.kind if isinstance(value, Sequence) else value.cls
        elif isinstance(value, Static):
            cls = type(value.value)
        if cls is None:
            return None
        wanted = self._classes(classes)
        return None if wanted is None else self.const(issubclass(cls, wanted))

    def _classes(self, value):
        if isinstance(value, Static) and isinstance(value.value, (type, types.UnionType)):
            return value.value
        if isinstance(value, Sequence):
            inner = tuple(map(self._classes, value.items))
            return None if None in inner else inner
        return None
