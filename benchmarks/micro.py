"""The six micro-benchmarks of efficient forward mode by rewriting (Shaikhha et al., ICFP 2019), as plain Python.

Each derivative is the textbook one of forward mode: one pass for each direction, `jvp` in a loop over one-hot tangents.
What makes that one pass in all is left to the optimiser.
"""

import numpy as np

from myia_lite import jvp


def add(x, y):
    """Elementwise sum."""
    res = np.zeros(len(x))
    for i in range(len(x)):
        res[i] = x[i] + y[i]
    return res


def add_jacobian(x, y):
    """The N×N Jacobian in x, column by column of the transpose."""
    n = len(x)
    out = np.zeros((n, n))
    for i in range(n):
        e = np.zeros(n)
        e[i] = 1.0
        out[i] = jvp(lambda x: add(x, y), (x,), (e,))[1]
    return out


def dot(x, y):
    """Scalar product."""
    s = 0.0
    for i in range(len(x)):
        s += x[i] * y[i]
    return s


def dot_gradient(x, y):
    """The gradient in x."""
    n = len(x)
    out = np.zeros(n)
    for i in range(n):
        e = np.zeros(n)
        e[i] = 1.0
        out[i] = jvp(lambda x: dot(x, y), (x,), (e,))[1]
    return out


def largest(v):
    """The largest element, by its place."""
    best = 0
    for i in range(1, len(v)):
        if v[i] > v[best]:
            best = i
    return v[best]


def max_gradient(v):
    """The gradient of the largest element."""
    n = len(v)
    out = np.zeros(n)
    for i in range(n):
        e = np.zeros(n)
        e[i] = 1.0
        out[i] = jvp(largest, (v,), (e,))[1]
    return out


def mults(x, y):
    """x[i] y²."""
    res = np.zeros(len(x))
    for i in range(len(x)):
        res[i] = x[i] * y * y
    return res


def mults_derivative(x, y):
    """The Jacobian's one column in y."""
    return jvp(lambda y: mults(x, y), (y,), (1.0,))[1]


def nmf(a, v, u):
    """Σᵢⱼ log(vᵢuⱼ) + Aᵢⱼ / (vᵢuⱼ)."""
    s = 0.0
    for i in range(len(v)):
        for j in range(len(u)):
            p = v[i] * u[j]
            s += np.log(p) + a[i, j] / p
    return s


def nmf_gradient(a, v, u):
    """The gradient in u."""
    n = len(u)
    out = np.zeros(n)
    for k in range(n):
        e = np.zeros(n)
        e[k] = 1.0
        out[k] = jvp(lambda u: nmf(a, v, u), (u,), (e,))[1]
    return out


def project(cam, points):
    """Each point, through a camera of 11 parameters: rotation, centre, focal length, principal point, distortion."""
    m = len(points)
    out = np.zeros((m, 2))
    for i in range(m):
        x = points[i, 0] - cam[3]
        y = points[i, 1] - cam[4]
        z = points[i, 2] - cam[5]
        s = cam[0] * cam[0] + cam[1] * cam[1] + cam[2] * cam[2]
        theta = np.sqrt(s)
        c, d = np.cos(theta), np.sin(theta)
        wx, wy, wz = cam[0] / theta, cam[1] / theta, cam[2] / theta
        t = (wx * x + wy * y + wz * z) * (1.0 - c)
        px = x * c + (wy * z - wz * y) * d + wx * t
        py = y * c + (wz * x - wx * z) * d + wy * t
        pz = z * c + (wx * y - wy * x) * d + wz * t
        a, b = px / pz, py / pz
        r = a * a + b * b
        scale = cam[6] * (1.0 + cam[9] * r + cam[10] * r * r)
        out[i, 0] = a * scale + cam[7]
        out[i, 1] = b * scale + cam[8]
    return out


def ba_jacobian(cam, points):
    """The Jacobian in the camera's 11 parameters."""
    out = np.zeros((11, len(points), 2))
    for k in range(11):
        e = np.zeros(11)
        e[k] = 1.0
        out[k] = jvp(lambda cam: project(cam, points), (cam,), (e,))[1]
    return out


def inputs(name, size, seed=0):
    """Arguments of a benchmark at a size."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.uniform(0.5, 1.5, shape)  # noqa: E731
    if name in ("add", "dot"):
        return draw(size), draw(size)
    if name == "max":
        return (draw(size),)
    if name == "mults":
        return draw(size), 1.25
    if name == "nmf":
        return draw(100, size), draw(100), draw(size)
    return draw(11) * 0.3, draw((size - 11) // 3, 3) + np.array([0.0, 0.0, 4.0])


DERIVATIVES = {
    "add": (add_jacobian, (50, 400, 1600, 6400)),
    "dot": (dot_gradient, (100, 800, 3200, 12800)),
    "max": (max_gradient, (800, 3200, 12800, 51200)),
    "mults": (mults_derivative, (200, 3200, 25600)),
    "ba": (ba_jacobian, (29, 311, 2411)),
    "nmf": (nmf_gradient, (100, 400, 3200)),
}
