"""What an aggregation makes of batches: the base classes that its plugins extend."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from elspeth_dagster.plugins.base import Plugin, Reason, promised
from elspeth_dagster.rows.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

BatchNumbers = npt.NDArray[np.int64]
"""Per row, the number of its batch; ascending."""


@dataclass(frozen=True)
class BatchError:
    """Why a batch as a whole came to nothing; its members take the aggregation's `on_error`.

    Attributes:
        reason: Told of every member that has no reason of its own.
    """

    reason: Reason


@dataclass(frozen=True)
class BatchOutput:
    """What came of a batch.

    Attributes:
        rows: The rows, slice by slice, made as they are asked for; their tokens mean nothing.
        rejected: Position in the batch to reason, for members that were found unusable only at the end.
    """

    rows: Iterator[Rows]
    rejected: Mapping[int, Reason] = field(default_factory=dict)


class BatchFold(ABC):
    """One batch on its way through a batch transform, slice by slice."""

    @abstractmethod
    def add(self, rows: Rows, positions: range) -> Mapping[int, Reason]:
        """Takes the next members.

        Args:
            rows: The members.
            positions: Their positions in the batch.

        Returns:
            Position in the batch to reason, for members that cannot be used; the rest goes on without them.
        """

    @abstractmethod
    def finish(self) -> BatchOutput | BatchError:
        """Called once behind the last member."""

    def close(self) -> None:  # noqa: B027 - most folds have nothing to close
        """Called exactly once, behind the last output, or after whatever went wrong."""


@dataclass(frozen=True)
class ManyBatches:
    """What came of many batches at once.

    Attributes:
        rows: The rows of all, batch by batch; their tokens mean nothing.
        batch: Per row that came out, the number of its batch (int64, ascending).
        rejected: Position in the input to reason, for members that cannot be used.
        failed: Number of a batch to why it came to nothing.
    """

    rows: Rows
    batch: BatchNumbers
    rejected: Mapping[int, Reason] = field(default_factory=dict)
    failed: Mapping[int, BatchError] = field(default_factory=dict)


class BatchPlugin(Plugin):
    """What an aggregation names: makes rows of a batch of rows. `BatchTransform` is easier to write.

    Attributes:
        takes_passthrough: Whether it can give a batch's members back, as `output_mode: passthrough` asks.
    """

    takes_passthrough: ClassVar[bool] = True

    @abstractmethod
    def fold(self, *, passthrough: bool = False) -> BatchFold:
        """Begins a batch.

        Args:
            passthrough: Whether the rows that come out are the members again, those rejected left out.
        """

    def apply_many(self, rows: Rows, batch_of: BatchNumbers) -> ManyBatches | None:  # noqa: ARG002
        """Does many whole batches at once, where that is faster, with the result of a fold for each.

        Args:
            rows: The members of all.
            batch_of: Per row the number of its batch, ascending.

        Returns:
            What came of them, or `None` to have them folded one by one.
        """
        return None

    def guarantees(self) -> frozenset[str]:
        """Names that every row has that comes out, as far as the options alone tell."""
        return promised(self.schema)


@dataclass(frozen=True)
class BatchResult:
    """What a `BatchTransform` returns.

    Attributes:
        frame: The rows that came of the batch. With `output_mode: passthrough` they are the members again,
            with the index of the frame that came in; rejected ones may be left out or not.
        rejected: Boolean per row of the frame that came in, or `None` when none is.
        reasons: Text per row of the frame that came in; read where `rejected` is true.
    """

    frame: "pd.DataFrame"
    rejected: "pd.Series[bool] | None" = None
    reasons: "pd.Series[str] | None" = None


class BatchTransform(BatchPlugin):
    """A whole batch at a time as a `pandas.DataFrame` with Arrow types; it is all in memory."""

    @abstractmethod
    def process(self, frame: "pd.DataFrame") -> BatchResult | BatchError:
        """Gives what comes of a batch. An exception stops the run; a `BatchError` fails the batch."""

    def fold(self, *, passthrough: bool = False) -> BatchFold:
        """Collects the members, and calls `process` with all of them as a frame."""
        from elspeth_dagster.plugins.batch_frames import FrameFold  # noqa: PLC0415 - it imports this module

        return FrameFold(self.process, self.schema, passthrough=passthrough)
