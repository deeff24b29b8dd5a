"""One chunk through one stage: a pure function from records and recorded facts to what is to be committed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.accounting import SOURCE_NODE, Outcome
from elspeth_dagster.engine.answers import Answered
from elspeth_dagster.engine.boundary import Boundary, TypesState
from elspeth_dagster.engine.clocks import BranchTimes
from elspeth_dagster.engine.errors import RowFailureError
from elspeth_dagster.engine.gate import decide
from elspeth_dagster.engine.join import Verdict, judge, merge
from elspeth_dagster.engine.record import Leaving, SweepRecord, constant
from elspeth_dagster.engine.travel import Arrived, in_token_order
from elspeth_dagster.graph import CoalesceRule, Edge, EdgeMode, Graph, Node, NodeKind
from elspeth_dagster.plugins.adapters import apply_retrying
from elspeth_dagster.plugins.base import Expanded, PluginError, Reason, Transform, Transformed
from elspeth_dagster.plugins.retry import Retry
from elspeth_dagster.rows.records import Records
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import PathKind, children, children_at, row_index, row_indices

_EDGE = pa.dictionary(pa.int32(), pa.string())
FORK = "fork"


@dataclass(frozen=True)
class Part:
    """Rows that a sweep left for one sink, in token order, each with the outcome its last edge gives it."""

    rows: Rows
    edges: pa.Array


@dataclass(frozen=True)
class Swept:
    """What one sweep gives.

    Attributes:
        tables: Of its segments.
        parts: Per sink what is bound for it.
        inbound: Per aggregation the tokens bound for it, in token order.
        rows_in: How many records or members went in.
    """

    tables: Mapping[str, pa.Table]
    parts: Mapping[str, Part]
    inbound: Mapping[str, Arrived]
    rows_in: int


@dataclass
class Walk:
    """Tokens under way through a stage, and the record of it."""

    graph: Graph
    record: SweepRecord = field(default_factory=SweepRecord)
    _inbox: dict[str, list[Arrived]] = field(default_factory=dict)
    _joins: dict[str, dict[str, list[Arrived]]] = field(default_factory=dict)
    _forked: dict[str, Arrived] = field(default_factory=dict)
    _for_sinks: dict[str, list[tuple[int, Rows, Outcome]]] = field(default_factory=dict)
    _inbound: dict[str, list[Arrived]] = field(default_factory=dict)
    times: BranchTimes | None = None

    def cross_boundary(self, records: Records, boundary: Boundary) -> TypesState:
        """Source: valid rows go on, the others are set aside; gives what is learned behind them."""
        crossed = boundary.cross(records)
        for rows in (crossed.rows, crossed.quarantined):
            if rows.num_rows:
                self.record.created(rows.tokens, SOURCE_NODE)
                self.record.version(rows.tokens, 0, rows.hashes)
        if crossed.rows.num_rows:
            valid = Arrived(crossed.rows, 0, _arrival(records, crossed.rows))
            self.move(SOURCE_NODE, valid, came_as=None)
        if crossed.quarantined.num_rows:
            rejected = Arrived(crossed.quarantined, 0, _arrival(records, crossed.quarantined))
            reasons = [crossed.reasons[position] for position in range(rejected.rows.num_rows)]
            self.set_aside(SOURCE_NODE, "on_validation_failure", "validation", rejected, None, reasons)
        return crossed.types

    def through_transform(self, node: Node, plugin: Transform, retry: Retry) -> None:
        """A transform: rows go on as they come out, those with an error are set aside."""
        arrived = self.take(node.name)
        if arrived is not None:
            done = self.naming(node, arrived.rows, partial(apply_retrying, plugin, arrived.rows, retry))
            self._transformed(node, plugin, arrived, done)

    def answered(self, node: Node, plugin: Transform, arrived: Arrived, answered: Answered) -> None:
        """A transform that waited: what it did, it did when its calls were over."""
        at_us = arrived.arrived_us.to_numpy() + answered.elapsed_us
        if self.times is not None:
            self.times.hear(node.name, arrived, at_us)
        self._transformed(node, plugin, replace(arrived, arrived_us=pa.array(at_us)), answered.done)

    def naming(self, node: Node, rows: Rows, work: Callable[[], Any]) -> Any:
        """Turns whatever a plugin raises over some rows into the failure that names them."""
        try:
            return work()
        except PluginError as error:
            raise self.failure(node, rows, error) from error.cause
        except Exception as error:
            raise self.failure(node, rows, PluginError(error)) from error

    def _transformed(self, node: Node, plugin: Transform, arrived: Arrived, done: Transformed) -> None:
        if done.tries:
            self.record.failed_tries(arrived.rows.tokens, node.name, arrived.version, done.tries)
        if isinstance(done, Expanded):
            self._expand(node, arrived, done)
        elif done.rows.num_rows:
            kept = (
                arrived if not done.errors else arrived.filter(_all_but(arrived.rows.num_rows, done.errors))
            )
            version = arrived.version + plugin.changes_rows
            if plugin.changes_rows:
                self.record.version(done.rows.tokens, version, done.rows.hashes)
            self.move(node.name, kept.changed(done.rows, version), came_as=arrived.version)
        if done.errors:
            self._fail(node, arrived, dict(done.errors), "transform")

    def _expand(self, node: Node, arrived: Arrived, done: Expanded) -> None:
        if not done.rows.num_rows:
            return
        places = done.parents.to_numpy().astype(np.int64)
        first = np.searchsorted(places, places, side="left")
        parents = arrived.rows.tokens.take(pa.array(places))
        tokens = children_at(parents, PathKind.EXPLODE, pa.array(np.arange(len(places)) - first))
        rows = done.rows.with_tokens(tokens)
        made = Arrived(rows, 0, arrived.arrived_us.take(pa.array(places)))
        expanded = arrived.take(np.unique(places))
        leaving = Leaving("completed", outcome=Outcome.EXPANDED.value)
        self.record.state(
            expanded.rows.tokens, node.name, leaving, versions=(arrived.version, arrived.version)
        )
        self.create(node.name, made, parents=singletons(parents))
        self.move(node.name, made, came_as=None)

    def through_gate(self, node: Node) -> None:
        """A gate: each row takes the route of its label, or forks."""
        arrived = self.take(node.name)
        if arrived is None or node.gate is None:
            return
        decision = decide(node, arrived.rows)
        edges = {edge.label: edge for edge in self.graph.out_edges(node.name) if edge.mode is EdgeMode.MOVE}
        by_target: dict[tuple[str, str | None], list[tuple[Edge, Arrived]]] = {}
        forked: list[Arrived] = []
        for label, mask in decision.masks():
            chosen = arrived if mask is None else arrived.filter(mask)
            reads = decision.reads if mask is None else decision.reads.filter(mask)
            versions = (arrived.version, arrived.version)
            if node.gate.routes[label] == FORK:
                leaving = Leaving("completed", label, outcome=Outcome.FORKED.value)
                forked.append(chosen)
            else:
                edge = edges[label]
                leaving = self._leaving("completed", edge, Outcome.ROUTED)
                by_target.setdefault((edge.target, edge.branch), []).append((edge, chosen))
            self.record.state(chosen.rows.tokens, node.name, leaving, versions=versions, reads=reads)
        for pieces in by_target.values():
            self._deliver(pieces[0][0], in_token_order([piece for _, piece in pieces]), Outcome.ROUTED)
        if forked:
            self._fork(node, in_token_order(forked))
        if decision.errors:
            self._fail(node, arrived, dict(decision.errors), "gate")

    def _fork(self, node: Node, arrived: Arrived) -> None:
        """Makes a child token per branch for each token."""
        assert node.gate is not None
        self._forked[node.name] = arrived
        if self.times is not None:
            self.times.part(node.name, arrived)
        anchors = {**arrived.anchors, node.name: np.arange(arrived.rows.num_rows)}
        parents = singletons(arrived.rows.tokens)
        copies = {edge.label: edge for edge in self.graph.out_edges(node.name) if edge.mode is EdgeMode.COPY}
        for ordinal, branch in enumerate(node.gate.fork_to):
            rows = arrived.rows.with_tokens(children(arrived.rows.tokens, PathKind.FORK, ordinal))
            child = Arrived(rows, 0, arrived.arrived_us, anchors)
            self.create(node.name, child, parents=parents, branch=branch)
            edge = copies[branch]
            leaving = self._leaving("completed", edge, Outcome.COMPLETED)
            self.record.state(rows.tokens, node.name, leaving, versions=(None, 0))
            self._deliver(edge, child, Outcome.COMPLETED)

    def through_coalesce(self, node: Node) -> None:
        """A coalesce: joins what its policy allows; the rest ends here."""
        sent, rule = self._joins.pop(node.name, {}), node.coalesce
        # Where branches take time, a join of which every branch is lost is itself heard of, by one behind it.
        if rule is None or rule.anchor not in self._forked or not (sent or self.times):
            return
        arrived = {branch: in_token_order(sent[branch]) for branch in rule.arrival_order if branch in sent}
        anchor = self._forked[rule.anchor]
        lost_us = None if self.times is None else self.times.of_coalesce(node.name)
        verdict = judge(rule, arrived, anchor.rows.num_rows, lost_us)
        if self.times is not None and verdict.clock is not None:
            self.times.hear(node.name, anchor, verdict.clock.decided_us, anchor=rule.anchor)
        merged = merge(rule, arrived, verdict)
        for branch, tokens in arrived.items():
            self._end_at_join(node.name, rule, branch, tokens, verdict)
        if merged is None:
            return
        above = anchor.take(merged.anchors)
        rows = merged.rows.with_tokens(children(above.rows.tokens, PathKind.MERGE, rule.ordinal))
        made = Arrived(rows, 0, merged.arrived_us, above.anchors)
        self.create(node.name, made, parents=_merged_parents(arrived, verdict))
        self.move(node.name, made, came_as=None, reads=merged.notes)

    def _end_at_join(
        self, node: str, rule: CoalesceRule, branch: str, tokens: Arrived, verdict: Verdict
    ) -> None:
        came = (tokens.version, tokens.version)
        for label, places in (
            ("coalesced", verdict.coalesced(branch)),
            ("superseded", verdict.superseded(branch)),
        ):
            if len(places):
                leaving = Leaving("completed", label, outcome=Outcome.COALESCED.value)
                self.record.state(tokens.rows.tokens.take(pa.array(places)), node, leaving, versions=came)
        for why, places in (("join_failed", verdict.failed(branch)), ("too_late", verdict.late(branch))):
            if len(places):
                held = tokens.rows.tokens.take(pa.array(places))
                leaving = Leaving("failed", outcome=Outcome.FAILED.value)
                self.record.state(held, node, leaving, versions=came)
                reason = {"reason": why, "policy": rule.policy.value, "branch": branch}
                self.record.errors(held, node, "coalesce", [reason] * len(places))

    def create(
        self,
        by: str,
        made: Arrived,
        *,
        parents: pa.Array | None = None,
        branch: str | None = None,
        batch: pa.Array | None = None,
    ) -> None:
        """Records new tokens with their first version; `parents` is a list of tokens for each."""
        self.record.created(made.rows.tokens, by, parents=parents, branch=branch, batch=batch)
        self.record.version(made.rows.tokens, made.version, made.rows.hashes)

    def _fail(self, node: Node, arrived: Arrived, errors: dict[int, Reason], kind: str) -> None:
        positions = sorted(errors)
        failed = arrived.take(np.array(positions, np.int64))
        reasons = [errors[position] for position in positions]
        self.set_aside(node.name, "on_error", kind, failed, arrived.version, reasons)

    def set_aside(
        self,
        node: str,
        label: str,
        kind: str,
        failed: Arrived,
        came_as: int | None,
        reasons: Sequence[Reason],
        batch: pa.Array | None = None,
    ) -> None:
        """Takes tokens off their way: to the sink that the divert edge names, or nowhere (discard)."""
        tokens = failed.rows.tokens
        self.record.errors(tokens, node, kind, reasons)
        edge = next((e for e in self._edges(node, EdgeMode.DIVERT) if e.label == label), None)
        if edge is None:
            leaving = Leaving("failed", label, outcome=Outcome.QUARANTINED.value)
        else:
            leaving = self._leaving("failed", edge, Outcome.QUARANTINED)
        self.record.state(tokens, node, leaving, versions=(came_as, failed.version), batch=batch)
        if edge is not None:
            self._deliver(edge, failed, Outcome.QUARANTINED)

    def move(
        self,
        node: str,
        moved: Arrived,
        *,
        came_as: int | None,
        reads: pa.Array | None = None,
        batch: pa.Array | None = None,
    ) -> None:
        """Tokens leave a node by its one normal edge."""
        (edge,) = self._edges(node, EdgeMode.MOVE)
        leaving = self._leaving("completed", edge, Outcome.COMPLETED)
        versions = (came_as, moved.version)
        self.record.state(moved.rows.tokens, node, leaving, versions=versions, reads=reads, batch=batch)
        self._deliver(edge, moved, Outcome.COMPLETED)

    def _leaving(self, status: str, edge: Edge, outcome: Outcome) -> Leaving:
        """How tokens leave by an edge, with the outcome that they have once a sink at its end took them."""
        at_sink = self.graph.nodes[edge.target].kind is NodeKind.SINK
        ends = outcome.value if at_sink else None
        return Leaving(status, edge.label, edge.target, edge.mode.value, ends)

    def _deliver(self, edge: Edge, arrived: Arrived, outcome: Outcome) -> None:
        kind = self.graph.nodes[edge.target].kind
        if kind is NodeKind.SINK:
            piece = (self.record.position, arrived.rows, outcome)
            self._for_sinks.setdefault(edge.target, []).append(piece)
        elif kind is NodeKind.AGGREGATION:
            self._inbound.setdefault(edge.target, []).append(arrived)
        elif kind is NodeKind.COALESCE:
            assert edge.branch is not None
            self._joins.setdefault(edge.target, {}).setdefault(edge.branch, []).append(arrived)
        else:
            self._inbox.setdefault(edge.target, []).append(arrived)

    def take(self, node: str) -> Arrived | None:
        """What has come to a node, in token order."""
        pieces = self._inbox.pop(node, None)
        return in_token_order(pieces) if pieces else None

    def _edges(self, node: str, mode: EdgeMode) -> Iterator[Edge]:
        return (edge for edge in self.graph.out_edges(node) if edge.mode is mode)

    def failure(self, node: Node, rows: Rows, error: PluginError) -> RowFailureError:
        """What stops the run when a plugin raises over some rows."""
        first, last = row_index(rows.tokens[0].as_py()), row_index(rows.tokens[-1].as_py())
        at = None if error.token is None else row_index(error.token)
        return RowFailureError(self.graph.pipeline, node.name, at, (first, last), error)

    def result(self, rows_in: int) -> Swept:
        """The tables, the parts, and what goes to later stages."""
        parts = {sink: _part(pieces) for sink, pieces in self._for_sinks.items()}
        inbound = {name: in_token_order(pieces) for name, pieces in self._inbound.items()}
        return Swept(self.record.tables(), parts, inbound, rows_in)


def _arrival(records: Records, rows: Rows) -> pa.Array:
    """The arrival time of each row's record."""
    if len(rows.tokens) == records.num_records:
        return records.arrived_us
    return records.arrived_us.take(pc.subtract(row_indices(rows.tokens), records.first))


def _all_but(length: int, positions: Mapping[int, object]) -> pa.Array:
    kept = np.ones(length, np.bool_)
    kept[list(positions)] = False
    return pa.array(kept)


def singletons(tokens: pa.Array) -> pa.Array:
    """A list of one token for each."""
    return pa.ListArray.from_arrays(pa.array(np.arange(len(tokens) + 1, dtype=np.int32)), tokens)


def _merged_parents(arrived: Mapping[str, Arrived], verdict: Verdict) -> pa.Array:
    """For each join that came about, the tokens in it, in token order."""
    tokens, anchors = [], []
    for branch, came in arrived.items():
        used = verdict.joined & verdict.used[branch]
        tokens.append(came.rows.tokens.take(pa.array(verdict.places[branch][used])))
        anchors.append(np.flatnonzero(used))
    flat, owners = pa.concat_arrays(tokens), np.concatenate(anchors)
    order = pc.sort_indices(flat)
    counts = np.bincount(owners, minlength=len(verdict.joined))[verdict.joined]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat.take(order))


def _part(sent: list[tuple[int, Rows, Outcome]]) -> Part:
    pieces = sorted(sent, key=lambda piece: piece[0])
    edges = [constant(outcome.value, _EDGE, rows.num_rows) for _, rows, outcome in pieces]
    if len(pieces) == 1:
        return Part(pieces[0][1], edges[0])
    rows = Rows.concat([rows for _, rows, _ in pieces])
    order = pc.sort_indices(rows.tokens)
    merged = pa.chunked_array(edges).unify_dictionaries().combine_chunks()
    return Part(rows.take(order), merged.take(order))
