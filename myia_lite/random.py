"""Random numbers by counting: functions of a key, without state, and the same bits on every back end.

Element i is a hash of the key and i (Threefry-2x32, 20 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC 2011), so the numbers do not depend on the order in which they are computed, and a derivative
sees constants.  All of it is plain NumPy code, which compiles and runs as it stands.  A key is an int64 array of two
words of 32 bits; no key may be used for two things: `split` makes keys of one.

>>> from myia_lite import myia, random
>>> @myia
... def walk(key, n):
...     return np.sum(random.normal(key, (n,)))
>>> bool(walk(random.key(0), 100) == walk(random.key(0), 100))
True
"""

from __future__ import annotations

import math

import numpy as np

WORD = 0xFFFFFFFF


def key(seed: int):
    """The key of a seed, an int of up to 63 bits.

    >>> key(7)
    array([0, 7])
    """
    return np.array([seed >> 32 & WORD, seed & WORD])


def _mixed(a, b, rotations):
    """Four rounds on pairs of words."""
    for r in rotations:
        a = a + b & WORD
        b = (b << r | b >> 32 - r) & WORD ^ a
    return a, b


def threefry(k0, k1, a, b):
    """The hash of pairs of words (a, b), ints or int64 arrays, under the key (k0, k1): another pair of words.

    >>> [f"{w:x}" for w in threefry(0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3)]
    ['c4923a9c', '483df7a0']
    """
    k2 = k0 ^ k1 ^ 0x1BD11BDA
    even, odd = (13, 15, 26, 6), (17, 29, 16, 24)
    a, b = a + k0 & WORD, b + k1 & WORD
    a, b = _mixed(a, b, even)
    a, b = a + k1 & WORD, b + k2 + 1 & WORD
    a, b = _mixed(a, b, odd)
    a, b = a + k2 & WORD, b + k0 + 2 & WORD
    a, b = _mixed(a, b, even)
    a, b = a + k0 & WORD, b + k1 + 3 & WORD
    a, b = _mixed(a, b, odd)
    a, b = a + k1 & WORD, b + k2 + 4 & WORD
    a, b = _mixed(a, b, even)
    return a + k2 & WORD, b + k0 + 5 & WORD


def _words(key, n):
    count = np.arange(n)
    return threefry(key[0], key[1], count >> 32, count & WORD)


def _size(shape):
    n = 1
    for d in shape:
        n = n * d
    return n


def split(key, n):
    """n keys from one, as an int64 array of shape (n, 2).

    >>> split(key(0), 2).shape
    (2, 2)
    """
    a, b = _words(key, n)
    return np.stack((a, b), axis=1)


def uniform(key, shape):
    """float64 numbers from [0, 1) in an array of that shape (a tuple): multiples of 2**-53, the same everywhere.

    >>> u = uniform(key(1), (1000,))
    >>> bool(u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.03)
    True
    """
    a, b = _words(key, _size(shape))
    return (((a << 21) + (b >> 11)) * 2.0**-53).reshape(shape)


def normal(key, shape):
    """float64 numbers of the standard normal distribution in an array of that shape (a tuple).

    They are made of uniform ones by Box's and Muller's formula, and so equal up to the rounding of log and cos.

    >>> x = normal(key(2), (1000,))
    >>> bool(abs(x.mean()) < 0.1 and abs(x.std() - 1) < 0.1)
    True
    """
    keys = split(key, 2)
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(keys[0], shape)))
    return radius * np.cos(2.0 * math.pi * uniform(keys[1], shape))


def integers(key, low, high, shape):
    """int64 numbers from low up to high, which is not included, in an array of that shape (a tuple).

    high - low is at most 2**32; a number's probability is off by at most one in 2**32.

    >>> n = integers(key(3), 0, 6, (1000,))
    >>> int(n.min()), int(n.max())
    (0, 5)
    """
    a, _ = _words(key, _size(shape))
    return (low + (a * (high - low) >> 32)).reshape(shape)


def permutation(key, n):
    """The numbers from 0 to n - 1 in random order.

    >>> sorted(permutation(key(4), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    a, b = _words(key, n)
    return np.argsort((a << 21) + (b >> 11))


def bernoulli(key, p, shape):
    """Bools that are true with probability p, in an array of that shape (a tuple).

    >>> bool(abs(bernoulli(key(5), 0.25, (1000,)).mean() - 0.25) < 0.05)
    True
    """
    return uniform(key, shape) < p


__all__ = ["bernoulli", "integers", "key", "normal", "permutation", "split", "threefry", "uniform"]
