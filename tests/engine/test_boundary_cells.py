"""The boundary for text cells."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from elspeth_dagster.engine.boundary import Boundary, Crossed, TypesState, fold_records
from elspeth_dagster.rows.fields import OBSERVED, Schema, parse_schema
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.tokens import row_indices

RAGGED = '{"__raw_line__":"x","__line_number__":9,"__row_number__":2}'


def cells(
    columns: dict[str, list[str | None]], problems: list[str | None] | None = None, first: int = 0
) -> Records:
    count = len(problems) if problems is not None else len(next(iter(columns.values())))
    why = problems or [None] * count
    return Records(
        Form.CELLS,
        first,
        pa.array(range(count), pa.int64()),
        pa.array([0] * count, pa.int64()),
        {name: pa.array(values, pa.string()) for name, values in columns.items()},
        pa.nulls(count, pa.binary()),
        pa.array(why, pa.string()),
        pa.array([None if reason is None else RAGGED for reason in why], pa.string()),
        {name: name.upper() for name in columns},
    )


def schema(mode: str, *fields: str) -> Schema:
    return parse_schema({"mode": mode, "fields": list(fields)})


def cross(records: Records, schema: Schema = OBSERVED) -> Crossed:
    return Boundary(schema, TypesState()).cross(records)


def indices(rows: Any) -> list[int]:
    return row_indices(rows.tokens).to_pylist()  # type: ignore[no-any-return]


def test_observed_cells_are_text_in_the_order_of_the_header() -> None:
    got = cross(cells({"b": ["1", ""], "a": [" x ", "y"]}, first=7))
    assert got.rows.to_dicts() == [{"b": "1", "a": " x "}, {"b": "", "a": "y"}]
    assert list(got.rows.to_dicts()[0]) == ["b", "a"]
    assert indices(got.rows) == [7, 8]
    assert got.rows.originals == {"b": "B", "a": "A"}
    assert got.quarantined.num_rows == 0
    assert got.reasons == {}


def test_declared_fields_come_first_and_coerced() -> None:
    got = cross(
        cells({"x": ["a"], "n": [" 007 "], "f": ["1e3"], "t": ["Yes"]}),
        schema("flexible", "t: bool", "n: int", "f: float"),
    )
    assert got.rows.to_dicts() == [{"t": True, "n": 7, "f": 1000.0, "x": "a"}]
    assert list(got.rows.to_dicts()[0]) == ["t", "n", "f", "x"]
    assert {name: column.values.type for name, column in got.rows.columns.items()} == {
        "t": pa.bool_(), "n": pa.int64(), "f": pa.float64(), "x": pa.string()
    }  # fmt: skip


def test_integers_of_any_size() -> None:
    got = cross(cells({"n": ["1", "9" * 30]}), schema("fixed", "n: int"))
    assert got.rows.to_dicts() == [{"n": 1}, {"n": int("9" * 30)}]


def test_an_empty_cell_is_null_where_null_is_allowed_and_text_stays() -> None:
    optional = schema("fixed", "i: int?", "f: float?", "b: bool?", "s: str?", "a: any?")
    names = ["i", "f", "b", "s", "a"]
    assert cross(cells({name: [""] for name in names}), optional).rows.to_dicts() == [
        {"i": None, "f": None, "b": None, "s": "", "a": ""}
    ]
    required = cross(cells({"i": [""]}), schema("fixed", "i: int"))
    assert required.reasons[0]["errors"] == [{"field": "i", "expected": "int", "found": "text ''"}]


def test_a_row_that_does_not_fit_is_set_aside_as_it_was_received() -> None:
    got = cross(cells({"x": ["a", "b", "c"], "n": ["1", "zwei", "3"], "f": ["1", "nan", "x"]}, first=5),
                schema("flexible", "n: int", "f: float"))  # fmt: skip
    assert got.rows.to_dicts() == [{"n": 1, "f": 1.0, "x": "a"}]
    assert got.quarantined.to_dicts() == [{"x": "b", "n": "zwei", "f": "nan"}, {"x": "c", "n": "3", "f": "x"}]
    assert list(got.quarantined.to_dicts()[0]) == ["x", "n", "f"]
    assert indices(got.quarantined) == [6, 7]
    assert got.quarantined.originals == {"x": "X", "n": "N", "f": "F"}
    assert got.reasons == {
        0: {
            "reason": "validation_failed",
            "errors": [
                {"field": "n", "expected": "int", "found": "text 'zwei'"},
                {"field": "f", "expected": "float", "found": "text 'nan'"},
            ],
        },
        1: {
            "reason": "validation_failed",
            "errors": [{"field": "f", "expected": "float", "found": "text 'x'"}],
        },
    }


def test_reasons_are_short_whatever_the_cell() -> None:
    got = cross(cells({"n": ["found " * 100_000]}), schema("fixed", "n: int"))
    assert len(str(got.reasons[0])) < 500
    assert got.reasons[0]["errors"][0]["found"].startswith("text 'found found ")


def test_an_optional_field_that_the_file_lacks_is_null() -> None:
    got = cross(cells({"a": ["1"]}), schema("fixed", "z: int?", "a: int"))
    assert got.rows.to_dicts() == [{"z": None, "a": 1}]
    assert list(got.rows.to_dicts()[0]) == ["z", "a"]


def test_a_required_field_that_the_file_lacks_fails_every_row() -> None:
    got = cross(cells({"a": ["1", "x"]}), schema("flexible", "z: int", "a: int"))
    assert got.rows.num_rows == 0
    missing = {"field": "z", "expected": "int", "found": "no such field"}
    assert [reason["errors"][0] for reason in got.reasons.values()] == [missing, missing]
    assert [error["field"] for error in got.reasons[1]["errors"]] == ["z", "a"]


def test_undeclared_columns_fail_every_row_of_a_fixed_schema() -> None:
    got = cross(cells({"a": ["1", "2"], "x": ["3", "4"], "y": ["5", "6"]}), schema("fixed", "a: int"))
    assert got.rows.num_rows == 0
    assert got.quarantined.to_dicts() == [{"a": "1", "x": "3", "y": "5"}, {"a": "2", "x": "4", "y": "6"}]
    assert [error["field"] for error in got.reasons[0]["errors"]] == ["x", "y"]
    assert got.reasons[0]["errors"][0]["found"] == "an undeclared field"


@pytest.mark.parametrize(
    ("original", "hint"),
    [
        ("a;b;c", "one field that holds ';' 2 times; delimiter: ';' may be meant"),
        ("a\tb", 'one field that holds "\\t" once; delimiter: "\\t" may be meant'),
        ("a, total|b|c", "one field that holds '|' 2 times; delimiter: '|' may be meant"),
        ("abc", None),
    ],
)
def test_a_header_that_is_one_field_is_told_of_first(original: str, hint: str | None) -> None:
    records = replace(
        cells({"a_b_c": ["1;2;3", None]}, [None, "cell_count: x"]), originals={"a_b_c": original}
    )
    reasons = cross(records, schema("fixed", "a: int", "b: int")).reasons
    assert [reason.get("header") for reason in reasons.values()] == [hint, hint]
    assert list(reasons[0])[:2] == ["reason", "header" if hint else "errors"]


def test_a_header_is_not_to_blame_for_one_cell() -> None:
    records = replace(cells({"a_b": ["x"]}), originals={"a_b": "a;b"})
    assert "header" not in cross(records, schema("fixed", "a_b: int")).reasons[0]


@pytest.mark.parametrize(
    "mode", [OBSERVED, schema("flexible", "a: int"), schema("fixed", "a: int", "b: int")]
)
def test_records_that_could_not_be_cut_keep_their_place(mode: Schema) -> None:
    records = cells(
        {"a": ["1", None, "x", "3", None], "b": ["1", None, "2", "3", None]},
        [
            None,
            "cell_count: expected 2 cells, found 1",
            None,
            None,
            "undecodable: it has bytes that are not utf-8",
        ],
        first=3,
    )
    got = cross(records, mode)
    bad = [] if mode is OBSERVED else [5]
    assert indices(got.rows) == [i for i in (3, 5, 6) if i not in bad]
    assert indices(got.quarantined) == [4, *bad, 7]
    assert got.quarantined.to_dicts()[0] == {"__raw_line__": "x", "__line_number__": 9, "__row_number__": 2}
    assert got.reasons[0] == {"reason": "cell_count", "error": "expected 2 cells, found 1"}
    assert got.reasons[len(bad) + 1]["reason"] == "undecodable"
    if bad:
        assert got.quarantined.to_dicts()[1] == {"a": "x", "b": "2"}
        assert got.reasons[1]["errors"] == [{"field": "a", "expected": "int", "found": "text 'x'"}]


def test_a_file_of_which_nothing_could_be_cut() -> None:
    got = cross(cells({}, ["header: unterminated quote"]), schema("fixed", "a: int"))
    assert got.rows.num_rows == 0
    assert indices(got.quarantined) == [0]
    assert got.reasons == {0: {"reason": "header", "error": "unterminated quote"}}


def test_no_records() -> None:
    got = cross(cells({"a": []}), schema("fixed", "a: int"))
    assert (got.rows.num_rows, got.quarantined.num_rows, got.reasons) == (0, 0, {})


def test_slices_cross_like_the_whole() -> None:
    records = cells({"a": [str(n) if n % 3 else "x" for n in range(20)]}, first=2)
    fixed = schema("fixed", "a: int")
    whole = cross(records, fixed)
    pieces = [cross(records.slice(at, 7), fixed) for at in range(0, 20, 7)]
    assert [row for piece in pieces for row in piece.rows.to_dicts()] == whole.rows.to_dicts()
    assert [index for piece in pieces for index in indices(piece.quarantined)] == indices(whole.quarantined)
    assert whole.rows.hashes.to_pylist() == [h for piece in pieces for h in piece.rows.hashes.to_pylist()]


def test_cells_teach_nothing() -> None:
    records = cells({"a": ["1"]})
    assert fold_records(OBSERVED, TypesState(), records) == cross(records).types == TypesState()
