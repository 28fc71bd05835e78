"""The optimiser: in comes a typed program, out goes an equal, smaller one.

Guaranteed: same values and the same exceptions in the same order; what comes out passes the verifier.
"""

from .pipeline import optimise, simplify
