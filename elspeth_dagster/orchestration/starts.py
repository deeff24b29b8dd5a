"""What starts a pipeline by itself: its schedule, and its sensor of arriving files."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.schedules import reverse_cron_string_iterator

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.orchestration import partitions
from elspeth_dagster.orchestration.arrivals import Arrivals, Arrived
from elspeth_dagster.orchestration.names import ARRIVAL_TAG, CONTENT_TAG, PARTITION_TAG, arrival_of, safe_name
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.orchestration.seen import Memory
from elspeth_dagster.plugins.compile import Compiled

_LOOK_EVERY_S = 5
_RUNS_LOOKED_AT = 25
_NOT_WATCHED = "source.options.path is not below the watched folder, so it is no partition"


class ScheduleError(ElspethError):
    """Dagster does not take a schedule."""

    def __init__(self, compiled: Compiled, cause: Exception) -> None:
        super().__init__(str(compiled.settings.problem(("dagster", "schedule"), str(cause))))


def schedules(compiled: Compiled, job: Any) -> tuple[dg.ScheduleDefinition, ...]:
    """The pipeline's schedule, if it has one.

    Of partitions by time each tick takes those that ended since the tick before it, and at least the latest.

    Raises:
        ScheduleError: Dagster does not take it.
    """
    cron, timezone = compiled.settings.dagster.schedule, compiled.settings.dagster.timezone
    if cron is None:
        return ()

    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if not compiled.settings.dagster.is_partitioned:
            yield dg.RunRequest()
            return
        due = _due(compiled, context.scheduled_execution_time, cron)
        if not due:
            by_file = compiled.settings.dagster.sensor is not None
            yield dg.SkipReason(_NOT_WATCHED if by_file else "no partition is over yet")
        for key in due:
            partitions.remember(compiled, context.instance, key)
            yield dg.RunRequest(run_key=key, partition_key=key)

    try:
        schedule = dg.ScheduleDefinition(
            name=f"{safe_name(compiled.graph.pipeline)}__schedule",
            job=job,
            cron_schedule=cron,
            execution_timezone=timezone,
            execution_fn=tick,
            description=f"Runs {compiled.graph.pipeline} at {cron} ({timezone or 'UTC'}).",
        )
    except (dg.DagsterInvalidDefinitionError, ValueError) as error:
        raise ScheduleError(compiled, error) from error
    return (schedule,)


def _due(compiled: Compiled, now: datetime, cron: str) -> list[str]:
    """The partitions that a tick is for, the earliest first."""
    known = partitions.definition(compiled)
    if not isinstance(known, dg.TimeWindowPartitionsDefinition):
        key = partitions.key_for(compiled, None)
        return [] if key is None else [key]
    ticks = reverse_cron_string_iterator(now.timestamp(), cron, compiled.settings.dagster.timezone)
    before = next(tick for tick in ticks if tick < now)
    due: list[str] = []
    window = known.get_prev_partition_window(now)
    while window and (window.end > before or not due):
        due.insert(0, known.get_partition_key_for_timestamp(window.start.timestamp()))
        window = known.get_prev_partition_window(window.start)
    return due


def sensors(compiled: Compiled, job: Any) -> tuple[dg.SensorDefinition, ...]:
    """The sensor of arriving files, if the pipeline has one."""
    settings = compiled.settings.dagster.sensor
    known = partitions.definition(compiled)
    if settings is None or not isinstance(known, dg.DynamicPartitionsDefinition):
        return ()

    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        folder = Path(context.instance.storage_directory()) / "elspeth"
        arrivals = Arrivals(
            memory=Memory(folder / f"{known.name}.json"),
            root=platform_root(),
            watch=settings.watch,
            settle_seconds=settings.settle_seconds,
            earlier=lambda key: _earlier(context.instance, str(known.name), job.name, key),
            warn=context.log.warning,
        )
        found = arrivals.look(context.cursor)
        if not found.arrived:
            return dg.SensorResult(skip_reason=found.remark, cursor=found.cursor)
        return dg.SensorResult(
            run_requests=[_request(file) for file in found.arrived],
            dynamic_partitions_requests=[known.build_add_request([file.key for file in found.arrived])],
            cursor=found.cursor,
        )

    return (
        dg.SensorDefinition(
            name=f"{safe_name(compiled.graph.pipeline)}__sensor",
            evaluation_fn=look,
            job=job,
            minimum_interval_seconds=_LOOK_EVERY_S,
            description=f"Runs {compiled.graph.pipeline} for every new or changed file {settings.watch}.",
        ),
    )


def _request(file: Arrived) -> dg.RunRequest:
    # Dagster takes a run key only once: so a daemon that died in the middle of a tick starts no run twice.
    return dg.RunRequest(
        partition_key=file.key,
        run_key=f"{file.key} {file.content} {file.arrival}",
        tags={CONTENT_TAG: file.content, ARRIVAL_TAG: str(file.arrival)},
    )


def _earlier(instance: dg.DagsterInstance, name: str, job: str, key: str) -> Arrived | None:
    """How a file arrived the last time, as Dagster's runs tell."""
    if not instance.has_dynamic_partition(name, key):
        return None
    runs = instance.get_runs(dg.RunsFilter(job_name=job, tags={PARTITION_TAG: key}), limit=_RUNS_LOOKED_AT)
    told = [
        Arrived(key, run.tags[CONTENT_TAG], arrival)
        for run in runs
        if CONTENT_TAG in run.tags and (arrival := arrival_of(run.tags)) is not None
    ]
    # Not the newest run: an older content may have been run again since.
    return max(told, key=lambda arrived: arrived.arrival, default=None)
