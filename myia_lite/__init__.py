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

from .api import GradFunction, MyiaFunction, grad, myia, value_and_grad
from .check import check_grads
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
from .sparse import sparse_hessian, sparse_jacobian

__all__ = [
    "CustomDerivative",
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
    "value_and_grad",
    "value_and_jacobian",
    "vjp",
]
