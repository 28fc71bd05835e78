"""The primitives: one declaration block each, one file per family.

In comes nothing, out goes `PRIMITIVES`, by name.  Guaranteed by a test that walks it: every primitive has a type rule,
a value on the reference back end, a native lowering and a derivative, or stands on an explicit list with the reason.
"""

from . import arrays, control, elementwise, foreign, surface
from .define import PRIMITIVES
