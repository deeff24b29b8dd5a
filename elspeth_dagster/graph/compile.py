"""From settings and what the plugins say of their nodes to the graph, or to everything that is wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elspeth_dagster.graph.compatibility import check_compatible, publisher
from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.gates import check_gate
from elspeth_dagster.graph.model import Edge, EdgeMode, GateRule, Graph, Node, NodeFacts, NodeKind
from elspeth_dagster.graph.order import check_reachable, cycle_in, topological
from elspeth_dagster.graph.wiring import Wiring, read_wiring, resolve_edges
from elspeth_dagster.rows.fields import OBSERVED
from elspeth_dagster.settings.errors import Problem, SettingsError
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import DISCARD
from elspeth_dagster.settings.nodes import SinkSettings, SourceSettings, TransformSettings
from elspeth_dagster.settings.settings import Settings


@dataclass(frozen=True)
class _Examined:
    """Settings whose wiring has been looked at, with what was found wrong."""

    settings: Settings
    facts: Mapping[str, NodeFacts]
    wiring: Wiring
    edges: tuple[Edge, ...]
    rules: Mapping[str, GateRule | None]
    problems: tuple[Problem, ...]


def compile_graph(settings: Settings, facts: Mapping[str, NodeFacts]) -> Graph:
    """Compiles a pipeline.

    Args:
        settings: The settings.
        facts: For every node with a plugin, by node name, what its plugin and options say of it.

    Raises:
        SettingsError: The wiring, the schemas or the conditions are wrong; holds every problem.
    """
    examined = _examine(settings, facts)
    if examined.problems:
        raise SettingsError(examined.problems)
    return _graph(examined)


def graph_problems(settings: Settings, facts: Mapping[str, NodeFacts]) -> tuple[Problem, ...]:
    """Everything that `compile_graph` would refuse; nodes without facts go unchecked against others."""
    return _examine(settings, facts).problems


def _examine(settings: Settings, facts: Mapping[str, NodeFacts]) -> _Examined:
    findings = Findings(settings)
    unsupported = _note_unsupported(settings, findings)
    wiring = read_wiring(settings)
    places = _places(settings, wiring)
    rules = {gate.name: check_gate(gate, findings) for gate in settings.gates}
    edges = resolve_edges(wiring, findings)
    if not unsupported:
        circling = _check_cycles(places, edges, findings)
        rest = {name: path for name, path in places.items() if name not in circling}
        check_reachable(rest, edges, wiring.sinks, findings)
    _check_failure_sinks(wiring, facts, findings)
    check_compatible(edges, facts, places, findings)
    return _Examined(settings, facts, wiring, edges, rules, tuple(findings.problems))


def _note_unsupported(settings: Settings, findings: Findings) -> bool:
    for aggregation in settings.aggregations:
        findings.add(aggregation.path, f"aggregations are not supported yet ('{aggregation.name}')")
    for coalesce in settings.coalesces:
        findings.add(coalesce.path, f"coalesce points are not supported yet ('{coalesce.name}')")
    forks = any(gate.fork_to for gate in settings.gates)
    return bool(settings.aggregations or settings.coalesces or forks)


def _places(settings: Settings, wiring: Wiring) -> dict[str, KeyPath]:
    nodes = (settings.source, *settings.transforms, *settings.gates)
    return {node.name: node.path for node in nodes} | dict(wiring.sinks)


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
        findings.add(places[members[0]], f"rows would go round for ever: {' -> '.join(members)}")
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
                f"'{divert.to}' does not take just any row; failures go to a file sink (csv, json, parquet)",
            )


def _graph(examined: _Examined) -> Graph:
    edges = examined.edges
    nodes = {node.name: node for node in _nodes(examined)}
    inner, _ = topological([name for name, node in nodes.items() if node.kind is not NodeKind.SINK], edges)
    sinks, _ = topological(list(examined.wiring.sinks), edges)
    order = {name: index for index, name in enumerate([*inner, *sinks])}
    by_node = sorted(edges, key=lambda edge: order[edge.source])
    return Graph(examined.settings.pipeline, {name: nodes[name] for name in order}, tuple(by_node))


def _nodes(examined: _Examined) -> Iterator[Node]:
    settings, facts = examined.settings, examined.facts
    entries: list[tuple[NodeKind, SourceSettings | TransformSettings | SinkSettings]] = [
        (NodeKind.SOURCE, settings.source),
        *((NodeKind.TRANSFORM, transform) for transform in settings.transforms),
        *((NodeKind.SINK, settings.sinks[name]) for name in examined.wiring.sinks),
    ]
    for kind, entry in entries:
        schema = facts[entry.name].schema
        stage = None if kind is NodeKind.SINK else 0
        yield Node(entry.name, kind, entry.path, entry.plugin, entry.options, schema, stage)
    before = {edge.target: edge.source for edge in examined.edges if edge.mode is EdgeMode.MOVE}
    for gate in settings.gates:
        behind = publisher(gate.name, before, facts)
        schema = OBSERVED if behind is None else facts[behind].schema
        yield Node(gate.name, NodeKind.GATE, gate.path, schema=schema, gate=examined.rules[gate.name])
