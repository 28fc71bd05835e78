"""GradBench's `ba`: bundle adjustment, two residuals for each observation, and their sparse Jacobian."""

import math
from functools import partial

import numpy as np

from myia_lite import jacrev, myia

from .harness import Row, benchmark, check_equal, medians, peer

SIZES = ((21, 500, 1000), (49, 7776, 31_843))  # cameras, points, observations


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


def in_jax(jax):
    """The Jacobian for JAX: one observation's, mapped over all."""
    jnp = jax.numpy

    def residual(camera, point, weight, feature):
        r, x = camera[:3], point - camera[3:6]
        angle = jnp.sqrt(r @ r)
        w = r / angle
        p = x * jnp.cos(angle) + jnp.cross(w, x) * jnp.sin(angle) + w * (w @ x) * (1 - jnp.cos(angle))
        uv = p[:2] / p[2]
        square = uv @ uv
        scale = camera[6] * (1.0 + camera[9] * square + camera[10] * square * square)
        return weight * (scale * uv + camera[7:9] - feature)

    each = jax.vmap(jax.jacrev(residual, argnums=(0, 1, 2)))

    def jacobian(cameras, points, weights, features):
        at = jnp.arange(len(weights))
        by_camera, by_point, by_weight = each(cameras[at % len(cameras)], points[at % len(points)], weights, features)
        return jnp.concatenate([by_camera, by_point, by_weight[:, :, None]], axis=2), -2.0 * weights

    return jax.jit(jacobian)


@benchmark
def run():
    """Residuals and Jacobians by size."""
    compiled, derived, jax = myia(objective), myia(jacobian), peer("jax")
    for size in SIZES:
        arguments = inputs(*size)
        values, by_weights = derived(*arguments)
        step = 1e-6 * np.ones(len(arguments[2]))
        ahead, behind = (compiled(*arguments[:2], arguments[2] + s, arguments[3])[0] for s in (step, -step))
        check_equal(values[:, :, 14], (ahead - behind) / 2e-6, rtol=1e-6, what="slopes and difference quotients")
        ours, theirs, call = 0.0, None, partial(derived, *arguments)
        if jax is not None:
            jax.config.update("jax_enable_x64", True)
            jitted, there = in_jax(jax), jax.device_put(arguments)
            check_equal((values, by_weights), jitted(*there), what="Jacobian and JAX")
            ours, theirs = medians(call, lambda jitted=jitted, there=there: jax.block_until_ready(jitted(*there)))
        else:
            (ours,) = medians(call)
        yield Row(f"ba, {size[2]} observations: Jacobian", ours, "jax.jit", theirs, target=1.0)
    (value,) = medians(partial(compiled, *arguments))
    yield Row(f"ba, {size[2]} observations: residuals", value)
