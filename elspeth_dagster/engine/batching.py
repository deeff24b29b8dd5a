"""The first act of a later stage's sweeps: an aggregation makes its outputs of whole batches."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

import numpy as np
import pyarrow as pa

from elspeth_dagster.accounting import Outcome
from elspeth_dagster.engine.batches import Batch
from elspeth_dagster.engine.record import Leaving
from elspeth_dagster.engine.stage import Stage
from elspeth_dagster.engine.sweep import Swept, Walk, singletons
from elspeth_dagster.engine.travel import Arrived, Positions
from elspeth_dagster.graph import AggregationRule, Node
from elspeth_dagster.plugins.adapters import row_error_reason
from elspeth_dagster.plugins.base import PluginError, Reason, RowError
from elspeth_dagster.plugins.batch import BatchError, BatchPlugin
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import PathKind, children_at
from elspeth_dagster.settings import OutputMode


@dataclass
class Made:
    """What an aggregation made of some batches.

    Attributes:
        rows: The outputs, batch by batch; `None` when there are none.
        batch_of: Per output the position of its batch among the batches.
        ordinals: Per output its number in its batch.
        rejected: Position of a member among all members to the reason it is set aside for.
        failed: Position of a batch among the batches to the reason it failed for.
        tries: Position of a batch to what went wrong, for batches that were tried before in vain.
    """

    rows: Rows | None
    batch_of: Positions
    ordinals: Positions
    rejected: Mapping[int, Reason] = field(default_factory=dict)
    failed: Mapping[int, Reason] = field(default_factory=dict)
    tries: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def nothing(
        cls,
        rejected: Mapping[int, Reason],
        failed: Mapping[int, Reason],
        tries: Mapping[int, tuple[str, ...]],
    ) -> Self:
        """No outputs."""
        return cls(None, np.zeros(0, np.int64), np.zeros(0, np.int64), rejected, failed, tries)


@dataclass(frozen=True)
class Folded:
    """What an aggregation made of one batch: outputs, positions of rejected members, why it failed."""

    outputs: Sequence[Rows]
    rejected: Mapping[int, Reason]
    failed: Reason | None = None


@dataclass(frozen=True)
class Batching:
    """An aggregation at work on a run of its batches.

    Attributes:
        stage: The stage behind it.
        node: The aggregation.
        plugin: Its opened plugin.
        batches: The batches, in order, of which the members follow one another.
    """

    stage: Stage
    node: Node
    plugin: BatchPlugin
    batches: Sequence[Batch]

    @property
    def rule(self) -> AggregationRule:
        """The aggregation's rule."""
        assert self.node.aggregation is not None
        return self.node.aggregation

    @property
    def passthrough(self) -> bool:
        """Whether the members come back."""
        return self.rule.output_mode is OutputMode.PASSTHROUGH

    def sweep(self, members: Arrived) -> Swept:
        """Takes all members of the batches through the aggregation, and what it makes through the stage.

        Raises:
            RowFailureError: A plugin raised; names node and rows.
        """
        walk = Walk(self.stage.graph)
        made = self._checked(self._call(walk, members.rows))
        self.end_members(walk, members, made)
        if not self.passthrough:
            self.put_out(walk, members.rows.tokens.take(pa.array(self._anchors())), made)
        return self.stage.finish(walk, members.rows.num_rows)

    def end_members(self, walk: Walk, members: Arrived, made: Made) -> None:
        """Sets members aside, and consumes the others or passes them on."""
        of_batch = self._batch_of_members(members.rows.num_rows)
        if made.tries:
            tries = {at: made.tries[b] for at, b in enumerate(of_batch.tolist()) if b in made.tries}
            walk.record.failed_tries(members.rows.tokens, self.node.name, members.version, tries)
        self._set_aside(walk, members, of_batch, made)
        kept = _kept(made, of_batch)
        if self.passthrough:
            self._pass_on(walk, members, of_batch, kept, made)
        else:
            self._consume(walk, members, of_batch, kept)

    def _batch_of_members(self, count: int) -> Positions:
        """Per member the place of its batch; members of one batch may be a slice of it."""
        if len(self.batches) == 1:
            return np.zeros(count, np.int64)
        sizes = np.array([batch.members for batch in self.batches], np.int64)
        assert sizes.sum() == count
        return np.repeat(np.arange(len(sizes)), sizes)

    def _call(self, walk: Walk, rows: Rows) -> Made:
        with self._naming(walk, rows):
            many = None if self.passthrough else self._all_at_once(rows)
        return self._one_by_one(walk, rows) if many is None else many

    @contextmanager
    def _naming(self, walk: Walk, rows: Rows) -> Iterator[None]:
        """Turns whatever the plugin raises over some members into the failure that names them."""
        try:
            yield
        except PluginError as error:
            raise walk.failure(self.node, rows, error) from error.cause
        except Exception as error:
            raise walk.failure(self.node, rows, PluginError(error)) from error

    def _all_at_once(self, rows: Rows) -> Made | None:
        of_batch = self._batch_of_members(rows.num_rows)
        many, failed_tries = self.stage.retry.call(partial(self.plugin.apply_many, rows, of_batch))
        if many is None:
            return None
        every = range(len(self.batches))
        tries = dict.fromkeys(every, failed_tries) if failed_tries else {}
        if isinstance(many, RowError):
            return Made.nothing({}, dict.fromkeys(every, row_error_reason(many, None)), tries)
        ordinals = np.arange(len(many.batch)) - np.searchsorted(many.batch, many.batch, side="left")
        failed = {number: error.reason for number, error in many.failed.items()}
        return Made(many.rows, many.batch, ordinals, many.rejected, failed, tries)

    def _one_by_one(self, walk: Walk, rows: Rows) -> Made:
        outputs: list[Rows] = []
        batch_of, ordinals = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        rejected: dict[int, Reason] = {}
        failed: dict[int, Reason] = {}
        tries: dict[int, tuple[str, ...]] = {}
        start = 0
        for place, batch in enumerate(self.batches):
            members = rows.slice(start, batch.members)
            with self._naming(walk, members):
                folded, failed_tries = self.stage.retry.call(partial(self._fold, members))
            if isinstance(folded, RowError):
                folded = Folded((), {}, row_error_reason(folded, None))
            if failed_tries:
                tries[place] = failed_tries
            if folded.failed is not None:
                failed[place] = folded.failed
            count = sum(piece.num_rows for piece in folded.outputs)
            outputs += folded.outputs
            batch_of.append(np.full(count, place, np.int64))
            ordinals.append(np.arange(count, dtype=np.int64))
            rejected |= {start + position: reason for position, reason in folded.rejected.items()}
            start += batch.members
        made = Rows.concat(outputs) if outputs else None
        return Made(made, np.concatenate(batch_of), np.concatenate(ordinals), rejected, failed, tries)

    def _fold(self, members: Rows) -> Folded:
        with closing(self.plugin.fold(passthrough=self.passthrough)) as fold:
            refused = fold.add(members, range(members.num_rows))
            made = fold.finish()
            if isinstance(made, BatchError):
                return Folded((), refused, made.reason)
            outputs = [piece for piece in made.rows if piece.num_rows]
            return Folded(outputs, {**refused, **made.rejected})

    def _checked(self, made: Made) -> Made:
        """Fails the batches that put out more or fewer rows than they may."""
        counts = np.bincount(made.batch_of, minlength=len(self.batches))
        failed = dict(made.failed)
        for place, batch in enumerate(self.batches):
            if place in failed:
                continue
            expected = self._expected(made, batch)
            if expected is not None and counts[place] != expected:
                failed[place] = unexpected_count(expected, int(counts[place]))
        if len(failed) == len(made.failed) or made.rows is None:
            return replace(made, failed=failed)
        kept = ~np.isin(made.batch_of, list(failed))
        rows = made.rows.filter(pa.array(kept))
        return replace(
            made, rows=rows, batch_of=made.batch_of[kept], ordinals=made.ordinals[kept], failed=failed
        )

    def _expected(self, made: Made, batch: Batch) -> int | None:
        if not self.passthrough:
            return self.rule.expected_output_count
        start = batch.first - self.batches[0].first
        refused = sum(start <= position < start + batch.members for position in made.rejected)
        return batch.members - refused

    def _set_aside(self, walk: Walk, members: Arrived, of_batch: Positions, made: Made) -> None:
        """Rejected members, and all members of failed batches, take `on_error`."""
        reasons = dict(made.rejected)
        for place, reason in made.failed.items():
            for position in np.flatnonzero(of_batch == place).tolist():
                reasons.setdefault(position, {"reason": "batch_failed", "batch": reason})
        if not reasons:
            return
        positions = np.array(sorted(reasons), np.int64)
        ordered = [reasons[position] for position in positions.tolist()]
        failed = members.take(positions)
        numbers = self._numbers(of_batch[positions])
        walk.set_aside(self.node.name, "on_error", "aggregation", failed, members.version, ordered, numbers)

    def _numbers(self, places: Positions) -> pa.Array:
        return pa.array(np.array([batch.number for batch in self.batches], np.int64)[places])

    def _consume(self, walk: Walk, members: Arrived, of_batch: Positions, kept: Positions) -> None:
        if not len(kept):
            return
        leaving = Leaving("completed", outcome=Outcome.CONSUMED_IN_BATCH.value)
        walk.record.state(
            members.rows.tokens.take(pa.array(kept)),
            self.node.name,
            leaving,
            versions=(members.version, members.version),
            batch=self._numbers(of_batch[kept]),
        )

    def put_out(self, walk: Walk, members: pa.Array, made: Made) -> None:
        """New tokens, each hanging off the member that completed its batch, or off the first.

        Args:
            walk: Takes them on.
            members: The token of that member, for each batch.
            made: The outputs.
        """
        if made.rows is None or not made.rows.num_rows:
            return
        anchors = members.take(pa.array(made.batch_of))
        tokens = children_at(anchors, PathKind.BATCH, pa.array(made.ordinals))
        fired = np.array([batch.fired_us for batch in self.batches], np.int64)[made.batch_of]
        outputs = Arrived(made.rows.with_tokens(tokens), 0, pa.array(fired))
        walk.create(self.node.name, outputs, parents=singletons(anchors), batch=self._numbers(made.batch_of))
        walk.move(self.node.name, outputs, came_as=None)

    def _anchors(self) -> Positions:
        """Per batch the position of the member that its outputs hang off."""
        base = self.batches[0].first
        places = [
            batch.first - base + (batch.members - 1 if batch.by_member else 0) for batch in self.batches
        ]
        return np.array(places, np.int64)

    def _pass_on(
        self, walk: Walk, members: Arrived, of_batch: Positions, kept: Positions, made: Made
    ) -> None:
        """The members go on as the tokens that they were, with the rows that came back for them."""
        if made.rows is None or not len(kept):
            return
        tokens = members.rows.tokens.take(pa.array(kept))
        rows = made.rows.with_tokens(tokens)
        version = members.version + 1
        fired = np.array([batch.fired_us for batch in self.batches], np.int64)[of_batch[kept]]
        walk.record.version(tokens, version, rows.hashes)
        passed = Arrived(rows, version, pa.array(fired))
        walk.move(self.node.name, passed, came_as=members.version, batch=self._numbers(of_batch[kept]))


def unexpected_count(expected: int, found: int) -> Reason:
    """Why a batch fails that put out more or fewer rows than it may."""
    return {"reason": "unexpected_output_count", "expected": expected, "found": found}


def _kept(made: Made, of_batch: Positions) -> Positions:
    """Positions of the members that went into their batch."""
    kept = ~np.isin(of_batch, list(made.failed))
    kept[list(made.rejected)] = False
    return np.flatnonzero(kept)
