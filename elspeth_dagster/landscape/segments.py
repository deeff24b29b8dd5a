"""Segments: immutable Parquet files of what was recorded."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.digest import TableHasher, settled, table_digest
from elspeth_dagster.landscape.errors import DamagedRecordError, StorageError

_UNSAFE = re.compile(r"[^A-Za-z0-9_]+")
# Sorted or nearly sorted, so that what a value shares with the one before it need not be stored.
_DELTA_BYTES = frozenset({"token"})
_DELTA_INTS = frozenset({"record", "row", "line", "arrived_us"})
# Below this, starting threads takes longer than they save.
_WORTH_THREADS_BYTES = 1 << 20
_THREADS = 4
# Hashes do not compress.
_RANDOM = frozenset({"hash"})
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
    """Writes one segment slice by slice, in bounded memory, for a commit that is given the result.

    Ends with either `close` or `abort`.
    """

    def __init__(self, path: Path, table_name: str) -> None:
        self._path = path
        self._table_name = table_name
        self._content = TableHasher()
        self._file = _ParquetFile(path)

    def write(self, table: pa.Table) -> None:
        """Adds a slice; all slices have one schema."""
        self._content.update(settled(self._table_name, table))
        self._file.write(table)

    def close(self) -> WrittenSegment:
        """Makes the file durable, but for its name, and says what it is."""
        written = self._file.close()
        return WrittenSegment(self._table_name, self._path, *written, self._content.hexdigest())

    def abort(self, error: BaseException) -> None:
        """Lets the file go because of an error that is on its way."""
        self._file.abort(error)


def write_segments(paths: Mapping[str, Path], tables: Mapping[str, pa.Table]) -> list[WrittenSegment]:
    """Writes tables as segments, durably but for their names, which are the folder's.

    Large ones are written and hashed at the same time, since hardly any of it holds Python up.
    """
    if sum(table.nbytes for table in tables.values()) < _WORTH_THREADS_BYTES:
        return [
            WrittenSegment(name, paths[name], *_write_file(paths[name], table), _content(name, table))
            for name, table in tables.items()
        ]
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        written = {name: pool.submit(_write_file, paths[name], table) for name, table in tables.items()}
        contents = {name: pool.submit(_content, name, table) for name, table in tables.items()}
    return [
        WrittenSegment(name, paths[name], *file.result(), contents[name].result())
        for name, file in written.items()
    ]


def _content(name: str, table: pa.Table) -> str:
    return table_digest(settled(name, table))


def _write_file(path: Path, table: pa.Table) -> tuple[int, int, str]:
    file = _ParquetFile(path)
    try:
        file.write(table)
    except BaseException as error:
        file.abort(error)
        raise
    return file.close()


def read_verified(path: Path, *, size_bytes: int, sha256: str) -> pa.Buffer:
    """Reads a whole file that was recorded with this size and hash.

    Raises:
        DamagedRecordError: It is missing or is not what was recorded.
        StorageError: It cannot be read.
    """
    try:
        with pa.OSFile(str(path), "rb") as file:
            data = file.read_buffer()
    except FileNotFoundError as error:
        raise DamagedRecordError(path, f"{size_bytes} bytes", "no file") from error
    except OSError as error:
        raise StorageError(path, "read", error) from error
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


class _ParquetFile:
    """A Parquet file that is being written and hashed."""

    def __init__(self, path: Path) -> None:
        self._sink = _HashingFile(storage.create_file(path))
        self._writer: Any = None
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            sink = pa.PythonFile(self._sink, mode="w")
            self._writer = pq.ParquetWriter(sink, table.schema, **_options(table.schema))
        self._writer.write_table(table)
        self._rows += table.num_rows

    def close(self) -> tuple[int, int, str]:
        """Makes the file durable; gives its rows, size and hash."""
        try:
            if self._writer is not None:
                self._writer.close()
            storage.fsync_file(self._sink.file)
        except BaseException as error:
            self.abort(error)
            raise
        self._sink.file.close()
        return self._rows, self._sink.size_bytes, self._sink.sha256.hexdigest()

    def abort(self, error: BaseException) -> None:
        """Closes the file; what goes wrong in that becomes a note on the error that led here."""
        if self._writer is not None:
            # Otherwise the writer would end the file whenever it is collected.
            self._writer.is_open = False
        self._sink.file.abandon(error)


class _HashingFile:
    """What Arrow needs of a file: it hashes and counts what is written to it."""

    closed = False

    def __init__(self, file: storage.File) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        """Arrow closes what it was given; the file is closed by its owner, after it was made durable."""


def _options(schema: pa.Schema) -> dict[str, Any]:
    encodings = {}
    for field in schema:
        if field.name in _DELTA_BYTES and pa.types.is_binary(field.type):
            encodings[field.name] = "DELTA_BYTE_ARRAY"
        elif field.name in _DELTA_INTS and pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    compressed = {
        leaf: "none" if field.name in _RANDOM else "zstd" for field in schema for leaf in _leaves(field)
    }
    return {
        "compression": compressed,
        "compression_level": {leaf: 1 for leaf, codec in compressed.items() if codec == "zstd"},
        "use_dictionary": [field.name for field in schema if _takes_dictionary(field)],
        "column_encoding": encodings or None,
        "write_statistics": [name for name in _STATISTICS if name in schema.names],
    }


def _leaves(field: pa.Field) -> list[str]:
    """The names that Parquet gives to the columns of a field."""
    kind, name = field.type, field.name
    while pa.types.is_list(kind):
        kind, name = kind.value_type, f"{name}.list.element"
    return [name]


def _takes_dictionary(field: pa.Field) -> bool:
    # Texts as received are left to zstd: a dictionary of mostly different values takes longer and more space.
    small = pa.types.is_integer(field.type) and field.name not in _DELTA_INTS
    return bool(pa.types.is_dictionary(field.type) or small)
