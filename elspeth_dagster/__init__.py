"""Auditable row pipelines on Dagster: every row is followed from reading to landing."""

import os
import sys

__version__ = "0.1.0"

# Arrow reads this once, when it is first imported. Its other allocators keep about 100 MB more of what a
# pipeline has used; a choice that is in the environment already stands.
if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
