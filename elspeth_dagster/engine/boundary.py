"""The source boundary: records in, valid rows and quarantined records out. Nothing is coerced behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from elspeth_dagster.engine.boundary_cells import cross_cells
from elspeth_dagster.engine.boundary_values import cross_values
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.rows.fields import Schema, SchemaMode
from elspeth_dagster.rows.learned import TypesState
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens_at

__all__ = ["Boundary", "Crossed", "TypesState", "fold_records"]


@dataclass(frozen=True, eq=False)
class Crossed:
    """Records that came to the boundary.

    Attributes:
        rows: Those that are valid, coerced.
        quarantined: The others, as a quarantine sink gets them: as received, or what can be shown of them.
        reasons: Position in `quarantined` to the reason, for every one of them.
        types: What is learned behind them.
    """

    rows: Rows
    quarantined: Rows
    reasons: Mapping[int, Reason]
    types: TypesState


@dataclass(frozen=True)
class Boundary:
    """The boundary of a source, at one place of its stream.

    Attributes:
        schema: The source's schema.
        types: What all records before have taught.
    """

    schema: Schema
    types: TypesState

    def cross(self, records: Records) -> Crossed:
        """Validates and coerces records; each gets the token of its index.

        The keys of a valid row are the declared fields in the schema's order, then its others in theirs.
        """
        if records.form is Form.CELLS:
            return Crossed(*cross_cells(records, self.schema), self.types)
        crossed = cross_values(records, self.schema, self.types)
        rejected = crossed.rejected.values()
        return Crossed(
            Rows.from_dicts(_tokens(records, crossed.valid), list(crossed.valid.values())),
            Rows.from_dicts(_tokens(records, crossed.rejected), [record.row for record in rejected]),
            dict(enumerate(record.reason for record in rejected)),
            crossed.types,
        )


def fold_records(schema: Schema, types: TypesState, records: Records) -> TypesState:
    """What is learned behind some records, exactly as `Boundary.cross` learns it."""
    if records.form is Form.CELLS or schema.mode is SchemaMode.FIXED:
        return types
    return cross_values(records, schema, types).types


def _tokens(records: Records, positions: Mapping[int, object]) -> pa.Array:
    return root_tokens_at(pa.array([records.first + position for position in positions], pa.int64()))
