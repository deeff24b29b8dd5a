"""What can stop a run, each error built from its culprits."""

from collections.abc import Sequence

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.base import PluginError


class RowFailureError(ElspethError):
    """A plugin raised while it worked on rows: the run stops at this chunk; what was committed stays.

    Attributes:
        node: The node whose plugin raised.
        row: Index of the row, or `None` when the plugin was given many rows at once.
        rows: First and last row of the slice that it was given.
        exception: `TypeName: message` of what it raised.
    """

    def __init__(
        self, pipeline: str, node: str, row: int | None, rows: tuple[int, int], error: PluginError
    ) -> None:
        self.pipeline = pipeline
        self.node = node
        self.row = row
        self.rows = rows
        self.exception = str(error)
        self.retryable = error.retryable
        place = f"row {row}" if row is not None else f"rows {rows[0]} to {rows[1]}"
        super().__init__(
            f"pipeline {pipeline!r}, node {node!r}, {place}: the plugin raised {self.exception}. "
            "Nothing was published; committed chunks are kept. Mend the plugin, then resume the run."
        )


class IncompleteError(ElspethError):
    """Work of an earlier phase is missing, whatever Dagster believes."""

    def __init__(self, pipeline: str, run_id: str, missing: str) -> None:
        self.pipeline = pipeline
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: {missing}. This step did nothing; resume the run."
        )


class ChecksFailedError(ElspethError):
    """A blocking check did not pass: the run waits before anything leaves."""

    def __init__(self, pipeline: str, run_id: str, settings_path: str, said: Sequence[str]) -> None:
        self.pipeline = pipeline
        listed = "\n".join(f"  {line}" for line in said)
        resume = f"elspeth resume {run_id}"
        ways_on = (
            f"change `dagster.checks` in {settings_path} and resume the run: {resume}",
            f'or publish it as it is, with a reason on record: {resume} --accept-checks --reason "..."',
            f"or give it up: elspeth abandon {run_id}",
        )
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id} is held back by its checks, and nothing was published:\n"
            f"{listed}\nEverything is processed, and is not processed again. {_WAYS_ON}\n"
            + "\n".join(f"  {way}" for way in ways_on)
        )


_WAYS_ON = "Ways to go on:"


def without_ways_on(message: str) -> str:
    """What an error said, without the ways to go on, for a run that does not go on."""
    return message.partition(_WAYS_ON)[0].rstrip()


class SourceIsTargetError(ElspethError):
    """A sink would replace the file that is to be read."""

    def __init__(self, pipeline: str, sink: str, path: str) -> None:
        self.pipeline = pipeline
        self.node = sink
        super().__init__(
            f"pipeline {pipeline!r}, sink {sink!r}: it would replace {path}, which the source is to read. "
            "Nothing was read or written. Choose another file for one of the two, then start a new run."
        )


class SourceFailureError(ElspethError):
    """A source plugin raised something that is not an error of this package."""

    def __init__(self, pipeline: str, record: int, error: BaseException) -> None:
        self.pipeline = pipeline
        self.node = "source"
        self.row = record
        self.exception = f"{type(error).__name__}: {error}"
        super().__init__(
            f"pipeline {pipeline!r}, node 'source', behind record {record}: the plugin raised "
            f"{self.exception}. The chunks read so far are kept. Mend the cause, then resume the run."
        )
