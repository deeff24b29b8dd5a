"""Tokens on their way through a stage, with what the engine has to know of each beside its row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.rows import Rows

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrived:
    """Tokens that reach a node together.

    Attributes:
        rows: Their rows.
        version: Number of the rows' present version.
        arrived_us: Arrival time of each (int64), in microseconds of the run's own clock.
        anchors: For every gate that forked them and may be joined again, the position of the token that
            entered it among all that it forked.
    """

    rows: Rows
    version: int
    arrived_us: pa.Array
    anchors: Mapping[str, Positions] = field(default_factory=dict)

    def take(self, positions: Positions) -> "Arrived":
        """Those at some positions, in that order."""
        indices = pa.array(positions)
        anchors = {gate: held[positions] for gate, held in self.anchors.items()}
        return Arrived(self.rows.take(indices), self.version, self.arrived_us.take(indices), anchors)

    def slice(self, offset: int, length: int) -> "Arrived":
        """`length` of them from `offset`."""
        anchors = {gate: held[offset : offset + length] for gate, held in self.anchors.items()}
        arrived_us = self.arrived_us.slice(offset, length)
        return Arrived(self.rows.slice(offset, length), self.version, arrived_us, anchors)

    def filter(self, mask: pa.Array) -> "Arrived":
        """Those where `mask` is true."""
        kept = mask.to_numpy(zero_copy_only=False)
        anchors = {gate: held[kept] for gate, held in self.anchors.items()}
        return Arrived(self.rows.filter(mask), self.version, self.arrived_us.filter(mask), anchors)

    def changed(self, rows: Rows, version: int) -> "Arrived":
        """The same tokens with new rows."""
        return Arrived(rows, version, self.arrived_us, self.anchors)


def in_token_order(pieces: Sequence[Arrived]) -> Arrived:
    """Tokens of several pieces as one, in token order."""
    if len(pieces) == 1:
        return pieces[0]
    rows = Rows.concat([piece.rows for piece in pieces])
    arrived = pa.concat_arrays([piece.arrived_us for piece in pieces])
    gates = set(pieces[0].anchors).intersection(*(piece.anchors for piece in pieces))
    anchors = {gate: np.concatenate([piece.anchors[gate] for piece in pieces]) for gate in sorted(gates)}
    order = pc.sort_indices(rows.tokens).to_numpy().astype(np.int64)
    return Arrived(rows, pieces[0].version, arrived, anchors).take(order)
