"""Rows that a sink refused: what is recorded of them, and the parts that take them elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson
import pyarrow as pa

from elspeth_dagster.accounting import Outcome
from elspeth_dagster.engine.parts import Bound, write_part
from elspeth_dagster.engine.record import ERRORS, constant
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import CommitKey, PartFile, attempt_file
from elspeth_dagster.landscape.model import Attempt
from elspeth_dagster.landscape.segments import SegmentWriter, WrittenSegment
from elspeth_dagster.plugins.base import Reason, Sink
from elspeth_dagster.plugins.sinks.fit import reason_text
from elspeth_dagster.rows.rows import Column, Rows, Shape
from elspeth_dagster.rows.tokens import row_indices

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
REFUSALS = pa.schema(
    {
        "token": pa.binary(),
        "node": _DICTIONARY,
        "reason": pa.string(),
        "outcome": _DICTIONARY,
        "to": _DICTIONARY,
    }
)
REFUSED = pa.schema({"edge": _DICTIONARY, "outcome": _DICTIONARY, "to": _DICTIONARY})
"""What accounting needs to know of each refused row."""
DISCARD = "discard"


@dataclass(frozen=True)
class Failure:
    """Where rows go that a sink refuses.

    Attributes:
        to: The sink that takes them, `discard`, or `None` when they end failed.
        sink: The plugin of that sink.
    """

    to: str | None
    sink: Sink | None = None

    @property
    def target(self) -> str | None:
        """The sink that takes them, if one does."""
        return None if self.to == DISCARD else self.to

    @property
    def outcome(self) -> Outcome:
        """How a refused row ends."""
        return Outcome.FAILED if self.to is None else Outcome.QUARANTINED


FAIL = Failure(None)
"""For a sink without `on_write_failure`."""


@dataclass
class RefusalLog:
    """Collects what a publish refuses, on disk but for a few bytes a row."""

    landscape: Landscape
    attempt: Attempt
    key: CommitKey
    failure: Failure
    _refused: list[pa.Table] = field(default_factory=list)
    _parts: list[PartFile] = field(default_factory=list)
    _writers: dict[str, SegmentWriter] = field(default_factory=dict)

    def add(self, bound: Bound, reasons: Mapping[int, Reason]) -> None:
        """Notes the rows at some positions as refused, in token order."""
        if not reasons:
            return
        positions = sorted(reasons)
        refused = bound.take(pa.array(positions, pa.int64()))
        ordered = [reasons[position] for position in positions]
        texts = pa.array([orjson.dumps(reason, default=str).decode() for reason in ordered], pa.string())
        ending = {"outcome": self.failure.outcome.value, "to": self.failure.target}
        tokens = refused.rows.tokens
        common = {"token": tokens, "reason": texts}
        self._write("refusals", REFUSALS, common, {"node": self.key.node, **ending})
        columns = {**common, "row": row_indices(tokens)}
        self._write("errors", ERRORS, columns, {"node": self.key.node, "kind": "write"})
        self._refused.append(_table(REFUSED, {"edge": refused.edges}, ending))
        if self.failure.target is not None and self.failure.sink is not None:
            self._divert(refused, ordered, self.failure.target, self.failure.sink)

    def close(self) -> tuple[dict[str, WrittenSegment], tuple[PartFile, ...]]:
        """Ends the files, and gives what is to be committed."""
        written = {}
        for name in tuple(self._writers):
            written[name] = self._writers.pop(name).close()
        return written, tuple(self._parts)

    def abandon(self, error: BaseException) -> None:
        """Lets the files go because of an error that is on its way; a later attempt sweeps them away."""
        for name in tuple(self._writers):
            self._writers.pop(name).abort(error)

    @property
    def refused(self) -> pa.Table:
        """One row per refused row, for `accounting.tally_publish`."""
        if not self._refused:
            return REFUSED.empty_table()
        return pa.concat_tables(self._refused).unify_dictionaries()

    def _write(
        self,
        name: str,
        schema: pa.Schema,
        columns: Mapping[str, pa.Array],
        constants: Mapping[str, str | None],
    ) -> None:
        if name not in self._writers:
            path = attempt_file(self.landscape, self.attempt, self.key, name, ".parquet")
            self._writers[name] = SegmentWriter(path, name)
        self._writers[name].write(_table(schema, columns, constants))

    def _divert(self, refused: Bound, reasons: list[Reason], target: str, sink: Sink) -> None:
        extra = {
            "__diversion_reason": pa.array([reason_text(reason) for reason in reasons], pa.string()),
            "__diverted_from": pa.repeat(pa.scalar(self.key.node), len(reasons)),
            "__diversion_timestamp": pa.repeat(
                pa.scalar(_timestamp(self.attempt.run_created_at)), len(reasons)
            ),
        }
        rows = _with_columns(refused.rows, extra)
        edges = constant(Outcome.QUARANTINED.value, _DICTIONARY, len(reasons))
        path = attempt_file(self.landscape, self.attempt, self.key, f"for-{target}", "")
        part = write_part(
            path.parent, path.name, rows, edges, sink, sink_name=target, ordinal=len(self._parts)
        )
        self._parts.append(part)


def _timestamp(created_at: datetime) -> str:
    return created_at.isoformat()


def _with_columns(rows: Rows, extra: Mapping[str, pa.Array]) -> Rows:
    """The rows with further text columns, in place of columns of the same name, else behind the others."""

    def extended(shape: Shape) -> Shape:
        return (*shape, *(name for name in extra if name not in shape))

    columns = {**rows.columns, **{name: Column(values) for name, values in extra.items()}}
    return Rows(rows.tokens, tuple(map(extended, rows.shapes)), rows.shape, columns, rows.originals)


def _table(
    schema: pa.Schema, columns: Mapping[str, pa.Array], constants: Mapping[str, str | None]
) -> pa.Table:
    length = len(next(iter(columns.values())))
    arrays = [
        columns[name].cast(kind) if name in columns else constant(constants[name], kind, length)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
