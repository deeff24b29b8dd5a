"""The table that a sink fills: what an existing one can hold, and how a new one is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.columns import ColumnsFold
from elspeth_dagster.plugins.sinks.file import Layout
from elspeth_dagster.plugins.sinks.headers import Headers
from elspeth_dagster.plugins.sinks.types import ColumnType, Seen

_LONGEST_NAME_BYTES = 63
_TEXT = frozenset(
    {ColumnType.STRING, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.JSON}
)
_NUMBERS = frozenset({ColumnType.INT, ColumnType.FLOAT, ColumnType.DECIMAL})
_HOLDS: Mapping[str, Seen] = {
    "bool": Seen(ColumnType.BOOL, declared=True, allowed=frozenset({ColumnType.BOOL})),
    "int": Seen(ColumnType.INT, declared=True, allowed=frozenset({ColumnType.INT})),
    "float": Seen(ColumnType.FLOAT, declared=True, allowed=frozenset({ColumnType.FLOAT})),
    "bytes": Seen(ColumnType.BYTES, declared=True, allowed=frozenset({ColumnType.BYTES})),
    "number": Seen(allowed=_NUMBERS),
    "text": Seen(allowed=_TEXT),
    "json": Seen(ColumnType.JSON, mixed=True),
    "any": Seen(),
}
"""What each family of column types can hold; of the family `any` the database itself is the judge."""
_FAMILIES: Sequence[tuple[type[sa.types.TypeEngine[Any]], str]] = (
    (sa.Boolean, "bool"),
    (sa.Integer, "int"),
    (sa.Float, "float"),
    (sa.Numeric, "number"),
    (sa.JSON, "json"),
    (sa.String, "text"),
    (sa.LargeBinary, "bytes"),
)
_SQL_TYPES: Mapping[ColumnType, sa.types.TypeEngine[Any]] = {
    ColumnType.BOOL: sa.Boolean(),
    ColumnType.INT: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    ColumnType.FLOAT: sa.Float().with_variant(postgresql.DOUBLE_PRECISION(), "postgresql"),
    ColumnType.DATE: sa.Date(),
    ColumnType.TIMESTAMP: sa.TIMESTAMP(timezone=True),
    ColumnType.BYTES: sa.LargeBinary(),
    # SQLite would make floats of decimal numbers.
    ColumnType.DECIMAL: sa.Text().with_variant(sa.Numeric(), "postgresql"),
}


@dataclass(frozen=True)
class ExistingTable:
    """A table as it was before a run touched it.

    Attributes:
        columns: Each column's name and the family of its type.
    """

    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _ in self.columns)

    @property
    def seen(self) -> dict[str, Seen]:
        """What each column can hold."""
        return {name: _HOLDS[family] for name, family in self.columns}

    @classmethod
    def find(cls, connection: sa.Connection, table: str) -> "ExistingTable | None":
        """The table of that name, if there is one."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(table):
            return None
        columns = inspector.get_columns(table)
        return cls(tuple((str(column["name"]), _family(column["type"])) for column in columns))


def _family(kind: sa.types.TypeEngine[Any]) -> str:
    return next((family for base, family in _FAMILIES if isinstance(kind, base)), "any")


@dataclass(frozen=True)
class ColumnNames(Headers):
    """Gives the column of a field.

    Attributes:
        folds_case: Whether names that differ only in the case of ASCII letters are one, as in SQLite.
        known: The columns that there are, by their folded names.
    """

    folds_case: bool = False
    known: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """The column that a field goes to."""
        if not self.folds_case:
            return name
        folded = "".join(letter.lower() if letter.isascii() else letter for letter in name)
        return self.known.setdefault(folded, name)


@dataclass
class TableColumns(ColumnsFold):
    """Collects the columns of a table.

    Attributes:
        is_sqlite: Whether names may be of any length.
    """

    is_sqlite: bool = False

    def _impossible(self, name: str, header: str) -> Reason | None:
        if self.existing is not None and header not in self.existing:
            return {"reason": "not_in_existing_table", "field": name}
        too_long = not self.is_sqlite and len(header.encode()) > _LONGEST_NAME_BYTES
        if not header or "\0" in header or too_long:
            return {"reason": "impossible_column_name", "field": name}
        return None


def create_table(connection: sa.Connection, table: str, layout: Layout, required: frozenset[str]) -> None:
    """Makes a table with a layout's columns; those of required fields take no NULL."""
    columns = [
        sa.Column(
            sa.sql.quoted_name(header, quote=True),
            _SQL_TYPES.get(ColumnType(kind), sa.Text()),
            nullable=name not in required,
        )
        for name, header, kind in zip(layout.columns, layout.headers, layout.types, strict=True)
    ]
    sa.Table(sa.sql.quoted_name(table, quote=True), sa.MetaData(), *columns).create(connection)


def drop_table(connection: sa.Connection, table: str) -> None:
    """Removes a table, if there is one."""
    quoted = sa.Table(sa.sql.quoted_name(table, quote=True), sa.MetaData())
    connection.execute(sa.schema.DropTable(quoted, if_exists=True))
