"""The `database` sink (settings reference, 7.5): rows into a table, exactly once."""

from enum import Enum
from functools import cached_property
from typing import ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from elspeth_dagster.plugins.base import Options
from elspeth_dagster.plugins.sinks.databases.connection import Database
from elspeth_dagster.plugins.sinks.databases.tables import ColumnNames, ExistingTable, TableColumns
from elspeth_dagster.plugins.sinks.databases.url import DatabaseUrl, DatabaseUrlError, Resolve
from elspeth_dagster.plugins.sinks.errors import SinkSettingsError
from elspeth_dagster.plugins.sinks.facts import Facts, facts_of
from elspeth_dagster.plugins.sinks.file import LaidOutSink
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.plugins.sinks.text import Encoding
from elspeth_dagster.plugins.sinks.typed import TypedFold
from elspeth_dagster.rows.fields import OBSERVED, Schema, SchemaMode
from elspeth_dagster.rows.rows import Rows

_LONGEST_TABLE_BYTES = 63


class IfExists(Enum):
    """What happens to a table that is there already."""

    APPEND = "append"
    REPLACE = "replace"


class DatabaseOptions(Options):
    """Options of the `database` sink."""

    url: str = Field(description="SQLAlchemy URL of a SQLite file or a PostgreSQL database.", repr=False)
    table: str = Field(description="The table.")
    if_exists: IfExists = Field(IfExists.APPEND, description="Whether rows are added or the table made anew.")
    validate_input: bool = Field(default=False, description="Whether values must be of the schema's types.")

    @field_validator("table")
    @classmethod
    def _usable(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the table's name is blank")
        if "\0" in value or len(value.encode()) > _LONGEST_TABLE_BYTES:
            raise ValueError(f"a table's name has at most {_LONGEST_TABLE_BYTES} bytes, and no NUL")
        return value


class DatabaseSink(LaidOutSink):
    """Puts rows into a table of SQLite or PostgreSQL."""

    Options = DatabaseOptions
    kind: ClassVar[str] = "database"

    def __init__(self, options: DatabaseOptions, schema: Schema = OBSERVED) -> None:
        super().__init__(options, schema)
        try:
            self.url = DatabaseUrl.parse(options.url)
        except DatabaseUrlError as error:
            raise SinkSettingsError("url", str(error)) from error

    @property
    def table(self) -> str:
        """The table's name."""
        return str(self.options.table)

    @property
    def replaces(self) -> bool:
        """Whether the table is made anew."""
        return bool(self.options.if_exists is IfExists.REPLACE)

    def target(self, resolve: Resolve) -> str:
        """The table, whoever connects to it."""
        return f"{self.table}@{self.url.place(resolve)}"

    def shown(self, resolve: Resolve) -> str:
        """The table and its database, without a password."""
        return f"db://{self.table}@{self.url.shown(resolve)}"

    def connectable(self, resolve: Resolve) -> str:
        """The table and its database, with the password: for `read_artifact`, not to be shown."""
        url = self.url.connectable(resolve)
        return f"db://{self.table}@{url.render_as_string(hide_password=False)}"

    def connect(self, resolve: Resolve) -> Database:
        """The database, to which nothing is connected yet."""
        return Database(self.url, resolve)

    @cached_property
    def fit(self) -> Fit:
        """Required fields, declared types, no unknown fields for a fixed schema."""
        closed = self.schema.mode is SchemaMode.FIXED
        return Fit(self.schema, closed=closed, validate=self.options.validate_input, typed=True)

    def facts(self, rows: Rows, diverted: pa.Array | None) -> Facts:
        """With the kinds of the values, from which the columns' types are folded."""
        return facts_of(rows, diverted, kinds=True)

    def fold(self, existing: ExistingTable | None, *, takes_any: bool) -> TypedFold:
        """Collects columns and types.

        Args:
            existing: The table that rows are added to; `None` when a new one is made.
            takes_any: Whether a divert edge leads to the sink.
        """
        sqlite = self.url.is_sqlite
        names = ColumnNames(folds_case=sqlite)
        spelled = None if existing is None else tuple(map(names.of, existing.names))
        declared = [name for name in self.schema.names if spelled is None or names.of(name) in spelled]
        columns = TableColumns(names, Encoding("utf-8"), declared, spelled, is_sqlite=sqlite)
        return TypedFold(columns, self.schema, takes_any, {} if existing is None else existing.seen)

    def required(self, *, takes_any: bool) -> frozenset[str]:
        """The fields whose columns take no NULL in a table that is made here."""
        if self.schema.mode is not SchemaMode.FIXED or takes_any:
            return frozenset()
        return frozenset(spec.name for spec in self.schema.fields if spec.required)
