"""Reads files through the sources, the way the engine does, and shows what came of it."""

import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from elspeth_dagster.plugins.base import Notice, ReadRequest, Source, SourceChunk
from elspeth_dagster.plugins.sources.csv import CsvOptions, CsvSource
from elspeth_dagster.plugins.sources.json import JsonOptions, JsonSource
from elspeth_dagster.rows.records import Form

MIB = 1024 * 1024


def request(**wanted: Any) -> ReadRequest:
    ticks = count(1)
    defaults: dict[str, Any] = {
        "cursor": None, "first": 0, "max_records": 50_000, "max_bytes": 32 * MIB, "limit": None,
        "clock_us": lambda: next(ticks),
    }  # fmt: skip
    return ReadRequest(**(defaults | wanted))


def csv_source(path: Path, **options: Any) -> CsvSource:
    return CsvSource(CsvOptions.model_validate({"path": str(path), **options}))


def json_source(path: Path, **options: Any) -> JsonSource:
    return JsonSource(JsonOptions.model_validate({"path": str(path), **options}))


@dataclass(frozen=True)
class Received:
    """A record as a test looks at it: `cells` or `raw` when it could be cut, `shown` when not."""

    line: int | None
    cells: tuple[str, ...] | None = None
    raw: bytes | None = None
    problem: str | None = None
    shown: Any = None


@dataclass(frozen=True)
class Reading:
    chunks: list[SourceChunk]

    @property
    def records(self) -> list[Received]:
        return [record for chunk in self.chunks for record in _received(chunk)]

    @property
    def rows(self) -> list[tuple[str, ...] | None]:
        return [record.cells for record in self.records]

    @property
    def values(self) -> list[Any]:
        return [json.loads(record.raw) for record in self.records if record.problem is None]

    @property
    def problems(self) -> list[tuple[str, Any]]:
        return [(record.problem, record.shown) for record in self.records if record.problem is not None]

    @property
    def names(self) -> tuple[str, ...]:
        return next(tuple(chunk.records.cells) for chunk in self.chunks)

    @property
    def originals(self) -> dict[str, str]:
        return dict(self.chunks[0].records.originals)

    @property
    def notices(self) -> list[Notice]:
        return [notice for chunk in self.chunks for notice in chunk.notices]


def _received(chunk: SourceChunk) -> list[Received]:
    records = chunk.records
    columns = [values.to_pylist() for values in records.cells.values()]
    result = []
    for at in range(records.num_records):
        problem, line = records.problems[at].as_py(), records.lines[at].as_py()
        if problem is not None:
            assert all(column[at] is None for column in columns)
            result.append(
                Received(line, problem=problem, shown=json.loads(records.problem_records[at].as_py()))
            )
        elif records.form is Form.CELLS:
            result.append(Received(line, cells=tuple(column[at] for column in columns)))
        else:
            result.append(Received(line, raw=records.raw[at].as_py()))
    return result


def read(source: Source, **wanted: Any) -> Reading:
    return Reading(list(source.chunks(request(**wanted))))


def read_csv(
    path: Path, content: bytes | str, *, wanted: dict[str, Any] | None = None, **options: Any
) -> Reading:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(csv_source(path, **options), **(wanted or {}))


def read_json(
    path: Path, content: bytes | str, *, wanted: dict[str, Any] | None = None, **options: Any
) -> Reading:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(json_source(path, **options), **(wanted or {}))


def read_with_stops(source: Source, **wanted: Any) -> Reading:
    """Reads chunk by chunk, each by a request of its own that continues from the cursor before."""
    chunks: list[SourceChunk] = []
    cursor: dict[str, Any] | None = None
    first = 0
    while True:
        reading = iter(source.chunks(request(cursor=cursor, first=first, **wanted)))
        chunk = next(reading, None)
        if chunk is None:
            return Reading(chunks)
        chunks.append(chunk)
        cursor = json.loads(json.dumps(chunk.cursor))
        first += chunk.records.num_records


def without_arrival(chunk: SourceChunk) -> tuple[Any, ...]:
    """Everything of a chunk that must not depend on where a read was stopped."""
    table = replace(chunk.records, arrived_us=chunk.records.lines).to_table()
    return table.to_pydict(), table.schema.metadata, chunk.cursor, chunk.notices, chunk.input_bytes
