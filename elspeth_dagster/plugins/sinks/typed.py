"""The layout of a typed file: columns as in a text file, and a type for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.sinks.columns import ColumnsFold
from elspeth_dagster.plugins.sinks.facts import Facts
from elspeth_dagster.plugins.sinks.file import Fold, Layout
from elspeth_dagster.plugins.sinks.fit import wrong_type
from elspeth_dagster.plugins.sinks.kinds import Kind, kinds_of
from elspeth_dagster.plugins.sinks.types import DECLARED, Seen
from elspeth_dagster.rows.fields import Schema
from elspeth_dagster.rows.rows import Rows, Shape

_UNSEEN = Seen()


@dataclass
class TypedFold(Fold):
    """Folds the kinds of all values into one type per column (settings reference, 10 #5).

    Null joins anything, an integer joins floats only when all are exact. The first type stands: a row with a
    value that does not join is refused, or, at a sink that has to take whatever comes, the column becomes one
    of JSON text.

    Attributes:
        columns: Collects the columns.
        schema: Declared types stand from the beginning.
        takes_any: Whether a divert edge leads to the sink.
        existing: What the columns of an existing table can hold, by their names; it counts more than the
            schema.
    """

    columns: ColumnsFold
    schema: Schema
    takes_any: bool
    existing: Mapping[str, Seen] = field(default_factory=dict)
    _seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for spec in self.schema.fields:
            declared = DECLARED.get(spec.type)
            if declared is not None:
                self._seen[spec.name] = Seen(declared, declared=True)
        if self.existing:
            self._seen.clear()

    def take(self, facts: Facts) -> bool:
        """Takes in the rows unless one may be refused."""
        kinds = {name: [Kind[kind] for kind in sorted(found)] for name, found in facts.kinds.items()}
        joined = self._join(kinds)
        if isinstance(joined, str) or not self.columns.take(facts):
            return False
        self._seen |= joined
        return True

    def take_rows(self, rows: Rows, diverted: pa.Array | None) -> dict[int, Reason]:  # noqa: ARG002 - see takes_any
        """Decides row by row, since a refused row must leave no trace in the types."""
        signatures, examples = _signatures(rows)
        verdicts: dict[int, Reason | None] = {}
        refused: dict[int, Reason] = {}
        for position, signature in enumerate(signatures):
            if signature not in verdicts:
                before = dict(self._seen)
                verdicts[signature] = self._admit(*examples[signature])
                if self._seen != before:
                    # What was refused stays so; what was taken may not be, now that a type has changed.
                    verdicts = {key: reason for key, reason in verdicts.items() if reason is not None}
            reason = verdicts.get(signature)
            if reason is not None:
                refused[position] = reason
        return refused

    def layout(self) -> Layout:
        """Columns and types so far."""
        layout = self.columns.layout()
        seen = [_UNSEEN if name is None else self._known(name) for name in layout.columns]
        return replace(layout, types=tuple(column.column_type.value for column in seen))

    def _known(self, name: str) -> Seen:
        seen = self._seen.get(name)
        if seen is not None or not self.existing:
            return seen or _UNSEEN
        return self.existing.get(self.columns.headers.of(name), _UNSEEN)

    def _admit(self, shape: Shape, kinds: Mapping[str, Sequence[Kind]]) -> Reason | None:
        joined = self._join(kinds)
        if isinstance(joined, str):
            seen = self._known(joined)
            expected = "a number of 64 bits" if seen.type is None else seen.type.value
            if seen.type is None and seen.allowed:
                expected = " or ".join(sorted(kind.value for kind in seen.allowed))
            return wrong_type(joined, expected, kinds[joined][0])
        reason = self.columns.admit(shape)
        if reason is None:
            self._seen |= joined
        return reason

    def _join(self, kinds: Mapping[str, Sequence[Kind]]) -> dict[str, Seen] | str:
        """The changed columns, or the name of the first one that cannot take its values."""
        changed: dict[str, Seen] = {}
        for name, found in kinds.items():
            seen: Seen | None = self._known(name)
            for kind in found:
                seen = None if seen is None else seen.join(kind, lenient=self.takes_any)
            if seen is None:
                return name
            changed[name] = seen
        return changed


Example = tuple[Shape, Mapping[str, Sequence[Kind]]]


def _signatures(rows: Rows) -> tuple[list[int], dict[int, Example]]:
    """Per row the number of its signature (its keys and their kinds), and what each signature stands for."""
    names = list(rows.columns)
    table = np.empty((rows.num_rows, len(names) + 1), np.int32)
    table[:, 0] = rows.shape.to_numpy(zero_copy_only=False)
    for index, name in enumerate(names):
        table[:, index + 1] = kinds_of(rows.columns[name])
    found, inverse = np.unique(table, axis=0, return_inverse=True)
    examples = {i: _example(rows, names, signature) for i, signature in enumerate(found.tolist())}
    return inverse.ravel().tolist(), examples


def _example(rows: Rows, names: Sequence[str], signature: Sequence[int]) -> Example:
    shape = rows.shapes[signature[0]]
    kinds = dict(zip(names, signature[1:], strict=True))
    return shape, dict(_present(shape, kinds))


def _present(shape: Shape, kinds: Mapping[str, int]) -> Iterator[tuple[str, Sequence[Kind]]]:
    for name in shape:
        yield name, (Kind(kinds[name]),)
