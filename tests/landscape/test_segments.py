import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from landscape_drafts import records_table, tokens_table, versions_table

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.errors import StorageError
from elspeth_dagster.landscape.segments import SegmentWriter, file_stem, write_segments


def test_a_segment_is_a_plain_parquet_file_that_anything_reads(tmp_path):
    table = tokens_table(list(range(1000)))
    (segment,) = write_segments({"tokens": tmp_path / "tokens.parquet"}, {"tokens": table})
    assert segment.path.stat().st_size == segment.size_bytes
    assert pq.ParquetFile(segment.path).read().to_pylist() == table.to_pylist()
    assert (segment.rows, segment.table_name) == (1000, "tokens")


def test_tokens_in_order_take_hardly_any_space(tmp_path):
    rows = list(range(50_000))
    (segment,) = write_segments({"tokens": tmp_path / "t"}, {"tokens": tokens_table(rows)})
    assert segment.size_bytes < len(rows)


def test_a_hash_is_stored_as_its_32_bytes(tmp_path):
    rows = list(range(5_000))
    (segment,) = write_segments({"versions": tmp_path / "v"}, {"versions": versions_table(rows, 0)})
    assert 32 * len(rows) < segment.size_bytes < 34 * len(rows)


@pytest.mark.parametrize("values", [[], [None, None], ["a", None], ["x" * 100_000, "y"]])
def test_records_of_any_text_come_back(tmp_path, values):
    table = records_table(list(range(len(values))), values)
    (segment,) = write_segments({"records": tmp_path / "r"}, {"records": table})
    back = pq.ParquetFile(segment.path).read()
    assert back.equals(table)
    assert back.schema.metadata[b"elspeth.records"] == table.schema.metadata[b"elspeth.records"]


def test_a_name_is_never_given_twice_and_always_safe():
    names = [file_stem(4, "../ä b", 0, "tokens/x") for _ in range(100)]
    assert len(set(names)) == 100
    assert all(name.startswith("4-_b-0-tokens_x-") for name in names)


def test_a_file_that_is_there_is_never_written_over(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"committed")
    with pytest.raises(StorageError, match="could not be created or opened: File exists"):
        write_segments({"tokens": path}, {"tokens": tokens_table([1])})
    assert path.read_bytes() == b"committed"


class FullDisk:
    """A file on a disk that has room for some bytes only."""

    def __init__(self, file, room):
        self._file = file
        self._room = room

    def write(self, data):
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "no space left")
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 1000, 100_000])
def test_a_full_disk_is_the_error_that_is_seen(tmp_path, monkeypatch, room):
    real = storage.create_file
    monkeypatch.setattr(storage, "create_file", lambda path: FullDisk(real(path), room))
    with pytest.raises(OSError, match="no space left"):
        write_segments({"versions": tmp_path / "v"}, {"versions": versions_table(list(range(10_000)), 0)})


def test_a_writer_that_is_let_go_keeps_the_error_that_is_on_its_way(tmp_path, monkeypatch):
    writer = SegmentWriter(tmp_path / "t", "tokens")
    writer.write(tokens_table([1]))
    error = ValueError("first")
    writer.abort(error)
    assert getattr(error, "__notes__", []) == []


def test_many_slices_take_the_memory_of_one(tmp_path):
    writer = SegmentWriter(tmp_path / "t", "versions")
    table = versions_table(list(range(1000)), 0)
    before = pa.total_allocated_bytes()
    for _ in range(200):
        writer.write(table)
    held = pa.total_allocated_bytes() - before
    segment = writer.close()
    assert segment.rows == 200_000
    assert held < segment.size_bytes / 4
