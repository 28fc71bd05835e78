"""Derivatives beyond the gradient: along directions, against cotangents, and whole Jacobians, in either mode.

Each works on the same functions as `grad`, in Python and inside compiled code, and on functions that take derivatives
themselves.  A tangent or cotangent has the structure of its value: its float leaves, and None in the place of anything
else; None in the place of a float means zero.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .api import GradFunction, transformed
from .infer import abstract, leaves, rebuild
from .infer.structures import Dyn, Ident, Tree
from .ir import MyiaTypeError, MyiaValueError, is_float

NONE = Tree(("static", Ident(None)))
STRUCTURES = ("sequence", "mapping", "record", "complex")


def jvp(f: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """(f(*primals), its derivative along `tangents`), by forward mode, at about twice the cost of f.

    primals, tangents: a tuple or list with one item for each argument of f; a tangent has the structure of its
    argument, None where that has no floats (or where the tangent is zero).
    has_aux: f returns (value, aux), and the result is (value, tangent, aux).

    Raises MyiaTypeError where a tangent does not fit its argument.

    >>> import math
    >>> from myia_lite import jvp
    >>> jvp(lambda x, y: x * y, (3.0, 4.0), (1.0, 0.5))
    (12.0, 5.5)
    """
    return transformed("jvp", f, has_aux=has_aux)(primals, tangents)


def vjp(f: Callable, *primals, has_aux: bool = False) -> tuple:
    """(f(*primals), pullback): `pullback(cotangent)` is a tuple of the cotangents of the arguments, by reverse mode.

    The pullback holds what the backward pass needs of the run of f (elements and products, not all of `primals`), in
    memory of its own, and does not run f again.  It may be called any number of times, by several threads at once, be
    handed to compiled functions, and be differentiated; what `checkpoint` marks runs again at each call.  Its memory is
    freed with it.
    has_aux: f returns (value, aux), and the result is (value, pullback, aux).

    Raises what f raises, and MyiaTypeError where the cotangent does not fit the value.
    Source: the backpropagators of Pearlmutter and Siskind, "Reverse-mode AD in a functional framework" (TOPLAS 2008).

    >>> from myia_lite import vjp
    >>> y, pullback = vjp(lambda x, y: (x * y, x + y), 3.0, 4.0)
    >>> y, pullback((1.0, 0.0)), pullback((0.0, 2.0))
    ((12.0, 7.0), (4.0, 3.0), (2.0, 2.0))
    """
    return transformed("vjp", f, has_aux=has_aux)(*primals)


def linearize(f: Callable, *primals, has_aux: bool = False) -> tuple:
    """(f(*primals), f_jvp): `f_jvp(*tangents)` is the derivative of f at `primals` along `tangents`, by forward mode.

    Like `vjp`'s pullback, f_jvp holds what it needs of the run of f: the factors of the tangents.  A rule of
    `custom_derivative` has to be linear in its tangents, or MyiaTypeError is raised: use `jvp`, which calls it.
    has_aux: f returns (value, aux), and the result is (value, f_jvp, aux).
    Source: A. Radul et al., "You only linearize once" (POPL 2023), with a second transposition in the place of its
    unzipping.

    >>> from myia_lite import linearize
    >>> y, f_jvp = linearize(lambda x: x * x, 3.0)
    >>> y, f_jvp(1.0), f_jvp(2.0)
    (9.0, 6.0, 12.0)
    """
    return transformed("linearize", f, has_aux=has_aux)(*primals)


def jacfwd(
    f: Callable, argnums: int | str | tuple = 0, has_aux: bool = False, holomorphic: bool = False
) -> GradFunction:
    """The Jacobian of f by forward mode: a compiled function of the same arguments, along many inputs at once.

    For each float leaf of the result and each of the arguments an array of the shape of the one followed by that of the
    other, in the structure of the result and inside it that of the argument.
    argnums, has_aux: as for `grad`; f may return any structure with floats in it.

    >>> import numpy as np
    >>> from myia_lite import jacfwd
    >>> jacfwd(lambda x: np.array([x[0] * x[1], x[0] + x[1], x[1] * x[1]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [1., 1.],
           [0., 6.]])
    """
    return transformed("jacfwd", f, argnums, has_aux, holomorphic)


def jacrev(
    f: Callable, argnums: int | str | tuple = 0, has_aux: bool = False, holomorphic: bool = False
) -> GradFunction:
    """Like `jacfwd`, by reverse mode: the forward pass once, the backward pass for many outputs at once.

    >>> import numpy as np
    >>> from myia_lite import jacrev
    >>> jacrev(lambda x: {"sum": x.sum(), "first": x[0]})(np.array([2.0, 3.0]))
    {'sum': array([1., 1.]), 'first': array([1., 0.])}
    """
    return transformed("jacrev", f, argnums, has_aux, holomorphic)


def jacobian(
    f: Callable,
    argnums: int | str | tuple = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    diagonal: bool = False,
) -> Callable:
    """Like `jacfwd`, by forward mode where f has at most as many inputs as outputs, else by reverse mode.

    diagonal: only the diagonal of a square Jacobian, in the structure of the argument.  One forward pass if the rest is
    zero, which is found out from the program; else as many as it takes to keep the rest out.  For Python, not for
    compiled code, and for real arguments and results.  `.passes(*args)` gives the numbers of passes.

    >>> import numpy as np
    >>> from myia_lite import jacobian
    >>> jacobian(lambda x, a: a * x, argnums=(0, 1))(np.array([2.0, 3.0]), 5.0)
    (array([[5., 0.],
           [0., 5.]]), array([2., 3.]))
    >>> jacobian(lambda x: np.sin(x) * x, diagonal=True)(np.zeros(4))
    array([0., 0., 0., 0.])
    """
    if diagonal:
        return _diagonal("jacobian", f, argnums, has_aux, holomorphic)
    return transformed("jacobian", f, argnums, has_aux, holomorphic)


def value_and_jacobian(
    f: Callable, argnums: int | str | tuple = 0, has_aux: bool = False, holomorphic: bool = False
) -> GradFunction:
    """Like `jacobian`, but the result is (value, Jacobian), or ((value, Jacobian), aux).

    >>> from myia_lite import value_and_jacobian
    >>> value_and_jacobian(lambda x: (x, x * x))(3.0)
    ((3.0, 9.0), (1.0, 6.0))
    """
    return transformed("value_and_jacobian", f, argnums, has_aux, holomorphic)


def hessian(
    f: Callable,
    argnums: int | str | tuple = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    diagonal: bool = False,
) -> Callable:
    """The second derivatives of f, by forward over reverse mode: the `jacfwd` of the `jacrev`.

    diagonal: as for `jacobian`; f returns one float.  A separable function takes one product of the Hessian with a
    vector, however many arguments it has.

    >>> import numpy as np
    >>> from myia_lite import hessian
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([2.0, 3.0]))
    array([[6., 4.],
           [4., 0.]])
    >>> second = hessian(lambda x: np.sum(x**3) + x[0] * x[1], diagonal=True)
    >>> second(np.arange(4.0)), second.passes(np.arange(4.0))
    (array([ 0.,  6., 12., 18.]), (2, 0))
    """
    if diagonal:
        return _diagonal("hessian", f, argnums, has_aux, holomorphic)
    return transformed("hessian", f, argnums, has_aux, holomorphic)


def _diagonal(kind, f, argnums, has_aux, holomorphic):
    from .sparse import diagonal_of

    if has_aux or holomorphic:
        what = "has_aux" if has_aux else "holomorphic"
        raise MyiaTypeError(f"{kind}(f, diagonal=True) with {what}=True", remedy=f"leave out {what}")
    return diagonal_of(kind, f, argnums)


def hvp(f: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False):
    """The Hessian of f at `primals` times `tangents`, by forward over reverse mode, without forming the Hessian.

    f returns one float.  Of one primal the product has its structure; of several it is a tuple with an item for each.
    has_aux: f returns (loss, aux); the aux is dropped.

    >>> import numpy as np
    >>> from myia_lite import hvp
    >>> hvp(lambda x: x[0] ** 2 * x[1], (np.array([2.0, 3.0]),), (np.array([1.0, 0.0]),))
    array([6., 4.])
    """
    return transformed("hvp", f, has_aux=has_aux)(primals, tangents)


def stop_gradient(x):
    """x (a copy, of arrays), as something that does not vary: derivatives of all orders and both modes are zero there.

    >>> from myia_lite import grad, stop_gradient
    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    """
    return copied(x)


class CustomDerivative:
    """A function whose derivatives are rules of its own; made by `custom_derivative`."""

    def __init__(self, function: Callable):
        if not callable(function):
            raise MyiaTypeError(f"a {type(function).__name__} is no function", remedy="pass a function")
        self.function = function
        self.jvp_rule = self.fwd = self.bwd = None
        self.__myia_custom__ = self
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args, **keywords):
        return self.function(*args, **keywords)

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def defjvp(self, rule: Callable) -> Callable:
        """Set the rule of forward mode, `rule(primals, tangents) -> (value, tangent)`; returns it, for use as a
        decorator.
        """
        self.jvp_rule = rule
        return rule

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Set the rule of reverse mode: `fwd(*args) -> (value, residuals)`, `bwd(residuals, cotangent) ->
        cotangents`.
        """
        self.fwd, self.bwd = fwd, bwd


def custom_derivative(function: Callable) -> CustomDerivative:
    """A function with derivative rules of its own, in place of those that follow from its code.  Use it as a decorator.

    `f.defjvp(rule)`: rule(primals, tangents) -> (value, tangent), with tuples of the arguments and of their tangents.
    `f.defvjp(fwd, bwd)`: fwd(*args) -> (value, residuals), and bwd(residuals, cotangent) -> a tuple with the cotangent
    of each argument.  Directions have None in the place of what is no float, and may have None for zero.
    One rule is enough: the other mode is its transpose, if the rule is linear in the tangent (or cotangent), and an
    error otherwise.  Rules are differentiated in turn where a higher order is asked for.

    It may stand inside compiled code, where f and its rules may capture variables.

    Raises MyiaTypeError where a rule is missing or does not fit, or where what f captures is differentiated: a rule
    says nothing of that.

    >>> import math
    >>> from myia_lite import custom_derivative, grad
    >>> @custom_derivative
    ... def log1pexp(x):
    ...     return math.log(1.0 + math.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (x_dot,) = primals, tangents
    ...     return log1pexp(x), x_dot / (1.0 + math.exp(-x))
    >>> grad(log1pexp)(0.0)
    0.5
    """
    return CustomDerivative(function)


def checkpoint(x, levels: int | None = 2):
    """Memory for time in reverse mode: f, or a loop, that saves little and runs again in the backward pass.

    `checkpoint(f)`, also as a decorator, is a function with the values and derivatives of f: only its arguments (and
    what it captures) are saved, and f runs again just before its backward pass.

    `for x in checkpoint(range(n))`, or over anything else, and `while checkpoint(condition)` checkpoint a loop.  It
    runs in chunks, and the state of the loop is saved in front of each.  With n trips and `levels` k that takes memory
    for about k * n**(1/k) states, and k - 1 further runs of the loop; levels=None halves the chunks down to a few
    trips: about 2 * log2(n) states and log2(n) / 2 runs.  The number of trips need not be known, and the loop may end
    in any way.

    The gradient of a loop comes from the same operations as without a checkpoint; some sums may be taken in another
    order, mostly in derivatives of higher order.  Nothing changes for forward mode, which saves nothing.  Outside
    compiled code `checkpoint` of what is no function is that thing itself.

    Raises MyiaValueError where `levels` is no positive int or None; compiled code raises MyiaTypeError there, and where
    a condition is not that of a `while` loop.

    Source: A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
    differentiation" (Optimization Methods and Software 1, 1992).

    >>> import math
    >>> from myia_lite import checkpoint, grad
    >>> grad(checkpoint(math.sin))(0.0)
    1.0
    >>> def orbit(x):
    ...     for _ in checkpoint(range(10_000)):
    ...         x = x + 0.001 * math.sin(x)
    ...     return x
    >>> round(grad(orbit)(1.0), 9)
    0.000196831
    """
    if isinstance(levels, bool) or not (levels is None or isinstance(levels, int) and levels >= 1):
        raise MyiaValueError(f"levels is {levels!r}", remedy="a positive int, or None for as many as there can be")
    if not callable(x):
        return x

    def call(*args, **keywords):
        return x(*args, **keywords)

    functools.update_wrapper(call, x, updated=())
    call.__myia_transformed__ = "checkpoint", x, None, False
    return call


jvp.__myia_transform__ = "jvp"  # what inference calls them
vjp.__myia_transform__ = "vjp"
linearize.__myia_transform__ = "linearize"
jacfwd.__myia_transform__ = "jacfwd"
jacrev.__myia_transform__ = "jacrev"
jacobian.__myia_transform__ = "jacobian"
value_and_jacobian.__myia_transform__ = "value_and_jacobian"
hessian.__myia_transform__ = "hessian"
hvp.__myia_transform__ = "hvp"
stop_gradient.__myia_transform__ = "stop_gradient"
checkpoint.__myia_transform__ = "checkpoint"
custom_derivative.__myia_transform__ = "custom_derivative"


def copied(value: Any) -> Any:
    """The value with its arrays copied."""
    t = abstract(value)
    return rebuild(t, [v.copy() if isinstance(v, np.ndarray) else v for v in leaves(value, t)])


def float_part(value: Any) -> Any:
    """The value with None in the place of what is no float."""
    t = abstract(value)
    return rebuild(_float_template(t), [v for v, k in zip(leaves(value, t), _kinds(t), strict=True) if k])


def _float_template(t):
    if isinstance(t, Dyn):
        return t if is_float(t.type) else NONE
    return Tree(t.shape, tuple(map(_float_template, t.items))) if t.shape[0] in STRUCTURES else NONE


def _kinds(t) -> list[bool]:
    if isinstance(t, Dyn):
        return [is_float(t.type)]
    known = t.shape[0] in STRUCTURES
    return [k and known for i in t.items for k in _kinds(i)]
