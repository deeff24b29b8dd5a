"""What the built-in transforms share."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field

from elspeth_dagster.plugins.base import Options, Reason
from elspeth_dagster.plugins.sinks.fit import Fit
from elspeth_dagster.rows.fields import Schema, SchemaMode
from elspeth_dagster.rows.rows import Rows


def _identifiers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not a field name: letters, digits and _, no digit first")
    if len(set(names)) < len(names):
        raise ValueError("a field is listed twice")
    return names


FieldNames = Annotated[tuple[str, ...], AfterValidator(_identifiers)]


class TransformOptions(Options):
    """Options that every built-in transform takes."""

    required_input_fields: FieldNames = Field(
        (), description="Fields that the node before must guarantee; replaces schema.required_fields."
    )


class ValidatedOptions(TransformOptions):
    """Options of a transform that can hold its input against its schema."""

    validate_input: bool = Field(
        default=False, description="Whether a row that does not fit the schema is an error of that row."
    )


def misfits(rows: Rows, schema: Schema) -> dict[int, Reason]:
    """Position to reason of the rows that do not fit a schema; of other types, only an int fits a float."""
    if schema.mode is SchemaMode.OBSERVED:
        return {}
    return Fit(schema, closed=schema.mode is SchemaMode.FIXED, validate=True).misfits(rows, None)


def kept(rows: Rows, errors: Mapping[int, Reason]) -> Rows:
    """The rows without those that are in error."""
    return rows.filter(keep_mask(rows.num_rows, errors)) if errors else rows


def keep_mask(count: int, errors: Mapping[int, Reason]) -> pa.Array:
    """True for each of `count` positions but those in error."""
    keep = np.ones(count, dtype=bool)
    keep[list(errors)] = False
    return pa.array(keep)


def places(rows: Rows, name: str) -> Iterator[tuple[str, pa.Array | None]]:
    """Where rows have a field that the settings name, by its own name or by its original header.

    Yields:
        A column, and the rows that have the field there (boolean per row, `None` for all of them).
    """
    named = [name in keys for keys in rows.shapes]
    if any(named):
        yield name, _by_shape(rows, named)
    field = headers(rows).get(name, name)
    if field != name:
        headed = [field in keys and not already for keys, already in zip(rows.shapes, named, strict=True)]
        if any(headed):
            yield field, _by_shape(rows, headed)


def headers(rows: Rows) -> dict[str, str]:
    """Original header to field."""
    return {header: field for field, header in rows.originals.items()}


def _by_shape(rows: Rows, having: list[bool]) -> pa.Array | None:
    return None if all(having) else pa.array(having, pa.bool_()).take(rows.shape)
