"""Coercion of declared fields at the source boundary, one value at a time and by column.

`coerce_value` is the rule; the columns give the same results. What Arrow's parsers would read differently
(hex, `nan`, a sign alone) never reaches them: a mask lets through the forms on which they and the rule agree,
and the rest takes the rule itself, once for each distinct text.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.domain import MAX_INT_DIGITS, TOO_MANY_DIGITS, check_value
from elspeth_dagster.rows.errors import CoercionError, InvalidValueError
from elspeth_dagster.rows.fields import FieldSpec, FieldType
from elspeth_dagster.rows.values import build_column, decode_value

_INT_TEXT = re.compile(r"([+-]?)([0-9]+(?:_[0-9]+)*)(?:\.0+)?")
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_FLOAT_TEXT = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
_EMPTY_IS_NULL = frozenset({FieldType.INT, FieldType.FLOAT, FieldType.BOOL})
_SHOWN_CHARACTERS = 40

# The forms that Arrow parses as the rule says: at most 18 digits fit an int64, and a float of at most 100
# characters with a two-digit exponent is finite.
_PLAIN_INT = r"^-?[0-9]{1,18}$"
_PLAIN_FLOAT = r"^-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?$"
_PLAIN_FLOAT_CHARACTERS = 100
_NEARLY_PLAIN_INT = r"^[ \t]*(?:\+|(-))?0*([0-9]{1,18})(?:\.0+)?[ \t]*$"
_NEARLY_PLAIN_FLOAT = r"^[ \t]*(?:\+|(-))?([.0-9][^ \t]*)[ \t]*$"


@dataclass(frozen=True, eq=False)
class Coerced:
    """A column after coercion.

    Attributes:
        values: The coerced values, null where a value is null or was refused.
        is_json: Whether `values` is JSON text.
        reasons: Position to reason, for each value that was refused.
    """

    values: pa.Array
    is_json: bool = False
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def failed(self) -> pa.Array | None:
        """Where a value was refused (boolean per row), or `None` when none was."""
        if not self.reasons:
            return None
        mask = np.zeros(len(self.values), bool)
        mask[list(self.reasons)] = True
        return pa.array(mask)


def coerce_value(value: Any, kind: FieldType, required: bool) -> Any:
    """One value of a record as its declared type has it.

    Args:
        value: As JSON gives it, or the text of a CSV cell.
        kind: The declared type.
        required: Whether null is refused (type any takes null all the same). An empty text is null for an
            int, float or bool that is not required.

    Raises:
        CoercionError: The type does not take the value.
    """
    if value is None:
        if required and kind is not FieldType.ANY:
            raise _refused(kind, value)
        return None
    if value == "" and not required and kind in _EMPTY_IS_NULL:
        return None
    return _RULES[kind](value)


def _int(value: Any) -> int:
    if isinstance(value, str):
        return _int_of_text(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise _refused(FieldType.INT, value)


def _int_of_text(text: str) -> int:
    match = _INT_TEXT.fullmatch(text.strip())
    if match is None:
        raise _refused(FieldType.INT, text)
    sign, digits = match.groups()
    digits = digits.replace("_", "").lstrip("0") or "0"
    if len(digits) > MAX_INT_DIGITS:
        raise CoercionError(f"expected int, found {TOO_MANY_DIGITS}")
    return int(sign + digits)


def _float(value: Any) -> float:
    if not isinstance(value, str | int | float):
        raise _refused(FieldType.FLOAT, value)
    if isinstance(value, str) and not _FLOAT_TEXT.fullmatch(value.strip()):
        raise _refused(FieldType.FLOAT, value)
    try:
        number = float(value)
    except OverflowError:
        raise CoercionError("expected float, found an integer past its range") from None
    if not math.isfinite(number):
        raise _refused(FieldType.FLOAT, value)
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        word = value.lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise _refused(FieldType.BOOL, value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(FieldType.STR, value)
    return value


def _any(value: Any) -> Any:
    try:
        check_value(value)
    except InvalidValueError as error:
        raise CoercionError(f"found {error.reason}") from None
    return value


_RULES: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.INT: _int,
    FieldType.FLOAT: _float,
    FieldType.BOOL: _bool,
    FieldType.STR: _str,
    FieldType.ANY: _any,
}


def _refused(kind: FieldType, value: Any) -> CoercionError:
    return CoercionError(f"expected {kind.value}, found {_shown(value)}")


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    if isinstance(value, str):
        cut = len(value) - _SHOWN_CHARACTERS
        return f"text {value[:_SHOWN_CHARACTERS]!r}" + (f" and {cut} more characters" if cut > 0 else "")
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer past 64 bits"
    return repr(value)


def coerce_text_column(cells: pa.Array, spec: FieldSpec) -> Coerced:
    """A declared field's column of CSV cells, or of JSON values that are all text.

    Args:
        cells: Text (string); null is refused where the field is required.
        spec: The field.
    """
    if spec.type in (FieldType.STR, FieldType.ANY):
        return _as_they_are(cells, spec)
    if spec.type in _EMPTY_IS_NULL and not spec.required:
        cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
    if spec.type is FieldType.BOOL:
        return _by_distinct_text(cells, spec)
    if spec.type is FieldType.INT:
        return _parsed(cells, *_simplified(cells, _PLAIN_INT, _NEARLY_PLAIN_INT), spec)
    simple, plain = _simplified(cells, _PLAIN_FLOAT, _NEARLY_PLAIN_FLOAT)
    short = pc.less_equal(pc.binary_length(simple), _PLAIN_FLOAT_CHARACTERS)
    return _parsed(cells, simple, pc.and_(short, plain), spec)


def coerce_column(values: pa.Array, is_json: bool, spec: FieldSpec) -> Coerced:
    """A declared field's column of JSON values.

    Args:
        values: A column's array, native or exact JSON text; null is refused where the field is required.
        is_json: Whether it is JSON text (see `rows/values.py`).
        spec: The field.
    """
    kind = values.type
    if pa.types.is_string(kind) and not is_json:
        return coerce_text_column(values, spec)
    if spec.type is FieldType.ANY or (not is_json and kind == _NATIVE_TYPES.get(spec.type)):
        return _as_they_are(values, spec, is_json)
    if spec.type is FieldType.FLOAT and pa.types.is_int64(kind):
        return _as_they_are(values.cast(pa.float64(), safe=False), spec)
    python = values.to_pylist()
    if is_json:
        python = [None if text is None else decode_value(text) for text in python]
    return _by_value(python, spec)


_NATIVE_TYPES = {FieldType.INT: pa.int64(), FieldType.FLOAT: pa.float64(), FieldType.BOOL: pa.bool_()}


def _as_they_are(values: pa.Array, spec: FieldSpec, is_json: bool = False) -> Coerced:
    if not spec.required or spec.type is FieldType.ANY or not values.null_count:
        return Coerced(values, is_json)
    reason = _refused(spec.type, None).reason
    missing = pc.indices_nonzero(values.is_null()).to_pylist()
    return Coerced(values, is_json, dict.fromkeys(missing, reason))


def _simplified(cells: pa.Array, plain: str, nearly: str) -> tuple[pa.Array, pa.Array]:
    """The cells, those plain but for blanks, a plus sign or zeros made plain; and which are plain."""
    is_plain = pc.match_substring_regex(cells, plain)
    other = pc.invert(is_plain)
    if not pc.any(other).as_py():
        return cells, is_plain
    simpler = pc.replace_substring_regex(cells.filter(other), nearly, r"\1\2")
    where = other.fill_null(False)
    now_plain = pc.replace_with_mask(is_plain, where, pc.match_substring_regex(simpler, plain))
    return pc.replace_with_mask(cells, where, simpler), now_plain


def _parsed(cells: pa.Array, simple: pa.Array, plain: pa.Array, spec: FieldSpec) -> Coerced:
    """Simplified cells by Arrow's parser where they are plain, the others' cells by the rule."""
    kind = _NATIVE_TYPES[spec.type]
    if pc.all(plain, skip_nulls=False).as_py():
        return Coerced(simple.cast(kind))
    numbers = pc.if_else(plain, simple, pa.scalar(None, pa.string())).cast(kind)
    other = pc.invert(plain).fill_null(True)
    rest = _by_distinct_text(cells.filter(other), spec)
    if rest.is_json:
        numbers = numbers.cast(pa.string())
    values = pc.replace_with_mask(numbers, other, rest.values.cast(numbers.type))
    where = pc.indices_nonzero(other).to_pylist()
    return Coerced(values, rest.is_json, {where[at]: reason for at, reason in rest.reasons.items()})


def _by_distinct_text(cells: pa.Array, spec: FieldSpec) -> Coerced:
    codes = cells.dictionary_encode()
    texts = [*codes.dictionary.to_pylist(), None]
    code = codes.indices.fill_null(len(texts) - 1).to_numpy()
    distinct = _by_value(texts, spec)
    reasons: dict[int, str] = {}
    if distinct.reasons:
        refused = np.zeros(len(texts), bool)
        refused[list(distinct.reasons)] = True
        where = np.flatnonzero(refused[code])
        reasons = {
            at: distinct.reasons[c] for at, c in zip(where.tolist(), code[where].tolist(), strict=True)
        }
    return Coerced(distinct.values.take(pa.array(code)), distinct.is_json, reasons)


def _by_value(values: Sequence[Any], spec: FieldSpec) -> Coerced:
    coerced: list[Any] = []
    reasons: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            coerced.append(coerce_value(value, spec.type, spec.required))
        except CoercionError as error:
            coerced.append(None)
            reasons[position] = error.reason
    array, is_json = build_column(coerced)
    return Coerced(array, is_json, reasons)
