"""What can stop a publish, each error built from its culprits. What was committed before stays."""

from pathlib import Path

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape.errors import may_pass


class PublishError(ElspethError):
    """Something around a sink is not as it has to be; none of the rows is to blame.

    Attributes:
        node: The sink.
    """

    def __init__(self, pipeline: str, sink: str, what: str) -> None:
        self.pipeline = pipeline
        self.node = sink
        super().__init__(
            f"pipeline {pipeline!r}, sink {sink!r}: {what}. "
            "What is committed is kept; mend it, then resume the run."
        )


class TargetError(PublishError):
    """The target cannot be written: no permission, no space, something else in its place."""

    def __init__(self, pipeline: str, sink: str, path: Path, error: OSError) -> None:
        super().__init__(pipeline, sink, f"{path} cannot be written: {error.strerror or error}")
        self.path = path
        self.retryable = may_pass(error)


class DatabaseTargetError(PublishError):
    """The database is away, full, or does not let us."""

    def __init__(self, pipeline: str, sink: str, where: str, why: str, *, retryable: bool) -> None:
        super().__init__(pipeline, sink, f"{where} cannot be written: {why}")
        self.retryable = retryable


class TargetLockedError(PublishError):
    """Another process publishes to the same target and does not finish."""

    retryable = True

    def __init__(self, pipeline: str, sink: str, path: Path, lock: Path, waited_s: float) -> None:
        super().__init__(
            pipeline, sink, f"another process has been writing {path} for {waited_s:.0f} s (it holds {lock})"
        )
        self.path = path


class AppendConflictError(PublishError):
    """The file to append to is not what it was when this run began to append."""

    def __init__(self, pipeline: str, sink: str, path: Path, recorded: str, found: str) -> None:
        super().__init__(
            pipeline,
            sink,
            f"{path} was changed by someone else while this run appended to it. "
            f"Recorded before: {recorded}. "
            f"Found: {found}. Nothing was cut off or overwritten",
        )
        self.path = path


class ExistingTargetError(PublishError):
    """The file to append to is not one that the sink's rows can be appended to."""

    def __init__(self, pipeline: str, sink: str, error: ElspethError) -> None:
        super().__init__(pipeline, sink, str(error))


class OutputOrderError(ElspethError):
    """The parts of a sink are not in token order: a defect of the engine. Nothing was published."""

    def __init__(self, pipeline: str, sink: str, before: str, after: str) -> None:
        self.pipeline = pipeline
        self.node = sink
        super().__init__(
            f"pipeline {pipeline!r}, sink {sink!r}: token {after} comes behind token {before}. "
            "Nothing was published."
        )


class SinkFailureError(ElspethError):
    """The code of a sink raised.

    Attributes:
        node: The sink.
        exception: `TypeName: message` of what it raised.
    """

    def __init__(
        self,
        pipeline: str,
        sink: str,
        rows: tuple[int, int] | None,
        error: BaseException,
        *,
        retryable: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.node = sink
        self.exception = f"{type(error).__name__}: {error}"
        self.retryable = retryable
        place = "" if rows is None else f", rows {rows[0]} to {rows[1]}"
        super().__init__(
            f"pipeline {pipeline!r}, node {sink!r}{place}: the plugin raised {self.exception}. "
            "Mend the plugin, then resume the run."
        )


class UnknownSinkError(ElspethError):
    """A sink plugin of a kind that the engine cannot publish."""

    def __init__(self, pipeline: str, sink: str, kind: str) -> None:
        self.pipeline = pipeline
        self.node = sink
        super().__init__(
            f"pipeline {pipeline!r}, sink {sink!r}: {kind} is no FileSink, DatabaseSink or RowSink; "
            "extend one of them"
        )
