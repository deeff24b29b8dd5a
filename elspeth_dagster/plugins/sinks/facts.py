"""What is known of rows without looking at them: the keys they have and the kinds of their values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.sinks.kinds import kind_set
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

    def places(self, num_rows: int) -> Iterable[int]:
        """The positions, out of so many rows."""
        return range(num_rows) if self.positions is None else self.positions.to_pylist()


def facts_of(rows: Rows, diverted: pa.Array | None, *, kinds: bool = False) -> Facts:
    """The summary of some rows, with the kinds of their values when they are wanted."""
    groups = tuple(located.group for located in locate_groups(rows, diverted))
    found: dict[str, tuple[str, ...]] = {}
    if kinds:
        for name in dict.fromkeys(name for group in groups for name in group.shape):
            found[name] = tuple(sorted(kind.name for kind in kind_set(rows.columns[name])))
    return Facts(groups, found)


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


def without(
    rows: Rows, diverted: pa.Array | None, left_out: Mapping[int, object]
) -> tuple[Rows, pa.Array | None]:
    """The rows, and whether they were diverted, but for those at some positions."""
    if not left_out:
        return rows, diverted
    kept = keep_mask(rows.num_rows, left_out)
    return rows.filter(kept), None if diverted is None else diverted.filter(kept)


def keep_mask(length: int, left_out: Iterable[int]) -> pa.Array:
    """False at some positions, true elsewhere."""
    kept = np.ones(length, np.bool_)
    kept[list(left_out)] = False
    return pa.array(kept)
