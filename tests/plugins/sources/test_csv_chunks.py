"""Chunks of the `csv` source: where they close, what their cursors are good for, what they refuse."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_reading import (
    csv_source,
    json_source,
    read,
    read_csv,
    read_with_stops,
    request,
    without_arrival,
)

from elspeth_dagster.plugins.base import PluginContext, Replay
from elspeth_dagster.plugins.sources.errors import SourceChangedError, SourceError, SourceShortenedError

AWKWARD = (
    b'\xef\xbb\xbf\nUser ID,b\n1,2\n\n3\n"x\r\ny",z\r\n4,\xff\n\n"q,1\n5,6\n\n\n\xef\xbb\xbf7,8\n9,"10"\n\n'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.csv"


def test_a_chunk_closes_at_its_records(path: Path) -> None:
    got = read_csv(path, "a\n" + "x\n" * 7, wanted={"max_records": 3})
    assert [(chunk.records.first, chunk.records.num_records) for chunk in got.chunks] == [
        (0, 3),
        (3, 3),
        (6, 1),
    ]
    assert [chunk.cursor["record"] for chunk in got.chunks] == [3, 6, 7]


def test_a_chunk_closes_at_its_bytes_but_takes_one_record_whatever_its_size(path: Path) -> None:
    got = read_csv(path, "aa\n1\n2\n3\nlonglonglong\n4\n5\n", wanted={"max_bytes": 6})
    sizes = [(chunk.records.num_records, chunk.input_bytes) for chunk in got.chunks]
    assert sizes == [(1, 5), (2, 4), (1, 13), (2, 4)]
    assert sum(size for _, size in sizes) == path.stat().st_size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.integers(1, 8), st.integers(1, 60), st.one_of(st.none(), st.integers(0, 12)))
def test_stopping_behind_any_chunk_changes_nothing(
    path: Path, max_records: int, max_bytes: int, limit: int | None
) -> None:
    path.write_bytes(AWKWARD)
    wanted: dict[str, Any] = {"max_records": max_records, "max_bytes": max_bytes, "limit": limit}
    whole = read(csv_source(path), **wanted)
    stopped = read_with_stops(csv_source(path), **wanted)
    assert [without_arrival(c) for c in stopped.chunks] == [without_arrival(c) for c in whole.chunks]
    assert whole.records == read(csv_source(path), limit=limit).records


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "shift_jis"])
def test_stopping_changes_nothing_in_other_encodings(path: Path, encoding: str) -> None:
    path.write_bytes('a,b\n"x,\ny",1\n2\n\nz,3\n'.encode(encoding))
    wanted = {"max_records": 1}
    whole = read(csv_source(path, encoding=encoding), **wanted)
    stopped = read_with_stops(csv_source(path, encoding=encoding), **wanted)
    assert [without_arrival(c) for c in stopped.chunks] == [without_arrival(c) for c in whole.chunks]
    assert len(whole.records) == 3


@pytest.mark.parametrize("limit", range(10))
def test_a_limit_is_kept_exactly(path: Path, limit: int) -> None:
    path.write_bytes(AWKWARD)
    everything = read(csv_source(path)).records
    got = read(csv_source(path), limit=limit, max_records=2)
    assert got.records == everything[:limit]
    assert read(csv_source(path), limit=limit).records == everything[:limit]


def test_the_blank_lines_of_a_limited_read_are_those_before_its_last_record(path: Path) -> None:
    got = read_csv(path, "a\n1\n\n\n2\n\n3\n", wanted={"limit": 2})
    assert [notice.detail for notice in got.notices] == ["2 blank lines were skipped"]
    assert read(csv_source(path), limit=1).notices == []


def test_arrival_is_told_by_the_runs_clock(path: Path) -> None:
    path.write_text("a\n1\n2\n")
    ticks = iter([70, 90])
    (chunk,) = csv_source(path).chunks(request(clock_us=lambda: next(ticks)))
    assert chunk.records.arrived_us.to_pylist() == [70, 70]


def test_a_file_that_grows_is_read_to_the_size_it_had(path: Path) -> None:
    path.write_text("a\n1\n2\n3\n")
    reading = csv_source(path).chunks(request(max_records=1))
    first = next(reading)
    with path.open("a") as file:
        file.write("4\n5\n")
    assert sum(chunk.records.num_records for chunk in reading) == 2
    again = csv_source(path).chunks(request(cursor=first.cursor, first=1))
    assert sum(chunk.records.num_records for chunk in again) == 2


def test_a_resumed_read_refuses_a_changed_beginning(path: Path) -> None:
    path.write_text("a\n1\n2\n3\n")
    first = next(csv_source(path).chunks(request(max_records=2)))
    path.write_text("a\n1\n9\n3\n")
    with pytest.raises(SourceChangedError, match="--restart-source") as caught:
        next(csv_source(path).chunks(request(cursor=first.cursor, first=2)))
    assert "first 6 bytes" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_resumed_read_refuses_a_file_that_ends_too_soon(path: Path) -> None:
    path.write_text("a\n1\n2\n3\n")
    first = next(csv_source(path).chunks(request(max_records=2)))
    path.write_text("a\n1\n")
    with pytest.raises(SourceChangedError, match="ends behind byte 4"):
        next(csv_source(path).chunks(request(cursor=first.cursor, first=2)))


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(path: Path) -> None:
    line, lines = b"x" * 999 + b"\n", 20_000
    path.write_bytes(line * lines)
    reading = csv_source(path).chunks(request(max_records=10))
    next(reading)
    with path.open("r+b") as file:
        file.truncate(len(line) * (lines - 1))
    with pytest.raises(SourceShortenedError, match=r"had 20000000 bytes.*--restart-source"):
        list(reading)


def test_a_resumed_read_refuses_a_file_of_the_same_size_that_is_shorter_as_text(path: Path) -> None:
    path.write_bytes("a\nüü\nüü\n".encode("latin-1"))
    first = next(csv_source(path, encoding="latin-1").chunks(request(max_records=2)))
    path.write_bytes(b"a\nuu\nuu\n")
    with pytest.raises(SourceChangedError, match="ends behind byte 8"):
        next(csv_source(path, encoding="latin-1").chunks(request(cursor=first.cursor, first=2)))


def test_a_resumed_read_takes_another_file_with_the_same_beginning(path: Path) -> None:
    path.write_text("a\n1\n2\n3\n4\n")
    first = next(csv_source(path).chunks(request(max_records=2)))
    path.unlink()
    path.write_text("a\n1\n2\n7\n8\n")
    (rest,) = csv_source(path).chunks(request(cursor=first.cursor, first=2))
    assert rest.records.cells["a"].to_pylist() == ["7", "8"]


def test_a_resumed_read_does_not_take_the_end_of_a_shorter_file_for_the_end(path: Path) -> None:
    path.write_text("a\n1\n2\n3\n4\n")
    first = next(csv_source(path).chunks(request(max_records=2)))
    path.write_text("a\n1\n2\n3\n")
    with pytest.raises(SourceShortenedError, match="ends behind byte 8 now"):
        list(csv_source(path).chunks(request(cursor=first.cursor, first=2)))


@pytest.mark.parametrize("make_source", [csv_source, json_source])
def test_what_is_no_file_is_said_on_the_first_chunk(tmp_path: Path, make_source: Any) -> None:
    missing = make_source(tmp_path / "missing.csv").chunks(request())
    with pytest.raises(SourceError, match=r"missing\.csv: there is no such file .*resume this run"):
        next(missing)
    folder = make_source(tmp_path).chunks(request())
    with pytest.raises(SourceError, match="is a folder"):
        next(folder)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SourceError, match="no regular file"):
        next(make_source(fifo).chunks(request()))


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("a\n1\n")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=r"can't be opened .*Permission denied.*readable"):
        next(csv_source(path).chunks(request()))


def test_a_path_is_resolved_as_the_platform_says(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\n")
    source = csv_source(Path("data.csv"))
    source.open(PluginContext("p", "source", "run", lambda given: tmp_path / given))
    assert source.uris() == (str(tmp_path / "data.csv"),)
    assert read(source).rows == [("1",)]


def test_reading_goes_on_from_a_cursor() -> None:
    assert csv_source(Path("x")).replay is Replay.CURSOR


def test_files_larger_than_a_block(path: Path) -> None:
    lines = [f'{n},"name {n}, {"x" * (n % 50)}",{n * 1.5}' for n in range(200_000)]
    lines[150_000] = "ragged"
    lines[170_000] = '170000,5" pipe,1'
    path.write_text("id,name,price\n" + "\n".join(lines) + "\n")
    assert path.stat().st_size > 8 * 1024 * 1024
    got = read(csv_source(path))
    assert [chunk.records.num_records for chunk in got.chunks] == [50_000] * 4
    names = [name for chunk in got.chunks for name in chunk.records.cells["name"].to_pylist()]
    expected = [f"name {n}, {'x' * (n % 50)}" for n in range(200_000)]
    expected[150_000] = None
    expected[170_000] = '5" pipe'
    assert names == expected
    assert [line for chunk in got.chunks for line in chunk.records.lines.to_pylist()] == list(
        range(2, 200_002)
    )
