"""The Jacobian of bundle adjustment: 21 cameras see 11,315 points 36,455 times.

Cameras have 11 parameters (rotation vector, centre, focal length, principal point, two of radial distortion), points 3,
observations a weight.  The residuals are two weighted image coordinates of each observation, and 1 - w² for its weight:
109,365 of them, of 70,631 parameters, with 15 or 1 of which each varies.  The problem is that of Šrajer, Kukelova and
Fitzgibbon, "A benchmark of selected algorithmic differentiation tools" (Optimization Methods and Software 2018).
"""

import numpy as np

from myia_lite import myia, sparse_jacobian

from .harness import Row, benchmark, check_equal, medians, seconds_of

CAMERAS, POINTS, OBSERVATIONS = 21, 11_315, 36_455


def cross(a, b):
    """The cross products of rows."""
    return np.stack(
        (
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ),
        axis=1,
    )


def rotated(w, x):
    """Rodrigues' formula, for rows of rotation vectors and points."""
    angle = np.sqrt(np.sum(w * w, axis=1))[:, None]
    axis = w / angle
    along = np.sum(axis * x, axis=1)[:, None]
    return x * np.cos(angle) + cross(axis, x) * np.sin(angle) + axis * along * (1.0 - np.cos(angle))


def residuals(cameras, points, weights, camera_of, point_of, seen):
    """Of all observations the first coordinate, of all the second, and of all the weight."""
    c, x = cameras[camera_of], points[point_of]
    local = rotated(c[:, 0:3], x - c[:, 3:6])
    flat = local[:, 0:2] / local[:, 2:3]
    r2 = np.sum(flat * flat, axis=1)
    bent = flat * (1.0 + c[:, 9] * r2 + c[:, 10] * r2 * r2)[:, None]
    image = bent * c[:, 6:7] + c[:, 7:9]
    error = weights[:, None] * (image - seen)
    return np.concatenate((error[:, 0], error[:, 1], 1.0 - weights * weights))


def problem(cameras=CAMERAS, points=POINTS, observations=OBSERVATIONS, seed=0):
    """A random scene in front of the cameras, in which each camera and each point is seen."""
    r = np.random.default_rng(seed)
    c = np.concatenate(
        (
            r.normal(0, 0.3, (cameras, 3)),
            r.normal(0, 0.5, (cameras, 3)),
            r.uniform(400, 600, (cameras, 1)),
            r.normal(0, 5, (cameras, 2)),
            r.normal(0, 0.01, (cameras, 2)),
        ),
        axis=1,
    )
    x = np.concatenate((r.normal(0, 1, (points, 2)), r.uniform(4, 8, (points, 1))), axis=1)
    camera_of = np.concatenate((np.arange(cameras), r.integers(0, cameras, observations - cameras)))
    point_of = r.permutation(np.concatenate((np.arange(points), r.integers(0, points, observations - points))))
    return c, x, r.uniform(0.5, 1.5, observations), camera_of, point_of, r.normal(0, 100, (observations, 2))


@benchmark
def run():
    """The first Jacobian, with everything that is found out for it, and a further one."""
    given = problem()
    jacobian = sparse_jacobian(residuals, argnums=(0, 1, 2))
    first = seconds_of(lambda: jacobian(*given))
    matrix = jacobian(*given)
    assert matrix.shape == (3 * OBSERVATIONS, 11 * CAMERAS + 3 * POINTS + OBSERVATIONS)
    check(matrix, given)
    (again,) = medians(lambda: jacobian(*given), rounds=5)
    value = myia(residuals)
    (once,) = medians(lambda: value(*given), rounds=5)
    yield Row("bundle adjustment, 109,365 × 70,631: first Jacobian", first, target=10)
    yield Row("bundle adjustment: another Jacobian", again, "the residuals themselves", once)


def check(matrix, given, step=1e-6):
    """The Jacobian times a direction, against a central difference."""
    r = np.random.default_rng(1)
    direction = [r.normal(size=np.shape(v)) for v in given[:3]]
    plus, minus = (
        residuals(*(v + sign * step * d for v, d in zip(given[:3], direction, strict=True)), *given[3:])
        for sign in (1, -1)
    )
    along = matrix @ np.concatenate([d.ravel() for d in direction])
    check_equal(along, (plus - minus) / (2 * step), rtol=1e-5, what="Jacobian and differences")
