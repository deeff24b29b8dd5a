"""Small questions to the catalogue, each one indexed query, and the reading of segments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Select, func, select

from elspeth_dagster.accounting import Measure, Tally
from elspeth_dagster.landscape import schema
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.drafts import ArtifactFacts
from elspeth_dagster.landscape.errors import MissingChunkError, NoSuchRunError
from elspeth_dagster.landscape.model import AttemptStatus, Phase, PhaseStatus, RunStatus
from elspeth_dagster.landscape.segments import decode_segment, read_verified
from elspeth_dagster.settings.partitions import with_partition

_PAGE_COMMITS = 200


@dataclass(frozen=True)
class RunRow:
    """A run, as the catalogue has it. Times are in UTC; `counts` is there once it is completed."""

    run_id: str
    pipeline: str
    record_format: str
    settings: dict[str, Any]
    settings_digest: str
    launch: dict[str, Any]
    fence: int
    status: RunStatus
    created_at: datetime
    completed_at: datetime | None
    counts: dict[str, Any] | None

    @property
    def partition(self) -> str | None:
        """Key of the partition that it is for; `None` where its pipeline has none."""
        return self.launch.get("partition")

    @property
    def source_path(self) -> str | None:
        """The file that it reads, as settings or launch named it; `None` where it reads none."""
        path = self.launch.get("source_path") or self.settings["source"].get("options", {}).get("path")
        return with_partition(path, self.partition) if isinstance(path, str) else None


@dataclass(frozen=True)
class AttemptRow:
    """An attempt, as the catalogue has it; `code` is the hash of each node's code."""

    run_id: str
    number: int
    pipeline: str
    dagster_run_id: str
    parent_dagster_run_id: str | None
    status: AttemptStatus
    started_at: datetime
    ended_at: datetime | None
    engine_version: str
    code: dict[str, str]
    error: dict[str, Any] | None


@dataclass(frozen=True)
class ChunkRow:
    """A committed chunk; `digest` is the content digest of its records."""

    run_id: str
    stage: int
    ordinal: int
    commit_id: int
    first_record: int
    records: int
    input_bytes: int
    digest: str


@dataclass(frozen=True)
class PlacedChunk(ChunkRow):
    """A committed chunk with what whoever goes on behind it has to know, which may be as much as a header."""

    cursor: dict[str, Any]


@dataclass(frozen=True)
class SegmentRow:
    """A committed segment; `path` is relative to the segment folder."""

    run_id: str
    phase: Phase
    node: str
    ordinal: int
    table_name: str
    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PartRow:
    """A committed part; its paths are relative to the segment folder."""

    run_id: str
    phase: Phase
    node: str
    commit_ordinal: int
    sink: str
    ordinal: int
    path: str
    rendered_path: str | None
    rows: int
    bytes: int
    sha256: str
    rendered_sha256: str | None
    content_sha256: str
    info: dict[str, Any]


@dataclass(frozen=True)
class NodeRow:
    """A node of a run's graph."""

    run_id: str
    name: str
    kind: str
    plugin: str | None
    position: int
    stage: int
    options: dict[str, Any]
    schema: dict[str, Any]
    code_hash: str | None


@dataclass(frozen=True)
class EdgeRow:
    """An edge of a run's graph."""

    run_id: str
    source: str
    target: str
    label: str
    mode: str


def run(landscape: Landscape, run_id: str) -> RunRow:
    """A run.

    Raises:
        NoSuchRunError: There is none with this id.
    """
    found: list[RunRow] = _all(landscape, select(schema.runs).where(schema.runs.c.run_id == run_id), _run)
    if not found:
        raise NoSuchRunError(run_id, landscape.location.display)
    return found[0]


def runs(
    landscape: Landscape, limit: int | None = None, pipeline: str | None = None, partition: str | None = None
) -> list[RunRow]:
    """Runs, newest first."""
    query = (
        select(schema.runs)
        .order_by(schema.runs.c.created_at.desc(), schema.runs.c.run_id.desc())
        .limit(limit)
    )
    if pipeline is not None:
        query = query.where(schema.runs.c.pipeline == pipeline)
    if partition is not None:
        query = query.where(schema.runs.c.launch["partition"].as_string() == partition)
    return _all(landscape, query, _run)


def pipelines(landscape: Landscape, limit: int) -> list[str]:
    """Names of pipelines that have runs, in order."""
    table = schema.runs.c
    query = select(table.pipeline).distinct().order_by(table.pipeline).limit(limit)
    return landscape.ask(lambda connection: list(connection.execute(query).scalars()))


def run_of_dagster_run(landscape: Landscape, dagster_run_id: str, pipeline: str) -> str | None:
    """The id of the run in which a Dagster run has an attempt on a pipeline."""
    table = schema.attempts.c
    query = select(table.run_id).where(table.dagster_run_id == dagster_run_id, table.pipeline == pipeline)
    return landscape.ask(lambda connection: connection.execute(query).scalar_one_or_none())


def attempts_of_dagster_run(landscape: Landscape, dagster_run_id: str) -> list[AttemptRow]:
    """A Dagster run's attempts, one per pipeline in it."""
    table = schema.attempts
    query = select(table).where(table.c.dagster_run_id == dagster_run_id).order_by(table.c.pipeline)
    return _all(landscape, query, _attempt)


def attempts(landscape: Landscape, run_id: str) -> list[AttemptRow]:
    """A run's attempts, oldest first."""
    table = schema.attempts
    query = select(table).where(table.c.run_id == run_id).order_by(table.c.number)
    return _all(landscape, query, _attempt)


def completed_ops(landscape: Landscape, run_id: str) -> set[str]:
    """Names of the ops that did their work to the end in an attempt on a run."""
    table = schema.phases.c
    query = select(table.node).where(table.run_id == run_id, table.status == PhaseStatus.COMPLETED.value)
    return landscape.ask(lambda connection: set(connection.execute(query).scalars()))


def committed(landscape: Landscape, run_id: str, phase: Phase, node: str) -> set[int]:
    """The ordinals of what is committed for a node in a phase."""
    table = schema.commits.c
    query = select(table.ordinal).where(table.run_id == run_id, table.phase == int(phase), table.node == node)
    return landscape.ask(lambda connection: set(connection.execute(query).scalars()))


def chunks(landscape: Landscape, run_id: str, stage: int) -> list[ChunkRow]:
    """A stage's chunks, in order."""
    table = schema.chunks
    columns = [table.c[field.name] for field in fields(ChunkRow)]
    query = select(*columns).where(table.c.run_id == run_id, table.c.stage == stage).order_by(table.c.ordinal)
    return _all(landscape, query, lambda row: ChunkRow(**row))


def chunk(landscape: Landscape, run_id: str, stage: int, ordinal: int) -> PlacedChunk:
    """One chunk.

    Raises:
        MissingChunkError: It is not committed.
    """
    table = schema.chunks
    query = select(table).where(table.c.run_id == run_id, table.c.stage == stage, table.c.ordinal == ordinal)
    found: list[PlacedChunk] = _all(landscape, query, lambda row: PlacedChunk(**row))
    if not found:
        raise MissingChunkError(run_id, stage, ordinal)
    return found[0]


def last_chunk(landscape: Landscape, run_id: str, stage: int) -> PlacedChunk | None:
    """A stage's last committed chunk, whose cursor says where reading goes on."""
    table = schema.chunks
    query = select(table).where(table.c.run_id == run_id, table.c.stage == stage)
    query = query.order_by(table.c.ordinal.desc()).limit(1)
    return next(iter(_all(landscape, query, lambda row: PlacedChunk(**row))), None)


def source_header(landscape: Landscape, run_id: str) -> dict[str, str]:
    """Field to its header at the source, for a source whose cursors hold its header; else empty."""
    last = last_chunk(landscape, run_id, 0)
    header = None if last is None else last.cursor.get("source", {}).get("header")
    if not isinstance(header, dict) or not {"names", "originals"} <= header.keys():
        return {}
    return dict(zip(header["names"], header["originals"], strict=True))


def marker(landscape: Landscape, run_id: str, name: str) -> dict[str, Any] | None:
    """The facts of a marker; None if it is not set."""
    table = schema.markers.c
    query = select(table.facts).where(table.run_id == run_id, table.name == name)
    return landscape.ask(lambda connection: connection.execute(query).scalar_one_or_none())


def segments_of(
    landscape: Landscape,
    run_id: str,
    *,
    table: str | None = None,
    phase: Phase | None = None,
    node: str | None = None,
    ordinal: int | None = None,
) -> list[SegmentRow]:
    """A run's segments, or those of some of its commits, in the order of phase, node, ordinal and table."""
    made_by, segment = schema.commits.c, schema.segments.c
    place = (segment.run_id, made_by.phase, made_by.node, made_by.ordinal, segment.table_name)
    facts = (segment.path, segment.rows, segment.bytes, segment.sha256)
    query = select(*place, *facts).join_from(schema.segments, schema.commits)
    # Both, so that the database can come from either side: the segments of one commit are few among many.
    query = query.where(segment.run_id == run_id, made_by.run_id == run_id)
    wanted = {segment.table_name: table, made_by.phase: phase, made_by.node: node, made_by.ordinal: ordinal}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    query = query.order_by(*place[1:])
    return _all(landscape, query, lambda row: SegmentRow(**{**row, "phase": Phase(row["phase"])}))


def parts(landscape: Landscape, run_id: str, sink: str) -> list[PartRow]:
    """The parts that were left for a sink or an aggregation, in the order of phase, node, commit and part."""
    return _all(landscape, _parts(run_id).where(schema.parts.c.sink == sink), _part)


def part_streams(landscape: Landscape, run_id: str, sink: str) -> list[tuple[Phase, str]]:
    """The phases and nodes that left parts for a sink, in order; of each, the parts follow one another."""
    made_by, table = schema.commits.c, schema.parts.c
    query = select(made_by.phase, made_by.node).distinct().join_from(schema.parts, schema.commits)
    query = query.where(table.run_id == run_id, table.sink == sink).order_by(made_by.phase, made_by.node)
    return landscape.ask(
        lambda connection: [(Phase(phase), node) for phase, node in connection.execute(query)]
    )


def parts_in_stream(
    landscape: Landscape, run_id: str, sink: str, stream: tuple[Phase, str]
) -> Iterator[PartRow]:
    """The parts that a phase and node left for a sink, in order; few at a time are in memory."""
    made_by, table = schema.commits.c, schema.parts.c
    query = select(made_by.commit_id).order_by(made_by.ordinal)
    query = query.where(made_by.run_id == run_id, made_by.phase == int(stream[0]), made_by.node == stream[1])
    commits = landscape.ask(lambda connection: connection.execute(query).scalars().all())
    for first in range(0, len(commits), _PAGE_COMMITS):
        # By the commits alone: asked for the run's as well, the database would go through all of these.
        few = table.commit_id.in_(commits[first : first + _PAGE_COMMITS])
        yield from _all(landscape, _parts().where(few, table.sink == sink), _part)


def parts_of(landscape: Landscape, run_id: str, phase: Phase, node: str, ordinal: int) -> list[PartRow]:
    """The parts of one commit."""
    made_by = schema.commits.c
    place = (made_by.phase == int(phase), made_by.node == node, made_by.ordinal == ordinal)
    return _all(landscape, _parts(run_id).where(*place), _part)


def _parts(run_id: str | None = None) -> Select[Any]:
    made_by, table = schema.commits.c, schema.parts.c
    of_run = () if run_id is None else (table.run_id == run_id, made_by.run_id == run_id)
    columns = [column for column in table if column.name != "commit_id"]
    return (
        select(made_by.phase, made_by.node, made_by.ordinal.label("commit_ordinal"), *columns)
        .join_from(schema.parts, schema.commits)
        .where(*of_run)
        .order_by(table.sink, made_by.phase, made_by.node, made_by.ordinal, table.ordinal)
    )


def tallies(landscape: Landscape, run_id: str) -> tuple[Tally, ...]:
    """A run's tallies, summed over its commits."""
    table = schema.tallies.c
    key = (table.node, table.measure, table.label, table.target)
    query = select(*key, func.sum(table.count).label("total")).where(table.run_id == run_id)
    query = query.group_by(*key).order_by(*key)
    rows = landscape.ask(lambda connection: connection.execute(query).all())
    return tuple(
        Tally(node, Measure(measure), label, target, int(n)) for node, measure, label, target, n in rows
    )


def artifacts(landscape: Landscape, run_id: str) -> list[ArtifactFacts]:
    """What was published in a run, by the sinks' names."""
    table = schema.artifacts
    columns = [column for column in table.c if column.name not in ("run_id", "commit_id")]
    query = select(*columns).where(table.c.run_id == run_id).order_by(table.c.sink)
    return _all(landscape, query, lambda row: ArtifactFacts(**row))


def artifact(landscape: Landscape, run_id: str, sink: str) -> ArtifactFacts | None:
    """What a sink published in a run; None if it has not."""
    return next((found for found in artifacts(landscape, run_id) if found.sink == sink), None)


def nodes(landscape: Landscape, run_id: str) -> list[NodeRow]:
    """The nodes of a run's graph, in order."""
    table = schema.nodes
    columns = [column for column in table.c if column.name != "commit_id"]
    query = select(*columns).where(table.c.run_id == run_id).order_by(table.c.position)
    return _all(landscape, query, lambda row: NodeRow(**row))


def edges(landscape: Landscape, run_id: str) -> list[EdgeRow]:
    """The edges of a run's graph."""
    table = schema.edges.c
    query = select(table.run_id, table.source, table.target, table.label, table.mode)
    query = query.where(table.run_id == run_id).order_by(table.edge_id)
    return _all(landscape, query, lambda row: EdgeRow(**row))


def read_segment(landscape: Landscape, segment: SegmentRow, columns: Sequence[str] | None = None) -> pa.Table:
    """A segment's rows.

    Raises:
        DamagedRecordError: The file is not what was committed.
    """
    data = read_verified(file_of(landscape, segment.path), size_bytes=segment.bytes, sha256=segment.sha256)
    return decode_segment(data, columns)


def file_of(landscape: Landscape, path: str) -> Path:
    """The file of a stored path."""
    return landscape.location.segments / path


def _all(landscape: Landscape, query: Select[Any], build: Any) -> list[Any]:
    return landscape.ask(lambda connection: [build(row) for row in connection.execute(query).mappings()])


def _run(row: Any) -> RunRow:
    return RunRow(**{**row, "status": RunStatus(row["status"])})


def _part(row: Any) -> PartRow:
    return PartRow(**{**row, "phase": Phase(row["phase"])})


def _attempt(row: Any) -> AttemptRow:
    return AttemptRow(**{**row, "status": AttemptStatus(row["status"])})
