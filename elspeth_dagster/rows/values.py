"""The values that a cell can hold, and their exact, order-preserving JSON text.

A cell holds None, bool, int (up to 4,300 digits), finite float, str without lone surrogates, list, dict with
str keys, Decimal, date, datetime in UTC (microseconds) or bytes. The text is JSON; what JSON has no form
for is `{"$elspeth": [type, text]}`, and a user's object that has the key `$elspeth` is
`{"$elspeth": ["object", {...}]}`.
"""

import binascii
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.errors import InvalidValueError

MARKER = "$elspeth"
MAX_INT_DIGITS = 4300
MAX_NESTING = 200

_QUOTED_MARKER = f'"{MARKER}"'
_INT_LIMIT = 10**MAX_INT_DIGITS
_MARKER_LEVELS = 3
_INT_PAST_ORJSON = re.compile(rb"[0-9]{19}")
_INT_PAST_ORJSON_TEXT = re.compile(r"[0-9]{19}")
_INT_MINUS_ZERO = re.compile(rb"-0(?!\.)")
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
_EXACT = frozenset({*_NATIVE, type(None), Decimal, list, dict})
_BASES = (str, int, float, list, dict, datetime, date, Decimal, bytes)
_TOO_DEEP = f"arrays and objects nested more than {MAX_NESTING} deep"
_TOO_MANY_DIGITS = f"an integer of more than {MAX_INT_DIGITS} digits"


def check_value(value: Any) -> None:
    """Makes sure that a cell can hold `value`.

    Raises:
        InvalidValueError: It cannot; the error says why.
    """
    _check(value, 0)


def _check(value: Any, depth: int) -> None:
    kind = _base(value)
    if kind is list or kind is dict:
        _check_container(value, depth)
    elif kind in _CHECKS:
        _CHECKS[kind](value)


def _base(value: Any) -> type:
    """The type that a cell knows the value by; a subclass counts as its base."""
    kind = type(value)
    if kind in _EXACT:
        return kind
    for base in _BASES:
        if issubclass(kind, base):
            return base
    raise InvalidValueError(f"a value of type {_type_name(value)}, which a row cannot hold")


def _check_container(value: Any, depth: int) -> None:
    depth += _MARKER_LEVELS if isinstance(value, dict) and MARKER in value else 1
    if depth > MAX_NESTING:
        raise InvalidValueError(_TOO_DEEP)
    if isinstance(value, list):
        for item in value:
            _check(item, depth)
        return
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidValueError(f"an object with a key of type {_type_name(key)}; keys are text")
        _check_text(key)
        _check(item, depth)


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(
            f"text with a lone surrogate (U+{ord(text[error.start]):04X} at position {error.start})"
        ) from None


def _check_int(value: int) -> None:
    if value.bit_length() > 64 and abs(value) >= _INT_LIMIT:
        raise InvalidValueError(_TOO_MANY_DIGITS)


def _check_finite(value: float | Decimal) -> None:
    if not math.isfinite(value):
        raise InvalidValueError(f"a number that is not finite: {value!s}")


def _check_datetime(value: datetime) -> None:
    offset = value.utcoffset()
    if offset is None:
        raise InvalidValueError(f"a time without a time zone: {value}; rows hold times in UTC")
    if offset != timedelta(0):
        raise InvalidValueError(f"a time that is not in UTC: {value}; convert it with astimezone(UTC)")
    if getattr(value, "nanosecond", 0):
        raise InvalidValueError(f"a time finer than a microsecond: {value}")


_CHECKS: dict[type, Callable[[Any], None]] = {
    str: _check_text,
    int: _check_int,
    float: _check_finite,
    Decimal: _check_finite,
    datetime: _check_datetime,
}


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def encode_value(value: Any) -> str:
    """The exact JSON text of a value that `check_value` passes; equal values of one type give one text."""
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
    kind = _base(value)
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
    return json.loads(text) if _INT_PAST_ORJSON_TEXT.search(text) else orjson.loads(text)


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
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _parse_json_strictly(raw)
    if _INT_PAST_ORJSON.search(raw) or (b"-0" in raw and _INT_MINUS_ZERO.search(raw)):
        return _parse_json_strictly(raw)
    if _MARKER_LEVELS * (raw.count(b"[") + raw.count(b"{")) > MAX_NESTING:
        check_value(value)
    return value


def _parse_json_strictly(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidValueError(f"not JSON: {error.msg} ({place})") from None
    except RecursionError:
        raise InvalidValueError(_TOO_DEEP) from None
    except ValueError:  # the interpreter's own limit on the digits of an integer
        raise InvalidValueError(_TOO_MANY_DIGITS) from None
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
    if not kinds <= _EXACT:
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
    if type(value) in _EXACT:
        return value
    check_value(value)
    kind = _base(value)
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
