"""The base classes that sources, transforms and sinks extend, built-in ones and a user's alike."""

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.rows.fields import OBSERVED, Schema
from elspeth_dagster.rows.records import Records
from elspeth_dagster.rows.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

Reason = dict[str, Any]
"""Why a row was not accepted: `{"reason": "missing_field", "field": "x"}`, JSON values only."""


class Options(BaseModel):
    """Base of a plugin's options: unknown keys are errors, values are frozen.

    The key `schema` (reference 2.2) is taken out of a node's options before they are validated here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class NoOptions(Options):
    """For a plugin that takes none."""


class TransientError(ElspethError):
    """Raise it (or a subclass) in a plugin when trying the same call again may succeed."""

    retryable = True


_STAYING = (
    FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError,
    ProcessLookupError, ChildProcessError, ValueError,
)  # fmt: skip
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed when it is tried again.

    That is what declares it (`TransientError`), and trouble with the outside: connections, timeouts and other
    errors of the operating system. It is not a wrong path, a missing permission, a full disk or wrong use.
    """
    if isinstance(error, ElspethError):
        return error.retryable
    if not isinstance(error, OSError) or isinstance(error, _STAYING):
        return False
    return error.errno not in _FULL


@dataclass(frozen=True)
class PluginContext:
    """What a plugin may know of its surroundings.

    Attributes:
        pipeline: The pipeline's name.
        node: The name of the node that the plugin works for.
        run_id: The landscape run, empty while settings are only validated.
        resolve: Turns a path of the settings file into an absolute one (relative to the platform root), with
            the partition's key for `{partition}`.
        partition: Key of the partition that the run is for; `None` for a pipeline without partitions.
    """

    pipeline: str
    node: str
    run_id: str
    resolve: Callable[[str], Path]
    partition: str | None = None


class Plugin(ABC):  # noqa: B024 - its subclasses have the abstract methods
    """Something that a settings file names under `plugin:`.

    An instance lives for one Dagster op: it is made from its validated options, opened once, used, and
    closed once whatever happened in between. It must not keep anything from one row to the next.

    Attributes:
        Options: The pydantic model of the node's options, without the key `schema`.
        options: The validated options.
        schema: The node's `schema` block, observed when it has none.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any, schema: Schema = OBSERVED) -> None:
        self.options = options
        self.schema = schema

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """Per option the fields that it names; one that no row can have that comes is warned of."""
        return {}

    def open(self, context: PluginContext) -> None:  # noqa: B027 - most plugins have nothing to open
        """Called once before the first row; open connections and files here."""

    def close(self) -> None:  # noqa: B027 - most plugins have nothing to close
        """Called exactly once after the last row, or after whatever went wrong."""


def promised(schema: Schema) -> frozenset[str]:
    """The names that a node with this schema guarantees: required fields and `guaranteed_fields`."""
    return frozenset(spec.name for spec in schema.fields if spec.required) | {*schema.guaranteed_fields}


class Replay(Enum):
    """What a source can do when a run that died while reading is continued.

    CURSOR: read on from the last committed cursor. RESTART: everything read so far is dropped and read
    again. ONCE: what was handed over can't be had again.
    """

    CURSOR = "cursor"
    RESTART = "restart"
    ONCE = "once"


@dataclass(frozen=True)
class Notice:
    """Something about the source as a whole that belongs in the record but is no row."""

    kind: str
    detail: str
    line: int | None = None


@dataclass(frozen=True)
class ReadRequest:
    """What the engine asks of a source.

    Attributes:
        cursor: What the last committed chunk left, or `None` at the start.
        first: Index of the next record.
        max_records: A chunk closes at so many records,
        max_bytes: or at so many bytes of input, whichever comes first (one record may be larger).
        limit: Total records wanted over the whole run, those before the cursor included; `None` for all.
        clock_us: The run's own clock, for `Records.arrived_us`.
    """

    cursor: Mapping[str, Any] | None
    first: int
    max_records: int
    max_bytes: int
    limit: int | None
    clock_us: Callable[[], int]


@dataclass(frozen=True)
class SourceChunk:
    """Records that are frozen together, with what it takes to read on behind them.

    A chunk without records is allowed when it carries notices (an empty file's, say).

    Attributes:
        records: The records.
        cursor: JSON values, for the source alone, but for `header`: where it has `names` and `originals`,
            lists as long as each other, a sink without rows knows from it what the source calls a field.
        notices: What is to be said of the input beside its records.
        input_bytes: How much of the input they take.
    """

    records: Records
    cursor: dict[str, Any]
    notices: tuple[Notice, ...] = ()
    input_bytes: int = 0


class Source(Plugin):
    """Cuts the outside world into records, streaming, without validating them."""

    replay: ClassVar[Replay] = Replay.RESTART

    @abstractmethod
    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:
        """Yields the records behind `request.cursor`, chunk by chunk."""

    def uris(self) -> tuple[str, ...]:
        """What is read, as shown to people and to Dagster (paths for files)."""
        return ()


class RowSource(Source):
    """The simplest source of your own: yield one mapping per record."""

    @abstractmethod
    def read(self) -> Iterator[Mapping[str, Any]]:
        """Yields the records in a stable order."""

    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:
        """Packs what `read` yields into chunks."""
        from elspeth_dagster.plugins.sources.packing import pack_mappings  # noqa: PLC0415 - it imports this module

        return pack_mappings(self.read(), request)


@dataclass(frozen=True)
class Transformed:
    """What a transform made of some rows.

    Attributes:
        rows: The rows that went well, in the order of the input, with their input's tokens.
        errors: Position in the input to reason, for every other row.
        tries: Position in the input to what went wrong, for rows that were tried before in vain.
    """

    rows: Rows
    errors: Mapping[int, Reason] = field(default_factory=dict)
    tries: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


class Transform(Plugin):
    """Works on whole columns. `RowTransform` and `FrameTransform` are easier to write.

    Attributes:
        changes_rows: Whether a row may come out different. A transform that only looks sets it to false,
            and its rows are not hashed again.
        keeps_fields: Whether rows come out with just the fields that they came in with, so that the schema of
            the next node can be checked against this node's.
        expands: Whether several rows can come of one; it is an `ExpandingTransform`.
        waits: Whether it waits for something outside, such as a service. Its calls are then made several at a
            time, so that `process` must not mind other threads; branches that wait do so side by side; the
            time that a call takes counts as the token's own; and what was answered is recorded before it is
            acted on, so that a run that is continued does not ask again.
    """

    changes_rows: ClassVar[bool] = True
    keeps_fields: ClassVar[bool] = False
    expands: ClassVar[bool] = False
    waits: ClassVar[bool] = False

    @abstractmethod
    def apply(self, rows: Rows) -> Transformed:
        """Transforms some rows; each one on its own, whatever else is in the slice."""

    def guarantees(self) -> frozenset[str]:
        """Names that every row has that comes out, as far as the options alone tell."""
        return promised(self.schema)


@dataclass(frozen=True)
class RowError:
    """Returned by `RowTransform.process` for a row that takes its `on_error` route."""

    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class RowTransform(Transform):
    """One row at a time: a `dict` in, a `dict` or a `RowError` out."""

    @abstractmethod
    def process(self, row: dict[str, Any]) -> dict[str, Any] | RowError:
        """Gives the new row; a `RowError` sets it aside, an exception that cannot pass stops the run."""

    def apply(self, rows: Rows) -> Transformed:
        """Calls `process` for each row."""
        from elspeth_dagster.plugins.adapters import apply_row_by_row  # noqa: PLC0415 - it imports this module

        return apply_row_by_row(self.process, rows)


@dataclass(frozen=True)
class FrameResult:
    """What a `FrameTransform` returns.

    Attributes:
        frame: The new frame, with the index of the frame that came in; rejected rows may be left out or not.
        rejected: Boolean per row of the frame that came in, or `None` when none is.
        reasons: Text per row of the frame that came in; read where `rejected` is true.
    """

    frame: "pd.DataFrame"
    rejected: "pd.Series[bool] | None" = None
    reasons: "pd.Series[str] | None" = None


class FrameTransform(Transform):
    """Some rows at a time as a `pandas.DataFrame` with Arrow types."""

    @abstractmethod
    def process(self, frame: "pd.DataFrame") -> FrameResult:
        """Gives the new frame; each row must depend on itself alone."""

    def apply(self, rows: Rows) -> Transformed:
        """Calls `process` with the rows as a frame."""
        from elspeth_dagster.plugins.adapters import apply_frame  # noqa: PLC0415 - it imports this module

        return apply_frame(self.process, rows, self.schema)


@dataclass(frozen=True)
class Expanded(Transformed):
    """What an expanding transform made of some rows.

    Attributes:
        rows: The rows that came out, those of each input row together, in the order of the input. Their
            tokens mean nothing.
        parents: Per row that came out, the position in the input of the row that it came of (int64).
        first_ordinal: How many rows of the first of these parents came out before, in an earlier piece.
    """

    parents: pa.Array = field(kw_only=True)
    first_ordinal: int = field(default=0, kw_only=True)


NOTHING_TO_EXPAND: Reason = {"reason": "nothing_to_expand"}
"""The reason of a row of which an expanding transform makes none."""


class ExpandingTransform(Transform):
    """Makes any number of rows of each, but never none: that is an error of the row."""

    expands: ClassVar[bool] = True

    @abstractmethod
    def expand(self, rows: Rows) -> Iterator[Expanded]:
        """Expands some rows; each one on its own, in pieces that need not be held in memory together.

        An input row is in `errors` of one piece, or has rows in one or several pieces that follow each other.
        """

    def apply(self, rows: Rows) -> Expanded:
        """Expands some rows, all in one piece."""
        return in_one_piece(self.expand(rows))


def in_one_piece(expanded: Iterable[Expanded]) -> Expanded:
    """What came of some rows in several pieces, as one."""
    pieces = list(expanded)
    errors = {position: reason for piece in pieces for position, reason in piece.errors.items()}
    tries = {position: failed for piece in pieces for position, failed in piece.tries.items()}
    parents = pa.concat_arrays([piece.parents for piece in pieces])
    return Expanded(Rows.concat([piece.rows for piece in pieces]), errors, tries, parents=parents)


class ExpandingRowTransform(ExpandingTransform):
    """One row at a time: a `dict` in, a list of them or a `RowError` out."""

    @abstractmethod
    def process(self, row: dict[str, Any]) -> list[dict[str, Any]] | RowError:
        """Gives the rows that come of this one.

        A `RowError`, or an empty list, sets the row aside; an exception that cannot pass stops the run.
        """

    def expand(self, rows: Rows) -> Iterator[Expanded]:
        """Calls `process` for each row."""
        from elspeth_dagster.plugins.adapters import expand_row_by_row  # noqa: PLC0415 - it imports this module

        return expand_row_by_row(self.process, rows)


class PluginError(ElspethError):
    """Code of a plugin raised: a bug, or something outside that it depends on.

    Attributes:
        token: The row it was working on, when it is known.
    """

    def __init__(self, cause: BaseException, *, token: bytes | None = None) -> None:
        self.cause = cause
        self.token = token
        self.retryable = may_pass(cause)
        super().__init__(f"{type(cause).__name__}: {cause}")


class Sink(Plugin):
    """Takes rows and makes them durable.

    Attributes:
        delivery: `exactly_once`, or `at_least_once` for a sink that can't tell whether an earlier try of the
            same rows arrived.
    """

    delivery: ClassVar[str] = "exactly_once"

    def uri(self) -> str:
        """Where the rows go, as shown to people."""
        return ""


class RowSink(Sink):
    """The simplest sink of your own: takes rows as mappings, slice by slice.

    A publish that died halfway hands over all rows again, so that rows may arrive more than once.
    """

    delivery: ClassVar[str] = "at_least_once"

    @abstractmethod
    def write(self, rows: list[dict[str, Any]]) -> Mapping[int, str] | None:
        """Takes the next rows, in output order.

        Returns:
            Position in `rows` to reason for those that were refused; they take the sink's `on_write_failure`.
            An exception stops the publish.
        """

    def finish(self) -> Mapping[str, Any]:
        """Called once behind the last row; gives what there is to tell of what was made (JSON values)."""
        return {}
