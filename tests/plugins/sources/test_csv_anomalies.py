"""The `csv` source on input that is not as it should be: the format's table, and where we differ from it."""

from pathlib import Path
from typing import Any

import pytest
from source_reading import csv_source, read, read_csv, request

from elspeth_dagster.plugins.base import Notice
from elspeth_dagster.plugins.sources.errors import SourceError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.csv"


def raw_line(text: str, line: int, row: int) -> dict[str, Any]:
    return {"__raw_line__": text, "__line_number__": line, "__row_number__": row}


def test_records_as_they_are(path: Path) -> None:
    got = read_csv(path, 'User ID,"Amt $"\r\n1, x \n"a ""b"", c","two\nlines"\r"",\n')
    assert got.names == ("user_id", "amt")
    assert got.originals == {"user_id": "User ID", "amt": "Amt $"}
    assert got.rows == [("1", " x "), ('a "b", c', "two\nlines"), ("", "")]
    assert [record.line for record in got.records] == [2, 4, 5]
    assert got.notices == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("at_end", [True, False])
def test_every_line_end(path: Path, end: str, at_end: bool) -> None:
    got = read_csv(path, f"a,b{end}1,2{end}3,4" + end * at_end)
    assert got.rows == [("1", "2"), ("3", "4")]
    assert [record.line for record in got.records] == [2, 3]


def test_too_few_and_too_many_cells(path: Path) -> None:
    got = read_csv(path, 'a,b,c\n1,2\n1,2,3\n"x","y, z",3,4\n \n')
    assert got.rows == [None, ("1", "2", "3"), None, None]
    assert got.problems == [
        ("cell_count: expected 3 cells, found 2", raw_line("1,2", 2, 1)),
        ("cell_count: expected 3 cells, found 4", raw_line('"x","y, z",3,4', 4, 3)),
        ("cell_count: expected 3 cells, found 1", raw_line(" ", 5, 4)),
    ]


def test_the_line_number_is_that_of_the_records_last_line(path: Path) -> None:
    got = read_csv(path, 'a,b\n"x\ny"\n1,2\n')
    assert got.problems == [("cell_count: expected 2 cells, found 1", raw_line('"x\ny"', 3, 1))]
    assert [record.line for record in got.records] == [3, 4]


def test_a_line_of_spaces_is_a_value_of_a_single_column(path: Path) -> None:
    assert read_csv(path, "a\n  \nx\n").rows == [("  ",), ("x",)]


def test_blank_lines_are_skipped_and_told_of_once(path: Path) -> None:
    got = read_csv(path, "a,b\n\n1,2\n\r\n\n3,4\n\n")
    assert got.rows == [("1", "2"), ("3", "4")]
    assert [record.line for record in got.records] == [3, 6]
    assert got.notices == [Notice("blank_lines", "4 blank lines were skipped")]
    assert got.chunks[-1].records.num_records == 0


def test_blank_lines_of_a_single_column(path: Path) -> None:
    got = read_csv(path, 'a\n\n""\nx\n')
    assert got.rows == [("",), ("x",)]
    assert got.notices == [Notice("blank_lines", "1 blank line was skipped")]


def test_blank_lines_before_the_header_are_skipped(path: Path) -> None:
    got = read_csv(path, "\n\r\n\na,b\n1,2\n")
    assert got.names == ("a", "b")
    assert [record.line for record in got.records] == [5]
    assert got.notices == []


def test_an_unterminated_quote_takes_its_own_line_alone(path: Path) -> None:
    got = read_csv(path, 'a,b\n1,2\n3,"4\n5,6\n7,8\n')
    assert got.rows == [("1", "2"), None, ("5", "6"), ("7", "8")]
    assert got.problems == [("unterminated_quote: unterminated quote, line 3", raw_line('3,"4', 3, 2))]


def test_an_unterminated_quote_behind_a_cell_of_several_lines(path: Path) -> None:
    got = read_csv(path, 'a,b\n"x\ny","4\n5,6')
    assert got.rows == [None, ("5", "6")]
    assert got.problems == [("unterminated_quote: unterminated quote, line 3", raw_line('"x\ny","4', 3, 1))]


def test_text_behind_a_closing_quote_is_appended(path: Path) -> None:
    got = read_csv(path, 'a,b\n"x"y,"q" "z,w"\n5" pipe,6\n')
    assert got.rows == [None, ('5" pipe', "6")]
    assert read_csv(path, 'a,b\n"x"y,"q" "z"\n').rows == [("xy", 'q "z"')]


def test_nul_is_data(path: Path) -> None:
    assert read_csv(path, b"a,b\n\x00,x\x00y\n").rows == [("\0", "x\0y")]


def test_a_byte_order_mark_is_dropped_from_names_and_originals(path: Path) -> None:
    got = read_csv(path, b'\xef\xbb\xbf"ID",b\n1,2\n')
    assert got.originals == {"id": "ID", "b": "b"}
    assert read_csv(path, b"\xef\xbb\xbfID,b\n1,2\n", encoding="utf-8-sig").originals == {
        "id": "ID",
        "b": "b",
    }


def test_a_byte_order_mark_within_the_file_is_data(path: Path) -> None:
    got = read_csv(path, "a,b\n\ufeff1,2\n\ufeff3,4\n")
    assert got.rows == [("\ufeff1", "2"), ("\ufeff3", "4")]


def test_undecodable_bytes_take_their_record_alone(path: Path) -> None:
    got = read_csv(path, b'a,b\n1,2\n\xff,3\n"x\n\xe2\x82",4\n5,\xe2\x82\xac\n')
    assert got.rows == [("1", "2"), None, None, ("5", "€")]
    hexes = [
        (shown["__raw_bytes_hex__"], shown["__line_number__"], shown["__row_number__"])
        for _, shown in got.problems
    ]
    assert hexes == [("ff2c33", 3, 2), (b'"x\n\xe2\x82",4'.hex(), 5, 3)]
    assert all(problem == "undecodable: it has bytes that are not utf-8" for problem, _ in got.problems)
    assert got.chunks[0].records.raw.to_pylist() == [None, b"\xff,3", b'"x\n\xe2\x82",4', None]


def test_a_record_with_several_faults_is_shown_as_bytes_when_it_is_no_text(path: Path) -> None:
    assert read_csv(path, b"a,b\n\xff\n").problems[0][1]["__raw_bytes_hex__"] == "ff"


def test_cells_up_to_the_limit(path: Path) -> None:
    got = read_csv(path, f'a,b\n{"x" * 10},1\n{"y" * 11},2\n"{"z" * 9}""",3\néééééé,4\n', max_cell_bytes=10)
    assert got.rows == [("x" * 10, "1"), None, ("z" * 9 + '"', "3"), None]
    assert got.problems[0] == (
        "cell_too_large: cell 1 has 11 bytes; max_cell_bytes is 10", raw_line("y" * 11 + ",2", 3, 2)
    )  # fmt: skip


def test_a_cell_past_the_limit_of_pythons_own_reader(path: Path) -> None:
    assert read_csv(path, f"a,b\n1,{'x' * 200_000}\n").rows == [("1", "x" * 200_000)]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(path: Path, content: bytes) -> None:
    assert read_csv(path, content).chunks == []


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "\n\na,b\r\n"])
def test_a_header_alone_has_no_rows(path: Path, content: str) -> None:
    assert read_csv(path, content).chunks == []


@pytest.mark.parametrize(
    ("content", "skip_rows", "detail", "line"),
    [
        ("a\nb\n", 5, "skip_rows is 5, but the file has 2 records", 2),
        ("a\nb\n", 2, "there is no header behind line 2", 2),
        ("\n\n", 0, "there is no header behind line 0", 2),
        ("", 1, "skip_rows is 1, but the file has 0 records", 0),
    ],
)
def test_a_missing_header_is_a_notice(
    path: Path, content: str, skip_rows: int, detail: str, line: int
) -> None:
    got = read_csv(path, content, skip_rows=skip_rows)
    assert got.records == []
    assert got.notices == [Notice("missing_header", detail, line)]


def test_skipped_rows_are_records(path: Path) -> None:
    got = read_csv(path, '"one\nrecord"\n\nx"y\na,b\n1,2\n', skip_rows=3)
    assert got.names == ("a", "b")
    assert [(record.cells, record.line) for record in got.records] == [(("1", "2"), 6)]


def test_a_header_that_cannot_be_read_is_one_quarantined_record(path: Path) -> None:
    got = read_csv(path, b"a,\xff\n1,2\n")
    ((problem, shown),) = got.problems
    assert problem == "header: it has bytes that are not utf-8"
    assert shown == {
        "file_path": str(path), "__encoding__": "utf-8", "__raw_bytes_hex__": "612cff", "__line_number__": 1
    }  # fmt: skip
    assert list(csv_source(path).chunks(request(cursor=got.chunks[0].cursor, first=1))) == []


def test_a_header_with_an_unterminated_quote_is_one_quarantined_record(path: Path) -> None:
    ((problem, shown),) = read_csv(path, 'a,"b\n1,2\n').problems
    assert problem == "header: unterminated quote"
    assert shown == {"file_path": str(path), "__line_number__": 1, "__raw_line__": 'a,"b'}


def test_headers_with_the_same_name_stop_the_run(path: Path) -> None:
    with pytest.raises(SourceError, match=r"input\.csv: several columns.*column 1.*column 2"):
        read_csv(path, "a,A\n1,2\n")


def test_a_header_without_a_name_stops_the_run(path: Path) -> None:
    with pytest.raises(SourceError, match="column 2"):
        read_csv(path, "a,\n1,2\n")


def test_ten_thousand_columns_and_no_more(path: Path) -> None:
    wide = ",".join(f"c{n}" for n in range(10_000))
    got = read_csv(path, f"{wide}\n{wide}\n1\n")
    assert len(got.names) == 10_000
    assert got.problems == [("cell_count: expected 10000 cells, found 1", raw_line("1", 3, 2))]
    with pytest.raises(SourceError, match="10001 columns"):
        read_csv(path, f"{wide},x\n")


def test_columns_of_a_file_without_a_header(path: Path) -> None:
    got = read_csv(path, "\n1,2\n3\n", columns=["User", "b"], field_mapping={"User": "who"})
    assert got.names == ("who", "b")
    assert got.rows == [("1", "2"), None]
    assert got.notices == [Notice("blank_lines", "1 blank line was skipped")]


def test_columns_in_place_of_a_header(path: Path) -> None:
    got = read_csv(path, "A,A\n1,2\n", columns=["x", "y"], skip_rows=1)
    assert got.names == ("x", "y")
    assert [(record.cells, record.line) for record in got.records] == [(("1", "2"), 2)]


def test_fields_are_renamed_all_at_once(path: Path) -> None:
    got = read_csv(path, "A,B\n1,2\n", field_mapping={"a": "b", "b": "a"})
    assert got.originals == {"b": "A", "a": "B"}
    assert got.names == ("b", "a")


def test_a_field_mapping_that_does_not_fit_stops_the_run(path: Path) -> None:
    with pytest.raises(SourceError, match="'zz'"):
        read_csv(path, "a,b\n", field_mapping={"zz": "y"})
    with pytest.raises(SourceError, match="several columns the name 'b'"):
        read_csv(path, "a,b\n", field_mapping={"a": "b"})


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "§", "→", " "])
def test_delimiters(path: Path, delimiter: str) -> None:
    got = read_csv(path, f'a{delimiter}b\n"x{delimiter}"{delimiter},\n1\n', delimiter=delimiter)
    assert got.rows == [(f"x{delimiter}", ","), None]


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("latin-1", None),
        ("cp1252", b"\x81"),
        ("utf-16", b"\x00\xd8"),
        ("utf-16-le", b"\x00\xd8"),
        ("utf-16-be", b"\xd8\x00"),
        ("shift_jis", b"\x81\x20"),
        ("ascii", b"\x80"),
        ("utf-32", b"\x00\x00\x11\x00"),
    ],
)
def test_other_encodings(path: Path, encoding: str, bad: bytes | None) -> None:
    word = {"latin-1": "é", "cp1252": "€", "shift_jis": "名前", "ascii": "e"}.get(encoding, "é€名🙂")
    rows = f'Col {word},b\n"{word}, x\r\n",1\n'.encode(encoding)
    later = f"{word},2\n".encode(
        encoding.replace("utf-16", "utf-16-le") if encoding == "utf-16" else encoding
    )
    if encoding == "utf-32":
        later = f"{word},2\n".encode("utf-32-le")
    middle = b"" if bad is None else _line(encoding, "x", bad)
    got = read_csv(path, rows + middle + later, encoding=encoding)
    assert got.rows == [(f"{word}, x\r\n", "1"), *([] if bad is None else [None]), (word, "2")]
    if bad is not None:
        ((problem, shown),) = got.problems
        assert problem == f"undecodable: it has bytes that are not {encoding}"
        assert shown["__raw_bytes_hex__"] == middle[: -len(_line(encoding, "", b""))].hex()
        assert shown["__line_number__"] == 4


def _line(encoding: str, text: str, bad: bytes) -> bytes:
    plain = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding)
    return text.encode(plain) + bad + "\n".encode(plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": " "}, "must name a file"),
        ({"delimiter": ""}, "one character"),
        ({"delimiter": '"'}, "one character"),
        ({"delimiter": "\0"}, "one character"),
        ({"skip_rows": True}, "whole number"),
        ({"delimiter": "ab"}, "one character"),
        ({"encoding": "utf-9"}, "no text encoding called 'utf-9'"),
        ({"encoding": "rot13"}, "no text encoding"),
        ({"encoding": "base64"}, "no text encoding"),
        ({"skip_rows": -1}, "greater than or equal to 0"),
        ({"columns": ["a", "a"]}, "gives 'a' more than once"),
        ({"columns": ["class"]}, "Python keyword"),
        ({"columns": ["a b"]}, "no identifier"),
        ({"columns": []}, "at least 1"),
        ({"field_mapping": {"a": "x", "b": "x"}}, "gives 'x' more than once"),
        ({"field_mapping": {"a": "1x"}}, "no identifier"),
        ({"max_cell_bytes": 0}, "greater than or equal to 1"),
        ({"colums": ["a"]}, "colums"),
    ],
)
def test_options_that_are_refused(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csv_source(**({"path": path} | options))


def test_a_text_that_is_a_number_is_one(path: Path) -> None:
    path.write_text("x\na\n1\n")
    assert read(csv_source(path, skip_rows="1")).names == ("a",)
