"""What is known of rows without looking at them: the keys they have and the kinds of their values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from elspeth_dagster.rows.rows import Rows, Shape


@dataclass(frozen=True)
class Group:
    """The rows of one shape that came the same way.

    Attributes:
        shape: Their keys in order.
        diverted: Whether they came by a divert edge, and so need not fit the sink's schema.
        rows: How many there are.
    """

    shape: Shape
    diverted: bool
    rows: int


@dataclass(frozen=True)
class Facts:
    """A summary of some rows.

    Attributes:
        groups: By first occurrence.
        kinds: For a typed sink, the kinds of value that each key holds (see `kinds.py`), nulls left out.
    """

    groups: tuple[Group, ...]
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every key that occurs, by first occurrence."""
        return tuple(dict.fromkeys(name for group in self.groups for name in group.shape))


@dataclass(frozen=True)
class Located:
    """A group with its rows' positions, `None` when it has all rows."""

    group: Group
    positions: pa.Array | None


def locate_groups(rows: Rows, diverted: pa.Array | None) -> list[Located]:
    """The groups of some rows, by first occurrence.

    Args:
        rows: The rows.
        diverted: Whether each came by a divert edge; `None` when none did.
    """
    if rows.num_rows == 0:
        return []
    marks = None if diverted is None else diverted.to_numpy(zero_copy_only=False)
    if len(rows.shapes) == 1 and (marks is None or marks.all()):
        return [Located(Group(rows.shapes[0], marks is not None, rows.num_rows), None)]
    codes = rows.shape.to_numpy().astype(np.int64) * 2
    if marks is not None:
        codes += marks
    found, firsts, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    if len(found) == 1:
        return [Located(Group(rows.shapes[found[0] // 2], bool(found[0] % 2), rows.num_rows), None)]
    order = np.argsort(inverse, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    return [
        Located(
            Group(rows.shapes[found[i] // 2], bool(found[i] % 2), int(counts[i])),
            pa.array(order[starts[i] : starts[i + 1]]),
        )
        for i in np.argsort(firsts)
    ]
