"""From settings and what the plugins say of their nodes to the graph, or to everything that is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from elspeth_dagster.graph.absent import Nodes, warn_of_absent_fields
from elspeth_dagster.graph.compatibility import check_compatible
from elspeth_dagster.graph.ends import Wiring, read_wiring
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.forks import check_branches
from elspeth_dagster.graph.gates import check_gate
from elspeth_dagster.graph.joins import coalesce_rules
from elspeth_dagster.graph.model import (
    AggregationRule,
    CoalesceRule,
    Edge,
    EdgeMode,
    GateRule,
    Graph,
    Node,
    NodeFacts,
    NodeKind,
)
from elspeth_dagster.graph.order import check_reachable, cycle_in, topological
from elspeth_dagster.graph.published import Published, published_facts
from elspeth_dagster.graph.triggers import check_aggregation
from elspeth_dagster.graph.wiring import resolve_edges
from elspeth_dagster.rows.fields import OBSERVED
from elspeth_dagster.settings.errors import Problem, SettingsError
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import DISCARD
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalesceSettings,
    GateSettings,
    SinkSettings,
    SourceSettings,
    TransformSettings,
)
from elspeth_dagster.settings.settings import Settings

PluginSettings = SourceSettings | TransformSettings | AggregationSettings | SinkSettings


@dataclass(frozen=True)
class _Rules:
    """What the nodes without a plugin, and the aggregations, do."""

    gates: Mapping[str, GateRule | None]
    aggregations: Mapping[str, AggregationRule]
    coalesces: Mapping[str, CoalesceRule]


@dataclass(frozen=True)
class Examined:
    """Settings whose wiring, schemas and conditions have been looked at.

    Attributes:
        problems: Everything that is wrong; nodes without facts went unchecked against others.
        warnings: What is accepted, but does not do what its author may expect.
    """

    settings: Settings
    facts: Mapping[str, NodeFacts]
    wiring: Wiring
    edges: tuple[Edge, ...]
    published: Mapping[str, Published]
    rules: _Rules
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def graph(self) -> Graph:
        """The pipeline's graph.

        Raises:
            SettingsError: Something is wrong; holds every problem.
        """
        if self.problems:
            raise SettingsError(self.problems)
        return _graph(self)


def examine(settings: Settings, facts: Mapping[str, NodeFacts]) -> Examined:
    """Looks at a pipeline.

    Args:
        settings: The settings.
        facts: For every node with a plugin, by node name, what its plugin and options say of it.
    """
    findings = Findings(settings)
    wiring = read_wiring(settings)
    places = _places(settings, wiring)
    gates = {gate.name: check_gate(gate, findings) for gate in settings.gates}
    aggregations = {node.name: check_aggregation(node, findings) for node in settings.aggregations}
    check_branches(settings, findings)
    edges = resolve_edges(wiring, findings)
    circling = _check_cycles(places, edges, findings)
    rest = {name: path for name, path in places.items() if name not in circling}
    check_reachable(rest, edges, wiring.sinks, findings)
    _check_failure_sinks(wiring, facts, findings)
    order, _ = topological([name for name in places if name not in wiring.sinks], edges)
    coalesces = coalesce_rules(settings, order, edges, _multiplying(settings, facts), findings)
    published = published_facts(settings, order, edges, facts, findings)
    check_compatible(edges, published, facts, places, findings)
    warn_of_absent_fields(settings, Nodes(order, edges, facts, gates), findings)
    rules = _Rules(gates, aggregations, coalesces)
    problems, warnings = tuple(findings.problems), tuple(findings.warnings)
    return Examined(settings, facts, wiring, edges, published, rules, problems, warnings)


def _places(settings: Settings, wiring: Wiring) -> dict[str, KeyPath]:
    lists = (settings.transforms, settings.gates, settings.aggregations, settings.coalesces)
    nodes = (settings.source, *(node for nodes in lists for node in nodes))
    return {node.name: node.path for node in nodes} | dict(wiring.sinks)


def _multiplying(settings: Settings, facts: Mapping[str, NodeFacts]) -> dict[str, str]:
    """The nodes that can make several tokens of one, with what they are."""
    expanding = {
        node.name: node.plugin
        for node in settings.transforms
        if node.name in facts and facts[node.name].expands
    }
    return expanding | {node.name: "an aggregation" for node in settings.aggregations}


def _check_cycles(
    places: Mapping[str, KeyPath], edges: tuple[Edge, ...], findings: Findings
) -> frozenset[str]:
    """Notes each cycle once, at the first of its nodes in the file; gives all nodes that are in one."""
    order = list(places)
    circling: set[str] = set()
    _, stuck = topological(order, edges)
    while stuck:
        cycle = cycle_in(stuck, edges)[:-1]
        first = cycle.index(min(cycle, key=order.index))
        members = [*cycle[first:], *cycle[: first + 1]]
        found = f"rows would go round for ever: {' -> '.join(members)}"
        findings.add(
            places[members[0]], f"{found}; let one of them read or feed another connection, or a sink"
        )
        circling.update(cycle)
        _, stuck = topological([name for name in stuck if name not in circling], edges)
    return frozenset(circling)


def _check_failure_sinks(wiring: Wiring, facts: Mapping[str, NodeFacts], findings: Findings) -> None:
    writes_on = {divert.node: divert.to for divert in wiring.diverts if divert.label == "on_write_failure"}
    for divert in wiring.diverts:
        if divert.label != "on_write_failure" or divert.to not in wiring.sinks or divert.to == divert.node:
            continue
        further = writes_on.get(divert.to, DISCARD)
        if further not in {DISCARD, divert.node}:
            findings.add(
                divert.key_path,
                f"'{divert.to}' has an on_write_failure of its own ('{further}'); a sink for "
                "another's failures has none, or 'discard'",
            )
        if divert.to in facts and not facts[divert.to].takes_failures:
            findings.add(
                divert.key_path,
                f"'{divert.to}' does not take just any row; csv, json, parquet and database do",
            )


def _graph(examined: Examined) -> Graph:
    edges = examined.edges
    nodes = {node.name: node for node in _nodes(examined)}
    places = _places(examined.settings, examined.wiring)
    inner, _ = topological([name for name in places if name not in examined.wiring.sinks], edges)
    sinks, _ = topological(list(examined.wiring.sinks), edges)
    order = {name: index for index, name in enumerate([*inner, *sinks])}
    by_node = sorted(edges, key=lambda edge: order[edge.source])
    stages = _stages([nodes[name] for name in inner], edges)
    staged = {name: replace(nodes[name], stage=stages.get(name)) for name in order}
    return Graph(examined.settings.pipeline, staged, tuple(by_node))


def _stages(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """The stage of each node: that of the node before it, but a new one for every aggregation."""
    before = {edge.target: edge.source for edge in edges if edge.mode is not EdgeMode.DIVERT}
    stages: dict[str, int] = {}
    for node in nodes:
        if node.kind is NodeKind.AGGREGATION:
            stages[node.name] = max(stages.values()) + 1
        else:
            stages[node.name] = stages[before[node.name]] if node.name in before else 0
    return stages


def _nodes(examined: Examined) -> Iterator[Node]:
    settings, facts, rules = examined.settings, examined.facts, examined.rules
    entries: list[tuple[NodeKind, PluginSettings]] = [
        (NodeKind.SOURCE, settings.source),
        *((NodeKind.TRANSFORM, transform) for transform in settings.transforms),
        *((NodeKind.AGGREGATION, aggregation) for aggregation in settings.aggregations),
        *((NodeKind.SINK, settings.sinks[name]) for name in examined.wiring.sinks),
    ]
    for kind, entry in entries:
        yield Node(
            entry.name,
            kind,
            entry.path,
            entry.plugin,
            entry.options,
            facts[entry.name].schema,
            aggregation=rules.aggregations.get(entry.name),
        )
    inner: list[tuple[NodeKind, GateSettings | CoalesceSettings]] = [
        *((NodeKind.GATE, gate) for gate in settings.gates),
        *((NodeKind.COALESCE, coalesce) for coalesce in settings.coalesces),
    ]
    for kind, node in inner:
        known = examined.published.get(node.name)
        schema = OBSERVED if known is None else known.facts.schema
        gate, coalesce = rules.gates.get(node.name), rules.coalesces.get(node.name)
        yield Node(node.name, kind, node.path, schema=schema, gate=gate, coalesce=coalesce)
