"""Parts: the rows that a sweep or a publish left for one sink, on disk until the run completes."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.accounting import Outcome
from elspeth_dagster.landscape import storage
from elspeth_dagster.landscape.commits import PartFile
from elspeth_dagster.landscape.digest import table_digest
from elspeth_dagster.landscape.segments import read_verified
from elspeth_dagster.plugins.base import Sink
from elspeth_dagster.plugins.sinks.facts import Facts, Group, without
from elspeth_dagster.plugins.sinks.file import FileSink, FoldRequest, LaidOutSink
from elspeth_dagster.rows.rows import Rows

_EDGE = "edge"
_EDGE_TYPE = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class PartInfo:
    """What is known of a part without opening it.

    Attributes:
        rows: How many rows it has.
        facts: Summary of the rows that fit their sink by themselves.
        misfits: How many do not.
        edges: Rows by the outcome that their last edge gives them.
        originals: Field to its header at the source.
        rendered: What the rendered bytes depend on (`FileSink.rendering`), `None` when there are none.
        first_token: First token (hex), empty when there are no rows.
        last_token: Last token (hex).
    """

    rows: int
    facts: Facts
    misfits: int
    edges: Mapping[str, int]
    originals: Mapping[str, str]
    rendered: tuple[str | None, ...] | None
    first_token: str
    last_token: str

    def to_json(self) -> dict[str, Any]:
        """As the catalogue keeps it."""
        return {
            "rows": self.rows,
            "groups": [[list(group.shape), group.diverted, group.rows] for group in self.facts.groups],
            "kinds": {name: list(kinds) for name, kinds in self.facts.kinds.items()},
            "misfits": self.misfits,
            "edges": dict(self.edges),
            "originals": dict(self.originals),
            "rendered": None if self.rendered is None else list(self.rendered),
            "first_token": self.first_token,
            "last_token": self.last_token,
        }

    @classmethod
    def from_json(cls, info: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        groups = tuple(Group(tuple(shape), diverted, rows) for shape, diverted, rows in info["groups"])
        kinds = {name: tuple(found) for name, found in info["kinds"].items()}
        rendered = info["rendered"]
        return cls(
            info["rows"],
            Facts(groups, kinds),
            info["misfits"],
            info["edges"],
            info["originals"],
            None if rendered is None else tuple(rendered),
            info["first_token"],
            info["last_token"],
        )


@dataclass(frozen=True)
class Bound:
    """Rows bound for a sink, in token order.

    Attributes:
        rows: The rows.
        edges: Per row the outcome that its last edge gives it (dictionary of string).
    """

    rows: Rows
    edges: pa.Array

    @property
    def diverted(self) -> pa.Array | None:
        """Whether each row came by a divert edge, `None` when none did."""
        return diverted(self.edges)

    def take(self, indices: pa.Array) -> "Bound":
        """The rows at some positions."""
        return Bound(self.rows.take(indices), self.edges.take(indices))

    def slice(self, offset: int, length: int) -> "Bound":
        """`length` rows from `offset`."""
        return Bound(self.rows.slice(offset, length), self.edges.slice(offset, length))


def diverted(edges: pa.Array) -> pa.Array | None:
    """Which rows came by a divert edge, `None` when none did."""
    if Outcome.QUARANTINED.value not in edges.dictionary.to_pylist():
        return None
    marks = pc.equal(edges, Outcome.QUARANTINED.value)
    return marks if pc.any(marks).as_py() else None


def write_part(
    folder: Path, name: str, rows: Rows, edges: pa.Array, sink: Sink, *, sink_name: str, ordinal: int = 0
) -> PartFile:
    """Writes a part durably, rendered as well when the sink can do that already.

    The files' names in the folder are left to be made durable by the commit.

    Args:
        folder: The attempt's folder.
        name: What the files' names begin with; doing the work again gives new files.
        rows: The rows, in token order.
        edges: Per row the outcome that its last edge gives it (dictionary of string).
        sink: The plugin of the sink, which need not be open.
        sink_name: The sink's name.
        ordinal: Number of the part among the commit's parts for this sink.
    """
    table = rows.to_table().append_column(_EDGE, edges)
    stem = folder / f"{name}-{token_hex(4)}"
    path, rendered_path = stem.with_name(f"{stem.name}.arrow"), stem.with_name(f"{stem.name}.bytes")
    # Hashing, packing and waiting for the disk let go of Python's lock and go on while rows are rendered.
    with ThreadPoolExecutor(max_workers=2) as pool:
        packing = pool.submit(lambda: _write(path, _pack(table)))
        content = pool.submit(table_digest, table)
        info, rendered = _survey(Bound(rows, edges), sink)
        rendering = None if rendered is None else pool.submit(_write, rendered_path, rendered)
    size_bytes, sha256 = packing.result()
    return PartFile(
        sink_name,
        ordinal,
        path,
        None if rendering is None else rendered_path,
        rows=rows.num_rows,
        bytes=size_bytes,
        sha256=sha256,
        rendered_sha256=None if rendering is None else rendering.result()[1],
        info=info.to_json(),
        content_sha256=content.result(),
    )


def _write(path: Path, data: Any) -> tuple[int, str]:
    """Writes a file durably, and gives its size and hash (hex)."""
    storage.write_file(path, data)
    return memoryview(data).nbytes, hashlib.sha256(data).hexdigest()


def _survey(bound: Bound, sink: Sink) -> tuple[PartInfo, Any]:
    rows, marks = bound.rows, bound.diverted
    misfits: Mapping[int, Any] = {}
    facts, rendered, rendering = Facts(()), None, None
    if isinstance(sink, LaidOutSink):
        misfits = sink.misfits(rows, marks)
        facts = sink.facts(*without(rows, marks, misfits))
    if isinstance(sink, FileSink) and sink.renders and rows.num_rows and not misfits:
        fold = sink.fold(FoldRequest(rows.originals))
        if fold.take(facts):
            layout = fold.layout()
            rendered = _one_buffer(sink.render(rows, layout))
            rendering = sink.rendering(facts.columns, layout)
    counts = pc.value_counts(bound.edges).to_pylist()
    info = PartInfo(
        rows.num_rows,
        facts,
        len(misfits),
        {count["values"]: count["counts"] for count in counts},
        rows.originals,
        rendering,
        rows.tokens[0].as_py().hex() if rows.num_rows else "",
        rows.tokens[-1].as_py().hex() if rows.num_rows else "",
    )
    return info, rendered


def _one_buffer(pieces: Sequence[Any]) -> Any:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_part(path: Path, *, size_bytes: int, sha256: str) -> Bound:
    """The rows of a part.

    Raises:
        DamagedRecordError: The file is not what was committed.
    """
    data = read_verified(path, size_bytes=size_bytes, sha256=sha256)
    with pa.ipc.open_file(pa.BufferReader(data)) as file:
        table = file.read_all()
    edges = table.column(_EDGE).unify_dictionaries().combine_chunks()
    return Bound(Rows.from_table(table), edges if isinstance(edges, pa.Array) else edges.chunk(0))


def _pack(table: pa.Table) -> pa.Buffer:
    """The table as an Arrow IPC file of one record batch."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def concat_bound(pieces: Sequence[Bound]) -> Bound:
    """The rows of all pieces, one after another."""
    if len(pieces) == 1:
        return pieces[0]
    edges = pa.chunked_array([piece.edges for piece in pieces]).unify_dictionaries().combine_chunks()
    return Bound(Rows.concat([piece.rows for piece in pieces]), edges)
