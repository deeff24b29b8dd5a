"""The `json` source: documents and lines, as they should be and as they should not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_reading import json_source, read, read_json, read_with_stops, request, without_arrival

from elspeth_dagster.plugins.sources.json import JsonSource


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "input.json"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "input.jsonl"


def test_elements_are_taken_as_they_stand(document: Path) -> None:
    got = read_json(document, '\n[{"User ID": 1.0, "a": 1},\n {"a" : 12345678901234567890123},[ 1 ],"x"\n]\n')
    assert [record.raw for record in got.records] == [
        b'{"User ID": 1.0, "a": 1}', b'{"a" : 12345678901234567890123}', b"[ 1 ]", b'"x"'
    ]  # fmt: skip
    assert [record.line for record in got.records] == [2, 3, 3, 3]


def test_an_element_over_several_lines_has_its_last_line(document: Path) -> None:
    got = read_json(document, '[{\n"a": 1\n},\n{}]')
    assert [(record.raw, record.line) for record in got.records] == [(b'{\n"a": 1\n}', 3), (b"{}", 4)]


@pytest.mark.parametrize("content", ["[]", " [ ] ", "\n[\n]\n"])
def test_an_empty_array_has_no_rows(document: Path, content: str) -> None:
    assert read_json(document, content).chunks == []


@pytest.mark.parametrize(
    ("content", "before", "what"),
    [
        ("", 0, "Expecting value: line 1 column 1 (byte 0)"),
        ("  \n ", 0, "Expecting value: line 2 column 2 (byte 4)"),
        ("[", 0, "Expecting value: line 1 column 2 (byte 1)"),
        ("nope", 0, "Expecting value: line 1 column 1 (byte 0)"),
        ("{", 0, "Expecting property name enclosed in double quotes: line 1 column 2 (byte 1)"),
        ('[{"a":1}', 1, "Expecting ',' delimiter: line 1 column 9 (byte 8)"),
        ('[{"a":1},]', 1, "Expecting value: line 1 column 10 (byte 9)"),
        ('[{"a":1},,{}]', 1, "Expecting value: line 1 column 10 (byte 9)"),
        ("[,{}]", 0, "Expecting value: line 1 column 2 (byte 1)"),
        ('[{"a":1} {"a":2}]', 1, "Expecting ',' delimiter: line 1 column 10 (byte 9)"),
        ('[{"é":1},\n{"a":}]', 1, "Expecting value: line 2 column 6 (byte 16)"),
        ('[{"a":1},\n {"a":2', 1, "Expecting ',' delimiter: line 2 column 8 (byte 17)"),
        ('[{"a":"x]', 0, "Unterminated string starting at: line 1 column 7 (byte 6)"),
        ('[{"a":"x\ny"}]', 0, "Invalid control character at: line 1 column 9 (byte 8)"),
        ('[{"a":1},{"a":01}]', 1, "Expecting ',' delimiter: line 1 column 16 (byte 15)"),
        ('[{"a":1}] {}', 1, "Extra data: line 1 column 11 (byte 10)"),
        ('[{"a":1}]]', 1, "Extra data: line 1 column 10 (byte 9)"),
        ('[{"a":1},{"a":NaN},{}]', 1, "NaN is no JSON value: line 1 column 10 (byte 9)"),
        ('[{"a":-Infinity}]', 0, "-Infinity is no JSON value: line 1 column 2 (byte 1)"),
        ("[1] tru", 1, "Extra data: line 1 column 5 (byte 4)"),
    ],
)
def test_what_stands_before_a_syntax_error_stays(
    document: Path, content: str, before: int, what: str
) -> None:
    got = read_json(document, content)
    assert len(got.values) == before
    assert got.problems == [(f"syntax_error: {what}", {"file_path": str(document), "error": what})]
    assert got.records[-1].problem is not None


def test_a_byte_order_mark_is_no_json_unless_the_encoding_has_it(document: Path) -> None:
    got = read_json(document, b'\xef\xbb\xbf[{"a":1}]')
    ((problem, shown),) = got.problems
    assert problem.startswith("syntax_error: Unexpected byte order mark")
    assert set(shown) == {"file_path", "error"}
    assert read_json(document, b'\xef\xbb\xbf[{"a":1}]', encoding="utf-8-sig").values == [{"a": 1}]
    assert read_json(document, '[{"a":"é"}]'.encode("utf-16"), encoding="utf-16").values == [{"a": "é"}]


def test_undecodable_bytes_take_their_element_alone(document: Path) -> None:
    got = read_json(document, b'[{"a":"x"},\n{"a":"\xff"},{"a":"y"}]')
    assert got.values == [{"a": "x"}, {"a": "y"}]
    assert got.problems == [
        (
            "undecodable: it has bytes that are not utf-8",
            {"__raw_bytes_hex__": b'{"a":"\xff"}'.hex(), "__line_number__": 2},
        )
    ]


def test_undecodable_bytes_between_elements_are_a_syntax_error(document: Path) -> None:
    got = read_json(document, b'[{"a":1},\xff{"a":2}]')
    assert got.values == [{"a": 1}]
    assert got.problems[0][0] == "syntax_error: Expecting value: line 1 column 10 (byte 9)"


@pytest.mark.parametrize(
    ("content", "kind"),
    [('{"a": [1]}', "an object"), ('"x"', "text"), ("12", "a number"), ("null", "null"), ("true", "true")],
)
def test_a_root_that_is_no_array(document: Path, content: str, kind: str) -> None:
    what = f"expected an array at the root, found {kind}"
    got = read_json(document, content)
    assert got.problems == [
        (f"structure_error: {what}", {"file_path": str(document), "structure_error": what})
    ]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ('{"data": [{"a": 1}, {"a": 2}]}', [{"a": 1}, {"a": 2}]),
        ('{"x": {"data": [3]}, "data" : [ 1 ] , "y": null} ', [1]),
        ('{"d\\u0061ta": [1]}', [1]),
        ('{"data": []}', []),
        ('{"data": 5, "data": [1]}', [1]),
    ],
)
def test_the_array_under_a_key(document: Path, content: str, values: list[Any]) -> None:
    got = read_json(document, content, data_key="data")
    assert got.values == values
    assert got.problems == []


@pytest.mark.parametrize(
    ("content", "before", "what"),
    [
        ("[]", 0, "expected an object with the key 'data' at the root, found an array"),
        ("{}", 0, "the root has no key 'data'"),
        ('{"x": {"data": []}}', 0, "the root has no key 'data'"),
        ('{"data": {"a": 1}, "x": 1}', 0, "expected an array under the key 'data', found an object"),
        ('{"data": null}', 0, "expected an array under the key 'data', found null"),
        ('{"data": [1], "data": [2]}', 1, "the key 'data' occurs again: line 1 column 22 (byte 21)"),
    ],
)
def test_no_array_under_the_key(document: Path, content: str, before: int, what: str) -> None:
    got = read_json(document, content, data_key="data")
    assert len(got.values) == before
    assert [shown for _, shown in got.problems] == [{"file_path": str(document), "structure_error": what}]


@pytest.mark.parametrize(
    ("content", "before"),
    [
        ('{"data": [1]', 1),
        ('{"data": [1]}}', 1),
        ('{"data": [1],}', 1),
        ('{"data" [1]}', 0),
        ('{"data": {}', 0),
        ('{"x": 1 "data": []}', 0),
        ("{data: []}", 0),
        ('{"x": nope, "data": [1]}', 0),
    ],
)
def test_syntax_errors_around_the_array(document: Path, content: str, before: int) -> None:
    got = read_json(document, content, data_key="data")
    assert len(got.values) == before
    assert [set(shown) for _, shown in got.problems] == [{"file_path", "error"}]


def test_an_element_nested_too_deeply_for_the_parser_is_left_to_the_boundary(document: Path) -> None:
    deep = '{"a":' + "[" * 5000 + '"]"' + "]" * 5000 + "}"
    got = read_json(document, f"[{deep},\n1]")
    assert [record.raw for record in got.records] == [deep.encode(), b"1"]


def test_an_element_past_the_limit_ends_the_file(document: Path) -> None:
    for block_bytes in (8, 1000):
        document.write_text('[{"a":1},{"a":"xxxxxxxxxxxxxxxxx"},1]')
        source = json_source(document, max_record_bytes=20)
        source._block_bytes = block_bytes
        got = read(source)
        assert got.values == [{"a": 1}]
        assert got.problems[0][0] == "syntax_error: a value of more than 20 bytes: line 1 column 10 (byte 9)"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('ab"\\[]{},: \n\0é🙂'), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


FLAWS = [b",", b"]", b"[", b'"', b"1", b"\xff", b"e", b"\\", b""]


def _reading(path: Path, data: bytes, block_bytes: int, **options: Any) -> Any:
    path.write_bytes(data)
    source: JsonSource = json_source(path, **options)
    source._block_bytes = block_bytes
    return read(source)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.lists(JSON_VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.integers(1, 60),
    st.none() | st.tuples(st.integers(0, 100), st.sampled_from(FLAWS)),
)  # fmt: skip
def test_the_way_a_document_is_read_changes_nothing(
    document: Path, values: list[Any], ascii_only: bool, indent: int | None, block_bytes: int,
    flaw: tuple[int, bytes] | None,
) -> None:  # fmt: skip
    data = json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    if flaw is not None:
        at = min(flaw[0], len(data))
        data = data[:at] + flaw[1] + data[at + 1 :]
    whole = _reading(document, data, 1 << 20)
    assert _reading(document, data, block_bytes).records == whole.records
    try:
        expected = json.loads(data)
    except ValueError:
        assert whole.problems
    else:
        if isinstance(expected, list) and not whole.problems:
            assert whole.values == expected
    if flaw is None:
        assert whole.values == values


def test_lines(lines: Path) -> None:
    got = read_json(lines, '{"a":1}\r\n\n \t\n[1]\n{"a": 2}')
    assert [(record.raw, record.line) for record in got.records] == [
        (b'{"a":1}', 1), (b"[1]", 4), (b'{"a": 2}', 5)
    ]  # fmt: skip
    assert got.notices == []


def test_lines_are_not_judged_here(lines: Path) -> None:
    got = read_json(lines, '{"a":NaN}\nnope\n{"a":1}\n')
    assert [record.raw for record in got.records] == [b'{"a":NaN}', b"nope", b'{"a":1}']


def test_undecodable_lines_are_shown_as_bytes(lines: Path) -> None:
    got = read_json(lines, b'{"a":1}\n{"a":"\xff"}\r\n{"a":"\xc3\xa9"}\n')
    assert got.values == [{"a": 1}, {"a": "é"}]
    assert [shown for _, shown in got.problems] == [
        {"__raw_bytes_hex__": b'{"a":"\xff"}'.hex(), "__line_number__": 2}
    ]
    got = read_json(lines, b'{"a":"\x81"}\n{"a":"\x80"}\n', encoding="cp1252")
    assert got.values == [{"a": "€"}]
    assert got.problems[0][1]["__raw_bytes_hex__"] == b'{"a":"\x81"}'.hex()


def test_a_line_past_the_limit_is_handed_over_in_pieces(lines: Path) -> None:
    for block_bytes in (3, 1000):
        lines.write_text('{"a":1}\n' + "x" * 25 + '\n{"a":2}\n')
        source = json_source(lines, max_record_bytes=10)
        source._block_bytes = block_bytes
        got = read(source)
        assert got.values == [{"a": 1}, {"a": 2}]
        assert [shown["__raw_line__"] for _, shown in got.problems] == ["x" * 10, "x" * 10, "x" * 5]
        assert [record.line for record in got.records] == [1, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("name", "format_", "as_lines"),
    [("x.jsonl", None, True), ("x.json", None, False), ("x.txt", None, False), ("x.json", "jsonl", True),
     ("x.jsonl", "json", False)],
)  # fmt: skip
def test_the_format_is_given_or_told_by_the_suffix(
    tmp_path: Path, name: str, format_: Any, as_lines: bool
) -> None:
    got = read_json(tmp_path / name, '{"a":1}\n' if as_lines else '[{"a":1}]', format=format_)
    assert got.values == [{"a": 1}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jsonl", "data_key": "x"}, "JSON Lines have none"),
        ({"format": "csv"}, "'json' or 'jsonl'"),
        ({"encoding": "nope"}, "no text encoding"),
        ({"path": ""}, "must name a file"),
        ({"columns": []}, "columns"),
    ],
)
def test_options_that_are_refused(document: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json_source(**({"path": document} | options))


DOCUMENTS = {
    "array": (b'[{"a":"\xff"},\n{"a":1}, 2,\n\n{"b":"\xc3\xa9"},{"a":nope}]', {"format": "json"}),
    "keyed": (b'{"x":[1],"data":[{"a":1},\n{"a":2},{"a":3}],"y":2}', {"format": "json", "data_key": "data"}),
    "keyed_badly": (b'{"data":[{"a":1},\n{"a":2}],"y":}', {"format": "json", "data_key": "data"}),
    "lines": (b'{"a":1}\n\n{"a":"\xff"}\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n2\r\n3',
              {"format": "jsonl", "max_record_bytes": 20}),
    "lines16": ('{"a":"é"}\n\n{"a":2}\n3'.encode("utf-16"), {"format": "jsonl", "encoding": "utf-16"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("max_records", [1, 2, 100])
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 3])
def test_stopping_behind_any_chunk_changes_nothing(
    document: Path, name: str, max_records: int, limit: int | None
) -> None:
    data, options = DOCUMENTS[name]
    document.write_bytes(data)
    everything = read(json_source(document, **options)).records
    whole = read(json_source(document, **options), max_records=max_records, limit=limit)
    stopped = read_with_stops(json_source(document, **options), max_records=max_records, limit=limit)
    assert [without_arrival(c) for c in stopped.chunks] == [without_arrival(c) for c in whole.chunks]
    assert whole.records == everything[:limit]


def test_nothing_is_read_behind_what_could_not_be(document: Path) -> None:
    got = read_json(document, '[{"a":1},')
    assert got.chunks[-1].cursor["done"]
    assert list(json_source(document).chunks(request(cursor=got.chunks[-1].cursor, first=2))) == []
