"""Columns of rows as columns of a typed file or table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.plugins.sinks.types import ColumnType
from elspeth_dagster.rows.rows import Column, Rows

_CHANGES: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.DECIMAL: str, ColumnType.FLOAT: float}


def column_of(rows: Rows, name: str | None) -> Column:
    """The values of a field, nulls for a column that no field goes to."""
    column = None if name is None else rows.columns.get(name)
    return Column(pa.nulls(rows.num_rows)) if column is None else column


def converted(column: Column, kind: ColumnType) -> pa.Array:
    """A column's values in the type of the file's column, which can hold them all."""
    values = column.values
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind.arrow)
    if kind is ColumnType.JSON:
        texts = column.json_texts
        return pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string()))
    if not column.is_json:
        # Arrow's check refuses every integer past 2^53, also those that a float holds exactly.
        return values.cast(kind.arrow, safe=kind is not ColumnType.FLOAT)
    change = _CHANGES.get(kind)
    cells: Sequence[Any] = column.to_python()
    if change is not None:
        cells = [None if cell is None else change(cell) for cell in cells]
    return pa.array(cells, kind.arrow)
