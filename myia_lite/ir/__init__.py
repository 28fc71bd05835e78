"""The graph IR: in comes nothing but calls of its builder or its printed text; out go graphs, typed after inference.

Guaranteed: the printed form parses back to an equal graph, and what passes `verify` has types, scopes and tail
positions in order.
"""

from .builder import Builder, current, install_operators, lift
from .clone import Clone, clone, free_variables
from .errors import (
    MyiaAttributeError,
    MyiaError,
    MyiaIndexError,
    MyiaNameError,
    MyiaRecursionError,
    MyiaSyntaxError,
    MyiaTypeError,
    MyiaValueError,
)
from .nodes import Apply, Constant, Graph, Node, Parameter, Primitive, callees, constant, reachable
from .printer import show, sums_in, sums_of
from .span import Span
from .text import install_arrays, parse_text
from .types import (
    DTYPES,
    F32,
    F64,
    FLOATS,
    I32,
    I64,
    INTS,
    Array,
    Bool,
    Never,
    Residual,
    Scalar,
    Stack,
    Sum,
    Tuple,
    Type,
    Unit,
    compatible,
    element_types,
    is_float,
    shape_of,
    shaped,
    with_dtype,
)
from .verify import VerifyError, verify
