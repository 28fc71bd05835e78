"""Arrays of several ranks and kinds that the tests of the library compute with."""

import numpy as np

_rng = np.random.default_rng(3)
V = _rng.normal(size=3)
W = _rng.normal(size=4)
M = _rng.normal(size=(3, 4))
N = _rng.normal(size=(4, 5))
T = _rng.normal(size=(2, 3, 4))
I = np.array([[3, -1, 2], [0, 5, -7]])
F = _rng.normal(size=(2, 3)).astype(np.float32)
J = np.array([2, -3, 4], np.int32)
B = np.array([True, False, True])
E = np.zeros((0, 3))


def narrow(want) -> bool:
    """Is NumPy's result of a dtype that the subset does not have (int8, float16)?"""
    return isinstance(want, (np.ndarray, np.generic)) and want.dtype not in map(np.dtype, ("?", "i4", "i8", "f4", "f8"))
