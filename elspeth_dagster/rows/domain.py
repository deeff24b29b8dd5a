"""The values that a cell can hold.

None, bool, int (up to 4,300 digits), finite float, str without lone surrogates, list, dict with str keys,
Decimal, date, datetime in UTC (microseconds) and bytes.
"""

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from elspeth_dagster.rows.errors import InvalidValueError

# The key under which an object of ours says what JSON has no form for; see `rows/values.py`.
MARKER = "$elspeth"
# How many levels an object of the user's takes that has that key.
MARKER_LEVELS = 3
MAX_INT_DIGITS = 4300
MAX_NESTING = 200
TOO_DEEP = f"arrays and objects nested more than {MAX_NESTING} deep"
TOO_MANY_DIGITS = f"an integer of more than {MAX_INT_DIGITS} digits"

EXACT_TYPES = frozenset({type(None), bool, int, float, str, list, dict, Decimal, date, datetime, bytes})

_BASES = (str, int, float, list, dict, datetime, date, Decimal, bytes)
_INT_LIMIT = 10**MAX_INT_DIGITS


def check_value(value: Any) -> None:
    """Makes sure that a cell can hold `value`.

    Raises:
        InvalidValueError: It cannot; the error says why.
    """
    _check(value, 0)


def _check(value: Any, depth: int) -> None:
    kind = base_type(value)
    if kind is list or kind is dict:
        _check_container(value, depth)
    elif kind in _CHECKS:
        _CHECKS[kind](value)


def base_type(value: Any) -> type:
    """The type that a cell knows `value` by; a value of a subclass counts as one of its base.

    Raises:
        InvalidValueError: A type that no row holds.
    """
    kind = type(value)
    if kind in EXACT_TYPES:
        return kind
    for base in _BASES:
        if issubclass(kind, base):
            return base
    raise InvalidValueError(f"a value of type {_type_name(value)}, which a row cannot hold")


def _check_container(value: Any, depth: int) -> None:
    depth += MARKER_LEVELS if isinstance(value, dict) and MARKER in value else 1
    if depth > MAX_NESTING:
        raise InvalidValueError(TOO_DEEP)
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
        raise InvalidValueError(TOO_MANY_DIGITS)


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
