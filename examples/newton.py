"""Solve Kepler's equation E - e sin E = M by minimising, then differentiate the solver itself.

The solver is Newton's method with `grad` and `grad(grad(...))` inside a compiled while loop, so the
derivative of its answer is a third derivative through that loop.

    python examples/newton.py
"""

import math

from myia_lite import grad, myia


def energy(anomaly, e, mean):
    """A function of the anomaly whose minimum solves Kepler's equation."""
    return anomaly * anomaly / 2 + e * math.cos(anomaly) - mean * anomaly


@myia
def solve(e, mean):
    """The eccentric anomaly of an orbit of eccentricity e at the mean anomaly."""
    slope, curvature = grad(energy), grad(grad(energy))
    anomaly, step = mean, 1.0
    while abs(step) > 1e-12:
        step = slope(anomaly, e, mean) / curvature(anomaly, e, mean)
        anomaly = anomaly - step
    return anomaly


def main():
    """Compare the solver and its two derivatives with their closed forms."""
    e, mean = 0.3, 1.0
    anomaly = solve(e, mean)
    by_e, by_mean = grad(solve, argnums=("e", "mean"))(e, mean)
    exact = math.sin(anomaly) / (1 - e * math.cos(anomaly)), 1 / (1 - e * math.cos(anomaly))
    print(f"E = {anomaly:.12f}, E - e sin E = {anomaly - e * math.sin(anomaly):.12f}")
    print(f"dE/de = {by_e:.12f}, exactly {exact[0]:.12f}")
    print(f"dE/dM = {by_mean:.12f}, exactly {exact[1]:.12f}")
    assert abs(by_e - exact[0]) < 1e-9 and abs(by_mean - exact[1]) < 1e-9


if __name__ == "__main__":
    main()
