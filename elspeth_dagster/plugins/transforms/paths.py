"""Values inside objects, by a dotted path such as `order.customer.id`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.transforms.common import places
from elspeth_dagster.plugins.transforms.texts import to_mask
from elspeth_dagster.rows.rows import Rows


class Status(IntEnum):
    """What a path leads to in one row."""

    MISSING = 0
    FOUND = 1
    NO_OBJECT = 2
    """The path goes on through something that is no object."""


@dataclass(frozen=True)
class Extracted:
    """What a path leads to.

    Attributes:
        values: Per row, the value, `None` where none was found.
        statuses: Per row, a `Status`.
        errors: Position to reason, where the path goes on through something that is no object.
    """

    values: list[Any]
    statuses: npt.NDArray[np.int32]
    errors: Mapping[int, Reason] = field(default_factory=dict)


def extract(rows: Rows, path: str) -> Extracted:
    """Follows a path in every row; its first element is a field, or the original header of one."""
    head, *rest = path.split(".")
    values: list[Any] = [None] * rows.num_rows
    statuses = np.full(rows.num_rows, Status.MISSING, np.int32)
    errors: dict[int, Reason] = {}
    for name, where in places(rows, head):
        column = rows.columns[name].to_python()
        for position in np.flatnonzero(to_mask(where, rows.num_rows)):
            status, value = _follow(column[position], rest)
            statuses[position] = status
            if status is Status.FOUND:
                values[position] = value
            elif status is Status.NO_OBJECT:
                through = ".".join([head, *rest[:value]])
                errors[int(position)] = {"reason": "no_object", "field": path, "at": through}
    return Extracted(values, statuses, errors)


def _follow(value: Any, keys: list[str]) -> tuple[Status, Any]:
    """The value at the end; for `NO_OBJECT`, how many keys could be followed."""
    for depth, key in enumerate(keys):
        if not isinstance(value, dict):
            return Status.NO_OBJECT, depth
        if key not in value:
            return Status.MISSING, None
        value = value[key]
    return Status.FOUND, value
