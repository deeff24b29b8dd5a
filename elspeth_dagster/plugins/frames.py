"""Rows as a pandas frame, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.plugins.base import FrameResult, Reason
from elspeth_dagster.plugins.batch import BatchResult
from elspeth_dagster.plugins.cases import combine
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.fields import FieldType, Schema
from elspeth_dagster.rows.rows import Column, Rows, Shape, present
from elspeth_dagster.rows.values import check_value

if TYPE_CHECKING:
    import pandas as pd

_KEEP_INDEX = "it must keep the index of the frame that came in"

_DECLARED = {
    FieldType.INT: pa.int64(),
    FieldType.FLOAT: pa.float64(),
    FieldType.STR: pa.string(),
    FieldType.BOOL: pa.bool_(),
    FieldType.ANY: pa.null(),
}


_TARGETS = (
    ((pa.types.is_null,), pa.null()),
    ((pa.types.is_boolean,), pa.bool_()),
    ((pa.types.is_integer,), pa.int64()),
    ((pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view), pa.string()),
    ((pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view), pa.binary()),
    ((pa.types.is_date,), pa.date32()),
    ((pa.types.is_timestamp,), pa.timestamp("us", "UTC")),
)


class FrameError(ElspethError):
    """A frame that does not say which rows it holds, or in which columns."""


def to_frame(rows: Rows, schema: Schema) -> "pd.DataFrame":
    """A frame with a column for every key of any row, and for every declared field.

    Native columns have Arrow types, other ones hold Python objects. An absent key is null. A declared field
    has its declared type even when no row has a value, so that a transform need not care.
    """
    import pandas as pd  # noqa: PLC0415 - heavy, and only frame transforms need it

    def series(values: pa.Array) -> Any:
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([values])))

    frame = {}
    for name, column in rows.columns.items():
        if column.is_json:
            frame[name] = pd.Series(column.to_python(), dtype=object)
            continue
        declared = schema.field(name)
        is_null = pa.types.is_null(column.values.type)
        typed = column.values.cast(_DECLARED[declared.type]) if declared and is_null else column.values
        frame[name] = series(typed)
    for field in schema.fields:
        if field.name not in frame:
            frame[field.name] = series(pa.nulls(rows.num_rows, _DECLARED[field.type]))
    return pd.DataFrame(frame, index=pd.RangeIndex(rows.num_rows))


@dataclass(frozen=True)
class Taken:
    """What a frame says of rows.

    Attributes:
        rows: The rows as the frame has them.
        errors: Position to reason, for rows with a value that no row can hold.
    """

    rows: Rows
    errors: Mapping[int, Reason]


def from_frame(frame: "pd.DataFrame", rows: Rows, known: Sequence[str]) -> Taken:
    """The rows as they are after a frame was made of them and changed.

    A key that a row did not have stays absent unless the frame has a value for it; a column that is new is
    there in every row. Keys keep their order; what comes new is behind them.

    Args:
        frame: The frame, its rows in the order of `rows`.
        rows: The rows that it was made of.
        known: The columns that the frame had.

    Raises:
        FrameError: Names of columns that are not text, or that come twice.
    """
    names = _names(frame)
    errors: dict[int, Reason] = {}
    columns: dict[str, Column] = {}
    for name in names:
        column = _column(frame[name], name, errors)
        before = rows.columns.get(name)
        unchanged = (
            before is not None and before.is_json is column.is_json and before.values.equals(column.values)
        )
        columns[name] = before if before is not None and unchanged else column
    shapes, codes = _shapes(rows, names, columns, frozenset(known))
    originals = {name: header for name, header in rows.originals.items() if name in columns}
    return Taken(Rows(rows.tokens, shapes, pa.array(codes, pa.int32()), columns, originals), errors)


def new_rows(frame: "pd.DataFrame", originals: Mapping[str, str]) -> Taken:
    """The rows of a frame that are none of those that came in; each has every column.

    Args:
        frame: The frame; its index means nothing.
        originals: Field name to original header, for columns that have that name still.

    Raises:
        FrameError: Not a frame, or names of columns that are not text, or that come twice.
    """
    import pandas as pd  # noqa: PLC0415 - heavy, and only frame transforms need it

    if not isinstance(frame, pd.DataFrame):
        raise FrameError(f"'frame' is a {type(frame).__name__}; it must be a DataFrame")
    errors: dict[int, Reason] = {}
    columns = {name: _column(frame[name], name, errors) for name in _names(frame)}
    tokens = pa.repeat(pa.scalar(b"", pa.binary()), len(frame))
    kept = {name: header for name, header in originals.items() if name in columns}
    return Taken(Rows.uniform(tokens, columns, kept), errors)


def _names(frame: "pd.DataFrame") -> list[str]:
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str):
            raise FrameError(f"the frame has a column whose name is not text: {name!r}")
        try:
            check_value(name)
        except InvalidValueError as error:
            raise FrameError(f"the name of the column {name!r} is {error.reason}") from error
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise FrameError(f"the frame has several columns called {min(repeated)!r}")
    return names


def _shapes(
    rows: Rows, names: Sequence[str], columns: Mapping[str, Column], known: frozenset[str]
) -> tuple[tuple[Shape, ...], Any]:
    facts = [rows.shape.to_numpy()]
    sometimes = []
    for name in names:
        if name in known:
            had = present(rows, name)
            newly = columns[name].values.is_valid().to_numpy(zero_copy_only=False)
            if had is not None:
                newly &= ~had.to_numpy(zero_copy_only=False)
                if newly.any():
                    sometimes.append(name)
                    facts.append(newly.astype(np.int64))
    cases, index = combine(facts)
    keys: dict[Shape, int] = {}
    codes = []
    for shape, *newly_set in cases:
        kept = [name for name in rows.shapes[shape] if name in columns]
        is_set = {name for name, flag in zip(sometimes, newly_set, strict=True) if flag}
        added = [name for name in names if name in is_set or name not in known]
        codes.append(keys.setdefault((*kept, *added), len(keys)))
    return tuple(keys) or ((),), np.array(codes, np.int32)[index] if codes else np.zeros(0, np.int32)


def _column(series: "pd.Series[Any]", name: str, errors: dict[int, Reason]) -> Column:
    if series.dtype != object:
        native = _native(_combined(pa.array(series, from_pandas=True)))
        if native is not None:
            infinite = pc.is_inf(native) if pa.types.is_floating(native.type) else None
            if infinite is None or not pc.any(infinite).as_py():
                return Column(native)
    return Column.of(_values(series, name, errors))


def _combined(array: Any) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array


def _native(array: pa.Array) -> pa.Array | None:
    """The array as one of the types that columns have, or `None` when each value has to be looked at."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _native(array.dictionary_decode())
    if pa.types.is_floating(kind):
        numbers = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    target = _target(kind)
    if target is None:
        return None
    try:
        return array.cast(target)
    except pa.ArrowInvalid:  # an unsigned integer past 63 bits, a time finer than a microsecond
        return None


def _target(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_timestamp(kind) and kind.tz != "UTC":
        return None
    return next((target for tests, target in _TARGETS if any(test(kind) for test in tests)), None)


def _values(series: "pd.Series[Any]", name: str, errors: dict[int, Reason]) -> list[Any]:
    """Python values, `None` for what is missing and for what no row can hold; the latter is noted."""
    values: list[Any] = []
    missing = series.isna().to_numpy(dtype=bool)
    for position, value in enumerate(series.tolist()):
        plain = value.item() if isinstance(value, np.generic) else value
        if missing[position]:
            plain = None
        try:
            check_value(plain)
        except InvalidValueError as error:
            errors.setdefault(position, {"reason": "invalid_value", "field": name, "error": error.reason})
            plain = None
        values.append(plain)
    return values


def rejections(result: FrameResult | BatchResult, count: int) -> dict[int, Reason]:
    """Position to reason of the rows that a transform rejects.

    Raises:
        FrameError: The mask is not a boolean for each row, or a reason is no text.
    """
    if result.rejected is None:
        return {}
    mask = _aligned(result.rejected, count, "rejected")
    if mask.isna().any() or not all(isinstance(value, bool | np.bool_) for value in mask):
        raise FrameError("'rejected' is true or false for each row; it has other values, or none, for some")
    where = np.flatnonzero(mask.to_numpy(dtype=bool)).tolist()
    if result.reasons is None:
        return {position: {"reason": "rejected"} for position in where}
    reasons = _aligned(result.reasons, count, "reasons").tolist()
    return {position: {"reason": _reason_text(reasons[position])} for position in where}


def _aligned(series: Any, count: int, what: str) -> Any:
    import pandas as pd  # noqa: PLC0415 - heavy, and only frame transforms need it

    if not isinstance(series, pd.Series):
        raise FrameError(f"'{what}' is a {type(series).__name__}; it must be a Series")
    if len(series) != count or not series.index.is_unique or set(series.index) != set(range(count)):
        raise FrameError(f"'{what}' must have the index of the frame that came in, a value for each row")
    return series.sort_index()


def _reason_text(value: Any) -> str:
    text = value if isinstance(value, str) and value else "rejected"
    try:
        check_value(text)
    except InvalidValueError as error:
        raise FrameError(f"a reason is {error.reason}") from error
    return text


def in_order(frame: Any, positions: npt.NDArray[np.int64], count: int) -> "pd.DataFrame":
    """The rows of a frame that are at some positions of the one that came in, in that order.

    Args:
        frame: The frame that a transform gave.
        positions: The positions of the rows that are not rejected.
        count: How many rows came in.

    Raises:
        FrameError: The frame has lost some of them, or has rows of its own.
    """
    import pandas as pd  # noqa: PLC0415 - heavy, and only frame transforms need it

    if not isinstance(frame, pd.DataFrame):
        raise FrameError(f"'frame' is a {type(frame).__name__}; it must be a DataFrame")
    if not frame.index.is_unique:
        raise FrameError(f"the frame has several rows with one index; {_KEEP_INDEX}")
    unknown = [label for label in frame.index.tolist() if label not in range(count)]
    if unknown:
        raise FrameError(f"the frame has a row with the unknown index {unknown[0]!r}; {_KEEP_INDEX}")
    found = frame.index.get_indexer(positions)
    lost = positions[found < 0]
    if len(lost):
        raise FrameError(
            f"the frame has lost {len(lost)} rows that are not rejected, the first with index {lost[0]}; "
            f"{_KEEP_INDEX}"
        )
    return frame if len(found) == len(frame) and (found == np.arange(len(found))).all() else frame.iloc[found]
