"""The graph of a pipeline: nodes, edges and stages, as plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from elspeth_dagster.expressions import Expression
from elspeth_dagster.rows.fields import OBSERVED, Schema
from elspeth_dagster.settings.locations import KeyPath


class NodeKind(Enum):
    """What a node is."""

    SOURCE = "source"
    TRANSFORM = "transform"
    GATE = "gate"
    AGGREGATION = "aggregation"
    COALESCE = "coalesce"
    SINK = "sink"


class EdgeMode(Enum):
    """How a token takes an edge: it moves on, a copy of it does, or it is set aside."""

    MOVE = "move"
    COPY = "copy"
    DIVERT = "divert"


@dataclass(frozen=True)
class NodeFacts:
    """What a node's plugin and options say about the rows that it takes and gives.

    Attributes:
        schema: The node's schema block.
        guaranteed: Names that every row has that the node publishes.
        required: Names that every row must have that reaches the node by a normal edge.
        required_key: Where in the node's options these are asked for.
        own_fields: Whether it publishes other fields than those its schema declares, so that the next node's
            types cannot be checked against it.
        takes_failures: Sinks: whether it writes any row, so that another sink's failures can go to it.
    """

    schema: Schema = OBSERVED
    guaranteed: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    required_key: KeyPath = ("schema", "required_fields")
    own_fields: bool = False
    takes_failures: bool = False


@dataclass(frozen=True)
class GateRule:
    """What a gate decides by.

    Attributes:
        condition: The parsed condition.
        routes: Label to destination, as in the settings.
    """

    condition: Expression
    routes: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: Unique in the pipeline; the source's is `source`.
        kind: What it is.
        key_path: Where it stands in the settings file.
        plugin: Name of its plugin; `None` for a gate.
        options: The plugin's options as they stand in the settings, `schema` included.
        schema: Its schema block; a gate has that of the node before it.
        stage: The stage that sweeps it; `None` for a sink.
        gate: For a gate, what it decides by.
    """

    name: str
    kind: NodeKind
    key_path: KeyPath = ()
    plugin: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    schema: Schema = OBSERVED
    stage: int | None = 0
    gate: GateRule | None = None


@dataclass(frozen=True)
class Edge:
    """A connection, resolved to two nodes.

    Attributes:
        source: Name of the node that it leaves.
        target: Name of the node that it reaches.
        label: `on_success`, a gate's route, or the key of a divert edge (`on_error`, …).
        mode: How tokens take it.
    """

    source: str
    target: str
    label: str
    mode: EdgeMode


@dataclass(frozen=True, eq=False)
class Graph:
    """A compiled pipeline.

    Attributes:
        pipeline: Its name.
        nodes: By name, in topological order: the source first, the sinks last and in publish order.
        edges: In the order of the nodes that they leave; there is none where rows are discarded.
    """

    pipeline: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    @cached_property
    def _out(self) -> Mapping[str, tuple[Edge, ...]]:
        return {name: tuple(edge for edge in self.edges if edge.source == name) for name in self.nodes}

    @cached_property
    def _in(self) -> Mapping[str, tuple[Edge, ...]]:
        return {name: tuple(edge for edge in self.edges if edge.target == name) for name in self.nodes}

    def out_edges(self, name: str) -> tuple[Edge, ...]:
        """The edges that leave a node."""
        return self._out[name]

    def in_edges(self, name: str) -> tuple[Edge, ...]:
        """The edges that reach a node."""
        return self._in[name]

    def stage_nodes(self, stage: int) -> tuple[Node, ...]:
        """The nodes of a stage, in topological order."""
        return tuple(node for node in self.nodes.values() if node.stage == stage)

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """The numbers of the stages."""
        return tuple(sorted({node.stage for node in self.nodes.values() if node.stage is not None}))

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        """Names of the sinks in publish order: one whose failures go to another precedes it."""
        return tuple(node.name for node in self.nodes.values() if node.kind is NodeKind.SINK)

    def feeding_stages(self, sink: str) -> tuple[int, ...]:
        """The stages that leave rows for a sink."""
        stages = {self.nodes[edge.source].stage for edge in self.in_edges(sink)}
        return tuple(sorted(stage for stage in stages if stage is not None))
