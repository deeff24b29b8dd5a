"""What is recorded of one row, read from the few segments that hold it.

Segments of other chunks are not opened, so the cost does not grow with the run.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import func, select

from elspeth_dagster.accounting import SOURCE_NODE, Outcome
from elspeth_dagster.landscape import reads, schema
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.drafts import CommitKey, answers_node
from elspeth_dagster.landscape.errors import DamagedRecordError
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.landscape.reads import ChunkRow, NodeRow, SegmentRow
from elspeth_dagster.landscape.segments import read_verified
from elspeth_dagster.rows.once import once
from elspeth_dagster.rows.records import Records
from elspeth_dagster.rows.tokens import root_token

RecordedRow = dict[str, Any]

_SWEPT_TABLES: Mapping[str, Sequence[str] | None] = {
    "tokens": ("token", "parents", "created_by", "branch", "batch"),
    "versions": None,
    "states": None,
    "errors": ("token", "node", "kind", "reason"),
}
_CALL_FACTS = ("token", "node", "elapsed_us", "failed_tries", "error")
_CONSUMED = Outcome.CONSUMED_IN_BATCH.value
_BATCH_FACTS = ("batch", "members", "trigger")


@dataclass(frozen=True)
class Swept:
    """What sweeps recorded of a row: rows of the segments, those of one token in the order of its way.

    Attributes:
        tokens: Of the row.
        versions: Of the tokens' rows.
        states: Of the tokens at nodes.
        errors: Of the tokens.
        calls: That transforms made about the tokens, and waited for.
        batches: By aggregation and number, those that tokens of the row are in.
        made: The tokens that came out of each batch that took tokens of the row; they may be another row's.
    """

    tokens: list[RecordedRow] = field(default_factory=list)
    versions: list[RecordedRow] = field(default_factory=list)
    states: list[RecordedRow] = field(default_factory=list)
    errors: list[RecordedRow] = field(default_factory=list)
    calls: list[RecordedRow] = field(default_factory=list)
    batches: dict[tuple[str, int], RecordedRow] = field(default_factory=dict)
    made: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowRecord:
    """One row of a run in the record.

    Attributes:
        landscape: The record.
        chunk: The chunk of stage 0 that the row's record is in.
        row: The row's index.
    """

    landscape: Landscape
    chunk: ChunkRow
    row: int
    _refusals: dict[str, Mapping[bytes, RecordedRow] | None] = field(default_factory=dict)

    @once
    def nodes(self) -> list[NodeRow]:
        """The nodes of the run's graph."""
        return reads.nodes(self.landscape, self.chunk.run_id)

    def received(self) -> Records | None:
        """The one record, as received; `None` when records are not kept any more."""
        key = CommitKey(Phase.SOURCE, SOURCE_NODE, self.chunk.ordinal)
        segment = (self._segments(key) or {}).get("records")
        if segment is None:
            return None
        with _verified(self.landscape, segment) as file:
            return Records.from_table(_between(file, "record", self.row, self.row + 1, None))

    def swept(self) -> Swept | None:
        """What the sweeps recorded; `None` while the row's chunk is not committed."""
        segments = self._segments(CommitKey(Phase.PROCESS, "stage_0", self.chunk.ordinal))
        if segments is None:
            return None
        found = Swept()
        self._add_sweep(found, segments, 0, self.chunk.ordinal)
        for aggregation, stage in self._aggregations():
            members = [state["token"] for state in found.states if state["to"] == aggregation]
            for ordinal in self._chunks_of(stage, members):
                self._add_batches(found, aggregation, stage, ordinal)
        return found

    def _add_sweep(self, found: Swept, segments: Mapping[str, SegmentRow], stage: int, ordinal: int) -> None:
        known = len(found.states)
        for table, columns in _SWEPT_TABLES.items():
            if table in segments:
                with _verified(self.landscape, segments[table]) as file:
                    getattr(found, table).extend(self._own(file, columns))
        for node in dict.fromkeys(state["node"] for state in found.states[known:]):
            self._add_calls(found, stage, node, ordinal)

    def _add_calls(self, found: Swept, stage: int, node: str, ordinal: int) -> None:
        """The calls of a node, if it is one that makes any: a commit for each slice of the chunk."""
        for number in count():
            key = CommitKey(Phase.PROCESS, answers_node(stage, node, number), ordinal)
            segments = self._segments(key)
            if segments is None:
                return
            with _verified(self.landscape, segments["calls"]) as file:
                found.calls.extend(self._own(file, _CALL_FACTS))

    def _aggregations(self) -> list[tuple[str, int]]:
        """Every aggregation with the stage behind it, in order: a stage is fed by one before it."""
        found = [(node.name, node.stage) for node in self.nodes if node.kind == "aggregation"]
        return sorted(found, key=lambda aggregation: aggregation[1])

    def _chunks_of(self, stage: int, members: Sequence[bytes]) -> range:
        """The chunks of a stage that tokens bound for it fall in: it takes tokens in their order."""
        last = _last_ordinal(self.landscape, self.chunk.run_id, stage)
        if last is None or not members:
            return range(0)

        def first_token(ordinal: int) -> bytes:
            cursor = reads.chunk(self.landscape, self.chunk.run_id, stage, ordinal).cursor
            return bytes.fromhex(cursor["first_token"])

        ordinals = range(last + 1)
        begin = bisect_right(ordinals, min(members), key=first_token) - 1
        end = bisect_right(ordinals, max(members), lo=max(begin, 0), key=first_token)
        return range(max(begin, 0), end)

    def _add_batches(self, found: Swept, aggregation: str, stage: int, ordinal: int) -> None:
        """What the chunk's sweep recorded, and the batches that tokens of the row are in there."""
        segments = self._segments(CommitKey(Phase.PROCESS, f"stage_{stage}", ordinal))
        if segments is None:
            return
        known = len(found.states)
        self._add_sweep(found, segments, stage, ordinal)
        self._add_made(found, aggregation, segments, found.states[known:])
        numbers = {state["batch"] for state in found.states[known:] if state["node"] == aggregation}
        numbers |= {token["batch"] for token in found.tokens if token["created_by"] == aggregation}
        numbers.discard(None)
        planned = self._segments(CommitKey(Phase.PROCESS, f"plan_{aggregation}", ordinal)) or {}
        if not numbers or "batches" not in planned:
            return
        with _verified(self.landscape, planned["batches"]) as file:
            table = _between(file, "batch", min(numbers), max(numbers) + 1, _BATCH_FACTS)
        for batch in table.to_pylist():
            found.batches[aggregation, batch["batch"]] = batch

    def _add_made(
        self,
        found: Swept,
        aggregation: str,
        segments: Mapping[str, SegmentRow],
        states: Sequence[RecordedRow],
    ) -> None:
        """What came out of the batches that took tokens of the row, from the segment of the same chunk."""
        took = [
            state["batch"]
            for state in states
            if state["outcome"] == _CONSUMED and state["node"] == aggregation
        ]
        if not took:
            return
        found.made.update({(aggregation, number): [] for number in took})
        if "tokens" not in segments:
            return
        with _verified(self.landscape, segments["tokens"]) as file:
            table = _between(file, "batch", min(took), max(took) + 1, ("token", "batch"))
        for token in table.to_pylist():
            made = found.made.get((aggregation, token["batch"]))
            if made is not None:
                made.append(token["token"])

    def refusals(self, sink: str) -> Mapping[bytes, RecordedRow] | None:
        """By token what a sink refused of the row; `None` while the sink is not published."""
        if sink not in self._refusals:
            self._refusals[sink] = self._read_refusals(sink)
        return self._refusals[sink]

    def _read_refusals(self, sink: str) -> Mapping[bytes, RecordedRow] | None:
        segments = self._segments(CommitKey(Phase.SINK, sink, 0))
        if segments is None or "refusals" not in segments:
            return segments if segments is None else {}
        with _mapped(self.landscape, segments["refusals"]) as file:
            return {refusal["token"]: refusal for refusal in self._own(file, None)}

    def _own(self, file: pq.ParquetFile, columns: Sequence[str] | None) -> list[RecordedRow]:
        """The row's tokens in a segment: a range, since each begins with the row's index."""
        table = _between(file, "token", root_token(self.row), root_token(self.row + 1), columns)
        rows: list[RecordedRow] = table.to_pylist()
        return rows

    def _segments(self, key: CommitKey) -> Mapping[str, SegmentRow] | None:
        """The segments of a commit by their table; `None` when there is no such commit."""
        made_by, segment = schema.commits.c, schema.segments.c
        place = (made_by.run_id, made_by.phase, made_by.node, made_by.ordinal)
        query = (
            select(*place, segment.table_name, segment.path, segment.rows, segment.bytes, segment.sha256)
            .select_from(schema.commits.outerjoin(schema.segments))
            .where(made_by.run_id == self.chunk.run_id, made_by.phase == int(key.phase))
            .where(made_by.node == key.node, made_by.ordinal == key.ordinal)
        )
        found = self.landscape.ask(lambda connection: connection.execute(query).mappings().all())
        if not found:
            return None
        named = [row for row in found if row["table_name"] is not None]
        return {row["table_name"]: SegmentRow(**{**row, "phase": key.phase}) for row in named}


def find_row(landscape: Landscape, run_id: str, row: int) -> RowRecord | None:
    """Where a row is recorded; `None` when the run has no row of this index."""
    ordinal = _last_ordinal(landscape, run_id, 0)
    if ordinal is None:
        return None
    # A chunk is looked up by its ordinal, so that a few questions find it among any number of them.
    ordinal = bisect_right(
        range(ordinal + 1), row, key=lambda at: reads.chunk(landscape, run_id, 0, at).first_record
    )
    if ordinal == 0:
        return None
    chunk = reads.chunk(landscape, run_id, 0, ordinal - 1)
    return RowRecord(landscape, chunk, row) if row < chunk.first_record + chunk.records else None


def rows_known(landscape: Landscape, run_id: str) -> int:
    """How many rows of a run are recorded."""
    last = reads.last_chunk(landscape, run_id, 0)
    return 0 if last is None else last.first_record + last.records


def _last_ordinal(landscape: Landscape, run_id: str, stage: int) -> int | None:
    chunks = schema.chunks.c
    query = select(func.max(chunks.ordinal)).where(chunks.run_id == run_id, chunks.stage == stage)
    found: int | None = landscape.ask(lambda connection: connection.execute(query).scalar_one())
    return found


@contextmanager
def _verified(landscape: Landscape, segment: SegmentRow) -> Iterator[pq.ParquetFile]:
    """A segment of one chunk, held against its hash."""
    path = reads.file_of(landscape, segment.path)
    data = read_verified(path, size_bytes=segment.bytes, sha256=segment.sha256)
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        yield file


@contextmanager
def _mapped(landscape: Landscape, segment: SegmentRow) -> Iterator[pq.ParquetFile]:
    """A segment that may grow with the run, so that only what is needed of it is read: its hash is not."""
    path = reads.file_of(landscape, segment.path)
    if not path.exists():
        raise DamagedRecordError(path, f"{segment.bytes} bytes", "no file")
    size_bytes = path.stat().st_size
    if size_bytes != segment.bytes:
        raise DamagedRecordError(path, f"{segment.bytes} bytes", f"{size_bytes} bytes")
    with pa.memory_map(str(path)) as content, pq.ParquetFile(content) as file:
        yield file


def _between(file: pq.ParquetFile, key: str, low: Any, high: Any, columns: Sequence[str] | None) -> pa.Table:
    """The rows whose key is at least `low` and below `high`, from the row groups that can hold such."""
    groups = [
        group
        for group in range(file.num_row_groups)
        if _may_hold(file.metadata.row_group(group), key, low, high)
    ]
    table = file.read_row_groups(groups, columns=None if columns is None else list(columns))
    kind = table.schema.field(key).type
    keys = table[key]
    chosen = pc.and_(pc.greater_equal(keys, pa.scalar(low, kind)), pc.less(keys, pa.scalar(high, kind)))
    return table.filter(chosen)


def _may_hold(group: Any, key: str, low: Any, high: Any) -> bool:
    columns = (group.column(index) for index in range(group.num_columns))
    statistics = next(column for column in columns if column.path_in_schema == key).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min < high and statistics.max >= low)
