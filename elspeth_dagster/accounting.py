"""Outcomes, balance and tallies: every figure that a person sees is derived here from committed tables.

Double entry: for every node over the whole run **in + created = out + ended**, and for the run
**created = ended**. Nothing is counted along the way; tallies are grouped counts of the tables that a
commit writes, and `verify` can compute them again from the same tables.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.errors import ElspethError


class Measure(Enum):
    """Which side of a node's double entry a tally is on."""

    IN = "in"
    CREATED = "created"
    OUT = "out"
    ENDED = "ended"


class Outcome(Enum):
    """How a token ended."""

    COMPLETED = "completed"
    ROUTED = "routed"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    FORKED = "forked"
    EXPANDED = "expanded"
    COALESCED = "coalesced"
    CONSUMED_IN_BATCH = "consumed_in_batch"


@dataclass(frozen=True, order=True)
class Tally:
    """A count of tokens at one node.

    Attributes:
        node: Where.
        measure: On which side of the balance.
        label: The edge's label for OUT, the outcome for ENDED, empty otherwise.
        target: The node that an edge leads to, or the sink of an outcome; empty when there is none.
        count: How many tokens.
    """

    node: str
    measure: Measure
    label: str
    target: str
    count: int


@dataclass(frozen=True)
class Imbalance:
    """A node whose two sides differ, or an edge whose two ends do."""

    node: str
    detail: str


class BalanceError(ElspethError):
    """Tokens are missing or counted twice: the run stops before anything is published."""

    def __init__(self, pipeline: str, run_id: str, problems: tuple[Imbalance, ...]) -> None:
        self.problems = problems
        self.node = problems[0].node
        lines = "\n".join(f"  {problem.node}: {problem.detail}" for problem in problems)
        super().__init__(
            f"pipeline {pipeline!r}, run {run_id}: the accounts do not balance, so nothing was published.\n"
            f"{lines}\nThis is a defect of a plugin or of the engine; the record of the run is kept as it is."
        )


@dataclass(frozen=True)
class Counts:
    """What people are told of a run or of a sink.

    Attributes:
        rows_in: Records read from the source.
        outcomes: Tokens by outcome, those that exist only.
    """

    rows_in: int
    outcomes: Mapping[str, int]

    @property
    def succeeded(self) -> int:
        """Tokens that were delivered the normal way or by a gate's choice."""
        return self._of(Outcome.COMPLETED) + self._of(Outcome.ROUTED)

    @property
    def failed(self) -> int:
        """Tokens neither delivered nor set aside."""
        return self._of(Outcome.FAILED)

    @property
    def quarantined(self) -> int:
        """Tokens set aside, at a sink or discarded."""
        return self._of(Outcome.QUARANTINED)

    @property
    def consumed(self) -> int:
        """Tokens that batches were made of, in whose place others go on."""
        return self._of(Outcome.CONSUMED_IN_BATCH)

    def _of(self, outcome: Outcome) -> int:
        return self.outcomes.get(outcome.value, 0)


def tally_sweep(tables: Mapping[str, pa.Table]) -> tuple[Tally, ...]:
    """The tallies of one sweep, from its `tokens` and `states` tables (landscape's column names)."""
    states = tables["states"]
    final = states.filter(pc.or_(pc.is_valid(states["to"]), pc.is_valid(states["outcome"])))
    came = final.filter(pc.is_valid(final["input_version"]))
    created = _grouped(tables["tokens"], ["created_by"])
    visited = _grouped(came, ["node"])
    left = _grouped(final.filter(pc.is_valid(final["to"])), ["node", "label", "to"])
    ended = _grouped(final.filter(pc.is_null(final["to"])), ["node", "outcome"])
    tallies = [Tally(node, Measure.CREATED, "", "", n) for (node,), n in created.items()]
    tallies += [Tally(node, Measure.IN, "", "", n) for (node,), n in visited.items()]
    tallies += [Tally(node, Measure.OUT, label or "", to, n) for (node, label, to), n in left.items()]
    tallies += [Tally(node, Measure.ENDED, outcome, "", n) for (node, outcome), n in ended.items()]
    return tuple(sorted(tallies, key=tally_order))


def _grouped(table: pa.Table, keys: list[str]) -> dict[tuple[str, ...], int]:
    """Row count per combination of some dictionary-encoded text columns of few values."""
    combined = np.zeros(table.num_rows, np.int64)
    words: list[list[str | None]] = []
    for key in keys:
        column = table.column(key).unify_dictionaries().combine_chunks()
        words.append([*column.dictionary.to_pylist(), None])
        codes = column.indices.fill_null(len(words[-1]) - 1).to_numpy()
        combined = combined * len(words[-1]) + codes
    counts: dict[tuple[Any, ...], int] = {}
    tally = np.bincount(combined)
    for code in np.flatnonzero(tally).tolist():
        rest, values = code, []
        for choices in reversed(words):
            rest, place = divmod(rest, len(choices))
            values.append(choices[place])
        counts[tuple(reversed(values))] = int(tally[code])
    return counts


def tally_order(tally: Tally) -> tuple[str, str, str, str]:
    """The order in which tallies are listed."""
    return (tally.node, tally.measure.value, tally.label, tally.target)


def imbalances(tallies: Iterable[Tally], *, sinks: frozenset[str], published: bool) -> tuple[Imbalance, ...]:
    """Every node and edge whose accounts differ.

    Args:
        tallies: Of all commits of the run.
        sinks: The names of the sinks.
        published: Whether the sinks' own tallies are to be there; before publishing they are left out.
    """
    own: Counter[tuple[str, Measure]] = Counter()
    sent: Counter[str] = Counter()
    for tally in tallies:
        if tally.node in sinks and not published:
            continue
        own[tally.node, tally.measure] += tally.count
        if tally.measure is Measure.OUT:
            sent[tally.target] += tally.count
    problems = []
    nodes = {node for node, _ in own} | set(sent)
    for node in sorted(nodes):
        if node in sinks and not published:
            continue
        came, created = own[node, Measure.IN], own[node, Measure.CREATED]
        out, ended = own[node, Measure.OUT], own[node, Measure.ENDED]
        if came + created != out + ended:
            detail = f"in {came} + created {created} differs from out {out} + ended {ended}"
            problems.append(Imbalance(node, detail))
        if sent[node] != came:
            problems.append(Imbalance(node, f"{sent[node]} tokens were sent here, {came} arrived"))
    return tuple(problems)


def run_imbalances(tallies: Iterable[Tally], *, records: int) -> tuple[Imbalance, ...]:
    """Whether every record became a token, and every token of the finished run ended once."""
    totals: Counter[Measure] = Counter()
    records_seen = 0
    for tally in tallies:
        totals[tally.measure] += tally.count
        if tally.measure is Measure.CREATED and tally.node == SOURCE_NODE:
            records_seen += tally.count
    problems = []
    if records_seen != records:
        detail = f"{records} records were read, {records_seen} became tokens"
        problems.append(Imbalance(SOURCE_NODE, detail))
    if totals[Measure.CREATED] != totals[Measure.ENDED]:
        created, ended = totals[Measure.CREATED], totals[Measure.ENDED]
        problems.append(Imbalance("run", f"{created} tokens were created, {ended} ended"))
    return tuple(problems)


SOURCE_NODE = "source"
"""The name of every pipeline's source node."""


def counts_of_run(tallies: Iterable[Tally], *, records: int) -> Counts:
    """The counts of a run so far."""
    outcomes: Counter[str] = Counter()
    for tally in tallies:
        if tally.measure is Measure.ENDED:
            outcomes[tally.label] += tally.count
    return Counts(records, dict(sorted(outcomes.items())))


def counts_of_sink(tallies: Iterable[Tally], sink: str, *, records: int) -> Counts:
    """The counts of what ended at one sink."""
    return counts_of_run((tally for tally in tallies if tally.node == sink), records=records)


def tally_publish(sink: str, *, arrived: Mapping[str, int], refused: pa.Table) -> tuple[Tally, ...]:
    """The tallies of one sink's publish.

    Args:
        sink: The sink.
        arrived: Rows that came, by the outcome that their last edge gives them.
        refused: One row per refused row: `edge` (that outcome), `outcome` (how it ends instead), and `to`,
            the sink that takes it, null when none does.
    """
    by_edge = _grouped(refused, ["edge"])
    delivered = {outcome: count - by_edge.get((outcome,), 0) for outcome, count in arrived.items()}
    tallies = [Tally(sink, Measure.IN, "", "", sum(arrived.values()))]
    tallies += [Tally(sink, Measure.ENDED, outcome, sink, n) for outcome, n in delivered.items()]
    for (outcome, to), count in _grouped(refused, ["outcome", "to"]).items():
        if to:
            tallies.append(Tally(sink, Measure.OUT, "on_write_failure", to, count))
        else:
            tallies.append(Tally(sink, Measure.ENDED, outcome, "", count))
    return tuple(sorted((tally for tally in tallies if tally.count), key=tally_order))


def is_discarded(tally: Tally) -> bool:
    """Whether tokens were set aside and are in no sink; those that turned into others are not lost."""
    is_aside = tally.measure is Measure.ENDED and tally.label == Outcome.QUARANTINED.value
    return is_aside and not tally.target


def discarded_of_run(tallies: Iterable[Tally]) -> int:
    """How many tokens of a run were set aside and are in no sink."""
    return sum(tally.count for tally in tallies if is_discarded(tally))


def counts_of_stored(stored: Mapping[str, Any]) -> Counts:
    """The counts that a completed run keeps."""
    return Counts(stored["rows_in"], dict(stored["outcomes"]))
