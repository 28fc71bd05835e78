"""For tests and doctests alike: programs are compiled, not found on disk."""

import os

os.environ["MYIA_CACHE"] = "0"  # the cache has tests of its own, which switch it on
