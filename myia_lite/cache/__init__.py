"""Programs on disk: in come a function and the types of its arguments, out goes the program that a former process made.

Guaranteed: an entry is found only where everything that decided on its machine code is the same (source, closures,
globals and callees that were read, types, options, versions, CPU), a damaged or a foreign file is never used, nothing
is unpickled or evaluated, and no failure of the cache is a failure of the call.
"""

from .entry import Loaded, Place, place
from .store import CodeStore

__all__ = ["CodeStore", "Loaded", "Place", "place"]
