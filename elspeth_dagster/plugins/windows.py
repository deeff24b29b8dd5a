"""Rows that come several times, cut so that no piece of them is large whatever one row is multiplied by."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.rows import Rows

_MOST_ROWS = 50_000
_MOST_BYTES = 32 * 2**20
_FIXED_BYTES = 8

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """A piece of what some rows are multiplied to.

    Attributes:
        parents: Per row of the piece, the position of the row that it comes of.
        ordinals: Per row of the piece, its number among those that come of the same row.
    """

    parents: Integers
    ordinals: Integers


def windows(counts: Integers, row_bytes: Integers) -> Iterator[Window]:
    """The pieces of rows that come several times each, in order.

    Args:
        counts: How often each row comes; none may be negative.
        row_bytes: How large each of them is.
    """
    rows_before = _before(counts)
    bytes_before = _before(counts * np.maximum(row_bytes, 1))
    first = 0
    while first < len(counts):
        fitting = [
            int(np.searchsorted(before, before[first] + most, side="right")) - 1
            for before, most in ((rows_before, _MOST_ROWS), (bytes_before, _MOST_BYTES))
        ]
        last = min(fitting)
        if last <= first:
            yield from _windows_of_one(first, int(counts[first]), int(row_bytes[first]))
            last = first + 1
        else:
            parents = np.repeat(np.arange(first, last), counts[first:last])
            ordinals = np.arange(len(parents)) - (rows_before[parents] - rows_before[first])
            if len(parents):
                yield Window(parents, ordinals)
        first = last


def _before(sizes: Integers) -> Integers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


def _windows_of_one(position: int, count: int, size_bytes: int) -> Iterator[Window]:
    step = max(1, min(_MOST_ROWS, _MOST_BYTES // max(size_bytes, 1)))
    for start in range(0, count, step):
        ordinals = np.arange(start, min(start + step, count))
        yield Window(np.full(len(ordinals), position), ordinals)


def row_bytes(rows: Rows) -> Integers:
    """About how many bytes each row takes in memory."""
    total = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns.values():
        values = column.values
        if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
            total += pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
        else:
            total += _FIXED_BYTES
    return total
