"""Fit the drag of a thrown ball to the distance it was seen to fly.

The flight is integrated with a plain loop that breaks when the ball lands; Newton's method on the drag
coefficient uses the derivative of that loop.

    python examples/ode.py
"""

import math

from myia_lite import grad, myia

DT = 0.001


def distance(drag, speed, angle):
    """Where a ball thrown from the ground lands, with a drag that grows with the square of the speed."""
    x, y = 0.0, 0.0
    u, v = speed * math.cos(angle), speed * math.sin(angle)
    for _ in range(100_000):
        s = math.sqrt(u * u + v * v)
        u, v = u - DT * drag * s * u, v - DT * (9.81 + drag * s * v)
        if y + DT * v < 0.0:
            x = x - u * y / v  # it lands within this step
            break
        x, y = x + DT * u, y + DT * v
    return x


@myia
def fit(target, drag, speed, angle):
    """The drag for which the ball flies as far as `target`, from a first guess."""
    for _ in range(20):
        miss = distance(drag, speed, angle) - target
        if abs(miss) < 1e-9:
            break
        drag = drag - miss / grad(distance)(drag, speed, angle)
    return drag


def main():
    """Hide a drag in an observation, then find it again."""
    speed, angle, hidden = 30.0, math.pi / 4, 0.0123
    seen = distance(hidden, speed, angle)
    found = fit(seen, 0.001, speed, angle)
    print(f"the ball flew {seen:.3f} m: drag {found:.9f} per metre, hidden was {hidden:.9f}")
    assert abs(found - hidden) < 1e-9


if __name__ == "__main__":
    main()
