import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import Row, applied, exactly, made, rows, rows_of

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.transforms.truncate import Truncate


def test_cuts_at_code_points_and_keeps_what_fits():
    cut = made(Truncate, fields={"s": 4}, suffix="..")
    given_rows = [
        {"s": "abcd"},
        {"s": "abcde"},
        {"s": ""},
        {"s": "e\u0301e\u0301e\u0301"},
        {"s": "🙂🙂🙂🙂🙂"},
    ]
    assert [row["s"] for row in applied(cut, given_rows)] == ["abcd", "ab..", "", "e\u0301..", "🙂🙂.."]


def test_values_that_are_no_text():
    cut = made(Truncate, fields={"s": 4})
    found = applied(cut, [{"s": None}, {"s": 5}, {"s": ["x"]}, {"s": True}, {"s": "abcdef"}, {"t": 1}])
    assert [row.get("found") for row in found] == ["null", "int", "list or object", "bool", None, None]
    assert found[0] == {"reason": "type_mismatch", "field": "s", "expected": "str", "found": "null"}
    assert found[4:] == [{"s": "abcd"}, {"t": 1}]


def test_strict_asks_for_the_field():
    cut = made(Truncate, fields={"s": 4, "t": 2}, strict=True)
    assert applied(cut, [{"t": "abc"}, {"s": "x", "t": "abc"}]) == [
        {"reason": "missing_field", "field": "s"},
        {"s": "x", "t": "ab"},
    ]


def test_original_headers_name_fields():
    done = made(Truncate, fields={"Full Name": 2}, strict=True).apply(
        rows_of([{"full_name": "Ada"}], {"full_name": "Full Name"})
    )
    assert done.rows.to_dicts() == [{"full_name": "Ad"}]
    assert done.rows.originals == {"full_name": "Full Name"}


def test_rows_that_need_no_cut_are_the_same_rows():
    given_rows = rows_of([{"s": "abc"}, {"s": "d"}])
    assert made(Truncate, fields={"s": 3}).apply(given_rows).rows is given_rows


@pytest.mark.parametrize(
    "options",
    [
        {"fields": {"s": 0}},
        {"fields": {"": 3}},
        {"fields": {"s": True}},
        {"fields": {"s": 2, "t": 5}, "suffix": ".."},
        {"fields": {"s": 2}, "limit": 3},
    ],
)
def test_load_errors(options):
    with pytest.raises(ValidationError):
        made(Truncate, **options)


def reference(row: Row, fields: dict[str, int], suffix: str, *, strict: bool) -> Row | Reason:
    result = dict(row)
    kinds = {type(None): "null", bool: "bool", float: "float", list: "list or object", dict: "list or object"}
    for field, limit in fields.items():
        if field not in row:
            if strict:
                return {"reason": "missing_field", "field": field}
            continue
        value = row[field]
        if not isinstance(value, str):
            found = kinds.get(type(value)) or "int"
            return {"reason": "type_mismatch", "field": field, "expected": "str", "found": found}
        if len(value) > limit:
            result[field] = value[: limit - len(suffix)] + suffix
    return result


@given(
    rows(),
    st.dictionaries(st.sampled_from("abcx"), st.integers(2, 6), max_size=3),
    st.sampled_from(["", "…"]),
    st.booleans(),
)
def test_same_as_row_by_row(given_rows, fields, suffix, strict):
    expected = [reference(row, fields, suffix, strict=strict) for row in given_rows]
    found = applied(made(Truncate, fields=fields, suffix=suffix, strict=strict), given_rows)
    for row in found:
        if str(row.get("found", "")).startswith("int"):
            row["found"] = "int"  # large integers are told apart
    assert exactly(found) == exactly(expected)
