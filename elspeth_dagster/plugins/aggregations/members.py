"""The members of batches, with their numbers, parted into groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.aggregations.numbers import Mask, Numbers, numbers_of
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.batch import BatchNumbers
from elspeth_dagster.plugins.sinks.kinds import Kind
from elspeth_dagster.plugins.transforms.texts import to_mask
from elspeth_dagster.plugins.windows import Integers
from elspeth_dagster.rows.rows import Column, Rows, present


@dataclass(frozen=True)
class Members:
    """Members of batches, parted into groups.

    Attributes:
        numbers: Their numbers.
        group: Per member, the number of its group, in the order of the groups' first members; -1 for one that
            is in none.
        firsts: Per group, the position of its first member.
        rejected: Position to reason, for members that cannot be used.
    """

    numbers: Numbers
    group: Integers
    firsts: Integers
    rejected: Mapping[int, Reason]

    @classmethod
    def of(
        cls, rows: Rows, value_field: str, group_by: str | None, batch_of: BatchNumbers | None
    ) -> "Members":
        """Parts rows by their batch, when there are several, and by `group_by`."""
        column = rows.columns.get(value_field, Column(pa.nulls(rows.num_rows)))
        numbers = numbers_of(column)
        in_group = _has(rows, group_by)
        rejected = dict(_rejected(rows, numbers, in_group, value_field, group_by))
        if rejected:
            numbers.usable[list(rejected)] = False
        group, firsts = _parted(rows, group_by, batch_of, in_group)
        return cls(numbers, group, firsts, rejected)

    def sizes(self) -> list[int]:
        """How many members each group has."""
        sizes: list[int] = np.bincount(self.group[self.group >= 0], minlength=len(self.firsts)).tolist()
        return sizes


def _has(rows: Rows, name: str | None) -> Mask:
    if name is None:
        return np.ones(rows.num_rows, np.bool_)
    if name not in rows.columns:
        return np.zeros(rows.num_rows, np.bool_)
    return to_mask(present(rows, name), rows.num_rows)


def _rejected(
    rows: Rows, numbers: Numbers, in_group: Mask, value_field: str, group_by: str | None
) -> Iterator[tuple[int, Reason]]:
    unusable = ~numbers.usable
    if unusable.any():
        has_value = _has(rows, value_field)
        for position in np.flatnonzero(unusable).tolist():
            if has_value[position]:
                found = Kind(int(numbers.kinds[position])).label
                yield (
                    position,
                    {
                        "reason": "type_mismatch",
                        "field": value_field,
                        "expected": "number",
                        "found": found,
                    },
                )
            else:
                yield position, {"reason": "missing_field", "field": value_field}
    for position in np.flatnonzero(~in_group & ~unusable).tolist():
        yield position, {"reason": "missing_field", "field": group_by}


def _parted(
    rows: Rows, group_by: str | None, batch_of: BatchNumbers | None, in_group: Mask
) -> tuple[Integers, Integers]:
    """Per member its group or -1, and per group its first member; the groups in the order of these."""
    if group_by is None or group_by not in rows.columns:
        codes = np.zeros(rows.num_rows, np.int64)
        width = 1
    else:
        encoded = rows.columns[group_by].canonical.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        width = max(len(encoded.dictionary), 1)
    if batch_of is not None:
        codes = (batch_of - batch_of.min(initial=0)) * width + codes
    group = np.full(rows.num_rows, -1, np.int64)
    places = np.flatnonzero(in_group)
    _, firsts, index = np.unique(codes[places], return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    group[places] = rank[index]
    return group, places[firsts[order]]
