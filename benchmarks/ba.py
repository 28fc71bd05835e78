"""GradBench's `ba`: bundle adjustment, two residuals for each observation, and their sparse Jacobian."""

import math
from functools import partial

import numpy as np

from myia_lite import jacrev, myia

from .harness import ARRAY, FIFTIETH, LONG, Row, benchmark, by_hand, check_equal, compare, medians, peer
from .peers import in_jax

SIZES = ((21, 500, 1000), (49, 7776, 31_843), (257, 65_132, 225_911))  # cameras, points, observations


def rotated(r, x):
    """x turned by |r| about r (Rodrigues)."""
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    if square == 0.0:
        return np.array(
            [x[0] + r[1] * x[2] - r[2] * x[1], x[1] + r[2] * x[0] - r[0] * x[2], x[2] + r[0] * x[1] - r[1] * x[0]]
        )
    angle = math.sqrt(square)
    c, s = math.cos(angle), math.sin(angle)
    w0, w1, w2 = r[0] / angle, r[1] / angle, r[2] / angle
    along = (w0 * x[0] + w1 * x[1] + w2 * x[2]) * (1 - c)
    return np.array(
        [
            x[0] * c + (w1 * x[2] - w2 * x[1]) * s + w0 * along,
            x[1] * c + (w2 * x[0] - w0 * x[2]) * s + w1 * along,
            x[2] * c + (w0 * x[1] - w1 * x[0]) * s + w2 * along,
        ]
    )


def residual(camera, point, weight, feature):
    """w (projection − feature); a camera is rotation 3, centre 3, focal length, principal point 2, distortion 2."""
    p = rotated(camera[0:3], point - camera[3:6])
    u, v = p[0] / p[2], p[1] / p[2]
    square = u * u + v * v
    scale = camera[6] * (1.0 + camera[9] * square + camera[10] * square * square)
    return np.array([weight * (scale * u + camera[7] - feature[0]), weight * (scale * v + camera[8] - feature[1])])


def objective(cameras, points, weights, features):
    """The residuals, and those that keep the weights near 1."""
    p = len(weights)
    errors = np.zeros((p, 2))
    for i in range(p):
        errors[i] = residual(cameras[i % len(cameras)], points[i % len(points)], weights[i], features[i])
    return errors, 1.0 - weights * weights


def jacobian(cameras, points, weights, features):
    """The values of the sparse Jacobian: for each observation 2 rows of 11, 3 and 1, then one for each weight."""
    p = len(weights)
    values = np.zeros((p, 2, 15))
    for i in range(p):
        by_camera, by_point, by_weight = jacrev(residual, (0, 1, 2))(
            cameras[i % len(cameras)], points[i % len(points)], weights[i], features[i]
        )
        values[i, :, 0:11] = by_camera
        values[i, :, 11:14] = by_point
        values[i, :, 14] = by_weight
    return values, -2.0 * weights


def inputs(n, m, p):
    """Cameras in front of a cloud of points."""
    rng = np.random.default_rng(0)
    cameras = np.concatenate(
        [
            0.1 * rng.standard_normal((n, 3)),
            np.array([0.0, 0.0, -5.0]) + 0.1 * rng.standard_normal((n, 3)),
            1.0 + 0.1 * rng.random((n, 1)),
            0.1 * rng.standard_normal((n, 2)),
            0.01 * rng.standard_normal((n, 2)),
        ],
        axis=1,
    )
    return cameras, rng.standard_normal((m, 3)), rng.random(p), rng.random((p, 2))


def mapped(xp, vmap, jacrev, cross, camera_of, point_of):
    """The Jacobian for tools that map one observation's over all."""

    def residual(camera, point, weight, feature):
        r, x = camera[:3], point - camera[3:6]
        angle = xp.sqrt(r @ r)
        w = r / angle
        p = x * xp.cos(angle) + cross(w, x) * xp.sin(angle) + w * (w @ x) * (1 - xp.cos(angle))
        uv = p[:2] / p[2]
        square = uv @ uv
        scale = camera[6] * (1.0 + camera[9] * square + camera[10] * square * square)
        return weight * (scale * uv + camera[7:9] - feature)

    each = vmap(jacrev(residual, argnums=(0, 1, 2)))

    def jacobian(cameras, points, weights, features):
        by_camera, by_point, by_weight = each(cameras[camera_of], points[point_of], weights, features)
        return xp.concatenate([by_camera, by_point, by_weight[:, :, None]], 2), -2.0 * weights

    return jacobian


def by_torch(arguments, *places):
    """The same by torch.func, or None."""
    torch = peer("torch")
    if torch is None:
        return None
    func, cross = torch.func, torch.linalg.cross
    given = [torch.tensor(a) for a in arguments]
    jacobian = mapped(torch, func.vmap, func.jacrev, cross, *map(torch.tensor, places))
    return lambda: jacobian(*given)


@benchmark
def run():
    """Residuals and Jacobians by size."""
    compiled, derived = myia(objective), myia(jacobian)
    c = by_hand("ba", "jacobian", LONG, LONG, LONG, *[ARRAY] * 6)
    for n, m, p in SIZES:
        arguments = inputs(n, m, p)
        values, by_weights = derived(*arguments)
        step = 1e-6 * np.ones(p)
        ahead, behind = (compiled(*arguments[:2], arguments[2] + s, arguments[3])[0] for s in (step, -step))
        check_equal(values[:, :, 14], (ahead - behind) / 2e-6, rtol=1e-6, what="slopes and difference quotients")

        def in_c(arguments=arguments, size=(n, m, p), like=(values, by_weights)):
            out = tuple(np.empty_like(a) for a in like)
            c(*size, *arguments, *out)
            return out

        places = np.arange(p) % n, np.arange(p) % m
        make = lambda jax, at=places: mapped(jax.numpy, jax.vmap, jax.jacrev, jax.numpy.cross, *at)  # noqa: E731
        peers = {
            "C, by hand": c and in_c,
            "jax.jit": in_jax(make, *arguments),
            "PyTorch": by_torch(arguments, *places),
        }
        targets = {"C, by hand": 1.2, "jax.jit": FIFTIETH, "PyTorch": FIFTIETH}
        yield from compare(f"ba, {p} observations: Jacobian", partial(derived, *arguments), peers, targets)
    (value,) = medians(partial(compiled, *arguments))
    yield Row(f"ba, {p} observations: residuals", value)
