"""The text values of a column, whichever way it keeps them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.rows import Column
from elspeth_dagster.rows.values import decode_value

Mask = npt.NDArray[np.bool_]


def texts_of(column: Column) -> pa.Array:
    """The column's text values (string), null where a value is no text, or null, or absent."""
    values = column.values
    if not column.is_json:
        return values if pa.types.is_string(values.type) else pa.nulls(len(values), pa.string())
    is_text = pc.starts_with(values, '"').fill_null(False)
    decoded = pa.array([decode_value(text) for text in values.filter(is_text).to_pylist()], pa.string())
    return pc.replace_with_mask(pa.nulls(len(values), pa.string()), is_text, decoded)


def to_mask(array: pa.Array | None, count: int) -> Mask:
    """A boolean array as NumPy has it; null counts as false, `None` as true throughout."""
    if array is None:
        return np.ones(count, dtype=bool)
    return pc.fill_null(array, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
