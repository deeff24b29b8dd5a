"""`text % values` within the limits of the language."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any, cast

from elspeth_dagster.expressions.errors import EvaluationError
from elspeth_dagster.expressions.limits import (
    check_digits,
    check_length,
    check_whole,
    check_writable,
    text_size,
)

# Behind the "%" and its "(key)": flags, width, precision, a length that has no effect, conversion.
_SPECIFIER = re.compile(r"[-+ #0]*(\*|[0-9]*)(?:\.(\*|[0-9]*))?[hlL]?(.?)", re.DOTALL)
_DEFAULT_PRECISION = 6
_SURROGATES = range(0xD800, 0xE000)


def format_text(template: str, values: Any) -> str:
    """Gives `template % values`.

    Raises:
        EvaluationError: The text would be too long, or one that no row may hold.
        LookupError, TypeError, ValueError, OverflowError: As `%` itself.
    """
    check_length(len(template))
    # What "%" refuses is left to "%": it fails at the same specifier, before it builds anything for it.
    with suppress(LookupError, TypeError, ValueError, OverflowError, StopIteration):
        _check_size(template, values)
    text: str = template % values
    check_length(len(text))
    return text


def _check_size(template: str, values: Any) -> None:
    """Adds up, specifier by specifier, the least that `%` would build."""
    arguments = _Arguments(values)
    size = position = 0
    while (percent := template.find("%", position)) >= 0:
        size += percent - position
        position = _choose(template, percent + 1, arguments)
        # Every part of it is optional, so it matches anywhere.
        specifier = cast("re.Match[str]", _SPECIFIER.match(template, position))
        position = specifier.end()
        width = abs(arguments.number(specifier[1]))
        precision = None if specifier[2] is None else max(0, arguments.number(specifier[2]))
        conversion = specifier[3]
        if conversion != "%":
            size += max(width, _least_size(conversion, precision, arguments.next()))
        elif specifier[0] == "%":
            size += 1
        else:  # Python versions differ on whether it takes a value
            raise EvaluationError("unsupported format character '%'")
        check_length(size)


def _choose(template: str, position: int, arguments: "_Arguments") -> int:
    """Reads a `(key)`, in which parentheses may nest; gives the position behind it."""
    if template[position : position + 1] != "(":
        return position
    start = position + 1
    depth = 1
    while depth:
        position += 1
        depth += {"(": 1, ")": -1}.get(template[position], 0)
    arguments.choose(template[start:position])
    return position + 1


class _Arguments:
    """The values as `%` takes them: one after the other, or by key."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self._rest: Iterator[Any] = iter(values if isinstance(values, tuple) else (values,))

    def choose(self, key: str) -> None:
        self._rest = iter((self._values[key],))

    def next(self) -> Any:
        return next(self._rest)

    def number(self, text: str) -> int:
        """Gives a width or precision: as written, nothing meaning 0, or for `*` the next value."""
        if text != "*":
            return int(text or "0")
        value = self.next()
        if not isinstance(value, int):
            raise TypeError("* wants int")
        return value


def _least_size(conversion: str, precision: int | None, value: Any) -> int:
    """Gives the least number of characters that are built for one specifier.

    Raises:
        EvaluationError: The value cannot be written within the limits.
    """
    match conversion, value:
        case "s" | "r" | "a", _:
            return _text_length(conversion, precision, value)
        case "d" | "i" | "u", int() | float() | Decimal():
            check_whole(value)
            whole = int(value)
            check_digits(whole)
            return max(text_size(whole), precision or 0)
        case "o" | "x" | "X", int():
            return max(value.bit_length() // 4, precision or 0)
        case "e" | "E" | "f" | "F" | "g" | "G", int() | float() | Decimal():
            digits = _DEFAULT_PRECISION if precision is None else precision
            return digits + (_whole_digits(float(value)) if conversion in "fF" else 0)
        case "c", int() if value in _SURROGATES:
            raise EvaluationError("'%c' would make a lone surrogate")
    return 0


def _text_length(conversion: str, precision: int | None, value: Any) -> int:
    if conversion == "s" and isinstance(value, str):
        length = len(value)
    else:  # built whole, then cut
        check_writable(value)
        length = text_size(value)
    return length if precision is None else min(length, precision)


def _whole_digits(number: float) -> int:
    """Gives a lower bound of the digits before the point."""
    return max(0, math.frexp(number)[1] * 3 // 10) if math.isfinite(number) else 0
