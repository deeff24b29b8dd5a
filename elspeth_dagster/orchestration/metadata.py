"""What Dagster shows of a source and of a sink."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.accounting import Counts, Tally, counts_of_sink
from elspeth_dagster.engine.checks import quarantined_fraction
from elspeth_dagster.engine.completeness import source_marker
from elspeth_dagster.engine.work import Work, create_source
from elspeth_dagster.errors import ElspethError
from elspeth_dagster.graph import Graph
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.reads import ChunkRow
from elspeth_dagster.landscape.set_aside import set_aside
from elspeth_dagster.orchestration import stories
from elspeth_dagster.orchestration.markdown import cut, table
from elspeth_dagster.rows.fields import Schema


def of_counts(counts: Counts) -> dict[str, Any]:
    """The figures that every asset carries under the same keys."""
    return {
        "elspeth/rows_in": counts.rows_in,
        "elspeth/succeeded": counts.succeeded,
        "elspeth/failed": counts.failed,
        "elspeth/quarantined": counts.quarantined,
    }


def of_source(work: Work, marker: dict[str, Any], chunks: Sequence[ChunkRow]) -> dict[str, Any]:
    """Metadata of the source's materialisation."""
    facts: dict[str, Any] = {
        "elspeth/rows_in": marker["rows"],
        "elspeth/run_id": work.run_id,
        "elspeth/chunks": marker["chunks"],
        "elspeth/input_bytes": sum(chunk.input_bytes for chunk in chunks),
        "dagster/row_count": marker["rows"],
    }
    uris = create_source(work.compiled, work.launch).uris()
    if uris:
        facts["dagster/uri"] = uris[0] if "://" in uris[0] else work.resolve(uris[0]).as_uri()
    schema = work.compiled.graph.nodes["source"].schema
    if schema.fields:
        facts["dagster/column_schema"] = _declared(schema)
    return facts


def source_version(chunks: Sequence[ChunkRow]) -> str:
    """A hash over everything that was read."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(bytes.fromhex(chunk.digest))
    return digest.hexdigest()


def of_sink(work: Work, sink: str, artifact: ArtifactFacts) -> dict[str, Any]:
    """Metadata of a sink's materialisation; its counts are of what ended at this sink."""
    rows = source_marker(work)["rows"]
    counts = counts_of_sink(reads.tallies(work.landscape, work.run_id), sink, records=rows)
    preview: list[dict[str, str]] = artifact.facts.get("preview", [])
    facts = of_counts(counts)
    if preview:
        facts["preview"] = dg.MetadataValue.md(_preview(preview, _headers(artifact)))
    facts |= {
        "elspeth/run_id": work.run_id,
        "elspeth/plugin": artifact.kind,
        "elspeth/path": artifact.uri,
        "elspeth/sha256": artifact.sha256,
        "elspeth/size_bytes": artifact.size_bytes,
        "elspeth/delivery": artifact.facts.get("delivery", "exactly_once"),
        "dagster/row_count": artifact.rows,
        "dagster/uri": Path(artifact.uri).as_uri() if artifact.uri.startswith("/") else artifact.uri,
    }
    columns = _columns(artifact, work.compiled.graph.nodes[sink].schema, preview)
    if columns:
        facts["dagster/column_schema"] = dg.TableSchema(columns)
    return facts


def _headers(artifact: ArtifactFacts) -> dict[str, str]:
    """Field to the name that it has in the file, for the columns of this run's rows."""
    fields, headers = artifact.facts.get("columns", []), artifact.facts.get("header", [])
    return dict(zip(fields, headers, strict=True)) if len(fields) == len(headers) else {}


def _columns(
    artifact: ArtifactFacts, schema: Schema, preview: Sequence[Mapping[str, str]]
) -> list[dg.TableColumn]:
    """The columns of the file; their types are those of the values written, else the declared ones."""
    names = artifact.facts.get("header") or list(dict.fromkeys(name for row in preview for name in row))
    types = artifact.facts.get("types", [])
    if len(types) != len(names):
        fields = {header: field for field, header in _headers(artifact).items()}
        declared = {field.name: field.type.value for field in schema.fields}
        types = [declared.get(fields.get(name, name), "any") for name in names]
    return [dg.TableColumn(name, kind) for name, kind in zip(names, types, strict=True)]


def of_run(run_id: str, counts: Counts) -> dict[str, Any]:
    """Metadata of the completed run."""
    fraction = {"elspeth/quarantined_fraction": quarantined_fraction(counts)}
    return of_counts(counts) | fraction | {"elspeth/run_id": run_id}


def of_rows(work: Work, counts: Counts) -> dict[str, Any]:
    """What became of a run's rows: counts, where they went, and why some were set aside."""
    tallies = reads.tallies(work.landscape, work.run_id)
    flow = {"elspeth/flow": _flow_table(work.compiled.graph, tallies)}
    aside = _set_aside(work.landscape, work.run_id, "elspeth/set_aside")
    return of_run(work.run_id, counts) | flow | aside


def _flow_table(graph: Graph, tallies: Sequence[Tally], *, reached: bool = False) -> dg.TableMetadataValue:
    """A row per node; with `reached`, only of those that rows came to."""
    flow = [row for row in stories.flow(graph, tallies) if row.rows_in or not reached]
    records = [dg.TableRecord(asdict(row)) for row in flow]
    return dg.MetadataValue.table(records, schema=_FLOW)


def of_rows_so_far(landscape: Landscape, run_id: str, graph: Graph) -> dict[str, Any]:
    """Where the rows of a run are that did not complete, and why some were set aside."""
    try:
        tallies = reads.tallies(landscape, run_id)
    except ElspethError as error:
        return {"rows so far": f"unknown: {error}"}
    flow = {"rows so far": _flow_table(graph, tallies, reached=True)} if tallies else {}
    return _set_aside(landscape, run_id, "set aside so far") | flow


def _set_aside(landscape: Landscape, run_id: str, name: str) -> dict[str, Any]:
    """The table of the most frequent reasons; nothing when no row was set aside."""
    try:
        found = set_aside(landscape, run_id)
    except ElspethError as error:
        return {name: f"unknown: {error}"}
    rows = [(told.node, cut(told.reason), told.count, told.rows) for told in found.reasons]
    if found.others or not found.complete:
        more = "other reasons" if found.complete else "other reasons, and rows that were not looked at"
        rows.append(("", more, found.others, ()))
    records = [
        dg.TableRecord({"node": node, "reason": why, "count": count, "rows": ", ".join(map(str, first))})
        for node, why, count, first in rows
    ]
    return {name: dg.MetadataValue.table(records, schema=_REASONS)} if records else {}


_REASONS = dg.TableSchema(
    [
        dg.TableColumn("node", "string"),
        dg.TableColumn("reason", "string"),
        dg.TableColumn("count", "int"),
        dg.TableColumn("rows", "string", description="Indices of the first ones, counted from 0."),
    ]
)
_FLOW = dg.TableSchema(
    [
        dg.TableColumn("node", "string"),
        dg.TableColumn("kind", "string"),
        dg.TableColumn("rows_in", "int"),
        dg.TableColumn("went_to", "string"),
    ]
)


def _declared(schema: Schema) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(
                field.name,
                field.type.value,
                constraints=dg.TableColumnConstraints(nullable=not field.required),
            )
            for field in schema.fields
        ]
    )


def _preview(rows: Sequence[Mapping[str, str]], headers: Mapping[str, str]) -> str:
    """A table of some rows, under the names that the file has for their fields."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return table(
        [headers.get(name, name) for name in names], [[row.get(n, "") for n in names] for row in rows]
    )
