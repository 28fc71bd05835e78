"""What to write instead of a function that the subset does not know."""

from __future__ import annotations

import difflib
import math

import numpy as np

from .registry import TABLE

REMEDIES = {
    np.partition: "use np.sort",
    np.argpartition: "use np.argsort",
    np.lexsort: "sort by one key after the other with np.argsort, the last key first",
    np.linalg.solve: "call it outside",
    np.linalg.inv: "call it outside",
    np.vectorize: "write the loop, or use array operations",
    np.append: "use np.concatenate",
    np.random.rand: "draw outside, and pass the array",
    np.random.randn: "draw outside, and pass the array",
    math.fsum: "use sum(…)",
    print: "return the value, and print it outside",
    open: "do it outside",
    input: "do it outside",
    filter: "use a loop with if",
    set: "use a tuple or a list",
}


def suggest(obj) -> str:
    """A remedy for a call of `obj`, which `lookup` does not know."""
    try:
        if obj in REMEDIES:
            return REMEDIES[obj]
    except TypeError:
        pass
    name = getattr(obj, "__name__", "")
    names = sorted({getattr(k, "__name__", "") for k in TABLE})
    near = difflib.get_close_matches(name, names, 1, 0.7)
    return (
        f"use {near[0]}, or call it outside of the compiled function"
        if near
        else "call it outside of the compiled function, or declare its types: foreign(f, args=…, result=…)"
    )
