"""Dagster's way in: every settings file under `pipelines/` (or `ELSPETH_PIPELINES`) as assets and a job."""

from elspeth_dagster.orchestration.definitions import build_definitions

defs = build_definitions("pipelines")
