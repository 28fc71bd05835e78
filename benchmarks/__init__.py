"""Programs that compare myia-lite with C, JAX and others: `python -m benchmarks [NAME ...]` prints a table of ratios.

One file for each program: it decorates a function with `@benchmark` that yields rows.  Contenders run alternately in
one process, the median counts, and before anything is timed their results are checked to be equal.  Peers that are not
installed are named so in the table.
"""
