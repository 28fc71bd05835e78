"""GradBench's `ht`: hand tracking, a skeleton of 22 bones that moves some 500 vertices; Jacobians by forward mode."""

import math
from functools import partial

import numpy as np

from myia_lite import jacfwd, jvp, myia

from .harness import ARRAY, FIFTIETH, INTEGERS, LONG, benchmark, by_hand, check_direction, check_equal, compare, peer
from .peers import in_jax

BONES, VERTICES, SIZES = 22, 500, (100, 800)


def rotation(tx, ty, tz):
    """Rz·Ry·Rx as a 4×4 matrix."""
    sx, cx, sy, cy, sz, cz = math.sin(tx), math.cos(tx), math.sin(ty), math.cos(ty), math.sin(tz), math.cos(tz)
    return np.array(
        [
            [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz, 0.0],
            [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz, 0.0],
            [-sy, sx * cy, cx * cy, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def about(r):
    """The rotation by |r| about r (Rodrigues), 3×3."""
    square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    if square == 0.0:
        return np.eye(3)
    angle = math.sqrt(square)
    x, y, z = r[0] / angle, r[1] / angle, r[2] / angle
    s, c = math.sin(angle), math.cos(angle)
    d = 1 - c
    return np.array(
        [
            [x * x * d + c, x * y * d - z * s, x * z * d + y * s],
            [x * y * d + z * s, y * y * d + c, y * z * d - x * s],
            [x * z * d - y * s, y * z * d + x * s, z * z * d + c],
        ]
    )


def vertices(theta, hand):
    """Where the vertices are when the hand is posed by theta."""
    parents, base_relatives, inverse_base_absolutes, base_positions, weights, mirrored = hand
    absolutes = np.zeros((len(parents), 4, 4))
    for b in range(len(parents)):
        relative = base_relatives[b]
        if 2 <= b < 22:
            finger, joint = (b - 2) // 4, (b - 2) % 4
            if joint == 0:
                relative = relative @ rotation(theta[6 + 4 * finger], 0.0, theta[7 + 4 * finger])
            elif joint < 3:
                relative = relative @ rotation(theta[7 + 4 * finger + joint], 0.0, 0.0)
        absolutes[b] = relative if parents[b] < 0 else absolutes[parents[b]] @ relative
    out = np.zeros((len(base_positions), 3))
    for b in range(len(parents)):
        moved = base_positions @ (absolutes[b] @ inverse_base_absolutes[b]).T
        out += weights[:, b, None] * moved[:, 0:3]
    if mirrored:
        out = out * np.array([-1.0, 1.0, 1.0])
    return out @ about(theta[0:3]).T + theta[3:6]


def errors(theta, hand, correspondences, points):
    """Points less the vertices that they correspond to."""
    return points - vertices(theta, hand)[correspondences]


def places(us, v, corner):
    """Places on triangles, whose corners are vertices by number."""
    u, w = us[:, 0:1], us[:, 1:2]
    return u * v[corner[:, 0]] + w * v[corner[:, 1]] + (1 - u - w) * v[corner[:, 2]]


def errors_on_triangles(theta, us, hand, triangles, correspondences, points):
    """Points less the places on triangles that they correspond to."""
    return points - places(us, vertices(theta, hand), triangles[correspondences])


def jacobian(theta, hand, correspondences, points):
    """3N rows of 26."""
    return jacfwd(errors)(theta, hand, correspondences, points).reshape(-1, len(theta))


def jacobian_on_triangles(theta, us, hand, triangles, correspondences, points):
    """3N rows of 2, for the point's own place on its triangle, and 26."""
    by_theta = jacfwd(errors_on_triangles)(theta, us, hand, triangles, correspondences, points)
    v, corner = vertices(theta, hand), triangles[correspondences]
    own = np.zeros((len(us), 3, 2))
    for k in range(2):
        along = np.zeros(us.shape)
        along[:, k] = 1.0
        own[:, :, k] = -jvp(lambda u: places(u, v, corner), (us,), (along,))[1]
    return np.concatenate([own, by_theta], axis=2).reshape(-1, 2 + len(theta))


def inputs(n):
    """A random skeleton."""
    rng = np.random.default_rng(0)
    parents = np.array([-1, 0, *(0 if b % 4 == 2 else b - 1 for b in range(2, BONES))])
    relatives = np.tile(np.eye(4), (BONES, 1, 1))
    relatives[:, :3, :] += 0.2 * rng.standard_normal((BONES, 3, 4))
    absolutes = np.zeros((BONES, 4, 4))
    for b, parent in enumerate(parents):
        absolutes[b] = relatives[b] if parent < 0 else absolutes[parent] @ relatives[b]
    positions = np.concatenate([rng.standard_normal((VERTICES, 3)), np.ones((VERTICES, 1))], axis=1)
    weights = rng.random((VERTICES, BONES)) ** 8
    weights /= weights.sum(axis=1, keepdims=True)
    hand = parents, relatives, np.linalg.inv(absolutes), positions, weights, False
    triangles = rng.integers(0, VERTICES, (1000, 3))
    theta, us, points = 0.3 * rng.standard_normal(26), rng.random((n, 2)), rng.standard_normal((n, 3))
    return theta, us, hand, triangles, rng.integers(0, VERTICES, n), points


def for_tools(xp, jacfwd, theta, hand, correspondences, points):
    """The Jacobian for tools that trace, and do without assignment."""
    parents, base_relatives, inverse_base_absolutes, base_positions, weights = hand

    def matrix(rows):
        return xp.stack([xp.stack([v + 0.0 * theta[0] for v in row]) for row in rows])

    def turned(x, z):
        sx, cx, sz, cz = xp.sin(x), xp.cos(x), xp.sin(z), xp.cos(z)
        return matrix([[cz, -cx * sz, sx * sz, 0], [sz, cx * cz, -sx * cz, 0], [0, sx, cx, 0], [0, 0, 0, 1]])

    def errors(theta):
        absolutes, out = [], 0.0
        for b in range(BONES):
            relative, finger, joint = base_relatives[b], (b - 2) // 4, (b - 2) % 4
            if b >= 2 and joint == 0:
                relative = relative @ turned(theta[6 + 4 * finger], theta[7 + 4 * finger])
            elif b >= 2 and joint < 3:
                relative = relative @ turned(theta[7 + 4 * finger + joint], 0.0 * theta[0])
            absolutes.append(relative if parents[b] < 0 else absolutes[parents[b]] @ relative)
            moved = base_positions @ (absolutes[b] @ inverse_base_absolutes[b]).T
            out = out + weights[:, b, None] * moved[:, 0:3]
        r = theta[0:3]
        angle = xp.sqrt(r @ r)
        x, y, z = r / angle
        s, c = xp.sin(angle), xp.cos(angle)
        d = 1 - c
        rotation = matrix(
            [
                [x * x * d + c, x * y * d - z * s, x * z * d + y * s],
                [x * y * d + z * s, y * y * d + c, y * z * d - x * s],
                [x * z * d - y * s, y * z * d + x * s, z * z * d + c],
            ]
        )
        return points - (out @ rotation.T + theta[3:6])[correspondences]

    return jacfwd(errors)(theta).reshape(-1, len(theta))


def by_jax(hand):
    """The Jacobian for JAX; the bones' parents and the choice of mirroring are not traced."""
    parents, _, _, _, _, _ = hand

    def make(jax):
        def jacobian(theta, arrays, correspondences, points):
            return for_tools(jax.numpy, jax.jacfwd, theta, (parents, *arrays), correspondences, points)

        return jacobian

    return make


def by_torch(theta, hand, correspondences, points):
    """The Jacobian by torch.func, or None."""
    torch = peer("torch")
    if torch is None:
        return None
    theta, correspondences, points = map(torch.tensor, (theta, correspondences, points))
    hand = hand[0], *map(torch.tensor, hand[1:5])
    return lambda: for_tools(torch, torch.func.jacfwd, theta, hand, correspondences, points)


@benchmark
def run():
    """Jacobians by size, with and without the places on triangles."""
    value, derived, on_triangles = myia(errors), myia(jacobian), myia(jacobian_on_triangles)
    given = ARRAY, INTEGERS, *[ARRAY] * 4
    c = by_hand("ht", "jacobian", LONG, LONG, LONG, *given, INTEGERS, ARRAY)
    c_on_triangles = by_hand("ht", "jacobian_on_triangles", LONG, LONG, LONG, ARRAY, *given, INTEGERS, INTEGERS, ARRAY)
    for n in SIZES:
        theta, us, hand, triangles, correspondences, points = inputs(n)
        arguments = theta, hand, correspondences, points
        matrix = derived(*arguments)
        check_equal(value(*arguments), errors(*arguments), what="errors and NumPy")
        check_direction(lambda t, rest=arguments[1:]: np.sum(value(t, *rest)), {0: matrix.sum(axis=0)}, (theta,))
        complete = on_triangles(theta, us, *arguments[1:2], triangles, *arguments[2:])
        ahead, behind = (errors_on_triangles(theta, us + s, hand, triangles, *arguments[2:]) for s in (1e-6, -1e-6))
        quotients = (ahead - behind).ravel() / 2e-6
        check_equal(complete[:, :2].sum(axis=1), quotients, rtol=1e-6, what="own slopes and quotients")

        def in_c(theta=theta, hand=hand, at=correspondences):
            out = np.empty((3 * len(at), 26))
            c(BONES, VERTICES, len(at), theta, *hand[:5], at, out)
            return out

        def in_c_on_triangles(theta=theta, us=us, hand=hand, triangles=triangles, at=correspondences):
            out = np.empty((3 * len(at), 28))
            c_on_triangles(BONES, VERTICES, len(at), theta, us, *hand[:5], triangles, at, out)
            return out

        targets = {"C, by hand": 1.2, "jax.jit": FIFTIETH, "PyTorch": FIFTIETH}
        peers = {
            "C, by hand": c and in_c,
            "jax.jit": in_jax(by_jax(hand), theta, hand[1:5], correspondences, points),
            "PyTorch": by_torch(*arguments),
        }
        yield from compare(f"ht, {n} points: Jacobian", partial(derived, *arguments), peers, targets, rounds=7)
        call = partial(on_triangles, theta, us, hand, triangles, correspondences, points)
        peers = {"C, by hand": c_on_triangles and in_c_on_triangles}
        yield from compare(f"ht, {n} points on triangles: Jacobian", call, peers, targets, rounds=7)
