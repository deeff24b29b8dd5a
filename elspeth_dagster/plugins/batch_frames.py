"""A batch handed to a user's transform as a pandas frame, and taken back."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.base import PluginError, Reason
from elspeth_dagster.plugins.batch import BatchError, BatchFold, BatchOutput, BatchResult
from elspeth_dagster.plugins.frames import (
    FrameError,
    Taken,
    from_frame,
    in_order,
    new_rows,
    rejections,
    to_frame,
)
from elspeth_dagster.plugins.transforms.common import kept
from elspeth_dagster.rows.fields import Schema
from elspeth_dagster.rows.rows import Rows

if TYPE_CHECKING:
    import pandas as pd


class FrameFold(BatchFold):
    """Collects a batch, and hands it over whole.

    Args:
        process: Takes the frame, gives a `BatchResult` or a `BatchError`.
        schema: The node's schema; its fields are columns of the frame whatever the rows have.
        passthrough: Whether the rows that come back are the members.
    """

    def __init__(self, process: Callable[[Any], Any], schema: Schema, *, passthrough: bool) -> None:
        self._process = process
        self._schema = schema
        self._passthrough = passthrough
        self._members: list[Rows] = []

    def add(self, rows: Rows, positions: range) -> Mapping[int, Reason]:  # noqa: ARG002 - it gets them in order
        """Keeps the members."""
        self._members.append(rows)
        return {}

    def finish(self) -> BatchOutput | BatchError:
        """Calls `process`.

        Raises:
            PluginError: It raised, or what it returned does not say which row is which.
        """
        members = Rows.concat(self._members)
        frame = to_frame(members, self._schema)
        known = [str(name) for name in frame.columns]
        try:
            result = self._process(frame)
        except Exception as error:
            raise PluginError(error) from error
        if isinstance(result, BatchError):
            return result
        if not isinstance(result, BatchResult):
            found = type(result).__name__
            raise PluginError(
                TypeError(f"process returned {found}; it returns a BatchResult or a BatchError")
            )
        try:
            return self._taken(result, members, known)
        except FrameError as error:
            raise PluginError(error) from error

    def _taken(self, result: BatchResult, members: Rows, known: list[str]) -> BatchOutput | BatchError:
        rejected = rejections(result, members.num_rows)
        accepted = np.array([p for p in range(members.num_rows) if p not in rejected], np.int64)
        if self._passthrough and _are_members(result.frame, accepted, members.num_rows):
            rows = members.take(pa.array(accepted)) if rejected else members
            taken = from_frame(in_order(result.frame, accepted, members.num_rows), rows, known)
            invalid = {int(accepted[place]): reason for place, reason in taken.errors.items()}
            return BatchOutput(iter([kept(taken.rows, taken.errors)]), {**rejected, **invalid})
        taken = new_rows(result.frame, members.originals)
        if taken.errors:
            return BatchError(next(_with_rows(taken)))
        return BatchOutput(iter([taken.rows]), rejected)


def _are_members(frame: "pd.DataFrame", accepted: np.ndarray[Any, Any], count: int) -> bool:
    """Whether a frame has as many rows as it must have; where it has not, that is told by whoever counts."""
    return len(frame) in {len(accepted), count}


def _with_rows(taken: Taken) -> Iterator[Reason]:
    for position, reason in sorted(taken.errors.items()):
        yield {**reason, "row": position}
