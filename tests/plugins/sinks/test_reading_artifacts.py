import pandas as pd
import pytest
from sink_cases import schema, write

from elspeth_dagster.plugins.sinks import UnreadableArtifactError, read_artifact
from elspeth_dagster.plugins.sinks.csv import CsvOptions, CsvSink
from elspeth_dagster.plugins.sinks.json import JsonOptions, JsonSink
from elspeth_dagster.plugins.sinks.parquet import ParquetOptions, ParquetSink

ROWS = [
    {"id": 1, "price": 1.5, "name": "é,\n", "ok": True, "code": "007"},
    {"id": 2, "price": 2, "name": None, "ok": False, "code": "8"},
    {"id": None, "price": 3.0, "name": "z", "ok": None},
]


def read(tmp_path, sink, rows=ROWS):
    written = write(sink, rows)
    path = tmp_path / sink.path
    path.write_bytes(written.data)
    facts = sink.reading() | {"header": list(written.layout.headers), "types": list(written.layout.types)}
    return read_artifact(sink.kind, path, facts)


def values(frame):
    return [
        {name: None if cell is pd.NA else cell for name, cell in row.items()}
        for row in frame.to_dict("records")
    ]


@pytest.mark.parametrize(
    "sink",
    [
        CsvSink(CsvOptions(path="out.csv")),
        CsvSink(CsvOptions(path="out.csv", delimiter=";", encoding="utf-16")),
        JsonSink(JsonOptions(path="out.json", indent=2)),
        JsonSink(JsonOptions(path="out.jsonl", encoding="utf-8-sig")),
        ParquetSink(ParquetOptions(path="out.parquet")),
    ],
    ids=["csv", "csv-utf-16", "json", "jsonl", "parquet"],
)
def test_a_frame_has_the_rows_values(tmp_path, sink):
    frame = read(tmp_path, sink)
    assert values(frame) == [{**dict.fromkeys(ROWS[0]), **row} for row in ROWS]
    assert frame["id"].sum() == 3
    assert str(frame["code"].dtype) == "string[pyarrow]"


def test_csv_cells_are_text_where_nothing_else_is_known(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\r\n1,\r\n")
    assert values(read_artifact("csv", path)) == [{"a": "1", "b": None}]


def test_mixed_values_are_python_objects_or_text(tmp_path):
    rows = [{"x": 1}, {"x": "a"}, {"x": [2]}]
    assert read(tmp_path, JsonSink(JsonOptions(path="m.json")), rows)["x"].tolist() == [1, "a", [2]]
    assert read(tmp_path, CsvSink(CsvOptions(path="m.csv")), rows)["x"].tolist() == ["1", "a", "[2]"]


def test_files_without_rows(tmp_path):
    declared = CsvSink(CsvOptions(path="a.csv"), schema("fixed", "a: int"))
    assert read(tmp_path, declared, []).columns.tolist() == ["a"]
    assert read(tmp_path, CsvSink(CsvOptions(path="b.csv")), []).shape == (0, 0)
    assert read(tmp_path, JsonSink(JsonOptions(path="b.json")), []).shape == (0, 0)
    assert read(tmp_path, JsonSink(JsonOptions(path="b.jsonl")), []).shape == (0, 0)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UnreadableArtifactError, match="no such file"):
        read_artifact("csv", tmp_path / "gone.csv")
    with pytest.raises(UnreadableArtifactError, match="there are readers for csv"):
        read_artifact("MySink", tmp_path / "x")
