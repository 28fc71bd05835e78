"""What all tests share: the verifier runs after each phase of the compiler, and Hypothesis draws the same examples on
each run (HYPOTHESIS_PROFILE=search draws new ones, and more of them).
"""

import os

from hypothesis import HealthCheck, settings

os.environ["MYIA_VERIFY"] = "1"  # before the package is imported

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("steady", derandomize=True, max_examples=100, **_COMMON)
settings.register_profile("search", max_examples=2000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
