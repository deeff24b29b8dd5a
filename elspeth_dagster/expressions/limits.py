"""The limits of the language, which keep one row from using up the machine.

Each is checked before the large value is built.
"""

from decimal import Decimal
from typing import Any

from elspeth_dagster.expressions.errors import EvaluationError

MAX_EXPRESSION_CHARACTERS = 65_536
MAX_DEPTH = 100
"""Levels that an expression may be nested. Each operator of `a + b + c` is a level, `a or b or c` is one."""

MAX_TEXT_CHARACTERS = 1_048_576
"""The longest text that may be built. A list, tuple, set or dict counts as the least text that it makes."""

MAX_INTEGER_BITS = 1_048_576
MAX_INTEGER_DIGITS = 4_300
"""The longest integer that is read from text or written as text: Python's own limit, as it comes."""

_TOO_MANY_DIGITS = 10**MAX_INTEGER_DIGITS
_MAX_DECIMAL_EXPONENT = 315_000  # 10 to the power of it is just within MAX_INTEGER_BITS


def check_length(characters: int) -> None:
    """Refuses a text that would be too long.

    Raises:
        EvaluationError: More than `MAX_TEXT_CHARACTERS`.
    """
    if characters > MAX_TEXT_CHARACTERS:
        raise EvaluationError(f"the result would be over the limit of {MAX_TEXT_CHARACTERS:,} characters")


def check_bits(bits: int) -> None:
    """Refuses an integer that would be too large.

    Raises:
        EvaluationError: More than `MAX_INTEGER_BITS`.
    """
    if bits > MAX_INTEGER_BITS:
        raise EvaluationError(f"the result would be an integer over the limit of {MAX_INTEGER_BITS:,} bits")


def check_whole(value: Any) -> None:
    """Refuses a decimal number whose integer would be too large, e.g. `Decimal("1e999999999")`.

    Raises:
        EvaluationError: Its integer would have more than `MAX_INTEGER_BITS`.
    """
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > _MAX_DECIMAL_EXPONENT:
        check_bits(MAX_INTEGER_BITS + 1)


def has_too_many_digits(value: int) -> bool:
    """Tells whether an integer has more than `MAX_INTEGER_DIGITS`, without writing it out."""
    return not -_TOO_MANY_DIGITS < value < _TOO_MANY_DIGITS


def check_digits(value: int) -> None:
    """Refuses an integer that is too long to be written out.

    Raises:
        EvaluationError: More than `MAX_INTEGER_DIGITS`.
    """
    if has_too_many_digits(value):
        raise EvaluationError(f"an integer of more than {MAX_INTEGER_DIGITS:,} digits has no text")


def text_size(value: Any) -> int:
    """Gives a lower bound of `len(repr(value))`, without building it; stops early past the limit."""
    size = 0
    waiting = [value]
    while waiting and size <= MAX_TEXT_CHARACTERS:
        current = waiting.pop()
        match current:
            case str() | bytes():
                size += len(current) + 2
            case bool() | None:
                size += 4
            case int():
                size += current.bit_length() * 3 // 10 or 1
            case list() | tuple() | set() | frozenset():
                size += 2 * len(current)  # brackets and ", "
                waiting.extend(current)
            case dict():
                size += 4 * len(current)  # braces, ": " and ", "
                waiting.extend(current)
                waiting.extend(current.values())
            case _:
                size += 1
    return size


def check_writable(value: Any) -> None:
    """Refuses a value whose text would be too long, or would not be the same in every process.

    Raises:
        EvaluationError: Too long, an integer of too many digits, or a set of several items, whose text has
            them in an order that changes from process to process.
    """
    check_length(text_size(value))
    waiting = [value]
    while waiting:
        current = waiting.pop()
        match current:
            case int():
                check_digits(current)
            case list() | tuple():
                waiting.extend(current)
            case dict():
                waiting.extend(current)
                waiting.extend(current.values())
            case set() | frozenset():
                if len(current) > 1:
                    raise EvaluationError("the text of a set has no fixed order")
                waiting.extend(current)
