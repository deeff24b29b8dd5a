"""Values in cells: what is refused, exact JSON text, JSON as received, columns."""

import enum
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cell_values import ONE_OF_EACH, json_values, same, texts, values
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.values import (
    build_column,
    check_value,
    decode_value,
    encode_value,
    parse_json,
    parse_json_texts,
)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


REFUSED = {
    "not finite: nan": math.nan,
    "not finite: -inf": -math.inf,
    "not finite: NaN": Decimal("NaN"),
    "not finite: Infinity": {"a": [Decimal("Infinity")]},
    "lone surrogate (U+D800 at position 1)": "a\ud800",
    "lone surrogate": {"\udfff": 1},
    "more than 4300 digits": 10**4300,
    "a key of type int": {1: 2},
    "type tuple": (1, 2),
    "type set": [{1}],
    "type decimal.Context": __import__("decimal").Context(),
    "type numpy.int64": np.int64(1),
    "without a time zone": datetime(2024, 1, 1),  # noqa: DTZ001
    "not in UTC": datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    "finer than a microsecond": pd.Timestamp("2024-01-01T00:00:00.000000001Z"),
    "nested more than 200 deep": nested(201),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_value_that_no_cell_holds_is_refused_with_its_reason(reason):
    with pytest.raises(InvalidValueError) as caught:
        check_value(REFUSED[reason])
    assert reason in caught.value.reason
    with pytest.raises(InvalidValueError):
        build_column([None, REFUSED[reason]])


def test_limits_are_inclusive():
    check_value(10**4300 - 1)
    check_value(-(10**4300) + 1)
    check_value(nested(200))
    assert same(decode_value(encode_value(nested(200))), nested(200))
    assert decode_value(encode_value(10**4300 - 1)) == 10**4300 - 1


def test_nested_objects_with_our_key_count_as_they_are_written():
    value = 1
    for _ in range(66):
        value = {"$elspeth": value}
    check_value(value)
    assert decode_value(encode_value(value)) == value
    with pytest.raises(InvalidValueError, match="200 deep"):
        check_value({"$elspeth": value})


@given(values)
def test_text_gives_back_the_same_value(value):
    check_value(value)
    text = encode_value(value)
    assert same(decode_value(text), value)
    assert encode_value(decode_value(text)) == text
    json.loads(text)


def test_texts_of_what_json_has_no_form_for():
    assert [encode_value(value) for value in ONE_OF_EACH[-4:]] == [
        '{"$elspeth":["decimal","1.50"]}',
        '{"$elspeth":["date","2024-01-02"]}',
        '{"$elspeth":["timestamp","2024-01-02T03:04:05.000006Z"]}',
        '{"$elspeth":["bytes","AP8="]}',
    ]
    assert encode_value({"$elspeth": [1]}) == '{"$elspeth":["object",{"$elspeth":[1]}]}'


# JSON as received


@given(json_values, st.sampled_from([None, 1]), st.booleans())
def test_json_is_read_as_python_reads_it(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert same(parse_json(text), json.loads(text))
    assert same(parse_json(text.encode()), value)


@pytest.mark.parametrize(
    "text",
    [
        "-0",
        "-0.0",
        "-0e1",
        "[-0,-0]",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890.5",
        "1E5",
        "1e-400",
        '{"a":1,"b":2,"a":3}',
        " \t\r\n1\n",
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        "9" * 4300,
        '"2024-01-02"',
    ],
)
def test_corners_of_json_are_read_as_python_reads_them(text):
    assert same(parse_json(text), json.loads(text))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON: Expecting value (line 1 column 1)"),
        (b"[1,]", "not JSON"),
        (b"01", "not JSON"),
        (b"1.", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'"\n"', "not JSON: Invalid control character"),
        (b"1 2", "not JSON: Extra data"),
        (b"\xef\xbb\xbf1", "not JSON: Unexpected UTF-8 BOM"),
        (b'"\xff"', "not UTF-8: byte 0xff at offset 1"),
        ('"a"'.encode("utf-16"), "not UTF-8"),
        (b"NaN", "not finite: NaN"),
        (b"[-Infinity]", "not finite: -Infinity"),
        (b"1e999", "not finite: inf"),
        (b'{"a":[-1e999]}', "not finite: -inf"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udc00x":1}', "lone surrogate"),
        (b"9" * 4301, "more than 4300 digits"),
        (b"[" * 201 + b"]" * 201, "more than 200 deep"),
        (b"[" * 100_000, "more than 200 deep"),
    ],
)
def test_json_that_no_row_holds_is_refused_with_its_reason(data, reason):
    with pytest.raises(InvalidValueError) as caught:
        parse_json(data)
    assert reason in caught.value.reason
    got, problems = parse_json_texts(pa.array([b"1", data, b"{}"], pa.binary()))
    assert got == [1, None, {}]
    assert problems == {1: caught.value.reason}


@given(
    st.lists(
        st.one_of(
            json_values.map(lambda v: json.dumps(v).encode()),
            st.binary(max_size=6),
            st.sampled_from([b"-0", b"1" * 20]),
        )
    )
)
def test_many_texts_are_read_like_each(raw):
    def alone(data):
        try:
            return parse_json(data), None
        except InvalidValueError as error:
            return None, error.reason

    got, problems = parse_json_texts(pa.array(raw, pa.binary()))
    expected = [alone(data) for data in raw]
    assert problems == {at: reason for at, (_, reason) in enumerate(expected) if reason}
    assert all(map(same, got, [value for value, _ in expected]))


def test_text_with_a_lone_surrogate_in_it_is_refused():
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        parse_json('"\ud800"')


# Columns


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([], pa.null()),
        ([None, None], pa.null()),
        ([True, None], pa.bool_()),
        ([1, -(2**63), 2**63 - 1], pa.int64()),
        ([1.5, None], pa.float64()),
        (["", "é"], pa.string()),
        ([date(1, 1, 1), date(9999, 12, 31)], pa.date32()),
        (
            [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
            pa.timestamp("us", "UTC"),
        ),
        ([b"", b"\xff"], pa.binary()),
    ],
)
def test_values_of_one_native_type_are_kept_natively(cells, kind):
    column, is_json = build_column(cells)
    assert (column.type, is_json) == (kind, False)
    assert column.to_pylist() == cells


@pytest.mark.parametrize(
    "cells",
    [
        [1, 1.0],
        [True, 1],
        [2**63],
        [[1]],
        [{}],
        ["1", 1],
        [Decimal(1)],
        [datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)],
    ],
)
def test_other_values_are_kept_as_json_text(cells):
    column, is_json = build_column([*cells, None])
    assert (column.type, is_json, column[-1].as_py()) == (pa.string(), True, None)
    assert all(map(same, map(decode_value, column.to_pylist()[:-1]), cells))


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_subclasses_count_as_their_base():
    stamp = pd.Timestamp("2024-01-02T03:04:05.000006Z")
    given_and_kept = [
        (np.float64(1.5), 1.5),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (stamp, datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    ]
    for value, kept in given_and_kept:
        column, is_json = build_column([value])
        assert not is_json
        assert column.to_pylist() == [kept]
        assert decode_value(encode_value([value])) == [kept]
    column, is_json = build_column([value for value, _ in given_and_kept])
    assert is_json
    assert [decode_value(text) for text in column.to_pylist()] == [kept for _, kept in given_and_kept]


@given(st.lists(st.one_of(values, texts)))
def test_a_column_gives_back_its_values(cells):
    column, is_json = build_column(cells)
    got = column.to_pylist()
    if is_json:
        got = [None if text is None else decode_value(text) for text in got]
    assert len(got) == len(cells)
    assert all(map(same, got, cells))
