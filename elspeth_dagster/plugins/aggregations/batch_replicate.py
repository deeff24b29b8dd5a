"""The `batch_replicate` batch transform (settings reference, 5.5): each member several times."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from elspeth_dagster.plugins.aggregations.numbers import numbers_of
from elspeth_dagster.plugins.aggregations.spool import Spool
from elspeth_dagster.plugins.base import Reason, promised
from elspeth_dagster.plugins.batch import (
    BatchError,
    BatchFold,
    BatchNumbers,
    BatchOutput,
    BatchPlugin,
    ManyBatches,
)
from elspeth_dagster.plugins.sinks.kinds import Kind
from elspeth_dagster.plugins.transforms.common import TransformOptions, kept
from elspeth_dagster.plugins.transforms.texts import to_mask
from elspeth_dagster.plugins.windows import Integers, Window, row_bytes, windows
from elspeth_dagster.rows.rows import Column, Rows, present
from elspeth_dagster.settings.value_types import WholeNumber

INDEX_FIELD = "copy_index"
_MOST_COPIES = 10_000
_MANY_ROWS = 500_000
_MANY_BYTES = 32 * 2**20

_Copies = Annotated[WholeNumber, Field(ge=1, le=_MOST_COPIES)]


class BatchReplicateOptions(TransformOptions):
    """Options of `batch_replicate`."""

    copies_field: str = Field(
        "copies", min_length=1, description="The field that says how often a row comes."
    )
    default_copies: _Copies = Field(1, description="How often a row comes that does not have this field.")
    max_copies: _Copies = Field(_MOST_COPIES, description="A row that is to come more often is rejected.")
    include_copy_index: bool = Field(
        default=True, description=f"Whether {INDEX_FIELD} says which copy it is, from 0."
    )

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default_copies > self.max_copies:
            raise ValueError(f"default_copies is {self.default_copies}, max_copies only {self.max_copies}")
        return self


class BatchReplicate(BatchPlugin):
    """Gives each member as often as one of its fields says."""

    Options = BatchReplicateOptions

    def guarantees(self) -> frozenset[str]:
        """Declared and promised names, and the number of the copy."""
        return promised(self.schema) | ({INDEX_FIELD} if self.options.include_copy_index else set())

    def fold(self, *, passthrough: bool = False) -> BatchFold:  # noqa: ARG002 - whoever counts sees the copies
        """Begins a batch; its members wait on disk when they are many."""
        return _Fold(self.options)

    def apply_many(self, rows: Rows, batch_of: BatchNumbers) -> ManyBatches | None:
        """Copies the members of all batches at once, unless that is too much for memory."""
        rejected: dict[int, Reason] = {}
        counts = _copies(rows, self.options, rejected)
        if counts.sum() > _MANY_ROWS or (counts * row_bytes(rows)).sum() > _MANY_BYTES:
            return None
        parents = np.repeat(np.arange(rows.num_rows), counts)
        ordinals = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
        used = set(np.unique(batch_of[parents]).tolist())
        failed = {
            batch: BatchError(_nothing(self.options))
            for batch in np.unique(batch_of).tolist()
            if batch not in used
        }
        output = _copied(rows, Window(parents, ordinals), self.options)
        return ManyBatches(output, batch_of[parents], rejected, failed)


def _nothing(options: BatchReplicateOptions) -> Reason:
    return {"reason": "nothing_to_copy", "field": options.copies_field}


def _copies(rows: Rows, options: BatchReplicateOptions, rejected: dict[int, Reason]) -> Integers:
    """How often each row comes; 0 for one that is rejected."""
    field = options.copies_field
    if field not in rows.columns:
        return np.full(rows.num_rows, options.default_copies, np.int64)
    has_field = to_mask(present(rows, field), rows.num_rows)
    numbers = numbers_of(rows.columns[field])
    fitting = (numbers.integers >= 1) & (numbers.integers <= options.max_copies)
    counts = np.where(fitting & numbers.whole, numbers.integers, 0)
    counts[~has_field] = options.default_copies
    for position in np.flatnonzero(counts == 0).tolist():
        if numbers.whole[position]:
            rejected[position] = {"reason": "out_of_range", "field": field, "max": options.max_copies}
        else:
            found = Kind(int(numbers.kinds[position])).label
            rejected[position] = {
                "reason": "type_mismatch",
                "field": field,
                "expected": "int",
                "found": found,
            }
    return counts


def _copied(rows: Rows, window: Window, options: BatchReplicateOptions) -> Rows:
    copies = rows.take(pa.array(window.parents))
    if not options.include_copy_index:
        return copies
    shapes = tuple(keys if INDEX_FIELD in keys else (*keys, INDEX_FIELD) for keys in copies.shapes)
    columns = {**copies.columns, INDEX_FIELD: Column(pa.array(window.ordinals))}
    originals = {name: header for name, header in rows.originals.items() if name != INDEX_FIELD}
    return Rows(copies.tokens, shapes, copies.shape, columns, originals)


class _Fold(BatchFold):
    """Puts the members by, and copies them in the end."""

    def __init__(self, options: BatchReplicateOptions) -> None:
        self._options = options
        self._spool = Spool()
        self._is_empty = True

    def add(self, rows: Rows, positions: range) -> Mapping[int, Reason]:
        """Puts the members by that can be copied."""
        rejected: dict[int, Reason] = {}
        _copies(rows, self._options, rejected)
        usable = kept(rows, rejected)
        if usable.num_rows:
            self._spool.append(usable)
            self._is_empty = False
        return {positions[position]: reason for position, reason in rejected.items()}

    def finish(self) -> BatchOutput | BatchError:
        """Copies them, slice by slice."""
        if self._is_empty:
            return BatchError(_nothing(self._options))
        return BatchOutput(chain.from_iterable(map(self._slices, self._spool)))

    def _slices(self, rows: Rows) -> Iterator[Rows]:
        for window in windows(_copies(rows, self._options, {}), row_bytes(rows)):
            yield _copied(rows, window, self._options)

    def close(self) -> None:
        """Frees what the members took on disk."""
        self._spool.close()
