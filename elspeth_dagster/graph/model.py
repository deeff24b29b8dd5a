"""The graph of a pipeline: nodes, edges and stages, as plain frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from elspeth_dagster.expressions import Expression
from elspeth_dagster.rows.fields import OBSERVED, Schema
from elspeth_dagster.rows.tokens import PathKind
from elspeth_dagster.settings.locations import KeyPath
from elspeth_dagster.settings.nodes import CoalescePolicy, MergeStrategy, OutputMode


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
        expands: Transforms: whether several tokens can come of one.
        reads: Per option the fields of the rows that come, as it names them.
    """

    schema: Schema = OBSERVED
    guaranteed: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    required_key: KeyPath = ("schema", "required_fields")
    own_fields: bool = False
    takes_failures: bool = False
    expands: bool = False
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class GateRule:
    """What a gate decides by.

    Attributes:
        condition: The parsed condition.
        routes: Label to destination, as in the settings; `fork` stands for all of `fork_to`.
        fork_to: The branches; a child's ordinal is its branch's position here.
    """

    condition: Expression
    routes: Mapping[str, str]
    fork_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class AggregationRule:
    """When an aggregation's batch is complete, and what becomes of it.

    Attributes:
        count: So many members complete it.
        timeout_seconds: So long after its first member's arrival it is complete.
        condition: It is complete once this is true of `batch_count` and `batch_age_seconds`.
        output_mode: Whether outputs are new tokens, or the members again.
        expected_output_count: How many outputs there must be.
    """

    count: int | None
    timeout_seconds: float | None
    condition: Expression | None
    output_mode: OutputMode
    expected_output_count: int | None


PathElement = tuple[PathKind, int]
"""What a token's id has behind that of the token it was made of: kind and ordinal."""


@dataclass(frozen=True)
class CoalesceRule:
    """What a coalesce joins, and when.

    Attributes:
        branches: Its branches, in the order of the settings.
        policy: Which of them it waits for.
        merge: How it makes one row of theirs.
        timeout_seconds: How long it waits, counted from the first arrival.
        quorum_count: How many branches it needs, for the policy `quorum`.
        select_branch: Whose row it takes, for the merge `select`.
        anchor: The gate where its branches part. It joins by the token that entered there.
        arrival_order: Its branches in the order of their tokens' ids.
        ordinal: Its number among the coalesces with the same anchor: that of the merged token, which is a
            child of the token that entered the anchor.
        paths: For each branch, what the id of a token that arrives by it has behind that of the token that
            entered the anchor.
    """

    branches: tuple[str, ...]
    policy: CoalescePolicy
    merge: MergeStrategy
    timeout_seconds: float | None
    quorum_count: int | None
    select_branch: str | None
    anchor: str
    arrival_order: tuple[str, ...]
    ordinal: int
    paths: Mapping[str, tuple[PathElement, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        name: Unique in the pipeline; the source's is `source`.
        kind: What it is.
        key_path: Where it stands in the settings file.
        plugin: Name of its plugin; `None` for a gate and a coalesce.
        options: The plugin's options as they stand in the settings, `schema` included.
        schema: Its schema block; a gate has that of the node before it, a coalesce what its branches' make.
        stage: The stage that sweeps it; `None` for a sink.
        gate: For a gate, what it decides by.
        coalesce: For a coalesce, what it joins.
        aggregation: For an aggregation, how it forms batches.
    """

    name: str
    kind: NodeKind
    key_path: KeyPath = ()
    plugin: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    schema: Schema = OBSERVED
    stage: int | None = 0
    gate: GateRule | None = None
    coalesce: CoalesceRule | None = None
    aggregation: AggregationRule | None = None


@dataclass(frozen=True)
class Edge:
    """A connection, resolved to two nodes.

    Attributes:
        source: Name of the node that it leaves.
        target: Name of the node that it reaches.
        label: `on_success`, a gate's route or branch, or the key of a divert edge (`on_error`, …).
        mode: How tokens take it.
        branch: For an edge into a coalesce, which of its branches arrives by it.
    """

    source: str
    target: str
    label: str
    mode: EdgeMode
    branch: str | None = None


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

    def aggregation_of(self, stage: int) -> Node | None:
        """The aggregation that begins a stage; `None` for the stage of the source."""
        nodes = self.stage_nodes(stage)
        return next((node for node in nodes if node.kind is NodeKind.AGGREGATION), None)

    def parent_stage(self, stage: int) -> int | None:
        """The stage that leaves rows for a stage's aggregation; `None` for the stage of the source."""
        aggregation = self.aggregation_of(stage)
        if aggregation is None:
            return None
        return self.nodes[self.in_edges(aggregation.name)[0].source].stage
