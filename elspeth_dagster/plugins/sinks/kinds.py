"""The kind of each value of a column, for sinks that care about types."""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elspeth_dagster.rows.rows import Column

_EXACT = 2**53
# Characters of an integer: up to so many a float holds it exactly, and with more it is past 64 bits.
_SHORT = 15
_LONGEST_64_BITS = 20


class Kind(IntEnum):
    """What a value is. Integers are told apart by what can hold them exactly."""

    NULL = 0
    BOOL = 1
    INT = 2
    WIDE_INT = 3
    """An integer that a float cannot hold exactly."""
    BIG_INT = 4
    """An integer past 64 bits."""
    FLOAT = 5
    STRING = 6
    DATE = 7
    TIMESTAMP = 8
    BYTES = 9
    DECIMAL = 10
    CONTAINER = 11

    @property
    def label(self) -> str:
        """The kind as people call it."""
        return _LABELS.get(self, self.name.lower())


_LABELS = {
    Kind.INT: "int",
    Kind.WIDE_INT: "int past 2^53",
    Kind.BIG_INT: "int past 64 bits",
    Kind.STRING: "text",
    Kind.CONTAINER: "list or object",
}
_EXTENSIONS = {
    "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP,
    "datetime": Kind.TIMESTAMP,
    "bytes": Kind.BYTES,
    "decimal": Kind.DECIMAL,
    "object": Kind.CONTAINER,
}
_EXTENSION = '{"$elspeth":'

_PLAIN = (
    ("bool", {"BOOL"}),
    ("int", {"INT", "WIDE_INT"}),
    ("float", {"INT", "FLOAT"}),
)

Kinds = npt.NDArray[np.int8]


def kinds_of(column: Column) -> Kinds:
    """One kind per value."""
    if column.is_json:
        return _json_kinds(column.values)
    values = column.values
    kinds = np.full(len(values), _native_kind(values.type), np.int8)
    if pa.types.is_integer(values.type):
        kinds[_wide(values)] = Kind.WIDE_INT
    if values.null_count:
        kinds[values.is_null().to_numpy(zero_copy_only=False)] = Kind.NULL
    return kinds


def kind_set(column: Column) -> set[Kind]:
    """The kinds that occur, `NULL` left out."""
    values = column.values
    if values.null_count == len(values):
        return set()
    if column.is_json:
        return {Kind(int(kind)) for kind in np.unique(_json_kinds(values))} - {Kind.NULL}
    kind = _native_kind(values.type)
    if kind is not Kind.INT:
        return {kind}
    span = pc.min_max(values).as_py()
    if span["min"] >= -_EXACT and span["max"] <= _EXACT:
        return {Kind.INT}
    return {Kind(int(kind)) for kind in np.unique(kinds_of(column))} - {Kind.NULL}


def plain_type(kinds: Iterable[str]) -> str:
    """What text of values of these kinds can be read as without loss: `bool`, `int`, `float` or `string`."""
    found = set(kinds)
    return next((name for name, held in _PLAIN if found and found <= held), "string")


def _native_kind(kind: pa.DataType) -> Kind:
    tests = (
        (pa.types.is_null, Kind.NULL),
        (pa.types.is_boolean, Kind.BOOL),
        (pa.types.is_integer, Kind.INT),
        (pa.types.is_floating, Kind.FLOAT),
        (pa.types.is_string, Kind.STRING),
        (pa.types.is_date, Kind.DATE),
        (pa.types.is_timestamp, Kind.TIMESTAMP),
        (pa.types.is_binary, Kind.BYTES),
    )
    return next(found for test, found in tests if test(kind))


def _wide(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which integers a float cannot hold exactly."""
    numbers = values.fill_null(0).to_numpy()
    if not len(numbers) or (numbers.min() >= -_EXACT and numbers.max() <= _EXACT):
        return np.zeros(len(numbers), np.bool_)
    # The largest int64 becomes 2^63 as a float, which int64 cannot take back.
    return np.array([int(float(number)) != number for number in numbers.tolist()], np.bool_)


def _json_kinds(texts: pa.Array) -> Kinds:
    first = pc.utf8_slice_codeunits(texts, 0, 1).fill_null("")
    kinds = np.full(len(texts), Kind.INT, np.int8)
    for kind, initials in (
        (Kind.STRING, ['"']),
        (Kind.BOOL, ["t", "f"]),
        (Kind.CONTAINER, ["[", "{"]),
        (Kind.NULL, ["", "n"]),
    ):
        kinds[_mask(pc.is_in(first, pa.array(initials)))] = kind
    extension = _mask(pc.starts_with(texts, _EXTENSION).fill_null(False))
    kinds[extension] = [_extension_kind(text) for text in texts.filter(pa.array(extension)).to_pylist()]
    number = kinds == Kind.INT
    kinds[number & _mask(pc.match_substring_regex(texts, "[.eE]").fill_null(False))] = Kind.FLOAT
    long = (
        number & (kinds != Kind.FLOAT) & _mask(pc.greater(pc.binary_length(texts), _SHORT).fill_null(False))
    )
    kinds[long] = [_integer_kind(text) for text in texts.filter(pa.array(long)).to_pylist()]
    return kinds


def _extension_kind(text: str) -> Kind:
    tag = text[len(_EXTENSION) :].lstrip(" [").split('"')[1]
    return _EXTENSIONS[tag]


def _integer_kind(text: str) -> Kind:
    number = int(text) if len(text) <= _LONGEST_64_BITS else 2**64
    if not -(2**63) <= number < 2**63:
        return Kind.BIG_INT
    return Kind.INT if int(float(number)) == number else Kind.WIDE_INT


def _mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    return array.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
