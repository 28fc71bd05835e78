"""For tests and doctests alike: programs are compiled, not found on disk."""

import os
from importlib.util import find_spec

os.environ["MYIA_CACHE"] = "0"  # the cache has tests of its own, which switch it on

TVM_ALONE = ["myia_lite/backends/tvm/*", "tests/simulated_device.py"]
collect_ignore_glob = [] if find_spec("tvm") else TVM_ALONE  # an extra; its absence has tests
