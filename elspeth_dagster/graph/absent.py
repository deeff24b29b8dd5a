"""Fields that a node reads though no row that comes to it can have them: accepted, but hardly meant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge, EdgeMode, GateRule, NodeFacts
from elspeth_dagster.rows.fields import SchemaMode
from elspeth_dagster.rows.headers import HeaderError, normalise_header
from elspeth_dagster.settings.errors import did_you_mean
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.settings import Settings

_Known = frozenset[str]


@dataclass(frozen=True)
class Nodes:
    """What is known of a pipeline's nodes.

    Attributes:
        order: The nodes that are in no cycle and behind none, in topological order.
        edges: All edges.
        facts: What the plugins and options say, by node.
        gates: What the gates decide by.
    """

    order: Sequence[str]
    edges: Sequence[Edge]
    facts: Mapping[str, NodeFacts]
    gates: Mapping[str, GateRule | None]


def warn_of_absent_fields(settings: Settings, nodes: Nodes, findings: Findings) -> None:
    """Warns of every key of a condition, and every field in an option, that no row can have.

    Only where all fields are known: behind a source with a fixed schema, as long as no node makes others.
    """
    lists = (settings.gates, settings.transforms, settings.aggregations)
    places = {node.name: node.path for entries in lists for node in entries}
    known = _known_fields(settings.source.name, nodes)
    mapping = settings.source.options.get("field_mapping")
    aliases = mapping if isinstance(mapping, dict) else {}
    for name, path in places.items():
        fields = known.get(name)
        if fields is None:
            continue
        for key, read in _reads(name, nodes):
            if not _can_be(read, fields, aliases):
                listed = ", ".join(sorted(fields)) or "none"
                findings.warn(
                    (*path, *key),
                    f"it reads '{read}', and no row that comes here has that (fields: {listed})"
                    f"{did_you_mean(read, fields)}",
                )


def _known_fields(source: str, nodes: Nodes) -> dict[str, _Known]:
    """Per node the fields of the rows that come to it by normal edges, where all of them are known."""
    facts = nodes.facts
    into: dict[str, list[str]] = {}
    for edge in nodes.edges:
        if edge.mode is not EdgeMode.DIVERT:
            into.setdefault(edge.target, []).append(edge.source)
    given: dict[str, _Known] = {}
    if source in facts and facts[source].schema.mode is SchemaMode.FIXED:
        given[source] = frozenset(spec.name for spec in facts[source].schema.fields)
    arriving: dict[str, _Known] = {}
    for name in nodes.order:
        origins = into.get(name, [])
        if name == source or not origins or not all(origin in given for origin in origins):
            continue
        arriving[name] = frozenset[str]().union(*(given[origin] for origin in origins))
        if name in nodes.gates or (name in facts and not facts[name].own_fields):
            given[name] = arriving[name]
    return arriving


def _reads(name: str, nodes: Nodes) -> Iterator[tuple[KeyPath, str]]:
    """What a node reads by name, with the key of the settings that says so."""
    gate = nodes.gates.get(name)
    if gate is not None:
        yield from ((("condition",), read) for read in sorted(gate.condition.reads or ()))
    if name in nodes.facts:
        for option, fields in nodes.facts[name].reads.items():
            yield from ((("options", option), read) for read in fields)


def _can_be(read: str, fields: _Known, aliases: Mapping[str, str]) -> bool:
    """Whether a row can have it: by its name, by its original header, or as what a dotted path begins in."""
    names = {read, read.partition(".")[0]}
    for name in tuple(names):
        try:
            names.add(normalise_header(name))
        except HeaderError:
            continue
    return not fields.isdisjoint(names | {aliases[name] for name in names if name in aliases})
