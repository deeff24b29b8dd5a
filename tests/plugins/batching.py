"""Batches handed to batch transforms, in one go, in slices, or many at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transforming import Row, rows_of

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.batch import BatchError, BatchPlugin
from elspeth_dagster.rows.fields import OBSERVED, parse_schema
from elspeth_dagster.rows.rows import Rows


@dataclass
class Done:
    """What came of a batch."""

    rows: list[Row]
    rejected: dict[int, Reason]
    error: Reason | None = None


def made(plugin: type[BatchPlugin], schema: Mapping[str, Any] | None = None, **options: Any) -> BatchPlugin:
    parsed = parse_schema(schema) if schema else OBSERVED
    return plugin(plugin.Options.model_validate(options), parsed)


def folded(
    plugin: BatchPlugin, batch: Sequence[Row], *, step: int | None = None, passthrough: bool = False
) -> Done:
    """A batch folded in slices of `step` members."""
    fold = plugin.fold(passthrough=passthrough)
    rejected: dict[int, Reason] = {}
    try:
        for start in range(0, len(batch), step or len(batch)):
            part = batch[start : start + (step or len(batch))]
            rejected |= fold.add(rows_of(part, first=start), range(start, start + len(part)))
        result = fold.finish()
        if isinstance(result, BatchError):
            return Done([], rejected, result.reason)
        rows = [row for piece in result.rows for row in piece.to_dicts()]
        return Done(rows, {**rejected, **result.rejected})
    finally:
        fold.close()


def at_once(plugin: BatchPlugin, batches: Sequence[Sequence[Row]]) -> list[Done]:
    """Several batches done at once; checks that their outputs are in order."""
    members = [row for batch in batches for row in batch]
    batch_of = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    many = plugin.apply_many(rows_of(members), batch_of)
    assert many is not None
    assert isinstance(many.rows, Rows)
    assert many.batch.tolist() == sorted(many.batch.tolist())
    done = [Done([], {}) for _ in batches]
    for number, row in zip(many.batch.tolist(), many.rows.to_dicts(), strict=True):
        done[number].rows.append(row)
    starts = np.cumsum([0, *map(len, batches)])
    for position, reason in many.rejected.items():
        number = int(batch_of[position])
        done[number].rejected[position - int(starts[number])] = reason
    for number, error in many.failed.items():
        done[number].error = error.reason
        assert not done[number].rows
    return done
