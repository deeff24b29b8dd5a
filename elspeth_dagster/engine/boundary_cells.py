"""The boundary for text cells: whole columns at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.engine import boundary_reasons as reasons
from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.rows.coerce import coerce_text_column
from elspeth_dagster.rows.fields import Schema, SchemaMode
from elspeth_dagster.rows.records import Records
from elspeth_dagster.rows.rows import Column, Logical, Rows
from elspeth_dagster.rows.tokens import root_tokens


@dataclass
class _Columns:
    """Records that could be cut, with what becomes of them.

    Attributes:
        count: How many there are.
        columns: The fields of valid rows, in their order.
        errors: Position to what is wrong with its fields.
        everywhere: What is wrong with all of them.
        header: What may be wrong with the header, so that all of them are.
    """

    count: int
    columns: dict[str, Column] = field(default_factory=dict)
    errors: dict[int, list[Reason]] = field(default_factory=dict)
    everywhere: list[Reason] = field(default_factory=list)
    header: Reason = field(default_factory=dict)

    @property
    def valid(self) -> pa.Array:
        """Which of them are valid."""
        mask = np.full(self.count, not self.everywhere)
        mask[list(self.errors)] = False
        return pa.array(mask)

    def reason(self, position: int) -> Reason:
        """Why one of them is not."""
        header = self.header if self.everywhere else {}
        return reasons.of_fields(self.everywhere + self.errors.get(position, []), header)


def cross_cells(records: Records, schema: Schema) -> tuple[Rows, Rows, Mapping[int, Reason]]:
    """The valid rows, the quarantined records, and position in these to reason."""
    tokens = root_tokens(records.first, records.num_records)
    cut = records.problems.is_null()
    cells = records.cells
    whole = records.problems.null_count == records.num_records
    if not whole:
        cells = {name: values.filter(cut) for name, values in cells.items()}
    cut_tokens = tokens if whole else tokens.filter(cut)
    header = reasons.of_header(records.originals.values())
    coerced = _coerce(cells, len(cut_tokens), schema, header)
    rows = Rows.uniform(cut_tokens, coerced.columns, _only(records.originals, coerced.columns))
    received = {name: Column(values) for name, values in cells.items()}
    rejected = Rows.uniform(cut_tokens, received, records.originals)
    valid = coerced.valid
    if whole and not coerced.errors and not coerced.everywhere:
        return rows, rejected.slice(0, 0), {}
    places = pc.indices_nonzero(pc.invert(valid)).to_pylist()
    why = [coerced.reason(place) for place in places]
    rejected = rejected.filter(pc.invert(valid))
    if not whole:
        rejected, why = _with_problems(records, tokens, rejected, why, header)
    return rows.filter(valid), rejected, dict(enumerate(why))


def _coerce(cells: Mapping[str, pa.Array], count: int, schema: Schema, header: Reason) -> _Columns:
    done = _Columns(count, header=header)
    for spec in schema.fields:
        if spec.name in cells:
            coerced = coerce_text_column(cells[spec.name], spec)
            logical = Logical.JSON if coerced.is_json else Logical.NATIVE
            done.columns[spec.name] = Column(coerced.values, logical)
            for position, why in coerced.reasons.items():
                done.errors.setdefault(position, []).append(reasons.wrong_value(spec, why))
        elif spec.required:
            done.everywhere.append(reasons.missing(spec))
        else:
            done.columns[spec.name] = Column(pa.nulls(count))
    declared = set(schema.names)
    for name, values in cells.items():
        if name not in declared:
            done.columns[name] = Column(values)
            if schema.mode is SchemaMode.FIXED:
                done.everywhere.append(reasons.undeclared(name))
    return done


def _only(originals: Mapping[str, str], columns: Mapping[str, Column]) -> dict[str, str]:
    return {name: original for name, original in originals.items() if name in columns}


def _with_problems(
    records: Records, tokens: pa.Array, rejected: Rows, why: list[Reason], header: Reason
) -> tuple[Rows, list[Reason]]:
    """The rejected rows with the records that could not be cut in their places."""
    uncut = records.problems.is_valid()
    shown = [orjson.loads(text) for text in records.problem_records.filter(uncut).to_pylist()]
    unread = Rows.from_dicts(tokens.filter(uncut), shown)
    together = Rows.concat([rejected, unread]) if rejected.num_rows else unread
    why = why + [reasons.of_problem(text, header) for text in records.problems.filter(uncut).to_pylist()]
    order = pc.sort_indices(together.tokens)
    return together.take(order), [why[place] for place in order.to_pylist()]
