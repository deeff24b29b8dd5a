"""Dagster's executors, and what they leave in the record when a run is interrupted between its ops."""

import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.attempts import close_attempt
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.location import Location
from elspeth_dagster.landscape.model import AttemptStatus
from elspeth_dagster.orchestration import stories
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.orchestration.stopping import stopping

_INTERRUPTS = (DagsterExecutionInterruptedError, KeyboardInterrupt)


def executor(shards: int, landscape: LandscapeResource) -> dg.ExecutorDefinition:
    """The executor of a pipeline's job: in this process, or among several when there are shards.

    Args:
        shards: Among how many processes a stage's chunks are shared out.
        landscape: Where runs are recorded.
    """
    return _recording(_sharded(shards) if shards > 1 else dg.in_process_executor, landscape)


def _sharded(processes: int) -> dg.ExecutorDefinition:
    """Dagster's multiprocess executor, forking from a process that has everything loaded."""
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": processes,
            "start_method": {"forkserver": {"preload_modules": ["elspeth_dagster.orchestration.preload"]}},
        },
        name="multiprocess",
    )


def _recording(inner: dg.ExecutorDefinition, landscape: LandscapeResource) -> dg.ExecutorDefinition:
    create = inner.executor_creation_fn
    assert create is not None
    return dg.ExecutorDefinition(
        name=inner.name,
        config_schema=inner.config_schema,  # type: ignore[arg-type] # taken as it is, which its type does not say
        requirements=inner.get_requirements,
        executor_creation_fn=lambda context: _Recording(create(context), landscape),
        description=inner.description,
    )


class _Recording(dg.Executor):
    """An executor that closes the attempts of its run when it is interrupted.

    An op records that itself, but a signal may come between two ops, or while a step's process starts.
    """

    def __init__(self, inner: dg.Executor, landscape: LandscapeResource) -> None:
        self._inner = inner
        self._landscape = landscape

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        location = self._landscape.location_by(plan_context.run_config)
        dagster_run_id = plan_context.dagster_run.run_id
        with stopping(lambda: _end_at_once(location, dagster_run_id)) as asked:
            try:
                yield from self._inner.execute(plan_context, execution_plan)
            except BaseException as error:
                if asked.asked or isinstance(error, _INTERRUPTS):
                    with asked.held():
                        _record_interruption(location, dagster_run_id)
                raise


def _end_at_once(location: Location, dagster_run_id: str) -> None:
    for child in multiprocessing.active_children():
        child.kill()
    _record_interruption(location, dagster_run_id)


def _record_interruption(location: Location, dagster_run_id: str) -> None:
    """Closes what a Dagster run has open; where that cannot be, the run is found dead by who resumes it."""
    try:
        with Landscape.open(location, create=False) as landscape:
            for attempt in reads.attempts_of_dagster_run(landscape, dagster_run_id):
                if attempt.status is AttemptStatus.RUNNING:
                    message = stories.interruption(landscape, attempt.run_id)
                    facts = {"type": DagsterExecutionInterruptedError.__name__, "message": message}
                    close_attempt(landscape, attempt, status=AttemptStatus.INTERRUPTED, error=facts)
    except ElspethError as error:
        sys.stderr.write(f"the interruption is not recorded: {error}\n")
