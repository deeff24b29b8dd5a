"""Partitions in Dagster: by time or by file, and which one a run is for."""

import os
from pathlib import Path

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from elspeth_dagster.engine.work import Launch
from elspeth_dagster.errors import UsageError
from elspeth_dagster.orchestration.names import PARTITION_TAG, safe_name
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.settings.partitions import (
    Cadence,
    file_of_key,
    is_safe_key,
    key_of_file,
    meant_key,
    watched_folder,
)

_BY_TIME = {
    Cadence.HOURLY: dg.HourlyPartitionsDefinition,
    Cadence.DAILY: dg.DailyPartitionsDefinition,
    Cadence.WEEKLY: dg.WeeklyPartitionsDefinition,
    Cadence.MONTHLY: dg.MonthlyPartitionsDefinition,
}


class PartitionError(UsageError):
    """A run was started for no partition, or for one that there is not."""

    def __init__(self, compiled: Compiled, key: str | None, source_path: str | None = None) -> None:
        pipeline, sensor = compiled.graph.pipeline, compiled.settings.dagster.sensor
        kind = "file" if sensor else str(compiled.settings.dagster.partitions)
        found = "none was named" if key is None else f"{key!r} is not one of them"
        meant = meant_key(key) if sensor and key else None
        if meant not in {None, key}:
            found += f" (did you mean {meant!r}?)"
        elif sensor and key is None and source_path is not None:
            found = f"{source_path!r} is not below {watched_folder(sensor.watch)!r}"
        super().__init__(
            f"pipeline {pipeline!r}: each run takes one partition ({kind}), and {found}; nothing was read. "
            "Choose one in the Launchpad, or: elspeth run SETTINGS --partition KEY, or: "
            f'dagster job execute --tags \'{{"{PARTITION_TAG}": "KEY"}}\''
        )


class NoPartitionsError(UsageError):
    """A partition was named of a pipeline that has none."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__(
            f"pipeline {compiled.graph.pipeline!r} has no partitions; leave --partition out, or add "
            "'dagster.partitions' or 'dagster.sensor' to its settings"
        )


def definition(compiled: Compiled) -> dg.PartitionsDefinition | None:
    """The partitions of a pipeline, as Dagster has them."""
    settings = compiled.settings.dagster
    if settings.sensor is not None:
        return dg.DynamicPartitionsDefinition(name=f"{safe_name(compiled.graph.pipeline)}__files")
    if settings.partitions is None:
        return None
    start = settings.partitions_start
    if settings.partitions is Cadence.HOURLY:
        start = f"{start}-00:00"
    by_time: dg.PartitionsDefinition = _BY_TIME[settings.partitions](
        start_date=start, timezone=settings.timezone
    )
    return by_time


def key_of_run(context: dg.OpExecutionContext) -> str | None:
    """The partition that a Dagster run is for."""
    return context.partition_key if context.has_partition_key else None


def launch(context: dg.OpExecutionContext, compiled: Compiled) -> Launch:
    """What was chosen when a Dagster run was launched.

    Raises:
        dg.Failure: It was launched for no partition of a pipeline that has some, or with a limit below 0.
    """
    chosen = context.op_config
    key = key_of_run(context)
    path: str | None = chosen["source_path"]
    limit: int | None = chosen["limit"]
    if limit is not None and limit < 0:
        raise dg.Failure(
            f"limit is {limit}; it is 0 for all records, or how many to read at most. Nothing was read.",
            allow_retries=False,
        )
    if compiled.settings.dagster.is_partitioned:
        try:
            of_key = path_of(compiled, require_key(compiled, key))
        except PartitionError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        path = path or of_key
    return Launch(str(compiled.settings.path), path, limit or None, key)


def require_key(compiled: Compiled, key: str | None) -> str:
    """A partition's key, looked at.

    Raises:
        PartitionError: There is none, it is not one path component, or there is no such partition.
    """
    if key is None or not is_safe_key(key):
        raise PartitionError(compiled, key)
    known = definition(compiled)
    if isinstance(known, dg.TimeWindowPartitionsDefinition):
        with partition_loading_context():
            if not known.has_partition_key(key):
                raise PartitionError(compiled, key)
    elif path_of(compiled, key) is None:
        raise PartitionError(compiled, key)
    return key


def path_of(compiled: Compiled, key: str) -> str | None:
    """The file that a partition by file stands for; `None` where the settings' path is read."""
    sensor = compiled.settings.dagster.sensor
    return file_of_key(key, watched_folder(sensor.watch)) if sensor else None


def key_for(compiled: Compiled, source_path: str | None) -> str | None:
    """The partition of a run that is to read a file, by default the settings' one.

    `None` where the file does not tell: partitions by time, or a file that is not below the watched folder.
    """
    sensor = compiled.settings.dagster.sensor
    path = source_path or compiled.settings.source.options.get("path")
    if sensor is None or not isinstance(path, str):
        return None
    root = platform_root()
    file, folder = (Path(os.path.normpath(root / name)) for name in (path, watched_folder(sensor.watch)))
    try:
        return key_of_file(file, folder)
    except ValueError:
        return None


def chosen(compiled: Compiled, key: str | None, source_path: str | None) -> str | None:
    """The partition of a run that is started with a key, or with a file that is one.

    Raises:
        PartitionError: There is no such partition, or the pipeline has some and none is named.
        NoPartitionsError: A key is given and the pipeline has no partitions.
    """
    if compiled.settings.dagster.is_partitioned:
        found = key or key_for(compiled, source_path)
        if found is None:
            raise PartitionError(compiled, None, source_path)
        return require_key(compiled, found)
    if key is not None:
        raise NoPartitionsError(compiled)
    return None


def remember(compiled: Compiled, instance: dg.DagsterInstance, key: str) -> None:
    """Makes a partition by file known to Dagster."""
    known = definition(compiled)
    if isinstance(known, dg.DynamicPartitionsDefinition) and known.name:
        instance.add_dynamic_partitions(known.name, [key])
