"""The `truncate` transform (settings reference, 4.4)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from elspeth_dagster.plugins.base import Reason, Transform, Transformed
from elspeth_dagster.plugins.sinks.kinds import Kind, kinds_of
from elspeth_dagster.plugins.transforms.common import TransformOptions, kept, places
from elspeth_dagster.plugins.transforms.texts import Mask, texts_of, to_mask
from elspeth_dagster.rows.rows import Column, Rows
from elspeth_dagster.rows.values import encode_value
from elspeth_dagster.settings.value_types import WholeNumber

_Limit = Annotated[WholeNumber, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


class TruncateOptions(TransformOptions):
    """Options of `truncate`."""

    fields: dict[_Name, _Limit] = Field(
        default_factory=dict, description="Field to the most characters (Unicode code points) that it keeps."
    )
    suffix: str = Field("", description="Ends every text that was cut; counts as part of it.")
    strict: bool = Field(default=False, description="Whether a missing field is an error of its row.")

    @model_validator(mode="after")
    def _suffix_fits(self) -> Self:
        for name, limit in self.fields.items():
            if len(self.suffix) >= limit:
                raise ValueError(
                    f"the suffix has {len(self.suffix)} characters; it must be shorter than the limit of "
                    f"every field, and that of '{name}' is {limit}"
                )
        return self


class Truncate(Transform):
    """Cuts texts that are too long."""

    Options = TruncateOptions
    keeps_fields: ClassVar[bool] = True

    def fields_read(self) -> Mapping[str, Sequence[str]]:
        """See `Plugin.fields_read`."""
        return {"fields": tuple(self.options.fields)}

    def apply(self, rows: Rows) -> Transformed:
        """Cuts column by column; a value that is no text is an error of its row."""
        columns = dict(rows.columns)
        errors: dict[int, Reason] = {}
        for field, limit in self.options.fields.items():
            missing = np.ones(rows.num_rows, dtype=bool)
            for name, where in places(rows, field):
                present = to_mask(where, rows.num_rows)
                missing &= ~present
                texts = texts_of(columns[name])
                _note_mismatches(columns[name], name, present & to_mask(texts.is_null(), len(texts)), errors)
                columns[name] = self._cut(columns[name], texts, present, limit)
            for position in np.flatnonzero(missing) if self.options.strict else ():
                errors.setdefault(int(position), {"reason": "missing_field", "field": field})
        if any(columns[name] is not column for name, column in rows.columns.items()):
            rows = Rows(rows.tokens, rows.shapes, rows.shape, columns, rows.originals)
        return Transformed(kept(rows, errors), errors)

    def _cut(self, column: Column, texts: pa.Array, present: Mask, limit: int) -> Column:
        suffix = self.options.suffix
        too_long = pa.array(present & to_mask(pc.greater(pc.utf8_length(texts), limit), len(texts)))
        if not too_long.true_count:
            return column
        heads = pc.utf8_slice_codeunits(texts.filter(too_long), 0, limit - len(suffix))
        cut = pc.binary_join_element_wise(heads, suffix, "")
        if column.is_json:
            cut = pa.array([encode_value(text) for text in cut.to_pylist()], pa.string())
        return Column(pc.replace_with_mask(column.values, too_long, cut), column.logical)


def _note_mismatches(column: Column, field: str, wrong: Mask, errors: dict[int, Reason]) -> None:
    if not wrong.any():
        return
    kinds = kinds_of(column)
    for position in np.flatnonzero(wrong):
        found = Kind(int(kinds[position])).label
        reason = {"reason": "type_mismatch", "field": field, "expected": "str", "found": found}
        errors.setdefault(int(position), reason)
