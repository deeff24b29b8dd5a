"""From a sink's parts to the bytes of its file: what fits, in which layout, in token order."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from elspeth_dagster.engine.parts import Bound
from elspeth_dagster.engine.refusals import RefusalLog
from elspeth_dagster.engine.streams import Piece
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import DamagedRecordError, StorageError
from elspeth_dagster.landscape.reads import PartRow, file_of
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.facts import keep_mask, without
from elspeth_dagster.plugins.sinks.file import (
    FileSink,
    Fold,
    FoldRequest,
    LaidOutSink,
    Layout,
    Output,
    Writer,
)
from elspeth_dagster.rows.rows import Rows

_COPY_BYTES = 4 << 20
_PREVIEW_ROWS = 10
_PREVIEW_COLUMNS = 50
_PREVIEW_CHARACTERS = 200


@dataclass
class Preview:
    """The first rows delivered, as text, for people."""

    cells: list[dict[str, str]] = field(default_factory=list)

    @property
    def wants_more(self) -> bool:
        """Whether it has fewer rows than it shows."""
        return len(self.cells) < _PREVIEW_ROWS

    def add(self, rows: Rows) -> None:
        """Takes what it still needs of some rows."""
        if not self.wants_more:
            return
        first = rows.slice(0, _PREVIEW_ROWS - len(self.cells))
        columns = {name: column.csv_texts.to_pylist() for name, column in first.columns.items()}
        for place, shape in enumerate(first.shape.to_pylist()):
            names = first.shapes[shape][:_PREVIEW_COLUMNS]
            self.cells.append({name: _shortened(columns[name][place]) for name in names})


def _shortened(text: str) -> str:
    return text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"


@dataclass(frozen=True)
class FileDelivery:
    """The rows of one file sink on their way into its file.

    Attributes:
        landscape: Where the parts are.
        sink: The plugin.
        request: What the layout depends on beside the rows.
        pieces: Gives the sink's output from its beginning, each time it is called.
    """

    landscape: Landscape
    sink: FileSink
    request: FoldRequest
    pieces: Callable[[], Iterable[Piece]]

    def layout(self) -> Layout:
        """The layout that the rows ask for; most often known without loading any."""
        fold = self.sink.fold(self.request)
        survey(self.sink, fold, self.pieces())
        return fold.layout()

    def write(self, output: Output, layout: Layout, log: RefusalLog, preview: Preview) -> int:
        """Writes the file, logs what is refused, and says how many rows it wrote."""
        # The fold goes over the same rows again and so refuses the same ones.
        fold = self.sink.fold(self.request)
        writer = self.sink.writer(output, layout)
        try:
            written = self._write_pieces(fold, writer, layout, log, preview)
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        return written

    def _write_pieces(
        self, fold: Fold, writer: Writer, layout: Layout, log: RefusalLog, preview: Preview
    ) -> int:
        written = 0
        hopeless = self.sink.unwritable(layout)
        for piece in self.pieces():
            info = piece.info
            if hopeless is None and info is not None and not info.misfits and fold.take(info.facts):
                written += info.rows
                if preview.wants_more:
                    preview.add(piece.load().rows)
                rendered = self._rendered(piece, layout)
                if rendered is None:
                    writer.write(piece.load().rows)
                else:
                    writer.copy(rendered)
                continue
            bound = piece.load()
            reasons = judge(self.sink, fold, bound)
            if hopeless is not None:
                reasons = dict.fromkeys(range(bound.rows.num_rows), hopeless) | reasons
            log.add(bound, reasons)
            fitting, _ = without(bound.rows, None, reasons)
            if fitting.num_rows:
                preview.add(fitting)
                writer.write(fitting)
                written += fitting.num_rows
        return written

    def _rendered(self, piece: Piece, layout: Layout) -> Iterator[bytes] | None:
        """The bytes of a part as its sweep rendered them, if they are what this layout asks for."""
        part, info = piece.part, piece.info
        if part is None or info is None or part.rendered_path is None:
            return None
        if info.rendered != self.sink.rendering(info.facts.columns, layout):
            return None
        return _verified(file_of(self.landscape, part.rendered_path), part)


def survey(sink: LaidOutSink, fold: Fold, pieces: Iterable[Piece]) -> int:
    """Takes all rows into the fold, most often without loading any; says how many of them fit."""
    fitting = 0
    for piece in pieces:
        info = piece.info
        if info is not None and fold.take(info.facts):
            fitting += info.rows - info.misfits
            continue
        bound = piece.load()
        fitting += bound.rows.num_rows - len(judge(sink, fold, bound))
    return fitting


def judge(sink: LaidOutSink, fold: Fold, bound: Bound) -> dict[int, Reason]:
    """Takes rows into the fold, and gives position to reason of those that are refused."""
    marks = bound.diverted
    reasons = sink.misfits(bound.rows, marks)
    fitting, fitting_marks = without(bound.rows, marks, reasons)
    if not fitting.num_rows or fold.take(sink.facts(fitting, fitting_marks)):
        return reasons
    refused = fold.take_rows(fitting, fitting_marks)
    if not reasons:
        return refused
    positions = pa.array(range(bound.rows.num_rows)).filter(keep_mask(bound.rows.num_rows, reasons))
    return reasons | {positions[place].as_py(): reason for place, reason in refused.items()}


def _verified(path: Path, part: PartRow) -> Iterator[bytes]:
    """The bytes of a rendered part; the last ones come only when the whole is what was committed."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(_COPY_BYTES):
                digest.update(data)
                yield data
    except FileNotFoundError as error:
        raise DamagedRecordError(path, f"sha256 {part.rendered_sha256}", "no file") from error
    except OSError as error:
        raise StorageError(path, "read", error) from error
    if digest.hexdigest() != part.rendered_sha256:
        raise DamagedRecordError(path, f"sha256 {part.rendered_sha256}", f"sha256 {digest.hexdigest()}")


def file_facts(sink: FileSink, layout: Layout, preview: Preview) -> dict[str, Any]:
    """What the artifact tells of the file beside its size."""
    return {
        **sink.reading(),
        "columns": [column for column in layout.columns if column is not None],
        "header": list(layout.headers),
        "types": list(layout.types),
        "preview": preview.cells,
    }


def originals_of(source: Mapping[str, str], parts: Iterable[PartRow]) -> Mapping[str, str]:
    """Field to its header at the source, from what the source recorded and what the parts know.

    What the parts know counts more: a field may have been renamed on its way. Where parts differ (fields of
    different origin have come to one name) the smallest counts, so that it does not depend on how the rows
    were cut. The source has a say in fields alone that no row has, which are declared columns.
    """
    known: dict[str, str] = {}
    present: set[str] = set()
    for part in parts:
        for name, original in part.info["originals"].items():
            known[name] = min(original, known.get(name, original))
        present.update(name for shape, _, _ in part.info["groups"] for name in shape)
    taken = set(known.values())
    # A field that rows have without an original header was made on their way, whatever the source calls so.
    unseen = {name: header for name, header in source.items() if name not in present and header not in taken}
    return unseen | known
