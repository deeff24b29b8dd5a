"""Values as exact, order-preserving JSON text, as columns, and as read from JSON.

The text is JSON; what JSON has no form for is `{"$elspeth": [type, text]}`, and a user's object that has the
key `$elspeth` is `{"$elspeth": ["object", {...}]}`.
"""

import binascii
import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.domain import (
    EXACT_TYPES,
    MARKER,
    MARKER_LEVELS,
    MAX_NESTING,
    TOO_DEEP,
    TOO_MANY_DIGITS,
    base_type,
    check_value,
)
from elspeth_dagster.rows.errors import InvalidValueError

__all__ = [
    "InvalidValueError",
    "base64_text",
    "build_column",
    "check_value",
    "decode_value",
    "encode_value",
    "json_tree",
    "load_exact",
    "parse_json",
    "parse_json_texts",
    "timestamp_text",
]

_QUOTED_MARKER = f'"{MARKER}"'
_LONG_INT = re.compile(r"[0-9]{19}")
# Where orjson might lose an integer's digits, or (some versions) read the integer -0 as a float.
_LONG_INT_BYTES = re.compile(rb"[0-9]{19}")
_MINUS_ZERO = re.compile(rb"-0(?![.0-9])")
_PAST_ORJSON = r"[0-9]{19}|-0(?:[^.0-9]|$)"
_FREE_NESTINGS = MAX_NESTING // MARKER_LEVELS
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_UTC_MICROSECONDS = pa.timestamp("us", "UTC")
_NATIVE: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    date: pa.date32(),
    datetime: _UTC_MICROSECONDS,
    bytes: pa.binary(),
}
_SCALARS: dict[type, Callable[[Any], str]] = {int: int.__repr__, float: float.__repr__}


def encode_value(value: Any) -> str:
    """The exact JSON text of a value that `check_value` passes; equal values of one type give one text."""
    as_text = _SCALARS.get(type(value))
    if as_text is not None:
        return as_text(value)
    try:
        text = _ENCODER.encode(value)
    except TypeError:
        return _ENCODER.encode(json_tree(value))
    return _ENCODER.encode(json_tree(value)) if _QUOTED_MARKER in text else text


def json_tree(value: Any) -> Any:
    """The value as JSON alone can say it, with the `$elspeth` forms in place.

    Raises:
        InvalidValueError: A type that no row holds.
    """
    if isinstance(value, list | tuple):
        return [json_tree(item) for item in value]
    kind = base_type(value)
    if kind is dict:
        tree = {key: json_tree(item) for key, item in value.items()}
        return {MARKER: [_OBJECT, tree]} if MARKER in tree else tree
    if kind in _EXTENSIONS:
        name, as_text = _EXTENSIONS[kind]
        return {MARKER: [name, as_text(value)]}
    return value


def timestamp_text(value: datetime) -> str:
    """A time in UTC as `2024-01-02T03:04:05.000006Z`."""
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def base64_text(data: bytes) -> str:
    """Bytes as base64 (RFC 4648, with padding)."""
    return binascii.b2a_base64(data, newline=False).decode()


_OBJECT = "object"
_EXTENSIONS: dict[type, tuple[str, Callable[[Any], str]]] = {
    datetime: ("timestamp", timestamp_text),
    date: ("date", date.isoformat),
    Decimal: ("decimal", str),
    bytes: ("bytes", base64_text),
}
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
    "bytes": binascii.a2b_base64,
}


def decode_value(text: str) -> Any:
    """The value that `encode_value` gave this text for."""
    value = load_exact(text)
    return _untree(value) if _QUOTED_MARKER in text else value


def load_exact(text: str) -> Any:
    """The plain JSON tree of a text that `encode_value` gave, integers exact."""
    return json.loads(text) if _LONG_INT.search(text) else orjson.loads(text)


def _untree(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_untree(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if MARKER not in tree:
        return {key: _untree(item) for key, item in tree.items()}
    kind, content = tree[MARKER]
    if kind == _OBJECT:
        return {key: _untree(item) for key, item in content.items()}
    return _FROM_TEXT[kind](content)


def parse_json(data: bytes | str) -> Any:
    """The value of one JSON text as received; of duplicate keys the last wins, at the first one's place.

    Raises:
        InvalidValueError: Not UTF-8, not JSON, or a value that no row can hold: a number that is not finite
            (`NaN`, `1e999`), a lone surrogate, too many digits or levels.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if _needs_care(raw):
        return _parse_strictly(raw)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_strictly(raw)


def _needs_care(raw: bytes) -> bool:
    if raw.count(b"[") + raw.count(b"{") > _FREE_NESTINGS or _LONG_INT_BYTES.search(raw):
        return True
    return b"-0" in raw and _MINUS_ZERO.search(raw) is not None


def parse_json_texts(texts: pa.Array) -> tuple[list[Any], dict[int, str]]:
    """The values of many JSON texts as received, each as `parse_json` gives it, but faster.

    Args:
        texts: JSON texts (binary), no nulls.

    Returns:
        One value per text, and position to reason for those that no row can hold (their value is None).
    """
    nestings = pc.add(pc.count_substring(texts, "["), pc.count_substring(texts, "{"))
    careful = pc.or_(pc.greater(nestings, _FREE_NESTINGS), pc.match_substring_regex(texts, _PAST_ORJSON))
    values: list[Any] = []
    problems: dict[int, str] = {}
    for raw, is_careful in zip(texts.to_pylist(), careful.to_pylist(), strict=True):
        value, reason = _strict_verdict(raw) if is_careful else _quick_verdict(raw)
        if reason is not None:
            problems[len(values)] = reason
        values.append(value)
    return values, problems


def _quick_verdict(raw: bytes) -> tuple[Any, str | None]:
    try:
        return orjson.loads(raw), None
    except orjson.JSONDecodeError:
        return _strict_verdict(raw)


def _strict_verdict(raw: bytes) -> tuple[Any, str | None]:
    try:
        return _parse_strictly(raw), None
    except InvalidValueError as error:
        return None, error.reason


def _parse_strictly(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidValueError(f"not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise InvalidValueError(TOO_DEEP) from None
    except ValueError:  # the interpreter's own limit on the digits of an integer
        raise InvalidValueError(TOO_MANY_DIGITS) from None
    check_value(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidValueError(f"a number that is not finite: {name}")


def build_column(values: Sequence[Any]) -> tuple[pa.Array, bool]:
    """The column of some cells' values: native when they are all of one native type, else JSON text.

    Returns:
        The array, null where a value is None, and whether it holds JSON text.

    Raises:
        InvalidValueError: A value that no row can hold.
    """
    kinds = _kinds(values)
    if not kinds <= EXACT_TYPES:
        values = [_exact(value) for value in values]
        kinds = _kinds(values)
    if not kinds:
        return pa.nulls(len(values)), False
    if len(kinds) == 1 and (kind := next(iter(kinds))) in _NATIVE:
        native = _native_column(values, kind)
        if native is not None:
            return native, False
    return _json_column(values), True


def _kinds(values: Sequence[Any]) -> set[type]:
    return set(map(type, values)) - {type(None)}


def _exact(value: Any) -> Any:
    """The value as its base type, where it is of a subclass: an enum's member, a NumPy float, a Timestamp."""
    if type(value) in EXACT_TYPES:
        return value
    check_value(value)
    kind = base_type(value)
    return _TO_BASE[kind](value) if kind in _TO_BASE else value


_TO_BASE: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes,
    datetime: lambda value: datetime.fromisoformat(timestamp_text(value)),
    date: lambda value: date(value.year, value.month, value.day),
}


def _native_column(values: Sequence[Any], kind: type) -> pa.Array | None:
    if kind is datetime:
        for value in values:
            check_value(value)
    try:
        column = pa.array(values, _NATIVE[kind])
    except (OverflowError, pa.ArrowInvalid):
        if kind is int:
            return None
        raise
    except UnicodeEncodeError:
        for value in values:
            check_value(value)
        raise
    if kind is float and pc.all(pc.is_finite(column)).as_py() is False:
        for value in values:
            check_value(value)
    return column


def _json_column(values: Sequence[Any]) -> pa.Array:
    texts: list[str | None] = []
    for value in values:
        check_value(value)
        texts.append(None if value is None else encode_value(value))
    return pa.array(texts, pa.string())
