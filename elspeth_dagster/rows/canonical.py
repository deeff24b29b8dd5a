"""The canonical form `elspeth-c14n/1` and the hash of a row.

RFC 8785 (JSON Canonicalization Scheme). Beyond it: integers past 2^53 - 1 as exact decimal digits, and the
`$elspeth` forms of `rows/values.py`. The form does not tell 1 from 1.0.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.arrays import concatenated, filled, holds_any, joined_by_shape, mapped, patched
from elspeth_dagster.rows.domain import MARKER
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.texts import FLOAT_PLAIN_BELOW, FLOAT_PLAIN_FROM, float_texts, plain_floats
from elspeth_dagster.rows.values import base64_text, json_tree, load_exact

CANONICAL_FORM = "elspeth-c14n/1"

_HASH_BYTES = 32
_ESCAPED = r'["\\\x00-\x1f]'
_NOT_CANONICAL_TEXT = r"^(?:[\[{]|-?[0-9]+[.e])"
# Where orjson would write a float unlike ECMAScript, lose an integer's digits, or might not sort as UTF-16.
_PAST_ORJSON = re.compile(r"[0-9]e|\.0(?![0-9])|[0-9]{19}|[\U00010000-\U0010ffff]|\\u[dD][89abAB]")
_HASHED_AT_ONCE_BYTES = 16 << 20


def canonical_text(value: Any) -> str:
    """The canonical form of one value.

    Raises:
        InvalidValueError: A value that no row can hold.
    """
    return _tree_text(json_tree(value))


def _tree_text(tree: Any) -> str:
    if isinstance(tree, str):
        return _string_text(tree)
    if isinstance(tree, float):
        return _float_text(tree)
    if isinstance(tree, list):
        return f"[{','.join(map(_tree_text, tree))}]"
    if isinstance(tree, dict):
        members = [f"{_string_text(key)}:{_tree_text(tree[key])}" for key in sorted(tree, key=_utf16)]
        return f"{{{','.join(members)}}}"
    return _WORDS[tree] if tree is None or isinstance(tree, bool) else int.__repr__(tree)


_WORDS = {None: "null", True: "true", False: "false"}


def _string_text(text: str) -> str:
    try:
        return orjson.dumps(text).decode()
    except orjson.JSONEncodeError:
        raise InvalidValueError("text with a lone surrogate") from None


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _float_text(number: float) -> str:
    """ECMAScript's Number::toString (ECMA-262, 6.1.6.1.20)."""
    if not math.isfinite(number):
        raise InvalidValueError(f"a number that is not finite: {float.__repr__(number)}")
    if number == 0:
        return "0"
    text = float.__repr__(number)
    if FLOAT_PLAIN_FROM <= abs(number) < FLOAT_PLAIN_BELOW:
        return text.removesuffix(".0")
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    power = int(exponent)
    digits = mantissa.replace(".", "")
    if 0 < power < 21:
        return sign + digits.ljust(power + 1, "0")
    if -7 < power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    return f"{sign}{mantissa}e{power:+d}"


def canonical_cells(values: pa.Array, is_json: bool) -> pa.Array:
    """The canonical form of each value (string), `null` for null.

    Args:
        values: A column's array, native or exact JSON text.
        is_json: Whether it is JSON text (see `rows/values.py`).

    Raises:
        InvalidValueError: A float that is not finite.
    """
    kind = values.type
    if is_json:
        texts = mapped(values, pc.match_substring_regex(values, _NOT_CANONICAL_TEXT), _canonical_of_text)
    elif pa.types.is_string(kind):
        texts = pc.binary_join_element_wise('"', values, '"', "")
        if holds_any(values, b'"\\', controls=True):
            texts = patched(texts, pc.match_substring_regex(values, _ESCAPED), values, _string_text)
    elif pa.types.is_floating(kind):
        texts = canonical_floats(values, float_texts(values))
    elif pa.types.is_boolean(kind):
        texts = pc.if_else(values, "true", "false")
    else:
        texts = _extension_cells(values)
    return filled(texts, "null")


def canonical_floats(values: pa.Array, texts: pa.Array) -> pa.Array:
    """The canonical form of each float (string), given the text that `repr` gives it.

    Raises:
        InvalidValueError: One is not finite.
    """
    plain = plain_floats(values)
    whole = pc.and_(plain, pc.equal(pc.trunc(values), values))
    if pc.any(whole).as_py():
        integers = values.filter(whole).cast(pa.int64()).cast(pa.string())
        texts = pc.replace_with_mask(texts, whole.fill_null(False), integers)
    return patched(texts, pc.invert(plain), values, _float_text)


def _extension_cells(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_timestamp(kind):
        name, texts = "timestamp", pc.replace_substring(values.cast(pa.string()), " ", "T")
    elif pa.types.is_date(kind):
        name, texts = "date", values.cast(pa.string())
    elif pa.types.is_binary(kind):
        encoded = [None if value is None else base64_text(value) for value in values.to_pylist()]
        name, texts = "bytes", pa.array(encoded, pa.string())
    else:  # integers, and the null type
        return values.cast(pa.string())
    return pc.binary_join_element_wise(f'{{"$elspeth":["{name}","', texts, '"]}', "")


def _canonical_of_text(text: str) -> str:
    """The canonical form of a text that `encode_value` gave; its `$elspeth` forms stay what they are."""
    if _PAST_ORJSON.search(text) is None:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    return _tree_text(load_exact(text))


def canonical_objects(
    cells: Mapping[str, pa.Array], shapes: Sequence[tuple[str, ...]], shape: pa.Array
) -> pa.Array:
    """The canonical object of each row (string), as `canonical_text` gives it for the row as a mapping.

    Args:
        cells: For every key of any shape, its `canonical_cells`.
        shapes: The key tuples, in any order of keys.
        shape: Index into `shapes` per row (int32).
    """
    return joined_by_shape(cells, shapes, shape, _joined_objects)


def _joined_objects(keys: tuple[str, ...], cells: Mapping[str, pa.Array], count: int) -> pa.Array:
    opening, closing = ('{"$elspeth":["object",{', "}]}") if MARKER in keys else ("{", "}")
    parts: list[pa.Array | str] = [opening]
    for number, key in enumerate(sorted(keys, key=_utf16)):
        parts += [f"{',' if number else ''}{_string_text(key)}:", cells[key]]
    return concatenated([*parts, closing], count)


def sha256_rows(texts: pa.Array) -> pa.Array:
    """The SHA-256 (fixed-size binary of 32) of each text (string or binary, no nulls)."""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(text).digest() for text in texts.cast(pa.binary()).to_pylist()])
    return pa.Array.from_buffers(pa.binary(_HASH_BYTES), len(texts), [None, pa.py_buffer(digests)])


def hash_rows(cells: Mapping[str, pa.Array], shapes: Sequence[tuple[str, ...]], shape: pa.Array) -> pa.Array:
    """The hash of each row: SHA-256 of its canonical object, without holding all objects at once.

    Args:
        cells: For every key of any shape, its `canonical_cells`.
        shapes: The key tuples, in any order of keys.
        shape: Index into `shapes` per row (int32).
    """
    count = len(shape)
    size_bytes = sum(array.nbytes for array in cells.values()) + count
    step = max(1, _HASHED_AT_ONCE_BYTES * count // max(1, size_bytes))
    pieces = [pa.array([], pa.binary(_HASH_BYTES))]
    for start in range(0, count, step):
        piece = {key: array.slice(start, step) for key, array in cells.items()}
        pieces.append(sha256_rows(canonical_objects(piece, shapes, shape.slice(start, step))))
    return pa.concat_arrays(pieces)
