"""Many settings files: which of them are pipelines, and what they read and write of each other."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.orchestration.assets import sink_key, source_key
from elspeth_dagster.orchestration.names import NameCollisionError, TakenNames, free_key, own_names
from elspeth_dagster.orchestration.platform import platform_root
from elspeth_dagster.plugins.compile import Compiled, compile_pipeline
from elspeth_dagster.plugins.sinks.file import LaidOutSink
from elspeth_dagster.plugins.targets import Target, Targets, could_be_watched
from elspeth_dagster.settings import pipeline_name
from elspeth_dagster.settings.partitions import PLACEHOLDER, wanted_below, watched_folder


class CircleError(ElspethError):
    """Pipelines read in a circle what another one of them writes, so that none can be the first."""

    def __init__(self, circle: list[str]) -> None:
        """Args: the pipelines, each reading what the next one writes, and the last what the first does."""
        told = "; ".join(
            f"{reader} reads what {writer} writes"
            for reader, writer in zip(circle, [*circle[1:], circle[0]], strict=True)
        )
        super().__init__(f"{told}: a circle, in which none can run first. Change what one of them reads")


class WatchedSinkError(ElspethError):
    """What a pipeline writes would start it again and again."""

    def __init__(self, target: Target, pattern: str) -> None:
        super().__init__(
            f"{target.owner} writes {target.place}, which would be watched too ({pattern}); "
            "choose another folder for it"
        )


@dataclass
class Loaded:
    """What became of some settings files.

    Attributes:
        pipelines: Those that are in order, by their files.
        broken: What is wrong with the others.
        names: Jobs, graphs and ops. A file that does not load keeps its names, so that no other one goes on
            with its history.
        upstream: What sources read: another pipeline's sink, or a file from outside.
        outside: The files from outside.
    """

    pipelines: dict[Path, Compiled] = field(default_factory=dict)
    broken: dict[Path, str] = field(default_factory=dict)
    names: TakenNames = field(default_factory=TakenNames)
    upstream: dict[Path, dg.AssetKey | None] = field(default_factory=dict)
    outside: dict[dg.AssetKey, Path] = field(default_factory=dict)

    def put_aside(self, path: Path, error: Exception) -> None:
        """Takes a pipeline out, and keeps what is wrong with it."""
        self.pipelines.pop(path, None)
        self.broken[path] = described(error)

    def keys(self) -> set[dg.AssetKey]:
        """The asset keys of the pipelines."""
        return {
            key
            for compiled in self.pipelines.values()
            for key in (
                source_key(compiled.graph.pipeline),
                *(sink_key(compiled.graph.pipeline, sink) for sink in compiled.settings.sinks),
            )
        }


def described(error: Exception) -> str:
    """What an error says; where it is none of ours, with its kind."""
    return str(error) if isinstance(error, ElspethError) else f"{type(error).__name__}: {error}"


def load(paths: Iterable[Path]) -> Loaded:
    """Loads settings files, and sees what does not go together."""
    loaded = Loaded()
    for path in paths:
        _compile(loaded, path)
    root = platform_root()
    _connect(loaded, _sinks(loaded, root), root)
    return loaded


def _compile(loaded: Loaded, path: Path) -> None:
    problems = []
    try:
        loaded.names.take(path, own_names(pipeline_name(path)))
    except NameCollisionError as error:
        problems.append(str(error))
    try:
        loaded.pipelines[path] = compile_pipeline(path)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others load
        problems.append(described(error))
    if problems:
        loaded.pipelines.pop(path, None)
        loaded.broken[path] = "\n".join(problems)


def _sinks(loaded: Loaded, root: Path) -> dict[str, tuple[Path, dg.AssetKey]]:
    """The files and tables that sinks write; one that another sink can write too breaks its pipeline."""
    found: dict[str, tuple[Path, dg.AssetKey]] = {}
    targets = Targets()
    for path, compiled in list(loaded.pipelines.items()):
        try:
            written = list(_written(compiled, root))
            _require_unwatched(compiled, root, [target for _, target in written])
        except (OSError, ValueError, WatchedSinkError) as error:
            loaded.put_aside(path, error)
            continue
        clashes = [(target, other) for _, target in written if (other := targets.take(target)) is not None]
        if clashes:
            loaded.pipelines.pop(path)
            loaded.broken[path] = "\n".join(_clash(*clash) for clash in clashes)
            continue
        found |= {target.place: (path, key) for key, target in written}
    return found


def _require_unwatched(compiled: Compiled, root: Path, targets: Iterable[Target]) -> None:
    """Refuses a sink whose files the pipeline would take for arrivals, however the two places are written.

    Raises:
        WatchedSinkError: There is one.
    """
    sensor = compiled.settings.dagster.sensor
    if sensor is None:
        return
    pattern = str(_resolved(watched_folder(sensor.watch), root).joinpath(*wanted_below(sensor.watch)))
    for target in targets:
        if target.place.startswith(os.sep) and could_be_watched(target.place, pattern):
            raise WatchedSinkError(target, pattern)


def _clash(target: Target, other: Target) -> str:
    if target.place == other.place:
        return (
            f"two sinks write the same target: {target.owner} writes {target.place}, and so does "
            f"{other.owner}. Give each a path or table of its own."
        )
    return (
        f"{target.owner} writes {target.place}, which {other.owner} can come to write too: it writes "
        f"{other.place}, and {PLACEHOLDER} may be any key. Put one of the two into a folder of its own."
    )


def _written(compiled: Compiled, root: Path) -> Iterator[tuple[dg.AssetKey, Target]]:
    for name, settings in compiled.settings.sinks.items():
        sink, path = compiled.create(name), settings.options.get("path")
        key = sink_key(compiled.graph.pipeline, name)
        owner, cadence = key.to_user_string(), compiled.settings.dagster.partitions
        if isinstance(sink, LaidOutSink):
            yield key, Target(sink.target(lambda path: _resolved(path, root)), owner, cadence)
        elif isinstance(path, str):
            yield key, Target(str(_resolved(path, root)), owner, cadence)


def _resolved(path: str, root: Path) -> Path:
    # Not by `Path.resolve`, which raises where symbolic links go in a circle.
    return Path(os.path.realpath(root / path))


def _connect(loaded: Loaded, sinks: Mapping[str, tuple[Path, dg.AssetKey]], root: Path) -> None:
    """Finds what sources read, and takes out the pipelines that read in a circle."""
    keys, reads = loaded.keys(), {}
    for path, compiled in list(loaded.pipelines.items()):
        try:
            place = _read(compiled, root)
        except (OSError, ValueError) as error:
            loaded.put_aside(path, error)
            continue
        if place is None:
            loaded.upstream[path] = None
            continue
        writer, sink = sinks.get(str(place), (None, None))
        if sink is None:
            loaded.upstream[path] = _outside(loaded, place, root, keys)
        else:
            loaded.upstream[path] = None if writer == path else sink
        if writer is not None and writer != path:
            reads[path] = writer
    for circle in _circles(reads):
        for path in circle:
            loaded.put_aside(path, CircleError([pipeline_name(other) for other in circle]))


def _read(compiled: Compiled, root: Path) -> Path | None:
    named = compiled.settings.source.options.get("path")
    return _resolved(named, root) if isinstance(named, str) else None


def _circles(reads: Mapping[Path, Path]) -> Iterator[list[Path]]:
    """The circles among files of which each reads of one other at most."""
    done: set[Path] = set()
    for start in reads:
        way, path = [], start
        while path in reads and path not in done:
            done.add(path)
            way.append(path)
            path = reads[path]
        if path in way:
            yield way[way.index(path) :]


def _outside(loaded: Loaded, path: Path, root: Path, keys: set[dg.AssetKey]) -> dg.AssetKey:
    """The key of a file from outside; none that an asset, or another such file, has."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[1:]
    key = free_key("files", parts, lambda key: key in keys or loaded.outside.get(key, path) != path)
    loaded.outside[key] = path
    return key
