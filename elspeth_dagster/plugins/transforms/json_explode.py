"""The `json_explode` transform (settings reference, 4.6): one row for each element of a list."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from elspeth_dagster.plugins.base import (
    NOTHING_TO_EXPAND,
    Expanded,
    ExpandingTransform,
    Options,
    Reason,
    promised,
)
from elspeth_dagster.plugins.sinks.kinds import Kind, kinds_of
from elspeth_dagster.plugins.transforms.texts import Mask, to_mask
from elspeth_dagster.plugins.windows import Integers, Window, row_bytes, windows
from elspeth_dagster.rows.domain import MARKER
from elspeth_dagster.rows.rows import Column, Rows, present
from elspeth_dagster.rows.values import decode_value

INDEX_FIELD = "item_index"
# Where orjson might lose digits, or a value has a form of its own.
_NEEDS_CARE = rf'[0-9]{{19}}|"\{MARKER}"'

_Name = Annotated[str, Field(min_length=1)]


class JsonExplodeOptions(Options):
    """Options of `json_explode`."""

    array_field: _Name = Field(description="The field that holds the list; rows come out without it.")
    output_field: _Name = Field("item", description="The field that takes the element.")
    include_index: bool = Field(
        default=True, description=f"Whether {INDEX_FIELD} says which element it is, from 0."
    )

    @model_validator(mode="after")
    def _fields_differ(self) -> Self:
        if self.output_field == self.array_field:
            raise ValueError(f"output_field must differ from array_field, and both are '{self.array_field}'")
        if self.include_index and self.output_field == INDEX_FIELD:
            raise ValueError(
                f"output_field cannot be '{INDEX_FIELD}', which takes the index (include_index: false)"
            )
        return self

    @property
    def added_fields(self) -> tuple[str, ...]:
        """The fields that rows come out with beside their own."""
        return (self.output_field, INDEX_FIELD) if self.include_index else (self.output_field,)


class JsonExplode(ExpandingTransform):
    """Makes a row of each element of a list."""

    Options = JsonExplodeOptions

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """See `Plugin.fields_read`."""
        return {"array_field": (self.options.array_field,)}

    def guarantees(self) -> frozenset[str]:
        """Declared and promised names without the list, and the fields that it adds."""
        return promised(self.schema) - {self.options.array_field} | {*self.options.added_fields}

    def expand(self, rows: Rows) -> Iterator[Expanded]:
        """Takes lists apart, and repeats whole columns."""
        field = self.options.array_field
        errors: dict[int, Reason] = {}
        lists = self._lists(rows, errors)
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
        counts[list(errors)] = 0
        others = _without(rows, field)
        is_first = True
        for window in windows(counts, row_bytes(others)):
            yield self._piece(others, lists, window, errors if is_first else {})
            is_first = False
        if is_first:
            nothing = np.zeros(0, np.int64)
            yield self._piece(others, lists, Window(nothing, nothing), errors)

    def _lists(self, rows: Rows, errors: dict[int, Reason]) -> list[list[Any]]:
        """The list of each row, an empty one where the row is in error."""
        field = self.options.array_field
        column = rows.columns.get(field)
        if column is None:
            errors.update({at: {"reason": "missing_field", "field": field} for at in range(rows.num_rows)})
            return [[]] * rows.num_rows
        has_field = to_mask(present(rows, field), rows.num_rows)
        is_list = _is_list(column)
        for position in np.flatnonzero(~has_field):
            errors[int(position)] = {"reason": "missing_field", "field": field}
        wrong = has_field & ~is_list
        if wrong.any():
            kinds = kinds_of(column)
            for position in np.flatnonzero(wrong):
                errors[int(position)] = _no_list(field, Kind(int(kinds[position])))
        lists = _parsed(column, is_list)
        self._note_empty(lists, errors)
        self._note_collisions(rows, errors)
        return lists

    def _note_empty(self, lists: list[list[Any]], errors: dict[int, Reason]) -> None:
        for position, items in enumerate(lists):
            if not items and position not in errors:
                errors[position] = {**NOTHING_TO_EXPAND, "field": self.options.array_field}

    def _note_collisions(self, rows: Rows, errors: dict[int, Reason]) -> None:
        for name in self.options.added_fields:
            if name == self.options.array_field or name not in rows.columns:
                continue
            for position in np.flatnonzero(to_mask(present(rows, name), rows.num_rows)):
                errors.setdefault(int(position), {"reason": "field_collision", "field": name})

    def _piece(
        self, others: Rows, lists: list[list[Any]], window: Window, errors: dict[int, Reason]
    ) -> Expanded:
        parents = pa.array(window.parents)
        repeated = others.take(parents)
        added = {self.options.output_field: Column.of(_elements(lists, window))}
        if self.options.include_index:
            added[INDEX_FIELD] = Column(pa.array(window.ordinals))
        shapes = tuple((*(key for key in keys if key not in added), *added) for keys in repeated.shapes)
        originals = {name: header for name, header in others.originals.items() if name not in added}
        columns = {**repeated.columns, **added}
        rows = Rows(repeated.tokens, shapes, repeated.shape, columns, originals)
        first = int(window.ordinals[0]) if len(window.ordinals) else 0
        return Expanded(rows, errors, parents=parents, first_ordinal=first)


def _is_list(column: Column) -> Mask:
    if not column.is_json:
        return np.zeros(len(column.values), np.bool_)
    return to_mask(pc.starts_with(column.values, "["), len(column.values))


def _no_list(field: str, kind: Kind) -> Reason:
    found = "object" if kind is Kind.CONTAINER else kind.label
    return {"reason": "type_mismatch", "field": field, "expected": "list", "found": found}


def _parsed(column: Column, is_list: Mask) -> list[list[Any]]:
    """The lists of a column, all in one go where that is exact; an empty one where there is none."""
    count = len(column.values)
    if not is_list.any():
        return [[]] * count
    texts = pc.if_else(pa.array(is_list), column.values, pa.scalar("[]"))
    if pc.any(pc.match_substring_regex(texts, _NEEDS_CARE)).as_py():
        return [decode_value(text) for text in texts.to_pylist()]
    parsed: list[list[Any]] = orjson.loads("[" + ",".join(texts.to_pylist()) + "]")
    return parsed


def _elements(lists: list[list[Any]], window: Window) -> list[Any]:
    parents: Integers = window.parents
    if not len(parents):
        return []
    first, last = int(parents[0]), int(parents[-1])
    if first == last:
        return lists[first][int(window.ordinals[0]) : int(window.ordinals[-1]) + 1]
    counted = np.unique(parents)
    return list(chain.from_iterable(lists[position] for position in counted.tolist()))


def _without(rows: Rows, name: str) -> Rows:
    """The rows without a field."""
    shapes = tuple(tuple(key for key in keys if key != name) for keys in rows.shapes)
    columns = {key: column for key, column in rows.columns.items() if key != name}
    originals = {key: header for key, header in rows.originals.items() if key != name}
    return Rows(rows.tokens, shapes, rows.shape, columns, originals)
