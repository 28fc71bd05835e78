"""Small plain Python/NumPy programs, each with arguments to run it on: the specification of the subset.

CPython is the oracle: `test_programs.py` runs each program undecorated, interpreted and compiled, and wants the same
value, of the same structure and types, or the same exception.  The one exception to the oracle: where CPython's
integers leave 64 bits, the table says OverflowError.  `wrt` names the arguments whose derivative is compared with
numerical differentiation.
"""

from . import (
    builtin,
    complex_numbers,
    control,
    elementwise,
    exceptions,
    functions,
    indexing,
    larger,
    numbers,
    reductions,
    shapes,
    sorting,
    structures,
)
from .table import PROGRAMS, Program
