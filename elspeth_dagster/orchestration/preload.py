"""Loaded once by the servers that steps and runs are forked from, so that every one of them starts warm.

All of it is loaded by any step at its first use, much of it by Dagster's storages and by Arrow.
"""

import os
import zoneinfo  # noqa: F401 - see above, as all below
from pathlib import Path

import alembic.command
import alembic.script  # noqa: F401
import dagster._core.storage.event_log
import dagster._core.storage.runs
import dagster._core.storage.schedules  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow.compute
import pyarrow.parquet  # noqa: F401
import structlog  # noqa: F401
import upath.implementations.local  # noqa: F401
import watchdog.observers  # noqa: F401

from elspeth_dagster.orchestration import definitions
from elspeth_dagster.plugins.registry import load_built_in

load_built_in()
if os.environ.get(definitions.FOLDER_VARIABLE):
    definitions.build_definitions(Path(os.environ[definitions.FOLDER_VARIABLE]))
