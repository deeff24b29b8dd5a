"""What every phase of a run needs at hand."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from elspeth_dagster.engine.stopwatch import Stopwatch, by_the_clock
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.model import Attempt
from elspeth_dagster.plugins.base import PluginContext, Source
from elspeth_dagster.plugins.compile import Compiled
from elspeth_dagster.plugins.errors import OptionsError
from elspeth_dagster.plugins.kinds import PluginKind
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.settings.partitions import with_partition

DEFAULT_CHUNK_ROWS = 50_000
WAITING_CHUNK_ROWS = 100
"""Where a node waits on something outside, so that little of what was answered is ever asked again."""
CHUNK_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Launch:
    """What was chosen when the run was launched; a resumed run keeps what its first attempt had.

    Attributes:
        settings_path: The settings file.
        source_path: Replaces the source's `path` option.
        limit: Read at most so many records.
        partition: Key of the partition that the run is for.
    """

    settings_path: str
    source_path: str | None = None
    limit: int | None = None
    partition: str | None = None


def create_source(compiled: Compiled, launch: Launch) -> Source:
    """A new instance of the source's plugin, with the path that was chosen at launch.

    Raises:
        LaunchChoiceError: The source takes no path.
    """
    settings = compiled.settings.source
    if launch.source_path is None or launch.source_path == settings.options.get("path"):
        source = compiled.create(settings.name)
    else:
        options = {**settings.options, "path": launch.source_path}
        try:
            configured = compiled.plugins.configure(PluginKind.SOURCE, settings.plugin, options)
        except OptionsError as error:
            raise LaunchChoiceError(compiled.graph.pipeline, launch.source_path, error) from error
        source = configured.create()
    assert isinstance(source, Source)
    return source


class LaunchChoiceError(ElspethError):
    """The source cannot read the path that was chosen at launch."""

    def __init__(self, pipeline: str, path: str, error: ElspethError) -> None:
        self.node = "source"
        super().__init__(f"pipeline {pipeline!r}: source path {path!r} was chosen at launch, but {error}")


@dataclass
class Progress:
    """Says now and then how far a phase is.

    Attributes:
        say: Takes a line for people.
        every_rows: A line every so many rows,
        every_seconds: or seconds, whichever is first.
    """

    say: Callable[[str], None]
    every_rows: int = 100_000
    every_seconds: float = 5.0
    _rows: int = 0
    _said_rows: int = 0
    _said_at: float = field(default_factory=time.monotonic)

    def advance(self, rows: int, doing: str) -> None:
        """Adds rows that are done, and says so when it is time."""
        self._rows += rows
        now = time.monotonic()
        if self._rows - self._said_rows >= self.every_rows or now - self._said_at >= self.every_seconds:
            self.say(f"{doing}: {self._rows:,} rows so far")
            self._said_rows, self._said_at = self._rows, now


@dataclass(frozen=True)
class Work:
    """One op's hold on a run.

    Attributes:
        landscape: Where the run is recorded.
        attempt: Under whose fence this op commits.
        compiled: The pipeline.
        launch: The run's launch choices.
        root: The platform root, against which relative paths are resolved.
        progress: Where progress is said.
        pause: Waits for so many seconds, before a call is tried again.
        stopwatch: Does something, and gives its result and how long it took (µs).
    """

    landscape: Landscape
    attempt: Attempt
    compiled: Compiled
    launch: Launch
    root: Path
    progress: Progress
    pause: Callable[[float], None] = time.sleep
    stopwatch: Stopwatch = by_the_clock

    @property
    def workers(self) -> int:
        """How many calls of a transform that waits are under way at a time."""
        return self.compiled.settings.concurrency.max_workers

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.attempt.pipeline

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.attempt.run_id

    def resolve(self, path: str) -> Path:
        """A path of the settings file, absolute, with the partition's key in it."""
        return (self.root / with_partition(path, self.launch.partition)).resolve()

    def context(self, node: str) -> PluginContext:
        """What the plugin of a node may know."""
        return PluginContext(self.pipeline, node, self.run_id, self.resolve, self.launch.partition)

    @property
    def retry(self) -> Retry:
        """How calls of plugins are tried again."""
        settings = self.compiled.settings
        return Retry(settings.retry, self.pause, settings.scrubbed)

    @property
    def chunk_rows(self) -> int:
        """At how many rows a chunk closes."""
        default = WAITING_CHUNK_ROWS if self.compiled.waits else DEFAULT_CHUNK_ROWS
        return self.compiled.settings.chunk_rows or default
