import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sink_cases import CELLS, cut, extension_text, schema, write

from elspeth_dagster.plugins.sinks import parquet
from elspeth_dagster.plugins.sinks.file import FoldRequest
from elspeth_dagster.plugins.sinks.parquet import ParquetOptions, ParquetSink
from elspeth_dagster.rows.fields import OBSERVED

LENIENT = FoldRequest({}, takes_any=True)


def sink(block=OBSERVED, **options):
    return ParquetSink(ParquetOptions(path="out.parquet", **options), block)


def table(written):
    return pq.read_table(io.BytesIO(written.data))


def column(*values, request=None, block=OBSERVED, diverted=()):
    """The type and values of the column `x`, and the positions that were refused."""
    written = write(sink(block), *([{"x": value}] for value in values), request=request, diverted=diverted)
    found = table(written).column("x")
    return found.type, found.to_pylist(), sorted(written.refused)


def test_types_are_those_of_the_values():
    row = {
        "bool": True,
        "int": 2**63 - 1,
        "float": 1.5,
        "text": "é",
        "date": date(2024, 2, 29),
        "time": datetime(2024, 1, 2, 3, 4, 5, 6, UTC),
        "bytes": b"\0\xff",
        "list": [1, {"a": None}],
        "decimal": Decimal("1.10"),
        "nothing": None,
    }
    found = table(write(sink(), [row], [dict.fromkeys(row)]))
    assert found.to_pylist()[0] == row | {"list": '[1, {"a": null}]', "decimal": "1.10"}
    assert found.to_pylist()[1] == dict.fromkeys(row)
    assert [str(kind) for kind in found.schema.types] == [
        "bool", "int64", "double", "string", "date32[day]", "timestamp[us, tz=UTC]", "binary",
        "string", "string", "string",
    ]  # fmt: skip


def test_null_joins_anything_and_exact_integers_join_floats():
    assert column(None, 1, None) == (pa.int64(), [None, 1, None], [])
    assert column(1, 2.5, 2**60) == (pa.float64(), [1.0, 2.5, float(2**60)], [])
    together = write(sink(), [{"x": 1}, {"x": 2.5}, {"x": 2**60}])
    assert table(together).column("x").to_pylist() == [1.0, 2.5, float(2**60)]
    assert column(0.5, 2**53 + 1, 3) == (pa.float64(), [0.5, 3.0], [1])
    assert column(2**53 + 1, 0.5, 3) == (pa.int64(), [2**53 + 1, 3], [1])
    assert column(2**63, 1, -(2**63) - 1) == (pa.int64(), [1], [0, 2])


def test_the_first_type_stands():
    assert column("a", 1, [1], "b") == (pa.string(), ["a", "b"], [1, 2])
    assert column([1], "a", {"b": 2}) == (pa.string(), ["[1]", '{"b": 2}'], [1])
    assert column(True, 1, False) == (pa.bool_(), [True, False], [1])
    assert column(Decimal(1), 1, Decimal("2.0")) == (pa.string(), ["1", "2.0"], [1])


def test_a_refused_row_leaves_no_trace():
    dicts = [{"a": 1}, {"a": "x", "b": "text", "c": 1}, {"a": 2, "b": 3}]
    written = write(sink(), dicts)
    assert table(written).to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": 3}]
    assert written.refused == {1: {"reason": "wrong_type", "field": "a", "expected": "int", "found": "text"}}


def test_what_was_taken_before_may_not_be_taken_after_a_type_has_changed():
    dicts = [{"x": 1}, {"x": 0.5}, {"x": 1}, {"x": 2**53 + 1}]
    assert set(write(sink(), dicts).refused) == {3}


def test_a_sink_that_takes_whatever_comes_turns_to_json_text():
    assert column(1, "a", None, [1], request=LENIENT) == (pa.string(), ["1", '"a"', None, "[1]"], [])
    assert column(2**53 + 1, 0.5, request=LENIENT) == (pa.string(), ["9007199254740993", "0.5"], [])
    assert column(2**64, request=LENIENT) == (pa.string(), [str(2**64)], [])


def test_declared_types_stand():
    block = schema("fixed", "x: float?")
    assert column(1, 2, block=block) == (pa.float64(), [1.0, 2.0], [])
    assert column(1, "2", True, block=block) == (pa.float64(), [1.0], [1, 2])
    assert column(2**53 + 1, block=block)[2] == [0]
    assert column(1.0, block=schema("fixed", "x: int?"))[1:] == ([], [0])
    assert column(None, block=schema("fixed", "x: bool?"))[0] == pa.bool_()
    assert column(3, block=schema("fixed", "x: any?"))[0] == pa.int64()


def test_a_diverted_row_turns_a_declared_column_to_json_text():
    block = schema("fixed", "x: int")
    found = column(1, "abc", 2, request=LENIENT, block=block, diverted=[1])
    assert found == (pa.string(), ["1", '"abc"', "2"], [])
    assert column(1, "abc", 2, request=LENIENT, block=block)[1:] == ([1, 2], [1])


def test_declared_columns_come_first():
    block = schema("flexible", "id: int", "note: str?")
    found = table(write(sink(block), [{"more": 1, "id": 2}]))
    assert found.to_pylist() == [{"id": 2, "note": None, "more": 1}]
    assert found.column_names == ["id", "note", "more"]
    assert set(write(sink(schema("fixed", "id: int")), [{"id": 1, "x": 2}, {"y": 1}]).refused) == {0, 1}


def test_without_rows_there_are_the_declared_columns():
    found = table(write(sink(schema("fixed", "a: int", "b: any?"))))
    assert (found.num_rows, found.schema.types) == (0, [pa.int64(), pa.string()])
    assert table(write(sink())).shape == (0, 0)


def test_headers_name_the_columns():
    request = FoldRequest({"a": "Column A"})
    assert table(write(sink(headers="original"), [{"a": 1, "b": 2}], request=request)).column_names == [
        "Column A",
        "b",
    ]
    assert set(write(sink(headers={"a": "b"}), [{"a": 1}, {"b": 2}]).refused) == {1}


@pytest.mark.parametrize("name", ["zstd", "snappy", "gzip", "brotli", "lz4", "none"])
def test_compressions(name):
    data = write(sink(compression=name), [{"a": "x" * 1000}]).data
    used = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression
    assert used.lower() == {"none": "uncompressed"}.get(name, name)


def test_an_unknown_compression_is_refused():
    with pytest.raises(ValidationError):
        sink(compression="rar")


@settings(max_examples=100)
@given(cut(), st.sampled_from([False, True]))
def test_bytes_and_refusals_do_not_depend_on_how_rows_are_cut(case, lenient):
    dicts, pieces = case
    request = FoldRequest({}, takes_any=lenient)
    whole, apart = write(sink(), dicts, request=request), write(sink(), *pieces, request=request)
    assert whole.data == apart.data
    assert whole.refused == apart.refused
    assert not (lenient and whole.refused)


@settings(max_examples=100)
@given(st.lists(CELLS, max_size=12))
def test_what_is_written_is_what_was_there(values):
    written = write(sink(), [{"x": value} for value in values])
    kept = [value for position, value in enumerate(values) if position not in written.refused]
    found = table(written).column("x").to_pylist() if kept else []

    def as_stored(value):
        if isinstance(value, list | dict):
            return json.dumps(value, default=extension_text)
        return str(value) if isinstance(value, Decimal) else value

    assert found == [as_stored(value) for value in kept]


def test_row_groups_do_not_depend_on_how_rows_are_cut(monkeypatch):
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 10)
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1000)
    dicts = [{"a": "x" * (i * 7 % 300), "b": i} for i in range(60)]
    whole = write(sink(), dicts).data
    assert write(sink(), dicts[:1], dicts[1:37], dicts[37:]).data == whole
    assert write(sink(), *([row] for row in dicts)).data == whole
    file = pq.ParquetFile(io.BytesIO(whole))
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert max(sizes) == 10
    assert len(set(sizes)) > 2
    assert file.read().to_pylist() == dicts
