"""A folder of settings files as Dagster definitions."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.orchestration.assets import PipelineAssets, build_pipeline
from elspeth_dagster.orchestration.at_fault import at_fault
from elspeth_dagster.orchestration.broken import broken_asset, broken_job
from elspeth_dagster.orchestration.executors import executor
from elspeth_dagster.orchestration.io_manager import IO_MANAGER_KEY, PublishedArtifacts
from elspeth_dagster.orchestration.loading import Loaded, described, load
from elspeth_dagster.orchestration.names import safe_name
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.settings import pipeline_name

FOLDER_VARIABLE = "ELSPETH_PIPELINES"
CONSOLE_LOGGER = "console"
"""The name under which a replacement for Dagster's console logger is chosen in run config."""

_SUFFIXES = (".yaml", ".yml")


def build_definitions(folder: str | Path, *, landscape: LandscapeResource | None = None) -> dg.Definitions:
    """Definitions of every pipeline under a folder.

    A settings file that is broken becomes an asset that says what is wrong with it; the others load.

    Args:
        folder: Searched for `*.yaml` and `*.yml`, in subfolders too (`plugins/` left out). A relative one
            is taken from the platform root; `ELSPETH_PIPELINES` replaces it.
        landscape: Where runs are recorded, when the resource's defaults are not right.
    """
    named = os.environ.get(FOLDER_VARIABLE) or folder
    return build_from(settings_files(platform_root() / named), landscape=landscape)


def settings_files(folder: Path) -> list[Path]:
    """The settings files under a folder: in a folder with a `settings.yaml`, just that one."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES and path.is_file()]
    homes = {path.parent for path in found if path.stem == "settings"}
    return [
        path
        for path in found
        if not any(part.startswith(".") or part == "plugins" for part in path.relative_to(folder).parts)
        and (path.stem == "settings" or not homes & {path.parent, *path.parents})
    ]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Puts garbage collection off, which else looks again and again through what is made here to stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_nothing_collected()
def build_from(
    paths: Iterable[Path],
    *,
    landscape: LandscapeResource | None = None,
    console: dg.LoggerDefinition | None = None,
    shards: int | None = None,
) -> dg.Definitions:
    """Definitions of the pipelines of some settings files.

    Args:
        paths: The settings files.
        landscape: Where runs are recorded, when the resource's defaults are not right.
        console: Replaces Dagster's console logger.
        shards: Replaces `dagster.shards` of the settings.
    """
    console_name = CONSOLE_LOGGER if console else None
    recorded = landscape or LandscapeResource()
    loaded = load(paths)
    built: dict[Path, PipelineAssets] = {}
    for path, compiled in list(loaded.pipelines.items()):
        try:
            pipeline = build_pipeline(
                compiled, loaded.upstream[path], recorded, console=console_name, shards=shards
            )
            loaded.names.take(path, pipeline.op_names)
        except Exception as error:  # noqa: BLE001 - whatever Dagster does not take, the others load
            loaded.put_aside(path, error)
            continue
        built[path] = pipeline

    def together(paths: Iterable[Path]) -> dg.Definitions:
        pipelines = [built[path] for path in paths]
        return dg.Definitions(
            **_parts(loaded, pipelines),
            resources={"landscape": recorded, IO_MANAGER_KEY: PublishedArtifacts(landscape=recorded)},
            executor=executor(1, recorded),
            loggers={console_name: console} if console_name and console else None,
        )

    return _in_order(loaded, list(built), together)


def _in_order(
    loaded: Loaded, paths: list[Path], together: Callable[[Iterable[Path]], dg.Definitions]
) -> dg.Definitions:
    """Definitions that Dagster takes: of all pipelines, else without those because of which it does not."""
    definitions = together(paths)
    if _fault(definitions) is None or _fault(together([])) is not None:
        return definitions
    for path, why in at_fault(paths, lambda some: _fault(together(some))):
        loaded.pipelines.pop(path, None)
        loaded.broken[path] = f"Dagster does not take it: {why}"
    return together(path for path in paths if path not in loaded.broken)


def _fault(definitions: dg.Definitions) -> str | None:
    """What Dagster says against definitions. If it is nothing, it has them ready when it asks for them."""
    try:
        definitions.get_repository_def()
    except Exception as error:  # noqa: BLE001 - it raises errors of many kinds
        return described(error)
    return None


def _parts(loaded: Loaded, pipelines: list[PipelineAssets]) -> dict[str, Any]:
    """Assets, jobs, schedules and sensors of some pipelines, and of what does not load."""
    assets: list[Any] = [pipeline.assets for pipeline in pipelines]
    jobs = [pipeline.job for pipeline in pipelines]
    assets += [_external(key, path) for key, path in loaded.outside.items()]
    taken = loaded.keys() | set(loaded.outside)
    for path, why in loaded.broken.items():
        broken = broken_asset(path, why, taken)
        taken |= broken.keys
        assets.append(broken)
        if loaded.names.has(path, safe_name(pipeline_name(path))):
            jobs.append(broken_job(path, broken))
    return {
        "assets": assets,
        "jobs": jobs,
        "schedules": [schedule for pipeline in pipelines for schedule in pipeline.schedules],
        "sensors": [sensor for pipeline in pipelines for sensor in pipeline.sensors],
    }


def _external(key: dg.AssetKey, path: Path) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description="A file from outside that a pipeline reads.",
        group_name="files",
        kinds={"file"},
        metadata={"dagster/uri": path.as_uri()},
    )
