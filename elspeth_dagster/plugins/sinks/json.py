"""The `json` sink (settings reference, 7.4): bytes as Python's `json.dumps` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from elspeth_dagster.plugins.base import Options
from elspeth_dagster.plugins.file_options import FilePath
from elspeth_dagster.plugins.sinks.columns import KeysFold
from elspeth_dagster.plugins.sinks.file import FileMode, FileSink, Fold, FoldRequest, Layout, Output, Writer
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.plugins.sinks.headers import Headers, HeadersOption
from elspeth_dagster.plugins.sinks.text import Encoding, EncodingOption, data_of, text_slices
from elspeth_dagster.rows.arrays import concatenated, joined_by_shape
from elspeth_dagster.rows.fields import OBSERVED, Schema, SchemaMode
from elspeth_dagster.rows.rows import Column, Rows, Shape
from elspeth_dagster.settings.value_types import WholeNumber


class JsonFormat(Enum):
    """One array, or an object per line."""

    JSON = "json"
    JSONL = "jsonl"


class JsonOptions(Options):
    """Options of the `json` sink."""

    path: FilePath = Field(description="The file, from the platform root.")
    format: JsonFormat | None = Field(None, description="By the file's suffix when it is left out.")
    indent: Annotated[WholeNumber, Field(ge=0, le=64)] | None = Field(
        None, description="Spaces per level, for one array; all on one line when it is left out."
    )
    encoding: EncodingOption = Field("utf-8", description="Any text encoding that Python knows.")
    mode: FileMode = Field(FileMode.WRITE, description="Whether the file is replaced or added to.")
    headers: HeadersOption = Field(None, description="normalized, original, or new headers by field.")
    validate_input: bool = Field(default=False, description="Whether values must be of the schema's types.")

    @property
    def lines(self) -> bool:
        """Whether there is an object per line: as set, else by the path's suffix."""
        if self.format is not None:
            return self.format is JsonFormat.JSONL
        return PurePath(self.path).suffix == ".jsonl"

    @model_validator(mode="after")
    def _can_append(self) -> JsonOptions:
        if self.mode is FileMode.APPEND and not self.lines:
            raise ValueError("mode append needs format jsonl: an array cannot be appended to")
        return self


class JsonSink(FileSink):
    """Writes one JSON array, or one JSON object per line."""

    Options = JsonOptions
    renders: ClassVar[bool] = True

    def __init__(self, options: JsonOptions, schema: Schema = OBSERVED) -> None:
        super().__init__(options, schema)
        self._encoding = Encoding(options.encoding)
        Headers(options.headers).check_declared([spec.name for spec in schema.fields])

    @property
    def kind(self) -> str:  # type: ignore[override]
        """`jsonl` or `json`."""
        return "jsonl" if self.options.lines else "json"

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
        """Required fields; the rest of the schema only when it is to be validated."""
        closed = self.schema.mode is SchemaMode.FIXED and self.options.validate_input
        return Fit(self.schema, closed=closed, validate=self.options.validate_input)

    def fold(self, request: FoldRequest) -> Fold:
        """Every row names its own keys, so that only clashing names matter."""
        continues = request.existing is not None and request.existing.length > 0
        return KeysFold(Headers(self.options.headers, request.originals), continues=continues)

    def writer(self, output: Output, layout: Layout) -> Writer:
        """Begins the file, or goes on behind what it has."""
        return _JsonWriter(self._frame, output, layout, self._encoding, self)

    def render(self, rows: Rows, layout: Layout) -> Sequence[Any]:
        """The rows' objects, with what stands between them."""
        names = dict(zip(layout.columns, layout.headers, strict=True))
        extra = sum(len(json.dumps(header)) + 4 + self._depth for header in layout.headers)
        pieces = [data_of(self._objects(piece, names)) for piece in text_slices(rows, extra)]
        if not self.options.lines and pieces:
            # Each object is followed by what separates it from the next; the last one has no next.
            last = pieces[-1]
            pieces[-1] = last.slice(0, last.size - len(self._frame.between))
        return [self._encoding.encode_utf8(piece) for piece in pieces]

    def rendering(self, columns: Sequence[str], layout: Layout) -> tuple[str | None, ...]:
        """The names of the keys."""
        names = dict(zip(layout.columns, layout.headers, strict=True))
        return tuple(names[name] for name in columns)

    def line_end(self) -> bytes:
        """The end of a line in the file's encoding."""
        return self._encoding.encode("\n")

    def reading(self) -> dict[str, Any]:
        """The encoding."""
        return {"encoding": self._encoding.name}

    @cached_property
    def _depth(self) -> int:
        return 0 if self.options.lines or self.options.indent is None else int(self.options.indent)

    @cached_property
    def _indented(self) -> bool:
        return not self.options.lines and self.options.indent is not None

    @cached_property
    def _frame(self) -> _Frame:
        if self.options.lines:
            return _Frame("", "\n", "", "")
        if self._indented:
            return _Frame("[\n", ",\n", "\n]", "[]")
        return _Frame("[", ", ", "]", "[]")

    def _objects(self, rows: Rows, names: dict[str | None, str]) -> pa.Array:
        """One text per row, its separator included."""
        cells = {name: self._cells(column) for name, column in rows.columns.items()}

        def join(shape: Shape, cells: Mapping[str, pa.Array], count: int) -> pa.Array:
            return concatenated(
                self._pieces([names[name] for name in shape], [cells[name] for name in shape]), count
            )

        return joined_by_shape(cells, rows.shapes, rows.shape, join)

    def _pieces(self, headers: list[str], cells: list[pa.Array]) -> list[Any]:
        """What one row's text is made of: constant texts and cells in turn."""
        between = self._frame.between
        outer, inner = " " * self._depth, " " * (2 * self._depth)
        if not headers:
            return [f"{outer if self._indented else ''}{{}}{between}"]
        pieces: list[Any] = []
        for index, (header, texts) in enumerate(zip(headers, cells, strict=True)):
            if self._indented:
                lead = f"{outer}{{\n{inner}" if index == 0 else f",\n{inner}"
            else:
                lead = "{" if index == 0 else ", "
            pieces += [f"{lead}{json.dumps(header)}: ", texts]
        pieces.append((f"\n{outer}}}" if self._indented else "}") + between)
        return pieces

    def _cells(self, column: Column) -> pa.Array:
        texts = column.json_texts
        if not self._indented or not column.is_json:
            return texts
        return pa.array([self._indent(text) for text in texts.to_pylist()], pa.string())

    def _indent(self, text: str) -> str:
        """A container with a line per element; no other text changes, and no text holds a line end."""
        if text[0] not in "[{":
            return text
        nested = json.dumps(json.loads(text), indent=self.options.indent)
        return nested.replace("\n", "\n" + " " * (2 * self._depth))


class _Frame:
    """What stands around and between the objects of a file."""

    def __init__(self, before: str, between: str, after: str, empty: str) -> None:
        self.before = before
        self.between = between
        self.after = after
        self.empty = empty


class _JsonWriter(Writer):
    def __init__(
        self, frame: _Frame, output: Output, layout: Layout, encoding: Encoding, sink: JsonSink
    ) -> None:
        self._frame = frame
        self._output = output
        self._layout = layout
        self._encoding = encoding
        self._sink = sink
        self._begun = False
        if not layout.continues:
            output.write(encoding.mark)

    def write(self, rows: Rows) -> None:
        if rows.num_rows:
            self.copy(self._sink.render(rows, self._layout))

    def copy(self, rendered: Iterable[bytes]) -> None:
        is_array = bool(self._frame.empty)
        if is_array:
            self._text(self._frame.between if self._begun else self._frame.before)
        self._begun = True
        for piece in rendered:
            self._output.write(piece)

    def close(self) -> None:
        """Ends the array."""
        self._text(self._frame.after if self._begun else self._frame.empty)

    def _text(self, text: str) -> None:
        self._output.write(self._encoding.encode(text))
