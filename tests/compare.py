"""When two results are the same: structure, kinds of numbers, shapes, and values up to rounding."""

import dataclasses

import numpy as np

TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "complex128": 1e-9, "complex64": 1e-4}


def assert_same(actual, expected, where="result", rtol=None, atol=1e-12):
    """Raise an AssertionError that says where and how `actual` differs from `expected`.

    A NumPy scalar and a Python number of the same kind and width are the same; float32 and float64, an array and a
    scalar, a tuple and a list are not.  NaNs are equal; `rtol` overrides the tolerance of the dtype.
    """
    if expected is None or isinstance(expected, str):
        assert actual is expected or actual == expected, f"{where}: {actual!r}, expected {expected!r}"
    elif isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: {type(actual).__name__}, expected a dict"
        assert list(actual) == list(expected), f"{where}: keys {list(actual)}, expected {list(expected)}"
        for key in expected:
            assert_same(actual[key], expected[key], f"{where}[{key!r}]", rtol, atol)
    elif isinstance(expected, tuple | list):
        assert type(actual) is type(expected), f"{where}: {type(actual).__name__}, expected {type(expected).__name__}"
        assert len(actual) == len(expected), f"{where}: length {len(actual)}, expected {len(expected)}"
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_same(a, e, f"{where}[{i}]", rtol, atol)
    elif dataclasses.is_dataclass(expected):
        assert type(actual) is type(expected), f"{where}: {type(actual).__name__}, expected {type(expected).__name__}"
        for field in dataclasses.fields(expected):
            assert_same(getattr(actual, field.name), getattr(expected, field.name), f"{where}.{field.name}", rtol, atol)
    else:
        assert_same_numbers(actual, expected, where, rtol, atol)


def assert_same_numbers(actual, expected, where, rtol, atol):
    """`assert_same` for numbers and arrays."""
    assert isinstance(actual, bool | int | float | complex | np.generic | np.ndarray), (
        f"{where}: {actual!r} of type {type(actual).__name__}, expected {expected!r}"
    )
    array = isinstance(expected, np.ndarray)
    assert isinstance(actual, np.ndarray) == array, (
        f"{where}: {type(actual).__name__} {actual!r}, expected {type(expected).__name__} {expected!r}"
    )
    a, e = np.asarray(actual), np.asarray(expected)
    assert a.dtype == e.dtype, f"{where}: {a.dtype} {actual!r}, expected {e.dtype} {expected!r}"
    assert a.shape == e.shape, f"{where}: shape {a.shape}, expected {e.shape}"
    if e.dtype.kind in "fc":
        rtol = TOLERANCE[e.dtype.name] if rtol is None else rtol
        good = np.isclose(a, e, rtol=rtol, atol=max(atol, rtol * 1e-3), equal_nan=True)
    else:
        good = a == e
    assert np.all(good), f"{where}: {actual!r}, expected {expected!r}"


def leaves(value):
    """The numbers and arrays of a structure, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    elif dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in leaves(item)]
    return [] if value is None or isinstance(value, str) else [value]


def rebuild(value, new):
    """`value` with its numbers and arrays replaced, in order, by those of the iterator `new`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: rebuild(item, new) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        fields = {field.name: rebuild(getattr(value, field.name), new) for field in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, tuple | list):
        items = [rebuild(item, new) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return next(new)
