"""The reference back end: executes typed graphs literally, one primitive's `value` after the other.

In comes a closed typed graph, out goes a callable.  Guaranteed: the native stack does not grow with loops or calls, and
an array that nobody else holds is written in place, so that filling one in a loop takes linear time.
"""

from .machine import compile
