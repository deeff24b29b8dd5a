"""Values as text in Python's own forms, for sinks: as `json.dumps`, `repr` and `str` give them."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.arrays import (
    concatenated,
    filled,
    holds_any,
    joined_by_shape,
    mapped,
    patched,
    texts_from_separated,
)
from elspeth_dagster.rows.domain import MARKER
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.values import base64_text, decode_value

# Up to here Python writes a float without an exponent, and orjson writes it the same.
FLOAT_PLAIN_FROM = 1e-4
FLOAT_PLAIN_BELOW = 1e16

_JSON_ESCAPED = r"[^ !#-\[\]-~]"
# Text that `encode_value` gives and `json.dumps` would not: containers, strings with more than plain ASCII.
_JSON_REWRITTEN = r"^[\[{]|[^ -~]"
_EXTENSION = f'{{"{MARKER}"'


def float_texts(values: pa.Array) -> pa.Array:
    """Each float as `repr` gives it (string), null for null."""
    present = values.fill_null(0.0)
    dumped = orjson.dumps(present.to_numpy(), option=orjson.OPT_SERIALIZE_NUMPY)
    texts = texts_from_separated(dumped[1:-1], ord(","), len(values))
    texts = patched(texts, pc.invert(plain_floats(present)), present, repr)
    return _nulls_where(texts, values)


def plain_floats(values: pa.Array) -> pa.Array:
    """Where a float's shortest decimal form has no exponent in Python's notation (boolean, false for NaN)."""
    size = pc.abs(values)
    decimal = pc.and_(pc.greater_equal(size, FLOAT_PLAIN_FROM), pc.less(size, FLOAT_PLAIN_BELOW))
    return pc.or_(decimal, pc.equal(size, 0.0))


def json_cells(values: pa.Array, is_json: bool) -> pa.Array:
    """Each value as `json.dumps` writes it (ASCII, `", "` and `": "`), null as `null`.

    Decimal, date and time become a JSON string of their text (ISO format), bytes one of base64.

    Args:
        values: A column's array, native or exact JSON text.
        is_json: Whether it is JSON text (see `rows/values.py`).
    """
    if is_json:
        texts = mapped(values, pc.match_substring_regex(values, _JSON_REWRITTEN), _json_of_text)
    elif pa.types.is_string(values.type):
        texts = pc.binary_join_element_wise('"', values, '"', "")
        if not needs_no_escape(values):
            texts = patched(texts, pc.match_substring_regex(values, _JSON_ESCAPED), values, json.dumps)
    elif pa.types.is_boolean(values.type):
        texts = pc.if_else(values, "true", "false")
    else:
        texts = _python_texts(values)
        if not _is_number(values.type):
            texts = pc.binary_join_element_wise('"', texts, '"', "")
    return filled(texts, "null")


def needs_no_escape(values: pa.Array) -> bool:
    """Whether `json.dumps` writes each of some texts (string) as it is, but for the quotes around it."""
    return not holds_any(values, b'"\\\x7f', controls=True, non_ascii=True)


def are_containers(values: pa.Array) -> bool:
    """Whether each of some JSON texts, none null, is of an array or an object, and not of an extension."""
    opening = pc.is_in(pc.binary_slice(values.cast(pa.binary()), 0, 1), pa.array([b"[", b"{"]))
    return bool(pc.all(opening).as_py()) and not pc.any(pc.starts_with(values, _EXTENSION)).as_py()


def csv_cells(values: pa.Array, is_json: bool) -> pa.Array:
    """Each value as a CSV cell holds it, before quoting: text verbatim, null as the empty text.

    Booleans are `True` and `False`, floats as `repr`, arrays and objects as `json.dumps`, Decimal, date and
    time their text (ISO format), bytes base64.

    Args:
        values: A column's array, native or exact JSON text.
        is_json: Whether it is JSON text (see `rows/values.py`).
    """
    if is_json:
        texts = mapped(values, pc.match_substring_regex(values, r"^[^-0-9]"), _csv_of_text)
    elif pa.types.is_string(values.type):
        texts = values
    elif pa.types.is_boolean(values.type):
        texts = pc.if_else(values, "True", "False")
    else:
        texts = _python_texts(values)
    return filled(texts, "")


def json_objects(
    cells: Mapping[str, pa.Array], shapes: Sequence[tuple[str, ...]], shape: pa.Array
) -> pa.Array:
    """One object per row as `json.dumps` writes it, keys in the row's own order.

    Args:
        cells: For every key of any shape, its `json_cells`.
        shapes: The ordered key tuples.
        shape: Index into `shapes` per row (int32).
    """
    return joined_by_shape(cells, shapes, shape, _joined_objects)


def _joined_objects(keys: tuple[str, ...], cells: Mapping[str, pa.Array], count: int) -> pa.Array:
    parts: list[pa.Array | str] = ["{"]
    for number, key in enumerate(keys):
        parts += [f"{', ' if number else ''}{json.dumps(key)}: ", cells[key]]
    return concatenated([*parts, "}"], count)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _python_texts(values: pa.Array) -> pa.Array:
    """Text of numbers, dates, times and bytes, null for null."""
    kind = values.type
    if pa.types.is_floating(kind):
        return float_texts(values)
    if pa.types.is_timestamp(kind):
        return _each(values, datetime.isoformat)
    if pa.types.is_binary(kind):
        return _each(values, base64_text)
    return values.cast(pa.string())


def _each(values: pa.Array, change: Callable[[Any], str]) -> pa.Array:
    texts = [None if value is None else change(value) for value in values.to_pylist()]
    return pa.array(texts, pa.string())


def _nulls_where(texts: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string())) if values.null_count else texts


def _json_of_text(text: str) -> str:
    return _DUMPS.encode(decode_value(text))


def _csv_of_text(text: str) -> str:
    value = decode_value(text)
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return _DUMPS.encode(value)
    return str(value) if isinstance(value, bool) else _extension_text(value)


def _extension_text(value: Any) -> str:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64_text(value)
    raise InvalidValueError(f"a value of type {type(value).__name__} in a column of JSON text")


# `json.dumps` with a function of one's own makes an encoder for every call.
_DUMPS = json.JSONEncoder(default=_extension_text)
