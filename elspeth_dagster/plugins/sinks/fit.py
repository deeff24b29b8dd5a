"""Whether a row fits a sink by itself, whatever other rows there are (settings reference, 7.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.facts import locate_groups
from elspeth_dagster.plugins.sinks.kinds import Kind, kinds_of
from elspeth_dagster.rows.fields import FieldSpec, FieldType, Schema
from elspeth_dagster.rows.rows import Rows, Shape

_ACCEPTED = {
    FieldType.INT: {Kind.INT, Kind.WIDE_INT, Kind.BIG_INT},
    FieldType.FLOAT: {Kind.FLOAT, Kind.INT, Kind.WIDE_INT, Kind.BIG_INT},
    FieldType.STR: {Kind.STRING},
    FieldType.BOOL: {Kind.BOOL},
    FieldType.ANY: set(Kind),
}
STORABLE: dict[FieldType, set[Kind]] = {
    FieldType.INT: {Kind.INT, Kind.WIDE_INT},
    FieldType.FLOAT: {Kind.FLOAT, Kind.INT},
    FieldType.STR: {Kind.STRING},
    FieldType.BOOL: {Kind.BOOL},
}
"""What a typed file's column of a declared type can hold, without loss."""


@dataclass(frozen=True)
class Fit:
    """What a sink asks of each row that comes by a normal edge.

    Attributes:
        schema: The sink's schema.
        closed: Whether keys that the schema does not declare are refused.
        validate: Whether declared types and nulls are checked (`validate_input`).
        typed: Whether the file's columns have types, so that values must be of the declared ones anyhow.
    """

    schema: Schema
    closed: bool
    validate: bool = False
    typed: bool = False

    def misfits(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:
        """Position to reason of every row that does not fit; rows that were diverted here all do."""
        reasons: dict[int, Reason] = {}
        for located in locate_groups(rows, diverted):
            group = located.group
            reason = None if group.diverted else self.shape_reason(group.shape)
            if reason is not None:
                reasons.update(dict.fromkeys(located.places(rows.num_rows), reason))
        for spec in self.schema.fields if self.validate or self.typed else ():
            for position, reason in self._type_reasons(rows, spec):
                if diverted is None or not diverted[position].as_py():
                    reasons.setdefault(position, reason)
        return reasons

    def shape_reason(self, shape: Shape) -> Reason | None:
        """Why rows with these keys do not fit, or `None`."""
        keys = set(shape)
        for name in self._required():
            if name not in keys:
                return {"reason": "missing_field", "field": name}
        if self.closed:
            declared = {spec.name for spec in self.schema.fields}
            unknown = [name for name in shape if name not in declared]
            if unknown:
                return {"reason": "unknown_field", "field": unknown[0]}
        return None

    def _required(self) -> Iterable[str]:
        yield from (spec.name for spec in self.schema.fields if spec.required)
        yield from self.schema.required_fields

    def _type_reasons(self, rows: Rows, spec: FieldSpec) -> Iterable[tuple[int, Reason]]:
        column = rows.columns.get(spec.name)
        if column is None:
            return
        accepted = set(Kind)
        if self.validate:
            accepted &= _ACCEPTED[spec.type]
            if not spec.required or spec.type is FieldType.ANY:
                accepted.add(Kind.NULL)
            else:
                accepted.discard(Kind.NULL)
        if self.typed and spec.type in STORABLE:
            accepted &= STORABLE[spec.type] | {Kind.NULL}
        kinds = kinds_of(column)
        wrong = ~np.isin(kinds, [int(kind) for kind in accepted])
        for position in np.flatnonzero(wrong):
            # A key that is absent looks like a null here, and is for `shape_reason` to judge.
            kind = Kind(int(kinds[position]))
            if kind is Kind.NULL and spec.name not in rows.shapes[rows.shape[int(position)].as_py()]:
                continue
            yield int(position), wrong_type(spec.name, spec.type.value, kind)


def wrong_type(field: str, expected: str, found: Kind) -> Reason:
    """The reason of a value that its column cannot take."""
    return {"reason": "wrong_type", "field": field, "expected": expected, "found": found.label}


def reason_text(reason: Mapping[str, Any]) -> str:
    """A reason for people to read: `wrong_type: field qty, expected int, found text`."""
    details = ", ".join(f"{key} {value}" for key, value in reason.items() if key != "reason")
    return f"{reason['reason']}: {details}" if details else str(reason["reason"])
