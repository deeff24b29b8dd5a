"""Whether what a node publishes is what the next one needs (settings reference, 1.7)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge, EdgeMode, NodeFacts
from elspeth_dagster.graph.published import Published
from elspeth_dagster.rows.fields import FieldSpec, FieldType, Schema, SchemaMode
from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.locations import KeyPath


@dataclass(frozen=True)
class Neighbours:
    """A node that publishes rows and one that takes them, the gates between them left out."""

    producer: str
    published: NodeFacts
    consumer: str
    wanted: NodeFacts


def check_compatible(
    edges: tuple[Edge, ...],
    published: Mapping[str, Published],
    facts: Mapping[str, NodeFacts],
    places: Mapping[str, KeyPath],
    findings: Findings,
) -> None:
    """Notes every edge whose two ends do not fit; divert edges may carry anything."""
    for pair in _neighbours(edges, published, facts):
        options = (*places[pair.consumer], "options")
        where = f"'{pair.consumer}' takes rows of '{pair.producer}'"
        for message in _missing_names(pair):
            findings.add((*options, *pair.wanted.required_key), f"{where}: {message}")
        for message in _mismatched_fields(pair):
            findings.add((*options, "schema"), f"{where}: {message}")


def _neighbours(
    edges: tuple[Edge, ...], published: Mapping[str, Published], facts: Mapping[str, NodeFacts]
) -> Iterator[Neighbours]:
    seen = set()
    for edge in edges:
        if edge.mode is EdgeMode.DIVERT or edge.target not in facts or edge.source not in published:
            continue
        given = published[edge.source]
        if (given.producer, edge.target) not in seen:
            seen.add((given.producer, edge.target))
            yield Neighbours(given.producer, given.facts, edge.target, facts[edge.target])


def _missing_names(pair: Neighbours) -> Iterator[str]:
    guaranteed = pair.published.guaranteed
    for name in pair.wanted.required:
        if name not in guaranteed:
            known = ", ".join(sorted(guaranteed)) or "none"
            hint = did_you_mean(name, guaranteed)
            yield (
                f"it requires the field '{name}', which '{pair.producer}' does not guarantee "
                f"(guaranteed: {known}; see schema.fields and schema.guaranteed_fields){hint}"
            )


def _mismatched_fields(pair: Neighbours) -> Iterator[str]:
    published, wanted = pair.published.schema, pair.wanted.schema
    if pair.published.own_fields or SchemaMode.OBSERVED in {published.mode, wanted.mode}:
        return
    given = {spec.name: spec for spec in published.fields}
    for spec in wanted.fields:
        message = _mismatch(spec, given.get(spec.name), published)
        if message is not None:
            yield message
    if wanted.mode is SchemaMode.FIXED:
        accepted = {spec.name for spec in wanted.fields}
        for name in given:
            if name not in accepted:
                hint = did_you_mean(name, accepted)
                yield f"its fixed schema has no field '{name}', which '{pair.producer}' publishes{hint}"


def _mismatch(wanted: FieldSpec, given: FieldSpec | None, published: Schema) -> str | None:
    if given is None:
        if not wanted.required:
            return None
        hint = did_you_mean(wanted.name, (spec.name for spec in published.fields))
        return f"it needs the field '{wanted.name}', which is not declared there{hint}"
    if not _fits(given.type, wanted.type):
        return f"field '{wanted.name}' is {given.type.value} there and {wanted.type.value} here"
    if wanted.required and not given.required and wanted.name not in published.guaranteed_fields:
        return f"field '{wanted.name}' is optional there and required here"
    return None


def _fits(given: FieldType, wanted: FieldType) -> bool:
    return wanted in {given, FieldType.ANY} or (given, wanted) == (FieldType.INT, FieldType.FLOAT)
