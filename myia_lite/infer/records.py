"""Records: instances of frozen dataclasses and NamedTuples, with their methods and operators."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types

from ..ir import MyiaAttributeError, MyiaValueError
from . import library
from .abstract import field_names, is_frozen, is_named_tuple
from .calls import Calls
from .dependencies import Attribute
from .joins import several
from .values import Bound, Record, Sequence, Static, Value

BINARY = {
    "+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul",
    "&": "and", "|": "or", "^": "xor", "<<": "lshift", ">>": "rshift",
}  # fmt: skip
COMPARE = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
REFLECTED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
GENERATED = "<string>"  # the file name of the methods that dataclasses write


def own_method(cls, name: str):
    """The method of that name that the user wrote, or None."""
    found = inspect.getattr_static(cls, name, None)
    if isinstance(found, types.FunctionType) and found.__code__.co_filename != GENERATED:
        return found if not is_named_tuple(cls) or name in vars(cls) else None
    return None


class Records(Calls):
    """What can be done with a record."""

    def as_sequence(self, value: Value) -> Value:
        """A NamedTuple as the tuple it is."""
        if isinstance(value, Record) and is_named_tuple(value.cls):
            return Sequence(value.items)
        return value

    # ---- operators ---------------------------------------------------------------------------------------------------
    def special(self, value: Value, name: str, *args: Value) -> Value | None:
        """`value.__name__(*args)`, where the user wrote such a method."""
        method = own_method(value.cls, f"__{name}__") if isinstance(value, Record) else None
        return None if method is None else self.call(Static(method), [value, *args])

    def overloaded(self, op: str, a: Value, b: Value) -> Value | None:
        """A binary operator between records, or a record and something else."""
        found = self.special(a, BINARY[op], b)
        return found if found is not None else self.special(b, f"r{BINARY[op]}", a)

    def compared(self, op: str, a: Value, b: Value) -> Value | None:
        """A comparison of records: their own, else as tuples of their fields."""
        if op not in COMPARE:
            return self.special(b, "contains", a) if op == "in" else None
        found = self.special(a, COMPARE[op], b)
        if found is None:
            found = self.special(b, REFLECTED[COMPARE[op]], a)
        if found is None and op == "!=":
            equal = self.special(a, "eq", b)
            found = None if equal is None else self.unary_not(equal)
        if found is None and isinstance(a, Record) and isinstance(b, Record):
            if not is_named_tuple(a.cls) and a.cls is not b.cls and op in ("==", "!="):
                return self.const(op == "!=")
            ordered = is_named_tuple(a.cls) or (a.cls is b.cls and a.cls.__dataclass_params__.order)
            if op in ("==", "!=") or ordered:
                return library.compare(self, op, Sequence(a.items), Sequence(b.items))
        return found

    # ---- attributes --------------------------------------------------------------------------------------------------
    def _record_attribute(self, value: Record, name: str) -> Value:
        cls = value.cls
        if issubclass(cls, BaseException):
            if name == "args":
                return Sequence(value.items)
            self.error(f"the attribute {name} of an exception", "raise it as it is", MyiaAttributeError)
        names = field_names(cls)
        if name in names:
            return value.items[names.index(name)]
        if name == "_replace" and is_named_tuple(cls):
            return Bound(Static(REPLACE), (value,))
        if name == "_fields" and is_named_tuple(cls):
            return self.constant_value(cls._fields)
        found = inspect.getattr_static(cls, name, None)
        if isinstance(found, property):
            return self.call(Static(found.fget), [value])
        if isinstance(found, functools.cached_property):
            return self.call(Static(found.func), [value])
        if isinstance(found, staticmethod):
            return self.constant_value(found.__func__)
        if isinstance(found, classmethod):
            return Bound(Static(found.__func__), (Static(cls),))
        if is_named_tuple(cls) and found is None or name in ("index", "count") and is_named_tuple(cls):
            inner = library.attribute(self, self.as_sequence(value), name)
            if inner is not None:
                return inner
        if found is None:
            self.error(f"'{cls.__name__}' object has no attribute '{name}'", "check the name", MyiaAttributeError)
        if isinstance(found, types.FunctionType) or hasattr(found, "__wrapped__"):
            return Bound(Static(found), (value,))
        self.dependencies.append(Attribute(cls, name, found))
        return self.constant_value(found)

    # ---- classes -----------------------------------------------------------------------------------------------------
    def construct(self, cls: type, args, keywords) -> Value:
        if issubclass(cls, BaseException):
            if keywords:
                self.error("an exception with keyword arguments", "pass the message only")
            return Record(cls, tuple(args))
        if is_named_tuple(cls):
            defaults = {k: self.constant_value(v) for k, v in cls._field_defaults.items()}
            return Record(cls, tuple(self.bind(cls.__name__, _Fields(names=cls._fields), args, keywords, defaults)))
        if dataclasses.is_dataclass(cls):
            return self._construct_dataclass(cls, args, keywords)
        if cls is super:
            self.error("super() is not supported in compiled code", "name the class: Base.method(self)")
        self.error(
            f"an instance of {cls.__name__} cannot be made in compiled code",
            "make it a @dataclass(frozen=True) or a NamedTuple",
        )

    def _construct_dataclass(self, cls, args, keywords):
        if not is_frozen(cls):
            self.error(
                f"{cls.__name__} is a dataclass that can be changed",
                f"declare it @dataclass(frozen=True): {cls.__name__}",
            )
        if "__init__" in vars(cls) and getattr(vars(cls)["__init__"], "__qualname__", "").endswith("__init__"):
            own = vars(cls)["__init__"]
            if not cls.__dataclass_params__.init or own.__code__.co_filename != "<string>":
                self.error(f"{cls.__name__} has an __init__ of its own", "let the dataclass make it")
        fields = dataclasses.fields(cls)
        names = tuple(f.name for f in fields if f.init and not f.kw_only)
        only = tuple(f.name for f in fields if f.init and f.kw_only)
        defaults = {}
        for f in fields:
            if f.default is not dataclasses.MISSING:
                defaults[f.name] = self.constant_value(f.default)
            elif f.default_factory is not dataclasses.MISSING:
                defaults[f.name] = self.call(Static(f.default_factory), [])
        bound = dict(
            zip(
                (*names, *only),
                self.bind(cls.__name__, _Fields(names=names, kwonly=only), args, keywords, defaults),
                strict=True,
            )
        )
        for f in fields:
            if not f.init and f.name not in defaults:
                self.error(f"the field {f.name} of {cls.__name__} gets no value", "give it a default")
        return self._checked_record(cls, tuple(bound.get(f.name, defaults.get(f.name)) for f in fields))

    def _checked_record(self, cls, items) -> Record:
        """A new instance, after what its __post_init__ checks."""
        made = Record(cls, items)
        check = inspect.getattr_static(cls, "__post_init__", None)
        if check is not None:
            self.call(Static(check), [made])
        return made

    def _replaced(self, args, keywords) -> Value:
        (value, *rest) = args
        if several(value):
            return self.over(value, lambda v: self._replaced([v, *rest], keywords))
        if rest or not isinstance(value, Record):
            self.error("replace() takes a frozen dataclass or a NamedTuple, and keywords", "replace(x, field=value)")
        names = field_names(value.cls)
        new = dict(zip(names, value.items, strict=True))
        for k, v in keywords:
            if k not in new:
                self.error(
                    f"{value.cls.__name__} has no field '{k}'", f"its fields are {', '.join(names)}", MyiaValueError
                )
            new[k] = v
        return self._checked_record(value.cls, tuple(new.values()))


@dataclasses.dataclass(frozen=True)
class _Fields:
    """The signature of a class that takes its fields."""

    names: tuple[str, ...]
    kwonly: tuple[str, ...] = ()
    posonly: tuple[str, ...] = ()
    vararg: None = None


def REPLACE(record, /, **fields):
    """Stands for the method _replace of NamedTuples."""
