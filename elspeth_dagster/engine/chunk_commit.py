"""The commit of one chunk, put together slice by slice."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from elspeth_dagster.accounting import Measure, Tally, tally_order, tally_sweep
from elspeth_dagster.engine.inbound import write_inbound
from elspeth_dagster.engine.parts import write_part
from elspeth_dagster.engine.sweep import Swept
from elspeth_dagster.engine.work import Work
from elspeth_dagster.landscape.commits import (
    CommitDraft,
    CommitKey,
    PartFile,
    attempt_file,
    attempt_folder,
    commit,
)
from elspeth_dagster.landscape.segments import SegmentWriter, WrittenSegment
from elspeth_dagster.plugins.base import Sink


class ChunkCommit:
    """Collects a chunk's sweeps and commits them as one.

    A chunk of one slice is kept in memory until it is committed. From the second slice on, segments and parts
    are streamed to disk, so that memory is bounded whatever a row expands to.
    """

    def __init__(self, work: Work, key: CommitKey, sinks: Mapping[str, Sink]) -> None:
        self._work = work
        self._key = key
        self._sinks = sinks
        self._held: Mapping[str, pa.Table] | None = None
        self._writers: dict[str, SegmentWriter] = {}
        self._tallies: Counter[tuple[str, Measure, str, str]] = Counter()
        self._parts: list[PartFile] = []
        self._ordinals: Counter[str] = Counter()
        self._rows_in = 0

    def add(self, swept: Swept) -> None:
        """Takes what one slice gave."""
        for tally in tally_sweep(swept.tables):
            self._tallies[tally.node, tally.measure, tally.label, tally.target] += tally.count
        self._write_parts(swept)
        self._rows_in += swept.rows_in
        if self._held is None and not self._writers:
            self._held = swept.tables
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._stream(held)
        self._stream(swept.tables)

    def commit(self) -> None:
        """Commits everything that was added."""
        tables: dict[str, pa.Table | WrittenSegment] = dict(self._held or {})
        tables |= {name: writer.close() for name, writer in self._writers.items()}
        tallies = tuple(
            sorted((_tally(*key, count) for key, count in self._tallies.items()), key=tally_order)
        )
        draft = CommitDraft(self._key, tables, tuple(tallies), tuple(self._parts))
        commit(self._work.landscape, self._work.attempt, draft)
        self._work.progress.advance(self._rows_in, "processed")

    def abandon(self, error: BaseException) -> None:
        """Closes files after an error, whose way goes on; a later attempt sweeps them away."""
        for writer in self._writers.values():
            writer.abort(error)

    def _stream(self, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            if not table.num_rows:
                continue
            if name not in self._writers:
                path = attempt_file(self._work.landscape, self._work.attempt, self._key, name, ".parquet")
                self._writers[name] = SegmentWriter(path, name)
            self._writers[name].write(table)

    def _write_parts(self, swept: Swept) -> None:
        folder = attempt_folder(self._work.landscape, self._work.attempt)
        name = f"{self._key.node}-{self._key.ordinal}"
        for sink, part in sorted(swept.parts.items()):
            ordinal = self._next(sink)
            self._parts.append(
                write_part(
                    folder, name, part.rows, part.edges, self._sinks[sink], sink_name=sink, ordinal=ordinal
                )
            )
        for target, arrived in sorted(swept.inbound.items()):
            ordinal = self._next(target)
            self._parts.append(write_inbound(folder, name, arrived, aggregation=target, ordinal=ordinal))

    def _next(self, target: str) -> int:
        self._ordinals[target] += 1
        return self._ordinals[target] - 1


def _tally(node: str, measure: Measure, label: str, target: str, count: int) -> Tally:
    return Tally(node, measure, label, target, count)
