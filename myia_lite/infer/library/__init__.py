"""What Python, NumPy, `math` and `scipy.special` mean: abstract values in, typed primitives and abstract values out.

Everything that differs between Python's numbers and NumPy's is decided here: checks, promotion, broadcasting, the
placing of axes by an index.  Guaranteed: a function answers as CPython and NumPy do, or refuses with a remedy.
"""

from . import complex_functions, complexes, integers, joining, math, products, reductions, shapes, sorting, windows
from .attributes import attribute
from .dtypes import convert, join_numbers
from .operators import binary, compare, getitem, inplace, setitem, truth, unary
from .registry import describe, lookup
from .remedies import suggest
from .sequences import item, iterable, length

__all__ = [
    "attribute",
    "binary",
    "compare",
    "complex_functions",
    "complexes",
    "convert",
    "describe",
    "getitem",
    "inplace",
    "integers",
    "item",
    "iterable",
    "join_numbers",
    "joining",
    "length",
    "lookup",
    "math",
    "products",
    "reductions",
    "setitem",
    "shapes",
    "sorting",
    "suggest",
    "truth",
    "unary",
    "windows",
]
