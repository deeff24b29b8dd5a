"""The `json` source: an array in a JSON document, or JSON Lines."""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from elspeth_dagster.plugins.base import Options, PluginContext, ReadRequest, Replay, Source, SourceChunk
from elspeth_dagster.plugins.file_options import Encoding, FilePath
from elspeth_dagster.plugins.sources.chunking import ChunkAssembler, Cut
from elspeth_dagster.plugins.sources.files import BLOCK_BYTES, BOM, InputFile
from elspeth_dagster.plugins.sources.json_array import ArrayReader
from elspeth_dagster.plugins.sources.json_cuts import ElementsCutter
from elspeth_dagster.plugins.sources.json_lines import LinesCutter
from elspeth_dagster.plugins.sources.json_text import JsonText
from elspeth_dagster.plugins.sources.transcode import canonical_encoding

_MIB = 1024 * 1024


class JsonOptions(Options):
    """Options of the `json` source."""

    path: FilePath = Field(description="The file, from the platform root.")
    format: Literal["json", "jsonl"] | None = Field(
        None, description="By the file's suffix when it is left out."
    )
    data_key: str | None = Field(None, description="Key of the array of records in the file's object.")
    encoding: Encoding = Field("utf-8", description="Any text encoding that Python knows.")
    max_record_bytes: int = Field(
        64 * _MIB, ge=1, le=128 * _MIB, description="A larger record is quarantined."
    )

    @model_validator(mode="after")
    def _key_in_document(self) -> Self:
        if self.data_key is not None and self.as_lines:
            raise ValueError(
                "data_key names a key of a JSON document; JSON Lines have none (set format: json)"
            )
        return self

    @property
    def as_lines(self) -> bool:
        """Whether the file is JSON Lines."""
        if self.format is not None:
            return self.format == "jsonl"
        return PurePath(self.path).suffix.lower() == ".jsonl"


class JsonSource(Source):
    """Cuts a file into records of JSON."""

    Options: ClassVar[type[BaseModel]] = JsonOptions
    replay = Replay.CURSOR

    options: JsonOptions
    _path: Path | None = None
    _block_bytes = BLOCK_BYTES

    def open(self, context: PluginContext) -> None:
        """Finds out which file is meant."""
        self._path = context.resolve(self.options.path)

    def uris(self) -> tuple[str, ...]:
        """The file."""
        return (str(self._path or self.options.path),)

    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:
        """Yields the file's records.

        Raises:
            SourceError: The file can't be opened.
            SourceChangedError: What was read before a run stopped is no longer what the file begins with.
        """
        options, cursor = self.options, request.cursor
        if cursor is not None and cursor.get("done"):
            return
        path = self._path or Path(options.path)
        with InputFile.open(path, options.path, options.encoding, cursor) as stream:
            if cursor is not None:
                stream.take_up(cursor)
            elif canonical_encoding(options.encoding) == "utf-8-sig":
                stream.skip(BOM)
            cuts = (self._lines if options.as_lines else self._elements)(stream, request)
            start = 0 if cursor is None else cursor["offset"]
            yield from ChunkAssembler(request, stream.prefix, stream.cursor(), start).chunks(cuts)

    def _lines(self, stream: InputFile, request: ReadRequest) -> Iterator[Cut]:
        cursor = request.cursor or {"line": 0, "broken": 0}
        return LinesCutter(
            stream,
            request.clock_us,
            self.options.encoding,
            self.options.max_record_bytes,
            request.first,
            cursor["line"],
            bool(cursor["broken"]),
            self._block_bytes,
        ).cuts()

    def _elements(self, stream: InputFile, request: ReadRequest) -> Iterator[Cut]:
        cursor = request.cursor or {"line": 0, "column": 0}
        text = JsonText(
            stream.read,
            self.options.max_record_bytes,
            stream.offset,
            cursor["line"],
            cursor["column"],
            self._block_bytes,
        )
        reader = ArrayReader(text, self.options.data_key)
        cutter = ElementsCutter(
            stream, reader, self.options.path, self.options.encoding, request.clock_us, request.first
        )
        return cutter.cuts(inside=request.cursor is not None)
