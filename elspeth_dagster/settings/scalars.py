"""What an unquoted scalar of YAML means: the core schema of YAML 1.2.2, section 10.3.2.

Unlike in YAML 1.1, `yes`, `no`, `on` and `off` are text, as are dates: nothing is guessed.
"""

import json
import math
import re
from typing import Any

from elspeth_dagster.errors import ElspethError

Scalar = str | int | float | bool | None

TAG_PREFIX = "tag:yaml.org,2002:"

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 4300


class ScalarError(ElspethError):
    """A scalar that has no value here; the message says why."""


def plain_scalar(text: str) -> Scalar:
    """Give the value of an unquoted scalar.

    Raises:
        ScalarError: It is a number that is not finite, or has more digits than Python reads.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NON_FINITE.fullmatch(text):
        raise ScalarError(f"{text} is not a finite number; put it in quotes if text is meant")
    if len(text) > _MAX_DIGITS and (_DECIMAL.fullmatch(text) or _FLOAT.fullmatch(text)):
        raise ScalarError(f"a number of {len(text)} characters; at most {_MAX_DIGITS} are accepted")
    return _number(text)


def _number(text: str) -> Scalar:
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if math.isinf(number):
        raise ScalarError(f"{text} is too large for a number; put it in quotes if text is meant")
    return number


def tagged_scalar(tag: str, text: str) -> Scalar:
    """Give the value of a scalar with an explicit tag, such as `!!str 5`.

    Raises:
        ScalarError: The tag is none of the core schema's, or the text is no such value.
    """
    kind = tag.removeprefix(TAG_PREFIX)
    if tag == "!" or kind == "str":
        return text
    kinds: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "null": (type(None),),
    }
    if not tag.startswith(TAG_PREFIX) or kind not in kinds:
        raise ScalarError(f"the tag {tag} is not accepted; only !!str, !!int, !!float, !!bool and !!null are")
    value = plain_scalar(text)
    if type(value) not in kinds[kind]:
        raise ScalarError(f"the value is not one for the tag !!{kind}")
    return float(value) if kind == "float" and value is not None else value


def guessed_value(text: str) -> Any:
    """Give the value that an environment variable's text stands for.

    Scalars as in YAML; what is well-formed JSON for a list, an object or quoted text is taken as that; all
    else, and the empty text, is the text itself.
    """
    stripped = text.strip()
    if not stripped:
        return text
    if stripped[0] in '[{"':
        try:
            return json.loads(stripped, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError):
            return text
    if len(stripped) > 1 and stripped[0] == stripped[-1] == "'":
        return stripped[1:-1]
    try:
        value = plain_scalar(stripped)
    except ScalarError:
        return text
    return text if isinstance(value, str) else value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
