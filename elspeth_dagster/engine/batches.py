"""How an aggregation's tokens fall into batches: a function of their arrival times and the trigger alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from elspeth_dagster.expressions import EvaluationError
from elspeth_dagster.graph import AggregationRule

_US = 1_000_000


class Trigger(StrEnum):
    """Why a batch was complete."""

    COUNT = "count"
    TIMEOUT = "timeout"
    CONDITION = "condition"
    END_OF_SOURCE = "end_of_source"


@dataclass(frozen=True)
class Batch:
    """A run of an aggregation's tokens.

    Attributes:
        number: Of the batch, from 0.
        first: Position of its first member among the aggregation's tokens.
        members: How many they are.
        trigger: Why it was complete.
        fired_us: When, on the run's own clock.
        by_member: Whether its last member completed it, so that what it makes hangs off that one, and not off
            the first.
    """

    number: int
    first: int
    members: int
    trigger: Trigger
    fired_us: int
    by_member: bool


BATCHES = pa.schema(
    {
        "batch": pa.int64(),
        "aggregation": pa.dictionary(pa.int32(), pa.string()),
        "first": pa.int64(),
        "members": pa.int64(),
        "trigger": pa.dictionary(pa.int32(), pa.string()),
        "fired_us": pa.int64(),
        "by_member": pa.bool_(),
    }
)


def batches_table(aggregation: str, batches: list[Batch]) -> pa.Table:
    """The rows of a `batches` segment."""
    rows = [
        {
            "batch": batch.number,
            "aggregation": aggregation,
            "first": batch.first,
            "members": batch.members,
            "trigger": batch.trigger.value,
            "fired_us": batch.fired_us,
            "by_member": batch.by_member,
        }
        for batch in batches
    ]
    return pa.Table.from_pylist(rows, schema=BATCHES)


def batches_of_table(table: pa.Table) -> list[Batch]:
    """What `batches_table` was made of."""
    return [
        Batch(
            row["batch"],
            row["first"],
            row["members"],
            Trigger(row["trigger"]),
            row["fired_us"],
            row["by_member"],
        )
        for row in table.to_pylist()
    ]


def form_batches(rule: AggregationRule, arrivals: Iterable[pa.Array]) -> Iterator[Batch]:
    """Forms the batches of one aggregation.

    Before a token joins, timeout and condition are checked at its arrival, so that a late batch fires without
    it; behind it, count and condition. The end of the source completes what is left.

    Args:
        rule: The aggregation's rule.
        arrivals: The arrival times of its tokens in token order, piece by piece (int64, microseconds).
    """
    forming = _Forming(rule)
    for piece in arrivals:
        if rule.timeout_seconds is None and rule.condition is None:
            yield from forming.by_count(piece)
        else:
            for moment in piece.to_pylist():
                yield from forming.add(moment)
    yield from forming.end()


class _Forming:
    def __init__(self, rule: AggregationRule) -> None:
        self._rule = rule
        self._number = self._first = self._members = 0
        self._began_us = self._last_us = 0

    def by_count(self, piece: pa.Array) -> Iterator[Batch]:
        count = self._rule.count
        assert count is not None
        place = 0
        while len(piece) - place >= count - self._members:
            place += count - self._members
            self._members = count
            yield self._fire(Trigger.COUNT, piece[place - 1].as_py(), by_member=True)
        left = len(piece) - place
        if left:
            self._members += left
            self._last_us = piece[-1].as_py()

    def add(self, moment: int) -> Iterator[Batch]:
        late = self._late(moment) if self._members else None
        if late is not None:
            yield self._fire(late, moment)
        if not self._members:
            self._began_us = moment
        self._members += 1
        self._last_us = moment
        if self._rule.count is not None and self._members >= self._rule.count:
            yield self._fire(Trigger.COUNT, moment, by_member=True)
        elif self._condition_holds(moment):
            yield self._fire(Trigger.CONDITION, moment, by_member=True)

    def end(self) -> Iterator[Batch]:
        if self._members:
            yield self._fire(Trigger.END_OF_SOURCE, self._last_us)

    def _late(self, moment: int) -> Trigger | None:
        timeout = self._rule.timeout_seconds
        if timeout is not None and moment - self._began_us >= timeout * _US:
            return Trigger.TIMEOUT
        return Trigger.CONDITION if self._condition_holds(moment) else None

    def _condition_holds(self, moment: int) -> bool:
        if self._rule.condition is None:
            return False
        facts = {"batch_count": self._members, "batch_age_seconds": (moment - self._began_us) / _US}
        try:
            return bool(self._rule.condition.evaluate(facts))
        except EvaluationError:
            return False

    def _fire(self, trigger: Trigger, moment: int, *, by_member: bool = False) -> Batch:
        batch = Batch(self._number, self._first, self._members, trigger, moment, by_member)
        self._number += 1
        self._first += self._members
        self._members = 0
        return batch
