"""The canonical form and the hash of rows."""

import hashlib
import json
import math

import pyarrow as pa
import pytest
import rfc8785
from cell_values import ONE_OF_EACH, containers, floats, ints, keys, safe_ints, texts, values
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.rows.canonical import (
    canonical_cells,
    canonical_objects,
    canonical_text,
    hash_rows,
    sha256_rows,
)
from elspeth_dagster.rows.errors import InvalidValueError
from elspeth_dagster.rows.rows import Rows
from elspeth_dagster.rows.tokens import root_tokens
from elspeth_dagster.rows.values import build_column, decode_value

rfc_values = containers(st.one_of(st.none(), st.booleans(), safe_ints, floats, texts)).filter(
    lambda value: "$elspeth" not in json.dumps(value)
)


@given(rfc_values)
def test_equal_to_rfc8785_wherever_that_accepts(value):
    expected = rfc8785.dumps(value).decode()
    assert canonical_text(value) == expected
    column, is_json = build_column([value])
    assert canonical_cells(column, is_json).to_pylist() == [expected]


def test_keys_past_u_ffff_sort_as_utf_16_however_the_text_escapes_them():
    value = {"\ue000": 1, "😀": 2}
    column = pa.array([json.dumps(value), json.dumps(value, ensure_ascii=False)])
    assert canonical_cells(column, is_json=True).to_pylist() == ['{"😀":2,"\ue000":1}'] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**53, "9007199254740992"),
        (-(10**30), "-1" + "0" * 30),
        (1.0, "1"),
        (-0.0, "0"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (-1.25e-5, "-0.0000125"),
        (1e-7, "1e-7"),
        (-2.5e-10, "-2.5e-10"),
        (5e-324, "5e-324"),
        (
            '\x00\x08\t\n\x0b\x0c\r\x1f"\\/\x7fé\u2028😀',
            '"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\"\\\\/\x7fé\u2028😀"',
        ),
        ({"\ue000": 1, "😀": 2, "é": 3, "": 4}, '{"":4,"é":3,"😀":2,"\ue000":1}'),
        ((1, [2]), "[1,[2]]"),
    ],
)
def test_known_forms(value, text):
    assert canonical_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    list(
        zip(
            ONE_OF_EACH[-5:],
            [
                '{"a":{"$elspeth":["object",{"$elspeth":["date","x"]}]},"b":1}',
                '{"$elspeth":["decimal","1.50"]}',
                '{"$elspeth":["date","2024-01-02"]}',
                '{"$elspeth":["timestamp","2024-01-02T03:04:05.000006Z"]}',
                '{"$elspeth":["bytes","AP8="]}',
            ],
            strict=True,
        )
    ),
)
def test_forms_beyond_json(value, text):
    assert canonical_text(value) == text
    column, is_json = build_column([value, None])
    assert canonical_cells(column, is_json).to_pylist() == [text, "null"]


@pytest.mark.parametrize("value", [math.nan, [math.inf], "\ud800", {"\ud800": 1}, {1, 2}])
def test_what_no_row_holds_has_no_form(value):
    with pytest.raises(InvalidValueError):
        canonical_text(value)


def test_a_column_with_a_float_that_is_not_finite_has_no_form():
    with pytest.raises(InvalidValueError):
        canonical_cells(pa.array([1.0, math.nan]), is_json=False)


@given(st.lists(values))
def test_cells_are_the_forms_of_their_values(cells):
    column, is_json = build_column(cells)
    assert canonical_cells(column, is_json).to_pylist() == [canonical_text(value) for value in cells]


@given(st.sampled_from([st.booleans(), floats, ints, texts]), st.data())
def test_native_cells_are_the_forms_of_their_values_sliced_too(kind, data):
    cells = data.draw(st.lists(st.one_of(st.none(), kind), min_size=1))
    start = data.draw(st.integers(0, len(cells)))
    column, is_json = build_column(cells)
    got = canonical_cells(column.slice(start), is_json)
    assert got.type == pa.string()
    assert got.to_pylist() == [canonical_text(value) for value in cells[start:]]


def test_the_form_does_not_tell_how_a_column_is_kept():
    native, _ = build_column([1, 2])
    mixed, is_json = build_column([1, 2, "x"])
    assert is_json
    assert (
        canonical_cells(native, is_json=False).to_pylist()
        == canonical_cells(mixed.slice(0, 2), is_json).to_pylist()
    )


@given(values)
def test_equal_forms_mean_equal_values_apart_from_number_types(value):
    again = canonical_text(value)
    assert canonical_text(decode_value(again)) == again


# Rows


def cells_of(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {}
    for name in names:
        column, is_json = build_column([row.get(name) for row in rows])
        cells[name] = canonical_cells(column, is_json)
    shapes = list(dict.fromkeys(tuple(row) for row in rows))
    return cells, tuple(shapes), pa.array([shapes.index(tuple(row)) for row in rows], pa.int32())


@given(st.lists(st.dictionaries(keys, st.one_of(st.none(), ints, texts), max_size=4), max_size=6))
def test_each_row_is_the_canonical_object_of_its_own_keys(rows):
    cells, shapes, shape = cells_of(rows)
    objects = canonical_objects(cells, shapes, shape)
    assert objects.to_pylist() == [canonical_text(row) for row in rows]
    assert hash_rows(cells, shapes, shape).to_pylist() == sha256_rows(objects).to_pylist()


def test_a_row_without_a_key_differs_from_one_with_null():
    cells, shapes, shape = cells_of([{"a": 1}, {"b": None, "a": 1}, {}])
    assert canonical_objects(cells, shapes, shape).to_pylist() == ['{"a":1}', '{"a":1,"b":null}', "{}"]


def test_shapes_that_no_row_has_are_of_no_account():
    cells, _, _ = cells_of([{"a": 1}, {"a": 2}])
    shapes = (("z",), ("a",), ())
    assert canonical_objects(cells, shapes, pa.array([1, 1], pa.int32())).to_pylist() == [
        '{"a":1}',
        '{"a":2}',
    ]


def test_rows_with_no_keys_and_no_rows_at_all():
    assert canonical_objects({}, ((),), pa.array([0, 0], pa.int32())).to_pylist() == ["{}", "{}"]
    nothing = pa.array([], pa.int32())
    assert canonical_objects({}, (), nothing).to_pylist() == []
    assert hash_rows({}, (), nothing) == pa.array([], pa.binary(32))


def test_the_hash_is_sha256_of_the_utf8_form():
    hashed = sha256_rows(pa.array(["{}", '{"é":1}']))
    assert hashed.type == pa.binary(32)
    assert hashed.to_pylist() == [hashlib.sha256(text.encode()).digest() for text in ["{}", '{"é":1}']]
    assert sha256_rows(pa.array(["x", "{}"]).slice(1)).to_pylist() == [hashlib.sha256(b"{}").digest()]


def test_hashing_in_pieces_changes_nothing():
    big = "x" * (3 << 20)
    rows = [{"a": big + str(index)} if index % 2 else {"b": index} for index in range(20)]
    cells, shapes, shape = cells_of(rows)
    assert hash_rows(cells, shapes, shape).equals(sha256_rows(canonical_objects(cells, shapes, shape)))


def test_rows_as_one_column_have_the_canonical_form_of_their_values():
    dicts = [{"b": 1, "a": 1.0, "c": {"z": [1, None], "a": "é\n"}}, {"$elspeth": 1}, {"a": None, "b": 2**70}]
    column = Rows.from_dicts(root_tokens(0, 3), dicts).as_column()
    assert column.to_python() == dicts
    assert column.canonical.to_pylist() == canonical_cells(column.values, is_json=True).to_pylist()
