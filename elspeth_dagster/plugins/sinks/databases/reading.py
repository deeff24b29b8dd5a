"""Reading a table back as it was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.sinks.databases.connection import Database
from elspeth_dagster.plugins.sinks.databases.tables import ExistingTable
from elspeth_dagster.plugins.sinks.databases.url import DatabaseUrl
from elspeth_dagster.plugins.sinks.types import ColumnType
from elspeth_dagster.rows.values import build_column


class NoSuchTableError(ElspethError):
    """There is no table of that name."""


def read_table(url: DatabaseUrl, table: str, types: Mapping[str, str]) -> pa.Table:
    """All rows of a table.

    Args:
        url: The database; a SQLite file's path as it is.
        table: The table.
        types: What the columns hold that a run wrote (`ColumnType`), where the database tells less.

    Raises:
        NoSuchTableError: There is none.
        ConnectionLostError: The database cannot be reached.
        SurroundingsError: It does not let us.
    """
    database = Database(url, Path)
    if database.file is not None and not database.file.exists():
        raise NoSuchTableError(f"there is no file {database.file}")
    with database.transaction(read_only=True) as connection:
        found = ExistingTable.find(connection, table)
        if found is None:
            raise NoSuchTableError(f"there is no table {table!r}")
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in found.names]
        query = sa.select(*columns).select_from(sa.table(table))
        rows = connection.execute(query).all()
    cells = list(zip(*rows, strict=True)) or [()] * len(found.names)
    arrays = [_array(values, types.get(name)) for name, values in zip(found.names, cells, strict=True)]
    return pa.table(arrays, names=list(found.names))


def _array(values: Sequence[Any], kind: str | None) -> pa.Array:
    wanted = ColumnType(kind) if kind is not None else None
    if wanted is ColumnType.DECIMAL:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    if wanted is None:
        plain = [
            value if isinstance(value, bool | int | float | str | bytes | None) else str(value)
            for value in values
        ]
        array, is_json = build_column(plain)
        return array if not is_json else pa.array([None if v is None else str(v) for v in plain], pa.string())
    texts = any(isinstance(value, str) for value in values)
    if texts and wanted in {ColumnType.DATE, ColumnType.TIMESTAMP}:
        return pa.array(values, pa.string()).cast(wanted.arrow)
    if wanted is ColumnType.BOOL:
        values = [None if value is None else bool(value) for value in values]
    return pa.array(values, wanted.arrow)
