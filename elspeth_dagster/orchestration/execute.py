"""Runs and resumes pipelines through Dagster from this process."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import (
    DagsterExecutionInterruptedError,
    DagsterRunStatus,
    ReexecutionOptions,
    build_reconstructable_job,
    execute_job,
)

from elspeth_dagster import __version__
from elspeth_dagster.engine.checks import Acceptance
from elspeth_dagster.engine.finish import held_back_before
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import CatalogueLostError, RunAbandonedError
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import RunStatus
from elspeth_dagster.landscape.processes import require_dead
from elspeth_dagster.landscape.reads import AttemptRow, RunRow
from elspeth_dagster.orchestration import partitions
from elspeth_dagster.orchestration.assets import run_config, run_config_again
from elspeth_dagster.orchestration.attempt import finished
from elspeth_dagster.orchestration.definitions import CONSOLE_LOGGER, FOLDER_VARIABLE, build_from
from elspeth_dagster.orchestration.home import dagster_instance
from elspeth_dagster.orchestration.names import (
    ACCEPT_CHECKS_TAG,
    ACCEPTED_AT_TAG,
    ACCEPTED_BY_TAG,
    ACCEPTING_TAGS,
    FORCE_TAG,
    PARTITION_TAG,
    RESTART_SOURCE_TAG,
    RESUME_TAG,
    RUN_ID_TAG,
    graph_name,
    safe_name,
)
from elspeth_dagster.plugins.compile import Compiled, compile_pipeline


class LaunchError(ElspethError):
    """Dagster could not run the pipeline at all."""


class SettingsGoneError(ElspethError):
    """The settings file of a run is not where it was."""

    def __init__(self, run_id: str, path: str) -> None:
        super().__init__(f"run {run_id}: its settings file {path} is gone; put it back, then resume the run")


class NotHeldBackError(ElspethError):
    """A run was to be released from checks that do not hold it back."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id} is not held back by a check, so there is nothing to accept; nothing was changed. "
            f"To go on with it: elspeth resume {run_id}"
        )


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
def pipeline_job(settings_path: str, log_level: str, shards: int, _launch: str) -> Any:
    """The job of one settings file; what `build_reconstructable_job` calls, in step processes too.

    Dagster calls it several times in one launch, and the settings must be the same each time.
    """
    compiled = compile_pipeline(Path(settings_path))
    definitions = build_from([Path(settings_path)], console=_console(log_level), shards=shards or None)
    return definitions.resolve_job_def(safe_name(compiled.graph.pipeline))


def _console(level: str) -> dg.LoggerDefinition:
    def console(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.getLogger("elspeth.console")
        logger.setLevel(level)
        logger.propagate = False
        logger.handlers[:] = [logging.StreamHandler()]
        logger.handlers[0].setFormatter(_Plain())
        logger.filters[:] = [_is_message]
        return logger

    return dg.LoggerDefinition(console, description="One plain line per message, on standard error.")


_DEPENDENCIES = "Dependencies for step "
"""So begin lines that say of each step behind one that failed that it is not executed."""


def _is_message(record: logging.LogRecord) -> bool:
    """Whether it was written for people: events are in Dagster's log, failures are told at the end."""
    meta = getattr(record, "dagster_meta", None)
    if not isinstance(meta, dict):
        return True
    return meta.get("dagster_event") is None and not str(meta.get("orig_message")).startswith(_DEPENDENCIES)


class _Plain(logging.Formatter):
    """The message alone, without Dagster's ids."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", None)
        message = meta.get("orig_message") if isinstance(meta, dict) else None
        return message or record.getMessage()


@dataclass(frozen=True)
class PipelineLaunch:
    """A pipeline about to be run by its Dagster job, in this process.

    Attributes:
        compiled: The pipeline.
        location: The landscape, to find the run in.
        shards: Among how many processes the chunks are shared out; `None` for what the settings say.
        log_level: What the console shows.
    """

    compiled: Compiled
    location: Location
    shards: int | None = None
    log_level: str = "INFO"

    def execute(
        self,
        choices: Mapping[str, Any] | None = None,
        *,
        tags: dict[str, str] | None = None,
        parent: dg.DagsterRun | None = None,
        partition: str | None = None,
    ) -> Launched:
        """Runs the job to its end.

        Args:
            choices: Launch-time configuration, such as `limit`.
            tags: Tags of the Dagster run.
            partition: Key of the partition that the run is for.
            parent: A Dagster run to re-execute from failure; its launch-time configuration stays.

        Raises:
            DagsterHomeError: Dagster's own records cannot be read or written.
            LaunchError: Dagster does not take the run.
        """
        path = self.compiled.settings.path
        os.environ[FOLDER_VARIABLE] = str(path.parent)
        job = build_reconstructable_job(
            "elspeth_dagster.orchestration.execute",
            "pipeline_job",
            reconstructable_args=(str(path), self.log_level, self.shards or 0, uuid4().hex),  # type: ignore[arg-type] # declared as a tuple of one
        )
        with dagster_instance() as instance:
            if partition is not None:
                partitions.remember(self.compiled, instance, partition)
                tags = {**(tags or {}), PARTITION_TAG: partition}
            try:
                result = execute_job(
                    job,
                    instance=instance,
                    run_config=self._config(choices or {}, parent),
                    tags=tags,
                    raise_on_error=False,
                    reexecution_options=ReexecutionOptions.from_failure(parent.run_id, instance)
                    if parent
                    else None,
                )
            except DagsterExecutionInterruptedError as error:
                raise KeyboardInterrupt from error
            except dg.DagsterError as error:
                raise LaunchError(f"Dagster cannot run the pipeline: {error}") from error
            problem = None if result.success else _problem(instance, result.run_id)
        return self._launched(result.run_id, problem)

    def _config(self, choices: Mapping[str, Any], parent: dg.DagsterRun | None) -> dict[str, Any]:
        if parent is None:
            return run_config(self.compiled, choices, CONSOLE_LOGGER)
        return run_config_again(self.compiled, parent.run_config, CONSOLE_LOGGER)

    def _launched(self, dagster_run_id: str, problem: str | None) -> Launched:
        """What came of it, by the record."""
        run_id = self._run_of(dagster_run_id, problem)
        if problem != _INTERRUPTED:
            return Launched(run_id, dagster_run_id, problem)
        if run_id is None:
            raise KeyboardInterrupt
        # What is kept and how to go on is in the record.
        return Launched(run_id, dagster_run_id)

    def _run_of(self, dagster_run_id: str, problem: str | None) -> str | None:
        """The run that a Dagster run worked on; unknown where what stopped it is that nobody can look."""
        try:
            with Landscape.open(self.location) as landscape:
                return reads.run_of_dagster_run(landscape, dagster_run_id, self.compiled.graph.pipeline)
        except CatalogueLostError:
            if problem is None:
                raise
            return None


def _problem(instance: dg.DagsterInstance, dagster_run_id: str) -> str | None:
    """What Dagster's event log says of the failure: of every step that failed, in order, the same said once.

    Where the first of them was interrupted, that alone.
    """
    events = [entry.dagster_event for entry in instance.all_logs(dagster_run_id) if entry.dagster_event]
    texts = [_text(event) for event in events if event.is_step_failure]
    if texts:
        others = dict.fromkeys(text for text in texts if text != _INTERRUPTED)
        return _INTERRUPTED if texts[0] == _INTERRUPTED else "\n".join(others)
    for event in events:
        if event.is_failure:
            error = getattr(event.event_specific_data, "error", None)
            if error is None or error.cls_name == _INTERRUPTED:
                return event.message if error is None else _INTERRUPTED
            return f"{event.message}\n{_cause(error)}"
    return None


def _text(event: dg.DagsterEvent) -> str:
    """What a step that failed says."""
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    return _cause(failure.error) if failure.error else str(event.message)


_INTERRUPTED = DagsterExecutionInterruptedError.__name__


def _cause(error: Any) -> str:
    """The text of what an error goes back to; Dagster's own wrapping says only which op it was."""
    if error.cls_name == _INTERRUPTED:
        return _INTERRUPTED
    texts = [str(error.message).strip()]
    while error.cause is not None:
        error = error.cause
        texts.append(str(error.message).strip())
    return "\n".join(dict.fromkeys(texts))


@dataclass(frozen=True)
class Resume:
    """How a run is to be continued.

    Attributes:
        restart_source: Drop what was read so far, and read the source again.
        force: Take processes of other hosts for dead whose heartbeats are too old.
        shards: Share the chunks out among so many processes; `None` for what the settings say.
        acceptance: Releases the run from the checks that held it back.
        log_level: What the console shows.
    """

    restart_source: bool = False
    force: bool = False
    shards: int | None = None
    acceptance: Acceptance | None = None
    log_level: str = "INFO"

    @property
    def tags(self) -> dict[str, str]:
        """The tags that say so to the ops."""
        tags = {RESTART_SOURCE_TAG: "true"} if self.restart_source else {}
        if self.acceptance:
            tags |= {ACCEPT_CHECKS_TAG: self.acceptance.reason, ACCEPTED_BY_TAG: self.acceptance.by}
            tags[ACCEPTED_AT_TAG] = datetime.now(UTC).isoformat(timespec="milliseconds")
        return tags | ({FORCE_TAG: uuid4().hex} if self.force else {})


def resume_run(run: RunRow, location: Location, how: Resume, *, say: Callable[[str], None]) -> Launched:
    """Continues a run where it stopped.

    Where Dagster knows the last attempt, that is re-executed from failure, and marked failed before if
    Dagster still takes it for running; otherwise a new Dagster run is tagged with the run's id.

    Args:
        run: The run.
        location: The landscape.
        how: What the user chose.
        say: Takes lines for people.

    Raises:
        NotHeldBackError: There is nothing to accept.
        RunAliveError: A process of the last attempt is, or may be, alive.
        RunAbandonedError: The run was given up.
        SettingsGoneError: The settings file is not where it was.
        DagsterHomeError: Dagster's own records cannot be read or written.
    """
    if run.status is RunStatus.ABANDONED:
        raise RunAbandonedError(run.run_id)
    path = Path(run.launch["settings_path"])
    if not path.is_file():
        raise SettingsGoneError(run.run_id, str(path))
    compiled = compile_pipeline(path)
    with dagster_instance() as instance:
        with Landscape.open(location) as landscape:
            if how.acceptance and not held_back_before(landscape, run.run_id):
                raise NotHeldBackError(run.run_id)
            last = reads.attempts(landscape, run.run_id)[-1]
            landscape.ask(
                lambda connection: require_dead(connection, run.run_id, finished(instance), force=how.force)
            )
            done = reads.completed_ops(landscape, run.run_id)
        for line in code_changes(last, compiled):
            say(line)
        parent = _over(instance, last.dagster_run_id)
        shards = how.shards or compiled.settings.dagster.shards
        again = parent is not None and _goes_on(instance, parent, run.pipeline, shards, done)
    launch = PipelineLaunch(compiled, location, shards=shards, log_level=how.log_level)
    tags = {RUN_ID_TAG: run.run_id} | how.tags
    if parent is not None:
        own = ("dagster/", RESTART_SOURCE_TAG, FORCE_TAG, *ACCEPTING_TAGS)
        tags = {key: value for key, value in parent.tags.items() if not key.startswith(own)} | tags
    again_of = parent if again else None
    if again_of is not None:
        # As the UI and the daemon do: the steps alone do not tell, when the first of them died as well.
        tags[RESUME_TAG] = "true"
    return launch.execute(tags=tags, parent=again_of, partition=run.launch.get("partition"))


def code_changes(last: AttemptRow, compiled: Compiled) -> Iterator[str]:
    """What of the code is not what the last attempt had, a line each."""
    if last.engine_version != __version__:
        yield f"elspeth_dagster was {last.engine_version} in attempt {last.number}, is {__version__} now"
    changed = [node for node, code in compiled.code_hashes.items() if last.code.get(node) != code]
    if changed:
        yield f"the plugin's code changed since attempt {last.number} at: {', '.join(changed)}"


def _over(instance: dg.DagsterInstance, dagster_run_id: str) -> dg.DagsterRun | None:
    """The Dagster run of a dead attempt, to be re-executed from failure; `None` if that is not possible."""
    parent = instance.get_run_by_id(dagster_run_id)
    if parent is not None and not parent.is_finished:
        # Dagster's daemon is not to do the same at the same time.
        instance.add_run_tags(dagster_run_id, {"dagster/max_retries": "0"})
        instance.report_run_failed(parent, "its process is gone; the run is being resumed")
        parent = instance.get_run_by_id(dagster_run_id)
    can_be = {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
    return parent if parent is not None and parent.status in can_be else None


def _goes_on(
    instance: dg.DagsterInstance, run: dg.DagsterRun, pipeline: str, shards: int, done: set[str]
) -> bool:
    """Whether a Dagster run, re-executed from failure, does what is left of the landscape run, and no more.

    It does not when it was of another job, with assets of others in it, when it shared the chunks out among
    another number of ops, nor when somebody had it run only some steps: those that failed and those behind
    them are all that Dagster would run again.
    """
    if run.execution_plan_snapshot_id is None or run.job_name != safe_name(pipeline):
        return False
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    steps = [step.key for step in plan.steps]
    if not all(step.startswith(f"{graph_name(pipeline)}.") for step in steps):
        return False
    if sum(".process_0_" in step for step in steps) != shards:
        return False
    chosen = run.step_keys_to_execute
    return chosen is None or all(step in chosen for step in steps if step.rpartition(".")[2] not in done)
