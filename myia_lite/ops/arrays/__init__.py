"""Array primitives: shape, reading, writing, reductions, products.

Sizes: an attribute `shape` holds a None for each dim that only the running program knows; its value is then an i64
argument at the end of the argument list, in order (`*dyn`).  Indexes are non-negative and in range: inference emits the
normalisation and the `guard`.  Primitives marked `in_place` consume argument 0 and write into it where nobody else
holds it.

Reverse rules take sizes from types, and from `dim` where only the running program knows them: an array itself is named
only where its elements matter, since what a rule names is kept for the reverse pass.  A rule that both reads and writes
a cotangent reads first.
"""

from .indexing import (
    add_elem,
    concat,
    elem,
    gather,
    row,
    scatter_add,
    scatter_set,
    set_elem,
    set_row,
    slice,
    slice_add,
    slice_set,
)
from .products import matmul
from .reductions import (
    argmax,
    argmin,
    argsort,
    cumsum,
    recurrence,
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_min,
    reduce_prod,
)
from .shapes import (
    batched_elementwise,
    broadcast,
    dim,
    dims,
    filled,
    iota,
    reduce_sum,
    repeated,
    reshape,
    size,
    transpose,
)
