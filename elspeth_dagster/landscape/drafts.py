"""Drafts: what is handed to a commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from elspeth_dagster.accounting import Tally
from elspeth_dagster.landscape.model import Phase
from elspeth_dagster.landscape.segments import WrittenSegment


@dataclass(frozen=True)
class CommitKey:
    """What a commit is of. There is one commit per run and key, for ever."""

    phase: Phase
    node: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.phase.name} {self.node} {self.ordinal}"


def answers_node(stage: int, node: str, number: int) -> str:
    """The commit key's node for what a transform answered in a sweep of its stage.

    Args:
        stage: The stage.
        node: The transform.
        number: Of the slice, where a chunk is swept slice by slice, or was asked about anew.
    """
    return f"answers_{stage}_{node}" + (f":{number}" if number else "")


@dataclass(frozen=True)
class PartFile:
    """A part on disk, durable already, that waits for its commit.

    Attributes:
        sink: The sink that it is bound for.
        ordinal: Number among the commit's parts for this sink.
        path: The typed rows; below the attempt's folder.
        rendered_path: The same rows as the sink's bytes, if they could be rendered.
        rows: Number of rows.
        bytes: Size of `path`.
        sha256: Hash of `path` (hex).
        rendered_sha256: Hash of `rendered_path` (hex).
        info: What publishing needs to know before it opens the part; JSON.
        content_sha256: `digest.table_digest` of the rows; without it the file's hash stands for the content.
    """

    sink: str
    ordinal: int
    path: Path
    rendered_path: Path | None
    rows: int
    bytes: int
    sha256: str
    rendered_sha256: str | None
    info: dict[str, Any]
    content_sha256: str | None = None

    @property
    def content(self) -> str:
        """The hash that stands for the part's content."""
        return self.content_sha256 or self.sha256


@dataclass(frozen=True)
class ChunkFacts:
    """A chunk that a commit freezes.

    Attributes:
        stage: The stage that it is for; 0 for what the source read.
        ordinal: Its number in the stage, from 0.
        first_record: Index of its first record.
        records: How many records.
        input_bytes: How much input they were.
        cursor: Where reading goes on; JSON.
    """

    stage: int
    ordinal: int
    first_record: int
    records: int
    input_bytes: int
    cursor: dict[str, Any]


@dataclass(frozen=True)
class ArtifactFacts:
    """What a publish made.

    Attributes:
        sink: By which sink.
        uri: Where it is.
        kind: What it is, such as "csv".
        rows: Rows delivered.
        size_bytes: Its size.
        sha256: Its hash (hex).
        facts: Columns, preview and the like; JSON.
    """

    sink: str
    uri: str
    kind: str
    rows: int
    size_bytes: int
    sha256: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class CommitDraft:
    """Everything that one commit makes visible together.

    Attributes:
        key: What it is of.
        tables: Rows to record, by table name; each becomes a segment, empty ones are left out. One that was
            streamed to disk already is given as its `WrittenSegment`.
        tallies: Derived from those tables.
        parts: Rows left for sinks.
        chunk: The chunk that it freezes.
        markers: Facts that say that something is complete, by name; JSON.
        artifact: What a publish made.
        catalogue: Rows for the tables `nodes` and `edges`, without run.
        extra_content: Other JSON that belongs to the result and must come out the same when it is made again.
    """

    key: CommitKey
    tables: Mapping[str, pa.Table | WrittenSegment] = field(default_factory=dict)
    tallies: tuple[Tally, ...] = ()
    parts: tuple[PartFile, ...] = ()
    chunk: ChunkFacts | None = None
    markers: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    artifact: ArtifactFacts | None = None
    catalogue: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    extra_content: Mapping[str, Any] = field(default_factory=dict)


def catalogue_rows(
    draft: CommitDraft, segments: Sequence[WrittenSegment], folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """The rows that a commit adds to the catalogue, by table, without run and commit.

    Args:
        draft: The commit.
        segments: Its segments, written.
        folder: The segment folder, to which stored paths are relative.
    """
    rows: dict[str, list[dict[str, Any]]] = {
        "segments": [_segment_row(segment, folder) for segment in segments],
        "parts": [_part_row(part, folder) for part in draft.parts],
        "tallies": [_tally_row(tally) for tally in draft.tallies],
        "markers": [{"name": name, "facts": facts} for name, facts in draft.markers.items()],
        "nodes": list(draft.catalogue.get("nodes", ())),
        "edges": list(draft.catalogue.get("edges", ())),
    }
    if draft.chunk is not None:
        rows["chunks"] = [{**vars(draft.chunk), "digest": _chunk_digest(segments)}]
    if draft.artifact is not None:
        rows["artifacts"] = [dict(vars(draft.artifact))]
    return rows


def _segment_row(segment: WrittenSegment, folder: Path) -> dict[str, Any]:
    return {
        "table_name": segment.table_name,
        "path": _relative(segment.path, folder),
        "rows": segment.rows,
        "bytes": segment.size_bytes,
        "sha256": segment.sha256,
    }


def _part_row(part: PartFile, folder: Path) -> dict[str, Any]:
    rendered = part.rendered_path
    return {
        "sink": part.sink,
        "ordinal": part.ordinal,
        "path": _relative(part.path, folder),
        "rendered_path": None if rendered is None else _relative(rendered, folder),
        "rows": part.rows,
        "bytes": part.bytes,
        "sha256": part.sha256,
        "rendered_sha256": part.rendered_sha256,
        "content_sha256": part.content,
        "info": part.info,
    }


def _tally_row(tally: Tally) -> dict[str, Any]:
    return {**vars(tally), "measure": tally.measure.value}


def _chunk_digest(segments: Sequence[WrittenSegment]) -> str:
    """The content digest of the records; of nothing, when the chunk holds none of its own."""
    return next((segment.content_sha256 for segment in segments if segment.table_name == "records"), "")


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
