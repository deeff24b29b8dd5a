"""The `csv` sink (settings reference, 7.3): bytes as Python's `csv` module writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from elspeth_dagster.plugins.base import Options, Reason
from elspeth_dagster.plugins.file_options import Delimiter, FilePath
from elspeth_dagster.plugins.sinks.columns import ColumnsFold, no_columns
from elspeth_dagster.plugins.sinks.errors import ExistingFileError, SinkSettingsError
from elspeth_dagster.plugins.sinks.facts import Facts, facts_of
from elspeth_dagster.plugins.sinks.file import (
    Existing,
    FileMode,
    FileSink,
    Fold,
    FoldRequest,
    Layout,
    Output,
    Writer,
)
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.plugins.sinks.headers import Headers, HeadersOption
from elspeth_dagster.plugins.sinks.text import Encoding, EncodingOption, data_of, text_slices
from elspeth_dagster.rows.arrays import concatenated
from elspeth_dagster.rows.fields import OBSERVED, Schema, SchemaMode
from elspeth_dagster.rows.rows import Column, Rows

_LINE_END = "\r\n"
_QUOTE = '"'
_HEADER_LIMIT_BYTES = 64 << 20


class CsvOptions(Options):
    """Options of the `csv` sink."""

    path: FilePath = Field(description="The file, from the platform root.")
    delimiter: Delimiter = Field(",", description="Between two cells.")
    encoding: EncodingOption = Field("utf-8", description="Any text encoding that Python knows.")
    mode: FileMode = Field(FileMode.WRITE, description="Whether the file is replaced or added to.")
    headers: HeadersOption = Field(None, description="normalized, original, or new headers by field.")
    validate_input: bool = Field(default=False, description="Whether values must be of the schema's types.")


class CsvSink(FileSink):
    """Writes a CSV file."""

    Options = CsvOptions
    kind: ClassVar[str] = "csv"
    renders: ClassVar[bool] = True

    def __init__(self, options: CsvOptions, schema: Schema = OBSERVED) -> None:
        super().__init__(options, schema)
        self._encoding = Encoding(options.encoding)
        if not self._encoding.can_express(options.delimiter):
            raise SinkSettingsError(
                "delimiter", f"{options.encoding} has no way to write {options.delimiter!r}"
            )
        self._declared = tuple(spec.name for spec in schema.fields)
        headers = Headers(options.headers)
        headers.check_declared(self._declared)
        for name in self._declared:
            if not self._encoding.can_express(headers.of(name)):
                raise SinkSettingsError(
                    "encoding", f"{options.encoding} has no way to write the field {name!r}"
                )

    @property
    def path(self) -> str:
        """The path as the settings have it."""
        return str(self.options.path)

    @property
    def mode(self) -> FileMode:
        """Whether the file is written anew or appended to."""
        return FileMode(self.options.mode)

    @cached_property
    def fit(self) -> Fit:
        """Required fields, no unknown ones for a fixed schema, types when they are to be validated."""
        closed = self.schema.mode is SchemaMode.FIXED
        return Fit(self.schema, closed=closed, validate=self.options.validate_input)

    def misfits(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Also refuses rows with characters that the file's encoding does not have."""
        reasons = super().misfits(rows, diverted)
        for position, name in self._inexpressible(rows).items():
            reason = {"reason": "encoding", "field": name, "encoding": self._encoding.name}
            reasons.setdefault(position, reason)
        return reasons

    def fold(self, request: FoldRequest) -> Fold:
        """Collects the columns, or takes those of the file that is appended to."""
        headers = Headers(self.options.headers, request.originals)
        header = None if request.existing is None else self._existing_header(request.existing)
        if request.existing is not None and header is not None:
            declared = headers.of_columns(self._declared)
            self._check_existing(str(request.existing.path), header, declared, more=request.takes_any)
        return ColumnsFold(headers, self._encoding, self._declared, header)

    def unwritable(self, layout: Layout) -> Reason | None:
        """An empty line would stand where the next run looks for the header of the file."""
        return no_columns(layout) if self.mode is FileMode.APPEND else None

    def writer(self, output: Output, layout: Layout) -> Writer:
        """Writes the header unless the file has one."""
        return _CsvWriter(self, output, layout)

    def render(self, rows: Rows, layout: Layout) -> Sequence[Any]:
        """The rows' lines."""
        width = len(layout.columns) * 3 + 2
        return [self._encoding.encode_utf8(self._lines(piece, layout)) for piece in text_slices(rows, width)]

    def rendering(self, columns: Sequence[str], layout: Layout) -> tuple[str | None, ...]:  # noqa: ARG002 - all rows count
        """The columns in order; what they are called does not matter to the rows."""
        return layout.columns

    def line_end(self) -> bytes:
        """The end of a line in the file's encoding."""
        return self._encoding.encode(_LINE_END)

    def ends_line(self, tail: bytes) -> bool:
        """Any line end will do: a file from elsewhere may have a line feed alone."""
        return tail.endswith(self._encoding.encode("\n"))

    def opening(self, layout: Layout) -> bytes:
        """What the file begins with: a byte order mark, if any, and the header line."""
        if layout.continues:
            return b""
        if not layout.columns:
            return self._encoding.mark
        line = io.StringIO()
        csv.writer(line, delimiter=self.options.delimiter).writerow(layout.headers)
        return self._encoding.mark + self._encoding.encode(line.getvalue())

    def facts(self, rows: Rows, diverted: pa.Array | None) -> Facts:
        """With the kinds of the values, which a reader of the file cannot see any more."""
        return facts_of(rows, diverted, kinds=True)

    def reading(self) -> dict[str, Any]:
        """Encoding and delimiter."""
        return {"encoding": self._encoding.name, "delimiter": self.options.delimiter}

    def _lines(self, rows: Rows, layout: Layout) -> pa.Buffer:
        """The lines of some rows in UTF-8."""
        if not layout.columns:
            return pa.py_buffer(_LINE_END.encode() * rows.num_rows)
        pieces: list[Any] = []
        for name in layout.columns:
            column = None if name is None else rows.columns.get(name)
            cells: Any = "" if column is None else self._quoted(column)
            pieces += [cells, self.options.delimiter]
        if len(layout.columns) == 1:
            # A line without anything in it would be no row at all.
            pieces[0] = _never_empty(pieces[0])
        pieces[-1] = _LINE_END
        return data_of(concatenated(pieces, rows.num_rows))

    def _quoted(self, column: Column) -> pa.Array:
        """The cells of a column, quoted where they have to be."""
        cells = column.csv_texts
        # Looking through the column's bytes at once costs next to nothing, and most columns need no more.
        data = data_of(cells).to_pybytes()
        special = (self.options.delimiter, _QUOTE, "\r", "\n")
        present = [character for character in special if character.encode() in data]
        if not present:
            return cells
        masks = [pc.match_substring(cells, character) for character in present]
        mask = masks[0]
        for other in masks[1:]:
            mask = pc.or_(mask, other)
        inner = cells.filter(mask)
        if _QUOTE in present:
            inner = pc.replace_substring(inner, _QUOTE, _QUOTE * 2)
        return pc.replace_with_mask(cells, mask, pc.binary_join_element_wise(_QUOTE, inner, _QUOTE, ""))

    def _inexpressible(self, rows: Rows) -> dict[int, str]:
        """Position to the first field, in the row's own order, that the encoding cannot express."""
        if self._encoding.is_universal:
            return {}
        found: dict[int, set[str]] = {}
        for name, column in rows.columns.items():
            for position in self._encoding.inexpressible(column.csv_texts):
                found.setdefault(position, set()).add(name)
        return {
            position: next(name for name in rows.shapes[rows.shape[position].as_py()] if name in names)
            for position, names in found.items()
        }

    def _existing_header(self, existing: Existing) -> list[str] | None:
        """The header of the file to append to, `None` when it is empty."""
        if existing.length == 0:
            return None
        with existing.path.open("rb") as file:
            data = file.read(min(existing.length, _HEADER_LIMIT_BYTES))
        try:
            # A character that the limit cuts in two is left out; it is far behind the header.
            text = io.TextIOWrapper(io.BytesIO(data), self._encoding.name, newline="", errors="strict")
            header = next(csv.reader(text, delimiter=self.options.delimiter), None)
        except (UnicodeError, csv.Error) as error:
            raise ExistingFileError(str(existing.path), f"its header cannot be read ({error})") from error
        if not header:
            raise ExistingFileError(str(existing.path), "it has no header line")
        return [header[0].removeprefix("\ufeff"), *header[1:]]

    def _check_existing(self, path: str, header: list[str], declared: list[str], *, more: bool) -> None:
        """Raises unless rows of the schema go under a header; it may have `more` than a fixed one declares.

        A sink that has to take whatever comes makes such headers itself.
        """
        if len(set(header)) != len(header):
            raise ExistingFileError(path, f"its header {header} names a column twice")
        begins = header[: len(declared)] if more else header
        if self.schema.mode is SchemaMode.FIXED and begins != declared:
            raise ExistingFileError(path, f"its header is {header}, the schema's is {declared}")
        missing = [name for name in declared if name not in header]
        if missing:
            raise ExistingFileError(path, f"its header {header} lacks {missing}")


class _CsvWriter(Writer):
    def __init__(self, sink: CsvSink, output: Output, layout: Layout) -> None:
        self._sink = sink
        self._output = output
        self._layout = layout
        output.write(sink.opening(layout))

    def write(self, rows: Rows) -> None:
        self.copy(self._sink.render(rows, self._layout))

    def copy(self, rendered: Iterable[bytes]) -> None:
        for piece in rendered:
            self._output.write(piece)

    def close(self) -> None:
        """A CSV file ends with its last row."""


def _never_empty(cells: Any) -> Any:
    if isinstance(cells, str):
        return cells or _QUOTE * 2
    return pc.if_else(pc.equal(pc.binary_length(cells), 0), _QUOTE * 2, cells)
