"""The boundary for JSON records and for a plugin's own values."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elspeth_dagster.engine.boundary import Boundary, Crossed, TypesState, fold_records
from elspeth_dagster.rows.fields import OBSERVED, Schema, parse_schema
from elspeth_dagster.rows.records import Form, Records
from elspeth_dagster.rows.tokens import row_indices
from elspeth_dagster.rows.values import encode_value


def records(
    *texts: bytes | str | None, form: Form = Form.JSON, first: int = 0, problem: str = "{}"
) -> Records:
    raws = [text.encode() if isinstance(text, str) else text for text in texts]
    count = len(raws)
    return Records(
        form,
        first,
        pa.array(range(1, count + 1), pa.int64()),
        pa.array([0] * count, pa.int64()),
        {},
        pa.array(raws, pa.binary()),
        pa.array([None if raw is not None else "undecodable: bad bytes" for raw in raws], pa.string()),
        pa.array([None if raw is not None else problem for raw in raws], pa.string()),
    )


def schema(mode: str, *fields: str) -> Schema:
    return parse_schema({"mode": mode, "fields": list(fields)})


def cross(given: Records, by: Schema = OBSERVED, types: TypesState | None = None) -> Crossed:
    return Boundary(by, types or TypesState()).cross(given)


def indices(rows: Any) -> list[int]:
    return row_indices(rows.tokens).to_pylist()  # type: ignore[no-any-return]


def test_observed_rows_are_as_received() -> None:
    got = cross(
        records('{"User ID": 1.0, "a": {"z": 1, "b": [null]}}', '{"a": null, "n": 12345678901234567890123}')
    )
    assert got.rows.to_dicts() == [
        {"User ID": 1.0, "a": {"z": 1, "b": [None]}}, {"a": None, "n": 12345678901234567890123}
    ]  # fmt: skip
    assert [list(row) for row in got.rows.to_dicts()] == [["User ID", "a"], ["a", "n"]]
    assert list(got.rows.to_dicts()[0]["a"]) == ["z", "b"]


def test_of_duplicate_keys_the_last_wins() -> None:
    assert cross(records('{"a":1,"b":2,"a":3}')).rows.to_dicts() == [{"a": 3, "b": 2}]


def test_a_users_own_marker_key_is_data() -> None:
    row = {"$elspeth": ["date", "2024-01-01"], "x": {"$elspeth": 1}}
    assert cross(records(json.dumps(row))).rows.to_dicts() == [row]


def test_values_of_a_plugin_are_exact() -> None:
    row = {"d": Decimal("1.50"), "day": date(2024, 1, 1), "b": b"\xff", "m": {"$elspeth": 1}}
    got = cross(records(encode_value(row), form=Form.VALUES))
    assert got.rows.to_dicts() == [row]


@pytest.mark.parametrize(
    ("item", "kind"),
    [("[1]", "an array"), ('"x"', "text 'x'"), ("5", "5"), ("null", "null"), ("true", "true")],
)
@pytest.mark.parametrize("form", [Form.JSON, Form.VALUES])
def test_what_is_no_object_is_wrapped(item: str, kind: str, form: Form) -> None:
    got = cross(records('{"a":1}', item, form=form, first=4))
    assert got.quarantined.to_dicts() == [{"_raw": json.loads(item)}]
    assert indices(got.quarantined) == [5]
    assert got.reasons == {0: {"reason": "not_an_object", "error": kind}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":1e999,"b":[-1e999,1]}', {"a": None, "b": [None, 1]}),
        ('{"a":"\\ud800x","b":"\\ud83d\\ude42"}', {"a": "\ufffdx", "b": "🙂"}),
        ('{"\\udfff":1}', {"\ufffd": 1}),
        (f'{{"a":{"9" * 4301},"b":1}}', {"a": None, "b": 1}),
        ("[1e999]", {"_raw": [None]}),
        ("1e999", {"_raw": None}),
    ],
)
def test_values_that_no_row_can_hold_are_set_aside_as_far_as_they_can_be_shown(text: str, shown: Any) -> None:
    got = cross(records(text))
    assert got.quarantined.to_dicts() == [shown]
    assert got.reasons[0]["reason"] == "invalid_value"


@pytest.mark.parametrize(
    "text",
    [
        "nope",
        '{"a":1',
        '{"a":NaN}',
        '{"a":1} {"b":2}',
        "\ufeff{}",
        '{"a":' + "[" * 300 + "]" * 300 + "}",
        "[" * 3000 + "]" * 3000,
    ],
)
def test_what_is_no_json_is_set_aside_as_its_line(text: str) -> None:
    got = cross(records("{}", text))
    assert got.quarantined.to_dicts() == [{"__raw_line__": text, "__line_number__": 2}]
    assert got.reasons[0]["reason"] == "invalid_json"


@pytest.mark.parametrize("form", [Form.JSON, Form.VALUES])
def test_records_with_a_problem_keep_their_place(form: Form) -> None:
    got = cross(records('{"a":1}', None, '{"a":2}', "3", form=form, problem='{"__raw_bytes_hex__":"ff"}'))
    assert indices(got.rows) == [0, 2]
    assert indices(got.quarantined) == [1, 3]
    assert got.quarantined.to_dicts() == [{"__raw_bytes_hex__": "ff"}, {"_raw": 3}]
    assert got.reasons[0] == {"reason": "undecodable", "error": "bad bytes"}


def test_declared_fields_come_first_coerced_and_missing_ones_are_null() -> None:
    by = schema("flexible", "t: bool", "n: int", "f: float?", "s: str?", "a: any")
    got = cross(records('{"x":1,"n":"007","a":[1,null],"t":0}'), by)
    assert got.rows.to_dicts() == [{"t": False, "n": 7, "f": None, "s": None, "a": [1, None], "x": 1}]
    assert list(got.rows.to_dicts()[0]) == ["t", "n", "f", "s", "a", "x"]


@pytest.mark.parametrize(
    ("spec", "value", "expected", "found"),
    [
        ("a: int", '"x"', "int", "text 'x'"),
        ("a: int", "1.5", "int", "1.5"),
        ("a: int", "null", "int", "null"),
        ("a: int?", "[]", "int or null", "an array"),
        ("a: str", "5", "str", "5"),
        ("a: str?", "true", "str or null", "true"),
        ("a: bool", "2", "bool", "2"),
        ("a: float", "{}", "float", "an object"),
    ],
)
def test_values_that_do_not_fit(spec: str, value: str, expected: str, found: str) -> None:
    got = cross(records(f'{{"x": 1, "a": {value}}}'), schema("flexible", spec))
    assert got.quarantined.to_dicts() == [{"x": 1, "a": json.loads(value)}]
    assert got.reasons[0] == {
        "reason": "validation_failed",
        "errors": [{"field": "a", "expected": expected, "found": found}],
    }


def test_missing_and_undeclared_fields_of_a_fixed_schema() -> None:
    got = cross(records('{"x":1,"b":2}', '{"a":1}'), schema("fixed", "a: int", "b: any?"))
    assert got.rows.to_dicts() == [{"a": 1, "b": None}]
    assert got.quarantined.to_dicts() == [{"x": 1, "b": 2}]
    assert [(e["field"], e["found"]) for e in got.reasons[0]["errors"]] == [
        ("a", "no such field"), ("x", "an undeclared field")
    ]  # fmt: skip


def test_null_joins_anything_and_whole_numbers_join_fractions() -> None:
    got = cross(records('{"a":null,"b":1}', '{"a":"x","b":1.5}', '{"a":null,"b":2}', '{"b":null}'))
    assert got.rows.num_rows == 4
    assert [row.get("b") for row in got.rows.to_dicts()] == [1, 1.5, 2, None]
    assert [type(row.get("b")) for row in got.rows.to_dicts()[:3]] == [int, float, int]


@pytest.mark.parametrize(
    ("first", "then"),
    [("1", '"x"'), ('"x"', "1"), ("true", "1"), ("1", "[1]"), ("{}", '"x"'), ("[1]", "true")],
)
def test_a_real_conflict_sets_the_row_aside(first: str, then: str) -> None:
    got = cross(records(f'{{"a":{first}}}', f'{{"a":{then},"new":1}}', f'{{"a":{first},"new":"x"}}'))
    assert indices(got.rows) == [0, 2]
    assert got.quarantined.to_dicts() == [json.loads(f'{{"a":{then},"new":1}}')]
    assert got.reasons[0]["reason"] == "type_conflict"
    assert got.reasons[0]["errors"][0]["field"] == "a"


def test_objects_and_arrays_join() -> None:
    assert cross(records('{"a":{}}', '{"a":[1]}')).rows.num_rows == 2


def test_declared_fields_are_not_learned_and_a_conflict_shows_the_coerced_row() -> None:
    by = schema("flexible", "n: int", "a: any")
    got = cross(records('{"n":"1","a":1,"x":1}', '{"n":"2","a":"s","x":2}', '{"n":"3","a":[],"x":"t"}'), by)
    assert got.rows.num_rows == 2
    assert got.types.to_json() == {"x": "number"}
    assert got.quarantined.to_dicts() == [{"n": 3, "a": [], "x": "t"}]


def test_an_invalid_row_teaches_nothing() -> None:
    by = schema("flexible", "n: int")
    got = cross(records('{"n":"bad","x":1}', '{"n":1,"x":"text"}'), by)
    assert indices(got.rows) == [1]
    assert got.types.to_json() == {"x": "text"}


def test_a_fixed_schema_learns_nothing() -> None:
    by = schema("fixed", "a: any")
    given = records('{"a":1}', '{"a":"x"}')
    assert cross(given, by).rows.num_rows == 2
    assert fold_records(by, TypesState(), given) == cross(given, by).types == TypesState()


def test_reasons_are_short_and_storable_whatever_the_value() -> None:
    long = "é" * 100_000
    got = cross(records(f'{{"{long}":"x"}}', f'{{"{long}":5}}', f'{{"{long}":{"9" * 400}}}', f'"{long}"'))
    assert all(len(json.dumps(reason)) < 6000 for reason in got.reasons.values())
    assert all(len(reason.get("error", "")) <= 220 for reason in got.reasons.values())


ITEMS = st.sampled_from(["null", "1", "1.5", '"x"', "true", "[1]", "{}", "1e999", "nope"])
TEXTS = st.lists(
    st.one_of(st.dictionaries(st.sampled_from("abn"), ITEMS, max_size=3).map(
        lambda row: "{" + ",".join(f'"{key}":{item}' for key, item in row.items()) + "}"
    ), ITEMS),
    max_size=12,
)  # fmt: skip


@settings(max_examples=150)
@given(
    TEXTS,
    st.integers(1, 12),
    st.sampled_from([OBSERVED, schema("flexible", "n: int?"), schema("fixed", "n: any?")]),
)
def test_slices_that_hand_on_what_was_learned_cross_like_the_whole(
    texts: list[str], size: int, by: Schema
) -> None:
    given = records(*texts, first=10)
    whole = cross(given, by)
    types, valid, rejected, reasons = TypesState(), [], [], []
    for at in range(0, len(texts), size):
        piece = given.slice(at, min(size, len(texts) - at))
        got = cross(piece, by, types)
        assert got.types == fold_records(by, types, piece)
        types = got.types
        valid += list(zip(indices(got.rows), got.rows.to_dicts(), strict=True))
        rejected += list(zip(indices(got.quarantined), got.quarantined.to_dicts(), strict=True))
        reasons += [got.reasons[position] for position in range(got.quarantined.num_rows)]
    assert valid == list(zip(indices(whole.rows), whole.rows.to_dicts(), strict=True))
    assert rejected == list(zip(indices(whole.quarantined), whole.quarantined.to_dicts(), strict=True))
    assert reasons == [whole.reasons[position] for position in range(len(rejected))]
    assert types == whole.types
    assert sorted(indices(whole.rows) + indices(whole.quarantined)) == list(range(10, 10 + len(texts)))
