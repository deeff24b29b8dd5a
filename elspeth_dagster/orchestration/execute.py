"""Runs and resumes pipelines through Dagster from this process."""

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import DagsterRunStatus, ReexecutionOptions, build_reconstructable_job, execute_job

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import RunAliveError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.landscape.processes import Liveness, liveness
from elspeth_dagster.landscape.reads import RunRow
from elspeth_dagster.orchestration.definitions import FOLDER_VARIABLE, build_from
from elspeth_dagster.orchestration.names import RESTART_SOURCE_TAG, RUN_ID_TAG, safe_name
from elspeth_dagster.plugins.compile import Compiled, compile_pipeline


class LaunchError(ElspethError):
    """Dagster could not run the pipeline at all."""


class SettingsGoneError(ElspethError):
    """The settings file of a run is not where it was."""

    def __init__(self, run_id: str, path: str) -> None:
        super().__init__(f"run {run_id}: its settings file {path} is gone; put it back, then resume the run")


@dataclass(frozen=True)
class Launched:
    """What came of one launch.

    Attributes:
        run_id: The landscape run, `None` when Dagster failed before there was one.
        dagster_run_id: The Dagster run.
        problem: Text of the failure, when it failed outside of the landscape.
    """

    run_id: str | None
    dagster_run_id: str
    problem: str | None = None


@lru_cache(maxsize=4)
def pipeline_job(settings_path: str, log_level: str, _launch: str) -> Any:
    """The job of one settings file; what `build_reconstructable_job` calls, in step processes too.

    Dagster calls it several times in one launch, and the settings must be the same each time.
    """
    compiled = compile_pipeline(Path(settings_path))
    definitions = build_from([Path(settings_path)], console=_console(log_level))
    return definitions.resolve_job_def(safe_name(compiled.graph.pipeline))


def _console(level: str) -> dg.LoggerDefinition:
    def console(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("elspeth.console")
        logger.setLevel(level)
        logger.propagate = False
        logger.handlers[:] = [logging.StreamHandler()]
        logger.handlers[0].setFormatter(_Plain())
        return logger

    return dg.LoggerDefinition(console, description="One plain line per message, on standard error.")


class _Plain(logging.Formatter):
    """The message alone, without Dagster's ids."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None)
        message = meta.get("orig_message") if isinstance(meta, dict) else None
        return message or record.getMessage()


def run_pipeline(
    compiled: Compiled,
    location: Location,
    *,
    limit: int | None = None,
    source_path: str | None = None,
    log_level: str = "INFO",
    dagster_run_tags: dict[str, str] | None = None,
    parent: str | None = None,
) -> Launched:
    """Runs a pipeline's Dagster job to its end.

    Args:
        compiled: The pipeline.
        location: The landscape, to find the run in.
        limit: Read at most so many records.
        source_path: Read this file in place of the settings' one.
        log_level: What the console shows.
        dagster_run_tags: Tags of the Dagster run.
        parent: A Dagster run to re-execute from failure.
    """
    path = str(compiled.settings.path)
    os.environ[FOLDER_VARIABLE] = str(compiled.settings.path.parent)
    job = build_reconstructable_job(
        "elspeth_dagster.orchestration.execute",
        "pipeline_job",
        reconstructable_args=(path, log_level, uuid4().hex),  # type: ignore[arg-type] # declared as a tuple of one
    )
    with dg.DagsterInstance.get() as instance:
        result = execute_job(
            job,
            instance=instance,
            run_config=None if parent else _run_config(limit, source_path),
            tags=dagster_run_tags,
            raise_on_error=False,
            reexecution_options=ReexecutionOptions.from_failure(parent, instance) if parent else None,
        )
        problem = None if result.success else _problem(instance, result.run_id)
    with Landscape.open(location) as landscape:
        run_id = reads.run_of_dagster_run(landscape, result.run_id, compiled.graph.pipeline)
    return Launched(run_id, result.run_id, problem)


def _run_config(limit: int | None, source_path: str | None) -> dict[str, Any]:
    chosen = {"limit": limit, "source_path": source_path}
    return {name: value for name, value in chosen.items() if value is not None}


def _problem(instance: dg.DagsterInstance, dagster_run_id: str) -> str | None:
    """What Dagster's event log says of the first failure."""
    for entry in instance.all_logs(dagster_run_id):
        event = entry.dagster_event
        if event is not None and event.is_step_failure:
            failure = event.step_failure_data
            if failure.user_failure_data and failure.user_failure_data.description:
                return failure.user_failure_data.description
            if failure.error:
                return _cause(failure.error)
    for entry in instance.all_logs(dagster_run_id):
        if entry.dagster_event is not None and entry.dagster_event.is_failure:
            return entry.message
    return None


def _cause(error: Any) -> str:
    """The text of what an error goes back to; Dagster's own wrapping says only which op it was."""
    texts = [str(error.message).strip()]
    while error.cause is not None:
        error = error.cause
        texts.append(str(error.message).strip())
    return "\n".join(dict.fromkeys(texts))


def resume_run(
    run: RunRow, location: Location, *, restart_source: bool = False, log_level: str = "INFO"
) -> Launched:
    """Continues a run where it stopped.

    Where Dagster knows the last attempt, that is re-executed from failure, and marked failed before if
    Dagster still takes it for running; otherwise a new Dagster run is tagged with the run's id.

    Raises:
        RunAliveError: A process of the last attempt is alive.
        SettingsGoneError: The settings file is not where it was.
    """
    path = Path(run.launch["settings_path"])
    if not path.is_file():
        raise SettingsGoneError(run.run_id, str(path))
    compiled = compile_pipeline(path)
    with Landscape.open(location) as landscape:
        last = reads.attempts(landscape, run.run_id)[-1]
        alive = [p for p in liveness(landscape, run.run_id) if p.liveness is Liveness.ALIVE]
    with dg.DagsterInstance.get() as instance:
        parent = instance.get_run_by_id(last.dagster_run_id)
        if run.status is RunStatus.RUNNING and alive and not (parent and parent.is_finished):
            facts = [str(state) for state in alive]
            raise RunAliveError(run.run_id, last.number, last.dagster_run_id, facts)
        if parent is not None and not parent.is_finished:
            instance.report_run_failed(parent, "its process is gone; the run is being resumed")
            parent = instance.get_run_by_id(last.dagster_run_id)
    again = parent is not None and parent.status in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    tags = {RUN_ID_TAG: run.run_id} | ({RESTART_SOURCE_TAG: "true"} if restart_source else {})
    if again and parent is not None:
        own = ("dagster/", RESTART_SOURCE_TAG)
        kept = {key: value for key, value in parent.tags.items() if not key.startswith(own)}
        return run_pipeline(
            compiled, location, log_level=log_level, dagster_run_tags=kept | tags, parent=parent.run_id
        )
    return run_pipeline(compiled, location, log_level=log_level, dagster_run_tags=tags)
