"""The `csv` source."""

import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from elspeth_dagster.plugins.base import (
    Notice,
    Options,
    PluginContext,
    ReadRequest,
    Replay,
    Source,
    SourceChunk,
)
from elspeth_dagster.plugins.file_options import Delimiter, Encoding, FilePath
from elspeth_dagster.plugins.sources.chunking import ChunkAssembler, no_records, single_problem
from elspeth_dagster.plugins.sources.csv_cuts import CsvCutter
from elspeth_dagster.plugins.sources.csv_exact import MIB, Dialect
from elspeth_dagster.plugins.sources.csv_opening import Opening, OpeningReader
from elspeth_dagster.plugins.sources.csv_rules import CutRules
from elspeth_dagster.plugins.sources.errors import SourceError
from elspeth_dagster.plugins.sources.files import InputFile
from elspeth_dagster.rows.headers import (
    MAX_COLUMNS,
    Header,
    HeaderError,
    header_of_cells,
    header_of_columns,
)
from elspeth_dagster.rows.records import Form
from elspeth_dagster.settings.value_types import WholeNumber


def _identifier(value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise ValueError(f"{value!r} is no identifier, or a Python keyword")
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]


class CsvOptions(Options):
    """Options of the `csv` source."""

    path: FilePath = Field(description="The file, from the platform root.")
    delimiter: Delimiter = Field(",", description="Between two cells.")
    encoding: Encoding = Field("utf-8", description="Any text encoding that Python knows.")
    skip_rows: WholeNumber = Field(0, ge=0, description="Records to skip before the header.")
    columns: tuple[Identifier, ...] | None = Field(
        None, min_length=1, max_length=MAX_COLUMNS, description="Field names of a file without header."
    )
    field_mapping: dict[str, Identifier] | None = Field(
        None, description="New names for fields, by their normalised header."
    )
    max_cell_bytes: WholeNumber = Field(
        64 * MIB, ge=1, le=128 * MIB, description="A record with a larger cell is quarantined."
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for key, names in (("columns", self.columns), ("field_mapping", (self.field_mapping or {}).values())):
            given = list(names or ())
            twins = sorted({name for name in given if given.count(name) > 1})
            if twins:
                raise ValueError(f"{key} gives {', '.join(map(repr, twins))} more than once")
        return self


class CsvSource(Source):
    """Cuts a CSV file into records of text cells."""

    Options: ClassVar[type[BaseModel]] = CsvOptions
    replay = Replay.CURSOR

    options: CsvOptions
    _path: Path | None = None

    def open(self, context: PluginContext) -> None:
        """Finds out which file is meant."""
        self._path = context.resolve(self.options.path)

    def uris(self) -> tuple[str, ...]:
        """The file."""
        return (str(self._path or self.options.path),)

    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:
        """Yields the file's records.

        Raises:
            SourceError: The file can't be opened, or its header gives no usable field names.
            SourceChangedError: What was read before a run stopped is no longer what the file begins with.
        """
        options = self.options
        if request.cursor is not None and request.cursor.get("done"):
            return
        path = self._path or Path(options.path)
        with InputFile.open(path, options.path, options.encoding, request.cursor) as stream:
            yield from _Reading(options, stream, request).chunks()


@dataclass
class _Reading:
    """One pass over a file."""

    options: CsvOptions
    stream: InputFile
    request: ReadRequest

    def chunks(self) -> Iterator[SourceChunk]:
        cursor = self.request.cursor
        if self.request.limit is not None and self.request.limit <= self.request.first:
            yield from self._blank_lines(self.request.first, cursor or {})
            return
        dialect = Dialect(self.options.delimiter.encode())
        if cursor is not None:
            self.stream.take_up(cursor)
            header = Header(tuple(cursor["header"]["names"]), tuple(cursor["header"]["originals"]))
            state = {"line": cursor["line"], "blanks": cursor["blanks"], "broken": bool(cursor["broken"])}
        else:
            reader = OpeningReader(self.stream, dialect, self.options.path, self.options.encoding)
            opening = reader.read(self.options.skip_rows, header_wanted=self.options.columns is None)
            if not opening.has_data:
                yield from self._without_data(opening)
                return
            header = self._header(opening)
            state = {"line": opening.line}
        rules = CutRules(
            dialect, header, self.options.max_cell_bytes, self.options.encoding, self.stream.original
        )
        cutter = CsvCutter(self.stream, rules, self.request.clock_us, self.request.first, **state)
        yield from self._data(cutter, header)

    def _data(self, cutter: CsvCutter, header: Header) -> Iterator[SourceChunk]:
        start = 0 if self.request.cursor is None else self.request.cursor["offset"]
        always = {
            **self.stream.cursor(),
            "header": {"names": list(header.names), "originals": list(header.originals)},
        }
        assembler = ChunkAssembler(self.request, self.stream.prefix, always, start)
        finish = yield from assembler.chunks(cutter.cuts())
        behind = finish.cursor or {**always, **(self.request.cursor or {})}
        if not finish.limited:
            behind = {**behind, "blanks": cutter.blanks}
        yield from self._blank_lines(assembler.first, behind)

    def _blank_lines(self, first: int, cursor: Mapping[str, Any]) -> Iterator[SourceChunk]:
        blanks = cursor.get("blanks", 0)
        if blanks:
            lines = "1 blank line was" if blanks == 1 else f"{blanks} blank lines were"
            yield self._notice(first, cursor, Notice("blank_lines", f"{lines} skipped"))

    def _header(self, opening: Opening) -> Header:
        mapping = self.options.field_mapping
        try:
            if self.options.columns is None:
                return header_of_cells(opening.cells, mapping)
            return header_of_columns(self.options.columns, mapping)
        except HeaderError as error:
            raise SourceError(
                self.options.path,
                str(error),
                "Correct the file's header, or name its columns in `columns` with `skip_rows: 1`.",
            ) from error

    def _without_data(self, opening: Opening) -> Iterator[SourceChunk]:
        first = self.request.first
        cursor = self.stream.cursor() | {"done": True, "line": opening.line}
        if opening.problem is not None:
            arrived = self.request.clock_us()
            records = single_problem(Form.CELLS, first, opening.line, arrived, opening.problem)
            yield SourceChunk(records, cursor | {"record": first + 1}, input_bytes=self.stream.offset)
        elif opening.notice is not None:
            yield self._notice(first, cursor, opening.notice)

    def _notice(self, first: int, cursor: Mapping[str, Any], notice: Notice) -> SourceChunk:
        done = {**cursor, "record": first, "done": True}
        return SourceChunk(no_records(Form.CELLS, first), done, (notice,))
