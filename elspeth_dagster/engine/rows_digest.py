"""One hash over many rows, whatever the pieces that they come in."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.plugins.sinks.text import data_of
from elspeth_dagster.rows.canonical import canonical_objects
from elspeth_dagster.rows.rows import Rows


def canonical_lines(rows: Rows) -> pa.Array:
    """Each row's canonical object with a comma behind it (string)."""
    cells = {name: column.canonical for name, column in rows.columns.items()}
    return pc.binary_join_element_wise(canonical_objects(cells, rows.shapes, rows.shape), ",", "")


class RowsDigest:
    """SHA-256 of rows as one array in canonical JSON (RFC 8785; settings reference, 7.6)."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"[")
        self._begun = False

    def add(self, lines: pa.Array) -> None:
        """Takes the next rows, as `canonical_lines` gives them."""
        if len(lines):
            if self._begun:
                self._digest.update(b",")
            self._begun = True
            self._digest.update(memoryview(data_of(lines))[:-1])

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        whole = self._digest.copy()
        whole.update(b"]")
        return whole.hexdigest()
