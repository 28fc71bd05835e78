"""Where things lie in memory: what Python needs to know of it to call a program, too."""

from __future__ import annotations

import numpy as np

NUMPY = {d: np.dtype(n) for d, n in {"bool": "?", "i32": "i4", "i64": "i8", "f32": "f4", "f64": "f8"}.items()}
ITEMSIZE = {"bool": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}

# A heap object starts with a header; see `runtime.py`.
HEADER_RC, HEADER_CHILDREN, HEADER_LENGTH, HEADER_CAPACITY = 0, 16, 40, 48
BOX_DATA, DATA = 24, 64  # where the payload starts: of a record, which is never large; of an array or a stack

# A call's context starts with these; see `runtime.py`.
CONTEXT_VALUES, CONTEXT_LIVE, CONTEXT_LIMIT, CONTEXT_COUNT, CONTEXT_REST, CONTEXT_END = 8, 40, 48, 56, 64, 72
CONTEXT_CHUNKS, CONTEXT_CHUNK, CONTEXT_FREE = 80, 88, 96
SMALL = 7 << 14  # objects of more bytes go through the pool
CLASSES = 57  # sizes of small objects: multiples of 64 up to 2048, then four in each power of two
CONTEXT_RESULTS = CONTEXT_FREE + 8 * CLASSES
CONTEXT_TICK = CONTEXT_RESULTS + 8
CONTEXT_SIZE = CONTEXT_TICK + 8

# What a context says of how a call ended.
MEMORY_ERROR, RECURSION_ERROR, FIRST_ERROR = 1, 2, 16
OUTSIDE = 1 << 32  # is added to the id of what Python functions raise, which the context holds
