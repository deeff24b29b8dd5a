"""SOURCE: reads the outside world once and freezes it into chunks, as received."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
import pyarrow as pa

from elspeth_dagster.accounting import SOURCE_NODE
from elspeth_dagster.engine.behind import one_behind
from elspeth_dagster.engine.boundary import TypesState, fold_records
from elspeth_dagster.engine.errors import SourceFailureError, SourceIsTargetError
from elspeth_dagster.engine.lifecycle import opened
from elspeth_dagster.engine.record import ERRORS, constant
from elspeth_dagster.engine.work import CHUNK_BYTES, Work, create_source
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import ChunkFacts, CommitDraft, CommitKey, commit
from elspeth_dagster.landscape.leftovers import drop_source_chunks
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.plugins.base import Notice, ReadRequest, Replay, Source, SourceChunk
from elspeth_dagster.plugins.sinks.file import FileSink

END_OF_SOURCE = "end_of_source"


def load_source(work: Work, *, restart: bool = False) -> dict[str, Any]:
    """Freezes what the source still has to give, and marks its end.

    Args:
        work: The op's hold on the run.
        restart: Whether to drop what was read so far and read all again, while the end is not reached.

    Returns:
        The marker: `{"chunks": …, "rows": …}`.

    Raises:
        SourceIsTargetError: A sink would replace what is read.
        SourceFailureError: The source plugin raised.
        ElspethError: What the source says of its input (missing file, changed file, …).
    """
    marker = reads.marker(work.landscape, work.run_id, END_OF_SOURCE)
    if marker is not None:
        return marker
    _require_apart(work)
    source = create_source(work.compiled, work.launch)
    contexts = {SOURCE_NODE: work.context(SOURCE_NODE)}
    with opened({SOURCE_NODE: source}, contexts), one_behind() as behind:
        position = _resume_position(work, source, restart=restart)
        for chunk in _chunks(work, source, position):
            draft, position = _frozen(source, position, chunk)
            behind.do(partial(_commit, work, draft, chunk.records.num_records))
    return _mark_end(work, position)


def _require_apart(work: Work) -> None:
    """Refuses to read a file that a sink is to replace."""
    path = work.launch.source_path or work.compiled.settings.source.options.get("path")
    if not isinstance(path, str):
        return
    for name in work.compiled.graph.sinks:
        sink = work.compiled.create(name)
        # Work's paths are resolved through links.
        if isinstance(sink, FileSink) and sink.replaces(path, work.resolve):
            raise SourceIsTargetError(work.pipeline, name, str(work.resolve(path)))


class _Position:
    """Behind which record reading goes on."""

    def __init__(self, chunks: int, rows: int, cursor: dict[str, Any] | None) -> None:
        self.chunks = chunks
        self.rows = rows
        self.source_cursor = cursor["source"] if cursor else None
        self.types = TypesState.from_json(cursor["types"]) if cursor else TypesState()
        self.clock_us: int = cursor["clock_us"] if cursor else 0


def _resume_position(work: Work, source: Source, *, restart: bool) -> _Position:
    last = reads.last_chunk(work.landscape, work.run_id, 0)
    if last is None:
        return _Position(0, 0, None)
    if restart or source.replay is Replay.RESTART:
        drop_source_chunks(work.landscape, work.attempt)
        return _Position(0, 0, None)
    return _Position(last.ordinal + 1, last.first_record + last.records, last.cursor)


def _chunks(work: Work, source: Source, position: _Position) -> Iterator[SourceChunk]:
    request = ReadRequest(
        cursor=position.source_cursor,
        first=position.rows,
        max_records=work.chunk_rows,
        max_bytes=CHUNK_BYTES,
        limit=work.launch.limit,
        clock_us=_clock(position.clock_us),
    )
    iterator = iter(source.chunks(request))
    read = position.rows
    while True:
        try:
            chunk = next(iterator, None)
        except (ElspethError, MemoryError):
            raise
        except Exception as error:
            raise SourceFailureError(work.pipeline, read, error) from error
        if chunk is None:
            return
        read += chunk.records.num_records
        yield chunk


def _clock(already_us: int) -> Callable[[], int]:
    """The run's own clock: time spent in SOURCE, going on where an earlier attempt stopped."""
    started = time.monotonic_ns()
    return lambda: already_us + (time.monotonic_ns() - started) // 1000


def _frozen(source: Source, position: _Position, chunk: SourceChunk) -> tuple[CommitDraft, _Position]:
    """What is to be committed of a chunk, and the position behind it."""
    records = chunk.records
    types = fold_records(source.schema, position.types, records)
    arrived = records.arrived_us
    clock_us = arrived[-1].as_py() if len(arrived) else position.clock_us
    cursor = {"source": chunk.cursor, "types": types.to_json(), "clock_us": clock_us}
    first = position.rows
    facts = ChunkFacts(0, position.chunks, first, records.num_records, chunk.input_bytes, cursor)
    draft = CommitDraft(
        CommitKey(Phase.SOURCE, SOURCE_NODE, position.chunks),
        tables={"records": records.to_table(), "errors": _notices(chunk.notices)},
        chunk=facts,
    )
    return draft, _Position(position.chunks + 1, first + records.num_records, cursor)


def _commit(work: Work, draft: CommitDraft, records: int) -> None:
    commit(work.landscape, work.attempt, draft)
    work.progress.advance(records, "read")


def _notices(notices: tuple[Notice, ...]) -> pa.Table:
    reasons = [orjson.dumps({"detail": n.detail, "line": n.line}).decode() for n in notices]
    size = len(notices)
    kinds = pa.array([notice.kind for notice in notices], pa.string()).dictionary_encode()
    columns = {
        "token": pa.nulls(size, pa.binary()),
        "row": pa.nulls(size, pa.int64()),
        "node": constant(SOURCE_NODE, ERRORS.field("node").type, size),
        "kind": kinds,
        "reason": pa.array(reasons, pa.string()),
    }
    return pa.table(columns, schema=ERRORS)


def _mark_end(work: Work, position: _Position) -> dict[str, Any]:
    marker = {"chunks": position.chunks, "rows": position.rows}
    key = CommitKey(Phase.SOURCE, SOURCE_NODE, position.chunks)
    commit(work.landscape, work.attempt, CommitDraft(key, markers={END_OF_SOURCE: marker}))
    return marker
