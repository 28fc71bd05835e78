"""For tests and doctests alike: programs are compiled, not found on disk."""

import os
from importlib.util import find_spec

os.environ["MYIA_CACHE"] = "0"  # the cache has tests of its own, which switch it on

collect_ignore_glob = [] if find_spec("tvm") else ["myia_lite/backends/tvm/*"]  # an extra; TVM's absence has tests
