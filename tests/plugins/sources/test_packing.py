"""Sources of a user's own, and the one that gives nothing."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from types import MappingProxyType
from typing import Any

import pytest
from source_reading import request

from elspeth_dagster.plugins.base import Replay, RowSource, SourceChunk
from elspeth_dagster.plugins.sources.null import NullOptions, NullSource
from elspeth_dagster.rows.records import Form
from elspeth_dagster.rows.values import decode_value


class Given(RowSource):
    """Yields what a test gives it, and keeps how much was taken."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(None)
        self.items = items
        self.taken = 0
        self.closed = False

    def read(self) -> Iterator[Mapping[str, Any]]:
        try:
            for item in self.items:
                self.taken += 1
                yield item
        finally:
            self.closed = True


def chunks(source: Given, **wanted: Any) -> list[SourceChunk]:
    return list(source.chunks(request(**wanted)))


def values(chunk: SourceChunk) -> list[Any]:
    return [None if raw is None else decode_value(raw.decode()) for raw in chunk.records.raw.to_pylist()]


EXACT = {
    "z": 1,
    "a": 1.0,
    "big": 10**40,
    "d": Decimal("1.50"),
    "day": date(2024, 2, 29),
    "b": b"\x00\xff",
    "n": None,
    "t": datetime(2024, 1, 2, 3, 4, 5, 6, UTC),
    "l": [{"$elspeth": ["date", "x"]}],
    "e": "é🙂",
    "f": True,
}


def test_values_survive_exactly() -> None:
    (chunk,) = chunks(Given([EXACT, MappingProxyType({"b": 1, "a": 2})]))
    assert chunk.records.form is Form.VALUES
    got = values(chunk)
    assert got == [EXACT, {"b": 1, "a": 2}]
    assert [list(row) for row in got] == [list(EXACT), ["b", "a"]]
    assert [type(value) for value in got[0].values()] == [type(value) for value in EXACT.values()]


def test_each_record_has_the_time_it_arrived() -> None:
    ticks = count(10, 10)
    got = chunks(Given([{"a": n} for n in range(5)]), max_records=2, clock_us=lambda: next(ticks))
    assert [chunk.records.arrived_us.to_pylist() for chunk in got] == [[10, 20], [30, 40], [50]]
    assert [chunk.records.first for chunk in got] == [0, 2, 4]


def test_a_chunk_closes_at_its_bytes() -> None:
    rows = [{"a": "x" * size} for size in (1, 1, 50, 1, 1, 1)]  # 9 bytes and 58
    got = chunks(Given(rows), max_bytes=20)
    assert [chunk.records.num_records for chunk in got] == [2, 1, 2, 1]


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 9])
def test_nothing_is_taken_beyond_the_limit(limit: int) -> None:
    source = Given([{"a": n} for n in range(5)])
    got = [value for chunk in chunks(source, limit=limit, max_records=2) for value in values(chunk)]
    assert got == [{"a": n} for n in range(min(limit, 5))]
    assert source.taken == min(limit, 5)
    assert source.closed or not source.taken


def test_what_no_row_can_hold_is_a_problem_of_its_record() -> None:
    odd = {
        "nan": math.nan,
        "set": {1},
        5: 1,
        "s": "\ud800",
        "deep": [1, (2.5, math.inf)],
        "ok": 1,
        "h": 10**5000,
    }
    (chunk,) = chunks(Given([{"a": 1}, odd, {"a": 2}]))
    records = chunk.records
    assert values(chunk) == [{"a": 1}, None, {"a": 2}]
    assert [problem is not None for problem in records.problems.to_pylist()] == [False, True, False]
    assert records.problems[1].as_py().startswith("invalid_value: ")
    assert json.loads(records.problem_records[1].as_py()) == {
        "nan": None, "set": "{1}", "5": 1, "s": "\\ud800", "deep": [1, [2.5, None]], "ok": 1,
        "h": "an integer of more than 4300 digits",
    }  # fmt: skip


def test_what_refers_to_itself_is_a_problem_too() -> None:
    endless: list[Any] = []
    endless.append(endless)
    (chunk,) = chunks(Given([{"a": endless}]))
    assert "nested" in chunk.records.problems[0].as_py()


def test_what_is_no_mapping_is_left_to_the_boundary_or_shown() -> None:
    (chunk,) = chunks(Given([[1, 2], {1, 2}]))
    assert values(chunk) == [[1, 2], None]
    assert json.loads(chunk.records.problem_records[1].as_py()) == {"_raw": "{1, 2}"}


def test_an_error_of_the_plugin_comes_through() -> None:
    class Failing(RowSource):
        def read(self) -> Iterator[Mapping[str, Any]]:
            yield {"a": 1}
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        list(Failing(None).chunks(request()))


def test_a_source_of_rows_starts_over_by_default() -> None:
    assert RowSource.replay is Replay.RESTART


def test_the_null_source_gives_nothing_and_ignores_its_options() -> None:
    source = NullSource(NullOptions.model_validate({"path": "x", "anything": [1]}))
    assert list(source.chunks(request())) == []
    assert list(source.chunks(request(limit=3))) == []
