"""What Dagster shows of a source and of a sink."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from elspeth_dagster.accounting import Counts, counts_of_sink
from elspeth_dagster.engine.completeness import source_marker
from elspeth_dagster.engine.work import Work, create_source
from elspeth_dagster.landscape import reads
from elspeth_dagster.landscape.commits import ArtifactFacts
from elspeth_dagster.landscape.reads import ChunkRow
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
        facts["dagster/uri"] = str(work.resolve(uris[0]))
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
    facts = of_counts(counts) | {
        "elspeth/run_id": work.run_id,
        "elspeth/plugin": artifact.kind,
        "elspeth/path": artifact.uri,
        "elspeth/sha256": artifact.sha256,
        "elspeth/size_bytes": artifact.size_bytes,
        "elspeth/delivery": artifact.facts.get("delivery", "exactly_once"),
        "dagster/row_count": artifact.rows,
        "dagster/uri": Path(artifact.uri).as_uri() if artifact.uri.startswith("/") else artifact.uri,
    }
    preview = artifact.facts.get("preview")
    columns = artifact.facts.get("columns") or (preview[0] if preview else [])
    if columns:
        declared = {field.name: field.type.value for field in work.compiled.graph.nodes[sink].schema.fields}
        facts["dagster/column_schema"] = dg.TableSchema(
            [dg.TableColumn(name, declared.get(name, "any")) for name in columns]
        )
    if preview:
        facts["preview"] = dg.MetadataValue.md(_markdown(preview))
    return facts


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


def _markdown(preview: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is the header."""
    lines = ["| " + " | ".join(_cell(text) for text in row) + " |" for row in preview]
    lines.insert(1, "|" + "---|" * len(preview[0]))
    return "\n".join(lines)


def _cell(text: str) -> str:
    short = text if len(text) <= 60 else text[:57] + "…"
    return (
        short.replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("\n", " ")
        .replace("\r", " ")
        .replace("<", "&lt;")
    )
