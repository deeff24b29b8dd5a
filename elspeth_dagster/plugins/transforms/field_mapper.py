"""The `field_mapper` transform (settings reference, 4.3): all renames at once, from the row as it came."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field

from elspeth_dagster.plugins.base import Reason, Transform, Transformed, promised
from elspeth_dagster.plugins.cases import combine
from elspeth_dagster.plugins.transforms.common import ValidatedOptions, headers, kept, misfits
from elspeth_dagster.plugins.transforms.paths import Extracted, Status, extract
from elspeth_dagster.rows.rows import Column, Rows, Shape

_Name = Annotated[str, Field(min_length=1)]


def _one_source_each(mapping: dict[str, str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for source, target in mapping.items():
        other = sources.setdefault(target, source)
        if other != source:
            raise ValueError(f"'{other}' and '{source}' are both mapped to '{target}'")
    return mapping


class FieldMapperOptions(ValidatedOptions):
    """Options of `field_mapper`."""

    mapping: Annotated[dict[_Name, _Name], AfterValidator(_one_source_each)] = Field(
        default_factory=dict, description="Field, original header or dotted path to the new name."
    )
    select_only: bool = Field(
        default=False,
        description="Whether rows come out with the mapped fields alone, in the order of mapping.",
    )
    strict: bool = Field(default=False, description="Whether a missing field is an error of its row.")


class FieldMapper(Transform):
    """Renames, selects and lifts fields."""

    Options = FieldMapperOptions

    def apply(self, rows: Rows) -> Transformed:
        """Decides once for all rows with the same keys, and moves whole columns."""
        errors = misfits(rows, self.schema) if self.options.validate_input else {}
        mapping = _Mapping(self.options, rows)
        for position, reason in mapping.errors():
            errors.setdefault(position, reason)
        return Transformed(kept(mapping.mapped(), errors), errors)

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """See `Plugin.fields_read`."""
        return {"mapping": tuple(self.options.mapping)}

    def guarantees(self) -> frozenset[str]:
        """Declared and promised names that are not renamed away, and targets that always get a value."""
        mapping = self.options.mapping
        arriving = promised(self.schema) | {*self.schema.required_fields, *self.options.required_input_fields}
        made = {target for source, target in mapping.items() if self.options.strict or source in arriving}
        if self.options.select_only:
            return frozenset(made | {*self.schema.guaranteed_fields} & {*mapping.values()})
        return frozenset(promised(self.schema) - mapping.keys() | made)


_Origin = str | int
"""Where a value comes from: a column, or the entry of the mapping (by position) that extracted it."""


@dataclass(frozen=True)
class _Plan:
    """What happens to rows with the same keys.

    Attributes:
        fields: The fields they come out with; `None` when they are in error.
        error: Why; `None` when each row has a reason of its own.
    """

    fields: Mapping[str, _Origin] | None
    error: Reason | None = None

    def takes(self, name: str, origin: _Origin) -> bool:
        """Whether a field gets its value from that origin."""
        return self.fields is not None and self.fields.get(name) == origin


class _Mapping:
    """The mapping of some rows: a plan for each combination of keys and of paths that were found."""

    def __init__(self, options: FieldMapperOptions, rows: Rows) -> None:
        self.options = options
        self.rows = rows
        self.headers = headers(rows)
        self.entries = tuple(options.mapping.items())
        self.paths: dict[int, Extracted] = {
            index: extract(rows, source)
            for index, (source, _) in enumerate(self.entries)
            if "." in source and source not in self.headers
        }
        facts = [rows.shape.to_numpy(), *(path.statuses for path in self.paths.values())]
        cases, self.case = combine(facts)
        self.shapes = [rows.shapes[case[0]] for case in cases]
        self.plans = [
            self._plan(rows.shapes[case[0]], dict(zip(self.paths, case[1:], strict=True))) for case in cases
        ]

    def _plan(self, keys: Shape, statuses: Mapping[int, int]) -> _Plan:
        moved: dict[str, _Origin] = {}
        for index, (source, target) in enumerate(self.entries):
            origin = self._origin(index, source, keys, statuses)
            if origin is not None:
                moved[target] = origin
            elif statuses.get(index) == Status.NO_OBJECT:
                return _Plan(None)
            elif self.options.strict:
                return _Plan(None, {"reason": "missing_field", "field": source})
        renamed = {origin for target, origin in moved.items() if origin != target}
        for target, origin in moved.items():
            if target in keys and origin != target and target not in renamed:
                return _Plan(None, {"reason": "field_collision", "field": target})
        if self.options.select_only:
            return _Plan(moved)
        stay: dict[str, _Origin] = {key: key for key in keys if key not in renamed or moved.get(key) == key}
        return _Plan(stay | moved)

    def _origin(self, index: int, source: str, keys: Shape, statuses: Mapping[int, int]) -> _Origin | None:
        """Where an entry's value is in rows with these keys, or `None` when they have none."""
        if index in statuses:
            return index if statuses[index] == Status.FOUND else None
        name = source if source in keys else self.headers.get(source, source)
        return name if name in keys else None

    def errors(self) -> Iterator[tuple[int, Reason]]:
        """Each row that is in error, with its reason."""
        for index, plan in enumerate(self.plans):
            if plan.error is not None:
                for position in np.flatnonzero(self.case == index):
                    yield int(position), plan.error
        for path in self.paths.values():
            yield from path.errors.items()

    def mapped(self) -> Rows:
        """The rows with their new fields; what it gives for rows in error means nothing."""
        index: dict[Shape, int] = {}
        codes = [
            0 if plan.fields is None else index.setdefault(tuple(plan.fields), len(index))
            for plan in self.plans
        ]
        names = dict.fromkeys(name for shape in index for name in shape)
        return Rows(
            self.rows.tokens,
            tuple(index) or ((),),
            pa.array(np.array(codes, np.int32)[self.case]),
            {name: self._column(name) for name in names},
            self._originals(names),
        )

    def _column(self, name: str) -> Column:
        origins = {
            plan.fields[name] for plan in self.plans if plan.fields is not None and name in plan.fields
        }
        if len(origins) == 1:
            origin = next(iter(origins))
            if isinstance(origin, int):
                return Column.of(self.paths[origin].values)
            if not self._left_behind(name, origin):
                return self.rows.columns[origin]
        values: list[Any] = [None] * self.rows.num_rows
        for origin in origins:
            source = self._values(origin)
            using = np.array([plan.takes(name, origin) for plan in self.plans])
            for position in np.flatnonzero(using[self.case]):
                values[position] = source[position]
        return Column.of(values)

    def _values(self, origin: _Origin) -> list[Any]:
        if isinstance(origin, int):
            return self.paths[origin].values
        return self.rows.columns[origin].to_python()

    def _left_behind(self, name: str, origin: str) -> bool:
        """Whether some rows have the origin and do not hand it to this name."""
        plans = zip(self.shapes, self.plans, strict=True)
        return any(
            plan.fields is not None and origin in keys and not plan.takes(name, origin)
            for keys, plan in plans
        )

    def _origins(self, name: str) -> set[_Origin]:
        return {plan.fields[name] for plan in self.plans if plan.fields is not None and name in plan.fields}

    def _originals(self, names: Iterable[str]) -> dict[str, str]:
        """The original headers of fields that have the values of one column, which had one."""
        given = self.rows.originals
        origins = {name: self._origins(name) for name in names}
        single = {name: next(iter(found)) for name, found in origins.items() if len(found) == 1}
        return {
            name: given[origin]
            for name, origin in single.items()
            if isinstance(origin, str) and origin in given
        }
