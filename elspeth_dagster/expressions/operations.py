"""What compiled expressions call where Python's own operator could build something huge, or name no key."""

from collections.abc import Mapping
from typing import Any, NoReturn

from elspeth_dagster.expressions.errors import EvaluationError, missing_key
from elspeth_dagster.expressions.formatting import format_text
from elspeth_dagster.expressions.limits import (
    MAX_INTEGER_DIGITS,
    check_bits,
    check_digits,
    check_length,
    check_whole,
    check_writable,
    text_size,
)

_SEQUENCES = (str, bytes, list, tuple)
# The bases that Python reads in linear time, and so without a limit of its own.
_BITS_PER_DIGIT = {2: 1, 4: 2, 8: 3, 16: 4, 32: 5}
_ENCODINGS = ("utf-8", "utf8", "ascii", "latin-1")


def add(left: Any, right: Any) -> Any:
    """Gives `left + right`."""
    if isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
        check_length(_sequence_size(left) + _sequence_size(right))
    return left + right


def multiply(left: Any, right: Any) -> Any:
    """Gives `left * right`."""
    if isinstance(left, int):
        if isinstance(right, int):
            check_bits(left.bit_length() + right.bit_length() - 1)
        elif isinstance(right, _SEQUENCES):
            check_length(_sequence_size(right) * left)
    elif isinstance(left, _SEQUENCES) and isinstance(right, int):
        check_length(_sequence_size(left) * right)
    return left * right


def remainder(left: Any, right: Any) -> Any:
    """Gives `left % right`, which formats when `left` is a text."""
    if isinstance(left, str):
        return format_text(left, right)
    if isinstance(left, bytes):
        raise EvaluationError("'%' does not format bytes here")
    return left % right


def to_text(*arguments: Any) -> str:
    """Gives `str(*arguments)`."""
    if len(arguments) == 1:
        return _text_of(arguments[0])
    if arguments and arguments[1] not in _ENCODINGS:
        raise EvaluationError(f"str() decodes {', '.join(_ENCODINGS)} only")
    if arguments[2:] and arguments[2] not in ("strict", "replace", "ignore"):
        raise EvaluationError("str() handles errors by strict, replace or ignore only")
    text = str(*arguments)
    check_length(len(text))
    return text


def _text_of(value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | float() | None:  # the common ones, quickly
            return str(value)
        case int():
            check_digits(value)
            return str(value)
    check_writable(value)
    text = str(value)
    check_length(len(text))
    return text


def to_integer(*arguments: Any) -> int:
    """Gives `int(*arguments)`."""
    if arguments:
        check_whole(arguments[0])
        if isinstance(arguments[0], str | bytes):
            _check_numeral(*arguments)
    return int(*arguments)


def _check_numeral(numeral: str | bytes, base: Any = 10) -> None:
    """Refuses what Python's own limit refuses, which an environment variable could have switched off."""
    check_length(len(numeral))
    if len(numeral) <= MAX_INTEGER_DIGITS:
        return
    text = numeral if isinstance(numeral, str) else numeral.decode("latin-1")
    digits = sum(map(str.isalnum, text))
    if base in _BITS_PER_DIGIT:
        check_bits(digits * _BITS_PER_DIGIT[base])
    elif digits > MAX_INTEGER_DIGITS:
        raise EvaluationError(f"int() of more than {MAX_INTEGER_DIGITS:,} digits")


def item(row: Mapping[str, Any], aliases: Mapping[str, str], key: Any) -> Any:
    """Gives `row[key]` for a computed key."""
    if key in row:
        return row[key]
    if aliases.get(key) in row:
        return row[aliases[key]]
    return missing(key)


def get(row: Mapping[str, Any], aliases: Mapping[str, str], key: Any, default: Any) -> Any:
    """Gives `row.get(key, default)` for a computed key."""
    if key in row:
        return row[key]
    return row.get(aliases.get(key, key), default)


def missing(key: object) -> NoReturn:
    """Fails for a key that the row does not have."""
    raise EvaluationError(missing_key(key))


def same(value: Any) -> Any:
    """Gives the value. It keeps Python's compiler from folding, and warning about, an odd expression."""
    return value


def second(_first: Any, value: Any) -> Any:
    """Gives its second argument; the first had to be evaluated because it can fail."""
    return value


def _sequence_size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else text_size(value)
