import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sink_cases import CELLS, RAGGED, cut, extension_text, rows_of, schema, write

from elspeth_dagster.plugins.sinks.csv import CsvOptions, CsvSink
from elspeth_dagster.plugins.sinks.errors import ExistingFileError, SinkSettingsError
from elspeth_dagster.plugins.sinks.file import Existing, FoldRequest
from elspeth_dagster.rows.fields import OBSERVED


def sink(block=OBSERVED, **options):
    return CsvSink(CsvOptions(path="out.csv", **options), block)


def cell(value):
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, default=extension_text)
    return extension_text(value)


def expected(dicts, columns, delimiter=",", header=None):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    if columns:
        writer.writerow(header or columns)
    for row in dicts:
        writer.writerow([cell(row.get(name)) for name in columns])
    return file.getvalue().encode()


@settings(max_examples=100)
@given(cut(), st.sampled_from([",", ";", "\t", "|", " ", "a", "1", "é"]), st.booleans())
def test_bytes_are_those_of_the_csv_module_however_the_rows_are_cut(case, delimiter, rendered):
    dicts, pieces = case
    columns = list(dict.fromkeys(name for row in dicts for name in row))
    written = write(sink(delimiter=delimiter), *pieces, rendered=rendered)
    assert written.data == expected(dicts, columns, delimiter)
    assert written.refused == {}


@settings(max_examples=100)
@given(st.lists(CELLS, min_size=1, max_size=20))
def test_a_single_column_never_gives_an_empty_line(values):
    dicts = [{"only": value} for value in values]
    data = write(sink(), dicts).data
    assert data == expected(dicts, ["only"])
    assert len(list(csv.reader(io.StringIO(data.decode(), newline="")))) == len(values) + 1


@settings(max_examples=100)
@given(RAGGED)
def test_declared_columns_come_first_and_others_by_first_occurrence(dicts):
    block = schema("flexible", "c: any?", "a: any?")
    others = dict.fromkeys(name for row in dicts for name in row.keys() - {"c", "a"})
    in_order = [name for row in dicts for name in row if name in others]
    columns = ["c", "a", *dict.fromkeys(in_order)]
    renamed = [{"c" if name == "c d" else name: value for name, value in row.items()} for row in dicts]
    columns = [name for name in columns if name != "c d"]
    assert write(sink(block), renamed).data == expected(renamed, columns)


def test_a_key_first_seen_later_gets_a_later_column():
    written = write(sink(), [{"b": 1}], [{"a": 2, "b": 3}], [{"c": 4, "a": 5}])
    assert written.data == b"b,a,c\r\n1,,\r\n3,2,\r\n,5,4\r\n"


def test_a_fixed_schema_refuses_unknown_and_missing_fields():
    block = schema("fixed", "id: int", "note: str?")
    dicts = [{"id": 1, "note": "x"}, {"id": 2, "extra": 3}, {"note": "y"}, {"id": None}]
    written = write(sink(block), dicts)
    assert written.data == b"id,note\r\n1,x\r\n,\r\n"
    assert written.refused == {
        1: {"reason": "unknown_field", "field": "extra"},
        2: {"reason": "missing_field", "field": "id"},
    }


def test_required_fields_hold_without_declared_ones():
    written = write(sink(schema("observed", required=["id"])), [{"id": 1}, {"name": "x"}])
    assert written.data == b"id\r\n1\r\n"
    assert written.refused == {1: {"reason": "missing_field", "field": "id"}}


def test_a_diverted_row_fits_whatever_the_schema_says():
    block = schema("fixed", "id: int", "note: str?")
    written = write(sink(block, validate_input=True), [{"id": 1}, {"raw": "x", "id": "abc"}], diverted=[1])
    assert written.data == b"id,note,raw\r\n1,,\r\nabc,,x\r\n"
    assert written.refused == {}


def test_types_are_checked_only_when_asked_for():
    block = schema("flexible", "id: int", "price: float", "name: str?", "ok: bool", "what: any")
    good = {"id": 1, "price": 2, "name": None, "ok": True, "what": None}
    bad = [
        good | change
        for change in ({"id": "1"}, {"id": True}, {"id": None}, {"price": "2"}, {"name": 3}, {"ok": 1})
    ]
    assert write(sink(block), [good, *bad]).refused == {}
    refused = write(sink(block, validate_input=True), [good, *bad]).refused
    assert set(refused) == {1, 2, 3, 4, 5, 6}
    assert refused[1] == {"reason": "wrong_type", "field": "id", "expected": "int", "found": "text"}
    assert refused[3] == {"reason": "wrong_type", "field": "id", "expected": "int", "found": "null"}


@pytest.mark.parametrize(
    ("encoding", "begins"),
    [
        ("utf-8-sig", b"\xef\xbb\xbf"),
        ("utf-16", b"\xff\xfe"),
        ("utf-16-le", b""),
        ("latin-1", b""),
        ("cp037", b""),
    ],
)
def test_encodings_have_their_mark_once(encoding, begins):
    pieces = [[{"a": "x,y", "b": 1}], [{"a": "é", "b": 2}], [{"a": "z", "b": None}]]
    data = write(sink(encoding=encoding), *pieces, rendered=True).data
    assert data.startswith(begins)
    assert data == expected([row for piece in pieces for row in piece], ["a", "b"]).decode().encode(encoding)


def test_a_stateful_encoding_can_be_cut_anywhere():
    pieces = [[{"a": "日本"}], [{"a": "語"}, {"a": "x"}]]
    whole = "a\r\n日本\r\n語\r\nx\r\n".encode("iso2022_jp")
    assert write(sink(encoding="iso2022_jp"), *pieces, rendered=True).data == whole


def test_a_character_that_the_encoding_lacks_refuses_its_row():
    dicts = [{"a": "é"}, {"a": "日"}, {"a": "x", "日": 1}, {"a": ["ü", "本"]}]
    written = write(sink(encoding="latin-1"), dicts)
    assert written.data == 'a\r\né\r\n"[""\\u00fc"", ""\\u672c""]"\r\n'.encode("latin-1")
    assert written.refused[1] == {"reason": "encoding", "field": "a", "encoding": "latin-1"}
    assert written.refused[2] == {"reason": "encoding", "field": "日", "encoding": "latin-1"}


def test_headers_normalized_original_or_mapped():
    row = [{"order_id": 1, "made_here": 2}]
    originals = FoldRequest({"order_id": "Order ID", "gone": "Gone"})
    assert write(sink(), row, request=originals).data.startswith(b"order_id,made_here\r\n")
    assert write(sink(headers="normalized"), row, request=originals).data.startswith(
        b"order_id,made_here\r\n"
    )
    assert write(sink(headers="original"), row, request=originals).data.startswith(b"Order ID,made_here\r\n")
    mapped = sink(headers={"order_id": 'The "ID"', "nowhere": "x"})
    assert write(mapped, row, request=originals).data.startswith(b'"The ""ID""",made_here\r\n')


def test_two_columns_never_have_one_header():
    with pytest.raises(ValidationError, match="several fields are given the header 'x'"):
        sink(headers={"a": "x", "b": "x"})
    with pytest.raises(SinkSettingsError, match=r"\['a', 'b'\] all have the header 'b'"):
        sink(schema("fixed", "a: int", "b: int"), headers={"a": "b"})
    written = write(sink(headers={"a": "b"}), [{"a": 1}, {"b": 2}, {"a": 3, "b": 4}])
    assert written.data == b"b\r\n1\r\n"
    clash = {"reason": "duplicate_header", "field": "b", "header": "b", "taken_by": "a"}
    assert written.refused == {1: clash, 2: clash}


@pytest.mark.parametrize("block", [OBSERVED, schema("flexible", "id: any?", "user_id: any?")])
def test_a_field_and_what_it_was_renamed_to_have_a_column_each(block):
    request = FoldRequest({"user_id": "User ID", "id": "User ID"})
    plugin = sink(block, headers="original")
    for pieces in ([[{"id": 1}, {"user_id": 2}, {"id": 3, "user_id": 4}]], [[{"id": 1}], [{"user_id": 2}]]):
        written = write(plugin, *pieces, request=request)
        assert written.data.startswith(b"User ID,user_id\r\n1,\r\n,2\r\n")
        assert written.refused == {}
    taken = FoldRequest({"user_id": "User ID", "id": "User ID", "n": "user_id"})
    written = write(sink(headers="original"), [{"id": 1, "n": 2}, {"user_id": 3}], request=taken)
    clash = {"reason": "duplicate_header", "field": "user_id", "header": "user_id", "taken_by": "n"}
    assert written.refused == {1: clash}


def test_a_file_with_a_renamed_field_is_appended_to(tmp_path):
    block = schema("fixed", "id: any?", "user_id: any?")
    content = b"User ID,user_id\r\n"
    (tmp_path / "old.csv").write_bytes(content)
    request = FoldRequest(
        {"user_id": "User ID", "id": "User ID"}, existing=Existing(tmp_path / "old.csv", len(content))
    )
    written = write(sink(block, mode="append", headers="original"), [{"user_id": 2}], request=request)
    assert (written.data, written.refused) == (b",2\r\n", {})


def test_without_rows_there_is_the_declared_header():
    assert write(sink(schema("fixed", "a: int", "b: str?"))).data == b"a,b\r\n"
    assert write(sink()).data == b""
    assert write(sink(encoding="utf-16")).data == b"\xff\xfe"


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"encoding": "klingon"},
        {"encoding": "rot13"},
        {"encoding": "punycode"},
        {"encoding": "base64"},
        {"mode": "overwrite"},
        {"headers": "fancy"},
        {"unknown": 1},
    ],
)
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(ValidationError):
        sink(**options)


def test_a_declared_field_must_be_expressible():
    with pytest.raises(SinkSettingsError, match="no way to write the field 'é'"):
        sink(schema("fixed", "é: str"), encoding="ascii")


def existing(tmp_path, content, *, takes_any=False):
    path = tmp_path / "old.csv"
    path.write_bytes(content)
    return FoldRequest({}, takes_any, Existing(path, len(content)))


def test_an_existing_file_supplies_the_columns(tmp_path):
    request = existing(tmp_path, b'b,"old, one",a\r\n1,2,3\r\n')
    written = write(sink(mode="append"), [{"a": 1, "b": 2}, {"c": 3}], [{"a": 4}], request=request)
    assert written.data == b"2,,1\r\n,,4\r\n"
    refused = written.refused[1]
    assert refused.items() >= {"reason": "not_in_existing_file", "field": "c", "header": "c"}.items()
    assert "add the column to that line" in refused["detail"]
    assert "jsonl" in refused["detail"]


def test_only_the_old_part_of_the_file_is_looked_at(tmp_path):
    path = tmp_path / "old.csv"
    path.write_bytes(b"a,b\r\n1,2\r\nours")
    request = FoldRequest({}, existing=Existing(path, 0))
    assert write(sink(mode="append"), [{"z": 1}], request=request).data == b"z\r\n1\r\n"


@pytest.mark.parametrize(
    ("mode", "header", "says"),
    [
        ("fixed", b"b,a\r\n", r"its header is \['b', 'a'\], the schema's is \['a', 'b'\]"),
        ("fixed", b"a,b,c\r\n", "the schema's is"),
        ("flexible", b"a,c\r\n", r"lacks \['b'\]"),
        ("fixed", b"a,a\r\n", "names a column twice"),
        ("fixed", b"\r\na,b\r\n", "has no header line"),
        ("fixed", b"\xff\xff\r\n", "cannot be read"),
    ],
)
def test_an_existing_file_must_suit_the_schema(tmp_path, mode, header, says):
    with pytest.raises(ExistingFileError, match=says):
        sink(schema(mode, "a: int", "b: int"), mode="append").fold(existing(tmp_path, header))


def test_a_sink_that_takes_any_row_appends_to_what_it_made(tmp_path):
    plugin, pieces = (
        sink(schema("fixed", "id: int", "n: int"), mode="append"),
        [{"id": 1, "n": 2}, {"raw": "x"}],
    )
    made = write(plugin, pieces, diverted=[1], request=FoldRequest({}, takes_any=True)).data
    assert made == b"id,n,raw\r\n1,2,\r\n,,x\r\n"
    request = existing(tmp_path, made, takes_any=True)
    written = write(
        plugin, [*pieces, {"other": 1}, {"id": 3, "n": 4, "raw": "y"}], diverted=[1, 2], request=request
    )
    assert written.data == b"1,2,\r\n,,x\r\n"
    assert {position: why["reason"] for position, why in written.refused.items()} == {
        2: "not_in_existing_file",
        3: "unknown_field",
    }
    with pytest.raises(ExistingFileError, match="the schema's is"):
        plugin.fold(existing(tmp_path, b"raw,id,n\r\n", takes_any=True))
    with pytest.raises(ExistingFileError, match="the schema's is"):
        plugin.fold(existing(tmp_path, made))


def test_appending_understands_marks_and_mapped_headers(tmp_path):
    request = existing(tmp_path, "A,b\r\n".encode("utf-8-sig"))
    written = write(sink(mode="append", headers={"a": "A"}), [{"a": 1, "b": 2}], request=request)
    assert written.data == b"1,2\r\n"


def test_rows_are_cut_when_their_text_would_be_too_large(monkeypatch):
    monkeypatch.setattr("elspeth_dagster.plugins.sinks.text._MAX_TEXT_BYTES", 300)
    dicts = [{"a": "x" * i, "b": i} for i in range(40)]
    pieces = sink().render(rows_of(dicts), sink_layout(dicts))
    assert len(pieces) > 3
    assert b"".join(map(bytes, pieces)) == expected(dicts, ["a", "b"]).removeprefix(b"a,b\r\n")


def sink_layout(dicts):
    fold = sink().fold(FoldRequest({}))
    fold.take(sink().facts(rows_of(dicts), None))
    return fold.layout()
