"""The ends of a pipeline's connections, as its settings name them (settings reference, 1.5)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from elspeth_dagster.graph.model import EdgeMode
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.names import FORK, SOURCE_NODE
from elspeth_dagster.settings.nodes import (
    AggregationSettings,
    CoalesceSettings,
    GateSettings,
    SinkSettings,
    TransformSettings,
)
from elspeth_dagster.settings.settings import Settings

ON_SUCCESS = "on_success"


@dataclass(frozen=True)
class Outlet:
    """Where a node sends what it is done with.

    Attributes:
        node: The node.
        to: Name of a connection or sink.
        label: The label of the edge.
        key_path: Where the settings say so.
        mode: MOVE, or COPY for a branch of a fork.
        sinks_only: Whether `to` can be a sink alone.
    """

    node: str
    to: str
    label: str
    key_path: KeyPath
    mode: EdgeMode = EdgeMode.MOVE
    sinks_only: bool = False

    @property
    def is_branch(self) -> bool:
        """Whether it is a branch of a fork."""
        return self.mode is EdgeMode.COPY

    @property
    def is_own_name(self) -> bool:
        """Whether the connection has the node's name, for want of an `on_success`."""
        return self.to == self.node and self.key_path[-1] == "name"


@dataclass(frozen=True)
class Inlet:
    """The connection that a node takes its rows from; for a coalesce, one branch's."""

    node: str
    connection: str
    key_path: KeyPath
    branch: str | None = None

    @property
    def is_direct(self) -> bool:
        """Whether a branch comes straight from its fork."""
        return self.branch == self.connection


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
        outlets: By node order of the settings; each branch of a gate once.
        inlets: The consumers.
        diverts: The error, quarantine and write-failure ways.
        sinks: Sink name to its key path, without the sink that an export keeps to itself.
        export_sink: Name of that one, if there is one.
    """

    outlets: tuple[Outlet, ...]
    inlets: tuple[Inlet, ...]
    diverts: tuple[Divert, ...]
    sinks: Mapping[str, KeyPath]
    export_sink: str | None = None

    def reaches_sink(self, outlet: Outlet) -> bool:
        """Whether an outlet leads to a sink. A branch that a coalesce takes goes there, whatever its name."""
        if outlet.to not in self.sinks:
            return False
        return not (outlet.is_branch and any(i.is_direct and i.branch == outlet.to for i in self.inlets))


def read_wiring(settings: Settings) -> Wiring:
    """Collects the ends of all connections that the settings name."""
    export_sink = settings.export.sink if settings.export.enabled else None
    sinks = [sink for sink in settings.sinks.values() if sink.name != export_sink]
    return Wiring(
        tuple(_outlets(settings)),
        tuple(_inlets(settings)),
        tuple(_diverts(settings, sinks)),
        {sink.name: sink.path for sink in sinks},
        export_sink,
    )


def branch_path(settings: Settings, coalesce: CoalesceSettings, branch: str) -> KeyPath:
    """Where a branch of a coalesce stands, in the list form of `branches` or in the mapping form."""
    entries: object = settings.document
    for key in (*coalesce.path, "branches"):
        entries = entries[key]  # type: ignore[index]
    key = list(coalesce.branches).index(branch) if isinstance(entries, list) else branch
    return (*coalesce.path, "branches", key)


def _inner(settings: Settings) -> tuple[TransformSettings | GateSettings | AggregationSettings, ...]:
    return (*settings.transforms, *settings.gates, *settings.aggregations)


def _outlets(settings: Settings) -> Iterator[Outlet]:
    source = settings.source
    yield Outlet(source.name, source.on_success, ON_SUCCESS, (*source.path, ON_SUCCESS))
    for transform in settings.transforms:
        yield Outlet(transform.name, transform.on_success, ON_SUCCESS, (*transform.path, ON_SUCCESS))
    for gate in settings.gates:
        for label, to in gate.routes.items():
            if to != FORK:
                yield Outlet(gate.name, to, label, (*gate.path, "routes", label))
        for branch in dict.fromkeys(gate.fork_to):
            path = (*gate.path, "fork_to", gate.fork_to.index(branch))
            yield Outlet(gate.name, branch, branch, path, EdgeMode.COPY)
    for aggregation in settings.aggregations:
        yield _named_outlet(aggregation)
    for coalesce in settings.coalesces:
        yield _named_outlet(coalesce)


def _named_outlet(node: AggregationSettings | CoalesceSettings) -> Outlet:
    if node.on_success is None:
        return Outlet(node.name, node.name, ON_SUCCESS, (*node.path, "name"))
    sinks_only = isinstance(node, CoalesceSettings)
    return Outlet(node.name, node.on_success, ON_SUCCESS, (*node.path, ON_SUCCESS), sinks_only=sinks_only)


def _inlets(settings: Settings) -> Iterator[Inlet]:
    for node in _inner(settings):
        yield Inlet(node.name, node.input, (*node.path, "input"))
    for coalesce in settings.coalesces:
        for branch, connection in coalesce.branches.items():
            yield Inlet(coalesce.name, connection, branch_path(settings, coalesce, branch), branch)


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
