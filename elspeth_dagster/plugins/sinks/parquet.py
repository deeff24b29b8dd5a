"""The `parquet` sink: typed columns, in row groups that do not depend on how the rows were cut."""

from enum import Enum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from elspeth_dagster.plugins.base import Options, Reason
from elspeth_dagster.plugins.file_options import FilePath
from elspeth_dagster.plugins.sinks.columns import ColumnsFold, no_columns
from elspeth_dagster.plugins.sinks.converting import column_of, converted
from elspeth_dagster.plugins.sinks.facts import Facts, facts_of
from elspeth_dagster.plugins.sinks.file import FileSink, Fold, FoldRequest, Layout, Output, Writer
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.plugins.sinks.headers import Headers, HeadersOption
from elspeth_dagster.plugins.sinks.text import Encoding
from elspeth_dagster.plugins.sinks.typed import TypedFold
from elspeth_dagster.plugins.sinks.types import ColumnType
from elspeth_dagster.rows.fields import OBSERVED, Schema, SchemaMode
from elspeth_dagster.rows.rows import Rows

_GROUP_ROWS = 100_000
_GROUP_BYTES = 64 << 20
_FIXED_WIDTH_BYTES = 8


class Compression(Enum):
    """How pages are compressed."""

    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    BROTLI = "brotli"
    LZ4 = "lz4"
    NONE = "none"


class ParquetOptions(Options):
    """Options of the `parquet` sink."""

    path: FilePath = Field(description="The file, from the platform root.")
    compression: Compression = Field(Compression.ZSTD, description="Of the columns' pages.")
    headers: HeadersOption = Field(None, description="normalized, original, or new headers by field.")
    validate_input: bool = Field(default=False, description="Whether values must be of the schema's types.")


class ParquetSink(FileSink):
    """Writes a Parquet file."""

    Options = ParquetOptions
    kind: ClassVar[str] = "parquet"

    def __init__(self, options: ParquetOptions, schema: Schema = OBSERVED) -> None:
        super().__init__(options, schema)
        Headers(options.headers).check_declared(schema.names)

    @property
    def path(self) -> str:
        """The path as the settings have it."""
        return str(self.options.path)

    @cached_property
    def fit(self) -> Fit:
        """Required fields, declared types, no unknown fields for a fixed schema."""
        closed = self.schema.mode is SchemaMode.FIXED
        return Fit(self.schema, closed=closed, validate=self.options.validate_input, typed=True)

    def facts(self, rows: Rows, diverted: pa.Array | None) -> Facts:
        """With the kinds of the values, from which the columns' types are folded."""
        return facts_of(rows, diverted, kinds=True)

    def fold(self, request: FoldRequest) -> Fold:
        """Collects columns and types."""
        headers = Headers(self.options.headers, request.originals)
        columns = ColumnsFold(headers, Encoding("utf-8"), self.schema.names)
        return TypedFold(columns, self.schema, request.takes_any)

    def unwritable(self, layout: Layout) -> Reason | None:
        """A table without columns has no rows either."""
        return no_columns(layout)

    def writer(self, output: Output, layout: Layout) -> Writer:
        """Begins the file."""
        return _ParquetWriter(output, layout, self.options.compression)


class _ParquetWriter(Writer):
    def __init__(self, output: Output, layout: Layout, compression: Compression) -> None:
        self._layout = layout
        self._types = [ColumnType(name) for name in layout.types]
        fields = zip(layout.headers, (kind.arrow for kind in self._types), strict=True)
        self._schema = pa.schema([pa.field(name, kind) for name, kind in fields])
        self._stream = _Stream(output)
        self._file = pq.ParquetWriter(
            pa.PythonFile(self._stream, mode="w"), self._schema, compression=compression.value
        )
        self._waiting = self._schema.empty_table()
        self._waiting_rows = 0
        self._sizes: list[npt.NDArray[np.int64]] = []

    def write(self, rows: Rows) -> None:
        columns = [
            converted(column_of(rows, name), kind)
            for name, kind in zip(self._layout.columns, self._types, strict=True)
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._waiting = pa.concat_tables([self._waiting, table])
        self._waiting_rows += rows.num_rows
        self._sizes.append(_row_sizes(table, rows.num_rows))
        self._write_full_groups()

    def close(self) -> None:
        """Writes what is left, and the footer."""
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        self._file.close()

    def abandon(self) -> None:
        """Ends the library's work without touching the file."""
        self._stream.abandoned = True
        self._file.close()

    def _write_full_groups(self) -> None:
        sizes = np.concatenate(self._sizes)
        while (end := _group_end(sizes)) is not None:
            self._write_group(end)
            sizes = sizes[end:]
        self._sizes = [sizes]

    def _write_group(self, rows: int) -> None:
        group = self._waiting.slice(0, rows).combine_chunks()
        self._file.write_table(group, row_group_size=max(rows, 1))
        self._waiting = self._waiting.slice(rows)
        self._waiting_rows -= rows


def _group_end(sizes: npt.NDArray[np.int64]) -> int | None:
    """How many rows the next full row group has, `None` when there are not enough."""
    by_bytes = int(np.searchsorted(np.cumsum(sizes), _GROUP_BYTES)) + 1
    end = min(by_bytes, _GROUP_ROWS)
    return end if end <= len(sizes) else None


def _row_sizes(table: pa.Table, num_rows: int) -> npt.NDArray[np.int64]:
    """What each row's values take, whatever they are stored as."""
    sizes = np.full(num_rows, _FIXED_WIDTH_BYTES * max(table.num_columns, 1), np.int64)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            lengths = pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
            sizes += lengths.combine_chunks().to_numpy(zero_copy_only=False)
    return sizes


class _Stream:
    """What the Parquet library writes to."""

    closed = False

    def __init__(self, output: Output) -> None:
        self._output = output
        self._size = 0
        self.abandoned = False

    def write(self, data: Any) -> int:
        if not self.abandoned:
            self._output.write(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The engine closes the file."""
