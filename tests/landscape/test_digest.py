import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape_drafts import records_table, tokens_table

from elspeth_dagster.accounting import Measure, Tally
from elspeth_dagster.landscape.digest import (
    TableHasher,
    commit_digest,
    content_digest,
    json_digest,
    table_digest,
)
from elspeth_dagster.landscape.segments import decode_segment, write_segments

TYPES = {
    "string": (pa.string(), st.text(max_size=5)),
    "large_string": (pa.large_string(), st.text(max_size=5)),
    "binary": (pa.binary(), st.binary(max_size=5)),
    "int16": (pa.int16(), st.integers(-5, 5)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "time": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    "hash": (pa.binary(4), st.binary(min_size=4, max_size=4)),
    "decimal": (pa.decimal128(6, 2), st.integers(-999, 999).map(lambda n: Decimal(n) / 4)),
    "list": (pa.list_(pa.binary()), st.lists(st.none() | st.binary(max_size=3), max_size=3)),
    "struct": (
        pa.struct({"a": pa.int32(), "b": pa.string()}),
        st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.none() | st.text(max_size=3)}),
    ),
    "null": (pa.null(), st.none()),
}


@st.composite
def columns(draw):
    kind, values = TYPES[draw(st.sampled_from(sorted(TYPES)))]
    return kind, draw(st.lists(st.none() | values, max_size=12))


@given(columns(), st.data())
@settings(max_examples=150)
def test_layout_makes_no_difference(column, data):
    kind, values = column
    table = pa.table({"c": pa.array(values, kind)})
    expected = table_digest(table)
    padded = pa.concat_tables([table.slice(0, 1), table] if values else [table])
    offset = min(1, len(values))
    assert table_digest(padded.combine_chunks().slice(offset)) == expected
    cut = data.draw(st.integers(0, len(values)))
    assert table_digest(pa.concat_tables([table.slice(0, cut), table.slice(cut)])) == expected
    hasher = TableHasher()
    for piece in (table.slice(0, cut), table.slice(cut)):
        hasher.update(piece)
    assert hasher.hexdigest() == expected


@given(st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=12))
@settings(max_examples=100)
def test_neither_dictionaries_nor_wide_offsets_make_a_difference(values):
    plain = pa.array(values, pa.string())
    kinds = [plain, plain.dictionary_encode(), plain.cast(pa.large_string()), plain.cast(pa.string_view())]
    spare = pa.DictionaryArray.from_arrays(
        pa.array([None if value is None else 1 + i for i, value in enumerate(values)], pa.int32()),
        pa.array(["not used", *[value or "" for value in values]]),
    )
    assert len({table_digest(pa.table({"c": kind})) for kind in [*kinds, spare]}) == 1


def test_bytes_under_a_null_and_a_needless_validity_buffer_make_no_difference():
    values = np.array([1, 2, 3], np.int64).tobytes()
    validity = pa.py_buffer(bytes([0b101]))
    hidden = pa.Array.from_buffers(pa.int64(), 3, [validity, pa.py_buffer(values)])
    assert table_digest(pa.table({"c": hidden})) == table_digest(pa.table({"c": pa.array([1, None, 3])}))
    full = pa.Array.from_buffers(
        pa.int64(), 3, [pa.py_buffer(bytes([0b111])), pa.py_buffer(values)], null_count=-1
    )
    assert table_digest(pa.table({"c": full})) == table_digest(pa.table({"c": pa.array([1, 2, 3])}))


@given(
    st.lists(st.none() | st.text(max_size=3), max_size=6),
    st.lists(st.none() | st.text(max_size=3), max_size=6),
)
@settings(max_examples=200)
def test_other_values_give_another_digest(one, other):
    digests = [table_digest(pa.table({"c": pa.array(values, pa.string())})) for values in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pa.table({"b": ["x", "y"], "a": [1, 2]}),
        pa.table({"a": [1, 2], "c": ["x", "y"]}),
        pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": pa.array([b"x", b"y"])}),
        pa.table({"a": [1, 2], "b": ["xy", ""]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}).replace_schema_metadata({"first": "7"}),
        pa.table({"a": [1, 2], "b": ["x", "y"], "d": pa.nulls(2)}),
    ],
    ids=["null", "column order", "name", "type", "bytes", "boundary", "metadata", "more"],
)
def test_what_says_something_else_has_another_digest(other):
    assert table_digest(other) != table_digest(pa.table({"a": [1, 2], "b": ["x", "y"]}))


def test_a_list_of_null_and_an_empty_list_and_none_are_three_things():
    kind = pa.list_(pa.string())
    lists = ([[None]], [[]], [None], [[""]])
    assert len({table_digest(pa.table({"c": pa.array(values, kind)})) for values in lists}) == 4


def test_arrival_times_are_left_out():
    table = records_table([0, 1], ["a", "b"])
    later = table.set_column(2, "arrived_us", pa.array([5, 6], pa.int64()))
    without = table.drop_columns(["arrived_us"])
    assert table_digest(table) == table_digest(later) == table_digest(without)


def test_a_segment_read_back_has_the_digest_that_it_was_written_with(tmp_path):
    tables = {"tokens": tokens_table(list(range(500))), "records": records_table([0, 1], [None, "b"])}
    written = write_segments({name: tmp_path / name for name in tables}, tables)
    for segment in written:
        data = pa.py_buffer(segment.path.read_bytes())
        assert (
            table_digest(decode_segment(data))
            == segment.content_sha256
            == table_digest(tables[segment.table_name])
        )


def test_content_does_not_depend_on_the_order_of_tables_and_tallies():
    tallies = (Tally("a", Measure.IN, "", "", 1), Tally("b", Measure.OUT, "x", "y", 2))
    first = content_digest(tables={"t": "1", "u": "2"}, tallies=tallies, parts=[["s", 0]], facts={"a": 1})
    second = content_digest(
        tables={"u": "2", "t": "1"}, tallies=tallies[::-1], parts=[["s", 0]], facts={"a": 1}
    )
    assert first == second
    assert first != content_digest(tables={"t": "1"}, tallies=tallies, parts=[["s", 0]], facts={"a": 1})


def test_a_commits_digest_covers_what_it_recorded_but_not_where():
    base = {
        "key": {"run_id": "r", "phase": 4, "node": "n", "ordinal": 0},
        "made_by": {"engine_version": "1"},
        "content": "c",
        "extra": {},
        "rows": {
            "segments": [
                {"table_name": "t", "path": "r/1/x", "sha256": "a"},
                {"table_name": "u", "sha256": "b"},
            ]
        },
    }
    digest = commit_digest(**base)
    moved = {
        "segments": [{"table_name": "u", "sha256": "b"}, {"table_name": "t", "path": "r/2/y", "sha256": "a"}]
    }
    assert commit_digest(**{**base, "rows": moved}) == digest
    assert commit_digest(**{**base, "rows": {**base["rows"], "markers": []}}) == digest
    altered = {
        "segments": [{"table_name": "t", "path": "r/1/x", "sha256": "A"}, {"table_name": "u", "sha256": "b"}]
    }
    for change in (
        {"rows": altered},
        {"content": "d"},
        {"extra": {"x": 1}},
        {"made_by": {"engine_version": "2"}},
    ):
        assert commit_digest(**{**base, **change}) != digest


def test_integers_of_any_size_are_told_apart():
    assert len({json_digest({"inode": number}) for number in (2**53, 2**53 + 1, 2**64, -(2**64))}) == 4
