"""Values as text in Python's own forms."""

import base64
import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from cell_values import ONE_OF_EACH, floats, ints, texts, values
from hypothesis import given
from hypothesis import strategies as st

from elspeth_dagster.rows.canonical import canonical_text
from elspeth_dagster.rows.rows import Column
from elspeth_dagster.rows.texts import csv_cells, float_texts, json_cells, json_objects
from elspeth_dagster.rows.values import build_column, decode_value


def as_text(value):
    if isinstance(value, date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def as_json(value):
    return json.dumps(value, default=as_text)


def as_csv(value):
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return as_json(value)
    return repr(value) if isinstance(value, float) else as_text(value)


@given(st.lists(st.one_of(st.none(), floats)))
def test_floats_are_written_as_repr(cells):
    expected = [None if value is None else repr(value) for value in cells]
    array = pa.array([0.5, *cells], pa.float64()).slice(1)
    assert float_texts(array).to_pylist() == expected


@given(st.lists(values))
def test_cells_of_any_values(cells):
    column, is_json = build_column(cells)
    assert json_cells(column, is_json).to_pylist() == [as_json(value) for value in cells]
    assert csv_cells(column, is_json).to_pylist() == [as_csv(value) for value in cells]


@given(st.sampled_from([st.booleans(), floats, ints, texts]), st.data())
def test_cells_of_native_columns_sliced_too(kind, data):
    cells = data.draw(st.lists(st.one_of(st.none(), kind), min_size=1))
    start = data.draw(st.integers(0, len(cells)))
    column, is_json = build_column(cells)
    for write, expected in ((json_cells, as_json), (csv_cells, as_csv)):
        got = write(column.slice(start), is_json)
        assert got.type == pa.string()
        assert got.to_pylist() == [expected(value) for value in cells[start:]]


@given(st.sampled_from([values, st.booleans(), floats, ints, texts]), st.data())
def test_texts_of_a_column_are_those_of_its_values_whatever_was_made_of_it_before(kind, data):
    cells = data.draw(st.lists(st.one_of(st.none(), kind), min_size=1))
    column = Column.of(cells)
    for _ in range(data.draw(st.integers(0, 4))):
        getattr(column, data.draw(st.sampled_from(["canonical", "json_texts", "csv_texts", "exact_texts"])))
    chosen = data.draw(st.lists(st.sampled_from(range(len(cells)))))
    taken = column.take(pa.array(chosen, pa.int64()))
    assert taken.canonical.to_pylist() == [canonical_text(cells[place]) for place in chosen]
    assert taken.json_texts.to_pylist() == [as_json(cells[place]) for place in chosen]
    assert taken.csv_texts.to_pylist() == [as_csv(cells[place]) for place in chosen]
    assert list(map(decode_value, taken.exact_texts.to_pylist())) == [cells[place] for place in chosen]


def test_a_delete_character_is_escaped_in_json_alone_among_plain_texts_too():
    column = Column.of(["a\x7fb", "plain"])
    assert column.json_texts.to_pylist() == ['"a\\u007fb"', '"plain"']
    assert column.canonical.to_pylist() == ['"a\x7fb"', '"plain"']


@pytest.mark.parametrize("value", ONE_OF_EACH)
def test_a_cell_is_written_the_same_whatever_else_is_in_its_column(value):
    for others in ([], [None], ["x", [1]]):
        column, is_json = build_column([value, *others])
        assert json_cells(column, is_json)[0].as_py() == as_json(value)
        assert csv_cells(column, is_json)[0].as_py() == as_csv(value)


def test_forms_beyond_json():
    column, is_json = build_column([{"at": ONE_OF_EACH[-2], "sum": Decimal("1.50"), "$elspeth": b"a"}])
    text = '{"at": "2024-01-02T03:04:05.000006+00:00", "sum": "1.50", "$elspeth": "YQ=="}'
    assert json_cells(column, is_json).to_pylist() == [text]
    assert csv_cells(column, is_json).to_pylist() == [text]


@given(st.lists(st.dictionaries(texts, st.one_of(st.none(), ints, texts), max_size=4), max_size=6))
def test_objects_keep_the_order_of_their_own_keys(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: json_cells(*build_column([row.get(name) for row in rows])) for name in names}
    shapes = list(dict.fromkeys(tuple(row) for row in rows))
    shape = pa.array([shapes.index(tuple(row)) for row in rows], pa.int32())
    assert json_objects(cells, tuple(shapes), shape).to_pylist() == [json.dumps(row) for row in rows]
