"""Every op's way into the landscape: its attempt, and what becomes of it when the op fails."""

import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from elspeth_dagster import __version__
from elspeth_dagster.engine.work import Launch, Progress, Work
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import (
    AttemptRequest,
    close_attempt,
    ensure_attempt,
    is_new,
    log_phase,
)
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.digest import json_digest
from elspeth_dagster.landscape.errors import AttemptRefusedError, CatalogueLostError, FenceLostError
from elspeth_dagster.landscape.leftovers import sweep_attempt_leftovers
from elspeth_dagster.landscape.model import Attempt, AttemptStatus, Phase, PhaseStatus
from elspeth_dagster.landscape.processes import beating
from elspeth_dagster.orchestration import again, by_daemon, metadata, stories
from elspeth_dagster.orchestration.markdown import printable
from elspeth_dagster.orchestration.names import FORCE_TAG, RESUME_TAG, RUN_ID_TAG, graph_name
from elspeth_dagster.orchestration.platform import platform_root, root_by_default
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.orchestration.stopping import Stopping, stopping
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.plugins.sources.errors import SourceMissingError
from elspeth_dagster.settings import settings_differences

# Dagster closes a generator that it does not continue since it was interrupted.
_INTERRUPTS = (KeyboardInterrupt, DagsterExecutionInterruptedError, GeneratorExit)
_NO_FAULT_OF_THE_RUN = (AttemptRefusedError, FenceLostError)


@contextmanager
def phase_work(
    context: dg.OpExecutionContext,
    compiled: Compiled,
    resource: LandscapeResource,
    phase: Phase,
    launch: Launch | None = None,
) -> Iterator[Work]:
    """Opens the landscape and this Dagster run's attempt for one op, and records how the op ended.

    Args:
        context: The op's.
        compiled: The pipeline.
        resource: Where the landscape is.
        phase: The op's phase.
        launch: Launch choices for a run that begins here; a run that exists keeps its own.

    Raises:
        dg.Failure: For every error on purpose, with the facts as metadata.
    """
    with _as_failure(compiled), resource.opened(context.log.warning) as landscape:
        request = _request(context, compiled, launch or Launch(str(compiled.settings.path)))
        attempt = ensure_attempt(landscape, request)
        if attempt.status is AttemptStatus.RUNNING and is_new(landscape, attempt):
            sweep_attempt_leftovers(landscape, attempt)
        with (
            beating(landscape, attempt),
            _told(landscape, attempt, compiled),
            again.noted(context, landscape, attempt),
            stopping(lambda: _stopped_at_once(context, compiled, landscape, attempt)) as asked,
            _recorded(context, compiled, landscape, attempt, phase, asked),
        ):
            yield _work(context, compiled, landscape, attempt)


def _work(context: dg.OpExecutionContext, compiled: Compiled, landscape: Landscape, attempt: Attempt) -> Work:
    dagster_settings = compiled.settings.dagster
    progress = Progress(context.log.info, dagster_settings.progress_rows, dagster_settings.progress_seconds)
    run = reads.run(landscape, attempt.run_id)
    launch = Launch(**run.launch)
    return Work(landscape, attempt, compiled, launch, platform_root(), progress)


def _request(context: dg.OpExecutionContext, compiled: Compiled, launch: Launch) -> AttemptRequest:
    run = context.run
    stored = compiled.settings.stored(os.environ)
    parents = ancestors(context.instance, run)
    continues = bool(parents) and _from_failure(run, compiled.graph.pipeline)
    return AttemptRequest(
        pipeline=compiled.graph.pipeline,
        dagster_run_id=run.run_id,
        parent_dagster_runs=tuple(parent.run_id for parent in parents),
        continues=continues,
        run_id=_named_run(run, parents, continues=continues),
        settings=stored,
        settings_digest=json_digest(stored),
        launch=asdict(launch),
        engine_version=__version__,
        code=compiled.code_hashes,
        dagster_finished=finished(context.instance),
        comparable=settings_differences,
        force=_chosen_now(run, parents, FORCE_TAG) is not None,
        other_pids=_run_process(context),
    )


def _run_process(context: dg.OpExecutionContext) -> tuple[int, ...]:
    """The process that hands out the steps: it lives on where every step's process has ended."""
    if context.job_def.executor_def.name == dg.in_process_executor.name:
        return ()
    parent = multiprocessing.parent_process()
    return (parent.pid,) if parent is not None and parent.pid is not None else ()


def ancestors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[dg.DagsterRun, ...]:
    """The Dagster runs that this one re-executes, nearest first."""
    found: list[dg.DagsterRun] = []
    parent_id = run.parent_run_id
    while parent_id is not None:
        parent = instance.get_run_by_id(parent_id)
        if parent is None:
            break
        found.append(parent)
        parent_id = parent.parent_run_id
    return tuple(found)


def _from_failure(run: dg.DagsterRun, pipeline: str) -> bool:
    if run.tags.get(RESUME_TAG) == "true":
        return True
    steps = run.step_keys_to_execute
    return steps is not None and f"{graph_name(pipeline)}.open_run" not in steps


def _chosen_now(run: dg.DagsterRun, parents: tuple[dg.DagsterRun, ...], tag: str) -> str | None:
    """A tag's value, unless it was merely copied from the run that this one re-executes."""
    value = run.tags.get(tag)
    return None if parents and parents[0].tags.get(tag) == value else value


def _named_run(run: dg.DagsterRun, parents: tuple[dg.DagsterRun, ...], *, continues: bool) -> str | None:
    """The run named by the tag; a tag merely copied by "re-execute all" names none."""
    return run.tags.get(RUN_ID_TAG) if continues else _chosen_now(run, parents, RUN_ID_TAG)


def finished(instance: dg.DagsterInstance) -> Callable[[str], bool | None]:
    """Tells whether a Dagster run is over; `None` when this instance does not know it."""

    def is_over(dagster_run_id: str) -> bool | None:
        run = instance.get_run_by_id(dagster_run_id)
        return None if run is None else run.is_finished

    return is_over


@contextmanager
def _recorded(
    context: dg.OpExecutionContext,
    compiled: Compiled,
    landscape: Landscape,
    attempt: Attempt,
    phase: Phase,
    asked: Stopping,
) -> Iterator[None]:
    """Logs the phase's start and end, and closes the attempt when the op fails for good or is interrupted."""
    if attempt.status is AttemptStatus.COMPLETED:
        # The record of a completed run changes no more.
        yield
        return
    node = context.op_handle.name
    log_phase(landscape, attempt, phase, node, PhaseStatus.STARTED)
    try:
        yield
    except _NO_FAULT_OF_THE_RUN:
        raise
    except _INTERRUPTS as error:
        with asked.held():
            if not error.args:
                error.args = (stories.interruption(landscape, attempt.run_id),)
            _close(landscape, attempt, AttemptStatus.INTERRUPTED, error, error_facts(error, node, compiled))
        raise
    except BaseException as error:
        later = again.asked_for(context, error)
        if later is not None:
            raise later from _fit_to_keep(error, compiled)
        with asked.held():
            _close(landscape, attempt, AttemptStatus.FAILED, error, error_facts(error, node, compiled))
            _tell_daemon(context, compiled, error)
        raise
    log_phase(landscape, attempt, phase, node, PhaseStatus.COMPLETED)


def _tell_daemon(context: dg.OpExecutionContext, compiled: Compiled, error: BaseException) -> None:
    try:
        by_daemon.note(context, compiled, error)
    except Exception as lost:  # noqa: BLE001 - the step's own error counts, whatever Dagster's storage says
        error.add_note(f"whether it is to be tried again could not be noted: {lost}")


def _close(
    landscape: Landscape,
    attempt: Attempt,
    status: AttemptStatus,
    error: BaseException,
    facts: dict[str, Any],
) -> None:
    """Records the attempt's end; a failure to do so is a note on the error that is on its way."""
    try:
        close_attempt(landscape, attempt, status=status, error=facts)
    except ElspethError as second:
        error.add_note(f"while recording the end of the attempt: {second}")


def _stopped_at_once(
    context: dg.OpExecutionContext, compiled: Compiled, landscape: Landscape, attempt: Attempt
) -> None:
    """The last words of a process that is told to stop while it stops."""
    error = KeyboardInterrupt(stories.interruption(landscape, attempt.run_id))
    _close(
        landscape,
        attempt,
        AttemptStatus.INTERRUPTED,
        error,
        error_facts(error, context.op_handle.name, compiled),
    )
    sys.stderr.write(f"{error}\n")


def error_facts(error: BaseException, op: str, compiled: Compiled) -> dict[str, Any]:
    """What the record keeps of an error; secrets of the settings are out."""
    message = _fit(str(error), compiled)
    facts: dict[str, Any] = {"op": op, "type": type(error).__name__, "message": message}
    return facts | _culprits(error, compiled)


def _culprits(error: BaseException, compiled: Compiled) -> dict[str, Any]:
    """Which node, which row, which exception, as far as the error knows."""
    found = {name: getattr(error, name, None) for name in ("node", "row", "exception")}
    known = {name: value for name, value in found.items() if value is not None}
    return {name: _fit(value, compiled) if isinstance(value, str) else value for name, value in known.items()}


@contextmanager
def _told(landscape: Landscape, attempt: Attempt, compiled: Compiled) -> Iterator[None]:
    """Turns the run's own errors into failures that tell what is kept and how to go on."""
    try:
        yield
    except _NO_FAULT_OF_THE_RUN:
        raise
    except ElspethError as error:
        if isinstance(error, CatalogueLostError):
            error.add_note(f"The run is {attempt.run_id}: elspeth resume {attempt.run_id}")
        is_under_root = isinstance(error, SourceMissingError) and not Path(error.place).is_absolute()
        if is_under_root and (hint := root_by_default()):
            error.add_note(hint)
        known: dict[str, Any] = stories.failure(landscape, attempt.run_id, error)
        known |= {"run": attempt.run_id, "attempt": str(attempt.number)}
        known |= metadata.of_rows_so_far(landscape, attempt.run_id, compiled.graph)
        raise _failure(error, compiled, known) from _fit_to_keep(error, compiled)


@contextmanager
def _as_failure(compiled: Compiled) -> Iterator[None]:
    """Turns an error on purpose into Dagster's failure with metadata, and any that tells a secret.

    Anything else passes as it is.
    """
    try:
        yield
    except ElspethError as error:
        raise _failure(error, compiled, {}) from _fit_to_keep(error, compiled)
    except (dg.Failure, dg.RetryRequested):
        raise
    except Exception as error:
        if _fit_to_keep(error, compiled) is None:
            raise _failure(error, compiled, {}) from None
        raise


def _fit_to_keep(error: BaseException, compiled: Compiled) -> BaseException | None:
    """An error, unless it or one behind it tells what is not fit: Dagster keeps what a chain says."""
    told = "".join(traceback.format_exception(error))
    return error if _fit(told, compiled) == told else None


def _fit(text: str, compiled: Compiled) -> str:
    """A text without secrets, that can be stored."""
    return printable(compiled.settings.scrubbed(text))


def _failure(error: Exception, compiled: Compiled, known: dict[str, Any]) -> dg.Failure:
    about = {"pipeline": compiled.graph.pipeline, "error": type(error).__name__, "host": socket.gethostname()}
    facts = _culprits(error, compiled) | known | about
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if _fit_to_keep(error, compiled) is None:
        facts["traceback"] = _fit("".join(traceback.format_exception(error)), compiled)
    return dg.Failure(_fit(text, compiled), metadata=facts, allow_retries=getattr(error, "retryable", True))
