"""The boundary for JSON records and a plugin's values: one record after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from elspeth_dagster.engine import boundary_reasons as reasons
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.rows.coerce import coerce_value
from elspeth_dagster.rows.errors import CoercionError, InvalidValueError
from elspeth_dagster.rows.fields import Schema, SchemaMode
from elspeth_dagster.rows.learned import TypesFold, TypesState
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.salvage import salvage_json
from elspeth_dagster.rows.values import decode_value, parse_json

Row = dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A record that is set aside, as a quarantine sink gets it."""

    row: Row
    reason: Reason


@dataclass
class ValuesCrossed:
    """Records that came to the boundary, by their position.

    Attributes:
        valid: Coerced rows.
        rejected: The others.
        types: What is learned behind them.
    """

    types: TypesState
    valid: dict[int, Row] = field(default_factory=dict)
    rejected: dict[int, Rejected] = field(default_factory=dict)


def cross_values(records: Records, schema: Schema, types: TypesState) -> ValuesCrossed:
    """Takes records over the boundary in their order, each with what those before have taught."""
    fold = TypesFold(types)
    crossing = _Crossing(schema, fold, _from_json if records.form is Form.JSON else _from_values)
    crossed = ValuesCrossed(types)
    lines, problems = records.lines.to_pylist(), records.problems.to_pylist()
    for position, raw in enumerate(records.raw.to_pylist()):
        problem = problems[position]
        if problem is not None:
            shown = records.problem_records[position].as_py()
            row = orjson.loads(shown) if records.form is Form.JSON else decode_value(shown)
            crossed.rejected[position] = Rejected(row, reasons.of_problem(problem))
            continue
        result = crossing.cross(raw, lines[position])
        if isinstance(result, Rejected):
            crossed.rejected[position] = result
        else:
            crossed.valid[position] = result
    crossed.types = fold.state
    return crossed


@dataclass
class _Crossing:
    schema: Schema
    fold: TypesFold
    parse: Callable[[bytes, int | None], Any]

    def __post_init__(self) -> None:
        self._declared = frozenset(self.schema.names)
        self._learns = self.schema.mode is not SchemaMode.FIXED

    def cross(self, raw: bytes, line: int | None) -> Row | Rejected:
        """One record."""
        value = self.parse(raw, line)
        if isinstance(value, Rejected):
            return value
        if not isinstance(value, dict):
            return Rejected({"_raw": value}, {"reason": "not_an_object", "error": reasons.shown(value)})
        row, extras, errors = self._coerce(value) if self._declared else (value, value, [])
        if errors:
            return Rejected(value, reasons.of_fields(errors))
        conflicts = self.fold.add(extras) if self._learns else []
        return Rejected(row, reasons.of_conflicts(conflicts)) if conflicts else row

    def _coerce(self, value: Row) -> tuple[Row, Row, list[Reason]]:
        """The coerced row, its undeclared fields, and what is wrong with it."""
        row: Row = {}
        errors: list[Reason] = []
        for spec in self.schema.fields:
            if spec.name not in value and spec.required:
                errors.append(reasons.missing(spec))
                continue
            try:
                row[spec.name] = coerce_value(value.get(spec.name), spec.type, spec.required)
            except CoercionError as error:
                errors.append(reasons.wrong_value(spec, error.reason))
        extras = {name: item for name, item in value.items() if name not in self._declared}
        if self.schema.mode is SchemaMode.FIXED:
            errors.extend(reasons.undeclared(name) for name in extras)
        return row | extras, extras, errors


def _from_values(raw: bytes, line: int | None) -> Any:  # noqa: ARG001 - called like `_from_json`
    return decode_value(raw.decode())


def _from_json(raw: bytes, line: int | None) -> Any:
    """The value, or the rejection of a text that has none that a row can hold."""
    try:
        return parse_json(raw)
    except InvalidValueError as error:
        why = error.reason
    try:
        shown = salvage_json(raw)
    except InvalidValueError:
        text = raw.decode("utf-8", "backslashreplace")
        return Rejected(
            {"__raw_line__": text, "__line_number__": line}, {"reason": "invalid_json", "error": why}
        )
    row = shown if isinstance(shown, dict) else {"_raw": shown}
    return Rejected(row, {"reason": "invalid_value", "error": why})
