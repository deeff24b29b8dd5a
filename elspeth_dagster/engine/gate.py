"""What a gate decides for each of some rows, and what it read to decide it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.expressions import EvaluationError, Expression, label_of
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

    def by_label(self, rows: Rows) -> Iterator[tuple[str, Rows, pa.Array]]:
        """Each chosen label with its rows and what was read for them."""
        if len(self.labels) == 1 and not self.errors:
            yield self.labels[0], rows, self.reads
            return
        for code, label in enumerate(self.labels):
            mask = pc.equal(self.codes, code)
            yield label, rows.filter(mask), self.reads.filter(mask)


def decide(node: Node, rows: Rows) -> Decision:
    """Evaluates a gate's condition for every row and matches the results with its routes."""
    gate = node.gate
    assert gate is not None
    condition = gate.condition
    codes = [_FAILED] * rows.num_rows
    seen: dict[str, int] = {}
    errors: dict[int, Reason] = {}
    label_codes: dict[Any, int] = {}
    aliases = _aliases(rows)
    wanted = {name for shape in rows.shapes for name in condition.columns_read(frozenset(shape), aliases)}
    values = {name: column.to_python() for name, column in rows.columns.items() if name in wanted}
    for shape, positions in rows.groups():
        where = range(rows.num_rows) if positions is None else positions.to_pylist()
        results = condition.evaluate_columns(
            _columns(shape, values, positions), frozenset(shape), len(where), aliases
        )
        for position, result in zip(where, results, strict=True):
            known = (type(result), result) if isinstance(result, bool | str | None) else None
            code = label_codes.get(known) if known is not None else None
            if code is None:
                reason = _rejection(result, gate.routes)
                if reason is not None:
                    errors[position] = reason
                    continue
                code = seen.setdefault(label_of(result), len(seen))
                if known is not None:
                    label_codes[known] = code
            codes[position] = code
    return Decision(tuple(seen), pa.array(codes, pa.int32()), _reads(condition, rows), errors)


def _rejection(result: Any, routes: Mapping[str, str]) -> Reason | None:
    """Why a result leads nowhere, or `None` when its label has a route."""
    if isinstance(result, EvaluationError):
        return {"reason": "evaluation_failed", "error": str(result)}
    label = label_of(result)
    if label in routes:
        return None
    return {"reason": "no_route", "label": label[:200], "routes": sorted(routes)}


def _aliases(rows: Rows) -> dict[str, str]:
    """Original header to field, for the headers by which a row also answers."""
    return {original: name for name, original in rows.originals.items() if name in rows.columns}


def _columns(
    shape: Shape, values: Mapping[str, list[Any]], positions: pa.Array | None
) -> dict[str, list[Any]]:
    """The values of some rows of one shape, in the order of its keys."""
    columns = {name: values[name] for name in shape if name in values}
    if positions is None:
        return columns
    where = positions.to_pylist()
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
