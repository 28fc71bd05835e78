"""Differentiate and compile plain Python and NumPy functions.

>>> from myia_lite import grad
>>> def f(x):
...     y = 1.0
...     while y < 100.0:
...         y = y * x
...     return y
>>> f(3.0), grad(f)(3.0)
(243.0, 405.0)
"""

import importlib
from typing import TYPE_CHECKING

from .api import GradFunction, MyiaFunction, grad, myia, value_and_grad
from .derivatives import (
    CustomDerivative,
    checkpoint,
    custom_derivative,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linearize,
    stop_gradient,
    value_and_jacobian,
    vjp,
)
from .ir import (
    MyiaAttributeError,
    MyiaError,
    MyiaIndexError,
    MyiaNameError,
    MyiaRecursionError,
    MyiaSyntaxError,
    MyiaTypeError,
    MyiaValueError,
)

if TYPE_CHECKING:
    from .check import check_grads
    from .device import to_device, to_host
    from .external import Foreign, foreign
    from .sparse import sparse_hessian, sparse_jacobian

__all__ = [
    "CustomDerivative",
    "Foreign",
    "GradFunction",
    "MyiaAttributeError",
    "MyiaError",
    "MyiaFunction",
    "MyiaIndexError",
    "MyiaNameError",
    "MyiaRecursionError",
    "MyiaSyntaxError",
    "MyiaTypeError",
    "MyiaValueError",
    "check_grads",
    "checkpoint",
    "custom_derivative",
    "foreign",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "myia",
    "sparse_hessian",
    "sparse_jacobian",
    "stop_gradient",
    "to_device",
    "to_host",
    "value_and_grad",
    "value_and_jacobian",
    "vjp",
]

_LATE = {
    "Foreign": "external",
    "check_grads": "check",
    "foreign": "external",
    "sparse_hessian": "sparse",
    "sparse_jacobian": "sparse",
    "to_device": "device",
    "to_host": "device",
}


def __getattr__(name: str):
    """What needs the whole compiler, and SciPy, is imported when it is first asked for."""
    if name in _LATE:
        found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
