"""Loaded once by the fork server of the multiprocess executor, so that every step starts warm."""

import os
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet  # noqa: F401 - loaded for the steps

from elspeth_dagster.orchestration import definitions

if os.environ.get(definitions.FOLDER_VARIABLE):
    definitions.build_definitions(Path(os.environ[definitions.FOLDER_VARIABLE]))
