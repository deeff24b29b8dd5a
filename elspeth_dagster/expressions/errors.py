"""What can be wrong with an expression, and what can go wrong when it meets a row."""

import decimal
import re

from elspeth_dagster.errors import ElspethError
from elspeth_dagster.expressions.places import Places

_LONGEST_EXCERPT = 100
_LONGEST_REASON = 200

_COMPARISON = re.compile(r"'(.+?)' not supported between instances of '(.+?)' and '(.+?)'")
_ARITHMETIC = re.compile(r"unsupported operand type\(s\) for (.+?): '(.+?)' and '(.+?)'")
_CONCATENATION = re.compile(r'can only concatenate (\w+) \(not "(.+?)"\) to \w+')


class ExpressionError(ElspethError):
    """A text that is no expression of the language.

    Attributes:
        text: The whole text.
        reason: Which construct is not allowed or what is malformed, and what is allowed instead.
        offset: Where in the text, in characters from 0.
    """

    def __init__(self, text: str, reason: str, offset: int = 0) -> None:
        self.text = text
        self.reason = reason
        self.offset = offset
        super().__init__(f"expression {_excerpt(text, offset)!r}, {Places(text).describe(offset)}: {reason}")


class EvaluationError(ElspethError):
    """An expression that has no value for one row.

    Attributes:
        reason: Why, in one line, e.g. `missing key 'amount'` or `'>' between NoneType and int`.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


# What evaluating an accepted expression can raise. Lack of memory is not here: it is no property of a row.
EVALUATION_FAULTS: tuple[type[Exception], ...] = (
    EvaluationError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    Warning,  # `python -bb` raises it when text is compared with bytes
)


def evaluation_error(fault: Exception) -> EvaluationError:
    """Gives the evaluation error for what was raised, without a traceback, which would hold its row."""
    if isinstance(fault, EvaluationError):
        return EvaluationError(fault.reason)
    reason = _reason(fault)
    if len(reason) > _LONGEST_REASON:
        reason = reason[: _LONGEST_REASON - 1] + "…"
    return EvaluationError(reason)


def missing_key(key: object) -> str:
    """Words the reason for a key that is not there."""
    match key:
        case str():
            return f"missing key {key[:_LONGEST_REASON]!r}"
        case None | bool() | float() | int() if (
            not isinstance(key, int) or key.bit_length() <= _LONGEST_REASON
        ):
            return f"missing key {key!r}"
    return f"missing key, one of type {type(key).__name__}"


def _reason(fault: Exception) -> str:
    """Words a fault of Python's, alike in every Python version where that is cheap."""
    match fault:
        case KeyError(args=(key,)):
            return missing_key(key)
        case ZeroDivisionError():
            return "division by zero"
        case decimal.DecimalException():
            return f"decimal arithmetic: {type(fault).__name__}"
        case RecursionError():
            return "a value is nested too deeply"
        case TypeError():
            return _type_reason(str(fault))
    return str(fault) or type(fault).__name__


def _type_reason(message: str) -> str:
    if found := _COMPARISON.search(message) or _ARITHMETIC.search(message):
        operator, left, right = found.groups()
        return f"'{operator}' between {left} and {right}"
    if found := _CONCATENATION.search(message):
        left, right = found.groups()
        return f"'+' between {left} and {right}"
    return message


def _excerpt(text: str, offset: int) -> str:
    """Gives the text, or of a long one the part around the offset."""
    if len(text) <= _LONGEST_EXCERPT:
        return text
    start = max(0, min(offset - _LONGEST_EXCERPT // 2, len(text) - _LONGEST_EXCERPT))
    end = start + _LONGEST_EXCERPT
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
