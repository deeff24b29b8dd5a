"""Rows put by until they are wanted again: in memory, or on disk when they are many."""

import tempfile
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from elspeth_dagster.rows.rows import Rows

_MOST_BYTES = 32 * 2**20


class Spool:
    """Rows put by, slice by slice, and given back in the same slices."""

    def __init__(self) -> None:
        self._waiting: list[Rows] = []
        self._waiting_bytes = 0
        self._places: list[int] = []
        self._file: IO[bytes] | None = None

    def append(self, rows: Rows) -> None:
        """Puts a slice by."""
        self._waiting.append(rows)
        self._waiting_bytes += rows.num_bytes
        if self._waiting_bytes > _MOST_BYTES:
            self._write()

    def __iter__(self) -> Iterator[Rows]:
        """The slices in order."""
        for place in self._places:
            assert self._file is not None
            self._file.seek(place)
            with pa.ipc.open_stream(self._file) as reader:
                yield Rows.from_table(reader.read_all())
        yield from self._waiting

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="elspeth-")  # noqa: SIM115 - `close` closes it
        self._file.seek(0, 2)
        for rows in self._waiting:
            self._places.append(self._file.tell())
            table = rows.to_table()
            with pa.ipc.new_stream(self._file, table.schema) as writer:
                writer.write_table(table)
        self._waiting = []
        self._waiting_bytes = 0

    def close(self) -> None:
        """Frees what they took."""
        self._waiting = []
        if self._file is not None:
            self._file.close()
