import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sink_cases import cut, extension_text, schema, write

from elspeth_dagster.plugins.sinks.errors import SinkSettingsError
from elspeth_dagster.plugins.sinks.file import Existing, FoldRequest
from elspeth_dagster.plugins.sinks.json import JsonOptions, JsonSink
from elspeth_dagster.rows.fields import OBSERVED


def sink(block=OBSERVED, path="out.json", **options):
    return JsonSink(JsonOptions(path=path, **options), block)


def lines(block=OBSERVED, **options):
    return sink(block, "out.jsonl", **options)


def expected_lines(dicts):
    return "".join(json.dumps(row, default=extension_text) + "\n" for row in dicts).encode()


@settings(max_examples=100)
@given(cut(), st.booleans())
def test_a_line_per_row_is_what_json_dumps_gives(case, rendered):
    dicts, pieces = case
    assert write(lines(), *pieces, rendered=rendered).data == expected_lines(dicts)


@settings(max_examples=100)
@given(cut(), st.booleans(), st.sampled_from([None, 0, 1, 2, 7]))
def test_an_array_is_what_json_dumps_gives(case, rendered, indent):
    dicts, pieces = case
    data = write(sink(indent=indent), *pieces, rendered=rendered).data
    assert data == json.dumps(dicts, indent=indent, default=extension_text).encode()


def test_the_format_follows_the_suffix_unless_it_is_set():
    rows = [{"a": 1}]
    assert write(lines(), rows).data == b'{"a": 1}\n'
    assert write(lines(format="json"), rows).data == b'[{"a": 1}]'
    assert write(sink(format="jsonl", indent=2), rows).data == b'{"a": 1}\n'
    assert (lines().kind, sink().kind) == ("jsonl", "json")


def test_without_rows_there_is_an_empty_array_or_file():
    assert write(sink()).data == b"[]"
    assert write(sink(indent=2)).data == b"[]"
    assert sink(indent="2").options.indent == 2  # as an environment variable has it
    assert write(lines()).data == b""


def test_any_row_fits_but_for_required_fields():
    block = schema("fixed", "id: int", "note: str?")
    dicts = [{"id": "x", "more": 1}, {"note": 2}, {"id": None}]
    written = write(lines(block), dicts)
    assert written.data == expected_lines([dicts[0], dicts[2]])
    assert written.refused == {1: {"reason": "missing_field", "field": "id"}}


def test_a_schema_is_strict_when_it_is_to_be_validated():
    block = schema("fixed", "id: int", "note: str?")
    dicts = [{"id": 1}, {"id": 1, "more": 1}, {"id": 1, "note": 2}, {"id": 2.0}]
    assert set(write(lines(block, validate_input=True), dicts).refused) == {1, 2, 3}


def test_diverted_rows_fit_always():
    block = schema("fixed", "id: int")
    dicts = [{"x": 1}, {"x": 2}]
    written = write(lines(block, validate_input=True), dicts, diverted=[1])
    assert written.data == expected_lines([{"x": 2}])


def test_keys_are_named_as_headers_says():
    rows, request = [{"order_id": 1, "b": 2}], FoldRequest({"order_id": "Order ID"})
    assert write(lines(headers="original"), rows, request=request).data == b'{"Order ID": 1, "b": 2}\n'
    assert write(lines(headers={"b": "é"}), rows, request=request).data == b'{"order_id": 1, "\\u00e9": 2}\n'


def test_two_keys_of_a_row_never_have_one_name():
    with pytest.raises(SinkSettingsError):
        lines(schema("flexible", "a: int", "b: int"), headers={"a": "b"})
    written = write(lines(headers={"a": "b"}), [{"a": 1}, {"b": 2}, {"a": 3, "b": 4}])
    assert written.data == b'{"b": 1}\n{"b": 2}\n'
    assert written.refused[2]["reason"] == "duplicate_header"


def test_encodings_have_their_mark_once():
    pieces = [[{"a": "é"}], [{"a": "日"}]]
    plain = expected_lines([row for piece in pieces for row in piece]).decode()
    for encoding in ("utf-8-sig", "utf-16", "utf-32-be", "latin-1"):
        assert write(lines(encoding=encoding), *pieces, rendered=True).data == plain.encode(encoding)
    array = json.dumps([row for piece in pieces for row in piece])
    assert write(sink(encoding="utf-16"), *pieces).data == array.encode("utf-16")


def test_appended_lines_have_no_second_mark(tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_bytes("{}\n".encode("utf-16"))
    request = FoldRequest({}, existing=Existing(path, path.stat().st_size))
    data = write(lines(encoding="utf-16", mode="append"), [{"a": 1}], request=request).data
    assert (path.read_bytes() + data).decode("utf-16") == '{}\n{"a": 1}\n'


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "append"},
        {"path": "x.jsonl", "mode": "append", "format": "json"},
        {"format": "yaml"},
        {"path": " "},
        {"indent": -1},
        {"indent": True},
        {"indent": "\t"},
        {"encoding": "hex"},
    ],
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ValidationError):
        sink(**options)


def test_rows_are_cut_when_their_text_would_be_too_large(monkeypatch):
    monkeypatch.setattr("elspeth_dagster.plugins.sinks.text._MAX_TEXT_BYTES", 300)
    dicts = [{"a": "x" * i, "b": [i]} for i in range(40)]
    assert write(lines(), dicts).data == expected_lines(dicts)
    assert write(sink(), dicts).data == json.dumps(dicts).encode()
