"""Connections, resolved to edges between nodes (settings reference, 1.5 and 1.6)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from elspeth_dagster.graph.findings import Findings
from elspeth_dagster.graph.model import Edge, EdgeMode
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import DISCARD, FORK, SOURCE_NODE
from elspeth_dagster.settings.nodes import GateSettings, SinkSettings, SourceSettings, TransformSettings
from elspeth_dagster.settings.settings import Settings

_ON_SUCCESS = "on_success"


@dataclass(frozen=True)
class Outlet:
    """Where a node sends what it is done with.

    Attributes:
        node: The node.
        to: Name of a connection or sink.
        label: The label of the edge.
        key_path: Where the settings say so.
    """

    node: str
    to: str
    label: str
    key_path: KeyPath


@dataclass(frozen=True)
class Inlet:
    """The connection that a node takes its rows from."""

    node: str
    connection: str
    key_path: KeyPath


@dataclass(frozen=True)
class Divert:
    """Where a node sends what it sets aside; `to` is a sink or `discard`."""

    node: str
    to: str
    label: str
    key_path: KeyPath


@dataclass(frozen=True)
class Wiring:
    """All ends of a pipeline's connections.

    Attributes:
        outlets: By node order of the settings.
        inlets: The consumers.
        diverts: The error, quarantine and write-failure ways.
        sinks: Sink name to its key path, without the sink that an export keeps to itself.
        export_sink: Name of that one, if there is one.
        exempt: Connections of nodes that are not compiled, about which nothing can be said.
    """

    outlets: tuple[Outlet, ...]
    inlets: tuple[Inlet, ...]
    diverts: tuple[Divert, ...]
    sinks: Mapping[str, KeyPath]
    export_sink: str | None = None
    exempt: frozenset[str] = field(default_factory=frozenset)


def read_wiring(settings: Settings) -> Wiring:
    """Collects the ends of all connections that the settings name."""
    export_sink = settings.export.sink if settings.export.enabled else None
    sinks = [sink for sink in settings.sinks.values() if sink.name != export_sink]
    return Wiring(
        tuple(_outlets(settings)),
        tuple(Inlet(node.name, node.input, (*node.path, "input")) for node in _inner(settings)),
        tuple(_diverts(settings, sinks)),
        {sink.name: sink.path for sink in sinks},
        export_sink,
        frozenset(_exempt(settings)),
    )


def _inner(settings: Settings) -> tuple[TransformSettings | GateSettings, ...]:
    return (*settings.transforms, *settings.gates)


def _outlets(settings: Settings) -> Iterator[Outlet]:
    nodes: list[SourceSettings | TransformSettings] = [settings.source, *settings.transforms]
    for node in nodes:
        yield Outlet(node.name, node.on_success, _ON_SUCCESS, (*node.path, _ON_SUCCESS))
    for gate in settings.gates:
        for label, to in gate.routes.items():
            if to != FORK:
                yield Outlet(gate.name, to, label, (*gate.path, "routes", label))


def _diverts(settings: Settings, sinks: Iterable[SinkSettings]) -> Iterator[Divert]:
    source = settings.source
    if source.on_validation_failure is not None:
        yield Divert(SOURCE_NODE, source.on_validation_failure, "on_validation_failure", source.failure_path)
    for node in _inner(settings):
        yield Divert(node.name, node.on_error, "on_error", (*node.path, "on_error"))
    for sink in sinks:
        if sink.on_write_failure is not None:
            path = (*sink.path, "on_write_failure")
            yield Divert(sink.name, sink.on_write_failure, "on_write_failure", path)


def _exempt(settings: Settings) -> Iterator[str]:
    for aggregation in settings.aggregations:
        yield aggregation.input
        yield aggregation.on_success or aggregation.name
    for coalesce in settings.coalesces:
        yield coalesce.name
        yield from coalesce.branches
        yield from coalesce.branches.values()
    for gate in settings.gates:
        yield from gate.fork_to


def resolve_edges(wiring: Wiring, findings: Findings) -> tuple[Edge, ...]:
    """Joins outlets and inlets; notes every one that has no other end, or more than one."""
    producers = _producers(wiring, findings)
    consumers = _consumers(wiring, producers, findings)
    edges = []
    for outlet in wiring.outlets:
        target = outlet.to if outlet.to in wiring.sinks else consumers.get(outlet.to)
        if target is not None:
            edges.append(Edge(outlet.node, target, outlet.label, EdgeMode.MOVE))
        elif outlet.to not in wiring.exempt:
            _dangling(outlet, wiring, findings)
    edges.extend(_divert_edges(wiring, findings))
    _check_labels(wiring, findings)
    return tuple(edges)


def _producers(wiring: Wiring, findings: Findings) -> dict[str, str]:
    producers: dict[str, str] = {}
    for outlet in wiring.outlets:
        if outlet.to in wiring.sinks or outlet.to == wiring.export_sink:
            continue
        first = producers.setdefault(outlet.to, outlet.node)
        if first != outlet.node:
            findings.add(
                outlet.key_path,
                f"connection '{outlet.to}' already comes from '{first}'; a connection has one producer "
                "(several nodes can share a sink, not a connection)",
            )
    return producers


def _consumers(wiring: Wiring, producers: Mapping[str, str], findings: Findings) -> dict[str, str]:
    consumers: dict[str, str] = {}
    for inlet in wiring.inlets:
        name = inlet.connection
        if name in wiring.sinks or name == wiring.export_sink:
            findings.unknown(
                inlet.key_path,
                f"'{name}' is a sink, and nothing comes out of a sink; 'input' takes a connection",
                name,
                producers,
            )
            continue
        if name in consumers:
            findings.add(
                inlet.key_path,
                f"connection '{name}' already goes to '{consumers[name]}'; a connection has one consumer",
            )
            continue
        consumers[name] = inlet.node
        if name not in producers and name not in wiring.exempt:
            findings.unknown(inlet.key_path, f"no node produces the connection '{name}'", name, producers)
    return consumers


def _dangling(outlet: Outlet, wiring: Wiring, findings: Findings) -> None:
    inputs = dict.fromkeys(
        inlet.connection for inlet in wiring.inlets if inlet.connection not in wiring.sinks
    )
    if outlet.to == wiring.export_sink:
        what = f"'{outlet.to}' is the sink of the audit export and takes no rows of the pipeline"
    elif outlet.to == DISCARD:
        what = "'discard' is no destination here; rows are discarded only by on_error and the like"
    else:
        what = f"'{outlet.to}' is neither a sink nor the input of a node"
    findings.unknown(outlet.key_path, what, outlet.to, dict.fromkeys([*wiring.sinks, *inputs]))


def _divert_edges(wiring: Wiring, findings: Findings) -> Iterator[Edge]:
    inputs = {inlet.connection for inlet in wiring.inlets}
    for divert in wiring.diverts:
        if divert.to == DISCARD:
            continue
        if divert.to not in wiring.sinks:
            kind = "a connection, not" if divert.to in inputs else "not"
            what = f"'{divert.to}' is {kind} a sink; {divert.label} takes a sink or 'discard'"
            findings.unknown(divert.key_path, what, divert.to, [*wiring.sinks, DISCARD])
        elif divert.to == divert.node:
            findings.add(divert.key_path, "a sink's write failures cannot go to that same sink")
        else:
            yield Edge(divert.node, divert.to, divert.label, EdgeMode.DIVERT)


def _check_labels(wiring: Wiring, findings: Findings) -> None:
    diverted = {(divert.node, divert.label) for divert in wiring.diverts if divert.to != DISCARD}
    for outlet in wiring.outlets:
        if (outlet.node, outlet.label) in diverted:
            findings.add(
                outlet.key_path,
                f"two edges of '{outlet.node}' would bear the label '{outlet.label}': "
                f"this route and the node's own key '{outlet.label}'",
            )
