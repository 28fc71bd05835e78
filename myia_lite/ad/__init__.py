"""Derivatives by graph transformation: in comes a typed program with `grad` and `jvp` nodes, out goes one without.

Guaranteed: what comes out is typed by construction (inference is not run again), passes the verifier, uses constant
native stack in loops, and can be differentiated again.
"""

from .expand import expand
from .forward import Forward
from .reverse import Reverse
