"""The parser: in comes a Python function, out goes its surface graph (see `ops.surface`), untyped.

Guaranteed: every operation of the source is a node with the source's line and column, in Python's order of evaluation;
control flow is structured, with one graph for each loop; and what is outside the subset is refused here, with a remedy.
"""

from .parse import MISSING, Dependency, ParsedFunction, parameter, parse_function
from .signature import Signature
