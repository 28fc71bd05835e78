"""Samples of each primitive: arguments and attributes, away from kinks where the primitive has a derivative rule."""

import numpy as np

from myia_lite.ops.foreign import Declared, External


def sample(*args, **attrs):
    """Arguments (Python numbers as f64, i64, bool) and attributes."""
    return [a if hasattr(a, "dtype") else np.array(a)[()] for a in args], attrs


def unary(*points, **attrs):
    return [
        *(sample(p, **attrs) for p in points),
        sample(np.array(points), **attrs),
        sample(np.array([points] * 2), **attrs),
    ]


def binary(*pairs):
    a, b = (np.array(x) for x in zip(*pairs, strict=True))
    return [
        *(sample(x, y) for x, y in pairs),
        sample(a, b),
        sample(a[0], b),
        sample(a, b[0]),
        sample(np.empty(0), np.empty(0)),
    ]


def whole(*pairs):
    """Integers, in both widths."""
    a, b = (np.array(x) for x in zip(*pairs, strict=True))
    return [sample(a, b), sample(a.astype("i4"), b.astype("i4")), *(sample(x, y) for x, y in pairs)]


ANY = unary(-1.3, 0.4, 2.2)
POSITIVE = unary(0.3, 1.0, 4.5)
INSIDE = unary(-0.8, 0.1, 0.6)
BOTH = binary((1.3, 0.7), (-0.4, 2.1), (2.5, -1.2), (-1.7, -0.6))
INTS = whole((7, 3), (-7, 3), (7, -3), (0, 5))
BOOLS = [sample(True, False), sample(np.array([True, False, True]), np.array([True, True, False]))]
TESTS = [*BOTH, *INTS]
RNG = np.random.default_rng(0)
X1, X2, X3 = RNG.normal(size=5), RNG.normal(size=(3, 4)), RNG.normal(size=(2, 3, 4))
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])  # no ties within the smallest change of differences
I = np.array

SCALED = External(
    lambda x, k, y: (x * k, y[0] > 0.0), "scaled", (Declared("f64", ("n",)), Declared("i64"), Declared("f64", (None,))),
    (Declared("f64", ("n",)), Declared("bool")), False,
)  # fmt: skip

SAMPLES = {
    "foreign": [sample(np.array([1.0, 2.0]), 3, np.array([0.5]), function=SCALED)],
    "add": BOTH + INTS,
    "sub": BOTH + INTS,
    "mul": BOTH + INTS,
    "div": BOTH,
    "neg": [*ANY, sample(3), sample(I([1, -2]))],
    "add_overflows": [sample(2**62, 2**62), sample(1, 2)],
    "sub_overflows": [sample(-(2**62), 2**62 + 1), sample(1, 2)],
    "mul_overflows": [sample(2**62, 2), sample(-(2**62), 2)],
    "pow_overflows": [sample(2, 63), sample(-2, 63), sample(1, 10**9), sample(-1, 10**9)],
    "floordiv": BOTH + INTS,
    "mod": BOTH + INTS,
    "fmod": BOTH,
    "ipow": whole((7, 3), (-7, 2), (0, 0), (2, 5)),
    "powi": [s for n in (-3, -1, 0, 1, 2, 3, 7) for s in unary(-1.3, 0.4, 2.2, n=n)],
    "pow": binary((1.3, 0.7), (0.4, -2.1), (2.5, 3.0), (0.9, 1.0)),
    "atan2": BOTH,
    "hypot": BOTH,
    "copysign": BOTH,
    "maximum": BOTH + INTS,
    "minimum": BOTH + INTS,
    "fmax": BOTH,
    "fmin": BOTH,
    "abs": [*ANY, sample(-3)],
    "sign": [*ANY, sample(-3)],
    "sqrt": POSITIVE,
    "cbrt": unary(-1.3, 0.4, 2.2),
    "log": POSITIVE,
    "log2": POSITIVE,
    "log10": POSITIVE,
    "log1p": unary(-0.5, 0.3, 4.0),
    "asin": INSIDE,
    "acos": INSIDE,
    "atanh": INSIDE,
    "acosh": unary(1.2, 2.0, 5.0),
    "lgamma": unary(-1.4, 0.6, 3.2),
    "gamma": unary(-1.4, 0.6, 3.2),
    "polygamma": [s for n in (0, 1, 2) for s in unary(-1.4, 0.6, 3.2, n=n)],
    **dict.fromkeys("exp exp2 expm1 sin cos tan atan sinh cosh tanh asinh erf erfc floor ceil trunc rint".split(), ANY),
    **dict.fromkeys("eq ne lt le gt ge".split(), TESTS),
    **{f: unary(-1.0, np.nan, np.inf) for f in "isnan isinf isfinite signbit".split()},
    "logical_not": [sample(True), sample(I([True, False]))],
    "bit_and": INTS + BOOLS,
    "bit_or": INTS + BOOLS,
    "bit_xor": INTS + BOOLS,
    "bit_not": [sample(5), sample(I([1, -2]))],
    "shift_left": whole((7, 3), (-7, 2)),
    "shift_right": whole((7, 3), (-7, 2)),
    "select": [
        sample(True, 1.5, 2.5),
        sample(X1 > 0, X1, 2.0),
        sample(X1 > 0, 1.0, X1),
        sample(True, X2, X2 + 1),
        sample(False, 1, 2),
    ],
    "cast": [*(sample(x, dtype=t) for x in (2.7, X2, 3, I([1, 0])) for t in ("f32", "f64", "i32", "i64", "bool"))],
    # making and shape
    "broadcast": [
        sample(1.5, shape=(3,), axes=()),
        sample(X1, shape=(2, 5), axes=(1,)),
        sample(X1, shape=(5, 2), axes=(0,)),
        sample(X2, shape=(3, 4), axes=(0, 1)),
        sample(X2, 2, shape=(3, None, 4), axes=(0, 2)),
        sample(2.5, 0, shape=(None, 2), axes=()),
    ],
    "iota": [sample(shape=(4,)), sample(3, shape=(None,)), sample(0, shape=(None,))],
    "reshape": [
        sample(X2, shape=(12,)),
        sample(X2, 2, shape=(None, 6)),
        sample(X2.T, shape=(12,)),
        sample(X1[:1], shape=()),
        sample(2.5, shape=(1, 1)),
    ],
    "transpose": [sample(X2, perm=(1, 0)), sample(X3, perm=(1, 2, 0)), sample(X1, perm=(0,))],
    "concat": [sample(X1, X1[:2], axis=0), sample(X2, X2[:, :1], X2[:, :0], axis=1), sample(X3, X3[:, :1], axis=1)],
    "dim": [sample(X2, axis=1)],
    # reading and writing
    "slice": [
        sample(X1, 1, steps=(1,), shape=(3,)),
        sample(X1, 1, 2, steps=(2,), shape=(None,)),
        sample(X1, 4, steps=(-1,), shape=(5,)),
        sample(X1[:0], -1, steps=(-1,), shape=(0,)),
        sample(X2, 2, 0, steps=(-2, 3), shape=(2, 2)),
    ],
    "slice_set": [
        sample(X1, X1[:3] + 1, 1, steps=(1,)),
        sample(X1, X1[:5] * 2, 4, steps=(-1,)),
        sample(X2, X2[:2, :2] + 1, 2, 0, steps=(-2, 3)),
        sample(X1, X1[:0], 5, steps=(1,)),
    ],
    "slice_add": [sample(X1, X1[:3] + 1, 1, steps=(1,)), sample(X2, X2[:2, :2] + 1, 2, 0, steps=(-2, 3))],
    "elem": [sample(X1, 3), sample(X2, 2, 1), sample(I([4, 5]), 1)],
    "set_elem": [sample(X1, 2.5, 3), sample(X2, 2.5, 2, 1), sample(I([4, 5]), 7, 1)],
    "add_elem": [sample(X1, 2.5, 3), sample(X2, 2.5, 2, 1)],
    "gather": [
        sample(X1, I([3, 0, 3])),
        sample(X2, I([2, 1])),
        sample(X2, I([[2, 1]]), I([[3, 3]])),
        sample(X1, I([], dtype=int)),
    ],
    "scatter_set": [
        sample(X1, I([1.0, 2.0]), I([3, 0])),
        sample(X1, I([1.0, 2.0, 3.0, 4.0]), I([3, 0, 3, 3])),
        sample(X2, X2[:3] + 1, I([2, 1, 2])),
        sample(X2, X2[:2, :2], I([[2, 1], [2, 2]]), I([[3, 3], [3, 0]])),
        sample(X1, X1[:0], I([], dtype=int)),
    ],
    "scatter_add": [sample(X1, I([1.0, 2.0, 3.0]), I([3, 0, 3])), sample(X2, X2[:2] + 1, I([2, 2]))],
    # reductions and products
    **{
        f: [
            sample(X1, axes=(0,)),
            sample(X2, axes=(0,)),
            sample(X3, axes=(0, 2)),
            sample(X3, axes=(0, 1, 2)),
            sample(I([3, 4]), axes=(0,)),
        ]
        for f in ("reduce_sum", "reduce_max", "reduce_min")
    },
    "reduce_prod": [
        sample(X1, axes=(0,)),
        sample(X2, axes=(1,)),
        sample(X3, axes=(0, 2)),
        sample(X3, axes=(0, 1, 2)),
        sample(I([0.0, 2.0, 0.0]), axes=(0,)),
        sample(I([[0.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), axes=(1,)),
        sample(X1[:1], axes=(0,)),
        sample(X2[:, :0], axes=(1,)),
        sample(X2[:0], axes=(1,)),
        sample(I([3, 4]), axes=(0,)),
    ],
    "reduce_any": [sample(X1 > 0, axes=(0,)), sample(X2 > 0, axes=(1,))],
    "reduce_all": [sample(X1 > 0, axes=(0,)), sample(X2 > 0, axes=(1,))],
    "argmax": [sample(X1, axis=0), sample(X2, axis=0), sample(I([1, 3, 3]), axis=0)],
    "argmin": [sample(X1, axis=0), sample(X2, axis=1)],
    "argsort": [
        *(sample(I(x)) for x in ([2, 1, 2, 0], [True, False, True], [0.0, np.nan, -0.0, -np.inf, np.inf, -1.0])),
        *(sample(x) for x in (X1, X1.astype("f4"), X3, X1[:0], X2[:0], np.floor(4 * RNG.normal(size=(2, 70))))),
        sample(RNG.integers(-9, 9, 50).astype("i4")),
    ],
    "cumsum": [
        sample(X1, axis=0, reverse=False),
        sample(X2, axis=1, reverse=True),
        sample(I([1, 2]), axis=0, reverse=False),
    ],
    "recurrence": [
        *(
            sample(a, b, reverse=r)
            for r in (False, True)
            for a, b in ((X1, X1 + 1), (X2, X2 + 1), (X1[:1], X1[:1]), (X1[:0], X1[:0]))
        ),
    ],
    "matmul": [
        sample(
            np.ascontiguousarray(a.swapaxes(-1, -2)) if ta else a,
            np.ascontiguousarray(b.swapaxes(-1, -2)) if tb else b,
            ta=ta,
            tb=tb,
        )
        for ta in (False, True)
        for tb in (False, True)
        for a, b in ((X2, RNG.normal(size=(4, 2))), (X3, RNG.normal(size=(2, 4, 5))))
    ],
    # data
    "tuple": [sample(1.5, X1)],
    "get": [],
    "make": [],
    "stack_new": [],
    "stack_push": [],
    "stack_pop": [],
    "stack_len": [],
}
