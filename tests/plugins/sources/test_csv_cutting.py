"""The two ways of cutting CSV give the same, whatever the text and however it is read; and Python agrees."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elspeth_dagster.plugins.sources.chunking import Cut
from elspeth_dagster.plugins.sources.csv_cuts import CsvCutter
from elspeth_dagster.plugins.sources.csv_exact import Dialect, ExactCutter, Kind
from elspeth_dagster.plugins.sources.csv_fast import find_structure
from elspeth_dagster.plugins.sources.csv_rules import CutRules
from elspeth_dagster.plugins.sources.files import FileIdentity, InputFile
from elspeth_dagster.rows.headers import header_of_columns

PIECES = [
    b",", b",", b'"', b'"', b"\n", b"\n", b"\r", b"\r\n", b"a", b"bc", b" ", b"\x00", b'""', b'",', b',"',
    "é".encode(), "\ufeff".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80",
]  # fmt: skip
WORDS = st.text(st.sampled_from('ab,"\n\r\0 é🙂\ufeff'), max_size=5)


def texts(pieces: list[bytes], longest: int = 40) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(pieces), max_size=longest).map(b"".join)


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """Rows as a writer would write them, some ragged, with any line ends, and at times a flaw put in."""
    rows = draw(st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=8))
    lines = []
    for row in rows:
        quoted = ['"' + cell.replace('"', '""') + '"' for cell in row]
        bare = [not set(cell) & set('",\r\n') and draw(st.booleans()) for cell in row]
        cells = [row[at] if bare[at] else quoted[at] for at in range(len(row))]
        lines.append(",".join(cells).encode() + draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    text = b"".join(lines)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
    return text


def cut(data: bytes, *, fast: bool, block_bytes: int, width: int = 3, **limits: int) -> dict[str, Any]:
    """All that is known of the records of some bytes."""
    max_cell_bytes = limits.pop("max_cell_bytes", 1000)
    stream = InputFile(io.BytesIO(data), "x.csv", "utf-8", FileIdentity(0, 0, len(data), 0))
    header = header_of_columns([f"c{n}" for n in range(width)])
    rules = CutRules(Dialect(**limits), header, max_cell_bytes, "utf-8", stream.original)
    cutter = CsvCutter(stream, rules, lambda: 1, 0, 0, fast=fast, block_bytes=block_bytes)
    cuts = list(cutter.cuts())
    return {
        "cells": _joined(cuts, _rows),
        "lines": _joined(cuts, lambda cut: cut.records.lines.to_pylist()),
        "raw": _joined(cuts, lambda cut: cut.records.raw.to_pylist()),
        "problems": _joined(cuts, lambda cut: cut.records.problems.to_pylist()),
        "shown": _joined(cuts, lambda cut: cut.records.problem_records.to_pylist()),
        "ends": _joined(cuts, lambda cut: cut.ends.tolist()),
        "trail": _joined(cuts, lambda cut: list(zip(*(v.tolist() for v in cut.trail.values()), strict=True))),
        "behind": (cutter.record, cutter.line, cutter.blanks),
    }  # fmt: skip


def _rows(cut: Cut) -> list[Any]:
    return list(zip(*(values.to_pylist() for values in cut.records.cells.values()), strict=True))


def _joined(cuts: list[Cut], of: Any) -> list[Any]:
    return [item for cut in cuts for item in of(cut)]


@settings(max_examples=200)
@given(st.one_of(texts(PIECES), well_formed()), st.integers(1, 60), st.integers(1, 4))
@example(b'"x\n', 1, 1)
@example(b'a,b,c\n"a","b","c"\n"', 7, 3)
@example(b'"""",a,b\r\n,,\r', 3, 3)
@example(b"\xef\xbb\xbfa,b,c\n\xef\xbb\xbfd,e,f\n", 14, 3)
@example(b'",\xc3"\xa9"\n', 1, 1)
@example(b"a\r\r\nb\n\r", 2, 1)
def test_fast_and_exact_give_the_same_for_every_block_size(data: bytes, block_bytes: int, width: int) -> None:
    expected = cut(data, fast=False, block_bytes=len(data) + 1, width=width)
    assert cut(data, fast=True, block_bytes=len(data) + 1, width=width) == expected
    assert cut(data, fast=True, block_bytes=block_bytes, width=width) == expected
    assert cut(data, fast=False, block_bytes=block_bytes, width=width) == expected


@settings(max_examples=200)
@given(
    st.one_of(texts(PIECES, 60), well_formed()), st.integers(1, 60), st.integers(1, 20), st.integers(0, 20),
    st.integers(1, 12),
)  # fmt: skip
def test_limits_do_not_depend_on_blocks(
    data: bytes, block_bytes: int, quoted: int, more: int, max_cell_bytes: int
) -> None:
    limits = {"max_quoted_bytes": quoted, "max_record_bytes": quoted + more, "max_cell_bytes": max_cell_bytes}
    expected = cut(data, fast=False, block_bytes=len(data) + 1, **limits)
    assert cut(data, fast=True, block_bytes=len(data) + 1, **limits) == expected
    assert cut(data, fast=True, block_bytes=block_bytes, **limits) == expected
    assert cut(data, fast=False, block_bytes=block_bytes, **limits) == expected


@given(st.one_of(texts(PIECES), well_formed()), st.integers(1, 30))
def test_every_byte_is_in_one_record(data: bytes, max_record_bytes: int) -> None:
    limits = {"max_quoted_bytes": min(20, max_record_bytes), "max_record_bytes": max_record_bytes}
    exact = ExactCutter(Dialect(**limits))
    records = list(exact.records(data, 0, last=True))
    assert [record.start for record in records] == [0, *(record.end for record in records)][: len(records)]
    assert (records[-1].end if records else 0) == len(data)
    assert all(record.content_end - record.start <= max_record_bytes for record in records)


TEXT = st.text(st.sampled_from('ab,"\n\r\0 é🙂'), max_size=5)


@settings(max_examples=200)
@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]),
       st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))  # fmt: skip
def test_what_python_writes_is_read_as_python_reads_it(rows: list[list[str]], end: str, quoting: Any) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, quoting=quoting).writerows(rows)
    assert _exact_rows(file.getvalue()) == _python_rows(file.getvalue())


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([",", '"', '""', "\n", "\r\n", "\r", "a", " ", "\0", "é"]), max_size=30).map(
        "".join
    )
)
def test_anything_without_an_unterminated_quote_is_read_as_python_reads_it(text: str) -> None:
    kinds = {record.kind for record in ExactCutter(Dialect()).records(text.encode(), 0, last=True)}
    if Kind.UNTERMINATED not in kinds:
        assert _exact_rows(text) == _python_rows(text)


def _python_rows(text: str) -> list[tuple[list[str], int]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    return [(row, reader.line_num) for row in reader if row]


def _exact_rows(text: str) -> list[tuple[list[str], int]]:
    rows, line = [], 0
    for record in ExactCutter(Dialect()).records(text.encode(), 0, last=True):
        if record.kind is not Kind.BLANK:
            rows.append(([cell.decode() for cell in record.cells], line + record.lines_inside + 1))
        line += record.lines_ended
    return rows


@pytest.mark.parametrize(
    ("text", "consumed"),
    [
        (b'a,"b\nc"\nd,e\n', 12),
        (b'a,"b"\nc,"d\n', 6),
        (b'a,b\nc,d"\ne,f\n', 13),
        (b'5" pipe,"x\ny"z"\n1,2\n', 20),
        (b'a,b\n"c"d,e\n', 11),
        (b'a,b\n"c""d",e\n', 13),
        (b"a,b\nc", 4),
        (b"a,b\r", 0),
    ],
)
def test_the_fast_way_takes_every_record_that_is_whole(text: bytes, consumed: int) -> None:
    assert find_structure(text, Dialect(), last=False).consumed == consumed


def test_a_parser_that_sees_other_records_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'a,b,c\n"x\ny",z\n\n1,2,3\n'
    expected = cut(data, fast=True, block_bytes=100)

    def read_nothing(*args: Any, **kwargs: Any) -> pa.Table:
        return pa.table({"0": [], "1": [], "2": []})

    monkeypatch.setattr(pyarrow.csv, "read_csv", read_nothing)
    assert cut(data, fast=True, block_bytes=100) == expected


def test_an_overlong_record_is_handed_over_in_pieces_and_reading_goes_on(tmp_path: Path) -> None:
    data = b"1,2,3\n" + b"x" * 25 + b"\n4,5,6\n"
    for fast in (True, False):
        got = cut(data, fast=fast, block_bytes=7, max_quoted_bytes=10, max_record_bytes=10)
        assert got["cells"] == [("1", "2", "3"), *[(None, None, None)] * 3, ("4", "5", "6")]
        assert got["raw"][1:4] == [b"x" * 10, b"x" * 10, b"x" * 5]
        assert got["lines"] == [1, 2, 2, 2, 3]
        assert {problem for problem in got["problems"] if problem} == {
            "record_too_large: it is part of a record of more than 10 bytes"
        }
