"""Records as received: what a source yields, and what the `records` segments hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

import numpy as np
import orjson
import pyarrow as pa

_META = b"elspeth.records"
_PREFIX = "c:"


class Form(Enum):
    """How the records of a source are kept.

    CELLS: text cells under a header. JSON: the JSON text as received, in which `$elspeth` is a key like any
    other. VALUES: text that `rows.values.encode_value` made of values that a plugin handed over.
    """

    CELLS = "cells"
    JSON = "json"
    VALUES = "values"


@dataclass(frozen=True, eq=False)
class Records:
    """Contiguous records of a source, before any validation.

    Attributes:
        form: How they are kept.
        first: Index of the first record in its source, from 0.
        lines: Physical line on which each record ended (int64), null where there is none.
        arrived_us: Arrival time of each record in microseconds of the run's own clock (int64).
        cells: CELLS only: text per header column, under final field names in header order; null in every
            column exactly where the record could not be cut.
        raw: JSON and VALUES: the text of each record (binary). CELLS: the bytes of a record that could not
            be cut.
        problems: Why a record could not be cut (string), null where it could.
        problem_records: For those, the object that a quarantine sink gets, as JSON text (VALUES: as
            `rows.values.encode_value` writes it).
        originals: Final field name to original header.
    """

    form: Form
    first: int
    lines: pa.Array
    arrived_us: pa.Array
    cells: Mapping[str, pa.Array]
    raw: pa.Array
    problems: pa.Array
    problem_records: pa.Array
    originals: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_records(self) -> int:
        """How many records there are."""
        return len(self.lines)

    def slice(self, offset: int, length: int) -> "Records":
        """`length` records from position `offset`."""
        return Records(
            self.form,
            self.first + offset,
            self.lines.slice(offset, length),
            self.arrived_us.slice(offset, length),
            {name: cells.slice(offset, length) for name, cells in self.cells.items()},
            self.raw.slice(offset, length),
            self.problems.slice(offset, length),
            self.problem_records.slice(offset, length),
            self.originals,
        )

    def to_table(self) -> pa.Table:
        """A table that `from_table` turns back into equal records."""
        fixed = {
            "record": pa.array(np.arange(self.first, self.first + self.num_records, dtype=np.int64)),
            "line": self.lines,
            "arrived_us": self.arrived_us,
            "raw": self.raw,
            "problem": self.problems,
            "problem_record": self.problem_records,
        }
        meta = {"form": self.form.value, "first": self.first, "originals": dict(self.originals)}
        table = pa.table(fixed | {_PREFIX + name: cells for name, cells in self.cells.items()})
        return table.replace_schema_metadata({_META: orjson.dumps(meta)})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The records that `to_table` wrote."""
        meta = orjson.loads(table.schema.metadata[_META])
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        return cls(
            Form(meta["form"]),
            meta["first"],
            columns["line"],
            columns["arrived_us"],
            {name.removeprefix(_PREFIX): a for name, a in columns.items() if name.startswith(_PREFIX)},
            columns["raw"],
            columns["problem"],
            columns["problem_record"],
            meta["originals"],
        )
