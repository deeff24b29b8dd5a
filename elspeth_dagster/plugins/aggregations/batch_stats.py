"""The `batch_stats` batch transform (settings reference, 5.4): count, sum and mean of a field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field

from elspeth_dagster.plugins.aggregations.members import Members
from elspeth_dagster.plugins.aggregations.numbers import Total, totals
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.batch import (
    BatchError,
    BatchFold,
    BatchNumbers,
    BatchOutput,
    BatchPlugin,
    ManyBatches,
)
from elspeth_dagster.plugins.transforms.common import TransformOptions
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.rows import Column, Rows
from elspeth_dagster.rows.values import check_value

_COUNT, _SUM, _SIZE, _MEAN = "count", "sum", "batch_size", "mean"
_SKIPPED = "skipped_non_finite"
_OUTPUTS = (_COUNT, _SUM, _SIZE, _MEAN, _SKIPPED, f"{_SKIPPED}_indices")

_Name = Annotated[str, Field(min_length=1)]


def _no_output(name: str | None) -> str | None:
    if name in _OUTPUTS:
        raise ValueError(f"'{name}' is a field of the output; taken are: {', '.join(_OUTPUTS)}")
    return name


class BatchStatsOptions(TransformOptions):
    """Options of `batch_stats`."""

    value_field: _Name = Field(description="The field whose numbers are added up.")
    group_by: Annotated[_Name | None, AfterValidator(_no_output)] = Field(
        None, description="A field by whose values the batch is parted; each gives a row of its own."
    )
    compute_mean: bool = Field(default=True, description="Whether the mean is given.")


class BatchStats(BatchPlugin):
    """Gives count, sum and mean of a field over a batch, or over each group of it."""

    Options = BatchStatsOptions
    takes_passthrough: ClassVar[bool] = False

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """See `Plugin.fields_read`."""
        grouped = {"group_by": (self.options.group_by,)} if self.options.group_by else {}
        return {"value_field": (self.options.value_field,), **grouped}

    def guarantees(self) -> frozenset[str]:
        """The fields that it makes."""
        return frozenset(_names(self.options))

    def fold(self, *, passthrough: bool = False) -> BatchFold:  # noqa: ARG002 - it makes rows of its own
        """Begins a batch, of which no member is kept."""
        return _Fold(self.options)

    def apply_many(self, rows: Rows, batch_of: BatchNumbers) -> ManyBatches:
        """Adds up all batches at once."""
        members = Members.of(rows, self.options.value_field, self.options.group_by, batch_of)
        sums = totals(members.numbers, members.group, len(members.firsts))
        made = [_Stats(total, size) for total, size in zip(sums, members.sizes(), strict=True)]
        batches = batch_of[members.firsts]
        failed = self._failed(batch_of, batches, made)
        has_output = [
            bool(stats.total.count) and batch not in failed
            for batch, stats in zip(batches.tolist(), made, strict=True)
        ]
        kept = np.flatnonzero(has_output)
        group_by = self.options.group_by
        column = None if group_by is None else rows.columns.get(group_by)
        labels = None if column is None else column.take(pa.array(members.firsts[kept]))
        output = _rows([made[place] for place in kept.tolist()], labels, rows.originals, self.options)
        return ManyBatches(output, batches[kept], members.rejected, failed)

    def _failed(
        self, batch_of: BatchNumbers, batches: BatchNumbers, made: Sequence["_Stats"]
    ) -> dict[int, BatchError]:
        """Rounds the sums; gives the batches in which one cannot be, or in which there is none."""
        failed: dict[int, BatchError] = {}
        summed = set()
        for batch, stats in zip(batches.tolist(), made, strict=True):
            if stats.total.count and batch not in failed:
                summed.add(batch)
                reason = stats.finish(self.options)
                if reason is not None:
                    failed[batch] = BatchError(reason)
        for batch in np.unique(batch_of).tolist():
            if batch not in summed:
                failed[batch] = BatchError(_nothing(self.options))
        return failed


def _names(options: BatchStatsOptions) -> Iterator[str]:
    yield from (_COUNT, _SUM, _SIZE)
    if options.compute_mean:
        yield _MEAN
    yield _SKIPPED
    if options.group_by is not None:
        yield options.group_by


def _nothing(options: BatchStatsOptions) -> Reason:
    return {"reason": "nothing_to_add_up", "field": options.value_field}


@dataclass
class _Stats:
    """What is known of a group: the members' sum, how many they are, and, once finished, what is given."""

    total: Total = field(default_factory=Total)
    size: int = 0
    sum: int | float = 0
    mean: float = 0.0

    def finish(self, options: BatchStatsOptions) -> Reason | None:
        """Rounds the sum; gives the reason when there is none."""
        try:
            self.sum = self.total.value()
            if options.compute_mean:
                self.mean = self.sum / self.total.count
            check_value(self.sum)
        except OverflowError:
            return {"reason": "overflow", "field": options.value_field}
        except InvalidValueError as error:
            return {"reason": "invalid_value", "field": _SUM, "error": error.reason}
        return None


class _Fold(BatchFold):
    """Keeps a sum for each group."""

    def __init__(self, options: BatchStatsOptions) -> None:
        self._options = options
        self._groups: dict[str, _Stats] = {}
        self._labels: list[Any] = []
        self._originals: dict[str, str] = {}

    def add(self, rows: Rows, positions: range) -> Mapping[int, Reason]:
        """Adds the members' numbers up."""
        members = Members.of(rows, self._options.value_field, self._options.group_by, None)
        sums = totals(members.numbers, members.group, len(members.firsts))
        for key, total, size in zip(self._keys(rows, members), sums, members.sizes(), strict=True):
            stats = self._groups[key]
            stats.total.add(total)
            stats.size += size
        for name, header in rows.originals.items():
            self._originals[name] = min(header, self._originals.get(name, header))
        return {positions[position]: reason for position, reason in members.rejected.items()}

    def _keys(self, rows: Rows, members: Members) -> list[str]:
        """What the groups are known by; new ones are taken in."""
        group_by = self._options.group_by
        if group_by is None or group_by not in rows.columns:
            keys = [""] * len(members.firsts)
            labels: list[Any] = keys
        else:
            firsts = rows.columns[group_by].take(pa.array(members.firsts))
            keys = firsts.canonical.to_pylist()
            labels = firsts.to_python()
        for key, label in zip(keys, labels, strict=True):
            if key not in self._groups:
                self._groups[key] = _Stats()
                self._labels.append(label)
        return keys

    def finish(self) -> BatchOutput | BatchError:
        """Rounds the sums."""
        made = []
        labels = []
        for stats, label in zip(self._groups.values(), self._labels, strict=True):
            if stats.total.count:
                reason = stats.finish(self._options)
                if reason is not None:
                    return BatchError(reason)
                made.append(stats)
                labels.append(label)
        if not made:
            return BatchError(_nothing(self._options))
        return BatchOutput(iter([_rows(made, Column.of(labels), self._originals, self._options)]))


def _rows(
    made: Sequence[_Stats], labels: Column | None, originals: Mapping[str, str], options: BatchStatsOptions
) -> Rows:
    columns = {
        _COUNT: Column.of([stats.total.count for stats in made]),
        _SUM: Column.of([stats.sum for stats in made]),
        _SIZE: Column.of([stats.size for stats in made]),
    }
    if options.compute_mean:
        columns[_MEAN] = Column.of([stats.mean for stats in made])
    columns[_SKIPPED] = Column.of([0] * len(made))
    if options.group_by is not None:
        columns[options.group_by] = Column(pa.nulls(len(made))) if labels is None else labels
    kept = {name: header for name, header in originals.items() if name == options.group_by}
    tokens = pa.repeat(pa.scalar(b"", pa.binary()), len(made))
    return Rows.uniform(tokens, columns, kept)
