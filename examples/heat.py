"""Where was the bar hot? Recover its first temperatures from its last ones, by descent through the simulation.

The simulation writes an array element by element, as one would in C.

    python examples/heat.py
"""

import numpy as np

from myia_lite import myia, value_and_grad


def diffuse(u, steps):
    """Temperatures of a bar with insulated ends after some explicit steps of the heat equation."""
    n = len(u)
    for _ in range(steps):
        new = np.zeros(n)
        for i in range(n):
            left = u[i - 1] if i > 0 else u[i]
            right = u[i + 1] if i < n - 1 else u[i]
            new[i] = u[i] + 0.25 * (left - 2.0 * u[i] + right)
        u = new
    return u


def misfit(u, seen, steps):
    """Half the squared distance between the simulated and the seen temperatures."""
    return 0.5 * np.sum((diffuse(u, steps) - seen) ** 2)


@myia
def descend(u, seen, steps, rounds):
    """Gradient descent on the first temperatures; also returns the last gradient."""
    g = np.zeros_like(u)
    for _ in range(rounds):
        _, g = value_and_grad(misfit)(u, seen, steps)
        u = u - g
    return u, g


def main():
    """Heat the middle, simulate, forget, recover; check the gradient, for the simulation is symmetric."""
    start, steps = np.zeros(40), 20
    start[15:25] = 1.0
    seen = diffuse(start, steps)
    found, _ = descend(np.full(40, seen.mean()), seen, steps, 3000)
    g = descend(found, seen, steps, 1)[1]
    by_hand = diffuse(diffuse(found, steps) - seen, steps)
    print("recovered", " ".join(f"{t:.1f}" for t in found[10:30]))
    print(f"misfit {misfit(found, seen, steps):.2e}, gradient against the adjoint: {np.abs(g - by_hand).max():.1e}")
    assert np.allclose(g, by_hand, atol=1e-12) and misfit(found, seen, steps) < 1e-4


if __name__ == "__main__":
    main()
