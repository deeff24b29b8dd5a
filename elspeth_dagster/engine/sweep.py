"""One chunk through one stage: a pure function from records and recorded facts to what is to be committed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.accounting import SOURCE_NODE, Outcome
from elspeth_dagster.engine.boundary import Boundary
from elspeth_dagster.engine.errors import RowFailureError
from elspeth_dagster.engine.gate import decide
from elspeth_dagster.engine.record import Leaving, SweepRecord, constant
from elspeth_dagster.graph import Edge, EdgeMode, Graph, Node, NodeKind
from elspeth_dagster.plugins.base import PluginError, Reason, Transform
from elspeth_dagster.rows.records import Records
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import row_index

_EDGE = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Part:
    """Rows that a sweep left for one sink, in token order, each with the outcome its last edge gives it."""

    rows: Rows
    edges: pa.Array


@dataclass(frozen=True)
class Swept:
    """What one sweep gives: the tables of its segments, a part per sink that gets rows, and what went in."""

    tables: Mapping[str, pa.Table]
    parts: Mapping[str, Part]
    rows_in: int


@dataclass
class Stage:
    """A stage ready to sweep chunks: its graph and the plugins of its transforms.

    Attributes:
        graph: The pipeline's graph.
        transforms: Opened plugin per transform node.
    """

    graph: Graph
    transforms: Mapping[str, Transform]

    def sweep(self, records: Records, boundary: Boundary) -> Swept:
        """Takes some records over the boundary and through every node of the stage.

        Raises:
            RowFailureError: A plugin raised; names node and row.
        """
        walk = _Walk(self.graph)
        walk.cross_boundary(records, boundary)
        for node in self.graph.nodes.values():
            arrived = walk.inbox.pop(node.name, None) if node.kind is not NodeKind.SINK else None
            if arrived is None:
                continue
            if node.kind is NodeKind.GATE:
                walk.through_gate(node, arrived)
            else:
                walk.through_transform(node, self.transforms[node.name], arrived)
        return walk.result(records.num_records)


@dataclass(frozen=True)
class _Arrived:
    """Rows on their way, with the number of their present version."""

    rows: Rows
    version: int


@dataclass
class _Walk:
    graph: Graph
    record: SweepRecord = field(default_factory=SweepRecord)
    inbox: dict[str, _Arrived] = field(default_factory=dict)
    for_sinks: dict[str, list[tuple[Rows, Outcome]]] = field(default_factory=dict)

    def cross_boundary(self, records: Records, boundary: Boundary) -> None:
        crossed = boundary.cross(records)
        if crossed.rows.num_rows:
            self.record.version(crossed.rows.tokens, 0, crossed.rows.hashes)
            self._move(SOURCE_NODE, _Arrived(crossed.rows, 0), self._edge(SOURCE_NODE, "on_success"), None)
        if crossed.quarantined.num_rows:
            rejected = crossed.quarantined
            self.record.version(rejected.tokens, 0, rejected.hashes)
            self._set_aside(
                SOURCE_NODE, "on_validation_failure", "validation", _Arrived(rejected, 0), None,
                [crossed.reasons[position] for position in range(rejected.num_rows)],
            )  # fmt: skip

    def through_transform(self, node: Node, plugin: Transform, arrived: _Arrived) -> None:
        try:
            done = plugin.apply(arrived.rows)
        except PluginError as error:
            raise self._failure(node, arrived, error) from error.cause
        except Exception as error:
            raise self._failure(node, arrived, PluginError(error)) from error
        version = arrived.version + plugin.changes_rows
        if done.rows.num_rows:
            if plugin.changes_rows:
                self.record.version(done.rows.tokens, version, done.rows.hashes)
            edge = self._edge(node.name, "on_success")
            self._move(node.name, _Arrived(done.rows, version), edge, arrived.version)
        if done.errors:
            self._fail(node, arrived, dict(done.errors), "transform")

    def through_gate(self, node: Node, arrived: _Arrived) -> None:
        decision = decide(node, arrived.rows)
        by_target = {edge.label: edge for edge in self.graph.out_edges(node.name)}
        targets: dict[str, list[Rows]] = {}
        for label, chosen, reads in decision.by_label(arrived.rows):
            edge = by_target[label]
            self._state(node.name, chosen, edge, arrived.version, reads)
            targets.setdefault(edge.target, []).append(chosen)
        for target, pieces in targets.items():
            self._deliver(target, _Arrived(_in_order(pieces), arrived.version), Outcome.ROUTED)
        if decision.errors:
            self._fail(node, arrived, dict(decision.errors), "gate")

    def _fail(self, node: Node, arrived: _Arrived, errors: dict[int, Reason], kind: str) -> None:
        positions = sorted(errors)
        rows = arrived.rows.take(pa.array(positions, pa.int64()))
        reasons = [errors[position] for position in positions]
        failed = _Arrived(rows, arrived.version)
        self._set_aside(node.name, "on_error", kind, failed, arrived.version, reasons)

    def _set_aside(
        self, node: str, label: str, kind: str, failed: _Arrived, came_as: int | None, reasons: list[Reason]
    ) -> None:
        """Takes rows off their way: to the sink that the divert edge names, or nowhere (discard)."""
        tokens = failed.rows.tokens
        self.record.errors(tokens, node, kind, reasons)
        edge = self._divert(node, label)
        outcome = Outcome.QUARANTINED
        versions = (came_as, failed.version)
        if edge is None:
            self.record.state(
                tokens, node, Leaving("failed", label=label, outcome=outcome.value), versions=versions
            )
            self._end(tokens, None, outcome, node)
            return
        leaving = Leaving("failed", label, edge.target, edge.mode.value)
        self.record.state(tokens, node, leaving, versions=versions)
        self._deliver(edge.target, failed, outcome)

    def _move(self, node: str, moved: _Arrived, edge: Edge, came_as: int | None) -> None:
        leaving = Leaving("completed", edge.label, edge.target, edge.mode.value)
        self.record.state(moved.rows.tokens, node, leaving, versions=(came_as, moved.version))
        self._deliver(edge.target, moved, Outcome.COMPLETED)

    def _state(self, node: str, rows: Rows, edge: Edge, version: int, reads: pa.Array) -> None:
        leaving = Leaving("completed", edge.label, edge.target, edge.mode.value)
        self.record.state(rows.tokens, node, leaving, versions=(version, version), reads=reads)

    def _deliver(self, target: str, arrived: _Arrived, outcome: Outcome) -> None:
        if self.graph.nodes[target].kind is NodeKind.SINK:
            self.for_sinks.setdefault(target, []).append((arrived.rows, outcome))
            self._end(arrived.rows.tokens, target, outcome, target)
        else:
            self.inbox[target] = arrived

    def _end(self, tokens: pa.Array, destination: str | None, outcome: Outcome, at: str) -> None:
        self.record.ended(
            tokens, created_by=SOURCE_NODE, destination=destination, outcome=outcome.value, at=at
        )

    def _edge(self, node: str, label: str) -> Edge:
        return next(edge for edge in self.graph.out_edges(node) if edge.label == label)

    def _divert(self, node: str, label: str) -> Edge | None:
        edges = (edge for edge in self.graph.out_edges(node) if edge.mode is EdgeMode.DIVERT)
        return next((edge for edge in edges if edge.label == label), None)

    def _failure(self, node: Node, arrived: _Arrived, error: PluginError) -> RowFailureError:
        tokens = arrived.rows.tokens
        first, last = row_index(tokens[0].as_py()), row_index(tokens[-1].as_py())
        at = None if error.token is None else row_index(error.token)
        return RowFailureError(self.graph.pipeline, node.name, at, (first, last), error)

    def result(self, rows_in: int) -> Swept:
        parts = {sink: _part(pieces) for sink, pieces in self.for_sinks.items()}
        return Swept(self.record.tables(), parts, rows_in)


def _in_order(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    rows = Rows.concat(pieces)
    return rows.take(pc.sort_indices(rows.tokens))


def _part(pieces: list[tuple[Rows, Outcome]]) -> Part:
    edges = [constant(outcome.value, _EDGE, rows.num_rows) for rows, outcome in pieces]
    if len(pieces) == 1:
        return Part(pieces[0][0], edges[0])
    rows = Rows.concat([rows for rows, _ in pieces])
    order = pc.sort_indices(rows.tokens)
    merged = pa.chunked_array(edges).unify_dictionaries().combine_chunks()
    return Part(rows.take(order), merged.take(order))
