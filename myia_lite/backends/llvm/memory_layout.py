"""Where things lie in memory: what Python needs to know of it to call a program, too."""

from __future__ import annotations

import numpy as np

NUMPY = {d: np.dtype(n) for d, n in {"bool": "?", "i32": "i4", "i64": "i8", "f32": "f4", "f64": "f8"}.items()}
ITEMSIZE = {"bool": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}

# A heap object starts with a header; see `runtime.py`.
HEADER_RC, HEADER_CHILDREN, HEADER_LENGTH, HEADER_CAPACITY = 0, 16, 40, 48
BOX_DATA, DATA = 24, 64  # where the payload starts: of a record, which is never large; of an array or a stack
