"""Inserting rows in bulk, the way each driver is fastest at, and finding out which of them are at fault."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.converting import column_of, converted
from elspeth_dagster.plugins.sinks.databases.faults import RowsRefusedError, meaning
from elspeth_dagster.plugins.sinks.file import Layout
from elspeth_dagster.plugins.sinks.types import ColumnType
from elspeth_dagster.rows.rows import Rows

_SAVEPOINT = "elspeth_rows"


class Loader(ABC):
    """Puts rows into a table, as part of a transaction that somebody else ends.

    Attributes:
        table: The table's name.
        layout: Which field goes to which column, and the columns' types.
    """

    def __init__(self, connection: sa.Connection, table: str, layout: Layout) -> None:
        self._table = _quoted(connection, table)
        owned = [
            (name, header, ColumnType(kind))
            for name, header, kind in zip(layout.columns, layout.headers, layout.types, strict=True)
            if name is not None
        ]
        self._owned = owned
        self._columns = ", ".join(_quoted(connection, header) for _, header, _ in owned)
        self._cursor: Any = connection.connection.cursor()

    def load(self, rows: Rows) -> dict[int, Reason]:
        """Inserts rows in their order; gives position to reason of those that the database refused.

        Raises:
            Exception: The driver's own, when something else than rows is at fault.
        """
        if not rows.num_rows:
            return {}
        if not self._owned:
            return {place: {"reason": "no_columns"} for place in range(rows.num_rows)}
        arrays = [converted(column_of(rows, name), kind) for name, _, kind in self._owned]
        reasons = self._known_faults(arrays)
        self._prepare(arrays)
        for start, stop in _runs(rows.num_rows, reasons):
            reasons |= self._halved(start, stop)
        return reasons

    def _halved(self, start: int, stop: int) -> dict[int, Reason]:
        """Inserts a range of the rows; where that fails, its halves."""
        self._cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            self._insert(start, stop)
        except Exception as error:
            found = meaning(error)
            if not isinstance(found, RowsRefusedError):
                raise
            self._cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            self._cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
            if stop - start == 1:
                return {start: {"reason": "refused_by_database", "detail": found.detail}}
            middle = (start + stop) // 2
            # The first of several rows that exclude each other is the one that stays.
            return self._halved(start, middle) | self._halved(middle, stop)
        self._cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        return {}

    def _known_faults(self, arrays: Sequence[pa.Array]) -> dict[int, Reason]:  # noqa: ARG002 - see PostgreSQL
        """What can be told without asking the database."""
        return {}

    @abstractmethod
    def _prepare(self, arrays: Sequence[pa.Array]) -> None:
        """Takes the columns of what is to be inserted."""

    @abstractmethod
    def _insert(self, start: int, stop: int) -> None:
        """Inserts a range of it."""


class SqliteLoader(Loader):
    """`executemany` with tuples."""

    def _prepare(self, arrays: Sequence[pa.Array]) -> None:
        cells = [_cells(array) for array in arrays]
        self._rows = list(zip(*cells, strict=True))
        marks = ", ".join("?" * len(arrays))
        self._statement = f"INSERT INTO {self._table} ({self._columns}) VALUES ({marks})"  # noqa: S608 - quoted

    def _insert(self, start: int, stop: int) -> None:
        self._cursor.executemany(self._statement, self._rows[start:stop])


class PostgresqlLoader(Loader):
    """`COPY` of CSV text, which Arrow writes."""

    def _known_faults(self, arrays: Sequence[pa.Array]) -> dict[int, Reason]:
        """Text with NUL characters, which PostgreSQL cannot store."""
        reasons: dict[int, Reason] = {}
        for (name, _, _), array in zip(self._owned, arrays, strict=True):
            if pa.types.is_string(array.type):
                found = pc.indices_nonzero(pc.match_substring(array, "\0").fill_null(False))
                for place in found.to_pylist():
                    reasons.setdefault(place, {"reason": "nul_character", "field": name})
        return reasons

    def _prepare(self, arrays: Sequence[pa.Array]) -> None:
        columns = [_hex(array) if pa.types.is_binary(array.type) else array for array in arrays]
        self._values = pa.table(columns, names=[str(number) for number in range(len(columns))])
        self._statement = f"COPY {self._table} ({self._columns}) FROM STDIN WITH (FORMAT csv)"
        # A constraint that is deferred to the commit would fail there, where no row can be told from another.
        self._cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def _insert(self, start: int, stop: int) -> None:
        from pyarrow import csv  # noqa: PLC0415 - only this needs it

        buffer = io.BytesIO()
        # Text is quoted and null is not, which is how COPY tells empty text from null.
        options = csv.WriteOptions(include_header=False, quoting_style="needed")
        csv.write_csv(self._values.slice(start, stop - start), buffer, options)
        with self._cursor.copy(self._statement) as copy:
            copy.write(buffer.getbuffer())


def loader(connection: sa.Connection, table: str, layout: Layout) -> Loader:
    """The loader for a connection's database."""
    kind = SqliteLoader if connection.dialect.name == "sqlite" else PostgresqlLoader
    return kind(connection, table, layout)


def _runs(length: int, left_out: dict[int, Reason]) -> Iterator[tuple[int, int]]:
    """The ranges of positions between those that are left out."""
    start = 0
    for place in (*sorted(left_out), length):
        if place > start:
            yield start, place
        start = place + 1


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


def _cells(array: pa.Array) -> list[Any]:
    """What SQLite stores: dates and times as ISO text."""
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        array = array.cast(pa.string())
    return array.to_pylist()  # type: ignore[no-any-return]


def _hex(array: pa.Array) -> pa.Array:
    return pa.array(
        [None if value is None else f"\\x{value.hex()}" for value in array.to_pylist()], pa.string()
    )
