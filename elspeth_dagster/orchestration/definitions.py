"""A folder of settings files as Dagster definitions."""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.orchestration.assets import build_pipeline, sink_key
from elspeth_dagster.orchestration.executors import executor
from elspeth_dagster.orchestration.io_manager import IO_MANAGER_KEY, PublishedArtifacts
from elspeth_dagster.orchestration.markdown import code
from elspeth_dagster.orchestration.names import PIPELINE_TAG, NameCollisionError, safe_name
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.orchestration.resource import LandscapeResource
from elspeth_dagster.plugins.compile import Compiled, compile_pipeline
from elspeth_dagster.plugins.sinks.file import LaidOutSink
from elspeth_dagster.settings import pipeline_name

FOLDER_VARIABLE = "ELSPETH_PIPELINES"
CONSOLE_LOGGER = "console"
"""The name under which a replacement for Dagster's console logger is chosen in run config."""

_SUFFIXES = (".yaml", ".yml")


@dataclass
class _Loaded:
    """What became of the settings files of a folder."""

    pipelines: list[Compiled] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)


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
    loaded = _load(paths)
    targets = _targets(loaded)
    outside: dict[dg.AssetKey, Path] = {}
    assets: list[Any] = []
    jobs: list[Any] = []
    schedules: list[dg.ScheduleDefinition] = []
    sensors: list[dg.SensorDefinition] = []
    for compiled in loaded.pipelines:
        upstream = _upstream(compiled, targets, outside)
        try:
            pipeline = build_pipeline(compiled, upstream, recorded, console=console_name, shards=shards)
        except ElspethError as error:
            loaded.broken.append((compiled.settings.path, str(error)))
            continue
        assets.append(pipeline.assets)
        jobs.append(pipeline.job)
        schedules += pipeline.schedules
        sensors += pipeline.sensors
    assets += [_external(key, path) for key, path in outside.items()]
    for path, why in loaded.broken:
        broken = _broken_asset(path, why)
        assets.append(broken)
        name = safe_name(pipeline_name(path))
        if name not in {job.name for job in jobs}:
            jobs.append(
                dg.define_asset_job(name, selection=[broken], tags={PIPELINE_TAG: pipeline_name(path)})
            )
    return dg.Definitions(
        assets=assets,
        jobs=jobs,
        schedules=schedules,
        sensors=sensors,
        resources={"landscape": recorded, IO_MANAGER_KEY: PublishedArtifacts(landscape=recorded)},
        executor=executor(1, recorded),
        loggers={console_name: console} if console_name and console else None,
    )


def _load(paths: Iterable[Path]) -> _Loaded:
    loaded = _Loaded()
    names: dict[str, Path] = {}
    for path in paths:
        try:
            compiled = compile_pipeline(path)
            _require_new_name(compiled, names)
        except ElspethError as error:
            loaded.broken.append((path, str(error)))
            continue
        loaded.pipelines.append(compiled)
    return loaded


def _require_new_name(compiled: Compiled, names: dict[str, Path]) -> None:
    name = safe_name(compiled.graph.pipeline)
    other = names.setdefault(name, compiled.settings.path)
    if other != compiled.settings.path:
        raise NameCollisionError("settings files", str(other), str(compiled.settings.path), name)


def _targets(loaded: _Loaded) -> dict[str, dg.AssetKey]:
    """The files and tables that sinks write; one that a second sink writes too breaks its pipeline."""
    targets: dict[str, dg.AssetKey] = {}
    kept = []
    for compiled in loaded.pipelines:
        written = _sink_targets(compiled)
        own = {target: sink_key(compiled.graph.pipeline, sink) for sink, target in written}
        clashes = {target: targets[target] for target in own if target in targets}
        if clashes or len(own) < len(written):
            loaded.broken.append((compiled.settings.path, _clash(clashes)))
            continue
        targets |= own
        kept.append(compiled)
    loaded.pipelines[:] = kept
    return targets


def _clash(clashes: Mapping[str, dg.AssetKey]) -> str:
    if not clashes:
        return "two sinks of this pipeline write the same file or table; give each its own"
    listed = "; ".join(f"{target} is written by {key.to_user_string()}" for target, key in clashes.items())
    return f"two pipelines write the same target: {listed}. Give each sink a path or table of its own."


def _sink_targets(compiled: Compiled) -> list[tuple[str, str]]:
    found = []
    for name, settings in compiled.settings.sinks.items():
        sink, path = compiled.create(name), settings.options.get("path")
        if isinstance(sink, LaidOutSink):
            found.append((name, sink.target(_resolved)))
        elif isinstance(path, str):
            found.append((name, str(_resolved(path))))
    return found


def _resolved(path: str) -> Path:
    return (platform_root() / path).resolve()


def _upstream(
    compiled: Compiled, targets: Mapping[str, dg.AssetKey], outside: dict[dg.AssetKey, Path]
) -> dg.AssetKey | None:
    """The asset that a pipeline's source reads: another pipeline's sink, or a file from outside."""
    named = compiled.settings.source.options.get("path")
    if not isinstance(named, str):
        return None
    path = _resolved(named)
    sink = targets.get(str(path))
    if sink is not None:
        own = {sink_key(compiled.graph.pipeline, name) for name in compiled.settings.sinks}
        return None if sink in own else sink
    key = _file_key(path)
    outside[key] = path
    return key


def _file_key(path: Path) -> dg.AssetKey:
    root = platform_root()
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[1:]
    return dg.AssetKey(["files", *parts])


def _external(key: dg.AssetKey, path: Path) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        description="A file from outside that a pipeline reads.",
        group_name="files",
        kinds={"file"},
        metadata={"dagster/uri": path.as_uri()},
    )


def _broken_asset(path: Path, why: str) -> dg.AssetsDefinition:
    """An asset that stands for a settings file that does not load, and fails with the reason."""
    root = platform_root()
    name = pipeline_name(path)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    key = dg.AssetKey(["broken_settings", *shown.parts])
    problems = why.replace(f"{root}{os.sep}", "").splitlines()

    @dg.asset(
        key=key,
        group_name="broken_settings",
        description="\n".join([f"**{name} does not load.**", "", *(f"- {code(line)}" for line in problems)]),
        metadata={"settings file": str(shown)},
        kinds={"error"},
        op_tags={"elspeth/broken": "true"},
    )
    def broken() -> None:
        raise dg.Failure("\n".join([f"{shown} does not load:", *problems]), allow_retries=False)

    return broken
