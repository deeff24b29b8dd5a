"""What a gate decides for each of some rows, and what it read to decide it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.expressions import EvaluationError, Expression, labels_of
from elspeth_dagster.graph import Node
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.rows.canonical import canonical_objects
from elspeth_dagster.rows.rows import Rows, Shape

_FAILED = -1


@dataclass(frozen=True)
class Decision:
    """A gate's decisions over some rows.

    Attributes:
        labels: The labels that were chosen at all.
        codes: Per row, the index of its label, or -1 where the gate failed.
        reads: Per row, canonical JSON of the values that the condition read.
        errors: Position to reason, where the gate failed.
    """

    labels: tuple[str, ...]
    codes: pa.Array
    reads: pa.Array
    errors: Mapping[int, Reason]

    def masks(self) -> Iterator[tuple[str, pa.Array | None]]:
        """Each chosen label with where it was chosen, `None` for everywhere."""
        if len(self.labels) == 1 and not self.errors:
            yield self.labels[0], None
            return
        for code, label in enumerate(self.labels):
            yield label, pc.equal(self.codes, code)


def decide(node: Node, rows: Rows) -> Decision:
    """Evaluates a gate's condition for every row and matches the results with its routes."""
    gate = node.gate
    assert gate is not None
    condition, aliases = gate.condition, _aliases(rows)
    wanted = {name for shape in rows.shapes for name in condition.columns_read(frozenset(shape), aliases)}
    values = {name: column.to_python() for name, column in rows.columns.items() if name in wanted}
    matching = _Matching(gate.routes)
    codes = np.full(rows.num_rows, _FAILED, np.int32)
    for shape, positions in rows.groups():
        where = None if positions is None else positions.to_numpy()
        size = rows.num_rows if where is None else len(where)
        results = condition.evaluate_columns(_columns(shape, values, where), frozenset(shape), size, aliases)
        codes[slice(None) if where is None else where] = matching.codes_of(results, where)
    return Decision(tuple(matching.labels), pa.array(codes), _reads(condition, rows), matching.errors)


class _Matching:
    """Matches results with routes, and numbers the labels as they come."""

    def __init__(self, routes: Mapping[str, str]) -> None:
        self.labels: dict[str, int] = {}
        self.errors: dict[int, Reason] = {}
        self._routes = routes

    def codes_of(self, results: Sequence[Any], where: npt.NDArray[np.int64] | None) -> list[int]:
        """The label's number for each result, -1 for those that lead nowhere; `where` are their positions."""
        kinds = set(map(type, results))
        if len(kinds) == 1 and kinds <= {bool, str}:
            known = {value: self._match(value) for value in dict.fromkeys(results)}
            matches = list(map(known.__getitem__, results))
            if all(isinstance(match, int) for match in known.values()):
                return matches  # type: ignore[return-value] # no reasons among them
        else:
            matches = [self._match(result) for result in results]
        codes = []
        for place, match in enumerate(matches):
            if isinstance(match, int):
                codes.append(match)
                continue
            self.errors[place if where is None else int(where[place])] = match
            codes.append(_FAILED)
        return codes

    def _match(self, result: Any) -> int | Reason:
        (label,) = labels_of([result])
        if isinstance(label, EvaluationError):
            return {"reason": "evaluation_failed", "error": str(label)}
        if label in self._routes:
            return self.labels.setdefault(label, len(self.labels))
        return {"reason": "no_route", "label": label[:200], "routes": sorted(self._routes)}


def _aliases(rows: Rows) -> dict[str, str]:
    """Original header to field, for the headers by which a row also answers."""
    return {original: name for name, original in rows.originals.items() if name in rows.columns}


def _columns(
    shape: Shape, values: Mapping[str, list[Any]], where: npt.NDArray[np.int64] | None
) -> dict[str, list[Any]]:
    """The values of some rows of one shape, in the order of its keys."""
    columns = {name: values[name] for name in shape if name in values}
    if where is None:
        return columns
    return {name: [column[position] for position in where] for name, column in columns.items()}


def _reads(condition: Expression, rows: Rows) -> pa.Array:
    """Canonical JSON, per row, of the fields that the condition reads and the row has."""
    aliases = _aliases(rows)
    shapes = tuple(_fields_read(condition, shape, aliases) for shape in rows.shapes)
    cells = {name: rows.columns[name].canonical for shape in shapes for name in shape}
    return canonical_objects(cells, shapes, rows.shape).cast(pa.string())


def _fields_read(condition: Expression, shape: Shape, aliases: Mapping[str, str]) -> Shape:
    if condition.reads is None:
        return shape
    read = {key if key in shape else aliases.get(key, key) for key in condition.reads}
    return tuple(name for name in shape if name in read)
