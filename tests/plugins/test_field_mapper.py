import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transforming import Row, applied, exactly, made, rows, rows_of

from elspeth_dagster.plugins.base import Reason
from elspeth_dagster.plugins.transforms.field_mapper import FieldMapper


def mapped(given_rows: list[Row], **options: object) -> list[Row | Reason]:
    return applied(made(FieldMapper, **options), given_rows)


@pytest.mark.parametrize(
    ("row", "mapping", "expected"),
    [
        ({"a": 1, "b": 2, "c": 3}, {"b": "bb"}, {"a": 1, "c": 3, "bb": 2}),
        ({"a": 1, "b": 2}, {"a": "b", "b": "a"}, {"b": 1, "a": 2}),
        ({"a": 1, "b": 2}, {"a": "b", "b": "c"}, {"b": 1, "c": 2}),
        ({"a": 1, "b": 2}, {"b": "c", "a": "b"}, {"c": 2, "b": 1}),
        ({"a": 1, "b": 2}, {"a": "a"}, {"a": 1, "b": 2}),
        ({"a": 1}, {"x": "y"}, {"a": 1}),
        ({"a": None}, {"a": "b"}, {"b": None}),
        ({"n": {"k": {"z": 1}}}, {"n.k.z": "z"}, {"n": {"k": {"z": 1}}, "z": 1}),
        ({"n": {"k": None}}, {"n.k": "z"}, {"n": {"k": None}, "z": None}),
        ({"n": {}}, {"n.k": "z"}, {"n": {}}),
        ({"n": {"k": 1}}, {"n": "m", "n.k": "k"}, {"m": {"k": 1}, "k": 1}),
        ({}, {"a": "b"}, {}),
    ],
)
def test_renames(row, mapping, expected):
    assert exactly(mapped([row], mapping=mapping)) == exactly([expected])


def test_select_only_takes_the_mapped_fields_in_the_order_of_the_mapping():
    row = {"a": 1, "b": 2, "n": {"k": "v"}}
    assert exactly(mapped([row], mapping={"n.k": "k", "b": "x", "zz": "z"}, select_only=True)) == exactly(
        [{"k": "v", "x": 2}]
    )
    assert mapped([row], mapping={"zz": "z"}, select_only=True) == [{}]


@pytest.mark.parametrize(
    ("row", "options", "reason"),
    [
        ({"a": 1}, {"mapping": {"b": "c"}, "strict": True}, {"reason": "missing_field", "field": "b"}),
        ({"n": {}}, {"mapping": {"n.k": "c"}, "strict": True}, {"reason": "missing_field", "field": "n.k"}),
        ({"a": 1, "b": 2}, {"mapping": {"a": "b"}}, {"reason": "field_collision", "field": "b"}),
        (
            {"a": 1, "b": 2},
            {"mapping": {"a": "b"}, "select_only": True},
            {"reason": "field_collision", "field": "b"},
        ),
        ({"n": {"b": 1}, "b": 2}, {"mapping": {"n.b": "b"}}, {"reason": "field_collision", "field": "b"}),
        ({"n": 5}, {"mapping": {"n.k": "c"}}, {"reason": "no_object", "field": "n.k", "at": "n"}),
        ({"n": None}, {"mapping": {"n.k": "c"}}, {"reason": "no_object", "field": "n.k", "at": "n"}),
        (
            {"n": {"k": [1]}},
            {"mapping": {"n.k.z": "c"}},
            {"reason": "no_object", "field": "n.k.z", "at": "n.k"},
        ),
    ],
)
def test_row_errors(row, options, reason):
    assert mapped([row], **options) == [reason]


def test_rows_with_other_keys_go_other_ways():
    given_rows = [{"a": 1, "b": 2}, {"a": 3}, {"b": 4}, {"b": "text", "c": 5}]
    assert mapped(given_rows, mapping={"b": "a"}) == [
        {"reason": "field_collision", "field": "a"},
        {"a": 3},
        {"a": 4},
        {"c": 5, "a": "text"},
    ]


def test_original_headers_name_fields_and_follow_them():
    given_rows = rows_of([{"user_id": "7", "amt": "1"}], {"user_id": "User ID", "amt": "Amt. $"})
    done = made(FieldMapper, mapping={"User ID": "amt", "Amt. $": "total"}).apply(given_rows)
    assert done.rows.to_dicts() == [{"amt": "7", "total": "1"}]
    assert done.rows.originals == {"amt": "User ID", "total": "Amt. $"}


def test_a_field_that_is_made_from_a_path_has_no_original_header():
    given_rows = rows_of([{"n": {"k": 1}}], {"n": "N", "k": "K"})
    done = made(FieldMapper, mapping={"n.k": "k"}).apply(given_rows)
    assert done.rows.originals == {"n": "N"}


def test_validate_input_is_strict_and_comes_first():
    mapper = made(
        FieldMapper,
        {"mode": "fixed", "fields": ["a: int", "f: float?"]},
        mapping={"a": "b"},
        validate_input=True,
    )
    found = applied(
        mapper, [{"a": 1, "f": 2}, {"a": "1"}, {"f": 1.0}, {"a": 1, "z": 1}, {"a": True}, {"a": 1}]
    )
    assert [row.get("reason") for row in found] == [
        None,
        "wrong_type",
        "missing_field",
        "unknown_field",
        "wrong_type",
        None,
    ]
    assert exactly(found[:1]) == exactly([{"f": 2, "b": 1}])


@pytest.mark.parametrize("mapping", [{"a": "c", "b": "c"}, {"": "c"}, {"a": ""}, {"a": 5}, ["a"]])
def test_load_errors(mapping):
    with pytest.raises(ValidationError):
        made(FieldMapper, mapping=mapping)


def reference(row: Row, mapping: dict[str, str], *, select_only: bool, strict: bool) -> Row | Reason:
    found, freed = {}, set()
    for source, target in mapping.items():
        value: object = row
        for depth, key in enumerate(source.split(".")):
            if not isinstance(value, dict):
                return {"reason": "no_object", "field": source, "at": ".".join(source.split(".")[:depth])}
            if key not in value:
                break
            value = value[key]
        else:
            found[target] = value
            if "." not in source and source != target:
                freed.add(source)
            continue
        if strict:
            return {"reason": "missing_field", "field": source}
    for target in found:
        if target in row and target not in freed and mapping.get(target) != target:
            return {"reason": "field_collision", "field": target}
    if select_only:
        return found
    stay = {key: value for key, value in row.items() if key not in freed}
    return stay | found


@given(
    rows(),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d.k", "c.k.z"]), st.sampled_from("abcdx"), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_same_as_row_by_row(given_rows, mapping, select_only, strict):
    mapping = {source: target for target, source in {t: s for s, t in mapping.items()}.items()}
    expected = [reference(row, mapping, select_only=select_only, strict=strict) for row in given_rows]
    mapper = made(FieldMapper, mapping=mapping, select_only=select_only, strict=strict)
    assert exactly(applied(mapper, given_rows)) == exactly(expected)
