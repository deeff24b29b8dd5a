"""The types of a typed file's columns: what has been seen of each decides, in output order."""

from dataclasses import dataclass, replace
from enum import Enum

import pyarrow as pa

from elspeth_dagster.plugins.sinks.kinds import Kind
from elspeth_dagster.rows.fields import FieldType


class ColumnType(Enum):
    """What a column of a typed file holds."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BYTES = "bytes"
    DECIMAL = "decimal"
    """Exact decimal numbers, as text."""
    JSON = "json"
    """Lists, objects and whatever does not go together, as JSON text."""

    @property
    def arrow(self) -> pa.DataType:
        """The type as Arrow has it."""
        return _ARROW.get(self, pa.string())


_ARROW = {
    ColumnType.BOOL: pa.bool_(),
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
    ColumnType.BYTES: pa.binary(),
}
_OF_KIND = {
    Kind.BOOL: ColumnType.BOOL,
    Kind.INT: ColumnType.INT,
    Kind.WIDE_INT: ColumnType.INT,
    Kind.FLOAT: ColumnType.FLOAT,
    Kind.STRING: ColumnType.STRING,
    Kind.DATE: ColumnType.DATE,
    Kind.TIMESTAMP: ColumnType.TIMESTAMP,
    Kind.BYTES: ColumnType.BYTES,
    Kind.DECIMAL: ColumnType.DECIMAL,
    Kind.CONTAINER: ColumnType.JSON,
}
DECLARED = {
    FieldType.INT: ColumnType.INT,
    FieldType.FLOAT: ColumnType.FLOAT,
    FieldType.STR: ColumnType.STRING,
    FieldType.BOOL: ColumnType.BOOL,
}
"""The column type of each declared type; `any` has none."""


@dataclass(frozen=True)
class Seen:
    """What is known of a column's values so far.

    Attributes:
        type: The type that holds them all, `None` before the first.
        wide: Whether there was an integer that a float cannot hold exactly.
        declared: Whether the schema fixes the type.
        mixed: Whether it holds JSON text because its values do not go together.
        allowed: The types that it can have at all, `None` when there is no such limit.
    """

    type: ColumnType | None = None
    wide: bool = False
    declared: bool = False
    mixed: bool = False
    allowed: frozenset[ColumnType] | None = None

    def join(self, kind: Kind, *, lenient: bool) -> "Seen | None":
        """What is known with one more kind of value, `None` if the column cannot take it.

        Args:
            kind: The kind.
            lenient: Whether the column may become one of JSON text.
        """
        if kind is Kind.NULL or self.mixed:
            return self
        joined = self._joined(kind)
        if joined is None and lenient and self._allows(ColumnType.JSON):
            return replace(self, type=ColumnType.JSON, mixed=True)
        return joined

    def _allows(self, kind: ColumnType) -> bool:
        return self.allowed is None or kind in self.allowed

    def _joined(self, kind: Kind) -> "Seen | None":
        found = _OF_KIND.get(kind)
        wide = self.wide or kind is Kind.WIDE_INT
        if found is None:
            return None
        if self.type is None or self.type is found:
            return replace(self, type=found, wide=wide) if self._allows(found) else None
        numbers = {self.type, found} == {ColumnType.INT, ColumnType.FLOAT}
        if not numbers or wide or (self.declared and self.type is ColumnType.INT):
            return None
        return replace(self, type=ColumnType.FLOAT, wide=wide) if self._allows(ColumnType.FLOAT) else None

    @property
    def column_type(self) -> ColumnType:
        """The column's type; text for a column without values."""
        return self.type or ColumnType.STRING
