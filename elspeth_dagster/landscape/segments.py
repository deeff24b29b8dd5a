"""Segments: immutable Parquet files of what was recorded."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.digest import TableHasher
from elspeth_dagster.landscape.errors import DamagedRecordError

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
# Sorted or nearly sorted, so that what a value shares with the one before it need not be stored.
_DELTA_BYTES = frozenset({"token"})
_DELTA_INTS = frozenset({"record", "row", "line", "arrived_us"})
# Readers look rows up by these alone; statistics of the other columns would only cost.
_STATISTICS = ("token", "row", "record")


@dataclass(frozen=True)
class WrittenSegment:
    """A segment that is on disk and waits for its commit.

    Attributes:
        table_name: The table that it is a piece of.
        path: Where it is.
        rows: Number of rows.
        size_bytes: Size of the file.
        sha256: Hash of the file (hex).
        content_sha256: Digest of its content (hex), see `digest.TableHasher`.
    """

    table_name: str
    path: Path
    rows: int
    size_bytes: int
    sha256: str
    content_sha256: str


def file_stem(phase: int, node: str, ordinal: int, name: str) -> str:
    """A file name without extension for something that a commit will name.

    It is safe on every file system and never given twice, so that doing the work again cannot touch a file
    that is committed.
    """
    safe = _UNSAFE.sub("_", node)[:60]
    return f"{phase}-{safe}-{ordinal}-{_UNSAFE.sub('_', name)[:60]}-{token_hex(4)}"


class SegmentWriter:
    """Writes one segment slice by slice, in bounded memory. Nothing is durable before its commit."""

    def __init__(self, path: Path, table_name: str) -> None:
        self._path = path
        self._table_name = table_name
        self._content = TableHasher()
        self._file = _HashingFile(storage.create_file(path))
        self._writer: Any = None
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Adds a slice; all slices have one schema."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._file, mode="w"), table.schema, **_options(table.schema)
            )
        self._content.update(table)
        self._writer.write_table(table)
        self._rows += table.num_rows

    def close(self) -> WrittenSegment:
        """Ends the file and says what it is."""
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._file.close()
        return WrittenSegment(
            self._table_name,
            self._path,
            self._rows,
            self._file.size_bytes,
            self._file.sha256.hexdigest(),
            self._content.hexdigest(),
        )


def write_segment(path: Path, table_name: str, table: pa.Table) -> WrittenSegment:
    """Writes a table as a segment."""
    writer = SegmentWriter(path, table_name)
    try:
        writer.write(table)
    except BaseException:
        writer.close()
        raise
    return writer.close()


def read_verified(path: Path, *, size_bytes: int, sha256: str) -> pa.Buffer:
    """Reads a whole file that was recorded with this size and hash.

    Raises:
        DamagedRecordError: It is missing or is not what was recorded.
    """
    try:
        with pa.OSFile(str(path), "rb") as file:
            data = file.read_buffer()
    except FileNotFoundError as error:
        raise DamagedRecordError(path, f"{size_bytes} bytes", "no file") from error
    if data.size != size_bytes:
        raise DamagedRecordError(path, f"{size_bytes} bytes", f"{data.size} bytes")
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DamagedRecordError(path, f"sha256 {sha256}", f"sha256 {found}")
    return data


def decode_segment(data: pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
    """The table, or some columns of it, of a segment's bytes."""
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        return file.read(columns=None if columns is None else list(columns))


class _HashingFile:
    """A binary file that hashes and counts what is written to it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        self._file.write(data)
        return len(data)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def writable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)


def _options(schema: pa.Schema) -> dict[str, Any]:
    dictionary = [field.name for field in schema if _takes_dictionary(field)]
    encodings = {}
    for field in schema:
        if field.name in _DELTA_BYTES and (
            pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
        ):
            encodings[field.name] = "DELTA_BYTE_ARRAY"
        elif field.name in _DELTA_INTS and pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": dictionary,
        "column_encoding": encodings or None,
        "write_statistics": [name for name in _STATISTICS if name in schema.names],
        "write_batch_size": 1024 * 16,
    }


def _takes_dictionary(field: pa.Field) -> bool:
    small = pa.types.is_integer(field.type) and field.name not in _DELTA_INTS
    return bool(pa.types.is_dictionary(field.type) or small or field.name.startswith("c:"))
