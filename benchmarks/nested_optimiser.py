"""A charge is placed so that a particle lands at the origin: an optimiser around an integrator around a gradient.

The particle flies past two charges, one of which stands at a height that is to be found.  Each step of its flight takes
the gradient of the potential; the square of where it lands is minimised by gradient descent.  After Pearlmutter and
Siskind, "Using Programming Language Theory to Make Automatic Differentiation Sound and Efficient" (AD 2008).
"""

import math
from functools import partial

from myia_lite import grad, jacfwd, jvp, myia

from .harness import Row, benchmark, check_equal, first_call, medians

TRIPS = 353  # of the flight, where the search starts; 355 where it ends
DT, RATE, SEARCH = 0.1, 0.001, 84


def potential(x, y, w):
    """Of charges at (10, 10 - w) and (10, 0)."""
    return 1.0 / math.sqrt((x - 10.0) ** 2 + (y - 10.0 + w) ** 2) + 1.0 / math.sqrt((x - 10.0) ** 2 + y * y)


def landing(w, dt, force):
    """The square of the place where the particle comes down, and how many steps its flight took."""
    x, y, u, v, trips = 0.0, 8.0, 0.75, 0.0, 0
    while y > 0.0:
        fx, fy = force(x, y, w)
        x, y, u, v = x + dt * u, y + dt * v, u - dt * fx, v - dt * fy
        trips += 1
    x = x - y / v * u  # back along the last step, to the ground
    return x * x, trips


def descend(slope, w, dt, n):
    """n steps of gradient descent on `slope`."""
    k = 0
    while k < n:
        w = w - RATE * slope(w, dt)
        k += 1
    return w


def reverse_force(x, y, w):
    return grad(potential, argnums=(0, 1))(x, y, w)


def forward_force(x, y, w):
    return jacfwd(potential, argnums=(0, 1))(x, y, w)


def reverse_reverse(w, dt, n):
    return descend(lambda w, dt: grad(lambda w: landing(w, dt, reverse_force)[0])(w), w, dt, n)


def reverse_forward(w, dt, n):
    return descend(lambda w, dt: grad(lambda w: landing(w, dt, forward_force)[0])(w), w, dt, n)


def forward_reverse(w, dt, n):
    return descend(lambda w, dt: jvp(lambda w: landing(w, dt, reverse_force)[0], (w,), (1.0,))[1], w, dt, n)


def forward_forward(w, dt, n):
    return descend(lambda w, dt: jvp(lambda w: landing(w, dt, forward_force)[0], (w,), (1.0,))[1], w, dt, n)


MODES = {
    "reverse over reverse": reverse_reverse,
    "reverse over forward": reverse_forward,
    "forward over reverse": forward_reverse,
    "forward over forward": forward_forward,
}


def force_by_hand(x, y, w):
    """The gradient of the potential, in complex numbers too."""
    a, b = (x - 10.0) ** 2 + (y - 10.0 + w) ** 2, (x - 10.0) ** 2 + y * y
    return -(x - 10.0) * (a**-1.5 + b**-1.5), -(y - 10.0 + w) * a**-1.5 - y * b**-1.5


def slope_by_hand(w, dt, step=1e-20):
    """The derivative of `landing` by a complex step."""
    w, x, y, u, v = complex(w, step), 0j, 8 + 0j, 0.75 + 0j, 0j
    while y.real > 0.0:
        fx, fy = force_by_hand(x, y, w)
        x, y, u, v = x + dt * u, y + dt * v, u - dt * fx, v - dt * fy
    x = x - y / v * u
    return (x * x).imag / step


@benchmark
def run():
    """All in each combination of modes: outer over inner."""
    w = descend(slope_by_hand, 0.0, DT, SEARCH)
    assert landing(0.0, DT, force_by_hand)[1] == TRIPS and landing(w, DT, force_by_hand)[0] < 1e-20
    calls = [partial(myia(f), 0.0, DT, SEARCH) for f in MODES.values()]
    for call in calls:
        check_equal(call(), w, rtol=1e-12, what="the place of the charge")
    what = f"{SEARCH} steps around {TRIPS} steps"
    for name, seconds in zip(MODES, medians(*calls), strict=True):
        yield Row(f"{what}, {name}", seconds, target=0.01)
    for name, f in MODES.items():
        yield Row(f"{name}: first call, with compilation", first_call(lambda f=f: partial(myia(f), 0.0, DT, SEARCH)))
