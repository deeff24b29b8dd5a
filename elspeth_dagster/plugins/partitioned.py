"""What is wrong with partitions, before a row is read: files that would overwrite each other."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from elspeth_dagster.plugins.base import Plugin
from elspeth_dagster.plugins.sinks.database import DatabaseSink
from elspeth_dagster.plugins.sinks.file import FileMode, FileSink
from elspeth_dagster.plugins.targets import could_be_watched
from elspeth_dagster.settings.dagster_section import SensorSettings
from elspeth_dagster.settings.errors import Problem
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.nodes import SinkSettings, SourceSettings
from elspeth_dagster.settings.partitions import PLACEHOLDER, watched_folder
from elspeth_dagster.settings.settings import Settings


def partition_problems(settings: Settings, plugins: Mapping[str, Plugin]) -> Iterator[Problem]:
    """Every problem of a pipeline's partitions.

    Args:
        settings: The settings.
        plugins: For each node, an instance of its plugin.
    """
    for name, sink in settings.sinks.items():
        option = _unfilled(plugins.get(name))
        if option:
            message = (
                f"{PLACEHOLDER} is filled in where a SQLite file is named, and nowhere else of a database; "
                "add the rows of all partitions to one table, with 'if_exists: append'"
            )
            yield settings.problem((*sink.path, "options", option), message)
    if not settings.dagster.is_partitioned:
        yield from _stray_placeholders(settings)
        return
    if settings.dagster.partitions and settings.dagster.sensor:
        message = "each file that arrives is a partition already; remove 'partitions' or 'sensor'"
        yield settings.problem(("dagster", "partitions"), message)
    for name, sink in settings.sinks.items():
        option, remedies = _overwritten(plugins.get(name), settings.dagster.sensor)
        if option:
            message = f"each partition would overwrite it; {', or '.join(remedies)}"
            yield settings.problem((*sink.path, "options", option), message)
    yield from _sensor_problems(settings)


def same_for_all(settings: Settings) -> Iterator[Problem]:
    """A warning of a source that reads the same file for each partition of time."""
    path = settings.source.options.get("path")
    if settings.dagster.partitions and isinstance(path, str) and PLACEHOLDER not in path:
        message = f"each partition reads this one file; put {PLACEHOLDER} in its path where each has its own"
        yield settings.problem((*settings.source.path, "options", "path"), message)


def are_apart(settings: Settings) -> bool:
    """Whether no two partitions write to one target."""
    return settings.dagster.is_partitioned and all(map(is_apart, settings.sinks.values()))


def is_apart(sink: SinkSettings) -> bool:
    """Whether a sink has a target for each partition."""
    return any(PLACEHOLDER in str(sink.options.get(option, "")) for option in ("path", "url"))


def _overwritten(plugin: Plugin | None, sensor: SensorSettings | None) -> tuple[str, list[str]]:
    """The option that names what every run makes anew, and what to write instead; empty if there is none."""
    if isinstance(plugin, FileSink) and plugin.mode is FileMode.WRITE and PLACEHOLDER not in plugin.path:
        adding = ["add with 'mode: append'"] if "mode" in plugin.Options.model_fields else []
        return "path", [_with_placeholder("path", plugin.path, sensor), *adding]
    if isinstance(plugin, DatabaseSink) and plugin.replaces and PLACEHOLDER not in plugin.options.url:
        apart = [_with_placeholder("url", plugin.options.url, sensor)] if plugin.url.is_sqlite else []
        return "url", [*apart, "add with 'if_exists: append'"]
    return "", []


def _with_placeholder(option: str, value: str, sensor: SensorSettings | None) -> str:
    """What to write so that each partition has a file of its own; the key of a file ends as the file does."""
    folder, slash, name = value.rpartition("/")
    file = PurePath(name)
    suffix = "" if sensor and PurePath(sensor.watch).suffix == file.suffix else file.suffix
    filled = json.dumps(f"{folder}{slash}{file.stem}/{PLACEHOLDER}{suffix}", ensure_ascii=False)
    return f"write {option}: {filled}, with the quotes"


def _unfilled(plugin: Plugin | None) -> str:
    """The option of a database that would keep its placeholder; empty if there is none."""
    if not isinstance(plugin, DatabaseSink):
        return ""
    if PLACEHOLDER in plugin.table:
        return "table"
    return "url" if PLACEHOLDER in plugin.options.url and not plugin.url.is_sqlite else ""


def _stray_placeholders(settings: Settings) -> Iterator[Problem]:
    nodes: tuple[SourceSettings | SinkSettings, ...] = (settings.source, *settings.sinks.values())
    for node in nodes:
        for option in ("path", "url"):
            if PLACEHOLDER not in str(node.options.get(option, "")):
                continue
            message = (
                f"{PLACEHOLDER} stands here, but the pipeline has no partitions; "
                "add 'dagster.partitions' or 'dagster.sensor'"
            )
            yield settings.problem((*node.path, "options", option), message)


def _sensor_problems(settings: Settings) -> Iterator[Problem]:
    sensor = settings.dagster.sensor
    if sensor is None:
        return
    where: KeyPath = ("dagster", "sensor", "watch")
    path = settings.source.options.get("path")
    if not isinstance(path, str):
        message = (
            f"the source plugin '{settings.source.plugin}' has no option 'path' that a file could replace"
        )
        yield settings.problem(where, message)
        return
    for name, sink in settings.sinks.items():
        target = sink.options.get("path")
        if isinstance(target, str) and could_be_watched(target, sensor.watch):
            message = f"what the sink '{name}' writes would be watched too; choose another folder for it"
            yield settings.problem(where, message)
    folder = PurePath(watched_folder(sensor.watch))
    if settings.dagster.schedule and not PurePath(os.path.normpath(path)).is_relative_to(folder):
        message = (
            f"a scheduled run reads source.options.path, which is not below {folder}; "
            "put it there, or leave the schedule out"
        )
        yield settings.problem(("dagster", "schedule"), message)
